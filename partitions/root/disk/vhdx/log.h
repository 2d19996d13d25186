/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writing the log of a VHDX, [MS-VHDX] 2.3. The log is a ring of entries; each names the oldest whose updates may not
 * be in their places yet, its tail, and those from there to the newest are what is replayed after a crash. An entry may
 * be torn, or missing while a later one is there; then the sequence ends before it. So what is overwritten is never
 * more than what the newest entry that is known to be durable leaves out.
 *
 * The log does no synchronizing: the image tells it when the file has been.
 */
#ifndef DISK_VHDX_LOG_H
#define DISK_VHDX_LOG_H

#include "partitions/root/disk/file.h"
#include "partitions/root/disk/vhdx/log_entry.h"

/* Sectors of 4 KiB that one entry can update. */
#define VHDX_LOG_UPDATES VHDX_FIRST_DESCRIPTORS

/* Places in the log are counted on without wrapping; modulo `length` they are bytes from its beginning. */
struct vhdx_log {
    struct disk_file *file;
    uint64_t offset; /* of the log in the file */
    uint32_t length;
    uint8_t guid[VHDX_GUID_SIZE];
    uint64_t sequence;     /* of the next entry */
    uint64_t head;         /* where it goes */
    uint64_t tail;         /* what it names as its tail */
    uint64_t newest_tail;  /* what the newest entry names */
    uint64_t durable_tail; /* what the newest durable one names */
    uint64_t placed;       /* updates of entries before this place are in their places, maybe not durable yet */
};

/* An entry that is being put together. */
struct vhdx_log_entry {
    uint8_t *bytes;
    uint32_t updates;
    uint64_t offset[VHDX_LOG_UPDATES]; /* of each in the file */
};

/* Begins an empty log, of which nothing is written yet. */
void vhdx_log_begin(struct vhdx_log *log, struct disk_file *file, uint64_t offset, uint32_t length,
                    const uint8_t *guid);

/* The next entry is the first of a new log, behind those of the old one, which counts until a header names the new. */
void vhdx_log_renew(struct vhdx_log *log, const uint8_t *guid);

/* An entry for at most `updates` sectors; freed by vhdx_log_write or vhdx_log_entry_free. False without memory. */
bool vhdx_log_entry_begin(struct vhdx_log_entry *entry, uint32_t updates);
void vhdx_log_entry_free(struct vhdx_log_entry *entry);
/* Adds a sector, at a multiple of 4096 bytes of the file; where its contents are to be put. */
uint8_t *vhdx_log_entry_add(struct vhdx_log_entry *entry, uint64_t offset);

/* Whether an entry with so many updates fits, and one without any after it, without overwriting what counts. */
bool vhdx_log_has_room(const struct vhdx_log *log, uint32_t updates);

/*
 * Writes an entry for which there is room. `file_end` is the file's size as it is certain to be after a crash,
 * `used_end` where the last block ends; both are rounded. 0 or an errno; after a failure nothing has happened, though
 * the entry may be in the file: the next one takes its place.
 */
int vhdx_log_write(struct vhdx_log *log, struct vhdx_log_entry *entry, uint64_t file_end, uint64_t used_end);

/* All updates of the entries so far have been written to their places. */
void vhdx_log_placed(struct vhdx_log *log);
/* The file has been synchronized. */
void vhdx_log_synchronized(struct vhdx_log *log);

#endif
