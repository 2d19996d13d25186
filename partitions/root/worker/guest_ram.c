/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/guest_ram.h"

#include <errno.h>
#include <sys/mman.h>

#include "partitions/root/worker/devices/platform.h"

/* Reserves address space so that a 2 MiB boundary of the guest is one of ours, and gives back what is too
 * much. */
static uint8_t *map_aligned(uint64_t size)
{
    size_t length = size + HV_LARGE_PAGE_SIZE;
    uint8_t *reserved = mmap(NULL, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    uintptr_t begin, aligned;

    if (reserved == MAP_FAILED)
        return NULL;
    begin = (uintptr_t)reserved;
    aligned = (begin + HV_LARGE_PAGE_SIZE - 1) & ~(uintptr_t)(HV_LARGE_PAGE_SIZE - 1);
    if (aligned != begin)
        munmap(reserved, aligned - begin);
    if (aligned + size != begin + length)
        munmap((void *)(aligned + size), begin + length - (aligned + size));
    return (uint8_t *)aligned;
}

bool guest_ram_allocate(struct guest_ram *ram, uint64_t size)
{
    *ram = (struct guest_ram){.size = size};
    ram->below_4g = size < PLATFORM_PCI_WINDOW ? size : PLATFORM_PCI_WINDOW;
    ram->above_4g = size - ram->below_4g;
    ram->host = map_aligned(size);
    if (!ram->host)
        return false;
    if (mprotect(ram->host, size, PROT_READ | PROT_WRITE) != 0) {
        munmap(ram->host, size);
        return false;
    }
    /* Advice: without it the guest is only slower, and in a core dump its memory is nobody's business. */
    madvise(ram->host, size, MADV_HUGEPAGE);
    madvise(ram->host, size, MADV_DONTDUMP);
    guest_memory_add(&ram->memory, 0, GUEST_RAM_VGA_HOLE, ram->host);
    guest_memory_add(&ram->memory, GUEST_RAM_SHADOW, ram->below_4g - GUEST_RAM_SHADOW,
                     ram->host + GUEST_RAM_SHADOW);
    if (ram->above_4g)
        guest_memory_add(&ram->memory, GUEST_RAM_ABOVE_4G, ram->above_4g, ram->host + ram->below_4g);
    return true;
}

void guest_ram_free(struct guest_ram *ram)
{
    if (ram->host)
        munmap(ram->host, ram->size);
    *ram = (struct guest_ram){0};
}

static int set_memory(const struct guest_ram *ram, uint64_t gpa, uint64_t size, uint8_t flags)
{
    uint64_t offset = gpa >= GUEST_RAM_ABOVE_4G ? gpa - GUEST_RAM_ABOVE_4G + ram->below_4g : gpa;
    struct mshv_user_mem_region region = {
        .size = size,
        .guest_pfn = gpa >> HV_PAGE_SHIFT,
        .userspace_addr = (uintptr_t)(ram->host + offset),
        .flags = flags,
    };

    return ram->hypervisor->operations->set_memory(ram->hypervisor, &region);
}

int guest_ram_map(struct guest_ram *ram, struct hypervisor *hypervisor)
{
    const uint8_t flags = MSHV_SET_MEM_WRITABLE | MSHV_SET_MEM_EXECUTABLE;
    int error;

    ram->hypervisor = hypervisor;
    error = set_memory(ram, 0, GUEST_RAM_VGA_HOLE, flags);
    if (!error)
        error = set_memory(ram, GUEST_RAM_HIGH_MEMORY, ram->below_4g - GUEST_RAM_HIGH_MEMORY, flags);
    if (!error && ram->above_4g)
        error = set_memory(ram, GUEST_RAM_ABOVE_4G, ram->above_4g, flags);
    return error;
}

/* The record of the segment at `gpa`; the first change of a segment makes it. */
static struct guest_ram_shadow *find_shadow(struct guest_ram *ram, const struct host_bridge_segment *segment)
{
    for (unsigned i = 0; i < HOST_BRIDGE_SEGMENTS; i++) {
        struct guest_ram_shadow *shadow = &ram->shadow[i];

        if (shadow->length == 0)
            *shadow = (struct guest_ram_shadow){.gpa = segment->gpa, .length = segment->length};
        if (shadow->gpa == segment->gpa)
            return shadow;
    }
    return NULL;
}

int guest_ram_set_shadow(struct guest_ram *ram, const struct host_bridge_segment *segment)
{
    struct guest_ram_shadow *shadow = find_shadow(ram, segment);
    int error = 0;

    if (!shadow)
        return -ENOENT;
    if (shadow->readable)
        error = set_memory(ram, shadow->gpa, shadow->length, MSHV_SET_MEM_UNMAP);
    if (error)
        return error;
    shadow->readable = segment->read_ram;
    shadow->writable = segment->write_ram;
    if (shadow->readable)
        error = set_memory(ram, shadow->gpa, shadow->length,
                           MSHV_SET_MEM_EXECUTABLE | (shadow->writable ? MSHV_SET_MEM_WRITABLE : 0));
    return error;
}

static bool shadow_permits(const struct guest_ram *ram, uint64_t gpa, enum memory_intent intent)
{
    for (unsigned i = 0; i < HOST_BRIDGE_SEGMENTS; i++) {
        const struct guest_ram_shadow *shadow = &ram->shadow[i];

        if (gpa >= shadow->gpa && gpa - shadow->gpa < shadow->length)
            return intent == MEMORY_WRITE ? shadow->writable : shadow->readable;
    }
    return false;
}

uint8_t *guest_ram_page(const struct guest_ram *ram, uint64_t gpa, enum memory_intent intent)
{
    if (gpa >= GUEST_RAM_SHADOW && gpa < GUEST_RAM_HIGH_MEMORY && !shadow_permits(ram, gpa, intent))
        return NULL;
    return guest_memory_range(&ram->memory, gpa, 1);
}
