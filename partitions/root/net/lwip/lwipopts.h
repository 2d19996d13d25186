/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How lwIP is built into loam-switch: TCP over IPv4 and the reassembly of fragments, in one thread, without
 * timers of its own (stack.c drives them). Ethernet, ARP, DHCP, UDP and ICMP are the switch's.
 */
#ifndef LWIPOPTS_H
#define LWIPOPTS_H

#define NO_SYS               1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_TIMERS          0
#define LWIP_NETCONN         0
#define LWIP_SOCKET          0

#define LWIP_IPV4     1
#define LWIP_IPV6     0
#define LWIP_ARP      0
#define LWIP_ETHERNET 0
#define LWIP_ICMP     0
#define LWIP_IGMP     0
#define LWIP_UDP      0
#define LWIP_RAW      0
#define LWIP_DHCP     0
#define LWIP_DNS      0
#define IP_FORWARD    0
#define IP_FRAG       0
#define IP_REASSEMBLY 1
/* Two whole 64 KiB datagrams, or many small ones; each pbuf holds one frame of a child. */
#define IP_REASS_MAX_PBUFS 128
#define MEMP_NUM_REASSDATA 32

/* Memory comes from malloc; what a child can make lwIP hold is bounded by flows, windows and frames
 * (nat_tcp.h). */
#define MEM_LIBC_MALLOC          1
#define MEMP_MEM_MALLOC          1
#define MEM_ALIGNMENT            8
#define LWIP_SUPPORT_CUSTOM_PBUF 1

/*
 * A frame of a child reaches the switch through memory: there is no wire on which it could be damaged, and
 * its checksums are not verified, as with any network card that checks them in hardware. This also lets
 * consecutive segments be merged (coalesce.h).
 */
#define CHECKSUM_CHECK_IP  0
#define CHECKSUM_CHECK_TCP 0
#include "partitions/root/net/checksum.h"
#define LWIP_CHKSUM lwip_checksum

#define LWIP_TCP                 1
#define TCP_MSS                  1460
#define LWIP_WND_SCALE           1
#define TCP_RCV_SCALE            3
#define TCP_WND                  (256 * 1024)
#define TCP_SND_BUF              (256 * 1024)
#define TCP_SND_QUEUELEN         (4 * TCP_SND_BUF / TCP_MSS)
#define TCP_SNDLOWAT             32768
#define TCP_SNDQUEUELOWAT        (TCP_SND_QUEUELEN / 2)
#define TCP_WND_UPDATE_THRESHOLD (4 * TCP_MSS)
#define TCP_QUEUE_OOSEQ          1
#define TCP_OOSEQ_MAX_BYTES      TCP_WND
#define TCP_OOSEQ_MAX_PBUFS      512
#define LWIP_TCP_SACK_OUT        1
#define TCP_LISTEN_BACKLOG       0
#define LWIP_TCP_RTO_TIME        1000
#define TCP_SYNMAXRTX            4
#define SO_REUSE                 1

#define LWIP_NETIF_TX_SINGLE_PBUF 0
#define LWIP_SINGLE_NETIF         0
#define LWIP_STATS                0
#define LWIP_NETIF_HOSTNAME       0

#endif
