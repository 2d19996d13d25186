/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The management interface of a 21140A board (IEEE 802.3u, clause 22): two wires, driven bit by bit through
 * CSR9, and one PHY that has negotiated 100BASE-TX full duplex with its partner, or has no link.
 */
#ifndef WORKER_DEVICES_DEC21140_MII_H
#define WORKER_DEVICES_DEC21140_MII_H

#include <stdbool.h>
#include <stdint.h>

#define DEC21140_PHY_ADDRESS   1
#define DEC21140_PHY_REGISTERS 32

struct dec21140_mii {
    uint16_t registers[DEC21140_PHY_REGISTERS];
    bool cable;       /* there is a partner */
    bool link_failed; /* since the status register was last read */
    bool clock;
    bool output;   /* the data wire from the PHY; 1 while nobody drives it */
    unsigned bits; /* of the present frame that came in */
    uint32_t shift;
    bool reading; /* the present frame is a read from this PHY */
};

void dec21140_mii_initialize(struct dec21140_mii *mii, bool cable);

/* The wires as software has set them now; `input` counts while software drives the data wire. */
void dec21140_mii_drive(struct dec21140_mii *mii, bool clock, bool input);

void dec21140_mii_set_cable(struct dec21140_mii *mii, bool cable);

/* Frames can pass: there is a cable, and the PHY is neither powered down nor isolated. */
bool dec21140_mii_link(const struct dec21140_mii *mii);

/* The PHY sends frames back to the controller instead of to the cable. */
bool dec21140_mii_loopback(const struct dec21140_mii *mii);

#endif
