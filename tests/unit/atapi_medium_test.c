/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The DVD drive's medium: what it is, what the guest hears of it, and how it comes and goes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "tests/unit/atapi_fixture.h"

static uint8_t data[8192];

/* Another medium in the drive, and its unit attention told. */
static void change_medium(struct machine *machine, struct disk *disk)
{
    assert_true(ide_eject_medium(&machine->ide, 0, 1, false));
    if (!disk)
        return;
    assert_true(ide_insert_medium(&machine->ide, 0, 1, disk));
    assert_packet_check(machine, PACKET(0x00), ATAPI_UNIT_ATTENTION, ATAPI_MEDIUM_MAY_HAVE_CHANGED);
}

static void test_read_capacity(void **state)
{
    struct machine *machine = *state;

    assert_int_equal(ask(machine, PACKET(0x25), data, sizeof data), 8);
    assert_int_equal(atapi_get(data, 4), CD_BLOCKS - 1);
    assert_int_equal(atapi_get(data + 4, 4), 2048);
    /* What is less than a block at the end is not there. */
    machine->disks[2].sectors = 5 * 4 + 3;
    change_medium(machine, &machine->disks[2]);
    ask(machine, PACKET(0x25), data, sizeof data);
    assert_int_equal(atapi_get(data, 4), 4);
    change_medium(machine, NULL);
    assert_packet_check(machine, PACKET(0x25), ATAPI_NOT_READY, ATAPI_NO_MEDIUM_TRAY_OPEN);
}

/* 1000 blocks end at minute 0, second 15, frame 25. */
static void test_toc_tracks(void **state)
{
    static const uint8_t lba[] = {0, 18,   1,    1, 0, 0x14, 1,    0,   0, 0, 0, 0, /* track 1 */
                                  0, 0x14, 0xaa, 0, 0, 0,    0x03, 0xe8};
    static const uint8_t msf[] = {0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 2, 0, 0, 0x14, 0xaa, 0, 0, 0, 15, 25};
    static const uint8_t lead_out[] = {0, 10, 1, 1, 0, 0x14, 0xaa, 0, 0, 0, 0x03, 0xe8};
    struct machine *machine = *state;

    assert_int_equal(ask(machine, PACKET(0x43, 0, 0, 0, 0, 0, 0, 0x03, 0x24), data, sizeof data), sizeof lba);
    assert_memory_equal(data, lba, sizeof lba);
    assert_int_equal(ask(machine, PACKET(0x43, 2, 0, 0, 0, 0, 1, 0x03, 0x24), data, sizeof data), sizeof msf);
    assert_memory_equal(data, msf, sizeof msf);
    assert_int_equal(ask(machine, PACKET(0x43, 0, 0, 0, 0, 0, 0xaa, 0x03, 0x24), data, sizeof data), 12);
    assert_memory_equal(data, lead_out, sizeof lead_out);
    assert_int_equal(ask(machine, PACKET(0x43, 2, 0, 0, 0, 0, 0, 0, 12), data, sizeof data), 12);
    assert_memory_equal(data, msf, 12);
    assert_packet_check(machine, PACKET(0x43, 0, 0, 0, 0, 0, 2, 0, 12), ATAPI_ILLEGAL_REQUEST,
                        ATAPI_INVALID_FIELD_IN_CDB);
}

