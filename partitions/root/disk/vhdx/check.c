/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/vhdx/check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/disk/vhdx/bat_scan.h"
#include "partitions/root/disk/vhdx/copies.h"
#include "partitions/root/disk/vhdx/locator.h"
#include "partitions/root/disk/vhdx/overlay.h"

struct check {
    disk_check_report *report;
    void *context;
    struct disk_file *file; /* after the replay */
    struct vhdx_headers headers;
    struct vhdx_metadata metadata;
    struct vhdx_regions regions;
};

static void __attribute__((format(printf, 3, 4)))
find(const struct check *check, enum disk_check_level level, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    check->report(check->context, level, text);
}

/* A step has failed. If that is because of damage, it is a finding, and the check is done. */
static bool damage_found(const struct check *check, const struct disk_error *reason, struct disk_error *error)
{
    if (reason->code == EUCLEAN) {
        find(check, DISK_CHECK_ERROR, "%s", reason->text + reason->reason);
        return true;
    }
    if (error)
        *error = *reason;
    return false;
}

/* ---- Entries of the BAT ---- */

static void find_in_bat(void *context, const struct vhdx_bat_finding *finding)
{
    const struct check *check = context;
    char line[VHDX_BAT_LINE];
    vhdx_bat_describe(finding, check->headers.file_size, line);
    find(check, DISK_CHECK_ERROR, "%s", line);
}

static bool check_blocks(struct check *check, struct disk_error *reason)
{
    struct vhdx_bat_scan scan = {
        .file = check->file,
        .headers = &check->headers,
        .regions = &check->regions,
        .metadata = &check->metadata,
        .find = find_in_bat,
        .context = check,
    };
    int error = vhdx_bat_scan(&scan);
    if (error)
        disk_error_set(reason, error, check->file->name, "the BAT cannot be checked: %s", strerror(error));
    else if (scan.unused)
        find(check, DISK_CHECK_NOTE, "%llu MiB of the file are not used", (unsigned long long)scan.unused);
    return !error;
}

/* ---- The rest ---- */

static void find_copy(void *context, bool header, const char *text)
{
    find(context, header ? DISK_CHECK_WARNING : DISK_CHECK_NOTE, "%s", text);
}

static bool check_locator(const struct check *check, struct disk_error *reason)
{
    const struct vhdx_metadata *metadata = &check->metadata;
    return !metadata->layout.differencing ||
           vhdx_locator_check(check->file, metadata->locator_offset, metadata->locator_length, reason);
}

/* Puts what a replay will make of the file in its place. */
static bool replay(struct check *check, struct disk_file *file, struct disk_error *reason)
{
    check->file = file;
    if (vhdx_same_guid(check->headers.header.log_guid, vhdx_zero_guid))
        return true;
    struct vhdx_replay found;
    bool done = vhdx_replay_load(&found, file, &check->headers, reason);
    if (done) {
        find(check, DISK_CHECK_WARNING, "the disk was not closed: its log has %u entries to be replayed",
             found.entries);
        int result;
        struct disk_file *overlay = vhdx_overlay_create(file, &found, &result);
        if (overlay) {
            check->file = overlay;
            found.bytes = NULL;
            result = disk_file_size(overlay, &check->headers.file_size);
        }
        if (result)
            disk_error_set(reason, result, file->name, "its log cannot be replayed: %s", strerror(result));
        done = !result;
    }
    vhdx_replay_free(&found);
    return done;
}

static bool check_all(struct check *check, struct disk_file *file, struct disk_error *reason)
{
    if (!vhdx_headers_read(file, &check->headers, reason) || !replay(check, file, reason) ||
        !vhdx_regions_read(check->file, &check->headers, &check->regions, reason))
        return false;
    vhdx_look_at_copies(&check->headers, &check->regions, find_copy, check);
    return vhdx_metadata_read(check->file, &check->regions, &check->metadata, reason) && check_locator(check, reason) &&
           check_blocks(check, reason);
}

bool vhdx_check(struct disk_file *file, disk_check_report *report, void *context, struct disk_error *error)
{
    struct disk_error reason;
    struct check *check = calloc(1, sizeof(*check));
    if (!check) {
        disk_error_set(error, ENOMEM, file->name, "no memory");
        return false;
    }
    check->report = report;
    check->context = context;
    check->file = file;
    bool done = check_all(check, file, &reason) || damage_found(check, &reason, error);
    if (check->file != file)
        disk_file_close(check->file);
    free(check);
    return done;
}
