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

/* Held for a whole session; processors that wait for it serve kicks. Everything below is under it once built. */
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

/* Tables for what has more than one memory type: page directories of 1 GiB, tables of 2 MiB. */
static struct type_table {
    uint64_t spa;
    uint64_t *user; /* the entry that points to it; NULL = free */
    uint64_t pfn;   /* the first that it maps, */
    uint64_t pages; /* and how many */
} type_tables[PARENT_MAP_TYPE_TABLES];
static bool types_simplified; /* something was made uncacheable for lack of a table */

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

static enum memory_type type_of(uint64_t pfn, uint64_t pages)
{
    return vendor->nested.type(pfn << HV_PAGE_SHIFT, pages << HV_PAGE_SHIFT);
}

static uint64_t identity_entry(uint64_t pfn, enum memory_type type)
{
    return vendor->nested.leaf(pfn << HV_PAGE_SHIFT, ACCESS_ALL, false, type);
}

static uint64_t hidden_entry(void)
{
    return vendor->nested.leaf(zero_page, ACCESS_HIDDEN, false, MEMORY_WRITE_BACK);
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

/* Writes the table of the 2 MiB around `pfn` by what the frames and the memory types say. */
static void fill_table(uint64_t spa, uint64_t pfn)
{
    uint64_t *table = physical_pointer(spa);
    uint64_t hidden = hidden_entry(), identity;
    const struct frame *first;
    enum memory_type type;

    pfn &= ~(uint64_t)(HV_PAGES_PER_LARGE_PAGE - 1);
    type = type_of(pfn, HV_PAGES_PER_LARGE_PAGE);
    identity = identity_entry(pfn, type == MEMORY_MIXED ? MEMORY_UNCACHEABLE : type);
    first = frame_find(pfn);
    /* The frames of a range stand side by side. */
    if (!first || frame_find(pfn + NESTED_ENTRIES - 1) != first + NESTED_ENTRIES - 1)
        first = NULL;
    for (unsigned i = 0; i < NESTED_ENTRIES; i++) {
        const struct frame *frame = first ? &first[i] : frame_find(pfn + i);

        if (frame && frame->state != FRAME_PARENT)
            table[i] = hidden;
        else if (type == MEMORY_MIXED)
            table[i] = identity_entry(pfn + i, type_of(pfn + i, 1));
        else
            table[i] = identity + (uint64_t)i * HV_PAGE_SIZE;
    }
    if (protected_gpa != 0 && protected_gpa >> HV_LARGE_PAGE_SHIFT == pfn / HV_PAGES_PER_LARGE_PAGE) {
        uint64_t protected_pfn = protected_gpa >> HV_PAGE_SHIFT;

        table[protected_pfn % NESTED_ENTRIES] =
            vendor->nested.leaf(protected_gpa, ACCESS_HIDDEN, false, type_of(protected_pfn, 1));
    }
}

static void fill_directory(uint64_t spa, uint64_t pfn);

/* Maps a region or a large page to itself, by one leaf, or by a table where it has more than one type. */
static void map_identity(uint64_t *entry, uint64_t pfn, uint64_t pages)
{
    enum memory_type type = type_of(pfn, pages);

    for (unsigned i = 0; i < PARENT_MAP_TYPE_TABLES && type == MEMORY_MIXED; i++) {
        struct type_table *table = &type_tables[i];

        if (table->user)
            continue;
        *table = (struct type_table){table->spa, entry, pfn, pages};
        if (pages == REGION_PAGES)
            fill_directory(table->spa, pfn);
        else
            fill_table(table->spa, pfn);
        set_entry(entry, vendor->nested.table(table->spa));
        return;
    }
    if (type == MEMORY_MIXED) {
        log_limited("no table is left for the memory types of %lu KiB at 0x%lx: uncacheable",
                    pages * HV_PAGE_SIZE / 1024, pfn << HV_PAGE_SHIFT);
        type = MEMORY_UNCACHEABLE;
        types_simplified = true;
    }
    set_entry(entry, vendor->nested.leaf(pfn << HV_PAGE_SHIFT, ACCESS_ALL, true, type));
}

static void fill_directory(uint64_t spa, uint64_t pfn)
{
    uint64_t *directory = physical_pointer(spa);

    pfn &= ~(REGION_PAGES - 1);
    for (unsigned i = 0; i < NESTED_ENTRIES; i++)
        map_identity(&directory[i], pfn + (uint64_t)i * HV_PAGES_PER_LARGE_PAGE, HV_PAGES_PER_LARGE_PAGE);
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

static void log_type_tables(void)
{
    unsigned used = 0;

    for (unsigned i = 0; i < PARENT_MAP_TYPE_TABLES; i++)
        used += type_tables[i].user != NULL;
    if (used > 0)
        log_line("%u of the parent's large pages are split for their memory types", used);
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

        if (is_large_page(range, pfn) && (*entry & vendor->nested.large)) {
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

/* What is there however memory is laid out, and nothing in it. */
static void allocate_tables(uint64_t pointer_tables)
{
    uint64_t *top;

    zero_page = table_allocate();
    shared_table = table_allocate();
    for (unsigned i = 0; i < NESTED_ENTRIES; i++)
        table_at(shared_table)[i] = hidden_entry();
    root = table_allocate();
    top = physical_pointer(root);
    for (uint64_t i = 0; i < pointer_tables; i++)
        top[i] = vendor->nested.table(table_allocate());
    for (unsigned i = 0; i < PARENT_MAP_POOL_PAGES; i++) {
        pool[i] = filled_on_demand ? table_allocate() : 0;
        pool_user[i] = NULL;
    }
    for (unsigned i = 0; i < PARENT_MAP_TYPE_TABLES; i++)
        type_tables[i] = (struct type_table){.spa = table_allocate()};
    protect_table = table_allocate();
}

void parent_map_initialize(const struct memory_range *ram, unsigned count, const struct memory_range *own,
                           unsigned own_count, unsigned address_bits, bool has_1g_pages)
{
    uint64_t pointer_tables = parent_map_pointer_tables(address_bits), first, end;

    ASSERT(own_count <= PARENT_MAP_OWN_RANGES);
    protected_gpa = 0;
    pool_next = 0;
    hidden_writes = 0;
    deposited_pages = 0;
    memset(lone_tables, 0, sizeof(lone_tables));
    lone_cursor = 0;
    types_simplified = false;
    width = address_bits > 48 ? 48 : address_bits;
    filled_on_demand = !has_1g_pages;
    allocate_tables(pointer_tables);
    vendor->nested.load_types(&first, &end);
    for (unsigned i = 0; i < count; i++)
        ensure_directories(&ram[i]);
    ensure_directory(APIC_REGION * REGION_PAGES);
    for (unsigned i = 0; i < own_count; i++) {
        ensure_directories(&own[i]);
        hide_own(&own[i]);
    }
    for (uint64_t pfn = 0; has_1g_pages && pfn < pointer_tables * NESTED_ENTRIES * REGION_PAGES; pfn += REGION_PAGES)
        if (!*region_entry(pfn))
            map_identity(region_entry(pfn), pfn, REGION_PAGES);
    log_type_tables();
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
    possible = protected_gpa == 0 && entry && !has_ram(pfn);
    if (possible) {
        /* Without RAM there is a table only for memory types. */
        uint64_t table = *entry & vendor->nested.large ? protect_table : *entry & NESTED_ADDRESS_MASK;

        protected_gpa = pfn << HV_PAGE_SHIFT;
        fill_table(table, pfn);
        set_entry(entry, vendor->nested.table(table));
        parent_map_flush();
    }
    lock_release(&map_lock);
    return possible;
}

void parent_map_unprotect(void)
{
    lock_acquire(&map_lock);
    if (protected_gpa != 0) {
        uint64_t pfn = protected_gpa >> HV_PAGE_SHIFT;

        protected_gpa = 0;
        fill_table(*directory_entry(pfn) & NESTED_ADDRESS_MASK, pfn);
    }
    lock_release(&map_lock);
}

static bool is_entry_of(const uint64_t *entry, uint64_t table)
{
    const uint64_t *entries = physical_pointer(table);

    return entry >= entries && entry < entries + NESTED_ENTRIES;
}

/* What the table maps has one type by now, and nothing of it is hidden or protected. */
static bool is_needless(const struct type_table *table)
{
    const uint64_t *entries = physical_pointer(table->spa);

    if (!table->user || type_of(table->pfn, table->pages) == MEMORY_MIXED ||
        (protected_gpa != 0 && (protected_gpa >> HV_PAGE_SHIFT) - table->pfn < table->pages))
        return false;
    for (unsigned i = 0; i < NESTED_ENTRIES && table->pages < REGION_PAGES; i++)
        if (!(vendor->nested.access(entries[i]) & HV_MAP_GPA_WRITABLE))
            return false;
    return true;
}

/* Gives back the tables that types which have changed leave without use. */
static void merge_types(void)
{
    bool needless[PARENT_MAP_TYPE_TABLES], any = false;

    for (unsigned i = 0; i < PARENT_MAP_TYPE_TABLES; i++) {
        const struct type_table *table = &type_tables[i];

        needless[i] = is_needless(table);
        any |= needless[i];
        if (needless[i])
            map_identity(table->user, table->pfn, table->pages);
    }
    if (any)
        parent_map_flush();
    for (unsigned i = 0; i < PARENT_MAP_TYPE_TABLES; i++)
        if (needless[i])
            type_tables[i].user = NULL;
}

static void change_types(uint64_t pfn, uint64_t end)
{
    while (pfn < end) {
        uint64_t *region = region_entry(pfn), *entry = directory_entry(pfn);

        if (!entry) {
            pfn &= ~(REGION_PAGES - 1);
            if (*region) /* else it is filled when the parent touches it */
                map_identity(region, pfn, REGION_PAGES);
            pfn += REGION_PAGES;
            continue;
        }
        pfn &= ~(uint64_t)(HV_PAGES_PER_LARGE_PAGE - 1);
        if (*entry & vendor->nested.large)
            map_identity(entry, pfn, HV_PAGES_PER_LARGE_PAGE);
        else if ((*entry & NESTED_ADDRESS_MASK) != shared_table)
            fill_table(*entry & NESTED_ADDRESS_MASK, pfn);
        pfn += HV_PAGES_PER_LARGE_PAGE;
    }
}

void parent_map_load_types(void)
{
    uint64_t first, end;

    lock_acquire(&map_lock);
    if (vendor->nested.load_types(&first, &end)) {
        if (types_simplified)
            first = 0;
        if (types_simplified || end >> width)
            end = 1ull << width;
        types_simplified = false;
        merge_types();
        change_types(first >> HV_PAGE_SHIFT, end >> HV_PAGE_SHIFT);
        parent_map_flush();
        log_limited("parent: memory types have changed between 0x%lx and 0x%lx", first, end);
        log_type_tables();
    }
    lock_release(&map_lock);
}

/* Gives the region of `pfn` a directory of the pool, the one that was filled longest ago if none is free. */
static void fill_on_demand(uint64_t pfn)
{
    unsigned slot = pool_next++ % PARENT_MAP_POOL_PAGES;

    if (pool_user[slot]) {
        set_entry(pool_user[slot], 0);
        parent_map_flush();
        for (unsigned i = 0; i < PARENT_MAP_TYPE_TABLES; i++)
            if (is_entry_of(type_tables[i].user, pool[slot]))
                type_tables[i].user = NULL;
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

/* One more page of the region is hidden. Returns how many; 0: its table is one of Loam's own and stays for ever. */
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
    set_entry(&table_at(old)[pfn % NESTED_ENTRIES], identity_entry(pfn, type_of(pfn, 1)));
    table = table_frame(old);
    if (!table || table->state != FRAME_SPLIT)
        return 1;
    set_table_frame(table, FRAME_SPLIT, table->owner - 1u);
    if (table->owner > 1)
        return 1;
    /* Only the table itself is left. Processors may still walk it, so it is not the parent's before the flush. */
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
        map_identity(entry, pfn & ~(uint64_t)(HV_PAGES_PER_LARGE_PAGE - 1), HV_PAGES_PER_LARGE_PAGE);
        pages[count++] = table >> HV_PAGE_SHIFT;
    }
    return count;
}
