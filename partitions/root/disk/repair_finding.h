/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is found wrong with an image that is to be repaired. */
#ifndef DISK_REPAIR_FINDING_H
#define DISK_REPAIR_FINDING_H

#include <stdint.h>

enum disk_repair_kind {
    DISK_REPAIR_MENDED, /* is mended, or would be, and nothing is lost by it */
    DISK_REPAIR_LOST,   /* data are lost; mending it makes zeros of them, or the parent's data */
    DISK_REPAIR_LEFT,   /* cannot be mended */
    DISK_REPAIR_KINDS,
};

/* `text` is a line without a newline and lasts for the call. */
typedef void disk_repair_report(void *context, enum disk_repair_kind kind, const char *text);

/* Of each kind, the first so many findings are told one by one, and all are counted. */
#define DISK_REPAIR_MOST_REPORTED 100

struct disk_repair_findings {
    disk_repair_report *report; /* may be NULL */
    void *context;
    uint64_t count[DISK_REPAIR_KINDS];
};

void disk_repair_find(struct disk_repair_findings *findings, enum disk_repair_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
