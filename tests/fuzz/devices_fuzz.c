/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Plays a guest that does anything to the board of a generation 1 machine: port, memory and configuration
 * accesses, while time passes, keys and characters arrive, interrupts are acknowledged and the machine is
 * reset. Beside what the sanitizers find, the board's own promises are checked: ranges on the buses never
 * overlap, INTR is told as it is, and no guest makes timers expire more often than EXPIRATIONS_A_SECOND.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "partitions/root/worker/devices/debug_port.h"
#include "partitions/root/worker/devices/firmware_setup.h"
#include "partitions/root/worker/devices/fw_cfg.h"
#include "partitions/root/worker/devices/platform.h"

/*
 * 8254: 10,000; HPET: 10,000 a comparator; RTC: 8,192 and two a second; UARTs: a timeout at 115,200 baud each, for
 * each thing that came in.
 */
#define EXPIRATIONS_A_SECOND 70000

struct input {
    const uint8_t *data;
    size_t size;
};

struct world {
    struct bus bus;
    struct timer_queue timers;
    struct platform platform;
    struct pci_device adapter;
    struct guest_memory memory;
    struct fw_cfg fw_cfg;
    struct debug_port debug_port;
    uint64_t host_time;
    size_t transmit_room;
    bool intr;
};

static struct world world;
static uint8_t ram[0x2000];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition, const char *promise)
{
    if (condition)
        return;
    fprintf(stderr, "broken: %s\n", promise);
    abort();
}

static uint32_t take(struct input *input, unsigned bytes)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < bytes && input->size; i++) {
        value |= (uint32_t)*input->data++ << (8 * i);
        input->size--;
    }
    return value;
}

static unsigned take_size(struct input *input)
{
    static const unsigned sizes[] = {1, 2, 4, 1};

    return sizes[take(input, 1) % 4];
}

static uint64_t host_now(void *context)
{
    (void)context;
    return world.host_time;
}

static void interrupt_request(void *context, bool level)
{
    (void)context;
    require(level != world.intr, "INTR is told when it changes");
    world.intr = level;
}

static void deliver(void *context, const struct ioapic_message *message)
{
    (void)context;
    require(message->delivery_mode != 3 && message->delivery_mode != 6, "no reserved delivery mode");
    require(!message->level || message->delivery_mode <= IOAPIC_LOWEST_PRIORITY, "others are edges");
}

static void shadow_changed(void *context, const struct host_bridge_segment *segment)
{
    (void)context;
    require(segment->gpa >= 0xc0000 && segment->gpa + segment->length <= 0x100000, "shadow segments");
}

static void ignore_a20(void *context, bool enabled)
{
    (void)context;
    (void)enabled;
}

static void ignore(void *context)
{
    (void)context;
}

static size_t transmit(void *context, const uint8_t *characters, size_t length)
{
    (void)context;
    (void)characters;
    if (length > world.transmit_room)
        length = world.transmit_room;
    world.transmit_room -= length;
    return length;
}

static uint64_t adapter_read(void *device, uint64_t offset, unsigned size)
{
    const struct pci_bar *bar = &world.adapter.bars[offset >= 128];

    (void)device;
    require(offset + size <= world.adapter.bars[1].length && bar->present, "accesses stay inside their range");
    return offset;
}

static void adapter_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    (void)value;
    adapter_read(device, offset, size);
}

static void add_adapter(void)
{
    static const struct bus_operations operations = {.read = adapter_read, .write = adapter_write};
    static const struct pci_identity identity = {
        .vendor = 0x1011,
        .device = 0x0009,
        .class_code = 0x020000,
        .interrupt_pin = 2,
        .command_writable = PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER,
    };

    pci_device_initialize(&world.adapter, &identity, &world.adapter);
    pci_device_add_bar(&world.adapter, 0, BUS_PORTS, 128, &operations, "ports");
    pci_device_add_bar(&world.adapter, 1, BUS_MEMORY, 4096, &operations, "registers");
    require(pci_bus_add(&world.platform.pci, &world.adapter, 10, 0), "the adapter joins");
}

