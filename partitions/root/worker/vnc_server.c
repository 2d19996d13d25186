/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/vnc_server.h"

#include <malloc.h>
#include <rfb/rfb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* Of the server's pixels, before the first picture. */
#define FIRST_WIDTH     640
#define FIRST_HEIGHT    480
#define BITS_PER_SAMPLE 8
#define SAMPLES         3
#define BYTES_PER_PIXEL 4
#define LONGEST_WAIT    500 /* milliseconds of libvncserver's, which by design never waits */

/* ---- What viewers do ---- */

static void key_event(rfbBool pressed, rfbKeySym keysym, rfbClientPtr rfb)
{
    struct vnc_client *client = rfb->clientData;
    struct key_event events[KEYBOARD_EVENTS];
    unsigned count = keyboard_event(&client->keyboard, keysym, pressed, events);

    /* No room: the guest does not listen, and is not meant to hear this later. */
    key_queue_add(client->server->keys, events, count, client->server->loop->now);
}

static void pointer_moved(int mask, int x, int y, rfbClientPtr rfb)
{
    struct vnc_client *client = rfb->clientData;

    pointer_event(client->server->pointer, (unsigned)rfb->screen->width, (unsigned)rfb->screen->height, (unsigned)x,
                  (unsigned)y, (unsigned)mask);
}

static void ignore_text(char *text, int length, rfbClientPtr rfb)
{
    (void)text;
    (void)length;
    (void)rfb;
}

static rfbBool check_password(rfbClientPtr rfb, const char *response, int length)
{
    struct vnc_client *client = rfb->clientData;
    struct vnc_server *server = client->server;
    uint8_t right[CHALLENGESIZE], difference = 0;

    memcpy(right, rfb->authChallenge, sizeof right);
    rfbEncryptBytes(right, server->password);
    for (int i = 0; i < CHALLENGESIZE && i < length; i++)
        difference |= right[i] ^ (uint8_t)response[i];
    if (difference)
        server->wrong_password = server->loop->now;
    return difference == 0 && length == CHALLENGESIZE;
}

/* ---- The picture ---- */

static bool wants_picture(const struct vnc_server *server)
{
    for (unsigned i = 0; i < VNC_SERVER_CLIENTS; i++)
        if (vnc_client_wants_picture(&server->clients[i]))
            return true;
    return false;
}

bool vnc_server_picture_is_due(const struct vnc_server *server)
{
    return server->loop->now >= server->drawn + VNC_SERVER_INTERVAL;
}

/* libvncserver's own order of colours is another one. */
static void set_format(rfbScreenInfoPtr rfb)
{
    rfb->serverFormat.depth = BITS_PER_SAMPLE * SAMPLES;
    rfb->serverFormat.redShift = 16;
    rfb->serverFormat.greenShift = 8;
    rfb->serverFormat.blueShift = 0;
}

static void change_size(struct vnc_server *server)
{
    rfbNewFramebuffer(server->rfb, (char *)server->display.pixels, (int)server->display.width,
                      (int)server->display.height, BITS_PER_SAMPLE, SAMPLES, BYTES_PER_PIXEL);
    set_format(server->rfb);
    for (unsigned i = 0; i < VNC_SERVER_CLIENTS; i++) {
        const struct vnc_client *client = &server->clients[i];

        if (client->descriptor < 0 || !client->rfb)
            continue;
        if (client->rfb->state == RFB_NORMAL)
            rfbSetTranslateFunction(client->rfb);
        else
            client->rfb->format = server->rfb->serverFormat;
    }
}

static void mark(struct vnc_server *server, const struct display_area *area)
{
    const struct display *display = &server->display;

    if (area->x >= display->width || area->y >= display->height)
        return;
    rfbMarkRectAsModified(server->rfb, (int)area->x, (int)area->y,
                          (int)(area->width < display->width - area->x ? area->x + area->width : display->width),
                          (int)(area->height < display->height - area->y ? area->y + area->height : display->height));
}

bool vnc_server_refresh(struct vnc_server *server)
{
    struct display_area areas[DISPLAY_AREAS];
    const unsigned width = server->display.width, height = server->display.height;
    unsigned count = server->source->update(server->source->context, &server->display, areas);

    server->drawn = server->loop->now;
    if (server->display.width == 0 || server->display.height == 0 || !server->display.pixels)
        return false;
    if (server->display.width != width || server->display.height != height) {
        change_size(server);
        return true;
    }
    server->rfb->frameBuffer = (char *)server->display.pixels;
    for (unsigned i = 0; i < count && i < DISPLAY_AREAS; i++)
        mark(server, &areas[i]);
    return true;
}

/* ---- Clients ---- */

