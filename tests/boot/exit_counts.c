// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * exit_counts DEVICE MEBIBYTES: reads so much from a disk, past the page cache, and prints a line "REASON
 * COUNT" for every reason for which the parent's processors left to the hypervisor meanwhile. The second
 * reading of the counters is among the hypercalls.
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "uapi/loam.h"

#define MEBIBYTE (1u << 20)

static const char *const reasons[] = {
#define REASON_NAME(name, text) text,
    LOAM_EXIT_REASONS(REASON_NAME)
#undef REASON_NAME
};

/* Adds every processor's counters, times `sign`. */
static void add_counters(int host, uint32_t processors, int sign, int64_t *total)
{
    for (uint32_t i = 0; i < processors; i++) {
        struct loam_statistics statistics = {
            .partition_id = HV_PARTITION_ID_SELF, .type = LOAM_STATISTICS_VP, .vp_index = i};

        if (ioctl(host, LOAM_GET_STATISTICS, &statistics) != 0)
            err(1, "the counters of processor %u", i);
        for (unsigned reason = 0; reason < LOAM_EXIT_REASON_COUNT; reason++)
            total[reason] += sign * (int64_t)statistics.result.counter[reason];
    }
}

static void read_disk(const char *path, long mebibytes)
{
    static char buffer[MEBIBYTE] __attribute__((aligned(4096)));
    int disk = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);

    if (disk < 0)
        err(1, "%s", path);
    for (long i = 0; i < mebibytes; i++)
        if (pread(disk, buffer, sizeof(buffer), i * (off_t)MEBIBYTE) != (ssize_t)sizeof(buffer))
            err(1, "%s: MiB %ld cannot be read", path, i);
    close(disk);
}

int main(int count, char **arguments)
{
    int host = open("/dev/loam", O_RDONLY | O_CLOEXEC);
    int64_t total[LOAM_EXIT_REASON_COUNT] = {0};
    struct loam_host_information information;

    if (count != 3)
        errx(1, "usage: exit_counts DEVICE MEBIBYTES");
    if (host < 0 || ioctl(host, LOAM_GET_HOST_INFORMATION, &information) != 0)
        err(1, "/dev/loam");
    add_counters(host, information.logical_processors, -1, total);
    read_disk(arguments[1], atol(arguments[2]));
    add_counters(host, information.logical_processors, 1, total);
    for (unsigned reason = 0; reason < LOAM_EXIT_REASON_COUNT; reason++)
        if (total[reason])
            printf("%s %ld\n", reasons[reason], total[reason]);
    return 0;
}
