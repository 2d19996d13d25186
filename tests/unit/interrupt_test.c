/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kernel/interrupt.h"
#include "tests/unit/fake_guest.h"

static struct loam_vp_set wake;

static void enable(struct vp *vp)
{
    struct local_apic_effect effect;
    local_apic_write(&vp->apic, APIC_REGISTER_SVR, 0x1FF, 0, &effect);
}

static void set_register(struct vp *vp, uint32_t offset, uint32_t value)
{
    struct local_apic_effect effect;
    local_apic_write(&vp->apic, offset, value, 0, &effect);
}

static void start(unsigned count)
{
    fake_guest_start(count);
    memset(&wake, 0, sizeof(wake));
    for (unsigned i = 0; i < count; i++)
        enable(fake_vp(i));
}

static int teardown(void **state)
{
    (void)state;
    fake_guest_stop();
    return 0;
}

static enum hv_status deliver(struct interrupt_request request, struct vp *sender)
{
    return interrupt_deliver(&fake_partition, &request, sender, &wake);
}

static bool woken(unsigned index)
{
    return wake.bank[index / 64] >> (index % 64) & 1;
}

static unsigned woken_count(void)
{
    unsigned count = 0;
    for (unsigned i = 0; i < 4; i++)
        count += (unsigned)__builtin_popcountll(wake.bank[i]);
    return count;
}

static bool has(unsigned index, uint8_t vector)
{
    return fake_vp(index)->apic.irr[vector / 64] >> (vector % 64) & 1;
}

static void test_physical(void **state)
{
    (void)state;
    start(256);
    for (unsigned id = 0; id < 256; id++) {
        struct interrupt_request request = {.vector = (uint8_t)(16 + id % 240), .destination = id};
        request.wide = id == 0xFF; /* 255 is an id only in 32 bits */
        assert_int_equal(deliver(request, NULL), HV_STATUS_SUCCESS);
        for (unsigned i = 0; i < 256; i++)
            assert_int_equal(has(i, request.vector), i == id || (i < id && (id - i) % 240 == 0));
    }
    assert_int_equal(deliver((struct interrupt_request){.vector = 0x40, .destination = 256}, NULL),
                     HV_STATUS_SUCCESS);
    assert_int_equal(deliver((struct interrupt_request){.vector = 0x40, .destination = 0xFFFFFFFE}, NULL),
                     HV_STATUS_SUCCESS);
}

static void test_broadcasts(void **state)
{
    static const struct {
        struct interrupt_request request;
        bool sender; /* VP 1 sends */
        bool expected[4];
    } cases[] = {
        {{.destination = 0xFF},                                                          false, {true, true, true, true}    },
        {{.destination = 0xFFFFFFFF},                                                    false, {true, true, true, true}    },
        {{.destination = 0xFFFFFFFF, .wide = true},                                      true,  {true, true, true, true}    },
        {{.destination = 0xFF, .wide = true},                                            true,  {false, false, false, false}},
        {{.destination = 0xFF, .logical = true},                                         false, {true, true, true, true}    },
        {{.destination = 0xFFFFFFFF, .logical = true, .wide = true},                     true,  {true, true, true, true}    },
        {{.shorthand = INTERRUPT_TO_ALL},                                                true,  {true, true, true, true}    },
        {{.shorthand = INTERRUPT_TO_ALL_BUT_SELF},                                       true,  {true, false, true, true}   },
        {{.shorthand = INTERRUPT_TO_SELF, .type = HV_X64_INTERRUPT_TYPE_LOWESTPRIORITY},
         true,                                                                                  {false, true, false, false} },
        {{.destination = 2},                                                             true,  {false, false, true, false} },
        {{.destination = 9},                                                             true,  {false, false, false, false}},
    };
    (void)state;
    for (unsigned c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
        struct interrupt_request request = cases[c].request;
        start(4);
        request.vector = 0x55;
        assert_int_equal(deliver(request, cases[c].sender ? fake_vp(1) : NULL), HV_STATUS_SUCCESS);
        for (unsigned i = 0; i < 4; i++)
            assert_int_equal(has(i, 0x55), cases[c].expected[i]);
        fake_guest_stop();
    }
}

