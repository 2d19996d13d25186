/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The mode pages of the DVD drive (MMC-5, clause 7; the older ones MMC-3 and SFF-8020i). */
#ifndef WORKER_DEVICES_ATAPI_MODE_H
#define WORKER_DEVICES_ATAPI_MODE_H

#include "partitions/root/worker/devices/atapi_command.h"

/* All pages take their default values. */
void atapi_mode_reset(struct atapi *atapi);

/* MODE SENSE and MODE SELECT, of 6 and of 10 bytes. */
atapi_handler_fn atapi_mode_sense;
atapi_handler_fn atapi_mode_select;
atapi_handler_fn atapi_mode_selected;

/* SET CD SPEED: the speed is a field of a page. */
atapi_handler_fn atapi_set_cd_speed;

#endif
