/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a virtual switch is, as loamd keeps it in a file (docs/manager-protocol.md). */
#ifndef MANAGER_SWITCH_DEFINITION_H
#define MANAGER_SWITCH_DEFINITION_H

#include <jansson.h>
#include <stdbool.h>

#include "partitions/root/fields.h"
#include "partitions/root/manager/name.h"
#include "partitions/root/net/boot_file.h"
#include "partitions/root/net/forward.h"
#include "partitions/root/net/subnet.h"

#define SWITCH_DEFINITION_VERSION 1

/* A port of the parent's that leads to one of a virtual machine's. */
struct switch_forward {
    struct forward_rule rule;
    char problem[160]; /* why the switch does not have it; empty: it has */
};

struct switch_definition {
    char name[NAME_SIZE];
    struct subnet subnet;
    bool allow_host;
    char boot_file[BOOT_FILE_SIZE]; /* what its virtual machines boot from the network; empty: nothing */
    unsigned forward_count;
    struct switch_forward forwards[FORWARD_MAXIMUM];
};

/* Reads a stored definition. False: `error` (FIELDS_ERROR_SIZE bytes) says where and what. */
bool switch_definition_read(struct switch_definition *definition, const json_t *object, char *error);
json_t *switch_definition_json(const struct switch_definition *definition);

/* For struct field.read: a boot file, into char[BOOT_FILE_SIZE]; and as JSON, null if there is none. */
bool switch_read_boot_file(struct fields *fields, const json_t *value, void *target);
json_t *switch_boot_file_json(const struct switch_definition *definition);

/*
 * A forward as the switch's control socket has it: protocol, host_address, host_port, mac or address, port.
 * The functions for struct field.read fill a struct forward_rule; the child is left to the caller.
 */
json_t *switch_forward_json(const struct forward_rule *rule);
bool switch_read_protocol(struct fields *fields, const json_t *value, void *target);
bool switch_read_address(struct fields *fields, const json_t *value, void *target); /* in_addr_t */
bool switch_read_port(struct fields *fields, const json_t *value, void *target);    /* in_port_t */

/* Whether both are about the same port of the parent's. */
bool switch_forward_same(const struct forward_rule *a, const struct forward_rule *b);

#endif
