/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/dec21140_mii.h"

#include <string.h>

/* Registers (IEEE 802.3u, 22.2.4). */
#define REGISTER_CONTROL       0
#define REGISTER_STATUS        1
#define REGISTER_IDENTIFIER_1  2
#define REGISTER_IDENTIFIER_2  3
#define REGISTER_ADVERTISEMENT 4
#define REGISTER_PARTNER       5
#define REGISTER_EXPANSION     6

#define CONTROL_RESET     0x8000
#define CONTROL_LOOPBACK  0x4000
#define CONTROL_POWERDOWN 0x0800
#define CONTROL_ISOLATE   0x0400
#define CONTROL_WRITABLE  0x7d80
#define CONTROL_DEFAULT   0x3100 /* 100 Mb/s, negotiation, full duplex */

#define STATUS_ABILITIES  0x7849 /* 10 and 100 Mb/s, half and full duplex; negotiation; extended registers */
#define STATUS_NEGOTIATED 0x0020
#define STATUS_LINK       0x0004

/* A DP83840A, the PHY of most 21140A boards. */
#define IDENTIFIER_1 0x2000
#define IDENTIFIER_2 0x5c01

#define ABILITIES             0x01e1 /* 100BASE-TX FD and HD, 10BASE-T FD and HD; IEEE 802.3 */
#define ADVERTISEMENT_DEFAULT ABILITIES
#define ADVERTISEMENT_BITS    0x2fe0
#define PARTNER_ACKNOWLEDGED  0x4000
#define EXPANSION_PARTNER     0x0003 /* a page has come; the partner negotiates */

/* A management frame without its preamble: start, operation, PHY and register address, turnaround, data. */
#define FRAME_HEADER_BITS 14
#define FRAME_BITS        32
#define OPERATION_READ    2
#define OPERATION_WRITE   1

static void reset_registers(struct dec21140_mii *mii)
{
    memset(mii->registers, 0, sizeof mii->registers);
    mii->registers[REGISTER_CONTROL] = CONTROL_DEFAULT;
    mii->registers[REGISTER_IDENTIFIER_1] = IDENTIFIER_1;
    mii->registers[REGISTER_IDENTIFIER_2] = IDENTIFIER_2;
    mii->registers[REGISTER_ADVERTISEMENT] = ADVERTISEMENT_DEFAULT;
}

void dec21140_mii_initialize(struct dec21140_mii *mii, bool cable)
{
    memset(mii, 0, sizeof *mii);
    mii->cable = cable;
    mii->link_failed = !cable;
    mii->output = true;
    reset_registers(mii);
}

bool dec21140_mii_link(const struct dec21140_mii *mii)
{
    return mii->cable && !(mii->registers[REGISTER_CONTROL] & (CONTROL_POWERDOWN | CONTROL_ISOLATE));
}

bool dec21140_mii_loopback(const struct dec21140_mii *mii)
{
    return mii->registers[REGISTER_CONTROL] & CONTROL_LOOPBACK;
}

void dec21140_mii_set_cable(struct dec21140_mii *mii, bool cable)
{
    mii->cable = cable;
    if (!cable)
        mii->link_failed = true;
}

/* A link that was lost is told once even if it is back (22.2.4.2.13). */
static uint16_t read_status(struct dec21140_mii *mii)
{
    uint16_t status = STATUS_ABILITIES;

    if (dec21140_mii_link(mii))
        status |= STATUS_NEGOTIATED;
    if (dec21140_mii_link(mii) && !mii->link_failed)
        status |= STATUS_LINK;
    mii->link_failed = !dec21140_mii_link(mii);
    return status;
}

static uint16_t read_register(struct dec21140_mii *mii, unsigned number)
{
    switch (number) {
    case REGISTER_STATUS:
        return read_status(mii);
    case REGISTER_PARTNER:
        return dec21140_mii_link(mii) ? PARTNER_ACKNOWLEDGED | ABILITIES : 0;
    case REGISTER_EXPANSION:
        return dec21140_mii_link(mii) ? EXPANSION_PARTNER : 0;
    default:
        return mii->registers[number];
    }
}

/* Negotiation and reset take no time. */
static void write_register(struct dec21140_mii *mii, unsigned number, uint16_t value)
{
    if (number == REGISTER_CONTROL && value & CONTROL_RESET) {
        reset_registers(mii);
    } else if (number == REGISTER_CONTROL) {
        mii->registers[number] = value & CONTROL_WRITABLE;
        if (!dec21140_mii_link(mii))
            mii->link_failed = true;
    } else if (number == REGISTER_ADVERTISEMENT) {
        mii->registers[number] =
            (uint16_t)((value & ADVERTISEMENT_BITS) | (ADVERTISEMENT_DEFAULT & ~ADVERTISEMENT_BITS));
    }
}

static unsigned frame_operation(uint32_t header)
{
    return header >> 10 & 3;
}

static unsigned frame_phy(uint32_t header)
{
    return header >> 5 & 0x1f;
}

static unsigned frame_register(uint32_t header)
{
    return header & 0x1f;
}

static void end_header(struct dec21140_mii *mii)
{
    uint32_t header = mii->shift;

    mii->reading = frame_operation(header) == OPERATION_READ && frame_phy(header) == DEC21140_PHY_ADDRESS;
    if (mii->reading)
        mii->shift = read_register(mii, frame_register(header));
}

static void end_frame(struct dec21140_mii *mii)
{
    uint32_t header = mii->shift >> (FRAME_BITS - FRAME_HEADER_BITS);

    if (!mii->reading && frame_operation(header) == OPERATION_WRITE &&
        frame_phy(header) == DEC21140_PHY_ADDRESS)
        write_register(mii, frame_register(header), mii->shift & 0xffff);
    mii->bits = 0;
    mii->reading = false;
    mii->output = true;
}

/* What the PHY puts on the wire for bit `bits` + 1 of a read: nothing, the turnaround's 0, then the data. */
static bool read_bit(const struct dec21140_mii *mii)
{
    if (mii->bits <= FRAME_HEADER_BITS)
        return true;
    if (mii->bits == FRAME_HEADER_BITS + 1)
        return false;
    return mii->shift >> (FRAME_BITS - 1 - mii->bits) & 1;
}

static void clock_edge(struct dec21140_mii *mii, bool input)
{
    /* Idle, and the preamble, are ones: a frame begins with 0, and 1 must follow. */
    if (mii->bits == 0 && input)
        return;
    if (mii->bits == 1 && !input) {
        mii->bits = 0;
        return;
    }
    if (!mii->reading)
        mii->shift = mii->bits == 0 ? 0 : mii->shift << 1 | input;
    mii->bits++;
    if (mii->bits == FRAME_HEADER_BITS)
        end_header(mii);
    if (mii->bits == FRAME_BITS)
        end_frame(mii);
    else if (mii->reading)
        mii->output = read_bit(mii);
}

void dec21140_mii_drive(struct dec21140_mii *mii, bool clock, bool input)
{
    bool rising = clock && !mii->clock;

    mii->clock = clock;
    if (rising)
        clock_edge(mii, input);
}
