/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kernel/arch.h"
#include "kernel/local_apic.h"

#define ADDRESS_BITS 40
#define ENABLE       0x100u
#define MASKED       0x10000u
#define PERIODIC     0x20000u
#define TSC_DEADLINE 0x40000u
#define MSR(offset)  (APIC_X2APIC_MSR_FIRST + ((offset) >> 4))

static struct local_apic apic;
static struct local_apic_effect effect;

static uint32_t get(uint32_t offset)
{
    return local_apic_read(&apic, offset, 0);
}

static void put(uint32_t offset, uint32_t value)
{
    local_apic_write(&apic, offset, value, 0, &effect);
}

static uint32_t get_at(uint64_t now, uint32_t offset)
{
    return local_apic_read(&apic, offset, now);
}

static void put_at(uint64_t now, uint32_t offset, uint32_t value)
{
    local_apic_write(&apic, offset, value, now, &effect);
}

static bool put_msr(uint32_t msr, uint64_t value)
{
    return local_apic_write_msr(&apic, msr, value, 0, &effect);
}

static void start(uint32_t id)
{
    memset(&apic, 0xA5, sizeof(apic));
    memset(&effect, 0xA5, sizeof(effect));
    local_apic_initialize(&apic, id, true, true);
}

static void start_enabled(uint32_t id)
{
    start(id);
    put(APIC_REGISTER_SVR, ENABLE | 0xFF);
}

static void enter_x2apic(void)
{
    assert_true(local_apic_set_base(&apic, apic.base | APIC_BASE_X2APIC, ADDRESS_BITS));
}

/* What has been found since the last look. */
static uint32_t errors(void)
{
    put(APIC_REGISTER_ESR, 0);
    return get(APIC_REGISTER_ESR);
}

static void test_power_up(void **state)
{
    (void)state;
    start(3);
    assert_int_equal(apic.base, APIC_BASE_DEFAULT | APIC_BASE_ENABLE);
    assert_int_equal(get(APIC_REGISTER_ID), 3u << 24);
    assert_int_equal(get(APIC_REGISTER_VERSION), 0x50014);
    assert_int_equal(get(APIC_REGISTER_TPR), 0);
    assert_int_equal(get(APIC_REGISTER_LDR), 0);
    assert_int_equal(get(APIC_REGISTER_DFR), 0xFFFFFFFF);
    assert_int_equal(get(APIC_REGISTER_SVR), 0xFF);
    for (uint32_t offset = APIC_REGISTER_LVT_TIMER; offset <= APIC_REGISTER_LVT_ERROR; offset += 0x10)
        assert_int_equal(get(offset), MASKED);
    for (uint32_t offset = APIC_REGISTER_ISR; offset < APIC_REGISTER_ESR; offset += 0x10)
        assert_int_equal(get(offset), 0);
    assert_int_equal(errors(), 0);
    assert_int_equal(local_apic_deadline(&apic), LOCAL_APIC_NO_DEADLINE);
    assert_int_equal(local_apic_pending(&apic), -1);
    assert_int_equal(local_apic_take_eoi(&apic), -1);
    assert_int_equal(local_apic_take_extint(&apic), -1);
    start(0);
    assert_int_equal(apic.base, APIC_BASE_DEFAULT | APIC_BASE_ENABLE | APIC_BASE_BSP);
}

static void test_init_keeps_identity_and_mode(void **state)
{
    (void)state;
    start_enabled(5);
    local_apic_set_time(&apic, 77, 0);
    enter_x2apic();
    assert_true(put_msr(MSR(APIC_REGISTER_TPR), 0x20));
    local_apic_accept(&apic, 0x91, false);
    apic.extint_pending = true;
    local_apic_init(&apic);
    assert_true(local_apic_x2apic(&apic));
    assert_int_equal(apic.id, 5);
    assert_int_equal(apic.tsc_offset, 77);
    assert_int_equal(apic.tpr, 0);
    assert_int_equal(local_apic_pending(&apic), -1);
    assert_int_equal(local_apic_take_extint(&apic), -1);
    assert_false(local_apic_accepts_fixed(&apic));
}

/*
 * Modes as (EN, EXTD): disabled, invalid, xAPIC, x2APIC. What WRMSR allows from each to each (SDM figure
 * 11-27).
 */
static void test_base_transitions(void **state)
{
    static const uint64_t modes[4] = {0, APIC_BASE_X2APIC, APIC_BASE_ENABLE,
                                      APIC_BASE_ENABLE | APIC_BASE_X2APIC};
    static const bool allowed[4][4] = {
        [0] = {true, false, true,  false},
        [2] = {true, false, true,  true },
        [3] = {true, false, false, true },
    };
    (void)state;
    for (unsigned x2apic = 0; x2apic < 2; x2apic++)
        for (unsigned from = 0; from < 4; from++)
            for (unsigned to = 0; to < 4; to++) {
                if (from == 1 || (from == 3 && !x2apic))
                    continue;
                start(1);
                apic.x2apic_allowed = x2apic;
                assert_true(local_apic_restore_base(&apic, APIC_BASE_DEFAULT | modes[from], ADDRESS_BITS));
                uint64_t before = apic.base;
                bool expected = allowed[from][to] && (to != 3 || x2apic);
                assert_int_equal(local_apic_set_base(&apic, APIC_BASE_DEFAULT | modes[to], ADDRESS_BITS),
                                 expected);
                assert_int_equal(apic.base, expected ? APIC_BASE_DEFAULT | modes[to] : before);
            }
}

