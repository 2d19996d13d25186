/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VPs and interrupts over a scripted hypervisor: messages answered one by one, then threads. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "hv/loam.h"
#include "partitions/root/worker/processor_mode.h"
#include "partitions/root/worker/vp.h"
#include "tests/unit/fake_hypervisor.h"

#define DEVICE_PORT   0x300
#define DEVICE_MEMORY 0xFEB00000ull
#define RAM_SIZE      0x4000ull

static struct {
    struct fake_hypervisor fake;
    struct partition partition;
    struct bus bus;
    pthread_mutex_t lock;
    struct ioapic ioapic;
    struct i8259_pair pic;
    struct interrupts interrupts;
    struct vp_group group;
    uint8_t ram[RAM_SIZE];
    uint64_t value; /* of the device's register */
    unsigned triple_faults;
    uint32_t fault_of; /* the VP of the last */
    char reason[VP_REASON_SIZE];
} test;

static uint64_t read_value(void *device, uint64_t offset, unsigned size)
{
    (void)device;
    (void)offset;
    (void)size;
    return test.value;
}

static void write_value(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    (void)device;
    (void)offset;
    (void)size;
    test.value = value;
}

static const struct bus_operations operations = {.read = read_value, .write = write_value};

static uint8_t *ram(void *context, uint64_t gpa, enum memory_intent intent)
{
    (void)context;
    (void)intent;
    return gpa < RAM_SIZE ? test.ram + gpa : NULL;
}

static void triple_fault(void *context, uint32_t vp)
{
    (void)context;
    test.triple_faults++;
    test.fault_of = vp;
    vp_group_hold(&test.group);
}

static void failed(void *context, const char *reason)
{
    (void)context;
    snprintf(test.reason, sizeof test.reason, "%s", reason);
    vp_group_hold(&test.group);
}

static void attract(void *context)
{
    (void)context;
    vp_attract(&test.group.vps[0], VP_ATTENTION_INTERRUPT);
}

static void create(unsigned vps)
{
    const struct vp_group_configuration configuration = {
        .partition = &test.partition,
        .bus = &test.bus,
        .device_lock = &test.lock,
        .interrupts = &test.interrupts,
        .ram = ram,
        .triple_fault = triple_fault,
        .failed = failed,
    };
    const char *step;

    memset(&test, 0, sizeof test);
    fake_hypervisor_initialize(&test.fake);
    pthread_mutex_init(&test.lock, NULL);
    bus_initialize(&test.bus);
    bus_add(&test.bus, BUS_PORTS, DEVICE_PORT, 4, &operations, NULL, "device");
    bus_add(&test.bus, BUS_MEMORY, DEVICE_MEMORY, 0x1000, &operations, NULL, "device");
    assert_int_equal(partition_create(&test.partition, &test.fake.hypervisor, &step), 0);
    test.interrupts = (struct interrupts){.partition = &test.partition,
                                          .device_lock = &test.lock,
                                          .ioapic = &test.ioapic,
                                          .pic = &test.pic,
                                          .attract = attract};
    assert_true(ioapic_initialize(&test.ioapic, &test.bus, interrupts_deliver, &test.interrupts));
    assert_true(i8259_initialize(&test.pic, &test.bus, interrupts_set_request, &test.interrupts));
    assert_true(vp_group_initialize(&test.group, vps, &configuration, test.reason));
    for (unsigned i = 0; i < vps; i++) {
        struct hv_vp_register_page *page = test.group.vps[i].registers;

        page->isvalid = 1;
        page->cr0 = CR0_PE | CR0_PG;
        page->efer = EFER_LMA;
        page->rflags = 2;
        page->segment[SEGMENT_CS].attributes = 0x9B | HV_SEGMENT_L;
        page->rip = 0x1000;
    }
}

