/* SPDX-License-Identifier: GPL-2.0-or-later */
/* loam-switch: one virtual switch, a process of its own. */
#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "partitions/root/net/control.h"
#include "partitions/root/net/host_network.h"
#include "partitions/root/net/sandbox.h"
#include "partitions/root/net/vswitch.h"

#define ERROR_SIZE    CONFINEMENT_ERROR_SIZE
#define DEFAULT_FLOWS 4096u
#define DEFAULT_RATE  500u
#define MAXIMUM_FLOWS 32768u
/* Descriptors that are not flows: ports, forwards, DNS queries, files, the rest. */
#define OTHER_FILES    (VSWITCH_MAXIMUM_PORTS + FORWARD_MAXIMUM + DNS_QUERIES + 64u)
#define ROUTES_MAXIMUM (1024u * 1024u)

struct arguments {
    const char *name;
    const char *socket_path;
    const char *control_path;
    const char *subnet;
    const char *lease_path;
    const char *resolver_path;
    const char *user;
    const char *boot_file;
    bool allow_host;
    bool print_subnet;
    unsigned flows;
    unsigned rate;
    struct forward_rule forwards[FORWARD_MAXIMUM];
    unsigned forward_count;
};

enum {
    OPTION_NAME = 'n',
    OPTION_SOCKET = 's',
    OPTION_CONTROL = 'c',
    OPTION_SUBNET = 0x100,
    OPTION_LEASES,
    OPTION_RESOLVERS,
    OPTION_USER,
    OPTION_BOOT_FILE,
    OPTION_ALLOW_HOST,
    OPTION_PRINT_SUBNET,
    OPTION_FLOWS,
    OPTION_RATE,
    OPTION_FORWARD,
};

/* clang-format off */
static const struct argp_option options[] = {
    {"socket", OPTION_SOCKET, "PATH", 0, "Where network adapters connect (required)", 0},
    {"control", OPTION_CONTROL, "PATH", 0, "Where the manager connects (default: nowhere)", 0},
    {"name", OPTION_NAME, "NAME", 0, "Name for messages (default: default)", 0},
    {"subnet", OPTION_SUBNET, "NETWORK", 0,
     "Network of the virtual machines, as 192.168.100.0/24 (default: one that no route of this machine leads to)", 0},
    {"leases", OPTION_LEASES, "FILE", 0, "Keep the addresses given out in this file (default: forget them)", 0},
    {"boot-file", OPTION_BOOT_FILE, "URL", 0,
     "What virtual machines that boot from the network shall load (default: nothing)", 0},
    {"allow-host", OPTION_ALLOW_HOST, NULL, 0,
     "Let virtual machines reach this machine's own addresses; the gateway's leads to its loopback", 0},
    {"forward", OPTION_FORWARD, "RULE", 0,
     "Forward a port of this machine: tcp:[ADDRESS:]PORT:CHILD:PORT or udp:..., CHILD an IP or MAC address; may be "
     "given more than once", 0},
    {"resolvers", OPTION_RESOLVERS, "FILE", 0, "Resolvers to pass DNS queries to (default: /etc/resolv.conf)", 0},
    {"flows", OPTION_FLOWS, "NUMBER", 0,
     "At most so many TCP connections, and as many UDP sessions (default: 4096); one adapter may have half of them", 0},
    {"rate", OPTION_RATE, "NUMBER", 0, "At most so many new ones a second for one adapter (default: 500)", 0},
    {"user", OPTION_USER, "USER", 0, "Become this user once all sockets are open (required for root)", 0},
    {"print-subnet", OPTION_PRINT_SUBNET, NULL, 0, "Print the network that would be chosen, and exit", 0},
    {0},
};
/* clang-format on */

static unsigned parse_number(const char *text, unsigned maximum, struct argp_state *state)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || value == 0 || value > maximum)
        argp_error(state, "'%s' is not a number from 1 to %u", text, maximum);
    return (unsigned)value;
}

static void parse_forward(const char *text, struct arguments *arguments, struct argp_state *state)
{
    char error[ERROR_SIZE];
    if (arguments->forward_count == FORWARD_MAXIMUM)
        argp_error(state, "a switch has at most %u forwards", FORWARD_MAXIMUM);
    if (!forward_parse(text, &arguments->forwards[arguments->forward_count++], error, sizeof(error)))
        argp_error(state, "%s", error);
}

