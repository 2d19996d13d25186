/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HVCALL_DISPATCH_VP: runs a child's VP on this processor until there is something for the parent (TLFS 15.11
 * names it the root scheduler). Physical interrupts stay pending and are the parent's as soon as the
 * hypercall has returned.
 */
#include "kernel/arch.h"
#include "kernel/exit.h"
#include "kernel/hypercall.h"
#include "kernel/interrupt.h"
#include "kernel/lp.h"
#include "kernel/message.h"
#include "kernel/partition.h"
#include "kernel/register_page.h"
#include "kernel/shoot_down.h"
#include "kernel/vp.h"

#define RFLAGS_IF              0x200ull
#define NMI_VECTOR             2u
#define TIME_SLICES_PER_SECOND 10000000ull /* units of 100 ns */

enum outcome {
    RUN,
    ENDED, /* READY, no event */
    BLOCKED,
    SUSPENDED, /* BLOCKED, event SUSPEND */
    INTERCEPT, /* a message is in the page */
    /* What the check under the lock found, to be made a message after it. */
    NMI_DELIVERABLE,
    INTERRUPT_DELIVERABLE,
    APIC_EOI,
    GONE, /* the partition is being finalized */
};

struct dispatch {
    struct vp *vp;
    struct lp *lp;
    uint64_t end; /* TSC at which the time slice is over; ~0 = never */
    bool entered; /* the VP's extended state is in the processor */
};

/* INIT and SIPI. BLOCKED: the VP waits for a SIPI. All functions up to check() are under the interrupt lock. */
static enum outcome take_startup_events(struct vp *vp)
{
    if (vp->init_pending) {
        vp->init_pending = false;
        vp_init(vp);
        vp->startup_suspend = !(vp->apic.base & APIC_BASE_BSP);
    }
    if (!vp->startup_suspend)
        return RUN;
    if (!vp->sipi_pending)
        return BLOCKED;
    vp->sipi_pending = false;
    vp->startup_suspend = false;
    vp_start(vp, vp->sipi_vector);
    return RUN;
}

/* The parent asked to be told when it may deliver an ExtINT: the vector is its PIC's to choose, once it is certain. */
static bool extint_deliverable(const struct vp *vp)
{
    uint64_t priority = vp->deliverability >> HV_DELIVERABILITY_PRIORITY_SHIFT & HV_DELIVERABILITY_PRIORITY_MASK;

    return (vp->deliverability & HV_DELIVERABILITY_INTERRUPT) && local_apic_accepts_extint(&vp->apic) &&
           (priority == 0 || priority > local_apic_cr8(&vp->apic));
}

/* An interrupt that the VP takes now, in the order of the APM: ExtINT, then the APIC's. False: there is none. */
static bool take_interrupt(struct vp *vp)
{
    int vector = local_apic_take_extint(&vp->apic);

    if (vector < 0) {
        vector = local_apic_pending(&vp->apic);
        if (vector < 0)
            return false;
        local_apic_acknowledge(&vp->apic, (uint8_t)vector);
    }
    vp->pending_interruption = hv_pending_interruption(HV_INTERRUPTION_TYPE_EXTERNAL, (unsigned)vector);
    return true;
}

/*
 * Chooses the event of the next entry, by priority (APM vol. 2, table 8-9; SDM vol. 3A, table 6-2): one whose
 * delivery was interrupted or that the parent set, NMI, interrupts. What cannot be delivered yet gets a
 * window.
 */
static enum outcome choose_event(struct vp *vp)
{
    bool shadow, open, nmi_open;

    if (!vp->pending_interruption && !vp->nmi_pending && !vp->deliverability && !vp->apic.extint_pending &&
        local_apic_pending(&vp->apic) < 0) {
        vendor->interrupt_window(vp, false);
        return vp->halted ? BLOCKED : RUN;
    }
    shadow = vendor->get(vp, VP_INTERRUPT_SHADOW);
    open = (vp->rflags & RFLAGS_IF) && !shadow;
    nmi_open = !shadow && !vendor->get(vp, VP_NMI_MASKED);
    if (vp->pending_interruption) {
        vp->halted = false;
    } else if (vp->nmi_pending && nmi_open) {
        vp->nmi_pending = false;
        vp->halted = false;
        vp->pending_interruption = hv_pending_interruption(HV_INTERRUPTION_TYPE_NMI, NMI_VECTOR);
    } else if ((vp->deliverability & HV_DELIVERABILITY_NMI) && nmi_open) {
        return NMI_DELIVERABLE;
    } else if (open && extint_deliverable(vp)) {
        return INTERRUPT_DELIVERABLE;
    } else if (open && take_interrupt(vp)) {
        vp->halted = false;
    }
    vendor->interrupt_window(vp, vp->apic.extint_pending || local_apic_pending(&vp->apic) >= 0 ||
                                     (vp->nmi_pending && shadow) || extint_deliverable(vp));
    return vp->halted ? BLOCKED : RUN;
}

