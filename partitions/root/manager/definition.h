/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a virtual machine is made of, as loamd keeps it: in a file for each, and in requests
 * (docs/manager-protocol.md). Form and ranges are checked here; whether files exist and who may use them is
 * found out by who opens them.
 */
#ifndef MANAGER_DEFINITION_H
#define MANAGER_DEFINITION_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "partitions/root/fields.h"
#include "partitions/root/manager/name.h"
#include "partitions/root/net/packet.h"
#include "partitions/root/worker/configuration.h"

#define DEFINITION_VERSION        1
#define DEFINITION_DEFAULT_MEMORY (512ull << 20)
#define DEFINITION_COMMAND_LINE   2047u /* bytes; what Linux takes */

/* What every switch calls its gateway (docs/switch-protocol.md): nobody else's. */
extern const struct mac_address definition_gateway_mac;

/* A file by its absolute path, and whose rights count when it is opened. */
struct definition_file {
    char *path; /* NULL: none */
    uid_t user;
};

struct definition_disk {
    struct definition_file file;
    bool raw; /* otherwise a VHD */
    bool read_only;
    /* The URL that its parent may be fetched from, as its image said when it was attached; NULL: none. An image from
     * elsewhere could name any later. */
    char *source;
    bool attached; /* just now: what its image says is still to be recorded */
};

/* Without a file it is empty. */
struct definition_drive {
    struct definition_file file;
    bool read_only; /* a floppy disk only */
};

struct definition_serial {
    enum configuration_serial_kind kind; /* the console is COM1 */
    struct definition_file file;
};

struct definition_nic {
    char switch_name[NAME_SIZE]; /* empty: no cable */
    struct mac_address mac;      /* all zero: to be chosen */
};

enum definition_choice { DEFINITION_DEFAULT, DEFINITION_YES, DEFINITION_NO };

struct definition {
    char name[NAME_SIZE];
    uint64_t memory; /* bytes */
    unsigned processors;
    uint8_t uuid[16];              /* all zero: to be chosen */
    struct definition_file kernel; /* none: it starts by its firmware */
    struct definition_file initrd; /* optional */
    char *command_line;
    unsigned boot_count;
    enum configuration_boot boot[CONFIGURATION_BOOT_DEVICES];
    enum definition_choice graphics; /* a graphics adapter; by default if it has no kernel */
    unsigned disk_count;
    struct definition_disk disks[CONFIGURATION_DISKS]; /* IDE 0:0, 0:1, 1:0, 1:1 */
    unsigned dvd_count;
    struct definition_drive dvds[CONFIGURATION_DVDS];
    unsigned floppy_count;
    struct definition_drive floppies[CONFIGURATION_FLOPPIES];
    struct definition_serial com2;
    unsigned nic_count;
    struct definition_nic nics[CONFIGURATION_NICS];
};

/* Where an object comes from. */
enum definition_source {
    DEFINITION_STORED,  /* our own file: has "version" and users, and everything that must be there */
    DEFINITION_REQUEST, /* somebody's request: files belong to `user`; what is left out stays as it is */
};

/*
 * Reads an object into `definition`, which holds something sound: defaults, or what is to be changed. False:
 * `error` (FIELDS_ERROR_SIZE bytes) says where and what, and `definition` is only good for
 * definition_clear().
 */
bool definition_read(struct definition *definition, const json_t *object, enum definition_source source, uid_t user,
                     char *error);

void definition_initialize(struct definition *definition);
bool definition_has_graphics(const struct definition *definition);
bool definition_copy(struct definition *to, const struct definition *from);
void definition_clear(struct definition *definition);

/* The object as it is stored (definition_json.c). NULL: no memory. */
json_t *definition_json(const struct definition *definition);
json_t *definition_uuid_json(const struct definition *definition);

#endif
