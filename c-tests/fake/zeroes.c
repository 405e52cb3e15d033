/* SPDX-License-Identifier: GPL-2.0-or-later */
/* aio_write_zeroes makes exactly its range read as zero, in whatever way the volume knows, in pieces; what overlaps it
 * waits for it; it can be cancelled, closed upon and fail like any request. */
#include "on_fake.h"

enum { BYTES = 3 * MiB, PIECE = 64 * MiB };

static struct img img;
static unsigned char data[BYTES], got[BYTES];

static void fill(void)
{
    pattern_fill(data, BYTES, 1, 0);
    if (pwrite_sync(&img, data, BYTES, 0) != 0)
        t_die("cannot fill the image");
}

/* The image is the data with zeroes from `offset` on. */
static void check(int64_t bytes, int64_t offset, const char *how)
{
    memcpy(got, data, BYTES);
    memset(got + offset, 0, (size_t)bytes);
    memcpy(data, got, BYTES);
    memset(got, 0xee, BYTES);
    ok(pread_sync(&img, got, BYTES, 0) == 0 && memcmp(got, data, BYTES) == 0, "%s: those bytes are zero, and no others",
       how);
}

static void zero_and_check(int64_t bytes, int64_t offset, uint32_t flags, const char *how)
{
    fill();
    is(zeroes_sync(&img, bytes, offset, flags), 0, "%s: %lld bytes at %lld", how, (long long)bytes, (long long)offset);
    check(bytes, offset, how);
}

static void again(const char *name)
{
    img_close(&img);
    fake_open(&img, name, BYTES);
}

