/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Loam's memory, laid out. */
#ifndef BOOT_MEMORY_H
#define BOOT_MEMORY_H

#include "arch/x86_64/boot/boot_information.h"

/*
 * Takes memory from the firmware, lays this image and Loam's page tables out in it, and fills *information
 * (which lies in that memory) but for the fields that come from elsewhere. NULL: *problem says why.
 */
struct boot_information *memory_reserve(const struct image_header *image, unsigned processors, const char **problem);

/* Gives everything back: the launch did not happen. */
void memory_release(const struct boot_information *information);

#endif
