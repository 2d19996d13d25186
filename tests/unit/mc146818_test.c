/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "partitions/root/worker/devices/mc146818.h"
#include "tests/unit/device_fixture.h"

/* Wednesday, 2 December 2026, 13:45:50 UTC, and a quarter of a second. */
#define START (1796219150 * SECOND + SECOND / 4)

#define PERIODIC 0x40
#define ALARM    0x20
#define UPDATE   0x10
#define IRQF     0x80
#define SET      0x80
#define BINARY   0x04
#define HOURS24  0x02

static struct device_fixture fixture;
static struct mc146818 rtc;

static int setup(void **state)
{
    (void)state;
    fixture_initialize(&fixture);
    assert_true(mc146818_initialize(&rtc, &fixture.bus, &fixture.timers, fixture_line(&fixture, 8), START));
    return 0;
}

static uint8_t get(uint8_t index)
{
    out8(&fixture, 0x70, index);
    return in8(&fixture, 0x71);
}

static void put(uint8_t index, uint8_t value)
{
    out8(&fixture, 0x70, index);
    out8(&fixture, 0x71, value);
}

static void assert_time(uint8_t century, uint8_t year, uint8_t month, uint8_t day, uint8_t hour, uint8_t minute,
                        uint8_t second)
{
    assert_int_equal(get(0x32), century);
    assert_int_equal(get(9), year);
    assert_int_equal(get(8), month);
    assert_int_equal(get(7), day);
    assert_int_equal(get(4), hour);
    assert_int_equal(get(2), minute);
    assert_int_equal(get(0), second);
}

static void set_time(uint8_t century, uint8_t year, uint8_t month, uint8_t day, uint8_t hour, uint8_t minute,
                     uint8_t second)
{
    uint8_t control = get(0x0b);

    put(0x0b, control | SET);
    put(0x32, century);
    put(9, year);
    put(8, month);
    put(7, day);
    put(4, hour);
    put(2, minute);
    put(0, second);
    put(0x0b, control);
}

static void it_shows_the_real_time(void **state)
{
    (void)state;
    assert_time(0x20, 0x26, 0x12, 0x02, 0x13, 0x45, 0x50);
    assert_int_equal(get(6), 4); /* Wednesday */
    fixture_advance(&fixture, 3 * SECOND / 4 - 1);
    assert_int_equal(get(0), 0x50);
    fixture_advance(&fixture, 1);
    assert_int_equal(get(0), 0x51);
    fixture_advance(&fixture, 10 * 3600 * SECOND + 14 * 60 * SECOND + 9 * SECOND);
    assert_time(0x20, 0x26, 0x12, 0x03, 0x00, 0x00, 0x00);
    assert_int_equal(get(6), 5);
    assert_int_equal(get(0x14), 0x02);
    assert_int_equal(get(0x0d), 0x80);
    put(0x0d, 0);
    assert_int_equal(get(0x0d), 0x80);
}

static void binary_and_12_hours(void **state)
{
    (void)state;
    put(0x0b, SET | BINARY | HOURS24);
    set_time(20, 26, 12, 2, 13, 45, 50);
    put(0x0b, BINARY | HOURS24);
    assert_time(20, 26, 12, 2, 13, 45, 50);
    put(0x0b, SET);
    set_time(0x20, 0x26, 0x12, 0x02, 0x81, 0x45, 0x50);
    put(0x0b, 0);
    assert_time(0x20, 0x26, 0x12, 0x02, 0x81, 0x45, 0x50); /* 1 p.m. */
    put(4, 0x11);
    assert_time(0x20, 0x26, 0x12, 0x02, 0x11, 0x45, 0x50);
    put(4, 0x12);
    fixture_advance(&fixture, 3600 * SECOND);
    assert_int_equal(get(4), 0x01); /* an hour after midnight */
    put(4, 0x81);
    fixture_advance(&fixture, 11 * 3600 * SECOND);
    assert_int_equal(get(4), 0x12); /* midnight is 12 a.m. */
    assert_int_equal(get(7), 0x03);
    fixture_advance(&fixture, 12 * 3600 * SECOND);
    assert_int_equal(get(4), 0x92); /* noon is 12 p.m. */
}