static void test_base_bits(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 64; bit++) {
        start(1);
        bool expected = bit == 8 || bit == 10 || (bit >= 11 && bit < ADDRESS_BITS);
        assert_int_equal(
            local_apic_set_base(&apic, APIC_BASE_DEFAULT | APIC_BASE_ENABLE | 1ull << bit, ADDRESS_BITS),
            expected);
        assert_int_equal(apic.base & APIC_BASE_BSP, 0); /* not for software to change */
    }
    start(0);
    assert_true(local_apic_set_base(&apic, 0xFFF0000000ull | APIC_BASE_ENABLE, ADDRESS_BITS));
    assert_int_equal(apic.base, 0xFFF0000000ull | APIC_BASE_ENABLE | APIC_BASE_BSP);
    assert_true(local_apic_claims(&apic, 0xFFF0000ABCull));
    assert_false(local_apic_claims(&apic, 0xFFF0001000ull));
    assert_false(local_apic_claims(&apic, APIC_BASE_DEFAULT));
    enter_x2apic();
    assert_false(local_apic_claims(&apic, 0xFFF0000000ull));
}

static void test_disabling_resets(void **state)
{
    (void)state;
    start_enabled(1);
    put(APIC_REGISTER_TPR, 0x40);
    local_apic_accept(&apic, 0x80, false);
    assert_true(local_apic_set_base(&apic, APIC_BASE_DEFAULT, ADDRESS_BITS));
    assert_false(local_apic_claims(&apic, APIC_BASE_DEFAULT));
    assert_int_equal(local_apic_accept(&apic, 0x80, false), LOCAL_APIC_REJECTED);
    assert_true(local_apic_set_base(&apic, APIC_BASE_DEFAULT | APIC_BASE_ENABLE, ADDRESS_BITS));
    assert_int_equal(get(APIC_REGISTER_TPR), 0);
    assert_int_equal(get(APIC_REGISTER_SVR), 0xFF);
    assert_int_equal(local_apic_pending(&apic), -1);
}

/* Every register there is: R, W and the bits that can be written. x2APIC as in SDM table 11-6. */
struct expected_register {
    uint32_t offset, count;
    const char *xapic, *x2apic;
    uint64_t bits;
};
static const struct expected_register expected_registers[] = {
    {0x020, 1,  "R",  "R",  0                 },
    {0x030, 1,  "R",  "R",  0                 },
    {0x080, 1,  "RW", "RW", 0xFF              },
    {0x090, 1,  "R",  "",   0                 },
    {0x0A0, 1,  "R",  "R",  0                 },
    {0x0B0, 1,  "W",  "W",  0                 },
    {0x0C0, 1,  "R",  "",   0                 },
    {0x0D0, 1,  "RW", "R",  0xFF000000        },
    {0x0E0, 1,  "RW", "",   0xF0000000        },
    {0x0F0, 1,  "RW", "RW", 0x3FF             },
    {0x100, 24, "R",  "R",  0                 },
    {0x280, 1,  "RW", "RW", 0                 },
    {0x300, 1,  "RW", "RW", 0xFFFFFFFF000CDFFF},
    {0x310, 1,  "RW", "",   0xFF000000        },
    {0x320, 1,  "RW", "RW", 0x700FF           },
    {0x330, 2,  "RW", "RW", 0x107FF           },
    {0x350, 2,  "RW", "RW", 0x1A7FF           },
    {0x370, 1,  "RW", "RW", 0x100FF           },
    {0x380, 1,  "RW", "RW", 0xFFFFFFFF        },
    {0x390, 1,  "R",  "R",  0                 },
    {0x3E0, 1,  "RW", "RW", 0xB               },
    {0x3F0, 1,  "",   "W",  0xFF              },
};

static const struct expected_register *expected_at(uint32_t offset)
{
    for (unsigned i = 0; i < sizeof(expected_registers) / sizeof(expected_registers[0]); i++)
        if (offset >= expected_registers[i].offset &&
            offset < expected_registers[i].offset + 16 * expected_registers[i].count)
            return &expected_registers[i];
    return NULL;
}

static void test_x2apic_registers(void **state)
{
    (void)state;
    for (uint32_t msr = APIC_X2APIC_MSR_FIRST; msr <= APIC_X2APIC_MSR_LAST; msr++) {
        uint32_t offset = (msr - APIC_X2APIC_MSR_FIRST) << 4;
        const struct expected_register *expected = expected_at(offset);
        const char *access = expected == NULL ? "" : expected->x2apic;
        uint64_t value;
        start_enabled(2);
        assert_false(local_apic_read_msr(&apic, msr, 0, &value)); /* xAPIC mode */
        assert_false(put_msr(msr, 0));
        enter_x2apic();
        assert_int_equal(local_apic_read_msr(&apic, msr, 0, &value), strchr(access, 'R') != NULL);
        assert_int_equal(put_msr(msr, 0), strchr(access, 'W') != NULL);
        for (unsigned bit = 0; bit < 64 && strchr(access, 'W') != NULL; bit++) {
            start_enabled(2);
            enter_x2apic();
            assert_int_equal(put_msr(msr, 1ull << bit), expected->bits >> bit & 1);
        }
    }
}

