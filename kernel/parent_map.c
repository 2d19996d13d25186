/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "kernel/arch.h"
#include "kernel/frame.h"
#include "kernel/lock.h"
#include "kernel/log.h"
#include "kernel/nested_table.h"
#include "kernel/parent_map.h"
#include "kernel/partition.h"
#include "kernel/shoot_down.h"

#define REGION_PAGES (1ull << PARENT_MAP_REGION_PFN_SHIFT)
#define ACCESS_ALL   (HV_MAP_GPA_READABLE | HV_MAP_GPA_WRITABLE | HV_MAP_GPA_EXECUTABLE)
/* Executable too: an instruction fetch from hidden memory sees zeros as any other access does. */
#define ACCESS_HIDDEN (HV_MAP_GPA_READABLE | HV_MAP_GPA_EXECUTABLE)
#define APIC_REGION   3u /* 0xC0000000 to 0xFFFFFFFF */
/*
 * A directory's entry during a session: not present, so that the parent faults and waits, with the address of
 * the page that is to become the region's table or has been it.
 */
#define PENDING (1ull << 10)
/* About what a look at one 2 MiB region costs, in instructions. */
#define SEARCH_COST 40u

/* Held for a whole session; processors that wait for it serve kicks. Everything below is under it once built.
 */
static struct spinlock map_lock;

static uint64_t root;
static unsigned width; /* address bits */
static uint64_t zero_page;
static uint64_t shared_table; /* all entries hidden */

static uint64_t protect_table;
static uint64_t protected_gpa; /* 0 = none */

static bool filled_on_demand; /* no 1 GiB pages */
static uint64_t pool[PARENT_MAP_POOL_PAGES];
static uint64_t *pool_user[PARENT_MAP_POOL_PAGES]; /* the entry that points to the directory; NULL = free */
static unsigned pool_next;

static uint64_t hidden_writes; /* atomic */
static uint64_t deposited_pages;
/* FRAME_LONE pages of each partition, and where the search for one goes on. */
static uint16_t lone_tables[PARTITION_MAXIMUM];
static uint64_t lone_cursor;

static uint64_t *table_at(uint64_t entry)
{
    return physical_pointer(entry & NESTED_ADDRESS_MASK);
}

static void set_entry(uint64_t *entry, uint64_t value)
{
    __atomic_store_n(entry, value, __ATOMIC_RELEASE);
}

static uint64_t identity_entry(uint64_t pfn, bool large)
{
    return vendor->nested.leaf(pfn << HV_PAGE_SHIFT, ACCESS_ALL, large, false);
}

static uint64_t hidden_entry(void)
{
    return vendor->nested.leaf(zero_page, ACCESS_HIDDEN, false, false);
}

static uint64_t table_allocate(void)
{
    return boot_allocate(1);
}

/* The entry for the 1 GiB region of `pfn`. */
static uint64_t *region_entry(uint64_t pfn)
{
    uint64_t *top = physical_pointer(root);

    return &table_at(top[pfn >> 27])[(pfn >> PARENT_MAP_REGION_PFN_SHIFT) % NESTED_ENTRIES];
}

/* The entry for the 2 MiB of `pfn`, NULL if its region has no directory. */
static uint64_t *directory_entry(uint64_t pfn)
{
    uint64_t region = *region_entry(pfn);

    if (!region || (region & vendor->nested.large))
        return NULL;
    return &table_at(region)[(pfn / NESTED_ENTRIES) % NESTED_ENTRIES];
}

static void fill_directory(uint64_t spa, uint64_t pfn)
{
    uint64_t *directory = physical_pointer(spa);

    pfn &= ~(REGION_PAGES - 1);
    for (unsigned i = 0; i < NESTED_ENTRIES; i++)
        directory[i] = identity_entry(pfn + (uint64_t)i * HV_PAGES_PER_LARGE_PAGE, true);
}

static void ensure_directory(uint64_t pfn)
{
    uint64_t spa;

    if (directory_entry(pfn))
        return;
    spa = table_allocate();
    fill_directory(spa, pfn);
    *region_entry(pfn) = vendor->nested.table(spa);
}

static void ensure_directories(const struct memory_range *range)
{
    uint64_t last = range->first_pfn + range->count - 1;

    for (uint64_t pfn = range->first_pfn & ~(REGION_PAGES - 1); pfn <= last; pfn += REGION_PAGES)
        ensure_directory(pfn);
}

