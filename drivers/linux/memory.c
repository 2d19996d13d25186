// SPDX-License-Identifier: GPL-2.0-or-later
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include "counters.h"
#include "memory.h"

#define PIN_BATCH   512ul
#define MAP_BATCH   ((HV_PAGE_SIZE - sizeof(struct hv_input_map_gpa_pages)) / sizeof(u64))
#define UNMAP_BATCH 512u

/* One range of guest memory; all fields belong to the partition's mutex. */
struct memory_region {
    struct list_head node; /* mshv_partition.regions */
    u64 guest_pfn;
    u64 userspace_address;
    unsigned long count;  /* in pages */
    unsigned long pinned; /* how many of them, from the first on */
    unsigned long mapped; /* likewise */
    bool charged;
    u32 map_flags;
    struct mm_struct *mm; /* whose RLIMIT_MEMLOCK is charged; only the structure is held */
    struct page **pages;  /* 8 bytes a page: 0.2 % of the memory */
};

static struct memory_region *region_allocate(const struct mshv_user_mem_region *request)
{
    struct memory_region *region = kzalloc(sizeof(*region), GFP_KERNEL_ACCOUNT);

    if (!region)
        return NULL;
    region->guest_pfn = request->guest_pfn;
    region->userspace_address = request->userspace_addr;
    region->count = request->size >> HV_PAGE_SHIFT;
    region->map_flags = HV_MAP_GPA_READABLE | HV_MAP_GPA_ADJUSTABLE;
    if (request->flags & MSHV_SET_MEM_WRITABLE)
        region->map_flags |= HV_MAP_GPA_WRITABLE;
    if (request->flags & MSHV_SET_MEM_EXECUTABLE)
        region->map_flags |= HV_MAP_GPA_EXECUTABLE;
    region->mm = current->mm;
    mmgrab(region->mm);
    return region;
}

/* Unpins and frees. Nothing of the region is mapped any more. */
static void region_free(struct memory_region *region)
{
    while (region->pinned) {
        unsigned long batch = min(region->pinned, PIN_BATCH);

        region->pinned -= batch;
        unpin_user_pages_dirty_lock(region->pages + region->pinned, batch, true);
        atomic_long_sub(batch, &driver_counters.pinned_pages);
        cond_resched();
    }
    /* A process that is gone has no account to be relieved. */
    if (region->charged && mmget_not_zero(region->mm)) {
        account_locked_vm(region->mm, region->count, false);
        mmput(region->mm);
    }
    mmdrop(region->mm);
    vfree(region->pages);
    kfree(region);
}

