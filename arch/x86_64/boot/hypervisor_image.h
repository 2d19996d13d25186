/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hypervisor's images that the loader carries: one for each kind of hardware virtualization. */
#ifndef BOOT_HYPERVISOR_IMAGE_H
#define BOOT_HYPERVISOR_IMAGE_H

#include "arch/x86_64/boot/boot_information.h"

/* The one for this processor. It is header->file_end bytes long. On one that has neither kind, the image says so. */
const struct image_header *hypervisor_image(void);

#endif
