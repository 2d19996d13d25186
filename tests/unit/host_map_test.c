/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hypervisor's own page tables, walked as the processor does (AMD64 APM vol. 2, 5.3). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "arch/x86_64/boot/host_map.h"

#define REGION      0x40000000ull /* both the physical address and where the test has it */
#define REGION_SIZE 0x1000000ull
#define TEXT_END    0x5000ull
#define RODATA_END  0x8000ull
#define IMAGE_END   0x20000ull
#define LOW_PAGE    0x9F000ull
#define APIC_PAGE   0xFEE00000ull
#define GIB_PAGES   0x40000ull
#define PROCESSORS  3u

#define PRESENT    0x1ull
#define WRITABLE   0x2ull
#define LARGE      0x80ull
#define UNCACHED   0x18ull
#define NO_EXECUTE (1ull << 63)
#define ADDRESS    0x000FFFFFFFFFF000ull

static struct boot_information information;

static uint64_t build(const struct memory_range *mapped, unsigned count, bool has_1g_pages)
{
    struct image_header *header = (void *)REGION;

    memset((void *)REGION, 0, REGION_SIZE);
    *header = (struct image_header){
        .magic = LOAM_IMAGE_MAGIC, .text_end = TEXT_END, .rodata_end = RODATA_END, .image_end = IMAGE_END};
    information = (struct boot_information){.region = REGION,
                                            .region_size = REGION_SIZE,
                                            .free = REGION + IMAGE_END,
                                            .low_page = LOW_PAGE,
                                            .processors = PROCESSORS,
                                            .mapped_count = count};
    memcpy(information.mapped, mapped, count * sizeof *mapped);
    return host_map_build(&information, APIC_PAGE, has_1g_pages);
}

/* The leaf that translates an address, its address bits with the offset added; 0: none. */
static uint64_t translate(uint64_t root, unsigned levels, uint64_t address)
{
    uint64_t table = root;

    for (unsigned shift = 12 + 9 * (levels - 1);; shift -= 9) {
        uint64_t entry = ((const uint64_t *)table)[address >> shift & 511];
        uint64_t offset = (1ull << shift) - 1;

        if (!(entry & PRESENT))
            return 0;
        if (shift == 12 || (entry & LARGE)) {
            assert_true(shift <= 30);
            assert_int_equal(entry & ADDRESS & offset & ~0xFFFull, 0);
            return (entry & ~offset) | (entry & 0x1F) | (address & offset & ~0xFFFull);
        }
        assert_true(entry & WRITABLE);
        assert_false(entry & NO_EXECUTE);
        table = entry & ADDRESS;
    }
}

static uint64_t leaf(uint64_t address)
{
    return translate(information.root_table, 4, address);
}

static void check_memory(const struct memory_range *mapped, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint64_t pages[] = {0, 1, mapped[i].count / 2, mapped[i].count - 1};

        for (unsigned p = 0; p < 4 && pages[p] < mapped[i].count; p++) {
            uint64_t spa = (mapped[i].first_pfn + pages[p]) << 12, entry = leaf(LOAM_DIRECT_MAP + spa);
            bool constant = spa >= REGION && spa < REGION + RODATA_END;

            assert_int_equal(entry & ADDRESS, spa);
            assert_true(entry & NO_EXECUTE);
            assert_int_equal(!(entry & WRITABLE), constant);
        }
        /* What is beside it is mapped only if it belongs to another range. */
        if (i + 1 == count || mapped[i + 1].first_pfn != mapped[i].first_pfn + mapped[i].count)
            assert_int_equal(leaf(LOAM_DIRECT_MAP + ((mapped[i].first_pfn + mapped[i].count) << 12)), 0);
    }
}

