/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/i8254.h"

#include <string.h>
#include "partitions/root/worker/devices/oscillator.h"

#define CRYSTAL_DIVISOR 12

#define CONTROL_BCD       0x01
#define CONTROL_ACCESS(c) ((c) >> 4 & 3)
#define ACCESS_LATCH      0
#define ACCESS_LOW        1
#define ACCESS_HIGH       2
#define ACCESS_BOTH       3
#define SELECT_READ_BACK  3

/* Read-back command: active low. */
#define READ_BACK_COUNT  0x20
#define READ_BACK_STATUS 0x10

#define STATUS_OUTPUT     0x80
#define STATUS_NULL_COUNT 0x40

#define PORT61_GATE2    0x01
#define PORT61_WRITABLE 0x0f
#define PORT61_REFRESH  0x10
#define PORT61_OUTPUT2  0x20
/* Memory refresh requests every 15.085 microseconds; bit 4 changes with each. */
#define REFRESH_NANOSECONDS 15085

static uint64_t tick_now(const struct i8254 *pit)
{
    return oscillator_ticks(timer_now(pit->timers), CRYSTAL_DIVISOR);
}

/* Modes 6 and 7 are 2 and 3. */
static unsigned mode_of(const struct i8254_channel *channel)
{
    unsigned mode = channel->control >> 1 & 7;

    return mode > 5 ? mode - 4 : mode;
}

static bool periodic(const struct i8254_channel *channel)
{
    return mode_of(channel) == 2 || mode_of(channel) == 3;
}

/* The gate's rising edge starts modes 1 and 5. */
static bool triggered(const struct i8254_channel *channel)
{
    return mode_of(channel) == 1 || mode_of(channel) == 5;
}

/* Ticks since the counting element was loaded. */
static uint64_t elapsed(const struct i8254_channel *channel, uint64_t tick)
{
    if (channel->paused)
        return channel->paused_at;
    return tick > channel->start ? tick - channel->start + channel->lead : channel->lead;
}

/* Ticks for which a square wave is high; an odd period is high one tick longer than low. */
static uint32_t high_half(uint32_t period)
{
    return (period + 1) / 2;
}

static bool output(const struct i8254_channel *channel, uint64_t tick)
{
    uint64_t past = elapsed(channel, tick);

    if (!channel->counting)
        return mode_of(channel) != 0;
    if (tick < channel->start)
        return channel->previous_output;
    switch (mode_of(channel)) {
    case 0:
    case 1:
        return past >= channel->period;
    case 2:
        return !channel->gate || past % channel->period != channel->period - 1;
    case 3:
        return !channel->gate || past % channel->period < high_half(channel->period);
    default:
        return past != channel->period;
    }
}

/* The counting element's value, 0 to 65536. */
static uint32_t count_at(const struct i8254_channel *channel, uint64_t tick)
{
    uint32_t modulus = channel->control & CONTROL_BCD ? 10000 : 65536;
    uint64_t past = elapsed(channel, tick);
    uint32_t in_period = (uint32_t)(past % channel->period);

    switch (mode_of(channel)) {
    case 2:
        return channel->period - in_period;
    case 3:
        if (in_period >= high_half(channel->period))
            in_period -= high_half(channel->period);
        return (channel->period & ~1u) - 2 * in_period;
    default: /* counts on through zero */
        return (channel->period % modulus + modulus - (uint32_t)(past % modulus)) % modulus;
    }
}

static uint16_t to_bcd(uint32_t value)
{
    return (uint16_t)(value % 10 | value / 10 % 10 << 4 | value / 100 % 10 << 8 | value / 1000 % 10 << 12);
}

/* What a read of the count sees. */
static uint16_t visible_count(const struct i8254_channel *channel, uint64_t tick)
{
    uint32_t count = count_at(channel, tick);

    return channel->control & CONTROL_BCD ? to_bcd(count) : (uint16_t)count;
}

static uint32_t count_from_register(const struct i8254_channel *channel, uint16_t value)
{
    if (!(channel->control & CONTROL_BCD))
        return value ? value : 65536;
    if (value == 0)
        return 10000;
    return (value & 15u) + (value >> 4 & 15u) * 10 + (value >> 8 & 15u) * 100 + (value >> 12) * 1000u;
}

/* Loads the counting element at the clock that follows `tick`. */
static void load(struct i8254_channel *channel, uint64_t tick)
{
    /* In mode 0 a count lowers the output at once, without a clock. */
    channel->previous_output = periodic(channel) || (mode_of(channel) != 0 && output(channel, tick));
    channel->period = channel->count_register;
    channel->start = tick + 1;
    channel->lead = 0;
    channel->paused = !channel->gate && !triggered(channel);
    channel->paused_at = 0;
    channel->counting = true;
    channel->count_waiting = false;
}

/* Has the cycle ended for which a new count waits? */
static bool reload_due(const struct i8254_channel *channel, uint64_t tick)
{
    return channel->count_waiting && periodic(channel) && !channel->paused && tick >= channel->reload;
}

