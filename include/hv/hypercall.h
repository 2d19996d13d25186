/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hypercall interface (TLFS chapters 3 to 6 and appendix A): codes, the control word, and the input and
 * output of every call that Loam serves. All integers are little-endian; every structure has its size asserted.
 * A page frame number (PFN) is always an address >> 12, also for 2 MiB pages.
 */
#ifndef HV_HYPERCALL_H
#define HV_HYPERCALL_H

#include "types.h"

enum hv_call_code {
    HVCALL_CREATE_PARTITION = 0x0040,
    HVCALL_INITIALIZE_PARTITION = 0x0041,
    HVCALL_FINALIZE_PARTITION = 0x0042,
    HVCALL_DELETE_PARTITION = 0x0043,
    HVCALL_GET_PARTITION_PROPERTY = 0x0044,
    HVCALL_SET_PARTITION_PROPERTY = 0x0045,
    HVCALL_GET_PARTITION_ID = 0x0046,
    HVCALL_DEPOSIT_MEMORY = 0x0048,
    HVCALL_WITHDRAW_MEMORY = 0x0049,
    HVCALL_MAP_GPA_PAGES = 0x004B,
    HVCALL_UNMAP_GPA_PAGES = 0x004C,
    HVCALL_INSTALL_INTERCEPT = 0x004D,
    HVCALL_CREATE_VP = 0x004E,
    HVCALL_DELETE_VP = 0x004F,
    HVCALL_GET_VP_REGISTERS = 0x0050,
    HVCALL_SET_VP_REGISTERS = 0x0051,
    HVCALL_TRANSLATE_VIRTUAL_ADDRESS = 0x0052,
    HVCALL_CLEAR_VIRTUAL_INTERRUPT = 0x0056,
    HVCALL_REGISTER_INTERCEPT_RESULT = 0x0091,
    HVCALL_ASSERT_VIRTUAL_INTERRUPT = 0x0094,
    HVCALL_SIGNAL_EVENT_DIRECT = 0x00C0,
    HVCALL_POST_MESSAGE_DIRECT = 0x00C1,
    HVCALL_DISPATCH_VP = 0x00C2,
    HVCALL_GET_GPA_PAGES_ACCESS_STATES = 0x00C9,
    HVCALL_MAP_VP_STATE_PAGE = 0x00E1,
    HVCALL_UNMAP_VP_STATE_PAGE = 0x00E2,
    HVCALL_GET_VP_STATE = 0x00E3,
    HVCALL_SET_VP_STATE = 0x00E4,
    HVCALL_GET_VP_CPUID_VALUES = 0x00F4,
    HVCALL_GET_PARTITION_PROPERTY_EX = 0x0101,
};

/* RCX at the call: the control word (TLFS 3.7). */
#define HV_CONTROL_CODE(control) ((uint16_t)(control))
#define HV_CONTROL_CODE_BITS 16
#define HV_CONTROL_FAST (1ull << 16)
#define HV_CONTROL_VARIABLE_HEADER_SHIFT 17
#define HV_CONTROL_VARIABLE_HEADER(control) (((control) >> 17) & 0x3FF) /* 8-byte units */
#define HV_CONTROL_NESTED (1ull << 31)
#define HV_CONTROL_REP_COUNT_SHIFT 32
#define HV_CONTROL_REP_COUNT(control) (((control) >> 32) & 0xFFF)
#define HV_CONTROL_REP_START_SHIFT 48
#define HV_CONTROL_REP_START(control) (((control) >> 48) & 0xFFF)
#define HV_CONTROL_RESERVED 0xF000F00078000000ull

/* RAX after the call: status and, for rep calls, how many elements are done, counted from the first. */
#define HV_RESULT_STATUS(result) ((uint16_t)(result))
#define HV_RESULT_REPS_SHIFT 32
#define HV_RESULT_REPS(result) (((result) >> 32) & 0xFFF)

#define HV_PARTITION_ID_INVALID 0ull
#define HV_PARTITION_ID_SELF (~0ull)
#define HV_VP_INDEX_SELF 0xFFFFFFFEu
#define HV_VP_INDEX_ANY 0xFFFFFFFFu
#define HV_MAXIMUM_VPS 256u

