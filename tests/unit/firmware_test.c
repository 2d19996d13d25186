/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "partitions/root/worker/firmware.h"
#include "partitions/root/worker/firmware/netboot.h"
#include "tests/unit/device_fixture.h"

#define MIB (1ull << 20)

static struct device_fixture fixture;
static struct guest_memory memory;
static struct fw_cfg fw_cfg;
static struct firmware firmware;
static char error[FIRMWARE_ERROR_SIZE];

static uint8_t rom[] = {0x55, 0xaa, 1};
static uint8_t kernel[] = "kernel";

static const struct firmware_configuration ordinary = {
    .processors = 4,
    .memory_below_4g = 0xe0000000,
    .memory_above_4g = 512 * MIB,
    .uuid = {0,  1,  2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    .boot_order = {{FIRMWARE_BOOT_FLOPPY, 0, 0},
             {FIRMWARE_BOOT_IDE, 1, 0},
             {FIRMWARE_BOOT_IDE, 0, 1},
             {FIRMWARE_BOOT_NETWORK, 0, 0},
             {FIRMWARE_BOOT_FLOPPY, 0, 1}},
    .boot_devices = 5,
    .boot_menu = true,
    .boot_menu_wait = 3000,
    .vga = {rom, sizeof rom },
    .network = {kernel, sizeof kernel},
};

static int setup(void **state)
{
    (void)state;
    fixture_initialize(&fixture);
    memset(&memory, 0, sizeof memory);
    assert_true(fw_cfg_initialize(&fw_cfg, &fixture.bus, &memory));
    strcpy(error, "no error");
    return 0;
}

/* ---- What firmware is told ---- */

static uint32_t read_big(unsigned bytes)
{
    uint32_t value = 0;

    while (bytes--)
        value = value << 8 | in8(&fixture, 0x511);
    return value;
}

/* As firmware does: looks in the directory and selects the file. Returns its size, 0 if there is none. */
static uint32_t select_file(const char *name)
{
    uint32_t count, size;
    uint16_t key;
    char found[56];

    out16(&fixture, 0x510, 0x19);
    count = read_big(4);
    for (uint32_t i = 0; i < count; i++) {
        size = read_big(4);
        key = (uint16_t)(read_big(4) >> 16);
        for (unsigned j = 0; j < sizeof found; j++)
            found[j] = (char)in8(&fixture, 0x511);
        if (strcmp(found, name) == 0) {
            out16(&fixture, 0x510, key);
            return size;
        }
    }
    return 0;
}

static uint64_t read_little(unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)in8(&fixture, 0x511) << (8 * i);
    return value;
}

static uint64_t item(uint16_t key, unsigned bytes)
{
    out16(&fixture, 0x510, key);
    return read_little(bytes);
}

static uint64_t number(const char *name)
{
    uint32_t size = select_file(name);

    assert_in_range(size, 1, 8);
    return read_little(size);
}

static void configure(const struct firmware_configuration *configuration)
{
    if (!firmware_configure(&firmware, &fw_cfg, configuration, error))
        fail_msg("%s", error);
}

static void legacy_items(void **state)
{
    (void)state;
    configure(&ordinary);
    assert_int_equal(item(0, 4), 0x554d4551); /* QEMU */
    assert_int_equal(item(2, 8), 0x0706050403020100);
    assert_int_equal(item(3, 8), 0xe0000000);
    assert_int_equal(item(4, 2), 0); /* there is a screen */
    assert_int_equal(item(5, 2), 4);
    assert_int_equal(item(0x0f, 2), 4);
    assert_int_equal(item(0x0d, 8), 0); /* no NUMA */
    assert_int_equal(item(0x0e, 2), 1);
    assert_int_equal(item(0x8000, 2), 0); /* no other ACPI and SMBIOS tables */
    assert_int_equal(item(0x8001, 2), 0);
    assert_int_equal(item(0x8002, 1), 1);
    assert_int_equal(number("etc/boot-menu-wait"), 3000);
    assert_int_equal(number("etc/boot-fail-wait"), 0xffffffff);
}

static void boot_order(void **state)
{
    static const char expected[] = "/pci@i0cf8/isa@7/fdc@03f0/floppy@0\n"
                                   "/pci@i0cf8/ide@7,1/drive@1/disk@0\n"
                                   "/pci@i0cf8/ide@7,1/drive@0/disk@1\n"
                                   "/rom@genroms/netboot.rom\n"
                                   "/pci@i0cf8/isa@7/fdc@03f0/floppy@1";

    (void)state;
    configure(&ordinary);
    assert_int_equal(select_file("bootorder"), strlen(expected));
    for (size_t i = 0; i < strlen(expected); i++)
        assert_int_equal(in8(&fixture, 0x511), expected[i]);
}

