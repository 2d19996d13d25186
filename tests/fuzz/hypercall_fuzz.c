/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libFuzzer harness: the input is a parent that makes any hypercall with any words in its pages, and children
 * that exit for any reason. Whatever they do, the hypervisor does not fail an assertion or touch memory that
 * is not its own, no call goes on for ever, and in the end everything can be taken back: the parent's map is
 * what it was.
 */
#include <stdlib.h>
#include <string.h>

#include "hv/hypercall.h"
#include "hv/loam.h"
#include "kernel/frame.h"
#include "kernel/hypercall.h"
#include "kernel/parent_map.h"
#include "kernel/partition.h"
#include "tests/unit/fake_machine.h"

#define MAXIMUM_CONTINUATIONS 100000u
#define MAXIMUM_RUNS          200u
#define KNOWN_IDS             4u
#define MEMORY_PAGES          (FAKE_MEMORY_SIZE >> HV_PAGE_SHIFT)

static const uint16_t codes[] = {
    HVCALL_CREATE_PARTITION,
    HVCALL_INITIALIZE_PARTITION,
    HVCALL_FINALIZE_PARTITION,
    HVCALL_DELETE_PARTITION,
    HVCALL_GET_PARTITION_PROPERTY,
    HVCALL_SET_PARTITION_PROPERTY,
    HVCALL_GET_PARTITION_ID,
    HVCALL_DEPOSIT_MEMORY,
    HVCALL_WITHDRAW_MEMORY,
    HVCALL_MAP_GPA_PAGES,
    HVCALL_UNMAP_GPA_PAGES,
    HVCALL_GET_GPA_PAGES_ACCESS_STATES,
    HVCALL_CREATE_VP,
    HVCALL_DELETE_VP,
    HVCALL_GET_VP_REGISTERS,
    HVCALL_SET_VP_REGISTERS,
    HVCALL_TRANSLATE_VIRTUAL_ADDRESS,
    HVCALL_REGISTER_INTERCEPT_RESULT,
    HVCALL_ASSERT_VIRTUAL_INTERRUPT,
    HVCALL_DISPATCH_VP,
    HVCALL_MAP_VP_STATE_PAGE,
    HVCALL_UNMAP_VP_STATE_PAGE,
    HVCALL_GET_VP_STATE,
    HVCALL_SET_VP_STATE,
    HVCALL_GET_VP_CPUID_VALUES,
    LOAM_HVCALL_READ_LOG,
    LOAM_HVCALL_GET_STATISTICS,
    LOAM_HVCALL_RECLAIM_CHILDREN,
};

static const uint8_t *data;
static size_t left;
static uint64_t ids[KNOWN_IDS];
static unsigned runs;

static uint8_t next8(void)
{
    if (left == 0)
        return 0;
    left--;
    return *data++;
}

static uint64_t next_bytes(unsigned count)
{
    uint64_t value = 0;

    while (count-- > 0)
        value = value << 8 | next8();
    return value;
}

/* A word of a hypercall's input: often one that means something. */
static uint64_t next_word(void)
{
    switch (next8() % 8) {
    case 0:
        return next_bytes(8);
    case 1:
        return ids[next8() % KNOWN_IDS];
    case 2:
        return HV_PARTITION_ID_SELF;
    case 3:
        return next_bytes(2) % MEMORY_PAGES; /* a page */
    case 4:
        return next_bytes(2) % MEMORY_PAGES & ~511ull;
    case 5:
        return next8();
    case 6:
        return 1ull << next8() % 64;
    default:
        return 0;
    }
}

