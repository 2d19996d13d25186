# SPDX-License-Identifier: GPL-2.0-or-later
#
# The disk engine has no program of its own: what uses it links DISK_SOURCES, and with asynchronous I/O also
# DISK_IO_SOURCES and -luring.

DISK_IO_SOURCES := $(addprefix partitions/root/disk/,io_start.c io_threads.c io_uring.c)
DISK_SOURCES := $(filter-out $(DISK_IO_SOURCES),$(sort $(wildcard $(addprefix partitions/root/disk/,*.c vhd/*.c vhdx/*.c))))

$(call unit_test,disk_vhd_test,tests/unit/disk_vhd_test.c tests/unit/memory_file.c $(DISK_SOURCES))
$(call unit_test,disk_fault_test,tests/unit/disk_fault_test.c tests/unit/memory_file.c tests/unit/memory_io.c \
    $(DISK_SOURCES))
POWER_FAILURE_SOURCES := $(addprefix tests/unit/,power_failure.c disk_change.c memory_file.c)
$(call unit_test,disk_crash_test,tests/unit/disk_crash_test.c $(POWER_FAILURE_SOURCES) $(DISK_SOURCES))
$(call unit_test,disk_rewrite_test,tests/unit/disk_rewrite_test.c $(POWER_FAILURE_SOURCES) $(DISK_SOURCES))
$(call unit_test,disk_reconnect_test,tests/unit/disk_reconnect_test.c tests/unit/scratch.c \
    $(POWER_FAILURE_SOURCES) $(DISK_SOURCES))
$(call unit_test,disk_resize_test,tests/unit/disk_resize_test.c tests/unit/scratch.c \
    $(POWER_FAILURE_SOURCES) $(DISK_SOURCES))
$(call unit_test,disk_repair_test,tests/unit/disk_repair_test.c tests/unit/scratch.c \
    $(POWER_FAILURE_SOURCES) $(DISK_SOURCES))
$(call unit_test,disk_exhaustive_test,tests/unit/disk_exhaustive_test.c $(DISK_SOURCES))
$(call unit_test,disk_io_test,tests/unit/disk_io_test.c tests/unit/scratch.c $(DISK_SOURCES) $(DISK_IO_SOURCES), \
    -luring -lseccomp -lpthread)
$(call unit_test,disk_open_test,tests/unit/disk_open_test.c tests/unit/scratch.c $(DISK_SOURCES))
$(call unit_test,disk_chain_test,tests/unit/disk_chain_test.c tests/unit/scratch.c $(DISK_SOURCES))
$(call unit_test,disk_model_test,$(addprefix tests/unit/,disk_model_test.c fake_fetch.c scratch.c) $(DISK_SOURCES))
$(call unit_test,disk_iso_test,tests/unit/disk_iso_test.c tests/unit/scratch.c $(DISK_SOURCES))
$(call unit_test,floppy_image_test,tests/unit/floppy_image_test.c tests/unit/memory_file.c tests/unit/scratch.c \
    $(DISK_SOURCES))
$(call unit_test,disk_chain_list_test,tests/unit/disk_chain_list_test.c tests/unit/scratch.c $(DISK_SOURCES))
$(call unit_test,disk_compact_test,tests/unit/disk_compact_test.c tests/unit/scratch.c $(POWER_FAILURE_SOURCES) \
    $(DISK_SOURCES))
$(call unit_test,disk_compare_test,tests/unit/disk_compare_test.c tests/unit/scratch.c $(DISK_SOURCES))
$(call unit_test,disk_merge_test,tests/unit/disk_merge_test.c tests/unit/scratch.c $(POWER_FAILURE_SOURCES) \
    $(DISK_SOURCES))
$(call unit_test,remote_source_test,tests/unit/remote_source_test.c partitions/root/disk/remote_source.c)
$(call unit_test,remote_parent_test,tests/unit/remote_parent_test.c tests/unit/memory_file.c $(DISK_SOURCES))
$(call unit_test,remote_file_test,$(addprefix tests/unit/,remote_file_test.c fake_fetch.c scratch.c) $(DISK_SOURCES))
$(call unit_test,streaming_test,$(addprefix tests/unit/,streaming_test.c fake_fetch.c memory_file.c power_failure.c scratch.c) \
    $(DISK_SOURCES))
$(call unit_test,disk_convert_test,tests/unit/disk_convert_test.c tests/unit/scratch.c $(DISK_SOURCES))

VHDX_TEST_SOURCES := tests/unit/memory_file.c tests/unit/vhdx_fixture.c $(DISK_SOURCES)
$(call unit_test,vhdx_structure_test,tests/unit/vhdx_structure_test.c $(VHDX_TEST_SOURCES))
$(call unit_test,vhdx_metadata_test,tests/unit/vhdx_metadata_test.c $(VHDX_TEST_SOURCES))
$(call unit_test,vhdx_log_test,tests/unit/vhdx_log_test.c $(VHDX_TEST_SOURCES))
$(call unit_test,vhdx_image_test,tests/unit/vhdx_image_test.c $(VHDX_TEST_SOURCES))
$(call unit_test,vhdx_parent_test,tests/unit/vhdx_parent_test.c tests/unit/vhdx_fixture.c tests/unit/scratch.c \
    $(POWER_FAILURE_SOURCES) $(DISK_SOURCES))
$(call unit_test,vhdx_resize_test,tests/unit/vhdx_resize_test.c tests/unit/vhdx_fixture.c $(POWER_FAILURE_SOURCES) \
    $(DISK_SOURCES))
$(call unit_test,vhdx_compact_test,tests/unit/vhdx_compact_test.c tests/unit/vhdx_fixture.c tests/unit/scratch.c \
    $(POWER_FAILURE_SOURCES) $(DISK_SOURCES))
$(call unit_test,vhdx_repair_test,tests/unit/vhdx_repair_test.c tests/unit/vhdx_fixture.c tests/unit/scratch.c \
    $(POWER_FAILURE_SOURCES) $(DISK_SOURCES))
$(call unit_test,vhdx_crash_test,tests/unit/vhdx_crash_test.c $(VHDX_TEST_SOURCES))
$(call unit_test,vhdx_fault_test,tests/unit/vhdx_fault_test.c $(VHDX_TEST_SOURCES))

# Against QEMU and libvhdi: $(PYTHON) tests/unit/disk_interop.py $(DISK_TOOL)
DISK_TOOL := $(BUILD)/unit/helper/disk_tool
DISK_TOOL_OBJECTS := $(patsubst %.c,$(BUILD)/unit/object/%.o,tests/unit/disk_tool.c $(DISK_SOURCES))
OBJECTS += $(DISK_TOOL_OBJECTS)
$(DISK_TOOL): $(DISK_TOOL_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_UNIT) -o $@ $^

# The same for VHDX: $(PYTHON) tests/unit/vhdx_interop.py $(VHDX_TOOL)
VHDX_TOOL := $(BUILD)/unit/helper/vhdx_tool
VHDX_TOOL_OBJECTS := $(patsubst %.c,$(BUILD)/unit/object/%.o,tests/unit/vhdx_tool.c $(DISK_SOURCES))
OBJECTS += $(VHDX_TOOL_OBJECTS)
$(VHDX_TOOL): $(VHDX_TOOL_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_UNIT) -o $@ $^

# Is killed while it does what a guest was recorded to do: tests/unit/disk_kill_test.py, which runs it and the tool so often
# that they are built as programs are.
DISK_REPLAY := $(BUILD)/unit/helper/disk_replay
DISK_QUICK_TOOL := $(BUILD)/unit/helper/disk_quick_tool
DISK_PROGRAM_OBJECTS := $(patsubst %.c,$(BUILD)/program/%.o,$(DISK_SOURCES))
OBJECTS += $(DISK_PROGRAM_OBJECTS) $(addprefix $(BUILD)/program/tests/unit/,disk_replay.o disk_tool.o)
$(DISK_REPLAY): $(BUILD)/program/tests/unit/disk_replay.o $(DISK_PROGRAM_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_PROGRAM) $(foreach name,pwritev64 ftruncate64 fallocate64 fdatasync,-Wl,--wrap=$(name)) -o $@ $^
$(DISK_QUICK_TOOL): $(BUILD)/program/tests/unit/disk_tool.o $(DISK_PROGRAM_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_PROGRAM) -o $@ $^

# Fetches, and is killed while it does: tests/unit/disk_stream_test.py
DISK_STREAM := $(BUILD)/unit/helper/disk_stream
DISK_STREAM_OBJECTS := $(patsubst %.c,$(BUILD)/unit/object/%.o,tests/unit/disk_stream.c $(DISK_SOURCES))
OBJECTS += $(DISK_STREAM_OBJECTS)
$(DISK_STREAM): $(DISK_STREAM_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_UNIT) -o $@ $^

$(call fuzzer,vhd,tests/fuzz/vhd_fuzz.c tests/unit/memory_file.c $(DISK_SOURCES))
$(call fuzzer,vhdx,tests/fuzz/vhdx_fuzz.c tests/fuzz/fuzz_input.c tests/unit/memory_file.c $(DISK_SOURCES))
TEST_PROGRAMS += $(DISK_TOOL) $(VHDX_TOOL) $(DISK_STREAM) $(DISK_REPLAY) $(DISK_QUICK_TOOL)
