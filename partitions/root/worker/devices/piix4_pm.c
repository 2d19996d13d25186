/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/piix4_pm.h"

#include <string.h>
#include "partitions/root/worker/devices/oscillator.h"
#include "partitions/root/worker/devices/piix4_isa.h"

#define CRYSTAL_DIVISOR 4 /* 3.579545 MHz */
/* The status bit is set when bit 23 of the timer changes (ACPI 2.0, 4.7.2.1). */
#define TIMER_HALF 0x800000
#define TIMER_MASK 0xffffff

/* PM1 status and enable bits (ACPI 2.0, 4.7.3.1). */
#define PM1_TIMER        0x0001
#define PM1_POWER_BUTTON 0x0100
#define PM1_RTC          0x0400
#define PM1_ENABLE_BITS  0x0521 /* timer, global, power button, RTC */

#define CONTROL_SCI_ENABLE    0x0001
#define CONTROL_BITS          0x1c03 /* SCI_EN, BM_RLD, SLP_TYP */
#define CONTROL_SLEEP_TYPE(c) ((c) >> 10 & 7)
#define CONTROL_SLEEP_ENABLE  0x2000 /* reads as zero */

#define GENERAL_BITS 0x0f0f

/* Configuration register 58h, DEVACTB; bit 25 lets writes to the SMI command port make SMIs. */
#define DEVACTB             0x58
#define DEVACTB_APMC_ENABLE 0x02000000u

#define PM_BASE_BITS 0xffc0u

static const struct pci_identity identity = {
    .vendor = 0x8086,
    .device = 0x7113,
    .revision = 3,
    .class_code = 0x068000,
    .interrupt_pin = 1,
    .command_writable = PCI_COMMAND_IO,
};

static uint64_t timer_ticks(uint64_t now)
{
    return oscillator_ticks(now, CRYSTAL_DIVISOR);
}

static bool sci_asserted(const struct piix4_pm *pm)
{
    return pm->control & CONTROL_SCI_ENABLE && pm->status & pm->enable;
}

/* Brings the timer's status bit, the SCI and the timer up to date. */
static void update(struct piix4_pm *pm, uint64_t now)
{
    uint64_t ticks = timer_ticks(now);
    bool waited_for;

    if (ticks / TIMER_HALF != pm->timer_checked / TIMER_HALF)
        pm->status |= PM1_TIMER;
    pm->timer_checked = ticks;
    interrupt_line_set(&pm->sci, sci_asserted(pm));
    waited_for = pm->control & CONTROL_SCI_ENABLE && pm->enable & ~pm->status & PM1_TIMER;
    timer_arm(&pm->timer, waited_for ? oscillator_time((ticks / TIMER_HALF + 1) * TIMER_HALF, CRYSTAL_DIVISOR)
                                     : TIMER_NEVER);
}

static void timer_expired(void *device, uint64_t now)
{
    update(device, now);
}

static void update_now(struct piix4_pm *pm)
{
    update(pm, timer_now(pm->timers));
}

static uint32_t read_dword(struct piix4_pm *pm, unsigned offset)
{
    const uint8_t *other;

    switch (offset) {
    case PIIX4_PM1_STATUS:
        update_now(pm);
        return pm->status | (uint32_t)pm->enable << 16;
    case PIIX4_PM1_CONTROL:
        return pm->control;
    case PIIX4_PM_TIMER:
        return timer_ticks(timer_now(pm->timers)) & TIMER_MASK;
    case PIIX4_GPE_STATUS:
        return (uint32_t)pm->general_enable << 16;
    default:
        other = pm->other + (offset - 0x10);
        return other[0] | (uint32_t)other[1] << 8 | (uint32_t)other[2] << 16 | (uint32_t)other[3] << 24;
    }
}

static uint64_t ports_read(void *device, uint64_t offset, unsigned size)
{
    struct piix4_pm *pm = device;
    unsigned within = (unsigned)offset & 3;
    uint64_t value = read_dword(pm, (unsigned)offset & ~3u);

    if (within + size > 4)
        value |= (uint64_t)read_dword(pm, ((unsigned)offset & ~3u) + 4) << 32;
    return value >> (8 * within);
}

static uint16_t replace_byte(uint16_t word, bool high, uint8_t byte, uint16_t writable)
{
    uint16_t mask = writable & (high ? 0xff00 : 0x00ff);

    return (uint16_t)((word & ~mask) | ((byte << (high ? 8 : 0)) & mask));
}

static void write_control(struct piix4_pm *pm, bool high, uint8_t byte)
{
    pm->control = replace_byte(pm->control, high, byte, CONTROL_BITS);
    if (high && byte & CONTROL_SLEEP_ENABLE >> 8 && CONTROL_SLEEP_TYPE(pm->control) == PIIX4_SLEEP_TYPE_OFF)
        pm->power_off(pm->context);
}

