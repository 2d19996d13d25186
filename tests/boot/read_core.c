// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Reads physical memory through /proc/kcore or /proc/vmcore.
 *   read_core FILE            all of it; prints how many MiB could be read
 *   read_core FILE ADDRESS    the page there; prints "zeros", "data", or "absent" if the file does not have
 * it
 */
#include <elf.h>
#include <err.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SEGMENTS   128
#define PAGE       4096u
#define NO_ADDRESS UINT64_MAX /* a segment that is not of physical memory */

static Elf64_Phdr segments[SEGMENTS];
static unsigned segment_count;

static void read_exactly(int file, void *buffer, size_t size, uint64_t offset)
{
    ssize_t count = pread(file, buffer, size, (off_t)offset);

    if (count < 0)
        err(1, "%zu bytes at offset %#lx", size, offset);
    if ((size_t)count != size)
        errx(1, "%zd of %zu bytes at offset %#lx", count, size, offset);
}

static void read_segments(int file)
{
    Elf64_Ehdr header;

    read_exactly(file, &header, sizeof(header), 0);
    if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_phnum > SEGMENTS)
        errx(1, "not a core file");
    segment_count = header.e_phnum;
    read_exactly(file, segments, segment_count * sizeof(segments[0]), header.e_phoff);
}

static bool is_memory(const Elf64_Phdr *segment)
{
    return segment->p_type == PT_LOAD && segment->p_paddr != NO_ADDRESS;
}

/*
 * Some memory is in two segments: the kernel's own, which is first, and what lies behind its data was given back and is
 * no longer mapped there, so that it reads as zeros.
 */
static const char *kind_of_page(int file, uint64_t address)
{
    static const char zeros[PAGE];
    const char *kind = "absent";
    char page[PAGE];

    for (unsigned i = 0; i < segment_count; i++)
        if (is_memory(&segments[i]) && address >= segments[i].p_paddr &&
            address - segments[i].p_paddr < segments[i].p_memsz) {
            read_exactly(file, page, sizeof(page), segments[i].p_offset + (address - segments[i].p_paddr));
            if (memcmp(page, zeros, sizeof(page)) != 0)
                return "data";
            kind = "zeros";
        }
    return kind;
}

static uint64_t read_all(int file)
{
    static char buffer[1 << 20];
    uint64_t total = 0;

    for (unsigned i = 0; i < segment_count; i++) {
        uint64_t size = is_memory(&segments[i]) ? segments[i].p_memsz : 0;

        for (uint64_t done = 0; done < size; done += sizeof(buffer))
            read_exactly(file, buffer, size - done < sizeof(buffer) ? size - done : sizeof(buffer),
                         segments[i].p_offset + done);
        total += size;
    }
    return total;
}

int main(int count, char **arguments)
{
    int file;

    if (count < 2 || count > 3)
        errx(1, "usage: read_core FILE [ADDRESS]");
    file = open(arguments[1], O_RDONLY | O_CLOEXEC);
    if (file < 0)
        err(1, "%s", arguments[1]);
    read_segments(file);
    if (count == 3)
        puts(kind_of_page(file, strtoull(arguments[2], NULL, 0) & -(uint64_t)PAGE));
    else
        printf("%lu\n", read_all(file) >> 20);
    return 0;
}
