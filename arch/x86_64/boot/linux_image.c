/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "arch/x86_64/boot/linux_image.h"

#define SECTOR      512u
#define PARAGRAPH   16u
#define HIGH_MEMORY 0x100000u

/* Offsets in the file's first sectors and in boot_params alike. */
#define HEADER_BEGIN          0x1F1
#define HEADER_SETUP_SECTORS  0x1F1
#define HEADER_SYSTEM_SIZE    0x1F4
#define HEADER_BOOT_FLAG      0x1FE
#define HEADER_JUMP_LENGTH    0x201
#define HEADER_MAGIC          0x202
#define HEADER_VERSION        0x206
#define HEADER_LOADER_TYPE    0x210
#define HEADER_LOAD_FLAGS     0x211
#define HEADER_CODE32_START   0x214
#define HEADER_RAMDISK_IMAGE  0x218
#define HEADER_RAMDISK_SIZE   0x21C
#define HEADER_COMMAND_LINE   0x228
#define HEADER_INITRD_LIMIT   0x22C
#define HEADER_ALIGNMENT      0x230
#define HEADER_RELOCATABLE    0x234
#define HEADER_EXTENDED_FLAGS 0x236
#define HEADER_COMMAND_SIZE   0x238
#define HEADER_PREFERRED      0x258
#define HEADER_INIT_SIZE      0x260

#define MAGIC                 0x53726448u /* "HdrS" */
#define LOAD_FLAG_HIGH        0x01
#define EXTENDED_FLAG_64_BIT  0x0001
#define LOADER_TYPE_UNDEFINED 0xFF
#define SETUP_SECTORS_DEFAULT 4u

#define VERSION_OLDEST         0x0206
#define VERSION_WITH_INIT_SIZE 0x020A
#define VERSION_WITH_64_BIT    0x020C

/* boot_params. */
#define PARAMS_RSDP          0x070
#define PARAMS_MEMORY_COUNT  0x1E8
#define PARAMS_MEMORY        0x2D0
#define PARAMS_MEMORY_LENGTH 20

static uint64_t get(const uint8_t *bytes, unsigned offset, unsigned size)
{
    uint64_t value = 0;

    memcpy(&value, bytes + offset, size);
    return value;
}

static void put(uint8_t *bytes, unsigned offset, unsigned size, uint64_t value)
{
    memcpy(bytes + offset, &value, size);
}

/* Names what else the file may be. */
static const char *other_kind(const uint8_t *header)
{
    static const struct {
        uint8_t magic[8], length;
        const char *problem;
    } kinds[] = {
        {"\177ELF",       4, "is an ELF file (vmlinux?), not a Linux kernel (bzImage)"     },
        {"\037\213",      2, "is a gzip file, not a Linux kernel (bzImage)"                },
        {"\375"
         "7zXZ", 5, "is an XZ file, not a Linux kernel (bzImage)"                 },
        {"070701",        6, "is a cpio archive (an initrd?), not a Linux kernel (bzImage)"},
        {"conectix",      8, "is a VHD, not a Linux kernel (bzImage)"                      },
        {"#!",            2, "is a script, not a Linux kernel (bzImage)"                   },
    };

    for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (get(header, 0, kinds[i].length) == get(kinds[i].magic, 0, kinds[i].length))
            return kinds[i].problem;
    return "is not a Linux kernel (bzImage)";
}

static const char *read_payload(struct linux_image *image, uint64_t file_size, unsigned long long numbers[2])
{
    uint64_t setup_sectors = image->header[HEADER_SETUP_SECTORS];
    uint64_t system_size = get(image->header, HEADER_SYSTEM_SIZE, 4) * PARAGRAPH;

    if (setup_sectors == 0)
        setup_sectors = SETUP_SECTORS_DEFAULT;
    image->payload_offset = (setup_sectors + 1) * SECTOR;
    /* The length is in paragraphs: the file may end within the last. */
    if (system_size == 0 || file_size < image->payload_offset ||
        file_size - image->payload_offset + PARAGRAPH - 1 < system_size) {
        numbers[0] = file_size;
        numbers[1] = image->payload_offset + system_size;
        return "is cut off: %llu of %llu bytes";
    }
    image->payload_size = file_size - image->payload_offset;
    if (image->payload_size > system_size)
        image->payload_size = system_size;
    return NULL;
}

