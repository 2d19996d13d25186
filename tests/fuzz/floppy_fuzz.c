/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The floppy and DMA controllers under a guest that does anything: accesses to every register, whole commands,
 * with disks that answer at once, late or with errors, media that come and go, resets at any time. Checked beside
 * the sanitizers: the rules that the devices owe disks (fake_disk.c), that a disk hears nothing more when it was
 * ejected, that the FIFO's indices stay inside, and that time brings every command to an end.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "partitions/root/worker/devices/floppy.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/unit/device_fixture.h"
#include "tests/unit/fake_disk.h"

#define MEMORY_SIZE 0x18000u /* transfers run into its end */
#define DISKS       4

struct machine {
    struct device_fixture fixture;
    struct guest_memory memory;
    uint8_t *ram;
    struct i8237 dma;
    struct floppy floppy;
    struct disk disks[DISKS];
};

static void require(bool condition, const char *promise)
{
    if (condition)
        return;
    fprintf(stderr, "broken: %s\n", promise);
    abort();
}

static void make_machine(struct machine *machine)
{
    static const struct disk_geometry geometries[DISKS] = {
        {80, 2, 18},
        {40, 1, 8 },
        {80, 2, 36},
        {80, 2, 9 }
    };
    struct floppy_configuration configuration = {
        .dma = &machine->dma,
        .timers = &machine->fixture.timers,
        .drives = {FLOPPY_DRIVE_2880, FLOPPY_DRIVE_1200},
    };

    fixture_initialize(&machine->fixture);
    machine->ram = calloc(1, MEMORY_SIZE);
    guest_memory_add(&machine->memory, 0, MEMORY_SIZE, machine->ram);
    for (unsigned i = 0; i < DISKS; i++) {
        const struct disk_geometry *geometry = &geometries[i];

        machine->disks[i].geometry = *geometry;
        machine->disks[i].sectors = (uint64_t)geometry->cylinders * geometry->heads * geometry->sectors_per_track;
    }
    configuration.line = fixture_line(&machine->fixture, 6);
    require(i8237_initialize(&machine->dma, &machine->fixture.bus, &machine->memory), "room for DMA");
    require(floppy_initialize(&machine->floppy, &machine->fixture.bus, &configuration), "room for floppy");
    floppy_insert(&machine->floppy, 0, &machine->disks[0]);
    out8(&machine->fixture, 0xd6, 0xc0);
    out8(&machine->fixture, 0xd4, 0x00);
    out8(&machine->fixture, 0x3f7, 0x00);
}

static void check(const struct machine *machine)
{
    const struct floppy *floppy = &machine->floppy;

    require(floppy->count < FLOPPY_FIFO_SIZE && floppy->wanted < FLOPPY_FIFO_SIZE, "the FIFO is bounded");
    require(floppy->transfer.position <= DISK_SECTOR_SIZE &&
                floppy->transfer.taken + floppy->transfer.buffered <= FLOPPY_TRACK_SECTORS,
            "the buffer is bounded");
    for (unsigned i = 0; i < FLOPPY_DRIVES; i++)
        require(floppy->drives[i].cylinder <= 83, "heads stop at the end");
}

static void access_port(struct machine *machine, struct fuzz_input *input, bool write)
{
    static const uint16_t first[] = {0x3f0, 0x00, 0xc0, 0x80};
    static const uint8_t count[] = {8, 16, 32, 16};
    uint8_t choice = (uint8_t)fuzz_take(input, 1);
    uint16_t port = (uint16_t)(first[choice & 3] + (choice >> 2) % count[choice & 3]);
    unsigned size = 1u << fuzz_take(input, 1) % 3;

    if (write)
        bus_write(&machine->fixture.bus, BUS_PORTS, port, size, fuzz_take(input, size));
    else
        bus_read(&machine->fixture.bus, BUS_PORTS, port, size);
}

/* A command with its bytes, mostly sensible, so that the fuzzer finds the way to data soon. */
static void command_at_once(struct machine *machine, struct fuzz_input *input)
{
    static const uint8_t codes[] = {0x46, 0x4c, 0x45, 0x49, 0x42, 0x56, 0x4d, 0x4a, 0x07, 0x0f,
                                    0xcf, 0x8f, 0x13, 0x03, 0x12, 0x94, 0x14, 0x0e, 0x04, 0x08};
    uint8_t choice = (uint8_t)fuzz_take(input, 1);
    uint8_t place = (uint8_t)fuzz_take(input, 1);
    uint8_t head = place >> 7;
    const uint8_t rest[] = {(uint8_t)(place % 3 | head << 2),
                            (uint8_t)(place >> 4 & 3),
                            head,
                            (uint8_t)(1 + (place >> 2) % 20),
                            2,
                            (uint8_t)fuzz_take(input, 1),
                            0x1b,
                            (uint8_t)fuzz_take(input, 1)};

    out8(&machine->fixture, 0x3f5, codes[choice % sizeof codes] | (choice & 0x80 ? 0xa0 : 0));
    for (unsigned i = 0; i < sizeof rest; i++)
        out8(&machine->fixture, 0x3f5, rest[i]);
}

