/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ACPI's tables in a memory of the test's own, of which all that is read has to be there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86_64/boot/acpi.h"
#include "arch/x86_64/boot/firmware.h"

#define MEMORY 8192u
#define LIST   0x100u
#define MADT   0x400u
#define FADT   0x800u

static uint8_t *memory; /* from the heap, so that the address sanitizer sees its end */
static uint8_t root[36];
static bool has_root;

const void *firmware_pointer(uint64_t address, uint32_t size)
{
    return address != 0 && address < MEMORY && size <= MEMORY - address ? memory + address : NULL;
}

const void *firmware_acpi_root(void)
{
    return has_root ? root : NULL;
}

static void put(uint64_t address, unsigned size, uint64_t value)
{
    memcpy(memory + address, &value, size);
}

static void put_table(uint64_t address, const char *signature, uint32_t length)
{
    memcpy(memory + address, signature, 4);
    put(address + 4, 4, length);
}

/* A list with a hole and a table that nobody asks for before those that are. */
static void put_list(bool wide)
{
    const uint64_t tables[] = {0, 0x200, MADT, FADT};
    unsigned size = wide ? 8 : 4;

    root[15] = wide ? 2 : 0;
    memcpy(root + 16, &(uint32_t){wide ? 0xFFFFFFFF : LIST}, 4);
    memcpy(root + 24, &(uint64_t){wide ? LIST : 0}, 8);
    put_table(LIST, wide ? "XSDT" : "RSDT", 36 + 4 * size);
    put_table(0x200, "HPET", 56);
    for (unsigned i = 0; i < 4; i++)
        put(LIST + 36 + i * size, size, tables[i]);
}

static int set_up(void **state)
{
    (void)state;
    memory = calloc(1, MEMORY);
    memset(root, 0, sizeof root);
    has_root = true;
    return memory ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    free(memory);
    return 0;
}

static const uint8_t processors[] = {
    0, 8,  0, 0, 1,    0,    0,    0,                /* local APIC 0, enabled */
    1, 12, 9, 0, 0,    0,    0xC0, 0xFE, 0, 0, 0, 0, /* an I/O APIC */
    0, 8,  1, 7, 0,    0,    0,    0,                /* local APIC 7, neither enabled nor capable */
    0, 8,  2, 5, 2,    0,    0,    0,                /* local APIC 5, to be added */
    9, 16, 0, 0, 0x34, 0x12, 0,    0,    1, 0, 0, 0, 3, 0, 0, 0, /* local x2APIC 1234h */
};

static void put_madt(uint32_t cut)
{
    put_table(MADT, "APIC", 44 + sizeof processors - cut);
    memcpy(memory + MADT + 44, processors, sizeof processors);
}

static void counts_processors(void **state)
{
    uint32_t ids[LOAM_MAXIMUM_PROCESSORS];

    (void)state;
    for (unsigned wide = 0; wide < 2; wide++) {
        put_list(wide);
        put_madt(0);
        assert_int_equal(acpi_processors(ids), 3);
        assert_int_equal(ids[0], 0);
        assert_int_equal(ids[1], 5);
        assert_int_equal(ids[2], 0x1234);
        put_madt(1); /* the last is cut off */
        assert_int_equal(acpi_processors(ids), 2);
    }
}

static void more_processors_than_there_may_be(void **state)
{
    uint32_t ids[LOAM_MAXIMUM_PROCESSORS];

    (void)state;
    put_list(false);
    put_table(MADT, "APIC", 44 + 8 * (LOAM_MAXIMUM_PROCESSORS + 1));
    for (uint32_t i = 0; i <= LOAM_MAXIMUM_PROCESSORS; i++)
        put(MADT + 44 + i * 8, 8, 0x0000000100000800);
    assert_int_equal(acpi_processors(ids), LOAM_MAXIMUM_PROCESSORS);
}

static void damaged_tables_are_no_tables(void **state)
{
    uint32_t ids[LOAM_MAXIMUM_PROCESSORS];

    (void)state;
    put_list(false);
    put_madt(0);
    put(MADT + 44 + 1, 1, 0); /* an entry of no length ends the list */
    assert_int_equal(acpi_processors(ids), 0);
    put_madt(0);
    put(MADT + 4, 4, MEMORY - MADT + 1); /* longer than what is there */
    assert_int_equal(acpi_processors(ids), 0);
    put(MADT + 4, 4, 35); /* less than its header */
    assert_int_equal(acpi_processors(ids), 0);
    put_madt(0);
    put(LIST + 4, 4, 0xFFFFFFFF);
    assert_int_equal(acpi_processors(ids), 0);
    has_root = false;
    assert_int_equal(acpi_processors(ids), 0);
}

static void finds_the_reset_register(void **state)
{
    uint16_t port;
    uint8_t value;

    (void)state;
    put_list(true);
    acpi_reset_register(&port, &value);
    assert_int_equal(port, 0);
    put_table(FADT, "FACP", 244);
    put(FADT + 112, 4, 1 << 10);
    put(FADT + 116, 1, 1);
    put(FADT + 120, 8, 0xCF9);
    put(FADT + 128, 1, 0x0F);
    acpi_reset_register(&port, &value);
    assert_int_equal(port, 0xCF9);
    assert_int_equal(value, 0x0F);
    put(FADT + 116, 1, 0); /* in memory */
    acpi_reset_register(&port, &value);
    assert_int_equal(port, 0);
    put(FADT + 116, 1, 1);
    put(FADT + 120, 8, 0x10000);
    acpi_reset_register(&port, &value);
    assert_int_equal(port, 0);
    put(FADT + 120, 8, 0xCF9);
    put(FADT + 112, 4, 0); /* not supported */
    acpi_reset_register(&port, &value);
    assert_int_equal(port, 0);
    put_table(FADT, "FACP", 116); /* ACPI 1.0 */
    put(FADT + 112, 4, 1 << 10);
    acpi_reset_register(&port, &value);
    assert_int_equal(port, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(counts_processors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(more_processors_than_there_may_be, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_tables_are_no_tables, set_up, tear_down),
        cmocka_unit_test_setup_teardown(finds_the_reset_register, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
