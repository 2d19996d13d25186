/* SPDX-License-Identifier: GPL-2.0-or-later */
/* DISPATCH_VP: scripted guests, their exits, messages, events, halts and wake-ups. */
#include "kernel/frame.h"
#include "kernel/interrupt.h"
#include "kernel/partition.h"
#include "kernel/shoot_down.h"
#include "tests/unit/kernel_fixture.h"

#define R     HV_MAP_GPA_READABLE
#define RWX   (HV_MAP_GPA_READABLE | HV_MAP_GPA_WRITABLE | HV_MAP_GPA_EXECUTABLE)
#define CLEAR HV_DISPATCH_VP_CLEAR_INTERCEPT_SUSPEND

#define EVENT(type, vector) (1ull | (uint64_t)(type) << 1 | (uint64_t)(vector) << 16)
#define EXTERNAL(vector)    EVENT(HV_INTERRUPTION_TYPE_EXTERNAL, vector)
#define NMI                 EVENT(HV_INTERRUPTION_TYPE_NMI, 2)
#define EXCEPTION(vector)   EVENT(HV_INTERRUPTION_TYPE_EXCEPTION, vector)
#define GENERAL_PROTECTION  (EXCEPTION(13) | HV_PENDING_INTERRUPTION_DELIVER_ERROR_CODE)

/* The script of the guest: exits one after the other, then external interrupts. */
static struct step {
    struct vp_exit exit;
    void (*act)(struct vp *vp); /* before the exit, may be NULL */
} script[32];
static unsigned steps, at;
static uint64_t injected[64]; /* at each entry */

static uint64_t id;
static struct vp *vp0;
static struct loam_output_dispatch_vp output;

static void play(struct vp *vp, struct vp_exit *exit)
{
    if (fake_vendor_record.runs <= 64)
        injected[fake_vendor_record.runs - 1] = fake_vendor_record.injected;
    exit->reason = LOAM_EXIT_EXTERNAL_INTERRUPT;
    if (at < steps) {
        if (script[at].act)
            script[at].act(vp);
        *exit = script[at++].exit;
    }
}

static struct vp_exit *add(enum loam_exit_reason reason)
{
    struct step *step = &script[steps++];

    memset(step, 0, sizeof(*step));
    step->exit.reason = reason;
    return &step->exit;
}

static void add_act(void (*act)(struct vp *vp))
{
    add(LOAM_EXIT_KICK);
    script[steps - 1].act = act;
}

static void begin_script(void)
{
    steps = at = 0;
    fake_vendor_record.runs = 0;
    memset(injected, 0, sizeof(injected));
}

static int start(void **state)
{
    fixture_start(state);
    fake_guest = play;
    begin_script();
    id = create_active_partition(60);
    vp0 = create_vp_with_pages(id, 0);
    return 0;
}

static void expect(enum hv_vp_dispatch_state state, enum hv_vp_dispatch_event event, uint32_t flags)
{
    assert_int_equal(dispatch(id, 0, flags, &output), HV_STATUS_SUCCESS);
    assert_int_equal(output.dispatch.dispatch_state, state);
    assert_int_equal(output.dispatch.dispatch_event, event);
    assert_int_equal(fake_extended_state_entered, 0);
    assert_null(lp_current()->running);
    assert_int_equal(vp0->claim, 0);
}

#define EXPECT_READY(flags)     expect(HV_VP_DISPATCH_STATE_READY, HV_VP_DISPATCH_EVENT_NONE, flags)
#define EXPECT_BLOCKED(flags)   expect(HV_VP_DISPATCH_STATE_BLOCKED, HV_VP_DISPATCH_EVENT_NONE, flags)
#define EXPECT_INTERCEPT(flags) expect(HV_VP_DISPATCH_STATE_READY, HV_VP_DISPATCH_EVENT_INTERCEPT, flags)

static enum hv_status assert_interrupt(uint32_t type, uint32_t destination, uint32_t vector,
                                       struct loam_vp_set *wake)
{
    const struct hv_input_assert_virtual_interrupt input = {
        .partition_id = id, .interrupt_type = type, .destination = destination, .vector = vector};
    enum hv_status status = hypercall_status(HVCALL_ASSERT_VIRTUAL_INTERRUPT, 0, &input, sizeof(input));

    memcpy(wake, page(FIXTURE_OUTPUT_PFN), sizeof(*wake));
    return status;
}

static void assert_vector(uint32_t destination, uint8_t vector, uint64_t expected_wake)
{
    struct loam_vp_set wake;

    assert_int_equal(assert_interrupt(HV_X64_INTERRUPT_TYPE_FIXED, destination, vector, &wake),
                     HV_STATUS_SUCCESS);
    assert_int_equal(wake.bank[0], expected_wake);
}

static void set_flags(uint64_t rflags)
{
    assert_int_equal(set_register(id, 0, HV_X64_REGISTER_RFLAGS, rflags, 0), HV_STATUS_SUCCESS);
}

/* The APIC as an operating system sets it up: enabled by software. */
static void enable_apic(struct vp *vp)
{
    struct local_apic_effect effect;

    local_apic_write(&vp->apic, APIC_REGISTER_SVR, 0x1FF, 0, &effect);
}

static void refused(void **state)
{
    const struct hv_input_dispatch_vp input = {.partition_id = id, .flags = 0x80};

    (void)state;
    assert_int_equal(hypercall_status(HVCALL_DISPATCH_VP, 0, &input, sizeof(input)),
                     HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(dispatch(id, 1, 0, &output), HV_STATUS_INVALID_VP_INDEX);
    /* Without a page for messages. */
    assert_int_equal(create_vp(id, 1), HV_STATUS_SUCCESS);
    assert_int_equal(dispatch(id, 1, 0, &output), HV_STATUS_INVALID_VP_STATE);
    /* While time is frozen. */
    set_property(id, HV_PARTITION_PROPERTY_TIME_FREEZE, 1);
    assert_int_equal(dispatch(id, 0, 0, &output), HV_STATUS_INVALID_VP_STATE);
    set_property(id, HV_PARTITION_PROPERTY_TIME_FREEZE, 0);
    EXPECT_READY(0);
    assert_int_equal(output.deadline, LOAM_NO_DEADLINE);
    /* By two processors at once. */
    fake_machine_become(1);
    assert_true(vp_claim(vp0));
    fake_machine_become(0);
    assert_int_equal(dispatch(id, 0, 0, &output), HV_STATUS_INVALID_VP_STATE);
    vp_release(vp0);
}

static void preempted(void **state)
{
    (void)state;
    EXPECT_READY(0);
    assert_int_equal(fake_vendor_record.runs, 1);
    assert_int_equal(statistic(id, LOAM_STATISTICS_VP, 0, LOAM_EXIT_EXTERNAL_INTERRUPT), 1);
    /* A kick does not end the dispatch, an NMI of the parent does, a machine check does. */
    begin_script();
    add(LOAM_EXIT_KICK);
    add(LOAM_EXIT_NMI);
    EXPECT_READY(0);
    assert_int_equal(fake_vendor_record.runs, 2);
    assert_true(lp_current()->parent_nmi);
    /* As long as it waits, nothing runs. */
    begin_script();
    EXPECT_READY(0);
    assert_int_equal(fake_vendor_record.runs, 0);
    lp_current()->parent_nmi = false;
    /* An INIT comes with a kick, and ends it, too. */
    lp_current()->parent_init = true;
    EXPECT_READY(0);
    assert_int_equal(fake_vendor_record.runs, 0);
    lp_current()->parent_init = false;
    fake_nmi_is_kick = true;
    add(LOAM_EXIT_NMI);
    add(LOAM_EXIT_EXCEPTION)->exception.vector = 18;
    EXPECT_READY(0);
    assert_int_equal(fake_vendor_record.runs, 2);
    assert_int_equal(statistic(id, LOAM_STATISTICS_VP, 0, LOAM_EXIT_KICK), 2);
    assert_true(lp_current()->parent_machine_check);
    lp_current()->parent_machine_check = false;
}

static void time_slices(void **state)
{
    const struct hv_input_dispatch_vp input = {.partition_id = id,
                                               .time_slice = 1}; /* 100 ns = 10 readings */

    (void)state;
    for (unsigned i = 0; i < 32; i++)
        add(LOAM_EXIT_KICK);
    assert_int_equal(hypercall_status(HVCALL_DISPATCH_VP, 0, &input, sizeof(input)), HV_STATUS_SUCCESS);
    memcpy(&output, page(FIXTURE_OUTPUT_PFN), sizeof(output));
    assert_int_equal(output.dispatch.dispatch_state, HV_VP_DISPATCH_STATE_READY);
    assert_in_range(fake_vendor_record.runs, 2, 20);
}

static void suspended(void **state)
{
    (void)state;
    set_register(id, 0, HV_REGISTER_EXPLICIT_SUSPEND, 1, 0);
    expect(HV_VP_DISPATCH_STATE_BLOCKED, HV_VP_DISPATCH_EVENT_SUSPEND, 0);
    assert_int_equal(fake_vendor_record.runs, 0);
    set_register(id, 0, HV_REGISTER_EXPLICIT_SUSPEND, 0, 0);
    EXPECT_READY(0);
}

static void cpuid(void **state)
{
    (void)state;
    set_register(id, 0, HV_X64_REGISTER_RAX, 0xFFFFFFFF00000005, 0);
    set_register(id, 0, HV_X64_REGISTER_RCX, 0xFFFFFFFF00000007, 0);
    add(LOAM_EXIT_CPUID)->instruction_length = 3;
    add(LOAM_EXIT_CPUID);
    EXPECT_READY(0);
    assert_int_equal(fake_vendor_record.runs, 3);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_RIP), 0xFFF0 + 3 + FAKE_INSTRUCTION_LENGTH);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_RAX), 5);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_RDX), 0xFFFFFFFF);
}

