// SPDX-License-Identifier: GPL-2.0-or-later
#define pr_fmt(format) KBUILD_MODNAME ": " format

#include <linux/anon_inodes.h>
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "uapi/loam.h"
#include "access_bitmap.h"
#include "counters.h"
#include "ioeventfd.h"
#include "irqfd.h"
#include "memory.h"
#include "partition.h"
#include "root_hvcall.h"
#include "routing.h"
#include "vp.h"

#define SHUT_DOWN_PATIENCE_MS 1000

static DEFINE_MUTEX(partition_list_lock);
static LIST_HEAD(partition_list);
static bool shut_down;

bool partitions_are_shut_down(void)
{
    return READ_ONCE(shut_down);
}

void partitions_shut_down(void)
{
    struct mshv_partition *partition;
    unsigned int waited, i;
    bool busy = true;

    WRITE_ONCE(shut_down, true);
    for (waited = 0; busy && waited < SHUT_DOWN_PATIENCE_MS; waited++) {
        busy = false;
        mutex_lock(&partition_list_lock);
        list_for_each_entry(partition, &partition_list, node) for (i = 0; i < HV_MAXIMUM_VPS; i++)
        {
            struct mshv_vp *vp = smp_load_acquire(&partition->vps[i]);

            if (vp && vp_kick(vp))
                busy = true;
        }
        mutex_unlock(&partition_list_lock);
        if (busy)
            msleep(1);
    }
    if (busy)
        pr_warn("a virtual processor did not stop within %u ms\n", SHUT_DOWN_PATIENCE_MS);
}

void partition_get(struct mshv_partition *partition)
{
    refcount_inc(&partition->references);
}

void partition_wake_vp(struct mshv_partition *partition, u32 vp_index)
{
    struct mshv_vp *vp;

    if (vp_index >= HV_MAXIMUM_VPS)
        return;
    vp = smp_load_acquire(&partition->vps[vp_index]);
    if (vp)
        vp_wake(vp);
}

void partition_wake(struct mshv_partition *partition, const struct loam_vp_set *vps)
{
    unsigned int bank;

    for (bank = 0; bank < ARRAY_SIZE(vps->bank); bank++) {
        u64 bits = vps->bank[bank];

        for (; bits; bits &= bits - 1)
            partition_wake_vp(partition, bank * 64 + __ffs64(bits));
    }
}

static void for_each_vp(struct mshv_partition *partition, void (*act)(struct mshv_vp *vp))
{
    unsigned int i;

    for (i = 0; i < HV_MAXIMUM_VPS; i++)
        if (partition->vps[i])
            act(partition->vps[i]);
}

/*
 * The hypervisor's side of the end. False: it may still use guest memory and state pages, so they must never
 * be freed. No call here depends on memory that could be missing: a failed unmap is made good by FINALIZE.
 */
static bool end_in_hypervisor(struct mshv_partition *partition)
{
    u16 status = HV_STATUS_SUCCESS;

    if (partition->initialized) {
        for_each_vp(partition, vp_unmap_state_pages);
        memory_unmap_all(partition);
        status = hypercall_fast(HVCALL_FINALIZE_PARTITION, partition->id, 0);
        if (status != HV_STATUS_SUCCESS)
            pr_err("partition %#llx cannot be finalized (status %#x): its memory stays out of use\n",
                   partition->id, status);
    }
    deposit_withdraw(&partition->deposits, &partition->calls);
    if (atomic_long_read(&partition->deposits.pages))
        pr_err("partition %#llx keeps %ld deposited pages\n", partition->id,
               atomic_long_read(&partition->deposits.pages));
    if (status == HV_STATUS_SUCCESS) {
        u16 deleted = hypercall_fast(HVCALL_DELETE_PARTITION, partition->id, 0);

        if (deleted != HV_STATUS_SUCCESS)
            pr_err("partition %#llx cannot be deleted (status %#x)\n", partition->id, deleted);
    }
    deposit_withdraw(&parent_deposits, &partition->calls);
    return status == HV_STATUS_SUCCESS;
}

