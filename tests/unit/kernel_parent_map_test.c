/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parent's map: identity, hidden pages, tables that pay for themselves, faults, shoot-downs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/frame.h"
#include "kernel/parent_map.h"
#include "kernel/partition.h"
#include "kernel/shoot_down.h"
#include "tests/unit/fake_machine.h"

#define SLOT 7

static int start(void **state)
{
    (void)state;
    fake_machine_start(2, true);
    return 0;
}

static int start_small_pages(void **state)
{
    (void)state;
    fake_machine_start(2, false);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    fake_machine_stop();
    return 0;
}

static bool is_identity(uint64_t pfn)
{
    uint64_t spa;
    bool writable;

    return fake_parent_translate(pfn << 12, &spa, &writable) && spa == pfn << 12 && writable;
}

/* Reads zeros and cannot be written. */
static bool is_hidden(uint64_t pfn)
{
    static const uint8_t zeros[HV_PAGE_SIZE];
    uint64_t spa;
    bool writable;

    return fake_parent_translate(pfn << 12, &spa, &writable) && !writable &&
           memcmp(physical_pointer(spa), zeros, HV_PAGE_SIZE) == 0;
}

/* One session that hides `count` pages; returns how many pages came out of it, listed in `pages`. */
static unsigned hide(const uint64_t *pfns, unsigned count, uint64_t *pages)
{
    unsigned total = 0;
    bool split;

    parent_map_begin();
    for (unsigned i = 0; i < count; i++)
        assert_true(parent_map_hide(pfns[i], SLOT, &split));
    parent_map_flush();
    for (unsigned i = 0; i < count; i++)
        total += parent_map_settle_hidden(pfns[i], SLOT, &pages[total]);
    parent_map_end();
    return total;
}

static unsigned reveal(const uint64_t *pfns, unsigned count, uint64_t *pages)
{
    unsigned total = 0, promised = 0;

    parent_map_begin();
    for (unsigned i = 0; i < count; i++)
        promised += parent_map_reveal(pfns[i]);
    parent_map_flush();
    for (unsigned i = 0; i < count; i++)
        total += parent_map_settle_revealed(pfns[i], &pages[total]);
    parent_map_end();
    assert_int_equal(promised, total);
    return total;
}

static void identity_after_boot(void **state)
{
    bool split;

    (void)state;
    for (uint64_t pfn = 0; pfn < FAKE_MEMORY_SIZE >> 12; pfn++)
        if (pfn - FAKE_OWN_PFN < FAKE_OWN_PAGES)
            assert_true(is_hidden(pfn));
        else
            assert_true(is_identity(pfn));
    /* Memory-mapped registers, also above 512 GiB. */
    assert_true(is_identity(0xFEE00));
    assert_true(is_identity(0xFEC00));
    assert_true(is_identity((1ull << 28) - 1));
    assert_false(parent_map_hide(FAKE_OWN_PFN, SLOT, &split));
    assert_false(parent_map_hide(0xFEE00, SLOT, &split));
    assert_false(parent_map_hide(0xA0, SLOT, &split));
    assert_false(parent_map_hide(0, SLOT, &split));
    assert_false(parent_map_hide(1ull << 40, SLOT, &split));
}

static void first_page_becomes_table(void **state)
{
    uint64_t pages[2], pfn = 0x1005, second = 0x1007;
    bool split;

    (void)state;
    assert_int_equal(hide(&pfn, 1, pages), 0);
    assert_int_equal(frame_find(pfn)->state, FRAME_LONE);
    assert_int_equal(parent_map_lone_tables(SLOT), 1);
    assert_true(is_hidden(pfn));
    assert_true(is_identity(0x1004));
    assert_true(is_identity(0x1006));
    assert_true(is_identity(0x11FF));

    assert_int_equal(hide(&second, 1, pages), 1);
    assert_int_equal(pages[0], second);
    assert_int_equal(frame_find(pfn)->state, FRAME_SPLIT);
    assert_int_equal(parent_map_lone_tables(SLOT), 0);
    assert_true(is_hidden(second));
    assert_false(parent_map_hide(second, SLOT, &split));

    /* The last hidden page brings the table back too, and the large page. */
    assert_int_equal(reveal(&second, 1, pages), 2);
    assert_int_equal(pages[0], second);
    assert_int_equal(pages[1], pfn);
    assert_true(is_identity(pfn));
    assert_true(is_identity(second));
    assert_int_equal(frame_find(pfn)->state, FRAME_PARENT);
}

