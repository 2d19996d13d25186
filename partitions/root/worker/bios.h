/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The firmware of a machine that starts by it: its files, and what it is told of the machine. */
#ifndef WORKER_BIOS_H
#define WORKER_BIOS_H

#include "partitions/root/worker/configuration.h"
#include "partitions/root/worker/firmware.h"
#include "partitions/root/worker/guest_ram.h"
#include "partitions/root/worker/storage.h"
#include "partitions/root/worker/devices/fw_cfg.h"
#include "partitions/root/worker/devices/platform.h"

struct bios {
    struct firmware_image images[FIRMWARE_FILES];
    struct firmware_configuration told;
    struct firmware firmware;
    struct fw_cfg fw_cfg;
};

/*
 * Reads the files that the configuration names, and makes ROM of the BIOS; before guest_ram_map. False: `error` is one
 * line. `bios` must be zeroed; bios_free is called in any case.
 */
bool bios_load(struct bios *bios, const struct configuration *configuration, struct guest_ram *ram,
               char error[FIRMWARE_ERROR_SIZE]);

/* Puts its configuration device on the board, when all drives are there. False: `error` is one line. */
bool bios_create(struct bios *bios, const struct configuration *configuration, struct bus *bus,
                 const struct guest_ram *ram, const struct storage *storage, char error[FIRMWARE_ERROR_SIZE]);

/* Before each start of the machine, when the board has been reset. Under the device lock. */
void bios_start(struct bios *bios, struct platform *platform);

void bios_free(struct bios *bios);

#endif
