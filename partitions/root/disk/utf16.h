/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between UTF-8, of names here, and UTF-16 in files, either checked to be well-formed. */
#ifndef DISK_UTF16_H
#define DISK_UTF16_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum utf16_order { UTF16_LITTLE_ENDIAN, UTF16_BIG_ENDIAN };

/*
 * Converts `length` bytes of UTF-16 to a terminated string in `text` with room for `room` bytes, 1 at least. False if
 * they are no UTF-16, have a zero in them or do not fit.
 */
bool utf16_decode(const uint8_t *bytes, size_t length, enum utf16_order order, char *text, size_t room);

/* Converts a string to UTF-16 without a zero at its end; *length in bytes. False if it is no UTF-8 or does not fit. */
bool utf16_encode(const char *text, enum utf16_order order, uint8_t *bytes, size_t room, size_t *length);

#endif
