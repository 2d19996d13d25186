/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arch/x86_64/cpu/arch_lp.h"
#include "arch/x86_64/cpu/host_apic.h"
#include "arch/x86_64/cpu/instructions.h"
#include "arch/x86_64/cpu/kick.h"
#include "arch/x86_64/vendor.h"
#include "kernel/arch.h"
#include "kernel/lp.h"

static uint32_t stopping; /* atomic: a processor panics; the others halt when they notice */

static void send_nmi(const struct lp *lp)
{
    host_apic_send((uint64_t)lp->apic_id << ICR_DESTINATION_SHIFT | (uint64_t)ICR_NMI << ICR_MODE_SHIFT | ICR_ASSERT);
}

void lp_kick(uint32_t lp_index)
{
    struct lp *lp = lp_by_index(lp_index);

    if (__atomic_exchange_n(&lp->kicks_wanted, 1, __ATOMIC_SEQ_CST) == 0) {
        send_nmi(lp);
    } else if (host_apic_loses_requests()) {
        __atomic_store_n(&arch_lp(lp)->kick_sent_again, true, __ATOMIC_SEQ_CST);
        send_nmi(lp);
    }
}

/* A kick that comes in host mode stays pending and ends the next entry at once; all that can be urgent is a panic. */
void lp_poll(void)
{
    while (__atomic_load_n(&stopping, __ATOMIC_RELAXED))
        cpu_halt();
}

bool kick_account(void)
{
    struct lp *lp = lp_current();
    struct arch_lp *arch = arch_lp(lp);
    uint32_t taken = arch->nmis, count = taken - arch->nmis_accounted;
    bool kick, parents;

    if (count == 0)
        return false;
    arch->nmis_accounted = taken;
    lp_poll();
    kick = __atomic_exchange_n(&lp->kicks_wanted, 0, __ATOMIC_SEQ_CST) != 0 ||
           __atomic_exchange_n(&arch->kick_sent_again, false, __ATOMIC_SEQ_CST);
    parents = !kick || (count > 1 && !host_apic_loses_requests()); /* of two at once, one at most is a kick */
    if (parents || host_apic_counter_overflowed())
        __atomic_store_n(&lp->parent_nmi, true, __ATOMIC_SEQ_CST);
    return parents;
}

bool kick_take_nmi(void)
{
    vendor->host_window(false);
    return kick_account();
}

void kick_wait(const uint32_t *word)
{
    struct arch_lp *arch = arch_lp(lp_current());

    /* The word is looked at after each accounting: who sets it afterwards sends an NMI. */
    do {
        kick_account();
        vendor->host_wait(word, &arch->nmis, arch->nmis_accounted);
    } while (__atomic_load_n(word, __ATOMIC_SEQ_CST) == 0);
    kick_account();
}

void kick_stop_others(void)
{
    __atomic_store_n(&stopping, 1, __ATOMIC_SEQ_CST);
    for (uint32_t i = 0; i < lp_count(); i++)
        if (lp_by_index(i) != lp_current())
            send_nmi(lp_by_index(i));
}
