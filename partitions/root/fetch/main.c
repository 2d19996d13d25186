/* SPDX-License-Identifier: GPL-2.0-or-later */
/* loam-fetch: reads what is at a URL for the process of a disk, which has no network. */
#include <argp.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "partitions/root/disk/remote_source.h"
#include "partitions/root/fetch/fetch.h"
#include "partitions/root/fetch/sandbox.h"

#define EXIT_USAGE 2

struct arguments {
    int socket;
    const char *url;
    struct fetch_source expected;
    bool has_size, has_validator;
    struct confinement_user user;
};

enum { OPTION_SOCKET_FD = 0x100, OPTION_SIZE, OPTION_VALIDATOR, OPTION_USER };

/* clang-format off */
static const struct argp_option options[] = {
    {"socket-fd", OPTION_SOCKET_FD, "N", 0, "The socket of the process that reads, as a file descriptor (required)", 0},
    {"size", OPTION_SIZE, "BYTES", 0, "Refuse what is there if it has another size", 0},
    {"validator", OPTION_VALIDATOR, "TEXT", 0,
     "Refuse it if the server gives it another ETag, or time of modification where there is no ETag", 0},
    {"user", OPTION_USER, "USER[:GROUP]", 0, "Become this user before anything is fetched", 0},
    {0},
};
/* clang-format on */

static unsigned long long parse_number(struct argp_state *state, const char *name, const char *text, uint64_t maximum)
{
    char *end;
    unsigned long long number = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || number > maximum)
        argp_error(state, "--%s: \"%s\" is not a number from 0 to %llu", name, text, (unsigned long long)maximum);
    return number;
}

static void parse_validator(struct argp_state *state, const char *text, struct arguments *arguments)
{
    if (!remote_source_check_validator(text))
        argp_error(state, "--validator: a text that no server can have given");
    arguments->has_validator = true;
    snprintf(arguments->expected.validator, sizeof(arguments->expected.validator), "%s", text);
}

static void parse_url(struct argp_state *state, const char *text, struct arguments *arguments)
{
    const char *fault = remote_source_check_url(text);
    if (arguments->url)
        argp_error(state, "unexpected argument '%s'", text);
    if (fault)
        argp_error(state, "%s: %s", text, fault);
    arguments->url = text;
}

static error_t parse_option(int key, char *text, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    char error[CONFINEMENT_ERROR_SIZE];
    switch (key) {
    case OPTION_SOCKET_FD:
        arguments->socket = (int)parse_number(state, "socket-fd", text, INT32_MAX);
        break;
    case OPTION_SIZE:
        arguments->expected.size = parse_number(state, "size", text, INT64_MAX);
        arguments->has_size = true;
        break;
    case OPTION_VALIDATOR:
        parse_validator(state, text, arguments);
        break;
    case OPTION_USER:
        if (!confinement_parse_user(text, &arguments->user, error))
            argp_error(state, "--user: %s", error);
        break;
    case ARGP_KEY_ARG:
        parse_url(state, text, arguments);
        break;
    case ARGP_KEY_END:
        if (arguments->socket < 0 || !arguments->url)
            argp_error(state, "--socket-fd or the URL is missing");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static _Noreturn void fail(const char *text)
{
    fprintf(stderr, "loam-fetch: %s\n", text);
    exit(EXIT_FAILURE);
}

static void check_socket(int socket)
{
    int type;
    socklen_t length = sizeof(type);
    if (getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &length) != 0 || type != SOCK_STREAM)
        fail("--socket-fd: not a stream socket");
    fcntl(socket, F_SETFD, FD_CLOEXEC);
}

/*
 * Ends the process as soon as the disk has closed its end: it has nothing to put in order, and a library may wait just
 * then, for a name server as an example.
 */
static void *watch_disk(void *context)
{
    struct pollfd disk = {.fd = *(const int *)context, .events = POLLRDHUP};
    while (poll(&disk, 1, -1) <= 0)
        ;
    _exit(EXIT_SUCCESS);
}

static struct reader *create_reader(const struct arguments *arguments)
{
    bool http = strncmp(arguments->url, "http", strlen("http")) == 0;
    struct reader *reader = http ? http_reader_create(arguments->url) : nbd_reader_create(arguments->url);
    if (!reader)
        fail("no memory");
    reader->source = arguments->expected;
    reader->size_known = arguments->has_size;
    reader->validator_known = arguments->has_validator;
    return reader;
}

int main(int argc, char **argv)
{
    static const struct argp parser = {
        .options = options,
        .parser = parse_option,
        .args_doc = "URL",
        .doc = "Reads what is at an http, https or NBD URL for the process of a disk, until that closes the socket. "
               "It is started by loamd and loam.\v"
               "Exit status: 0 the socket was closed, or the source refused, which was told; 1 a problem; 2 usage.",
    };
    static struct arguments arguments = {.socket = -1};
    static struct fetch fetch;
    char error[FETCH_TEXT_SIZE];
    pthread_t watch;
    argp_err_exit_status = EXIT_USAGE;
    argp_parse(&parser, argc, argv, 0, NULL, &arguments);
    check_socket(arguments.socket);
    signal(SIGPIPE, SIG_IGN);
    if (!fetch_initialize(&fetch, arguments.socket, create_reader(&arguments)) ||
        pthread_create(&watch, NULL, watch_disk, &arguments.socket) != 0)
        fail("no memory");
    if (!sandbox_enter(&arguments.user, error) || !fetch_run(&fetch, error))
        fail(error);
    /* Not by exit: libraries would wait for names that are being looked up. */
    _exit(EXIT_SUCCESS);
}
