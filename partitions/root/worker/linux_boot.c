/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/linux_boot.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arch/x86_64/boot/linux_image.h"
#include "partitions/root/worker/processor_mode.h"

/* Where things are put below A0000h, all of it usable RAM to the kernel. */
#define GDT_ADDRESS          0x1000u
#define PAGE_TABLES_ADDRESS  0x2000u /* six pages */
#define BOOT_PARAMS_ADDRESS  0x10000u
#define COMMAND_LINE_ADDRESS 0x20000u
#define COMMAND_LINE_LIMIT   0x10000u
#define BIOS_MEMORY_SIZE     0x413u /* word in the BIOS data area: KiB of conventional memory */

#define EXTENDED_BIOS_DATA 0x9FC00u
#define VGA_MEMORY         0xA0000u
#define BIOS_AREA          0xF0000u
#define HIGH_MEMORY        0x100000u
#define FOUR_GIB           (1ull << 32)

enum e820_type { E820_RAM = 1, E820_RESERVED = 2, E820_NVS = 4 };

/* The kernel file, opened and understood. */
struct image {
    const struct linux_boot *boot;
    char *error;
    struct linux_image kernel;
    uint32_t command_line_size;
    char clock[48]; /* goes before the command line */
    uint64_t load_address;
    uint64_t kernel_end; /* of all the memory that it uses before it knows the memory map */
    uint64_t initrd_address;
    uint64_t initrd_size;
};

static bool __attribute__((format(printf, 3, 4)))
refuse(struct image *image, const char *name, const char *format, ...)
{
    int length = snprintf(image->error, LINUX_BOOT_ERROR_SIZE, "%.120s: ", name);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(image->error + length, LINUX_BOOT_ERROR_SIZE - (size_t)length, format, arguments);
    va_end(arguments);
    return false;
}

/* Reads exactly `length` bytes. */
static bool read_file(struct image *image, int descriptor, const char *name, uint64_t offset, void *buffer,
                      uint64_t length)
{
    uint8_t *to = buffer;

    while (length > 0) {
        ssize_t count = pread(descriptor, to, length, (off_t)offset);

        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return refuse(image, name, "cannot be read: %s", strerror(errno));
        if (count == 0)
            return refuse(image, name, "became shorter while it was read");
        to += count;
        offset += (uint64_t)count;
        length -= (uint64_t)count;
    }
    return true;
}

static bool file_size(struct image *image, int descriptor, const char *name, uint64_t *size)
{
    struct stat status;

    if (fstat(descriptor, &status) != 0)
        return refuse(image, name, "cannot be examined: %s", strerror(errno));
    if (!S_ISREG(status.st_mode))
        return refuse(image, name, "is not a regular file");
    *size = (uint64_t)status.st_size;
    return true;
}

static bool read_header(struct image *image)
{
    const struct linux_boot *boot = image->boot;
    unsigned long long numbers[2] = {0};
    uint8_t bytes[LINUX_HEADER_END];
    uint64_t length = LINUX_HEADER_END, size;
    const char *problem;

    if (!file_size(image, boot->kernel, boot->kernel_name, &size))
        return false;
    if (size < length)
        length = size;
    if (!read_file(image, boot->kernel, boot->kernel_name, 0, bytes, length))
        return false;
    problem = linux_image_read(&image->kernel, bytes, length, size, numbers);
    if (problem)
        return refuse(image, boot->kernel_name, problem, numbers[0], numbers[1]);
    image->command_line_size = image->kernel.command_line_size;
    if (image->command_line_size >= COMMAND_LINE_LIMIT)
        image->command_line_size = COMMAND_LINE_LIMIT - 1;
    if (strlen(boot->command_line) > image->command_line_size)
        return refuse(image, boot->kernel_name,
                      "takes a command line of at most %u characters; this one has %zu",
                      image->command_line_size, strlen(boot->command_line));
    return true;
}

