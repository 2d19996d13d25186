/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The MMIO emulator: first against the processor that runs this test, which executes the same bytes on its
 * own memory; then case by case for what cannot be executed here (other modes, faults, limits).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "partitions/root/worker/mmio_emulator.h"
#include "partitions/root/worker/processor_mode.h"

/* A machine with RAM at 64 KiB and a device of one page that remembers what is written to it. */
#define RAM_BASE    0x10000ull
#define RAM_SIZE    0x10000ull
#define DEVICE_BASE 0xFEC00000ull
#define DEVICE_SIZE 0x1000ull
#define ABSENT      0x7000000ull /* a page that the guest's tables do not map */
#define READ_ONLY   0x18000ull   /* a page of RAM that they map without write permission */

enum { MAXIMUM_ACCESSES = 4096 };

static struct {
    struct bus bus;
    pthread_mutex_t lock;
    uint8_t ram[RAM_SIZE];
    uint8_t device[DEVICE_SIZE];
    unsigned reads, writes;
    unsigned sizes[MAXIMUM_ACCESSES];
    unsigned translations;
    uint8_t xmm[16][16];
    struct memory_environment environment;
    struct memory_access access;
    struct mmio_emulator emulator;
    struct hv_vp_register_page registers;
    struct hv_x64_memory_intercept_message message;
} test;

static uint64_t device_read(void *device, uint64_t offset, unsigned size)
{
    uint64_t value = 0;

    (void)device;
    test.sizes[(test.reads++ + test.writes) % MAXIMUM_ACCESSES] = size;
    memcpy(&value, test.device + offset, size);
    return value;
}

static void device_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    (void)device;
    test.sizes[(test.reads + test.writes++) % MAXIMUM_ACCESSES] = size;
    memcpy(test.device + offset, &value, size);
}

static const struct bus_operations device_operations = {.read = device_read, .write = device_write};

static bool translate(void *context, const struct hv_vp_register_page *registers, uint64_t linear,
                      enum memory_intent intent, uint64_t *gpa, struct exception *exception)
{
    uint64_t page = linear & ~0xFFFull;
    unsigned user = processor_privilege(registers) == 3 ? PAGE_FAULT_USER : 0;
    unsigned write = intent == MEMORY_WRITE ? PAGE_FAULT_WRITE : 0;
    unsigned fetch = intent == MEMORY_EXECUTE ? PAGE_FAULT_FETCH : 0;

    (void)context;
    test.translations++;
    *exception =
        (struct exception){.vector = EXCEPTION_PAGE_FAULT, .has_error_code = true, .parameter = linear};
    if (page == ABSENT) {
        exception->error_code = user | write | fetch;
        return false;
    }
    if (page == READ_ONLY && write) {
        exception->error_code = PAGE_FAULT_PRESENT | user | write;
        return false;
    }
    *gpa = linear;
    return true;
}

static uint8_t *ram(void *context, uint64_t gpa, enum memory_intent intent)
{
    (void)context;
    (void)intent;
    return gpa >= RAM_BASE && gpa < RAM_BASE + RAM_SIZE ? test.ram + (gpa - RAM_BASE) : NULL;
}

static bool get_xmm(void *context, unsigned index, uint8_t value[16])
{
    (void)context;
    memcpy(value, test.xmm[index], 16);
    return true;
}

static bool set_xmm(void *context, unsigned index, const uint8_t value[16])
{
    (void)context;
    memcpy(test.xmm[index], value, 16);
    return true;
}

static struct hv_x64_segment_register flat_segment(uint16_t attributes)
{
    return (struct hv_x64_segment_register){.limit = 0xFFFFFFFF, .attributes = attributes};
}

static void set_mode(unsigned width)
{
    struct hv_vp_register_page *registers = &test.registers;
    uint16_t big = width == 32 ? HV_SEGMENT_DB : 0;

    registers->cr0 = CR0_PE | CR0_PG;
    registers->efer = width == 64 ? EFER_LMA : 0;
    for (unsigned i = 0; i < 6; i++)
        registers->segment[i] = flat_segment(0x93 | big);
    registers->segment[SEGMENT_CS] = flat_segment(0x9B | big | (width == 64 ? HV_SEGMENT_L : 0));
}

static int set_up(void **state)
{
    (void)state;
    memset(&test, 0, sizeof test);
    pthread_mutex_init(&test.lock, NULL);
    bus_initialize(&test.bus);
    assert_true(bus_add(&test.bus, BUS_MEMORY, DEVICE_BASE, DEVICE_SIZE, &device_operations, NULL, "device"));
    test.environment = (struct memory_environment){
        .translate = translate, .ram = ram, .bus = &test.bus, .device_lock = &test.lock};
    memory_access_initialize(&test.access, &test.environment);
    test.emulator = (struct mmio_emulator){.memory = &test.access, .get_xmm = get_xmm, .set_xmm = set_xmm};
    test.registers.rflags = 2;
    test.registers.rip = 0x1000;
    /* A translation that no test uses, so that all others have to be made. */
    test.message.memory_access_info = HV_MEMORY_ACCESS_GVA_VALID | HV_MEMORY_ACCESS_GVA_GPA_VALID;
    test.message.guest_virtual_address = 0x5000;
    set_mode(64);
    return 0;
}

static enum emulator_result run(const void *bytes, size_t count)
{
    test.message.instruction_byte_count = (uint8_t)count;
    memset(test.message.instruction_bytes, 0, sizeof test.message.instruction_bytes);
    memcpy(test.message.instruction_bytes, bytes, count);
    return mmio_emulator_run(&test.emulator, &test.registers, &test.message);
}

#define RUN(...) run((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))
#define GP(name) (test.registers.gp_registers[GP_##name])

/* ---- The processor as the judge ---- */

#define WINDOW        256 /* bytes that an instruction may touch, on either side of RBX */
#define STATUS_FLAGS  0x8D5ull
#define PLACE_LENGTH  16
#define CODE_CAPACITY 4096

struct native_state {
    uint64_t gp[16];
    uint64_t rflags;
};

/* Loads everything but RSP from the state in RDI, runs the instruction at native_place, and stores it again.
 */
