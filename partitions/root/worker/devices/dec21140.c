/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/dec21140.h"

#include <string.h>
#include "partitions/root/worker/devices/dec21140_process.h"

#define BAR_PORTS           0
#define BAR_MEMORY          1
#define BAR_LENGTH          128
#define CSR_SPACING         8 /* bytes from one register to the next */
#define FUNCTION            0
#define PCI_MINIMUM_GRANT   0x3e
#define PCI_MAXIMUM_LATENCY 0x3f
#define PCI_DRIVER_AREA     0x40 /* CFDA: snooze and sleep modes, and eight bits for the driver */

#define CSR5_NORMAL_EVENTS                                                                                   \
    (CSR5_TRANSMIT_INTERRUPT | CSR5_TRANSMIT_UNAVAILABLE | CSR5_RECEIVE_INTERRUPT | CSR5_TIMER_EXPIRED |     \
     CSR5_EARLY_RECEIVE)
#define CSR5_ABNORMAL_EVENTS                                                                                 \
    (CSR5_TRANSMIT_STOPPED | CSR5_TRANSMIT_JABBER | CSR5_TRANSMIT_UNDERFLOW | CSR5_RECEIVE_UNAVAILABLE |     \
     CSR5_RECEIVE_STOPPED | CSR5_RECEIVE_WATCHDOG | CSR5_EARLY_TRANSMIT | CSR5_FATAL_BUS_ERROR)
#define CSR5_EVENTS (CSR5_NORMAL_EVENTS | CSR5_ABNORMAL_EVENTS)

/* CSR6: how frames are filtered, as the setup frame said. Read-only. */
#define CSR6_HASH      0x00000001u
#define CSR6_HASH_ONLY 0x00000004u
#define CSR6_INVERSE   0x00000010u

/* CSR8. */
#define CSR8_MISSED          0x0000ffffu
#define CSR8_MISSED_OVERFLOW 0x00010000u

/* CSR9, serial ROM and MII management. */
#define CSR9_SROM_CHIP_SELECT 0x00000001u
#define CSR9_SROM_CLOCK       0x00000002u
#define CSR9_SROM_DATA_IN     0x00000004u
#define CSR9_SROM_DATA_OUT    0x00000008u
#define CSR9_SROM_SELECT      0x00000800u
#define CSR9_MII_CLOCK        0x00010000u
#define CSR9_MII_DATA_OUT     0x00020000u
#define CSR9_MII_READ         0x00040000u
#define CSR9_MII_DATA_IN      0x00080000u

/* CSR11, general-purpose timer. */
#define CSR11_CONTINUOUS 0x00010000u
#define CSR11_VALUE      0x0000ffffu

/* CSR12, general-purpose port: a write sets the pins' directions (1: output), or what the outputs drive. */
#define CSR12_CONTROL 0x00000100u
#define CSR12_PINS    0x000000ffu

static const struct pci_identity identity = {
    .vendor = 0x1011,
    .device = 0x0009,
    .revision = 0x20, /* 21140A */
    .class_code = 0x020000,
    .subsystem_vendor = DEC21140_SUBSYSTEM_VENDOR,
    .subsystem = DEC21140_SUBSYSTEM,
    .interrupt_pin = 1,
    .command_writable = PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER,
};

/* Bits that read as one whatever was written, bits that can be written, and what a reset leaves there. */
static const struct {
    uint32_t ones;
    uint32_t writable;
    uint32_t reset;
} registers[DEC21140_CSRS] = {
    {0xfe000000, 0x01befffe, 0         }, /* CSR0 bus mode */
    {0xffffffff, 0,          0         }, /* CSR1 transmit poll demand */
    {0xffffffff, 0,          0         }, /* CSR2 receive poll demand */
    {0,          0xfffffffc, 0         }, /* CSR3 receive list */
    {0,          0xfffffffc, 0         }, /* CSR4 transmit list */
    {0xfc000000, 0,          0         }, /* CSR5 status */
    {0x32000000, 0xcdffffea, 0x00000040}, /* CSR6 operation mode */
    {0xfffe0000, 0x0001ffff, 0         }, /* CSR7 interrupt enable */
    {0xe0000000, 0,          0         }, /* CSR8 missed frames */
    {0xfff08300, 0x00077cff, 0x000400ff}, /* CSR9 boot ROM, serial ROM, MII */
    {0xfff80000, 0x0007ffff, 0         }, /* CSR10 boot ROM address */
    {0xfffe0000, 0x0001ffff, 0         }, /* CSR11 general-purpose timer */
    {0xfffffe00, 0,          0         }, /* CSR12 general-purpose port */
    {0xffffffff, 0,          0         }, /* CSR13 reserved */
    {0xffffffff, 0,          0         }, /* CSR14 reserved */
    {0xfffffec8, 0x00000137, 0         }, /* CSR15 watchdog timer */
};