static const char *read_wishes(struct linux_image *image, unsigned long long numbers[2])
{
    const uint8_t *header = image->header;
    bool modern = image->version >= VERSION_WITH_INIT_SIZE;

    image->alignment = (uint32_t)get(header, HEADER_ALIGNMENT, 4);
    image->relocatable =
        header[HEADER_RELOCATABLE] && image->alignment && (image->alignment & (image->alignment - 1)) == 0;
    image->long_mode = image->version >= VERSION_WITH_64_BIT &&
                       (get(header, HEADER_EXTENDED_FLAGS, 2) & EXTENDED_FLAG_64_BIT);
    image->command_line_size = (uint32_t)get(header, HEADER_COMMAND_SIZE, 4);
    image->initrd_limit = get(header, HEADER_INITRD_LIMIT, 4) + 1;
    image->preferred = modern ? get(header, HEADER_PREFERRED, 8) : HIGH_MEMORY;
    image->memory_size = modern ? get(header, HEADER_INIT_SIZE, 4) : 0;
    if (image->memory_size < image->payload_size)
        image->memory_size = image->payload_size;
    if (image->preferred < HIGH_MEMORY) {
        numbers[0] = image->preferred;
        return "is damaged: wants to be loaded at 0x%llx";
    }
    return NULL;
}

const char *linux_image_read(struct linux_image *image, const uint8_t *bytes, uint64_t length,
                             uint64_t file_size, unsigned long long numbers[2])
{
    const char *problem;
    uint64_t header_end;

    memset(image, 0, sizeof *image);
    memcpy(image->header, bytes, length < LINUX_HEADER_END ? length : LINUX_HEADER_END);
    if (length < LINUX_HEADER_END || get(image->header, HEADER_BOOT_FLAG, 2) != 0xAA55 ||
        get(image->header, HEADER_MAGIC, 4) != MAGIC)
        return other_kind(image->header);
    /* What lies behind the header is code. */
    header_end = HEADER_MAGIC + image->header[HEADER_JUMP_LENGTH];
    if (header_end < LINUX_HEADER_END)
        memset(image->header + header_end, 0, LINUX_HEADER_END - header_end);
    image->version = (uint16_t)get(image->header, HEADER_VERSION, 2);
    if (image->version < VERSION_OLDEST) {
        numbers[0] = image->version >> 8;
        numbers[1] = image->version & 0xFF;
        return "boot protocol %llu.%02llu is too old; 2.06 (Linux 2.6.22) is needed";
    }
    if (!(image->header[HEADER_LOAD_FLAGS] & LOAD_FLAG_HIGH))
        return "is a zImage, which loads below 1 MiB; a bzImage is needed";
    problem = read_payload(image, file_size, numbers);
    return problem ? problem : read_wishes(image, numbers);
}

void linux_boot_params(uint8_t params[LINUX_BOOT_PARAMS_SIZE], const struct linux_image *image,
                       const struct linux_parameters *parameters)
{
    memset(params, 0, LINUX_BOOT_PARAMS_SIZE);
    memcpy(params + HEADER_BEGIN, image->header + HEADER_BEGIN, LINUX_HEADER_END - HEADER_BEGIN);
    params[HEADER_LOADER_TYPE] = LOADER_TYPE_UNDEFINED;
    put(params, HEADER_CODE32_START, 4, parameters->load_address);
    put(params, HEADER_COMMAND_LINE, 4, parameters->command_line);
    put(params, HEADER_RAMDISK_IMAGE, 4, parameters->initrd);
    put(params, HEADER_RAMDISK_SIZE, 4, parameters->initrd_size);
    put(params, PARAMS_RSDP, 8, parameters->acpi_root);
}

void linux_boot_params_add_memory(uint8_t params[LINUX_BOOT_PARAMS_SIZE], uint64_t begin, uint64_t end,
                                  uint32_t type)
{
    unsigned count = params[PARAMS_MEMORY_COUNT], offset = PARAMS_MEMORY + count * PARAMS_MEMORY_LENGTH;

    if (begin >= end || count == LINUX_MEMORY_MAXIMUM)
        return;
    put(params, offset, 8, begin);
    put(params, offset + 8, 8, end - begin);
    put(params, offset + 16, 4, type);
    params[PARAMS_MEMORY_COUNT]++;
}
