/* SPDX-License-Identifier: GPL-2.0-or-later */
/* INIT and SIPI among the parent's processors: three are Loam's, a fourth only the firmware's tables know. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86_64/boot/boot_information.h"
#include "arch/x86_64/cpu/arch_lp.h"
#include "arch/x86_64/cpu/host_apic.h"
#include "arch/x86_64/cpu/instructions.h"
#include "arch/x86_64/cpu/kick.h"
#include "arch/x86_64/cpu/machine_reset.h"
#include "arch/x86_64/cpu/msr.h"
#include "arch/x86_64/cpu/parent_vp.h"
#include "arch/x86_64/cpu/processor_start.h"
#include "arch/x86_64/vendor.h"
#include "kernel/arch.h"
#include "kernel/local_apic.h"
#include "kernel/log.h"
#include "kernel/vp.h"

#define LPS          3u
#define STRANGER     6u /* APIC id */
#define SENT_MAXIMUM 8u
#define LOW_PAGE     0x9Full

static struct arch_lp lps[LPS];
static struct vp vps[LPS];
static unsigned current;
static const struct boot_information information = {
    .low_page = LOW_PAGE << HV_PAGE_SHIFT, .processors = 4, .apic_id_count = 4, .apic_ids = {0, 2, 4, STRANGER}
};

static uint64_t sent[SENT_MAXIMUM];
static unsigned sent_count, kicks[LPS], apic_inits;
static int reset_vector; /* -1: not reset */
static bool init_exits;
static uint64_t apic_base;
static void (*asleep)(void); /* what others do while this processor waits */
static jmp_buf machine_is_reset;

/* --- the rest of the image --- */

struct lp *lp_current(void)
{
    return &lps[current].lp;
}

uint32_t lp_count(void)
{
    return LPS;
}

struct lp *lp_by_index(uint32_t index)
{
    return &lps[index].lp;
}

void lp_kick(uint32_t lp_index)
{
    kicks[lp_index]++;
}

bool host_apic_is_x2apic(void)
{
    return false;
}

void host_apic_send(uint64_t icr)
{
    assert_true(sent_count < SENT_MAXIMUM);
    sent[sent_count++] = icr;
}

void host_apic_init(void)
{
    apic_inits++;
}

void kick_wait(const uint32_t *word)
{
    while (*word == 0)
        asleep();
}

void parent_vp_reset(struct vp *vp, uint8_t vector)
{
    assert_ptr_equal(vp, lp_current()->parent_vp);
    assert_int_equal(apic_inits, 1);
    reset_vector = vector;
}

void machine_reset(void)
{
    longjmp(machine_is_reset, 1);
}

void log_line(const char *format, ...)
{
    (void)format;
}

uint64_t rdmsr(uint32_t msr)
{
    assert_int_equal(msr, MSR_APIC_BASE);
    return apic_base;
}

static bool has_init_exits(void)
{
    return init_exits;
}

static uint8_t wait_for_sipi(struct vp *vp)
{
    assert_ptr_equal(vp, lp_current()->parent_vp);
    assert_false(lp_current()->parent_init);
    assert_int_equal(apic_inits, 0); /* nothing keeps it from waiting */
    return 0x42;
}

static const struct vendor fake = {.has_init_exits = has_init_exits, .wait_for_sipi = wait_for_sipi};
const struct vendor *vendor = &fake;

/* --- */

static int setup(void **state)
{
    (void)state;
    memset(lps, 0, sizeof lps);
    for (unsigned i = 0; i < LPS; i++) {
        lps[i].lp.index = i;
        lps[i].lp.apic_id = information.apic_ids[i];
        lps[i].lp.parent_vp = &vps[i];
        kicks[i] = 0;
    }
    current = sent_count = apic_inits = 0;
    reset_vector = -1;
    init_exits = false;
    apic_base = APIC_BASE_ENABLE;
    processor_start_initialize(&information);
    return 0;
}

static uint64_t icr(uint32_t apic_id, enum icr_mode mode, uint8_t vector)
{
    return (uint64_t)apic_id << ICR_DESTINATION_SHIFT | (uint64_t)mode << ICR_MODE_SHIFT | ICR_ASSERT | vector;
}

static void command(uint32_t apic_id, enum icr_mode mode, uint8_t vector)
{
    processor_start_command(icr(apic_id, mode, vector));
}