/* Writes the table of the 2 MiB around `pfn` by what the frames say. */
static void fill_table(uint64_t spa, uint64_t pfn)
{
    uint64_t *table = physical_pointer(spa);
    uint64_t hidden = hidden_entry(), identity;
    const struct frame *first;

    pfn &= ~(uint64_t)(HV_PAGES_PER_LARGE_PAGE - 1);
    identity = identity_entry(pfn, false);
    first = frame_find(pfn);
    /* The frames of a range stand side by side. */
    if (!first || frame_find(pfn + NESTED_ENTRIES - 1) != first + NESTED_ENTRIES - 1)
        first = NULL;
    for (unsigned i = 0; i < NESTED_ENTRIES; i++) {
        const struct frame *frame = first ? &first[i] : frame_find(pfn + i);

        table[i] = !frame || frame->state == FRAME_PARENT ? identity + (uint64_t)i * HV_PAGE_SIZE : hidden;
    }
}

static bool is_large_page(const struct memory_range *range, uint64_t pfn)
{
    return pfn % HV_PAGES_PER_LARGE_PAGE == 0 && pfn >= range->first_pfn &&
           pfn + HV_PAGES_PER_LARGE_PAGE <= range->first_pfn + range->count;
}

/* Hides a range of Loam's own for ever. */
static void hide_own(const struct memory_range *range)
{
    uint64_t end = range->first_pfn + range->count;

    for (uint64_t pfn = range->first_pfn; pfn < end; pfn++) {
        struct frame *frame = frame_find(pfn);
        bool taken = !frame || frame_change(frame, FRAME_PARENT, FRAME_LOAM, 0);

        ASSERT(taken);
    }
    for (uint64_t pfn = range->first_pfn; pfn < end;) {
        uint64_t *entry = directory_entry(pfn);

        if (is_large_page(range, pfn)) {
            *entry = vendor->nested.table(shared_table);
            pfn += HV_PAGES_PER_LARGE_PAGE;
            continue;
        }
        if (*entry & vendor->nested.large) {
            uint64_t spa = table_allocate();

            fill_table(spa, pfn);
            *entry = vendor->nested.table(spa);
        }
        table_at(*entry)[pfn % NESTED_ENTRIES] = hidden_entry();
        pfn++;
    }
}

void parent_map_initialize(const struct memory_range *ram, unsigned count, const struct memory_range *own,
                           unsigned own_count, unsigned address_bits, bool has_1g_pages)
{
    uint64_t pointer_tables = parent_map_pointer_tables(address_bits);
    uint64_t *top;

    ASSERT(own_count <= PARENT_MAP_OWN_RANGES);
    protected_gpa = 0;
    pool_next = 0;
    hidden_writes = 0;
    deposited_pages = 0;
    memset(lone_tables, 0, sizeof(lone_tables));
    lone_cursor = 0;
    width = address_bits > 48 ? 48 : address_bits;
    filled_on_demand = !has_1g_pages;
    zero_page = table_allocate();
    shared_table = table_allocate();
    for (unsigned i = 0; i < NESTED_ENTRIES; i++)
        table_at(shared_table)[i] = hidden_entry();

    root = table_allocate();
    top = physical_pointer(root);
    for (uint64_t i = 0; i < pointer_tables; i++) {
        uint64_t spa = table_allocate();
        uint64_t *table = physical_pointer(spa);

        for (unsigned j = 0; has_1g_pages && j < NESTED_ENTRIES; j++)
            table[j] = identity_entry((i * NESTED_ENTRIES + j) * REGION_PAGES, true);
        top[i] = vendor->nested.table(spa);
    }

    for (unsigned i = 0; i < PARENT_MAP_POOL_PAGES; i++) {
        pool[i] = filled_on_demand ? table_allocate() : 0;
        pool_user[i] = NULL;
    }
    for (unsigned i = 0; i < count; i++)
        ensure_directories(&ram[i]);
    ensure_directory(APIC_REGION * REGION_PAGES);
    for (unsigned i = 0; i < own_count; i++) {
        ensure_directories(&own[i]);
        hide_own(&own[i]);
    }
    protect_table = table_allocate();
}

uint64_t parent_map_root(void)
{
    return root;
}

uint64_t parent_map_hidden_writes(void)
{
    return __atomic_load_n(&hidden_writes, __ATOMIC_RELAXED);
}

uint64_t parent_map_deposited_pages(void)
{
    return __atomic_load_n(&deposited_pages, __ATOMIC_RELAXED);
}

void parent_map_flush(void)
{
    shoot_down(&parent_partition);
}

static bool has_ram(uint64_t pfn)
{
    pfn &= ~(uint64_t)(HV_PAGES_PER_LARGE_PAGE - 1);
    for (unsigned i = 0; i < HV_PAGES_PER_LARGE_PAGE; i++)
        if (frame_find(pfn + i))
            return true;
    return false;
}

