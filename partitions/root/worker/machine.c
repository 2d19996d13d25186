/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "partitions/root/worker/cpuid_topology.h"
#include "partitions/root/worker/linux_boot.h"
#include "partitions/root/worker/devices/acpi_tables.h"
#include "partitions/root/worker/devices/firmware_setup.h"

/* In the BIOS area, where systems that are not told look for the tables. */
#define ACPI_TABLES_ADDRESS 0xE0000u

#define FIRST_NIC_SLOT (PIIX4_SLOT + 1u)

static bool __attribute__((format(printf, 2, 3))) report(char error[MACHINE_ERROR_SIZE], const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(error, MACHINE_ERROR_SIZE, format, arguments);
    va_end(arguments);
    return false;
}

/* For functions that return a negative errno or a positive HV_STATUS. */
static bool report_result(char error[MACHINE_ERROR_SIZE], const char *step, int result)
{
    if (result < 0)
        return report(error, "cannot %s: %s", step, strerror(-result));
    return report(error, "cannot %s: the hypervisor refused (status %#x)", step, (unsigned)result);
}

/* ---- What the devices ask of the machine ---- */

static void shadow_changed(void *context, const struct host_bridge_segment *segment)
{
    struct machine *machine = context;

    if (guest_ram_set_shadow(&machine->ram, segment))
        machine->memory_errors++;
}

static void a20_changed(void *context, bool enabled)
{
    struct machine *machine = context;

    if (guest_ram_set_a20(&machine->ram, enabled))
        machine->memory_errors++;
}

static void interrupt_requested(void *context, bool level)
{
    interrupts_set_request(&((struct machine *)context)->interrupts, level);
}

static void interrupt_delivered(void *context, const struct ioapic_message *message)
{
    interrupts_deliver(&((struct machine *)context)->interrupts, message);
}

static void reset_requested(void *context)
{
    struct machine *machine = context;

    machine->events.reset(machine->events.context);
}

static void power_off_requested(void *context)
{
    struct machine *machine = context;

    machine->events.power_off(machine->events.context);
}

static void no_space(void *context, struct disk *disk)
{
    struct machine *machine = context;

    machine->events.no_space(machine->events.context, disk);
}

static void ejected(void *context)
{
    struct machine *machine = context;

    machine->events.ejected(machine->events.context);
}

static void debug_exit_written(void *context, uint32_t code)
{
    struct machine *machine = context;

    machine->events.debug_exit(machine->events.context, code);
}

/* The boot VP's thread shall look at the 8259As. */
static void attract_boot_vp(void *context)
{
    struct machine *machine = context;

    if (machine->vps.count)
        vp_attract(&machine->vps.vps[0], VP_ATTENTION_INTERRUPT);
}

static uint8_t *find_ram(void *context, uint64_t gpa, enum memory_intent intent)
{
    return guest_ram_page(&((struct machine *)context)->ram, gpa, intent);
}

/* ---- Building ---- */

static int open_file(const struct configuration_file *file, int flags, char error[MACHINE_ERROR_SIZE])
{
    int descriptor = file->descriptor;

    if (descriptor < 0)
        descriptor = open(file->path, flags | O_CLOEXEC, 0640);
    if (descriptor < 0)
        report(error, "%s: cannot be opened: %s", configuration_file_name(file), strerror(errno));
    return descriptor;
}

static bool open_kernel(struct machine *machine, char error[MACHINE_ERROR_SIZE])
{
    const struct configuration *configuration = machine->configuration;

    if (!configuration_file_given(&configuration->kernel))
        return true;
    machine->kernel = open_file(&configuration->kernel, O_RDONLY, error);
    if (machine->kernel < 0)
        return false;
    if (!configuration_file_given(&configuration->initrd))
        return true;
    machine->initrd = open_file(&configuration->initrd, O_RDONLY, error);
    return machine->initrd >= 0;
}

static bool create_partition(struct machine *machine, struct hypervisor *hypervisor, char error[MACHINE_ERROR_SIZE])
{
    const char *step;
    int result = partition_create(&machine->partition, hypervisor, &step);

    if (result)
        return report_result(error, step, result);
    if (!guest_ram_allocate(&machine->ram, machine->configuration->memory))
        return report(error, "cannot reserve %llu MiB of memory: %s",
                      (unsigned long long)(machine->configuration->memory >> 20), strerror(errno));
    if (machine->kernel < 0 && !bios_load(&machine->bios, machine->configuration, &machine->ram, error))
        return false;
    result = guest_ram_map(&machine->ram, hypervisor);
    if (result)
        return report_result(error, "give the virtual machine its memory", result);
    return true;
}

