/* SPDX-License-Identifier: GPL-2.0-or-later */
/* With BLK_O_NOCACHE any offset and length is right: what the bricks' block size does not divide goes by a second
 * descriptor, without O_DIRECT, and only that. */
#include "on_fake.h"

enum { BLOCK = 4096, BLOCKS = 64, BYTES = BLOCK * BLOCKS, ROUNDS = 120, AT_ONCE = 24 };

static struct img img;
static unsigned char model[2 * BYTES], got[2 * BYTES];
static uint64_t state = 11;

static int64_t below(int64_t limit)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int64_t)(state >> 33) % limit;
}

static void open_direct(const char *name, const char *size, int64_t unit, bool with_data)
{
    const char *uri = fake_uri("vol", name);

    fake.set_alignment(0);
    if (img_create(uri, size, NULL) < 0 || img_open(&img, uri, BLK_O_RDWR, NULL) < 0)
        t_die("cannot open %s", uri);
    if (with_data) {
        pattern_fill(model, BYTES, 1, 0);
        is(pwrite_sync(&img, model, BYTES, 0), 0, "%s: data", name);
    }
    img_close(&img);
    fake.set_alignment((uint64_t)unit);
    is(img_open(&img, uri, BLK_O_RDWR | BLK_O_NOCACHE, NULL), 0, "%s: open on blocks of %lld", name, (long long)unit);
}

/* The descriptor that a request of this range takes. */
static const void *way_of(int64_t bytes, int64_t offset, bool writes)
{
    struct fake_trace last = {0};
    int ret;

    fake.set_trace(16);
    ret = writes ? pwrite_sync(&img, model + offset, bytes, offset) : pread_sync(&img, got, bytes, offset);
    is(ret, 0, "a %s of %lld at %lld", writes ? "write" : "read", (long long)bytes, (long long)offset);
    is(fake.trace_count(), 1, "... is one call");
    if (fake.trace_get(0, &last) < 0)
        t_die("no trace");
    fake.set_trace(0);
    return last.fd;
}

static void ways(int64_t unit)
{
    const void *direct = way_of(BLOCK, 0, false), *aside = way_of(unit - 1, 1, false);

    ok(direct != aside, "blocks of %lld: a part of a block takes another way", (long long)unit);
    ok(way_of(unit, unit, false) == direct && way_of(unit, unit, true) == direct && way_of(BYTES, 0, true) == direct,
       "... whole blocks the direct one");
    ok(way_of(unit, 1, true) == aside && way_of(unit + 1, 0, true) == aside && way_of(1, unit, false) == aside,
       "... and all others that of the first");
}

static void at_random(int64_t unit)
{
    struct io ios[AT_ONCE];
    unsigned char busy[BYTES];
    int i, round, failures = 0, wrong = 0;

    memset(ios, 0, sizeof(ios));
    for (round = 0; round < ROUNDS; round++) {
        int used = 0;

        memset(busy, 0, sizeof(busy));
        /* Many in few blocks, none over another. */
        for (i = 0; i < AT_ONCE; i++) {
            int64_t bytes = 1 + below(i % 3 ? 3000 : 9000), offset = below(BYTES / 4 - bytes);

            if (memchr(busy + offset, 1, (size_t)bytes))
                continue;
            memset(busy + offset, 1, (size_t)bytes);
            if (i % 4 == 3) {
                failures += !io_zeroes(&ios[used++], &img, bytes, offset, i % 8 == 7 ? BLK_ZERO_MAY_UNMAP : 0);
                memset(model + offset, 0, (size_t)bytes);
            } else if (i % 4 == 2) {
                failures += !io_discard(&ios[used++], &img, bytes, offset);
                memset(model + offset, 0, (size_t)bytes);
            } else {
                pattern_fill(model + offset, (size_t)bytes, 100 + (uint64_t)(round * AT_ONCE + i), offset);
                failures += !io_pwrite(&ios[used++], &img, model + offset, bytes, offset);
            }
        }
        for (i = 0; i < used; i++)
            failures += io_wait(&ios[i]) != 0;
        {
            int64_t bytes = 1 + below(BYTES / 2), offset = below(BYTES / 2);

            memset(got, 0xee, (size_t)bytes);
            failures += pread_sync(&img, got, bytes, offset) != 0;
            wrong += memcmp(got, model + offset, (size_t)bytes) != 0;
        }
    }
    is(failures, 0, "blocks of %lld: %d rounds of requests of any range", (long long)unit, ROUNDS);
    is(wrong, 0, "... and reads");
    ok(pread_sync(&img, got, BYTES, 0) == 0 && memcmp(got, model, BYTES) == 0, "... every byte");
    is(img.drv->getlength(&img.bs), BYTES, "... the length");
}