void native_template(struct native_state *state);
extern const uint8_t native_place[], native_end[];
__asm__(".text\n"
        ".globl native_template, native_place, native_end\n"
        "native_template:\n"
        "    push %rbx\n    push %rbp\n    push %r12\n    push %r13\n    push %r14\n    push %r15\n"
        "    push %rdi\n"
        "    push 128(%rdi)\n    popfq\n"
        "    mov 0(%rdi), %rax\n    mov 8(%rdi), %rcx\n    mov 16(%rdi), %rdx\n    mov 24(%rdi), %rbx\n"
        "    mov 40(%rdi), %rbp\n    mov 48(%rdi), %rsi\n    mov 64(%rdi), %r8\n    mov 72(%rdi), %r9\n"
        "    mov 80(%rdi), %r10\n    mov 88(%rdi), %r11\n    mov 96(%rdi), %r12\n    mov 104(%rdi), %r13\n"
        "    mov 112(%rdi), %r14\n    mov 120(%rdi), %r15\n    mov 56(%rdi), %rdi\n"
        "native_place:\n"
        "    .fill 16, 1, 0x90\n"
        "    xchg %rdi, (%rsp)\n"
        "    mov %rax, 0(%rdi)\n    mov %rcx, 8(%rdi)\n    mov %rdx, 16(%rdi)\n    mov %rbx, 24(%rdi)\n"
        "    mov %rbp, 40(%rdi)\n    mov %rsi, 48(%rdi)\n    mov %r8, 64(%rdi)\n    mov %r9, 72(%rdi)\n"
        "    mov %r10, 80(%rdi)\n    mov %r11, 88(%rdi)\n    mov %r12, 96(%rdi)\n    mov %r13, 104(%rdi)\n"
        "    mov %r14, 112(%rdi)\n    mov %r15, 120(%rdi)\n"
        "    pop %rax\n    mov %rax, 56(%rdi)\n"
        "    pushfq\n    pop 128(%rdi)\n    cld\n"
        "    pop %r15\n    pop %r14\n    pop %r13\n    pop %r12\n    pop %rbp\n    pop %rbx\n"
        "    ret\n"
        "native_end:\n");

