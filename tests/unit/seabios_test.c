/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Debian's SeaBIOS on the board's devices, with no hypervisor: the processor is Unicorn's, one without a local APIC,
 * to which interrupts are brought by hand while it is in real mode. Time goes on with port accesses and halts alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <unicorn/unicorn.h>
#include "partitions/root/worker/firmware.h"
#include "partitions/root/worker/devices/debug_port.h"
#include "partitions/root/worker/devices/floppy.h"
#include "partitions/root/worker/devices/ide.h"
#include "partitions/root/worker/devices/platform.h"
#include "tests/unit/device_fixture.h"
#include "tests/unit/fake_disk.h"

#define MIB           0x100000u
#define SHADOW_ROM    0x20000u /* of the BIOS, E0000h-FFFFFh */
#define RAM           (32 * MIB)
#define VGA_HOLE      0xa0000u
#define SHADOW        0xc0000u
#define RESET_VECTOR  0xfff0u
#define RESET_CS      0xf000u
#define CR0_PE        1u
#define FLAG_TF       0x100u
#define FLAG_IF       0x200u
#define EVERYWHERE    UINT64_MAX
#define MOST_RUNS     100000u
#define MOST_ACCESSES 200000u
#define LOCAL_APIC    0xfee00000u
#define LOG_SIZE      0x8000u
#define DEBUG_PORT    0x402

/* The guest ends by saying this on the debug port. */
#define LAST_WORD "~"

static struct device_fixture fixture;
static struct platform platform;
static struct ide ide;
static struct floppy floppy;
static struct pci_device adapters[4]; /* in slots 8 to 11: pins A to D */
static struct disk disk;
static struct guest_memory memory;
static struct fw_cfg fw_cfg;
static struct firmware firmware;
static struct debug_port debug_port;
static struct firmware_image bios;
static uint8_t *ram;       /* page aligned */
static uint8_t *rom_below; /* what is at the BIOS's places */
static uint8_t *rom_above;
static uint8_t *local_apic; /* a page whose version register is read for the MP table */
static uc_engine *processor;
static char log_text[LOG_SIZE];
static size_t log_length;
static unsigned accesses; /* to ports but the log */
static bool ended;

const char *__lsan_default_suppressions(void);

/* Unicorn loses some memory of its own. */
const char *__lsan_default_suppressions(void)
{
    return "leak:libunicorn";
}

/* ---- The board's surroundings ---- */

static void interrupt_request(void *context, bool level)
{
    (void)context;
    (void)level;
}

static void deliver(void *context, const struct ioapic_message *message)
{
    (void)context;
    (void)message;
}

static void a20(void *context, bool enabled)
{
    (void)context;
    (void)enabled;
}

static void stop(void *context)
{
    (void)context;
    ended = true;
    uc_emu_stop(processor);
}

static size_t transmit(void *context, const uint8_t *characters, size_t length)
{
    (void)context;
    (void)characters;
    return length;
}

static void transmitted(void *context)
{
    (void)context;
}

static void no_space(void *context, struct disk *which)
{
    (void)context;
    (void)which;
}

static void log_write(void *context, const uint8_t *characters, size_t length)
{
    assert_in_range(length, 1, sizeof log_text - 1 - log_length);
    memcpy(log_text + log_length, characters, length);
    log_length += length;
    if (memchr(characters, LAST_WORD[0], length))
        stop(context);
}

static void map(uint64_t gpa, size_t length, uint32_t protection, uint8_t *host)
{
    assert_int_equal(uc_mem_map_ptr(processor, gpa, length, protection, host), UC_ERR_OK);
}

/* What the machine does: RAM or, in the upper 128 KiB, the BIOS. */
static void show_segment(const struct host_bridge_segment *segment)
{
    uint8_t *rom = segment->gpa >= MIB - SHADOW_ROM ? rom_below + (segment->gpa - (MIB - SHADOW_ROM)) : rom_below;
    uint32_t protection = UC_PROT_READ | UC_PROT_EXEC;

    if (segment->read_ram && segment->write_ram)
        protection |= UC_PROT_WRITE;
    map(segment->gpa, segment->length, protection, segment->read_ram ? ram + segment->gpa : rom);
}

