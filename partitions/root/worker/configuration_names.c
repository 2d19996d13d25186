/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/configuration.h"

const char *const configuration_boot_names[CONFIGURATION_BOOT_DEVICES] = {
    [CONFIGURATION_BOOT_FLOPPY] = "floppy",
    [CONFIGURATION_BOOT_DVD] = "dvd",
    [CONFIGURATION_BOOT_DISK] = "disk",
    [CONFIGURATION_BOOT_NETWORK] = "network",
};

const enum configuration_boot configuration_boot_default[CONFIGURATION_BOOT_DEVICES] = {
    CONFIGURATION_BOOT_DVD, CONFIGURATION_BOOT_DISK, CONFIGURATION_BOOT_NETWORK, CONFIGURATION_BOOT_FLOPPY};

const char *const configuration_serial_names[CONFIGURATION_SERIAL_KINDS] = {
    [CONFIGURATION_SERIAL_NONE] = "none",     [CONFIGURATION_SERIAL_CONSOLE] = "console",
    [CONFIGURATION_SERIAL_FILE] = "file",     [CONFIGURATION_SERIAL_PIPE] = "pipe",
    [CONFIGURATION_SERIAL_SOCKET] = "socket",
};

bool configuration_drives_fit(unsigned disks, unsigned dvds)
{
    unsigned taken = dvds && disks < CONFIGURATION_DISKS / 2 ? CONFIGURATION_DISKS / 2 : disks;

    return taken + dvds <= CONFIGURATION_DISKS;
}