static void test_toc_sessions_and_raw(void **state)
{
    static const uint8_t sessions[] = {0, 10, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0};
    static const uint8_t raw[] = {0,    46, 1,    1,  1,  0x14, 0,    0xa0, 0, 0, 0, 0,    1, 0,    0, 1,
                                  0x14, 0,  0xa1, 0,  0,  0,    0,    1,    0, 0, 1, 0x14, 0, 0xa2, 0, 0,
                                  0,    0,  0,    15, 25, 1,    0x14, 0,    1, 0, 0, 0,    0, 0,    2, 0};
    struct machine *machine = *state;

    assert_int_equal(ask(machine, PACKET(0x43, 0, 1, 0, 0, 0, 0, 0, 0xff), data, sizeof data), sizeof sessions);
    assert_memory_equal(data, sessions, sizeof sessions);
    assert_int_equal(ask(machine, PACKET(0x43, 2, 2, 0, 0, 0, 1, 0, 0xff), data, sizeof data), sizeof raw);
    assert_memory_equal(data, raw, sizeof raw);
    /* The format where SFF-8020i has it. */
    assert_int_equal(ask(machine, PACKET(0x43, 0, 0, 0, 0, 0, 0, 0, 0xff, 0x40), data, sizeof data), sizeof sessions);
    assert_int_equal(ask(machine, PACKET(0x43, 0, 0, 0, 0, 0, 0, 0, 0xff, 0x80), data, sizeof data), sizeof raw);
    for (uint8_t format = 3; format < 16; format++)
        assert_packet_check(machine, PACKET(0x43, 0, format, 0, 0, 0, 0, 0, 0xff), ATAPI_ILLEGAL_REQUEST,
                            ATAPI_INVALID_FIELD_IN_CDB);
    assert_packet_check(machine, PACKET(0x43, 0, 2, 0, 0, 0, 2, 0, 0xff), ATAPI_ILLEGAL_REQUEST,
                        ATAPI_INVALID_FIELD_IN_CDB);
}

/* A DVD's end has minutes as far as a byte can hold them. */
static void test_toc_of_dvd(void **state)
{
    struct machine *machine = *state;

    change_medium(machine, &machine->disks[2]);
    ask(machine, PACKET(0x43, 2, 0, 0, 0, 0, 0xaa, 0, 12), data, sizeof data);
    assert_memory_equal(data + 8, "\0\x58\x37\x19", 4); /* (400000 + 150) / 75 seconds: 88:55, frame 25 */
    machine->disks[2].sectors = 4u * 4000000;
    ask(machine, PACKET(0x43, 2, 0, 0, 0, 0, 0xaa, 0, 12), data, sizeof data);
    assert_memory_equal(data + 8, "\0\xff\x3b\x4a", 4);
    ask(machine, PACKET(0x43, 0, 0, 0, 0, 0, 0xaa, 0, 12), data, sizeof data);
    assert_int_equal(atapi_get(data + 8, 4), 4000000);
}

static void test_sub_channel(void **state)
{
    struct machine *machine = *state;

    assert_packet_good(machine, PACKET(0x2b, 0, 0, 0, 0x03, 0)); /* SEEK to 768 */
    assert_int_equal(ask(machine, PACKET(0x42, 0, 0x40, 1, 0, 0, 0, 0, 0xff), data, sizeof data), 16);
    assert_memory_equal(data, "\0\0\0\x0c\x01\x14\x01\x01\0\0\x03\0\0\0\x03\0", 16);
    ask(machine, PACKET(0x42, 2, 0x40, 1, 0, 0, 0, 0, 0xff), data, sizeof data);
    assert_memory_equal(data + 8, "\0\0\x0c\x12", 4); /* 00:12:18 */
    assert_int_equal(ask(machine, PACKET(0x42, 0, 0, 1, 0, 0, 0, 0, 0xff), data, sizeof data), 4);
    assert_memory_equal(data, "\0\0\0\0", 4);
    assert_int_equal(ask(machine, PACKET(0x42, 0, 0x40, 2, 0, 0, 0, 0, 0xff), data, sizeof data), 24);
    assert_int_equal(data[8] & 0x80, 0); /* no catalogue number */
    assert_int_equal(ask(machine, PACKET(0x42, 0, 0x40, 3, 0, 0, 1, 0, 0xff), data, sizeof data), 24);
    assert_int_equal(data[8] & 0x80, 0);
    assert_packet_check(machine, PACKET(0x42, 0, 0x40, 0, 0, 0, 0, 0, 0xff), ATAPI_ILLEGAL_REQUEST,
                        ATAPI_INVALID_FIELD_IN_CDB);
    assert_packet_check(machine, PACKET(0x42, 0, 0x40, 4, 0, 0, 0, 0, 0xff), ATAPI_ILLEGAL_REQUEST,
                        ATAPI_INVALID_FIELD_IN_CDB);
    assert_packet_check(machine, PACKET(0x42, 0, 0x40, 3, 0, 0, 2, 0, 0xff), ATAPI_ILLEGAL_REQUEST,
                        ATAPI_INVALID_FIELD_IN_CDB);
    assert_packet_check(machine, PACKET(0x2b, 0, 0, 0, 0x03, 0xe8), ATAPI_ILLEGAL_REQUEST, ATAPI_BLOCK_OUT_OF_RANGE);
}

