/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Nested page tables by themselves, against a plain list of what is mapped. */
#include <signal.h>
#include <stdlib.h>

#include "kernel/nested_table.h"
#include "tests/unit/kernel_fixture.h"

#define RWX (HV_MAP_GPA_READABLE | HV_MAP_GPA_WRITABLE | HV_MAP_GPA_EXECUTABLE)

/* A pool of pages for tables; counts what is unmapped. */
static uint64_t pool[4096];
static unsigned pool_left, unmapped_pages;

static uint64_t allocate(void *owner)
{
    (void)owner;
    if (pool_left == 0)
        return 0;
    memset(physical_pointer(pool[pool_left - 1]), 0, HV_PAGE_SIZE);
    return pool[--pool_left];
}

static void release(void *owner, uint64_t spa)
{
    (void)owner;
    pool[pool_left++] = spa;
}

static void unmapped(void *owner, uint64_t spa, unsigned page_shift)
{
    (void)owner;
    assert_int_equal(spa & ((1ull << page_shift) - 1), 0);
    unmapped_pages += 1u << (page_shift - HV_PAGE_SHIFT);
}

static struct nested_table make_table(unsigned pages)
{
    for (pool_left = 0; pool_left < pages; pool_left++)
        pool[pool_left] = (FIXTURE_FREE_PFN + pool_left) << HV_PAGE_SHIFT;
    unmapped_pages = 0;
    return (struct nested_table){.allocate = allocate, .release = release, .unmapped = unmapped};
}

static void map(struct nested_table *table, uint64_t gpa, uint64_t spa, unsigned shift, uint32_t access)
{
    nested_replaced replaced;

    assert_int_equal(nested_map(table, gpa, spa, shift, access, false, &replaced), HV_STATUS_SUCCESS);
    nested_settle(table, replaced);
}

static void unmap(struct nested_table *table, uint64_t gpa, unsigned shift)
{
    nested_replaced replaced;
    uint64_t next;

    assert_int_equal(nested_unmap(table, gpa, shift, &replaced, &next), HV_STATUS_SUCCESS);
    assert_true(next > gpa);
    nested_settle(table, replaced);
}

static void lookup(void **state)
{
    struct nested_table table = make_table(64);
    struct nested_translation translation;

    (void)state;
    assert_false(nested_lookup(&table, 0x1000, &translation));
    assert_int_equal(translation.page_shift, 39);
    map(&table, 0x123000, 0x700000, HV_PAGE_SHIFT, HV_MAP_GPA_READABLE);
    assert_true(nested_lookup(&table, 0x123456, &translation));
    assert_int_equal(translation.spa, 0x700456);
    assert_int_equal(translation.access, HV_MAP_GPA_READABLE);
    assert_int_equal(translation.page_shift, 12);
    assert_false(nested_lookup(&table, 0x124000, &translation));
    assert_int_equal(translation.page_shift, 12);
    assert_false(nested_lookup(&table, 0x400000, &translation));
    assert_int_equal(translation.page_shift, 21);
    assert_false(nested_lookup(&table, 1ull << NESTED_ADDRESS_BITS, &translation));
    map(&table, 0xFFFFFFE00000, 0x800000, HV_LARGE_PAGE_SHIFT, RWX);
    assert_true(nested_lookup(&table, 0xFFFFFFFFFFFF, &translation));
    assert_int_equal(translation.spa, 0x9FFFFF);
    assert_int_equal(translation.page_shift, 21);
}

static void uncached_pages(void **state)
{
    struct nested_table table = make_table(64);
    struct nested_translation translation;
    nested_replaced replaced;

    (void)state;
    assert_int_equal(nested_map(&table, 0, 0x400000, HV_LARGE_PAGE_SHIFT, RWX, true, &replaced),
                     HV_STATUS_SUCCESS);
    unmap(&table, 0x5000, HV_PAGE_SHIFT);
    /* Attributes survive the split. */
    assert_true(nested_lookup(&table, 0x6000, &translation));
    assert_int_equal(translation.spa, 0x406000);
    assert_int_equal(translation.access, RWX);
}

