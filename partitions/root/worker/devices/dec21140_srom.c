/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/dec21140_srom.h"

#include <string.h>
#include "partitions/root/worker/devices/ethernet_crc.h"

#define SROM_BYTES (2 * DEC21140_SROM_WORDS)

/* Format 3 and later (21X4 Serial ROM Format 4.05). */
#define OFFSET_SUBSYSTEM_VENDOR  0
#define OFFSET_SUBSYSTEM         2
#define OFFSET_ID_BLOCK_CRC      16
#define OFFSET_FORMAT_VERSION    18
#define OFFSET_CONTROLLER_COUNT  19
#define OFFSET_NETWORK_ADDRESS   20
#define OFFSET_CONTROLLER_DEVICE 26
#define OFFSET_CONTROLLER_LEAF   27
#define OFFSET_INFORMATION_LEAF  30
#define OFFSET_SROM_CRC          126

#define FORMAT_VERSION 3

/*
 * The information leaf of a 21140 (21X4 Serial ROM Format 4.05): select the medium at power-up and go on
 * sensing; the general-purpose pins are inputs; one block of extended format, type 1: an MII PHY, reached
 * without any sequence on the pins, that can do and shall advertise 10 and 100 Mb/s, half and full duplex.
 */
/* clang-format off */
static const uint8_t information_leaf[] = {
    0x00, 0x08, /* selected connection: power-up autosense */
    0x00,       /* direction of the general-purpose pins */
    1,          /* blocks */
    0x80 | 12,  /* extended format, bytes that follow */
    1,          /* type: 21140 with an MII PHY */
    0,          /* the first PHY */
    0,          /* length of the general-purpose sequence */
    0,          /* length of the reset sequence */
    0x00, 0x78, /* capabilities, as in the PHY's status register */
    0xe0, 0x01, /* advertisement, as in the PHY's advertisement register */
    0x00, 0x50, /* full duplex can be used with 10BASE-T FD and 100BASE-TX FD */
    0x00, 0x18, /* transmit threshold mode with the 10 Mb/s media */
};
/* clang-format on */

/* 93C46: after the start bit two bits of operation and six of address, then sixteen of data. */
#define COMMAND_BITS  8
#define DATA_BITS     16
#define OPERATION(c)  ((c) >> 6)
#define ADDRESS(c)    ((c)&0x3f)
#define SUBCOMMAND(c) (ADDRESS(c) >> 4)

enum operation { OPERATION_SPECIAL, OPERATION_WRITE, OPERATION_READ, OPERATION_ERASE };

/* The upper two address bits of OPERATION_SPECIAL. */
enum special { SPECIAL_WRITE_DISABLE, SPECIAL_WRITE_ALL, SPECIAL_ERASE_ALL, SPECIAL_WRITE_ENABLE };

/* CRC of the first nine words without its own byte, upper bits first: x^8 + x^2 + x + 1 (appendix B). */
static uint8_t id_block_crc(const uint8_t *bytes)
{
    uint8_t crc = 0xff;

    for (unsigned word = 0; word < 9; word++) {
        unsigned value = bytes[2 * word] | bytes[2 * word + 1] << 8;

        for (unsigned bit = 16; bit-- > (word == 8 ? 8u : 0u);) {
            bool carry = (crc >> 7 ^ value >> bit) & 1;

            crc = (uint8_t)(crc << 1 ^ (carry ? 0x07 : 0));
        }
    }
    return crc;
}

