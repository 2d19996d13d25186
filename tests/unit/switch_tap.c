/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes a child of a virtual switch out of a network namespace: a TAP device whose frames go through a
 * nic_port, as those of a worker's network adapter do. For the tests of loam-switch.
 *
 * Usage: switch-tap SOCKET MAC NAME DEVICE. Prints "connected", and "lost" when the switch goes away, then
 * ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "partitions/root/net/nic_port.h"
#include "partitions/root/net/packet.h"

/* Frames taken from the device in a row. */
#define BURST 64

static int tap = -1;

static int open_tap(const char *name)
{
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    int descriptor = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (strlen(name) >= sizeof(request.ifr_name))
        return -1;
    strcpy(request.ifr_name, name);
    if (descriptor < 0 || ioctl(descriptor, TUNSETIFF, &request) != 0)
        return -1;
    return descriptor;
}

/* The "card": a TAP device takes every frame. */
static bool receive(void *card, const uint8_t *frame, size_t length)
{
    (void)card;
    return write(tap, frame, length) >= 0 || errno != EAGAIN;
}

static void lost(void *context)
{
    (void)context;
    puts("lost");
    fflush(stdout);
}

static void send_burst(const struct nic_backend *backend)
{
    static uint8_t frame[NIC_MAXIMUM_FRAME];
    for (int i = 0; i < BURST; i++) {
        ssize_t length = read(tap, frame, sizeof(frame));
        if (length < 0)
            return;
        const struct iovec vector = {.iov_base = frame, .iov_len = (size_t)length};
        /* A card would keep the frame; here the full socket is waited for. */
        for (;;) {
            backend->send(backend->port, &vector, 1);
            if (backend->flush(backend->port))
                break;
            struct pollfd writable = {.fd = nic_port_descriptor(backend->port), .events = POLLOUT};
            if (poll(&writable, 1, 1000) <= 0 || (writable.revents & (POLLERR | POLLHUP)))
                return;
        }
    }
}

int main(int argc, char **argv)
{
    static struct nic_port port;
    struct mac_address mac;
    char error[200];
    if (argc != 5 || !mac_parse(argv[2], &mac)) {
        fprintf(stderr, "usage: %s SOCKET MAC NAME DEVICE\n", argv[0]);
        return 2;
    }
    tap = open_tap(argv[4]);
    if (tap < 0) {
        perror(argv[4]);
        return 1;
    }
    int descriptor = nic_port_connect(argv[1], mac.bytes, argv[3], error, sizeof(error));
    if (descriptor < 0) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    nic_port_initialize(&port, receive, NULL, lost, NULL);
    nic_port_attach(&port, descriptor);
    const struct nic_backend backend = nic_port_backend(&port);
    puts("connected");
    fflush(stdout);
    while (!port.gone) {
        struct pollfd watched[2] = {
            {.fd = descriptor, .events = POLLIN},
            {.fd = tap,        .events = POLLIN}
        };
        if (poll(watched, 2, -1) < 0)
            break;
        if (watched[1].revents)
            send_burst(&backend);
        if (watched[0].revents && nic_port_receive(&port) == NIC_PORT_HELD)
            backend.ready(&port);
    }
    nic_port_disconnect(&port);
    return 0;
}
