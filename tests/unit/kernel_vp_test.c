/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VPs while they do not run: creation, registers, register page, state, state pages, CPUID results,
 * translation. */
#include <stdlib.h>

#include "kernel/cpuid_result.h"
#include "kernel/frame.h"
#include "kernel/partition.h"
#include "kernel/register_page.h"
#include "tests/unit/kernel_fixture.h"

#define CR0_RESET 0x60000010ull

static void creation(void **state)
{
    uint64_t id = create_active_partition(0);
    struct hv_input_create_vp input = {.partition_id = id, .vp_index = 3};
    enum hv_status status;
    unsigned deposits = 0;

    (void)state;
    assert_int_equal(create_vp(id, HV_MAXIMUM_VPS), HV_STATUS_INVALID_VP_INDEX);
    assert_int_equal(create_vp(id, ~0u), HV_STATUS_INVALID_VP_INDEX);
    input.flags = 1;
    assert_int_equal(hypercall_status(HVCALL_CREATE_VP, 0, &input, sizeof(input)),
                     HV_STATUS_INVALID_PARAMETER);
    input.flags = 0;
    input.subnode_type = 1;
    assert_int_equal(hypercall_status(HVCALL_CREATE_VP, 0, &input, sizeof(input)),
                     HV_STATUS_INVALID_PARAMETER);
    while ((status = create_vp(id, 3)) == HV_STATUS_INSUFFICIENT_MEMORY) {
        deposit(id, 1);
        assert_true(++deposits < 10);
    }
    assert_int_equal(status, HV_STATUS_SUCCESS);
    assert_int_equal(create_vp(id, 3), HV_STATUS_INVALID_VP_STATE);
    assert_int_equal(statistic(id, LOAM_STATISTICS_PARTITION, 0, LOAM_PARTITION_VPS), 1);
    remove_partition(id);
}

static void deletion(void **state)
{
    uint64_t id = create_active_partition(20), free_pages;
    struct vp *vp = create_vp_with_pages(id, 0);
    uint64_t message_pfn = physical_address(message_page(0)) >> 12;

    (void)state;
    set_register(id, 0, HV_X64_REGISTER_RBX, 77, 0);
    assert_int_equal(frame_find(message_pfn)->maps, 1);
    assert_int_equal(hypercall_fast(HVCALL_DELETE_VP, id, 1), HV_STATUS_INVALID_VP_INDEX);
    assert_int_equal(hypercall_fast(HVCALL_DELETE_VP, id, 0), HV_STATUS_SUCCESS);
    assert_int_equal(frame_find(message_pfn)->maps, 0);
    assert_int_equal(hypercall_fast(HVCALL_DELETE_VP, id, 0), HV_STATUS_INVALID_VP_INDEX);
    assert_int_equal(set_register(id, 0, HV_X64_REGISTER_RBX, 77, 0), HV_STATUS_INVALID_VP_INDEX);
    /* Whoever still has a pointer sees a VP that is of no use, not somebody's memory. */
    assert_true(vp->deleted);
    free_pages = statistic(id, LOAM_STATISTICS_PARTITION, 0, LOAM_PARTITION_FREE_PAGES);
    assert_int_equal(create_vp(id, 0), HV_STATUS_SUCCESS);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_RBX), 0);
    assert_int_equal(hypercall_fast(HVCALL_DELETE_VP, id, 0), HV_STATUS_SUCCESS);
    assert_int_equal(statistic(id, LOAM_STATISTICS_PARTITION, 0, LOAM_PARTITION_FREE_PAGES), free_pages);
    remove_partition(id);
}

static uint64_t contested;
static unsigned countdown;

static void delete_meanwhile(void)
{
    uint64_t control = HVCALL_DELETE_VP | HV_CONTROL_FAST, result;

    if (--countdown > 0) {
        fake_meanwhile = delete_meanwhile;
        return;
    }
    fake_machine_become(1);
    hypercall_once(&control, contested, 0, &result);
    fake_machine_become(0);
}

/* A VP that another processor deletes at whatever moment of a call is not used without its pages. */
static void deleted_meanwhile(void **state)
{
    unsigned refused = 0, done = 0;

    (void)state;
    contested = create_active_partition(20);
    for (unsigned i = 1; i < 12; i++) {
        const uint64_t input[6] = {contested, 0, HV_X64_REGISTER_CR3, 0, 0x1000, 0};
        uint64_t control = HVCALL_SET_VP_REGISTERS | 1ull << HV_CONTROL_REP_COUNT_SHIFT, result;

        create_vp(contested, 0);
        memcpy(page(FIXTURE_INPUT_PFN), input, sizeof(input));
        countdown = i;
        fake_meanwhile = delete_meanwhile;
        assert_true(hypercall_once(&control, FIXTURE_INPUT_PFN << HV_PAGE_SHIFT, 0, &result));
        fake_meanwhile = NULL;
        done += HV_RESULT_STATUS(result) == HV_STATUS_SUCCESS;
        refused += HV_RESULT_STATUS(result) == HV_STATUS_INVALID_VP_INDEX;
    }
    assert_true(done > 0 && refused > 0);
    assert_int_equal(done + refused, 11);
}

