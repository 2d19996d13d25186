/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "kernel/arch.h"
#include "kernel/log.h"
#include "kernel/nested_table.h"

#define LEVELS      4u
#define LEVEL_LARGE 2u /* leaves of 2 MiB */
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

bool nested_lookup(const struct nested_table *table, uint64_t gpa, struct nested_translation *translation)
{
    uint64_t spa = table->root;
    unsigned level = LEVELS;
    uint64_t entry = 0;

    *translation = (struct nested_translation){.page_shift = level_shift(LEVELS)};
    if (!spa || gpa >> NESTED_ADDRESS_BITS)
        return false;
    for (; level > 0; level--) {
        entry = read_entry(entry_of(spa, gpa, level));
        if (!is_table(entry, level))
            break;
        spa = entry & NESTED_ADDRESS_MASK;
    }

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
    uint64_t old = *entry;
    uint64_t spa = table->allocate(table->owner);
    uint64_t *entries;

    if (!spa)
        return HV_STATUS_INSUFFICIENT_MEMORY;
    entries = physical_pointer(spa);
    if (is_present(old)) {
        ASSERT(level == LEVEL_LARGE);
        for (unsigned i = 0; i < NESTED_ENTRIES; i++)
            entries[i] = small_leaf(old) + (uint64_t)i * HV_PAGE_SIZE;
    } else if (old) {
        for (unsigned i = 0; i < NESTED_ENTRIES; i++)
            entries[i] = old;
    }
    set_entry(entry, vendor->nested.table(spa));
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
