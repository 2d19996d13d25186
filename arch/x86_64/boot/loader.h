/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The EFI loader: what its files share. Everything here runs in the firmware's environment, on the boot processor. */
#ifndef BOOT_LOADER_H
#define BOOT_LOADER_H

#include <efi.h>
#include <efilib.h>

#include "arch/x86_64/boot/boot_information.h"
#include "arch/x86_64/boot/configuration.h"

extern const struct image_header loam_image;
extern const uint8_t loam_image_end[];

/* Prints "Loam: ..." and a newline; Print's formats. */
#define SAY(format, ...) Print(L"Loam: " format L"\n", ##__VA_ARGS__)

/* acpi.c: NULL or 0 when the firmware has no such table. */
unsigned acpi_processors(UINT32 apic_ids[LOAM_MAXIMUM_PROCESSORS]);
void acpi_reset_register(uint16_t *port, uint8_t *value);

/*
 * memory.c: takes memory from the firmware, lays the image and Loam's page tables out in it, and fills *information
 * (which lies in that memory) but for the fields that come from elsewhere. NULL: *problem says why.
 */
struct boot_information *memory_reserve(unsigned processors, const CHAR16 **problem);
/* Gives everything back: the launch did not happen. */
void memory_release(struct boot_information *information);

/* processors.c */
unsigned processors_count(BOOLEAN mp_services);
/* Runs enter_loam on every other processor; returns how many are under Loam now, the caller not counted. */
unsigned processors_launch(struct boot_information *information);

/* launch.asm */
void __attribute__((sysv_abi)) enter_loam(struct launch_context *context, uint64_t low_page_call);

/* next_image.c: loads and starts what comes after Loam; returns only if that fails or returns. */
EFI_STATUS next_image_start(EFI_HANDLE self, const struct configuration *configuration);

/* file.c: a whole file of the volume that Loam was started from, in pool memory; NULL if there is none. */
void *file_read(EFI_HANDLE device, const CHAR16 *path, UINTN *size);
BOOLEAN file_exists(EFI_HANDLE device, const CHAR16 *path);

/* TRUE if a Loam runs beneath already. */
BOOLEAN loam_is_running(void);

#endif