static void shadow_changed(void *context, const struct host_bridge_segment *segment)
{
    (void)context;
    assert_int_equal(uc_mem_unmap(processor, segment->gpa, segment->length), UC_ERR_OK);
    show_segment(segment);
}

static void add_adapters(void)
{
    memset(adapters, 0, sizeof adapters);
    for (uint8_t i = 0; i < 4; i++) {
        const struct pci_identity identity = {
            .vendor = 0x1011, .device = 0x0009, .class_code = 0x020000, .interrupt_pin = (uint8_t)(1 + i)};

        pci_device_initialize(&adapters[i], &identity, NULL);
        assert_true(pci_bus_add(&platform.pci, &adapters[i], 8u + i, 0));
    }
}

static void create_board(void)
{
    static const struct platform_outputs outputs = {
        .interrupt_request = interrupt_request,
        .deliver = deliver,
        .shadow_changed = shadow_changed,
        .a20 = a20,
        .reset = stop,
        .power_off = stop,
    };
    static const struct platform_configuration configuration = {
        .unix_time = 1796219150000000000,
        .memory_below_4g = RAM,
        .memory = &memory,
        .com = {{transmit, transmitted, NULL}, {transmit, NULL, NULL}},
    };
    struct ide_configuration ide_configuration = {.memory = &memory, .no_space = no_space};

    memset(ram, 0, RAM);
    memset(local_apic, 0, 4096);
    memset(&memory, 0, sizeof memory);
    memset(&ide, 0, sizeof ide);
    assert_true(guest_memory_add(&memory, 0, RAM, ram));
    assert_true(platform_initialize(&platform, &fixture.bus, &fixture.timers, &configuration, &outputs));
    ide_configuration.lines[0] = irq_router_isa_line(&platform.router, 14);
    ide_configuration.lines[1] = irq_router_isa_line(&platform.router, 15);
    assert_true(ide_initialize(&ide, &platform.pci, PIIX4_SLOT, PIIX4_IDE_FUNCTION, &ide_configuration));
    add_adapters();
    assert_true(fw_cfg_initialize(&fw_cfg, &fixture.bus, &memory));
    assert_true(debug_port_initialize(&debug_port, &fixture.bus, log_write, NULL));
}

/* ---- The processor ---- */

static uint32_t get(int which)
{
    uint32_t value = 0;

    assert_int_equal(uc_reg_read(processor, which, &value), UC_ERR_OK);
    return value;
}

static uint16_t get_segment(int which)
{
    return (uint16_t)get(which);
}

static void set(int which, uint32_t value)
{
    assert_int_equal(uc_reg_write(processor, which, &value), UC_ERR_OK);
}

/* Enters a handler in real mode. */
static void interrupt(uint8_t vector)
{
    uint32_t flags = get(UC_X86_REG_EFLAGS), esp = get(UC_X86_REG_ESP);
    const uint16_t frame[] = {(uint16_t)get(UC_X86_REG_EIP), get_segment(UC_X86_REG_CS), (uint16_t)flags};
    uint16_t sp = (uint16_t)(esp - sizeof frame), handler[2];
    uint64_t stack = ((uint64_t)get_segment(UC_X86_REG_SS) << 4) + sp;

    assert_int_equal(uc_mem_write(processor, stack, frame, sizeof frame), UC_ERR_OK);
    assert_int_equal(uc_mem_read(processor, 4u * vector, handler, sizeof handler), UC_ERR_OK);
    set(UC_X86_REG_ESP, (esp & 0xffff0000) | sp);
    set(UC_X86_REG_EFLAGS, flags & ~(FLAG_IF | FLAG_TF));
    set(UC_X86_REG_CS, handler[1]);
    set(UC_X86_REG_EIP, handler[0]);
}