static void native_run(struct native_state *state, const uint8_t *bytes, size_t count)
{
    static uint8_t *code;
    size_t place = (size_t)(native_place - (const uint8_t *)native_template);

    if (!code) {
        code =
            mmap(NULL, CODE_CAPACITY, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_ptr_not_equal(code, MAP_FAILED);
        memcpy(code, (const void *)native_template, (size_t)(native_end - (const uint8_t *)native_template));
    }
    memset(code + place, 0x90, PLACE_LENGTH);
    memcpy(code + place, bytes, count);
    ((void (*)(struct native_state *))code)(state);
}

static uint64_t random_state = 0x9E3779B97F4A7C15;

static uint64_t random_number(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* Numbers at the edges, where flags change, as often as any others. */
static uint64_t interesting_number(void)
{
    static const uint64_t edges[] = {0,
                                     1,
                                     0x7F,
                                     0x80,
                                     0xFF,
                                     0x7FFF,
                                     0x8000,
                                     0xFFFF,
                                     0x7FFFFFFF,
                                     0x80000000,
                                     0xFFFFFFFF,
                                     0x7FFFFFFFFFFFFFFF,
                                     0x8000000000000000,
                                     UINT64_MAX};
    uint64_t number = random_number();

    return number & 1 ? edges[(number >> 8) % (sizeof edges / sizeof edges[0])] : random_number();
}

/* What RCX, RSI and RDI hold before an instruction. */
enum preparation { ANY, BIT_NUMBER, STRING };

struct native_case {
    const char *name;
    uint8_t bytes[INSTRUCTION_MAXIMUM_LENGTH];
    uint8_t count;
    enum preparation preparation;
};

static void prepare(struct native_state *state, const struct native_case *native, uint8_t *memory)
{
    for (unsigned i = 0; i < 16; i++)
        state->gp[i] = interesting_number();
    if (native->preparation == BIT_NUMBER)
        state->gp[GP_RCX] = (uint64_t)((int64_t)(random_number() % 1024) - 512);
    for (unsigned i = 0; i < 2 * WINDOW; i += 8) {
        uint64_t number = interesting_number();

        memcpy(memory + i, &number, 8);
    }
    if (native->preparation == STRING) {
        state->gp[GP_RCX] = random_number() % 9;
        memset(memory + WINDOW - 64, (int)(state->gp[GP_RAX] & 0xFF), random_number() % 128);
    }
    state->rflags = 2 | (random_number() & STATUS_FLAGS);
    if (native->preparation == STRING && (random_number() & 1))
        state->rflags |= RFLAGS_DF;
}

/* RBX, and for strings RSI and RDI a little apart, so that they overlap, point into memory at `base`. */
static void point_to(uint64_t *gp, const struct native_case *native, uint64_t base)
{
    gp[GP_RBX] = base;
    if (native->preparation == STRING) {
        gp[GP_RSI] = base + 3;
        gp[GP_RDI] = base;
    }
}

static void compare_states(const struct native_case *native, const struct native_state *state,
                           const struct native_state *before, const uint8_t *memory, uint64_t native_base,
                           uint64_t emulated_base)
{
    for (unsigned i = 0; i < 16; i++) {
        uint64_t expected = state->gp[i];

        if (i == GP_RSP)
            continue;
        if (i == GP_RBX || (native->preparation == STRING && (i == GP_RSI || i == GP_RDI)))
            expected += emulated_base - native_base;
        if (test.registers.gp_registers[i] != expected)
            fail_msg("%s: register %u is %llx, should be %llx; was %llx, flags %llx", native->name, i,
                     (unsigned long long)test.registers.gp_registers[i], (unsigned long long)expected,
                     (unsigned long long)before->gp[i], (unsigned long long)before->rflags);
    }
    if ((test.registers.rflags ^ state->rflags) & (STATUS_FLAGS | RFLAGS_DF))
        fail_msg("%s: flags are %llx, should be %llx", native->name,
                 (unsigned long long)test.registers.rflags, (unsigned long long)state->rflags);
    if (memcmp(test.device + DEVICE_SIZE / 2 - WINDOW, memory, 2 * WINDOW))
        fail_msg("%s: memory differs", native->name);
    assert_int_equal(test.registers.rip, 0x1000 + native->count);
}

static void compare_with_processor(const struct native_case *native)
{
    _Alignas(64) uint8_t memory[2 * WINDOW];
    uint64_t native_base = (uint64_t)(uintptr_t)(memory + WINDOW);
    uint64_t emulated_base = DEVICE_BASE + DEVICE_SIZE / 2;
    struct native_state state, before;

    prepare(&state, native, memory);
    before = state;
    memcpy(test.device + DEVICE_SIZE / 2 - WINDOW, memory, 2 * WINDOW);
    memcpy(test.registers.gp_registers, state.gp, sizeof state.gp);
    point_to(state.gp, native, native_base);
    uint64_t emulated[16];
    memcpy(emulated, test.registers.gp_registers, sizeof emulated);
    point_to(emulated, native, emulated_base);
    memcpy(test.registers.gp_registers, emulated, sizeof emulated);
    test.registers.rflags = state.rflags;
    test.registers.rip = 0x1000;

    native_run(&state, native->bytes, native->count);
    enum emulator_result result = run(native->bytes, native->count);
    if (result != EMULATOR_DONE)
        fail_msg("%s: result %d", native->name, result);
    compare_states(native, &state, &before, memory, native_base, emulated_base);
}

#define CASE(name, preparation, ...)                                                                         \
    {                                                                                                        \
        name, {__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__}), preparation                                   \
    }

static const struct native_case native_cases[] = {
    CASE("mov m8, cl", ANY, 0x88, 0x0B),
    CASE("mov m8, ch", ANY, 0x88, 0x2B),
    CASE("mov m8, r9b", ANY, 0x44, 0x88, 0x0B),
    CASE("mov m8, sil", ANY, 0x40, 0x88, 0x33),
    CASE("mov m16, cx", ANY, 0x66, 0x89, 0x0B),
    CASE("mov m32, ecx", ANY, 0x89, 0x0B),
    CASE("mov m64, rcx", ANY, 0x48, 0x89, 0x0B),
    CASE("mov m64, r15", ANY, 0x4C, 0x89, 0x3B),
    CASE("mov cl, m8", ANY, 0x8A, 0x0B),
    CASE("mov ch, m8", ANY, 0x8A, 0x2B),
    CASE("mov cx, m16", ANY, 0x66, 0x8B, 0x0B),
    CASE("mov ecx, m32", ANY, 0x8B, 0x0B),
    CASE("mov rcx, m64", ANY, 0x48, 0x8B, 0x0B),
    CASE("mov r8d, m32", ANY, 0x44, 0x8B, 0x03),
    CASE("mov ecx, [rbx+16]", ANY, 0x8B, 0x4B, 0x10),
    CASE("mov ecx, [rbx-200]", ANY, 0x8B, 0x8B, 0x38, 0xFF, 0xFF, 0xFF),
    CASE("mov m8, imm8", ANY, 0xC6, 0x03, 0x9A),
    CASE("mov m16, imm16", ANY, 0x66, 0xC7, 0x03, 0x34, 0xF2),
    CASE("mov m32, imm32", ANY, 0xC7, 0x03, 0x78, 0x56, 0x34, 0xF2),
    CASE("mov m64, imm32", ANY, 0x48, 0xC7, 0x03, 0x78, 0x56, 0x34, 0xF2),
    CASE("movnti m32", ANY, 0x0F, 0xC3, 0x0B),
    CASE("movnti m64", ANY, 0x48, 0x0F, 0xC3, 0x0B),
    CASE("movzx cx, m8", ANY, 0x66, 0x0F, 0xB6, 0x0B),
    CASE("movzx ecx, m8", ANY, 0x0F, 0xB6, 0x0B),
    CASE("movzx rcx, m8", ANY, 0x48, 0x0F, 0xB6, 0x0B),
    CASE("movzx ecx, m16", ANY, 0x0F, 0xB7, 0x0B),
    CASE("movzx rcx, m16", ANY, 0x48, 0x0F, 0xB7, 0x0B),
    CASE("movsx cx, m8", ANY, 0x66, 0x0F, 0xBE, 0x0B),
    CASE("movsx ecx, m8", ANY, 0x0F, 0xBE, 0x0B),
    CASE("movsx rcx, m8", ANY, 0x48, 0x0F, 0xBE, 0x0B),
    CASE("movsx ecx, m16", ANY, 0x0F, 0xBF, 0x0B),
    CASE("movsx rcx, m16", ANY, 0x48, 0x0F, 0xBF, 0x0B),
    CASE("movsxd rcx, m32", ANY, 0x48, 0x63, 0x0B),
    CASE("movbe cx, m16", ANY, 0x66, 0x0F, 0x38, 0xF0, 0x0B),
    CASE("movbe ecx, m32", ANY, 0x0F, 0x38, 0xF0, 0x0B),
    CASE("movbe rcx, m64", ANY, 0x48, 0x0F, 0x38, 0xF0, 0x0B),
    CASE("movbe m32, ecx", ANY, 0x0F, 0x38, 0xF1, 0x0B),
    CASE("movbe m64, rcx", ANY, 0x48, 0x0F, 0x38, 0xF1, 0x0B),
    CASE("test m8, cl", ANY, 0x84, 0x0B),
    CASE("test m32, ecx", ANY, 0x85, 0x0B),
    CASE("test m64, rcx", ANY, 0x48, 0x85, 0x0B),
    CASE("test m8, imm", ANY, 0xF6, 0x03, 0x85),
    CASE("test m16, imm", ANY, 0x66, 0xF7, 0x03, 0x85, 0x80),
    CASE("test m32, imm", ANY, 0xF7, 0x03, 0x85, 0x00, 0x00, 0x80),
    CASE("inc m8", ANY, 0xFE, 0x03),
    CASE("dec m8", ANY, 0xFE, 0x0B),
    CASE("inc m16", ANY, 0x66, 0xFF, 0x03),
    CASE("inc m32", ANY, 0xFF, 0x03),
    CASE("dec m32", ANY, 0xFF, 0x0B),
    CASE("lock inc m64", ANY, 0xF0, 0x48, 0xFF, 0x03),
    CASE("not m8", ANY, 0xF6, 0x13),
    CASE("not m64", ANY, 0x48, 0xF7, 0x13),
    CASE("neg m8", ANY, 0xF6, 0x1B),
    CASE("neg m16", ANY, 0x66, 0xF7, 0x1B),
    CASE("neg m32", ANY, 0xF7, 0x1B),
    CASE("neg m64", ANY, 0x48, 0xF7, 0x1B),
    CASE("xchg m8, cl", ANY, 0x86, 0x0B),
    CASE("xchg m16, cx", ANY, 0x66, 0x87, 0x0B),
    CASE("xchg m32, ecx", ANY, 0x87, 0x0B),
    CASE("xchg m64, rcx", ANY, 0x48, 0x87, 0x0B),
    CASE("xadd m8, cl", ANY, 0x0F, 0xC0, 0x0B),
    CASE("lock xadd m32, ecx", ANY, 0xF0, 0x0F, 0xC1, 0x0B),
    CASE("xadd m64, rcx", ANY, 0x48, 0x0F, 0xC1, 0x0B),
    CASE("cmpxchg m8, cl", ANY, 0x0F, 0xB0, 0x0B),
    CASE("cmpxchg m16, cx", ANY, 0x66, 0x0F, 0xB1, 0x0B),
    CASE("lock cmpxchg m32, ecx", ANY, 0xF0, 0x0F, 0xB1, 0x0B),
    CASE("cmpxchg m64, rcx", ANY, 0x48, 0x0F, 0xB1, 0x0B),
    CASE("bt m16, cx", BIT_NUMBER, 0x66, 0x0F, 0xA3, 0x0B),
    CASE("bt m32, ecx", BIT_NUMBER, 0x0F, 0xA3, 0x0B),
    CASE("bts m32, ecx", BIT_NUMBER, 0x0F, 0xAB, 0x0B),
    CASE("btr m64, rcx", BIT_NUMBER, 0x48, 0x0F, 0xB3, 0x0B),
    CASE("lock btc m16, cx", BIT_NUMBER, 0xF0, 0x66, 0x0F, 0xBB, 0x0B),
    CASE("bt m32, 37", ANY, 0x0F, 0xBA, 0x23, 37),
    CASE("bts m64, 63", ANY, 0x48, 0x0F, 0xBA, 0x2B, 63),
    CASE("btr m16, 15", ANY, 0x66, 0x0F, 0xBA, 0x33, 15),
    CASE("btc m32, 0", ANY, 0x0F, 0xBA, 0x3B, 0),
    CASE("movsb", STRING, 0xA4),
    CASE("rep movsb", STRING, 0xF3, 0xA4),
    CASE("rep movsw", STRING, 0xF3, 0x66, 0xA5),
    CASE("rep movsd", STRING, 0xF3, 0xA5),
    CASE("rep movsq", STRING, 0xF3, 0x48, 0xA5),
    CASE("stosb", STRING, 0xAA),
    CASE("rep stosd", STRING, 0xF3, 0xAB),
    CASE("rep stosq", STRING, 0xF3, 0x48, 0xAB),
    CASE("lodsb", STRING, 0xAC),
    CASE("lodsw", STRING, 0x66, 0xAD),
    CASE("rep lodsd", STRING, 0xF3, 0xAD),
    CASE("lodsq", STRING, 0x48, 0xAD),
    CASE("cmpsb", STRING, 0xA6),
    CASE("repe cmpsb", STRING, 0xF3, 0xA6),
    CASE("repne cmpsw", STRING, 0xF2, 0x66, 0xA7),
    CASE("repe cmpsd", STRING, 0xF3, 0xA7),
    CASE("repne scasb", STRING, 0xF2, 0xAE),
    CASE("repe scasb", STRING, 0xF3, 0xAE),
    CASE("scasq", STRING, 0x48, 0xAF),
};

static void test_against_processor(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof native_cases / sizeof native_cases[0]; i++)
        for (unsigned repeat = 0; repeat < 200; repeat++)
            compare_with_processor(&native_cases[i]);
}

