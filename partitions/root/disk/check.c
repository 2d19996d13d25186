/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "partitions/root/disk/chain_list.h"
#include "partitions/root/disk/image_file.h"
#include "partitions/root/disk/image_open.h"
#include "partitions/root/disk/open.h"
#include "partitions/root/disk/vhd/table.h"
#include "partitions/root/disk/vhdx/check.h"

struct check {
    disk_check_report *report;
    void *context;
    struct disk_check_result *result;
};

static void __attribute__((format(printf, 3, 4)))
find(const struct check *check, enum disk_check_level level, const char *format, ...)
{
    if (check->result->count[level]++ >= DISK_CHECK_MOST_REPORTED)
        return;
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    check->report(check->context, level, text);
}

static void find_table_problem(void *context, const char *text)
{
    find(context, DISK_CHECK_ERROR, "%s", text);
}

static void check_footers(const struct check *check, const struct vhd_metadata *metadata)
{
    static const char *const damage[] = {[VHD_ABSENT] = "is missing", [VHD_FAULTY] = "is damaged"};
    if (metadata->end_state != VHD_VALID)
        find(check, DISK_CHECK_WARNING, "the footer at the end %s; the copy at the start is sound",
             damage[metadata->end_state]);
    if (metadata->footer.type != VHD_FIXED && metadata->copy_state != VHD_VALID)
        find(check, DISK_CHECK_WARNING, "the copy of the footer at the start %s; the one at the end is sound",
             damage[metadata->copy_state]);
    if (metadata->footer.type != VHD_FIXED && metadata->footers_differ)
        find(check, DISK_CHECK_NOTE, "the footer at the end differs from the copy at the start, which counts");
    if (metadata->footer.saved_state)
        find(check, DISK_CHECK_NOTE, "the disk is marked as belonging to a virtual machine that is saved");
}

static void check_fixed(const struct check *check, const struct vhd_metadata *metadata)
{
    if (metadata->footer_offset > metadata->disk_size)
        find(check, DISK_CHECK_NOTE, "%llu bytes between the disk's end and the footer are not used",
             (unsigned long long)(metadata->footer_offset - metadata->disk_size));
}

static int check_dynamic(struct check *check, struct disk_file *file, const struct vhd_metadata *metadata)
{
    struct vhd_table table;
    if (metadata->has_stray_locator)
        find(check, DISK_CHECK_ERROR, "a parent locator, at byte %llu, does not lie within the file",
             (unsigned long long)metadata->stray_locator);
    int error = vhd_table_scan(&table, file, metadata, find_table_problem, check);
    if (!error && !table.damaged && metadata->footer_offset > table.used_end)
        find(check, DISK_CHECK_NOTE, "%llu bytes behind the last block are not used",
             (unsigned long long)(metadata->footer_offset - table.used_end));
    vhd_table_free(&table);
    return error;
}

static bool check_vhd(struct check *check, struct disk_file *file, struct disk_error *error)
{
    struct vhd_metadata metadata;
    struct disk_error reason;
    if (!vhd_metadata_read(file, &metadata, &reason)) {
        if (reason.code == EUCLEAN) {
            find(check, DISK_CHECK_ERROR, "%s", reason.text + reason.reason);
            return true;
        }
        if (error)
            *error = reason;
        return false;
    }
    check_footers(check, &metadata);
    int unread = 0;
    if (metadata.footer.type == VHD_FIXED)
        check_fixed(check, &metadata);
    else
        unread = check_dynamic(check, file, &metadata);
    if (unread)
        disk_error_set(error, unread, file->name, "the block allocation table cannot be read: %s", strerror(unread));
    return !unread;
}

static void find_in_vhdx(void *context, enum disk_check_level level, const char *text)
{
    find(context, level, "%s", text);
}

bool disk_check_file(struct disk_file *file, disk_check_report *report, void *context, struct disk_check_result *result,
                     struct disk_error *error)
{
    *result = (struct disk_check_result){0};
    struct check check = {report, context, result};
    switch (image_container(file, error)) {
    case DISK_CONTAINER_VHD:
        return check_vhd(&check, file, error);
    case DISK_CONTAINER_VHDX:
        return vhdx_check(file, find_in_vhdx, &check, error);
    default:
        return false;
    }
}

/* ---- Chains ---- */

/* What is found of a parent is told with its name. */
struct chain_check {
    const struct check *child;
    const char *path;
};

static void report_parent(void *context, enum disk_check_level level, const char *text)
{
    const struct chain_check *parent = context;
    char line[512];
    snprintf(line, sizeof(line), "parent %.256s: %s", parent->path, text);
    parent->child->report(parent->child->context, level, line);
}

static void check_parent(const struct check *check, const char *path)
{
    struct chain_check parent = {check, path};
    struct disk_check_result found;
    struct disk_error error;
    struct disk_file *file = image_file_open(path, DISK_OPEN_READ_ONLY, &error);
    bool done = file && disk_check_file(file, report_parent, &parent, &found, &error);
    if (file)
        image_file_close(file);
    for (unsigned level = 0; level < DISK_CHECK_LEVELS && done; level++)
        check->result->count[level] += found.count[level];
    if (!done)
        find(check, DISK_CHECK_ERROR, "parent %s", error.text);
}

/* The first of the chain has been looked over. */
static bool check_member(void *context, const struct disk_chain_member *member)
{
    struct chain_check *self = context;
    if (self->path)
        check_parent(self->child, member->path);
    self->path = member->path;
    if (member->problem)
        find(self->child, DISK_CHECK_ERROR, "%s: %s", member->path, member->problem);
    return true;
}

bool disk_check(const char *path, disk_check_report *report, void *context, struct disk_check_result *result,
                struct disk_error *error)
{
    struct disk_file *file = image_file_open(path, DISK_OPEN_READ_ONLY, error);
    if (!file)
        return false;
    const struct check check = {report, context, result};
    struct chain_check chain = {&check, NULL};
    bool done = disk_check_file(file, report, context, result, error);
    image_file_close(file);
    if (!done || result->count[DISK_CHECK_ERROR])
        return done;
    return disk_chain_list(path, 0, check_member, &chain, error);
}
