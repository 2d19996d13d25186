/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the 21140A's registers, its transmit process and its receive process share: register fields,
 * descriptors and events. For dec21140*.c only.
 */
#ifndef WORKER_DEVICES_DEC21140_PROCESS_H
#define WORKER_DEVICES_DEC21140_PROCESS_H

#include "partitions/root/worker/devices/dec21140.h"

/* CSR0, bus mode. */
#define CSR0_SOFTWARE_RESET       0x00000001u
#define CSR0_SKIP_LENGTH(csr0)    ((csr0) >> 2 & 0x1f) /* longwords between the descriptors of a ring */
#define CSR0_BIG_BUFFERS          0x00000080u
#define CSR0_AUTOMATIC_POLL(csr0) ((csr0) >> 17 & 7)
#define CSR0_BIG_DESCRIPTORS      0x00100000u

/* CSR5, status: events, and the fields composed from the state of the processes. */
#define CSR5_TRANSMIT_INTERRUPT   0x00000001u
#define CSR5_TRANSMIT_STOPPED     0x00000002u
#define CSR5_TRANSMIT_UNAVAILABLE 0x00000004u
#define CSR5_TRANSMIT_JABBER      0x00000008u
#define CSR5_TRANSMIT_UNDERFLOW   0x00000020u
#define CSR5_RECEIVE_INTERRUPT    0x00000040u
#define CSR5_RECEIVE_UNAVAILABLE  0x00000080u
#define CSR5_RECEIVE_STOPPED      0x00000100u
#define CSR5_RECEIVE_WATCHDOG     0x00000200u
#define CSR5_EARLY_TRANSMIT       0x00000400u
#define CSR5_TIMER_EXPIRED        0x00000800u
#define CSR5_FATAL_BUS_ERROR      0x00002000u
#define CSR5_EARLY_RECEIVE        0x00004000u
#define CSR5_ABNORMAL             0x00008000u
#define CSR5_NORMAL               0x00010000u
#define CSR5_RECEIVE_STATE_SHIFT  17
#define CSR5_TRANSMIT_STATE_SHIFT 20
#define CSR5_MASTER_ABORT         0x00800000u /* <25:23>: the kind of bus error */

/* CSR6, operation mode. */
#define CSR6_RECEIVE               0x00000002u
#define CSR6_PROMISCUOUS           0x00000040u
#define CSR6_ALL_MULTICAST         0x00000080u
#define CSR6_INTERNAL_LOOPBACK     0x00000400u
#define CSR6_EXTERNAL_LOOPBACK     0x00000800u
#define CSR6_LOOPBACK              0x00000c00u
#define CSR6_TRANSMIT              0x00002000u
#define CSR6_PORT_SELECT           0x00040000u
#define CSR6_TRANSMIT_THRESHOLD_10 0x00400000u
#define CSR6_RECEIVE_ALL           0x40000000u

/* CSR15, watchdog timer. */
#define CSR15_JABBER_DISABLE 0x00000001u

/* The first word of every descriptor. */
#define DESCRIPTOR_OWNED 0x80000000u

/* The second word: sizes of the two buffers, and where the next descriptor is. */
#define DESCRIPTOR_SIZE_1(control) ((control)&0x7ff)
#define DESCRIPTOR_SIZE_2(control) ((control) >> 11 & 0x7ff)
#define DESCRIPTOR_END_OF_RING     0x02000000u
#define DESCRIPTOR_CHAINED         0x01000000u

/* Frames are padded to this length without their check sequence. */
#define SHORTEST_FRAME 60u
#define FRAME_CHECK    4u

/* A private copy of a descriptor. */
struct dec21140_descriptor {
    uint32_t address;
    uint32_t status;
    uint32_t control;
    uint32_t buffer[2];
};

/* Reads the descriptor at `address`; false if it is not RAM. */
bool dec21140_read(const struct dec21140 *card, uint32_t address, struct dec21140_descriptor *descriptor);

/* The same as the bus master: if it is not RAM, that is a fatal bus error. */
bool dec21140_fetch(struct dec21140 *card, uint32_t address, struct dec21140_descriptor *descriptor);

/* Writes the status word: with it the descriptor is the driver's again. False after a fatal bus error. */
bool dec21140_close(struct dec21140 *card, const struct dec21140_descriptor *descriptor, uint32_t status);

/* The address of the descriptor after this one, in the list that begins at `base`. */
uint32_t dec21140_next(const struct dec21140 *card, const struct dec21140_descriptor *descriptor,
                       uint32_t base);

/* The second buffer, unless its place holds the next descriptor's address. */
uint32_t dec21140_second_size(const struct dec21140_descriptor *descriptor);

/*
 * What buffers hold, in the order of the wire; false if they are not RAM. With big-endian buffers (CSR0<7>)
 * the bytes of each longword are the other way round.
 */
bool dec21140_read_data(const struct dec21140 *card, uint32_t address, uint8_t *data, size_t length);
bool dec21140_write_data(const struct dec21140 *card, uint64_t address, const uint8_t *data, size_t length);

/* Records events of CSR5 and drives the interrupt pin. */
void dec21140_event(struct dec21140 *card, uint32_t events);
void dec21140_update_interrupt(struct dec21140 *card);

/* The bus did not answer: both processes cease until a software reset. */
void dec21140_bus_error(struct dec21140 *card);

/* May the card access memory at all? */
bool dec21140_may_master(const struct dec21140 *card);

/* dec21140_transmit.c */
void dec21140_transmit_start(struct dec21140 *card);
void dec21140_transmit_stop(struct dec21140 *card);
/* Poll demand: transmits what there is, or lets it gather while the wire is busy. */
void dec21140_transmit_poll(struct dec21140 *card);
void dec21140_transmit_expired(void *card, uint64_t now);

/* dec21140_receive.c */
void dec21140_receive_start(struct dec21140 *card);
void dec21140_receive_stop(struct dec21140 *card);
void dec21140_receive_poll(struct dec21140 *card);
void dec21140_receive_expired(void *card, uint64_t now);
/* Software has done something: a frame that is held may have a descriptor now. Call last, it may receive. */
void dec21140_receive_retry(struct dec21140 *card);
/* Receives a frame of the card's own, in a loopback mode. */
void dec21140_receive_loopback(struct dec21140 *card, const uint8_t *frame, size_t length);

#endif
