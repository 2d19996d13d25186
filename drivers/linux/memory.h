/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guest memory: the VMM's pages, pinned and mapped at guest physical addresses. */
#ifndef DRIVER_MEMORY_H
#define DRIVER_MEMORY_H

#include "partition.h"
#include "uapi/mshv.h"

/* Physical addresses have at most 52 bits. */
#define GUEST_PFN_END (1ull << (52 - HV_PAGE_SHIFT))

/*
 * MSHV_SET_GUEST_MEMORY: maps a range or, with MSHV_SET_MEM_UNMAP, unmaps exactly the range that was mapped.
 * Pages count towards the caller's RLIMIT_MEMLOCK. All or nothing. -EINVAL: sizes, alignment, flags, no
 * memory at userspace_addr, or not the range that was mapped; -EEXIST: guest addresses in use; -ENOENT:
 * nothing mapped there; -ENOMEM: over the limit or out of memory; -EFAULT: a hole in the range; -EINTR:
 * killed; or the errno of a hypercall. The partition's mutex is held.
 */
int memory_set(struct mshv_partition *partition, const struct mshv_user_mem_region __user *argument);

/* The two halves of the end of all regions, before and after the partition is finalized. */
void memory_unmap_all(struct mshv_partition *partition);
void memory_release_all(struct mshv_partition *partition);

#endif
