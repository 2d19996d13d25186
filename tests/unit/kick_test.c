/* SPDX-License-Identifier: GPL-2.0-or-later */
/* NMIs: which are kicks, and which the parent's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86_64/cpu/arch_lp.h"
#include "arch/x86_64/cpu/host_apic.h"
#include "arch/x86_64/cpu/instructions.h"
#include "arch/x86_64/cpu/kick.h"
#include "arch/x86_64/vendor.h"
#include "kernel/arch.h"

static struct arch_lp processor;
static unsigned sent;
static bool loses_requests;
const struct vendor *vendor;

struct lp *lp_current(void)
{
    return &processor.lp;
}

struct lp *lp_by_index(uint32_t index)
{
    assert_int_equal(index, 0);
    return &processor.lp;
}

uint32_t lp_count(void)
{
    return 1;
}

void host_apic_send(uint64_t icr)
{
    assert_int_equal(icr >> ICR_MODE_SHIFT & ICR_MODE_MASK, ICR_NMI);
    sent++;
}

bool host_apic_loses_requests(void)
{
    return loses_requests;
}

bool host_apic_counter_overflowed(void)
{
    return false;
}

void cpu_halt(void)
{
    fail();
}

static int setup(void **state)
{
    (void)state;
    memset(&processor, 0, sizeof processor);
    sent = 0;
    loses_requests = false;
    return 0;
}

/* So many NMIs have come since it was asked last. */
static bool is_parents(unsigned count)
{
    bool result;

    processor.nmis += count;
    result = kick_account();
    assert_int_equal(processor.lp.parent_nmi, result);
    assert_int_equal(processor.nmis_accounted, processor.nmis);
    processor.lp.parent_nmi = false;
    return result;
}

static void test_one(void **state)
{
    (void)state;
    assert_false(is_parents(0));
    assert_true(is_parents(1));
    lp_kick(0);
    lp_kick(0);
    assert_int_equal(sent, 1);
    assert_false(is_parents(0)); /* it is on its way */
    assert_false(is_parents(1));
    assert_true(is_parents(1));
}

/* The hardware brings the parent's NMIs by itself: one may be taken together with a kick. */
static void test_two(void **state)
{
    (void)state;
    lp_kick(0);
    assert_true(is_parents(2));
    assert_false(is_parents(0));
    assert_true(is_parents(2));
}

/* Where NMIs are lost each kick is sent, and all may come after all. */
static void test_lost(void **state)
{
    (void)state;
    loses_requests = true;
    lp_kick(0);
    lp_kick(0);
    assert_int_equal(sent, 2);
    assert_false(is_parents(1));
    assert_false(is_parents(1));
    lp_kick(0);
    lp_kick(0);
    assert_false(is_parents(2));
    assert_false(is_parents(1));
    assert_true(is_parents(1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_one, setup),
        cmocka_unit_test_setup(test_two, setup),
        cmocka_unit_test_setup(test_lost, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