static void io_ports(void **state)
{
    const struct hv_message *message = message_page(0);
    const struct hv_x64_io_port_intercept_message *io = (const void *)message->payload;
    struct hv_vp_register_page *shared = register_page(0);
    struct vp_exit *exit = add(LOAM_EXIT_IO_PORT);

    (void)state;
    exit->instruction_length = 2;
    exit->io.port = 0x3F8;
    exit->io.size = 1;
    set_register(id, 0, HV_X64_REGISTER_RAX, 0x41, 0);
    set_register(id, 0, HV_X64_REGISTER_CR8, 5, 0);
    EXPECT_INTERCEPT(0);
    assert_int_equal(message->header.message_type, HVMSG_X64_IO_PORT_INTERCEPT);
    assert_int_equal(message->header.payload_size, 128);
    assert_int_equal(message->header.sender, id);
    assert_int_equal(io->port_number, 0x3F8);
    assert_int_equal(io->access_info, 1);
    assert_int_equal(io->rax, 0x41);
    assert_int_equal(io->header.intercept_access_type, HV_INTERCEPT_ACCESS_WRITE);
    assert_int_equal(io->header.instruction_length_cr8, 0x52);
    assert_int_equal(io->header.rip, 0xFFF0);
    assert_int_equal(io->header.cs.base, 0xFFFF0000);
    assert_int_equal(io->header.execution_state, 0);
    assert_int_equal(shared->isvalid, 1);
    assert_int_equal(shared->gp_registers[0], 0x41);
    /* Until the parent says so it does not run on. */
    EXPECT_INTERCEPT(0);
    assert_int_equal(fake_vendor_record.runs, 1);
    /* It finishes the instruction in the register page. */
    shared->rip += 2;
    shared->gp_registers[0] = 0x42;
    shared->dirty = HV_REGISTER_PAGE_DIRTY_GP | HV_REGISTER_PAGE_DIRTY_IP;
    begin_script();
    exit = add(LOAM_EXIT_IO_PORT);
    exit->instruction_length = 3;
    exit->io.port = 0x60;
    exit->io.size = 4;
    exit->io.in = exit->io.string = exit->io.rep = true;
    EXPECT_INTERCEPT(CLEAR);
    assert_int_equal(io->header.rip, 0xFFF2);
    assert_int_equal(io->rax, 0x42);
    assert_int_equal(io->access_info, 4 | HV_IO_PORT_STRING_OPERATION | HV_IO_PORT_REP_PREFIX);
    assert_int_equal(io->header.intercept_access_type, HV_INTERCEPT_ACCESS_READ);
    assert_int_equal(io->es.limit, 0xFFFF);
    assert_int_equal(shared->dirty, 0);
    /* While it runs the page is not valid. */
    begin_script();
    EXPECT_READY(CLEAR);
    assert_int_equal(shared->isvalid, 0);
}

static void memory(void **state)
{
    const struct hv_message *message = message_page(0);
    const struct hv_x64_memory_intercept_message *access = (const void *)message->payload;
    uint64_t code = take_pages(1, 1), data = take_pages(1, 1);
    struct vp_exit *exit;

    (void)state;
    memcpy((uint8_t *)page(code) + 4090, "\x89\x05\x11\x22\x33\x44", 6);
    map_pages(id, 0x10, RWX, &code, 1, NULL);
    map_pages(id, 0x20, R, &data, 1, NULL);
    map_pages(id, 0x30, HV_MAP_GPA_NO_ACCESS, &data, 1, NULL);
    set_register(id, 0, HV_X64_REGISTER_RIP, 0x10FFA, 0);
    set_register(id, 0, HV_X64_REGISTER_CR0, 0x40001, 0);
    set_register(id, 0, HV_X64_REGISTER_EFER, 0x400, 0);
    /* Unmapped; the bytes end where the next page is not mapped. */
    exit = add(LOAM_EXIT_NESTED_FAULT);
    exit->fault.gpa = 0xFEC00010;
    exit->fault.write = true;
    EXPECT_INTERCEPT(0);
    assert_int_equal(message->header.message_type, HVMSG_UNMAPPED_GPA);
    assert_int_equal(message->header.payload_size, 80);
    assert_int_equal(access->guest_physical_address, 0xFEC00010);
    assert_int_equal(access->header.intercept_access_type, HV_INTERCEPT_ACCESS_WRITE);
    assert_int_equal(access->header.execution_state,
                     HV_EXECUTION_CR0_PE | HV_EXECUTION_CR0_AM | HV_EXECUTION_EFER_LMA);
    assert_int_equal(access->instruction_byte_count, 6);
    assert_memory_equal(access->instruction_bytes, "\x89\x05\x11\x22\x33\x44\0\0\0\0", 10);
    /* Bytes of the hardware's own. */
    begin_script();
    exit = add(LOAM_EXIT_NESTED_FAULT);
    exit->fault.gpa = 0x20000;
    exit->fault.write = true;
    exit->fault.bytes_count = 3;
    memcpy(exit->fault.bytes, "\x90\x91\x92", 3);
    EXPECT_INTERCEPT(CLEAR);
    assert_int_equal(message->header.message_type, HVMSG_GPA_INTERCEPT);
    assert_int_equal(access->instruction_byte_count, 3);
    assert_memory_equal(access->instruction_bytes, "\x90\x91\x92\0", 4);
    /* No access, to execute. */
    begin_script();
    exit = add(LOAM_EXIT_NESTED_FAULT);
    exit->fault.gpa = 0x30123;
    exit->fault.execute = true;
    EXPECT_INTERCEPT(CLEAR);
    assert_int_equal(message->header.message_type, HVMSG_GPA_INTERCEPT);
    assert_int_equal(access->header.intercept_access_type, HV_INTERCEPT_ACCESS_EXECUTE);
    assert_int_equal(access->guest_physical_address, 0x30123);
    /* What the map allows by now is only tried again. */
    begin_script();
    exit = add(LOAM_EXIT_NESTED_FAULT);
    exit->fault.gpa = 0x20000;
    EXPECT_READY(CLEAR);
    assert_int_equal(fake_vendor_record.runs, 2);
    /* Beyond what the map can hold. */
    begin_script();
    exit = add(LOAM_EXIT_NESTED_FAULT);
    exit->fault.gpa = 1ull << 50;
    EXPECT_INTERCEPT(0);
    assert_int_equal(message->header.message_type, HVMSG_UNMAPPED_GPA);
}

