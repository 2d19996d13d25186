/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a multiboot2 boot loader tells (Multiboot2 Specification version 2.0, 3.6). */
#ifndef BOOT_MULTIBOOT_INFORMATION_H
#define BOOT_MULTIBOOT_INFORMATION_H

#include "arch/x86_64/boot/multiboot/memory_map.h"

#define MULTIBOOT2_LOADER_MAGIC 0x36D76289u
#define MULTIBOOT2_SIZE_MAXIMUM (1u << 20) /* beyond all reason */
#define MULTIBOOT2_MODULES      2u         /* most that are read: a kernel and an initrd */

/* Strings and tables lie in the boot loader's information itself. */
struct multiboot2_information {
    const char *command_line; /* "" if there is none */
    unsigned module_count;    /* of all */
    struct multiboot2_module {
        uint32_t begin, end; /* begin <= end */
        const char *command_line;
    } modules[MULTIBOOT2_MODULES];
    const uint8_t *memory; /* NULL: none */
    uint32_t memory_entries, memory_entry_size;
    bool has_sizes;
    uint32_t lower_kib, upper_kib; /* from 0 and from 1 MiB on */
    const void *acpi_root;         /* a copy; NULL: none */
    bool has_uefi;
    struct multiboot2_screen {
        bool graphics; /* else text: columns and lines */
        uint64_t address;
        uint32_t pitch, width, height;
        uint8_t depth;
        uint8_t colours[6]; /* position and size of red, green and blue */
    } screen;
};

/*
 * Reads the information, of which `size` bytes can be read. NULL, or what is wrong with it, a text without
 * newline; then nothing of *information is to be used.
 */
const char *multiboot2_read(const uint8_t *bytes, uint64_t size, struct multiboot2_information *information);

/*
 * The memory map, or a poor one from the two sizes: then *poor is set. What is not RAM wins over what is.
 * NULL, or why there is none.
 */
const char *multiboot2_memory(const struct multiboot2_information *information, struct memory_map *map,
                              bool *poor);

#endif