static int set_up(void **state)
{
    (void)state;
    create(1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    vp_group_end(&test.group);
    fake_hypervisor_destroy(&test.fake);
    return 0;
}

static struct vp *vp(void)
{
    return &test.group.vps[0];
}

static uint64_t reg(uint32_t name)
{
    return fake_register(&test.fake, 0, name);
}

/* Fills the header that all intercepts begin with. */
static struct hv_x64_intercept_message_header header(bool write, unsigned length)
{
    const struct hv_vp_register_page *page = vp()->registers;

    return (struct hv_x64_intercept_message_header){
        .instruction_length_cr8 = (uint8_t)length,
        .intercept_access_type = write,
        .execution_state = HV_EXECUTION_CR0_PE | HV_EXECUTION_EFER_LMA,
        .rip = page->rip,
        .rflags = page->rflags,
    };
}

static void dispatch(enum hv_message_type type, const void *payload, size_t size)
{
    struct hv_message *message = &test.fake.vps[0].message;

    message->header.message_type = type;
    memcpy(message->payload, payload, size);
    vp_dispatch(vp());
}

static void dispatch_port(bool write, uint16_t port, unsigned size)
{
    const struct hv_x64_io_port_intercept_message message = {
        .header = header(write, 2), .port_number = port, .access_info = (uint8_t)size};

    dispatch(HVMSG_X64_IO_PORT_INTERCEPT, &message, sizeof message);
}

static void test_partition_is_made_as_intended(void **state)
{
    const struct {
        uint32_t code;
        uint64_t value;
    } expected[] = {
        {HV_PARTITION_PROPERTY_SYNTHETIC_PROC_FEATURES,  0                                },
        {LOAM_PARTITION_PROPERTY_APIC_EOI_MESSAGES,      1                                },
        {HV_PARTITION_PROPERTY_UNIMPLEMENTED_MSR_ACTION, HV_UNIMPLEMENTED_MSR_ACTION_FAULT},
        {HV_PARTITION_PROPERTY_TIME_FREEZE,              1                                },
    };
    bool found;

    (void)state;
    assert_int_equal(test.fake.creation_flags, MSHV_PT_LAPIC | MSHV_PT_X2APIC | MSHV_PT_GPA_SUPER_PAGES);
    assert_true(test.fake.initialized);
    for (unsigned i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        assert_int_equal(fake_property(&test.fake, expected[i].code, &found), expected[i].value);
        assert_true(found);
        assert_true(test.fake.properties[i].before_initialize);
    }
}

static void test_out_and_in(void **state)
{
    struct hv_vp_register_page *page = vp()->registers;

    (void)state;
    page->gp_registers[GP_RAX] = 0x1122334455667788;
    dispatch_port(true, DEVICE_PORT, 2);
    assert_int_equal(test.value, 0x7788);
    assert_int_equal(page->rip, 0x1002);
    assert_int_equal(page->dirty, HV_REGISTER_PAGE_DIRTY_IP);
    test.value = 0xFFEEDDCC;
    dispatch_port(false, DEVICE_PORT, 1);
    assert_int_equal(page->gp_registers[GP_RAX], 0x11223344556677CC);
    dispatch_port(false, DEVICE_PORT, 2);
    assert_int_equal(page->gp_registers[GP_RAX], 0x112233445566DDCC);
    dispatch_port(false, DEVICE_PORT, 4); /* a 32-bit result clears the upper half */
    assert_int_equal(page->gp_registers[GP_RAX], 0xFFEEDDCC);
    assert_int_equal(page->dirty, HV_REGISTER_PAGE_DIRTY_IP | HV_REGISTER_PAGE_DIRTY_GP);
    assert_int_equal(vp()->port_accesses, 4);
    dispatch_port(false, 0x9999, 4);
    assert_int_equal(page->gp_registers[GP_RAX], 0xFFFFFFFF);
    assert_int_equal(test.bus.counters[BUS_PORTS].unclaimed_reads, 1);
    assert_int_equal(test.fake.vps[0].register_count, 0); /* not one hypercall */
}

static void test_end_of_instruction(void **state)
{
    struct hv_x64_io_port_intercept_message message = {.port_number = DEVICE_PORT, .access_info = 1};

    (void)state;
    vp()->registers->interrupt_state = HV_INTERRUPT_STATE_SHADOW | HV_INTERRUPT_STATE_NMI_MASKED;
    message.header = header(true, 1);
    message.header.execution_state |= HV_EXECUTION_INTERRUPT_SHADOW;
    dispatch(HVMSG_X64_IO_PORT_INTERCEPT, &message, sizeof message);
    assert_int_equal(fake_register_sets(&test.fake, 0, HV_REGISTER_INTERRUPT_STATE), 1);
    assert_int_equal(reg(HV_REGISTER_INTERRUPT_STATE), HV_INTERRUPT_STATE_NMI_MASKED);

    vp()->registers->rflags = 2 | RFLAGS_TF | RFLAGS_RF;
    dispatch_port(true, DEVICE_PORT, 1);
    assert_int_equal(vp()->registers->rflags, 2 | RFLAGS_TF);
    assert_true(vp()->registers->dirty & HV_REGISTER_PAGE_DIRTY_FLAGS);
    assert_int_equal(fake_register_value(&test.fake, 0, HV_REGISTER_PENDING_EVENT0).words[0],
                     1 | EXCEPTION_DEBUG << 16);
    assert_int_equal(fake_register_value(&test.fake, 0, HV_REGISTER_PENDING_EVENT0).words[1], 0x4000);
}

static struct hv_x64_memory_intercept_message memory_message(bool write, uint64_t gpa, const uint8_t *bytes,
                                                             size_t count)
{
    struct hv_x64_memory_intercept_message message = {
        .header = header(write, 0), .instruction_byte_count = (uint8_t)count, .guest_physical_address = gpa};

    memcpy(message.instruction_bytes, bytes, count);
    return message;
}

static void test_memory_intercept(void **state)
{
    const uint8_t store[] = {0x89, 0x0B}; /* mov [rbx], ecx */
    struct hv_x64_memory_intercept_message message = memory_message(true, DEVICE_MEMORY, store, sizeof store);

    (void)state;
    vp()->registers->gp_registers[GP_RBX] = DEVICE_MEMORY;
    vp()->registers->gp_registers[GP_RCX] = 0xABCD;
    dispatch(HVMSG_UNMAPPED_GPA, &message, sizeof message);
    assert_int_equal(test.value, 0xABCD);
    assert_int_equal(vp()->registers->rip, 0x1002);
    assert_int_equal(test.fake.translations, 0);
    dispatch(HVMSG_GPA_INTERCEPT, &message, sizeof message);
    assert_int_equal(vp()->memory_accesses, 2);
}

static void test_page_fault_reaches_the_guest(void **state)
{
    const uint8_t move[] = {0xA4}; /* movsb from the device to a page that is not there */
    struct hv_x64_memory_intercept_message message = memory_message(false, DEVICE_MEMORY, move, sizeof move);
    union hv_register_value event;

    (void)state;
    vp()->registers->gp_registers[GP_RSI] = DEVICE_MEMORY;
    vp()->registers->gp_registers[GP_RDI] = 0x3FFFF010;
    vp()->registers->cr4 = CR4_SMAP;
    test.fake.forbidden_page = 0x3FFFF;
    test.fake.forbidden_result = HV_TRANSLATE_GVA_PAGE_NOT_PRESENT;
    dispatch(HVMSG_UNMAPPED_GPA, &message, sizeof message);
    event = fake_register_value(&test.fake, 0, HV_REGISTER_PENDING_EVENT0);
    assert_int_equal(event.words[0],
                     1 | 0x100 | EXCEPTION_PAGE_FAULT << 16 | (uint64_t)PAGE_FAULT_WRITE << 32);
    assert_int_equal(event.words[1], 0x3FFFF010);
    assert_int_equal(vp()->registers->rip, 0x1000);
    assert_int_equal(test.fake.last_translate_flags,
                     HV_TRANSLATE_VALIDATE_READ | HV_TRANSLATE_VALIDATE_WRITE |
                         HV_TRANSLATE_SET_PAGE_TABLE_BITS | HV_TRANSLATE_SUPERVISOR_ACCESS |
                         HV_TRANSLATE_ENFORCE_SMAP);

    test.fake.forbidden_result = HV_TRANSLATE_GVA_PRIVILEGE_VIOLATION;
    vp()->registers->segment[SEGMENT_SS].attributes |= 3 << HV_SEGMENT_DPL_SHIFT;
    dispatch(HVMSG_UNMAPPED_GPA, &message, sizeof message);
    event = fake_register_value(&test.fake, 0, HV_REGISTER_PENDING_EVENT0);
    assert_int_equal(event.words[0] >> 32, PAGE_FAULT_WRITE | PAGE_FAULT_PRESENT | PAGE_FAULT_USER);
    assert_true(test.fake.last_translate_flags & HV_TRANSLATE_USER_ACCESS);

    /* Tables in memory that is not there read as all ones: reserved bits. */
    test.fake.forbidden_result = HV_TRANSLATE_GVA_GPA_UNMAPPED;
    test.fake.forbidden_gpa_is_zero = true;
    dispatch(HVMSG_UNMAPPED_GPA, &message, sizeof message);
    event = fake_register_value(&test.fake, 0, HV_REGISTER_PENDING_EVENT0);
    assert_int_equal(event.words[0] >> 32,
                     PAGE_FAULT_WRITE | PAGE_FAULT_PRESENT | PAGE_FAULT_USER | PAGE_FAULT_RESERVED);
}

static void test_jump_to_nowhere_is_an_invalid_opcode(void **state)
{
    struct hv_x64_memory_intercept_message message = {.header = header(false, 0)};

    (void)state;
    message.header.intercept_access_type = HV_INTERCEPT_ACCESS_EXECUTE;
    dispatch(HVMSG_UNMAPPED_GPA, &message, sizeof message);
    assert_int_equal(reg(HV_REGISTER_PENDING_EVENT0), 1 | EXCEPTION_INVALID_OPCODE << 16);
    assert_string_equal(test.reason, "");
}

static void test_what_cannot_be_emulated_is_named(void **state)
{
    const uint8_t lgdt[] = {0x0F, 0x01, 0x13};
    struct hv_x64_memory_intercept_message message =
        memory_message(false, DEVICE_MEMORY + 8, lgdt, sizeof lgdt);

    (void)state;
    message.header.cs.selector = 0x10;
    vp()->registers->gp_registers[GP_RBX] = DEVICE_MEMORY + 8;
    dispatch(HVMSG_UNMAPPED_GPA, &message, sizeof message);
    assert_string_equal(test.reason,
                        "VP 0: cannot emulate the instruction 0f 01 13 at 0x10:0x1000 (64-bit code) on "
                        "device memory at 0xfeb00008");
    assert_int_equal(vp()->registers->rip, 0x1000);
}

/* task_switch_test has the switch; here is where its three ends lead. */
static void test_task_switch(void **state)
{
    const struct hv_x64_table_register gdtr = {.limit = 0xF, .base = 0x100};
    struct hv_register_assoc table = {.name = HV_X64_REGISTER_GDTR};
    struct hv_unsupported_feature_message feature = {.feature_code = HV_UNSUPPORTED_FEATURE_TASK_SWITCH_TSS,
                                                     .feature_parameter = 0x18 | LOAM_TASK_SWITCH_JMP << 16};

    (void)state;
    memcpy(&table.value, &gdtr, sizeof gdtr);
    assert_int_equal(partition_set_registers(&test.partition, 0, &table, 1), HV_STATUS_SUCCESS);
    dispatch(HVMSG_UNSUPPORTED_FEATURE, &feature, sizeof feature); /* beyond the GDT */
    assert_int_equal(fake_register(&test.fake, 0, HV_REGISTER_PENDING_EVENT0), 0x101 | 13u << 16 | 0x18ull << 32);
    assert_string_equal(test.reason, "");
    assert_int_equal(test.triple_faults, 0);
    feature.feature_parameter = 0x18 | LOAM_TASK_SWITCH_GATE << 16 |
                                HV_INTERRUPTION_TYPE_EXCEPTION << LOAM_TASK_SWITCH_TYPE_SHIFT |
                                8u << LOAM_TASK_SWITCH_EXCEPTION_SHIFT;
    dispatch(HVMSG_UNSUPPORTED_FEATURE, &feature, sizeof feature); /* a double fault */
    assert_int_equal(test.triple_faults, 1);
    assert_string_equal(test.reason, "");
    test.fake.refused_call = HVCALL_GET_VP_REGISTERS;
    test.fake.refused_status = HV_STATUS_INVALID_VP_STATE;
    dispatch(HVMSG_UNSUPPORTED_FEATURE, &feature, sizeof feature);
    assert_string_equal(test.reason, "VP 0: the hypervisor refused a register in a task switch (status 0x15)");
}

static void test_messages_without_an_answer_stop_the_machine(void **state)
{
    const struct hv_x64_msr_intercept_message message = {.msr_number = 0x10};
    const struct hv_unsupported_feature_message feature = {.feature_code = 20, .feature_parameter = 0x7D};
    struct hv_x64_memory_intercept_message delivery = {.header = header(true, 0),
                                                       .guest_physical_address = DEVICE_MEMORY};

    (void)state;
    delivery.header.execution_state |= HV_EXECUTION_INTERRUPTION_PENDING;
    dispatch(HVMSG_UNMAPPED_GPA, &delivery, sizeof delivery);
    assert_string_equal(test.reason,
                        "VP 0: cannot deliver an interrupt or exception: its stack or tables are in "
                        "device memory at 0xfeb00000");
    dispatch(HVMSG_UNSUPPORTED_FEATURE, &feature, sizeof feature);
    assert_string_equal(test.reason,
                        "VP 0: it did something that the hypervisor cannot do (code 20, parameter 0x7d)");
    dispatch(HVMSG_X64_MSR_INTERCEPT, &message, sizeof message);
    assert_string_equal(test.reason, "VP 0: message 0x80010001 from the hypervisor, which has no answer");
    dispatch(HVMSG_INVALID_VP_REGISTER_VALUE, &message, sizeof message);
    assert_string_equal(test.reason, "VP 0: its registers are not a state that the processor can run");
    vp()->registers->isvalid = 0;
    dispatch_port(true, DEVICE_PORT, 1);
    assert_string_equal(test.reason, "VP 0: message 0x80010000 came without registers");
    assert_int_equal(test.triple_faults, 0);
    dispatch(HVMSG_UNRECOVERABLE_EXCEPTION, &message, sizeof message);
    assert_int_equal(test.triple_faults, 1);
}

/* ---- Interrupts ---- */

static void write_ioapic(unsigned pin, uint64_t entry)
{
    for (unsigned half = 0; half < 2; half++) {
        bus_write(&test.bus, BUS_MEMORY, IOAPIC_BASE, 4, 0x10 + 2 * pin + half);
        bus_write(&test.bus, BUS_MEMORY, IOAPIC_BASE + 0x10, 4, (uint32_t)(entry >> (32 * half)));
    }
}

static void test_ioapic_message_is_asserted(void **state)
{
    const struct hv_input_assert_virtual_interrupt *assert = &test.fake.asserts[0];

    (void)state;
    write_ioapic(16, 0x0200000000008800 | 0x55); /* logical 2, level, fixed, vector 55h */
    ioapic_set(&test.ioapic, 16, true);
    assert_int_equal(test.fake.assert_count, 1);
    assert_int_equal(assert->interrupt_type, HV_X64_INTERRUPT_TYPE_FIXED);
    assert_int_equal(assert->interrupt_flags,
                     HV_INTERRUPT_LEVEL_TRIGGERED | HV_INTERRUPT_LOGICAL_DESTINATION);
    assert_int_equal(assert->destination, 2);
    assert_int_equal(assert->vector, 0x55);

    /* Still asserted at its end: it comes again. */
    dispatch(HVMSG_X64_APIC_EOI, &(struct hv_x64_apic_eoi_message){.interrupt_vector = 0x55}, 8);
    assert_int_equal(test.fake.assert_count, 2);
    ioapic_set(&test.ioapic, 16, false);
    dispatch(HVMSG_X64_APIC_EOI, &(struct hv_x64_apic_eoi_message){.interrupt_vector = 0x55}, 8);
    assert_int_equal(test.fake.assert_count, 2);
}

static void test_ioapic_delivery_modes(void **state)
{
    const struct {
        unsigned mode;
        int type; /* -1: refused */
    } modes[] = {
        {0, HV_X64_INTERRUPT_TYPE_FIXED         },
        {1, HV_X64_INTERRUPT_TYPE_LOWESTPRIORITY},
        {2, -1                                  },
        {4, HV_X64_INTERRUPT_TYPE_NMI           },
        {5, HV_X64_INTERRUPT_TYPE_INIT          },
        {7, -1                                  }
    };
    unsigned refused = 0;

    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        const struct ioapic_message message = {
            .vector = 0x30, .delivery_mode = modes[i].mode, .destination = 0xFF};
        unsigned before = test.fake.assert_count;

        interrupts_deliver(&test.interrupts, &message);
        if (modes[i].type < 0) {
            assert_int_equal(test.interrupts.refused, ++refused);
            assert_int_equal(test.fake.assert_count, before);
        } else {
            assert_int_equal(test.fake.asserts[before].interrupt_type, modes[i].type);
            assert_int_equal(test.fake.asserts[before].destination, 0xFF);
        }
    }
}

