/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MAP_GPA_PAGES and UNMAP_GPA_PAGES: what they accept, counting of uses, splitting, shoot-downs, lack of
 * memory. */
#include <stdlib.h>

#include "kernel/frame.h"
#include "kernel/partition.h"
#include "kernel/shoot_down.h"
#include "tests/unit/kernel_fixture.h"

#define R     HV_MAP_GPA_READABLE
#define RWX   (HV_MAP_GPA_READABLE | HV_MAP_GPA_WRITABLE | HV_MAP_GPA_EXECUTABLE)
#define LARGE HV_MAP_GPA_LARGE_PAGE

static bool translate(uint64_t id, uint64_t gpa, struct nested_translation *translation)
{
    struct partition *partition = partition_get(id);
    bool found = nested_lookup(&partition->map, gpa, translation);

    partition_put(partition);
    return found;
}

static uint64_t mapped(uint64_t id)
{
    return statistic(id, LOAM_STATISTICS_PARTITION, 0, LOAM_PARTITION_MAPPED_PAGES);
}

static void pages(void **state)
{
    uint64_t id = create_active_partition(10),
             pfns[3] = {take_pages(1, 1), take_pages(1, 1), take_pages(1, 1)};
    struct nested_translation translation;
    unsigned done;

    (void)state;
    assert_int_equal(map_pages(id, 0x10, RWX | HV_MAP_GPA_ADJUSTABLE, pfns, 3, &done), HV_STATUS_SUCCESS);
    assert_int_equal(done, 3);
    assert_int_equal(mapped(id), 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(translate(id, (0x10 + i) * 0x1000 + 5, &translation));
        assert_int_equal(translation.spa, (pfns[i] << 12) + 5);
        assert_int_equal(translation.access, RWX);
        assert_int_equal(frame_find(pfns[i])->maps, 1);
    }
    /* Over an existing mapping: replaced. */
    assert_int_equal(map_pages(id, 0x11, R, pfns, 1, &done), HV_STATUS_SUCCESS);
    assert_int_equal(mapped(id), 3);
    assert_int_equal(frame_find(pfns[0])->maps, 2);
    assert_int_equal(frame_find(pfns[1])->maps, 0);
    translate(id, 0x11000, &translation);
    assert_int_equal(translation.access, R);
    /* Either kind of execution means execution. */
    assert_int_equal(map_pages(id, 0x11, R | HV_MAP_GPA_USER_EXECUTABLE, pfns, 1, &done), HV_STATUS_SUCCESS);
    translate(id, 0x11000, &translation);
    assert_int_equal(translation.access, R | HV_MAP_GPA_EXECUTABLE);

    assert_int_equal(unmap_pages(id, 0, 0, 0x100, &done), HV_STATUS_SUCCESS);
    assert_int_equal(done, 0x100);
    assert_int_equal(mapped(id), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(frame_find(pfns[i])->maps, 0);
    assert_false(translate(id, 0x10000, &translation));
    /* What is not mapped can be unmapped. */
    assert_int_equal(unmap_pages(id, 0, 0, 4095, &done), HV_STATUS_SUCCESS);
    assert_int_equal(done, 4095);
}

static void refused(void **state)
{
    uint64_t id = create_active_partition(20), pfn = take_pages(1, 1), large = take_pages(512, 512), two[2];
    static const uint64_t sources[] = {0xA0,       0xFEE00, FAKE_OWN_PFN, FAKE_MEMORY_SIZE >> 12,
                                       1ull << 52, ~0ull};
    static const uint32_t flags[] = {0,           HV_MAP_GPA_WRITABLE, HV_MAP_GPA_EXECUTABLE, R | 0x10,
                                     R | 1 << 14, R | 0x20000,         R | 0x40000000};
    const uint64_t end = 1ull << (FAKE_ADDRESS_BITS - 12);
    unsigned done;

    (void)state;
    for (unsigned i = 0; i < sizeof(sources) / sizeof(*sources); i++) {
        two[0] = pfn;
        two[1] = sources[i];
        assert_int_equal(map_pages(id, 0x10, R, two, 2, &done), HV_STATUS_INVALID_PARAMETER);
        assert_int_equal(done, 1);
        assert_int_equal(map_pages(id, 0x200, R | LARGE, &sources[i], 1, &done), HV_STATUS_INVALID_PARAMETER);
    }
    for (unsigned i = 0; i < sizeof(flags) / sizeof(*flags); i++)
        assert_int_equal(map_pages(id, 0x10, flags[i], &pfn, 1, &done), HV_STATUS_INVALID_PARAMETER);
    /* Beyond the address width, and around its end. */
    assert_int_equal(map_pages(id, end, R, &pfn, 1, &done), HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(map_pages(id, ~0ull, R, &pfn, 1, &done), HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(map_pages(id, 1ull << 52, R, &pfn, 1, &done), HV_STATUS_INVALID_PARAMETER);
    two[0] = two[1] = pfn;
    assert_int_equal(map_pages(id, end - 1, R, two, 2, &done), HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(map_pages(id, end - 1, R, two, 1, &done), HV_STATUS_SUCCESS);
    assert_int_equal(map_pages(id, end - 512, R | LARGE, &large, 1, &done), HV_STATUS_SUCCESS);
    assert_int_equal(map_pages(id, ~511ull, R | LARGE, &large, 1, &done), HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(unmap_pages(id, end, 0, 1, &done), HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(unmap_pages(id, end - 10, 0, 11, &done), HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(unmap_pages(id, ~0ull, 0, 1, &done), HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(unmap_pages(id, 0, 1, 1, &done), HV_STATUS_INVALID_PARAMETER);
    /* Large pages that are not aligned, at either side. */
    assert_int_equal(map_pages(id, 0x201, R | LARGE, &large, 1, &done), HV_STATUS_INVALID_PARAMETER);
    two[0] = large + 1;
    assert_int_equal(map_pages(id, 0x200, R | LARGE, two, 1, &done), HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(unmap_pages(id, 0x201, HV_UNMAP_GPA_LARGE_PAGE, 1, &done), HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(frame_find(pfn)->maps, 1);
}

static void deposited_pages_cannot_be_mapped(void **state)
{
    uint64_t id = create_active_partition(20), pfn = take_pages(2, 1), input[2] = {id, pfn};
    unsigned done;

    (void)state;
    assert_int_equal(hypercall_status(HVCALL_DEPOSIT_MEMORY, 1, input, sizeof(input)), HV_STATUS_SUCCESS);
    assert_int_equal(map_pages(id, 0, R, &pfn, 1, &done), HV_STATUS_INVALID_PARAMETER);
    pfn &= ~511ull;
    assert_int_equal(map_pages(id, 0, R | LARGE, &pfn, 1, &done), HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(frame_find(pfn)->maps, 0);
}

static void no_access(void **state)
{
    uint64_t id = create_active_partition(20), pfns[509] = {0}, pfn = take_pages(1, 1);
    struct nested_translation translation;
    unsigned done;

    (void)state;
    /* The list is ignored. */
    assert_int_equal(map_pages(id, 0x100, HV_MAP_GPA_NO_ACCESS, pfns, 509, &done), HV_STATUS_SUCCESS);
    assert_int_equal(done, 509);
    assert_int_equal(mapped(id), 0);
    assert_true(translate(id, 0x100000, &translation));
    assert_true(translation.no_access);
    assert_int_equal(map_pages(id, 0x101, RWX, &pfn, 1, &done), HV_STATUS_SUCCESS);
    assert_int_equal(map_pages(id, 0x101, HV_MAP_GPA_NO_ACCESS, pfns, 1, &done), HV_STATUS_SUCCESS);
    assert_int_equal(frame_find(pfn)->maps, 0);
    assert_int_equal(map_pages(id, 0x400, HV_MAP_GPA_NO_ACCESS | LARGE, pfns, 2, &done), HV_STATUS_SUCCESS);
    translate(id, 0x7FF000, &translation);
    assert_true(translation.no_access);
    assert_int_equal(translation.page_shift, HV_LARGE_PAGE_SHIFT);
}

static void large_pages(void **state)
{
    uint64_t id = create_active_partition(20), large = take_pages(1024, 512), two[2] = {large, large + 512},
             small;
    struct nested_translation translation;
    unsigned done;

    (void)state;
    assert_int_equal(map_pages(id, 0x400, RWX | LARGE, two, 2, &done), HV_STATUS_SUCCESS);
    assert_int_equal(done, 2);
    assert_int_equal(mapped(id), 1024);
    assert_int_equal(frame_find(large + 1023)->maps, 1);
    translate(id, 0x5FFFFF, &translation);
    assert_int_equal(translation.page_shift, HV_LARGE_PAGE_SHIFT);
    assert_int_equal(translation.spa, (large << 12) + 0x1FFFFF);
    /* One page out of the middle: split. */
    assert_int_equal(unmap_pages(id, 0x455, 0, 1, &done), HV_STATUS_SUCCESS);
    assert_int_equal(mapped(id), 1023);
    assert_int_equal(frame_find(large + 0x55)->maps, 0);
    assert_int_equal(frame_find(large + 0x56)->maps, 1);
    assert_false(translate(id, 0x455000, &translation));
    assert_true(translate(id, 0x456000, &translation));
    assert_int_equal(translation.spa, (large + 0x56) << 12);
    /* Another page over one in the second. */
    small = take_pages(1, 1);
    assert_int_equal(map_pages(id, 0x600, R, &small, 1, &done), HV_STATUS_SUCCESS);
    assert_int_equal(frame_find(large + 512)->maps, 0);
    /* A large page over what is split; a large unmap of what is split. */
    assert_int_equal(map_pages(id, 0x400, RWX | LARGE, two, 1, &done), HV_STATUS_SUCCESS);
    assert_int_equal(frame_find(large + 0x55)->maps, 1);
    assert_int_equal(frame_find(large + 0x56)->maps, 1);
    assert_int_equal(unmap_pages(id, 0x400, HV_UNMAP_GPA_LARGE_PAGE, 2, &done), HV_STATUS_SUCCESS);
    assert_int_equal(mapped(id), 0);
    for (unsigned i = 0; i < 1024; i++)
        assert_int_equal(frame_find(large + i)->maps, 0);
    assert_int_equal(frame_find(small)->maps, 0);
}

static void insufficient_memory(void **state)
{
    uint64_t id = create_active_partition(0), large = take_pages(512, 512), pfns[3];
    unsigned done, deposits = 0;
    enum hv_status status;

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        pfns[i] = take_pages(1, 1);
    while ((status = map_pages(id, 0x10, R, pfns, 3, &done)) == HV_STATUS_INSUFFICIENT_MEMORY) {
        assert_int_equal(done, 0);
        assert_int_equal(frame_find(pfns[0])->maps, 0);
        deposit(id, 1);
        deposits++;
    }
    assert_int_equal(status, HV_STATUS_SUCCESS);
    assert_in_range(deposits, 2, 4);
    /* In the middle: what is done stays done, and the caller goes on from there. */
    withdraw_all(id);
    assert_int_equal(map_pages(id, 0x1FF, R, pfns, 3, &done), HV_STATUS_INSUFFICIENT_MEMORY);
    assert_int_equal(done, 1);
    assert_int_equal(frame_find(pfns[0])->maps, 2);
    assert_int_equal(frame_find(pfns[1])->maps, 1);
    deposit(id, 1);
    assert_int_equal(map_pages(id, 0x200, R, &pfns[1], 2, &done), HV_STATUS_SUCCESS);
    /* Unmapping a page of a large one needs a table too. */
    withdraw_all(id);
    assert_int_equal(map_pages(id, 0x400, R | LARGE, &large, 1, &done), HV_STATUS_SUCCESS);
    assert_int_equal(unmap_pages(id, 0x401, 0, 1, &done), HV_STATUS_INSUFFICIENT_MEMORY);
    assert_int_equal(done, 0);
    deposit(id, 1);
    assert_int_equal(unmap_pages(id, 0x401, 0, 1, &done), HV_STATUS_SUCCESS);
    assert_int_equal(map_pages(id, 0x600, R | LARGE, &large, 1, &done), HV_STATUS_SUCCESS);
    assert_int_equal(frame_find(large)->maps, 2);
}

static void shoot_downs(void **state)
{
    uint64_t id = create_active_partition(20), pfns[60], before;
    unsigned done;

    (void)state;
    for (unsigned i = 0; i < 60; i++)
        pfns[i] = take_pages(1, 1);
    before = shoot_down_count();
    map_pages(id, 0x10, RWX, pfns, 60, &done);
    assert_int_equal(shoot_down_count(), before); /* nothing was there that could be stale */
    map_pages(id, 0x10, R, pfns, 60, &done);
    assert_int_equal(shoot_down_count(), before + 1);
    unmap_pages(id, 0x10, 0, 60, &done);
    assert_int_equal(shoot_down_count(), before + 2);
    unmap_pages(id, 0x10, 0, 60, &done);
    assert_int_equal(shoot_down_count(), before + 2);
}

/* While a shoot-down waits, the pages still count as in use; they are free when the call returns. */
static uint64_t watched_pfn;
static struct vp *running;

static void leave_late(void)
{
    assert_int_equal(frame_find(watched_pfn)->maps, 1);
    fake_machine_become(1);
    guest_memory_end(NULL);
    fake_machine_become(0);
}

static void pages_are_kept_until_the_shoot_down(void **state)
{
    uint64_t id = create_active_partition(20);
    unsigned done;

    (void)state;
    watched_pfn = take_pages(1, 1);
    map_pages(id, 0x10, RWX, &watched_pfn, 1, &done);
    running = create_vp_with_pages(id, 0);
    fake_machine_become(1);
    guest_memory_begin(running);
    shoot_down_entry(running);
    fake_machine_become(0);
    fake_elsewhere = leave_late;
    assert_int_equal(unmap_pages(id, 0x10, 0, 1, &done), HV_STATUS_SUCCESS);
    assert_null(lp_by_index(1)->running);
    assert_int_equal(frame_find(watched_pfn)->maps, 0);
}

/* Several VPs of the partition run, each on a processor of its own: one leaves, one flushes at its next entry. */
static struct vp *vps[3];
static unsigned waits, kicks;

static void enter_on(unsigned lp, struct vp *vp)
{
    fake_machine_become(lp);
    guest_memory_begin(vp);
    shoot_down_entry(vp);
    fake_machine_become(0);
}

static void leave_one_by_one(void)
{
    waits++;
    if (waits == 1) {
        fake_machine_become(2);
        guest_memory_end(NULL);
        fake_machine_become(0);
    } else if (waits == 2) {
        enter_on(1, vps[0]);
    }
}

static void count_kick(uint32_t lp)
{
    assert_in_range(lp, 1, 2);
    kicks++;
}

static void protection_waits_for_every_vp(void **state)
{
    uint64_t id, other, pfn;
    unsigned done;

    fixture_stop(state);
    fake_machine_start(4, true);
    fake_kick = count_kick;
    id = create_active_partition(30);
    other = create_active_partition(20);
    pfn = take_pages(1, 1);
    for (unsigned i = 0; i < 2; i++)
        vps[i] = create_vp_with_pages(id, i);
    vps[2] = create_vp_with_pages(other, 0); /* which nobody waits for */
    for (unsigned call = 0; call < 2; call++) {
        map_pages(id, 0x10, RWX, &pfn, 1, &done);
        for (unsigned i = 0; i < 3; i++)
            enter_on(i + 1, vps[i]);
        waits = kicks = 0;
        fake_elsewhere = leave_one_by_one;
        if (call == 0)
            assert_int_equal(map_pages(id, 0x10, R, &pfn, 1, &done), HV_STATUS_SUCCESS);
        else
            assert_int_equal(unmap_pages(id, 0x10, 0, 1, &done), HV_STATUS_SUCCESS);
        fake_elsewhere = NULL;
        assert_int_equal(waits, 2);
        assert_int_equal(kicks, 2);
        for (unsigned lp = 1; lp <= 3; lp++) {
            fake_machine_become(lp);
            guest_memory_end(NULL);
        }
        fake_machine_become(0);
        if (call == 0)
            unmap_pages(id, 0x10, 0, 1, &done);
    }
}

static void large_calls_continue(void **state)
{
    uint64_t id = create_active_partition(20), large[8], input[3 + 8] = {id, 0x1000, RWX | LARGE}, result;
    unsigned continuations;

    (void)state;
    for (unsigned i = 0; i < 8; i++)
        input[3 + i] = large[i] = take_pages(512, 512);
    memcpy(page(FIXTURE_INPUT_PFN), input, sizeof(input));
    result = hypercall_registers(HVCALL_MAP_GPA_PAGES | 8ull << HV_CONTROL_REP_COUNT_SHIFT,
                                 FIXTURE_INPUT_PFN << HV_PAGE_SHIFT, 0, &continuations);
    assert_int_equal(HV_RESULT_STATUS(result), HV_STATUS_SUCCESS);
    assert_int_equal(HV_RESULT_REPS(result), 8);
    assert_true(continuations >= 1);
    assert_int_equal(mapped(id), 8 * 512);
    memcpy(page(FIXTURE_INPUT_PFN), input, sizeof(input));
    result = hypercall_registers(HVCALL_UNMAP_GPA_PAGES | 4095ull << HV_CONTROL_REP_COUNT_SHIFT,
                                 FIXTURE_INPUT_PFN << HV_PAGE_SHIFT, 0, &continuations);
    assert_int_equal(HV_RESULT_STATUS(result), HV_STATUS_INVALID_PARAMETER); /* the flags are MAP's */
    input[2] = 0;
    memcpy(page(FIXTURE_INPUT_PFN), input, sizeof(input));
    result = hypercall_registers(HVCALL_UNMAP_GPA_PAGES | 4095ull << HV_CONTROL_REP_COUNT_SHIFT,
                                 FIXTURE_INPUT_PFN << HV_PAGE_SHIFT, 0, &continuations);
    assert_int_equal(HV_RESULT_STATUS(result), HV_STATUS_SUCCESS);
    assert_int_equal(HV_RESULT_REPS(result), 4095);
    assert_int_equal(mapped(id), 1);
    assert_int_equal(frame_find(large[0])->maps, 0);
    assert_int_equal(frame_find(large[7] + 511)->maps, 1);
}

static uint64_t access_states(uint64_t id, uint64_t flags, uint64_t first, unsigned count)
{
    const struct hv_input_get_gpa_pages_access_states input = {id, flags, first};

    return hypercall_slow(HVCALL_GET_GPA_PAGES_ACCESS_STATES, count, &input, sizeof(input));
}

/* Whether every byte of the output from `first` on is `value`. */
static bool states_are(unsigned first, unsigned count, uint8_t value)
{
    const uint8_t *states = page(FIXTURE_OUTPUT_PFN);

    for (unsigned i = 0; i < count; i++)
        if (states[first + i] != value)
            return false;
    return true;
}

#define BOTH                 (HV_GPA_PAGE_ACCESSED | HV_GPA_PAGE_DIRTY)
#define RESULT(status, reps) ((uint64_t)(status) | (uint64_t)(reps) << HV_RESULT_REPS_SHIFT)

static void access_refused(void **state)
{
    const uint64_t end = 1ull << (FAKE_ADDRESS_BITS - 12);
    uint64_t id = create_active_partition(20);

    (void)state;
    assert_int_equal(access_states(id, 0x10, 0, 1), HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(access_states(id, 1ull << 63, 0, 1), HV_STATUS_INVALID_PARAMETER);
    /* Both to clear and to set. */
    assert_int_equal(access_states(id, 0x3, 0, 1), HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(access_states(id, 0xC, 0, 1), HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(access_states(id, 0, end, 1), HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(access_states(id, 0, end - 1, 2), HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(access_states(id, 0, ~0ull, 2), HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(access_states(id, 0, 1ull << 52, 1), HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(access_states(id, 0, end - 1, 1), RESULT(HV_STATUS_SUCCESS, 1));
    assert_int_equal(access_states(HV_PARTITION_ID_SELF, 0, 0, 1), HV_STATUS_ACCESS_DENIED);
    assert_int_equal(access_states(create_partition(), 0, 0, 1), HV_STATUS_INVALID_PARTITION_STATE);
    assert_int_equal(access_states(id, 0, 0, 0), HV_STATUS_INVALID_HYPERCALL_INPUT);
}

static void access_flags(void **state)
{
    static const struct {
        uint64_t flags;
        uint8_t after;
        bool stale;
    } steps[] = {
        {HV_GPA_PAGES_SET_ACCESSED,                              HV_GPA_PAGE_ACCESSED, false},
        {HV_GPA_PAGES_SET_DIRTY,                                 BOTH,                 false},
        {0,                                                      BOTH,                 false},
        {HV_GPA_PAGES_CLEAR_ACCESSED,                            HV_GPA_PAGE_DIRTY,    true },
        {HV_GPA_PAGES_SET_ACCESSED | HV_GPA_PAGES_CLEAR_DIRTY,   HV_GPA_PAGE_ACCESSED, true },
        {HV_GPA_PAGES_CLEAR_DIRTY,                               HV_GPA_PAGE_ACCESSED, false},
        {HV_GPA_PAGES_CLEAR_ACCESSED | HV_GPA_PAGES_SET_DIRTY,   HV_GPA_PAGE_DIRTY,    true },
        {HV_GPA_PAGES_SET_ACCESSED | HV_GPA_PAGES_SET_DIRTY,     BOTH,                 false},
        {HV_GPA_PAGES_CLEAR_ACCESSED | HV_GPA_PAGES_CLEAR_DIRTY, 0,                    true },
    };
    uint64_t id = create_active_partition(20), pfn = take_pages(1, 1);
    uint8_t before = 0;

    (void)state;
    map_pages(id, 0x10, RWX, &pfn, 1, NULL);
    for (unsigned i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
        uint64_t shoot_downs = shoot_down_count();

        /* With a page that is not mapped at either side. */
        assert_int_equal(access_states(id, steps[i].flags, 0xF, 3), RESULT(HV_STATUS_SUCCESS, 3));
        assert_true(states_are(0, 1, 0) && states_are(1, 1, before) && states_are(2, 1, 0));
        assert_int_equal(shoot_down_count() - shoot_downs, steps[i].stale);
        before = steps[i].after;
    }
    /* Replaced by another page: nothing has been done with that one. */
    access_states(id, HV_GPA_PAGES_SET_DIRTY, 0x10, 1);
    map_pages(id, 0x10, RWX, &pfn, 1, NULL);
    access_states(id, 0, 0x10, 1);
    assert_true(states_are(0, 1, 0));
}

/* As much as a call can ask for: it is continued, and each of its parts ends with a shoot-down. */
static void access_of_many_pages(void **state)
{
    struct hv_input_get_gpa_pages_access_states input = {.base_pfn = 0x400};
    uint64_t id = create_active_partition(40), large[8], result, before;
    unsigned continuations;

    (void)state;
    for (unsigned i = 0; i < 8; i++)
        large[i] = take_pages(512, 512);
    map_pages(id, 0x400, RWX | LARGE, large, 8, NULL);
    for (unsigned i = 0; i < 2; i++) {
        input.partition_id = id;
        input.flags = i ? HV_GPA_PAGES_CLEAR_DIRTY : HV_GPA_PAGES_SET_DIRTY;
        memcpy(page(FIXTURE_INPUT_PFN), &input, sizeof(input));
        memset(page(FIXTURE_OUTPUT_PFN), 0xEE, HV_PAGE_SIZE);
        before = shoot_down_count();
        result = hypercall_registers(HVCALL_GET_GPA_PAGES_ACCESS_STATES | 4095ull << HV_CONTROL_REP_COUNT_SHIFT,
                                     FIXTURE_INPUT_PFN << HV_PAGE_SHIFT, FIXTURE_OUTPUT_PFN << HV_PAGE_SHIFT,
                                     &continuations);
        assert_int_equal(result, RESULT(HV_STATUS_SUCCESS, 4095));
        assert_in_range(continuations, 1, 7);
        assert_int_equal(shoot_down_count() - before, continuations + 1);
        assert_true(states_are(0, 4095, i ? HV_GPA_PAGE_DIRTY : 0) && states_are(4095, 1, 0xEE));
    }
    /* The last page was never asked about. */
    access_states(id, 0, 0x400 + 4094, 2);
    assert_true(states_are(0, 2, 0));
}

static void access_without_memory(void **state)
{
    uint64_t id = create_active_partition(20), large[2] = {take_pages(512, 512), take_pages(512, 512)};
    uint64_t before;

    (void)state;
    map_pages(id, 0x400, RWX | LARGE, large, 2, NULL);
    withdraw_all(id);
    deposit(id, 2); /* one of them for the parent's map, which the deposit splits */
    before = shoot_down_count();
    /* What is done stays done, and its translations have ended. */
    memset(page(FIXTURE_OUTPUT_PFN), 0xEE, HV_PAGE_SIZE);
    assert_int_equal(access_states(id, HV_GPA_PAGES_CLEAR_DIRTY, 0x500, 600),
                     RESULT(HV_STATUS_INSUFFICIENT_MEMORY, 256));
    assert_true(states_are(0, 256, 0) && states_are(256, 600 - 256, 0xEE));
    assert_int_equal(shoot_down_count(), before + 1);
    assert_int_equal(access_states(id, HV_GPA_PAGES_CLEAR_DIRTY, 0x600, 1), HV_STATUS_INSUFFICIENT_MEMORY);
    /* To look costs nothing. */
    assert_int_equal(access_states(id, 0, 0x500, 600), RESULT(HV_STATUS_SUCCESS, 600));
    deposit(id, 1);
    assert_int_equal(access_states(id, HV_GPA_PAGES_CLEAR_DIRTY, 0x600, 1), RESULT(HV_STATUS_SUCCESS, 1));
    /* Split or not, all of it comes back. */
    assert_int_equal(mapped(id), 1024);
    remove_partition(id);
    assert_int_equal(frame_find(large[0])->maps | frame_find(large[1] + 511)->maps, 0);
}

/* A VP that runs has translations that know the page as dirty; they end before the call does. */
static void leave_at_a_kick(void)
{
    fake_machine_become(1);
    shoot_down_entry(running);
    fake_machine_become(0);
}

static void cleared_bits_are_set_again(void **state)
{
    uint64_t id = create_active_partition(20), pfn = take_pages(1, 1);

    (void)state;
    map_pages(id, 0x10, RWX, &pfn, 1, NULL);
    running = create_vp_with_pages(id, 0);
    access_states(id, HV_GPA_PAGES_SET_DIRTY, 0x10, 1);
    fake_machine_become(1);
    guest_memory_begin(running);
    shoot_down_entry(running);
    fake_machine_become(0);
    fake_elsewhere = leave_at_a_kick;
    assert_int_equal(access_states(id, HV_GPA_PAGES_CLEAR_DIRTY, 0x10, 1), RESULT(HV_STATUS_SUCCESS, 1));
    assert_int_equal(running->flushed_generation, running->partition->map_generation);
    fake_machine_become(1);
    guest_memory_end(NULL);
    fake_machine_become(0);
}

/* Random maps and unmaps of two partitions over the same pages: the counts are those of the mappings there
 * are. */
static void counts_are_right(void **state)
{
    enum { SOURCES = 2048, TARGETS = 4096 };
    uint64_t ids[2] = {create_active_partition(20), create_active_partition(20)};
    static unsigned expected[SOURCES];
    uint64_t first = take_pages(SOURCES, 512);

    (void)state;
    srandom(99);
    for (unsigned round = 0; round < 3000; round++) {
        uint64_t id = ids[random() % 2], pfns[16];
        bool large = random() % 8 == 0;
        unsigned unit = large ? 512 : 1, count = 1 + (unsigned)random() % (large ? 2 : 16);
        uint64_t target = (uint64_t)random() % TARGETS / unit * unit;

        for (unsigned i = 0; i < count; i++)
            pfns[i] = first + (uint64_t)random() % SOURCES / unit * unit;
        if (random() % 3 == 0)
            unmap_pages(id, target, large ? HV_UNMAP_GPA_LARGE_PAGE : 0, count, NULL);
        else
            map_pages(id, target, (random() % 4 ? RWX : HV_MAP_GPA_NO_ACCESS) | (large ? LARGE : 0), pfns,
                      count, NULL);
    }
    memset(expected, 0, sizeof(expected));
    for (unsigned i = 0; i < 2; i++) {
        uint64_t total = 0;

        for (uint64_t gpa = 0; gpa < (TARGETS + 1024ull) << 12; gpa += HV_PAGE_SIZE) {
            struct nested_translation translation;

            if (translate(ids[i], gpa, &translation) && translation.access) {
                expected[(translation.spa >> 12) - first]++;
                total++;
            }
        }
        assert_int_equal(total, mapped(ids[i]));
    }
    for (unsigned i = 0; i < SOURCES; i++)
        assert_int_equal(frame_find(first + i)->maps, expected[i]);
    remove_partition(ids[0]);
    remove_partition(ids[1]);
    for (unsigned i = 0; i < SOURCES; i++)
        assert_int_equal(frame_find(first + i)->maps, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_start, fixture_stop)
    const struct CMUnitTest tests[] = {
        TEST(pages),
        TEST(refused),
        TEST(deposited_pages_cannot_be_mapped),
        TEST(no_access),
        TEST(large_pages),
        TEST(insufficient_memory),
        TEST(shoot_downs),
        TEST(pages_are_kept_until_the_shoot_down),
        TEST(protection_waits_for_every_vp),
        TEST(large_calls_continue),
        TEST(counts_are_right),
        TEST(access_refused),
        TEST(access_flags),
        TEST(access_of_many_pages),
        TEST(access_without_memory),
        TEST(cleared_bits_are_set_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