static uint32_t descriptor_word(const struct dec21140 *card, uint32_t word)
{
    return card->csr[0] & CSR0_BIG_DESCRIPTORS ? __builtin_bswap32(word) : word;
}

bool dec21140_may_master(const struct dec21140 *card)
{
    return !card->bus_error && pci_bus_master_enabled(&card->pci);
}

bool dec21140_read(const struct dec21140 *card, uint32_t address, struct dec21140_descriptor *descriptor)
{
    const uint32_t *words = guest_memory_range(card->memory, address, 4 * sizeof *words);

    if (!words)
        return false;
    /*
     * The driver hands the descriptor over by its first word: the others are valid only after that has been
     * read.
     */
    descriptor->address = address;
    descriptor->status = descriptor_word(card, __atomic_load_n(&words[0], __ATOMIC_ACQUIRE));
    descriptor->control = descriptor_word(card, __atomic_load_n(&words[1], __ATOMIC_RELAXED));
    descriptor->buffer[0] = descriptor_word(card, __atomic_load_n(&words[2], __ATOMIC_RELAXED));
    descriptor->buffer[1] = descriptor_word(card, __atomic_load_n(&words[3], __ATOMIC_RELAXED));
    return true;
}

bool dec21140_fetch(struct dec21140 *card, uint32_t address, struct dec21140_descriptor *descriptor)
{
    bool found = dec21140_read(card, address, descriptor);

    if (!found)
        dec21140_bus_error(card);
    return found;
}

bool dec21140_close(struct dec21140 *card, const struct dec21140_descriptor *descriptor, uint32_t status)
{
    uint32_t *word = guest_memory_range(card->memory, descriptor->address, sizeof *word);

    if (!word) {
        dec21140_bus_error(card);
        return false;
    }
    __atomic_store_n(word, descriptor_word(card, status), __ATOMIC_RELEASE);
    return true;
}

uint32_t dec21140_next(const struct dec21140 *card, const struct dec21140_descriptor *descriptor,
                       uint32_t base)
{
    if (descriptor->control & DESCRIPTOR_END_OF_RING)
        return base;
    if (descriptor->control & DESCRIPTOR_CHAINED)
        return descriptor->buffer[1] & ~3u;
    return descriptor->address + 16 + 4 * CSR0_SKIP_LENGTH(card->csr[0]);
}

uint32_t dec21140_second_size(const struct dec21140_descriptor *descriptor)
{
    return descriptor->control & DESCRIPTOR_CHAINED ? 0 : DESCRIPTOR_SIZE_2(descriptor->control);
}

/* Where the byte is whose address is this to a big-endian processor. */
static uint64_t swapped(uint64_t address)
{
    return address ^ 3;
}

bool dec21140_read_data(const struct dec21140 *card, uint32_t address, uint8_t *data, size_t length)
{
    if (!(card->csr[0] & CSR0_BIG_BUFFERS))
        return guest_memory_read(card->memory, address, data, length);
    for (size_t i = 0; i < length; i++)
        if (!guest_memory_read(card->memory, swapped(address + i), &data[i], 1))
            return false;
    return true;
}

bool dec21140_write_data(const struct dec21140 *card, uint64_t address, const uint8_t *data, size_t length)
{
    if (!(card->csr[0] & CSR0_BIG_BUFFERS))
        return guest_memory_write(card->memory, address, data, length);
    for (size_t i = 0; i < length; i++)
        if (!guest_memory_write(card->memory, swapped(address + i), &data[i], 1))
            return false;
    return true;
}

