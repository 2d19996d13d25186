/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "hv/hypercall.h"
#include "kernel/arch.h"
#include "kernel/log.h"
#include "kernel/nested_table.h"

#define LEVELS      4u
#define LEVEL_LARGE 2u /* leaves of 2 MiB */
#define ACCESS_MASK (HV_GPA_PAGE_ACCESSED | HV_GPA_PAGE_DIRTY)
/* What it costs to go through a table and to release it, in units of an entry's cost. */
#define TABLE_ENTRIES_COST 75u

static unsigned level_shift(unsigned level)
{
    return HV_PAGE_SHIFT + 9 * (level - 1);
}

static unsigned level_of(unsigned page_shift)
{
    ASSERT(page_shift == HV_PAGE_SHIFT || page_shift == HV_LARGE_PAGE_SHIFT);
    return page_shift == HV_PAGE_SHIFT ? 1 : LEVEL_LARGE;
}

static uint64_t *entry_of(uint64_t table_spa, uint64_t gpa, unsigned level)
{
    uint64_t *entries = physical_pointer(table_spa);

    return &entries[(gpa >> level_shift(level)) % NESTED_ENTRIES];
}

static uint64_t read_entry(const uint64_t *entry)
{
    return __atomic_load_n(entry, __ATOMIC_ACQUIRE);
}

static void set_entry(uint64_t *entry, uint64_t value)
{
    __atomic_store_n(entry, value, __ATOMIC_RELEASE);
}

/* Entries that are not present are zero or NESTED_NO_ACCESS, in any vendor's format. */
static bool is_present(uint64_t entry)
{
    return (entry & ~NESTED_NO_ACCESS) != 0;
}

static bool is_table(uint64_t entry, unsigned level)
{
    return level > 1 && is_present(entry) && !(entry & vendor->nested.large);
}

/* The entry below `root` that is no table, its level and its value. */
static uint64_t *find(uint64_t root, uint64_t gpa, unsigned *level, uint64_t *value)
{
    uint64_t *entry = entry_of(root, gpa, LEVELS);

    for (*level = LEVELS; is_table(*value = read_entry(entry), *level);)
        entry = entry_of(*value & NESTED_ADDRESS_MASK, gpa, --*level);
    return entry;
}

bool nested_lookup(const struct nested_table *table, uint64_t gpa, struct nested_translation *translation)
{
    unsigned level;
    uint64_t entry;

    *translation = (struct nested_translation){.page_shift = level_shift(LEVELS)};
    if (!table->root || gpa >> NESTED_ADDRESS_BITS)
        return false;
    find(table->root, gpa, &level, &entry);

    translation->page_shift = level_shift(level);
    translation->access = vendor->nested.access(entry);
    translation->split_to_execute = (entry & NESTED_EXECUTE_WHEN_SPLIT) != 0;
    if (translation->split_to_execute)
        translation->access |= HV_MAP_GPA_EXECUTABLE;
    translation->no_access = !translation->access && (entry & NESTED_NO_ACCESS);
    if (translation->access) {
        uint64_t offset_mask = (1ull << translation->page_shift) - 1;

        translation->spa = (entry & NESTED_ADDRESS_MASK & ~offset_mask) | (gpa & offset_mask);
    }
    return translation->access || translation->no_access;
}

static uint64_t leaf_of(uint64_t spa, uint32_t access, bool large, enum memory_type type)
{
    if (!large || !(access & HV_MAP_GPA_EXECUTABLE) || vendor->nested.large_execute())
        return vendor->nested.leaf(spa, access, large, type);
    return vendor->nested.leaf(spa, access & ~HV_MAP_GPA_EXECUTABLE, large, type) | NESTED_EXECUTE_WHEN_SPLIT;
}

/* The first of the small leaves that a large one is split into. Attributes stand at the same place in both. */
static uint64_t small_leaf(uint64_t large)
{
    uint64_t small = large & ~(vendor->nested.large | NESTED_EXECUTE_WHEN_SPLIT);
    const uint32_t read = HV_MAP_GPA_READABLE, read_execute = read | HV_MAP_GPA_EXECUTABLE;

    if (large & NESTED_EXECUTE_WHEN_SPLIT)
        small ^= vendor->nested.leaf(0, read_execute, false, MEMORY_WRITE_BACK) ^
                 vendor->nested.leaf(0, read, false, MEMORY_WRITE_BACK);
    return small;
}

/* Puts a table with the same meaning in place of a leaf of 2 MiB or a non-present entry. */
static enum hv_status split(struct nested_table *table, uint64_t *entry, unsigned level)
{
    uint64_t old = read_entry(entry);
    uint64_t spa = table->allocate(table->owner);
    uint64_t *entries;

