/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The serial ROM of a 21140A board: a 93C46 of 64 words of 16 bits on four wires (CSR9), with contents as
 * "21X4 Serial ROM Format" 4.05 lays them out, format version 3: addresses, one controller, one MII block,
 * both CRCs.
 */
#ifndef WORKER_DEVICES_DEC21140_SROM_H
#define WORKER_DEVICES_DEC21140_SROM_H

#include <stdbool.h>
#include <stdint.h>

#define DEC21140_SROM_WORDS 64

#define DEC21140_SUBSYSTEM_VENDOR 0x0a00
#define DEC21140_SUBSYSTEM        0x2114

enum dec21140_srom_state {
    DEC21140_SROM_START,   /* waiting for the start bit */
    DEC21140_SROM_COMMAND, /* operation and address are coming in */
    DEC21140_SROM_READ,    /* words are going out */
    DEC21140_SROM_DATA,    /* a word to write is coming in */
    DEC21140_SROM_DONE,    /* until deselected */
};

struct dec21140_srom {
    uint16_t words[DEC21140_SROM_WORDS]; /* low byte first, as the format counts bytes */
    enum dec21140_srom_state state;
    bool clock;
    bool output;        /* the data wire from the ROM; 1 while it does not drive it */
    bool write_enabled; /* EWEN has been given */
    unsigned bits;      /* moved in this state */
    uint16_t shift;     /* those that came in, the newest lowest */
    uint8_t command;    /* operation and address */
    uint8_t address;    /* of the word going out */
};

void dec21140_srom_initialize(struct dec21140_srom *srom, const uint8_t mac_address[6]);

/* The wires towards the ROM, as software has set them now. */
void dec21140_srom_drive(struct dec21140_srom *srom, bool select, bool clock, bool input);

#endif