static void reset_state(void **state)
{
    uint64_t id = create_active_partition(30);
    struct hv_x64_segment_register cs;
    union hv_register_value value;

    (void)state;
    create_vp_with_pages(id, 0);
    create_vp_with_pages(id, 1);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_CR0), CR0_RESET);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_RIP), 0xFFF0);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_RFLAGS), 2);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_DR6), 0xFFFF0FF0);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_DR7), 0x400);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_EFER), 0);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_PAT), 0x0007040600070406);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_XFEM), 1);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_APIC_BASE), 0xFEE00900);
    assert_int_equal(register_low(id, 1, HV_X64_REGISTER_APIC_BASE), 0xFEE00800);
    assert_int_equal(register_low(id, 1, HV_X64_REGISTER_INITIAL_APIC_ID), 1);
    assert_int_equal(register_low(id, 0, HV_REGISTER_INTERNAL_ACTIVITY_STATE), 0);
    assert_int_equal(register_low(id, 1, HV_REGISTER_INTERNAL_ACTIVITY_STATE), HV_ACTIVITY_STARTUP_SUSPEND);
    get_register(id, 0, HV_X64_REGISTER_CS, &value);
    memcpy(&cs, &value, sizeof(cs));
    assert_int_equal(cs.base, 0xFFFF0000);
    assert_int_equal(cs.selector, 0xF000);
    assert_int_equal(cs.limit, 0xFFFF);
    assert_int_equal(cs.attributes, 0x9B);
    /* The TSC counts from 0. */
    assert_in_range(register_low(id, 0, HV_X64_REGISTER_TSC), 0, 10000);
}

/* Every register that a VMM sets can be set, and reads back what was set. */
static void registers_round_trip(void **state)
{
    static const struct {
        uint32_t first, count;
        uint64_t low, high; /* added per register: 1 */
    } cases[] = {
        {HV_X64_REGISTER_RAX,                      16, 0x1122334455667700, 0                 },
        {HV_X64_REGISTER_RIP,                      1,  0xFFFFFFFF81000000, 0                 },
        {HV_X64_REGISTER_RFLAGS,                   1,  0x246,              0                 },
        {HV_X64_REGISTER_XMM0,                     16, 0x1111111111111100, 0x2222222222222222},
        {HV_X64_REGISTER_FP_MMX0,                  8,  0x8000000000000001, 0x3FFF            },
        {HV_X64_REGISTER_FP_CONTROL_STATUS,        1,  0x0123007F1234037F, 0x5555            },
        {HV_X64_REGISTER_CR0,                      1,  0x80050033,         0                 },
        {HV_X64_REGISTER_CR2,                      1,  0xFFFF888000000000, 0                 },
        {HV_X64_REGISTER_CR3,                      1,  0x12345000,         0                 },
        {HV_X64_REGISTER_CR4,                      1,  0x6F0,              0                 },
        {HV_X64_REGISTER_CR8,                      1,  11,                 0                 },
        {HV_X64_REGISTER_XFEM,                     1,  3,                  0                 },
        {HV_X64_REGISTER_DR0,                      4,  0xABC000,           0                 },
        {HV_X64_REGISTER_DR6,                      1,  0xFFFF0FF1,         0                 },
        {HV_X64_REGISTER_DR7,                      1,  0x401,              0                 },
        {HV_X64_REGISTER_ES,                       8,  0xFFFF800012340000, 0xA09B001000000FFF},
        {HV_X64_REGISTER_IDTR,                     1,  0x0FFF000000000000, 0xFFFFFE0000000000},
        {HV_X64_REGISTER_GDTR,                     1,  0x007F000000000000, 0xFFFFFE0000001000},
        {HV_X64_REGISTER_EFER,                     1,  0xD01,              0                 },
        {HV_X64_REGISTER_KERNEL_GS_BASE,           1,  0xFFFF888000000000, 0                 },
        {HV_X64_REGISTER_PAT,                      1,  0x0407050600070106, 0                 },
        {HV_X64_REGISTER_SYSENTER_CS,              3,  0x10,               0                 },
        {HV_X64_REGISTER_STAR,                     4,  0x23001000000000,   0                 },
        {HV_X64_REGISTER_MTRR_DEF_TYPE,            1,  0x806,              0                 },
        {HV_X64_REGISTER_MTRR_PHYS_BASE0,          8,  0x80000000,         0                 },
        {HV_X64_REGISTER_MTRR_PHYS_MASK0,          8,  0xFF80000800,       0                 },
        {HV_X64_REGISTER_MTRR_FIX64K00000,         11, 0x0606060606060600, 0                 },
        {HV_X64_REGISTER_TSC_AUX,                  1,  7,                  0                 },
        {HV_X64_REGISTER_DEBUG_CTL,                1,  1,                  0                 },
        {HV_X64_REGISTER_SPEC_CTRL,                1,  1,                  0                 },
        {HV_X64_REGISTER_TSC_ADJUST,               1,  0x123456789,        0                 },
        {HV_X64_REGISTER_MISC_ENABLE,              1,  0x1801,             0                 },
        {HV_REGISTER_HYPERCALL,                    1,  0,                  0                 },
        {HV_REGISTER_GUEST_OS_ID,                  1,  0x8100060112000000, 0                 },
        {HV_REGISTER_VP_ASSIST_PAGE,               1,  0x5001,             0                 },
        {HV_REGISTER_REFERENCE_TSC,                1,  0x6001,             0                 },
        {HV_REGISTER_SINT0,                        17, 0x10000,            0                 },
        {HV_REGISTER_SIEFP,                        2,  0x7000,             0                 },
        {HV_REGISTER_EXPLICIT_SUSPEND,             1,  1,                  0                 },
        {HV_REGISTER_INTERCEPT_SUSPEND,            1,  1,                  0                 },
        {HV_REGISTER_INTERNAL_ACTIVITY_STATE,      1,  2,                  0                 },
        {HV_REGISTER_PENDING_INTERRUPTION,         1,  0x300001,           0                 },
        {HV_REGISTER_INTERRUPT_STATE,              1,  3,                  0                 },
        {HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, 1,  0x2A,               0                 },
        {HV_X64_REGISTER_APIC_BASE,                1,  0xFEE00D00,         0                 },
    };
    uint64_t id = create_active_partition(20);

    (void)state;
    create_vp_with_pages(id, 0);
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++)
            for (unsigned j = 0; j < cases[i].count; j++) {
                union hv_register_value value;

                if (round == 0)
                    assert_int_equal(set_register(id, 0, cases[i].first + j, cases[i].low + j, cases[i].high),
                                     HV_STATUS_SUCCESS);
                assert_int_equal(get_register(id, 0, cases[i].first + j, &value), HV_STATUS_SUCCESS);
                assert_int_equal(value.words[0], cases[i].low + j);
                assert_int_equal(value.words[1], cases[i].high);
            }
    assert_int_equal(set_register(id, 0, HV_X64_REGISTER_XMM_CONTROL_STATUS, 0x1234, 0x1F80),
                     HV_STATUS_SUCCESS);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_XMM_CONTROL_STATUS), 0x1234);
    /* Zero is a value of those that have no meaning yet. */
    static const uint32_t zeros[] = {
        HV_REGISTER_INSTRUCTION_EMULATION_HINTS, HV_REGISTER_PENDING_EVENT0, HV_REGISTER_PENDING_EVENT1,
        HV_REGISTER_PENDING_DEBUG_EXCEPTION,     HV_X64_REGISTER_U_XSS,      HV_X64_REGISTER_SPEC_CTRL};
    for (unsigned i = 0; i < sizeof(zeros) / sizeof(*zeros); i++) {
        assert_int_equal(set_register(id, 0, zeros[i], 0, 0), HV_STATUS_SUCCESS);
        assert_int_equal(register_low(id, 0, zeros[i]), 0);
    }
}

