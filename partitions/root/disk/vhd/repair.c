/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/vhd/repair.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/disk/vhd/log.h"

/* Of encoded footers and headers. */
#define FOOTER_CHECKSUM 64u
#define HEADER_CHECKSUM 36u
#define CHECKSUM_SIZE   sizeof(uint32_t)
/* The copy of the footer, and the usual place of the header. */
#define START (VHD_FOOTER_SIZE + VHD_HEADER_SIZE)

/* ---- Checksums ---- */

static bool is_plausible_size(const struct vhd_footer *footer)
{
    uint64_t size = vhd_disk_size(footer);
    struct disk_geometry geometry = footer->geometry;
    uint64_t by_geometry =
        (uint64_t)geometry.cylinders * geometry.heads * geometry.sectors_per_track * DISK_SECTOR_SIZE;
    return size && size % DISK_SECTOR_SIZE == 0 && size <= VHD_MAXIMUM_SIZE && by_geometry <= footer->current_size;
}

/* Whether a footer at `offset` of the file says nothing that cannot be. */
static bool is_plausible(struct vhd_repair *repair, const struct vhd_footer *footer, uint64_t offset)
{
    uint8_t header[VHD_HEADER_SIZE];
    struct vhd_header decoded;
    const char *fault;
    if (!is_plausible_size(footer) || footer->saved_state > 1)
        return false;
    if (footer->type == VHD_FIXED)
        return footer->data_offset == VHD_NO_OFFSET && vhd_disk_size(footer) <= offset;
    return (footer->type == VHD_DYNAMIC || footer->type == VHD_DIFFERENCING) &&
           footer->data_offset % DISK_SECTOR_SIZE == 0 &&
           disk_file_read_buffer(&repair->view.file, header, sizeof(header), footer->data_offset) == 0 &&
           vhd_header_decode(header, &decoded, &fault) != VHD_ABSENT;
}

/* Makes the checksum of the footer at `offset` right if nothing else of it is wrong. */
static bool seal_footer(struct vhd_repair *repair, uint64_t offset)
{
    uint8_t bytes[VHD_FOOTER_SIZE];
    struct vhd_footer footer;
    const char *fault;
    if (disk_file_read_buffer(&repair->view.file, bytes, sizeof(bytes), offset) ||
        vhd_footer_decode(bytes, &footer, &fault) != VHD_FAULTY)
        return false;
    vhd_footer_seal(bytes);
    return vhd_footer_decode(bytes, &footer, &fault) == VHD_VALID && is_plausible(repair, &footer, offset) &&
           overlay_file_patch(&repair->view, offset + FOOTER_CHECKSUM, bytes + FOOTER_CHECKSUM, CHECKSUM_SIZE) == 0;
}

static bool seal_header(struct vhd_repair *repair, uint64_t offset)
{
    uint8_t bytes[VHD_HEADER_SIZE];
    struct vhd_header header;
    const char *fault;
    if (offset % DISK_SECTOR_SIZE || disk_file_read_buffer(&repair->view.file, bytes, sizeof(bytes), offset) ||
        vhd_header_decode(bytes, &header, &fault) != VHD_FAULTY)
        return false;
    vhd_header_seal(bytes);
    return vhd_header_decode(bytes, &header, &fault) == VHD_VALID &&
           overlay_file_patch(&repair->view, offset + HEADER_CHECKSUM, bytes + HEADER_CHECKSUM, CHECKSUM_SIZE) == 0;
}

/* Whether all blocks lie well, which is hardly so if the header has anything wrong. */
static bool fits_table(struct vhd_repair *repair)
{
    struct disk_repair_findings unheard = {0};
    struct vhd_repair_table table;
    bool fits = vhd_repair_table_load(&table, &repair->view.file, &repair->metadata, &unheard) == 0 &&
                vhd_repair_table_is_sound(&table);
    vhd_repair_table_free(&table);
    return fits;
}

