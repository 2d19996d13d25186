/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/screen.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "partitions/root/net/event_loop.h"
#include "partitions/root/worker/key_queue.h"
#include "partitions/root/worker/pointer.h"
#include "partitions/root/worker/screenshot.h"
#include "partitions/root/worker/vnc_server.h"

#define INCOMING     8u  /* connections on their way to the thread */
#define TYPING_PACE  10u /* milliseconds between keys that nobody's fingers press: a BIOS keeps only 15 */
#define ACCEPT_PAUSE 1000u

/* A picture on its way. */
struct picture {
    struct screen *screen;
    int descriptor; /* -1: free */
    struct event_source source;
    struct screenshot screenshot;
    uint64_t deadline;
};

struct listener {
    struct screen *screen;
    int descriptor; /* -1: none */
    struct event_source source;
    bool network;
    bool paused;
    uint64_t until;
};

struct screen {
    const struct machine_screen *machine;
    struct event_loop loop;
    struct event_source wake_source;
    int wake; /* eventfd */
    pthread_t thread;

    pthread_mutex_t lock; /* no other is taken under it but the device lock */
    bool ending;
    unsigned viewers, pictures; /* as the thread last said, and those on their way to it */
    unsigned incoming_count;
    struct {
        int descriptor;
        enum screen_purpose purpose;
    } incoming[INCOMING];
    struct key_queue typed; /* by requests */

    /* The thread's */
    struct key_queue keys; /* of viewers */
    struct pointer pointer;
    struct vnc_server server;
    struct picture pictures_sent[SCREEN_PICTURES];
    struct listener listeners[2];
};

/* ---- Pictures ---- */

static void end_picture(struct picture *picture)
{
    event_loop_remove(&picture->screen->loop, &picture->source);
    screenshot_close(&picture->screenshot);
    close(picture->descriptor);
    picture->descriptor = -1;
}

static void picture_event(void *owner, uint32_t events)
{
    struct picture *picture = owner;
    size_t before = picture->screenshot.sent;

    if ((events & (EPOLLHUP | EPOLLERR)) || screenshot_send(&picture->screenshot, picture->descriptor) != EAGAIN)
        end_picture(picture);
    else if (picture->screenshot.sent > before)
        picture->deadline = picture->screen->loop.now + SCREEN_PATIENCE;
}

static void take_picture(struct screen *screen, int descriptor)
{
    struct picture *picture = screen->pictures_sent;

    while (picture < screen->pictures_sent + SCREEN_PICTURES && picture->descriptor >= 0)
        picture++;
    if (picture == screen->pictures_sent + SCREEN_PICTURES ||
        event_loop_add(&screen->loop, &picture->source, descriptor, EPOLLOUT, picture_event, picture)) {
        close(descriptor);
        return;
    }
    picture->screen = screen;
    picture->descriptor = descriptor;
    picture->deadline = screen->loop.now + SCREEN_PATIENCE;
    vnc_server_refresh(&screen->server);
    if (screenshot_take(&picture->screenshot, &screen->server.display))
        end_picture(picture); /* without a byte */
    vnc_server_forget(&screen->server);
}

static uint64_t pictures_due(const struct screen *screen)
{
    uint64_t due = UINT64_MAX;

    for (unsigned i = 0; i < SCREEN_PICTURES; i++)
        if (screen->pictures_sent[i].descriptor >= 0 && screen->pictures_sent[i].deadline < due)
            due = screen->pictures_sent[i].deadline;
    return due;
}

static void run_pictures(struct screen *screen)
{
    for (unsigned i = 0; i < SCREEN_PICTURES; i++)
        if (screen->pictures_sent[i].descriptor >= 0 && screen->loop.now >= screen->pictures_sent[i].deadline)
            end_picture(&screen->pictures_sent[i]);
}

/* ---- Listening ---- */

static void pause_listener(struct listener *listener, uint64_t until)
{
    listener->paused = true;
    listener->until = until;
    event_loop_change(&listener->screen->loop, &listener->source, 0);
}

