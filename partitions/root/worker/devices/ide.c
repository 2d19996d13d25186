/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/ide.h"

#include "partitions/root/worker/devices/atapi_medium.h"

#define COMMAND_BLOCK_PORTS 8
#define CONTROL_BLOCK_PORTS 1
#define BUS_MASTER_BAR      4
#define BUS_MASTER_LENGTH   16

/*
 * More registers of the PIIX4's function 1 (82371AB datasheet, chapter 5). They time cables; here they only
 * hold what is written.
 */
#define PCI_SLAVE_TIMING      0x44
#define PCI_ULTRA_DMA_CONTROL 0x48
#define PCI_ULTRA_DMA_TIMING  0x4a

static const struct pci_identity piix4_ide = {
    .vendor = 0x8086,
    .device = 0x7111,
    .revision = 0x01,
    .class_code = 0x010180, /* IDE, both channels at their traditional places, with a bus master */
    .command_writable = PCI_COMMAND_IO | PCI_COMMAND_MASTER,
};

static const struct {
    uint16_t command_block;
    uint16_t control_block;
    const char *command_name;
    const char *control_name;
} places[IDE_CHANNELS] = {
    {0x1f0, 0x3f6, "IDE primary",   "IDE primary control"  },
    {0x170, 0x376, "IDE secondary", "IDE secondary control"},
};

static bool decoded(const struct ide *ide, unsigned channel)
{
    return pci_word(&ide->pci, PCI_COMMAND) & PCI_COMMAND_IO &&
           pci_word(&ide->pci, IDE_PCI_TIMING(channel)) & IDE_PCI_TIMING_DECODE;
}

static void unmap_channel(struct ide *ide, unsigned channel)
{
    struct bus *bus = ide->pci.bus->bus;

    bus_remove(bus, BUS_PORTS, places[channel].command_block, &ide->channels[channel]);
    bus_remove(bus, BUS_PORTS, places[channel].control_block, &ide->channels[channel]);
    ide->mapped[channel] = false;
}

/* Both blocks or none: where something else has the ports, the channel is not there. */
static void map_channel(struct ide *ide, unsigned channel)
{
    struct bus *bus = ide->pci.bus->bus;
    struct ide_channel *device = &ide->channels[channel];

    ide->mapped[channel] = bus_add(bus, BUS_PORTS, places[channel].command_block, COMMAND_BLOCK_PORTS,
                                   &ide_command_block_operations, device, places[channel].command_name) &&
                           bus_add(bus, BUS_PORTS, places[channel].control_block, CONTROL_BLOCK_PORTS,
                                   &ide_control_block_operations, device, places[channel].control_name);
    if (!ide->mapped[channel])
        unmap_channel(ide, channel);
}

static void update_decoding(struct ide *ide)
{
    for (unsigned i = 0; i < IDE_CHANNELS; i++) {
        if (ide->mapped[i] && !decoded(ide, i))
            unmap_channel(ide, i);
        else if (!ide->mapped[i] && decoded(ide, i))
            map_channel(ide, i);
    }
}

static void config_written(void *device, unsigned offset, unsigned size)
{
    struct ide *ide = device;

    (void)offset;
    (void)size;
    update_decoding(ide);
    if (pci_bus_master_enabled(&ide->pci))
        for (unsigned i = 0; i < IDE_CHANNELS; i++)
            ide_channel_master_enabled(&ide->channels[i]);
}

static void reset(void *device)
{
    struct ide *ide = device;

    update_decoding(ide);
    for (unsigned i = 0; i < IDE_CHANNELS; i++)
        ide_channel_reset(&ide->channels[i]);
}

static struct ide_channel *master_channel(struct ide *ide, uint64_t offset)
{
    return &ide->channels[offset / IDE_BUS_MASTER_PORTS];
}

static uint64_t bus_master_read(void *device, uint64_t offset, unsigned size)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++)
        value |=
            (uint64_t)ide_channel_master_read(master_channel(device, offset + i), (offset + i) % IDE_BUS_MASTER_PORTS)
            << (8 * i);
    return value;
}

static void bus_master_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    for (unsigned i = 0; i < size; i++)
        ide_channel_master_write(master_channel(device, offset + i), (offset + i) % IDE_BUS_MASTER_PORTS,
                                 value >> (8 * i) & 0xff);
}

static const struct bus_operations bus_master_operations = {.read = bus_master_read, .write = bus_master_write};