/* The parameter stands in the line, as a word of its own. */
static bool has_parameter(const char *line, const char *parameter)
{
    for (const char *at = strstr(line, parameter); at; at = strstr(at + 1, parameter))
        if (at == line || at[-1] == ' ')
            return true;
    return false;
}

static void describe_clock(struct image *image)
{
    const struct linux_boot *boot = image->boot;
    uint64_t khz = (boot->tsc_frequency + 500) / 1000;

    if (khz == 0 || has_parameter(boot->command_line, "tsc_early_khz="))
        return;
    snprintf(image->clock, sizeof image->clock, "tsc_early_khz=%llu ", (unsigned long long)khz);
    /* A kernel that has no room for both gets the user's alone. */
    if (strlen(image->clock) + strlen(boot->command_line) > image->command_line_size)
        image->clock[0] = 0;
}

/* Where the kernel goes: where it likes best, or if it can move and there is no room, as low as it can be. */
static bool place_kernel(struct image *image)
{
    const struct linux_boot *boot = image->boot;
    uint64_t preferred = image->kernel.preferred, needed = image->kernel.memory_size;
    uint64_t alignment = image->kernel.alignment, lowest;

    image->load_address = preferred;
    if (preferred > boot->below_4g || needed > boot->below_4g - preferred) {
        if (image->kernel.relocatable)
            lowest = (HIGH_MEMORY + alignment - 1) & ~(alignment - 1);
        else
            lowest = preferred;
        if (lowest > boot->below_4g || needed > boot->below_4g - lowest)
            return refuse(image, boot->kernel_name,
                          "needs %llu MiB of memory to start, the virtual machine has %llu",
                          (unsigned long long)((lowest + needed + 0xFFFFF) >> 20),
                          (unsigned long long)((boot->below_4g + boot->above_4g) >> 20));
        image->load_address = lowest;
    }
    image->kernel_end = image->load_address + needed;
    return true;
}

static bool place_initrd(struct image *image)
{
    const struct linux_boot *boot = image->boot;
    uint64_t limit = image->kernel.initrd_limit;

    if (boot->initrd < 0)
        return true;
    if (!file_size(image, boot->initrd, boot->initrd_name, &image->initrd_size))
        return false;
    if (limit > boot->below_4g)
        limit = boot->below_4g;
    if (image->initrd_size >= limit)
        image->initrd_address = 0;
    else
        image->initrd_address = (limit - image->initrd_size) & ~(uint64_t)(HV_PAGE_SIZE - 1);
    if (image->initrd_address < image->kernel_end)
        return refuse(
            image, boot->initrd_name,
            "does not fit: %llu bytes, and behind the kernel there are %llu; give the virtual machine more "
            "memory",
            (unsigned long long)image->initrd_size,
            (unsigned long long)(limit > image->kernel_end ? limit - image->kernel_end : 0));
    return true;
}

static bool load(struct image *image, int descriptor, const char *name, uint64_t offset, uint64_t gpa,
                 uint64_t length)
{
    void *host = guest_memory_range(image->boot->memory, gpa, length);

    if (!host)
        return refuse(image, name, "cannot be loaded at %#llx: no memory there", (unsigned long long)gpa);
    return read_file(image, descriptor, name, offset, host, length);
}

/* Everything below 1 MiB that is written here is in RAM on every machine. */
static void write_memory(const struct image *image, uint64_t gpa, const void *bytes, size_t length)
{
    guest_memory_write(image->boot->memory, gpa, bytes, length);
}

static void fill_e820(const struct linux_boot *boot, uint8_t *params)
{
    uint64_t acpi_end =
        ((uint64_t)boot->acpi_tables + boot->acpi_length + HV_PAGE_SIZE - 1) & ~(uint64_t)(HV_PAGE_SIZE - 1);

    linux_boot_params_add_memory(params, 0, EXTENDED_BIOS_DATA, E820_RAM);
    linux_boot_params_add_memory(params, EXTENDED_BIOS_DATA, VGA_MEMORY, E820_RESERVED);
    linux_boot_params_add_memory(params, boot->acpi_tables, acpi_end, E820_NVS);
    linux_boot_params_add_memory(params, BIOS_AREA, HIGH_MEMORY, E820_RESERVED);
    linux_boot_params_add_memory(params, HIGH_MEMORY, boot->below_4g, E820_RAM);
    linux_boot_params_add_memory(params, FOUR_GIB, FOUR_GIB + boot->above_4g, E820_RAM);
}

