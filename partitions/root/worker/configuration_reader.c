/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/configuration_reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/worker/configuration.h"

bool reader_complain(struct reader *reader, const char *format, ...)
{
    int length = snprintf(reader->error, CONFIGURATION_ERROR_SIZE, "%.200s: %s%s", reader->name, reader->place,
                          reader->place[0] ? ": " : "");
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(reader->error + length, CONFIGURATION_ERROR_SIZE - (size_t)length, format, arguments);
    va_end(arguments);
    return false;
}

const char *reader_type_name(const json_t *value)
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

static bool read_keys(struct reader *reader, const json_t *object, const struct key *keys, size_t count);

bool reader_object(struct reader *reader, const json_t *object, const struct key *keys, size_t count)
{
    if (!json_is_object(object))
        return reader_complain(reader, "must be an object, not %s", reader_type_name(object));
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
            return reader_complain(reader, "\"%s\" is missing", keys[i].name);
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
            return reader_complain(reader, "unknown key \"%.64s\"", name);
    }
    return true;
}

bool reader_integer(struct reader *reader, const json_t *value, uint64_t minimum, uint64_t maximum, uint64_t *target)
{
    if (!json_is_integer(value))
        return reader_complain(reader, "must be a whole number, not %s", reader_type_name(value));
    if (json_integer_value(value) < 0 || (uint64_t)json_integer_value(value) < minimum ||
        (uint64_t)json_integer_value(value) > maximum)
        return reader_complain(reader, "must be %llu to %llu, not %lld", (unsigned long long)minimum,
                               (unsigned long long)maximum, (long long)json_integer_value(value));
    *target = (uint64_t)json_integer_value(value);
    return true;
}

bool reader_boolean(struct reader *reader, const json_t *value, void *target)
{
    if (!json_is_boolean(value))
        return reader_complain(reader, "must be true or false, not %s", reader_type_name(value));
    *(bool *)target = json_is_true(value);
    return true;
}

bool reader_string(struct reader *reader, const json_t *value, void *target)
{
    char **string = target;

    if (!json_is_string(value))
        return reader_complain(reader, "must be a string, not %s", reader_type_name(value));
    *string = strdup(json_string_value(value));
    return *string || reader_complain(reader, "no memory");
}

/* Which of the names the value is. */
bool reader_choice(struct reader *reader, const json_t *value, const char *const *names, unsigned count,
                   unsigned *choice)
{
    const char *text = json_string_value(value);
    char list[128] = "";

    for (*choice = 0; *choice < count; ++*choice) {
        size_t length = strlen(list);

        if (text && !strcmp(text, names[*choice]))
            return true;
        snprintf(list + length, sizeof list - length, "%s\"%s\"", *choice ? ", " : "", names[*choice]);
    }
    return reader_complain(reader, "must be one of %s", list);
}

/* A list of at most `maximum` elements of `size` bytes at `elements`. */
bool reader_list(struct reader *reader, const json_t *list, void *elements, size_t size, unsigned maximum,
                 bool (*read)(struct reader *, const json_t *, void *), unsigned *count)
{
    size_t length = strlen(reader->place);

    if (!json_is_array(list))
        return reader_complain(reader, "must be a list, not %s", reader_type_name(list));
    if (json_array_size(list) > maximum)
        return reader_complain(reader, "must have at most %u entries, not %zu", maximum, json_array_size(list));
    for (size_t i = 0; i < json_array_size(list); i++) {
        snprintf(reader->place + length, sizeof reader->place - length, "[%zu]", i);
        *count = (unsigned)i + 1;
        if (!read(reader, json_array_get(list, i), (char *)elements + i * size))
            return false;
    }
    reader->place[length] = 0;
    return true;
}