static void no_access(void **state)
{
    struct nested_table table = make_table(64);
    struct nested_translation translation;
    nested_replaced replaced;

    (void)state;
    assert_int_equal(nested_map_no_access(&table, 0x200000, HV_LARGE_PAGE_SHIFT, &replaced),
                     HV_STATUS_SUCCESS);
    assert_int_equal(replaced, 0);
    assert_true(nested_lookup(&table, 0x234567, &translation));
    assert_true(translation.no_access);
    assert_int_equal(translation.access, 0);
    /* A page in the middle: the others stay without access. */
    map(&table, 0x210000, 0x700000, HV_PAGE_SHIFT, RWX);
    assert_true(nested_lookup(&table, 0x20F000, &translation) && translation.no_access);
    assert_true(nested_lookup(&table, 0x210000, &translation) && !translation.no_access);
    assert_true(nested_lookup(&table, 0x211000, &translation) && translation.no_access);
    unmap(&table, 0x20F000, HV_PAGE_SHIFT);
    assert_false(nested_lookup(&table, 0x20F000, &translation));
    assert_int_equal(unmapped_pages, 0);
    assert_int_equal(nested_map_no_access(&table, 0x210000, HV_PAGE_SHIFT, &replaced), HV_STATUS_SUCCESS);
    assert_int_equal(replaced, 0x700000 | NESTED_REPLACED_PAGE);
}

static uint64_t *leaf_pointer(const struct nested_table *table, uint64_t gpa)
{
    uint64_t value = table->root, *entry;

    for (unsigned shift = 39;; shift -= 9) {
        entry = (uint64_t *)physical_pointer(value & NESTED_ADDRESS_MASK) + (gpa >> shift) % NESTED_ENTRIES;
        value = __atomic_load_n(entry, __ATOMIC_ACQUIRE);
        if (shift == 12 || (value & vendor->nested.large))
            return entry;
    }
}

static uint64_t leaf_at(const struct nested_table *table, uint64_t gpa)
{
    return *leaf_pointer(table, gpa);
}

/* Where a large leaf must not be executable, it says that it is and becomes so by a split. */
static void split_to_execute(void **state)
{
    struct nested_table table = make_table(4);
    struct nested_translation translation;

    (void)state;
    fake_large_execute = false;
    map(&table, 0x200000, 0x800000, HV_LARGE_PAGE_SHIFT, RWX);
    map(&table, 0x400000, 0xA00000, HV_LARGE_PAGE_SHIFT, HV_MAP_GPA_READABLE);
    assert_true(nested_lookup(&table, 0x234567, &translation));
    assert_true(translation.access == RWX && translation.split_to_execute && translation.spa == 0x834567);
    assert_int_equal(vendor->nested.access(leaf_at(&table, 0x234567)), RWX & ~HV_MAP_GPA_EXECUTABLE);
    /* Only such a page, and not without memory. */
    assert_int_equal(nested_split(&table, 0x400000), HV_STATUS_SUCCESS);
    assert_int_equal(nested_split(&table, 0x600000), HV_STATUS_SUCCESS);
    assert_int_equal(pool_left, 1);
    pool_left = 0;
    assert_int_equal(nested_split(&table, 0x234567), HV_STATUS_INSUFFICIENT_MEMORY);
    assert_true(nested_lookup(&table, 0x234567, &translation) && translation.split_to_execute);
    pool_left = 1;
    assert_int_equal(nested_split(&table, 0x234567), HV_STATUS_SUCCESS);
    for (uint64_t gpa = 0x200000; gpa < 0x400000; gpa += 0x1000) {
        assert_true(nested_lookup(&table, gpa, &translation) && translation.page_shift == HV_PAGE_SHIFT);
        assert_true(translation.access == RWX && !translation.split_to_execute);
        assert_int_equal(leaf_at(&table, gpa), vendor->nested.leaf(gpa + 0x600000, RWX, false, MEMORY_WRITE_BACK));
    }
    /* The other page is read-only however it is split. */
    pool[pool_left++] = (FIXTURE_FREE_PFN + 100) << HV_PAGE_SHIFT;
    unmap(&table, 0x400000, HV_PAGE_SHIFT);
    assert_true(nested_lookup(&table, 0x401000, &translation));
    assert_int_equal(translation.access, HV_MAP_GPA_READABLE);
    /* A large page in its place is again one that has to be split. */
    map(&table, 0x200000, 0xC00000, HV_LARGE_PAGE_SHIFT, RWX);
    assert_true(nested_lookup(&table, 0x200000, &translation) && translation.split_to_execute);
    unmap(&table, 0x200000, HV_PAGE_SHIFT);
    assert_int_equal(leaf_at(&table, 0x3FF000), vendor->nested.leaf(0xDFF000, RWX, false, MEMORY_WRITE_BACK));
}

