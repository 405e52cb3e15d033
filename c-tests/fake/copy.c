/* SPDX-License-Identifier: GPL-2.0-or-later */
/* aio_copy_range: the right bytes, whatever the images hold, in order; it can be cancelled, closed upon at either end and
 * fail like any request. */
#include "on_fake.h"

enum { BYTES = 5 * MiB + 321, CHUNK = MiB, AT_ONCE = 4, ROUNDS = 80 };

static struct img src, dst;
static unsigned char src_model[2 * BYTES], dst_model[4 * BYTES], got[4 * BYTES];
static int64_t dst_length;

static bool io_copy(struct io *io, struct img *from, int64_t from_offset, struct img *to, int64_t to_offset, int64_t bytes)
{
    io_begin(io, to);
    return io_end(io, to->drv->aio_copy_range(&from->bs, from_offset, &to->bs, to_offset, bytes, 0, io_done, io));
}

static int copy_sync(struct img *from, int64_t from_offset, struct img *to, int64_t to_offset, int64_t bytes)
{
    struct io io = {0};

    return io_copy(&io, from, from_offset, to, to_offset, bytes) ? io_wait(&io) : io.ret;
}

static void check(const char *what)
{
    is(dst.drv->getlength(&dst.bs), dst_length, "%s: the length", what);
    memset(got, 0xee, sizeof(got));
    ok(pread_sync(&dst, got, dst_length, 0) == 0 && memcmp(got, dst_model, (size_t)dst_length) == 0, "%s: every byte", what);
}

static void model_copy(int64_t from, int64_t to, int64_t bytes)
{
    if (to + bytes > dst_length)
        dst_length = to + bytes;
    memmove(dst_model + to, src_model + from, (size_t)bytes);
}

static void begin(const char *name)
{
    char second[64];

    snprintf(second, sizeof(second), "%s-dst", name);
    fake_open(&src, name, 0);
    fake_open(&dst, second, 0);
    memset(src_model, 0, sizeof(src_model));
    memset(dst_model, 0, sizeof(dst_model));
    pattern_fill(src_model, BYTES, 1, 0);
    pattern_fill(dst_model, BYTES, 2, 0);
    dst_length = BYTES;
    if (pwrite_sync(&src, src_model, BYTES, 0) || pwrite_sync(&dst, dst_model, BYTES, 0))
        t_die("cannot fill the images");
}

static void over(void)
{
    img_close(&src);
    img_close(&dst);
}

static void ranges(void)
{
    static const int64_t cases[][3] = {/* from, to, bytes */
                                       {0, 0, 1},          {5, 4095, 4097},         {0, 0, BYTES},       {MiB, 3, 2 * MiB + 1},
                                       {BYTES - 7, 9, 20}, {BYTES + 9, 100, 70000}, {1, BYTES - 3, MiB}, {77, 88, 0},
                                       {3, 2 * BYTES, 3 * MiB}, {BYTES + 1, 3 * BYTES + 5, 1000}};
    unsigned i;

    begin("ranges");
    for (i = 0; i < T_COUNT(cases); i++) {
        is(copy_sync(&src, cases[i][0], &dst, cases[i][1], cases[i][2]), 0, "%lld bytes from %lld to %lld",
           (long long)cases[i][2], (long long)cases[i][0], (long long)cases[i][1]);
        if (cases[i][2])
            model_copy(cases[i][0], cases[i][1], cases[i][2]);
        check("it");
    }
    ok(fake_counted().max_bytes[FAKE_PWRITE] <= CHUNK, "at most a MiB at a time");
    is(copy_sync(&dst, 100, &dst, MiB, MiB - 100), 0, "within one image");
    memcpy(dst_model + MiB, dst_model + 100, MiB - 100);
    is(copy_sync(&dst, MiB, &dst, 0, MiB), 0, "... back, side by side");
    memcpy(dst_model, dst_model + MiB, MiB);
    check("it");
    fake_once(FAKE_PREAD, FAKE_SHORT, 0, 5000);
    is(copy_sync(&src, 0, &dst, 0, MiB), 0, "a read that falls short is read on");
    model_copy(0, 0, MiB);
    check("it");
    over();
}

