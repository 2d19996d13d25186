/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "kernel/arch.h"
#include "kernel/deposit.h"
#include "kernel/frame.h"
#include "kernel/hypercall.h"
#include "kernel/log.h"
#include "kernel/partition.h"
#include "kernel/shoot_down.h"
#include "kernel/vp.h"

#define KNOWN_CREATION_FLAGS                                                                                           \
    (HV_CREATE_SMT_ENABLED | HV_CREATE_GPA_SUPER_PAGES | HV_CREATE_EXO_PARTITION | HV_CREATE_LAPIC |                   \
     HV_CREATE_INTERCEPT_MESSAGE_PAGE | HV_CREATE_X2APIC)

/* About what it costs to destroy a page table entry, and the least that a step should have left to begin another VP. */
#define ENTRY_COST 70u
#define VP_COST    9000u

#define SLOT_LIVE     0x80000000u
#define SLOT_DELETING 0x40000000u

/*
 * What finds a partition. `references` is SLOT_LIVE plus the number of those who use it; without SLOT_LIVE
 * nobody can begin to; 0 is a free slot. The slot outlives the partition, so that looking at it is always
 * safe.
 */
static struct {
    uint32_t references; /* atomic */
    struct partition *partition;
} slots[PARTITION_MAXIMUM];

/* Covers the choice of a free slot, and the ids. */
static struct spinlock table_lock;
static uint64_t last_sequence;
static uint16_t last_slot;
static uint32_t count; /* atomic */

struct partition parent_partition;

static void publish(struct partition *partition)
{
    slots[partition->slot].partition = partition;
    __atomic_store_n(&slots[partition->slot].references, SLOT_LIVE, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&count, 1, __ATOMIC_RELAXED);
}

void partition_initialize(void)
{
    memset(slots, 0, sizeof(slots));
    count = 0;
    last_slot = 0;
    memset(&parent_partition, 0, sizeof(parent_partition));
    parent_partition.id = PARTITION_MAXIMUM; /* sequence 1, slot 0 */
    last_sequence = 1;
    parent_partition.state = PARTITION_ACTIVE;
    parent_partition.creation_flags = HV_CREATE_LAPIC | HV_CREATE_X2APIC;
    processor_features_initialize();
    for (unsigned i = 0; i < PROCESSOR_FEATURE_BANKS; i++)
        parent_partition.features[i] = processor_features(i);
    parent_partition.reference_base = arch_tsc();
    publish(&parent_partition);
}

uint32_t partition_count(void)
{
    return __atomic_load_n(&count, __ATOMIC_RELAXED);
}

struct partition *partition_get_slot(uint16_t slot)
{
    uint32_t references = __atomic_load_n(&slots[slot].references, __ATOMIC_RELAXED);

    do {
        if (!(references & SLOT_LIVE))
            return NULL;
    } while (!__atomic_compare_exchange_n(&slots[slot].references, &references, references + 1, true, __ATOMIC_SEQ_CST,
                                          __ATOMIC_RELAXED));
    return slots[slot].partition;
}

struct partition *partition_get(uint64_t id)
{
    struct partition *partition;

    if (id == HV_PARTITION_ID_SELF)
        id = parent_partition.id;
    partition = partition_get_slot(id % PARTITION_MAXIMUM);
    if (partition && partition->id != id) {
        partition_put(partition);
        partition = NULL;
    }
    return partition;
}

void partition_put(struct partition *partition)
{
    __atomic_fetch_sub(&slots[partition->slot].references, 1, __ATOMIC_SEQ_CST);
}

/* Nobody but the caller uses the partition at this moment. */
static bool is_sole_user(const struct partition *partition)
{
    return __atomic_load_n(&slots[partition->slot].references, __ATOMIC_SEQ_CST) == (SLOT_LIVE | 1);
}

enum hv_status partition_delete(struct partition *partition, bool *busy)
{
    uint32_t *references = &slots[partition->slot].references;
    uint32_t expected = SLOT_LIVE | 1;

