/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looking a VHDX over. Nothing is changed; a log that is to be replayed is, in memory. */
#ifndef DISK_VHDX_CHECK_H
#define DISK_VHDX_CHECK_H

#include "partitions/root/disk/check.h"

/*
 * Tells `report` of everything that is not as it should be: headers, region table, log, metadata, the parent's locator,
 * every entry of the BAT, and blocks over each other or over anything else. The work is proportional to the BAT, the
 * memory to the file: a bit for each MiB. False with `error` if it could not be done; a VHDX that cannot be opened
 * because it is damaged is a finding, and no failure.
 */
bool vhdx_check(struct disk_file *file, disk_check_report *report, void *context, struct disk_error *error);

#endif
