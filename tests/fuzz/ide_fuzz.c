/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The IDE controller under a guest that does anything: accesses to every register with disks that answer at
 * once, late or with errors, packets and PRD tables of any content, resets at any time, media that come and go.
 * Checked beside the sanitizers: the rules that the device owes its disks (fake_disk.c), that memory outside RAM
 * is never touched, and that each medium is let go once, with no request for it under way.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "partitions/root/worker/devices/ide.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/unit/device_fixture.h"
#include "tests/unit/fake_disk.h"

#define MEMORY_SIZE 0x20000u
#define BUS_MASTER  0xc000
#define SLOT        7
#define FUNCTION    1

/* Two disks on the primary channel, and two media for the DVD drive, alone on the secondary. */
#define DISKS 4
#define MEDIA 2

struct machine {
    struct device_fixture fixture;
    struct pci_bus pci;
    struct guest_memory memory;
    uint8_t *ram;
    struct ide ide;
    struct disk disks[DISKS];
    struct disk *inserted[DISKS]; /* media that the DVD drive has not let go */
};

enum action {
    ACTION_COMMAND_BLOCK,
    ACTION_CONTROL,
    ACTION_READ,
    ACTION_BLOCK_IN,
    ACTION_BLOCK_OUT,
    ACTION_BUS_MASTER,
    ACTION_MEMORY,
    ACTION_COMPLETE,
    ACTION_ERRORS,
    ACTION_MODE,
    ACTION_RESUME,
    ACTION_CONFIGURE,
    ACTION_RESET,
    ACTION_COMMAND_AT_ONCE,
    ACTION_MASTER_AT_ONCE,
    ACTION_PACKET_AT_ONCE,
    ACTION_INSERT,
    ACTION_EJECT,
    ACTION_COUNT,
};

static void no_space(void *machine, struct disk *disk)
{
    (void)machine;
    (void)disk;
}

static void medium_released(void *context, struct disk *disk)
{
    struct machine *machine = context;
    size_t index = (size_t)(disk - machine->disks);

    if (index >= DISKS || !machine->inserted[index] || disk->pending)
        abort();
    machine->inserted[index] = NULL;
}

static void no_interrupt(void *context, unsigned slot, unsigned pin, bool level)
{
    (void)context;
    (void)slot;
    (void)pin;
    (void)level;
    abort();
}

