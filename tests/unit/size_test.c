/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sizes and durations as the command reads and writes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tools/loam/size.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static void reads_sizes(void **state)
{
    /* clang-format off */
    static const struct {
        const char *text;
        uint64_t size;
    } cases[] = {
        {"0", 0},
        {"1", 1},
        {"512K", 512ull << 10},
        {"256M", 256ull << 20},
        {"256m", 256ull << 20},
        {"10GiB", 10ull << 30},
        {"10GB", 10ull << 30},
        {"2T", 2ull << 40},
        {"9223372036854775807", INT64_MAX},
        {"8388607T", 8388607ull << 40},
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint64_t size = ~0ull;
        assert_true(size_parse(cases[i].text, &size));
        assert_int_equal(size, cases[i].size);
    }
}

static void refuses_what_is_none(void **state)
{
    /* clang-format off */
    static const char *const cases[] = {
        "",
        "K",
        "-1",
        "+1",
        " 1",
        "1 M",
        "1.5G",
        "0x10",
        "1MB2",
        "1Mi",
        "1MiBs",
        "1P",
        "1BM",
        "12x",
        "9223372036854775808",
        "99999999999999999999",
        "8388608T",
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint64_t size = 7;
        assert_false(size_parse(cases[i], &size));
        assert_int_equal(size, 7);
    }
}

static void writes_sizes(void **state)
{
    /* clang-format off */
    static const struct {
        uint64_t size;
        const char *text;
    } cases[] = {
        {0, "0 bytes"},
        {1023, "1023 bytes"},
        {1024, "1 KiB"},
        {1536, "1.5 KiB"},
        {256ull << 20, "256 MiB"},
        {(256ull << 20) + 1, "256.0 MiB"},
        {(1ull << 20) - 1, "1024.0 KiB"},
        {(1ull << 30) + (1ull << 29), "1.5 GiB"},
        {5ull << 40, "5 TiB"},
        {UINT64_MAX, "16.0 EiB"},
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[SIZE_TEXT_SIZE];
        size_format(cases[i].size, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void writes_durations(void **state)
{
    /* clang-format off */
    static const struct {
        uint64_t seconds;
        const char *text;
    } cases[] = {
        {0, "00:00:00"},
        {3661, "01:01:01"},
        {86399, "23:59:59"},
        {86400, "1 day 00:00:00"},
        {3 * 86400 + 14706, "3 days 04:05:06"},
        {UINT64_MAX, "213503982334601 days 07:00:15"},
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[SIZE_TEXT_SIZE];
        duration_format(cases[i].seconds, text);
        assert_string_equal(text, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_sizes),
        cmocka_unit_test(refuses_what_is_none),
        cmocka_unit_test(writes_sizes),
        cmocka_unit_test(writes_durations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
