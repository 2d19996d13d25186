/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The messages of a VNC viewer (RFC 6143, 7.1 to 7.5), as far as is needed to know where one ends and whether
 * it may go on to libvncserver: that waits for the rest of a message that has begun, and so gets whole ones
 * only, and none of its extensions (file transfer, text chat, scaling, web sockets).
 */
#ifndef WORKER_VNC_MESSAGE_H
#define WORKER_VNC_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VNC_MESSAGE_VERSION_LENGTH 12u
#define VNC_MESSAGE_ENCODINGS      256u /* that a viewer may name */
#define VNC_MESSAGE_LONGEST        (4u + 4u * VNC_MESSAGE_ENCODINGS)

/* What is expected of the viewer. */
enum vnc_phase {
    VNC_PHASE_VERSION,
    VNC_PHASE_SECURITY,          /* its choice of a security type: none */
    VNC_PHASE_SECURITY_PASSWORD, /* the same: VNC authentication */
    VNC_PHASE_PASSWORD,          /* its response to the challenge */
    VNC_PHASE_INITIALISATION,
    VNC_PHASE_NORMAL,
    VNC_PHASES
};

enum vnc_verdict {
    VNC_MESSAGE_INCOMPLETE, /* more bytes are needed */
    VNC_MESSAGE_WHOLE,      /* `length` bytes, good */
    VNC_MESSAGE_IGNORED,    /* `length` bytes, of which some may not have arrived, are to be thrown away */
    VNC_MESSAGE_WRONG       /* the viewer is not one, or wants what there is not */
};

/* Looks at what has arrived: `count` bytes, of which nothing is changed. */
enum vnc_verdict vnc_message_look(enum vnc_phase phase, const uint8_t *bytes, size_t count, uint64_t *length);

/* Takes the encodings that are not served out of a whole SetEncodings message, in place; returns its length then.
 * Other messages stay as they are. */
size_t vnc_message_filter(enum vnc_phase phase, uint8_t *bytes, size_t length);

#endif
