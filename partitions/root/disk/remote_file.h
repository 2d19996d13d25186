/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file that is at a URL, for reading only: a disk_file over the socket of a loam-fetch (fetch/protocol.h), so that an
 * image behind a URL is opened as any other. Nothing that comes from the socket is trusted. What is no answer to what
 * was asked for makes every read fail with EIO from then on, and the socket is closed.
 *
 * A thread of the file takes in what comes. The functions are for the thread that uses the file, unless they say that
 * any may call them. Short reads fetch a window of REMOTE_WINDOW bytes around them, of which a few are kept, so that
 * metadata do not cost a round trip for each sector.
 */
#ifndef DISK_REMOTE_FILE_H
#define DISK_REMOTE_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "partitions/root/disk/error.h"
#include "partitions/root/disk/file.h"
#include "partitions/root/disk/remote_source.h"

#define REMOTE_WINDOW  (64u << 10) /* bytes */
#define REMOTE_WINDOWS 8u

struct remote_read;

/* What is waited for, and why. */
struct remote_wait {
    uint64_t milliseconds;        /* since a read of the request under way began to wait; 0: none waits */
    char status[FETCH_TEXT_SIZE]; /* why there is no answer, as loam-fetch says; empty: it has not said */
    uint64_t fetched;             /* bytes that came, since the file was opened */
};

/*
 * The file of a source whose loam-fetch has the other end of `socket`, which belongs to the file from then on. It waits
 * for nothing if the source's size is known; size 0: size and validator are what loam-fetch says first. What loam-fetch
 * finds must be as the source says. With `renewed` another loam-fetch takes the place of one that ends or refuses
 * (remote_file_renew), and reads wait for it; otherwise they fail. NULL with `error`.
 */
struct disk_file *remote_file_open(int socket, const struct remote_source *source, bool renewed,
                                   struct disk_error *error);

bool disk_file_is_remote(const struct disk_file *file);

/* Waits until loam-fetch has found the source, and tells what it found. 0 or an errno. */
int remote_file_source(struct disk_file *file, struct remote_source *source);

/*
 * Reads fail with ETIMEDOUT when they have waited so many milliseconds, and then the file is of no more use. 0: they
 * wait for ever, as at first. REMOTE_NO_PATIENCE: short ones (see above) fail with EAGAIN instead of waiting, and are
 * under way for when they are tried again. Returns what was set before.
 */
#define REMOTE_NO_PATIENCE UINT64_MAX
uint64_t remote_file_set_patience(struct disk_file *file, uint64_t milliseconds);

/* Why the last read failed, or is waiting: loam-fetch's words, or what was wrong with them. Any thread may call it. */
void remote_file_status(struct disk_file *file, char text[FETCH_TEXT_SIZE]);

/*
 * Reads that are under way while the thread does something else. `length` is at most FETCH_READ_MAXIMUM, and within the
 * file. NULL: no memory. Those beyond FETCH_REQUESTS_MAXIMUM wait for their turn.
 */
struct remote_read *remote_file_begin(struct disk_file *file, uint64_t offset, uint32_t length);
/* Whether waiting for it would not wait. */
bool remote_file_is_done(struct disk_file *file, const struct remote_read *read);
/* 0 or an errno; ECANCELED: interrupted, and it is still under way. */
int remote_file_wait(struct disk_file *file, const struct remote_read *read);
/* Of a read that is done. */
const uint8_t *remote_read_bytes(const struct remote_read *read);
/* Ends a read, done or not. */
void remote_file_end(struct disk_file *file, struct remote_read *read);

/* `arrived` is called whenever waiting may have come to an end, on another thread, which must not call back. */
void remote_file_watch(struct disk_file *file, void (*arrived)(void *context), void *context);

/* The request is at its end: what waits next has not waited yet. */
void remote_file_request_ended(struct disk_file *file);

/* How long the request under way has waited. Any thread may call it. */
void remote_file_look(struct disk_file *file, struct remote_wait *wait);

/* While `interrupted`, no read waits: they fail with ECANCELED. Any thread may call it. */
void remote_file_interrupt(struct disk_file *file, bool interrupted);

/* Puts another loam-fetch in the place of the one before, and asks it for what is under way; `socket` is the file's in
 * any case. Any thread may call it. */
void remote_file_renew(struct disk_file *file, int socket);

#endif
