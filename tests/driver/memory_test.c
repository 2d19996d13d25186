// SPDX-License-Identifier: GPL-2.0-or-later
/* Guest memory. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "hv/status.h"
#include "tests/driver/machine.h"
#include "tests/driver/test.h"

#define READ_WRITE (MSHV_SET_MEM_WRITABLE | MSHV_SET_MEM_EXECUTABLE)
#define PORT       0x10
#define PAGES(n)   ((size_t)(n)*HV_PAGE_SIZE)

static uint8_t *map_memory(size_t size)
{
    uint8_t *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(memory != MAP_FAILED);
    return memory;
}

/* The pages that the hypervisor maps in this partition. */
static uint64_t mapped_pages(const struct machine *machine)
{
    struct loam_statistics statistics = {.type = LOAM_STATISTICS_PARTITION};
    int host = open("/dev/loam", O_RDONLY | O_CLOEXEC);

    CHECK(host >= 0);
    CHECK_EQUAL(ioctl(machine->partition, LOAM_GET_PARTITION_ID, &statistics.partition_id), 0);
    CHECK_EQUAL(ioctl(host, LOAM_GET_STATISTICS, &statistics), 0);
    close(host);
    return statistics.result.counter[LOAM_PARTITION_MAPPED_PAGES];
}

static long pinned_pages(void)
{
    struct test_counters counters;

    test_read_counters(&counters);
    return counters.pinned_pages;
}

static void memory_refuses(void)
{
    struct mshv_user_mem_region region;
    uint8_t *memory = map_memory(PAGES(8));
    struct machine machine;

    machine_create(&machine, MACHINE_FLAGS, 0);
    CHECK_ERRNO(machine_set_memory(&machine, READ_WRITE, 0, memory, 0), EINVAL);
    CHECK_ERRNO(machine_set_memory(&machine, READ_WRITE, 0, memory, 100), EINVAL);
    CHECK_ERRNO(machine_set_memory(&machine, READ_WRITE, 0, memory + 1, PAGES(1)), EINVAL);
    CHECK_ERRNO(machine_set_memory(&machine, 0x8, 0, memory, PAGES(1)), EINVAL);
    CHECK_ERRNO(machine_set_memory(&machine, READ_WRITE, 1ull << 40, memory, PAGES(1)), EINVAL);
    CHECK_ERRNO(machine_set_memory(&machine, READ_WRITE, (1ull << 40) - 1, memory, PAGES(2)), EINVAL);
    CHECK_ERRNO(machine_set_memory(&machine, READ_WRITE, ~0ull, memory, PAGES(2)), EINVAL);
    CHECK_ERRNO(machine_set_memory(&machine, READ_WRITE, 0, (void *)HV_PAGE_SIZE, PAGES(1)), EINVAL);
    CHECK_ERRNO(machine_set_memory(&machine, READ_WRITE, 0, memory, 1ull << 46), ENOMEM);
    CHECK_ERRNO(ioctl(machine.partition, MSHV_SET_GUEST_MEMORY, NULL), EFAULT);
    region = (struct mshv_user_mem_region){
        .size = PAGES(1), .userspace_addr = (uintptr_t)memory, .rsvd = {[6] = 1}};
    CHECK_ERRNO(ioctl(machine.partition, MSHV_SET_GUEST_MEMORY, &region), EINVAL);
    /* a hole behind the first page */
    CHECK_EQUAL(munmap(memory + PAGES(4), PAGES(1)), 0);
    CHECK_ERRNO(machine_set_memory(&machine, READ_WRITE, 0, memory, PAGES(8)), EFAULT);
    CHECK_EQUAL(pinned_pages(), 0);
    CHECK_EQUAL(mapped_pages(&machine), 0);
    machine_destroy(&machine);
}

static void overlaps(void)
{
    uint8_t *memory = map_memory(PAGES(16));
    struct machine machine;

    machine_create(&machine, MACHINE_FLAGS, 0);
    CHECK_EQUAL(machine_set_memory(&machine, READ_WRITE, 16, memory, PAGES(4)), 0);
    CHECK_ERRNO(machine_set_memory(&machine, READ_WRITE, 16, memory, PAGES(4)), EEXIST);
    CHECK_ERRNO(machine_set_memory(&machine, READ_WRITE, 19, memory, PAGES(1)), EEXIST);
    CHECK_ERRNO(machine_set_memory(&machine, READ_WRITE, 15, memory, PAGES(2)), EEXIST);
    CHECK_ERRNO(machine_set_memory(&machine, READ_WRITE, 10, memory, PAGES(16)), EEXIST);
    CHECK_EQUAL(machine_set_memory(&machine, READ_WRITE, 20, memory + PAGES(4), PAGES(1)), 0);
    CHECK_EQUAL(machine_set_memory(&machine, READ_WRITE, 15, memory + PAGES(5), PAGES(1)), 0);
    /* the same host memory twice is how a VMM makes an alias */
    CHECK_EQUAL(machine_set_memory(&machine, READ_WRITE, 100, memory, PAGES(4)), 0);
    CHECK_EQUAL(mapped_pages(&machine), 10);
    CHECK_EQUAL(pinned_pages(), 10);
    machine_destroy(&machine);
}

