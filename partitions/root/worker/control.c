/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/control.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "partitions/root/worker/control_answer.h"

#define BACKLOG 8

/* ---- Connections ---- */

/* Nobody has wanted it. */
static void close_passed(struct control_connection *connection)
{
    if (connection->passed >= 0)
        close(connection->passed);
    connection->passed = -1;
}

static void disconnect(struct control_connection *connection)
{
    if (connection->descriptor < 0)
        return;
    event_loop_remove(connection->control->loop, &connection->source);
    close(connection->descriptor);
    connection->descriptor = -1;
    close_passed(connection);
    free(connection->output);
    connection->output = NULL;
    connection->output_length = 0;
}

/* Sends what waits. */
static void flush(struct control_connection *connection)
{
    size_t sent = 0;

    while (sent < connection->output_length) {
        ssize_t count = send(connection->descriptor, connection->output + sent,
                             connection->output_length - sent, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0 && errno != EAGAIN) {
            disconnect(connection);
            return;
        }
        if (count < 0)
            break;
        sent += (size_t)count;
    }
    if (sent)
        memmove(connection->output, connection->output + sent, connection->output_length - sent);
    connection->output_length -= sent;
    event_loop_change(connection->control->loop, &connection->source,
                      EPOLLIN | (connection->output_length ? EPOLLOUT : 0));
}

/* A client that does not read what it asked for is let go. */
static void send_line(struct control_connection *connection, const char *line)
{
    size_t length = strlen(line);
    char *output;

    if (connection->descriptor < 0)
        return;
    output = connection->output_length + length <= CONTROL_MAXIMUM_OUTPUT
                 ? realloc(connection->output, connection->output_length + length)
                 : NULL;
    if (!output) {
        disconnect(connection);
        return;
    }
    memcpy(output + connection->output_length, line, length);
    connection->output = output;
    connection->output_length += length;
    flush(connection);
}

/* The text of a value with a newline, to be freed. Takes over the reference. */
static char *as_line(json_t *value)
{
    char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
    char *line = NULL;

    if (text && asprintf(&line, "%s\n", text) < 0)
        line = NULL;
    free(text);
    json_decref(value);
    return line;
}

static void send_value(struct control_connection *connection, json_t *value)
{
    char *line = as_line(value);

    if (line)
        send_line(connection, line);
    else
        disconnect(connection);
    free(line);
}

/* ---- Answers ---- */

static json_t *text_or_null(const char *text)
{
    return text && text[0] ? json_string(text) : json_null();
}

static json_t *state_value(const struct life_cycle *life_cycle)
{
    bool off = life_cycle->state == MACHINE_OFF;

    return json_pack("{s:s, s:o, s:o, s:o}", "state", life_cycle_state_name(life_cycle->state), "reason",
                     text_or_null(off ? life_cycle_off_reason_name(life_cycle->off_reason)
                                      : life_cycle_pause_reason(life_cycle)),
                     "path", text_or_null(life_cycle->path), "detail", text_or_null(life_cycle->detail));
}

char *control_state_line(const struct life_cycle *life_cycle)
{
    json_t *value = state_value(life_cycle);

    if (value)
        json_object_set_new(value, "event", json_string("state"));
    return as_line(value);
}

static json_t *holder_value(const struct console *console)
{
    if (console->client < 0)
        return json_null();
    return json_pack("{s:s, s:i}", "user", console->holder.user, "pid", (int)console->holder.pid);
}

static uint64_t uptime(struct machine *machine)
{
    uint64_t now;

    pthread_mutex_lock(&machine->device_lock);
    now = timer_now(&machine->timers);
    pthread_mutex_unlock(&machine->device_lock);
    return now;
}

void control_refuse(struct answer *answer, const char *code, const char *message)
{
    answer->code = code;
    snprintf(answer->message, sizeof answer->message, "%s", message);
}

