/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/vhdx/repair.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/disk/vhdx/bat_scan.h"
#include "partitions/root/disk/vhdx/copies.h"
#include "partitions/root/disk/vhdx/edit.h"
#include "partitions/root/disk/vhdx/error.h"
#include "partitions/root/disk/vhdx/locator.h"
#include "partitions/root/disk/vhdx/overlay.h"
#include "partitions/root/disk/vhdx/recover.h"
#include "partitions/root/disk/vhdx/reserved.h"
#include "partitions/root/disk/vhdx/update.h"

/* ---- The log ---- */

/* Also of a file that is shorter than its log says. */
static bool load_log(const struct vhdx_repair *repair, struct vhdx_replay *replay, struct disk_error *reason)
{
    struct vhdx_headers headers = repair->headers;
    headers.file_size = UINT64_MAX;
    return vhdx_replay_load(replay, repair->file, &headers, reason);
}

static void need_size(struct vhdx_repair *repair, uint64_t size)
{
    if (size > repair->file_size && size > repair->needed_size)
        repair->needed_size = size;
}

/* The view owns the replay from then on. */
static int make_view(struct vhdx_repair *repair, struct vhdx_replay *replay)
{
    int error;
    struct disk_file *view = vhdx_overlay_create(repair->file, replay, &error);
    if (!view)
        return error;
    replay->bytes = NULL;
    repair->view = view;
    error = disk_file_size(view, &repair->headers.file_size);
    if (repair->headers.file_size < repair->needed_size)
        repair->headers.file_size = repair->needed_size;
    return error;
}

/* A length that no file has is made up, and so is the log. */
static bool is_plausible(const struct vhdx_replay *replay, const struct disk_file *file, struct disk_error *reason)
{
    if (replay->flushed_end <= VHDX_END_OF_FILES)
        return true;
    disk_error_set(reason, EUCLEAN, file->name, "its log says (FlushedFileOffset) that the file had %llu bytes",
                   (unsigned long long)replay->flushed_end);
    return false;
}

static void tell_log(struct vhdx_repair *repair, const struct vhdx_replay *replay)
{
    repair->has_log = true;
    need_size(repair, replay->flushed_end);
    repair->loses |= repair->needed_size;
    if (repair->needed_size)
        disk_repair_find(repair->findings, DISK_REPAIR_LOST,
                         "the file was cut off at byte %llu; its log says that it had %llu",
                         (unsigned long long)repair->file_size, (unsigned long long)replay->flushed_end);
    else
        disk_repair_find(repair->findings, DISK_REPAIR_MENDED,
                         "the disk was not closed: its log has %u entries to be replayed", replay->entries);
}

static bool look_at_log(struct vhdx_repair *repair, struct disk_error *reason)
{
    struct vhdx_replay replay;
    if (vhdx_same_guid(repair->headers.header.log_guid, vhdx_zero_guid))
        return true;
    bool loaded = load_log(repair, &replay, reason) && is_plausible(&replay, repair->file, reason);
    bool done = loaded;
    if (loaded) {
        tell_log(repair, &replay);
        int result = make_view(repair, &replay);
        if (result)
            disk_error_set(reason, result, repair->file->name, "its log cannot be replayed: %s", strerror(result));
        done = !result;
    } else if (reason->code == EUCLEAN) {
        disk_repair_find(repair->findings, DISK_REPAIR_LOST, "%s", reason->text + reason->reason);
        repair->drops_log = repair->loses = done = true;
    }
    vhdx_replay_free(&replay);
    return done;
}

/* ---- Copies ---- */

static void mend_copy(void *context, bool header, const char *text)
{
    struct vhdx_repair *repair = context;
    disk_repair_find(repair->findings, DISK_REPAIR_MENDED, "%s", text);
    *(header ? &repair->renews_headers : &repair->renews_regions) = true;
}

/* ---- Entries of the BAT ---- */

