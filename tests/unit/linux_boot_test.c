/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Starting Linux: synthetic kernels, good and bad. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "hv/registers.h"
#include "partitions/root/worker/linux_boot.h"

#define MIB            (1ull << 20)
#define MEMORY         (64 * MIB)
#define SETUP_SECTORS  4
#define PAYLOAD_OFFSET ((SETUP_SECTORS + 1) * 512)
#define PAYLOAD_SIZE   0x8000
#define BOOT_PARAMS    0x10000

static struct {
    uint8_t kernel[PAYLOAD_OFFSET + PAYLOAD_SIZE];
    size_t kernel_size;
    uint8_t *host;
    struct guest_memory memory;
    struct linux_boot boot;
    struct linux_entry entry;
    char error[LINUX_BOOT_ERROR_SIZE];
} test;

static void put(unsigned offset, unsigned size, uint64_t value)
{
    memcpy(test.kernel + offset, &value, size);
}

static uint64_t get(uint64_t gpa, unsigned size)
{
    uint64_t value = 0;

    assert_true(guest_memory_read(&test.memory, gpa, &value, size));
    return value;
}

/* A relocatable 64-bit kernel of protocol 2.15. */
static void make_kernel(void)
{
    memset(test.kernel, 0, sizeof test.kernel);
    for (unsigned i = 0; i < PAYLOAD_SIZE; i++)
        test.kernel[PAYLOAD_OFFSET + i] = (uint8_t)(i * 7 + i / 256);
    put(0x1F1, 1, SETUP_SECTORS);
    put(0x1F4, 4, PAYLOAD_SIZE / 16);
    put(0x1FA, 2, 0xFFFF);
    put(0x1FE, 2, 0xAA55);
    put(0x200, 2, 0x6CEB); /* jump: the header ends at 26Eh */
    memcpy(test.kernel + 0x202, "HdrS", 4);
    put(0x206, 2, 0x020F);
    put(0x211, 1, 1);
    put(0x214, 4, 0x100000);
    put(0x22C, 4, 0x7FFFFFFF);
    put(0x230, 4, 2 * MIB);
    put(0x234, 1, 1);
    put(0x236, 2, 0x3F);
    put(0x238, 4, 2047);
    put(0x258, 8, 16 * MIB);
    put(0x260, 4, 8 * MIB);
    put(0x270, 8, 0xCCCCCCCCCCCCCCCC); /* code */
    test.kernel_size = sizeof test.kernel;
}

static int file_of(const void *bytes, size_t size)
{
    int descriptor = memfd_create("test", MFD_CLOEXEC);

    assert_true(descriptor >= 0);
    assert_int_equal(write(descriptor, bytes, size), size);
    return descriptor;
}

static void set_memory(uint64_t size)
{
    test.memory = (struct guest_memory){0};
    guest_memory_add(&test.memory, 0, 0xA0000, test.host);
    guest_memory_add(&test.memory, 0xC0000, size - 0xC0000, test.host + 0xC0000);
    test.boot.below_4g = size;
}

static int set_up(void **state)
{
    (void)state;
    memset(&test, 0, sizeof test);
    test.host = calloc(1, MEMORY);
    assert_non_null(test.host);
    set_memory(MEMORY);
    test.boot.initrd = -1;
    test.boot.kernel_name = "vmlinuz";
    test.boot.initrd_name = "initrd";
    test.boot.command_line = "console=ttyS0";
    test.boot.memory = &test.memory;
    test.boot.acpi_tables = 0xE0000;
    test.boot.acpi_length = 0x1234;
    make_kernel();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(test.host);
    if (test.boot.initrd >= 0)
        close(test.boot.initrd);
    return 0;
}

static bool load(void)
{
    bool ok;

    test.boot.kernel = file_of(test.kernel, test.kernel_size);
    ok = linux_boot_load(&test.boot, &test.entry, test.error);
    close(test.boot.kernel);
    return ok;
}

static void assert_refused(const char *error)
{
    assert_false(load());
    assert_string_equal(test.error, error);
}

