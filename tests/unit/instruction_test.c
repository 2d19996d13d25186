/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86_64/cpu/cpu_features.h"
#include "arch/x86_64/cpu/instruction.h"
#include "tests/unit/fake_guest.h"
#include "tests/unit/instruction_oracle.h"

static void check(const uint8_t *bytes, unsigned count, enum code_mode mode)
{
    const char *difference = instruction_oracle(bytes, count, mode);
    if (difference == NULL)
        return;
    print_error("mode %d, %s:", mode, difference);
    for (unsigned i = 0; i < count; i++)
        print_error(" %02x", bytes[i]);
    print_error("\n");
    fail();
}

static const uint8_t prefixes[] = {0x66, 0x67, 0xF0, 0xF2, 0xF3, 0x26, 0x2E, 0x36,
                                   0x3E, 0x64, 0x65, 0x40, 0x41, 0x44, 0x48, 0x4F};

/* Every ModRM, with every form's opcode, in every mode, with and without the size prefixes; SIB at random. */
static void test_all_operands(void **state)
{
    static const uint8_t opcodes[] = {0x09, 0x0B, 0x21, 0x23, 0x39, 0x3B, 0x81, 0x83, 0x85, 0x87,
                                      0x89, 0x8B, 0xA1, 0xA3, 0xC7, 0xF7, 0x88, 0x8A, 0x80, 0x01};
    (void)state;
    srand(1);
    for (enum code_mode mode = CODE_16; mode <= CODE_64; mode++)
        for (unsigned opcode = 0; opcode < sizeof(opcodes); opcode++)
            for (unsigned modrm = 0; modrm < 256; modrm++)
                for (unsigned variant = 0; variant < 32; variant++) {
                    uint8_t bytes[15];
                    unsigned at = 0;
                    for (unsigned i = 0; i < sizeof(bytes); i++)
                        bytes[i] = (uint8_t)rand();
                    if (variant & 1)
                        bytes[at++] = 0x66;
                    if (variant & 2)
                        bytes[at++] = 0x67;
                    if (variant & 4 && mode == CODE_64)
                        bytes[at++] = (uint8_t)(0x40 | rand() % 16);
                    bytes[at++] = opcodes[opcode];
                    bytes[at] = (uint8_t)modrm;
                    check(bytes, variant & 8 ? (unsigned)rand() % 16 : sizeof(bytes), mode);
                }
}

static void test_random_bytes(void **state)
{
    static const uint8_t starts[][2] = {
        {0x0F, 0xA2},
        {0x0F, 0x30},
        {0x0F, 0x32},
        {0x0F, 0x01},
        {0x0F, 0x08},
        {0x0F, 0x09},
        {0x0F, 0x20},
        {0x0F, 0x22},
        {0x0F, 0x31},
        {0xF4, 0x00},
        {0xE4, 0x10},
        {0xE7, 0x20},
        {0xEC, 0x00},
        {0xEF, 0x00},
        {0x6C, 0x00},
        {0x6F, 0x00},
        {0x90, 0x00},
        {0x89, 0x00}
    };
    static const uint8_t thirds[] = {0xC1, 0xD1, 0xD9, 0xF9, 0xC0, 0xE0};
    (void)state;
    srand(2);
    for (unsigned round = 0; round < 600000; round++) {
        uint8_t bytes[15];
        unsigned at = 0;
        for (unsigned i = 0; i < sizeof(bytes); i++)
            bytes[i] = (uint8_t)rand();
        while (at < 14 && rand() % 3 == 0)
            bytes[at++] = prefixes[(unsigned)rand() % sizeof(prefixes)];
        if (round % 2 == 0 && at < 12) {
            const uint8_t *start = starts[(unsigned)rand() % (sizeof(starts) / 2)];
            bytes[at] = start[0];
            bytes[at + 1] = start[1];
            if (start[0] == 0x0F && start[1] == 1)
                bytes[at + 2] = thirds[(unsigned)rand() % sizeof(thirds)];
        }
        check(bytes, round % 4 == 0 ? (unsigned)rand() % 16 : sizeof(bytes), (enum code_mode)(round % 3));
    }
}

