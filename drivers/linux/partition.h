/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A child partition and its file. It lives as long as anyone has its file or one of its VPs' files open, in
 * whatever order they are closed or their owner dies; then partition_destroy() gives everything back without
 * help from user space.
 *
 * Locks, outermost first:
 * - mshv_vp.mutex: what is done to one VP through its file; held while the VP runs.
 * - mshv_partition.mutex: what is done to the partition through its file, but for asserting interrupts.
 *   Never taken together with a VP's.
 * - User memory is touched, so mmap_lock is taken, under both: no mmap handler may take either.
 * - partition_list_lock: the list of partitions; nothing is taken under it.
 * - An eventfd's own lock, then mshv_partition.irqfd_lock; interrupts are off.
 *
 * The routing table is RCU's. mshv_partition.vps[] is written once under the mutex and read by anyone.
 */
#ifndef DRIVER_PARTITION_H
#define DRIVER_PARTITION_H

#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include "hv/loam.h"
#include "uapi/mshv.h"
#include "deposit.h"
#include "hypercall.h"

struct mshv_vp;
struct routing_table;

struct mshv_partition {
    u64 id;
    bool super_pages; /* may be mapped with 2 MiB pages; constant */
    refcount_t references;
    struct list_head node; /* partition_list_lock */

    struct mutex mutex;
    bool initialized;            /* mutex */
    struct call_pages calls;     /* mutex; for slow hypercalls about the whole partition */
    struct list_head regions;    /* mutex; struct memory_region */
    struct list_head ioeventfds; /* mutex; struct ioeventfd */

    struct deposit_pool deposits;
    struct mshv_vp *vps[HV_MAXIMUM_VPS];

    struct routing_table __rcu *routing; /* written under mutex */
    spinlock_t irqfd_lock;
    struct list_head irqfds; /* irqfd_lock; struct irqfd */
};

/*
 * MSHV_CREATE_PARTITION: a new partition's file descriptor, or -EINVAL for flags and fields that the ABI does
 * not know, -EFAULT, -ENOMEM, -ESHUTDOWN while the machine goes down, or the errno of the hypercall.
 */
int partition_create(const struct mshv_create_partition __user *argument);

/* A reference for whoever keeps a pointer beyond the partition's own file. Process context. */
void partition_get(struct mshv_partition *partition);
void partition_put(struct mshv_partition *partition);

/* Lets the named VPs' threads look again whether they can run. Any context. */
void partition_wake(struct mshv_partition *partition, const struct loam_vp_set *vps);
void partition_wake_vp(struct mshv_partition *partition, u32 vp_index);

/*
 * For good, when the machine goes down: no VM is made, nor a VP dispatched, from now on, and whatever runs
 * stops. Waits for that, at most a second. From then on the driver leaves everything to
 * LOAM_HVCALL_RECLAIM_CHILDREN.
 */
void partitions_shut_down(void);
bool partitions_are_shut_down(void);

#endif
