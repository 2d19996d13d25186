/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Prints the hypervisor's counters: its own, and how often the parent left each processor, by reason. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "uapi/loam.h"

static int print(int device, enum loam_statistics_type type, uint32_t vp_index, const char *name)
{
    struct loam_statistics statistics = {
        .partition_id = HV_PARTITION_ID_SELF, .type = type, .vp_index = vp_index};

    if (ioctl(device, LOAM_GET_STATISTICS, &statistics) != 0) {
        perror(name);
        return 1;
    }
    printf("%s", name);
    for (uint32_t i = 0; i < statistics.result.count; i++)
        printf(" %llu", (unsigned long long)statistics.result.counter[i]);
    printf("\n");
    return 0;
}

int main(void)
{
    int device = open("/dev/loam", O_RDWR);

    if (device < 0) {
        perror("/dev/loam");
        return 1;
    }
    return print(device, LOAM_STATISTICS_HYPERVISOR, 0, "hypervisor") |
           print(device, LOAM_STATISTICS_VP, 0, "vp0");
}
