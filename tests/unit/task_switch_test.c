/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hardware task switches, from the SDM vol. 3A, chapter 8: table 8-1 (exceptions), table 8-2 (busy, NT, link),
 * figures 8-2 and 8-10 (the TSSs), and what 6.12 and 6.13 say of task gates and error codes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "hv/loam.h"
#include "partitions/root/worker/processor_mode.h"
#include "partitions/root/worker/task_switch.h"
#include "tests/unit/fake_hypervisor.h"

#define RAM_SIZE 0x10000u
#define GDT      0x1000u
#define LDT      0x1800u
#define OLD_TSS  0x2000u
#define NEW_TSS  0x3000u
#define STACK    0x5000u
#define POINTERS 0x6000u
#define OLD_CR3  0x7000u
#define NEW_CR3  0x8000u
#define NOWHERE  0x100000u /* no RAM */

/* Selectors */
#define CODE        0x08u
#define DATA        0x10u
#define OLD_TASK    0x18u
#define NEW_TASK    0x20u
#define LOCAL_TABLE 0x28u
#define USER_CODE   0x33u
#define USER_DATA   0x3Bu
#define CONFORMING  0x40u
#define SPECIAL     0x48u /* what a test makes of it */
#define GDT_LIMIT   0x4Fu
#define LOCAL_DATA  0x0Cu /* the second of the LDT */
#define OUTSIDE     0x50u

/* Attributes as the second word of a descriptor has them, from bit 8 on. */
#define CODE_32   0xC09Au
#define DATA_32   0xC092u
#define USER      0x60u
#define TSS_16    0x81u
#define TSS_32    0x89u
#define BUSY      0x02u
#define ACCESSED  0x01u
#define LDT_TABLE 0x82u
#define PRESENT   0x80u

/* Exceptions */
#define TS 10u
#define NP 11u
#define SS 12u
#define GP 13u
#define PF 14u

#define JMP      ((uint64_t)LOAM_TASK_SWITCH_JMP << 16 | 5u << 18)
#define CALL     ((uint64_t)LOAM_TASK_SWITCH_CALL << 16 | 7u << 18)
#define IRET     ((uint64_t)LOAM_TASK_SWITCH_IRET << 16 | 1u << 18)
#define GATE     ((uint64_t)LOAM_TASK_SWITCH_GATE << 16)
#define SOFTWARE (GATE | 2u << 18 | (uint64_t)HV_INTERRUPTION_TYPE_SOFTWARE_INTERRUPT << 22)
#define EXTERNAL (GATE | (uint64_t)HV_INTERRUPTION_TYPE_EXTERNAL << 22)
#define FAULT(vector)                                                                                                  \
    (GATE | (uint64_t)HV_INTERRUPTION_TYPE_EXCEPTION << 22 | LOAM_TASK_SWITCH_ERROR_CODE_VALID |                       \
     (uint64_t)(vector) << 26)

static struct {
    struct fake_hypervisor fake;
    struct partition partition;
    struct bus bus;
    pthread_mutex_t lock;
    uint8_t ram[RAM_SIZE];
    uint64_t absent, read_only; /* pages; 0: none */
    uint64_t absent_cr3;        /* where `absent` is; 0: everywhere */
    struct memory_environment environment;
    struct memory_access memory;
    unsigned status;
} test;

static uint64_t get(uint32_t name)
{
    return fake_register(&test.fake, 0, name);
}

static bool translate(void *context, const struct hv_vp_register_page *registers, uint64_t linear,
                      enum memory_intent intent, uint64_t *gpa, struct exception *exception)
{
    uint64_t page = linear & ~0xFFFull;
    bool absent =
        test.absent && page == test.absent && (!test.absent_cr3 || get(HV_X64_REGISTER_CR3) == test.absent_cr3);

    (void)context;
    *gpa = linear;
    if (!absent && !(test.read_only && page == test.read_only && intent == MEMORY_WRITE))
        return true;
    *exception = (struct exception){.vector = EXCEPTION_PAGE_FAULT, .has_error_code = true, .parameter = linear};
    exception->error_code = (absent ? 0 : PAGE_FAULT_PRESENT) | (intent == MEMORY_WRITE ? PAGE_FAULT_WRITE : 0) |
                            (processor_privilege(registers) == 3 ? PAGE_FAULT_USER : 0);
    return false;
}

static uint8_t *ram(void *context, uint64_t gpa, enum memory_intent intent)
{
    (void)context, (void)intent;
    return gpa < RAM_SIZE ? test.ram + gpa : NULL;
}

static void set(uint32_t name, const void *value, size_t size)
{
    struct hv_register_assoc assoc = {.name = name};

    memcpy(&assoc.value, value, size);
    assert_int_equal(partition_set_registers(&test.partition, 0, &assoc, 1), HV_STATUS_SUCCESS);
}

static void set_segment(uint32_t name, uint64_t base, uint32_t limit, uint16_t selector, uint16_t attributes)
{
    const struct hv_x64_segment_register segment = {base, limit, selector, attributes};

    set(name, &segment, sizeof segment);
}

static struct hv_x64_segment_register segment(uint32_t name)
{
    union hv_register_value value = fake_register_value(&test.fake, 0, name);
    struct hv_x64_segment_register result;

    memcpy(&result, &value, sizeof result);
    return result;
}

static uint32_t read32(uint32_t address)
{
    uint32_t value;

    memcpy(&value, test.ram + address, sizeof value);
    return value;
}

static uint16_t read16(uint32_t address)
{
    return (uint16_t)read32(address);
}

static void write32(uint32_t address, uint32_t value)
{
    memcpy(test.ram + address, &value, sizeof value);
}

static void write16(uint32_t address, uint16_t value)
{
    memcpy(test.ram + address, &value, sizeof value);
}

