/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/mc146818.h"

#include <string.h>

#define SECOND              1000000000ull
#define CHAIN_HERTZ         32768ull
#define DAY                 86400
#define ALARM_DAYS          62   /* within which each day of the month comes */
#define DONT_CARE           0xc0 /* in an alarm byte: any value matches */
#define PM                  0x80
#define EQUIPMENT_FLOPPY    0x01
#define EQUIPMENT_PROCESSOR 0x02 /* a floating-point unit is there */
#define EQUIPMENT_SECOND    0x40 /* a second floppy drive */

/* Registers. */
#define SECONDS        0x00
#define ALARM_SECONDS  0x01
#define MINUTES        0x02
#define ALARM_MINUTES  0x03
#define HOURS          0x04
#define ALARM_HOURS    0x05
#define DAY_OF_WEEK    0x06
#define DAY_OF_MONTH   0x07
#define MONTH          0x08
#define YEAR           0x09
#define REGISTER_A     0x0a
#define REGISTER_B     0x0b
#define REGISTER_C     0x0c
#define REGISTER_D     0x0d
#define CENTURY        0x32

/* Bytes that firmware uses. */
#define CMOS_SHUTDOWN     0x0f
#define CMOS_FLOPPIES     0x10 /* drive A in the high half */
#define CMOS_CHECKED      0x10 /* first byte that the checksum covers */
#define CMOS_DISKS        0x12 /* first disk in the high half */
#define CMOS_EQUIPMENT    0x14
#define CMOS_DISK_TYPES   0x19
#define CMOS_CHECKSUM     0x2e /* two bytes, high one first */
#define CMOS_BOOT_1       0x38
#define CMOS_TRANSLATIONS 0x39 /* two bits for each disk */
#define CMOS_BOOT_2       0x3d
#define CMOS_PROCESSORS   0x5f /* but the first */

#define DISK_EXTENDED_TYPE 15 /* the type is in another byte */
#define DISK_USER_TYPE     47
#define TRANSLATION_LBA    1
/* A disk with more cannot be described by the BIOS's 1024 cylinders, 16 heads and 63 sectors without translation. */
#define UNTRANSLATED_SECTORS (1024u * 16 * 63)

#define A_UPDATE_IN_PROGRESS 0x80
#define A_DIVIDER            0x70
#define A_DIVIDER_RUNNING    0x20
#define A_RATE               0x0f
/* The date and time are not to be read in the last 2228 microseconds of a second (244 + 1984). */
#define UPDATE_NANOSECONDS 2228000

#define B_SET         0x80
#define B_INTERRUPTS  0x70 /* periodic, alarm, update-ended: same bits in register C */
#define B_UPDATE      0x10
#define B_SQUARE_WAVE 0x08
#define B_BINARY      0x04
#define B_24_HOURS    0x02

#define C_INTERRUPT 0x80
#define C_PERIODIC  0x40
#define C_ALARM     0x20
#define C_UPDATE    0x10

#define D_VALID      0x80
#define D_DATE_ALARM 0x3f /* 0: any day matches */

/*
 * Calendar: days and seconds since 1 March of a year 400 years before year 0, which is before anything that
 * the registers can hold. 400 years are a whole number of weeks.
 */
static int64_t days_from_date(int64_t year, unsigned month, unsigned day)
{
    int64_t shifted = year + 400 - (month <= 2);
    unsigned from_march = month > 2 ? month - 3 : month + 9;

    return shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400 + (153 * from_march + 2) / 5 + day - 1;
}

static void date_from_days(int64_t days, int64_t *year, unsigned *month, unsigned *day)
{
    int64_t era = days / 146097;
    int64_t in_era = days % 146097;
    int64_t year_of_era = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    unsigned in_year = (unsigned)(in_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100));
    unsigned from_march = (5 * in_year + 2) / 153;

    *day = in_year - (153 * from_march + 2) / 5 + 1;
    *month = from_march < 10 ? from_march + 3 : from_march - 9;
    *year = era * 400 + year_of_era - 400 + (*month <= 2);
}