static bool register_topology(struct machine *machine, uint32_t vp, char error[MACHINE_ERROR_SIZE])
{
    struct cpuid_leaf leaves[CPUID_TOPOLOGY_LEAVES];
    size_t count = cpuid_topology(vp, machine->configuration->processors, cpuid_of_host, NULL, leaves);

    for (size_t i = 0; i < count; i++) {
        unsigned status = partition_register_cpuid(&machine->partition, vp, &leaves[i]);

        if (status != HV_STATUS_SUCCESS)
            return report_result(error, "describe the processors", (int)status);
    }
    return true;
}

static void vp_triple_fault(void *context, uint32_t vp)
{
    struct machine *machine = context;

    machine->events.triple_fault(machine->events.context, vp);
}

static void vp_failed(void *context, const char *reason)
{
    struct machine *machine = context;

    machine->events.failed(machine->events.context, reason);
}

static bool create_vps(struct machine *machine, char error[MACHINE_ERROR_SIZE])
{
    unsigned count = machine->configuration->processors;
    const struct vp_group_configuration configuration = {
        .partition = &machine->partition,
        .bus = &machine->bus,
        .device_lock = &machine->device_lock,
        .interrupts = &machine->interrupts,
        .ram = find_ram,
        .ram_context = machine,
        .triple_fault = vp_triple_fault,
        .failed = vp_failed,
        .context = machine,
    };
    char reason[VP_REASON_SIZE];

    if (!vp_group_initialize(&machine->vps, count, &configuration, reason))
        return report(error, "%s", reason);
    machine->vp_states = calloc(count, sizeof *machine->vp_states);
    if (!machine->vp_states)
        return report(error, "no memory");
    for (uint32_t i = 0; i < count; i++) {
        int result;

        if (!register_topology(machine, i, error))
            return false;
        result = vp_state_save(&machine->vp_states[i], &machine->partition, i);
        if (result)
            return report_result(error, "read a new VP's state", result);
    }
    return true;
}

static bool create_console(struct machine *machine, char error[MACHINE_ERROR_SIZE])
{
    const struct configuration *configuration = machine->configuration;
    int log = -1, previous_log = -1;
    int result;

    if (configuration_file_given(&configuration->log)) {
        log = open_file(&configuration->log, O_RDWR | O_CREAT, error);
        if (log < 0)
            return false;
    }
    if (log >= 0 && configuration_file_given(&configuration->previous_log)) {
        previous_log = open_file(&configuration->previous_log, O_RDWR | O_CREAT, error);
        if (previous_log < 0) {
            close(log);
            return false;
        }
    }
    result = console_initialize(&machine->console, &machine->device_lock, machine->loop, log, previous_log);
    return !result || report(error, "cannot make the console: %s", strerror(result));
}

/* What a port's characters go to; the console's port is not asked for here. */
static bool connect_serial(struct machine *machine, unsigned port, char error[MACHINE_ERROR_SIZE])
{
    static const enum serial_backend_kind kinds[CONFIGURATION_SERIAL_KINDS] = {
        [CONFIGURATION_SERIAL_FILE] = SERIAL_BACKEND_FILE,
        [CONFIGURATION_SERIAL_PIPE] = SERIAL_BACKEND_PIPE,
        [CONFIGURATION_SERIAL_SOCKET] = SERIAL_BACKEND_SOCKET,
    };
    static const int flags[CONFIGURATION_SERIAL_KINDS] = {
        [CONFIGURATION_SERIAL_FILE] = O_WRONLY | O_CREAT | O_APPEND,
        [CONFIGURATION_SERIAL_PIPE] = O_RDWR | O_NONBLOCK,
    };
    const struct configuration_serial *serial = &machine->configuration->serial[port];
    struct serial_backend_configuration backend = {
        .kind = kinds[serial->kind], .input = -1, .output = -1, .listener = -1};
    int descriptor = -1, result;

    if (serial->kind == CONFIGURATION_SERIAL_SOCKET && serial->file.descriptor < 0)
        return report(error, "%s: a serial port's socket is given by descriptor, listening",
                      configuration_file_name(&serial->file));
    if (serial->kind != CONFIGURATION_SERIAL_NONE)
        descriptor = open_file(&serial->file, flags[serial->kind], error);
    if (serial->kind != CONFIGURATION_SERIAL_NONE && descriptor < 0)
        return false;
    if (serial->kind == CONFIGURATION_SERIAL_SOCKET)
        backend.listener = descriptor;
    else
        backend.output = descriptor;
    if (serial->kind == CONFIGURATION_SERIAL_PIPE)
        backend.input = descriptor;
    result = serial_backend_initialize(&machine->serial[port], &machine->device_lock, machine->loop, &backend);
    return !result || report(error, "cannot connect COM%u: %s", port + 1, strerror(result));
}

