// SPDX-License-Identifier: GPL-2.0-or-later
/* Which pages the guest has used and written. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/driver/machine.h"
#include "tests/driver/test.h"

#define PORT     0x10
#define ACCESSED MSHV_GPAP_ACCESS_TYPE_ACCESSED
#define DIRTY    MSHV_GPAP_ACCESS_TYPE_DIRTY
#define NOOP     MSHV_GPAP_ACCESS_OP_NOOP
#define CLEAR    MSHV_GPAP_ACCESS_OP_CLEAR
#define SET      MSHV_GPAP_ACCESS_OP_SET
#define BIT(n)   (1ull << (n))

/* Of at most 64 pages. */
static uint64_t bitmap(const struct machine *machine, uint8_t type, uint8_t operation, uint64_t first, uint64_t count)
{
    uint64_t bits = 0;
    struct mshv_gpap_access_bitmap request = {.access_type = type,
                                              .access_op = operation,
                                              .page_count = count,
                                              .gpap_base = first,
                                              .bitmap_ptr = (uintptr_t)&bits};

    CHECK_EQUAL(ioctl(machine->partition, MSHV_GET_GPAP_ACCESS_BITMAP, &request), 0);
    return bits;
}

/* mov [address], al */
static void code_store(struct code *code, uint16_t address)
{
    CODE(code, 0xA2, (uint8_t)address, (uint8_t)(address >> 8));
}

static void access_refuses(void)
{
    uint64_t bits;
    const struct mshv_gpap_access_bitmap good = {.page_count = 1, .bitmap_ptr = (uintptr_t)&bits};
    struct mshv_gpap_access_bitmap request = good;
    struct machine machine;

    machine_create(&machine, MACHINE_FLAGS, 0);
    CHECK_EQUAL(ioctl(machine.partition, MSHV_GET_GPAP_ACCESS_BITMAP, &request), 0);
    CHECK_ERRNO(ioctl(machine.partition, MSHV_GET_GPAP_ACCESS_BITMAP, NULL), EFAULT);
    request.access_type = MSHV_GPAP_ACCESS_TYPE_COUNT;
    CHECK_ERRNO(ioctl(machine.partition, MSHV_GET_GPAP_ACCESS_BITMAP, &request), EINVAL);
    request = good;
    request.access_op = MSHV_GPAP_ACCESS_OP_COUNT;
    CHECK_ERRNO(ioctl(machine.partition, MSHV_GET_GPAP_ACCESS_BITMAP, &request), EINVAL);
    request = good;
    request.rsvd[5] = 1;
    CHECK_ERRNO(ioctl(machine.partition, MSHV_GET_GPAP_ACCESS_BITMAP, &request), EINVAL);
    request = good;
    request.page_count = 0;
    CHECK_ERRNO(ioctl(machine.partition, MSHV_GET_GPAP_ACCESS_BITMAP, &request), EINVAL);
    request = good;
    request.bitmap_ptr = 0;
    CHECK_ERRNO(ioctl(machine.partition, MSHV_GET_GPAP_ACCESS_BITMAP, &request), EINVAL);
    request.bitmap_ptr = 8;
    CHECK_ERRNO(ioctl(machine.partition, MSHV_GET_GPAP_ACCESS_BITMAP, &request), EFAULT);
    request = good;
    request.gpap_base = 1ull << 40;
    CHECK_ERRNO(ioctl(machine.partition, MSHV_GET_GPAP_ACCESS_BITMAP, &request), EINVAL);
    request.gpap_base = ~0ull;
    request.page_count = 2;
    CHECK_ERRNO(ioctl(machine.partition, MSHV_GET_GPAP_ACCESS_BITMAP, &request), EINVAL);
    request.gpap_base = 1;
    request.page_count = (1ull << 40) - 1;
    CHECK_ERRNO(ioctl(machine.partition, MSHV_GET_GPAP_ACCESS_BITMAP, &request), E2BIG);
    request.page_count = ~0ull;
    CHECK_ERRNO(ioctl(machine.partition, MSHV_GET_GPAP_ACCESS_BITMAP, &request), EINVAL);
    machine_destroy(&machine);
}

