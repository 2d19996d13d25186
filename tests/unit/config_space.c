/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "tests/unit/config_space.h"

void check_config_space(struct pci_bus *pci, unsigned slot, unsigned function,
                        const struct config_bytes *rows, unsigned count)
{
    uint8_t value[PCI_CONFIG_SIZE] = {0};
    uint8_t writable[PCI_CONFIG_SIZE] = {0};

    for (unsigned i = 0; i < count; i++)
        for (unsigned j = 0; j < rows[i].count; j++) {
            value[rows[i].offset + j] = rows[i].value >> (8 * j) & 0xff;
            writable[rows[i].offset + j] = rows[i].writable >> (8 * j) & 0xff;
        }
    for (unsigned offset = 0; offset < PCI_CONFIG_SIZE; offset++) {
        assert_int_equal(offset << 8 | pci_config_read(pci, slot, function, offset, 1),
                         offset << 8 | value[offset]);
        pci_config_write(pci, slot, function, offset, 1, 0xff);
        assert_int_equal(offset << 8 | pci_config_read(pci, slot, function, offset, 1),
                         offset << 8 | value[offset] | writable[offset]);
        pci_config_write(pci, slot, function, offset, 1, 0);
        assert_int_equal(offset << 8 | pci_config_read(pci, slot, function, offset, 1),
                         offset << 8 | (value[offset] & ~writable[offset]));
    }
}