/* Reads the metadata, with checksums put right where that is enough. */
static bool read_metadata(struct vhd_repair *repair, struct disk_repair_findings *findings, struct disk_error *error)
{
    struct vhd_metadata *metadata = &repair->metadata;
    struct disk_file *view = &repair->view.file;
    if (vhd_metadata_read(view, metadata, error))
        return true;
    if (error->code != EUCLEAN)
        return false;
    bool no_footer = metadata->footer.current_size == 0 && metadata->footer.type == 0;
    if (no_footer && (seal_footer(repair, metadata->footer_offset) || seal_footer(repair, 0))) {
        disk_repair_find(findings, DISK_REPAIR_MENDED, "the footer has a wrong checksum, and nothing else wrong");
        if (vhd_metadata_read(view, metadata, error))
            return true;
    }
    uint64_t header = metadata->footer.data_offset;
    if (error->code != EUCLEAN || metadata->footer.type == VHD_FIXED || !seal_header(repair, header))
        return false;
    if (!vhd_metadata_read(view, metadata, error) || !fits_table(repair)) {
        disk_error_set(error, EUCLEAN, repair->file->name,
                       "a damaged VHD: the header at byte %llu has a wrong checksum, and other fields that do not fit",
                       (unsigned long long)header);
        return false;
    }
    disk_repair_find(findings, DISK_REPAIR_MENDED,
                     "the header at byte %llu has a wrong checksum, and nothing else wrong",
                     (unsigned long long)header);
    return true;
}

/* ---- Looking it over ---- */

static void look_at_footers(struct vhd_repair *repair, struct disk_repair_findings *findings)
{
    static const char *const damage[] = {[VHD_ABSENT] = "missing", [VHD_FAULTY] = "damaged"};
    const struct vhd_metadata *metadata = &repair->metadata;
    bool fixed = metadata->footer.type == VHD_FIXED;
    if (metadata->end_state != VHD_VALID)
        disk_repair_find(findings, DISK_REPAIR_MENDED, "the footer at the end is %s", damage[metadata->end_state]);
    if (!fixed && metadata->copy_state != VHD_VALID)
        disk_repair_find(findings, DISK_REPAIR_MENDED, "the copy of the footer at the start is %s",
                         damage[metadata->copy_state]);
    if (!fixed && metadata->footers_differ)
        disk_repair_find(findings, DISK_REPAIR_MENDED,
                         "the footer at the end is not the same as the copy at the start");
    if (metadata->footer.saved_state)
        disk_repair_find(findings, DISK_REPAIR_MENDED, "a mark that it belongs to a saved virtual machine is left");
    repair->renew = metadata->footer.saved_state || metadata->end_state != VHD_VALID ||
                    (!fixed && (metadata->copy_state != VHD_VALID || metadata->footers_differ));
}

static void look_at_locators(struct vhd_repair *repair, struct disk_repair_findings *findings)
{
    repair->header = repair->metadata.has_stray_locator;
    if (!repair->header)
        return;
    disk_repair_find(findings, DISK_REPAIR_MENDED, "a parent locator, at byte %llu, does not lie within the file",
                     (unsigned long long)repair->metadata.stray_locator);
    vhd_metadata_drop_stray_locators(&repair->metadata);
}

static void look_at_tail(struct vhd_repair *repair, struct disk_repair_findings *findings)
{
    const struct vhd_metadata *metadata = &repair->metadata;
    uint64_t end = metadata->end_state == VHD_VALID ? metadata->footer_offset : metadata->file_size;
    if (!vhd_repair_table_is_sound(&repair->table) || end <= repair->table.used_end)
        return;
    repair->tail = end - repair->table.used_end;
    disk_repair_find(findings, DISK_REPAIR_MENDED, "%llu bytes behind the last block are not used",
                     (unsigned long long)repair->tail);
}

bool vhd_repair_look(struct vhd_repair *repair, struct disk_file *file, struct disk_repair_findings *findings,
                     struct disk_error *error)
{
    struct disk_error reason;
    *repair = (struct vhd_repair){.file = file};
    overlay_file_initialize(&repair->view, file);
    if (!read_metadata(repair, findings, &reason)) {
        repair->hopeless = reason.code == EUCLEAN;
        if (repair->hopeless)
            disk_repair_find(findings, DISK_REPAIR_LEFT, "%s", reason.text + reason.reason);
        else
            *error = reason;
        return repair->hopeless;
    }
    look_at_footers(repair, findings);
    if (repair->metadata.footer.type == VHD_FIXED)
        return true;
    look_at_locators(repair, findings);
    int result = vhd_repair_table_load(&repair->table, &repair->view.file, &repair->metadata, findings);
    if (!result)
        look_at_tail(repair, findings);
    else
        disk_error_set(error, result, file->name, "the block allocation table cannot be read: %s", strerror(result));
    return result == 0;
}

void vhd_repair_free(struct vhd_repair *repair)
{
    vhd_repair_table_free(&repair->table);
}

bool vhd_repair_is_needed(const struct vhd_repair *repair)
{
    return !repair->hopeless && (repair->view.count || repair->renew || repair->header || repair->tail ||
                                 !vhd_repair_table_is_sound(&repair->table));
}