static void somebody_connects(void *owner, uint32_t events)
{
    struct listener *listener = owner;
    struct screen *screen = listener->screen;
    const uint64_t wrong = screen->server.wrong_password;
    int descriptor;

    (void)events;
    /* Passwords are short; they are not to be tried out quickly. */
    if (listener->network && wrong && screen->loop.now < wrong + VNC_SERVER_PAUSE) {
        pause_listener(listener, wrong + VNC_SERVER_PAUSE);
        return;
    }
    descriptor = accept4(listener->descriptor, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (descriptor >= 0)
        vnc_server_add(&screen->server, descriptor, listener->network && screen->server.password[0]);
    else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
        pause_listener(listener, screen->loop.now + ACCEPT_PAUSE);
}

static uint64_t listeners_due(const struct screen *screen)
{
    uint64_t due = UINT64_MAX;

    for (unsigned i = 0; i < 2; i++)
        if (screen->listeners[i].paused && screen->listeners[i].until < due)
            due = screen->listeners[i].until;
    return due;
}

static void run_listeners(struct screen *screen)
{
    for (unsigned i = 0; i < 2; i++) {
        struct listener *listener = &screen->listeners[i];

        if (!listener->paused || screen->loop.now < listener->until)
            continue;
        listener->paused = false;
        event_loop_change(&screen->loop, &listener->source, EPOLLIN);
    }
}

/* ---- The thread ---- */

static void woken(void *owner, uint32_t events)
{
    struct screen *screen = owner;
    uint64_t count;

    (void)events;
    if (read(screen->wake, &count, sizeof count) < 0)
        return;
    pthread_mutex_lock(&screen->lock);
    while (screen->incoming_count > 0) {
        int descriptor = screen->incoming[--screen->incoming_count].descriptor;
        enum screen_purpose purpose = screen->incoming[screen->incoming_count].purpose;

        pthread_mutex_unlock(&screen->lock);
        if (purpose == SCREEN_VIEWER)
            vnc_server_add(&screen->server, descriptor, false);
        else
            take_picture(screen, descriptor);
        pthread_mutex_lock(&screen->lock);
    }
    pthread_mutex_unlock(&screen->lock);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Does what is due; returns when there is something again. */
static uint64_t run(struct screen *screen)
{
    const struct input_sink *input = &screen->machine->input;
    const uint64_t now = screen->loop.now;
    uint64_t due;

    key_queue_run(&screen->keys, input, now);
    pointer_run(&screen->pointer, input, now);
    vnc_server_run(&screen->server);
    run_pictures(screen);
    run_listeners(screen);
    due = earlier(key_queue_due(&screen->keys), pointer_due(&screen->pointer));
    due = earlier(due, earlier(vnc_server_due(&screen->server), pictures_due(screen)));
    due = earlier(due, listeners_due(screen));
    pthread_mutex_lock(&screen->lock);
    key_queue_run(&screen->typed, input, now);
    due = earlier(due, key_queue_due(&screen->typed));
    screen->viewers = screen->server.client_count;
    screen->pictures = 0;
    for (unsigned i = 0; i < SCREEN_PICTURES; i++)
        screen->pictures += screen->pictures_sent[i].descriptor >= 0;
    for (unsigned i = 0; i < screen->incoming_count; i++)
        (*(screen->incoming[i].purpose == SCREEN_VIEWER ? &screen->viewers : &screen->pictures))++;
    pthread_mutex_unlock(&screen->lock);
    return due;
}

static int timeout(const struct screen *screen, uint64_t due)
{
    if (due == UINT64_MAX)
        return -1;
    if (due <= screen->loop.now)
        return 0;
    return due - screen->loop.now < SCREEN_PATIENCE ? (int)(due - screen->loop.now) : (int)SCREEN_PATIENCE;
}

static bool is_ending(struct screen *screen)
{
    bool ending;

    pthread_mutex_lock(&screen->lock);
    ending = screen->ending;
    pthread_mutex_unlock(&screen->lock);
    return ending;
}

static void *serve(void *context)
{
    struct screen *screen = context;
    uint64_t due = UINT64_MAX;

    while (!is_ending(screen)) {
        event_loop_wait(&screen->loop, timeout(screen, due));
        event_loop_dispatch(&screen->loop);
        due = run(screen);
    }
    return NULL;
}

static void wake(struct screen *screen)
{
    const uint64_t one = 1;

    /* Fails only when the counter is full, and then the thread wakes up anyway. */
    if (write(screen->wake, &one, sizeof one) < 0)
        return;
}

/* ---- What others ask for ---- */

const struct machine_screen *screen_machine(const struct screen *screen)
{
    return screen->machine;
}

/* Under the lock. */
static bool has_room(const struct screen *screen, enum screen_purpose purpose)
{
    return screen->incoming_count < INCOMING &&
           (purpose == SCREEN_VIEWER ? screen->viewers < VNC_SERVER_CLIENTS : screen->pictures < SCREEN_PICTURES);
}

bool screen_has_room(struct screen *screen, enum screen_purpose purpose)
{
    bool room;

    pthread_mutex_lock(&screen->lock);
    room = has_room(screen, purpose);
    pthread_mutex_unlock(&screen->lock);
    return room;
}

void screen_attach(struct screen *screen, int descriptor, enum screen_purpose purpose)
{
    bool room;

    pthread_mutex_lock(&screen->lock);
    room = has_room(screen, purpose);
    if (room) {
        screen->incoming[screen->incoming_count].descriptor = descriptor;
        screen->incoming[screen->incoming_count++].purpose = purpose;
        (*(purpose == SCREEN_VIEWER ? &screen->viewers : &screen->pictures))++;
    }
    pthread_mutex_unlock(&screen->lock);
    if (room)
        wake(screen);
    else
        close(descriptor);
}

unsigned screen_type(struct screen *screen, const struct key_event *events, unsigned count)
{
    struct timespec now;
    unsigned waiting = 0;

    clock_gettime(CLOCK_MONOTONIC, &now);
    pthread_mutex_lock(&screen->lock);
    if (key_queue_add(&screen->typed, events, count, (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000))
        waiting = screen->typed.count;
    pthread_mutex_unlock(&screen->lock);
    if (waiting)
        wake(screen);
    return waiting;
}

/* ---- Beginning and end ---- */

static int begin_listening(struct screen *screen, const struct screen_listeners *listeners)
{
    const int descriptors[2] = {listeners->local, listeners->network};
    int error = 0;

    for (unsigned i = 0; i < 2; i++) {
        struct listener *listener = &screen->listeners[i];

        *listener = (struct listener){.screen = screen, .descriptor = descriptors[i], .network = i == 1};
        if (descriptors[i] >= 0 && !error)
            error =
                event_loop_add(&screen->loop, &listener->source, descriptors[i], EPOLLIN, somebody_connects, listener);
    }
    return error;
}

static void free_screen(struct screen *screen)
{
    vnc_server_close(&screen->server);
    for (unsigned i = 0; i < SCREEN_PICTURES; i++)
        if (screen->pictures_sent[i].descriptor >= 0)
            end_picture(&screen->pictures_sent[i]);
    for (unsigned i = 0; i < screen->incoming_count; i++)
        close(screen->incoming[i].descriptor);
    for (unsigned i = 0; i < 2; i++)
        if (screen->listeners[i].descriptor >= 0)
            close(screen->listeners[i].descriptor);
    if (screen->wake >= 0)
        close(screen->wake);
    event_loop_close(&screen->loop);
    pthread_mutex_destroy(&screen->lock);
    free(screen);
}

static int begin(struct screen *screen, const char *name, const struct screen_listeners *listeners)
{
    int error = event_loop_initialize(&screen->loop);

    screen->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!error)
        error = screen->wake < 0
                    ? errno
                    : event_loop_add(&screen->loop, &screen->wake_source, screen->wake, EPOLLIN, woken, screen);
    if (!error && !vnc_server_initialize(&screen->server, &screen->loop, &screen->machine->display, &screen->keys,
                                         &screen->pointer, name, listeners->password))
        error = ENOMEM;
    if (!error)
        error = begin_listening(screen, listeners);
    return error ? error : pthread_create(&screen->thread, NULL, serve, screen);
}

struct screen *screen_start(const struct machine_screen *machine, const char *name,
                            const struct screen_listeners *listeners, char error[SCREEN_ERROR_SIZE])
{
    struct screen *screen = calloc(1, sizeof *screen);
    int result = ENOMEM;

    if (screen) {
        screen->machine = machine;
        pthread_mutex_init(&screen->lock, NULL);
        key_queue_initialize(&screen->keys, 0);
        key_queue_initialize(&screen->typed, TYPING_PACE);
        for (unsigned i = 0; i < SCREEN_PICTURES; i++)
            screen->pictures_sent[i].descriptor = -1;
        for (unsigned i = 0; i < 2; i++)
            screen->listeners[i].descriptor = -1;
        result = begin(screen, name, listeners);
    }
    if (!result)
        return screen;
    snprintf(error, SCREEN_ERROR_SIZE, "its screen cannot be served: %s", strerror(result));
    if (screen) {
        /* What could not be started is still the caller's. */
        for (unsigned i = 0; i < 2; i++)
            screen->listeners[i].descriptor = -1;
        free_screen(screen);
    }
    return NULL;
}

void screen_end(struct screen *screen)
{
    if (!screen)
        return;
    pthread_mutex_lock(&screen->lock);
    screen->ending = true;
    pthread_mutex_unlock(&screen->lock);
    wake(screen);
    pthread_join(screen->thread, NULL);
    free_screen(screen);
}
