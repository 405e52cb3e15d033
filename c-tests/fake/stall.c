/* SPDX-License-Identifier: GPL-2.0-or-later */
/* on-disconnect=stall: while the bricks are out of reach, what was not sent waits, and so do reads that failed. */
#include "on_fake.h"

enum { BYTES = 65536, BLOCK = 4096, WAITING = 5 };

static struct img img;
static struct io io[WAITING];
static unsigned char data[BYTES], block[BLOCK];
static int rules[6], rule_count;

static void open_it(const char *policy)
{
    if (img_open(&img, fake_uri("vol", "stall"), BLK_O_RDWR, "on-disconnect", policy, NULL))
        t_die("cannot open: %s", img.error.message);
    pattern_fill(data, BYTES, 1, 0);
    is(pwrite_sync(&img, data, BYTES, 0), 0, "%s: an image full of data", policy);
    t_forget_reports();
}

static void bricks_go(void)
{
    static const int ops[] = {FAKE_PREAD, FAKE_PREADV_ASYNC, FAKE_PWRITEV_ASYNC, FAKE_FSYNC, FAKE_ZEROFILL, FAKE_OPEN};

    for (rule_count = 0; rule_count < (int)T_COUNT(ops); rule_count++)
        rules[rule_count] = fake_always(ops[rule_count], FAKE_FAIL, ENOTCONN, 0);
}

static void bricks_come(void)
{
    while (rule_count > 0)
        fake_calm(rules[--rule_count]);
}

static int done(void)
{
    int i, count = 0;

    for (i = 0; i < WAITING; i++)
        count += io[i].done;
    return count;
}

/* The first finds out; a second read, a write, a flush, and zeroes were not sent then. */
static void submit(void)
{
    bool good = io_pread(&io[0], &img, block, BLOCK, 8192);

    run_for(0.1);
    good = good && io_pread(&io[1], &img, data + 4096, BLOCK, 4096) && io_pwrite(&io[2], &img, data, BLOCK, 0) &&
           io_flush(&io[3], &img) && io_zeroes(&io[4], &img, BLOCK, 32768, 0);
    ok(good, "a read, and after it a read, a write, a flush and a write of zeroes");
    run_for(0.1);
}

static void they_wait(void)
{
    uint64_t writes, syncs, zeroes;
    int i;

    open_it("stall:60");
    bricks_go();
    writes = fake_calls(FAKE_PWRITEV_ASYNC);
    syncs = fake_calls(FAKE_FSYNC);
    zeroes = fake_calls(FAKE_ZEROFILL);
    submit();
    is(done(), 0, "wait while the bricks are away");
    ok(t_reported("requests wait for them, 60 s"), "... which is told: %s", last_report());
    is(fake_calls(FAKE_PWRITEV_ASYNC) - writes + fake_calls(FAKE_FSYNC) - syncs + fake_calls(FAKE_ZEROFILL) - zeroes, 0,
       "... and are not sent");
    bricks_come();
    for (i = 0; i < WAITING; i++)
        is(io_wait(&io[i]), 0, "request %d succeeds when they are back", i);
    ok(pattern_check(block, BLOCK, 1, 8192) && pattern_check(data + 4096, BLOCK, 1, 4096), "... the reads have their data");
    is(fake_calls(FAKE_PWRITEV_ASYNC), writes + 1, "... the write was sent once");
    is(t_reports_of(BLK_REPORT_ERROR), 0, "... and none of it was a failure");
    is(pwrite_sync(&img, data + 32768, BLOCK, 32768), 0, "... all goes on");
    img_close(&img);
}

/* A write that has been sent is not sent again. */
static void a_write_fails(void)
{
    uint64_t writes;

    open_it("stall:60");
    bricks_go();
    writes = fake_calls(FAKE_PWRITEV_ASYNC);
    is(pwrite_sync(&img, data, BLOCK, 0), -ENOTCONN, "a write that finds the bricks gone fails");
    ok(io_pwrite(&io[0], &img, data, BLOCK, 0), "the next one");
    run_for(0.2);
    is(io[0].done, 0, "... waits");
    is(fake_calls(FAKE_PWRITEV_ASYNC), writes + 1, "... and was not sent");
    bricks_come();
    is(io_wait(&io[0]), 0, "... and succeeds");
    img_close(&img);
}

