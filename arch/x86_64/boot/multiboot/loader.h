/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The multiboot loader: what its files share. Everything here runs on the boot processor, interrupts off. */
#ifndef BOOT_MULTIBOOT_LOADER_H
#define BOOT_MULTIBOOT_LOADER_H

#include "arch/x86_64/boot/multiboot/information.h"

#define FOUR_GIB (1ull << 32) /* what is mapped, at its own address */

/*
 * The machine's memory, as firmware.c knows it: `map` is what Linux is told, `free` the same without what
 * lies in the RAM now. Memory that is allocated is reserved in both.
 */
struct machine_memory {
    struct memory_map map, free;
};
extern struct machine_memory machine_memory;

/* A copy that the boot loader made of the ACPI root pointer, or NULL. */
void firmware_set_acpi_root(const void *root);

/* Address of the ACPI root pointer in the BIOS's memory; 0: it is not there. */
uint64_t firmware_find_acpi_root(void);

/* entry.asm. Both enter the kernel; the addresses are below 4 GiB. */
void enter_linux64(uint64_t entry, const void *boot_params) __attribute__((noreturn));
void enter_linux32(uint64_t entry, const void *boot_params) __attribute__((noreturn));

/* The image of the loader itself, in memory. */
extern const uint8_t loader_begin[], loader_end[];

void multiboot_main(uint32_t magic, const uint8_t *information) __attribute__((noreturn));

#endif
