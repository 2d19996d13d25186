/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A child's nested page table, four levels: guest physical to system physical, in the vendor's entry format.
 * Pages for tables come from the table's owner. Changes are serialised by the partition's lock; processors
 * and the hypervisor's own walks read concurrently, so entries change by single 64-bit stores; and both set accessed
 * and dirty bits in leaves, so that only atomic operations may change a leaf that keeps its page. What a change
 * takes out of use - a mapped page, or a table - is returned to the caller, who may give it back to its owner
 * only after a shoot-down.
 */
#ifndef KERNEL_NESTED_TABLE_H
#define KERNEL_NESTED_TABLE_H

#include "hv/types.h"
#include "hv/status.h"

/* GPAs are 48 bits wide; callers check. */
#define NESTED_ADDRESS_BITS 48
#define NESTED_ENTRIES      512u
/* The address in an entry, whatever its level. */
#define NESTED_ADDRESS_MASK 0x000FFFFFFFFFF000ull

/* A non-present entry that stands for "mapped without access" (HV_MAP_GPA_NO_ACCESS). Bit ignored by both vendors. */
#define NESTED_NO_ACCESS (1ull << 9)

/*
 * A large leaf that is to be executable but must not be (vendor->nested.large_execute): the small leaves that
 * it is split into will be. Bit ignored by both vendors.
 */
#define NESTED_EXECUTE_WHEN_SPLIT (1ull << 11)

struct nested_table {
    uint64_t root; /* SPA of the top level; 0 = none yet */
    /* One zeroed page (its SPA) for a table, 0 if there is none; and its way back. */
    uint64_t (*allocate)(void *owner);
    void (*release)(void *owner, uint64_t spa);
    /* A page of 1 << page_shift bytes is no longer mapped. */
    void (*unmapped)(void *owner, uint64_t spa, unsigned page_shift);
    void *owner;
};

struct nested_translation {
    uint64_t spa;          /* of `gpa` itself, with its offset in the page */
    uint32_t access;       /* HV_MAP_GPA_* permission bits; 0 with no_access */
    bool no_access;        /* mapped without access */
    bool split_to_execute; /* `access` allows it, but only nested_split makes it possible */
    unsigned page_shift;   /* 12, 21, 30 or 39: size of the leaf, or of the hole */
};

/* False: nothing is mapped at `gpa` (translation->page_shift is still filled). Takes no lock. */
bool nested_lookup(const struct nested_table *table, uint64_t gpa, struct nested_translation *translation);

/* What a change replaced: an address with one of the kinds below in its low bits, or 0. */
typedef uint64_t nested_replaced;
#define NESTED_REPLACED_PAGE       1u
#define NESTED_REPLACED_LARGE_PAGE 2u
#define NESTED_REPLACED_TABLE      3u /* with 512 entries, not cleared yet */

/*
 * Maps one page of 1 << page_shift bytes (12 or 21); gpa and spa are aligned to it. Splits a large page if it
 * must. INSUFFICIENT_MEMORY: no page for a table; nothing changed.
 */
enum hv_status nested_map(struct nested_table *table, uint64_t gpa, uint64_t spa, unsigned page_shift, uint32_t access,
                          bool uncached, nested_replaced *replaced);
enum hv_status nested_map_no_access(struct nested_table *table, uint64_t gpa, unsigned page_shift,
                                    nested_replaced *replaced);

/*
 * Unmaps one page of that size; splits a larger one if it must (then it may need a table). `next` is the
 * first GPA behind the hole if there was nothing at all at `gpa`, else gpa plus the page's size.
 */
enum hv_status nested_unmap(struct nested_table *table, uint64_t gpa, unsigned page_shift, nested_replaced *replaced,
                            uint64_t *next);

/*
 * Splits the large page at `gpa` if it has split_to_execute. Its old translation must end before the new one
 * is used. INSUFFICIENT_MEMORY: as above.
 */
enum hv_status nested_split(struct nested_table *table, uint64_t gpa);

/* Of HV_GPA_PAGE_* bits, those to clear and those to set, none in both. */
struct nested_access_change {
    uint8_t clear;
    uint8_t set;
    bool stale; /* becomes true if processors may go on not to set what was cleared until a shoot-down */
};

/*
 * The HV_GPA_PAGE_* bits of *count pages from `gpa` on, and then their change; a large page is split for it and from
 * then on told page by page. *count becomes the number of pages done, which have a table in common. A page that is not
 * mapped has no bits. Where the processor keeps none, all others have both for ever. The table has a root.
 * INSUFFICIENT_MEMORY: no page for a table; *count is 0.
 */
enum hv_status nested_access_states(struct nested_table *table, uint64_t gpa, struct nested_access_change *change,
                                    uint8_t *states, uint32_t *count);

/* The hypervisor has written to the page at `gpa` for the guest. Takes no lock, as nested_lookup. */
void nested_set_dirty(const struct nested_table *table, uint64_t gpa);

/* After the shoot-down: calls unmapped and release for what was replaced. Returns how many pages were unmapped. */
unsigned nested_settle(struct nested_table *table, nested_replaced replaced);

/*
 * Takes the whole table apart, when no processor uses it any more. Stops when *budget (in entries) is used
 * up, with false: call it again.
 */
bool nested_destroy(struct nested_table *table, uint32_t *budget);

#endif
