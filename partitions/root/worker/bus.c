/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/bus.h"

#include <string.h>

void bus_initialize(struct bus *bus)
{
    memset(bus, 0, sizeof *bus);
}

static bool ends_before(const struct bus_range *range, uint64_t address)
{
    return range->first + (range->length - 1) < address;
}

/* Index of the first range that ends after `address`; the only one that can hold it. */
static unsigned bus_search(const struct bus *bus, enum bus_space space, uint64_t address)
{
    unsigned low = 0;
    unsigned high = bus->count[space];

    while (low < high) {
        unsigned middle = (low + high) / 2;

        if (ends_before(&bus->ranges[space][middle], address))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The same, quickly if it is what it was the last time: guests stay with one device for many accesses. */
static unsigned bus_search_again(struct bus *bus, enum bus_space space, uint64_t address)
{
    const struct bus_range *ranges = bus->ranges[space];
    unsigned last = bus->last[space];

    if (last >= bus->count[space] || ends_before(&ranges[last], address) ||
        (last > 0 && !ends_before(&ranges[last - 1], address)))
        bus->last[space] = last = bus_search(bus, space, address);
    return last;
}

/* The range that holds all of [address, address + size), or NULL. */
static const struct bus_range *bus_find(struct bus *bus, enum bus_space space, uint64_t address,
                                        unsigned size)
{
    unsigned index = bus_search_again(bus, space, address);
    const struct bus_range *range = &bus->ranges[space][index];

    if (index == bus->count[space] || address < range->first)
        return NULL;
    return size <= range->length - (address - range->first) ? range : NULL;
}

bool bus_add(struct bus *bus, enum bus_space space, uint64_t first, uint64_t length,
             const struct bus_operations *operations, void *device, const char *name)
{
    struct bus_range *ranges = bus->ranges[space];
    unsigned index;

    if (length == 0 || first + (length - 1) < first || bus->count[space] == BUS_MAXIMUM_RANGES)
        return false;
    index = bus_search(bus, space, first);
    if (index < bus->count[space] && ranges[index].first <= first + (length - 1))
        return false;
    memmove(&ranges[index + 1], &ranges[index], (bus->count[space] - index) * sizeof *ranges);
    ranges[index] = (struct bus_range){first, length, operations, device, name};
    bus->count[space]++;
    return true;
}

void bus_remove(struct bus *bus, enum bus_space space, uint64_t first, const void *device)
{
    struct bus_range *ranges = bus->ranges[space];
    unsigned index = bus_search(bus, space, first);

    if (index == bus->count[space] || ranges[index].first != first || ranges[index].device != device)
        return;
    bus->count[space]--;
    memmove(&ranges[index], &ranges[index + 1], (bus->count[space] - index) * sizeof *ranges);
}

static uint64_t all_ones(unsigned size)
{
    return UINT64_MAX >> (64 - 8 * size);
}

static uint64_t range_read(const struct bus_range *range, uint64_t offset, unsigned size)
{
    const struct bus_operations *operations = range->operations;
    uint64_t value = 0;

    if (operations->widest == 0 || size <= operations->widest)
        return operations->read(range->device, offset, size) & all_ones(size);
    for (unsigned i = 0; i < size; i += operations->widest) {
        uint64_t piece = operations->read(range->device, offset + i, operations->widest);

        value |= (piece & all_ones(operations->widest)) << (8 * i);
    }
    return value;
}

static void range_write(const struct bus_range *range, uint64_t offset, unsigned size, uint64_t value)
{
    const struct bus_operations *operations = range->operations;

    if (operations->widest == 0 || size <= operations->widest) {
        operations->write(range->device, offset, size, value & all_ones(size));
        return;
    }
    for (unsigned i = 0; i < size; i += operations->widest)
        operations->write(range->device, offset + i, operations->widest,
                          value >> (8 * i) & all_ones(operations->widest));
}

/* An access that no single range holds, byte by byte. Returns whether every byte found a device. */
static bool read_bytes(struct bus *bus, uint64_t port, unsigned size, uint64_t *value)
{
    bool claimed = true;

    *value = 0;
    for (unsigned i = 0; i < size; i++) {
        const struct bus_range *range = bus_find(bus, BUS_PORTS, port + i, 1);
        uint64_t byte = 0xff;

        if (range)
            byte = range_read(range, port + i - range->first, 1);
        else
            claimed = false;
        *value |= byte << (8 * i);
    }
    return claimed;
}

static bool write_bytes(struct bus *bus, uint64_t port, unsigned size, uint64_t value)
{
    bool claimed = true;

    for (unsigned i = 0; i < size; i++) {
        const struct bus_range *range = bus_find(bus, BUS_PORTS, port + i, 1);

        if (range)
            range_write(range, port + i - range->first, 1, value >> (8 * i));
        else
            claimed = false;
    }
    return claimed;
}

uint64_t bus_read(struct bus *bus, enum bus_space space, uint64_t address, unsigned size)
{
    const struct bus_range *range = bus_find(bus, space, address, size);
    struct bus_counters *counters = &bus->counters[space];
    uint64_t value = all_ones(size);

    counters->reads++;
    if (range)
        return range_read(range, address - range->first, size);
    if (space == BUS_PORTS && size > 1 && read_bytes(bus, address, size, &value))
        return value;
    counters->unclaimed_reads++;
    counters->last_unclaimed = address;
    return value;
}

void bus_write(struct bus *bus, enum bus_space space, uint64_t address, unsigned size, uint64_t value)
{
    const struct bus_range *range = bus_find(bus, space, address, size);
    struct bus_counters *counters = &bus->counters[space];

    counters->writes++;
    if (range) {
        range_write(range, address - range->first, size, value);
        return;
    }
    if (space == BUS_PORTS && size > 1 && write_bytes(bus, address, size, value))
        return;
    counters->unclaimed_writes++;
    counters->last_unclaimed = address;
}

size_t bus_block_in(struct bus *bus, uint64_t port, unsigned size, void *items, size_t count)
{
    const struct bus_range *range = bus_find(bus, BUS_PORTS, port, size);
    uint8_t *bytes = items;

    if (range && range->operations->block_in) {
        size_t moved = range->operations->block_in(range->device, port - range->first, size, items, count);

        bus->counters[BUS_PORTS].reads += moved;
        return moved;
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t value = bus_read(bus, BUS_PORTS, port, size);

        memcpy(bytes + i * size, &value, size);
    }
    return count;
}

size_t bus_block_out(struct bus *bus, uint64_t port, unsigned size, const void *items, size_t count)
{
    const struct bus_range *range = bus_find(bus, BUS_PORTS, port, size);
    const uint8_t *bytes = items;

    if (range && range->operations->block_out) {
        size_t moved = range->operations->block_out(range->device, port - range->first, size, items, count);

        bus->counters[BUS_PORTS].writes += moved;
        return moved;
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t value = 0;

        memcpy(&value, bytes + i * size, size);
        bus_write(bus, BUS_PORTS, port, size, value);
    }
    return count;
}
