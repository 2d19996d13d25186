# SPDX-License-Identifier: GPL-2.0-or-later
# The default parent: Debian's cloud kernel and an initramfs of busybox, the driver and the programs; and the child of
# the tests and the demo: Debian's generic kernel and an initramfs of busybox and the modules that a generation 1
# machine needs.

CLOUD_RELEASE := $(patsubst /boot/vmlinuz-%,%,$(lastword $(sort $(wildcard /boot/vmlinuz-*-cloud-amd64))))
GENERIC_RELEASE := $(patsubst /boot/vmlinuz-%,%,$(lastword $(sort $(filter-out %-cloud-amd64, \
                     $(wildcard /boot/vmlinuz-*-amd64)))))
BUSYBOX := program:bin/busybox=/bin/busybox

# For tests of the bare boot: no driver, no programs.
$(BUILD)/image/bare.img: tools/initramfs.py partitions/root/image/init
	@mkdir -p $(@D)
	tools/initramfs.py $@ init=partitions/root/image/init $(BUSYBOX)

CHILD_MODULES := ata_piix sd_mod ext4 tulip button
CHILD_FILES := init demo dhcp
$(BUILD)/image/child.img: tools/initramfs.py $(CHILD_FILES:%=partitions/child/demo/%)
	@mkdir -p $(@D)
	tools/initramfs.py --kernel $(GENERIC_RELEASE) $@ $(foreach file,$(CHILD_FILES),$(file)=partitions/child/demo/$(file)) \
	    $(BUSYBOX) program:sbin/mkfs.ext4=/sbin/mkfs.ext4 etc/mke2fs.conf=/etc/mke2fs.conf $(CHILD_MODULES:%=module:%)

PARENT_PROGRAMS := $(addprefix $(BUILD)/bin/,loam-worker loam-switch mshv_test)
PARENT_DRIVER := $(BUILD)/driver/$(CLOUD_RELEASE)/mshv_loam.ko
PARENT_FILES := $(addprefix partitions/root/image/,init demo demo.json passwd group)

$(BUILD)/image/empty.vhd:
	@mkdir -p $(@D)
	qemu-img create -q -f vpc -o subformat=dynamic,force_size=on $@ 64M

$(BUILD)/image/parent.img: tools/initramfs.py $(PARENT_FILES) $(PARENT_PROGRAMS) $(PARENT_DRIVER) \
                           $(BUILD)/image/child.img $(BUILD)/image/empty.vhd
	@mkdir -p $(@D)
	tools/initramfs.py --kernel $(CLOUD_RELEASE) $@ init=partitions/root/image/init $(BUSYBOX) \
	    usr/bin/demo=partitions/root/image/demo usr/share/loam/demo.json=partitions/root/image/demo.json \
	    etc/passwd=partitions/root/image/passwd etc/group=partitions/root/image/group \
	    module:$(PARENT_DRIVER) $(foreach program,$(PARENT_PROGRAMS),program:usr/bin/$(notdir $(program))=$(program)) \
	    usr/share/loam/empty.vhd=$(BUILD)/image/empty.vhd \
	    boot/vmlinuz=/boot/vmlinuz-$(GENERIC_RELEASE) boot/child.img=$(BUILD)/image/child.img

image: $(BUILD)/image/bare.img $(BUILD)/image/parent.img
.PHONY: image
all: image
