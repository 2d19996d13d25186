/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "arch/x86_64/boot/boot_information.h"
#include "arch/x86_64/cpu/arch_lp.h"
#include "arch/x86_64/cpu/host_apic.h"
#include "arch/x86_64/cpu/instructions.h"
#include "arch/x86_64/cpu/kick.h"
#include "arch/x86_64/cpu/machine_reset.h"
#include "arch/x86_64/cpu/msr.h"
#include "arch/x86_64/cpu/parent_vp.h"
#include "arch/x86_64/cpu/processor_start.h"
#include "kernel/arch.h"
#include "kernel/local_apic.h"
#include "kernel/log.h"
#include "kernel/vp.h"

#define SIPI_ARRIVED     0x100u /* or'ed to the vector, so that vector 0 is not "none" */
#define DFR_FLAT         0xFFFFFFFFu
#define XAPIC_BROADCAST  0xFFu
#define X2APIC_BROADCAST 0xFFFFFFFFu

/* One for each LP: atomic, changed by any processor. */
static struct start_state {
    uint32_t waiting;  /* in wait-for-SIPI */
    uint32_t sipi;     /* SIPI_ARRIVED | vector */
    uint32_t ldr, dfr; /* what the parent wrote, xAPIC mode */
} states[LOAM_MAXIMUM_PROCESSORS];

/* Processors by the firmware's tables, with the vector of the SIPI that went to one that Loam did not have then. */
static const struct boot_information *boot;
static uint8_t vectors[LOAM_MAXIMUM_PROCESSORS];
static uint8_t broadcast_vector;
static uint32_t arrived; /* atomic */

void processor_start_initialize(const struct boot_information *information)
{
    boot = information;
    for (unsigned i = 0; i < LOAM_MAXIMUM_PROCESSORS; i++)
        states[i].dfr = DFR_FLAT;
}

void processor_start_arrived(void)
{
    __atomic_fetch_add(&arrived, 1, __ATOMIC_SEQ_CST);
}

bool processor_start_watches(void)
{
    return !vendor->has_init_exits() || __atomic_load_n(&arrived, __ATOMIC_SEQ_CST) < boot->processors;
}

static struct lp *find_lp(uint32_t apic_id)
{
    for (uint32_t i = 0; i < lp_count(); i++)
        if (lp_by_index(i)->apic_id == apic_id)
            return lp_by_index(i);
    return NULL;
}

static bool matches_logical(const struct lp *lp, uint32_t destination)
{
    const struct start_state *state = &states[lp->index];
    uint32_t logical = state->ldr >> 24;

    if (host_apic_is_x2apic())
        return destination >> 16 == lp->apic_id >> 4 && (destination >> (lp->apic_id & 15) & 1);
    if (state->dfr == DFR_FLAT)
        return (logical & destination) != 0;
    return logical >> 4 == (destination >> 4 & 15) && (logical & destination & 15) != 0;
}

static bool is_target(const struct lp *lp, uint64_t icr)
{
    uint32_t destination = (uint32_t)(icr >> ICR_DESTINATION_SHIFT);

    switch (icr >> ICR_SHORTHAND_SHIFT & 3) {
    case ICR_TO_SELF:
        return lp == lp_current();
    case ICR_TO_ALL:
        return true;
    case ICR_TO_OTHERS:
        return lp != lp_current();
    }
    if (destination == (host_apic_is_x2apic() ? X2APIC_BROADCAST : XAPIC_BROADCAST))
        return true;
    return icr & ICR_LOGICAL ? matches_logical(lp, destination) : lp->apic_id == destination;
}

static void send_real(uint32_t apic_id, enum icr_mode mode, uint8_t vector)
{
    host_apic_send((uint64_t)apic_id << ICR_DESTINATION_SHIFT | (uint64_t)mode << ICR_MODE_SHIFT | ICR_ASSERT | vector);
}

static void send_to_lp(struct lp *lp, enum icr_mode mode, uint8_t vector)
{
    struct start_state *state = &states[lp->index];

    if (mode != ICR_NMI && vendor->has_init_exits()) {
        send_real(lp->apic_id, mode, vector);
        return;
    }
    switch (mode) {
    case ICR_NMI:
        __atomic_store_n(&lp->parent_nmi, true, __ATOMIC_SEQ_CST);
        break;
    case ICR_INIT:
        __atomic_store_n(&state->sipi, 0, __ATOMIC_SEQ_CST);
        __atomic_store_n(&lp->parent_init, true, __ATOMIC_SEQ_CST);
        break;
    default:
        if (!__atomic_load_n(&lp->parent_init, __ATOMIC_SEQ_CST) && !__atomic_load_n(&state->waiting, __ATOMIC_SEQ_CST))
            return; /* a running processor ignores it */
        __atomic_store_n(&state->sipi, SIPI_ARRIVED | vector, __ATOMIC_SEQ_CST);
        break;
    }
    lp_kick(lp->index);
}

