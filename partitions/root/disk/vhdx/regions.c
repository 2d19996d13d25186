/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/vhdx/regions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/disk/vhdx/conflict.h"
#include "partitions/root/disk/vhdx/error.h"

/* Where the fields stand that can be wrong: of the table, and of an entry. */
enum { AT_CHECKSUM = 4, AT_COUNT = 8 };
enum { AT_GUID = 0, AT_OFFSET = 16, AT_LENGTH = 24, AT_REQUIRED = 28 };
enum { AT_LOG_OFFSET = 72 }; /* of the header */

#define NO_REGION UINT32_MAX

struct reading {
    struct disk_file *file;
    const struct vhdx_headers *headers;
    struct vhdx_regions *regions;
    struct disk_error *error;
    unsigned copy; /* the one that counts */
};

static uint64_t place_of(const struct reading *reading, uint32_t index, unsigned field)
{
    return VHDX_REGIONS_OFFSET(reading->copy) + vhdx_region_offset(index) + field;
}

static bool no_table(const struct reading *reading)
{
    static const char *const field[] = {[VHDX_ABSENT] = "Signature", [VHDX_FAULTY] = "Checksum"};
    static const unsigned place[] = {[VHDX_ABSENT] = 0, [VHDX_FAULTY] = AT_CHECKSUM};
    const enum vhdx_state *state = reading->regions->state;
    return vhdx_damaged(reading->error, reading->file, field[state[0]], VHDX_REGIONS_OFFSET(0) + place[state[0]],
                        "wrong, and so is %s at byte %llu: it has no valid region table", field[state[1]],
                        (unsigned long long)VHDX_REGIONS_OFFSET(1) + place[state[1]]);
}

/* The two copies, one after the other in `bytes`. */
static bool choose_copy(struct reading *reading, const uint8_t *bytes)
{
    struct vhdx_regions *regions = reading->regions;
    uint32_t count[VHDX_HEADERS] = {0};
    for (unsigned copy = 0; copy < VHDX_HEADERS; copy++)
        regions->state[copy] = vhdx_regions_decode(bytes + (size_t)copy * VHDX_REGIONS_SIZE, &count[copy]);
    if (regions->state[0] != VHDX_VALID && regions->state[1] != VHDX_VALID)
        return no_table(reading);
    regions->differ =
        regions->state[0] == regions->state[1] && memcmp(bytes, bytes + VHDX_REGIONS_SIZE, VHDX_REGIONS_SIZE) != 0;
    reading->copy = regions->state[0] != VHDX_VALID;
    regions->count = count[reading->copy];
    if (regions->count > VHDX_MOST_REGIONS)
        return vhdx_damaged(reading->error, reading->file, "EntryCount", VHDX_REGIONS_OFFSET(reading->copy) + AT_COUNT,
                            "%u, more than %u", regions->count, VHDX_MOST_REGIONS);
    for (uint32_t i = 0; i < regions->count; i++)
        vhdx_region_decode(bytes + (size_t)reading->copy * VHDX_REGIONS_SIZE, i, &regions->region[i]);
    return true;
}

static bool check_numbers(const struct reading *reading, uint32_t index)
{
    const struct vhdx_region *region = &reading->regions->region[index];
    uint64_t file_size = reading->headers->file_size;
    if (region->offset < VHDX_SECTION_SIZE || region->offset % VHDX_MIB != 0)
        return vhdx_damaged(reading->error, reading->file, "FileOffset", place_of(reading, index, AT_OFFSET),
                            "%llu, not a multiple of 1 MiB and at least 1 MiB", (unsigned long long)region->offset);
    if (region->length % VHDX_MIB != 0)
        return vhdx_damaged(reading->error, reading->file, "Length", place_of(reading, index, AT_LENGTH),
                            "%u, not a multiple of 1 MiB", region->length);
    if (region->offset > file_size || region->length > file_size - region->offset)
        return vhdx_damaged(reading->error, reading->file, "FileOffset", place_of(reading, index, AT_OFFSET),
                            "%llu, from where the region of %u bytes reaches beyond the file's end at %llu",
                            (unsigned long long)region->offset, region->length, (unsigned long long)file_size);
    if (region->required > 1)
        return vhdx_damaged(reading->error, reading->file, "Required", place_of(reading, index, AT_REQUIRED),
                            "%u, neither 0 nor 1", region->required);
    return true;
}

