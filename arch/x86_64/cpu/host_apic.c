/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "arch/x86_64/boot/boot_information.h"
#include "arch/x86_64/cpu/arch_lp.h"
#include "arch/x86_64/cpu/emulator.h"
#include "arch/x86_64/cpu/host_apic.h"
#include "arch/x86_64/cpu/instructions.h"
#include "arch/x86_64/cpu/kick.h"
#include "arch/x86_64/vendor.h"
#include "arch/x86_64/cpu/msr.h"
#include "kernel/local_apic.h"

#define LVT_MASKED    (1u << 16)
#define LVT_NMI       (4u << 8)
#define SVR_RESET     0xFFu
#define DRAIN_MAXIMUM 512u
#define DFR_RESET     0xFFFFFFFFu

bool host_apic_is_x2apic(void)
{
    return (rdmsr(MSR_APIC_BASE) & APIC_BASE_X2APIC) != 0;
}

static volatile uint32_t *page_register(uint32_t offset)
{
    return (volatile uint32_t *)(LOAM_APIC_PAGE + offset);
}

uint32_t host_apic_read(uint32_t offset)
{
    if (host_apic_is_x2apic())
        return (uint32_t)rdmsr(MSR_X2APIC_FIRST + (offset >> 4));
    return *page_register(offset);
}

void host_apic_write(uint32_t offset, uint32_t value)
{
    if (host_apic_is_x2apic())
        wrmsr(MSR_X2APIC_FIRST + (offset >> 4), value);
    else
        *page_register(offset) = value;
}

uint32_t host_apic_id(void)
{
    uint32_t id = host_apic_read(APIC_REGISTER_ID);

    return host_apic_is_x2apic() ? id : id >> 24;
}

void host_apic_eoi(void)
{
    host_apic_write(APIC_REGISTER_EOI, 0);
}

void host_apic_send(uint64_t icr)
{
    uint32_t destination = (uint32_t)(icr >> ICR_DESTINATION_SHIFT), saved;

    if (host_apic_is_x2apic()) {
        /* A WRMSR to the ICR does not wait for earlier stores. */
        __asm__ volatile("mfence; lfence" : : : "memory");
        wrmsr(MSR_X2APIC_ICR, icr);
        return;
    }
    saved = *page_register(APIC_REGISTER_ICR_HIGH);
    while (*page_register(APIC_REGISTER_ICR_LOW) & ICR_PENDING)
        cpu_pause();
    *page_register(APIC_REGISTER_ICR_HIGH) = destination << 24;
    *page_register(APIC_REGISTER_ICR_LOW) = (uint32_t)icr;
    while (*page_register(APIC_REGISTER_ICR_LOW) & ICR_PENDING)
        cpu_pause();
    *page_register(APIC_REGISTER_ICR_HIGH) = saved;
}

static uint32_t drained; /* one processor at a time needs it to be exact; more only make the bound smaller */

/* A level-triggered source that nobody serves would come again for ever: then the APIC accepts no more. */
static void drain_one(void)
{
    host_apic_eoi();
    if (++drained > DRAIN_MAXIMUM)
        host_apic_write(APIC_REGISTER_SVR, SVR_RESET);
}

void host_interrupt(uint8_t vector)
{
    struct arch_lp *arch = arch_lp(lp_current());

    if (arch->draining) {
        drain_one();
        return;
    }
    arch->interrupts[vector / 64] |= 1ull << vector % 64;
    arch->has_interrupts = true;
}

/* Takes what is requested and in service, with everything masked at its source. */
static void drain(void)
{
    struct arch_lp *arch = arch_lp(lp_current());

    drained = 0;
    memset(arch->interrupts, 0, sizeof arch->interrupts);
    arch->has_interrupts = false;
    arch->draining = true;
    for (unsigned i = 0; i < 256; i++)
        host_apic_eoi();
    host_apic_write(APIC_REGISTER_TPR, 0);
    vendor->host_window(true);
    arch->draining = false;
    kick_account(); /* NMIs came through the window, too */
}

void host_apic_init(void)
{
    static const uint16_t lvt[] = {APIC_REGISTER_LVT_TIMER, APIC_REGISTER_LVT_THERMAL, APIC_REGISTER_LVT_PERFORMANCE,
                                   APIC_REGISTER_LVT_LINT0, APIC_REGISTER_LVT_LINT1,   APIC_REGISTER_LVT_ERROR};

    for (unsigned i = 0; i < sizeof lvt / sizeof lvt[0]; i++)
        host_apic_write(lvt[i], LVT_MASKED);
    host_apic_write(APIC_REGISTER_INITIAL_COUNT, 0);
    drain();
    host_apic_write(APIC_REGISTER_DIVIDE, 0);
    if (!host_apic_is_x2apic()) {
        host_apic_write(APIC_REGISTER_LDR, 0);
        host_apic_write(APIC_REGISTER_DFR, DFR_RESET);
    }
    host_apic_write(APIC_REGISTER_SVR, SVR_RESET);
    host_apic_write(APIC_REGISTER_ESR, 0);
}

static bool loses_requests;

void host_apic_initialize(void)
{
    loses_requests = running_on_tcg();
}

bool host_apic_loses_requests(void)
{
    return loses_requests;
}

void host_apic_recheck(void)
{
    if (loses_requests)
        host_apic_write(APIC_REGISTER_TPR, host_apic_read(APIC_REGISTER_TPR));
}

bool host_apic_counter_overflowed(void)
{
    uint32_t entry = host_apic_read(APIC_REGISTER_LVT_PERFORMANCE);

    return (entry & (LVT_MASKED | 0x700)) == (LVT_MASKED | LVT_NMI);
}
