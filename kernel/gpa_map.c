/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parent's pages in a child's address space: HVCALL_MAP_GPA_PAGES, HVCALL_UNMAP_GPA_PAGES, and what the child
 * does with them, HVCALL_GET_GPA_PAGES_ACCESS_STATES.
 */
#include "kernel/arch.h"
#include "kernel/frame.h"
#include "kernel/hypercall.h"
#include "kernel/partition.h"
#include "kernel/shoot_down.h"

#define KNOWN_MAP_FLAGS                                                                                                \
    (HV_MAP_GPA_PERMISSIONS_MASK | HV_MAP_GPA_ADJUSTABLE | HV_MAP_GPA_NO_ACCESS | HV_MAP_GPA_NOT_CACHED |              \
     HV_MAP_GPA_LARGE_PAGE)

/* What an element costs at most, about, in instructions: to map or unmap it, and to settle what it replaced. */
#define PAGE_COST           330u
#define LARGE_PAGE_COST     9000u
#define REPLACED_PAGE_COST  110u
#define REPLACED_LARGE_COST 8000u
#define REPLACED_TABLE_COST 34000u
/* To go through a table of accessed and dirty bits, after a large page was split into it. */
#define ACCESS_STATES_COST 18000u
#define KNOWN_ACCESS_FLAGS                                                                                             \
    (HV_GPA_PAGES_CLEAR_ACCESSED | HV_GPA_PAGES_SET_ACCESSED | HV_GPA_PAGES_CLEAR_DIRTY | HV_GPA_PAGES_SET_DIRTY)

/* What a call has replaced: settled together after one shoot-down. The list is the call's output page. */
#define MAXIMUM_REPLACED (HV_PAGE_SIZE / sizeof(nested_replaced))
struct replaced_list {
    nested_replaced *items;
    unsigned count;
};

static bool is_in_range(uint64_t pfn, uint64_t pages)
{
    unsigned bits = arch_physical_address_bits();
    uint64_t end = 1ull << ((bits < NESTED_ADDRESS_BITS ? bits : NESTED_ADDRESS_BITS) - HV_PAGE_SHIFT);

    return pfn < end && pages <= end - pfn;
}

static enum hv_status check_map(const struct hv_input_map_gpa_pages *input, uint32_t count)
{
    uint64_t unit = input->flags & HV_MAP_GPA_LARGE_PAGE ? HV_PAGES_PER_LARGE_PAGE : 1;

    if (input->flags & ~KNOWN_MAP_FLAGS)
        return HV_STATUS_INVALID_PARAMETER;
    /* Neither vendor's tables know pages that can be written or executed but not read. */
    if (!(input->flags & (HV_MAP_GPA_READABLE | HV_MAP_GPA_NO_ACCESS)))
        return HV_STATUS_INVALID_PARAMETER;
    if (input->target_pfn % unit || !is_in_range(input->target_pfn, count * unit))
        return HV_STATUS_INVALID_PARAMETER;
    return HV_STATUS_SUCCESS;
}

/* One page or large page of the parent; it stays the parent's as long as it is mapped. */
static enum hv_status map_page(struct partition *partition, uint64_t gpa, uint64_t pfn, uint32_t flags,
                               nested_replaced *replaced)
{
    bool large = flags & HV_MAP_GPA_LARGE_PAGE;
    unsigned shift = large ? HV_LARGE_PAGE_SHIFT : HV_PAGE_SHIFT;
    uint32_t access = flags & HV_MAP_GPA_PERMISSIONS_MASK;
    enum hv_status status;

    if (access & HV_MAP_GPA_EXECUTABLE)
        access |= HV_MAP_GPA_EXECUTABLE;
    if ((large && pfn % HV_PAGES_PER_LARGE_PAGE) || !(large ? frame_map_large(pfn) : frame_map(pfn)))
        return HV_STATUS_INVALID_PARAMETER;
    status =
        nested_map(&partition->map, gpa, pfn << HV_PAGE_SHIFT, shift, access, flags & HV_MAP_GPA_NOT_CACHED, replaced);
    if (status == HV_STATUS_SUCCESS)
        partition->mapped_pages += 1ull << (shift - HV_PAGE_SHIFT);
    else if (large)
        frame_unmap_large(pfn);
    else
        frame_unmap(pfn);
    return status;
}

static void note_replaced(struct replaced_list *list, nested_replaced replaced)
{
    if (replaced)
        list->items[list->count++] = replaced;
}

static void settle_replaced(struct partition *partition, const struct replaced_list *list)
{
    if (list->count == 0)
        return;
    shoot_down(partition);
    for (unsigned i = 0; i < list->count; i++)
        nested_settle(&partition->map, list->items[i]);
}

static uint32_t element_cost(const struct partition *partition, uint64_t gpa, bool large)
{
    struct nested_translation there;

    if (!large)
        return PAGE_COST + REPLACED_PAGE_COST;
    nested_lookup(&partition->map, gpa, &there);
    if (there.page_shift == HV_PAGE_SHIFT)
        return LARGE_PAGE_COST + REPLACED_TABLE_COST;
    return LARGE_PAGE_COST + (there.access ? REPLACED_LARGE_COST : 0);
}