static void test_logical_modes(void **state)
{
    (void)state;
    start(8);
    for (unsigned i = 0; i < 8; i++)
        set_register(fake_vp(i), APIC_REGISTER_LDR, 1u << (24 + i));
    deliver((struct interrupt_request){.vector = 0x41, .destination = 0xA5, .logical = true}, NULL);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(has(i, 0x41), 0xA5 >> i & 1);
    for (unsigned i = 0; i < 8; i++) {
        set_register(fake_vp(i), APIC_REGISTER_DFR, 0);
        set_register(fake_vp(i), APIC_REGISTER_LDR, (i / 4) << 28 | 1u << (24 + i % 4));
    }
    deliver((struct interrupt_request){.vector = 0x42, .destination = 0x1C, .logical = true}, NULL);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(has(i, 0x42), i == 6 || i == 7);
    for (unsigned i = 0; i < 8; i++)
        assert_true(local_apic_set_base(&fake_vp(i)->apic, fake_vp(i)->apic.base | APIC_BASE_X2APIC, 40));
    deliver((struct interrupt_request){.vector = 0x43, .destination = 0x12, .logical = true, .wide = true},
            fake_vp(0));
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(has(i, 0x43), i == 1 || i == 4);
}

static void test_lowest_priority(void **state)
{
    struct interrupt_request request = {
        .type = HV_X64_INTERRUPT_TYPE_LOWESTPRIORITY, .vector = 0x80, .destination = 0xFF, .logical = true};
    (void)state;
    start(4);
    for (unsigned i = 0; i < 4; i++)
        set_register(fake_vp(i), APIC_REGISTER_TPR, i == 2 ? 0x10 : 0x20 + 0x10 * i);
    deliver(request, NULL);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(has(i, 0x80), i == 2);
    /* one whose APIC is off in software takes none, however idle it is */
    set_register(fake_vp(2), APIC_REGISTER_SVR, 0xFF);
    request.vector = 0x81;
    deliver(request, NULL);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(has(i, 0x81), i == 0);
    /* nobody */
    for (unsigned i = 0; i < 4; i++)
        set_register(fake_vp(i), APIC_REGISTER_SVR, 0xFF);
    assert_int_equal(deliver(request, NULL), HV_STATUS_SUCCESS);
    /* equals: the vector decides, and each of them is chosen at times */
    unsigned chosen[4] = {0};
    fake_guest_stop();
    start(4);
    for (unsigned vector = 16; vector < 256; vector++) {
        request.vector = (uint8_t)vector;
        deliver(request, NULL);
        unsigned receivers = 0;
        for (unsigned i = 0; i < 4; i++)
            if (has(i, (uint8_t)vector)) {
                receivers++;
                chosen[i]++;
            }
        assert_int_equal(receivers, 1);
    }
    for (unsigned i = 0; i < 4; i++)
        assert_true(chosen[i] >= 240 / 4 - 1);
}

static void test_disabled_apic(void **state)
{
    (void)state;
    start(2);
    assert_true(local_apic_set_base(&fake_vp(1)->apic, APIC_BASE_DEFAULT, 40));
    deliver((struct interrupt_request){.type = HV_X64_INTERRUPT_TYPE_NMI, .destination = 1}, NULL);
    deliver((struct interrupt_request){.type = HV_X64_INTERRUPT_TYPE_INIT, .destination = 0xFF}, NULL);
    assert_false(fake_vp(1)->nmi_pending);
    assert_false(fake_vp(1)->init_pending);
    assert_true(fake_vp(0)->init_pending);
    /* but its pins work: INTR and NMI */
    deliver((struct interrupt_request){.type = HV_X64_INTERRUPT_TYPE_LOCALINT1, .destination = 1}, NULL);
    assert_true(fake_vp(1)->nmi_pending);
    deliver(
        (struct interrupt_request){.type = HV_X64_INTERRUPT_TYPE_LOCALINT0, .vector = 8, .destination = 1},
        NULL);
    assert_int_equal(local_apic_take_extint(&fake_vp(1)->apic), 8);
}

