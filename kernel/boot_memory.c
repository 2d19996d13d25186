/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "kernel/arch.h"
#include "kernel/boot_memory.h"
#include "kernel/log.h"

/* Only the boot processor allocates, before the others are started. */
static uint64_t next_spa;
static uint64_t pages_left;
static uint64_t pages_used;

void boot_memory_initialize(uint64_t spa, uint64_t pages)
{
    next_spa = spa;
    pages_left = pages;
    pages_used = 0;
}

uint64_t boot_allocate(unsigned pages)
{
    uint64_t spa = next_spa;

    ASSERT(pages <= pages_left);
    memset(physical_pointer(spa), 0, (size_t)pages * HV_PAGE_SIZE);
    next_spa += (uint64_t)pages * HV_PAGE_SIZE;
    pages_left -= pages;
    pages_used += pages;
    return spa;
}

uint64_t boot_memory_used(void)
{
    return pages_used;
}

uint64_t boot_memory_seal(void)
{
    pages_left = 0;
    return pages_used;
}
