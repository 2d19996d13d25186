/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Prints the hypervisor's counters: its own, and how often the parent left its first processor, by reason.
 * With the process of a worker: also how often the first VP of its virtual machine has left.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "uapi/loam.h"

static int print(int device, uint64_t partition_id, enum loam_statistics_type type, const char *name)
{
    struct loam_statistics statistics = {.partition_id = partition_id, .type = type};

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

static bool is_partition(const char *process, const char *descriptor)
{
    char path[512], target[64] = "";

    snprintf(path, sizeof path, "/proc/%s/fd/%s", process, descriptor);
    return readlink(path, target, sizeof target - 1) > 0 && strstr(target, "mshv_partition");
}

/* The descriptor that the process has of its partition, as a number; -1: it has none. */
static int find_partition(const char *process)
{
    char path[64];
    const struct dirent *entry;
    int found = -1;
    DIR *descriptors;

    snprintf(path, sizeof path, "/proc/%s/fd", process);
    descriptors = opendir(path);
    while (descriptors && found < 0 && (entry = readdir(descriptors)))
        if (is_partition(process, entry->d_name))
            found = atoi(entry->d_name);
    if (descriptors)
        closedir(descriptors);
    return found;
}

static int print_child(int device, const char *process)
{
    int process_descriptor = (int)syscall(SYS_pidfd_open, atoi(process), 0);
    int partition = (int)syscall(SYS_pidfd_getfd, process_descriptor, find_partition(process), 0);
    uint64_t id;

    if (partition < 0 || ioctl(partition, LOAM_GET_PARTITION_ID, &id) != 0) {
        perror(process);
        return 1;
    }
    return print(device, id, LOAM_STATISTICS_VP, "child");
}

int main(int count, char **arguments)
{
    int device = open("/dev/loam", O_RDWR);

    if (device < 0) {
        perror("/dev/loam");
        return 1;
    }
    return print(device, HV_PARTITION_ID_SELF, LOAM_STATISTICS_HYPERVISOR, "hypervisor") |
           print(device, HV_PARTITION_ID_SELF, LOAM_STATISTICS_VP, "vp0") |
           (count > 1 ? print_child(device, arguments[1]) : 0);
}