void vnc_server_add(struct vnc_server *server, int descriptor, bool needs_password)
{
    for (unsigned i = 0; i < VNC_SERVER_CLIENTS; i++)
        if (server->clients[i].descriptor < 0) {
            vnc_client_begin(&server->clients[i], server, descriptor, needs_password);
            return;
        }
    close(descriptor);
}

struct _rfbClientRec *vnc_server_new_client(struct vnc_server *server, int descriptor, struct vnc_client *client)
{
    rfbClientPtr rfb = rfbNewClient(server->rfb, descriptor);

    if (rfb)
        rfb->clientData = client;
    return rfb;
}

void vnc_server_process(struct vnc_server *server, struct _rfbClientRec *rfb, bool needs_password)
{
    /* Whether there is a password is a property of the screen, there; here, of the way in. */
    server->rfb->authPasswdData = needs_password ? server->password : NULL;
    rfbProcessClientMessage(rfb);
    server->rfb->authPasswdData = NULL;
}

void vnc_server_client_gone(struct vnc_server *server)
{
    server->client_count--;
    vnc_server_forget(server);
}

void vnc_server_forget(struct vnc_server *server)
{
    if (server->client_count > 0 || !server->display.pixels)
        return;
    free(server->display.pixels);
    server->display = (struct display){0};
    server->rfb->frameBuffer = NULL;
    malloc_trim(0);
}

/* ---- Running ---- */

void vnc_server_run(struct vnc_server *server)
{
    if (vnc_server_picture_is_due(server) && wants_picture(server)) {
        vnc_server_refresh(server);
        for (unsigned i = 0; i < VNC_SERVER_CLIENTS; i++)
            vnc_client_update(&server->clients[i]);
    }
    for (unsigned i = 0; i < VNC_SERVER_CLIENTS; i++)
        if (server->clients[i].descriptor >= 0 && server->loop->now >= server->clients[i].deadline)
            vnc_client_end(&server->clients[i]);
}

uint64_t vnc_server_due(const struct vnc_server *server)
{
    uint64_t due = wants_picture(server) ? server->drawn + VNC_SERVER_INTERVAL : UINT64_MAX;

    for (unsigned i = 0; i < VNC_SERVER_CLIENTS; i++)
        if (server->clients[i].descriptor >= 0 && server->clients[i].deadline < due)
            due = server->clients[i].deadline;
    return due;
}

static void say_nothing(const char *format, ...)
{
    (void)format;
}

/* The first use of what makes challenges and checks passwords opens files, and that has to be done by now. */
static void prepare_passwords(struct vnc_server *server)
{
    uint8_t scratch[CHALLENGESIZE] = {0};
    unsigned seed;

    rfbRandomBytes(scratch);
    rfbEncryptBytes(scratch, server->password);
    /* It takes its challenges from random(), and seeds that with the time. */
    if (getrandom(&seed, sizeof seed, 0) == sizeof seed)
        srandom(seed);
}

bool vnc_server_initialize(struct vnc_server *server, struct event_loop *loop, const struct display_source *source,
                           struct key_queue *keys, struct pointer *pointer, const char *name, const char *password)
{
    rfbScreenInfoPtr rfb;

    server->loop = loop;
    server->source = source;
    server->keys = keys;
    server->pointer = pointer;
    for (unsigned i = 0; i < VNC_SERVER_CLIENTS; i++)
        server->clients[i].descriptor = -1;
    rfbLog = rfbErr = say_nothing;
    rfb = rfbGetScreen(NULL, NULL, FIRST_WIDTH, FIRST_HEIGHT, BITS_PER_SAMPLE, SAMPLES, BYTES_PER_PIXEL);
    server->rfb = rfb;
    if (!rfb)
        return false;
    set_format(rfb);
    rfb->desktopName = name;
    rfb->cursor = NULL;
    rfb->alwaysShared = TRUE;
    rfb->deferUpdateTime = 0;
    rfb->maxClientWait = LONGEST_WAIT;
    rfb->permitFileTransfer = FALSE;
    rfb->kbdAddEvent = key_event;
    rfb->ptrAddEvent = pointer_moved;
    rfb->setXCutText = ignore_text;
    rfb->setXCutTextUTF8 = ignore_text;
    rfb->passwordCheck = check_password;
    if (password) {
        strncpy(server->password, password, sizeof server->password - 1);
        prepare_passwords(server);
    }
    return true;
}

void vnc_server_close(struct vnc_server *server)
{
    if (!server->rfb)
        return; /* it never began */
    for (unsigned i = 0; i < VNC_SERVER_CLIENTS; i++)
        vnc_client_end(&server->clients[i]);
    rfbScreenCleanup(server->rfb);
    server->rfb = NULL;
    free(server->display.pixels);
    server->display = (struct display){0};
}
