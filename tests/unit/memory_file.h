/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A file in memory for tests of the disk engine: it keeps a log of its changes, and fails when it is told to.
 */
#ifndef TESTS_MEMORY_FILE_H
#define TESTS_MEMORY_FILE_H

#include "partitions/root/disk/file.h"

enum memory_change_kind { MEMORY_WRITE, MEMORY_TRUNCATE, MEMORY_SYNCHRONIZE };

struct memory_change {
    enum memory_change_kind kind;
    uint64_t offset; /* or the new size */
    size_t length;
    uint8_t *bytes; /* the log's copy */
};

struct memory_file {
    struct disk_file file; /* first */
    uint8_t *bytes;
    size_t size, capacity;

    struct memory_change *log; /* if `logging` */
    size_t log_count, log_capacity;
    bool logging;

    size_t limit;   /* the file cannot grow beyond this: ENOSPC; 0 for none */
    size_t changes; /* writes, truncations and synchronizations so far, failed ones included */
    size_t fail_at; /* the change of this number fails, and the `fail_count - 1` after it; counted from 1, 0:
                       none */
    size_t fail_count;
    int fail_error;
    bool fail_reads;      /* every read fails with EIO */
    bool short_transfers; /* no transfer moves more than 700 bytes */
    size_t reads;
};

void memory_file_initialize(struct memory_file *memory);
void memory_file_release(struct memory_file *memory);
/* Forgets the log and the faults. */
void memory_file_reset(struct memory_file *memory);
/* What is new reads as zeros. */
void memory_file_resize(struct memory_file *memory, size_t size);
/* Resets, and makes the content `bytes`, which are not the file's own. */
void memory_file_set(struct memory_file *memory, const uint8_t *bytes, size_t size);

/* Applies a change, or the part of a write from `skip` on that is `length` long, to the content, without a
 * log. */
void memory_file_apply(struct memory_file *memory, const struct memory_change *change, size_t skip,
                       size_t length);

#endif