static void describe_at(uint32_t at, uint32_t base, uint32_t limit, uint16_t attributes)
{
    write32(at, (limit & 0xFFFF) | base << 16);
    write32(at + 4, (base & 0xFF000000) | (limit & 0xF0000) | (uint32_t)attributes << 8 | (base >> 16 & 0xFF));
}

static void describe(uint16_t selector, uint32_t base, uint32_t limit, uint16_t attributes)
{
    describe_at(GDT + (selector & ~7u), base, limit, attributes);
}

static uint8_t attributes_of(uint16_t selector)
{
    return test.ram[GDT + (selector & ~7u) + 5];
}

/* A task of the 386 in the new TSS: every field is a number of its own. */
static void write_new_task_32(void)
{
    memset(test.ram + NEW_TSS, 0, 104);
    write32(NEW_TSS + 28, NEW_CR3);
    write32(NEW_TSS + 32, 0x11110000); /* EIP */
    write32(NEW_TSS + 36, 0x202);
    for (unsigned i = 0; i < 8; i++)
        write32(NEW_TSS + 40 + 4 * i, i == 4 ? STACK + 0x100 : 0x11110001 * (i + 1));
    for (unsigned i = 0; i < 6; i++)
        write32(NEW_TSS + 72 + 4 * i, i == 1 ? CODE : DATA);
    write32(NEW_TSS + 96, LOCAL_TABLE);
}

static void write_new_task_16(void)
{
    memset(test.ram + NEW_TSS, 0, 44);
    write16(NEW_TSS + 14, 0x1110); /* IP */
    write16(NEW_TSS + 16, 0x202);
    for (unsigned i = 0; i < 8; i++)
        write16(NEW_TSS + 18 + 2 * i, i == 4 ? STACK + 0x100 : 0x1101 * (i + 1));
    for (unsigned i = 0; i < 4; i++)
        write16(NEW_TSS + 34 + 2 * i, i == 1 ? CODE : DATA);
    write16(NEW_TSS + 42, LOCAL_TABLE);
    describe(NEW_TASK, NEW_TSS, 43, TSS_16);
}

static void set_old_task(void)
{
    const struct hv_x64_table_register gdtr = {.limit = GDT_LIMIT, .base = GDT};

    for (unsigned i = 0; i < 8; i++)
        set(HV_X64_REGISTER_RAX + i, &(uint64_t){0x22220001 * (i + 1)}, 8);
    for (unsigned i = 0; i < 6; i++)
        set_segment(HV_X64_REGISTER_ES + i, 0, 0xFFFFFFFF, (uint16_t)(0x103 + i * 8), i == 1 ? 0xC0FB : 0xC0F3);
    set_segment(HV_X64_REGISTER_LDTR, 0, 0, 0, 0);
    set_segment(HV_X64_REGISTER_TR, OLD_TSS, 103, OLD_TASK, TSS_32 | BUSY);
    set(HV_X64_REGISTER_GDTR, &gdtr, sizeof gdtr);
    set(HV_X64_REGISTER_RIP, &(uint64_t){0x22220000}, 8);
    set(HV_X64_REGISTER_RFLAGS, &(uint64_t){0x4246}, 8); /* with NT */
    set(HV_X64_REGISTER_CR0, &(uint64_t){CR0_PG | CR0_PE}, 8);
    set(HV_X64_REGISTER_CR3, &(uint64_t){OLD_CR3}, 8);
    set(HV_X64_REGISTER_DR7, &(uint64_t){0x7FF}, 8);
    set(HV_REGISTER_INTERRUPT_STATE, &(uint64_t){HV_INTERRUPT_STATE_SHADOW | HV_INTERRUPT_STATE_NMI_MASKED}, 8);
}

static void begin(void)
{
    memset(&test, 0, sizeof test);
    fake_hypervisor_initialize(&test.fake);
    pthread_mutex_init(&test.lock, NULL);
    bus_initialize(&test.bus);
    test.partition.hypervisor = &test.fake.hypervisor;
    test.environment =
        (struct memory_environment){.translate = translate, .ram = ram, .bus = &test.bus, .device_lock = &test.lock};
    memory_access_initialize(&test.memory, &test.environment);
    describe(CODE, 0, 0xFFFFF, CODE_32);
    describe(DATA, 0, 0xFFFFF, DATA_32);
    describe(OLD_TASK, OLD_TSS, 103, TSS_32 | BUSY);
    describe(NEW_TASK, NEW_TSS, 103, TSS_32);
    describe(LOCAL_TABLE, LDT, 15, LDT_TABLE);
    describe(USER_CODE, 0, 0xFFFFF, CODE_32 | USER);
    describe(USER_DATA, 0, 0xFFFFF, DATA_32 | USER);
    describe(CONFORMING, 0, 0xFFFFF, CODE_32 | 4);
    describe_at(LDT + 8, 0x12345000, 0x1000, 0x4092);
    write_new_task_32();
    memset(test.ram + OLD_TSS, 0xEE, 104);
    set_old_task();
}

static int set_up(void **state)
{
    (void)state;
    begin();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fake_hypervisor_destroy(&test.fake);
    return 0;
}

static enum task_switch_result run(uint64_t how)
{
    return task_switch_run(&test.partition, 0, &test.memory, NEW_TASK | how, &test.status);
}

static void assert_no_exception(void)
{
    assert_int_equal(get(HV_REGISTER_PENDING_EVENT0), 0);
}

static void assert_exception(unsigned vector, uint32_t error_code)
{
    union hv_register_value event = fake_register_value(&test.fake, 0, HV_REGISTER_PENDING_EVENT0);

    assert_int_equal(event.low, 0x101 | vector << 16 | (uint64_t)error_code << 32);
    assert_int_equal(event.words[1], 0);
}

