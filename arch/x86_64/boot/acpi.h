/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The little that the loaders need of the firmware's ACPI tables (ACPI 6.4, 5.2). */
#ifndef BOOT_ACPI_H
#define BOOT_ACPI_H

#include "arch/x86_64/boot/boot_information.h"

/* Local APIC ids of all processors that are there or may be added; 0 if no table tells of any. */
unsigned acpi_processors(uint32_t apic_ids[LOAM_MAXIMUM_PROCESSORS]);

/* The I/O port that resets the machine, and what to write there; port 0: none. */
void acpi_reset_register(uint16_t *port, uint8_t *value);

#endif
