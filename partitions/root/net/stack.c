/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/net/stack.h"

#include <stdbool.h>
#include <time.h>

#include <lwip/init.h>
#include <lwip/ip4_frag.h>
#include <lwip/priv/tcp_priv.h>
#include <lwip/sys.h>
#include <lwip/tcpip.h>

static uint64_t ack_due; /* 0: none */

void stack_delay_ack(uint64_t now)
{
    if (!ack_due)
        ack_due = now + STACK_ACK_DELAY;
}

/* Sends the acknowledgements that wait. tcp_fasttmr() does so for all connections and has no other effect. */
static void run_delayed_acks(uint64_t now)
{
    if (ack_due && now >= ack_due) {
        ack_due = 0;
        tcp_fasttmr();
    }
}

static int sooner(int timeout, uint64_t due, uint64_t now)
{
    int left = due > now ? (int)(due - now) : 0;
    return timeout < 0 || left < timeout ? left : timeout;
}

#if NO_SYS

static uint64_t tcp_due;        /* 0: not running */
static uint64_t reassembly_due; /* 0: not running */

u32_t sys_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (u32_t)((uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000);
}

/* lwIP has a connection that needs its timer. */
void tcp_timer_needed(void)
{
    if (!tcp_due)
        tcp_due = 1; /* at once, which sets the next time */
}

void stack_initialize(void)
{
    lwip_init();
    reassembly_due = 1;
}

void stack_enter(void)
{
}

void stack_leave(void)
{
}

int stack_timeout(uint64_t now)
{
    int timeout = -1;
    if (tcp_due)
        timeout = sooner(timeout, tcp_due, now);
    if (ack_due)
        timeout = sooner(timeout, ack_due, now);
    return timeout;
}

void stack_run_timers(uint64_t now)
{
    run_delayed_acks(now);
    if (tcp_due && now >= tcp_due) {
        tcp_due = now + TCP_TMR_INTERVAL;
        tcp_tmr();
        if (!tcp_active_pcbs && !tcp_tw_pcbs)
            tcp_due = 0;
    }
    /* Fragments alone do not wake the switch up: they age when something else does. */
    if (now >= reassembly_due) {
        reassembly_due = now + IP_TMR_INTERVAL;
        ip_reass_tmr();
    }
}

#define STACK_BUILD "source"

#else

/* lwIP's thread may send, but only the switch's thread writes to ports: how late it may be with that. */
#define STACK_POLL_INTERVAL 50u

static void started(void *opaque)
{
    bool *done = opaque;
    __atomic_store_n(done, true, __ATOMIC_RELEASE);
}

void stack_initialize(void)
{
    bool done = false;
    tcpip_init(started, &done);
    while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE))
        sys_msleep(1);
}

void stack_enter(void)
{
    LOCK_TCPIP_CORE();
}

void stack_leave(void)
{
    UNLOCK_TCPIP_CORE();
}

int stack_timeout(uint64_t now)
{
    int timeout = tcp_active_pcbs || tcp_tw_pcbs ? (int)STACK_POLL_INTERVAL : -1;
    return ack_due ? sooner(timeout, ack_due, now) : timeout;
}

void stack_run_timers(uint64_t now)
{
    run_delayed_acks(now);
}

#define STACK_BUILD "package"

#endif

const char *stack_description(void)
{
    return "lwIP " LWIP_VERSION_STRING " (" STACK_BUILD ")";
}
