/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * INIT and SIPI among the parent's processors. Processors that Loam does not have yet get the INIT, and a
 * SIPI that leads through the low page: until all are there, the parent's commands are intercepted. Where
 * hardware turns INIT and SIPI into exits, that is all. Elsewhere a processor beneath which Loam runs never
 * gets a real one, and commands are intercepted for ever: it is kicked, takes the state that INIT would give
 * it, and waits for the vector.
 */
#ifndef ARCH_CPU_PROCESSOR_START_H
#define ARCH_CPU_PROCESSOR_START_H

#include "hv/types.h"

struct boot_information;
struct lp;

void processor_start_initialize(const struct boot_information *information);

/* One processor more runs the parent: this one, with virtualization on. */
void processor_start_arrived(void);
/* Whether the parent's INIT, SIPI and NMI commands have to be seen. Once false, it stays so. */
bool processor_start_watches(void);

/* The parent on this processor wrote the ICR (x2APIC form of the value). Sends it on, or does what it asks. */
void processor_start_command(uint64_t icr);
/* The parent wrote its LDR or DFR (xAPIC mode): needed to resolve logical destinations. */
void processor_start_logical(uint32_t ldr, uint32_t dfr);

/* Vector of the SIPI that started this processor in the low page. */
uint8_t processor_start_vector(uint32_t apic_id);

/*
 * An INIT for this processor came in (lp->parent_init): waits for the SIPI, and leaves the VP at its vector.
 * The boot processor's resets the machine, whose firmware would begin anew.
 */
void processor_start_serve(void);

#endif
