/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's RAM as the worker sees it: every access is bounded here and nowhere else. The guest changes this
 * memory at any time; read what matters once, into private memory, and check the copy.
 */
#ifndef WORKER_GUEST_MEMORY_H
#define WORKER_GUEST_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct guest_memory_region {
    uint64_t gpa; /* page aligned */
    uint64_t length;
    uint8_t *host;
};

#define GUEST_MEMORY_MAXIMUM_REGIONS 8

struct guest_memory {
    struct guest_memory_region regions[GUEST_MEMORY_MAXIMUM_REGIONS]; /* sorted, not overlapping */
    unsigned count;
};

/* False if the table is full or the region overlaps another or wraps. The memory stays the caller's. */
bool guest_memory_add(struct guest_memory *memory, uint64_t gpa, uint64_t length, uint8_t *host);

/* All or nothing: false, and nothing moved, if any byte is outside RAM. */
bool guest_memory_read(const struct guest_memory *memory, uint64_t gpa, void *buffer, size_t length);
bool guest_memory_write(const struct guest_memory *memory, uint64_t gpa, const void *buffer, size_t length);

/*
 * The host address of [gpa, gpa + length) for zero-copy I/O, or NULL if it is not wholly inside one region. Valid as
 * long as the machine exists.
 */
void *guest_memory_range(const struct guest_memory *memory, uint64_t gpa, size_t length);

#endif