static void memory_map(void **state)
{
    struct firmware_configuration small = ordinary;

    (void)state;
    configure(&ordinary);
    assert_int_equal(select_file("etc/e820"), 40);
    assert_int_equal(read_little(8), 0);
    assert_int_equal(read_little(8), 0xe0000000);
    assert_int_equal(read_little(4), 1);
    assert_int_equal(read_little(8), 0x100000000);
    assert_int_equal(read_little(8), 512 * MIB);
    assert_int_equal(read_little(4), 1);

    setup(NULL);
    small.memory_below_4g = 4 * MIB;
    small.memory_above_4g = 0;
    configure(&small);
    assert_int_equal(select_file("etc/e820"), 20);
    assert_int_equal(read_little(8), 0);
    assert_int_equal(read_little(8), 4 * MIB);
}

static void roms_and_tables(void **state)
{
    struct firmware_configuration bare = ordinary;

    (void)state;
    configure(&ordinary);
    assert_int_equal(select_file("pci1234,1111.rom"), 3);
    assert_int_equal(read_little(3), 0x01aa55);
    assert_int_equal(select_file("opt/loam/netboot"), sizeof kernel);
    assert_int_equal(read_little(3), 0x72656b);
    assert_int_equal(select_file("genroms/netboot.rom"), netboot_rom_length);
    assert_int_equal(read_little(2), 0xaa55);
    assert_int_equal(select_file("etc/acpi/rsdp"), 36);
    assert_int_equal(read_little(8), 0x2052545020445352); /* RSD PTR */
    assert_in_range(select_file("etc/acpi/tables"), 1000, 0x3000);
    assert_int_equal(select_file("etc/table-loader") % 128, 0);
    assert_int_equal(read_little(4), 1); /* allocates */
    assert_int_equal(select_file("etc/smbios/smbios-anchor"), 31);
    assert_int_equal(read_little(4), 0x5f4d535f); /* _SM_ */
    assert_in_range(select_file("etc/smbios/smbios-tables"), 100, 0x7fff);

    setup(NULL);
    bare.vga.length = 0;
    bare.network.length = 0;
    bare.boot_devices = 0;
    configure(&bare);
    assert_int_equal(select_file("pci1234,1111.rom"), 0);
    assert_int_equal(select_file("opt/loam/netboot"), 0);
    assert_int_equal(select_file("genroms/netboot.rom"), 0);
    assert_int_equal(select_file("bootorder"), 0);
    assert_int_equal(select_file("etc/table-loader") % 128, 0);
}

static void limits(void **state)
{
    static const struct firmware_boot_device impossible[] = {
        {FIRMWARE_BOOT_FLOPPY,        0, 2},
        {FIRMWARE_BOOT_IDE,           2, 0},
        {FIRMWARE_BOOT_IDE,           0, 2},
        {(enum firmware_boot_kind)77, 0, 0},
    };
    struct firmware_configuration configuration = ordinary;

    (void)state;
    configuration.processors = 256;
    assert_false(firmware_configure(&firmware, &fw_cfg, &configuration, error));
    assert_non_null(strstr(error, "256 processors"));
    configuration = ordinary;
    configuration.memory_below_4g = 12345;
    assert_false(firmware_configure(&firmware, &fw_cfg, &configuration, error));
    for (unsigned i = 0; i < sizeof impossible / sizeof impossible[0]; i++) {
        configuration = ordinary;
        configuration.boot_order[4] = impossible[i];
        assert_false(firmware_configure(&firmware, &fw_cfg, &configuration, error));
        assert_non_null(strstr(error, "boot order"));
    }
    configuration = ordinary;
    configuration.boot_devices = FIRMWARE_BOOT_DEVICES + 1;
    assert_false(firmware_configure(&firmware, &fw_cfg, &configuration, error));
    /* The longest order, with the most processors and memory. */
    configuration = ordinary;
    configuration.processors = 255;
    configuration.memory_above_4g = (1ull << 40) - configuration.memory_below_4g;
    configuration.boot_devices = FIRMWARE_BOOT_DEVICES;
    configuration.boot_order[5] = configuration.boot_order[6] = configuration.boot_order[1];
    configure(&configuration);
    assert_int_equal(item(5, 2), 255);
    assert_in_range(select_file("bootorder"), 1, FIRMWARE_BOOT_ORDER_SIZE - 1);
    assert_false(firmware_configure(&firmware, &fw_cfg, &configuration, error)); /* twice */
}

