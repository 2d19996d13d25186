/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/smbios_tables.h"

#include <string.h>

#define MANUFACTURER "Loam"
#define PRODUCT      "Virtual Machine"
#define VERSION      "Generation 1"

#define MIB            (1ull << 20)
#define GIB            (1ull << 30)
#define ABOVE_4G       (4 * GIB)
#define LARGEST_MODULE (16 * GIB)

#define MAXIMUM_SERIAL 64

/* Handles: the type in the high byte, counted in the low one. */
#define HANDLE(type, index) ((uint16_t)((type) << 8 | (index)))
#define NO_HANDLE           0xffff
#define NO_ERROR_HANDLE     0xfffe

enum structure_type {
    SYSTEM = 1,
    BOARD = 2,
    CHASSIS = 3,
    PROCESSOR = 4,
    MEMORY_ARRAY = 16,
    MEMORY_DEVICE = 17,
    MEMORY_ARRAY_ADDRESS = 19,
    BOOT = 32,
    END = 127,
};

/* 6.1.2; after the formatted area of each structure follow its strings, numbered from 1. */
struct header {
    uint8_t type;
    uint8_t length;
    uint16_t handle;
} __attribute__((packed));

/* 5.2.1 */
struct entry_point {
    char anchor[4];
    uint8_t checksum;
    uint8_t length;
    uint8_t major_version;
    uint8_t minor_version;
    uint16_t largest_structure;
    uint8_t revision;
    uint8_t formatted_area[5];
    char intermediate_anchor[5];
    uint8_t intermediate_checksum;
    uint16_t tables_length;
    uint32_t tables_address;
    uint16_t structures;
    uint8_t bcd_revision;
} __attribute__((packed));
_Static_assert(sizeof(struct entry_point) == SMBIOS_ANCHOR_LENGTH, "SMBIOS 2.8, 5.2.1");

#define INTERMEDIATE_OFFSET 16

/* 7.2 */
struct system_information {
    struct header header;
    uint8_t manufacturer;
    uint8_t product;
    uint8_t version;
    uint8_t serial;
    uint8_t uuid[16];
    uint8_t wake_up; /* 6: power switch */
    uint8_t sku;
    uint8_t family;
} __attribute__((packed));
_Static_assert(sizeof(struct system_information) == 27, "SMBIOS 2.8, 7.2");

/* 7.3 */
struct board_information {
    struct header header;
    uint8_t manufacturer;
    uint8_t product;
    uint8_t version;
    uint8_t serial;
    uint8_t asset_tag;
    uint8_t features; /* bit 0: hosting board */
    uint8_t location;
    uint16_t chassis;
    uint8_t board_type; /* 10: motherboard */
    uint8_t contained_objects;
} __attribute__((packed));
_Static_assert(sizeof(struct board_information) == 15, "SMBIOS 2.8, 7.3");

/* 7.4 */
struct chassis_information {
    struct header header;
    uint8_t manufacturer;
    uint8_t chassis_type; /* 3: desktop */
    uint8_t version;
    uint8_t serial;
    uint8_t asset_tag;
    uint8_t boot_up_state; /* of this and the next two: 3 = safe */
    uint8_t power_supply_state;
    uint8_t thermal_state;
    uint8_t security_status; /* 3: none */
    uint32_t oem_defined;
    uint8_t height;
    uint8_t power_cords;
    uint8_t contained_elements;
    uint8_t contained_element_length;
    uint8_t sku;
} __attribute__((packed));
_Static_assert(sizeof(struct chassis_information) == 22, "SMBIOS 2.8, 7.4");

/* 7.5 */
struct processor_information {
    struct header header;
    uint8_t socket;
    uint8_t processor_type; /* 3: central processor */
    uint8_t family;         /* 1: other */
    uint8_t manufacturer;
    uint64_t id;
    uint8_t version;
    uint8_t voltage;
    uint16_t external_clock;
    uint16_t maximum_speed;
    uint16_t current_speed;
    uint8_t status;  /* 41h: populated, enabled */
    uint8_t upgrade; /* 1: other */
    uint16_t cache_handles[3];
    uint8_t serial;
    uint8_t asset_tag;
    uint8_t part_number;
    uint8_t cores;
    uint8_t enabled_cores;
    uint8_t threads;
    uint16_t characteristics; /* bit 2: 64-bit capable */
    uint16_t family2;
} __attribute__((packed));
_Static_assert(sizeof(struct processor_information) == 42, "SMBIOS 2.8, 7.5");

