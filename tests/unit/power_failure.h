/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Power failures of a file in memory whose changes are logged. For each change, a failure right after it is played:
 * what was synchronized is on the medium, and of the changes since (writes in pieces of a sector) any subset; all
 * subsets when they are few, otherwise some of them by chance.
 */
#ifndef TESTS_POWER_FAILURE_H
#define TESTS_POWER_FAILURE_H

#include "tests/unit/memory_file.h"

/* Chance is the same for the same seed. */
void power_failure_seed(uint64_t seed);
/* A number below `limit`. */
uint32_t power_failure_below(uint32_t limit);

/* Told of each medium that a failure after the first `point` changes of the log may leave. */
typedef void power_failure_visit(void *context, struct memory_file *medium, size_t point);

/*
 * Plays all failures of the log; returns how many. `base` is what the medium had at first, and is what was synchronized
 * at the end.
 */
uint64_t power_failure_play(const struct memory_file *logged, struct memory_file *base, power_failure_visit *visit,
                            void *context);

/* After power_failure_play, with its log as it was: makes `medium` one of those that a failure at the end leaves. */
void power_failure_choose(struct memory_file *medium, const struct memory_file *base);

/* A failure before anything else than what is logged: begins the log and remembers the content in `base`. */
void power_failure_begin(struct memory_file *memory, struct memory_file *base);

#endif
