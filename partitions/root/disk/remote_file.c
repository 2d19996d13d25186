/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/remote_file.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum read_state { READ_QUEUED, READ_SENT, READ_DONE };

struct remote_read {
    struct remote_read *next;
    uint64_t tag, offset;
    uint32_t length;
    enum read_state state;
    bool abandoned; /* nobody wants it any more */
    uint8_t bytes[];
};

/* What was read last, in pieces of the file. */
struct remote_window {
    uint64_t number;          /* offset / REMOTE_WINDOW */
    struct remote_read *read; /* NULL: none */
    uint64_t used;
};

struct remote_file {
    struct disk_file file; /* first */
    bool renewed;
    pthread_t thread;

    /* The user's alone */
    struct remote_window windows[REMOTE_WINDOWS];
    uint64_t uses;
    uint64_t patience; /* milliseconds, or as remote_file_set_patience says */

    pthread_mutex_t lock; /* of all that follows; none is taken under it */
    pthread_cond_t changed;
    struct remote_source source; /* size 0: not known yet */
    int socket;                  /* -1: there is no loam-fetch */
    int next_socket;             /* of the one that takes its place; -1: none */
    bool found;                  /* it has found the source, and may be asked */
    bool ending, interrupted;
    int error; /* 0, or why all reads fail, for good */
    char status[FETCH_TEXT_SIZE];
    struct remote_read *reads; /* in the order in which they began */
    unsigned sent;
    uint64_t last_tag, fetched;
    uint64_t waiting_since; /* milliseconds; 0: nothing waits */
    void (*arrived)(void *context);
    void *context;
};

static const struct disk_file_operations remote_operations;

static struct remote_file *to_remote(struct disk_file *file)
{
    return (struct remote_file *)file;
}

bool disk_file_is_remote(const struct disk_file *file)
{
    return file->operations == &remote_operations;
}

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

/* ---- With the lock ---- */

static void __attribute__((format(printf, 2, 3))) say(struct remote_file *remote, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(remote->status, sizeof(remote->status), format, arguments);
    va_end(arguments);
}

static void notify(struct remote_file *remote)
{
    pthread_cond_broadcast(&remote->changed);
    if (remote->arrived)
        remote->arrived(remote->context);
}

static void fail(struct remote_file *remote, int error)
{
    if (!remote->error)
        remote->error = error;
    if (remote->socket >= 0)
        shutdown(remote->socket, SHUT_RDWR);
    notify(remote);
}

static void drop(struct remote_file *remote, struct remote_read *read)
{
    struct remote_read **link = &remote->reads;
    while (*link != read)
        link = &(*link)->next;
    *link = read->next;
    free(read);
}

/* A socket has room for as many requests as loam-fetch takes, so that sending never waits. */
static void send_queued(struct remote_file *remote)
{
    if (!remote->found || remote->error)
        return;
    for (struct remote_read *read = remote->reads; read && remote->sent < FETCH_REQUESTS_MAXIMUM; read = read->next) {
        if (read->state != READ_QUEUED)
            continue;
        const struct fetch_message message = {FETCH_READ, read->length, read->tag, read->offset};
        if (send(remote->socket, &message, sizeof(message), MSG_NOSIGNAL | MSG_DONTWAIT) != sizeof(message))
            return; /* it has ended, as its thread will see */
        read->state = READ_SENT;
        remote->sent++;
    }
}

/* There is no loam-fetch any more: what it was asked for, another will be. */
static void queue_again(struct remote_file *remote)
{
    for (struct remote_read *read = remote->reads, *next; read; read = next) {
        next = read->next;
        if (read->abandoned)
            drop(remote, read);
        else if (read->state == READ_SENT)
            read->state = READ_QUEUED;
    }
    remote->sent = 0;
}

static struct remote_read *find_sent(struct remote_file *remote, const struct fetch_message *message)
{
    for (struct remote_read *read = remote->reads; read; read = read->next)
        if (read->tag == message->tag && read->state == READ_SENT)
            return read->length == message->length && read->offset == message->offset ? read : NULL;
    return NULL;
}

/* ---- What comes: on the file's thread, without the lock ---- */

enum outcome { GOES_ON, HAS_ENDED, MAKES_NO_SENSE };

