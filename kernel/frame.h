/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ownership of RAM: every 4 KiB frame has exactly one recorded owner. Memory-mapped registers and other holes
 * have no record; they belong to the parent and can neither be deposited nor mapped into a child.
 */
#ifndef KERNEL_FRAME_H
#define KERNEL_FRAME_H

#include "hv/types.h"
#include "kernel/boot_memory.h"

enum frame_state {
    FRAME_PARENT,    /* the parent's, possibly mapped into children (maps > 0) */
    FRAME_LOAM,      /* taken by Loam at boot; hidden from the parent for ever */
    FRAME_DEPOSITED, /* in a partition's pool or in use for it; hidden from the parent */
    FRAME_SPLIT,     /* holds the parent's nested table for the 2 MiB region that a deposit split; hidden */
    FRAME_LONE,      /* the same, and nothing else of the region is hidden */
};

/* Changes as a whole, by compare and exchange. State changes other than `maps` are made under parent_map's lock. */
struct frame {
    uint16_t owner; /* DEPOSITED, LONE: partition slot. SPLIT: hidden pages of its region, itself included */
    uint8_t state;  /* enum frame_state */
    uint8_t maps;   /* FRAME_PARENT: uses by children and state pages; see frame_map */
} __attribute__((aligned(4)));
HV_ASSERT_SIZE(struct frame, 4);
#define FRAME_MAPS_MAXIMUM 255u

/* Takes over the list of RAM (see struct memory_range): every frame is the parent's. At most FRAME_MAXIMUM_RANGES. */
#define FRAME_MAXIMUM_RANGES 128u
void frame_initialize(const struct memory_range *ram, unsigned count);

/* NULL if there is no RAM at `pfn`. */
struct frame *frame_find(uint64_t pfn);

/* At this moment the frame is the parent's. */
static inline bool frame_is_parents(const struct frame *frame)
{
    return __atomic_load_n(&frame->state, __ATOMIC_ACQUIRE) == FRAME_PARENT;
}

/*
 * Changes the state of a frame. False, and nothing is changed, if it is not in state `from`, or is in use
 * (maps).
 */
bool frame_change(struct frame *frame, enum frame_state from, enum frame_state to, uint16_t owner);

/*
 * Counts a use of the parent's page: a mapping into a child, a state page, or VP state on its way. As long as
 * it is counted the page stays the parent's. False: the page is not the parent's, or its count is at
 * FRAME_MAPS_MAXIMUM. Atomic; no lock needed.
 */
bool frame_map(uint64_t pfn);
void frame_unmap(uint64_t pfn);
/* The same for the 512 pages from a 2 MiB aligned pfn: all or nothing. */
bool frame_map_large(uint64_t pfn);
void frame_unmap_large(uint64_t pfn);

/* The smallest pfn above all RAM. */
uint64_t frame_end(void);

#endif