/* 0 is Sunday. */
static unsigned weekday_from_days(int64_t days)
{
    return (unsigned)((days + 3) % 7);
}

static uint8_t encode(const struct mc146818 *rtc, unsigned value)
{
    return rtc->memory[REGISTER_B] & B_BINARY ? (uint8_t)value : (uint8_t)(value / 10 << 4 | value % 10);
}

static unsigned decode(const struct mc146818 *rtc, uint8_t value)
{
    return rtc->memory[REGISTER_B] & B_BINARY ? value : (value >> 4) * 10u + (value & 15u);
}

static uint8_t encode_hour(const struct mc146818 *rtc, unsigned hour)
{
    if (rtc->memory[REGISTER_B] & B_24_HOURS)
        return encode(rtc, hour);
    return encode(rtc, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? PM : 0);
}

static unsigned decode_hour(const struct mc146818 *rtc, uint8_t value)
{
    if (rtc->memory[REGISTER_B] & B_24_HOURS)
        return decode(rtc, value);
    return decode(rtc, value & ~PM) % 12 + (value & PM ? 12 : 0);
}

static unsigned at_most(unsigned value, unsigned limit)
{
    return value < limit ? value : limit;
}

static bool divider_running(const struct mc146818 *rtc)
{
    return (rtc->memory[REGISTER_A] & A_DIVIDER) == A_DIVIDER_RUNNING;
}

static bool clock_running(const struct mc146818 *rtc)
{
    return divider_running(rtc) && !(rtc->memory[REGISTER_B] & B_SET);
}

static uint64_t chain_time(const struct mc146818 *rtc, uint64_t now)
{
    return now + rtc->phase;
}

/* Writes the time of the calendar into the registers. */
static void store_time(struct mc146818 *rtc, int64_t seconds)
{
    unsigned of_day = (unsigned)(seconds % DAY);
    int64_t days = seconds / DAY;
    int64_t year;
    unsigned month, day;

    date_from_days(days, &year, &month, &day);
    rtc->memory[SECONDS] = encode(rtc, of_day % 60);
    rtc->memory[MINUTES] = encode(rtc, of_day / 60 % 60);
    rtc->memory[HOURS] = encode_hour(rtc, of_day / 3600);
    rtc->memory[DAY_OF_WEEK] = encode(rtc, (weekday_from_days(days) + rtc->weekday_shift) % 7 + 1);
    rtc->memory[DAY_OF_MONTH] = encode(rtc, day);
    rtc->memory[MONTH] = encode(rtc, month);
    rtc->memory[YEAR] = encode(rtc, (unsigned)(year % 100));
    rtc->memory[CENTURY] = encode(rtc, (unsigned)(year / 100 % 100));
}

/* Reads them; what no calendar has is taken as the nearest value it has. */
static int64_t load_time(struct mc146818 *rtc)
{
    unsigned year = at_most(decode(rtc, rtc->memory[YEAR]), 99);
    unsigned century = at_most(decode(rtc, rtc->memory[CENTURY]), 99);
    unsigned month = at_most(decode(rtc, rtc->memory[MONTH]), 12);
    unsigned day = at_most(decode(rtc, rtc->memory[DAY_OF_MONTH]), 31);
    unsigned weekday = at_most(decode(rtc, rtc->memory[DAY_OF_WEEK]), 7);
    int64_t days = days_from_date(century * 100 + year, month ? month : 1, day ? day : 1);

    rtc->weekday_shift = (weekday + 6 + 7 - weekday_from_days(days)) % 7;
    return days * DAY + at_most(decode_hour(rtc, rtc->memory[HOURS]), 23) * 3600 +
           at_most(decode(rtc, rtc->memory[MINUTES]), 59) * 60 + at_most(decode(rtc, rtc->memory[SECONDS]), 59);
}

/* The registers become what they show now; for a clock that runs. */
static void freeze_time(struct mc146818 *rtc, uint64_t now)
{
    store_time(rtc, rtc->base + (int64_t)(chain_time(rtc, now) / SECOND));
}