/* Whether the element at `gpa` is to be part of this invocation: the first one always, others if they fit. */
static bool may_go_on(struct hypercall *call, const struct replaced_list *list, uint64_t gpa, bool large)
{
    uint32_t cost;

    if (call->reps_done == call->rep_count || list->count == MAXIMUM_REPLACED)
        return false;
    cost = element_cost(call->partition, gpa, large);
    if (hypercall_spend(call, cost))
        return true;
    if (call->reps_done > call->rep_start)
        return false;
    call->budget = 0;
    return true;
}

/* The GPA of the next element. */
static uint64_t next_gpa(const struct hypercall *call, uint64_t first_pfn, unsigned shift)
{
    return (first_pfn << HV_PAGE_SHIFT) + ((uint64_t)call->reps_done << shift);
}

enum hv_status hypercall_map_gpa_pages(struct hypercall *call)
{
    const struct hv_input_map_gpa_pages *input = call->input;
    struct partition *partition = call->partition;
    struct replaced_list list = {.items = call->output};
    bool large = input->flags & HV_MAP_GPA_LARGE_PAGE;
    unsigned shift = large ? HV_LARGE_PAGE_SHIFT : HV_PAGE_SHIFT;
    enum hv_status status = check_map(input, call->rep_count);

    while (status == HV_STATUS_SUCCESS && may_go_on(call, &list, next_gpa(call, input->target_pfn, shift), large)) {
        uint64_t gpa = next_gpa(call, input->target_pfn, shift);
        nested_replaced replaced = 0;

        if (input->flags & HV_MAP_GPA_NO_ACCESS)
            status = nested_map_no_access(&partition->map, gpa, shift, &replaced);
        else
            status = map_page(partition, gpa, input->source_pfn[call->reps_done], input->flags, &replaced);
        note_replaced(&list, replaced);
        if (status == HV_STATUS_SUCCESS)
            call->reps_done++;
    }
    settle_replaced(partition, &list);
    return status;
}

enum hv_status hypercall_unmap_gpa_pages(struct hypercall *call)
{
    const struct hv_input_unmap_gpa_pages *input = call->input;
    struct partition *partition = call->partition;
    struct replaced_list list = {.items = call->output};
    bool large = input->flags & HV_UNMAP_GPA_LARGE_PAGE;
    unsigned shift = large ? HV_LARGE_PAGE_SHIFT : HV_PAGE_SHIFT;
    uint64_t unit = 1ull << (shift - HV_PAGE_SHIFT);
    enum hv_status status = HV_STATUS_SUCCESS;

    if ((input->flags & ~HV_UNMAP_GPA_LARGE_PAGE) || input->target_pfn % unit ||
        !is_in_range(input->target_pfn, call->rep_count * unit))
        return HV_STATUS_INVALID_PARAMETER;
    while (status == HV_STATUS_SUCCESS && may_go_on(call, &list, next_gpa(call, input->target_pfn, shift), large)) {
        uint64_t gpa = next_gpa(call, input->target_pfn, shift), next;
        nested_replaced replaced;

        status = nested_unmap(&partition->map, gpa, shift, &replaced, &next);
        note_replaced(&list, replaced);
        if (status == HV_STATUS_SUCCESS) {
            uint64_t done = call->reps_done + ((next - gpa) >> shift);

            call->reps_done = done < call->rep_count ? (uint32_t)done : call->rep_count;
        }
    }
    settle_replaced(partition, &list);
    return status;
}

enum hv_status hypercall_get_gpa_pages_access_states(struct hypercall *call)
{
    const struct hv_input_get_gpa_pages_access_states *input = call->input;
    struct partition *partition = call->partition;
    struct nested_access_change change = {
        .clear = (input->flags & HV_GPA_PAGES_CLEAR_ACCESSED ? HV_GPA_PAGE_ACCESSED : 0) |
                 (input->flags & HV_GPA_PAGES_CLEAR_DIRTY ? HV_GPA_PAGE_DIRTY : 0),
        .set = (input->flags & HV_GPA_PAGES_SET_ACCESSED ? HV_GPA_PAGE_ACCESSED : 0) |
               (input->flags & HV_GPA_PAGES_SET_DIRTY ? HV_GPA_PAGE_DIRTY : 0),
    };
    enum hv_status status = HV_STATUS_SUCCESS;

    if ((input->flags & ~(uint64_t)KNOWN_ACCESS_FLAGS) || (change.clear & change.set) ||
        !is_in_range(input->base_pfn, call->rep_count))
        return HV_STATUS_INVALID_PARAMETER;
    while (status == HV_STATUS_SUCCESS && call->reps_done < call->rep_count &&
           hypercall_spend(call, ACCESS_STATES_COST)) {
        uint32_t count = call->rep_count - call->reps_done;

        status = nested_access_states(&partition->map, next_gpa(call, input->base_pfn, HV_PAGE_SHIFT), &change,
                                      (uint8_t *)call->output + call->reps_done, &count);
        call->reps_done += count;
    }
    /* From here on the processors set the bits that were cleared. */
    if (change.stale)
        shoot_down(partition);
    return status;
}
