/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether an image is the parent that its child was made from. */
#ifndef DISK_PARENT_CHECK_H
#define DISK_PARENT_CHECK_H

#include "partitions/root/disk/image.h"

/* Whether the image has the identifier that its child has for its parent. */
bool parent_has_identity(const struct disk_image *parent, const struct parent_link *link);

/* Whether it has, and is unchanged. False with `error`, ENOLINK, which says how to mend it. */
bool parent_check(const struct disk_image *child, const struct disk_image *parent, const struct parent_link *link,
                  struct disk_error *error);

/* Says in `error`, ENOLINK, that there is no file by any of the link's names. */
void parent_missing(const struct disk_image *child, const struct parent_link *link, struct disk_error *error);

#endif
