/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/little_endian.h"
#include "partitions/root/disk/vhdx/locator.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "partitions/root/disk/utf16.h"
#include "partitions/root/disk/vhdx/error.h"
#include "partitions/root/disk/vhdx/item.h"

/* 2.6.2.6.1, "Parent Locator Header", and 2.6.2.6.2, "Parent Locator Entry": offsets of the fields. */
enum { LOCATOR_TYPE = 0, LOCATOR_COUNT = 18 };
enum { ENTRY_KEY_OFFSET = 0, ENTRY_VALUE_OFFSET = 4, ENTRY_KEY_LENGTH = 8, ENTRY_VALUE_LENGTH = 10 };

#define EXTENDED_PREFIX "//?/"
#define VOLUME_PREFIX   "Volume{"
#define WINDOWS_ROOT    "\\\\?\\C:"

/* 2.6.2.6.3: the keys; the paths in the order in which they are to be tried. The last is Loam's own: a remote source,
 * as remote_source_encode writes it, which goes before all paths. */
enum {
    PARENT_LINKAGE,
    PARENT_LINKAGE2,
    RELATIVE_PATH,
    VOLUME_PATH,
    ABSOLUTE_PATH,
    PATHS_END,
    LOAM_REMOTE = PATHS_END,
    KEYS
};
static const char *const key_names[KEYS] = {
    [PARENT_LINKAGE] = "parent_linkage", [PARENT_LINKAGE2] = "parent_linkage2",   [RELATIVE_PATH] = "relative_path",
    [VOLUME_PATH] = "volume_path",       [ABSOLUTE_PATH] = "absolute_win32_path", [LOAM_REMOTE] = "loam_remote",
};
#define LONGEST_KEY 32u

struct text {
    const uint8_t *bytes; /* UTF-16 */
    uint16_t length;
    uint64_t at; /* of the file */
};

struct reading {
    struct disk_file *file;
    const uint8_t *bytes;
    uint32_t length;
    uint64_t at;
    struct disk_error *error;
    uint16_t count;
    struct text value[KEYS]; /* length 0: not there */
};

static uint32_t entry_offset(uint32_t index)
{
    return VHDX_LOCATOR_HEADER + index * VHDX_LOCATOR_ENTRY;
}

static bool read_header(struct reading *reading)
{
    const uint8_t *bytes = reading->bytes;
    if (!vhdx_same_guid(bytes + LOCATOR_TYPE, vhdx_locator_type)) {
        char text[VHDX_GUID_TEXT];
        vhdx_guid_print(bytes + LOCATOR_TYPE, text);
        disk_error_set(reading->error, EOPNOTSUPP, reading->file->name,
                       "a differencing VHDX whose parent, of type %.*s (LocatorType at byte %llu), is no VHDX",
                       VHDX_GUID_TEXT, text, (unsigned long long)reading->at);
        return false;
    }
    if (little_endian_load16(bytes + VHDX_LOCATOR_RESERVED) != 0)
        return vhdx_damaged(reading->error, reading->file, "Reserved", reading->at + VHDX_LOCATOR_RESERVED, "%u, not 0",
                            little_endian_load16(bytes + VHDX_LOCATOR_RESERVED));
    reading->count = little_endian_load16(bytes + LOCATOR_COUNT);
    if (entry_offset(reading->count) > reading->length)
        return vhdx_damaged(reading->error, reading->file, "KeyValueCount", reading->at + LOCATOR_COUNT,
                            "%u, more than the item of %u bytes has room for", reading->count, reading->length);
    return true;
}

/* A key or a value, which two fields of an entry locate. */
static bool locate(const struct reading *reading, uint32_t index, unsigned offset_field, unsigned length_field,
                   const char *const *names, struct text *text)
{
    const uint8_t *entry = reading->bytes + entry_offset(index);
    uint64_t at = reading->at + entry_offset(index);
    uint32_t offset = little_endian_load32(entry + offset_field);
    text->length = little_endian_load16(entry + length_field);
    if (text->length == 0 || text->length % 2)
        return vhdx_damaged(reading->error, reading->file, names[1], at + length_field,
                            "%u, not the length of a text of UTF-16", text->length);
    if (offset == 0 || offset > reading->length || text->length > reading->length - offset)
        return vhdx_damaged(reading->error, reading->file, names[0], at + offset_field,
                            "%u, from where the text of %u bytes does not lie within the item of %u", offset,
                            text->length, reading->length);
    text->bytes = reading->bytes + offset;
    text->at = reading->at + offset;
    return true;
}

