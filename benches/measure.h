/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <stdint.h>

#include "histogram.h"

struct totals { /* since the process began */
    uint64_t ops, flushes, ns, user_us, system_us;
    uint64_t instructions, cycles; /* 0 where the processor's counters cannot be had */
    long switches;                 /* voluntary: how often a thread went to sleep */
};

void parse_arguments(int argc, char **argv);
/* Before the process starts any thread. Not for a measurement of time: in a virtual machine each
 * switch of threads then costs several exits to the hypervisor, which tripled what a request cost
 * here. */
void start_counters(void);
/* All of `totals` but ops and flushes. */
void measure_process(struct totals *totals);
void report_run(const struct totals *begin, const struct totals *end,
                const struct histogram *latency);

#endif
