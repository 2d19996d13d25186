/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/guest_memory.h"

#include <string.h>

bool guest_memory_add(struct guest_memory *memory, uint64_t gpa, uint64_t length, uint8_t *host)
{
    struct guest_memory_region *regions = memory->regions;
    unsigned index = 0;

    if (memory->count == GUEST_MEMORY_MAXIMUM_REGIONS || length == 0 || gpa + (length - 1) < gpa)
        return false;
    while (index < memory->count && regions[index].gpa + (regions[index].length - 1) < gpa)
        index++;
    if (index < memory->count && regions[index].gpa <= gpa + (length - 1))
        return false;
    memmove(&regions[index + 1], &regions[index], (memory->count - index) * sizeof *regions);
    regions[index] = (struct guest_memory_region){gpa, length, host};
    memory->count++;
    return true;
}

/* The host address of `gpa` and how many bytes of RAM follow it in the same region; NULL if it is not RAM. */
static uint8_t *guest_memory_find(const struct guest_memory *memory, uint64_t gpa, uint64_t *available)
{
    *available = 0;
    for (unsigned i = 0; i < memory->count; i++) {
        const struct guest_memory_region *region = &memory->regions[i];

        if (gpa >= region->gpa && gpa - region->gpa < region->length) {
            *available = region->length - (gpa - region->gpa);
            return region->host + (gpa - region->gpa);
        }
    }
    return NULL;
}

/* Is all of [gpa, gpa + length) RAM? It may span regions that touch. */
static bool guest_memory_covers(const struct guest_memory *memory, uint64_t gpa, uint64_t length)
{
    uint64_t available;

    while (length > 0) {
        if (!guest_memory_find(memory, gpa, &available))
            return false;
        if (available >= length)
            return true;
        gpa += available;
        length -= available;
    }
    return true;
}

static bool guest_memory_copy(const struct guest_memory *memory, uint64_t gpa, uint8_t *to_buffer,
                              const uint8_t *from_buffer, size_t length)
{
    size_t done = 0;

    if (!guest_memory_covers(memory, gpa, length))
        return false;
    while (done < length) {
        uint64_t available;
        uint8_t *host = guest_memory_find(memory, gpa + done, &available);
        size_t chunk = available < length - done ? available : length - done;

        if (to_buffer)
            memcpy(to_buffer + done, host, chunk);
        else
            memcpy(host, from_buffer + done, chunk);
        done += chunk;
    }
    return true;
}

bool guest_memory_read(const struct guest_memory *memory, uint64_t gpa, void *buffer, size_t length)
{
    return guest_memory_copy(memory, gpa, buffer, NULL, length);
}

bool guest_memory_write(const struct guest_memory *memory, uint64_t gpa, const void *buffer, size_t length)
{
    return guest_memory_copy(memory, gpa, NULL, buffer, length);
}

void *guest_memory_range(const struct guest_memory *memory, uint64_t gpa, size_t length)
{
    uint64_t available;
    uint8_t *host = guest_memory_find(memory, gpa, &available);

    return host && available >= length ? host : NULL;
}
