/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/platform.h"

#include <string.h>

#define IRQ_TIMER    0
#define IRQ_KEYBOARD 1
#define IRQ_RTC      8
#define IRQ_SCI      9
#define IRQ_MOUSE    12

static const struct {
    uint16_t port;
    unsigned irq;
    const char *name;
} com_ports[PLATFORM_COM_PORTS] = {
    {0x3f8, 4, "COM1"},
    {0x2f8, 3, "COM2"},
};

static void interrupt_request(void *context, bool level)
{
    struct platform *platform = context;

    platform->outputs.interrupt_request(platform->outputs.context, level);
}

static void deliver(void *context, const struct ioapic_message *message)
{
    struct platform *platform = context;

    platform->outputs.deliver(platform->outputs.context, message);
}

static void shadow_changed(void *context, const struct host_bridge_segment *segment)
{
    struct platform *platform = context;

    platform->outputs.shadow_changed(platform->outputs.context, segment);
}

static void reset_machine(void *context)
{
    struct platform *platform = context;

    platform->outputs.reset(platform->outputs.context);
}

static void power_off(void *context)
{
    struct platform *platform = context;

    platform->outputs.power_off(platform->outputs.context);
}

/*
 * Two outputs, of the keyboard controller and of port 92h, move the gate: the one that has changed last counts. PCs that
 * OR them never switch it off for those who use only one, as firmware does.
 */
static void set_a20(void *context, bool enabled)
{
    struct platform *platform = context;

    if (enabled == platform->a20)
        return;
    platform->a20 = enabled;
    platform->outputs.a20(platform->outputs.context, enabled);
}

static void pirq_route(void *context, unsigned pirq, uint8_t route)
{
    struct platform *platform = context;

    irq_router_set_route(&platform->router, pirq, route);
}

static void rtc_extended(void *context, bool enabled)
{
    struct platform *platform = context;

    mc146818_set_extended(&platform->rtc, enabled);
}

static void rtc_alarm(void *context)
{
    struct platform *platform = context;

    piix4_pm_rtc_alarm(&platform->power);
}

static bool initialize_hpet(struct platform *platform)
{
    struct interrupt_line lines[HPET_LINES] = {
        [HPET_IRQ0] = irq_router_isa_line(&platform->router, IRQ_TIMER),
        [HPET_IRQ8] = irq_router_isa_line(&platform->router, IRQ_RTC),
    };

    for (unsigned i = 0; i < HPET_INPUTS; i++)
        lines[HPET_INPUT + i] = irq_router_input_line(&platform->router, HPET_FIRST_INPUT + i);
    return hpet_initialize(&platform->hpet, platform->bus, platform->timers, lines);
}

static bool initialize_isa_devices(struct platform *platform, const struct platform_configuration *configuration)
{
    struct irq_router *router = &platform->router;
    const struct i8042_outputs keyboard_outputs = {set_a20, reset_machine, platform};

    for (unsigned i = 0; i < PLATFORM_COM_PORTS; i++)
        if (!uart16550_initialize(&platform->com[i], platform->bus, com_ports[i].port, com_ports[i].name,
                                  platform->timers, irq_router_isa_line(router, com_ports[i].irq),
                                  &configuration->com[i]))
            return false;
    if (!initialize_hpet(platform) || !i8237_initialize(&platform->dma, platform->bus, configuration->memory) ||
        !i8254_initialize(&platform->pit, platform->bus, platform->timers,
                          hpet_legacy_line(&platform->hpet, HPET_IRQ0)) ||
        !mc146818_initialize(&platform->rtc, platform->bus, platform->timers,
                             hpet_legacy_line(&platform->hpet, HPET_IRQ8), configuration->unix_time) ||
        !i8042_initialize(&platform->keyboard, platform->bus, irq_router_isa_line(router, IRQ_KEYBOARD),
                          irq_router_isa_line(router, IRQ_MOUSE), &keyboard_outputs) ||
        !system_ports_initialize(&platform->system_ports, platform->bus, set_a20, reset_machine, platform))
        return false;
    mc146818_on_alarm(&platform->rtc, rtc_alarm, platform);
    mc146818_set_memory_size(&platform->rtc, configuration->memory_below_4g, configuration->memory_above_4g);
    return true;
}

static bool initialize_pci_devices(struct platform *platform)
{
    const struct piix4_isa_outputs isa_outputs = {pirq_route, reset_machine, rtc_extended, platform};

    return pci_bus_initialize(&platform->pci, platform->bus, irq_router_set_pci, &platform->router) &&
           host_bridge_initialize(&platform->host_bridge, &platform->pci, shadow_changed, platform) &&
           piix4_isa_initialize(&platform->isa, &platform->pci, &isa_outputs) &&
           piix4_pm_initialize(&platform->power, &platform->pci, platform->timers,
                               irq_router_isa_line(&platform->router, IRQ_SCI), power_off, platform);
}

bool platform_initialize(struct platform *platform, struct bus *bus, struct timer_queue *timers,
                         const struct platform_configuration *configuration, const struct platform_outputs *outputs)
{
    memset(platform, 0, sizeof *platform);
    platform->outputs = *outputs;
    platform->bus = bus;
    platform->timers = timers;
    platform->a20 = true;
    irq_router_initialize(&platform->router, &platform->pic, &platform->ioapic);
    return i8259_initialize(&platform->pic, bus, interrupt_request, platform) &&
           ioapic_initialize(&platform->ioapic, bus, deliver, platform) &&
           initialize_isa_devices(platform, configuration) && initialize_pci_devices(platform);
}

void platform_reset(struct platform *platform)
{
    i8259_reset(&platform->pic);
    ioapic_reset(&platform->ioapic);
    irq_router_reset(&platform->router);
    hpet_reset(&platform->hpet);
    i8237_reset(&platform->dma);
    i8254_reset(&platform->pit);
    mc146818_reset(&platform->rtc);
    i8042_reset(&platform->keyboard);
    system_ports_reset(&platform->system_ports);
    set_a20(platform, true);
    for (unsigned i = 0; i < PLATFORM_COM_PORTS; i++)
        uart16550_reset(&platform->com[i]);
    pci_bus_reset(&platform->pci);
}
