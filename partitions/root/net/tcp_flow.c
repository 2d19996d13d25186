/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/net/tcp_flow.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <lwip/priv/tcp_priv.h>

#include "partitions/root/net/vswitch.h"

/* pbufs that one system call takes. */
#define UPLOAD_PARTS 64

/* Connections of one port that have a ring of the first size, then of the second; the rest have the third. */
static const struct {
    unsigned flows;
    uint32_t size;
} ring_sizes[] = {
    {16,         TCP_SND_BUF < 256 * 1024 ? 64 * 1024 : 256 * 1024},
    {128,        64 * 1024                                        },
    {UINT32_MAX, 16 * 1024                                        }
};

void tcp_flow_mark(struct tcp_flow *flow)
{
    if (flow->marked)
        return;
    flow->marked = true;
    flow->next_marked = flow->vswitch->tcp.marked;
    flow->vswitch->tcp.marked = flow;
}

static void touch(struct tcp_flow *flow)
{
    flow->last_activity = flow->vswitch->loop.now;
    tcp_flow_mark(flow);
}

/* lwIP: data from the child, or its end. */
static err_t on_receive(void *argument, struct tcp_pcb *pcb, struct pbuf *data, err_t error)
{
    struct tcp_flow *flow = argument;
    LWIP_UNUSED_ARG(pcb);
    LWIP_UNUSED_ARG(error);
    touch(flow);
    if (!data) {
        flow->child_closed = true;
        return ERR_OK;
    }
    flow->received_in_round += data->tot_len;
    if (flow->upload_tail)
        flow->upload_tail->next = data;
    else
        flow->upload_head = data;
    while (data->next)
        data = data->next;
    flow->upload_tail = data;
    return ERR_OK;
}

/* lwIP: the child has acknowledged so many bytes. */
static err_t on_sent(void *argument, struct tcp_pcb *pcb, u16_t length)
{
    struct tcp_flow *flow = argument;
    LWIP_UNUSED_ARG(pcb);
    flow->ring_acked += length;
    touch(flow);
    return ERR_OK;
}

/* lwIP: the connection is no more, and the pcb has been freed. */
static void on_error(void *argument, err_t error)
{
    struct tcp_flow *flow = argument;
    flow->pcb = NULL;
    if (error != ERR_CLSD)
        flow->failed = true;
    touch(flow);
}

void tcp_flow_attach(struct tcp_flow *flow, struct tcp_pcb *pcb)
{
    flow->pcb = pcb;
    tcp_arg(pcb, flow);
    tcp_recv(pcb, on_receive);
    tcp_sent(pcb, on_sent);
    tcp_err(pcb, on_error);
    tcp_nagle_disable(pcb); /* the sender's own stack decides when small segments wait */
}

void tcp_flow_release_pcb(struct tcp_flow *flow)
{
    if (!flow->pcb)
        return;
    tcp_err(flow->pcb, NULL);
    tcp_arg(flow->pcb, NULL);
    tcp_abort(flow->pcb); /* silent if the connection is in TIME-WAIT */
    flow->pcb = NULL;
}

/* Drops the first `length` bytes that waited for the host, and tells lwIP that there is room again. */
static void consume(struct tcp_flow *flow, size_t length)
{
    for (size_t left = length; left && flow->pcb;) {
        u16_t part = left > 0xFFFF ? 0xFFFF : (u16_t)left;
        tcp_recved(flow->pcb, part);
        left -= part;
    }
    while (length) {
        struct pbuf *first = flow->upload_head;
        if (length < first->len) {
            first->payload = (uint8_t *)first->payload + length;
            first->len = (u16_t)(first->len - length);
            return;
        }
        length -= first->len;
        flow->upload_head = first->next;
        first->next = NULL;
        pbuf_free(first);
    }
    if (!flow->upload_head)
        flow->upload_tail = NULL;
}

static void upload(struct tcp_flow *flow)
{
    while (flow->upload_head && flow->writable && !flow->failed) {
        struct iovec parts[UPLOAD_PARTS];
        struct msghdr message = {.msg_iov = parts};
        for (struct pbuf *part = flow->upload_head; part && message.msg_iovlen < UPLOAD_PARTS;
             part = part->next)
            parts[message.msg_iovlen++] = (struct iovec){.iov_base = part->payload, .iov_len = part->len};
        ssize_t sent = sendmsg(flow->source.descriptor, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent >= 0)
            consume(flow, (size_t)sent);
        else if (errno == EAGAIN)
            flow->writable = false;
        else if (errno != EINTR)
            flow->failed = true;
    }
    if (!flow->upload_head && flow->child_closed && !flow->host_told && !flow->failed) {
        flow->host_told = true;
        shutdown(flow->source.descriptor,
                 SHUT_WR); /* fails only if the host's side is gone, which reading tells */
    }
}

/*
 * A merged segment counts as one for lwIP's rule of acknowledging every second; by the bytes it may be many.
 * Others wait a little for company.
 */
