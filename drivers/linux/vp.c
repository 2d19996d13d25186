// SPDX-License-Identifier: GPL-2.0-or-later
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "counters.h"
#include "root_hvcall.h"
#include "run.h"
#include "vp.h"
#include "vp_state.h"

void vp_wake(struct mshv_vp *vp)
{
    WRITE_ONCE(vp->woken, true);
    rcuwait_wake_up(&vp->wait);
}

bool vp_kick(struct mshv_vp *vp)
{
    int processor;

    vp_wake(vp);
    /* Pairs with run.c: either the thread sees what the caller changed, or the caller sees it dispatching. */
    smp_mb();
    processor = READ_ONCE(vp->dispatch_processor);
    if (processor < 0)
        return false;
    preempt_disable();
    if (processor != smp_processor_id())
        smp_send_reschedule(processor);
    preempt_enable();
    return true;
}

/*
 * Bytes copied, or what vp_run() says; what lies behind the message in the buffer is left as it was. -EFAULT:
 * bad buffer; the intercept will happen again.
 */
static int run_and_copy(struct mshv_vp *vp, void __user *buffer, size_t size)
{
    int error = vp_run(vp);

    if (error || size == 0)
        return error;
    size = min(size, vp_message_size(vp));
    return copy_to_user(buffer, vp->intercept_page, size) ? -EFAULT : (int)size;
}

/*
 * MSHV_RUN_VP by another name, for VMMs that count instructions: a read passes fewer checks on its way than
 * an ioctl does, and one of 0 bytes leaves the message where it is, in the page that the VMM has mapped.
 */
static ssize_t vp_read(struct file *file, char __user *buffer, size_t size, loff_t *position)
{
    struct mshv_vp *vp = file->private_data;
    ssize_t result;

    if (mutex_lock_killable(&vp->mutex))
        return -EINTR;
    result = run_and_copy(vp, buffer, size);
    mutex_unlock(&vp->mutex);
    return result;
}

static long vp_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
    struct mshv_vp *vp = file->private_data;
    long result;

    if (partitions_are_shut_down())
        return -ESHUTDOWN;
    if (mutex_lock_killable(&vp->mutex))
        return -EINTR;
    switch (command) {
    case MSHV_RUN_VP:
        result = min(run_and_copy(vp, (void __user *)argument, sizeof(struct mshv_run_vp)), 0);
        break;
    case MSHV_GET_VP_STATE:
    case MSHV_SET_VP_STATE:
        result = vp_state_transfer(vp, command == MSHV_SET_VP_STATE,
                                   (struct mshv_get_set_vp_state __user *)argument);
        break;
    case MSHV_ROOT_HVCALL:
        result = root_hvcall_vp(vp, (struct mshv_root_hvcall __user *)argument);
        break;
    default:
        result = -ENOTTY;
        break;
    }
    mutex_unlock(&vp->mutex);
    return result;
}

/* Touches only what never changes: the mutex may be held by a thread that waits for this mmap to end. */
static int vp_mmap(struct file *file, struct vm_area_struct *area)
{
    struct mshv_vp *vp = file->private_data;
    void *page;

    switch (area->vm_pgoff) {
    case MSHV_VP_MMAP_OFFSET_REGISTERS:
        page = vp->register_page;
        break;
    case MSHV_VP_MMAP_OFFSET_INTERCEPT_MESSAGE:
        page = vp->intercept_page;
        break;
    case MSHV_VP_MMAP_OFFSET_GHCB:
        return -ENODEV;
    default:
        return -EINVAL;
    }
    if (area->vm_end - area->vm_start != PAGE_SIZE || !(area->vm_flags & VM_SHARED))
        return -EINVAL;
    return vm_insert_page(area, area->vm_start, virt_to_page(page));
}

static int vp_release(struct inode *inode, struct file *file)
{
    struct mshv_vp *vp = file->private_data;

    partition_put(vp->partition);
    return 0;
}

static const struct file_operations vp_operations = {
    .owner = THIS_MODULE,
    .release = vp_release,
    .read = vp_read,
    .unlocked_ioctl = vp_ioctl,
    .mmap = vp_mmap,
    .llseek = noop_llseek,
};

void vp_free(struct mshv_vp *vp)
{
    free_page((unsigned long)vp->register_page);
    free_page((unsigned long)vp->intercept_page);
    call_pages_free(&vp->calls);
    kfree(vp->dispatch);
    mutex_destroy(&vp->mutex);
    atomic_long_dec(&driver_counters.virtual_processors);
    kfree(vp);
}

void vp_stop_timer(struct mshv_vp *vp)
{
    hrtimer_cancel(&vp->timer);
}

