/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/manager/alarm.h"

#include <limits.h>
#include <stddef.h>

void alarm_set(struct alarms *alarms, struct alarm *alarm, uint64_t due, void (*ring)(void *owner),
               void *owner)
{
    alarm_cancel(alarms, alarm);
    struct alarm **link = &alarms->first;
    while (*link && (*link)->due <= due)
        link = &(*link)->next;
    *alarm = (struct alarm){.due = due, .ring = ring, .owner = owner, .set = true, .next = *link};
    *link = alarm;
}

void alarm_cancel(struct alarms *alarms, struct alarm *alarm)
{
    if (!alarm->set)
        return;
    struct alarm **link = &alarms->first;
    while (*link != alarm)
        link = &(*link)->next;
    *link = alarm->next;
    *alarm = (struct alarm){0};
}

int alarms_timeout(const struct alarms *alarms, uint64_t now)
{
    if (!alarms->first)
        return -1;
    if (alarms->first->due <= now)
        return 0;
    uint64_t rest = alarms->first->due - now;
    return rest > INT_MAX ? INT_MAX : (int)rest;
}

void alarms_ring(struct alarms *alarms, uint64_t now)
{
    while (alarms->first && alarms->first->due <= now) {
        struct alarm *alarm = alarms->first;
        void (*ring)(void *owner) = alarm->ring;
        void *owner = alarm->owner;
        alarm_cancel(alarms, alarm);
        ring(owner);
    }
}