/*
 * The driver's timer has to be set first, if nothing else would end the run when the VP's timer is due. Not twice
 * in a row, so that a VP whose timer is quicker than the parent makes progress nevertheless.
 */
static bool needs_timer(const struct vp *vp, uint64_t now)
{
    uint64_t deadline = local_apic_deadline(&vp->apic);

    return !vendor->has_deadline && deadline != LOAM_NO_DEADLINE && !vp->told_only &&
           (deadline < vp->told_deadline || vp->told_deadline <= now);
}

static enum outcome check_locked(struct dispatch *dispatch)
{
    struct vp *vp = dispatch->vp;
    uint64_t now = arch_tsc();
    enum outcome outcome;

    local_apic_tick(&vp->apic, now);
    if (vp->apic.eoi_pending)
        return APIC_EOI;
    outcome = take_startup_events(vp);
    if (outcome != RUN)
        return outcome;
    if (needs_timer(vp, now)) {
        vp->told_only = !dispatch->entered;
        return ENDED;
    }
    if (now >= dispatch->end)
        return ENDED;
    return choose_event(vp);
}

static bool is_empty(const struct loam_vp_set *set)
{
    uint64_t any = 0;

    for (unsigned i = 0; i < HV_MAXIMUM_VPS / 64; i++)
        any |= set->bank[i];
    return any == 0;
}

/* Whether the VP may be entered, and with which event. */
static enum outcome check(struct dispatch *dispatch)
{
    struct vp *vp = dispatch->vp;
    enum outcome outcome;

    if (partition_state(vp->partition) != PARTITION_ACTIVE)
        return GONE;
    if (vp->explicit_suspend)
        return SUSPENDED;
    if (vp->intercept_suspend)
        return INTERCEPT;
    if (__atomic_load_n(&dispatch->lp->parent_nmi, __ATOMIC_RELAXED) ||
        __atomic_load_n(&dispatch->lp->parent_init, __ATOMIC_RELAXED) || dispatch->lp->parent_machine_check ||
        !is_empty(&vp->wake))
        return ENDED;

    lock_acquire(&vp->interrupt_lock);
    outcome = check_locked(dispatch);
    vp->blocked = outcome == BLOCKED;
    vp->running_on = outcome == RUN ? dispatch->lp->index + 1 : 0;
    lock_release(&vp->interrupt_lock);
    return outcome;
}

/* Makes a message of what check() found. */
static enum outcome tell(struct vp *vp, enum outcome outcome)
{
    int vector;

    switch (outcome) {
    case NMI_DELIVERABLE:
        vp->deliverability &= ~HV_DELIVERABILITY_NMI;
        message_interruption_deliverable(vp, HV_INTERRUPTION_TYPE_NMI);
        return INTERCEPT;
    case INTERRUPT_DELIVERABLE:
        vp->deliverability &= HV_DELIVERABILITY_NMI;
        message_interruption_deliverable(vp, HV_INTERRUPTION_TYPE_EXTERNAL);
        return INTERCEPT;
    case APIC_EOI:
        lock_acquire(&vp->interrupt_lock);
        vector = local_apic_take_eoi(&vp->apic);
        lock_release(&vp->interrupt_lock);
        message_apic_eoi(vp, (uint8_t)vector);
        return INTERCEPT;
    default:
        return outcome;
    }
}

/* Enters the guest until an exit that ends the dispatch or asks for another look at events. */
static enum outcome enter(struct dispatch *dispatch)
{
    static const enum outcome outcomes[] = {[EXIT_CHECK] = RUN, [EXIT_READY] = ENDED, [EXIT_INTERCEPT] = INTERCEPT};
    struct vp *vp = dispatch->vp;
    enum exit_action action;
    struct vp_exit exit;

    if (!dispatch->entered) {
        dispatch->entered = true;
        vp->told_only = false;
        guest_memory_begin(vp);
        extended_state_enter(vp);
        vendor->switch_registers(lp_current()->parent_vp, vp);
    }
    vendor->inject(vp, vp->pending_interruption);
    vp->pending_interruption = 0;
    do {
        vendor->run(vp, &exit);
        action = exit_handle(vp, &exit);
    } while (action == EXIT_RESUME);
    return outcomes[action];
}

