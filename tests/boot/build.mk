# SPDX-License-Identifier: GPL-2.0-or-later
# What the whole-system tests run in the parent: small programs, and a module that lends the hypervisor a page.

$(call program,kexec,tests/boot/kexec.c,-static)
$(call program,read_core,tests/boot/read_core.c,-static)
$(call program,exit_counts,tests/boot/exit_counts.c,-static)

HIDDEN_PAGE := $(BUILD)/hidden_page/$(CLOUD_RELEASE)/hidden_page_test.ko
HIDDEN_PAGE_SOURCES := $(addprefix tests/boot/hidden_page/,Makefile hidden_page.c) \
                       $(addprefix drivers/linux/,hypervisor.c hypervisor.h compat.h)
$(HIDDEN_PAGE): $(HIDDEN_PAGE_SOURCES) $(DRIVER_INCLUDES)
	@mkdir -p $(@D)/include
	@cp -pu $(HIDDEN_PAGE_SOURCES) $(@D)/
	@cp -pru include/hv $(@D)/include/
	$(call driver_module,$(@D),$(CLOUD_RELEASE))
	@touch $@

TEST_PROGRAMS += $(HIDDEN_PAGE)

# A guest whose worker is killed while it works on its disk: guest_kill_test.py.
$(BUILD)/image/killed-guest.img: tools/initramfs.py tests/boot/killed_guest/init $(BUILD)/bin/disk_workload
	@mkdir -p $(@D)
	tools/initramfs.py --kernel $(GENERIC_RELEASE) $@ init=tests/boot/killed_guest/init $(BUSYBOX) proc/ sys/ dev/ mnt/ \
	    bin/workload=$(BUILD)/bin/disk_workload $(addprefix module:,ata_piix sd_mod ext4)
TEST_PROGRAMS += $(BUILD)/image/killed-guest.img