static void cmos(void **state)
{
    struct firmware_configuration configuration = ordinary;
    struct mc146818 rtc;

    (void)state;
    assert_true(mc146818_initialize(&rtc, &fixture.bus, &fixture.timers, fixture_line(&fixture, 8), 0));
    configuration.floppies[0] = MC146818_FLOPPY_1440K;
    configuration.disks[2] = 1 << 24;
    firmware_set_cmos(&rtc, &configuration);
    assert_int_equal(rtc.memory[0x10], 0x40);
    assert_int_equal(rtc.memory[0x39], 0x10);
    assert_int_equal(rtc.memory[0x5f], 3);
    assert_int_equal(rtc.memory[0x35] << 8 | rtc.memory[0x34], (0xe0000000 - 16 * MIB) >> 16);
    assert_int_equal(rtc.memory[0x5c] << 8 | rtc.memory[0x5b], 512 * MIB >> 16);
}

/* ---- The option ROM ---- */

static unsigned word(unsigned offset)
{
    assert_in_range(offset, 0, netboot_rom_length - 2);
    return netboot_rom[offset] | netboot_rom[offset + 1] << 8;
}

static uint8_t sum(const uint8_t *bytes, size_t count)
{
    uint8_t total = 0;

    while (count--)
        total += *bytes++;
    return total;
}

/* Plug and Play BIOS Specification 1.0A, 3.1 and 3.2. */
static void the_option_rom_is_well_formed(void **state)
{
    unsigned pnp = word(0x1a);

    (void)state;
    assert_int_equal(word(0), 0xaa55);
    assert_int_equal(netboot_rom[2] * 512u, netboot_rom_length);
    assert_in_range(netboot_rom_length, 512, 2048);
    assert_int_equal(sum(netboot_rom, netboot_rom_length), 0);
    assert_int_equal(netboot_rom[3], 0xe9); /* the initialization vector: a jump to... */
    assert_int_equal(netboot_rom[(uint16_t)(word(4) + 6)], 0xb8);
    assert_int_equal(netboot_rom[(uint16_t)(word(4) + 6) + 3], 0xcb); /* ...what returns */
    assert_int_equal(word(0x18), 0);
    assert_int_equal(pnp % 4, 0);
    assert_memory_equal(netboot_rom + pnp, "$PnP\x01\x02", 6);
    assert_int_equal(sum(netboot_rom + pnp, 32), 0);
    assert_int_equal(word(pnp + 6), 0);
    assert_string_equal((const char *)netboot_rom + word(pnp + 14), "Loam");
    assert_string_equal((const char *)netboot_rom + word(pnp + 16), "Network (iPXE)");
    assert_int_equal(netboot_rom[pnp + 18], 2); /* network controller */
    assert_int_equal(word(pnp + 22), 0);
    assert_in_range(word(pnp + 26), pnp + 32, netboot_rom_length - 1);
}

static void the_option_rom_looks_for_the_image(void **state)
{
    bool found = false;

    (void)state;
    for (size_t i = 0; i + sizeof NETBOOT_IMAGE_FILE <= netboot_rom_length; i++)
        found |= memcmp(netboot_rom + i, NETBOOT_IMAGE_FILE, sizeof NETBOOT_IMAGE_FILE) == 0;
    assert_true(found);
}

/* ---- Files ---- */

static char directory[] = P_tmpdir "/firmware_test.XXXXXX";
static char path[64];

static int make_directory(void **state)
{
    (void)state;
    strcpy(directory + strlen(directory) - 6, "XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    snprintf(path, sizeof path, "%s/file", directory);
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(directory);
}

static void write_file(const void *bytes, size_t length, size_t size)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(truncate(path, (off_t)size), 0);
}

static void assert_refused(enum firmware_file file, const char *reason)
{
    struct firmware_image image;

    assert_false(firmware_load(&image, file, path, error));
    assert_null(image.data);
    assert_int_equal(strncmp(error, path, strlen(path)), 0);
    if (!strstr(error, reason))
        fail_msg("\"%s\" does not say \"%s\"", error, reason);
    assert_null(strchr(error, '\n'));
}

