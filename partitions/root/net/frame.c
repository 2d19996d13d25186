/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/net/frame.h"

#include <stdlib.h>

/* Free frames kept for the next batch; more go back to the C library. */
#define POOL_SIZE 256u

static struct frame *pool;
static unsigned pool_count;

struct frame_account *frame_account_create(void)
{
    struct frame_account *account = calloc(1, sizeof(*account));
    if (account)
        account->references = 1;
    return account;
}

void frame_account_release(struct frame_account *account)
{
    if (--account->references == 0)
        free(account);
}

static void discharge(struct frame *frame)
{
    if (!frame->account)
        return;
    frame->account->frames--;
    frame_account_release(frame->account);
    frame->account = NULL;
}

static void recycle(struct pbuf *pbuf)
{
    struct frame *frame = (struct frame *)(void *)pbuf;
    discharge(frame);
    if (pool_count == POOL_SIZE) {
        free(frame);
        return;
    }
    frame->next = pool;
    pool = frame;
    pool_count++;
}

static void reset(struct frame *frame)
{
    pbuf_alloced_custom(PBUF_RAW, 0, PBUF_REF, &frame->custom, frame->data, sizeof(frame->data));
}

struct frame *frame_allocate(void)
{
    struct frame *frame = pool;
    if (frame) {
        pool = frame->next;
        pool_count--;
    } else {
        frame = malloc(sizeof(*frame));
        if (!frame)
            return NULL;
    }
    frame->custom.custom_free_function = recycle;
    frame->account = NULL;
    reset(frame);
    return frame;
}

void frame_charge(struct frame *frame, struct frame_account *account)
{
    frame->account = account;
    account->frames++;
    account->references++;
}

struct pbuf *frame_set(struct frame *frame, size_t offset, size_t length)
{
    struct pbuf *pbuf = &frame->custom.pbuf;
    pbuf->payload = frame->data + offset;
    pbuf->len = pbuf->tot_len = (u16_t)(length - offset);
    return pbuf;
}
