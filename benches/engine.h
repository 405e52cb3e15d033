/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The workload that every contestant is given, so that nothing but the contestant differs: which
 * offsets, how many in flight, when the clock runs. A contestant is one small file that fills in
 * `struct contestant`.
 *
 * A lane is a thread that submits and reaps; each image belongs to one lane.
 */
#ifndef BENCH_ENGINE_H
#define BENCH_ENGINE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "histogram.h"

enum kind { READ_OP, WRITE_OP, FLUSH_OP };

struct settings {
    const char *server, *volume, *image, *library, *wake, *task;
    unsigned port;
    unsigned images, threads, depth, read_percent, flush_every;
    uint64_t size, block, step; /* step: blocks from one request to the next */
    double seconds, warmup;
    bool our_options;  /* libgfapi's client options: ours, or its defaults */
    bool write_cache;  /* Gluster's write-behind may acknowledge from memory */
    bool check;        /* compare the stamp of each block that is read */
    bool create;       /* the images do not exist yet */
    bool storage_free; /* on the stand-in for libgfapi */
    bool statistics;   /* the driver counts what it does */
    bool counters;     /* count instructions; see start_counters */
};
extern struct settings settings;

struct slot { /* one request in flight */
    struct image *image;
    struct iovec iov;
    enum kind kind;
    int64_t offset;
    uint64_t submitted_ns;
    struct slot *next_free;
    /* The contestant's own: */
    struct slot *next;
    void *request;
    long result;
};

struct image {
    struct lane *lane;
    unsigned index;
    char path[256];
    void *handle; /* the contestant's */
    /* The engine's: */
    struct slot *slots, *free;
    unsigned in_flight, since_flush;
    bool flushing;
    uint64_t position, blocks, random;
};

struct lane {
    unsigned index;
    void *handle; /* the contestant's */
    /* The engine's: */
    pthread_t thread;
    unsigned in_flight;
    _Atomic uint64_t ops, flushes;
    struct histogram latency;
};

struct contestant {
    const char *name;
    /* Before any image of the lane is opened; may be NULL. */
    void (*make_lane)(struct lane *lane);
    /* On the lane's own thread, before it submits; may be NULL. */
    void (*start_lane)(struct lane *lane);
    /* Opens an image, connecting when it is the first, and closes it, disconnecting when it is the
     * last. */
    void (*open)(struct image *image);
    void (*close)(struct image *image);
    /* Starts slot->kind at slot->offset with slot->iov. */
    void (*submit)(struct slot *slot);
    /* Blocks until something is done, and calls `finished` for what is, on the lane's thread. */
    void (*wait)(struct lane *lane);
};
extern const struct contestant contestant;

/* `ret`: 0 or more on success, -errno on failure, which ends the run. */
void finished(struct slot *slot, long ret);

void go_without_storage(void);

uint64_t now_ns(void);
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