static enum outcome receive(const struct remote_file *remote, void *buffer, size_t length)
{
    uint8_t *bytes = buffer;
    while (length) {
        ssize_t count = recv(remote->socket, bytes, length, 0);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return HAS_ENDED;
        bytes += count;
        length -= (size_t)count;
    }
    return GOES_ON;
}

/* A text as it may be shown: control characters make no sense, and what is no ASCII is not shown. */
static bool clean(char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            return false;
        if ((unsigned char)*text > '~')
            *text = '?';
    }
    return true;
}

static enum outcome receive_text(struct remote_file *remote, const struct fetch_message *message)
{
    char text[FETCH_TEXT_SIZE] = "";
    if (message->length >= sizeof(text))
        return MAKES_NO_SENSE;
    enum outcome outcome = receive(remote, text, message->length);
    if (outcome != GOES_ON)
        return outcome;
    if (strlen(text) != message->length || !clean(text))
        return MAKES_NO_SENSE;
    pthread_mutex_lock(&remote->lock);
    say(remote, "%s", text);
    pthread_mutex_unlock(&remote->lock);
    return message->kind == FETCH_REFUSED ? HAS_ENDED : GOES_ON;
}

/* With the lock. Whether what was found is the source. */
static bool is_expected(struct remote_file *remote, const struct fetch_source *found)
{
    struct remote_source *source = &remote->source;
    if (!source->size) {
        source->size = found->size;
        memcpy(source->validator, found->validator, sizeof(source->validator));
    } else if (found->size != source->size) {
        say(remote, "what is there has %llu bytes now, and not %llu: it is another one",
            (unsigned long long)found->size, (unsigned long long)source->size);
        return false;
    } else if (strcmp(found->validator, source->validator) != 0) {
        say(remote, "what is there was changed since the disk was made");
        return false;
    }
    return true;
}

