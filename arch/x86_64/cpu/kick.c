/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arch/x86_64/cpu/arch_lp.h"
#include "arch/x86_64/cpu/host_apic.h"
#include "arch/x86_64/cpu/instructions.h"
#include "arch/x86_64/cpu/kick.h"
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

    if (__atomic_exchange_n(&lp->kicks_wanted, 1, __ATOMIC_SEQ_CST) == 0)
        send_nmi(lp);
}

/* A kick that comes in host mode stays pending and ends the next entry at once; all that can be urgent is a panic. */
void lp_poll(void)
{
    while (__atomic_load_n(&stopping, __ATOMIC_RELAXED))
        cpu_halt();
}

/* An NMI was taken in host mode: whose was it? */
static bool account_nmi(struct lp *lp)
{
    bool kick = __atomic_exchange_n(&lp->kicks_wanted, 0, __ATOMIC_SEQ_CST) != 0;

    if (!kick || host_apic_counter_overflowed())
        __atomic_store_n(&lp->parent_nmi, true, __ATOMIC_SEQ_CST);
    return !kick;
}

bool kick_take_nmi(void)
{
    /* IF = 0: the window is for the NMI alone, the parent's interrupts stay pending. */
    __asm__ volatile("cli; stgi; nop; nop; clgi; sti" : : : "memory");
    lp_poll();
    return account_nmi(lp_current());
}

/* In vectors.asm: with GIF = 1 and IF = 0 until *word is not 0. */
void wait_for_word(uint32_t *word);

void kick_wait(uint32_t *word)
{
    struct lp *lp = lp_current();
    uint32_t before = arch_lp(lp)->nmis;

    wait_for_word(word);
    lp_poll();
    if (arch_lp(lp)->nmis != before)
        account_nmi(lp);
}

void kick_stop_others(void)
{
    __atomic_store_n(&stopping, 1, __ATOMIC_SEQ_CST);
    for (uint32_t i = 0; i < lp_count(); i++)
        if (lp_by_index(i) != lp_current())
            send_nmi(lp_by_index(i));
}
