// SPDX-License-Identifier: GPL-2.0-or-later
/* Pass-through hypercalls and VP state. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hv/status.h"
#include "tests/driver/machine.h"
#include "tests/driver/test.h"

static void request_refuses(void)
{
    struct hv_input_get_partition_property input = {.property_code =
                                                        HV_PARTITION_PROPERTY_PROCESSOR_FEATURES0};
    uint64_t value;
    const struct mshv_root_hvcall good = {.code = HVCALL_GET_PARTITION_PROPERTY,
                                          .in_sz = sizeof(input),
                                          .out_sz = sizeof(value),
                                          .in_ptr = (uintptr_t)&input,
                                          .out_ptr = (uintptr_t)&value};
    struct mshv_root_hvcall request = good;
    struct machine machine;

    machine_create(&machine, MACHINE_FLAGS, 0);
    CHECK_EQUAL(ioctl(machine.partition, MSHV_ROOT_HVCALL, &request), 0);
    CHECK_ERRNO(ioctl(machine.partition, MSHV_ROOT_HVCALL, NULL), EFAULT);
    request = good;
    request.status = 1;
    CHECK_ERRNO(ioctl(machine.partition, MSHV_ROOT_HVCALL, &request), EINVAL);
    request = good;
    request.rsvd[5] = 1;
    CHECK_ERRNO(ioctl(machine.partition, MSHV_ROOT_HVCALL, &request), EINVAL);
    request = good;
    request.in_sz = 7;
    CHECK_ERRNO(ioctl(machine.partition, MSHV_ROOT_HVCALL, &request), EINVAL);
    request = good;
    request.in_sz = 4097;
    CHECK_ERRNO(ioctl(machine.partition, MSHV_ROOT_HVCALL, &request), EINVAL);
    request = good;
    request.out_sz = 0;
    CHECK_ERRNO(ioctl(machine.partition, MSHV_ROOT_HVCALL, &request), EINVAL);
    request = good;
    request.out_sz = 4097;
    CHECK_ERRNO(ioctl(machine.partition, MSHV_ROOT_HVCALL, &request), EINVAL);
    request = good;
    request.in_ptr = 0;
    CHECK_ERRNO(ioctl(machine.partition, MSHV_ROOT_HVCALL, &request), EINVAL);
    request = good;
    request.in_ptr = 8;
    CHECK_ERRNO(ioctl(machine.partition, MSHV_ROOT_HVCALL, &request), EFAULT);
    request = good;
    request.reps = 0x1000;
    CHECK_ERRNO(ioctl(machine.partition, MSHV_ROOT_HVCALL, &request), EINVAL);
    machine_destroy(&machine);
}

static void calls_allowed(void)
{
    static const uint16_t never[] = {HVCALL_CREATE_PARTITION,
                                     HVCALL_DELETE_PARTITION,
                                     HVCALL_DEPOSIT_MEMORY,
                                     HVCALL_MAP_GPA_PAGES,
                                     HVCALL_CREATE_VP,
                                     HVCALL_DISPATCH_VP,
                                     HVCALL_MAP_VP_STATE_PAGE,
                                     LOAM_HVCALL_RECLAIM_CHILDREN,
                                     0,
                                     0xFFFF};
    struct hv_input_set_partition_property property = {
        .property_code = HV_PARTITION_PROPERTY_UNIMPLEMENTED_MSR_ACTION, .property_value = 1};
    struct hv_input_get_partition_property query = {.property_code =
                                                        HV_PARTITION_PROPERTY_UNIMPLEMENTED_MSR_ACTION};
    uint64_t value = 0, input[8] = {0};
    struct machine machine;
    unsigned i;

    machine_create(&machine, MACHINE_FLAGS, 0);
    machine_create_vp(&machine, 0);
    for (i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
        CHECK_ERRNO(machine_call(machine.partition, never[i], NULL, input, 64, NULL, 0, NULL), EINVAL);
        CHECK_ERRNO(machine_call(machine.vp[0], never[i], NULL, input, 64, NULL, 0, NULL), EINVAL);
        CHECK_ERRNO(machine_call(machine.device, never[i], NULL, input, 64, NULL, 0, NULL), EINVAL);
    }
    /* on the device only properties, and those of the parent */
    CHECK_ERRNO(machine_call(machine.device, HVCALL_ASSERT_VIRTUAL_INTERRUPT, NULL, input, 32, NULL, 0, NULL),
                EINVAL);
    CHECK_ERRNO(machine_call(machine.device, HVCALL_SET_PARTITION_PROPERTY, NULL, &property, sizeof(property),
                             NULL, 0, NULL),
                EINVAL);
    query.property_code = HV_PARTITION_PROPERTY_PROCESSOR_FEATURES0;
    CHECK_EQUAL(machine_call(machine.device, HVCALL_GET_PARTITION_PROPERTY, NULL, &query, sizeof(query),
                             &value, sizeof(value), NULL),
                0);
    CHECK(value != 0);
    /* a property is set on the partition's file only, whatever partition id the caller writes */
    property.partition_id = 1;
    CHECK_ERRNO(machine_call(machine.vp[0], HVCALL_SET_PARTITION_PROPERTY, NULL, &property, sizeof(property),
                             NULL, 0, NULL),
                EINVAL);
    CHECK_EQUAL(machine_call(machine.partition, HVCALL_SET_PARTITION_PROPERTY, NULL, &property,
                             sizeof(property), NULL, 0, NULL),
                0);
    query.property_code = HV_PARTITION_PROPERTY_UNIMPLEMENTED_MSR_ACTION;
    query.partition_id = 12345;
    CHECK_EQUAL(machine_call(machine.vp[0], HVCALL_GET_PARTITION_PROPERTY, NULL, &query, sizeof(query),
                             &value, sizeof(value), NULL),
                0);
    CHECK_EQUAL(value, 1);
    machine_destroy(&machine);
}

