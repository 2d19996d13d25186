/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control socket's requests about media that come and go (docs/worker-protocol.md). */
#include "partitions/root/worker/control_answer.h"

#include <string.h>

#include "partitions/root/disk/disk.h"
#include "partitions/root/worker/storage.h"

static const struct {
    const char *name;
    enum storage_kind kind;
} kinds[] = {
    {"dvd",    STORAGE_DVD   },
    {"floppy", STORAGE_FLOPPY},
};

#define KINDS (sizeof kinds / sizeof kinds[0])

/* NULL: a drive whose media do not come and go. */
static const char *kind_name(enum storage_kind kind)
{
    for (unsigned i = 0; i < KINDS; i++)
        if (kinds[i].kind == kind)
            return kinds[i].name;
    return NULL;
}

/* ---- What is there ---- */

static json_t *drive_value(const struct storage_drive *drive)
{
    return json_pack("{s:s, s:i, s:s?, s:b}", "drive", kind_name(drive->kind), "number", (int)drive->number, "path",
                     drive->name, "read_only", drive->disk && disk_read_only(drive->disk));
}

json_t *control_media_event(const struct storage_drive *drive)
{
    json_t *value = drive_value(drive);

    if (value)
        json_object_set_new(value, "event", json_string("media"));
    return value;
}

void control_answer_media(struct control_connection *connection, const json_t *request, struct answer *answer)
{
    const struct storage *storage = &connection->control->machine->storage;
    json_t *list = json_array();

    (void)request;
    for (unsigned i = 0; i < STORAGE_DRIVES; i++)
        if (kind_name(storage->drives[i].kind))
            json_array_append_new(list, drive_value(&storage->drives[i]));
    answer->result = json_pack("{s:o}", "drives", list);
}

/* ---- Changing it ---- */

struct place {
    enum storage_kind kind;
    unsigned number;
};

/* Which drive a request is about; false: it has been refused. */
static bool read_place(const json_t *request, struct place *place, struct answer *answer)
{
    const char *name = json_string_value(json_object_get(request, "drive"));
    const json_t *number = json_object_get(request, "number");
    unsigned i = 0;

    while (i < KINDS && !(name && strcmp(kinds[i].name, name) == 0))
        i++;
    if (i == KINDS) {
        control_refuse(answer, "bad-request", "\"drive\" must be \"dvd\" or \"floppy\"");
        return false;
    }
    if (number &&
        (!json_is_integer(number) || json_integer_value(number) < 0 || json_integer_value(number) >= STORAGE_DRIVES)) {
        control_refuse(answer, "bad-request", "\"number\" must be that of a drive, from 0 on");
        return false;
    }
    *place = (struct place){.kind = kinds[i].kind, .number = (unsigned)json_integer_value(number)};
    return true;
}

void control_answer_insert(struct control_connection *connection, const json_t *request, struct answer *answer)
{
    struct storage *storage = &connection->control->machine->storage;
    const char *path = json_string_value(json_object_get(request, "path"));
    struct configuration_drive medium = {
        .file = {.path = (char *)path, .descriptor = connection->passed},
        .read_only = json_is_true(json_object_get(request, "read_only"))
    };
    char error[STORAGE_ERROR_SIZE];
    struct place place;

    if (!read_place(request, &place, answer))
        return;
    if (!path || !path[0]) {
        control_refuse(answer, "bad-request", "\"path\" is missing: what the image is called");
        return;
    }
    if (connection->passed < 0) {
        control_refuse(answer, "bad-request", "the image is missing: its descriptor must come with the request");
        return;
    }
    connection->passed = -1;
    if (storage_insert(storage, place.kind, place.number, &medium, error))
        answer->result = json_object();
    else
        control_refuse(answer, "wrong-state", error);
}

void control_answer_eject(struct control_connection *connection, const json_t *request, struct answer *answer)
{
    struct storage *storage = &connection->control->machine->storage;
    bool force = json_is_true(json_object_get(request, "force"));
    char error[STORAGE_ERROR_SIZE];
    struct place place;

    if (!read_place(request, &place, answer))
        return;
    if (storage_eject(storage, place.kind, place.number, force, error))
        answer->result = json_object();
    else
        control_refuse(answer, "wrong-state", error);
}
