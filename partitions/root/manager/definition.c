/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/manager/definition.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
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
        return fields_complain(fields, "%llu bytes are too little: give at least %llu MiB", (unsigned long long)memory,
                               GUEST_RAM_MINIMUM >> 20);
    if (memory > GUEST_RAM_MAXIMUM)
        return fields_complain(fields, "%llu bytes are too much: give at most %llu GiB", (unsigned long long)memory,
                               GUEST_RAM_MAXIMUM >> 30);
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
        return fields_complain(fields, "a virtual machine can have 1 to %d, not %llu", CONFIGURATION_PROCESSORS,
                               (unsigned long long)processors);
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

static bool read_nothing(struct fields *fields, const json_t *value, void *target)
{
    (void)target;
    return json_is_null(value) || fields_complain(fields, "must be a path, or null");
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

static void clear_file(struct definition_file *file)
{
    free(file->path);
    file->path = NULL;
}

/* null takes the file away. */
static bool read_optional_file(struct fields *fields, const json_t *value, void *target)
{
    struct definition_file *file = target;
    if (!json_is_null(value))
        return read_file(fields, value, target);
    clear_file(file);
    return true;
}

static bool read_uuid(struct fields *fields, const json_t *value, void *target)
{
    static const char form[] = "00000000-0000-0000-0000-000000000000";
    const char *text = fields_text(fields, value, SIZE_MAX);
    uint8_t *uuid = target;
    if (!text)
        return false;
    bool sound = strlen(text) == sizeof(form) - 1;
    for (size_t i = 0; sound && i < sizeof(form) - 1; i++)
        sound = form[i] == '-' ? text[i] == '-' : isxdigit((unsigned char)text[i]);
    if (!sound)
        return fields_complain(fields, "\"%.40s\" is not a UUID: write it as %s", text, form);
    for (unsigned i = 0; i < 16; i++, text += 2) {
        text += *text == '-';
        uuid[i] = (uint8_t)strtoul((const char[]){text[0], text[1], 0}, NULL, 16);
    }
    return true;
}

/* Which of the names it is. */
static bool read_boot_device(struct fields *fields, const json_t *value, void *target)
{
    return fields_read_choice(fields, value, configuration_boot_names, CONFIGURATION_BOOT_DEVICES, target);
}

static bool read_boot(struct fields *fields, const json_t *value, void *target)
{
    struct definition *definition = target;
    definition->boot_count = 0;
    if (!fields_read_list(fields, value, definition->boot, sizeof(definition->boot[0]), CONFIGURATION_BOOT_DEVICES,
                          read_boot_device, &definition->boot_count))
        return false;
    for (unsigned i = 0; i < definition->boot_count; i++)
        for (unsigned j = 0; j < i; j++)
            if (definition->boot[i] == definition->boot[j])
                return fields_complain(fields, "%s is there twice", configuration_boot_names[definition->boot[i]]);
    return true;
}

/* null: the default. */
static bool read_graphics(struct fields *fields, const json_t *value, void *target)
{
    enum definition_choice *choice = target;
    bool yes = false;
    if (!json_is_null(value) && !fields_read_boolean(fields, value, &yes))
        return false;
    *choice = json_is_null(value) ? DEFINITION_DEFAULT : yes ? DEFINITION_YES : DEFINITION_NO;
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

/* null: none. */
static bool read_url(struct fields *fields, const json_t *value, void *target)
{
    if (json_is_null(value))
        return true;
    const char *url = fields_text(fields, value, FETCH_URL_SIZE - 1);
    const char *problem = url ? remote_source_check_url(url) : NULL;
    if (problem)
        return fields_complain(fields, "%s", problem);
    return url && replace_text(fields, target, url);
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
        {"source",    read_url,            &disk->source,    false},
    };
    disk->file.user = source->user;
    disk->attached = source->kind == DEFINITION_REQUEST;
    return fields_read(fields, value, list, disk->attached ? 3 : COUNT(list));
}

static void clear_disks(struct definition *definition)
{
    for (unsigned i = 0; i < definition->disk_count; i++) {
        free(definition->disks[i].file.path);
        free(definition->disks[i].source);
    }
    memset(definition->disks, 0, sizeof(definition->disks));
    definition->disk_count = 0;
}

static bool read_disks(struct fields *fields, const json_t *value, void *target)
{
    struct definition *definition = target;
    clear_disks(definition);
    return fields_read_list(fields, value, definition->disks, sizeof(definition->disks[0]), CONFIGURATION_DISKS,
                            read_disk, &definition->disk_count);
}

/* A drive has a file or is empty: {} and "path": null. */
static bool read_drive(struct fields *fields, const json_t *value, void *target)
{
    const struct source *source = fields->context;
    struct definition_drive *drive = target;
    const bool empty = json_is_object(value) && !json_is_string(json_object_get(value, "path"));
    const struct field list[] = {
        {"path",      empty ? read_nothing : read_path, &drive->file.path, false},
        {"read_only", fields_read_boolean,              &drive->read_only, false},
        {"uid",       read_user,                        &drive->file.user, false},
    };
    drive->file.user = source->user;
    return fields_read(fields, value, list, source->kind == DEFINITION_STORED ? 3 : 2);
}

static void clear_drives(struct definition_drive *drives, unsigned *count)
{
    for (unsigned i = 0; i < *count; i++)
        free(drives[i].file.path);
    memset(drives, 0, *count * sizeof(*drives));
    *count = 0;
}

static bool read_dvds(struct fields *fields, const json_t *value, void *target)
{
    struct definition *definition = target;
    clear_drives(definition->dvds, &definition->dvd_count);
    return fields_read_list(fields, value, definition->dvds, sizeof(definition->dvds[0]), CONFIGURATION_DVDS,
                            read_drive, &definition->dvd_count);
}

static bool read_floppies(struct fields *fields, const json_t *value, void *target)
{
    struct definition *definition = target;
    clear_drives(definition->floppies, &definition->floppy_count);
    return fields_read_list(fields, value, definition->floppies, sizeof(definition->floppies[0]),
                            CONFIGURATION_FLOPPIES, read_drive, &definition->floppy_count);
}

static bool read_serial_kind(struct fields *fields, const json_t *value, void *target)
{
    return fields_read_choice(fields, value, configuration_serial_names, CONFIGURATION_SERIAL_KINDS, target);
}

static bool read_com2(struct fields *fields, const json_t *value, void *target)
{
    const struct source *source = fields->context;
    struct definition_serial *serial = target;
    const struct field list[] = {
        {"kind", read_serial_kind, &serial->kind,      true },
        {"path", read_path,        &serial->file.path, false},
        {"uid",  read_user,        &serial->file.user, false},
    };
    clear_file(&serial->file);
    serial->file.user = source->user;
    if (!fields_read(fields, value, list, source->kind == DEFINITION_STORED ? 3 : 2))
        return false;
    if (serial->kind == CONFIGURATION_SERIAL_CONSOLE)
        return fields_complain(fields, "the console is COM1");
    if ((serial->kind != CONFIGURATION_SERIAL_NONE) != (serial->file.path != NULL))
        return fields_complain(fields, serial->file.path ? "\"none\" has no \"path\"" : "\"path\" is missing");
    return true;
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
        return fields_complain(fields, "%s is no network adapter's own address: choose one that begins with 00-15-5D",
                               text);
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
    return fields_read_list(fields, value, definition->nics, sizeof(definition->nics[0]), CONFIGURATION_NICS, read_nic,
                            &definition->nic_count);
}

/* What must hold between values. */
static bool check(struct fields *fields, const struct definition *definition)
{
    static const struct mac_address none;
    if (definition->initrd.path && !definition->kernel.path)
        return fields_complain(fields, "\"initrd\" needs \"kernel\": without one the firmware starts the machine");
    if (!configuration_drives_fit(definition->disk_count, definition->dvd_count))
        return fields_complain(fields, "%u disks leave no place for %u DVD drives on the IDE controller's two channels",
                               definition->disk_count, definition->dvd_count);
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

bool definition_read(struct definition *definition, const json_t *object, enum definition_source kind, uid_t user,
                     char *error)
{
    struct source source = {.kind = kind, .user = user};
    struct fields fields = {.error = error, .context = &source};
    const bool stored = kind == DEFINITION_STORED;
    const struct field list[] = {
        {"name",         read_name,          definition->name,          true  },
        {"memory",       read_memory,        &definition->memory,       stored},
        {"processors",   read_processors,    &definition->processors,   stored},
        {"uuid",         read_uuid,          definition->uuid,          false },
        {"kernel",       read_optional_file, &definition->kernel,       stored},
        {"initrd",       read_optional_file, &definition->initrd,       false },
        {"command_line", read_command_line,  &definition->command_line, stored},
        {"boot",         read_boot,          definition,                false },
        {"graphics",     read_graphics,      &definition->graphics,     false },
        {"disks",        read_disks,         definition,                stored},
        {"dvds",         read_dvds,          definition,                false },
        {"floppies",     read_floppies,      definition,                false },
        {"com2",         read_com2,          &definition->com2,         false },
        {"nics",         read_nics,          definition,                stored},
        {"version",      read_version,       NULL,                      true  },
    };
    return fields_read(&fields, object, list, COUNT(list) - !stored) && check(&fields, definition);
}

void definition_initialize(struct definition *definition)
{
    *definition = (struct definition){
        .memory = DEFINITION_DEFAULT_MEMORY, .processors = 1, .boot_count = CONFIGURATION_BOOT_DEVICES};
    memcpy(definition->boot, configuration_boot_default, sizeof(configuration_boot_default));
}

bool definition_has_graphics(const struct definition *definition)
{
    return definition->graphics == DEFINITION_DEFAULT ? !definition->kernel.path
                                                      : definition->graphics == DEFINITION_YES;
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
    clear_drives(definition->dvds, &definition->dvd_count);
    clear_drives(definition->floppies, &definition->floppy_count);
    clear_file(&definition->com2.file);
    clear_file(&definition->kernel);
    clear_file(&definition->initrd);
    free(definition->command_line);
    *definition = (struct definition){0};
}