static void assert_page_fault(uint64_t address, uint32_t error_code)
{
    union hv_register_value event = fake_register_value(&test.fake, 0, HV_REGISTER_PENDING_EVENT0);

    assert_int_equal(event.low, 0x101 | PF << 16 | (uint64_t)error_code << 32);
    assert_int_equal(event.words[1], address);
}

static void assert_in_old_task(void)
{
    assert_int_equal(get(HV_X64_REGISTER_RIP), 0x22220000);
    assert_int_equal(get(HV_X64_REGISTER_RFLAGS), 0x4246);
    assert_int_equal(segment(HV_X64_REGISTER_TR).selector, OLD_TASK);
    assert_int_equal(get(HV_X64_REGISTER_CR3), OLD_CR3);
    assert_int_equal(get(HV_X64_REGISTER_CR0), CR0_PG | CR0_PE);
    assert_int_equal(attributes_of(OLD_TASK), TSS_32 | BUSY);
    assert_int_equal(test.ram[OLD_TSS + 32], 0xEE);
}

static void assert_in_new_task(void)
{
    assert_int_equal(segment(HV_X64_REGISTER_TR).selector, NEW_TASK);
    assert_int_equal(segment(HV_X64_REGISTER_TR).base, NEW_TSS);
    assert_true(segment(HV_X64_REGISTER_TR).attributes & BUSY);
    assert_true(get(HV_X64_REGISTER_CR0) & CR0_TS);
}

/* --- the switch itself --- */

static void test_jmp(void **state)
{
    struct hv_x64_segment_register value;

    (void)state;
    assert_int_equal(run(JMP), TASK_SWITCH_DONE);
    assert_no_exception();
    /* The old task: the instruction's successor, and nothing beyond what a switch saves. */
    assert_int_equal(read32(OLD_TSS + 28), 0xEEEEEEEE);
    assert_int_equal(read32(OLD_TSS + 32), 0x22220005);
    assert_int_equal(read32(OLD_TSS + 36), 0x4246);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(read32(OLD_TSS + 40 + 4 * i), 0x22220001 * (i + 1));
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(read32(OLD_TSS + 72 + 4 * i), 0x103 + i * 8);
    assert_int_equal(read32(OLD_TSS + 96), 0xEEEEEEEE);
    assert_int_equal(read32(OLD_TSS), 0xEEEEEEEE);
    assert_int_equal(attributes_of(OLD_TASK), TSS_32);
    /* The new one. */
    assert_int_equal(attributes_of(NEW_TASK), TSS_32 | BUSY);
    assert_int_equal(read32(NEW_TSS), 0);
    assert_int_equal(get(HV_X64_REGISTER_RIP), 0x11110000);
    assert_int_equal(get(HV_X64_REGISTER_RFLAGS), 0x202);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(get(HV_X64_REGISTER_RAX + i), i == 4 ? STACK + 0x100 : 0x11110001 * (i + 1));
    for (unsigned i = 0; i < 6; i++) {
        value = segment(HV_X64_REGISTER_ES + i);
        assert_int_equal(value.selector, i == 1 ? CODE : DATA);
        assert_int_equal(value.attributes, (i == 1 ? CODE_32 : DATA_32) | ACCESSED);
        assert_int_equal(value.limit, 0xFFFFFFFF);
        assert_int_equal(value.base, 0);
    }
    assert_int_equal(attributes_of(CODE), (CODE_32 | ACCESSED) & 0xFF);
    assert_int_equal(attributes_of(DATA), (DATA_32 | ACCESSED) & 0xFF);
    value = segment(HV_X64_REGISTER_LDTR);
    assert_true(value.selector == LOCAL_TABLE && value.base == LDT && value.limit == 15 &&
                value.attributes == LDT_TABLE);
    value = segment(HV_X64_REGISTER_TR);
    assert_true(value.selector == NEW_TASK && value.base == NEW_TSS && value.limit == 103 &&
                value.attributes == (TSS_32 | BUSY));
    assert_int_equal(get(HV_X64_REGISTER_CR3), NEW_CR3);
    assert_int_equal(get(HV_X64_REGISTER_CR0), CR0_PG | CR0_PE | CR0_TS);
    assert_int_equal(get(HV_X64_REGISTER_DR7), 0x7FF & ~0x155);
    assert_int_equal(get(HV_REGISTER_INTERRUPT_STATE), HV_INTERRUPT_STATE_NMI_MASKED);
}

/* Table 8-2: the old task stays busy, the new one is nested in it. */
static void test_call(void **state)
{
    (void)state;
    assert_int_equal(run(CALL), TASK_SWITCH_DONE);
    assert_no_exception();
    assert_int_equal(read32(OLD_TSS + 32), 0x22220007);
    assert_int_equal(attributes_of(OLD_TASK), TSS_32 | BUSY);
    assert_int_equal(attributes_of(NEW_TASK), TSS_32 | BUSY);
    assert_int_equal(read16(NEW_TSS), OLD_TASK);
    assert_int_equal(read16(NEW_TSS + 2), 0);
    assert_int_equal(get(HV_X64_REGISTER_RFLAGS), 0x4202);
    assert_int_equal(read32(NEW_TSS + 36), 0x202);
    assert_int_equal(get(HV_REGISTER_INTERRUPT_STATE), HV_INTERRUPT_STATE_NMI_MASKED);
    assert_in_new_task();
}

static void test_iret(void **state)
{
    (void)state;
    describe(NEW_TASK, NEW_TSS, 103, TSS_32 | BUSY);
    write32(NEW_TSS, 0x5A5A);
    write32(NEW_TSS + 36, 0x4202);
    assert_int_equal(run(IRET), TASK_SWITCH_DONE);
    assert_no_exception();
    assert_int_equal(read32(OLD_TSS + 32), 0x22220001);
    assert_int_equal(read32(OLD_TSS + 36), 0x246); /* without NT */
    assert_int_equal(attributes_of(OLD_TASK), TSS_32);
    assert_int_equal(attributes_of(NEW_TASK), TSS_32 | BUSY);
    assert_int_equal(read32(NEW_TSS), 0x5A5A);
    assert_int_equal(get(HV_X64_REGISTER_RFLAGS), 0x4202);
    assert_int_equal(get(HV_REGISTER_INTERRUPT_STATE), 0); /* NMIs are open again */
    assert_in_new_task();
}