bool parent_map_protect(uint64_t gpa)
{
    uint64_t pfn = gpa >> HV_PAGE_SHIFT;
    uint64_t *entry;
    bool possible;

    if (gpa >> width)
        return false;
    lock_acquire(&map_lock);
    entry = directory_entry(pfn);
    possible = protected_gpa == 0 && entry && (*entry & vendor->nested.large) && !has_ram(pfn);
    if (possible) {
        fill_table(protect_table, pfn);
        table_at(protect_table)[pfn % NESTED_ENTRIES] =
            vendor->nested.leaf(pfn << HV_PAGE_SHIFT, ACCESS_HIDDEN, false, false);
        set_entry(entry, vendor->nested.table(protect_table));
        protected_gpa = pfn << HV_PAGE_SHIFT;
        parent_map_flush();
    }
    lock_release(&map_lock);
    return possible;
}

/* Gives the region of `pfn` a directory of the pool, the one that was filled longest ago if none is free. */
static void fill_on_demand(uint64_t pfn)
{
    unsigned slot = pool_next++ % PARENT_MAP_POOL_PAGES;

    if (pool_user[slot]) {
        set_entry(pool_user[slot], 0);
        parent_map_flush();
    }
    fill_directory(pool[slot], pfn);
    pool_user[slot] = region_entry(pfn);
    set_entry(pool_user[slot], vendor->nested.table(pool[slot]));
}

static enum parent_map_fault classify_fault(uint64_t pfn, bool write)
{
    uint64_t region = *region_entry(pfn);
    uint64_t entry;

    if (!region) {
        fill_on_demand(pfn);
        return PARENT_MAP_RETRY;
    }
    if (region & vendor->nested.large)
        return PARENT_MAP_RETRY;
    entry = *directory_entry(pfn);
    if (entry & vendor->nested.large)
        return PARENT_MAP_RETRY;
    entry = table_at(entry)[pfn % NESTED_ENTRIES];
    if (!write || (vendor->nested.access(entry) & HV_MAP_GPA_WRITABLE))
        return PARENT_MAP_RETRY;
    if (protected_gpa == pfn << HV_PAGE_SHIFT && protected_gpa != 0)
        return PARENT_MAP_PROTECTED;
    __atomic_fetch_add(&hidden_writes, 1, __ATOMIC_RELAXED);
    return PARENT_MAP_HIDDEN;
}

enum parent_map_fault parent_map_fault(uint64_t gpa, bool write)
{
    enum parent_map_fault result;

    if (gpa >> width)
        return PARENT_MAP_OUTSIDE;
    lock_acquire(&map_lock);
    result = classify_fault(gpa >> HV_PAGE_SHIFT, write);
    lock_release(&map_lock);
    return result;
}

void parent_map_begin(void)
{
    lock_acquire(&map_lock);
}

void parent_map_end(void)
{
    lock_release(&map_lock);
}

static struct frame *table_frame(uint64_t entry)
{
    return frame_find((entry & NESTED_ADDRESS_MASK) >> HV_PAGE_SHIFT);
}

/* The frames of tables change only under the map's lock. */
static void set_table_frame(struct frame *table, enum frame_state state, unsigned owner)
{
    struct frame new = {(uint16_t)owner, state, 0};

    __atomic_store(table, &new, __ATOMIC_RELAXED);
}

/* One more page of the region is hidden. Returns how many; 0: its table is one of Loam's own and stays for
 * ever. */
static unsigned count_hidden(struct frame *table)
{
    unsigned count = 0;

    if (table && table->state == FRAME_LONE) {
        __atomic_store_n(&lone_tables[table->owner], lone_tables[table->owner] - 1, __ATOMIC_RELAXED);
        count = 2;
    } else if (table && table->state == FRAME_SPLIT) {
        count = table->owner + 1u;
    }
    if (count)
        set_table_frame(table, FRAME_SPLIT, count);
    return count;
}

bool parent_map_hide(uint64_t pfn, uint16_t slot, bool *split)
{
    struct frame *frame = frame_find(pfn);
    uint64_t *entry, old;

    *split = false;
    /* Page 0 stays the parent's: pools and tables know its address as "none". */
    if (pfn == 0 || !frame || !frame_change(frame, FRAME_PARENT, FRAME_DEPOSITED, slot))
        return false;
    __atomic_store_n(&deposited_pages, deposited_pages + 1, __ATOMIC_RELAXED);
    entry = directory_entry(pfn);
    old = *entry;
    if (old & PENDING) {
        count_hidden(table_frame(old));
        return true;
    }
    if (old & vendor->nested.large) {
        set_table_frame(frame, FRAME_LONE, slot);
        __atomic_store_n(&lone_tables[slot], lone_tables[slot] + 1, __ATOMIC_RELAXED);
        set_entry(entry, pfn << HV_PAGE_SHIFT | PENDING);
        *split = true;
        return true;
    }
    set_entry(&table_at(old)[pfn % NESTED_ENTRIES], hidden_entry());
    if (count_hidden(table_frame(old)) == NESTED_ENTRIES)
        set_entry(entry, (old & NESTED_ADDRESS_MASK) | PENDING);
    return true;
}

