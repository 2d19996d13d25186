/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "kernel/arch.h"
#include "kernel/deposit.h"
#include "kernel/hypercall.h"
#include "kernel/parent_map.h"
#include "kernel/partition.h"

/* About what a page costs on its way in and out, in instructions. */
#define PAGE_COST 340u
/* What a table that is filled or scrubbed costs on the way out. */
#define TABLE_COST 4000u

/* The page's contents are the parent's or scrubbed; from here on its first 8 bytes are the pool's link. */
static void pool_add(struct partition *partition, uint64_t pfn)
{
    uint64_t *page = physical_pointer(pfn << HV_PAGE_SHIFT);

    *page = partition->free_page;
    partition->free_page = pfn << HV_PAGE_SHIFT;
    partition->free_pages++;
    partition->deposited_pages++;
}

static uint64_t pool_take(struct partition *partition)
{
    uint64_t spa = partition->free_page;
    uint64_t *page = physical_pointer(spa);

    partition->free_page = *page;
    *page = 0;
    partition->free_pages--;
    partition->deposited_pages--;
    return spa >> HV_PAGE_SHIFT;
}

enum hv_status hypercall_deposit_memory(struct hypercall *call)
{
    const struct hv_input_deposit_memory *input = call->input;
    struct partition *partition = call->partition;
    enum hv_status status = HV_STATUS_SUCCESS;
    uint32_t hidden = call->rep_start;
    bool split;

    parent_map_begin();
    while (hidden < call->rep_count && hypercall_spend(call, PAGE_COST)) {
        if (!parent_map_hide(input->pfn[hidden], partition->slot, &split)) {
            status = HV_STATUS_INVALID_PARAMETER;
            break;
        }
        hidden++;
        if (split && !hypercall_spend(call, PARENT_MAP_SPLIT_COST))
            break;
    }
    if (hidden > call->rep_start)
        parent_map_flush();
    while (call->reps_done < hidden) {
        uint64_t pages[2];
        unsigned count = parent_map_settle_hidden(input->pfn[call->reps_done++], partition->slot, pages);

        while (count > 0)
            pool_add(partition, pages[--count]);
    }
    parent_map_end();
    return status;
}

/* Reveals pages of the pool, then tables, until `maximum` will be the parent's. Returns how many; `taken`
 * lists them. */
static uint32_t reveal_pages(struct partition *partition, uint32_t maximum, uint64_t *taken, uint32_t *budget)
{
    uint32_t count = 0, promised = 0;

    while (promised < maximum && count < PARENT_MAP_SESSION_PAGES && partition->free_page && *budget >= PAGE_COST) {
        unsigned given;

        taken[count] = pool_take(partition);
        given = parent_map_reveal(taken[count++]);
        promised += given;
        *budget -= PAGE_COST;
        if (given != 1)
            *budget -= *budget < TABLE_COST ? *budget : TABLE_COST;
    }
    while (promised < maximum && count < PARENT_MAP_SESSION_PAGES && !partition->free_page && *budget >= TABLE_COST) {
        taken[count] = parent_map_reveal_lone(partition->slot, budget);
        if (!taken[count])
            break;
        count++;
        promised++;
        *budget -= *budget < TABLE_COST ? *budget : TABLE_COST;
    }
    return count;
}

uint32_t deposit_return(struct partition *partition, uint64_t *pages, uint32_t maximum, uint64_t *scratch,
                        uint32_t *budget)
{
    uint32_t returned = 0, count;

    if (partition->returned_pfn && maximum > 0) {
        if (pages)
            pages[returned] = partition->returned_pfn;
        returned++;
        partition->returned_pfn = 0;
    }
    parent_map_begin();
    count = reveal_pages(partition, maximum - returned, scratch, budget);
    if (count > 0)
        parent_map_flush();
    for (uint32_t i = 0; i < count; i++) {
        uint64_t given[2];
        unsigned number = parent_map_settle_revealed(scratch[i], given);

        for (unsigned j = 0; j < number; j++) {
            if (returned == maximum) {
                partition->returned_pfn = given[j];
                break;
            }
            if (pages)
                pages[returned] = given[j];
            returned++;
        }
    }
    parent_map_end();
    return returned;
}

bool deposit_left(const struct partition *partition)
{
    return partition->free_page || partition->returned_pfn || parent_map_lone_tables(partition->slot) > 0;
}

enum hv_status hypercall_withdraw_memory(struct hypercall *call)
{
    struct partition *partition = call->partition;
    uint64_t *pages = (uint64_t *)call->output + call->rep_start;

    call->reps_done += deposit_return(partition, pages, call->rep_count - call->rep_start, call->input, &call->budget);
    if (call->reps_done < call->rep_count && !deposit_left(partition))
        return HV_STATUS_NO_RESOURCES;
    return HV_STATUS_SUCCESS;
}