static void replaced_tables(void **state)
{
    struct nested_table table = make_table(64);
    nested_replaced replaced;
    unsigned left;

    (void)state;
    for (unsigned i = 0; i < 10; i++)
        map(&table, 0x400000 + i * 0x1000, 0x700000 + i * 0x1000, HV_PAGE_SHIFT, RWX);
    left = pool_left;
    assert_int_equal(nested_map(&table, 0x400000, 0x800000, HV_LARGE_PAGE_SHIFT, RWX, false, &replaced),
                     HV_STATUS_SUCCESS);
    assert_int_equal(replaced % HV_PAGE_SIZE, NESTED_REPLACED_TABLE);
    assert_int_equal(unmapped_pages, 0); /* not before the shoot-down */
    assert_int_equal(pool_left, left);
    assert_int_equal(nested_settle(&table, replaced), 10);
    assert_int_equal(unmapped_pages, 10);
    assert_int_equal(pool_left, left + 1);
    unmap(&table, 0x400000, HV_LARGE_PAGE_SHIFT);
    assert_int_equal(unmapped_pages, 10 + 512);
}

static void holes_are_skipped(void **state)
{
    struct nested_table table = make_table(64);
    nested_replaced replaced;
    uint64_t next;

    (void)state;
    assert_int_equal(nested_unmap(&table, 0x5000, HV_PAGE_SHIFT, &replaced, &next), HV_STATUS_SUCCESS);
    assert_int_equal(next, 1ull << NESTED_ADDRESS_BITS);
    map(&table, 0, 0x700000, HV_PAGE_SHIFT, RWX);
    nested_unmap(&table, 0x5000, HV_PAGE_SHIFT, &replaced, &next);
    assert_int_equal(next, 0x6000);
    nested_unmap(&table, 0x205000, HV_PAGE_SHIFT, &replaced, &next);
    assert_int_equal(next, 0x400000);
    nested_unmap(&table, 0x40005000, HV_PAGE_SHIFT, &replaced, &next);
    assert_int_equal(next, 0x80000000);
    nested_unmap(&table, 0x8000005000, HV_LARGE_PAGE_SHIFT, &replaced, &next);
    assert_int_equal(next, 0x10000000000);
}

static void no_memory(void **state)
{
    struct nested_translation translation;
    nested_replaced replaced;
    uint64_t next;

    (void)state;
    for (unsigned pages = 0; pages < 4; pages++) {
        struct nested_table table = make_table(pages);

        assert_int_equal(nested_map(&table, 0x5000, 0x700000, HV_PAGE_SHIFT, RWX, false, &replaced),
                         HV_STATUS_INSUFFICIENT_MEMORY);
        assert_false(nested_lookup(&table, 0x5000, &translation));
    }
    struct nested_table table = make_table(3);

    map(&table, 0, 0x800000, HV_LARGE_PAGE_SHIFT, RWX);
    assert_int_equal(nested_unmap(&table, 0x5000, HV_PAGE_SHIFT, &replaced, &next),
                     HV_STATUS_INSUFFICIENT_MEMORY);
    assert_true(nested_lookup(&table, 0x5000, &translation));
    assert_int_equal(translation.spa, 0x805000);
}

static void destroy_in_steps(void **state)
{
    struct nested_table table = make_table(200);
    unsigned steps = 0;
    uint32_t budget;

    (void)state;
    for (unsigned i = 0; i < 3000; i++)
        map(&table, i * 0x3000ull, 0x700000, HV_PAGE_SHIFT, RWX);
    map(&table, 0x40000000, 0x800000, HV_LARGE_PAGE_SHIFT, RWX);
    map(&table, 0xFFFF00000000, 0x800000, HV_LARGE_PAGE_SHIFT, RWX);
    do {
        budget = 700;
        steps++;
    } while (!nested_destroy(&table, &budget));
    assert_true(steps > 5);
    assert_int_equal(unmapped_pages, 3000 + 1024);
    assert_int_equal(pool_left, 200);
    assert_int_equal(table.root, 0);
    budget = 0;
    assert_true(nested_destroy(&table, &budget));
}

/* The processor uses or writes a page. */
static void touch(struct nested_table *table, uint64_t gpa, bool write)
{
    uint64_t *entry = leaf_pointer(table, gpa);

    *entry |= 1ull << FAKE_ACCESSED_SHIFT | (uint64_t)write << (FAKE_ACCESSED_SHIFT + 1);
}

