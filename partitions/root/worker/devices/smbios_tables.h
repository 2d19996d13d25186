/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a generation 1 machine says of itself by SMBIOS (DMTF DSP0134, version 2.8): system, board, chassis, a socket
 * for each processor, memory. As files for firmware, which adds the structure of its own (type 0) and places them.
 */
#ifndef WORKER_DEVICES_SMBIOS_TABLES_H
#define WORKER_DEVICES_SMBIOS_TABLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SMBIOS_ANCHOR_FILE "etc/smbios/smbios-anchor"
#define SMBIOS_TABLES_FILE "etc/smbios/smbios-tables"

#define SMBIOS_ANCHOR_LENGTH      31
#define SMBIOS_MAXIMUM_PROCESSORS 255
#define SMBIOS_MAXIMUM_MEMORY     (1ull << 40)
#define SMBIOS_MAXIMUM_LENGTH     0x8000

struct smbios_configuration {
    unsigned processors;      /* 1 to SMBIOS_MAXIMUM_PROCESSORS */
    uint64_t memory_below_4g; /* bytes, multiples of 1 MiB; from 0 and from 4 GiB on; in all 1 MiB to the maximum */
    uint64_t memory_above_4g;
    uint8_t uuid[16];   /* in the order in which it is written; all zeros: none */
    const char *serial; /* what a string may hold: printable characters; NULL or empty: none */
};

struct smbios_tables {
    uint8_t anchor[SMBIOS_ANCHOR_LENGTH]; /* entry point; firmware sets the tables' address and the checksums */
    uint8_t tables[SMBIOS_MAXIMUM_LENGTH];
    size_t length; /* of the tables */
};

/* False if something is outside the limits above. */
bool smbios_tables_build(struct smbios_tables *tables, const struct smbios_configuration *configuration);

#endif
