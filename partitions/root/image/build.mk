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

CHILD_MODULES := ata_piix sd_mod ext4 tulip button evdev
CHILD_FILES := init demo dhcp power-button
# $(call child_image,ENTRIES): the recipe
define child_image
	@mkdir -p $(@D)
	tools/initramfs.py --kernel $(GENERIC_RELEASE) $@ $(foreach file,init demo dhcp,$(file)=partitions/child/demo/$(file)) \
	    etc/acpi/PWRF/00000080=partitions/child/demo/power-button \
	    $(BUSYBOX) program:sbin/mkfs.ext4=/sbin/mkfs.ext4 etc/mke2fs.conf=/etc/mke2fs.conf $(1)
endef
$(BUILD)/image/child.img: tools/initramfs.py $(CHILD_FILES:%=partitions/child/demo/%)
	$(call child_image,$(CHILD_MODULES:%=module:%))

# With drives for media that come and go: tests/boot/media_test.py.
$(BUILD)/image/media.img: tools/initramfs.py $(CHILD_FILES:%=partitions/child/demo/%)
	$(call child_image,$(addprefix module:,$(CHILD_MODULES) sr_mod floppy) program:usr/bin/eject=/usr/bin/eject)
TEST_PROGRAMS += $(BUILD)/image/media.img

PARENT_PROGRAMS := $(addprefix $(BUILD)/bin/,loam loamd loam-worker loam-switch mshv_test)
PARENT_DRIVER := $(BUILD)/driver/$(CLOUD_RELEASE)/mshv_loam.ko
# What machines that start by firmware need: the packages seabios and ipxe.
PARENT_FIRMWARE := /usr/share/seabios/bios-256k.bin /usr/share/seabios/vgabios-stdvga.bin /usr/lib/ipxe/ipxe.lkrn
PARENT_FILES := $(addprefix partitions/root/image/,init rc demo passwd group)

$(BUILD)/image/parent.img: tools/initramfs.py $(PARENT_FILES) $(PARENT_PROGRAMS) $(PARENT_DRIVER) \
                           $(BUILD)/image/child.img
	@mkdir -p $(@D)
	tools/initramfs.py --kernel $(CLOUD_RELEASE) $@ init=partitions/root/image/init $(BUSYBOX) \
	    usr/bin/demo=partitions/root/image/demo etc/rc=partitions/root/image/rc srv/ \
	    etc/passwd=partitions/root/image/passwd etc/group=partitions/root/image/group \
	    module:$(PARENT_DRIVER) $(foreach program,$(PARENT_PROGRAMS),program:usr/bin/$(notdir $(program))=$(program)) \
	    $(foreach file,$(PARENT_FIRMWARE),$(file:/%=%)=$(file)) \
    boot/vmlinuz=/boot/vmlinuz-$(GENERIC_RELEASE) boot/child.img=$(BUILD)/image/child.img

image: $(BUILD)/image/bare.img $(BUILD)/image/parent.img
.PHONY: image
all: image
