/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/repair_backup.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/disk/crc32c.h"
#include "partitions/root/disk/little_endian.h"
#include "partitions/root/disk/host_files.h"
#include "partitions/root/disk/image_file.h"
#include "partitions/root/disk/new_file.h"
#include "partitions/root/disk/open.h"

#define MAGIC     "LOAMUNDO"
#define FIELD     sizeof(uint64_t)
#define HEAD      (3 * FIELD)
#define PART_HEAD (2 * FIELD)
#define CRC_SIZE  sizeof(uint32_t)
#define STEP      (64u << 10)

/* ---- Writing ---- */

struct writer {
    struct disk_file *to;
    struct disk_file *image;
    uint64_t tail; /* zeros are left out from here on */
    uint64_t offset;
    uint32_t crc;
    uint8_t *buffer; /* STEP bytes */
    const struct disk_progress *progress;
};

static int put(struct writer *writer, const void *bytes, size_t length)
{
    int error = disk_file_write_buffer(writer->to, bytes, length, writer->offset);
    writer->crc = crc32c(writer->crc, bytes, length);
    writer->offset += length;
    return error;
}

static bool is_zero(const uint8_t *bytes, size_t length)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0;
}

static int put_part(struct writer *writer, uint64_t offset, size_t length)
{
    uint8_t head[PART_HEAD];
    int error = disk_file_read_buffer(writer->image, writer->buffer, length, offset);
    if (error || (offset >= writer->tail && is_zero(writer->buffer, length)))
        return error;
    little_endian_store64(head, offset);
    little_endian_store64(head + FIELD, length);
    error = put(writer, head, sizeof(head));
    return error ? error : put(writer, writer->buffer, length);
}

static int put_range(void *context, uint64_t offset, uint64_t length)
{
    struct writer *writer = context;
    int error = 0;
    for (uint64_t done = 0; done < length && !error; done += STEP) {
        error = put_part(writer, offset + done, length - done < STEP ? (size_t)(length - done) : STEP);
        if (!error && !disk_progress_step(writer->progress, done, length))
            error = ECANCELED;
    }
    return error;
}

/* The beginning of the part that reaches the end of the file, if there is one. */
struct tail {
    uint64_t size, begin;
};

static int find_tail(void *context, uint64_t offset, uint64_t length)
{
    struct tail *tail = context;
    if (offset + length == tail->size)
        tail->begin = offset;
    return 0;
}

static int write_all(struct writer *writer, const struct repair_backup_source *source)
{
    struct tail tail = {source->file_size, source->file_size};
    uint8_t head[HEAD], end[PART_HEAD] = {0};
    int error = source->overwritten(source->repair, find_tail, &tail);
    if (error)
        return error;
    writer->tail = tail.begin;
    memcpy(head, MAGIC, FIELD);
    little_endian_store64(head + FIELD, tail.size);
    little_endian_store64(head + 2 * FIELD, tail.begin);
    error = put(writer, head, sizeof(head));
    if (!error)
        error = source->overwritten(source->repair, put_range, writer);
    if (!error)
        error = put(writer, end, sizeof(end));
    uint32_t crc = htole32(writer->crc);
    return error ? error : put(writer, &crc, sizeof(crc));
}

bool repair_backup_write(const char *path, const struct repair_backup_source *source,
                         const struct disk_progress *progress, struct disk_error *error)
{
    struct new_file new_file;
    if (!new_file_begin(&new_file, path, false, error))
        return false;
    struct writer writer = {
        .to = new_file_wrap(&new_file),
        .image = source->file,
        .buffer = malloc(STEP),
        .progress = progress,
    };
    int result = writer.to && writer.buffer ? write_all(&writer, source) : ENOMEM;
    if (writer.to)
        disk_file_close(writer.to);
    free(writer.buffer);
    if (!result)
        return new_file_commit(&new_file, error);
    new_file_abandon(&new_file);
    disk_error_set(error, result, path, "what the repair would change cannot be saved: %s",
                   result == ECANCELED ? "cancelled" : strerror(result));
    return false;
}

