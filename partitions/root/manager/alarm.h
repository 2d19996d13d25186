/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Things to be done later, by the clock of the event loop. One thread. */
#ifndef MANAGER_ALARM_H
#define MANAGER_ALARM_H

#include <stdbool.h>
#include <stdint.h>

/* Embedded in what waits; zeroed when not set. */
struct alarm {
    uint64_t due; /* milliseconds of CLOCK_MONOTONIC */
    void (*ring)(void *owner);
    void *owner;
    bool set;
    struct alarm *next;
};

/* In the order in which they ring. */
struct alarms {
    struct alarm *first;
};

/* `ring` is called once, at `due` or soon after. An alarm that is set already is moved. */
void alarm_set(struct alarms *alarms, struct alarm *alarm, uint64_t due, void (*ring)(void *owner),
               void *owner);
void alarm_cancel(struct alarms *alarms, struct alarm *alarm);

/* Milliseconds until the first rings; -1: none is set. */
int alarms_timeout(const struct alarms *alarms, uint64_t now);

/* Rings what is due. An alarm may set or cancel itself and others. */
void alarms_ring(struct alarms *alarms, uint64_t now);

#endif