/* ADD, OR, ADC, SBB, AND, SUB, XOR, CMP in all their encodings. */
static void test_arithmetic_against_processor(void **state)
{
    static const uint8_t prefixes[] = {0, 0x66, 0x48};

    (void)state;
    for (unsigned operation = 0; operation < 8; operation++) {
        for (unsigned form = 0; form < 7 * 3; form++) {
            struct native_case native = {.name = "arithmetic"};
            uint8_t *bytes = native.bytes;
            uint8_t prefix = prefixes[form % 3];

            if (prefix)
                bytes[native.count++] = prefix;
            if (form / 3 < 4) { /* the register forms, 8 bits and wider, both directions */
                bytes[native.count++] = (uint8_t)(operation << 3 | form / 3);
                bytes[native.count++] = 0x0B;
            } else { /* 80, 81 and 83 with an immediate */
                uint8_t opcode = (const uint8_t[]){0x80, 0x81, 0x83}[form / 3 - 4];

                bytes[native.count++] = opcode;
                bytes[native.count++] = (uint8_t)(operation << 3 | 3);
                for (unsigned i = 0; i < (opcode != 0x81 ? 1 : prefix == 0x66 ? 2 : 4); i++)
                    bytes[native.count++] = (uint8_t)interesting_number();
            }
            for (unsigned repeat = 0; repeat < 200; repeat++)
                compare_with_processor(&native);
        }
    }
}

static void test_conditions_against_processor(void **state)
{
    (void)state;
    for (uint8_t condition = 0; condition < 16; condition++) {
        const struct native_case set = CASE("setcc", ANY, 0x0F, 0x90 | condition, 0x03);
        const struct native_case move32 = CASE("cmovcc r32", ANY, 0x0F, 0x40 | condition, 0x0B);
        const struct native_case move64 = CASE("cmovcc r64", ANY, 0x48, 0x0F, 0x40 | condition, 0x0B);

        for (unsigned repeat = 0; repeat < 200; repeat++) {
            compare_with_processor(&set);
            compare_with_processor(&move32);
            compare_with_processor(&move64);
        }
    }
}

/* ---- Case by case ---- */

