/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The two kinds of files that hold a disk with a structure of their own. */
#ifndef DISK_CONTAINER_H
#define DISK_CONTAINER_H

enum disk_container { DISK_CONTAINER_NONE, DISK_CONTAINER_VHD, DISK_CONTAINER_VHDX };

/* "VHD", "VHDX"; "raw" for NONE. */
const char *disk_container_name(enum disk_container container);

/* What the end of a file's name says, in any case of letters: ".vhd", ".vhdx"; NONE: nothing. */
enum disk_container disk_container_by_name(const char *name);

#endif
