/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A whole machine over a scripted hypervisor: how it is put together, what firmware's part leaves behind, its
 * life from start to Off, and the control socket.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "hv/loam.h"
#include "partitions/root/disk/file.h"
#include "partitions/root/disk/chain.h"
#include "partitions/root/disk/create.h"
#include "partitions/root/disk/remote_file.h"
#include "partitions/root/worker/control.h"
#include "partitions/root/worker/life_cycle.h"
#include "partitions/root/worker/machine.h"
#include "tests/unit/fake_fetch.h"
#include "tests/unit/fake_hypervisor.h"
#include "tests/unit/worker_loop.h"

#define MIB          (1ull << 20)
#define MEMORY       (32 * MIB)
#define LOAD_ADDRESS (16 * MIB)
#define PM_CONTROL   (PLATFORM_PM_BASE + PIIX4_PM1_CONTROL)
#define PM_ENABLE    (PLATFORM_PM_BASE + PIIX4_PM1_ENABLE)
#define DISK_SECTORS 64
#define PROCESSORS   4
#define DEBUG_EXIT   0x500

static struct {
    char directory[64];
    char disk[512]; /* of the configuration, as JSON; empty: a raw image */
    char disk_path[96], image_path[96], control_path[96], log_path[96];
    int kernel;
    struct configuration *configuration;
    struct fake_hypervisor fake;
    struct event_loop loop;
    struct life_cycle life_cycle;
    struct control control;
    struct machine *machine;
    char error[MACHINE_ERROR_SIZE];
    unsigned changes;
    int client;
} test;

static void state_changed(void *context)
{
    (void)context;
    test.changes++;
    if (test.control.life_cycle)
        control_announce(&test.control);
}

/* A kernel whose payload is 16 KiB of 5Ah. */
static int make_kernel(void)
{
    static uint8_t file[5 * 512 + 0x4000];
    int descriptor = memfd_create("kernel", MFD_CLOEXEC);
    const uint64_t preferred = LOAD_ADDRESS;

    memset(file + 5 * 512, 0x5A, 0x4000);
    file[0x1F1] = 4;
    memcpy(file + 0x1F4, &(uint32_t){0x400}, 4);
    memcpy(file + 0x1FE,
           "\x55\xAA\xEB\x6C"
           "HdrS\x0F\x02",
           10);
    file[0x211] = 1;
    memcpy(file + 0x22C, &(uint32_t){0x7FFFFFFF}, 4);
    file[0x236] = 1;
    memcpy(file + 0x238, &(uint32_t){255}, 4);
    memcpy(file + 0x258, &preferred, 8);
    memcpy(file + 0x260, &(uint32_t){0x8000}, 4);
    assert_int_equal(write(descriptor, file, sizeof file), sizeof file);
    return descriptor;
}

static struct configuration *make_configuration(bool reboot, unsigned processors)
{
    char text[2048], error[FIELDS_ERROR_SIZE];
    struct configuration *configuration;

    snprintf(text, sizeof text,
             "{\"version\":1, \"name\":\"web1\", \"memory\":%llu, \"processors\":%u, \"kernel\":{\"fd\":%d},"
             " \"command_line\":\"quiet\", \"disks\":[{\"path\":\"%s\", %s}],"
             " \"dvds\":[{}], \"floppies\":[{}], \"debug_exit\":%u,"
             " \"nics\":[{\"mac\":\"00-15-5D-00-00-01\"}], \"log\":{\"path\":\"%s\"}, \"reboot\":%s}",
             (unsigned long long)MEMORY, processors, dup(test.kernel), test.disk_path,
             test.disk[0] ? test.disk : "\"format\":\"raw\"", DEBUG_EXIT, test.log_path, reboot ? "true" : "false");
    configuration = configuration_parse(text, "test", error);
    if (!configuration)
        fail_msg("%s", error);
    return configuration;
}

/* Everything but the guest's start. */
static void create(bool reboot, unsigned processors)
{
    fake_hypervisor_initialize(&test.fake);
    for (unsigned i = 0; i < processors; i++) { /* some power-on state to recognise */
        fake_set_register(&test.fake, i, HV_X64_REGISTER_RDX, 0x800F12);
        fake_set_register(&test.fake, i, HV_REGISTER_INTERNAL_ACTIVITY_STATE, i == 0 ? 0 : HV_ACTIVITY_STARTUP_SUSPEND);
    }
    test.configuration = make_configuration(reboot, processors);
    assert_int_equal(event_loop_initialize(&test.loop), 0);
    assert_int_equal(life_cycle_initialize(&test.life_cycle, &test.loop, reboot, state_changed, NULL), 0);
    const struct machine_events events = life_cycle_events(&test.life_cycle);
    test.machine = machine_create(test.configuration, &test.fake.hypervisor, &test.loop, &events, test.error);
    if (!test.machine)
        fail_msg("%s", test.error);
    int listener = control_listen(test.control_path, test.error);
    if (listener < 0)
        fail_msg("%s", test.error);
    assert_int_equal(control_initialize(&test.control, &test.loop, listener), 0);
    control_set_machine(&test.control, &test.life_cycle, test.machine);
    if (!machine_start_threads(test.machine, test.error))
        fail_msg("%s", test.error);
}

static void destroy(void)
{
    if (test.client >= 0)
        close(test.client);
    test.client = -1;
    control_close(&test.control);
    assert_true(machine_destroy(test.machine, test.error));
    life_cycle_close(&test.life_cycle);
    event_loop_close(&test.loop);
    configuration_free(test.configuration);
    fake_hypervisor_destroy(&test.fake);
}

static void set_up_files(void)
{
    memset(&test, 0, sizeof test);
    test.client = -1;
    strcpy(test.directory, "/tmp/machine_test.XXXXXX");
    assert_non_null(mkdtemp(test.directory));
    snprintf(test.disk_path, sizeof test.disk_path, "%s/disk.raw", test.directory);
    snprintf(test.image_path, sizeof test.image_path, "%s/image", test.directory);
    snprintf(test.control_path, sizeof test.control_path, "%s/control", test.directory);
    snprintf(test.log_path, sizeof test.log_path, "%s/log", test.directory);
    int disk = open(test.disk_path, O_RDWR | O_CREAT, 0600);
    assert_int_equal(ftruncate(disk, DISK_SECTORS * 512), 0);
    close(disk);
    test.kernel = make_kernel();
}

static int set_up(void **state)
{
    (void)state;
    set_up_files();
    create(true, 1);
    return 0;
}

static int tear_down(void **state)
{
    char previous[128];

    (void)state;
    destroy();
    close(test.kernel);
    snprintf(previous, sizeof previous, "%s.1", test.log_path);
    unlink(previous);
    unlink(test.disk_path);
    unlink(test.image_path);
    unlink(test.control_path);
    unlink(test.log_path);
    assert_int_equal(rmdir(test.directory), 0);
    return 0;
}

static void run_until(enum machine_state state)
{
    while (test.life_cycle.state != state) {
        event_loop_wait(&test.loop, -1);
        event_loop_dispatch(&test.loop);
    }
}

static void start(void)
{
    if (!life_cycle_start(&test.life_cycle, test.machine))
        fail_msg("%s", test.life_cycle.detail);
}

/* A port access by the guest's processor; it has been answered on return. */
static void guest_out(uint16_t port, unsigned size, uint32_t value)
{
    pthread_mutex_lock(&test.fake.lock);
    test.fake.vps[0].page.gp_registers[0] = value;
    pthread_mutex_unlock(&test.fake.lock);
    fake_port(&test.fake, 0, true, port, size);
}

static uint32_t port_in(uint16_t port, unsigned size)
{
    uint64_t value;

    pthread_mutex_lock(&test.machine->device_lock);
    value = bus_read(&test.machine->bus, BUS_PORTS, port, size);
    pthread_mutex_unlock(&test.machine->device_lock);
    return (uint32_t)value;
}

static void port_out(uint16_t port, unsigned size, uint32_t value)
{
    pthread_mutex_lock(&test.machine->device_lock);
    bus_write(&test.machine->bus, BUS_PORTS, port, size, value);
    pthread_mutex_unlock(&test.machine->device_lock);
}

