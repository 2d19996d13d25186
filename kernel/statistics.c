/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counters and the log, for the parent. */
#include <string.h>

#include "kernel/hypercall.h"
#include "kernel/log.h"
#include "kernel/lp.h"
#include "kernel/parent_map.h"
#include "kernel/partition.h"
#include "kernel/shoot_down.h"
#include "kernel/statistics.h"
#include "kernel/vp.h"

struct hypervisor_size hypervisor_size;

static void hypervisor_counters(struct loam_output_get_statistics *output)
{
    uint64_t counter[LOAM_HYPERVISOR_COUNTER_COUNT];

    counter[LOAM_COUNTER_LOGICAL_PROCESSORS] = lp_count();
    counter[LOAM_COUNTER_PARTITIONS] = partition_count();
    counter[LOAM_COUNTER_IMAGE_BYTES] = hypervisor_size.image;
    counter[LOAM_COUNTER_RESERVED_BYTES] = hypervisor_size.reserved;
    counter[LOAM_COUNTER_TABLE_BYTES] = hypervisor_size.tables;
    counter[LOAM_COUNTER_DEPOSITED_PAGES] = parent_map_deposited_pages();
    counter[LOAM_COUNTER_HIDDEN_WRITES] = parent_map_hidden_writes();
    counter[LOAM_COUNTER_SHOOT_DOWNS] = shoot_down_count();
    output->count = LOAM_HYPERVISOR_COUNTER_COUNT;
    memcpy(output->counter, counter, sizeof(counter));
}

/* Read while others write: each counter is right by itself. */
static void partition_counters(const struct partition *partition, struct loam_output_get_statistics *output)
{
    uint64_t counter[LOAM_PARTITION_COUNTER_COUNT];

    counter[LOAM_PARTITION_DEPOSITED_PAGES] = __atomic_load_n(&partition->deposited_pages, __ATOMIC_RELAXED);
    counter[LOAM_PARTITION_FREE_PAGES] = __atomic_load_n(&partition->free_pages, __ATOMIC_RELAXED);
    counter[LOAM_PARTITION_MAPPED_PAGES] = __atomic_load_n(&partition->mapped_pages, __ATOMIC_RELAXED);
    counter[LOAM_PARTITION_VPS] = __atomic_load_n(&partition->vp_count, __ATOMIC_RELAXED);
    output->count = LOAM_PARTITION_COUNTER_COUNT;
    memcpy(output->counter, counter, sizeof(counter));
}

/* NULL: no such VP. The parent's VPs are the logical processors'. */
static const struct vp *find_vp(struct partition *partition, uint32_t index)
{
    if (partition == &parent_partition)
        return index < lp_count() ? lp_by_index(index)->parent_vp : NULL;
    return partition_vp(partition, index);
}

enum hv_status hypercall_get_statistics(struct hypercall *call)
{
    const struct loam_input_get_statistics *input = call->input;
    struct loam_output_get_statistics *output = call->output;
    const struct vp *vp;

    memset(output, 0, sizeof(*output));
    switch (input->type) {
    case LOAM_STATISTICS_HYPERVISOR:
        hypervisor_counters(output);
        return HV_STATUS_SUCCESS;
    case LOAM_STATISTICS_PARTITION:
        partition_counters(call->partition, output);
        return HV_STATUS_SUCCESS;
    case LOAM_STATISTICS_VP:
        vp = find_vp(call->partition, input->vp_index);
        if (!vp)
            return HV_STATUS_INVALID_VP_INDEX;
        memcpy(output->counter, vp->exits, sizeof(vp->exits));
        output->count = LOAM_EXIT_REASON_COUNT;
        return HV_STATUS_SUCCESS;
    default:
        return HV_STATUS_INVALID_PARAMETER;
    }
}

enum hv_status hypercall_read_log(struct hypercall *call)
{
    const struct loam_input_read_log *input = call->input;

    if (input->size > LOAM_LOG_CHUNK || input->reserved)
        return HV_STATUS_INVALID_PARAMETER;
    memset(call->output, 0, sizeof(struct loam_output_read_log));
    log_read(input->position, input->size, call->output);
    return HV_STATUS_SUCCESS;
}
