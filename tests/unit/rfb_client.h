/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A small VNC viewer (RFC 6143) that knows the raw encoding and changes of size. */
#ifndef TESTS_RFB_CLIENT_H
#define TESTS_RFB_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rfb_client {
    int descriptor; /* non-blocking */
    /* Lets the server go on. It is called whenever there is nothing to read. */
    void (*turn)(void);
    unsigned width, height;
    uint32_t *pixels; /* 00RRGGBBh */
    char name[128];
    unsigned updates, rectangles; /* that have come */
    uint64_t area;                /* pixels of them */
};

/* All fail the test if the server says something else than it should, or nothing. */
void rfb_client_send(struct rfb_client *client, const void *bytes, size_t length);
void rfb_client_receive(struct rfb_client *client, void *bytes, size_t length);

/* The handshake up to the choice of `type` (1 none, 2 VNC authentication); `version` is what we say. */
void rfb_client_choose(struct rfb_client *client, const char *version, uint8_t type);
/* The result of authentication. */
uint32_t rfb_client_result(struct rfb_client *client);
/* ClientInit and ServerInit. */
void rfb_client_initialize(struct rfb_client *client);
/* All of the above without a password, and raw encoding with changes of size. */
void rfb_client_connect(struct rfb_client *client);

void rfb_client_set_encodings(struct rfb_client *client, const int32_t *encodings, unsigned count);
void rfb_client_request(struct rfb_client *client, bool incremental);
/* Takes one FramebufferUpdate. */
void rfb_client_update(struct rfb_client *client);
/* Requests all of the picture, and takes updates until it is this one. */
void rfb_client_look(struct rfb_client *client, unsigned width, unsigned height, const uint32_t *pixels);
void rfb_client_key(struct rfb_client *client, uint32_t keysym, bool pressed);
void rfb_client_pointer(struct rfb_client *client, uint8_t mask, uint16_t x, uint16_t y);

/* The server has closed the connection; what it said before is thrown away. */
bool rfb_client_is_gone(struct rfb_client *client);
void rfb_client_close(struct rfb_client *client);

#endif