static void answer_status(struct control_connection *connection, const json_t *request, struct answer *answer)
{
    const struct control *control = connection->control;
    const struct configuration *configuration = control->machine->configuration;
    struct hypervisor *hypervisor = control->machine->partition.hypervisor;
    uint64_t id = 0;

    (void)request;
    if (hypervisor->operations->partition_id(hypervisor, &id))
        id = 0;
    answer->result = state_value(control->life_cycle);
    if (!answer->result)
        return;
    json_object_update_new(
        answer->result,
        json_pack("{s:s, s:i, s:I, s:I, s:i, s:I, s:o, s:o, s:s, s:o}", "name", configuration->name, "pid",
                  (int)getpid(), "partition_id", (json_int_t)id, "memory", (json_int_t)configuration->memory,
                  "processors", (int)configuration->processors, "uptime_ns",
                  (json_int_t)uptime(control->machine), "console", holder_value(&control->machine->console),
                  "log", text_or_null(configuration->log.path), "disk_io",
                  storage_io_name(&control->machine->storage), "sources",
                  control_sources(&control->machine->storage)));
}

static json_t *bus_value(const struct bus_counters *counters)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "reads", (json_int_t)counters->reads, "writes",
                     (json_int_t)counters->writes, "unclaimed_reads", (json_int_t)counters->unclaimed_reads,
                     "unclaimed_writes", (json_int_t)counters->unclaimed_writes, "last_unclaimed",
                     (json_int_t)counters->last_unclaimed);
}

static json_t *vps_value(const struct vp_group *group)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < group->count; i++) {
        const struct vp *vp = &group->vps[i];

        json_array_append_new(
            list,
            json_pack("{s:I, s:I, s:I}", "port_accesses",
                      (json_int_t)__atomic_load_n(&vp->port_accesses, __ATOMIC_RELAXED), "memory_accesses",
                      (json_int_t)__atomic_load_n(&vp->memory_accesses, __ATOMIC_RELAXED), "other_messages",
                      (json_int_t)__atomic_load_n(&vp->other_messages, __ATOMIC_RELAXED)));
    }
    return list;
}

static json_t *nics_value(const struct network *network)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < network->count; i++) {
        const struct nic_port *port = &network->ports[i]->port;

        json_array_append_new(list, json_pack("{s:b, s:I, s:I, s:I}", "connected",
                                              port->descriptor >= 0 && !port->gone, "sent",
                                              (json_int_t)port->sent, "received", (json_int_t)port->received,
                                              "dropped", (json_int_t)port->dropped));
    }
    return list;
}

static void answer_counters(struct control_connection *connection, const json_t *request,
                            struct answer *answer)
{
    struct machine *machine = connection->control->machine;

    (void)request;
    pthread_mutex_lock(&machine->device_lock);
    answer->result =
        json_pack("{s:o, s:o, s:o, s:o, s:I, s:I}", "ports", bus_value(&machine->bus.counters[BUS_PORTS]),
                  "memory", bus_value(&machine->bus.counters[BUS_MEMORY]), "vps", vps_value(&machine->vps),
                  "nics", nics_value(&machine->network), "refused_interrupts",
                  (json_int_t)machine->interrupts.refused, "log_lost", (json_int_t)machine->console.log_lost);
    pthread_mutex_unlock(&machine->device_lock);
}

/* The requests that are only a change of state. */
static void change(struct answer *answer, const char *problem)
{
    if (problem)
        control_refuse(answer, "wrong-state", problem);
    else
        answer->result = json_object();
}

static void answer_stop(struct control_connection *connection, const json_t *request, struct answer *answer)
{
    (void)request;
    change(answer, life_cycle_stop(connection->control->life_cycle));
}

static void answer_turn_off(struct control_connection *connection, const json_t *request,
                            struct answer *answer)
{
    (void)request;
    change(answer, life_cycle_turn_off(connection->control->life_cycle));
}

static void answer_reset(struct control_connection *connection, const json_t *request, struct answer *answer)
{
    (void)request;
    change(answer, life_cycle_reset(connection->control->life_cycle));
}

