/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/guest_ram.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "partitions/root/worker/devices/platform.h"

#define OCCUPIED_UNIT (GUEST_RAM_ABOVE_4G / (64 * GUEST_RAM_OCCUPIED_WORDS))

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
    pthread_mutex_init(&ram->lock, NULL);
    ram->below_4g = size < PLATFORM_PCI_WINDOW ? size : PLATFORM_PCI_WINDOW;
    ram->above_4g = size - ram->below_4g;
    ram->host = map_aligned(size);
    if (!ram->host)
        return false;
    if (mprotect(ram->host, size, PROT_READ | PROT_WRITE) != 0)
        return false;
    /* Advice: without it the guest is only slower, and in a core dump its memory is nobody's business. */
    madvise(ram->host, size, MADV_HUGEPAGE);
    madvise(ram->host, size, MADV_DONTDUMP);
    guest_memory_add(&ram->memory, 0, GUEST_RAM_VGA_HOLE, ram->host);
    guest_memory_add(&ram->memory, GUEST_RAM_SHADOW, ram->below_4g - GUEST_RAM_SHADOW, ram->host + GUEST_RAM_SHADOW);
    if (ram->above_4g)
        guest_memory_add(&ram->memory, GUEST_RAM_ABOVE_4G, ram->above_4g, ram->host + ram->below_4g);
    return true;
}

void guest_ram_free(struct guest_ram *ram)
{
    if (!ram->size)
        return;
    if (ram->host)
        munmap(ram->host, ram->size);
    if (ram->rom)
        munmap(ram->rom, ram->rom_size);
    pthread_mutex_destroy(&ram->lock);
    *ram = (struct guest_ram){0};
}

bool guest_ram_set_rom(struct guest_ram *ram, const void *image, size_t size)
{
    uint8_t *rom = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (rom == MAP_FAILED)
        return false;
    memcpy(rom, image, size);
    ram->rom = rom;
    ram->rom_size = (uint32_t)size;
    return true;
}

static int set_memory(const struct guest_ram *ram, uint64_t gpa, uint64_t size, uint8_t *host, uint8_t flags)
{
    struct mshv_user_mem_region region = {
        .size = size,
        .guest_pfn = gpa >> HV_PAGE_SHIFT,
        .userspace_addr = (uintptr_t)host,
        .flags = flags,
    };

    return ram->hypervisor->operations->set_memory(ram->hypervisor, &region);
}

/* ---- Windows ---- */

/* A window that has something of [gpa, gpa + length). NULL: there is none. */
static struct guest_ram_window *find_window(struct guest_ram *ram, uint64_t gpa, uint64_t length)
{
    for (unsigned i = 0; i < GUEST_RAM_WINDOWS; i++) {
        struct guest_ram_window *window = &ram->windows[i];

        if (gpa < window->gpa + window->length && window->gpa < gpa + length)
            return window;
    }
    return NULL;
}

static struct guest_ram_window *unused_window(struct guest_ram *ram)
{
    for (unsigned i = 0; i < GUEST_RAM_WINDOWS; i++)
        if (ram->windows[i].length == 0)
            return &ram->windows[i];
    return NULL;
}

/* Under `lock`. */
static void note_occupied(struct guest_ram *ram)
{
    uint64_t occupied[GUEST_RAM_OCCUPIED_WORDS] = {0};

    for (unsigned i = 0; i < GUEST_RAM_WINDOWS; i++) {
        const struct guest_ram_window *window = &ram->windows[i];
        uint64_t end = window->gpa + window->length;

        for (uint64_t gpa = window->gpa & -OCCUPIED_UNIT; window->length > 0 && gpa < end && gpa < GUEST_RAM_ABOVE_4G;
             gpa += OCCUPIED_UNIT)
            occupied[gpa / OCCUPIED_UNIT / 64] |= 1ull << gpa / OCCUPIED_UNIT % 64;
    }
    for (unsigned i = 0; i < GUEST_RAM_OCCUPIED_WORDS; i++)
        __atomic_store_n(&ram->occupied[i], occupied[i], __ATOMIC_RELEASE);
}

static bool is_occupied(const struct guest_ram *ram, uint64_t gpa)
{
    uint64_t unit = gpa / OCCUPIED_UNIT;

    return __atomic_load_n(&ram->occupied[unit / 64], __ATOMIC_ACQUIRE) >> unit % 64 & 1;
}

static void set_window(struct guest_ram *ram, struct guest_ram_window *window, const struct guest_ram_window *value)
{
    pthread_mutex_lock(&ram->lock);
    *window = *value;
    note_occupied(ram);
    pthread_mutex_unlock(&ram->lock);
}

/* A window that cannot be mapped is not there. */
static int show(struct guest_ram *ram, uint64_t gpa, uint64_t length, uint8_t *host, bool writable)
{
    const struct guest_ram_window value = {.gpa = gpa, .length = length, .host = host, .writable = writable};
    struct guest_ram_window *window;
    int error;

    if (find_window(ram, gpa, length))
        return -EEXIST;
    window = unused_window(ram);
    if (!window)
        return -ENOSPC;
    error = set_memory(ram, gpa, length, host, MSHV_SET_MEM_EXECUTABLE | (writable ? MSHV_SET_MEM_WRITABLE : 0));
    if (!error)
        set_window(ram, window, &value);
    return error;
}

