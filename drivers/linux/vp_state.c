// SPDX-License-Identifier: GPL-2.0-or-later
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "vp_state.h"

#define MAXIMUM_PAGES          ((HV_PAGE_SIZE - sizeof(struct hv_input_vp_state)) / sizeof(u64))
#define SYNTHETIC_TIMERS_BYTES 200u
/* x87 and SSE are always moved. */
#define XSAVE_LEGACY_STATES 3u

static const u32 state_types[MSHV_VP_STATE_COUNT] = {
    [MSHV_VP_STATE_LAPIC] = HV_VP_STATE_LAPIC,
    [MSHV_VP_STATE_XSAVE] = HV_VP_STATE_XSAVE,
    [MSHV_VP_STATE_SIMP] = HV_VP_STATE_SIMP,
    [MSHV_VP_STATE_SIEFP] = HV_VP_STATE_SIEFP,
    [MSHV_VP_STATE_SYNTHETIC_TIMERS] = HV_VP_STATE_SYNTHETIC_TIMERS,
};

static int get_property(struct mshv_vp *vp, u32 code, u64 *value)
{
    const struct hv_input_get_partition_property input = {
        .partition_id = vp->partition->id,
        .property_code = code,
    };

    return hypercall_errno(
        hypercall_small(HVCALL_GET_PARTITION_PROPERTY, &input, sizeof(input), value, sizeof(*value)));
}

/* Makes the call with `variable` 8-byte units behind the input's fixed part. */
static int transfer(struct mshv_vp *vp, bool set, unsigned int variable)
{
    struct hypercall call = {
        .control = (set ? HVCALL_SET_VP_STATE : HVCALL_GET_VP_STATE) |
                   (u64)variable << HV_CONTROL_VARIABLE_HEADER_SHIFT,
        .input = hypercall_address(vp->calls.input),
        .output = set ? 0 : hypercall_address(vp->calls.output),
    };

    return hypercall_errno(deposit_and_run(&call, &vp->partition->deposits));
}

/* The hypervisor reads or writes the caller's pages itself. */
static int transfer_pages(struct mshv_vp *vp, bool set, const struct mshv_get_set_vp_state *request)
{
    struct hv_input_vp_state *input = vp->calls.input;
    int count = request->buf_sz >> HV_PAGE_SHIFT, pinned, error, i;
    struct page **pages = kmalloc_array(count, sizeof(*pages), GFP_KERNEL_ACCOUNT);

    if (!pages)
        return -ENOMEM;
    pinned = pin_user_pages_fast(request->buf_ptr, count, FOLL_WRITE, pages);
    if (pinned == count) {
        for (i = 0; i < count; i++)
            input->pfn[i] = page_to_pfn(pages[i]);
        error = transfer(vp, set, count);
    } else {
        error = pinned < 0 ? pinned : -EFAULT;
    }
    if (pinned > 0)
        unpin_user_pages_dirty_lock(pages, pinned, true);
    kfree(pages);
    return error;
}

static int transfer_inline(struct mshv_vp *vp, bool set, const struct mshv_get_set_vp_state *request)
{
    struct hv_input_vp_state *input = vp->calls.input;
    void __user *buffer = u64_to_user_ptr(request->buf_ptr);
    int error;

    if (set && copy_from_user(input->pfn, buffer, SYNTHETIC_TIMERS_BYTES))
        return -EFAULT;
    error = transfer(vp, set, set ? DIV_ROUND_UP(SYNTHETIC_TIMERS_BYTES, sizeof(u64)) : 0);
    if (!error && !set && copy_to_user(buffer, vp->calls.output, SYNTHETIC_TIMERS_BYTES))
        error = -EFAULT;
    return error;
}

int vp_state_transfer(struct mshv_vp *vp, bool set, struct mshv_get_set_vp_state __user *argument)
{
    struct hv_input_vp_state *input = vp->calls.input;
    struct mshv_get_set_vp_state request;
    u64 xsave_states = 0, needed = HV_PAGE_SIZE;
    int error;

    if (copy_from_user(&request, argument, sizeof(request)))
        return -EFAULT;
    if (request.type >= MSHV_VP_STATE_COUNT || memchr_inv(request.rsvd, 0, sizeof(request.rsvd)))
        return -EINVAL;
    if (request.type == MSHV_VP_STATE_XSAVE) {
        error = get_property(vp, HV_PARTITION_PROPERTY_XSAVE_STATES, &xsave_states);
        if (!error)
            error = get_property(vp, HV_PARTITION_PROPERTY_MAX_XSAVE_DATA_SIZE, &needed);
        if (error)
            return error;
        xsave_states |= XSAVE_LEGACY_STATES;
        needed = PAGE_ALIGN(needed);
    }
    if (put_user((u32)needed, &argument->buf_sz))
        return -EFAULT;
    if (!PAGE_ALIGNED(request.buf_ptr) || !PAGE_ALIGNED(request.buf_sz) || request.buf_sz < needed ||
        request.buf_sz >> HV_PAGE_SHIFT > MAXIMUM_PAGES)
        return -EINVAL;
    *input = (struct hv_input_vp_state){
        .partition_id = vp->partition->id,
        .vp_index = vp->index,
        .type = state_types[request.type],
        .xsave_states = xsave_states,
    };
    return input->type & HV_VP_STATE_PFN_LIST ? transfer_pages(vp, set, &request)
                                              : transfer_inline(vp, set, &request);
}