static void write_boot_params(const struct image *image)
{
    const struct linux_parameters parameters = {
        .load_address = image->load_address,
        .command_line = COMMAND_LINE_ADDRESS,
        .initrd = (uint32_t)image->initrd_address,
        .initrd_size = (uint32_t)image->initrd_size,
        .acpi_root = image->boot->acpi_tables,
    };
    uint8_t params[LINUX_BOOT_PARAMS_SIZE];

    linux_boot_params(params, &image->kernel, &parameters);
    fill_e820(image->boot, params);
    write_memory(image, BOOT_PARAMS_ADDRESS, params, sizeof params);
}

/* The kernel's __BOOT_CS and __BOOT_DS are selectors 10h and 18h; a task segment because entering needs one.
 */
static void write_gdt(const struct image *image, bool long_mode)
{
    const uint64_t gdt[] = {
        0,
        0,
        long_mode ? 0x00AF9B000000FFFFull : 0x00CF9B000000FFFFull,
        0x00CF93000000FFFFull,
        0x00008B0000000067ull,
        0,
    };

    write_memory(image, GDT_ADDRESS, gdt, sizeof gdt);
}

/* The first 4 GiB, identity, by 2 MiB pages. */
static void write_page_tables(const struct image *image)
{
    enum { PRESENT = 0x1, WRITABLE = 0x2, LARGE = 0x80, ENTRIES = 512, DIRECTORIES = 4 };
    uint64_t table[ENTRIES] = {PAGE_TABLES_ADDRESS + HV_PAGE_SIZE + (PRESENT | WRITABLE)};

    write_memory(image, PAGE_TABLES_ADDRESS, table, sizeof table);
    for (unsigned i = 0; i < DIRECTORIES; i++)
        table[i] = PAGE_TABLES_ADDRESS + (2 + i) * HV_PAGE_SIZE + (PRESENT | WRITABLE);
    write_memory(image, PAGE_TABLES_ADDRESS + HV_PAGE_SIZE, table, sizeof table);
    for (unsigned i = 0; i < DIRECTORIES; i++) {
        for (unsigned j = 0; j < ENTRIES; j++)
            table[j] = ((uint64_t)i * ENTRIES + j) * HV_LARGE_PAGE_SIZE + (PRESENT | WRITABLE | LARGE);
        write_memory(image, PAGE_TABLES_ADDRESS + (2 + i) * HV_PAGE_SIZE, table, sizeof table);
    }
}

bool linux_boot_load(const struct linux_boot *boot, struct linux_entry *entry,
                     char error[LINUX_BOOT_ERROR_SIZE])
{
    const uint16_t conventional_memory = EXTENDED_BIOS_DATA / 1024;
    struct image image = {.boot = boot, .error = error};

    if (!read_header(&image) || !place_kernel(&image) || !place_initrd(&image) ||
        !load(&image, boot->kernel, boot->kernel_name, image.kernel.payload_offset, image.load_address,
              image.kernel.payload_size))
        return false;
    if (boot->initrd >= 0 && image.initrd_size &&
        !load(&image, boot->initrd, boot->initrd_name, 0, image.initrd_address, image.initrd_size))
        return false;
    entry->long_mode = image.kernel.long_mode;
    entry->rip = image.load_address + (entry->long_mode ? LINUX_64_BIT_ENTRY : 0);
    write_memory(&image, BIOS_MEMORY_SIZE, &conventional_memory, sizeof conventional_memory);
    describe_clock(&image);
    write_memory(&image, COMMAND_LINE_ADDRESS, image.clock, strlen(image.clock));
    write_memory(&image, COMMAND_LINE_ADDRESS + strlen(image.clock), boot->command_line,
                 strlen(boot->command_line) + 1);
    write_boot_params(&image);
    write_gdt(&image, entry->long_mode);
    write_page_tables(&image);
    return true;
}

