/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What has changed for a display. For each one that looks, a digest is kept of what every line was drawn from: a line
 * is drawn only if it is another, and told only from the first pixel to the last that differ from those in the display.
 * Where the guest's writes are known by page, lines in pages that nobody wrote are not even read.
 */
#include "partitions/root/worker/devices/vga_frame.h"

#include <stdlib.h>
#include <string.h>

/* Areas this many lines apart become one: a line of text has empty ones above and below its letters. */
#define AREA_GAP 16

#define DIGEST_MULTIPLIER 0x9e3779b97f4a7c15ull /* 2^64 divided by the golden ratio */

/* Pages written since the display was drawn last. */
struct written_pages {
    bool known;
    uint64_t bitmap[VGA_PAGES / 64];
};

struct update {
    struct vga *vga;
    struct display *display;
    struct vga_watcher *watcher; /* NULL: too many displays at once */
    struct written_pages pages;
    bool same_look;
    struct display_area *areas;
    unsigned area_count;
    struct vga_frame frame;
    bool fetched; /* the frame has the source of the line at this address */
    uint32_t fetched_address;
    uint64_t source_digest;
};

static uint64_t digest(uint64_t value, const void *data, size_t length)
{
    const uint8_t *bytes = data;

    while (length > 0) {
        uint64_t word = 0;
        size_t size = length < sizeof word ? length : sizeof word;

        memcpy(&word, bytes, size);
        value = (value ^ word) * DIGEST_MULTIPLIER;
        value ^= value >> 29;
        bytes += size;
        length -= size;
    }
    return value;
}

/* ---- Under the device lock ---- */

static struct vga_watcher *find_watcher(struct vga *vga, const struct display *display)
{
    struct vga_watcher *oldest = NULL;

    for (unsigned i = 0; i < VGA_WATCHERS; i++) {
        struct vga_watcher *watcher = &vga->watchers[i];

        if (watcher->display == display)
            return watcher;
        if (!watcher->busy && (!oldest || watcher->used < oldest->used))
            oldest = watcher;
    }
    if (oldest) {
        oldest->display = display;
        oldest->valid = false;
    }
    return oldest;
}

static void mark_pages(struct vga *vga, unsigned first, unsigned count, const uint64_t *bitmap)
{
    for (unsigned i = 0; i < count; i++)
        if (!bitmap || bitmap[i / 64] >> (i % 64) & 1)
            vga->page_written[first + i] = vga->generation;
}

/* Asks for the pages of the picture, and remembers what is new for every display. */
static void find_written_pages(struct update *update)
{
    struct vga *vga = update->vga;
    const struct vga_look *look = &update->frame.look;
    const struct vga_configuration *configuration = &vga->configuration;
    unsigned first = look->first_byte / VGA_PAGE_SIZE;
    unsigned end = (look->first_byte + look->height * look->line_bytes + VGA_PAGE_SIZE - 1) / VGA_PAGE_SIZE;
    uint64_t bitmap[VGA_PAGES / 64] = {0};

    if (end > VGA_PAGES)
        end = VGA_PAGES;
    if (vga->written)
        mark_pages(vga, 0, VGA_PAGES, NULL);
    vga->written = false;
    if (configuration->dirty(configuration->context, (uint64_t)first * VGA_PAGE_SIZE,
                             (uint64_t)(end - first) * VGA_PAGE_SIZE, bitmap))
        mark_pages(vga, first, end - first, bitmap);
    else
        mark_pages(vga, first, end - first, NULL);
    update->pages.known = update->watcher && update->watcher->valid;
    for (unsigned i = first; update->pages.known && i < end; i++)
        if (vga->page_written[i] > update->watcher->used)
            update->pages.bitmap[i / 64] |= 1ull << (i % 64);
}

static void begin(struct update *update)
{
    struct vga *vga = update->vga;

    pthread_mutex_lock(vga->configuration.device_lock);
    vga->generation++;
    update->watcher = find_watcher(vga, update->display);
    vga_frame_take(vga, &update->frame);
    if (vga_packed(&update->frame.look) && vga->configuration.dirty)
        find_written_pages(update);
    if (update->watcher) {
        update->watcher->busy = true;
        update->watcher->used = vga->generation;
    }
    pthread_mutex_unlock(vga->configuration.device_lock);
}

static void end(struct update *update)
{
    pthread_mutex_lock(update->vga->configuration.device_lock);
    if (update->watcher)
        update->watcher->busy = false;
    pthread_mutex_unlock(update->vga->configuration.device_lock);
}

/* ---- Areas ---- */