static void test_64_bit_kernel(void **state)
{
    char command_line[32];

    (void)state;
    assert_true(load());
    assert_true(test.entry.long_mode);
    assert_int_equal(test.entry.rip, 16 * MIB + 0x200);
    assert_memory_equal(test.host + 16 * MIB, test.kernel + PAYLOAD_OFFSET, PAYLOAD_SIZE);
    assert_memory_equal(test.host + BOOT_PARAMS + 0x1F1, test.kernel + 0x1F1, 0x1FE - 0x1F1);
    assert_int_equal(get(BOOT_PARAMS + 0x202, 4), 0x53726448);
    assert_int_equal(get(BOOT_PARAMS + 0x210, 1), 0xFF);
    assert_int_equal(get(BOOT_PARAMS + 0x214, 4), 16 * MIB);
    assert_int_equal(get(BOOT_PARAMS + 0x218, 8), 0); /* no initrd */
    assert_int_equal(get(BOOT_PARAMS + 0x070, 8), 0xE0000);
    assert_int_equal(get(BOOT_PARAMS + 0x1EF, 1), 0); /* the sentinel */
    assert_true(guest_memory_read(&test.memory, get(BOOT_PARAMS + 0x228, 4), command_line, 14));
    assert_string_equal(command_line, "console=ttyS0");
    /* What lies behind the header is code, which is not copied. */
    assert_int_equal(get(BOOT_PARAMS + 0x270, 8), 0);
}

static void assert_e820(unsigned index, uint64_t begin, uint64_t end, unsigned type)
{
    uint64_t entry = BOOT_PARAMS + 0x2D0 + index * 20;

    assert_int_equal(get(entry, 8), begin);
    assert_int_equal(get(entry + 8, 8), end - begin);
    assert_int_equal(get(entry + 16, 4), type);
}

static void test_memory_map(void **state)
{
    (void)state;
    test.boot.above_4g = 3 * MIB;
    assert_true(load());
    assert_int_equal(get(BOOT_PARAMS + 0x1E8, 1), 6);
    assert_e820(0, 0, 0x9FC00, 1);
    assert_e820(1, 0x9FC00, 0xA0000, 2);
    assert_e820(2, 0xE0000, 0xE2000, 4);
    assert_e820(3, 0xF0000, 0x100000, 2);
    assert_e820(4, 0x100000, MEMORY, 1);
    assert_e820(5, 1ull << 32, (1ull << 32) + 3 * MIB, 1);
    test.boot.above_4g = 0;
    assert_true(load());
    assert_int_equal(get(BOOT_PARAMS + 0x1E8, 1), 5);
}

static void test_page_tables_are_identity(void **state)
{
    (void)state;
    assert_true(load());
    for (uint64_t address = 0; address < 4ull << 30; address += 511 * 2 * MIB) {
        uint64_t table = 0x2000;

        table = get(table + (address >> 39 & 511) * 8, 8);
        assert_int_equal(table & 0xFFF, 3);
        table = get((table & ~0xFFFull) + (address >> 30 & 511) * 8, 8);
        assert_int_equal(table & 0xFFF, 3);
        table = get((table & ~0xFFFull) + (address >> 21 & 511) * 8, 8);
        assert_int_equal(table, (address & ~(2 * MIB - 1)) | 0x83);
    }
}

static void test_32_bit_entry(void **state)
{
    (void)state;
    put(0x236, 2, 0);
    assert_true(load());
    assert_false(test.entry.long_mode);
    assert_int_equal(test.entry.rip, 16 * MIB);

    /* 2.06: loaded at 1 MiB, and the fields that came later are not looked at */
    put(0x206, 2, 0x0206);
    put(0x236, 2, 0x3F);
    assert_true(load());
    assert_false(test.entry.long_mode);
    assert_int_equal(test.entry.rip, MIB);
    assert_memory_equal(test.host + MIB, test.kernel + PAYLOAD_OFFSET, PAYLOAD_SIZE);
}