static void calendar(void **state)
{
    static const struct {
        uint8_t before[4]; /* century, year, month, day at 23:59:59 */
        uint8_t after[4];
    } midnights[] = {
        {{0x20, 0x24, 0x02, 0x28}, {0x20, 0x24, 0x02, 0x29}},
        {{0x20, 0x24, 0x02, 0x29}, {0x20, 0x24, 0x03, 0x01}},
        {{0x20, 0x23, 0x02, 0x28}, {0x20, 0x23, 0x03, 0x01}},
        {{0x21, 0x00, 0x02, 0x28}, {0x21, 0x00, 0x03, 0x01}},
        {{0x20, 0x00, 0x02, 0x28}, {0x20, 0x00, 0x02, 0x29}},
        {{0x19, 0x99, 0x12, 0x31}, {0x20, 0x00, 0x01, 0x01}},
        {{0x19, 0x00, 0x02, 0x28}, {0x19, 0x00, 0x03, 0x01}},
        {{0x20, 0x26, 0x04, 0x30}, {0x20, 0x26, 0x05, 0x01}},
        {{0x99, 0x99, 0x12, 0x31}, {0x00, 0x00, 0x01, 0x01}},
        {{0x00, 0x00, 0x01, 0x31}, {0x00, 0x00, 0x02, 0x01}},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof midnights / sizeof midnights[0]; i++) {
        const uint8_t *before = midnights[i].before;
        const uint8_t *after = midnights[i].after;

        set_time(before[0], before[1], before[2], before[3], 0x23, 0x59, 0x59);
        assert_time(before[0], before[1], before[2], before[3], 0x23, 0x59, 0x59);
        fixture_advance(&fixture, SECOND);
        assert_time(after[0], after[1], after[2], after[3], 0x00, 0x00, 0x00);
    }
}

static void every_day_of_four_centuries_follows_the_last(void **state)
{
    static const uint8_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    unsigned year = 1900, month = 1, day = 1, weekday = 2; /* a Monday */

    (void)state;
    put(0x0b, SET | BINARY | HOURS24);
    set_time(19, 0, 1, 1, 12, 0, 0);
    put(6, 2);
    put(0x0b, BINARY | HOURS24);
    while (year < 2300) {
        bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

        assert_time((uint8_t)(year / 100), (uint8_t)(year % 100), (uint8_t)month, (uint8_t)day, 12, 0, 0);
        assert_int_equal(get(6), weekday);
        fixture_advance(&fixture, 86400 * SECOND);
        weekday = weekday % 7 + 1;
        if (++day > lengths[month - 1] + (month == 2 && leap ? 1u : 0u)) {
            day = 1;
            if (++month > 12) {
                month = 1;
                year++;
            }
        }
    }
}

static void the_day_of_the_week_is_the_guests(void **state)
{
    (void)state;
    put(6, 7);
    assert_int_equal(get(6), 7);
    fixture_advance(&fixture, 86400 * SECOND);
    assert_int_equal(get(6), 1);
    assert_int_equal(get(7), 0x03);
}

static void set_stops_the_clock(void **state)
{
    (void)state;
    put(0x0b, SET | HOURS24 | UPDATE);
    assert_int_equal(get(0x0b), SET | HOURS24); /* SET clears the update interrupt */
    fixture_advance(&fixture, 100 * SECOND);
    assert_int_equal(get(0), 0x50);
    put(0, 0x10);
    assert_int_equal(get(0), 0x10);
    put(0x0b, HOURS24);
    fixture_advance(&fixture, 10 * SECOND);
    assert_int_equal(get(0), 0x20);
}