/* Both 8259As at 20h and 28h, nothing masked. `mode`: ICW4 of the first. */
static void set_pic_up(uint16_t mode)
{
    const uint16_t writes[][2] = {
        {0x20, 0x11},
        {0x21, 0x20},
        {0x21, 0x04},
        {0x21, mode},
        {0xA0, 0x11},
        {0xA1, 0x28},
        {0xA1, 0x02},
        {0xA1, 0x01},
        {0x21, 0x00},
        {0xA1, 0x00}
    };

    for (unsigned i = 0; i < sizeof writes / sizeof writes[0]; i++)
        bus_write(&test.bus, BUS_PORTS, writes[i][0], 1, writes[i][1]);
}

static uint64_t external_interrupt(unsigned vector)
{
    return HV_PENDING_INTERRUPTION_PENDING | (uint64_t)vector << HV_PENDING_INTERRUPTION_VECTOR_SHIFT;
}

static void deliverable(void)
{
    const struct hv_x64_interruption_deliverable_message message = {.header = header(false, 0)};

    dispatch(HVMSG_X64_INTERRUPTION_DELIVERABLE, &message, sizeof message);
}

static void test_pic_is_acknowledged_when_the_vp_can_take_it(void **state)
{
    (void)state;
    set_pic_up(0x01);
    i8259_set(&test.pic, 0, true);
    i8259_set(&test.pic, 4, true);
    assert_int_equal(atomic_load(&vp()->attention), VP_ATTENTION_INTERRUPT);
    assert_int_equal(interrupts_request_window(&test.interrupts), HV_STATUS_SUCCESS);
    assert_int_equal(reg(HV_REGISTER_DELIVERABILITY_NOTIFICATIONS), HV_DELIVERABILITY_INTERRUPT);
    assert_int_equal(test.pic.chips[0].in_service, 0); /* not acknowledged yet */
    assert_int_equal(interrupts_request_window(&test.interrupts), HV_STATUS_SUCCESS);
    assert_int_equal(fake_register_sets(&test.fake, 0, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS), 1);

    deliverable();
    assert_int_equal(reg(HV_REGISTER_PENDING_INTERRUPTION), external_interrupt(0x20));
    assert_int_equal(test.pic.chips[0].in_service, 1);
    /* IRQ 4 has a lower priority than what is in service: no further window. */
    assert_int_equal(reg(HV_REGISTER_DELIVERABILITY_NOTIFICATIONS), 0);
    bus_write(&test.bus, BUS_PORTS, 0x20, 1, 0x20); /* end of interrupt */
    assert_int_equal(interrupts_request_window(&test.interrupts), HV_STATUS_SUCCESS);
    assert_int_equal(reg(HV_REGISTER_DELIVERABILITY_NOTIFICATIONS), HV_DELIVERABILITY_INTERRUPT);
    deliverable();
    assert_int_equal(reg(HV_REGISTER_PENDING_INTERRUPTION), external_interrupt(0x24));
}