/* 7.17 */
struct memory_array {
    struct header header;
    uint8_t location;         /* 3: system board */
    uint8_t use;              /* 3: system memory */
    uint8_t error_correction; /* 3: none */
    uint32_t capacity;        /* KiB */
    uint16_t error_handle;
    uint16_t devices;
    uint64_t extended_capacity;
} __attribute__((packed));
_Static_assert(sizeof(struct memory_array) == 23, "SMBIOS 2.8, 7.17");

/* 7.18 */
struct memory_device {
    struct header header;
    uint16_t array;
    uint16_t error_handle;
    uint16_t total_width; /* ffffh: unknown */
    uint16_t data_width;
    uint16_t size;       /* MiB */
    uint8_t form_factor; /* 9: DIMM */
    uint8_t device_set;
    uint8_t locator;
    uint8_t bank;
    uint8_t memory_type; /* 7: RAM */
    uint16_t detail;     /* bit 1: other */
    uint16_t speed;
    uint8_t manufacturer;
    uint8_t serial;
    uint8_t asset_tag;
    uint8_t part_number;
    uint8_t attributes;
    uint32_t extended_size;
    uint16_t configured_speed;
    uint16_t minimum_voltage;
    uint16_t maximum_voltage;
    uint16_t configured_voltage;
} __attribute__((packed));
_Static_assert(sizeof(struct memory_device) == 40, "SMBIOS 2.8, 7.18");

/* 7.20 */
struct memory_array_address {
    struct header header;
    uint32_t first; /* KiB */
    uint32_t last;
    uint16_t array;
    uint8_t partition_width;
    uint64_t extended_first;
    uint64_t extended_last;
} __attribute__((packed));
_Static_assert(sizeof(struct memory_array_address) == 31, "SMBIOS 2.8, 7.20");

/* 7.33 */
struct boot_information {
    struct header header;
    uint8_t reserved[6];
    uint8_t status; /* 0: no errors */
} __attribute__((packed));
_Static_assert(sizeof(struct boot_information) == 11, "SMBIOS 2.8, 7.33");

/* Structures one after another; the limits on what is described bound them. */
struct builder {
    struct smbios_tables *tables;
    size_t begin;     /* of the structure that is being built */
    unsigned strings; /* it has so far */
    uint16_t largest;
    uint16_t structures;
};

/* Puts the formatted area in place. `structure` begins with its header, which is filled. */
static void begin_structure(struct builder *builder, enum structure_type type, unsigned index, void *structure,
                            uint8_t length)
{
    struct header *header = structure;

    *header = (struct header){(uint8_t)type, length, HANDLE(type, index)};
    builder->begin = builder->tables->length;
    builder->strings = 0;
    memcpy(builder->tables->tables + builder->begin, structure, length);
    builder->tables->length += length;
}

/* Adds a string to which the byte at `offset` of the formatted area refers; nothing for an empty one. */
static void add_string(struct builder *builder, size_t offset, const char *string)
{
    struct smbios_tables *tables = builder->tables;
    size_t length = string ? strlen(string) : 0;

    if (!length)
        return;
    memcpy(tables->tables + tables->length, string, length + 1);
    tables->length += length + 1;
    tables->tables[builder->begin + offset] = (uint8_t)++builder->strings;
}

static void end_structure(struct builder *builder)
{
    struct smbios_tables *tables = builder->tables;
    size_t length;

    if (!builder->strings)
        tables->tables[tables->length++] = 0;
    tables->tables[tables->length++] = 0;
    length = tables->length - builder->begin;
    if (length > builder->largest)
        builder->largest = (uint16_t)length;
    builder->structures++;
}