static void end_of_image(void)
{
    int64_t length = BYTES;
    int i;

    for (i = 0; i < 20; i++) {
        int64_t bytes = 1 + below(3 * BLOCK), offset = length - below(BLOCK) + (i % 3 ? 0 : below(2 * BLOCK));

        if (offset > length)
            memset(model + length, 0, (size_t)(offset - length));
        pattern_fill(model + offset, (size_t)bytes, 7 + (uint64_t)i, offset);
        if (pwrite_sync(&img, model + offset, bytes, offset) != 0)
            fail("a write across the end");
        if (offset + bytes > length)
            length = offset + bytes;
        if (img.drv->getlength(&img.bs) != length)
            fail("it made the image %lld bytes long, not %lld", (long long)img.drv->getlength(&img.bs), (long long)length);
        if (length > BYTES + BYTES / 2)
            break;
    }
    memset(got, 0xee, sizeof(got));
    ok(pread_sync(&img, got, length + 1000, 0) == 0 && memcmp(got, model, (size_t)length) == 0 &&
           all_bytes(got + length, 1000, 0),
       "writes across the end: every byte, and zeroes behind it");
    is(zeroes_sync(&img, 1001, length + 3, 0), 0, "zeroes behind the end");
    is(img.drv->getlength(&img.bs), length + 1004, "... the image ends where they end");
}

static void flushes(void)
{
    uint64_t before;

    is(pwrite_sync(&img, model, BLOCK, 0), 0, "a direct write");
    is(flush_sync(&img), 0, "... and what was written aside: flushed");
    before = fake_calls(FAKE_FSYNC);
    is(flush_sync(&img), 0, "a flush when nothing was written aside");
    is(fake_calls(FAKE_FSYNC) - before, 1, "... is one fsync");
    is(pwrite_sync(&img, model + 1, 10, 1), 0, "a write aside");
    before = fake_calls(FAKE_FSYNC);
    fake_once(FAKE_FSYNC, FAKE_FAIL, ENOTCONN, 0);
    is(flush_sync(&img), -ENOTCONN, "a flush whose first fsync fails");
    is(flush_sync(&img), 0, "the next");
    is(fake_calls(FAKE_FSYNC) - before, 3, "... syncs both");
}

static void failures(void)
{
    unsigned char byte = 1;

    fake_once(FAKE_PWRITEV_ASYNC, FAKE_FAIL, EDQUOT, 0);
    is(pwrite_sync(&img, &byte, 1, 5), -EDQUOT, "a write aside that fails has its own errno");
    fake_once(FAKE_PWRITEV_ASYNC, FAKE_REFUSE, ENOMEM, 0);
    is(pwrite_sync(&img, &byte, 1, 5), -ENOMEM, "... one that libgfapi refuses, too");
    fake_once(FAKE_PREADV_ASYNC, FAKE_FAIL, EIO, 0);
    is(pread_sync(&img, &byte, 1, 5), -EIO, "... and a read");
    fake_once(FAKE_PREADV_ASYNC, FAKE_SHORT, 0, 1001);
    memset(got, 0xee, 3 * BLOCK);
    ok(pread_sync(&img, got, 3 * BLOCK, 0) == 0 && memcmp(got, model, 3 * BLOCK) == 0,
       "a direct read that falls short within a block is read on");
}