/* The guest has stored to pages 2, 5 and 15 and comes back for more; its code is in page 1. */
static void known_writes(struct machine *machine, const struct code *code)
{
    machine_load(machine, MACHINE_CODE, code->bytes, code->size);
    machine_create_vp(machine, 0);
    bitmap(machine, ACCESSED, CLEAR, 0, 64);
    CHECK_EQUAL(bitmap(machine, DIRTY, NOOP, 0, 64), 0);
    CHECK_EQUAL(machine_run_to_out(machine, 0, PORT), 1);
    CHECK_EQUAL(bitmap(machine, DIRTY, NOOP, 0, 64), BIT(2) | BIT(5) | BIT(15));
    CHECK_EQUAL(bitmap(machine, DIRTY, NOOP, 3, 11), BIT(5 - 3));
    /* a processor may look at pages that the code does not name, so there may be more of these */
    CHECK_EQUAL(bitmap(machine, ACCESSED, NOOP, 0, 16) & (BIT(1) | BIT(2) | BIT(5) | BIT(15)),
                BIT(1) | BIT(2) | BIT(5) | BIT(15));
    /* some are cleared, and written again or not */
    CHECK_EQUAL(bitmap(machine, DIRTY, CLEAR, 2, 4), BIT(0) | BIT(3));
    CHECK_EQUAL(bitmap(machine, DIRTY, NOOP, 0, 64), BIT(15));
    CHECK_EQUAL(bitmap(machine, ACCESSED, NOOP, 0, 16) & (BIT(2) | BIT(5)), BIT(2) | BIT(5));
    CHECK_EQUAL(machine_run_to_out(machine, 0, PORT), 2);
    CHECK_EQUAL(bitmap(machine, DIRTY, CLEAR, 0, 64), BIT(5) | BIT(15));
    CHECK_EQUAL(bitmap(machine, DIRTY, CLEAR, 0, 64), 0);
    /* set, and with accessed both are cleared */
    CHECK_EQUAL(bitmap(machine, DIRTY, SET, 9, 2), 0);
    CHECK_EQUAL(bitmap(machine, DIRTY, NOOP, 0, 64), BIT(9) | BIT(10));
    CHECK_EQUAL(bitmap(machine, ACCESSED, CLEAR, 10, 1), 1);
    CHECK_EQUAL(bitmap(machine, DIRTY, NOOP, 0, 64), BIT(9));
    machine_destroy(machine);
}

static void store_code(struct code *code)
{
    *code = (struct code){.size = 0};
    code_store(code, 0x2000);
    code_store(code, 0x5FFF);
    code_store(code, 0xF123);
    code_out(code, PORT, 1);
    code_store(code, 0x5000);
    code_out(code, PORT, 2);
}

static void writes_are_told(void)
{
    struct machine machine;
    struct code code;

    store_code(&code);
    machine_create(&machine, MACHINE_FLAGS, MACHINE_RAM);
    known_writes(&machine, &code);
}