static void debug_write(void *context, const uint8_t *characters, size_t length)
{
    (void)context;
    (void)characters;
    require(length > 0, "the debug port says something");
}

static void add_firmware_configuration(void)
{
    static const char data[] = "0123456789abcdef";

    require(guest_memory_add(&world.memory, 0x1000, sizeof ram, ram) &&
                fw_cfg_initialize(&world.fw_cfg, &world.bus, &world.memory) &&
                fw_cfg_add_item(&world.fw_cfg, FW_CFG_CPU_COUNT, data, 2) &&
                fw_cfg_add_file(&world.fw_cfg, "etc/b", data, sizeof data) &&
                fw_cfg_add_file(&world.fw_cfg, "etc/a", NULL, 0) &&
                debug_port_initialize(&world.debug_port, &world.bus, debug_write, NULL),
            "firmware's devices join");
}

static void start(void)
{
    static const struct platform_outputs outputs = {
        .interrupt_request = interrupt_request,
        .deliver = deliver,
        .shadow_changed = shadow_changed,
        .a20 = ignore_a20,
        .reset = ignore,
        .power_off = ignore,
    };
    static const struct platform_configuration configuration = {
        .unix_time = 1796219150000000000,
        .memory_below_4g = 256 << 20,
        .memory = &world.memory,
        .com = {{transmit, ignore, NULL}, {transmit, NULL, NULL}},
    };

    memset(&world, 0, sizeof world);
    bus_initialize(&world.bus);
    timer_queue_initialize(&world.timers, host_now, NULL, NULL);
    timer_queue_thaw(&world.timers);
    require(platform_initialize(&world.platform, &world.bus, &world.timers, &configuration, &outputs),
            "the board fits on the bus");
    add_adapter();
    add_firmware_configuration();
}

static void check(void)
{
    for (unsigned space = 0; space < BUS_SPACE_COUNT; space++)
        for (unsigned i = 1; i < world.bus.count[space]; i++) {
            const struct bus_range *before = &world.bus.ranges[space][i - 1];

            require(before->first + before->length - 1 < world.bus.ranges[space][i].first, "ranges are disjoint");
        }
    require(world.intr == world.platform.pic.output, "INTR is as told");
}

static void advance(uint64_t nanoseconds)
{
    uint64_t end = world.host_time + nanoseconds;
    uint64_t allowed = 100 + nanoseconds / 1000000 * (EXPIRATIONS_A_SECOND / 1000);
    uint64_t wait;

    while ((wait = timer_queue_wait(&world.timers)) <= end - world.host_time) {
        world.host_time += wait;
        require(allowed-- > 0, "no storm of timers");
        timer_queue_run(&world.timers);
    }
    world.host_time = end;
}

/* A port: mostly one that somebody has. */
static uint16_t take_port(struct input *input)
{
    uint16_t raw = (uint16_t)take(input, 2);
    const struct bus_range *range = &world.bus.ranges[BUS_PORTS][(raw >> 8) % world.bus.count[BUS_PORTS]];

    if (raw % 8 == 7)
        return (uint16_t)take(input, 2);
    return (uint16_t)(range->first + (raw & 0xff) % range->length);
}

static uint64_t take_address(struct input *input)
{
    uint32_t raw = take(input, 2);

    if (raw % 8 == 7)
        return take(input, 4);
    if (raw % 8 >= 4 && raw % 8 < 6)
        return HPET_BASE + (raw >> 4) % (HPET_LENGTH / 2);
    return (raw % 8 == 6 ? PLATFORM_PCI_WINDOW : IOAPIC_BASE) + (raw >> 4 & 0x3c) * (raw & 8 ? 1 : 16);
}

static void access_port(struct input *input, bool write)
{
    uint16_t port = take_port(input);
    unsigned size = take_size(input);

    if (write)
        bus_write(&world.bus, BUS_PORTS, port, size, take(input, size));
    else
        bus_read(&world.bus, BUS_PORTS, port, size);
}

static void access_memory(struct input *input, bool write)
{
    uint64_t address = take_address(input);
    unsigned size = take_size(input);

    if (write)
        bus_write(&world.bus, BUS_MEMORY, address, size, take(input, size));
    else
        bus_read(&world.bus, BUS_MEMORY, address, size);
}

