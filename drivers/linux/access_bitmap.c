// SPDX-License-Identifier: GPL-2.0-or-later
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "access_bitmap.h"
#include "memory.h"

#define BATCH 2048u /* pages of a call: whole bytes, and whole tables of the hypervisor's if aligned */

static const u64 change_flags[MSHV_GPAP_ACCESS_TYPE_COUNT][MSHV_GPAP_ACCESS_OP_COUNT] = {
    [MSHV_GPAP_ACCESS_TYPE_ACCESSED][MSHV_GPAP_ACCESS_OP_CLEAR] =
        HV_GPA_PAGES_CLEAR_ACCESSED | HV_GPA_PAGES_CLEAR_DIRTY,
    [MSHV_GPAP_ACCESS_TYPE_ACCESSED][MSHV_GPAP_ACCESS_OP_SET] = HV_GPA_PAGES_SET_ACCESSED,
    [MSHV_GPAP_ACCESS_TYPE_DIRTY][MSHV_GPAP_ACCESS_OP_CLEAR] = HV_GPA_PAGES_CLEAR_DIRTY,
    [MSHV_GPAP_ACCESS_TYPE_DIRTY][MSHV_GPAP_ACCESS_OP_SET] = HV_GPA_PAGES_SET_ACCESSED | HV_GPA_PAGES_SET_DIRTY,
};

static int get_states(struct mshv_partition *partition, const struct mshv_gpap_access_bitmap *request, u64 first,
                      unsigned int count)
{
    struct hv_input_get_gpa_pages_access_states *input = partition->calls.input;
    struct hypercall call = {
        .control = hypercall_reps(HVCALL_GET_GPA_PAGES_ACCESS_STATES, count),
        .input = hypercall_address(input),
        .output = hypercall_address(partition->calls.output),
    };

    *input = (struct hv_input_get_gpa_pages_access_states){
        .partition_id = partition->id,
        .flags = change_flags[request->access_type][request->access_op],
        .base_pfn = request->gpap_base + first,
    };
    return hypercall_errno(deposit_and_run(&call, &partition->deposits));
}

static int get_batch(struct mshv_partition *partition, const struct mshv_gpap_access_bitmap *request, u64 first,
                     unsigned int count)
{
    const u8 *states = partition->calls.output;
    u8 mask = request->access_type == MSHV_GPAP_ACCESS_TYPE_DIRTY ? HV_GPA_PAGE_DIRTY : HV_GPA_PAGE_ACCESSED;
    u8 bits[BATCH / 8] = {};
    unsigned int i;
    int error;

    error = get_states(partition, request, first, count);
    if (error)
        return error;
    for (i = 0; i < count; i++)
        if (states[i] & mask)
            bits[i / 8] |= 1u << i % 8;
    if (copy_to_user(u64_to_user_ptr(request->bitmap_ptr + first / 8), bits, DIV_ROUND_UP(count, 8)))
        return -EFAULT;
    return 0;
}

int access_bitmap_get(struct mshv_partition *partition, const struct mshv_gpap_access_bitmap __user *argument)
{
    struct mshv_gpap_access_bitmap request;
    u64 first;

    if (copy_from_user(&request, argument, sizeof(request)))
        return -EFAULT;
    if (request.access_type >= MSHV_GPAP_ACCESS_TYPE_COUNT || request.access_op >= MSHV_GPAP_ACCESS_OP_COUNT ||
        memchr_inv(request.rsvd, 0, sizeof(request.rsvd)) || !request.page_count || !request.bitmap_ptr)
        return -EINVAL;
    if (request.gpap_base >= GUEST_PFN_END || request.page_count > GUEST_PFN_END - request.gpap_base)
        return -EINVAL;
    /* No VM has more memory, and this bounds the time. */
    if (request.page_count > totalram_pages())
        return -E2BIG;
    for (first = 0; first < request.page_count; first += BATCH) {
        int error;

        if (fatal_signal_pending(current))
            return -EINTR;
        error = get_batch(partition, &request, first, min_t(u64, request.page_count - first, BATCH));
        if (error)
            return error;
        cond_resched();
    }
    return 0;
}
