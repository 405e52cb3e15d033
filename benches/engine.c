/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "measure.h"

#define STAMP 4096 /* every block of this size begins with its own offset */

static struct lane *lanes;
static struct image *images;
static atomic_bool measuring, stopping;

uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void fail(const char *format, ...)
{
    va_list arguments;

    fprintf(stderr, "%s: ", contestant.name);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    /* Not exit: Gluster's threads still run, and its destructors have nothing to say. */
    _exit(1);
}

static void stamp(const struct slot *slot)
{
    char *data = slot->iov.iov_base;

    for (size_t at = 0; at < slot->iov.iov_len; at += STAMP) {
        int64_t offset = slot->offset + (int64_t)at;
        memcpy(data + at, &offset, sizeof(offset));
    }
}

/* The first and the last block: enough to catch a read that moved no data, or the wrong one, and
 * too little to be measured. */
static void check(const struct slot *slot)
{
    const char *data = slot->iov.iov_base;
    int64_t first, last;
    size_t end = slot->iov.iov_len - STAMP;

    memcpy(&first, data, sizeof(first));
    memcpy(&last, data + end, sizeof(last));
    if (first != slot->offset || last != slot->offset + (int64_t)end)
        fail("a read at %" PRId64 " of %s returned the data of %" PRId64, slot->offset,
             slot->image->path, first);
}

static bool next_is_read(struct image *image)
{
    if (settings.read_percent == 0 || settings.read_percent == 100)
        return settings.read_percent != 0;
    image->random = image->random * 6364136223846793005u + 1442695040888963407u;
    return (image->random >> 33) % 100 < settings.read_percent;
}

/* Without storage, reading the clock twice would be a good part of a request. */
static bool worth_a_look(const struct image *image)
{
    return !settings.storage_free || image->position % 16 == 0;
}

static void start(struct image *image, enum kind kind)
{
    struct slot *slot = image->free;

    image->free = slot->next_free;
    image->in_flight++;
    image->lane->in_flight++;
    slot->kind = kind;
    if (kind == FLUSH_OP) {
        image->flushing = true;
        image->since_flush = 0;
    } else {
        slot->offset = (int64_t)(image->position * settings.block);
        image->position = (image->position + settings.step) % image->blocks;
    }
    if (kind == WRITE_OP) {
        image->since_flush++;
        stamp(slot);
    }
    slot->submitted_ns = worth_a_look(image) ? now_ns() : 0;
    contestant.submit(slot);
}

/* A flush waits for all that is in flight, and all waits for the flush: what `qemu-img bench
 * --flush-interval` does. */
static void advance(struct image *image)
{
    while (image->free && !image->flushing &&
           !atomic_load_explicit(&stopping, memory_order_relaxed)) {
        if (settings.flush_every && image->since_flush >= settings.flush_every) {
            if (image->in_flight == 0)
                start(image, FLUSH_OP);
            return;
        }
        start(image, next_is_read(image) ? READ_OP : WRITE_OP);
    }
}

static void bump(_Atomic uint64_t *counter)
{
    /* One writer: no locked instruction is needed. */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

void finished(struct slot *slot, long ret)
{
    struct image *image = slot->image;
    struct lane *lane = image->lane;

    if (ret < 0)
        fail("%s at %" PRId64 " of %s: %s",
             slot->kind == READ_OP    ? "read"
             : slot->kind == WRITE_OP ? "write"
                                      : "flush",
             slot->offset, image->path, strerror((int)-ret));
    if (slot->kind == READ_OP && settings.check)
        check(slot);
    if (slot->kind == FLUSH_OP) {
        image->flushing = false;
        bump(&lane->flushes);
    } else {
        bump(&lane->ops);
        if (slot->submitted_ns && atomic_load_explicit(&measuring, memory_order_relaxed))
            histogram_add(&lane->latency, now_ns() - slot->submitted_ns);
    }
    slot->next_free = image->free;
    image->free = slot;
    image->in_flight--;
    lane->in_flight--;
    advance(image);
}

static void *run_lane(void *argument)
{
    struct lane *lane = argument;

    if (contestant.start_lane)
        contestant.start_lane(lane);
    for (unsigned i = lane->index; i < settings.images; i += settings.threads)
        advance(&images[i]);
    while (lane->in_flight)
        contestant.wait(lane);
    return NULL;
}

static void nap(double seconds)
{
    struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};

    while (nanosleep(&t, &t) && errno == EINTR)
        ;
}

static void make_images(void)
{
    lanes = calloc(settings.threads, sizeof(*lanes));
    images = calloc(settings.images, sizeof(*images));
    if (!lanes || !images)
        fail("out of memory");
    for (unsigned i = 0; i < settings.threads; i++) {
        lanes[i].index = i;
        if (contestant.make_lane)
            contestant.make_lane(&lanes[i]);
    }
    for (unsigned i = 0; i < settings.images; i++) {
        struct image *image = &images[i];

        image->lane = &lanes[i % settings.threads];
        image->index = i;
        image->blocks = settings.size / settings.block;
        image->random = i;
        if (settings.images == 1)
            snprintf(image->path, sizeof(image->path), "%s", settings.image);
        else
            snprintf(image->path, sizeof(image->path), "%s.%u", settings.image, i);
    }
}