static void test_disc_and_track_information(void **state)
{
    struct machine *machine = *state;

    assert_int_equal(ask(machine, PACKET(0x51, 0, 0, 0, 0, 0, 0, 0, 0xff), data, sizeof data), 34);
    assert_memory_equal(data, "\0\x20\x0e\x01\x01\x01\x01\x20\0", 9);
    assert_packet_check(machine, PACKET(0x51, 1, 0, 0, 0, 0, 0, 0, 0xff), ATAPI_ILLEGAL_REQUEST,
                        ATAPI_INVALID_FIELD_IN_CDB);
    for (uint8_t type = 0; type < 3; type++) {
        assert_int_equal(ask(machine, PACKET(0x52, type, 0, 0, 0, 1, 0, 0, 0xff), data, sizeof data), 36);
        assert_int_equal(atapi_get(data, 2), 34);
        assert_memory_equal(data + 2, "\x01\x01\0\x04\x01\0", 6);
        assert_int_equal(atapi_get(data + 8, 4), 0);
        assert_int_equal(atapi_get(data + 24, 4), CD_BLOCKS);
    }
    assert_packet_check(machine, PACKET(0x52, 0, 0, 0, 0x03, 0xe8, 0, 0, 0xff), ATAPI_ILLEGAL_REQUEST,
                        ATAPI_BLOCK_OUT_OF_RANGE);
    assert_packet_check(machine, PACKET(0x52, 1, 0, 0, 0, 2, 0, 0, 0xff), ATAPI_ILLEGAL_REQUEST,
                        ATAPI_INVALID_FIELD_IN_CDB);
    assert_packet_check(machine, PACKET(0x52, 3, 0, 0, 0, 1, 0, 0, 0xff), ATAPI_ILLEGAL_REQUEST,
                        ATAPI_INVALID_FIELD_IN_CDB);
}

static void test_dvd_structure(void **state)
{
    struct machine *machine = *state;

    assert_packet_check(machine, PACKET(0xad, 0, 0, 0, 0, 0, 0, 0, 8, 4), ATAPI_ILLEGAL_REQUEST,
                        ATAPI_INCOMPATIBLE_MEDIUM);
    change_medium(machine, &machine->disks[2]);
    assert_int_equal(ask(machine, PACKET(0xad, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff), data, sizeof data), 2052);
    assert_int_equal(atapi_get(data, 2), 2050);
    assert_int_equal(data[4], 0x01);
    assert_int_equal(data[5], 0x0f);
    assert_int_equal(data[6], 0x01);
    assert_int_equal(atapi_get(data + 8, 4), 0x30000);
    assert_int_equal(atapi_get(data + 12, 4), 0x30000 + DVD_BLOCKS - 1);
    assert_int_equal(ask(machine, PACKET(0xad, 0, 0, 0, 0, 0, 0, 1, 0, 0xff), data, sizeof data), 8);
    assert_memory_equal(data, "\0\x06\0\0\0\0\0\0", 8);
    assert_int_equal(ask(machine, PACKET(0xad, 0, 0, 0, 0, 0, 0, 4, 0xff, 0xff), data, sizeof data), 2052);
    assert_int_equal(ask(machine, PACKET(0xad, 0, 0, 0, 0, 0, 0, 0xff, 0, 0xff), data, sizeof data), 16);
    assert_memory_equal(data, "\0\x0e\0\0\0\x40\x08\x04\x01\x40\0\x08\x04\x40\x08\x04", 16);
    assert_packet_check(machine, PACKET(0xad, 0, 0, 0, 0, 0, 0, 3, 8, 4), ATAPI_ILLEGAL_REQUEST,
                        ATAPI_INVALID_FIELD_IN_CDB);
    assert_packet_check(machine, PACKET(0xad, 0, 0, 0, 0, 0, 1, 0, 8, 4), ATAPI_ILLEGAL_REQUEST,
                        ATAPI_INVALID_FIELD_IN_CDB);
    /* A DVD's sectors have no sync and header to show. */
    assert_int_equal(ask(machine, PACKET(0xbe, 0, 0, 6, 0x1a, 0x7f, 0, 0, 1, 0x10), data, sizeof data), 2048);
    assert_block(machine, &machine->disks[2], DVD_BLOCKS - 1, data);
    assert_packet_check(machine, PACKET(0xbe, 0, 0, 0, 0, 7, 0, 0, 1, 0xf8), ATAPI_ILLEGAL_REQUEST,
                        ATAPI_ILLEGAL_MODE_FOR_TRACK);
}

