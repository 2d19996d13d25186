/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/ioapic.h"

#include <string.h>

/* Offsets in the page. */
#define IOREGSEL 0x00
#define IOWIN    0x10
#define IOEOI    0x40

/* Indirect registers. */
#define REGISTER_ID          0x00
#define REGISTER_VERSION     0x01
#define REGISTER_ARBITRATION 0x02
#define REGISTER_ENTRIES     0x10

#define VERSION 0x20u
#define ID_BITS 0x0f000000u

/* Redirection table entry (82093AA, 3.2.4). Delivery status is never set: delivery takes no time. */
#define ENTRY_VECTOR               0xffull
#define ENTRY_DELIVERY_MODE(entry) ((entry) >> 8 & 7)
#define ENTRY_LOGICAL              (1ull << 11)
#define ENTRY_REMOTE_IRR           (1ull << 14)
#define ENTRY_LEVEL                (1ull << 15)
#define ENTRY_MASKED               (1ull << 16)
#define ENTRY_WRITABLE             0xff0000000001afffull

/*
 * Only fixed and lowest-priority interrupts can be level-triggered; the others are edges whatever the entry
 * says.
 */
static bool level_triggered(uint64_t entry)
{
    return (entry & ENTRY_LEVEL) && ENTRY_DELIVERY_MODE(entry) <= IOAPIC_LOWEST_PRIORITY;
}

static bool delivery_mode_reserved(uint64_t entry)
{
    return ENTRY_DELIVERY_MODE(entry) == 3 || ENTRY_DELIVERY_MODE(entry) == 6;
}

static void send(struct ioapic *ioapic, unsigned pin)
{
    uint64_t entry = ioapic->entries[pin];
    struct ioapic_message message = {
        .vector = entry & ENTRY_VECTOR,
        .delivery_mode = (enum ioapic_delivery_mode)ENTRY_DELIVERY_MODE(entry),
        .logical = entry & ENTRY_LOGICAL,
        .destination = (uint8_t)(entry >> 56),
        .level = level_triggered(entry),
    };

    if ((entry & ENTRY_MASKED) || delivery_mode_reserved(entry))
        return;
    if (message.level)
        ioapic->entries[pin] |= ENTRY_REMOTE_IRR;
    ioapic->deliver(ioapic->context, &message);
}

/* Sends a level-triggered interrupt if its input is asserted and the last one has been ended. */
static void send_level(struct ioapic *ioapic, unsigned pin)
{
    uint64_t entry = ioapic->entries[pin];

    if (level_triggered(entry) && !(entry & ENTRY_REMOTE_IRR) && ioapic->lines & 1u << pin)
        send(ioapic, pin);
}

void ioapic_set(struct ioapic *ioapic, unsigned pin, bool level)
{
    uint32_t bit = 1u << pin;
    bool rising = level && !(ioapic->lines & bit);

    ioapic->lines = level ? ioapic->lines | bit : ioapic->lines & ~bit;
    if (level_triggered(ioapic->entries[pin]))
        send_level(ioapic, pin);
    else if (rising) /* an edge that comes while its entry is masked is lost (3.2.4, bit 16) */
        send(ioapic, pin);
}

void ioapic_eoi(struct ioapic *ioapic, uint8_t vector)
{
    for (unsigned pin = 0; pin < IOAPIC_INPUTS; pin++) {
        uint64_t entry = ioapic->entries[pin];

        if ((entry & ENTRY_VECTOR) == vector && (entry & ENTRY_REMOTE_IRR)) {
            ioapic->entries[pin] &= ~ENTRY_REMOTE_IRR;
            send_level(ioapic, pin);
        }
    }
}

static uint32_t register_read(const struct ioapic *ioapic)
{
    unsigned entry_register = ioapic->selected - REGISTER_ENTRIES;

    if (ioapic->selected == REGISTER_ID || ioapic->selected == REGISTER_ARBITRATION)
        return ioapic->id;
    if (ioapic->selected == REGISTER_VERSION)
        return (IOAPIC_INPUTS - 1) << 16 | VERSION;
    if (ioapic->selected >= REGISTER_ENTRIES && entry_register < 2 * IOAPIC_INPUTS)
        return (uint32_t)(ioapic->entries[entry_register / 2] >> (entry_register & 1 ? 32 : 0));
    return 0;
}

static void entry_write(struct ioapic *ioapic, unsigned entry_register, uint32_t value)
{
    unsigned pin = entry_register / 2;
    unsigned shift = entry_register & 1 ? 32 : 0;
    uint64_t writable = ENTRY_WRITABLE & 0xffffffffull << shift;
    uint64_t *entry = &ioapic->entries[pin];

    *entry = (*entry & ~writable) | ((uint64_t)value << shift & writable);
    /* Guests end an interrupt by hand by making the entry edge-triggered for a moment. */
    if (!level_triggered(*entry))
        *entry &= ~ENTRY_REMOTE_IRR;
    send_level(ioapic, pin);
}

static void register_write(struct ioapic *ioapic, uint32_t value)
{
    unsigned entry_register = ioapic->selected - REGISTER_ENTRIES;

    if (ioapic->selected == REGISTER_ID)
        ioapic->id = value & ID_BITS;
    else if (ioapic->selected >= REGISTER_ENTRIES && entry_register < 2 * IOAPIC_INPUTS)
        entry_write(ioapic, entry_register, value);
}

static uint64_t ioapic_read(void *device, uint64_t offset, unsigned size)
{
    const struct ioapic *ioapic = device;

    (void)size;
    if (offset == IOREGSEL)
        return ioapic->selected;
    if (offset == IOWIN)
        return register_read(ioapic);
    return 0;
}

static void ioapic_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct ioapic *ioapic = device;

    if (offset == IOREGSEL)
        ioapic->selected = (uint8_t)value;
    else if (offset == IOWIN && size == 4)
        register_write(ioapic, (uint32_t)value);
    else if (offset == IOEOI)
        ioapic_eoi(ioapic, (uint8_t)value);
}

static const struct bus_operations ioapic_operations = {
    .read = ioapic_read, .write = ioapic_write, .widest = 4};

bool ioapic_initialize(struct ioapic *ioapic, struct bus *bus,
                       void (*deliver)(void *, const struct ioapic_message *), void *context)
{
    memset(ioapic, 0, sizeof *ioapic);
    ioapic->deliver = deliver;
    ioapic->context = context;
    ioapic_reset(ioapic);
    return bus_add(bus, BUS_MEMORY, IOAPIC_BASE, 0x1000, &ioapic_operations, ioapic, "I/O APIC");
}

void ioapic_reset(struct ioapic *ioapic)
{
    ioapic->id = 0;
    ioapic->selected = 0;
    for (unsigned pin = 0; pin < IOAPIC_INPUTS; pin++)
        ioapic->entries[pin] = ENTRY_MASKED;
}