/* A fetch from a large page that must not be executable: split by the next dispatch, as soon as it has a
 * page. */
static void fetch_splits_large_page(void **state)
{
    const struct hv_message *message = message_page(0);
    uint64_t large = take_pages(512, 512), shoot_downs;
    struct nested_translation translation;
    struct partition *partition = partition_get(id);
    struct vp_exit *exit;

    (void)state;
    fake_large_execute = false;
    assert_int_equal(map_pages(id, 0x200, RWX | HV_MAP_GPA_LARGE_PAGE, &large, 1, NULL), HV_STATUS_SUCCESS);
    while (partition_page_allocate(partition))
        ; /* until none is left */
    exit = add(LOAM_EXIT_NESTED_FAULT);
    exit->fault.gpa = 0x345678;
    exit->fault.execute = true;
    exit->fault.mapped = true;
    fake_interrupted_event = EXTERNAL(0x51);
    EXPECT_READY(0);
    assert_int_equal(fake_vendor_record.runs, 1);
    assert_int_equal(dispatch(id, 0, 0, &output), HV_STATUS_INSUFFICIENT_MEMORY);
    assert_int_equal(dispatch(id, 0, 0, &output), HV_STATUS_INSUFFICIENT_MEMORY);
    assert_int_equal(fake_vendor_record.runs, 1);
    deposit(id, 8);
    shoot_downs = shoot_down_count();
    EXPECT_READY(0);
    assert_int_equal(shoot_down_count(), shoot_downs + 1);
    assert_int_equal(injected[1], EXTERNAL(0x51)); /* its delivery was what fetched */
    assert_true(nested_lookup(&partition->map, 0x345678, &translation));
    assert_true(translation.access == RWX && translation.page_shift == HV_PAGE_SHIFT);
    assert_int_equal(translation.spa, (large << HV_PAGE_SHIFT) + 0x145678);
    EXPECT_READY(0);
    assert_int_equal(shoot_down_count(), shoot_downs + 1);
    /* One that the parent did not make executable is told. */
    large = take_pages(512, 512);
    assert_int_equal(map_pages(id, 0x400, R | HV_MAP_GPA_LARGE_PAGE, &large, 1, NULL), HV_STATUS_SUCCESS);
    begin_script();
    exit = add(LOAM_EXIT_NESTED_FAULT);
    exit->fault.gpa = 0x400000;
    exit->fault.execute = true;
    EXPECT_INTERCEPT(0);
    assert_int_equal(message->header.message_type, HVMSG_GPA_INTERCEPT);
    partition_put(partition);
}

/*
 * The instruction cannot be read, because its page is without access by now: the message is about that page,
 * and when the parent has mapped it the instruction meets its own fault again.
 */
static void memory_without_access_to_the_instruction(void **state)
{
    const struct hv_message *message = message_page(0);
    const struct hv_x64_memory_intercept_message *access = (const void *)message->payload;
    uint64_t code = take_pages(1, 1);
    struct vp_exit *exit;

    (void)state;
    map_pages(id, 0x10, HV_MAP_GPA_NO_ACCESS, &code, 1, NULL);
    set_register(id, 0, HV_X64_REGISTER_RIP, 0x10010, 0);
    exit = add(LOAM_EXIT_NESTED_FAULT);
    exit->fault.gpa = 0xFEC00010;
    exit->fault.write = true;
    *add(LOAM_EXIT_NESTED_FAULT) = *exit;
    *add(LOAM_EXIT_NESTED_FAULT) = *exit;
    fake_interrupted_event = EXTERNAL(0x51);
    EXPECT_INTERCEPT(0);
    assert_int_equal(message->header.message_type, HVMSG_GPA_INTERCEPT);
    assert_int_equal(access->guest_physical_address, 0x10000);
    assert_int_equal(access->header.intercept_access_type, HV_INTERCEPT_ACCESS_READ);
    assert_int_equal(access->instruction_byte_count, 0);
    assert_int_equal(access->header.rip, 0x10010);
    map_pages(id, 0x10, RWX, &code, 1, NULL);
    memcpy((uint8_t *)page(code) + 0x10, "\x89\x05\x11\x22\x33\x44", 6);
    EXPECT_INTERCEPT(CLEAR);
    assert_int_equal(injected[1], EXTERNAL(0x51)); /* nothing is lost on the way */
    assert_int_equal(message->header.message_type, HVMSG_UNMAPPED_GPA);
    assert_int_equal(access->guest_physical_address, 0xFEC00010);
    assert_int_equal(access->header.intercept_access_type, HV_INTERCEPT_ACCESS_WRITE);
    assert_int_equal(access->instruction_byte_count, 15);
    /* Not readable for another reason: the message is about the access, and has no bytes. */
    unmap_pages(id, 0x10, 0, 1, NULL);
    EXPECT_INTERCEPT(CLEAR);
    assert_int_equal(message->header.message_type, HVMSG_UNMAPPED_GPA);
    assert_int_equal(access->guest_physical_address, 0xFEC00010);
    assert_int_equal(access->instruction_byte_count, 0);
}

static void write_cr4(struct vp *vp)
{
    vp->gpr[GPR_RBX] = 0xFFFFFFFF00000020;
}

static void write_cr4_with_a_hidden_feature(struct vp *vp)
{
    vp->gpr[GPR_RBX] = 0x20 | 1ull << 23;
}

static void cr4(void **state)
{
    const struct vp_exit write = {.reason = LOAM_EXIT_CONTROL_REGISTER,
                                  .control = {.number = 4, .write = true, .gpr = GPR_RBX}};

    (void)state;
    *add(LOAM_EXIT_CONTROL_REGISTER) = write;
    *add(LOAM_EXIT_CONTROL_REGISTER) = write;
    script[0].act = write_cr4;
    script[1].act = write_cr4_with_a_hidden_feature;
    EXPECT_READY(0);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_CR4), 0x20);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_RIP), 0xFFF0 + FAKE_INSTRUCTION_LENGTH);
    assert_int_equal(injected[1], 0);
    assert_int_equal(injected[2], GENERAL_PROTECTION);
    /* In long mode all of the register counts. */
    set_register(id, 0, HV_X64_REGISTER_EFER, 0x400, 0);
    begin_script();
    *add(LOAM_EXIT_CONTROL_REGISTER) = write;
    script[0].act = write_cr4;
    EXPECT_READY(0);
    assert_int_equal(injected[1], GENERAL_PROTECTION);
    /* Nor can the parent set what would reach its own state. */
    assert_int_equal(set_register(id, 0, HV_X64_REGISTER_CR4, 1ull << 23, 0), HV_STATUS_INVALID_REGISTER_VALUE);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_CR4), 0x20);
    assert_int_equal(set_register(id, 0, HV_X64_REGISTER_CR4, FAKE_CR4_BITS, 0), HV_STATUS_SUCCESS);
}

/*
 * A machine check ends the dispatch and is the parent's: parent_vp_run raises it there. What it interrupted
 * in the child is not lost.
 */