static bool connect_ports(struct machine *machine, struct platform_configuration *platform,
                          char error[MACHINE_ERROR_SIZE])
{
    for (unsigned i = 0; i < CONFIGURATION_SERIAL; i++) {
        bool console = machine->configuration->serial[i].kind == CONFIGURATION_SERIAL_CONSOLE;

        if (!console && !connect_serial(machine, i, error))
            return false;
        platform->com[i] = console ? console_backend(&machine->console) : serial_backend_of(&machine->serial[i]);
    }
    return true;
}

static void set_ports(struct machine *machine)
{
    for (unsigned i = 0; i < CONFIGURATION_SERIAL; i++)
        if (machine->configuration->serial[i].kind == CONFIGURATION_SERIAL_CONSOLE)
            console_set_port(&machine->console, &machine->platform.com[i]);
        else
            serial_backend_set_port(&machine->serial[i], &machine->platform.com[i]);
}

static bool create_debug_exit(struct machine *machine, char error[MACHINE_ERROR_SIZE])
{
    uint16_t port = machine->configuration->debug_exit;

    return !port || debug_exit_initialize(&machine->debug_exit, &machine->bus, port, debug_exit_written, machine) ||
           report(error, "debug_exit: port %#x is a device's", port);
}

static bool create_board(struct machine *machine, char error[MACHINE_ERROR_SIZE])
{
    const struct platform_outputs outputs = {
        .interrupt_request = interrupt_requested,
        .deliver = interrupt_delivered,
        .shadow_changed = shadow_changed,
        .a20 = a20_changed,
        .reset = reset_requested,
        .power_off = power_off_requested,
        .context = machine,
    };
    struct platform_configuration configuration = {
        .memory_below_4g = machine->ram.below_4g,
        .memory_above_4g = machine->ram.above_4g,
        .memory = &machine->ram.memory,
    };
    struct timespec now;
    int result;

    result = host_timer_initialize(&machine->host_timer, &machine->timers, &machine->device_lock, machine->loop);
    if (result)
        return report(error, "cannot make a timer: %s", strerror(result));
    clock_gettime(CLOCK_REALTIME, &now);
    configuration.unix_time = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    machine->interrupts = (struct interrupts){
        .partition = &machine->partition,
        .device_lock = &machine->device_lock,
        .ioapic = &machine->platform.ioapic,
        .pic = &machine->platform.pic,
        .attract = attract_boot_vp,
        .context = machine,
    };
    bus_initialize(&machine->bus);
    if (!connect_ports(machine, &configuration, error))
        return false;
    if (!platform_initialize(&machine->platform, &machine->bus, &machine->timers, &configuration, &outputs))
        return report(error, "the bus has no room for the devices");
    set_ports(machine);
    return true;
}

static bool create_storage(struct machine *machine, char error[MACHINE_ERROR_SIZE])
{
    const struct storage_configuration configuration = {
        .machine = machine->configuration,
        .platform = &machine->platform,
        .memory = &machine->ram.memory,
        .device_lock = &machine->device_lock,
        .no_space = no_space,
        .ejected = ejected,
        .context = machine,
    };

    return storage_create(&machine->storage, &configuration, error);
}

static bool create_graphics(struct machine *machine, char error[MACHINE_ERROR_SIZE])
{
    if (!machine->configuration->graphics)
        return true;
    if (!graphics_create(&machine->graphics, &machine->platform, &machine->ram, &machine->device_lock,
                         &machine->memory_errors, error))
        return false;
    machine->screen = &machine->graphics.screen;
    return true;
}

/* The ROM is there from the start. */
static bool create_firmware(struct machine *machine, char error[MACHINE_ERROR_SIZE])
{
    if (machine->kernel >= 0)
        return true;
    for (unsigned i = 0; i < HOST_BRIDGE_SEGMENTS; i++)
        shadow_changed(machine, &machine->platform.host_bridge.segments[i]);
    if (machine->memory_errors)
        return report(error, "cannot map the firmware: the hypervisor refused");
    return bios_create(&machine->bios, machine->configuration, &machine->bus, &machine->ram, &machine->storage, error);
}