int vhd_repair_overwritten(const void *vhd_repair, repair_backup_visit *visit, void *context)
{
    const struct vhd_repair *repair = vhd_repair;
    const struct vhd_metadata *metadata = &repair->metadata;
    uint64_t size = metadata->file_size, header = metadata->footer.data_offset;
    if (metadata->footer.type == VHD_FIXED)
        return visit(context, metadata->footer_offset, size - metadata->footer_offset);
    uint64_t used = vhd_repair_table_is_sound(&repair->table) ? repair->table.used_end : size;
    int error = visit(context, 0, size < START ? size : START);
    if (!error && header >= START)
        error = visit(context, header, VHD_HEADER_SIZE);
    return error || used >= size ? error : visit(context, used, size - used);
}

/* ---- Mending ---- */

static int write_checksums(struct vhd_repair *repair)
{
    int error = 0;
    for (unsigned i = 0; i < repair->view.count && !error; i++) {
        const struct overlay_patch *patch = &repair->view.patches[i];
        error = disk_file_write_buffer(repair->file, patch->bytes, patch->length, patch->offset);
    }
    return error ? error : disk_file_synchronize(repair->file);
}

static int count_record(void *context, uint64_t sector, uint32_t checksum)
{
    (void)sector;
    (void)checksum;
    *(bool *)context = true;
    return 0;
}

/* The log of a process that was killed stands before the footer at the end; so it goes before the new one. */
static int keep_log(const struct vhd_repair *repair, struct vhd_rewrite *rewrite)
{
    const struct vhd_metadata *metadata = &repair->metadata;
    uint64_t offset, from = metadata->footer_offset - VHD_LOG_SIZE;
    bool found = false;
    if (metadata->end_state != VHD_VALID || metadata->footer_offset < repair->table.used_end + VHD_LOG_SIZE)
        return 0;
    int error = vhd_log_read(repair->file, from, count_record, &found);
    if (error || !found)
        return error;
    uint8_t *log = malloc(VHD_LOG_SIZE);
    error = log ? disk_file_read_buffer(repair->file, log, VHD_LOG_SIZE, from) : ENOMEM;
    if (!error)
        error = vhd_rewrite_room(rewrite, VHD_LOG_SIZE, &offset);
    if (!error)
        error = disk_file_write_buffer(repair->file, log, VHD_LOG_SIZE, offset);
    free(log);
    return error ? error : disk_file_synchronize(repair->file);
}

/* The table that goes with a sound one is the one that is there. */
static int write_table(struct vhd_repair *repair, struct vhd_rewrite *rewrite, const struct disk_progress *progress,
                       uint8_t *header)
{
    if (!vhd_repair_table_is_sound(&repair->table))
        return vhd_repair_table_write(&repair->table, rewrite, progress, header);
    memcpy(header, repair->metadata.header_bytes, VHD_HEADER_SIZE);
    return 0;
}

static int mend_structures(struct vhd_repair *repair, const struct disk_progress *progress)
{
    struct vhd_rewrite rewrite;
    uint8_t header[VHD_HEADER_SIZE];
    struct vhd_footer footer = repair->metadata.footer;
    int error = 0;
    if (repair->metadata.copy_state != VHD_VALID)
        error = disk_file_write_buffer(repair->file, repair->metadata.footer_bytes, VHD_FOOTER_SIZE, 0);
    if (!error)
        error = disk_file_synchronize(repair->file);
    if (error)
        return error;
    vhd_rewrite_begin_damaged(&rewrite, repair->file, &repair->metadata, repair->table.first_block,
                              vhd_repair_table_room(&repair->table, repair->metadata.file_size));
    error = write_table(repair, &rewrite, progress, header);
    if (error) {
        vhd_rewrite_abandon(&rewrite);
        return error;
    }
    footer.saved_state = 0;
    error = vhd_rewrite_commit(&rewrite, &footer, header);
    return error ? error : keep_log(repair, &rewrite);
}

bool vhd_repair_mend(struct vhd_repair *repair, const struct disk_progress *progress, struct disk_error *error)
{
    struct vhd_rewrite rewrite;
    int result = write_checksums(repair);
    if (!result && (repair->header || !vhd_repair_table_is_sound(&repair->table)))
        result = mend_structures(repair, progress);
    if (!result) {
        if (!vhd_rewrite_begin(&rewrite, repair->file, error))
            return false;
        struct vhd_footer footer = rewrite.metadata.footer;
        footer.saved_state = 0;
        result = repair->renew ? vhd_rewrite_commit(&rewrite, &footer, NULL) : 0;
    }
    if (result)
        disk_error_set(error, result, repair->file->name, "cannot be repaired: %s",
                       result == ECANCELED ? "cancelled" : strerror(result));
    return result == 0;
}
