/* SPDX-License-Identifier: GPL-2.0-or-later */
/* drain_begin and drain_end: what comes between them waits, in its order, and nothing waits for ever. */
#include "on_fake.h"

enum { BYTES = 512, MANY = 100 };

static struct img img;
static struct io ios[MANY];
static char data[BYTES], back[BYTES];

static int begin(void)
{
    return img.drv->drain_begin(&img.bs);
}

static int end(void)
{
    return img.drv->drain_end(&img.bs);
}

static int64_t in_flight(void)
{
    return img.drv->get_in_flight(&img.bs);
}

static int ended(void)
{
    int i, n = 0;

    for (i = 0; i < MANY; i++)
        n += ios[i].done;
    return n;
}

static bool all_ended(void *count)
{
    return ended() >= *(int *)count;
}

static void held_back(void)
{
    static const char last = MANY - 1;
    uint64_t writes, syncs;
    int i, count = MANY;

    fake_open(&img, "quiet", 65536);
    fake.set_mode(FAKE_DELAYED, 20000);
    memset(ios, 0, sizeof(ios));
    for (i = 0; i < 10; i++)
        io_pwrite(&ios[i], &img, data, BYTES, i * 4096);
    is(begin(), 0, "drain_begin");
    is(ended(), 10, "... has waited for what was in flight");
    is(in_flight(), 0, "... nothing is");
    fake.set_mode(FAKE_THREAD, 0);
    writes = fake_calls(FAKE_PWRITEV_ASYNC);
    syncs = fake_calls(FAKE_FSYNC);
    memset(ios, 0, sizeof(ios));
    /* The same place each time: the last of them is what it holds. */
    for (i = 0; i < MANY; i++) {
        static char each[MANY][BYTES];

        memset(each[i], i, BYTES);
        if (i == 50)
            io_flush(&ios[i], &img);
        else if (i == 60)
            io_zeroes(&ios[i], &img, BYTES, 0, 0);
        else if (i == 70)
            io_discard(&ios[i], &img, BYTES, 0);
        else
            io_pwrite(&ios[i], &img, each[i], BYTES, 0);
    }
    is(in_flight(), MANY, "%d more requests are accepted", MANY);
    run_for(0.05);
    is(ended(), 0, "... and wait");
    is(fake_calls(FAKE_PWRITEV_ASYNC) + fake_calls(FAKE_FSYNC), writes + syncs, "... here, not in libgfapi");
    is(img.drv->drain(&img.bs), 0, "drain does not wait for them");
    is(begin(), 0, "again");
    is(end(), 0, "... which ends nothing");
    run_for(0.02);
    is(ended(), 0, "... they wait");
    is(end(), 0, "drain_end");
    ok(run_until(all_ended, &count, 20), "... they are made");
    for (i = 0; i < MANY; i++)
        if (ios[i].ret != 0)
            fail("request %d: %d", i, ios[i].ret);
    is(pread_sync(&img, back, BYTES, 0), 0, "a read");
    ok(all_bytes(back, BYTES, (unsigned char)last), "... finds what was written last");
    is(end(), -EINVAL, "drain_end without drain_begin: %s", last_report());
    img_close(&img);
}

