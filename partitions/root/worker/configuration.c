/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/configuration.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "partitions/root/worker/guest_ram.h"

static bool read_version(struct fields *fields, const json_t *value, void *target)
{
    uint64_t version;

    (void)target;
    return fields_read_integer(fields, value, CONFIGURATION_VERSION, CONFIGURATION_VERSION, &version);
}

static bool read_memory(struct fields *fields, const json_t *value, void *target)
{
    uint64_t *memory = target;

    if (!fields_read_integer(fields, value, GUEST_RAM_MINIMUM, GUEST_RAM_MAXIMUM, memory))
        return false;
    if (*memory % GUEST_RAM_UNIT)
        return fields_complain(fields, "must be a multiple of 1 MiB (1048576), not %llu", (unsigned long long)*memory);
    return true;
}

static bool read_processors(struct fields *fields, const json_t *value, void *target)
{
    uint64_t processors;

    if (!fields_read_integer(fields, value, 1, CONFIGURATION_PROCESSORS, &processors))
        return false;
    *(unsigned *)target = (unsigned)processors;
    return true;
}

static bool read_descriptor(struct fields *fields, const json_t *value, void *target)
{
    uint64_t descriptor;

    if (!fields_read_integer(fields, value, 0, 65535, &descriptor))
        return false;
    *(int *)target = (int)descriptor;
    return true;
}

static bool read_path(struct fields *fields, const json_t *value, void *target)
{
    if (!fields_read_string(fields, value, target))
        return false;
    return **(char **)target || fields_complain(fields, "must not be empty");
}

static bool read_port(struct fields *fields, const json_t *value, void *target)
{
    uint64_t port;

    if (!fields_read_integer(fields, value, 1, UINT16_MAX, &port))
        return false;
    *(uint16_t *)target = (uint16_t)port;
    return true;
}

static bool read_uuid(struct fields *fields, const json_t *value, void *target)
{
    static const char form[] = "00000000-0000-0000-0000-000000000000";
    const char *text = json_string_value(value);
    uint8_t *uuid = target;
    bool sound = text && strlen(text) == sizeof form - 1;

    for (size_t i = 0; sound && i < sizeof form - 1; i++)
        sound = form[i] == '-' ? text[i] == '-' : isxdigit((unsigned char)text[i]);
    if (!sound)
        return fields_complain(fields, "must be like \"%s\"", form);
    for (unsigned i = 0; i < 16; i++) {
        text += *text == '-';
        uuid[i] = (uint8_t)strtoul((const char[]){text[0], text[1], 0}, NULL, 16);
        text += 2;
    }
    return true;
}

static bool read_name(struct fields *fields, const json_t *value, void *target)
{
    const char *name = json_string_value(value);
    size_t length;

    if (!name)
        return fields_complain(fields, "must be a string, not %s", fields_kind(value));
    length = strlen(name);
    if (length == 0 || length >= CONFIGURATION_NAME_SIZE)
        return fields_complain(fields, "must have 1 to %d characters, not %zu", CONFIGURATION_NAME_SIZE - 1, length);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)name[i] < ' ' || name[i] == 0x7F)
            return fields_complain(fields, "must not have control characters");
    memcpy(target, name, length + 1);
    return true;
}

static bool read_file(struct fields *fields, const json_t *value, void *target)
{
    struct configuration_file *file = target;
    const struct field keys[] = {
        {"path", read_path,       &file->path,       false},
        {"fd",   read_descriptor, &file->descriptor, false},
    };

    if (!fields_read(fields, value, keys, sizeof keys / sizeof keys[0]))
        return false;
    return configuration_file_given(file) || fields_complain(fields, "needs \"path\" or \"fd\"");
}

static bool read_format(struct fields *fields, const json_t *value, void *target)
{
    static const char *const names[] = {[CONFIGURATION_DISK_VHD] = "vhd", [CONFIGURATION_DISK_RAW] = "raw"};

    return fields_read_choice(fields, value, names, 2, target);
}

static bool read_url(struct fields *fields, const json_t *value, void *target)
{
    const char *url = fields_text(fields, value, FETCH_URL_SIZE - 1);
    const char *problem = url ? remote_source_check_url(url) : NULL;

    if (!url || problem)
        return url && fields_complain(fields, "%s", problem);
    strcpy(target, url);
    return true;
}

