/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/manager/switch_forwards.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "partitions/root/manager/manager.h"
#include "partitions/root/manager/report.h"
#include "partitions/root/manager/text.h"

#define RETRY_INTERVAL 10000u /* milliseconds */
#define PRIVILEGED     1024u
#define BACKLOG        128

const char *switch_forwards_problem(const json_t *answer)
{
    static char text[256];
    const char *status = json_string_value(json_object_get(answer, "status"));
    const char *error = json_string_value(json_object_get(answer, "error"));
    if (status && strcmp(status, "ok") == 0)
        return NULL;
    snprintf(text, sizeof(text), "%s", error ? error : "the switch does not answer");
    text_clean(text);
    return text;
}

/* A socket that has the port, listening if it is TCP's; -1: the switch will say what is in the way. */
static int open_port(const struct forward_rule *rule)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = rule->host, .sin_port = rule->host_port};
    const bool tcp = rule->protocol == IPPROTO_TCP;
    const int on = 1;
    int descriptor = socket(AF_INET, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor >= 0 && (!tcp || setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0) &&
        bind(descriptor, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
        (!tcp || listen(descriptor, BACKLOG) == 0))
        return descriptor;
    if (descriptor >= 0)
        close(descriptor);
    return -1;
}

void switch_forwards_call_add(struct virtual_switch *virtual_switch, const struct forward_rule *rule,
                              channel_answer *done, void *owner)
{
    json_t *call = switch_forward_json(rule);
    if (call)
        json_object_update_new(call, json_pack("{s:i, s:s}", "version", 1, "request", "forward-add"));
    int descriptor = ntohs(rule->host_port) < PRIVILEGED ? open_port(rule) : -1;
    channel_call(&virtual_switch->channel, call, descriptor, done, owner);
    if (descriptor >= 0)
        close(descriptor);
}

void switch_forwards_call_remove(struct virtual_switch *virtual_switch, const struct forward_rule *rule,
                                 channel_answer *done, void *owner)
{
    json_t *call = switch_forward_json(rule);
    if (call)
        json_object_update_new(call, json_pack("{s:i, s:s}", "version", 1, "request", "forward-remove"));
    channel_call(&virtual_switch->channel, call, -1, done, owner);
}

/* ---- Synchronizing ---- */

/* A forward that is being added. */
struct addition {
    struct virtual_switch *virtual_switch;
    struct forward_rule rule;
};

static void was_listed(void *owner, const json_t *answer)
{
    if (answer)
        switch_forwards_synchronize(owner, answer);
}

static void list_again(void *owner)
{
    struct virtual_switch *virtual_switch = owner;
    channel_call(&virtual_switch->channel, json_pack("{s:i, s:s}", "version", 1, "request", "forward-list"),
                 -1, was_listed, virtual_switch);
}

static struct switch_forward *find(struct virtual_switch *virtual_switch, const struct forward_rule *rule)
{
    struct switch_definition *definition = &virtual_switch->definition;
    for (unsigned i = 0; i < definition->forward_count; i++)
        if (switch_forward_same(&definition->forwards[i].rule, rule))
            return &definition->forwards[i];
    return NULL;
}

static void was_added(void *owner, const json_t *answer)
{
    struct addition *addition = owner;
    struct virtual_switch *virtual_switch = addition->virtual_switch;
    struct manager *manager = virtual_switch->manager;
    struct switch_forward *forward = find(virtual_switch, &addition->rule);
    const char *problem = switch_forwards_problem(answer);
    free(addition);
    if (!answer || !forward)
        return;
    if (problem && strcmp(forward->problem, problem) != 0)
        report("switch %s: %s", virtual_switch->definition.name, problem);
    snprintf(forward->problem, sizeof(forward->problem), "%s", problem ? problem : "");
    if (problem)
        alarm_set(&manager->alarms, &virtual_switch->alarm, manager->loop.now + RETRY_INTERVAL, list_again,
                  virtual_switch);
}

static void add(struct virtual_switch *virtual_switch, const struct forward_rule *rule)
{
    struct addition *addition = malloc(sizeof(*addition));
    if (!addition)
        return; /* until it is listed again */
    *addition = (struct addition){.virtual_switch = virtual_switch, .rule = *rule};
    switch_forwards_call_add(virtual_switch, rule, was_added, addition);
}

/* A forward as the process lists it. */
static bool parse_listed(const json_t *value, struct forward_rule *rule)
{
    const char *protocol, *host, *mac = NULL, *address = NULL;
    int host_port, port;
    *rule = (struct forward_rule){0};
    if (json_unpack((json_t *)value, "{s:s, s:s, s:i, s?s, s?s, s:i}", "protocol", &protocol, "host_address",
                    &host, "host_port", &host_port, "mac", &mac, "address", &address, "port", &port) != 0)
        return false;
    rule->protocol = strcmp(protocol, "tcp") == 0 ? IPPROTO_TCP : IPPROTO_UDP;
    rule->host_port = htons((uint16_t)host_port);
    rule->child_port = htons((uint16_t)port);
    rule->by_mac = mac;
    return inet_pton(AF_INET, host, &rule->host) == 1 &&
           (mac ? mac_parse(mac, &rule->mac) : address && inet_pton(AF_INET, address, &rule->child) == 1);
}

static bool leads_to_same(const struct forward_rule *a, const struct forward_rule *b)
{
    return a->by_mac == b->by_mac && a->child_port == b->child_port &&
           (a->by_mac ? mac_equal(&a->mac, &b->mac) : a->child == b->child);
}

void switch_forwards_synchronize(struct virtual_switch *virtual_switch, const json_t *listed)
{
    const struct switch_definition *definition = &virtual_switch->definition;
    bool present[FORWARD_MAXIMUM] = {false};
    json_t *value;
    size_t index;
    json_array_foreach(json_object_get(listed, "forwards"), index, value)
    {
        struct forward_rule rule;
        if (!parse_listed(value, &rule))
            continue;
        const struct switch_forward *forward = find(virtual_switch, &rule);
        if (forward && leads_to_same(&forward->rule, &rule))
            present[forward - definition->forwards] = true;
        else
            switch_forwards_call_remove(virtual_switch, &rule, NULL, NULL);
    }
    for (unsigned i = 0; i < definition->forward_count; i++)
        if (!present[i])
            add(virtual_switch, &definition->forwards[i].rule);
}