/* Gives one table back that stands alone in its region; returns its pfn. */
static uint64_t reveal_lone(void)
{
    uint64_t found = 0, pages[2];

    parent_map_begin();
    for (unsigned i = 0; i < 100000 && !found; i++) {
        uint32_t budget = 100;

        found = parent_map_reveal_lone(SLOT, &budget);
    }
    parent_map_flush();
    assert_int_equal(parent_map_settle_revealed(found, pages), 1);
    parent_map_end();
    assert_int_equal(pages[0], found);
    return found;
}

/* A page that became a table for nothing else comes back as well. */
static void lone_tables(void **state)
{
    uint64_t pages[2], pfns[3] = {0x1005, 0x1407, 0x1};
    uint32_t budget = 1000000;

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(hide(&pfns[i], 1, pages), 0);
    assert_int_equal(parent_map_lone_tables(SLOT), 3);
    assert_int_equal(parent_map_reveal_lone(SLOT + 1, &budget), 0);
    for (unsigned i = 3; i > 0; i--) {
        uint64_t found = reveal_lone();

        assert_int_equal(frame_find(found)->state, FRAME_PARENT);
        assert_true(is_identity(found));
        assert_int_equal(parent_map_lone_tables(SLOT), i - 1);
    }
    assert_int_equal(parent_map_deposited_pages(), 0);
}

static void tables_come_back_scrubbed(void **state)
{
    static const uint8_t zeros[HV_PAGE_SIZE];
    uint64_t pages[2], pfns[2] = {0x1005, 0x1007};

    (void)state;
    assert_int_equal(hide(pfns, 2, pages), 1);
    assert_int_equal(reveal(&pages[0], 1, pages), 2);
    assert_memory_equal(physical_pointer(pfns[0] << 12), zeros, HV_PAGE_SIZE);
}

static void hidden_region_needs_no_table(void **state)
{
    static uint64_t pfns[512], pages[1024], back[1024];
    unsigned count;

    (void)state;
    for (unsigned i = 0; i < 512; i++)
        pfns[i] = 0x1000 + i;
    count = hide(pfns, 500, pages);
    assert_int_equal(count, 499);
    assert_int_equal(frame_find(pfns[0])->state, FRAME_SPLIT);
    count += hide(&pfns[500], 12, &pages[count]);
    assert_int_equal(count, 512);
    for (unsigned i = 0; i < 512; i++) {
        assert_true(is_hidden(pfns[i]));
        assert_int_equal(frame_find(pfns[i])->state, FRAME_DEPOSITED);
    }
    /* The first one out becomes a table again. */
    assert_int_equal(reveal(&pfns[9], 1, back), 0);
    assert_true(is_hidden(pfns[9]));
    assert_int_equal(reveal(&pfns[10], 1, back), 1);
    assert_true(is_identity(pfns[10]));
    assert_true(is_hidden(pfns[11]));
    count = 1 + reveal(pfns, 9, back);
    count += reveal(&pfns[11], 300, back);
    count += reveal(&pfns[311], 201, back);
    assert_int_equal(count, 512);
    for (unsigned i = 0; i < 512; i++)
        assert_true(is_identity(pfns[i]));
}