static void unmap(void)
{
    uint8_t *memory = map_memory(PAGES(8));
    struct machine machine;

    machine_create(&machine, MACHINE_FLAGS, 0);
    CHECK_ERRNO(machine_set_memory(&machine, MSHV_SET_MEM_UNMAP, 16, memory, PAGES(4)), ENOENT);
    CHECK_EQUAL(machine_set_memory(&machine, READ_WRITE, 16, memory, PAGES(4)), 0);
    CHECK_ERRNO(machine_set_memory(&machine, MSHV_SET_MEM_UNMAP, 16, memory, PAGES(3)), EINVAL);
    CHECK_ERRNO(machine_set_memory(&machine, MSHV_SET_MEM_UNMAP, 17, memory, PAGES(4)), EINVAL);
    CHECK_ERRNO(machine_set_memory(&machine, MSHV_SET_MEM_UNMAP, 16, memory + PAGES(1), PAGES(4)), EINVAL);
    CHECK_ERRNO(machine_set_memory(&machine, MSHV_SET_MEM_UNMAP, 20, memory, PAGES(4)), ENOENT);
    CHECK_EQUAL(machine_set_memory(&machine, MSHV_SET_MEM_UNMAP | READ_WRITE, 16, memory, PAGES(4)), 0);
    CHECK_EQUAL(mapped_pages(&machine), 0);
    CHECK_EQUAL(pinned_pages(), 0);
    CHECK_ERRNO(machine_set_memory(&machine, MSHV_SET_MEM_UNMAP, 16, memory, PAGES(4)), ENOENT);
    machine_destroy(&machine);
}

/* Large pages where host and guest addresses allow, small ones around them; many deposits. */
static void large_memory(void)
{
    const size_t size = 64u << 20;
    struct machine machine;
    uint8_t *memory = map_memory(size + HV_LARGE_PAGE_SIZE);
    uint8_t *aligned = memory + (-(uintptr_t)memory & (HV_LARGE_PAGE_SIZE - 1));
    unsigned round;

    CHECK_EQUAL(madvise(aligned, size, MADV_HUGEPAGE), 0);
    memset(aligned, 1, size);
    machine_create(&machine, MACHINE_FLAGS | MSHV_PT_GPA_SUPER_PAGES, 0);
    for (round = 0; round < 2; round++) {
        /* congruent addresses, then ones that forbid large pages, then ragged ends */
        CHECK_EQUAL(machine_set_memory(&machine, READ_WRITE, 512 * 4, aligned, size), 0);
        CHECK_EQUAL(mapped_pages(&machine), size / HV_PAGE_SIZE);
        CHECK_EQUAL(machine_set_memory(&machine, READ_WRITE, 0x100001, aligned, size), 0);
        CHECK_EQUAL(machine_set_memory(&machine, READ_WRITE, 0x200005, aligned + PAGES(5), size - PAGES(17)),
                    0);
        CHECK_EQUAL(mapped_pages(&machine), 3 * size / HV_PAGE_SIZE - 17);
        CHECK_EQUAL(machine_set_memory(&machine, MSHV_SET_MEM_UNMAP, 512 * 4, aligned, size), 0);
        CHECK_EQUAL(
            machine_set_memory(&machine, MSHV_SET_MEM_UNMAP, 0x200005, aligned + PAGES(5), size - PAGES(17)),
            0);
        CHECK_EQUAL(machine_set_memory(&machine, MSHV_SET_MEM_UNMAP, 0x100001, aligned, size), 0);
        CHECK_EQUAL(mapped_pages(&machine), 0);
    }
    machine_destroy(&machine);
}

