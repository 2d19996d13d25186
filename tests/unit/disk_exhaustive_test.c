/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pure functions against their definitions, for all inputs: geometries of all sizes of disks, and runs of bits for all
 * places of their first bit, their last one, and the end of what is looked at.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "partitions/root/disk/vhd/vhd.h"
#include "partitions/root/disk/vhd/bitmap.h"
#include "partitions/root/disk/vhd/place.h"

#define BITMAP_BYTES (VHD_BITMAP_BITS / 8)
/* Sizes above are taken for this one. */
#define LARGEST_GEOMETRY (65535u * 16 * 255)

/* Never more sectors than the disk has, and less than a cylinder fewer; an ATA disk's is within the disk, too. */
static void geometries(void **state)
{
    (void)state;
    for (uint32_t sectors = 0; sectors <= LARGEST_GEOMETRY; sectors++) {
        struct disk_geometry geometry = vhd_geometry(sectors);
        uint32_t cylinder = (uint32_t)geometry.heads * geometry.sectors_per_track;
        uint32_t whole = geometry.cylinders * cylinder;
        if (cylinder == 0 || whole > sectors || sectors - whole >= cylinder)
            fail_msg("%u sectors", sectors);
    }
    for (uint32_t sectors = 1; sectors <= LARGEST_GEOMETRY; sectors += 1 + sectors / 4096) {
        struct disk_geometry geometry = vhd_identify_geometry((struct disk_geometry){0}, sectors);
        uint64_t whole = (uint64_t)geometry.cylinders * geometry.heads * geometry.sectors_per_track;
        if (whole == 0 || whole > sectors || geometry.cylinders > 16383 || geometry.heads > 16 ||
            geometry.sectors_per_track > 63)
            fail_msg("%u sectors, as an ATA disk", sectors);
    }
}

static void put_bit(uint8_t *bits, uint32_t bit, bool value)
{
    uint8_t mask = (uint8_t)(0x80u >> bit % 8);
    bits[bit / 8] = value ? bits[bit / 8] | mask : bits[bit / 8] & (uint8_t)~mask;
}

static void expect_run(const uint8_t *bits, uint32_t first, uint32_t end, uint32_t run, bool value)
{
    if (vhd_bitmap_run(bits, first, end) != run || vhd_bitmap_all(bits, first, end) != (value && first + run == end))
        fail_msg("from %u to %u: not %u", first, end, run);
}

/* The bits from `first` on are `value`, those from `different` on are not, for all places of both. */
static void runs_of(uint8_t *bits, bool value)
{
    for (uint32_t first = 0; first < VHD_BITMAP_BITS; first++) {
        memset(bits, value ? 0xff : 0, BITMAP_BYTES);
        if (first)
            put_bit(bits, first - 1, !value);
        expect_run(bits, first, VHD_BITMAP_BITS, VHD_BITMAP_BITS - first, value);
        for (uint32_t different = VHD_BITMAP_BITS - 1; different > first; different--) {
            put_bit(bits, different, !value);
            put_bit(bits, (different * 7 + first) % VHD_BITMAP_BITS | different, !value); /* any other behind it */
            uint32_t run = different - first;
            expect_run(bits, first, VHD_BITMAP_BITS, run, value);
            expect_run(bits, first, different, run, value);
            if (different + 1 < VHD_BITMAP_BITS)
                expect_run(bits, first, different + 1, run, value);
            if (run > 1)
                expect_run(bits, first, different - 1, run - 1, value);
        }
    }
}

static void runs(void **state)
{
    (void)state;
    uint8_t *bits = malloc(BITMAP_BYTES); /* so that a step outside is noticed */
    assert_non_null(bits);
    runs_of(bits, false);
    runs_of(bits, true);
    free(bits);
}

static void setting(void **state)
{
    (void)state;
    uint8_t *bits = malloc(BITMAP_BYTES);
    uint8_t expected[BITMAP_BYTES];
    assert_non_null(bits);
    for (uint32_t first = 0; first < VHD_BITMAP_BITS; first++) {
        memset(expected, 0, sizeof(expected));
        for (uint32_t end = first + 1; end <= VHD_BITMAP_BITS; end++) {
            put_bit(expected, end - 1, true);
            memset(bits, 0, BITMAP_BYTES);
            vhd_bitmap_set(bits, first, end);
            if (memcmp(bits, expected, BITMAP_BYTES) != 0)
                fail_msg("from %u to %u", first, end);
        }
    }
    memset(bits, 0x55, BITMAP_BYTES); /* bits that are set stay so */
    vhd_bitmap_set(bits, 3, 20);
    assert_int_equal(bits[0], 0x5f);
    assert_int_equal(bits[1], 0xff);
    assert_int_equal(bits[2], 0xf5);
    assert_int_equal(bits[3], 0x55);
    free(bits);
}

/* Small numbers, all of them, beside numbers at the bounds of what files have. */
static void places(void **state)
{
    (void)state;
    static const uint64_t bases[] = {0, 1ull << 32, (1ull << 62) - 8};
    enum { LEAST = 9 };
    for (size_t i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
        for (unsigned choice = 0; choice < LEAST * LEAST * LEAST * LEAST; choice++) {
            unsigned a = choice % LEAST, b = choice / LEAST % LEAST;
            unsigned a_length = 1 + choice / LEAST / LEAST % LEAST, b_length = 1 + choice / LEAST / LEAST / LEAST;
            struct vhd_reserved reserved[2] = {
                {0      },
                { bases[i] + b, b_length, "part"}
            };
            bool over = false;
            for (unsigned byte = a; byte < a + a_length; byte++)
                over |= byte >= b && byte < b + b_length;
            const struct vhd_reserved *found = vhd_place_find_overlap(reserved + 1, 1, bases[i] + a, a_length);
            assert_int_equal(found != NULL, over);
            assert_int_equal(vhd_place_ends_before(bases[i] + a, a_length, bases[i] + b), a + a_length <= b);
        }
    }
    for (uint32_t disk = 1; disk <= 40; disk++)
        for (uint32_t block_size = 1; block_size <= 16; block_size *= 2)
            for (uint32_t block = 0, left = disk; block < 45; block++) {
                uint32_t bytes = left < block_size ? left : block_size;
                assert_int_equal(vhd_place_block_bytes(disk, block_size, block), bytes);
                left -= bytes;
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(geometries),
        cmocka_unit_test(runs),
        cmocka_unit_test(setting),
        cmocka_unit_test(places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
