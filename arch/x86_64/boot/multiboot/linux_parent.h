/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A Linux kernel as the parent's first program: where it goes, and what it is told. */
#ifndef BOOT_MULTIBOOT_LINUX_PARENT_H
#define BOOT_MULTIBOOT_LINUX_PARENT_H

#include "arch/x86_64/boot/linux_image.h"
#include "arch/x86_64/boot/multiboot/information.h"

struct linux_placement {
    uint64_t kernel;
    uint64_t initrd; /* where it is already, if it can stay */
};

/*
 * Finds places for the kernel and for an initrd (of 0 bytes: none) that lies at `initrd` now, and takes them
 * out of *free: RAM that is free, where nothing that still matters lies. NULL, or what is wrong: a format for
 * the two numbers
 * (%llu).
 */
const char *linux_parent_place(const struct linux_image *image, uint64_t initrd, uint64_t initrd_size,
                               struct memory_map *free, struct linux_placement *placement,
                               unsigned long long numbers[2]);

/* Adds the memory map and the screen, with the cursor in `line`, to boot_params. */
void linux_parent_describe(uint8_t params[LINUX_BOOT_PARAMS_SIZE], const struct memory_map *memory,
                           const struct multiboot2_screen *screen, unsigned line);

#endif
