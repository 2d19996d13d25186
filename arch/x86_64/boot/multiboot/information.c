/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "arch/x86_64/boot/multiboot/information.h"

enum tag_type {
    TAG_END = 0,
    TAG_COMMAND_LINE = 1,
    TAG_MODULE = 3,
    TAG_SIZES = 4,
    TAG_MEMORY_MAP = 6,
    TAG_FRAMEBUFFER = 8,
    TAG_EFI32 = 11,
    TAG_EFI64 = 12,
    TAG_ACPI_OLD = 14,
    TAG_ACPI_NEW = 15,
};

#define TAG_ALIGNMENT 8u
#define KIB           1024ull
#define MIB           (1024 * KIB)

struct tag {
    uint32_t type, size; /* the size is this header's and the content's, not the padding's */
};

struct module_tag {
    struct tag tag;
    uint32_t begin, end;
    char command_line[];
};

struct sizes_tag {
    struct tag tag;
    uint32_t lower, upper;
};

struct memory_map_tag {
    struct tag tag;
    uint32_t entry_size, entry_version;
    uint8_t entries[];
};

struct memory_map_entry {
    uint64_t base, length;
    uint32_t type, reserved;
};

struct framebuffer_tag {
    struct tag tag;
    uint64_t address;
    uint32_t pitch, width, height;
    uint8_t depth, type;
    uint16_t reserved;
    uint8_t colours[6]; /* of FRAMEBUFFER_RGB */
};
HV_ASSERT_OFFSET(struct framebuffer_tag, colours, 32);
#define FRAMEBUFFER_RGB      1
#define FRAMEBUFFER_TEXT     2
#define FRAMEBUFFER_RGB_SIZE (offsetof(struct framebuffer_tag, colours) + 6)

#define ACPI_ROOT_SIZE_OLD 20u
#define ACPI_ROOT_SIZE_NEW 36u
#define ACPI_ROOT_REVISION 15u

/* A string within [text, end) that is terminated there, or NULL. */
static const char *string_before(const char *text, const void *end)
{
    for (const char *at = text; at < (const char *)end; at++)
        if (*at == '\0')
            return text;
    return NULL;
}

static const char *read_module(struct multiboot2_information *information, const struct module_tag *tag,
                               const void *end)
{
    struct multiboot2_module module;

    if (tag->tag.size < sizeof *tag)
        return "the boot loader's description of a module is too short";
    module = (struct multiboot2_module){tag->begin, tag->end, string_before(tag->command_line, end)};
    if (!module.command_line)
        return "the boot loader's command line of a module has no end";
    if (module.begin > module.end)
        return "the boot loader says that a module ends before it begins";
    if (information->module_count < MULTIBOOT2_MODULES)
        information->modules[information->module_count] = module;
    information->module_count++;
    return NULL;
}

static const char *read_memory_map(struct multiboot2_information *information,
                                   const struct memory_map_tag *tag)
{
    if (tag->tag.size < sizeof *tag || tag->entry_size < sizeof(struct memory_map_entry))
        return "the boot loader's memory map is damaged";
    information->memory = tag->entries;
    information->memory_entry_size = tag->entry_size;
    information->memory_entries = (tag->tag.size - (uint32_t)sizeof *tag) / tag->entry_size;
    return NULL;
}

static void read_screen(struct multiboot2_information *information, const struct framebuffer_tag *tag)
{
    if (tag->tag.size < offsetof(struct framebuffer_tag, colours))
        return;
    if (tag->type == FRAMEBUFFER_RGB && tag->tag.size < FRAMEBUFFER_RGB_SIZE)
        return;
    if (tag->type != FRAMEBUFFER_RGB && tag->type != FRAMEBUFFER_TEXT)
        return;
    information->screen = (struct multiboot2_screen){.graphics = tag->type == FRAMEBUFFER_RGB,
                                                     .address = tag->address,
                                                     .pitch = tag->pitch,
                                                     .width = tag->width,
                                                     .height = tag->height,
                                                     .depth = tag->depth};
    if (tag->type == FRAMEBUFFER_RGB)
        memcpy(information->screen.colours, tag->colours, sizeof tag->colours);
}

