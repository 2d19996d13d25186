/* SPDX-License-Identifier: GPL-2.0-or-later */
/* That a change of an image is made as a whole or not at all, whenever the power fails. */
#ifndef TESTS_DISK_CHANGE_H
#define TESTS_DISK_CHANGE_H

#include "partitions/root/disk/parent_link.h"
#include "partitions/root/disk/vhd/metadata.h"
#include "tests/unit/memory_file.h"

/* What an image is to those who use it. */
struct disk_state {
    bool usable; /* it can be opened and read; false: nothing else of it counts */
    uint64_t sectors;
    uint8_t *bytes;           /* of the disk */
    struct vhd_footer footer; /* of a VHD */
    uint8_t header[VHD_HEADER_SIZE];
    uint8_t identifier[16];   /* of a VHDX */
    struct parent_link *link; /* of a differencing VHDX */
};

/* `parent` is NULL, or the file of the parent of a differencing image. `flags` are those of disk_open. To be released.
 */
struct disk_state disk_state_capture(struct memory_file *memory, struct memory_file *parent, unsigned flags);
void disk_state_release(struct disk_state *state);
bool disk_state_equal(const struct disk_state *a, const struct disk_state *b);

struct disk_change {
    /* Changes the image, which has to succeed. */
    void (*make)(void *context, struct disk_file *file);
    void *context;
    struct memory_file *parent;
    unsigned flags;
    bool any_header;     /* the old header may stand with what is new in everything else */
    bool any_identifier; /* and so may the identifiers */
    bool again;          /* opening does not put what is old in order: it is changed once more instead */

    /* For disk_change_fail: the same, which may fail. False if it has. */
    bool (*attempt)(void *context, struct disk_file *file);
};

/*
 * Makes the change, and plays all power failures while it is made: each leaves the old or the new image, which is sound
 * when it has been opened for writing once, and holds the same then; or, where the old one cannot be used, becomes the
 * new one when it is changed once more. `memory` has the new
 * image at the end. Returns how many failures were played.
 */
uint64_t disk_change_play(const struct disk_change *change, struct memory_file *memory);

/*
 * Attempts the change with a failure of each call that changes the file, and of all from each on: it leaves the old or
 * the new image, as above, and the new one if it says that it has succeeded. `memory` stays as it is. Returns how many
 * failures there were.
 */
uint64_t disk_change_fail(const struct disk_change *change, struct memory_file *memory, int error);

/* Fails if a check of the image finds an error, or a warning. */
void disk_change_expect_sound(struct memory_file *memory);

#endif
