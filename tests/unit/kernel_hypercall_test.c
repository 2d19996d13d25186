/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The calling convention: control words, addresses, sizes, targets; and that nothing of the caller's can be
 * abused. */
#include "kernel/frame.h"
#include "kernel/hypercall.h"
#include "kernel/partition.h"
#include "tests/unit/kernel_fixture.h"

#define INPUT  (FIXTURE_INPUT_PFN << HV_PAGE_SHIFT)
#define OUTPUT (FIXTURE_OUTPUT_PFN << HV_PAGE_SHIFT)

static enum hv_status raw(uint64_t control, uint64_t rdx, uint64_t r8)
{
    return HV_RESULT_STATUS(hypercall_registers(control, rdx, r8, NULL));
}

static void unknown_codes(void **state)
{
    (void)state;
    for (unsigned code = 0; code < 0x10000; code++)
        if (!hypercall_find((uint16_t)code))
            assert_int_equal(raw(code, INPUT, OUTPUT), HV_STATUS_INVALID_HYPERCALL_CODE);
    assert_null(hypercall_find(0));
    assert_null(hypercall_find(0x7C));
    assert_null(hypercall_find(0xF000));
    assert_null(hypercall_find(0xF004));
    assert_null(hypercall_find(0xFFFF));
}

/* The sizes in the table are those of the structures. */
static void table_sizes(void **state)
{
    static const struct {
        uint16_t code;
        uint16_t input, output, rep_input, rep_output;
    } expected[] = {
        {HVCALL_CREATE_PARTITION,          sizeof(struct hv_input_create_partition),
         sizeof(struct hv_partition_id_only),                                                                                         0, 0 },
        {HVCALL_SET_PARTITION_PROPERTY,    sizeof(struct hv_input_set_partition_property),    0,                                      0, 0 },
        {HVCALL_GET_PARTITION_PROPERTY,    sizeof(struct hv_input_get_partition_property),    8,                                      0, 0 },
        {HVCALL_DEPOSIT_MEMORY,            sizeof(struct hv_input_deposit_memory),            0,                                      8, 0 },
        {HVCALL_WITHDRAW_MEMORY,           sizeof(struct hv_input_withdraw_memory),           0,                                      0, 8 },
        {HVCALL_MAP_GPA_PAGES,             sizeof(struct hv_input_map_gpa_pages),             0,                                      8, 0 },
        {HVCALL_UNMAP_GPA_PAGES,           sizeof(struct hv_input_unmap_gpa_pages),           0,                                      0, 0 },
        {HVCALL_CREATE_VP,                 sizeof(struct hv_input_create_vp),                 0,                                      0, 0 },
        {HVCALL_DELETE_VP,                 sizeof(struct hv_input_delete_vp),                 0,                                      0, 0 },
        {HVCALL_GET_VP_REGISTERS,          sizeof(struct hv_input_get_vp_registers),          0,                                      4,
         sizeof(union hv_register_value)                                                                                                   },
        {HVCALL_SET_VP_REGISTERS,          sizeof(struct hv_input_set_vp_registers),          0,
         sizeof(struct hv_register_assoc),                                                                                               0 },
        {HVCALL_TRANSLATE_VIRTUAL_ADDRESS, sizeof(struct hv_input_translate_virtual_address),
         sizeof(struct hv_output_translate_virtual_address),                                                                          0, 0 },
        {HVCALL_REGISTER_INTERCEPT_RESULT, sizeof(struct hv_input_register_intercept_result), 0,                                      0, 0 },
        {HVCALL_ASSERT_VIRTUAL_INTERRUPT,  sizeof(struct hv_input_assert_virtual_interrupt),
         sizeof(struct loam_output_assert_virtual_interrupt),                                                                         0, 0 },
        {HVCALL_DISPATCH_VP,               sizeof(struct hv_input_dispatch_vp),               sizeof(struct loam_output_dispatch_vp), 0,
         0                                                                                                                                 },
        {HVCALL_MAP_VP_STATE_PAGE,         sizeof(struct hv_input_map_vp_state_page),
         sizeof(struct hv_output_map_vp_state_page),                                                                                  0, 0 },
        {HVCALL_UNMAP_VP_STATE_PAGE,       sizeof(struct hv_input_unmap_vp_state_page),       0,                                      0, 0 },
        {HVCALL_GET_VP_STATE,              sizeof(struct hv_input_vp_state),                  0,                                      0, 0 },
        {HVCALL_SET_VP_STATE,              sizeof(struct hv_input_vp_state),                  0,                                      0, 0 },
        {HVCALL_GET_VP_CPUID_VALUES,       sizeof(struct hv_input_get_vp_cpuid_values),       0,
         sizeof(struct hv_cpuid_leaf_info),                                                                                              16},
        {LOAM_HVCALL_READ_LOG,             sizeof(struct loam_input_read_log),                sizeof(struct loam_output_read_log),    0, 0 },
        {LOAM_HVCALL_GET_STATISTICS,       sizeof(struct loam_input_get_statistics),
         sizeof(struct loam_output_get_statistics),                                                                                   0, 0 },
        {LOAM_HVCALL_RECLAIM_CHILDREN,     0,                                                 sizeof(struct loam_output_reclaim),     0, 0 },
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(expected) / sizeof(*expected); i++) {
        const struct hypercall_entry *entry = hypercall_find(expected[i].code);

        assert_non_null(entry);
        assert_int_equal(entry->input, expected[i].input);
        assert_int_equal(entry->output, expected[i].output);
        assert_int_equal(entry->rep_input, expected[i].rep_input);
        assert_int_equal(entry->rep_output, expected[i].rep_output);
    }
}