/* The clock goes on from what the registers hold. */
static void thaw_time(struct mc146818 *rtc, uint64_t now)
{
    rtc->checked_second = chain_time(rtc, now) / SECOND;
    rtc->base = load_time(rtc) - (int64_t)rtc->checked_second;
}

/* Ticks of the 32.768 kHz chain in a period of the periodic interrupt; 0: none. */
static unsigned periodic_ticks(const struct mc146818 *rtc)
{
    unsigned rate = rtc->memory[REGISTER_A] & A_RATE;

    if (rate == 0 || !divider_running(rtc))
        return 0;
    return 1u << (rate <= 2 ? rate + 6 : rate - 1);
}

static uint64_t chain_ticks(const struct mc146818 *rtc, uint64_t now)
{
    return (uint64_t)((unsigned __int128)chain_time(rtc, now) * CHAIN_HERTZ / SECOND);
}

/* Virtual time at which the chain time has been reached. */
static uint64_t virtual_time(const struct mc146818 *rtc, uint64_t chain)
{
    return chain > rtc->phase ? chain - rtc->phase : 0;
}

static uint64_t next_period(const struct mc146818 *rtc)
{
    unsigned ticks = periodic_ticks(rtc);
    unsigned __int128 next = (unsigned __int128)(rtc->checked_period + 1) * ticks;

    if (ticks == 0)
        return TIMER_NEVER;
    return virtual_time(rtc, (uint64_t)((next * SECOND + CHAIN_HERTZ - 1) / CHAIN_HERTZ));
}

/* Can the alarm ever match? Looking for one that cannot would take two months of seconds. */
static bool alarm_possible(const struct mc146818 *rtc)
{
    uint8_t seconds = rtc->memory[ALARM_SECONDS];
    uint8_t minutes = rtc->memory[ALARM_MINUTES];
    uint8_t hours = rtc->memory[ALARM_HOURS];

    return (seconds >= DONT_CARE || seconds == encode(rtc, decode(rtc, seconds) % 60)) &&
           (minutes >= DONT_CARE || minutes == encode(rtc, decode(rtc, minutes) % 60)) &&
           (hours >= DONT_CARE || hours == encode_hour(rtc, decode_hour(rtc, hours) % 24));
}

static bool alarm_matches(uint8_t alarm, uint8_t value)
{
    return alarm >= DONT_CARE || alarm == value;
}

static bool date_matches(const struct mc146818 *rtc, int64_t days)
{
    uint8_t date = rtc->memory[REGISTER_D] & D_DATE_ALARM;
    int64_t year;
    unsigned month, day;

    if (date == 0)
        return true;
    date_from_days(days, &year, &month, &day);
    return date == encode(rtc, day);
}

/* Second of the divider chain, after `after`, at which the alarm goes off; TIMER_NEVER if it does not. */
static uint64_t next_alarm(const struct mc146818 *rtc, uint64_t after)
{
    int64_t first = rtc->base + (int64_t)after + 1;
    int64_t time = first;

    if (!alarm_possible(rtc))
        return TIMER_NEVER;
    while (time <= first + ALARM_DAYS * DAY) {
        unsigned of_day = (unsigned)(time % DAY);

        if (!date_matches(rtc, time / DAY))
            time = (time / DAY + 1) * DAY;
        else if (!alarm_matches(rtc->memory[ALARM_HOURS], encode_hour(rtc, of_day / 3600)))
            time = (time / 3600 + 1) * 3600;
        else if (!alarm_matches(rtc->memory[ALARM_MINUTES], encode(rtc, of_day / 60 % 60)))
            time = (time / 60 + 1) * 60;
        else if (!alarm_matches(rtc->memory[ALARM_SECONDS], encode(rtc, of_day % 60)))
            time++;
        else
            return (uint64_t)(time - rtc->base);
    }
    return TIMER_NEVER;
}