static void at_random(const char *src_volume, const char *dst_volume)
{
    uint64_t state = 3;
    int i, failed = 0, wrong = 0;
    const char *from = fake_uri(src_volume, "random"), *to = fake_uri(dst_volume, "random-dst");

    if (img_create(from, "0", NULL) < 0 || img_open(&src, from, BLK_O_RDWR, NULL) < 0 || img_create(to, "0", NULL) < 0 ||
        img_open(&dst, to, BLK_O_RDWR, NULL) < 0)
        t_die("cannot open %s and %s", from, to);
    memset(src_model, 0, sizeof(src_model));
    memset(dst_model, 0, sizeof(dst_model));
    dst_length = 0;
    pattern_fill(src_model, 700000, 1, 0);
    pattern_fill(src_model + 1500000, 700000, 1, 1500000);
    if (pwrite_sync(&src, src_model, 700000, 0) || pwrite_sync(&src, src_model + 1500000, 700000, 1500000))
        t_die("cannot fill the image");
    for (i = 0; i < ROUNDS; i++) {
        int64_t bytes, at, to_at;

        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        bytes = 1 + (int64_t)(state >> 40) % (i % 8 ? 100000 : 2 * MiB);
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        at = (int64_t)(state >> 40) % 2300000;
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        to_at = (int64_t)(state >> 40) % 2500000;
        failed += copy_sync(&src, at, &dst, to_at, bytes) != 0;
        model_copy(at, to_at, bytes);
        wrong += dst.drv->getlength(&dst.bs) != dst_length;
        if (i % 10 == 0) {
            memset(got, 0xee, (size_t)dst_length);
            wrong += pread_sync(&dst, got, dst_length, 0) != 0 || memcmp(got, dst_model, (size_t)dst_length) != 0;
        }
    }
    is(failed, 0, "%s to %s: %d random ranges", src_volume, dst_volume, ROUNDS);
    is(wrong, 0, "... the right length and bytes in between");
    check("... at the end");
    over();
}

/* ---- holes ---------------------------------------------------------------------------------------------------- */

static void holes(void)
{
    uint64_t reads, writes;
    int64_t before;

    begin("holes");
    is(src.drv->truncate(&src.bs, 0, &src.error), 0, "an empty source");
    memset(src_model, 0, sizeof(src_model));
    is(src.drv->truncate(&src.bs, BYTES, &src.error), 0, "... of holes");
    pattern_fill(src_model + MiB, 8192, 4, MiB);
    is(pwrite_sync(&src, src_model + MiB, 8192, MiB), 0, "... and a little data");
    before = dst.drv->get_allocated_file_size(&dst.bs);
    reads = fake_counted().bytes[FAKE_PREAD];
    writes = fake_counted().bytes[FAKE_PWRITE];
    is(copy_sync(&src, 0, &dst, 0, 4 * MiB), 0, "copied over data");
    model_copy(0, 0, 4 * MiB);
    is(fake_counted().bytes[FAKE_PWRITE] - writes, 8192, "... only data is written");
    check("... the rest is zero");
    ok(dst.drv->get_allocated_file_size(&dst.bs) < before - 3 * MiB, "... and has no space any more");

    writes = fake_calls(FAKE_DISCARD) + fake_calls(FAKE_ZEROFILL);
    reads = fake_counted().bytes[FAKE_PREAD];
    is(copy_sync(&src, 0, &dst, 0, 4 * MiB), 0, "once more, over holes");
    is(fake_counted().bytes[FAKE_PREAD] - reads, 8192, "... only data is read");
    is(fake_calls(FAKE_DISCARD) + fake_calls(FAKE_ZEROFILL), writes, "... and holes are left alone");
    check("... it");

    is(copy_sync(&src, 2 * MiB, &dst, 10 * MiB, 3 * MiB), 0, "a hole behind the end");
    model_copy(2 * MiB, 10 * MiB, 3 * MiB);
    check("... makes the image so long");
    is(copy_sync(&src, BYTES + 5, &dst, 13 * MiB, 3 * MiB), 0, "from behind the end to behind the end");
    model_copy(BYTES + 5, 13 * MiB, 3 * MiB);
    check("... too");
    over();
}

/* ---- order and what is in flight ------------------------------------------------------------------------------- */

static bool is_held(uint64_t count)
{
    return fake.wait_held(count, 10000);
}

static void *let_all_go(void *arg)
{
    uint64_t gone = 0;
    int64_t until = now_us() + 20 * 1000000;

    (void)arg;
    usleep(100 * 1000);
    while (!gone && now_us() < until)
        gone = fake.release(FAKE_PWRITE, 0, FAKE_AS_IS);
    return NULL;
}

