/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/manager/text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of the UTF-8 character at `text`, or 0 if there is none (RFC 3629, section 4). */
static unsigned character_length(const unsigned char *text)
{
    static const struct {
        unsigned char first, last, second_from, second_to;
        unsigned length;
    } forms[] = {
        {0x20, 0x7E, 0,    0,    1},
        {0xC2, 0xDF, 0x80, 0xBF, 2},
        {0xE0, 0xE0, 0xA0, 0xBF, 3},
        {0xE1, 0xEC, 0x80, 0xBF, 3},
        {0xED, 0xED, 0x80, 0x9F, 3},
        {0xEE, 0xEF, 0x80, 0xBF, 3},
        {0xF0, 0xF0, 0x90, 0xBF, 4},
        {0xF1, 0xF3, 0x80, 0xBF, 4},
        {0xF4, 0xF4, 0x80, 0x8F, 4},
    };
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (text[0] < forms[i].first || text[0] > forms[i].last)
            continue;
        if (forms[i].length > 1 && (text[1] < forms[i].second_from || text[1] > forms[i].second_to))
            return 0;
        for (unsigned j = 2; j < forms[i].length; j++)
            if (text[j] < 0x80 || text[j] > 0xBF)
                return 0;
        return forms[i].length;
    }
    return 0;
}

/* U+0080 to U+009F are control characters too. */
static int is_control(const char *text, unsigned length)
{
    return length == 2 && (unsigned char)text[0] == 0xC2 && (unsigned char)text[1] < 0xA0;
}

void text_clean(char *text)
{
    while (*text) {
        unsigned length = character_length((const unsigned char *)text);
        if (length == 0 || is_control(text, length)) {
            memset(text, '?', length ? length : 1);
            length = length ? length : 1;
        }
        text += length;
    }
}

json_t *text_json(const char *text)
{
    if (!text || !text[0])
        return json_null();
    char *copy = strdup(text);
    if (!copy)
        return NULL;
    text_clean(copy);
    json_t *value = json_string(copy);
    free(copy);
    return value;
}
