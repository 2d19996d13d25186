// SPDX-License-Identifier: GPL-2.0-or-later
/* Partitions, VPs, their files and maps. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/driver/machine.h"
#include "tests/driver/test.h"

#define UNKNOWN_IOCTL _IO(MSHV_IOCTL, 0x55)

static int open_device(void)
{
    int device = open("/dev/mshv", O_RDWR | O_CLOEXEC);

    CHECK(device >= 0);
    return device;
}

static void device_modes(void)
{
    struct stat status;

    CHECK_EQUAL(stat("/dev/mshv", &status), 0);
    CHECK_EQUAL(status.st_mode & 0777, 0600);
    CHECK_EQUAL(stat("/dev/loam", &status), 0);
    CHECK_EQUAL(status.st_mode & 0777, 0440);
}

static void unknown_ioctls(void)
{
    struct machine machine;

    machine_create(&machine, MACHINE_FLAGS, 0);
    machine_create_vp(&machine, 1);
    CHECK_ERRNO(ioctl(machine.device, UNKNOWN_IOCTL), ENOTTY);
    CHECK_ERRNO(ioctl(machine.partition, UNKNOWN_IOCTL), ENOTTY);
    CHECK_ERRNO(ioctl(machine.vp[1], UNKNOWN_IOCTL), ENOTTY);
    /* the same numbers mean other things on other files */
    CHECK_ERRNO(ioctl(machine.device, MSHV_CREATE_VP, NULL), ENOTTY);
    CHECK_ERRNO(ioctl(machine.vp[1], MSHV_SET_GUEST_MEMORY, NULL), ENOTTY);
    CHECK_ERRNO(ioctl(machine.partition, MSHV_RUN_VP, NULL), ENOTTY);
    machine_destroy(&machine);
}

static void create_partition_refuses(void)
{
    struct mshv_create_partition_v2 good = {.pt_flags = MACHINE_FLAGS | MSHV_PT_CPU_AND_XSAVE_FEATURES,
                                            .pt_num_cpu_fbanks = MSHV_CPU_FEATURE_BANKS};
    struct mshv_create_partition_v2 request;
    struct mshv_create_partition old = {.pt_flags = 1u << 6};
    int device = open_device(), fd;

    CHECK_ERRNO(ioctl(device, MSHV_CREATE_PARTITION, &old), EINVAL);
    old = (struct mshv_create_partition){.pt_isolation = 1};
    CHECK_ERRNO(ioctl(device, MSHV_CREATE_PARTITION, &old), EINVAL);
    CHECK_ERRNO(ioctl(device, MSHV_CREATE_PARTITION, NULL), EFAULT);
    request = good;
    request.pt_num_cpu_fbanks = 1;
    CHECK_ERRNO(ioctl(device, MSHV_CREATE_PARTITION, &request), EINVAL);
    request = good;
    request.pt_rsvd[5] = 1;
    CHECK_ERRNO(ioctl(device, MSHV_CREATE_PARTITION, &request), EINVAL);
    request = good;
    request.pt_rsvd1[1] = 1;
    CHECK_ERRNO(ioctl(device, MSHV_CREATE_PARTITION, &request), EINVAL);
    fd = ioctl(device, MSHV_CREATE_PARTITION, &good);
    CHECK(fd >= 0);
    CHECK_EQUAL(fcntl(fd, F_GETFD), FD_CLOEXEC);
    close(fd);
}

static void use_before_initialize(void)
{
    struct mshv_create_partition request = {.pt_flags = MACHINE_FLAGS};
    struct mshv_create_vp vp = {0};
    static uint8_t page[HV_PAGE_SIZE] __attribute__((aligned(HV_PAGE_SIZE)));
    struct machine machine = {.device = open_device()};
    uint64_t id = 0;

    machine.partition = ioctl(machine.device, MSHV_CREATE_PARTITION, &request);
    CHECK(machine.partition >= 0);
    CHECK_EQUAL(ioctl(machine.partition, LOAM_GET_PARTITION_ID, &id), 0);
    CHECK(id != HV_PARTITION_ID_INVALID && id != HV_PARTITION_ID_SELF);
    CHECK_ERRNO(ioctl(machine.partition, MSHV_CREATE_VP, &vp), EIO);
    CHECK_ERRNO(machine_set_memory(&machine, MSHV_SET_MEM_WRITABLE, 0, page, sizeof(page)), EIO);
    CHECK_EQUAL(ioctl(machine.partition, MSHV_INITIALIZE_PARTITION), 0);
    CHECK_EQUAL(ioctl(machine.partition, MSHV_INITIALIZE_PARTITION), 0);
    CHECK_EQUAL(machine_set_memory(&machine, MSHV_SET_MEM_WRITABLE, 0, page, sizeof(page)), 0);
}

