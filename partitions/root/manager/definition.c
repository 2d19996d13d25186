/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/manager/definition.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/worker/guest_ram.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

const struct mac_address definition_gateway_mac = {
    {0x00, 0x15, 0x5D, 0x00, 0x00, 0x00}
};

/* What reading needs to know beside the value. */
struct source {
    enum definition_source kind;
    uid_t user;
};

static bool read_version(struct fields *fields, const json_t *value, void *target)
{
    uint64_t version;
    (void)target;
    return fields_read_integer(fields, value, DEFINITION_VERSION, DEFINITION_VERSION, &version);
}

static bool read_name(struct fields *fields, const json_t *value, void *target)
{
    const char *name = fields_text(fields, value, SIZE_MAX);
    if (!name)
        return false;
    if (!name_is_valid(name))
        return fields_complain(fields, "\"%.80s\" cannot be a name: use " NAME_RULE, name);
    strcpy(target, name);
    return true;
}

static bool read_memory(struct fields *fields, const json_t *value, void *target)
{
    uint64_t memory;
    if (!fields_read_integer(fields, value, 0, INT64_MAX, &memory))
        return false;
    if (memory < GUEST_RAM_MINIMUM)
        return fields_complain(fields, "%llu bytes are too little: give at least %llu MiB",
                               (unsigned long long)memory, GUEST_RAM_MINIMUM >> 20);
    if (memory > GUEST_RAM_MAXIMUM)
        return fields_complain(fields, "%llu bytes are too much: give at most %llu GiB",
                               (unsigned long long)memory, GUEST_RAM_MAXIMUM >> 30);
    if (memory % GUEST_RAM_UNIT)
        return fields_complain(fields, "must be a multiple of 1 MiB (1048576 bytes), not %llu bytes",
                               (unsigned long long)memory);
    *(uint64_t *)target = memory;
    return true;
}

static bool read_processors(struct fields *fields, const json_t *value, void *target)
{
    uint64_t processors;
    if (!fields_read_integer(fields, value, 0, UINT_MAX, &processors))
        return false;
    if (processors < 1 || processors > CONFIGURATION_PROCESSORS)
        return fields_complain(fields, "a virtual machine can have 1 to %d, not %llu",
                               CONFIGURATION_PROCESSORS, (unsigned long long)processors);
    *(unsigned *)target = (unsigned)processors;
    return true;
}

static bool replace_text(struct fields *fields, char **target, const char *text)
{
    char *copy = strdup(text);
    if (!copy)
        return fields_complain(fields, "no memory");
    free(*target);
    *target = copy;
    return true;
}

static bool read_path(struct fields *fields, const json_t *value, void *target)
{
    const char *path = fields_text(fields, value, PATH_MAX - 1);
    if (!path)
        return false;
    if (path[0] != '/')
        return fields_complain(fields, "\"%.200s\" must be an absolute path", path);
    return replace_text(fields, target, path);
}

static bool read_user(struct fields *fields, const json_t *value, void *target)
{
    uint64_t user;
    if (!fields_read_integer(fields, value, 0, (uid_t)-1 - 1u, &user))
        return false;
    *(uid_t *)target = (uid_t)user;
    return true;
}

static bool read_file(struct fields *fields, const json_t *value, void *target)
{
    const struct source *source = fields->context;
    struct definition_file *file = target;
    const struct field list[] = {
        {"path", read_path, &file->path, true},
        {"uid",  read_user, &file->user, true},
    };
    file->user = source->user;
    return fields_read(fields, value, list, source->kind == DEFINITION_STORED ? 2 : 1);
}

/* null takes the file away. */
static bool read_optional_file(struct fields *fields, const json_t *value, void *target)
{
    struct definition_file *file = target;
    if (!json_is_null(value))
        return read_file(fields, value, target);
    free(file->path);
    file->path = NULL;
    return true;
}

static bool read_command_line(struct fields *fields, const json_t *value, void *target)
{
    const char *text = fields_text(fields, value, DEFINITION_COMMAND_LINE);
    return text && replace_text(fields, target, text);
}

static bool read_format(struct fields *fields, const json_t *value, void *target)
{
    const char *name = json_string_value(value);
    if (!name || (strcmp(name, "vhd") != 0 && strcmp(name, "raw") != 0))
        return fields_complain(fields, "must be \"vhd\" or \"raw\"");
    *(bool *)target = strcmp(name, "raw") == 0;
    return true;
}

static bool read_disk(struct fields *fields, const json_t *value, void *target)
{
    const struct source *source = fields->context;
    struct definition_disk *disk = target;
    const struct field list[] = {
        {"path",      read_path,           &disk->file.path, true },
        {"format",    read_format,         &disk->raw,       false},
        {"read_only", fields_read_boolean, &disk->read_only, false},
        {"uid",       read_user,           &disk->file.user, true },
    };
    disk->file.user = source->user;
    return fields_read(fields, value, list, source->kind == DEFINITION_STORED ? 4 : 3);
}

static void clear_disks(struct definition *definition)
{
    for (unsigned i = 0; i < definition->disk_count; i++)
        free(definition->disks[i].file.path);
    memset(definition->disks, 0, sizeof(definition->disks));
    definition->disk_count = 0;
}

static bool read_disks(struct fields *fields, const json_t *value, void *target)
{
    struct definition *definition = target;
    clear_disks(definition);
    return fields_read_list(fields, value, definition->disks, sizeof(definition->disks[0]),
                            CONFIGURATION_DISKS, read_disk, &definition->disk_count);
}

static bool read_switch(struct fields *fields, const json_t *value, void *target)
{
    if (!json_is_null(value))
        return read_name(fields, value, target);
    *(char *)target = '\0';
    return true;
}