/* With automatic end of interrupt the next request is there at once: the window stays open for it. */
static void test_requests_one_after_the_other(void **state)
{
    (void)state;
    set_pic_up(0x03);
    i8259_set(&test.pic, 1, true);
    i8259_set(&test.pic, 3, true);
    interrupts_request_window(&test.interrupts);
    deliverable();
    assert_int_equal(reg(HV_REGISTER_PENDING_INTERRUPTION), external_interrupt(0x21));
    assert_int_equal(reg(HV_REGISTER_DELIVERABILITY_NOTIFICATIONS), HV_DELIVERABILITY_INTERRUPT);
    deliverable();
    assert_int_equal(reg(HV_REGISTER_PENDING_INTERRUPTION), external_interrupt(0x23));
    assert_int_equal(reg(HV_REGISTER_DELIVERABILITY_NOTIFICATIONS), 0);
}

static void test_request_that_is_taken_back(void **state)
{
    (void)state;
    set_pic_up(0x01);
    i8259_set(&test.pic, 3, true);
    interrupts_request_window(&test.interrupts);
    bus_write(&test.bus, BUS_PORTS, 0x21, 1, 0xFF); /* masked before it could be taken */
    deliverable();
    assert_int_equal(fake_register_sets(&test.fake, 0, HV_REGISTER_PENDING_INTERRUPTION), 0);
    assert_int_equal(reg(HV_REGISTER_DELIVERABILITY_NOTIFICATIONS), 0);
    bus_write(&test.bus, BUS_PORTS, 0x21, 1, 0x00);
    interrupts_request_window(&test.interrupts);
    assert_int_equal(reg(HV_REGISTER_DELIVERABILITY_NOTIFICATIONS), HV_DELIVERABILITY_INTERRUPT);
}