/* As kernels set it: SET, divider in reset, registers, SET off, divider on. */
static void releasing_the_divider_starts_half_a_second_before_the_update(void **state)
{
    (void)state;
    put(0x0b, SET | HOURS24);
    put(0x0a, 0x70);
    put(0, 0x30);
    put(0x0b, HOURS24);
    fixture_advance(&fixture, 12345678);
    assert_int_equal(get(0), 0x30);
    put(0x0a, 0x26);
    fixture_advance(&fixture, SECOND / 2 - 1);
    assert_int_equal(get(0), 0x30);
    fixture_advance(&fixture, 1);
    assert_int_equal(get(0), 0x31);
}

static void impossible_values_are_bounded(void **state)
{
    (void)state;
    for (unsigned value = 0; value < 256; value++) {
        set_time((uint8_t)value, (uint8_t)value, (uint8_t)value, (uint8_t)value, (uint8_t)value, (uint8_t)value,
                 (uint8_t)value);
        put(6, (uint8_t)value);
        fixture_advance(&fixture, SECOND);
        assert_in_range(get(8), 0x01, 0x12);
        assert_in_range(get(7), 0x01, 0x31);
        assert_in_range(get(6), 1, 7);
        assert_in_range(get(4), 0, 0x23);
        assert_in_range(get(2), 0, 0x59);
        assert_in_range(get(0), 0, 0x59);
    }
}

static void update_in_progress(void **state)
{
    (void)state;
    assert_int_equal(get(0x0a), 0x26);
    fixture_advance(&fixture, 3 * SECOND / 4 - 2228 * MICROSECOND - 1);
    assert_int_equal(get(0x0a), 0x26);
    fixture_advance(&fixture, 1);
    assert_int_equal(get(0x0a), 0xa6);
    fixture_advance(&fixture, 2228 * MICROSECOND);
    assert_int_equal(get(0x0a), 0x26);
    put(0x0b, SET | HOURS24);
    fixture_advance(&fixture, SECOND - 1);
    assert_int_equal(get(0x0a), 0x26);
    put(0x0a, 0xff);
    assert_int_equal(get(0x0a), 0x7f);
}

static void flags_without_interrupts_need_no_wake_up(void **state)
{
    (void)state;
    get(0x0c);
    fixture_advance(&fixture, 5 * SECOND);
    assert_int_equal(fixture.expirations, 0);
    assert_int_equal(get(0x0c), UPDATE | PERIODIC);
    assert_int_equal(get(0x0c), 0);
    assert_int_equal(fixture.rising[8], 0);
    /* Flags add up, whichever write happens to compute them. */
    put(0x01, 0xc0);
    put(0x03, 0xc0);
    put(0x05, 0xc0);
    for (unsigned i = 0; i < 3; i++) {
        fixture_advance(&fixture, SECOND);
        put(0x40, 0);
    }
    fixture_advance(&fixture, MILLISECOND);
    assert_int_equal(get(0x0c), UPDATE | PERIODIC | ALARM);
}

static void update_interrupts(void **state)
{
    (void)state;
    get(0x0c);
    put(0x0b, UPDATE | HOURS24);
    fixture_advance(&fixture, 3 * SECOND / 4 - 1);
    assert_false(fixture.level[8]);
    fixture_advance(&fixture, 1);
    assert_true(fixture.level[8]);
    fixture_advance(&fixture, 10 * SECOND);
    assert_int_equal(fixture.rising[8], 1); /* until C is read */
    assert_int_equal(fixture.expirations, 1);
    assert_int_equal(get(0x0c) & ~PERIODIC, IRQF | UPDATE);
    assert_false(fixture.level[8]);
    fixture_advance(&fixture, SECOND);
    assert_int_equal(fixture.rising[8], 2);
}