static void registers_refused(void **state)
{
    static const struct {
        uint32_t name;
        uint64_t low, high;
        enum hv_status status;
    } cases[] = {
        {0x99999999,                               0,          0,          HV_STATUS_INVALID_PARAMETER     },
        {HV_X64_REGISTER_R15 + 3,                  0,          0,          HV_STATUS_INVALID_PARAMETER     },
        {HV_X64_REGISTER_MTRR_PHYS_BASE0 + 8,      0,          0,          HV_STATUS_INVALID_PARAMETER     },
        {HV_X64_REGISTER_MTRR_CAP,                 0,          0,          HV_STATUS_ACCESS_DENIED         },
        {HV_REGISTER_VP_INDEX,                     0,          0,          HV_STATUS_ACCESS_DENIED         },
        {HV_REGISTER_TIME_REF_COUNT,               0,          0,          HV_STATUS_ACCESS_DENIED         },
        {HV_X64_REGISTER_INITIAL_APIC_ID,          0,          0,          HV_STATUS_ACCESS_DENIED         },
        {HV_REGISTER_SVERSION,                     1,          0,          HV_STATUS_ACCESS_DENIED         },
        {HV_X64_REGISTER_CR0,                      1ull << 32, 0,          HV_STATUS_INVALID_REGISTER_VALUE},
        {HV_X64_REGISTER_CR8,                      16,         0,          HV_STATUS_INVALID_REGISTER_VALUE},
        {HV_X64_REGISTER_DR6,                      1ull << 32, 0,          HV_STATUS_INVALID_REGISTER_VALUE},
        {HV_X64_REGISTER_DR7,                      1ull << 63, 0,          HV_STATUS_INVALID_REGISTER_VALUE},
        {HV_X64_REGISTER_RFLAGS,                   1ull << 22, 0,          HV_STATUS_INVALID_REGISTER_VALUE},
        {HV_X64_REGISTER_RFLAGS,                   1ull << 3,  0,          HV_STATUS_INVALID_REGISTER_VALUE},
        {HV_X64_REGISTER_XFEM,                     0,          0,          HV_STATUS_INVALID_REGISTER_VALUE},
        {HV_X64_REGISTER_XFEM,                     1ull << 18, 0,          HV_STATUS_INVALID_REGISTER_VALUE},
        {HV_X64_REGISTER_XMM_CONTROL_STATUS,       0,          0xFFFF0000, HV_STATUS_INVALID_REGISTER_VALUE},
        {HV_X64_REGISTER_TSC_AUX,                  1ull << 32, 0,          HV_STATUS_INVALID_REGISTER_VALUE},
        {HV_X64_REGISTER_SPEC_CTRL,                1ull << 40, 0,          HV_STATUS_INVALID_REGISTER_VALUE},
        {HV_X64_REGISTER_U_XSS,                    1,          0,          HV_STATUS_INVALID_REGISTER_VALUE},
        {HV_X64_REGISTER_APIC_BASE,                1ull << 60, 0,          HV_STATUS_INVALID_REGISTER_VALUE},
        {HV_REGISTER_EXPLICIT_SUSPEND,             2,          0,          HV_STATUS_INVALID_REGISTER_VALUE},
        {HV_REGISTER_INTERNAL_ACTIVITY_STATE,      8,          0,          HV_STATUS_INVALID_REGISTER_VALUE},
        {HV_REGISTER_PENDING_INTERRUPTION,         0x300003,   0,          HV_STATUS_INVALID_REGISTER_VALUE}, /* type 1 */
        {HV_REGISTER_PENDING_INTERRUPTION,         0x300007,   0,
         HV_STATUS_INVALID_REGISTER_VALUE                                                                  }, /* exception 0x30 */
        {HV_REGISTER_PENDING_INTERRUPTION,         0x1000001,  0,          HV_STATUS_INVALID_REGISTER_VALUE},
        {HV_REGISTER_PENDING_INTERRUPTION,         0x300000,   0,          HV_STATUS_INVALID_REGISTER_VALUE}, /* not pending */
        {HV_REGISTER_INTERRUPT_STATE,              4,          0,          HV_STATUS_INVALID_REGISTER_VALUE},
        {HV_REGISTER_PENDING_EVENT0,               0x200001,   0,          HV_STATUS_INVALID_REGISTER_VALUE}, /* vector 32 */
        {HV_REGISTER_PENDING_EVENT0,               0x3,        0,          HV_STATUS_INVALID_REGISTER_VALUE},
        {HV_REGISTER_PENDING_EVENT1,               1,          0,          HV_STATUS_INVALID_REGISTER_VALUE},
        {HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, 0x40,       0,          HV_STATUS_INVALID_REGISTER_VALUE},
    };
    uint64_t id = create_active_partition(20), input[7] = {0};
    union hv_register_value value;

    (void)state;
    create_vp_with_pages(id, 0);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        assert_int_equal(set_register(id, 0, cases[i].name, cases[i].low, cases[i].high), cases[i].status);
    assert_int_equal(get_register(id, 0, 0x99999999, &value), HV_STATUS_INVALID_PARAMETER);
    /* Another VTL than 0. */
    input[0] = id;
    input[1] = 1ull << 32;
    input[2] = HV_X64_REGISTER_RAX;
    assert_int_equal(hypercall_status(HVCALL_GET_VP_REGISTERS, 1, input, sizeof(input)),
                     HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(hypercall_status(HVCALL_SET_VP_REGISTERS, 1, input, sizeof(input)),
                     HV_STATUS_INVALID_PARAMETER);
}

/* Elements before the one that fails stay applied, and the count says which it was. */
static void partial_lists(void **state)
{
    uint64_t id = create_active_partition(20), input[2 + 3 * 4] = {id, 0}, names[4] = {id, 0}, result;
    const uint64_t *values = page(FIXTURE_OUTPUT_PFN);

    (void)state;
    create_vp_with_pages(id, 0);
    for (unsigned i = 0; i < 3; i++) {
        input[2 + 4 * i] = i == 1 ? HV_X64_REGISTER_CR8 : HV_X64_REGISTER_RAX + i;
        input[4 + 4 * i] = 100 + i;
    }
    result = hypercall_slow(HVCALL_SET_VP_REGISTERS, 3, input, sizeof(input));
    assert_int_equal(HV_RESULT_STATUS(result), HV_STATUS_INVALID_REGISTER_VALUE);
    assert_int_equal(HV_RESULT_REPS(result), 1);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_RAX), 100);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_RDX), register_low(id, 0, HV_X64_REGISTER_RDX));
    memset(page(FIXTURE_OUTPUT_PFN), 0xEE, HV_PAGE_SIZE);
    names[2] = (uint64_t)0x99999999 << 32 | HV_X64_REGISTER_RAX;
    result = hypercall_slow(HVCALL_GET_VP_REGISTERS, 2, names, sizeof(names));
    assert_int_equal(HV_RESULT_STATUS(result), HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(HV_RESULT_REPS(result), 1);
    assert_int_equal(values[0], 100);
    assert_int_equal(values[2], 0xEEEEEEEEEEEEEEEE);
}