static uint32_t pci_in(unsigned slot, unsigned function, unsigned offset)
{
    port_out(0xCF8, 4, 0x80000000 | slot << 11 | function << 8 | (offset & 0xFC));
    return port_in(0xCFC, 4);
}

/* ---- Assembly ---- */

static void test_memory_is_mapped(void **state)
{
    const struct mshv_user_mem_region *low, *high, *shadow;
    const uint8_t all = MSHV_SET_MEM_WRITABLE | MSHV_SET_MEM_EXECUTABLE;

    (void)state;
    start();
    low = fake_region(&test.fake, 0);
    assert_int_equal(low->size, 0xA0000);
    assert_int_equal(low->flags, all);
    assert_int_equal(low->userspace_addr % (2 * MIB), 0); /* large pages fit */
    assert_null(fake_region(&test.fake, 0xA0000));
    assert_null(fake_region(&test.fake, 0xBFFFF));
    for (uint64_t gpa = 0xC0000; gpa < 0x100000; gpa += 0x4000) {
        shadow = fake_region(&test.fake, gpa);
        assert_non_null(shadow);
        assert_int_equal(shadow->flags, all); /* firmware left it readable and writable */
        assert_int_equal(shadow->userspace_addr - low->userspace_addr, shadow->guest_pfn << HV_PAGE_SHIFT);
    }
    high = fake_region(&test.fake, GUEST_RAM_HIGH_MEMORY);
    assert_int_equal(high->size, GUEST_RAM_WRAP - GUEST_RAM_HIGH_MEMORY);
    assert_int_equal(high->userspace_addr, low->userspace_addr + GUEST_RAM_HIGH_MEMORY);
    high = fake_region(&test.fake, GUEST_RAM_WRAP);
    assert_int_equal(high->size, MEMORY - GUEST_RAM_WRAP);
    assert_int_equal(high->userspace_addr, low->userspace_addr + GUEST_RAM_WRAP);
    assert_null(fake_region(&test.fake, MEMORY));
}

static void test_shadow_ram_follows_its_registers(void **state)
{
    struct guest_ram *ram = &test.machine->ram;

    (void)state;
    start();
    /* PAM1 low half: C0000h-C3FFFh */
    port_out(0xCF8, 4, 0x80000058);
    port_out(0xCFC + 2, 1, 0x31);
    assert_int_equal(fake_region(&test.fake, 0xC0000)->flags, MSHV_SET_MEM_EXECUTABLE);
    assert_non_null(guest_ram_page(ram, 0xC0010, MEMORY_READ));
    assert_null(guest_ram_page(ram, 0xC0010, MEMORY_WRITE));
    port_out(0xCFC + 2, 1, 0x32); /* write-only: seen access by access */
    assert_null(fake_region(&test.fake, 0xC0000));
    assert_null(guest_ram_page(ram, 0xC0010, MEMORY_READ));
    assert_non_null(guest_ram_page(ram, 0xC0010, MEMORY_WRITE));
    port_out(0xCFC + 2, 1, 0x30);
    assert_null(guest_ram_page(ram, 0xC0010, MEMORY_WRITE));
    assert_non_null(guest_ram_page(ram, 0xC4010, MEMORY_WRITE)); /* the neighbour */
    assert_null(guest_ram_page(ram, 0xA0000, MEMORY_READ));
    assert_int_equal(test.machine->memory_errors, 0);
}

/* Without it, the 64 KiB above 1 MiB are the lowest; a reset brings it back. */
static void test_address_line_20(void **state)
{
    struct guest_ram *ram = &test.machine->ram;
    const uint64_t gpa = GUEST_RAM_HIGH_MEMORY + 0x123;

    (void)state;
    start();
    port_out(0x64, 1, 0xD1); /* the keyboard controller's output port, then port 92h */
    port_out(0x60, 1, 0xDD);
    assert_ptr_equal(guest_ram_page(ram, gpa, MEMORY_WRITE), ram->host + 0x123);
    assert_int_equal(fake_region(&test.fake, GUEST_RAM_HIGH_MEMORY)->userspace_addr, (uintptr_t)ram->host);
    port_out(0x92, 1, 2);
    assert_ptr_equal(guest_ram_page(ram, gpa, MEMORY_WRITE), ram->host + gpa);
    port_out(0x92, 1, 0);
    assert_ptr_equal(guest_ram_page(ram, gpa, MEMORY_READ), ram->host + 0x123);
    assert_ptr_equal(guest_ram_page(ram, GUEST_RAM_WRAP, MEMORY_READ), ram->host + GUEST_RAM_WRAP);
    assert_int_equal(test.machine->memory_errors, 0);
}

/* The firmware ends at 4 GiB, and its end lies behind the shadow RAM; RAM keeps what is written over it. */
static void test_rom(void **state)
{
    static uint8_t image[256 << 10];
    const struct host_bridge_segment rom = {.gpa = 0xF0000, .length = 0x10000},
                                     copying = {0xF0000, 0x10000, .write_ram = true},
                                     shadowed = {0xF0000, 0x10000, true, true},
                                     option = {.gpa = 0xC0000, .length = 0x4000};
    struct fake_hypervisor fake;
    struct guest_ram ram;
    uint8_t *page;

    (void)state;
    fake_hypervisor_initialize(&fake);
    for (size_t i = 0; i < sizeof image; i++)
        image[i] = (uint8_t)(i >> 12);
    assert_true(guest_ram_allocate(&ram, 16 << 20));
    assert_true(guest_ram_set_rom(&ram, image, sizeof image));
    assert_int_equal(guest_ram_map(&ram, &fake.hypervisor), 0);
    assert_int_equal(fake_region(&fake, 0xFFFC0000)->size, sizeof image);
    assert_int_equal(fake_region(&fake, 0xFFFC0000)->flags, MSHV_SET_MEM_EXECUTABLE);
    page = guest_ram_page(&ram, 0xFFFFF000, MEMORY_EXECUTE);
    assert_int_equal(*page, 63);
    assert_null(guest_ram_page(&ram, 0xFFFFF000, MEMORY_WRITE));
    assert_int_equal(guest_ram_set_shadow(&ram, &rom), 0);
    assert_int_equal(*guest_ram_page(&ram, 0xF1000, MEMORY_EXECUTE), 49);
    assert_null(guest_ram_page(&ram, 0xF1000, MEMORY_WRITE));
    assert_int_equal(guest_ram_set_shadow(&ram, &copying), 0);
    assert_int_equal(fake_region(&fake, 0xF0000)->flags, MSHV_SET_MEM_EXECUTABLE);
    *guest_ram_page(&ram, 0xF1000, MEMORY_WRITE) = 0xAB;
    assert_int_equal(*guest_ram_page(&ram, 0xF1000, MEMORY_READ), 49);
    assert_int_equal(guest_ram_set_shadow(&ram, &shadowed), 0);
    assert_int_equal(*guest_ram_page(&ram, 0xF1000, MEMORY_READ), 0xAB);
    assert_int_equal(guest_ram_set_shadow(&ram, &option), 0);
    assert_null(guest_ram_page(&ram, 0xC0000, MEMORY_READ));
    guest_ram_free(&ram);
}

static void test_device_memory(void **state)
{
    static uint8_t pages[2 * HV_PAGE_SIZE] __attribute__((aligned(4096)));
    struct fake_hypervisor fake;
    struct guest_ram ram;

    (void)state;
    fake_hypervisor_initialize(&fake);
    assert_true(guest_ram_allocate(&ram, 16 << 20));
    assert_int_equal(guest_ram_map(&ram, &fake.hypervisor), 0);
    assert_int_equal(guest_ram_show(&ram, 0xA0000, sizeof pages, pages), 0);
    assert_int_equal(guest_ram_show(&ram, 0xA1000, HV_PAGE_SIZE, pages), -EEXIST);
    assert_ptr_equal(guest_ram_page(&ram, 0xA1234, MEMORY_WRITE), pages + 0x1234);
    assert_null(guest_ram_page(&ram, 0xA2000, MEMORY_READ));
    assert_int_equal(guest_ram_hide(&ram, 0xA0000), 0);
    assert_null(fake_region(&fake, 0xA0000));
    assert_null(guest_ram_page(&ram, 0xA0000, MEMORY_READ));
    assert_int_equal(guest_ram_hide(&ram, 0xA0000), 0);
    for (unsigned i = 0; i < GUEST_RAM_WINDOWS - 1; i++)
        assert_int_equal(guest_ram_show(&ram, 0xE0000000 + i * HV_PAGE_SIZE, HV_PAGE_SIZE, pages), 0);
    assert_int_equal(guest_ram_show(&ram, 0xF0000000, HV_PAGE_SIZE, pages), -ENOSPC);
    guest_ram_free(&ram);
}