static void machine_check(void **state)
{
    (void)state;
    add(LOAM_EXIT_EXCEPTION)->exception.vector = 18;
    fake_interrupted_event = EXTERNAL(0x61);
    EXPECT_READY(0);
    assert_true(lp_current()->parent_machine_check);
    assert_int_equal(register_low(id, 0, HV_REGISTER_PENDING_INTERRUPTION), EXTERNAL(0x61));
    /* As long as it waits, no child runs here. */
    begin_script();
    EXPECT_READY(0);
    assert_int_equal(fake_vendor_record.runs, 0);
    lp_current()->parent_machine_check = false;
    begin_script();
    EXPECT_READY(0);
    assert_int_equal(injected[0], EXTERNAL(0x61));
    assert_false(lp_current()->parent_machine_check);
    /* The child is never given one. */
    begin_script();
    add(LOAM_EXIT_EXCEPTION)->exception.vector = 18;
    EXPECT_READY(0);
    lp_current()->parent_machine_check = false;
    begin_script();
    EXPECT_READY(0);
    assert_int_equal(injected[0], 0);
}

/* An event whose delivery a fault interrupted goes first at the next entry. */
static void interrupted_delivery(void **state)
{
    struct vp_exit *exit = add(LOAM_EXIT_NESTED_FAULT);

    (void)state;
    exit->fault.gpa = 0x99000;
    fake_interrupted_event = EXTERNAL(0x51);
    EXPECT_INTERCEPT(0);
    assert_int_equal(register_low(id, 0, HV_REGISTER_PENDING_INTERRUPTION), EXTERNAL(0x51));
    assert_int_equal(register_page(0)->pending_interruption, EXTERNAL(0x51));
    assert_true(
        ((const struct hv_x64_memory_intercept_message *)message_page(0)->payload)->header.execution_state &
        HV_EXECUTION_INTERRUPTION_PENDING);
    begin_script();
    EXPECT_READY(CLEAR);
    assert_int_equal(injected[0], EXTERNAL(0x51));
    assert_int_equal(register_low(id, 0, HV_REGISTER_PENDING_INTERRUPTION), 0);
    /* The same when another processor has mapped the page meanwhile, so that the VP goes on at once. */
    map_pages(id, 0x99, RWX, &(uint64_t){take_pages(1, 1)}, 1, NULL);
    begin_script();
    add(LOAM_EXIT_NESTED_FAULT)->fault.gpa = 0x99000;
    fake_interrupted_event = EXTERNAL(0x52);
    EXPECT_READY(0);
    assert_int_equal(injected[1], EXTERNAL(0x52));
    /* Preempted in the middle of a delivery. */
    begin_script();
    fake_interrupted_event = EXCEPTION(14);
    EXPECT_READY(0);
    begin_script();
    EXPECT_READY(0);
    assert_int_equal(injected[0], EXCEPTION(14));
}

static void exceptions(void **state)
{
    struct vp_exit *exit = add(LOAM_EXIT_EXCEPTION);

    (void)state;
    /* #AC and #DB go on. */
    exit->exception.vector = 17;
    exit->exception.has_error_code = true;
    add(LOAM_EXIT_EXCEPTION)->exception.vector = 1;
    EXPECT_READY(0);
    assert_int_equal(injected[1], EXCEPTION(17) | HV_PENDING_INTERRUPTION_DELIVER_ERROR_CODE);
    assert_int_equal(injected[2], EXCEPTION(1));
    /* Met while an exception was delivered: that one comes again by itself. An interrupt would not: it goes
     * first. */
    begin_script();
    add(LOAM_EXIT_EXCEPTION)->exception.vector = 1;
    fake_interrupted_event = EXCEPTION(14);
    EXPECT_READY(0);
    assert_int_equal(injected[1], EXCEPTION(1));
    begin_script();
    add(LOAM_EXIT_EXCEPTION)->exception.vector = 1;
    fake_interrupted_event = EXTERNAL(0x44);
    EXPECT_READY(0);
    assert_int_equal(injected[1], EXTERNAL(0x44));
    /* Instructions of virtualization. */
    begin_script();
    add(LOAM_EXIT_VIRTUALIZATION_INSTRUCTION);
    EXPECT_READY(0);
    assert_int_equal(injected[1], EXCEPTION(6));
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_RIP), 0xFFF0);
}

static void set_unknown_msr(struct vp *vp)
{
    vp->gpr[GPR_RCX] = FAKE_MSR_UNKNOWN;
    vp->gpr[GPR_RAX] = vp->gpr[GPR_RDX] = 0x77;
}

static void msrs(void **state)
{
    (void)state;
    add(LOAM_EXIT_MSR_READ);
    script[0].act = set_unknown_msr;
    add(LOAM_EXIT_MSR_WRITE);
    EXPECT_READY(0);
    assert_int_equal(injected[1], GENERAL_PROTECTION);
    assert_int_equal(injected[2], GENERAL_PROTECTION);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_RIP), 0xFFF0);
    set_property(id, HV_PARTITION_PROPERTY_UNIMPLEMENTED_MSR_ACTION, 1);
    begin_script();
    add(LOAM_EXIT_MSR_READ);
    script[0].act = set_unknown_msr;
    add(LOAM_EXIT_MSR_WRITE);
    EXPECT_READY(0);
    assert_int_equal(injected[1], 0);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_RAX), 0);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_RDX), 0);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_RIP), 0xFFF0 + 2 * FAKE_INSTRUCTION_LENGTH);
}

static void hypercalls_of_a_child(void **state)
{
    (void)state;
    add(LOAM_EXIT_HYPERCALL)->hypercall_allowed = true;
    EXPECT_READY(0);
    assert_int_equal(injected[1], EXCEPTION(6));
    set_register(id, 0, HV_REGISTER_GUEST_OS_ID, 1, 0);
    begin_script();
    add(LOAM_EXIT_HYPERCALL)->hypercall_allowed = true;
    EXPECT_READY(0);
    assert_int_equal(injected[1], 0);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_RAX), HV_STATUS_INVALID_HYPERCALL_CODE);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_RIP), 0xFFF0 + FAKE_INSTRUCTION_LENGTH);
    begin_script();
    add(LOAM_EXIT_HYPERCALL)->hypercall_allowed = false;
    EXPECT_READY(0);
    assert_int_equal(injected[1], EXCEPTION(6));
}

/* The fake processor's instruction is VMCALL; VMMCALL is an invalid opcode to it. */
static void hypercalls_of_the_other_make(void **state)
{
    uint64_t code = take_pages(1, 1);
    struct hv_x64_segment_register ss = {.attributes = 3 << HV_SEGMENT_DPL_SHIFT};

    (void)state;
    map_pages(id, 0x10, RWX, &code, 1, NULL);
    set_register(id, 0, HV_X64_REGISTER_RIP, 0x10000, 0);
    set_register(id, 0, HV_X64_REGISTER_RFLAGS, 0x10002, 0); /* RF, as after any fault */
    set_register(id, 0, HV_X64_REGISTER_CR0, 0x11, 0);
    set_register(id, 0, HV_REGISTER_GUEST_OS_ID, 1, 0);
    memcpy(page(code), "\x0F\x01\xD9", 3);
    add(LOAM_EXIT_EXCEPTION)->exception.vector = 6;
    EXPECT_READY(0);
    assert_int_equal(injected[1], 0);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_RAX), HV_STATUS_INVALID_HYPERCALL_CODE);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_RIP), 0x10003);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_RFLAGS), 2);
    /* Its own one would not have come here, and nothing else is a hypercall. */
    for (unsigned i = 0; i < 3; i++) {
        static const char *const others[] = {"\x0F\x01\xC1", "\x0F\x0B\xD9", "\x0F\x01"};

        set_register(id, 0, HV_X64_REGISTER_RIP, i == 2 ? 0x10FFE : 0x10000, 0);
        memcpy((uint8_t *)page(code) + (i == 2 ? 0xFFE : 0), others[i], i == 2 ? 2 : 3);
        begin_script();
        add(LOAM_EXIT_EXCEPTION)->exception.vector = 6;
        EXPECT_READY(0);
        assert_int_equal(injected[1], EXCEPTION(6));
    }
    /* Nor is it one for a program. */
    memcpy(page(code), "\x0F\x01\xD9", 3);
    set_register(id, 0, HV_X64_REGISTER_RIP, 0x10000, 0);
    set_register(id, 0, HV_X64_REGISTER_SS, 0, (uint64_t)ss.attributes << 48);
    begin_script();
    add(LOAM_EXIT_EXCEPTION)->exception.vector = 6;
    EXPECT_READY(0);
    assert_int_equal(injected[1], EXCEPTION(6));
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_RIP), 0x10000);
}

