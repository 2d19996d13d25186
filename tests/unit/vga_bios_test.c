/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SeaBIOS's VGA BIOS (Debian's vgabios-stdvga.bin) on the adapter, on an emulated processor: what it finds, the modes
 * that it sets, what they look like.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <unicorn/unicorn.h>
#include "tests/unit/vga_fixture.h"

#define ROM_FILE    "/usr/share/seabios/vgabios-stdvga.bin"
#define ROM         0xc0000u
#define MEMORY_SIZE 0x110000u
#define RAM_END     0xa0000u
#define STUB        0x7000u /* code that calls the BIOS */
#define STACK       0x6000u
#define BUFFER      0x8000u
#define TIME_LIMIT  60000000u /* microseconds, for one call of the BIOS */

static struct vga_fixture fixture;
static uint8_t *memory;
static uc_engine *processor;
static struct display display;
static struct display_area areas[DISPLAY_AREAS];

static uint64_t video_read(uc_engine *engine, uint64_t offset, unsigned size, void *base)
{
    uint64_t value = 0;

    (void)engine;
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)guest_read(&fixture, *(const uint32_t *)base + offset + i) << (8 * i);
    return value;
}

static void video_write(uc_engine *engine, uint64_t offset, unsigned size, uint64_t value, void *base)
{
    (void)engine;
    for (unsigned i = 0; i < size; i++)
        guest_write(&fixture, *(const uint32_t *)base + offset + i, (uint8_t)(value >> (8 * i)));
}

static uint32_t port_in(uc_engine *engine, uint32_t port, int size, void *context)
{
    (void)engine;
    (void)context;
    fixture.device.host_time += 1000;
    return (uint32_t)bus_read(&fixture.device.bus, BUS_PORTS, port, (unsigned)size);
}

static void port_out(uc_engine *engine, uint32_t port, int size, uint32_t value, void *context)
{
    (void)engine;
    (void)context;
    bus_write(&fixture.device.bus, BUS_PORTS, port, (unsigned)size, value);
}

static void set(int number, uint32_t value)
{
    assert_int_equal(uc_reg_write(processor, number, &value), UC_ERR_OK);
}

static uint16_t get(int number)
{
    uint32_t value = 0;

    assert_int_equal(uc_reg_read(processor, number, &value), UC_ERR_OK);
    return (uint16_t)value;
}

/* Runs code at STUB. */
static void run(const uint8_t *code, size_t length)
{
    memcpy(memory + STUB, code, length);
    set(UC_X86_REG_CS, 0);
    set(UC_X86_REG_SS, 0);
    set(UC_X86_REG_ESP, STACK);
    assert_int_equal(uc_emu_start(processor, STUB, STUB + length, TIME_LIMIT, 0), UC_ERR_OK);
    assert_int_equal(get(UC_X86_REG_IP), STUB + length);
}

/* PUSHF; CLI; CALL FAR [0040h]: what INT 10h does. ES:DI is BUFFER. Returns AX. */
static uint16_t int10(uint16_t ax, uint16_t bx, uint16_t cx, uint16_t dx)
{
    static const uint8_t code[] = {0x9c, 0xfa, 0xff, 0x1e, 0x40, 0x00};

    set(UC_X86_REG_EAX, ax);
    set(UC_X86_REG_EBX, bx);
    set(UC_X86_REG_ECX, cx);
    set(UC_X86_REG_EDX, dx);
    set(UC_X86_REG_DS, 0);
    set(UC_X86_REG_ES, BUFFER >> 4);
    set(UC_X86_REG_EDI, 0);
    run(code, sizeof code);
    return get(UC_X86_REG_AX);
}

static void load_rom(void)
{
    FILE *file = fopen(ROM_FILE, "rb");

    assert_non_null(file);
    assert_true(fread(memory + ROM, 1, 0x10000, file) > 0x8000);
    fclose(file);
}

