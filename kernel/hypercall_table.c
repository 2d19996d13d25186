/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kernel/hypercall.h"
#include "kernel/partition.h"

#define FIRST_PRIVATE ((unsigned)LOAM_HVCALL_READ_LOG)
#define COUNT(array)  ((unsigned)(sizeof(array) / sizeof(*(array))))

/* A call without elements; with elements of the given sizes. */
#define SIMPLE(in, out) .input = (in), .output = (out)
#define REP(in, out, rep_in, rep_out)                                                                                  \
    .input = (in), .output = (out), .rep = true, .rep_input = (rep_in), .rep_output = (rep_out)
#define ON(which, in_states)       .target = (which), .states = (in_states)
#define CALL(index, function, ...) [index] = {.handler = (function), __VA_ARGS__}

static const struct hypercall_entry public_calls[] = {
    CALL(HVCALL_CREATE_PARTITION, hypercall_create_partition, SIMPLE(56, 8)),
    CALL(HVCALL_INITIALIZE_PARTITION, hypercall_initialize_partition, SIMPLE(8, 0), ON(TARGET_CHILD, IN_CREATED),
         .locked = true),
    CALL(HVCALL_FINALIZE_PARTITION, hypercall_finalize_partition, SIMPLE(8, 0),
         ON(TARGET_CHILD, IN_ACTIVE | IN_FINALIZING)),
    CALL(HVCALL_DELETE_PARTITION, hypercall_delete_partition, SIMPLE(8, 0),
         ON(TARGET_CHILD, IN_CREATED | IN_FINALIZED)),
    CALL(HVCALL_GET_PARTITION_PROPERTY, hypercall_get_partition_property, SIMPLE(16, 8), ON(TARGET_ANY, IN_ANY_STATE)),
    CALL(HVCALL_SET_PARTITION_PROPERTY, hypercall_set_partition_property, SIMPLE(24, 0),
         ON(TARGET_CHILD, IN_CREATED | IN_ACTIVE), .locked = true),
    CALL(HVCALL_GET_PARTITION_ID, hypercall_get_partition_id, SIMPLE(0, 8)),
    CALL(HVCALL_DEPOSIT_MEMORY, hypercall_deposit_memory, REP(8, 0, 8, 0), ON(TARGET_ANY, IN_CREATED | IN_ACTIVE),
         .locked = true),
    CALL(HVCALL_WITHDRAW_MEMORY, hypercall_withdraw_memory, REP(16, 0, 0, 8),
         ON(TARGET_ANY, IN_CREATED | IN_ACTIVE | IN_FINALIZED), .locked = true),
    CALL(HVCALL_MAP_GPA_PAGES, hypercall_map_gpa_pages, REP(24, 0, 8, 0), ON(TARGET_CHILD, IN_ACTIVE), .locked = true),
    CALL(HVCALL_UNMAP_GPA_PAGES, hypercall_unmap_gpa_pages, REP(24, 0, 0, 0), ON(TARGET_CHILD, IN_ACTIVE),
         .locked = true),
    CALL(HVCALL_GET_GPA_PAGES_ACCESS_STATES, hypercall_get_gpa_pages_access_states, REP(24, 0, 0, 1),
         ON(TARGET_CHILD, IN_ACTIVE), .locked = true),
    CALL(HVCALL_CREATE_VP, hypercall_create_vp, SIMPLE(40, 0), ON(TARGET_CHILD, IN_ACTIVE), .locked = true),
    CALL(HVCALL_DELETE_VP, hypercall_delete_vp, SIMPLE(16, 0), ON(TARGET_CHILD, IN_ACTIVE), .vp = VP_CLAIMED,
         .locked = true),
    CALL(HVCALL_GET_VP_REGISTERS, hypercall_get_vp_registers, REP(16, 0, 4, 16), ON(TARGET_CHILD, IN_ACTIVE),
         .vp = VP_READ),
    CALL(HVCALL_SET_VP_REGISTERS, hypercall_set_vp_registers, REP(16, 0, 32, 0), ON(TARGET_CHILD, IN_ACTIVE),
         .vp = VP_WRITTEN),
    CALL(HVCALL_TRANSLATE_VIRTUAL_ADDRESS, hypercall_translate_virtual_address, SIMPLE(32, 16),
         ON(TARGET_CHILD, IN_ACTIVE), .vp = VP_READ),
    CALL(HVCALL_REGISTER_INTERCEPT_RESULT, hypercall_register_intercept_result, SIMPLE(60, 0),
         ON(TARGET_CHILD, IN_ACTIVE), .vp = VP_CLAIMED, .locked = true),
    CALL(HVCALL_ASSERT_VIRTUAL_INTERRUPT, hypercall_assert_virtual_interrupt, SIMPLE(32, 32),
         ON(TARGET_CHILD, IN_ACTIVE), .optional_output = true),
    CALL(HVCALL_DISPATCH_VP, hypercall_dispatch_vp, SIMPLE(32, 48), ON(TARGET_CHILD, IN_ACTIVE), .vp = VP_CLAIMED),
    CALL(HVCALL_MAP_VP_STATE_PAGE, hypercall_map_vp_state_page, SIMPLE(24, 8), ON(TARGET_CHILD, IN_ACTIVE),
         .vp = VP_CLAIMED),
    CALL(HVCALL_UNMAP_VP_STATE_PAGE, hypercall_unmap_vp_state_page, SIMPLE(16, 0), ON(TARGET_CHILD, IN_ACTIVE),
         .vp = VP_READ),
    CALL(HVCALL_GET_VP_STATE, hypercall_get_vp_state, SIMPLE(40, 0), ON(TARGET_CHILD, IN_ACTIVE), .vp = VP_READ,
         .variable = true),
    CALL(HVCALL_SET_VP_STATE, hypercall_set_vp_state, SIMPLE(40, 0), ON(TARGET_CHILD, IN_ACTIVE), .vp = VP_WRITTEN,
         .variable = true),
    CALL(HVCALL_GET_VP_CPUID_VALUES, hypercall_get_vp_cpuid_values, REP(24, 0, 24, 16), ON(TARGET_CHILD, IN_ACTIVE),
         .vp = VP_CLAIMED),
};

static const struct hypercall_entry private_calls[] = {
    CALL(LOAM_HVCALL_READ_LOG - FIRST_PRIVATE, hypercall_read_log, SIMPLE(16, 4096)),
    CALL(LOAM_HVCALL_GET_STATISTICS - FIRST_PRIVATE, hypercall_get_statistics, SIMPLE(16, 512),
         ON(TARGET_ANY, IN_ANY_STATE)),
    CALL(LOAM_HVCALL_RECLAIM_CHILDREN - FIRST_PRIVATE, hypercall_reclaim_children, SIMPLE(0, 16)),
};

const struct hypercall_entry *hypercall_find(uint16_t code)
{
    const struct hypercall_entry *entry = NULL;

    if (code < COUNT(public_calls))
        entry = &public_calls[code];
    else if (code >= FIRST_PRIVATE && code - FIRST_PRIVATE < COUNT(private_calls))
        entry = &private_calls[code - FIRST_PRIVATE];
    return entry && entry->handler ? entry : NULL;
}
