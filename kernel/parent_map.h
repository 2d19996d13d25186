/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parent's nested map: the identity over all physical addresses, except that hidden pages (Loam's own and
 * deposited ones) read as zeros: they are mapped read-only to one shared page of zeros.
 *
 * Where the hardware has no memory types of its own for guests, each page has that of the MTRRs, and what has
 * more than one is mapped by smaller pages, for which Loam has PARENT_MAP_TYPE_TABLES tables. Without a
 * table, all of it is uncacheable.
 *
 * RAM is mapped by 2 MiB pages. The first page of a 2 MiB region that is hidden becomes itself the table that
 * the region then needs (FRAME_SPLIT); a region that is hidden altogether needs none again, because all such
 * regions share one table; and when nothing of a region is hidden any more, its large page is restored. So
 * tables cost no memory of Loam's, and every page that came in goes out.
 */
#ifndef KERNEL_PARENT_MAP_H
#define KERNEL_PARENT_MAP_H

#include "hv/types.h"
#include "kernel/boot_memory.h"

#define PARENT_MAP_REGION_PFN_SHIFT 18 /* 1 GiB: what one page directory maps */
#define PARENT_MAP_OWN_RANGES       4u /* most that parent_map_initialize takes */
/* Without 1 GiB pages: page directories for regions without RAM, filled when the parent first touches one. */
#define PARENT_MAP_POOL_PAGES 32u
/*
 * For memory types: the first 2 MiB need one, and each end of a variable range two at most, if it lies in a
 * region without RAM and not at 2 MiB. Ten such ranges are common.
 */
#define PARENT_MAP_TYPE_TABLES 42u
/* Zero page, shared table; directory of the APIC's region and table for parent_map_protect; tables of own ranges. */
#define PARENT_MAP_EXTRA_TABLES (4u + 3u * PARENT_MAP_OWN_RANGES + PARENT_MAP_TYPE_TABLES)

/* Third-level tables: one for each 512 GiB. */
static inline uint64_t parent_map_pointer_tables(unsigned address_bits)
{
    return 1ull << (address_bits > 48 ? 9 : address_bits < 39 ? 0 : address_bits - 39);
}

/*
 * Builds the map from boot memory, after frame_initialize. `ram` as there; `own` are the ranges to hide for
 * ever (any order), whose frames become FRAME_LOAM.
 */
void parent_map_initialize(const struct memory_range *ram, unsigned count, const struct memory_range *own,
                           unsigned own_count, unsigned address_bits, bool has_1g_pages);

/* SPA of the top-level table. */
uint64_t parent_map_root(void);

/*
 * Makes the page of memory-mapped registers at `gpa` read-only (the local APIC's). One page can be protected.
 * False: another one is, or the page lies in RAM or in a region without page directory (other than 0xC0000000
 * to 0xFFFFFFFF only those that hold RAM have one).
 */
bool parent_map_protect(uint64_t gpa);
/* Makes it writable again, if it is not yet. Processors that still find it read-only fault once more. */
void parent_map_unprotect(void);

/*
 * Makes the map follow this processor's MTRRs, if they are enabled and say something new. Returns when no
 * processor uses the old types any more.
 */
void parent_map_load_types(void);

enum parent_map_fault {
    PARENT_MAP_RETRY,     /* the map has or now has what the access needs: run the instruction again */
    PARENT_MAP_HIDDEN,    /* a write to hidden memory: #GP(0); counted */
    PARENT_MAP_PROTECTED, /* a write to the page of parent_map_protect */
    PARENT_MAP_OUTSIDE,   /* beyond the address width */
};

/* What to do about a nested fault of the parent. Waits for a change of the map that is under way. */
enum parent_map_fault parent_map_fault(uint64_t gpa, bool write);

/*
 * Deposits and withdrawals change the map in one session: begin; hide or reveal pages; flush once; then
 * settle every page that was hidden or revealed; end. begin takes the map's lock and end releases it.
 */
void parent_map_begin(void);
void parent_map_end(void);

/*
 * Takes `pfn` from the parent: FRAME_PARENT without uses becomes FRAME_DEPOSITED, owned by `slot`, or
 * FRAME_LONE; then *split is true and settling it costs PARENT_MAP_SPLIT_COST instructions. False: not RAM,
 * not the parent's, in use, or page 0. At most PARENT_MAP_SESSION_PAGES are hidden or revealed in a session.
 */
bool parent_map_hide(uint64_t pfn, uint16_t slot, bool *split);
#define PARENT_MAP_SESSION_PAGES 511u
#define PARENT_MAP_SPLIT_COST    6000u

/*
 * Gives a FRAME_DEPOSITED page, scrubbed, back to the parent, or makes it the table of its region. Returns
 * how many pages will be the parent's again through it after parent_map_settle: 0 to 2.
 */
unsigned parent_map_reveal(uint64_t pfn);

/*
 * The same for a table that a deposit of `slot` became (FRAME_LONE) and that is needed for nothing else;
 * there are parent_map_lone_tables(slot) of them. Looks for one as long as *budget (in instructions) lasts.
 * 0: not found yet.
 */
uint64_t parent_map_reveal_lone(uint16_t slot, uint32_t *budget);
uint32_t parent_map_lone_tables(uint16_t slot);

/* Returns when no processor can use an old translation of the parent's map any more. */
void parent_map_flush(void);

/*
 * After the flush. Hidden: *pages are those that are now the caller's to use, 0 to 2: the page itself unless
 * it became a table, and a table that is not needed any more. Revealed: those that are the parent's again.
 * Returns their number.
 */
unsigned parent_map_settle_hidden(uint64_t pfn, uint16_t slot, uint64_t pages[2]);
unsigned parent_map_settle_revealed(uint64_t pfn, uint64_t pages[2]);

/* Writes to hidden memory so far; deposited pages and tables made of them that are hidden at this moment. */
uint64_t parent_map_hidden_writes(void);
uint64_t parent_map_deposited_pages(void);

#endif
