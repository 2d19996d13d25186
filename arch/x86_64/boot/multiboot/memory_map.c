/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arch/x86_64/boot/multiboot/memory_map.h"
#include "arch/x86_64/boot/memory_range.h"

static bool append(struct memory_map *map, uint64_t begin, uint64_t end, uint32_t type)
{
    struct memory_region *last = map->count > 0 ? &map->regions[map->count - 1] : NULL;

    if (begin >= end)
        return true;
    if (last && last->end == begin && last->type == type) {
        last->end = end;
        return true;
    }
    if (map->count == MEMORY_MAP_MAXIMUM)
        return false;
    map->regions[map->count++] = (struct memory_region){begin, end, type};
    return true;
}

bool memory_map_set(struct memory_map *map, uint64_t begin, uint64_t end, uint32_t type)
{
    struct memory_map old = *map;
    bool fits = true, placed = false;

    if (begin >= end)
        return true;
    map->count = 0;
    for (unsigned i = 0; i < old.count; i++) {
        const struct memory_region *region = &old.regions[i];

        fits &= append(map, region->begin, region->end < begin ? region->end : begin, region->type);
        if (!placed && region->end > begin) {
            fits &= append(map, begin, end, type);
            placed = true;
        }
        fits &= append(map, region->begin > end ? region->begin : end, region->end, region->type);
    }
    if (!placed)
        fits &= append(map, begin, end, type);
    if (!fits)
        *map = old;
    return fits;
}

unsigned memory_map_pages(const struct memory_map *map, struct memory_range ranges[LOAM_MAXIMUM_RANGES])
{
    unsigned count = 0;

    _Static_assert(MEMORY_MAP_MAXIMUM <= LOAM_MAXIMUM_RANGES, "all regions have room");
    for (unsigned i = 0; i < map->count; i++) {
        const struct memory_region *region = &map->regions[i];
        uint64_t first = region->begin / HV_PAGE_SIZE + (region->begin % HV_PAGE_SIZE != 0);
        uint64_t end = region->end / HV_PAGE_SIZE;

        if (region->type != MEMORY_RAM && region->type != MEMORY_ACPI && region->type != MEMORY_NVS)
            continue;
        if (first < end)
            ranges[count++] = (struct memory_range){first, end - first};
    }
    return memory_ranges_normalize(ranges, count, LOAM_MAXIMUM_RANGES);
}

/* What of a region of RAM lies in [lowest, limit), its beginning aligned. False: nothing that holds `size`
 * bytes. */
static bool usable(const struct memory_region *region, uint64_t size, uint64_t alignment, uint64_t lowest,
                   uint64_t limit, uint64_t *begin, uint64_t *end)
{
    *begin = region->begin > lowest ? region->begin : lowest;
    *end = region->end < limit ? region->end : limit;
    if (region->type != MEMORY_RAM || *begin > ~0ull - (alignment - 1))
        return false;
    *begin = (*begin + alignment - 1) & ~(alignment - 1);
    return *begin < *end && *end - *begin >= size;
}

uint64_t memory_map_find_highest(const struct memory_map *map, uint64_t size, uint64_t alignment,
                                 uint64_t lowest, uint64_t limit)
{
    uint64_t begin, end;

    for (unsigned i = map->count; i > 0; i--)
        if (usable(&map->regions[i - 1], size, alignment, lowest, limit, &begin, &end))
            return (end - size) & ~(alignment - 1);
    return 0;
}

uint64_t memory_map_find_lowest(const struct memory_map *map, uint64_t size, uint64_t alignment,
                                uint64_t lowest, uint64_t limit)
{
    uint64_t begin, end;

    for (unsigned i = 0; i < map->count; i++)
        if (usable(&map->regions[i], size, alignment, lowest, limit, &begin, &end))
            return begin;
    return 0;
}

uint64_t memory_map_ram(const struct memory_map *map)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < map->count; i++)
        if (map->regions[i].type == MEMORY_RAM)
            bytes += map->regions[i].end - map->regions[i].begin;
    return bytes;
}
