/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fuzzer's bytes, taken from the front as the harness needs numbers; zeros once they are used up. */
#ifndef TESTS_FUZZ_FUZZ_INPUT_H
#define TESTS_FUZZ_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>

struct fuzz_input {
    const uint8_t *data;
    size_t left;
};

/* A little-endian number of `size` bytes, 1 to 4. */
uint32_t fuzz_take(struct fuzz_input *input, unsigned size);

/* Fills `buffer`; what the input does not have is zero. */
void fuzz_take_bytes(struct fuzz_input *input, void *buffer, size_t length);

#endif