static bool create_nic(struct machine *machine, unsigned index, char error[MACHINE_ERROR_SIZE])
{
    const struct configuration_nic *nic = &machine->configuration->nics[index];
    struct dec21140 *card = calloc(1, sizeof *card);
    struct network_port *port = card ? network_add_port(&machine->network, nic, card) : NULL;
    struct dec21140_configuration configuration = {.memory = &machine->ram.memory, .timers = &machine->timers};

    machine->cards[index] = card;
    if (!port)
        return report(error, "no memory");
    memcpy(configuration.mac_address, nic->mac, sizeof nic->mac);
    configuration.backend = network_backend(port);
    if (!dec21140_initialize(card, &machine->platform.pci, FIRST_NIC_SLOT + index, &configuration))
        return report(error, "the PCI bus has no place for network adapter %u", index);
    return network_connect(port, error, MACHINE_ERROR_SIZE);
}

static bool create_nics(struct machine *machine, char error[MACHINE_ERROR_SIZE])
{
    int result = network_initialize(&machine->network, machine->configuration->name, &machine->device_lock);

    if (result)
        return report(error, "cannot make the network: %s", strerror(result));
    for (unsigned i = 0; i < machine->configuration->nic_count; i++)
        if (!create_nic(machine, i, error))
            return false;
    return true;
}

struct machine *machine_create(const struct configuration *configuration, struct hypervisor *hypervisor,
                               struct event_loop *loop, const struct machine_events *events,
                               char error[MACHINE_ERROR_SIZE])
{
    struct machine *machine = calloc(1, sizeof *machine);
    char ignored[MACHINE_ERROR_SIZE];

    if (!machine) {
        report(error, "no memory");
        return NULL;
    }
    machine->configuration = configuration;
    machine->events = *events;
    machine->loop = loop;
    machine->kernel = machine->initrd = -1;
    pthread_mutex_init(&machine->device_lock, NULL);
    if (open_kernel(machine, error) && create_partition(machine, hypervisor, error) && create_console(machine, error) &&
        create_board(machine, error) && create_debug_exit(machine, error) && create_storage(machine, error) &&
        create_graphics(machine, error) && create_firmware(machine, error) && create_nics(machine, error) &&
        create_vps(machine, error))
        return machine;
    machine_destroy(machine, ignored);
    return NULL;
}

bool machine_start_threads(struct machine *machine, char error[MACHINE_ERROR_SIZE])
{
    int result;

    if (!storage_start(&machine->storage, error))
        return false;
    result = network_start(&machine->network);
    if (result)
        return report(error, "cannot start the network's thread: %s", strerror(result));
    result = vp_group_start(&machine->vps);
    return !result || report(error, "cannot start a VP's thread: %s", strerror(-result));
}

/* ---- Firmware's part ---- */

static bool set_chipset_up(struct machine *machine, char error[MACHINE_ERROR_SIZE])
{
    struct mc146818_start start = {.processors = machine->configuration->processors};
    bool ok;

    pthread_mutex_lock(&machine->device_lock);
    ok = firmware_setup(&machine->platform);
    for (unsigned channel = 0; ok && channel < IDE_CHANNELS; channel++)
        pci_config_write(&machine->platform.pci, PIIX4_SLOT, PIIX4_IDE_FUNCTION, IDE_PCI_TIMING(channel), 2,
                         IDE_PCI_TIMING_DECODE);
    storage_describe(&machine->storage, &start);
    mc146818_set_start(&machine->platform.rtc, &start); /* where Linux looks for floppy drives */
    pthread_mutex_unlock(&machine->device_lock);
    if (!ok)
        return report(error, "the PCI windows have no room for the devices' registers");
    return !machine->memory_errors || report(error, "cannot map shadow RAM: the hypervisor refused");
}

static bool load_kernel(struct machine *machine, struct linux_entry *entry, char error[MACHINE_ERROR_SIZE])
{
    const struct configuration *configuration = machine->configuration;
    uint8_t tables[ACPI_TABLES_MAXIMUM_LENGTH];
    size_t length = acpi_tables_build(tables, sizeof tables, ACPI_TABLES_ADDRESS, configuration->processors);
    struct linux_boot boot = {
        .kernel = machine->kernel,
        .initrd = machine->initrd,
        .command_line = configuration->command_line,
        .memory = &machine->ram.memory,
        .below_4g = machine->ram.below_4g,
        .above_4g = machine->ram.above_4g,
        .acpi_tables = ACPI_TABLES_ADDRESS,
        .acpi_length = (uint32_t)length,
    };
    char kernel_name[256], boot_error[LINUX_BOOT_ERROR_SIZE];

    if (partition_get_property(&machine->partition, HV_PARTITION_PROPERTY_PROCESSOR_CLOCK_FREQUENCY,
                               &boot.tsc_frequency) != HV_STATUS_SUCCESS)
        boot.tsc_frequency = 0;
    /* Two calls of configuration_file_name share a buffer. */
    snprintf(kernel_name, sizeof kernel_name, "%s", configuration_file_name(&configuration->kernel));
    boot.kernel_name = kernel_name;
    boot.initrd_name = configuration_file_name(&configuration->initrd);
    if (!length || !guest_memory_write(&machine->ram.memory, ACPI_TABLES_ADDRESS, tables, length))
        return report(error, "cannot place the ACPI tables");
    return linux_boot_load(&boot, entry, boot_error) || report(error, "%s", boot_error);
}

