/* SPDX-License-Identifier: GPL-2.0-or-later */
/* INS and OUTS: repetition, direction, address sizes, segments, faults on the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "partitions/root/worker/io_port.h"
#include "partitions/root/worker/processor_mode.h"

#define PORT       0x1F0
#define BLOCK_PORT 0x170
#define RAM_BASE   0x10000ull
#define RAM_SIZE   0x20000ull
#define ABSENT     0x18000ull /* a page in the middle that the guest's tables do not map */
#define DEVICE     0x40000ull /* memory that is the bus's */

static struct {
    struct bus bus;
    pthread_mutex_t lock;
    uint8_t ram[RAM_SIZE];
    uint8_t memory_device[16];
    uint32_t next; /* what IN gives, counting up */
    uint8_t written[0x10000];
    size_t written_length;
    unsigned singles, blocks;
    struct memory_environment environment;
    struct memory_access access;
    struct hv_vp_register_page registers;
    struct hv_x64_io_port_intercept_message message;
} test;

static uint64_t port_read(void *device, uint64_t offset, unsigned size)
{
    (void)device;
    (void)offset;
    (void)size;
    test.singles++;
    return test.next++;
}

static void port_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    (void)device;
    (void)offset;
    test.singles++;
    memcpy(test.written + test.written_length, &value, size);
    test.written_length += size;
}

/* Takes at most 5 items at once. */
static size_t block_in(void *device, uint64_t offset, unsigned size, void *items, size_t count)
{
    (void)device;
    (void)offset;
    count = count < 5 ? count : 5;
    test.blocks++;
    for (size_t i = 0; i < count; i++, test.next++)
        memcpy((uint8_t *)items + i * size, &test.next, size);
    return count;
}

static size_t block_out(void *device, uint64_t offset, unsigned size, const void *items, size_t count)
{
    (void)device;
    (void)offset;
    count = count < 5 ? count : 5;
    test.blocks++;
    memcpy(test.written + test.written_length, items, count * size);
    test.written_length += count * size;
    return count;
}

static uint64_t memory_read(void *device, uint64_t offset, unsigned size)
{
    uint64_t value = 0;

    (void)device;
    memcpy(&value, test.memory_device + offset, size);
    return value;
}

static void memory_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    (void)device;
    memcpy(test.memory_device + offset, &value, size);
}

static const struct bus_operations single_operations = {.read = port_read, .write = port_write};
static const struct bus_operations block_operations = {
    .read = port_read, .write = port_write, .block_in = block_in, .block_out = block_out};
static const struct bus_operations memory_operations = {.read = memory_read, .write = memory_write};

static bool translate(void *context, const struct hv_vp_register_page *registers, uint64_t linear,
                      enum memory_intent intent, uint64_t *gpa, struct exception *exception)
{
    (void)context;
    (void)registers;
    *gpa = linear;
    *exception = (struct exception){.vector = EXCEPTION_PAGE_FAULT,
                                    .has_error_code = true,
                                    .error_code = intent == MEMORY_WRITE ? PAGE_FAULT_WRITE : 0,
                                    .parameter = linear};
    return (linear & ~0xFFFull) != ABSENT;
}

static uint8_t *ram(void *context, uint64_t gpa, enum memory_intent intent)
{
    (void)context;
    (void)intent;
    return gpa >= RAM_BASE && gpa < RAM_BASE + RAM_SIZE ? test.ram + (gpa - RAM_BASE) : NULL;
}

static void set_width(unsigned width)
{
    struct hv_vp_register_page *registers = &test.registers;

    for (unsigned i = 0; i < 6; i++)
        registers->segment[i] =
            (struct hv_x64_segment_register){.limit = width == 16 ? 0xFFFF : 0xFFFFFFFF,
                                             .attributes = 0x93 | (width == 32 ? HV_SEGMENT_DB : 0)};
    registers->segment[SEGMENT_CS].attributes = 0x9B | (width == 64   ? HV_SEGMENT_L
                                                        : width == 32 ? HV_SEGMENT_DB
                                                                      : 0);
    registers->efer = width == 64 ? EFER_LMA : 0;
    registers->cr0 = width == 16 ? 0 : CR0_PE;
}

