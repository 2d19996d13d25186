/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whatever a boot loader tells of the machine, and whatever it loaded as the kernel. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86_64/boot/configuration.h"
#include "arch/x86_64/boot/multiboot/linux_parent.h"

#define MIB (1ull << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static bool is_free(const struct memory_map *map, uint64_t begin, uint64_t size)
{
    for (unsigned i = 0; i < map->count; i++)
        if (map->regions[i].begin <= begin && begin < map->regions[i].end &&
            size <= map->regions[i].end - begin)
            return map->regions[i].type == MEMORY_RAM;
    return false;
}

/* The kernel is where nothing else is; so is the initrd, unless it stays. */
static void place(const struct multiboot2_information *information, struct memory_map *map,
                  const uint8_t *data, size_t size)
{
    static struct linux_image image;
    const struct multiboot2_module *initrd = &information->modules[1];
    struct memory_map before;
    struct linux_placement placement;
    unsigned long long numbers[2] = {0};

    if (linux_image_read(&image, data, size, size * 1000, numbers))
        image = (struct linux_image){.relocatable = true,
                                     .alignment = 2 * MIB,
                                     .preferred = MIB,
                                     .memory_size = MIB,
                                     .initrd_limit = 1ull << 31};
    for (unsigned i = 0; i < information->module_count && i < MULTIBOOT2_MODULES; i++)
        if (!memory_map_set(map, information->modules[i].begin, information->modules[i].end, MEMORY_RESERVED))
            return;
    before = *map;
    if (linux_parent_place(&image, initrd->begin, initrd->end - initrd->begin, map, &placement, numbers))
        return;
    require(is_free(&before, placement.kernel, image.memory_size));
    require(placement.kernel + image.memory_size <= 1ull << 32);
    require(placement.initrd + (initrd->end - initrd->begin) <= image.initrd_limit ||
            initrd->begin == initrd->end);
    if (placement.initrd != initrd->begin)
        require(is_free(&before, placement.initrd, initrd->end - initrd->begin));
}

/* data: a byte, half as many bytes of the kernel, and the boot loader's information. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct multiboot2_information information;
    static uint8_t params[LINUX_BOOT_PARAMS_SIZE];
    static struct memory_map map;
    struct configuration configuration;
    size_t kernel_size;
    uint8_t *copy;
    bool poor;

    if (size < 1)
        return 0;
    kernel_size = data[0] * 4u < size - 1 ? data[0] * 4u : 0;
    size -= 1 + kernel_size;
    copy = aligned_alloc(8, size / 8 * 8 + 8); /* as it is aligned in truth; at most seven bytes longer */
    require(copy != NULL);
    memcpy(copy, data + 1 + kernel_size, size);
    if (!multiboot2_read(copy, size, &information)) {
        configuration_defaults(&configuration);
        configuration_parse_words(&configuration, information.command_line, strlen(information.command_line),
                                  NULL, NULL);
        if (!multiboot2_memory(&information, &map, &poor)) {
            memset(params, 0, sizeof params);
            linux_parent_describe(params, &map, &information.screen, 0);
            place(&information, &map, data + 1, kernel_size);
        }
    }
    free(copy);
    return 0;
}
