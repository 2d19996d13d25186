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
    if (guest_ram_hide(graphics->ram, gpa))
        ++*graphics->memory_errors;
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