static int set_up(void **state)
{
    (void)state;
    memset(&test, 0, sizeof test);
    pthread_mutex_init(&test.lock, NULL);
    bus_initialize(&test.bus);
    assert_true(bus_add(&test.bus, BUS_PORTS, PORT, 4, &single_operations, NULL, "single"));
    assert_true(bus_add(&test.bus, BUS_PORTS, BLOCK_PORT, 4, &block_operations, NULL, "block"));
    assert_true(bus_add(&test.bus, BUS_MEMORY, DEVICE, 16, &memory_operations, NULL, "memory"));
    test.environment = (struct memory_environment){
        .translate = translate, .ram = ram, .bus = &test.bus, .device_lock = &test.lock};
    memory_access_initialize(&test.access, &test.environment);
    set_width(64);
    test.registers.rip = 0x1000;
    test.registers.rflags = 2;
    return 0;
}

/* Runs a string instruction whose bytes come with the message. */
static enum io_port_result run(uint16_t port, bool out, bool repeated, unsigned size, const uint8_t *bytes,
                               unsigned length)
{
    test.message = (struct hv_x64_io_port_intercept_message){
        .header = {.instruction_length_cr8 = (uint8_t)length,
                   .intercept_access_type = out ? HV_INTERCEPT_ACCESS_WRITE : HV_INTERCEPT_ACCESS_READ,
                   .rip = test.registers.rip,
                   .rflags = test.registers.rflags},
        .port_number = port,
        .access_info = (uint8_t)(size | HV_IO_PORT_STRING_OPERATION | (repeated ? HV_IO_PORT_REP_PREFIX : 0)),
        .instruction_byte_count = (uint8_t)length,
    };
    memcpy(test.message.instruction_bytes, bytes, length);
    return io_port_run(&test.access, &test.registers, &test.message);
}

#define RUN(port, out, repeated, size, ...)                                                                  \
    run(port, out, repeated, size, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))
#define GP(name) (test.registers.gp_registers[GP_##name])

static void test_single_ins_and_outs(void **state)
{
    (void)state;
    test.next = 0x11223344;
    GP(RDI) = RAM_BASE + 0x10;
    GP(RCX) = 77;
    assert_int_equal(RUN(PORT, false, false, 4, 0x6D), IO_PORT_DONE); /* insd */
    assert_memory_equal(test.ram + 0x10, "\x44\x33\x22\x11", 4);
    assert_int_equal(GP(RDI), RAM_BASE + 0x14);
    assert_int_equal(GP(RCX), 77);
    assert_int_equal(test.registers.rip, 0x1001);
    assert_int_equal(test.registers.dirty, HV_REGISTER_PAGE_DIRTY_GP | HV_REGISTER_PAGE_DIRTY_IP);
    GP(RSI) = RAM_BASE + 0x10;
    assert_int_equal(RUN(PORT, true, false, 2, 0x66, 0x6F), IO_PORT_DONE); /* outsw */
    assert_memory_equal(test.written, "\x44\x33", 2);
    assert_int_equal(GP(RSI), RAM_BASE + 0x12);
}

static void test_repeated_in_blocks(void **state)
{
    uint16_t expected[256];

    (void)state;
    for (unsigned i = 0; i < 256; i++)
        expected[i] = (uint16_t)i;
    GP(RDI) = RAM_BASE + 0xF00; /* over a page boundary */
    GP(RCX) = 256;
    assert_int_equal(RUN(BLOCK_PORT, false, true, 2, 0xF3, 0x66, 0x6D), IO_PORT_DONE);
    assert_memory_equal(test.ram + 0xF00, expected, sizeof expected);
    assert_int_equal(GP(RCX), 0);
    assert_int_equal(GP(RDI), RAM_BASE + 0xF00 + 512);
    assert_int_equal(test.registers.rip, 0x1003);
    assert_true(test.blocks >= 52);
    GP(RSI) = RAM_BASE + 0xF00;
    GP(RCX) = 256;
    assert_int_equal(RUN(BLOCK_PORT, true, true, 2, 0xF3, 0x66, 0x6F), IO_PORT_DONE);
    assert_memory_equal(test.written, expected, sizeof expected);
    assert_true(test.singles < 4);
}

static void test_item_across_pages(void **state)
{
    (void)state;
    test.next = 0x01020304;
    GP(RDI) = RAM_BASE + 0xFFE;
    GP(RCX) = 3;
    assert_int_equal(RUN(BLOCK_PORT, false, true, 4, 0xF3, 0x6D), IO_PORT_DONE);
    assert_memory_equal(test.ram + 0xFFE, "\x04\x03\x02\x01\x05\x03\x02\x01\x06\x03\x02\x01", 12);
}

static void test_nothing_to_repeat(void **state)
{
    (void)state;
    GP(RDI) = ABSENT;
    assert_int_equal(RUN(PORT, false, true, 1, 0xF3, 0x6C), IO_PORT_DONE);
    assert_int_equal(test.singles, 0);
    assert_int_equal(test.registers.rip, 0x1002);
}

