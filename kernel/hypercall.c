/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "kernel/arch.h"
#include "kernel/boot_memory.h"
#include "kernel/frame.h"
#include "kernel/hypercall.h"
#include "kernel/log.h"
#include "kernel/lp.h"
#include "kernel/partition.h"
#include "kernel/register_page.h"
#include "kernel/shoot_down.h"
#include "kernel/vp.h"

#define FAST_INPUT_SIZE 16u
/* How the input of every call begins that names a partition, or a VP. */
struct hypercall_target_input {
    uint64_t partition_id;
    uint32_t vp_index;
};

/* A hypercall's registers, and where its input and output lie. */
struct invocation {
    uint64_t control;
    uint64_t input_gpa;
    uint64_t output_gpa;
    bool fast;
    uint32_t input_size;  /* fixed and variable part */
    uint32_t input_total; /* with all elements */
    uint32_t output_total;
};

void hypercall_initialize(struct lp *lp)
{
    lp->hypercall_input = physical_pointer(boot_allocate(1));
    lp->hypercall_output = physical_pointer(boot_allocate(1));
}

/* The frame of the caller's memory at `gpa`: aligned, within a page, RAM. NULL otherwise. */
static const struct frame *caller_frame(uint64_t gpa, uint32_t size)
{
    if (gpa % 8 || gpa % HV_PAGE_SIZE + size > HV_PAGE_SIZE)
        return NULL;
    return frame_find(gpa >> HV_PAGE_SHIFT);
}

/* The control word against what the table says about the call (TLFS 3.7). */
static enum hv_status check_control(const struct hypercall_entry *entry, struct invocation *invocation,
                                    struct hypercall *call)
{
    uint64_t control = invocation->control;

    invocation->input_size = invocation->input_total = entry->input;
    invocation->output_total = entry->output;
    call->wants_output = entry->output && !(entry->optional_output && invocation->output_gpa == 0);
    if (control >> HV_CONTROL_CODE_BITS == 0 && !entry->rep)
        return HV_STATUS_SUCCESS;

    call->variable_size = HV_CONTROL_VARIABLE_HEADER(control) * 8;
    call->rep_count = HV_CONTROL_REP_COUNT(control);
    call->rep_start = call->reps_done = HV_CONTROL_REP_START(control);
    invocation->fast = control & HV_CONTROL_FAST;
    if ((control & (HV_CONTROL_RESERVED | HV_CONTROL_NESTED)) || (call->variable_size && !entry->variable))
        return HV_STATUS_INVALID_HYPERCALL_INPUT;
    if (entry->rep ? call->rep_start >= call->rep_count : call->rep_count || call->rep_start)
        return HV_STATUS_INVALID_HYPERCALL_INPUT;
    if (invocation->fast &&
        (entry->input > FAST_INPUT_SIZE || entry->variable || entry->rep || (entry->output && !entry->optional_output)))
        return HV_STATUS_INVALID_HYPERCALL_INPUT;

    invocation->input_size += call->variable_size;
    invocation->input_total = invocation->input_size + entry->rep_input * call->rep_count;
    invocation->output_total += entry->rep_output * call->rep_count;
    call->wants_output = (call->wants_output || entry->rep_output) && !invocation->fast;
    return HV_STATUS_SUCCESS;
}

static enum hv_status copy_input(const struct hypercall_entry *entry, const struct invocation *invocation,
                                 struct hypercall *call)
{
    uint32_t elements = invocation->input_size + entry->rep_input * call->rep_start;
    const struct frame *frame;
    const uint8_t *source;
    struct vp *before;
    bool owned;

    if (invocation->fast) {
        const uint64_t registers[2] = {invocation->input_gpa, invocation->output_gpa};

        memcpy(call->input, registers, sizeof(registers));
        return HV_STATUS_SUCCESS;
    }
    if (invocation->input_total == 0)
        return HV_STATUS_SUCCESS;
    frame = caller_frame(invocation->input_gpa, invocation->input_total);
    if (!frame)
        return HV_STATUS_INVALID_ALIGNMENT;
    /* A page that is the parent's now stays so until guest_memory_end: a deposit waits for that before it uses it. */
    before = guest_memory_begin(call->caller);
    owned = frame_is_parents(frame);
    if (owned) {
        source = physical_pointer(invocation->input_gpa);
        memcpy(call->input, source, invocation->input_size);
        if (entry->rep_input)
            memcpy((uint8_t *)call->input + elements, source + elements, invocation->input_total - elements);
    }
    guest_memory_end(before);
    return owned ? HV_STATUS_SUCCESS : HV_STATUS_INVALID_ALIGNMENT;
}

/*
 * The fixed part only of a call that succeeded; of elements those that this invocation completed. The parent
 * may have deposited the page since the call began: then nobody is there to read the output.
 */
