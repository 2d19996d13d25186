/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/vhdx/headers.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "partitions/root/disk/vhdx/error.h"

/* Where the fields stand that can be wrong. */
enum { AT_CHECKSUM = 4, AT_SEQUENCE = 8, AT_LOG_VERSION = 64, AT_VERSION = 66, AT_LOG_LENGTH = 68, AT_LOG_OFFSET = 72 };

static bool check_identifier(struct disk_file *file, struct vhdx_headers *headers, struct disk_error *error)
{
    uint8_t bytes[VHDX_IDENTIFIER_SIZE];
    int result = disk_file_size(file, &headers->file_size);
    if (result) {
        disk_error_set(error, result, file->name, "its size cannot be found out: %s", strerror(result));
        return false;
    }
    if (headers->file_size < sizeof(bytes)) {
        disk_error_set(error, EMEDIUMTYPE, file->name, "not a VHDX: it has only %llu bytes",
                       (unsigned long long)headers->file_size);
        return false;
    }
    if (!vhdx_read(file, bytes, sizeof(bytes), 0, error))
        return false;
    if (!vhdx_has_identifier(bytes)) {
        disk_error_set(error, EMEDIUMTYPE, file->name, "not a VHDX: it does not begin with \"vhdxfile\"");
        return false;
    }
    if (headers->file_size < VHDX_SECTION_SIZE) {
        disk_error_set(error, EUCLEAN, file->name,
                       "a damaged VHDX: the file ends at byte %llu, within the header section",
                       (unsigned long long)headers->file_size);
        return false;
    }
    return true;
}

static bool same_sequence(struct disk_file *file, uint64_t sequence, struct disk_error *error)
{
    return vhdx_damaged(error, file, "SequenceNumber", VHDX_HEADER_OFFSET(1) + AT_SEQUENCE,
                        "%llu, and so is that of the other header, which differs", (unsigned long long)sequence);
}

static bool no_header(struct disk_file *file, const enum vhdx_state *state, struct disk_error *error)
{
    static const char *const field[] = {[VHDX_ABSENT] = "Signature", [VHDX_FAULTY] = "Checksum"};
    static const unsigned place[] = {[VHDX_ABSENT] = 0, [VHDX_FAULTY] = AT_CHECKSUM};
    return vhdx_damaged(error, file, field[state[0]], VHDX_HEADER_OFFSET(0) + place[state[0]],
                        "wrong, and so is %s at byte %llu: it has no valid header", field[state[1]],
                        (unsigned long long)VHDX_HEADER_OFFSET(1) + place[state[1]]);
}

/* 2.2.2: "A header is current if ..." Two that are the same to the last bit are as good as one. */
static bool choose_header(struct disk_file *file, struct vhdx_headers *headers, struct disk_error *error)
{
    static_assert(VHDX_HEADERS == 2, "one and the other");
    uint8_t bytes[VHDX_HEADERS][VHDX_HEADER_SIZE];
    struct vhdx_header header[VHDX_HEADERS];
    for (unsigned copy = 0; copy < VHDX_HEADERS; copy++) {
        if (!vhdx_read(file, bytes[copy], VHDX_HEADER_SIZE, VHDX_HEADER_OFFSET(copy), error))
            return false;
        headers->state[copy] = vhdx_header_decode(bytes[copy], &header[copy]);
    }
    if (headers->state[0] != VHDX_VALID && headers->state[1] != VHDX_VALID)
        return no_header(file, headers->state, error);
    if (headers->state[0] != VHDX_VALID || headers->state[1] != VHDX_VALID)
        headers->current = headers->state[1] == VHDX_VALID;
    else if (header[0].sequence != header[1].sequence)
        headers->current = header[1].sequence > header[0].sequence;
    else if (memcmp(bytes[0], bytes[1], VHDX_HEADER_SIZE) != 0)
        return same_sequence(file, header[0].sequence, error);
    headers->header = header[headers->current];
    return true;
}