static void order(void)
{
    struct io copy = {0}, second = {0}, after = {0}, beside = {0}, read = {0}, flush = {0};
    unsigned char ones[4096];
    int rule;

    begin("order");
    memset(ones, 1, sizeof(ones));
    rule = fake_always(FAKE_PWRITE, FAKE_HOLD, 0, 0);
    io_copy(&copy, &src, 0, &dst, 0, 5 * MiB);
    ok(is_held(AT_ONCE), "four chunks of a copy at once");
    io_copy(&second, &src, 0, &dst, 2 * BYTES, 4096);
    io_pwrite(&after, &dst, ones, sizeof(ones), MiB);
    io_pread(&read, &dst, got, 4096, 4 * MiB);
    io_pwrite(&beside, &dst, ones, sizeof(ones), 5 * MiB);
    io_flush(&flush, &dst);
    is(io_wait(&beside), 0, "a write beside it ends meanwhile");
    is(io_wait(&flush), 0, "a flush does, too");
    run_for(0.05);
    is(fake_counted().held, AT_ONCE, "no more than four");
    is(copy.done + second.done + after.done + read.done, 0, "what overlaps it, or one that waits, waits");
    fake_calm(rule);
    fake.release(FAKE_PWRITE, 0, FAKE_AS_IS);
    is(io_wait(&copy), 0, "it ends");
    is(io_wait(&read), 0, "then the read");
    ok(pattern_check(got, 4096, 1, 4 * MiB), "... which reads what was copied");
    is(io_wait(&after), 0, "then the write");
    is(io_wait(&second), 0, "then the next copy");
    ok(pread_sync(&dst, got, 4096, MiB) == 0 && all_bytes(got, 4096, 1), "the write is not lost");
    over();
}

static void cancelled(void)
{
    struct io copy = {0}, waiting = {0};
    pthread_t thread;
    uint64_t before;
    int rule;

    begin("cancel");
    rule = fake_always(FAKE_PWRITE, FAKE_HOLD, 0, 0);
    io_copy(&copy, &src, 0, &dst, 0, 5 * MiB);
    ok(is_held(AT_ONCE), "a copy is under way");
    io_copy(&waiting, &src, 0, &dst, 10 * MiB, MiB);
    dst.drv->aio_cancel(waiting.acb);
    ok(waiting.done == 1 && waiting.ret == -ECANCELED, "one that waits for it is cancelled at once");
    before = fake_calls(FAKE_PREAD);
    dst.drv->aio_cancel_async(copy.acb);
    run_for(0.02);
    is(copy.done, 0, "one that has begun goes on to the end of its chunks");
    fake_calm(rule);
    fake.release(FAKE_PWRITE, 0, FAKE_AS_IS);
    is(io_wait(&copy), -ECANCELED, "... and ends there");
    is(fake_calls(FAKE_PREAD), before, "... without another read");

    rule = fake_always(FAKE_PWRITE, FAKE_HOLD, 0, 0);
    io_copy(&copy, &src, 0, &dst, 0, MiB);
    ok(is_held(1), "one of a single chunk");
    fake_calm(rule);
    pthread_create(&thread, NULL, let_all_go, NULL);
    dst.drv->aio_cancel(copy.acb);
    ok(copy.done == 1 && copy.ret == 0, "aio_cancel waits for it, and its result is its own");
    pthread_join(thread, NULL);
    over();
}