static int compare_texts(const void *a, const void *b)
{
    const struct text *left = a, *right = b;
    size_t length = left->length < right->length ? left->length : right->length;
    int order = memcmp(left->bytes, right->bytes, length);
    return order ? order : left->length - right->length;
}

static bool check_keys(const struct reading *reading, struct text *keys)
{
    qsort(keys, reading->count, sizeof(*keys), compare_texts);
    for (uint32_t i = 1; i < reading->count; i++)
        if (compare_texts(&keys[i - 1], &keys[i]) == 0)
            return vhdx_damaged(reading->error, reading->file, "a key", keys[i].at, "the same as that at byte %llu",
                                (unsigned long long)keys[i - 1].at);
    return true;
}

static void keep_value(struct reading *reading, const struct text *key, const struct text *value)
{
    char name[LONGEST_KEY];
    if (!utf16_decode(key->bytes, key->length, UTF16_LITTLE_ENDIAN, name, sizeof(name)))
        return;
    for (unsigned i = 0; i < KEYS; i++)
        if (strcmp(name, key_names[i]) == 0)
            reading->value[i] = *value;
}

static bool read_entries(struct reading *reading, struct text *keys)
{
    static const char *const key_fields[] = {"KeyOffset", "KeyLength"};
    static const char *const value_fields[] = {"ValueOffset", "ValueLength"};
    for (uint32_t i = 0; i < reading->count; i++) {
        struct text value;
        if (!locate(reading, i, ENTRY_KEY_OFFSET, ENTRY_KEY_LENGTH, key_fields, &keys[i]) ||
            !locate(reading, i, ENTRY_VALUE_OFFSET, ENTRY_VALUE_LENGTH, value_fields, &value))
            return false;
        keep_value(reading, &keys[i], &value);
    }
    return check_keys(reading, keys);
}

static bool read_identifier(const struct reading *reading, unsigned key, uint8_t *guid)
{
    const struct text *value = &reading->value[key];
    char text[VHDX_GUID_TEXT + 1];
    return (utf16_decode(value->bytes, value->length, UTF16_LITTLE_ENDIAN, text, sizeof(text)) &&
            vhdx_guid_parse(text, strlen(text), guid)) ||
           vhdx_damaged(reading->error, reading->file, key_names[key], value->at, "no GUID in braces");
}

static bool has_control(const char *text)
{
    while (*text && !iscntrl((unsigned char)*text))
        text++;
    return *text;
}

static bool has_drive(const char *path)
{
    return isalpha((unsigned char)path[0]) && path[1] == ':';
}

/* A path of Windows as one of this computer, within `path`; NULL if it is one of another. */
static const char *localize(char *path)
{
    for (char *at = path; *at; at++)
        if (*at == '\\')
            *at = '/';
    if (strncmp(path, EXTENDED_PREFIX, strlen(EXTENDED_PREFIX)) == 0) {
        path += strlen(EXTENDED_PREFIX);
        if (strncasecmp(path, VOLUME_PREFIX, strlen(VOLUME_PREFIX)) == 0)
            path = strchr(path, '/');
        else if (!has_drive(path))
            return NULL;
    } else if (path[0] == '/' && path[1] == '/') {
        return NULL;
    }
    if (path && has_drive(path))
        path += 2;
    return path && *path ? path : NULL;
}

static void add_name(struct parent_link *link, const char *name)
{
    for (unsigned i = 0; i < link->names; i++)
        if (strcmp(link->name[i], name) == 0)
            return;
    strcpy(link->name[link->names++], name); /* it comes from a text of PATH_MAX */
}

static bool read_paths(const struct reading *reading, struct parent_link *link)
{
    bool found = false;
    for (unsigned key = RELATIVE_PATH; key < PATHS_END; key++) {
        const struct text *value = &reading->value[key];
        char path[PATH_MAX];
        if (!value->length)
            continue;
        found = true;
        if (!utf16_decode(value->bytes, value->length, UTF16_LITTLE_ENDIAN, path, sizeof(path)) || has_control(path))
            return vhdx_damaged(reading->error, reading->file, key_names[key], value->at, "no path");
        const char *local = localize(path);
        if (local)
            add_name(link, local);
    }
    return found || vhdx_damaged(reading->error, reading->file, "the parent locator", reading->at, "without any path");
}

static bool read_remote(const struct reading *reading, struct remote_source *source)
{
    const struct text *value = &reading->value[LOAM_REMOTE];
    char text[REMOTE_SOURCE_TEXT_SIZE];
    return (utf16_decode(value->bytes, value->length, UTF16_LITTLE_ENDIAN, text, sizeof(text)) &&
            remote_source_decode(text, strlen(text), source)) ||
           vhdx_damaged(reading->error, reading->file, key_names[LOAM_REMOTE], value->at, "no URL of a parent");
}

