/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Mending a damaged VHDX: a header or a region table from the other copy, a log that was left or is damaged, entries of
 * the BAT, a file that was cut off. Of metadata, of which there is no second copy, reserved fields become zeros.
 *
 * First a file that is too short is made longer, a log that cannot be replayed is taken out of use, and reserved fields
 * become zeros, each of which is harmless by itself. Then the image is opened as ever, which replays a sound log, and
 * all entries of the BAT and the region table go through the log.
 */
#ifndef DISK_VHDX_REPAIR_H
#define DISK_VHDX_REPAIR_H

#include "partitions/root/disk/overlay_file.h"
#include "partitions/root/disk/repair_backup.h"
#include "partitions/root/disk/repair_finding.h"
#include "partitions/root/disk/vhdx/commit.h"
#include "partitions/root/disk/vhdx/regions.h"

struct vhdx_repair {
    struct disk_file *file;      /* the caller's */
    struct disk_file *view;      /* the file as it is when its log has been replayed; `file` if that is nothing */
    uint64_t file_size;          /* of `file` */
    bool hopeless;               /* it cannot be mended */
    bool has_log;                /* which is to be replayed, */
    bool drops_log;              /* or cannot be */
    bool renews_headers;         /* one is damaged */
    bool renews_regions;         /* one table is damaged, or they differ */
    bool loses;                  /* the disk holds something else afterwards */
    uint64_t needed_size;        /* of the file; 0: it is long enough */
    uint64_t used_end;           /* nothing that is in use lies behind this byte */
    struct overlay_file mended;  /* the file with the metadata's reserved fields zeros; no patches: they are */
    struct vhdx_headers headers; /* file_size is that of `view` */
    struct vhdx_regions regions;
    struct vhdx_metadata metadata;
    struct vhdx_change *changes; /* of entries; of two of one entry the later counts */
    size_t change_count, change_room;
    int error; /* an errno: there was no memory for a change, or no entry could be read */
    struct disk_repair_findings *findings;
};

/*
 * Looks the image over and tells what is wrong. False with `error` if that cannot be done. To be freed in either case.
 * `repair` is large, and none for the stack.
 */
bool vhdx_repair_look(struct vhdx_repair *repair, struct disk_file *file, struct disk_repair_findings *findings,
                      struct disk_error *error);
void vhdx_repair_free(struct vhdx_repair *repair);

/* Whether there is anything to be done. */
bool vhdx_repair_is_needed(const struct vhdx_repair *repair);

/* Visits each part of the file that mending may overwrite or cut off (repair_backup.h); `repair` is a vhdx_repair. */
int vhdx_repair_overwritten(const void *repair, repair_backup_visit *visit, void *context);

/*
 * Mends what was found, blocks that are lost included. The file must be open for writing, locked, and not hopeless.
 * Whenever it is interrupted, the image is no worse, and it can be done again. False with `error`.
 */
bool vhdx_repair_mend(struct vhdx_repair *repair, struct disk_error *error);

#endif
