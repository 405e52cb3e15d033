/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * real_write_cache [ROUNDS]: with write-cache=on, on a volume without replicas, an outage may take acknowledged writes with it.
 * But a flush that returns 0 after it has lost nothing, and no request hangs.
 */
#include "volumes.h"

enum { BLOCKS = 64, BYTES = 8192, REWRITES = 5 };

static struct img img;
static unsigned char data[BYTES];
static unsigned acknowledged[BLOCKS]; /* generation of the last acknowledged write */
static unsigned generation, failures;

static void stamp(unsigned block, unsigned number)
{
    memset(data, (int)(number % 251), sizeof(data));
    memcpy(data, &number, sizeof(number));
    memcpy(data + sizeof(number), &block, sizeof(block));
}

static void write_all(void)
{
    unsigned i;

    generation++;
    for (i = 0; i < BLOCKS; i++) {
        stamp(i, generation);
        if (pwrite_sync(&img, data, sizeof(data), (int64_t)i * BYTES) == 0)
            acknowledged[i] = generation;
        else
            failures++;
    }
}

/* The generation that a block holds; 0 when it cannot be read. */
static unsigned held(unsigned block)
{
    unsigned number, place;

    if (pread_sync(&img, data, sizeof(data), (int64_t)block * BYTES) < 0)
        return 0;
    memcpy(&number, data, sizeof(number));
    memcpy(&place, data + sizeof(number), sizeof(place));
    return place == block ? number : 0;
}

static unsigned blocks_that_hold_less_than(unsigned wanted, bool or_acknowledged)
{
    unsigned i, less = 0;

    for (i = 0; i < BLOCKS; i++)
        less += held(i) < (or_acknowledged && acknowledged[i] > wanted ? acknowledged[i] : wanted);
    return less;
}

static bool reads_work(void *arg)
{
    (void)arg;
    return held(0) != 0;
}

static void outage(const char *uri, bool flush_meanwhile)
{
    unsigned flushed, i;
    int ret;

    if (img_open(&img, uri, BLK_O_RDWR, "write-cache", "on", NULL) < 0)
        t_die("cannot open %s: %s", uri, img.error.message);
    write_all();
    is(flush_sync(&img), 0, "flush before the outage");
    flushed = generation;
    if (cluster("kill-brick plain 1"))
        t_die("cannot kill the brick");
    for (i = 0; i < REWRITES; i++)
        write_all();
    if (flush_meanwhile)
        ok(flush_sync(&img) < 0, "a flush during the outage fails");
    if (cluster("restart-brick plain 1"))
        t_die("cannot restart the brick");
    ok(run_until(reads_work, NULL, 20), "reads end, and work again");
    ret = flush_sync(&img);
    if (flush_meanwhile)
        ok(ret < 0, "no flush says that all is well: %s", strerror(-ret));
    if (ret == 0)
        is(blocks_that_hold_less_than(flushed, true), 0, "the flush returned 0: all that was acknowledged is there");
    else
        is(blocks_that_hold_less_than(flushed, false), 0, "what was flushed before is there");
    write_all();
    ret = flush_sync(&img);
    if (flush_meanwhile)
        ok(ret < 0, "not even after everything was written again");
    else if (ret == 0)
        is(blocks_that_hold_less_than(flushed, true), 0, "the next flush returned 0: all is there");
    img_close(&img);

    if (img_open(&img, uri, BLK_O_RDWR, "write-cache", "on", NULL) < 0)
        t_die("cannot open %s anew: %s", uri, img.error.message);
    is(blocks_that_hold_less_than(flushed, false), 0, "opened anew: what was flushed is there");
    write_all();
    is(flush_sync(&img), 0, "flushes succeed again");
    is(blocks_that_hold_less_than(generation, false), 0, "and all is there");
    img_close(&img);
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 4, round;
    const char *uri;

    t_begin("with write-cache=on, a flush that returns 0 after an outage has lost nothing, and nothing hangs");
    allow_seconds(60 + 30 * rounds);
    t_load();
    uri = cluster_uri("plain", "write-cache");
    make_image(uri, "1M");
    for (round = 0; round < rounds; round++)
        outage(uri, round % 2);
    t_say("%u writes failed", failures);
    empty_image(uri);
    return t_end();
}