static void test_init_and_sipi(void **state)
{
    struct interrupt_request init = {.type = HV_X64_INTERRUPT_TYPE_INIT, .destination = 1};
    struct interrupt_request sipi = {.type = HV_X64_INTERRUPT_TYPE_SIPI, .destination = 1, .vector = 0x99};
    struct vp *vp;
    (void)state;
    start(2);
    vp = fake_vp(1);
    deliver(sipi, fake_vp(0)); /* it runs: nothing happens */
    assert_false(vp->sipi_pending);
    deliver(init, fake_vp(0));
    assert_true(vp->init_pending);
    deliver(sipi, fake_vp(0)); /* before it has seen the INIT */
    assert_true(vp->sipi_pending);
    assert_int_equal(vp->sipi_vector, 0x99);
    deliver(init, fake_vp(0)); /* takes it back */
    assert_false(vp->sipi_pending);
    vp->init_pending = false;
    vp->startup_suspend = true;
    vp->blocked = true;
    deliver((struct interrupt_request){.type = HV_X64_INTERRUPT_TYPE_NMI, .destination = 1}, fake_vp(0));
    assert_int_equal(woken_count(), 0); /* an NMI does not start it, but is kept */
    deliver(sipi, fake_vp(0));
    assert_true(woken(1));
    sipi.vector = 0x77; /* Linux sends two: the second is nothing, not even a kick */
    vp->running_on = 1 + 3;
    deliver(sipi, fake_vp(0));
    assert_int_equal(vp->sipi_vector, 0x99);
    assert_int_equal(fake_kicks[3], 0);
    vp->running_on = 0;
    /* An INIT takes back what came before it: an NMI must not meet the tables of real mode. */
    assert_true(vp->nmi_pending);
    deliver(init, fake_vp(0));
    assert_false(vp->nmi_pending || vp->sipi_pending);
    /* the boot processor never waits for one */
    init.destination = sipi.destination = 0;
    deliver(init, fake_vp(1));
    deliver(sipi, fake_vp(1));
    assert_true(fake_vp(0)->init_pending);
    assert_false(fake_vp(0)->sipi_pending);
}

static void test_pins_and_extint(void **state)
{
    struct interrupt_request lint0 = {.type = HV_X64_INTERRUPT_TYPE_LOCALINT0, .vector = 0x20};
    struct interrupt_request extint = {.type = HV_X64_INTERRUPT_TYPE_EXTINT, .vector = 9};
    struct vp *vp;
    (void)state;
    start(1);
    vp = fake_vp(0);
    vp->blocked = true;
    deliver(lint0, NULL); /* masked */
    assert_int_equal(woken_count(), 0);
    set_register(vp, APIC_REGISTER_LVT_LINT0, 0x700);
    assert_int_equal(deliver(lint0, NULL), HV_STATUS_SUCCESS);
    assert_true(woken(0));
    assert_int_equal(deliver(extint, NULL), HV_STATUS_NOT_ACKNOWLEDGED);
    assert_int_equal(local_apic_take_extint(&vp->apic), 0x20);
    assert_int_equal(deliver(extint, NULL), HV_STATUS_SUCCESS); /* a vector below 16 is a PIC's right */
    assert_int_equal(local_apic_take_extint(&vp->apic), 9);
    set_register(vp, APIC_REGISTER_LVT_LINT0, 0x31);
    deliver(lint0, NULL);
    assert_true(has(0, 0x31));
    set_register(vp, APIC_REGISTER_LVT_LINT0, 0x400);
    assert_int_equal(deliver(lint0, NULL), HV_STATUS_SUCCESS);
    assert_true(vp->nmi_pending);
    set_register(vp, APIC_REGISTER_LVT_LINT0, 0x500);
    assert_int_equal(deliver(lint0, NULL), HV_STATUS_SUCCESS);
    assert_true(vp->init_pending);
    set_register(vp, APIC_REGISTER_LVT_LINT0, 0x200); /* SMI: nothing */
    assert_int_equal(deliver(lint0, NULL), HV_STATUS_SUCCESS);
    /* LINT1 has its own entry. */
    lint0.type = HV_X64_INTERRUPT_TYPE_LOCALINT1;
    set_register(vp, APIC_REGISTER_LVT_LINT1, 0x32);
    assert_int_equal(deliver(lint0, NULL), HV_STATUS_SUCCESS);
    assert_true(has(0, 0x32));
    /* One that is waiting keeps the others of a broadcast out, and the caller hears of it. */
    fake_guest_stop();
    start(2);
    extint.destination = 0xFF;
    assert_int_equal(deliver(extint, NULL), HV_STATUS_SUCCESS);
    assert_int_equal(local_apic_take_extint(&fake_vp(1)->apic), 9);
    assert_int_equal(local_apic_take_extint(&fake_vp(1)->apic), -1);
    assert_int_equal(deliver(extint, NULL), HV_STATUS_NOT_ACKNOWLEDGED);
    assert_int_equal(local_apic_take_extint(&fake_vp(1)->apic), 9);
}