static bool read_size(struct fields *fields, const json_t *value, void *target)
{
    return fields_read_integer(fields, value, 1, INT64_MAX, target);
}

static bool read_validator(struct fields *fields, const json_t *value, void *target)
{
    const char *validator = fields_text(fields, value, FETCH_TEXT_SIZE - 1);

    if (!validator || !remote_source_check_validator(validator))
        return validator && fields_complain(fields, "must be printable ASCII");
    strcpy(target, validator);
    return true;
}

static bool read_source(struct fields *fields, const json_t *value, struct configuration_parent *parent)
{
    struct remote_source *source = parent->source = calloc(1, sizeof *source);
    const struct field keys[] = {
        {"url",       read_url,            source->url,              true },
        {"raw",       fields_read_boolean, &source->raw,             false},
        {"size",      read_size,           &source->size,            true },
        {"validator", read_validator,      source->validator,        false},
        {"fd",        read_descriptor,     &parent->file.descriptor, true },
    };

    if (!source)
        return fields_complain(fields, "no memory");
    return fields_read(fields, value, keys, sizeof keys / sizeof keys[0]);
}

static bool read_parent(struct fields *fields, const json_t *value, void *target)
{
    struct configuration_parent *parent = target;

    parent->file.descriptor = -1;
    return json_object_get(value, "url") ? read_source(fields, value, parent) : read_file(fields, value, &parent->file);
}

static bool read_parents(struct fields *fields, const json_t *value, void *target)
{
    struct configuration_disk *disk = target;

    disk->parents = calloc(CONFIGURATION_PARENTS, sizeof *disk->parents);
    if (!disk->parents)
        return fields_complain(fields, "no memory");
    if (!fields_read_list(fields, value, disk->parents, sizeof *disk->parents, CONFIGURATION_PARENTS, read_parent,
                          &disk->parent_count))
        return false;
    for (unsigned i = 0; i + 1 < disk->parent_count; i++)
        if (disk->parents[i].source)
            return fields_complain(fields, "only the last can be at a URL");
    return true;
}

static bool read_disk(struct fields *fields, const json_t *value, void *target)
{
    struct configuration_disk *disk = target;
    const struct field keys[] = {
        {"path",      read_path,           &disk->file.path,       false},
        {"fd",        read_descriptor,     &disk->file.descriptor, false},
        {"format",    read_format,         &disk->format,          false},
        {"read_only", fields_read_boolean, &disk->read_only,       false},
        {"parents",   read_parents,        disk,                   false},
    };

    disk->file.descriptor = -1;
    if (!fields_read(fields, value, keys, sizeof keys / sizeof keys[0]))
        return false;
    return configuration_file_given(&disk->file) || fields_complain(fields, "needs \"path\" or \"fd\"");
}

static bool read_drive(struct fields *fields, const json_t *value, void *target)
{
    struct configuration_drive *drive = target;
    const struct field keys[] = {
        {"path",      read_path,           &drive->file.path,       false},
        {"fd",        read_descriptor,     &drive->file.descriptor, false},
        {"read_only", fields_read_boolean, &drive->read_only,       false},
    };

    drive->file.descriptor = -1;
    return fields_read(fields, value, keys, sizeof keys / sizeof keys[0]);
}

static bool read_serial_kind(struct fields *fields, const json_t *value, void *target)
{
    return fields_read_choice(fields, value, configuration_serial_names, CONFIGURATION_SERIAL_KINDS, target);
}

static bool read_serial_port(struct fields *fields, const json_t *value, void *target)
{
    struct configuration_serial *serial = target;
    const struct field keys[] = {
        {"kind", read_serial_kind, &serial->kind,            true },
        {"path", read_path,        &serial->file.path,       false},
        {"fd",   read_descriptor,  &serial->file.descriptor, false},
    };
    bool needs_file;

    serial->file.descriptor = -1;
    if (!fields_read(fields, value, keys, sizeof keys / sizeof keys[0]))
        return false;
    needs_file = serial->kind >= CONFIGURATION_SERIAL_FILE;
    if (needs_file != configuration_file_given(&serial->file))
        return fields_complain(fields, needs_file ? "needs \"path\" or \"fd\"" : "takes neither \"path\" nor \"fd\"");
    return true;
}

