/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/loam/disk_fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pwd.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tools/loam/cli.h"
#include "tools/loam/progress.h"

#define PROGRAM       "loam-fetch"
#define SOCKET_NUMBER 3 /* of the descriptor that it inherits */
#define WAIT_SECONDS  15
#define TICK          200 /* milliseconds */

/* ---- Starting it ---- */

/* It is beside this program, or, once installed, in the directory of what is run by others. */
static bool find_program(char path[PATH_MAX])
{
    static const char *const places[] = {"", "../sbin/"};
    char directory[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", directory, sizeof(directory) - 1);
    directory[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(directory, '/');
    if (!slash)
        return false;
    slash[1] = '\0';
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
        if (snprintf(path, PATH_MAX, "%s%s" PROGRAM, directory, places[i]) < PATH_MAX && access(path, X_OK) == 0)
            return true;
    return false;
}

/* Root's loam-fetch is another user: the one that was made for it, or, where it was not installed, nobody. */
static const char *choose_user(void)
{
    if (geteuid() != 0)
        return NULL;
    return getpwnam(PROGRAM) ? PROGRAM : "nobody";
}

/* 0 or an errno. */
static int spawn(const char *path, const struct remote_source *source, int socket)
{
    char number[16], size[32];
    const char *arguments[12] = {path}, *user = choose_user();
    unsigned count = 1;
    posix_spawn_file_actions_t actions;
    pid_t process;
    snprintf(number, sizeof(number), "%d", SOCKET_NUMBER);
    arguments[count++] = "--socket-fd";
    arguments[count++] = number;
    if (source->size) {
        snprintf(size, sizeof(size), "%llu", (unsigned long long)source->size);
        arguments[count++] = "--size";
        arguments[count++] = size;
        arguments[count++] = "--validator";
        arguments[count++] = source->validator;
    }
    if (user) {
        arguments[count++] = "--user";
        arguments[count++] = user;
    }
    arguments[count] = source->url;
    int error = posix_spawn_file_actions_init(&actions);
    if (error)
        return error;
    error = posix_spawn_file_actions_adddup2(&actions, socket, SOCKET_NUMBER);
    if (!error)
        error = posix_spawn_file_actions_addclosefrom_np(&actions, SOCKET_NUMBER + 1);
    if (!error)
        error = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (!error)
        error = posix_spawn(&process, path, &actions, NULL, (char *const *)arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

/* Our end of its socket; -1 with `error`. */
static int start(const struct remote_source *source, struct disk_error *error)
{
    char path[PATH_MAX];
    int ends[2];
    if (!find_program(path)) {
        disk_error_set(error, ENOENT, source->url,
                       "it has to be fetched, and " PROGRAM " is not installed beside loam");
        return -1;
    }
    int result = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0 ? 0 : errno;
    if (!result) {
        result = spawn(path, source, ends[1]);
        close(ends[1]);
        if (result)
            close(ends[0]);
    }
    if (result)
        disk_error_set(error, result, source->url, "%s cannot be started: %s", path, strerror(result));
    return result ? -1 : ends[0];
}

/* ---- Waiting for the source ---- */

struct waiting {
    int socket;
    const char *url;
    char status[FETCH_TEXT_SIZE]; /* why there is no answer yet; empty: that is not known */
    bool shown;
    struct disk_error *error;
};

static void show(struct waiting *waiting)
{
    if (!isatty(STDERR_FILENO) || cli_options.json)
        return;
    fprintf(stderr, "\rwaiting for %s%s%s\033[K", waiting->url, waiting->status[0] ? ": " : "", waiting->status);
    fflush(stderr);
    waiting->shown = true;
}

static bool fail(const struct waiting *waiting, int code, const char *text)
{
    disk_error_set(waiting->error, code, waiting->url, "%s", text);
    return false;
}

/* Takes a text message in, which is there as a whole, or will be at once. */
static bool take_text(struct waiting *waiting)
{
    struct fetch_message message;
    bool taken = recv(waiting->socket, &message, sizeof(message), MSG_WAITALL) == sizeof(message) &&
                 message.length < sizeof(waiting->status) &&
                 recv(waiting->socket, waiting->status, message.length, MSG_WAITALL) == (ssize_t)message.length;
    waiting->status[taken ? message.length : 0] = '\0';
    for (char *at = waiting->status; *at; at++)
        if (*at < ' ' || *at > '~')
            *at = '?';
    return taken || fail(waiting, EPROTO, PROGRAM " has said something that makes no sense");
}

enum step { STEP_FAILED, STEP_WAITING, STEP_FOUND };

/* Looks at the next message, and leaves it where it is if it is the source. */
static enum step look(struct waiting *waiting)
{
    struct fetch_message message;
    ssize_t length = recv(waiting->socket, &message, sizeof(message), MSG_PEEK | MSG_DONTWAIT);
    if (length == 0)
        fail(waiting, EPROTO, PROGRAM " has ended");
    if (length == 0 || (length < 0 && errno != EAGAIN && errno != EINTR))
        return STEP_FAILED;
    if (length != sizeof(message))
        return STEP_WAITING;
    switch (message.kind) {
    case FETCH_SOURCE:
        return STEP_FOUND;
    case FETCH_STATUS:
        return take_text(waiting) ? STEP_WAITING : STEP_FAILED;
    case FETCH_REFUSED:
        if (take_text(waiting))
            fail(waiting, ENOLINK, waiting->status);
        return STEP_FAILED;
    default:
        fail(waiting, EPROTO, PROGRAM " has said something that makes no sense");
        return STEP_FAILED;
    }
}

static void fail_late(const struct waiting *waiting)
{
    disk_error_set(waiting->error, ETIMEDOUT, waiting->url, "no answer within %u seconds%s%s", WAIT_SECONDS,
                   waiting->status[0] ? ": " : "", waiting->status);
}

static bool wait_for_source(struct waiting *waiting)
{
    struct timespec begin, now;
    enum step step = STEP_WAITING;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    while (step == STEP_WAITING) {
        struct pollfd file = {.fd = waiting->socket, .events = POLLIN};
        int ready = poll(&file, 1, TICK);
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (progress_signal())
            return fail(waiting, ECANCELED, "cancelled");
        if (ready > 0) {
            step = look(waiting);
        } else if (now.tv_sec - begin.tv_sec >= WAIT_SECONDS) {
            fail_late(waiting);
            return false;
        }
        if (step == STEP_WAITING)
            show(waiting);
    }
    return step == STEP_FOUND;
}

/* For messages that come in part: nothing else ends waiting for the rest. 0: for ever. */
static void limit_receiving(int socket, time_t seconds)
{
    const struct timeval limit = {.tv_sec = seconds};
    setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
}

int disk_fetch_open(const struct remote_source *source, struct disk_error *error)
{
    struct waiting waiting = {.socket = start(source, error), .url = source->url, .error = error};
    if (waiting.socket < 0)
        return -1;
    limit_receiving(waiting.socket, WAIT_SECONDS);
    bool found = wait_for_source(&waiting);
    limit_receiving(waiting.socket, 0);
    if (waiting.shown)
        fprintf(stderr, "\r\033[K");
    if (found)
        return waiting.socket;
    close(waiting.socket);
    return -1;
}
