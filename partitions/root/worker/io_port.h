/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IN, OUT, INS and OUTS of a stopped VP, carried out on the bus. */
#ifndef WORKER_IO_PORT_H
#define WORKER_IO_PORT_H

#include "hv/message.h"
#include "hv/registers.h"
#include "partitions/root/worker/memory_access.h"

enum io_port_result {
    IO_PORT_DONE,      /* registers are those after the instruction */
    IO_PORT_AGAIN,     /* a repeated instruction got this far; it goes on when the VP runs */
    IO_PORT_EXCEPTION, /* it raised memory->exception; registers are those for its handler */
};

/* Items that a repeated instruction moves before the VP is looked after again. */
#define IO_PORT_MAXIMUM_ITEMS 8192u

/*
 * Carries out the instruction of `message`; `registers` is the state of the stopped VP, changed in place with
 * its dirty bits. Called without the device lock, which it takes.
 */
enum io_port_result io_port_run(struct memory_access *memory, struct hv_vp_register_page *registers,
                                const struct hv_x64_io_port_intercept_message *message);

#endif
