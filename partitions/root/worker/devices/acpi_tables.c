/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/acpi_tables.h"

#include <assert.h>
#include <string.h>
#include "partitions/root/worker/devices/dsdt.h"
#include "partitions/root/worker/devices/platform.h"

#define OEM_ID       "LOAM  "
#define OEM_TABLE_ID "GEN1    "
#define CREATOR_ID   "LOAM"

#define LOCAL_APIC_BASE 0xfee00000u
#define SCI_IRQ         9
#define RESET_PORT      0xcf9
#define RESET_VALUE     0x06 /* hard, now */
#define CMOS_DAY_ALARM  0x0d
#define CMOS_CENTURY    0x32

#define FILE_NAME_SIZE 56

/* ACPI 2.0, 5.2.3.1 */
struct generic_address {
    uint8_t space;
    uint8_t bit_width;
    uint8_t bit_offset;
    uint8_t reserved;
    uint64_t address;
} __attribute__((packed));
#define SPACE_PORTS 1

/* 5.2.4 */
struct rsdp {
    char signature[8];
    uint8_t checksum; /* of the first 20 bytes */
    char oem_id[6];
    uint8_t revision;
    uint32_t rsdt;
    uint32_t length;
    uint64_t xsdt;
    uint8_t extended_checksum;
    uint8_t reserved[3];
} __attribute__((packed));
_Static_assert(sizeof(struct rsdp) == ACPI_TABLES_RSDP_LENGTH, "ACPI 2.0, 5.2.4");

/* 5.2.5 */
struct table_header {
    char signature[4];
    uint32_t length;
    uint8_t revision;
    uint8_t checksum;
    char oem_id[6];
    char oem_table_id[8];
    uint32_t oem_revision;
    char creator_id[4];
    uint32_t creator_revision;
} __attribute__((packed));
_Static_assert(sizeof(struct table_header) == 36, "ACPI 2.0, 5.2.5");

/* 5.2.8 */
struct fadt {
    struct table_header header;
    uint32_t facs;
    uint32_t dsdt;
    uint8_t interrupt_model; /* 1.0: 1 = more than the 8259As */
    uint8_t preferred_profile;
    uint16_t sci_interrupt;
    uint32_t smi_command;
    uint8_t acpi_enable;
    uint8_t acpi_disable;
    uint8_t s4bios_request;
    uint8_t processor_state_control;
    uint32_t pm1a_event;
    uint32_t pm1b_event;
    uint32_t pm1a_control;
    uint32_t pm1b_control;
    uint32_t pm2_control;
    uint32_t pm_timer;
    uint32_t gpe0;
    uint32_t gpe1;
    uint8_t pm1_event_length;
    uint8_t pm1_control_length;
    uint8_t pm2_control_length;
    uint8_t pm_timer_length;
    uint8_t gpe0_length;
    uint8_t gpe1_length;
    uint8_t gpe1_base;
    uint8_t cstate_control;
    uint16_t c2_latency;
    uint16_t c3_latency;
    uint16_t flush_size;
    uint16_t flush_stride;
    uint8_t duty_offset;
    uint8_t duty_width;
    uint8_t day_alarm;
    uint8_t month_alarm;
    uint8_t century;
    uint16_t boot_architecture;
    uint8_t reserved;
    uint32_t flags;
    struct generic_address reset_register;
    uint8_t reset_value;
    uint8_t reserved2[3];
    uint64_t x_facs;
    uint64_t x_dsdt;
    struct generic_address x_pm1a_event;
    struct generic_address x_pm1b_event;
    struct generic_address x_pm1a_control;
    struct generic_address x_pm1b_control;
    struct generic_address x_pm2_control;
    struct generic_address x_pm_timer;
    struct generic_address x_gpe0;
    struct generic_address x_gpe1;
} __attribute__((packed));
_Static_assert(sizeof(struct fadt) == 244, "ACPI 2.0, 5.2.8");

#define PROFILE_ENTERPRISE_SERVER 4

#define BOOT_LEGACY_DEVICES 0x0001
#define BOOT_8042           0x0002
#define BOOT_NO_VGA         0x0004

#define FLAG_WBINVD          0x0001
#define FLAG_C1              0x0004
#define FLAG_NO_SLEEP_BUTTON 0x0020
#define FLAG_NO_RTC_WAKE     0x0040
#define FLAG_RESET_REGISTER  0x0400