/* What the bricks say of their blocks, and what is done when it was not to be learned. */
static void unknown(void)
{
    int rule;
    const void *first;

    img_close(&img);
    open_direct("empty", "1M", 64 << 10, false);
    pattern_fill(model, 2 * BLOCK, 3, 0);
    is(pwrite_sync(&img, model, 2 * BLOCK, 0), 0, "blocks of 64 KiB under an empty image: a write of 4 KiB blocks");
    ok(pread_sync(&img, got, 2 * BLOCK, 0) == 0 && memcmp(got, model, 2 * BLOCK) == 0, "... is there");
    is(zeroes_sync(&img, 5000, 1000, 0), 0, "... zeroes");
    img_close(&img);

    open_direct("empty", "1M", 64 << 10, false);
    rule = fake_always(FAKE_ZEROFILL, FAKE_FAIL, EOPNOTSUPP, 0);
    is(zeroes_sync(&img, 2 * BLOCK, 0, 0), 0, "... zeroes that have to be written");
    fake_calm(rule);
    img_close(&img);

    open_direct("refused-twice", "256k", 512, true);
    first = way_of(512, 512, false);
    rule = fake_always(FAKE_PREADV_ASYNC, FAKE_FAIL, EINVAL, 0);
    is(pread_sync(&img, got, 512, 512), -EINVAL, "what is refused on both ways is refused");
    is(fake.rule_hits(rule), 2, "... after one try each");
    fake_calm(rule);
    ok(way_of(512, 512, false) != first, "... and the direct one is not taken any more");
    img_close(&img);

    open_direct("grown", "0", 512, false);
    pattern_fill(model, BYTES, 3, 0);
    is(pwrite_sync(&img, model, BYTES, 0), 0, "an image that grew");
    ok(way_of(512, 512, false) != way_of(BLOCK, 0, false), "... has blocks of 4096 bytes at first");
    is(img.drv->getlength(&img.bs), BYTES, "... until it is looked at");
    ok(way_of(512, 512, false) == way_of(BLOCK, 0, false), "... and of those of the bricks then");
    img_close(&img);

    open_direct("memory", "256k", 1, true);
    ok(way_of(7, 13, false) == way_of(BLOCK, 0, false), "bricks that take anything get everything directly");
    fake_once(FAKE_OPEN, FAKE_PASS, 0, 0);
    img_close(&img);
}

static void second_open(void)
{
    const char *uri = fake_uri("vol", "second");
    struct fake_rule rule = {.op = FAKE_OPEN, .action = FAKE_FAIL, .err = EMFILE, .nth = 2, .times = 1};

    if (img_create(uri, "1M", NULL) < 0)
        t_die("cannot create %s", uri);
    fake.add_rule(&rule);
    is(img_open(&img, uri, BLK_O_RDWR | BLK_O_NOCACHE, NULL), -EMFILE, "no second descriptor: %s", img.error.message);
    is(fake_counted().open_fds, 0, "... nothing stays open");
    fake_once(FAKE_CLOSE, FAKE_FAIL, EIO, 0);
    is(img_open(&img, uri, BLK_O_NOCACHE, NULL), 0, "read-only");
    ok(pread_sync(&img, got, 777, 3) == 0 && all_bytes(got, 777, 0), "... a read of any range");
    t_forget_reports();
    img_close(&img);
    ok(t_reported("closing it"), "a second descriptor that fails to close is told");
}

static void locked(void)
{
    const char *uri = fake_uri("vol", "locked");
    struct img other;

    if (img_create(uri, "1M", NULL) < 0)
        t_die("cannot create %s", uri);
    is(img_open(&img, uri, BLK_O_RDWR | BLK_O_NOCACHE, "locking", "on", NULL), 0, "with locking");
    is(img_open(&other, uri, BLK_O_RDWR | BLK_O_NOCACHE, "locking", "on", NULL), -EBUSY, "... alone");
    is(pwrite_sync(&img, model, 100, 100), 0, "... a write aside");
    is(img.drv->lock_release(&img.bs, &img.error), 0, "... given up");
    is(img_open(&other, uri, BLK_O_RDWR | BLK_O_NOCACHE, "locking", "on", NULL), 0, "... and taken by another");
    is(img.drv->lock_acquire(&img.bs, &img.error), -EBUSY, "... whose it is then");
    img_close(&other);
    is(img.drv->lock_acquire(&img.bs, &img.error), 0, "... until he has closed it");
    is(pwrite_sync(&img, model, 100, 100), 0, "... a write aside once more");
    img_close(&img);
}

int main(void)
{
    static const int64_t units[] = {512, 4096};
    unsigned i;

    fake_begin("BLK_O_NOCACHE: any offset and length");
    for (i = 0; i < T_COUNT(units); i++) {
        open_direct("direct", "256k", units[i], true);
        ways(units[i]);
        at_random(units[i]);
        ways(units[i]);
        end_of_image();
        flushes();
        failures();
        img_close(&img);
    }
    open_direct("direct", "256k", 512, true);
    unknown();
    second_open();
    locked();
    fake.set_alignment(0);
    return fake_end();
}
