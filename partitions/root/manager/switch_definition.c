/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/manager/switch_definition.h"

#include <arpa/inet.h>
#include <string.h>

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static bool read_version(struct fields *fields, const json_t *value, void *target)
{
    uint64_t version;
    (void)target;
    return fields_read_integer(fields, value, SWITCH_DEFINITION_VERSION, SWITCH_DEFINITION_VERSION, &version);
}

static bool read_name(struct fields *fields, const json_t *value, void *target)
{
    const char *name = fields_text(fields, value, NAME_LENGTH);
    if (!name)
        return false;
    if (!name_is_valid(name))
        return fields_complain(fields, "cannot be a name: use " NAME_RULE);
    strcpy(target, name);
    return true;
}

static bool read_type(struct fields *fields, const json_t *value, void *target)
{
    const char *type = json_string_value(value);
    (void)target;
    return (type && strcmp(type, "NAT") == 0) || fields_complain(fields, "must be \"NAT\"");
}

static bool read_subnet(struct fields *fields, const json_t *value, void *target)
{
    char error[256];
    const char *text = fields_text(fields, value, SIZE_MAX);
    if (!text)
        return false;
    return subnet_parse(text, target, error, sizeof(error)) || fields_complain(fields, "%s", error);
}

bool switch_read_boot_file(struct fields *fields, const json_t *value, void *target)
{
    const char *text = fields_text(fields, value, SIZE_MAX);
    if (!text)
        return false;
    if (!boot_file_is_valid(text))
        return fields_complain(fields, "cannot be a boot file: " BOOT_FILE_RULE);
    strcpy(target, text);
    return true;
}

json_t *switch_boot_file_json(const struct switch_definition *definition)
{
    return definition->boot_file[0] ? json_string(definition->boot_file) : json_null();
}

/* A definition that has none says so, or nothing. */
static bool read_stored_boot_file(struct fields *fields, const json_t *value, void *target)
{
    return json_is_null(value) || switch_read_boot_file(fields, value, target);
}

bool switch_read_protocol(struct fields *fields, const json_t *value, void *target)
{
    const char *text = json_string_value(value);
    int *protocol = target;
    if (!text || (strcmp(text, "tcp") != 0 && strcmp(text, "udp") != 0))
        return fields_complain(fields, "must be \"tcp\" or \"udp\"");
    *protocol = strcmp(text, "tcp") == 0 ? IPPROTO_TCP : IPPROTO_UDP;
    return true;
}

bool switch_read_address(struct fields *fields, const json_t *value, void *target)
{
    const char *text = fields_text(fields, value, SIZE_MAX);
    if (!text)
        return false;
    return inet_pton(AF_INET, text, target) == 1 ||
           fields_complain(fields, "\"%.40s\" is not an IPv4 address", text);
}

bool switch_read_port(struct fields *fields, const json_t *value, void *target)
{
    uint64_t port;
    if (!fields_read_integer(fields, value, 1, 65535, &port))
        return false;
    *(in_port_t *)target = htons((uint16_t)port);
    return true;
}

static bool read_mac(struct fields *fields, const json_t *value, void *target)
{
    const char *text = fields_text(fields, value, SIZE_MAX);
    if (!text)
        return false;
    return mac_parse(text, target) || fields_complain(fields, "\"%.40s\" is not a MAC address", text);
}

static bool read_forward(struct fields *fields, const json_t *value, void *target)
{
    struct switch_forward *forward = target;
    struct forward_rule *rule = &forward->rule;
    const struct field list[] = {
        {"protocol",     switch_read_protocol, &rule->protocol,   true },
        {"host_address", switch_read_address,  &rule->host,       true },
        {"host_port",    switch_read_port,     &rule->host_port,  true },
        {"mac",          read_mac,             &rule->mac,        false},
        {"address",      switch_read_address,  &rule->child,      false},
        {"port",         switch_read_port,     &rule->child_port, true },
    };
    *forward = (struct switch_forward){0};
    rule->by_mac = json_object_get(value, "mac");
    if (!json_object_get(value, "mac") == !json_object_get(value, "address"))
        return fields_complain(fields, "needs either \"mac\" or \"address\"");
    return fields_read(fields, value, list, COUNT(list));
}

static bool read_forwards(struct fields *fields, const json_t *value, void *target)
{
    struct switch_definition *definition = target;
    return fields_read_list(fields, value, definition->forwards, sizeof(definition->forwards[0]),
                            FORWARD_MAXIMUM, read_forward, &definition->forward_count);
}

bool switch_definition_read(struct switch_definition *definition, const json_t *object, char *error)
{
    struct fields fields = {.error = error};
    const struct field list[] = {
        {"version",    read_version,          NULL,                    true },
        {"name",       read_name,             definition->name,        true },
        {"type",       read_type,             NULL,                    true },
        {"subnet",     read_subnet,           &definition->subnet,     true },
        {"allow_host", fields_read_boolean,   &definition->allow_host, true },
        {"boot_file",  read_stored_boot_file, definition->boot_file,   false},
        {"forwards",   read_forwards,         definition,              true },
    };
    *definition = (struct switch_definition){0};
    return fields_read(&fields, object, list, COUNT(list));
}

static json_t *address_json(in_addr_t address)
{
    char text[INET_ADDRSTRLEN];
    return json_string(inet_ntop(AF_INET, &address, text, sizeof(text)));
}

json_t *switch_forward_json(const struct forward_rule *rule)
{
    return json_pack("{s:s, s:o, s:i, s:o, s:i}", "protocol", rule->protocol == IPPROTO_TCP ? "tcp" : "udp",
                     "host_address", address_json(rule->host), "host_port", (int)ntohs(rule->host_port),
                     rule->by_mac ? "mac" : "address",
                     rule->by_mac ? json_sprintf(MAC_FORMAT, MAC_ARGUMENTS(rule->mac))
                                  : address_json(rule->child),
                     "port", (int)ntohs(rule->child_port));
}

bool switch_forward_same(const struct forward_rule *a, const struct forward_rule *b)
{
    return a->protocol == b->protocol && a->host == b->host && a->host_port == b->host_port;
}

json_t *switch_definition_json(const struct switch_definition *definition)
{
    char subnet[SUBNET_TEXT_SIZE];
    json_t *forwards = json_array();
    for (unsigned i = 0; i < definition->forward_count; i++)
        json_array_append_new(forwards, switch_forward_json(&definition->forwards[i].rule));
    subnet_format(&definition->subnet, subnet);
    return json_pack("{s:i, s:s, s:s, s:s, s:b, s:o, s:o}", "version", SWITCH_DEFINITION_VERSION, "name",
                     definition->name, "type", "NAT", "subnet", subnet, "allow_host", definition->allow_host,
                     "boot_file", switch_boot_file_json(definition), "forwards", forwards);
}