/* The states of `count` pages; whether it takes a shoot-down. */
static bool access_states(struct nested_table *table, uint64_t gpa, uint8_t clear, uint8_t set, uint8_t *states,
                          uint32_t count)
{
    struct nested_access_change change = {.clear = clear, .set = set};

    for (uint32_t done = 0, step; done < count; done += step) {
        step = count - done;
        assert_int_equal(
            nested_access_states(table, gpa + (uint64_t)done * HV_PAGE_SIZE, &change, states + done, &step),
            HV_STATUS_SUCCESS);
        assert_in_range(step, 1, count - done);
    }
    return change.stale;
}

#define ACCESSED HV_GPA_PAGE_ACCESSED
#define DIRTY    HV_GPA_PAGE_DIRTY
#define BOTH     (ACCESSED | DIRTY)

static void access_of_pages(void **state)
{
    struct nested_table table = make_table(64);
    nested_replaced replaced;
    uint8_t states[1024];

    (void)state;
    /* Across two tables, with a page that is not there and one without access between. */
    for (unsigned i = 0; i < 8; i++)
        map(&table, 0x1FC000 + i * 0x1000, 0x700000 + i * 0x1000, HV_PAGE_SHIFT, RWX);
    unmap(&table, 0x1FD000, HV_PAGE_SHIFT);
    assert_int_equal(nested_map_no_access(&table, 0x1FE000, HV_PAGE_SHIFT, &replaced), HV_STATUS_SUCCESS);
    touch(&table, 0x1FC000, true);
    touch(&table, 0x201000, false);
    assert_false(access_states(&table, 0x1FC000, 0, 0, states, 8));
    assert_memory_equal(states, ((uint8_t[]){BOTH, 0, 0, 0, 0, ACCESSED, 0, 0}), 8);
    /* Dirty alone is cleared; then both; then there is nothing left that could be stale. */
    assert_true(access_states(&table, 0x1FC000, DIRTY, 0, states, 8));
    assert_memory_equal(states, ((uint8_t[]){BOTH, 0, 0, 0, 0, ACCESSED, 0, 0}), 8);
    assert_false(access_states(&table, 0x1FC000, DIRTY, 0, states, 8));
    assert_true(access_states(&table, 0x1FC000, BOTH, 0, states, 8));
    assert_memory_equal(states, ((uint8_t[]){ACCESSED, 0, 0, 0, 0, ACCESSED, 0, 0}), 8);
    assert_false(access_states(&table, 0x1FC000, BOTH, 0, states, 8));
    assert_memory_equal(states, ((uint8_t[]){0, 0, 0, 0, 0, 0, 0, 0}), 8);
    /* Set, on what is mapped. */
    assert_false(access_states(&table, 0x1FD000, 0, BOTH, states, 3));
    assert_memory_equal(states, ((uint8_t[]){0, 0, 0}), 3);
    assert_false(access_states(&table, 0x1FC000, 0, 0, states, 8));
    assert_memory_equal(states, ((uint8_t[]){0, 0, 0, BOTH, 0, 0, 0, 0}), 8);
    /* Nothing but the bits has changed. */
    assert_int_equal(leaf_at(&table, 0x201000), vendor->nested.leaf(0x705000, RWX, false, MEMORY_WRITE_BACK));
    assert_int_equal(leaf_at(&table, 0x1FE000), NESTED_NO_ACCESS);
    assert_int_equal(leaf_at(&table, 0x1FD000), 0);
    /* Where there are no tables at all. */
    memset(states, 0xEE, sizeof(states));
    assert_false(access_states(&table, 0x7FFFFFE00000, BOTH, 0, states, 1024));
    for (unsigned i = 0; i < 1024; i++)
        assert_int_equal(states[i], 0);
}