void dec21140_srom_initialize(struct dec21140_srom *srom, const uint8_t mac_address[6])
{
    uint8_t bytes[SROM_BYTES] = {0};
    uint32_t crc;

    bytes[OFFSET_SUBSYSTEM_VENDOR] = DEC21140_SUBSYSTEM_VENDOR & 0xff;
    bytes[OFFSET_SUBSYSTEM_VENDOR + 1] = DEC21140_SUBSYSTEM_VENDOR >> 8;
    bytes[OFFSET_SUBSYSTEM] = DEC21140_SUBSYSTEM & 0xff;
    bytes[OFFSET_SUBSYSTEM + 1] = DEC21140_SUBSYSTEM >> 8;
    bytes[OFFSET_FORMAT_VERSION] = FORMAT_VERSION;
    bytes[OFFSET_CONTROLLER_COUNT] = 1;
    memcpy(&bytes[OFFSET_NETWORK_ADDRESS], mac_address, 6);
    bytes[OFFSET_CONTROLLER_DEVICE] = 0;
    bytes[OFFSET_CONTROLLER_LEAF] = OFFSET_INFORMATION_LEAF;
    memcpy(&bytes[OFFSET_INFORMATION_LEAF], information_leaf, sizeof information_leaf);
    bytes[OFFSET_ID_BLOCK_CRC] = id_block_crc(bytes);
    crc = ~ethernet_crc(ETHERNET_CRC_START, bytes, OFFSET_SROM_CRC);
    bytes[OFFSET_SROM_CRC] = crc & 0xff;
    bytes[OFFSET_SROM_CRC + 1] = crc >> 8 & 0xff;

    memset(srom, 0, sizeof *srom);
    for (unsigned i = 0; i < DEC21140_SROM_WORDS; i++)
        srom->words[i] = (uint16_t)(bytes[2 * i] | bytes[2 * i + 1] << 8);
    srom->output = true;
}

static void fill(struct dec21140_srom *srom, uint16_t value)
{
    for (unsigned i = 0; i < DEC21140_SROM_WORDS; i++)
        srom->words[i] = value;
}

/* A command that programs is done at once. */
static void program(struct dec21140_srom *srom)
{
    unsigned operation = OPERATION(srom->command);
    unsigned special = SUBCOMMAND(srom->command);

    srom->state = DEC21140_SROM_DONE;
    if (operation == OPERATION_SPECIAL && special == SPECIAL_WRITE_ENABLE)
        srom->write_enabled = true;
    else if (operation == OPERATION_SPECIAL && special == SPECIAL_WRITE_DISABLE)
        srom->write_enabled = false;
    else if (!srom->write_enabled)
        return;
    else if (operation == OPERATION_WRITE)
        srom->words[ADDRESS(srom->command)] = srom->shift;
    else if (operation == OPERATION_ERASE)
        srom->words[ADDRESS(srom->command)] = 0xffff;
    else
        fill(srom, special == SPECIAL_WRITE_ALL ? srom->shift : 0xffff);
}

static bool takes_data(uint8_t command)
{
    return OPERATION(command) == OPERATION_WRITE ||
           (OPERATION(command) == OPERATION_SPECIAL && SUBCOMMAND(command) == SPECIAL_WRITE_ALL);
}

static void begin_command(struct dec21140_srom *srom)
{
    srom->command = srom->shift & 0xff;
    srom->bits = 0;
    if (OPERATION(srom->command) == OPERATION_READ) {
        srom->state = DEC21140_SROM_READ;
        srom->address = ADDRESS(srom->command);
        srom->output = false; /* a dummy bit: software finds the ROM's size by when it comes */
    } else if (takes_data(srom->command)) {
        srom->state = DEC21140_SROM_DATA;
    } else {
        program(srom);
    }
}

static void clock_edge(struct dec21140_srom *srom, bool input)
{
    srom->shift = (uint16_t)(srom->shift << 1 | input);
    switch (srom->state) {
    case DEC21140_SROM_START:
        srom->bits = 0;
        if (input)
            srom->state = DEC21140_SROM_COMMAND;
        break;
    case DEC21140_SROM_COMMAND:
        if (++srom->bits == COMMAND_BITS)
            begin_command(srom);
        break;
    case DEC21140_SROM_READ:
        srom->output = srom->words[srom->address] >> (DATA_BITS - 1 - srom->bits) & 1;
        if (++srom->bits == DATA_BITS) {
            srom->bits = 0;
            srom->address = (srom->address + 1) % DEC21140_SROM_WORDS;
        }
        break;
    case DEC21140_SROM_DATA:
        if (++srom->bits == DATA_BITS)
            program(srom);
        break;
    case DEC21140_SROM_DONE:
        break;
    }
}

void dec21140_srom_drive(struct dec21140_srom *srom, bool select, bool clock, bool input)
{
    bool rising = clock && !srom->clock;

    srom->clock = clock;
    if (!select) {
        srom->state = DEC21140_SROM_START;
        srom->output = true;
    } else if (rising) {
        clock_edge(srom, input);
    }
}
