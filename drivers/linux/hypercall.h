/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hypercalls: the control word, continuation of repeated calls, pages for small calls, statuses as errno. */
#ifndef DRIVER_HYPERCALL_H
#define DRIVER_HYPERCALL_H

#include <linux/io.h>
#include <linux/types.h>

#include "hv/hypercall.h"
#include "hv/status.h"

/*
 * Input and output of slow calls, a page each. The owner serialises their use; both are physically contiguous
 * directly mapped memory, so that hypercall_address() holds.
 */
struct call_pages {
    void *input;
    void *output;
};

/* 0 or -ENOMEM. The pages are zeroed. call_pages_free() accepts what failed. */
int call_pages_allocate(struct call_pages *pages);
void call_pages_free(struct call_pages *pages);

/* One call, possibly repeated. */
struct hypercall {
    u64 control; /* without the rep start */
    u64 input;   /* RDX: address, or the first value of a fast call */
    u64 output;  /* R8: address or 0, or the second value of a fast call */
    u16 done;    /* elements completed so far, 0 at first */
};

static inline u64 hypercall_reps(u16 code, unsigned int reps)
{
    return code | (u64)reps << HV_CONTROL_REP_COUNT_SHIFT;
}

static inline u64 hypercall_address(const void *address)
{
    return virt_to_phys((void *)address);
}

/* Calls that cannot end in parts, with their one or two values in registers. Any context. */
u16 hypercall_fast(u16 code, u64 first, u64 second);

/*
 * Makes the call and goes on with it, from call->done on, until all elements are done or the status is not
 * SUCCESS, which it returns. SUCCESS without progress is a fault of the hypervisor: warned of once, and
 * OPERATION_FAILED. Rep calls: process context.
 */
u16 hypercall_run(struct hypercall *call);

/*
 * A small call (at most a page of input and of output) through this processor's own pages, with interrupts
 * off. Any context. The output is copied whatever the status is. 0 bytes of output: the hypervisor is told of
 * none.
 */
u16 hypercall_small(u16 code, const void *input, size_t input_size, void *output, size_t output_size);

/* The driver's errno for a status (0 for SUCCESS), as programs written for Linux's own driver expect it. */
int hypercall_errno(u16 status);

/* This processor's pages, for all that may run: at module load and unload. */
int hypercall_prepare(void);
void hypercall_release(void);

#endif