static void control_words(void **state)
{
    uint64_t get = HVCALL_GET_PARTITION_PROPERTY, deposit_one = HVCALL_DEPOSIT_MEMORY;

    (void)state;
    /* Reserved bits and the nested bit. */
    for (unsigned bit = 27; bit < 64; bit++)
        if (HV_CONTROL_RESERVED >> bit & 1)
            assert_int_equal(raw(get | 1ull << bit, INPUT, OUTPUT), HV_STATUS_INVALID_HYPERCALL_INPUT);
    assert_int_equal(raw(get | HV_CONTROL_NESTED, INPUT, OUTPUT), HV_STATUS_INVALID_HYPERCALL_INPUT);
    /* Reps where there are none, none where there must be some. */
    assert_int_equal(raw(get | 1ull << HV_CONTROL_REP_COUNT_SHIFT, INPUT, OUTPUT),
                     HV_STATUS_INVALID_HYPERCALL_INPUT);
    assert_int_equal(raw(get | 1ull << HV_CONTROL_REP_START_SHIFT, INPUT, OUTPUT),
                     HV_STATUS_INVALID_HYPERCALL_INPUT);
    assert_int_equal(raw(deposit_one, INPUT, OUTPUT), HV_STATUS_INVALID_HYPERCALL_INPUT);
    assert_int_equal(
        raw(deposit_one | 2ull << HV_CONTROL_REP_COUNT_SHIFT | 2ull << HV_CONTROL_REP_START_SHIFT, INPUT,
            OUTPUT),
        HV_STATUS_INVALID_HYPERCALL_INPUT);
    assert_int_equal(
        raw(deposit_one | 2ull << HV_CONTROL_REP_COUNT_SHIFT | 4095ull << HV_CONTROL_REP_START_SHIFT, INPUT,
            OUTPUT),
        HV_STATUS_INVALID_HYPERCALL_INPUT);
    /* A variable header where there is none. */
    assert_int_equal(raw(get | 1ull << HV_CONTROL_VARIABLE_HEADER_SHIFT, INPUT, OUTPUT),
                     HV_STATUS_INVALID_HYPERCALL_INPUT);
    /* Fast calls: not with output, not with elements, not with more than 16 bytes. */
    assert_int_equal(raw(get | HV_CONTROL_FAST, INPUT, OUTPUT), HV_STATUS_INVALID_HYPERCALL_INPUT);
    assert_int_equal(raw(deposit_one | HV_CONTROL_FAST | 1ull << HV_CONTROL_REP_COUNT_SHIFT, INPUT, OUTPUT),
                     HV_STATUS_INVALID_HYPERCALL_INPUT);
    assert_int_equal(raw(HVCALL_SET_PARTITION_PROPERTY | HV_CONTROL_FAST, INPUT, OUTPUT),
                     HV_STATUS_INVALID_HYPERCALL_INPUT);
    assert_int_equal(raw(HVCALL_ASSERT_VIRTUAL_INTERRUPT | HV_CONTROL_FAST, INPUT, OUTPUT),
                     HV_STATUS_INVALID_HYPERCALL_INPUT);
}

