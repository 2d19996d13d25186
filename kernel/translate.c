/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kernel/arch.h"
#include "kernel/hypercall.h"

#define KNOWN_FLAGS                                                                                                    \
    (HV_TRANSLATE_VALIDATE_READ | HV_TRANSLATE_VALIDATE_WRITE | HV_TRANSLATE_VALIDATE_EXECUTE |                        \
     HV_TRANSLATE_PRIVILEGE_EXEMPT | HV_TRANSLATE_SET_PAGE_TABLE_BITS | HV_TRANSLATE_TLB_FLUSH_INHIBIT |               \
     HV_TRANSLATE_SUPERVISOR_ACCESS | HV_TRANSLATE_USER_ACCESS | HV_TRANSLATE_ENFORCE_SMAP |                           \
     HV_TRANSLATE_OVERRIDE_SMAP)

enum hv_status hypercall_translate_virtual_address(struct hypercall *call)
{
    const struct hv_input_translate_virtual_address *input = call->input;

    if ((input->control_flags & ~KNOWN_FLAGS) || input->gva_page >> (64 - HV_PAGE_SHIFT))
        return HV_STATUS_INVALID_PARAMETER;
    guest_translate(call->vp, input->gva_page << HV_PAGE_SHIFT, input->control_flags, call->output);
    return HV_STATUS_SUCCESS;
}
