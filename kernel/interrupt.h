/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupts between the VPs of one partition, and from the parent to them.
 *
 * How no wake-up is lost. All of this is under the target's interrupt_lock:
 *   - the dispatcher, before it returns BLOCKED, finds nothing that the VP could take and sets vp->blocked;
 *   - before it enters the guest it finds nothing to inject and sets vp->running_on; after the exit it clears
 * it;
 *   - who delivers changes the target's state, and if that is news calls interrupt_notify(): a blocked VP is
 * unblocked and reported to the parent in a struct loam_vp_set, a running one is kicked, and one that is
 * neither will look for itself when it is dispatched. So an interrupt is either seen by the dispatcher's
 * check, or comes after it and finds the flag. A kick between the check and the entry is not lost: see
 * lp_kick(). vp->halted is the dispatcher's: only it can tell whether what arrived ends a HLT.
 */
#ifndef KERNEL_INTERRUPT_H
#define KERNEL_INTERRUPT_H

#include "hv/types.h"
#include "hv/status.h"
#include "hv/loam.h"
#include "kernel/local_apic.h"

struct partition;
struct vp;

/*
 * Delivers `request` to the VPs that it names. `sender`: the VP whose ICR it comes from, NULL for a hypercall
 * or a device. VPs that the parent must wake are added to *wake. Callable in any context that holds no
 * interrupt_lock and a reference on the partition; at most HV_MAXIMUM_VPS targets. A destination that nobody
 * has: SUCCESS, as on hardware. INVALID_PARAMETER: a vector below 16 where one is needed, a type that does
 * not exist (SMI and remote read included). From a sender these are no errors of the call: the APICs record
 * them. NOT_ACKNOWLEDGED: an ExtINT while the one before has not been taken.
 */
enum hv_status interrupt_deliver(struct partition *partition, const struct interrupt_request *request,
                                 struct vp *sender, struct loam_vp_set *wake);

/*
 * The request that HVCALL_ASSERT_VIRTUAL_INTERRUPT asks for. False: a field is out of range
 * (INVALID_PARAMETER).
 */
bool interrupt_request_from_hypercall(const struct hv_input_assert_virtual_interrupt *input,
                                      struct interrupt_request *request);

/* `vp` got something new, by whatever way: wakes or kicks it. Under its interrupt_lock. */
void interrupt_notify(struct vp *vp, struct loam_vp_set *wake);

/*
 * Sets guest TSC = host TSC + offset: the only writer of VP_TSC_OFFSET, because the APIC's TSC-deadline timer
 * follows it. The caller holds the claim and not the interrupt_lock.
 */
void vp_set_tsc_offset(struct vp *vp, uint64_t offset);
/*
 * The VP's time stood still for `ticks` of the host's TSC: its TSC and its timers go on where they were. As
 * above.
 */
void vp_skip_time(struct vp *vp, uint64_t ticks);

#endif
