# SPDX-License-Identifier: GPL-2.0-or-later
#
# loam: the command.

LOAM_CLI := tools/loam
LOAM_CLI_SOURCES := $(addprefix $(LOAM_CLI)/,broker.c broker_files.c cli.c confined.c console.c disk.c disk_change.c \
    disk_create.c disk_fetch.c disk_info.c disk_repair.c disk_work.c host.c main.c path.c progress.c screen.c size.c \
    switch.c table.c vm.c vm_definition.c vm_media.c vm_screen.c)

# DISK_SOURCES, MANAGER and MANAGER_CLIENT_SOURCES come from the folders that are read before this one.
LOAM_CLI_PARTS := $(MANAGER_CLIENT_SOURCES) $(addprefix $(MANAGER)/,name.c text.c) $(DISK_SOURCES) \
    $(addprefix partitions/root/,confinement.c passing.c)
$(call program,loam,$(LOAM_CLI_SOURCES) $(LOAM_CLI_PARTS), \
    -ljansson -lsmartcols -lseccomp)

$(BUILD)/program/$(LOAM_CLI)/main.o $(BUILD)/unit/object/$(LOAM_CLI)/main.o: CPPFLAGS_EXTRA = -DLOAM_VERSION='"$(LOAM_VERSION)"'

LOAM_BROKER_SOURCES := $(addprefix $(LOAM_CLI)/,broker.c broker_files.c cli.c confined.c disk_fetch.c progress.c)
$(call unit_test,broker_test,tests/unit/broker_test.c tests/unit/scratch.c $(LOAM_BROKER_SOURCES) $(LOAM_CLI_PARTS), \
    -ljansson -lseccomp)
$(call unit_test,disk_work_test,tests/unit/disk_work_test.c tests/unit/scratch.c $(LOAM_CLI)/disk_work.c \
    $(LOAM_CLI)/table.c $(LOAM_BROKER_SOURCES) $(LOAM_CLI_PARTS),-ljansson -lsmartcols -lseccomp)
$(call unit_test,size_test,tests/unit/size_test.c $(LOAM_CLI)/size.c)

# Beside the sanitized loamd (partitions/root/manager/build.mk).
SANITIZED_LOAM_OBJECTS := $(patsubst %.c,$(BUILD)/unit/object/%.o,$(LOAM_CLI_SOURCES) $(LOAM_CLI_PARTS) \
    tests/unit/sanitized_loam.c)
OBJECTS += $(SANITIZED_LOAM_OBJECTS)
$(BUILD)/unit/sanitized/loam: $(SANITIZED_LOAM_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_UNIT) -o $@ $^ -ljansson -lsmartcols -lseccomp
