/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A short read is read on until its end or the image's; what lies past the image's end reads as zero. A short write
 * is an error. */
#include "on_fake.h"

enum { LENGTH = 65536 + 100, ROOM = 128 * 1024 };

static struct img img;
static unsigned char *data;

/* In three elements, so that every cut falls into or between them. */
static int read_in_three(int64_t bytes, int64_t offset)
{
    struct iovec iov[3];
    struct io io = {0};

    memset(data, 0xaa, ROOM);
    iov[0].iov_base = data;
    iov[0].iov_len = 1000;
    iov[1].iov_base = data + 1000;
    iov[1].iov_len = 24;
    iov[2].iov_base = data + 1024;
    iov[2].iov_len = (size_t)bytes - 1024;
    if (!ok(io_preadv(&io, &img, iov, 3, bytes, offset), "a read is accepted"))
        return io.ret;
    return io_wait(&io);
}

static bool untouched_after(size_t bytes)
{
    return all_bytes(data + bytes, ROOM - bytes, 0xaa);
}

static void short_reads(int mode, const char *name)
{
    static const int64_t missing[] = {1, 511, 512, 7168, 7169, 7192, 8191};
    uint64_t before;
    unsigned i;

    fake.set_mode(mode, 500);
    for (i = 0; i < T_COUNT(missing); i++) {
        before = fake_calls(FAKE_PREADV_ASYNC);
        fake_once(FAKE_PREADV_ASYNC, FAKE_SHORT, 0, missing[i]);
        ok(read_in_three(8192, 4096) == 0 && pattern_check(data, 8192, 1, 4096) && untouched_after(8192),
           "%s: a read that is %d bytes short", name, (int)missing[i]);
        is(fake_calls(FAKE_PREADV_ASYNC), before + 2, "... took one call more");
    }
    /* 8192 -> 7000 missing -> 5000 missing ... */
    fake_once(FAKE_PREADV_ASYNC, FAKE_SHORT, 0, 3000);
    fake_once(FAKE_PREADV_ASYNC, FAKE_SHORT, 0, 5000);
    fake_once(FAKE_PREADV_ASYNC, FAKE_SHORT, 0, 7000);
    before = fake_calls(FAKE_PREADV_ASYNC);
    ok(read_in_three(8192, 12345) == 0 && pattern_check(data, 8192, 1, 12345) && untouched_after(8192),
       "%s: a read that is short three times", name);
    is(fake_calls(FAKE_PREADV_ASYNC), before + 4, "... took three calls more");
}

static void rest_fails(void)
{
    struct fake_rule second = {FAKE_PREADV_ASYNC, FAKE_FAIL, EDQUOT, 0, 2, 0, 1, NULL};

    fake_once(FAKE_PREADV_ASYNC, FAKE_SHORT, 0, 100);
    fake.add_rule(&second);
    is(read_in_three(8192, 0), -EDQUOT, "the rest of a short read fails");
    second.action = FAKE_REFUSE;
    fake_once(FAKE_PREADV_ASYNC, FAKE_SHORT, 0, 100);
    fake.add_rule(&second);
    is(read_in_three(8192, 0), -EDQUOT, "the rest of a short read is refused by libgfapi");
}

