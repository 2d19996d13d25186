/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of virtual machines and switches. They are also names of files. */
#ifndef MANAGER_NAME_H
#define MANAGER_NAME_H

#include <stdbool.h>

#define NAME_LENGTH 63
#define NAME_SIZE   (NAME_LENGTH + 1)
#define NAME_RULE   "1 to 63 letters, digits, '-', '_' and '.', beginning with a letter or a digit"

bool name_is_valid(const char *name);

/*
 * Whether somebody who typed `typed` may have meant `name`: they differ by at most two insertions, deletions,
 * replacements or swaps of neighbours, and by no more than half of the name's length. The better the smaller;
 * 0: no, or it is the same.
 */
unsigned name_resemblance(const char *typed, const char *name);

#endif