static void test_external_interrupt(void **state)
{
    (void)state;
    assert_int_equal(run(EXTERNAL), TASK_SWITCH_DONE);
    assert_no_exception();
    assert_int_equal(read32(OLD_TSS + 32), 0x22220000);
    assert_int_equal(read16(NEW_TSS), OLD_TASK);
    assert_int_equal(get(HV_X64_REGISTER_RFLAGS), 0x4202);
    assert_int_equal(get(HV_X64_REGISTER_RSP), STACK + 0x100);
    assert_in_new_task();
}

static void test_software_interrupt(void **state)
{
    (void)state;
    assert_int_equal(run(SOFTWARE), TASK_SWITCH_DONE);
    assert_no_exception();
    assert_int_equal(read32(OLD_TSS + 32), 0x22220002);
    assert_in_new_task();
}

static void test_error_code(void **state)
{
    (void)state;
    assert_int_equal(run(FAULT(8) | 0x87654321ull << 32), TASK_SWITCH_DONE);
    assert_no_exception();
    assert_int_equal(read32(OLD_TSS + 32), 0x22220000);
    assert_int_equal(get(HV_X64_REGISTER_RSP), STACK + 0xFC);
    assert_int_equal(read32(STACK + 0xFC), 0x87654321);
    /* A stack of 16 bits: SP only. */
    tear_down(state);
    begin();
    describe(SPECIAL, 0, 0xFFFF, 0x92);
    write32(NEW_TSS + 56, 0xABCD0000 + STACK);
    write32(NEW_TSS + 80, SPECIAL);
    assert_int_equal(run(FAULT(13) | 0x18ull << 32), TASK_SWITCH_DONE);
    assert_no_exception();
    assert_int_equal(get(HV_X64_REGISTER_RSP), 0xABCD0000 + STACK - 4);
    assert_int_equal(read32(STACK - 4), 0x18);
    /* A TSS of 16 bits takes a word. */
    tear_down(state);
    begin();
    write_new_task_16();
    write32(STACK + 0xFC, 0xEEEEEEEE);
    assert_int_equal(run(FAULT(13) | 0x18ull << 32), TASK_SWITCH_DONE);
    assert_no_exception();
    assert_int_equal(get(HV_X64_REGISTER_RSP), STACK + 0xFE);
    assert_int_equal(read32(STACK + 0xFC), 0x0018EEEE);
}

/* Figure 8-10: words, no FS, GS, CR3. */
static void test_to_16_bits(void **state)
{
    (void)state;
    write_new_task_16();
    assert_int_equal(run(CALL), TASK_SWITCH_DONE);
    assert_no_exception();
    assert_int_equal(read32(OLD_TSS + 32), 0x22220007);
    assert_int_equal(read16(NEW_TSS), OLD_TASK);
    assert_int_equal(get(HV_X64_REGISTER_RIP), 0x1110);
    assert_int_equal(get(HV_X64_REGISTER_RFLAGS), 0x4202);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(get(HV_X64_REGISTER_RAX + i), i == 4 ? STACK + 0x100 : 0x1101 * (i + 1));
    assert_int_equal(segment(HV_X64_REGISTER_CS).selector, CODE);
    assert_int_equal(segment(HV_X64_REGISTER_DS).selector, DATA);
    assert_int_equal(segment(HV_X64_REGISTER_FS).selector, 0);
    assert_int_equal(segment(HV_X64_REGISTER_FS).attributes, 0);
    assert_int_equal(segment(HV_X64_REGISTER_GS).attributes, 0);
    assert_int_equal(segment(HV_X64_REGISTER_LDTR).selector, LOCAL_TABLE);
    assert_int_equal(segment(HV_X64_REGISTER_TR).attributes, TSS_16 | BUSY);
    assert_int_equal(get(HV_X64_REGISTER_CR3), OLD_CR3);
    assert_int_equal(attributes_of(NEW_TASK), TSS_16 | BUSY);
}

static void test_from_16_bits(void **state)
{
    (void)state;
    set_segment(HV_X64_REGISTER_TR, OLD_TSS, 43, OLD_TASK, TSS_16 | BUSY);
    describe(OLD_TASK, OLD_TSS, 43, TSS_16 | BUSY);
    assert_int_equal(run(JMP), TASK_SWITCH_DONE);
    assert_no_exception();
    assert_int_equal(read16(OLD_TSS + 12), 0xEEEE);
    assert_int_equal(read16(OLD_TSS + 14), 0x0005);
    assert_int_equal(read16(OLD_TSS + 16), 0x4246);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(read16(OLD_TSS + 18 + 2 * i), i + 1);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(read16(OLD_TSS + 34 + 2 * i), 0x103 + i * 8);
    assert_int_equal(read16(OLD_TSS + 42), 0xEEEE);
    assert_int_equal(attributes_of(OLD_TASK), TSS_16);
    assert_int_equal(get(HV_X64_REGISTER_RIP), 0x11110000);
}

/* The old and the new TSS are one: what has been saved is what the task goes on with. */
static void test_iret_to_itself(void **state)
{
    (void)state;
    assert_int_equal(task_switch_run(&test.partition, 0, &test.memory, OLD_TASK | IRET, &test.status),
                     TASK_SWITCH_DONE);
    assert_int_equal(get(HV_X64_REGISTER_RIP), 0x22220001);
    assert_int_equal(get(HV_X64_REGISTER_RCX), 0x22220001 * 2);
    assert_exception(TS, 0xEEEC); /* the LDT's selector there */
}

