/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU's firmware configuration device (QEMU's docs/specs/fw_cfg): ports 510h (selector) and 511h (data), and DMA by
 * the register at 514h-51Bh. Firmware selects an item by its key and reads it from the beginning on; beyond the end
 * it reads zeros. Items that have a name are listed in the file directory, by name. Nothing can be written.
 *
 * The data of items stays the caller's and must not change or move as long as the machine exists.
 */
#ifndef WORKER_DEVICES_FW_CFG_H
#define WORKER_DEVICES_FW_CFG_H

#include <stdbool.h>
#include <stdint.h>
#include "partitions/root/worker/bus.h"
#include "partitions/root/worker/guest_memory.h"

#define FW_CFG_NAME_SIZE     56 /* of a file, with the zero behind it */
#define FW_CFG_MAXIMUM_ITEMS 16
#define FW_CFG_MAXIMUM_FILES 48
/* Zeros that one DMA command may ask for beyond the end of an item; more is an error. */
#define FW_CFG_MAXIMUM_ZEROS 0x100000u

/* Keys that have a meaning of their own. */
#define FW_CFG_SIGNATURE     0x0000
#define FW_CFG_ID            0x0001
#define FW_CFG_UUID          0x0002
#define FW_CFG_RAM_SIZE      0x0003
#define FW_CFG_NO_GRAPHIC    0x0004
#define FW_CFG_CPU_COUNT     0x0005
#define FW_CFG_BOOT_MENU     0x000e
#define FW_CFG_MAXIMUM_CPUS  0x000f
#define FW_CFG_DIRECTORY     0x0019
#define FW_CFG_FIRST_FILE    0x0020
#define FW_CFG_IRQ0_OVERRIDE 0x8002

struct fw_cfg_item {
    uint16_t key;
    uint32_t length;
    const void *data;
};

/* An entry of the file directory; big-endian. */
struct fw_cfg_directory_entry {
    uint32_t size;
    uint16_t key;
    uint16_t reserved;
    char name[FW_CFG_NAME_SIZE];
};

struct fw_cfg_directory {
    uint32_t count; /* big-endian */
    struct fw_cfg_directory_entry entries[FW_CFG_MAXIMUM_FILES];
};

struct fw_cfg {
    const struct guest_memory *memory;
    struct fw_cfg_item items[FW_CFG_MAXIMUM_ITEMS];
    unsigned item_count;
    struct fw_cfg_item files[FW_CFG_MAXIMUM_FILES]; /* by name: file i has key FW_CFG_FIRST_FILE + i */
    unsigned file_count;
    struct fw_cfg_directory directory;

    uint16_t key;      /* selected */
    uint32_t offset;   /* in it; never beyond the end */
    uint32_t dma_high; /* upper half of the address of the next DMA command */
};

/* Claims the ports and adds the signature, the ID and the directory; false if a port is taken. */
bool fw_cfg_initialize(struct fw_cfg *fw_cfg, struct bus *bus, const struct guest_memory *memory);

/* As at power-on: nothing read yet. */
void fw_cfg_reset(struct fw_cfg *fw_cfg);

/*
 * Adds an item that has a key (below FW_CFG_FIRST_FILE, or 8000h and more) or a file. False if there is one of that
 * key or name, the name is empty or too long, or the table is full. To be done before the guest runs, since a new
 * file changes the keys of others.
 */
bool fw_cfg_add_item(struct fw_cfg *fw_cfg, uint16_t key, const void *data, uint32_t length);
bool fw_cfg_add_file(struct fw_cfg *fw_cfg, const char *name, const void *data, uint32_t length);

#endif
