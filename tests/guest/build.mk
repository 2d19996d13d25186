# SPDX-License-Identifier: GPL-2.0-or-later
# Small guests that are started by firmware.

DOS_LIKE := $(BUILD)/guest/dos_like.img
$(DOS_LIKE): tests/guest/dos_like.asm
	@mkdir -p $(@D)
	$(NASM) -f bin -o $@ $<

TEST_PROGRAMS += $(DOS_LIKE)