static void control_registers(void **state)
{
    struct vp_exit *exit = add(LOAM_EXIT_CONTROL_REGISTER);

    (void)state;
    exit->control.number = 8;
    exit->control.write = true;
    exit->control.gpr = GPR_RBX;
    set_register(id, 0, HV_X64_REGISTER_RBX, 9, 0);
    exit = add(LOAM_EXIT_CONTROL_REGISTER);
    exit->control.number = 8;
    exit->control.gpr = GPR_RSI;
    EXPECT_READY(0);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_CR8), 9);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_RSI), 9);
    begin_script();
    exit = add(LOAM_EXIT_CONTROL_REGISTER);
    exit->control.number = 8;
    exit->control.write = true;
    exit->control.gpr = GPR_RBX;
    set_register(id, 0, HV_X64_REGISTER_RBX, 16, 0);
    EXPECT_READY(0);
    assert_int_equal(injected[1], GENERAL_PROTECTION);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_CR8), 9);
}

static void xsetbv(void **state)
{
    (void)state;
    add(LOAM_EXIT_XSETBV);
    set_register(id, 0, HV_X64_REGISTER_RAX, 3, 0);
    set_register(id, 0, HV_X64_REGISTER_RDX, 0, 0);
    EXPECT_READY(0);
    assert_int_equal(injected[1], EXCEPTION(6)); /* CR4.OSXSAVE is clear */
    set_register(id, 0, HV_X64_REGISTER_CR4, FAKE_CR4_OSXSAVE, 0);
    begin_script();
    add(LOAM_EXIT_XSETBV);
    EXPECT_READY(0);
    assert_int_equal(injected[1], 0);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_XFEM), 3);
    for (unsigned i = 0; i < 2; i++) {
        set_register(id, 0, HV_X64_REGISTER_RAX, i == 0 ? 4 : 3, 0);
        set_register(id, 0, HV_X64_REGISTER_RCX, i, 0);
        begin_script();
        add(LOAM_EXIT_XSETBV);
        EXPECT_READY(0);
        assert_int_equal(injected[1], GENERAL_PROTECTION);
    }
}

static void small_exits(void **state)
{
    (void)state;
    add(LOAM_EXIT_CACHE);
    add(LOAM_EXIT_PAUSE);
    add(LOAM_EXIT_KICK);
    EXPECT_READY(0);
    assert_int_equal(fake_vendor_record.runs, 2);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_RIP), 0xFFF0 + 2 * FAKE_INSTRUCTION_LENGTH);
}

static void triple_fault(void **state)
{
    (void)state;
    set_register(id, 0, HV_X64_REGISTER_RIP, 0xBAD000, 0);
    set_register(id, 0, HV_X64_REGISTER_CR0, 1, 0);
    add(LOAM_EXIT_TRIPLE_FAULT);
    EXPECT_INTERCEPT(0);
    assert_int_equal(message_page(0)->header.message_type, HVMSG_UNRECOVERABLE_EXCEPTION);
    assert_int_equal(((const struct hv_x64_intercept_message_header *)message_page(0)->payload)->rip,
                     0xBAD000);
    /* Whoever dispatches it again finds a processor after reset. */
    begin_script();
    EXPECT_READY(CLEAR);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_RIP), 0xFFF0);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_CR0), 0x60000010);
    assert_in_range(register_low(id, 0, HV_X64_REGISTER_TSC), 1, 1000000);
}

static void refused_state(void **state)
{
    (void)state;
    add(LOAM_EXIT_INVALID_STATE)->raw = ~0ull;
    EXPECT_INTERCEPT(0);
    assert_int_equal(message_page(0)->header.message_type, HVMSG_INVALID_VP_REGISTER_VALUE);
    begin_script();
    add(LOAM_EXIT_OTHER)->raw = 0x7D;
    EXPECT_INTERCEPT(CLEAR);
    assert_int_equal(message_page(0)->header.message_type, HVMSG_UNSUPPORTED_FEATURE);
    assert_int_equal(
        ((const struct hv_unsupported_feature_message *)message_page(0)->payload)->feature_parameter, 0x7D);
}

static uint64_t task_switch_parameter(void)
{
    const struct hv_unsupported_feature_message *message = (const void *)message_page(0)->payload;

    assert_int_equal(message_page(0)->header.message_type, HVMSG_UNSUPPORTED_FEATURE);
    assert_int_equal(message->vp_index, 0);
    assert_int_equal(message->feature_code, HV_UNSUPPORTED_FEATURE_TASK_SWITCH_TSS);
    return message->feature_parameter;
}

/* All that the VMM has to know, and the event that met the task gate does not come again. */
static void task_switches(void **state)
{
    struct vp_exit *exit;

    (void)state;
    exit = add(LOAM_EXIT_TASK_SWITCH);
    exit->instruction_length = 7;
    exit->task_switch.selector = 0x1238;
    exit->task_switch.source = LOAM_TASK_SWITCH_JMP;
    exit->task_switch.event = HV_INTERRUPTION_TYPE_EXCEPTION; /* leavings of another exit */
    exit->task_switch.has_error_code = true;
    EXPECT_INTERCEPT(0);
    assert_int_equal(task_switch_parameter(), 0x1238 | 2u << 16 | 7u << 18);
    begin_script();
    exit = add(LOAM_EXIT_TASK_SWITCH);
    exit->task_switch.selector = 0x40;
    exit->task_switch.source = LOAM_TASK_SWITCH_GATE;
    exit->task_switch.event = HV_INTERRUPTION_TYPE_EXCEPTION;
    exit->task_switch.vector = 14;
    exit->task_switch.has_error_code = true;
    exit->task_switch.error_code = 0x80000003;
    fake_interrupted_event = EXCEPTION(14);
    EXPECT_INTERCEPT(CLEAR);
    assert_int_equal(task_switch_parameter(), 0x40 | 3u << 16 | 3u << 22 | 1u << 25 | 14u << 26 | 0x80000003ull << 32);
    assert_int_equal(register_low(id, 0, HV_REGISTER_PENDING_INTERRUPTION), 0);
    begin_script();
    exit = add(LOAM_EXIT_TASK_SWITCH);
    exit->instruction_length = 2;
    exit->task_switch.selector = 0x40;
    exit->task_switch.source = LOAM_TASK_SWITCH_GATE;
    exit->task_switch.event = HV_INTERRUPTION_TYPE_SOFTWARE_INTERRUPT;
    exit->task_switch.vector = 0x80;
    EXPECT_INTERCEPT(CLEAR);
    assert_int_equal(task_switch_parameter(), 0x40 | 3u << 16 | 2u << 18 | 4u << 22);
}

