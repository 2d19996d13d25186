/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/repair.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/disk/check.h"
#include "partitions/root/disk/image_file.h"
#include "partitions/root/disk/open.h"
#include "partitions/root/disk/image_open.h"
#include "partitions/root/disk/repair_backup.h"
#include "partitions/root/disk/vhd/repair.h"
#include "partitions/root/disk/vhdx/repair.h"

#define MOST_BACKUPS 99u

/* The repair of an image, in its format. */
struct repair {
    struct disk_file *file;
    enum disk_container container;
    union {
        struct vhd_repair vhd;
        struct vhdx_repair vhdx;
    };
};

static bool is_vhdx(const struct repair *repair)
{
    return repair->container == DISK_CONTAINER_VHDX;
}

static bool look(struct repair *repair, struct disk_repair_findings *findings, struct disk_error *error)
{
    return is_vhdx(repair) ? vhdx_repair_look(&repair->vhdx, repair->file, findings, error)
                           : vhd_repair_look(&repair->vhd, repair->file, findings, error);
}

static void let_go(struct repair *repair)
{
    if (is_vhdx(repair))
        vhdx_repair_free(&repair->vhdx);
    else
        vhd_repair_free(&repair->vhd);
}

static bool is_needed(const struct repair *repair)
{
    return is_vhdx(repair) ? vhdx_repair_is_needed(&repair->vhdx) : vhd_repair_is_needed(&repair->vhd);
}

static struct repair_backup_source backup_source(const struct repair *repair)
{
    if (is_vhdx(repair))
        return (struct repair_backup_source){repair->file, repair->vhdx.file_size, vhdx_repair_overwritten,
                                             &repair->vhdx};
    return (struct repair_backup_source){repair->file, repair->vhd.metadata.file_size, vhd_repair_overwritten,
                                         &repair->vhd};
}

static void ignore_finding(void *context, enum disk_check_level level, const char *text)
{
    (void)context;
    (void)level;
    (void)text;
}

/* To a name that is free: an earlier backup may be that of a repair that was interrupted. */
static bool save(const char *path, const struct repair *repair, const struct disk_repair_options *options,
                 struct disk_repair_result *result, struct disk_error *error)
{
    const struct repair_backup_source source = backup_source(repair);
    bool done = options->no_backup;
    error->code = EEXIST;
    for (unsigned i = 1; !done && error->code == EEXIST && i <= MOST_BACKUPS; i++) {
        char number[16] = "";
        if (i > 1)
            snprintf(number, sizeof(number), "-%u", i);
        int length = snprintf(result->backup, sizeof(result->backup), "%s.repair-backup%s", path, number);
        if (length < 0 || (size_t)length >= sizeof(result->backup)) {
            disk_error_set(error, ENAMETOOLONG, path, "%s", strerror(ENAMETOOLONG));
            return false;
        }
        done = repair_backup_write(result->backup, &source, &options->progress, error);
    }
    return done;
}

static bool verify(struct disk_file *file, struct disk_error *error)
{
    struct disk_check_result checked;
    if (!disk_check_file(file, ignore_finding, NULL, &checked, error))
        return false;
    if (checked.count[DISK_CHECK_ERROR])
        disk_error_set(error, EUCLEAN, file->name, "still damaged after the repair: see loam disk check %s",
                       file->name);
    return checked.count[DISK_CHECK_ERROR] == 0;
}

static bool mend_image(struct repair *repair, const struct disk_progress *progress, struct disk_error *error)
{
    return is_vhdx(repair) ? vhdx_repair_mend(&repair->vhdx, error) : vhd_repair_mend(&repair->vhd, progress, error);
}

static bool mend(struct repair *repair, const struct disk_repair_options *options, struct disk_repair_result *result,
                 struct disk_error *error)
{
    bool allowed = !result->count[DISK_REPAIR_LEFT] && (!result->count[DISK_REPAIR_LOST] || options->drop_damaged);
    if (options->dry_run || !allowed || !is_needed(repair))
        return true;
    result->changed =
        save(repair->file->name, repair, options, result, error) && mend_image(repair, &options->progress, error);
    return result->changed && verify(repair->file, error);
}

static bool repair_file(struct repair *repair, const struct disk_repair_options *options,
                        struct disk_repair_findings *findings, struct disk_repair_result *result,
                        struct disk_error *error)
{
    repair->container = image_container(repair->file, error);
    if (repair->container == DISK_CONTAINER_NONE)
        return false;
    bool done = look(repair, findings, error);
    memcpy(result->count, findings->count, sizeof(result->count));
    done = done && mend(repair, options, result, error);
    let_go(repair);
    return done;
}

bool disk_repair(const char *path, const struct disk_repair_options *options, disk_repair_report *report, void *context,
                 struct disk_repair_result *result, struct disk_error *error)
{
    static const struct disk_repair_options defaults;
    struct disk_repair_result unused;
    struct disk_error ignored;
    struct disk_repair_findings findings = {.report = report, .context = context};
    options = options ? options : &defaults;
    result = result ? result : &unused;
    error = error ? error : &ignored;
    *result = (struct disk_repair_result){0};
    struct repair *repair = calloc(1, sizeof(*repair));
    if (!repair) {
        disk_error_set(error, ENOMEM, path, "no memory");
        return false;
    }
    repair->file = image_file_open(path, options->dry_run ? DISK_OPEN_READ_ONLY : 0, error);
    bool done = repair->file && repair_file(repair, options, &findings, result, error);
    if (repair->file)
        image_file_close(repair->file);
    free(repair);
    return done;
}

bool disk_repair_undo(const char *path, const char *backup, struct disk_error *error)
{
    struct disk_file *file = image_file_open(path, 0, error);
    if (!file)
        return false;
    bool done = repair_backup_restore(backup, file, error);
    image_file_close(file);
    return done;
}