static error_t parse_option(int key, char *text, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    switch (key) {
    case OPTION_NAME:
        arguments->name = text;
        break;
    case OPTION_SOCKET:
        arguments->socket_path = text;
        break;
    case OPTION_CONTROL:
        arguments->control_path = text;
        break;
    case OPTION_SUBNET:
        arguments->subnet = text;
        break;
    case OPTION_LEASES:
        arguments->lease_path = text;
        break;
    case OPTION_RESOLVERS:
        arguments->resolver_path = text;
        break;
    case OPTION_USER:
        arguments->user = text;
        break;
    case OPTION_BOOT_FILE:
        if (!boot_file_is_valid(text))
            argp_error(state, "'%s' cannot be a boot file: " BOOT_FILE_RULE, text);
        arguments->boot_file = text;
        break;
    case OPTION_ALLOW_HOST:
        arguments->allow_host = true;
        break;
    case OPTION_PRINT_SUBNET:
        arguments->print_subnet = true;
        break;
    case OPTION_FLOWS:
        arguments->flows = parse_number(text, MAXIMUM_FLOWS, state);
        break;
    case OPTION_RATE:
        arguments->rate = parse_number(text, 1000000, state);
        break;
    case OPTION_FORWARD:
        parse_forward(text, arguments, state);
        break;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", text);
        break;
    case ARGP_KEY_END:
        if (!arguments->socket_path && !arguments->print_subnet)
            argp_error(state, "--socket is missing");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static void fail(const char *text)
{
    fprintf(stderr, "loam-switch: %s\n", text);
    exit(EXIT_FAILURE);
}

static void determine_subnet(const struct arguments *arguments, struct subnet *subnet)
{
    char error[ERROR_SIZE];
    if (arguments->subnet) {
        if (!subnet_parse(arguments->subnet, subnet, error, sizeof(error)))
            fail(error);
        return;
    }
    FILE *file = fopen("/proc/net/route", "re");
    char *routes = malloc(ROUTES_MAXIMUM + 1);
    if (!file || !routes)
        fail("cannot read /proc/net/route: choose a network with --subnet");
    routes[fread(routes, 1, ROUTES_MAXIMUM, file)] = '\0';
    fclose(file);
    if (!subnet_choose(routes, subnet))
        fail("this machine's routes leave no private network free: choose one with --subnet");
    free(routes);
}

/* Whether somebody listens on the socket at this path. */
static bool is_alive(const struct sockaddr_un *address, int type)
{
    int probe = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    bool alive = probe >= 0 && connect(probe, (const struct sockaddr *)address, sizeof(*address)) == 0;
    if (probe >= 0)
        close(probe);
    return alive;
}

/* A listening Unix socket for `user` (NULL: ourselves), in place of one that a dead switch has left. */
static int listen_at(const char *path, int type, mode_t mode, const struct confinement_user *user)
{
    char error[ERROR_SIZE];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path)) {
        snprintf(error, sizeof(error), "%s: path too long for a socket", path);
        fail(error);
    }
    strcpy(address.sun_path, path);
    if (is_alive(&address, type)) {
        snprintf(error, sizeof(error), "%s: a switch is already running here", path);
        fail(error);
    }
    struct stat status;
    if (lstat(path, &status) == 0 && S_ISSOCK(status.st_mode))
        unlink(path);
    int descriptor = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    mode_t before = umask(~mode & 0777);
    bool bound = descriptor >= 0 && bind(descriptor, (const struct sockaddr *)&address, sizeof(address)) == 0;
    umask(before);
    if (!bound || listen(descriptor, 16) != 0 || (user && lchown(path, user->uid, user->gid) != 0)) {
        snprintf(error, sizeof(error), "%s: %s", path, strerror(errno));
        fail(error);
    }
    return descriptor;
}

static void on_port(void *owner, uint32_t events)
{
    struct vswitch *vswitch = owner;
    (void)events;
    int descriptor = accept4(vswitch->listener.descriptor, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (descriptor >= 0)
        port_open(vswitch, descriptor);
}

static void on_signal(void *owner, uint32_t events)
{
    struct vswitch *vswitch = owner;
    (void)events;
    vswitch->stop = true;
}

/* As many descriptors as there may be flows, or as many flows as there may be descriptors. */
static void fit_files(unsigned *flows)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max >= 2ull * *flows + OTHER_FILES)
        return;
    *flows = limit.rlim_max > OTHER_FILES + 16 ? (unsigned)(limit.rlim_max - OTHER_FILES) / 2 : 8;
    fprintf(stderr, "loam-switch: only %llu open files are allowed: limited to %u connections\n",
            (unsigned long long)limit.rlim_max, *flows);
}

/* From now on they come by the descriptor only. Threads begun later inherit that. */
static int block_signals(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    int descriptor = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    if (descriptor < 0)
        fail("cannot watch signals");
    return descriptor;
}

static void open_forwards(struct vswitch *vswitch, const struct arguments *arguments)
{
    char error[ERROR_SIZE];
    for (unsigned i = 0; i < arguments->forward_count; i++)
        if (!forward_add(vswitch, &arguments->forwards[i], -1, error, sizeof(error)))
            fail(error);
}