static bool may_master(void *owner)
{
    const struct ide *ide = owner;

    return pci_bus_master_enabled(&ide->pci);
}

bool ide_initialize(struct ide *ide, struct pci_bus *pci, unsigned slot, unsigned function,
                    const struct ide_configuration *configuration)
{
    for (unsigned i = 0; i < IDE_CHANNELS; i++) {
        struct ide_channel *channel = &ide->channels[i];

        channel->memory = configuration->memory;
        channel->line = configuration->lines[i];
        channel->no_space_hook = configuration->no_space;
        channel->medium_released_hook = configuration->medium_released;
        channel->machine = configuration->machine;
        channel->may_master = may_master;
        channel->owner = ide;
        ide_channel_reset(channel);
    }
    pci_device_initialize(&ide->pci, &piix4_ide, ide);
    pci_set_word(&ide->pci, PCI_STATUS, PCI_STATUS_FAST_BACK_TO_BACK | PCI_STATUS_DEVSEL_MEDIUM, 0);
    pci_set_word(&ide->pci, IDE_PCI_TIMING(0), 0, 0xffff);
    pci_set_word(&ide->pci, IDE_PCI_TIMING(1), 0, 0xffff);
    pci_set_byte(&ide->pci, PCI_SLAVE_TIMING, 0, 0xff);
    pci_set_byte(&ide->pci, PCI_ULTRA_DMA_CONTROL, 0, 0x0f);
    pci_set_word(&ide->pci, PCI_ULTRA_DMA_TIMING, 0, 0x3333);
    pci_device_add_bar(&ide->pci, BUS_MASTER_BAR, BUS_PORTS, BUS_MASTER_LENGTH, &bus_master_operations,
                       "IDE bus master");
    ide->pci.config_written = config_written;
    ide->pci.reset = reset;
    return pci_bus_add(pci, &ide->pci, slot, function);
}

static bool attach(struct ide *ide, unsigned channel, unsigned drive, enum ide_drive_kind kind, struct disk *disk,
                   const char *serial)
{
    struct ide_channel *device = &ide->channels[channel];

    if (device->drives[drive].kind != IDE_DRIVE_ABSENT || (drive == 1 && device->drives[0].kind == IDE_DRIVE_ABSENT))
        return false;
    ide_drive_attach(&device->drives[drive], kind, drive, disk, serial);
    ide_channel_reset(device);
    return true;
}

bool ide_attach(struct ide *ide, unsigned channel, unsigned drive, struct disk *disk, const char *serial)
{
    return disk_sectors(disk) > 0 && attach(ide, channel, drive, IDE_DRIVE_DISK, disk, serial);
}

bool ide_attach_dvd(struct ide *ide, unsigned channel, unsigned drive, const char *serial)
{
    return attach(ide, channel, drive, IDE_DRIVE_DVD, NULL, serial);
}

/* NULL if there is no DVD drive. */
static struct ide_drive *dvd_drive(struct ide *ide, unsigned channel, unsigned drive)
{
    struct ide_drive *device = &ide->channels[channel].drives[drive];

    return device->kind == IDE_DRIVE_DVD ? device : NULL;
}

bool ide_insert_medium(struct ide *ide, unsigned channel, unsigned drive, struct disk *disk)
{
    struct ide_drive *device = dvd_drive(ide, channel, drive);

    return device && atapi_insert(device, disk);
}

bool ide_eject_medium(struct ide *ide, unsigned channel, unsigned drive, bool force)
{
    struct ide_drive *device = dvd_drive(ide, channel, drive);

    if (!device)
        return false;
    if (!force && atapi_removal_prevented(device)) {
        device->atapi.media_event = ATAPI_MEDIA_EJECT_REQUEST;
        return false;
    }
    atapi_eject(&ide->channels[channel], device);
    return true;
}

struct disk *ide_medium(const struct ide *ide, unsigned channel, unsigned drive)
{
    const struct ide_drive *device = &ide->channels[channel].drives[drive];

    return device->kind == IDE_DRIVE_DVD ? device->disk : NULL;
}

void ide_resume(struct ide *ide)
{
    for (unsigned i = 0; i < IDE_CHANNELS; i++)
        ide_channel_resume(&ide->channels[i]);
}

bool ide_is_quiet(const struct ide *ide)
{
    return !ide->channels[0].in_flight && !ide->channels[1].in_flight;
}
