# SPDX-License-Identifier: GPL-2.0-or-later
# The hypervisor's image, and the programs that carry it: loam.efi, and loam.mb2 for machines without UEFI.

# What images for both kinds of hardware virtualization have in common.
HYPERVISOR_SOURCES := $(wildcard kernel/*.c arch/x86_64/cpu/*.c arch/x86_64/mm/*.c drivers/host/*.c) arch/x86_64/boot/initialize.c
HYPERVISOR_ASSEMBLY := $(wildcard arch/x86_64/cpu/*.asm) arch/x86_64/boot/low_page.asm
# Both loaders have these.
LAUNCH_SOURCES := $(addprefix arch/x86_64/boot/,acpi.c configuration.c host_map.c hypervisor_image.c late_launch.c memory.c memory_range.c) \
                  kernel/boot_memory_needed.c
LOADER_SOURCES := $(LAUNCH_SOURCES) $(wildcard arch/x86_64/boot/efi/*.c)
MULTIBOOT_SOURCES := $(LAUNCH_SOURCES) $(wildcard arch/x86_64/boot/multiboot/*.c) arch/x86_64/boot/linux_image.c \
                     arch/x86_64/cpu/string.c drivers/host/uart.c kernel/log.c

CFLAGS_FREESTANDING := -std=gnu17 -g $(WARNINGS) -ffreestanding -fno-stack-check -mno-red-zone -fcf-protection=none \
                       -fno-asynchronous-unwind-tables -fno-strict-aliasing -MMD -MP
CFLAGS_HYPERVISOR := $(CFLAGS_FREESTANDING) -O2 -mgeneral-regs-only -mindirect-branch=thunk -mcmodel=kernel -fno-pic -fno-pie \
                     -ffunction-sections -fdata-sections -fbuiltin -fno-tree-loop-distribute-patterns \
                     -fstack-protector-strong -mstack-protector-guard=global -Wframe-larger-than=1024 -flto -flto-partition=one -fno-ipa-profile \
                     -DLOAM_VERSION='"$(LOAM_VERSION)"' $(if $(DEBUG),-DLOAM_DEBUG)
# GNU-EFI's headers are older than prototypes.
CFLAGS_LOADER := $(CFLAGS_FREESTANDING) -isystem /usr/include/efi -isystem /usr/include/efi/x86_64 -O2 -fpic -fshort-wchar -fno-stack-protector -maccumulate-outgoing-args \
                 -DGNU_EFI_USE_MS_ABI -DEFI_FUNCTION_WRAPPER
# Not the code that runs for long: it may be slow, but the image is read through the BIOS.
CFLAGS_MULTIBOOT := $(CFLAGS_FREESTANDING) -Os -mgeneral-regs-only -fno-pic -fno-pie -fno-stack-protector -ffunction-sections \
                    -fdata-sections -fno-tree-loop-distribute-patterns --param=min-pagesize=0

LOADER_OBJECTS := $(LOADER_SOURCES:%.c=$(BUILD)/loader/%.o) $(BUILD)/loader/launch.o
MULTIBOOT_OBJECTS := $(BUILD)/multiboot/entry.o $(BUILD)/loader/launch.o $(MULTIBOOT_SOURCES:%.c=$(BUILD)/multiboot/%.o)
OBJECTS += $(LOADER_OBJECTS) $(MULTIBOOT_OBJECTS)

$(BUILD)/loader/%.o: %.c
	@mkdir -p $(@D)
	$(CC) -I. -Iinclude $(CFLAGS_LOADER) -c -o $@ $<

# Compiled as a whole: functions of one file are inlined into others, since an exit's path goes through many files.
LINK_HYPERVISOR = $(CC) $(CFLAGS_HYPERVISOR) -nostdlib -static -no-pie -Wl,--gc-sections -Wl,--build-id=none \
                  -z max-page-size=4096 -T linker.ld

# $(call hypervisor,VENDOR): build/hypervisor/VENDOR/loam.bin, the image with this backend, which is called directly.
# Without LTO in string.c, so that the compiler goes on to make a few instructions of a short memcpy().
# Linked twice: the table of function names is made from the first image and moves no function.
define hypervisor_template
$(1)_OBJECTS := $$(patsubst %.c,$(BUILD)/hypervisor/$(1)/%.o,$(HYPERVISOR_SOURCES) $(wildcard arch/x86_64/$(1)/*.c)) \
                $$(patsubst %.asm,$(BUILD)/hypervisor/$(1)/%.asm.o,$(HYPERVISOR_ASSEMBLY) $(wildcard arch/x86_64/$(1)/*.asm))
OBJECTS += $$(filter-out %.asm.o,$$($(1)_OBJECTS))

$(BUILD)/hypervisor/$(1)/%.o: CFLAGS_HYPERVISOR += -DLOAM_VENDOR=$(1)_vendor
$(BUILD)/hypervisor/$(1)/arch/x86_64/cpu/string.o: CFLAGS_HYPERVISOR += -fno-lto
$(BUILD)/hypervisor/$(1)/%.o: %.c
	@mkdir -p $$(@D)
	$$(CC) -I. -Iinclude $$(CFLAGS_HYPERVISOR) -c -o $$@ $$<

$(BUILD)/hypervisor/$(1)/arch/x86_64/$(1)/enter.asm.o: arch/x86_64/cpu/guest_registers.inc arch/x86_64/cpu/speculation.inc
$(BUILD)/hypervisor/$(1)/%.asm.o: %.asm
	@mkdir -p $$(@D)
	$$(NASM) -f elf64 -g -o $$@ $$<

$(BUILD)/hypervisor/$(1)/loam.elf: $$($(1)_OBJECTS) linker.ld tools/symbol-table
	tools/symbol-table > $$(@D)/no-symbols.c
	$$(CC) $$(CFLAGS_HYPERVISOR) -fno-lto -c -o $$(@D)/no-symbols.o $$(@D)/no-symbols.c
	$$(LINK_HYPERVISOR) -o $$(@D)/first.elf $$($(1)_OBJECTS) $$(@D)/no-symbols.o
	tools/symbol-table $$(@D)/first.elf > $$(@D)/symbols.c
	$$(CC) $$(CFLAGS_HYPERVISOR) -fno-lto -c -o $$(@D)/symbols.o $$(@D)/symbols.c
	$$(LINK_HYPERVISOR) -o $$@ $$($(1)_OBJECTS) $$(@D)/symbols.o

$(BUILD)/hypervisor/$(1)/loam.bin: $(BUILD)/hypervisor/$(1)/loam.elf
	objcopy -O binary $$< $$@
endef
$(foreach vendor,svm vmx,$(eval $(call hypervisor_template,$(vendor))))

$(BUILD)/loader/launch.o: arch/x86_64/boot/launch.asm $(BUILD)/hypervisor/svm/loam.bin $(BUILD)/hypervisor/vmx/loam.bin
	@mkdir -p $(@D)
	$(NASM) -f elf64 -DSVM_IMAGE='"$(BUILD)/hypervisor/svm/loam.bin"' -DVMX_IMAGE='"$(BUILD)/hypervisor/vmx/loam.bin"' -o $@ $<

$(BUILD)/loam.efi: $(LOADER_OBJECTS)
	$(LD) -shared -Bsymbolic -nostdlib -znocombreloc -T /usr/lib/elf_x86_64_efi.lds -L/usr/lib \
	    /usr/lib/crt0-efi-x86_64.o $(LOADER_OBJECTS) -o $(BUILD)/loader/loam.so -l:libefi.a -l:libgnuefi.a
	objcopy -j .text -j .sdata -j .data -j .dynamic -j .dynsym -j .rel -j .rela -j '.rel.*' -j '.rela.*' -j .reloc \
	    -j .rodata --target=efi-app-x86_64 --subsystem=10 $(BUILD)/loader/loam.so $@

$(BUILD)/multiboot/%.o: %.c
	@mkdir -p $(@D)
	$(CC) -I. -Iinclude $(CFLAGS_MULTIBOOT) -c -o $@ $<

$(BUILD)/multiboot/entry.o: arch/x86_64/boot/multiboot/entry.asm
	@mkdir -p $(@D)
	$(NASM) -f elf64 -o $@ $<

# kernel/log.c is there for its formatter: what the rest of it needs is not linked.
$(BUILD)/loam.mb2: $(MULTIBOOT_OBJECTS) arch/x86_64/boot/multiboot/loader.ld
	$(LD) -nostdlib -static -no-pie --gc-sections --no-warn-rwx-segments -s -T arch/x86_64/boot/multiboot/loader.ld \
	    -o $@ $(MULTIBOOT_OBJECTS)

hypervisor: $(BUILD)/loam.efi $(BUILD)/loam.mb2
.PHONY: hypervisor
all: hypervisor
