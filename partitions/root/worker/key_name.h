/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keys as people write them: "enter", "f10", "a", "ctrl-alt-delete", and text that is typed. What they become
 * is events of a keyboard with the US layout.
 */
#ifndef WORKER_KEY_NAME_H
#define WORKER_KEY_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "partitions/root/worker/keysym.h"

#define KEY_NAME_TOGETHER   8u /* keys of one combination */
#define KEY_NAME_ERROR_SIZE 160

/* Events that are being put together; at most `capacity`. */
struct key_events {
    struct key_event *events;
    size_t count, capacity;
};

/*
 * Adds a combination: its keys go down in the order in which they are named, and up the other way round. False:
 * `error` is one line, and nothing has been added.
 */
bool key_name_press(const char *name, struct key_events *events, char error[KEY_NAME_ERROR_SIZE]);

/* Adds the keys that type a text of ASCII characters, tabs and line feeds (Enter). False as above. */
bool key_name_type(const char *text, struct key_events *events, char error[KEY_NAME_ERROR_SIZE]);

#endif
