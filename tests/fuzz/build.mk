# SPDX-License-Identifier: GPL-2.0-or-later
#
# Fuzzers of the devices that carry data (libFuzzer): build/fuzz/ide [CORPUS] [-max_total_time=SECONDS]

include partitions/root/worker/devices/sources.mk

# The same as for the other devices' fuzzer; whichever is read first.
ifndef CFLAGS_FUZZ
CLANG := clang
CFLAGS_FUZZ := -std=gnu17 -O1 -g $(WARNINGS) -fno-omit-frame-pointer -MMD -MP \
    -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all

$(BUILD)/fuzz/object/%.o: %.c
	@mkdir -p $(@D)
	$(CLANG) $(CPPFLAGS_PROGRAM) $(CFLAGS_FUZZ) -c -o $@ $<
endif

# $(call fuzzer,NAME,SOURCES): build/fuzz/NAME
define fuzzer_template
OBJECTS += $(patsubst %.c,$(BUILD)/fuzz/object/%.o,$(2))
$(BUILD)/fuzz/$(1): $(patsubst %.c,$(BUILD)/fuzz/object/%.o,$(2))
	@mkdir -p $$(@D)
	$$(CLANG) $$(CFLAGS_FUZZ) -o $$@ $$^
endef
fuzzer = $(eval $(call fuzzer_template,$(strip $(1)),$(2)))

IDE_SOURCES := $(sort $(wildcard $(WORKER_DEVICES)/ide*.c))
DEC21140_SOURCES := $(sort $(wildcard $(WORKER_DEVICES)/dec21140*.c)) $(WORKER_DEVICES)/ethernet_crc.c
FUZZ_SOURCES := tests/fuzz/fuzz_input.c tests/unit/device_fixture.c \
    $(addprefix partitions/root/worker/,bus.c timer.c guest_memory.c) $(WORKER_DEVICES)/pci.c

$(call fuzzer,ide,tests/fuzz/ide_fuzz.c tests/unit/fake_disk.c $(FUZZ_SOURCES) $(IDE_SOURCES))
$(call fuzzer,dec21140,tests/fuzz/dec21140_fuzz.c $(FUZZ_SOURCES) $(DEC21140_SOURCES))
