# SPDX-License-Identifier: GPL-2.0-or-later
#
# loam-worker: the process that is one virtual machine.

include partitions/root/worker/devices/sources.mk

WORKER := partitions/root/worker
WORKER_EMULATOR_SOURCES := $(addprefix $(WORKER)/, \
    arithmetic.c memory_access.c mmio_emulator.c mmio_operand.c mmio_string.c processor_mode.c)
WORKER_VP_SOURCES := $(WORKER_EMULATOR_SOURCES) \
    $(addprefix $(WORKER)/,bus.c interrupts.c io_port.c partition.c task_segment.c task_state.c task_switch.c vp.c)
WORKER_FIRMWARE_SOURCES := $(addprefix $(WORKER)/,firmware.c firmware_image.c) $(BUILD)/generated/netboot.c
# All of a machine, without the program around it. DISK_SOURCES: partitions/root/disk/build.mk
WORKER_MACHINE_SOURCES := $(filter-out %/main.c %/mshv.c %/sandbox.c,$(sort $(wildcard $(WORKER)/*.c))) \
    partitions/root/fields.c $(WORKER_DEVICE_SOURCES) $(DISK_IO_SOURCES) $(BUILD)/generated/netboot.c \
    $(addprefix partitions/root/net/,event_loop.c nic_port.c port_message.c) arch/x86_64/boot/linux_image.c
WORKER_LIBRARIES := -lZydis -lZycore -ljansson -lpthread -lvncserver -lspng -luring

# The option ROM as a C array. Its last byte makes all of them sum to zero.
$(BUILD)/generated/netboot.rom: $(WORKER)/firmware/netboot.asm
	@mkdir -p $(@D)
	$(NASM) -f bin -DCHECKSUM=0 -o $@ $<
	sum=$$(od -An -v -tu1 $@ | awk '{ for (i = 1; i <= NF; i++) sum += $$i } END { print sum }') && \
	$(NASM) -f bin -DCHECKSUM="-$$sum & 0xFF" -o $@ $<

$(BUILD)/generated/netboot.c: $(BUILD)/generated/netboot.rom
	{ echo '#include "$(WORKER)/firmware/netboot.h"'; \
	  echo 'const uint8_t netboot_rom[] = {'; \
	  od -An -v -tx1 $< | sed 's/ \(..\)/0x\1,/g'; \
	  echo '};'; \
	  echo 'const size_t netboot_rom_length = sizeof netboot_rom;'; } > $@

# What every port access passes is compiled as a whole.
$(patsubst %,$(BUILD)/program/$(WORKER)/%.o,bus io_port memory_access processor_mode vp): CPPFLAGS_EXTRA += -flto

$(call program,loam-worker,$(WORKER_MACHINE_SOURCES) $(DISK_SOURCES) $(addprefix $(WORKER)/,main.c mshv.c sandbox.c) \
    partitions/root/confinement.c, \
    $(WORKER_LIBRARIES) -lseccomp)

$(call unit_test,mmio_emulator_test,tests/unit/mmio_emulator_test.c $(WORKER_EMULATOR_SOURCES) $(WORKER)/bus.c, \
    -lZydis -lZycore)
$(call unit_test,vp_test,tests/unit/vp_test.c tests/unit/fake_hypervisor.c $(WORKER_VP_SOURCES) \
    $(WORKER_DEVICES)/i8259.c $(WORKER_DEVICES)/ioapic.c,-lZydis -lZycore -lpthread)
WORKER_TASK_SOURCES := $(addprefix $(WORKER)/,bus.c memory_access.c processor_mode.c task_segment.c task_state.c \
    task_switch.c)
$(call unit_test,task_switch_test,tests/unit/task_switch_test.c tests/unit/fake_hypervisor.c $(WORKER_TASK_SOURCES) \
    $(WORKER)/partition.c,-lpthread)
$(call unit_test,io_port_test,tests/unit/io_port_test.c \
    $(addprefix $(WORKER)/,bus.c io_port.c memory_access.c processor_mode.c))
$(call unit_test,linux_boot_test,tests/unit/linux_boot_test.c $(WORKER)/linux_boot.c $(WORKER)/guest_memory.c \
    arch/x86_64/boot/linux_image.c)
$(call unit_test,configuration_test,tests/unit/configuration_test.c $(WORKER)/configuration.c \
    $(WORKER)/configuration_names.c partitions/root/fields.c partitions/root/disk/remote_source.c,-ljansson)
$(call unit_test,firmware_test,tests/unit/firmware_test.c tests/unit/device_fixture.c $(WORKER_FIRMWARE_SOURCES) \
    $(addprefix $(WORKER)/,bus.c guest_memory.c timer.c) $(BUILD)/generated/dsdt.c \
    $(addprefix $(WORKER_DEVICES)/,acpi_tables.c fw_cfg.c mc146818.c smbios_tables.c))
$(call unit_test,cpuid_topology_test,tests/unit/cpuid_topology_test.c $(WORKER)/cpuid_topology.c)
$(call unit_test,console_test,tests/unit/console_test.c $(WORKER)/console.c $(WORKER)/bus.c $(WORKER)/timer.c \
    $(WORKER_DEVICES)/uart16550.c partitions/root/net/event_loop.c)
$(call unit_test,input_test,tests/unit/input_test.c tests/unit/device_fixture.c \
    $(addprefix $(WORKER)/,bus.c input.c timer.c) $(addprefix $(WORKER_DEVICES)/,i8042.c ps2_keyboard.c ps2_mouse.c))
$(call unit_test,serial_backend_test,tests/unit/serial_backend_test.c tests/unit/scratch.c $(WORKER)/serial_backend.c \
    $(WORKER)/bus.c $(WORKER)/timer.c $(WORKER_DEVICES)/uart16550.c partitions/root/net/event_loop.c)
WORKER_KEYS_SOURCES := $(addprefix $(WORKER)/,key_name.c key_queue.c keysym.c pointer.c)
$(call unit_test,keysym_test,tests/unit/keysym_test.c $(WORKER_KEYS_SOURCES))
$(call unit_test,vnc_server_test,tests/unit/vnc_server_test.c tests/unit/rfb_client.c $(WORKER_KEYS_SOURCES) \
    $(addprefix $(WORKER)/,vnc_client.c vnc_message.c vnc_server.c) partitions/root/net/event_loop.c,-lvncserver)
$(call unit_test,screen_test,tests/unit/screen_test.c tests/unit/rfb_client.c $(WORKER_MACHINE_SOURCES) $(DISK_SOURCES), \
    $(WORKER_LIBRARIES))
$(call unit_test,storage_test,tests/unit/storage_test.c tests/unit/scratch.c $(WORKER_MACHINE_SOURCES) $(DISK_SOURCES), \
    $(WORKER_LIBRARIES))
$(call unit_test,mshv_test,tests/unit/mshv_test.c $(WORKER)/mshv.c)
$(call unit_test,machine_test,tests/unit/machine_test.c tests/unit/fake_fetch.c tests/unit/fake_hypervisor.c \
    $(WORKER_MACHINE_SOURCES) \
    $(DISK_SOURCES),$(WORKER_LIBRARIES))
$(call unit_test,graphics_test,tests/unit/graphics_test.c tests/unit/device_fixture.c tests/unit/fake_hypervisor.c \
    $(WORKER_MACHINE_SOURCES) $(DISK_SOURCES),$(WORKER_LIBRARIES))
$(call unit_test,sandbox_test,$(addprefix tests/unit/,sandbox_test.c fake_fetch.c fake_hypervisor.c rfb_client.c scratch.c) \
    $(WORKER_MACHINE_SOURCES) \
    $(WORKER)/sandbox.c partitions/root/confinement.c $(DISK_SOURCES),$(WORKER_LIBRARIES) -lseccomp)

$(call fuzzer,mmio,tests/fuzz/mmio_fuzz.c $(WORKER_EMULATOR_SOURCES) $(WORKER)/bus.c $(WORKER)/io_port.c, \
    -lZydis -lZycore)
$(call fuzzer,task_switch,tests/fuzz/task_switch_fuzz.c tests/fuzz/fuzz_input.c $(WORKER_TASK_SOURCES))
$(call fuzzer,linux_boot,tests/fuzz/linux_boot_fuzz.c $(WORKER)/linux_boot.c $(WORKER)/guest_memory.c \
    arch/x86_64/boot/linux_image.c)
$(call fuzzer,screen,tests/fuzz/screen_fuzz.c tests/fuzz/fuzz_input.c $(WORKER_KEYS_SOURCES) $(WORKER)/vnc_message.c)
