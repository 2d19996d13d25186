/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>

#include "partitions/root/manager/definition.h"

static json_t *file_json(const struct definition_file *file)
{
    return file->path ? json_pack("{s:s, s:I}", "path", file->path, "uid", (json_int_t)file->user) : json_null();
}

static json_t *disks_json(const struct definition *definition)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < definition->disk_count; i++) {
        const struct definition_disk *disk = &definition->disks[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:I, s:s?}", "path", disk->file.path, "format",
                                              disk->raw ? "raw" : "vhd", "read_only", disk->read_only, "uid",
                                              (json_int_t)disk->file.user, "source", disk->source));
    }
    return list;
}

static json_t *drives_json(const struct definition_drive *drives, unsigned count)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < count; i++)
        json_array_append_new(list, json_pack("{s:s?, s:b, s:I}", "path", drives[i].file.path, "read_only",
                                              drives[i].read_only, "uid", (json_int_t)drives[i].file.user));
    return list;
}

static json_t *serial_json(const struct definition_serial *serial)
{
    json_t *value = json_pack("{s:s}", "kind", configuration_serial_names[serial->kind]);
    if (serial->file.path)
        json_object_update_new(value, file_json(&serial->file));
    return value;
}

static json_t *boot_json(const struct definition *definition)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < definition->boot_count; i++)
        json_array_append_new(list, json_string(configuration_boot_names[definition->boot[i]]));
    return list;
}

static json_t *graphics_json(const struct definition *definition)
{
    return definition->graphics == DEFINITION_DEFAULT ? json_null()
                                                      : json_boolean(definition->graphics == DEFINITION_YES);
}

json_t *definition_uuid_json(const struct definition *definition)
{
    char text[2 * 16 + 4 + 1];
    unsigned length = 0;
    for (unsigned i = 0; i < 16; i++)
        length += (unsigned)snprintf(text + length, sizeof(text) - length, "%s%02x",
                                     i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", definition->uuid[i]);
    return json_string(text);
}

static json_t *nics_json(const struct definition *definition)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < definition->nic_count; i++) {
        const struct definition_nic *nic = &definition->nics[i];
        json_array_append_new(list, json_pack("{s:o, s:o}", "switch",
                                              nic->switch_name[0] ? json_string(nic->switch_name) : json_null(), "mac",
                                              json_sprintf(MAC_FORMAT, MAC_ARGUMENTS(nic->mac))));
    }
    return list;
}

json_t *definition_json(const struct definition *definition)
{
    return json_pack("{s:i, s:s, s:I, s:i, s:o, s:o, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "version",
                     DEFINITION_VERSION, "name", definition->name, "memory", (json_int_t)definition->memory,
                     "processors", (int)definition->processors, "uuid", definition_uuid_json(definition), "kernel",
                     file_json(&definition->kernel), "initrd", file_json(&definition->initrd), "command_line",
                     definition->command_line ? definition->command_line : "", "boot", boot_json(definition),
                     "graphics", graphics_json(definition), "disks", disks_json(definition), "dvds",
                     drives_json(definition->dvds, definition->dvd_count), "floppies",
                     drives_json(definition->floppies, definition->floppy_count), "com2",
                     serial_json(&definition->com2), "nics", nics_json(definition));
}