static void dma_at_once(struct machine *machine, struct fuzz_input *input)
{
    uint8_t mode = (uint8_t)fuzz_take(input, 1);

    out8(&machine->fixture, 0x0c, 0);
    for (unsigned i = 0; i < 2; i++) {
        out8(&machine->fixture, 0x04, (uint8_t)fuzz_take(input, 1));
        out8(&machine->fixture, 0x04, (uint8_t)fuzz_take(input, 1));
        out8(&machine->fixture, 0x05, (uint8_t)fuzz_take(input, 1));
        out8(&machine->fixture, 0x05, (uint8_t)fuzz_take(input, 1));
    }
    out8(&machine->fixture, 0x81, mode & 3);
    out8(&machine->fixture, 0x0b, (mode & 0xfc) | 2);
    out8(&machine->fixture, 0x0a, 0x02);
}

static void change_medium(struct machine *machine, uint8_t choice)
{
    struct disk *disk = floppy_eject(&machine->floppy, choice & 1);

    (void)disk;
    disk = &machine->disks[choice >> 1 & 3];
    for (unsigned i = 0; i < FLOPPY_DRIVES; i++)
        if (machine->floppy.drives[i].disk == disk)
            return;
    if (choice & 0x80 && !disk->pending)
        floppy_insert(&machine->floppy, choice & 1, disk);
}

static void answer(struct machine *machine)
{
    for (unsigned i = 0; i < DISKS; i++)
        if (machine->disks[i].pending)
            fake_disk_complete(&machine->disks[i]);
}

static void bytes_at_once(struct machine *machine, struct fuzz_input *input)
{
    uint8_t choice = (uint8_t)fuzz_take(input, 1);

    for (unsigned i = 0; i < (choice & 0x7fu) * 16; i++)
        if (choice & 0x80)
            in8(&machine->fixture, 0x3f5);
        else
            out8(&machine->fixture, 0x3f5, choice);
}

static void set_disk(struct machine *machine, struct fuzz_input *input)
{
    static const int errors[] = {EIO, ENOSPC, EINVAL, EROFS};
    uint8_t choice = (uint8_t)fuzz_take(input, 1);
    struct disk *disk = &machine->disks[choice & 3];

    if (!disk->pending)
        disk->asynchronous = choice & 4;
    disk->read_only = choice & 8;
    disk->error = errors[choice >> 4 & 3];
    disk->errors = choice >> 6;
}

static void act(struct machine *machine, struct fuzz_input *input)
{
    switch (fuzz_take(input, 1) % 12) {
    case 0:
        access_port(machine, input, true);
        break;
    case 1:
        access_port(machine, input, false);
        break;
    case 2:
    case 3:
        command_at_once(machine, input);
        break;
    case 4:
        dma_at_once(machine, input);
        break;
    case 5:
        bytes_at_once(machine, input);
        break;
    case 6:
        fixture_advance(&machine->fixture, 1000 * (uint64_t)fuzz_take(input, 2));
        break;
    case 7:
        answer(machine);
        break;
    case 8:
        set_disk(machine, input);
        break;
    case 9:
        change_medium(machine, (uint8_t)fuzz_take(input, 1));
        break;
    case 10:
        out8(&machine->fixture, 0x3f2, (uint8_t)fuzz_take(input, 1));
        break;
    case 11:
        if (fuzz_take(input, 1) & 1)
            floppy_reset(&machine->floppy);
        else
            i8237_reset(&machine->dma);
        break;
    }
}

/* With disks that answer, and without a host that has to be waited for, all comes to an end. */
static void settle(struct machine *machine)
{
    for (unsigned i = 0; i < DISKS; i++)
        machine->disks[i].asynchronous = false;
    answer(machine);
    out8(&machine->fixture, 0x3f2, 0x0c);
    fixture_advance(&machine->fixture, 2 * FLOPPY_OVERRUN);
    require(floppy_is_quiet(&machine->floppy), "requests come back");
    require(timer_queue_wait(&machine->fixture.timers) == TIMER_NEVER, "no timer is left");
    require(machine->floppy.phase != FLOPPY_PHASE_RESET, "resets end");
    require(machine->floppy.phase != FLOPPY_PHASE_EXECUTION || machine->floppy.transfer.step == FLOPPY_STEP_HOST,
            "commands end, or wait for the host");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct machine machine;
    struct fuzz_input input = {data, size};

    memset(&machine, 0, sizeof machine);
    make_machine(&machine);
    while (input.left > 0) {
        act(&machine, &input);
        check(&machine);
    }
    settle(&machine);
    free(machine.ram);
    return 0;
}
