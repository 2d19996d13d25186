/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kernel/arch.h"
#include "kernel/frame.h"
#include "kernel/hypercall.h"
#include "kernel/state_page.h"
#include "kernel/vp.h"

/* Where the VP keeps a page of this type: its pfn, and through `page` its address. NULL: there is no such type. */
static uint64_t *state_page(struct vp *vp, uint16_t type, void ***page)
{
    switch (type) {
    case HV_VP_STATE_PAGE_REGISTERS:
        *page = (void **)&vp->register_page;
        return &vp->register_pfn;
    case HV_VP_STATE_PAGE_INTERCEPT_MESSAGE:
        *page = (void **)&vp->intercept_page;
        return &vp->intercept_pfn;
    default:
        return NULL;
    }
}

/*
 * Only pages that the parent provides. One from the partition's pool would have to be deposited and yet
 * visible to the parent: PROCESSOR_FEATURE_NOT_SUPPORTED says that the caller must provide it.
 */
enum hv_status hypercall_map_vp_state_page(struct hypercall *call)
{
    const struct hv_input_map_vp_state_page *input = call->input;
    void **page;
    uint64_t *pfn = state_page(call->vp, input->type, &page);

    if (!pfn || input->input_vtl || (input->flags & ~HV_MAP_VP_STATE_PAGE_LOCATION_PROVIDED))
        return HV_STATUS_INVALID_PARAMETER;
    if (!(input->flags & HV_MAP_VP_STATE_PAGE_LOCATION_PROVIDED))
        return HV_STATUS_PROCESSOR_FEATURE_NOT_SUPPORTED;
    if (*page)
        return HV_STATUS_INVALID_VP_STATE;
    if (!frame_map(input->requested_pfn))
        return HV_STATUS_INVALID_PARAMETER;
    *pfn = input->requested_pfn;
    *page = physical_pointer(input->requested_pfn << HV_PAGE_SHIFT);
    ((struct hv_output_map_vp_state_page *)call->output)->pfn = input->requested_pfn;
    return HV_STATUS_SUCCESS;
}

static void unmap(struct vp *vp, uint16_t type)
{
    void **page;
    uint64_t *pfn = state_page(vp, type, &page);

    if (*page)
        frame_unmap(*pfn);
    *page = NULL;
}

void state_page_unmap_all(struct vp *vp)
{
    unmap(vp, HV_VP_STATE_PAGE_REGISTERS);
    unmap(vp, HV_VP_STATE_PAGE_INTERCEPT_MESSAGE);
}

enum hv_status hypercall_unmap_vp_state_page(struct hypercall *call)
{
    const struct hv_input_unmap_vp_state_page *input = call->input;
    void **page;

    if (!state_page(call->vp, input->type, &page) || input->input_vtl)
        return HV_STATUS_INVALID_PARAMETER;
    if (!*page)
        return HV_STATUS_INVALID_VP_STATE;
    unmap(call->vp, input->type);
    return HV_STATUS_SUCCESS;
}
