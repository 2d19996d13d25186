# SPDX-License-Identifier: GPL-2.0-or-later
# What a Linux guest writes to its disk, recorded once: for tests/unit/disk_kill_test.py.

DISK_TRACE := $(BUILD)/disk_trace/trace
DISK_TRACE_GUEST := $(BUILD)/disk_trace/guest.img
$(call program,disk_workload,tests/disk_trace/workload.c,-static)

$(DISK_TRACE_GUEST): tools/initramfs.py tests/disk_trace/init $(BUILD)/bin/disk_workload
	@mkdir -p $(@D)
	tools/initramfs.py --kernel $(CLOUD_RELEASE) $@ init=tests/disk_trace/init bin/workload=$(BUILD)/bin/disk_workload \
	    program:bin/busybox=/bin/busybox program:sbin/mke2fs=/sbin/mke2fs etc/mke2fs.conf=/etc/mke2fs.conf \
	    proc/ sys/ dev/ mnt/ $(addprefix module:,virtio_pci virtio_blk ext4)

$(DISK_TRACE): tests/disk_trace/record.py $(DISK_TRACE_GUEST) /boot/vmlinuz-$(CLOUD_RELEASE)
	tests/disk_trace/record.py /boot/vmlinuz-$(CLOUD_RELEASE) $(DISK_TRACE_GUEST) $@

TEST_PROGRAMS += $(DISK_TRACE)