static void statuses(void)
{
    struct hv_input_get_partition_property query = {.property_code = 0x7777};
    uint64_t value = 0x1122334455667788;
    uint16_t status = 0, reps = 1;
    struct {
        struct hv_input_get_vp_registers header;
        uint32_t names[4];
    } HV_PACKED input = {
        .names = {HV_X64_REGISTER_RIP, HV_X64_REGISTER_RAX, 0x0FFFFFFF, HV_X64_REGISTER_RBX}
    };
    union hv_register_value values[4];
    struct machine machine;

    machine_create(&machine, MACHINE_FLAGS, 0);
    machine_create_vp(&machine, 0);
    CHECK_ERRNO(machine_call(machine.partition, HVCALL_GET_PARTITION_PROPERTY, NULL, &query, sizeof(query),
                             &value, sizeof(value), &status),
                EIO);
    CHECK_EQUAL(status, HV_STATUS_UNKNOWN_PROPERTY);
    CHECK_EQUAL(value, 0x1122334455667788);
    /* the third of four elements fails */
    reps = 4;
    CHECK_ERRNO(machine_call(machine.vp[0], HVCALL_GET_VP_REGISTERS, &reps, &input, sizeof(input), values,
                             sizeof(values), &status),
                EINVAL);
    CHECK_EQUAL(status, HV_STATUS_INVALID_PARAMETER);
    CHECK_EQUAL(reps, 2);
    reps = 1;
    input.header.vp_index = 77;
    CHECK_ERRNO(machine_call(machine.vp[0], HVCALL_GET_VP_REGISTERS, &reps, &input, sizeof(input), values,
                             sizeof(values), &status),
                EINVAL);
    CHECK_EQUAL(status, HV_STATUS_INVALID_VP_INDEX);
    /* a rep call without elements, and the opposite */
    CHECK_ERRNO(machine_call(machine.vp[0], HVCALL_GET_VP_REGISTERS, NULL, &input, sizeof(input), values,
                             sizeof(values), &status),
                EINVAL);
    CHECK_EQUAL(status, HV_STATUS_INVALID_HYPERCALL_INPUT);
    machine_destroy(&machine);
}

/* More elements than the hypervisor does at once, and an output shorter than what the call gives. */
static void many_registers(void)
{
    struct {
        struct hv_input_get_vp_registers header;
        uint32_t names[250];
    } HV_PACKED input = {0};
    static union hv_register_value values[251];
    uint16_t reps = 250;
    struct machine machine;
    uint64_t rbx = 0x1234567890ABCDEF;
    unsigned i;

    machine_create(&machine, MACHINE_FLAGS, 0);
    machine_create_vp(&machine, 0);
    machine_set_register(machine.vp[0], 0, HV_X64_REGISTER_RBX, &rbx, sizeof(rbx));
    CHECK_EQUAL(machine_get_register(machine.partition, 0, HV_X64_REGISTER_RBX), rbx);
    for (i = 0; i < 250; i++)
        input.names[i] = i % 2 ? HV_X64_REGISTER_RBX : HV_X64_REGISTER_RIP;
    memset(values, 0xEE, sizeof(values));
    CHECK_EQUAL(machine_call(machine.vp[0], HVCALL_GET_VP_REGISTERS, &reps, &input, sizeof(input), values,
                             250 * 16, NULL),
                0);
    CHECK_EQUAL(reps, 250);
    for (i = 0; i < 250; i++)
        CHECK_EQUAL(values[i].low, i % 2 ? rbx : MACHINE_CODE);
    CHECK_EQUAL(values[250].low, 0xEEEEEEEEEEEEEEEE);
    memset(values, 0xEE, sizeof(values));
    CHECK_EQUAL(
        machine_call(machine.vp[0], HVCALL_GET_VP_REGISTERS, &reps, &input, sizeof(input), values, 16, NULL),
        0);
    CHECK_EQUAL(values[0].low, MACHINE_CODE);
    CHECK_EQUAL(values[1].low, 0xEEEEEEEEEEEEEEEE);
    machine_destroy(&machine);
}

