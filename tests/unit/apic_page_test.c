/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Instructions on the local APIC's page, from a guest's memory to the registers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86_64/cpu/cpu_features.h"
#include "tests/unit/fake_guest.h"

#define CODE  0x8000u
#define FLAGS (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

static struct vp *vp;
static struct vp_exit fault;

/* Paging off, 32-bit code at CODE. */
static void start(unsigned vps)
{
    fake_guest_start(vps);
    vp = fake_vp(0);
    *fake_segment(vp, VP_CS) = (struct hv_x64_segment_register){
        .limit = 0xFFFFFFFF, .attributes = HV_SEGMENT_P | 0x1B | HV_SEGMENT_DB};
    vp->rip = CODE;
    vp->rflags = 2 | FLAGS;
    for (unsigned i = 0; i < 16; i++)
        vp->gpr[i] = 0x1111111100000000ull * (i & 1) + 0x01010101 * i;
}

static int teardown(void **state)
{
    (void)state;
    fake_guest_stop();
    return 0;
}

/* Executes the bytes as an access to the register. */
static bool run(const char *bytes, size_t count, uint32_t offset, bool write)
{
    memset(&fault, 0, sizeof(fault));
    fault.reason = LOAM_EXIT_APIC_ACCESS;
    fault.fault.gpa = APIC_BASE_DEFAULT + offset;
    fault.fault.write = write;
    memset(fake_gpa(CODE), 0xCC, 32);
    memcpy(fake_gpa(CODE), bytes, count);
    vp->rip = CODE;
    return apic_page_access(vp, &fault);
}

#define RUN(bytes, offset, write)                                                                            \
    do {                                                                                                     \
        assert_true(run(bytes, sizeof(bytes) - 1, offset, write));                                           \
        assert_int_equal(vp->rip, CODE + sizeof(bytes) - 1);                                                 \
    } while (0)

static void test_moves(void **state)
{
    (void)state;
    start(1);
    vp->apic.tpr = 0x37;
    RUN("\x8B\x01", APIC_REGISTER_TPR, false); /* mov eax, [ecx] */
    assert_int_equal(vp->gpr[GPR_RAX], 0x37);
    vp->gpr[GPR_RBX] = 0xFFFFFFFF00000042;
    RUN("\x89\x1D\x80\x00\xE0\xFE", APIC_REGISTER_TPR, true); /* mov [0xfee00080], ebx */
    assert_int_equal(vp->apic.tpr, 0x42);
    RUN("\xC7\x05\x80\x00\xE0\xFE\x13\x00\x00\x00", APIC_REGISTER_TPR, true);
    assert_int_equal(vp->apic.tpr, 0x13);
    vp->gpr[GPR_RAX] = ~0ull;
    RUN("\xA1\x30\x00\xE0\xFE", APIC_REGISTER_VERSION, false);
    assert_int_equal(vp->gpr[GPR_RAX], 0x50014); /* the upper half is cleared */
    vp->gpr[GPR_RAX] = 0x24;
    RUN("\xA3\x80\x00\xE0\xFE", APIC_REGISTER_TPR, true);
    assert_int_equal(vp->apic.tpr, 0x24);
    vp->gpr[GPR_RDX] = 0x55;
    RUN("\x87\x11", APIC_REGISTER_TPR, true); /* xchg [ecx], edx */
    assert_int_equal(vp->apic.tpr, 0x55);
    assert_int_equal(vp->gpr[GPR_RDX], 0x24);
    assert_int_equal(vp->rflags & FLAGS, FLAGS); /* none of these touches the flags */
    assert_int_equal(*fake_register(vp, VP_INTERRUPT_SHADOW), 0);
}

static void test_64_bit_registers(void **state)
{
    (void)state;
    start(1);
    fake_segment(vp, VP_CS)->attributes = HV_SEGMENT_P | 0x1B | HV_SEGMENT_L;
    *fake_register(vp, VP_EFER) = EFER_LMA;
    vp->gpr[10] = 0x77;
    RUN("\x44\x89\x90\x80\x00\x00\x00", APIC_REGISTER_TPR, true); /* mov [rax + 0x80], r10d */
    assert_int_equal(vp->apic.tpr, 0x77);
    RUN("\x44\x8B\x34\x25\x80\x00\x5F\xFF", APIC_REGISTER_TPR, false); /* mov r14d, [0xffffffffff5f0080] */
    assert_int_equal(vp->gpr[14], 0x77);
}