static void halts(void **state)
{
    (void)state;
    enable_apic(vp0);
    set_flags(FAKE_RFLAGS_IF | 2);
    add(LOAM_EXIT_HLT);
    EXPECT_BLOCKED(0);
    assert_int_equal(fake_vendor_record.runs, 1);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_RIP), 0xFFF0 + FAKE_INSTRUCTION_LENGTH);
    assert_int_equal(register_low(id, 0, HV_REGISTER_INTERNAL_ACTIVITY_STATE), HV_ACTIVITY_HALT_SUSPEND);
    /* Dispatched without a reason, it blocks again. */
    begin_script();
    EXPECT_BLOCKED(0);
    assert_int_equal(fake_vendor_record.runs, 0);
    /* The interrupt reports the wake-up, once. */
    assert_vector(0, 0x31, 1);
    assert_vector(0, 0x32, 0);
    EXPECT_READY(0);
    assert_int_equal(injected[0], EXTERNAL(0x32));
    assert_int_equal(register_low(id, 0, HV_REGISTER_INTERNAL_ACTIVITY_STATE), 0);
}

static void halts_without_interrupts(void **state)
{
    struct loam_vp_set wake;

    (void)state;
    enable_apic(vp0);
    set_flags(2);
    add(LOAM_EXIT_HLT);
    EXPECT_BLOCKED(0);
    /* An interrupt wakes the thread, but not the VP. */
    assert_vector(0, 0x31, 1);
    begin_script();
    EXPECT_BLOCKED(0);
    assert_int_equal(fake_vendor_record.runs, 0);
    /* An NMI does. */
    assert_int_equal(assert_interrupt(HV_X64_INTERRUPT_TYPE_NMI, 0, 0, &wake), HV_STATUS_SUCCESS);
    assert_int_equal(wake.bank[0], 1);
    EXPECT_READY(0);
    assert_int_equal(injected[0], NMI);
}

/* An interrupt that comes while the exit of HLT is on its way is not slept through. */
static void interrupt_meanwhile(struct vp *vp)
{
    struct loam_vp_set wake;
    const struct interrupt_request request = {.type = HV_X64_INTERRUPT_TYPE_FIXED, .vector = 0x41};

    (void)vp;
    memset(&wake, 0, sizeof(wake));
    fake_machine_become(1);
    interrupt_deliver(vp0->partition, &request, NULL, &wake);
    fake_machine_become(0);
    assert_int_equal(wake.bank[0], 0);
}

static unsigned kicked;

static void count_kick(uint32_t lp_index)
{
    assert_int_equal(lp_index, 0);
    kicked++;
}

static void no_lost_wake_ups(void **state)
{
    (void)state;
    enable_apic(vp0);
    set_flags(FAKE_RFLAGS_IF | 2);
    kicked = 0;
    fake_kick = count_kick;
    add(LOAM_EXIT_HLT);
    script[0].act = interrupt_meanwhile;
    EXPECT_READY(0);
    assert_int_equal(kicked, 1);
    assert_int_equal(fake_vendor_record.runs, 2);
    assert_int_equal(injected[1], EXTERNAL(0x41));
    /* Not running: it will look for itself. */
    begin_script();
    interrupt_meanwhile(vp0);
    assert_int_equal(kicked, 1);
}

static void priorities(void **state)
{
    struct loam_vp_set wake;

    (void)state;
    enable_apic(vp0);
    set_flags(FAKE_RFLAGS_IF | 2);
    assert_vector(0, 0x41, 0);
    assert_vector(0, 0x91, 0);
    assert_interrupt(HV_X64_INTERRUPT_TYPE_NMI, 0, 0, &wake);
    set_register(id, 0, HV_REGISTER_PENDING_INTERRUPTION, EXCEPTION(3), 0);
    /* What was pending already, the NMI, the highest vector; the lower one has to wait for its EOI. */
    for (unsigned i = 0; i < 4; i++)
        add(LOAM_EXIT_INTERRUPT_WINDOW);
    EXPECT_READY(0);
    assert_int_equal(injected[0], EXCEPTION(3));
    assert_int_equal(injected[1], NMI);
    assert_int_equal(injected[2], EXTERNAL(0x91));
    assert_int_equal(injected[3], 0);
    assert_int_equal(injected[4], 0);
    assert_false(fake_vendor_record.window);
}

static void windows(void **state)
{
    struct loam_vp_set wake;

    (void)state;
    enable_apic(vp0);
    /* Interrupts disabled, shadow, masked NMI: nothing is injected, a window is asked for where it helps. */
    set_flags(2);
    assert_vector(0, 0x41, 0);
    EXPECT_READY(0);
    assert_int_equal(injected[0], 0);
    assert_true(fake_vendor_record.window);
    set_flags(FAKE_RFLAGS_IF | 2);
    set_register(id, 0, HV_REGISTER_INTERRUPT_STATE, HV_INTERRUPT_STATE_SHADOW, 0);
    begin_script();
    EXPECT_READY(0);
    assert_int_equal(injected[0], 0);
    assert_true(fake_vendor_record.window);
    set_register(id, 0, HV_REGISTER_INTERRUPT_STATE, HV_INTERRUPT_STATE_NMI_MASKED, 0);
    assert_interrupt(HV_X64_INTERRUPT_TYPE_NMI, 0, 0, &wake);
    begin_script();
    EXPECT_READY(0);
    assert_int_equal(injected[0], EXTERNAL(0x41));
    set_register(id, 0, HV_REGISTER_INTERRUPT_STATE, 0, 0);
    begin_script();
    EXPECT_READY(0);
    assert_int_equal(injected[0], NMI);
    assert_false(fake_vendor_record.window);
}

static void task_priority(void **state)
{
    (void)state;
    enable_apic(vp0);
    set_flags(FAKE_RFLAGS_IF | 2);
    set_register(id, 0, HV_X64_REGISTER_CR8, 4, 0);
    assert_vector(0, 0x41, 0);
    EXPECT_READY(0);
    assert_int_equal(injected[0], 0);
    set_register(id, 0, HV_X64_REGISTER_CR8, 3, 0);
    begin_script();
    EXPECT_READY(0);
    assert_int_equal(injected[0], EXTERNAL(0x41));
}

/* ExtINT: the parent waits until it can be delivered, then acknowledges its PIC and asserts the vector. */
static void deliverability(void **state)
{
    const struct hv_x64_interruption_deliverable_message *message = (const void *)message_page(0)->payload;
    struct local_apic_effect effect;
    struct loam_vp_set wake;

    (void)state;
    /* LINT0 is masked after reset: nothing is deliverable, however open the processor is. */
    enable_apic(vp0);
    set_flags(FAKE_RFLAGS_IF | 2);
    set_register(id, 0, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, HV_DELIVERABILITY_INTERRUPT, 0);
    EXPECT_READY(0);
    assert_false(fake_vendor_record.window);
    local_apic_write(&vp0->apic, APIC_REGISTER_LVT_LINT0, 0x700, 0, &effect);
    set_flags(2);
    begin_script();
    EXPECT_READY(0);
    assert_true(fake_vendor_record.window);
    set_flags(FAKE_RFLAGS_IF | 2);
    begin_script();
    EXPECT_INTERCEPT(0);
    assert_int_equal(fake_vendor_record.runs, 0);
    assert_int_equal(message_page(0)->header.message_type, HVMSG_X64_INTERRUPTION_DELIVERABLE);
    assert_int_equal(message->deliverable_type, HV_INTERRUPTION_TYPE_EXTERNAL);
    assert_int_equal(register_low(id, 0, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS), 0);
    assert_int_equal(assert_interrupt(HV_X64_INTERRUPT_TYPE_EXTINT, 0, 8, &wake), HV_STATUS_SUCCESS);
    assert_int_equal(assert_interrupt(HV_X64_INTERRUPT_TYPE_EXTINT, 0, 9, &wake), HV_STATUS_NOT_ACKNOWLEDGED);
    EXPECT_READY(CLEAR);
    assert_int_equal(injected[0], EXTERNAL(8));
    /* Of a halted VP, too; it stays halted until the interrupt comes. */
    begin_script();
    add(LOAM_EXIT_HLT);
    EXPECT_BLOCKED(0);
    set_register(id, 0, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, HV_DELIVERABILITY_INTERRUPT, 0);
    EXPECT_INTERCEPT(0);
    assert_int_equal(register_low(id, 0, HV_REGISTER_INTERNAL_ACTIVITY_STATE), HV_ACTIVITY_HALT_SUSPEND);
    begin_script();
    EXPECT_BLOCKED(CLEAR);
    /* By priority: 5 is not above CR8 = 5. */
    set_register(id, 0, HV_X64_REGISTER_CR8, 5, 0);
    set_register(id, 0, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, HV_DELIVERABILITY_INTERRUPT | 5 << 2, 0);
    EXPECT_BLOCKED(0);
    set_register(id, 0, HV_X64_REGISTER_CR8, 4, 0);
    EXPECT_INTERCEPT(0);
    /* NMIs. */
    set_register(id, 0, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, HV_DELIVERABILITY_NMI, 0);
    EXPECT_INTERCEPT(CLEAR);
    assert_int_equal(message->deliverable_type, HV_INTERRUPTION_TYPE_NMI);
}