static int hide(struct guest_ram *ram, uint64_t gpa)
{
    struct guest_ram_window *window = find_window(ram, gpa, 1);
    int error;

    if (!window)
        return 0;
    error = set_memory(ram, window->gpa, window->length, window->host, MSHV_SET_MEM_UNMAP);
    if (!error)
        set_window(ram, window, &(struct guest_ram_window){0});
    return error;
}

int guest_ram_show(struct guest_ram *ram, uint64_t gpa, uint64_t length, uint8_t *host)
{
    return show(ram, gpa, length, host, true);
}

int guest_ram_hide(struct guest_ram *ram, uint64_t gpa)
{
    return hide(ram, gpa);
}

int guest_ram_set_a20(struct guest_ram *ram, bool enabled)
{
    uint8_t *host = ram->host + (enabled ? GUEST_RAM_HIGH_MEMORY : 0);
    const struct guest_ram_window *window = find_window(ram, GUEST_RAM_HIGH_MEMORY, 1);
    int error = 0;

    if (window && window->host == host)
        return 0;
    if (window)
        error = hide(ram, GUEST_RAM_HIGH_MEMORY);
    if (!error)
        error = show(ram, GUEST_RAM_HIGH_MEMORY, GUEST_RAM_WRAP - GUEST_RAM_HIGH_MEMORY, host, true);
    return error;
}

int guest_ram_map(struct guest_ram *ram, struct hypervisor *hypervisor)
{
    const uint8_t flags = MSHV_SET_MEM_WRITABLE | MSHV_SET_MEM_EXECUTABLE;
    int error;

    ram->hypervisor = hypervisor;
    error = set_memory(ram, 0, GUEST_RAM_VGA_HOLE, ram->host, flags);
    if (!error)
        error = guest_ram_set_a20(ram, true);
    if (!error)
        error = set_memory(ram, GUEST_RAM_WRAP, ram->below_4g - GUEST_RAM_WRAP, ram->host + GUEST_RAM_WRAP, flags);
    if (!error && ram->above_4g)
        error = set_memory(ram, GUEST_RAM_ABOVE_4G, ram->above_4g, ram->host + ram->below_4g, flags);
    if (!error && ram->rom)
        error = show(ram, GUEST_RAM_ABOVE_4G - ram->rom_size, ram->rom_size, ram->rom, false);
    return error;
}

/* ---- The shadow area ---- */

/* What lies behind the shadow RAM at `gpa`; NULL: nothing. */
static uint8_t *rom_behind(const struct guest_ram *ram, uint32_t gpa)
{
    if (!ram->rom || gpa < GUEST_RAM_LOW_ROM)
        return NULL;
    return ram->rom + ram->rom_size - (GUEST_RAM_HIGH_MEMORY - gpa);
}

/* Remembers a segment, where the first change of each makes the record. */
static bool note_shadow(struct guest_ram *ram, const struct host_bridge_segment *segment)
{
    bool noted = false;

    pthread_mutex_lock(&ram->lock);
    for (unsigned i = 0; i < HOST_BRIDGE_SEGMENTS && !noted; i++) {
        noted = ram->shadow[i].length == 0 || ram->shadow[i].gpa == segment->gpa;
        if (noted)
            ram->shadow[i] = *segment;
    }
    pthread_mutex_unlock(&ram->lock);
    return noted;
}

int guest_ram_set_shadow(struct guest_ram *ram, const struct host_bridge_segment *segment)
{
    uint8_t *host = segment->read_ram ? ram->host + segment->gpa : rom_behind(ram, segment->gpa);
    int error = hide(ram, segment->gpa);

    if (error)
        return error;
    if (!note_shadow(ram, segment))
        return -ENOENT;
    return host ? show(ram, segment->gpa, segment->length, host, segment->read_ram && segment->write_ram) : 0;
}

static bool shadow_takes_writes(const struct guest_ram *ram, uint64_t gpa)
{
    for (unsigned i = 0; i < HOST_BRIDGE_SEGMENTS; i++) {
        const struct host_bridge_segment *segment = &ram->shadow[i];

        if (gpa >= segment->gpa && gpa - segment->gpa < segment->length)
            return segment->write_ram;
    }
    return false;
}

/* ---- For the processor ---- */

static uint8_t *page_in_window(struct guest_ram *ram, uint64_t gpa, enum memory_intent intent)
{
    const struct guest_ram_window *window;
    uint8_t *page = NULL;

    pthread_mutex_lock(&ram->lock);
    window = find_window(ram, gpa, 1);
    if (window && (intent != MEMORY_WRITE || window->writable))
        page = window->host + (gpa - window->gpa);
    else if (intent == MEMORY_WRITE && shadow_takes_writes(ram, gpa))
        page = ram->host + gpa;
    pthread_mutex_unlock(&ram->lock);
    return page;
}

uint8_t *guest_ram_page(struct guest_ram *ram, uint64_t gpa, enum memory_intent intent)
{
    if (gpa >= GUEST_RAM_VGA_HOLE && gpa < GUEST_RAM_WRAP)
        return page_in_window(ram, gpa, intent);
    if (gpa >= ram->below_4g && gpa < GUEST_RAM_ABOVE_4G)
        return is_occupied(ram, gpa) ? page_in_window(ram, gpa, intent) : NULL;
    return guest_memory_range(&ram->memory, gpa, 1);
}