static void check_image(void)
{
    for (uint64_t offset = 0; offset < IMAGE_END; offset += 0x1000) {
        uint64_t entry = leaf(LOAM_IMAGE_BASE + offset), direct = leaf(LOAM_DIRECT_MAP + REGION + offset);

        assert_int_equal(entry & ADDRESS, REGION + offset);
        assert_int_equal(!!(entry & NO_EXECUTE), offset >= TEXT_END);
        assert_int_equal(!!(entry & WRITABLE), offset >= RODATA_END);
        if (direct) /* no second, writable way to code and constants */
            assert_int_equal(!!(direct & WRITABLE), offset >= RODATA_END);
    }
    assert_int_equal(leaf(LOAM_IMAGE_BASE + IMAGE_END), 0);
}

/* Every stack page is a page of its own, with holes before and between. */
static void check_stacks(void)
{
    for (uint64_t i = 0; i < PROCESSORS; i++) {
        uint64_t stack = LOAM_STACKS + i * LOAM_STACK_STRIDE;

        for (uint64_t page = 0; page < LOAM_STACK_STRIDE; page += 0x1000) {
            uint64_t entry = leaf(stack + page);
            bool expected = page == 0x1000 || page == 0x2000 || page == 0x4000;

            assert_int_equal(entry != 0, expected);
            if (entry)
                assert_true((entry & NO_EXECUTE) && (entry & WRITABLE));
        }
    }
    assert_int_equal(leaf(LOAM_STACKS + PROCESSORS * LOAM_STACK_STRIDE + 0x1000), 0);
}

static void check(const struct memory_range *mapped, unsigned count, bool has_1g_pages)
{
    uint64_t five = build(mapped, count, has_1g_pages), entry;

    assert_true((information.free - REGION - IMAGE_END) / 4096 <=
                host_map_needed(mapped, count, PROCESSORS, has_1g_pages));
    check_memory(mapped, count);
    check_image();
    check_stacks();
    assert_int_equal(leaf(LOW_PAGE) & (ADDRESS | WRITABLE | NO_EXECUTE), LOW_PAGE | WRITABLE);
    entry = leaf(LOAM_APIC_PAGE);
    assert_int_equal(entry & ADDRESS, APIC_PAGE);
    assert_int_equal(entry & UNCACHED, UNCACHED);
    assert_true(entry & NO_EXECUTE);
    assert_int_equal(translate(five, 5, LOAM_IMAGE_BASE + TEXT_END), leaf(LOAM_IMAGE_BASE + TEXT_END));
    assert_int_equal(translate(five, 5, LOW_PAGE), leaf(LOW_PAGE));
}

static void maps_a_small_machine(void **state)
{
    static const struct memory_range mapped[] = {
        {0,     0xA0                 },
        {0x100, 2 * GIB_PAGES - 0x100},
    };

    (void)state;
    check(mapped, 2, false);
    check(mapped, 2, true);
}

static void maps_ranges_of_any_alignment(void **state)
{
    static const struct memory_range mapped[] = {
        {0x1,                   0x9E             },
        {0x1FF,                 0x402            },
        {0x40000,               0x1              }, /* the first page of the region alone */
        {0x40003,               0x3FFFF          },
        {5 * GIB_PAGES + 0x1FF, 3 * GIB_PAGES + 7},
        {511 * GIB_PAGES,       2 * GIB_PAGES    }, /* across 512 GiB */
        {0x3FFFFFF00,           0x80             }, /* near 64 TiB */
    };

    (void)state;
    check(mapped, 7, false);
    check(mapped, 7, true);
}

static void four_tebibytes_take_few_tables(void **state)
{
    static const struct memory_range mapped[] = {
        {0, 4096 * GIB_PAGES},
    };

    (void)state;
    check(mapped, 1, true);
    assert_true(information.free - REGION - IMAGE_END < 64 * 4096);
}

static int make_region(void **state)
{
    void *region = mmap((void *)REGION, REGION_SIZE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    (void)state;
    return region == (void *)REGION ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps_a_small_machine),
        cmocka_unit_test(maps_ranges_of_any_alignment),
        cmocka_unit_test(four_tebibytes_take_few_tables),
    };

    return cmocka_run_group_tests(tests, make_region, NULL);
}
