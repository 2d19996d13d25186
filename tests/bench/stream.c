/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One-way traffic, counted where it arrives.
 *
 *   stream receive tcp|udp PORT            prints "BYTES SECONDS", from the first byte to the last
 *   stream send tcp|udp ADDRESS PORT BYTES
 *
 * UDP datagrams carry 1472 bytes, what an Ethernet frame holds; the last ones carry one byte and say that it
 * is over.
 */
#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define DATAGRAM   1472
#define END_MARKS  20
#define TCP_BUFFER 65536

static int fail(const char *what)
{
    perror(what);
    return 1;
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int receive(bool tcp, const struct sockaddr_in *address)
{
    static char buffer[TCP_BUFFER];
    unsigned long long total = 0;
    double first = 0, last = 0;
    const int yes = 1;
    int file = socket(AF_INET, tcp ? SOCK_STREAM : SOCK_DGRAM, 0);

    setsockopt(file, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(file, (const struct sockaddr *)address, sizeof *address) != 0 || (tcp && listen(file, 1) != 0))
        return fail("stream: cannot listen");
    if (tcp)
        file = accept(file, NULL, NULL);
    for (;;) {
        ssize_t count = recv(file, buffer, sizeof buffer, 0);

        if (count < 0)
            return fail("stream: cannot receive");
        if (count == 0 || (!tcp && count == 1))
            break;
        last = now();
        if (total == 0)
            first = last;
        total += (unsigned long long)count;
    }
    printf("%llu %.6f\n", total, last - first);
    return 0;
}

static int send_all(bool tcp, const struct sockaddr_in *address, unsigned long long bytes)
{
    static char buffer[TCP_BUFFER];
    size_t size = tcp ? TCP_BUFFER : DATAGRAM;
    int file = socket(AF_INET, tcp ? SOCK_STREAM : SOCK_DGRAM, 0);

    if (connect(file, (const struct sockaddr *)address, sizeof *address) != 0)
        return fail("stream: cannot connect");
    while (bytes > 0) {
        ssize_t count = send(file, buffer, bytes < size ? (size_t)bytes : size, 0);

        if (count < 0)
            return fail("stream: cannot send");
        bytes -= (unsigned long long)count;
    }
    for (unsigned i = 0; !tcp && i < END_MARKS; i++) {
        usleep(50000);
        if (send(file, buffer, 1, 0) < 0)
            return fail("stream: cannot send");
    }
    return 0;
}

int main(int count, char **words)
{
    struct sockaddr_in address = {.sin_family = AF_INET};

    if (count == 4 && strcmp(words[1], "receive") == 0) {
        address.sin_port = htons((uint16_t)atoi(words[3]));
        return receive(strcmp(words[2], "tcp") == 0, &address);
    }
    if (count == 6 && strcmp(words[1], "send") == 0 && inet_pton(AF_INET, words[3], &address.sin_addr) == 1) {
        address.sin_port = htons((uint16_t)atoi(words[4]));
        return send_all(strcmp(words[2], "tcp") == 0, &address, strtoull(words[5], NULL, 10));
    }
    fprintf(stderr, "usage: stream receive tcp|udp PORT\n       stream send tcp|udp ADDRESS PORT BYTES\n");
    return 64;
}
