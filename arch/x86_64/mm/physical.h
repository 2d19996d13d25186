/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hypervisor's own addresses. */
#ifndef ARCH_MM_PHYSICAL_H
#define ARCH_MM_PHYSICAL_H

#include "hv/types.h"

struct boot_information;

/* Where the image and memory lie; once, first of all. */
void physical_initialize(const struct boot_information *information);

/*
 * The direct map reaches this page. To be asked before physical_pointer() is used for an address that the parent chose:
 * it may name registers, or nothing. What a child's nested table leads to is RAM always.
 */
bool physical_is_memory(uint64_t spa);

/* SPA of something in the image (code, data). */
uint64_t physical_of_image(const void *pointer);

#endif