static void addresses(void **state)
{
    const struct hv_input_get_partition_property input = {
        .partition_id = HV_PARTITION_ID_SELF,
        .property_code = HV_PARTITION_PROPERTY_PROCESSOR_CLOCK_FREQUENCY};
    static const uint64_t bad[] = {
        1, /* not aligned */
        4,
        0xA0000,                       /* no RAM there */
        0xFEE00000,                    /* registers */
        FAKE_OWN_PFN << HV_PAGE_SHIFT, /* Loam's own */
        FAKE_MEMORY_SIZE,              /* behind the end */
        1ull << FAKE_ADDRESS_BITS,
        1ull << 52,
        ~0ull << 12,
        ~0ull & ~7ull,
        0xFFFFFFFFFFFFF000,
    };

    (void)state;
    memcpy(page(FIXTURE_INPUT_PFN), &input, sizeof(input));
    assert_int_equal(raw(HVCALL_GET_PARTITION_PROPERTY, INPUT, OUTPUT), HV_STATUS_SUCCESS);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        assert_int_equal(raw(HVCALL_GET_PARTITION_PROPERTY, bad[i], OUTPUT), HV_STATUS_INVALID_ALIGNMENT);
        assert_int_equal(raw(HVCALL_GET_PARTITION_PROPERTY, INPUT, bad[i]), HV_STATUS_INVALID_ALIGNMENT);
    }
    /* Page-crossing: 16 bytes of input, 8 of output. */
    memcpy((uint8_t *)page(FIXTURE_INPUT_PFN) + 4080, &input, sizeof(input));
    assert_int_equal(raw(HVCALL_GET_PARTITION_PROPERTY, INPUT + 4080, OUTPUT), HV_STATUS_SUCCESS);
    assert_int_equal(raw(HVCALL_GET_PARTITION_PROPERTY, INPUT + 4088, OUTPUT), HV_STATUS_INVALID_ALIGNMENT);
    assert_int_equal(raw(HVCALL_GET_PARTITION_PROPERTY, INPUT, OUTPUT + 4088), HV_STATUS_SUCCESS);
    assert_int_equal(raw(LOAM_HVCALL_GET_STATISTICS, INPUT, OUTPUT + 4096 - 504),
                     HV_STATUS_INVALID_ALIGNMENT);
    /* Elements count: 511 PFNs fit behind the header, 512 do not. */
    assert_int_equal(raw(HVCALL_DEPOSIT_MEMORY | 512ull << HV_CONTROL_REP_COUNT_SHIFT, INPUT, 0),
                     HV_STATUS_INVALID_ALIGNMENT);
    assert_int_equal(raw(HVCALL_DEPOSIT_MEMORY | 511ull << HV_CONTROL_REP_COUNT_SHIFT, INPUT + 8, 0),
                     HV_STATUS_INVALID_ALIGNMENT);
    assert_int_equal(raw(HVCALL_WITHDRAW_MEMORY | 513ull << HV_CONTROL_REP_COUNT_SHIFT, INPUT, OUTPUT),
                     HV_STATUS_INVALID_ALIGNMENT);
    /* A variable header counts too. */
    assert_int_equal(raw(HVCALL_GET_VP_STATE | 508ull << HV_CONTROL_VARIABLE_HEADER_SHIFT, INPUT, 0),
                     HV_STATUS_INVALID_ALIGNMENT);
}

/* No address of the caller's stays counted as in use, whatever the call's result. */
static void pages_are_released(void **state)
{
    const struct hv_input_get_partition_property input = {.partition_id = 12345};

    (void)state;
    memcpy(page(FIXTURE_INPUT_PFN), &input, sizeof(input));
    assert_int_equal(raw(HVCALL_GET_PARTITION_PROPERTY, INPUT, OUTPUT), HV_STATUS_INVALID_PARTITION_ID);
    assert_int_equal(raw(HVCALL_GET_PARTITION_PROPERTY, INPUT, 4), HV_STATUS_INVALID_ALIGNMENT);
    assert_int_equal(raw(HVCALL_GET_PARTITION_PROPERTY, INPUT, INPUT), HV_STATUS_INVALID_PARTITION_ID);
    assert_int_equal(frame_find(FIXTURE_INPUT_PFN)->maps, 0);
    assert_int_equal(frame_find(FIXTURE_OUTPUT_PFN)->maps, 0);
}

/* A page that was deposited is not the parent's to pass, even to the call that deposits it. */
static void deposited_pages_are_refused(void **state)
{
    uint64_t input[3] = {HV_PARTITION_ID_SELF, FIXTURE_FREE_PFN, FIXTURE_FREE_PFN + 1};

    (void)state;
    assert_int_equal(hypercall_status(HVCALL_DEPOSIT_MEMORY, 2, input, sizeof(input)), HV_STATUS_SUCCESS);
    assert_int_equal(raw(HVCALL_GET_PARTITION_PROPERTY, (FIXTURE_FREE_PFN + 1) << HV_PAGE_SHIFT, OUTPUT),
                     HV_STATUS_INVALID_ALIGNMENT);
    assert_int_equal(raw(HVCALL_GET_PARTITION_PROPERTY, INPUT, FIXTURE_FREE_PFN << HV_PAGE_SHIFT),
                     HV_STATUS_INVALID_ALIGNMENT);
}