static void test_virtual_8086(void **state)
{
    (void)state;
    write32(NEW_TSS + 32, 0x100);
    write32(NEW_TSS + 36, 0x23202); /* VM, IOPL 3 */
    for (unsigned i = 0; i < 6; i++)
        write32(NEW_TSS + 72 + 4 * i, 0x1003 + i * 0x111); /* no selectors */
    assert_int_equal(run(JMP), TASK_SWITCH_DONE);
    assert_no_exception();
    assert_int_equal(get(HV_X64_REGISTER_RFLAGS), 0x23202);
    for (unsigned i = 0; i < 6; i++) {
        struct hv_x64_segment_register value = segment(HV_X64_REGISTER_ES + i);

        assert_true(value.selector == 0x1003 + i * 0x111 && value.base == (uint64_t)value.selector << 4 &&
                    value.limit == 0xFFFF && value.attributes == 0xF3);
    }
    assert_int_equal(segment(HV_X64_REGISTER_LDTR).selector, LOCAL_TABLE);
    /* The limit of CS holds there, too. */
    tear_down(state);
    begin();
    write32(NEW_TSS + 32, 0x10000);
    write32(NEW_TSS + 36, 0x20202);
    assert_int_equal(run(JMP), TASK_SWITCH_DONE);
    assert_exception(GP, 0);
    assert_in_new_task();
    /* A TSS of 16 bits has no VM flag. */
    tear_down(state);
    begin();
    write_new_task_16();
    assert_int_equal(run(JMP), TASK_SWITCH_DONE);
    assert_false(get(HV_X64_REGISTER_RFLAGS) & RFLAGS_VM);
}

/* Flags that the processor does not have stay out, bit 1 stays in. */
static void test_reserved_flags(void **state)
{
    (void)state;
    write32(NEW_TSS + 36, 0xFFC08028 & ~0x20000u);
    assert_int_equal(run(JMP), TASK_SWITCH_DONE);
    assert_no_exception();
    assert_int_equal(get(HV_X64_REGISTER_RFLAGS), 2);
}

static void test_debug_trap(void **state)
{
    union hv_register_value event;

    (void)state;
    write32(NEW_TSS + 100, 1);
    assert_int_equal(run(JMP), TASK_SWITCH_DONE);
    event = fake_register_value(&test.fake, 0, HV_REGISTER_PENDING_EVENT0);
    assert_int_equal(event.low, 1 | 1 << 16);
    assert_int_equal(event.words[1], 0x8000); /* BT */
    assert_in_new_task();
}

static void test_segments(void **state)
{
    (void)state;
    write32(NEW_TSS + 72, 3);          /* ES: null, whatever the RPL */
    write32(NEW_TSS + 76, USER_CODE);  /* CS */
    write32(NEW_TSS + 80, USER_DATA);  /* SS */
    write32(NEW_TSS + 84, CONFORMING); /* DS: readable code, from any privilege */
    write32(NEW_TSS + 88, LOCAL_DATA); /* FS: of the new LDT */
    write32(NEW_TSS + 92, USER_CODE);  /* GS */
    describe_at(LDT + 8, 0x12345000, 0x1000, 0x40F2);
    assert_int_equal(run(JMP), TASK_SWITCH_DONE);
    assert_no_exception();
    assert_int_equal(segment(HV_X64_REGISTER_ES).selector, 3);
    assert_int_equal(segment(HV_X64_REGISTER_ES).attributes, 0);
    assert_int_equal(segment(HV_X64_REGISTER_CS).attributes, CODE_32 | USER | ACCESSED);
    assert_int_equal(segment(HV_X64_REGISTER_SS).attributes, DATA_32 | USER | ACCESSED);
    assert_int_equal(segment(HV_X64_REGISTER_DS).selector, CONFORMING);
    assert_int_equal(segment(HV_X64_REGISTER_FS).base, 0x12345000);
    assert_int_equal(segment(HV_X64_REGISTER_FS).limit, 0x1000);
    assert_int_equal(test.ram[LDT + 8 + 5], 0xF3);
    assert_int_equal(segment(HV_X64_REGISTER_GS).selector, USER_CODE);
}

/* --- paging --- */

static void test_cr3_without_paging(void **state)
{
    (void)state;
    set(HV_X64_REGISTER_CR0, &(uint64_t){CR0_PE}, 8);
    assert_int_equal(run(JMP), TASK_SWITCH_DONE);
    assert_no_exception();
    assert_int_equal(get(HV_X64_REGISTER_CR3), OLD_CR3);
    assert_int_equal(get(HV_X64_REGISTER_CR0), CR0_PE | CR0_TS);
}

/* The TSSs are found by the old tables, what their selectors mean by the new ones. */
static void test_which_page_tables(void **state)
{
    (void)state;
    test.absent = GDT;
    test.absent_cr3 = NEW_CR3;
    assert_int_equal(run(JMP), TASK_SWITCH_DONE);
    assert_page_fault(GDT + LOCAL_TABLE, 0);
    assert_in_new_task();
    assert_int_equal(get(HV_X64_REGISTER_RIP), 0x11110000);
    tear_down(state);
    begin();
    test.absent = NEW_TSS;
    test.absent_cr3 = NEW_CR3;
    assert_int_equal(run(JMP), TASK_SWITCH_DONE);
    assert_no_exception();
}

