/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random requests on one image, and a model in memory of what the image holds.
 *
 * Kinds, places and sizes depend on the seed only, not on time. A request that overlaps an earlier one that is in flight
 * (unless both are reads) waits, and is submitted inside the callback of the last one that it waits for; so the model
 * knows what every read has to find. A fifth of the requests meets in a few hot places to make that happen often.
 *
 *   kinds   44 % writes, 40 % reads, 13 % discards, 3 % flushes; a quarter of reads and writes in up to eight elements
 *   sizes   from 1 byte on: 70 % up to 4 KiB, 20 % to 16 KiB, 8 % to 64 KiB, 1.7 % to 256 KiB, 0.28 % to 1 MiB,
 *           0.02 % to 9 MiB (three shards)
 *   places  40 % next to a multiple of 4 MiB, 20 % in the hot places, 5 % around the end, the rest anywhere; a third each
 *           at multiples of 4096, of 512, of 1
 */
#ifndef BLKGLUSTER_WORKLOAD_H
#define BLKGLUSTER_WORKLOAD_H

#include "volumes.h"

#define SHARD (4 * MiB)

struct workload;

/* Opens the image, which is empty. It grows to `most` bytes at most. `how` tells a person how to repeat it. */
struct workload *workload_open(const char *uri, const char *mode, uint64_t seed, unsigned depth, int64_t most,
                               const char *how);
/* Submits so many more requests; up to `depth` of them are left in flight. False once something was wrong. */
bool workload_run(struct workload *w, unsigned requests);
/* Waits until none is in flight. */
bool workload_rest(struct workload *w);
/* These need rest. */
bool workload_truncate(struct workload *w, int64_t length);
bool workload_reopen(struct workload *w);
/* Flushes, and compares length and every byte through a connection of its own, with the other write-cache mode. */
bool workload_compare(struct workload *w);
int64_t workload_length(const struct workload *w);
/* For requests beside the workload's own that change nothing. */
struct img *workload_image(struct workload *w);
/* Requests so far, and how many of them had to wait for another. */
unsigned workload_done(const struct workload *w), workload_waited(const struct workload *w);
void workload_close(struct workload *w);

#endif
