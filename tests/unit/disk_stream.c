/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk whose parent is fetched, for disk_stream_test.py:
 *   disk_stream CHILD SOCKET SEED
 * With a loam-fetch at the other end of SOCKET, a descriptor, it reads here and there, by the seed, and fetches the
 * rest between, until all is local; then it writes the disk to standard output. It may be killed at any time.
 */
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "partitions/root/disk/chain.h"
#include "partitions/root/disk/open.h"
#include "partitions/root/disk/remote_file.h"
#include "partitions/root/disk/streaming.h"

#define MOST_SECTORS 256u

static struct disk_error error;
static uint8_t buffer[MOST_SECTORS * DISK_SECTOR_SIZE];
static uint64_t random_state;
static sem_t arrived;

static uint32_t below(uint64_t limit)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((random_state >> 33) % limit);
}

static void something_arrived(void *context)
{
    (void)context;
    sem_post(&arrived);
}

static struct disk *open_disk(const char *child, int socket)
{
    int descriptor = open(child, O_RDWR | O_CLOEXEC);
    struct disk *look = disk_open_descriptor(
        dup(descriptor), child, DISK_OPEN_UNLOCKED | DISK_OPEN_FIND_PARENTS | DISK_OPEN_WITHOUT_SOURCE, &error);
    if (!look || !disk_unopened_source(look))
        return NULL;
    const struct remote_source source = *disk_unopened_source(look);
    const struct disk_link links[] = {
        {.descriptor = descriptor, .name = child    },
        { .descriptor = socket,      .name = source.url, .remote = &source},
    };
    disk_close(look);
    return disk_open_chain(links, 2, 0, &error);
}

static bool read_somewhere(struct disk *disk)
{
    uint32_t sectors = 1 + below(MOST_SECTORS);
    if (sectors > disk_sectors(disk))
        sectors = (uint32_t)disk_sectors(disk);
    return disk_transfer(disk, DISK_READ, buffer, below(disk_sectors(disk) - sectors + 1), sectors) == 0;
}

static bool fetch_all(struct disk *disk)
{
    enum streaming_progress progress;
    remote_file_watch(streaming_source(disk), something_arrived, NULL);
    while ((progress = streaming_prefetch(disk)) != STREAMING_DONE) {
        if (below(4) == 0 && !read_somewhere(disk))
            return false;
        if (progress == STREAMING_WAITS)
            sem_wait(&arrived);
    }
    return true;
}

static bool print(struct disk *disk)
{
    uint64_t end = disk_sectors(disk);
    for (uint64_t sector = 0; sector < end; sector += MOST_SECTORS) {
        uint32_t sectors = end - sector < MOST_SECTORS ? (uint32_t)(end - sector) : MOST_SECTORS;
        if (disk_transfer(disk, DISK_READ, buffer, sector, sectors) != 0 ||
            fwrite(buffer, DISK_SECTOR_SIZE, sectors, stdout) != sectors)
            return false;
    }
    return fflush(stdout) == 0;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    random_state = strtoull(argv[3], NULL, 10);
    struct disk *disk = open_disk(argv[1], atoi(argv[2]));
    if (!disk) {
        fprintf(stderr, "disk_stream: %s\n", error.text);
        return 1;
    }
    bool done = fetch_all(disk) && print(disk);
    if (!done)
        fprintf(stderr, "disk_stream: a read failed\n");
    return disk_close(disk) == 0 && done ? 0 : 1;
}
