/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/streaming.h"

#include <errno.h>
#include <stdlib.h>

#include "partitions/root/disk/chain.h"
#include "partitions/root/disk/remote_file.h"

/* Bytes that may have to be fetched again when the host loses power, or a VHDX's process is killed. */
#define MOST_UNFLUSHED (4u << 20)
/* Pieces that are looked at before requests get their turn. */
#define PREFETCH_STEPS 64u

/* Sectors that one read of the source has. */
struct segment {
    uint64_t sector;
    uint64_t sectors; /* 0: there is none */
    uint64_t offset;  /* byte of the source */
};

struct piece_fetch {
    struct segment segment;
    struct remote_read *read; /* NULL: none is under way */
    uint64_t turn;            /* fetches began in this order */
    bool wanted;              /* by a request, and not only ahead of any */
};

struct streaming {
    struct piece_fetch fetches[STREAMING_FETCHES];
    uint64_t turns;
    uint64_t next;      /* sector that prefetching has come to */
    uint64_t local;     /* up to here all is local; read by other threads */
    uint64_t unflushed; /* bytes that were stored since the last flush of them */
    bool storing;       /* what is read now is for what is being stored */
    bool full;          /* there was no space when something was stored last */
    bool broken;        /* something could not be fetched or stored for good: nothing is fetched ahead any more */
    bool complete;
};

static uint64_t end_of(const struct segment *segment)
{
    return segment->sector + segment->sectors;
}

static bool overlaps(const struct piece_fetch *fetch, uint64_t sector, uint64_t end)
{
    return fetch->read && fetch->segment.sector < end && sector < end_of(&fetch->segment);
}

static struct piece_fetch *find_fetch(struct streaming *streaming, uint64_t sector, uint64_t end)
{
    for (unsigned i = 0; i < STREAMING_FETCHES; i++)
        if (overlaps(&streaming->fetches[i], sector, end))
            return &streaming->fetches[i];
    return NULL;
}

/* ---- What is to be fetched ---- */

/* The first sectors before `end` that only the remote image has. */
static int find_remote(struct disk *disk, uint64_t sector, uint64_t end, struct segment *segment)
{
    *segment = (struct segment){0};
    while (sector < end) {
        struct disk_extent extent;
        uint32_t image;
        int error = disk_map(disk, sector, (uint32_t)(end - sector), &extent, &image);
        if (error)
            return error;
        if (image == disk->image_count - 1 && extent.kind == DISK_EXTENT_DATA) {
            *segment = (struct segment){sector, extent.sectors, extent.offset};
            return 0;
        }
        sector += extent.sectors;
    }
    return 0;
}

/* The first of them that are not under way. */
static int find_missing(struct disk *disk, uint64_t sector, uint64_t end, struct segment *segment)
{
    for (;;) {
        int error = find_remote(disk, sector, end, segment);
        if (error || !segment->sectors)
            return error;
        const struct piece_fetch *fetch = find_fetch(disk->streaming, segment->sector, segment->sector + 1);
        if (!fetch)
            break;
        sector = end_of(&fetch->segment);
    }
    const struct piece_fetch *fetch;
    while ((fetch = find_fetch(disk->streaming, segment->sector, end_of(segment))))
        segment->sectors = fetch->segment.sector - segment->sector;
    return 0;
}

/* What is to be fetched first between two sectors of a piece, as far as the source has it in a row, whatever is local
 * in between: one read costs less than many. */
static int find_segment(struct disk *disk, uint64_t sector, uint64_t end, struct segment *segment)
{
    struct segment next;
    int error = find_missing(disk, sector, end, segment);
    while (!error && segment->sectors) {
        error = find_missing(disk, end_of(segment), end, &next);
        if (error || !next.sectors || find_fetch(disk->streaming, segment->sector, end_of(&next)) ||
            next.offset != segment->offset + (next.sector - segment->sector) * DISK_SECTOR_SIZE)
            break;
        segment->sectors = end_of(&next) - segment->sector;
    }
    return error;
}

/* ---- Fetching and storing ---- */

static void drop(struct disk *disk, struct piece_fetch *fetch)
{
    remote_file_end(disk->remote, fetch->read);
    fetch->read = NULL;
}

static int store_absent(struct disk *disk, const struct piece_fetch *fetch)
{
    const uint8_t *bytes = remote_read_bytes(fetch->read);
    uint64_t sector = fetch->segment.sector;
    int error = 0;
    while (!error) {
        struct segment absent;
        error = find_remote(disk, sector, end_of(&fetch->segment), &absent);
        if (error || !absent.sectors)
            break;
        error = disk_store(disk, bytes + (absent.sector - fetch->segment.sector) * DISK_SECTOR_SIZE, absent.sector,
                           (uint32_t)absent.sectors);
        sector = end_of(&absent);
    }
    return error;
}

