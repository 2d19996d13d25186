/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A bus, a clock that stands until a test advances it, and wires that remember what they carried. */
#ifndef TESTS_UNIT_DEVICE_FIXTURE_H
#define TESTS_UNIT_DEVICE_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>
#include "partitions/root/worker/bus.h"
#include "partitions/root/worker/interrupt_line.h"
#include "partitions/root/worker/timer.h"

#define FIXTURE_PINS 32

#define MICROSECOND 1000ull
#define MILLISECOND 1000000ull
#define SECOND      1000000000ull

struct device_fixture {
    struct bus bus;
    struct timer_queue timers;
    uint64_t host_time;
    bool level[FIXTURE_PINS];
    unsigned rising[FIXTURE_PINS]; /* edges seen */
    unsigned expirations;          /* wake-ups that the host's timer would have had */
};

void fixture_initialize(struct device_fixture *fixture);

/* Lets virtual time pass, with every timer expiring exactly when it is due. */
void fixture_advance(struct device_fixture *fixture, uint64_t nanoseconds);

/* Lets it pass with nobody running the timers until the end, as when the worker's thread was late. */
void fixture_stall(struct device_fixture *fixture, uint64_t nanoseconds);

struct interrupt_line fixture_line(struct device_fixture *fixture, unsigned pin);

uint8_t in8(struct device_fixture *fixture, uint16_t port);
uint16_t in16(struct device_fixture *fixture, uint16_t port);
uint32_t in32(struct device_fixture *fixture, uint16_t port);
void out8(struct device_fixture *fixture, uint16_t port, uint8_t value);
void out16(struct device_fixture *fixture, uint16_t port, uint16_t value);
void out32(struct device_fixture *fixture, uint16_t port, uint32_t value);

#endif