/* The features of GET CONFIGURATION, and which of them are current (MMC-5, 5.3). */
static void test_configuration(void **state)
{
    enum { NOTHING, CD, DVD, MEDIA };
    static const struct {
        uint16_t code;
        uint8_t length;
        bool persistent;
        bool current[MEDIA];
    } features[] = {
        {0x0000, 8, true,  {true, true, true}  },
        {0x0001, 8, true,  {true, true, true}  },
        {0x0002, 4, true,  {true, true, true}  },
        {0x0003, 4, true,  {true, true, true}  },
        {0x0010, 8, false, {false, true, true} },
        {0x001d, 0, false, {false, true, false}},
        {0x001e, 4, false, {false, true, false}},
        {0x001f, 0, false, {false, false, true}},
        {0x0100, 0, true,  {true, true, true}  },
        {0x0105, 0, true,  {true, true, true}  },
    };
    static const uint16_t profiles[MEDIA] = {0, 0x0008, 0x0010};
    struct machine *machine = *state;
    struct disk *const disks[MEDIA] = {NULL, &machine->disks[1], &machine->disks[2]};

    for (unsigned medium = NOTHING; medium < MEDIA; medium++) {
        size_t all;
        size_t current = 8;
        unsigned offset = 8;

        change_medium(machine, disks[medium]);
        all = ask(machine, PACKET(0x46, 0, 0, 0, 0, 0, 0, 0xff, 0xff), data, sizeof data);
        assert_int_equal(atapi_get(data, 4), all - 4);
        assert_int_equal(atapi_get(data + 6, 2), profiles[medium]);
        for (unsigned i = 0; i < sizeof features / sizeof *features; i++) {
            assert_int_equal(atapi_get(data + offset, 2), features[i].code);
            assert_int_equal(data[offset + 2] & 3, features[i].persistent * 2 + features[i].current[medium]);
            assert_int_equal(data[offset + 3], features[i].length);
            offset += 4u + features[i].length;
            if (features[i].current[medium])
                current += 4u + features[i].length;
        }
        assert_int_equal(offset, all);
        /* The profiles, DVD-ROM first. */
        assert_int_equal(atapi_get(data + 12, 2), 0x0010);
        assert_int_equal(data[14], medium == DVD);
        assert_int_equal(atapi_get(data + 16, 2), 0x0008);
        assert_int_equal(data[18], medium == CD);
        assert_int_equal(ask(machine, PACKET(0x46, 1, 0, 0, 0, 0, 0, 0xff, 0xff), data, sizeof data), current);
    }
    /* One; from one on; one that there is not; no more than asked for, though the length says all. */
    assert_int_equal(ask(machine, PACKET(0x46, 2, 0, 0x03, 0, 0, 0, 0, 0xff), data, sizeof data), 16);
    assert_memory_equal(data + 8, "\0\x03\x03\x04\x29\0\0\0", 8);
    assert_int_equal(ask(machine, PACKET(0x46, 2, 0, 0x10, 0, 0, 0, 0, 0xff), data, sizeof data), 20);
    assert_memory_equal(data + 12, "\0\0\x08\0\0\x01\x01\0", 8);
    assert_int_equal(ask(machine, PACKET(0x46, 0, 0, 0x20, 0, 0, 0, 0, 0xff), data, sizeof data), 16);
    assert_int_equal(ask(machine, PACKET(0x46, 2, 0, 0x21, 0, 0, 0, 0, 0xff), data, sizeof data), 8);
    assert_int_equal(atapi_get(data, 4), 4);
    assert_int_equal(ask(machine, PACKET(0x46, 0, 0, 0, 0, 0, 0, 0, 8), data, sizeof data), 8);
    assert_int_equal(atapi_get(data, 4), 4 + 12 + 12 + 8 + 8 + 12 + 4 + 8 + 4 + 4 + 4);
    assert_packet_check(machine, PACKET(0x46, 3, 0, 0, 0, 0, 0, 0, 8), ATAPI_ILLEGAL_REQUEST,
                        ATAPI_INVALID_FIELD_IN_CDB);
}