static void test_x2apic_values(void **state)
{
    uint64_t value;
    (void)state;
    start_enabled(0x35);
    enter_x2apic();
    assert_true(local_apic_read_msr(&apic, MSR(APIC_REGISTER_ID), 0, &value));
    assert_int_equal(value, 0x35);
    assert_true(local_apic_read_msr(&apic, MSR(APIC_REGISTER_LDR), 0, &value));
    assert_int_equal(value, 3u << 16 | 1u << 5);
    assert_true(put_msr(MSR(APIC_REGISTER_ICR_LOW), 0x0123456700004031ull));
    assert_true(effect.send);
    assert_true(effect.request.wide);
    assert_int_equal(effect.request.destination, 0x01234567);
    assert_int_equal(effect.request.vector, 0x31);
    assert_true(local_apic_read_msr(&apic, MSR(APIC_REGISTER_ICR_LOW), 0, &value));
    assert_int_equal(value, 0x0123456700004031ull);
    assert_true(put_msr(MSR(APIC_REGISTER_SELF_IPI), 0x99));
    assert_false(effect.send);
    assert_int_equal(local_apic_pending(&apic), 0x99);
    /* TSC-deadline mode exists only with the CPUID bit. */
    assert_true(put_msr(MSR(APIC_REGISTER_LVT_TIMER), TSC_DEADLINE));
    apic.tsc_deadline_allowed = false;
    assert_false(put_msr(MSR(APIC_REGISTER_LVT_TIMER), TSC_DEADLINE));
}

static void test_xapic_registers(void **state)
{
    (void)state;
    for (uint32_t offset = 0; offset < 0x1000; offset += 4) {
        const struct expected_register *expected = (offset & 15) == 0 ? expected_at(offset) : NULL;
        const char *access = expected == NULL ? "" : expected->xapic;
        start_enabled(2);
        get(offset);
        assert_int_equal(errors(), *access == 0 ? APIC_ERROR_ILLEGAL_REGISTER : 0);
        put(offset, 0xFFFFFFFF);
        assert_int_equal(errors() & APIC_ERROR_ILLEGAL_REGISTER,
                         *access == 0 ? APIC_ERROR_ILLEGAL_REGISTER : 0);
        if (strcmp(access, "RW") != 0 || offset == APIC_REGISTER_ESR)
            continue;
        uint32_t bits = (uint32_t)expected->bits & ~(offset == APIC_REGISTER_ICR_LOW ? 0x1000u : 0);
        uint32_t ones = offset == APIC_REGISTER_DFR ? 0x0FFFFFFF : 0;
        assert_int_equal(get(offset), bits | ones);
        put(offset, 0);
        assert_int_equal(get(offset), ones);
    }
}

static void test_registers_without_content(void **state)
{
    (void)state;
    start_enabled(7);
    local_apic_accept(&apic, 0x80, false);
    assert_int_equal(get(APIC_REGISTER_EOI), 0);
    assert_int_equal(get(APIC_REGISTER_REMOTE_READ), 0);
    assert_int_equal(get(APIC_REGISTER_SELF_IPI), 0);
    put(APIC_REGISTER_ID, 0x11000000); /* cannot be changed */
    assert_int_equal(get(APIC_REGISTER_ID), 7u << 24);
    put(APIC_REGISTER_IRR + 0x40, 0);
    assert_int_equal(get(APIC_REGISTER_IRR + 0x40), 1);
    put(APIC_REGISTER_SELF_IPI, 0x90); /* x2APIC's */
    assert_int_equal(local_apic_pending(&apic), 0x80);
}

static void test_software_disable_masks(void **state)
{
    (void)state;
    start_enabled(0);
    put(APIC_REGISTER_LVT_LINT0, 0x700);
    put(APIC_REGISTER_LVT_ERROR, 0xFE);
    local_apic_accept(&apic, 0x60, false);
    put(APIC_REGISTER_SVR, 0xFF);
    assert_int_equal(get(APIC_REGISTER_LVT_LINT0), 0x700 | MASKED);
    assert_int_equal(get(APIC_REGISTER_LVT_ERROR), 0xFE | MASKED);
    put(APIC_REGISTER_LVT_ERROR, 0xFD); /* the mask cannot be cleared now */
    assert_int_equal(get(APIC_REGISTER_LVT_ERROR), 0xFD | MASKED);
    assert_int_equal(local_apic_accept(&apic, 0x61, false), LOCAL_APIC_REJECTED);
    assert_int_equal(local_apic_pending(&apic), 0x60); /* what had come stays */
    put(APIC_REGISTER_SVR, ENABLE | 0xFF);
    assert_int_equal(get(APIC_REGISTER_LVT_LINT0), 0x700 | MASKED);
}

