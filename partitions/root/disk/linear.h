/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Images whose sectors stand in the file one after the other: raw images, and fixed VHDs before their footer.
 */
#ifndef DISK_LINEAR_H
#define DISK_LINEAR_H

#include "partitions/root/disk/format.h"

/* NULL if there is no memory. The caller sets file, sectors, geometry and read_only. */
struct disk *linear_open(void);

#endif