    *busy =
        !__atomic_compare_exchange_n(references, &expected, SLOT_DELETING, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
    if (*busy)
        return HV_STATUS_SUCCESS;
    /* Nobody else has it or can get it, so that what is seen now stays. */
    if ((partition->state != PARTITION_CREATED && partition->state != PARTITION_FINALIZED) ||
        partition->deposited_pages || deposit_left(partition)) {
        __atomic_store_n(references, SLOT_LIVE | 1, __ATOMIC_SEQ_CST);
        return HV_STATUS_INVALID_PARTITION_STATE;
    }
    lock_acquire(&parent_partition.lock);
    partition_page_release(&parent_partition, partition);
    lock_release(&parent_partition.lock);
    __atomic_fetch_sub(&count, 1, __ATOMIC_RELAXED);
    __atomic_store_n(references, 0, __ATOMIC_SEQ_CST);
    return HV_STATUS_SUCCESS;
}

void *partition_page_allocate(struct partition *partition)
{
    uint64_t *page;

    if (!partition->free_page)
        return NULL;
    page = physical_pointer(partition->free_page);
    partition->free_page = *page;
    partition->free_pages--;
    memset(page, 0, HV_PAGE_SIZE);
    return page;
}

void partition_page_release(struct partition *partition, void *page)
{
    memset(page, 0, HV_PAGE_SIZE);
    *(uint64_t *)page = partition->free_page;
    partition->free_page = physical_address(page);
    partition->free_pages++;
}

struct vp *partition_vp(struct partition *partition, uint32_t index)
{
    struct vp **vps = __atomic_load_n(&partition->vps, __ATOMIC_ACQUIRE);
    struct vp *vp;

    if (!vps || index >= HV_MAXIMUM_VPS)
        return NULL;
    vp = __atomic_load_n(&vps[index], __ATOMIC_ACQUIRE);
    return vp && !__atomic_load_n(&vp->deleted, __ATOMIC_ACQUIRE) ? vp : NULL;
}

/* Tables of the child's map live in its own pages. */
static uint64_t table_allocate(void *owner)
{
    void *page = partition_page_allocate(owner);

    return page ? physical_address(page) : 0;
}

static void table_release(void *owner, uint64_t spa)
{
    partition_page_release(owner, physical_pointer(spa));
}

static void page_unmapped(void *owner, uint64_t spa, unsigned page_shift)
{
    struct partition *partition = owner;

    if (page_shift == HV_LARGE_PAGE_SHIFT)
        frame_unmap_large(spa >> HV_PAGE_SHIFT);
    else
        frame_unmap(spa >> HV_PAGE_SHIFT);
    partition->mapped_pages -= 1ull << (page_shift - HV_PAGE_SHIFT);
}

static enum hv_status check_creation(const struct hv_input_create_partition *input)
{
    if (input->isolation || (input->creation_flags & ~(KNOWN_CREATION_FLAGS | HV_CREATE_NESTED_VIRTUALIZATION)))
        return HV_STATUS_INVALID_PARAMETER;
    /* A local APIC in the VMM, or virtualization inside the child: not what this hypervisor has. */
    if (!(input->creation_flags & HV_CREATE_LAPIC) || (input->creation_flags & HV_CREATE_NESTED_VIRTUALIZATION))
        return HV_STATUS_PROCESSOR_FEATURE_NOT_SUPPORTED;
    return HV_STATUS_SUCCESS;
}

/* Slots are used in turn, so that an id does not come back soon even in its low bits. Under the table lock. */
static bool choose_slot(struct partition *partition)
{
    for (unsigned i = 0; i < PARTITION_MAXIMUM - 1; i++) {
        last_slot = last_slot % (PARTITION_MAXIMUM - 1) + 1;
        if (__atomic_load_n(&slots[last_slot].references, __ATOMIC_SEQ_CST) == 0) {
            partition->slot = last_slot;
            partition->id = ++last_sequence * PARTITION_MAXIMUM + last_slot;
            return true;
        }
    }
    return false;
}

enum hv_status hypercall_create_partition(struct hypercall *call)
{
    const struct hv_input_create_partition *input = call->input;
    enum hv_status status = check_creation(input);
    struct partition *partition;
    bool chosen;

    if (status != HV_STATUS_SUCCESS)
        return status;
    lock_acquire(&parent_partition.lock);
    partition = partition_page_allocate(&parent_partition);
    lock_release(&parent_partition.lock);
    if (!partition)
        return HV_STATUS_INSUFFICIENT_MEMORY;

    partition->state = PARTITION_CREATED;
    partition->creation_flags = input->creation_flags;
    partition->features[FEATURE_BANK_0] = processor_features(FEATURE_BANK_0) & ~input->disabled_processor_features[0];
    partition->features[FEATURE_BANK_1] = processor_features(FEATURE_BANK_1) & ~input->disabled_processor_features[1];
    partition->features[FEATURE_BANK_XSAVE] = processor_features(FEATURE_BANK_XSAVE) & ~input->disabled_xsave_features;
    partition->reference_base = arch_tsc();
    partition->map = (struct nested_table){
        .allocate = table_allocate, .release = table_release, .unmapped = page_unmapped, .owner = partition};