/* The summary bits: what is enabled and has happened (CSR5<16:15>). */
static uint32_t summary(const struct dec21140 *card)
{
    uint32_t events = card->csr[5] & card->csr[7];

    return (events & CSR5_NORMAL_EVENTS ? CSR5_NORMAL : 0) |
           (events & CSR5_ABNORMAL_EVENTS ? CSR5_ABNORMAL : 0);
}

void dec21140_update_interrupt(struct dec21140 *card)
{
    pci_set_interrupt(&card->pci, summary(card) & card->csr[7]);
}

void dec21140_event(struct dec21140 *card, uint32_t events)
{
    card->csr[5] |= events;
    if (events & CSR5_TRANSMIT_INTERRUPT)
        card->csr[5] &= ~CSR5_EARLY_TRANSMIT;
    dec21140_update_interrupt(card);
}

void dec21140_bus_error(struct dec21140 *card)
{
    card->bus_error = true;
    timer_disarm(&card->transmit_timer);
    dec21140_event(card, CSR5_FATAL_BUS_ERROR);
}

static uint64_t timer_unit(const struct dec21140 *card)
{
    if (!(card->csr[6] & CSR6_PORT_SELECT))
        return 204800;
    return card->csr[6] & CSR6_TRANSMIT_THRESHOLD_10 ? 819200 : 81920;
}

static void start_general_timer(struct dec21140 *card, uint64_t now)
{
    uint32_t value = card->csr[11] & CSR11_VALUE;

    timer_arm(&card->general_timer, value ? now + value * timer_unit(card) : TIMER_NEVER);
}

static void general_timer_expired(void *context, uint64_t now)
{
    struct dec21140 *card = context;

    if (card->csr[11] & CSR11_CONTINUOUS)
        start_general_timer(card, now);
    dec21140_event(card, CSR5_TIMER_EXPIRED);
}

static uint32_t read_timer(const struct dec21140 *card)
{
    uint64_t now = timer_now(card->timers);
    uint64_t deadline = card->general_timer.deadline;
    uint64_t left = 0;

    if (deadline != TIMER_NEVER && deadline > now)
        left = (deadline - now + timer_unit(card) - 1) / timer_unit(card);
    if (left > CSR11_VALUE)
        left = CSR11_VALUE;
    return (card->csr[11] & CSR11_CONTINUOUS) | (uint32_t)left;
}

static uint32_t read_status(const struct dec21140 *card)
{
    return card->csr[5] | summary(card) | (uint32_t)card->receive_state << CSR5_RECEIVE_STATE_SHIFT |
           (uint32_t)card->transmit_state << CSR5_TRANSMIT_STATE_SHIFT |
           (card->csr[5] & CSR5_FATAL_BUS_ERROR ? CSR5_MASTER_ABORT : 0);
}

static uint32_t read_operation_mode(const struct dec21140 *card)
{
    static const uint32_t filtering[] = {
        [DEC21140_FILTER_PERFECT] = 0,
        [DEC21140_FILTER_HASH] = CSR6_HASH,
        [DEC21140_FILTER_INVERSE] = CSR6_INVERSE,
        [DEC21140_FILTER_HASH_ONLY] = CSR6_HASH | CSR6_HASH_ONLY,
    };

    return card->csr[6] | filtering[card->filter.filtering];
}

static uint32_t read_missed(struct dec21140 *card)
{
    uint32_t missed = card->missed_frames;

    card->missed_frames = 0;
    return missed > CSR8_MISSED ? CSR8_MISSED_OVERFLOW | (missed & CSR8_MISSED) : missed;
}

static uint32_t read_serial(const struct dec21140 *card)
{
    uint32_t value = card->csr[9];

    if (value & CSR9_SROM_SELECT)
        value = (value & ~CSR9_SROM_DATA_OUT) | (card->srom.output ? CSR9_SROM_DATA_OUT : 0);
    else
        value |= 0xff; /* there is neither a boot ROM nor an external register */
    if (value & CSR9_MII_READ && card->mii.output)
        value |= CSR9_MII_DATA_IN;
    return value;
}

