/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/configuration.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "partitions/root/worker/guest_ram.h"

/* Where in the document the reader is, for messages: "disks[1].path". */
struct reader {
    const char *name;
    char *error;
    char place[128];
};

static bool __attribute__((format(printf, 2, 3))) complain(struct reader *reader, const char *format, ...)
{
    int length = snprintf(reader->error, CONFIGURATION_ERROR_SIZE, "%.200s: %s%s", reader->name,
                          reader->place, reader->place[0] ? ": " : "");
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(reader->error + length, CONFIGURATION_ERROR_SIZE - (size_t)length, format, arguments);
    va_end(arguments);
    return false;
}

static const char *type_name(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "a list";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_NULL:
        return "null";
    default:
        return "true or false";
    }
}

/* A key of an object, how its value is read, and where to. */
struct key {
    const char *name;
    bool (*read)(struct reader *reader, const json_t *value, void *target);
    void *target;
    bool required;
};

static bool read_keys(struct reader *reader, const json_t *object, const struct key *keys, size_t count);

static bool read_object(struct reader *reader, const json_t *object, const struct key *keys, size_t count)
{
    if (!json_is_object(object))
        return complain(reader, "must be an object, not %s", type_name(object));
    return read_keys(reader, object, keys, count);
}

/* Reads one value with its key added to the place. */
static bool read_value(struct reader *reader, const struct key *key, const json_t *value)
{
    size_t length = strlen(reader->place);

    snprintf(reader->place + length, sizeof reader->place - length, "%s%s", length ? "." : "", key->name);
    if (!key->read(reader, value, key->target))
        return false;
    reader->place[length] = 0;
    return true;
}

static bool read_keys(struct reader *reader, const json_t *object, const struct key *keys, size_t count)
{
    size_t found = 0;
    const char *name;
    json_t *value;

    for (size_t i = 0; i < count; i++) {
        const json_t *present = json_object_get(object, keys[i].name);

        if (!present && keys[i].required)
            return complain(reader, "\"%s\" is missing", keys[i].name);
        if (!present)
            continue;
        found++;
        if (!read_value(reader, &keys[i], present))
            return false;
    }
    if (found == json_object_size(object))
        return true;
    json_object_foreach((json_t *)object, name, value)
    {
        size_t i = 0;

        while (i < count && strcmp(name, keys[i].name))
            i++;
        if (i == count)
            return complain(reader, "unknown key \"%.64s\"", name);
    }
    return true;
}

static bool read_integer(struct reader *reader, const json_t *value, uint64_t minimum, uint64_t maximum,
                         uint64_t *target)
{
    if (!json_is_integer(value))
        return complain(reader, "must be a whole number, not %s", type_name(value));
    if (json_integer_value(value) < 0 || (uint64_t)json_integer_value(value) < minimum ||
        (uint64_t)json_integer_value(value) > maximum)
        return complain(reader, "must be %llu to %llu, not %lld", (unsigned long long)minimum,
                        (unsigned long long)maximum, (long long)json_integer_value(value));
    *target = (uint64_t)json_integer_value(value);
    return true;
}

static bool read_version(struct reader *reader, const json_t *value, void *target)
{
    uint64_t version;

    (void)target;
    return read_integer(reader, value, CONFIGURATION_VERSION, CONFIGURATION_VERSION, &version);
}

static bool read_memory(struct reader *reader, const json_t *value, void *target)
{
    uint64_t *memory = target;

    if (!read_integer(reader, value, GUEST_RAM_MINIMUM, GUEST_RAM_MAXIMUM, memory))
        return false;
    if (*memory % GUEST_RAM_UNIT)
        return complain(reader, "must be a multiple of 1 MiB (1048576), not %llu",
                        (unsigned long long)*memory);
    return true;
}

static bool read_processors(struct reader *reader, const json_t *value, void *target)
{
    uint64_t processors;

    if (!read_integer(reader, value, 1, CONFIGURATION_PROCESSORS, &processors))
        return false;
    *(unsigned *)target = (unsigned)processors;
    return true;
}

static bool read_descriptor(struct reader *reader, const json_t *value, void *target)
{
    uint64_t descriptor;

    if (!read_integer(reader, value, 0, 65535, &descriptor))
        return false;
    *(int *)target = (int)descriptor;
    return true;
}

static bool read_boolean(struct reader *reader, const json_t *value, void *target)
{
    if (!json_is_boolean(value))
        return complain(reader, "must be true or false, not %s", type_name(value));
    *(bool *)target = json_is_true(value);
    return true;
}