/* Against sets of vectors kept as plain arrays. */
static void test_priorities_random(void **state)
{
    bool irr[256] = {false}, isr[256] = {false}, tmr[256] = {false};
    unsigned tpr = 0;
    (void)state;
    srand(1);
    start_enabled(0);
    for (unsigned step = 0; step < 200000; step++) {
        unsigned vector = (unsigned)rand() % 256;
        bool level = rand() % 4 == 0;
        switch (rand() % 4) {
        case 0:
            if (vector < 16) {
                assert_int_equal(local_apic_accept(&apic, (uint8_t)vector, level), LOCAL_APIC_REJECTED);
                break;
            }
            assert_int_equal(local_apic_accept(&apic, (uint8_t)vector, level),
                             irr[vector] ? LOCAL_APIC_PENDING : LOCAL_APIC_ACCEPTED);
            irr[vector] = true;
            tmr[vector] = level;
            break;
        case 1:
            tpr = vector;
            put(APIC_REGISTER_TPR, tpr);
            break;
        case 2: {
            int highest = -1;
            for (int i = 0; i < 256; i++)
                if (isr[i])
                    highest = i;
            put(APIC_REGISTER_EOI, (uint32_t)rand());
            int expected = highest >= 0 && tmr[highest] ? highest : -1;
            if (highest >= 0)
                isr[highest] = false;
            assert_int_equal(local_apic_take_eoi(&apic), expected);
            assert_int_equal(local_apic_take_eoi(&apic), -1);
            break;
        }
        case 3: {
            int pending = local_apic_pending(&apic);
            if (pending < 0)
                break;
            local_apic_acknowledge(&apic, (uint8_t)pending);
            irr[pending] = false;
            isr[pending] = true;
            break;
        }
        }
        unsigned serving = 0, requested = 0;
        for (unsigned i = 0; i < 256; i++) {
            if (isr[i])
                serving = i;
            if (irr[i])
                requested = i;
        }
        unsigned ppr = (tpr & 0xF0) >= (serving & 0xF0) ? tpr : serving & 0xF0;
        assert_int_equal(get(APIC_REGISTER_PPR), ppr);
        assert_int_equal(local_apic_pending(&apic), (requested & 0xF0) > (ppr & 0xF0) ? (int)requested : -1);
        uint32_t offset = 0x10 * (vector / 32);
        assert_int_equal(get(APIC_REGISTER_IRR + offset) >> (vector % 32) & 1, irr[vector]);
        assert_int_equal(get(APIC_REGISTER_ISR + offset) >> (vector % 32) & 1, isr[vector]);
        assert_int_equal(get(APIC_REGISTER_TMR + offset) >> (vector % 32) & 1, tmr[vector]);
    }
}

static void test_cr8(void **state)
{
    (void)state;
    start_enabled(0);
    put(APIC_REGISTER_TPR, 0x57);
    assert_int_equal(local_apic_cr8(&apic), 5);
    local_apic_set_cr8(&apic, 5); /* unchanged: the low bits stay */
    assert_int_equal(get(APIC_REGISTER_TPR), 0x57);
    local_apic_set_cr8(&apic, 9);
    assert_int_equal(get(APIC_REGISTER_TPR), 0x90);
}

static void test_logical_destinations(void **state)
{
    (void)state;
    for (unsigned ldr = 0; ldr < 256; ldr++)
        for (unsigned destination = 0; destination < 256; destination++) {
            start_enabled(1);
            put(APIC_REGISTER_LDR, ldr << 24);
            assert_int_equal(local_apic_matches_logical(&apic, destination), (ldr & destination) != 0);
            put(APIC_REGISTER_DFR, 0);
            assert_int_equal(local_apic_matches_logical(&apic, destination),
                             ldr / 16 == destination / 16 && (ldr % 16 & destination % 16) != 0);
        }
    for (unsigned id = 0; id < 256; id++)
        for (unsigned cluster = 0; cluster < 16; cluster++)
            for (unsigned bit = 0; bit < 16; bit++) {
                start_enabled(id);
                enter_x2apic();
                assert_int_equal(local_apic_matches_logical(&apic, cluster << 16 | 1u << bit),
                                 id == cluster * 16 + bit);
            }
    start_enabled(1);
    put(APIC_REGISTER_LDR, 0xFF000000);
    assert_false(local_apic_matches_logical(&apic, 0x101)); /* a destination that only x2APICs have */
    assert_true(local_apic_set_base(&apic, APIC_BASE_DEFAULT, ADDRESS_BITS));
    assert_false(local_apic_matches_logical(&apic, 0xFF));
}

