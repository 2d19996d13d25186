/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stale translations. Whoever changes a nested map calls shoot_down(); when it returns no processor uses what
 * the map said before, neither in a guest nor in the hypervisor's own accesses to guest memory.
 *
 * Each map has a generation, each VP the generation that its processor has flushed for. A processor announces
 * the VP that it is about to run in lp->running before it compares the two for the last time; the one who
 * changes the map raises the generation before it reads lp->running. So either the one sees the new
 * generation or the other sees the VP and waits for it. A VP that leaves its guest and enters it again stays
 * announced: the other's kick stays pending in between and makes it leave once more, and then it flushes.
 */
#ifndef KERNEL_SHOOT_DOWN_H
#define KERNEL_SHOOT_DOWN_H

#include "hv/types.h"

struct partition;
struct vp;

/*
 * Ends the use of old translations of this partition's map on every processor. The caller may hold the
 * partition's lock or the parent map's, which nobody takes between guest_memory_begin and guest_memory_end.
 */
void shoot_down(struct partition *partition);

/* Shoot-downs so far. */
uint64_t shoot_down_count(void);

/*
 * Around the time in which a VP runs, and around accesses of the hypervisor to its memory, one within the
 * other or alone: what the map said at or after the first call stays the VP's until the second, which gets
 * what the first returned, or until the guest is entered. No lock may be taken in between, other than a VP's
 * interrupt lock and the log's.
 */
struct vp *guest_memory_begin(struct vp *vp);
void guest_memory_end(struct vp *before);

/*
 * Called by vendor->run just before it enters the guest, after the last point at which it might not. True:
 * the VP's translations on this processor must be dropped with this entry.
 */
bool shoot_down_entry(struct vp *vp);

#endif
