# SPDX-License-Identifier: GPL-2.0-or-later
# loam-switch, and the adapter's side of its ports, which the worker links.

NET := partitions/root/net
LWIP := $(BUILD)/lwip
LWIP_SOURCE := $(LWIP)/src/src

# Which lwIP: "source" or "package", found out once (tools/fetch-lwip) and read by the recipes below.
$(LWIP)/kind: tools/fetch-lwip
	@mkdir -p $(@D)
	@tools/fetch-lwip $(LWIP); case $$? in \
	    0) echo source ;; \
	    2) [ -f /usr/include/lwip/lwip/init.h ] || \
	           { echo "install liblwip-dev to build without lwIP's source" >&2; exit 1; }; \
	       echo "building against liblwip-dev instead (remove $(LWIP) to try again)" >&2; echo package ;; \
	    *) exit 1 ;; \
	esac >$@

# Recipes run long after this file is read, when the kind is known.
LWIP_KIND = $(shell cat $(LWIP)/kind)
LWIP_FLAGS_source := -isystem $(NET)/lwip -isystem $(LWIP_SOURCE)/include
LWIP_FLAGS_package := -isystem /usr/include/lwip
LWIP_FLAGS = $(LWIP_FLAGS_$(LWIP_KIND))
LWIP_LIBRARY_package := -llwip -lpthread
LWIP_LIBRARY = $(LWIP_LIBRARY_$(LWIP_KIND))

LWIP_FILES := core/def core/inet_chksum core/init core/ip core/mem core/memp core/netif core/pbuf core/tcp \
              core/tcp_in core/tcp_out core/ipv4/ip4 core/ipv4/ip4_addr core/ipv4/ip4_frag

# $(call lwip_archive_template,NAME,COMPILER AND FLAGS): an archive of lwIP; an empty one if it comes as a package.
define lwip_archive_template
$(LWIP)/$(1)/%.o: $(LWIP)/kind $(NET)/lwip/lwipopts.h $(NET)/lwip/arch/cc.h
	@mkdir -p $$(@D)
	$(2) -I. $$(LWIP_FLAGS) -w -c -o $$@ $(LWIP_SOURCE)/$$*.c
$(LWIP)/$(1).a: $(LWIP)/kind $(NET)/lwip/lwipopts.h $(NET)/lwip/arch/cc.h $(NET)/checksum.h
	@rm -f $$@
	+@if [ $$(LWIP_KIND) = source ]; then \
	    $(MAKE) --no-print-directory $(patsubst %,$(LWIP)/$(1)/%.o,$(LWIP_FILES)) && \
	    ar crs $$@ $(patsubst %,$(LWIP)/$(1)/%.o,$(LWIP_FILES)); \
	else \
	    ar cr $$@; \
	fi
endef
$(eval $(call lwip_archive_template,program,$(CC) $(CFLAGS_PROGRAM)))
$(eval $(call lwip_archive_template,unit,$(CC) $(CFLAGS_UNIT)))
$(eval $(call lwip_archive_template,fuzz,$(CLANG) $(CFLAGS_FUZZ)))

SWITCH_CORE := $(patsubst %,$(NET)/%.c,boot_file bridge checksum coalesce control dhcp_server dns event_loop flow_key forward frame \
               gateway ipv4_output lease nat_icmp nat_policy nat_tcp nat_udp neighbour packet port port_holder port_message shadow \
               stack subnet tcp_flow vswitch)

$(call program,loam-switch,$(SWITCH_CORE) $(patsubst %,$(NET)/%.c,host_network sandbox switch) \
    partitions/root/confinement.c,$$(LWIP_LIBRARY) -ljansson -lseccomp)
$(BUILD)/bin/loam-switch: $(LWIP)/program.a

# Whatever includes lwIP's headers waits for them.
NET_OBJECTS := $(filter-out $(patsubst %,$(NET)/%.o,boot_file event_loop flow_key nic_port packet port_holder port_message subnet),$(patsubst %.c,%.o,$(wildcard $(NET)/*.c)))
$(addprefix $(BUILD)/program/,$(NET_OBJECTS)) $(addprefix $(BUILD)/unit/object/,$(NET_OBJECTS)): \
    CPPFLAGS_EXTRA = $(LWIP_FLAGS)
$(addprefix $(BUILD)/program/,$(NET_OBJECTS)) $(addprefix $(BUILD)/unit/object/,$(NET_OBJECTS)): | $(LWIP)/kind

# The end-to-end test, tests/unit/switch_test.py, makes children of network namespaces with this.
$(BUILD)/unit/switch-tap: $(patsubst %,$(BUILD)/program/%.o,tests/unit/switch_tap $(NET)/nic_port $(NET)/packet $(NET)/port_message)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_PROGRAM) -o $@ $^

# All of the switch but its ways out, in place of which there is a fake.
SWITCH_TEST_LIBRARIES := $$(LWIP_LIBRARY) -ljansson
FAKE_SWITCH := tests/unit/fake_host_network.c $(SWITCH_CORE)

$(call unit_test,switch_subnet_test,tests/unit/switch_subnet_test.c $(FAKE_SWITCH),$(SWITCH_TEST_LIBRARIES))
$(call unit_test,switch_dhcp_test,tests/unit/switch_dhcp_test.c $(patsubst %,$(NET)/%.c,boot_file dhcp_server lease packet subnet))
$(call unit_test,switch_bridge_test,tests/unit/switch_bridge_test.c tests/unit/switch_fixture.c $(FAKE_SWITCH),$(SWITCH_TEST_LIBRARIES))
$(call unit_test,switch_nat_test,tests/unit/switch_nat_test.c tests/unit/switch_fixture.c $(FAKE_SWITCH),$(SWITCH_TEST_LIBRARIES))
$(call unit_test,switch_control_test,tests/unit/switch_control_test.c tests/unit/switch_fixture.c $(FAKE_SWITCH),$(SWITCH_TEST_LIBRARIES))
$(call unit_test,nic_port_test,tests/unit/nic_port_test.c $(NET)/nic_port.c $(NET)/port_message.c)
SWITCH_TESTS := $(patsubst %,switch_%_test,subnet bridge nat control)
$(addprefix $(BUILD)/unit/,$(SWITCH_TESTS)): $(LWIP)/unit.a
# These include the switch's headers, which include lwIP's.
SWITCH_TEST_OBJECTS := $(patsubst %,$(BUILD)/unit/object/tests/unit/%.o,$(SWITCH_TESTS) switch_fixture switch_dhcp_test)
$(SWITCH_TEST_OBJECTS): CPPFLAGS_EXTRA = $(LWIP_FLAGS)
$(SWITCH_TEST_OBJECTS): | $(LWIP)/kind

SWITCH_FUZZ_SOURCES := tests/fuzz/switch_frame_fuzz.c tests/fuzz/fuzz_input.c $(FAKE_SWITCH)
$(call fuzzer,switch_frame,$(SWITCH_FUZZ_SOURCES),$$(LWIP_LIBRARY) -ljansson)
$(BUILD)/fuzz/switch_frame: $(LWIP)/fuzz.a
SWITCH_FUZZ_OBJECTS := $(SWITCH_FUZZ_SOURCES:%.c=$(BUILD)/fuzz/object/%.o)
$(SWITCH_FUZZ_OBJECTS): CPPFLAGS_EXTRA = $(LWIP_FLAGS)
$(SWITCH_FUZZ_OBJECTS): | $(LWIP)/kind
TEST_PROGRAMS += $(BUILD)/unit/switch-tap
