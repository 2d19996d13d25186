/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text that comes from elsewhere, for people and for JSON. */
#ifndef MANAGER_TEXT_H
#define MANAGER_TEXT_H

#include <jansson.h>

/* Control characters and bytes that are no UTF-8 become question marks: one line, whatever was in it. */
void text_clean(char *text);

/* A string of the cleaned text; null for none or an empty one. */
json_t *text_json(const char *text);

#endif