static bool read_boot_device(struct fields *fields, const json_t *value, void *target)
{
    return fields_read_choice(fields, value, configuration_boot_names, CONFIGURATION_BOOT_DEVICES, target);
}

static bool parse_mac(const char *text, uint8_t mac[6])
{
    if (strlen(text) != 17)
        return false;
    for (unsigned i = 0; i < 6; i++, text += 3) {
        if (!isxdigit((unsigned char)text[0]) || !isxdigit((unsigned char)text[1]) ||
            (i < 5 && text[2] != '-' && text[2] != ':'))
            return false;
        mac[i] = (uint8_t)strtoul((const char[]){text[0], text[1], 0}, NULL, 16);
    }
    return true;
}

static bool read_mac(struct fields *fields, const json_t *value, void *target)
{
    const char *text = json_string_value(value);
    uint8_t *mac = target;

    if (!text)
        return fields_complain(fields, "must be a string, not %s", fields_kind(value));
    if (!parse_mac(text, mac))
        return fields_complain(fields, "\"%.40s\" is not a MAC address such as 00-15-5D-01-02-03", text);
    if (mac[0] & 1)
        return fields_complain(fields, "\"%.40s\" is a group address; a network adapter needs one of its own", text);
    return true;
}

static bool read_nic(struct fields *fields, const json_t *value, void *target)
{
    struct configuration_nic *nic = target;
    const struct field keys[] = {
        {"mac",    read_mac,  nic->mac,      true },
        {"switch", read_file, &nic->network, false},
    };

    nic->network.descriptor = -1;
    return fields_read(fields, value, keys, sizeof keys / sizeof keys[0]);
}

static bool read_disks(struct fields *fields, const json_t *value, void *target)
{
    struct configuration *configuration = target;

    return fields_read_list(fields, value, configuration->disks, sizeof configuration->disks[0], CONFIGURATION_DISKS,
                            read_disk, &configuration->disk_count);
}

static bool read_nics(struct fields *fields, const json_t *value, void *target)
{
    struct configuration *configuration = target;

    return fields_read_list(fields, value, configuration->nics, sizeof configuration->nics[0], CONFIGURATION_NICS,
                            read_nic, &configuration->nic_count);
}

static bool read_dvds(struct fields *fields, const json_t *value, void *target)
{
    struct configuration *configuration = target;

    return fields_read_list(fields, value, configuration->dvds, sizeof configuration->dvds[0], CONFIGURATION_DVDS,
                            read_drive, &configuration->dvd_count);
}

static bool read_floppies(struct fields *fields, const json_t *value, void *target)
{
    struct configuration *configuration = target;

    return fields_read_list(fields, value, configuration->floppies, sizeof configuration->floppies[0],
                            CONFIGURATION_FLOPPIES, read_drive, &configuration->floppy_count);
}

static bool read_serial(struct fields *fields, const json_t *value, void *target)
{
    struct configuration *configuration = target;
    unsigned count = 0;

    configuration->serial[0].kind = CONFIGURATION_SERIAL_NONE;
    return fields_read_list(fields, value, configuration->serial, sizeof configuration->serial[0], CONFIGURATION_SERIAL,
                            read_serial_port, &count);
}

static bool read_boot(struct fields *fields, const json_t *value, void *target)
{
    struct configuration *configuration = target;

    configuration->boot_count = 0;
    if (!fields_read_list(fields, value, configuration->boot, sizeof configuration->boot[0], CONFIGURATION_BOOT_DEVICES,
                          read_boot_device, &configuration->boot_count))
        return false;
    for (unsigned i = 0; i < configuration->boot_count; i++)
        for (unsigned j = 0; j < i; j++)
            if (configuration->boot[i] == configuration->boot[j])
                return fields_complain(fields, "names something twice");
    return true;
}

static bool read_password(struct fields *fields, const json_t *value, void *target)
{
    if (!read_path(fields, value, target))
        return false;
    return strlen(*(char **)target) <= CONFIGURATION_PASSWORD ||
           fields_complain(fields, "must have at most %d characters: VNC looks at no more", CONFIGURATION_PASSWORD);
}

