/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The broker of a process that works on disk images: it opens, makes, finds and removes files for it, and prints what
 * it says. The broker does not look into an image, and takes nothing that it is asked for granted: an image may have
 * taken over whoever asks. What a verb may do with which files is said before it begins. What an image names is found
 * and opened only for reading, unless the verb writes to parents, and only if it looks like an image.
 */
#ifndef LOAM_BROKER_H
#define LOAM_BROKER_H

#include <stdbool.h>
#include <stdint.h>

#include "partitions/root/disk/new_file.h"
#include "tools/loam/broker_files.h"
#include "tools/loam/broker_message.h"

/* A chain has 1024 images with 8 names each, and a verb goes through it a few times. Listings allow for more. */
#define BROKER_MOST_REQUESTS (256u * 1024u)

/* What a command may do. */
struct broker_grant {
    struct {
        const char *path; /* NULL: there is none. The first is what is worked on */
        unsigned rights;
    } files[2];
    unsigned parents; /* rights, of what images name as their parents */
    unsigned sources; /* so many URLs may be fetched, whoever names them */
};

struct broker {
    unsigned parents, sources_left;
    struct broker_file *files;
    uint64_t requests_left;
    char *begun_path; /* of the new file that is begun; NULL: none */
    struct new_file begun;
    unsigned char last[2]; /* bytes printed on standard output and standard error */
};

/* False without memory; to be ended in any case. */
bool broker_begin(struct broker *broker, const struct broker_grant *grant);

/*
 * Answers a request; the descriptor to be passed with the answer, or -1, is the caller's. False if it is a request that
 * the program never makes, or one too many: whoever has sent it is to be ended.
 */
bool broker_answer(struct broker *broker, const struct broker_request *request, struct broker_answer *answer,
                   int *descriptor);

/* Removes a file that was begun and not finished, and frees everything. */
void broker_end(struct broker *broker);

#endif
