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
#include "partitions/root/worker/devices/acpi_tables.h"
#include "partitions/root/worker/devices/dsdt.h"
#include "partitions/root/worker/devices/platform.h"

#define GPA 0xe0000

static uint8_t memory[ACPI_TABLES_MAXIMUM_LENGTH];
static size_t length;
static const uint8_t *root; /* the RSDP */
static uint16_t boot_architecture;

static int setup(void **state)
{
    (void)state;
    memset(memory, 0xee, sizeof memory);
    length = acpi_tables_build(memory, sizeof memory, GPA, 4);
    assert_in_range(length, 1, sizeof memory);
    root = memory;
    boot_architecture = 0x0007;
    return 0;
}

static uint32_t get(const uint8_t *bytes, unsigned size)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < size; i++)
        value |= (uint32_t)bytes[i] << (8 * i);
    return value;
}

static uint8_t sum(const uint8_t *bytes, size_t count)
{
    uint8_t total = 0;

    while (count--)
        total += *bytes++;
    return total;
}

static struct acpi_table_files files;

/* Where the file lies after the loader's work in this test: tables at GPA, the RSDP in the 64 bytes before. */
static uint8_t *loaded(const char *name, uint32_t *address, size_t *size)
{
    static uint8_t rsdp[ACPI_TABLES_RSDP_LENGTH];

    if (strcmp(name, "etc/acpi/tables") == 0) {
        *address = GPA;
        *size = files.tables_length;
        return memory;
    }
    assert_string_equal(name, "etc/acpi/rsdp");
    *address = GPA - 64;
    *size = sizeof rsdp;
    return rsdp;
}

static void allocate(const uint8_t *command)
{
    uint32_t address, alignment = get(command + 60, 4);
    size_t size;
    uint8_t *to = loaded((const char *)command + 4, &address, &size);
    bool is_rsdp = to != memory;

    assert_int_equal(alignment, is_rsdp ? 16 : 64);
    assert_int_equal(command[64], is_rsdp ? 2 : 1);
    memcpy(to, is_rsdp ? files.rsdp : files.tables, size);
}

static void add_pointer(const uint8_t *command)
{
    uint32_t address, offset = get(command + 116, 4);
    unsigned bytes = command[120];
    uint64_t value = 0;
    size_t size, other_size;
    uint8_t *to = loaded((const char *)command + 4, &address, &size);

    loaded((const char *)command + 60, &address, &other_size);
    assert_true(bytes == 4 || bytes == 8);
    assert_in_range(offset, 0, size - bytes);
    memcpy(&value, to + offset, bytes);
    assert_in_range(value, 0, other_size - 1);
    value += address;
    memcpy(to + offset, &value, bytes);
}

static void add_checksum(const uint8_t *command)
{
    uint32_t address, offset = get(command + 60, 4), start = get(command + 64, 4), count = get(command + 68, 4);
    size_t size;
    uint8_t *to = loaded((const char *)command + 4, &address, &size);

    assert_in_range(start, 0, size);
    assert_in_range(count, 1, size - start);
    assert_in_range(offset, start, start + count - 1);
    to[offset] -= sum(to + start, count);
}

/* Does what firmware does. */
static void load_files(void)
{
    static void (*const commands[])(const uint8_t *) = {NULL, allocate, add_pointer, add_checksum};

    memset(memory, 0xee, sizeof memory);
    assert_int_equal(files.loader_length % 128, 0);
    for (size_t i = 0; i < files.loader_length; i += 128) {
        uint32_t number = get(files.loader + i, 4);

        assert_in_range(number, 1, 3);
        commands[number](files.loader + i);
    }
}

/* The same machine's tables as firmware builds them. */
static int setup_files(void **state)
{
    uint32_t address;
    size_t size;

    (void)state;
    assert_true(acpi_tables_build_files(&files, 4));
    load_files();
    root = loaded("etc/acpi/rsdp", &address, &size);
    length = files.tables_length;
    boot_architecture = 0x0003; /* a VGA is there */
    return 0;
}

