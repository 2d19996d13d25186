/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All requests that loamd knows, and what carries each out. */
#ifndef MANAGER_DISPATCH_H
#define MANAGER_DISPATCH_H

#include <stdbool.h>

#include "partitions/root/fields.h"

struct request;

/* Checks the form of a request and hands it to its function. */
void dispatch_request(struct request *request);

/*
 * Reads the arguments of a request as fields.h describes. False: they were not what they should be; the
 * request has been refused.
 */
bool dispatch_read_arguments(struct request *request, const struct field *list, size_t count);

/* For struct field.read: a name (char[NAME_SIZE]), and a text of at most 1024 bytes (const char *). */
bool dispatch_read_name(struct fields *fields, const json_t *value, void *target);
bool dispatch_read_text(struct fields *fields, const json_t *value, void *target);

#endif
