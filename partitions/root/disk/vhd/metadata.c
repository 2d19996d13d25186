/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/vhd/metadata.h"

#include <errno.h>
#include <string.h>

/* A place where a footer may stand, and what was found there. */
struct found_footer {
    uint8_t bytes[VHD_FOOTER_SIZE];
    struct vhd_footer footer;
    enum vhd_state state;
    const char *fault;
};

static bool is_sparse(const struct found_footer *found)
{
    return found->state == VHD_VALID && found->footer.type != VHD_FIXED;
}

static bool read_bytes(struct disk_file *file, void *buffer, size_t length, uint64_t offset, struct disk_error *error)
{
    int result = disk_file_read_buffer(file, buffer, length, offset);
    if (result)
        disk_error_set(error, result, file->name, "reading at byte %llu failed: %s", (unsigned long long)offset,
                       strerror(result));
    return result == 0;
}

/* The footer at the end has 512 bytes, or 511 in old images; the missing one is reserved and zero. */
static bool read_end(struct disk_file *file, struct vhd_metadata *metadata, struct found_footer *end,
                     struct disk_error *error)
{
    uint64_t offset = metadata->file_size - VHD_FOOTER_SIZE;
    metadata->footer_offset = offset;
    if (!read_bytes(file, end->bytes, VHD_FOOTER_SIZE, offset, error))
        return false;
    end->state = vhd_footer_decode(end->bytes, &end->footer, &end->fault);
    if (end->state != VHD_ABSENT)
        return true;

    struct found_footer old = {.state = VHD_ABSENT};
    memcpy(old.bytes, end->bytes + 1, VHD_OLD_FOOTER_SIZE);
    old.state = vhd_footer_decode(old.bytes, &old.footer, &old.fault);
    if (old.state == VHD_VALID) {
        *end = old;
        metadata->footer_offset = metadata->file_size - VHD_OLD_FOOTER_SIZE;
    }
    return true;
}

/*
 * Chooses the footer that counts. A valid footer of a fixed image at the end comes first: the start of such a
 * file is the guest's own data and may look like anything. Otherwise the copy at the start does, as it is
 * never rewritten.
 */
static bool choose_footer(struct disk_file *file, struct vhd_metadata *metadata, const struct found_footer *end,
                          const struct found_footer *copy, struct disk_error *error)
{
    const struct found_footer *chosen;
    if (end->state == VHD_VALID && end->footer.type == VHD_FIXED) {
        chosen = end;
    } else if (is_sparse(copy)) {
        chosen = copy;
    } else if (end->state == VHD_VALID) {
        chosen = end;
    } else if (end->state == VHD_FAULTY || copy->state == VHD_FAULTY) {
        disk_error_set(error, EUCLEAN, file->name, "a damaged VHD: its footer has %s%s",
                       end->state == VHD_FAULTY ? end->fault : copy->fault,
                       copy->state == VHD_FAULTY ? ", and so the copy at its start" : "");
        return false;
    } else if (memcmp(copy->bytes, "vhdxfile", 8) == 0) {
        disk_error_set(error, EOPNOTSUPP, file->name,
                       "a VHDX, with which this cannot be done: make a VHD of it with loam disk convert");
        return false;
    } else {
        disk_error_set(error, EMEDIUMTYPE, file->name, "not a VHD: it has no VHD footer");
        return false;
    }
    metadata->footer = chosen->footer;
    memcpy(metadata->footer_bytes, chosen->bytes, VHD_FOOTER_SIZE);
    metadata->end_state = end->state;
    metadata->copy_state = copy->state;
    metadata->footers_differ =
        end->state == VHD_VALID && copy->state == VHD_VALID && memcmp(end->bytes, copy->bytes, VHD_FOOTER_SIZE) != 0;
    return true;
}

static bool check_type(struct disk_file *file, uint32_t type, struct disk_error *error)
{
    if (type == VHD_FIXED || type == VHD_DYNAMIC || type == VHD_DIFFERENCING)
        return true;
    disk_error_set(error, EOPNOTSUPP, file->name,
                   "a VHD of type %u; only fixed (2), dynamic (3) and differencing (4) ones can be used", type);
    return false;
}