static void test_entry_registers(void **state)
{
    struct hv_register_assoc registers[LINUX_ENTRY_REGISTERS];

    (void)state;
    for (unsigned long_mode = 0; long_mode < 2; long_mode++) {
        const struct linux_entry entry = {.long_mode = long_mode, .rip = 0x1000200};
        size_t count = linux_entry_registers(&entry, registers);
        unsigned seen = 0;

        assert_int_equal(registers[count - 1].name, HV_X64_REGISTER_CR0);
        for (size_t i = 0; i < count; i++) {
            struct hv_x64_segment_register segment;

            memcpy(&segment, &registers[i].value, sizeof segment);
            switch (registers[i].name) {
            case HV_X64_REGISTER_RIP:
                assert_int_equal(registers[i].value.low, 0x1000200);
                break;
            case HV_X64_REGISTER_RSI:
                assert_int_equal(registers[i].value.low, BOOT_PARAMS);
                break;
            case HV_X64_REGISTER_CS:
                assert_int_equal(segment.selector, 0x10);
                assert_int_equal(segment.attributes, long_mode ? 0xA09B : 0xC09B);
                break;
            case HV_X64_REGISTER_SS:
                assert_int_equal(segment.selector, 0x18);
                assert_int_equal(segment.attributes, 0xC093);
                break;
            case HV_X64_REGISTER_CR0:
                assert_int_equal(registers[i].value.low, long_mode ? 0x80000031 : 0x31);
                break;
            case HV_X64_REGISTER_CR4:
                assert_int_equal(registers[i].value.low, long_mode ? 0x20 : 0);
                break;
            case HV_X64_REGISTER_EFER:
                assert_int_equal(registers[i].value.low, long_mode ? 0x500 : 0);
                break;
            case HV_X64_REGISTER_CR3:
                assert_int_equal(registers[i].value.low, long_mode ? 0x2000 : 0);
                break;
            default:
                continue;
            }
            seen++;
        }
        assert_int_equal(seen, 8);
    }
}

static void test_initrd(void **state)
{
    uint8_t initrd[5000];
    uint64_t address;

    (void)state;
    memset(initrd, 0x5C, sizeof initrd);
    test.boot.initrd = file_of(initrd, sizeof initrd);
    assert_true(load());
    address = get(BOOT_PARAMS + 0x218, 4);
    assert_int_equal(address, MEMORY - 0x2000); /* as high as it goes, on a page */
    assert_int_equal(get(BOOT_PARAMS + 0x21C, 4), sizeof initrd);
    assert_memory_equal(test.host + address, initrd, sizeof initrd);
    put(0x22C, 4, 32 * MIB - 1); /* the kernel's limit */
    assert_true(load());
    assert_int_equal(get(BOOT_PARAMS + 0x218, 4), 32 * MIB - 0x2000);
}

static void test_initrd_does_not_fit(void **state)
{
    (void)state;
    test.boot.initrd = memfd_create("initrd", MFD_CLOEXEC);
    assert_int_equal(ftruncate(test.boot.initrd, 41 * MIB), 0);
    assert_refused(
        "initrd: does not fit: 42991616 bytes, and behind the kernel there are 41943040; give the virtual "
        "machine more memory");
    assert_int_equal(ftruncate(test.boot.initrd, 1ll << 40), 0);
    assert_false(load());
    assert_int_equal(ftruncate(test.boot.initrd, 40 * MIB), 0);
    assert_true(load());
}

static void test_little_memory(void **state)
{
    (void)state;
    set_memory(20 * MIB);
    assert_true(load());
    assert_int_equal(test.entry.rip, 2 * MIB + 0x200); /* the lowest place that is aligned */
    set_memory(10 * MIB - 1);
    assert_refused("vmlinuz: needs 10 MiB of memory to start, the virtual machine has 9");
    set_memory(20 * MIB);
    put(0x234, 1, 0);
    assert_refused("vmlinuz: needs 24 MiB of memory to start, the virtual machine has 20");
}

static void test_what_is_no_kernel(void **state)
{
    const struct {
        const char *begin;
        const char *error;
    } files[] = {
        {"\177ELF",  "vmlinuz: is an ELF file (vmlinux?), not a Linux kernel (bzImage)"     },
        {"conectix", "vmlinuz: is a VHD, not a Linux kernel (bzImage)"                      },
        {"070701",   "vmlinuz: is a cpio archive (an initrd?), not a Linux kernel (bzImage)"},
        {"hello",    "vmlinuz: is not a Linux kernel (bzImage)"                             },
    };

    (void)state;
    for (unsigned i = 0; i < sizeof files / sizeof files[0]; i++) {
        memset(test.kernel, 0, sizeof test.kernel);
        memcpy(test.kernel, files[i].begin, strlen(files[i].begin));
        assert_refused(files[i].error);
    }
    test.kernel_size = 0;
    assert_refused("vmlinuz: is not a Linux kernel (bzImage)");
    test.kernel_size = 600;
    make_kernel();
    test.kernel_size = 600; /* ends within the header */
    assert_refused("vmlinuz: is not a Linux kernel (bzImage)");
}