static void guest(struct vp *vp, struct vp_exit *exit)
{
    exit->reason = left == 0 || runs++ > MAXIMUM_RUNS
                       ? LOAM_EXIT_EXTERNAL_INTERRUPT
                       : (enum loam_exit_reason)(next8() % LOAM_EXIT_REASON_COUNT);
    fake_nmi_is_kick = next8() % 2;
    fake_tsc += next_bytes(2);
    if (next8() % 4 == 0)
        fake_interrupted_event =
            HV_PENDING_INTERRUPTION_PENDING | (next8() & 3) << 1 | (uint64_t)next8() << 16;
    vp->gpr[next8() % 16] = next_word();
    exit->instruction_length = next8() % 16;
    switch (exit->reason) {
    case LOAM_EXIT_IO_PORT:
        exit->io.port = (uint16_t)next_bytes(2);
        exit->io.size = 1 << next8() % 3;
        exit->io.string = next8() % 2;
        exit->io.in = next8() % 2;
        exit->io.segment = next8() % 6;
        break;
    case LOAM_EXIT_NESTED_FAULT:
    case LOAM_EXIT_APIC_ACCESS:
        exit->fault.gpa = next8() % 2 ? APIC_BASE_DEFAULT + next_bytes(2) % HV_PAGE_SIZE : next_word();
        exit->fault.write = next8() % 2;
        exit->fault.execute = next8() % 2;
        exit->fault.bytes_count = next8() % 16;
        break;
    case LOAM_EXIT_EXCEPTION:
        exit->exception.vector = next8() % 32;
        exit->exception.has_error_code = next8() % 2;
        break;
    case LOAM_EXIT_CONTROL_REGISTER:
        exit->control.number = next8() % 16;
        exit->control.write = next8() % 2;
        exit->control.gpr = next8() % 16;
        break;
    case LOAM_EXIT_MSR_READ:
    case LOAM_EXIT_MSR_WRITE:
        vp->gpr[GPR_RCX] = next8() % 2 ? 0x800 + next8() : next_word();
        break;
    default:
        break;
    }
}

/* Executes the instruction until it is finished. */
static uint64_t call(uint64_t control, uint64_t input, uint64_t output)
{
    struct vp *parent = lp_current()->parent_vp;
    unsigned continuations = 0;

    parent->gpr[GPR_RCX] = control;
    parent->gpr[GPR_RDX] = input;
    parent->gpr[GPR_R8] = output;
    while (!hypercall_dispatch(parent))
        if (++continuations > MAXIMUM_CONTINUATIONS)
            abort();
    return parent->gpr[GPR_RAX];
}

/* A page of the parent's memory that it may write to; NULL: it is not the parent's. */
static uint64_t *parent_page(uint64_t pfn)
{
    uint64_t spa;
    bool writable;

    if (!frame_find(pfn) || !fake_parent_translate(pfn << HV_PAGE_SHIFT, &spa, &writable) || !writable)
        return NULL;
    if (spa != pfn << HV_PAGE_SHIFT || frame_find(pfn)->state != FRAME_PARENT)
        abort();
    return physical_pointer(spa);
}

static void any_call(void)
{
    uint16_t code =
        next8() % 32 ? codes[next8() % (sizeof(codes) / sizeof(*codes))] : (uint16_t)next_bytes(2);
    const struct hypercall_entry *entry = hypercall_find(code);
    uint64_t input_pfn = 0x100 + next8() % 4, output_pfn = 0x104 + next8() % 4, control = code, result;
    uint64_t *input = parent_page(input_pfn);
    unsigned words = next8() % 40;

    for (unsigned i = 0; input && i < words; i++)
        input[i] = next_word();
    if (entry && entry->rep) {
        unsigned count = next8() % 16 ? 1 + next8() % 20 : (unsigned)next_bytes(2) % 4096;

        control |= (uint64_t)count << HV_CONTROL_REP_COUNT_SHIFT;
        if (next8() % 16 == 0)
            control |= next_bytes(2) % 4096 << HV_CONTROL_REP_START_SHIFT;
    }
    if (entry && entry->variable)
        control |= (uint64_t)(next8() % 3) << HV_CONTROL_VARIABLE_HEADER_SHIFT;
    switch (next8() % 16) {
    case 0: /* anything as control word */
        result = call(code | next_bytes(6) << 16, next_word(), next_word());
        break;
    case 1: /* anything as addresses */
        result = call(control, next_word() << (next8() % 2 ? HV_PAGE_SHIFT : 0), next_word());
        break;
    case 2:
        result = call(control | HV_CONTROL_FAST, next_word(), next_word());
        break;
    default:
        result = call(control, input_pfn << HV_PAGE_SHIFT, output_pfn << HV_PAGE_SHIFT);
        break;
    }
    if (code == HVCALL_CREATE_PARTITION && result == HV_STATUS_SUCCESS && parent_page(output_pfn))
        ids[next8() % KNOWN_IDS] = *parent_page(output_pfn);
}