static void test_level(void **state)
{
    struct interrupt_request request = {.vector = 0x61, .level = true};
    struct local_apic_effect effect;
    (void)state;
    for (unsigned wanted = 0; wanted < 2; wanted++) {
        start(1);
        fake_partition.apic_eoi_messages = wanted;
        deliver(request, NULL);
        local_apic_acknowledge(&fake_vp(0)->apic, 0x61);
        local_apic_write(&fake_vp(0)->apic, APIC_REGISTER_EOI, 0, 0, &effect);
        assert_int_equal(local_apic_take_eoi(&fake_vp(0)->apic), wanted ? 0x61 : -1);
        fake_guest_stop();
    }
}

static void test_wake_and_kick(void **state)
{
    struct interrupt_request request = {.vector = 0x61, .destination = 1};
    struct vp *vp;
    (void)state;
    start(200);
    vp = fake_vp(1);
    /* neither blocked nor running: it will look for itself */
    deliver(request, NULL);
    assert_int_equal(woken_count(), 0);
    assert_int_equal(fake_kicks[1], 0);
    /* running elsewhere: kicked for news, once */
    vp->running_on = 1 + 1;
    deliver(request, NULL);
    assert_int_equal(fake_kicks[1], 0);
    request.vector = 0x62;
    deliver(request, NULL);
    assert_int_equal(fake_kicks[1], 1);
    /* running here (it sent it to itself): no kick */
    vp->running_on = 1 + 0;
    request.vector = 0x63;
    deliver(request, vp);
    assert_int_equal(fake_kicks[0], 0);
    /* running, and held back by its priority: kicked all the same, for the window */
    vp->running_on = 1 + 2;
    set_register(vp, APIC_REGISTER_TPR, 0xF0);
    request.vector = 0x64;
    deliver(request, NULL);
    assert_int_equal(fake_kicks[2], 1);
    /* blocked and held back: not woken; blocked and deliverable: woken once */
    vp->running_on = 0;
    vp->blocked = true;
    request.vector = 0x65;
    deliver(request, NULL);
    assert_int_equal(woken_count(), 0);
    assert_true(vp->blocked);
    set_register(vp, APIC_REGISTER_TPR, 0);
    request.vector = 0x66;
    deliver(request, NULL);
    assert_true(woken(1));
    assert_int_equal(woken_count(), 1);
    assert_false(vp->blocked);
    memset(&wake, 0, sizeof(wake));
    request.vector = 0x67;
    deliver(request, NULL);
    assert_int_equal(woken_count(), 0);
    /* the highest index lands in the last bank */
    fake_vp(199)->blocked = true;
    deliver((struct interrupt_request){.type = HV_X64_INTERRUPT_TYPE_NMI, .destination = 199}, NULL);
    assert_true(woken(199));
}

static void test_request_validity(void **state)
{
    (void)state;
    start(1);
    for (unsigned type = 0; type < 256; type++)
        for (unsigned vector = 0; vector < 256; vector++) {
            bool needs_vector =
                type == HV_X64_INTERRUPT_TYPE_FIXED || type == HV_X64_INTERRUPT_TYPE_LOWESTPRIORITY;
            bool exists = type <= HV_X64_INTERRUPT_TYPE_LOCALINT1 && type != HV_X64_INTERRUPT_TYPE_SMI &&
                          type != HV_X64_INTERRUPT_TYPE_REMOTEREAD;
            bool valid = exists && !(needs_vector && vector < 16);
            struct interrupt_request request = {
                .type = (uint8_t)type, .vector = (uint8_t)vector, .destination = 7};
            assert_int_equal(deliver(request, NULL), valid ? HV_STATUS_SUCCESS : HV_STATUS_INVALID_PARAMETER);
        }
    assert_int_equal(deliver((struct interrupt_request){.vector = 0x50, .shorthand = INTERRUPT_TO_ALL}, NULL),
                     HV_STATUS_INVALID_PARAMETER);
    /* An ICR has no ExtINT and no pins. */
    assert_int_equal(deliver((struct interrupt_request){.type = HV_X64_INTERRUPT_TYPE_EXTINT}, fake_vp(0)),
                     HV_STATUS_INVALID_PARAMETER);
}

