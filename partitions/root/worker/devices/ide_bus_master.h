/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bus master of one IDE channel ("Programming Interface for Bus Master IDE Controller" 1.0; PIIX4
 * datasheet, 5.2): its eight ports, and the walk along the guest's table of physical region descriptors
 * (PRDs) that turns them into host memory. The table is read once per walk, every entry checked on its
 * private copy.
 */
#ifndef WORKER_DEVICES_IDE_BUS_MASTER_H
#define WORKER_DEVICES_IDE_BUS_MASTER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>
#include "partitions/root/worker/guest_memory.h"

#define IDE_BUS_MASTER_PORTS 8

/* Command register. */
#define IDE_BUS_MASTER_START     0x01
#define IDE_BUS_MASTER_TO_MEMORY 0x08

/* Status register. */
#define IDE_BUS_MASTER_ACTIVE    0x01
#define IDE_BUS_MASTER_ERROR     0x02
#define IDE_BUS_MASTER_INTERRUPT 0x04

/* Where in the table a walk stands. */
struct ide_prd_walk {
    uint32_t next;    /* address of the next descriptor */
    unsigned entries; /* descriptors read since the start */
    uint32_t address; /* rest of the current region */
    uint32_t left;
    bool last; /* the current region ends the table */
};

struct ide_bus_master {
    uint8_t command;
    uint8_t status;
    uint32_t table;
    struct ide_prd_walk walk;
};

enum ide_gather_result {
    IDE_GATHER_OK,        /* something was gathered */
    IDE_GATHER_EXHAUSTED, /* the table ended before what was wanted */
    IDE_GATHER_FAULT,     /* a descriptor, or what it names, is not RAM */
};

/*
 * Gathers the memory of up to `sectors` sectors, as many as `capacity` vectors can hold (256 suffice for at
 * least one), and moves the walk past it. Memory that follows itself becomes one vector.
 */
enum ide_gather_result ide_bus_master_gather(struct ide_bus_master *master, const struct guest_memory *memory,
                                             uint32_t sectors, struct iovec *vector, unsigned capacity, unsigned *count,
                                             uint32_t *gathered);

/*
 * Copies up to `length` bytes between `buffer` and the memory that the table names, and moves the walk past
 * them. IDE_GATHER_OK: all of them; otherwise `copied` says how many came before the table's end or fault.
 */
enum ide_gather_result ide_bus_master_copy(struct ide_bus_master *master, const struct guest_memory *memory,
                                           uint8_t *buffer, uint32_t length, bool to_memory, uint32_t *copied);

/* The device has no more data: the engine is idle if the table has come to its end as well. */
void ide_bus_master_finish(struct ide_bus_master *master);

uint8_t ide_bus_master_read(const struct ide_bus_master *master, unsigned offset);
/* True if the write started the engine. */
bool ide_bus_master_write(struct ide_bus_master *master, unsigned offset, uint8_t value);

#endif
