/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/vhdx/conflict.h"

#include <stdlib.h>
#include <string.h>

static int compare_numbers(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int compare_stretches(const void *a, const void *b)
{
    const struct vhdx_stretch *left = a, *right = b;
    int order = compare_numbers(left->offset, right->offset);
    return order ? order : compare_numbers(left->index, right->index);
}

bool vhdx_find_overlap(struct vhdx_stretch *stretches, uint32_t count, uint32_t *first, uint32_t *second)
{
    qsort(stretches, count, sizeof(*stretches), compare_stretches);
    uint64_t end = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!stretches[i].length)
            continue;
        if (stretches[i].offset < end) {
            *second = stretches[i].index;
            return true;
        }
        end = stretches[i].offset + stretches[i].length;
        *first = stretches[i].index;
    }
    return false;
}

static int compare_keys(const void *a, const void *b)
{
    const struct vhdx_key *left = a, *right = b;
    int order = memcmp(left->guid, right->guid, VHDX_GUID_SIZE);
    if (!order)
        order = compare_numbers(left->kind, right->kind);
    return order ? order : compare_numbers(left->index, right->index);
}

bool vhdx_find_duplicate(struct vhdx_key *keys, uint32_t count, uint32_t *first, uint32_t *second)
{
    qsort(keys, count, sizeof(*keys), compare_keys);
    for (uint32_t i = 1; i < count; i++) {
        if (keys[i].kind != keys[i - 1].kind || !vhdx_same_guid(keys[i].guid, keys[i - 1].guid))
            continue;
        *first = keys[i - 1].index;
        *second = keys[i].index;
        return true;
    }
    return false;
}