/* The table of that signature at that address, checked. */
static const uint8_t *table_at(uint32_t gpa, const char *signature)
{
    const uint8_t *table = memory + (gpa - GPA);

    assert_in_range(gpa, GPA, GPA + length - 36);
    assert_memory_equal(table, signature, 4);
    assert_in_range(get(table + 4, 4), 36, GPA + length - gpa);
    if (strcmp(signature, "FACS") != 0)
        assert_int_equal(sum(table, get(table + 4, 4)), 0);
    return table;
}

/* Entry `index` of the XSDT, which the RSDT must have too. */
static const uint8_t *root_entry(unsigned index, const char *signature)
{
    const uint8_t *rsdt = table_at(get(root + 16, 4), "RSDT");
    const uint8_t *xsdt = table_at(get(root + 24, 4), "XSDT");

    assert_int_equal(get(rsdt + 4, 4), 36 + 3 * 4);
    assert_int_equal(get(xsdt + 4, 4), 36 + 3 * 8);
    assert_int_equal(get(xsdt + 36 + 8 * index + 4, 4), 0);
    assert_int_equal(get(rsdt + 36 + 4 * index, 4), get(xsdt + 36 + 8 * index, 4));
    return table_at(get(rsdt + 36 + 4 * index, 4), signature);
}

static void root_pointer(void **state)
{
    (void)state;
    assert_memory_equal(root, "RSD PTR ", 8);
    assert_int_equal(root[15], 2);
    assert_int_equal(get(root + 20, 4), 36);
    assert_int_equal(sum(root, 20), 0);
    assert_int_equal(sum(root, 36), 0);
    assert_int_equal(get(root + 28, 4), 0);
}

static void assert_port(const uint8_t *address, uint32_t port, unsigned bits)
{
    assert_int_equal(address[0], 1); /* system I/O */
    assert_int_equal(address[1], bits);
    assert_int_equal(get(address + 4, 4), port);
    assert_int_equal(get(address + 8, 4), 0);
}

static void fixed_description(void **state)
{
    const uint8_t *fadt = root_entry(0, "FACP");
    const uint8_t *facs = table_at(get(fadt + 36, 4), "FACS");

    (void)state;
    assert_int_equal(get(fadt + 4, 4), 244);
    assert_int_equal((facs - memory) % 64, 0);
    assert_int_equal(get(facs + 4, 4), 64);
    table_at(get(fadt + 40, 4), "DSDT");
    assert_int_equal(get(fadt + 132, 4), get(fadt + 36, 4));
    assert_int_equal(get(fadt + 140, 4), get(fadt + 40, 4));
    assert_int_equal(get(fadt + 46, 2), 9);
    assert_int_equal(get(fadt + 48, 4), 0xb2);
    assert_int_equal(fadt[52], PIIX4_ACPI_ENABLE);
    assert_int_equal(fadt[53], PIIX4_ACPI_DISABLE);
    assert_int_equal(get(fadt + 56, 4), PLATFORM_PM_BASE);
    assert_int_equal(get(fadt + 64, 4), PLATFORM_PM_BASE + 4);
    assert_int_equal(get(fadt + 76, 4), PLATFORM_PM_BASE + 8);
    assert_int_equal(get(fadt + 80, 4), PLATFORM_PM_BASE + 12);
    assert_memory_equal(fadt + 88, "\x04\x02\x00\x04\x04", 5); /* lengths */
    assert_int_equal(fadt[106], 0x0d);
    assert_int_equal(fadt[107], 0);
    assert_int_equal(fadt[108], 0x32);
    assert_int_equal(get(fadt + 109, 2), boot_architecture);
    assert_int_equal(get(fadt + 112, 4) & 0x110, 0); /* the power button is fixed, the timer has 24 bits */
    assert_int_equal(get(fadt + 112, 4) & 0x420, 0x420);
    assert_port(fadt + 116, 0xcf9, 8);
    assert_int_equal(fadt[128], 6);
    assert_port(fadt + 148, PLATFORM_PM_BASE, 32);
    assert_port(fadt + 172, PLATFORM_PM_BASE + 4, 16);
    assert_port(fadt + 208, PLATFORM_PM_BASE + 8, 32);
    assert_port(fadt + 220, PLATFORM_PM_BASE + 12, 32);
}

