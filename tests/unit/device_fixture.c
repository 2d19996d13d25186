/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/device_fixture.h"

#include <assert.h>
#include <string.h>

static uint64_t host_now(void *context)
{
    const struct device_fixture *fixture = context;

    return fixture->host_time;
}

void fixture_initialize(struct device_fixture *fixture)
{
    memset(fixture, 0, sizeof *fixture);
    fixture->host_time = 12345678901; /* virtual time does not begin with the host's */
    bus_initialize(&fixture->bus);
    timer_queue_initialize(&fixture->timers, host_now, NULL, fixture);
    timer_queue_thaw(&fixture->timers);
}

void fixture_advance(struct device_fixture *fixture, uint64_t nanoseconds)
{
    uint64_t end = fixture->host_time + nanoseconds;
    uint64_t wait;

    while ((wait = timer_queue_wait(&fixture->timers)) <= end - fixture->host_time) {
        fixture->host_time += wait;
        fixture->expirations++;
        timer_queue_run(&fixture->timers);
    }
    fixture->host_time = end;
}

void fixture_stall(struct device_fixture *fixture, uint64_t nanoseconds)
{
    fixture->host_time += nanoseconds;
    timer_queue_run(&fixture->timers);
}

static void line_set(void *controller, unsigned pin, bool level)
{
    struct device_fixture *fixture = controller;

    if (level && !fixture->level[pin])
        fixture->rising[pin]++;
    fixture->level[pin] = level;
}

struct interrupt_line fixture_line(struct device_fixture *fixture, unsigned pin)
{
    assert(pin < FIXTURE_PINS);
    return (struct interrupt_line){line_set, fixture, pin};
}

uint8_t in8(struct device_fixture *fixture, uint16_t port)
{
    return (uint8_t)bus_read(&fixture->bus, BUS_PORTS, port, 1);
}

uint16_t in16(struct device_fixture *fixture, uint16_t port)
{
    return (uint16_t)bus_read(&fixture->bus, BUS_PORTS, port, 2);
}

uint32_t in32(struct device_fixture *fixture, uint16_t port)
{
    return (uint32_t)bus_read(&fixture->bus, BUS_PORTS, port, 4);
}

void out8(struct device_fixture *fixture, uint16_t port, uint8_t value)
{
    bus_write(&fixture->bus, BUS_PORTS, port, 1, value);
}

void out16(struct device_fixture *fixture, uint16_t port, uint16_t value)
{
    bus_write(&fixture->bus, BUS_PORTS, port, 2, value);
}

void out32(struct device_fixture *fixture, uint16_t port, uint32_t value)
{
    bus_write(&fixture->bus, BUS_PORTS, port, 4, value);
}
