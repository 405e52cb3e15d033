/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A callback may run a poll loop of its own, and submit, and drain: it sees the completions of everything else. */
#include "on_fake.h"

enum { DEPTH = 40 };

static struct img img, second;
static struct io io[DEPTH];
static char data[4096];
static int deepest;

/* The seed's read-modify-write did this: wait for another request inside a callback. */
static void wait_for_next(struct io *self)
{
    int i = (int)(self - io);

    deepest = i > deepest ? i : deepest;
    if (i + 1 < DEPTH && !wait_for(&io[i + 1].done, 1, 10))
        fail("callback %d sees callback %d in its own loop", i, i + 1);
}

static void deep(int mode, const char *name)
{
    int i;

    fake.set_mode(mode, 2000);
    deepest = 0;
    for (i = 0; i < DEPTH; i++) {
        io[i].then = wait_for_next;
        io_pwrite(&io[i], &img, data, sizeof(data), (int64_t)i * 4096);
    }
    is(io_wait(&io[0]), 0, "%s: %d loops, one inside the other", name, DEPTH);
    is(deepest, DEPTH - 1, "... each saw the next completion");
    for (i = 0; i < DEPTH; i++)
        is(io[i].done, 1, "... callback %d ran once", i);
}

static void submit_and_wait(struct io *self)
{
    char copy[4096];

    is(pread_sync(&img, copy, sizeof(copy), 0), 0, "a callback reads and waits for it");
    ok(!memcmp(copy, data, sizeof(copy)), "... and has the data");
    is(flush_sync(&img), 0, "... and flushes");
    is(img.drv->getlength(&img.bs), DEPTH * 4096, "... and asks for the length");
    is(img.drv->truncate(&img.bs, DEPTH * 4096 + 512, NULL), 0, "... and grows the image");
    is(img.drv->truncate(&img.bs, DEPTH * 4096, NULL), 0, "... and shrinks it");
    is(pread_sync(&second, copy, sizeof(copy), 0), 0, "... and reads from another image");
    (void)self;
}

static void requests_inside(int mode, const char *name)
{
    fake.set_mode(mode, 1000);
    io[0].then = submit_and_wait;
    io_pwrite(&io[0], &img, data, sizeof(data), 0);
    is(io_wait(&io[0]), 0, "%s: requests inside a callback", name);
}

static void drain_inside(struct io *self)
{
    int i, finished = 0;

    is(img.drv->drain(&img.bs), 0, "drain inside a callback");
    for (i = 0; i < DEPTH; i++)
        finished += &io[i] != self && io[i].done;
    is(finished, DEPTH - 1, "... has called all other callbacks");
}

static void drains(int mode, const char *name)
{
    int i, finished = 0;

    fake.set_mode(mode, 2000);
    for (i = 0; i < DEPTH; i++) {
        io[i].then = i == DEPTH / 2 ? drain_inside : NULL;
        io_pwrite(&io[i], &img, data, sizeof(data), (int64_t)i * 4096);
    }
    is(io_wait(&io[DEPTH / 2]), 0, "%s: a callback drains", name);
    for (i = 0; i < DEPTH; i++) {
        io[i].then = NULL;
        io_pwrite(&io[i], &img, data, sizeof(data), (int64_t)i * 4096);
    }
    is(img.drv->drain(&img.bs), 0, "drain outside of callbacks");
    for (i = 0; i < DEPTH; i++)
        finished += io[i].done;
    is(finished, DEPTH, "... has called all callbacks");
    is(img.drv->drain(&img.bs), 0, "drain with nothing in flight");
}

static int chain_length;

static void submit_next(struct io *self)
{
    if (++chain_length < 1000)
        io_pwrite(self, &img, data, sizeof(data), 0);
}

/* A host whose callbacks submit the next request keeps the image busy for ever: dispatch must return all the same,
 * drain goes on until it stops. */
static void chains(int mode, const char *name)
{
    fake.set_mode(mode, 0);
    chain_length = 0;
    memset(&io[0], 0, sizeof(io[0]));
    io[0].then = submit_next;
    io_pwrite(&io[0], &img, data, sizeof(data), 0);
    while (!fake_counted().delivered)
        usleep(100);
    t_poll(1000);
    ok(chain_length < 1000, "%s: a chain of requests does not keep a dispatch from returning (%d)", name, chain_length);
    img.drv->drain(&img.bs);
    is(chain_length, 1000, "%s: drain ends with the chain", name);
}

int main(void)
{
    static const struct {
        int mode;
        const char *name;
    } ways[] = {{FAKE_THREAD, "on another thread"}, {FAKE_INLINE, "on the submitting thread"}, {FAKE_DELAYED, "later"}};
    unsigned way;

    fake_begin("inside a callback: poll loops, requests, drains");
    fake_open(&img, "nested", 0);
    fake_open(&second, "nested-2", MiB);
    pattern_fill(data, sizeof(data), 1, 0);
    for (way = 0; way < T_COUNT(ways); way++) {
        deep(ways[way].mode, ways[way].name);
        requests_inside(ways[way].mode, ways[way].name);
        drains(ways[way].mode, ways[way].name);
        chains(ways[way].mode, ways[way].name);
    }
    img_close(&img);
    img_close(&second);
    return fake_end();
}
