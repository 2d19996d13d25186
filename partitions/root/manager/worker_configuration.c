/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/manager/worker_configuration.h"

#include <limits.h>

static json_t *parents_json(const struct file_parents *parents, int source)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < parents->count; i++)
        json_array_append_new(
            list, json_pack("{s:s, s:i}", "path", parents->list[i].path, "fd", parents->list[i].descriptor));
    if (source >= 0)
        json_array_append_new(list, json_pack("{s:s, s:b, s:I, s:s, s:i}", "url", parents->source.url, "raw",
                                              parents->source.raw, "size", (json_int_t)parents->source.size,
                                              "validator", parents->source.validator, "fd", source));
    return list;
}

static json_t *disks_json(const struct definition *definition, const struct worker_files *files)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < definition->disk_count; i++) {
        const struct definition_disk *disk = &definition->disks[i];
        json_t *value = json_pack("{s:s, s:i, s:s, s:b}", "path", disk->file.path, "fd", files->disks[i], "format",
                                  disk->raw ? "raw" : "vhd", "read_only", disk->read_only);
        if (files->parents[i])
            json_object_set_new(value, "parents", parents_json(files->parents[i], files->sources[i]));
        json_array_append_new(list, value);
    }
    return list;
}

static json_t *drives_json(const struct definition_drive *drives, const int *descriptors, unsigned count)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < count; i++)
        json_array_append_new(list, drives[i].file.path
                                        ? json_pack("{s:s, s:i, s:b}", "path", drives[i].file.path, "fd",
                                                    descriptors[i], "read_only", drives[i].read_only)
                                        : json_object());
    return list;
}

static json_t *serial_json(const struct definition_serial *com2, int descriptor)
{
    json_t *second = json_pack("{s:s}", "kind", configuration_serial_names[com2->kind]);
    if (com2->file.path)
        json_object_update_new(second, json_pack("{s:s, s:i}", "path", com2->file.path, "fd", descriptor));
    return json_pack("[{s:s}, o]", "kind", configuration_serial_names[CONFIGURATION_SERIAL_CONSOLE], second);
}

static json_t *boot_json(const struct definition *definition)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < definition->boot_count; i++)
        json_array_append_new(list, json_string(configuration_boot_names[definition->boot[i]]));
    return list;
}

static void set_file(json_t *value, const char *key, const struct definition_file *file, int descriptor)
{
    if (file->path)
        json_object_set_new(value, key, json_pack("{s:s, s:i}", "path", file->path, "fd", descriptor));
}

static json_t *nic_json(const struct definition_nic *nic,
                        void (*switch_path)(void *context, const char *name, char *path, size_t size), void *context)
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

json_t *worker_configuration(const struct definition *definition, const struct worker_files *files, bool boot_menu,
                             const char *log_path,
                             void (*switch_path)(void *context, const char *name, char *path, size_t size),
                             void *context)
{
    json_t *nics = json_array();
    for (unsigned i = 0; i < definition->nic_count; i++)
        json_array_append_new(nics, nic_json(&definition->nics[i], switch_path, context));
    json_t *value = json_pack(
        "{s:i, s:s, s:I, s:i, s:o, s:s, s:o, s:b, s:b, s:o, s:o, s:o, s:o, s:o, s:{s:i}, s:{s:s, s:i}, s:{s:i}}",
        "version", CONFIGURATION_VERSION, "name", definition->name, "memory", (json_int_t)definition->memory,
        "processors", (int)definition->processors, "uuid", definition_uuid_json(definition), "command_line",
        definition->command_line ? definition->command_line : "", "boot", boot_json(definition), "boot_menu", boot_menu,
        "graphics", definition_has_graphics(definition), "disks", disks_json(definition, files), "dvds",
        drives_json(definition->dvds, files->dvds, definition->dvd_count), "floppies",
        drives_json(definition->floppies, files->floppies, definition->floppy_count), "serial",
        serial_json(&definition->com2, files->com2), "nics", nics, "control", "fd", files->control, "log", "path",
        log_path, "fd", files->log, "previous_log", "fd", files->previous_log);
    if (value) {
        set_file(value, "kernel", &definition->kernel, files->kernel);
        set_file(value, "initrd", &definition->initrd, files->initrd);
    }
    return value;
}
