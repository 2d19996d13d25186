/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A whole mode 1 sector of a CD (ECMA-130, clause 14 and annexes A, B), as READ CD can show it. */
#ifndef WORKER_DEVICES_CD_SECTOR_H
#define WORKER_DEVICES_CD_SECTOR_H

#include <stdint.h>

#define CD_SECTOR_SIZE 2352u
#define CD_USER_DATA   2048u

/* Fields of a sector, as READ CD names them (MMC-5, 6.18: byte 9). */
#define CD_FIELD_SYNC   0x80
#define CD_FIELD_HEADER 0x20
#define CD_FIELD_USER   0x10
#define CD_FIELD_PARITY 0x08 /* error detection and correction */

/* Blocks a minute, and how far block 0 is from minute 0. */
#define CD_FRAMES  75u
#define CD_SECONDS 60u
#define CD_PREGAP  150u

/* Minute, second and frame of a block; what minutes cannot name is FFh:59:74. */
void cd_address(uint8_t msf[3], uint32_t block);

/* Surrounds the user data of `block` with everything else. */
void cd_sector_make(uint8_t sector[CD_SECTOR_SIZE], uint32_t block, const uint8_t user[CD_USER_DATA]);

/* How many bytes `fields` of a sector are. */
uint32_t cd_sector_length(uint8_t fields);

/* Copies them, in the sector's order; returns how many bytes. */
uint32_t cd_sector_fields(const uint8_t sector[CD_SECTOR_SIZE], uint8_t fields, uint8_t *data);

#endif