static bool fill_link(const struct reading *reading, struct parent_link *link)
{
    link->names = 0;
    link->has_timestamp = false;
    link->remote = (struct remote_source){0};
    memset(link->alternative, 0, sizeof(link->alternative));
    if (!reading->value[PARENT_LINKAGE].length)
        return vhdx_damaged(reading->error, reading->file, "the parent locator", reading->at,
                            "without a parent_linkage");
    return read_identifier(reading, PARENT_LINKAGE, link->identifier) &&
           (!reading->value[PARENT_LINKAGE2].length || read_identifier(reading, PARENT_LINKAGE2, link->alternative)) &&
           (reading->value[LOAM_REMOTE].length ? read_remote(reading, &link->remote) : read_paths(reading, link));
}

bool vhdx_locator_decode(struct disk_file *file, const uint8_t *bytes, uint32_t length, uint64_t at,
                         struct parent_link *link, struct disk_error *error)
{
    struct reading reading = {.file = file, .bytes = bytes, .length = length, .at = at, .error = error};
    if (!read_header(&reading))
        return false;
    struct text *keys = calloc((size_t)reading.count + 1, sizeof(*keys));
    if (!keys) {
        disk_error_set(error, ENOMEM, file->name, "no memory");
        return false;
    }
    bool done = read_entries(&reading, keys) && fill_link(&reading, link);
    free(keys);
    return done;
}

bool vhdx_locator_check(struct disk_file *file, uint64_t at, uint32_t length, struct disk_error *error)
{
    struct parent_link *link = malloc(sizeof(*link));
    uint8_t *bytes = malloc(length);
    bool done = link && bytes;
    if (!done)
        disk_error_set(error, ENOMEM, file->name, "no memory");
    else
        done = vhdx_read(file, bytes, length, at, error) && vhdx_locator_decode(file, bytes, length, at, link, error);
    free(bytes);
    free(link);
    return done;
}

/* The item that is being made. */
struct writing {
    uint8_t *bytes;
    uint32_t room;
    uint32_t end;
    uint16_t count;
};

/* Appends a text, and says in an entry where it is. */
static int add_text(struct writing *writing, const char *text, bool path, uint8_t *offset_field, uint8_t *length_field)
{
    size_t length;
    uint8_t *at = writing->bytes + writing->end;
    if (!utf16_encode(text, UTF16_LITTLE_ENDIAN, at, writing->room - writing->end, &length))
        return EILSEQ;
    for (size_t i = 0; path && i < length; i += 2)
        if (at[i] == '/' && at[i + 1] == 0)
            at[i] = '\\';
    little_endian_store32(offset_field, writing->end);
    little_endian_store16(length_field, (uint16_t)length);
    writing->end += (uint32_t)length;
    return 0;
}

static int add_entry(struct writing *writing, unsigned key, const char *value)
{
    uint8_t *entry = writing->bytes + entry_offset(writing->count++);
    int error = add_text(writing, key_names[key], false, entry + ENTRY_KEY_OFFSET, entry + ENTRY_KEY_LENGTH);
    return error ? error
                 : add_text(writing, value, key >= RELATIVE_PATH && key < PATHS_END, entry + ENTRY_VALUE_OFFSET,
                            entry + ENTRY_VALUE_LENGTH);
}

/* Where the parent is. A remote one has its name for a path too, as readers of other makers want to see one. */
static int add_place(struct writing *writing, const struct vhdx_parent *parent)
{
    const char *absolute = parent->absolute_path;
    char name[REMOTE_SOURCE_NAME_SIZE], text[REMOTE_SOURCE_TEXT_SIZE];
    if (parent->remote) {
        remote_source_name(parent->remote->url, name);
        remote_source_encode(parent->remote, text);
        int error = add_entry(writing, RELATIVE_PATH, name[0] ? name : ".");
        return error ? error : add_entry(writing, LOAM_REMOTE, text);
    }
    int error = parent->relative_path ? add_entry(writing, RELATIVE_PATH, parent->relative_path) : 0;
    if (error || !absolute)
        return error;
    char *windows = malloc(sizeof(WINDOWS_ROOT) + strlen(absolute));
    if (!windows)
        return ENOMEM;
    stpcpy(stpcpy(windows, WINDOWS_ROOT), absolute);
    error = add_entry(writing, ABSOLUTE_PATH, windows);
    free(windows);
    return error;
}

