/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Mending a damaged VHD. First it is looked over as it would be with what can be mended by itself: a footer or a header
 * of which nothing but the checksum is wrong. Then the rest is mended at a stroke (vhd/rewrite.h): blocks that lie over
 * each other, or beyond the end of the file, get places behind everything that is in the file, and the whole table is
 * written anew. The old table stays where it is, and so do the old places.
 */
#ifndef DISK_VHD_REPAIR_H
#define DISK_VHD_REPAIR_H

#include "partitions/root/disk/overlay_file.h"
#include "partitions/root/disk/repair_backup.h"
#include "partitions/root/disk/vhd/repair_table.h"

struct vhd_repair {
    struct disk_file *file;   /* the caller's */
    struct overlay_file view; /* the file with its checksums right */
    struct vhd_metadata metadata;
    bool hopeless;                 /* the metadata cannot be made out */
    bool renew;                    /* the footers are to be written anew */
    bool header;                   /* the header is, as `metadata` has it */
    struct vhd_repair_table table; /* of a dynamic or differencing image */
    uint64_t tail;                 /* bytes behind everything that is in use */
};

/*
 * Looks the image over and tells what is wrong. False with `error` if that cannot be done; EMEDIUMTYPE if it is no VHD
 * at all. To be freed in either case.
 */
bool vhd_repair_look(struct vhd_repair *repair, struct disk_file *file, struct disk_repair_findings *findings,
                     struct disk_error *error);
void vhd_repair_free(struct vhd_repair *repair);

/* Whether there is anything to be done. */
bool vhd_repair_is_needed(const struct vhd_repair *repair);

/* Visits each part of the file that mending may overwrite or cut off (repair_backup.h); `repair` is a vhd_repair. */
int vhd_repair_overwritten(const void *repair, repair_backup_visit *visit, void *context);

/*
 * Mends what was found, blocks that are lost included. The file must be open for writing, locked, and not hopeless.
 * False with `error`.
 */
bool vhd_repair_mend(struct vhd_repair *repair, const struct disk_progress *progress, struct disk_error *error);

#endif
