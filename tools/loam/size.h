/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sizes in bytes as people write them: 512M, 10G, 1.5 GiB. Units are powers of 1024. */
#ifndef LOAM_SIZE_H
#define LOAM_SIZE_H

#include <stdbool.h>
#include <stdint.h>

#define SIZE_TEXT_SIZE 32

/* A whole number with nothing, K, M, G or T behind it; also KiB, KB and so on. False: it is not, or 2^63 or
 * more. */
bool size_parse(const char *text, uint64_t *size);

/* "256 MiB", "1.5 GiB", "1000 bytes"; with one digit after the point, rounded, if it is not whole. */
void size_format(uint64_t size, char text[SIZE_TEXT_SIZE]);

/* Seconds as "3 days 04:05:06" or "04:05:06". */
void duration_format(uint64_t seconds, char text[SIZE_TEXT_SIZE]);

#endif
