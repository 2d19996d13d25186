/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file beneath a disk image: a handful of operations on bytes, so that tests can put a recording or a
 * failing file in the place of a real one. Not thread-safe: one user at a time.
 */
#ifndef DISK_FILE_H
#define DISK_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "partitions/root/disk/cursor.h"

struct disk_file;
struct disk_transfers;

/* Each as the system call of its kind: -1 and errno on failure, short transfers allowed. */
struct disk_file_operations {
    ssize_t (*read)(struct disk_file *file, const struct iovec *vector, int count, uint64_t offset);
    ssize_t (*write)(struct disk_file *file, const struct iovec *vector, int count, uint64_t offset);
    int (*synchronize)(struct disk_file *file); /* data and size are on stable storage when it returns */
    int (*truncate)(struct disk_file *file, uint64_t size);
    /* The range has no space any more and reads as zeros; the size stays. EOPNOTSUPP where the host cannot do that. */
    int (*punch)(struct disk_file *file, uint64_t offset, uint64_t length);
    int (*size)(struct disk_file *file, uint64_t *size);
    /* First offset from `offset` on that may hold something other than zeros; UINT64_MAX if there is none. */
    uint64_t (*next_data)(struct disk_file *file, uint64_t offset);
    void (*close)(struct disk_file *file);
};

struct disk_file {
    const struct disk_file_operations *operations;
    char *name;                       /* for messages */
    int descriptor;                   /* -1 for a file that is none of the system's */
    bool dirty;                       /* written since the last synchronization */
    bool failed;                      /* a synchronization failed; see disk_file_synchronize */
    bool deferred;                    /* see disk_file_defer */
    struct disk_transfers *transfers; /* NULL: data is read when it is asked for; the thread's that uses the file */
};

/* Wraps a descriptor, which belongs to the file from then on. NULL if there is no memory; the descriptor is
 * closed. */
struct disk_file *disk_file_wrap(int descriptor, const char *name);
void disk_file_close(struct disk_file *file);

/*
 * Move exactly `length` bytes between the cursor, which must have that many left and is moved on, and the file. 0 or an
 * errno; EIO if the file ends too early. After an error the cursor's place is undefined. With `transfers` reads only
 * begin, and are under way together until disk_file_finish, which tells their errors. Writes are done when it returns:
 * they go to the page cache, in which a file takes one at a time anyway, and in the order that crashes are proof
 * against.
 */
int disk_file_read(struct disk_file *file, struct disk_cursor *cursor, uint64_t length, uint64_t offset);
int disk_file_write(struct disk_file *file, struct disk_cursor *cursor, uint64_t length, uint64_t offset);

/* The end of a request, in any case. `error` if it is not 0, otherwise that of its reads. */
int disk_file_finish(struct disk_file *file, int error);

/* Done when they return. */
int disk_file_read_buffer(struct disk_file *file, void *buffer, size_t length, uint64_t offset);
/* Zeros behind the file's end. */
int disk_file_read_padded(struct disk_file *file, void *buffer, size_t length, uint64_t offset);
int disk_file_write_buffer(struct disk_file *file, const void *buffer, size_t length, uint64_t offset);
int disk_file_truncate(struct disk_file *file, uint64_t size);
int disk_file_punch(struct disk_file *file, uint64_t offset, uint64_t length);
int disk_file_size(struct disk_file *file, uint64_t *size);
/*
 * Lets the first `length` bytes of `file` share the space of those of `from`, which costs neither time nor space. 0, or
 * EOPNOTSUPP where the file system cannot do that for these files, and nothing is changed then.
 */
int disk_file_share(struct disk_file *file, const struct disk_file *from, uint64_t length);
/* Whether the path leads to this very file. */
bool disk_file_is_at(const struct disk_file *file, const char *path);
/* When the file's contents were changed last, seconds since 1970; -1 if that is not known. */
int64_t disk_file_modified(const struct disk_file *file);

/*
 * Everything written so far is durable when this returns 0; free of cost if nothing was written. After a
 * failure the kernel has dropped pages without keeping them dirty, so a later success would promise what is
 * lost: from then on this and every change of the file fail with EIO.
 */
int disk_file_synchronize(struct disk_file *file);

/* For a file that is built under a temporary name: synchronizations wait for the one at its end, by its
 * maker. */
void disk_file_defer(struct disk_file *file);

#endif
