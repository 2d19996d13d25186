/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ACPI tables of a generation 1 machine (ACPI 2.0; tables that an ACPI 1.0 system reads too): RSDP, RSDT,
 * XSDT, FADT, FACS, MADT and the DSDT of dsdt.asl.
 */
#ifndef WORKER_DEVICES_ACPI_TABLES_H
#define WORKER_DEVICES_ACPI_TABLES_H

#include <stddef.h>
#include <stdint.h>

/* APIC ids 0 to 254; 255 is the broadcast. */
#define ACPI_TABLES_MAXIMUM_PROCESSORS 255
/* Enough for any machine. */
#define ACPI_TABLES_MAXIMUM_LENGTH 0x3000

/*
 * Writes the tables as they are to lie at `gpa` (a multiple of 64, below 4 GiB; for systems that search for
 * the RSDP, in E0000h-FFFFFh), beginning with the RSDP. VP i has APIC id i. Returns the length, or 0 if
 * `size` does not suffice or `processors` is not 1 to ACPI_TABLES_MAXIMUM_PROCESSORS. The guest writes to the
 * FACS: report the range as ACPI NVS memory.
 */
size_t acpi_tables_build(uint8_t *buffer, size_t size, uint32_t gpa, unsigned processors);

#endif
