/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/manager/worker_configuration.h"

#include <limits.h>

static json_t *disks_json(const struct definition *definition, const struct worker_files *files)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < definition->disk_count; i++) {
        const struct definition_disk *disk = &definition->disks[i];
        json_array_append_new(list, json_pack("{s:s, s:i, s:s, s:b}", "path", disk->file.path, "fd",
                                              files->disks[i], "format", disk->raw ? "raw" : "vhd",
                                              "read_only", disk->read_only));
    }
    return list;
}

static json_t *nic_json(const struct definition_nic *nic,
                        void (*switch_path)(void *context, const char *name, char *path, size_t size),
                        void *context)
{
    char path[PATH_MAX];
    json_t *value = json_pack("{s:o}", "mac", json_sprintf(MAC_FORMAT, MAC_ARGUMENTS(nic->mac)));
    if (value && nic->switch_name[0]) {
        /* The path and no descriptor: so the worker finds the switch again when it has been away. */
        switch_path(context, nic->switch_name, path, sizeof(path));
        json_object_set_new(value, "switch", json_pack("{s:s}", "path", path));
    }
    return value;
}

json_t *worker_configuration(const struct definition *definition, const struct worker_files *files,
                             const char *log_path,
                             void (*switch_path)(void *context, const char *name, char *path, size_t size),
                             void *context)
{
    json_t *nics = json_array();
    for (unsigned i = 0; i < definition->nic_count; i++)
        json_array_append_new(nics, nic_json(&definition->nics[i], switch_path, context));
    json_t *value = json_pack(
        "{s:i, s:s, s:I, s:i, s:{s:s, s:i}, s:s, s:o, s:o, s:{s:i}, s:{s:s, s:i}, s:{s:i}}", "version",
        CONFIGURATION_VERSION, "name", definition->name, "memory", (json_int_t)definition->memory,
        "processors", (int)definition->processors, "kernel", "path", definition->kernel.path, "fd",
        files->kernel, "command_line", definition->command_line ? definition->command_line : "", "disks",
        disks_json(definition, files), "nics", nics, "control", "fd", files->control, "log", "path", log_path,
        "fd", files->log, "previous_log", "fd", files->previous_log);
    if (value && definition->initrd.path)
        json_object_set_new(value, "initrd",
                            json_pack("{s:s, s:i}", "path", definition->initrd.path, "fd", files->initrd));
    return value;
}
