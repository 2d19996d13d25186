/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/fw_cfg.h"

#include <endian.h>
#include <string.h>

#define PORT_SELECTOR   0x510
#define PORT_DMA        0x514
#define OFFSET_SELECTOR 0
#define OFFSET_DATA     1
#define OFFSET_DMA_HIGH 0
#define OFFSET_DMA_LOW  4

/* Of a selector: once asked to write the item, which no longer exists. */
#define SELECTOR_WRITE 0x4000
#define SELECTOR_BOARD 0x8000

#define ID_TRADITIONAL 0x01
#define ID_DMA         0x02

#define DMA_ERROR  0x01u
#define DMA_READ   0x02u
#define DMA_SKIP   0x04u
#define DMA_SELECT 0x08u
#define DMA_WRITE  0x10u

/* A DMA command in guest memory; big-endian. */
struct dma_command {
    uint32_t control; /* upper half: selector */
    uint32_t length;
    uint64_t address;
};
_Static_assert(sizeof(struct dma_command) == 16, "fw_cfg specification, DMA");
_Static_assert(sizeof(struct fw_cfg_directory_entry) == 64, "fw_cfg specification, file directory");

static const char signature[4] = "QEMU";
static const uint8_t id[4] = {ID_TRADITIONAL | ID_DMA};
static const char dma_signature[8] = "QEMU CFG";

static const struct fw_cfg_item *find_item(const struct fw_cfg *fw_cfg, uint16_t key)
{
    unsigned file = key - FW_CFG_FIRST_FILE;

    if (key >= FW_CFG_FIRST_FILE && file < fw_cfg->file_count)
        return &fw_cfg->files[file];
    for (unsigned i = 0; i < fw_cfg->item_count; i++)
        if (fw_cfg->items[i].key == key)
            return &fw_cfg->items[i];
    return NULL;
}

static void select_item(struct fw_cfg *fw_cfg, uint16_t selector)
{
    fw_cfg->key = selector & ~SELECTOR_WRITE;
    fw_cfg->offset = 0;
}

/* The bytes of the selected item that are still to be read; there may be none. */
static const uint8_t *rest_of_item(const struct fw_cfg *fw_cfg, uint32_t *length)
{
    const struct fw_cfg_item *item = find_item(fw_cfg, fw_cfg->key);

    *length = item ? item->length - fw_cfg->offset : 0;
    return *length ? (const uint8_t *)item->data + fw_cfg->offset : NULL;
}

/* ---- Port 511h ---- */

static void read_bytes(struct fw_cfg *fw_cfg, uint8_t *bytes, size_t count)
{
    uint32_t left;
    const uint8_t *rest = rest_of_item(fw_cfg, &left);
    size_t known = left < count ? left : count;

    if (known)
        memcpy(bytes, rest, known);
    memset(bytes + known, 0, count - known);
    fw_cfg->offset += (uint32_t)known;
}

static uint64_t ports_read(void *device, uint64_t offset, unsigned size)
{
    uint8_t byte;

    if (offset != OFFSET_DATA || size != 1)
        return UINT64_MAX;
    read_bytes(device, &byte, 1);
    return byte;
}

static size_t ports_block_in(void *device, uint64_t offset, unsigned size, void *items, size_t count)
{
    if (offset == OFFSET_DATA && size == 1)
        read_bytes(device, items, count);
    else
        memset(items, 0xff, size * count);
    return count;
}

static void ports_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    if (offset == OFFSET_SELECTOR && size == 2)
        select_item(device, (uint16_t)value);
}

/* ---- DMA ---- */

static bool write_zeros(const struct guest_memory *memory, uint64_t gpa, uint32_t length)
{
    static const uint8_t zeros[4096];

    while (length) {
        uint32_t piece = length < sizeof zeros ? length : sizeof zeros;

        if (!guest_memory_write(memory, gpa, zeros, piece))
            return false;
        gpa += piece;
        length -= piece;
    }
    return true;
}

static bool dma_read(struct fw_cfg *fw_cfg, uint64_t gpa, uint32_t length)
{
    uint32_t left;
    const uint8_t *rest = rest_of_item(fw_cfg, &left);
    uint32_t known = left < length ? left : length;

    if (length - known > FW_CFG_MAXIMUM_ZEROS || gpa + length < gpa)
        return false;
    if (known && !guest_memory_write(fw_cfg->memory, gpa, rest, known))
        return false;
    fw_cfg->offset += known;
    return write_zeros(fw_cfg->memory, gpa + known, length - known);
}

static void dma_skip(struct fw_cfg *fw_cfg, uint32_t length)
{
    uint32_t left;

    rest_of_item(fw_cfg, &left);
    fw_cfg->offset += left < length ? left : length;
}

