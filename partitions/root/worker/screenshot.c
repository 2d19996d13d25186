/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/screenshot.h"

#include <errno.h>
#include <spng.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define FIRST_SIZE   65536u
#define SAMPLE_DEPTH 8
#define COLOURS      3u

/* What deflate can make of a picture at worst: a few bytes more than it is, in each of its blocks. */
static size_t largest(const struct display *display)
{
    size_t raw = ((size_t)display->width * COLOURS + 1) * display->height;

    return raw + raw / 128 + FIRST_SIZE;
}

struct target {
    struct screenshot *screenshot;
    size_t largest;
};

static int append(spng_ctx *context, void *user, void *bytes, size_t length)
{
    struct target *target = user;
    struct screenshot *screenshot = target->screenshot;
    size_t size = screenshot->size;

    (void)context;
    if (length > target->largest - screenshot->length)
        return SPNG_IO_ERROR;
    while (size < screenshot->length + length)
        size = size ? size * 2 : FIRST_SIZE;
    if (size != screenshot->size) {
        uint8_t *larger = realloc(screenshot->bytes, size);

        if (!larger)
            return SPNG_IO_ERROR;
        screenshot->bytes = larger;
        screenshot->size = size;
    }
    memcpy(screenshot->bytes + screenshot->length, bytes, length);
    screenshot->length += length;
    return SPNG_OK;
}

static int encode_rows(spng_ctx *context, const struct display *display, uint8_t *row)
{
    int error = SPNG_OK;

    for (unsigned y = 0; y < display->height && !error; y++) {
        const uint32_t *pixels = display->pixels + (size_t)y * display->width;

        for (unsigned x = 0; x < display->width; x++) {
            row[COLOURS * x] = (uint8_t)(pixels[x] >> 16);
            row[COLOURS * x + 1] = (uint8_t)(pixels[x] >> 8);
            row[COLOURS * x + 2] = (uint8_t)pixels[x];
        }
        error = spng_encode_row(context, row, COLOURS * display->width);
    }
    return error == SPNG_EOI ? SPNG_OK : error;
}

static int encode(spng_ctx *context, const struct display *display, struct target *target, uint8_t *row)
{
    struct spng_ihdr header = {.width = display->width,
                               .height = display->height,
                               .bit_depth = SAMPLE_DEPTH,
                               .color_type = SPNG_COLOR_TYPE_TRUECOLOR};
    int error = spng_set_png_stream(context, append, target);

    if (!error)
        error = spng_set_ihdr(context, &header);
    if (!error)
        error = spng_encode_image(context, NULL, 0, SPNG_FMT_PNG, SPNG_ENCODE_PROGRESSIVE | SPNG_ENCODE_FINALIZE);
    return error ? error : encode_rows(context, display, row);
}

int screenshot_take(struct screenshot *screenshot, const struct display *display)
{
    struct target target = {.screenshot = screenshot, .largest = largest(display)};
    uint8_t *row;
    spng_ctx *context;
    int error = SPNG_EMEM;

    *screenshot = (struct screenshot){0};
    if (!display->pixels || display->width == 0 || display->height == 0)
        return EAGAIN;
    row = malloc((size_t)display->width * COLOURS);
    context = spng_ctx_new(SPNG_CTX_ENCODER);
    if (row && context)
        error = encode(context, display, &target, row);
    spng_ctx_free(context);
    free(row);
    return error ? ENOMEM : 0;
}

int screenshot_send(struct screenshot *screenshot, int descriptor)
{
    while (screenshot->sent < screenshot->length) {
        ssize_t count = send(descriptor, screenshot->bytes + screenshot->sent, screenshot->length - screenshot->sent,
                             MSG_NOSIGNAL | MSG_DONTWAIT);

        if (count > 0)
            screenshot->sent += (size_t)count;
        else if (errno != EINTR)
            return errno;
    }
    return 0;
}

void screenshot_close(struct screenshot *screenshot)
{
    free(screenshot->bytes);
    *screenshot = (struct screenshot){0};
}