/* INIT, SIPI, SIPI, as all operating systems send them, from processor 0 to the one that sleeps. */
static void start_again(void)
{
    unsigned self = current;

    current = 0;
    command(lps[self].lp.apic_id, ICR_INIT, 0);
    command(lps[self].lp.apic_id, ICR_SIPI, 0x9A);
    command(lps[self].lp.apic_id, ICR_SIPI, 0x9A);
    current = self;
}

static void sipi(void)
{
    unsigned self = current;

    current = 0;
    command(lps[self].lp.apic_id, ICR_SIPI, 0x9A);
    current = self;
}

/* No INIT goes out for a processor of Loam's: it is kicked, and finds it. */
static void test_intercepted(void **state)
{
    (void)state;
    command(4, ICR_SIPI, 0x11); /* it runs: ignored */
    assert_int_equal(kicks[2], 0);
    command(4, ICR_INIT, 0);
    assert_true(lps[2].lp.parent_init);
    assert_int_equal(kicks[2], 1);
    assert_int_equal(sent_count, 0);
    assert_false(lps[0].lp.parent_init || lps[1].lp.parent_init);
    current = 2;
    asleep = sipi;
    processor_start_serve();
    assert_int_equal(reset_vector, 0x9A);
    assert_false(lps[2].lp.parent_init);
}

/* An INIT takes back a SIPI that has not been served; two are as good as one. */
static void test_init_while_waiting(void **state)
{
    (void)state;
    command(2, ICR_INIT, 0);
    current = 1;
    asleep = start_again;
    processor_start_serve();
    assert_int_equal(reset_vector, 0x9A);
    assert_false(lps[1].lp.parent_init);
    assert_int_equal(sent_count, 0);
}

/* A processor that Loam does not have: INIT is the real one, and the SIPI leads to the low page. */
static void test_stranger(void **state)
{
    (void)state;
    command(STRANGER, ICR_INIT, 0);
    command(STRANGER, ICR_SIPI, 0x77);
    assert_int_equal(sent_count, 2);
    assert_int_equal(sent[0], icr(STRANGER, ICR_INIT, 0));
    assert_int_equal(sent[1], icr(STRANGER, ICR_SIPI, LOW_PAGE));
    assert_int_equal(processor_start_vector(STRANGER), 0x77);
}

/* Hardware's INIT and SIPI: sent on, each to one processor, as long as one of them is a stranger. */
static void test_hardware(void **state)
{
    (void)state;
    init_exits = true;
    command(2, ICR_INIT, 0);
    command(2, ICR_SIPI, 0x33);
    assert_int_equal(sent[0], icr(2, ICR_INIT, 0));
    assert_int_equal(sent[1], icr(2, ICR_SIPI, 0x33));
    assert_false(lps[1].lp.parent_init);
    command(2, ICR_NMI, 0); /* never lost among kicks */
    assert_true(lps[1].lp.parent_nmi);
    assert_int_equal(kicks[1], 1);
    sent_count = 0;
    processor_start_command((uint64_t)ICR_TO_OTHERS << ICR_SHORTHAND_SHIFT | (uint64_t)ICR_SIPI << ICR_MODE_SHIFT |
                            ICR_ASSERT | 0x55);
    assert_int_equal(sent_count, 3);
    assert_int_equal(sent[0], icr(2, ICR_SIPI, 0x55));
    assert_int_equal(sent[1], icr(4, ICR_SIPI, 0x55));
    assert_int_equal(sent[2], icr(STRANGER, ICR_SIPI, LOW_PAGE));

    current = 1;
    lps[1].lp.parent_init = lps[1].lp.parent_nmi = true;
    processor_start_serve();
    assert_int_equal(reset_vector, 0x42);
    assert_false(lps[1].lp.parent_init || lps[1].lp.parent_nmi);
}

/* The firmware would begin anew there. */
static void test_boot_processor(void **state)
{
    volatile bool reset = false;

    (void)state;
    apic_base |= APIC_BASE_BSP;
    if (setjmp(machine_is_reset) == 0)
        processor_start_serve();
    else
        reset = true;
    assert_true(reset);
    assert_int_equal(reset_vector, -1);
}

/* Last, for processors do not go away again. */
static void test_watches(void **state)
{
    (void)state;
    init_exits = true;
    for (unsigned i = 0; i < information.processors; i++) {
        assert_true(processor_start_watches());
        processor_start_arrived();
    }
    assert_false(processor_start_watches());
    init_exits = false;
    assert_true(processor_start_watches());
}

#define TEST(function) cmocka_unit_test_setup(function, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_intercepted), TEST(test_init_while_waiting), TEST(test_stranger),
        TEST(test_hardware),    TEST(test_boot_processor),     TEST(test_watches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
