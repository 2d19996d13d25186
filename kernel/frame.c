/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kernel/arch.h"
#include "kernel/frame.h"
#include "kernel/log.h"

struct frame_range {
    uint64_t first_pfn;
    uint64_t count;
    struct frame *frames; /* one a page */
};

/* Set at boot; only the frames themselves change afterwards. */
static struct frame_range ranges[FRAME_MAXIMUM_RANGES];
static unsigned range_count;
/* Where the last frame was found. A hint: any value is right, some are quick. Accessed atomically. */
static unsigned last_range;

void frame_initialize(const struct memory_range *ram, unsigned count)
{
    uint64_t pages = 0;
    struct frame *frames;

    ASSERT(count > 0 && count <= FRAME_MAXIMUM_RANGES);
    for (unsigned i = 0; i < count; i++)
        pages += ram[i].count;
    frames = physical_pointer(boot_allocate((pages * sizeof(struct frame) + HV_PAGE_SIZE - 1) / HV_PAGE_SIZE));

    for (unsigned i = 0; i < count; i++) {
        ranges[i] = (struct frame_range){ram[i].first_pfn, ram[i].count, frames};
        frames += ram[i].count;
    }
    range_count = count;
    last_range = 0;
}

uint64_t frame_end(void)
{
    return ranges[range_count - 1].first_pfn + ranges[range_count - 1].count;
}

struct frame *frame_find(uint64_t pfn)
{
    unsigned hint = __atomic_load_n(&last_range, __ATOMIC_RELAXED);
    unsigned low = 0, high = range_count;

    if (pfn - ranges[hint].first_pfn < ranges[hint].count)
        return &ranges[hint].frames[pfn - ranges[hint].first_pfn];

    while (low < high) {
        unsigned middle = (low + high) / 2;

        if (pfn < ranges[middle].first_pfn) {
            high = middle;
        } else if (pfn - ranges[middle].first_pfn >= ranges[middle].count) {
            low = middle + 1;
        } else {
            __atomic_store_n(&last_range, middle, __ATOMIC_RELAXED);
            return &ranges[middle].frames[pfn - ranges[middle].first_pfn];
        }
    }
    return NULL;
}

bool frame_change(struct frame *frame, enum frame_state from, enum frame_state to, uint16_t owner)
{
    struct frame old, new = {owner, to, 0};

    __atomic_load(frame, &old, __ATOMIC_RELAXED);
    do {
        if (old.state != from || old.maps != 0)
            return false;
    } while (!__atomic_compare_exchange(frame, &old, &new, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
    return true;
}

static bool map_one(struct frame *frame)
{
    struct frame old, new;

    __atomic_load(frame, &old, __ATOMIC_RELAXED);
    do {
        if (old.state != FRAME_PARENT || old.maps == FRAME_MAPS_MAXIMUM)
            return false;
        new = old;
        new.maps++;
    } while (!__atomic_compare_exchange(frame, &old, &new, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
    return true;
}

static void unmap_one(struct frame *frame)
{
    uint8_t maps = __atomic_fetch_sub(&frame->maps, 1, __ATOMIC_RELEASE);

    ASSERT(maps > 0 && frame->state == FRAME_PARENT);
}

bool frame_map(uint64_t pfn)
{
    struct frame *frame = frame_find(pfn);

    return frame && map_one(frame);
}

void frame_unmap(uint64_t pfn)
{
    struct frame *frame = frame_find(pfn);

    ASSERT(frame);
    unmap_one(frame);
}

bool frame_map_large(uint64_t pfn)
{
    struct frame *frames = frame_find(pfn);

    /* Ranges do not touch, so the region is RAM throughout if both ends lie in one range. */
    if (!frames || frame_find(pfn + HV_PAGES_PER_LARGE_PAGE - 1) != frames + HV_PAGES_PER_LARGE_PAGE - 1)
        return false;
    for (unsigned i = 0; i < HV_PAGES_PER_LARGE_PAGE; i++)
        if (!map_one(&frames[i])) {
            while (i-- > 0)
                unmap_one(&frames[i]);
            return false;
        }
    return true;
}

void frame_unmap_large(uint64_t pfn)
{
    struct frame *frames = frame_find(pfn);

    ASSERT(frames);
    for (unsigned i = 0; i < HV_PAGES_PER_LARGE_PAGE; i++)
        unmap_one(&frames[i]);
}