static void answer_pause(struct control_connection *connection, const json_t *request, struct answer *answer)
{
    (void)request;
    change(answer, life_cycle_pause(connection->control->life_cycle));
}

static void answer_resume(struct control_connection *connection, const json_t *request, struct answer *answer)
{
    (void)request;
    change(answer, life_cycle_resume(connection->control->life_cycle));
}

static void answer_events(struct control_connection *connection, const json_t *request, struct answer *answer)
{
    (void)request;
    connection->events = true;
    answer->result = state_value(connection->control->life_cycle);
}

static void take_console(struct control *control, int descriptor, pid_t peer, const json_t *request)
{
    const char *user = json_string_value(json_object_get(request, "user"));
    struct console_holder holder = {.pid = peer};

    snprintf(holder.user, sizeof holder.user, "%s", user && user[0] ? user : "somebody");
    if (!console_attach(&control->machine->console, descriptor, &holder))
        close(descriptor);
}

/* Only says whether the console is to be had; serve() hands the connection over when the answer is on its
 * way. */
static void answer_console(struct control_connection *connection, const json_t *request,
                           struct answer *answer)
{
    struct console *console = &connection->control->machine->console;

    (void)request;
    if (console->client >= 0) {
        answer->code = "busy";
        snprintf(answer->message, sizeof answer->message, "%s (process %d) has the console",
                 console->holder.user, (int)console->holder.pid);
        return;
    }
    answer->take = take_console;
    answer->result = json_pack("{s:I}", "replay", (json_int_t)console_replay_length(console));
}

static const struct {
    const char *name;
    void (*answer)(struct control_connection *connection, const json_t *request, struct answer *answer);
} requests[] = {
    {"status",      answer_status             },
    {"counters",    answer_counters           },
    {"stop",        answer_stop               },
    {"turn-off",    answer_turn_off           },
    {"reset",       answer_reset              },
    {"pause",       answer_pause              },
    {"resume",      answer_resume             },
    {"events",      answer_events             },
    {"console",     answer_console            },
    {"screen",      control_answer_screen     },
    {"screenshot",  control_answer_screenshot },
    {"screen-text", control_answer_screen_text},
    {"keys",        control_answer_keys       },
    {"media",       control_answer_media      },
    {"insert",      control_answer_insert     },
    {"eject",       control_answer_eject      },
    {"source",      control_answer_source     },
};

static void send_answer(struct control_connection *connection, json_t *id, struct answer *answer)
{
    json_t *value;

    if (answer->result)
        value = json_pack("{s:o}", "result", answer->result);
    else
        value = json_pack("{s:{s:s, s:s}}", "error", "code", answer->code ? answer->code : "no-memory",
                          "message", answer->code ? answer->message : "no memory");
    if (value && id)
        json_object_set(value, "id", id);
    send_value(connection, value);
}

/* The connection becomes that of what was asked for. */
static void hand_over(struct control_connection *connection, const struct answer *answer, const json_t *request)
{
    int descriptor = connection->descriptor;

    if (connection->descriptor < 0 || connection->output_length) {
        disconnect(connection);
        return;
    }
    event_loop_remove(connection->control->loop, &connection->source);
    close_passed(connection);
    free(connection->output);
    connection->output = NULL;
    connection->descriptor = -1;
    answer->take(connection->control, descriptor, connection->peer, request);
}

static void serve(struct control_connection *connection, const char *line, size_t length)
{
    json_error_t error;
    json_t *request = json_loadb(line, length, JSON_REJECT_DUPLICATES, &error);
    const char *name = json_string_value(json_object_get(request, "request"));
    struct answer answer = {0};

    if (!request || !name)
        control_refuse(&answer, "bad-request", request ? "\"request\" is missing" : error.text);
    else if (!connection->control->machine)
        control_refuse(&answer, "wrong-state", "the virtual machine is not there yet");
    else {
        size_t i = 0;

        while (i < sizeof requests / sizeof requests[0] && strcmp(requests[i].name, name))
            i++;
        if (i == sizeof requests / sizeof requests[0])
            control_refuse(&answer, "unknown-request", "there is no such request");
        else
            requests[i].answer(connection, request, &answer);
    }
    send_answer(connection, json_object_get(request, "id"), &answer);
    if (answer.take && answer.result)
        hand_over(connection, &answer, request);
    json_decref(request);
}