static void compute_flags(struct mc146818 *rtc, uint64_t now)
{
    uint64_t second = chain_time(rtc, now) / SECOND;
    unsigned ticks = periodic_ticks(rtc);

    if (ticks && chain_ticks(rtc, now) / ticks > rtc->checked_period) {
        rtc->memory[REGISTER_C] |= C_PERIODIC;
        rtc->checked_period = chain_ticks(rtc, now) / ticks;
    }
    if (clock_running(rtc) && second > rtc->checked_second) {
        rtc->memory[REGISTER_C] |= C_UPDATE;
        if (next_alarm(rtc, rtc->checked_second) <= second)
            rtc->memory[REGISTER_C] |= C_ALARM;
        rtc->checked_second = second;
    }
}

/* When will a flag be set that interrupts? */
static uint64_t next_interrupt(const struct mc146818 *rtc)
{
    uint8_t enabled = rtc->memory[REGISTER_B] & B_INTERRUPTS;
    uint64_t next = TIMER_NEVER;
    uint64_t second = TIMER_NEVER;

    if (enabled & C_PERIODIC)
        next = next_period(rtc);
    if (clock_running(rtc) && enabled & C_ALARM)
        second = next_alarm(rtc, rtc->checked_second);
    if (clock_running(rtc) && enabled & C_UPDATE)
        second = rtc->checked_second + 1;
    if (second != TIMER_NEVER && virtual_time(rtc, second * SECOND) < next)
        next = virtual_time(rtc, second * SECOND);
    return next;
}

/*
 * Brings flags, line and timer up to date. While the line is asserted nothing more can happen until C is
 * read.
 */
static void update(struct mc146818 *rtc, uint64_t now)
{
    uint8_t interrupt;
    bool alarm;

    compute_flags(rtc, now);
    interrupt = rtc->memory[REGISTER_C] & rtc->memory[REGISTER_B] & B_INTERRUPTS;
    alarm = interrupt & C_ALARM && !rtc->alarm_asserted;
    rtc->alarm_asserted = interrupt & C_ALARM;
    if (interrupt)
        rtc->memory[REGISTER_C] |= C_INTERRUPT;
    else
        rtc->memory[REGISTER_C] &= ~C_INTERRUPT;
    interrupt_line_set(&rtc->line, interrupt);
    timer_arm(&rtc->timer, interrupt ? TIMER_NEVER : next_interrupt(rtc));
    if (alarm && rtc->alarm)
        rtc->alarm(rtc->context);
}

static void timer_expired(void *device, uint64_t now)
{
    update(device, now);
}

static void restart_periods(struct mc146818 *rtc, uint64_t now)
{
    unsigned ticks = periodic_ticks(rtc);

    rtc->checked_period = ticks ? chain_ticks(rtc, now) / ticks : 0;
}

/* Releasing the divider: the first second ends half a second later (MC146818 datasheet, "Divider Stages"). */
static void restart_divider(struct mc146818 *rtc, uint64_t now)
{
    rtc->phase = (SECOND + SECOND / 2 - now % SECOND) % SECOND;
}

/* Registers A and B, which start and stop the clock. */
static void write_control(struct mc146818 *rtc, unsigned which, uint8_t value, uint64_t now)
{
    bool was_running = clock_running(rtc);
    bool divider_was_running = divider_running(rtc);

    if (was_running)
        freeze_time(rtc, now);
    if (which == REGISTER_A) {
        rtc->memory[REGISTER_A] = value & ~A_UPDATE_IN_PROGRESS;
    } else {
        if (value & B_SET)
            value &= ~B_UPDATE;
        rtc->memory[REGISTER_B] = value;
    }
    if (!divider_was_running && divider_running(rtc))
        restart_divider(rtc, now);
    /* Changing BCD or 12/24 hours does not convert the registers: they are read anew, as the chip would. */
    if (clock_running(rtc))
        thaw_time(rtc, now);
    restart_periods(rtc, now);
}

/* A date or time register. */
static void write_time(struct mc146818 *rtc, unsigned which, uint8_t value, uint64_t now)
{
    bool running = clock_running(rtc);

    if (running)
        freeze_time(rtc, now);
    rtc->memory[which] = value;
    if (running)
        thaw_time(rtc, now);
}

