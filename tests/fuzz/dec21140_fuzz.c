/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The 21140A under a guest that does anything: any register access, descriptors of any content, frames from
 * the switch, time that passes. Checked beside the sanitizers: frames that leave are frames, work is bounded.
 */
#include <stdlib.h>
#include <string.h>
#include "partitions/root/worker/devices/dec21140.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/unit/device_fixture.h"

#define MEMORY_SIZE 0x10000u
#define PORTS       0xc100
#define REGISTERS   0xf0000000u
#define SLOT        10

struct machine {
    struct device_fixture fixture;
    struct pci_bus pci;
    struct guest_memory memory;
    uint8_t *ram;
    struct dec21140 card;
    bool holding; /* a frame that the card refused */
    uint8_t held[NIC_MAXIMUM_FRAME];
    size_t held_length;
    unsigned queued; /* frames that the card has sent and not flushed */
    unsigned work; /* frames sent by the present action */
};

enum action {
    ACTION_WRITE,
    ACTION_READ,
    ACTION_MEMORY_REGISTER,
    ACTION_DESCRIPTOR,
    ACTION_MEMORY,
    ACTION_RECEIVE,
    ACTION_ADVANCE,
    ACTION_LINK,
    ACTION_CONFIGURE,
    ACTION_RESET,
    ACTION_START,
    ACTION_SERIAL,
    ACTION_SETUP,
    ACTION_COUNT,
};

static void send(void *port, const struct iovec *vector, int count)
{
    static volatile uint8_t sink;
    struct machine *machine = port;
    size_t length = 0;

    for (int i = 0; i < count; i++) {
        for (size_t j = 0; j < vector[i].iov_len; j += 64)
            sink = ((const uint8_t *)vector[i].iov_base)[j];
        sink = ((const uint8_t *)vector[i].iov_base)[vector[i].iov_len - 1];
        length += vector[i].iov_len;
    }
    if (length < NIC_MINIMUM_FRAME || length > NIC_MAXIMUM_FRAME || ++machine->work > 100000)
        abort();
    (void)sink;
    machine->queued++;
}

static bool flush(void *port)
{
    struct machine *machine = port;
    bool good = machine->queued & 1;

    if (machine->queued == 0)
        abort();
    machine->queued = 0;
    return good;
}

static void ready(void *port)
{
    struct machine *machine = port;

    if (machine->holding && dec21140_receive(&machine->card, machine->held, machine->held_length))
        machine->holding = false;
}

static void interrupt(void *context, unsigned slot, unsigned pin, bool level)
{
    (void)context;
    (void)level;
    if (slot != SLOT || pin != 0)
        abort();
}

static void configure(struct machine *machine, unsigned offset, unsigned size, uint32_t value)
{
    pci_config_write(&machine->pci, SLOT, 0, offset, size, value);
}