static void serve_lines(struct control_connection *connection)
{
    char *newline;

    while (connection->descriptor >= 0 &&
           (newline = memchr(connection->input, '\n', connection->input_length)) != NULL) {
        char line[CONTROL_LINE];
        size_t length = (size_t)(newline - connection->input);

        memcpy(line, connection->input, length);
        connection->input_length -= length + 1;
        memmove(connection->input, newline + 1, connection->input_length);
        if (length)
            serve(connection, line, length);
    }
    /* A descriptor belongs to the line that it came with the beginning of, and that line has been served. */
    if (connection->input_length == 0)
        close_passed(connection);
    if (connection->descriptor >= 0 && connection->input_length == CONTROL_LINE) {
        struct answer answer = {0};

        control_refuse(&answer, "bad-request", "the request is too long");
        send_answer(connection, NULL, &answer);
        disconnect(connection);
    }
}

/* Keeps the first descriptor, if there is none yet. */
static void take_descriptors(struct control_connection *connection, struct msghdr *message)
{
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
        size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < count; i++) {
            int descriptor;

            memcpy(&descriptor, CMSG_DATA(part) + i * sizeof descriptor, sizeof descriptor);
            if (connection->passed < 0)
                connection->passed = descriptor;
            else
                close(descriptor);
        }
    }
}

/* As recv. Of descriptors, the kernel closes those that there is no room for. */
static ssize_t receive(struct control_connection *connection)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {.iov_base = connection->input + connection->input_length,
                         .iov_len = CONTROL_LINE - connection->input_length};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t count = recvmsg(connection->descriptor, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    if (count >= 0)
        take_descriptors(connection, &message);
    return count;
}

static void connection_event(void *owner, uint32_t events)
{
    struct control_connection *connection = owner;
    ssize_t count;

    if (events & EPOLLOUT)
        flush(connection);
    if (connection->descriptor < 0 || !(events & ~(uint32_t)EPOLLOUT))
        return;
    count = receive(connection);
    if (count > 0) {
        connection->input_length += (size_t)count;
        serve_lines(connection);
    } else if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
        disconnect(connection);
    }
}

/* ---- Accepting ---- */

static bool may_connect(const struct control *control, int descriptor, pid_t *peer)
{
    struct ucred credentials;
    socklen_t length = sizeof credentials;

    if (getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0)
        return false;
    *peer = credentials.pid;
    for (unsigned i = 0; i < control->user_count; i++)
        if (credentials.uid == control->users[i])
            return true;
    return credentials.uid == 0;
}

