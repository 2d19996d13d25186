/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lwIP's life in the switch. It comes in two builds: from source with lwip/lwipopts.h, where it has no thread
 * and no timers of its own; or, where no source can be had, as Debian's shared library, whose thread runs the
 * timers. All that differs is in stack.c. In both, lwIP may only be called between stack_enter() and
 * stack_leave().
 */
#ifndef NET_STACK_H
#define NET_STACK_H

#include <stdint.h>

/* How long after a segment its acknowledgement may wait for another, in milliseconds. */
#define STACK_ACK_DELAY 20u

void stack_initialize(void);
void stack_enter(void);
void stack_leave(void);

/* Some connection owes an acknowledgement: see that it goes out within STACK_ACK_DELAY. `now` in
 * milliseconds. */
void stack_delay_ack(uint64_t now);

/* Milliseconds until stack_run_timers() has work, or -1. */
int stack_timeout(uint64_t now);
void stack_run_timers(uint64_t now);

/* "lwIP 2.1.3 (source)" */
const char *stack_description(void);

#endif