/* The guest flushes what it has written, and knows nothing of this. */
static int flush_stored(struct disk *disk, uint64_t stored)
{
    struct disk_image *first = disk_top(disk);
    disk->streaming->unflushed += stored;
    if (disk->streaming->unflushed < MOST_UNFLUSHED)
        return 0;
    disk->streaming->unflushed = 0;
    return first->operations->flush(first);
}

/* Whether what has come is worth keeping until it is tried again. */
static bool is_for_now(int error)
{
    return error == ENOSPC || error == EDQUOT || error == EAGAIN || error == ECANCELED;
}

/* Waits for a fetch and stores what has come. What cannot be stored for good is not worth an error: the source has it.
 */
static int finish(struct disk *disk, struct piece_fetch *fetch)
{
    struct streaming *streaming = disk->streaming;
    int waited = remote_file_wait(disk->remote, fetch->read), error = waited;
    if (!error) {
        streaming->storing = true;
        error = store_absent(disk, fetch);
        if (!error)
            error = flush_stored(disk, fetch->segment.sectors * DISK_SECTOR_SIZE);
        streaming->storing = false;
        streaming->full = error == ENOSPC || error == EDQUOT;
    }
    if (is_for_now(error))
        return error;
    streaming->broken |= error != 0;
    drop(disk, fetch);
    return waited;
}

/* A place for one more fetch: a free one, or that of the oldest, which is finished. NULL with an error. */
static struct piece_fetch *take_place(struct disk *disk, int *error)
{
    struct piece_fetch *oldest = NULL;
    for (unsigned i = 0; i < STREAMING_FETCHES; i++) {
        struct piece_fetch *fetch = &disk->streaming->fetches[i];
        if (!fetch->read)
            return fetch;
        if (!oldest || fetch->turn < oldest->turn)
            oldest = fetch;
    }
    *error = finish(disk, oldest);
    return oldest->read ? NULL : oldest;
}

static int begin(struct disk *disk, const struct segment *segment, bool wanted)
{
    int error = 0;
    struct piece_fetch *fetch = take_place(disk, &error);
    if (!fetch || error)
        return error;
    fetch->read = remote_file_begin(disk->remote, segment->offset, (uint32_t)(segment->sectors * DISK_SECTOR_SIZE));
    if (!fetch->read)
        return ENOMEM;
    fetch->segment = *segment;
    fetch->turn = ++disk->streaming->turns;
    fetch->wanted = wanted;
    return 0;
}

/* Begins to fetch what is missing between two sectors of a piece. */
static int begin_missing(struct disk *disk, uint64_t sector, uint64_t end)
{
    int error = 0;
    while (!error) {
        struct segment segment;
        error = find_segment(disk, sector, end, &segment);
        if (error || !segment.sectors)
            break;
        error = begin(disk, &segment, true);
        sector = end_of(&segment);
    }
    return error;
}

/* ---- What is read ---- */

/* Whether the index knows that these sectors of a window are local. */
static bool is_known_local(struct disk *disk, uint64_t sector, uint64_t end)
{
    const struct extent_window *window = extent_index_find(disk->index, sector / EXTENT_WINDOW_SECTORS);
    if (!window)
        return false;
    uint64_t place = window->number * EXTENT_WINDOW_SECTORS;
    for (uint32_t i = 0; i < window->count && place < end; place += window->extents[i++].sectors)
        if (window->extents[i].image == disk->image_count - 1 && place + window->extents[i].sectors > sector)
            return false;
    return true;
}

static uint64_t least(uint64_t one, uint64_t other)
{
    return one < other ? one : other;
}

static int begin_pieces(struct disk *disk, uint64_t sector, uint64_t end)
{
    int error = 0;
    while (sector < end && !error) {
        uint64_t piece = sector / STREAMING_PIECE_SECTORS * STREAMING_PIECE_SECTORS;
        uint64_t piece_end = least(piece + STREAMING_PIECE_SECTORS, disk->sectors);
        struct segment missing = {0};
        if (!is_known_local(disk, sector, least(end, piece_end)))
            error = find_missing(disk, sector, least(end, piece_end), &missing);
        if (!error && missing.sectors)
            error = begin_missing(disk, piece, piece_end);
        sector = piece_end;
    }
    return error;
}

/* A fetch that brings something of these sectors that is not local; NULL: there is none. */
static int find_needed(struct disk *disk, uint64_t sector, uint64_t end, struct piece_fetch **needed)
{
    *needed = NULL;
    while (sector < end) {
        struct segment absent;
        int error = find_remote(disk, sector, end, &absent);
        if (error || !absent.sectors)
            return error;
        *needed = find_fetch(disk->streaming, absent.sector, end_of(&absent));
        if (*needed)
            break;
        sector = end_of(&absent);
    }
    return 0;
}