/* 80 minutes are a CD; a block more is a DVD. */
static void test_profile_by_size(void **state)
{
    struct machine *machine = *state;

    machine->disks[2].sectors = 360000ull * 4;
    change_medium(machine, &machine->disks[2]);
    ask(machine, PACKET(0x46, 0, 0, 0, 0, 0, 0, 0, 8), data, sizeof data);
    assert_int_equal(data[7], 0x08);
    machine->disks[2].sectors += 4;
    ask(machine, PACKET(0x46, 0, 0, 0, 0, 0, 0, 0, 8), data, sizeof data);
    assert_int_equal(data[7], 0x10);
}

/* What GET EVENT STATUS NOTIFICATION says of the classes in `mask`: bytes 2 and 4 to 7. */
static void assert_event(struct machine *machine, uint8_t mask, uint8_t class, uint8_t event, uint8_t status)
{
    assert_int_equal(ask(machine, PACKET(0x4a, 1, 0, 0, mask, 0, 0, 0, 0xff), data, sizeof data), 8);
    assert_int_equal(atapi_get(data, 2), 6);
    assert_int_equal(data[2], class);
    assert_int_equal(data[3], 0x56);
    assert_int_equal(data[4], event);
    assert_int_equal(data[5], status);
}

static void test_media_events(void **state)
{
    struct machine *machine = *state;

    assert_event(machine, 0x10, 4, 2, 2); /* it came when the machine was made */
    assert_event(machine, 0x10, 4, 0, 2);
    assert_true(ide_eject_medium(&machine->ide, 0, 1, false));
    assert_event(machine, 0x10, 4, 3, 1);
    assert_event(machine, 0x10, 4, 0, 1);
    assert_true(ide_insert_medium(&machine->ide, 0, 1, &machine->disks[2]));
    /* Who takes no more than the header has not been told. */
    assert_int_equal(ask(machine, PACKET(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 4), data, sizeof data), 4);
    assert_event(machine, 0x10, 4, 2, 2);
    assert_event(machine, 0x10, 4, 0, 2);
    /* Only polled; and classes that are none. */
    assert_packet_check(machine, PACKET(0x4a, 0, 0, 0, 0x10, 0, 0, 0, 8), ATAPI_ILLEGAL_REQUEST,
                        ATAPI_INVALID_FIELD_IN_CDB);
    assert_int_equal(ask(machine, PACKET(0x4a, 1, 0, 0, 0xa9, 0, 0, 0, 0xff), data, sizeof data), 4);
    assert_memory_equal(data, "\0\x02\x80\x56", 4);
}

