/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The files that firmware is made of. */
#ifndef WORKER_FIRMWARE_IMAGE_H
#define WORKER_FIRMWARE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FIRMWARE_ERROR_SIZE 256

enum firmware_file {
    FIRMWARE_BIOS,    /* package seabios */
    FIRMWARE_VGA,     /* package seabios: video BIOS of the VGA, PCI 1234:1111 */
    FIRMWARE_NETWORK, /* package ipxe: what boots from the network; a Linux kernel image as far as anyone can see */
    FIRMWARE_FILES,
};

/* A file's content; length 0: not loaded. */
struct firmware_image {
    uint8_t *data;
    size_t length;
};

/*
 * Reads and checks a file: the one at `path`, or with NULL the one that the package installs. False: `error` is one
 * line that names the file, and the package if the file is missing.
 */
bool firmware_load(struct firmware_image *image, enum firmware_file file, const char *path,
                   char error[FIRMWARE_ERROR_SIZE]);
void firmware_unload(struct firmware_image *image);

#endif
