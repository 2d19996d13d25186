/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/life_cycle.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "partitions/root/disk/streaming.h"

/* Milliseconds between looks at what is waited for. */
#define QUIET_INTERVAL    5    /* disk requests to come back */
#define NO_SPACE_INTERVAL 5000 /* the host's disk to have room again */
#define LOOK_INTERVAL     250  /* the source of a disk to answer */

/* Milliseconds after which a machine is Paused whose disk does not answer, since its source does not: well before the
 * 30 s after which Linux gives up a request. */
#define ANSWER_PATIENCE 5000

/* ---- Notes from VPs and devices ---- */

static void wake(struct life_cycle *life_cycle)
{
    const uint64_t one = 1;

    /* Fails only when the counter is full, and then the main thread wakes up anyway. */
    if (write(life_cycle->wake, &one, sizeof one) < 0)
        return;
}

/* Stops the VPs and sets a note. */
static void note(struct life_cycle *life_cycle, bool *flag)
{
    vp_group_hold(&life_cycle->machine->vps);
    pthread_mutex_lock(&life_cycle->lock);
    *flag = true;
    pthread_mutex_unlock(&life_cycle->lock);
    wake(life_cycle);
}

static void power_off(void *context)
{
    struct life_cycle *life_cycle = context;

    note(life_cycle, &life_cycle->notes.power_off);
}

static void reset(void *context)
{
    struct life_cycle *life_cycle = context;

    note(life_cycle, &life_cycle->notes.reset);
}

static void triple_fault(void *context, uint32_t vp)
{
    struct life_cycle *life_cycle = context;

    (void)vp;
    note(life_cycle, &life_cycle->notes.triple_fault);
}

static void failed(void *context, const char *reason)
{
    struct life_cycle *life_cycle = context;

    pthread_mutex_lock(&life_cycle->lock);
    if (!life_cycle->notes.failed) /* the first is the cause of the others */
        snprintf(life_cycle->notes.reason, sizeof life_cycle->notes.reason, "%s", reason);
    pthread_mutex_unlock(&life_cycle->lock);
    note(life_cycle, &life_cycle->notes.failed);
}

static void no_space(void *context, struct disk *disk)
{
    struct life_cycle *life_cycle = context;

    pthread_mutex_lock(&life_cycle->lock);
    life_cycle->notes.disk = disk;
    pthread_mutex_unlock(&life_cycle->lock);
    note(life_cycle, &life_cycle->notes.no_space);
}

/* Nothing stops for that. */
static void ejected(void *context)
{
    struct life_cycle *life_cycle = context;

    pthread_mutex_lock(&life_cycle->lock);
    life_cycle->notes.ejected = true;
    pthread_mutex_unlock(&life_cycle->lock);
    wake(life_cycle);
}

static void debug_exit(void *context, uint32_t code)
{
    struct life_cycle *life_cycle = context;

    pthread_mutex_lock(&life_cycle->lock);
    if (!life_cycle->notes.debug_exit) /* the first counts */
        life_cycle->notes.code = code;
    pthread_mutex_unlock(&life_cycle->lock);
    note(life_cycle, &life_cycle->notes.debug_exit);
}

struct machine_events life_cycle_events(struct life_cycle *life_cycle)
{
    return (struct machine_events){.power_off = power_off,
                                   .reset = reset,
                                   .no_space = no_space,
                                   .ejected = ejected,
                                   .debug_exit = debug_exit,
                                   .triple_fault = triple_fault,
                                   .failed = failed,
                                   .context = life_cycle};
}

/* ---- State changes ---- */

static void enter(struct life_cycle *life_cycle, enum machine_state state)
{
    life_cycle->state = state;
    life_cycle->changed(life_cycle->context);
}

static struct timespec as_time(unsigned milliseconds)
{
    return (struct timespec){.tv_sec = milliseconds / 1000, .tv_nsec = (long)(milliseconds % 1000) * 1000000};
}

