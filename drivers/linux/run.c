// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Three things can end a VP's stay in the hypervisor: what it does itself (an intercept, a halt), a physical
 * interrupt on its processor, and a timer of its own, for which an hrtimer here provides that interrupt. The
 * rules against lost wake-ups:
 *
 * - Whoever makes the VP runnable does so in the hypervisor first, then sets `woken` and wakes the thread.
 * The thread clears `woken` before each dispatch. So either the dispatch meets the event, or the wait after
 * it ends.
 * - Interrupts are off from the last look at signals, rescheduling, shutdown and the timer until the VP runs.
 *   What changes then comes with an interrupt to this processor, which stays pending and ends the dispatch.
 * - The timer may fire on another processor than the one that dispatches. It resets `armed` and then looks at
 *   `dispatch_processor`; the thread sets that and then looks at `armed`. One of them sees the other.
 */
#include <linux/bug.h>
#include <linux/errno.h>
#include <linux/irqflags.h>
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/task_work.h>
#include <linux/uaccess.h>
#include <asm/tsc.h>

#include "compat.h"
#include "hypervisor.h"
#include "run.h"

/* Later deadlines are waited for in steps, which keeps the conversion to nanoseconds within 64 bits. */
#define LONGEST_WAIT_SECONDS 3600

static enum hrtimer_restart timer_fired(struct hrtimer *timer)
{
    struct mshv_vp *vp = container_of(timer, struct mshv_vp, timer);

    WRITE_ONCE(vp->armed, LOAM_NO_DEADLINE);
    vp_kick(vp);
    return HRTIMER_NORESTART;
}

void run_prepare(struct mshv_vp *vp)
{
    vp->dispatch->input.partition_id = vp->partition->id;
    vp->dispatch->input.vp_index = vp->index;
    vp->deadline = LOAM_NO_DEADLINE;
    vp->armed = LOAM_NO_DEADLINE;
    vp->dispatch_processor = -1;
    rcuwait_init(&vp->wait);
    hrtimer_setup(&vp->timer, timer_fired, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_HARD);
}

/* False: the deadline is past. */
static bool arm_timer(struct mshv_vp *vp)
{
    u64 now = rdtsc_ordered();
    u64 ticks, longest = (u64)tsc_khz * 1000 * LONGEST_WAIT_SECONDS;

    if (vp->deadline <= now)
        return false;
    ticks = min(vp->deadline - now, longest);
    WRITE_ONCE(vp->armed, now + ticks);
    /* Rounded up: a timer that fires early would only be started again. */
    hrtimer_start(&vp->timer, ns_to_ktime(mul_u64_u32_div(ticks, 1000000, tsc_khz) + 1),
                  HRTIMER_MODE_REL_PINNED_HARD);
    return true;
}

static bool vp_set_is_empty(const struct loam_vp_set *set)
{
    return !(set->bank[0] | set->bank[1] | set->bank[2] | set->bank[3]);
}

/* Enters with interrupts off and leaves with them on. */
static int dispatch_irqoff(struct mshv_vp *vp, u16 *status)
{
    WRITE_ONCE(vp->woken, false);
    WRITE_ONCE(vp->dispatch_processor, smp_processor_id());
    smp_mb(); /* Pairs with vp_kick(). */
    if (unlikely(partitions_are_shut_down())) {
        WRITE_ONCE(vp->dispatch_processor, -1);
        local_irq_enable();
        return -ESHUTDOWN;
    }
    if (vp->deadline < READ_ONCE(vp->armed))
        arm_timer(
            vp); /* For a past deadline it does nothing: the hypervisor serves that as it enters the VP. */
    *status = HV_RESULT_STATUS(hypervisor_call(HVCALL_DISPATCH_VP, hypercall_address(&vp->dispatch->input),
                                               hypercall_address(&vp->dispatch->output)));
    WRITE_ONCE(vp->dispatch_processor, -1);
    local_irq_enable();
    return 0;
}

/* What the thread must see to before it enters a guest: signals, other threads' turns, task work. */
static bool work_is_pending(void)
{
    return need_resched() || signal_pending(current) || task_work_pending(current);
}

/*
 * Lets other threads run if they should, and returns with interrupts off; or an error, with interrupts on, if
 * the thread has to go back to user mode first: -EINTR for a signal; for task work alone, which the VMM shall
 * not notice, one that makes the kernel repeat the ioctl. (The kernel's own xfer_to_guest_mode_handle_work()
 * needs a KVM VCPU.)
 */
static int settle_work_irqoff(void)
{
    for (;;) {
        local_irq_disable();
        if (likely(!work_is_pending()))
            return 0;
        local_irq_enable();
        if (signal_pending(current))
            return -EINTR;
        if (task_work_pending(current)) {
            /* Calls are repeated on the way to a signal's delivery only. A handler that runs makes it EINTR.
             */
            set_thread_flag(TIF_SIGPENDING);
            return -ERESTARTNOHAND;
        }
        schedule();
    }
}

/* One dispatch, with its consequences for other VPs. */
static int dispatch(struct mshv_vp *vp)
{
    const struct loam_output_dispatch_vp *output = &vp->dispatch->output;
    unsigned int attempts = 0;
    u16 status;

    do {
        int error = settle_work_irqoff();

        if (!error)
            error = dispatch_irqoff(vp, &status);
        if (error)
            return error;
    } while (unlikely(status != HV_STATUS_SUCCESS) &&
             deposit_lend(status, &vp->partition->deposits, &attempts));
    if (unlikely(status != HV_STATUS_SUCCESS))
        return hypercall_errno(status);
    vp->dispatch->input.flags = 0;
    vp->deadline = output->deadline;
    if (!vp_set_is_empty(&output->wake))
        partition_wake(vp->partition, &output->wake);
    return 0;
}

/* Sleeps until the VP may have become runnable. */
static int wait_until_woken(struct mshv_vp *vp)
{
    if (vp->deadline < READ_ONCE(vp->armed) && !arm_timer(vp))
        return 0;
    return rcuwait_wait_event(&vp->wait, READ_ONCE(vp->woken), TASK_INTERRUPTIBLE);
}

size_t vp_message_size(const struct mshv_vp *vp)
{
    /* The VMM can write to this page too, so the size is read once. */
    u8 payload = READ_ONCE(vp->intercept_page->header.payload_size);

    return sizeof(struct hv_message_header) + min_t(size_t, payload, HV_MESSAGE_PAYLOAD_BYTES);
}

int vp_run(struct mshv_vp *vp)
{
    const struct hv_output_dispatch_vp *output = &vp->dispatch->output.dispatch;

    for (;;) {
        int error = dispatch(vp);

        if (error)
            return error;
        if (output->dispatch_event == HV_VP_DISPATCH_EVENT_INTERCEPT) {
            vp->dispatch->input.flags = HV_DISPATCH_VP_CLEAR_INTERCEPT_SUSPEND;
            return 0;
        }
        if (output->dispatch_state == HV_VP_DISPATCH_STATE_BLOCKED)
            error = wait_until_woken(vp);
        else if (WARN_ONCE(output->dispatch_state != HV_VP_DISPATCH_STATE_READY,
                           "mshv_loam: unknown dispatch state %u\n", output->dispatch_state))
            error = -EIO;
        if (error)
            return error;
    }
}