static void region_shared_with_loam_keeps_its_table(void **state)
{
    uint64_t pages[2], pfn = (FAKE_OWN_PFN + FAKE_OWN_PAGES) | 0x1FF;

    (void)state;
    assert_true(is_identity(pfn));
    assert_int_equal(hide(&pfn, 1, pages), 1);
    assert_true(is_hidden(pfn));
    assert_int_equal(reveal(&pfn, 1, pages), 1);
    assert_true(is_identity(pfn));
}

static void used_pages_cannot_be_hidden(void **state)
{
    uint64_t pfn = 0x1005;
    bool split;

    (void)state;
    assert_true(frame_map(pfn));
    assert_false(parent_map_hide(pfn, SLOT, &split));
    frame_unmap(pfn);
    for (unsigned i = 0; i < FRAME_MAPS_MAXIMUM; i++)
        assert_true(frame_map(pfn));
    assert_false(frame_map(pfn));
    for (unsigned i = 0; i < FRAME_MAPS_MAXIMUM; i++)
        frame_unmap(pfn);
    assert_false(frame_map(FAKE_OWN_PFN));
    assert_false(frame_map(0xA0));
}

static void large_maps_are_all_or_nothing(void **state)
{
    uint64_t pages[2], pfns[2] = {0x1205, 0x1207};

    (void)state;
    assert_true(frame_map_large(0x1000));
    assert_int_equal(frame_find(0x11FF)->maps, 1);
    frame_unmap_large(0x1000);
    hide(pfns, 2, pages);
    assert_false(frame_map_large(0x1200));
    assert_int_equal(frame_find(0x1200)->maps, 0);
    assert_false(frame_map_large(0x0));    /* a hole in it */
    assert_false(frame_map_large(0x4000)); /* behind the end */
    reveal(&pfns[1], 1, pages);
}

/* Random sessions over a few regions: every page comes out once, and the map ends as it began. */
static void random_sessions_conserve_pages(void **state)
{
    static uint64_t pool[8192], pages[1024], chosen[512];
    size_t before_count, after_count;
    uint64_t *before = fake_parent_map_copy(&before_count), *after;
    bool split;
    unsigned held = 0, outside = 0; /* pages in the pool; pages that the parent does not have */

    (void)state;
    srandom(20221);
    for (unsigned round = 0; round < 4000; round++) {
        unsigned count = 0, want = 1 + (unsigned)random() % 300;

        if (random() % 2 && round < 3800) {
            parent_map_begin();
            for (unsigned i = 0; i < want; i++) {
                uint64_t pfn = (unsigned)random() % (random() % 4 ? 0x400 : 0x4000);

                if (parent_map_hide(pfn, SLOT, &split))
                    chosen[count++] = pfn;
            }
            parent_map_flush();
            for (unsigned i = 0; i < count; i++)
                held += parent_map_settle_hidden(chosen[i], SLOT, &pool[held]);
            parent_map_end();
            outside += count;
        } else {
            for (; count < want && held > 0; count++) {
                unsigned at = (unsigned)random() % held;

                chosen[count] = pool[at];
                pool[at] = pool[--held];
            }
            outside -= reveal(chosen, count, pages);
        }
    }
    while (held > 0)
        outside -= reveal(&pool[--held], 1, pages);
    for (; parent_map_lone_tables(SLOT) > 0; outside--)
        reveal_lone();
    assert_int_equal(outside, 0);
    assert_int_equal(parent_map_deposited_pages(), 0);
    after = fake_parent_map_copy(&after_count);
    assert_int_equal(before_count, after_count);
    assert_memory_equal(before, after, before_count * sizeof(*before));
    free(before);
    free(after);
}

