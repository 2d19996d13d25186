# SPDX-License-Identifier: GPL-2.0-or-later
#
#   make run    build everything and boot Loam in QEMU with a parent and a demo child (VENDOR=intel: in Bochs)
#   make test   build everything and run every test; ends with "N passed, N failed"
#   make soak   the same with repetitions that take hours
#
# Every component describes itself in a build.mk beside its sources, with the macros defined below.

LOAM_VERSION := 0.1
BUILD := build
CC := gcc
LD := ld
CLANG := clang
NASM := nasm
PYTHON := python3
# Builds on all processors, each command's output in one piece.
MAKE_ALL = $(MAKE) -j$(shell nproc) --output-sync=target --no-print-directory

WARNINGS := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
# Programs of the parent.
CPPFLAGS_PROGRAM := -I. -Iinclude -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64
CFLAGS_PROGRAM := -std=gnu17 -O2 -g $(WARNINGS) -fstack-protector-strong -MMD -MP
# The same sources in unit tests and fuzzers.
CFLAGS_UNIT := -std=gnu17 -O1 -g $(WARNINGS) -fno-omit-frame-pointer -MMD -MP \
               -fsanitize=address,undefined -fno-sanitize-recover=all
CFLAGS_FUZZ := $(CFLAGS_UNIT) -fsanitize=fuzzer

PROGRAMS :=
UNIT_TESTS :=
FUZZERS :=
TEST_PROGRAMS := # what suites run besides the programs
SOAK_PROGRAMS := # and only in make soak
OBJECTS :=

all: programs

# $(call program,NAME,SOURCES,LIBRARIES): build/bin/NAME from C sources (paths from the top).
define program_template
PROGRAMS += $(BUILD)/bin/$(1)
OBJECTS += $(patsubst %.c,$(BUILD)/program/%.o,$(2))
$(BUILD)/bin/$(1): $(patsubst %.c,$(BUILD)/program/%.o,$(2))
	@mkdir -p $$(@D)
	$(CC) $(CFLAGS_PROGRAM) -o $$@ $$^ $(3)
endef
program = $(eval $(call program_template,$(strip $(1)),$(2),$(3)))

# $(call unit_test,NAME,SOURCES,LIBRARIES): build/unit/NAME, a cmocka program under ASan and UBSan.
define unit_test_template
UNIT_TESTS += $(BUILD)/unit/$(1)
OBJECTS += $(patsubst %.c,$(BUILD)/unit/object/%.o,$(2))
$(BUILD)/unit/$(1): $(patsubst %.c,$(BUILD)/unit/object/%.o,$(2))
	@mkdir -p $$(@D)
	$(CC) $(CFLAGS_UNIT) -o $$@ $$^ -lcmocka $(3)
endef
unit_test = $(eval $(call unit_test_template,$(strip $(1)),$(2),$(3)))

# $(call fuzzer,NAME,SOURCES,LIBRARIES): build/fuzz/NAME [CORPUS] [-max_total_time=SECONDS], libFuzzer with the same sanitizers.
define fuzzer_template
FUZZERS += $(BUILD)/fuzz/$(1)
OBJECTS += $(patsubst %.c,$(BUILD)/fuzz/object/%.o,$(2))
$(BUILD)/fuzz/$(1): $(patsubst %.c,$(BUILD)/fuzz/object/%.o,$(2))
	@mkdir -p $$(@D)
	$(CLANG) $(CFLAGS_FUZZ) -o $$@ $$^ $(3)
endef
fuzzer = $(eval $(call fuzzer_template,$(strip $(1)),$(2),$(3)))

$(BUILD)/program/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_PROGRAM) $(CFLAGS_PROGRAM) $(CPPFLAGS_EXTRA) -c -o $@ $<

$(BUILD)/unit/object/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_PROGRAM) $(CFLAGS_UNIT) $(CPPFLAGS_EXTRA) -c -o $@ $<

$(BUILD)/fuzz/object/%.o: %.c
	@mkdir -p $(@D)
	$(CLANG) $(CPPFLAGS_PROGRAM) $(CFLAGS_FUZZ) $(CPPFLAGS_EXTRA) -c -o $@ $<

include $(sort $(wildcard */build.mk */*/build.mk */*/*/build.mk */*/*/*/build.mk))

programs: $(PROGRAMS)
unit-tests: $(UNIT_TESTS)
fuzzers: $(FUZZERS)
test-programs: $(TEST_PROGRAMS)
soak-programs: $(SOAK_PROGRAMS)

# On AMD-V (amd) in QEMU or VT-x (intel) in Bochs.
VENDOR := amd

run:
	@tools/packages
	$(MAKE_ALL) all
	tools/run-loam $(VENDOR)

# Everything that the tests need, then all of them. TESTS narrows them down, e.g. make test TESTS="unit/ide boot/".
test:
	@tools/packages
	$(MAKE_ALL) all unit-tests fuzzers test-programs
	tests/run $(TESTS)

# The whole-system tests alone: AMD-V in QEMU, VT-x in Bochs, and VT-x with what takes hours there.
test-svm test-vmx test-vmx-full: test-%:
	@tools/packages
	$(MAKE_ALL) all test-programs
	tests/run --lane $* $(TESTS)

# The whole-system tests, and those of disks, with what takes hours: many kills, processors off and on, crashes, an hour of
# each image format's fuzzer. Results: docs/soak.md.
soak:
	@tools/packages soak
	$(MAKE_ALL) all unit-tests fuzzers test-programs soak-programs
	SOAK=1 tests/run --lane svm
	SOAK=1 MODEL_OPERATIONS=1000000 tests/run unit/disk_model unit/disk_kill unit/disk_command fuzz/vhd

clean:
	rm -rf $(BUILD)

.PHONY: all programs unit-tests fuzzers test-programs soak-programs clean run test test-svm test-vmx test-vmx-full soak
.DELETE_ON_ERROR:
-include $(sort $(OBJECTS:.o=.d))
