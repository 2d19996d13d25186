/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads JSON values of a known form, and says where in the document something is wrong. All functions return
 * false after such a complaint.
 */
#ifndef WORKER_CONFIGURATION_READER_H
#define WORKER_CONFIGURATION_READER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reader {
    const char *name; /* of the document */
    char *error;      /* CONFIGURATION_ERROR_SIZE bytes */
    char place[128];  /* where the reader is: "disks[1].path" */
};

/* A key of an object, how its value is read, and where to. */
struct key {
    const char *name;
    bool (*read)(struct reader *reader, const json_t *value, void *target);
    void *target;
    bool required;
};

bool reader_complain(struct reader *reader, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What a value is, for complaints: "an object", "null". */
const char *reader_type_name(const json_t *value);

/* An object with these keys and no others. */
bool reader_object(struct reader *reader, const json_t *object, const struct key *keys, size_t count);

/* At most `maximum` elements of `size` bytes at `elements`; *count includes one that could not be read. */
bool reader_list(struct reader *reader, const json_t *list, void *elements, size_t size, unsigned maximum,
                 bool (*read)(struct reader *, const json_t *, void *), unsigned *count);

bool reader_integer(struct reader *reader, const json_t *value, uint64_t minimum, uint64_t maximum, uint64_t *target);

/* Which of the names it is; `count` must suffice for a message of 128 bytes. */
bool reader_choice(struct reader *reader, const json_t *value, const char *const *names, unsigned count,
                   unsigned *choice);

/* For keys: `target` is a bool, and a char * that becomes the caller's. */
bool reader_boolean(struct reader *reader, const json_t *value, void *target);
bool reader_string(struct reader *reader, const json_t *value, void *target);

#endif