#define CONTESTED_PFN 0x1005ull
static unsigned countdown, waited;

/* Processor 0 leaves its access to the page. */
static void end_access(void)
{
    assert_ptr_equal(lp_by_index(0)->running, lp_by_index(0)->parent_vp);
    lp_by_index(0)->running = NULL;
    waited++;
}

static void deposit_meanwhile(void)
{
    const uint64_t input[2] = {HV_PARTITION_ID_SELF, CONTESTED_PFN};
    uint64_t control = HVCALL_DEPOSIT_MEMORY | 1ull << HV_CONTROL_REP_COUNT_SHIFT, result;

    if (--countdown > 0) {
        fake_meanwhile = deposit_meanwhile;
        return;
    }
    fake_machine_become(1);
    fake_elsewhere = end_access;
    memcpy(page(FIXTURE_FREE_PFN), input, sizeof(input));
    assert_true(hypercall_once(&control, FIXTURE_FREE_PFN << HV_PAGE_SHIFT, 0, &result));
    assert_int_equal(HV_RESULT_STATUS(result), HV_STATUS_SUCCESS);
    fake_elsewhere = NULL;
    fake_machine_become(0);
}

/*
 * The page with the output is deposited at whatever moment of a call, and becomes a table: either the deposit
 * waits until the output is there, or the output is not written.
 */
static void deposited_meanwhile(void **state)
{
    const struct hv_input_get_partition_property input = {
        .partition_id = HV_PARTITION_ID_SELF,
        .property_code = HV_PARTITION_PROPERTY_PROCESSOR_CLOCK_FREQUENCY};
    uint64_t spa;
    bool writable;

    (void)state;
    waited = 0;
    for (unsigned i = 1; i <= 6; i++) {
        memcpy(page(FIXTURE_INPUT_PFN), &input, sizeof(input));
        countdown = i;
        fake_meanwhile = deposit_meanwhile;
        raw(HVCALL_GET_PARTITION_PROPERTY, INPUT, CONTESTED_PFN << HV_PAGE_SHIFT);
        fake_meanwhile = NULL;
        assert_int_equal(frame_find(CONTESTED_PFN)->state, FRAME_LONE);
        for (uint64_t pfn = 0x1000; pfn < 0x1200; pfn++) {
            assert_true(fake_parent_translate(pfn << HV_PAGE_SHIFT, &spa, &writable));
            assert_true(pfn == CONTESTED_PFN ? !writable : spa == pfn << HV_PAGE_SHIFT);
        }
        assert_int_equal(withdraw_all(HV_PARTITION_ID_SELF), 1);
    }
    assert_int_equal(waited, 2); /* in the middle of copying the input, and of copying the output */
}

static void targets(void **state)
{
    uint64_t id = create_active_partition(20), other = create_partition();
    const struct hv_input_create_vp vp = {.partition_id = HV_PARTITION_ID_SELF};

    (void)state;
    /* The parent is not its own child. */
    assert_int_equal(hypercall_status(HVCALL_CREATE_VP, 0, &vp, sizeof(vp)), HV_STATUS_ACCESS_DENIED);
    assert_int_equal(hypercall_fast(HVCALL_FINALIZE_PARTITION, HV_PARTITION_ID_SELF, 0),
                     HV_STATUS_ACCESS_DENIED);
    assert_int_equal(hypercall_fast(HVCALL_DELETE_PARTITION, parent_partition.id, 0),
                     HV_STATUS_ACCESS_DENIED);
    /* Ids that are none: zero, another generation of the slot, a slot without partition. */
    assert_int_equal(hypercall_fast(HVCALL_FINALIZE_PARTITION, 0, 0), HV_STATUS_INVALID_PARTITION_ID);
    assert_int_equal(hypercall_fast(HVCALL_FINALIZE_PARTITION, id + PARTITION_MAXIMUM, 0),
                     HV_STATUS_INVALID_PARTITION_ID);
    assert_int_equal(hypercall_fast(HVCALL_FINALIZE_PARTITION, id + 77, 0), HV_STATUS_INVALID_PARTITION_ID);
    /* VPs that do not exist. */
    assert_int_equal(set_register(id, 0, HV_X64_REGISTER_RAX, 0, 0), HV_STATUS_INVALID_VP_INDEX);
    assert_int_equal(set_register(id, HV_MAXIMUM_VPS, HV_X64_REGISTER_RAX, 0, 0), HV_STATUS_INVALID_VP_INDEX);
    assert_int_equal(set_register(id, HV_VP_INDEX_SELF, HV_X64_REGISTER_RAX, 0, 0),
                     HV_STATUS_INVALID_VP_INDEX);
    assert_int_equal(set_register(id, HV_VP_INDEX_ANY, HV_X64_REGISTER_RAX, 0, 0),
                     HV_STATUS_INVALID_VP_INDEX);
    /* One that another processor has. */
    create_vp_with_pages(id, 0);
    fake_machine_become(1);
    assert_true(vp_claim(partition_vp(partition_get(id), 0)));
    fake_machine_become(0);
    assert_int_equal(set_register(id, 0, HV_X64_REGISTER_RAX, 0, 0), HV_STATUS_INVALID_VP_STATE);
    vp_release(partition_vp(partition_get(id), 0));
    assert_int_equal(set_register(id, 0, HV_X64_REGISTER_RAX, 0, 0), HV_STATUS_SUCCESS);
    /* A partition that is not initialized. */
    assert_int_equal(set_register(other, 0, HV_X64_REGISTER_RAX, 0, 0), HV_STATUS_INVALID_PARTITION_STATE);
}