static void set_timer(struct life_cycle *life_cycle, unsigned milliseconds)
{
    const struct itimerspec setting = {.it_value = as_time(milliseconds)};

    timerfd_settime(life_cycle->timer, 0, &setting, NULL);
}

/* VPs stop for good. The reason that came first counts. */
static void end(struct life_cycle *life_cycle, enum off_reason reason, const char *detail)
{
    if (life_cycle->state == MACHINE_OFF)
        return;
    if (life_cycle->machine)
        vp_group_hold(&life_cycle->machine->vps);
    life_cycle->off_reason = reason;
    snprintf(life_cycle->detail, sizeof life_cycle->detail, "%s", detail);
    set_timer(life_cycle, 0);
    enter(life_cycle, MACHINE_OFF);
}

void life_cycle_fail(struct life_cycle *life_cycle, const char *detail)
{
    size_t used = life_cycle->off_reason == OFF_FAILED ? strlen(life_cycle->detail) : 0;

    life_cycle->off_reason = OFF_FAILED;
    snprintf(life_cycle->detail + used, sizeof life_cycle->detail - used, "%s%s", used ? "; " : "", detail);
    enter(life_cycle, MACHINE_OFF);
}

static bool freeze(struct life_cycle *life_cycle, bool frozen)
{
    char error[MACHINE_ERROR_SIZE];

    if (machine_freeze(life_cycle->machine, frozen, error))
        return true;
    end(life_cycle, OFF_FAILED, error);
    return false;
}

static void run(struct life_cycle *life_cycle, enum machine_state state)
{
    life_cycle->paused = 0;
    life_cycle->path[0] = life_cycle->detail[0] = 0;
    if (!freeze(life_cycle, false))
        return;
    enter(life_cycle, state);
    vp_group_release(&life_cycle->machine->vps);
}

/* Adds a reason for being Paused. */
static void pause_machine(struct life_cycle *life_cycle, unsigned reason)
{
    if (life_cycle->state == MACHINE_OFF)
        return;
    vp_group_hold(&life_cycle->machine->vps);
    vp_group_wait(&life_cycle->machine->vps);
    if (life_cycle->state != MACHINE_PAUSED) {
        life_cycle->state_before_pause = life_cycle->state;
        if (!freeze(life_cycle, true))
            return;
    }
    life_cycle->paused |= reason;
    enter(life_cycle, MACHINE_PAUSED);
}

/* Takes a reason for being Paused away. */
static void end_pause(struct life_cycle *life_cycle, unsigned reason)
{
    life_cycle->paused &= ~reason;
    life_cycle->path[0] = life_cycle->detail[0] = 0;
    if (life_cycle->paused)
        enter(life_cycle, MACHINE_PAUSED);
    else
        run(life_cycle, life_cycle->state_before_pause);
}

/* The second half of a reset, when no disk writes to memory any more. */
static void load_again(struct life_cycle *life_cycle)
{
    char error[MACHINE_ERROR_SIZE];

    if (!machine_is_quiet(life_cycle->machine)) {
        set_timer(life_cycle, QUIET_INTERVAL);
        return;
    }
    life_cycle->resetting = false;
    storage_interrupt(&life_cycle->machine->storage, false);
    life_cycle->state_before_pause = MACHINE_RUNNING;
    if (!machine_load_guest(life_cycle->machine, error))
        end(life_cycle, OFF_FAILED, error);
    else if (life_cycle->paused)
        enter(life_cycle, MACHINE_PAUSED);
    else
        run(life_cycle, MACHINE_RUNNING);
}