/* The same where one large page has it all. */
static void writes_to_large_memory(void)
{
    uint8_t *memory = mmap(NULL, 2 * HV_LARGE_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint8_t *aligned = memory + (-(uintptr_t)memory & (HV_LARGE_PAGE_SIZE - 1));
    struct machine machine;
    struct code code;

    CHECK(memory != MAP_FAILED);
    CHECK_EQUAL(madvise(aligned, HV_LARGE_PAGE_SIZE, MADV_HUGEPAGE), 0);
    store_code(&code);
    machine_create(&machine, MACHINE_FLAGS | MSHV_PT_GPA_SUPER_PAGES, 0);
    CHECK_EQUAL(
        machine_set_memory(&machine, MSHV_SET_MEM_WRITABLE | MSHV_SET_MEM_EXECUTABLE, 0, aligned, HV_LARGE_PAGE_SIZE),
        0);
    machine.ram = aligned;
    known_writes(&machine, &code);
}

/* More pages than one call has, most of them not there; no byte of the bitmap but its own. */
static void many_pages(void)
{
    enum { PAGES = 10003, BYTES = (PAGES + 7) / 8 };
    static uint8_t bits[BYTES + 8];
    struct mshv_gpap_access_bitmap request = {
        .access_type = DIRTY, .access_op = CLEAR, .page_count = PAGES, .gpap_base = 1, .bitmap_ptr = (uintptr_t)bits};
    static uint8_t high[HV_PAGE_SIZE] __attribute__((aligned(HV_PAGE_SIZE)));
    struct machine machine;
    unsigned i;

    machine_create(&machine, MACHINE_FLAGS, MACHINE_RAM);
    CHECK_EQUAL(machine_set_memory(&machine, MSHV_SET_MEM_WRITABLE, PAGES, high, sizeof(high)), 0);
    bitmap(&machine, DIRTY, SET, 0x41, 1);
    bitmap(&machine, DIRTY, SET, PAGES, 1);
    memset(bits, 0xEE, sizeof(bits));
    CHECK_EQUAL(ioctl(machine.partition, MSHV_GET_GPAP_ACCESS_BITMAP, &request), 0);
    for (i = 0; i < sizeof(bits); i++)
        CHECK_EQUAL(bits[i], i == 8 ? 1 : i == BYTES - 1 ? 1u << (PAGES - 1) % 8 : i < BYTES ? 0 : 0xEE);
    CHECK_EQUAL(bitmap(&machine, DIRTY, NOOP, PAGES, 1), 0);
    machine_destroy(&machine);
}

struct runner {
    struct machine *machine;
    uint32_t vp;
};

static void *run_to_end(void *argument)
{
    const struct runner *runner = argument;

    CHECK_EQUAL(machine_run_to_out(runner->machine, runner->vp, PORT), runner->vp);
    return NULL;
}

#define WRITERS    2
#define WRITER(vp) (MACHINE_CODE + (vp)*HV_PAGE_SIZE)
#define TARGET(vp) (5 + 2 * (vp))

/* The VP writes to its page for ever, until stop_writer() changes its jump. */
static void load_writer(struct machine *machine, uint32_t vp)
{
    const struct hv_x64_segment_register segment = {.limit = 0xFFFF, .attributes = 0x9B};
    const uint64_t rip = WRITER(vp), running = 0;
    struct code code = {.size = 0};

    code_store(&code, (uint16_t)(TARGET(vp) * HV_PAGE_SIZE));
    CODE(&code, 0xEB, (uint8_t)-5);
    machine_load(machine, WRITER(vp), code.bytes, code.size);
    code = (struct code){.size = 0};
    code_out(&code, PORT, (uint8_t)vp);
    machine_load(machine, WRITER(vp) + 0x10, code.bytes, code.size);
    machine_create_vp(machine, vp);
    machine_set_register(machine->vp[vp], vp, HV_X64_REGISTER_CS, &segment, sizeof(segment));
    machine_set_register(machine->vp[vp], vp, HV_X64_REGISTER_RIP, &rip, sizeof(rip));
    machine_set_register(machine->vp[vp], vp, HV_REGISTER_INTERNAL_ACTIVITY_STATE, &running, sizeof(running));
}

static void stop_writer(struct machine *machine, uint32_t vp)
{
    machine->ram[WRITER(vp) + 4] = 0x10 - 5;
}

/* VPs that never leave their guests set the bits again each time they are cleared, and no others. */
static void cleared_while_running(void)
{
    const uint64_t written = BIT(TARGET(0)) | BIT(TARGET(1));
    struct runner runner[WRITERS];
    pthread_t thread[WRITERS];
    struct machine machine;
    uint64_t seen;
    unsigned i;

    machine_create(&machine, MACHINE_FLAGS, MACHINE_RAM);
    for (i = 0; i < WRITERS; i++) {
        load_writer(&machine, i);
        runner[i] = (struct runner){&machine, i};
        CHECK_EQUAL(pthread_create(&thread[i], NULL, run_to_end, &runner[i]), 0);
    }
    for (i = 0; i < 30; i++)
        for (seen = 0; seen != written;) {
            seen |= bitmap(&machine, DIRTY, CLEAR, 0, 64);
            CHECK_EQUAL(seen & ~written, 0);
        }
    for (i = 0; i < WRITERS; i++)
        stop_writer(&machine, i);
    for (i = 0; i < WRITERS; i++)
        CHECK_EQUAL(pthread_join(thread[i], NULL), 0);
    CHECK_EQUAL(bitmap(&machine, DIRTY, CLEAR, 0, 64) & ~written, 0);
    CHECK_EQUAL(bitmap(&machine, DIRTY, CLEAR, 0, 64), 0);
    machine_destroy(&machine);
}

const struct test access_tests[] = {
    {"access_refuses",         access_refuses,         false},
    {"writes_are_told",        writes_are_told,        false},
    {"writes_to_large_memory", writes_to_large_memory, false},
    {"many_pages",             many_pages,             false},
    {"cleared_while_running",  cleared_while_running,  false},
    {NULL,                     NULL,                   false},
};