static void ways(void)
{
    static const int64_t ranges[][2] = {{1, 0},           {1, 4095},  {4096, 4096},
                                        {MiB + 3, MiB - 1}, {BYTES, 0}, {70001, BYTES - 70001}};
    uint64_t zerofills, discards, reads, writes;
    int rule;
    unsigned i;

    for (i = 0; i < T_COUNT(ranges); i++)
        zero_and_check(ranges[i][0], ranges[i][1], 0, "zerofill");
    is(fake_calls(FAKE_ZEROFILL), T_COUNT(ranges), "one zerofill each");
    is(fake_calls(FAKE_DISCARD), 0, "no discard without the flag");
    zerofills = fake_calls(FAKE_ZEROFILL);
    for (i = 0; i < T_COUNT(ranges); i++)
        zero_and_check(ranges[i][0], ranges[i][1], BLK_ZERO_MAY_UNMAP, "may unmap");
    is(fake_calls(FAKE_DISCARD), T_COUNT(ranges), "one discard each with the flag");
    is(fake_calls(FAKE_ZEROFILL), zerofills, "... and nothing else");
    fill();
    discards = fake_calls(FAKE_DISCARD);
    is(zeroes_sync(&img, 0, 77, 0), 0, "no bytes");
    is(zeroes_sync(&img, 0, 77, BLK_ZERO_MAY_UNMAP), 0, "... with the flag");
    is(fake_calls(FAKE_DISCARD) + fake_calls(FAKE_ZEROFILL), discards + zerofills, "... are no call");
    check(0, 0, "no bytes");

    again("no-zerofill");
    rule = fake_always(FAKE_ZEROFILL, FAKE_FAIL, EOPNOTSUPP, 0);
    writes = fake_calls(FAKE_PWRITEV);
    for (i = 0; i < T_COUNT(ranges); i++)
        zero_and_check(ranges[i][0], ranges[i][1], 0, "without zerofill");
    is(fake.rule_hits(rule), 1, "a volume without zerofill is asked once");
    ok(fake_calls(FAKE_PWRITEV) > writes, "... then zeroes are written");
    ok(fake_counted().max_bytes[FAKE_PWRITEV] <= MiB, "... at most a MiB at a time");
    zero_and_check(MiB, 5, BLK_ZERO_MAY_UNMAP, "without zerofill, may unmap");
    fake_once(FAKE_PWRITEV, FAKE_SHORT, 0, 1000);
    zero_and_check(200000, 11, 0, "a write that falls short");
    fake_once(FAKE_PWRITEV, FAKE_ZERO, 0, 0);
    is(zeroes_sync(&img, MiB, 0, 0), -EIO, "a write that does nothing");
    fake_once(FAKE_PWRITEV, FAKE_FAIL, ENOSPC, 0);
    is(zeroes_sync(&img, MiB, 0, 0), -ENOSPC, "a write that fails");
    fake_calm(rule);

    again("failing-zerofill");
    fake_once(FAKE_ZEROFILL, FAKE_FAIL, ENOTCONN, 0);
    is(zeroes_sync(&img, MiB, 3, 0), -ENOTCONN, "a zerofill that fails otherwise fails the request");
    fake_once(FAKE_ZEROFILL, FAKE_FAIL, 0, 0);
    is(zeroes_sync(&img, MiB, 3, 0), -EIO, "... with errno 0, too");

    again("no-discard");
    rule = fake_always(FAKE_DISCARD, FAKE_FAIL, ENOSYS, 0);
    for (i = 0; i < 3; i++)
        zero_and_check(MiB, 3, BLK_ZERO_MAY_UNMAP, "without discard");
    is(fake.rule_hits(rule), 1, "a volume without discard is asked once");
    fake_calm(rule);

    /* Says 0 and does nothing, as on a device that does not promise zeroes. */
    again("lying-discard");
    rule = fake_always(FAKE_DISCARD, FAKE_ZERO, 0, 0);
    for (i = 0; i < 3; i++)
        zero_and_check(MiB, 3, BLK_ZERO_MAY_UNMAP, "a discard that leaves data");
    is(fake.rule_hits(rule), 1, "... is not tried again");
    fake_calm(rule);
    again("later-lying-discard");
    zero_and_check(MiB, 3, BLK_ZERO_MAY_UNMAP, "a discard that leaves zeroes");
    reads = fake_counted().bytes[FAKE_PREAD];
    zero_and_check(2 * MiB, 3, BLK_ZERO_MAY_UNMAP, "the next");
    ok(fake_counted().bytes[FAKE_PREAD] - reads <= 3 * 65536, "... is read back at its ends");
    fake_once(FAKE_DISCARD, FAKE_ZERO, 0, 0);
    zero_and_check(2 * MiB, 3, BLK_ZERO_MAY_UNMAP, "a later one that leaves data");
    fake_once(FAKE_DISCARD, FAKE_FAIL, EIO, 0);
    zero_and_check(MiB, 3, BLK_ZERO_MAY_UNMAP, "... discards are not trusted any more");
    again("discard-fails");
    fake_once(FAKE_DISCARD, FAKE_FAIL, EDQUOT, 0);
    is(zeroes_sync(&img, MiB, 0, BLK_ZERO_MAY_UNMAP), -EDQUOT, "a discard that fails fails the request");
    fake_once(FAKE_PREAD, FAKE_FAIL, EIO, 0);
    is(zeroes_sync(&img, MiB, 0, BLK_ZERO_MAY_UNMAP), -EIO, "... and so does one that cannot be read back");
}

static void growth(void)
{
    uint64_t discards;

    again("growth");
    fill();
    is(zeroes_sync(&img, 100, BYTES + 50, 0), 0, "zeroes behind the end");
    is(img.drv->getlength(&img.bs), BYTES + 150, "... grow the image");
    discards = fake_calls(FAKE_DISCARD);
    is(zeroes_sync(&img, MiB, BYTES - 10, BLK_ZERO_MAY_UNMAP), 0, "across the end, may unmap");
    is(img.drv->getlength(&img.bs), BYTES - 10 + MiB, "... grow it, too");
    is(fake_calls(FAKE_DISCARD), discards + 1, "a discard for what was there");
    is(fake_calls(FAKE_ZEROFILL) > 0, 1, "a zerofill for the rest");
    check(10, BYTES - 10, "across the end");
    is(zeroes_sync(&img, PIECE * INT64_C(3) + 5, 7, 0), 0, "more than three pieces");
    is(img.drv->getlength(&img.bs), PIECE * INT64_C(3) + 12, "... are one request");
    is(fake_counted().max_bytes[FAKE_ZEROFILL], PIECE, "... in pieces of 64 MiB");
    ok(fake_counted().max_bytes[FAKE_DISCARD] <= PIECE, "... discards, too");
    check(BYTES - 7, 7, "pieces");
}