    lock_acquire(&table_lock);
    chosen = choose_slot(partition);
    if (chosen) {
        ((struct hv_partition_id_only *)call->output)->partition_id = partition->id;
        publish(partition);
    }
    lock_release(&table_lock);
    if (!chosen) {
        lock_acquire(&parent_partition.lock);
        partition_page_release(&parent_partition, partition);
        lock_release(&parent_partition.lock);
        return HV_STATUS_NO_RESOURCES;
    }
    return HV_STATUS_SUCCESS;
}

enum hv_status hypercall_initialize_partition(struct hypercall *call)
{
    struct partition *partition = call->partition;
    struct vp **vps = partition_page_allocate(partition);

    if (!vps)
        return HV_STATUS_INSUFFICIENT_MEMORY;
    partition->map.root = table_allocate(partition);
    if (!partition->map.root) {
        partition_page_release(partition, vps);
        return HV_STATUS_INSUFFICIENT_MEMORY;
    }
    __atomic_store_n(&partition->vps, vps, __ATOMIC_RELEASE);
    __atomic_store_n(&partition->state, PARTITION_ACTIVE, __ATOMIC_SEQ_CST);
    return HV_STATUS_SUCCESS;
}

/* Makes every VP leave its guest; the dispatcher sees the state and returns. */
static void kick_vps(struct partition *partition)
{
    for (unsigned i = 0; i < HV_MAXIMUM_VPS; i++) {
        struct vp *vp = partition_vp(partition, i);
        uint32_t running_on = vp ? __atomic_load_n(&vp->running_on, __ATOMIC_RELAXED) : 0;

        if (running_on)
            lp_kick(running_on - 1);
    }
}

/* False: the budget does not reach. */
static bool destroy_vps(struct partition *partition, uint32_t *budget)
{
    for (unsigned i = 0; i < HV_MAXIMUM_VPS; i++) {
        if (!partition->vps[i])
            continue;
        if (*budget < VP_COST)
            return false;
        *budget -= VP_COST;
        vp_destroy(partition->vps[i]);
        partition_page_release(partition, partition->vps[i]);
        partition->vps[i] = NULL;
    }
    return true;
}

static bool destroy_contents(struct partition *partition, uint32_t *budget)
{
    uint32_t entries;
    bool done;

    if (partition->vps && !destroy_vps(partition, budget))
        return false;
    entries = *budget / ENTRY_COST;
    *budget = entries;
    done = nested_destroy(&partition->map, budget);
    *budget *= ENTRY_COST;
    if (done && partition->vps) {
        partition_page_release(partition, partition->vps);
        partition->vps = NULL;
    }
    return done;
}

/*
 * Everyone who works with VPs or memory of the partition has a reference and has seen it active. Once the
 * state says otherwise and no reference but ours is left, nobody will touch them again.
 */
bool partition_finalize_step(struct partition *partition, uint32_t *budget)
{
    bool done = false;

    if (!lock_try(&partition->lock))
        return false;
    if (partition->state < PARTITION_FINALIZING)
        __atomic_store_n(&partition->state, PARTITION_FINALIZING, __ATOMIC_SEQ_CST);
    if (is_sole_user(partition))
        done = destroy_contents(partition, budget);
    else
        kick_vps(partition);
    if (done)
        __atomic_store_n(&partition->state, PARTITION_FINALIZED, __ATOMIC_SEQ_CST);
    lock_release(&partition->lock);
    return done;
}

enum hv_status hypercall_finalize_partition(struct hypercall *call)
{
    call->repeat = !partition_finalize_step(call->partition, &call->budget);
    return HV_STATUS_SUCCESS;
}

enum hv_status hypercall_delete_partition(struct hypercall *call)
{
    enum hv_status status = partition_delete(call->partition, &call->repeat);

    if (status == HV_STATUS_SUCCESS && !call->repeat)
        call->partition = NULL; /* the reference went with it */
    return status;
}

enum hv_status hypercall_get_partition_id(struct hypercall *call)
{
    ((struct hv_partition_id_only *)call->output)->partition_id = parent_partition.id;
    return HV_STATUS_SUCCESS;
}
