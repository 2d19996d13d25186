# SPDX-License-Identifier: GPL-2.0-or-later
#
# Fuzzers of the devices that carry data (libFuzzer): build/fuzz/ide [CORPUS] [-max_total_time=SECONDS]

include partitions/root/worker/devices/sources.mk

IDE_SOURCES := $(sort $(wildcard $(WORKER_DEVICES)/ide*.c $(WORKER_DEVICES)/atapi*.c)) $(WORKER_DEVICES)/cd_sector.c
FLOPPY_SOURCES := $(WORKER_DEVICES)/i8237.c $(sort $(wildcard $(WORKER_DEVICES)/floppy*.c))
DEC21140_SOURCES := $(sort $(wildcard $(WORKER_DEVICES)/dec21140*.c)) $(WORKER_DEVICES)/ethernet_crc.c
FUZZ_SOURCES := tests/fuzz/fuzz_input.c tests/unit/device_fixture.c \
    $(addprefix partitions/root/worker/,bus.c timer.c guest_memory.c) $(WORKER_DEVICES)/pci.c

$(call fuzzer,ide,tests/fuzz/ide_fuzz.c tests/unit/fake_disk.c $(FUZZ_SOURCES) $(IDE_SOURCES))
$(call fuzzer,floppy,tests/fuzz/floppy_fuzz.c tests/unit/fake_disk.c $(FUZZ_SOURCES) $(FLOPPY_SOURCES))
$(call fuzzer,dec21140,tests/fuzz/dec21140_fuzz.c $(FUZZ_SOURCES) $(DEC21140_SOURCES))
