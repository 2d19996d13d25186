/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kernel/arch.h"
#include "kernel/lp.h"
#include "kernel/partition.h"
#include "kernel/shoot_down.h"
#include "kernel/vp.h"

static uint64_t shoot_downs; /* atomic */

/*
 * Whether the processor may still use translations from before `generation`. The VP may be gone by the time
 * it is looked at; then what is read here is meaningless but harmless, because lp->running has changed by the
 * next time.
 */
static bool is_stale(const struct lp *lp, const struct partition *partition, uint64_t generation)
{
    const struct vp *vp = __atomic_load_n(&lp->running, __ATOMIC_SEQ_CST);

    return vp && vp->partition == partition && __atomic_load_n(&vp->flushed_generation, __ATOMIC_ACQUIRE) < generation;
}

void shoot_down(struct partition *partition)
{
    uint64_t generation = __atomic_add_fetch(&partition->map_generation, 1, __ATOMIC_SEQ_CST);
    const struct lp *self = lp_current();
    uint32_t count = lp_count();

    __atomic_fetch_add(&shoot_downs, 1, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < count; i++) {
        const struct lp *lp = lp_by_index(i);

        if (lp != self && is_stale(lp, partition, generation))
            lp_kick(i);
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct lp *lp = lp_by_index(i);

        while (lp != self && is_stale(lp, partition, generation)) {
            lp_poll();
            arch_pause();
        }
    }
}

uint64_t shoot_down_count(void)
{
    return __atomic_load_n(&shoot_downs, __ATOMIC_RELAXED);
}

bool shoot_down_entry(struct vp *vp)
{
    struct lp *lp = lp_current();
    uint64_t generation = __atomic_load_n(&vp->partition->map_generation, __ATOMIC_SEQ_CST);

    if (generation == vp->flushed_generation && vp->last_lp == lp->index)
        return false;
    vp->last_lp = lp->index;
    __atomic_store_n(&vp->flushed_generation, generation, __ATOMIC_RELEASE);
    return true;
}

struct vp *guest_memory_begin(struct vp *vp)
{
    struct lp *lp = lp_current();
    struct vp *before = lp->running;

    if (before != vp)
        __atomic_store_n(&lp->running, vp, __ATOMIC_SEQ_CST);
    return before;
}

void guest_memory_end(struct vp *before)
{
    __atomic_store_n(&lp_current()->running, before, __ATOMIC_RELEASE);
}