/* ---- order ---------------------------------------------------------------------------------------------------- */

static bool is_held(uint64_t count)
{
    return fake.wait_held(count, 10000);
}

static void let_go(int err)
{
    if (fake.release(FAKE_ZEROFILL, 1, err) != 1)
        fail("a zerofill is held");
}

static void order(void)
{
    struct io zero = {0}, second = {0}, over = {0}, beside = {0}, read = {0}, flush = {0}, twice = {0};
    unsigned char ones[4096], there[4096];
    int rule;

    again("order");
    fill();
    memset(ones, 1, sizeof(ones));
    rule = fake_always(FAKE_ZEROFILL, FAKE_HOLD, 0, 0);
    io_zeroes(&zero, &img, MiB, 0, 0);
    ok(is_held(1), "a zerofill is under way");
    io_zeroes(&second, &img, MiB, 2 * MiB, 0);
    io_pwrite(&over, &img, ones, sizeof(ones), 2 * MiB + 4096);
    io_pread(&read, &img, there, sizeof(there), 8192);
    io_pwrite(&beside, &img, ones, sizeof(ones), MiB);
    io_flush(&flush, &img);
    is(io_wait(&beside), 0, "a write beside it ends meanwhile");
    is(io_wait(&flush), 0, "a flush does, too");
    run_for(0.02);
    is(fake_counted().held, 1, "one zerofill at a time");
    is(over.done + read.done + second.done + zero.done, 0, "what overlaps it, or one that waits, waits");

    /* The same range once more: taking it back lets nothing past the first. */
    io_zeroes(&twice, &img, MiB, 0, 0);
    img.drv->aio_cancel(twice.acb);
    ok(twice.done == 1 && twice.ret == -ECANCELED, "one behind an overlapping one is cancelled at once");
    run_for(0.02);
    is(read.done, 0, "... which lets nothing past the other");
    let_go(FAKE_AS_IS);
    is(io_wait(&zero), 0, "the first ends");
    is(io_wait(&read), 0, "then the read");
    ok(all_bytes(there, sizeof(there), 0), "... which reads zeroes");
    ok(is_held(1) && !over.done, "the second goes on; its write waits");
    let_go(FAKE_AS_IS);
    is(io_wait(&second), 0, "it ends");
    is(io_wait(&over), 0, "then the write");
    ok(pread_sync(&img, there, sizeof(there), 2 * MiB + 4096) == 0 && all_bytes(there, sizeof(there), 1),
       "... which is not lost");
    ok(over.order > second.order && read.order > zero.order, "in their order");
    fake_calm(rule);
}

/* ---- cancel, close, failure --------------------------------------------------------------------------------------- */

static void *let_go_later(void *arg)
{
    (void)arg;
    usleep(100 * 1000);
    let_go(FAKE_AS_IS);
    return NULL;
}