static bool check_size(struct disk_file *file, struct vhd_metadata *metadata, struct disk_error *error)
{
    const struct vhd_footer *footer = &metadata->footer;
    uint64_t size = vhd_disk_size(footer);
    metadata->disk_size = size;
    if (size == 0) {
        disk_error_set(error, EUCLEAN, file->name, "a damaged VHD: its footer gives a size of 0 (geometry %u/%u/%u)",
                       footer->geometry.cylinders, footer->geometry.heads, footer->geometry.sectors_per_track);
    } else if (size % DISK_SECTOR_SIZE != 0) {
        disk_error_set(error, EUCLEAN, file->name, "a damaged VHD: its size of %llu bytes is not a multiple of 512",
                       (unsigned long long)size);
    } else if (size > VHD_MAXIMUM_SIZE) {
        disk_error_set(error, EFBIG, file->name, "too large: %llu bytes, and a VHD has at most 2040 GiB",
                       (unsigned long long)size);
    } else if (footer->type == VHD_FIXED && size > metadata->footer_offset) {
        disk_error_set(error, EUCLEAN, file->name,
                       "a damaged VHD: a disk of %llu bytes, and the file holds only %llu of them",
                       (unsigned long long)size, (unsigned long long)metadata->footer_offset);
    } else {
        return true;
    }
    return false;
}

static bool check_header(struct disk_file *file, const struct vhd_metadata *metadata, struct disk_error *error)
{
    const struct vhd_header *header = &metadata->header;
    uint64_t blocks = (metadata->disk_size + header->block_size - 1) / header->block_size;
    uint64_t table_size = (uint64_t)header->table_entries * sizeof(uint32_t);
    if (header->table_entries < blocks) {
        disk_error_set(error, EUCLEAN, file->name,
                       "a damaged VHD: the block allocation table has %u entries and the disk %llu blocks",
                       header->table_entries, (unsigned long long)blocks);
    } else if (blocks > VHD_MAXIMUM_BLOCKS) {
        disk_error_set(error, EOPNOTSUPP, file->name,
                       "a VHD of %llu blocks of %u bytes; more than %u blocks cannot be used",
                       (unsigned long long)blocks, header->block_size, VHD_MAXIMUM_BLOCKS);
    } else if (header->table_offset % DISK_SECTOR_SIZE != 0 || header->table_offset < VHD_FOOTER_SIZE ||
               header->table_offset > metadata->file_size || metadata->file_size - header->table_offset < table_size) {
        disk_error_set(error, EUCLEAN, file->name,
                       "a damaged VHD: the block allocation table, at byte %llu, does not lie within the file",
                       (unsigned long long)header->table_offset);
    } else if (header->table_offset < metadata->footer.data_offset + VHD_HEADER_SIZE &&
               header->table_offset + table_size > metadata->footer.data_offset) {
        disk_error_set(error, EUCLEAN, file->name,
                       "a damaged VHD: the block allocation table, at byte %llu, overlaps the header",
                       (unsigned long long)header->table_offset);
    } else {
        return true;
    }
    return false;
}

static bool is_stray(const struct vhd_metadata *metadata, const struct vhd_locator *locator)
{
    return locator->platform != VHD_PLATFORM_NONE && locator->length != 0 &&
           (locator->offset > metadata->file_size || locator->length > metadata->file_size - locator->offset);
}

static void reserve_locators(struct vhd_metadata *metadata)
{
    for (unsigned i = 0; i < VHD_LOCATORS; i++) {
        const struct vhd_locator *locator = &metadata->parent.locators[i];
        bool stray = is_stray(metadata, locator);
        bool there = locator->platform != VHD_PLATFORM_NONE && !stray;
        metadata->reserved[VHD_RESERVED_LOCATORS + i] =
            (struct vhd_reserved){locator->offset, there ? locator->length : 0, "a parent locator"};
        if (stray) {
            metadata->has_stray_locator = true;
            metadata->stray_locator = locator->offset;
        }
    }
}

/* What is in the file besides blocks and the footer at its end. The batmap is an extension of blktap's, of no use here.
 */
