/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/net/packet.h"

#include <stdio.h>

bool mac_parse(const char *text, struct mac_address *mac)
{
    unsigned bytes[6];
    int end = 0;
    if (strspn(text, "0123456789abcdefABCDEF-") != strlen(text) ||
        sscanf(text, "%2x-%2x-%2x-%2x-%2x-%2x%n", &bytes[0], &bytes[1], &bytes[2], &bytes[3], &bytes[4],
               &bytes[5], &end) != 6 ||
        text[end])
        return false;
    for (unsigned i = 0; i < sizeof(mac->bytes); i++)
        mac->bytes[i] = (uint8_t)bytes[i];
    return true;
}