static bool interruptible(void)
{
    return platform.pic.output && get(UC_X86_REG_EFLAGS) & FLAG_IF && !(get(UC_X86_REG_CR0) & CR0_PE);
}

static void software_interrupt(uc_engine *engine, uint32_t vector, void *context)
{
    (void)engine;
    (void)context;
    if (ended)
        return; /* SeaBIOS has no hope that its reset of the machine works */
    if (get(UC_X86_REG_CR0) & CR0_PE)
        fail_msg("exception %u at %#x", vector, get(UC_X86_REG_EIP));
    interrupt((uint8_t)vector);
}

static void count_access(uint16_t port)
{
    fixture_advance(&fixture, MICROSECOND);
    if (port != DEBUG_PORT && ++accesses == MOST_ACCESSES)
        fail_msg("no end; the log is:\n%s", log_text);
}

static uint32_t port_in(uc_engine *engine, uint32_t port, int size, void *context)
{
    (void)engine;
    (void)context;
    count_access((uint16_t)port);
    return (uint32_t)bus_read(&fixture.bus, BUS_PORTS, (uint16_t)port, (unsigned)size);
}

static void port_out(uc_engine *engine, uint32_t port, int size, uint32_t value, void *context)
{
    (void)engine;
    (void)context;
    count_access((uint16_t)port);
    bus_write(&fixture.bus, BUS_PORTS, (uint16_t)port, (unsigned)size, value);
}

static void block_begins(uc_engine *engine, uint64_t address, uint32_t size, void *context)
{
    (void)address;
    (void)size;
    (void)context;
    if (interruptible())
        uc_emu_stop(engine);
}

static bool unmapped(uc_engine *engine, uc_mem_type type, uint64_t address, int size, int64_t value, void *context)
{
    (void)engine;
    (void)context;
    fail_msg("access %d to %#llx, %d bytes, value %#llx, at %#x", (int)type, (unsigned long long)address, size,
             (unsigned long long)value, get(UC_X86_REG_EIP));
    return false;
}

static void add_hooks(void)
{
    uc_hook hook;

    assert_int_equal(uc_hook_add(processor, &hook, UC_HOOK_INSN, port_in, NULL, 1, 0, UC_X86_INS_IN), UC_ERR_OK);
    assert_int_equal(uc_hook_add(processor, &hook, UC_HOOK_INSN, port_out, NULL, 1, 0, UC_X86_INS_OUT), UC_ERR_OK);
    assert_int_equal(uc_hook_add(processor, &hook, UC_HOOK_INTR, software_interrupt, NULL, 1, 0), UC_ERR_OK);
    assert_int_equal(uc_hook_add(processor, &hook, UC_HOOK_BLOCK, block_begins, NULL, 1, 0), UC_ERR_OK);
    assert_int_equal(uc_hook_add(processor, &hook, UC_HOOK_MEM_UNMAPPED, unmapped, NULL, 1, 0), UC_ERR_OK);
}

static void create_processor(void)
{
    assert_int_equal(uc_open(UC_ARCH_X86, UC_MODE_16, &processor), UC_ERR_OK);
    memcpy(rom_above, bios.data, bios.length);
    memcpy(rom_below, bios.data + (bios.length - SHADOW_ROM), SHADOW_ROM);
    map(0, VGA_HOLE, UC_PROT_ALL, ram);
    map(VGA_HOLE, SHADOW - VGA_HOLE, UC_PROT_ALL, ram + VGA_HOLE);
    for (unsigned i = 0; i < HOST_BRIDGE_SEGMENTS; i++)
        show_segment(&platform.host_bridge.segments[i]);
    map(MIB, RAM - MIB, UC_PROT_ALL, ram + MIB);
    map((1ull << 32) - bios.length, bios.length, UC_PROT_READ | UC_PROT_EXEC, rom_above);
    map(LOCAL_APIC, 4096, UC_PROT_ALL, local_apic);
    add_hooks();
    set(UC_X86_REG_CS, RESET_CS);
    set(UC_X86_REG_EIP, RESET_VECTOR);
}

