/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/manager/host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "hv/types.h"
#include "partitions/root/manager/dispatch.h"
#include "partitions/root/manager/manager.h"
#include "partitions/root/manager/request.h"
#include "partitions/root/manager/vm.h"
#include "partitions/root/manager/vm_requests.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static const char *const hypervisor_counters[LOAM_HYPERVISOR_COUNTER_COUNT] = {
    [LOAM_COUNTER_LOGICAL_PROCESSORS] = "logical_processors",
    [LOAM_COUNTER_PARTITIONS] = "partitions",
    [LOAM_COUNTER_IMAGE_BYTES] = "image_bytes",
    [LOAM_COUNTER_RESERVED_BYTES] = "reserved_bytes",
    [LOAM_COUNTER_TABLE_BYTES] = "table_bytes",
    [LOAM_COUNTER_DEPOSITED_PAGES] = "deposited_pages",
    [LOAM_COUNTER_HIDDEN_WRITES] = "hidden_writes",
    [LOAM_COUNTER_SHOOT_DOWNS] = "shoot_downs",
};

static const char *const partition_counters[LOAM_PARTITION_COUNTER_COUNT] = {
    [LOAM_PARTITION_DEPOSITED_PAGES] = "deposited_pages",
    [LOAM_PARTITION_FREE_PAGES] = "free_pages",
    [LOAM_PARTITION_MAPPED_PAGES] = "mapped_pages",
    [LOAM_PARTITION_VPS] = "vps",
};

static const char *const exit_reasons[LOAM_EXIT_REASON_COUNT] = {
#define EXIT_REASON_NAME(name, text) [LOAM_EXIT_##name] = text,
    LOAM_EXIT_REASONS(EXIT_REASON_NAME)
#undef EXIT_REASON_NAME
};

static json_t *named_counters(const struct loam_output_get_statistics *statistics, const char *const *names,
                              size_t count)
{
    json_t *value = json_object();
    for (size_t i = 0; i < count && i < statistics->count && i < LOAM_STATISTICS_COUNTERS; i++)
        json_object_set_new(value, names[i], json_integer((json_int_t)statistics->counter[i]));
    return value;
}

json_t *host_hypervisor_counters(const struct loam_output_get_statistics *statistics)
{
    return named_counters(statistics, hypervisor_counters, COUNT(hypervisor_counters));
}

json_t *host_partition_counters(const struct loam_output_get_statistics *statistics)
{
    return named_counters(statistics, partition_counters, COUNT(partition_counters));
}

json_t *host_exits(const struct loam_output_get_statistics *statistics)
{
    json_t *value = named_counters(statistics, exit_reasons, COUNT(exit_reasons));
    uint64_t total = 0;
    for (uint32_t i = 0; i < statistics->count && i < LOAM_STATISTICS_COUNTERS; i++)
        total += statistics->counter[i];
    json_object_set_new(value, "total", json_integer((json_int_t)total));
    return value;
}

/* The hypervisor's device; -1: the request has been refused. */
static int open_device(struct request *request)
{
    const char *path = request->manager->settings.host_device;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor >= 0)
        return descriptor;
    if (errno == ENOENT)
        request_refuse(
            request, REFUSED_FAILED,
            "there is no %s: this machine does not run on Loam, or the driver is not loaded (modprobe "
            "mshv_loam)",
            path);
    else
        request_refuse(request, REFUSED_FAILED, "%s cannot be opened: %s", path, strerror(errno));
    return -1;
}

static bool get_statistics(int device, uint64_t partition_id, uint32_t type, uint32_t vp,
                           struct loam_statistics *statistics)
{
    *statistics = (struct loam_statistics){.partition_id = partition_id, .type = type, .vp_index = vp};
    return ioctl(device, LOAM_GET_STATISTICS, statistics) == 0;
}

/* ---- Information ---- */

/* A value of /proc/meminfo in bytes; 0: there is none. */
static uint64_t read_memory(const char *name)
{
    FILE *file = fopen("/proc/meminfo", "re");
    unsigned long long kibibytes = 0;
    char line[128];
    size_t length = strlen(name);
    while (file && fgets(line, sizeof(line), file))
        if (strncmp(line, name, length) == 0 && sscanf(line + length, ": %llu kB", &kibibytes) == 1)
            break;
    if (file)
        fclose(file);
    return kibibytes * 1024;
}

static json_t *count_vms(const struct manager *manager)
{
    unsigned counts[VM_STATES] = {0};
    json_t *value = json_object();
    for (const struct vm *vm = manager->vms; vm; vm = vm->next)
        counts[vm->state]++;
    for (enum vm_state state = VM_OFF; state < VM_STATES; state++)
        json_object_set_new(value, vm_state_name(state), json_integer(counts[state]));
    return value;
}

