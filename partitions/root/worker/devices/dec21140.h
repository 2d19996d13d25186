/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * DEC 21140A, Hyper-V's legacy network adapter (21140A PCI Fast Ethernet LAN Controller Hardware Reference
 * Manual): registers CSR0 to CSR15 by ports and by memory, descriptor rings and chains, setup frames, serial
 * ROM, MII, timer.
 *
 * dec21140.c holds the registers and interrupts, dec21140_transmit.c and dec21140_receive.c the two
 * processes. Used under the device lock.
 */
#ifndef WORKER_DEVICES_DEC21140_H
#define WORKER_DEVICES_DEC21140_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "partitions/root/net/nic_backend.h"
#include "partitions/root/worker/devices/dec21140_filter.h"
#include "partitions/root/worker/devices/dec21140_mii.h"
#include "partitions/root/worker/devices/dec21140_srom.h"
#include "partitions/root/worker/devices/pci.h"
#include "partitions/root/worker/guest_memory.h"
#include "partitions/root/worker/timer.h"

#define DEC21140_CSRS 16

/* CSR5<22:20> and CSR5<19:17>: what a process does (chapter 3). */
enum dec21140_transmit_state {
    DEC21140_TRANSMIT_STOPPED = 0,
    DEC21140_TRANSMIT_FETCHING = 1,
    DEC21140_TRANSMIT_WAITING = 2, /* for the end of transmission */
    DEC21140_TRANSMIT_SUSPENDED = 6,
};

enum dec21140_receive_state {
    DEC21140_RECEIVE_STOPPED = 0,
    DEC21140_RECEIVE_WAITING = 3, /* for a frame */
    DEC21140_RECEIVE_SUSPENDED = 4,
};

struct dec21140 {
    struct pci_device pci;
    const struct guest_memory *memory;
    struct timer_queue *timers;
    struct nic_backend backend;

    uint32_t csr[DEC21140_CSRS]; /* what software wrote; CSR5: the events it has not acknowledged */
    struct dec21140_srom srom;
    struct dec21140_mii mii;
    struct dec21140_filter filter;
    bool bus_error; /* a fatal bus error: no more bus accesses until a software reset */

    enum dec21140_transmit_state transmit_state;
    uint32_t transmit_current;     /* address of the next descriptor */
    uint64_t transmit_quiet_until; /* before then, the end of the list is not reported */
    uint64_t transmit_busy_until;  /* before then, frames gather in the driver's list, */
    uint32_t transmit_gathered;    /* so many descriptors, */
    uint32_t transmit_seen;        /* and this is the address of the next */
    uint32_t transmit_bytes;       /* put out and not handed over to the switch yet */
    struct timer transmit_timer;   /* goes on transmitting, or looks again for something to transmit */

    enum dec21140_receive_state receive_state;
    uint32_t receive_current;
    bool receive_held;     /* the backend holds a frame that found no descriptor */
    bool receive_overflow; /* ... for so long that frames are now lost */
    uint64_t receive_held_since;
    struct timer receive_timer;
    uint32_t missed_frames; /* since CSR8 was read */

    struct timer general_timer; /* CSR11 */
    uint8_t pins_out;           /* CSR12: the pins that are outputs */
};

struct dec21140_configuration {
    const struct guest_memory *memory; /* the caller's, as the next one, as long as the card lives */
    struct timer_queue *timers;
    uint8_t mac_address[6];
    /* send NULL: not connected, the card has no link. ready may be NULL if receive is never refused. */
    struct nic_backend backend;
};

/* Joins the bus at `slot`, function 0; `card` must be zeroed. False if the place is taken. */
bool dec21140_initialize(struct dec21140 *card, struct pci_bus *pci, unsigned slot,
                         const struct dec21140_configuration *configuration);

/* A nic_receive_fn; `card` is the struct dec21140. Frames that the card filters out are taken and dropped. */
bool dec21140_receive(void *card, const uint8_t *frame, size_t length);

/* Plugs the cable in or out. */
void dec21140_set_link(struct dec21140 *card, bool link);

#endif
