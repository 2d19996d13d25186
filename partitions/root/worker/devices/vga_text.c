/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The screen's text, for tests and for people without a viewer. */
#include "partitions/root/worker/devices/vga_frame.h"

#include <stdlib.h>

/* Takes the frame if it is one of text; NULL: it is not, or no memory. */
static struct vga_frame *take_text_frame(struct vga *vga)
{
    struct vga_frame *frame = malloc(sizeof *frame);

    if (!frame)
        return NULL;
    pthread_mutex_lock(vga->configuration.device_lock);
    vga_frame_take(vga, frame);
    pthread_mutex_unlock(vga->configuration.device_lock);
    if (frame->look.drawing == VGA_DRAW_TEXT && !frame->look.blank)
        return frame;
    free(frame);
    return NULL;
}

bool vga_characters(struct vga *vga, unsigned *columns, unsigned *rows, uint8_t *characters, size_t size)
{
    struct vga_frame *frame = take_text_frame(vga);
    unsigned row_lines;
    bool fits;

    if (!frame)
        return false;
    row_lines = frame->look.row_lines << frame->look.line_shift;
    *columns = frame->look.columns;
    *rows = (frame->look.height + row_lines - 1) / row_lines;
    fits = (size_t)*columns * *rows <= size;
    for (unsigned row = 0; fits && row < *rows; row++) {
        struct vga_line line = vga_frame_line(&frame->look, row * row_lines);

        vga_frame_fetch(frame, &line);
        for (unsigned i = 0; i < *columns; i++)
            characters[row * *columns + i] = frame->source[2 * i];
    }
    free(frame);
    return fits;
}