static void test_lengths(void **state)
{
    static const struct {
        enum loam_exit_reason reason;
        enum code_mode mode;
        uint8_t bytes[6];
        unsigned count, expected;
    } cases[] = {
        {LOAM_EXIT_CPUID,            CODE_64, {0x0F, 0xA2},             2, 2},
        {LOAM_EXIT_CPUID,            CODE_64, {0x66, 0x48, 0x0F, 0xA2}, 4, 4},
        {LOAM_EXIT_CPUID,            CODE_32, {0x48, 0x0F, 0xA2},       3, 0}, /* DEC EAX there */
        {LOAM_EXIT_CPUID,            CODE_64, {0x0F, 0x32},             2, 0}, /* changed meanwhile */
        {LOAM_EXIT_CPUID,            CODE_64, {0x0F},                   1, 0}, /* cut off */
        {LOAM_EXIT_CPUID,            CODE_64, {0},                      0, 0},
        {LOAM_EXIT_IO_PORT,          CODE_16, {0xE6, 0x80},             2, 2},
        {LOAM_EXIT_IO_PORT,          CODE_16, {0xE6},                   1, 0},
        {LOAM_EXIT_IO_PORT,          CODE_16, {0xF3, 0x66, 0x6D},       3, 3},
        {LOAM_EXIT_IO_PORT,          CODE_32, {0x66, 0xEF},             2, 2},
        {LOAM_EXIT_HYPERCALL,        CODE_64, {0x0F, 0x01, 0xD9},       3, 3},
        {LOAM_EXIT_HYPERCALL,        CODE_64, {0x0F, 0x01, 0xC1},       3, 3},
        {LOAM_EXIT_HYPERCALL,        CODE_64, {0x0F, 0x01, 0xD1},       3, 0},
        {LOAM_EXIT_XSETBV,           CODE_64, {0x0F, 0x01, 0xD1},       3, 3},
        {LOAM_EXIT_CACHE,            CODE_64, {0xF3, 0x0F, 0x09},       3, 3},
        {LOAM_EXIT_PAUSE,            CODE_64, {0xF3, 0x90},             2, 2},
        {LOAM_EXIT_CONTROL_REGISTER, CODE_64, {0x44, 0x0F, 0x22, 0xC0}, 4, 4}, /* MOV CR8, RAX */
        {LOAM_EXIT_CONTROL_REGISTER,
         CODE_32,                             {0xF0, 0x0F, 0x20, 0xC0},
         4,                                                                4}, /* the same for AMD outside 64 bits */
        {LOAM_EXIT_CONTROL_REGISTER, CODE_64, {0x44, 0x0F, 0x22},       3, 0},
        {LOAM_EXIT_HLT,              CODE_64, {0xF4},                   1, 1},
        {LOAM_EXIT_OTHER,            CODE_64, {0x0F, 0x01, 0xF9},       3, 3},
        {LOAM_EXIT_OTHER,            CODE_64, {0x0F, 0x31},             2, 2},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(instruction_length(cases[i].bytes, cases[i].count, cases[i].mode, cases[i].reason),
                         cases[i].expected);
}

static struct vp *vp;

static void start(enum code_mode mode, uint64_t base, uint32_t limit, uint64_t rip)
{
    fake_guest_start(1);
    vp = fake_vp(0);
    *fake_segment(vp, VP_CS) = (struct hv_x64_segment_register){
        .base = base,
        .limit = limit,
        .attributes = (uint16_t)(HV_SEGMENT_P | 0x1B |
                                 (mode == CODE_64   ? HV_SEGMENT_L
                                  : mode == CODE_32 ? HV_SEGMENT_DB
                                                    : 0)),
    };
    *fake_register(vp, VP_EFER) = mode == CODE_64 ? EFER_LMA | EFER_LME : 0;
    vp->rip = rip;
    vp->rflags = 2;
    for (uint64_t gpa = 0; gpa < FAKE_GUEST_PAGES * HV_PAGE_SIZE; gpa++)
        *fake_gpa(gpa) = (uint8_t)(gpa * 7 + (gpa >> 12));
}

static void expect_fetch(uint64_t linear, unsigned expected)
{
    uint8_t bytes[15];
    assert_int_equal(guest_fetch_instruction(vp, bytes), expected);
    for (unsigned i = 0; i < expected; i++)
        assert_int_equal(bytes[i], *fake_gpa((linear + i) & 0xFFFFFFFF));
    fake_guest_stop();
}

static void test_fetch(void **state)
{
    (void)state;
    start(CODE_16, 0x1000, 0xFFFF, 0x234);
    expect_fetch(0x1234, 15);
    start(CODE_16, 0x1000, 0xFFFF, 0xFFFE); /* the limit ends it: no wrap to offset 0 */
    expect_fetch(0x10FFE, 2);
    start(CODE_16, 0x1000, 0xFFFF, 0xFFFF);
    expect_fetch(0x10FFF, 1);
    start(CODE_16, 0x1000, 0xFFFF, 0x10000);
    expect_fetch(0, 0);
    start(CODE_16, 0x1000, 0xFFFFFFFF, 0x10000); /* "unreal" mode */
    expect_fetch(0x11000, 15);
    start(CODE_32, 0x2000, 0xFFFFFFFF, 0xFFFFF100); /* base plus offset wraps at 4 GiB */
    expect_fetch(0x1100, 15);
    start(CODE_32, 0, 0xFFFFFFFF, 0x1FFFF8); /* the last page that is mapped */
    expect_fetch(0x1FFFF8, 8);
    start(CODE_32, 0, 0xFFFFFFFF, 0x3FF8); /* two pages that do not lie together */
    fake_pages[4].spa = FAKE_GUEST_SPA + 0x50000;
    expect_fetch(0x3FF8, 15);
    start(CODE_32, 0, 0xFFFFFFFF, 0x3FF8);
    fake_pages[4].access = 0;
    expect_fetch(0x3FF8, 8);
    start(CODE_32, 0, 0xFFFFFFFF, 0x3FF8);
    fake_pages[3].access = 0;
    expect_fetch(0, 0);
    start(CODE_64, 0x5000, 0, 0x1234); /* base and limit mean nothing */
    expect_fetch(0x1234, 15);
}

/* What was fetched is given again without a walk, and never when it has changed. */
static void test_kept_fetch(void **state)
{
    uint8_t first[15], second[15];
    (void)state;
    start(CODE_64, 0, 0, 0x1234);
    assert_int_equal(guest_fetch_instruction(vp, first), 15);
    fake_nested_lookups = 0;
    assert_int_equal(guest_fetch_instruction(vp, second), 15);
    assert_int_equal(fake_nested_lookups, 0);
    assert_memory_equal(second, first, sizeof(first));
    fake_gpa(0x1234)[14] ^= 1;
    assert_int_equal(guest_fetch_instruction(vp, second), 15);
    assert_int_equal(second[14], first[14] ^ 1);
    fake_pages[1].access = 0;
    fake_partition.map_generation++;
    assert_int_equal(guest_fetch_instruction(vp, second), 0);
    fake_guest_stop();
}

static void expect_no_access(bool expected, uint64_t gpa)
{
    uint64_t found;
    assert_int_equal(guest_instruction_no_access(vp, &found), expected);
    if (expected)
        assert_int_equal(found & ~(uint64_t)(HV_PAGE_SIZE - 1), gpa);
    assert_int_equal(fake_guest_memory_depth, 0);
}

/* Why not even the first byte can be read: a page without access, of code or of the tables that lead to it. */
static void test_no_access(void **state)
{
    (void)state;
    start(CODE_32, 0x5000, 0xFFFFFFFF, 0x234);
    expect_no_access(false, 0);
    fake_pages[5] = (struct fake_page){.no_access = true};
    expect_no_access(true, 0x5000);
    fake_pages[5] = (struct fake_page){.no_access = false}; /* unmapped is something else */
    expect_no_access(false, 0);
    fake_guest_stop();

    start(CODE_64, 0, 0, 0x5234);
    *fake_register(vp, VP_CR0) = CR0_PG | CR0_PE;
    *fake_register(vp, VP_CR4) = CR4_PAE;
    *fake_register(vp, VP_CR3) = 0x10000;
    for (uint64_t table = 0x10000; table < 0x13000; table += HV_PAGE_SIZE)
        *(uint64_t *)fake_gpa(table) = (table + HV_PAGE_SIZE) | 3;
    *(uint64_t *)fake_gpa(0x13000 + 5 * 8) = 0x20000 | 3;
    expect_no_access(false, 0);
    for (uint64_t table = 0x10; table <= 0x13; table++) {
        struct fake_page there = fake_pages[table];
        fake_pages[table] = (struct fake_page){.no_access = true};
        expect_no_access(true, table << HV_PAGE_SHIFT);
        fake_pages[table] = there;
    }
    fake_pages[0x20] = (struct fake_page){.no_access = true};
    expect_no_access(true, 0x20000);
    *(uint64_t *)fake_gpa(0x13000 + 5 * 8) = 0; /* the guest's own fault to come */
    expect_no_access(false, 0);
    fake_guest_stop();
}

static void test_length_from_memory(void **state)
{
    struct vp_exit exit = {.reason = LOAM_EXIT_MSR_WRITE};
    (void)state;
    start(CODE_64, 0, 0, 0x5FFE);
    *fake_gpa(0x5FFE) = 0x48;
    *fake_gpa(0x5FFF) = 0x0F;
    *fake_gpa(0x6000) = 0x30;
    assert_int_equal(guest_instruction_length(vp, &exit), 3);
    exit.instruction_length = 2; /* what the hardware says goes first */
    assert_int_equal(guest_instruction_length(vp, &exit), 2);
    fake_guest_stop();
}

static void test_done(void **state)
{
    (void)state;
    start(CODE_64, 0, 0, 0xFFFFFFFE);
    *fake_register(vp, VP_INTERRUPT_SHADOW) = 1;
    vp->rflags |= RFLAGS_RF;
    guest_instruction_done(vp, 3);
    assert_int_equal(vp->rip, 0x100000001);
    assert_int_equal(*fake_register(vp, VP_INTERRUPT_SHADOW), 0);
    assert_int_equal(vp->rflags, 2);
    assert_int_equal(vp->pending_interruption, 0);
    fake_guest_stop();
    start(CODE_32, 0, 0xFFFFFFFF, 0xFFFFFFFE);
    vp->rflags |= RFLAGS_TF;
    guest_instruction_done(vp, 3);
    assert_int_equal(vp->rip, 1);
    assert_int_equal(vp->pending_interruption, 1 | HV_INTERRUPTION_TYPE_EXCEPTION << 1 | EXCEPTION_DB << 16);
    assert_int_equal(*fake_register(vp, VP_DR6), DR6_BS);
    fake_guest_stop();
}

static void put_code(uint64_t gpa, const uint8_t *bytes, size_t count)
{
    memset(fake_gpa(gpa), 0x90, 32);
    memcpy(fake_gpa(gpa), bytes, count);
}

/* What is kept of an instruction counts only as long as nothing that it depends on has changed. */
static void test_kept_lengths(void **state)
{
    static const uint8_t prefixed[] = {0x48, 0x0F, 0xA2}, plain[] = {0x0F, 0xA2}, other[] = {0x48, 0x0F, 0x32};
    const struct vp_exit exit = {.reason = LOAM_EXIT_CPUID};
    (void)state;
    fake_guest_start(1);
    vp = fake_vp(0);
    struct hv_x64_segment_register *cs = fake_segment(vp, VP_CS);
    put_code(0x1000, prefixed, sizeof(prefixed));
    put_code(0x3000, plain, sizeof(plain));
    vp->rip = 0x1000;
    *fake_register(vp, VP_EFER) = EFER_LMA;
    *cs = (struct hv_x64_segment_register){.limit = 0xFFFFFFFF, .attributes = HV_SEGMENT_L};
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(guest_instruction_length(vp, &exit), 3);
    assert_int_equal(guest_instruction_length(vp, &(struct vp_exit){.reason = LOAM_EXIT_MSR_READ}), 0);
    *fake_register(vp, VP_EFER) = 0; /* 32-bit code: the prefix is an instruction */
    cs->attributes = HV_SEGMENT_DB;
    assert_int_equal(guest_instruction_length(vp, &exit), 0);
    cs->base = 0x2000; /* another place at the same RIP */
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(guest_instruction_length(vp, &exit), 2);
    cs->limit = 0x1001; /* just all of it, and not all of it */
    assert_int_equal(guest_instruction_length(vp, &exit), 2);
    cs->limit = 0x1000;
    assert_int_equal(guest_instruction_length(vp, &exit), 0);
    *cs = (struct hv_x64_segment_register){.limit = 0xFFFFFFFF, .attributes = HV_SEGMENT_L};
    *fake_register(vp, VP_EFER) = EFER_LMA;
    assert_int_equal(guest_instruction_length(vp, &exit), 3);
    put_code(0x1000, other, sizeof(other)); /* the code changes */
    assert_int_equal(guest_instruction_length(vp, &exit), 0);
    assert_int_equal(guest_instruction_length(vp, &(struct vp_exit){.reason = LOAM_EXIT_MSR_READ}), 3);
    fake_guest_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_operands),
        cmocka_unit_test(test_random_bytes),
        cmocka_unit_test(test_kept_lengths), cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_fetch),
        cmocka_unit_test(test_kept_fetch),
        cmocka_unit_test(test_no_access),
        cmocka_unit_test(test_length_from_memory),
        cmocka_unit_test(test_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