static void test_memory_above_4g(void **state)
{
    struct guest_ram ram;

    (void)state;
    /* Only reserved, never touched. */
    assert_true(guest_ram_allocate(&ram, 5ull << 30));
    assert_int_equal(ram.below_4g, PLATFORM_PCI_WINDOW);
    assert_int_equal(ram.above_4g, (5ull << 30) - PLATFORM_PCI_WINDOW);
    assert_ptr_equal(guest_ram_page(&ram, 1ull << 32, MEMORY_WRITE), ram.host + PLATFORM_PCI_WINDOW);
    assert_null(guest_ram_page(&ram, PLATFORM_PCI_WINDOW, MEMORY_WRITE));
    assert_null(guest_ram_page(&ram, (1ull << 32) + ram.above_4g, MEMORY_WRITE));
    guest_ram_free(&ram);
}

static void test_pci_devices_are_ready(void **state)
{
    (void)state;
    start();
    assert_int_equal(pci_in(0, 0, 0), 0x12378086);
    assert_int_equal(pci_in(7, 1, 0), 0x71118086);
    assert_int_equal(pci_in(7, 1, 4) & 5, 5);             /* I/O and bus master */
    assert_int_equal(pci_in(7, 1, 0x20) & 0xFFFF0001, 1); /* bus master registers by ports */
    assert_in_range(pci_in(7, 1, 0x20), PLATFORM_PCI_PORTS, 0xFFFF);
    assert_int_equal(pci_in(7, 1, 0x40) & 0x80008000, 0x80008000);
    assert_int_equal(pci_in(8, 0, 0), 0x00091011);
    assert_int_equal(pci_in(8, 0, 4) & 7, 7);
    assert_in_range(pci_in(8, 0, 0x10) & ~3u, PLATFORM_PCI_PORTS, 0xFFFF);
    assert_in_range(pci_in(8, 0, 0x14), PLATFORM_PCI_WINDOW, PLATFORM_PCI_WINDOW_END - 1);
    assert_true((pci_in(8, 0, 0x10) & ~3u) != (pci_in(7, 1, 0x20) & ~3u));
    assert_int_equal(pci_in(8, 0, 0x3C) & 0xFF, 11); /* slot 8, INTA#: PIRQ D */
    assert_int_equal(port_in(0x1F7, 1), 0x50);       /* an idle drive */
    assert_int_equal(pci_in(9, 0, 0), 0xFFFFFFFF);
}

static void test_guest_is_loaded(void **state)
{
    const uint8_t *host = test.machine->ram.host;
    struct hv_local_interrupt_controller_state apic;
    union hv_register_value cs;

    (void)state;
    start();
    assert_int_equal(host[LOAD_ADDRESS], 0x5A);
    assert_memory_equal(host + 0xE0000, "RSD PTR ", 8);
    assert_int_equal(fake_register(&test.fake, 0, HV_X64_REGISTER_RIP), LOAD_ADDRESS + 0x200);
    cs = fake_register_value(&test.fake, 0, HV_X64_REGISTER_CS);
    assert_int_equal(cs.words[1] >> 32 & 0xFFFF, 0x10);
    assert_int_equal(fake_register(&test.fake, 0, HV_X64_REGISTER_MTRR_DEF_TYPE), 0x806);
    assert_int_equal(fake_register(&test.fake, 0, HV_X64_REGISTER_MTRR_PHYS_BASE0), PLATFORM_PCI_WINDOW);
    assert_int_equal(fake_register(&test.fake, 0, HV_X64_REGISTER_MTRR_PHYS_MASK0), 0xFFE0000800);
    memcpy(&apic, test.fake.vps[0].states[MSHV_VP_STATE_LAPIC], sizeof apic);
    assert_int_equal(apic.apic_spurious, 0x1FF);
    assert_int_equal(apic.apic_lvt_lint0, 0x700);
    assert_int_equal(apic.apic_lvt_lint1, 0x400);
    assert_int_equal(test.life_cycle.state, MACHINE_RUNNING);
}

static void test_files_that_are_wrong(void **state)
{
    const struct machine_events events = life_cycle_events(&test.life_cycle);
    struct fake_hypervisor fake;
    char *path = test.configuration->disks[0].file.path;

    (void)state;
    fake_hypervisor_initialize(&fake);
    test.configuration->disks[0].file.path = "/nonexistent.vhd";
    assert_null(machine_create(test.configuration, &fake.hypervisor, &test.loop, &events, test.error));
    assert_non_null(strstr(test.error, "/nonexistent.vhd: "));
    fake_hypervisor_destroy(&fake);

    fake_hypervisor_initialize(&fake);
    test.configuration->disks[0].file.path = path; /* locked by the machine that is there */
    assert_null(machine_create(test.configuration, &fake.hypervisor, &test.loop, &events, test.error));
    assert_non_null(strstr(test.error, "disk.raw: "));
    fake_hypervisor_destroy(&fake);

    fake_hypervisor_initialize(&fake);
    test.configuration->debug_exit = 0x60;
    assert_null(machine_create(test.configuration, &fake.hypervisor, &test.loop, &events, test.error));
    assert_string_equal(test.error, "debug_exit: port 0x60 is a device's");
    test.configuration->debug_exit = DEBUG_EXIT;
    fake_hypervisor_destroy(&fake);

    fake_hypervisor_initialize(&fake);
    fake.refused_call = HVCALL_SET_PARTITION_PROPERTY;
    fake.refused_status = HV_STATUS_ACCESS_DENIED;
    assert_null(machine_create(test.configuration, &fake.hypervisor, &test.loop, &events, test.error));
    assert_string_equal(test.error, "cannot set the partition's properties: the hypervisor refused (status 0x6)");
    fake_hypervisor_destroy(&fake);
}

static void test_kernel_that_is_none(void **state)
{
    (void)state;
    assert_int_equal(ftruncate(test.kernel, 100), 0);
    assert_false(life_cycle_start(&test.life_cycle, test.machine));
    assert_int_equal(test.life_cycle.state, MACHINE_OFF);
    assert_int_equal(test.life_cycle.off_reason, OFF_START_FAILED);
    assert_non_null(strstr(test.life_cycle.detail, "is not a Linux kernel"));
}

/* ---- Life ---- */

static void test_guest_switches_itself_off(void **state)
{
    (void)state;
    start();
    guest_out(PM_CONTROL, 2, 1 << 13); /* SLP_EN with the type of S5 */
    run_until(MACHINE_OFF);
    assert_int_equal(test.life_cycle.off_reason, OFF_POWER_OFF);
}

static void test_guest_ends_by_its_debug_exit(void **state)
{
    (void)state;
    start();
    port_out(DEBUG_EXIT, 4, 0x12345678);
    port_out(DEBUG_EXIT, 1, 0); /* the first counts */
    run_until(MACHINE_OFF);
    assert_int_equal(test.life_cycle.off_reason, OFF_DEBUG_EXIT);
    assert_int_equal(OFF_DEBUG_EXIT, 7);
    assert_string_equal(life_cycle_off_reason_name(test.life_cycle.off_reason), "debug-exit");
    assert_string_equal(test.life_cycle.detail, "the guest wrote 305419896 to its debug exit port");
}