static void take_reload(struct i8254_channel *channel)
{
    channel->period = channel->count_register;
    channel->start = channel->reload;
    channel->lead = channel->reload_low ? high_half(channel->period) : 0;
    channel->count_waiting = false;
}

static void advance(struct i8254_channel *channel, uint64_t tick)
{
    if (reload_due(channel, tick))
        take_reload(channel);
}

/* Modes 2 and 3: a count written while counting is loaded at the end of the cycle, or half cycle. */
static void schedule_reload(struct i8254_channel *channel, uint64_t tick)
{
    uint32_t in_period = (uint32_t)(elapsed(channel, tick) % channel->period);
    uint32_t end = channel->period;

    if (mode_of(channel) == 3 && in_period < high_half(channel->period))
        end = high_half(channel->period);
    channel->count_waiting = true;
    channel->reload = (tick > channel->start ? tick : channel->start) + (end - in_period);
    channel->reload_low = end != channel->period;
}

static void write_count(struct i8254_channel *channel, uint64_t tick, uint16_t value)
{
    channel->count_register = count_from_register(channel, value);
    channel->count_written = true;
    if (triggered(channel))
        channel->count_waiting = true;
    else if (periodic(channel) && channel->counting)
        schedule_reload(channel, tick);
    else
        load(channel, tick);
}

/*
 * The rising edge of the output that comes first after `tick`, or TIMER_NEVER. For channel 0, whose gate is
 * always high: modes 1 and 5 are never triggered.
 */
static uint64_t rising_edge_after(const struct i8254_channel *channel, uint64_t tick)
{
    uint64_t edge;

    if (!channel->counting)
        return TIMER_NEVER;
    if (periodic(channel)) {
        if (channel->period < 2)
            return TIMER_NEVER;
        return (tick > channel->start ? tick : channel->start) + channel->period -
               elapsed(channel, tick) % channel->period;
    }
    edge = channel->start + channel->period + (mode_of(channel) == 0 ? 0 : 1);
    return edge > tick ? edge : TIMER_NEVER;
}

static void arm(struct i8254 *pit, uint64_t tick)
{
    const struct i8254_channel *channel = &pit->channels[0];
    uint64_t next = rising_edge_after(channel, tick);
    uint64_t deadline;

    if (channel->count_waiting && periodic(channel) && channel->reload < next)
        next = channel->reload;
    deadline = next == TIMER_NEVER ? TIMER_NEVER : oscillator_time(next, CRYSTAL_DIVISOR);
    if (periodic(channel) && deadline < pit->earliest)
        deadline = pit->earliest;
    timer_arm(&pit->timer, deadline);
}

/* Sends channel 0's rising edges since the last look (several count as one) and its output as it is now. */
static void update_line(struct i8254 *pit)
{
    struct i8254_channel *channel = &pit->channels[0];
    uint64_t now = timer_now(pit->timers);
    uint64_t tick = oscillator_ticks(now, CRYSTAL_DIVISOR);
    bool edge = false;

    if (reload_due(channel, tick)) {
        edge = rising_edge_after(channel, pit->checked) <= channel->reload;
        pit->checked = channel->reload;
        take_reload(channel);
    }
    edge |= rising_edge_after(channel, pit->checked) <= tick;
    pit->checked = tick;
    if (edge) {
        interrupt_line_set(&pit->line, false);
        interrupt_line_set(&pit->line, true);
        pit->earliest = now + I8254_SHORTEST_PERIOD;
    }
    interrupt_line_set(&pit->line, output(channel, tick));
    arm(pit, tick);
}

static void timer_expired(void *device, uint64_t now)
{
    (void)now;
    update_line(device);
}

static void latch_count(struct i8254_channel *channel, uint64_t tick)
{
    if (channel->latched_bytes)
        return;
    channel->latched = visible_count(channel, tick);
    channel->latched_bytes = CONTROL_ACCESS(channel->control) == ACCESS_BOTH ? 2 : 1;
    if (CONTROL_ACCESS(channel->control) == ACCESS_HIGH)
        channel->latched >>= 8;
}

static void latch_status(struct i8254_channel *channel, uint64_t tick)
{
    bool null_count = !channel->counting || channel->count_waiting || tick < channel->start;

    if (channel->status_latched)
        return;
    channel->status_latched = true;
    channel->status =
        channel->control | (output(channel, tick) ? STATUS_OUTPUT : 0) | (null_count ? STATUS_NULL_COUNT : 0);
}

static void read_back(struct i8254 *pit, uint64_t tick, uint8_t command)
{
    for (unsigned i = 0; i < I8254_CHANNELS; i++) {
        if (!(command & 2u << i))
            continue;
        if (!(command & READ_BACK_COUNT))
            latch_count(&pit->channels[i], tick);
        if (!(command & READ_BACK_STATUS))
            latch_status(&pit->channels[i], tick);
    }
}

static void program(struct i8254_channel *channel, uint8_t control)
{
    bool gate = channel->gate;

    *channel = (struct i8254_channel){.control = control & 0x3f, .gate = gate, .period = 65536};
}

