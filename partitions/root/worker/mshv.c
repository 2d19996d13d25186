/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/mshv.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "uapi/loam.h"

/*
 * A read of 0 bytes runs a VP (docs/private-interface.md). A kick must not be lost between the test of
 * *attention and the read, which has no argument that could close the gap. So the two are made one: a thread
 * that the signal finds anywhere from the test up to the system call instruction is moved to the exit by the
 * handler; one that is further has the read interrupted by the kernel.
 */
long mshv_enter_vp(int descriptor, void *buffer, size_t size, const void *attention);
extern const char mshv_enter_vp_inside[], mshv_enter_vp_kicked[];
__asm__(".pushsection .text\n"
        ".globl mshv_enter_vp, mshv_enter_vp_inside, mshv_enter_vp_kicked\n"
        ".type mshv_enter_vp, @function\n"
        "mshv_enter_vp:\n"
        "    endbr64\n"
        "    cmpl $0, (%rcx)\n"
        "    jne mshv_enter_vp_kicked\n"
        "    xor %eax, %eax\n" /* SYS_read */
        "    syscall\n"
        "mshv_enter_vp_inside:\n"
        "    ret\n"
        "mshv_enter_vp_kicked:\n"
        "    mov $-4, %rax\n" /* -EINTR */
        "    ret\n"
        ".size mshv_enter_vp, . - mshv_enter_vp\n"
        ".popsection\n");

static void kicked(int number, siginfo_t *information, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    uintptr_t rip = (uintptr_t)registers[REG_RIP];

    (void)number;
    (void)information;
    if (rip >= (uintptr_t)mshv_enter_vp && rip < (uintptr_t)mshv_enter_vp_inside)
        registers[REG_RIP] = (greg_t)(uintptr_t)mshv_enter_vp_kicked;
}

static struct mshv *as_mshv(struct hypervisor *hypervisor)
{
    return (struct mshv *)((char *)hypervisor - offsetof(struct mshv, hypervisor));
}

static int result(int value)
{
    return value < 0 ? -errno : value;
}

static int create_partition(struct hypervisor *hypervisor, uint64_t flags)
{
    struct mshv *mshv = as_mshv(hypervisor);
    struct mshv_create_partition request = {.pt_flags = flags};

    mshv->partition = ioctl(mshv->device, MSHV_CREATE_PARTITION, &request);
    return mshv->partition < 0 ? -errno : 0;
}

static int initialize_partition(struct hypervisor *hypervisor)
{
    return result(ioctl(as_mshv(hypervisor)->partition, MSHV_INITIALIZE_PARTITION));
}

static int partition_id(struct hypervisor *hypervisor, uint64_t *id)
{
    return result(ioctl(as_mshv(hypervisor)->partition, LOAM_GET_PARTITION_ID, id));
}

static int set_memory(struct hypervisor *hypervisor, const struct mshv_user_mem_region *region)
{
    return result(ioctl(as_mshv(hypervisor)->partition, MSHV_SET_GUEST_MEMORY, region));
}

static int written_pages(struct hypervisor *hypervisor, uint64_t first, uint64_t count,
                         enum mshv_gpap_access_op operation, uint64_t *bitmap)
{
    struct mshv_gpap_access_bitmap request = {.access_type = MSHV_GPAP_ACCESS_TYPE_DIRTY,
                                              .access_op = (uint8_t)operation,
                                              .page_count = count,
                                              .gpap_base = first,
                                              .bitmap_ptr = (uintptr_t)bitmap};

    if (count == 0)
        return 0;
    bitmap[(count - 1) / 64] = 0; /* the driver writes bytes */
    return result(ioctl(as_mshv(hypervisor)->partition, MSHV_GET_GPAP_ACCESS_BITMAP, &request));
}

static int call(struct hypervisor *hypervisor, struct mshv_root_hvcall *request)
{
    return result(ioctl(as_mshv(hypervisor)->partition, MSHV_ROOT_HVCALL, request));
}

static void *map_page(int descriptor, enum mshv_vp_mmap_offset page)
{
    return mmap(NULL, HV_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor,
                (off_t)page * HV_PAGE_SIZE);
}