static void access_of_large_pages(void **state)
{
    struct nested_table table = make_table(4);
    struct nested_access_change clear = {.clear = DIRTY};
    uint8_t states[512];
    uint32_t count = 3;

    (void)state;
    map(&table, 0x200000, 0x800000, HV_LARGE_PAGE_SHIFT, RWX);
    /* As long as nothing is changed it stays large, and is as dirty as any of its pages. */
    assert_false(access_states(&table, 0x200000, 0, 0, states, 512));
    assert_int_equal(states[7] | states[511], 0);
    touch(&table, 0x234000, true);
    assert_false(access_states(&table, 0x200000, 0, 0, states, 512));
    assert_true(states[0] == BOTH && states[511] == BOTH);
    /* A split needs a table. */
    pool_left = 0;
    assert_int_equal(nested_access_states(&table, 0x234000, &clear, states, &count), HV_STATUS_INSUFFICIENT_MEMORY);
    assert_int_equal(count, 0);
    pool_left = 1;
    assert_true(access_states(&table, 0x234000, DIRTY, 0, states, 1));
    assert_int_equal(states[0], BOTH);
    /* Of the others nothing is lost. */
    assert_true(access_states(&table, 0x200000, DIRTY, 0, states, 512));
    for (unsigned i = 0; i < 512; i++)
        assert_int_equal(states[i], i == 0x34 ? ACCESSED : BOTH);
    touch(&table, 0x3FF000, true);
    assert_true(access_states(&table, 0x200000, DIRTY, 0, states, 512));
    for (unsigned i = 0; i < 512; i++)
        assert_int_equal(states[i], i == 511 ? BOTH : ACCESSED);
    /* A clean one is split, too, and its translations are stale. */
    pool[pool_left++] = (FIXTURE_FREE_PFN + 100) << HV_PAGE_SHIFT;
    map(&table, 0x200000, 0x800000, HV_LARGE_PAGE_SHIFT, RWX);
    assert_true(access_states(&table, 0x200000, DIRTY, 0, states, 1));
    assert_int_equal(states[0], 0);
}

/* A processor that keeps no such bits: everything may have been written at any time, and nothing is split. */
static void access_unknown(void **state)
{
    struct nested_table table = make_table(4);
    uint8_t states[514];

    (void)state;
    fake_sets_accessed = false;
    map(&table, 0x200000, 0x800000, HV_LARGE_PAGE_SHIFT, RWX);
    map(&table, 0x401000, 0x700000, HV_PAGE_SHIFT, RWX);
    for (unsigned i = 0; i < 2; i++) {
        assert_false(access_states(&table, 0x200000, i ? BOTH : 0, 0, states, 514));
        assert_true(states[0] == BOTH && states[511] == BOTH && states[512] == 0 && states[513] == BOTH);
    }
    assert_int_equal(leaf_at(&table, 0x401000), vendor->nested.leaf(0x700000, RWX, false, MEMORY_WRITE_BACK));
    assert_int_equal(leaf_at(&table, 0x200000), vendor->nested.leaf(0x800000, RWX, true, MEMORY_WRITE_BACK));
}

static void hypervisor_writes(void **state)
{
    struct nested_table table = make_table(8);
    uint8_t states[2];

    (void)state;
    map(&table, 0x400000, 0x700000, HV_PAGE_SHIFT, RWX);
    map(&table, 0x200000, 0x800000, HV_LARGE_PAGE_SHIFT, RWX);
    nested_set_dirty(&table, 0x400123);
    nested_set_dirty(&table, 0x401000);
    nested_set_dirty(&table, 0x3FF008);
    access_states(&table, 0x3FF000, 0, 0, states, 2);
    assert_memory_equal(states, ((uint8_t[]){BOTH, BOTH}), 2);
    assert_int_equal(leaf_at(&table, 0x401000), 0);
}

/*
 * The processor sets a bit between any two instructions of those that read and clear it: it is told now, or the next
 * time. Each instruction is tried, by single steps.
 */
#define RFLAGS_TF 0x100ul

static uint64_t *watched_leaf;
static volatile unsigned steps, write_at;

static void stepped(int number)
{
    (void)number;
    if (steps++ == write_at)
        *watched_leaf |= (uint64_t)DIRTY << FAKE_ACCESSED_SHIFT;
}

static void set_trap_flag(unsigned long flag)
{
    unsigned long flags;

    __asm__ volatile("pushfq\n pop %0" : "=r"(flags));
    __asm__ volatile("push %0\n popfq" ::"r"((flags & ~RFLAGS_TF) | flag) : "cc");
}

static void access_set_at_every_instruction(void **state)
{
    struct sigaction action = {.sa_handler = stepped};
    struct nested_table table = make_table(8);
    unsigned told = 0, kept = 0;

    (void)state;
    assert_int_equal(sigaction(SIGTRAP, &action, NULL), 0);
    map(&table, 0x200000, 0x700000, HV_PAGE_SHIFT, RWX);
    watched_leaf = leaf_pointer(&table, 0x200000);
    for (write_at = 0, steps = 1; steps > write_at; write_at++) {
        struct nested_access_change change = {.clear = BOTH};
        uint32_t count = 1;
        uint8_t states[1];

        *watched_leaf = vendor->nested.leaf(0x700000, RWX, false, MEMORY_WRITE_BACK);
        touch(&table, 0x200000, false);
        steps = 0;
        set_trap_flag(RFLAGS_TF);
        nested_access_states(&table, 0x200000, &change, states, &count);
        set_trap_flag(0);
        assert_true(change.stale && (states[0] & ACCESSED));
        if (steps <= write_at)
            break;
        assert_int_equal((states[0] & DIRTY) != 0, !(*watched_leaf >> FAKE_ACCESSED_SHIFT & DIRTY));
        told += (states[0] & DIRTY) != 0;
        kept += !(states[0] & DIRTY);
    }
    assert_true(told > 10 && kept > 10);
}