    if (!spa)
        return HV_STATUS_INSUFFICIENT_MEMORY;
    entries = physical_pointer(spa);
    ASSERT(!is_present(old) || level == LEVEL_LARGE);
    /* Again if a processor has set a bit meanwhile, which it does once for each of the two. */
    do {
        uint64_t first = is_present(old) ? small_leaf(old) : old;
        uint64_t step = is_present(old) ? HV_PAGE_SIZE : 0;

        for (unsigned i = 0; old && i < NESTED_ENTRIES; i++)
            entries[i] = first + i * step;
    } while (!__atomic_compare_exchange_n(entry, &old, vendor->nested.table(spa), false, __ATOMIC_SEQ_CST,
                                          __ATOMIC_ACQUIRE));
    return HV_STATUS_SUCCESS;
}

/* The entry of `level` for `gpa`; makes the tables above it. */
static enum hv_status descend(struct nested_table *table, uint64_t gpa, unsigned level, uint64_t **entry)
{
    if (!table->root) {
        table->root = table->allocate(table->owner);
        if (!table->root)
            return HV_STATUS_INSUFFICIENT_MEMORY;
    }
    *entry = entry_of(table->root, gpa, LEVELS);
    for (unsigned at = LEVELS; at > level; at--) {
        if (!is_table(**entry, at)) {
            enum hv_status status = split(table, *entry, at);

            if (status != HV_STATUS_SUCCESS)
                return status;
        }
        *entry = entry_of(**entry & NESTED_ADDRESS_MASK, gpa, at - 1);
    }
    return HV_STATUS_SUCCESS;
}

/* Changes an entry of level 1 or 2 and says what stood there. */
static void replace(uint64_t *entry, unsigned level, uint64_t value, nested_replaced *replaced)
{
    uint64_t old = *entry;

    *replaced = 0;
    set_entry(entry, value);
    if (!is_present(old))
        return;
    if (level == 1)
        *replaced = (old & NESTED_ADDRESS_MASK) | NESTED_REPLACED_PAGE;
    else if (old & vendor->nested.large)
        *replaced = (old & NESTED_ADDRESS_MASK & ~(uint64_t)(HV_LARGE_PAGE_SIZE - 1)) | NESTED_REPLACED_LARGE_PAGE;
    else
        *replaced = (old & NESTED_ADDRESS_MASK) | NESTED_REPLACED_TABLE;
}

static enum hv_status map_value(struct nested_table *table, uint64_t gpa, unsigned level, uint64_t value,
                                nested_replaced *replaced)
{
    uint64_t *entry;
    enum hv_status status = descend(table, gpa, level, &entry);

    if (status == HV_STATUS_SUCCESS)
        replace(entry, level, value, replaced);
    return status;
}

enum hv_status nested_map(struct nested_table *table, uint64_t gpa, uint64_t spa, unsigned page_shift, uint32_t access,
                          bool uncached, nested_replaced *replaced)
{
    unsigned level = level_of(page_shift);

    enum memory_type type = uncached ? MEMORY_UNCACHEABLE : MEMORY_WRITE_BACK;

    return map_value(table, gpa, level, leaf_of(spa, access, level == LEVEL_LARGE, type), replaced);
}

enum hv_status nested_map_no_access(struct nested_table *table, uint64_t gpa, unsigned page_shift,
                                    nested_replaced *replaced)
{
    return map_value(table, gpa, level_of(page_shift), NESTED_NO_ACCESS, replaced);
}

enum hv_status nested_unmap(struct nested_table *table, uint64_t gpa, unsigned page_shift, nested_replaced *replaced,
                            uint64_t *next)
{
    unsigned level = level_of(page_shift);
    unsigned at = LEVELS;
    uint64_t *entry;

    *replaced = 0;
    *next = gpa + (1ull << page_shift);
    if (!table->root) {
        *next = 1ull << NESTED_ADDRESS_BITS;
        return HV_STATUS_SUCCESS;
    }
    for (entry = entry_of(table->root, gpa, at); at > level && is_table(*entry, at);)
        entry = entry_of(*entry & NESTED_ADDRESS_MASK, gpa, --at);

    if (!*entry) {
        *next = ((gpa >> level_shift(at)) + 1) << level_shift(at);
        return HV_STATUS_SUCCESS;
    }
    return map_value(table, gpa, level, 0, replaced);
}

enum hv_status nested_split(struct nested_table *table, uint64_t gpa)
{
    struct nested_translation there;
    uint64_t *entry;

    nested_lookup(table, gpa, &there);
    return there.split_to_execute ? descend(table, gpa, 1, &entry) : HV_STATUS_SUCCESS;
}

static uint64_t access_bits(uint8_t state)
{
    return vendor->nested.sets_accessed() ? (uint64_t)state << vendor->nested.accessed_shift : 0;
}

