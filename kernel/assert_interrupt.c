/* SPDX-License-Identifier: GPL-2.0-or-later */
/* HVCALL_ASSERT_VIRTUAL_INTERRUPT. Takes no claim: the target VPs may run at the same time, on any processor. */
#include "kernel/hypercall.h"
#include "kernel/interrupt.h"

enum hv_status hypercall_assert_virtual_interrupt(struct hypercall *call)
{
    struct loam_output_assert_virtual_interrupt *output = call->output;
    struct interrupt_request request;

    output->wake = (struct loam_vp_set){{0}};
    if (!interrupt_request_from_hypercall(call->input, &request))
        return HV_STATUS_INVALID_PARAMETER;
    return interrupt_deliver(call->partition, &request, NULL, &output->wake);
}