/* Latencies above these limits say that C2 and C3 do not exist. */
#define NO_C2 101
#define NO_C3 1001

/* 5.2.9 */
struct facs {
    char signature[4];
    uint32_t length;
    uint32_t hardware_signature;
    uint32_t waking_vector;
    uint32_t global_lock;
    uint32_t flags;
    uint64_t x_waking_vector;
    uint8_t version;
    uint8_t reserved[31];
} __attribute__((packed));
_Static_assert(sizeof(struct facs) == 64, "ACPI 2.0, 5.2.9");

/* 5.2.10 */
struct madt {
    struct table_header header;
    uint32_t local_apic;
    uint32_t flags; /* 1: there are 8259As too */
} __attribute__((packed));

struct madt_local_apic {
    uint8_t type; /* 0 */
    uint8_t length;
    uint8_t processor_id;
    uint8_t apic_id;
    uint32_t flags; /* 1: enabled */
} __attribute__((packed));

struct madt_io_apic {
    uint8_t type; /* 1 */
    uint8_t length;
    uint8_t id;
    uint8_t reserved;
    uint32_t address;
    uint32_t first_input;
} __attribute__((packed));

struct madt_override {
    uint8_t type; /* 2 */
    uint8_t length;
    uint8_t bus; /* 0: ISA */
    uint8_t irq;
    uint32_t input;
    uint16_t flags;
} __attribute__((packed));

struct madt_local_nmi {
    uint8_t type; /* 4 */
    uint8_t length;
    uint8_t processor_id; /* ffh: all */
    uint16_t flags;
    uint8_t lint;
} __attribute__((packed));

/* IA-PC HPET specification 1.0a, 3.2.4 */
struct hpet_table {
    struct table_header header;
    uint32_t capabilities; /* the low half of the register */
    struct generic_address base;
    uint8_t number;
    uint16_t shortest_period; /* ticks that a periodic comparator may have without losing interrupts */
    uint8_t page_protection;
} __attribute__((packed));
_Static_assert(sizeof(struct hpet_table) == 56, "IA-PC HPET specification 1.0a, 3.2.4");

#define FLAGS_OF_BUS            0x0000
#define FLAGS_ACTIVE_HIGH_LEVEL 0x000d

/*
 * A command for the firmware's table loader, little-endian. Commands are carried out in turn; files are those of
 * fw_cfg.
 */
struct loader_command {
    uint32_t command;
    union {
        struct {
            char file[FILE_NAME_SIZE];
            uint32_t alignment;
            uint8_t zone;
        } __attribute__((packed)) allocate;
        struct { /* what stands there grows by the address of the other file */
            char file[FILE_NAME_SIZE];
            char other_file[FILE_NAME_SIZE];
            uint32_t offset;
            uint8_t size;
        } __attribute__((packed)) add_pointer;
        struct { /* the byte at `offset` shrinks by the sum of the range */
            char file[FILE_NAME_SIZE];
            uint32_t offset;
            uint32_t start;
            uint32_t length;
        } __attribute__((packed)) add_checksum;
        uint8_t all[124];
    };
} __attribute__((packed));
_Static_assert(sizeof(struct loader_command) == ACPI_TABLES_COMMAND_SIZE, "table loader");

#define COMMAND_ALLOCATE     1
#define COMMAND_ADD_POINTER  2
#define COMMAND_ADD_CHECKSUM 3

#define ZONE_HIGH 1
#define ZONE_FSEG 2 /* F0000h-FFFFFh */

#define TABLES_ALIGNMENT 64 /* the FACS's */
#define RSDP_ALIGNMENT   16

/*
 * The buffer, and where in it the next table goes. Tables have their final addresses if it is known where the buffer
 * will lie; if not (`files` is given, gpa is 0), pointers are offsets in it, and each is told to the loader.
 */
struct builder {
    uint8_t *buffer;
    size_t size;
    uint32_t gpa;
    size_t used;
    struct acpi_table_files *files;
};

/* Space for a table; NULL if there is none. */
static void *reserve(struct builder *builder, size_t length, size_t alignment)
{
    size_t offset = (builder->used + alignment - 1) & ~(alignment - 1);

    if (offset > builder->size || length > builder->size - offset)
        return NULL;
    memset(builder->buffer + builder->used, 0, offset + length - builder->used);
    builder->used = offset + length;
    return builder->buffer + offset;
}

