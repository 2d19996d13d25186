/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Spin locks of the hypervisor. Host mode runs with interrupts held off, so a lock is never taken twice by accident. */
#ifndef KERNEL_LOCK_H
#define KERNEL_LOCK_H

#include "hv/types.h"
#include "kernel/arch.h"

struct spinlock {
    uint32_t held;
};

static inline bool lock_try(struct spinlock *lock)
{
    return __atomic_exchange_n(&lock->held, 1, __ATOMIC_ACQUIRE) == 0;
}

/* A processor that spins still serves kicks, so that nobody waits for it under a lock. */
static inline void lock_acquire(struct spinlock *lock)
{
    while (!lock_try(lock))
        while (__atomic_load_n(&lock->held, __ATOMIC_RELAXED)) {
            lp_poll();
            arch_pause();
        }
}

static inline void lock_release(struct spinlock *lock)
{
    __atomic_store_n(&lock->held, 0, __ATOMIC_RELEASE);
}

#endif
