/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A parent that is no file of this host but is fetched from a URL as it is needed (fetch/protocol.h): what its child
 * records of it. Anything may be at the URL one day; a source that is another one than when the child was made is
 * refused by its size and validator.
 */
#ifndef DISK_REMOTE_SOURCE_H
#define DISK_REMOTE_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "partitions/root/fetch/protocol.h"

struct remote_source {
    char url[FETCH_URL_SIZE];        /* http, https, nbd, nbds or nbd+unix, without a password; empty: there is none */
    bool raw;                        /* what is there is a raw image; false: a VHD or VHDX */
    uint64_t size;                   /* bytes of what is there, 1 to INT64_MAX */
    char validator[FETCH_TEXT_SIZE]; /* as in struct fetch_source */
};

/* Longest text of a source, with the zero at its end. */
#define REMOTE_SOURCE_TEXT_SIZE (FETCH_URL_SIZE + FETCH_TEXT_SIZE + 64u)

/* NULL: a URL that can be a source, of at most FETCH_URL_SIZE with its zero; otherwise what is wrong with it, in a few
 * words that can follow the URL and a colon. */
const char *remote_source_check_url(const char *url);

/* Whether it ends with a zero and has printable ASCII only. */
bool remote_source_check_validator(const char *validator);

/* Whether a name that a user gave for an image is a URL: it begins with a scheme and "://". */
bool remote_source_is_url(const char *name);

/* Longest name of a source, with the zero at its end. */
#define REMOTE_SOURCE_NAME_SIZE 256u

/* The last component of the URL's path, or else the host: a name for where a child names its parent in few letters. */
void remote_source_name(const char *url, char name[REMOTE_SOURCE_NAME_SIZE]);

/*
 * By which a child knows a raw source, which has no identifier of its own: the size, most significant byte first, and
 * the 64-bit FNV-1a hash of the validator.
 */
void remote_source_identifier(const struct remote_source *source, uint8_t identifier[16]);

/*
 * As lines of ASCII that a child's parent locator holds: the URL, "raw" or "image", the size, the validator. decode
 * checks everything; false if it is no source, which is all zeros then.
 */
void remote_source_encode(const struct remote_source *source, char text[REMOTE_SOURCE_TEXT_SIZE]);
bool remote_source_decode(const char *text, size_t length, struct remote_source *source);

#endif