static bool read_screen(struct fields *fields, const json_t *value, void *target)
{
    struct configuration_screen *screen = target;
    const struct field keys[] = {
        {"path",     read_path,       &screen->local.path,       false},
        {"fd",       read_descriptor, &screen->local.descriptor, false},
        {"address",  read_path,       &screen->address,          false},
        {"password", read_password,   &screen->password,         false},
    };

    if (!fields_read(fields, value, keys, sizeof keys / sizeof keys[0]))
        return false;
    return !screen->password || screen->address ||
           fields_complain(fields, "\"password\" is for \"address\", which is missing");
}

static bool read_configuration(struct fields *fields, const json_t *root, struct configuration *configuration)
{
    const struct field keys[] = {
        {"version",           read_version,        NULL,                              true },
        {"name",              read_name,           configuration->name,               true },
        {"memory",            read_memory,         &configuration->memory,            true },
        {"processors",        read_processors,     &configuration->processors,        false},
        {"uuid",              read_uuid,           configuration->uuid,               false},
        {"kernel",            read_file,           &configuration->kernel,            false},
        {"initrd",            read_file,           &configuration->initrd,            false},
        {"command_line",      fields_read_string,  &configuration->command_line,      false},
        {"firmware",          read_path,           &configuration->firmware,          false},
        {"graphics_firmware", read_path,           &configuration->graphics_firmware, false},
        {"network_firmware",  read_path,           &configuration->network_firmware,  false},
        {"boot",              read_boot,           configuration,                     false},
        {"boot_menu",         fields_read_boolean, &configuration->boot_menu,         false},
        {"graphics",          fields_read_boolean, &configuration->graphics,          false},
        {"disks",             read_disks,          configuration,                     false},
        {"dvds",              read_dvds,           configuration,                     false},
        {"floppies",          read_floppies,       configuration,                     false},
        {"nics",              read_nics,           configuration,                     false},
        {"serial",            read_serial,         configuration,                     false},
        {"debug_exit",        read_port,           &configuration->debug_exit,        false},
        {"control",           read_file,           &configuration->control,           false},
        {"log",               read_file,           &configuration->log,               false},
        {"previous_log",      read_file,           &configuration->previous_log,      false},
        {"screen",            read_screen,         &configuration->screen,            false},
        {"reboot",            fields_read_boolean, &configuration->reboot,            false},
    };

    configuration->graphics = !json_object_get(root, "kernel");
    return fields_read(fields, root, keys, sizeof keys / sizeof keys[0]);
}

static bool set_default(struct fields *fields, char **string, const char *value)
{
    *string = strdup(value);
    return *string || fields_complain(fields, "no memory");
}

static bool drives_fit(struct fields *fields, const struct configuration *configuration)
{
    return configuration_drives_fit(configuration->disk_count, configuration->dvd_count) ||
           fields_complain(fields, "%u disks leave no place for %u DVD drives on the IDE controller's two channels",
                           configuration->disk_count, configuration->dvd_count);
}

static bool serial_is_sound(struct fields *fields, const struct configuration *configuration)
{
    return configuration->serial[0].kind != CONFIGURATION_SERIAL_CONSOLE ||
           configuration->serial[1].kind != CONFIGURATION_SERIAL_CONSOLE ||
           fields_complain(fields, "serial: only one port can be the console");
}

/* What follows from other values. */
static bool complete(struct fields *fields, struct configuration *configuration)
{
    struct configuration_file *previous = &configuration->previous_log;

    if (!configuration->command_line && !set_default(fields, &configuration->command_line, ""))
        return false;
    if (!drives_fit(fields, configuration) || !serial_is_sound(fields, configuration))
        return false;
    if (configuration_file_given(&configuration->initrd) && !configuration_file_given(&configuration->kernel))
        return fields_complain(fields, "\"initrd\" needs \"kernel\"");
    for (unsigned i = 0; i < configuration->nic_count; i++)
        for (unsigned j = 0; j < i; j++)
            if (!memcmp(configuration->nics[i].mac, configuration->nics[j].mac, 6))
                return fields_complain(fields, "nics[%u] and nics[%u] have the same MAC address", j, i);
    if (!configuration_file_given(previous) && configuration->log.path && configuration->log.descriptor < 0 &&
        asprintf(&previous->path, "%s.1", configuration->log.path) < 0) {
        previous->path = NULL;
        return fields_complain(fields, "no memory");
    }
    return true;
}