static void test_moffs(void **state)
{
    (void)state;
    GP(RAX) = 0x1122334455667788;
    assert_int_equal(RUN(0xA2, 0x10, 0x00, 0xC0, 0xFE, 0, 0, 0, 0), EMULATOR_DONE);
    assert_int_equal(test.device[0x10], 0x88);
    assert_int_equal(test.registers.rip, 0x1009);
    test.device[0x20] = 0x42;
    assert_int_equal(RUN(0x67, 0xA1, 0x20, 0x00, 0xC0, 0xFE), EMULATOR_DONE);
    assert_int_equal(GP(RAX), 0x42);
    assert_int_equal(test.registers.dirty,
                     HV_REGISTER_PAGE_DIRTY_GP | HV_REGISTER_PAGE_DIRTY_IP | HV_REGISTER_PAGE_DIRTY_FLAGS);
}

static void test_rip_relative(void **state)
{
    (void)state;
    test.registers.rip = DEVICE_BASE - 0x100;
    /* mov dword [rip + 0x106], imm32: relative to the end of an instruction of 10 bytes */
    assert_int_equal(RUN(0xC7, 0x05, 0x06, 0x01, 0, 0, 0x04, 0x03, 0x02, 0x01), EMULATOR_DONE);
    assert_memory_equal(test.device + 0x10, "\4\3\2\1", 4);
}

static void test_scaled_index_and_segment_base(void **state)
{
    (void)state;
    test.registers.segment[SEGMENT_GS].base = DEVICE_BASE;
    test.registers.segment[SEGMENT_DS].base = 0x123456; /* ignored in 64-bit mode */
    GP(RSI) = 4;
    GP(RDX) = 0xCAFE;
    GP(RBX) = DEVICE_BASE;
    assert_int_equal(RUN(0x65, 0x66, 0x89, 0x14, 0xF5, 8, 0, 0, 0), EMULATOR_DONE); /* gs: [rsi*8 + 8] */
    assert_memory_equal(test.device + 40, "\xFE\xCA", 2);
    assert_int_equal(RUN(0x66, 0x89, 0x14, 0xB3), EMULATOR_DONE); /* [rbx + rsi*4] */
    assert_memory_equal(test.device + 16, "\xFE\xCA", 2);
}

static void test_address_size_wraps(void **state)
{
    (void)state;
    GP(RBX) = 0xFFFFFFFF00000000 | DEVICE_BASE;
    GP(RCX) = 7;
    assert_int_equal(RUN(0x67, 0x89, 0x0B), EMULATOR_DONE); /* [ebx] */
    assert_int_equal(test.device[0], 7);
}

static void test_store_of_selector(void **state)
{
    (void)state;
    test.registers.segment[SEGMENT_SS].selector = 0x1234;
    GP(RBX) = DEVICE_BASE;
    assert_int_equal(RUN(0x8C, 0x13), EMULATOR_DONE);
    assert_memory_equal(test.device, "\x34\x12\0", 3);
    assert_int_equal(RUN(0x8E, 0x13), EMULATOR_UNSUPPORTED); /* mov ss, m16 */
}

static void test_32_bit_code(void **state)
{
    (void)state;
    set_mode(32);
    test.registers.segment[SEGMENT_DS].base = 0x1000;
    GP(RBX) = DEVICE_BASE - 0x1000 + 4;
    GP(RCX) = 0x01020304;
    test.registers.rip = 0xFFFFFFFE;
    assert_int_equal(RUN(0x89, 0x0B), EMULATOR_DONE);
    assert_memory_equal(test.device + 4, "\4\3\2\1", 4);
    assert_int_equal(test.registers.rip, 0);
    assert_int_equal(RUN(0x40, 0x90), EMULATOR_UNSUPPORTED); /* inc eax here, not a prefix */
}

static void test_16_bit_code(void **state)
{
    (void)state;
    set_mode(16);
    test.registers.cr0 = 0;
    test.registers.segment[SEGMENT_DS] =
        (struct hv_x64_segment_register){.base = DEVICE_BASE - 0x100, .limit = 0xFFFF, .attributes = 0x93};
    GP(RBX) = 0xF0;
    GP(RSI) = 0xABCD0020; /* the upper half does not count */
    GP(RAX) = 0x5566;
    assert_int_equal(RUN(0x89, 0x40, 0xF0), EMULATOR_DONE); /* mov [bx+si-0x10], ax: 0xF0 + 0x20 - 0x10 */
    assert_memory_equal(test.device, "\x66\x55\0", 3);
    assert_int_equal(RUN(0x66, 0x67, 0x89, 0x03), EMULATOR_DONE); /* mov [ebx], eax: below the device */
    assert_int_equal(test.bus.counters[BUS_MEMORY].unclaimed_writes, 1);
    GP(RBX) = 0xFFFF;
    assert_int_equal(RUN(0x89, 0x07), EMULATOR_EXCEPTION); /* word at FFFF: past the limit */
    assert_int_equal(test.access.exception.vector, EXCEPTION_GENERAL_PROTECTION);
}

static void test_segment_faults(void **state)
{
    const struct {
        uint16_t attributes;
        uint32_t limit;
        bool read, write;
    } cases[] = {
        {0xC093, 0xFFFFFFFF,      true,  true }, /* writable data */
        {0xC091, 0xFFFFFFFF,      true,  false}, /* read-only data */
        {0xC09B, 0xFFFFFFFF,      true,  false}, /* readable code */
        {0xC099, 0xFFFFFFFF,      false, false}, /* execute-only code */
        {0xC013, 0xFFFFFFFF,      false, false}, /* not present */
        {0xC093, DEVICE_BASE + 3, true,  true }, /* the last byte is at the limit */
        {0xC093, DEVICE_BASE + 2, false, false},
        {0xC097, DEVICE_BASE - 1, true,  true }, /* expand-down: valid above the limit */
        {0xC097, DEVICE_BASE,     false, false},
        {0x8097, 0,               false, false}, /* expand-down, 16 bits: at most FFFF */
    };

    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        set_mode(32);
        test.registers.segment[SEGMENT_DS] =
            (struct hv_x64_segment_register){.limit = cases[i].limit, .attributes = cases[i].attributes};
        GP(RBX) = DEVICE_BASE;
        assert_int_equal(RUN(0x8B, 0x0B), cases[i].read ? EMULATOR_DONE : EMULATOR_EXCEPTION);
        if (!cases[i].read) {
            assert_int_equal(test.access.exception.vector, EXCEPTION_GENERAL_PROTECTION);
            assert_true(test.access.exception.has_error_code);
            assert_int_equal(test.access.exception.error_code, 0);
        }
        assert_int_equal(RUN(0x89, 0x0B), cases[i].write ? EMULATOR_DONE : EMULATOR_EXCEPTION);
    }
}