static void end_of_interrupt(struct vp *vp)
{
    struct local_apic_effect effect;

    local_apic_write(&vp->apic, APIC_REGISTER_EOI, 0, 0, &effect);
}

static void level_interrupts(void **state)
{
    struct hv_input_assert_virtual_interrupt input = {.partition_id = id,
                                                      .interrupt_type = HV_X64_INTERRUPT_TYPE_FIXED,
                                                      .interrupt_flags = HV_INTERRUPT_LEVEL_TRIGGERED,
                                                      .vector = 0x55};
    const struct hv_x64_apic_eoi_message *message = (const void *)message_page(0)->payload;

    (void)state;
    enable_apic(vp0);
    set_flags(FAKE_RFLAGS_IF | 2);
    set_property(id, LOAM_PARTITION_PROPERTY_APIC_EOI_MESSAGES, 1);
    assert_int_equal(hypercall_status(HVCALL_ASSERT_VIRTUAL_INTERRUPT, 0, &input, sizeof(input)),
                     HV_STATUS_SUCCESS);
    add_act(end_of_interrupt);
    EXPECT_INTERCEPT(0);
    assert_int_equal(injected[0], EXTERNAL(0x55));
    assert_int_equal(message_page(0)->header.message_type, HVMSG_X64_APIC_EOI);
    assert_int_equal(message->interrupt_vector, 0x55);
    assert_int_equal(message->vp_index, 0);
    /* Without the property it is an edge, and nobody is told. */
    set_property(id, LOAM_PARTITION_PROPERTY_APIC_EOI_MESSAGES, 0);
    assert_int_equal(hypercall_status(HVCALL_ASSERT_VIRTUAL_INTERRUPT, 0, &input, sizeof(input)),
                     HV_STATUS_SUCCESS);
    begin_script();
    add_act(end_of_interrupt);
    EXPECT_READY(CLEAR);
}

static uint64_t arm_at;

static void arm_timer(struct vp *vp)
{
    struct local_apic_effect effect;

    local_apic_write(&vp->apic, APIC_REGISTER_LVT_TIMER, 0x40000 | 0x70, fake_tsc, &effect);
    local_apic_set_tsc_deadline(&vp->apic, arm_at + vp->apic.tsc_offset);
}

static void timers(void **state)
{
    (void)state;
    enable_apic(vp0);
    set_flags(FAKE_RFLAGS_IF | 2);
    /* Armed: the dispatch ends so that the driver can set its own timer; then the VP runs. */
    arm_at = fake_tsc + 1000000;
    add_act(arm_timer);
    EXPECT_READY(0);
    assert_int_equal(fake_vendor_record.runs, 1);
    assert_int_equal(output.deadline, arm_at);
    begin_script();
    EXPECT_READY(0);
    assert_int_equal(fake_vendor_record.runs, 1);
    assert_int_equal(output.deadline, arm_at);
    /* Armed for later: the driver's timer comes too early, which does no harm. */
    arm_at += 500000;
    begin_script();
    add_act(arm_timer);
    EXPECT_READY(0);
    assert_int_equal(fake_vendor_record.runs, 2);
    assert_int_equal(output.deadline, arm_at);
    /* Halted until then. */
    begin_script();
    add(LOAM_EXIT_HLT);
    EXPECT_BLOCKED(0);
    assert_int_equal(output.deadline, arm_at);
    EXPECT_BLOCKED(0);
    fake_tsc = arm_at;
    begin_script();
    EXPECT_READY(0);
    assert_int_equal(injected[0], EXTERNAL(0x70));
    assert_int_equal(output.deadline, LOAM_NO_DEADLINE);
}

/* A timer that is due between the decision to block and the return must not find the VP asleep. */
static void timer_at_the_last_moment(void **state)
{
    (void)state;
    enable_apic(vp0);
    set_flags(FAKE_RFLAGS_IF | 2);
    arm_at = fake_tsc + 1000000;
    add_act(arm_timer);
    EXPECT_READY(0);
    begin_script();
    add(LOAM_EXIT_HLT);
    EXPECT_BLOCKED(0);
    /* The next reading of the clock is still before the deadline, the one after it is not. */
    for (uint64_t distance = 1; distance < 100; distance++) {
        arm_at = fake_tsc + distance;
        arm_timer(vp0);
        vp0->told_deadline = arm_at;
        begin_script();
        assert_int_equal(dispatch(id, 0, 0, &output), HV_STATUS_SUCCESS);
        if (output.dispatch.dispatch_state == HV_VP_DISPATCH_STATE_BLOCKED) {
            assert_true(output.deadline != LOAM_NO_DEADLINE);
            assert_int_equal(local_apic_pending(&vp0->apic), -1);
        }
        local_apic_init(&vp0->apic);
        enable_apic(vp0);
        vp0->halted = true;
        vp0->pending_interruption = 0;
    }
}

static void periodic_timers(void **state)
{
    struct local_apic_effect effect;
    uint64_t first;

    (void)state;
    enable_apic(vp0);
    set_flags(FAKE_RFLAGS_IF | 2);
    local_apic_write(&vp0->apic, APIC_REGISTER_DIVIDE, 0xB, fake_tsc, &effect);
    local_apic_write(&vp0->apic, APIC_REGISTER_LVT_TIMER, 0x20000 | 0x71, fake_tsc, &effect);
    local_apic_write(&vp0->apic, APIC_REGISTER_INITIAL_COUNT, 1000000, fake_tsc, &effect);
    EXPECT_READY(0);
    assert_int_equal(fake_vendor_record.runs, 0);
    first = output.deadline;
    EXPECT_READY(0);
    assert_int_equal(fake_vendor_record.runs, 1);
    /* After each expiry the driver hears of the next one before the VP runs without it. */
    for (unsigned i = 1; i < 5; i++) {
        fake_tsc = first + 5;
        EXPECT_READY(0);
        assert_true(output.deadline > fake_tsc);
        assert_int_equal((output.deadline - first) % (1000000ull << ARCH_APIC_TIMER_SHIFT), 0);
        first = output.deadline;
        begin_script();
        EXPECT_READY(0);
        assert_int_equal(fake_vendor_record.runs, 1);
        assert_int_equal(injected[0], EXTERNAL(0x71));
        local_apic_write(&vp0->apic, APIC_REGISTER_EOI, 0, fake_tsc, &effect);
    }
    /* A parent that is slower than the timer does not keep the VP from running. */
    begin_script();
    for (unsigned i = 1; i < 7; i++) {
        fake_tsc += 100000000;
        EXPECT_READY(0);
        assert_int_equal(fake_vendor_record.runs, i / 2);
    }
}

/* --- several VPs --- */

static void send_ipi(struct vp *vp)
{
    vp->gpr[GPR_RAX] = 0x4000 | 0x500; /* INIT */
    (void)vp;
}