/* The processor is halted, or is to take an interrupt. */
static void go_on(void)
{
    if (!platform.pic.output) {
        uint64_t wait = timer_queue_wait(&fixture.timers);

        if (wait == TIMER_NEVER)
            fail_msg("halted for ever; the log is:\n%s", log_text);
        fixture_advance(&fixture, wait);
    }
    if (interruptible())
        interrupt(i8259_acknowledge(&platform.pic));
}

/* From power-on, or where it stopped, until the log has `words` (NULL: it never has), or the guest has ended. */
static void run_until(const char *words)
{
    for (unsigned runs = 0; !ended && !(words && strstr(log_text, words)); runs++) {
        uint64_t begin = ((uint64_t)get_segment(UC_X86_REG_CS) << 4) + get(UC_X86_REG_EIP);
        uc_err result = uc_emu_start(processor, begin, EVERYWHERE, 0, 0);

        if (result || runs == MOST_RUNS)
            fail_msg("%s at %#x; the log is:\n%s", uc_strerror(result), get(UC_X86_REG_EIP), log_text);
        if (!ended)
            go_on();
    }
    if (words && !strstr(log_text, words))
        fail_msg("\"%s\" is missing in:\n%s", words, log_text);
}

/* ---- Tests ---- */

static int setup_once(void **state)
{
    char error[FIRMWARE_ERROR_SIZE];

    (void)state;
    ram = aligned_alloc(4096, RAM);
    rom_below = aligned_alloc(4096, 0x20000);
    rom_above = aligned_alloc(4096, MIB);
    local_apic = aligned_alloc(4096, 4096);
    if (ram && rom_below && rom_above && local_apic && firmware_load(&bios, FIRMWARE_BIOS, NULL, error))
        return 0;
    return -1;
}

static int teardown_once(void **state)
{
    (void)state;
    firmware_unload(&bios);
    free(ram);
    free(rom_below);
    free(rom_above);
    free(local_apic);
    return 0;
}

static void clear_log(void)
{
    memset(log_text, 0, sizeof log_text);
    log_length = 0;
    accesses = 0;
    ended = false;
}

static int setup(void **state)
{
    (void)state;
    fixture_initialize(&fixture);
    clear_log();
    memset(&disk, 0, sizeof disk);
    create_board();
    create_processor();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return uc_close(processor) == UC_ERR_OK ? 0 : -1;
}

static void configure(struct firmware_configuration configuration)
{
    char error[FIRMWARE_ERROR_SIZE];

    configuration.processors = 1;
    configuration.memory_below_4g = RAM;
    configuration.uuid[15] = 0x42;
    if (!firmware_configure(&firmware, &fw_cfg, &configuration, error))
        fail_msg("%s", error);
    firmware_set_cmos(&platform.rtc, &configuration);
}

static void assert_logged(const char *words)
{
    if (!strstr(log_text, words))
        fail_msg("\"%s\" is missing in:\n%s", words, log_text);
}

static void it_finds_the_board(void **state)
{
    (void)state;
    configure((struct firmware_configuration){0});
    run_until("No bootable device");
    assert_logged("Running on QEMU (i440fx)");
    assert_logged("QEMU fw_cfg DMA interface supported");
    assert_logged("addr 0x0000000000000000 len 0x0000000002000000 [RAM]");
    assert_logged("Found 8 PCI devices");
    assert_logged("PIIX3/PIIX4 init");
    assert_logged("Using pmtimer, ioport 0x608");
    assert_logged("Copying MPTABLE");
    assert_logged("Copying SMBIOS");
    assert_logged("(via xsdt)");
    assert_logged("ACPI: parse DSDT");
    assert_logged("00000000-0000-0000-0000-000000000042");
    assert_logged("PS2 keyboard initialized");
    assert_logged("Found 2 serial ports");
    assert_null(strstr(log_text, "WARNING"));
    assert_in_range(accesses, 500, 4000);
    assert_in_range(timer_now(&fixture.timers), 0, 250 * MILLISECOND);
}

