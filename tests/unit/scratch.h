/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A directory of its own for each test of disks in files, and a progress callback that remembers and cancels.
 */
#ifndef TESTS_SCRATCH_H
#define TESTS_SCRATCH_H

#include <signal.h>
#include <stdint.h>

/* Make a directory the current one, and remove it with all that is in it. */
int scratch_setup(void **state);
int scratch_teardown(void **state);
#define scratch_test(function) cmocka_unit_test_setup_teardown(function, scratch_setup, scratch_teardown)

/* Files in the current directory, hidden ones included. */
unsigned scratch_files(void);

struct scratch_progress {
    unsigned calls;
    uint64_t last, total;
    volatile sig_atomic_t *cancel; /* set with call number `cancel_at` */
    unsigned cancel_at;
};

/* For struct disk_progress: `context` is a struct scratch_progress. Fails the test if it goes backwards. */
void scratch_progress(void *context, uint64_t done, uint64_t total);

#endif