/* The first three fields are little-endian (7.2.1). */
static void set_uuid(uint8_t to[16], const uint8_t uuid[16])
{
    static const uint8_t order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};

    for (unsigned i = 0; i < 16; i++)
        to[i] = uuid[order[i]];
}

static void add_system(struct builder *builder, const struct smbios_configuration *configuration)
{
    struct system_information system = {.wake_up = 6};

    set_uuid(system.uuid, configuration->uuid);
    begin_structure(builder, SYSTEM, 0, &system, sizeof system);
    add_string(builder, offsetof(struct system_information, manufacturer), MANUFACTURER);
    add_string(builder, offsetof(struct system_information, product), PRODUCT);
    add_string(builder, offsetof(struct system_information, version), VERSION);
    add_string(builder, offsetof(struct system_information, serial), configuration->serial);
    add_string(builder, offsetof(struct system_information, family), PRODUCT);
    end_structure(builder);
}

static void add_board(struct builder *builder)
{
    struct board_information board = {.features = 1, .chassis = HANDLE(CHASSIS, 0), .board_type = 10};

    begin_structure(builder, BOARD, 0, &board, sizeof board);
    add_string(builder, offsetof(struct board_information, manufacturer), MANUFACTURER);
    add_string(builder, offsetof(struct board_information, product), PRODUCT);
    add_string(builder, offsetof(struct board_information, version), VERSION);
    end_structure(builder);
}

static void add_chassis(struct builder *builder)
{
    struct chassis_information chassis = {
        .chassis_type = 3,
        .boot_up_state = 3,
        .power_supply_state = 3,
        .thermal_state = 3,
        .security_status = 3,
    };

    begin_structure(builder, CHASSIS, 0, &chassis, sizeof chassis);
    add_string(builder, offsetof(struct chassis_information, manufacturer), MANUFACTURER);
    add_string(builder, offsetof(struct chassis_information, version), VERSION);
    end_structure(builder);
}

/* A word and a number below 1000. */
static void name_place(char name[16], const char *word, unsigned number)
{
    size_t length = strlen(word);

    memcpy(name, word, length);
    name[length++] = ' ';
    if (number >= 100)
        name[length++] = (char)('0' + number / 100);
    if (number >= 10)
        name[length++] = (char)('0' + number / 10 % 10);
    name[length++] = (char)('0' + number % 10);
    name[length] = '\0';
}

static void add_processor(struct builder *builder, unsigned index)
{
    struct processor_information processor = {
        .processor_type = 3,
        .family = 1,
        .status = 0x41,
        .upgrade = 1,
        .cache_handles = {NO_HANDLE, NO_HANDLE, NO_HANDLE},
        .cores = 1,
        .enabled_cores = 1,
        .threads = 1,
        .characteristics = 0x04,
        .family2 = 1,
    };
    char socket[16];

    name_place(socket, "CPU", index);
    begin_structure(builder, PROCESSOR, index, &processor, sizeof processor);
    add_string(builder, offsetof(struct processor_information, socket), socket);
    add_string(builder, offsetof(struct processor_information, manufacturer), MANUFACTURER);
    end_structure(builder);
}

static void add_memory_array(struct builder *builder, uint64_t memory, unsigned modules)
{
    struct memory_array array = {
        .location = 3,
        .use = 3,
        .error_correction = 3,
        .capacity = (uint32_t)(memory >> 10),
        .error_handle = NO_ERROR_HANDLE,
        .devices = (uint16_t)modules,
    };

    begin_structure(builder, MEMORY_ARRAY, 0, &array, sizeof array);
    end_structure(builder);
}

static void add_memory_device(struct builder *builder, unsigned index, uint64_t memory)
{
    struct memory_device device = {
        .array = HANDLE(MEMORY_ARRAY, 0),
        .error_handle = NO_ERROR_HANDLE,
        .total_width = 0xffff,
        .data_width = 0xffff,
        .size = (uint16_t)(memory / MIB),
        .form_factor = 9,
        .memory_type = 7,
        .detail = 0x0002,
    };
    char locator[16];

    name_place(locator, "DIMM", index);
    begin_structure(builder, MEMORY_DEVICE, index, &device, sizeof device);
    add_string(builder, offsetof(struct memory_device, locator), locator);
    add_string(builder, offsetof(struct memory_device, manufacturer), MANUFACTURER);
    end_structure(builder);
}