static uint32_t read_csr(struct dec21140 *card, unsigned number)
{
    uint32_t value = card->csr[number];

    switch (number) {
    case 5:
        value = read_status(card);
        break;
    case 6:
        value = read_operation_mode(card);
        break;
    case 8:
        value = read_missed(card);
        break;
    case 9:
        value = read_serial(card);
        break;
    case 11:
        value = read_timer(card);
        break;
    case 12:
        /* Nothing is connected to the pins: inputs are pulled up. */
        value = (card->csr[12] & card->pins_out) | (~card->pins_out & CSR12_PINS);
        break;
    }
    return value | registers[number].ones;
}

static void software_reset(struct dec21140 *card)
{
    uint32_t port_select = card->csr[6] & CSR6_PORT_SELECT;

    for (unsigned i = 0; i < DEC21140_CSRS; i++)
        card->csr[i] = registers[i].reset;
    card->csr[6] |= port_select; /* the only bit that outlives a software reset */
    memset(&card->filter, 0, sizeof card->filter);
    card->bus_error = false;
    card->pins_out = 0;
    card->transmit_state = DEC21140_TRANSMIT_STOPPED;
    card->transmit_current = 0;
    card->transmit_quiet_until = 0;
    card->transmit_busy_until = 0;
    card->transmit_gathered = 0;
    card->receive_state = DEC21140_RECEIVE_STOPPED;
    card->receive_current = 0;
    card->receive_overflow = false;
    card->missed_frames = 0;
    timer_disarm(&card->transmit_timer);
    timer_disarm(&card->general_timer);
    dec21140_update_interrupt(card);
}

static void write_bus_mode(struct dec21140 *card, uint32_t value)
{
    if (value & CSR0_SOFTWARE_RESET)
        software_reset(card);
    card->csr[0] = value & registers[0].writable;
}

static void write_operation_mode(struct dec21140 *card, uint32_t value)
{
    card->csr[6] = value & registers[6].writable;
    if (!(value & CSR6_RECEIVE) && card->receive_state != DEC21140_RECEIVE_STOPPED)
        dec21140_receive_stop(card);
    else if (value & CSR6_RECEIVE && card->receive_state == DEC21140_RECEIVE_STOPPED)
        dec21140_receive_start(card);
    if (!(value & CSR6_TRANSMIT) && card->transmit_state != DEC21140_TRANSMIT_STOPPED)
        dec21140_transmit_stop(card);
    else if (value & CSR6_TRANSMIT && card->transmit_state == DEC21140_TRANSMIT_STOPPED)
        dec21140_transmit_start(card);
}

static void write_serial(struct dec21140 *card, uint32_t value)
{
    card->csr[9] = value & registers[9].writable;
    dec21140_srom_drive(&card->srom, value & CSR9_SROM_SELECT && value & CSR9_SROM_CHIP_SELECT,
                        value & CSR9_SROM_CLOCK, value & CSR9_SROM_DATA_IN);
    /* While the chip listens, the wire is pulled up. */
    dec21140_mii_drive(&card->mii, value & CSR9_MII_CLOCK, value & (CSR9_MII_DATA_OUT | CSR9_MII_READ));
}

static void write_pins(struct dec21140 *card, uint32_t value)
{
    if (value & CSR12_CONTROL)
        card->pins_out = value & CSR12_PINS;
    else
        card->csr[12] = value & CSR12_PINS;
}

