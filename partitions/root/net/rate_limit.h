/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A token bucket: so many events a second, and so many at once. */
#ifndef NET_RATE_LIMIT_H
#define NET_RATE_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

struct rate_limit {
    uint64_t updated;     /* milliseconds */
    uint64_t thousandths; /* of a token */
};

/* Whether one more event is within `rate` a second with bursts of `burst`, at `now` milliseconds; if so it
 * counts. */
static inline bool rate_limit_take(struct rate_limit *limit, uint64_t now, unsigned rate, unsigned burst)
{
    uint64_t full = (uint64_t)burst * 1000;
    uint64_t elapsed = now - limit->updated;
    limit->updated = now;
    if (elapsed >= full / rate + 1 || limit->thousandths + elapsed * rate > full)
        limit->thousandths = full;
    else
        limit->thousandths += elapsed * rate;
    if (limit->thousandths < 1000)
        return false;
    limit->thousandths -= 1000;
    return true;
}

#endif