static bool find_reserved(struct disk_file *file, struct vhd_metadata *metadata, struct disk_error *error)
{
    const struct vhd_header *header = &metadata->header;
    struct vhd_reserved *reserved = metadata->reserved;
    uint64_t table_size = (uint64_t)header->table_entries * sizeof(uint32_t);
    uint64_t batmap = header->table_offset + (table_size + DISK_SECTOR_SIZE - 1) / DISK_SECTOR_SIZE * DISK_SECTOR_SIZE;
    uint8_t bytes[DISK_SECTOR_SIZE];
    int result = disk_file_read_padded(file, bytes, sizeof(bytes), batmap);
    if (result) {
        disk_error_set(error, result, file->name, "reading at byte %llu failed: %s", (unsigned long long)batmap,
                       strerror(result));
        return false;
    }
    reserved[VHD_RESERVED_COPY] = (struct vhd_reserved){0, VHD_FOOTER_SIZE, "the copy of the footer"};
    reserved[VHD_RESERVED_HEADER] = (struct vhd_reserved){metadata->footer.data_offset, VHD_HEADER_SIZE, "the header"};
    reserved[VHD_RESERVED_TABLE] =
        (struct vhd_reserved){header->table_offset, table_size, "the block allocation table"};
    reserved[VHD_RESERVED_BATMAP] =
        (struct vhd_reserved){batmap, vhd_batmap_end(bytes, batmap, metadata->file_size) - batmap, "the batmap"};
    if (metadata->footer.type == VHD_DIFFERENCING)
        reserve_locators(metadata);
    return true;
}

static bool read_header(struct disk_file *file, struct vhd_metadata *metadata, struct disk_error *error)
{
    uint64_t offset = metadata->footer.data_offset;
    if (offset % DISK_SECTOR_SIZE != 0 || offset < VHD_FOOTER_SIZE || metadata->file_size < VHD_HEADER_SIZE ||
        offset > metadata->file_size - VHD_HEADER_SIZE) {
        disk_error_set(error, EUCLEAN, file->name, "a damaged VHD: no header at byte %llu, where the footer has it",
                       (unsigned long long)offset);
        return false;
    }
    uint8_t *bytes = metadata->header_bytes;
    if (!read_bytes(file, bytes, VHD_HEADER_SIZE, offset, error))
        return false;
    const char *fault = "no cookie";
    vhd_parent_decode(bytes, &metadata->parent);
    if (vhd_header_decode(bytes, &metadata->header, &fault) != VHD_VALID) {
        disk_error_set(error, EUCLEAN, file->name, "a damaged VHD: the header at byte %llu has %s",
                       (unsigned long long)offset, fault);
        return false;
    }
    return check_header(file, metadata, error) && find_reserved(file, metadata, error);
}

bool vhd_metadata_read(struct disk_file *file, struct vhd_metadata *metadata, struct disk_error *error)
{
    *metadata = (struct vhd_metadata){0};
    int result = disk_file_size(file, &metadata->file_size);
    if (result) {
        disk_error_set(error, result, file->name, "its size cannot be found out: %s", strerror(result));
        return false;
    }
    if (metadata->file_size < VHD_FOOTER_SIZE) {
        disk_error_set(error, EMEDIUMTYPE, file->name, "not a VHD: it has only %llu bytes",
                       (unsigned long long)metadata->file_size);
        return false;
    }
    struct found_footer end = {.state = VHD_ABSENT}, copy = {.state = VHD_ABSENT};
    if (!read_end(file, metadata, &end, error) || !read_bytes(file, copy.bytes, VHD_FOOTER_SIZE, 0, error))
        return false;
    copy.state = vhd_footer_decode(copy.bytes, &copy.footer, &copy.fault);

    return choose_footer(file, metadata, &end, &copy, error) && check_type(file, metadata->footer.type, error) &&
           check_size(file, metadata, error) &&
           (metadata->footer.type == VHD_FIXED || read_header(file, metadata, error));
}

void vhd_metadata_drop_stray_locators(struct vhd_metadata *metadata)
{
    for (unsigned i = 0; i < VHD_LOCATORS; i++)
        if (is_stray(metadata, &metadata->parent.locators[i]))
            metadata->parent.locators[i] = (struct vhd_locator){0};
    vhd_parent_encode_locators(metadata->header_bytes, &metadata->parent);
    vhd_header_seal(metadata->header_bytes);
    metadata->has_stray_locator = false;
}
