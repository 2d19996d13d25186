/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The DVD drive's packets that are about the drive: sense, INQUIRY, mode pages, lock, power. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "tests/unit/atapi_fixture.h"

static uint8_t data[4096];

static void test_unknown_packets(void **state)
{
    /* Among them WRITE(10), PLAY AUDIO, REPORT KEY, GET PERFORMANCE, SET STREAMING, WRITE(12). */
    static const uint8_t codes[] = {0x01, 0x08, 0x0a, 0x23, 0x2a, 0x45, 0x47, 0x4b, 0x5b,
                                    0xa1, 0xa4, 0xa6, 0xaa, 0xac, 0xb6, 0xbf, 0xff};
    struct machine *machine = *state;

    for (unsigned i = 0; i < sizeof codes; i++)
        assert_packet_check(machine, PACKET(codes[i]), ATAPI_ILLEGAL_REQUEST, ATAPI_INVALID_COMMAND);
    assert_packet_good(machine, PACKET(0x35)); /* SYNCHRONIZE CACHE */
}

/* Sense is told once, lasts until the next command, and survives REQUEST SENSE with a wish for nothing. */
static void test_request_sense(void **state)
{
    struct machine *machine = *state;

    packet_pio(machine, PACKET(0xff), ANY_LIMIT);
    assert_int_equal(in(machine, STATUS), READY | IDE_STATUS_ERR);
    assert_int_equal(ask(machine, PACKET(0x03, 0, 0, 0, 0xff), data, sizeof data), 18);
    assert_int_equal(data[0], 0x70);
    assert_int_equal(data[2], ATAPI_ILLEGAL_REQUEST);
    assert_int_equal(data[7], 10);
    assert_int_equal(data[12], 0x20);
    ask(machine, PACKET(0x03, 0, 0, 0, 18), data, sizeof data);
    assert_int_equal(data[2] | data[12] | data[13], 0);
    packet_pio(machine, PACKET(0xff), ANY_LIMIT);
    assert_packet_good(machine, PACKET(0x00));
    ask(machine, PACKET(0x03, 0, 0, 0, 18), data, sizeof data);
    assert_int_equal(data[2] | data[12] | data[13], 0);
    packet_pio(machine, PACKET(0xff), ANY_LIMIT);
    assert_int_equal(ask(machine, PACKET(0x03, 0, 0, 0, 4), data, sizeof data), 4);
    assert_int_equal(data[2], ATAPI_ILLEGAL_REQUEST);
}

/* What waits is told in its order; some packets pass it by, and REQUEST SENSE takes it. */
static void test_unit_attention(void **state)
{
    struct machine *machine = *state;

    pci_bus_reset(&machine->pci);
    enable(machine);
    assert_true(ide_eject_medium(&machine->ide, 0, 1, false));
    assert_true(ide_insert_medium(&machine->ide, 0, 1, &machine->disks[2]));
    assert_int_equal(ask(machine, PACKET(0x12, 0, 0, 0, 36), data, sizeof data), 36);
    assert_int_equal(ask(machine, PACKET(0x46, 2, 0, 0, 0, 0, 0, 0, 16), data, sizeof data), 16);
    assert_int_equal(ask(machine, PACKET(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), data, sizeof data), 8);
    ask(machine, PACKET(0x03, 0, 0, 0, 18), data, sizeof data);
    assert_int_equal(data[2], ATAPI_UNIT_ATTENTION);
    assert_int_equal(data[12] << 8 | data[13], ATAPI_RESET_OCCURRED);
    /* Even an unknown packet, or one that would be refused. */
    assert_packet_check(machine, PACKET(0xff), ATAPI_UNIT_ATTENTION, ATAPI_MEDIUM_MAY_HAVE_CHANGED);
    assert_packet_good(machine, PACKET(0x00));
    /* A medium that is gone again has not come. */
    ide_eject_medium(&machine->ide, 0, 1, false);
    ide_insert_medium(&machine->ide, 0, 1, &machine->disks[1]);
    ide_eject_medium(&machine->ide, 0, 1, false);
    assert_packet_check(machine, PACKET(0x00), ATAPI_NOT_READY, ATAPI_NO_MEDIUM_TRAY_OPEN);
}