static void make_slots(struct image *image)
{
    image->slots = calloc(settings.depth, sizeof(*image->slots));
    for (unsigned i = 0; i < settings.depth; i++) {
        struct slot *slot = &image->slots[i];

        slot->image = image;
        slot->iov.iov_len = settings.block;
        if (posix_memalign(&slot->iov.iov_base, STAMP, settings.block))
            fail("out of memory");
        memset(slot->iov.iov_base, 0x5a, settings.block);
        slot->next_free = image->free;
        image->free = slot;
    }
}

static void snapshot(struct totals *totals)
{
    *totals = (struct totals){0};
    for (unsigned i = 0; i < settings.threads; i++) {
        totals->ops += atomic_load_explicit(&lanes[i].ops, memory_order_relaxed);
        totals->flushes += atomic_load_explicit(&lanes[i].flushes, memory_order_relaxed);
    }
    measure_process(totals);
}

static void open_images(void)
{
    for (unsigned i = 0; i < settings.images; i++) {
        contestant.open(&images[i]);
        make_slots(&images[i]);
    }
    if (settings.storage_free)
        go_without_storage();
}

static void run(double seconds)
{
    static struct histogram latency;
    struct totals begin, end;

    atomic_store(&stopping, false);
    for (unsigned i = 0; i < settings.threads; i++) {
        memset(&lanes[i].latency, 0, sizeof(lanes[i].latency));
        if (pthread_create(&lanes[i].thread, NULL, run_lane, &lanes[i]))
            fail("cannot start a thread");
    }
    nap(settings.warmup);
    atomic_store(&measuring, true);
    snapshot(&begin);
    nap(seconds);
    snapshot(&end);
    atomic_store(&measuring, false);
    atomic_store(&stopping, true);
    memset(&latency, 0, sizeof(latency));
    for (unsigned i = 0; i < settings.threads; i++) {
        pthread_join(lanes[i].thread, NULL);
        histogram_merge(&latency, &lanes[i].latency);
    }
    report_run(&begin, &end, &latency);
    fflush(stdout);
}

/* One run for each line of input, on images that stay open: short turns of several contestants can
 * alternate, each under the same weather. */
static void serve(void)
{
    char line[64];

    while (fgets(line, sizeof(line), stdin))
        run(atof(line));
}

/* Every contestant but ours lives with libgfapi's own glfs_fini, so a reopening pays for a new
 * connection there. */
static void open_and_close(void)
{
    struct image *first = &images[0], *second = &images[1];
    uint64_t t[7];

    if (settings.images < 2)
        fail("--task open takes two images");
    t[0] = now_ns();
    contestant.open(first);
    t[1] = now_ns();
    contestant.open(second);
    t[2] = now_ns();
    contestant.close(second);
    t[3] = now_ns();
    contestant.close(first);
    t[4] = now_ns();
    contestant.open(first);
    t[5] = now_ns();
    contestant.close(first);
    t[6] = now_ns();
    printf("{\"contestant\": \"%s\", \"open_cold_ms\": %.3f, \"open_second_ms\": %.3f, "
           "\"close_second_ms\": %.3f, "
           "\"close_last_ms\": %.3f, \"open_again_ms\": %.3f, \"close_again_ms\": %.3f}\n",
           contestant.name, (double)(t[1] - t[0]) / 1e6, (double)(t[2] - t[1]) / 1e6,
           (double)(t[3] - t[2]) / 1e6, (double)(t[4] - t[3]) / 1e6, (double)(t[5] - t[4]) / 1e6,
           (double)(t[6] - t[5]) / 1e6);
}

/* Writes every block of every image once. */
static void fill(void)
{
    for (unsigned i = 0; i < settings.images; i++) {
        struct image *image = &images[i];

        contestant.open(image);
        make_slots(image);
        if (contestant.start_lane)
            contestant.start_lane(image->lane);
        for (uint64_t block = 0; block < image->blocks; block++) {
            while (!image->free)
                contestant.wait(image->lane);
            start(image, WRITE_OP);
        }
        while (image->in_flight)
            contestant.wait(image->lane);
        start(image, FLUSH_OP);
        while (image->in_flight)
            contestant.wait(image->lane);
    }
}

int main(int argc, char **argv)
{
    parse_arguments(argc, argv);
    if (settings.counters)
        start_counters();
    make_images();
    if (!strcmp(settings.task, "run")) {
        open_images();
        run(settings.seconds);
    } else if (!strcmp(settings.task, "serve")) {
        open_images();
        serve();
    } else if (!strcmp(settings.task, "open")) {
        open_and_close();
    } else if (!strcmp(settings.task, "fill")) {
        atomic_store(&stopping, true); /* `finished` starts nothing */
        fill();
    } else {
        fail("unknown task %s", settings.task);
    }
    fflush(stdout);
    /* Connections are left to the kernel: closing them takes up to ten seconds and is measured by
     * the task `open` alone. */
    _exit(0);
}
