/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * LOAM_HVCALL_RECLAIM_CHILDREN: a kernel that starts in the parent, or is about to end, takes everything back
 * that was lent out, without knowing what. Works in steps, so that the parent's interrupts are served in
 * between.
 */
#include "kernel/deposit.h"
#include "kernel/hypercall.h"
#include "kernel/parent_map.h"
#include "kernel/partition.h"

/* One caller at a time; others repeat meanwhile. Covers the progress of a call that is not finished. */
static struct spinlock reclaim_lock;
static struct loam_output_reclaim progress;

static void return_pages(struct hypercall *call, struct partition *partition)
{
    lock_acquire(&partition->lock);
    progress.pages += deposit_return(partition, NULL, PARENT_MAP_SESSION_PAGES, call->output, &call->budget);
    lock_release(&partition->lock);
}

/* A step towards the end of one child. True: it is gone. The reference is given back. */
static bool reclaim_child(struct hypercall *call, struct partition *partition)
{
    bool busy = true;

    if (partition_state(partition) != PARTITION_FINALIZED && !partition_finalize_step(partition, &call->budget)) {
        partition_put(partition);
        return false;
    }
    return_pages(call, partition);
    if (deposit_left(partition) || partition_delete(partition, &busy) != HV_STATUS_SUCCESS || busy) {
        partition_put(partition);
        return false;
    }
    return true;
}

/* One step. True: nothing is left. */
static bool reclaim(struct hypercall *call)
{
    for (uint16_t slot = 1; slot < PARTITION_MAXIMUM; slot++) {
        struct partition *partition = partition_get_slot(slot);

        if (partition) {
            progress.partitions += reclaim_child(call, partition);
            return false;
        }
    }
    return_pages(call, &parent_partition);
    return !deposit_left(&parent_partition);
}

enum hv_status hypercall_reclaim_children(struct hypercall *call)
{
    call->repeat = true;
    if (!lock_try(&reclaim_lock))
        return HV_STATUS_SUCCESS;
    if (reclaim(call)) {
        *(struct loam_output_reclaim *)call->output = progress;
        progress = (struct loam_output_reclaim){0};
        call->repeat = false;
    }
    lock_release(&reclaim_lock);
    return HV_STATUS_SUCCESS;
}