struct hv_proximity_domain_info {
    uint32_t domain;
    uint32_t flags; /* bit 0 preferred, bit 31 valid */
} HV_PACKED;

/* creation_flags of HVCALL_CREATE_PARTITION */
#define HV_CREATE_SMT_ENABLED (1ull << 0)
#define HV_CREATE_NESTED_VIRTUALIZATION (1ull << 1)
#define HV_CREATE_GPA_SUPER_PAGES (1ull << 4)
#define HV_CREATE_EXO_PARTITION (1ull << 8)
#define HV_CREATE_LAPIC (1ull << 13)
#define HV_CREATE_INTERCEPT_MESSAGE_PAGE (1ull << 19)
#define HV_CREATE_X2APIC (1ull << 22)

struct hv_input_create_partition {
    uint64_t creation_flags;
    struct hv_proximity_domain_info proximity;
    uint32_t compatibility_version;
    uint32_t padding;
    uint64_t disabled_processor_features[2];
    uint64_t disabled_xsave_features;
    uint64_t isolation;
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_input_create_partition, 56);
#define HV_COMPATIBILITY_VERSION 0x0609u

/* INITIALIZE, FINALIZE and DELETE_PARTITION, GET_PARTITION_ID's output, CREATE_PARTITION's output. */
struct hv_partition_id_only {
    uint64_t partition_id;
} HV_PACKED;

struct hv_input_get_partition_property {
    uint64_t partition_id;
    uint32_t property_code;
    uint32_t padding;
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_input_get_partition_property, 16);

struct hv_input_set_partition_property {
    uint64_t partition_id;
    uint32_t property_code;
    uint32_t padding;
    uint64_t property_value;
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_input_set_partition_property, 24);

struct hv_input_get_partition_property_ex {
    uint64_t partition_id;
    uint32_t property_code;
    uint32_t padding;
    uint64_t argument;
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_input_get_partition_property_ex, 24);

/* Rep list: the PFNs. */
struct hv_input_deposit_memory {
    uint64_t partition_id;
    uint64_t pfn[];
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_input_deposit_memory, 8);

/* Output: a PFN an element. */
struct hv_input_withdraw_memory {
    uint64_t partition_id;
    struct hv_proximity_domain_info proximity;
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_input_withdraw_memory, 16);

/* flags of MAP_GPA_PAGES and UNMAP_GPA_PAGES */
#define HV_MAP_GPA_READABLE 0x1u
#define HV_MAP_GPA_WRITABLE 0x2u
#define HV_MAP_GPA_KERNEL_EXECUTABLE 0x4u
#define HV_MAP_GPA_USER_EXECUTABLE 0x8u
#define HV_MAP_GPA_EXECUTABLE 0xCu
#define HV_MAP_GPA_PERMISSIONS_MASK 0xFu
#define HV_MAP_GPA_ADJUSTABLE 0x8000u
#define HV_MAP_GPA_NO_ACCESS 0x10000u
#define HV_MAP_GPA_NOT_CACHED 0x200000u
#define HV_MAP_GPA_LARGE_PAGE 0x80000000u
#define HV_UNMAP_GPA_LARGE_PAGE 0x2u

struct hv_input_map_gpa_pages {
    uint64_t partition_id;
    uint64_t target_pfn;
    uint32_t flags;
    uint32_t padding;
    uint64_t source_pfn[];
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_input_map_gpa_pages, 24);

struct hv_input_unmap_gpa_pages {
    uint64_t partition_id;
    uint64_t target_pfn;
    uint32_t flags;
    uint32_t padding;
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_input_unmap_gpa_pages, 24);

/* GET_GPA_PAGES_ACCESS_STATES: a byte of HV_GPA_PAGE_* for each page, as it was before the flags' changes */
#define HV_GPA_PAGE_ACCESSED        0x1u
#define HV_GPA_PAGE_DIRTY           0x2u
#define HV_GPA_PAGES_CLEAR_ACCESSED 0x1u
#define HV_GPA_PAGES_SET_ACCESSED   0x2u
#define HV_GPA_PAGES_CLEAR_DIRTY    0x4u
#define HV_GPA_PAGES_SET_DIRTY      0x8u
struct hv_input_get_gpa_pages_access_states {
    uint64_t partition_id;
    uint64_t flags;
    uint64_t base_pfn;
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_input_get_gpa_pages_access_states, 24);

