/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A machine with an IDE controller as firmware leaves it, and a fake disk as its first drive. */
#ifndef TESTS_UNIT_IDE_FIXTURE_H
#define TESTS_UNIT_IDE_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "partitions/root/worker/devices/ide.h"
#include "tests/unit/device_fixture.h"
#include "tests/unit/fake_disk.h"

#define MEMORY_SIZE 0x800000u
#define SLOT        7
#define FUNCTION    1

#define PRIMARY    0x1f0
#define CONTROL    0x3f6
#define SECONDARY  0x170
#define BUS_MASTER 0xc000

#define DATA    (PRIMARY + 0)
#define ERROR   (PRIMARY + 1)
#define COUNT   (PRIMARY + 2)
#define LOW     (PRIMARY + 3)
#define MIDDLE  (PRIMARY + 4)
#define HIGH    (PRIMARY + 5)
#define DEVICE  (PRIMARY + 6)
#define STATUS  (PRIMARY + 7)
#define COMMAND (PRIMARY + 7)

#define MASTER_COMMAND (BUS_MASTER + 0)
#define MASTER_STATUS  (BUS_MASTER + 2)
#define MASTER_TABLE   (BUS_MASTER + 4)

#define READY 0x50

#define CONTROL_NIEN 0x02
#define CONTROL_SRST 0x04
#define CONTROL_HOB  0x80

#define TABLE  0x1000u
#define BUFFER 0x100000u
#define LAST   0x80000000u

#define IRQ 14

struct machine {
    struct device_fixture fixture;
    struct pci_bus pci;
    struct guest_memory memory;
    uint8_t *ram;
    struct ide ide;
    struct disk disks[3];
    struct disk *no_space;
    unsigned no_space_calls;
    struct disk *released; /* the last medium that a DVD drive let go */
    unsigned released_calls;
};

/* Writes a register of the function's configuration space. */
void configure(struct machine *machine, unsigned offset, unsigned size, uint32_t value);

/* What firmware does. */
void enable(struct machine *machine);

/* cmocka's: the state is the struct machine. */
int ide_set_up(void **state);
int ide_tear_down(void **state);

/* Ports, bytewise. */
void out(struct machine *machine, uint16_t port, uint8_t value);
uint8_t in(struct machine *machine, uint16_t port);

/* The level of IRQ 14. */
bool irq(struct machine *machine);

/* A command with a 28-bit address. */
void command28(struct machine *machine, uint8_t code, uint32_t sector, uint8_t count);

/* One with a 48-bit address. */
void command48(struct machine *machine, uint8_t code, uint64_t sector, uint16_t count);

/* SET FEATURES. */
void feature(struct machine *machine, uint8_t subcommand, uint8_t count);

/* Ready for a command, and nothing pending. */
void assert_idle(struct machine *machine);

/* Ended with an error, said by an interrupt. */
void assert_error(struct machine *machine, uint8_t status, uint8_t error);

/* The data port, by REP INSW and REP OUTSW. */
void read_words(struct machine *machine, void *data, size_t words);
void write_words(struct machine *machine, const void *data, size_t words);

/* `data` is what the first disk holds in `sector`. */
void assert_sector(struct machine *machine, uint64_t sector, const uint8_t *data);

/* IDENTIFY DEVICE of the selected drive. */
void identify(struct machine *machine, uint16_t words[256]);

/* Data that is different in every sector and for every seed. */
void pattern(uint8_t *data, size_t length, unsigned seed);

/* The registers say that drive 0 has come through a reset. */
void assert_signature(struct machine *machine);

#endif
