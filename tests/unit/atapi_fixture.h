/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine of ide_fixture.h with a DVD drive as drive 1 beside the disk, a CD in it (the second fake disk),
 * and its first unit attentions told.
 */
#ifndef TESTS_UNIT_ATAPI_FIXTURE_H
#define TESTS_UNIT_ATAPI_FIXTURE_H

#include "partitions/root/worker/devices/atapi.h"
#include "tests/unit/ide_fixture.h"

#define CD_BLOCKS  1000u
#define DVD_BLOCKS 400000u

#define REASON COUNT

#define REASON_PACKET 0x01
#define REASON_IN     0x02
#define REASON_OUT    0x00
#define REASON_STATUS 0x03

#define ANY_LIMIT 0xfffe

int atapi_set_up(void **state);

/* Selects the DVD drive. */
void select_dvd(struct machine *machine);

/* Gives a packet to the DVD drive: with a byte count limit by PIO, or for the bus master. */
void packet_pio(struct machine *machine, const uint8_t packet[ATAPI_PACKET_LENGTH], uint16_t limit);
void packet_dma(struct machine *machine, const uint8_t packet[ATAPI_PACKET_LENGTH]);

/* Reads DRQ blocks until the command ends; returns how many bytes. `capacity` is never exceeded. */
size_t receive(struct machine *machine, uint8_t *data, size_t capacity);

/* Both: gives a packet, and returns the length of what comes. */
size_t ask(struct machine *machine, const uint8_t packet[ATAPI_PACKET_LENGTH], uint8_t *data, size_t capacity);

/* Writes the one DRQ block of a parameter list. */
void send(struct machine *machine, const uint8_t *data, size_t length);

/* The end of a packet's command. The second one asks for the sense, too. */
void assert_good(struct machine *machine);
void assert_check(struct machine *machine, uint8_t key, uint16_t code);

/* A packet that has no data. */
void assert_packet_good(struct machine *machine, const uint8_t packet[ATAPI_PACKET_LENGTH]);
void assert_packet_check(struct machine *machine, const uint8_t packet[ATAPI_PACKET_LENGTH], uint8_t key,
                         uint16_t code);

/* What the medium holds in `block`. */
void assert_block(struct machine *machine, const struct disk *disk, uint32_t block, const uint8_t *data);

/* One descriptor of the table at TABLE; and the engine started on it. */
void set_prd(struct machine *machine, unsigned index, uint32_t address, uint32_t count);
void start_master(struct machine *machine, bool to_memory);

#define PACKET(...) ((const uint8_t[ATAPI_PACKET_LENGTH]){__VA_ARGS__})

#endif