int streaming_bring(struct disk *disk, uint64_t sector, uint32_t sectors)
{
    struct streaming *streaming = disk->streaming;
    if (streaming->complete || streaming->storing)
        return 0;
    int error = begin_pieces(disk, sector, sector + sectors);
    while (!error && find_fetch(streaming, sector, sector + sectors)) {
        struct piece_fetch *fetch;
        error = find_needed(disk, sector, sector + sectors, &fetch);
        if (!fetch)
            break;
        error = finish(disk, fetch);
    }
    return error;
}

/* ---- What is fetched ahead ---- */

static void store_what_has_come(struct disk *disk)
{
    struct streaming *streaming = disk->streaming;
    for (unsigned i = 0; i < STREAMING_FETCHES; i++) {
        struct piece_fetch *fetch = &streaming->fetches[i];
        if (fetch->read && remote_file_is_done(disk->remote, fetch->read) && finish(disk, fetch))
            return;
    }
}

static unsigned count_ahead(const struct streaming *streaming)
{
    unsigned count = 0;
    for (unsigned i = 0; i < STREAMING_FETCHES; i++)
        count += streaming->fetches[i].read && !streaming->fetches[i].wanted;
    return count;
}

/* What has no data in the source is passed over. */
static void skip_empty(struct disk *disk)
{
    struct disk_image *source = disk->images[disk->image_count - 1];
    uint64_t *next = &disk->streaming->next;
    if (*next < source->sectors)
        *next = source->operations->next_present(source, *next);
    if (*next >= source->sectors)
        *next = disk->sectors;
}

/* Begins one more fetch, or passes over what is left of a piece. 0 or an errno. */
static int go_ahead(struct disk *disk)
{
    struct streaming *streaming = disk->streaming;
    struct segment segment;
    skip_empty(disk);
    uint64_t end = streaming->next / STREAMING_PIECE_SECTORS * STREAMING_PIECE_SECTORS + STREAMING_PIECE_SECTORS;
    end = least(end, disk->sectors);
    int error = find_segment(disk, streaming->next, end, &segment);
    if (!error && segment.sectors)
        error = begin(disk, &segment, false);
    if (!error)
        streaming->next = segment.sectors ? end_of(&segment) : end;
    return error;
}

/* How far it is local is where the first fetch is under way that is needed for it. */
static void tell_local(struct streaming *streaming)
{
    uint64_t local = streaming->next;
    for (unsigned i = 0; i < STREAMING_FETCHES; i++)
        if (streaming->fetches[i].read)
            local = least(local, streaming->fetches[i].segment.sector);
    __atomic_store_n(&streaming->local, local, __ATOMIC_RELAXED);
}

static enum streaming_progress prefetch(struct disk *disk)
{
    struct streaming *streaming = disk->streaming;
    store_what_has_come(disk);
    for (unsigned i = 0; i < PREFETCH_STEPS; i++) {
        if (streaming->full || streaming->broken || count_ahead(streaming) == STREAMING_PREFETCHES)
            return STREAMING_WAITS;
        if (streaming->next == disk->sectors) {
            streaming->complete = !find_fetch(streaming, 0, disk->sectors);
            return streaming->complete ? STREAMING_DONE : STREAMING_WAITS;
        }
        if (go_ahead(disk))
            return STREAMING_WAITS;
    }
    return STREAMING_MORE;
}

enum streaming_progress streaming_prefetch(struct disk *disk)
{
    if (!disk->streaming || disk->streaming->complete)
        return STREAMING_DONE;
    uint64_t patience = remote_file_set_patience(disk->remote, REMOTE_NO_PATIENCE);
    enum streaming_progress progress = prefetch(disk);
    remote_file_set_patience(disk->remote, patience);
    tell_local(disk->streaming);
    return progress;
}

uint64_t streaming_local(const struct disk *disk)
{
    if (!disk->streaming)
        return 0;
    return __atomic_load_n(&disk->streaming->local, __ATOMIC_RELAXED) * DISK_SECTOR_SIZE;
}

/* ---- Beginning and ending ---- */

struct disk_file *streaming_source(const struct disk *disk)
{
    return disk->remote;
}

bool streaming_begin(struct disk *disk)
{
    disk->remote = disk->images[disk->image_count - 1]->file;
    if (disk->read_only)
        return true;
    disk->streaming = calloc(1, sizeof(*disk->streaming));
    return disk->streaming != NULL;
}

void streaming_end(struct disk *disk)
{
    if (!disk->streaming)
        return;
    remote_file_set_patience(disk->remote, REMOTE_NO_PATIENCE);
    store_what_has_come(disk);
    for (unsigned i = 0; i < STREAMING_FETCHES; i++)
        if (disk->streaming->fetches[i].read)
            drop(disk, &disk->streaming->fetches[i]);
    free(disk->streaming);
    disk->streaming = NULL;
}