static void starting_processors(void **state)
{
    struct vp_exit *exit;

    (void)state;
    create_vp_with_pages(id, 1);
    enable_apic(vp0);
    assert_int_equal(dispatch(id, 1, 0, &output), HV_STATUS_SUCCESS);
    assert_int_equal(output.dispatch.dispatch_state, HV_VP_DISPATCH_STATE_BLOCKED);
    assert_int_equal(output.dispatch.dispatch_event, HV_VP_DISPATCH_EVENT_NONE);
    /* VP 0: INIT and SIPI to VP 1 through its APIC page. The wake-up leaves with its dispatch. */
    exit = add(LOAM_EXIT_NESTED_FAULT);
    exit->fault.gpa = 0xFEE00310;
    exit->fault.write = true;
    set_register(id, 0, HV_X64_REGISTER_RAX, 1 << 24, 0);
    exit = add(LOAM_EXIT_NESTED_FAULT);
    script[1].act = send_ipi;
    exit->fault.gpa = 0xFEE00300;
    exit->fault.write = true;
    EXPECT_READY(0);
    assert_int_equal(fake_vendor_record.runs, 3);
    assert_int_equal(output.wake.bank[0], 0); /* it waits for a SIPI anyway */
    assert_int_equal(statistic(id, LOAM_STATISTICS_VP, 0, LOAM_EXIT_APIC_ACCESS), 2);
    begin_script();
    exit = add(LOAM_EXIT_NESTED_FAULT);
    exit->fault.gpa = 0xFEE00300;
    exit->fault.write = true;
    set_register(id, 0, HV_X64_REGISTER_RAX, 0x600 | 0x9A, 0);
    EXPECT_READY(0);
    assert_int_equal(fake_vendor_record.runs, 1);
    assert_int_equal(output.wake.bank[0], 2);
    begin_script();
    assert_int_equal(dispatch(id, 1, 0, &output), HV_STATUS_SUCCESS);
    assert_int_equal(output.dispatch.dispatch_state, HV_VP_DISPATCH_STATE_READY);
    assert_int_equal(register_low(id, 1, HV_X64_REGISTER_RIP), 0);
    assert_int_equal(register_low(id, 1, HV_X64_REGISTER_CS), 0x9A000);
    assert_int_equal(register_low(id, 1, HV_REGISTER_INTERNAL_ACTIVITY_STATE), 0);
    /* INIT again: it stops where it is. */
    begin_script();
    exit = add(LOAM_EXIT_NESTED_FAULT);
    script[0].act = send_ipi;
    exit->fault.gpa = 0xFEE00300;
    exit->fault.write = true;
    EXPECT_READY(0);
    set_register(id, 1, HV_X64_REGISTER_EFER, 0xD01, 0);
    assert_int_equal(dispatch(id, 1, 0, &output), HV_STATUS_SUCCESS);
    assert_int_equal(output.dispatch.dispatch_state, HV_VP_DISPATCH_STATE_BLOCKED);
    assert_int_equal(register_low(id, 1, HV_X64_REGISTER_RIP), 0xFFF0);
    assert_int_equal(register_low(id, 1, HV_X64_REGISTER_EFER), 0);
}

static void apic_page_belongs_to_the_apic(void **state)
{
    struct vp_exit *exit = add(LOAM_EXIT_NESTED_FAULT);

    (void)state;
    exit->fault.gpa = 0xFEE00030;
    /* An access that the hypervisor does not decode leaves as any other. */
    exit = add(LOAM_EXIT_NESTED_FAULT);
    exit->fault.gpa = 0xFEE00031;
    EXPECT_INTERCEPT(0);
    assert_int_equal(register_low(id, 0, HV_X64_REGISTER_RAX) & 0xFF, 0x14);
    assert_int_equal(message_page(0)->header.message_type, HVMSG_UNMAPPED_GPA);
    /* Moved away: the page is memory that nobody mapped. */
    set_register(id, 0, HV_X64_REGISTER_APIC_BASE, 0xFED00900, 0);
    begin_script();
    exit = add(LOAM_EXIT_NESTED_FAULT);
    exit->fault.gpa = 0xFEE00030;
    EXPECT_INTERCEPT(CLEAR);
}

/* A VP of a partition that is being finalized leaves its guest. */
static void finalize_meanwhile(struct vp *vp)
{
    uint64_t control = HVCALL_FINALIZE_PARTITION | HV_CONTROL_FAST, result;

    (void)vp;
    fake_machine_become(1);
    assert_false(hypercall_once(&control, id, 0, &result));
    assert_int_equal(kicked, 1);
    fake_machine_become(0);
}

static void finalized_while_running(void **state)
{
    (void)state;
    kicked = 0;
    fake_kick = count_kick;
    add_act(finalize_meanwhile);
    add(LOAM_EXIT_CPUID);
    assert_int_equal(dispatch(id, 0, 0, &output), HV_STATUS_INVALID_PARTITION_STATE);
    assert_int_equal(fake_vendor_record.runs, 1);
    assert_int_equal(hypercall_fast(HVCALL_FINALIZE_PARTITION, id, 0), HV_STATUS_SUCCESS);
    assert_int_equal(frame_find(physical_address(message_page(0)) >> 12)->maps, 0);
}

/* Memory is unmapped on another processor: the VP is waited for, and drops its translations at its next
 * entry. */
static unsigned flushes_before;

static void unmap_meanwhile(struct vp *vp)
{
    (void)vp;
    flushes_before = fake_vendor_record.flushes;
    fake_machine_become(1);
    /* Processor 0 does not flush by itself in this test: it is not to be waited for. */
    fake_elsewhere = NULL;
    assert_ptr_equal(lp_by_index(0)->running, vp0);
    lp_by_index(0)->running = NULL;
    assert_int_equal(unmap_pages(id, 0x20, 0, 1, NULL), HV_STATUS_SUCCESS);
    lp_by_index(0)->running = vp0;
    fake_machine_become(0);
}

static void unmapped_while_running(void **state)
{
    uint64_t pfn = take_pages(1, 1);

    (void)state;
    map_pages(id, 0x20, RWX, &pfn, 1, NULL);
    add_act(unmap_meanwhile);
    EXPECT_READY(0);
    assert_int_equal(fake_vendor_record.runs, 2);
    assert_int_equal(fake_vendor_record.flushes, flushes_before + 1);
    /* Nothing changed since: no flush; on another processor always one. */
    EXPECT_READY(0);
    assert_int_equal(fake_vendor_record.flushes, flushes_before + 1);
    fake_machine_become(1);
    EXPECT_READY(0);
    assert_int_equal(fake_vendor_record.flushes, flushes_before + 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, fixture_stop)
    const struct CMUnitTest tests[] = {
        TEST(refused),
        TEST(preempted),
        TEST(time_slices),
        TEST(suspended),
        TEST(cpuid),
        TEST(io_ports),
        TEST(memory),
        TEST(interrupted_delivery),
        TEST(exceptions),
        TEST(memory_without_access_to_the_instruction),
        TEST(fetch_splits_large_page),
        TEST(cr4),
        TEST(machine_check),
        TEST(msrs),
        TEST(hypercalls_of_a_child),
        TEST(hypercalls_of_the_other_make),
        TEST(control_registers),
        TEST(xsetbv),
        TEST(small_exits),
        TEST(triple_fault),
        TEST(refused_state),
        TEST(task_switches),
        TEST(halts),
        TEST(halts_without_interrupts),
        TEST(no_lost_wake_ups),
        TEST(priorities),
        TEST(windows),
        TEST(task_priority),
        TEST(deliverability),
        TEST(level_interrupts),
        TEST(timers),
        TEST(timer_at_the_last_moment),
        TEST(periodic_timers),
        TEST(starting_processors),
        TEST(apic_page_belongs_to_the_apic),
        TEST(finalized_while_running),
        TEST(unmapped_while_running),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
