/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The log that a VHDX was left with: finding and replaying its active sequence, [MS-VHDX] 2.3.2 and 2.3.3. */
#ifndef DISK_VHDX_REPLAY_H
#define DISK_VHDX_REPLAY_H

#include "partitions/root/disk/error.h"
#include "partitions/root/disk/file.h"
#include "partitions/root/disk/vhdx/headers.h"

/* A log is read into memory as a whole, so it may have so many bytes. Hyper-V's and QEMU's have 1 MiB. */
#define VHDX_LARGEST_LOG (64u << 20)
/* No file has structures at or behind this byte, so that a made-up number does not blow one up. */
#define VHDX_END_OF_FILES (128ull << 40)

struct vhdx_replay {
    uint8_t *bytes; /* the log */
    uint32_t length;
    uint32_t first;       /* where the sequence begins in the log */
    uint32_t entries;     /* of the sequence, at least 1 */
    uint64_t flushed_end; /* FlushedFileOffset and LastFileOffset of its last entry */
    uint64_t last_end;
};

/*
 * Reads the log and finds its active sequence. False, with `error`: EUCLEAN if there is none or the file is shorter
 * than it says, EOPNOTSUPP if the log is larger than VHDX_LARGEST_LOG. The work is proportional to the log's length.
 * Free with vhdx_replay_free in either case.
 */
bool vhdx_replay_load(struct vhdx_replay *replay, struct disk_file *file, const struct vhdx_headers *headers,
                      struct disk_error *error);
void vhdx_replay_free(struct vhdx_replay *replay);

/*
 * Calls `visit` for each update of the sequence in its order, until one does not return 0. `bytes` is NULL for zeros,
 * otherwise good as long as the replay, and `length` is 4096 then. Offsets and lengths are multiples of 4096 and end
 * before VHDX_END_OF_FILES; none touches the file's first 192 KiB or the log.
 */
typedef int vhdx_replay_visit(void *context, uint64_t offset, uint64_t length, const uint8_t *bytes);
int vhdx_replay_each(struct vhdx_replay *replay, vhdx_replay_visit *visit, void *context);

/* Makes the updates in the file, which is as long as it has to be afterwards. Not synchronized. 0 or an errno. */
int vhdx_replay_apply(struct vhdx_replay *replay, struct disk_file *file);

#endif