/* ---- Restoring ---- */

struct reader {
    struct disk_file *from;
    uint64_t size; /* of it */
    struct disk_file *image;
    uint8_t *buffer; /* STEP bytes */
};

/* Whether it is a backup that is whole; EUCLEAN. */
static int check(const struct reader *reader)
{
    uint32_t crc = 0, stored;
    if (reader->size < HEAD + PART_HEAD + CRC_SIZE)
        return EUCLEAN;
    uint64_t length = reader->size - CRC_SIZE;
    for (uint64_t done = 0; done < length; done += STEP) {
        size_t piece = length - done < STEP ? (size_t)(length - done) : STEP;
        int error = disk_file_read_buffer(reader->from, reader->buffer, piece, done);
        if (error)
            return error;
        if (done == 0 && memcmp(reader->buffer, MAGIC, FIELD) != 0)
            return EUCLEAN;
        crc = crc32c(crc, reader->buffer, piece);
    }
    int error = disk_file_read_buffer(reader->from, &stored, sizeof(stored), length);
    return error ? error : le32toh(stored) == crc ? 0 : EUCLEAN;
}

static int restore_part(const struct reader *reader, uint64_t from, uint64_t to, uint64_t length)
{
    int error = 0;
    for (uint64_t done = 0; done < length && !error; done += STEP) {
        size_t piece = length - done < STEP ? (size_t)(length - done) : STEP;
        error = disk_file_read_buffer(reader->from, reader->buffer, piece, from + done);
        if (!error)
            error = disk_file_write_buffer(reader->image, reader->buffer, piece, to + done);
    }
    return error;
}

static int restore_parts(const struct reader *reader, uint64_t image_size)
{
    uint64_t place = HEAD;
    for (;;) {
        uint8_t head[PART_HEAD];
        int error = disk_file_read_buffer(reader->from, head, sizeof(head), place);
        uint64_t offset = little_endian_load64(head), length = little_endian_load64(head + FIELD);
        if (error || length == 0)
            return error;
        place += PART_HEAD;
        if (length > reader->size - place || offset > image_size || length > image_size - offset)
            return EUCLEAN;
        error = restore_part(reader, place, offset, length);
        if (error)
            return error;
        place += length;
    }
}

static int restore(const struct reader *reader)
{
    uint8_t head[HEAD];
    int error = check(reader);
    if (!error)
        error = disk_file_read_buffer(reader->from, head, sizeof(head), 0);
    if (error)
        return error;
    uint64_t size = little_endian_load64(head + FIELD), tail = little_endian_load64(head + 2 * FIELD);
    if (tail > size || size > INT64_MAX)
        return EUCLEAN;
    error = disk_file_truncate(reader->image, tail);
    if (!error)
        error = disk_file_truncate(reader->image, size);
    if (!error)
        error = restore_parts(reader, size);
    return error ? error : disk_file_synchronize(reader->image);
}

bool repair_backup_restore(const char *path, struct disk_file *image, struct disk_error *error)
{
    struct reader reader = {
        .from = image_file_open(path, DISK_OPEN_READ_ONLY, error),
        .image = image,
        .buffer = malloc(STEP),
    };
    if (!reader.from) {
        free(reader.buffer);
        return false;
    }
    int result = reader.buffer ? disk_file_size(reader.from, &reader.size) : ENOMEM;
    if (!result)
        result = restore(&reader);
    if (!result)
        host_files->remove(path, reader.from->descriptor);
    image_file_close(reader.from);
    free(reader.buffer);
    if (result == EUCLEAN)
        disk_error_set(error, EUCLEAN, path, "not what a repair has saved, or damaged");
    else if (result)
        disk_error_set(error, result, path, "cannot be restored: %s", strerror(result));
    return result == 0;
}