static void time_is_over(void)
{
    int64_t begun;
    int i;

    open_it("stall:1");
    bricks_go();
    submit();
    img.drv->drain(&img.bs);
    is(done(), WAITING, "drain waits, but not for longer than the requests do");
    for (i = 0; i < WAITING; i++)
        is(io[i].ret, -ENOTCONN, "request %d fails when its time is over", i);
    begun = now_us();
    is(pread_sync(&img, block, BLOCK, 0), -ENOTCONN, "then the next one does at once");
    is(pwrite_sync(&img, data, BLOCK, 0), -ENOTCONN, "... and a write");
    is(flush_sync(&img), -ENOTCONN, "... and a flush");
    ok(now_us() - begun < 20000000, "... without any wait: %lld us", (long long)(now_us() - begun));
    bricks_come();
    is(pwrite_sync(&img, data, BLOCK, 0) | flush_sync(&img) | pread_sync(&img, block, BLOCK, 0), 0, "all goes on when the bricks are back");
    ok(pattern_check(block, BLOCK, 1, 0), "... with the right data");
    img_close(&img);
}

static void cancelled(bool async)
{
    int i;

    open_it("stall:600");
    bricks_go();
    submit();
    for (i = 0; i < WAITING; i++) {
        if (async)
            img.drv->aio_cancel_async(io[i].acb);
        else
            img.drv->aio_cancel(io[i].acb);
    }
    if (!async)
        is(done(), WAITING, "aio_cancel has called each callback");
    for (i = 0; i < WAITING; i++)
        is(io_wait(&io[i]), -ECANCELED, "request %d was cancelled", i);
    bricks_come();
    if (!async)
        is(pread_sync(&img, block, BLOCK, 0), 0, "then a read waits until the bricks are back");
    img_close(&img);
}

static void closed(void)
{
    int i, failed = 0;

    open_it("stall:600");
    bricks_go();
    submit();
    img_close(&img);
    is(done(), WAITING, "close ends the wait");
    for (i = 0; i < WAITING; i++)
        failed += io[i].ret == -ENOTCONN;
    is(failed, WAITING, "... of each request, which has failed");
    bricks_come();
}

static void options(void)
{
    static const char *const good[] = {"report", "stall:0", "stall:1", "stall:86400"};
    static const char *const bad[] = {"", "stall", "stall:", "stall:-1", "stall:86401", "stall:5s", "stop", "report:5", "stall: 5"};
    unsigned i;

    for (i = 0; i < T_COUNT(good); i++) {
        is(img_open(&img, fake_uri("vol", "stall"), 0, "on-disconnect", good[i], NULL), 0, "on-disconnect=%s", good[i]);
        img_close(&img);
    }
    for (i = 0; i < T_COUNT(bad); i++) {
        is(img_open(&img, fake_uri("vol", "stall"), 0, "on-disconnect", bad[i], NULL), -EINVAL, "on-disconnect='%s'", bad[i]);
        ok(strstr(img.error.message, "stall:SECONDS") && img.error.stage == BLK_STAGE_PARSE, "... %s", img.error.message);
    }
    is(img_open(&img, fake_uri("vol", "stall"), BLK_O_RDWR, "on-disconnect", "stall:5", "write-cache", "on", NULL), -EINVAL,
       "stall with write-cache=on");
    ok(strstr(img.error.message, "contradicts"), "... %s", img.error.message);
    is(img_open(&img, fake_uri("vol", "stall"), BLK_O_RDWR, "on-disconnect", "report", "write-cache", "on", NULL), 0,
       "report with it");
    img_close(&img);
}

int main(void)
{
    fake_begin("stall: requests wait for the bricks, but not for longer than was said, nor when they are cancelled");
    fake_open(&img, "stall", BYTES);
    img_close(&img);
    they_wait();
    a_write_fails();
    time_is_over();
    cancelled(false);
    cancelled(true);
    closed();
    options();
    return fake_end();
}