static void acknowledge(struct tcp_flow *flow)
{
    struct tcp_pcb *pcb = flow->pcb;
    uint32_t received = flow->received_in_round;
    flow->received_in_round = 0;
    if (!pcb || !(pcb->flags & TF_ACK_DELAY))
        return;
    if (received > pcb->mss) {
        tcp_ack_now(pcb);
        tcp_output(pcb);
    } else {
        stack_delay_ack(flow->vswitch->loop.now);
    }
}

static bool ensure_ring(struct tcp_flow *flow)
{
    if (flow->ring)
        return true;
    unsigned i = 0;
    while (flow->port && flow->port->tcp_flow_count > ring_sizes[i].flows)
        i++;
    flow->ring = malloc(ring_sizes[i].size);
    flow->ring_size = ring_sizes[i].size;
    return flow->ring != NULL;
}

/* Gives lwIP what it has not got yet of the ring. */
static void submit(struct tcp_flow *flow)
{
    while (flow->ring_sent != flow->ring_read) {
        uint32_t offset = flow->ring_sent & (flow->ring_size - 1);
        uint32_t length = flow->ring_read - flow->ring_sent;
        if (length > flow->ring_size - offset)
            length = flow->ring_size - offset;
        if (length > 0xFFFF)
            length = 0xFFFF;
        if (length > tcp_sndbuf(flow->pcb))
            length = tcp_sndbuf(flow->pcb);
        if (length == 0 || tcp_write(flow->pcb, flow->ring + offset, (u16_t)length, 0) != ERR_OK)
            return; /* goes on when the child has acknowledged something */
        flow->ring_sent += length;
    }
}

/* Reads from the host as much as there is room for. */
static void fill_ring(struct tcp_flow *flow)
{
    while (flow->readable && !flow->failed) {
        if (!ensure_ring(flow))
            return;
        uint32_t room = flow->ring_size - (flow->ring_read - flow->ring_acked);
        if (room == 0)
            return;
        uint32_t offset = flow->ring_read & (flow->ring_size - 1);
        uint32_t to_end = flow->ring_size - offset;
        const struct iovec parts[2] = {
            {.iov_base = flow->ring + offset, .iov_len = room < to_end ? room : to_end    },
            {.iov_base = flow->ring,          .iov_len = room < to_end ? 0 : room - to_end},
        };
        ssize_t length = readv(flow->source.descriptor, parts, 2);
        if (length > 0) {
            flow->ring_read += (uint32_t)length;
            flow->last_activity = flow->vswitch->loop.now;
            if ((size_t)length < room && !flow->host_hung_up)
                flow->readable = false; /* that was all; if more comes there is another edge */
        } else if (length == 0) {
            flow->host_closed = true;
            flow->readable = false;
        } else if (errno == EAGAIN) {
            flow->readable = false;
        } else if (errno != EINTR) {
            flow->failed = true;
        }
    }
}

static void download(struct tcp_flow *flow)
{
    if (flow->state != TCP_FLOW_OPEN || !flow->pcb || flow->child_told)
        return;
    fill_ring(flow);
    submit(flow);
    if (flow->host_closed && flow->ring_sent == flow->ring_read && tcp_shutdown(flow->pcb, 0, 1) == ERR_OK)
        flow->child_told = true;
}

void tcp_flow_process(struct tcp_flow *flow)
{
    if (flow->state == TCP_FLOW_DEAD || flow->state == TCP_FLOW_CONNECTING)
        return;
    upload(flow);
    download(flow);
    if (flow->pcb && flow->pcb->unsent)
        tcp_output(flow->pcb);
    acknowledge(flow);
    if (flow->pcb && flow->pcb->state == TIME_WAIT) {
        /* Both sides have closed. A child whose last FIN is not acknowledged gets a reset for it, which does
         * no harm. */
        tcp_flow_release_pcb(flow);
    }
    if (flow->failed)
        nat_tcp_remove(flow, true);
    else if (!flow->pcb && !flow->upload_head)
        nat_tcp_remove(flow, false);
}

void tcp_flow_tick(struct tcp_flow *flow)
{
    uint64_t idle = flow->vswitch->loop.now - flow->last_activity;
    uint64_t limit = flow->state == TCP_FLOW_OPEN && !flow->pcb ? TCP_FLOW_DRAINING_TIME : TCP_FLOW_IDLE_TIME;
    if (idle > limit * 1000) {
        nat_tcp_remove(flow, true);
        return;
    }
    if (flow->ring && idle > TCP_FLOW_RING_TIME * 1000 && flow->ring_acked == flow->ring_read) {
        free(flow->ring);
        flow->ring = NULL;
        flow->ring_read = flow->ring_sent = flow->ring_acked = 0;
    }
    bool waiting =
        flow->readable || flow->ring_sent != flow->ring_read || (flow->upload_head && flow->writable);
    if (flow->state == TCP_FLOW_OPEN && (waiting || (flow->pcb && flow->pcb->state == TIME_WAIT)))
        tcp_flow_mark(flow);
}

void tcp_flow_free(struct tcp_flow *flow)
{
    free(flow->ring);
    free(flow);
}
