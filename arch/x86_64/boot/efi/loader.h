/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The EFI loader: what its files share. Everything here runs in the firmware's environment, on the boot processor. */
#ifndef BOOT_EFI_LOADER_H
#define BOOT_EFI_LOADER_H

#include <efi.h>
#include <efilib.h>

#include "arch/x86_64/boot/configuration.h"

/* Prints "Loam: ..." and a newline; Print's formats. */
#define SAY(format, ...) Print(L"Loam: " format L"\n", ##__VA_ARGS__)

/* next_image.c: loads and starts what comes after Loam; returns only if that fails or returns. */
EFI_STATUS next_image_start(EFI_HANDLE self, const struct configuration *configuration);

/* file.c: a whole file of the volume that Loam was started from, in pool memory; NULL if there is none. */
void *file_read(EFI_HANDLE device, const CHAR16 *path, UINTN *size);
BOOLEAN file_exists(EFI_HANDLE device, const CHAR16 *path);

#endif
