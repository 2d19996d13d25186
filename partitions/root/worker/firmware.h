/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What firmware, Debian's SeaBIOS, is told about the machine that it starts: through fw_cfg and CMOS memory. */
#ifndef WORKER_FIRMWARE_H
#define WORKER_FIRMWARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "partitions/root/worker/firmware_image.h"
#include "partitions/root/worker/devices/acpi_tables.h"
#include "partitions/root/worker/devices/fw_cfg.h"
#include "partitions/root/worker/devices/mc146818.h"
#include "partitions/root/worker/devices/smbios_tables.h"

enum firmware_boot_kind { FIRMWARE_BOOT_FLOPPY, FIRMWARE_BOOT_IDE, FIRMWARE_BOOT_NETWORK };

#define FIRMWARE_FLOPPY_DRIVES 2
#define FIRMWARE_IDE_CHANNELS  2
#define FIRMWARE_IDE_DRIVES    2 /* a channel */

struct firmware_boot_device {
    enum firmware_boot_kind kind;
    unsigned channel; /* IDE */
    unsigned drive;   /* IDE: 0 = master; floppy: 0 = A */
};

/* Every device once. */
#define FIRMWARE_BOOT_DEVICES (FIRMWARE_FLOPPY_DRIVES + FIRMWARE_IDE_CHANNELS * FIRMWARE_IDE_DRIVES + 1)

struct firmware_configuration {
    unsigned processors;
    uint64_t memory_below_4g; /* bytes */
    uint64_t memory_above_4g;
    uint8_t uuid[16]; /* in the order in which it is written */
    const char *serial;

    /* First to last; devices that are not named come after all others. */
    struct firmware_boot_device boot_order[FIRMWARE_BOOT_DEVICES];
    unsigned boot_devices;
    bool boot_menu;          /* offer it, and wait for the key */
    unsigned boot_menu_wait; /* milliseconds */
    bool serial_console;     /* the firmware speaks on COM1, for a machine without a screen */

    enum mc146818_floppy floppies[FIRMWARE_FLOPPY_DRIVES];
    uint64_t disks[FIRMWARE_IDE_CHANNELS * FIRMWARE_IDE_DRIVES]; /* sectors of the hard disk there, or 0 */

    struct firmware_image vga;     /* length 0: no VGA */
    struct firmware_image network; /* length 0: the network cannot be booted from */
};

#define FIRMWARE_BOOT_ORDER_SIZE 512

/* Of the e820 file; packed. */
struct firmware_memory_range {
    uint64_t address;
    uint64_t length;
    uint32_t type;
} __attribute__((packed));

/* What firmware reads: lives as long as the fw_cfg. */
struct firmware {
    struct acpi_table_files acpi;
    struct smbios_tables smbios;
    struct firmware_memory_range ranges[2];
    char boot_order[FIRMWARE_BOOT_ORDER_SIZE];
    uint8_t uuid[16];
    uint64_t memory_size; /* below 4 GiB */
    uint32_t boot_menu_wait;
    uint32_t boot_fail_wait;
    uint16_t console_port;
    uint16_t processors;
    uint16_t boot_menu;
    uint8_t irq0_override;
};

/*
 * Tells `fw_cfg` all that firmware wants to know. The images' bytes stay the caller's and are to live as long. False:
 * `error` says what cannot be had.
 */
bool firmware_configure(struct firmware *firmware, struct fw_cfg *fw_cfg,
                        const struct firmware_configuration *configuration, char error[FIRMWARE_ERROR_SIZE]);

/* The same for CMOS memory, at power-on and at each reset: a guest may have written to it. */
void firmware_set_cmos(struct mc146818 *rtc, const struct firmware_configuration *configuration);

#endif