static bool recognize(const struct reading *reading, uint32_t index)
{
    struct vhdx_regions *regions = reading->regions;
    const struct vhdx_region *region = &regions->region[index];
    char text[VHDX_GUID_TEXT];
    if (vhdx_same_guid(region->guid, vhdx_bat_region))
        regions->bat = index;
    else if (vhdx_same_guid(region->guid, vhdx_metadata_region))
        regions->metadata = index;
    else if (region->required) {
        vhdx_guid_print(region->guid, text);
        disk_error_set(reading->error, EOPNOTSUPP, reading->file->name,
                       "a VHDX with the region %.*s, which is required (at byte %llu) and not known", VHDX_GUID_TEXT,
                       text, (unsigned long long)place_of(reading, index, AT_REQUIRED));
        return false;
    }
    return true;
}

static bool check_duplicates(const struct reading *reading)
{
    const struct vhdx_regions *regions = reading->regions;
    struct vhdx_key keys[VHDX_MOST_REGIONS];
    for (uint32_t i = 0; i < regions->count; i++) {
        memcpy(keys[i].guid, regions->region[i].guid, VHDX_GUID_SIZE);
        keys[i].kind = 0;
        keys[i].index = i;
    }
    uint32_t first, second;
    return !vhdx_find_duplicate(keys, regions->count, &first, &second) ||
           vhdx_damaged(reading->error, reading->file, "Guid", place_of(reading, second, AT_GUID),
                        "the same as that at byte %llu", (unsigned long long)place_of(reading, first, AT_GUID));
}

static bool check_overlaps(const struct reading *reading)
{
    const struct vhdx_regions *regions = reading->regions;
    const struct vhdx_header *header = &reading->headers->header;
    struct vhdx_stretch stretches[VHDX_MOST_REGIONS + 1];
    for (uint32_t i = 0; i < regions->count; i++)
        stretches[i] = (struct vhdx_stretch){regions->region[i].offset, regions->region[i].length, i};
    stretches[regions->count] = (struct vhdx_stretch){header->log_offset, header->log_length, regions->count};
    uint32_t first, second;
    if (!vhdx_find_overlap(stretches, regions->count + 1, &first, &second))
        return true;
    uint64_t other = VHDX_HEADER_OFFSET(reading->headers->current) + AT_LOG_OFFSET;
    if (first != regions->count && second != regions->count)
        other = place_of(reading, first, AT_OFFSET);
    uint32_t index = second == regions->count ? first : second;
    return vhdx_damaged(reading->error, reading->file, "FileOffset", place_of(reading, index, AT_OFFSET),
                        "%llu, where the region lies over the %s that is located at byte %llu",
                        (unsigned long long)regions->region[index].offset,
                        first == regions->count || second == regions->count ? "log" : "region",
                        (unsigned long long)other);
}

static bool check_known(const struct reading *reading, uint32_t index, const char *name)
{
    const struct vhdx_regions *regions = reading->regions;
    if (index == NO_REGION)
        return vhdx_damaged(reading->error, reading->file, "the region table", VHDX_REGIONS_OFFSET(reading->copy),
                            "without the region of the %s", name);
    if (!regions->region[index].length)
        return vhdx_damaged(reading->error, reading->file, "Length", place_of(reading, index, AT_LENGTH),
                            "0, and it is that of the %s", name);
    return true;
}

static bool check_table(struct reading *reading, const uint8_t *bytes)
{
    struct vhdx_regions *regions = reading->regions;
    if (!choose_copy(reading, bytes))
        return false;
    for (uint32_t i = 0; i < regions->count; i++)
        if (!check_numbers(reading, i) || !recognize(reading, i))
            return false;
    return check_duplicates(reading) && check_overlaps(reading) && check_known(reading, regions->bat, "BAT") &&
           check_known(reading, regions->metadata, "metadata");
}

bool vhdx_regions_read(struct disk_file *file, const struct vhdx_headers *headers, struct vhdx_regions *regions,
                       struct disk_error *error)
{
    struct reading reading = {.file = file, .headers = headers, .regions = regions, .error = error};
    *regions = (struct vhdx_regions){.bat = NO_REGION, .metadata = NO_REGION};
    size_t length = (size_t)VHDX_HEADERS * VHDX_REGIONS_SIZE;
    uint8_t *bytes = malloc(length);
    if (!bytes) {
        disk_error_set(error, ENOMEM, file->name, "no memory");
        return false;
    }
    bool done = vhdx_read(file, bytes, length, VHDX_REGIONS_OFFSET(0), error) && check_table(&reading, bytes);
    free(bytes);
    return done;
}