static void change_entry(struct vhdx_repair *repair, uint32_t index, struct vhdx_entry entry)
{
    if (repair->change_count == repair->change_room) {
        size_t room = 2 * repair->change_room + 16;
        struct vhdx_change *changes = realloc(repair->changes, room * sizeof(*changes));
        if (!changes) {
            repair->error = ENOMEM;
            return;
        }
        repair->changes = changes;
        repair->change_room = room;
    }
    repair->changes[repair->change_count++] = (struct vhdx_change){index, entry};
}

static uint64_t entry_place(const struct vhdx_repair *repair, uint32_t index)
{
    return repair->regions.region[repair->regions.bat].offset + (uint64_t)index * VHDX_ENTRY_SIZE;
}

/* Nobody knows which sectors the blocks of a chunk have without its sector bitmap. */
static void drop_partial_blocks(struct vhdx_repair *repair, uint32_t bitmap)
{
    uint32_t ratio = vhdx_chunk_ratio(&repair->metadata.layout);
    for (uint32_t index = bitmap - ratio; index < bitmap && !repair->error; index++) {
        uint8_t bytes[VHDX_ENTRY_SIZE];
        repair->error = disk_file_read_buffer(repair->view, bytes, sizeof(bytes), entry_place(repair, index));
        if (!repair->error && vhdx_entry_decode(bytes).state == VHDX_BLOCK_PARTIALLY_PRESENT)
            change_entry(repair, index, (struct vhdx_entry){0});
    }
}

static void drop_entry(struct vhdx_repair *repair, const struct vhdx_bat_finding *finding)
{
    const struct vhdx_layout *layout = &repair->metadata.layout;
    change_entry(repair, finding->index, (struct vhdx_entry){0});
    if (layout->differencing && vhdx_is_bitmap_entry(layout, finding->index))
        drop_partial_blocks(repair, finding->index);
}

/* What the file has of a block stays, and the rest of it is zeros. */
static void keep_part(struct vhdx_repair *repair, const struct vhdx_bat_finding *finding)
{
    need_size(repair, finding->entry.offset + finding->needed);
}

static void mend_entry(void *context, const struct vhdx_bat_finding *finding)
{
    struct vhdx_repair *repair = context;
    bool bitmap = vhdx_is_bitmap_entry(&repair->metadata.layout, finding->index);
    /* The state of a sector bitmap's entry is no data; blocks that need it come with a finding of their own. */
    bool mended = finding->fault == VHDX_BAT_RESERVED || (finding->fault == VHDX_BAT_STATE && bitmap);
    char line[VHDX_BAT_LINE];
    vhdx_bat_describe(finding, repair->headers.file_size, line);
    disk_repair_find(repair->findings, mended ? DISK_REPAIR_MENDED : DISK_REPAIR_LOST, "%s", line);
    repair->loses |= !mended;
    if (finding->fault == VHDX_BAT_RESERVED)
        change_entry(repair, finding->index, finding->entry);
    else if (finding->fault == VHDX_BAT_BEYOND && finding->entry.offset < repair->headers.file_size)
        keep_part(repair, finding);
    else
        drop_entry(repair, finding);
}

static bool look_at_bat(struct vhdx_repair *repair, struct disk_error *reason)
{
    struct vhdx_bat_scan scan = {
        .file = repair->view,
        .headers = &repair->headers,
        .regions = &repair->regions,
        .metadata = &repair->metadata,
        .find = mend_entry,
        .context = repair,
    };
    const struct vhdx_image image = {
        .metadata_file = repair->view,
        .headers = repair->headers,
        .metadata = repair->metadata,
        .bat_offset = entry_place(repair, 0),
    };
    int result = vhdx_bat_scan(&scan);
    if (!result)
        result = repair->error;
    if (!result)
        result = vhdx_find_end(&image, &repair->regions, &repair->used_end);
    if (result)
        disk_error_set(reason, result, repair->file->name, "the BAT cannot be looked over: %s", strerror(result));
    return result == 0;
}

/* ---- Looking it over ---- */

static bool read_metadata(struct vhdx_repair *repair, struct disk_file *file, struct disk_error *reason)
{
    struct vhdx_metadata *metadata = &repair->metadata;
    return vhdx_metadata_read(file, &repair->regions, metadata, reason) &&
           (!metadata->layout.differencing ||
            vhdx_locator_check(file, metadata->locator_offset, metadata->locator_length, reason));
}