/* To a processor that is not Loam's yet: the real thing, but a SIPI goes to the low page. */
static void send_to_stranger(uint32_t apic_id, enum icr_mode mode, uint8_t vector)
{
    for (uint32_t i = 0; i < boot->apic_id_count && mode == ICR_SIPI; i++)
        if (boot->apic_ids[i] == apic_id)
            vectors[i] = vector;
    send_real(apic_id, mode, mode == ICR_SIPI ? (uint8_t)(boot->low_page >> HV_PAGE_SHIFT) : vector);
}

static void send_to_strangers(uint64_t icr, enum icr_mode mode, uint8_t vector)
{
    uint64_t shorthand = icr >> ICR_SHORTHAND_SHIFT & 3;
    uint32_t destination = (uint32_t)(icr >> ICR_DESTINATION_SHIFT);
    bool all = shorthand >= ICR_TO_ALL || (shorthand == ICR_TO_DESTINATION &&
                                           destination == (host_apic_is_x2apic() ? X2APIC_BROADCAST : XAPIC_BROADCAST));

    if (shorthand == ICR_TO_SELF || (!all && (icr & ICR_LOGICAL)))
        return;
    if (!all) {
        if (!find_lp(destination))
            send_to_stranger(destination, mode, vector);
        return;
    }
    for (uint32_t i = 0; i < boot->apic_id_count; i++)
        if (!find_lp(boot->apic_ids[i]))
            send_to_stranger(boot->apic_ids[i], mode, vector);
    if (boot->apic_id_count == 0 && lp_count() == 1) {
        broadcast_vector = vector;
        host_apic_send((uint64_t)ICR_TO_OTHERS << ICR_SHORTHAND_SHIFT | (uint64_t)mode << ICR_MODE_SHIFT | ICR_ASSERT |
                       (mode == ICR_SIPI ? boot->low_page >> HV_PAGE_SHIFT : vector));
    }
}

void processor_start_command(uint64_t icr)
{
    enum icr_mode mode = icr >> ICR_MODE_SHIFT & ICR_MODE_MASK;
    uint8_t vector = icr & ICR_VECTOR;

    if (mode != ICR_NMI && mode != ICR_INIT && mode != ICR_SIPI) {
        host_apic_send(icr);
        return;
    }
    if (mode == ICR_INIT && (icr & ICR_LEVEL) && !(icr & ICR_ASSERT))
        return; /* INIT level de-assert means nothing since the Pentium 4 */
    for (uint32_t i = 0; i < lp_count(); i++)
        if (is_target(lp_by_index(i), icr))
            send_to_lp(lp_by_index(i), mode, vector);
    send_to_strangers(icr, mode, vector);
}

void processor_start_logical(uint32_t ldr, uint32_t dfr)
{
    states[lp_current()->index].ldr = ldr;
    states[lp_current()->index].dfr = dfr;
}

uint8_t processor_start_vector(uint32_t apic_id)
{
    for (uint32_t i = 0; i < boot->apic_id_count; i++)
        if (boot->apic_ids[i] == apic_id)
            return vectors[i];
    return broadcast_vector;
}

/* Intercepted commands: an INIT that comes while it waits takes the SIPI back. */
static uint8_t wait_for_command(struct lp *lp)
{
    struct start_state *state = &states[lp->index];
    uint32_t sipi;

    __atomic_store_n(&state->waiting, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&lp->parent_init, false, __ATOMIC_SEQ_CST);
    do {
        kick_wait(&state->sipi);
        __atomic_store_n(&lp->parent_init, false, __ATOMIC_SEQ_CST);
        sipi = __atomic_exchange_n(&state->sipi, 0, __ATOMIC_SEQ_CST);
    } while (sipi == 0);
    __atomic_store_n(&state->waiting, 0, __ATOMIC_SEQ_CST);
    return (uint8_t)sipi;
}

static uint8_t wait_for_sipi(struct lp *lp)
{
    if (!vendor->has_init_exits())
        return wait_for_command(lp);
    __atomic_store_n(&lp->parent_init, false, __ATOMIC_SEQ_CST);
    return vendor->wait_for_sipi(lp->parent_vp);
}

/* The local APIC takes its INIT state afterwards, so that the processor waits before the SIPI comes. */
void processor_start_serve(void)
{
    struct lp *lp = lp_current();
    uint8_t vector;

    if (rdmsr(MSR_APIC_BASE) & APIC_BASE_BSP) {
        log_line("parent: INIT of the boot processor: resetting the machine");
        machine_reset();
    }
    vector = wait_for_sipi(lp);
    host_apic_init();
    states[lp->index].ldr = 0;
    states[lp->index].dfr = DFR_FLAT;
    __atomic_store_n(&lp->parent_nmi, false, __ATOMIC_SEQ_CST);
    parent_vp_reset(lp->parent_vp, vector);
}