/* The interrupt line registers say where the 8259As see each pin. */
static void it_routes_interrupts_as_the_board_does(void **state)
{
    (void)state;
    configure((struct firmware_configuration){0});
    run_until("No bootable device");
    for (uint8_t i = 0; i < 4; i++) {
        uint8_t irq = adapters[i].config[PCI_INTERRUPT_LINE];

        assert_true(irq == 10 || irq == 11);
        pci_set_interrupt(&adapters[i], true);
        assert_int_equal(platform.pic.chips[1].lines, 1u << (irq - 8));
        assert_int_equal(platform.ioapic.lines & 0xfff8, 1u << irq);
        pci_set_interrupt(&adapters[i], false);
        assert_int_equal(platform.pic.chips[1].lines, 0);
    }
    assert_int_equal(platform.power.pci.config[PCI_INTERRUPT_LINE], 9);
}

/* A boot sector that says what it was started with: DL, and what INT 13h reads from the second sector. */
static void it_boots_from_a_disk(void **state)
{
    static const uint8_t code[] = {
        0xbe, 0x00, 0x00,             /* mov si, 0 */
        0x8e, 0xde, 0x8e, 0xc6,       /* mov ds, si; mov es, si */
        0xb8, 0x01, 0x02,             /* mov ax, 0201h */
        0xb9, 0x02, 0x00, 0xb6, 0x00, /* mov cx, 2; mov dh, 0 */
        0xbb, 0x00, 0x80, 0xcd, 0x13, /* mov bx, 8000h; int 13h */
        0xb8, '?',  0x00, 0x72, 0x03, /* mov ax, '?'; jc over the next */
        0xa0, 0x00, 0x80,             /* mov al, [8000h] */
        0xba, 0x02, 0x04, 0xee,       /* mov dx, 402h; out dx, al */
        0xb0, '~',  0xee,             /* mov al, '~'; out dx, al */
        0xfa, 0xf4,                   /* cli; hlt */
    };

    (void)state;
    disk.sectors = 4 * 16 * 63;
    disk.geometry = (struct disk_geometry){4, 16, 63};
    disk.written_count = 2;
    memcpy(disk.written[0], code, sizeof code);
    disk.written[0][510] = 0x55;
    disk.written[0][511] = 0xaa;
    disk.written_sector[1] = 1;
    disk.written[1][0] = '!';
    assert_true(ide_attach(&ide, 0, 0, &disk, "LOAM0000"));
    configure((struct firmware_configuration){
        .boot_order = {{FIRMWARE_BOOT_IDE, 0, 0}},
        .boot_devices = 1,
        .disks = {disk.sectors},
    });
    run_until("!" LAST_WORD);
    assert_logged("translation=none LCHS=4/16/63");
    assert_logged("Booting from Hard Disk");
    assert_null(strstr(log_text, "Boot failed"));
}

/*
 * Drive A: of a type, with the fake disk in it, whose boot sector reads the medium's last sector, says what that
 * begins with, and writes itself to the third.
 */
