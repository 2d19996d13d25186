/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The states of a virtual machine, in Hyper-V's words, and what moves it from one to the next.
 *
 *   Starting -> Running <-> Paused; Running -> Stopping (power button pressed); any -> Off, where it ends
 *
 * Everything here is the main thread's, except life_cycle_events(), which VPs and devices call: they hold the
 * VPs, leave a note, and wake the main thread.
 */
#ifndef WORKER_LIFE_CYCLE_H
#define WORKER_LIFE_CYCLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include "partitions/root/net/event_loop.h"
#include "partitions/root/worker/machine.h"

enum machine_state { MACHINE_STARTING, MACHINE_RUNNING, MACHINE_PAUSED, MACHINE_STOPPING, MACHINE_OFF };

/* Why a machine is Off. The values are the worker's exit status. */
enum off_reason {
    OFF_POWER_OFF = 0,    /* the guest switched itself off */
    OFF_START_FAILED = 1, /* it never ran */
    OFF_TURNED_OFF = 3,   /* on request */
    OFF_RESET = 4,        /* the guest reset, and is not to be started again */
    OFF_TRIPLE_FAULT = 5, /* the guest shut the processor down, and is not to be started again */
    OFF_FAILED = 6,       /* the machine could not go on; `detail` says why */
    OFF_DEBUG_EXIT = 7,   /* the guest wrote to its debug exit port; `detail` says what */
};

/* Reasons of Paused, together. */
#define PAUSED_ON_REQUEST 0x1u
#define PAUSED_NO_SPACE   0x2u /* on the host for a disk; `path` says which */
#define PAUSED_NO_ANSWER  0x4u /* from the source of the disk `path`; `detail` says which source, and why */

#define LIFE_CYCLE_TEXT 512

struct life_cycle {
    struct event_loop *loop;
    struct machine *machine;
    bool reboot;

    enum machine_state state;
    enum machine_state state_before_pause;
    unsigned paused; /* PAUSED_* */
    bool resetting;  /* waits for disk requests of before the reset */
    bool retrying;   /* a request that found no space is being tried again */
    enum off_reason off_reason;
    char detail[LIFE_CYCLE_TEXT];
    char path[LIFE_CYCLE_TEXT];
    /* Called at each change of state. */
    void (*changed)(void *context);
    void *context;

    struct event_source wake_source;
    int wake; /* eventfd */
    struct event_source timer_source;
    int timer; /* timerfd */
    struct event_source look_source;
    unsigned answer_patience; /* milliseconds for which a request may wait for its source */
    int look_timer;           /* timerfd: looks at the sources of disks, if there are any */

    pthread_mutex_t lock; /* of the notes; taken after the device lock, none is taken under it */
    struct {
        bool power_off, reset, triple_fault, failed, no_space, ejected, debug_exit;
        const struct disk *disk;
        uint32_t code; /* of the debug exit */
        char reason[VP_REASON_SIZE];
    } notes;
};

/* 0 or an errno. The machine is given afterwards, because it is created with life_cycle_events(). */
int life_cycle_initialize(struct life_cycle *life_cycle, struct event_loop *loop, bool reboot,
                          void (*changed)(void *context), void *context);
struct machine_events life_cycle_events(struct life_cycle *life_cycle);
void life_cycle_close(struct life_cycle *life_cycle);

/* Loads the guest and lets it run. False: it is Off with OFF_START_FAILED. */
bool life_cycle_start(struct life_cycle *life_cycle, struct machine *machine);

/* It is Off, and something went wrong afterwards: that is told as the reason, behind an earlier failure. */
void life_cycle_fail(struct life_cycle *life_cycle, const char *detail);

/*
 * Requests. NULL: done, or under way; otherwise why not, in one line.
 */
/* Presses the power button. */
const char *life_cycle_stop(struct life_cycle *life_cycle);
const char *life_cycle_turn_off(struct life_cycle *life_cycle);
const char *life_cycle_reset(struct life_cycle *life_cycle);
const char *life_cycle_pause(struct life_cycle *life_cycle);
const char *life_cycle_resume(struct life_cycle *life_cycle);

/* "Starting", "Running", "Paused", "Stopping", "Off". */
const char *life_cycle_state_name(enum machine_state state);
/* For programs: "power-off", "start-failed", "turned-off", "reset", "triple-fault", "failed", "debug-exit". */
const char *life_cycle_off_reason_name(enum off_reason reason);
/* Why it is Paused: "requested", "no-space", "no-answer", or NULL if it is not. */
const char *life_cycle_pause_reason(const struct life_cycle *life_cycle);

#endif