static void test_hypercall_input(void **state)
{
    struct hv_input_assert_virtual_interrupt good = {
        .partition_id = 5,
        .interrupt_type = HV_X64_INTERRUPT_TYPE_LOWESTPRIORITY,
        .interrupt_flags = HV_INTERRUPT_LEVEL_TRIGGERED | HV_INTERRUPT_LOGICAL_DESTINATION,
        .destination = 0x12345678,
        .vector = 0xFE,
    };
    struct hv_input_assert_virtual_interrupt bad;
    struct interrupt_request request;
    (void)state;
    assert_true(interrupt_request_from_hypercall(&good, &request));
    assert_int_equal(request.type, HV_X64_INTERRUPT_TYPE_LOWESTPRIORITY);
    assert_int_equal(request.vector, 0xFE);
    assert_int_equal(request.destination, 0x12345678);
    assert_int_equal(request.shorthand, INTERRUPT_TO_DESTINATION);
    assert_true(request.level && request.logical && !request.wide);
    bad = good; /* the ends of what is allowed */
    bad.interrupt_type = HV_X64_INTERRUPT_TYPE_LOCALINT1;
    bad.interrupt_flags = 0;
    bad.destination = 0xFFFFFFFF;
    bad.vector = 0xFF;
    assert_true(interrupt_request_from_hypercall(&bad, &request));
    assert_int_equal(request.vector, 0xFF);
    assert_int_equal(request.destination, 0xFFFFFFFF);
    assert_false(request.level || request.logical);
    bad = good;
    bad.interrupt_type = HV_X64_INTERRUPT_TYPE_LOCALINT1 + 1;
    assert_false(interrupt_request_from_hypercall(&bad, &request));
    bad = good;
    bad.interrupt_type = 0x100;
    assert_false(interrupt_request_from_hypercall(&bad, &request));
    bad = good;
    bad.interrupt_flags = 4;
    assert_false(interrupt_request_from_hypercall(&bad, &request));
    bad = good;
    bad.destination = 1ull << 32;
    assert_false(interrupt_request_from_hypercall(&bad, &request));
    bad = good;
    bad.vector = 0x100;
    assert_false(interrupt_request_from_hypercall(&bad, &request));
    bad = good;
    bad.target_vtl = 1;
    assert_false(interrupt_request_from_hypercall(&bad, &request));
}

static void test_time(void **state)
{
    struct local_apic_effect effect;
    struct vp *vp;
    (void)state;
    start(1);
    vp = fake_vp(0);
    local_apic_write(&vp->apic, APIC_REGISTER_LVT_TIMER, 0x40040, 0, &effect);
    local_apic_set_tsc_deadline(&vp->apic, 10000);
    vp_set_tsc_offset(vp, 4000);
    assert_int_equal(*fake_register(vp, VP_TSC_OFFSET), 4000);
    assert_int_equal(local_apic_deadline(&vp->apic), 6000);
    vp_skip_time(vp, 500);
    assert_int_equal(*fake_register(vp, VP_TSC_OFFSET), 3500);
    assert_int_equal(local_apic_deadline(&vp->apic), 6500);
    local_apic_write(&vp->apic, APIC_REGISTER_LVT_TIMER, 0x40, 0, &effect);
    local_apic_write(&vp->apic, APIC_REGISTER_INITIAL_COUNT, 1000, 0, &effect);
    uint64_t deadline = local_apic_deadline(&vp->apic);
    vp_skip_time(vp, 500);
    assert_int_equal(local_apic_deadline(&vp->apic), deadline + 500);
    vp_set_tsc_offset(vp, 0); /* the count does not care */
    assert_int_equal(local_apic_deadline(&vp->apic), deadline + 500);
}

#define TEST(function) cmocka_unit_test_teardown(function, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_physical),         TEST(test_broadcasts),      TEST(test_logical_modes),
        TEST(test_lowest_priority),  TEST(test_disabled_apic),   TEST(test_init_and_sipi),
        TEST(test_pins_and_extint),  TEST(test_level),           TEST(test_wake_and_kick),
        TEST(test_request_validity), TEST(test_hypercall_input), TEST(test_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