static void closes(void)
{
    struct io copy = {0};
    pthread_t thread;
    int rule;

    begin("close");
    rule = fake_always(FAKE_PWRITE, FAKE_HOLD, 0, 0);
    io_copy(&copy, &src, 0, &dst, 0, 5 * MiB);
    ok(is_held(AT_ONCE), "a copy is under way");
    fake_calm(rule);
    pthread_create(&thread, NULL, let_all_go, NULL);
    is(src.drv->drain(&src.bs), 0, "a drain of its source");
    pthread_join(thread, NULL);
    is(fake_counted().bytes[FAKE_PWRITE] >= 5 * MiB, 1, "... waits for all of it");
    is(io_wait(&copy), 0, "... and it succeeds");
    model_copy(0, 0, 5 * MiB);
    check("it");

    rule = fake_always(FAKE_PWRITE, FAKE_HOLD, 0, 0);
    io_copy(&copy, &src, 0, &dst, 0, 5 * MiB);
    ok(is_held(AT_ONCE), "another one");
    fake_calm(rule);
    pthread_create(&thread, NULL, let_all_go, NULL);
    img_close(&src);
    pthread_join(thread, NULL);
    is(io_wait(&copy), -EBADF, "a close of its source ends it");

    fake_open(&src, "close", 0);
    is(pwrite_sync(&src, src_model, BYTES, 0), 0, "opened anew");
    rule = fake_always(FAKE_PWRITE, FAKE_HOLD, 0, 0);
    io_copy(&copy, &src, 0, &dst, 0, 3 * MiB);
    ok(is_held(3), "a third one");
    fake_calm(rule);
    pthread_create(&thread, NULL, let_all_go, NULL);
    img_close(&dst);
    pthread_join(thread, NULL);
    ok(copy.done == 1 && copy.ret == 0, "a close of its destination waits for it");
    img_close(&src);

    /* One that waits behind another when its source goes. */
    begin("close-waiting");
    {
        struct img other;
        struct io waiting = {0};

        fake_open(&other, "close-other", MiB);
        rule = fake_always(FAKE_PWRITE, FAKE_HOLD, 0, 0);
        io_copy(&copy, &src, 0, &dst, 0, MiB);
        ok(is_held(1), "one is under way");
        io_copy(&waiting, &other, 0, &dst, 2 * MiB, MiB);
        img_close(&other);
        ok(!waiting.done, "the source of one that has not begun is closed at once");
        fake_calm(rule);
        fake.release(FAKE_PWRITE, 0, FAKE_AS_IS);
        is(io_wait(&copy), 0, "the first ends");
        is(io_wait(&waiting), -EBADF, "the other one finds its source closed");
    }
    over();
}

static void failures(void)
{
    struct io copy = {0};
    int rule;

    begin("failures");
    fake_once(FAKE_PREAD, FAKE_FAIL, ESTALE, 0);
    is(copy_sync(&src, 0, &dst, 0, 5 * MiB), -ESTALE, "a read that fails fails the copy");
    fake_once(FAKE_PWRITE, FAKE_FAIL, ENOSPC, 0);
    is(copy_sync(&src, 0, &dst, 0, 5 * MiB), -ENOSPC, "... a write, too");
    ok(t_reported("a copy of"), "... %s", last_report());
    fake_once(FAKE_PWRITE, FAKE_FAIL, 0, 0);
    is(copy_sync(&src, 0, &dst, 0, 5 * MiB), -EIO, "... with errno 0");
    fake_once(FAKE_PWRITE, FAKE_SHORT, 0, 1);
    is(copy_sync(&src, 0, &dst, 0, 5 * MiB), -EIO, "... a write that falls short");
    rule = fake_always(FAKE_LSEEK, FAKE_FAIL, EIO, 0);
    is(copy_sync(&src, 3, &dst, 9, 3 * MiB), 0, "bricks that do not tell data from holes are read");
    model_copy(0, 0, 5 * MiB);
    model_copy(3, 9, 3 * MiB);
    fake_calm(rule);
    is(copy_sync(&src, 0, &dst, 0, 5 * MiB), 0, "then all is well");
    model_copy(0, 0, 5 * MiB);
    check("it");
    rule = fake_always(FAKE_PWRITE, FAKE_HOLD, 0, 0);
    io_copy(&copy, &src, 0, &dst, 0, 5 * MiB);
    ok(is_held(AT_ONCE), "a brick is lost meanwhile");
    fake_calm(rule);
    fake.release(FAKE_PWRITE, 0, ENOTCONN);
    is(io_wait(&copy), -ENOTCONN, "... which fails it");
    over();
}