/* The newer of two, which come in any order. */
static void read_acpi_root(struct multiboot2_information *information, const struct tag *tag)
{
    const uint8_t *root = (const uint8_t *)(tag + 1);
    uint32_t size = tag->size - (uint32_t)sizeof *tag;

    if (size < ACPI_ROOT_SIZE_OLD || (root[ACPI_ROOT_REVISION] >= 2 && size < ACPI_ROOT_SIZE_NEW))
        return;
    if (!information->acpi_root || tag->type == TAG_ACPI_NEW)
        information->acpi_root = root;
}

static const char *read_tag(struct multiboot2_information *information, const struct tag *tag)
{
    const void *end = (const uint8_t *)tag + tag->size;

    switch (tag->type) {
    case TAG_COMMAND_LINE:
        information->command_line = string_before((const char *)(tag + 1), end);
        return information->command_line ? NULL : "the boot loader's command line has no end";
    case TAG_MODULE:
        return read_module(information, (const struct module_tag *)tag, end);
    case TAG_SIZES:
        if (tag->size >= sizeof(struct sizes_tag)) {
            information->has_sizes = true;
            information->lower_kib = ((const struct sizes_tag *)tag)->lower;
            information->upper_kib = ((const struct sizes_tag *)tag)->upper;
        }
        return NULL;
    case TAG_MEMORY_MAP:
        return read_memory_map(information, (const struct memory_map_tag *)tag);
    case TAG_FRAMEBUFFER:
        read_screen(information, (const struct framebuffer_tag *)tag);
        return NULL;
    case TAG_EFI32:
    case TAG_EFI64:
        information->has_uefi = true;
        return NULL;
    case TAG_ACPI_OLD:
    case TAG_ACPI_NEW:
        read_acpi_root(information, tag);
        return NULL;
    default:
        return NULL;
    }
}

const char *multiboot2_read(const uint8_t *bytes, uint64_t size, struct multiboot2_information *information)
{
    uint64_t at = TAG_ALIGNMENT;

    *information = (struct multiboot2_information){.command_line = ""};
    while (at <= size && size - at >= sizeof(struct tag)) {
        const struct tag *tag = (const struct tag *)(bytes + at);
        const char *problem;

        if (tag->type == TAG_END)
            return NULL;
        if (tag->size < sizeof *tag || tag->size > size - at)
            return "the boot loader's information has a tag of an impossible size";
        problem = read_tag(information, tag);
        if (problem)
            return problem;
        at += (tag->size + TAG_ALIGNMENT - 1) & ~(uint64_t)(TAG_ALIGNMENT - 1);
    }
    return "the boot loader's information has no end";
}

/* What is RAM first, so that all else is laid over it. */
static bool add_regions(const struct multiboot2_information *information, struct memory_map *map, bool ram)
{
    for (uint32_t i = 0; i < information->memory_entries; i++) {
        struct memory_map_entry entry;
        uint64_t end;

        memcpy(&entry, information->memory + (uint64_t)i * information->memory_entry_size, sizeof entry);
        if (__builtin_add_overflow(entry.base, entry.length, &end))
            end = ~0ull;
        if ((entry.type == MEMORY_RAM) == ram && !memory_map_set(map, entry.base, end, entry.type))
            return false;
    }
    return true;
}

const char *multiboot2_memory(const struct multiboot2_information *information, struct memory_map *map,
                              bool *poor)
{
    map->count = 0;
    *poor = false;
    if (!add_regions(information, map, true) || !add_regions(information, map, false))
        return "the firmware's memory map has more than 128 regions, of which Linux can be told";
    if (memory_map_ram(map) > 0)
        return NULL;
    *poor = true;
    map->count = 0;
    if (!information->has_sizes || information->upper_kib == 0)
        return "the boot loader tells nothing of memory";
    memory_map_set(map, 0, information->lower_kib < 640 ? information->lower_kib * KIB : 640 * KIB,
                   MEMORY_RAM);
    memory_map_set(map, MIB, MIB + information->upper_kib * KIB, MEMORY_RAM);
    return NULL;
}
