/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "partitions/root/worker/devices/smbios_tables.h"

#define MIB (1ull << 20)
#define GIB (1ull << 30)

static struct smbios_tables tables;

static const struct smbios_configuration ordinary = {
    .processors = 2,
    .memory_below_4g = 256 * MIB,
    .uuid = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17},
    .serial = "web1",
};

static uint64_t get(const uint8_t *bytes, unsigned size)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

static uint8_t sum(const uint8_t *bytes, size_t count)
{
    uint8_t total = 0;

    while (count--)
        total += *bytes++;
    return total;
}

/* What follows a structure, which must end within the tables. */
static const uint8_t *next(const uint8_t *structure)
{
    const uint8_t *end = tables.tables + tables.length, *at = structure + structure[1];

    assert_in_range(structure[1], 4, end - structure - 2);
    while (at + 1 < end && (at[0] || at[1]))
        at++;
    assert_true(at + 1 < end);
    return at + 2;
}

/* Structure `index` of that type, or NULL. */
static const uint8_t *find(uint8_t type, unsigned index)
{
    for (const uint8_t *at = tables.tables; at < tables.tables + tables.length; at = next(at))
        if (at[0] == type && index-- == 0)
            return at;
    return NULL;
}

static void assert_string(const uint8_t *structure, unsigned offset, const char *expected)
{
    const char *string = (const char *)structure + structure[1];

    assert_int_not_equal(structure[offset], 0);
    for (unsigned i = 1; i < structure[offset]; i++)
        string += strlen(string) + 1;
    assert_string_equal(string, expected);
}

static void build(const struct smbios_configuration *configuration)
{
    memset(&tables, 0xee, sizeof tables);
    assert_true(smbios_tables_build(&tables, configuration));
}

static void entry_point(void **state)
{
    unsigned count = 0;
    ptrdiff_t largest = 0;

    (void)state;
    build(&ordinary);
    assert_memory_equal(tables.anchor, "_SM_", 4);
    assert_int_equal(tables.anchor[5], 31);
    assert_memory_equal(tables.anchor + 6, "\x02\x08", 2);
    assert_memory_equal(tables.anchor + 16, "_DMI_", 5);
    assert_int_equal(sum(tables.anchor, 16), 0);
    assert_int_equal(sum(tables.anchor + 16, 15), 0);
    assert_int_equal(get(tables.anchor + 22, 2), tables.length);
    assert_int_equal(tables.anchor[30], 0x28);
    for (const uint8_t *at = tables.tables; at < tables.tables + tables.length; at = next(at)) {
        if (next(at) - at > largest)
            largest = next(at) - at;
        count++;
    }
    assert_int_equal(get(tables.anchor + 28, 2), count);
    assert_int_equal(get(tables.anchor + 8, 2), largest);
}

static void system_board_and_chassis(void **state)
{
    const uint8_t *system, *board, *chassis;

    (void)state;
    build(&ordinary);
    system = find(1, 0);
    board = find(2, 0);
    chassis = find(3, 0);
    assert_string(system, 4, "Loam");
    assert_string(system, 5, "Virtual Machine");
    assert_string(system, 7, "web1");
    assert_memory_equal(system + 8, "\x67\x45\x23\x01\xab\x89\xef\xcd\x10\x11\x12\x13\x14\x15\x16\x17", 16);
    assert_string(board, 4, "Loam");
    assert_int_equal(get(board + 11, 2), get(chassis + 2, 2));
    assert_string(chassis, 4, "Loam");
    assert_null(find(0, 0)); /* the firmware's */
    assert_non_null(find(32, 0));
    assert_ptr_equal(next(find(127, 0)), tables.tables + tables.length);
}

static void no_serial(void **state)
{
    struct smbios_configuration configuration = ordinary;

    (void)state;
    configuration.serial = NULL;
    build(&configuration);
    assert_int_equal(find(1, 0)[7], 0);
    configuration.serial = "";
    build(&configuration);
    assert_int_equal(find(1, 0)[7], 0);
}

static void processors(void **state)
{
    static const unsigned counts[] = {1, 8, 255};
    struct smbios_configuration configuration = ordinary;
    char name[16];

    (void)state;
    for (unsigned i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        configuration.processors = counts[i];
        build(&configuration);
        for (unsigned j = 0; j < counts[i]; j++) {
            snprintf(name, sizeof name, "CPU %u", j);
            assert_string(find(4, j), 4, name);
            assert_int_equal(find(4, j)[24], 0x41);
        }
        assert_null(find(4, counts[i]));
    }
}

/* Sum of what the modules and the ranges say, in MiB. */
static void check_memory(uint64_t below, uint64_t above, unsigned modules)
{
    struct smbios_configuration configuration = ordinary;
    uint64_t of_modules = 0, of_ranges = 0;
    const uint8_t *array;

    configuration.memory_below_4g = below;
    configuration.memory_above_4g = above;
    build(&configuration);
    array = find(16, 0);
    assert_int_equal(get(array + 7, 4), (below + above) >> 10);
    assert_int_equal(get(array + 13, 2), modules);
    for (unsigned i = 0; i < modules; i++) {
        const uint8_t *module = find(17, i);

        assert_int_equal(get(module + 4, 2), get(array + 2, 2));
        assert_in_range(get(module + 12, 2), 1, 0x7ffe); /* MiB */
        of_modules += get(module + 12, 2);
    }
    assert_null(find(17, modules));
    assert_int_equal(of_modules, (below + above) / MIB);
    for (unsigned i = 0; find(19, i); i++) {
        assert_int_equal(get(find(19, i) + 12, 2), get(array + 2, 2));
        of_ranges += get(find(19, i) + 8, 4) - get(find(19, i) + 4, 4) + 1;
    }
    assert_int_equal(of_ranges, (below + above) >> 10);
    assert_int_equal(get(find(19, 0) + 4, 4), 0);
    if (above)
        assert_int_equal(get(find(19, 1) + 4, 4), 4 * GIB >> 10);
    else
        assert_null(find(19, 1));
}