static void create_vp_refuses(void)
{
    struct mshv_create_vp request = {.vp_index = HV_MAXIMUM_VPS};
    struct machine machine;

    machine_create(&machine, MACHINE_FLAGS, 0);
    CHECK_ERRNO(ioctl(machine.partition, MSHV_CREATE_VP, &request), EINVAL);
    request.vp_index = UINT32_MAX;
    CHECK_ERRNO(ioctl(machine.partition, MSHV_CREATE_VP, &request), EINVAL);
    CHECK_ERRNO(ioctl(machine.partition, MSHV_CREATE_VP, NULL), EFAULT);
    machine_create_vp(&machine, 0);
    request.vp_index = 0;
    CHECK_ERRNO(ioctl(machine.partition, MSHV_CREATE_VP, &request), EEXIST);
    /* a VP lives as long as its partition */
    CHECK_EQUAL(munmap(machine.registers[0], HV_PAGE_SIZE), 0);
    CHECK_EQUAL(close(machine.vp[0]), 0);
    CHECK_ERRNO(ioctl(machine.partition, MSHV_CREATE_VP, &request), EEXIST);
}

static void maps(void)
{
    struct machine machine;
    int vp;

    machine_create(&machine, MACHINE_FLAGS, 0);
    machine_create_vp(&machine, 0);
    vp = machine.vp[0];
    CHECK_ERRNO(mmap(NULL, 4096, PROT_READ, MAP_SHARED, vp, 2 * 4096), ENODEV);
    CHECK_ERRNO(mmap(NULL, 4096, PROT_READ, MAP_SHARED, vp, 3 * 4096), EINVAL);
    CHECK_ERRNO(mmap(NULL, 2 * 4096, PROT_READ, MAP_SHARED, vp, 0), EINVAL);
    CHECK_ERRNO(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, vp, 0), EINVAL);
    CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, vp, 4096) != MAP_FAILED);
}

/* A map holds its VP, and that the partition, after all descriptors are closed. */
static void map_outlives_files(void)
{
    struct test_counters counters;
    struct machine machine;

    machine_create(&machine, MACHINE_FLAGS, MACHINE_RAM);
    machine_create_vp(&machine, 0);
    close(machine.partition);
    close(machine.device);
    close(machine.vp[0]);
    memset(machine.registers[0]->reserved2, 0xA5, sizeof(machine.registers[0]->reserved2));
    test_read_counters(&counters);
    CHECK_EQUAL(counters.partitions, 1);
    CHECK_EQUAL(counters.virtual_processors, 1);
    CHECK_EQUAL(counters.pinned_pages, MACHINE_RAM / HV_PAGE_SIZE);
    CHECK(counters.deposited_pages > 0);
    CHECK_EQUAL(munmap(machine.registers[0], HV_PAGE_SIZE), 0);
    test_check_no_leak("the last unmap");
}

static void many_partitions(void)
{
    struct machine machines[20];
    unsigned i;

    for (i = 0; i < 20; i++) {
        machine_create(&machines[i], MACHINE_FLAGS, MACHINE_RAM);
        machine_create_vp(&machines[i], 0);
        machine_create_vp(&machines[i], 1);
    }
    for (i = 0; i < 20; i++)
        machine_destroy(&machines[i * 7 % 20]);
}

const struct test partition_tests[] = {
    {"device_modes",             device_modes,             false},
    {"unknown_ioctls",           unknown_ioctls,           false},
    {"create_partition_refuses", create_partition_refuses, false},
    {"use_before_initialize",    use_before_initialize,    false},
    {"create_vp_refuses",        create_vp_refuses,        false},
    {"maps",                     maps,                     false},
    {"map_outlives_files",       map_outlives_files,       false},
    {"many_partitions",          many_partitions,          false},
    {NULL,                       NULL,                     false},
};