static void partition_free(struct mshv_partition *partition)
{
    call_pages_free(&partition->calls);
    mutex_destroy(&partition->mutex);
    atomic_long_dec(&driver_counters.partitions);
    kfree(partition);
}

/* All files are closed: no thread is in an ioctl of this partition or its VPs, and none can come. */
static void partition_destroy(struct mshv_partition *partition)
{
    mutex_lock(&partition_list_lock);
    list_del(&partition->node);
    mutex_unlock(&partition_list_lock);

    for_each_vp(partition, vp_stop_timer);
    irqfd_release_all(partition);
    routing_release(partition);
    ioeventfd_release_all(partition);
    /* When the machine goes down the hypervisor ends all partitions by itself; what this one had is nobody's.
     */
    if (partitions_are_shut_down() || !end_in_hypervisor(partition))
        return;
    memory_release_all(partition);
    for_each_vp(partition, vp_free);
    partition_free(partition);
}

void partition_put(struct mshv_partition *partition)
{
    if (refcount_dec_and_test(&partition->references))
        partition_destroy(partition);
}

static int partition_release(struct inode *inode, struct file *file)
{
    partition_put(file->private_data);
    return 0;
}

static int partition_initialize(struct mshv_partition *partition)
{
    u16 status;

    if (partition->initialized)
        return 0;
    status = deposit_and_run_fast(&partition->deposits, HVCALL_INITIALIZE_PARTITION, partition->id, 0);
    if (status == HV_STATUS_SUCCESS)
        partition->initialized = true;
    else
        deposit_withdraw(&partition->deposits, &partition->calls);
    return hypercall_errno(status);
}

static long ioctl_locked(struct mshv_partition *partition, unsigned int command, void __user *argument)
{
    switch (command) {
    case MSHV_INITIALIZE_PARTITION:
        return partition_initialize(partition);
    case MSHV_CREATE_VP:
        return vp_create(partition, argument);
    case MSHV_SET_GUEST_MEMORY:
        return memory_set(partition, argument);
    case MSHV_IRQFD:
        return irqfd_set(partition, argument);
    case MSHV_IOEVENTFD:
        return ioeventfd_set(partition, argument);
    case MSHV_SET_MSI_ROUTING:
        return routing_set(partition, argument);
    case MSHV_GET_GPAP_ACCESS_BITMAP:
        return access_bitmap_get(partition, argument);
    default:
        return -ENOTTY;
    }
}

static long partition_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
    struct mshv_partition *partition = file->private_data;
    long result;

    if (partitions_are_shut_down())
        return -ESHUTDOWN;
    if (command == LOAM_GET_PARTITION_ID)
        return put_user(partition->id, (u64 __user *)argument);
    if (command == MSHV_ROOT_HVCALL)
        return root_hvcall_partition(partition, (struct mshv_root_hvcall __user *)argument);
    if (mutex_lock_killable(&partition->mutex))
        return -EINTR;
    result = ioctl_locked(partition, command, (void __user *)argument);
    mutex_unlock(&partition->mutex);
    return result;
}

static const struct file_operations partition_operations = {
    .owner = THIS_MODULE,
    .release = partition_release,
    .unlocked_ioctl = partition_ioctl,
    .llseek = noop_llseek,
};

static const struct {
    u64 flag;
    u64 creation_flag;
} creation_flags[] = {
    {MSHV_PT_LAPIC,                 HV_CREATE_LAPIC                },
    {MSHV_PT_X2APIC,                HV_CREATE_X2APIC               },
    {MSHV_PT_GPA_SUPER_PAGES,       HV_CREATE_GPA_SUPER_PAGES      },
    {MSHV_PT_NESTED_VIRTUALIZATION, HV_CREATE_NESTED_VIRTUALIZATION},
    {MSHV_PT_SMT_ENABLED_GUEST,     HV_CREATE_SMT_ENABLED          },
};

/* The creation hypercall's input from either form of the argument. */
static int read_creation(const struct mshv_create_partition __user *argument,
                         struct hv_input_create_partition *input, u64 *flags)
{
    struct mshv_create_partition_v2 request = {};
    unsigned int i;