int vhdx_locator_encode(const struct vhdx_parent *parent, uint8_t *bytes, uint32_t room, uint32_t *length)
{
    const char *relative = parent->relative_path, *absolute = parent->absolute_path;
    /* No character takes more than two bytes of UTF-16 for each of UTF-8. */
    size_t needed = entry_offset(KEYS) + KEYS * LONGEST_KEY * 2 + VHDX_GUID_TEXT * 2 + sizeof(WINDOWS_ROOT) * 2;
    needed += relative ? strlen(relative) * 2 : 0;
    needed += absolute ? strlen(absolute) * 2 : 0;
    needed += parent->remote ? (REMOTE_SOURCE_NAME_SIZE + REMOTE_SOURCE_TEXT_SIZE) * 2 : 0;
    if (needed > room || needed > UINT16_MAX)
        return ENAMETOOLONG;

    char linkage[VHDX_GUID_TEXT + 1] = {0};
    vhdx_guid_print(parent->identifier, linkage);
    memset(bytes, 0, needed);
    struct writing writing = {.bytes = bytes, .room = (uint32_t)needed, .end = entry_offset(KEYS)};
    int error = add_entry(&writing, PARENT_LINKAGE, linkage);
    if (!error)
        error = add_place(&writing, parent);
    memcpy(bytes + LOCATOR_TYPE, vhdx_locator_type, VHDX_GUID_SIZE);
    little_endian_store16(bytes + LOCATOR_COUNT, writing.count);
    *length = writing.end;
    return error;
}

/* Whether the entry has one of the parent's identifiers. */
static bool has_identifier(const uint8_t *old, const uint8_t *entry)
{
    char name[LONGEST_KEY];
    return utf16_decode(old + little_endian_load32(entry + ENTRY_KEY_OFFSET),
                        little_endian_load16(entry + ENTRY_KEY_LENGTH), UTF16_LITTLE_ENDIAN, name, sizeof(name)) &&
           (strcmp(name, key_names[PARENT_LINKAGE]) == 0 || strcmp(name, key_names[PARENT_LINKAGE2]) == 0);
}

/* Appends a text of another item, as it is. */
static void copy_text(struct writing *writing, const uint8_t *old, const uint8_t *from, unsigned offset_field,
                      unsigned length_field, uint8_t *to)
{
    uint16_t length = little_endian_load16(from + length_field);
    memcpy(writing->bytes + writing->end, old + little_endian_load32(from + offset_field), length);
    little_endian_store32(to + offset_field, writing->end);
    little_endian_store16(to + length_field, length);
    writing->end += length;
}

static int add_identifier(struct writing *writing, unsigned key, const uint8_t *identifier)
{
    char text[VHDX_GUID_TEXT + 1] = {0};
    vhdx_guid_print(identifier, text);
    return add_entry(writing, key, text);
}

static uint16_t count_others(const uint8_t *old, uint16_t count)
{
    uint16_t others = 0;
    for (uint32_t i = 0; i < count; i++)
        others += !has_identifier(old, old + entry_offset(i));
    return others;
}

/* Entries may share a text, and copies of them do not. */
static bool entries_fit(const uint8_t *old, uint16_t count, uint32_t room)
{
    uint64_t needed = entry_offset(count) + VHDX_LOCATOR_IDENTIFIERS;
    for (uint32_t i = 0; i < count; i++)
        needed += (uint64_t)little_endian_load16(old + entry_offset(i) + ENTRY_KEY_LENGTH) +
                  little_endian_load16(old + entry_offset(i) + ENTRY_VALUE_LENGTH);
    return needed <= room;
}

int vhdx_locator_change(const uint8_t *old, const uint8_t *identifier, const uint8_t *alternative, uint8_t *bytes,
                        uint32_t room, uint32_t *length)
{
    uint16_t count = little_endian_load16(old + LOCATOR_COUNT);
    if (!entries_fit(old, count, room))
        return EOVERFLOW;
    uint32_t entries = count_others(old, count) + (alternative ? 2u : 1u);
    struct writing writing = {.bytes = bytes, .room = room, .end = entry_offset(entries)};
    memset(bytes, 0, room);
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *from = old + entry_offset(i);
        if (has_identifier(old, from))
            continue;
        uint8_t *to = bytes + entry_offset(writing.count++);
        copy_text(&writing, old, from, ENTRY_KEY_OFFSET, ENTRY_KEY_LENGTH, to);
        copy_text(&writing, old, from, ENTRY_VALUE_OFFSET, ENTRY_VALUE_LENGTH, to);
    }
    int error = add_identifier(&writing, PARENT_LINKAGE, identifier);
    if (!error && alternative)
        error = add_identifier(&writing, PARENT_LINKAGE2, alternative);
    memcpy(bytes, old, LOCATOR_COUNT);
    little_endian_store16(bytes + LOCATOR_COUNT, writing.count);
    *length = writing.end;
    return error;
}
