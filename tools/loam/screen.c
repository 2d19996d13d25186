/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/loam/screen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tools/loam/cli.h"

#define VIEWERS    8u
#define BACKLOG    8
#define CHUNK      16384u
#define FIRST_PORT 5900u /* of VNC's displays */
#define LAST_PORT  5999u
#define PLACE_SIZE 160u

/* Bytes on their way from one socket to the other. */
struct way {
    int from, to;
    size_t first, length;
    char bytes[CHUNK];
};

struct viewer {
    bool used;
    struct way in, out;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    interrupted = number;
}

static void catch_signals(void)
{
    static const int signals[] = {SIGTERM, SIGHUP, SIGINT, SIGQUIT};
    const struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART: poll() ends */
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        sigaction(signals[i], &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* ---- Listening ---- */

static int open_listener(int family, const struct sockaddr *address, socklen_t length)
{
    const int one = 1;
    int listener = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener >= 0 && family != AF_UNIX)
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (listener < 0 || (bind(listener, address, length) == 0 && listen(listener, BACKLOG) == 0))
        return listener;
    int error = errno;
    close(listener);
    errno = error;
    return -1;
}

/* Only for the user himself. */
static int listen_path(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address.sun_path, path);
    mode_t before = umask(0177);
    int listener = open_listener(AF_UNIX, (const struct sockaddr *)&address, sizeof(address));
    umask(before);
    return listener;
}

static int listen_any_port(char place[PLACE_SIZE])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = -1;
    for (unsigned port = FIRST_PORT; listener < 0 && port <= LAST_PORT; port++) {
        address.sin_port = htons((uint16_t)port);
        listener = open_listener(AF_INET, (const struct sockaddr *)&address, sizeof(address));
        snprintf(place, PLACE_SIZE, "127.0.0.1:%u", port);
    }
    return listener;
}

static bool is_loopback(const struct addrinfo *address)
{
    if (address->ai_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)address->ai_addr)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)address->ai_addr)->sin6_addr);
}

/* "127.0.0.1:5901" or "[::1]:5901" */
static int listen_address(const char *place)
{
    const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
    struct addrinfo *address = NULL;
    const char *colon = strrchr(place, ':');
    char host[PLACE_SIZE] = "";
    if (colon)
        snprintf(host, sizeof(host), "%.*s", (int)(colon - place), place);
    size_t length = strlen(host);
    bool brackets = length > 2 && host[0] == '[' && host[length - 1] == ']';
    if (brackets)
        host[length - 1] = '\0';
    if (!length || !colon[1] || getaddrinfo(host + brackets, colon + 1, &hints, &address) != 0)
        cli_refuse("--listen: '%s' is neither an address with a port, such as 127.0.0.1:5901, nor a path", place);
    if (!is_loopback(address))
        cli_refuse("--listen: others could look at the screen at %s: take a loopback address, and reach it from "
                   "elsewhere by ssh -L",
                   place);
    int listener = open_listener(address->ai_family, address->ai_addr, address->ai_addrlen);
    freeaddrinfo(address);
    return listener;
}

/* Ends the program if it cannot be done. `place` becomes what was chosen. */
static int listen_at(const char *wanted, char place[PLACE_SIZE])
{
    int listener;
    if (!wanted) {
        listener = listen_any_port(place);
    } else {
        snprintf(place, PLACE_SIZE, "%s", wanted);
        listener = strchr(wanted, '/') ? listen_path(wanted) : listen_address(wanted);
    }
    if (listener < 0)
        cli_refuse("%s: cannot be listened on: %s", place, strerror(errno));
    return listener;
}

/* ---- Viewers ---- */

static int connect_screen(const char *name, int *status)
{
    json_t *value = json_string(name); /* one that is not UTF-8 is none that exists */
    int descriptor = -1;
    json_t *result = cli_call_for_descriptor("vm-screen", json_pack("{s:o}", "name", value ? value : json_string("?")),
                                             &descriptor, status);
    json_decref(result);
    return descriptor;
}

static void accept_viewer(int listener, const char *name, struct viewer *viewers)
{
    int status, descriptor = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct viewer *viewer = viewers;
    if (descriptor < 0)
        return; /* gone already */
    while (viewer < viewers + VIEWERS && viewer->used)
        viewer++;
    int screen = viewer < viewers + VIEWERS ? connect_screen(name, &status) : -1;
    if (screen < 0) {
        close(descriptor);
        return;
    }
    viewer->used = true;
    viewer->in.from = viewer->out.to = descriptor;
    viewer->out.from = viewer->in.to = screen;
    viewer->in.length = viewer->out.length = 0;
}

static void end_viewer(struct viewer *viewer)
{
    close(viewer->in.from);
    close(viewer->in.to);
    viewer->used = false;
}

/* Takes what has come, or passes on what is there. False: one of the two has gone. */
static bool move(struct way *way)
{
    ssize_t count;
    if (way->length == 0) {
        count = recv(way->from, way->bytes, sizeof(way->bytes), MSG_DONTWAIT);
        if (count <= 0)
            return count < 0 && (errno == EAGAIN || errno == EINTR);
        way->first = 0;
        way->length = (size_t)count;
    }
    count = send(way->to, way->bytes + way->first, way->length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0)
        return errno == EAGAIN || errno == EINTR;
    way->first += (size_t)count;
    way->length -= (size_t)count;
    return true;
}

/* What a way waits for: bytes, or room for those it has. */
static struct pollfd waiting(const struct way *way)
{
    return (struct pollfd){.fd = way->length ? way->to : way->from, .events = way->length ? POLLOUT : POLLIN};
}

static void turn(int listener, const char *name, struct viewer *viewers)
{
    struct pollfd sources[1 + 2 * VIEWERS] = {
        {.fd = listener, .events = POLLIN}
    };
    for (unsigned i = 0; i < VIEWERS; i++) {
        sources[1 + 2 * i] = viewers[i].used ? waiting(&viewers[i].in) : (struct pollfd){.fd = -1};
        sources[2 + 2 * i] = viewers[i].used ? waiting(&viewers[i].out) : (struct pollfd){.fd = -1};
    }
    if (poll(sources, sizeof(sources) / sizeof(sources[0]), -1) < 0)
        return;
    for (unsigned i = 0; i < VIEWERS; i++)
        if (viewers[i].used && ((sources[1 + 2 * i].revents && !move(&viewers[i].in)) ||
                                (sources[2 + 2 * i].revents && !move(&viewers[i].out))))
            end_viewer(&viewers[i]);
    if (sources[0].revents)
        accept_viewer(listener, name, viewers);
}

static void announce(const char *name, const char *place)
{
    if (cli_options.json)
        cli_print_json(json_pack("{s:s, s:s}", "name", name, "listen", place));
    else
        printf("The screen of %s is at %s until Ctrl-C, for any VNC viewer:\n    vncviewer %s\n", name, place, place);
    fflush(stdout);
}

int screen_serve(const char *name, const char *wanted)
{
    static struct viewer viewers[VIEWERS];
    char place[PLACE_SIZE];
    int status, screen = connect_screen(name, &status);
    if (screen < 0)
        return status;
    close(screen); /* so much for whether there is one */
    catch_signals();
    int listener = listen_at(wanted, place);
    announce(name, place);
    while (!interrupted)
        turn(listener, name, viewers);
    for (unsigned i = 0; i < VIEWERS; i++)
        if (viewers[i].used)
            end_viewer(&viewers[i]);
    close(listener);
    if (strchr(place, '/'))
        unlink(place);
    return interrupted == SIGINT ? CLI_DONE : CLI_SIGNALLED + interrupted;
}
