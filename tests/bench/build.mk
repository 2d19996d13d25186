# SPDX-License-Identifier: GPL-2.0-or-later
#
#   make bench             measures and prints all figures with their budgets; also as JSON, build/bench.json
#   make bench BENCH=exits only those whose group's name is given

BENCH_PROGRAMS := $(addprefix $(BUILD)/bench/,exits.bin boot_sector.img tick counters stream disk)

$(BUILD)/bench/exits.bin: tests/bench/exits.asm
	@mkdir -p $(@D)
	$(NASM) -f bin -o $@ $<

$(BUILD)/bench/boot_sector.img: tests/bench/boot_sector.asm
	@mkdir -p $(@D)
	$(NASM) -f bin -o $@ $<

$(BUILD)/bench/tick: tests/bench/tick.asm
	@mkdir -p $(@D)
	$(NASM) -f elf64 -o $@.o $<
	$(LD) -N -o $@ $@.o

# Static: they run in initramfs of their own.
$(BUILD)/bench/counters $(BUILD)/bench/stream: $(BUILD)/bench/%: tests/bench/%.c include/uapi/loam.h include/hv/loam.h
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_PROGRAM) $(filter-out -MMD -MP,$(CFLAGS_PROGRAM)) -static -o $@ $<

# The disk engine without a virtual machine, beside QEMU's.
$(BUILD)/bench/disk: $(patsubst %.c,$(BUILD)/program/%.o,tests/bench/disk.c $(DISK_SOURCES))
	@mkdir -p $(@D)
	$(CC) -o $@ $^

OBJECTS += $(BUILD)/program/tests/bench/disk.o

bench:
	@tools/packages
	$(MAKE_ALL) all $(BENCH_PROGRAMS)
	tests/bench/bench.py $(BENCH)

.PHONY: bench
