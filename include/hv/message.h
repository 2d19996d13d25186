/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Intercept messages (TLFS 11 and appendix; HV_MESSAGE and the x64 intercept payloads). */
#ifndef HV_MESSAGE_H
#define HV_MESSAGE_H

#include "types.h"
#include "registers.h"

enum hv_message_type {
    HVMSG_NONE = 0x00000000,
    HVMSG_UNMAPPED_GPA = 0x80000000,
    HVMSG_GPA_INTERCEPT = 0x80000001,
    HVMSG_INVALID_VP_REGISTER_VALUE = 0x80000020,
    HVMSG_UNRECOVERABLE_EXCEPTION = 0x80000021,
    HVMSG_UNSUPPORTED_FEATURE = 0x80000022,
    HVMSG_X64_IO_PORT_INTERCEPT = 0x80010000,
    HVMSG_X64_MSR_INTERCEPT = 0x80010001,
    HVMSG_X64_CPUID_INTERCEPT = 0x80010002,
    HVMSG_X64_EXCEPTION_INTERCEPT = 0x80010003,
    HVMSG_X64_APIC_EOI = 0x80010004,
    HVMSG_X64_HALT = 0x80010007,
    HVMSG_X64_INTERRUPTION_DELIVERABLE = 0x80010008,
};

#define HV_MESSAGE_SIZE 256u
#define HV_MESSAGE_PAYLOAD_BYTES 240u

struct hv_message_header {
    uint32_t message_type;
    uint8_t payload_size; /* bytes */
    uint8_t message_flags;
    uint8_t reserved[2];
    uint64_t sender; /* partition id */
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_message_header, 16);

struct hv_message {
    struct hv_message_header header;
    uint8_t payload[HV_MESSAGE_PAYLOAD_BYTES];
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_message, HV_MESSAGE_SIZE);

enum hv_intercept_access_type {
    HV_INTERCEPT_ACCESS_READ = 0,
    HV_INTERCEPT_ACCESS_WRITE = 1,
    HV_INTERCEPT_ACCESS_EXECUTE = 2,
};

/* execution_state */
#define HV_EXECUTION_CPL_MASK 0x3u
#define HV_EXECUTION_CR0_PE 0x4u
#define HV_EXECUTION_CR0_AM 0x8u
#define HV_EXECUTION_EFER_LMA 0x10u
#define HV_EXECUTION_DEBUG_ACTIVE 0x20u
#define HV_EXECUTION_INTERRUPTION_PENDING 0x40u
#define HV_EXECUTION_INTERRUPT_SHADOW 0x1000u

struct hv_x64_intercept_message_header {
    uint32_t vp_index;
    uint8_t instruction_length_cr8; /* bits 3:0 instruction length (0 unknown), bits 7:4 CR8 */
    uint8_t intercept_access_type;
    uint16_t execution_state;
    struct hv_x64_segment_register cs;
    uint64_t rip;
    uint64_t rflags;
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_x64_intercept_message_header, 40);

#define HV_MEMORY_ACCESS_GVA_VALID 0x1u
#define HV_MEMORY_ACCESS_GVA_GPA_VALID 0x2u

struct hv_x64_memory_intercept_message {
    struct hv_x64_intercept_message_header header;
    uint32_t cache_type;
    uint8_t instruction_byte_count;
    uint8_t memory_access_info;
    uint8_t tpr_priority;
    uint8_t reserved;
    uint64_t guest_virtual_address;
    uint64_t guest_physical_address;
    uint8_t instruction_bytes[16];
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_x64_memory_intercept_message, 80);

#define HV_IO_PORT_ACCESS_SIZE_MASK 0x7u
#define HV_IO_PORT_STRING_OPERATION 0x8u
#define HV_IO_PORT_REP_PREFIX 0x10u

struct hv_x64_io_port_intercept_message {
    struct hv_x64_intercept_message_header header;
    uint16_t port_number;
    uint8_t access_info;
    uint8_t instruction_byte_count;
    uint32_t reserved;
    uint64_t rax;
    uint8_t instruction_bytes[16];
    struct hv_x64_segment_register ds; /* the effective source segment */
    struct hv_x64_segment_register es;
    uint64_t rcx;
    uint64_t rsi;
    uint64_t rdi;
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_x64_io_port_intercept_message, 128);

struct hv_x64_msr_intercept_message {
    struct hv_x64_intercept_message_header header;
    uint32_t msr_number;
    uint32_t reserved;
    uint64_t rdx;
    uint64_t rax;
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_x64_msr_intercept_message, 64);

struct hv_x64_unrecoverable_exception_message {
    struct hv_x64_intercept_message_header header;
} HV_PACKED;

struct hv_x64_apic_eoi_message {
    uint32_t vp_index;
    uint32_t interrupt_vector;
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_x64_apic_eoi_message, 8);

struct hv_x64_interruption_deliverable_message {
    struct hv_x64_intercept_message_header header;
    uint32_t deliverable_type; /* enum hv_pending_interruption_type */
    uint32_t reserved;
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_x64_interruption_deliverable_message, 48);

struct hv_invalid_vp_register_message {
    uint32_t vp_index;
    uint32_t reserved;
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_invalid_vp_register_message, 8);

/* feature_code */
enum hv_unsupported_feature_code {
    HV_UNSUPPORTED_FEATURE_INTERCEPT = 1,
    HV_UNSUPPORTED_FEATURE_TASK_SWITCH_TSS = 2, /* Loam's parameter: LOAM_TASK_SWITCH_... of hv/loam.h */
};

struct hv_unsupported_feature_message {
    uint32_t vp_index;
    uint32_t feature_code;
    uint64_t feature_parameter;
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_unsupported_feature_message, 16);

#endif
