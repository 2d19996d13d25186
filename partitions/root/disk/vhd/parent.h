/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the header of a differencing VHD says of the parent: its identifier, its time stamp, and where it is, in parent
 * locators of several platforms ("Dynamic Disk Header Format" and "Parent Locator Entry" of the specification).
 */
#ifndef DISK_VHD_PARENT_H
#define DISK_VHD_PARENT_H

#include "partitions/root/disk/error.h"
#include "partitions/root/disk/file.h"
#include "partitions/root/disk/parent_link.h"

#define VHD_LOCATORS 8u

enum vhd_platform {
    VHD_PLATFORM_NONE = 0,
    VHD_PLATFORM_W2RU = 0x57327275, /* a relative path, UTF-16 */
    VHD_PLATFORM_W2KU = 0x57326b75, /* an absolute path, UTF-16 */
    VHD_PLATFORM_MACX = 0x4d616358, /* a file URL, UTF-8 */
    VHD_PLATFORM_LOUR = 0x4c6f5552, /* "LoUR", Loam's own: a remote source, as remote_source_encode writes it */
};

struct vhd_locator {
    uint32_t platform; /* enum vhd_platform, or one that nobody reads here */
    uint32_t space;    /* bytes that are there for it; sectors in files of some writers */
    uint32_t length;   /* bytes of its data */
    uint64_t offset;   /* byte of the file */
};

/* Text that ends within it. */
#define VHD_PARENT_NAME_SIZE 1024u

struct vhd_parent {
    uint8_t identifier[16];
    uint32_t timestamp;              /* seconds since VHD_EPOCH */
    char name[VHD_PARENT_NAME_SIZE]; /* UTF-8; empty if there is none, or none that is text */
    struct vhd_locator locators[VHD_LOCATORS];
};

/* Of the VHD_HEADER_SIZE bytes of an encoded header; who encodes seals it afterwards. */
void vhd_parent_decode(const uint8_t *header, struct vhd_parent *parent);
/* False if the name is no UTF-8 or too long. */
bool vhd_parent_encode(uint8_t *header, const struct vhd_parent *parent);

/* The locators alone. */
void vhd_parent_encode_locators(uint8_t *header, const struct vhd_parent *parent);

/* The time stamp alone, which lies in the header's first sector, as the checksum does. */
void vhd_parent_encode_timestamp(uint8_t *header, uint32_t timestamp);

/*
 * Reads the locators' texts and makes names of them, relative ones first; or the remote source if there is one, and no
 * names then. 0; EUCLEAN: what should be a remote source is none; or the errno of reading.
 */
int vhd_parent_read_names(struct disk_file *file, uint64_t file_size, const struct vhd_parent *parent,
                          struct parent_link *link);

/*
 * Writes the texts of a relative and an absolute path (UTF-8; one may be "", which leaves it out) into the places that
 * the W2ru and MacX locators have, and into `parent` their lengths and the parent's name. 0; EILSEQ: no UTF-8;
 * ENAMETOOLONG: no space; or that of writing.
 */
int vhd_parent_write_names(struct disk_file *file, struct vhd_parent *parent, const char *relative,
                           const char *absolute);

/* Bytes that a locator of a remote source takes, whichever it is: whole sectors. */
#define VHD_REMOTE_SPACE ((REMOTE_SOURCE_TEXT_SIZE + 511u) / 512u * 512u)

/* Writes a remote source into the place that the LoUR locator has; otherwise likewise. */
int vhd_parent_write_remote(struct disk_file *file, struct vhd_parent *parent, const struct remote_source *source);

#endif