static void add_floppy(enum floppy_drive_type type, struct disk_geometry geometry)
{
    const struct floppy_configuration configuration = {
        .dma = &platform.dma,
        .timers = &fixture.timers,
        .line = irq_router_isa_line(&platform.router, 6),
        .drives = {type},
    };
    const uint8_t code[] = {
        0xbe,
        0x00,
        0x00, /* mov si, 0 */
        0x8e,
        0xde,
        0x8e,
        0xc6, /* mov ds, si; mov es, si */
        0xb8,
        0x01,
        0x02, /* mov ax, 0201h */
        0xb9,
        geometry.sectors_per_track,
        (uint8_t)(geometry.cylinders - 1), /* mov cx, ... */
        0xb6,
        (uint8_t)(geometry.heads - 1), /* mov dh, ... */
        0xbb,
        0x00,
        0x80,
        0xcd,
        0x13, /* mov bx, 8000h; int 13h */
        0xb8,
        '?',
        0x00,
        0x72,
        0x03, /* mov ax, '?'; jc over the next */
        0xa0,
        0x00,
        0x80, /* mov al, [8000h] */
        0xba,
        0x02,
        0x04,
        0xee, /* mov dx, 402h; out dx, al */
        0xb8,
        0x01,
        0x03, /* mov ax, 0301h */
        0xb9,
        0x03,
        0x00,
        0xba,
        0x00,
        0x00, /* mov cx, 3; mov dx, 0 */
        0xbb,
        0x00,
        0x7c,
        0xcd,
        0x13, /* mov bx, 7c00h; int 13h */
        0xb0,
        'W',
        0x73,
        0x02,
        0xb0,
        'E', /* mov al, 'W'; jnc over mov al, 'E' */
        0xba,
        0x02,
        0x04,
        0xee, /* mov dx, 402h; out dx, al */
        0xb0,
        '~',
        0xee, /* mov al, '~'; out dx, al */
        0xfa,
        0xf4, /* cli; hlt */
    };

    memset(&disk, 0, sizeof disk);
    disk.geometry = geometry;
    disk.sectors = (uint64_t)geometry.cylinders * geometry.heads * geometry.sectors_per_track;
    disk.written_count = 2;
    memcpy(disk.written[0], code, sizeof code);
    disk.written[0][510] = 0x55;
    disk.written[0][511] = 0xaa;
    disk.written_sector[1] = disk.sectors - 1;
    disk.written[1][0] = '!';
    assert_true(floppy_initialize(&floppy, &fixture.bus, &configuration));
    configure((struct firmware_configuration){
        .boot_order = {{FIRMWARE_BOOT_FLOPPY, 0, 0}},
        .boot_devices = 1,
        .floppies = {(enum mc146818_floppy)type},
    });
}

static void it_boots_from_a_floppy_disk(void **state)
{
    static const struct {
        enum floppy_drive_type type;
        struct disk_geometry geometry;
    } cases[] = {
        {FLOPPY_DRIVE_1440, {80, 2, 18}},
        {FLOPPY_DRIVE_1440, {80, 2, 9} },
        {FLOPPY_DRIVE_1200, {40, 2, 9} },
        {FLOPPY_DRIVE_2880, {80, 2, 36}},
    };

    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (i > 0 && (teardown(state) || setup(state)))
            fail();
        add_floppy(cases[i].type, cases[i].geometry);
        assert_true(floppy_insert(&floppy, 0, &disk));
        run_until("!W" LAST_WORD);
        assert_logged("Booting from Floppy");
        assert_null(strstr(log_text, "Boot failed"));
        assert_int_equal(disk.written_count, 3);
        assert_int_equal(disk.written_sector[2], 2);
        assert_memory_equal(disk.written[2], disk.written[0], DISK_SECTOR_SIZE);
        assert_in_range(timer_now(&fixture.timers), 0, 250 * MILLISECOND);
    }
}

/* It goes on without waiting for anything. */
static void it_finds_a_drive_empty(void **state)
{
    (void)state;
    add_floppy(FLOPPY_DRIVE_1440, (struct disk_geometry){80, 2, 18});
    run_until("No bootable device");
    assert_logged("Boot failed: could not read the boot disk");
    assert_in_range(timer_now(&fixture.timers), 0, 250 * MILLISECOND);
}