static void bios_files(void **state)
{
    static const size_t wrong[] = {0, 1, 65535, 65537, (1 << 20) + 1, 17 << 16, 1 << 30};
    static const size_t right[] = {64 << 10, 128 << 10, 256 << 10, 1 << 20};
    struct firmware_image image;

    (void)state;
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        write_file("", 0, wrong[i]);
        assert_refused(FIRMWARE_BIOS, "is not a BIOS");
    }
    for (unsigned i = 0; i < sizeof right / sizeof right[0]; i++) {
        write_file("BIOS", 4, right[i]);
        assert_true(firmware_load(&image, FIRMWARE_BIOS, path, error));
        assert_int_equal(image.length, right[i]);
        assert_memory_equal(image.data, "BIOS", 4);
        firmware_unload(&image);
        assert_null(image.data);
    }
}

static void video_bios_files(void **state)
{
    uint8_t bytes[1024] = {0x55, 0xaa, 2, 1, 0xfe};
    struct firmware_image image;

    (void)state;
    bytes[1000] = (uint8_t)(0x100 - sum(bytes, sizeof bytes));
    write_file(bytes, sizeof bytes, 2048);
    assert_true(firmware_load(&image, FIRMWARE_VGA, path, error));
    firmware_unload(&image);
    write_file(bytes, sizeof bytes, 1023);
    assert_refused(FIRMWARE_VGA, "is not a video BIOS");
    write_file(bytes, sizeof bytes, 65537);
    assert_refused(FIRMWARE_VGA, "is not a video BIOS");
    bytes[1000]++;
    write_file(bytes, sizeof bytes, sizeof bytes);
    assert_refused(FIRMWARE_VGA, "is not a video BIOS");
    bytes[1000]--;
    bytes[2] = 0;
    write_file(bytes, sizeof bytes, sizeof bytes);
    assert_refused(FIRMWARE_VGA, "is not a video BIOS");
    bytes[0] = 0;
    write_file(bytes, sizeof bytes, sizeof bytes);
    assert_refused(FIRMWARE_VGA, "is not a video BIOS");
    write_file(bytes, 0, 0);
    assert_refused(FIRMWARE_VGA, "is not a video BIOS");
}

static void kernel_files(void **state)
{
    uint8_t bytes[1024] = {0};
    struct firmware_image image;

    (void)state;
    bytes[0x1f1] = 4;
    memcpy(bytes + 0x202, "HdrS", 4);
    bytes[0x211] = 1;
    write_file(bytes, sizeof bytes, 5 * 512 + 1);
    assert_true(firmware_load(&image, FIRMWARE_NETWORK, path, error));
    firmware_unload(&image);
    write_file(bytes, sizeof bytes, 5 * 512); /* setup alone */
    assert_refused(FIRMWARE_NETWORK, "is not a Linux kernel image");
    write_file(bytes, 1023, 1023);
    assert_refused(FIRMWARE_NETWORK, "is not a Linux kernel image");
    bytes[0x211] = 0; /* of old, loaded low */
    write_file(bytes, sizeof bytes, 4096);
    assert_refused(FIRMWARE_NETWORK, "is not a Linux kernel image");
    bytes[0x211] = 1;
    bytes[0x1f1] = 64; /* more than the option ROM has room for */
    write_file(bytes, sizeof bytes, 1 << 20);
    assert_refused(FIRMWARE_NETWORK, "is not a Linux kernel image");
}

static void missing_files_name_their_package(void **state)
{
    static const char *const packages[] = {"seabios", "seabios", "ipxe"};

    (void)state;
    for (unsigned i = 0; i < FIRMWARE_FILES; i++) {
        assert_refused((enum firmware_file)i, "is missing; install the package");
        assert_non_null(strstr(error, packages[i]));
    }
    assert_int_equal(mkdir(path, 0700), 0);
    assert_refused(FIRMWARE_BIOS, "is not a regular file");
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_refused(FIRMWARE_BIOS, "is not a regular file");
}

static void the_packages_files(void **state)
{
    (void)state;
    for (unsigned i = 0; i < FIRMWARE_FILES; i++) {
        struct firmware_image image;

        if (!firmware_load(&image, (enum firmware_file)i, NULL, error))
            fail_msg("%s", error);
        assert_true(image.length > 1024);
        firmware_unload(&image);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(legacy_items, setup),
        cmocka_unit_test_setup(boot_order, setup),
        cmocka_unit_test_setup(memory_map, setup),
        cmocka_unit_test_setup(roms_and_tables, setup),
        cmocka_unit_test_setup(limits, setup),
        cmocka_unit_test_setup(cmos, setup),
        cmocka_unit_test(the_option_rom_is_well_formed),
        cmocka_unit_test(the_option_rom_looks_for_the_image),
        cmocka_unit_test_setup_teardown(bios_files, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(video_bios_files, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(kernel_files, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(missing_files_name_their_package, make_directory, remove_directory),
        cmocka_unit_test(the_packages_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
