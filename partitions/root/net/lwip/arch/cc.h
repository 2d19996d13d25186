/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What lwIP asks of the compiler and the platform, beyond its own defaults for GCC. */
#ifndef LWIP_ARCH_CC_H
#define LWIP_ARCH_CC_H

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

/* <endian.h> above defines BYTE_ORDER. lwIP must not redefine the C library's htonl() and relatives. */
#define LWIP_DONT_PROVIDE_BYTEORDER_FUNCTIONS 1
#define lwip_htons(value)                     htobe16(value)
#define lwip_htonl(value)                     htobe32(value)

#define LWIP_PLATFORM_DIAG(arguments)                                                                        \
    do {                                                                                                     \
        printf arguments;                                                                                    \
    } while (0)
#define LWIP_PLATFORM_ASSERT(text)                                                                           \
    do {                                                                                                     \
        fprintf(stderr, "lwIP: %s (%s:%d)\n", text, __FILE__, __LINE__);                                     \
        abort();                                                                                             \
    } while (0)

/* Initial sequence numbers and ports come from here: they must not be guessed. */
static inline unsigned int lwip_random(void)
{
    unsigned int value;
    return getrandom(&value, sizeof(value), 0) == sizeof(value) ? value : (unsigned int)random();
}
#define LWIP_RAND() lwip_random()

#endif