static void test_guest_resets(void **state)
{
    uint8_t *host = test.machine->ram.host;
    unsigned resets;

    (void)state;
    start();
    /* Something of everything that a reset puts right */
    memset(host + LOAD_ADDRESS, 0, 0x4000);
    host[20 * MIB] = 0x77; /* memory as such stays */
    port_out(0x21, 1, 0x12);
    fake_set_register(&test.fake, 0, HV_X64_REGISTER_RDX, 0);
    fake_set_register(&test.fake, 0, HV_X64_REGISTER_PAT, 0x1234);
    memset(test.fake.vps[0].states[MSHV_VP_STATE_XSAVE], 0xFF, 64);
    test.fake.vps[0].states[MSHV_VP_STATE_LAPIC][8] = 0x11; /* the logical destination */
    test.changes = 0;
    guest_out(0xCF9, 1, 0x06);
    while (test.changes < 2) { /* Starting, Running */
        event_loop_wait(&test.loop, -1);
        event_loop_dispatch(&test.loop);
    }
    assert_int_equal(test.life_cycle.state, MACHINE_RUNNING);
    assert_int_equal(host[LOAD_ADDRESS + 0x3FFF], 0x5A);
    assert_int_equal(host[20 * MIB], 0x77);
    assert_int_equal(port_in(0x21, 1), 0xFF);                               /* as firmware leaves it */
    assert_int_equal(fake_register(&test.fake, 0, HV_X64_REGISTER_RDX), 0); /* the kernel's protocol wants 0 */
    assert_int_equal(fake_register(&test.fake, 0, HV_X64_REGISTER_PAT), 0);
    assert_int_equal(test.fake.vps[0].states[MSHV_VP_STATE_XSAVE][5], 0);
    assert_int_equal(test.fake.vps[0].states[MSHV_VP_STATE_LAPIC][8], 0);
    assert_int_equal(fake_register(&test.fake, 0, HV_X64_REGISTER_RIP), LOAD_ADDRESS + 0x200);
    assert_non_null(fake_region(&test.fake, 0xF0000)); /* shadow RAM is back */
    resets = fake_register_sets(&test.fake, 0, HV_X64_REGISTER_PAT);

    /* And once more by the keyboard controller; the VP runs all the time in between. */
    fake_wait_idle(&test.fake, 0);
    test.changes = 0;
    guest_out(0x64, 1, 0xFE);
    while (test.changes < 2) {
        event_loop_wait(&test.loop, -1);
        event_loop_dispatch(&test.loop);
    }
    assert_int_equal(test.life_cycle.state, MACHINE_RUNNING);
    assert_int_equal(fake_register_sets(&test.fake, 0, HV_X64_REGISTER_PAT), resets + 1);
}

static void test_triple_fault_is_a_reset(void **state)
{
    const struct hv_x64_unrecoverable_exception_message message = {0};

    (void)state;
    start();
    test.changes = 0;
    fake_send(&test.fake, 0, HVMSG_UNRECOVERABLE_EXCEPTION, &message, sizeof message);
    while (test.changes < 2) {
        event_loop_wait(&test.loop, -1);
        event_loop_dispatch(&test.loop);
    }
    assert_int_equal(test.life_cycle.state, MACHINE_RUNNING);
}

/* The parts of a machine with several processors in a reset that any of them asks for, and in its end. */
static void test_several_processors(void **state)
{
    const struct hv_x64_unrecoverable_exception_message message = {.header.vp_index = 2};

    (void)state;
    destroy();
    create(true, PROCESSORS);
    start();
    assert_int_equal(test.fake.vp_count, PROCESSORS);
    assert_int_not_equal(test.fake.cpuid_results, 0);
    for (unsigned i = 0; i < PROCESSORS; i++) {
        fake_wait_idle(&test.fake, i); /* it has a thread of its own */
        fake_set_register(&test.fake, i, HV_REGISTER_INTERNAL_ACTIVITY_STATE, 0);
        fake_set_register(&test.fake, i, HV_X64_REGISTER_RDX, 1);
        test.fake.vps[i].states[MSHV_VP_STATE_LAPIC][8] = 0x11;
    }
    test.changes = 0;
    fake_send(&test.fake, 2, HVMSG_UNRECOVERABLE_EXCEPTION, &message, sizeof message);
    while (test.changes < 2) { /* Starting, Running */
        event_loop_wait(&test.loop, -1);
        event_loop_dispatch(&test.loop);
    }
    for (unsigned i = 0; i < PROCESSORS; i++) {
        fake_wait_idle(&test.fake, i);
        assert_int_equal(test.fake.vps[i].states[MSHV_VP_STATE_LAPIC][8], 0);
        assert_int_equal(fake_register(&test.fake, i, HV_X64_REGISTER_RDX), i == 0 ? 0 : 0x800F12);
        assert_int_equal(fake_register(&test.fake, i, HV_REGISTER_INTERNAL_ACTIVITY_STATE),
                         i == 0 ? 0 : HV_ACTIVITY_STARTUP_SUSPEND);
        assert_int_equal(fake_register(&test.fake, i, HV_X64_REGISTER_MTRR_DEF_TYPE), 0x806);
    }
    test.fake.vps[3].page.gp_registers[0] = 1 << 13; /* SLP_EN with the type of S5 */
    fake_port(&test.fake, 3, true, PM_CONTROL, 2);
    run_until(MACHINE_OFF);
    assert_int_equal(test.life_cycle.off_reason, OFF_POWER_OFF);
}

static void test_no_reboot(void **state)
{
    const struct hv_x64_unrecoverable_exception_message message = {0};

    (void)state;
    destroy();
    create(false, 1);
    start();
    guest_out(0xCF9, 1, 0x06);
    run_until(MACHINE_OFF);
    assert_int_equal(test.life_cycle.off_reason, OFF_RESET);
    destroy();
    create(false, 1);
    start();
    fake_send(&test.fake, 0, HVMSG_UNRECOVERABLE_EXCEPTION, &message, sizeof message);
    run_until(MACHINE_OFF);
    assert_int_equal(test.life_cycle.off_reason, OFF_TRIPLE_FAULT);
}

static void test_machine_that_cannot_go_on(void **state)
{
    const struct hv_invalid_vp_register_message message = {0};

    (void)state;
    start();
    fake_send(&test.fake, 0, HVMSG_INVALID_VP_REGISTER_VALUE, &message, sizeof message);
    run_until(MACHINE_OFF);
    assert_int_equal(test.life_cycle.off_reason, OFF_FAILED);
    assert_string_equal(test.life_cycle.detail, "VP 0: its registers are not a state that the processor can run");
    life_cycle_fail(&test.life_cycle, "the disk");
    assert_string_equal(test.life_cycle.detail,
                        "VP 0: its registers are not a state that the processor can run; the disk");
}

static void test_failure_after_the_end_is_told(void **state)
{
    (void)state;
    start();
    assert_null(life_cycle_turn_off(&test.life_cycle));
    assert_int_equal(test.life_cycle.off_reason, OFF_TURNED_OFF);
    life_cycle_fail(&test.life_cycle, "web1.vhd: cannot be put in order");
    char *line = control_state_line(&test.life_cycle);
    assert_string_equal(line, "{\"state\":\"Off\",\"reason\":\"failed\",\"path\":null,\"detail\":"
                              "\"web1.vhd: cannot be put in order\",\"event\":\"state\"}\n");
    free(line);
}

static uint64_t guest_time(void)
{
    uint64_t now;

    pthread_mutex_lock(&test.machine->device_lock);
    now = timer_now(&test.machine->timers);
    pthread_mutex_unlock(&test.machine->device_lock);
    return now;
}