static void faults(void **state)
{
    uint64_t pages[2], pfns[2] = {0x1005, 0x1007};

    (void)state;
    hide(pfns, 2, pages);
    assert_int_equal(parent_map_fault(0x1007ABC, true), PARENT_MAP_HIDDEN);
    assert_int_equal(parent_map_fault(0x1005000, true), PARENT_MAP_HIDDEN);
    assert_int_equal(parent_map_fault(FAKE_OWN_PFN << 12, true), PARENT_MAP_HIDDEN);
    assert_int_equal(parent_map_hidden_writes(), 3);
    assert_int_equal(parent_map_fault(0x1007ABC, false), PARENT_MAP_RETRY);
    assert_int_equal(parent_map_fault(0x1006ABC, true), PARENT_MAP_RETRY);
    assert_int_equal(parent_map_fault(0x2000000, true), PARENT_MAP_RETRY);
    assert_int_equal(parent_map_fault(0xFEE00000, true), PARENT_MAP_RETRY);
    assert_int_equal(parent_map_fault(1ull << FAKE_ADDRESS_BITS, false), PARENT_MAP_OUTSIDE);
    reveal(&pfns[1], 1, pages);
}

static void protected_page(void **state)
{
    uint64_t spa;
    bool writable;

    (void)state;
    assert_false(parent_map_protect(0x1000000));    /* RAM */
    assert_false(parent_map_protect(0x4000000000)); /* no directory */
    assert_false(parent_map_protect(1ull << FAKE_ADDRESS_BITS));
    assert_true(parent_map_protect(0xFEE00000));
    assert_false(parent_map_protect(0xFEC00000));
    assert_true(fake_parent_translate(0xFEE00300, &spa, &writable));
    assert_int_equal(spa, 0xFEE00300);
    assert_false(writable);
    assert_true(is_identity(0xFEE01));
    assert_int_equal(parent_map_fault(0xFEE00300, true), PARENT_MAP_PROTECTED);
    assert_int_equal(parent_map_hidden_writes(), 0);
    for (unsigned i = 0; i < 2; i++) { /* by two processors that find it read-only */
        parent_map_unprotect();
        assert_true(is_identity(0xFEE00));
        assert_int_equal(parent_map_fault(0xFEE00300, true), PARENT_MAP_RETRY);
    }
}

static void regions_on_demand(void **state)
{
    uint64_t spa, shoot_downs;
    bool writable;

    (void)state;
    assert_true(is_identity(0xFEE00));
    assert_false(fake_parent_translate(0x4000000000, &spa, &writable));
    assert_int_equal(parent_map_fault(0x40123456789 & 0xFFFFFFFFFF, true), PARENT_MAP_RETRY);
    shoot_downs = shoot_down_count();
    for (uint64_t i = 0; i < PARENT_MAP_POOL_PAGES - 1; i++)
        assert_int_equal(parent_map_fault(0x8000000000 + (i << 30), false), PARENT_MAP_RETRY);
    assert_int_equal(shoot_down_count(), shoot_downs);
    for (uint64_t i = 0; i < PARENT_MAP_POOL_PAGES - 1; i++)
        assert_true(is_identity((0x8000000000 + (i << 30)) >> 12));
    /* One more than there are: the oldest goes. */
    assert_int_equal(parent_map_fault(0xC000000000, false), PARENT_MAP_RETRY);
    assert_int_equal(shoot_down_count(), shoot_downs + 1);
    assert_true(is_identity(0xC000000));
    assert_true(is_identity(0x8000000));
    assert_false(fake_parent_translate(0x40123456789 & 0xFFFFFFFFFF, &spa, &writable));
    assert_int_equal(parent_map_fault(0xC040000000, false), PARENT_MAP_RETRY);
    assert_false(fake_parent_translate(0x8000000000, &spa, &writable));
}

static struct vp running;
static unsigned kicks;

static void leave_at_kick(uint32_t lp_index)
{
    assert_int_equal(lp_index, 1);
    kicks++;
}

/* The other processor leaves its guest, and its next entry flushes. */
static void enter_again(void)
{
    fake_machine_become(1);
    assert_true(shoot_down_entry(&running));
    fake_machine_become(0);
}