/* ---- Threads ---- */

static void test_thread_answers_messages(void **state)
{
    (void)state;
    assert_int_equal(vp_group_start(&test.group), 0);
    vp_group_wait(&test.group); /* held from the beginning */
    assert_int_equal(test.fake.vps[0].runs, 0);
    vp_group_release(&test.group);
    test.fake.vps[0].page.gp_registers[GP_RAX] = 0x77;
    fake_port(&test.fake, 0, true, DEVICE_PORT, 1);
    fake_wait_idle(&test.fake, 0);
    assert_int_equal(test.value, 0x77);
}

static void test_hold_and_release(void **state)
{
    (void)state;
    tear_down(NULL);
    create(FAKE_VPS);
    assert_int_equal(vp_group_start(&test.group), 0);
    for (unsigned round = 0; round < 20; round++) {
        vp_group_release(&test.group);
        for (unsigned i = 0; i < FAKE_VPS; i++)
            fake_port(&test.fake, i, true, DEVICE_PORT, 1);
        vp_group_hold(&test.group);
        vp_group_wait(&test.group);
        pthread_mutex_lock(&test.group.lock);
        assert_int_equal(test.group.parked, FAKE_VPS);
        pthread_mutex_unlock(&test.group.lock);
    }
    /* Nothing that was sent while they were held is lost. */
    vp_group_release(&test.group);
    for (unsigned i = 0; i < FAKE_VPS; i++)
        fake_wait_idle(&test.fake, i);
    vp_group_hold(&test.group);
    vp_group_wait(&test.group);
    for (unsigned i = 0; i < FAKE_VPS; i++)
        assert_int_equal(test.group.vps[i].port_accesses, 20);
}

