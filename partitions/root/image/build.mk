# SPDX-License-Identifier: GPL-2.0-or-later
# The default parent: Debian's cloud kernel and an initramfs of busybox, the driver and the programs.

CLOUD_KERNEL := $(lastword $(sort $(wildcard /boot/vmlinuz-*-cloud-amd64)))
GENERIC_KERNEL := $(lastword $(sort $(filter-out %-cloud-amd64,$(wildcard /boot/vmlinuz-*-amd64))))

# What the tests of the bare boot need: no driver, no programs.
$(BUILD)/image/bare.img: tools/initramfs.py partitions/root/image/init
	@mkdir -p $(@D)
	tools/initramfs.py $@ init=partitions/root/image/init program:bin/busybox=/bin/busybox

image: $(BUILD)/image/bare.img
.PHONY: image
all: image