/* A locked tray: the guest is asked, and ejects when it likes. */
static void test_eject_request(void **state)
{
    struct machine *machine = *state;

    assert_event(machine, 0x10, 4, 2, 2);
    assert_packet_good(machine, PACKET(0x1e, 0, 0, 0, 1));
    assert_false(ide_eject_medium(&machine->ide, 0, 1, false));
    assert_int_equal(machine->released_calls, 0);
    assert_event(machine, 0x10, 4, 1, 2);
    assert_event(machine, 0x10, 4, 0, 2);
    assert_packet_check(machine, PACKET(0x1b, 0, 0, 0, 2), ATAPI_ILLEGAL_REQUEST, ATAPI_MEDIUM_REMOVAL_PREVENTED);
    assert_packet_good(machine, PACKET(0x1e, 0, 0, 0, 0));
    assert_packet_good(machine, PACKET(0x1b, 0, 0, 0, 2));
    assert_int_equal(machine->released_calls, 1);
    assert_ptr_equal(machine->released, &machine->disks[1]);
    assert_null(ide_medium(&machine->ide, 0, 1));
    assert_event(machine, 0x10, 4, 3, 1);
    assert_packet_check(machine, PACKET(0x00), ATAPI_NOT_READY, ATAPI_NO_MEDIUM_TRAY_OPEN);
    /* The persistent lock is another one. */
    ide_insert_medium(&machine->ide, 0, 1, &machine->disks[1]);
    assert_packet_check(machine, PACKET(0x1e, 0, 0, 0, 3), ATAPI_UNIT_ATTENTION, ATAPI_MEDIUM_MAY_HAVE_CHANGED);
    assert_packet_good(machine, PACKET(0x1e, 0, 0, 0, 3));
    assert_packet_good(machine, PACKET(0x1e, 0, 0, 0, 0));
    assert_false(ide_eject_medium(&machine->ide, 0, 1, false));
    ask(machine, PACKET(0x4a, 1, 0, 0, 0x02, 0, 0, 0, 8), data, sizeof data);
    assert_int_equal(data[5], 0x80);
    /* Force asks nobody. */
    assert_true(ide_eject_medium(&machine->ide, 0, 1, true));
    assert_int_equal(machine->released_calls, 2);
    assert_event(machine, 0x10, 4, 3, 1);
}

/* The guest's tray: out with the medium, in without it. */
static void test_guest_ejects(void **state)
{
    struct machine *machine = *state;

    assert_packet_good(machine, PACKET(0x1b, 0, 0, 0, 0)); /* stop */
    assert_packet_good(machine, PACKET(0x1b, 0, 0, 0, 1)); /* start */
    assert_int_equal(machine->released_calls, 0);
    assert_packet_good(machine, PACKET(0x1b, 0, 0, 0, 2));
    assert_ptr_equal(machine->released, &machine->disks[1]);
    ask(machine, PACKET(0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8), data, sizeof data);
    assert_int_equal(data[1], 0x10);
    assert_packet_good(machine, PACKET(0x1b, 0, 0, 0, 2)); /* it is open already */
    assert_int_equal(machine->released_calls, 1);
    assert_packet_good(machine, PACKET(0x1b, 0, 0, 0, 3));
    assert_packet_check(machine, PACKET(0x00), ATAPI_NOT_READY, ATAPI_NO_MEDIUM_TRAY_CLOSED);
    assert_packet_check(machine, PACKET(0x1b, 0, 0, 0, 1), ATAPI_NOT_READY, ATAPI_NO_MEDIUM_TRAY_CLOSED);
    assert_int_equal(ask(machine, PACKET(0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8), data, sizeof data), 8);
    assert_memory_equal(data, "\0\0\0\0\0\0\0\0", 8);
    /* A reset of the machine brings nothing back. */
    pci_bus_reset(&machine->pci);
    enable(machine);
    assert_packet_check(machine, PACKET(0x00), ATAPI_UNIT_ATTENTION, ATAPI_RESET_OCCURRED);
    assert_packet_check(machine, PACKET(0x00), ATAPI_NOT_READY, ATAPI_NO_MEDIUM_TRAY_CLOSED);
}