/* Reads the leases, and makes sure that they can be written. */
static void open_leases(struct vswitch *vswitch)
{
    char error[ERROR_SIZE + 64];
    if (!vswitch->lease_path)
        return;
    if (!lease_load(&vswitch->leases, vswitch->lease_path, error, sizeof(error)))
        fail(error);
    if (error[0])
        fprintf(stderr, "loam-switch: %s\n", error);
    int failure = lease_save(&vswitch->leases, vswitch->lease_path);
    if (failure) {
        snprintf(error, sizeof(error), "cannot write %s: %s", vswitch->lease_path, strerror(failure));
        fail(error);
    }
}

static void open_echo(struct vswitch *vswitch)
{
    int descriptor = host_network_open_echo();
    int error = descriptor < 0 ? -descriptor : nat_icmp_set_socket(vswitch, descriptor);
    if (error)
        fprintf(stderr, "loam-switch: virtual machines cannot ping beyond the gateway: %s\n",
                strerror(error));
}

static void announce(const struct vswitch *vswitch)
{
    char subnet[SUBNET_TEXT_SIZE];
    subnet_format(&vswitch->subnet, subnet);
    printf("switch %s is ready: NAT, network %s, %s\n", vswitch->name, subnet, stack_description());
    fflush(stdout);
}

/* Everything that may need privilege is opened here; then they are dropped. */
static void prepare(struct vswitch *vswitch, struct control *control, struct event_source *signals,
                    const struct arguments *arguments)
{
    char error[ERROR_SIZE];
    struct confinement_user user;
    if (arguments->user && !sandbox_find_user(arguments->user, &user, error))
        fail(error);
    if (!arguments->user && geteuid() == 0)
        fail("refuses to run as root: name a user with --user");

    const struct confinement_user *owner = arguments->user ? &user : NULL;
    int signal_file = block_signals();
    int port_socket = listen_at(arguments->socket_path, SOCK_SEQPACKET, 0660, owner);
    int control_socket =
        arguments->control_path ? listen_at(arguments->control_path, SOCK_STREAM, 0600, owner) : -1;
    if (!vswitch_initialize(vswitch, arguments->resolver_path, error, sizeof(error)))
        fail(error);
    open_forwards(vswitch, arguments);
    open_echo(vswitch);
    if (event_loop_add(&vswitch->loop, signals, signal_file, EPOLLIN, on_signal, vswitch) != 0 ||
        event_loop_add(&vswitch->loop, &vswitch->listener, port_socket, EPOLLIN, on_port, vswitch) != 0 ||
        (control_socket >= 0 && control_initialize(control, vswitch, control_socket) != 0))
        fail("cannot watch the sockets");

    if (owner && geteuid() == 0 && !confinement_become(owner, error))
        fail(error);
    open_leases(vswitch); /* as who will write them */
    if (!sandbox_close(error))
        fail(error);
}

int main(int argc, char **argv)
{
    static const struct argp parser = {
        .options = options,
        .parser = parse_option,
        .doc = "Runs a virtual switch of type NAT: it connects virtual machines with each other and, by way "
               "of this "
               "machine's own connections, with the world.",
    };
    static struct arguments arguments = {
        .name = "default",
        .resolver_path = "/etc/resolv.conf",
        .flows = DEFAULT_FLOWS,
        .rate = DEFAULT_RATE,
    };
    static struct vswitch vswitch;
    static struct control control;
    static struct event_source signals;
    argp_parse(&parser, argc, argv, 0, NULL, &arguments);

    determine_subnet(&arguments, &vswitch.subnet);
    if (arguments.print_subnet) {
        char subnet[SUBNET_TEXT_SIZE];
        subnet_format(&vswitch.subnet, subnet);
        puts(subnet);
        return EXIT_SUCCESS;
    }
    fit_files(&arguments.flows);
    snprintf(vswitch.name, sizeof(vswitch.name), "%s", arguments.name);
    vswitch.boot_file = arguments.boot_file;
    vswitch.allow_host = arguments.allow_host;
    vswitch.limits = (struct vswitch_limits){.flows = arguments.flows, .rate = arguments.rate};
    vswitch.lease_path = arguments.lease_path;

    prepare(&vswitch, &control, &signals, &arguments);
    announce(&vswitch);
    while (!vswitch.stop)
        vswitch_round(&vswitch, -1);
    vswitch_close(&vswitch);
    /* Where its user may not remove them, the sockets stay for the next switch to replace. */
    unlink(arguments.socket_path);
    if (arguments.control_path)
        unlink(arguments.control_path);
    return EXIT_SUCCESS;
}