#define BOOT_CS      0x10
#define BOOT_DS      0x18
#define BOOT_TR      0x20
#define CR0_ET       0x10ull
#define CR0_NE       0x20ull
#define EFER_LME     0x100ull
#define ENTRY_RFLAGS 0x2ull

static struct hv_register_assoc segment(uint32_t name, uint16_t selector, uint16_t attributes, uint32_t limit)
{
    const struct hv_x64_segment_register value = {
        .limit = limit, .selector = selector, .attributes = attributes};
    struct hv_register_assoc assoc = {.name = name};

    memcpy(&assoc.value, &value, sizeof value);
    return assoc;
}

static struct hv_register_assoc table(uint32_t name, uint64_t base, uint16_t limit)
{
    const struct hv_x64_table_register value = {.base = base, .limit = limit};
    struct hv_register_assoc assoc = {.name = name};

    memcpy(&assoc.value, &value, sizeof value);
    return assoc;
}

size_t linux_entry_registers(const struct linux_entry *entry,
                             struct hv_register_assoc registers[LINUX_ENTRY_REGISTERS])
{
    bool long_mode = entry->long_mode;
    const uint16_t data = 0x3 | HV_SEGMENT_S | HV_SEGMENT_P | HV_SEGMENT_DB | HV_SEGMENT_G;
    const uint16_t code =
        0xB | HV_SEGMENT_S | HV_SEGMENT_P | HV_SEGMENT_G | (long_mode ? HV_SEGMENT_L : HV_SEGMENT_DB);
    const struct hv_register_assoc values[] = {
        {.name = HV_X64_REGISTER_RIP,                                       .value.low = entry->rip         },
        {.name = HV_X64_REGISTER_RFLAGS,                                    .value.low = ENTRY_RFLAGS       },
        {.name = HV_X64_REGISTER_RSI,                                       .value.low = BOOT_PARAMS_ADDRESS},
        {.name = HV_X64_REGISTER_RDX                                      },
        segment(HV_X64_REGISTER_CS, BOOT_CS, code, 0xFFFFFFFF),
        segment(HV_X64_REGISTER_DS, BOOT_DS, data, 0xFFFFFFFF),
        segment(HV_X64_REGISTER_ES, BOOT_DS, data, 0xFFFFFFFF),
        segment(HV_X64_REGISTER_SS, BOOT_DS, data, 0xFFFFFFFF),
        segment(HV_X64_REGISTER_FS, BOOT_DS, data, 0xFFFFFFFF),
        segment(HV_X64_REGISTER_GS, BOOT_DS, data, 0xFFFFFFFF),
        segment(HV_X64_REGISTER_TR, BOOT_TR, 0xB | HV_SEGMENT_P, 0x67),
        table(HV_X64_REGISTER_GDTR, GDT_ADDRESS, 6 * 8 - 1),
        table(HV_X64_REGISTER_IDTR, 0, 0),
        {.name = HV_X64_REGISTER_CR3,                 .value.low = long_mode ? PAGE_TABLES_ADDRESS : 0                                },
        {.name = HV_X64_REGISTER_CR4,                             .value.low = long_mode ? CR4_PAE : 0},
        {.name = HV_X64_REGISTER_EFER,                 .value.low = long_mode ? EFER_LME | EFER_LMA : 0                                },
        {.name = HV_X64_REGISTER_CR0, .value.low = CR0_PE | CR0_ET | CR0_NE | (long_mode ? CR0_PG : 0)},
    };

    _Static_assert(sizeof values / sizeof values[0] <= LINUX_ENTRY_REGISTERS, "room for all");
    memcpy(registers, values, sizeof values);
    return sizeof values / sizeof values[0];
}