static void shoot_down_waits_for_those_who_run(void **state)
{
    (void)state;
    running = (struct vp){.partition = &parent_partition, .last_lp = ~0u};
    kicks = 0;
    fake_kick = leave_at_kick;
    fake_elsewhere = enter_again;
    shoot_down(&parent_partition);
    assert_int_equal(kicks, 0);

    fake_machine_become(1);
    guest_memory_begin(&running);
    assert_true(shoot_down_entry(&running));
    assert_false(shoot_down_entry(&running));
    fake_machine_become(0);
    shoot_down(&parent_partition);
    assert_int_equal(kicks, 1);
    assert_int_equal(running.flushed_generation, parent_partition.map_generation);

    /* Another partition's guest is not waited for, nor one that has left; that one flushes when it enters. */
    fake_elsewhere = NULL;
    shoot_down(&(struct partition){0});
    fake_machine_become(1);
    guest_memory_end(NULL);
    fake_machine_become(0);
    shoot_down(&parent_partition);
    assert_int_equal(kicks, 1);
    fake_machine_become(1);
    assert_true(shoot_down_entry(&running));
    /* On another processor than last time always. */
    fake_machine_become(0);
    assert_true(shoot_down_entry(&running));
}

static void end_access(void)
{
    fake_machine_become(1);
    guest_memory_end(NULL);
    fake_machine_become(0);
}

static void shoot_down_waits_for_accesses(void **state)
{
    (void)state;
    running = (struct vp){.partition = &parent_partition, .last_lp = ~0u};
    kicks = 0;
    fake_kick = leave_at_kick;
    fake_elsewhere = end_access;
    fake_machine_become(1);
    assert_null(guest_memory_begin(&running));
    fake_machine_become(0);
    shoot_down(&parent_partition);
    assert_int_equal(kicks, 1);
    assert_null(lp_by_index(1)->running);
}

/* --- memory types --- */

#define WB  MEMORY_WRITE_BACK
#define UC  MEMORY_UNCACHEABLE
#define GIB 0x40000000ull

/* A hole below 1 MiB, RAM of another type within a large page, and registers from 1 GiB + 16 MiB + 64 KiB on.
 */
static bool types_changed;
static enum memory_type by_address(uint64_t spa)
{
    if (spa >= 0xA0000 && spa < 0xC0000)
        return UC;
    if (spa >= 0x1010000 && spa < 0x1020000)
        return types_changed ? WB : MEMORY_WRITE_THROUGH;
    if (types_changed && spa >= 0x1800000 && spa < 0x1801000)
        return UC;
    return spa >= GIB + 0x1010000 ? UC : WB;
}

static int start_types(void **state)
{
    types_changed = false;
    fake_memory_type = by_address;
    return start(state);
}

static int start_types_small_pages(void **state)
{
    types_changed = false;
    fake_memory_type = by_address;
    return start_small_pages(state);
}

static int stop_types(void **state)
{
    fake_memory_type = NULL;
    fake_types_first = fake_types_end = 0;
    return stop(state);
}

/* Every page that is not hidden has its own type; `expected`: the size of its leaf. */
static void check_type(uint64_t gpa, unsigned expected_shift)
{
    unsigned shift;

    assert_int_equal(fake_parent_type(gpa, &shift), by_address(gpa));
    assert_int_equal(shift, expected_shift);
    assert_true(is_identity(gpa >> 12));
}

static void check_types(void)
{
    unsigned shift;

    for (uint64_t pfn = 0; pfn < FAKE_MEMORY_SIZE >> 12; pfn++)
        assert_int_equal(fake_parent_type(pfn << 12, &shift), is_identity(pfn) ? by_address(pfn << 12) : WB);
}