static void test_downwards(void **state)
{
    (void)state;
    test.registers.rflags |= RFLAGS_DF;
    GP(RDI) = RAM_BASE + 3;
    GP(RCX) = 4;
    assert_int_equal(RUN(BLOCK_PORT, false, true, 1, 0xF3, 0x6C), IO_PORT_DONE);
    assert_memory_equal(test.ram, "\3\2\1\0", 4);
    assert_int_equal(GP(RDI), RAM_BASE - 1);
}

static void test_fault_in_the_middle(void **state)
{
    (void)state;
    GP(RDI) = ABSENT - 6;
    GP(RCX) = 100;
    assert_int_equal(RUN(BLOCK_PORT, false, true, 2, 0xF3, 0x66, 0x6D), IO_PORT_EXCEPTION);
    assert_int_equal(GP(RCX), 97);
    assert_int_equal(GP(RDI), ABSENT);
    assert_int_equal(test.registers.rip, 0x1000);
    assert_int_equal(test.registers.dirty, HV_REGISTER_PAGE_DIRTY_GP);
    assert_int_equal(test.access.exception.parameter, ABSENT);
    assert_int_equal(test.access.exception.error_code, PAGE_FAULT_WRITE);
    assert_int_equal(test.next, 3); /* the device has given nothing that is lost */

    /* The half of an item that would fault is found before the port is read. */
    GP(RDI) = ABSENT - 1;
    GP(RCX) = 1;
    assert_int_equal(RUN(BLOCK_PORT, false, true, 2, 0xF3, 0x66, 0x6D), IO_PORT_EXCEPTION);
    assert_int_equal(test.next, 3);
    assert_int_equal(test.access.exception.parameter, ABSENT);
}

static void test_long_repetition_pauses(void **state)
{
    (void)state;
    GP(RSI) = RAM_BASE;
    GP(RCX) = IO_PORT_MAXIMUM_ITEMS + 1;
    assert_int_equal(RUN(PORT, true, true, 1, 0xF3, 0x6E), IO_PORT_AGAIN);
    assert_int_equal(GP(RCX), 1);
    assert_int_equal(test.registers.rip, 0x1000);
    assert_int_equal(RUN(PORT, true, true, 1, 0xF3, 0x6E), IO_PORT_DONE);
    assert_int_equal(test.written_length, IO_PORT_MAXIMUM_ITEMS + 1);
    assert_int_equal(test.registers.rip, 0x1002);
}

static void test_address_sizes(void **state)
{
    (void)state;
    /* 32 bits in 64-bit code: upper halves neither count nor survive */
    GP(RDI) = 0xFFFFFFFF00000000 | RAM_BASE;
    GP(RCX) = 0xFFFFFFFF00000002;
    assert_int_equal(RUN(PORT, false, true, 1, 0x67, 0xF3, 0x6C), IO_PORT_DONE);
    assert_int_equal(GP(RDI), RAM_BASE + 2);
    assert_int_equal(GP(RCX), 0);

    /* Real mode: 16 bits, index wraps at 64 KiB */
    set_width(16);
    test.registers.segment[SEGMENT_ES].base = RAM_BASE;
    GP(RDI) = 0xABCDFFFE;
    GP(RCX) = 0x12340004;
    test.next = 0x41;
    assert_int_equal(RUN(BLOCK_PORT, false, true, 1, 0xF3, 0x6C), IO_PORT_DONE);
    assert_memory_equal(test.ram + 0xFFFE, "AB", 2);
    assert_memory_equal(test.ram, "CD", 2);
    assert_int_equal(GP(RDI), 0xABCD0002);
    assert_int_equal(GP(RCX), 0x12340000);

    /* 32 bits in 64-bit code wrap in the middle of a page, where the segment base has put it */
    set_width(64);
    test.registers.segment[SEGMENT_FS].base = RAM_BASE + 0x800 - 0xFFFFFFFE;
    memcpy(test.ram + 0x800, "wxyz", 4);
    GP(RSI) = 0xFFFFFFFE;
    GP(RCX) = 4;
    test.written_length = 0;
    assert_int_equal(RUN(BLOCK_PORT, true, true, 1, 0x64, 0x67, 0xF3, 0x6E), IO_PORT_DONE);
    assert_memory_equal(test.written, "wx\xFF\xFF", 4); /* nobody is at FS:0 */
    assert_int_equal(GP(RSI), 2);
    set_width(16);

    /* 32 bits in 16-bit code by prefix: beyond the limit */
    GP(RDI) = 0x10000;
    GP(RCX) = 1;
    assert_int_equal(RUN(PORT, false, true, 1, 0x67, 0xF3, 0x6C), IO_PORT_EXCEPTION);
    assert_int_equal(test.access.exception.vector, EXCEPTION_GENERAL_PROTECTION);

    set_width(32);
    GP(RDI) = 0xABCD0000;
    test.registers.segment[SEGMENT_ES].base = RAM_BASE;
    assert_int_equal(RUN(PORT, false, false, 1, 0x67, 0x6C), IO_PORT_DONE); /* DI */
    assert_int_equal(GP(RDI), 0xABCD0001);
}

