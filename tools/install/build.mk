# SPDX-License-Identifier: GPL-2.0-or-later
#
#   make install [DESTDIR=...] [PREFIX=/usr/local]
#
# Programs, manual pages, completion, systemd units, users (sysusers.d), the driver's source for DKMS; loam.efi, which is
# for the EFI system partition (README), and loam.mb2 where GRUB reads kernels from. Nothing is started or enabled.

PREFIX ?= /usr/local
INSTALL := install
# DKMS looks for sources nowhere else.
DKMS_FOLDER = $(DESTDIR)/usr/src/mshv-loam-$(shell sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' drivers/linux/dkms.conf)

# $(call install_unit,NAME): a systemd unit, with the programs' folder filled in.
define install_unit
	sed 's|@SBIN@|$(PREFIX)/sbin|' tools/install/$(1).in > $(DESTDIR)$(PREFIX)/lib/systemd/system/$(1)
	chmod 644 $(DESTDIR)$(PREFIX)/lib/systemd/system/$(1)
endef

install: $(addprefix $(BUILD)/bin/,loam loamd loam-worker loam-switch loam-fetch) $(BUILD)/loam.efi $(BUILD)/loam.mb2 driver-dkms
	$(INSTALL) -d $(addprefix $(DESTDIR)$(PREFIX)/,bin sbin lib/loam lib/systemd/system lib/sysusers.d share/man/man1 \
	    share/man/man8 share/bash-completion/completions) $(DESTDIR)/boot $(DKMS_FOLDER)
	$(INSTALL) -m 755 $(BUILD)/bin/loam $(DESTDIR)$(PREFIX)/bin/
	$(INSTALL) -m 755 $(addprefix $(BUILD)/bin/,loamd loam-worker loam-switch loam-fetch) $(DESTDIR)$(PREFIX)/sbin/
	$(INSTALL) -m 644 docs/man/loam.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	$(INSTALL) -m 644 docs/man/loamd.8 docs/man/loam-fetch.8 $(DESTDIR)$(PREFIX)/share/man/man8/
	$(INSTALL) -m 644 tools/loam/completion.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/loam
	$(INSTALL) -m 644 tools/install/sysusers.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d/loam.conf
	$(call install_unit,loamd.service)
	$(call install_unit,loam-vms.service)
	$(INSTALL) -m 644 $(BUILD)/loam.efi $(DESTDIR)$(PREFIX)/lib/loam/
	$(INSTALL) -m 644 $(BUILD)/loam.mb2 $(DESTDIR)/boot/
	cp -r $(BUILD)/dkms/. $(DKMS_FOLDER)/

.PHONY: install