static void interrupt_controllers(void **state)
{
    const uint8_t *madt = root_entry(1, "APIC");
    const uint8_t *entry = madt + 44;

    (void)state;
    assert_int_equal(get(madt + 36, 4), 0xfee00000);
    assert_int_equal(get(madt + 40, 4), 1);
    for (unsigned i = 0; i < 4; i++, entry += 8)
        assert_memory_equal(entry, ((uint8_t[]){0, 8, (uint8_t)i, (uint8_t)i, 1, 0, 0, 0}), 8);
    assert_memory_equal(entry, "\x01\x0c\x00\x00\x00\x00\xc0\xfe\x00\x00\x00\x00", 12);
    assert_memory_equal(entry + 12, "\x02\x0a\x00\x00\x02\x00\x00\x00\x00\x00", 10);
    assert_memory_equal(entry + 22, "\x02\x0a\x00\x09\x09\x00\x00\x00\x0d\x00", 10);
    assert_memory_equal(entry + 32, "\x04\x06\xff\x00\x00\x01", 6);
    assert_ptr_equal(entry + 38, madt + get(madt + 4, 4));
}

static void event_timers(void **state)
{
    const uint8_t *hpet = root_entry(2, "HPET");

    (void)state;
    assert_int_equal(get(hpet + 4, 4), 56);
    assert_int_equal(get(hpet + 36, 4), 0x8086a201);
    assert_memory_equal(hpet + 40, "\x00\x00\x00\x00\x00\x00\xd0\xfe\x00\x00\x00\x00", 12);
    assert_int_equal(hpet[52], 0);
    assert_int_equal(get(hpet + 53, 2) * HPET_TICK, HPET_SHORTEST_PERIOD);
}

static void bounds(void **state)
{
    size_t greatest = acpi_tables_build(memory, sizeof memory, GPA, ACPI_TABLES_MAXIMUM_PROCESSORS);

    (void)state;
    assert_in_range(greatest, length, ACPI_TABLES_MAXIMUM_LENGTH);
    assert_int_equal(acpi_tables_build(memory, sizeof memory, GPA, 0), 0);
    assert_int_equal(acpi_tables_build(memory, sizeof memory, GPA, ACPI_TABLES_MAXIMUM_PROCESSORS + 1), 0);
    for (size_t size = 0; size < length; size++)
        assert_int_equal(acpi_tables_build(memory, size, GPA, 4), 0);
    assert_int_equal(acpi_tables_build(memory, length, GPA, 4), length);
}

static void bounds_of_files(void **state)
{
    (void)state;
    assert_false(acpi_tables_build_files(&files, 0));
    assert_false(acpi_tables_build_files(&files, ACPI_TABLES_MAXIMUM_PROCESSORS + 1));
    assert_true(acpi_tables_build_files(&files, ACPI_TABLES_MAXIMUM_PROCESSORS));
    assert_in_range(files.tables_length, length, ACPI_TABLES_MAXIMUM_LENGTH);
    length = files.tables_length;
    load_files();
    assert_int_equal(get(root_entry(1, "APIC") + 4, 4), 44 + 255 * 8 + 38);
}

/*
 * The independent reader: disassembles a table into text, which the caller frees. ACPICA complains on its
 * output about what it does not like.
 */
