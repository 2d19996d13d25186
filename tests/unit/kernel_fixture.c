/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>

#include "kernel/frame.h"
#include "kernel/hypercall.h"
#include "kernel/partition.h"
#include "tests/unit/kernel_fixture.h"

#define MAXIMUM_CONTINUATIONS 100000u

static uint64_t next_pfn;
static uint64_t message_pfns[HV_MAXIMUM_VPS], register_pfns[HV_MAXIMUM_VPS];

int fixture_start(void **state)
{
    (void)state;
    fake_machine_start(2, true);
    next_pfn = FIXTURE_FREE_PFN;
    return 0;
}

int fixture_stop(void **state)
{
    (void)state;
    fake_machine_stop();
    return 0;
}

void *page(uint64_t pfn)
{
    return physical_pointer(pfn << HV_PAGE_SHIFT);
}

bool hypercall_once(uint64_t *control, uint64_t rdx, uint64_t r8, uint64_t *result)
{
    struct vp *parent = lp_current()->parent_vp;
    bool done;

    parent->gpr[GPR_RCX] = *control;
    parent->gpr[GPR_RDX] = rdx;
    parent->gpr[GPR_R8] = r8;
    parent->gpr[GPR_RAX] = ~0ull;
    done = hypercall_dispatch(parent);
    *control = parent->gpr[GPR_RCX];
    *result = parent->gpr[GPR_RAX];
    return done;
}

uint64_t hypercall_registers(uint64_t control, uint64_t rdx, uint64_t r8, unsigned *continuations)
{
    uint64_t result;
    unsigned repeated = 0;

    while (!hypercall_once(&control, rdx, r8, &result)) {
        repeated++;
        assert_true(repeated < MAXIMUM_CONTINUATIONS);
        /* Not an error code by accident: nothing was returned. */
        assert_true(result == ~0ull);
    }
    if (continuations)
        *continuations = repeated;
    return result;
}

uint64_t hypercall_slow(uint16_t code, unsigned reps, const void *input, size_t size)
{
    uint64_t control = code | (uint64_t)reps << HV_CONTROL_REP_COUNT_SHIFT;

    memset(page(FIXTURE_INPUT_PFN), 0, HV_PAGE_SIZE);
    if (size)
        memcpy(page(FIXTURE_INPUT_PFN), input, size);
    return hypercall_registers(control, FIXTURE_INPUT_PFN << HV_PAGE_SHIFT,
                               FIXTURE_OUTPUT_PFN << HV_PAGE_SHIFT, NULL);
}

enum hv_status hypercall_status(uint16_t code, unsigned reps, const void *input, size_t size)
{
    return HV_RESULT_STATUS(hypercall_slow(code, reps, input, size));
}

enum hv_status hypercall_fast(uint16_t code, uint64_t first, uint64_t second)
{
    return HV_RESULT_STATUS(hypercall_registers(code | HV_CONTROL_FAST, first, second, NULL));
}

uint64_t take_pages(unsigned count, unsigned alignment)
{
    uint64_t pfn = (next_pfn + alignment - 1) / alignment * alignment;

    next_pfn = pfn + count;
    assert_true(next_pfn < FAKE_OWN_PFN);
    return pfn;
}

void deposit(uint64_t partition, unsigned count)
{
    while (count > 0) {
        uint64_t input[512] = {partition};
        unsigned part = count < 511 ? count : 511;
        uint64_t first = take_pages(part, 1), result;

        for (unsigned i = 0; i < part; i++)
            input[1 + i] = first + i;
        result = hypercall_slow(HVCALL_DEPOSIT_MEMORY, part, input, (1 + part) * sizeof(*input));
        assert_int_equal(HV_RESULT_STATUS(result), HV_STATUS_SUCCESS);
        assert_int_equal(HV_RESULT_REPS(result), part);
        count -= part;
    }
}