static void periodic_interrupts(void **state)
{
    (void)state;
    for (unsigned rate = 1; rate < 16; rate++) {
        unsigned hertz = rate == 1 ? 256 : rate == 2 ? 128 : 32768u >> (rate - 1);
        uint64_t end;
        unsigned interrupts = 0;

        put(0x0a, 0x20 | (uint8_t)rate);
        put(0x0b, PERIODIC | HOURS24);
        get(0x0c);
        end = timer_now(&fixture.timers) + 4 * SECOND;
        while (timer_now(&fixture.timers) < end) {
            fixture_advance(&fixture, timer_queue_wait(&fixture.timers));
            interrupts += (get(0x0c) & (IRQF | PERIODIC)) == (IRQF | PERIODIC);
        }
        assert_in_range(interrupts, 4 * hertz, 4 * hertz + 1);
    }
    put(0x0a, 0x20);
    get(0x0c);
    fixture_advance(&fixture, SECOND);
    assert_false(get(0x0c) & PERIODIC);
    put(0x0a, 0x76); /* the divider is held */
    fixture_advance(&fixture, SECOND);
    assert_false(get(0x0c) & PERIODIC);
}

static void alarms(void **state)
{
    (void)state;
    put(0x01, 0x55);
    put(0x03, 0x45);
    put(0x05, 0x13);
    put(0x0b, ALARM | HOURS24);
    get(0x0c);
    fixture_advance(&fixture, 5 * SECOND - SECOND / 4 - 1);
    assert_int_equal(fixture.rising[8], 0);
    fixture_advance(&fixture, 1);
    assert_int_equal(fixture.rising[8], 1);
    assert_int_equal(get(0x0c) & (IRQF | ALARM), IRQF | ALARM);
    fixture_advance(&fixture, 86400 * SECOND - 1);
    assert_int_equal(fixture.rising[8], 1);
    fixture_advance(&fixture, 1);
    assert_int_equal(fixture.rising[8], 2); /* every day */
    assert_int_equal(fixture.expirations, 2);
}

static void alarms_with_wildcards(void **state)
{
    (void)state;
    put(0x05, 0xc0);
    put(0x03, 0xff);
    put(0x01, 0x07);
    put(0x0b, ALARM | HOURS24);
    for (unsigned i = 1; i <= 3; i++) {
        get(0x0c);
        fixture_advance(&fixture, 60 * SECOND);
        assert_int_equal(fixture.rising[8], i);
    }
    put(0x01, 0xc0); /* every second */
    get(0x0c);
    fixture_advance(&fixture, SECOND);
    assert_int_equal(fixture.rising[8], 4);
}

static void alarms_with_a_date(void **state)
{
    (void)state;
    put(0x01, 0x00);
    put(0x03, 0x00);
    put(0x05, 0x06);
    put(0x0d, 0x31);
    assert_int_equal(get(0x0d), 0xb1); /* the battery is full */
    put(0x0b, ALARM | HOURS24);
    get(0x0c);
    set_time(0x20, 0x27, 0x01, 0x31, 0x06, 0x00, 0x00); /* that is past */
    fixture_advance(&fixture, 59 * 86400 * SECOND - SECOND / 4 - 1); /* February has none, 31 March does */
    assert_int_equal(fixture.rising[8], 0);
    fixture_advance(&fixture, 1);
    assert_int_equal(fixture.rising[8], 1);
    assert_int_equal(get(7), 0x31);
    assert_int_equal(get(8), 0x03);
    assert_int_equal(get(4), 0x06);
    assert_int_equal(fixture.expirations, 1);
    put(0x0d, 0x3a); /* no day of any month */
    get(0x0c);
    fixture_advance(&fixture, 100 * 86400 * SECOND);
    assert_int_equal(fixture.rising[8], 1);
    put(0x0d, 0xc0); /* every day again */
    assert_int_equal(get(0x0d), 0x80);
    get(0x0c);
    fixture_advance(&fixture, 86400 * SECOND);
    assert_int_equal(fixture.rising[8], 2);
    /* In binary it is binary. */
    get(0x0c);
    put(0x0b, SET | BINARY | HOURS24 | ALARM);
    set_time(20, 28, 2, 28, 23, 59, 59);
    put(0x05, 0xff);
    put(0x03, 0xff);
    put(0x01, 0xff);
    put(0x0d, 29);
    put(0x0b, BINARY | HOURS24 | ALARM);
    get(0x0c);
    fixture_advance(&fixture, SECOND);
    assert_int_equal(fixture.rising[8], 3);
}