/* A full list, as many as fit, in one call. */
static void long_lists(void **state)
{
    enum { GET = 256, SET = 127 };
    static uint64_t input[512];
    uint64_t id = create_active_partition(20), result;
    uint32_t *names = (uint32_t *)&input[2];
    unsigned continuations;

    (void)state;
    create_vp_with_pages(id, 0);
    input[0] = id;
    input[1] = 0;
    for (unsigned i = 0; i < GET; i++)
        names[i] = HV_X64_REGISTER_RAX + i % 16;
    memcpy(page(FIXTURE_INPUT_PFN), input, 16 + 4 * GET);
    result = hypercall_registers(HVCALL_GET_VP_REGISTERS | (uint64_t)GET << HV_CONTROL_REP_COUNT_SHIFT,
                                 FIXTURE_INPUT_PFN << 12, FIXTURE_OUTPUT_PFN << 12, &continuations);
    assert_int_equal(HV_RESULT_STATUS(result), HV_STATUS_SUCCESS);
    assert_int_equal(HV_RESULT_REPS(result), GET);
    memset(&input[2], 0, sizeof(input) - 16);
    for (unsigned i = 0; i < SET; i++) {
        input[2 + 4 * i] = HV_X64_REGISTER_RAX + i % 16;
        input[4 + 4 * i] = i;
    }
    memcpy(page(FIXTURE_INPUT_PFN), input, 16 + 32 * SET);
    result = hypercall_registers(HVCALL_SET_VP_REGISTERS | (uint64_t)SET << HV_CONTROL_REP_COUNT_SHIFT,
                                 FIXTURE_INPUT_PFN << 12, 0, &continuations);
    assert_int_equal(HV_RESULT_STATUS(result), HV_STATUS_SUCCESS);
    assert_int_equal(HV_RESULT_REPS(result), SET);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_R15), 111);
}