static void nothing_hangs(void)
{
    fake_open(&img, "quiet", 65536);
    memset(ios, 0, sizeof(ios));
    is(begin(), 0, "drain_begin");
    io_pwrite(&ios[0], &img, data, BYTES, 0);
    io_pwrite(&ios[1], &img, data, BYTES, 0);
    io_pwrite(&ios[2], &img, data, BYTES, 0);
    img.drv->aio_cancel(ios[0].acb);
    is(ios[0].ret, -ECANCELED, "one that is held back is cancelled");
    img.drv->aio_cancel_async(ios[1].acb);
    is(io_wait(&ios[1]), -ECANCELED, "... or asked to");
    is(in_flight(), 1, "... the other is there");
    is(img.drv->io_plug(&img.bs), 0, "plugged as well");
    img_close(&img);
    ok(ios[2].done == 1 && ios[2].ret == 0, "a close makes what is held back");

    memset(ios, 0, sizeof(ios));
    is(img_open(&img, fake_uri("vol", "quiet"), BLK_O_RDWR, "locking", "on", NULL), 0, "one that is locked");
    is(begin(), 0, "drain_begin");
    io_pwrite(&ios[0], &img, data, BYTES, 0);
    is(img.drv->lock_release(&img.bs, &img.error), -EBUSY, "its lock stays while a write is held back: %s",
       img.error.message);
    is(end(), 0, "drain_end");
    is(io_wait(&ios[0]), 0, "... the write is made");
    is(begin(), 0, "again");
    io_pread(&ios[1], &img, back, BYTES, 0);
    is(img.drv->lock_release(&img.bs, &img.error), 0, "a read keeps no lock");
    is(end(), 0, "drain_end");
    is(io_wait(&ios[1]), 0, "... the read is made");
    img_close(&img);
}

/* One is held back across a reopen: it meets the image as it is then. */
static void across_a_reopen(void)
{
    fake_open(&img, "quiet", 65536);
    memset(ios, 0, sizeof(ios));
    is(begin(), 0, "drain_begin");
    io_pread(&ios[0], &img, back, BYTES, 0);
    is(img.drv->reopen_prepare(&img.bs, NULL, 0, &img.error), 0, "a reopen");
    img.drv->reopen_commit(&img.bs);
    is(ios[0].done, 0, "... does not let it in");
    is(img.drv->is_read_only(&img.bs), 1, "... nor wait for it");
    is(end(), 0, "drain_end");
    is(io_wait(&ios[0]), 0, "... does");
    img_close(&img);
}

static int stop, refused, submitted, alive;

static void *writes_on(void *arg)
{
    struct iovec iov = {data, BYTES};

    (void)arg;
    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
        struct io io = {0};

        io_begin(&io, &img);
        if (!io_end(&io, img.drv->aio_pwritev(&img.bs, 0, BYTES, &iov, 1, 0, io_done, &io))) {
            __atomic_add_fetch(&refused, 1, __ATOMIC_RELAXED);
            continue;
        }
        while (!__atomic_load_n(&io.done, __ATOMIC_ACQUIRE))
            usleep(20);
        __atomic_add_fetch(&submitted, 1, __ATOMIC_RELAXED);
    }
    __atomic_sub_fetch(&alive, 1, __ATOMIC_RELEASE);
    return NULL;
}

static bool none_alive(void *arg)
{
    (void)arg;
    return __atomic_load_n(&alive, __ATOMIC_ACQUIRE) == 0;
}

/* Threads that go on keep nobody waiting, and have all their callbacks. */
static void among_threads(void)
{
    pthread_t threads[4];
    unsigned i;
    int bad = 0, hundred = 0;

    fake_open(&img, "quiet", 65536);
    alive = T_COUNT(threads);
    for (i = 0; i < T_COUNT(threads); i++)
        pthread_create(&threads[i], NULL, writes_on, NULL);
    for (i = 0; i < 200; i++) {
        uint64_t calls;

        bad += begin() != 0;
        calls = fake_calls(FAKE_PWRITEV_ASYNC);
        usleep(200);
        bad += fake_calls(FAKE_PWRITEV_ASYNC) != calls;
        bad += end() != 0;
        if (i % 4 == 0)
            t_poll(1);
    }
    is(bad, 0, "200 times without a request, while four threads write");
    while (__atomic_load_n(&submitted, __ATOMIC_RELAXED) < 100 && hundred++ < 20000)
        t_poll(1);
    ok(submitted >= 100, "... who do write");
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    ok(run_until(none_alive, NULL, 20), "... and end");
    for (i = 0; i < T_COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    is(refused, 0, "... and are never refused");
    img_close(&img);
}

int main(void)
{
    fake_begin("between drain_begin and drain_end no request is in flight, and none is lost");
    t_keep_connection = "1";
    held_back();
    nothing_hangs();
    across_a_reopen();
    among_threads();
    return fake_end();
}
