/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/path_name.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define EXTENDED_PREFIX "//?/"
#define URL_PREFIX      "file://"
#define URL_LOCALHOST   "localhost/"

static bool is_name(const char *text)
{
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            return false;
    return *text != '\0';
}

static void drop(char *text, size_t count)
{
    memmove(text, text + count, strlen(text + count) + 1);
}

bool path_name_from_windows(char *path)
{
    for (char *c = path; *c; c++)
        if (*c == '\\')
            *c = '/';
    if (strncmp(path, EXTENDED_PREFIX, strlen(EXTENDED_PREFIX)) == 0)
        drop(path, strlen(EXTENDED_PREFIX));
    if (strncmp(path, "//", 2) == 0)
        return false;
    if (isalpha((unsigned char)path[0]) && path[1] == ':')
        drop(path, 2);
    while (strncmp(path, "./", 2) == 0)
        drop(path, 2);
    return is_name(path);
}

bool path_name_to_windows(const char *name, char *path, size_t room)
{
    int length = snprintf(path, room, "%s%s", strncmp(name, "../", 3) == 0 ? "" : ".\\", name);
    for (char *c = path; length >= 0 && *c; c++)
        if (*c == '/')
            *c = '\\';
    return length >= 0 && (size_t)length < room;
}

static int hex_value(char digit)
{
    return isdigit((unsigned char)digit)    ? digit - '0'
           : isxdigit((unsigned char)digit) ? tolower((unsigned char)digit) - 'a' + 10
                                            : -1;
}

bool path_name_from_url(char *url)
{
    if (strncasecmp(url, URL_PREFIX, strlen(URL_PREFIX)) != 0)
        return false;
    drop(url, strlen(URL_PREFIX));
    if (strncasecmp(url, URL_LOCALHOST, strlen(URL_LOCALHOST)) == 0)
        drop(url, strlen(URL_LOCALHOST) - 1);
    char *to = url;
    for (const char *from = url; *from; from++) {
        bool escaped = *from == '%' && hex_value(from[1]) >= 0 && hex_value(from[2]) >= 0;
        *to++ = escaped ? (char)(hex_value(from[1]) << 4 | hex_value(from[2])) : *from;
        if (escaped)
            from += 2;
        if (to[-1] == '\0') /* of "%00" */
            return false;
    }
    *to = '\0';
    while (strncmp(url, "./", 2) == 0)
        drop(url, 2);
    return is_name(url);
}

bool path_name_to_url(const char *path, char *url, size_t room)
{
    size_t length = strlen(URL_PREFIX);
    if (room <= length)
        return false;
    memcpy(url, URL_PREFIX, length + 1);
    for (const char *c = path; *c; c++) {
        bool plain = isalnum((unsigned char)*c) || strchr("/-._~", *c);
        if (room - length <= 3)
            return false;
        length += (size_t)snprintf(url + length, room - length, plain ? "%c" : "%%%02X", (unsigned char)*c);
    }
    return true;
}

bool path_name_relative(const char *from, const char *to, char *name, size_t room)
{
    size_t common = 0, i = 0;
    for (; from[i] && from[i] == to[i]; i++)
        if (from[i] == '/')
            common = i + 1;
    if (!from[i] && to[i] == '/')
        common = i + 1;

    size_t length = 0;
    bool inside = common > strlen(from); /* `to` lies below the directory itself */
    for (const char *c = inside ? "" : from + common; *c; c = strchr(c, '/') ? strchr(c, '/') + 1 : "") {
        if (room - length <= 3)
            return false;
        length += (size_t)snprintf(name + length, room - length, "../");
    }
    int rest = snprintf(name + length, room - length, "%s", to + common);
    return rest > 0 && (size_t)rest < room - length;
}
