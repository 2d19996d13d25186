/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Things of a VHDX that are in each other's way: stretches that lie over each other, GUIDs that are the same. */
#ifndef DISK_VHDX_CONFLICT_H
#define DISK_VHDX_CONFLICT_H

#include <stdbool.h>
#include <stdint.h>

#include "partitions/root/disk/vhdx/vhdx.h"

/* `offset` + `length` do not overflow. `index` is the caller's. */
struct vhdx_stretch {
    uint64_t offset;
    uint64_t length;
    uint32_t index;
};

struct vhdx_key {
    uint8_t guid[VHDX_GUID_SIZE];
    uint32_t kind; /* keys of different kinds are never the same */
    uint32_t index;
};

/* Sort them, and tell of the first two that are in conflict, the index of the later one in the file in *second. */
bool vhdx_find_overlap(struct vhdx_stretch *stretches, uint32_t count, uint32_t *first, uint32_t *second);
bool vhdx_find_duplicate(struct vhdx_key *keys, uint32_t count, uint32_t *first, uint32_t *second);

#endif
