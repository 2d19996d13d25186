# SPDX-License-Identifier: GPL-2.0-or-later
#
# The disk engine has no program of its own: what uses it links DISK_SOURCES, and with asynchronous I/O also
# DISK_IO_SOURCES and -luring.

DISK_SOURCES := $(addprefix partitions/root/disk/,check.c convert.c crc32c.c create.c cursor.c disk.c error.c \
                  extent_index.c file.c floppy_image.c image_file.c image_open.c info.c io.c iso.c linear.c lock.c \
                  metadata_cache.c new_file.c open.c parent_search.c path_name.c transfer.c utf16.c vhd.c vhd_bitmap.c vhd_create.c vhd_image.c vhd_log.c vhd_parent.c \
                  vhd_metadata.c vhd_table.c)
DISK_IO_SOURCES := $(addprefix partitions/root/disk/,io_start.c io_threads.c io_uring.c)

$(call unit_test,disk_vhd_test,tests/unit/disk_vhd_test.c tests/unit/memory_file.c $(DISK_SOURCES))
$(call unit_test,disk_fault_test,tests/unit/disk_fault_test.c tests/unit/memory_file.c tests/unit/memory_io.c \
    $(DISK_SOURCES))
$(call unit_test,disk_crash_test,tests/unit/disk_crash_test.c tests/unit/memory_file.c $(DISK_SOURCES))
$(call unit_test,disk_io_test,tests/unit/disk_io_test.c tests/unit/scratch.c $(DISK_SOURCES) $(DISK_IO_SOURCES), \
    -luring -lseccomp -lpthread)
$(call unit_test,disk_open_test,tests/unit/disk_open_test.c tests/unit/scratch.c $(DISK_SOURCES))
$(call unit_test,disk_chain_test,tests/unit/disk_chain_test.c tests/unit/scratch.c $(DISK_SOURCES))
$(call unit_test,disk_iso_test,tests/unit/disk_iso_test.c tests/unit/scratch.c $(DISK_SOURCES))
$(call unit_test,floppy_image_test,tests/unit/floppy_image_test.c tests/unit/memory_file.c tests/unit/scratch.c \
    $(DISK_SOURCES))
$(call unit_test,disk_convert_test,tests/unit/disk_convert_test.c tests/unit/scratch.c $(DISK_SOURCES))

# Against QEMU and libvhdi: $(PYTHON) tests/unit/disk_interop.py $(DISK_TOOL)
DISK_TOOL := $(BUILD)/unit/helper/disk_tool
DISK_TOOL_OBJECTS := $(patsubst %.c,$(BUILD)/unit/object/%.o,tests/unit/disk_tool.c $(DISK_SOURCES))
OBJECTS += $(DISK_TOOL_OBJECTS)
$(DISK_TOOL): $(DISK_TOOL_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_UNIT) -o $@ $^

$(call fuzzer,vhd,tests/fuzz/vhd_fuzz.c tests/unit/memory_file.c $(DISK_SOURCES))
TEST_PROGRAMS += $(DISK_TOOL)