/* Clears and sets bits of a leaf, in which processors set them. Returns it as it was before. */
static uint64_t exchange_bits(uint64_t *entry, uint64_t value, uint64_t clear, uint64_t set)
{
    while (
        !__atomic_compare_exchange_n(entry, &value, (value & ~clear) | set, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
        ;
    return value;
}

/* The states of `count` pages, whose entries are `step` entries apart. True: a bit was cleared. */
static bool exchange_states(uint64_t *entry, unsigned step, uint64_t clear, uint64_t set, uint8_t *states,
                            uint32_t count)
{
    uint8_t unknown = access_bits(ACCESS_MASK) ? 0 : ACCESS_MASK;
    unsigned shift = vendor->nested.accessed_shift;
    bool cleared = false;

    for (uint32_t i = 0; i < count; i++, entry += step) {
        uint64_t value = read_entry(entry);

        if (is_present(value) && ((value & clear) | (set & ~value))) {
            value = exchange_bits(entry, value, clear, set);
            cleared |= (value & clear) != 0;
        }
        states[i] = is_present(value) ? (value >> shift & ACCESS_MASK) | unknown : 0;
    }
    return cleared;
}

enum hv_status nested_access_states(struct nested_table *table, uint64_t gpa, struct nested_access_change *change,
                                    uint8_t *states, uint32_t *count)
{
    uint32_t left = NESTED_ENTRIES - (gpa >> HV_PAGE_SHIFT) % NESTED_ENTRIES, wanted = *count < left ? *count : left;
    uint64_t clear = access_bits(change->clear), set = access_bits(change->set);
    unsigned level;
    uint64_t value, *entry = find(table->root, gpa, &level, &value);

    *count = 0;
    if (level > 1 && is_present(value) && (clear | set)) {
        enum hv_status status = descend(table, gpa, 1, &entry);

        if (status != HV_STATUS_SUCCESS)
            return status;
        level = 1;
        change->stale = true;
    }
    change->stale |= exchange_states(entry, level == 1, clear, set, states, wanted);
    *count = wanted;
    return HV_STATUS_SUCCESS;
}

void nested_set_dirty(const struct nested_table *table, uint64_t gpa)
{
    unsigned level;
    uint64_t value, *entry;

    do
        entry = find(table->root, gpa, &level, &value);
    while (is_present(value) && !__atomic_compare_exchange_n(entry, &value, value | access_bits(ACCESS_MASK), false,
                                                             __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
}

/* A table of level 1: every page that it maps. Clears it. */
static unsigned unmap_all(struct nested_table *table, uint64_t *entries)
{
    unsigned count = 0;

    for (unsigned i = 0; i < NESTED_ENTRIES; i++)
        if (is_present(entries[i])) {
            table->unmapped(table->owner, entries[i] & NESTED_ADDRESS_MASK, HV_PAGE_SHIFT);
            count++;
        }
    return count;
}

unsigned nested_settle(struct nested_table *table, nested_replaced replaced)
{
    uint64_t spa = replaced & NESTED_ADDRESS_MASK;
    unsigned count;

    switch (replaced & ~NESTED_ADDRESS_MASK) {
    case NESTED_REPLACED_PAGE:
        table->unmapped(table->owner, spa, HV_PAGE_SHIFT);
        return 1;
    case NESTED_REPLACED_LARGE_PAGE:
        table->unmapped(table->owner, spa, HV_LARGE_PAGE_SHIFT);
        return HV_PAGES_PER_LARGE_PAGE;
    case NESTED_REPLACED_TABLE:
        count = unmap_all(table, physical_pointer(spa));
        table->release(table->owner, spa);
        return count;
    default:
        return 0;
    }
}

static void charge(uint32_t *budget, uint32_t cost)
{
    *budget -= *budget < cost ? *budget : cost;
}

/* Depth first. What is done is cleared, so that the next call goes on behind it. */
static bool destroy_level(struct nested_table *table, uint64_t spa, unsigned level, uint32_t *budget)
{
    uint64_t *entries = physical_pointer(spa);

    for (unsigned i = 0; i < NESTED_ENTRIES; i++) {
        uint64_t entry = entries[i];

        if (!is_present(entry))
            continue;
        if (*budget == 0)
            return false;
        if (is_table(entry, level)) {
            if (!destroy_level(table, entry & NESTED_ADDRESS_MASK, level - 1, budget))
                return false;
            table->release(table->owner, entry & NESTED_ADDRESS_MASK);
            charge(budget, TABLE_ENTRIES_COST);
        } else {
            charge(budget, level == 1 ? 1 : HV_PAGES_PER_LARGE_PAGE);
            table->unmapped(table->owner, entry & NESTED_ADDRESS_MASK & ~((1ull << level_shift(level)) - 1),
                            level_shift(level));
        }
        entries[i] = 0;
    }
    return true;
}

bool nested_destroy(struct nested_table *table, uint32_t *budget)
{
    if (!table->root)
        return true;
    if (!destroy_level(table, table->root, LEVELS, budget))
        return false;
    table->release(table->owner, table->root);
    table->root = 0;
    return true;
}
