/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looking over all entries of a VHDX's BAT: what is in them, and whether each block has a place of its own. */
#ifndef DISK_VHDX_BAT_SCAN_H
#define DISK_VHDX_BAT_SCAN_H

#include "partitions/root/disk/vhdx/metadata.h"

enum vhdx_bat_fault {
    VHDX_BAT_RESERVED,  /* something in the reserved bits */
    VHDX_BAT_STATE,     /* a state that is not defined, or that the image cannot have */
    VHDX_BAT_BEYOND,    /* the file ends before the place, or within what the disk has of it */
    VHDX_BAT_OVERLAP,   /* something else has the place, or a part of it */
    VHDX_BAT_NO_BITMAP, /* the sector bitmap's entry has none, and blocks of its chunk are partially present */
};

struct vhdx_bat_finding {
    enum vhdx_bat_fault fault;
    uint32_t index; /* of the entry */
    uint64_t at;    /* where it stands in the file */
    uint64_t value;
    struct vhdx_entry entry;
    uint64_t needed;  /* of BEYOND: bytes from the place on that the file has to have */
    const char *what; /* of STATE */
};
typedef void vhdx_bat_find(void *context, const struct vhdx_bat_finding *finding);

#define VHDX_BAT_LINE 256u
/* What is wrong, in VHDX_BAT_LINE bytes. */
void vhdx_bat_describe(const struct vhdx_bat_finding *finding, uint64_t file_size, char *line);

/* `file` is the image's as its log has been replayed, file_size in `headers` is its size, and the rest is as it was
 * read from it. */
struct vhdx_bat_scan {
    struct disk_file *file;
    const struct vhdx_headers *headers;
    const struct vhdx_regions *regions;
    const struct vhdx_metadata *metadata;
    vhdx_bat_find *find;
    void *context;
    uint64_t unused; /* MiB of the file, in the end */
};

/*
 * Tells `find` of all that is wrong, in the order of the entries: of an entry RESERVED may come before another fault,
 * and of one that is not RESERVED a place is given to the first that has it. The work is proportional to the BAT, the
 * memory to the file: a bit for each MiB. 0 or an errno.
 */
int vhdx_bat_scan(struct vhdx_bat_scan *scan);

#endif
