# SPDX-License-Identifier: GPL-2.0-or-later
#
# Tests of the platform devices; the program that they are part of is declared in partitions/root/worker/build.mk.

include partitions/root/worker/devices/sources.mk

PLATFORM_SOURCES := firmware_setup.c host_bridge.c hpet.c i8042.c i8237.c i8254.c i8259.c ioapic.c irq_router.c mc146818.c pci.c \
    piix4_isa.c piix4_pm.c platform.c ps2_keyboard.c ps2_mouse.c system_ports.c uart16550.c

# $(call device_test,NAME,DEVICE SOURCES,OTHER SOURCES,LIBRARIES): build/unit/NAME_test
device_test = $(call unit_test,$(strip $(1))_test,tests/unit/$(strip $(1))_test.c tests/unit/device_fixture.c \
    $(addprefix partitions/root/worker/,bus.c timer.c) $(addprefix $(WORKER_DEVICES)/,$(2)) $(3),$(4))

$(call unit_test,bus_test,tests/unit/bus_test.c partitions/root/worker/bus.c)
$(call unit_test,timer_test,tests/unit/timer_test.c partitions/root/worker/timer.c)
$(call unit_test,guest_memory_test,tests/unit/guest_memory_test.c partitions/root/worker/guest_memory.c)
$(call device_test,pci,pci.c)
$(call device_test,host_bridge,host_bridge.c pci.c,tests/unit/config_space.c)
$(call device_test,piix4,piix4_isa.c piix4_pm.c pci.c,tests/unit/config_space.c)
$(call device_test,hpet,hpet.c)
$(call device_test,i8259,i8259.c)
$(call device_test,i8237,i8237.c,partitions/root/worker/guest_memory.c)
$(call device_test,i8254,i8254.c)
$(call device_test,ioapic,ioapic.c)
$(call device_test,irq_router,irq_router.c i8259.c ioapic.c)
$(call device_test,mc146818,mc146818.c)
$(call device_test,uart16550,uart16550.c)
$(call device_test,i8042,i8042.c ps2_keyboard.c ps2_mouse.c)
$(call device_test,ps2_mouse,i8042.c ps2_keyboard.c ps2_mouse.c)
$(call device_test,debug_exit,debug_exit.c)
$(call device_test,system_ports,system_ports.c)
$(call device_test,debug_port,debug_port.c)
$(call device_test,fw_cfg,fw_cfg.c,partitions/root/worker/guest_memory.c)
$(call device_test,platform,$(PLATFORM_SOURCES),partitions/root/worker/guest_memory.c)
# The graphics adapter; vga_bios runs SeaBIOS's VGA BIOS on it.
VGA_SOURCES := $(notdir $(sort $(wildcard $(WORKER_DEVICES)/vga*.c))) pci.c
$(call device_test,vga,$(VGA_SOURCES),tests/unit/vga_fixture.c tests/unit/config_space.c)
$(call device_test,vga_memory,$(VGA_SOURCES),tests/unit/vga_fixture.c)
$(call device_test,vga_dispi,$(VGA_SOURCES),tests/unit/vga_fixture.c)
$(call device_test,vga_draw,$(VGA_SOURCES),tests/unit/vga_fixture.c)
$(call device_test,vga_graphics,$(VGA_SOURCES),tests/unit/vga_fixture.c)
$(call device_test,vga_update,$(VGA_SOURCES),tests/unit/vga_fixture.c)
$(call device_test,vga_text,$(VGA_SOURCES),tests/unit/vga_fixture.c)
$(call unit_test,vga_bios_test,tests/unit/vga_bios_test.c tests/unit/vga_fixture.c tests/unit/device_fixture.c \
    $(addprefix partitions/root/worker/,bus.c timer.c) $(addprefix $(WORKER_DEVICES)/,$(VGA_SOURCES)),-lunicorn)

$(call unit_test,acpi_tables_test,tests/unit/acpi_tables_test.c $(WORKER_DEVICES)/acpi_tables.c \
    $(BUILD)/generated/dsdt.c)
$(call unit_test,smbios_tables_test,tests/unit/smbios_tables_test.c $(WORKER_DEVICES)/smbios_tables.c)

# The whole board; WORKER_FIRMWARE_SOURCES: partitions/root/worker/build.mk
$(call device_test,seabios,$(PLATFORM_SOURCES) acpi_tables.c debug_port.c fw_cfg.c smbios_tables.c \
        $(notdir $(sort $(wildcard $(addprefix $(WORKER_DEVICES)/,atapi*.c cd_*.c floppy*.c ide*.c)))), \
    tests/unit/fake_disk.c partitions/root/worker/guest_memory.c $(WORKER_FIRMWARE_SOURCES) \
    $(BUILD)/generated/dsdt.c,-lunicorn)
$(call fuzzer,devices,tests/fuzz/devices_fuzz.c $(addprefix partitions/root/worker/,bus.c guest_memory.c timer.c) \
    $(addprefix $(WORKER_DEVICES)/,$(PLATFORM_SOURCES) debug_port.c fw_cfg.c))

$(call fuzzer,vga,tests/fuzz/vga_fuzz.c tests/fuzz/fuzz_input.c tests/unit/vga_fixture.c tests/unit/device_fixture.c \
    $(addprefix partitions/root/worker/,bus.c timer.c) $(addprefix $(WORKER_DEVICES)/,$(VGA_SOURCES)))
