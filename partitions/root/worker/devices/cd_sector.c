/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/cd_sector.h"

#include <string.h>

/* Where things are in a sector. */
#define HEADER        12u
#define USER          16u
#define DETECTION     2064u /* EDC, four bytes */
#define PARITY_P      2076u
#define PARITY_Q      2248u
#define DETECTED      DETECTION /* the EDC covers everything before it */
#define MODE_1        1
#define PARITY_PLACES 2

static const struct {
    uint8_t field;
    uint16_t offset;
    uint16_t length;
} fields_of_sector[] = {
    {CD_FIELD_SYNC,   0,         HEADER                    },
    {CD_FIELD_HEADER, HEADER,    USER - HEADER             },
    {CD_FIELD_USER,   USER,      CD_USER_DATA              },
    {CD_FIELD_PARITY, DETECTION, CD_SECTOR_SIZE - DETECTION},
};

#define FIELDS (sizeof fields_of_sector / sizeof *fields_of_sector)

void cd_address(uint8_t msf[3], uint32_t block)
{
    uint64_t frames = (uint64_t)block + CD_PREGAP;
    uint64_t minute = frames / (CD_FRAMES * CD_SECONDS);

    if (minute > UINT8_MAX) {
        msf[0] = UINT8_MAX;
        msf[1] = CD_SECONDS - 1;
        msf[2] = CD_FRAMES - 1;
        return;
    }
    msf[0] = (uint8_t)minute;
    msf[1] = (uint8_t)(frames / CD_FRAMES % CD_SECONDS);
    msf[2] = (uint8_t)(frames % CD_FRAMES);
}

static uint8_t to_bcd(uint8_t value)
{
    return (uint8_t)(value / 10 % 10 << 4 | value % 10);
}

/*
 * The error detection code: the remainder by (x^16 + x^15 + x^2 + 1)(x^16 + x^2 + x + 1), least significant
 * bit first.
 */
static uint32_t detection_code(const uint8_t *data, unsigned length)
{
    uint32_t code = 0;

    for (unsigned i = 0; i < length; i++) {
        code ^= data[i];
        for (unsigned bit = 0; bit < 8; bit++)
            code = code >> 1 ^ (code & 1 ? 0xd8018001u : 0);
    }
    return code;
}

/* The field of 256 elements by x^8 + x^4 + x^3 + x^2 + 1; a is the element 2. */
static uint8_t times_a(uint8_t value)
{
    return (uint8_t)(value << 1 ^ (value & 0x80 ? 0x1d : 0));
}

static uint8_t times(uint8_t value, uint8_t factor)
{
    uint8_t product = 0;

    for (; factor; factor >>= 1, value = times_a(value))
        if (factor & 1)
            product ^= value;
    return product;
}

/*
 * Two parity bytes p and q that make a code word: the sum of its bytes is 0, and so is that of its bytes each
 * times a to the power of its distance from the end. `sum` and `weighted` are these sums for the data alone,
 * the last data byte counted as the end.
 */
static void solve_parity(uint8_t sum, uint8_t weighted, uint8_t *p, uint8_t *q)
{
    /* a p + q = a^2 weighted and p + q = sum; F4h is 1 / (a + 1). */
    *p = times((uint8_t)(sum ^ times_a(times_a(weighted))), 0xf4);
    *q = sum ^ *p;
}

/*
 * The code words of one kind: `words` of them with `length` data bytes each. They lie in the bytes from the
 * header on, taken as two interleaved planes; word n of a plane begins `begin` * n further and goes on by
 * `step`, round at the end of the data.
 */
static void add_parity(uint8_t *sector, unsigned words, unsigned length, unsigned begin, unsigned step, uint8_t *parity)
{
    unsigned plane = words * length / 2;

    for (unsigned word = 0; word < words; word++) {
        unsigned place = word / 2 * begin;
        uint8_t sum = 0;
        uint8_t weighted = 0;

        for (unsigned i = 0; i < length; i++) {
            uint8_t byte = sector[HEADER + 2 * (place % plane) + word % 2];

            sum ^= byte;
            weighted = times_a(weighted) ^ byte;
            place += step;
        }
        solve_parity(sum, weighted, &parity[word], &parity[words + word]);
    }
}

void cd_sector_make(uint8_t sector[CD_SECTOR_SIZE], uint32_t block, const uint8_t user[CD_USER_DATA])
{
    uint32_t code;
    uint8_t msf[3];

    memset(sector, 0, CD_SECTOR_SIZE);
    memset(sector + 1, 0xff, HEADER - 2);
    cd_address(msf, block);
    for (unsigned i = 0; i < 3; i++)
        sector[HEADER + i] = to_bcd(msf[i]);
    sector[HEADER + 3] = MODE_1;
    memcpy(sector + USER, user, CD_USER_DATA);
    code = detection_code(sector, DETECTED);
    for (unsigned i = 0; i < 4; i++)
        sector[DETECTION + i] = code >> (8 * i) & 0xff;
    add_parity(sector, 86, 24, 1, 43, sector + PARITY_P);
    add_parity(sector, 52, 43, 43, 44, sector + PARITY_Q);
}

uint32_t cd_sector_length(uint8_t fields)
{
    uint32_t length = 0;

    for (unsigned i = 0; i < FIELDS; i++)
        if (fields & fields_of_sector[i].field)
            length += fields_of_sector[i].length;
    return length;
}

uint32_t cd_sector_fields(const uint8_t sector[CD_SECTOR_SIZE], uint8_t fields, uint8_t *data)
{
    uint32_t length = 0;

    for (unsigned i = 0; i < FIELDS; i++) {
        if (!(fields & fields_of_sector[i].field))
            continue;
        memcpy(data + length, sector + fields_of_sector[i].offset, fields_of_sector[i].length);
        length += fields_of_sector[i].length;
    }
    return length;
}
