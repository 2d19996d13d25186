// SPDX-License-Identifier: GPL-2.0-or-later
#include <linux/bug.h>
#include <linux/errno.h>
#include <linux/gfp.h>
#include <linux/irqflags.h>
#include <linux/percpu.h>
#include <linux/string.h>

#include "hypercall.h"
#include "hypervisor.h"

/* Used with interrupts off on their own processor. */
static DEFINE_PER_CPU(struct call_pages, small_call_pages);

int call_pages_allocate(struct call_pages *pages)
{
    pages->input = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
    pages->output = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
    if (pages->input && pages->output)
        return 0;
    call_pages_free(pages);
    return -ENOMEM;
}

void call_pages_free(struct call_pages *pages)
{
    free_page((unsigned long)pages->input);
    free_page((unsigned long)pages->output);
    pages->input = NULL;
    pages->output = NULL;
}

u16 hypercall_fast(u16 code, u64 first, u64 second)
{
    return HV_RESULT_STATUS(hypervisor_call(code | HV_CONTROL_FAST, first, second));
}

u16 hypercall_run(struct hypercall *call)
{
    u16 reps = HV_CONTROL_REP_COUNT(call->control);

    do {
        u64 start = (u64)call->done << HV_CONTROL_REP_START_SHIFT;
        u64 result = hypervisor_call(call->control | start, call->input, call->output);
        u16 status = HV_RESULT_STATUS(result);
        u16 done = HV_RESULT_REPS(result);

        if (reps && WARN_ONCE(done < call->done || done > reps,
                              "mshv_loam: call %#llx: %u of %u elements done\n", call->control, done, reps))
            return HV_STATUS_OPERATION_FAILED;
        if (status == HV_STATUS_SUCCESS && reps &&
            WARN_ONCE(done == call->done, "mshv_loam: call %#llx makes no progress\n", call->control))
            return HV_STATUS_OPERATION_FAILED;
        if (reps)
            call->done = done;
        if (status != HV_STATUS_SUCCESS)
            return status;
    } while (call->done < reps);
    return HV_STATUS_SUCCESS;
}

u16 hypercall_small(u16 code, const void *input, size_t input_size, void *output, size_t output_size)
{
    struct call_pages *pages;
    unsigned long flags;
    u16 status;

    local_irq_save(flags);
    pages = this_cpu_ptr(&small_call_pages);
    memcpy(pages->input, input, input_size);
    status = HV_RESULT_STATUS(hypervisor_call(code, hypercall_address(pages->input),
                                              output_size ? hypercall_address(pages->output) : 0));
    memcpy(output, pages->output, output_size);
    local_irq_restore(flags);
    return status;
}

int hypercall_errno(u16 status)
{
    switch (status) {
    case HV_STATUS_SUCCESS:
        return 0;
    case HV_STATUS_INVALID_HYPERCALL_CODE:
    case HV_STATUS_INVALID_HYPERCALL_INPUT:
    case HV_STATUS_INVALID_PARAMETER:
    case HV_STATUS_INVALID_PARTITION_ID:
    case HV_STATUS_INVALID_VP_INDEX:
    case HV_STATUS_INVALID_PORT_ID:
    case HV_STATUS_INVALID_CONNECTION_ID:
    case HV_STATUS_INVALID_LP_INDEX:
    case HV_STATUS_INVALID_REGISTER_VALUE:
        return -EINVAL;
    case HV_STATUS_INSUFFICIENT_MEMORY:
    case HV_STATUS_INSUFFICIENT_ROOT_MEMORY:
    case HV_STATUS_INSUFFICIENT_CONTIGUOUS_MEMORY:
    case HV_STATUS_INSUFFICIENT_CONTIGUOUS_ROOT_MEMORY:
        return -ENOMEM;
    default:
        return -EIO;
    }
}

int hypercall_prepare(void)
{
    int cpu;

    for_each_possible_cpu(cpu)
    {
        int error = call_pages_allocate(per_cpu_ptr(&small_call_pages, cpu));

        if (error) {
            hypercall_release();
            return error;
        }
    }
    return 0;
}

void hypercall_release(void)
{
    int cpu;

    for_each_possible_cpu(cpu) call_pages_free(per_cpu_ptr(&small_call_pages, cpu));
}
