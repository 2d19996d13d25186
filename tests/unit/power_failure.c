/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/power_failure.h"

#include <stdlib.h>

#include "partitions/root/disk/disk.h"

#define MOST_PIECES    16384u
#define EXHAUSTIVE     7u
#define RANDOM_SUBSETS 24u

/* What may or may not have reached the medium by itself: a sector of a write, or a truncation. */
struct piece {
    const struct memory_change *change;
    size_t skip, length;
};

static struct piece pieces[MOST_PIECES];
static bool chosen[MOST_PIECES];
static uint32_t piece_count;
static uint64_t random_state;

void power_failure_seed(uint64_t seed)
{
    random_state = seed;
}

static uint64_t next_random(void)
{
    random_state += 0x9e3779b97f4a7c15u;
    uint64_t z = random_state;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint32_t power_failure_below(uint32_t limit)
{
    return (uint32_t)(next_random() % limit);
}

static void add_pieces(const struct memory_change *change)
{
    size_t skip = 0;
    do {
        size_t length = DISK_SECTOR_SIZE - (change->offset + skip) % DISK_SECTOR_SIZE;
        if (change->kind != MEMORY_WRITE || length > change->length - skip)
            length = change->length - skip;
        if (piece_count == MOST_PIECES)
            abort();
        pieces[piece_count++] = (struct piece){change, skip, length};
        skip += length;
    } while (skip < change->length);
}

/* The medium with what is synchronized, `base`, and the chosen pieces. */
static void compose(struct memory_file *medium, const struct memory_file *base)
{
    memory_file_set(medium, base->bytes, base->size);
    for (uint32_t i = 0; i < piece_count; i++)
        if (chosen[i])
            memory_file_apply(medium, pieces[i].change, pieces[i].skip, pieces[i].length);
}

/* The work of playing a log. */
struct play {
    struct memory_file medium;
    const struct memory_file *base;
    power_failure_visit *visit;
    void *context;
    uint64_t played;
};

static void play_medium(struct play *play, size_t point)
{
    compose(&play->medium, play->base);
    play->visit(play->context, &play->medium, point);
    play->played++;
}

/*
 * The failures right after change `point - 1`. Subsets without any of its pieces were played with the changes before
 * it, so `fresh` is the first piece that is new.
 */
static void play_subsets(struct play *play, size_t point, uint32_t fresh)
{
    if (piece_count <= EXHAUSTIVE) {
        for (uint32_t subset = 0; subset < 1u << piece_count; subset++) {
            if (subset && !(subset >> fresh))
                continue;
            for (uint32_t i = 0; i < piece_count; i++)
                chosen[i] = subset >> i & 1;
            play_medium(play, point);
        }
        return;
    }
    for (uint32_t subset = 0; subset < RANDOM_SUBSETS; subset++) {
        uint32_t density = power_failure_below(5); /* of 4; 4 is everything */
        for (uint32_t i = 0; i < piece_count; i++)
            chosen[i] = power_failure_below(4) < density;
        chosen[fresh + power_failure_below(piece_count - fresh)] ^= subset & 1;
        play_medium(play, point);
    }
}

uint64_t power_failure_play(const struct memory_file *logged, struct memory_file *base, power_failure_visit *visit,
                            void *context)
{
    struct play play = {.base = base, .visit = visit, .context = context};
    memory_file_initialize(&play.medium);
    piece_count = 0;
    for (size_t i = 0; i < logged->log_count; i++) {
        const struct memory_change *change = &logged->log[i];
        if (change->kind == MEMORY_SYNCHRONIZE) {
            for (uint32_t j = 0; j < piece_count; j++)
                memory_file_apply(base, pieces[j].change, pieces[j].skip, pieces[j].length);
            piece_count = 0;
            continue;
        }
        uint32_t fresh = piece_count;
        add_pieces(change);
        play_subsets(&play, i + 1, fresh);
    }
    memory_file_release(&play.medium);
    return play.played;
}

void power_failure_choose(struct memory_file *medium, const struct memory_file *base)
{
    for (uint32_t i = 0; i < piece_count; i++)
        chosen[i] = power_failure_below(2);
    compose(medium, base);
}

void power_failure_begin(struct memory_file *memory, struct memory_file *base)
{
    memory_file_set(base, memory->bytes, memory->size);
    memory->logging = true;
}
