/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/vhd/parent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/disk/path_name.h"
#include "partitions/root/disk/utf16.h"
#include "partitions/root/disk/vhd/big_endian.h"
#include "partitions/root/disk/vhd/vhd.h"

/* Offsets in the header. */
enum {
    HEADER_PARENT_IDENTIFIER = 40,
    HEADER_PARENT_TIMESTAMP = 56,
    HEADER_PARENT_NAME = 64,
    HEADER_LOCATORS = 576,
};
#define NAME_BYTES 512u

/* A locator in the header. */
enum { LOCATOR_PLATFORM = 0, LOCATOR_SPACE = 4, LOCATOR_LENGTH = 8, LOCATOR_OFFSET = 16, LOCATOR_SIZE = 24 };

/* Longer texts are no paths; a URL may have three characters for each. */
#define LONGEST_TEXT (3u * PATH_MAX)

/* Bytes of UTF-16 before the first zero. */
static size_t utf16_length(const uint8_t *bytes, size_t room)
{
    size_t length = 0;
    while (length + 2 <= room && (bytes[length] || bytes[length + 1]))
        length += 2;
    return length;
}

void vhd_parent_decode(const uint8_t *header, struct vhd_parent *parent)
{
    const uint8_t *name = header + HEADER_PARENT_NAME;
    memcpy(parent->identifier, header + HEADER_PARENT_IDENTIFIER, sizeof(parent->identifier));
    parent->timestamp = big_endian_load32(header + HEADER_PARENT_TIMESTAMP);
    if (!utf16_decode(name, utf16_length(name, NAME_BYTES), UTF16_BIG_ENDIAN, parent->name, sizeof(parent->name)))
        parent->name[0] = '\0';
    for (unsigned i = 0; i < VHD_LOCATORS; i++) {
        const uint8_t *bytes = header + HEADER_LOCATORS + i * LOCATOR_SIZE;
        parent->locators[i] =
            (struct vhd_locator){big_endian_load32(bytes + LOCATOR_PLATFORM), big_endian_load32(bytes + LOCATOR_SPACE),
                                 big_endian_load32(bytes + LOCATOR_LENGTH), big_endian_load64(bytes + LOCATOR_OFFSET)};
    }
}

void vhd_parent_encode_timestamp(uint8_t *header, uint32_t timestamp)
{
    big_endian_store32(header + HEADER_PARENT_TIMESTAMP, timestamp);
}

void vhd_parent_encode_locators(uint8_t *header, const struct vhd_parent *parent)
{
    for (unsigned i = 0; i < VHD_LOCATORS; i++) {
        uint8_t *bytes = header + HEADER_LOCATORS + i * LOCATOR_SIZE;
        memset(bytes, 0, LOCATOR_SIZE);
        big_endian_store32(bytes + LOCATOR_PLATFORM, parent->locators[i].platform);
        big_endian_store32(bytes + LOCATOR_SPACE, parent->locators[i].space);
        big_endian_store32(bytes + LOCATOR_LENGTH, parent->locators[i].length);
        big_endian_store64(bytes + LOCATOR_OFFSET, parent->locators[i].offset);
    }
}

bool vhd_parent_encode(uint8_t *header, const struct vhd_parent *parent)
{
    size_t length;
    memcpy(header + HEADER_PARENT_IDENTIFIER, parent->identifier, sizeof(parent->identifier));
    vhd_parent_encode_timestamp(header, parent->timestamp);
    vhd_parent_encode_locators(header, parent);
    memset(header + HEADER_PARENT_NAME, 0, NAME_BYTES);
    return utf16_encode(parent->name, UTF16_BIG_ENDIAN, header + HEADER_PARENT_NAME, NAME_BYTES - 2, &length);
}

/* ---- Texts ---- */

/* The text of a locator as a name; false if it has none. */
static bool make_name(uint32_t platform, uint8_t *bytes, uint32_t length, char *name)
{
    if (platform == VHD_PLATFORM_MACX) {
        bytes[length] = '\0';
        if (!path_name_from_url((char *)bytes) || strlen((char *)bytes) >= PATH_MAX)
            return false;
        strcpy(name, (char *)bytes);
        return true;
    }
    return utf16_decode(bytes, utf16_length(bytes, length), UTF16_LITTLE_ENDIAN, name, PATH_MAX) &&
           path_name_from_windows(name);
}