static int region_pin(struct memory_region *region)
{
    int error;

    /* Nobody can pin more than the machine has; this also bounds the allocation below. */
    if (region->count > totalram_pages())
        return -ENOMEM;
    error = account_locked_vm(region->mm, region->count, true);
    if (error)
        return error;
    region->charged = true;
    region->pages =
        __vmalloc(array_size(region->count, sizeof(*region->pages)), GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
    if (!region->pages)
        return -ENOMEM;
    while (region->pinned < region->count) {
        unsigned long batch = min(region->count - region->pinned, PIN_BATCH);
        unsigned long address = region->userspace_address + (region->pinned << HV_PAGE_SHIFT);
        int pinned;

        if (fatal_signal_pending(current))
            return -EINTR;
        pinned =
            pin_user_pages_fast(address, batch, FOLL_WRITE | FOLL_LONGTERM, region->pages + region->pinned);
        if (pinned <= 0)
            return pinned ? pinned : -EFAULT;
        region->pinned += pinned;
        atomic_long_add(pinned, &driver_counters.pinned_pages);
        cond_resched();
    }
    return 0;
}

/*
 * Whether the pages from `index` on are mapped as one 2 MiB page. Depends on nothing that changes, so that
 * unmapping meets the same boundaries as mapping did.
 */
static bool is_large(const struct mshv_partition *partition, const struct memory_region *region,
                     unsigned long index)
{
    unsigned long first, i;

    if (!partition->super_pages || (region->guest_pfn + index) % HV_PAGES_PER_LARGE_PAGE ||
        region->count - index < HV_PAGES_PER_LARGE_PAGE)
        return false;
    first = page_to_pfn(region->pages[index]);
    if (first % HV_PAGES_PER_LARGE_PAGE)
        return false;
    for (i = 1; i < HV_PAGES_PER_LARGE_PAGE; i++)
        if (page_to_pfn(region->pages[index + i]) != first + i)
            return false;
    return true;
}

/* The next pages that one call can map: all large or all small. */
static int map_batch(struct mshv_partition *partition, struct memory_region *region)
{
    struct hv_input_map_gpa_pages *input = partition->calls.input;
    bool large = is_large(partition, region, region->mapped);
    unsigned int unit = large ? HV_PAGES_PER_LARGE_PAGE : 1, reps = 0;
    unsigned long index = region->mapped;
    struct hypercall call = {.input = hypercall_address(input)};
    u16 status;

    input->partition_id = partition->id;
    input->target_pfn = region->guest_pfn + region->mapped;
    input->flags = region->map_flags | (large ? HV_MAP_GPA_LARGE_PAGE : 0);
    input->padding = 0;
    do {
        input->source_pfn[reps++] = page_to_pfn(region->pages[index]);
        index += unit;
    } while (reps < MAP_BATCH && index < region->count && is_large(partition, region, index) == large);
    call.control = hypercall_reps(HVCALL_MAP_GPA_PAGES, reps);
    status = deposit_and_run(&call, &partition->deposits);
    region->mapped += (unsigned long)call.done * unit;
    return hypercall_errno(status);
}

static int region_map(struct mshv_partition *partition, struct memory_region *region)
{
    while (region->mapped < region->count) {
        int error;

        if (fatal_signal_pending(current))
            return -EINTR;
        error = map_batch(partition, region);
        if (error)
            return error;
        cond_resched();
    }
    return 0;
}

/* Unmaps what is mapped. Goes on after an error, and returns the first. */
static u16 region_unmap(struct mshv_partition *partition, struct memory_region *region)
{
    struct hv_input_unmap_gpa_pages *input = partition->calls.input;
    u16 first_error = HV_STATUS_SUCCESS;
    unsigned long index = 0;

    while (index < region->mapped) {
        bool large = is_large(partition, region, index);
        unsigned int unit = large ? HV_PAGES_PER_LARGE_PAGE : 1, reps = 0;
        struct hypercall call = {.input = hypercall_address(input)};
        u16 status;

        *input = (struct hv_input_unmap_gpa_pages){
            .partition_id = partition->id,
            .target_pfn = region->guest_pfn + index,
            .flags = large ? HV_UNMAP_GPA_LARGE_PAGE : 0,
        };
        do {
            reps++;
            index += unit;
        } while (reps < UNMAP_BATCH && index < region->mapped && is_large(partition, region, index) == large);
        call.control = hypercall_reps(HVCALL_UNMAP_GPA_PAGES, reps);
        status = deposit_and_run(&call, &partition->deposits);
        if (first_error == HV_STATUS_SUCCESS)
            first_error = status;
        cond_resched();
    }
    if (first_error == HV_STATUS_SUCCESS)
        region->mapped = 0;
    return first_error;
}

/*
 * Takes the region out of the hypervisor and frees it. If the hypervisor keeps any of it, the region stays,
 * so that its pages are freed no earlier than the partition is finalized.
 */
static int region_remove(struct mshv_partition *partition, struct memory_region *region)
{
    u16 status = region_unmap(partition, region);

    if (status != HV_STATUS_SUCCESS)
        return hypercall_errno(status);
    list_del(&region->node);
    region_free(region);
    return 0;
}

static bool overlaps(const struct memory_region *region, u64 guest_pfn, u64 count)
{
    return guest_pfn < region->guest_pfn + region->count && region->guest_pfn < guest_pfn + count;
}

static struct memory_region *find_overlap(struct mshv_partition *partition, u64 guest_pfn, u64 count)
{
    struct memory_region *region;

    list_for_each_entry(region, &partition->regions,
                        node) if (overlaps(region, guest_pfn, count)) return region;
    return NULL;
}

static int check_user_memory_exists(u64 address)
{
    bool exists;

    if (mmap_read_lock_killable(current->mm))
        return -EINTR;
    exists = vma_lookup(current->mm, address);
    mmap_read_unlock(current->mm);
    return exists ? 0 : -EINVAL;
}

static int memory_map(struct mshv_partition *partition, const struct mshv_user_mem_region *request)
{
    struct memory_region *region;
    int error;

    if (find_overlap(partition, request->guest_pfn, request->size >> HV_PAGE_SHIFT))
        return -EEXIST;
    error = check_user_memory_exists(request->userspace_addr);
    if (error)
        return error;
    region = region_allocate(request);
    if (!region)
        return -ENOMEM;
    error = region_pin(region);
    if (error) {
        region_free(region);
        return error;
    }
    list_add(&region->node, &partition->regions);
    error = region_map(partition, region);
    if (error)
        region_remove(partition, region);
    return error;
}

static int memory_unmap(struct mshv_partition *partition, const struct mshv_user_mem_region *request)
{
    u64 count = request->size >> HV_PAGE_SHIFT;
    struct memory_region *region = find_overlap(partition, request->guest_pfn, 1);

    if (!region)
        return -ENOENT;
    if (region->guest_pfn != request->guest_pfn || region->count != count ||
        region->userspace_address != request->userspace_addr)
        return -EINVAL;
    return region_remove(partition, region);
}

int memory_set(struct mshv_partition *partition, const struct mshv_user_mem_region __user *argument)
{
    struct mshv_user_mem_region request;

    if (copy_from_user(&request, argument, sizeof(request)))
        return -EFAULT;
    if (!request.size || !PAGE_ALIGNED(request.size) || !PAGE_ALIGNED(request.userspace_addr) ||
        request.flags & ~MSHV_SET_MEM_FLAGS_MASK || memchr_inv(request.rsvd, 0, sizeof(request.rsvd)))
        return -EINVAL;
    if (request.guest_pfn >= GUEST_PFN_END ||
        request.size >> HV_PAGE_SHIFT > GUEST_PFN_END - request.guest_pfn)
        return -EINVAL;
    if (request.flags & MSHV_SET_MEM_UNMAP)
        return memory_unmap(partition, &request);
    return memory_map(partition, &request);
}

void memory_unmap_all(struct mshv_partition *partition)
{
    struct memory_region *region;

    list_for_each_entry(region, &partition->regions, node) region_unmap(partition, region);
}

void memory_release_all(struct mshv_partition *partition)
{
    struct memory_region *region, *next;

    list_for_each_entry_safe(region, next, &partition->regions, node)
    {
        list_del(&region->node);
        region_free(region);
    }
}
