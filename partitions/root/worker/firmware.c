/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/firmware.h"

#include <endian.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "partitions/root/worker/firmware/netboot.h"
#include "partitions/root/worker/devices/piix4_isa.h"

#define VGA_ROM_FILE        "pci1234,1111.rom" /* by the VGA's PCI identity */
#define BOOT_ORDER_FILE     "bootorder"
#define MEMORY_FILE         "etc/e820"
#define BOOT_MENU_WAIT_FILE "etc/boot-menu-wait"
#define BOOT_FAIL_WAIT_FILE "etc/boot-fail-wait"
#define CONSOLE_FILE        "etc/sercon-port"

#define MEMORY_USABLE 1
#define FOUR_GIB      (1ull << 32)

#define FOREVER UINT32_MAX
#define COM1    0x3f8

static bool __attribute__((format(printf, 2, 3))) refuse(char error[FIRMWARE_ERROR_SIZE], const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(error, FIRMWARE_ERROR_SIZE, format, arguments);
    va_end(arguments);
    return false;
}

/* SeaBIOS's name of a device: the way to it through the buses, by slot and function, port, drive. */
static int device_path(char *path, size_t size, const struct firmware_boot_device *device)
{
    switch (device->kind) {
    case FIRMWARE_BOOT_FLOPPY:
        if (device->drive >= FIRMWARE_FLOPPY_DRIVES)
            return -1;
        return snprintf(path, size, "/pci@i0cf8/isa@%x/fdc@03f0/floppy@%x", PIIX4_SLOT, device->drive);
    case FIRMWARE_BOOT_IDE:
        if (device->channel >= FIRMWARE_IDE_CHANNELS || device->drive >= FIRMWARE_IDE_DRIVES)
            return -1;
        return snprintf(path, size, "/pci@i0cf8/ide@%x,%x/drive@%x/disk@%x", PIIX4_SLOT, PIIX4_IDE_FUNCTION,
                        device->channel, device->drive);
    case FIRMWARE_BOOT_NETWORK:
        return snprintf(path, size, "/rom@" NETBOOT_ROM_FILE);
    }
    return -1;
}

/* One device a line. */
static bool write_boot_order(struct firmware *firmware, const struct firmware_configuration *configuration,
                             char error[FIRMWARE_ERROR_SIZE])
{
    size_t used = 0;

    if (configuration->boot_devices > FIRMWARE_BOOT_DEVICES)
        return refuse(error, "the boot order has more devices than the machine");
    for (unsigned i = 0; i < configuration->boot_devices; i++) {
        char *line = firmware->boot_order + used;
        int length = device_path(line, sizeof firmware->boot_order - used, &configuration->boot_order[i]);

        if (length < 0 || used + (size_t)length + 1 > sizeof firmware->boot_order)
            return refuse(error, "the boot order names a device that the machine does not have");
        used += (size_t)length;
        firmware->boot_order[used++] = '\n';
    }
    if (used)
        firmware->boot_order[used - 1] = '\0';
    return true;
}

static bool build_tables(struct firmware *firmware, const struct firmware_configuration *configuration)
{
    struct smbios_configuration smbios = {
        .processors = configuration->processors,
        .memory_below_4g = configuration->memory_below_4g,
        .memory_above_4g = configuration->memory_above_4g,
        .serial = configuration->serial,
    };

    memcpy(smbios.uuid, configuration->uuid, sizeof smbios.uuid);
    return acpi_tables_build_files(&firmware->acpi, configuration->processors) &&
           smbios_tables_build(&firmware->smbios, &smbios);
}

static void set_values(struct firmware *firmware, const struct firmware_configuration *configuration)
{
    firmware->ranges[0] =
        (struct firmware_memory_range){0, htole64(configuration->memory_below_4g), htole32(MEMORY_USABLE)};
    firmware->ranges[1] = (struct firmware_memory_range){htole64(FOUR_GIB), htole64(configuration->memory_above_4g),
                                                         htole32(MEMORY_USABLE)};
    memcpy(firmware->uuid, configuration->uuid, sizeof firmware->uuid);
    firmware->memory_size = htole64(configuration->memory_below_4g);
    firmware->processors = htole16((uint16_t)configuration->processors);
    firmware->boot_menu = htole16(configuration->boot_menu);
    firmware->boot_menu_wait = htole32(configuration->boot_menu_wait);
    firmware->boot_fail_wait = htole32(FOREVER);
    firmware->console_port = htole16(COM1);
    firmware->irq0_override = 1; /* IRQ 0 is input 2 of the I/O APIC */
}