static void enable(struct machine *machine)
{
    configure(machine, PCI_BAR_0, 4, PORTS);
    configure(machine, PCI_BAR_0 + 4, 4, REGISTERS);
    configure(machine, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static void make_machine(struct machine *machine)
{
    struct dec21140_configuration configuration = {
        .memory = &machine->memory,
        .timers = &machine->fixture.timers,
        .mac_address = {0x00, 0x15, 0x5d,  1,                2, 3},
        .backend = {.send = send,   .flush = flush,       .ready = ready, .port = machine}
    };

    fixture_initialize(&machine->fixture);
    pci_bus_initialize(&machine->pci, &machine->fixture.bus, interrupt, NULL);
    machine->ram = calloc(1, MEMORY_SIZE);
    guest_memory_add(&machine->memory, 0, MEMORY_SIZE, machine->ram);
    dec21140_initialize(&machine->card, &machine->pci, SLOT, &configuration);
    enable(machine);
}

static void set_csr(struct machine *machine, unsigned number, uint32_t value)
{
    out32(&machine->fixture, (uint16_t)(PORTS + 8 * number), value);
}

static void receive(struct machine *machine, struct fuzz_input *input)
{
    static uint8_t frame[2048];
    size_t length = fuzz_take(input, 2) % sizeof frame;

    fuzz_take_bytes(input, frame, 14);
    if (machine->holding || dec21140_receive(&machine->card, frame, length))
        return;
    memcpy(machine->held, frame, length);
    machine->held_length = length;
    machine->holding = true;
}

/* A descriptor at one of 64 places, owned by the card more often than not. */
static void write_descriptor(struct machine *machine, struct fuzz_input *input)
{
    uint32_t words[4];
    uint8_t place = (uint8_t)fuzz_take(input, 1);

    words[0] = place & 0x40 ? fuzz_take(input, 4) : 0x80000000u;
    words[1] = fuzz_take(input, 4);
    words[2] = place & 0x80 ? fuzz_take(input, 4) : fuzz_take(input, 2);
    words[3] = fuzz_take(input, 2);
    memcpy(machine->ram + 16 * (place & 0x3f), words, sizeof words);
}

/* A setup frame of any kind, sent from the last of the 64 places. */
static void setup(struct machine *machine, struct fuzz_input *input)
{
    uint8_t choice = (uint8_t)fuzz_take(input, 1);
    uint32_t words[4] = {0x80000000u, 0x08000000u | 192 | (choice & 1u) << 22 | (choice & 2u) << 27, 0x8000,
                         0};

    fuzz_take_bytes(input, machine->ram + 0x8000, 32);
    memcpy(machine->ram + 16 * 63, words, sizeof words);
    set_csr(machine, 4, 16 * 63);
    set_csr(machine, 1, 0);
}

static void act(struct machine *machine, struct fuzz_input *input)
{
    uint64_t address;
    unsigned size;

    machine->work = 0;
    if (machine->queued)
        abort();
    switch ((enum action)(fuzz_take(input, 1) % ACTION_COUNT)) {
    case ACTION_WRITE:
        set_csr(machine, fuzz_take(input, 1) % DEC21140_CSRS, fuzz_take(input, 4));
        break;
    case ACTION_READ:
        bus_read(&machine->fixture.bus, BUS_PORTS, PORTS + fuzz_take(input, 1) % 128,
                 1u << fuzz_take(input, 1) % 3);
        break;
    case ACTION_MEMORY_REGISTER:
        address = REGISTERS + fuzz_take(input, 1) % 128;
        size = 1u << fuzz_take(input, 1) % 4;
        bus_write(&machine->fixture.bus, BUS_MEMORY, address, size, fuzz_take(input, 4));
        bus_read(&machine->fixture.bus, BUS_MEMORY, address, size);
        break;
    case ACTION_DESCRIPTOR:
        write_descriptor(machine, input);
        break;
    case ACTION_MEMORY:
        address = fuzz_take(input, 2);
        fuzz_take_bytes(input, machine->ram + address % (MEMORY_SIZE - 16), 16);
        break;
    case ACTION_RECEIVE:
        receive(machine, input);
        break;
    case ACTION_ADVANCE:
        fixture_advance(&machine->fixture, (uint64_t)fuzz_take(input, 2) * 1000);
        break;
    case ACTION_LINK:
        dec21140_set_link(&machine->card, fuzz_take(input, 1) & 1);
        break;
    case ACTION_CONFIGURE:
        configure(machine, fuzz_take(input, 1) & 0xfc, 4, fuzz_take(input, 4));
        break;
    case ACTION_RESET:
        pci_bus_reset(&machine->pci);
        enable(machine);
        break;
    case ACTION_START:
        set_csr(machine, 3, fuzz_take(input, 1) % 64 * 16);
        set_csr(machine, 4, fuzz_take(input, 1) % 64 * 16);
        set_csr(machine, 6, 0x2002 | (uint32_t)fuzz_take(input, 1) << 4);
        break;
    case ACTION_SERIAL:
        for (uint32_t bits = fuzz_take(input, 4), i = 0; i < 32; i++) {
            uint32_t wires = 0x4801 | (bits >> i & 1) * 0x20004;

            set_csr(machine, 9, wires);
            set_csr(machine, 9, wires | 0x10002);
        }
        break;
    case ACTION_SETUP:
        setup(machine, input);
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
    free(machine.ram);
    return 0;
}