    if (copy_from_user(&request, argument, sizeof(struct mshv_create_partition)))
        return -EFAULT;
    *flags = request.pt_flags;
    if (request.pt_flags & ~MSHV_PT_FLAGS_MASK || request.pt_isolation)
        return -EINVAL;
    if (request.pt_flags & MSHV_PT_CPU_AND_XSAVE_FEATURES) {
        if (copy_from_user(&request, argument, sizeof(request)))
            return -EFAULT;
        if (request.pt_flags != *flags || request.pt_isolation ||
            request.pt_num_cpu_fbanks != MSHV_CPU_FEATURE_BANKS ||
            memchr_inv(request.pt_rsvd, 0, sizeof(request.pt_rsvd)) || request.pt_rsvd1[0] ||
            request.pt_rsvd1[1])
            return -EINVAL;
    }
    *input = (struct hv_input_create_partition){
        .creation_flags = HV_CREATE_EXO_PARTITION | HV_CREATE_INTERCEPT_MESSAGE_PAGE,
        .compatibility_version = HV_COMPATIBILITY_VERSION,
        .disabled_processor_features = {request.pt_cpu_fbanks[0], request.pt_cpu_fbanks[1]},
        .disabled_xsave_features = request.pt_disabled_xsave,
    };
    for (i = 0; i < ARRAY_SIZE(creation_flags); i++)
        if (*flags & creation_flags[i].flag)
            input->creation_flags |= creation_flags[i].creation_flag;
    return 0;
}

static int create_in_hypervisor(struct mshv_partition *partition,
                                const struct hv_input_create_partition *input)
{
    struct hv_partition_id_only output = {};
    u16 status = deposit_and_run_small(&parent_deposits, HVCALL_CREATE_PARTITION, input, sizeof(*input),
                                       &output, sizeof(output));

    partition->id = output.partition_id;
    partition->deposits.partition_id = output.partition_id;
    return hypercall_errno(status);
}

static struct mshv_partition *partition_allocate(u64 flags)
{
    struct mshv_partition *partition = kzalloc(sizeof(*partition), GFP_KERNEL_ACCOUNT);

    if (!partition)
        return NULL;
    if (call_pages_allocate(&partition->calls)) {
        kfree(partition);
        return NULL;
    }
    partition->super_pages = flags & MSHV_PT_GPA_SUPER_PAGES;
    refcount_set(&partition->references, 1);
    mutex_init(&partition->mutex);
    INIT_LIST_HEAD(&partition->regions);
    INIT_LIST_HEAD(&partition->ioeventfds);
    INIT_LIST_HEAD(&partition->irqfds);
    spin_lock_init(&partition->irqfd_lock);
    atomic_long_inc(&driver_counters.partitions);
    return partition;
}

/* From here on partition_destroy() undoes everything, also after a failure to give it a file. */
static int publish(struct mshv_partition *partition)
{
    struct file *file;
    int fd;

    mutex_lock(&partition_list_lock);
    list_add(&partition->node, &partition_list);
    mutex_unlock(&partition_list_lock);
    fd = get_unused_fd_flags(O_CLOEXEC);
    if (fd < 0) {
        partition_put(partition);
        return fd;
    }
    file = anon_inode_getfile("mshv_partition", &partition_operations, partition, O_RDWR);
    if (IS_ERR(file)) {
        put_unused_fd(fd);
        partition_put(partition);
        return PTR_ERR(file);
    }
    fd_install(fd, file);
    return fd;
}

int partition_create(const struct mshv_create_partition __user *argument)
{
    struct hv_input_create_partition input;
    struct mshv_partition *partition;
    u64 flags;
    int error;

    error = read_creation(argument, &input, &flags);
    if (error)
        return error;
    partition = partition_allocate(flags);
    if (!partition)
        return -ENOMEM;
    error = create_in_hypervisor(partition, &input);
    if (error) {
        deposit_withdraw(&parent_deposits, &partition->calls);
        partition_free(partition);
        return error;
    }
    /* The machine may have begun to go down meanwhile, and the hypervisor have removed the others already. */
    if (partitions_are_shut_down()) {
        hypercall_fast(HVCALL_DELETE_PARTITION, partition->id, 0);
        partition_free(partition);
        return -ESHUTDOWN;
    }
    return publish(partition);
}