static void test_insert_rules(void **state)
{
    struct machine *machine = *state;
    struct disk small = {.sectors = 3};

    assert_false(ide_insert_medium(&machine->ide, 0, 1, &machine->disks[2])); /* occupied */
    assert_false(ide_insert_medium(&machine->ide, 0, 0, &machine->disks[2])); /* a disk */
    assert_false(ide_insert_medium(&machine->ide, 1, 0, &machine->disks[2])); /* nothing */
    assert_false(ide_eject_medium(&machine->ide, 0, 0, true));
    assert_false(ide_eject_medium(&machine->ide, 1, 1, true));
    assert_true(ide_eject_medium(&machine->ide, 0, 1, false));
    assert_false(ide_insert_medium(&machine->ide, 0, 1, &small));
    assert_true(ide_eject_medium(&machine->ide, 0, 1, false)); /* nothing comes out */
    assert_int_equal(machine->released_calls, 1);
}

/* The current profile changes with the medium, which is an operational change. */
static void test_operational_change(void **state)
{
    struct machine *machine = *state;

    assert_event(machine, 0x12, 1, 2, 0);
    assert_int_equal(atapi_get(data + 6, 2), 1);
    assert_event(machine, 0x12, 4, 2, 2);
    assert_event(machine, 0x12, 1, 0, 0); /* nothing more: the first class asked for */
    assert_event(machine, 0x50, 4, 0, 2);
    assert_event(machine, 0x40, 6, 0, 0);
    pci_bus_reset(&machine->pci);
    enable(machine);
    assert_event(machine, 0x02, 1, 0, 0);
    assert_event(machine, 0x10, 4, 2, 2);
}

/* A request for a medium that is taken out meanwhile is waited for, and the command fails. */
static void test_eject_in_flight(void **state)
{
    struct machine *machine = *state;
    struct disk *disk = &machine->disks[1];

    disk->asynchronous = true;
    for (unsigned dma = 0; dma < 2; dma++) {
        if (dma) {
            set_prd(machine, 0, BUFFER, 0x1000 | LAST);
            packet_dma(machine, PACKET(0x28, 0, 0, 0, 0, 5, 0, 0, 2));
            start_master(machine, true);
        } else {
            packet_pio(machine, PACKET(0x28, 0, 0, 0, 0, 5, 0, 0, 2), 2048);
        }
        machine->released_calls = 0;
        assert_true(ide_eject_medium(&machine->ide, 0, 1, true));
        assert_int_equal(machine->released_calls, 0);
        assert_false(ide_is_quiet(&machine->ide));
        /* Others may come and go before that. */
        assert_true(ide_insert_medium(&machine->ide, 0, 1, &machine->disks[2]));
        assert_true(ide_eject_medium(&machine->ide, 0, 1, true));
        assert_int_equal(machine->released_calls, 1);
        assert_ptr_equal(machine->released, &machine->disks[2]);
        fake_disk_complete(disk);
        assert_int_equal(machine->released_calls, 2);
        assert_ptr_equal(machine->released, disk);
        assert_true(ide_is_quiet(&machine->ide));
        assert_check(machine, ATAPI_NOT_READY, ATAPI_NO_MEDIUM_TRAY_OPEN);
        assert_true(ide_insert_medium(&machine->ide, 0, 1, disk));
        assert_packet_check(machine, PACKET(0x00), ATAPI_UNIT_ATTENTION, ATAPI_MEDIUM_MAY_HAVE_CHANGED);
    }
}

