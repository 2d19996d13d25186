/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ACPI tables of a generation 1 machine (ACPI 2.0; tables that an ACPI 1.0 system reads too): RSDP, RSDT,
 * XSDT, FADT, FACS, MADT, HPET and the DSDT of dsdt.asl. They are built at a fixed address, or as files from which firmware
 * builds them where it has room.
 */
#ifndef WORKER_DEVICES_ACPI_TABLES_H
#define WORKER_DEVICES_ACPI_TABLES_H

#include <stdbool.h>
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

/* fw_cfg files by which firmware places the tables itself. */
#define ACPI_TABLES_FILE        "etc/acpi/tables"
#define ACPI_TABLES_RSDP_FILE   "etc/acpi/rsdp"
#define ACPI_TABLES_LOADER_FILE "etc/table-loader"

#define ACPI_TABLES_RSDP_LENGTH      36
#define ACPI_TABLES_COMMAND_SIZE     128
#define ACPI_TABLES_MAXIMUM_COMMANDS 24

/* Their content. */
struct acpi_table_files {
    size_t tables_length;
    size_t loader_length;
    uint8_t tables[ACPI_TABLES_MAXIMUM_LENGTH];
    uint8_t rsdp[ACPI_TABLES_RSDP_LENGTH];
    uint8_t loader[ACPI_TABLES_MAXIMUM_COMMANDS * ACPI_TABLES_COMMAND_SIZE];
};

/*
 * The same tables, but wherever firmware puts them, and with a VGA, which a machine with firmware always has. False
 * if `processors` is not 1 to ACPI_TABLES_MAXIMUM_PROCESSORS.
 */
bool acpi_tables_build_files(struct acpi_table_files *files, unsigned processors);

#endif