static void test_pae(void **state)
{
    static const struct {
        uint64_t entry;
        bool good;
    } entries[] = {
        {0x0000000000009001, true },
        {0xFFFFFFFFFFFFFFFE, true }, /* not present */
        {0x0000000000009003, false},
        {0x0000000000009021, false},
        {0x8000000000009001, false},
        {0x000000FFFFFFF001, true },
        {0x0000010000009001, false}, /* the fake has 40 bits */
    };

    for (unsigned i = 0; i < sizeof entries / sizeof entries[0]; i++) {
        set(HV_X64_REGISTER_CR4, &(uint64_t){CR4_PAE}, 8);
        write32(NEW_TSS + 28, POINTERS + 0x3F); /* aligned to 32 bytes */
        memcpy(test.ram + POINTERS + 0x20 + 24, &entries[i].entry, 8);
        assert_int_equal(run(JMP), TASK_SWITCH_DONE);
        if (entries[i].good)
            assert_no_exception();
        else
            assert_exception(GP, 0);
        assert_int_equal(get(HV_X64_REGISTER_CR3), entries[i].good ? POINTERS + 0x3F : OLD_CR3);
        assert_in_new_task();
        tear_down(state);
        begin();
    }
    set(HV_X64_REGISTER_CR4, &(uint64_t){CR4_PAE}, 8);
    write32(NEW_TSS + 28, NOWHERE);
    assert_int_equal(run(JMP), TASK_SWITCH_DONE);
    assert_exception(GP, 0);
}

/* The processor's own accesses are a supervisor's, whatever the old task is, and nothing has happened before them. */
static void test_page_faults_in_the_old_task(void **state)
{
    static const struct {
        uint64_t how, absent, read_only, address;
        uint32_t error_code;
    } faults[] = {
        {JMP,  OLD_TSS, 0,       OLD_TSS + 32,   PAGE_FAULT_WRITE                     },
        {JMP,  0,       OLD_TSS, OLD_TSS + 32,   PAGE_FAULT_WRITE | PAGE_FAULT_PRESENT},
        {JMP,  NEW_TSS, 0,       NEW_TSS,        0                                    },
        {CALL, 0,       NEW_TSS, NEW_TSS,        PAGE_FAULT_WRITE | PAGE_FAULT_PRESENT},
        {JMP,  GDT,     0,       GDT + NEW_TASK, 0                                    },
        {JMP,  0,       GDT,     GDT + OLD_TASK, PAGE_FAULT_WRITE | PAGE_FAULT_PRESENT},
        {CALL, 0,       GDT,     GDT + NEW_TASK, PAGE_FAULT_WRITE | PAGE_FAULT_PRESENT},
    };

    for (unsigned i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        test.absent = faults[i].absent;
        test.read_only = faults[i].read_only;
        assert_int_equal(run(faults[i].how), TASK_SWITCH_DONE);
        assert_page_fault(faults[i].address, faults[i].error_code);
        assert_in_old_task();
        assert_int_equal(attributes_of(NEW_TASK), TSS_32);
        tear_down(state);
        begin();
    }
    test.read_only = NEW_TSS; /* which JMP does not write to */
    assert_int_equal(run(JMP), TASK_SWITCH_DONE);
    assert_no_exception();
}

static void test_tss_over_two_pages(void **state)
{
    (void)state;
    memmove(test.ram + NEW_TSS + 0xFF0, test.ram + NEW_TSS, 104);
    describe(NEW_TASK, NEW_TSS + 0xFF0, 103, TSS_32);
    assert_int_equal(run(CALL), TASK_SWITCH_DONE);
    assert_no_exception();
    assert_int_equal(get(HV_X64_REGISTER_RIP), 0x11110000);
    assert_int_equal(read16(NEW_TSS + 0xFF0), OLD_TASK);
    tear_down(state);
    begin();
    memmove(test.ram + NEW_TSS + 0xFF0, test.ram + NEW_TSS, 104);
    describe(NEW_TASK, NEW_TSS + 0xFF0, 103, TSS_32);
    test.absent = NEW_TSS + 0x1000;
    assert_int_equal(run(CALL), TASK_SWITCH_DONE);
    assert_page_fault(NEW_TSS + 0x1000, 0);
    assert_in_old_task();
}

/* --- table 8-1 --- */

static void test_exceptions_of_the_descriptor(void **state)
{
    static const struct {
        uint64_t how;
        uint16_t selector;
        uint32_t limit;
        uint16_t attributes;
        unsigned vector;
        uint32_t error_code;
    } cases[] = {
  /* a selector of the GDT, within its limit */
        {JMP,      OUTSIDE,     103, TSS_32,                     GP, OUTSIDE    },
        {CALL,     OUTSIDE | 3, 103, TSS_32,                     GP, OUTSIDE    },
        {IRET,     OUTSIDE,     103, TSS_32 | BUSY,              TS, OUTSIDE    },
        {EXTERNAL, OUTSIDE,     103, TSS_32,                     GP, OUTSIDE | 1},
        {SOFTWARE, OUTSIDE,     103, TSS_32,                     GP, OUTSIDE    },
        {JMP,      SPECIAL | 4, 103, TSS_32,                     GP, SPECIAL | 4},
        {IRET,     SPECIAL | 4, 103, TSS_32 | BUSY,              TS, SPECIAL | 4},
        {JMP,      0,           103, TSS_32,                     GP, 0          },
        {IRET,     0,           103, TSS_32,                     TS, 0          },
 /* present */
        {JMP,      SPECIAL,     103, TSS_32 & ~PRESENT,          NP, SPECIAL    },
        {IRET,     SPECIAL,     103, (TSS_32 | BUSY) & ~PRESENT, NP, SPECIAL    },
        {EXTERNAL, SPECIAL,     103, TSS_32 & ~PRESENT,          NP, SPECIAL | 1},
 /* busy for IRET only, and a TSS at all */
        {JMP,      SPECIAL,     103, TSS_32 | BUSY,              GP, SPECIAL    },
        {CALL,     SPECIAL,     103, TSS_16 | BUSY,              GP, SPECIAL    },
        {EXTERNAL, SPECIAL,     103, TSS_32 | BUSY,              GP, SPECIAL | 1},
        {IRET,     SPECIAL,     103, TSS_32,                     TS, SPECIAL    },
        {JMP,      SPECIAL,     103, DATA_32,                    GP, SPECIAL    },
        {JMP,      SPECIAL,     103, LDT_TABLE,                  GP, SPECIAL    },
        {JMP,      SPECIAL,     103, TSS_32 | 0x10,              GP, SPECIAL    },
 /* its limit: 67h, and 2Bh of the 286's */
        {JMP,      SPECIAL,     102, TSS_32,                     TS, SPECIAL    },
        {IRET,     SPECIAL,     102, TSS_32 | BUSY,              TS, SPECIAL    },
        {SOFTWARE, SPECIAL,     42,  TSS_16,                     TS, SPECIAL    },
        {EXTERNAL, SPECIAL,     42,  TSS_16,                     TS, SPECIAL | 1},
    };

    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        describe(SPECIAL, NEW_TSS, cases[i].limit, cases[i].attributes);
        assert_int_equal(
            task_switch_run(&test.partition, 0, &test.memory, cases[i].how | cases[i].selector, &test.status),
            TASK_SWITCH_DONE);
        assert_exception(cases[i].vector, cases[i].error_code);
        assert_in_old_task();
        tear_down(state);
        begin();
    }
    /* The old TSS has to hold what is saved. */
    set_segment(HV_X64_REGISTER_TR, OLD_TSS, 94, OLD_TASK, TSS_32 | BUSY);
    assert_int_equal(run(JMP), TASK_SWITCH_DONE);
    assert_exception(TS, OLD_TASK);
    assert_in_old_task();
}