static struct loader_command *add_command(struct builder *builder, uint32_t number)
{
    struct acpi_table_files *files = builder->files;
    struct loader_command *command = (struct loader_command *)(files->loader + files->loader_length);

    assert(files->loader_length < sizeof files->loader);
    files->loader_length += sizeof *command;
    memset(command, 0, sizeof *command);
    command->command = number;
    return command;
}

static void add_allocation(struct builder *builder, const char *file, uint32_t alignment, uint8_t zone)
{
    struct loader_command *command = add_command(builder, COMMAND_ALLOCATE);

    strcpy(command->allocate.file, file);
    command->allocate.alignment = alignment;
    command->allocate.zone = zone;
}

/* The file that something lies in, and where in it. */
static const char *file_of(const struct builder *builder, const void *thing, uint32_t *offset)
{
    size_t in_rsdp = (size_t)((const uint8_t *)thing - builder->files->rsdp);

    if (in_rsdp < sizeof builder->files->rsdp) {
        *offset = (uint32_t)in_rsdp;
        return ACPI_TABLES_RSDP_FILE;
    }
    *offset = (uint32_t)((const uint8_t *)thing - builder->buffer);
    return ACPI_TABLES_FILE;
}

/* Makes `field`, of `size` bytes, point to a table. */
static void point(struct builder *builder, void *field, uint8_t size, const void *table)
{
    uint64_t address = builder->gpa + (uint32_t)((const uint8_t *)table - builder->buffer);
    struct loader_command *command;
    uint32_t offset;

    memcpy(field, &address, size);
    if (!builder->files)
        return;
    command = add_command(builder, COMMAND_ADD_POINTER);
    strcpy(command->add_pointer.file, file_of(builder, field, &offset));
    strcpy(command->add_pointer.other_file, ACPI_TABLES_FILE);
    command->add_pointer.offset = offset;
    command->add_pointer.size = size;
}

/* What makes the bytes sum to zero. */
static uint8_t checksum(const void *table, size_t length)
{
    const uint8_t *bytes = table;
    uint8_t sum = 0;

    for (size_t i = 0; i < length; i++)
        sum += bytes[i];
    return (uint8_t)-sum;
}

/* Space for a table with a standard header; finish_table() when its body stands. */
static void *begin_table(struct builder *builder, const char *signature, uint8_t revision, size_t length)
{
    struct table_header *header = reserve(builder, length, 16);

    if (!header)
        return NULL;
    memcpy(header->signature, signature, sizeof header->signature);
    header->length = (uint32_t)length;
    header->revision = revision;
    memcpy(header->oem_id, OEM_ID, sizeof header->oem_id);
    memcpy(header->oem_table_id, OEM_TABLE_ID, sizeof header->oem_table_id);
    header->oem_revision = 1;
    memcpy(header->creator_id, CREATOR_ID, sizeof header->creator_id);
    header->creator_revision = 1;
    return header;
}

/* Once all that it covers stands. */
static void set_checksum(struct builder *builder, uint8_t *field, const void *first, uint32_t length)
{
    struct loader_command *command;
    uint32_t offset, start;

    *field = 0;
    *field = checksum(first, length);
    if (!builder->files)
        return;
    command = add_command(builder, COMMAND_ADD_CHECKSUM);
    strcpy(command->add_checksum.file, file_of(builder, first, &start));
    file_of(builder, field, &offset);
    command->add_checksum.offset = offset;
    command->add_checksum.start = start;
    command->add_checksum.length = length;
}

static void finish_table(struct builder *builder, void *table)
{
    struct table_header *header = table;

    set_checksum(builder, &header->checksum, table, header->length);
}

static const void *build_dsdt(struct builder *builder)
{
    void *table = reserve(builder, dsdt_aml_length, 16);

    if (table)
        memcpy(table, dsdt_aml, dsdt_aml_length);
    return table;
}

static const void *build_facs(struct builder *builder)
{
    struct facs *facs = reserve(builder, sizeof *facs, 64);

    if (!facs)
        return NULL;
    memcpy(facs->signature, "FACS", 4);
    facs->length = sizeof *facs;
    facs->version = 1;
    return facs;
}

