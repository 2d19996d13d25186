/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory lent to the hypervisor: it keeps a partition's tables and control blocks in pages that the parent
 * deposits for that partition (HVCALL_DEPOSIT_MEMORY) when a call says that it has too few.
 */
#ifndef DRIVER_DEPOSIT_H
#define DRIVER_DEPOSIT_H

#include <linux/atomic.h>
#include <linux/types.h>

#include "hypercall.h"

/* What one partition has been lent. Each page's page_private() names the pool it is in. */
struct deposit_pool {
    u64 partition_id;
    atomic_long_t pages;
};

/* The parent's own pool, for what the hypervisor needs on behalf of no child. Emptied as partitions go. */
extern struct deposit_pool parent_deposits;

/*
 * If `status` asks for memory: lends some, and true: the call is to be made again. *attempts, 0 at first,
 * bounds a call that goes on asking. Process context.
 */
bool deposit_lend(u16 status, struct deposit_pool *pool, unsigned int *attempts);

/*
 * hypercall_run(), and when the hypervisor asks for memory: lends some to `pool` (or to the parent's own pool
 * if that is what it asks for) and repeats the call from where it stopped. Bounded: a call that goes on
 * asking without getting further ends with the status that asked. Process context; no lock is needed.
 */
u16 deposit_and_run(struct hypercall *call, struct deposit_pool *pool);

/* The same for calls with their values in registers and for small ones (hypercall_fast, hypercall_small). */
u16 deposit_and_run_fast(struct deposit_pool *pool, u16 code, u64 first, u64 second);
u16 deposit_and_run_small(struct deposit_pool *pool, u16 code, const void *input, size_t input_size,
                          void *output, size_t output_size);

/*
 * Takes back every page of the pool that the hypervisor does not use, and frees it. Allocates nothing:
 * `pages` are the caller's. A page that never was in this pool is warned of and left alone.
 */
void deposit_withdraw(struct deposit_pool *pool, struct call_pages *pages);

#endif