static unsigned alarms_told;

static void alarm_told(void *context)
{
    assert_ptr_equal(context, &fixture);
    alarms_told++;
}

/* Only the alarm, once for each time that it asserts the interrupt. */
static void the_alarm_is_told(void **state)
{
    (void)state;
    alarms_told = 0;
    mc146818_on_alarm(&rtc, alarm_told, &fixture);
    put(0x01, 0xc0);
    put(0x03, 0xc0);
    put(0x05, 0xc0);
    put(0x0b, UPDATE | PERIODIC | HOURS24);
    for (unsigned i = 0; i < 100; i++) {
        get(0x0c);
        fixture_advance(&fixture, SECOND / 10);
    }
    fixture_advance(&fixture, SECOND);
    assert_int_equal(alarms_told, 0);
    put(0x0b, ALARM | HOURS24); /* the flag is set already */
    assert_int_equal(alarms_told, 1);
    fixture_advance(&fixture, 3 * SECOND);
    put(0x40, 0);
    assert_int_equal(alarms_told, 1);
    get(0x0c);
    fixture_advance(&fixture, SECOND);
    assert_int_equal(alarms_told, 2);
    mc146818_reset(&rtc);
    put(0x0b, ALARM | HOURS24);
    fixture_advance(&fixture, SECOND);
    assert_int_equal(alarms_told, 3);
}

static void the_alarm_flag_is_found_later_too(void **state)
{
    (void)state;
    put(0x05, 0x13);
    put(0x03, 0x46);
    put(0x01, 0x00);
    get(0x0c);
    fixture_advance(&fixture, 9 * SECOND);
    assert_false(get(0x0c) & ALARM);
    fixture_advance(&fixture, 3600 * SECOND);
    assert_true(get(0x0c) & ALARM);
    /* Alarm bytes that no clock can show. */
    put(0x01, 0x6a);
    get(0x0c);
    fixture_advance(&fixture, 2 * 86400 * SECOND);
    assert_false(get(0x0c) & ALARM);
}

static void enabling_an_interrupt_whose_flag_is_set_interrupts(void **state)
{
    (void)state;
    fixture_advance(&fixture, 2 * SECOND);
    put(0x0b, UPDATE | HOURS24);
    assert_true(fixture.level[8]);
    put(0x0b, HOURS24);
    assert_false(fixture.level[8]);
}

static unsigned memory_word(uint8_t index)
{
    return get(index) | get(index + 1) << 8;
}

static void assert_checksum(void)
{
    unsigned sum = 0;

    for (uint8_t i = 0x10; i < 0x2e; i++)
        sum += get(i);
    assert_int_equal(get(0x2e) << 8 | get(0x2f), sum);
}

static void memory_sizes(void **state)
{
    (void)state;
    assert_int_equal(memory_word(0x15), 640);
    assert_int_equal(get(0x2f), 0x02 + 0x80 + 0x02);
    mc146818_set_memory_size(&rtc, 256 << 20, 0);
    assert_int_equal(memory_word(0x15), 640);
    assert_int_equal(memory_word(0x17), 0xffff);
    assert_int_equal(memory_word(0x30), 0xffff);
    assert_int_equal(memory_word(0x34), 240 * 16);
    assert_int_equal(memory_word(0x5b), 0);
    assert_int_equal(get(0x5d), 0);
    assert_checksum();

    mc146818_set_memory_size(&rtc, 0xe0000000, 0x123450000);
    assert_int_equal(memory_word(0x34), 0xdf00);
    assert_int_equal(memory_word(0x5b), 0x2345);
    assert_int_equal(get(0x5d), 0x01);
    mc146818_set_memory_size(&rtc, 8 << 20, UINT64_MAX);
    assert_int_equal(memory_word(0x17), 7168);
    assert_int_equal(memory_word(0x34), 0);
    assert_int_equal(get(0x5d), 0xff);
}

