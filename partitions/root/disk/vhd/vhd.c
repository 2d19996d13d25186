/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/vhd/vhd.h"

#include <string.h>

#include "partitions/root/disk/vhd/big_endian.h"

/* "Hard Disk Footer Format": offsets of the fields. */
enum {
    FOOTER_COOKIE = 0,
    FOOTER_FEATURES = 8,
    FOOTER_VERSION = 12,
    FOOTER_DATA_OFFSET = 16,
    FOOTER_TIMESTAMP = 24,
    FOOTER_CREATOR_APPLICATION = 28,
    FOOTER_CREATOR_VERSION = 32,
    FOOTER_CREATOR_HOST = 36,
    FOOTER_ORIGINAL_SIZE = 40,
    FOOTER_CURRENT_SIZE = 48,
    FOOTER_CYLINDERS = 56,
    FOOTER_HEADS = 58,
    FOOTER_SECTORS_PER_TRACK = 59,
    FOOTER_TYPE = 60,
    FOOTER_CHECKSUM = 64,
    FOOTER_IDENTIFIER = 68,
    FOOTER_SAVED_STATE = 84,
};

/* "Dynamic Disk Header Format". */
enum {
    HEADER_COOKIE = 0,
    HEADER_DATA_OFFSET = 8,
    HEADER_TABLE_OFFSET = 16,
    HEADER_VERSION = 24,
    HEADER_TABLE_ENTRIES = 28,
    HEADER_BLOCK_SIZE = 32,
    HEADER_CHECKSUM = 36,
};

/* The batmap's header. */
enum { BATMAP_OFFSET = 8, BATMAP_SECTORS = 16 };

#define COOKIE_SIZE    8
#define MAJOR(version) ((version) >> 16)

/* What an ATA disk can say in IDENTIFY DEVICE. */
#define ATA_MAXIMUM_CYLINDERS         16383
#define ATA_MAXIMUM_HEADS             16
#define ATA_MAXIMUM_SECTORS_PER_TRACK 63
/* Where the footer's geometry ends. */
#define LARGEST_GEOMETRY (65535ull * 16 * 255)

/* What Windows writes. Readers that do not know a creator take the geometry, which is rounded, for the size.
 */
#define CREATOR_APPLICATION "win "
#define CREATOR_VERSION     0x000a0000u
#define CREATOR_HOST        "Wi2k"

static const char footer_cookie[COOKIE_SIZE] = {'c', 'o', 'n', 'e', 'c', 't', 'i', 'x'};
static const char header_cookie[COOKIE_SIZE] = {'c', 'x', 's', 'p', 'a', 'r', 's', 'e'};

static const char batmap_cookie[COOKIE_SIZE] = {'t', 'd', 'b', 'a', 't', 'm', 'a', 'p'};

/* The one's complement of the sum of all bytes but the checksum's own. */
static uint32_t checksum(const uint8_t *bytes, size_t length, size_t own)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < length; i++)
        if (i < own || i >= own + sizeof(uint32_t))
            sum += bytes[i];
    return ~sum;
}

enum vhd_state vhd_footer_decode(const uint8_t *bytes, struct vhd_footer *footer, const char **fault)
{
    if (memcmp(bytes + FOOTER_COOKIE, footer_cookie, COOKIE_SIZE) != 0)
        return VHD_ABSENT;
    if (big_endian_load32(bytes + FOOTER_CHECKSUM) != checksum(bytes, VHD_FOOTER_SIZE, FOOTER_CHECKSUM)) {
        *fault = "wrong checksum";
        return VHD_FAULTY;
    }
    footer->features = big_endian_load32(bytes + FOOTER_FEATURES);
    footer->version = big_endian_load32(bytes + FOOTER_VERSION);
    footer->data_offset = big_endian_load64(bytes + FOOTER_DATA_OFFSET);
    footer->timestamp = big_endian_load32(bytes + FOOTER_TIMESTAMP);
    memcpy(footer->creator_application, bytes + FOOTER_CREATOR_APPLICATION, 4);
    footer->creator_version = big_endian_load32(bytes + FOOTER_CREATOR_VERSION);
    memcpy(footer->creator_host, bytes + FOOTER_CREATOR_HOST, 4);
    footer->original_size = big_endian_load64(bytes + FOOTER_ORIGINAL_SIZE);
    footer->current_size = big_endian_load64(bytes + FOOTER_CURRENT_SIZE);
    footer->geometry.cylinders = (uint16_t)(bytes[FOOTER_CYLINDERS] << 8 | bytes[FOOTER_CYLINDERS + 1]);
    footer->geometry.heads = bytes[FOOTER_HEADS];
    footer->geometry.sectors_per_track = bytes[FOOTER_SECTORS_PER_TRACK];
    footer->type = big_endian_load32(bytes + FOOTER_TYPE);
    memcpy(footer->identifier, bytes + FOOTER_IDENTIFIER, sizeof(footer->identifier));
    footer->saved_state = bytes[FOOTER_SAVED_STATE];
    if (MAJOR(footer->version) != MAJOR(VHD_VERSION)) {
        *fault = "unknown version";
        return VHD_FAULTY;
    }
    return VHD_VALID;
}