static void start_again(struct life_cycle *life_cycle)
{
    char error[MACHINE_ERROR_SIZE];

    vp_group_hold(&life_cycle->machine->vps);
    vp_group_wait(&life_cycle->machine->vps);
    life_cycle->retrying = false;
    life_cycle->paused &= ~(PAUSED_NO_SPACE | PAUSED_NO_ANSWER); /* the requests that wait for it are dropped */
    life_cycle->path[0] = life_cycle->detail[0] = 0;
    /* What a device asked for until now was meant for the machine before the reset. */
    pthread_mutex_lock(&life_cycle->lock);
    life_cycle->notes.no_space = life_cycle->notes.reset = life_cycle->notes.triple_fault = false;
    pthread_mutex_unlock(&life_cycle->lock);
    if (life_cycle->state != MACHINE_PAUSED && !freeze(life_cycle, true))
        return;
    if (!machine_reset(life_cycle->machine, error)) {
        end(life_cycle, OFF_FAILED, error);
        return;
    }
    life_cycle->resetting = true;
    storage_interrupt(&life_cycle->machine->storage, true);
    enter(life_cycle, MACHINE_STARTING);
    load_again(life_cycle);
}

static bool act_on_notes(struct life_cycle *life_cycle);

static void reissue_requests(struct life_cycle *life_cycle)
{
    pthread_mutex_lock(&life_cycle->machine->device_lock);
    storage_resume(&life_cycle->machine->storage);
    pthread_mutex_unlock(&life_cycle->machine->device_lock);
}

/*
 * Paused for want of space: tries the requests again with the VPs still held, and lets the machine run only
 * when they have gone through.
 */
static void retry(struct life_cycle *life_cycle)
{
    if (!life_cycle->retrying) {
        life_cycle->retrying = true;
        reissue_requests(life_cycle);
        set_timer(life_cycle, QUIET_INTERVAL);
    } else if (!machine_is_quiet(life_cycle->machine)) {
        set_timer(life_cycle, QUIET_INTERVAL);
    } else if (!act_on_notes(life_cycle)) { /* it would have found no space again */
        life_cycle->retrying = false;
        end_pause(life_cycle, PAUSED_NO_SPACE);
    }
}

static void debug_exit_was_written(struct life_cycle *life_cycle, uint32_t code)
{
    char detail[LIFE_CYCLE_TEXT];

    snprintf(detail, sizeof detail, "the guest wrote %u to its debug exit port", code);
    end(life_cycle, OFF_DEBUG_EXIT, detail);
}

static void ran_out_of_space(struct life_cycle *life_cycle, const struct disk *disk)
{
    life_cycle->retrying = false;
    snprintf(life_cycle->path, sizeof life_cycle->path, "%s", storage_disk_name(&life_cycle->machine->storage, disk));
    set_timer(life_cycle, NO_SPACE_INTERVAL);
    if (!(life_cycle->paused & PAUSED_NO_SPACE))
        pause_machine(life_cycle, PAUSED_NO_SPACE);
}

/* Does what the notes ask for. False: there are none. */
static bool act_on_notes(struct life_cycle *life_cycle)
{
    typeof(life_cycle->notes) notes;

    pthread_mutex_lock(&life_cycle->lock);
    notes = life_cycle->notes;
    memset(&life_cycle->notes, 0, sizeof life_cycle->notes);
    pthread_mutex_unlock(&life_cycle->lock);
    if (life_cycle->state == MACHINE_OFF)
        return true;
    if (notes.ejected)
        machine_tidy(life_cycle->machine);
    if (notes.failed)
        end(life_cycle, OFF_FAILED, notes.reason);
    else if (notes.debug_exit)
        debug_exit_was_written(life_cycle, notes.code);
    else if (notes.power_off)
        end(life_cycle, OFF_POWER_OFF, "the guest switched itself off");
    else if (notes.reset && !life_cycle->reboot) /* before the fault by which a guest waits for it */
        end(life_cycle, OFF_RESET, "the guest reset the machine");
    else if (notes.triple_fault && !life_cycle->reboot)
        end(life_cycle, OFF_TRIPLE_FAULT, "the guest shut its processor down (triple fault)");
    else if (notes.triple_fault || notes.reset)
        start_again(life_cycle);
    else if (notes.no_space)
        ran_out_of_space(life_cycle, notes.disk);
    else
        return false;
    return true;
}

static void woken(void *owner, uint32_t events)
{
    struct life_cycle *life_cycle = owner;
    uint64_t count;

    (void)events;
    if (read(life_cycle->wake, &count, sizeof count) < 0)
        return;
    act_on_notes(life_cycle);
}

