/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Partitions from creation to deletion, their properties, their memory; and the way back of every page. */
#include <stdlib.h>

#include "kernel/frame.h"
#include "kernel/hypercall.h"
#include "kernel/parent_map.h"
#include "kernel/partition.h"
#include "tests/unit/kernel_fixture.h"

static enum hv_status create(uint64_t flags, uint64_t isolation)
{
    const struct hv_input_create_partition input = {.creation_flags = flags, .isolation = isolation};

    return hypercall_status(HVCALL_CREATE_PARTITION, 0, &input, sizeof(input));
}

static void life(void **state)
{
    uint64_t id = create_partition(), value;

    (void)state;
    assert_int_not_equal(id, parent_partition.id);
    /* Not initialized: no VPs, no memory; there is no memory to initialize it with. */
    assert_int_equal(create_vp(id, 0), HV_STATUS_INVALID_PARTITION_STATE);
    assert_int_equal(map_pages(id, 0, HV_MAP_GPA_READABLE, (uint64_t[]){0x2000}, 1, NULL),
                     HV_STATUS_INVALID_PARTITION_STATE);
    assert_int_equal(hypercall_fast(HVCALL_FINALIZE_PARTITION, id, 0), HV_STATUS_INVALID_PARTITION_STATE);
    assert_int_equal(hypercall_fast(HVCALL_INITIALIZE_PARTITION, id, 0), HV_STATUS_INSUFFICIENT_MEMORY);
    deposit(id, 1);
    assert_int_equal(hypercall_fast(HVCALL_INITIALIZE_PARTITION, id, 0), HV_STATUS_INSUFFICIENT_MEMORY);
    deposit(id, 1);
    assert_int_equal(hypercall_fast(HVCALL_INITIALIZE_PARTITION, id, 0), HV_STATUS_SUCCESS);
    /* Active. */
    assert_int_equal(hypercall_fast(HVCALL_INITIALIZE_PARTITION, id, 0), HV_STATUS_INVALID_PARTITION_STATE);
    assert_int_equal(hypercall_fast(HVCALL_DELETE_PARTITION, id, 0), HV_STATUS_INVALID_PARTITION_STATE);
    assert_int_equal(hypercall_fast(HVCALL_FINALIZE_PARTITION, id, 0), HV_STATUS_SUCCESS);
    /* Finalized. */
    assert_int_equal(hypercall_fast(HVCALL_FINALIZE_PARTITION, id, 0), HV_STATUS_INVALID_PARTITION_STATE);
    assert_int_equal(unmap_pages(id, 0, 0, 1, NULL), HV_STATUS_INVALID_PARTITION_STATE);
    assert_int_equal(set_property(id, HV_PARTITION_PROPERTY_TIME_FREEZE, 1),
                     HV_STATUS_INVALID_PARTITION_STATE);
    assert_int_equal(get_property(id, HV_PARTITION_PROPERTY_XSAVE_STATES, &value), HV_STATUS_SUCCESS);
    assert_int_equal(hypercall_fast(HVCALL_DELETE_PARTITION, id, 0), HV_STATUS_INVALID_PARTITION_STATE);
    assert_int_equal(withdraw_all(id), 2);
    assert_int_equal(hypercall_fast(HVCALL_DELETE_PARTITION, id, 0), HV_STATUS_SUCCESS);
    assert_int_equal(hypercall_fast(HVCALL_DELETE_PARTITION, id, 0), HV_STATUS_INVALID_PARTITION_ID);
    /* The region's table, which the first deposits became, came free with the last hidden page. */
    withdraw_all(HV_PARTITION_ID_SELF);
    assert_int_equal(parent_map_deposited_pages(), 0);
    assert_int_equal(partition_count(), 1);
}

