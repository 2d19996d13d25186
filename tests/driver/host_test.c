// SPDX-License-Identifier: GPL-2.0-or-later
/* /dev/loam and what the driver says about the host. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/driver/machine.h"
#include "tests/driver/test.h"

#define LOG_LIMIT (1u << 20)

static int open_host(void)
{
    int host = open("/dev/loam", O_RDONLY | O_CLOEXEC);

    CHECK(host >= 0);
    return host;
}

/* All that is in the log now, `chunk` bytes at a time. */
static size_t read_log(char *log, size_t chunk)
{
    int host = open_host();
    size_t size = 0;
    ssize_t count;

    while (size + chunk <= LOG_LIMIT && (count = read(host, log + size, chunk)) != 0) {
        CHECK(count > 0);
        size += (size_t)count;
    }
    CHECK_EQUAL(read(host, log + size, 0), 0);
    close(host);
    return size;
}

static void log_is_read(void)
{
    char *whole = malloc(LOG_LIMIT), *pieces = malloc(LOG_LIMIT);
    size_t size = read_log(whole, 65536), again = read_log(pieces, 117);
    void *unmapped = mmap(NULL, HV_PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int host = open_host();

    CHECK(unmapped != MAP_FAILED);
    CHECK(size > 0);
    /* a hypervisor that runs may have said more meanwhile */
    CHECK(again >= size);
    CHECK_EQUAL(memcmp(whole, pieces, size), 0);
    CHECK_EQUAL(lseek(host, 10, SEEK_SET), 10);
    CHECK_EQUAL(read(host, pieces, 20), 20);
    CHECK_EQUAL(memcmp(pieces, whole + 10, 20), 0);
    CHECK_ERRNO(read(host, unmapped, 20), EFAULT);
    CHECK_ERRNO(lseek(host, -1, SEEK_SET), EINVAL);
    close(host);
}

static void information(void)
{
    struct loam_host_information information;
    int host = open_host();

    CHECK_EQUAL(ioctl(host, LOAM_GET_HOST_INFORMATION, &information), 0);
    CHECK_EQUAL(information.interface_version, LOAM_INTERFACE_VERSION);
    CHECK(information.logical_processors >= (uint32_t)sysconf(_SC_NPROCESSORS_ONLN));
    CHECK_ERRNO(ioctl(host, LOAM_GET_HOST_INFORMATION, NULL), EFAULT);
    CHECK_ERRNO(ioctl(host, _IO(LOAM_IOCTL, 0x77)), ENOTTY);
    close(host);
}

static void statistics(void)
{
    struct loam_statistics request = {.type = LOAM_STATISTICS_PARTITION}, own = request;
    struct test_counters counters;
    struct machine machine;
    int host = open_host();

    machine_create(&machine, MACHINE_FLAGS, MACHINE_RAM);
    machine_create_vp(&machine, 0);
    machine_create_vp(&machine, 1);
    CHECK_EQUAL(ioctl(machine.partition, LOAM_GET_PARTITION_ID, &request.partition_id), 0);
    CHECK_EQUAL(ioctl(host, LOAM_GET_STATISTICS, &request), 0);
    CHECK(request.result.count >= LOAM_PARTITION_COUNTER_COUNT);
    CHECK_EQUAL(request.result.counter[LOAM_PARTITION_VPS], 2);
    CHECK_EQUAL(request.result.counter[LOAM_PARTITION_MAPPED_PAGES], MACHINE_RAM / HV_PAGE_SIZE);
    test_read_counters(&counters);
    CHECK_EQUAL(counters.partitions, 1);
    CHECK_EQUAL(counters.virtual_processors, 2);
    CHECK_EQUAL(counters.hypervisor_partitions, 1);
    CHECK_EQUAL(counters.deposited_pages, counters.hypervisor_deposited_pages);
    /* The rest is what the parent deposited for itself, to pay for the partition's own page. */
    own.partition_id = HV_PARTITION_ID_SELF;
    CHECK_EQUAL(ioctl(host, LOAM_GET_STATISTICS, &own), 0);
    CHECK_EQUAL(request.result.counter[LOAM_PARTITION_DEPOSITED_PAGES] +
                    own.result.counter[LOAM_PARTITION_DEPOSITED_PAGES],
                counters.deposited_pages);
    machine_destroy(&machine);
    CHECK_ERRNO(ioctl(host, LOAM_GET_STATISTICS, &request), EINVAL);
    CHECK_ERRNO(ioctl(host, LOAM_GET_STATISTICS, NULL), EFAULT);
    close(host);
}

const struct test host_tests[] = {
    {"log_is_read", log_is_read, false},
    {"information", information, false},
    {"statistics",  statistics,  false},
    {NULL,          NULL,        false},
};
