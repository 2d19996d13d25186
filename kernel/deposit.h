/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pages that the parent lends to partitions, and their way back. */
#ifndef KERNEL_DEPOSIT_H
#define KERNEL_DEPOSIT_H

#include "hv/types.h"

struct partition;

/*
 * Gives free pages of the partition's pool back to the parent, until `maximum` are the parent's again, the
 * pool is empty, or *budget (in instructions) is used up. Their pfns go to `pages` (NULL: nobody wants to
 * know). `scratch` is a page. Returns how many; one more may be in partition->returned_pfn. Under the
 * partition's lock.
 */
uint32_t deposit_return(struct partition *partition, uint64_t *pages, uint32_t maximum, uint64_t *scratch,
                        uint32_t *budget);

/* There is something that deposit_return could give back. Under the partition's lock. */
bool deposit_left(const struct partition *partition);

#endif