static void enable(struct machine *machine)
{
    pci_config_write(&machine->pci, SLOT, FUNCTION, IDE_PCI_TIMING(0), 2, IDE_PCI_TIMING_DECODE);
    pci_config_write(&machine->pci, SLOT, FUNCTION, IDE_PCI_TIMING(1), 2, IDE_PCI_TIMING_DECODE);
    pci_config_write(&machine->pci, SLOT, FUNCTION, PCI_BAR_0 + 16, 4, BUS_MASTER);
    pci_config_write(&machine->pci, SLOT, FUNCTION, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
}

static void make_machine(struct machine *machine)
{
    struct ide_configuration configuration = {
        .memory = &machine->memory, .no_space = no_space, .medium_released = medium_released, .machine = machine};

    fixture_initialize(&machine->fixture);
    pci_bus_initialize(&machine->pci, &machine->fixture.bus, no_interrupt, NULL);
    machine->ram = calloc(1, MEMORY_SIZE);
    guest_memory_add(&machine->memory, 0, MEMORY_SIZE, machine->ram);
    for (unsigned i = 0; i < 2; i++)
        configuration.lines[i] = fixture_line(&machine->fixture, 14 + i);
    for (unsigned i = 0; i < DISKS; i++) {
        machine->disks[i].sectors = i == DISKS - 1 ? 2000000 : 3000; /* a CD and a DVD, if they are media */
        machine->disks[i].geometry = (struct disk_geometry){12, 4, 62};
    }
    ide_initialize(&machine->ide, &machine->pci, SLOT, FUNCTION, &configuration);
    ide_attach(&machine->ide, 0, 0, &machine->disks[0], "fuzz-0");
    ide_attach(&machine->ide, 0, 1, &machine->disks[1], "fuzz-1");
    ide_attach_dvd(&machine->ide, 1, 0, "fuzz-2");
    enable(machine);
}

static uint16_t command_port(struct fuzz_input *input)
{
    uint8_t choice = (uint8_t)fuzz_take(input, 1);

    return (uint16_t)((choice & 0x80 ? 0x170 : 0x1f0) + (choice & 7));
}

static void block(struct machine *machine, struct fuzz_input *input, bool in)
{
    static uint8_t items[4 * 4096];
    unsigned size = 1u << fuzz_take(input, 1) % 3;
    size_t count = 1 + fuzz_take(input, 2) % 4096;
    uint16_t port = command_port(input);
    size_t moved = in ? bus_block_in(&machine->fixture.bus, port, size, items, count)
                      : bus_block_out(&machine->fixture.bus, port, size, items, count);

    if (moved < 1 || moved > count)
        abort();
}

static void access(struct machine *machine, struct fuzz_input *input, uint16_t port)
{
    unsigned size = 1u << fuzz_take(input, 1) % 3;

    bus_write(&machine->fixture.bus, BUS_PORTS, port, size, fuzz_take(input, size));
}

/* A whole command with its operands, so that the fuzzer finds the way to data soon. */
static void command_at_once(struct machine *machine, struct fuzz_input *input)
{
    static const uint8_t codes[] = {0x20, 0x24, 0x25, 0x29, 0x30, 0x34, 0x35, 0x39, 0x40, 0x42,
                                    0xc4, 0xc5, 0xc6, 0xc8, 0xca, 0xe7, 0xec, 0xef, 0xe6, 0x91};

    out8(&machine->fixture, 0x1f6, (uint8_t)fuzz_take(input, 1));
    out8(&machine->fixture, 0x1f1, (uint8_t)fuzz_take(input, 1));
    for (uint16_t port = 0x1f2; port <= 0x1f5; port++)
        out8(&machine->fixture, port, port >= 0x1f4 ? 0 : (uint8_t)fuzz_take(input, 1));
    out8(&machine->fixture, 0x1f7, codes[fuzz_take(input, 1) % sizeof codes]);
}

/* A whole packet: what follows the operation code is small numbers, mostly. */
static void packet_at_once(struct machine *machine, struct fuzz_input *input)
{
    static const uint8_t codes[] = {0x00, 0x03, 0x12, 0x15, 0x1a, 0x1b, 0x1e, 0x25, 0x28, 0x2b, 0x42, 0x43,
                                    0x46, 0x4a, 0x51, 0x52, 0x55, 0x5a, 0xa8, 0xad, 0xb9, 0xbb, 0xbd, 0xbe};
    uint8_t packet[12] = {codes[fuzz_take(input, 1) % sizeof codes]};
    uint8_t features = (uint8_t)fuzz_take(input, 1);

    fuzz_take_bytes(input, packet + 1, sizeof packet - 1);
    if (features & 0x80)
        packet[2] = packet[3] = packet[6] = 0;
    out8(&machine->fixture, 0x176, 0xa0);
    out8(&machine->fixture, 0x171, features & 0x0f);
    out8(&machine->fixture, 0x174, (uint8_t)fuzz_take(input, 1));
    out8(&machine->fixture, 0x175, features >> 4);
    out8(&machine->fixture, 0x177, 0xa0);
    bus_block_out(&machine->fixture.bus, 0x170, 2, packet, 6);
}

static void insert(struct machine *machine, struct fuzz_input *input)
{
    unsigned index = DISKS - 1 - fuzz_take(input, 1) % MEDIA;
    struct disk *disk = &machine->disks[index];

    if (machine->inserted[index])
        return;
    machine->inserted[index] = disk;
    if (!ide_insert_medium(&machine->ide, 1, 0, disk))
        machine->inserted[index] = NULL;
}

/* A PRD table with up to eight regions, mostly in RAM, and the engine started on it. */
static void master_at_once(struct machine *machine, struct fuzz_input *input)
{
    uint8_t choice = (uint8_t)fuzz_take(input, 1);
    unsigned regions = choice % 8 + 1;
    uint16_t registers = BUS_MASTER + (fuzz_take(input, 1) & 1) * 8; /* of either channel */
    uint32_t table = (uint32_t)(choice >> 3 & 7) * 4;

    for (unsigned i = 0; i < regions; i++) {
        uint32_t descriptor[2] = {fuzz_take(input, 2) * 4, fuzz_take(input, 2)};

        if (i == regions - 1 && choice & 0x40)
            descriptor[1] |= 0x80000000u;
        memcpy(machine->ram + table + 8 * i, descriptor, sizeof descriptor);
    }
    out32(&machine->fixture, registers + 4, table);
    out8(&machine->fixture, registers, choice & 0x80 ? 0x08 : 0);
    out8(&machine->fixture, registers, choice & 0x80 ? 0x09 : 1);
}

static void write_memory(struct machine *machine, struct fuzz_input *input)
{
    uint8_t bytes[16];
    uint32_t address = (uint32_t)fuzz_take(input, 1) * 8;

    fuzz_take_bytes(input, bytes, sizeof bytes);
    memcpy(machine->ram + address, bytes, sizeof bytes);
}

static void act(struct machine *machine, struct fuzz_input *input)
{
    struct disk *disk = &machine->disks[input->left % DISKS];

    switch ((enum action)(fuzz_take(input, 1) % ACTION_COUNT)) {
    case ACTION_COMMAND_BLOCK:
        access(machine, input, command_port(input));
        break;
    case ACTION_CONTROL:
        out8(&machine->fixture, input->left & 1 ? 0x376 : 0x3f6, (uint8_t)fuzz_take(input, 1));
        break;
    case ACTION_READ:
        bus_read(&machine->fixture.bus, BUS_PORTS, command_port(input), 1u << fuzz_take(input, 1) % 3);
        break;
    case ACTION_BLOCK_IN:
        block(machine, input, true);
        break;
    case ACTION_BLOCK_OUT:
        block(machine, input, false);
        break;
    case ACTION_BUS_MASTER:
        access(machine, input, (uint16_t)(BUS_MASTER + fuzz_take(input, 1) % 16));
        in32(&machine->fixture, BUS_MASTER);
        break;
    case ACTION_MEMORY:
        write_memory(machine, input);
        break;
    case ACTION_COMPLETE:
        if (disk->pending)
            fake_disk_complete(disk);
        break;
    case ACTION_ERRORS: {
        static const int errors[] = {EIO, ENOSPC, EINVAL, EROFS};

        disk->error = errors[fuzz_take(input, 1) % 4];
        disk->errors = fuzz_take(input, 1) % 4;
        break;
    }
    case ACTION_MODE:
        disk->asynchronous = fuzz_take(input, 1) & 1;
        break;
    case ACTION_RESUME:
        ide_resume(&machine->ide);
        break;
    case ACTION_CONFIGURE:
        pci_config_write(&machine->pci, SLOT, FUNCTION, fuzz_take(input, 1) & 0xfc, 4, fuzz_take(input, 4));
        break;
    case ACTION_RESET:
        pci_bus_reset(&machine->pci);
        enable(machine);
        break;
    case ACTION_COMMAND_AT_ONCE:
        command_at_once(machine, input);
        break;
    case ACTION_MASTER_AT_ONCE:
        master_at_once(machine, input);
        break;
    case ACTION_PACKET_AT_ONCE:
        packet_at_once(machine, input);
        break;
    case ACTION_INSERT:
        insert(machine, input);
        break;
    case ACTION_EJECT:
        ide_eject_medium(&machine->ide, 1, 0, fuzz_take(input, 1) & 1);
        break;
    case ACTION_COUNT:
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct machine machine;
    struct fuzz_input input = {data, size};

    memset(&machine, 0, sizeof machine);
    make_machine(&machine);
    while (input.left > 0)
        act(&machine, &input);
    ide_eject_medium(&machine.ide, 1, 0, true);
    for (unsigned i = 0; i < DISKS; i++)
        if (machine.disks[i].pending)
            fake_disk_complete(&machine.disks[i]);
    for (unsigned i = 0; i < DISKS; i++)
        if (machine.inserted[i])
            abort();
    free(machine.ram);
    return 0;
}
