/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/dec21140_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

const uint8_t mac[6] = {0x00, 0x15, 0x5d, 0x01, 0x02, 0x03};
const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
const uint8_t group[6] = {0x01, 0x00, 0x5e, 0x00, 0x00, 0xfb};
const uint8_t stranger[6] = {0x00, 0x15, 0x5d, 0x0a, 0x0b, 0x0c};

static void send(void *port, const struct iovec *vector, int count)
{
    struct machine *machine = port;
    unsigned slot = machine->sent_count + machine->queued;
    size_t length = 0;

    assert_in_range(slot, 0, SENT_FRAMES - 1);
    for (int i = 0; i < count; i++) {
        assert_in_range(length + vector[i].iov_len, 0, NIC_MAXIMUM_FRAME);
        memcpy(machine->sent[slot] + length, vector[i].iov_base, vector[i].iov_len);
        length += vector[i].iov_len;
    }
    assert_in_range(length, NIC_MINIMUM_FRAME, NIC_MAXIMUM_FRAME);
    machine->sent_length[slot] = length;
    machine->queued++;
}

/* Only what is flushed counts as sent. */
static bool flush(void *port)
{
    struct machine *machine = port;

    machine->flushes++;
    machine->sent_count += machine->queued;
    machine->queued = 0;
    return !machine->congested;
}

static void ready(void *port)
{
    struct machine *machine = port;

    machine->ready_calls++;
    if (machine->held && dec21140_receive(&machine->card, machine->held, machine->held_length)) {
        machine->held = NULL;
        machine->held_taken = true;
    }
}

static void interrupt(void *context, unsigned slot, unsigned pin, bool level)
{
    struct machine *machine = context;

    assert_int_equal(slot, SLOT);
    assert_int_equal(pin, 0);
    machine->line = level;
}

void configure(struct machine *machine, unsigned offset, unsigned size, uint32_t value)
{
    pci_config_write(&machine->pci, SLOT, 0, offset, size, value);
}

void start_card(struct machine *machine, struct nic_backend backend)
{
    struct dec21140_configuration configuration = {
        .memory = &machine->memory, .timers = &machine->fixture.timers, .backend = backend};

    memcpy(configuration.mac_address, mac, sizeof mac);
    assert_true(dec21140_initialize(&machine->card, &machine->pci, SLOT, &configuration));
    configure(machine, PCI_BAR_0, 4, PORTS);
    configure(machine, PCI_BAR_0 + 4, 4, REGISTERS);
    configure(machine, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

struct machine *make_machine(void)
{
    struct machine *machine = calloc(1, sizeof *machine);

    fixture_initialize(&machine->fixture);
    assert_true(pci_bus_initialize(&machine->pci, &machine->fixture.bus, interrupt, machine));
    machine->ram = aligned_alloc(4096, MEMORY_SIZE);
    memset(machine->ram, 0, MEMORY_SIZE);
    assert_true(guest_memory_add(&machine->memory, 0, MEMORY_SIZE, machine->ram));
    return machine;
}

int dec21140_set_up(void **state)
{
    struct machine *machine = make_machine();

    start_card(machine, (struct nic_backend){.send = send, .flush = flush, .ready = ready, .port = machine});
    *state = machine;
    return 0;
}

int dec21140_tear_down(void **state)
{
    struct machine *machine = *state;

    free(machine->ram);
    free(machine);
    return 0;
}

uint32_t csr(struct machine *machine, unsigned number)
{
    return in32(&machine->fixture, (uint16_t)(PORTS + 8 * number));
}

void set_csr(struct machine *machine, unsigned number, uint32_t value)
{
    out32(&machine->fixture, (uint16_t)(PORTS + 8 * number), value);
}

void set_word(struct machine *machine, uint32_t address, uint32_t value)
{
    memcpy(machine->ram + address, &value, 4);
}

uint32_t word(struct machine *machine, uint32_t address)
{
    uint32_t value;

    memcpy(&value, machine->ram + address, 4);
    return value;
}

void set_descriptor(struct machine *machine, uint32_t address, uint32_t status, uint32_t control,
                    uint32_t buffer1, uint32_t buffer2)
{
    set_word(machine, address + 4, control);
    set_word(machine, address + 8, buffer1);
    set_word(machine, address + 12, buffer2);
    set_word(machine, address, status);
}

void make_frame(uint8_t *frame, size_t length, const uint8_t destination[6])
{
    for (size_t i = 0; i < length; i++)
        frame[i] = (uint8_t)(i * 5 + length);
    memcpy(frame, destination, 6);
    memcpy(frame + 6, stranger, 6);
    frame[12] = 0x08;
    frame[13] = 0x00;
}

void make_receive_ring(struct machine *machine, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        set_descriptor(machine, RX_RING + 16 * i, OWNED, RX_SIZE | (i == count - 1 ? TER : 0),
                       RX_BUFFER + 0x1000 * i, 0);
    set_csr(machine, 3, RX_RING);
}

void load_perfect_filter(struct machine *machine)
{
    memset(machine->ram + SETUP, 0xff, 192);
    for (unsigned i = 0; i < 3; i++) {
        machine->ram[SETUP + 15 * 12 + 4 * i] = mac[2 * i];
        machine->ram[SETUP + 15 * 12 + 4 * i + 1] = mac[2 * i + 1];
    }
    set_descriptor(machine, TX_RING, OWNED, SET | TER | 192, SETUP, 0);
    set_csr(machine, 4, TX_RING);
    set_csr(machine, 6, ST);
    assert_int_equal(word(machine, TX_RING), 0x7fffffff);
    set_csr(machine, 6, 0);
    set_csr(machine, 5, 0xffffffff);
    machine->card.transmit_quiet_until = 0;
}

bool receive(struct machine *machine, size_t length, const uint8_t destination[6])
{
    uint8_t frame[NIC_MAXIMUM_FRAME];

    make_frame(frame, length, destination);
    return dec21140_receive(&machine->card, frame, length);
}

uint32_t reference_crc32(const uint8_t *bytes, size_t length)
{
    uint32_t crc = 0xffffffff;
    uint32_t flipped = 0;

    for (size_t i = 0; i < length; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            bool carry = (crc >> 31 ^ bytes[i] >> bit) & 1;

            crc = crc << 1 ^ (carry ? 0x04c11db7 : 0);
        }
    }
    for (unsigned bit = 0; bit < 32; bit++)
        flipped |= (crc >> bit & 1) << (31 - bit);
    return ~flipped;
}

void put_setup_address(struct machine *machine, unsigned longword, const uint8_t address[6])
{
    for (unsigned i = 0; i < 3; i++) {
        set_word(machine, SETUP + 4 * (longword + i),
                 0xdead0000u | address[2 * i + 1] << 8 | address[2 * i]); /* the upper half does not count */
    }
}

void mii_clock(struct machine *machine, bool bit)
{
    uint32_t data = bit ? 0x20000 : 0;

    set_csr(machine, 9, data);
    set_csr(machine, 9, data | 0x10000);
}

void mii_bits(struct machine *machine, uint32_t bits, unsigned count)
{
    while (count-- > 0)
        mii_clock(machine, bits >> count & 1);
}

void mii_write(struct machine *machine, unsigned phy, unsigned number, uint16_t value)
{
    for (unsigned i = 0; i < 33; i++)
        mii_clock(machine, true);
    mii_bits(machine, 0x50020000u | phy << 23 | number << 18 | value, 32);
    set_csr(machine, 9, 0x40000);
    set_csr(machine, 9, 0x50000);
}