static int move_state(struct machine *machine, unsigned long command, uint8_t type, void *buffer,
                      uint32_t *size)
{
    struct mshv_get_set_vp_state request = {.type = type, .buf_sz = *size, .buf_ptr = (uintptr_t)buffer};
    int result = ioctl(machine->vp[0], command, &request);

    *size = request.buf_sz;
    return result;
}

static void vp_state(void)
{
    static uint8_t page[3][HV_PAGE_SIZE] __attribute__((aligned(HV_PAGE_SIZE)));
    struct mshv_get_set_vp_state request;
    struct machine machine;
    uint32_t size = HV_PAGE_SIZE;
    uint8_t type;

    machine_create(&machine, MACHINE_FLAGS, 0);
    machine_create_vp(&machine, 0);
    for (type = MSHV_VP_STATE_LAPIC; type <= MSHV_VP_STATE_XSAVE; type++) {
        size = HV_PAGE_SIZE;
        CHECK_EQUAL(move_state(&machine, MSHV_GET_VP_STATE, type, page[0], &size), 0);
        CHECK_EQUAL(size, HV_PAGE_SIZE);
        CHECK_EQUAL(move_state(&machine, MSHV_SET_VP_STATE, type, page[0], &size), 0);
        CHECK_EQUAL(move_state(&machine, MSHV_GET_VP_STATE, type, page[1], &size), 0);
        CHECK_EQUAL(memcmp(page[0], page[1], type == MSHV_VP_STATE_LAPIC ? 176 : 576), 0);
    }
    size = 2 * HV_PAGE_SIZE;
    CHECK_EQUAL(move_state(&machine, MSHV_GET_VP_STATE, MSHV_VP_STATE_LAPIC, page[0], &size), 0);
    CHECK_EQUAL(size, HV_PAGE_SIZE);

    size = 0;
    CHECK_ERRNO(move_state(&machine, MSHV_GET_VP_STATE, MSHV_VP_STATE_LAPIC, page[0], &size), EINVAL);
    CHECK_EQUAL(size, HV_PAGE_SIZE); /* which is how a caller asks */
    size = 100;
    CHECK_ERRNO(move_state(&machine, MSHV_GET_VP_STATE, MSHV_VP_STATE_LAPIC, page[0], &size), EINVAL);
    size = HV_PAGE_SIZE;
    CHECK_ERRNO(move_state(&machine, MSHV_GET_VP_STATE, MSHV_VP_STATE_LAPIC, page[0] + 8, &size), EINVAL);
    CHECK_ERRNO(move_state(&machine, MSHV_GET_VP_STATE, MSHV_VP_STATE_COUNT, page[0], &size), EINVAL);
    CHECK_ERRNO(move_state(&machine, MSHV_GET_VP_STATE, MSHV_VP_STATE_LAPIC, NULL, &size), EFAULT);
    size = 0xFFFFF000;
    CHECK_ERRNO(move_state(&machine, MSHV_GET_VP_STATE, MSHV_VP_STATE_LAPIC, page[0], &size), EINVAL);
    CHECK_ERRNO(ioctl(machine.vp[0], MSHV_GET_VP_STATE, NULL), EFAULT);
    request = (struct mshv_get_set_vp_state){
        .rsvd = {[1] = 1}, .buf_sz = HV_PAGE_SIZE, .buf_ptr = (uintptr_t)page[0]};
    CHECK_ERRNO(ioctl(machine.vp[0], MSHV_GET_VP_STATE, &request), EINVAL);
    machine_destroy(&machine);
}

const struct test hvcall_tests[] = {
    {"request_refuses", request_refuses, false},
    {"calls_allowed",   calls_allowed,   false},
    {"statuses",        statuses,        false},
    {"many_registers",  many_registers,  false},
    {"vp_state",        vp_state,        false},
    {NULL,              NULL,            false},
};