unsigned parent_map_settle_hidden(uint64_t pfn, uint16_t slot, uint64_t pages[2])
{
    uint64_t *entry = directory_entry(pfn);
    struct frame *frame = frame_find(pfn);
    unsigned count = 0;

    if (frame->state == FRAME_DEPOSITED)
        pages[count++] = pfn;
    if (*entry & PENDING) {
        uint64_t table = *entry & NESTED_ADDRESS_MASK;

        if (table_frame(table)->state == FRAME_SPLIT && table_frame(table)->owner == NESTED_ENTRIES) {
            set_table_frame(table_frame(table), FRAME_DEPOSITED, slot);
            set_entry(entry, vendor->nested.table(shared_table));
            pages[count++] = table >> HV_PAGE_SHIFT;
        } else {
            fill_table(table, pfn);
            set_entry(entry, vendor->nested.table(table));
        }
    }
    return count;
}

unsigned parent_map_reveal(uint64_t pfn)
{
    uint64_t *entry = directory_entry(pfn);
    struct frame *frame = frame_find(pfn), *table;
    uint64_t old = *entry;
    bool changed;

    if ((old & NESTED_ADDRESS_MASK) == shared_table) {
        set_table_frame(frame, FRAME_SPLIT, NESTED_ENTRIES);
        memcpy(physical_pointer(pfn << HV_PAGE_SHIFT), physical_pointer(shared_table), HV_PAGE_SIZE);
        set_entry(entry, vendor->nested.table(pfn << HV_PAGE_SHIFT));
        return 0;
    }
    changed = frame_change(frame, FRAME_DEPOSITED, FRAME_PARENT, 0);
    ASSERT(changed);
    __atomic_store_n(&deposited_pages, deposited_pages - 1, __ATOMIC_RELAXED);
    set_entry(&table_at(old)[pfn % NESTED_ENTRIES], identity_entry(pfn, false));
    table = table_frame(old);
    if (!table || table->state != FRAME_SPLIT)
        return 1;
    set_table_frame(table, FRAME_SPLIT, table->owner - 1u);
    if (table->owner > 1)
        return 1;
    /* Only the table itself is left. Processors may still walk it, so it is not the parent's before the
     * flush. */
    set_entry(entry, (old & NESTED_ADDRESS_MASK) | PENDING);
    return 2;
}

uint32_t parent_map_lone_tables(uint16_t slot)
{
    return __atomic_load_n(&lone_tables[slot], __ATOMIC_RELAXED);
}

uint64_t parent_map_reveal_lone(uint16_t slot, uint32_t *budget)
{
    while (lone_tables[slot] > 0 && *budget >= SEARCH_COST) {
        uint64_t *entry = directory_entry(lone_cursor);
        const struct frame *table = NULL;

        *budget -= SEARCH_COST;
        if (entry && !(*entry & (PENDING | vendor->nested.large)))
            table = table_frame(*entry);
        if (table && table->state == FRAME_LONE && table->owner == slot) {
            set_entry(entry, (*entry & NESTED_ADDRESS_MASK) | PENDING);
            __atomic_store_n(&lone_tables[slot], lone_tables[slot] - 1, __ATOMIC_RELAXED);
            return (*entry & NESTED_ADDRESS_MASK) >> HV_PAGE_SHIFT;
        }
        lone_cursor += HV_PAGES_PER_LARGE_PAGE;
        if (lone_cursor >= frame_end())
            lone_cursor = 0;
    }
    return 0;
}

unsigned parent_map_settle_revealed(uint64_t pfn, uint64_t pages[2])
{
    uint64_t *entry = directory_entry(pfn);
    unsigned count = 0;

    if (frame_find(pfn)->state == FRAME_PARENT)
        pages[count++] = pfn;
    if (*entry & PENDING) {
        uint64_t table = *entry & NESTED_ADDRESS_MASK;

        memset(physical_pointer(table), 0, HV_PAGE_SIZE);
        set_table_frame(table_frame(table), FRAME_PARENT, 0);
        __atomic_store_n(&deposited_pages, deposited_pages - 1, __ATOMIC_RELAXED);
        set_entry(entry, identity_entry(pfn & ~(uint64_t)(HV_PAGES_PER_LARGE_PAGE - 1), true));
        pages[count++] = table >> HV_PAGE_SHIFT;
    }
    return count;
}