struct hv_input_install_intercept {
    uint64_t partition_id;
    uint32_t access_mask;
    uint32_t intercept_type;
    uint64_t parameter;
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_input_install_intercept, 24);

struct hv_input_create_vp {
    uint64_t partition_id;
    uint32_t vp_index;
    uint8_t padding[3];
    uint8_t subnode_type;
    uint64_t subnode_id;
    struct hv_proximity_domain_info proximity;
    uint64_t flags;
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_input_create_vp, 40);

struct hv_input_delete_vp {
    uint64_t partition_id;
    uint32_t vp_index;
    uint32_t padding;
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_input_delete_vp, 16);

union hv_register_value {
    uint64_t low; /* the first 8 bytes: all of a 64-bit register */
    uint64_t words[2];
    uint8_t bytes[16];
};
HV_ASSERT_SIZE(union hv_register_value, 16);

/* Output: a union hv_register_value an element. */
struct hv_input_get_vp_registers {
    uint64_t partition_id;
    uint32_t vp_index;
    uint8_t input_vtl;
    uint8_t padding[3];
    uint32_t names[];
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_input_get_vp_registers, 16);

struct hv_register_assoc {
    uint32_t name;
    uint32_t reserved1;
    uint64_t reserved2;
    union hv_register_value value;
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_register_assoc, 32);

struct hv_input_set_vp_registers {
    uint64_t partition_id;
    uint32_t vp_index;
    uint8_t input_vtl;
    uint8_t padding[3];
    struct hv_register_assoc elements[];
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_input_set_vp_registers, 16);

#define HV_TRANSLATE_VALIDATE_READ 0x1ull
#define HV_TRANSLATE_VALIDATE_WRITE 0x2ull
#define HV_TRANSLATE_VALIDATE_EXECUTE 0x4ull
#define HV_TRANSLATE_PRIVILEGE_EXEMPT 0x8ull
#define HV_TRANSLATE_SET_PAGE_TABLE_BITS 0x10ull
#define HV_TRANSLATE_TLB_FLUSH_INHIBIT 0x20ull
#define HV_TRANSLATE_SUPERVISOR_ACCESS 0x40ull
#define HV_TRANSLATE_USER_ACCESS 0x80ull
#define HV_TRANSLATE_ENFORCE_SMAP 0x100ull
#define HV_TRANSLATE_OVERRIDE_SMAP 0x200ull

struct hv_input_translate_virtual_address {
    uint64_t partition_id;
    uint32_t vp_index;
    uint32_t padding;
    uint64_t control_flags;
    uint64_t gva_page;
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_input_translate_virtual_address, 32);

enum hv_translate_gva_result_code {
    HV_TRANSLATE_GVA_SUCCESS = 0,
    HV_TRANSLATE_GVA_PAGE_NOT_PRESENT = 1,
    HV_TRANSLATE_GVA_PRIVILEGE_VIOLATION = 2,
    HV_TRANSLATE_GVA_INVALID_PAGE_TABLE_FLAGS = 3,
    HV_TRANSLATE_GVA_GPA_UNMAPPED = 4,
    HV_TRANSLATE_GVA_GPA_NO_READ_ACCESS = 5,
    HV_TRANSLATE_GVA_GPA_NO_WRITE_ACCESS = 6,
    HV_TRANSLATE_GVA_GPA_ILLEGAL_OVERLAY = 7,
    HV_TRANSLATE_GVA_INTERCEPT = 8,
};

struct hv_output_translate_virtual_address {
    uint32_t result_code;
    uint32_t cache_type; /* bits 7:0 cache type, bit 8 overlay page */
    uint64_t gpa_page;
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_output_translate_virtual_address, 16);