static void test_inquiry(void **state)
{
    struct machine *machine = *state;

    assert_int_equal(ask(machine, PACKET(0x12, 0, 0, 0, 0xff), data, sizeof data), 36);
    assert_int_equal(data[0], 0x05);
    assert_int_equal(data[1], 0x80);
    assert_int_equal(data[3], 0x32);
    assert_int_equal(data[4], 31);
    assert_memory_equal(data + 8, "Loam    Virtual DVD-ROM 1.0 ", 28);
    assert_int_equal(ask(machine, PACKET(0x12, 0, 0, 0, 5), data, sizeof data), 5);
    assert_packet_good(machine, PACKET(0x12));
    assert_int_equal(ask(machine, PACKET(0x12, 1, 0, 0, 0xff), data, sizeof data), 6);
    assert_memory_equal(data, "\x05\0\0\x02\0\x80", 6);
    assert_int_equal(ask(machine, PACKET(0x12, 1, 0x80, 0, 0xff), data, sizeof data), 12);
    assert_memory_equal(data, "\x05\x80\0\x08SERIAL-1", 12);
    assert_packet_check(machine, PACKET(0x12, 1, 0x83, 0, 0xff), ATAPI_ILLEGAL_REQUEST, ATAPI_INVALID_FIELD_IN_CDB);
    assert_packet_check(machine, PACKET(0x12, 0, 0x80, 0, 0xff), ATAPI_ILLEGAL_REQUEST, ATAPI_INVALID_FIELD_IN_CDB);
}

/* The page that tells drivers what the drive can do (MMC-3, 5.5.10). */
static void test_capabilities_page(void **state)
{
    struct machine *machine = *state;

    assert_int_equal(ask(machine, PACKET(0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 0xff), data, sizeof data), 40);
    assert_int_equal(data[0] << 8 | data[1], 38);
    assert_int_equal(data[2], 0x01);
    assert_int_equal(data[6] << 8 | data[7], 0); /* no block descriptor */
    assert_int_equal(data[8], 0x2a);
    assert_int_equal(data[9], 0x1e);
    assert_int_equal(data[10], 0x0b); /* reads CD-R, CD-RW, DVD-ROM */
    assert_int_equal(data[11], 0);    /* writes nothing */
    assert_int_equal(data[12], 0x40);
    assert_int_equal(data[14], 0x29); /* tray, ejects, locks; not locked */
    assert_int_equal(atapi_get(data + 16, 2), 8467);
    assert_int_equal(atapi_get(data + 20, 2), 64);
    assert_int_equal(atapi_get(data + 22, 2), 8467);
    /* The lock's state and the speed are current values, not default ones. */
    assert_packet_good(machine, PACKET(0x1e, 0, 0, 0, 1));
    assert_packet_good(machine, PACKET(0xbb, 0, 0x02, 0xc2, 0, 0));
    ask(machine, PACKET(0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 40), data, sizeof data);
    assert_int_equal(data[14], 0x2b);
    assert_int_equal(atapi_get(data + 22, 2), 706);
    ask(machine, PACKET(0x5a, 0, 0xaa, 0, 0, 0, 0, 0, 40), data, sizeof data);
    assert_int_equal(data[14], 0x29);
    assert_int_equal(atapi_get(data + 22, 2), 8467);
    assert_packet_good(machine, PACKET(0xbb, 0, 0xff, 0xff, 0, 0)); /* as fast as it can */
    ask(machine, PACKET(0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 40), data, sizeof data);
    assert_int_equal(atapi_get(data + 22, 2), 8467);
}

