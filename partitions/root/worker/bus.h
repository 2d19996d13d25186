/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The buses of a virtual machine: I/O ports and memory-mapped registers. A device registers ranges; an access
 * is given to the one device that claims all of it, under the machine's device lock (one mutex: device
 * functions are never called by two threads at once, and may use their own state freely).
 *
 * Nobody's accesses read as all ones, writes are dropped; both are counted.
 */
#ifndef WORKER_BUS_H
#define WORKER_BUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Accesses to one range. `offset` counts from the range's first address, `size` is 1, 2 or 4 for ports, 1, 2,
 * 4 or 8 for memory; offset + size never exceeds the range.
 *
 * widest (0: any) is the widest access that the device knows: a wider one arrives in pieces of that size,
 * lowest address first, as on an ISA bus.
 *
 * block_in and block_out (optional, ports only) move `count` items of `size` bytes at once for REP INS and
 * REP OUTS: same effect as as many single accesses. They return how many items were moved, at least 1.
 */
struct bus_operations {
    uint64_t (*read)(void *device, uint64_t offset, unsigned size);
    void (*write)(void *device, uint64_t offset, unsigned size, uint64_t value);
    size_t (*block_in)(void *device, uint64_t offset, unsigned size, void *items, size_t count);
    size_t (*block_out)(void *device, uint64_t offset, unsigned size, const void *items, size_t count);
    unsigned widest;
};

enum bus_space { BUS_PORTS, BUS_MEMORY, BUS_SPACE_COUNT };

struct bus_range {
    uint64_t first;
    uint64_t length;
    const struct bus_operations *operations;
    void *device;
    const char *name; /* static; shown to people */
};

/* Enough for every device of a generation 1 machine with its PCI base address registers. */
#define BUS_MAXIMUM_RANGES 96

struct bus_counters {
    uint64_t reads;
    uint64_t writes;
    uint64_t unclaimed_reads;
    uint64_t unclaimed_writes;
    uint64_t last_unclaimed; /* address of the newest unclaimed access */
};

struct bus {
    struct bus_range ranges[BUS_SPACE_COUNT][BUS_MAXIMUM_RANGES]; /* sorted by first, never overlapping */
    unsigned count[BUS_SPACE_COUNT];
    unsigned
        last[BUS_SPACE_COUNT]; /* what was searched for last: index of a range or of the hole before it */
    struct bus_counters counters[BUS_SPACE_COUNT];
};

void bus_initialize(struct bus *bus);

/*
 * Claims [first, first + length). False if it overlaps a range that is there, is empty, wraps, or the table
 * is full: for a PCI device that means the guest programmed an address that collides, and the range stays
 * unmapped.
 */
bool bus_add(struct bus *bus, enum bus_space space, uint64_t first, uint64_t length,
             const struct bus_operations *operations, void *device, const char *name);

/* Removes the range that begins at `first` and belongs to `device`; nothing happens if there is none. */
void bus_remove(struct bus *bus, enum bus_space space, uint64_t first, const void *device);

/*
 * One access. A port access that no single range holds is split into bytes, as the ISA bus does; a memory
 * access that is not wholly in one range is unclaimed.
 */
uint64_t bus_read(struct bus *bus, enum bus_space space, uint64_t address, unsigned size);
void bus_write(struct bus *bus, enum bus_space space, uint64_t address, unsigned size, uint64_t value);

/* REP INS and REP OUTS: how many of `count` items were moved, at least 1 (count >= 1). */
size_t bus_block_in(struct bus *bus, uint64_t port, unsigned size, void *items, size_t count);
size_t bus_block_out(struct bus *bus, uint64_t port, unsigned size, const void *items, size_t count);

#endif
