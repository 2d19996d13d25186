/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages of a fixed size between two processes on a SOCK_SEQPACKET socket, with which descriptors can be passed. */
#ifndef ROOT_PASSING_H
#define ROOT_PASSING_H

#include <stdbool.h>
#include <stddef.h>

/* Sends it whole, with a descriptor unless that is -1; the caller keeps it. False: nobody is there, or errno says. */
bool passing_send(int channel, const void *message, size_t size, int descriptor);

/*
 * Takes one message. `flags`: 0 or MSG_DONTWAIT. The descriptor that came with it, or -1, is the caller's; NULL: none
 * may come with it. False with errno: EBADMSG if it is of another size, or brings what it may not; 0 if nobody is there
 * any more.
 */
bool passing_receive(int channel, void *message, size_t size, int flags, int *descriptor);

#endif
