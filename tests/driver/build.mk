# SPDX-License-Identifier: GPL-2.0-or-later
#
#   make driver-test       the driver on a fake hypervisor, in a kernel of its own under QEMU
#   make driver-check      every installed kernel's driver compiled with all warnings, and sparse
#   make driver-backports  the same two with the kernel of the release's backports, fetched into build/
#
# mshv_test itself also runs on the real hypervisor.

MSHV_TEST_SOURCES := $(addprefix tests/driver/,test.c test_fail.c machine.c partition_test.c memory_test.c run_test.c \
                                               interrupt_test.c hvcall_test.c access_test.c state_test.c \
                                               host_test.c life_test.c ipi_test.c smp_test.c)
$(call program,mshv_test,$(MSHV_TEST_SOURCES),-static -pthread)
$(BUILD)/bin/mshv_test: $(BUILD)/driver-guest/ipi_guest.o
$(call program,spinning_guest,$(addprefix tests/driver/,spinning_guest.c test_fail.c machine.c),-static)
$(call program,driver-test-init,tests/driver/init.c,-static)

# A guest in the program, as the symbols _binary_ipi_guest_bin_start and _end.
$(BUILD)/driver-guest/ipi_guest.bin: tests/driver/ipi_guest.asm tests/driver/ipi_guest.inc
	@mkdir -p $(@D)
	$(NASM) -f bin -o $@ $<
$(BUILD)/driver-guest/ipi_guest.o: $(BUILD)/driver-guest/ipi_guest.bin
	cd $(@D) && $(LD) -r -b binary -z noexecstack -o $(@F) $(<F)

FAKE_SOURCES := $(wildcard tests/driver/fake_*.c tests/driver/fake_*.h)
FAKE_OBJECTS := fake_hypervisor.o fake_guest.o

# $(call fake_driver,FOLDER,RELEASE,VARIABLES)
define fake_driver
	$(call driver_copy,$(1))
	@cp -pu $(FAKE_SOURCES) $(1)/
	$(call driver_module,$(1),$(2),HYPERVISOR="$(FAKE_OBJECTS)" $(3))
endef

define fake_driver_template
$(BUILD)/driver-fake/$(1)/mshv_loam.ko: $(DRIVER_SOURCES) $(DRIVER_INCLUDES) $(FAKE_SOURCES)
	$$(call fake_driver,$$(@D),$(1))
	@touch $$@
endef
$(foreach release,$(DRIVER_RELEASES),$(eval $(call fake_driver_template,$(release))))

# One kernel is enough here: the smallest one that is installed with its headers.
DRIVER_TEST_RELEASE := $(lastword $(sort $(filter-out %-rt-amd64,$(filter $(patsubst /boot/vmlinuz-%,%,$(wildcard \
                         /boot/vmlinuz-*)),$(or $(filter %-cloud-amd64,$(DRIVER_RELEASES)),$(DRIVER_RELEASES))))))

driver-test: $(BUILD)/bin/mshv_test $(BUILD)/bin/driver-test-init \
             $(BUILD)/driver/$(DRIVER_TEST_RELEASE)/mshv_loam.ko $(BUILD)/driver-fake/$(DRIVER_TEST_RELEASE)/mshv_loam.ko
	tests/driver/run /boot/vmlinuz-$(DRIVER_TEST_RELEASE) $(BUILD) $(BUILD)/driver/$(DRIVER_TEST_RELEASE)/mshv_loam.ko \
		$(BUILD)/driver-fake/$(DRIVER_TEST_RELEASE)/mshv_loam.ko

define driver_check_template
driver-check-$(1):
	rm -rf $(BUILD)/driver-check/$(1)
	$$(call fake_driver,$(BUILD)/driver-check/$(1),$(1),W=1 C=1)
	$$(call driver_module,$(BUILD)/driver-check/$(1),$(1),W=1 C=1)
.PHONY: driver-check-$(1)
endef
$(foreach release,$(DRIVER_RELEASES),$(eval $(call driver_check_template,$(release))))

driver-check: $(addprefix driver-check-,$(DRIVER_RELEASES))

driver-backports: $(BUILD)/bin/mshv_test $(BUILD)/bin/driver-test-init
	tests/driver/backports $(BUILD)

all: driver
TEST_PROGRAMS += $(BUILD)/driver-fake/$(DRIVER_TEST_RELEASE)/mshv_loam.ko

.PHONY: driver-test driver-check driver-backports
