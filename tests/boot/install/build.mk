# SPDX-License-Identifier: GPL-2.0-or-later
# What install_test.py installs and boots. A small system, of busybox, is for `make test`; Debian, which comes from where
# apt has it from, for `make soak`.

INSTALL_IMAGES := $(BUILD)/install
INSTALL_SOURCES := tests/boot/install

$(INSTALL_IMAGES)/installer.img: tools/initramfs.py $(INSTALL_SOURCES)/installer
	@mkdir -p $(@D)
	tools/initramfs.py --kernel $(GENERIC_RELEASE) $@ init=$(INSTALL_SOURCES)/installer $(BUSYBOX) \
	    $(addprefix module:,ata_piix sd_mod sr_mod isofs ext4) etc/mke2fs.conf=/etc/mke2fs.conf \
	    program:sbin/mkfs.ext4=/sbin/mkfs.ext4 program:sbin/sfdisk=/sbin/sfdisk program:usr/bin/eject=/usr/bin/eject \
	    program:usr/sbin/grub-install=/usr/sbin/grub-install

# A medium: GRUB, the kernel, the installer, and the system that it installs.
$(INSTALL_IMAGES)/%.iso: $(INSTALL_SOURCES)/medium $(INSTALL_IMAGES)/installer.img $(INSTALL_IMAGES)/%.tar
	$(INSTALL_SOURCES)/medium $@ /boot/vmlinuz-$(GENERIC_RELEASE) $(INSTALL_IMAGES)/installer.img $(INSTALL_IMAGES)/$*.tar

$(INSTALL_IMAGES)/small-initrd.img: tools/initramfs.py $(INSTALL_SOURCES)/small/initrd
	@mkdir -p $(@D)
	tools/initramfs.py --kernel $(GENERIC_RELEASE) $@ init=$(INSTALL_SOURCES)/small/initrd root/ $(BUSYBOX) \
	    $(addprefix module:,ata_piix sd_mod ext4)

SMALL_FILES := $(addprefix $(INSTALL_SOURCES)/small/,grub.cfg inittab passwd start) $(INSTALL_IMAGES)/small-initrd.img
$(INSTALL_IMAGES)/small.tar: tools/initramfs.py $(SMALL_FILES)
	rm -rf $(INSTALL_IMAGES)/small && mkdir -p $(INSTALL_IMAGES)/small
	tools/initramfs.py $(INSTALL_IMAGES)/small.img $(BUSYBOX) 'sbin/init->/bin/busybox' proc/ sys/ dev/ root/ tmp/ \
	    $(foreach file,inittab passwd start,etc/$(file)=$(INSTALL_SOURCES)/small/$(file)) \
	    boot/vmlinuz=/boot/vmlinuz-$(GENERIC_RELEASE) boot/initrd.img=$(INSTALL_IMAGES)/small-initrd.img \
	    boot/grub/grub.cfg=$(INSTALL_SOURCES)/small/grub.cfg
	gunzip -c $(INSTALL_IMAGES)/small.img | (cd $(INSTALL_IMAGES)/small && busybox cpio -id 2> /dev/null)
	tar --owner=0 --group=0 --sort=name -C $(INSTALL_IMAGES)/small -cf $@ .

DEBIAN_FILES := dpkg.conf ethernet.network fstab grub patience.conf
$(INSTALL_IMAGES)/debian.tar: $(INSTALL_SOURCES)/debian-root $(DEBIAN_FILES:%=$(INSTALL_SOURCES)/debian/%)
	@mkdir -p $(@D)
	$(INSTALL_SOURCES)/debian-root $@

$(INSTALL_IMAGES)/debian.vhd: $(INSTALL_SOURCES)/disk $(INSTALL_SOURCES)/debian/grub.cfg tools/grub-disk \
                              $(INSTALL_IMAGES)/debian.tar
	$(INSTALL_SOURCES)/disk $@ $(INSTALL_IMAGES)/debian.tar $(INSTALL_SOURCES)/debian/grub.cfg

.PRECIOUS: $(INSTALL_IMAGES)/%.tar
TEST_PROGRAMS += $(INSTALL_IMAGES)/small.iso
SOAK_PROGRAMS += $(addprefix $(INSTALL_IMAGES)/debian,.vhd .iso)
