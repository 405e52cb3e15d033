/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Latencies in buckets at most 1/64 wide: a percentile is exact to 1.6 %, and recording one costs a
 * few instructions. */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

#define SUB_BITS 6
#define BUCKETS (64 << SUB_BITS)

struct histogram {
    uint64_t count, sum;
    uint64_t bucket[BUCKETS];
};

static inline unsigned histogram_index(uint64_t ns)
{
    unsigned exponent;

    if (ns < (1 << SUB_BITS))
        return (unsigned)ns;
    exponent = 63 - (unsigned)__builtin_clzll(ns) - SUB_BITS;
    return ((exponent + 1) << SUB_BITS) + (unsigned)((ns >> exponent) & ((1 << SUB_BITS) - 1));
}

static inline uint64_t histogram_value(unsigned index)
{
    unsigned exponent = index >> SUB_BITS;

    if (exponent == 0)
        return index;
    return ((uint64_t)(1 << SUB_BITS) + (index & ((1 << SUB_BITS) - 1))) << (exponent - 1);
}

static inline void histogram_add(struct histogram *h, uint64_t ns)
{
    h->count++;
    h->sum += ns;
    h->bucket[histogram_index(ns)]++;
}

static inline void histogram_merge(struct histogram *to, const struct histogram *from)
{
    to->count += from->count;
    to->sum += from->sum;
    for (unsigned i = 0; i < BUCKETS; i++)
        to->bucket[i] += from->bucket[i];
}

static inline uint64_t histogram_quantile(const struct histogram *h, double q)
{
    uint64_t rank = (uint64_t)((double)h->count * q), seen = 0;

    for (unsigned i = 0; i < BUCKETS; i++) {
        seen += h->bucket[i];
        if (seen > rank)
            return histogram_value(i);
    }
    return 0;
}

#endif