/* What is in the buffer is read; for more, the medium is missing, even if there is another one now. */
static void test_eject_between_requests(void **state)
{
    struct machine *machine = *state;

    packet_pio(machine, PACKET(0x28, 0, 0, 0, 0, 0, 0, 0, 64), 2048);
    assert_true(ide_eject_medium(&machine->ide, 0, 1, true));
    assert_int_equal(machine->released_calls, 1);
    assert_true(ide_insert_medium(&machine->ide, 0, 1, &machine->disks[2]));
    for (unsigned i = 0; i < 32; i++) {
        read_words(machine, data, 1024);
        assert_block(machine, &machine->disks[1], i, data);
    }
    assert_int_equal(in(machine, STATUS), READY | IDE_STATUS_ERR);
    assert_int_equal(in(machine, ERROR), 0x24);
    assert_int_equal(machine->disks[2].requests, 0);
    /* While the drive waits for the bus master. */
    assert_packet_check(machine, PACKET(0x00), ATAPI_UNIT_ATTENTION, ATAPI_MEDIUM_MAY_HAVE_CHANGED);
    packet_dma(machine, PACKET(0x28, 0, 0, 0, 0, 0, 0, 0, 2));
    assert_true(ide_eject_medium(&machine->ide, 0, 1, true));
    set_prd(machine, 0, BUFFER, 0x1000 | LAST);
    start_master(machine, true);
    assert_check(machine, ATAPI_NOT_READY, ATAPI_NO_MEDIUM_TRAY_OPEN);
    /* A reply that has nothing to do with it. */
    ide_insert_medium(&machine->ide, 0, 1, &machine->disks[1]);
    packet_pio(machine, PACKET(0x12, 0, 0, 0, 36), ANY_LIMIT);
    ide_eject_medium(&machine->ide, 0, 1, true);
    assert_int_equal(receive(machine, data, 36), 36);
    assert_good(machine);
    /* In the middle of the packet. */
    ide_insert_medium(&machine->ide, 0, 1, &machine->disks[1]);
    assert_packet_check(machine, PACKET(0x00), ATAPI_UNIT_ATTENTION, ATAPI_MEDIUM_MAY_HAVE_CHANGED);
    out(machine, COMMAND, 0xa0);
    write_words(machine, PACKET(0x28, 0, 0, 0, 0, 0, 0, 0, 2), 3);
    ide_eject_medium(&machine->ide, 0, 1, true);
    write_words(machine, PACKET(0, 0, 0, 2), 3);
    assert_check(machine, ATAPI_NOT_READY, ATAPI_NO_MEDIUM_TRAY_OPEN);
}

/* A reset and an ejection meet: the reset ends, and the medium is let go, when the request is back. */
static void test_eject_and_reset_in_flight(void **state)
{
    struct machine *machine = *state;
    struct disk *disk = &machine->disks[1];

    disk->asynchronous = true;
    packet_pio(machine, PACKET(0x28, 0, 0, 0, 0, 5, 0, 0, 2), 2048);
    out(machine, CONTROL, CONTROL_SRST);
    out(machine, CONTROL, 0);
    assert_true(ide_eject_medium(&machine->ide, 0, 1, false));
    assert_int_equal(machine->released_calls, 0);
    assert_int_equal(in(machine, STATUS), IDE_STATUS_BSY);
    fake_disk_complete(disk);
    assert_int_equal(machine->released_calls, 1);
    assert_signature(machine);
    assert_packet_check(machine, PACKET(0x00), ATAPI_NOT_READY, ATAPI_NO_MEDIUM_TRAY_OPEN);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, atapi_set_up, ide_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_read_capacity),
        TEST(test_toc_tracks),
        TEST(test_toc_sessions_and_raw),
        TEST(test_toc_of_dvd),
        TEST(test_sub_channel),
        TEST(test_disc_and_track_information),
        TEST(test_dvd_structure),
        TEST(test_configuration),
        TEST(test_profile_by_size),
        TEST(test_media_events),
        TEST(test_eject_request),
        TEST(test_guest_ejects),
        TEST(test_insert_rules),
        TEST(test_operational_change),
        TEST(test_eject_in_flight),
        TEST(test_eject_between_requests),
        TEST(test_eject_and_reset_in_flight),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