static enum outcome receive_source(struct remote_file *remote, const struct fetch_message *message)
{
    struct fetch_source found;
    if (message->length != sizeof(found) || remote->found)
        return MAKES_NO_SENSE;
    enum outcome outcome = receive(remote, &found, sizeof(found));
    if (outcome != GOES_ON)
        return outcome;
    char *end = memchr(found.validator, 0, sizeof(found.validator));
    for (const char *text = found.validator; end && text < end; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            return MAKES_NO_SENSE;
    if (!end || !found.size || found.size > INT64_MAX)
        return MAKES_NO_SENSE;
    pthread_mutex_lock(&remote->lock);
    remote->found = is_expected(remote, &found);
    outcome = remote->found ? GOES_ON : HAS_ENDED;
    if (remote->found)
        remote->status[0] = '\0';
    send_queued(remote);
    notify(remote);
    pthread_mutex_unlock(&remote->lock);
    return outcome;
}

static enum outcome receive_data(struct remote_file *remote, const struct fetch_message *message)
{
    pthread_mutex_lock(&remote->lock);
    struct remote_read *read = find_sent(remote, message);
    pthread_mutex_unlock(&remote->lock);
    if (!read)
        return MAKES_NO_SENSE;
    enum outcome outcome = receive(remote, read->bytes, read->length);
    if (outcome != GOES_ON)
        return outcome;
    pthread_mutex_lock(&remote->lock);
    read->state = READ_DONE;
    remote->sent--;
    remote->fetched += read->length;
    remote->status[0] = '\0';
    if (read->abandoned)
        drop(remote, read);
    send_queued(remote);
    notify(remote);
    pthread_mutex_unlock(&remote->lock);
    return GOES_ON;
}

static enum outcome receive_message(struct remote_file *remote)
{
    struct fetch_message message;
    enum outcome outcome = receive(remote, &message, sizeof(message));
    if (outcome != GOES_ON)
        return outcome;
    switch (message.kind) {
    case FETCH_SOURCE:
        return receive_source(remote, &message);
    case FETCH_DATA:
        return receive_data(remote, &message);
    case FETCH_STATUS:
    case FETCH_REFUSED:
        return receive_text(remote, &message);
    default:
        return MAKES_NO_SENSE;
    }
}

/* With the lock: lets go of a loam-fetch that is of no more use. */
static void part(struct remote_file *remote, enum outcome outcome)
{
    close(remote->socket);
    remote->socket = -1;
    remote->found = false;
    queue_again(remote);
    if (outcome == MAKES_NO_SENSE)
        say(remote, "loam-fetch answered what it was not asked for");
    else if (!remote->status[0])
        say(remote, "loam-fetch has ended");
    if (outcome == MAKES_NO_SENSE || !remote->renewed)
        fail(remote, EIO);
    notify(remote);
}

static void *remote_thread(void *context)
{
    struct remote_file *remote = context;
    pthread_mutex_lock(&remote->lock);
    while (!remote->ending) {
        if (remote->socket < 0 && remote->next_socket >= 0 && !remote->error) {
            remote->socket = remote->next_socket;
            remote->next_socket = -1;
        }
        if (remote->socket < 0) {
            pthread_cond_wait(&remote->changed, &remote->lock);
            continue;
        }
        pthread_mutex_unlock(&remote->lock);
        enum outcome outcome;
        do
            outcome = receive_message(remote);
        while (outcome == GOES_ON);
        pthread_mutex_lock(&remote->lock);
        part(remote, outcome);
    }
    pthread_mutex_unlock(&remote->lock);
    return NULL;
}

/* ---- Waiting ---- */

/* With the lock: waits for a change, by `began` the first time if it is 0. 0, or why nothing more is waited for. */
static int wait_for_change(struct remote_file *remote, uint64_t *began)
{
    if (remote->error)
        return remote->error;
    if (remote->interrupted)
        return ECANCELED;
    if (remote->patience == REMOTE_NO_PATIENCE)
        return EAGAIN;
    uint64_t time = now();
    if (!*began)
        *began = time;
    if (!remote->waiting_since)
        remote->waiting_since = time;
    if (!remote->patience) {
        pthread_cond_wait(&remote->changed, &remote->lock);
        return 0;
    }
    uint64_t end = *began + remote->patience;
    const struct timespec until = {(time_t)(end / 1000), (long)(end % 1000) * 1000000};
    if (time < end && pthread_cond_timedwait(&remote->changed, &remote->lock, &until) != ETIMEDOUT)
        return 0;
    fail(remote, ETIMEDOUT);
    return ETIMEDOUT;
}

int remote_file_source(struct disk_file *file, struct remote_source *source)
{
    struct remote_file *remote = to_remote(file);
    uint64_t began = 0;
    int error = 0;
    pthread_mutex_lock(&remote->lock);
    while (!remote->source.size && !error)
        error = wait_for_change(remote, &began);
    if (!error)
        *source = remote->source;
    pthread_mutex_unlock(&remote->lock);
    return error;
}

struct remote_read *remote_file_begin(struct disk_file *file, uint64_t offset, uint32_t length)
{
    struct remote_file *remote = to_remote(file);
    struct remote_read *read = malloc(sizeof(*read) + length);
    if (!read)
        return NULL;
    pthread_mutex_lock(&remote->lock);
    *read = (struct remote_read){.tag = ++remote->last_tag, .offset = offset, .length = length};
    struct remote_read **link = &remote->reads;
    while (*link)
        link = &(*link)->next;
    *link = read;
    send_queued(remote);
    pthread_mutex_unlock(&remote->lock);
    return read;
}

bool remote_file_is_done(struct disk_file *file, const struct remote_read *read)
{
    struct remote_file *remote = to_remote(file);
    pthread_mutex_lock(&remote->lock);
    bool done = read->state == READ_DONE || remote->error;
    pthread_mutex_unlock(&remote->lock);
    return done;
}

int remote_file_wait(struct disk_file *file, const struct remote_read *read)
{
    struct remote_file *remote = to_remote(file);
    uint64_t began = 0;
    int error = 0;
    pthread_mutex_lock(&remote->lock);
    while (read->state != READ_DONE && !error)
        error = wait_for_change(remote, &began);
    pthread_mutex_unlock(&remote->lock);
    return error;
}

const uint8_t *remote_read_bytes(const struct remote_read *read)
{
    return read->bytes;
}

void remote_file_end(struct disk_file *file, struct remote_read *read)
{
    struct remote_file *remote = to_remote(file);
    pthread_mutex_lock(&remote->lock);
    if (read->state == READ_SENT)
        read->abandoned = true; /* loam-fetch still answers */
    else
        drop(remote, read);
    pthread_mutex_unlock(&remote->lock);
}

/* ---- As a file ---- */

/* The window of that number, or the one that was used least recently, in whose place it comes. */
static struct remote_window *find_window(struct remote_file *remote, uint64_t number)
{
    struct remote_window *oldest = remote->windows;
    for (struct remote_window *window = remote->windows; window < remote->windows + REMOTE_WINDOWS; window++) {
        if (window->read && window->number == number)
            return window;
        if (window->used < oldest->used)
            oldest = window;
    }
    if (oldest->read)
        remote_file_end(&remote->file, oldest->read);
    *oldest = (struct remote_window){.number = number};
    return oldest;
}

/* Its read is kept, so that whoever could not wait for it finds it later. */
static ssize_t read_short(struct remote_file *remote, struct disk_cursor *cursor, size_t length, uint64_t offset,
                          uint64_t size)
{
    struct remote_window *window = find_window(remote, offset / REMOTE_WINDOW);
    uint64_t begin = window->number * REMOTE_WINDOW;
    if (!window->read)
        window->read = remote_file_begin(&remote->file, begin,
                                         size - begin < REMOTE_WINDOW ? (uint32_t)(size - begin) : REMOTE_WINDOW);
    if (!window->read)
        return -ENOMEM;
    window->used = ++remote->uses;
    int error = remote_file_wait(&remote->file, window->read);
    if (error)
        return -error;
    if (length > begin + window->read->length - offset)
        length = begin + window->read->length - offset;
    disk_cursor_put(cursor, window->read->bytes + (offset - begin), length);
    return (ssize_t)length;
}

static ssize_t read_long(struct remote_file *remote, struct disk_cursor *cursor, size_t length, uint64_t offset)
{
    struct remote_read *read = remote_file_begin(&remote->file, offset, (uint32_t)length);
    if (!read)
        return -ENOMEM;
    int error = remote_file_wait(&remote->file, read);
    if (!error)
        disk_cursor_put(cursor, read->bytes, length);
    remote_file_end(&remote->file, read);
    return error ? -error : (ssize_t)length;
}

/* As remote_read, but a negative errno for failures. */
static ssize_t read_any(struct remote_file *remote, struct disk_cursor *cursor, size_t length, uint64_t offset)
{
    struct remote_source source;
    int error = remote_file_source(&remote->file, &source);
    if (error)
        return -error;
    if (offset >= source.size || !length)
        return 0;
    if (length > source.size - offset)
        length = source.size - offset;
    if (length < REMOTE_WINDOW)
        return read_short(remote, cursor, length, offset, source.size);
    return read_long(remote, cursor, length < FETCH_READ_MAXIMUM ? length : FETCH_READ_MAXIMUM, offset);
}

static ssize_t remote_read(struct disk_file *file, const struct iovec *vector, int count, uint64_t offset)
{
    struct disk_cursor cursor = {.vector = vector};
    size_t length = 0;
    for (int i = 0; i < count; i++)
        length += vector[i].iov_len;
    ssize_t moved = read_any(to_remote(file), &cursor, length, offset);
    if (moved >= 0)
        return moved;
    errno = (int)-moved;
    return -1;
}

static int refuse(void)
{
    errno = EROFS;
    return -1;
}

static ssize_t remote_write(struct disk_file *file, const struct iovec *vector, int count, uint64_t offset)
{
    (void)file, (void)vector, (void)count, (void)offset;
    return refuse();
}

static int remote_synchronize(struct disk_file *file)
{
    (void)file;
    return refuse();
}

static int remote_truncate(struct disk_file *file, uint64_t size)
{
    (void)file, (void)size;
    return refuse();
}

static int remote_punch(struct disk_file *file, uint64_t offset, uint64_t length)
{
    (void)file, (void)offset, (void)length;
    return refuse();
}

static int remote_size(struct disk_file *file, uint64_t *size)
{
    struct remote_source source;
    errno = remote_file_source(file, &source);
    if (errno)
        return -1;
    *size = source.size;
    return 0;
}

static uint64_t remote_next_data(struct disk_file *file, uint64_t offset)
{
    (void)file;
    return offset;
}

static void release(struct remote_file *remote)
{
    while (remote->reads)
        drop(remote, remote->reads);
    if (remote->next_socket >= 0)
        close(remote->next_socket);
    pthread_cond_destroy(&remote->changed);
    pthread_mutex_destroy(&remote->lock);
    free(remote->file.name);
    free(remote);
}

static void remote_close(struct disk_file *file)
{
    struct remote_file *remote = to_remote(file);
    pthread_mutex_lock(&remote->lock);
    remote->ending = true;
    if (remote->socket >= 0)
        shutdown(remote->socket, SHUT_RDWR);
    pthread_cond_broadcast(&remote->changed);
    pthread_mutex_unlock(&remote->lock);
    pthread_join(remote->thread, NULL);
    release(remote);
}

static const struct disk_file_operations remote_operations = {
    .read = remote_read,
    .write = remote_write,
    .synchronize = remote_synchronize,
    .truncate = remote_truncate,
    .punch = remote_punch,
    .size = remote_size,
    .next_data = remote_next_data,
    .close = remote_close,
};

static void initialize(struct remote_file *remote, int socket, const struct remote_source *source, bool renewed)
{
    pthread_condattr_t attributes;
    remote->file.operations = &remote_operations;
    remote->file.descriptor = -1;
    remote->source = *source;
    remote->renewed = renewed;
    remote->socket = -1;
    remote->next_socket = socket;
    pthread_mutex_init(&remote->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&remote->changed, &attributes);
    pthread_condattr_destroy(&attributes);
}

struct disk_file *remote_file_open(int socket, const struct remote_source *source, bool renewed,
                                   struct disk_error *error)
{
    struct remote_file *remote = calloc(1, sizeof(*remote));
    char *name = strdup(source->url);
    if (!remote || !name) {
        disk_error_set(error, ENOMEM, source->url, "no memory");
        free(remote);
        free(name);
        close(socket);
        return NULL;
    }
    remote->file.name = name;
    initialize(remote, socket, source, renewed);
    int result = pthread_create(&remote->thread, NULL, remote_thread, remote);
    if (!result)
        return &remote->file;
    disk_error_set(error, result, source->url, "no thread for it: %s", strerror(result));
    release(remote);
    return NULL;
}

/* ---- For who watches ---- */

uint64_t remote_file_set_patience(struct disk_file *file, uint64_t milliseconds)
{
    uint64_t before = to_remote(file)->patience;
    to_remote(file)->patience = milliseconds;
    return before;
}

void remote_file_status(struct disk_file *file, char text[FETCH_TEXT_SIZE])
{
    struct remote_wait wait;
    remote_file_look(file, &wait);
    memcpy(text, wait.status, sizeof(wait.status));
}

void remote_file_watch(struct disk_file *file, void (*arrived)(void *context), void *context)
{
    struct remote_file *remote = to_remote(file);
    pthread_mutex_lock(&remote->lock);
    remote->arrived = arrived;
    remote->context = context;
    pthread_mutex_unlock(&remote->lock);
}

void remote_file_request_ended(struct disk_file *file)
{
    struct remote_file *remote = to_remote(file);
    pthread_mutex_lock(&remote->lock);
    remote->waiting_since = 0;
    pthread_mutex_unlock(&remote->lock);
}

void remote_file_look(struct disk_file *file, struct remote_wait *wait)
{
    struct remote_file *remote = to_remote(file);
    pthread_mutex_lock(&remote->lock);
    wait->milliseconds = remote->waiting_since ? now() - remote->waiting_since : 0;
    memcpy(wait->status, remote->status, sizeof(wait->status));
    wait->fetched = remote->fetched;
    pthread_mutex_unlock(&remote->lock);
}

void remote_file_interrupt(struct disk_file *file, bool interrupted)
{
    struct remote_file *remote = to_remote(file);
    pthread_mutex_lock(&remote->lock);
    remote->interrupted = interrupted;
    notify(remote);
    pthread_mutex_unlock(&remote->lock);
}

void remote_file_renew(struct disk_file *file, int socket)
{
    struct remote_file *remote = to_remote(file);
    pthread_mutex_lock(&remote->lock);
    if (remote->next_socket >= 0)
        close(remote->next_socket);
    remote->next_socket = socket;
    if (remote->socket >= 0)
        shutdown(remote->socket, SHUT_RDWR);
    pthread_cond_broadcast(&remote->changed);
    pthread_mutex_unlock(&remote->lock);
}