void vhd_footer_encode(const struct vhd_footer *footer, uint8_t *bytes)
{
    memset(bytes, 0, VHD_FOOTER_SIZE);
    vhd_footer_update(footer, bytes);
}

void vhd_footer_update(const struct vhd_footer *footer, uint8_t *bytes)
{
    memcpy(bytes + FOOTER_COOKIE, footer_cookie, COOKIE_SIZE);
    big_endian_store32(bytes + FOOTER_FEATURES, footer->features);
    big_endian_store32(bytes + FOOTER_VERSION, footer->version);
    big_endian_store64(bytes + FOOTER_DATA_OFFSET, footer->data_offset);
    big_endian_store32(bytes + FOOTER_TIMESTAMP, footer->timestamp);
    memcpy(bytes + FOOTER_CREATOR_APPLICATION, footer->creator_application, 4);
    big_endian_store32(bytes + FOOTER_CREATOR_VERSION, footer->creator_version);
    memcpy(bytes + FOOTER_CREATOR_HOST, footer->creator_host, 4);
    big_endian_store64(bytes + FOOTER_ORIGINAL_SIZE, footer->original_size);
    big_endian_store64(bytes + FOOTER_CURRENT_SIZE, footer->current_size);
    bytes[FOOTER_CYLINDERS] = (uint8_t)(footer->geometry.cylinders >> 8);
    bytes[FOOTER_CYLINDERS + 1] = (uint8_t)footer->geometry.cylinders;
    bytes[FOOTER_HEADS] = footer->geometry.heads;
    bytes[FOOTER_SECTORS_PER_TRACK] = footer->geometry.sectors_per_track;
    big_endian_store32(bytes + FOOTER_TYPE, footer->type);
    memcpy(bytes + FOOTER_IDENTIFIER, footer->identifier, sizeof(footer->identifier));
    bytes[FOOTER_SAVED_STATE] = footer->saved_state;
    vhd_footer_seal(bytes);
}

void vhd_set_creator(struct vhd_footer *footer)
{
    memcpy(footer->creator_application, CREATOR_APPLICATION, sizeof(footer->creator_application));
    memcpy(footer->creator_host, CREATOR_HOST, sizeof(footer->creator_host));
    footer->creator_version = CREATOR_VERSION;
}

uint32_t vhd_timestamp(int64_t time)
{
    return time > VHD_EPOCH ? (uint32_t)(time - VHD_EPOCH) : 0;
}

void vhd_footer_seal(uint8_t *bytes)
{
    big_endian_store32(bytes + FOOTER_CHECKSUM, checksum(bytes, VHD_FOOTER_SIZE, FOOTER_CHECKSUM));
}

enum vhd_state vhd_header_decode(const uint8_t *bytes, struct vhd_header *header, const char **fault)
{
    if (memcmp(bytes + HEADER_COOKIE, header_cookie, COOKIE_SIZE) != 0)
        return VHD_ABSENT;
    if (big_endian_load32(bytes + HEADER_CHECKSUM) != checksum(bytes, VHD_HEADER_SIZE, HEADER_CHECKSUM)) {
        *fault = "wrong checksum";
        return VHD_FAULTY;
    }
    header->table_offset = big_endian_load64(bytes + HEADER_TABLE_OFFSET);
    header->version = big_endian_load32(bytes + HEADER_VERSION);
    header->table_entries = big_endian_load32(bytes + HEADER_TABLE_ENTRIES);
    header->block_size = big_endian_load32(bytes + HEADER_BLOCK_SIZE);
    if (MAJOR(header->version) != MAJOR(VHD_VERSION)) {
        *fault = "unknown version";
        return VHD_FAULTY;
    }
    if (header->block_size < VHD_MINIMUM_BLOCK_SIZE || (header->block_size & (header->block_size - 1))) {
        *fault = "a block size that is no power of two of at least 512";
        return VHD_FAULTY;
    }
    return VHD_VALID;
}

void vhd_header_encode(const struct vhd_header *header, uint8_t *bytes)
{
    memset(bytes, 0, VHD_HEADER_SIZE);
    vhd_header_update(header, bytes);
}