/* One line for somebody who is not let in. */
static void turn_away(int descriptor, const char *line)
{
    if (send(descriptor, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
        shutdown(descriptor, SHUT_WR);
    close(descriptor);
}

static struct control_connection *free_connection(struct control *control)
{
    for (unsigned i = 0; i < CONTROL_CONNECTIONS; i++)
        if (control->connections[i].descriptor < 0)
            return &control->connections[i];
    return NULL;
}

static void greet(struct control_connection *connection)
{
    const struct machine *machine = connection->control->machine;

    send_value(connection,
               json_pack("{s:s, s:i, s:o, s:i}", "hello", "loam-worker", "version", CONTROL_VERSION, "name",
                         text_or_null(machine ? machine->configuration->name : NULL), "pid", (int)getpid()));
}

static void somebody_connects(void *owner, uint32_t events)
{
    struct control *control = owner;
    int descriptor = accept4(control->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct control_connection *connection = free_connection(control);
    pid_t peer;

    (void)events;
    if (descriptor < 0)
        return; /* gone already */
    if (!may_connect(control, descriptor, &peer)) {
        turn_away(descriptor,
                  "{\"error\":{\"code\":\"denied\",\"message\":\"only root and the owner may connect\"}}\n");
        return;
    }
    if (!connection) {
        turn_away(descriptor, "{\"error\":{\"code\":\"busy\",\"message\":\"too many connections\"}}\n");
        return;
    }
    *connection =
        (struct control_connection){.control = control, .descriptor = descriptor, .peer = peer, .passed = -1};
    if (event_loop_add(control->loop, &connection->source, descriptor, EPOLLIN, connection_event,
                       connection)) {
        close(descriptor);
        connection->descriptor = -1;
        return;
    }
    greet(connection);
}

/* Is there a process behind a socket that is in the way? */
static bool somebody_listens(const struct sockaddr_un *address)
{
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool listens =
        descriptor >= 0 && connect(descriptor, (const struct sockaddr *)address, sizeof *address) == 0;

    if (descriptor >= 0)
        close(descriptor);
    return listens;
}

int control_listen(const char *path, char error[MACHINE_ERROR_SIZE])
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int descriptor;
    bool bound;

    if (strlen(path) >= sizeof address.sun_path) {
        snprintf(error, MACHINE_ERROR_SIZE, "%s: longer than the %zu characters of a socket's path", path,
                 sizeof address.sun_path - 1);
        return -1;
    }
    strcpy(address.sun_path, path);
    descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bound = descriptor >= 0 && bind(descriptor, (const struct sockaddr *)&address, sizeof address) == 0;
    if (!bound && descriptor >= 0 && errno == EADDRINUSE && !somebody_listens(&address)) {
        struct stat status;

        if (lstat(path, &status) == 0 && S_ISSOCK(status.st_mode) && unlink(path) == 0)
            bound = bind(descriptor, (const struct sockaddr *)&address, sizeof address) == 0;
        else
            errno = EADDRINUSE;
    }
    if (!bound || chmod(path, 0600) != 0 || listen(descriptor, BACKLOG) != 0) {
        snprintf(error, MACHINE_ERROR_SIZE, "%s: cannot be listened on: %s", path, strerror(errno));
        if (descriptor >= 0)
            close(descriptor);
        return -1;
    }
    return descriptor;
}

int control_initialize(struct control *control, struct event_loop *loop, int listener)
{
    *control = (struct control){.loop = loop, .listener = listener};
    for (unsigned i = 0; i < CONTROL_CONNECTIONS; i++)
        control->connections[i].descriptor = control->connections[i].passed = -1;
    return listener < 0
               ? 0
               : event_loop_add(loop, &control->source, listener, EPOLLIN, somebody_connects, control);
}

void control_allow(struct control *control, uid_t user)
{
    if (control->user_count < CONTROL_USERS)
        control->users[control->user_count++] = user;
}

/* Sends a line, which is freed, to everybody who wants to hear of changes. */
static void announce(struct control *control, char *line)
{
    for (unsigned i = 0; line && i < CONTROL_CONNECTIONS; i++)
        if (control->connections[i].descriptor >= 0 && control->connections[i].events)
            send_line(&control->connections[i], line);
    free(line);
}

static void media_changed(void *context, enum storage_kind kind, unsigned number)
{
    struct control *control = context;

    announce(control, as_line(control_media_event(storage_find(&control->machine->storage, kind, number))));
}

void control_set_machine(struct control *control, struct life_cycle *life_cycle, struct machine *machine)
{
    control->life_cycle = life_cycle;
    control->machine = machine;
    storage_watch(&machine->storage, media_changed, control);
}

void control_set_screen(struct control *control, struct screen *screen)
{
    control->screen = screen;
}

void control_announce(struct control *control)
{
    announce(control, control_state_line(control->life_cycle));
}

void control_close(struct control *control)
{
    for (unsigned i = 0; i < CONTROL_CONNECTIONS; i++)
        disconnect(&control->connections[i]);
    if (control->listener < 0)
        return;
    event_loop_remove(control->loop, &control->source);
    close(control->listener);
    control->listener = -1;
}