static void unmap_page(const void *page)
{
    if (page != MAP_FAILED)
        munmap((void *)page, HV_PAGE_SIZE);
}

static int create_vp(struct hypervisor *hypervisor, uint32_t index, struct vp_pages *pages)
{
    struct mshv *mshv = as_mshv(hypervisor);
    struct mshv_create_vp request = {.vp_index = index};
    int descriptor;

    if (index != mshv->vp_count || index >= HV_MAXIMUM_VPS)
        return -EINVAL;
    descriptor = ioctl(mshv->partition, MSHV_CREATE_VP, &request);
    if (descriptor < 0)
        return -errno;
    pages->registers = map_page(descriptor, MSHV_VP_MMAP_OFFSET_REGISTERS);
    pages->message = map_page(descriptor, MSHV_VP_MMAP_OFFSET_INTERCEPT_MESSAGE);
    if (pages->registers == MAP_FAILED || pages->message == MAP_FAILED) {
        int error = -errno;

        unmap_page(pages->registers);
        unmap_page(pages->message);
        close(descriptor);
        return error;
    }
    mshv->vps[index].descriptor = descriptor;
    mshv->vps[index].pages = *pages;
    mshv->vp_count++;
    return 0;
}

static int run_vp(struct hypervisor *hypervisor, uint32_t index, const atomic_uint *attention)
{
    return (int)mshv_enter_vp(as_mshv(hypervisor)->vps[index].descriptor, NULL, 0, attention);
}

static void kick_vp(struct hypervisor *hypervisor, uint32_t index, pthread_t thread)
{
    (void)hypervisor;
    (void)index;
    pthread_kill(thread, SIGUSR1);
}

static int vp_state(struct hypervisor *hypervisor, uint32_t index, unsigned long request,
                    enum mshv_vp_state_type type, void *page)
{
    struct mshv_get_set_vp_state state = {
        .type = (uint8_t)type, .buf_sz = HV_PAGE_SIZE, .buf_ptr = (uintptr_t)page};

    return result(ioctl(as_mshv(hypervisor)->vps[index].descriptor, request, &state));
}

static int get_vp_state(struct hypervisor *hypervisor, uint32_t index, enum mshv_vp_state_type type,
                        void *page)
{
    return vp_state(hypervisor, index, MSHV_GET_VP_STATE, type, page);
}

static int set_vp_state(struct hypervisor *hypervisor, uint32_t index, enum mshv_vp_state_type type,
                        void *page)
{
    return vp_state(hypervisor, index, MSHV_SET_VP_STATE, type, page);
}

static const struct hypervisor_operations operations = {
    .create_partition = create_partition,
    .initialize_partition = initialize_partition,
    .partition_id = partition_id,
    .set_memory = set_memory,
    .written_pages = written_pages,
    .call = call,
    .create_vp = create_vp,
    .run_vp = run_vp,
    .kick_vp = kick_vp,
    .get_vp_state = get_vp_state,
    .set_vp_state = set_vp_state,
};

int mshv_open(struct mshv *mshv, const char *device_path)
{
    struct sigaction action = {.sa_sigaction = kicked, .sa_flags = SA_SIGINFO | SA_RESTART};

    *mshv = (struct mshv){.hypervisor = {&operations}, .device = -1, .partition = -1};
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGUSR1, &action, NULL) != 0)
        return -errno;
    mshv->device = open(device_path, O_RDWR | O_CLOEXEC);
    return mshv->device < 0 ? -errno : 0;
}

void mshv_close(struct mshv *mshv)
{
    for (uint32_t i = 0; i < mshv->vp_count; i++) {
        unmap_page(mshv->vps[i].pages.registers);
        unmap_page(mshv->vps[i].pages.message);
        close(mshv->vps[i].descriptor);
    }
    if (mshv->partition >= 0)
        close(mshv->partition);
    if (mshv->device >= 0)
        close(mshv->device);
    *mshv = (struct mshv){.device = -1, .partition = -1};
}