static void test_not_canonical(void **state)
{
    (void)state;
    GP(RBX) = 0x0000800000000000;
    assert_int_equal(RUN(0x8B, 0x0B), EMULATOR_EXCEPTION);
    assert_int_equal(test.access.exception.vector, EXCEPTION_GENERAL_PROTECTION);
    GP(RBP) = 0x0000800000000000;
    assert_int_equal(RUN(0x36, 0x8B, 0x4D, 0x00), EMULATOR_EXCEPTION); /* ss: [rbp] */
    assert_int_equal(test.access.exception.vector, EXCEPTION_STACK);
    test.registers.cr4 = CR4_LA57;
    assert_int_equal(RUN(0x8B, 0x0B), EMULATOR_DONE);
}

static void test_page_fault_has_no_effects(void **state)
{
    (void)state;
    GP(RBX) = ABSENT + 0x123;
    GP(RCX) = 5;
    test.registers.segment[SEGMENT_SS].attributes |= 3 << HV_SEGMENT_DPL_SHIFT;
    assert_int_equal(RUN(0x48, 0x0F, 0xC1, 0x0B), EMULATOR_EXCEPTION); /* xadd: a write from the start */
    assert_int_equal(test.access.exception.vector, EXCEPTION_PAGE_FAULT);
    assert_int_equal(test.access.exception.error_code, PAGE_FAULT_WRITE | PAGE_FAULT_USER);
    assert_int_equal(test.access.exception.parameter, ABSENT + 0x123);
    assert_int_equal(GP(RCX), 5);
    assert_int_equal(test.registers.rip, 0x1000);
    /* From a device to a page that cannot be written */
    GP(RSI) = DEVICE_BASE;
    GP(RDI) = READ_ONLY;
    assert_int_equal(RUN(0xA4), EMULATOR_EXCEPTION);
    assert_int_equal(test.access.exception.error_code,
                     PAGE_FAULT_PRESENT | PAGE_FAULT_WRITE | PAGE_FAULT_USER);
    assert_int_equal(GP(RSI), DEVICE_BASE);
}

/* The second page of a write is checked before the first is written. */
static void test_write_across_pages(void **state)
{
    (void)state;
    test.device[0xFFE] = 0xAA;
    GP(RBX) = READ_ONLY - 2;
    GP(RCX) = 0x01020304;
    memset(test.ram + READ_ONLY - RAM_BASE - 2, 0x77, 4);
    assert_int_equal(RUN(0x89, 0x0B), EMULATOR_EXCEPTION);
    assert_int_equal(test.access.exception.parameter, READ_ONLY);
    assert_memory_equal(test.ram + READ_ONLY - RAM_BASE - 2, "\x77\x77\x77\x77", 4);

    GP(RBX) = DEVICE_BASE + 0xFFE; /* half on the device, half on nothing */
    assert_int_equal(RUN(0x89, 0x0B), EMULATOR_DONE);
    assert_memory_equal(test.device + 0xFFE, "\4\3", 2);
    assert_int_equal(test.bus.counters[BUS_MEMORY].unclaimed_writes, 1);
    assert_int_equal(RUN(0x8B, 0x13), EMULATOR_DONE);
    assert_int_equal(GP(RDX), 0xFFFF0304);
}

static void test_device_sees_one_access(void **state)
{
    (void)state;
    GP(RBX) = DEVICE_BASE;
    assert_int_equal(RUN(0x48, 0x8B, 0x0B), EMULATOR_DONE);
    assert_int_equal(test.reads, 1);
    assert_int_equal(test.sizes[0], 8);
    assert_int_equal(RUN(0x66, 0x81, 0x0B, 0x01, 0x80), EMULATOR_DONE); /* or m16: a read and a write */
    assert_int_equal(test.reads, 2);
    assert_int_equal(test.writes, 1);
    assert_int_equal(test.sizes[2], 2);
}

static void test_known_translations(void **state)
{
    (void)state;
    GP(RBX) = 0xFFFF800000000010; /* a linear address that only the message can resolve */
    test.message.memory_access_info = HV_MEMORY_ACCESS_GVA_VALID | HV_MEMORY_ACCESS_GVA_GPA_VALID;
    test.message.guest_virtual_address = GP(RBX);
    test.message.guest_physical_address = DEVICE_BASE + 0x10;
    test.message.header.intercept_access_type = HV_INTERCEPT_ACCESS_WRITE;
    assert_int_equal(RUN(0xC6, 0x03, 0x21), EMULATOR_DONE);
    assert_int_equal(test.device[0x10], 0x21);
    assert_int_equal(test.translations, 0);

    /* Without the linear address, the operand's offset in the page tells. */
    test.message.memory_access_info = 0;
    assert_int_equal(RUN(0xC6, 0x03, 0x22), EMULATOR_DONE);
    assert_int_equal(test.device[0x10], 0x22);
    assert_int_equal(test.translations, 0);

    /* A translation for reading does not allow writing. */
    test.message.header.intercept_access_type = HV_INTERCEPT_ACCESS_READ;
    assert_int_equal(RUN(0x8A, 0x0B), EMULATOR_DONE);
    assert_int_equal(test.translations, 0);
    GP(RBX) = DEVICE_BASE + 0x10;
    assert_int_equal(RUN(0xC6, 0x03, 0x23), EMULATOR_DONE);
    assert_int_equal(test.translations, 1);
}

