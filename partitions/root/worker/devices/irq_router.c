/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/irq_router.h"

#include <assert.h>
#include <string.h>

/* ISA IRQs to which a PIRQ can go; the other values of PIRQRC are reserved. */
#define ROUTABLE_IRQS 0xdef8

#define FIRST_FREE_INPUT (IRQ_ROUTER_FIRST_PIRQ_INPUT + PIRQS)

static int routed_irq(const struct irq_router *router, unsigned pirq)
{
    uint8_t route = router->routes[pirq];

    if (route & PIRQ_ROUTE_DISABLED || !(ROUTABLE_IRQS & 1u << (route & 15)))
        return -1;
    return route & 15;
}

static void update_irq(struct irq_router *router, unsigned irq)
{
    bool level = router->isa[irq];

    for (unsigned pirq = 0; pirq < PIRQS; pirq++)
        level |= router->pirq_slots[pirq] && routed_irq(router, pirq) == (int)irq;
    i8259_set(router->pic, irq, level);
    ioapic_set(router->ioapic, irq == 0 ? 2 : irq, level);
}

static void isa_set(void *controller, unsigned irq, bool level)
{
    struct irq_router *router = controller;

    router->isa[irq] = level;
    update_irq(router, irq);
}

void irq_router_set_pci(void *context, unsigned slot, unsigned pin, bool level)
{
    struct irq_router *router = context;
    unsigned pirq = irq_router_pirq(slot, pin);
    int irq = routed_irq(router, pirq);

    if (level)
        router->pirq_slots[pirq] |= 1u << slot;
    else
        router->pirq_slots[pirq] &= ~(1u << slot);
    if (irq >= 0)
        update_irq(router, (unsigned)irq);
    ioapic_set(router->ioapic, IRQ_ROUTER_FIRST_PIRQ_INPUT + pirq, router->pirq_slots[pirq]);
}

void irq_router_set_route(struct irq_router *router, unsigned pirq, uint8_t route)
{
    int before = routed_irq(router, pirq);
    int after;

    router->routes[pirq] = route;
    after = routed_irq(router, pirq);
    if (before >= 0)
        update_irq(router, (unsigned)before);
    if (after >= 0)
        update_irq(router, (unsigned)after);
}

struct interrupt_line irq_router_isa_line(struct irq_router *router, unsigned irq)
{
    assert(irq < ISA_IRQS && irq != 2);
    return (struct interrupt_line){.set = isa_set, .controller = router, .pin = irq};
}

static void input_set(void *controller, unsigned input, bool level)
{
    ioapic_set(((struct irq_router *)controller)->ioapic, input, level);
}

struct interrupt_line irq_router_input_line(struct irq_router *router, unsigned input)
{
    assert(input >= FIRST_FREE_INPUT && input < IOAPIC_INPUTS);
    return (struct interrupt_line){.set = input_set, .controller = router, .pin = input};
}

void irq_router_initialize(struct irq_router *router, struct i8259_pair *pic, struct ioapic *ioapic)
{
    memset(router, 0, sizeof *router);
    router->pic = pic;
    router->ioapic = ioapic;
    memset(router->routes, PIRQ_ROUTE_DISABLED, sizeof router->routes);
}

void irq_router_reset(struct irq_router *router)
{
    irq_router_initialize(router, router->pic, router->ioapic);
    for (unsigned irq = 0; irq < ISA_IRQS; irq++)
        if (irq != 2)
            isa_set(router, irq, false);
    for (unsigned pirq = 0; pirq < PIRQS; pirq++)
        ioapic_set(router->ioapic, IRQ_ROUTER_FIRST_PIRQ_INPUT + pirq, false);
    for (unsigned input = FIRST_FREE_INPUT; input < IOAPIC_INPUTS; input++)
        ioapic_set(router->ioapic, input, false);
}