static void cancelled(void)
{
    struct io zero = {0}, waiting = {0}, over = {0};
    unsigned char ones[4096];
    uint64_t before;
    pthread_t thread;
    int rule;

    again("cancel");
    memset(ones, 1, sizeof(ones));
    rule = fake_always(FAKE_ZEROFILL, FAKE_HOLD, 0, 0);
    io_zeroes(&zero, &img, PIECE * INT64_C(3), 0, 0);
    ok(is_held(1), "the first of three pieces is under way");
    io_zeroes(&waiting, &img, MiB, PIECE * INT64_C(4), 0);
    io_pwrite(&over, &img, ones, sizeof(ones), PIECE * INT64_C(4));
    img.drv->aio_cancel(waiting.acb);
    ok(waiting.done == 1 && waiting.ret == -ECANCELED, "one that waits for its turn is cancelled at once");
    is(io_wait(&over), 0, "... and holds nothing back any more");
    before = fake_calls(FAKE_ZEROFILL);
    img.drv->aio_cancel_async(zero.acb);
    run_for(0.02);
    is(zero.done, 0, "one that has begun goes on to the end of its piece");
    let_go(FAKE_AS_IS);
    is(io_wait(&zero), -ECANCELED, "... and ends there");
    is(fake_calls(FAKE_ZEROFILL), before, "... without another call");

    io_zeroes(&zero, &img, MiB, 0, 0);
    ok(is_held(1), "one of a single piece");
    pthread_create(&thread, NULL, let_go_later, NULL);
    img.drv->aio_cancel(zero.acb);
    ok(zero.done == 1 && zero.ret == 0, "aio_cancel waits for it, and its result is its own");
    pthread_join(thread, NULL);

    io_zeroes(&zero, &img, MiB, 0, 0);
    io_zeroes(&waiting, &img, MiB, MiB, 0);
    ok(is_held(1), "two of them");
    fake_calm(rule);
    pthread_create(&thread, NULL, let_go_later, NULL);
    img_close(&img);
    pthread_join(thread, NULL);
    ok(zero.done == 1 && zero.ret == 0 && waiting.done == 1 && waiting.ret == 0, "close waits for both");

    fake_open(&img, "cancel", BYTES);
    rule = fake_always(FAKE_ZEROFILL, FAKE_HOLD, 0, 0);
    io_zeroes(&zero, &img, MiB, 0, 0);
    ok(is_held(1), "a brick is lost meanwhile");
    let_go(ENOTCONN);
    is(io_wait(&zero), -ENOTCONN, "... which fails it");
    fake_calm(rule);
    is(zeroes_sync(&img, MiB, 0, 0), 0, "the next succeeds");
    is(flush_sync(&img), 0, "and a flush");
}

static void write_cache(void)
{
    struct img cached;
    struct io io = {0};
    int rule;

    if (img_open(&cached, fake_uri("vol", "cancel"), BLK_O_RDWR, "write-cache", "on", NULL) < 0)
        t_die("cannot open it: %s", cached.error.message);
    is(zeroes_sync(&cached, MiB, 0, 0), 0, "write-cache=on: zeroes");
    rule = fake_always(FAKE_ZEROFILL, FAKE_HOLD, 0, 0);
    io_zeroes(&io, &cached, 2 * (int64_t)PIECE, 0, 0);
    ok(is_held(1), "two pieces");
    cached.drv->aio_cancel_async(io.acb);
    let_go(FAKE_AS_IS);
    is(io_wait(&io), -ECANCELED, "are cancelled");
    fake_calm(rule);
    is(flush_sync(&cached), 0, "which is no failure: a flush succeeds");
    fake_once(FAKE_ZEROFILL, FAKE_FAIL, EIO, 0);
    is(zeroes_sync(&cached, MiB, 0, 0), -EIO, "zeroes that fail");
    is(flush_sync(&cached), -EIO, "fail each later flush, as a failed write does");
    img_close(&cached);
}

static void refused(void)
{
    static const struct {
        int64_t bytes, offset;
        uint32_t flags;
        int error;
    } bad[] = {{-1, 0, 0, EINVAL},
               {1, -1, 0, EINVAL},
               {1, 0, 2, EINVAL},
               {1, 0, UINT32_MAX, EINVAL},
               {1, INT64_C(1) << 52, 0, EFBIG},
               {INT64_MAX, 1, BLK_ZERO_MAY_UNMAP, EFBIG}};
    struct img reader;
    struct io io = {0};
    unsigned i;

    for (i = 0; i < T_COUNT(bad); i++) {
        ok(!io_zeroes(&io, &img, bad[i].bytes, bad[i].offset, bad[i].flags), "bad arguments are refused");
        is(io.ret, -bad[i].error, "... %s", last_report());
    }
    if (img_open(&reader, fake_uri("vol", "cancel"), 0, NULL) < 0)
        t_die("cannot open it: %s", reader.error.message);
    ok(!io_zeroes(&io, &reader, 1, 0, 0) && io.ret == -EBADF, "a read-only image refuses zeroes");
    img_close(&reader);
}

int main(void)
{
    fake_begin("aio_write_zeroes: exactly its range, whatever the volume knows, in order");
    fake_open(&img, "zeroes", BYTES);
    ways();
    growth();
    order();
    cancelled();
    write_cache();
    refused();
    img_close(&img);
    return fake_end();
}
