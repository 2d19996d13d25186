/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What strangers send to loam-fetch: messages of a disk whose guest has taken its process over, headers of a web
 * server, and what an image that came from elsewhere records of its parent. The first byte says which.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/disk/remote_source.h"
#include "partitions/root/fetch/client.h"
#include "partitions/root/fetch/http_answer.h"

#define SIZE 5000000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool condition)
{
    if (!condition)
        abort();
}

/* In pieces of 1 to 64 bytes. */
static void take_messages(const uint8_t *data, size_t size)
{
    static const struct fetch_source source = {.size = SIZE};
    static struct client client;
    char error[FETCH_TEXT_SIZE] = "";
    client_initialize(&client, -1);
    client.source = &source;
    while (size > 1) {
        size_t piece = data[0] % 64u + 1;
        piece = piece < size - 1 ? piece : size - 1;
        if (!client_take(&client, data + 1, piece, error))
            break;
        data += piece + 1;
        size -= piece + 1;
    }
    for (unsigned i = 0; i < FETCH_REQUESTS_MAXIMUM; i++) {
        const struct fetch_read *read = &client.reads[i];
        expect(read->state == READ_FREE || (read->length > 0 && read->length <= FETCH_READ_MAXIMUM &&
                                            read->offset < SIZE && read->offset + read->length <= SIZE));
        free(read->buffer);
    }
}

static void take_headers(const uint8_t *data, size_t size)
{
    const struct fetch_read read = {.offset = 1000, .length = 100};
    struct reader reader = {
        .source = {.size = SIZE, .validator = "\"a\""}
    };
    struct http_answer answer = {0};
    char reason[FETCH_TEXT_SIZE] = "";
    reader.size_known = reader.validator_known = size > 0 && data[0] % 2;
    while (size > 0) {
        const uint8_t *end = memchr(data, '\n', size);
        size_t length = end ? (size_t)(end - data) + 1 : size;
        if (!http_answer_add(&answer, (const char *)data, length))
            return;
        data += length;
        size -= length;
    }
    enum reader_verdict verdict = http_answer_judge(&answer, &read, &reader, reason);
    expect((verdict == READER_DONE) == (reason[0] == '\0'));
    expect(verdict != READER_DONE || (answer.first == read.offset && answer.last == read.offset + read.length - 1));
}

static void take_record(const uint8_t *data, size_t size)
{
    struct remote_source source, again;
    char text[REMOTE_SOURCE_TEXT_SIZE];
    if (!remote_source_decode((const char *)data, size, &source))
        return;
    remote_source_encode(&source, text);
    expect(remote_source_decode(text, strlen(text), &again) && memcmp(&source, &again, sizeof(source)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const takers[])(const uint8_t *data, size_t size) = {take_messages, take_headers, take_record};
    if (size > 0)
        takers[data[0] % 3u](data + 1, size - 1);
    return 0;
}