static void refused(void)
{
    static const struct {
        int64_t from, to, bytes;
        int error;
    } bad[] = {{-1, 0, 1, EINVAL},
               {0, -1, 1, EINVAL},
               {0, 0, -1, EINVAL},
               {INT64_C(1) << 52, 0, 1, EFBIG},
               {0, INT64_C(1) << 52, 1, EFBIG},
               {INT64_MAX, 0, 1, EFBIG},
               {0, INT64_MAX, 1, EFBIG}};
    struct BlkState never = {.struct_size = sizeof(never)};
    struct img reader;
    struct io io = {0};
    unsigned i;

    begin("refused");
    for (i = 0; i < T_COUNT(bad); i++) {
        ok(!io_copy(&io, &src, bad[i].from, &dst, bad[i].to, bad[i].bytes), "bad arguments are refused");
        is(io.ret, -bad[i].error, "... %s", last_report());
    }
    ok(!io_copy(&io, &dst, 0, &dst, 99, 100) && io.ret == -EINVAL, "overlap: %s", last_report());
    ok(!io_copy(&io, &dst, 99, &dst, 0, 100) && io.ret == -EINVAL, "... the other way");
    ok(!io_copy(&io, &dst, 9, &dst, 9, 1) && io.ret == -EINVAL, "... onto itself");
    io_begin(&io, &dst);
    ok(!io_end(&io, dst.drv->aio_copy_range(&src.bs, 0, &dst.bs, 0, 1, 1, io_done, &io)) && io.ret == -EINVAL, "flags: %s",
       last_report());
    never.opaque = calloc(1, dst.drv->instance_size);
    io_begin(&io, &dst);
    ok(!io_end(&io, dst.drv->aio_copy_range(&never, 0, &dst.bs, 0, 1, 0, io_done, &io)) && io.ret == -EBADF,
       "a source that is not open: %s", last_report());
    free(never.opaque);
    io_begin(&io, &dst);
    ok(!io_end(&io, dst.drv->aio_copy_range(NULL, 0, &dst.bs, 0, 1, 0, io_done, &io)) && io.ret == -EINVAL, "no source");
    io_begin(&io, &dst);
    ok(!io_end(&io, dst.drv->aio_copy_range(&src.bs, 0, NULL, 0, 1, 0, io_done, &io)) && io.ret == -EINVAL,
       "no destination");
    io_begin(&io, &dst);
    ok(!io_end(&io, dst.drv->aio_copy_range(&src.bs, 0, &dst.bs, 0, 1, 0, NULL, &io)) && io.ret == -EINVAL, "no callback");
    if (img_open(&reader, fake_uri("vol", "refused"), 0, NULL) < 0)
        t_die("cannot open it: %s", reader.error.message);
    ok(!io_copy(&io, &src, 0, &reader, 0, 1) && io.ret == -EBADF, "a read-only image is no destination");
    is(copy_sync(&reader, 0, &dst, 0, MiB), 0, "... but a source");
    img_close(&reader);
    over();
}

static void locked(void)
{
    const char *uri = fake_uri("vol", "locked-dst");
    struct io io = {0};

    begin("locked");
    img_close(&dst);
    is(img_open(&dst, uri, BLK_O_RDWR, "locking", "on", NULL), 0, "a destination with a lock");
    is(copy_sync(&src, 0, &dst, 0, MiB), 0, "... is copied to");
    is(dst.drv->lock_release(&dst.bs, &dst.error), 0, "... until it gives it up");
    ok(!io_copy(&io, &src, 0, &dst, 0, 1) && io.ret == -EPERM, "... %s", last_report());
    is(copy_sync(&dst, 0, &src, 0, MiB), 0, "... when it is a source still");
    over();
}

static void direct(void)
{
    begin("direct");
    over();
    fake.set_alignment(512);
    if (img_open(&src, fake_uri("vol", "direct"), BLK_O_NOCACHE, NULL) < 0 ||
        img_open(&dst, fake_uri("vol", "direct-dst"), BLK_O_RDWR | BLK_O_NOCACHE, NULL) < 0)
        t_die("cannot open them");
    is(copy_sync(&src, 7, &dst, 1000, 3 * MiB + 5), 0, "BLK_O_NOCACHE: of any range");
    model_copy(7, 1000, 3 * MiB + 5);
    is(copy_sync(&src, 4096, &dst, 4 * MiB, MiB), 0, "... of whole blocks");
    model_copy(4096, 4 * MiB, MiB);
    check("it");
    fake.set_alignment(0);
    over();
}

int main(void)
{
    fake_begin("aio_copy_range: the right bytes, in order");
    ranges();
    at_random("vol", "vol");
    at_random("vol", "sharded-vol");
    at_random("disperse-vol", "other");
    holes();
    order();
    cancelled();
    closes();
    failures();
    refused();
    locked();
    direct();
    return fake_end();
}
