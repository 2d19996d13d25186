/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A bzImage and what its kernel wants to be told (Linux: Documentation/arch/x86/boot.rst). For all that start
 * Linux without firmware: the multiboot loader and the worker.
 */
#ifndef BOOT_LINUX_IMAGE_H
#define BOOT_LINUX_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#define LINUX_HEADER_END       0x280u /* as far as anything here reads a file's header */
#define LINUX_BOOT_PARAMS_SIZE 0x1000u
#define LINUX_MEMORY_MAXIMUM   128u
#define LINUX_64_BIT_ENTRY     0x200u /* from the load address */

struct linux_image {
    uint8_t header[LINUX_HEADER_END]; /* zero where the file's header ends earlier */
    uint16_t version;
    bool long_mode;             /* has a 64-bit entry; else 32-bit protected mode without paging */
    bool relocatable;           /* to what is aligned to `alignment`, a power of two */
    uint32_t command_line_size; /* most characters */
    uint32_t alignment;
    uint64_t payload_offset; /* in the file */
    uint64_t payload_size;
    uint64_t preferred;    /* load address; at least 1 MiB */
    uint64_t memory_size;  /* from the load address on, all that it uses before it knows the memory map */
    uint64_t initrd_limit; /* the initrd ends there, or below */
};

/*
 * Understands a file of `file_size` bytes of which the first `length` are given: LINUX_HEADER_END, or the
 * whole of a shorter file. NULL, or what is wrong: a format for the two numbers (%llu, %llx), to be read
 * after the file's name.
 */
const char *linux_image_read(struct linux_image *image, const uint8_t *bytes, uint64_t length,
                             uint64_t file_size, unsigned long long numbers[2]);

struct linux_parameters {
    uint64_t load_address;
    uint32_t command_line;
    uint32_t initrd; /* size 0: none */
    uint32_t initrd_size;
    uint64_t acpi_root; /* 0: the kernel searches for it */
};

/* Fills boot_params; it tells of no memory and no screen yet. */
void linux_boot_params(uint8_t params[LINUX_BOOT_PARAMS_SIZE], const struct linux_image *image,
                       const struct linux_parameters *parameters);

/* Adds a region to the memory map; at most LINUX_MEMORY_MAXIMUM. Empty ones are left out. Types as of E820. */
void linux_boot_params_add_memory(uint8_t params[LINUX_BOOT_PARAMS_SIZE], uint64_t begin, uint64_t end,
                                  uint32_t type);

#endif