static void write_byte(struct piix4_pm *pm, unsigned offset, uint8_t byte)
{
    bool high = offset & 1;
    uint16_t bits = (uint16_t)(byte << (high ? 8 : 0));

    switch (offset & ~1u) {
    case PIIX4_PM1_STATUS:
        pm->status &= ~bits;
        break;
    case PIIX4_PM1_ENABLE:
        pm->enable = replace_byte(pm->enable, high, byte, PM1_ENABLE_BITS);
        break;
    case PIIX4_PM1_CONTROL:
        write_control(pm, high, byte);
        break;
    case PIIX4_GPE_ENABLE:
        pm->general_enable = replace_byte(pm->general_enable, high, byte, GENERAL_BITS);
        break;
    default:
        if (offset >= 0x10)
            pm->other[offset - 0x10] = byte;
        break;
    }
}

static void ports_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct piix4_pm *pm = device;

    update_now(pm);
    for (unsigned i = 0; i < size; i++)
        write_byte(pm, (unsigned)offset + i, value >> (8 * i) & 0xff);
    update_now(pm);
}

static uint64_t smi_read(void *device, uint64_t offset, unsigned size)
{
    const struct piix4_pm *pm = device;

    (void)size;
    return offset ? pm->smi_status : pm->smi_command;
}

static void smi_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct piix4_pm *pm = device;

    (void)size;
    if (offset) {
        pm->smi_status = (uint8_t)value;
        return;
    }
    pm->smi_command = (uint8_t)value;
    if (value == PIIX4_ACPI_ENABLE)
        pm->control |= CONTROL_SCI_ENABLE;
    else if (value == PIIX4_ACPI_DISABLE)
        pm->control &= ~CONTROL_SCI_ENABLE;
    update_now(pm);
}

static const struct bus_operations ports_operations = {.read = ports_read, .write = ports_write};
static const struct bus_operations smi_operations = {.read = smi_read, .write = smi_write, .widest = 1};

/*
 * PMBASE is not a base address register of the header: the command register does not matter, PMREGMISC does.
 */
static void update_mapping(struct piix4_pm *pm)
{
    struct bus *bus = pm->pci.bus->bus;
    uint16_t base = pci_word(&pm->pci, PIIX4_PM_BASE) & PM_BASE_BITS;

    if (!(pm->pci.config[PIIX4_PM_MISCELLANEOUS] & 1))
        base = 0;
    if (base == pm->mapped_base)
        return;
    if (pm->mapped_base)
        bus_remove(bus, BUS_PORTS, pm->mapped_base, pm);
    pm->mapped_base = 0;
    if (base &&
        bus_add(bus, BUS_PORTS, base, PIIX4_PM_LENGTH, &ports_operations, pm, "ACPI power management"))
        pm->mapped_base = base;
}

static void config_written(void *device, unsigned offset, unsigned size)
{
    (void)offset;
    (void)size;
    update_mapping(device);
}

static void reset(void *device)
{
    struct piix4_pm *pm = device;

    update_mapping(pm);
    pm->status = 0;
    pm->enable = 0;
    pm->control = 0;
    pm->timer_checked = timer_ticks(timer_now(pm->timers));
    pm->general_enable = 0;
    memset(pm->other, 0, sizeof pm->other);
    pm->smi_command = 0;
    pm->smi_status = 0;
    update_now(pm);
}

bool piix4_pm_initialize(struct piix4_pm *pm, struct pci_bus *pci, struct timer_queue *timers,
                         struct interrupt_line sci, void (*power_off)(void *), void *context)
{
    struct pci_device *device = &pm->pci;

    memset(pm, 0, sizeof *pm);
    pm->timers = timers;
    pm->sci = sci;
    pm->power_off = power_off;
    pm->context = context;
    timer_initialize(&pm->timer, timers, timer_expired, pm);
    pci_device_initialize(device, &identity, pm);
    pci_set_word(device, PCI_STATUS, PCI_STATUS_DEVSEL_MEDIUM | PCI_STATUS_FAST_BACK_TO_BACK, 0);
    pci_set_dword(device, PIIX4_PM_BASE, 1, PM_BASE_BITS);
    for (unsigned offset = 0x44; offset < 0x80; offset += 4)
        pci_set_dword(device, offset, offset == DEVACTB ? DEVACTB_APMC_ENABLE : 0, 0xffffffff);
    pci_set_byte(device, PIIX4_PM_MISCELLANEOUS, 0, 1);
    device->config_written = config_written;
    device->reset = reset;
    pm->timer_checked = timer_ticks(timer_now(timers));
    return bus_add(pci->bus, BUS_PORTS, PIIX4_SMI_COMMAND_PORT, 2, &smi_operations, pm, "SMI command") &&
           pci_bus_add(pci, device, PIIX4_SLOT, PIIX4_POWER_FUNCTION);
}

void piix4_pm_rtc_alarm(struct piix4_pm *pm)
{
    pm->status |= PM1_RTC;
    update_now(pm);
}

bool piix4_pm_press_power_button(struct piix4_pm *pm)
{
    update_now(pm);
    pm->status |= PM1_POWER_BUTTON;
    update_now(pm);
    return pm->control & CONTROL_SCI_ENABLE && pm->enable & PM1_POWER_BUTTON;
}