static enum outcome run(struct dispatch *dispatch)
{
    enum outcome outcome;

    do {
        outcome = tell(dispatch->vp, check(dispatch));
        if (outcome == RUN)
            outcome = enter(dispatch);
    } while (outcome == RUN);
    if (dispatch->entered) {
        vendor->switch_registers(dispatch->vp, lp_current()->parent_vp);
        extended_state_leave(dispatch->vp);
        guest_memory_end(NULL);
    }
    return outcome;
}

/* What the last dispatch ended for. INSUFFICIENT_MEMORY: the partition needs a page for the table; nothing is done. */
static enum hv_status split_to_execute(struct vp *vp)
{
    struct partition *partition = vp->partition;
    enum hv_status status = HV_STATUS_SUCCESS;

    lock_acquire(&partition->lock);
    if (partition_state(partition) == PARTITION_ACTIVE)
        status = nested_split(&partition->map, vp->fetch_from - 1);
    if (status == HV_STATUS_SUCCESS) {
        shoot_down(partition);
        vp->fetch_from = 0;
    }
    lock_release(&partition->lock);
    return status;
}

static void begin(struct dispatch *dispatch, const struct hv_input_dispatch_vp *input)
{
    struct vp *vp = dispatch->vp;

    if (input->time_slice) {
        uint64_t frequency = arch_tsc_frequency();

        dispatch->end = arch_tsc() + input->time_slice / TIME_SLICES_PER_SECOND * frequency +
                        input->time_slice % TIME_SLICES_PER_SECOND * frequency / TIME_SLICES_PER_SECOND;
    }
    if (input->flags & HV_DISPATCH_VP_CLEAR_INTERCEPT_SUSPEND)
        vp->intercept_suspend = false;
    register_page_load(vp);
    register_page_invalidate(vp);
}

/* Under the interrupt lock. What a timer gives at the last moment must not find the VP asleep with nobody to
 * wake it; if it is not asleep, its next dispatch sees to it. */
static void report(struct vp *vp, enum outcome outcome, struct loam_output_dispatch_vp *output)
{
    vp->running_on = 0;
    if (outcome == BLOCKED && local_apic_tick(&vp->apic, arch_tsc()))
        outcome = ENDED;
    if (outcome != BLOCKED)
        vp->blocked = false;
    output->dispatch.dispatch_state =
        outcome == BLOCKED || outcome == SUSPENDED ? HV_VP_DISPATCH_STATE_BLOCKED : HV_VP_DISPATCH_STATE_READY;
    output->dispatch.dispatch_event = HV_VP_DISPATCH_EVENT_NONE;
    if (outcome == SUSPENDED)
        output->dispatch.dispatch_event = HV_VP_DISPATCH_EVENT_SUSPEND;
    if (outcome == INTERCEPT)
        output->dispatch.dispatch_event = HV_VP_DISPATCH_EVENT_INTERCEPT;
    vp->told_deadline = local_apic_deadline(&vp->apic);
    output->deadline = vp->told_deadline;
    output->wake = vp->wake;
    vp->wake = (struct loam_vp_set){{0}};
}

enum hv_status hypercall_dispatch_vp(struct hypercall *call)
{
    const struct hv_input_dispatch_vp *input = call->input;
    struct vp *vp = call->vp;
    struct dispatch dispatch = {.vp = vp, .lp = lp_current(), .end = ~0ull};
    enum hv_status status;
    enum outcome outcome;

    if (input->flags & ~HV_DISPATCH_VP_FLAGS_MASK)
        return HV_STATUS_INVALID_PARAMETER;
    if (!vp->intercept_page || __atomic_load_n(&vp->partition->frozen_at, __ATOMIC_ACQUIRE))
        return HV_STATUS_INVALID_VP_STATE;
    status = vp->fetch_from ? split_to_execute(vp) : HV_STATUS_SUCCESS;
    if (status != HV_STATUS_SUCCESS)
        return status;
    begin(&dispatch, input);
    outcome = run(&dispatch);
    if (outcome == INTERCEPT) {
        vp->intercept_suspend = true;
        register_page_fill(vp);
    }
    lock_acquire(&vp->interrupt_lock);
    report(vp, outcome, call->output);
    lock_release(&vp->interrupt_lock);
    return outcome == GONE ? HV_STATUS_INVALID_PARTITION_STATE : HV_STATUS_SUCCESS;
}