static void access_config(struct input *input)
{
    static const uint8_t functions[] = {0 << 3, 7 << 3, 7 << 3 | 3, 10 << 3};
    uint8_t function = functions[take(input, 1) % sizeof functions];

    bus_write(&world.bus, BUS_PORTS, 0xcf8, 4, 0x80000000 | (uint32_t)function << 8 | take(input, 1));
    bus_write(&world.bus, BUS_PORTS, 0xcfc + take(input, 1) % 4, take_size(input), take(input, 4));
}

static void access_block(struct input *input)
{
    uint16_t port = take_port(input);
    unsigned size = take_size(input);
    uint8_t items[64] = {0};
    size_t count = 1 + take(input, 1) % (sizeof items / size);

    require(bus_block_in(&world.bus, port, size, items, count) >= 1, "a block moves");
    require(bus_block_out(&world.bus, port, size, items, count) >= 1, "a block moves");
}

/* A DMA command of the firmware configuration device, mostly with a sensible address; it may lie anywhere. */
static void configure_by_dma(struct input *input)
{
    uint32_t at = take(input, 2), control = take(input, 4);
    uint32_t fields[] = {control, take(input, 4), take(input, 1) & 1, take(input, 2)};

    for (unsigned i = 0; i < sizeof fields / sizeof fields[0]; i++)
        for (unsigned j = 0; j < 4; j++)
            ram[(at + 4 * i + j) % sizeof ram] = fields[i] >> (8 * (3 - j)) & 0xff;
    bus_write(&world.bus, BUS_PORTS, 0x518, 4, __builtin_bswap32(0x1000 + at % 0x2100));
}

static void world_acts(struct input *input)
{
    struct platform *platform = &world.platform;
    uint8_t what = (uint8_t)take(input, 1);
    uint8_t bytes[20];

    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(what * 7 + i * 37);
    switch (what % 12) {
    case 0:
        uart16550_receive(&platform->com[what >> 7], bytes, 1 + what % sizeof bytes);
        break;
    case 1:
        world.transmit_room = what;
        uart16550_transmit_ready(&platform->com[what >> 7]);
        break;
    case 2:
        i8042_type(&platform->keyboard, bytes, what % sizeof bytes);
        i8042_move(&platform->keyboard, (int)take(input, 4), (int)take(input, 1), (int)take(input, 1), what);
        break;
    case 3:
        piix4_pm_press_power_button(&platform->power);
        break;
    case 4:
        pci_set_interrupt(&world.adapter, what & 0x80);
        break;
    case 5:
        ioapic_eoi(&platform->ioapic, (uint8_t)take(input, 1));
        break;
    case 6:
        timer_queue_freeze(&world.timers);
        world.host_time += take(input, 4);
        timer_queue_thaw(&world.timers);
        break;
    case 7:
        world.host_time += take(input, 4); /* the worker was late */
        timer_queue_run(&world.timers);
        break;
    case 8:
        platform_reset(platform);
        fw_cfg_reset(&world.fw_cfg);
        break;
    case 9:
    case 10:
        configure_by_dma(input);
        break;
    default:
        require(firmware_setup(platform), "there is room for the adapter");
        break;
    }
}

static void step(struct input *input)
{
    uint8_t what = (uint8_t)take(input, 1);

    switch (what % 16) {
    case 0:
    case 1:
    case 2:
    case 3:
        access_port(input, true);
        break;
    case 4:
    case 5:
        access_port(input, false);
        break;
    case 6:
        access_memory(input, true);
        break;
    case 7:
        access_memory(input, false);
        break;
    case 8:
    case 9:
        access_config(input);
        break;
    case 10:
        access_block(input);
        break;
    case 11:
        i8259_acknowledge(&world.platform.pic);
        break;
    case 12:
        advance(1000 * (uint64_t)take(input, 2));
        break;
    case 13:
        advance(take(input, 1));
        break;
    default:
        world_acts(input);
        break;
    }
    check();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};

    start();
    while (input.size)
        step(&input);
    return 0;
}