/* The usual beginning, which random words would not find: a partition with memory and a VP. */
static void set_up(unsigned slot)
{
    struct hv_input_create_partition create = {.creation_flags = HV_CREATE_LAPIC | HV_CREATE_X2APIC};
    uint64_t *input = parent_page(0x100), *output = parent_page(0x104),
             first = 0x200 + next_bytes(2) % 0x2000;

    if (!input || !output)
        return;
    for (unsigned target = 0; target < 2; target++) {
        input[0] = target == 0 ? HV_PARTITION_ID_SELF : ids[slot];
        for (unsigned i = 0; i < 20; i++)
            input[1 + i] = first + target * 20 + i;
        call(HVCALL_DEPOSIT_MEMORY | 20ull << HV_CONTROL_REP_COUNT_SHIFT, 0x100000, 0);
        if (target == 1)
            break;
        memcpy(input, &create, sizeof(create));
        if (call(HVCALL_CREATE_PARTITION, 0x100000, 0x104000) == HV_STATUS_SUCCESS)
            ids[slot] = output[0];
    }
    call(HVCALL_INITIALIZE_PARTITION | HV_CONTROL_FAST, ids[slot], 0);
    memset(input, 0, 64);
    input[0] = ids[slot];
    call(HVCALL_CREATE_VP, 0x100000, 0);
    for (uint64_t type = 0; type < 2; type++) {
        input[1] = type << 32 | (uint64_t)HV_MAP_VP_STATE_PAGE_LOCATION_PROVIDED << 56;
        input[2] = 0x108 + 2 * slot + type;
        call(HVCALL_MAP_VP_STATE_PAGE, 0x100000, 0x104000);
    }
}

static void take_everything_back(const uint64_t *before, size_t before_count)
{
    size_t after_count;
    uint64_t *after;
    uint64_t output_pfn = 0x9E;

    while (!parent_page(output_pfn))
        output_pfn--;
    if (call(LOAM_HVCALL_RECLAIM_CHILDREN, 0, output_pfn << HV_PAGE_SHIFT) != HV_STATUS_SUCCESS)
        abort();
    if (parent_map_deposited_pages() != 0 || partition_count() != 1)
        abort();
    for (uint64_t pfn = 0; pfn < MEMORY_PAGES; pfn++)
        if (frame_find(pfn) && pfn - FAKE_OWN_PFN >= FAKE_OWN_PAGES &&
            (frame_find(pfn)->state != FRAME_PARENT || frame_find(pfn)->maps != 0))
            abort();
    after = fake_parent_map_copy(&after_count);
    if (before_count != after_count || memcmp(before, after, before_count * sizeof(*before)) != 0)
        abort();
    free(after);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    size_t count;
    uint64_t *before;

    fake_machine_start(2, true);
    before = fake_parent_map_copy(&count);
    fake_guest = guest;
    fake_large_execute = size % 2;
    fake_sets_accessed = size % 4 < 2;
    data = bytes;
    left = size;
    runs = 0;
    memset(ids, 0, sizeof(ids));
    while (left > 0) {
        uint8_t kind = next8();

        fake_machine_become(kind >> 6 & 1);
        if (kind % 16 == 0)
            set_up(kind >> 4 & 3);
        else
            any_call();
        /* What the machine's parent would do with these. */
        lp_current()->parent_nmi = false;
    }
    fake_guest = NULL;
    take_everything_back(before, count);
    free(before);
    fake_machine_stop();
    return 0;
}