static void what_firmware_reads_at_a_start(void **state)
{
    struct mc146818_start start = {
        .processors = 8,
        .floppies = {MC146818_FLOPPY_1440K, MC146818_FLOPPY_2880K},
        .disks = {1024 * 16 * 63, 1024 * 16 * 63 + 1, 0, UINT64_MAX},
    };

    (void)state;
    for (uint8_t i = 0x0e; i < 0x80; i++)
        if (i != 0x32)
            put(i, 0xff); /* a guest's last act */
    mc146818_set_memory_size(&rtc, 256 << 20, 0);
    mc146818_set_start(&rtc, &start);
    assert_int_equal(get(0x0f), 0);
    assert_int_equal(get(0x10), 0x45);
    assert_int_equal(get(0x12), 0xff);
    assert_int_equal(get(0x14), 0x43);
    assert_int_equal(get(0x19), 47);
    assert_int_equal(get(0x1a), 47);
    assert_int_equal(get(0x38), 0);
    assert_int_equal(get(0x39), 0x44); /* drives 1 and 3 are translated to LBA */
    assert_int_equal(get(0x3d), 0);
    assert_int_equal(get(0x5f), 7);
    assert_checksum();

    start = (struct mc146818_start){.processors = 1, .floppies = {0, MC146818_FLOPPY_720K}, .disks = {0, 1}};
    mc146818_set_start(&rtc, &start);
    assert_int_equal(get(0x10), 0x03);
    assert_int_equal(get(0x12), 0x0f);
    assert_int_equal(get(0x14), 0x03);
    assert_int_equal(get(0x19), 0);
    assert_int_equal(get(0x39), 0);
    assert_int_equal(get(0x5f), 0);
    start.floppies[1] = MC146818_NO_FLOPPY;
    mc146818_set_start(&rtc, &start);
    assert_int_equal(get(0x14), 0x02);
    assert_checksum();
}

static void memory_is_memory(void **state)
{
    (void)state;
    for (uint8_t i = 0x0e; i < 0x80; i++)
        if (i != 0x32)
            put(i, i ^ 0x5a);
    for (uint8_t i = 0x0e; i < 0x80; i++)
        if (i != 0x32)
            assert_int_equal(get(i | 0x80), i ^ 0x5a); /* bit 7 of the index masks NMI */
    assert_int_equal(in8(&fixture, 0x70), 0xff);
}

static uint8_t get_extended(uint8_t index)
{
    out8(&fixture, 0x72, index);
    return in8(&fixture, 0x73);
}

static void the_extended_bank(void **state)
{
    (void)state;
    /* Disabled, its ports are those of the standard bank. */
    put(0x40, 0x77);
    assert_int_equal(get_extended(0x40), 0x77);
    out8(&fixture, 0x73, 0x78);
    assert_int_equal(in8(&fixture, 0x71), 0x78);
    mc146818_set_extended(&rtc, true);
    for (unsigned i = 0; i < 0x80; i++) {
        out8(&fixture, 0x72, (uint8_t)i);
        out8(&fixture, 0x73, (uint8_t)(i ^ 0xa5));
    }
    for (unsigned i = 0; i < 0x100; i++)
        assert_int_equal(get_extended((uint8_t)i), (i & 0x7f) ^ 0xa5);
    assert_int_equal(in8(&fixture, 0x72), 0xff);
    assert_int_equal(get(0x40), 0x78);
    assert_int_equal(get(0x00), 0x50); /* no clock in the extended bank */
    out8(&fixture, 0x72, 0x11);        /* two indices */
    assert_int_equal(in8(&fixture, 0x71), 0x50);
    mc146818_set_extended(&rtc, false);
    mc146818_reset(&rtc);
    mc146818_set_extended(&rtc, true);
    assert_int_equal(get_extended(0x33), 0x33 ^ 0xa5); /* on the battery */
}