/* A bit that is set between a large leaf's reading and its replacement is in the small leaves. */
static uint64_t allocate_late(void *owner)
{
    if (watched_leaf)
        *watched_leaf |= (uint64_t)BOTH << FAKE_ACCESSED_SHIFT;
    return allocate(owner);
}

static void access_set_in_a_split(void **state)
{
    struct nested_table table = make_table(8);
    uint8_t states[512];

    (void)state;
    watched_leaf = NULL;
    table.allocate = allocate_late;
    map(&table, 0x200000, 0x800000, HV_LARGE_PAGE_SHIFT, RWX);
    watched_leaf = leaf_pointer(&table, 0x200000);
    unmap(&table, 0x200000, HV_PAGE_SHIFT);
    access_states(&table, 0x200000, 0, 0, states, 512);
    for (unsigned i = 0; i < 512; i++)
        assert_int_equal(states[i], i ? BOTH : 0);
}

/* Random changes of a 16 MiB space, compared page by page with a list. */
static void random_changes(void **state)
{
    enum { PAGES = 4096, NONE = 0, NO_ACCESS = 1 };
    static uint64_t model[PAGES];
    struct nested_table table = make_table(100);
    unsigned mapped = 0;
    uint32_t budget = ~0u;

    (void)state;
    srandom(7);
    memset(model, 0, sizeof(model));
    for (unsigned round = 0; round < 20000; round++) {
        bool large = random() % 8 == 0;
        unsigned pages = large ? 512 : 1, shift = large ? HV_LARGE_PAGE_SHIFT : HV_PAGE_SHIFT;
        unsigned first = (unsigned)random() % PAGES / pages * pages;
        uint64_t spa = (1 + (uint64_t)random() % 1000) << 21, next;
        unsigned kind = (unsigned)random() % 4;
        nested_replaced replaced;

        for (unsigned i = 0; i < pages; i++) {
            mapped -= model[first + i] > NO_ACCESS;
            model[first + i] = kind == 0 ? NONE : kind == 1 ? NO_ACCESS : spa + i * HV_PAGE_SIZE;
            mapped += model[first + i] > NO_ACCESS;
        }
        if (kind == 0)
            assert_int_equal(nested_unmap(&table, (uint64_t)first << 12, shift, &replaced, &next),
                             HV_STATUS_SUCCESS);
        else if (kind == 1)
            assert_int_equal(nested_map_no_access(&table, (uint64_t)first << 12, shift, &replaced),
                             HV_STATUS_SUCCESS);
        else
            assert_int_equal(nested_map(&table, (uint64_t)first << 12, spa, shift, RWX, false, &replaced),
                             HV_STATUS_SUCCESS);
        nested_settle(&table, replaced);
        if (round % 100)
            continue;
        for (unsigned i = 0; i < PAGES; i++) {
            struct nested_translation translation;
            bool found = nested_lookup(&table, (uint64_t)i << 12, &translation);

            assert_int_equal(found, model[i] != NONE);
            assert_int_equal(translation.no_access, model[i] == NO_ACCESS);
            if (model[i] > NO_ACCESS)
                assert_int_equal(translation.spa, model[i]);
        }
    }
    unmapped_pages = 0;
    assert_true(nested_destroy(&table, &budget));
    assert_int_equal(unmapped_pages, mapped);
    assert_int_equal(pool_left, 100);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_start, fixture_stop)
    const struct CMUnitTest tests[] = {
        TEST(lookup),
        TEST(uncached_pages),
        TEST(no_access),
        TEST(replaced_tables),
        TEST(holes_are_skipped),
        TEST(no_memory),
        TEST(destroy_in_steps),
        TEST(random_changes),
        TEST(split_to_execute),
        TEST(access_of_pages),
        TEST(access_of_large_pages),
        TEST(access_unknown),
        TEST(hypervisor_writes),
        TEST(access_set_at_every_instruction),
        TEST(access_set_in_a_split),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