static void memory(void **state)
{
    (void)state;
    check_memory(4 * MIB, 0, 1);
    check_memory(256 * MIB, 0, 1);
    check_memory(0xe0000000, 0, 1);
    check_memory(0xe0000000, MIB, 1);
    check_memory(0xe0000000, 16 * GIB - 0xe0000000, 1);
    check_memory(0xe0000000, 16 * GIB - 0xe0000000 + MIB, 2);
    check_memory(0xe0000000, 1024 * GIB - 0xe0000000, 64);
}

static void handles_are_unique(void **state)
{
    struct smbios_configuration configuration = ordinary;

    (void)state;
    configuration.processors = 255;
    configuration.memory_below_4g = 0xe0000000;
    configuration.memory_above_4g = 1024 * GIB - 0xe0000000;
    build(&configuration);
    assert_in_range(tables.length, 1, SMBIOS_MAXIMUM_LENGTH);
    for (const uint8_t *a = tables.tables; a < tables.tables + tables.length; a = next(a))
        for (const uint8_t *b = next(a); b < tables.tables + tables.length; b = next(b))
            assert_int_not_equal(get(a + 2, 2), get(b + 2, 2));
}

static void limits(void **state)
{
    static const char too_long[] = "0123456789012345678901234567890123456789012345678901234567890123+";
    static const struct {
        unsigned processors;
        uint64_t below, above;
        const char *serial;
    } table[] = {
        {0,   MIB,           0,                             NULL    },
        {256, MIB,           0,                             NULL    },
        {1,   0,             0,                             NULL    },
        {1,   MIB + 1,       0,                             NULL    },
        {1,   MIB,           4096,                          NULL    },
        {1,   4 * GIB + MIB, 0,                             NULL    },
        {1,   0xe0000000,    1024 * GIB - 0xe0000000 + MIB, NULL    },
        {1,   0xe0000000,    UINT64_MAX & ~(MIB - 1),       NULL    },
        {1,   MIB,           0,                             "a\nb"  },
        {1,   MIB,           0,                             "\x80"  },
        {1,   MIB,           0,                             too_long},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof table / sizeof table[0]; i++) {
        const struct smbios_configuration configuration = {
            .processors = table[i].processors,
            .memory_below_4g = table[i].below,
            .memory_above_4g = table[i].above,
            .serial = table[i].serial,
        };

        assert_false(smbios_tables_build(&tables, &configuration));
    }
}

/* Writes what dmidecode takes: the entry point, and at 20h the tables, to which it points. */
static void write_dump(const char *path)
{
    uint8_t anchor[32] = {0};
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    memcpy(anchor, tables.anchor, sizeof tables.anchor);
    anchor[24] = 0x20;
    anchor[21] -= 0x20;
    assert_int_equal(fwrite(anchor, 1, sizeof anchor, file), sizeof anchor);
    assert_int_equal(fwrite(tables.tables, 1, tables.length, file), tables.length);
    assert_int_equal(fclose(file), 0);
}

static void an_independent_reader_understands_them(void **state)
{
    static const char *const lines[] = {
        "SMBIOS 2.8 present.",
        "Manufacturer: Loam",
        "Product Name: Virtual Machine",
        "Serial Number: web1",
        "UUID: 01234567-89ab-cdef-1011-121314151617",
        "Socket Designation: CPU 1",
        "Status: Populated, Enabled",
        "Maximum Capacity: 40 GB",
        "Number Of Devices: 3",
        "Size: 16 GB",
        "Size: 8 GB",
        "Locator: DIMM 2",
        "Starting Address: 0x00100000000",
        "Range Size: 3584 MB",
        "Status: No errors detected",
        "End Of Table",
    };
    char directory[] = P_tmpdir "/smbios_tables_test.XXXXXX";
    struct smbios_configuration configuration = ordinary;
    static char text[1 << 16];
    char path[64], command[192];
    FILE *pipe;

    (void)state;
    configuration.memory_below_4g = 0xe0000000;
    configuration.memory_above_4g = 40 * GIB - 0xe0000000;
    build(&configuration);
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/dump", directory);
    write_dump(path);
    snprintf(command, sizeof command, "PATH=$PATH:/usr/sbin dmidecode --from-dump %s 2>&1", path);
    pipe = popen(command, "r");
    assert_non_null(pipe);
    text[fread(text, 1, sizeof text - 1, pipe)] = '\0';
    assert_int_equal(pclose(pipe), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(directory), 0);
    for (unsigned i = 0; i < sizeof lines / sizeof lines[0]; i++)
        if (!strstr(text, lines[i]))
            fail_msg("\"%s\" is missing in:\n%s", lines[i], text);
    assert_null(strstr(text, "OUT OF SPEC"));
    assert_null(strstr(text, "Wrong"));
    assert_null(strstr(text, "TRUNCATED"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entry_point), cmocka_unit_test(system_board_and_chassis),
        cmocka_unit_test(no_serial),   cmocka_unit_test(processors),
        cmocka_unit_test(memory),      cmocka_unit_test(handles_are_unique),
        cmocka_unit_test(limits),      cmocka_unit_test(an_independent_reader_understands_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