static bool read_mac(struct fields *fields, const json_t *value, void *target)
{
    const char *text = fields_text(fields, value, SIZE_MAX);
    struct mac_address *mac = target;
    static const struct mac_address none;
    if (!text)
        return false;
    if (!mac_parse(text, mac))
        return fields_complain(fields, "\"%.40s\" is not a MAC address: write it as 00-15-5D-01-02-03", text);
    if (mac_equal(mac, &definition_gateway_mac))
        return fields_complain(fields, "%s is the switches' own address: choose another", text);
    if (mac_is_group(mac) || mac_equal(mac, &none))
        return fields_complain(
            fields, "%s is no network adapter's own address: choose one that begins with 00-15-5D", text);
    return true;
}

static bool read_nic(struct fields *fields, const json_t *value, void *target)
{
    const struct source *source = fields->context;
    struct definition_nic *nic = target;
    const struct field list[] = {
        {"switch", read_switch, nic->switch_name, true                             },
        {"mac",    read_mac,    &nic->mac,        source->kind == DEFINITION_STORED},
    };
    return fields_read(fields, value, list, COUNT(list));
}

static bool read_nics(struct fields *fields, const json_t *value, void *target)
{
    struct definition *definition = target;
    memset(definition->nics, 0, sizeof(definition->nics));
    definition->nic_count = 0;
    return fields_read_list(fields, value, definition->nics, sizeof(definition->nics[0]), CONFIGURATION_NICS,
                            read_nic, &definition->nic_count);
}

/* What must hold between values. */
static bool check(struct fields *fields, const struct definition *definition)
{
    static const struct mac_address none;
    if (!definition->kernel.path)
        return fields_complain(fields,
                               "\"kernel\" is missing: a virtual machine starts a Linux kernel directly");
    for (unsigned i = 0; i < definition->disk_count; i++)
        for (unsigned j = 0; j < i; j++)
            if (strcmp(definition->disks[i].file.path, definition->disks[j].file.path) == 0)
                return fields_complain(fields, "disks[%u] and disks[%u] are the same file", j, i);
    for (unsigned i = 0; i < definition->nic_count; i++)
        for (unsigned j = 0; j < i; j++)
            if (mac_equal(&definition->nics[i].mac, &definition->nics[j].mac) &&
                !mac_equal(&definition->nics[i].mac, &none))
                return fields_complain(fields, "nics[%u] and nics[%u] have the same MAC address", j, i);
    return true;
}

bool definition_read(struct definition *definition, const json_t *object, enum definition_source kind,
                     uid_t user, char *error)
{
    struct source source = {.kind = kind, .user = user};
    struct fields fields = {.error = error, .context = &source};
    const bool stored = kind == DEFINITION_STORED;
    const struct field list[] = {
        {"name",         read_name,          definition->name,          true  },
        {"memory",       read_memory,        &definition->memory,       stored},
        {"processors",   read_processors,    &definition->processors,   stored},
        {"kernel",       read_file,          &definition->kernel,       stored},
        {"initrd",       read_optional_file, &definition->initrd,       false },
        {"command_line", read_command_line,  &definition->command_line, stored},
        {"disks",        read_disks,         definition,                stored},
        {"nics",         read_nics,          definition,                stored},
        {"version",      read_version,       NULL,                      true  },
    };
    return fields_read(&fields, object, list, COUNT(list) - !stored) && check(&fields, definition);
}

void definition_initialize(struct definition *definition)
{
    *definition = (struct definition){.memory = DEFINITION_DEFAULT_MEMORY, .processors = 1};
}

bool definition_copy(struct definition *to, const struct definition *from)
{
    char error[FIELDS_ERROR_SIZE];
    json_t *object = definition_json(from);
    definition_initialize(to);
    bool copied = object && definition_read(to, object, DEFINITION_STORED, 0, error);
    json_decref(object);
    if (!copied)
        definition_clear(to);
    return copied;
}

void definition_clear(struct definition *definition)
{
    clear_disks(definition);
    free(definition->kernel.path);
    free(definition->initrd.path);
    free(definition->command_line);
    *definition = (struct definition){0};
}

static json_t *file_json(const struct definition_file *file)
{
    return file->path ? json_pack("{s:s, s:I}", "path", file->path, "uid", (json_int_t)file->user)
                      : json_null();
}

static json_t *disks_json(const struct definition *definition)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < definition->disk_count; i++) {
        const struct definition_disk *disk = &definition->disks[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:I}", "path", disk->file.path, "format",
                                              disk->raw ? "raw" : "vhd", "read_only", disk->read_only, "uid",
                                              (json_int_t)disk->file.user));
    }
    return list;
}

static json_t *nics_json(const struct definition *definition)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < definition->nic_count; i++) {
        const struct definition_nic *nic = &definition->nics[i];
        json_array_append_new(list,
                              json_pack("{s:o, s:o}", "switch",
                                        nic->switch_name[0] ? json_string(nic->switch_name) : json_null(),
                                        "mac", json_sprintf(MAC_FORMAT, MAC_ARGUMENTS(nic->mac))));
    }
    return list;
}

json_t *definition_json(const struct definition *definition)
{
    return json_pack("{s:i, s:s, s:I, s:i, s:o, s:o, s:s, s:o, s:o}", "version", DEFINITION_VERSION, "name",
                     definition->name, "memory", (json_int_t)definition->memory, "processors",
                     (int)definition->processors, "kernel", file_json(&definition->kernel), "initrd",
                     file_json(&definition->initrd), "command_line",
                     definition->command_line ? definition->command_line : "", "disks",
                     disks_json(definition), "nics", nics_json(definition));
}
