/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Compares a function's whole configuration space with a table. */
#ifndef TESTS_UNIT_CONFIG_SPACE_H
#define TESTS_UNIT_CONFIG_SPACE_H

#include <stdint.h>
#include "partitions/root/worker/devices/pci.h"

/* Consecutive bytes: what each holds at power-on, and the bits that a guest's write changes. */
struct config_bytes {
    uint8_t offset;
    uint8_t count;
    uint32_t value; /* little-endian, of up to four bytes */
    uint32_t writable;
};

/* Fails unless the function (at power-on) is exactly this; bytes in no row are zero and fixed. */
void check_config_space(struct pci_bus *pci, unsigned slot, unsigned function,
                        const struct config_bytes *rows, unsigned count);

#endif
