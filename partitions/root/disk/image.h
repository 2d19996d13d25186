/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One image of a disk: a file in one format. A disk is a chain of images, each the child of the next, the last of which
 * has no parent (disk.h). An image knows where in its file sectors are; the disk reads them from there. Writing is the
 * image's own work, since its file's structures have to stay right whenever the host loses power.
 */
#ifndef DISK_IMAGE_H
#define DISK_IMAGE_H

#include "partitions/root/disk/container.h"
#include "partitions/root/disk/disk.h"
#include "partitions/root/disk/error.h"
#include "partitions/root/disk/file.h"
#include "partitions/root/disk/metadata_cache.h"
#include "partitions/root/disk/open.h"
#include "partitions/root/disk/parent_link.h"

struct disk_image;

enum disk_extent_kind {
    DISK_EXTENT_ABSENT, /* not in this image: the parent has it; zeros if there is none */
    DISK_EXTENT_ZERO,
    DISK_EXTENT_DATA,
    DISK_EXTENT_CUT, /* one sector, of which the file ends within; zeros then */
};

/* Sectors that are alike, and one after the other in the file. */
struct disk_extent {
    enum disk_extent_kind kind;
    uint32_t sectors; /* at least 1 */
    uint64_t offset;  /* of DATA and CUT: byte of the file */
};

/*
 * What a format provides. `sector` and `sectors` are in units of 512 bytes whatever the image's own are, not 0 and
 * within the image; those of write and discard begin and end at multiples of its write_unit, or at its end. 0 or an
 * errno; EIO for what is damaged in the image.
 */
struct disk_image_operations {
    /* What is at `sector`, and how far the same goes, `sectors` at most. */
    int (*map)(struct disk_image *image, uint64_t sector, uint32_t sectors, struct disk_extent *extent);

    /*
     * Writes what the cursor covers, which is exactly the sectors. After a loss of power before the next flush each
     * sector has what it had before or what was written. After a failure the image is as good as it was.
     */
    int (*write)(struct disk_image *image, struct disk_cursor *cursor, uint64_t sector, uint32_t sectors);

    /* Gives space back to the host where that can be done; the sectors read as before or as zeros. NULL: never. */
    int (*discard)(struct disk_image *image, uint64_t sector, uint32_t sectors);

    /* All that was written is durable when it returns 0. */
    int (*flush)(struct disk_image *image);

    /* First sector from `sector` on that may not be ABSENT, or, where that costs nothing, not zeros; the image's size
     * if there is none. */
    uint64_t (*next_present)(struct disk_image *image, uint64_t sector);

    /* What a differencing image says of its parent. False with `error`. NULL: the format has no such images. */
    bool (*read_parent)(struct disk_image *image, struct parent_link *link, struct disk_error *error);

    /*
     * Changes when the parent was last modified, by what a differencing image says: seconds since 1970, 0 for unknown,
     * so that any time will do. Whatever happens, the image says the one or the other. Durable. The image may be
     * read_only if its file is not. NULL: its images say no such thing.
     */
    int (*set_parent_time)(struct disk_image *image, int64_t timestamp);

    /*
     * For formats whose images get another identifier when they are written to; NULL for the others. What a
     * differencing image that is open for writing says of its parent: expect_change chooses an identifier for the
     * parent, which is known by `identifier` so far, and makes either one do; set_parent_identifier makes it this one
     * alone. Durable. take_identifier gives an image, before anything else of it is written, the identifier that was
     * chosen for it. 0 or an errno; whatever happens, it is the old or the new.
     */
    int (*expect_change)(struct disk_image *image, const uint8_t *identifier, uint8_t *next);
    int (*set_parent_identifier)(struct disk_image *image, const uint8_t *identifier);
    int (*take_identifier)(struct disk_image *image, const uint8_t *identifier);

    /* Puts the file in order unless it is read_only, and frees everything but the file. */
    int (*close)(struct disk_image *image);
};

struct disk_image {
    const struct disk_image_operations *operations;
    struct disk_file *file;
    struct metadata_cache *cache; /* the disk's, shared with the other images of its chain */
    enum disk_container container;
    enum disk_format format;
    bool differencing; /* has a parent */
    bool read_only;
    uint64_t sectors;
    uint64_t changes;                     /* so often what map says has changed */
    uint32_t write_unit;                  /* sectors: 1, or 8 if the image's own sectors have 4 KiB */
    uint32_t block_size;                  /* bytes; 0: no blocks */
    struct disk_geometry geometry;        /* as an ATA disk has it */
    struct disk_geometry footer_geometry; /* as a VHD's footer has it */
    uint8_t identifier[16]; /* by which children know it; of a VHDX it changes with each opening for writing */
};

#endif
