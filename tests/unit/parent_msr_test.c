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
    fake_msr_clear();
    for (unsigned i = 0; i < sizeof msrs / sizeof msrs[0]; i++)
        fake_msr_set(msrs[i], 0);
    loads = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_mtrr_writes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_and_others, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
