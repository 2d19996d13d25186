/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "arch/x86_64/boot/multiboot/linux_parent.h"

#define MIB      (1ull << 20)
#define FOUR_GIB (1ull << 32)

/* Linux: include/uapi/linux/screen_info.h. It begins boot_params. */
struct screen_info {
    uint8_t column, line;
    uint16_t extended_memory, page;
    uint8_t mode, columns, flags, unused;
    uint16_t ega_bx, unused2;
    uint8_t lines, type;
    uint16_t points;
    uint16_t width, height, depth;
    uint32_t base, size; /* size in 64 KiB */
    uint16_t magic, offset, line_length;
    uint8_t red_size, red_position, green_size, green_position, blue_size, blue_position;
    uint8_t reserved_size, reserved_position;
    uint16_t pm_segment, pm_offset, pages, attributes;
    uint32_t capabilities, base_high;
    uint16_t reserved;
} HV_PACKED;
HV_ASSERT_SIZE(struct screen_info, 64);
HV_ASSERT_OFFSET(struct screen_info, type, 0x0F);
HV_ASSERT_OFFSET(struct screen_info, base, 0x18);
HV_ASSERT_OFFSET(struct screen_info, line_length, 0x24);
HV_ASSERT_OFFSET(struct screen_info, capabilities, 0x36);
#define SCREEN_VGA_TEXT    0x01
#define SCREEN_FRAMEBUFFER 0x23
#define SCREEN_64_BIT_BASE (1u << 1)
#define VGA_MODE_80_25     3
#define VGA_COLUMNS        80
#define VGA_LINES          25
#define VGA_POINTS         16
#define SIZE_UNIT          0x10000u

/*
 * Where it likes best; else, if it can move, at the lowest place above that: a kernel below would unpack
 * itself to where it likes best all the same.
 */
static uint64_t place_kernel(const struct linux_image *image, const struct memory_map *free)
{
    uint64_t address = memory_map_find_lowest(free, image->memory_size, 1, image->preferred, FOUR_GIB);

    if (address != image->preferred && image->relocatable)
        return memory_map_find_lowest(free, image->memory_size, image->alignment, image->preferred, FOUR_GIB);
    return address == image->preferred ? address : 0;
}

const char *linux_parent_place(const struct linux_image *image, uint64_t initrd, uint64_t initrd_size,
                               struct memory_map *free, struct linux_placement *placement,
                               unsigned long long numbers[2])
{
    bool stays = initrd % HV_PAGE_SIZE == 0 && initrd + initrd_size <= image->initrd_limit;

    placement->kernel = place_kernel(image, free);
    if (placement->kernel == 0) {
        numbers[0] = (image->memory_size + MIB - 1) / MIB;
        numbers[1] = image->preferred / MIB;
        return "the kernel needs %llu MiB of free memory in one piece, from %llu MiB on, which this machine "
               "does not have";
    }
    placement->initrd = initrd;
    if (!memory_map_set(free, placement->kernel, placement->kernel + image->memory_size, MEMORY_RESERVED))
        return "the kernel cannot be placed: the memory map is too long";
    if (initrd_size == 0 || stays)
        return NULL;
    placement->initrd = memory_map_find_highest(free, initrd_size, HV_PAGE_SIZE, MIB, image->initrd_limit);
    if (placement->initrd == 0) {
        numbers[0] = (initrd_size + MIB - 1) / MIB;
        numbers[1] = image->initrd_limit / MIB;
        return "the initrd finds no %llu MiB of free memory below %llu MiB";
    }
    return memory_map_set(free, placement->initrd, placement->initrd + initrd_size, MEMORY_RESERVED)
               ? NULL
               : "the initrd cannot be placed: the memory map is too long";
}

static void describe_screen(struct screen_info *info, const struct multiboot2_screen *screen, unsigned line)
{
    if (!screen->graphics) {
        info->line = (uint8_t)line;
        info->mode = VGA_MODE_80_25;
        info->columns = (uint8_t)(screen->width ? screen->width : VGA_COLUMNS);
        info->lines = (uint8_t)(screen->height ? screen->height : VGA_LINES);
        info->type = SCREEN_VGA_TEXT;
        info->points = VGA_POINTS;
        return;
    }
    info->type = SCREEN_FRAMEBUFFER;
    info->width = (uint16_t)screen->width;
    info->height = (uint16_t)screen->height;
    info->depth = screen->depth;
    info->line_length = (uint16_t)screen->pitch;
    info->base = (uint32_t)screen->address;
    info->base_high = (uint32_t)(screen->address >> 32);
    info->capabilities = info->base_high != 0 ? SCREEN_64_BIT_BASE : 0;
    info->size = (uint32_t)(((uint64_t)screen->pitch * screen->height + SIZE_UNIT - 1) / SIZE_UNIT);
    info->red_position = screen->colours[0];
    info->red_size = screen->colours[1];
    info->green_position = screen->colours[2];
    info->green_size = screen->colours[3];
    info->blue_position = screen->colours[4];
    info->blue_size = screen->colours[5];
    info->reserved_position = (uint8_t)(info->red_size + info->green_size + info->blue_size);
    info->reserved_size = (uint8_t)(screen->depth - info->reserved_position);
}

void linux_parent_describe(uint8_t params[LINUX_BOOT_PARAMS_SIZE], const struct memory_map *memory,
                           const struct multiboot2_screen *screen, unsigned line)
{
    _Static_assert(MEMORY_MAP_MAXIMUM <= LINUX_MEMORY_MAXIMUM, "all regions have room");
    for (unsigned i = 0; i < memory->count; i++)
        linux_boot_params_add_memory(params, memory->regions[i].begin, memory->regions[i].end,
                                     memory->regions[i].type);
    describe_screen((struct screen_info *)params, screen, line);
}
