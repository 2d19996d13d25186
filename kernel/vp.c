/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "kernel/arch.h"
#include "kernel/hypercall.h"
#include "kernel/interrupt.h"
#include "kernel/lp.h"
#include "kernel/partition.h"
#include "kernel/state_page.h"
#include "kernel/vp.h"

#define FEATURE1_TSC_DEADLINE (1ull << 17) /* of processor feature bank 1 */

bool vp_claim(struct vp *vp)
{
    uint32_t nobody = 0;

    return __atomic_compare_exchange_n(&vp->claim, &nobody, lp_current()->index + 1, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

void vp_release(struct vp *vp)
{
    if (vp->control)
        vendor->release(vp);
    __atomic_store_n(&vp->claim, 0, __ATOMIC_RELEASE);
}

static void release_pages(struct vp *vp)
{
    if (vp->control)
        vendor->release(vp);
    for (unsigned i = 0; i < VP_CONTROL_PAGES; i++)
        if (vp->control_page[i])
            partition_page_release(vp->partition, physical_pointer(vp->control_page[i]));
    if (vp->extended_state)
        partition_page_release(vp->partition, vp->extended_state);
    for (unsigned i = 0; i < VP_CPUID_PAGES; i++)
        if (vp->cpuid_page[i])
            partition_page_release(vp->partition, vp->cpuid_page[i]);
    memset(vp->control_page, 0, sizeof(vp->control_page));
    memset(vp->cpuid_page, 0, sizeof(vp->cpuid_page));
    vp->control = NULL;
    vp->extended_state = NULL;
    vp->cpuid_results = 0;
    vp->cpuid_kept.valid = false;
}

void vp_destroy(struct vp *vp)
{
    state_page_unmap_all(vp);
    release_pages(vp);
}

static bool allocate_pages(struct vp *vp)
{
    for (unsigned i = 0; i < vendor->control_pages; i++) {
        void *page = partition_page_allocate(vp->partition);

        if (!page)
            return false;
        vp->control_page[i] = physical_address(page);
        if (i == 0)
            vp->control = page;
    }
    vp->extended_state = partition_page_allocate(vp->partition);
    return vp->extended_state != NULL;
}

/* All zeros but for what outlives a deletion. Under the interrupt lock; the VP is deleted, or not known to anybody. */
static void clear(struct vp *vp)
{
    size_t kept = offsetof(struct vp, interrupt_lock), rest = offsetof(struct vp, deleted) + sizeof(vp->deleted);

    memset(vp, 0, kept);
    memset((uint8_t *)vp + rest, 0, sizeof(*vp) - rest);
}

static enum hv_status create(struct partition *partition, struct vp *vp, uint32_t index)
{
    lock_acquire(&vp->interrupt_lock);
    clear(vp);
    vp->partition = partition;
    vp->index = index;
    local_apic_initialize(&vp->apic, index, partition->creation_flags & HV_CREATE_X2APIC,
                          partition->features[FEATURE_BANK_1] & FEATURE1_TSC_DEADLINE);
    /* All but the boot processor wait for a SIPI. */
    vp->startup_suspend = index != 0;
    lock_release(&vp->interrupt_lock);
    vp->last_lp = ~0u;
    vp->told_deadline = LOAM_NO_DEADLINE;
    if (!allocate_pages(vp)) {
        release_pages(vp);
        return HV_STATUS_INSUFFICIENT_MEMORY;
    }
    vp_reset(vp);
    vp_set_tsc_offset(vp, 0 - partition->reference_base); /* the same for all, whenever they are created */
    return HV_STATUS_SUCCESS;
}

enum hv_status hypercall_create_vp(struct hypercall *call)
{
    const struct hv_input_create_vp *input = call->input;
    struct partition *partition = call->partition;
    enum hv_status status;
    struct vp *vp;

    if (input->vp_index >= HV_MAXIMUM_VPS)
        return HV_STATUS_INVALID_VP_INDEX;
    if (input->flags || input->subnode_type)
        return HV_STATUS_INVALID_PARAMETER;
    if (partition_vp(partition, input->vp_index))
        return HV_STATUS_INVALID_VP_STATE;

    vp = partition->vps[input->vp_index];
    if (!vp) {
        vp = partition_page_allocate(partition);
        if (!vp)
            return HV_STATUS_INSUFFICIENT_MEMORY;
        vp->deleted = true;
        __atomic_store_n(&partition->vps[input->vp_index], vp, __ATOMIC_RELEASE);
    }
    status = create(partition, vp, input->vp_index);
    if (status == HV_STATUS_SUCCESS) {
        __atomic_store_n(&vp->deleted, false, __ATOMIC_RELEASE);
        partition->vp_count++;
    }
    return status;
}

enum hv_status hypercall_delete_vp(struct hypercall *call)
{
    __atomic_store_n(&call->vp->deleted, true, __ATOMIC_RELEASE);
    vp_destroy(call->vp);
    call->partition->vp_count--;
    return HV_STATUS_SUCCESS;
}
