/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/fields.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool fields_complain(struct fields *fields, const char *format, ...)
{
    int length = snprintf(fields->error, FIELDS_ERROR_SIZE, "%.200s%s%s%s", fields->document ? fields->document : "",
                          fields->document ? ": " : "", fields->place, fields->place[0] ? ": " : "");
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(fields->error + length, FIELDS_ERROR_SIZE - (size_t)length, format, arguments);
    va_end(arguments);
    return false;
}

const char *fields_kind(const json_t *value)
{
    static const char *const kinds[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "a list", [JSON_STRING] = "a string", [JSON_INTEGER] = "a number",
        [JSON_REAL] = "a fraction",  [JSON_TRUE] = "true",    [JSON_FALSE] = "false",     [JSON_NULL] = "null",
    };
    return kinds[json_typeof(value)];
}

/* Reads one value with its key added to the place. */
static bool read_value(struct fields *fields, const struct field *field, const json_t *value)
{
    size_t length = strlen(fields->place);
    snprintf(fields->place + length, sizeof(fields->place) - length, "%s%s", length ? "." : "", field->name);
    if (!field->read(fields, value, field->target))
        return false;
    fields->place[length] = '\0';
    return true;
}

static bool is_known(const char *name, const struct field *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i].name, name) == 0)
            return true;
    return false;
}

bool fields_read(struct fields *fields, const json_t *object, const struct field *list, size_t count)
{
    if (!json_is_object(object))
        return fields_complain(fields, "must be an object, not %s", fields_kind(object));
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)object, name, value)
    {
        if (!is_known(name, list, count))
            return fields_complain(fields, "unknown key \"%.40s\"", name);
    }
    for (size_t i = 0; i < count; i++) {
        value = json_object_get(object, list[i].name);
        if (!value && list[i].required)
            return fields_complain(fields, "\"%s\" is missing", list[i].name);
        if (value && !read_value(fields, &list[i], value))
            return false;
    }
    return true;
}

bool fields_read_list(struct fields *fields, const json_t *list, void *elements, size_t size, unsigned maximum,
                      bool (*read)(struct fields *fields, const json_t *value, void *target), unsigned *count)
{
    size_t length = strlen(fields->place);
    if (!json_is_array(list))
        return fields_complain(fields, "must be a list, not %s", fields_kind(list));
    if (json_array_size(list) > maximum)
        return fields_complain(fields, "must have at most %u entries, not %zu", maximum, json_array_size(list));
    for (size_t i = 0; i < json_array_size(list); i++) {
        snprintf(fields->place + length, sizeof(fields->place) - length, "[%zu]", i);
        *count = (unsigned)i + 1;
        if (!read(fields, json_array_get(list, i), (char *)elements + i * size))
            return false;
    }
    fields->place[length] = '\0';
    return true;
}

bool fields_read_integer(struct fields *fields, const json_t *value, uint64_t minimum, uint64_t maximum,
                         uint64_t *target)
{
    if (!json_is_integer(value))
        return fields_complain(fields, "must be a whole number, not %s", fields_kind(value));
    json_int_t number = json_integer_value(value);
    if (number < 0 || (uint64_t)number < minimum || (uint64_t)number > maximum)
        return fields_complain(fields, "must be from %llu to %llu, not %lld", (unsigned long long)minimum,
                               (unsigned long long)maximum, (long long)number);
    *target = (uint64_t)number;
    return true;
}

bool fields_read_boolean(struct fields *fields, const json_t *value, void *target)
{
    if (!json_is_boolean(value))
        return fields_complain(fields, "must be true or false, not %s", fields_kind(value));
    *(bool *)target = json_is_true(value);
    return true;
}

const char *fields_text(struct fields *fields, const json_t *value, size_t longest)
{
    const char *text = json_string_value(value);
    if (!text) {
        fields_complain(fields, "must be a string, not %s", fields_kind(value));
        return NULL;
    }
    if (json_string_length(value) > longest) {
        fields_complain(fields, "longer than %zu bytes", longest);
        return NULL;
    }
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7F) {
            fields_complain(fields, "must not have control characters");
            return NULL;
        }
    return text;
}

bool fields_read_string(struct fields *fields, const json_t *value, void *target)
{
    char **string = target;

    if (!json_is_string(value))
        return fields_complain(fields, "must be a string, not %s", fields_kind(value));
    *string = strdup(json_string_value(value));
    return *string || fields_complain(fields, "no memory");
}

bool fields_read_choice(struct fields *fields, const json_t *value, const char *const *names, unsigned count,
                        unsigned *choice)
{
    const char *text = json_string_value(value);
    char list[128] = "";

    for (*choice = 0; *choice < count; ++*choice) {
        size_t length = strlen(list);

        if (text && strcmp(text, names[*choice]) == 0)
            return true;
        snprintf(list + length, sizeof(list) - length, "%s\"%s\"", *choice ? ", " : "", names[*choice]);
    }
    return fields_complain(fields, "must be one of %s", list);
}
