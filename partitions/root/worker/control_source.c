/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the control socket says of disks whose parent is fetched, and the request that brings one another loam-fetch. */
#include "partitions/root/worker/control_answer.h"

#include "partitions/root/disk/disk.h"
#include "partitions/root/disk/streaming.h"
#include "partitions/root/worker/storage.h"

static json_t *source_value(const struct storage *storage, unsigned place)
{
    const struct storage_drive *drive = &storage->drives[place];
    struct disk_file *source = storage_source(storage, place);
    struct remote_wait wait;

    remote_file_look(source, &wait);
    return json_pack("{s:i, s:s, s:s, s:I, s:I, s:I, s:s}", "disk", (int)place, "path", drive->name, "url",
                     source->name, "local", (json_int_t)streaming_local(drive->disk), "size",
                     (json_int_t)(disk_sectors(drive->disk) * DISK_SECTOR_SIZE), "fetched", (json_int_t)wait.fetched,
                     "problem", wait.status);
}

json_t *control_sources(const struct storage *storage)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < STORAGE_DRIVES; i++)
        if (storage_source(storage, i))
            json_array_append_new(list, source_value(storage, i));
    return list;
}

void control_answer_source(struct control_connection *connection, const json_t *request, struct answer *answer)
{
    const struct storage *storage = &connection->control->machine->storage;
    const json_t *disk = json_object_get(request, "disk");
    json_int_t place = json_is_integer(disk) ? json_integer_value(disk) : -1;
    struct disk_file *source = place >= 0 && place < STORAGE_DRIVES ? storage_source(storage, (unsigned)place) : NULL;

    if (!source) {
        control_refuse(answer, "bad-request", "\"disk\" must be that of a disk whose parent is fetched");
        return;
    }
    if (connection->passed < 0) {
        control_refuse(answer, "bad-request", "the socket is missing: its descriptor must come with the request");
        return;
    }
    remote_file_renew(source, connection->passed);
    connection->passed = -1;
    answer->result = json_object();
}
