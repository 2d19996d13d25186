// SPDX-License-Identifier: GPL-2.0-or-later
#include "interrupt.h"

u16 interrupt_assert(struct mshv_partition *partition, const struct hv_input_assert_virtual_interrupt *input)
{
    struct loam_output_assert_virtual_interrupt output;
    u16 status =
        hypercall_small(HVCALL_ASSERT_VIRTUAL_INTERRUPT, input, sizeof(*input), &output, sizeof(output));

    if (status == HV_STATUS_SUCCESS)
        partition_wake(partition, &output.wake);
    return status;
}