static void test_mode_sense(void **state)
{
    static const struct {
        uint8_t code;
        uint8_t length;
    } pages[] = {
        {0x01, 10},
        {0x0d, 6 },
        {0x0e, 14},
        {0x1a, 10},
        {0x1d, 8 },
        {0x2a, 30}
    };
    struct machine *machine = *state;
    unsigned offset = 8;

    for (unsigned i = 0; i < sizeof pages / sizeof *pages; i++) {
        size_t length = ask(machine, PACKET(0x5a, 0, pages[i].code, 0, 0, 0, 0, 1, 0), data, sizeof data);

        assert_int_equal(length, 8 + 2 + pages[i].length);
        assert_int_equal(atapi_get(data, 2), length - 2);
        assert_int_equal(data[8], pages[i].code);
        assert_int_equal(data[9], pages[i].length);
    }
    /* All of them, in ascending order. */
    assert_int_equal(ask(machine, PACKET(0x5a, 0, 0x3f, 0, 0, 0, 0, 1, 0), data, sizeof data), 8 + 90);
    for (unsigned i = 0; i < sizeof pages / sizeof *pages; i++) {
        assert_int_equal(data[offset], pages[i].code);
        offset += 2 + pages[i].length;
    }
    assert_int_equal(offset, 98);
    /* By 6 bytes: a shorter header. */
    assert_int_equal(ask(machine, PACKET(0x1a, 0, 0x0d, 0, 0xff), data, sizeof data), 12);
    assert_int_equal(data[0], 11);
    assert_int_equal(data[1], 0x01);
    assert_int_equal(data[3], 0);
    assert_memory_equal(data + 4, "\x0d\x06\0\x0d\0\x3c\0\x4b", 8);
    assert_int_equal(ask(machine, PACKET(0x1a, 0, 0x0d, 0, 5), data, sizeof data), 5);
    /* What can be changed; saved values there are none; nor other pages. */
    ask(machine, PACKET(0x5a, 0, 0x4d, 0, 0, 0, 0, 1, 0), data, sizeof data);
    assert_memory_equal(data + 8, "\x0d\x06\0\x0f\0\0\0\0", 8);
    assert_packet_check(machine, PACKET(0x5a, 0, 0xcd, 0, 0, 0, 0, 1, 0), ATAPI_ILLEGAL_REQUEST,
                        ATAPI_SAVING_NOT_SUPPORTED);
    assert_packet_check(machine, PACKET(0x5a, 0, 0x05, 0, 0, 0, 0, 1, 0), ATAPI_ILLEGAL_REQUEST,
                        ATAPI_INVALID_FIELD_IN_CDB);
    assert_packet_check(machine, PACKET(0x5a, 0, 0x0d, 1, 0, 0, 0, 1, 0), ATAPI_ILLEGAL_REQUEST,
                        ATAPI_INVALID_FIELD_IN_CDB);
    /* The medium type of old. */
    ide_eject_medium(&machine->ide, 0, 1, false);
    ask(machine, PACKET(0x5a, 0, 0x0d, 0, 0, 0, 0, 1, 0), data, sizeof data);
    assert_int_equal(data[2], 0x71);
    assert_packet_good(machine, PACKET(0x1b, 0, 0, 0, 3));
    ask(machine, PACKET(0x5a, 0, 0x0d, 0, 0, 0, 0, 1, 0), data, sizeof data);
    assert_int_equal(data[2], 0x70);
}

static void select_pages(struct machine *machine, const uint8_t *list, uint8_t length)
{
    packet_pio(machine, PACKET(0x55, 0x10, 0, 0, 0, 0, 0, 0, length), ANY_LIMIT);
    send(machine, list, length);
}

static void test_mode_select(void **state)
{
    struct machine *machine = *state;
    uint8_t list[8 + 12 + 16] = {[8] = 0x01, [9] = 0x0a, [11] = 77};

    ask(machine, PACKET(0x5a, 0, 0x0e, 0, 0, 0, 0, 1, 0), data, sizeof data);
    memcpy(list + 20, data + 8, 16);
    list[20 + 9] = 0x33; /* a volume */
    select_pages(machine, list, sizeof list);
    assert_good(machine);
    ask(machine, PACKET(0x5a, 0, 0x3f, 0, 0, 0, 0, 1, 0), data, sizeof data);
    assert_int_equal(data[8 + 3], 77);
    assert_int_equal(data[8 + 12 + 8 + 9], 0x33);
    /* Defaults are not touched. */
    ask(machine, PACKET(0x5a, 0, 0xbf, 0, 0, 0, 0, 1, 0), data, sizeof data);
    assert_int_equal(data[8 + 3], 5);
    /* By 6 bytes, with a block descriptor before the page. */
    packet_pio(machine, PACKET(0x15, 0x10, 0, 0, 4 + 8 + 8), ANY_LIMIT);
    send(machine, (const uint8_t[]){0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 8, 0, 0x0d, 6, 0, 0x0c, 0, 60, 0, 75}, 20);
    assert_good(machine);
    ask(machine, PACKET(0x5a, 0, 0x0d, 0, 0, 0, 0, 1, 0), data, sizeof data);
    assert_int_equal(data[8 + 3], 0x0c);
    assert_packet_good(machine, PACKET(0x55, 0x10)); /* nothing to set */
}