static void timer_fired(void *owner, uint32_t events)
{
    struct life_cycle *life_cycle = owner;
    uint64_t count;

    (void)events;
    if (read(life_cycle->timer, &count, sizeof count) < 0)
        return;
    if (act_on_notes(life_cycle))
        return; /* the timer has been set anew if it is still needed */
    if (life_cycle->resetting)
        load_again(life_cycle);
    else if (life_cycle->paused & PAUSED_NO_SPACE)
        retry(life_cycle);
}

/* ---- Sources of disks ---- */

/* The machine is Paused for it, or says so again if the reason is another one. */
static void source_does_not_answer(struct life_cycle *life_cycle, const struct storage_drive *drive,
                                   const struct remote_wait *wait)
{
    char detail[LIFE_CYCLE_TEXT];
    bool known;

    snprintf(detail, sizeof detail, "%.200s: %.280s", streaming_source(drive->disk)->name,
             wait->status[0] ? wait->status : "no answer");
    known = life_cycle->paused & PAUSED_NO_ANSWER && strcmp(detail, life_cycle->detail) == 0;
    if (known)
        return;
    snprintf(life_cycle->detail, sizeof life_cycle->detail, "%s", detail);
    snprintf(life_cycle->path, sizeof life_cycle->path, "%s", drive->name);
    pause_machine(life_cycle, PAUSED_NO_ANSWER);
}

static void look_at_sources(void *owner, uint32_t events)
{
    struct life_cycle *life_cycle = owner;
    const struct storage_drive *drive;
    struct remote_wait wait;
    uint64_t count;

    (void)events;
    if (read(life_cycle->look_timer, &count, sizeof count) < 0 || life_cycle->state == MACHINE_OFF ||
        life_cycle->resetting)
        return;
    drive = storage_longest_wait(&life_cycle->machine->storage, &wait);
    if (drive && wait.milliseconds > life_cycle->answer_patience)
        source_does_not_answer(life_cycle, drive, &wait);
    else if (life_cycle->paused & PAUSED_NO_ANSWER)
        end_pause(life_cycle, PAUSED_NO_ANSWER);
}

static void begin_to_look(const struct life_cycle *life_cycle)
{
    const struct itimerspec setting = {.it_value = as_time(LOOK_INTERVAL), .it_interval = as_time(LOOK_INTERVAL)};
    struct remote_wait wait;

    if (storage_longest_wait(&life_cycle->machine->storage, &wait))
        timerfd_settime(life_cycle->look_timer, 0, &setting, NULL);
}

int life_cycle_initialize(struct life_cycle *life_cycle, struct event_loop *loop, bool reboot,
                          void (*changed)(void *context), void *context)
{
    int error;

    *life_cycle = (struct life_cycle){
        .loop = loop,
        .reboot = reboot,
        .changed = changed,
        .context = context,
        .answer_patience = ANSWER_PATIENCE,
        .wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
        .timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK),
        .look_timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK),
    };
    pthread_mutex_init(&life_cycle->lock, NULL);
    if (life_cycle->wake < 0 || life_cycle->timer < 0 || life_cycle->look_timer < 0)
        return errno;
    error = event_loop_add(loop, &life_cycle->wake_source, life_cycle->wake, EPOLLIN, woken, life_cycle);
    if (!error)
        error = event_loop_add(loop, &life_cycle->timer_source, life_cycle->timer, EPOLLIN, timer_fired, life_cycle);
    if (!error)
        error = event_loop_add(loop, &life_cycle->look_source, life_cycle->look_timer, EPOLLIN, look_at_sources,
                               life_cycle);
    return error;
}

void life_cycle_close(struct life_cycle *life_cycle)
{
    event_loop_remove(life_cycle->loop, &life_cycle->wake_source);
    event_loop_remove(life_cycle->loop, &life_cycle->timer_source);
    event_loop_remove(life_cycle->loop, &life_cycle->look_source);
    close(life_cycle->wake);
    close(life_cycle->timer);
    close(life_cycle->look_timer);
    pthread_mutex_destroy(&life_cycle->lock);
}

