/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/fuzz_input.h"

#include <string.h>

void fuzz_take_bytes(struct fuzz_input *input, void *buffer, size_t length)
{
    size_t have = length < input->left ? length : input->left;

    memset(buffer, 0, length);
    if (have == 0)
        return;
    memcpy(buffer, input->data, have);
    input->data += have;
    input->left -= have;
}

uint32_t fuzz_take(struct fuzz_input *input, unsigned size)
{
    uint32_t value = 0;

    fuzz_take_bytes(input, &value, size);
    return value;
}