/* What is wrong with a list changes nothing of what it says. */
static void test_mode_select_refused(void **state)
{
    static const struct {
        uint16_t code;
        uint8_t length;
        uint8_t list[20];
    } cases[] = {
        {ATAPI_INVALID_FIELD_IN_LIST,  20, {[8] = 0x01, [9] = 0x0a, [11] = 9, [12] = 1}}, /* cannot be changed */
        {ATAPI_INVALID_FIELD_IN_LIST,  20, {[8] = 0x01, [9] = 0x06, [11] = 9}          }, /* another length */
        {ATAPI_INVALID_FIELD_IN_LIST,  20, {[8] = 0x05, [9] = 0x0a}                    }, /* no such page */
        {ATAPI_INVALID_FIELD_IN_LIST,  20, {[8] = 0x3f, [9] = 0x0a}                    },
        {ATAPI_PARAMETER_LENGTH_ERROR, 19, {[8] = 0x01, [9] = 0x0a, [11] = 9}          },
        {ATAPI_PARAMETER_LENGTH_ERROR, 7,  {0}                                         },
        {ATAPI_PARAMETER_LENGTH_ERROR, 9,  {[8] = 0x01}                                },
        {ATAPI_PARAMETER_LENGTH_ERROR, 20, {[6] = 0xff, [7] = 0xff}                    },
    };
    struct machine *machine = *state;

    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        select_pages(machine, cases[i].list, cases[i].length);
        assert_check(machine, ATAPI_ILLEGAL_REQUEST, cases[i].code);
    }
    ask(machine, PACKET(0x5a, 0, 0x01, 0, 0, 0, 0, 1, 0), data, sizeof data);
    assert_int_equal(data[8 + 3], 5);
    /* Without the page format; to be saved. */
    assert_packet_check(machine, PACKET(0x55, 0, 0, 0, 0, 0, 0, 0, 20), ATAPI_ILLEGAL_REQUEST,
                        ATAPI_INVALID_FIELD_IN_CDB);
    assert_packet_check(machine, PACKET(0x55, 0x11, 0, 0, 0, 0, 0, 0, 20), ATAPI_ILLEGAL_REQUEST,
                        ATAPI_INVALID_FIELD_IN_CDB);
}

/* A list in pieces as the host takes them, with an interrupt for each. */
static void test_mode_select_in_blocks(void **state)
{
    struct machine *machine = *state;
    uint8_t list[20] = {[8] = 0x01, [9] = 0x0a, [11] = 9};

    machine->fixture.rising[IRQ] = 0;
    packet_pio(machine, PACKET(0x55, 0x10, 0, 0, 0, 0, 0, 0, 20), 9);
    send(machine, list, 8);
    send(machine, list + 8, 8);
    send(machine, list + 16, 4);
    assert_good(machine);
    assert_int_equal(machine->fixture.rising[IRQ], 4);
    ask(machine, PACKET(0x5a, 0, 0x01, 0, 0, 0, 0, 1, 0), data, sizeof data);
    assert_int_equal(data[8 + 3], 9);
}

static void test_power(void **state)
{
    static const struct {
        uint8_t condition;
        uint8_t told;
    } conditions[] = {
        {0x20, 2},
        {0x30, 3},
        {0x10, 1}
    };
    struct machine *machine = *state;

    for (unsigned i = 0; i < 3; i++) {
        assert_packet_good(machine, PACKET(0x1b, 0, 0, 0, conditions[i].condition));
        ask(machine, PACKET(0x4a, 1, 0, 0, 0x04, 0, 0, 0, 8), data, sizeof data);
        assert_int_equal(data[2], 2);
        assert_int_equal(data[4], 0);
        assert_int_equal(data[5], conditions[i].told);
    }
    assert_packet_check(machine, PACKET(0x1b, 0, 0, 0, 0x40), ATAPI_ILLEGAL_REQUEST, ATAPI_INVALID_FIELD_IN_CDB);
    assert_packet_check(machine, PACKET(0x1b, 0, 0, 0, 0xf0), ATAPI_ILLEGAL_REQUEST, ATAPI_INVALID_FIELD_IN_CDB);
    /* Reading wakes it. */
    assert_packet_good(machine, PACKET(0x1b, 0, 0, 0, 0x30));
    ask(machine, PACKET(0x28, 0, 0, 0, 0, 0, 0, 0, 1), data, sizeof data);
    ask(machine, PACKET(0x4a, 1, 0, 0, 0x04, 0, 0, 0, 8), data, sizeof data);
    assert_int_equal(data[5], 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, atapi_set_up, ide_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_unknown_packets), TEST(test_request_sense),       TEST(test_unit_attention),
        TEST(test_inquiry),         TEST(test_capabilities_page),   TEST(test_mode_sense),
        TEST(test_mode_select),     TEST(test_mode_select_refused), TEST(test_mode_select_in_blocks),
        TEST(test_power),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