unsigned withdraw_all(uint64_t partition)
{
    static bool seen[FAKE_MEMORY_SIZE >> HV_PAGE_SHIFT];
    const struct hv_input_withdraw_memory input = {.partition_id = partition};
    unsigned total = 0;
    uint64_t result;

    memset(seen, 0, sizeof(seen));
    do {
        const uint64_t *pfns = page(FIXTURE_OUTPUT_PFN);

        result = hypercall_slow(HVCALL_WITHDRAW_MEMORY, 512, &input, sizeof(input));
        for (unsigned i = 0; i < HV_RESULT_REPS(result); i++) {
            uint64_t spa;
            bool writable;

            assert_true(pfns[i] < FAKE_MEMORY_SIZE >> HV_PAGE_SHIFT);
            assert_false(seen[pfns[i]]);
            seen[pfns[i]] = true;
            assert_int_equal(frame_find(pfns[i])->state, FRAME_PARENT);
            assert_true(fake_parent_translate(pfns[i] << HV_PAGE_SHIFT, &spa, &writable));
            assert_true(writable && spa == pfns[i] << HV_PAGE_SHIFT);
        }
        total += (unsigned)HV_RESULT_REPS(result);
    } while (HV_RESULT_STATUS(result) == HV_STATUS_SUCCESS);
    assert_int_equal(HV_RESULT_STATUS(result), HV_STATUS_NO_RESOURCES);
    return total;
}

uint64_t create_partition(void)
{
    const struct hv_input_create_partition input = {
        .creation_flags = HV_CREATE_GPA_SUPER_PAGES | HV_CREATE_EXO_PARTITION | HV_CREATE_LAPIC |
                          HV_CREATE_INTERCEPT_MESSAGE_PAGE | HV_CREATE_X2APIC,
        .compatibility_version = HV_COMPATIBILITY_VERSION,
    };
    enum hv_status status;
    uint64_t id;

    while ((status = hypercall_status(HVCALL_CREATE_PARTITION, 0, &input, sizeof(input))) ==
           HV_STATUS_INSUFFICIENT_MEMORY)
        deposit(HV_PARTITION_ID_SELF, 1);
    assert_int_equal(status, HV_STATUS_SUCCESS);
    memcpy(&id, page(FIXTURE_OUTPUT_PFN), sizeof(id));
    return id;
}

uint64_t create_active_partition(unsigned extra)
{
    uint64_t id = create_partition();

    deposit(id, 3 + extra);
    assert_int_equal(hypercall_fast(HVCALL_INITIALIZE_PARTITION, id, 0), HV_STATUS_SUCCESS);
    return id;
}

enum hv_status create_vp(uint64_t partition, uint32_t index)
{
    const struct hv_input_create_vp input = {.partition_id = partition, .vp_index = index};

    return hypercall_status(HVCALL_CREATE_VP, 0, &input, sizeof(input));
}

static void map_state_page(uint64_t partition, uint32_t index, uint16_t type, uint64_t pfn)
{
    const struct hv_input_map_vp_state_page input = {
        .partition_id = partition,
        .vp_index = index,
        .type = type,
        .flags = HV_MAP_VP_STATE_PAGE_LOCATION_PROVIDED,
        .requested_pfn = pfn,
    };

    assert_int_equal(hypercall_status(HVCALL_MAP_VP_STATE_PAGE, 0, &input, sizeof(input)), HV_STATUS_SUCCESS);
}

struct vp *create_vp_with_pages(uint64_t partition, uint32_t index)
{
    struct partition *target;
    enum hv_status status;
    struct vp *vp;

    while ((status = create_vp(partition, index)) == HV_STATUS_INSUFFICIENT_MEMORY)
        deposit(partition, 1);
    assert_int_equal(status, HV_STATUS_SUCCESS);
    message_pfns[index] = take_pages(1, 1);
    register_pfns[index] = take_pages(1, 1);
    map_state_page(partition, index, HV_VP_STATE_PAGE_INTERCEPT_MESSAGE, message_pfns[index]);
    map_state_page(partition, index, HV_VP_STATE_PAGE_REGISTERS, register_pfns[index]);
    target = partition_get(partition);
    vp = partition_vp(target, index);
    partition_put(target);
    return vp;
}

struct hv_message *message_page(uint32_t vp_index)
{
    return page(message_pfns[vp_index]);
}

struct hv_vp_register_page *register_page(uint32_t vp_index)
{
    return page(register_pfns[vp_index]);
}

