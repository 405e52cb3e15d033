/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Images that stay open while their only brick is killed and started again: requests that wait for it (on-disconnect=stall), a lock that
 * is lost with it, a name that leads to another file by then. And a brick that is silent, which slow requests tell.
 */
#include "volumes.h"

enum { BLOCK = 65536 };

enum which { STALLS, REPORTS, LOCKED, REPLACED, REMOVED, IMAGES };

static struct img imgs[IMAGES];
static const char *const names[IMAGES] = {"stalls", "reports", "locked", "replaced", "removed"};
static unsigned char got[BLOCK], data[BLOCK];

static void open_all(void)
{
    char uri[1024];
    int i;

    for (i = 0; i < IMAGES; i++) {
        snprintf(uri, sizeof(uri), "%s", cluster_uri("plain", "survive-%s", names[i]));
        make_image(uri, "1M");
        if (img_open(&imgs[i], uri, BLK_O_RDWR, "on-disconnect", i == STALLS ? "stall:120" : "report", "slow-request",
                     i == STALLS ? "1" : "30", "locking", i == LOCKED ? "on" : "off", NULL))
            t_die("cannot open %s: %s", uri, imgs[i].error.message);
        ok(write_pattern(&imgs[i], BLOCK, 0, 1), "%s: an image with data", names[i]);
        is(flush_sync(&imgs[i]), 0, "... flushed");
    }
}

static bool reported(void *text)
{
    return t_reported(text);
}

static int read_one(enum which which)
{
    memset(got, 0xa5, sizeof(got));
    return pread_sync(&imgs[which], got, BLOCK, 0);
}

static void the_brick_goes(void)
{
    struct img *img = &imgs[STALLS];
    struct io io[4] = {{0}};
    char waits[] = "requests wait for them, 120 s", slow[] = "requests wait for the bricks (on-disconnect=stall)";
    int ret, i, done = 0;

    is(cluster("kill-brick plain 1"), 0, "the brick is killed");
    memset(got, 0xa5, sizeof(got));
    ok(io_pread(&io[0], img, got, BLOCK, 0), "stalls: a read");
    ok(run_until(reported, waits, 20), "... finds that");
    pattern_fill(data, BLOCK, 2, BLOCK);
    ok(io_pwrite(&io[1], img, data, BLOCK, BLOCK) && io_zeroes(&io[2], img, BLOCK, 4 * BLOCK, 0) && io_flush(&io[3], img),
       "... and a write, zeroes and a flush come");
    ok(run_until(reported, slow, 20), "after a second it is told that they wait");
    ok(t_reported("not connected: 127.77.0.1:"), "... and for which brick");
    for (i = 0; i < 4; i++)
        done += io[i].done;
    is(done, 0, "... which they do");
    for (i = REPORTS; i < IMAGES; i++) {
        ret = read_one(i);
        ok(ret == -ENOTCONN || ret == -EBADFD, "%s: a read has failed at once: %d", names[i], ret);
    }
    ret = pwrite_sync(&imgs[REPORTS], data, BLOCK, BLOCK);
    ok(ret == -ENOTCONN || ret == -EBADFD, "reports: a write has, too: %d", ret);
    is(cluster("restart-brick plain 1"), 0, "the brick is started");
    for (i = 0; i < 4; i++)
        is(io_wait(&io[i]), 0, "stalls: request %d has succeeded", i);
    ok(pattern_check(got, BLOCK, 1, 0), "... and the read has its data");
    img_close(img);
    is(img_open(img, cluster_uri("plain", "survive-stalls"), 0, NULL), 0, "(opened again)");
    ok(has_pattern(img, BLOCK, 0, 1) && has_pattern(img, BLOCK, BLOCK, 2) && reads_zero(img, BLOCK, 4 * BLOCK),
       "stalls: every byte is there");
}

static bool reads_well(void *which)
{
    return read_one(*(enum which *)which) == 0;
}

static void the_brick_is_back(void)
{
    enum which which = REPORTS;
    int ret;

    ok(run_until(reads_well, &which, 20), "reports: it reads again, as it is");
    ok(pattern_check(got, BLOCK, 1, 0), "... its data");
    ok(write_pattern(&imgs[REPORTS], BLOCK, 0, 3) && flush_sync(&imgs[REPORTS]) == 0 && has_pattern(&imgs[REPORTS], BLOCK, 0, 3),
       "... writes and flushes");
    ret = read_one(LOCKED);
    is(ret, -EBADFD, "locked: its lock is lost, and it reads no more");
    is(pwrite_sync(&imgs[LOCKED], data, BLOCK, 0), -EBADFD, "... nor writes");
    run_for(1.2);
    is(read_one(LOCKED), -EBADFD, "... nor later");
    ok(!t_reported("survive-locked: its file was opened anew"), "... and nothing was opened behind the host's back");
}

static void another_file(enum which which)
{
    char told[128];
    int ret = read_one(which);

    ok(ret < 0, "%s: a read fails: %d", names[which], ret);
    snprintf(told, sizeof(told), "survive-%s: it was removed, or another file was put in its place", names[which]);
    ok(run_until(reported, told, 20), "... and it is told why");
    ok(read_one(which) < 0, "... and so does the next");
    ok(pwrite_sync(&imgs[which], data, BLOCK, 0) < 0, "... and a write, that would be another file's");
}

static void a_silent_brick(void)
{
    struct img img;
    struct io io = {0};
    char slow[] = "all bricks of volume 'plain' are connected";

    if (img_open(&img, cluster_uri("plain", "survive-stalls"), BLK_O_RDWR, "slow-request", "1", NULL))
        t_die("cannot open: %s", img.error.message);
    t_forget_reports();
    is(cluster("pause-brick plain 1"), 0, "the brick is silent");
    ok(io_pwrite(&io, &img, data, BLOCK, 0), "a write");
    ok(run_until(reported, slow, 20), "... is reported");
    is(cluster("resume-brick plain 1"), 0, "the brick answers");
    is(io_wait(&io), 0, "... and the write succeeds");
    img_close(&img);
}

int main(void)
{
    char path[64];
    int i;

    t_begin("an image survives its bricks, but neither the loss of its lock nor another file in its place");
    load_for_volumes();
    need_healthy();
    open_all();
    snprintf(path, sizeof(path), "survive-%s", names[REPLACED]);
    is(witness("plain", "create", path), 0, "another file gets the name of one");
    snprintf(path, sizeof(path), "survive-%s", names[REMOVED]);
    is(witness("plain", "unlink", path), 0, "... and one is removed");
    is(read_one(REPLACED) | read_one(REMOVED), 0, "both are read as they were opened");
    the_brick_goes();
    the_brick_is_back();
    another_file(REPLACED);
    another_file(REMOVED);
    a_silent_brick();
    for (i = 0; i < IMAGES; i++) {
        img_close(&imgs[i]);
        if (i != REMOVED)
            empty_image(cluster_uri("plain", "survive-%s", names[i]));
    }
    return end_for_volumes();
}
