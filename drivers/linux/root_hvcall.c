// SPDX-License-Identifier: GPL-2.0-or-later
#include <linux/minmax.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "interrupt.h"
#include "root_hvcall.h"

/* Which kinds of file a call may be made on. */
enum permission {
    ON_PARENT = 1,
    ON_PARTITION = 2,
    ON_VP = 4,
};

/*
 * A call with its sizes in bytes: of the input and output before the elements, and of one element. An input
 * that is shorter is completed with zeros, and no more output is copied than the call defines.
 */
struct permitted_call {
    u16 code;
    u16 permission; /* enum permission */
    u16 input;
    u16 input_element;
    u16 output;
    u16 output_element;
};

/* ASSERT_VIRTUAL_INTERRUPT has a way of its own, assert_interrupt(). */
static const struct permitted_call permitted_calls[] = {
    {HVCALL_GET_PARTITION_PROPERTY,      ON_PARENT | ON_PARTITION | ON_VP, 16,  0,  8,            0 },
    {HVCALL_SET_PARTITION_PROPERTY,      ON_PARTITION,                     24,  0,  0,            0 },
    {HVCALL_INSTALL_INTERCEPT,           ON_PARTITION | ON_VP,             24,  0,  0,            0 },
    {HVCALL_GET_VP_REGISTERS,            ON_PARTITION | ON_VP,             16,  4,  0,            16},
    {HVCALL_SET_VP_REGISTERS,            ON_PARTITION | ON_VP,             16,  32, 0,            0 },
    {HVCALL_TRANSLATE_VIRTUAL_ADDRESS,   ON_PARTITION | ON_VP,             32,  0,  16,           0 },
    {HVCALL_CLEAR_VIRTUAL_INTERRUPT,     ON_PARTITION | ON_VP,             8,   0,  0,            0 },
    {HVCALL_REGISTER_INTERCEPT_RESULT,   ON_PARTITION | ON_VP,             64,  0,  0,            0 },
    {HVCALL_SIGNAL_EVENT_DIRECT,         ON_PARTITION | ON_VP,             16,  0,  8,            0 },
    {HVCALL_POST_MESSAGE_DIRECT,         ON_PARTITION | ON_VP,             280, 0,  0,            0 },
    {HVCALL_GET_GPA_PAGES_ACCESS_STATES, ON_PARTITION | ON_VP,             24,  0,  0,            1 },
    {HVCALL_GET_VP_CPUID_VALUES,         ON_PARTITION | ON_VP,             24,  24, 0,            16},
    {HVCALL_GET_PARTITION_PROPERTY_EX,   ON_PARENT | ON_PARTITION | ON_VP, 24,  0,  HV_PAGE_SIZE, 0 },
};

static const struct permitted_call *find_call(u16 code, enum permission file)
{
    unsigned int i;

    for (i = 0; i < ARRAY_SIZE(permitted_calls); i++)
        if (permitted_calls[i].code == code)
            return permitted_calls[i].permission & file ? &permitted_calls[i] : NULL;
    return NULL;
}

static int check_request(const struct mshv_root_hvcall *request)
{
    if (request->status || memchr_inv(request->rsvd, 0, sizeof(request->rsvd)) || !request->in_ptr ||
        request->in_sz < sizeof(u64) || request->in_sz > HV_PAGE_SIZE)
        return -EINVAL;
    if (request->out_ptr && (!request->out_sz || request->out_sz > HV_PAGE_SIZE))
        return -EINVAL;
    return 0;
}

/* The input as the hypervisor will read it: complete, and about this partition. */
static int read_input(const struct permitted_call *permitted, const struct mshv_root_hvcall *request,
                      u64 partition_id, void *input)
{
    size_t needed =
        min_t(size_t, permitted->input + (size_t)request->reps * permitted->input_element, HV_PAGE_SIZE);

    if (copy_from_user(input, u64_to_user_ptr(request->in_ptr), request->in_sz))
        return -EFAULT;
    if (request->in_sz < needed)
        memset(input + request->in_sz, 0, needed - request->in_sz);
    *(u64 *)input = partition_id;
    return 0;
}

static int write_results(const struct permitted_call *permitted, const struct mshv_root_hvcall *request,
                         struct mshv_root_hvcall __user *argument, u16 status, u16 done, const void *output)
{
    size_t defined = permitted->output + (size_t)done * permitted->output_element;
    size_t size = min_t(size_t, request->out_sz, defined);