/* A far call of the ROM's entry point, with the PCI address as a BIOS gives it. */
static void initialize_rom(void)
{
    static const uint8_t code[] = {0x9a, 0x03, 0x00, 0x00, 0xc0};

    memcpy(memory + 0x413, (const uint8_t[]){640 & 0xff, 640 >> 8}, 2); /* KiB of memory, in the BIOS's data */
    set(UC_X86_REG_EAX, VGA_SLOT << 3);
    run(code, sizeof code);
}

static void make_processor(void)
{
    static uint32_t window = VGA_WINDOW, frame_buffer = VGA_FRAME_BUFFER;
    uc_hook hook;

    assert_int_equal(uc_open(UC_ARCH_X86, UC_MODE_16, &processor), UC_ERR_OK);
    uc_mem_map_ptr(processor, 0, RAM_END, UC_PROT_ALL, memory);
    uc_mem_map_ptr(processor, ROM, MEMORY_SIZE - ROM, UC_PROT_ALL, memory + ROM);
    uc_mmio_map(processor, VGA_WINDOW, VGA_WINDOW_LENGTH, video_read, &window, video_write, &window);
    uc_mmio_map(processor, VGA_FRAME_BUFFER, VGA_MEMORY_SIZE + VGA_REGISTERS_LENGTH, video_read, &frame_buffer,
                video_write, &frame_buffer);
    uc_hook_add(processor, &hook, UC_HOOK_INSN, (void *)port_in, NULL, 1, 0, UC_X86_INS_IN);
    uc_hook_add(processor, &hook, UC_HOOK_INSN, (void *)port_out, NULL, 1, 0, UC_X86_INS_OUT);
}