/* What ends in a VP's thread is the same in each. */
static void test_any_vp_is_answered(void **state)
{
    const struct hv_x64_apic_eoi_message eoi = {.vp_index = 3, .interrupt_vector = 0x55};
    const struct hv_x64_unrecoverable_exception_message shutdown = {0};
    unsigned asserted;

    (void)state;
    tear_down(NULL);
    create(FAKE_VPS);
    write_ioapic(5, 0x8055ull | 3ull << 56); /* level, to VP 3 */
    ioapic_set(&test.ioapic, 5, true);
    asserted = test.fake.assert_count;
    assert_int_equal(test.fake.asserts[asserted - 1].destination, 3);
    assert_int_equal(vp_group_start(&test.group), 0);
    vp_group_release(&test.group);
    fake_send(&test.fake, 3, HVMSG_X64_APIC_EOI, &eoi, sizeof eoi);
    fake_wait_idle(&test.fake, 3);
    assert_int_equal(test.fake.assert_count, asserted + 1); /* the line is still high */
    fake_send(&test.fake, 2, HVMSG_UNRECOVERABLE_EXCEPTION, &shutdown, sizeof shutdown);
    vp_group_wait(&test.group);
    assert_int_equal(test.triple_faults, 1);
    assert_int_equal(test.fault_of, 2);
}