/* With reserved fields as they should be, if that is all that is wrong. A log would bring them back. */
static bool look_at_metadata(struct vhdx_repair *repair, struct disk_error *reason)
{
    unsigned count;
    if (read_metadata(repair, repair->view, reason))
        return true;
    if (reason->code != EUCLEAN || repair->has_log)
        return false;
    overlay_file_initialize(&repair->mended, repair->file);
    int result = vhdx_clear_reserved(&repair->mended, &repair->regions.region[repair->regions.metadata], &count);
    if (result || !count)
        return false;
    if (!read_metadata(repair, &repair->mended.file, reason))
        return false;
    disk_repair_find(repair->findings, DISK_REPAIR_MENDED, "%u reserved field%s of the metadata %s not zero", count,
                     count == 1 ? "" : "s", count == 1 ? "is" : "are");
    return true;
}

static bool look_at_all(struct vhdx_repair *repair, struct disk_error *reason)
{
    if (!vhdx_headers_read(repair->file, &repair->headers, reason))
        return false;
    repair->file_size = repair->headers.file_size;
    if (!look_at_log(repair, reason) || !vhdx_regions_read(repair->view, &repair->headers, &repair->regions, reason) ||
        !look_at_metadata(repair, reason))
        return false;
    vhdx_look_at_copies(&repair->headers, &repair->regions, mend_copy, repair);
    return look_at_bat(repair, reason);
}

bool vhdx_repair_look(struct vhdx_repair *repair, struct disk_file *file, struct disk_repair_findings *findings,
                      struct disk_error *error)
{
    struct disk_error reason;
    *repair = (struct vhdx_repair){.file = file, .view = file, .findings = findings};
    if (look_at_all(repair, &reason))
        return true;
    repair->hopeless = reason.code == EUCLEAN;
    if (repair->hopeless)
        disk_repair_find(findings, DISK_REPAIR_LEFT, "%s", reason.text + reason.reason);
    else
        *error = reason;
    return repair->hopeless;
}

void vhdx_repair_free(struct vhdx_repair *repair)
{
    if (repair->view != repair->file)
        disk_file_close(repair->view);
    free(repair->changes);
}

bool vhdx_repair_is_needed(const struct vhdx_repair *repair)
{
    return !repair->hopeless &&
           (repair->has_log || repair->drops_log || repair->renews_headers || repair->renews_regions ||
            repair->needed_size || repair->mended.count || repair->change_count);
}

/* ---- What is overwritten ---- */

struct visiting {
    const struct vhdx_repair *repair;
    repair_backup_visit *visit;
    void *context;
};

/* As far as the file has it. */
static int visit_part(void *context, uint64_t offset, uint64_t length, const uint8_t *bytes)
{
    const struct visiting *visiting = context;
    uint64_t size = visiting->repair->file_size;
    (void)bytes;
    if (offset >= size || length == 0)
        return 0;
    return visiting->visit(visiting->context, offset, length < size - offset ? length : size - offset);
}

static int visit_replay(struct visiting *visiting)
{
    struct disk_error ignored;
    struct vhdx_replay replay;
    int error =
        load_log(visiting->repair, &replay, &ignored) ? vhdx_replay_each(&replay, visit_part, visiting) : ignored.code;
    vhdx_replay_free(&replay);
    return error ? error : visit_part(visiting, visiting->repair->used_end, UINT64_MAX, NULL);
}

int vhdx_repair_overwritten(const void *context, repair_backup_visit *visit, void *visit_context)
{
    const struct vhdx_repair *repair = context;
    struct visiting visiting = {repair, visit, visit_context};
    const struct vhdx_header *header = &repair->headers.header;
    int error = visit_part(&visiting, header->log_offset, header->log_length, NULL);
    for (unsigned copy = 0; copy < VHDX_HEADERS && !error; copy++) {
        error = visit_part(&visiting, VHDX_HEADER_OFFSET(copy), VHDX_HEADER_SIZE, NULL);
        if (!error && repair->renews_regions)
            error = visit_part(&visiting, VHDX_REGIONS_OFFSET(copy), VHDX_REGIONS_SIZE, NULL);
    }
    for (unsigned i = 0; i < repair->mended.count && !error; i++)
        error = visit_part(&visiting, repair->mended.patches[i].offset, repair->mended.patches[i].length, NULL);
    for (size_t i = 0; i < repair->change_count && !error; i++)
        error = visit_part(&visiting, entry_place(repair, repair->changes[i].index), VHDX_ENTRY_SIZE, NULL);
    return error || !repair->has_log ? error : visit_replay(&visiting);
}