static bool is_time(unsigned which)
{
    return which == CENTURY || which == SECONDS || which == MINUTES || which == HOURS ||
           (which >= DAY_OF_WEEK && which <= YEAR);
}

static void write_register(struct mc146818 *rtc, unsigned which, uint8_t value, uint64_t now)
{
    compute_flags(rtc, now);
    if (is_time(which))
        write_time(rtc, which, value, now);
    else if (which == REGISTER_A || which == REGISTER_B)
        write_control(rtc, which, value, now);
    else if (which == REGISTER_D)
        rtc->memory[REGISTER_D] = D_VALID | (value & D_DATE_ALARM);
    else if (which != REGISTER_C)
        rtc->memory[which] = value;
    update(rtc, now);
}

static uint8_t read_register(struct mc146818 *rtc, unsigned which, uint64_t now)
{
    uint8_t value;

    if (is_time(which) && clock_running(rtc))
        freeze_time(rtc, now);
    if (which == REGISTER_A && clock_running(rtc) && chain_time(rtc, now) % SECOND >= SECOND - UPDATE_NANOSECONDS)
        return rtc->memory[REGISTER_A] | A_UPDATE_IN_PROGRESS;
    if (which != REGISTER_C)
        return rtc->memory[which];
    update(rtc, now);
    value = rtc->memory[REGISTER_C];
    rtc->memory[REGISTER_C] = 0;
    update(rtc, now);
    return value;
}

/* Ports 72h and 73h, where they are the second bank's. */
static bool second_bank(const struct mc146818 *rtc, uint64_t offset)
{
    return offset >= 2 && rtc->extended;
}

static uint64_t rtc_read(void *device, uint64_t offset, unsigned size)
{
    struct mc146818 *rtc = device;

    (void)size;
    if (!(offset & 1))
        return 0xff;
    if (second_bank(rtc, offset))
        return rtc->memory[MC146818_BANK_SIZE + rtc->extended_index];
    return read_register(rtc, rtc->index, timer_now(rtc->timers));
}

static void rtc_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct mc146818 *rtc = device;
    uint8_t *index = second_bank(rtc, offset) ? &rtc->extended_index : &rtc->index;

    (void)size;
    if (!(offset & 1))
        *index = value % MC146818_BANK_SIZE; /* bit 7 masks NMI */
    else if (second_bank(rtc, offset))
        rtc->memory[MC146818_BANK_SIZE + *index] = (uint8_t)value;
    else
        write_register(rtc, *index, (uint8_t)value, timer_now(rtc->timers));
}

static const struct bus_operations rtc_operations = {.read = rtc_read, .write = rtc_write, .widest = 1};

bool mc146818_initialize(struct mc146818 *rtc, struct bus *bus, struct timer_queue *timers, struct interrupt_line line,
                         uint64_t unix_time)
{
    memset(rtc, 0, sizeof *rtc);
    rtc->timers = timers;
    rtc->line = line;
    timer_initialize(&rtc->timer, timers, timer_expired, rtc);
    rtc->memory[REGISTER_A] = A_DIVIDER_RUNNING | 6; /* 1024 Hz, as firmware sets it */
    rtc->memory[REGISTER_B] = B_24_HOURS;
    rtc->memory[REGISTER_D] = D_VALID;
    rtc->memory[CMOS_EQUIPMENT] = EQUIPMENT_PROCESSOR;
    rtc->phase = unix_time % SECOND;
    rtc->base = days_from_date(1970, 1, 1) * DAY + (int64_t)(unix_time / SECOND);
    mc146818_set_memory_size(rtc, 0, 0);
    mc146818_reset(rtc);
    return bus_add(bus, BUS_PORTS, 0x70, 4, &rtc_operations, rtc, "real-time clock");
}

void mc146818_on_alarm(struct mc146818 *rtc, void (*alarm)(void *), void *context)
{
    rtc->alarm = alarm;
    rtc->context = context;
}

void mc146818_set_extended(struct mc146818 *rtc, bool extended)
{
    rtc->extended = extended;
}

