# SPDX-License-Identifier: GPL-2.0-or-later
#
# loamd, and the client's side of its socket.

MANAGER := partitions/root/manager
# Definitions, requests' form and files: what has neither processes nor a loop.
MANAGER_DATA_SOURCES := $(addprefix $(MANAGER)/,definition.c fields.c name.c report.c store.c switch_definition.c \
    text.c vm_end.c worker_configuration.c) $(addprefix partitions/root/net/,packet.c subnet.c)
MANAGER_SOURCES := $(MANAGER_DATA_SOURCES) $(addprefix $(MANAGER)/,alarm.c channel.c directories.c dispatch.c \
    file_access.c host.c host_shutdown.c identity.c opener.c process.c request.c server.c settings.c switch_forwards.c \
    switch_requests.c virtual_switch.c vm.c vm_console.c vm_definition_requests.c vm_requests.c vm_show.c vm_start.c) \
    partitions/root/net/event_loop.c
MANAGER_CLIENT_SOURCES := $(MANAGER)/manager_client.c

$(call program,loamd,$(MANAGER)/main.c $(MANAGER_SOURCES) $(MANAGER_CLIENT_SOURCES) $(DISK_SOURCES),-ljansson)