static void copy_output(const struct hypercall_entry *entry, const struct invocation *invocation,
                        const struct hypercall *call, const struct frame *frame, enum hv_status status)
{
    uint32_t elements = entry->output + entry->rep_output * call->rep_start;
    uint8_t *target = physical_pointer(invocation->output_gpa);
    struct vp *before = guest_memory_begin(call->caller);
    bool owned;

    owned = frame_is_parents(frame);
    if (owned && entry->output && status == HV_STATUS_SUCCESS && !call->repeat)
        memcpy(target, call->output, entry->output);
    if (owned && entry->rep_output)
        memcpy(target + elements, (const uint8_t *)call->output + elements,
               entry->rep_output * (call->reps_done - call->rep_start));
    guest_memory_end(before);
}

static enum hv_status call_with_vp(const struct hypercall_entry *entry, struct hypercall *call)
{
    enum hv_status status;

    if (entry->vp == VP_NOT_NAMED)
        return entry->handler(call);

    call->vp = partition_vp(call->partition, ((const struct hypercall_target_input *)call->input)->vp_index);
    if (!call->vp)
        return HV_STATUS_INVALID_VP_INDEX;
    if (!vp_claim(call->vp))
        return HV_STATUS_INVALID_VP_STATE;
    /* Deleted since it was looked up: now, under the claim, it stays what it is. */
    if (__atomic_load_n(&call->vp->deleted, __ATOMIC_ACQUIRE)) {
        vp_release(call->vp);
        return HV_STATUS_INVALID_VP_INDEX;
    }
    if (entry->vp != VP_CLAIMED)
        register_page_load(call->vp);
    status = entry->handler(call);
    if (entry->vp == VP_WRITTEN)
        register_page_refresh(call->vp);
    vp_release(call->vp);
    return status;
}

static enum hv_status call_with_target(const struct hypercall_entry *entry, struct hypercall *call)
{
    enum hv_status status;

    if (entry->target == TARGET_NONE)
        return entry->handler(call);

    call->partition = partition_get(((const struct hypercall_target_input *)call->input)->partition_id);
    if (!call->partition)
        return HV_STATUS_INVALID_PARTITION_ID;
    if (entry->locked)
        lock_acquire(&call->partition->lock);
    if (entry->target == TARGET_CHILD && call->partition == &parent_partition)
        status = HV_STATUS_ACCESS_DENIED;
    else if (!(entry->states >> partition_state(call->partition) & 1))
        status = HV_STATUS_INVALID_PARTITION_STATE;
    else
        status = call_with_vp(entry, call);
    if (entry->locked)
        lock_release(&call->partition->lock);
    if (call->partition)
        partition_put(call->partition);
    return status;
}

static enum hv_status call_with_output(const struct hypercall_entry *entry, const struct invocation *invocation,
                                       struct hypercall *call)
{
    const struct frame *frame;
    enum hv_status status;

    if (!call->wants_output)
        return call_with_target(entry, call);
    /* Before the call has any effect. */
    frame = caller_frame(invocation->output_gpa, invocation->output_total);
    if (!frame || !frame_is_parents(frame))
        return HV_STATUS_INVALID_ALIGNMENT;
    status = call_with_target(entry, call);
    copy_output(entry, invocation, call, frame, status);
    return status;
}

static enum hv_status perform(const struct hypercall_entry *entry, struct invocation *invocation,
                              struct hypercall *call)
{
    enum hv_status status = check_control(entry, invocation, call);

    if (status == HV_STATUS_SUCCESS)
        status = copy_input(entry, invocation, call);
    if (status == HV_STATUS_SUCCESS)
        status = call_with_output(entry, invocation, call);
    return status;
}

bool hypercall_dispatch(struct vp *parent_vp)
{
    struct lp *lp = lp_current();
    struct invocation invocation = {
        .control = parent_vp->gpr[GPR_RCX],
        .input_gpa = parent_vp->gpr[GPR_RDX],
        .output_gpa = parent_vp->gpr[GPR_R8],
    };
    const struct hypercall_entry *entry = hypercall_find(HV_CONTROL_CODE(invocation.control));
    struct hypercall call = {
        .caller = parent_vp,
        .input = lp->hypercall_input,
        .output = lp->hypercall_output,
        .budget = HYPERCALL_BUDGET,
    };
    enum hv_status status = HV_STATUS_INVALID_HYPERCALL_CODE;

    if (entry)
        status = perform(entry, &invocation, &call);
    if (status == HV_STATUS_SUCCESS && call.repeat)
        return false;
    if (status == HV_STATUS_SUCCESS && call.reps_done < call.rep_count) {
        parent_vp->gpr[GPR_RCX] = (invocation.control & ~(0xFFFull << HV_CONTROL_REP_START_SHIFT)) |
                                  (uint64_t)call.reps_done << HV_CONTROL_REP_START_SHIFT;
        return false;
    }
    parent_vp->gpr[GPR_RAX] = status | (uint64_t)call.reps_done << HV_RESULT_REPS_SHIFT;
    return true;
}
