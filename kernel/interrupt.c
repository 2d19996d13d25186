/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kernel/interrupt.h"
#include "kernel/lock.h"
#include "kernel/lp.h"
#include "kernel/partition.h"
#include "kernel/vp.h"

#define BROADCAST      0xFFu
#define BROADCAST_WIDE 0xFFFFFFFFu

bool interrupt_request_from_hypercall(const struct hv_input_assert_virtual_interrupt *input,
                                      struct interrupt_request *request)
{
    if ((input->interrupt_flags & ~(HV_INTERRUPT_LEVEL_TRIGGERED | HV_INTERRUPT_LOGICAL_DESTINATION)) != 0 ||
        input->interrupt_type > HV_X64_INTERRUPT_TYPE_LOCALINT1 || input->vector > 0xFF ||
        input->destination > 0xFFFFFFFF || input->target_vtl != 0)
        return false;
    *request = (struct interrupt_request){
        .type = (uint8_t)input->interrupt_type,
        .vector = (uint8_t)input->vector,
        .level = (input->interrupt_flags & HV_INTERRUPT_LEVEL_TRIGGERED) != 0,
        .logical = (input->interrupt_flags & HV_INTERRUPT_LOGICAL_DESTINATION) != 0,
        .destination = (uint32_t)input->destination,
    };
    return true;
}

/*
 * Something waits that may make a halted or startup-suspended VP run; IF and the NMI mask are the
 * dispatcher's.
 */
static bool has_arrived(const struct vp *vp)
{
    if (vp->startup_suspend)
        return vp->sipi_pending;
    return vp->nmi_pending || vp->init_pending || vp->apic.extint_pending || local_apic_pending(&vp->apic) >= 0;
}

void interrupt_notify(struct vp *vp, struct loam_vp_set *wake)
{
    if (vp->blocked) {
        vp->blocked = false;
        wake->bank[vp->index / 64] |= 1ull << (vp->index % 64);
    } else if (vp->running_on != 0 && vp->running_on != lp_current()->index + 1) {
        lp_kick(vp->running_on - 1);
    }
}

static bool is_broadcast(const struct interrupt_request *request)
{
    return request->destination == BROADCAST_WIDE || (!request->wide && request->destination == BROADCAST);
}

/* Under the target's interrupt_lock, as all below up to deliver_to(). */
static bool is_target(const struct vp *vp, const struct interrupt_request *request, const struct vp *sender)
{
    /*
     * The pins LINT0 and LINT1 are there whatever the APIC's state; everything else comes over the APIC bus.
     */
    if (request->type == HV_X64_INTERRUPT_TYPE_LOCALINT0 || request->type == HV_X64_INTERRUPT_TYPE_LOCALINT1)
        return vp->apic.id == request->destination || is_broadcast(request);
    if (!local_apic_enabled(&vp->apic))
        return false;
    switch (request->shorthand) {
    case INTERRUPT_TO_SELF:
        return vp == sender;
    case INTERRUPT_TO_ALL:
        return true;
    case INTERRUPT_TO_ALL_BUT_SELF:
        return vp != sender;
    default:
        return is_broadcast(request) || (request->logical ? local_apic_matches_logical(&vp->apic, request->destination)
                                                          : vp->apic.id == request->destination);
    }
}

static bool raise_nmi(struct vp *vp)
{
    bool news = !vp->nmi_pending;
    vp->nmi_pending = true;
    return news;
}

static bool raise_init(struct vp *vp)
{
    bool news = !vp->init_pending;
    vp->init_pending = true;
    vp->sipi_pending = vp->nmi_pending = false;
    return news;
}

/* A SIPI counts only for a processor that waits for one, or will once it has processed the INIT before it. */
static bool raise_sipi(struct vp *vp, uint8_t vector)
{
    bool boot_processor = (vp->apic.base & APIC_BASE_BSP) != 0;
    if (vp->sipi_pending || !(vp->startup_suspend || (vp->init_pending && !boot_processor)))
        return false;
    vp->sipi_pending = true;
    vp->sipi_vector = vector;
    return true;
}

static enum hv_status raise_extint(struct vp *vp, uint8_t vector, bool *news)
{
    if (vp->apic.extint_pending)
        return HV_STATUS_NOT_ACKNOWLEDGED;
    vp->apic.extint_pending = true;
    vp->apic.extint_vector = vector;
    *news = true;
    return HV_STATUS_SUCCESS;
}

static enum hv_status raise_pin(struct vp *vp, enum local_apic_lvt pin, uint8_t vector, bool *news)
{
    switch (local_apic_signal(&vp->apic, pin, news)) {
    case LOCAL_APIC_EVENT_NMI:
        *news = raise_nmi(vp);
        return HV_STATUS_SUCCESS;
    case LOCAL_APIC_EVENT_INIT:
        *news = raise_init(vp);
        return HV_STATUS_SUCCESS;
    case LOCAL_APIC_EVENT_EXTINT:
        return raise_extint(vp, vector, news);
    case LOCAL_APIC_EVENT_NONE:
        break;
    }
    return HV_STATUS_SUCCESS;
}