/* The processor may have to split large pages before it executes from them (docs/security.md). */
static void code_in_large_memory(void)
{
    const uint8_t flags = READ_WRITE | MSHV_SET_MEM_EXECUTABLE;
    const size_t size = 2 * HV_LARGE_PAGE_SIZE;
    uint8_t *memory = map_memory(size + HV_LARGE_PAGE_SIZE);
    uint8_t *aligned = memory + (-(uintptr_t)memory & (HV_LARGE_PAGE_SIZE - 1));
    struct machine machine;
    unsigned i;

    CHECK_EQUAL(madvise(aligned, size, MADV_HUGEPAGE), 0);
    machine_create(&machine, MACHINE_FLAGS | MSHV_PT_GPA_SUPER_PAGES, 0);
    CHECK_EQUAL(machine_set_memory(&machine, flags, HV_PAGES_PER_LARGE_PAGE, aligned, size), 0);
    machine_create_vp(&machine, 0);
    for (i = 0; i < 6; i++) {
        uint64_t base = (1 + i % 2) * HV_LARGE_PAGE_SIZE, rip = MACHINE_CODE;
        struct hv_x64_segment_register cs = {.base = base, .limit = 0xFFFF, .attributes = 0x9B};
        struct code code = {.size = 0};

        code_out(&code, PORT, (uint8_t)i);
        memcpy(aligned + base - HV_LARGE_PAGE_SIZE + MACHINE_CODE, code.bytes, code.size);
        machine_set_register(machine.vp[0], 0, HV_X64_REGISTER_CS, &cs, sizeof(cs));
        machine_set_register(machine.vp[0], 0, HV_X64_REGISTER_RIP, &rip, sizeof(rip));
        CHECK_EQUAL(machine_run_to_out(&machine, 0, PORT), i);
    }
    machine_destroy(&machine);
    CHECK_EQUAL(munmap(memory, size + HV_LARGE_PAGE_SIZE), 0);
}

static void drop_privileges(size_t limit)
{
    struct rlimit memlock = {.rlim_cur = limit, .rlim_max = limit};

    CHECK_EQUAL(setrlimit(RLIMIT_MEMLOCK, &memlock), 0);
    CHECK_EQUAL(setuid(65534), 0);
}

static void memory_limit(void)
{
    uint8_t *memory = map_memory(PAGES(64));
    struct machine machine;
    unsigned round;

    machine_create(&machine, MACHINE_FLAGS, 0);
    drop_privileges(PAGES(32));
    CHECK_ERRNO(machine_set_memory(&machine, READ_WRITE, 0, memory, PAGES(33)), ENOMEM);
    for (round = 0; round < 3; round++) {
        CHECK_EQUAL(machine_set_memory(&machine, READ_WRITE, 0, memory, PAGES(20)), 0);
        CHECK_ERRNO(machine_set_memory(&machine, READ_WRITE, 100, memory, PAGES(13)), ENOMEM);
        CHECK_EQUAL(machine_set_memory(&machine, READ_WRITE, 100, memory, PAGES(12)), 0);
        CHECK_EQUAL(machine_set_memory(&machine, MSHV_SET_MEM_UNMAP, 0, memory, PAGES(20)), 0);
        CHECK_EQUAL(machine_set_memory(&machine, MSHV_SET_MEM_UNMAP, 100, memory, PAGES(12)), 0);
    }
}

/* What is refused for lack of memory leaves nothing behind. */
static void failed_map_unwinds(void)
{
    uint8_t *memory = map_memory(PAGES(600));
    struct machine machine;
    unsigned call;

    machine_create(&machine, MACHINE_FLAGS, 0);
    for (call = 1; call < 8; call++) {
        test_set_parameter("fail_status", HV_STATUS_OPERATION_FAILED);
        test_set_parameter("fail_count", 1);
        test_set_parameter("fail_call", call);
        if (machine_set_memory(&machine, READ_WRITE, 0, memory, PAGES(600)) == 0) {
            CHECK_EQUAL(machine_set_memory(&machine, MSHV_SET_MEM_UNMAP, 0, memory, PAGES(600)), 0);
        } else {
            CHECK_EQUAL(errno, EIO);
            CHECK_EQUAL(mapped_pages(&machine), 0);
        }
        test_set_parameter("fail_call", 0);
        CHECK_EQUAL(mapped_pages(&machine), 0);
        CHECK_EQUAL(pinned_pages(), 0);
    }
    machine_destroy(&machine);
}

const struct test memory_tests[] = {
    {"memory_refuses",       memory_refuses,       false},
    {"overlaps",             overlaps,             false},
    {"unmap",                unmap,                false},
    {"large_memory",         large_memory,         false},
    {"code_in_large_memory", code_in_large_memory, false},
    {"memory_limit",         memory_limit,         false},
    {"failed_map_unwinds",   failed_map_unwinds,   true },
    {NULL,                   NULL,                 false},
};
