/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sockets that viewers connect to without going through the control socket. */
#include "partitions/root/worker/screen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "partitions/root/worker/control.h"

#define BACKLOG 8

static bool refuse(char error[SCREEN_ERROR_SIZE], const char *address, const char *reason)
{
    snprintf(error, SCREEN_ERROR_SIZE, "%.200s: %s", address, reason);
    return false;
}

/* "127.0.0.1:5901" or "[::1]:5901", numbers only: nobody is asked for names. */
static struct addrinfo *parse(const char *address)
{
    const struct addrinfo hints = {
        .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE, .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    const char *colon = strrchr(address, ':');
    char host[64];
    size_t length = colon ? (size_t)(colon - address) : 0;

    if (length > 2 && address[0] == '[' && address[length - 1] == ']') {
        address++;
        length -= 2;
    }
    if (length == 0 || length >= sizeof host || !colon[1])
        return NULL;
    memcpy(host, address, length);
    host[length] = 0;
    return getaddrinfo(host, colon + 1, &hints, &found) == 0 ? found : NULL;
}

static bool is_loopback(const struct addrinfo *address)
{
    if (address->ai_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)address->ai_addr)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)address->ai_addr)->sin6_addr);
}

static int open_network(const struct addrinfo *address)
{
    const int one = 1;
    int descriptor = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int error;

    if (descriptor >= 0 && setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
        bind(descriptor, address->ai_addr, address->ai_addrlen) == 0 && listen(descriptor, BACKLOG) == 0)
        return descriptor;
    error = errno;
    if (descriptor >= 0)
        close(descriptor);
    errno = error;
    return -1;
}

static bool listen_network(const struct configuration_screen *configuration, struct screen_listeners *listeners,
                           char error[SCREEN_ERROR_SIZE])
{
    struct addrinfo *address = parse(configuration->address);

    if (!address)
        return refuse(error, configuration->address, "is not an address and a port, such as 127.0.0.1:5901");
    if (configuration->password || is_loopback(address)) {
        listeners->network = open_network(address);
        listeners->password = configuration->password;
        if (listeners->network < 0)
            refuse(error, configuration->address, strerror(errno));
    } else {
        refuse(error, configuration->address,
               "others could look at the screen: give it a password, or a loopback address");
    }
    freeaddrinfo(address);
    return listeners->network >= 0;
}

bool screen_listen(const struct configuration_screen *configuration, struct screen_listeners *listeners,
                   char error[SCREEN_ERROR_SIZE])
{
    *listeners = (struct screen_listeners){.local = configuration->local.descriptor, .network = -1};
    if (listeners->local < 0 && configuration->local.path) {
        listeners->local = control_listen(configuration->local.path, error);
        if (listeners->local < 0)
            return false;
    }
    if (listeners->local >= 0)
        fcntl(listeners->local, F_SETFL, O_NONBLOCK);
    if (!configuration->address || listen_network(configuration, listeners, error))
        return true;
    screen_close_listeners(listeners);
    return false;
}

void screen_close_listeners(struct screen_listeners *listeners)
{
    if (listeners->local >= 0)
        close(listeners->local);
    if (listeners->network >= 0)
        close(listeners->network);
    listeners->local = listeners->network = -1;
}