static void test_pause_and_resume(void **state)
{
    bool found;
    uint64_t then;
    unsigned runs;

    (void)state;
    assert_non_null(life_cycle_pause(&test.life_cycle)); /* not running yet */
    start();
    assert_int_equal(fake_property(&test.fake, HV_PARTITION_PROPERTY_TIME_FREEZE, &found), 0);
    assert_null(life_cycle_pause(&test.life_cycle));
    assert_int_equal(test.life_cycle.state, MACHINE_PAUSED);
    assert_string_equal(life_cycle_pause_reason(&test.life_cycle), "requested");
    assert_int_equal(fake_property(&test.fake, HV_PARTITION_PROPERTY_TIME_FREEZE, &found), 1);
    then = guest_time();
    runs = test.fake.vps[0].runs;
    guest_out(PM_CONTROL, 2, 1 << 13); /* stays with the hypervisor */
    worker_loop_settle(&test.loop);
    assert_int_equal(test.fake.vps[0].runs, runs);
    assert_int_equal(guest_time(), then);
    assert_non_null(life_cycle_stop(&test.life_cycle));
    assert_null(life_cycle_pause(&test.life_cycle)); /* twice is no mistake */
    assert_null(life_cycle_resume(&test.life_cycle));
    assert_int_equal(test.life_cycle.state, MACHINE_RUNNING);
    assert_int_equal(fake_property(&test.fake, HV_PARTITION_PROPERTY_TIME_FREEZE, &found), 0);
    assert_null(life_cycle_pause_reason(&test.life_cycle));
    run_until(MACHINE_OFF);
    assert_non_null(life_cycle_resume(&test.life_cycle));
}

static void test_power_button(void **state)
{
    (void)state;
    start();
    assert_non_null(life_cycle_stop(&test.life_cycle)); /* nobody listens */
    assert_int_equal(test.life_cycle.state, MACHINE_RUNNING);
    port_out(PIIX4_SMI_COMMAND_PORT, 1, PIIX4_ACPI_ENABLE);
    port_out(PM_ENABLE, 2, 0x0100);
    assert_null(life_cycle_stop(&test.life_cycle));
    assert_int_equal(test.life_cycle.state, MACHINE_STOPPING);
    assert_int_equal(port_in(PLATFORM_PM_BASE + PIIX4_PM1_STATUS, 2) & 0x0100, 0x0100);
    assert_null(life_cycle_stop(&test.life_cycle)); /* pressed again */
    assert_null(life_cycle_pause(&test.life_cycle));
    assert_null(life_cycle_resume(&test.life_cycle));
    assert_int_equal(test.life_cycle.state, MACHINE_STOPPING);
    assert_null(life_cycle_turn_off(&test.life_cycle));
    assert_int_equal(test.life_cycle.off_reason, OFF_TURNED_OFF);
}

/* ---- A full host disk ---- */

static const struct disk_file_operations *real_operations;
static bool full;

static ssize_t write_if_space(struct disk_file *file, const struct iovec *vector, int count, uint64_t offset)
{
    if (__atomic_load_n(&full, __ATOMIC_SEQ_CST)) {
        errno = ENOSPC;
        return -1;
    }
    return real_operations->write(file, vector, count, offset);
}

static void make_disk_fill_up(void)
{
    static struct disk_file_operations operations;
    struct disk_file *file = test.machine->storage.drives[0].disk->images[0]->file;

    real_operations = file->operations;
    operations = *real_operations;
    operations.write = write_if_space;
    file->operations = &operations;
    full = true;
}

/* WRITE SECTORS of one sector, whose data is 3Ch. */
static void guest_writes_sector(uint8_t number)
{
    const uint8_t task_file[] = {1, number, 0, 0, 0xE0, 0x30};

    for (unsigned i = 0; i < sizeof task_file; i++)
        port_out((uint16_t)(0x1F2 + i), 1, task_file[i]);
    while (!(port_in(0x1F7, 1) & 8))
        continue;
    for (unsigned i = 0; i < 256; i++)
        port_out(0x1F0, 2, 0x3C3C);
}

static void assert_sector(uint8_t number, uint8_t value)
{
    uint8_t sector[512];
    int file = open(test.disk_path, O_RDONLY);

    assert_int_equal(pread(file, sector, sizeof sector, number * 512), sizeof sector);
    close(file);
    assert_int_equal(sector[0], value);
    assert_int_equal(sector[511], value);
}

static void test_full_disk_pauses_and_resume_goes_on(void **state)
{
    bool found;

    (void)state;
    make_disk_fill_up();
    start();
    guest_writes_sector(3);
    run_until(MACHINE_PAUSED);
    assert_string_equal(life_cycle_pause_reason(&test.life_cycle), "no-space");
    assert_string_equal(test.life_cycle.path, test.disk_path);
    assert_int_equal(fake_property(&test.fake, HV_PARTITION_PROPERTY_TIME_FREEZE, &found), 1);
    assert_int_equal(port_in(0x1F7, 1) & 0x81, 0x80); /* the guest sees a busy disk, not an error */

    /* Still full: it stays Paused, and the guest has not run. */
    assert_null(life_cycle_resume(&test.life_cycle));
    while (test.life_cycle.retrying) {
        event_loop_wait(&test.loop, -1);
        event_loop_dispatch(&test.loop);
    }
    assert_int_equal(test.life_cycle.state, MACHINE_PAUSED);
    assert_int_equal(fake_property(&test.fake, HV_PARTITION_PROPERTY_TIME_FREEZE, &found), 1);
    assert_sector(3, 0);

    __atomic_store_n(&full, false, __ATOMIC_SEQ_CST);
    assert_null(life_cycle_resume(&test.life_cycle));
    run_until(MACHINE_RUNNING);
    assert_int_equal(port_in(0x1F7, 1), 0x50);
    assert_sector(3, 0x3C);
    assert_string_equal(test.life_cycle.path, "");
}

static void test_full_disk_and_a_request_to_pause(void **state)
{
    (void)state;
    make_disk_fill_up();
    start();
    assert_null(life_cycle_pause(&test.life_cycle));
    guest_writes_sector(4);
    while (!(test.life_cycle.paused & PAUSED_NO_SPACE)) {
        event_loop_wait(&test.loop, -1);
        event_loop_dispatch(&test.loop);
    }
    __atomic_store_n(&full, false, __ATOMIC_SEQ_CST);
    assert_null(life_cycle_resume(&test.life_cycle));
    run_until(MACHINE_RUNNING);
    assert_sector(4, 0x3C);
}

static void test_reset_of_a_machine_without_space(void **state)
{
    (void)state;
    make_disk_fill_up();
    start();
    guest_writes_sector(5);
    run_until(MACHINE_PAUSED);
    assert_null(life_cycle_reset(&test.life_cycle));
    run_until(MACHINE_RUNNING);
    __atomic_store_n(&full, false, __ATOMIC_SEQ_CST);
    assert_int_equal(port_in(0x1F7, 1), 0x50);
    assert_sector(5, 0); /* the write went down with the machine that made it */
}

/* ---- A parent that is fetched ---- */

static struct fake_fetch fetch;
static uint8_t remote[DISK_SECTORS * 512 + 512];

/* The disk becomes a child of an image that is at a URL; of its data nothing is to be had yet. */
static void put_parent_at_url(void)
{
    struct disk_error error;
    uint8_t sector[512];
    int file;

    assert_true(disk_create(test.image_path, DISK_SECTORS * 512, DISK_FORMAT_FIXED, NULL, &error));
    file = open(test.image_path, O_RDWR);
    memset(sector, 0xE1, sizeof sector);
    assert_int_equal(pwrite(file, sector, sizeof sector, 7 * 512), sizeof sector);
    close(file);
    unlink(test.disk_path);
    assert_true(disk_create_child(test.disk_path, test.image_path, NULL, &error));
    file = open(test.image_path, O_RDONLY);
    assert_int_equal(read(file, remote, sizeof remote), sizeof remote);
    close(file);
}

static int set_up_source(void **state)
{
    set_up_files();
    put_parent_at_url();
    int socket = fake_fetch_start(&fetch, remote, sizeof remote);
    fetch.window = REMOTE_WINDOW;
    fetch.stingy = true;
    snprintf(test.disk, sizeof test.disk,
             "\"parents\":[{\"url\":\"http://example.org/a.vhd\", \"size\":%zu, \"validator\":\"\\\"first\\\"\","
             " \"fd\":%d}]",
             sizeof remote, socket);
    create(true, 1);
    test.life_cycle.answer_patience = 0;
    (void)state;
    return 0;
}

static int tear_down_source(void **state)
{
    int result = tear_down(state);

    fake_fetch_stop(&fetch);
    return result;
}

/* READ SECTORS of one sector. */
static void guest_reads_sector(uint8_t number)
{
    const uint8_t task_file[] = {1, number, 0, 0, 0xE0, 0x20};

    for (unsigned i = 0; i < sizeof task_file; i++)
        port_out((uint16_t)(0x1F2 + i), 1, task_file[i]);
}

