/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /dev/loam: what the parent's programs may ask of the hypervisor itself. read() gives the log from its beginning. */
#ifndef UAPI_LOAM_H
#define UAPI_LOAM_H

#include "../hv/types.h"
#include "../hv/loam.h"
#ifdef __KERNEL__
#include <linux/ioctl.h>
#else
#include <sys/ioctl.h>
#endif

#define LOAM_IOCTL 0xB9

struct loam_host_information {
    uint32_t interface_version;
    uint32_t logical_processors;
    uint64_t reserved[3];
};
HV_ASSERT_SIZE(struct loam_host_information, 32);

struct loam_statistics {
    uint64_t partition_id; /* HV_PARTITION_ID_SELF: the parent */
    uint32_t type;         /* enum loam_statistics_type */
    uint32_t vp_index;
    struct loam_output_get_statistics result;
};
HV_ASSERT_SIZE(struct loam_statistics, 528);

#define LOAM_GET_HOST_INFORMATION _IOR(LOAM_IOCTL, 0x00, struct loam_host_information)
#define LOAM_GET_STATISTICS _IOWR(LOAM_IOCTL, 0x01, struct loam_statistics)

/* on a partition of /dev/mshv: its id, for LOAM_GET_STATISTICS */
#define LOAM_GET_PARTITION_ID _IOR(LOAM_IOCTL, 0x02, uint64_t)

#endif