static enum hv_status raise(struct vp *vp, const struct interrupt_request *request, bool *news)
{
    bool level = request->level && vp->partition->apic_eoi_messages != 0;
    *news = false;
    switch (request->type) {
    case HV_X64_INTERRUPT_TYPE_FIXED:
    case HV_X64_INTERRUPT_TYPE_LOWESTPRIORITY:
        *news = local_apic_accept(&vp->apic, request->vector, level) == LOCAL_APIC_ACCEPTED;
        break;
    case HV_X64_INTERRUPT_TYPE_NMI:
        *news = raise_nmi(vp);
        break;
    case HV_X64_INTERRUPT_TYPE_INIT:
        *news = raise_init(vp);
        break;
    case HV_X64_INTERRUPT_TYPE_SIPI:
        *news = raise_sipi(vp, request->vector);
        break;
    case HV_X64_INTERRUPT_TYPE_EXTINT:
        return raise_extint(vp, request->vector, news);
    case HV_X64_INTERRUPT_TYPE_LOCALINT0:
        return raise_pin(vp, LVT_LINT0, request->vector, news);
    case HV_X64_INTERRUPT_TYPE_LOCALINT1:
        return raise_pin(vp, LVT_LINT1, request->vector, news);
    }
    return HV_STATUS_SUCCESS;
}

/*
 * A running VP is kicked even for what its priority holds back: it may lower its TPR without an exit, so the
 * dispatcher has to arm a window. A blocked one is not woken for that.
 */
static enum hv_status deliver_to(struct vp *vp, const struct interrupt_request *request, const struct vp *sender,
                                 struct loam_vp_set *wake)
{
    enum hv_status status = HV_STATUS_SUCCESS;
    bool news = false;
    lock_acquire(&vp->interrupt_lock);
    if (is_target(vp, request, sender))
        status = raise(vp, request, &news);
    if (news && (!vp->blocked || has_arrived(vp)))
        interrupt_notify(vp, wake);
    lock_release(&vp->interrupt_lock);
    return status;
}

/*
 * The VP with the lowest processor priority among the targets; the vector decides where the search for it
 * begins.
 */
static struct vp *lowest_priority_target(struct partition *partition, const struct interrupt_request *request,
                                         const struct vp *sender)
{
    struct vp *best = NULL;
    uint32_t best_priority = 0;
    uint32_t count = __atomic_load_n(&partition->vp_count, __ATOMIC_RELAXED);
    unsigned first = count == 0 ? 0 : request->vector % count;
    for (unsigned i = 0; i < HV_MAXIMUM_VPS; i++) {
        struct vp *vp = partition_vp(partition, (first + i) % HV_MAXIMUM_VPS);
        if (vp == NULL)
            continue;
        lock_acquire(&vp->interrupt_lock);
        uint32_t priority = local_apic_processor_priority(&vp->apic);
        if (is_target(vp, request, sender) && local_apic_accepts_fixed(&vp->apic) &&
            (best == NULL || priority < best_priority)) {
            best = vp;
            best_priority = priority;
        }
        lock_release(&vp->interrupt_lock);
    }
    return best;
}

static bool request_valid(const struct interrupt_request *request, const struct vp *sender)
{
    switch (request->type) {
    case HV_X64_INTERRUPT_TYPE_FIXED:
    case HV_X64_INTERRUPT_TYPE_LOWESTPRIORITY:
        if (request->vector < 16)
            return false;
        break;
    case HV_X64_INTERRUPT_TYPE_NMI:
    case HV_X64_INTERRUPT_TYPE_INIT:
    case HV_X64_INTERRUPT_TYPE_SIPI:
        break;
    case HV_X64_INTERRUPT_TYPE_EXTINT:
    case HV_X64_INTERRUPT_TYPE_LOCALINT0:
    case HV_X64_INTERRUPT_TYPE_LOCALINT1:
        if (sender != NULL)
            return false;
        break;
    default: /* SMI: no child has a system management mode; remote read: no processor has it any more */
        return false;
    }
    return sender != NULL || request->shorthand == INTERRUPT_TO_DESTINATION;
}

enum hv_status interrupt_deliver(struct partition *partition, const struct interrupt_request *request,
                                 struct vp *sender, struct loam_vp_set *wake)
{
    if (!request_valid(request, sender))
        return HV_STATUS_INVALID_PARAMETER;

    struct vp *only = NULL;
    if (request->shorthand == INTERRUPT_TO_SELF)
        only = sender;
    else if (request->type == HV_X64_INTERRUPT_TYPE_LOWESTPRIORITY)
        only = lowest_priority_target(partition, request, sender);
    else if (request->shorthand == INTERRUPT_TO_DESTINATION && !request->logical && !is_broadcast(request))
        only = partition_vp(partition, request->destination);
    else {
        enum hv_status status = HV_STATUS_SUCCESS;
        for (unsigned i = 0; i < HV_MAXIMUM_VPS; i++) {
            struct vp *vp = partition_vp(partition, i);
            enum hv_status one = vp == NULL ? HV_STATUS_SUCCESS : deliver_to(vp, request, sender, wake);
            if (one != HV_STATUS_SUCCESS)
                status = one;
        }
        return status;
    }
    return only == NULL ? HV_STATUS_SUCCESS : deliver_to(only, request, sender, wake);
}

void vp_set_tsc_offset(struct vp *vp, uint64_t offset)
{
    vendor->set(vp, VP_TSC_OFFSET, offset);
    lock_acquire(&vp->interrupt_lock);
    local_apic_set_time(&vp->apic, offset, 0);
    lock_release(&vp->interrupt_lock);
}

void vp_skip_time(struct vp *vp, uint64_t ticks)
{
    uint64_t offset = vendor->get(vp, VP_TSC_OFFSET) - ticks;
    vendor->set(vp, VP_TSC_OFFSET, offset);
    lock_acquire(&vp->interrupt_lock);
    local_apic_set_time(&vp->apic, offset, ticks);
    lock_release(&vp->interrupt_lock);
}