static bool add_items(const struct firmware *firmware, struct fw_cfg *fw_cfg)
{
    const struct {
        uint16_t key;
        const void *data;
        uint32_t length;
    } items[] = {
        {FW_CFG_UUID,          firmware->uuid,           sizeof firmware->uuid         },
        {FW_CFG_RAM_SIZE,      &firmware->memory_size,   sizeof firmware->memory_size  },
        {FW_CFG_CPU_COUNT,     &firmware->processors,    sizeof firmware->processors   },
        {FW_CFG_MAXIMUM_CPUS,  &firmware->processors,    sizeof firmware->processors   },
        {FW_CFG_BOOT_MENU,     &firmware->boot_menu,     sizeof firmware->boot_menu    },
        {FW_CFG_IRQ0_OVERRIDE, &firmware->irq0_override, sizeof firmware->irq0_override},
    };

    for (size_t i = 0; i < sizeof items / sizeof items[0]; i++)
        if (!fw_cfg_add_item(fw_cfg, items[i].key, items[i].data, items[i].length))
            return false;
    return true;
}

static bool add_files(const struct firmware *firmware, struct fw_cfg *fw_cfg,
                      const struct firmware_configuration *configuration)
{
    bool network = configuration->network.length;
    size_t console = configuration->serial_console ? sizeof firmware->console_port : 0;
    size_t ranges = configuration->memory_above_4g ? 2 : 1;
    const struct {
        const char *name;
        const void *data;
        size_t length; /* 0: left out */
    } files[] = {
        {ACPI_TABLES_FILE,        firmware->acpi.tables,       firmware->acpi.tables_length       },
        {ACPI_TABLES_RSDP_FILE,   firmware->acpi.rsdp,         sizeof firmware->acpi.rsdp         },
        {ACPI_TABLES_LOADER_FILE, firmware->acpi.loader,       firmware->acpi.loader_length       },
        {SMBIOS_ANCHOR_FILE,      firmware->smbios.anchor,     sizeof firmware->smbios.anchor     },
        {SMBIOS_TABLES_FILE,      firmware->smbios.tables,     firmware->smbios.length            },
        {MEMORY_FILE,             firmware->ranges,            ranges * sizeof firmware->ranges[0]},
        {BOOT_ORDER_FILE,         firmware->boot_order,        strlen(firmware->boot_order)       },
        {BOOT_MENU_WAIT_FILE,     &firmware->boot_menu_wait,   sizeof firmware->boot_menu_wait    },
        {BOOT_FAIL_WAIT_FILE,     &firmware->boot_fail_wait,   sizeof firmware->boot_fail_wait    },
        {CONSOLE_FILE,            &firmware->console_port,     console                            },
        {VGA_ROM_FILE,            configuration->vga.data,     configuration->vga.length          },
        {NETBOOT_ROM_FILE,        netboot_rom,                 network ? netboot_rom_length : 0   },
        {NETBOOT_IMAGE_FILE,      configuration->network.data, configuration->network.length      },
    };

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (files[i].length && !fw_cfg_add_file(fw_cfg, files[i].name, files[i].data, (uint32_t)files[i].length))
            return false;
    return true;
}

bool firmware_configure(struct firmware *firmware, struct fw_cfg *fw_cfg,
                        const struct firmware_configuration *configuration, char error[FIRMWARE_ERROR_SIZE])
{
    memset(firmware, 0, sizeof *firmware);
    if (!write_boot_order(firmware, configuration, error))
        return false;
    if (!build_tables(firmware, configuration))
        return refuse(error, "the firmware's tables cannot describe %u processors with %llu MiB of memory",
                      configuration->processors,
                      (unsigned long long)(configuration->memory_below_4g + configuration->memory_above_4g) >> 20);
    set_values(firmware, configuration);
    if (!add_items(firmware, fw_cfg) || !add_files(firmware, fw_cfg, configuration))
        return refuse(error, "the firmware configuration device has no room");
    return true;
}

void firmware_set_cmos(struct mc146818 *rtc, const struct firmware_configuration *configuration)
{
    struct mc146818_start start = {.processors = configuration->processors};

    memcpy(start.floppies, configuration->floppies, sizeof start.floppies);
    memcpy(start.disks, configuration->disks, sizeof start.disks);
    mc146818_set_memory_size(rtc, configuration->memory_below_4g, configuration->memory_above_4g);
    mc146818_set_start(rtc, &start);
}
