/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading JSON objects whose keys are known: each key at most once, none that is unknown, each value of its
 * kind and within its range. The first thing that is wrong becomes one line that says where and what.
 */
#ifndef ROOT_FIELDS_H
#define ROOT_FIELDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FIELDS_ERROR_SIZE 512

struct fields {
    char *error;          /* FIELDS_ERROR_SIZE bytes */
    const char *document; /* what the error names first; NULL: nothing */
    char place[128];      /* where the reader is: "disks[1].path" */
    void *context;        /* the user's */
};

/* A key, the function that reads its value, and where the value goes. */
struct field {
    const char *name;
    bool (*read)(struct fields *fields, const json_t *value, void *target);
    void *target;
    bool required;
};

/* What a value is, for complaints: "an object", "null". */
const char *fields_kind(const json_t *value);

/* Fills in the error and returns false. */
bool fields_complain(struct fields *fields, const char *format, ...) __attribute__((format(printf, 2, 3)));

bool fields_read(struct fields *fields, const json_t *object, const struct field *list, size_t count);

/*
 * A list of at most `maximum` entries; `read` gets the place `elements + i * size` for each. *count includes one that
 * could not be read.
 */
bool fields_read_list(struct fields *fields, const json_t *list, void *elements, size_t size, unsigned maximum,
                      bool (*read)(struct fields *fields, const json_t *value, void *target), unsigned *count);

bool fields_read_integer(struct fields *fields, const json_t *value, uint64_t minimum, uint64_t maximum,
                         uint64_t *target);

/* Which of the names the value is; they must fit into 128 bytes. */
bool fields_read_choice(struct fields *fields, const json_t *value, const char *const *names, unsigned count,
                        unsigned *choice);

/* As struct field.read; targets: a bool, and a char * that becomes the caller's. */
bool fields_read_boolean(struct fields *fields, const json_t *value, void *target);
bool fields_read_string(struct fields *fields, const json_t *value, void *target);

/*
 * The string of a value without control characters, of at most `longest` bytes; NULL with the error. It
 * belongs to the value.
 */
const char *fields_text(struct fields *fields, const json_t *value, size_t longest);

#endif