/* An image of a kernel: one sector of setup, which says that it was started, and something behind. */
static void it_boots_from_the_network(void **state)
{
    static const uint8_t code[] = {
        0xba, 0x02, 0x04,             /* mov dx, 402h */
        0xb0, 'K',  0xee,             /* mov al, 'K'; out dx, al */
        0xb0, '~',  0xee, 0xfa, 0xf4, /* mov al, '~'; out dx, al; cli; hlt */
    };
    static uint8_t kernel[100000];

    (void)state;
    kernel[0x1f1] = 4;
    memcpy(kernel + 0x200, "\xeb\x40HdrS", 6);
    kernel[0x211] = 1;
    memcpy(kernel + 0x242, code, sizeof code);
    for (size_t i = 1024; i < sizeof kernel; i++)
        kernel[i] = (uint8_t)(i * 7 + (i >> 8));
    configure((struct firmware_configuration){
        .boot_order = {{FIRMWARE_BOOT_NETWORK, 0, 0}},
        .boot_devices = 1,
        .network = { kernel,                sizeof kernel},
    });
    run_until("K" LAST_WORD);
    assert_logged("Booting from ROM");
    assert_memory_equal(ram + 0x10000 + 1024, kernel + 1024, 5 * 512 - 1024);
    assert_memory_equal(ram + MIB, kernel + 5 * 512, sizeof kernel - 5 * 512);
    assert_int_equal(ram[MIB + sizeof kernel - 5 * 512], 0);
    assert_int_equal(ram[0x10210], 0xff);
    assert_int_equal(ram[0x10211], 0x81);
}

static void type(uint8_t scancode)
{
    const uint8_t keys[] = {scancode, 0xf0, scancode};

    assert_true(i8042_type(&platform.keyboard, keys, sizeof keys));
}

/* The menu comes, shows the network second, and the chosen one is booted. */
static void it_offers_a_menu(void **state)
{
    static uint8_t kernel[1025];

    (void)state;
    kernel[0x1f1] = 1;
    disk.sectors = 4 * 16 * 63;
    disk.geometry = (struct disk_geometry){4, 16, 63};
    assert_true(ide_attach(&ide, 1, 0, &disk, "LOAM0000"));
    configure((struct firmware_configuration){
        .boot_order = {{FIRMWARE_BOOT_IDE, 1, 0}, {FIRMWARE_BOOT_NETWORK, 0, 0}},
        .boot_devices = 2,
        .boot_menu = true,
        .boot_menu_wait = 1000,
        .network = {kernel,                    sizeof kernel                },
    });
    run_until("Press ESC for boot menu");
    type(0x76); /* escape */
    run_until("2. Network (iPXE)");
    assert_logged("1. ata1-0: Loam Virtual Disk");
    type(0x1e); /* 2 */
    run_until("No bootable device");
    /* The image is none: the disk is next, which is not bootable. */
    assert_logged("Booting from ROM");
    assert_non_null(strstr(strstr(log_text, "Booting from ROM"), "Booting from Hard Disk"));
}

/* Ctrl, Alt and Delete reset the machine. What RAM holds stays; the BIOS is itself again. */
static void it_starts_again(void **state)
{
    static const uint8_t keys[] = {0x14, 0x11, 0xe0, 0x71};
    const struct firmware_configuration configuration = {.processors = 1, .memory_below_4g = RAM};

    (void)state;
    configure((struct firmware_configuration){0});
    run_until("No bootable device");
    assert_true(i8042_type(&platform.keyboard, keys, sizeof keys));
    run_until(NULL);
    assert_logged("Attempting a hard reboot");
    platform_reset(&platform);
    fw_cfg_reset(&fw_cfg);
    firmware_set_cmos(&platform.rtc, &configuration);
    assert_int_equal(uc_close(processor), UC_ERR_OK);
    create_processor();
    clear_log();
    run_until("No bootable device");
    assert_logged("Found 8 PCI devices");
    assert_logged("PS2 keyboard initialized");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_finds_the_board, setup, teardown),
        cmocka_unit_test_setup_teardown(it_routes_interrupts_as_the_board_does, setup, teardown),
        cmocka_unit_test_setup_teardown(it_boots_from_a_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(it_boots_from_a_floppy_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(it_finds_a_drive_empty, setup, teardown),
        cmocka_unit_test_setup_teardown(it_boots_from_the_network, setup, teardown),
        cmocka_unit_test_setup_teardown(it_offers_a_menu, setup, teardown),
        cmocka_unit_test_setup_teardown(it_starts_again, setup, teardown),
    };

    return cmocka_run_group_tests(tests, setup_once, teardown_once);
}