static void test_failing_vp_parks_all(void **state)
{
    (void)state;
    tear_down(NULL);
    create(2);
    assert_int_equal(vp_group_start(&test.group), 0);
    test.fake.vps[1].run_error = -EIO;
    vp_group_release(&test.group);
    /* failed() holds the group from VP 1's thread: both arrive. */
    pthread_mutex_lock(&test.group.lock);
    while (!test.group.held)
        pthread_cond_wait(&test.group.changed, &test.group.lock);
    pthread_mutex_unlock(&test.group.lock);
    vp_group_wait(&test.group);
    assert_string_equal(test.reason, "VP 1: cannot run: Input/output error");
}

static void test_interrupt_request_reaches_a_running_vp(void **state)
{
    (void)state;
    assert_int_equal(vp_group_start(&test.group), 0);
    vp_group_release(&test.group);
    fake_wait_idle(&test.fake, 0);
    pthread_mutex_lock(&test.lock);
    set_pic_up(0x01);
    i8259_set(&test.pic, 1, true);
    pthread_mutex_unlock(&test.lock);
    fake_wait_idle(&test.fake, 0); /* kicked, looked, entered again */
    assert_int_equal(reg(HV_REGISTER_DELIVERABILITY_NOTIFICATIONS), HV_DELIVERABILITY_INTERRUPT);
    fake_send(&test.fake, 0, HVMSG_X64_INTERRUPTION_DELIVERABLE,
              &(struct hv_x64_interruption_deliverable_message){0}, 48);
    fake_wait_idle(&test.fake, 0);
    assert_int_equal(reg(HV_REGISTER_PENDING_INTERRUPTION), external_interrupt(0x21));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_partition_is_made_as_intended, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_out_and_in, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_end_of_instruction, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_memory_intercept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_page_fault_reaches_the_guest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_jump_to_nowhere_is_an_invalid_opcode, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_emulated_is_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_task_switch, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_messages_without_an_answer_stop_the_machine, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ioapic_message_is_asserted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ioapic_delivery_modes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pic_is_acknowledged_when_the_vp_can_take_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_requests_one_after_the_other, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_request_that_is_taken_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_thread_answers_messages, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hold_and_release, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_any_vp_is_answered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_failing_vp_parks_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_interrupt_request_reaches_a_running_vp, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