static struct generic_address port(uint16_t address, uint8_t bytes)
{
    return (struct generic_address){.space = SPACE_PORTS, .bit_width = 8 * bytes, .address = address};
}

static void set_power_management(struct fadt *fadt)
{
    fadt->sci_interrupt = SCI_IRQ;
    fadt->smi_command = PIIX4_SMI_COMMAND_PORT;
    fadt->acpi_enable = PIIX4_ACPI_ENABLE;
    fadt->acpi_disable = PIIX4_ACPI_DISABLE;
    fadt->pm1a_event = PLATFORM_PM_BASE + PIIX4_PM1_STATUS;
    fadt->pm1_event_length = 4;
    fadt->x_pm1a_event = port(PLATFORM_PM_BASE + PIIX4_PM1_STATUS, 4);
    fadt->pm1a_control = PLATFORM_PM_BASE + PIIX4_PM1_CONTROL;
    fadt->pm1_control_length = 2;
    fadt->x_pm1a_control = port(PLATFORM_PM_BASE + PIIX4_PM1_CONTROL, 2);
    fadt->pm_timer = PLATFORM_PM_BASE + PIIX4_PM_TIMER;
    fadt->pm_timer_length = 4;
    fadt->x_pm_timer = port(PLATFORM_PM_BASE + PIIX4_PM_TIMER, 4);
    fadt->gpe0 = PLATFORM_PM_BASE + PIIX4_GPE_STATUS;
    fadt->gpe0_length = 4;
    fadt->x_gpe0 = port(PLATFORM_PM_BASE + PIIX4_GPE_STATUS, 4);
}

static const void *build_fadt(struct builder *builder, const void *facs, const void *dsdt)
{
    struct fadt *fadt = begin_table(builder, "FACP", 3, sizeof *fadt);

    if (!fadt)
        return NULL;
    point(builder, &fadt->facs, sizeof fadt->facs, facs);
    point(builder, &fadt->x_facs, sizeof fadt->x_facs, facs);
    point(builder, &fadt->dsdt, sizeof fadt->dsdt, dsdt);
    point(builder, &fadt->x_dsdt, sizeof fadt->x_dsdt, dsdt);
    fadt->interrupt_model = 1;
    fadt->preferred_profile = PROFILE_ENTERPRISE_SERVER;
    set_power_management(fadt);
    fadt->c2_latency = NO_C2;
    fadt->c3_latency = NO_C3;
    fadt->day_alarm = CMOS_DAY_ALARM;
    fadt->century = CMOS_CENTURY;
    fadt->boot_architecture = BOOT_LEGACY_DEVICES | BOOT_8042 | (builder->files ? 0 : BOOT_NO_VGA);
    fadt->flags = FLAG_WBINVD | FLAG_C1 | FLAG_NO_SLEEP_BUTTON | FLAG_NO_RTC_WAKE | FLAG_RESET_REGISTER;
    fadt->reset_register = port(RESET_PORT, 1);
    fadt->reset_value = RESET_VALUE;
    finish_table(builder, fadt);
    return fadt;
}

static const void *build_madt(struct builder *builder, unsigned processors)
{
    const struct madt_override overrides[] = {
        {2, sizeof(struct madt_override), 0, 0,       2,       FLAGS_OF_BUS           },
        {2, sizeof(struct madt_override), 0, SCI_IRQ, SCI_IRQ, FLAGS_ACTIVE_HIGH_LEVEL},
    };
    const struct madt_io_apic io_apic = {1, sizeof io_apic, 0, 0, IOAPIC_BASE, 0};
    const struct madt_local_nmi nmi = {4, sizeof nmi, 0xff, FLAGS_OF_BUS, 1};
    size_t length = sizeof(struct madt) + processors * sizeof(struct madt_local_apic) + sizeof io_apic +
                    sizeof overrides + sizeof nmi;
    struct madt *madt = begin_table(builder, "APIC", 1, length);
    uint8_t *next = (uint8_t *)(madt + 1);

    if (!madt)
        return NULL;
    madt->local_apic = LOCAL_APIC_BASE;
    madt->flags = 1;
    for (unsigned i = 0; i < processors; i++) {
        const struct madt_local_apic entry = {0, sizeof entry, (uint8_t)i, (uint8_t)i, 1};

        memcpy(next, &entry, sizeof entry);
        next += sizeof entry;
    }
    memcpy(next, &io_apic, sizeof io_apic);
    next += sizeof io_apic;
    memcpy(next, overrides, sizeof overrides);
    next += sizeof overrides;
    memcpy(next, &nmi, sizeof nmi);
    finish_table(builder, madt);
    return madt;
}

