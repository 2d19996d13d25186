/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parent's MSRs that mean something to Loam: here MTRRs, which its map follows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "arch/x86_64/cpu/host_apic.h"
#include "arch/x86_64/cpu/msr.h"
#include "arch/x86_64/cpu/parent_exit.h"
#include "arch/x86_64/cpu/processor_start.h"
#include "kernel/log.h"
#include "kernel/parent_map.h"
#include "tests/unit/fake_guest.h"

extern const struct parent_msr svm_parent_msrs[], vmx_parent_msrs[];
static const struct vendor amd = {.parent_msrs = svm_parent_msrs}, intel = {.parent_msrs = vmx_parent_msrs};
static const struct vendor *fake_vendor;
static unsigned loads;

/* --- the rest of the image --- */

void parent_map_load_types(void)
{
    loads++;
}

bool host_apic_is_x2apic(void)
{
    return false;
}

void processor_start_command(uint64_t command)
{
    (void)command;
}

void log_limited(const char *format, ...)
{
    (void)format;
}

/* --- tests --- */

static int setup(void **state)
{
    static const uint32_t msrs[] = {0x200, 0x213, 0x250, 0x258, 0x259, 0x268, 0x26F, 0x277, 0x2FF};

    (void)state;
    fake_guest_start(1);
    fake_vendor = vendor;
    vendor = &intel;
    fake_msr_clear();
    for (unsigned i = 0; i < sizeof msrs / sizeof msrs[0]; i++)
        fake_msr_set(msrs[i], 0);
    loads = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    vendor = fake_vendor;
    fake_guest_stop();
    return 0;
}

static void test_mtrr_writes(void **state)
{
    static const uint32_t mtrrs[] = {0x200, 0x213, 0x250, 0x258, 0x259, 0x268, 0x26F, 0x2FF};

    (void)state;
    for (unsigned i = 0; i < sizeof mtrrs / sizeof mtrrs[0]; i++) {
        assert_true(parent_msr_write(fake_vp(0), mtrrs[i], 0x806 + i));
        assert_int_equal(fake_msr_get(mtrrs[i]), 0x806 + i);
        assert_int_equal(loads, i + 1);
    }
}

/* What the hardware refuses is the parent's #GP, and other MSRs are no MTRRs. */
static void test_refused_and_others(void **state)
{
    (void)state;
    assert_false(parent_msr_write(fake_vp(0), 0x214, 6));
    assert_false(parent_msr_write(fake_vp(0), 0x240, 6));
    assert_false(parent_msr_write(fake_vp(0), 0x251, 6));
    assert_true(parent_msr_write(fake_vp(0), 0x277, 6));
    assert_int_equal(loads, 0);
}

/* The parent sees a processor whose firmware disabled virtualization, and cannot turn it on beneath itself. */
static void test_virtualization_is_hidden(void **state)
{
    uint64_t value;

    (void)state;
    assert_true(parent_msr_read(fake_vp(0), MSR_FEATURE_CONTROL, &value));
    assert_int_equal(value, FEATURE_CONTROL_LOCKED);
    assert_false(parent_msr_write(fake_vp(0), MSR_FEATURE_CONTROL, 5));
    for (uint32_t msr = MSR_VMX_FIRST; msr <= MSR_VMX_LAST; msr++)
        assert_false(parent_msr_read(fake_vp(0), msr, &value));
    vendor = &amd;
    assert_true(parent_msr_read(fake_vp(0), MSR_VM_CR, &value));
    assert_int_equal(value, VM_CR_LOCK | VM_CR_SVM_DISABLED);
    assert_false(parent_msr_write(fake_vp(0), MSR_VM_CR, 0));
    assert_false(parent_msr_read(fake_vp(0), MSR_VM_HSAVE_PA, &value));
    assert_false(parent_msr_write(fake_vp(0), MSR_VM_HSAVE_PA, 0x1000));
    /* Memory encryption, of which the processor has it. */
    fake_msr_set(MSR_SYSCFG, SYSCFG_MEMORY_ENCRYPTION | 1);
    assert_true(parent_msr_read(fake_vp(0), MSR_SYSCFG, &value));
    assert_int_equal(value, 1);
    assert_false(parent_msr_write(fake_vp(0), MSR_SYSCFG, SYSCFG_MEMORY_ENCRYPTION));
    assert_true(parent_msr_write(fake_vp(0), MSR_SYSCFG, 2));
    assert_int_equal(fake_msr_get(MSR_SYSCFG), SYSCFG_MEMORY_ENCRYPTION | 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_mtrr_writes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_and_others, setup, teardown),
        cmocka_unit_test_setup_teardown(test_virtualization_is_hidden, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