void remove_partition(uint64_t partition)
{
    assert_int_equal(hypercall_fast(HVCALL_FINALIZE_PARTITION, partition, 0), HV_STATUS_SUCCESS);
    withdraw_all(partition);
    assert_int_equal(hypercall_fast(HVCALL_DELETE_PARTITION, partition, 0), HV_STATUS_SUCCESS);
}

enum hv_status set_property(uint64_t partition, uint32_t code, uint64_t value)
{
    const struct hv_input_set_partition_property input = {
        .partition_id = partition, .property_code = code, .property_value = value};

    return hypercall_status(HVCALL_SET_PARTITION_PROPERTY, 0, &input, sizeof(input));
}

enum hv_status get_property(uint64_t partition, uint32_t code, uint64_t *value)
{
    const struct hv_input_get_partition_property input = {.partition_id = partition, .property_code = code};
    enum hv_status status = hypercall_status(HVCALL_GET_PARTITION_PROPERTY, 0, &input, sizeof(input));

    memcpy(value, page(FIXTURE_OUTPUT_PFN), sizeof(*value));
    return status;
}

enum hv_status set_register(uint64_t partition, uint32_t vp, uint32_t name, uint64_t low, uint64_t high)
{
    uint64_t input[6] = {partition, vp, name, 0, low, high};

    return hypercall_status(HVCALL_SET_VP_REGISTERS, 1, input, sizeof(input));
}

enum hv_status get_register(uint64_t partition, uint32_t vp, uint32_t name, union hv_register_value *value)
{
    uint64_t input[3] = {partition, vp, name};
    enum hv_status status = hypercall_status(HVCALL_GET_VP_REGISTERS, 1, input, sizeof(input));

    memcpy(value, page(FIXTURE_OUTPUT_PFN), sizeof(*value));
    return status;
}

uint64_t register_low(uint64_t partition, uint32_t vp, uint32_t name)
{
    union hv_register_value value;

    assert_int_equal(get_register(partition, vp, name, &value), HV_STATUS_SUCCESS);
    return value.low;
}

enum hv_status map_pages(uint64_t partition, uint64_t target, uint32_t flags, const uint64_t *pfns,
                         unsigned count, unsigned *done)
{
    uint64_t input[512] = {partition, target, flags}, result;

    memcpy(&input[3], pfns, count * sizeof(*pfns));
    result = hypercall_slow(HVCALL_MAP_GPA_PAGES, count, input, (3 + count) * sizeof(*input));
    if (done)
        *done = (unsigned)HV_RESULT_REPS(result);
    return HV_RESULT_STATUS(result);
}

enum hv_status unmap_pages(uint64_t partition, uint64_t target, uint32_t flags, unsigned count,
                           unsigned *done)
{
    const uint64_t input[3] = {partition, target, flags};
    uint64_t result = hypercall_slow(HVCALL_UNMAP_GPA_PAGES, count, input, sizeof(input));

    if (done)
        *done = (unsigned)HV_RESULT_REPS(result);
    return HV_RESULT_STATUS(result);
}

enum hv_status dispatch(uint64_t partition, uint32_t vp, uint32_t flags,
                        struct loam_output_dispatch_vp *output)
{
    const struct hv_input_dispatch_vp input = {.partition_id = partition, .vp_index = vp, .flags = flags};
    enum hv_status status = hypercall_status(HVCALL_DISPATCH_VP, 0, &input, sizeof(input));

    memcpy(output, page(FIXTURE_OUTPUT_PFN), sizeof(*output));
    return status;
}

uint64_t statistic(uint64_t partition, uint32_t type, uint32_t vp, unsigned counter)
{
    const struct loam_input_get_statistics input = {.partition_id = partition, .type = type, .vp_index = vp};
    struct loam_output_get_statistics output;

    assert_int_equal(hypercall_status(LOAM_HVCALL_GET_STATISTICS, 0, &input, sizeof(input)),
                     HV_STATUS_SUCCESS);
    memcpy(&output, page(FIXTURE_OUTPUT_PFN), sizeof(output));
    assert_true(counter < output.count);
    return output.counter[counter];
}