static bool read_string(struct reader *reader, const json_t *value, void *target)
{
    char **string = target;

    if (!json_is_string(value))
        return complain(reader, "must be a string, not %s", type_name(value));
    *string = strdup(json_string_value(value));
    return *string || complain(reader, "no memory");
}

static bool read_path(struct reader *reader, const json_t *value, void *target)
{
    if (!read_string(reader, value, target))
        return false;
    return **(char **)target || complain(reader, "must not be empty");
}

static bool read_name(struct reader *reader, const json_t *value, void *target)
{
    const char *name = json_string_value(value);
    size_t length;

    if (!name)
        return complain(reader, "must be a string, not %s", type_name(value));
    length = strlen(name);
    if (length == 0 || length >= CONFIGURATION_NAME_SIZE)
        return complain(reader, "must have 1 to %d characters, not %zu", CONFIGURATION_NAME_SIZE - 1, length);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)name[i] < ' ' || name[i] == 0x7F)
            return complain(reader, "must not have control characters");
    memcpy(target, name, length + 1);
    return true;
}

static bool read_file(struct reader *reader, const json_t *value, void *target)
{
    struct configuration_file *file = target;
    const struct key keys[] = {
        {"path", read_path,       &file->path,       false},
        {"fd",   read_descriptor, &file->descriptor, false},
    };

    if (!read_object(reader, value, keys, sizeof keys / sizeof keys[0]))
        return false;
    return configuration_file_given(file) || complain(reader, "needs \"path\" or \"fd\"");
}

static bool read_format(struct reader *reader, const json_t *value, void *target)
{
    enum configuration_disk_format *format = target;
    const char *name = json_string_value(value);

    if (name && !strcmp(name, "vhd"))
        *format = CONFIGURATION_DISK_VHD;
    else if (name && !strcmp(name, "raw"))
        *format = CONFIGURATION_DISK_RAW;
    else
        return complain(reader, "must be \"vhd\" or \"raw\"");
    return true;
}