static int setup(void **state)
{
    (void)state;
    vga_fixture_initialize(&fixture, true);
    vga_fixture_decode(&fixture);
    memory = aligned_alloc(VGA_PAGE_SIZE, MEMORY_SIZE);
    assert_non_null(memory);
    memset(memory, 0, MEMORY_SIZE);
    memset(&display, 0, sizeof display);
    load_rom();
    make_processor();
    initialize_rom();
    int10(0x0003, 0, 0, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    uc_close(processor);
    free(memory);
    free(display.pixels);
    vga_fixture_free(&fixture);
    return 0;
}

static void print(const char *text)
{
    for (; *text; text++)
        int10((uint16_t)(0x0e00 | (uint8_t)*text), 0x0007, 0, 0);
}

static void text_is_shown(void **state)
{
    char text[VGA_FIXTURE_TEXT];

    (void)state;
    print("Hello\r\nWorld\r\n");
    assert_true(read_text(&fixture, text));
    assert_non_null(strstr(text, "Hello\nWorld\n"));
    assert_int_equal(look(&fixture, &display, areas), 1);
    assert_int_equal(display.width, 720);
    assert_int_equal(display.height, 400);
    assert_int_equal(pixel(&display, 719, 399), 0x000000);
}

/* Pixel (x, x) is of a color other than black for 100 pixels, and (x + 1, x) is not. */
static void assert_diagonal(unsigned scale_x, unsigned scale_y)
{
    for (unsigned x = 20; x < 100; x++) {
        assert_int_not_equal(pixel(&display, x * scale_x, x * scale_y), 0);
        assert_int_equal(pixel(&display, (x + 1) * scale_x, x * scale_y), 0);
    }
}

static void draw_diagonal(void)
{
    for (uint16_t x = 0; x < 100; x++)
        int10(0x0c03, 0, x, x);
}

static void modes_of_the_vga(void **state)
{
    static const struct {
        uint8_t mode;
        uint8_t scale_x, scale_y; /* 0: text */
        uint16_t width, height;
        bool ram;
    } modes[] = {
        {0x00, 0, 0, 720, 400, true },
        {0x02, 0, 0, 720, 400, true },
        {0x04, 2, 2, 640, 400, true },
        {0x06, 1, 2, 640, 400, false},
        {0x0d, 2, 2, 640, 400, false},
        {0x0e, 1, 2, 640, 400, false},
        {0x0f, 1, 1, 640, 350, false},
        {0x10, 1, 1, 640, 350, false},
        {0x11, 1, 1, 640, 480, false},
        {0x12, 1, 1, 640, 480, false},
        {0x13, 2, 2, 640, 400, true },
        {0x03, 0, 0, 720, 400, true },
        {0x07, 0, 0, 720, 400, true },
    };

    (void)state;
    for (unsigned i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        char text[VGA_FIXTURE_TEXT];
        bool is_text = modes[i].scale_x == 0;

        int10(modes[i].mode, 0, 0, 0);
        print("Hello");
        if (!is_text)
            draw_diagonal();
        look(&fixture, &display, areas);
        assert_int_equal(display.width, modes[i].width);
        assert_int_equal(display.height, modes[i].height);
        assert_int_equal(read_text(&fixture, text), is_text);
        if (is_text)
            assert_memory_equal(text, "Hello\n\n", 7);
        else
            assert_diagonal(modes[i].scale_x, modes[i].scale_y);
        guest_touch(&fixture, fixture.vga->window.gpa);
        assert_int_equal(fixture.vga->window.mapped, modes[i].ram);
    }
}

/* VBE 3.0, function 01h: what the BIOS says of a mode, at BUFFER. False: it does not exist. */
static bool mode_information(uint16_t mode)
{
    memset(memory + BUFFER, 0, 256);
    return int10(0x4f01, 0, mode, 0) == 0x004f;
}

static uint16_t information_word(unsigned offset)
{
    return (uint16_t)(memory[BUFFER + offset] | memory[BUFFER + offset + 1] << 8);
}

/* Every linear mode that the BIOS has: the last pixel of it, at the address that the BIOS says. */
static void vbe_modes(void **state)
{
    unsigned seen = 0;
    bool large = false;

    (void)state;
    for (uint16_t mode = 0x100; mode < 0x1a0; mode++) {
        uint16_t width, height, pitch;
        uint8_t bytes;

        if (!mode_information(mode) || !(information_word(0) & 0x80))
            continue;
        pitch = information_word(16);
        width = information_word(18);
        height = information_word(20);
        bytes = (uint8_t)((memory[BUFFER + 25] + 7) / 8);
        assert_int_equal(information_word(40) | (uint32_t)information_word(42) << 16, VGA_FRAME_BUFFER);
        assert_int_equal(int10(0x4f02, 0x4000 | mode, 0, 0), 0x004f);
        for (unsigned i = 0; i < bytes && memory[BUFFER + 27] != 3; i++)
            guest_write(&fixture, VGA_FRAME_BUFFER + (height - 1u) * pitch + (width - 1u) * bytes + i, 0x0f);
        look(&fixture, &display, areas);
        assert_int_equal(display.width, width);
        assert_int_equal(display.height, height);
        if (memory[BUFFER + 27] != 3) {
            assert_int_not_equal(pixel(&display, width - 1u, height - 1u), 0);
            assert_int_equal(pixel(&display, width - 2u, height - 1u), 0);
        }
        large = large || (width == 1920 && height == 1200 && bytes == 4);
        seen++;
    }
    assert_true(seen > 50);
    assert_true(large);
    int10(0x0003, 0, 0, 0);
    look(&fixture, &display, areas);
    assert_int_equal(display.height, 400);
}

static void the_bios_knows_memory_and_monitor(void **state)
{
    (void)state;
    memcpy(memory + BUFFER, "VBE2", 4);
    assert_int_equal(int10(0x4f00, 0, 0, 0), 0x004f);
    assert_memory_equal(memory + BUFFER, "VESA", 4);
    assert_int_equal(information_word(18), 256); /* times 64 KiB */
    assert_int_equal(int10(0x4f15, 0x0001, 0, 0), 0x004f);
    assert_memory_equal(memory + BUFFER, "\0\xff\xff\xff\xff\xff\xff\0", 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(text_is_shown, setup, teardown),
        cmocka_unit_test_setup_teardown(modes_of_the_vga, setup, teardown),
        cmocka_unit_test_setup_teardown(vbe_modes, setup, teardown),
        cmocka_unit_test_setup_teardown(the_bios_knows_memory_and_monitor, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