static bool start_firmware(struct machine *machine)
{
    pthread_mutex_lock(&machine->device_lock);
    bios_start(&machine->bios, &machine->platform);
    pthread_mutex_unlock(&machine->device_lock);
    return true;
}

bool machine_load_guest(struct machine *machine, char error[MACHINE_ERROR_SIZE])
{
    struct hv_register_assoc registers[LINUX_ENTRY_REGISTERS];
    struct linux_entry entry;
    unsigned status;

    if (machine->kernel < 0)
        return start_firmware(machine);
    if (!set_chipset_up(machine, error) || !load_kernel(machine, &entry, error))
        return false;
    for (uint32_t i = 0; i < machine->vps.count; i++) {
        int result = vp_state_set_up(&machine->partition, i, PLATFORM_PCI_WINDOW);

        if (result)
            return report_result(error, "set a VP up", result);
    }
    status = partition_set_registers(&machine->partition, 0, registers, linux_entry_registers(&entry, registers));
    return status == HV_STATUS_SUCCESS || report_result(error, "set the boot VP's registers", (int)status);
}

bool machine_reset(struct machine *machine, char error[MACHINE_ERROR_SIZE])
{
    pthread_mutex_lock(&machine->device_lock);
    platform_reset(&machine->platform);
    storage_reset(&machine->storage);
    interrupts_reset(&machine->interrupts);
    pthread_mutex_unlock(&machine->device_lock);
    for (uint32_t i = 0; i < machine->vps.count; i++) {
        int result = vp_state_restore(&machine->vp_states[i], &machine->partition, i);

        if (result)
            return report_result(error, "reset a VP", result);
    }
    return true;
}

bool machine_is_quiet(struct machine *machine)
{
    bool quiet;

    pthread_mutex_lock(&machine->device_lock);
    quiet = storage_is_quiet(&machine->storage);
    pthread_mutex_unlock(&machine->device_lock);
    return quiet;
}

bool machine_freeze(struct machine *machine, bool frozen, char error[MACHINE_ERROR_SIZE])
{
    unsigned status = partition_set_property(&machine->partition, HV_PARTITION_PROPERTY_TIME_FREEZE, frozen);

    if (status != HV_STATUS_SUCCESS)
        return report_result(error, frozen ? "stop guest time" : "let guest time go on", (int)status);
    pthread_mutex_lock(&machine->device_lock);
    if (frozen)
        timer_queue_freeze(&machine->timers);
    else
        timer_queue_thaw(&machine->timers);
    pthread_mutex_unlock(&machine->device_lock);
    return true;
}

void machine_tidy(struct machine *machine)
{
    storage_tidy(&machine->storage);
}

/* ---- Taking apart; also of what machine_create left half done ---- */

bool machine_destroy(struct machine *machine, char error[MACHINE_ERROR_SIZE])
{
    bool ok;

    if (machine->vps.vps)
        vp_group_end(&machine->vps);
    if (machine->network.name)
        network_end(&machine->network);
    ok = storage_close(&machine->storage, error);
    if (machine->host_timer.queue)
        host_timer_close(&machine->host_timer, machine->loop);
    for (unsigned i = 0; i < CONFIGURATION_SERIAL; i++)
        if (machine->serial[i].device_lock)
            serial_backend_close(&machine->serial[i]);
    if (machine->console.replay)
        console_close(&machine->console);
    for (uint32_t i = 0; machine->vp_states && i < machine->configuration->processors; i++)
        vp_state_free(&machine->vp_states[i]);
    free(machine->vp_states);
    for (unsigned i = 0; i < CONFIGURATION_NICS; i++)
        free(machine->cards[i]);
    graphics_free(&machine->graphics);
    bios_free(&machine->bios);
    guest_ram_free(&machine->ram);
    if (machine->kernel >= 0)
        close(machine->kernel);
    if (machine->initrd >= 0)
        close(machine->initrd);
    pthread_mutex_destroy(&machine->device_lock);
    free(machine);
    return ok;
}