void mc146818_reset(struct mc146818 *rtc)
{
    uint64_t now = timer_now(rtc->timers);

    rtc->index = 0;
    rtc->extended_index = 0;
    compute_flags(rtc, now);
    restart_periods(rtc, now);
    rtc->memory[REGISTER_B] &= ~(B_INTERRUPTS | B_SQUARE_WAVE);
    rtc->memory[REGISTER_C] = 0;
    update(rtc, now);
}

static void set_checksum(struct mc146818 *rtc)
{
    unsigned sum = 0;

    for (unsigned i = CMOS_CHECKED; i < CMOS_CHECKSUM; i++)
        sum += rtc->memory[i];
    rtc->memory[CMOS_CHECKSUM] = sum >> 8 & 0xff;
    rtc->memory[CMOS_CHECKSUM + 1] = sum & 0xff;
}

static void set_word(struct mc146818 *rtc, unsigned which, uint64_t value)
{
    if (value > 0xffff)
        value = 0xffff;
    rtc->memory[which] = value & 0xff;
    rtc->memory[which + 1] = value >> 8 & 0xff;
}

void mc146818_set_memory_size(struct mc146818 *rtc, uint64_t below_4g, uint64_t above_4g)
{
    const uint64_t mib = 1 << 20;
    uint64_t above_1m = below_4g > mib ? below_4g - mib : 0;
    uint64_t above_16m = below_4g > 16 * mib ? below_4g - 16 * mib : 0;
    uint64_t units = above_4g >> 16;

    set_word(rtc, 0x15, 640);
    set_word(rtc, 0x17, above_1m >> 10);
    set_word(rtc, 0x30, above_1m >> 10);
    set_word(rtc, 0x34, above_16m >> 16);
    if (units > 0xffffff)
        units = 0xffffff;
    rtc->memory[0x5b] = units & 0xff;
    rtc->memory[0x5c] = units >> 8 & 0xff;
    rtc->memory[0x5d] = units >> 16 & 0xff;
    set_checksum(rtc);
}

static void set_floppies(struct mc146818 *rtc, const enum mc146818_floppy floppies[MC146818_FLOPPY_DRIVES])
{
    uint8_t *equipment = &rtc->memory[CMOS_EQUIPMENT];

    rtc->memory[CMOS_FLOPPIES] = (uint8_t)(floppies[0] << 4 | floppies[1]);
    *equipment = EQUIPMENT_PROCESSOR;
    if (floppies[0] || floppies[1])
        *equipment |= EQUIPMENT_FLOPPY;
    if (floppies[0] && floppies[1])
        *equipment |= EQUIPMENT_SECOND;
}

static void set_disks(struct mc146818 *rtc, const uint64_t sectors[MC146818_DISKS])
{
    bool first = sectors[0], second = sectors[1];

    rtc->memory[CMOS_DISKS] = (first ? DISK_EXTENDED_TYPE << 4 : 0) | (second ? DISK_EXTENDED_TYPE : 0);
    rtc->memory[CMOS_DISK_TYPES] = first ? DISK_USER_TYPE : 0;
    rtc->memory[CMOS_DISK_TYPES + 1] = second ? DISK_USER_TYPE : 0;
    rtc->memory[CMOS_TRANSLATIONS] = 0;
    for (unsigned i = 0; i < MC146818_DISKS; i++)
        if (sectors[i] > UNTRANSLATED_SECTORS)
            rtc->memory[CMOS_TRANSLATIONS] |= TRANSLATION_LBA << (2 * i);
}

void mc146818_set_start(struct mc146818 *rtc, const struct mc146818_start *start)
{
    set_floppies(rtc, start->floppies);
    set_disks(rtc, start->disks);
    rtc->memory[CMOS_SHUTDOWN] = 0;
    rtc->memory[CMOS_BOOT_1] = 0;
    rtc->memory[CMOS_BOOT_2] = 0;
    rtc->memory[CMOS_PROCESSORS] = (uint8_t)(start->processors - 1);
    set_checksum(rtc);
}