static void write_csr(struct dec21140 *card, unsigned number, uint32_t value)
{
    switch (number) {
    case 0:
        write_bus_mode(card, value);
        break;
    case 1:
        dec21140_transmit_poll(card);
        break;
    case 2:
        dec21140_receive_poll(card);
        break;
    case 3:
        card->csr[3] = card->receive_current = value & registers[3].writable;
        break;
    case 4:
        card->csr[4] = card->transmit_current = card->transmit_seen = value & registers[4].writable;
        card->transmit_gathered = 0;
        break;
    case 5:
        card->csr[5] &= ~(value & CSR5_EVENTS);
        dec21140_update_interrupt(card);
        break;
    case 6:
        write_operation_mode(card, value);
        break;
    case 9:
        write_serial(card, value);
        break;
    case 11:
        card->csr[11] = value & registers[11].writable;
        start_general_timer(card, timer_now(card->timers));
        break;
    case 12:
        write_pins(card, value);
        break;
    default:
        card->csr[number] = value & registers[number].writable;
        dec21140_update_interrupt(card);
        break;
    }
    dec21140_receive_retry(card);
}

/* Registers stand alone in eight bytes; a part of one can be read. */
static uint64_t csr_read(void *device, uint64_t offset, unsigned size)
{
    unsigned shift = 8 * (offset % CSR_SPACING);

    if (shift >= 32)
        return UINT64_MAX;
    return (read_csr(device, (unsigned)(offset / CSR_SPACING)) | ~0xffffffffull) >> shift &
           (size == 8 ? UINT64_MAX : (1ull << 8 * size) - 1);
}

/* The chip takes whole longwords only. */
static void csr_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    if (offset % CSR_SPACING == 0 && size >= 4)
        write_csr(device, (unsigned)(offset / CSR_SPACING), value & 0xffffffff);
}

static const struct bus_operations csr_operations = {.read = csr_read, .write = csr_write};

static void hardware_reset(void *device)
{
    struct dec21140 *card = device;

    card->csr[6] = 0;
    software_reset(card);
    dec21140_srom_drive(&card->srom, false, false, false);
    dec21140_mii_initialize(&card->mii, card->mii.cable);
    dec21140_receive_retry(card);
}

/* Bus mastering may have been switched on: descriptors may be waiting. */
static void config_written(void *device, unsigned offset, unsigned size)
{
    struct dec21140 *card = device;

    if (offset > PCI_COMMAND || offset + size <= PCI_COMMAND || !dec21140_may_master(card))
        return;
    if (card->transmit_state == DEC21140_TRANSMIT_FETCHING)
        dec21140_transmit_poll(card);
    dec21140_receive_poll(card);
    dec21140_receive_retry(card);
}

void dec21140_set_link(struct dec21140 *card, bool link)
{
    dec21140_mii_set_cable(&card->mii, link && card->backend.send);
}

bool dec21140_initialize(struct dec21140 *card, struct pci_bus *pci, unsigned slot,
                         const struct dec21140_configuration *configuration)
{
    card->memory = configuration->memory;
    card->timers = configuration->timers;
    card->backend = configuration->backend;
    timer_initialize(&card->transmit_timer, card->timers, dec21140_transmit_expired, card);
    timer_initialize(&card->receive_timer, card->timers, dec21140_receive_expired, card);
    timer_initialize(&card->general_timer, card->timers, general_timer_expired, card);
    dec21140_srom_initialize(&card->srom, configuration->mac_address);
    dec21140_mii_initialize(&card->mii, card->backend.send);

    pci_device_initialize(&card->pci, &identity, card);
    pci_set_word(&card->pci, PCI_STATUS, PCI_STATUS_FAST_BACK_TO_BACK | PCI_STATUS_DEVSEL_MEDIUM, 0);
    pci_set_byte(&card->pci, PCI_MINIMUM_GRANT, 0x14, 0);
    pci_set_byte(&card->pci, PCI_MAXIMUM_LATENCY, 0x28, 0);
    pci_set_dword(&card->pci, PCI_DRIVER_AREA, 0, 0xc000ff00);
    pci_device_add_bar(&card->pci, BAR_PORTS, BUS_PORTS, BAR_LENGTH, &csr_operations, "DEC 21140A");
    pci_device_add_bar(&card->pci, BAR_MEMORY, BUS_MEMORY, BAR_LENGTH, &csr_operations, "DEC 21140A");
    card->pci.config_written = config_written;
    card->pci.reset = hardware_reset;
    if (!pci_bus_add(pci, &card->pci, slot, FUNCTION))
        return false;
    hardware_reset(card);
    return true;
}