static void change(uint64_t first, uint64_t end)
{
    uint64_t shoot_downs = shoot_down_count();

    types_changed = !types_changed;
    fake_types_first = first;
    fake_types_end = end;
    parent_map_load_types();
    assert_true(shoot_down_count() > shoot_downs);
    fake_types_first = fake_types_end = 0;
    parent_map_load_types(); /* the same on another processor */
}

static void leaves_have_one_type(void **state)
{
    (void)state;
    check_types();
    check_type(0x9F000, 12);
    check_type(0xA0000, 12);
    check_type(0x200000, 21);
    check_type(0x100F000, 12);
    check_type(0x1010000, 12);
    check_type(GIB, 21);
    check_type(GIB + 0x100F000, 12);
    check_type(GIB + 0x1010000, 12);
    check_type(GIB + 0x1200000, 21);
    check_type(2 * GIB, 30);
    check_type(0xFEE00000, 21);
    check_type(0x8000000000, 30);
}

static void protected_page_has_its_type(void **state)
{
    unsigned shift;

    (void)state;
    assert_true(parent_map_protect(0xFEE00000));
    assert_int_equal(fake_parent_type(0xFEE00000, &shift), UC);
    change(0, 1ull << FAKE_ADDRESS_BITS);
    assert_int_equal(parent_map_fault(0xFEE00300, true), PARENT_MAP_PROTECTED);
    check_type(0xFEE01000, 12);
}

/* In a large page that has a table for its types already. */
static void protected_page_among_types(void **state)
{
    unsigned shift;

    (void)state;
    assert_false(parent_map_protect(0x1010000)); /* RAM, as before */
    assert_true(parent_map_protect(GIB + 0x100F000));
    assert_int_equal(parent_map_fault(GIB + 0x100F000, true), PARENT_MAP_PROTECTED);
    assert_int_equal(fake_parent_type(GIB + 0x100F000, &shift), WB);
    check_type(GIB + 0x1010000, 12);
    fake_memory_type = NULL; /* no table is needed for types any more */
    change(0, ~0ull);
    assert_int_equal(parent_map_fault(GIB + 0x100F000, true), PARENT_MAP_PROTECTED);
}

/* Deposits in large pages of one type and of several, while types change: the map ends as it began. */
static void types_survive_deposits(void **state)
{
    uint64_t pages[8], first[2] = {0x1011, 0x1012}, second[3] = {0x1805, 0x1806, 0x1800};
    size_t before_count, after_count;
    uint64_t *before = fake_parent_map_copy(&before_count), *after;
    unsigned total = 0;

    (void)state;
    assert_int_equal(hide(first, 2, pages), 2); /* the region has a table of Loam's */
    total = 2 + hide(second, 2, &pages[2]);
    assert_int_equal(total, 3);
    check_types();
    change(0x1010000, 0x1801000);
    check_types();
    assert_true(is_hidden(0x1011) && is_hidden(0x1805));
    assert_int_equal(reveal(pages, 3, pages), 4);
    check_types();
    check_type(0x1800000, 12); /* not restored to a large page */
    assert_int_equal(hide(&second[2], 1, pages), 1);
    assert_int_equal(reveal(pages, 1, pages), 1);
    change(0x1010000, 0x1801000);
    check_types();
    after = fake_parent_map_copy(&after_count);
    assert_int_equal(before_count, after_count);
    assert_memory_equal(before, after, before_count * sizeof(*before));
    free(before);
    free(after);
}

/* Large pages of a region are told apart, then none is: as often as one likes. */
static void tables_for_types_come_back(void **state)
{
    unsigned shift;

    (void)state;
    for (unsigned i = 0; i < 4 * PARENT_MAP_TYPE_TABLES; i++) {
        fake_memory_type = i % 2 ? by_address : NULL;
        change(0, ~0ull);
        if (i % 2)
            check_type(GIB + 0x1010000, 12);
        else
            assert_true(fake_parent_type(GIB + 0x1010000, &shift) == WB && shift == 30);
    }
}