static void test_push_and_pop(void **state)
{
    (void)state;
    GP(RSP) = RAM_BASE + 0x100;
    GP(RBX) = DEVICE_BASE;
    memcpy(test.device, "\1\2\3\4\5\6\7\x08", 8);
    assert_int_equal(RUN(0xFF, 0x33), EMULATOR_DONE); /* push m64 */
    assert_int_equal(GP(RSP), RAM_BASE + 0xF8);
    assert_memory_equal(test.ram + 0xF8, "\1\2\3\4\5\6\7\x08", 8);
    GP(RBX) = DEVICE_BASE + 0x20;
    assert_int_equal(RUN(0x66, 0x8F, 0x03), EMULATOR_DONE); /* pop m16 */
    assert_memory_equal(test.device + 0x20, "\1\2\0", 3);
    assert_int_equal(GP(RSP), RAM_BASE + 0xFA);

    /* A stack on the device: addresses relative to RSP count after the pop, before the push */
    GP(RSP) = DEVICE_BASE + 0x20;
    assert_int_equal(RUN(0x8F, 0x44, 0x24, 0x10), EMULATOR_DONE); /* pop [rsp + 0x10] */
    assert_memory_equal(test.device + 0x38, "\1\2\0", 3);
    assert_int_equal(GP(RSP), DEVICE_BASE + 0x28);
    assert_int_equal(RUN(0x6A, 0xFE), EMULATOR_DONE); /* push -2 */
    assert_memory_equal(test.device + 0x20, "\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 8);
    assert_int_equal(RUN(0x59), EMULATOR_DONE); /* pop rcx */
    assert_int_equal(GP(RCX), (uint64_t)-2);

    GP(RSP) = RAM_BASE;
    GP(RBX) = ABSENT;
    assert_int_equal(RUN(0x8F, 0x03), EMULATOR_EXCEPTION);
    assert_int_equal(GP(RSP), RAM_BASE);
}

static void test_stack_width(void **state)
{
    (void)state;
    set_mode(32);
    test.registers.segment[SEGMENT_SS].attributes = 0x93; /* a 16-bit stack */
    test.registers.segment[SEGMENT_SS].base = DEVICE_BASE - 0xFF00;
    test.registers.segment[SEGMENT_SS].limit = 0xFFFF;
    GP(RSP) = 0xABCD0000;
    GP(RCX) = 0x11223344;
    assert_int_equal(RUN(0x51), EMULATOR_DONE); /* push ecx: at FFFC of the segment */
    assert_int_equal(GP(RSP), 0xABCDFFFC);
    assert_memory_equal(test.device + 0xFC, "\x44\x33\x22\x11", 4);
}

static void test_xmm_moves(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 16; i++)
        test.xmm[9][i] = (uint8_t)(0xA0 + i);
    GP(RBX) = DEVICE_BASE + 0x40;
    assert_int_equal(RUN(0x44, 0x0F, 0x29, 0x0B), EMULATOR_DONE); /* movaps m128, xmm9 */
    assert_memory_equal(test.device + 0x40, test.xmm[9], 16);
    assert_int_equal(test.writes, 2);
    assert_int_equal(test.sizes[0], 8);
    assert_int_equal(RUN(0xF3, 0x0F, 0x6F, 0x13), EMULATOR_DONE); /* movdqu xmm2, m128 */
    assert_memory_equal(test.xmm[2], test.xmm[9], 16);
    assert_int_equal(RUN(0xC5, 0x7A, 0x7F, 0x0B), EMULATOR_DONE);        /* vmovdqu m128, xmm9 */
    assert_int_equal(RUN(0xC5, 0xFA, 0x6F, 0x13), EMULATOR_UNSUPPORTED); /* vmovdqu xmm2, m128 */
    assert_int_equal(RUN(0xC5, 0xFE, 0x7F, 0x13), EMULATOR_UNSUPPORTED); /* vmovdqu m256, ymm2 */
    assert_int_equal(RUN(0x66, 0x0F, 0x6E, 0x13), EMULATOR_DONE);        /* movd xmm2, m32 */
    assert_memory_equal(test.xmm[2], "\xA0\xA1\xA2\xA3\0\0\0\0\0\0\0\0\0\0\0", 16);
    assert_int_equal(RUN(0x0F, 0x6F, 0x13), EMULATOR_UNSUPPORTED); /* movq mm2, m64 */
    GP(RBX)++;
    assert_int_equal(RUN(0x0F, 0x29, 0x13), EMULATOR_EXCEPTION); /* movaps, not aligned */
    assert_int_equal(test.access.exception.vector, EXCEPTION_GENERAL_PROTECTION);
    assert_int_equal(RUN(0x0F, 0x11, 0x13), EMULATOR_DONE); /* movups may be */
}

static void test_string_between_ram_and_device(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 64; i++)
        test.ram[0x100 + i] = (uint8_t)i;
    GP(RSI) = RAM_BASE + 0x100;
    GP(RDI) = DEVICE_BASE + 0x100;
    GP(RCX) = 16;
    assert_int_equal(RUN(0xF3, 0xA5), EMULATOR_DONE);
    assert_memory_equal(test.device + 0x100, test.ram + 0x100, 64);
    assert_int_equal(test.writes, 16);
    assert_int_equal(GP(RCX), 0);
    assert_int_equal(GP(RSI), RAM_BASE + 0x140);
    assert_int_equal(test.translations, 2); /* one a page, not one an item */
    GP(RSI) = DEVICE_BASE + 0x100;
    GP(RDI) = RAM_BASE + 0x203;
    GP(RCX) = 8;
    assert_int_equal(RUN(0xF3, 0x48, 0xA5), EMULATOR_DONE);
    assert_memory_equal(test.ram + 0x203, test.ram + 0x100, 64);
    GP(RCX) = 0; /* nothing at all, not even a fault */
    GP(RSI) = ABSENT;
    assert_int_equal(RUN(0xF3, 0xA4), EMULATOR_DONE);
}

static void test_string_stops_at_fault(void **state)
{
    (void)state;
    GP(RSI) = ABSENT - 8;
    GP(RDI) = DEVICE_BASE;
    GP(RCX) = 100;
    assert_int_equal(RUN(0xF3, 0xA5), EMULATOR_EXCEPTION);
    assert_int_equal(GP(RCX), 98);
    assert_int_equal(GP(RSI), ABSENT);
    assert_int_equal(GP(RDI), DEVICE_BASE + 8);
    assert_int_equal(test.registers.rip, 0x1000);
    assert_true(test.registers.dirty & HV_REGISTER_PAGE_DIRTY_GP);
    assert_false(test.registers.dirty & HV_REGISTER_PAGE_DIRTY_IP);
    assert_int_equal(test.access.exception.parameter, ABSENT);
}

