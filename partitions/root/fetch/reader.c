/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/fetch/reader.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum reader_verdict reader_check_source(struct reader *reader, uint64_t size, const char *validator,
                                        char reason[FETCH_TEXT_SIZE])
{
    struct fetch_source *source = &reader->source;
    bool same = (!reader->size_known || size == source->size) &&
                (!reader->validator_known || strcmp(validator, source->validator) == 0);
    if (size == 0)
        snprintf(reason, FETCH_TEXT_SIZE, "there is an empty file");
    else if (!same)
        snprintf(reason, FETCH_TEXT_SIZE, "what is there is not what it was: it was changed, or replaced");
    if (size == 0 || !same)
        return READER_REFUSED;
    source->size = size;
    snprintf(source->validator, sizeof(source->validator), "%s", validator);
    reader->size_known = reader->validator_known = true;
    return READER_DONE;
}

uint64_t reader_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}