enum hv_intercept_type {
    HV_INTERCEPT_TYPE_X64_IO_PORT = 0,
    HV_INTERCEPT_TYPE_X64_MSR = 1,
    HV_INTERCEPT_TYPE_X64_CPUID = 2,
    HV_INTERCEPT_TYPE_EXCEPTION = 3,
};

struct hv_input_register_intercept_result {
    uint64_t partition_id;
    uint32_t vp_index;
    uint32_t intercept_type;
    uint32_t eax;
    uint32_t ecx;
    uint8_t subleaf_specific;
    uint8_t always_override;
    uint16_t padding;
    struct {
        uint32_t value;
        uint32_t mask;
    } HV_PACKED result[4]; /* EAX, EBX, ECX, EDX */
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_input_register_intercept_result, 60);

enum hv_interrupt_type {
    HV_X64_INTERRUPT_TYPE_FIXED = 0,
    HV_X64_INTERRUPT_TYPE_LOWESTPRIORITY = 1,
    HV_X64_INTERRUPT_TYPE_SMI = 2,
    HV_X64_INTERRUPT_TYPE_REMOTEREAD = 3,
    HV_X64_INTERRUPT_TYPE_NMI = 4,
    HV_X64_INTERRUPT_TYPE_INIT = 5,
    HV_X64_INTERRUPT_TYPE_SIPI = 6,
    HV_X64_INTERRUPT_TYPE_EXTINT = 7,
    HV_X64_INTERRUPT_TYPE_LOCALINT0 = 8,
    HV_X64_INTERRUPT_TYPE_LOCALINT1 = 9,
};
#define HV_INTERRUPT_LEVEL_TRIGGERED 0x1u
#define HV_INTERRUPT_LOGICAL_DESTINATION 0x2u

struct hv_input_assert_virtual_interrupt {
    uint64_t partition_id;
    uint32_t interrupt_type;
    uint32_t interrupt_flags;
    uint64_t destination;
    uint32_t vector;
    uint8_t target_vtl;
    uint8_t padding[3];
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_input_assert_virtual_interrupt, 32);

struct hv_input_clear_virtual_interrupt {
    uint64_t partition_id;
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_input_clear_virtual_interrupt, 8);

enum hv_vp_state_page_type {
    HV_VP_STATE_PAGE_REGISTERS = 0,
    HV_VP_STATE_PAGE_INTERCEPT_MESSAGE = 1,
    HV_VP_STATE_PAGE_GHCB = 2,
};
#define HV_MAP_VP_STATE_PAGE_LOCATION_PROVIDED 0x1u

struct hv_input_map_vp_state_page {
    uint64_t partition_id;
    uint32_t vp_index;
    uint16_t type;
    uint8_t input_vtl;
    uint8_t flags;
    uint64_t requested_pfn;
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_input_map_vp_state_page, 24);

struct hv_output_map_vp_state_page {
    uint64_t pfn;
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_output_map_vp_state_page, 8);

struct hv_input_unmap_vp_state_page {
    uint64_t partition_id;
    uint32_t vp_index;
    uint16_t type;
    uint8_t input_vtl;
    uint8_t padding;
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_input_unmap_vp_state_page, 16);

#define HV_VP_STATE_PFN_LIST 0x80000000u
enum hv_vp_state_type {
    HV_VP_STATE_LAPIC = 0x80000000u,
    HV_VP_STATE_XSAVE = 0x80000001u,
    HV_VP_STATE_SIMP = 0x80000002u,
    HV_VP_STATE_SIEFP = 0x80000003u,
    HV_VP_STATE_SYNTHETIC_TIMERS = 4,
};

/* GET_VP_STATE and SET_VP_STATE: the PFNs (types with HV_VP_STATE_PFN_LIST) or the data follow as variable header. */
struct hv_input_vp_state {
    uint64_t partition_id;
    uint32_t vp_index;
    uint8_t input_vtl;
    uint8_t padding[3];
    uint32_t type;
    uint32_t reserved;
    uint64_t xsave_flags;
    uint64_t xsave_states;
    uint64_t pfn[];
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_input_vp_state, 40);