static void assert_sector_is_read(void)
{
    while (port_in(0x1F7, 1) & 0x80)
        continue;
    assert_int_equal(port_in(0x1F7, 1) & 0x09, 0x08);
    for (unsigned i = 0; i < 256; i++)
        assert_int_equal(port_in(0x1F0, 2), 0xE1E1);
}

static void run_until_paused_for(const char *reason)
{
    while (!life_cycle_pause_reason(&test.life_cycle) ||
           strcmp(life_cycle_pause_reason(&test.life_cycle), reason) != 0) {
        event_loop_wait(&test.loop, -1);
        event_loop_dispatch(&test.loop);
    }
}

static void test_source_that_does_not_answer(void **state)
{
    bool found;

    (void)state;
    start();
    fake_fetch_say(&fetch, "Connection refused");
    guest_reads_sector(7);
    run_until_paused_for("no-answer");
    assert_string_equal(test.life_cycle.path, test.disk_path);
    while (strcmp(test.life_cycle.detail, "http://example.org/a.vhd: Connection refused") != 0) {
        event_loop_wait(&test.loop, -1);
        event_loop_dispatch(&test.loop);
    }
    assert_int_equal(fake_property(&test.fake, HV_PARTITION_PROPERTY_TIME_FREEZE, &found), 1);
    assert_int_equal(port_in(0x1F7, 1) & 0x81, 0x80); /* the guest sees a busy disk, not an error */
    assert_null(life_cycle_resume(&test.life_cycle)); /* which does not help */
    assert_int_equal(test.life_cycle.state, MACHINE_PAUSED);
    fake_fetch_silence(&fetch, false);
    run_until(MACHINE_RUNNING);
    assert_sector_is_read();
    assert_string_equal(test.life_cycle.path, "");
    assert_string_equal(test.life_cycle.detail, "");
}

static void test_source_and_a_request_to_pause(void **state)
{
    (void)state;
    start();
    guest_reads_sector(7);
    run_until_paused_for("no-answer");
    assert_null(life_cycle_pause(&test.life_cycle));
    fake_fetch_silence(&fetch, false);
    run_until_paused_for("requested");
    assert_null(life_cycle_resume(&test.life_cycle));
    assert_int_equal(test.life_cycle.state, MACHINE_RUNNING);
    assert_sector_is_read();
}

static void test_reset_of_a_machine_whose_source_is_silent(void **state)
{
    (void)state;
    start();
    guest_reads_sector(7);
    run_until_paused_for("no-answer");
    assert_null(life_cycle_reset(&test.life_cycle));
    run_until(MACHINE_RUNNING);
    assert_int_equal(port_in(0x1F7, 1), 0x50);
    fake_fetch_silence(&fetch, false);
    guest_reads_sector(7);
    assert_sector_is_read();
}

/* The process ends, and nobody waits for the source. */
static void test_end_of_a_machine_whose_source_is_silent(void **state)
{
    (void)state;
    start();
    guest_reads_sector(7);
    run_until_paused_for("no-answer");
    assert_null(life_cycle_turn_off(&test.life_cycle));
    assert_int_equal(test.life_cycle.state, MACHINE_OFF);
}

/* ---- The control socket ---- */

static int connect_client(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%s", test.control_path);
    assert_int_equal(connect(client, (const struct sockaddr *)&address, sizeof address), 0);
    return client;
}

/* The next line that the worker sends. */
static json_t *receive(int client)
{
    static char line[65536];
    size_t length = 0;
    json_error_t error;
    json_t *value;

    do {
        while (recv(client, line + length, 1, MSG_DONTWAIT) < 1) {
            event_loop_wait(&test.loop, -1);
            event_loop_dispatch(&test.loop);
        }
    } while (line[length++] != '\n');
    value = json_loadb(line, length, 0, &error);
    assert_non_null(value);
    return value;
}

static const char *text_at(const json_t *value, const char *path, const char *key)
{
    const json_t *object = path ? json_object_get(value, path) : value;

    return json_string_value(json_object_get(object, key));
}

static json_t *ask(int client, const char *request)
{
    assert_int_equal(send(client, request, strlen(request), 0), strlen(request));
    return receive(client);
}

static void assert_error(int client, const char *request, const char *code)
{
    json_t *answer = ask(client, request);

    assert_string_equal(text_at(answer, "error", "code"), code);
    assert_true(strlen(text_at(answer, "error", "message")) > 0);
    json_decref(answer);
}

static int connect_and_greet(void)
{
    int client = connect_client();
    json_t *hello = receive(client);

    assert_string_equal(text_at(hello, NULL, "hello"), "loam-worker");
    assert_int_equal(json_integer_value(json_object_get(hello, "version")), CONTROL_VERSION);
    assert_string_equal(text_at(hello, NULL, "name"), "web1");
    json_decref(hello);
    return client;
}

static void test_control_status(void **state)
{
    json_t *answer;
    const json_t *result;

    (void)state;
    start();
    test.client = connect_and_greet();
    answer = ask(test.client, "{\"request\":\"status\", \"id\":[7]}\n");
    result = json_object_get(answer, "result");
    assert_int_equal(json_integer_value(json_array_get(json_object_get(answer, "id"), 0)), 7);
    assert_string_equal(text_at(answer, "result", "state"), "Running");
    assert_true(json_is_null(json_object_get(result, "reason")));
    assert_int_equal(json_integer_value(json_object_get(result, "memory")), MEMORY);
    assert_int_equal(json_integer_value(json_object_get(result, "partition_id")), 42);
    assert_string_equal(text_at(answer, "result", "log"), test.log_path);
    assert_string_equal(text_at(answer, "result", "disk_io"), storage_io_name(&test.machine->storage));
    json_decref(answer);

    port_in(0x5555, 1);
    answer = ask(test.client, "{\"request\":\"counters\"}\n");
    result = json_object_get(json_object_get(answer, "result"), "ports");
    assert_int_equal(json_integer_value(json_object_get(result, "unclaimed_reads")), 1);
    assert_int_equal(json_integer_value(json_object_get(result, "last_unclaimed")), 0x5555);
    json_decref(answer);
}

static void test_control_mistakes(void **state)
{
    static char line[CONTROL_LINE + 2];

    (void)state;
    start();
    test.client = connect_and_greet();
    assert_error(test.client, "{\"request\":\"dance\"}\n", "unknown-request");
    assert_error(test.client, "{\"requset\":\"status\"}\n", "bad-request");
    assert_error(test.client, "status\n", "bad-request");
    assert_error(test.client, "[]\n", "bad-request");
    assert_error(test.client, "{\"request\":\"resume\"}\n", "wrong-state");
    assert_error(test.client, "{\"request\":\"stop\"}\n", "wrong-state");
    memset(line, ' ', CONTROL_LINE);
    assert_error(test.client, line, "bad-request");
    worker_loop_settle(&test.loop);
    assert_int_equal(recv(test.client, line, 1, 0), 0); /* and the connection is closed */
}

static void test_control_changes_state(void **state)
{
    json_t *answer;
    int watcher;

    (void)state;
    start();
    test.client = connect_and_greet();
    watcher = connect_and_greet();
    answer = ask(watcher, "{\"request\":\"events\"}\n");
    assert_string_equal(text_at(answer, "result", "state"), "Running");
    json_decref(answer);

    answer = ask(test.client, "{\"request\":\"pause\"}\n");
    assert_non_null(json_object_get(answer, "result"));
    json_decref(answer);
    answer = receive(watcher);
    assert_string_equal(text_at(answer, NULL, "event"), "state");
    assert_string_equal(text_at(answer, NULL, "state"), "Paused");
    assert_string_equal(text_at(answer, NULL, "reason"), "requested");
    json_decref(answer);
    json_decref(ask(test.client, "{\"request\":\"resume\"}\n"));
    answer = receive(watcher);
    assert_string_equal(text_at(answer, NULL, "state"), "Running");
    json_decref(answer);
    json_decref(ask(test.client, "{\"request\":\"turn-off\"}\n"));
    answer = receive(watcher);
    assert_string_equal(text_at(answer, NULL, "state"), "Off");
    assert_string_equal(text_at(answer, NULL, "reason"), "turned-off");
    json_decref(answer);
    close(watcher);
}

