/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A directory of JSON files NAME.json. A file is there as it was or as it is to be, whatever happens when it
 * is written; what is promised to be written is durable.
 */
#ifndef MANAGER_STORE_H
#define MANAGER_STORE_H

#include <jansson.h>
#include <stdbool.h>

#define STORE_MAXIMUM_SIZE (1u << 20) /* bytes of a file */

/*
 * NAME.json in the directory. 0 or an errno; then nothing has changed, unless the very last step failed,
 * which makes the new name durable: after a power cut either may be there.
 */
int store_write(int directory, const char *name, const json_t *value);
int store_remove(int directory, const char *name);

/* Whether a file of this name is there, sound or not. */
bool store_has(int directory, const char *name);

/* The value in a file; NULL: `error` says why not, with the file's name. */
json_t *store_read(int directory, const char *name, char *error, size_t error_size);

/*
 * Calls `found` with the name of each file, and removes what a crash has left of others. 0 or an errno. Names
 * that name_is_valid() does not like are reported and left alone.
 */
int store_list(int directory, void (*found)(void *context, const char *name), void *context);

#endif