static void test_icr_commands(void **state)
{
    (void)state;
    for (unsigned mode = 0; mode < 8; mode++)
        for (unsigned vector = 0; vector < 256; vector++)
            for (unsigned shorthand = 0; shorthand < 4; shorthand++) {
                start_enabled(1);
                put(APIC_REGISTER_ICR_HIGH, 0x5A000000);
                put(APIC_REGISTER_ICR_LOW, vector | mode << 8 | 0x800 | 0x4000 | shorthand << 18);
                bool needs_vector = mode == 0 || mode == 1;
                bool to_itself = mode == 0 && shorthand == INTERRUPT_TO_SELF;
                bool sent = mode != 3 && mode != 7 && !(needs_vector && vector < 16) && !to_itself;
                assert_int_equal(effect.send, sent);
                assert_int_equal(errors(), needs_vector && vector < 16 ? APIC_ERROR_SEND_ILLEGAL_VECTOR : 0);
                if (to_itself && vector >= 16)
                    assert_int_equal(local_apic_pending(&apic), vector);
                if (!sent)
                    continue;
                assert_int_equal(effect.request.type, mode);
                assert_int_equal(effect.request.vector, vector);
                assert_int_equal(effect.request.shorthand, shorthand);
                assert_true(effect.request.logical);
                assert_false(effect.request.wide);
                assert_false(effect.request.level);
                assert_int_equal(effect.request.destination, 0x5A);
            }
    start_enabled(1);
    put(APIC_REGISTER_ICR_LOW, 0x00008500); /* INIT level de-assert */
    assert_false(effect.send);
    put(APIC_REGISTER_ICR_LOW, 0x0000C500); /* INIT level assert */
    assert_true(effect.send);
    assert_int_equal(effect.request.type, HV_X64_INTERRUPT_TYPE_INIT);
    assert_false(effect.request.logical);
    put(APIC_REGISTER_TPR, 0); /* any other write says that nothing is to be sent */
    assert_false(effect.send);
}

static void test_error_interrupt(void **state)
{
    (void)state;
    start_enabled(0);
    put(APIC_REGISTER_LVT_ERROR, 0xFE);
    get(0x3F0);
    assert_int_equal(local_apic_pending(&apic), 0xFE);
    local_apic_acknowledge(&apic, 0xFE);
    assert_int_equal(get(APIC_REGISTER_ESR), 0); /* not before a write */
    assert_int_equal(local_apic_accept(&apic, 3, false), LOCAL_APIC_REJECTED);
    assert_int_equal(errors(), APIC_ERROR_ILLEGAL_REGISTER | APIC_ERROR_RECEIVED_ILLEGAL_VECTOR);
    assert_int_equal(errors(), 0);
    put(APIC_REGISTER_LVT_ERROR, 0x10); /* the lowest that there is */
    get(0x3F0);
    assert_int_equal(errors(), APIC_ERROR_ILLEGAL_REGISTER);
    assert_int_equal(get(APIC_REGISTER_IRR), 1u << 16);
    assert_int_equal(get(APIC_REGISTER_TMR), 0);
    /* A vector of its own that is illegal must not go round in circles. */
    put(APIC_REGISTER_LVT_ERROR, 0x05);
    get(0x3F0);
    assert_int_equal(errors(), APIC_ERROR_ILLEGAL_REGISTER | APIC_ERROR_RECEIVED_ILLEGAL_VECTOR);
}

static void test_local_signals(void **state)
{
    static const enum local_apic_local_event events[8] = {
        [4] = LOCAL_APIC_EVENT_NMI, [5] = LOCAL_APIC_EVENT_INIT, [7] = LOCAL_APIC_EVENT_EXTINT};
    bool news;
    (void)state;
    for (unsigned mode = 0; mode < 8; mode++) {
        start_enabled(0);
        assert_int_equal(local_apic_signal(&apic, LVT_LINT1, &news), LOCAL_APIC_EVENT_NONE); /* masked */
        put(APIC_REGISTER_LVT_LINT1, mode << 8 | 0x77);
        assert_int_equal(local_apic_signal(&apic, LVT_LINT1, &news), events[mode]);
        assert_int_equal(news, mode == 0);
        assert_int_equal(local_apic_pending(&apic), mode == 0 ? 0x77 : -1);
        local_apic_signal(&apic, LVT_LINT1, &news);
        assert_false(news);
    }
    start(0);
    assert_false(local_apic_accepts_extint(&apic));
    apic.lvt[LVT_LINT0] = 0x700; /* virtual wire, as SET_VP_STATE makes it */
    assert_true(local_apic_accepts_extint(&apic));
    apic.lvt[LVT_LINT0] = 0x400;
    assert_false(local_apic_accepts_extint(&apic));
    assert_true(local_apic_set_base(&apic, APIC_BASE_DEFAULT, ADDRESS_BITS));
    assert_true(local_apic_accepts_extint(&apic));
    assert_int_equal(local_apic_signal(&apic, LVT_LINT0, &news), LOCAL_APIC_EVENT_EXTINT);
    assert_int_equal(local_apic_signal(&apic, LVT_LINT1, &news), LOCAL_APIC_EVENT_NMI);
    assert_int_equal(local_apic_signal(&apic, LVT_THERMAL, &news), LOCAL_APIC_EVENT_NONE);
}

static const unsigned divisors[16] = {2, 4, 8, 16, [8] = 32, 64, 128, 1};