static bool check_versions(struct disk_file *file, const struct vhdx_headers *headers, struct disk_error *error)
{
    const struct vhdx_header *header = &headers->header;
    uint64_t at = VHDX_HEADER_OFFSET(headers->current);
    if (header->version != VHDX_VERSION)
        disk_error_set(error, EOPNOTSUPP, file->name, "a VHDX of version %u (at byte %llu); only version 1 can be used",
                       header->version, (unsigned long long)at + AT_VERSION);
    else if (header->log_version != VHDX_LOG_VERSION && !vhdx_same_guid(header->log_guid, vhdx_zero_guid))
        disk_error_set(error, EOPNOTSUPP, file->name,
                       "a VHDX whose log, of version %u (at byte %llu), is to be replayed; only version 0 can be",
                       header->log_version, (unsigned long long)at + AT_LOG_VERSION);
    else
        return true;
    return false;
}

static bool check_log(struct disk_file *file, const struct vhdx_headers *headers, struct disk_error *error)
{
    const struct vhdx_header *header = &headers->header;
    uint64_t at = VHDX_HEADER_OFFSET(headers->current);
    if (header->log_length == 0 || header->log_length % VHDX_MIB != 0)
        return vhdx_damaged(error, file, "LogLength", at + AT_LOG_LENGTH,
                            "%u, not a multiple of 1 MiB and at least 1 MiB", header->log_length);
    if (header->log_offset < VHDX_SECTION_SIZE || header->log_offset % VHDX_MIB != 0)
        return vhdx_damaged(error, file, "LogOffset", at + AT_LOG_OFFSET,
                            "%llu, not a multiple of 1 MiB and at least 1 MiB", (unsigned long long)header->log_offset);
    if (header->log_offset > headers->file_size || header->log_length > headers->file_size - header->log_offset)
        return vhdx_damaged(error, file, "LogOffset", at + AT_LOG_OFFSET,
                            "%llu, from where the log of %u bytes reaches beyond the file's end at %llu",
                            (unsigned long long)header->log_offset, header->log_length,
                            (unsigned long long)headers->file_size);
    return true;
}

bool vhdx_headers_read(struct disk_file *file, struct vhdx_headers *headers, struct disk_error *error)
{
    *headers = (struct vhdx_headers){0};
    return check_identifier(file, headers, error) && choose_header(file, headers, error) &&
           check_versions(file, headers, error) && check_log(file, headers, error);
}

int vhdx_headers_write(struct disk_file *file, struct vhdx_headers *headers, const struct vhdx_header *header)
{
    unsigned other = !headers->current;
    struct vhdx_header next = *header;
    next.sequence = headers->header.sequence + 1;
    if (next.sequence == 0)
        return EUCLEAN; /* nobody has counted that far: the number is made up */
    uint8_t bytes[VHDX_HEADER_SIZE];
    vhdx_header_encode(&next, bytes);
    int error = disk_file_write_buffer(file, bytes, sizeof(bytes), VHDX_HEADER_OFFSET(other));
    if (!error)
        error = disk_file_synchronize(file);
    if (error)
        return error;
    headers->state[other] = VHDX_VALID;
    headers->current = other;
    headers->header = next;
    return 0;
}

int vhdx_headers_update(struct disk_file *file, struct vhdx_headers *headers, const struct vhdx_header *header)
{
    int error = vhdx_headers_write(file, headers, header);
    return error ? error : vhdx_headers_write(file, headers, header);
}

int vhdx_make_guid(uint8_t *guid)
{
    if (getrandom(guid, VHDX_GUID_SIZE, 0) != VHDX_GUID_SIZE)
        return EIO;
    guid[7] = (uint8_t)((guid[7] & 0x0f) | 0x40); /* the third group stands backwards */
    guid[8] = (uint8_t)((guid[8] & 0x3f) | 0x80);
    return 0;
}
