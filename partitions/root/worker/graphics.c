/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/graphics.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

/* The guest's RAM may be where the adapter's memory is to appear: then it stays unseen, as on a bus. */
static void map(void *context, uint64_t gpa, uint64_t length, uint8_t *host)
{
    struct graphics *graphics = context;
    int result = guest_ram_show(graphics->ram, gpa, length, host);

    if (result && result != -EEXIST)
        ++*graphics->memory_errors;
}

static void unmap(void *context, uint64_t gpa, uint64_t length)
{
    struct graphics *graphics = context;

    (void)length;
    graphics->writes_unknown = true; /* what was written there and not asked for yet */
    if (guest_ram_hide(graphics->ram, gpa))
        ++*graphics->memory_errors;
}

/* Adds the pages that the guest has written by way of one window on the video memory. False: it cannot be known. */
static bool add_written(const struct graphics *graphics, const struct guest_ram_window *window, uint64_t offset,
                        uint64_t length, uint64_t *bitmap)
{
    const struct hypervisor_operations *operations = graphics->ram->hypervisor->operations;
    uint64_t start = (uint64_t)(window->host - graphics->memory), end = start + window->length;
    uint64_t first = start > offset ? start : offset, last = end < offset + length ? end : offset + length;
    uint64_t written[VGA_PAGES / 64], count;

    if (first >= last)
        return true;
    count = (last - first) / VGA_PAGE_SIZE;
    if (operations->written_pages(graphics->ram->hypervisor, (window->gpa + first - start) / VGA_PAGE_SIZE, count,
                                  MSHV_GPAP_ACCESS_OP_CLEAR, written))
        return false;
    for (uint64_t i = 0, page = (first - offset) / VGA_PAGE_SIZE; i < count; i++, page++)
        bitmap[page / 64] |= (written[i / 64] >> (i % 64) & 1) << (page % 64);
    return true;
}

static bool dirty(void *context, uint64_t offset, uint64_t length, uint64_t *bitmap)
{
    struct graphics *graphics = context;
    bool known = !graphics->writes_unknown;

    graphics->writes_unknown = false;
    memset(bitmap, 0, (length / VGA_PAGE_SIZE + 63) / 64 * sizeof *bitmap);
    for (unsigned i = 0; i < GUEST_RAM_WINDOWS; i++) {
        const struct guest_ram_window *window = &graphics->ram->windows[i];

        if (window->length && window->host >= graphics->memory && window->host < graphics->memory + VGA_MEMORY_SIZE)
            known &= add_written(graphics, window, offset, length, bitmap);
    }
    return known;
}

static bool read_text(void *context, struct screen_text *text)
{
    struct graphics *graphics = context;

    return vga_characters(&graphics->vga, &text->columns, &text->rows, text->characters, sizeof text->characters) &&
           text->columns <= SCREEN_TEXT_COLUMNS && text->rows <= SCREEN_TEXT_ROWS;
}

bool graphics_create(struct graphics *graphics, struct platform *platform, struct guest_ram *ram,
                     pthread_mutex_t *device_lock, uint64_t *memory_errors, char error[GRAPHICS_ERROR_SIZE])
{
    struct vga_configuration configuration = {
        .timers = platform->timers,
        .device_lock = device_lock,
        .map = map,
        .unmap = unmap,
        .dirty = dirty,
        .context = graphics,
    };
    void *memory = mmap(NULL, VGA_HOST_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED) {
        snprintf(error, GRAPHICS_ERROR_SIZE, "no memory for the screen: %s", strerror(errno));
        return false;
    }
    graphics->ram = ram;
    graphics->memory_errors = memory_errors;
    configuration.memory = graphics->memory = memory;
    if (!vga_initialize(&graphics->vga, &platform->pci, VGA_SLOT, &configuration)) {
        snprintf(error, GRAPHICS_ERROR_SIZE, "the PCI bus has no place for the graphics adapter");
        return false;
    }
    graphics->input = (struct input){.device_lock = device_lock, .controller = &platform->keyboard};
    graphics->screen = (struct machine_screen){
        .display = {.update = vga_update, .context = &graphics->vga},
        .input = input_sink(&graphics->input),
        .text = {.read = read_text,    .context = graphics      },
    };
    return true;
}

void graphics_free(struct graphics *graphics)
{
    if (graphics->memory)
        munmap(graphics->memory, VGA_HOST_SIZE);
}