static void pending_events(void **state)
{
    uint64_t id = create_active_partition(20);

    (void)state;
    create_vp_with_pages(id, 0);
    /* #PF with an error code and an address. */
    assert_int_equal(
        set_register(id, 0, HV_REGISTER_PENDING_EVENT0, 7ull << 32 | 14 << 16 | 0x100 | 1, 0xDEAD000),
        HV_STATUS_SUCCESS);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_CR2), 0xDEAD000);
    assert_int_equal(register_low(id, 0, HV_REGISTER_PENDING_INTERRUPTION),
                     7ull << 32 | 14 << 16 | HV_PENDING_INTERRUPTION_DELIVER_ERROR_CODE | 3 << 1 | 1);
    /* Writing zeros, as a VMM that stores all its state does, takes nothing back. */
    assert_int_equal(set_register(id, 0, HV_REGISTER_PENDING_EVENT0, 0, 0), HV_STATUS_SUCCESS);
    assert_int_not_equal(register_low(id, 0, HV_REGISTER_PENDING_INTERRUPTION), 0);
    assert_int_equal(set_register(id, 0, HV_REGISTER_PENDING_INTERRUPTION, 0, 0), HV_STATUS_SUCCESS);
    assert_int_equal(set_register(id, 0, HV_REGISTER_PENDING_EVENT0, 1 << 16 | 1, 0x4001), HV_STATUS_SUCCESS);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_DR6), 0xFFFF4FF1);
}

static void tsc(void **state)
{
    uint64_t id = create_active_partition(20);

    (void)state;
    create_vp_with_pages(id, 0);
    assert_int_equal(set_register(id, 0, HV_X64_REGISTER_TSC, 0x123456789, 0), HV_STATUS_SUCCESS);
    assert_in_range(register_low(id, 0, HV_X64_REGISTER_TSC), 0x123456789, 0x123456789 + 1000);
    fake_tsc += 5000;
    assert_in_range(register_low(id, 0, HV_X64_REGISTER_TSC), 0x123456789 + 5000, 0x123456789 + 6000);
}

/* However long it takes to create them, also when guest time stands still meanwhile. */
static void tscs_of_new_vps_agree(void **state)
{
    uint64_t id = create_active_partition(40);

    (void)state;
    for (uint32_t i = 0; i < 4; i++) {
        if (i == 2)
            set_property(id, HV_PARTITION_PROPERTY_TIME_FREEZE, 1);
        create_vp_with_pages(id, i);
        fake_tsc += 5000000;
    }
    set_property(id, HV_PARTITION_PROPERTY_TIME_FREEZE, 0);
    for (uint32_t i = 0; i < 4; i++)
        assert_in_range(register_low(id, i, HV_X64_REGISTER_TSC), 10000000, 10000000 + 50000);
}

static void register_page_is_coherent(void **state)
{
    uint64_t id = create_active_partition(20);
    struct vp *vp = create_vp_with_pages(id, 0);
    struct hv_vp_register_page *shared = register_page(0);

    (void)state;
    register_page_fill(vp);
    assert_int_equal(shared->isvalid, 1);
    assert_int_equal(shared->version, 1);
    assert_int_equal(shared->rip, 0xFFF0);
    assert_int_equal(shared->cr0, CR0_RESET);
    assert_int_equal(shared->segment[1].base, 0xFFFF0000);
    assert_int_equal(shared->xfem, 1);
    /* The parent changes registers in the page; a hypercall sees them; what it sets is in the page
     * afterwards. */
    shared->gp_registers[0] = 0xAAAA;
    shared->rip = 0x1234;
    shared->rflags = 0xFFFFFFFFFFFFFFFF;
    shared->xmm[5].words[1] = 0x99;
    shared->segment[3].base = 0x5000;
    shared->dirty = HV_REGISTER_PAGE_DIRTY_GP | HV_REGISTER_PAGE_DIRTY_IP | HV_REGISTER_PAGE_DIRTY_XMM |
                    HV_REGISTER_PAGE_DIRTY_SEGMENT | HV_REGISTER_PAGE_DIRTY_FLAGS;
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_RAX), 0xAAAA);
    assert_int_equal(shared->dirty, 0);
    assert_int_equal(vp->rip, 0x1234);
    assert_int_equal(vp->rflags, 0x3F7FD7);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_DS), 0x5000);
    assert_int_equal(set_register(id, 0, HV_X64_REGISTER_RBX, 0xBBBB, 0), HV_STATUS_SUCCESS);
    assert_int_equal(shared->gp_registers[GPR_RBX], 0xBBBB);
    assert_int_equal(shared->gp_registers[GPR_RAX], 0xAAAA);
    assert_int_equal(shared->rflags, 0x3F7FD7);
    /* Not dirty: what stands in the page does not matter. */
    shared->gp_registers[0] = 0xCCCC;
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_RAX), 0xAAAA);
    /* Not valid: neither loaded nor filled. */
    shared->isvalid = 0;
    shared->dirty = HV_REGISTER_PAGE_DIRTY_GP;
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_RAX), 0xAAAA);
    set_register(id, 0, HV_X64_REGISTER_RBX, 1, 0);
    assert_int_equal(shared->gp_registers[GPR_RBX], 0xBBBB);
}

static enum hv_status state_page(uint64_t id, uint16_t type, uint8_t flags, uint8_t vtl, uint64_t pfn)
{
    const struct hv_input_map_vp_state_page input = {
        .partition_id = id, .type = type, .input_vtl = vtl, .flags = flags, .requested_pfn = pfn};

    return hypercall_status(HVCALL_MAP_VP_STATE_PAGE, 0, &input, sizeof(input));
}

static enum hv_status unmap_state_page(uint64_t id, uint16_t type)
{
    const struct hv_input_unmap_vp_state_page input = {.partition_id = id, .type = type};

