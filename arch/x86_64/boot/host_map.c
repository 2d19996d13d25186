/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arch/x86_64/boot/host_map.h"

/* AMD64 APM vol. 2, 5.3: long-mode page translation. */
#define PRESENT 0x1ull
#define WRITABLE 0x2ull
#define WRITE_THROUGH 0x8ull
#define CACHE_DISABLE 0x10ull
#define LARGE 0x80ull
#define NO_EXECUTE (1ull << 63)
#define ADDRESS 0x000FFFFFFFFFF000ull

#define SHIFT_4K 12u
#define SHIFT_2M 21u
#define SHIFT_1G 30u
#define SHIFT_512G 39u

static uint64_t allocate_page(struct boot_information *information)
{
    uint64_t page = information->free;
    uint64_t *words = (uint64_t *)page;

    information->free += HV_PAGE_SIZE;
    for (unsigned i = 0; i < HV_PAGE_SIZE / 8; i++)
        words[i] = 0;
    return page;
}

/* Maps one page of 1 << shift bytes. Nothing is there yet, or only tables. */
static void map_page(struct boot_information *information, uint64_t address, uint64_t physical, unsigned shift,
                     uint64_t flags)
{
    uint64_t *table = (uint64_t *)information->root_table;

    for (unsigned level = SHIFT_512G; level > shift; level -= 9) {
        uint64_t *entry = &table[(address >> level) & 511];

        if (!(*entry & PRESENT))
            *entry = allocate_page(information) | PRESENT | WRITABLE;
        table = (uint64_t *)(*entry & ADDRESS);
    }
    table[(address >> shift) & 511] = physical | flags | PRESENT | (shift > SHIFT_4K ? LARGE : 0);
}

/* The largest page that begins at `at`, lies in [at, end) and spares [hole, hole_end), which wants 4 KiB pages. */
static unsigned page_shift(uint64_t at, uint64_t end, bool has_1g_pages, uint64_t hole, uint64_t hole_end)
{
    for (unsigned shift = has_1g_pages ? SHIFT_1G : SHIFT_2M; shift > SHIFT_4K; shift -= 9) {
        uint64_t size = 1ull << shift;

        if ((at & (size - 1)) == 0 && end - at >= size && (at + size <= hole || at >= hole_end))
            return shift;
    }
    return SHIFT_4K;
}

/* All memory, writable and not executable; but the image's constant part is nowhere writable. */
static void map_memory(struct boot_information *information, const struct image_header *image, bool has_1g_pages)
{
    uint64_t constant_end = information->region + image->rodata_end;

    for (unsigned i = 0; i < information->mapped_count; i++) {
        uint64_t at = information->mapped[i].first_pfn << HV_PAGE_SHIFT;
        uint64_t end = at + (information->mapped[i].count << HV_PAGE_SHIFT);

        while (at < end && at < LOAM_DIRECT_MAP_SIZE) {
            unsigned shift = page_shift(at, end, has_1g_pages, information->region, constant_end);
            bool constant = at >= information->region && at < constant_end;

            map_page(information, LOAM_DIRECT_MAP + at, at, shift, NO_EXECUTE | (constant ? 0 : WRITABLE));
            at += 1ull << shift;
        }
    }
}

static void map_image(struct boot_information *information, const struct image_header *image)
{
    for (uint64_t offset = 0; offset < image->image_end; offset += HV_PAGE_SIZE) {
        uint64_t flags = offset < image->text_end     ? 0
                         : offset < image->rodata_end ? NO_EXECUTE
                                                      : NO_EXECUTE | WRITABLE;

        map_page(information, LOAM_IMAGE_BASE + offset, information->region + offset, SHIFT_4K, flags);
    }
}

static void map_stacks(struct boot_information *information)
{
    static const uint64_t pages[LOAM_STACK_PAGES] = {0x1000, 0x2000, 0x4000};

    for (unsigned i = 0; i < information->processors; i++)
        for (unsigned page = 0; page < LOAM_STACK_PAGES; page++)
            map_page(information, LOAM_STACKS + i * LOAM_STACK_STRIDE + pages[page], allocate_page(information),
                     SHIFT_4K, NO_EXECUTE | WRITABLE);
}

uint64_t host_map_needed(const struct memory_range *mapped, unsigned count, unsigned processors, bool has_1g_pages)
{
    /* Roots, image, APIC page, low page; a table a level for the stacks and what they need. */
    uint64_t pages = 2 + 8 + 4 + 4 + 4 + processors / 64 + (uint64_t)processors * LOAM_STACK_PAGES;

    for (unsigned i = 0; i < count; i++) {
        pages += 6 + (mapped[i].count >> (SHIFT_512G - HV_PAGE_SHIFT));
        if (!has_1g_pages)
            pages += mapped[i].count >> (SHIFT_1G - HV_PAGE_SHIFT);
    }
    return pages;
}

uint64_t host_map_build(struct boot_information *information, uint64_t apic_page, bool has_1g_pages)
{
    const struct image_header *image = (const struct image_header *)information->region;
    uint64_t five_levels;
    uint64_t *table;

    information->root_table = allocate_page(information);
    map_memory(information, image, has_1g_pages);
    map_image(information, image);
    map_stacks(information);
    map_page(information, information->low_page, information->low_page, SHIFT_4K, WRITABLE);
    map_page(information, LOAM_APIC_PAGE, apic_page, SHIFT_4K,
             NO_EXECUTE | WRITABLE | CACHE_DISABLE | WRITE_THROUGH);

    five_levels = allocate_page(information);
    table = (uint64_t *)five_levels;
    table[0] = table[511] = information->root_table | PRESENT | WRITABLE;
    return five_levels;
}
