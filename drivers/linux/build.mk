# SPDX-License-Identifier: GPL-2.0-or-later
#
#   make driver        build/driver/RELEASE/mshv_loam.ko for every kernel whose headers are installed
#   make driver-dkms   build/dkms/: the source folder for DKMS (dkms add build/dkms)
#
# Kbuild writes beside the sources, so it works on copies.

DRIVER_SOURCES := $(wildcard drivers/linux/*.c drivers/linux/*.h) drivers/linux/Makefile
DRIVER_INCLUDES := $(wildcard include/hv/*.h include/uapi/*.h)
DRIVER_RELEASES := $(patsubst /lib/modules/%/build,%,$(wildcard /lib/modules/*/build))
DRIVERS := $(foreach release,$(DRIVER_RELEASES),$(BUILD)/driver/$(release)/mshv_loam.ko)

# $(call driver_copy,FOLDER): the sources as Kbuild and DKMS want them; unchanged files keep their times.
define driver_copy
	@mkdir -p $(1)/include
	@cp -pu $(DRIVER_SOURCES) $(1)/
	@cp -pru include/hv include/uapi $(1)/include/
endef

# $(call driver_module,FOLDER,RELEASE,VARIABLES): compiles the copies.
driver_module = $(MAKE) -C /lib/modules/$(2)/build M=$(abspath $(1)) KCFLAGS=-Werror $(3) modules

define driver_template
$(BUILD)/driver/$(1)/mshv_loam.ko: $(DRIVER_SOURCES) $(DRIVER_INCLUDES)
	$$(call driver_copy,$$(@D))
	$$(call driver_module,$$(@D),$(1))
	@touch $$@
endef
$(foreach release,$(DRIVER_RELEASES),$(eval $(call driver_template,$(release))))

driver: $(DRIVERS)
	@[ -n "$(DRIVERS)" ] || { echo "driver: no kernel headers are installed (linux-headers-amd64)" >&2; exit 1; }

driver-dkms: $(DRIVER_SOURCES) $(DRIVER_INCLUDES)
	$(call driver_copy,$(BUILD)/dkms)
	@cp -pu drivers/linux/dkms.conf $(BUILD)/dkms/

.PHONY: driver driver-dkms