static bool dma_carry_out(struct fw_cfg *fw_cfg, const struct dma_command *command)
{
    uint32_t control = be32toh(command->control);
    uint32_t length = be32toh(command->length);

    if (control & DMA_SELECT)
        select_item(fw_cfg, control >> 16 & 0xffff);
    if (control & DMA_READ)
        return dma_read(fw_cfg, be64toh(command->address), length);
    if (control & DMA_WRITE)
        return length == 0;
    if (control & DMA_SKIP)
        dma_skip(fw_cfg, length);
    return true;
}

/* Ends with the command's control field: zero, or the error alone. */
static void dma_run(struct fw_cfg *fw_cfg, uint64_t gpa)
{
    struct dma_command command;
    uint32_t result = htobe32(DMA_ERROR);

    if (guest_memory_read(fw_cfg->memory, gpa, &command, sizeof command) && dma_carry_out(fw_cfg, &command))
        result = 0;
    guest_memory_write(fw_cfg->memory, gpa, &result, sizeof result);
}

static uint64_t dma_register_read(void *device, uint64_t offset, unsigned size)
{
    uint64_t value = 0;

    (void)device;
    memcpy(&value, dma_signature + offset, size);
    return value;
}

/* The register is big-endian, so that its upper half has the lower port; the lower half starts the command. */
static void dma_register_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct fw_cfg *fw_cfg = device;
    uint32_t half = be32toh((uint32_t)value);
    uint64_t gpa;

    if (size != 4)
        return;
    if (offset == OFFSET_DMA_HIGH)
        fw_cfg->dma_high = half;
    if (offset != OFFSET_DMA_LOW)
        return;
    gpa = (uint64_t)fw_cfg->dma_high << 32 | half;
    fw_cfg->dma_high = 0;
    dma_run(fw_cfg, gpa);
}

static const struct bus_operations ports_operations = {
    .read = ports_read, .write = ports_write, .block_in = ports_block_in};
static const struct bus_operations dma_operations = {.read = dma_register_read, .write = dma_register_write};

/* ---- Items ---- */

bool fw_cfg_add_item(struct fw_cfg *fw_cfg, uint16_t key, const void *data, uint32_t length)
{
    if (fw_cfg->item_count == FW_CFG_MAXIMUM_ITEMS || find_item(fw_cfg, key) || key & SELECTOR_WRITE ||
        (key >= FW_CFG_FIRST_FILE && !(key & SELECTOR_BOARD)))
        return false;
    fw_cfg->items[fw_cfg->item_count++] = (struct fw_cfg_item){key, length, data};
    return true;
}

bool fw_cfg_add_file(struct fw_cfg *fw_cfg, const char *name, const void *data, uint32_t length)
{
    struct fw_cfg_directory_entry *entries = fw_cfg->directory.entries;
    unsigned place = 0, behind;

    if (fw_cfg->file_count == FW_CFG_MAXIMUM_FILES || !*name || strlen(name) >= FW_CFG_NAME_SIZE)
        return false;
    while (place < fw_cfg->file_count && strcmp(entries[place].name, name) < 0)
        place++;
    behind = fw_cfg->file_count - place;
    if (behind && strcmp(entries[place].name, name) == 0)
        return false;
    memmove(&fw_cfg->files[place + 1], &fw_cfg->files[place], behind * sizeof *fw_cfg->files);
    memmove(&entries[place + 1], &entries[place], behind * sizeof *entries);
    fw_cfg->files[place] = (struct fw_cfg_item){.length = length, .data = data};
    entries[place] = (struct fw_cfg_directory_entry){.size = htobe32(length)};
    strcpy(entries[place].name, name);
    fw_cfg->file_count++;
    for (unsigned i = place; i < fw_cfg->file_count; i++) {
        fw_cfg->files[i].key = (uint16_t)(FW_CFG_FIRST_FILE + i);
        entries[i].key = htobe16(fw_cfg->files[i].key);
    }
    fw_cfg->directory.count = htobe32(fw_cfg->file_count);
    return true;
}

bool fw_cfg_initialize(struct fw_cfg *fw_cfg, struct bus *bus, const struct guest_memory *memory)
{
    memset(fw_cfg, 0, sizeof *fw_cfg);
    fw_cfg->memory = memory;
    fw_cfg_add_item(fw_cfg, FW_CFG_SIGNATURE, signature, sizeof signature);
    fw_cfg_add_item(fw_cfg, FW_CFG_ID, id, sizeof id);
    fw_cfg_add_item(fw_cfg, FW_CFG_DIRECTORY, &fw_cfg->directory, sizeof fw_cfg->directory);
    return bus_add(bus, BUS_PORTS, PORT_SELECTOR, 2, &ports_operations, fw_cfg, "firmware configuration") &&
           bus_add(bus, BUS_PORTS, PORT_DMA, 8, &dma_operations, fw_cfg, "firmware configuration DMA");
}

void fw_cfg_reset(struct fw_cfg *fw_cfg)
{
    select_item(fw_cfg, FW_CFG_SIGNATURE);
    fw_cfg->dma_high = 0;
}