#define HV_DISPATCH_VP_CLEAR_INTERCEPT_SUSPEND 0x1u
#define HV_DISPATCH_VP_ENABLE_CALLER_INTERRUPTS 0x2u
#define HV_DISPATCH_VP_SET_CALLER_SPEC_CTRL 0x4u
#define HV_DISPATCH_VP_FLAGS_MASK 0x7Fu

struct hv_input_dispatch_vp {
    uint64_t partition_id;
    uint32_t vp_index;
    uint32_t flags;
    uint64_t time_slice; /* 100 ns, 0 = unlimited */
    uint64_t spec_ctrl;
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_input_dispatch_vp, 32);

enum hv_vp_dispatch_state { HV_VP_DISPATCH_STATE_BLOCKED = 1, HV_VP_DISPATCH_STATE_READY = 2 };
enum hv_vp_dispatch_event {
    HV_VP_DISPATCH_EVENT_NONE = 0,
    HV_VP_DISPATCH_EVENT_SUSPEND = 1,
    HV_VP_DISPATCH_EVENT_INTERCEPT = 2,
};

struct hv_output_dispatch_vp {
    uint32_t dispatch_state;
    uint32_t dispatch_event;
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_output_dispatch_vp, 8);

struct hv_input_get_vp_cpuid_values {
    uint64_t partition_id;
    uint32_t vp_index;
    uint32_t flags; /* bit 0 use the VP's XFEM and XSS, bit 1 apply registered values */
    uint64_t reserved;
    struct hv_cpuid_leaf_info {
        uint32_t eax;
        uint32_t ecx;
        uint64_t xfem;
        uint64_t xss;
    } HV_PACKED leaves[];
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_input_get_vp_cpuid_values, 24);

/* GET_PARTITION_PROPERTY codes (mshv-abi G.2; TLFS HV_PARTITION_PROPERTY_CODE) */
enum hv_partition_property_code {
    HV_PARTITION_PROPERTY_PRIVILEGE_FLAGS = 0x00010000,
    HV_PARTITION_PROPERTY_SYNTHETIC_PROC_FEATURES = 0x00010001,
    HV_PARTITION_PROPERTY_TIME_FREEZE = 0x00030003,
    HV_PARTITION_PROPERTY_REFERENCE_TIME = 0x00030005,
    HV_PARTITION_PROPERTY_PROCESSORS_PER_SOCKET = 0x00050003,
    HV_PARTITION_PROPERTY_GPA_PAGE_ACCESS_TRACKING = 0x00050005,
    HV_PARTITION_PROPERTY_IMPLEMENTED_PHYSICAL_ADDRESS_BITS = 0x00050010,
    HV_PARTITION_PROPERTY_UNIMPLEMENTED_MSR_ACTION = 0x00050017,
    HV_PARTITION_PROPERTY_PROCESSOR_VENDOR = 0x00060000,
    HV_PARTITION_PROPERTY_PROCESSOR_FEATURES = 0x00060001,
    HV_PARTITION_PROPERTY_PROCESSOR_XSAVE_FEATURES = 0x00060002,
    HV_PARTITION_PROPERTY_PROCESSOR_CL_FLUSH_SIZE = 0x00060003,
    HV_PARTITION_PROPERTY_COMPATIBILITY_VERSION = 0x00060005,
    HV_PARTITION_PROPERTY_PHYSICAL_ADDRESS_WIDTH = 0x00060006,
    HV_PARTITION_PROPERTY_XSAVE_STATES = 0x00060007,
    HV_PARTITION_PROPERTY_MAX_XSAVE_DATA_SIZE = 0x00060008,
    HV_PARTITION_PROPERTY_PROCESSOR_CLOCK_FREQUENCY = 0x00060009,
    HV_PARTITION_PROPERTY_PROCESSOR_FEATURES0 = 0x0006000A,
    HV_PARTITION_PROPERTY_PROCESSOR_FEATURES1 = 0x0006000B,
};
#define HV_UNIMPLEMENTED_MSR_ACTION_FAULT 0
#define HV_UNIMPLEMENTED_MSR_ACTION_IGNORE_WRITE_READ_ZERO 1

#endif
