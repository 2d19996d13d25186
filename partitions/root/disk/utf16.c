/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/utf16.h"

#define NO_CHARACTER    UINT32_MAX
#define LAST_CHARACTER  0x10ffffu
#define HIGH_SURROGATES 0xd800u
#define LOW_SURROGATES  0xdc00u
#define SURROGATES_END  0xe000u
#define FIRST_OF_PAIRS  0x10000u

static uint32_t unit_at(const uint8_t *bytes, enum utf16_order order)
{
    return order == UTF16_LITTLE_ENDIAN ? (uint32_t)(bytes[0] | bytes[1] << 8) : (uint32_t)(bytes[0] << 8 | bytes[1]);
}

static void put_unit(uint8_t *bytes, enum utf16_order order, uint32_t unit)
{
    bytes[order == UTF16_BIG_ENDIAN] = (uint8_t)unit;
    bytes[order == UTF16_LITTLE_ENDIAN] = (uint8_t)(unit >> 8);
}

/* The character at *at, which is moved on. */
static uint32_t next_of_utf16(const uint8_t *bytes, size_t length, enum utf16_order order, size_t *at)
{
    uint32_t unit = unit_at(bytes + *at, order);
    *at += 2;
    if (unit < HIGH_SURROGATES || unit >= SURROGATES_END)
        return unit;
    if (unit >= LOW_SURROGATES || *at == length)
        return NO_CHARACTER;
    uint32_t low = unit_at(bytes + *at, order);
    *at += 2;
    if (low < LOW_SURROGATES || low >= SURROGATES_END)
        return NO_CHARACTER;
    return FIRST_OF_PAIRS + ((unit - HIGH_SURROGATES) << 10 | (low - LOW_SURROGATES));
}

/* How many bytes a character has in UTF-8. */
static size_t utf8_length(uint32_t character)
{
    return character < 0x80 ? 1 : character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
}

static void put_utf8(char *text, uint32_t character, size_t length)
{
    static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = length; i-- > 1; character >>= 6)
        text[i] = (char)(0x80 | (character & 0x3f));
    text[0] = (char)(lead[length] | character);
}

bool utf16_decode(const uint8_t *bytes, size_t length, enum utf16_order order, char *text, size_t room)
{
    if (length % 2)
        return false;
    size_t done = 0;
    for (size_t at = 0; at < length;) {
        uint32_t character = next_of_utf16(bytes, length, order, &at);
        if (character == 0 || character == NO_CHARACTER)
            return false;
        size_t needed = utf8_length(character);
        if (needed >= room - done)
            return false;
        put_utf8(text + done, character, needed);
        done += needed;
    }
    text[done] = '\0';
    return true;
}

/* The character at *text, which is moved on. */
static uint32_t next_of_utf8(const char **text)
{
    const uint8_t *bytes = (const uint8_t *)*text;
    size_t length = bytes[0] < 0x80 ? 1 : bytes[0] < 0xc0 ? 0 : bytes[0] < 0xe0 ? 2 : bytes[0] < 0xf0 ? 3 : 4;
    if (!length || bytes[0] >= 0xf8)
        return NO_CHARACTER;
    uint32_t character = length == 1 ? bytes[0] : bytes[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return NO_CHARACTER;
        character = character << 6 | (bytes[i] & 0x3f);
    }
    *text += length;
    bool surrogate = character >= HIGH_SURROGATES && character < SURROGATES_END;
    return utf8_length(character) != length || surrogate || character > LAST_CHARACTER ? NO_CHARACTER : character;
}

bool utf16_encode(const char *text, enum utf16_order order, uint8_t *bytes, size_t room, size_t *length)
{
    *length = 0;
    while (*text) {
        uint32_t character = next_of_utf8(&text);
        bool pair = character >= FIRST_OF_PAIRS;
        if (character == NO_CHARACTER || room - *length < (pair ? 4 : 2))
            return false;
        if (pair) {
            put_unit(bytes + *length, order, HIGH_SURROGATES | (character - FIRST_OF_PAIRS) >> 10);
            *length += 2;
            character = LOW_SURROGATES | (character & 0x3ff);
        }
        put_unit(bytes + *length, order, character);
        *length += 2;
    }
    return true;
}