static void test_one_shot(void **state)
{
    (void)state;
    for (unsigned divide = 0; divide < 16; divide++) {
        if (divisors[divide] == 0)
            continue;
        uint64_t tick = (uint64_t)divisors[divide] << ARCH_APIC_TIMER_SHIFT, from = 1000003;
        start_enabled(0);
        put(APIC_REGISTER_LVT_TIMER, 0x40);
        put(APIC_REGISTER_DIVIDE, divide);
        put_at(from, APIC_REGISTER_INITIAL_COUNT, 1000);
        assert_int_equal(local_apic_deadline(&apic), from + 1000 * tick);
        assert_int_equal(get_at(from, APIC_REGISTER_CURRENT_COUNT), 1000);
        assert_int_equal(get_at(from + tick, APIC_REGISTER_CURRENT_COUNT), 999);
        assert_int_equal(get_at(from + 999 * tick, APIC_REGISTER_CURRENT_COUNT), 1);
        assert_int_equal(get_at(from + 1000 * tick - 1, APIC_REGISTER_CURRENT_COUNT), 1);
        assert_false(local_apic_tick(&apic, from + 1000 * tick - 1));
        assert_int_equal(local_apic_pending(&apic), -1);
        assert_true(local_apic_tick(&apic, from + 1000 * tick));
        assert_int_equal(local_apic_pending(&apic), 0x40);
        assert_int_equal(local_apic_deadline(&apic), LOCAL_APIC_NO_DEADLINE);
        assert_int_equal(get_at(from + 1001 * tick, APIC_REGISTER_CURRENT_COUNT), 0);
        assert_false(local_apic_tick(&apic, from + 5000 * tick)); /* once */
    }
    start_enabled(0);
    put(APIC_REGISTER_LVT_TIMER, 0x40);
    put_at(0, APIC_REGISTER_INITIAL_COUNT, 0xFFFFFFFF);
    put_at(0, APIC_REGISTER_INITIAL_COUNT, 0); /* stops it */
    assert_int_equal(local_apic_deadline(&apic), LOCAL_APIC_NO_DEADLINE);
}

static void test_divider_changes_running_count(void **state)
{
    (void)state;
    start_enabled(0);
    put(APIC_REGISTER_LVT_TIMER, 0x40);
    put(APIC_REGISTER_DIVIDE, 0xB); /* 1 */
    put_at(0, APIC_REGISTER_INITIAL_COUNT, 1000);
    put_at(400 << ARCH_APIC_TIMER_SHIFT, APIC_REGISTER_DIVIDE, 3); /* 16 */
    assert_int_equal(get_at(400 << ARCH_APIC_TIMER_SHIFT, APIC_REGISTER_CURRENT_COUNT), 600);
    assert_int_equal(local_apic_deadline(&apic), (400 + 600 * 16) << ARCH_APIC_TIMER_SHIFT);
}

static void test_periodic(void **state)
{
    uint64_t period = 100000ull << (1 + ARCH_APIC_TIMER_SHIFT);
    (void)state;
    start_enabled(0);
    put(APIC_REGISTER_LVT_TIMER, 0x50 | PERIODIC);
    put_at(10, APIC_REGISTER_INITIAL_COUNT, 100000);
    for (unsigned i = 1; i <= 5; i++) {
        assert_int_equal(local_apic_deadline(&apic), 10 + i * period);
        assert_true(local_apic_tick(&apic, 10 + i * period + i));
        assert_int_equal(local_apic_pending(&apic), 0x50);
        local_apic_acknowledge(&apic, 0x50);
        put_at(10 + i * period + i, APIC_REGISTER_EOI, 0);
    }
    /* Periods that nobody saw are one interrupt, and the phase stays. */
    assert_true(local_apic_tick(&apic, 10 + 60 * period + 7));
    assert_false(local_apic_tick(&apic, 10 + 60 * period + 8));
    assert_int_equal(local_apic_deadline(&apic), 10 + 61 * period);
    assert_int_equal(get_at(10 + 60 * period + period / 2, APIC_REGISTER_CURRENT_COUNT), 50000);
    assert_false(local_apic_tick(&apic, 10 + 61 * period)); /* still pending: nothing new */
}

static void test_periodic_is_not_too_fast(void **state)
{
    (void)state;
    start_enabled(0);
    put(APIC_REGISTER_LVT_TIMER, 0x50 | PERIODIC);
    put(APIC_REGISTER_DIVIDE, 0xB);
    put_at(0, APIC_REGISTER_INITIAL_COUNT, 1);
    uint64_t first = local_apic_deadline(&apic);
    local_apic_tick(&apic, first);
    assert_true(local_apic_deadline(&apic) >= first + 100000);
    assert_int_equal(get_at(first + 1, APIC_REGISTER_CURRENT_COUNT), 1);
}

