# SPDX-License-Identifier: GPL-2.0-or-later
#
# loamd, and the client's side of its socket.

MANAGER := partitions/root/manager
# Definitions, requests' form and files: what has neither processes nor a loop.
MANAGER_DATA_SOURCES := $(addprefix $(MANAGER)/,definition.c definition_json.c name.c report.c store.c switch_definition.c \
    text.c vm_end.c worker_configuration.c) partitions/root/fields.c partitions/root/worker/configuration_names.c $(addprefix partitions/root/net/,boot_file.c packet.c subnet.c)
MANAGER_SOURCES := $(MANAGER_DATA_SOURCES) $(addprefix $(MANAGER)/,alarm.c channel.c directories.c dispatch.c \
    file_access.c host.c host_shutdown.c identity.c opener.c process.c request.c server.c settings.c switch_forwards.c \
    switch_requests.c virtual_switch.c vm.c vm_console.c vm_definition_requests.c vm_media.c vm_requests.c vm_screen.c \
    vm_show.c vm_source.c vm_start.c) partitions/root/passing.c partitions/root/net/event_loop.c
MANAGER_CLIENT_SOURCES := $(MANAGER)/manager_client.c

$(call program,loamd,$(MANAGER)/main.c $(MANAGER_SOURCES) $(MANAGER_CLIENT_SOURCES) $(DISK_SOURCES),-ljansson)

$(call unit_test,manager_data_test,tests/unit/manager_data_test.c $(MANAGER_DATA_SOURCES) \
    partitions/root/disk/remote_source.c,-ljansson)

# The same programs under ASan and UBSan, for the end-to-end test:
#   LOAM_BIN=$(BUILD)/unit/sanitized $(PYTHON) tests/unit/manager_test.py
SANITIZED_LOAMD_OBJECTS := $(patsubst %.c,$(BUILD)/unit/object/%.o,$(MANAGER)/main.c $(MANAGER_SOURCES) \
    $(MANAGER_CLIENT_SOURCES) $(DISK_SOURCES))
OBJECTS += $(SANITIZED_LOAMD_OBJECTS)
$(BUILD)/unit/sanitized/loamd: $(SANITIZED_LOAMD_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_UNIT) -o $@ $^ -ljansson
