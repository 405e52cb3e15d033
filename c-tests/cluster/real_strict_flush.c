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
    struct io write = {0};

    open_one(&strict, "plain", "unflushed", "on", "report");
    open_one(&idle, "plain", "idle", "on", "report");
    open_one(&stalls, "plain", "stalls", "on", "stall:120");
    open_one(&trusting, "plain", "trusting", "off", "report");
    ok(write_pattern(&strict, BLOCK, BLOCK, 2) && write_pattern(&trusting, BLOCK, BLOCK, 2), "a write each to two of them");
    t_forget_reports();
    is(cluster("kill-brick plain 1"), 0, "the brick is killed");
    ok(pread_sync(&stalls, data, BLOCK, 0) || 1, "(one finds that)");
    is(cluster("restart-brick plain 1"), 0, "... and started");
    ok(run_until(can_flush, &trusting, 30), "without strict-flush, a flush succeeds");
    ok(run_until(can_read, &strict, 30), "with it, reads do");
    is(flush_sync(&strict), -EIO, "... but no flush");
    ok(t_reported("strict-unflushed: 127.77.0.1:"), "... which is told");
    ok(write_pattern(&strict, BLOCK, 2 * BLOCK, 3), "... writes go on");
    is(flush_sync(&strict), -EIO, "... and flushes fail");
    ok(run_until(can_read, &idle, 30) && write_pattern(&idle, BLOCK, BLOCK, 2), "who had flushed all goes on");
    is(flush_sync(&idle), 0, "... and flushes");

    is(cluster("kill-brick plain 1"), 0, "the brick is killed again");
    (void)io_pread(&write, &stalls, data, BLOCK, 0);
    run_for(1.5);
    {
        struct io later = {0}, flush = {0};

        ok(io_pwrite(&later, &stalls, data, BLOCK, BLOCK) && io_flush(&flush, &stalls), "a write and a flush that wait for it");
        is(cluster("restart-brick plain 1"), 0, "the brick is started");
        is(io_wait(&write) | io_wait(&later) | io_wait(&flush), 0, "... succeed: nothing was on the brick when it went");
        is(flush_sync(&stalls), 0, "... as later flushes do");
    }
    close_one(&strict, "plain", "unflushed");
    close_one(&idle, "plain", "idle");
    close_one(&stalls, "plain", "stalls");
    close_one(&trusting, "plain", "trusting");
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

int main(void)
{
    t_begin("with strict-flush=on no flush succeeds when the bricks may have lost what it is to cover");
    load_for_volumes();
    need_healthy();
    pattern_fill(data, BLOCK, 2, BLOCK);
    one_brick();
    options_change();
    replicas();
    fragments();
    return end_for_volumes();
}