static void test_masked_timer_counts(void **state)
{
    uint64_t tick = 2 << ARCH_APIC_TIMER_SHIFT;
    (void)state;
    start_enabled(0);
    put(APIC_REGISTER_LVT_TIMER, 0x50 | MASKED);
    put_at(0, APIC_REGISTER_INITIAL_COUNT, 1000);
    assert_int_equal(local_apic_deadline(&apic), LOCAL_APIC_NO_DEADLINE);
    assert_int_equal(get_at(500 * tick, APIC_REGISTER_CURRENT_COUNT), 500);
    assert_false(local_apic_tick(&apic, 1000 * tick));
    put_at(1001 * tick, APIC_REGISTER_LVT_TIMER, 0x50); /* too late */
    assert_int_equal(local_apic_pending(&apic), -1);
    assert_int_equal(local_apic_deadline(&apic), LOCAL_APIC_NO_DEADLINE);
    put_at(1001 * tick, APIC_REGISTER_INITIAL_COUNT, 1000);
    put_at(1500 * tick, APIC_REGISTER_LVT_TIMER, 0x50 | MASKED);
    put_at(1600 * tick, APIC_REGISTER_LVT_TIMER, 0x51);
    assert_int_equal(local_apic_deadline(&apic), 2001 * tick);
    assert_true(local_apic_tick(&apic, 2001 * tick));
    assert_int_equal(local_apic_pending(&apic), 0x51);
}

static void test_tsc_deadline(void **state)
{
    (void)state;
    start_enabled(0);
    local_apic_set_tsc_deadline(&apic, 5000); /* not in that mode */
    assert_int_equal(local_apic_tsc_deadline(&apic, 0), 0);
    put(APIC_REGISTER_LVT_TIMER, 0x60 | TSC_DEADLINE);
    put_at(0, APIC_REGISTER_INITIAL_COUNT, 1000); /* ignored */
    assert_int_equal(get(APIC_REGISTER_INITIAL_COUNT), 0);
    assert_int_equal(local_apic_deadline(&apic), LOCAL_APIC_NO_DEADLINE);
    local_apic_set_tsc_deadline(&apic, 5000);
    assert_int_equal(local_apic_deadline(&apic), 5000);
    assert_int_equal(local_apic_tsc_deadline(&apic, 4999), 5000);
    assert_int_equal(get_at(4999, APIC_REGISTER_CURRENT_COUNT), 0);
    local_apic_set_time(&apic, 1000, 0); /* the guest's TSC is ahead now */
    assert_int_equal(local_apic_deadline(&apic), 4000);
    local_apic_set_time(&apic, 6000, 0); /* it has passed the deadline, perhaps before the host's TSC began */
    assert_int_equal(local_apic_deadline(&apic), 0);
    local_apic_set_time(&apic, 0ull - 1000, 0); /* behind */
    assert_int_equal(local_apic_deadline(&apic), 6000);
    assert_false(local_apic_tick(&apic, 5999));
    assert_true(local_apic_tick(&apic, 6000));
    assert_int_equal(local_apic_pending(&apic), 0x60);
    assert_int_equal(local_apic_tsc_deadline(&apic, 6000), 0); /* disarmed */
    local_apic_set_tsc_deadline(&apic, ~0ull);                 /* farther than the host's TSC reaches */
    assert_int_equal(local_apic_deadline(&apic), LOCAL_APIC_NO_DEADLINE);
    local_apic_set_tsc_deadline(&apic, 9000);
    put(APIC_REGISTER_LVT_TIMER, 0x60); /* a change of mode disarms */
    assert_int_equal(local_apic_deadline(&apic), LOCAL_APIC_NO_DEADLINE);
    put(APIC_REGISTER_LVT_TIMER, 0x60 | TSC_DEADLINE);
    assert_int_equal(local_apic_deadline(&apic), LOCAL_APIC_NO_DEADLINE);
    local_apic_set_tsc_deadline(&apic, 9000);
    local_apic_set_tsc_deadline(&apic, 0);
    assert_int_equal(local_apic_deadline(&apic), LOCAL_APIC_NO_DEADLINE);
}

static void test_time_that_stood_still(void **state)
{
    uint64_t tick = 2 << ARCH_APIC_TIMER_SHIFT;
    (void)state;
    start_enabled(0);
    put(APIC_REGISTER_LVT_TIMER, 0x60);
    put_at(0, APIC_REGISTER_INITIAL_COUNT, 1000);
    local_apic_set_time(&apic, 0ull - 777 * tick, 777 * tick);
    assert_int_equal(local_apic_deadline(&apic), 1777 * tick);
    assert_int_equal(get_at(1277 * tick, APIC_REGISTER_CURRENT_COUNT), 500);
    put_at(1277 * tick, APIC_REGISTER_LVT_TIMER, 0x60 | TSC_DEADLINE);
    local_apic_set_tsc_deadline(&apic, 1000 * tick);
    assert_int_equal(local_apic_deadline(&apic), 1777 * tick);
    local_apic_set_time(&apic, 0ull - 1777 * tick, 1000 * tick);
    assert_int_equal(local_apic_deadline(&apic), 2777 * tick);
}

