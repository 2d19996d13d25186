/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/vnc_client.h"

#include <errno.h>
#include <rfb/rfb.h>
#include <rfb/rfbregion.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#include "partitions/root/worker/vnc_server.h"

#define GREETING   "RFB 003.008\n"
#define PIXEL_SIZE 4u
#define PAIR_ROOM                                                                                                      \
    (2 * VNC_CLIENT_SLICE) /* the kernel counts its own overhead too, and doubles what it is asked for                 \
                            */

_Static_assert(VNC_CLIENT_SLICE / PIXEL_SIZE >= DISPLAY_MAXIMUM_WIDTH, "a slice has at least a row");

static enum vnc_phase phase(const struct vnc_client *client)
{
    if (!client->rfb)
        return VNC_PHASE_VERSION;
    switch (client->rfb->state) {
    case RFB_PROTOCOL_VERSION:
        return VNC_PHASE_VERSION;
    case RFB_SECURITY_TYPE:
        return client->needs_password ? VNC_PHASE_SECURITY_PASSWORD : VNC_PHASE_SECURITY;
    case RFB_AUTHENTICATION:
        return VNC_PHASE_PASSWORD;
    case RFB_NORMAL:
        return VNC_PHASE_NORMAL;
    default:
        return VNC_PHASE_INITIALISATION;
    }
}

static bool is_viewing(const struct vnc_client *client)
{
    return client->rfb && client->rfb->state == RFB_NORMAL;
}

/* ---- Output ---- */

/* What libvncserver wrote goes to the buffer. False: it has closed its end, and that was all. */
static bool fetch_output(struct vnc_client *client)
{
    ssize_t count;
    size_t skipped;

    if (client->inner < 0)
        return !client->ending;
    count = recv(client->inner, client->output, sizeof client->output, MSG_DONTWAIT);
    if (count <= 0)
        return count < 0 && (errno == EAGAIN || errno == EINTR);
    skipped = client->repeated < (size_t)count ? client->repeated : (size_t)count;
    client->repeated -= skipped;
    client->output_first = skipped;
    client->output_length = (size_t)count - skipped;
    return true;
}

static void watch(struct vnc_client *client, bool blocked)
{
    if (client->blocked == blocked)
        return;
    client->blocked = blocked;
    event_loop_change(client->server->loop, &client->source, EPOLLIN | (blocked ? EPOLLOUT : 0));
    if (is_viewing(client) || client->ending)
        client->deadline = blocked || client->ending ? client->server->loop->now + VNC_CLIENT_PATIENCE : UINT64_MAX;
}

/* Sends what the viewer takes. False: the client has ended. */
static bool pass_output(struct vnc_client *client)
{
    for (;;) {
        ssize_t count;

        if (client->output_length == 0 && !fetch_output(client)) {
            vnc_client_end(client);
            return false;
        }
        if (client->output_length == 0) {
            watch(client, false);
            return true;
        }
        count = send(client->descriptor, client->output + client->output_first, client->output_length,
                     MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count < 0 && errno == EAGAIN) {
            watch(client, true);
            return true;
        }
        if (count < 0 && errno != EINTR) {
            vnc_client_end(client);
            return false;
        }
        if (count > 0) {
            client->output_first += (size_t)count;
            client->output_length -= (size_t)count;
            if (client->blocked && is_viewing(client))
                client->deadline = client->server->loop->now + VNC_CLIENT_PATIENCE;
        }
    }
}

/* libvncserver may have closed its end: what it wrote before still goes out. */
static bool look_after(struct vnc_client *client)
{
    if (client->rfb && client->rfb->sock == RFB_INVALID_SOCKET) {
        rfbClientConnectionGone(client->rfb);
        client->rfb = NULL;
        client->ending = true;
        client->deadline = client->server->loop->now + VNC_CLIENT_PATIENCE;
    }
    return pass_output(client);
}

/* ---- The picture ---- */

bool vnc_client_wants_picture(const struct vnc_client *client)
{
    return client->descriptor >= 0 && is_viewing(client) && !client->blocked &&
           !sraRgnEmpty(client->rfb->requestedRegion);
}

/* The part of a region from the client's next row on, or else from the region's first row. */
static sraRegionPtr cut(struct vnc_client *client, sraRegionPtr region, const sraRect *bounds, int rows)
{
    sraRegionPtr slice;

    /* Round and round, so that a part that changes all the time does not hide the others. */
    if (client->next_row < bounds->y1 || client->next_row >= bounds->y2)
        client->next_row = bounds->y1;
    slice = sraRgnCreateRect(bounds->x1, client->next_row, bounds->x2, client->next_row + rows);
    sraRgnAnd(slice, region);
    if (sraRgnEmpty(slice)) {
        sraRgnDestroy(slice);
        client->next_row = bounds->y1;
        slice = sraRgnCreateRect(bounds->x1, bounds->y1, bounds->x2, bounds->y1 + rows);
        sraRgnAnd(slice, region);
    }
    client->next_row += rows;
    return slice;
}

/* What has changed, is wanted, and is no more than a slice; the caller's. */
static sraRegionPtr next_slice(struct vnc_client *client)
{
    sraRegionPtr wanted = sraRgnCreateRgn(client->rfb->modifiedRegion), box, slice;
    sraRect bounds;
    int rows;

    sraRgnAnd(wanted, client->rfb->requestedRegion);
    box = sraRgnBBox(wanted);
    if (sraRgnPopRect(box, &bounds, 0)) {
        rows = (int)(VNC_CLIENT_SLICE / PIXEL_SIZE) / (bounds.x2 - bounds.x1);
        if (bounds.y2 - bounds.y1 > rows) {
            slice = cut(client, wanted, &bounds, rows);
            sraRgnDestroy(wanted);
            wanted = slice;
        }
    }
    sraRgnDestroy(box);
    return wanted;
}