static struct mshv_vp *vp_allocate(struct mshv_partition *partition, u32 index)
{
    struct mshv_vp *vp = kzalloc(sizeof(*vp), GFP_KERNEL_ACCOUNT);

    if (!vp)
        return NULL;
    atomic_long_inc(&driver_counters.virtual_processors);
    mutex_init(&vp->mutex);
    vp->partition = partition;
    vp->index = index;
    vp->register_page = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
    vp->intercept_page = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
    vp->dispatch = kzalloc(sizeof(*vp->dispatch), GFP_KERNEL_ACCOUNT);
    if (call_pages_allocate(&vp->calls) || !vp->register_page || !vp->intercept_page || !vp->dispatch) {
        vp_free(vp);
        return NULL;
    }
    run_prepare(vp);
    return vp;
}

static u16 map_state_page(struct mshv_vp *vp, enum hv_vp_state_page_type type, const void *page)
{
    const struct hv_input_map_vp_state_page input = {
        .partition_id = vp->partition->id,
        .vp_index = vp->index,
        .type = type,
        .flags = HV_MAP_VP_STATE_PAGE_LOCATION_PROVIDED,
        .requested_pfn = hypercall_address(page) >> HV_PAGE_SHIFT,
    };
    struct hv_output_map_vp_state_page output;

    return deposit_and_run_small(&vp->partition->deposits, HVCALL_MAP_VP_STATE_PAGE, &input, sizeof(input),
                                 &output, sizeof(output));
}

/* An error does no harm: the pages are freed only after the partition is finalized, or the VP deleted. */
void vp_unmap_state_pages(struct mshv_vp *vp)
{
    static const u16 types[] = {HV_VP_STATE_PAGE_REGISTERS, HV_VP_STATE_PAGE_INTERCEPT_MESSAGE};
    unsigned int i;

    for (i = 0; i < ARRAY_SIZE(types); i++) {
        const struct hv_input_unmap_vp_state_page input = {
            .partition_id = vp->partition->id,
            .vp_index = vp->index,
            .type = types[i],
        };

        hypercall_small(HVCALL_UNMAP_VP_STATE_PAGE, &input, sizeof(input), NULL, 0);
    }
}

static u16 create_in_hypervisor(struct mshv_vp *vp)
{
    const struct hv_input_create_vp input = {.partition_id = vp->partition->id, .vp_index = vp->index};

    return deposit_and_run_small(&vp->partition->deposits, HVCALL_CREATE_VP, &input, sizeof(input), NULL, 0);
}

/* False: the hypervisor keeps the VP and its pages until the partition ends. */
static bool delete_in_hypervisor(struct mshv_vp *vp)
{
    vp_unmap_state_pages(vp);
    return hypercall_fast(HVCALL_DELETE_VP, vp->partition->id, vp->index) == HV_STATUS_SUCCESS;
}

static int map_state_pages(struct mshv_vp *vp)
{
    u16 status = map_state_page(vp, HV_VP_STATE_PAGE_INTERCEPT_MESSAGE, vp->intercept_page);

    if (status == HV_STATUS_SUCCESS)
        status = map_state_page(vp, HV_VP_STATE_PAGE_REGISTERS, vp->register_page);
    return hypercall_errno(status);
}

/* A descriptor and a file that holds the partition, for fd_install(). */
static int open_file(struct mshv_vp *vp, struct file **file)
{
    int fd = get_unused_fd_flags(O_CLOEXEC);

    if (fd < 0)
        return fd;
    *file = anon_inode_getfile("mshv_vp", &vp_operations, vp, O_RDWR);
    if (IS_ERR(*file)) {
        put_unused_fd(fd);
        return PTR_ERR(*file);
    }
    partition_get(vp->partition);
    return fd;
}

int vp_create(struct mshv_partition *partition, const struct mshv_create_vp __user *argument)
{
    struct mshv_create_vp request;
    struct file *file;
    struct mshv_vp *vp;
    int result;

    if (copy_from_user(&request, argument, sizeof(request)))
        return -EFAULT;
    if (request.vp_index >= HV_MAXIMUM_VPS)
        return -EINVAL;
    if (partition->vps[request.vp_index])
        return -EEXIST;
    vp = vp_allocate(partition, request.vp_index);
    if (!vp)
        return -ENOMEM;
    result = hypercall_errno(create_in_hypervisor(vp));
    if (result) {
        vp_free(vp);
        return result;
    }
    result = map_state_pages(vp);
    if (result == 0)
        result = open_file(vp, &file);
    if (result < 0 && delete_in_hypervisor(vp)) {
        vp_free(vp);
        return result;
    }
    /* In its place before anyone can run it, so that no wake-up is lost. */
    smp_store_release(&partition->vps[vp->index], vp);
    if (result >= 0)
        fd_install(result, file);
    return result;
}
