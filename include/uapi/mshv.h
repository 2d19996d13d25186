/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * /dev/mshv: the ioctls that Linux defines for a parent partition (type byte 0xB8). Numbers and layouts are Linux's;
 * programs written for Linux's own driver run unchanged. Behaviour is described in docs/abi.md.
 */
#ifndef UAPI_MSHV_H
#define UAPI_MSHV_H

#include "../hv/types.h"
#include "../hv/message.h"
#ifdef __KERNEL__
#include <linux/ioctl.h>
#else
#include <sys/ioctl.h>
#endif

#define MSHV_IOCTL 0xB8

#define MSHV_PT_LAPIC (1ull << 0)
#define MSHV_PT_X2APIC (1ull << 1)
#define MSHV_PT_GPA_SUPER_PAGES (1ull << 2)
#define MSHV_PT_CPU_AND_XSAVE_FEATURES (1ull << 3)
#define MSHV_PT_NESTED_VIRTUALIZATION (1ull << 4)
#define MSHV_PT_SMT_ENABLED_GUEST (1ull << 5)
#define MSHV_PT_FLAGS_MASK 0x3Full

struct mshv_create_partition {
    uint64_t pt_flags;
    uint64_t pt_isolation;
};
HV_ASSERT_SIZE(struct mshv_create_partition, 16);

#define MSHV_CPU_FEATURE_BANKS 2
/* Used instead of mshv_create_partition when MSHV_PT_CPU_AND_XSAVE_FEATURES is set. */
struct mshv_create_partition_v2 {
    uint64_t pt_flags;
    uint64_t pt_isolation;
    uint16_t pt_num_cpu_fbanks;
    uint8_t pt_rsvd[6];
    uint64_t pt_cpu_fbanks[MSHV_CPU_FEATURE_BANKS]; /* disabled features */
    uint64_t pt_rsvd1[2];
    uint64_t pt_disabled_xsave;
};
HV_ASSERT_SIZE(struct mshv_create_partition_v2, 64);

struct mshv_create_vp {
    uint32_t vp_index;
};
HV_ASSERT_SIZE(struct mshv_create_vp, 4);

#define MSHV_SET_MEM_WRITABLE 0x1u
#define MSHV_SET_MEM_EXECUTABLE 0x2u
#define MSHV_SET_MEM_UNMAP 0x4u
#define MSHV_SET_MEM_FLAGS_MASK 0x7u
struct mshv_user_mem_region {
    uint64_t size;
    uint64_t guest_pfn;
    uint64_t userspace_addr;
    uint8_t flags;
    uint8_t rsvd[7];
};
HV_ASSERT_SIZE(struct mshv_user_mem_region, 32);

#define MSHV_IRQFD_DEASSIGN 0x1u
#define MSHV_IRQFD_RESAMPLE 0x2u
struct mshv_user_irqfd {
    int32_t fd;
    int32_t resamplefd;
    uint32_t gsi;
    uint32_t flags;
};
HV_ASSERT_SIZE(struct mshv_user_irqfd, 16);

#define MSHV_IOEVENTFD_DATAMATCH 0x1u
#define MSHV_IOEVENTFD_PIO 0x2u
#define MSHV_IOEVENTFD_DEASSIGN 0x4u
struct mshv_user_ioeventfd {
    uint64_t datamatch;
    uint64_t addr;
    uint32_t len;
    int32_t fd;
    uint32_t flags;
    uint8_t rsvd[4];
};
HV_ASSERT_SIZE(struct mshv_user_ioeventfd, 32);

#define MSHV_MAX_GUEST_IRQS 4096u
struct mshv_user_irq_entry {
    uint32_t gsi;
    uint32_t address_lo;
    uint32_t address_hi;
    uint32_t data;
};
struct mshv_user_irq_table {
    uint32_t nr;
    uint32_t rsvd;
    struct mshv_user_irq_entry entries[];
};
HV_ASSERT_SIZE(struct mshv_user_irq_table, 8);

enum mshv_gpap_access_type {
    MSHV_GPAP_ACCESS_TYPE_ACCESSED = 0,
    MSHV_GPAP_ACCESS_TYPE_DIRTY = 1,
    MSHV_GPAP_ACCESS_TYPE_COUNT,
};

enum mshv_gpap_access_op {
    MSHV_GPAP_ACCESS_OP_NOOP = 0,
    MSHV_GPAP_ACCESS_OP_CLEAR = 1,
    MSHV_GPAP_ACCESS_OP_SET = 2,
    MSHV_GPAP_ACCESS_OP_COUNT,
};