/* What is kept of an earlier decoding belongs to its bytes and its mode, not to its address. */
static void test_kept_decodings(void **state)
{
    (void)state;
    start(1);
    for (unsigned round = 0; round < 3; round++) {
        vp->apic.tpr = 0x21;
        RUN("\x8B\x01", APIC_REGISTER_TPR, false); /* mov eax, [ecx] */
        assert_int_equal(vp->gpr[GPR_RAX], 0x21);
        RUN("\x8B\x19", APIC_REGISTER_TPR, false); /* mov ebx, [ecx] */
        assert_int_equal(vp->gpr[GPR_RBX], 0x21);
        RUN("\xC7\x01\x34\x00\x00\x00", APIC_REGISTER_TPR, true);
        assert_int_equal(vp->apic.tpr, 0x34);
        RUN("\xC7\x01\x35\x00\x00\x00", APIC_REGISTER_TPR, true);
        assert_int_equal(vp->apic.tpr, 0x35);
        RUN("\xC7\x81\x80\x00\x00\x00\x36\x00\x00\x00", APIC_REGISTER_TPR, true); /* [ecx + 0x80] */
        RUN("\xC7\x81\x80\x00\x00\x00\x37\x00\x00\x00", APIC_REGISTER_TPR, true); /* differs in byte 7 */
        assert_int_equal(vp->apic.tpr, 0x37);
        RUN("\x3E\x3E\xC7\x81\x80\x00\x00\x00\x38\x00\x00\x00", APIC_REGISTER_TPR, true);
        RUN("\x3E\x3E\xC7\x81\x80\x00\x00\x00\x39\x00\x00\x00", APIC_REGISTER_TPR, true); /* in byte 9 */
        assert_int_equal(vp->apic.tpr, 0x39);
        fake_segment(vp, VP_CS)->attributes &= (uint16_t)~HV_SEGMENT_DB; /* the same bytes move 16 bits now */
        assert_false(run("\x8B\x01", 2, APIC_REGISTER_TPR, false));
        assert_false(run("\x8B\x01", 2, APIC_REGISTER_TPR, false));
        fake_segment(vp, VP_CS)->attributes |= HV_SEGMENT_DB;
        assert_false(run("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16, APIC_REGISTER_TPR, false));
    }
}

/* The flags that this processor computes. */
static uint64_t real_flags(char operation, uint32_t left, uint32_t right)
{
    uint64_t flags;
    if (operation == '-')
        __asm__("cmpl %2, %1; pushfq; popq %0" : "=r"(flags) : "r"(left), "r"(right) : "cc");
    else if (operation == '&')
        __asm__("testl %2, %1; pushfq; popq %0" : "=r"(flags) : "r"(left), "r"(right) : "cc");
    else
        __asm__("orl %2, %1; pushfq; popq %0" : "=r"(flags), "+r"(left) : "r"(right) : "cc");
    /* AF is undefined after logic; ours is 0 */
    return flags & FLAGS & ~(operation == '-' ? 0 : RFLAGS_AF);
}

static void test_arithmetic(void **state)
{
    (void)state;
    start(1);
    srand(1);
    for (unsigned round = 0; round < 20000; round++) {
        uint32_t memory = (uint32_t)rand() & 0xFF, source = (uint32_t)rand() & (round % 2 ? 0xFF : 0x1FFFF);
        if (round % 8 == 0)
            source = memory;
        if (round % 16 == 1)
            source |= 0x80000000;
        vp->gpr[GPR_RBX] = source;
        vp->apic.tpr = memory;
        RUN("\x21\x19", APIC_REGISTER_TPR, true); /* and [ecx], ebx */
        assert_int_equal(vp->apic.tpr, memory & source & 0xFF);
        assert_int_equal(vp->rflags & FLAGS, real_flags('&', memory, source));
        vp->apic.tpr = memory;
        RUN("\x09\x19", APIC_REGISTER_TPR, false); /* or [ecx], ebx; the exit may be for the read half */
        assert_int_equal(vp->apic.tpr, (memory | source) & 0xFF);
        assert_int_equal(vp->rflags & FLAGS, real_flags('|', memory, source));
        vp->apic.tpr = memory;
        RUN("\x85\x19", APIC_REGISTER_TPR, false); /* test [ecx], ebx */
        assert_int_equal(vp->rflags & FLAGS, real_flags('&', memory, source));
        RUN("\x39\x19", APIC_REGISTER_TPR, false); /* cmp [ecx], ebx */
        assert_int_equal(vp->rflags & FLAGS, real_flags('-', memory, source));
        RUN("\x3B\x19", APIC_REGISTER_TPR, false); /* cmp ebx, [ecx] */
        assert_int_equal(vp->rflags & FLAGS, real_flags('-', source, memory));
        assert_int_equal(vp->gpr[GPR_RBX], source);
        RUN("\x0B\x19", APIC_REGISTER_TPR, false); /* or ebx, [ecx] */
        assert_int_equal(vp->gpr[GPR_RBX], memory | source);
        assert_int_equal(vp->rflags & FLAGS, real_flags('|', memory, source));
        vp->gpr[GPR_RBX] = source | 0xABull << 32;
        RUN("\x23\x19", APIC_REGISTER_TPR, false); /* and ebx, [ecx] */
        assert_int_equal(vp->gpr[GPR_RBX], memory & source);
        assert_int_equal(vp->rflags & FLAGS, real_flags('&', memory, source));
        assert_int_equal(vp->apic.tpr, memory);
    }
    vp->apic.tpr = 0xF7;
    RUN("\x83\x21\xF0", APIC_REGISTER_TPR, true); /* and dword [ecx], -16 */
    assert_int_equal(vp->apic.tpr, 0xF0);
    RUN("\x81\x09\x05\x00\x00\x00", APIC_REGISTER_TPR, true); /* or dword [ecx], 5 */
    assert_int_equal(vp->apic.tpr, 0xF5);
    RUN("\xF7\x01\x08\x00\x00\x00", APIC_REGISTER_TPR, false); /* test dword [ecx], 8 */
    assert_int_equal(vp->rflags & RFLAGS_ZF, RFLAGS_ZF);
    RUN("\x81\x39\xF5\x00\x00\x00", APIC_REGISTER_TPR, false); /* cmp dword [ecx], 0xf5 */
    assert_int_equal(vp->rflags & RFLAGS_ZF, RFLAGS_ZF);
}

static void test_side_effects(void **state)
{
    struct local_apic_effect effect;
    (void)state;
    start(2);
    local_apic_write(&fake_vp(1)->apic, APIC_REGISTER_SVR, 0x1FF, 0, &effect);
    fake_vp(1)->blocked = true;
    vp->gpr[GPR_RAX] = 1u << 24;
    RUN("\x89\x01", APIC_REGISTER_ICR_HIGH, true);
    vp->gpr[GPR_RAX] = 0x40F3;
    RUN("\x89\x01", APIC_REGISTER_ICR_LOW, true);
    assert_int_equal(local_apic_pending(&fake_vp(1)->apic), 0xF3);
    assert_int_equal(vp->wake.bank[0], 2); /* for DISPATCH_VP to report */
    fake_tsc = 1000000;
    RUN("\xC7\x01\x40\x42\x0F\x00", APIC_REGISTER_INITIAL_COUNT, true);
    fake_tsc += 16 * 1000;
    RUN("\x8B\x01", APIC_REGISTER_CURRENT_COUNT, false);
    assert_int_equal(vp->gpr[GPR_RAX], 1000000 - 1000);
}

static void test_what_is_left_to_the_worker(void **state)
{
    struct vp_exit other;
    (void)state;
    start(1);
    vp->apic.tpr = 0x11;
    assert_false(run("\x8A\x01", 2, APIC_REGISTER_TPR, false));     /* 8 bits */
    assert_false(run("\x66\x8B\x01", 3, APIC_REGISTER_TPR, false)); /* 16 bits */
    assert_false(run("\xF3\xA5", 2, APIC_REGISTER_TPR, true));      /* rep movsd */
    assert_false(run("\x8B\x01", 2, APIC_REGISTER_TPR + 2, false)); /* not aligned */
    assert_false(run("\x8B\x01", 2, APIC_REGISTER_TPR, true));      /* not the instruction that wrote */
    assert_false(run("\x89\x01", 2, APIC_REGISTER_TPR, false));
    assert_false(run("\x89\x01", 2, 0x1000, true)); /* another page */
    run("\x89\x01", 2, APIC_REGISTER_TPR, true);
    other = fault;
    vp->apic.tpr = 0x11;
    vp->rip = CODE;
    other.fault.execute = true;
    assert_false(apic_page_access(vp, &other));
    other.fault.execute = false;
    other.fault.table_walk = true;
    assert_false(apic_page_access(vp, &other));
    other.fault.table_walk = false;
    fake_pages[CODE >> HV_PAGE_SHIFT].access = 0; /* no code to read */
    fake_partition.map_generation++;
    assert_false(apic_page_access(vp, &other));
    assert_int_equal(vp->apic.tpr, 0x11);
    assert_int_equal(vp->rip, CODE);
    /* but the hardware may have fetched it */
    other.fault.bytes_count = 15;
    memcpy(other.fault.bytes, "\xC7\x01\x66\x00\x00\x00", 6);
    assert_true(apic_page_access(vp, &other));
    assert_int_equal(vp->apic.tpr, 0x66);
    assert_int_equal(vp->rip, CODE + 6);
}

#define TEST(function) cmocka_unit_test_teardown(function, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_moves),          TEST(test_64_bit_registers), TEST(test_arithmetic),
        TEST(test_kept_decodings), TEST(test_side_effects),     TEST(test_what_is_left_to_the_worker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
