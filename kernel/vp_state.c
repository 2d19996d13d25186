/* SPDX-License-Identifier: GPL-2.0-or-later */
/* State of a VP that is more than a register: its local APIC, and the extended state as a compacted XSAVE image. */
#include <string.h>

#include "kernel/arch.h"
#include "kernel/frame.h"
#include "kernel/hypercall.h"
#include "kernel/vp.h"

static enum hv_status get_lapic(struct vp *vp, const struct hv_input_vp_state *input, void *page)
{
    struct hv_local_interrupt_controller_state state;

    (void)input;
    lock_acquire(&vp->interrupt_lock);
    local_apic_get_state(&vp->apic, arch_tsc(), &state);
    lock_release(&vp->interrupt_lock);
    memcpy(page, &state, sizeof(state));
    return HV_STATUS_SUCCESS;
}

static enum hv_status set_lapic(struct vp *vp, const struct hv_input_vp_state *input, const void *page)
{
    enum hv_status status;

    (void)input;
    lock_acquire(&vp->interrupt_lock);
    status = local_apic_set_state(&vp->apic, arch_tsc(), page);
    /* What came over the APIC bus and was not taken yet belongs to the state before. */
    if (status == HV_STATUS_SUCCESS)
        vp->nmi_pending = vp->init_pending = vp->sipi_pending = false;
    lock_release(&vp->interrupt_lock);
    return status;
}

static enum hv_status get_xsave(struct vp *vp, const struct hv_input_vp_state *input, void *page)
{
    return extended_state_get(vp, input->xsave_states, page, HV_PAGE_SIZE);
}

static enum hv_status set_xsave(struct vp *vp, const struct hv_input_vp_state *input, const void *page)
{
    return extended_state_set(vp, input->xsave_states, page, HV_PAGE_SIZE);
}

/* All of them fit in the first page of the caller's list. */
static const struct state_type {
    uint32_t type;
    enum hv_status (*get)(struct vp *vp, const struct hv_input_vp_state *input, void *page);
    enum hv_status (*set)(struct vp *vp, const struct hv_input_vp_state *input, const void *page);
} types[] = {
    {HV_VP_STATE_LAPIC, get_lapic, set_lapic},
    {HV_VP_STATE_XSAVE, get_xsave, set_xsave},
};

/* The type, with the first page of the list counted as in use; NULL and *status otherwise. */
static const struct state_type *begin(const struct hypercall *call, enum hv_status *status)
{
    const struct hv_input_vp_state *input = call->input;

    *status = HV_STATUS_INVALID_PARAMETER;
    if (input->input_vtl || input->xsave_flags || call->variable_size < sizeof(uint64_t))
        return NULL;
    for (unsigned i = 0; i < sizeof(types) / sizeof(*types); i++)
        if (types[i].type == input->type)
            return frame_map(input->pfn[0]) ? &types[i] : NULL;
    return NULL;
}

enum hv_status hypercall_get_vp_state(struct hypercall *call)
{
    const struct hv_input_vp_state *input = call->input;
    enum hv_status status;
    const struct state_type *type = begin(call, &status);

    if (!type)
        return status;
    status = type->get(call->vp, input, physical_pointer(input->pfn[0] << HV_PAGE_SHIFT));
    frame_unmap(input->pfn[0]);
    return status;
}

enum hv_status hypercall_set_vp_state(struct hypercall *call)
{
    const struct hv_input_vp_state *input = call->input;
    enum hv_status status;
    const struct state_type *type = begin(call, &status);

    if (!type)
        return status;
    memcpy(call->output, physical_pointer(input->pfn[0] << HV_PAGE_SHIFT), HV_PAGE_SIZE);
    frame_unmap(input->pfn[0]);
    return type->set(call->vp, input, call->output);
}