/* The files that there is one of each; NULL behind the last. */
static struct configuration_file *single_file(struct configuration *configuration, unsigned index)
{
    struct configuration_file *const files[] = {
        &configuration->kernel, &configuration->initrd,       &configuration->control,
        &configuration->log,    &configuration->previous_log, &configuration->screen.local,
    };

    return index < sizeof files / sizeof files[0] ? files[index] : NULL;
}

struct configuration *configuration_parse(const char *text, const char *name, char error[FIELDS_ERROR_SIZE])
{
    struct fields fields = {.document = name, .error = error};
    struct configuration *configuration = calloc(1, sizeof *configuration);
    json_error_t json_error;
    json_t *root;

    if (!configuration) {
        fields_complain(&fields, "no memory");
        return NULL;
    }
    configuration->processors = 1;
    configuration->reboot = true;
    memcpy(configuration->boot, configuration_boot_default, sizeof configuration_boot_default);
    configuration->boot_count = CONFIGURATION_BOOT_DEVICES;
    configuration->serial[0].kind = CONFIGURATION_SERIAL_CONSOLE;
    for (unsigned i = 0; single_file(configuration, i); i++)
        single_file(configuration, i)->descriptor = -1;
    root = json_loads(text, JSON_REJECT_DUPLICATES, &json_error);
    if (!root) {
        fields_complain(&fields, "line %d, column %d: %s", json_error.line, json_error.column, json_error.text);
    } else if (read_configuration(&fields, root, configuration) && complete(&fields, configuration)) {
        json_decref(root);
        return configuration;
    }
    json_decref(root);
    configuration_free(configuration);
    return NULL;
}

struct configuration *configuration_read(int descriptor, const char *name, char error[FIELDS_ERROR_SIZE])
{
    struct fields fields = {.document = name, .error = error};
    char *text = malloc(CONFIGURATION_MAXIMUM_SIZE + 1);
    struct configuration *configuration = NULL;
    size_t length = 0;
    ssize_t count = 1;

    while (text && length <= CONFIGURATION_MAXIMUM_SIZE && count != 0) {
        count = read(descriptor, text + length, CONFIGURATION_MAXIMUM_SIZE + 1 - length);
        if (count < 0 && errno != EINTR)
            break;
        if (count > 0)
            length += (size_t)count;
    }
    if (!text)
        fields_complain(&fields, "no memory");
    else if (count < 0)
        fields_complain(&fields, "cannot be read: %s", strerror(errno));
    else if (length > CONFIGURATION_MAXIMUM_SIZE)
        fields_complain(&fields, "is larger than %u bytes", CONFIGURATION_MAXIMUM_SIZE);
    else if (memchr(text, 0, length))
        fields_complain(&fields, "is not text");
    else {
        text[length] = 0;
        configuration = configuration_parse(text, name, error);
    }
    free(text);
    return configuration;
}

static void free_disk(struct configuration_disk *disk)
{
    for (unsigned i = 0; i < disk->parent_count; i++) {
        free(disk->parents[i].file.path);
        free(disk->parents[i].source);
    }
    free(disk->parents);
    free(disk->file.path);
}

void configuration_free(struct configuration *configuration)
{
    if (!configuration)
        return;
    for (unsigned i = 0; single_file(configuration, i); i++)
        free(single_file(configuration, i)->path);
    free(configuration->command_line);
    free(configuration->firmware);
    free(configuration->graphics_firmware);
    free(configuration->network_firmware);
    for (unsigned i = 0; i < configuration->disk_count; i++)
        free_disk(&configuration->disks[i]);
    for (unsigned i = 0; i < configuration->nic_count; i++)
        free(configuration->nics[i].network.path);
    for (unsigned i = 0; i < configuration->dvd_count; i++)
        free(configuration->dvds[i].file.path);
    for (unsigned i = 0; i < configuration->floppy_count; i++)
        free(configuration->floppies[i].file.path);
    for (unsigned i = 0; i < CONFIGURATION_SERIAL; i++)
        free(configuration->serial[i].file.path);
    free(configuration->screen.address);
    free(configuration->screen.password);
    free(configuration);
}

bool configuration_file_given(const struct configuration_file *file)
{
    return file->path || file->descriptor >= 0;
}

const char *configuration_file_name(const struct configuration_file *file)
{
    static _Thread_local char name[32];

    if (file->path)
        return file->path;
    snprintf(name, sizeof name, "descriptor %d", file->descriptor);
    return name;
}