static enum memory_type alternating(uint64_t spa)
{
    return spa < FAKE_TYPES_END ? (spa & 0x10000 ? UC : WB) : UC;
}

static void without_tables_uncacheable(void **state)
{
    unsigned shift, split = 0;

    (void)state;
    fake_memory_type = alternating;
    change(0, ~0ull);
    for (uint64_t gpa = 0; gpa < FAKE_MEMORY_SIZE; gpa += HV_LARGE_PAGE_SIZE)
        if (gpa >> 12 < FAKE_OWN_PFN || gpa >> 12 > FAKE_OWN_PFN + FAKE_OWN_PAGES) {
            enum memory_type type = fake_parent_type(gpa, &shift);

            assert_int_equal(type, shift == 12 ? WB : UC);
            split += shift == 12;
        }
    for (uint64_t gpa = FAKE_MEMORY_SIZE; gpa < FAKE_TYPES_END; gpa += HV_LARGE_PAGE_SIZE) {
        fake_parent_type(gpa, &shift);
        split += shift == 12;
    }
    assert_in_range(split, PARENT_MAP_TYPE_TABLES - 8, PARENT_MAP_TYPE_TABLES);
    /* When there are tables again, all of it is looked at, wherever types change. */
    fake_memory_type = by_address;
    change(0x800000, 0xA00000);
    leaves_have_one_type(state);
}

/* Regions that are filled when they are touched, and make way for others with their tables. */
static void types_of_regions_on_demand(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 3 * PARENT_MAP_TYPE_TABLES; round++) {
        assert_int_equal(parent_map_fault(GIB, false), PARENT_MAP_RETRY);
        check_type(GIB + 0x100F000, 12);
        check_type(GIB + 0x1010000, 12);
        for (uint64_t i = 0; i < PARENT_MAP_POOL_PAGES; i++)
            assert_int_equal(parent_map_fault(0x8000000000 + (i << 30), false), PARENT_MAP_RETRY);
        check_type(0x8000000000, 21);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(identity_after_boot, start, stop),
        cmocka_unit_test_setup_teardown(first_page_becomes_table, start, stop),
        cmocka_unit_test_setup_teardown(lone_tables, start, stop),
        cmocka_unit_test_setup_teardown(tables_come_back_scrubbed, start, stop),
        cmocka_unit_test_setup_teardown(hidden_region_needs_no_table, start, stop),
        cmocka_unit_test_setup_teardown(region_shared_with_loam_keeps_its_table, start, stop),
        cmocka_unit_test_setup_teardown(used_pages_cannot_be_hidden, start, stop),
        cmocka_unit_test_setup_teardown(large_maps_are_all_or_nothing, start, stop),
        cmocka_unit_test_setup_teardown(random_sessions_conserve_pages, start, stop),
        cmocka_unit_test_setup_teardown(faults, start, stop),
        cmocka_unit_test_setup_teardown(protected_page, start, stop),
        cmocka_unit_test_setup_teardown(regions_on_demand, start_small_pages, stop),
        cmocka_unit_test_setup_teardown(leaves_have_one_type, start_types, stop_types),
        cmocka_unit_test_setup_teardown(protected_page_has_its_type, start_types, stop_types),
        cmocka_unit_test_setup_teardown(protected_page_among_types, start_types, stop_types),
        cmocka_unit_test_setup_teardown(types_survive_deposits, start_types, stop_types),
        cmocka_unit_test_setup_teardown(tables_for_types_come_back, start_types, stop_types),
        cmocka_unit_test_setup_teardown(without_tables_uncacheable, start_types, stop_types),
        cmocka_unit_test_setup_teardown(types_of_regions_on_demand, start_types_small_pages, stop_types),
        cmocka_unit_test_setup_teardown(shoot_down_waits_for_those_who_run, start, stop),
        cmocka_unit_test_setup_teardown(shoot_down_waits_for_accesses, start, stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
