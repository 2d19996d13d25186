/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CRC-32C: the Castagnoli polynomial 0x1edc6f41, reflected, with all ones before and after (RFC 3720, appendix B.4). */
#ifndef DISK_CRC32C_H
#define DISK_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The CRC of what had the CRC `before`, 0 for nothing, followed by `length` bytes. */
uint32_t crc32c(uint32_t before, const void *bytes, size_t length);

/* The same without the processor's instruction for it. */
uint32_t crc32c_by_table(uint32_t before, const void *bytes, size_t length);

#endif
