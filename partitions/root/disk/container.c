/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/container.h"

#include <string.h>
#include <strings.h>

const char *disk_container_name(enum disk_container container)
{
    static const char *const names[] = {
        [DISK_CONTAINER_NONE] = "raw",
        [DISK_CONTAINER_VHD] = "VHD",
        [DISK_CONTAINER_VHDX] = "VHDX",
    };
    return names[container];
}

enum disk_container disk_container_by_name(const char *name)
{
    const char *ending = strrchr(name, '.');
    if (ending && strcasecmp(ending, ".vhdx") == 0)
        return DISK_CONTAINER_VHDX;
    return ending && strcasecmp(ending, ".vhd") == 0 ? DISK_CONTAINER_VHD : DISK_CONTAINER_NONE;
}
