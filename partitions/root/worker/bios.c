/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/bios.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define BOOT_MENU_WAIT 30000u /* milliseconds, in which somebody finds the screen */

static bool network_is_booted(const struct configuration *configuration)
{
    for (unsigned i = 0; i < configuration->boot_count; i++)
        if (configuration->boot[i] == CONFIGURATION_BOOT_NETWORK)
            return configuration->nic_count > 0;
    return false;
}

bool bios_load(struct bios *bios, const struct configuration *configuration, struct guest_ram *ram,
               char error[FIRMWARE_ERROR_SIZE])
{
    const struct {
        const char *path;
        bool wanted;
    } files[FIRMWARE_FILES] = {
        [FIRMWARE_BIOS] = {configuration->firmware,          true                            },
        [FIRMWARE_VGA] = {configuration->graphics_firmware, configuration->graphics         },
        [FIRMWARE_NETWORK] = {configuration->network_firmware,  network_is_booted(configuration)},
    };

    for (unsigned i = 0; i < FIRMWARE_FILES; i++)
        if (files[i].wanted && !firmware_load(&bios->images[i], i, files[i].path, error))
            return false;
    if (guest_ram_set_rom(ram, bios->images[FIRMWARE_BIOS].data, bios->images[FIRMWARE_BIOS].length))
        return true;
    snprintf(error, FIRMWARE_ERROR_SIZE, "no memory for the firmware: %s", strerror(errno));
    return false;
}

static void add_boot_device(struct firmware_configuration *told, enum firmware_boot_kind kind, unsigned place)
{
    told->boot_order[told->boot_devices++] = (struct firmware_boot_device){
        .kind = kind,
        .channel = kind == FIRMWARE_BOOT_IDE ? place / FIRMWARE_IDE_DRIVES : 0,
        .drive = kind == FIRMWARE_BOOT_IDE ? place % FIRMWARE_IDE_DRIVES : place,
    };
}

/* All drives of a kind, in the order of their places. */
static void add_drives(struct firmware_configuration *told, const struct storage *storage, enum storage_kind kind)
{
    for (unsigned i = 0; i < STORAGE_DRIVES; i++) {
        if (storage->drives[i].kind != kind)
            continue;
        if (kind == STORAGE_FLOPPY)
            add_boot_device(told, FIRMWARE_BOOT_FLOPPY, i - STORAGE_FLOPPY_A);
        else
            add_boot_device(told, FIRMWARE_BOOT_IDE, i);
    }
}

static void set_boot_order(struct bios *bios, const struct configuration *configuration, const struct storage *storage)
{
    static const enum storage_kind kinds[] = {
        [CONFIGURATION_BOOT_FLOPPY] = STORAGE_FLOPPY,
        [CONFIGURATION_BOOT_DVD] = STORAGE_DVD,
        [CONFIGURATION_BOOT_DISK] = STORAGE_DISK,
    };

    for (unsigned i = 0; i < configuration->boot_count; i++)
        if (configuration->boot[i] != CONFIGURATION_BOOT_NETWORK)
            add_drives(&bios->told, storage, kinds[configuration->boot[i]]);
        else if (bios->images[FIRMWARE_NETWORK].length)
            add_boot_device(&bios->told, FIRMWARE_BOOT_NETWORK, 0);
}

bool bios_create(struct bios *bios, const struct configuration *configuration, struct bus *bus,
                 const struct guest_ram *ram, const struct storage *storage, char error[FIRMWARE_ERROR_SIZE])
{
    struct firmware_configuration *told = &bios->told;
    struct mc146818_start drives = {0};

    *told = (struct firmware_configuration){
        .processors = configuration->processors,
        .memory_below_4g = ram->below_4g,
        .memory_above_4g = ram->above_4g,
        .serial = configuration->name,
        .boot_menu = configuration->boot_menu,
        .boot_menu_wait = BOOT_MENU_WAIT,
        .serial_console = !configuration->graphics,
        .vga = bios->images[FIRMWARE_VGA],
        .network = bios->images[FIRMWARE_NETWORK],
    };
    memcpy(told->uuid, configuration->uuid, sizeof told->uuid);
    set_boot_order(bios, configuration, storage);
    storage_describe(storage, &drives);
    memcpy(told->floppies, drives.floppies, sizeof told->floppies);
    memcpy(told->disks, drives.disks, sizeof told->disks);
    if (fw_cfg_initialize(&bios->fw_cfg, bus, &ram->memory))
        return firmware_configure(&bios->firmware, &bios->fw_cfg, told, error);
    snprintf(error, FIRMWARE_ERROR_SIZE, "the bus has no place for the firmware's configuration");
    return false;
}

void bios_start(struct bios *bios, struct platform *platform)
{
    fw_cfg_reset(&bios->fw_cfg);
    firmware_set_cmos(&platform->rtc, &bios->told);
}

void bios_free(struct bios *bios)
{
    for (unsigned i = 0; i < FIRMWARE_FILES; i++)
        firmware_unload(&bios->images[i]);
}