bool life_cycle_start(struct life_cycle *life_cycle, struct machine *machine)
{
    char error[MACHINE_ERROR_SIZE];

    life_cycle->machine = machine;
    if (!machine_load_guest(machine, error)) {
        end(life_cycle, OFF_START_FAILED, error);
        return false;
    }
    begin_to_look(life_cycle);
    run(life_cycle, MACHINE_RUNNING);
    return life_cycle->state == MACHINE_RUNNING;
}

/* ---- Requests ---- */

const char *life_cycle_stop(struct life_cycle *life_cycle)
{
    bool listens;

    if (life_cycle->state != MACHINE_RUNNING && life_cycle->state != MACHINE_STOPPING)
        return life_cycle->state == MACHINE_PAUSED ? "the virtual machine is Paused: resume it first, or turn it off"
                                                   : "the virtual machine is not running";
    pthread_mutex_lock(&life_cycle->machine->device_lock);
    listens = piix4_pm_press_power_button(&life_cycle->machine->platform.power);
    pthread_mutex_unlock(&life_cycle->machine->device_lock);
    if (!listens)
        return "the guest does not listen to the power button (it may still be starting)";
    if (life_cycle->state != MACHINE_STOPPING)
        enter(life_cycle, MACHINE_STOPPING);
    return NULL;
}

const char *life_cycle_turn_off(struct life_cycle *life_cycle)
{
    end(life_cycle, OFF_TURNED_OFF, "turned off on request");
    return NULL;
}

const char *life_cycle_reset(struct life_cycle *life_cycle)
{
    if (life_cycle->state == MACHINE_OFF || life_cycle->state == MACHINE_STARTING)
        return "the virtual machine is not running";
    life_cycle->paused = 0;
    start_again(life_cycle);
    return NULL;
}

const char *life_cycle_pause(struct life_cycle *life_cycle)
{
    if (life_cycle->state == MACHINE_OFF || life_cycle->state == MACHINE_STARTING)
        return "the virtual machine is not running";
    if (!(life_cycle->paused & PAUSED_ON_REQUEST))
        pause_machine(life_cycle, PAUSED_ON_REQUEST);
    return NULL;
}

const char *life_cycle_resume(struct life_cycle *life_cycle)
{
    if (life_cycle->state != MACHINE_PAUSED)
        return "the virtual machine is not Paused";
    life_cycle->paused &= ~PAUSED_ON_REQUEST;
    if (!life_cycle->paused)
        run(life_cycle, life_cycle->state_before_pause);
    else if (life_cycle->paused & PAUSED_NO_SPACE && !life_cycle->retrying)
        retry(life_cycle); /* at once instead of when its time has come */
    return NULL;
}

const char *life_cycle_state_name(enum machine_state state)
{
    static const char *const names[] = {
        [MACHINE_STARTING] = "Starting", [MACHINE_RUNNING] = "Running", [MACHINE_PAUSED] = "Paused",
        [MACHINE_STOPPING] = "Stopping", [MACHINE_OFF] = "Off",
    };

    return names[state];
}

const char *life_cycle_off_reason_name(enum off_reason reason)
{
    static const char *const names[] = {
        [OFF_POWER_OFF] = "power-off",   [OFF_START_FAILED] = "start-failed", [OFF_TURNED_OFF] = "turned-off",
        [OFF_RESET] = "reset",           [OFF_TRIPLE_FAULT] = "triple-fault", [OFF_FAILED] = "failed",
        [OFF_DEBUG_EXIT] = "debug-exit",
    };

    return names[reason];
}

const char *life_cycle_pause_reason(const struct life_cycle *life_cycle)
{
    if (life_cycle->state != MACHINE_PAUSED)
        return NULL;
    if (life_cycle->paused & PAUSED_NO_SPACE)
        return "no-space";
    return life_cycle->paused & PAUSED_NO_ANSWER ? "no-answer" : "requested";
}
