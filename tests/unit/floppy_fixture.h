/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A machine with DMA and floppy controllers: 1.44 MB drives A: and B:, a fake disk of 1.44 MB in A:. */
#ifndef TESTS_UNIT_FLOPPY_FIXTURE_H
#define TESTS_UNIT_FLOPPY_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "partitions/root/worker/devices/floppy.h"
#include "tests/unit/device_fixture.h"
#include "tests/unit/fake_disk.h"

#define MEMORY_SIZE 0x40000u
#define BUFFER      0x10000u

#define DOR     0x3f2
#define TAPE    0x3f3
#define STATUS  0x3f4
#define FIFO    0x3f5
#define CHANGED 0x3f7

#define IRQ 6

#define ABNORMAL 0x40

/* Main status: idle, and with results. */
#define READY   0x80
#define RESULTS 0xd0

struct machine {
    struct device_fixture fixture;
    struct guest_memory memory;
    uint8_t *ram;
    struct i8237 dma;
    struct floppy floppy;
    struct disk disks[2];
};

/* cmocka's: the state is the struct machine. */
int floppy_set_up(void **state);
int floppy_tear_down(void **state);
#define floppy_case(function) cmocka_unit_test_setup_teardown(function, floppy_set_up, floppy_tear_down)

void out(struct machine *machine, uint16_t port, uint8_t value);
uint8_t in(struct machine *machine, uint16_t port);
bool irq(struct machine *machine);

/* A drive of another type in the place of an empty machine's A:, with this medium. */
void use_medium(struct machine *machine, enum floppy_drive_type type, struct disk_geometry geometry);

/* Writes the bytes of a command, each when it is asked for. */
void command(struct machine *machine, const uint8_t *bytes, size_t length);
#define COMMAND(machine, ...) command(machine, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* The results, exactly these. */
void assert_results(struct machine *machine, const uint8_t *bytes, size_t length);
#define ASSERT_RESULTS(machine, ...)                                                                                   \
    assert_results(machine, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* Lets the latency pass, and expects the interrupt at its end. */
void wait_interrupt(struct machine *machine);

/* DMA channel 2: `mode` as 44h to memory, 48h from it; at BUFFER. */
void program_dma(struct machine *machine, uint8_t mode, size_t length);

/* RAM at `address` is what the disk holds from `sector` on. */
void assert_sectors(struct machine *machine, uint32_t address, uint64_t sector, unsigned sectors);

/* SEEK of A: and its interrupt. */
void seek(struct machine *machine, uint8_t cylinder);

/* CONFIGURE without implied seeks, and with the FIFO's threshold at `threshold` bytes. */
void no_implied_seeks(struct machine *machine, unsigned threshold);

#endif