static void write_control(struct i8254 *pit, uint64_t tick, uint8_t value)
{
    unsigned select = value >> 6;

    if (select == SELECT_READ_BACK)
        read_back(pit, tick, value);
    else if (CONTROL_ACCESS(value) == ACCESS_LATCH)
        latch_count(&pit->channels[select], tick);
    else
        program(&pit->channels[select], value);
}

static void write_channel(struct i8254_channel *channel, uint64_t tick, uint8_t value)
{
    switch (CONTROL_ACCESS(channel->control)) {
    case ACCESS_LOW:
        write_count(channel, tick, value);
        return;
    case ACCESS_HIGH:
        write_count(channel, tick, (uint16_t)(value << 8));
        return;
    }
    if (channel->high_byte_next_write) {
        write_count(channel, tick, (uint16_t)(value << 8 | channel->low_byte_written));
    } else {
        channel->low_byte_written = value;
        if (mode_of(channel) == 0) /* the first byte stops the count */
            channel->counting = false;
    }
    channel->high_byte_next_write = !channel->high_byte_next_write;
}

static uint8_t read_channel(struct i8254_channel *channel, uint64_t tick)
{
    uint16_t value;

    if (channel->status_latched) {
        channel->status_latched = false;
        return channel->status;
    }
    if (channel->latched_bytes) {
        value = channel->latched;
        channel->latched >>= 8;
        channel->latched_bytes--;
        return value & 0xff;
    }
    value = visible_count(channel, tick);
    if (CONTROL_ACCESS(channel->control) == ACCESS_HIGH || channel->high_byte_next_read)
        value >>= 8;
    if (CONTROL_ACCESS(channel->control) == ACCESS_BOTH)
        channel->high_byte_next_read = !channel->high_byte_next_read;
    return value & 0xff;
}

static uint64_t pit_read(void *device, uint64_t offset, unsigned size)
{
    struct i8254 *pit = device;
    uint64_t tick = tick_now(pit);

    (void)size;
    if (offset == 3)
        return 0xff;
    if (offset == 0)
        update_line(pit);
    advance(&pit->channels[offset], tick);
    return read_channel(&pit->channels[offset], tick);
}

static void pit_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct i8254 *pit = device;
    uint64_t tick = tick_now(pit);

    (void)size;
    update_line(pit);
    for (unsigned i = 1; i < I8254_CHANNELS; i++)
        advance(&pit->channels[i], tick);
    if (offset == 3)
        write_control(pit, tick, (uint8_t)value);
    else
        write_channel(&pit->channels[offset], tick, (uint8_t)value);
    update_line(pit);
}

static void set_gate(struct i8254_channel *channel, uint64_t tick, bool gate)
{
    bool rising = gate && !channel->gate;

    advance(channel, tick);
    if (!gate && channel->gate && !triggered(channel)) {
        channel->paused_at = elapsed(channel, tick);
        channel->paused = true;
    }
    if (rising && (triggered(channel) || periodic(channel))) {
        channel->gate = true;
        channel->paused = false;
        if (channel->count_written)
            load(channel, tick);
    } else if (rising) {
        channel->start = tick - channel->paused_at;
        channel->paused = false;
    }
    channel->gate = gate;
}

static uint64_t port61_read(void *device, uint64_t offset, unsigned size)
{
    struct i8254 *pit = device;
    uint64_t now = timer_now(pit->timers);
    uint64_t tick = oscillator_ticks(now, CRYSTAL_DIVISOR);
    uint8_t value = pit->port61;

    (void)offset;
    (void)size;
    advance(&pit->channels[2], tick);
    if (now / REFRESH_NANOSECONDS & 1)
        value |= PORT61_REFRESH;
    if (output(&pit->channels[2], tick))
        value |= PORT61_OUTPUT2;
    return value;
}

static void port61_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct i8254 *pit = device;

    (void)offset;
    (void)size;
    pit->port61 = value & PORT61_WRITABLE;
    set_gate(&pit->channels[2], tick_now(pit), value & PORT61_GATE2);
}

static const struct bus_operations pit_operations = {.read = pit_read, .write = pit_write, .widest = 1};
static const struct bus_operations port61_operations = {
    .read = port61_read, .write = port61_write, .widest = 1};

bool i8254_initialize(struct i8254 *pit, struct bus *bus, struct timer_queue *timers,
                      struct interrupt_line line)
{
    memset(pit, 0, sizeof *pit);
    pit->timers = timers;
    pit->line = line;
    timer_initialize(&pit->timer, timers, timer_expired, pit);
    i8254_reset(pit);
    return bus_add(bus, BUS_PORTS, 0x40, 4, &pit_operations, pit, "timer") &&
           bus_add(bus, BUS_PORTS, 0x61, 1, &port61_operations, pit, "NMI status and control");
}

void i8254_reset(struct i8254 *pit)
{
    for (unsigned i = 0; i < I8254_CHANNELS; i++) {
        pit->channels[i].gate = i != 2;
        program(&pit->channels[i], ACCESS_BOTH << 4);
    }
    pit->port61 = 0;
    pit->checked = tick_now(pit);
    update_line(pit);
}