static void test_bad_headers(void **state)
{
    const struct {
        unsigned offset, size;
        uint64_t value;
        const char *error;
    } cases[] = {
        {0x206, 2, 0x0205,                "vmlinuz: boot protocol 2.05 is too old; 2.06 (Linux 2.6.22) is needed" },
        {0x211, 1, 0,                     "vmlinuz: is a zImage, which loads below 1 MiB; a bzImage is needed"    },
        {0x1F1, 1, 255,                   "vmlinuz: is cut off: 35328 of 163840 bytes"                            },
        {0x1F4, 4, PAYLOAD_SIZE / 16 + 1, "vmlinuz: is cut off: 35328 of 35344 bytes"                             },
        {0x1F4, 4, 0xFFFFFFFF,            "vmlinuz: is cut off: 35328 of 68719479280 bytes"                       },
        {0x1F4, 4, 0,                     "vmlinuz: is cut off: 35328 of 2560 bytes"                              },
        {0x258, 8, 0x1000,                "vmlinuz: is damaged: wants to be loaded at 0x1000"                     },
        {0x238, 4, 5,                     "vmlinuz: takes a command line of at most 5 characters; this one has 13"},
        {0x260, 4, 0xFFFFFFFF,            "vmlinuz: needs 4098 MiB of memory to start, the virtual machine has 64"},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        make_kernel();
        put(cases[i].offset, cases[i].size, cases[i].value);
        assert_refused(cases[i].error);
    }
    /* A preferred address that is out of reach is only a preference. */
    make_kernel();
    put(0x258, 8, UINT64_MAX);
    assert_true(load());
    assert_int_equal(test.entry.rip, 2 * MIB + 0x200);
    put(0x230, 4, 3 * MIB); /* no power of two: it cannot be moved then */
    assert_false(load());
}

static void test_last_paragraph_may_be_short(void **state)
{
    (void)state;
    test.kernel_size -= 15;
    assert_true(load());
    test.kernel_size -= 1;
    assert_false(load());
}

static void test_long_command_line(void **state)
{
    static char line[70000];

    (void)state;
    memset(line, 'x', 65535);
    test.boot.command_line = line;
    put(0x238, 4, 0xFFFFFFFF);
    assert_true(load());
    line[65535] = 'x';
    assert_false(load());
}

static void expect_command_line(const char *expected)
{
    char line[128] = "";

    assert_true(load());
    assert_true(guest_memory_read(&test.memory, get(BOOT_PARAMS + 0x228, 4), line, sizeof line - 1));
    assert_string_equal(line, expected);
}

static void test_clock(void **state)
{
    (void)state;
    test.boot.tsc_frequency = 2445430499;
    expect_command_line("tsc_early_khz=2445430 console=ttyS0");
    test.boot.tsc_frequency++;
    expect_command_line("tsc_early_khz=2445431 console=ttyS0");
    test.boot.command_line = "";
    expect_command_line("tsc_early_khz=2445431 ");
    /* The user knows better. */
    test.boot.command_line = "tsc_early_khz=5 quiet";
    expect_command_line("tsc_early_khz=5 quiet");
    test.boot.command_line = "quiet tsc_early_khz=5";
    expect_command_line("quiet tsc_early_khz=5");
    /* The same letters in something else are not it. */
    test.boot.command_line = "a.tsc_early_khz=1 b=tsc_early_khz=1";
    expect_command_line("tsc_early_khz=2445431 a.tsc_early_khz=1 b=tsc_early_khz=1");
    /* No room for both: the user's own. */
    test.boot.command_line = "console=ttyS0";
    put(0x238, 4, 34);
    expect_command_line("console=ttyS0");
    put(0x238, 4, 35);
    expect_command_line("tsc_early_khz=2445431 console=ttyS0");
    test.boot.tsc_frequency = 0;
    expect_command_line("console=ttyS0");
}

static void test_not_regular_files(void **state)
{
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    test.boot.kernel = ends[0];
    assert_false(linux_boot_load(&test.boot, &test.entry, test.error));
    assert_string_equal(test.error, "vmlinuz: is not a regular file");
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_64_bit_kernel, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_memory_map, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_page_tables_are_identity, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_32_bit_entry, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_entry_registers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_initrd, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_initrd_does_not_fit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_little_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_no_kernel, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bad_headers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_last_paragraph_may_be_short, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long_command_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_clock, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_not_regular_files, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