    return hypercall_status(HVCALL_UNMAP_VP_STATE_PAGE, 0, &input, sizeof(input));
}

static void state_pages(void **state)
{
    uint64_t id = create_active_partition(20), pfn = take_pages(1, 1);

    (void)state;
    assert_int_equal(create_vp(id, 0), HV_STATUS_SUCCESS);
    assert_int_equal(unmap_state_page(id, 0), HV_STATUS_INVALID_VP_STATE);
    assert_int_equal(state_page(id, 2, 1, 0, pfn), HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(state_page(id, 0xFFFF, 1, 0, pfn), HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(state_page(id, 0, 3, 0, pfn), HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(state_page(id, 0, 1, 1, pfn), HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(state_page(id, 0, 0, 0, 0), HV_STATUS_PROCESSOR_FEATURE_NOT_SUPPORTED);
    assert_int_equal(state_page(id, 0, 1, 0, FAKE_OWN_PFN), HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(state_page(id, 0, 1, 0, 1ull << 52), HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(state_page(id, 0, 1, 0, pfn), HV_STATUS_SUCCESS);
    assert_int_equal(*(uint64_t *)page(FIXTURE_OUTPUT_PFN), pfn);
    assert_int_equal(frame_find(pfn)->maps, 1);
    assert_int_equal(state_page(id, 0, 1, 0, pfn), HV_STATUS_INVALID_VP_STATE);
    /* The same page for both is the parent's own business. */
    assert_int_equal(state_page(id, 1, 1, 0, pfn), HV_STATUS_SUCCESS);
    assert_int_equal(frame_find(pfn)->maps, 2);
    assert_int_equal(unmap_state_page(id, 1), HV_STATUS_SUCCESS);
    assert_int_equal(unmap_state_page(id, 1), HV_STATUS_INVALID_VP_STATE);
    assert_int_equal(unmap_state_page(id, 2), HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(frame_find(pfn)->maps, 1);
    remove_partition(id);
    assert_int_equal(frame_find(pfn)->maps, 0);
}

static enum hv_status vp_state(uint16_t code, uint64_t id, uint32_t type, uint64_t states, uint64_t flags,
                               uint64_t pfn, unsigned pfns)
{
    uint64_t input[6] = {id, 0, type, flags, states, pfn};

    memcpy(page(FIXTURE_INPUT_PFN), input, sizeof(input));
    return HV_RESULT_STATUS(hypercall_registers(code | (uint64_t)pfns << HV_CONTROL_VARIABLE_HEADER_SHIFT,
                                                FIXTURE_INPUT_PFN << HV_PAGE_SHIFT, 0, NULL));
}

static void states(void **state)
{
    uint64_t id = create_active_partition(20), pfn = take_pages(1, 1);
    struct hv_local_interrupt_controller_state *lapic = page(pfn), before;
    uint8_t image[576];
    struct vp *vp;

    (void)state;
    create_vp_with_pages(id, 0);
    vp = partition_get(id)->vps[0];
    partition_put(vp->partition);
    assert_int_equal(vp_state(HVCALL_GET_VP_STATE, id, HV_VP_STATE_LAPIC, 0, 0, pfn, 1), HV_STATUS_SUCCESS);
    assert_int_equal(lapic->apic_spurious, 0xFF);
    before = *lapic;
    lapic->apic_lvt_lint0 = 0x700; /* ExtINT, unmasked */
    lapic->apic_lvt_lint1 = 0x400;
    assert_int_equal(vp_state(HVCALL_SET_VP_STATE, id, HV_VP_STATE_LAPIC, 0, 0, pfn, 1), HV_STATUS_SUCCESS);
    memset(lapic, 0, sizeof(*lapic));
    assert_int_equal(vp_state(HVCALL_GET_VP_STATE, id, HV_VP_STATE_LAPIC, 0, 0, pfn, 1), HV_STATUS_SUCCESS);
    assert_int_equal(lapic->apic_lvt_lint0, 0x700);
    assert_int_equal(lapic->apic_version, before.apic_version);
    /* A state from before takes with it what has arrived meanwhile, but not if it is refused. */
    vp->nmi_pending = vp->init_pending = vp->sipi_pending = vp->apic.extint_pending = vp->apic.eoi_pending = true;
    lapic->apic_version = 0;
    assert_int_equal(vp_state(HVCALL_SET_VP_STATE, id, HV_VP_STATE_LAPIC, 0, 0, pfn, 1),
                     HV_STATUS_INVALID_REGISTER_VALUE);
    assert_true(vp->nmi_pending && vp->init_pending && vp->sipi_pending);
    lapic->apic_version = before.apic_version;
    assert_int_equal(vp_state(HVCALL_SET_VP_STATE, id, HV_VP_STATE_LAPIC, 0, 0, pfn, 1), HV_STATUS_SUCCESS);
    assert_false(vp->nmi_pending || vp->init_pending || vp->sipi_pending || vp->apic.extint_pending ||
                 vp->apic.eoi_pending);
    lapic->apic_id = 0xFFFFFFFF;
    assert_int_equal(vp_state(HVCALL_SET_VP_STATE, id, HV_VP_STATE_LAPIC, 0, 0, pfn, 1),
                     HV_STATUS_INVALID_REGISTER_VALUE);

    set_register(id, 0, HV_X64_REGISTER_XMM0, 0x1234, 0x5678);
    assert_int_equal(vp_state(HVCALL_GET_VP_STATE, id, HV_VP_STATE_XSAVE, 3, 0, pfn, 1), HV_STATUS_SUCCESS);
    memcpy(image, page(pfn), sizeof(image));
    assert_int_equal(*(uint64_t *)(image + 160), 0x1234);
    image[160] = 0x99;
    memcpy(page(pfn), image, sizeof(image));
    assert_int_equal(vp_state(HVCALL_SET_VP_STATE, id, HV_VP_STATE_XSAVE, 3, 0, pfn, 1), HV_STATUS_SUCCESS);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_XMM0), 0x1299);

    /* No page, one that is not the parent's, unknown types, flags, states. */
    assert_int_equal(vp_state(HVCALL_GET_VP_STATE, id, HV_VP_STATE_LAPIC, 0, 0, pfn, 0),
                     HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(vp_state(HVCALL_GET_VP_STATE, id, HV_VP_STATE_LAPIC, 0, 0, FAKE_OWN_PFN, 1),
                     HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(vp_state(HVCALL_SET_VP_STATE, id, HV_VP_STATE_LAPIC, 0, 0, 1ull << 52, 1),
                     HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(vp_state(HVCALL_GET_VP_STATE, id, HV_VP_STATE_SYNTHETIC_TIMERS, 0, 0, pfn, 1),
                     HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(vp_state(HVCALL_GET_VP_STATE, id, HV_VP_STATE_XSAVE, 3, 1, pfn, 1),
                     HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(vp_state(HVCALL_GET_VP_STATE, id, HV_VP_STATE_XSAVE, 1ull << 18, 0, pfn, 1),
                     HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(frame_find(pfn)->maps, 0);
}

static enum hv_status register_result(uint64_t id, uint32_t type, uint32_t eax, uint32_t ecx,
                                      uint8_t specific, uint32_t value, uint32_t mask)
{
    struct hv_input_register_intercept_result input = {.partition_id = id,
                                                       .intercept_type = type,
                                                       .eax = eax,
                                                       .ecx = ecx,
                                                       .subleaf_specific = specific,
                                                       .always_override = 1};

    for (unsigned i = 0; i < 4; i++) {
        input.result[i].value = value + i;
        input.result[i].mask = mask;
    }
    return hypercall_status(HVCALL_REGISTER_INTERCEPT_RESULT, 0, &input, sizeof(input));
}

static void get_cpuid(struct vp *vp, uint32_t leaf, uint32_t subleaf, uint32_t result[4])
{
    memcpy(result, cpuid_get(vp, leaf, subleaf), 4 * sizeof(*result));
}

static void cpuid_results(void **state)
{
    uint64_t id = create_active_partition(30);
    struct vp *vp = create_vp_with_pages(id, 0);
    uint32_t result[4];

    (void)state;
    get_cpuid(vp, 5, 7, result);
    assert_int_equal(result[0], 5);
    assert_int_equal(result[1], 7);
    /* For all subleaves; for one of them. */
    assert_int_equal(register_result(id, 2, 5, 0, 0, 100, ~0u), HV_STATUS_SUCCESS);
    get_cpuid(vp, 5, 7, result);
    assert_int_equal(result[0], 100);
    assert_int_equal(result[3], 103);
    assert_int_equal(register_result(id, 2, 5, 7, 1, 200, ~0u), HV_STATUS_SUCCESS);
    get_cpuid(vp, 5, 7, result);
    assert_int_equal(result[0], 200);
    get_cpuid(vp, 5, 8, result);
    assert_int_equal(result[0], 100);
    get_cpuid(vp, 5, 0x80000007, result);
    assert_int_equal(result[0], 100);
    get_cpuid(vp, 6, 0, result);
    assert_int_equal(result[0], 6);
    get_cpuid(vp, 4, 0xFFFFFFFF, result);
    assert_int_equal(result[0], 4);
    /* A second registration replaces the first. */
    assert_int_equal(register_result(id, 2, 5, 7, 1, 300, ~0u), HV_STATUS_SUCCESS);
    get_cpuid(vp, 5, 7, result);
    assert_int_equal(result[0], 300);
    /* Masked bits come from the default; live bits are never anybody's but ours. */
    assert_int_equal(register_result(id, 2, 6, 0, 0, 0xABCD, 0xFF00), HV_STATUS_SUCCESS);
    get_cpuid(vp, 6, 9, result);
    assert_int_equal(result[0], 0xAB06);
    assert_int_equal(register_result(id, 2, 1, 0, 0, ~0u - 3, ~0u), HV_STATUS_SUCCESS);
    get_cpuid(vp, 1, 0, result);
    assert_int_equal(result[2] >> 27 & 1, 0);
    set_register(id, 0, HV_X64_REGISTER_CR4, FAKE_CR4_OSXSAVE, 0);
    get_cpuid(vp, 1, 0, result);
    assert_int_equal(result[2] >> 27 & 1, 1);

    assert_int_equal(register_result(id, 1, 5, 0, 0, 0, 0), HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(register_result(id, 2, 5, 0, 2, 0, 0), HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(register_result(id, 2, 5, 0x80000000, 1, 0, 0), HV_STATUS_INVALID_PARAMETER);
}

/* As many as there is room for, in random order; each is found, and what lies between is not. */
static void many_cpuid_results(void **state)
{
    enum { COUNT = VP_CPUID_PAGES * VP_CPUID_RESULTS_PER_PAGE };
    static uint32_t order[COUNT];
    uint64_t id = create_active_partition(0);
    struct vp *vp = create_vp_with_pages(id, 0);
    unsigned deposits = 0;
    uint32_t result[4];

    (void)state;
    withdraw_all(id);
    srandom(3);
    for (unsigned i = 0; i < COUNT; i++)
        order[i] = i;
    for (unsigned i = COUNT - 1; i > 0; i--) {
        unsigned j = (unsigned)random() % (i + 1);
        uint32_t swap = order[i];

        order[i] = order[j];
        order[j] = swap;
    }
    for (unsigned i = 0; i < COUNT; i++) {
        enum hv_status status;

        while ((status = register_result(id, 2, order[i] / 8 * 2, order[i] % 8, order[i] % 8 != 0,
                                         1000 + order[i], ~0u)) == HV_STATUS_INSUFFICIENT_MEMORY) {
            deposit(id, 1);
            deposits++;
        }
        assert_int_equal(status, HV_STATUS_SUCCESS);
    }
    assert_in_range(deposits, VP_CPUID_PAGES, VP_CPUID_PAGES + 2);
    for (unsigned i = 0; i < COUNT; i++) {
        if (i / 8 * 2 == 0xD || i / 8 * 2 == 1)
            continue;
        get_cpuid(vp, i / 8 * 2, i % 8, result);
        assert_int_equal(result[0], 1000 + i);
        get_cpuid(vp, i / 8 * 2, 77, result);
        assert_int_equal(result[0], 1000 + i / 8 * 8);
        get_cpuid(vp, i / 8 * 2 + 1, i % 8, result);
        assert_int_equal(result[0], i / 8 * 2 + 1);
    }
    assert_int_equal(register_result(id, 2, 0x80000000, 0, 0, 0, 0), HV_STATUS_NO_RESOURCES);
    assert_int_equal(register_result(id, 2, 0, 0, 0, 5, ~0u), HV_STATUS_SUCCESS);
}

static void cpuid_values(void **state)
{
    struct {
        struct hv_input_get_vp_cpuid_values header;
        struct hv_cpuid_leaf_info leaves[3];
    } HV_PACKED input = {
        .header.flags = 2, .leaves = {{.eax = 5}, {.eax = 5, .ecx = 7}, {.eax = 0xD, .xfem = 3}}
    };
    const uint32_t(*values)[4] = page(FIXTURE_OUTPUT_PFN);
    uint64_t id = create_active_partition(30);

    (void)state;
    create_vp_with_pages(id, 0);
    register_result(id, 2, 5, 7, 1, 200, ~0u);
    input.header.partition_id = id;
    assert_int_equal(hypercall_status(HVCALL_GET_VP_CPUID_VALUES, 3, &input, sizeof(input)),
                     HV_STATUS_SUCCESS);
    assert_int_equal(values[0][0], 5);
    assert_int_equal(values[1][0], 200);
    assert_int_equal(values[2][1], 3);
    input.header.flags = 1;
    assert_int_equal(hypercall_status(HVCALL_GET_VP_CPUID_VALUES, 3, &input, sizeof(input)),
                     HV_STATUS_SUCCESS);
    assert_int_equal(values[1][0], 5);
    assert_int_equal(values[2][1], 1);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_XFEM), 1);
    input.header.flags = 4;
    assert_int_equal(hypercall_status(HVCALL_GET_VP_CPUID_VALUES, 3, &input, sizeof(input)),
                     HV_STATUS_INVALID_PARAMETER);
}

static void translation(void **state)
{
    uint64_t id = create_active_partition(30), pfn = take_pages(1, 1);
    struct hv_input_translate_virtual_address input = {
        .partition_id = id, .control_flags = HV_TRANSLATE_VALIDATE_WRITE, .gva_page = 5};
    const struct hv_output_translate_virtual_address *output = page(FIXTURE_OUTPUT_PFN);

    (void)state;
    create_vp_with_pages(id, 0);
    assert_int_equal(hypercall_status(HVCALL_TRANSLATE_VIRTUAL_ADDRESS, 0, &input, sizeof(input)),
                     HV_STATUS_SUCCESS);
    assert_int_equal(output->result_code, HV_TRANSLATE_GVA_GPA_UNMAPPED);
    map_pages(id, 5, HV_MAP_GPA_READABLE, &pfn, 1, NULL);
    assert_int_equal(hypercall_status(HVCALL_TRANSLATE_VIRTUAL_ADDRESS, 0, &input, sizeof(input)),
                     HV_STATUS_SUCCESS);
    assert_int_equal(output->result_code, HV_TRANSLATE_GVA_GPA_NO_WRITE_ACCESS);
    input.control_flags = 1 << 20;
    assert_int_equal(hypercall_status(HVCALL_TRANSLATE_VIRTUAL_ADDRESS, 0, &input, sizeof(input)),
                     HV_STATUS_INVALID_PARAMETER);
    input.control_flags = 0;
    input.gva_page = 1ull << 52;
    assert_int_equal(hypercall_status(HVCALL_TRANSLATE_VIRTUAL_ADDRESS, 0, &input, sizeof(input)),
                     HV_STATUS_INVALID_PARAMETER);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_start, fixture_stop)
    const struct CMUnitTest tests[] = {
        TEST(creation),
        TEST(deletion),
        TEST(deleted_meanwhile),
        TEST(reset_state),
        TEST(registers_round_trip),
        TEST(registers_refused),
        TEST(partial_lists),
        TEST(long_lists),
        TEST(pending_events),
        TEST(tsc),
        TEST(tscs_of_new_vps_agree),
        TEST(register_page_is_coherent),
        TEST(state_pages),
        TEST(states),
        TEST(cpuid_results),
        TEST(many_cpuid_results),
        TEST(cpuid_values),
        TEST(translation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
