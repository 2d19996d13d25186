/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/remote_source.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LARGEST_SIZE ((uint64_t)INT64_MAX)

/* Characters of a URL, RFC 3986; no '#', as what follows it is never sent. */
#define URL_LETTERS     "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
#define URL_PUNCTUATION "-._~:/?[]@!$&'()*+,;=%"

static const char scheme_end[] = "://";

static const struct {
    const char *name;
    bool has_host;
} schemes[] = {
    {"http://",     true },
    {"https://",    true },
    {"nbd://",      true },
    {"nbds://",     true },
    {"nbd+unix://", false},
};
#define SCHEMES (sizeof(schemes) / sizeof(schemes[0]))

bool remote_source_is_url(const char *name)
{
    size_t length = strspn(name, URL_LETTERS "+-.");
    return length > 0 && strncmp(name + length, scheme_end, strlen(scheme_end)) == 0;
}

/* What is wrong with what follows the scheme. */
static const char *check_rest(const char *rest, bool has_host)
{
    size_t authority = strcspn(rest, "/?");
    if (memchr(rest, '@', authority))
        return "a user or a password in it, which everyone could read who has the disk";
    if (has_host && (authority == 0 || rest[0] == ':'))
        return "no host in it";
    if (!has_host && authority > 0)
        return "a host in it, where a Unix socket has none: nbd+unix:///EXPORT?socket=PATH";
    if (!has_host && !strstr(rest, "?socket=/") && !strstr(rest, "&socket=/"))
        return "no socket in it: nbd+unix:///EXPORT?socket=PATH";
    return NULL;
}

const char *remote_source_check_url(const char *url)
{
    size_t length = strnlen(url, FETCH_URL_SIZE);
    if (length == FETCH_URL_SIZE)
        return "too long";
    if (strspn(url, URL_LETTERS URL_PUNCTUATION) != length)
        return "a character in it that no URL has, or '#': write it as %, and its number in two hexadecimal digits";
    for (size_t i = 0; i < SCHEMES; i++)
        if (strncmp(url, schemes[i].name, strlen(schemes[i].name)) == 0)
            return check_rest(url + strlen(schemes[i].name), schemes[i].has_host);
    return "none of http://, https://, nbd://, nbds:// and nbd+unix://";
}

void remote_source_name(const char *url, char name[REMOTE_SOURCE_NAME_SIZE])
{
    const char *begin = strstr(url, scheme_end);
    begin = begin ? begin + strlen(scheme_end) : url;
    size_t length = strcspn(begin, "?");
    while (length > 0 && begin[length - 1] == '/')
        length--;
    const char *slash = memrchr(begin, '/', length);
    size_t before = slash ? (size_t)(slash + 1 - begin) : 0;
    snprintf(name, REMOTE_SOURCE_NAME_SIZE, "%.*s", (int)(length - before), begin + before);
}

void remote_source_identifier(const struct remote_source *source, uint8_t identifier[16])
{
    uint64_t hash = 0xcbf29ce484222325;
    for (const char *at = source->validator; *at; at++)
        hash = (hash ^ (uint8_t)*at) * 0x100000001b3;
    for (unsigned i = 0; i < 8; i++) {
        identifier[i] = (uint8_t)(source->size >> (56 - 8 * i));
        identifier[8 + i] = (uint8_t)(hash >> (56 - 8 * i));
    }
}

void remote_source_encode(const struct remote_source *source, char text[REMOTE_SOURCE_TEXT_SIZE])
{
    snprintf(text, REMOTE_SOURCE_TEXT_SIZE, "%s\n%s\n%" PRIu64 "\n%s\n", source->url, source->raw ? "raw" : "image",
             source->size, source->validator);
}

/* The next line goes to `line`, which is ended by a zero; false if there is none, or it has no room. */
static bool take_line(const char **text, size_t *length, char *line, size_t room)
{
    const char *end = memchr(*text, '\n', *length);
    size_t taken = end ? (size_t)(end - *text) : 0;
    if (!end || taken >= room)
        return false;
    memcpy(line, *text, taken);
    line[taken] = '\0';
    *text += taken + 1;
    *length -= taken + 1;
    return strlen(line) == taken;
}

static bool decode_kind(const char *line, bool *raw)
{
    *raw = strcmp(line, "raw") == 0;
    return *raw || strcmp(line, "image") == 0;
}

/* As encode writes it: digits, without a zero before them. */
static bool decode_size(const char *line, uint64_t *size)
{
    uint64_t value = 0;
    for (const char *at = line; *at; at++) {
        if (*at < '0' || *at > '9' || value > (LARGEST_SIZE - (uint64_t)(*at - '0')) / 10)
            return false;
        value = value * 10 + (uint64_t)(*at - '0');
    }
    *size = value;
    return line[0] != '0' && value > 0;
}

bool remote_source_check_validator(const char *validator)
{
    size_t length = strnlen(validator, FETCH_TEXT_SIZE);
    for (size_t i = 0; i < length; i++)
        if (validator[i] < ' ' || validator[i] > '~')
            return false;
    return length < FETCH_TEXT_SIZE;
}

bool remote_source_decode(const char *text, size_t length, struct remote_source *source)
{
    char kind[16], size[24];
    *source = (struct remote_source){0};
    bool valid = take_line(&text, &length, source->url, sizeof(source->url)) && !remote_source_check_url(source->url) &&
                 take_line(&text, &length, kind, sizeof(kind)) && decode_kind(kind, &source->raw) &&
                 take_line(&text, &length, size, sizeof(size)) && decode_size(size, &source->size) &&
                 take_line(&text, &length, source->validator, sizeof(source->validator)) &&
                 remote_source_check_validator(source->validator) && length == 0;
    if (!valid)
        *source = (struct remote_source){0};
    return valid;
}