static void test_state_round_trip(void **state)
{
    struct hv_local_interrupt_controller_state first, second;
    (void)state;
    _Static_assert(sizeof(first) == 176, "the blob of GET_VP_STATE");
    srand(2);
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t now = 1ull << 40;
        start_enabled((unsigned)rand() % 256);
        for (unsigned j = 0; j < 20; j++) {
            uint32_t value = (uint32_t)rand() << 8 ^ (uint32_t)rand();
            put_at(now - 30000, (uint32_t)(rand() % 64) << 4, value);
            local_apic_accept(&apic, (uint8_t)value, value >> 31);
            if (j % 3 == 0 && local_apic_pending(&apic) >= 0)
                local_apic_acknowledge(&apic, (uint8_t)local_apic_pending(&apic));
        }
        if (i % 3 == 0)
            enter_x2apic();
        local_apic_set_tsc_deadline(&apic, now + 12345);
        apic.eoi_pending = false;
        local_apic_get_state(&apic, now, &first);
        struct local_apic before = apic;
        assert_int_equal(local_apic_set_state(&apic, now, &first), HV_STATUS_SUCCESS);
        assert_memory_equal(&apic, &before, sizeof(apic));
        local_apic_get_state(&apic, now, &second);
        assert_memory_equal(&first, &second, sizeof(first));
        /* and onto a fresh one */
        uint64_t base = apic.base;
        start(first.apic_id >> 24);
        assert_true(local_apic_restore_base(&apic, base, ADDRESS_BITS));
        assert_int_equal(local_apic_set_state(&apic, now, &first), HV_STATUS_SUCCESS);
        local_apic_get_state(&apic, now, &second);
        assert_memory_equal(&first, &second, sizeof(first));
    }
}

static void test_state_as_a_vmm_uses_it(void **state)
{
    struct hv_local_interrupt_controller_state blob;
    (void)state;
    start(0);
    local_apic_get_state(&apic, 0, &blob);
    blob.apic_lvt_lint0 = 0x700;
    blob.apic_lvt_lint1 = 0x400;
    assert_int_equal(local_apic_set_state(&apic, 0, &blob), HV_STATUS_SUCCESS);
    assert_true(local_apic_accepts_extint(&apic));
    assert_int_equal(get(APIC_REGISTER_LVT_LINT1), 0x400);
}

/* A bit in each place where none belongs. */
static void test_state_invalid(void **state)
{
    struct hv_local_interrupt_controller_state good, bad;
    static const struct {
        size_t offset;
        uint32_t valid; /* bits of the word that may be set */
    } words[] = {
        {0,   0         },
        {4,   0         },
        {8,   0xFF000000},
        {12,  0xFFFFFFFF},
        {16,  0x3FF     },
        {20,  0xFFFF0000},
        {84,  0xFFFF0000},
        {116, 0xFF      },
        {124, 0xCCFFF   },
        {128, 0x700FF   },
        {132, 0x107FF   },
        {136, 0x107FF   },
        {140, 0x1A7FF   },
        {144, 0x1A7FF   },
        {148, 0x100FF   },
        {152, 0x10000   },
        {156, 0xFF      },
        {160, 0xFFFFFFFF},
        {164, 0         },
        {168, 0xB       },
        {172, 0         },
    };
    (void)state;
    start_enabled(0);
    local_apic_get_state(&apic, 0, &good);
    struct local_apic before = apic;
    for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        for (unsigned bit = 0; bit < 32; bit++) {
            uint32_t word;
            memcpy(&bad, &good, sizeof(bad));
            memcpy(&word, (uint8_t *)&bad + words[i].offset, 4);
            word ^= 1u << bit;
            if (words[i].offset == 12)
                word &= 0xF0000000; /* the low bits of DFR are ones */
            memcpy((uint8_t *)&bad + words[i].offset, &word, 4);
            bool expected = words[i].offset != 12 && (words[i].valid >> bit & 1);
            enum hv_status status = local_apic_set_state(&apic, 0, &bad);
            if (words[i].offset == 8 && word == 1)
                continue; /* id 0's x2APIC LDR is 1 */
            assert_int_equal(status, expected ? HV_STATUS_SUCCESS : HV_STATUS_INVALID_REGISTER_VALUE);
            if (!expected)
                assert_memory_equal(&apic, &before, sizeof(apic));
            apic = before;
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_power_up),
        cmocka_unit_test(test_init_keeps_identity_and_mode),
        cmocka_unit_test(test_base_transitions),
        cmocka_unit_test(test_base_bits),
        cmocka_unit_test(test_disabling_resets),
        cmocka_unit_test(test_x2apic_registers),
        cmocka_unit_test(test_x2apic_values),
        cmocka_unit_test(test_xapic_registers),
        cmocka_unit_test(test_registers_without_content),
        cmocka_unit_test(test_software_disable_masks),
        cmocka_unit_test(test_priorities_random),
        cmocka_unit_test(test_cr8),
        cmocka_unit_test(test_logical_destinations),
        cmocka_unit_test(test_icr_commands),
        cmocka_unit_test(test_error_interrupt),
        cmocka_unit_test(test_local_signals),
        cmocka_unit_test(test_one_shot),
        cmocka_unit_test(test_divider_changes_running_count),
        cmocka_unit_test(test_periodic),
        cmocka_unit_test(test_periodic_is_not_too_fast),
        cmocka_unit_test(test_masked_timer_counts),
        cmocka_unit_test(test_tsc_deadline),
        cmocka_unit_test(test_time_that_stood_still),
        cmocka_unit_test(test_state_round_trip),
        cmocka_unit_test(test_state_as_a_vmm_uses_it),
        cmocka_unit_test(test_state_invalid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
