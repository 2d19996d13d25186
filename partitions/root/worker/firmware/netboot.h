/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The option ROM of netboot.asm: a bootable device of its own, which starts the kernel image in the fw_cfg file
 * NETBOOT_IMAGE_FILE.
 */
#ifndef WORKER_FIRMWARE_NETBOOT_H
#define WORKER_FIRMWARE_NETBOOT_H

#include <stddef.h>
#include <stdint.h>

#define NETBOOT_ROM_FILE   "genroms/netboot.rom"
#define NETBOOT_IMAGE_FILE "opt/loam/netboot"

extern const uint8_t netboot_rom[];
extern const size_t netboot_rom_length;

#endif