static int read_name(struct disk_file *file, uint64_t file_size, const struct vhd_locator *locator,
                     struct parent_link *link)
{
    if (locator->length == 0 || locator->length > LONGEST_TEXT || locator->offset > file_size ||
        locator->length > file_size - locator->offset)
        return 0; /* damaged; another one may be sound */
    uint8_t *bytes = malloc(locator->length + 1);
    int error = bytes ? disk_file_read_buffer(file, bytes, locator->length, locator->offset) : ENOMEM;
    if (!error && make_name(locator->platform, bytes, locator->length, link->name[link->names]))
        link->names++;
    free(bytes);
    return error;
}

/* Unlike a name, of which there are others. */
static int read_remote(struct disk_file *file, uint64_t file_size, const struct vhd_locator *locator,
                       struct remote_source *source)
{
    char text[REMOTE_SOURCE_TEXT_SIZE];
    if (locator->length > sizeof(text) || locator->offset > file_size || locator->length > file_size - locator->offset)
        return EUCLEAN;
    int error = disk_file_read_buffer(file, text, locator->length, locator->offset);
    return error ? error : remote_source_decode(text, locator->length, source) ? 0 : EUCLEAN;
}

int vhd_parent_read_names(struct disk_file *file, uint64_t file_size, const struct vhd_parent *parent,
                          struct parent_link *link)
{
    for (unsigned i = 0; i < VHD_LOCATORS; i++)
        if (parent->locators[i].platform == VHD_PLATFORM_LOUR)
            return read_remote(file, file_size, &parent->locators[i], &link->remote);
    static const uint32_t order[] = {VHD_PLATFORM_W2RU, VHD_PLATFORM_MACX, VHD_PLATFORM_W2KU};
    int error = 0;
    for (unsigned i = 0; i < sizeof(order) / sizeof(order[0]); i++)
        for (unsigned j = 0; j < VHD_LOCATORS && !error && link->names < PARENT_LINK_NAMES - 1; j++)
            if (parent->locators[j].platform == order[i])
                error = read_name(file, file_size, &parent->locators[j], link);
    if (!error && parent->name[0]) {
        strcpy(link->name[link->names], parent->name);
        link->names += path_name_from_windows(link->name[link->names]);
    }
    return error;
}

static struct vhd_locator *find_locator(struct vhd_parent *parent, uint32_t platform)
{
    for (unsigned i = 0; i < VHD_LOCATORS; i++)
        if (parent->locators[i].platform == platform)
            return &parent->locators[i];
    return NULL;
}

static int write_text(struct disk_file *file, struct vhd_locator *locator, const uint8_t *bytes, size_t length)
{
    if (!locator || length > locator->space)
        return ENAMETOOLONG;
    locator->length = (uint32_t)length;
    return length ? disk_file_write_buffer(file, bytes, length, locator->offset) : 0;
}

static int write_relative(struct disk_file *file, struct vhd_parent *parent, const char *name)
{
    char path[PATH_MAX];
    uint8_t bytes[2 * PATH_MAX];
    size_t length = 0;
    if (name[0] && !path_name_to_windows(name, path, sizeof(path)))
        return ENAMETOOLONG;
    if (name[0] && !utf16_encode(path, UTF16_LITTLE_ENDIAN, bytes, sizeof(bytes), &length))
        return EILSEQ;
    return write_text(file, find_locator(parent, VHD_PLATFORM_W2RU), bytes, length);
}

static int write_absolute(struct disk_file *file, struct vhd_parent *parent, const char *path)
{
    char url[LONGEST_TEXT];
    if (!path_name_to_url(path, url, sizeof(url)))
        return ENAMETOOLONG;
    return write_text(file, find_locator(parent, VHD_PLATFORM_MACX), (const uint8_t *)url, path[0] ? strlen(url) : 0);
}

int vhd_parent_write_names(struct disk_file *file, struct vhd_parent *parent, const char *relative,
                           const char *absolute)
{
    const char *slash = strrchr(relative[0] ? relative : absolute, '/');
    const char *name = slash ? slash + 1 : relative;
    if (strlen(name) >= sizeof(parent->name))
        return ENAMETOOLONG;
    strcpy(parent->name, name);
    int error = write_relative(file, parent, relative);
    return error ? error : write_absolute(file, parent, absolute);
}

int vhd_parent_write_remote(struct disk_file *file, struct vhd_parent *parent, const struct remote_source *source)
{
    char text[REMOTE_SOURCE_TEXT_SIZE];
    remote_source_name(source->url, parent->name);
    remote_source_encode(source, text);
    return write_text(file, find_locator(parent, VHD_PLATFORM_LOUR), (const uint8_t *)text, strlen(text));
}