static void test_segments(void **state)
{
    (void)state;
    set_width(32);
    test.registers.segment[SEGMENT_DS].base = RAM_BASE;
    test.registers.segment[SEGMENT_GS].base = RAM_BASE + 0x100;
    test.ram[1] = 0x11;
    test.ram[0x101] = 0x22;
    GP(RSI) = 1;
    assert_int_equal(RUN(PORT, true, false, 1, 0x6E), IO_PORT_DONE);
    GP(RSI) = 1;
    assert_int_equal(RUN(PORT, true, false, 1, 0x65, 0x6E), IO_PORT_DONE);
    assert_memory_equal(test.written, "\x11\x22", 2);
    /* INS goes to ES whatever the prefix */
    test.registers.segment[SEGMENT_ES].base = RAM_BASE + 0x200;
    GP(RDI) = 0;
    test.next = 0x33;
    assert_int_equal(RUN(PORT, false, false, 1, 0x65, 0x6C), IO_PORT_DONE);
    assert_int_equal(test.ram[0x200], 0x33);
    test.registers.segment[SEGMENT_ES].attributes = 0x91 | HV_SEGMENT_DB; /* read-only */
    assert_int_equal(RUN(PORT, false, false, 1, 0x6C), IO_PORT_EXCEPTION);
    assert_int_equal(test.next, 0x34);
}

static void test_memory_of_a_device(void **state)
{
    (void)state;
    test.next = 0x0A0B;
    GP(RDI) = DEVICE + 2;
    GP(RCX) = 2;
    assert_int_equal(RUN(BLOCK_PORT, false, true, 2, 0xF3, 0x66, 0x6D), IO_PORT_DONE);
    assert_memory_equal(test.memory_device + 2, "\x0B\x0A\x0C\x0A", 4);
    GP(RSI) = DEVICE + 2;
    GP(RCX) = 2;
    assert_int_equal(RUN(BLOCK_PORT, true, true, 2, 0xF3, 0x66, 0x6F), IO_PORT_DONE);
    assert_memory_equal(test.written, "\x0B\x0A\x0C\x0A", 4);
}

static void test_prefixes_are_fetched(void **state)
{
    const uint8_t code[] = {0x67, 0xF3, 0x6C};

    (void)state;
    memcpy(test.ram + 0xFFE, code, sizeof code); /* over a page boundary */
    test.registers.rip = RAM_BASE + 0xFFE;
    GP(RDI) = 0xFF00000000000000 | (RAM_BASE + 0x20);
    GP(RCX) = 2;
    test.message = (struct hv_x64_io_port_intercept_message){
        .header = {.instruction_length_cr8 = 3, .rip = test.registers.rip},
        .port_number = PORT,
        .access_info = 1 | HV_IO_PORT_STRING_OPERATION | HV_IO_PORT_REP_PREFIX,
    };
    test.next = 0x61;
    assert_int_equal(io_port_run(&test.access, &test.registers, &test.message), IO_PORT_DONE);
    assert_memory_equal(test.ram + 0x20, "ab", 2);
    assert_int_equal(test.registers.rip, RAM_BASE + 0x1001);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_single_ins_and_outs, set_up),
        cmocka_unit_test_setup(test_repeated_in_blocks, set_up),
        cmocka_unit_test_setup(test_item_across_pages, set_up),
        cmocka_unit_test_setup(test_nothing_to_repeat, set_up),
        cmocka_unit_test_setup(test_downwards, set_up),
        cmocka_unit_test_setup(test_fault_in_the_middle, set_up),
        cmocka_unit_test_setup(test_long_repetition_pauses, set_up),
        cmocka_unit_test_setup(test_address_sizes, set_up),
        cmocka_unit_test_setup(test_segments, set_up),
        cmocka_unit_test_setup(test_memory_of_a_device, set_up),
        cmocka_unit_test_setup(test_prefixes_are_fetched, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
