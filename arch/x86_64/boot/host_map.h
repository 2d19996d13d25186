/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hypervisor's own page tables, built once by the loader and never changed. */
#ifndef BOOT_HOST_MAP_H
#define BOOT_HOST_MAP_H

#include "arch/x86_64/boot/boot_information.h"

/* Most pages that host_map_build takes for tables. */
uint64_t host_map_needed(const struct memory_range *mapped, unsigned count, unsigned processors, bool has_1g_pages);

/*
 * Builds all tables in the region behind information->free (identity-mapped here) and sets root_table: the image, each
 * section with its own permissions; all memory; the stacks; the low page; the local APIC's page. Returns the root of a
 * five-level form of the same tables.
 */
uint64_t host_map_build(struct boot_information *information, uint64_t apic_page, bool has_1g_pages);

#endif