static void test_control_console(void **state)
{
    char text[16];
    json_t *answer;
    int second;
    ssize_t count;

    (void)state;
    start();
    port_out(0x3F8, 1, 'o');
    port_out(0x3F8, 1, 'k');
    test.client = connect_and_greet();
    answer = ask(test.client, "{\"request\":\"console\", \"user\":\"joe\"}\n");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(answer, "result"), "replay")), 2);
    json_decref(answer);
    worker_loop_settle(&test.loop);
    count = recv(test.client, text, sizeof text, 0);
    assert_int_equal(count, 2);
    assert_memory_equal(text, "ok", 2);
    assert_int_equal(send(test.client, "x", 1, 0), 1);
    worker_loop_settle(&test.loop);
    assert_int_equal(port_in(0x3F8, 1), 'x');

    second = connect_and_greet();
    answer = ask(second, "{\"request\":\"console\"}\n");
    assert_string_equal(text_at(answer, "error", "code"), "busy");
    assert_non_null(strstr(text_at(answer, "error", "message"), "joe (process "));
    json_decref(answer);
    answer = ask(second, "{\"request\":\"status\"}\n"); /* the connection is still good for requests */
    assert_string_equal(text_at(json_object_get(answer, "result"), "console", "user"), "joe");
    json_decref(answer);
    close(second);
}

/* ---- Media ---- */

/* Sends text, and with it so many copies of a descriptor, which is closed. */
static void send_with(int client, const char *text, int descriptor, unsigned copies)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(4 * sizeof(int))];
    } control = {0};
    struct iovec part = {.iov_base = (char *)text, .iov_len = strlen(text)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    if (copies) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(copies * sizeof(int));
        control.header = (struct cmsghdr){
            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(copies * sizeof(int))};
        for (unsigned i = 0; i < copies; i++)
            memcpy(CMSG_DATA(&control.header) + i * sizeof(int), &descriptor, sizeof(int));
    }
    assert_int_equal(sendmsg(client, &message, 0), strlen(text));
    if (copies)
        close(descriptor);
}

