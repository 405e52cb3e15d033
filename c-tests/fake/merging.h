/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Adjacent requests, and what became of them on their way to libgfapi. */
#ifndef BLKGLUSTER_MERGING_H
#define BLKGLUSTER_MERGING_H

#include "on_fake.h"

enum {
    UNIT = 4096,
    MOST = 64,
    WINDOW = 64, /* calls of one image in flight */
    /* A stream is requests each of which goes on where an earlier one ended. Calls of one in flight: */
    SHALLOW_WINDOW = 2,
    DEEP_WINDOW = 1, /* ... once its last call was made of MANY requests or more */
    MANY = 4,
    STREAMS = 8,                 /* that are told apart, of each kind */
    AT_ONCE = 1 + SHALLOW_WINDOW, /* requests of a new stream that are sent before any waits */
    /* What goes at once, whatever is in flight: */
    FULL_READ = 256 * 1024,
    FULL_WRITE = MiB, /* and reads of a sharded volume */
    FULL_MEMBERS = 256
};

/* `count` requests of UNIT bytes, one behind the other from `offset` on. */
struct batch {
    struct io io[MOST];
    char data[MOST][UNIT];
    struct img *img;
    int64_t offset;
    uint64_t seed;
    int count;
    bool is_write;
};

/* Those that read expect what `seed` wrote. */
void batch_write(struct batch *batch, struct img *img, int64_t offset, int count, uint64_t seed);
void batch_read(struct batch *batch, struct img *img, int64_t offset, int count, uint64_t seed);
int batch_done(const struct batch *batch);
/* Polls until all have had their callback; in FAKE_HELD mode it releases what is held meanwhile. */
bool batch_wait(struct batch *batch);
/* Request i succeeded, with the right data if it read. */
bool batch_right(const struct batch *batch, int i);
bool batch_all_right(const struct batch *batch);
/* What the image has there is what the batch wrote. */
bool batch_stored(const struct batch *batch);

/* Polls and releases until *counter >= wanted. */
bool release_until(const int *counter, int wanted);

/* The nth call from now on, and no other. */
void fault_at(int op, int action, int err, int64_t arg, uint64_t nth);
/* Call i of the trace; ends the program when there is none. */
struct fake_trace traced(uint64_t i);

#endif