static const void *build_hpet(struct builder *builder)
{
    struct hpet_table *table = begin_table(builder, "HPET", 1, sizeof *table);

    if (!table)
        return NULL;
    table->capabilities = HPET_CAPABILITIES;
    table->base.address = HPET_BASE;
    table->shortest_period = HPET_SHORTEST_PERIOD / HPET_TICK;
    finish_table(builder, table);
    return table;
}

/* RSDT (5.2.6) with 4-byte or XSDT (5.2.7) with 8-byte pointers. */
static const void *build_root(struct builder *builder, const char *signature, uint8_t pointer_size,
                              const void *const tables[], unsigned count)
{
    uint8_t *root = begin_table(builder, signature, 1, sizeof(struct table_header) + count * pointer_size);

    if (!root)
        return NULL;
    for (unsigned i = 0; i < count; i++)
        point(builder, root + sizeof(struct table_header) + i * pointer_size, pointer_size, tables[i]);
    finish_table(builder, root);
    return root;
}

static void build_rsdp(struct builder *builder, struct rsdp *rsdp, const void *rsdt, const void *xsdt)
{
    memcpy(rsdp->signature, "RSD PTR ", sizeof rsdp->signature);
    memcpy(rsdp->oem_id, OEM_ID, sizeof rsdp->oem_id);
    rsdp->revision = 2;
    rsdp->length = sizeof *rsdp;
    point(builder, &rsdp->rsdt, sizeof rsdp->rsdt, rsdt);
    point(builder, &rsdp->xsdt, sizeof rsdp->xsdt, xsdt);
    set_checksum(builder, &rsdp->checksum, rsdp, 20);
    set_checksum(builder, &rsdp->extended_checksum, rsdp, sizeof *rsdp);
}

/* All tables, and the RSDP, which is zero yet. */
static bool build(struct builder *builder, struct rsdp *rsdp, unsigned processors)
{
    const void *dsdt = build_dsdt(builder);
    const void *facs = build_facs(builder);
    const void *tables[3], *rsdt, *xsdt;
    const unsigned count = sizeof tables / sizeof tables[0];

    if (processors == 0 || processors > ACPI_TABLES_MAXIMUM_PROCESSORS || !dsdt || !facs)
        return false;
    tables[0] = build_fadt(builder, facs, dsdt);
    tables[1] = build_madt(builder, processors);
    tables[2] = build_hpet(builder);
    if (!tables[0] || !tables[1] || !tables[2])
        return false;
    rsdt = build_root(builder, "RSDT", sizeof(uint32_t), tables, count);
    xsdt = build_root(builder, "XSDT", sizeof(uint64_t), tables, count);
    if (!rsdt || !xsdt)
        return false;
    build_rsdp(builder, rsdp, rsdt, xsdt);
    return true;
}

size_t acpi_tables_build(uint8_t *buffer, size_t size, uint32_t gpa, unsigned processors)
{
    struct builder builder = {.buffer = buffer, .size = size, .gpa = gpa};
    struct rsdp *rsdp = reserve(&builder, sizeof *rsdp, 16);

    assert(gpa % TABLES_ALIGNMENT == 0 && gpa <= UINT32_MAX - ACPI_TABLES_MAXIMUM_LENGTH);
    return rsdp && build(&builder, rsdp, processors) ? builder.used : 0;
}

bool acpi_tables_build_files(struct acpi_table_files *files, unsigned processors)
{
    struct builder builder = {.buffer = files->tables, .size = sizeof files->tables, .files = files};

    memset(files, 0, sizeof *files);
    add_allocation(&builder, ACPI_TABLES_FILE, TABLES_ALIGNMENT, ZONE_HIGH);
    add_allocation(&builder, ACPI_TABLES_RSDP_FILE, RSDP_ALIGNMENT, ZONE_FSEG);
    if (!build(&builder, (struct rsdp *)files->rsdp, processors))
        return false;
    files->tables_length = builder.used;
    return true;
}