struct mshv_gpap_access_bitmap {
    uint8_t access_type;
    uint8_t access_op;
    uint8_t rsvd[6];
    uint64_t page_count;
    uint64_t gpap_base;  /* guest pfn */
    uint64_t bitmap_ptr; /* a bit a page, in as many bytes as that takes */
};
HV_ASSERT_SIZE(struct mshv_gpap_access_bitmap, 32);

struct mshv_root_hvcall {
    uint16_t code;
    uint16_t reps;
    uint16_t in_sz;
    uint16_t out_sz;
    uint16_t status;
    uint8_t rsvd[6];
    uint64_t in_ptr;
    uint64_t out_ptr;
};
HV_ASSERT_SIZE(struct mshv_root_hvcall, 32);

#define MSHV_RUN_VP_BUF_SZ 256
struct mshv_run_vp {
    uint8_t msg_buf[MSHV_RUN_VP_BUF_SZ]; /* struct hv_message */
};
HV_ASSERT_SIZE(struct mshv_run_vp, 256);

enum mshv_vp_state_type {
    MSHV_VP_STATE_LAPIC = 0,
    MSHV_VP_STATE_XSAVE = 1,
    MSHV_VP_STATE_SIMP = 2,
    MSHV_VP_STATE_SIEFP = 3,
    MSHV_VP_STATE_SYNTHETIC_TIMERS = 4,
    MSHV_VP_STATE_COUNT,
};

struct mshv_get_set_vp_state {
    uint8_t type;
    uint8_t rsvd[3];
    uint32_t buf_sz;
    uint64_t buf_ptr;
};
HV_ASSERT_SIZE(struct mshv_get_set_vp_state, 16);

/* mmap offsets (in pages) on a VP file descriptor */
enum mshv_vp_mmap_offset {
    MSHV_VP_MMAP_OFFSET_REGISTERS = 0,
    MSHV_VP_MMAP_OFFSET_INTERCEPT_MESSAGE = 1,
    MSHV_VP_MMAP_OFFSET_GHCB = 2,
};

/* on /dev/mshv */
#define MSHV_CREATE_PARTITION _IOW(MSHV_IOCTL, 0x00, struct mshv_create_partition)
#define MSHV_ROOT_HVCALL _IOWR(MSHV_IOCTL, 0x07, struct mshv_root_hvcall) /* also on partitions and VPs */
/* on a partition */
#define MSHV_INITIALIZE_PARTITION _IO(MSHV_IOCTL, 0x00)
#define MSHV_CREATE_VP _IOW(MSHV_IOCTL, 0x01, struct mshv_create_vp)
#define MSHV_SET_GUEST_MEMORY _IOW(MSHV_IOCTL, 0x02, struct mshv_user_mem_region)
#define MSHV_IRQFD _IOW(MSHV_IOCTL, 0x03, struct mshv_user_irqfd)
#define MSHV_IOEVENTFD _IOW(MSHV_IOCTL, 0x04, struct mshv_user_ioeventfd)
#define MSHV_SET_MSI_ROUTING _IOW(MSHV_IOCTL, 0x05, struct mshv_user_irq_table)
#define MSHV_GET_GPAP_ACCESS_BITMAP _IOWR(MSHV_IOCTL, 0x06, struct mshv_gpap_access_bitmap)
/* on a VP */
#define MSHV_RUN_VP _IOR(MSHV_IOCTL, 0x00, struct mshv_run_vp)
#define MSHV_GET_VP_STATE _IOWR(MSHV_IOCTL, 0x01, struct mshv_get_set_vp_state)
#define MSHV_SET_VP_STATE _IOWR(MSHV_IOCTL, 0x02, struct mshv_get_set_vp_state)

_Static_assert(MSHV_CREATE_PARTITION == 0x4010B800u, "ioctl number");
_Static_assert(MSHV_ROOT_HVCALL == 0xC020B807u, "ioctl number");
_Static_assert(MSHV_CREATE_VP == 0x4004B801u, "ioctl number");
_Static_assert(MSHV_SET_GUEST_MEMORY == 0x4020B802u, "ioctl number");
_Static_assert(MSHV_IRQFD == 0x4010B803u, "ioctl number");
_Static_assert(MSHV_IOEVENTFD == 0x4020B804u, "ioctl number");
_Static_assert(MSHV_SET_MSI_ROUTING == 0x4008B805u, "ioctl number");
_Static_assert(MSHV_RUN_VP == 0x8100B800u, "ioctl number");
_Static_assert(MSHV_GET_VP_STATE == 0xC010B801u, "ioctl number");
_Static_assert(MSHV_SET_VP_STATE == 0xC010B802u, "ioctl number");

#endif
