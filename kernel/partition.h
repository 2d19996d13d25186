/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Partitions. */
#ifndef KERNEL_PARTITION_H
#define KERNEL_PARTITION_H

#include "hv/types.h"
#include "hv/hypercall.h"
#include "kernel/lock.h"
#include "kernel/nested_table.h"
#include "kernel/processor_features.h"

struct vp;

#define PARTITION_MAXIMUM 1024u /* slots; slot 0 is the parent */

enum partition_state {
    PARTITION_CREATED,    /* properties, deposits, INITIALIZE */
    PARTITION_ACTIVE,     /* VPs, memory, dispatch */
    PARTITION_FINALIZING, /* being taken apart, in steps of bounded length */
    PARTITION_FINALIZED,  /* only withdrawals and DELETE */
};

/*
 * A child's lives in a page of its own, taken from the parent's deposit at CREATE; everything else of a
 * partition lives in pages deposited to it. `lock` covers all fields that are not constant after creation,
 * except those marked [a], which are atomic; and the nested table's changes.
 */
struct partition {
    uint64_t id;
    uint16_t slot;
    uint8_t state; /* [a] enum partition_state; changed under the lock */
    struct spinlock lock;

    uint64_t creation_flags;
    uint64_t features[PROCESSOR_FEATURE_BANKS]; /* available: the host's and not disabled */
    uint64_t synthetic_features;
    uint64_t unimplemented_msr_action; /* [a] */
    uint64_t apic_eoi_messages;        /* [a] */
    uint64_t frozen_at;                /* [a] TSC at which TIME_FREEZE was set; 0 = time runs */
    uint64_t reference_base;           /* TSC at which the reference time was 0 */

    struct nested_table map; /* the root is there from INITIALIZE to FINALIZE */
    uint64_t map_generation; /* [a] raised by every shoot-down */
    uint64_t mapped_pages;
    uint64_t access_tracking; /* [a] the property's value */

    uint64_t free_page; /* SPA of the first page of the pool, linked through their first 8 bytes; 0 = empty */
    uint64_t free_pages;
    uint64_t deposited_pages; /* in the pool and in use */
    uint64_t returned_pfn;    /* the parent's again, but a withdrawal had no room to say so; 0 = none */

    uint32_t vp_count;
    struct vp **vps; /* [a] a page of the partition: HV_MAXIMUM_VPS pointers; NULL before INITIALIZE */
};

extern struct partition parent_partition;

/* Makes the parent partition; at boot. */
void partition_initialize(void);

/*
 * Finds a partition by id (HV_PARTITION_ID_SELF = the parent) and keeps it from being deleted until
 * partition_put. NULL: no such partition. partition_get_slot: by slot, for those who go through all of them.
 */
struct partition *partition_get(uint64_t id);
struct partition *partition_get_slot(uint16_t slot);
void partition_put(struct partition *partition);

/* The TSC, or what it was when the partition's time was frozen. */
uint64_t partition_now(const struct partition *partition);
/* Reference time of the partition in units of 100 ns (TLFS 12.2). */
uint64_t partition_reference_time(const struct partition *partition);

/* Partitions that exist, the parent included. */
uint32_t partition_count(void);

static inline enum partition_state partition_state(const struct partition *partition)
{
    return __atomic_load_n(&partition->state, __ATOMIC_SEQ_CST);
}

/*
 * One zeroed page of the partition's pool, or NULL; and back (its contents are scrubbed). Under the
 * partition's lock.
 */
void *partition_page_allocate(struct partition *partition);
void partition_page_release(struct partition *partition, void *page);

/*
 * NULL if there is no such VP. The caller holds a reference on the partition; the structure stays what it is
 * as long, even if the VP is deleted meanwhile.
 */
struct vp *partition_vp(struct partition *partition, uint32_t index);

/*
 * Takes a partition apart, as far as *budget (in instructions) goes. False: not done yet; VPs may still have
 * to leave their guests, or other calls to end. The caller holds a reference.
 */
bool partition_finalize_step(struct partition *partition, uint32_t *budget);

/*
 * Frees the slot of a created or finalized partition to which no page belongs any more; the caller's
 * reference goes with it. INVALID_PARTITION_STATE: it is not that far. *busy: others hold references; nothing
 * has changed.
 */
enum hv_status partition_delete(struct partition *partition, bool *busy);

#endif