static void partition_id(void **state)
{
    uint64_t id;

    (void)state;
    assert_int_equal(hypercall_status(HVCALL_GET_PARTITION_ID, 0, NULL, 0), HV_STATUS_SUCCESS);
    memcpy(&id, page(FIXTURE_OUTPUT_PFN), sizeof(id));
    assert_int_equal(id, parent_partition.id);
    assert_true(id != 0 && id != HV_PARTITION_ID_SELF);
}

static void log_and_statistics(void **state)
{
    struct loam_input_read_log read = {.position = 5, .size = 100};
    struct loam_input_get_statistics get = {.partition_id = HV_PARTITION_ID_SELF, .type = 99};
    const struct loam_output_read_log *output = page(FIXTURE_OUTPUT_PFN);
    uint64_t id = create_active_partition(20);

    (void)state;
    assert_int_equal(hypercall_status(LOAM_HVCALL_READ_LOG, 0, &read, sizeof(read)), HV_STATUS_SUCCESS);
    assert_int_equal(output->size, 100);
    read.size = LOAM_LOG_CHUNK + 1;
    assert_int_equal(hypercall_status(LOAM_HVCALL_READ_LOG, 0, &read, sizeof(read)),
                     HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(hypercall_status(LOAM_HVCALL_GET_STATISTICS, 0, &get, sizeof(get)),
                     HV_STATUS_INVALID_PARAMETER);
    get = (struct loam_input_get_statistics){.partition_id = id, .type = LOAM_STATISTICS_VP};
    assert_int_equal(hypercall_status(LOAM_HVCALL_GET_STATISTICS, 0, &get, sizeof(get)),
                     HV_STATUS_INVALID_VP_INDEX);
    get = (struct loam_input_get_statistics){
        .partition_id = HV_PARTITION_ID_SELF, .type = LOAM_STATISTICS_VP, .vp_index = 2};
    assert_int_equal(hypercall_status(LOAM_HVCALL_GET_STATISTICS, 0, &get, sizeof(get)),
                     HV_STATUS_INVALID_VP_INDEX);

    assert_int_equal(statistic(HV_PARTITION_ID_SELF, LOAM_STATISTICS_HYPERVISOR, 0, LOAM_COUNTER_PARTITIONS),
                     2);
    assert_int_equal(
        statistic(HV_PARTITION_ID_SELF, LOAM_STATISTICS_HYPERVISOR, 0, LOAM_COUNTER_LOGICAL_PROCESSORS), 2);
    lp_by_index(1)->parent_vp->exits[LOAM_EXIT_CPUID] = 42;
    assert_int_equal(statistic(HV_PARTITION_ID_SELF, LOAM_STATISTICS_VP, 1, LOAM_EXIT_CPUID), 42);
    create_vp_with_pages(id, 3);
    assert_int_equal(statistic(id, LOAM_STATISTICS_PARTITION, 0, LOAM_PARTITION_VPS), 1);
    assert_int_equal(statistic(id, LOAM_STATISTICS_VP, 3, LOAM_EXIT_CPUID), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_start, fixture_stop)
    const struct CMUnitTest tests[] = {
        TEST(unknown_codes),       TEST(table_sizes),
        TEST(control_words),       TEST(addresses),
        TEST(pages_are_released),  TEST(deposited_pages_are_refused),
        TEST(deposited_meanwhile), TEST(targets),
        TEST(partition_id),        TEST(log_and_statistics),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