static char *disassemble(const uint8_t *table, size_t size)
{
    char directory[] = P_tmpdir "/acpi_tables_test.XXXXXX";
    char path[64], command[256];
    char *text = calloc(1, 1 << 20);
    FILE *file;

    assert_non_null(text);
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/table.dat", directory);
    file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(table, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    snprintf(command, sizeof command,
             "iasl -p %s/table -d %s > %s/log 2>&1 && ! grep -iE 'error|warning|invalid' %s/log", directory,
             path, directory, directory);
    assert_int_equal(system(command), 0);
    snprintf(path, sizeof path, "%s/table.dsl", directory);
    file = fopen(path, "rb");
    assert_non_null(file);
    assert_in_range(fread(text, 1, (1 << 20) - 1, file), 1, (1 << 20) - 2);
    assert_int_equal(fclose(file), 0);
    snprintf(command, sizeof command, "rm -r %s", directory);
    assert_int_equal(system(command), 0);
    return text;
}

static void an_independent_reader_accepts_them(void **state)
{
    const uint8_t *fadt = root_entry(0, "FACP");
    const uint8_t *tables[] = {fadt, root_entry(1, "APIC"), root_entry(2, "HPET"),
                               table_at(get(fadt + 36, 4), "FACS"), table_at(get(root + 24, 4), "XSDT")};

    (void)state;
    for (unsigned i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        char *text = disassemble(tables[i], get(tables[i] + 4, 4));

        assert_null(strstr(text, "Incorrect checksum"));
        assert_null(strstr(text, "Unknown"));
        free(text);
    }
}

/* The text between the definition of `name` and the next one must show `value`, as ACPICA writes words. */
static void assert_shows(const char *text, const char *name, uint32_t value, unsigned digits)
{
    char number[16];
    const char *device = strstr(text, name);

    snprintf(number, sizeof number, "0x%0*X", (int)digits, (unsigned)value);
    assert_non_null(device);
    assert_non_null(strstr(device, number));
}

/* The device, up to the next one, has this identifier and just these ports. */
static void assert_device(const char *text, const char *name, const char *identifier, const uint16_t *ports,
                          unsigned count)
{
    const char *device = strstr(text, name);
    const char *end, *at;
    char line[64];

    assert_non_null(device);
    end = strstr(device + 1, "Device (");
    assert_non_null(end);
    snprintf(line, sizeof line, "EisaId (\"%s\")", identifier);
    at = strstr(device, line);
    assert_true(at && at < end);
    for (unsigned i = 0; i < count; i++) {
        at = strstr(at, "IO (Decode16,");
        assert_true(at && at < end);
        at += strlen("IO (Decode16,");
        snprintf(line, sizeof line, "0x%04X,", ports[i]);
        assert_memory_equal(at + strspn(at, " \n"), line, strlen(line));
    }
    at = strstr(at, "IO (Decode16,");
    assert_true(!at || at > end);
}

static void the_name_space_matches_the_board(void **state)
{
    char *text = disassemble(dsdt_aml, dsdt_aml_length);

    (void)state;
    assert_null(strstr(text, "Incorrect checksum"));
    assert_shows(text, "Device (PCI0)", PLATFORM_PCI_WINDOW, 8);
    assert_shows(text, "Device (PCI0)", PLATFORM_PCI_WINDOW_END - 1, 8);
    assert_shows(text, "Device (ISA)", PIIX4_SLOT << 16 | PIIX4_ISA_FUNCTION, 8);
    assert_shows(text, "OperationRegion (PIRQ, PCI_Config", PIIX4_PIRQ_ROUTE, 2);
    assert_shows(text, "Device (BRD)", PLATFORM_PM_BASE, 4);
    assert_shows(text, "Device (BRD)", PIIX4_SMI_COMMAND_PORT, 4);
    assert_shows(text, "Device (BRD)", IOAPIC_BASE, 8);
    assert_shows(text, "Device (COM1)", 0x3f8, 4);
    assert_shows(text, "Device (COM2)", 0x2f8, 4);
    assert_shows(text, "Device (KBD)", 0x60, 4);
    assert_shows(text, "Device (RTC)", 0x70, 4);
    assert_device(text, "Device (DMAC)", "PNP0200", (const uint16_t[]){0x0000, 0x0080, 0x00c0}, 3);
    assert_device(text, "Device (FDC)", "PNP0700", (const uint16_t[]){0x03f0, 0x03f7}, 2);
    assert_null(strstr(strstr(text, "Device (BRD)"), "0x0080,")); /* the DMA page register's */
    assert_shows(text, "Device (HPET)", HPET_BASE, 8);
    assert_shows(text, "Device (HPET)", HPET_LENGTH, 8);
    free(text);
}

/* The next word of a package, from `*at`. */
static void next_word(const char **at, char *word, size_t size)
{
    size_t count;

    *at += strcspn(*at, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    count = strspn(*at, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_");
    assert_in_range(count, 1, size - 1);
    memcpy(word, *at, count);
    word[count] = '\0';
    *at += count;
}

static unsigned number(const char *word)
{
    if (strcmp(word, "Zero") == 0)
        return 0;
    return strcmp(word, "One") == 0 ? 1 : (unsigned)strtoul(word, NULL, 16);
}

/* The sleep package's first value is SLP_TYP. */
static void s5_is_what_turns_piix4_off(void **state)
{
    char *text = disassemble(dsdt_aml, dsdt_aml_length);
    const char *at = strstr(text, "Name (_S5, ");
    char word[32];

    (void)state;
    assert_non_null(at);
    at = strchr(at, ',');
    next_word(&at, word, sizeof word);
    assert_string_equal(word, "Package");
    next_word(&at, word, sizeof word);
    assert_int_equal(number(word), 4);
    next_word(&at, word, sizeof word);
    assert_int_equal(number(word), PIIX4_SLEEP_TYPE_OFF);
    free(text);
}

/* Every pin of every slot: PIRQ (slot - 1 + pin) mod 4, by links and by I/O APIC inputs. */
static void check_routing(const char *text, const char *name, bool links)
{
    const char *at = strstr(text, name);
    char word[32];

    assert_non_null(at);
    at += strlen(name);
    next_word(&at, word, sizeof word); /* Package */
    next_word(&at, word, sizeof word);
    assert_int_equal(number(word), 128);
    for (unsigned i = 0; i < 128; i++) {
        unsigned slot = i / 4, pin = i % 4, pirq = (slot + 3 + pin) % 4;
        char link[] = {'L', 'N', 'K', (char)('A' + pirq), '\0'};

        next_word(&at, word, sizeof word);
        assert_string_equal(word, "Package");
        next_word(&at, word, sizeof word);
        assert_int_equal(number(word), 4);
        next_word(&at, word, sizeof word);
        assert_int_equal(number(word), slot << 16 | 0xffff);
        next_word(&at, word, sizeof word);
        assert_int_equal(number(word), pin);
        next_word(&at, word, sizeof word);
        if (links)
            assert_string_equal(word, link);
        else
            assert_int_equal(number(word), 0);
        next_word(&at, word, sizeof word);
        assert_int_equal(number(word), links ? 0 : IRQ_ROUTER_FIRST_PIRQ_INPUT + pirq);
    }
}

static void interrupt_routing(void **state)
{
    char *text = disassemble(dsdt_aml, dsdt_aml_length);

    (void)state;
    check_routing(text, "Name (PRTP, ", true);
    check_routing(text, "Name (PRTA, ", false);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(root_pointer, setup),
        cmocka_unit_test_setup(fixed_description, setup),
        cmocka_unit_test_setup(interrupt_controllers, setup),
        cmocka_unit_test_setup(event_timers, setup),
        cmocka_unit_test_setup(bounds, setup),
        cmocka_unit_test_setup(an_independent_reader_accepts_them, setup),
        cmocka_unit_test_setup(root_pointer, setup_files),
        cmocka_unit_test_setup(fixed_description, setup_files),
        cmocka_unit_test_setup(interrupt_controllers, setup_files),
        cmocka_unit_test_setup(event_timers, setup_files),
        cmocka_unit_test_setup(bounds_of_files, setup_files),
        cmocka_unit_test_setup(an_independent_reader_accepts_them, setup_files),
        cmocka_unit_test(the_name_space_matches_the_board),
        cmocka_unit_test(s5_is_what_turns_piix4_off),
        cmocka_unit_test(interrupt_routing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