/* Of the segments: raised in the new task, whose selectors are all there. */
static void test_exceptions_of_segments(void **state)
{
    enum { ES = 72, CS = 76, STACK_SEGMENT = 80, DS = 84, FS = 88, GS = 92, LDTR = 96 };
    static const struct {
        unsigned field;
        uint16_t selector;
        uint16_t attributes; /* of SPECIAL */
        unsigned vector;
    } cases[] = {
        {LDTR,          OUTSIDE,        0,                    TS},
        {LDTR,          SPECIAL | 4,    LDT_TABLE,            TS},
        {LDTR,          SPECIAL,        TSS_32,               TS},
        {LDTR,          SPECIAL,        LDT_TABLE | 0x10,     TS},
        {LDTR,          SPECIAL,        LDT_TABLE & ~PRESENT, TS},
        {CS,            0,              0,                    TS},
        {CS,            OUTSIDE,        0,                    TS},
        {CS,            DATA,           0,                    TS},
        {CS,            NEW_TASK,       0,                    TS},
        {CS,            CODE | 3,       0,                    TS}, /* DPL is not RPL */
        {CS,            SPECIAL,        CODE_32 | USER | 4,   TS}, /* conforming: DPL above RPL */
        {CS,            SPECIAL,        CODE_32 & ~PRESENT,   NP},
        {STACK_SEGMENT, 0,              0,                    TS},
        {STACK_SEGMENT, OUTSIDE,        0,                    TS},
        {STACK_SEGMENT, CODE,           0,                    TS},
        {STACK_SEGMENT, SPECIAL,        DATA_32 & ~2,         TS}, /* read-only */
        {STACK_SEGMENT, SPECIAL,        DATA_32 & ~PRESENT,   SS},
        {STACK_SEGMENT, SPECIAL,        DATA_32 | USER,       TS}, /* DPL is not CPL */
        {STACK_SEGMENT, DATA | 3,       0,                    TS}, /* RPL is not CPL */
        {ES,            OUTSIDE,        0,                    TS},
        {DS,            LOCAL_DATA + 8, 0,                    TS}, /* behind the LDT */
        {FS,            NEW_TASK,       0,                    TS},
        {GS,            SPECIAL,        CODE_32 & ~2,         TS}, /* code that cannot be read */
        {DS,            SPECIAL,        DATA_32 & ~PRESENT,   NP},
        {ES,            DATA | 1,       0,                    TS}, /* RPL above DPL */
    };

    for (unsigned external = 0; external < 2; external++)
        for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            describe(SPECIAL, 0, 0xFFFFF, cases[i].attributes);
            write32(NEW_TSS + cases[i].field, cases[i].selector);
            assert_int_equal(run(external ? EXTERNAL : JMP), TASK_SWITCH_DONE);
            assert_exception(cases[i].vector, (cases[i].selector & 0xFFFCu) | external);
            assert_in_new_task();
            assert_int_equal(get(HV_X64_REGISTER_RIP), 0x11110000);
            assert_int_equal(get(HV_X64_REGISTER_CR3), NEW_CR3);
            if (cases[i].field < LDTR)
                assert_int_equal(segment(HV_X64_REGISTER_ES + (cases[i].field - ES) / 4).selector, cases[i].selector);
            /* What was not loaded is nothing that a processor refuses to be entered with. */
            assert_int_equal(segment(HV_X64_REGISTER_CS).attributes & 0x9B, 0x9B);
            if (cases[i].field != CS)
                assert_int_equal(segment(HV_X64_REGISTER_ES + 1).attributes & 0x60, 0);
            tear_down(state);
            begin();
        }
    /* A program's data segment that only the kernel may use. */
    write32(NEW_TSS + 76, USER_CODE);
    write32(NEW_TSS + 80, USER_DATA);
    for (unsigned i = 0; i < 4; i++)
        write32(NEW_TSS + (i ? 80 + 4 * i : 72), i == 2 ? DATA : USER_DATA);
    assert_int_equal(run(JMP), TASK_SWITCH_DONE);
    assert_exception(TS, DATA);
    assert_int_equal(segment(HV_X64_REGISTER_DS).attributes, DATA_32 | USER | ACCESSED);
    assert_int_equal(segment(HV_X64_REGISTER_FS).attributes, 0);
}

