/* SPDX-License-Identifier: GPL-2.0-or-later */
/* loam.mb2: puts the hypervisor beneath a machine without UEFI, then starts a Linux kernel as the parent. */
#include <string.h>

#include "arch/x86_64/boot/configuration.h"
#include "arch/x86_64/boot/late_launch.h"
#include "arch/x86_64/boot/multiboot/console.h"
#include "arch/x86_64/boot/multiboot/linux_parent.h"
#include "arch/x86_64/boot/multiboot/loader.h"
#include "kernel/log.h"

static struct linux_image kernel;
static uint8_t boot_params[LINUX_BOOT_PARAMS_SIZE] __attribute__((aligned(HV_PAGE_SIZE)));

static size_t length_of(const char *text)
{
    size_t length = 0;

    while (text[length])
        length++;
    return length;
}

static void read_information(uint32_t magic, const uint8_t *bytes, struct multiboot2_information *information)
{
    const char *problem;
    uint32_t size;

    if (magic != MULTIBOOT2_LOADER_MAGIC)
        stop("not started by the command 'multiboot2'");
    memcpy(&size, bytes, sizeof size);
    if (size > MULTIBOOT2_SIZE_MAXIMUM)
        stop("the boot loader's information is %u bytes long, which cannot be", size);
    problem = multiboot2_read(bytes, size, information);
    if (problem)
        stop("%s", problem);
    console_initialize(information->screen.graphics);
}

static void report_mistake(void *context, unsigned word, const char *problem)
{
    (void)context;
    say("word %u of the command line: %s", word, problem);
}

static void read_configuration(const struct multiboot2_information *information,
                               struct configuration *configuration)
{
    const char *line = information->command_line;

    configuration_defaults(configuration);
    /* First without a word, for mistakes are to be told on the right port. */
    configuration_parse_words(configuration, line, length_of(line), NULL, NULL);
    console_serial_port(configuration->serial_port);
    configuration_parse_words(configuration, line, length_of(line), report_mistake, NULL);
}

static void take(uint64_t begin, uint64_t end)
{
    if (!memory_map_set(&machine_memory.free, begin, end, MEMORY_RESERVED))
        stop("the memory map is too long");
}

/* All RAM is free but where something lies that was loaded. */
static void read_memory(const struct multiboot2_information *information, const uint8_t *bytes)
{
    const char *problem;
    uint32_t size;
    bool poor;

    problem = multiboot2_memory(information, &machine_memory.map, &poor);
    if (problem)
        stop("%s", problem);
    if (poor)
        say("the boot loader has no memory map: going by the BIOS's two sizes, %u and %u KiB",
            information->lower_kib, information->upper_kib);
    machine_memory.free = machine_memory.map;
    memcpy(&size, bytes, sizeof size);
    take((uintptr_t)bytes, (uintptr_t)bytes + size);
    take((uintptr_t)loader_begin, (uintptr_t)loader_end);
    for (unsigned i = 0; i < information->module_count && i < MULTIBOOT2_MODULES; i++)
        take(information->modules[i].begin, information->modules[i].end);
}

/* The first module is the kernel, the second the initrd. */
static void read_modules(const struct multiboot2_information *information)
{
    const struct multiboot2_module *module = &information->modules[0];
    unsigned long long numbers[2] = {0};
    uint32_t size = module->end - module->begin;
    const char *problem;
    char text[128];

    if (information->module_count == 0)
        stop("no kernel: name one by 'module2' behind 'multiboot2'");
    problem = linux_image_read(&kernel, (const uint8_t *)(uintptr_t)module->begin, size, size, numbers);
    if (problem) {
        format_text(text, sizeof text, problem, numbers[0], numbers[1]);
        stop("the first module %s", text);
    }
    if (information->module_count == 1)
        say("no initrd: a second 'module2' would name one");
    if (information->module_count > MULTIBOOT2_MODULES)
        say("%u modules: those behind the kernel and the initrd are not used", information->module_count);
}

/* Puts the kernel and the initrd where they will be, and takes that memory. */
static void load(const struct multiboot2_information *information, struct linux_placement *placement)
{
    const struct multiboot2_module *module = &information->modules[0];
    const struct multiboot2_module *initrd = &information->modules[1]; /* empty if there is none */
    uint32_t initrd_size = initrd->end - initrd->begin;
    unsigned long long numbers[2] = {0};
    const char *problem;

    problem =
        linux_parent_place(&kernel, initrd->begin, initrd_size, &machine_memory.free, placement, numbers);
    if (problem)
        stop(problem, numbers[0], numbers[1]);
    memcpy((void *)placement->kernel, (const uint8_t *)(uintptr_t)module->begin + kernel.payload_offset,
           kernel.payload_size);
    if (placement->initrd != initrd->begin)
        memcpy((void *)placement->initrd, (const void *)(uintptr_t)initrd->begin, initrd_size);
}

static void launch(const struct configuration *configuration)
{
    struct late_launch result;
    const char *problem;

    if (loam_is_running()) {
        say("already running on this machine");
        return;
    }
    problem = late_launch(configuration, &result);
    if (problem)
        say("%s; starting without the hypervisor", problem);
    else
        say("running on %u of %u processors%s", result.launched, result.processors,
            result.launched < result.processors ? "; the others follow when the operating system starts them"
                                                : "");
}

static void start(const struct multiboot2_information *information, const struct linux_placement *placement)
    __attribute__((noreturn));
static void start(const struct multiboot2_information *information, const struct linux_placement *placement)
{
    const struct multiboot2_module *initrd = &information->modules[1];
    char *command_line = (char *)information->modules[0].command_line;
    const struct linux_parameters parameters = {
        .load_address = placement->kernel,
        .command_line = (uint32_t)(uintptr_t)command_line,
        .initrd = (uint32_t)placement->initrd,
        .initrd_size = initrd->end - initrd->begin,
        .acpi_root = firmware_find_acpi_root(),
    };

    if (length_of(command_line) > kernel.command_line_size) {
        say("the kernel takes a command line of at most %u characters: what is longer is cut off",
            kernel.command_line_size);
        command_line[kernel.command_line_size] = '\0';
    }
    say("starting Linux");
    linux_boot_params(boot_params, &kernel, &parameters);
    linux_parent_describe(boot_params, &machine_memory.map, &information->screen, console_line());
    if (kernel.long_mode)
        enter_linux64(placement->kernel + LINUX_64_BIT_ENTRY, boot_params);
    enter_linux32(placement->kernel, boot_params);
}

void multiboot_main(uint32_t magic, const uint8_t *bytes)
{
    static struct multiboot2_information information;
    static struct configuration configuration;
    struct linux_placement placement;

    console_initialize(false);
    read_information(magic, bytes, &information);
    read_configuration(&information, &configuration);
    if (information.has_uefi)
        say("this machine's firmware is UEFI: start loam.efi instead, else Linux does without it");
    read_memory(&information, bytes);
    read_modules(&information);
    load(&information, &placement);
    firmware_set_acpi_root(information.acpi_root);
    launch(&configuration);
    start(&information, &placement);
}