static void creation_flags(void **state)
{
    (void)state;
    assert_int_equal(create(0, 0), HV_STATUS_PROCESSOR_FEATURE_NOT_SUPPORTED);
    assert_int_equal(create(HV_CREATE_LAPIC | HV_CREATE_NESTED_VIRTUALIZATION, 0),
                     HV_STATUS_PROCESSOR_FEATURE_NOT_SUPPORTED);
    assert_int_equal(create(HV_CREATE_LAPIC | 1ull << 63, 0), HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(create(HV_CREATE_LAPIC, 1), HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(create(HV_CREATE_LAPIC, 0), HV_STATUS_INSUFFICIENT_MEMORY);
}

static void ids_are_not_reused(void **state)
{
    enum { ROUNDS = 2500 };
    static uint64_t ids[ROUNDS];

    (void)state;
    for (unsigned i = 0; i < ROUNDS; i++) {
        ids[i] = create_partition();
        assert_int_not_equal(ids[i], 0);
        assert_int_equal(hypercall_fast(HVCALL_DELETE_PARTITION, ids[i], 0), HV_STATUS_SUCCESS);
        for (unsigned j = 0; j < i; j += 97)
            assert_int_not_equal(ids[i], ids[j]);
    }
    /* A stale id of a slot that is in use again finds nothing. */
    ids[0] = create_partition();
    assert_int_equal(hypercall_fast(HVCALL_DELETE_PARTITION, ids[0] - 1023 * PARTITION_MAXIMUM, 0),
                     HV_STATUS_INVALID_PARTITION_ID);
}

static void as_many_as_there_are_slots(void **state)
{
    unsigned count = 0;
    enum hv_status status;

    (void)state;
    deposit(HV_PARTITION_ID_SELF, PARTITION_MAXIMUM + 100);
    while ((status = create(HV_CREATE_LAPIC, 0)) == HV_STATUS_SUCCESS)
        count++;
    assert_int_equal(status, HV_STATUS_NO_RESOURCES);
    assert_int_equal(count, PARTITION_MAXIMUM - 1);
    assert_int_equal(partition_count(), PARTITION_MAXIMUM);
}

static void properties(void **state)
{
    uint64_t id = create_partition(), value;

    (void)state;
    /* Before INITIALIZE only. */
    assert_int_equal(set_property(id, HV_PARTITION_PROPERTY_SYNTHETIC_PROC_FEATURES, 0x06400FFB),
                     HV_STATUS_SUCCESS);
    deposit(id, 4);
    hypercall_fast(HVCALL_INITIALIZE_PARTITION, id, 0);
    assert_int_equal(set_property(id, HV_PARTITION_PROPERTY_SYNTHETIC_PROC_FEATURES, 0),
                     HV_STATUS_INVALID_PARTITION_STATE);
    assert_int_equal(get_property(id, HV_PARTITION_PROPERTY_SYNTHETIC_PROC_FEATURES, &value),
                     HV_STATUS_SUCCESS);
    assert_int_equal(value, 0x06400FFB);

    assert_int_equal(set_property(id, HV_PARTITION_PROPERTY_UNIMPLEMENTED_MSR_ACTION, 1), HV_STATUS_SUCCESS);
    assert_int_equal(set_property(id, HV_PARTITION_PROPERTY_UNIMPLEMENTED_MSR_ACTION, 2),
                     HV_STATUS_PROPERTY_VALUE_OUT_OF_RANGE);
    get_property(id, HV_PARTITION_PROPERTY_UNIMPLEMENTED_MSR_ACTION, &value);
    assert_int_equal(value, 1);
    assert_int_equal(set_property(id, LOAM_PARTITION_PROPERTY_APIC_EOI_MESSAGES, 1), HV_STATUS_SUCCESS);
    assert_int_equal(set_property(id, LOAM_PARTITION_PROPERTY_APIC_EOI_MESSAGES, 2),
                     HV_STATUS_PROPERTY_VALUE_OUT_OF_RANGE);
    assert_int_equal(set_property(id, HV_PARTITION_PROPERTY_GPA_PAGE_ACCESS_TRACKING, 0), HV_STATUS_SUCCESS);
    assert_int_equal(set_property(id, HV_PARTITION_PROPERTY_GPA_PAGE_ACCESS_TRACKING, 1), HV_STATUS_SUCCESS);
    assert_int_equal(set_property(id, HV_PARTITION_PROPERTY_GPA_PAGE_ACCESS_TRACKING, 2),
                     HV_STATUS_PROPERTY_VALUE_OUT_OF_RANGE);
    get_property(id, HV_PARTITION_PROPERTY_GPA_PAGE_ACCESS_TRACKING, &value);
    assert_int_equal(value, 1);

    assert_int_equal(set_property(id, 0x12345, 0), HV_STATUS_UNKNOWN_PROPERTY);
    assert_int_equal(get_property(id, 0x12345, &value), HV_STATUS_UNKNOWN_PROPERTY);
    assert_int_equal(set_property(id, HV_PARTITION_PROPERTY_PROCESSOR_CLOCK_FREQUENCY, 0),
                     HV_STATUS_OPERATION_DENIED);
    assert_int_equal(set_property(HV_PARTITION_ID_SELF, HV_PARTITION_PROPERTY_TIME_FREEZE, 1),
                     HV_STATUS_ACCESS_DENIED);

    get_property(HV_PARTITION_ID_SELF, HV_PARTITION_PROPERTY_PROCESSOR_CLOCK_FREQUENCY, &value);
    assert_int_equal(value, FAKE_TSC_FREQUENCY);
    get_property(id, LOAM_PARTITION_PROPERTY_APIC_FREQUENCY, &value);
    assert_int_equal(value, arch_apic_frequency());
    get_property(id, HV_PARTITION_PROPERTY_MAX_XSAVE_DATA_SIZE, &value);
    assert_true(value <= 4096);
    get_property(id, HV_PARTITION_PROPERTY_PHYSICAL_ADDRESS_WIDTH, &value);
    assert_int_equal(value, FAKE_ADDRESS_BITS);
}

static void disabled_features(void **state)
{
    const struct hv_input_create_partition input = {
        .creation_flags = HV_CREATE_LAPIC,
        .disabled_processor_features = {1ull << 16, 1ull << 4},
        .disabled_xsave_features = 4,
    };
    uint64_t id, all[2], some[2], xsave;
    uint32_t result[4];
    struct partition *partition;

    (void)state;
    deposit(HV_PARTITION_ID_SELF, 2);
    assert_int_equal(hypercall_status(HVCALL_CREATE_PARTITION, 0, &input, sizeof(input)), HV_STATUS_SUCCESS);
    memcpy(&id, page(FIXTURE_OUTPUT_PFN), sizeof(id));
    get_property(HV_PARTITION_ID_SELF, HV_PARTITION_PROPERTY_PROCESSOR_FEATURES0, &all[0]);
    get_property(HV_PARTITION_ID_SELF, HV_PARTITION_PROPERTY_PROCESSOR_FEATURES1, &all[1]);
    get_property(id, HV_PARTITION_PROPERTY_PROCESSOR_FEATURES0, &some[0]);
    get_property(id, HV_PARTITION_PROPERTY_PROCESSOR_FEATURES1, &some[1]);
    get_property(id, HV_PARTITION_PROPERTY_PROCESSOR_XSAVE_FEATURES, &xsave);
    assert_true(all[0] >> 16 & 1);
    assert_int_equal(some[0], all[0] & ~(1ull << 16));
    assert_int_equal(some[1], all[1] & ~(1ull << 4));
    assert_int_equal(xsave & 4, 0);
    /* Nested virtualization and shadow stacks are nobody's. */
    assert_int_equal(all[1] & (1ull << 6 | 1ull << 8 | 1ull << 9), 0);
    /* AES is gone from CPUID, its neighbours are not. */
    partition = partition_get(id);
    memset(result, 0xFF, sizeof(result));
    processor_features_apply(partition, 1, 0, result);
    assert_int_equal(result[2], ~(1u << 25 | 1u << 28));
    memset(result, 0xFF, sizeof(result));
    processor_features_apply(partition, 7, 1, result);
    assert_int_equal(result[2], ~0u);
    partition_put(partition);
}

static void reference_time(void **state)
{
    uint64_t id = create_active_partition(30), value;
    union hv_register_value tsc, later;

    (void)state;
    create_vp_with_pages(id, 0);
    fake_tsc += FAKE_TSC_FREQUENCY; /* a second */
    get_property(id, HV_PARTITION_PROPERTY_REFERENCE_TIME, &value);
    assert_in_range(value, 10000000, 10100000);
    assert_int_equal(set_property(id, HV_PARTITION_PROPERTY_REFERENCE_TIME, 5), HV_STATUS_SUCCESS);
    get_property(id, HV_PARTITION_PROPERTY_REFERENCE_TIME, &value);
    assert_in_range(value, 5, 10);

    /* Frozen: neither the reference time nor a VP's TSC moves. */
    assert_int_equal(set_property(id, HV_PARTITION_PROPERTY_TIME_FREEZE, 2),
                     HV_STATUS_PROPERTY_VALUE_OUT_OF_RANGE);
    assert_int_equal(set_property(id, HV_PARTITION_PROPERTY_TIME_FREEZE, 1), HV_STATUS_SUCCESS);
    assert_int_equal(set_property(id, HV_PARTITION_PROPERTY_TIME_FREEZE, 1), HV_STATUS_SUCCESS);
    get_register(id, 0, HV_X64_REGISTER_TSC, &tsc);
    fake_tsc += 100 * FAKE_TSC_FREQUENCY;
    get_property(id, HV_PARTITION_PROPERTY_REFERENCE_TIME, &value);
    assert_in_range(value, 5, 10);
    get_register(id, 0, HV_X64_REGISTER_TSC, &later);
    assert_int_equal(tsc.low, later.low);
    assert_int_equal(set_property(id, HV_PARTITION_PROPERTY_TIME_FREEZE, 0), HV_STATUS_SUCCESS);
    get_register(id, 0, HV_X64_REGISTER_TSC, &later);
    assert_in_range(later.low, tsc.low, tsc.low + 1000);
    get_property(id, HV_PARTITION_PROPERTY_REFERENCE_TIME, &value);
    assert_in_range(value, 5, 10);
    /* Not while a VP is in use. */
    assert_true(vp_claim(partition_vp(partition_get(id), 0)));
    assert_int_equal(set_property(id, HV_PARTITION_PROPERTY_TIME_FREEZE, 1), HV_STATUS_INVALID_VP_STATE);
}

static void deposits_that_are_refused(void **state)
{
    uint64_t id = create_partition();
    static const uint64_t bad[] = {0xA0,       0xFEE00, FAKE_OWN_PFN, FAKE_MEMORY_SIZE >> 12,
                                   1ull << 40, ~0ull,   1ull << 52};
    uint64_t input[4] = {id, take_pages(1, 1)}, result;

    (void)state;
    for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        input[2] = bad[i];
        input[1] = take_pages(1, 1);
        result = hypercall_slow(HVCALL_DEPOSIT_MEMORY, 3, input, sizeof(input));
        assert_int_equal(HV_RESULT_STATUS(result), HV_STATUS_INVALID_PARAMETER);
        assert_int_equal(HV_RESULT_REPS(result), 1);
    }
    /* Twice the same page; the input page itself may go, for it is copied before. */
    input[1] = input[2] = take_pages(1, 1);
    result = hypercall_slow(HVCALL_DEPOSIT_MEMORY, 2, input, sizeof(input));
    assert_int_equal(HV_RESULT_STATUS(result), HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(HV_RESULT_REPS(result), 1);
    input[1] = FIXTURE_INPUT_PFN;
    assert_int_equal(hypercall_status(HVCALL_DEPOSIT_MEMORY, 1, input, sizeof(input)), HV_STATUS_SUCCESS);
    assert_int_equal(frame_find(FIXTURE_INPUT_PFN)->maps, 0);
    assert_int_not_equal(frame_find(FIXTURE_INPUT_PFN)->state, FRAME_PARENT);
    input[0] = id + 1;
    assert_int_equal(HV_RESULT_STATUS(hypercall_registers(HVCALL_DEPOSIT_MEMORY, 0, 0, NULL)),
                     HV_STATUS_INVALID_HYPERCALL_INPUT);
}

/* A mapped page, a state page and a hypercall's page cannot be deposited. */
static void pages_in_use_are_refused(void **state)
{
    uint64_t id = create_active_partition(20), pfn = take_pages(1, 1), input[2] = {id};

    (void)state;
    create_vp_with_pages(id, 0);
    assert_int_equal(map_pages(id, 0, HV_MAP_GPA_READABLE, &pfn, 1, NULL), HV_STATUS_SUCCESS);
    input[1] = pfn;
    assert_int_equal(hypercall_status(HVCALL_DEPOSIT_MEMORY, 1, input, sizeof(input)),
                     HV_STATUS_INVALID_PARAMETER);
    input[1] = physical_address(message_page(0)) >> HV_PAGE_SHIFT;
    assert_int_equal(hypercall_status(HVCALL_DEPOSIT_MEMORY, 1, input, sizeof(input)),
                     HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(unmap_pages(id, 0, 0, 1, NULL), HV_STATUS_SUCCESS);
    input[1] = pfn;
    assert_int_equal(hypercall_status(HVCALL_DEPOSIT_MEMORY, 1, input, sizeof(input)), HV_STATUS_SUCCESS);
}

static void one_shoot_down_a_call(void **state)
{
    uint64_t id = create_partition(), before;

    (void)state;
    deposit(id, 1);
    before = statistic(HV_PARTITION_ID_SELF, LOAM_STATISTICS_HYPERVISOR, 0, LOAM_COUNTER_SHOOT_DOWNS);
    deposit(id, 90);
    assert_int_equal(statistic(HV_PARTITION_ID_SELF, LOAM_STATISTICS_HYPERVISOR, 0, LOAM_COUNTER_SHOOT_DOWNS),
                     before + 1);
}

/* Long calls are done in several goes: deposits that split many regions. */
static void deposits_continue(void **state)
{
    uint64_t id = create_partition(), input[20] = {id}, result;
    unsigned continuations;

    (void)state;
    for (unsigned i = 1; i < 20; i++)
        input[i] = 0x800 + i * 512; /* a region each */
    memcpy(page(FIXTURE_INPUT_PFN), input, sizeof(input));
    result = hypercall_registers(HVCALL_DEPOSIT_MEMORY | 19ull << HV_CONTROL_REP_COUNT_SHIFT,
                                 FIXTURE_INPUT_PFN << HV_PAGE_SHIFT, 0, &continuations);
    assert_int_equal(HV_RESULT_STATUS(result), HV_STATUS_SUCCESS);
    assert_int_equal(HV_RESULT_REPS(result), 19);
    assert_true(continuations >= 3);
    assert_int_equal(parent_map_deposited_pages(), 19 + 2);
    assert_int_equal(statistic(id, LOAM_STATISTICS_PARTITION, 0, LOAM_PARTITION_FREE_PAGES), 0);
    /* All of them became tables, and all come back. */
    assert_int_equal(hypercall_fast(HVCALL_DELETE_PARTITION, id, 0), HV_STATUS_INVALID_PARTITION_STATE);
    assert_int_equal(withdraw_all(id), 19);
    assert_int_equal(hypercall_fast(HVCALL_DELETE_PARTITION, id, 0), HV_STATUS_SUCCESS);
}

static void withdrawals(void **state)
{
    uint64_t id = create_partition(), result;
    const struct hv_input_withdraw_memory input = {.partition_id = id};

    (void)state;
    /* Nothing there: no endless loop of successes without progress. */
    result = hypercall_slow(HVCALL_WITHDRAW_MEMORY, 512, &input, sizeof(input));
    assert_int_equal(HV_RESULT_STATUS(result), HV_STATUS_NO_RESOURCES);
    assert_int_equal(HV_RESULT_REPS(result), 0);
    deposit(id, 300);
    result = hypercall_slow(HVCALL_WITHDRAW_MEMORY, 10, &input, sizeof(input));
    assert_int_equal(HV_RESULT_STATUS(result), HV_STATUS_SUCCESS);
    assert_int_equal(HV_RESULT_REPS(result), 10);
    withdraw_all(id);
    withdraw_all(HV_PARTITION_ID_SELF);
    assert_int_equal(hypercall_fast(HVCALL_DELETE_PARTITION, id, 0), HV_STATUS_SUCCESS);
    withdraw_all(HV_PARTITION_ID_SELF);
    assert_int_equal(parent_map_deposited_pages(), 0);
}

/* One page asked for, two come back: the second waits for the next call, and keeps the partition from being
 * deleted. */
static void withdrawals_without_room(void **state)
{
    const uint64_t free_pfn = 0x1000;
    uint64_t id, input[3] = {0, free_pfn, free_pfn + 1}, result;
    struct hv_input_withdraw_memory withdraw;

    (void)state;
    id = create_partition();
    input[0] = withdraw.partition_id = id;
    assert_int_equal(hypercall_status(HVCALL_DEPOSIT_MEMORY, 2, input, sizeof(input)), HV_STATUS_SUCCESS);
    result = hypercall_slow(HVCALL_WITHDRAW_MEMORY, 1, &withdraw, sizeof(withdraw));
    assert_int_equal(HV_RESULT_STATUS(result), HV_STATUS_SUCCESS);
    assert_int_equal(HV_RESULT_REPS(result), 1);
    assert_int_equal(*(uint64_t *)page(FIXTURE_OUTPUT_PFN), free_pfn + 1);
    assert_int_equal(hypercall_fast(HVCALL_DELETE_PARTITION, id, 0), HV_STATUS_INVALID_PARTITION_STATE);
    result = hypercall_slow(HVCALL_WITHDRAW_MEMORY, 5, &withdraw, sizeof(withdraw));
    assert_int_equal(HV_RESULT_STATUS(result), HV_STATUS_NO_RESOURCES);
    assert_int_equal(HV_RESULT_REPS(result), 1);
    assert_int_equal(*(uint64_t *)page(FIXTURE_OUTPUT_PFN), free_pfn);
    assert_int_equal(hypercall_fast(HVCALL_DELETE_PARTITION, id, 0), HV_STATUS_SUCCESS);
}

/* What a partition used comes back without a trace of what it was. */
static void used_pages_are_scrubbed(void **state)
{
    uint64_t id = create_active_partition(20), first;
    unsigned dirty = 0;

    (void)state;
    create_vp_with_pages(id, 0);
    first = take_pages(1, 1);
    for (unsigned i = 0; i < 16; i++)
        set_register(id, 0, HV_X64_REGISTER_RAX + i, 0x5EC2E75EC2E7, 0);
    remove_partition(id);
    for (uint64_t pfn = FIXTURE_FREE_PFN; pfn < first; pfn++)
        for (unsigned i = 0; i < 512; i++)
            dirty += ((uint64_t *)page(pfn))[i] == 0x5EC2E75EC2E7;
    assert_int_equal(dirty, 0);
}

static void reclaim_takes_everything_back(void **state)
{
    size_t before_count, after_count;
    uint64_t *before = fake_parent_map_copy(&before_count), *after;
    const struct loam_output_reclaim *output = page(FIXTURE_OUTPUT_PFN);
    uint64_t ids[5], pfns[100];
    unsigned continuations;

    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        ids[i] = i == 4 ? create_partition() : create_active_partition(100);
        if (i == 4)
            break;
        for (unsigned j = 0; j <= i; j++)
            create_vp_with_pages(ids[i], j);
        for (unsigned j = 0; j < 100; j++)
            pfns[j] = 0x1000 + j;
        assert_int_equal(map_pages(ids[i], 0, HV_MAP_GPA_READABLE, pfns, 100, NULL), HV_STATUS_SUCCESS);
    }
    deposit(ids[4], 700);
    hypercall_fast(HVCALL_FINALIZE_PARTITION, ids[0], 0);
    assert_int_equal(
        HV_RESULT_STATUS(hypercall_registers(LOAM_HVCALL_RECLAIM_CHILDREN, 0,
                                             FIXTURE_OUTPUT_PFN << HV_PAGE_SHIFT, &continuations)),
        HV_STATUS_SUCCESS);
    assert_true(continuations > 5);
    assert_int_equal(output->partitions, 5);
    assert_true(output->pages > 1000);
    assert_int_equal(partition_count(), 1);
    assert_int_equal(parent_map_deposited_pages(), 0);
    assert_int_equal(frame_find(0x1000)->maps, 0);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(hypercall_fast(HVCALL_FINALIZE_PARTITION, ids[i], 0),
                         HV_STATUS_INVALID_PARTITION_ID);
    after = fake_parent_map_copy(&after_count);
    assert_int_equal(before_count, after_count);
    assert_memory_equal(before, after, before_count * sizeof(*before));
    free(before);
    free(after);
    /* With nothing there it is done at once. */
    hypercall_registers(LOAM_HVCALL_RECLAIM_CHILDREN, 0, FIXTURE_OUTPUT_PFN << HV_PAGE_SHIFT, &continuations);
    assert_int_equal(continuations, 0);
    assert_int_equal(output->partitions, 0);
    assert_int_equal(output->pages, 0);
}

/* FINALIZE and DELETE wait, by repeating, for calls on other processors. */
static void others_still_work_with_it(void **state)
{
    uint64_t id = create_active_partition(0), control = HVCALL_FINALIZE_PARTITION | HV_CONTROL_FAST, result;
    struct partition *partition = partition_get(id);

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        assert_false(hypercall_once(&control, id, 0, &result));
    assert_int_equal(partition_state(partition), PARTITION_FINALIZING);
    partition_put(partition);
    assert_true(hypercall_once(&control, id, 0, &result));
    assert_int_equal(HV_RESULT_STATUS(result), HV_STATUS_SUCCESS);
    withdraw_all(id);
    partition = partition_get(id);
    control = HVCALL_DELETE_PARTITION | HV_CONTROL_FAST;
    assert_false(hypercall_once(&control, id, 0, &result));
    assert_false(hypercall_once(&control, id, 0, &result));
    partition_put(partition);
    assert_true(hypercall_once(&control, id, 0, &result));
    assert_int_equal(HV_RESULT_STATUS(result), HV_STATUS_SUCCESS);
    assert_null(partition_get(id));
}

/* Random deposits, withdrawals, VPs and maps of several partitions: in the end all is as it was. */
static void random_lives(void **state)
{
    enum { COUNT = 4 };
    size_t before_count, after_count;
    uint64_t *before = fake_parent_map_copy(&before_count), *after, ids[COUNT] = {0};

    (void)state;
    srandom(4711);
    for (unsigned round = 0; round < 3000; round++) {
        unsigned i = (unsigned)random() % COUNT;
        uint64_t input[65] = {ids[i]}, pfns[8];
        unsigned count = 1 + (unsigned)random() % 64;
        struct hv_input_withdraw_memory withdraw = {.partition_id = ids[i]};

        if (!ids[i]) {
            const struct hv_input_create_partition create_input = {.creation_flags = HV_CREATE_LAPIC};
            uint64_t self[3] = {HV_PARTITION_ID_SELF, 0x1000 + (uint64_t)random() % 0x800,
                                0x1000 + (uint64_t)random() % 0x800};

            if (hypercall_status(HVCALL_CREATE_PARTITION, 0, &create_input, sizeof(create_input)) ==
                HV_STATUS_SUCCESS)
                memcpy(&ids[i], page(FIXTURE_OUTPUT_PFN), sizeof(ids[i]));
            else
                hypercall_status(HVCALL_DEPOSIT_MEMORY, 2, self, sizeof(self));
            continue;
        }
        for (unsigned j = 0; j < count; j++)
            input[1 + j] = 0x1000 + (uint64_t)random() % 0x800;
        for (unsigned j = 0; j < 8; j++)
            pfns[j] = 0x1000 + (uint64_t)random() % 0x800;
        switch (random() % 10) {
        case 0:
        case 1:
        case 2:
            hypercall_status(HVCALL_DEPOSIT_MEMORY, count, input, sizeof(input));
            break;
        case 3:
            hypercall_status(HVCALL_WITHDRAW_MEMORY, count, &withdraw, sizeof(withdraw));
            break;
        case 4:
            hypercall_fast(HVCALL_INITIALIZE_PARTITION, ids[i], 0);
            break;
        case 5:
            create_vp(ids[i], (uint32_t)random() % 4);
            break;
        case 6:
            map_pages(ids[i], (uint64_t)random() % 2048, HV_MAP_GPA_READABLE, pfns, 8, NULL);
            break;
        case 7:
            unmap_pages(ids[i], (uint64_t)random() % 2048, 0, 8, NULL);
            break;
        case 8:
            hypercall_fast(HVCALL_DELETE_VP, ids[i], (uint64_t)random() % 4);
            break;
        case 9:
            if (random() % 8)
                break;
            hypercall_fast(HVCALL_FINALIZE_PARTITION, ids[i], 0);
            withdraw_all(ids[i]);
            if (hypercall_fast(HVCALL_DELETE_PARTITION, ids[i], 0) == HV_STATUS_SUCCESS)
                ids[i] = 0;
            break;
        }
    }
    for (unsigned i = 0; i < COUNT; i++)
        if (ids[i]) {
            hypercall_fast(HVCALL_FINALIZE_PARTITION, ids[i], 0);
            withdraw_all(ids[i]);
            assert_int_equal(hypercall_fast(HVCALL_DELETE_PARTITION, ids[i], 0), HV_STATUS_SUCCESS);
        }
    withdraw_all(HV_PARTITION_ID_SELF);
    assert_int_equal(parent_map_deposited_pages(), 0);
    after = fake_parent_map_copy(&after_count);
    assert_int_equal(before_count, after_count);
    assert_memory_equal(before, after, before_count * sizeof(*before));
    for (uint64_t pfn = 0x100; pfn < FAKE_OWN_PFN; pfn++) {
        assert_int_equal(frame_find(pfn)->state, FRAME_PARENT);
        assert_int_equal(frame_find(pfn)->maps, 0);
    }
    free(before);
    free(after);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_start, fixture_stop)
    const struct CMUnitTest tests[] = {
        TEST(life),
        TEST(creation_flags),
        TEST(ids_are_not_reused),
        TEST(as_many_as_there_are_slots),
        TEST(properties),
        TEST(disabled_features),
        TEST(reference_time),
        TEST(deposits_that_are_refused),
        TEST(pages_in_use_are_refused),
        TEST(one_shoot_down_a_call),
        TEST(deposits_continue),
        TEST(withdrawals),
        TEST(withdrawals_without_room),
        TEST(used_pages_are_scrubbed),
        TEST(reclaim_takes_everything_back),
        TEST(others_still_work_with_it),
        TEST(random_lives),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
