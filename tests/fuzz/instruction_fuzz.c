/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hypervisor's decoder against Zydis: the first byte is the mode, up to 15 bytes of code follow. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/instruction_oracle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    unsigned count = size - 1 > INSTRUCTION_MAXIMUM ? INSTRUCTION_MAXIMUM : (unsigned)size - 1;
    const char *difference = instruction_oracle(data + 1, count, (enum code_mode)(data[0] % 3));
    if (difference != NULL) {
        fprintf(stderr, "%s\n", difference);
        abort();
    }
    return 0;
}