/* ---- Mending ---- */

static int make_longer(const struct vhdx_repair *repair)
{
    int error = repair->needed_size ? disk_file_truncate(repair->file, repair->needed_size) : 0;
    return error ? error : disk_file_synchronize(repair->file);
}

/* In place: the image cannot be opened with them. */
static int write_reserved(const struct vhdx_repair *repair)
{
    int error = 0;
    for (unsigned i = 0; i < repair->mended.count && !error; i++) {
        const struct overlay_patch *patch = &repair->mended.patches[i];
        error = disk_file_write_buffer(repair->file, patch->bytes, patch->length, patch->offset);
    }
    return error ? error : disk_file_synchronize(repair->file);
}

/* The disk holds something else than whoever knows its identifier thinks. */
static int drop_log(struct vhdx_repair *repair)
{
    struct vhdx_header header = repair->headers.header;
    int error = vhdx_make_guid(header.file_write_guid);
    if (!error)
        error = vhdx_make_guid(header.data_write_guid);
    memcpy(header.log_guid, vhdx_zero_guid, VHDX_GUID_SIZE);
    return error ? error : vhdx_headers_update(repair->file, &repair->headers, &header);
}

/* Both tables as the one that counts. */
static int renew_regions(const struct vhdx_repair *repair, struct vhdx_update *update)
{
    unsigned sound = repair->regions.state[0] != VHDX_VALID;
    uint8_t *bytes = malloc(VHDX_REGIONS_SIZE);
    int error =
        bytes ? disk_file_read_buffer(repair->file, bytes, VHDX_REGIONS_SIZE, VHDX_REGIONS_OFFSET(sound)) : ENOMEM;
    if (!error)
        error = vhdx_update_write(update, VHDX_REGIONS_OFFSET(!sound), bytes, VHDX_REGIONS_SIZE);
    free(bytes);
    return error;
}

static int change_entries(const struct vhdx_repair *repair, struct vhdx_update *update)
{
    int error = 0;
    for (size_t i = 0; i < repair->change_count && !error; i++) {
        uint8_t bytes[VHDX_ENTRY_SIZE];
        vhdx_entry_encode(repair->changes[i].entry, bytes);
        error = vhdx_update_write_part(update, entry_place(repair, repair->changes[i].index), bytes, sizeof(bytes));
    }
    return error;
}

/* The headers are written anew whenever the image is. */
static int mend_image(const struct vhdx_repair *repair, struct vhdx_image *image)
{
    struct vhdx_update update;
    int error = vhdx_update_begin(&update, image);
    if (!error)
        error = repair->loses ? vhdx_begin_writing(image)
                              : vhdx_begin_writing_as(image, image->headers.header.data_write_guid);
    if (!error && repair->renews_regions)
        error = renew_regions(repair, &update);
    if (!error)
        error = change_entries(repair, &update);
    if (!error)
        error = vhdx_update_commit(&update);
    vhdx_update_free(&update);
    return error;
}

bool vhdx_repair_mend(struct vhdx_repair *repair, struct disk_error *error)
{
    struct vhdx_edit edit;
    int result = make_longer(repair);
    if (!result && repair->drops_log)
        result = drop_log(repair);
    if (!result)
        result = write_reserved(repair);
    if (!result) {
        if (!vhdx_edit_begin(&edit, repair->file, 0, error))
            return false;
        result = mend_image(repair, edit.image);
        int closed = vhdx_edit_end(&edit);
        result = result ? result : closed;
    }
    if (result)
        disk_error_set(error, result, repair->file->name, "cannot be repaired: %s", strerror(result));
    return result == 0;
}