static unsigned lower(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static unsigned higher(unsigned a, unsigned b)
{
    return a > b ? a : b;
}

/* Can a line join the newest area? It has to if there is no room for another. */
static bool joins_area(const struct update *update, unsigned y)
{
    const struct display_area *area = &update->areas[update->area_count - 1];

    return y < area->y + area->height + AREA_GAP || update->area_count == DISPLAY_AREAS;
}

/* Pixels [left, right) of line `y` are new; lines come in ascending order. */
static void add_area(struct update *update, unsigned y, unsigned left, unsigned right)
{
    struct display_area *area;
    unsigned area_right;

    if (update->area_count == 0 || !joins_area(update, y)) {
        update->areas[update->area_count++] = (struct display_area){left, y, right - left, 1};
        return;
    }
    area = &update->areas[update->area_count - 1];
    area_right = higher(area->x + area->width, right);
    area->x = lower(area->x, left);
    area->width = area_right - area->x;
    area->height = y + 1 - area->y;
}

/* ---- Lines ---- */

/* Could the line's memory have changed, as far as pages say? */
static bool line_written(const struct update *update, const struct vga_line *line)
{
    unsigned last = (line->address + update->frame.look.line_bytes - 1) / VGA_PAGE_SIZE;

    if (!update->pages.known || !update->same_look)
        return true;
    for (unsigned i = line->address / VGA_PAGE_SIZE; i <= last && i < VGA_PAGES; i++)
        if (update->pages.bitmap[i / 64] >> (i % 64) & 1)
            return true;
    return false;
}

/* Attributes that blink in this line as they are shown now: the only thing beside the cursor that time changes. */
static uint64_t blinking(const struct vga_frame *frame)
{
    if (frame->look.drawing != VGA_DRAW_TEXT || !frame->look.blink || !frame->blinked)
        return 0;
    for (size_t i = 1; i < frame->source_length; i += 2)
        if (frame->source[i] & 0x80)
            return 1;
    return 0;
}

/* Fetches the line, unless the one before it was made of the same: a row of text, a line that is shown twice. */
static void fetch_line(struct update *update, const struct vga_line *line)
{
    struct vga_frame *frame = &update->frame;

    if (update->fetched && line->address == update->fetched_address && vga_frame_rows_are_alike(&frame->look))
        return;
    vga_frame_fetch(frame, line);
    update->fetched = true;
    update->fetched_address = line->address;
    update->source_digest = digest(0, frame->source, frame->source_length);
}

static uint64_t line_digest(const struct update *update, const struct vga_line *line)
{
    const struct vga_frame *frame = &update->frame;
    uint64_t moment[] = {
        update->source_digest,
        blinking(frame),
        vga_frame_has_cursor(frame, line) ? frame->cursor_location + 1ull : 0,
    };

    return digest(0, moment, sizeof moment);
}

static void compare_line(struct update *update, unsigned y, const uint32_t *dots)
{
    unsigned width = update->display->width;
    uint32_t *pixels = update->display->pixels + (size_t)y * width;
    unsigned left = 0;
    unsigned right = width;

    if (memcmp(pixels, dots, width * sizeof *pixels) == 0)
        return;
    while (pixels[left] == dots[left])
        left++;
    while (pixels[right - 1] == dots[right - 1])
        right--;
    memcpy(pixels + left, dots + left, (right - left) * sizeof *pixels);
    add_area(update, y, left, right);
}

static void update_line(struct update *update, unsigned y)
{
    struct vga_frame *frame = &update->frame;
    struct vga_line line = vga_frame_line(&frame->look, y);
    uint64_t value;

    if (!line_written(update, &line))
        return;
    fetch_line(update, &line);
    value = line_digest(update, &line);
    if (update->same_look && update->watcher->lines[y] == value)
        return;
    if (update->watcher)
        update->watcher->lines[y] = value;
    compare_line(update, y, vga_draw(frame, &line));
}

/* ---- Displays ---- */

/* Makes the display as large as the picture. False: no memory. */
static bool resize(struct update *update)
{
    struct display *display = update->display;
    const struct vga_look *look = &update->frame.look;
    uint32_t *pixels;

    if (display->width == look->width && display->height == look->height)
        return true;
    pixels = calloc((size_t)look->width * look->height, sizeof *pixels);
    if (!pixels)
        return false;
    free(display->pixels);
    *display = (struct display){look->width, look->height, pixels};
    update->same_look = false;
    return true;
}

static void note_look(struct update *update)
{
    struct vga_frame *frame = &update->frame;
    uint64_t look;

    vga_frame_fetch_fonts(frame);
    if (frame->look.drawing == VGA_DRAW_TEXT)
        frame->look.font_digest = digest(0, frame->fonts, sizeof frame->fonts);
    look = digest(0, &frame->look, sizeof frame->look);
    update->same_look = update->watcher && update->watcher->valid && update->watcher->look == look;
    if (update->watcher)
        update->watcher->look = look;
}

static void draw(struct update *update)
{
    struct display *display = update->display;
    bool new_size = display->width != update->frame.look.width || display->height != update->frame.look.height;

    note_look(update);
    if (!resize(update)) {
        if (update->watcher)
            update->watcher->valid = false;
        return;
    }
    for (unsigned y = 0; y < display->height; y++)
        update_line(update, y);
    if (update->watcher)
        update->watcher->valid = true;
    if (new_size) {
        update->areas[0] = (struct display_area){0, 0, display->width, display->height};
        update->area_count = 1;
    }
}

unsigned vga_update(void *context, struct display *display, struct display_area areas[DISPLAY_AREAS])
{
    struct update *update = calloc(1, sizeof *update);
    unsigned count;

    if (!update)
        return 0;
    update->vga = context;
    update->display = display;
    update->areas = areas;
    begin(update);
    draw(update);
    end(update);
    count = update->area_count;
    free(update);
    return count;
}
