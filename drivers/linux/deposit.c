// SPDX-License-Identifier: GPL-2.0-or-later
#define pr_fmt(format) KBUILD_MODNAME ": " format

#include <linux/bug.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

#include "counters.h"
#include "deposit.h"
#include "hypervisor.h"

/*
 * The hypervisor hides what it is lent from the parent, so a deposit that fills a whole large page costs
 * neither side a split one: blocks of that size come first, smaller ones only when memory is fragmented.
 */
#define DEPOSIT_BLOCK_ORDER (HV_LARGE_PAGE_SHIFT - HV_PAGE_SHIFT)
#define DEPOSIT_MINIMUM     64u /* pages at each request */
#define DEPOSIT_ATTEMPTS    64u /* requests of one call without progress; then it has had 16 MiB or more */
#define DEPOSIT_BATCH       ((HV_PAGE_SIZE - sizeof(struct hv_input_deposit_memory)) / sizeof(u64))
#define WITHDRAW_BATCH      (HV_PAGE_SIZE / sizeof(u64))

struct deposit_pool parent_deposits = {.partition_id = HV_PARTITION_ID_SELF};

static struct page *allocate_block(unsigned int *order)
{
    struct page *block;

    for (*order = DEPOSIT_BLOCK_ORDER; *order > 0; (*order)--) {
        block = alloc_pages(GFP_KERNEL_ACCOUNT | __GFP_NORETRY | __GFP_NOWARN, *order);
        if (block) {
            split_page(block, *order);
            return block;
        }
    }
    return alloc_page(GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
}

static void note_deposited(struct deposit_pool *pool, struct page *page)
{
    set_page_private(page, (unsigned long)pool);
    atomic_long_inc(&pool->pages);
    atomic_long_inc(&driver_counters.deposited_pages);
}

static void note_returned(struct deposit_pool *pool, struct page *page)
{
    set_page_private(page, 0);
    atomic_long_dec(&pool->pages);
    atomic_long_dec(&driver_counters.deposited_pages);
    __free_page(page);
}

/* Lends `count` pages from `block` on; what the hypervisor does not accept is freed. `input` is a page. */
static u16 deposit_block(struct deposit_pool *pool, struct page *block, unsigned int count,
                         struct hv_input_deposit_memory *input)
{
    u16 status = HV_STATUS_SUCCESS;
    unsigned int first, i;

    for (first = 0; first < count && status == HV_STATUS_SUCCESS;) {
        unsigned int batch = min_t(unsigned int, count - first, DEPOSIT_BATCH);
        struct hypercall call = {
            .control = hypercall_reps(HVCALL_DEPOSIT_MEMORY, batch),
            .input = hypercall_address(input),
        };

        input->partition_id = pool->partition_id;
        for (i = 0; i < batch; i++) {
            input->pfn[i] = page_to_pfn(block + first + i);
            note_deposited(pool, block + first + i);
        }
        status = hypercall_run(&call);
        for (i = call.done; i < batch; i++)
            note_returned(pool, block + first + i);
        first += batch;
    }
    for (i = first; i < count; i++)
        __free_page(block + i);
    return status;
}

/* Lends at least DEPOSIT_MINIMUM pages. */
static int deposit(struct deposit_pool *pool)
{
    struct hv_input_deposit_memory *input = (void *)__get_free_page(GFP_KERNEL_ACCOUNT);
    unsigned int lent = 0, order;
    int error = 0;

    if (!input)
        return -ENOMEM;
    while (lent < DEPOSIT_MINIMUM && !error) {
        struct page *block = allocate_block(&order);

        if (block)
            error = hypercall_errno(deposit_block(pool, block, 1u << order, input));
        else
            error = -ENOMEM;
        lent += 1u << order;
    }
    free_page((unsigned long)input);
    return error;
}

/* Which pool the status asks to fill; NULL: it asks for no memory. */
static struct deposit_pool *asked_pool(u16 status, struct deposit_pool *pool)
{
    switch (status) {
    case HV_STATUS_INSUFFICIENT_MEMORY:
    case HV_STATUS_INSUFFICIENT_CONTIGUOUS_MEMORY:
        return pool;
    case HV_STATUS_INSUFFICIENT_ROOT_MEMORY:
    case HV_STATUS_INSUFFICIENT_CONTIGUOUS_ROOT_MEMORY:
        return &parent_deposits;
    default:
        return NULL;
    }
}

bool deposit_lend(u16 status, struct deposit_pool *pool, unsigned int *attempts)
{
    struct deposit_pool *asked = asked_pool(status, pool);

    if (!asked || fatal_signal_pending(current))
        return false;
    if (++*attempts > DEPOSIT_ATTEMPTS) {
        pr_err_ratelimited("partition %#llx asks for memory without end\n", pool->partition_id);
        return false;
    }
    cond_resched();
    return deposit(asked) == 0;
}

u16 deposit_and_run(struct hypercall *call, struct deposit_pool *pool)
{
    unsigned int attempts = 0;

    for (;;) {
        u16 before = call->done;
        u16 status = hypercall_run(call);

        if (call->done != before)
            attempts = 0;
        if (!deposit_lend(status, pool, &attempts))
            return status;
    }
}

u16 deposit_and_run_fast(struct deposit_pool *pool, u16 code, u64 first, u64 second)
{
    struct hypercall call = {.control = code | HV_CONTROL_FAST, .input = first, .output = second};

    return deposit_and_run(&call, pool);
}

u16 deposit_and_run_small(struct deposit_pool *pool, u16 code, const void *input, size_t input_size,
                          void *output, size_t output_size)
{
    unsigned int attempts = 0;
    u16 status;

    do
        status = hypercall_small(code, input, input_size, output, output_size);
    while (deposit_lend(status, pool, &attempts));
    return status;
}

/* Frees what the hypervisor gave back. */
static void take_back(struct deposit_pool *pool, const u64 *pfns, unsigned int count)
{
    unsigned int i;

    for (i = 0; i < count; i++) {
        struct page *page = pfn_valid(pfns[i]) ? pfn_to_page(pfns[i]) : NULL;

        if (WARN_ONCE(!page || page_private(page) != (unsigned long)pool,
                      "mshv_loam: partition %#llx gives back page %#llx, which it was not lent\n",
                      pool->partition_id, pfns[i]))
            continue;
        note_returned(pool, page);
    }
}

void deposit_withdraw(struct deposit_pool *pool, struct call_pages *pages)
{
    struct hv_input_withdraw_memory *input = pages->input;

    *input = (struct hv_input_withdraw_memory){.partition_id = pool->partition_id};
    while (atomic_long_read(&pool->pages) > 0) {
        u64 result = hypervisor_call(hypercall_reps(HVCALL_WITHDRAW_MEMORY, WITHDRAW_BATCH),
                                     hypercall_address(input), hypercall_address(pages->output));
        unsigned int count = min_t(unsigned int, HV_RESULT_REPS(result), WITHDRAW_BATCH);

        take_back(pool, pages->output, count);
        if (HV_RESULT_STATUS(result) != HV_STATUS_SUCCESS || count == 0)
            break;
        cond_resched();
    }
}