static void daylight_savings_are_the_systems(void **state)
{
    (void)state;
    put(0x0b, 0x01 | HOURS24);
    assert_int_equal(get(0x0b), 0x01 | HOURS24);
    set_time(0x20, 0x27, 0x04, 0x25, 0x01, 0x59, 0x59); /* the last Sunday in April */
    put(6, 1);
    fixture_advance(&fixture, SECOND);
    assert_time(0x20, 0x27, 0x04, 0x25, 0x02, 0x00, 0x00);
}

static void what_is_set_stays(void **state)
{
    (void)state;
    set_time(0x19, 0x80, 0x01, 0x04, 0x00, 0x00, 0x00);
    fixture_advance(&fixture, 30 * SECOND);
    mc146818_reset(&rtc);
    fixture_advance(&fixture, 30 * SECOND);
    timer_queue_freeze(&fixture.timers);
    fixture.host_time += 1000 * SECOND;
    timer_queue_thaw(&fixture.timers);
    assert_time(0x19, 0x80, 0x01, 0x04, 0x00, 0x01, 0x00);
}

static void reset_keeps_the_time_and_stops_interrupts(void **state)
{
    (void)state;
    put(0x0b, UPDATE | PERIODIC | HOURS24);
    fixture_advance(&fixture, SECOND);
    assert_true(fixture.level[8]);
    put(0x40, 0x77);
    mc146818_reset(&rtc);
    assert_false(fixture.level[8]);
    assert_int_equal(get(0x0b), HOURS24);
    assert_int_equal(get(0x0c), 0);
    assert_int_equal(get(0x40), 0x77);
    assert_time(0x20, 0x26, 0x12, 0x02, 0x13, 0x45, 0x51);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(it_shows_the_real_time, setup),
        cmocka_unit_test_setup(binary_and_12_hours, setup),
        cmocka_unit_test_setup(calendar, setup),
        cmocka_unit_test_setup(every_day_of_four_centuries_follows_the_last, setup),
        cmocka_unit_test_setup(the_day_of_the_week_is_the_guests, setup),
        cmocka_unit_test_setup(set_stops_the_clock, setup),
        cmocka_unit_test_setup(releasing_the_divider_starts_half_a_second_before_the_update, setup),
        cmocka_unit_test_setup(impossible_values_are_bounded, setup),
        cmocka_unit_test_setup(update_in_progress, setup),
        cmocka_unit_test_setup(flags_without_interrupts_need_no_wake_up, setup),
        cmocka_unit_test_setup(update_interrupts, setup),
        cmocka_unit_test_setup(periodic_interrupts, setup),
        cmocka_unit_test_setup(alarms, setup),
        cmocka_unit_test_setup(alarms_with_wildcards, setup),
        cmocka_unit_test_setup(alarms_with_a_date, setup),
        cmocka_unit_test_setup(the_alarm_is_told, setup),
        cmocka_unit_test_setup(the_alarm_flag_is_found_later_too, setup),
        cmocka_unit_test_setup(enabling_an_interrupt_whose_flag_is_set_interrupts, setup),
        cmocka_unit_test_setup(memory_sizes, setup),
        cmocka_unit_test_setup(what_firmware_reads_at_a_start, setup),
        cmocka_unit_test_setup(memory_is_memory, setup),
        cmocka_unit_test_setup(the_extended_bank, setup),
        cmocka_unit_test_setup(daylight_savings_are_the_systems, setup),
        cmocka_unit_test_setup(what_is_set_stays, setup),
        cmocka_unit_test_setup(reset_keeps_the_time_and_stops_interrupts, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
