/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * strict-flush=on, with real bricks that go and come between a write and its flush: a machine that lost power looks the same to
 * the client, except that its memory is gone. GlusterFS lets the flush succeed, which images without the option show here.
 */
#include "volumes.h"

enum { BLOCK = 65536 };

static struct img strict, idle, stalls, trusting;
static unsigned char data[BLOCK];

static void open_one(struct img *img, const char *volume, const char *name, const char *how, const char *policy)
{
    char uri[1024];

    snprintf(uri, sizeof(uri), "%s", cluster_uri(volume, "strict-%s", name));
    make_image(uri, "1M");
    if (img_open(img, uri, BLK_O_RDWR, "strict-flush", how, "on-disconnect", policy, NULL))
        t_die("cannot open %s: %s", uri, img->error.message);
    ok(write_pattern(img, BLOCK, 0, 1) && flush_sync(img) == 0, "%s, %s: an image with data, flushed", volume, name);
}

static void close_one(struct img *img, const char *volume, const char *name)
{
    img_close(img);
    empty_image(cluster_uri(volume, "strict-%s", name));
}

static bool can_flush(void *img)
{
    return flush_sync(img) == 0;
}

static bool can_read(void *img)
{
    return pread_sync(img, data, BLOCK, 0) == 0;
}

static void one_brick(void)
{
    open_one(&strict, "plain", "unflushed", "on", "report");
    open_one(&idle, "plain", "idle", "on", "report");
    open_one(&trusting, "plain", "trusting", "off", "report");
    ok(write_pattern(&strict, BLOCK, BLOCK, 2) && write_pattern(&trusting, BLOCK, BLOCK, 2), "a write each to two of them");
    t_forget_reports();
    is(cluster("kill-brick plain 1"), 0, "the brick is killed");
    is(cluster("restart-brick plain 1"), 0, "... and started");
    ok(run_until(can_flush, &trusting, 30), "without strict-flush, a flush succeeds");
    ok(run_until(can_read, &strict, 30), "with it, reads do");
    is(flush_sync(&strict), -EIO, "... but no flush");
    ok(t_reported("strict-unflushed: 127.77.0.1:"), "... which is told");
    ok(write_pattern(&strict, BLOCK, 2 * BLOCK, 3), "... writes go on");
    is(flush_sync(&strict), -EIO, "... and flushes fail");
    ok(run_until(can_read, &idle, 30), "who had flushed all reads");
    /* The brick is seen to be back within a second, and what is written before counts as written before it went. */
    run_for(2);
    ok(write_pattern(&idle, BLOCK, BLOCK, 2), "... writes");
    is(flush_sync(&idle), 0, "... and flushes");
    close_one(&strict, "plain", "unflushed");
    close_one(&idle, "plain", "idle");
    close_one(&trusting, "plain", "trusting");
}

/* What waits for the bricks was on none of them when they went. */
static void what_waits(void)
{
    struct io io[3] = {{0}};

    open_one(&stalls, "plain", "stalls", "on", "stall:120");
    is(cluster("kill-brick plain 1"), 0, "the brick is killed");
    ok(io_pread(&io[0], &stalls, data, BLOCK, 0), "a read that finds that");
    run_for(1.5);
    ok(io_pwrite(&io[1], &stalls, data, BLOCK, BLOCK) && io_flush(&io[2], &stalls), "... and a write and a flush behind it");
    is(cluster("restart-brick plain 1"), 0, "the brick is started");
    is(io_wait(&io[0]) | io_wait(&io[1]) | io_wait(&io[2]), 0, "all three succeed");
    is(flush_sync(&stalls), 0, "... as a later flush does");
    close_one(&stalls, "plain", "stalls");
}

/* Options of the volume change: some of them the client's graph, with connections of its own. */
static void options_change(void)
{
    open_one(&strict, "plain", "options", "on", "report");
    ok(write_pattern(&strict, BLOCK, BLOCK, 2), "a write");
    is(cluster("gluster volume set plain performance.read-ahead on"), 0, "a translator more");
    run_for(3);
    is(flush_sync(&strict), 0, "... and a flush");
    ok(write_pattern(&strict, BLOCK, BLOCK, 3), "a write");
    is(cluster("gluster volume reset plain performance.read-ahead"), 0, "a translator less");
    run_for(3);
    is(flush_sync(&strict), 0, "... and a flush");
    close_one(&strict, "plain", "options");
}

static void restart(const char *volume, int brick)
{
    is(cluster("kill-brick %s %d", volume, brick), 0, "%s: brick %d is killed", volume, brick);
    is(cluster("restart-brick %s %d", volume, brick), 0, "... and started");
    run_for(4);
}

static void replicas(void)
{
    open_one(&strict, "rep3", "replicas", "on", "report");
    ok(write_pattern(&strict, BLOCK, BLOCK, 2), "a write");
    restart("rep3", 1);
    is(flush_sync(&strict), 0, "two bricks have it, and a flush succeeds");
    ok(write_pattern(&strict, BLOCK, BLOCK, 3), "a write");
    restart("rep3", 2);
    restart("rep3", 3);
    ok(write_pattern(&strict, BLOCK, 2 * BLOCK, 3), "one brick has it, and a write");
    restart("rep3", 1);
    is(flush_sync(&strict), -EIO, "none has it for sure, and no flush succeeds");
    close_one(&strict, "rep3", "replicas");
    is(cluster("wait-healed rep3"), 0, "all is healed");
}

static void fragments(void)
{
    open_one(&strict, "disp", "fragments", "on", "report");
    ok(write_pattern(&strict, BLOCK, BLOCK, 2), "a write");
    restart("disp", 1);
    is(flush_sync(&strict), 0, "two bricks have enough of it, and a flush succeeds");
    ok(write_pattern(&strict, BLOCK, BLOCK, 3), "a write");
    is(cluster("wait-healed disp"), 0, "all is healed");
    restart("disp", 2);
    is(cluster("wait-healed disp"), 0, "all is healed");
    restart("disp", 3);
    is(flush_sync(&strict), -EIO, "one brick has not, and no flush succeeds");
    close_one(&strict, "disp", "fragments");
    is(cluster("wait-healed disp"), 0, "all is healed");
}

/* A flush that found too few bricks is no verdict of theirs. */
static void too_few(void)
{
    int ret;

    open_one(&trusting, "disp", "too-few", "off", "report");
    ok(write_pattern(&trusting, BLOCK, BLOCK, 2), "a write");
    is(cluster("kill-brick disp 1") | cluster("kill-brick disp 2"), 0, "two bricks are killed");
    run_for(1);
    ret = flush_sync(&trusting);
    ok(ret < 0, "a flush fails: %d", ret);
    is(cluster("restart-brick disp 1") | cluster("restart-brick disp 2"), 0, "... and started");
    ok(run_until(can_flush, &trusting, 30), "... and one succeeds");
    close_one(&trusting, "disp", "too-few");
    is(cluster("wait-healed disp"), 0, "all is healed");
}

int main(void)
{
    t_begin("with strict-flush=on no flush succeeds when the bricks may have lost what it is to cover");
    load_for_volumes();
    need_healthy();
    pattern_fill(data, BLOCK, 2, BLOCK);
    one_brick();
    what_waits();
    options_change();
    replicas();
    fragments();
    too_few();
    return end_for_volumes();
}
