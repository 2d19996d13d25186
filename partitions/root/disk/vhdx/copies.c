/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/vhdx/copies.h"

#include <stdio.h>

#define LINE 128u

static void look_at(enum vhdx_state state, const char *name, uint64_t offset, bool header, vhdx_copy_find *find,
                    void *context)
{
    static const char *const damage[] = {[VHDX_ABSENT] = "is missing", [VHDX_FAULTY] = "has a wrong checksum"};
    char line[LINE];
    if (state == VHDX_VALID)
        return;
    snprintf(line, sizeof(line), "the %s at byte %llu %s; the other one is sound", name, (unsigned long long)offset,
             damage[state]);
    find(context, header, line);
}

void vhdx_look_at_copies(const struct vhdx_headers *headers, const struct vhdx_regions *regions, vhdx_copy_find *find,
                         void *context)
{
    char line[LINE];
    for (unsigned copy = 0; copy < VHDX_HEADERS; copy++) {
        look_at(headers->state[copy], "header", VHDX_HEADER_OFFSET(copy), true, find, context);
        look_at(regions->state[copy], "region table", VHDX_REGIONS_OFFSET(copy), false, find, context);
    }
    if (!regions->differ)
        return;
    snprintf(line, sizeof(line), "the region table at byte %llu differs from that at byte %llu, which counts",
             VHDX_REGIONS_OFFSET(1), VHDX_REGIONS_OFFSET(0));
    find(context, false, line);
}
