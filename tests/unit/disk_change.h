/* SPDX-License-Identifier: GPL-2.0-or-later */
/* That a change of an image is made as a whole or not at all, whenever the power fails. */
#ifndef TESTS_DISK_CHANGE_H
#define TESTS_DISK_CHANGE_H

#include "partitions/root/disk/vhd/metadata.h"
#include "tests/unit/memory_file.h"

/* What an image is to those who use it. */
struct disk_state {
    bool usable; /* it can be opened and read; false: nothing else of it counts */
    uint64_t sectors;
    uint8_t *bytes; /* of the disk */
    struct vhd_footer footer;
    uint8_t header[VHD_HEADER_SIZE];
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
    bool any_header; /* the old header may stand with what is new in everything else */
};

/*
 * Makes the change, and plays all power failures while it is made: each leaves the old or the new image, which is sound
 * when it has been opened for writing once, and holds the same then; or, where the old one cannot be used, becomes the
 * new one when it is changed once more. `memory` has the new
 * image at the end. Returns how many failures were played.
 */
uint64_t disk_change_play(const struct disk_change *change, struct memory_file *memory);

/* Fails if a check of the image finds an error, or a warning. */
void disk_change_expect_sound(struct memory_file *memory);

#endif