void vnc_client_update(struct vnc_client *client)
{
    sraRegionPtr slice;

    if (!vnc_client_wants_picture(client) || !client->server->display.pixels)
        return;
    slice = next_slice(client);
    if (!sraRgnEmpty(slice) || client->rfb->newFBSizePending)
        rfbSendFramebufferUpdate(client->rfb, slice);
    sraRgnDestroy(slice);
    look_after(client);
}

/* ---- Input ---- */

/* libvncserver's end of the pair; -1: there is none to be had. */
static int open_pair(struct vnc_client *client)
{
    const int room = PAIR_ROOM;
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
        return -1;
    client->inner = ends[1];
    if (ends[0] < FD_SETSIZE && setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room) == 0)
        return ends[0];
    close(ends[0]);
    return -1;
}

/* The viewer has said that it is one. With its version there already, libvncserver does not wait to see
 * whether this is a web socket. */
static bool introduce(struct vnc_client *client, const uint8_t *bytes, size_t length)
{
    int outer = open_pair(client);

    if (outer < 0)
        return false;
    if (send(client->inner, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)length) {
        close(outer);
        return false;
    }
    client->repeated = strlen(GREETING);
    client->rfb = vnc_server_new_client(client->server, outer, client);
    return client->rfb;
}

/* Hands a message over. False: the client has ended. */
static bool hand_on(struct vnc_client *client, const uint8_t *bytes, size_t length)
{
    /* Nothing else is in this direction of the pair: it takes a message. */
    if (client->rfb ? send(client->inner, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)length
                    : !introduce(client, bytes, length)) {
        vnc_client_end(client);
        return false;
    }
    vnc_server_process(client->server, client->rfb, client->needs_password);
    return look_after(client);
}

/* The first one of those that have logged in needs a picture to be told its size. */
static bool prepare(struct vnc_client *client, enum vnc_phase before)
{
    if (before != VNC_PHASE_INITIALISATION || vnc_server_refresh(client->server))
        return true;
    vnc_client_end(client);
    return false;
}

static void take(struct vnc_client *client, size_t length)
{
    client->input_length -= length;
    memmove(client->input, client->input + length, client->input_length);
}

/* Returns false when there is no whole message left, or the client has ended. */
static bool serve_message(struct vnc_client *client)
{
    uint8_t message[VNC_CLIENT_INPUT];
    const enum vnc_phase before = phase(client);
    uint64_t length;

    if (client->ignored > 0) {
        size_t now = client->ignored < client->input_length ? (size_t)client->ignored : client->input_length;

        client->ignored -= now;
        take(client, now);
    }
    switch (vnc_message_look(before, client->input, client->input_length, &length)) {
    case VNC_MESSAGE_INCOMPLETE:
        return false;
    case VNC_MESSAGE_IGNORED:
        client->ignored = length;
        return true;
    case VNC_MESSAGE_WRONG:
        vnc_client_end(client);
        return false;
    default:
        break;
    }
    memcpy(message, client->input, length);
    take(client, length);
    if (!prepare(client, before) || !hand_on(client, message, vnc_message_filter(before, message, length)))
        return false;
    if (before != VNC_PHASE_NORMAL && is_viewing(client) && !client->blocked)
        client->deadline = UINT64_MAX;
    return !client->ending;
}

static void receive(struct vnc_client *client)
{
    ssize_t count = recv(client->descriptor, client->input + client->input_length,
                         sizeof client->input - client->input_length, MSG_DONTWAIT);

    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (count <= 0) {
        vnc_client_end(client);
        return;
    }
    if (client->ending)
        return; /* whatever else it says */
    client->input_length += (size_t)count;
    while (serve_message(client))
        ;
    /* Further parts of a picture that is there need not wait for the next one. */
    if (client->descriptor >= 0 && !vnc_server_picture_is_due(client->server))
        vnc_client_update(client);
}

static void client_event(void *owner, uint32_t events)
{
    struct vnc_client *client = owner;

    if ((events & EPOLLOUT) && !pass_output(client))
        return;
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        receive(client);
}

/* ---- Beginning and end ---- */

bool vnc_client_begin(struct vnc_client *client, struct vnc_server *server, int descriptor, bool needs_password)
{
    client->server = server;
    client->descriptor = descriptor;
    client->needs_password = needs_password;
    client->rfb = NULL;
    client->inner = -1;
    client->ending = client->blocked = false;
    client->deadline = server->loop->now + VNC_CLIENT_PATIENCE;
    client->ignored = 0;
    client->repeated = 0;
    client->next_row = 0;
    client->keyboard = (struct keyboard){0};
    client->input_length = client->output_first = 0;
    client->output_length = strlen(GREETING);
    memcpy(client->output, GREETING, strlen(GREETING));
    if (event_loop_add(server->loop, &client->source, descriptor, EPOLLIN, client_event, client)) {
        close(descriptor);
        client->descriptor = -1;
        return false;
    }
    server->client_count++;
    return pass_output(client);
}

void vnc_client_end(struct vnc_client *client)
{
    struct key_event event;

    if (client->descriptor < 0)
        return;
    while (keyboard_release(&client->keyboard, &event))
        key_queue_add(client->server->keys, &event, 1, client->server->loop->now);
    if (client->rfb)
        rfbClientConnectionGone(client->rfb);
    client->rfb = NULL;
    if (client->inner >= 0)
        close(client->inner);
    client->inner = -1;
    event_loop_remove(client->server->loop, &client->source);
    close(client->descriptor);
    client->descriptor = -1;
    vnc_server_client_gone(client->server);
}
