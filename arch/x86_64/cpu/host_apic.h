/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hardware's local APIC of the current processor, in whichever mode the parent has put it. It is the parent's:
 * Loam sends through it and puts it into INIT state, no more.
 */
#ifndef ARCH_CPU_HOST_APIC_H
#define ARCH_CPU_HOST_APIC_H

#include "hv/types.h"

/* The interrupt command register as one 64-bit value: destination in bits 63:32 (x2APIC form). */
#define ICR_VECTOR            0xFFull
#define ICR_MODE_SHIFT        8
#define ICR_MODE_MASK         7u
#define ICR_LOGICAL           (1ull << 11)
#define ICR_PENDING           (1ull << 12)
#define ICR_ASSERT            (1ull << 14)
#define ICR_LEVEL             (1ull << 15)
#define ICR_SHORTHAND_SHIFT   18
#define ICR_DESTINATION_SHIFT 32
enum icr_mode { ICR_FIXED = 0, ICR_NMI = 4, ICR_INIT = 5, ICR_SIPI = 6 };
enum icr_shorthand { ICR_TO_DESTINATION, ICR_TO_SELF, ICR_TO_ALL, ICR_TO_OTHERS };

bool host_apic_is_x2apic(void);
uint32_t host_apic_id(void);
uint32_t host_apic_read(uint32_t offset);
void host_apic_write(uint32_t offset, uint32_t value);
void host_apic_eoi(void);

/*
 * Sends; waits until an earlier command has left. In xAPIC mode the upper half of the parent's ICR, which it may have
 * written a moment ago, is put back.
 */
void host_apic_send(uint64_t icr);

/* The registers of this processor's APIC as INIT leaves them; requests that it holds are taken and dropped. */
void host_apic_init(void);
/*
 * An interrupt came in host mode (vectors.asm): one of those, or on an emulator that lets them through although IF = 0
 * (docs/emulators.md). The processor has acknowledged it in the parent's stead, who gets it injected.
 */
void host_interrupt(uint8_t vector);

/*
 * QEMU's emulator changes the word that says "an interrupt is pending" at every #VMEXIT without a lock, so that one
 * which another thread raises in that moment is lost, be it an interrupt or an NMI. See docs/emulators.md.
 */
bool host_apic_loses_requests(void);
/*
 * Where requests are lost, a processor sleeps on with an interrupt in its APIC; writing the task priority makes the
 * emulated APIC look again. Does nothing on any other machine.
 */
void host_apic_recheck(void);
/* Finds out whether this is QEMU's emulator; once, at boot. */
void host_apic_initialize(void);

/* A performance counter's NMI has masked its LVT entry: it was no kick. */
bool host_apic_counter_overflowed(void);

#endif