void vhd_header_update(const struct vhd_header *header, uint8_t *bytes)
{
    memcpy(bytes + HEADER_COOKIE, header_cookie, COOKIE_SIZE);
    big_endian_store64(bytes + HEADER_DATA_OFFSET, VHD_NO_OFFSET);
    big_endian_store64(bytes + HEADER_TABLE_OFFSET, header->table_offset);
    big_endian_store32(bytes + HEADER_VERSION, header->version);
    big_endian_store32(bytes + HEADER_TABLE_ENTRIES, header->table_entries);
    big_endian_store32(bytes + HEADER_BLOCK_SIZE, header->block_size);
    vhd_header_seal(bytes);
}

void vhd_header_seal(uint8_t *bytes)
{
    big_endian_store32(bytes + HEADER_CHECKSUM, checksum(bytes, VHD_HEADER_SIZE, HEADER_CHECKSUM));
}

struct disk_geometry vhd_geometry(uint64_t sectors)
{
    uint32_t total = (uint32_t)(sectors < LARGEST_GEOMETRY ? sectors : LARGEST_GEOMETRY);
    uint32_t per_track, heads;
    if (total >= 65535u * 16 * 63) {
        per_track = 255;
        heads = 16;
    } else {
        per_track = 17;
        heads = (total / per_track + 1023) / 1024;
        if (heads < 4)
            heads = 4;
        if (heads > 16 || total / per_track >= heads * 1024) {
            per_track = 31;
            heads = 16;
        }
        if (total / per_track >= heads * 1024) {
            per_track = 63;
            heads = 16;
        }
    }
    return (struct disk_geometry){
        .cylinders = (uint16_t)(total / per_track / heads),
        .heads = (uint8_t)heads,
        .sectors_per_track = (uint8_t)per_track,
    };
}

static uint64_t geometry_sectors(struct disk_geometry geometry)
{
    return (uint64_t)geometry.cylinders * geometry.heads * geometry.sectors_per_track;
}

uint64_t vhd_disk_size(const struct vhd_footer *footer)
{
    uint64_t sectors = geometry_sectors(footer->geometry);
    bool by_geometry =
        memcmp(footer->creator_application, "vpc ", 4) == 0 || memcmp(footer->creator_application, "qemu", 4) == 0;
    return by_geometry && sectors < LARGEST_GEOMETRY ? sectors * DISK_SECTOR_SIZE : footer->current_size;
}

static bool ata_can_have(struct disk_geometry geometry, uint64_t sectors)
{
    return geometry.cylinders > 0 && geometry.heads > 0 && geometry.heads <= ATA_MAXIMUM_HEADS &&
           geometry.sectors_per_track > 0 && geometry.sectors_per_track <= ATA_MAXIMUM_SECTORS_PER_TRACK &&
           geometry_sectors(geometry) <= sectors;
}

struct disk_geometry vhd_identify_geometry(struct disk_geometry preferred, uint64_t sectors)
{
    struct disk_geometry geometry = preferred;
    if (!ata_can_have(geometry, sectors))
        geometry = vhd_geometry(sectors);
    if (geometry.sectors_per_track > ATA_MAXIMUM_SECTORS_PER_TRACK)
        geometry = (struct disk_geometry){ATA_MAXIMUM_CYLINDERS, ATA_MAXIMUM_HEADS, ATA_MAXIMUM_SECTORS_PER_TRACK};
    if (geometry.cylinders == 0) /* too small for one cylinder of the specification's smallest */
        geometry = (struct disk_geometry){(uint16_t)sectors, 1, 1};
    if (geometry.cylinders > ATA_MAXIMUM_CYLINDERS)
        geometry.cylinders = ATA_MAXIMUM_CYLINDERS;
    return geometry;
}

uint32_t vhd_bitmap_size(uint32_t block_size)
{
    uint32_t bits = block_size / DISK_SECTOR_SIZE;
    uint32_t bits_per_sector = DISK_SECTOR_SIZE * 8;
    return (bits + bits_per_sector - 1) / bits_per_sector * DISK_SECTOR_SIZE;
}

uint64_t vhd_batmap_end(const uint8_t *bytes, uint64_t offset, uint64_t file_size)
{
    uint64_t map = big_endian_load64(bytes + BATMAP_OFFSET);
    uint64_t length = (uint64_t)big_endian_load32(bytes + BATMAP_SECTORS) * DISK_SECTOR_SIZE;
    bool there =
        memcmp(bytes, batmap_cookie, COOKIE_SIZE) == 0 && map > offset && map <= file_size && length <= file_size - map;
    return there ? map + length : offset;
}

uint32_t vhd_load_entry(const uint8_t *bytes)
{
    return big_endian_load32(bytes);
}

void vhd_store_entry(uint8_t *bytes, uint32_t sector)
{
    big_endian_store32(bytes, sector);
}