static bool read_disk(struct reader *reader, const json_t *value, void *target)
{
    struct configuration_disk *disk = target;
    const struct key keys[] = {
        {"path",      read_path,       &disk->file.path,       false},
        {"fd",        read_descriptor, &disk->file.descriptor, false},
        {"format",    read_format,     &disk->format,          false},
        {"read_only", read_boolean,    &disk->read_only,       false},
    };

    disk->file.descriptor = -1;
    if (!read_object(reader, value, keys, sizeof keys / sizeof keys[0]))
        return false;
    return configuration_file_given(&disk->file) || complain(reader, "needs \"path\" or \"fd\"");
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

static bool read_mac(struct reader *reader, const json_t *value, void *target)
{
    const char *text = json_string_value(value);
    uint8_t *mac = target;

    if (!text)
        return complain(reader, "must be a string, not %s", type_name(value));
    if (!parse_mac(text, mac))
        return complain(reader, "\"%.40s\" is not a MAC address such as 00-15-5D-01-02-03", text);
    if (mac[0] & 1)
        return complain(reader, "\"%.40s\" is a group address; a network adapter needs one of its own", text);
    return true;
}

static bool read_nic(struct reader *reader, const json_t *value, void *target)
{
    struct configuration_nic *nic = target;
    const struct key keys[] = {
        {"mac",    read_mac,  nic->mac,      true },
        {"switch", read_file, &nic->network, false},
    };

    nic->network.descriptor = -1;
    return read_object(reader, value, keys, sizeof keys / sizeof keys[0]);
}

/* A list of at most `maximum` elements of `size` bytes at `elements`. */
static bool read_list(struct reader *reader, const json_t *list, void *elements, size_t size,
                      unsigned maximum, bool (*read)(struct reader *, const json_t *, void *),
                      unsigned *count)
{
    size_t length = strlen(reader->place);

    if (!json_is_array(list))
        return complain(reader, "must be a list, not %s", type_name(list));
    if (json_array_size(list) > maximum)
        return complain(reader, "must have at most %u entries, not %zu", maximum, json_array_size(list));
    for (size_t i = 0; i < json_array_size(list); i++) {
        snprintf(reader->place + length, sizeof reader->place - length, "[%zu]", i);
        *count = (unsigned)i + 1;
        if (!read(reader, json_array_get(list, i), (char *)elements + i * size))
            return false;
    }
    reader->place[length] = 0;
    return true;
}

static bool read_disks(struct reader *reader, const json_t *value, void *target)
{
    struct configuration *configuration = target;

    return read_list(reader, value, configuration->disks, sizeof configuration->disks[0], CONFIGURATION_DISKS,
                     read_disk, &configuration->disk_count);
}

static bool read_nics(struct reader *reader, const json_t *value, void *target)
{
    struct configuration *configuration = target;

    return read_list(reader, value, configuration->nics, sizeof configuration->nics[0], CONFIGURATION_NICS,
                     read_nic, &configuration->nic_count);
}

static bool read_configuration(struct reader *reader, const json_t *root, struct configuration *configuration)
{
    const struct key keys[] = {
        {"version",      read_version,    NULL,                         true },
        {"name",         read_name,       configuration->name,          true },
        {"memory",       read_memory,     &configuration->memory,       true },
        {"processors",   read_processors, &configuration->processors,   false},
        {"kernel",       read_file,       &configuration->kernel,       true },
        {"initrd",       read_file,       &configuration->initrd,       false},
        {"command_line", read_string,     &configuration->command_line, false},
        {"disks",        read_disks,      configuration,                false},
        {"nics",         read_nics,       configuration,                false},
        {"control",      read_file,       &configuration->control,      false},
        {"log",          read_file,       &configuration->log,          false},
        {"previous_log", read_file,       &configuration->previous_log, false},
        {"reboot",       read_boolean,    &configuration->reboot,       false},
    };

    return read_object(reader, root, keys, sizeof keys / sizeof keys[0]);
}

/* What follows from other values. */
static bool complete(struct reader *reader, struct configuration *configuration)
{
    struct configuration_file *previous = &configuration->previous_log;

    if (!configuration->command_line)
        configuration->command_line = strdup("");
    if (!configuration->command_line)
        return complain(reader, "no memory");
    for (unsigned i = 0; i < configuration->nic_count; i++)
        for (unsigned j = 0; j < i; j++)
            if (!memcmp(configuration->nics[i].mac, configuration->nics[j].mac, 6))
                return complain(reader, "nics[%u] and nics[%u] have the same MAC address", j, i);
    if (!configuration_file_given(previous) && configuration->log.path && configuration->log.descriptor < 0 &&
        asprintf(&previous->path, "%s.1", configuration->log.path) < 0) {
        previous->path = NULL;
        return complain(reader, "no memory");
    }
    return true;
}

struct configuration *configuration_parse(const char *text, const char *name,
                                          char error[CONFIGURATION_ERROR_SIZE])
{
    struct reader reader = {.name = name, .error = error};
    struct configuration *configuration = calloc(1, sizeof *configuration);
    json_error_t json_error;
    json_t *root;

    if (!configuration) {
        complain(&reader, "no memory");
        return NULL;
    }
    configuration->processors = 1;
    configuration->reboot = true;
    configuration->kernel.descriptor = configuration->initrd.descriptor = configuration->control.descriptor =
        -1;
    configuration->log.descriptor = configuration->previous_log.descriptor = -1;
    root = json_loads(text, JSON_REJECT_DUPLICATES, &json_error);
    if (!root) {
        complain(&reader, "line %d, column %d: %s", json_error.line, json_error.column, json_error.text);
    } else if (read_configuration(&reader, root, configuration) && complete(&reader, configuration)) {
        json_decref(root);
        return configuration;
    }
    json_decref(root);
    configuration_free(configuration);
    return NULL;
}

struct configuration *configuration_read(int descriptor, const char *name,
                                         char error[CONFIGURATION_ERROR_SIZE])
{
    struct reader reader = {.name = name, .error = error};
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
        complain(&reader, "no memory");
    else if (count < 0)
        complain(&reader, "cannot be read: %s", strerror(errno));
    else if (length > CONFIGURATION_MAXIMUM_SIZE)
        complain(&reader, "is larger than %u bytes", CONFIGURATION_MAXIMUM_SIZE);
    else if (memchr(text, 0, length))
        complain(&reader, "is not text");
    else {
        text[length] = 0;
        configuration = configuration_parse(text, name, error);
    }
    free(text);
    return configuration;
}

void configuration_free(struct configuration *configuration)
{
    if (!configuration)
        return;
    free(configuration->kernel.path);
    free(configuration->initrd.path);
    free(configuration->command_line);
    for (unsigned i = 0; i < configuration->disk_count; i++)
        free(configuration->disks[i].file.path);
    for (unsigned i = 0; i < configuration->nic_count; i++)
        free(configuration->nics[i].network.path);
    free(configuration->control.path);
    free(configuration->log.path);
    free(configuration->previous_log.path);
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