static void add_memory_range(struct builder *builder, unsigned index, uint64_t first, uint64_t length)
{
    struct memory_array_address address = {
        .first = (uint32_t)(first >> 10),
        .last = (uint32_t)((first + length - 1) >> 10),
        .array = HANDLE(MEMORY_ARRAY, 0),
        .partition_width = 1,
    };

    if (!length)
        return;
    begin_structure(builder, MEMORY_ARRAY_ADDRESS, index, &address, sizeof address);
    end_structure(builder);
}

static void add_memory(struct builder *builder, const struct smbios_configuration *configuration)
{
    uint64_t memory = configuration->memory_below_4g + configuration->memory_above_4g;
    unsigned modules = (unsigned)((memory + LARGEST_MODULE - 1) / LARGEST_MODULE);

    add_memory_array(builder, memory, modules);
    for (unsigned i = 0; i < modules; i++) {
        uint64_t rest = memory - i * LARGEST_MODULE;

        add_memory_device(builder, i, rest < LARGEST_MODULE ? rest : LARGEST_MODULE);
    }
    add_memory_range(builder, 0, 0, configuration->memory_below_4g);
    add_memory_range(builder, 1, ABOVE_4G, configuration->memory_above_4g);
}

static void add_end(struct builder *builder)
{
    struct boot_information boot = {.status = 0};
    struct header end;

    begin_structure(builder, BOOT, 0, &boot, sizeof boot);
    end_structure(builder);
    begin_structure(builder, END, 0, &end, sizeof end);
    end_structure(builder);
}

/* What makes the bytes sum to zero. */
static uint8_t checksum(const void *first, size_t length)
{
    const uint8_t *bytes = first;
    uint8_t sum = 0;

    for (size_t i = 0; i < length; i++)
        sum += bytes[i];
    return (uint8_t)-sum;
}

static void set_entry_point(const struct builder *builder)
{
    struct entry_point entry = {
        .anchor = "_SM_",
        .length = sizeof entry,
        .major_version = 2,
        .minor_version = 8,
        .largest_structure = builder->largest,
        .intermediate_anchor = "_DMI_",
        .tables_length = (uint16_t)builder->tables->length,
        .structures = builder->structures,
        .bcd_revision = 0x28,
    };
    const uint8_t *intermediate = (const uint8_t *)&entry + INTERMEDIATE_OFFSET;

    entry.intermediate_checksum = checksum(intermediate, sizeof entry - INTERMEDIATE_OFFSET);
    entry.checksum = checksum(&entry, sizeof entry);
    memcpy(builder->tables->anchor, &entry, sizeof entry);
}

static bool describable(const struct smbios_configuration *configuration)
{
    uint64_t below = configuration->memory_below_4g, above = configuration->memory_above_4g;
    const char *serial = configuration->serial ? configuration->serial : "";

    if (configuration->processors == 0 || configuration->processors > SMBIOS_MAXIMUM_PROCESSORS)
        return false;
    if (below % MIB || above % MIB || below == 0 || below > ABOVE_4G || above > SMBIOS_MAXIMUM_MEMORY - below)
        return false;
    for (const char *c = serial; *c; c++)
        if (*c < ' ' || *c > '~')
            return false;
    return strlen(serial) <= MAXIMUM_SERIAL;
}

bool smbios_tables_build(struct smbios_tables *tables, const struct smbios_configuration *configuration)
{
    struct builder builder = {.tables = tables};

    memset(tables, 0, sizeof *tables);
    if (!describable(configuration))
        return false;
    add_system(&builder, configuration);
    add_board(&builder);
    add_chassis(&builder);
    for (unsigned i = 0; i < configuration->processors; i++)
        add_processor(&builder, i);
    add_memory(&builder, configuration);
    add_end(&builder);
    set_entry_point(&builder);
    return true;
}
