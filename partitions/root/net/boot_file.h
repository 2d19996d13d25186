/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the DHCP server of a switch tells virtual machines to boot from the network. */
#ifndef NET_BOOT_FILE_H
#define NET_BOOT_FILE_H

#include <stdbool.h>

/* With the terminating zero: the size of the field "file" of a BOOTP message (RFC 2131, figure 1). */
#define BOOT_FILE_SIZE 128

#define BOOT_FILE_RULE                                                                                       \
    "use 1 to 127 printable ASCII characters without spaces, as in http://192.168.100.1/boot.ipxe"

/* Whether a text can be a boot file: a URL or a path. */
bool boot_file_is_valid(const char *text);

#endif
