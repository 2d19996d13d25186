# SPDX-License-Identifier: GPL-2.0-or-later
#
# Tests of the devices that carry data.

include partitions/root/worker/devices/sources.mk

DATA_DEVICE_SOURCES := tests/unit/device_fixture.c \
    $(addprefix partitions/root/worker/,bus.c timer.c guest_memory.c) $(WORKER_DEVICES)/pci.c
IDE_TEST_SOURCES := $(DATA_DEVICE_SOURCES) tests/unit/fake_disk.c tests/unit/ide_fixture.c \
    $(sort $(wildcard $(WORKER_DEVICES)/ide*.c $(WORKER_DEVICES)/atapi*.c)) $(WORKER_DEVICES)/cd_sector.c
ATAPI_TEST_SOURCES := $(IDE_TEST_SOURCES) tests/unit/atapi_fixture.c
FLOPPY_TEST_SOURCES := $(DATA_DEVICE_SOURCES) tests/unit/fake_disk.c tests/unit/floppy_fixture.c \
    $(WORKER_DEVICES)/i8237.c $(sort $(wildcard $(WORKER_DEVICES)/floppy*.c))
DEC21140_TEST_SOURCES := $(DATA_DEVICE_SOURCES) tests/unit/dec21140_fixture.c \
    $(sort $(wildcard $(WORKER_DEVICES)/dec21140*.c)) $(WORKER_DEVICES)/ethernet_crc.c

# $(call data_device_test,NAME,SOURCES): build/unit/NAME_test
data_device_test = $(call unit_test,$(strip $(1))_test,tests/unit/$(strip $(1))_test.c $(2))

$(call data_device_test,ide,$(IDE_TEST_SOURCES))
$(call data_device_test,ide_data,$(IDE_TEST_SOURCES))
$(call data_device_test,ide_dma,$(IDE_TEST_SOURCES))
$(call data_device_test,atapi,$(ATAPI_TEST_SOURCES))
$(call data_device_test,atapi_command,$(ATAPI_TEST_SOURCES))
$(call data_device_test,atapi_medium,$(ATAPI_TEST_SOURCES))
$(call data_device_test,floppy,$(FLOPPY_TEST_SOURCES))
$(call data_device_test,floppy_data,$(FLOPPY_TEST_SOURCES))
$(call data_device_test,dec21140,$(DEC21140_TEST_SOURCES))
$(call data_device_test,dec21140_transmit,$(DEC21140_TEST_SOURCES))
$(call data_device_test,dec21140_receive,$(DEC21140_TEST_SOURCES))