static void test_string_pauses(void **state)
{
    (void)state;
    GP(RDI) = DEVICE_BASE;
    GP(RCX) = EMULATOR_MAXIMUM_ITEMS + 5;
    GP(RAX) = 0x5A;
    assert_int_equal(RUN(0xF3, 0xAA), EMULATOR_AGAIN);
    assert_int_equal(GP(RCX), 5);
    assert_int_equal(test.registers.rip, 0x1000);
    assert_int_equal(RUN(0xF3, 0xAA), EMULATOR_DONE);
    assert_int_equal(test.registers.rip, 0x1002);
    assert_int_equal(test.device[EMULATOR_MAXIMUM_ITEMS + 4], 0x5A);
    assert_int_equal(test.device[EMULATOR_MAXIMUM_ITEMS + 5], 0);
    GP(RDI) = DEVICE_BASE;
    GP(RCX) = EMULATOR_MAXIMUM_ITEMS;
    assert_int_equal(RUN(0xF3, 0xAA), EMULATOR_DONE);
}

static void test_string_segments_and_sizes(void **state)
{
    (void)state;
    set_mode(32);
    test.registers.segment[SEGMENT_FS].base = DEVICE_BASE;
    test.registers.segment[SEGMENT_ES].base = RAM_BASE;
    test.device[4] = 0x99;
    GP(RSI) = 0x12340004;
    GP(RDI) = 0x56780000;
    GP(RCX) = 0x10001;
    assert_int_equal(RUN(0x64, 0x67, 0xF3, 0xA4), EMULATOR_DONE); /* rep movsb es:[di], fs:[si], CX = 1 */
    assert_int_equal(test.ram[0], 0x99);
    assert_int_equal(GP(RSI), 0x12340005);
    assert_int_equal(GP(RDI), 0x56780001);
    assert_int_equal(GP(RCX), 0x10000);
}

static void test_sse_namesakes_of_strings(void **state)
{
    (void)state;
    GP(RBX) = DEVICE_BASE;
    assert_int_equal(RUN(0xF2, 0x0F, 0x10, 0x03), EMULATOR_UNSUPPORTED);       /* movsd xmm0, m64 */
    assert_int_equal(RUN(0xF2, 0x0F, 0xC2, 0x03, 0x00), EMULATOR_UNSUPPORTED); /* cmpsd xmm0, m64, 0 */
}

static void test_instruction_bytes_are_fetched(void **state)
{
    const uint8_t code[] = {0xC7, 0x03, 0x44, 0x33, 0x22, 0x11};

    (void)state;
    memcpy(test.ram + 0xFFC, code, sizeof code); /* over a page boundary */
    test.registers.rip = RAM_BASE + 0xFFC;
    GP(RBX) = DEVICE_BASE;
    assert_int_equal(run(code, 0), EMULATOR_DONE);
    assert_memory_equal(test.device, "\x44\x33\x22\x11", 4);
    test.registers.rip = RAM_BASE + 0xFFC;
    assert_int_equal(run(code, 3), EMULATOR_DONE);
    assert_int_equal(test.registers.rip, RAM_BASE + 0xFFC + sizeof code);

    test.registers.rip = ABSENT - 1;
    assert_int_equal(run(code, 1), EMULATOR_EXCEPTION);
    assert_int_equal(test.access.exception.error_code, PAGE_FAULT_FETCH);
    assert_int_equal(test.access.exception.parameter, ABSENT);
}

static void test_unsupported(void **state)
{
    (void)state;
    GP(RBX) = DEVICE_BASE;
    assert_int_equal(RUN(0x0F, 0x01, 0x13), EMULATOR_UNSUPPORTED); /* lgdt */
    assert_int_equal(test.emulator.byte_count, 3);
    assert_int_equal(test.emulator.bytes[2], 0x13);
    assert_int_equal(RUN(0x0F, 0x0B), EMULATOR_UNSUPPORTED);       /* ud2 */
    assert_int_equal(RUN(0x89, 0xC8), EMULATOR_UNSUPPORTED);       /* mov eax, ecx: no memory */
    assert_int_equal(RUN(0x0F, 0xFF, 0xFF), EMULATOR_UNSUPPORTED); /* not an instruction */
    assert_int_equal(test.reads + test.writes, 0);
}

static void test_cache_hints_do_nothing(void **state)
{
    (void)state;
    GP(RBX) = DEVICE_BASE;
    assert_int_equal(RUN(0x0F, 0xAE, 0x3B), EMULATOR_DONE); /* clflush */
    assert_int_equal(RUN(0x0F, 0x18, 0x0B), EMULATOR_DONE); /* prefetcht0 */
    assert_int_equal(test.reads + test.writes, 0);
    assert_int_equal(test.registers.rip, 0x1006);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_against_processor, set_up),
        cmocka_unit_test_setup(test_arithmetic_against_processor, set_up),
        cmocka_unit_test_setup(test_conditions_against_processor, set_up),
        cmocka_unit_test_setup(test_moffs, set_up),
        cmocka_unit_test_setup(test_rip_relative, set_up),
        cmocka_unit_test_setup(test_scaled_index_and_segment_base, set_up),
        cmocka_unit_test_setup(test_address_size_wraps, set_up),
        cmocka_unit_test_setup(test_store_of_selector, set_up),
        cmocka_unit_test_setup(test_32_bit_code, set_up),
        cmocka_unit_test_setup(test_16_bit_code, set_up),
        cmocka_unit_test_setup(test_segment_faults, set_up),
        cmocka_unit_test_setup(test_not_canonical, set_up),
        cmocka_unit_test_setup(test_page_fault_has_no_effects, set_up),
        cmocka_unit_test_setup(test_write_across_pages, set_up),
        cmocka_unit_test_setup(test_device_sees_one_access, set_up),
        cmocka_unit_test_setup(test_known_translations, set_up),
        cmocka_unit_test_setup(test_push_and_pop, set_up),
        cmocka_unit_test_setup(test_stack_width, set_up),
        cmocka_unit_test_setup(test_xmm_moves, set_up),
        cmocka_unit_test_setup(test_string_between_ram_and_device, set_up),
        cmocka_unit_test_setup(test_string_stops_at_fault, set_up),
        cmocka_unit_test_setup(test_string_pauses, set_up),
        cmocka_unit_test_setup(test_string_segments_and_sizes, set_up),
        cmocka_unit_test_setup(test_sse_namesakes_of_strings, set_up),
        cmocka_unit_test_setup(test_instruction_bytes_are_fetched, set_up),
        cmocka_unit_test_setup(test_unsupported, set_up),
        cmocka_unit_test_setup(test_cache_hints_do_nothing, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