/* A file that still has its name, as a disk's must; tear_down removes it. */
static int make_image(size_t size)
{
    int descriptor = open(test.image_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    assert_int_equal(ftruncate(descriptor, (off_t)size), 0);
    return descriptor;
}

static unsigned open_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    unsigned count = 0;

    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

static void assert_medium(int client, unsigned index, const char *drive, const char *path)
{
    json_t *answer = ask(client, "{\"request\":\"media\"}\n");
    const json_t *drives = json_object_get(json_object_get(answer, "result"), "drives");
    const json_t *found = json_array_get(drives, index);

    assert_int_equal(json_array_size(drives), 2);
    assert_string_equal(text_at(found, NULL, "drive"), drive);
    assert_int_equal(json_integer_value(json_object_get(found, "number")), 0);
    if (path)
        assert_string_equal(text_at(found, NULL, "path"), path);
    else
        assert_true(json_is_null(json_object_get(found, "path")));
    json_decref(answer);
}

static void assert_media_event(int watcher, const char *drive, const char *path)
{
    json_t *event = receive(watcher);

    assert_string_equal(text_at(event, NULL, "event"), "media");
    assert_string_equal(text_at(event, NULL, "drive"), drive);
    assert_int_equal(json_integer_value(json_object_get(event, "number")), 0);
    if (path)
        assert_string_equal(text_at(event, NULL, "path"), path);
    else
        assert_true(json_is_null(json_object_get(event, "path")));
    json_decref(event);
}

static void assert_done(json_t *answer)
{
    assert_true(json_is_object(json_object_get(answer, "result")));
    json_decref(answer);
}

#define INSERT_DVD "{\"request\":\"insert\",\"drive\":\"dvd\",\"path\":\"cd.iso\"}\n"
#define EJECT_DVD  "{\"request\":\"eject\",\"drive\":\"dvd\",\"number\":0}\n"

/* START STOP UNIT */
static void guest_ejects_dvd(void)
{
    const uint16_t packet[6] = {0x1B, 0, 2};

    port_out(0x176, 1, 0xA0);
    port_out(0x177, 1, 0xA0);
    for (unsigned i = 0; i < 6; i++)
        port_out(0x170, 2, packet[i]);
}

static void test_control_media(void **state)
{
    unsigned before;
    int watcher;

    (void)state;
    start();
    test.client = connect_and_greet();
    watcher = connect_and_greet();
    json_decref(ask(watcher, "{\"request\":\"events\"}\n"));
    before = open_descriptors();
    assert_medium(test.client, 0, "dvd", NULL);
    send_with(test.client, INSERT_DVD, make_image(40960), 1);
    assert_done(receive(test.client));
    assert_media_event(watcher, "dvd", "cd.iso");
    assert_medium(test.client, 0, "dvd", "cd.iso");
    assert_int_equal(open_descriptors(), before + 1);
    assert_done(ask(test.client, EJECT_DVD));
    assert_media_event(watcher, "dvd", NULL);
    assert_int_equal(open_descriptors(), before);

    send_with(test.client, INSERT_DVD, make_image(40960), 1);
    assert_done(receive(test.client));
    assert_media_event(watcher, "dvd", "cd.iso");
    for (unsigned i = 0; i < 3; i++) /* the first two hear of the reset and of the new medium */
        guest_ejects_dvd();
    assert_media_event(watcher, "dvd", NULL);
    assert_medium(test.client, 0, "dvd", NULL);
    assert_int_equal(open_descriptors(), before);
    close(watcher);
}

/* Another loam-fetch for one that has ended. */
static void test_control_source(void **state)
{
    json_t *answer;
    const json_t *source;

    (void)state;
    start();
    test.client = connect_client();
    json_decref(receive(test.client)); /* the greeting */
    guest_reads_sector(7);
    run_until_paused_for("no-answer");
    fake_fetch_hang_up(&fetch);
    assert_error(test.client, "{\"request\":\"source\",\"disk\":0}\n", "bad-request");
    assert_error(test.client, "{\"request\":\"source\",\"disk\":7}\n", "bad-request");
    assert_error(test.client, "{\"request\":\"source\"}\n", "bad-request");
    fetch.stingy = false;
    send_with(test.client, "{\"request\":\"source\",\"disk\":0}\n", fake_fetch_restart(&fetch), 1);
    answer = receive(test.client);
    assert_non_null(json_object_get(answer, "result"));
    json_decref(answer);
    run_until(MACHINE_RUNNING);
    assert_sector_is_read();
    answer = ask(test.client, "{\"request\":\"status\"}\n");
    source = json_array_get(json_object_get(json_object_get(answer, "result"), "sources"), 0);
    assert_string_equal(text_at(source, NULL, "url"), "http://example.org/a.vhd");
    assert_string_equal(text_at(source, NULL, "path"), test.disk_path);
    assert_int_equal(json_integer_value(json_object_get(source, "size")), DISK_SECTORS * 512);
    json_decref(answer);
}

static void test_control_media_mistakes(void **state)
{
    static const char *const none[] = {
        "{\"request\":\"insert\",\"path\":\"x\"}\n",
        "{\"request\":\"insert\",\"drive\":\"disk\",\"path\":\"x\"}\n",
        "{\"request\":\"insert\",\"drive\":\"dvd\",\"number\":-1,\"path\":\"x\"}\n",
        "{\"request\":\"insert\",\"drive\":\"dvd\",\"number\":4294967296,\"path\":\"x\"}\n",
        "{\"request\":\"insert\",\"drive\":\"dvd\",\"number\":\"0\",\"path\":\"x\"}\n",
        "{\"request\":\"insert\",\"drive\":\"dvd\"}\n",
        "{\"request\":\"insert\",\"drive\":\"dvd\",\"path\":7}\n",
    };
    unsigned before;

    (void)state;
    start();
    test.client = connect_and_greet();
    before = open_descriptors();
    for (unsigned i = 0; i < sizeof none / sizeof none[0]; i++) {
        send_with(test.client, none[i], make_image(40960), 1);
        assert_error(test.client, "", "bad-request");
    }
    assert_error(test.client, INSERT_DVD, "bad-request"); /* without an image */
    send_with(test.client, "{\"request\":\"insert\",\"drive\":\"dvd\",\"number\":1,\"path\":\"x\"}\n",
              make_image(40960), 1);
    assert_error(test.client, "", "wrong-state");
    send_with(test.client, INSERT_DVD, make_image(40961), 1); /* not whole */
    assert_error(test.client, "", "wrong-state");
    assert_error(test.client, "{\"request\":\"eject\"}\n", "bad-request");
    assert_error(test.client, "{\"request\":\"eject\",\"drive\":\"floppy\",\"number\":1}\n", "wrong-state");
    assert_medium(test.client, 0, "dvd", NULL);
    assert_int_equal(open_descriptors(), before);
}

/* Descriptors that nobody asked for, too many, too early, or of a client that goes. */
static void test_control_closes_uninvited_descriptors(void **state)
{
    unsigned before;

    (void)state;
    start();
    test.client = connect_and_greet();
    before = open_descriptors();
    send_with(test.client, "{\"request\":\"media\"}\n", make_image(40960), 4);
    json_decref(receive(test.client));
    assert_int_equal(open_descriptors(), before);
    assert_error(test.client, INSERT_DVD, "bad-request"); /* it does not wait for another request */

    /* Three with a request: the first is taken. It may come in pieces. */
    send_with(test.client, "{\"request\":\"insert\",\"drive\":\"dvd\",", make_image(40960), 3);
    worker_loop_settle(&test.loop);
    assert_in_range(open_descriptors(), before + 1, before + 1);
    send_with(test.client, "\"path\":\"cd.iso\"}\n", make_image(40960), 1);
    assert_done(receive(test.client));
    assert_medium(test.client, 0, "dvd", "cd.iso");
    assert_int_equal(open_descriptors(), before + 1);
    assert_done(ask(test.client, EJECT_DVD));

    send_with(test.client, "{\"request\":", make_image(40960), 1);
    worker_loop_settle(&test.loop);
    assert_int_equal(open_descriptors(), before + 1);
    close(test.client);
    test.client = -1;
    worker_loop_settle(&test.loop);
    assert_int_equal(open_descriptors(), before - 2); /* both ends of the connection are gone, too */
}

/* A machine that is taken apart puts in order what is in its drives. */
static void test_floppy_is_put_in_order_at_the_end(void **state)
{
    (void)state;
    start();
    test.client = connect_and_greet();
    send_with(test.client, "{\"request\":\"insert\",\"drive\":\"floppy\",\"path\":\"a.vfd\"}\n", make_image(2880 * 512),
              1);
    assert_done(receive(test.client));
    assert_medium(test.client, 1, "floppy", "a.vfd");
}

/* ---- The screen ---- */

static unsigned update_display(void *context, struct display *display, struct display_area areas[DISPLAY_AREAS])
{
    (void)context;
    if (!display->pixels)
        display->pixels = calloc(16 * 16, sizeof *display->pixels);
    display->width = display->height = 16;
    areas[0] = (struct display_area){.width = 16, .height = 16};
    return 1;
}

static void test_control_screen(void **state)
{
    const struct machine_screen machine_screen = {.display = {.update = update_display}};
    const struct screen_listeners none = {.local = -1, .network = -1};
    char bytes[4096], error[SCREEN_ERROR_SIZE];
    struct screen *screen;
    size_t length = 0;
    ssize_t count;
    json_t *answer;

    (void)state;
    start();
    test.client = connect_and_greet();
    assert_error(test.client, "{\"request\":\"screen\"}\n", "wrong-state");
    assert_error(test.client, "{\"request\":\"keys\",\"keys\":[\"a\"]}\n", "wrong-state");
    screen = screen_start(&machine_screen, "web1", &none, error);
    assert_non_null(screen);
    control_set_screen(&test.control, screen);
    assert_error(test.client, "{\"request\":\"keys\",\"keys\":[\"no-key\"]}\n", "bad-request");
    assert_error(test.client, "{\"request\":\"screen-text\"}\n", "wrong-state"); /* it has no text to give */
    answer = ask(test.client, "{\"request\":\"screenshot\",\"id\":1}\n");
    assert_string_equal(text_at(answer, "result", "type"), "image/png");
    json_decref(answer);
    while ((count = recv(test.client, bytes + length, sizeof bytes - length, 0)) > 0)
        length += (size_t)count;
    assert_true(length > 20);
    assert_memory_equal(bytes, "\x89PNG\r\n\x1A\n", 8);
    assert_memory_equal(bytes + length - 8, "IEND\xAE\x42\x60\x82", 8);
    close(test.client);
    test.client = connect_and_greet();
    json_decref(ask(test.client, "{\"request\":\"screen\"}\n"));
    assert_int_equal(recv(test.client, bytes, 12, MSG_WAITALL), 12);
    assert_memory_equal(bytes, "RFB 003.008\n", 12);
    control_set_screen(&test.control, NULL);
    screen_end(screen);
    assert_int_equal(recv(test.client, bytes, 12, 0), 0);
}

static void test_control_is_full(void **state)
{
    int clients[CONTROL_CONNECTIONS];
    json_t *answer;

    (void)state;
    start();
    for (unsigned i = 0; i < CONTROL_CONNECTIONS; i++)
        clients[i] = connect_and_greet();
    test.client = connect_client();
    answer = receive(test.client);
    assert_string_equal(text_at(answer, "error", "code"), "busy");
    json_decref(answer);
    for (unsigned i = 0; i < CONTROL_CONNECTIONS; i++)
        close(clients[i]);
    worker_loop_settle(&test.loop);
    close(test.client);
    test.client = connect_and_greet(); /* there is room again */
}

static void test_control_socket_in_use(void **state)
{
    char error[MACHINE_ERROR_SIZE], path[128];
    int listener;

    (void)state;
    assert_int_equal(control_listen(test.control_path, error), -1);
    assert_non_null(strstr(error, "Address already in use"));
    assert_int_equal(control_listen(test.disk_path, error), -1); /* no socket: it is left alone */
    assert_int_equal(access(test.disk_path, F_OK), 0);
    snprintf(path, sizeof path, "%s/stale", test.directory);
    listener = control_listen(path, error);
    close(listener); /* its process is gone */
    listener = control_listen(path, error);
    assert_true(listener >= 0);
    close(listener);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_memory_is_mapped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_shadow_ram_follows_its_registers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_address_line_20, set_up, tear_down),
        cmocka_unit_test(test_rom),
        cmocka_unit_test(test_device_memory),
        cmocka_unit_test_setup_teardown(test_address_line_20, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_memory_above_4g, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pci_devices_are_ready, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_guest_is_loaded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_files_that_are_wrong, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_kernel_that_is_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_guest_switches_itself_off, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_guest_ends_by_its_debug_exit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_guest_resets, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_triple_fault_is_a_reset, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_several_processors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_reboot, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_machine_that_cannot_go_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_failure_after_the_end_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pause_and_resume, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_power_button, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full_disk_pauses_and_resume_goes_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full_disk_and_a_request_to_pause, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reset_of_a_machine_without_space, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_source_that_does_not_answer, set_up_source, tear_down_source),
        cmocka_unit_test_setup_teardown(test_source_and_a_request_to_pause, set_up_source, tear_down_source),
        cmocka_unit_test_setup_teardown(test_reset_of_a_machine_whose_source_is_silent, set_up_source,
                                        tear_down_source),
        cmocka_unit_test_setup_teardown(test_end_of_a_machine_whose_source_is_silent, set_up_source, tear_down_source),
        cmocka_unit_test_setup_teardown(test_control_source, set_up_source, tear_down_source),
        cmocka_unit_test_setup_teardown(test_control_status, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_control_mistakes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_control_changes_state, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_control_console, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_control_media, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_control_media_mistakes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_control_closes_uninvited_descriptors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_floppy_is_put_in_order_at_the_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_control_screen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_control_is_full, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_control_socket_in_use, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