static void past_the_end(void)
{
    uint64_t before = fake_calls(FAKE_PREADV_ASYNC);

    ok(read_in_three(8192, LENGTH - 5000) == 0 && pattern_check(data, 5000, 1, LENGTH - 5000) &&
           all_bytes(data + 5000, 3192, 0) && untouched_after(8192),
       "a read across the end: data, then zeros");
    ok(fake_calls(FAKE_PREADV_ASYNC) <= before + 2, "... took at most two calls");
    ok(read_in_three(8192, LENGTH) == 0 && all_bytes(data, 8192, 0) && untouched_after(8192), "a read at the end");
    ok(read_in_three(8192, LENGTH + INT64_C(1) * MiB) == 0 && all_bytes(data, 8192, 0) && untouched_after(8192),
       "a read past the end");
    ok(read_in_three(2048, (INT64_C(4) << 50) - 2048) == 0 && all_bytes(data, 2048, 0) && untouched_after(2048),
       "a read of the last bytes that an image can have");
    fake_once(FAKE_PREADV_ASYNC, FAKE_SHORT, 0, 4000);
    ok(read_in_three(8192, LENGTH - 6000) == 0 && pattern_check(data, 6000, 1, LENGTH - 6000) &&
           all_bytes(data + 6000, 2192, 0) && untouched_after(8192),
       "a short read across the end");
    is(img.drv->getlength(&img.bs), LENGTH, "none of them changes the length");
}

/* The last sector of an image whose length is no multiple of 512: EIO in the 2013 driver. */
static void last_sector(void)
{
    struct iovec iov;
    struct io io = {0};

    memset(data, 0xaa, ROOM);
    iov.iov_base = data;
    iov.iov_len = 512;
    io_begin(&io, &img);
    io_end(&io, img.drv->aio_readv(&img.bs, LENGTH / 512, &iov, 1, 1, io_done, &io));
    is(io_wait(&io), 0, "the last sector, half of which is past the end");
    ok(pattern_check(data, LENGTH % 512, 1, LENGTH / 512 * 512) &&
           all_bytes(data + LENGTH % 512, 512 - LENGTH % 512, 0) && untouched_after(512),
       "... data, then zeros");
}

static void short_writes(void)
{
    static const int64_t missing[] = {1, 512, 4095, 4096};
    unsigned i;

    pattern_fill(data, 4096, 1, 0);
    for (i = 0; i < T_COUNT(missing); i++) {
        fake_once(FAKE_PWRITEV_ASYNC, FAKE_SHORT, 0, missing[i]);
        is(pwrite_sync(&img, data, 4096, 0), -EIO, "a write that is %d bytes short", (int)missing[i]);
    }
    fake_once(FAKE_PWRITEV_ASYNC, FAKE_ZERO, 0, 0);
    is(pwrite_sync(&img, data, 4096, 0), -EIO, "a write that returns 0");
    fake_once(FAKE_PWRITEV_ASYNC, FAKE_FORCE, 0, 5000);
    is(pwrite_sync(&img, data, 4096, 0), -EIO, "a write that claims more than it was given");
    is(pwrite_sync(&img, data, 4096, 0), 0, "a whole write");
}

/* close waits for the rest of a short read, too. */
static void closed_in_between(void)
{
    struct io io = {0};

    fake.set_mode(FAKE_DELAYED, 2000);
    fake_once(FAKE_PREADV_ASYNC, FAKE_SHORT, 0, 5000);
    memset(data, 0xaa, ROOM);
    ok(io_pread(&io, &img, data, 8192, 4096), "a read is accepted");
    img_close(&img);
    is(io.done, 1, "close waited for a short read");
    ok(io.ret == 0 && pattern_check(data, 8192, 1, 4096), "... and for its rest");
}

int main(void)
{
    fake_begin("short reads are read on, zeros past the end; short writes fail");
    data = t_alloc(ROOM);
    fake_open(&img, "short", 0);
    is(img.drv->truncate(&img.bs, LENGTH, NULL), 0, "a length that is no multiple of 512");
    pattern_fill(data, LENGTH, 1, 0);
    is(pwrite_sync(&img, data, LENGTH, 0), 0, "filled");

    short_reads(FAKE_THREAD, "on another thread");
    short_reads(FAKE_INLINE, "on the submitting thread");
    short_reads(FAKE_DELAYED, "later");
    fake.set_mode(FAKE_THREAD, 0);
    rest_fails();
    past_the_end();
    last_sector();
    short_writes();
    closed_in_between();
    free(data);
    return fake_end();
}