    if (put_user(status, &argument->status) || put_user(done, &argument->reps))
        return -EFAULT;
    if (status == HV_STATUS_SUCCESS && request->out_ptr && size &&
        copy_to_user(u64_to_user_ptr(request->out_ptr), output, size))
        return -EFAULT;
    return hypercall_errno(status);
}

/* The common part: makes the call on the caller's pages, about the partition of `pool`. */
static int make_call(struct mshv_root_hvcall __user *argument, const struct mshv_root_hvcall *request,
                     enum permission file, struct deposit_pool *pool, struct call_pages *pages)
{
    const struct permitted_call *permitted = find_call(request->code, file);
    struct hypercall call = {
        .control = hypercall_reps(request->code, request->reps),
        .input = hypercall_address(pages->input),
        .output = hypercall_address(pages->output),
    };
    u16 status;
    int error;

    if (!permitted || request->reps & ~0xFFF)
        return -EINVAL;
    error = check_request(request);
    if (!error)
        error = read_input(permitted, request, pool->partition_id, pages->input);
    if (error)
        return error;
    if (permitted->output == HV_PAGE_SIZE)
        memset(pages->output, 0, HV_PAGE_SIZE);
    status = deposit_and_run(&call, pool);
    return write_results(permitted, request, argument, status, call.done, pages->output);
}

int root_hvcall_parent(struct mshv_root_hvcall __user *argument)
{
    struct mshv_root_hvcall request;
    struct call_pages pages;
    int error;

    if (copy_from_user(&request, argument, sizeof(request)))
        return -EFAULT;
    if (call_pages_allocate(&pages))
        return -ENOMEM;
    error = make_call(argument, &request, ON_PARENT, &parent_deposits, &pages);
    call_pages_free(&pages);
    return error;
}

/* A register that the VMM sets may make a halted VP runnable; its thread finds out by dispatching it. */
static void wake_after(struct mshv_partition *partition, const struct mshv_root_hvcall *request,
                       const struct call_pages *pages)
{
    const struct hv_input_set_vp_registers *input = pages->input;

    if (request->code == HVCALL_SET_VP_REGISTERS)
        partition_wake_vp(partition, input->vp_index);
}

/* An interrupt's pages are the processor's, so that it also wakes VPs as one from an irqfd does. */
static int assert_interrupt(struct mshv_partition *partition, const struct mshv_root_hvcall *request,
                            struct mshv_root_hvcall __user *argument)
{
    struct hv_input_assert_virtual_interrupt input = {};
    u16 status;
    int error;

    error = check_request(request);
    if (error)
        return error;
    if (request->reps)
        return -EINVAL;
    if (copy_from_user(&input, u64_to_user_ptr(request->in_ptr),
                       min_t(size_t, request->in_sz, sizeof(input))))
        return -EFAULT;
    input.partition_id = partition->id;
    status = interrupt_assert(partition, &input);
    if (put_user(status, &argument->status))
        return -EFAULT;
    return hypercall_errno(status);
}

int root_hvcall_partition(struct mshv_partition *partition, struct mshv_root_hvcall __user *argument)
{
    struct mshv_root_hvcall request;
    int error;

    if (copy_from_user(&request, argument, sizeof(request)))
        return -EFAULT;
    if (request.code == HVCALL_ASSERT_VIRTUAL_INTERRUPT)
        return assert_interrupt(partition, &request, argument);
    if (mutex_lock_killable(&partition->mutex))
        return -EINTR;
    error = make_call(argument, &request, ON_PARTITION, &partition->deposits, &partition->calls);
    wake_after(partition, &request, &partition->calls);
    mutex_unlock(&partition->mutex);
    return error;
}

int root_hvcall_vp(struct mshv_vp *vp, struct mshv_root_hvcall __user *argument)
{
    struct mshv_root_hvcall request;
    int error;

    if (copy_from_user(&request, argument, sizeof(request)))
        return -EFAULT;
    if (request.code == HVCALL_ASSERT_VIRTUAL_INTERRUPT)
        return assert_interrupt(vp->partition, &request, argument);
    error = make_call(argument, &request, ON_VP, &vp->partition->deposits, &vp->calls);
    wake_after(vp->partition, &request, &vp->calls);
    return error;
}