void host_info_request(struct request *request)
{
    struct loam_host_information information = {0};
    struct loam_statistics statistics;
    struct utsname system;
    if (!dispatch_read_arguments(request, NULL, 0))
        return;
    int device = open_device(request);
    if (device < 0)
        return;
    bool known = ioctl(device, LOAM_GET_HOST_INFORMATION, &information) == 0 &&
                 get_statistics(device, HV_PARTITION_ID_SELF, LOAM_STATISTICS_HYPERVISOR, 0, &statistics);
    int error = errno;
    close(device);
    if (!known || uname(&system) != 0) {
        request_refuse(request, REFUSED_FAILED, "the hypervisor does not answer: %s", strerror(error));
        return;
    }
    request_answer(request, json_pack("{s:s, s:i, s:i, s:s, s:I, s:I, s:o, s:o}", "hypervisor", "Loam",
                                      "interface_version", (int)information.interface_version,
                                      "logical_processors", (int)information.logical_processors, "kernel",
                                      system.release, "memory", (json_int_t)read_memory("MemTotal"),
                                      "memory_available", (json_int_t)read_memory("MemAvailable"), "counters",
                                      host_hypervisor_counters(&statistics.result), "vms",
                                      count_vms(request->manager)));
}

void host_log_request(struct request *request)
{
    if (!dispatch_read_arguments(request, NULL, 0))
        return;
    int device = open_device(request);
    if (device >= 0)
        request_answer_with(request, json_object(), device);
}

/* ---- Statistics: partition ids are the workers' to know ---- */

struct collection {
    struct request *request;
    int device;
    unsigned waiting; /* for so many workers */
    json_t *vms;
};

struct collected_vm {
    struct collection *collection;
    char name[NAME_SIZE];
    unsigned processors;
};

static json_t *parent_exits(int device)
{
    struct loam_host_information information = {0};
    struct loam_statistics statistics;
    json_t *list = json_array();
    if (ioctl(device, LOAM_GET_HOST_INFORMATION, &information) != 0)
        return list;
    for (uint32_t lp = 0; lp < information.logical_processors; lp++)
        if (get_statistics(device, HV_PARTITION_ID_SELF, LOAM_STATISTICS_VP, lp, &statistics))
            json_array_append_new(list, host_exits(&statistics.result));
    return list;
}

static void answer_if_complete(struct collection *collection)
{
    struct loam_statistics statistics;
    if (collection->waiting)
        return;
    if (get_statistics(collection->device, HV_PARTITION_ID_SELF, LOAM_STATISTICS_HYPERVISOR, 0,
                       &statistics)) {
        request_answer(collection->request,
                       json_pack("{s:o, s:o, s:o}", "hypervisor",
                                 host_hypervisor_counters(&statistics.result), "parent",
                                 parent_exits(collection->device), "vms", collection->vms));
    } else {
        request_refuse(collection->request, REFUSED_FAILED, "the hypervisor does not answer: %s",
                       strerror(errno));
        json_decref(collection->vms);
    }
    close(collection->device);
    free(collection);
}

static void was_answered(void *owner, const json_t *answer)
{
    struct collected_vm *vm = owner;
    struct collection *collection = vm->collection;
    const json_t *id = json_object_get(json_object_get(answer, "result"), "partition_id");
    struct loam_statistics statistics;
    uint64_t partition_id = (uint64_t)json_integer_value(id);
    if (id && get_statistics(collection->device, partition_id, LOAM_STATISTICS_PARTITION, 0, &statistics)) {
        json_t *memory = host_partition_counters(&statistics.result), *vps = json_array();
        for (uint32_t i = 0; i < vm->processors; i++)
            if (get_statistics(collection->device, partition_id, LOAM_STATISTICS_VP, i, &statistics))
                json_array_append_new(vps, host_exits(&statistics.result));
        json_array_append_new(collection->vms,
                              json_pack("{s:s, s:I, s:o, s:o}", "name", vm->name, "partition_id",
                                        (json_int_t)partition_id, "counters", memory, "vps", vps));
    }
    free(vm);
    collection->waiting--;
    answer_if_complete(collection);
}

static void ask(struct collection *collection, struct vm *vm)
{
    struct collected_vm *collected = calloc(1, sizeof(*collected));
    if (!collected)
        return; /* less is shown */
    collected->collection = collection;
    collected->processors = vm->definition.processors;
    strcpy(collected->name, vm->definition.name);
    collection->waiting++;
    channel_call(&vm->channel, json_pack("{s:s}", "request", "status"), -1, was_answered, collected);
}

void host_stats_request(struct request *request)
{
    if (!dispatch_read_arguments(request, NULL, 0))
        return;
    int device = open_device(request);
    if (device < 0)
        return;
    struct collection *collection = calloc(1, sizeof(*collection));
    if (!collection) {
        close(device);
        request_answer(request, NULL);
        return;
    }
    *collection =
        (struct collection){.request = request, .device = device, .waiting = 1, .vms = json_array()};
    for (struct vm *vm = request->manager->vms; vm; vm = vm->next)
        if (vm->worker.pid)
            ask(collection, vm);
    collection->waiting--;
    answer_if_complete(collection);
}