static void test_ip_beyond_the_code_segment(void **state)
{
    (void)state;
    describe(SPECIAL, 0, 0xFFF, 0x409A);
    write32(NEW_TSS + 76, SPECIAL);
    write32(NEW_TSS + 32, 0x1000);
    assert_int_equal(run(JMP), TASK_SWITCH_DONE);
    assert_exception(GP, 0);
    assert_in_new_task();
    tear_down(state);
    begin();
    describe(SPECIAL, 0, 0xFFF, 0x409A);
    write32(NEW_TSS + 76, SPECIAL);
    write32(NEW_TSS + 32, 0x1000);
    assert_int_equal(run(EXTERNAL), TASK_SWITCH_DONE);
    assert_exception(GP, 1);
    tear_down(state);
    begin();
    describe(SPECIAL, 0, 0xFFF, 0x409A);
    write32(NEW_TSS + 76, SPECIAL);
    write32(NEW_TSS + 32, 0xFFF);
    assert_int_equal(run(JMP), TASK_SWITCH_DONE);
    assert_no_exception();
}

/* An exception with an error code that is no contributory one does not exist: #AC, 17, is. */
static void test_no_room_for_the_error_code(void **state)
{
    (void)state;
    describe(SPECIAL, 0, STACK / 2, 0x4092);
    write32(NEW_TSS + 80, SPECIAL);
    assert_int_equal(run(FAULT(17)), TASK_SWITCH_DONE);
    assert_exception(SS, 1);
    assert_in_new_task();
    assert_int_equal(get(HV_X64_REGISTER_RSP), STACK + 0x100);
    tear_down(state);
    begin();
    test.absent = STACK;
    assert_int_equal(run(FAULT(17)), TASK_SWITCH_DONE);
    assert_page_fault(STACK + 0xFC, PAGE_FAULT_WRITE);
    tear_down(state);
    begin(); /* a program pushes as one */
    write32(NEW_TSS + 76, USER_CODE);
    for (unsigned field = 72; field <= 92; field += 4)
        if (field != 76)
            write32(NEW_TSS + field, USER_DATA);
    test.absent = STACK;
    assert_int_equal(run(FAULT(17)), TASK_SWITCH_DONE);
    assert_page_fault(STACK + 0xFC, PAGE_FAULT_WRITE | PAGE_FAULT_USER);
    assert_int_equal(get(HV_X64_REGISTER_RSP), STACK + 0x100);
}

/* Vol. 3A, table 6-5. */
static void test_double_faults(void **state)
{
    static const struct {
        unsigned first;
        bool page_fault;  /* the second; else #NP */
        unsigned becomes; /* 0: itself, 255: a triple fault */
    } cases[] = {
        {0,  false, 8  },
        {10, false, 8  },
        {11, false, 8  },
        {12, false, 8  },
        {13, false, 8  },
        {14, false, 8  },
        {14, true,  8  },
        {13, true,  0  },
        {0,  true,  0  },
        {1,  false, 0  },
        {6,  false, 0  },
        {17, true,  0  },
        {8,  false, 255},
        {8,  true,  255},
    };

    for (unsigned new_task = 0; new_task < 2; new_task++)
        for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            enum task_switch_result expected = cases[i].becomes == 255 ? TASK_SWITCH_SHUTDOWN : TASK_SWITCH_DONE;

            describe(SPECIAL, 0, 0xFFFFF, DATA_32 & ~PRESENT);
            if (cases[i].page_fault)
                test.absent = GDT;
            else if (new_task)
                write32(NEW_TSS + 84, SPECIAL);
            else
                describe(NEW_TASK, NEW_TSS, 103, TSS_32 & ~PRESENT);
            test.absent_cr3 = new_task ? NEW_CR3 : 0;
            assert_int_equal(run(FAULT(cases[i].first)), expected);
            if (cases[i].becomes == 8)
                assert_exception(8, 0);
            else if (cases[i].becomes == 0 && cases[i].page_fault)
                assert_page_fault(GDT + (new_task ? LOCAL_TABLE : NEW_TASK), 0);
            else if (cases[i].becomes == 0)
                assert_exception(NP, (new_task ? SPECIAL : NEW_TASK) | 1);
            tear_down(state);
            begin();
        }
}

static void test_refused_by_the_hypervisor(void **state)
{
    (void)state;
    test.fake.refused_call = HVCALL_GET_VP_REGISTERS;
    test.fake.refused_status = HV_STATUS_INVALID_VP_INDEX;
    assert_int_equal(run(JMP), TASK_SWITCH_REFUSED);
    assert_int_equal(test.status, HV_STATUS_INVALID_VP_INDEX);
    test.fake.refused_call = HVCALL_SET_VP_REGISTERS;
    test.fake.refused_status = HV_STATUS_INVALID_REGISTER_VALUE;
    assert_int_equal(run(JMP), TASK_SWITCH_REFUSED);
    assert_int_equal(test.status, HV_STATUS_INVALID_REGISTER_VALUE);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_jmp),
        TEST(test_call),
        TEST(test_iret),
        TEST(test_external_interrupt),
        TEST(test_software_interrupt),
        TEST(test_error_code),
        TEST(test_to_16_bits),
        TEST(test_from_16_bits),
        TEST(test_iret_to_itself),
        TEST(test_virtual_8086),
        TEST(test_reserved_flags),
        TEST(test_debug_trap),
        TEST(test_segments),
        TEST(test_cr3_without_paging),
        TEST(test_which_page_tables),
        TEST(test_pae),
        TEST(test_page_faults_in_the_old_task),
        TEST(test_tss_over_two_pages),
        TEST(test_exceptions_of_the_descriptor),
        TEST(test_exceptions_of_segments),
        TEST(test_ip_beyond_the_code_segment),
        TEST(test_no_room_for_the_error_code),
        TEST(test_double_faults),
        TEST(test_refused_by_the_hypervisor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
