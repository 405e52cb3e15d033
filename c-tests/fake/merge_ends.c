/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Cancel, drain, close and nested loops while requests wait or share a call. */
#include "merging.h"

enum { COUNT = AT_ONCE + 12, WAITING = AT_ONCE + 4 };

static struct img img;
static struct batch batch;
static struct io extra;
static char extra_data[UNIT];

/* Unlike fake_open it leaves the data there. */
static void open_again(void)
{
    is(img_open(&img, fake_uri("vol", "merge-ends"), BLK_O_RDWR, NULL), 0, "open");
}

/* The first AT_ONCE are held, the others wait. */
static void begin(bool write, uint64_t seed)
{
    int i;

    for (i = 0; i < MOST; i++)
        batch.io[i].then = NULL;
    fake.set_mode(FAKE_HELD, 0);
    fake.set_trace(200);
    if (write)
        batch_write(&batch, &img, 0, COUNT, seed);
    else
        batch_read(&batch, &img, 0, COUNT, seed);
    is(fake.trace_count(), AT_ONCE, "%d are sent, %d wait", AT_ONCE, COUNT - AT_ONCE);
}

static void end(const char *what)
{
    ok(batch_wait(&batch), "%s: all end", what);
    t_poll(0);
    fake.set_trace(0);
    fake.set_mode(FAKE_THREAD, 0);
}

static bool sent(int request)
{
    uint64_t i, place = (uint64_t)request * UNIT;

    for (i = 0; i < fake.trace_count(); i++) {
        struct fake_trace call = traced(i);

        if (call.offset <= place && place < call.offset + call.length)
            return true;
    }
    return false;
}

static void all_but(int but)
{
    int i;

    for (i = 0; i < COUNT; i++)
        if (i != but && !batch_right(&batch, i))
            fail("request %d ends well, once (%d)", i, batch.io[i].ret);
}

/* ---- cancel ------------------------------------------------------------------------------------------------------- */

static void one_that_waits(bool write, bool wait)
{
    begin(write, 1);
    if (wait) {
        img.drv->aio_cancel(batch.io[WAITING].acb);
        is(batch.io[WAITING].done, 1, "cancel of a %s that waits calls its callback", write ? "write" : "read");
    } else {
        img.drv->aio_cancel_async(batch.io[WAITING].acb);
        is(batch_done(&batch), 0, "cancel_async of a %s that waits calls nothing", write ? "write" : "read");
        ok(wait_for(&batch.io[WAITING].done, 1, 10), "... its callback comes when polled for");
    }
    is(batch.io[WAITING].ret, -ECANCELED, "... with ECANCELED");
    is(batch_done(&batch), 1, "... and no other");
    img.drv->aio_cancel(batch.io[WAITING].acb);
    img.drv->aio_cancel_async(batch.io[WAITING].acb);
    end("the others");
    is(batch.io[WAITING].done, 1, "a second cancel does nothing");
    all_but(WAITING);
}

static void nothing_is_sent(void)
{
    char data[UNIT];

    memset(data, 9, sizeof(data));
    is(pwrite_sync(&img, data, sizeof(data), WAITING * UNIT), 0, "old data");
    begin(true, 2);
    img.drv->aio_cancel(batch.io[WAITING].acb);
    while (!batch.io[COUNT - 1].done)
        release_until(&batch.io[COUNT - 1].done, 1);
    ok(!sent(WAITING), "a write that was cancelled is not sent");
    end("the others");
    ok(pread_sync(&img, data, sizeof(data), WAITING * UNIT) == 0 && all_bytes(data, sizeof(data), 9),
       "... and the image is as it was");
}

/* What waited behind the cancelled one goes on. */
static void what_it_held_back(void)
{
    begin(true, 3);
    pattern_fill(extra_data, UNIT, 4, WAITING * UNIT);
    extra.then = NULL;
    io_pwrite(&extra, &img, extra_data, UNIT, WAITING * UNIT);
    img.drv->aio_cancel(batch.io[WAITING].acb);
    is(extra.done, 0, "a write over one that is cancelled");
    end("the stream");
    is(io_wait(&extra), 0, "... is written");
    ok(pread_sync(&img, extra_data, UNIT, WAITING * UNIT) == 0 && pattern_check(extra_data, UNIT, 4, WAITING * UNIT),
       "... with its data");
}

static void *release_soon(void *arg)
{
    usleep(50 * 1000);
    fake.release(FAKE_ANY_ASYNC, 0, (int)(intptr_t)arg);
    return NULL;
}

/* All that waited is in one call; `target` is one of its requests. */
static void share(bool write, uint64_t seed)
{
    int i;

    begin(write, seed);
    fake.release(FAKE_ANY_ASYNC, 0, FAKE_AS_IS);
    for (i = 0; i < AT_ONCE; i++)
        wait_for(&batch.io[i].done, 1, 10);
    ok(fake.wait_held(1, 10000) && fake.trace_count() == AT_ONCE + 1, "those that waited share a call that is held");
    is(batch_done(&batch), AT_ONCE, "... the others are over");
}

static void one_that_shares(bool write, int target, int err)
{
    pthread_t thread;

    share(write, 1);
    img.drv->aio_cancel_async(batch.io[target].acb);
    run_for(0.01);
    is(batch_done(&batch), AT_ONCE, "cancel_async of request %d of it calls nothing", target);
    pthread_create(&thread, NULL, release_soon, (void *)(intptr_t)err);
    if (err != FAKE_AS_IS)
        fake.set_mode(FAKE_THREAD, 0); /* for those that are sent alone after it */
    img.drv->aio_cancel(batch.io[target].acb);
    pthread_join(thread, NULL);
    is(batch.io[target].done, 1, "cancel waits for it");
    is(batch.io[target].ret, 0, "... its result is its own");
    is(batch_done(&batch), AT_ONCE + 1, "... and calls no other");
    end("the others");
    all_but(-1);
}

static void cancel_neighbours(struct io *self)
{
    img.drv->aio_cancel(batch.io[AT_ONCE + 2].acb);
    is(batch.io[AT_ONCE + 2].done, 1, "the callback of the first cancels the third");
    is(batch.io[AT_ONCE + 1].done, 0, "... the second is still to come");
    img.drv->aio_cancel(self->acb);
}

static void from_a_callback(void)
{
    share(true, 5);
    batch.io[AT_ONCE].then = cancel_neighbours;
    end("a shared call whose callbacks cancel");
    all_but(-1);
}

static void all_that_wait(bool wait)
{
    int i;

    begin(true, 6);
    for (i = COUNT - 1; i >= AT_ONCE; i--)
        if (wait)
            img.drv->aio_cancel(batch.io[i].acb);
        else
            img.drv->aio_cancel_async(batch.io[i].acb);
    end(wait ? "each that waits is cancelled" : "each that waits is asked to end");
    for (i = 0; i < COUNT; i++)
        if (batch.io[i].done != 1 || batch.io[i].ret != (i < AT_ONCE ? 0 : -ECANCELED))
            fail("request %d: %d callbacks, %d", i, batch.io[i].done, batch.io[i].ret);
}

/* ---- drain, close, nested loops ----------------------------------------------------------------------------------- */

static void *release_until_told(void *arg)
{
    const int *stop = arg;

    while (!__atomic_load_n(stop, __ATOMIC_ACQUIRE)) {
        fake.release(FAKE_ANY_ASYNC, 0, FAKE_AS_IS);
        usleep(1000);
    }
    return NULL;
}

static void drains(bool closes, int mode)
{
    static int stop;
    pthread_t thread;
    int i;

    stop = 0;
    begin(true, 7);
    fake.set_mode(mode, 300);
    pthread_create(&thread, NULL, release_until_told, &stop);
    if (closes)
        img_close(&img);
    else
        is(img.drv->drain(&img.bs), 0, "drain");
    is(batch_done(&batch), COUNT, "%s while requests wait has called all callbacks", closes ? "close" : "drain");
    for (i = 0; i < COUNT; i++)
        if (batch.io[i].done != 1 || batch.io[i].ret != 0)
            fail("request %d: %d callbacks, %d", i, batch.io[i].done, batch.io[i].ret);
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    fake.set_trace(0);
    fake.set_mode(FAKE_THREAD, 0);
    if (closes)
        open_again();
    ok(batch_stored(&batch), "... and written all");
}

static int others_seen;

static void loop_inside(struct io *self)
{
    int i;

    self->then = NULL;
    for (i = AT_ONCE + 1; i < COUNT; i++)
        others_seen += wait_for(&batch.io[i].done, 1, 10);
    /* It goes on where the shared call ended: of the same stream. */
    io_pwrite(&extra, &img, extra_data, UNIT, COUNT * UNIT);
    is(io_wait(&extra), 0, "a request submitted inside the callback ends there");
}

static void nested(void)
{
    share(true, 8);
    others_seen = 0;
    extra.then = NULL;
    batch.io[AT_ONCE].then = loop_inside;
    fake.set_mode(FAKE_THREAD, 0);
    fake.release(FAKE_ANY_ASYNC, 0, FAKE_AS_IS);
    ok(wait_for(&batch.io[AT_ONCE].done, 1, 30) && others_seen == COUNT - AT_ONCE - 1,
       "a poll loop in the callback of the first of a shared call sees all others");
    end("nested");
    all_but(-1);
}

/* Both windows are full of calls that are over, but for their callbacks. */
static void submit_into_a_full_window(struct io *self)
{
    self->then = NULL;
    io_pwrite(&extra, &img, extra_data, UNIT, COUNT * UNIT);
    is(io_wait(&extra), 0, "inside the first callback a request of the stream ends while the window is full");
}

static void full_window(int how)
{
    begin(true, 9);
    extra.then = NULL;
    batch.io[0].then = submit_into_a_full_window;
    fake.set_mode(how, 500);
    fake.release(FAKE_ANY_ASYNC, 0, FAKE_AS_IS);
    ok(wait_for(&batch.io[0].done, 1, 30), "... which then returns");
    end("full window");
    all_but(-1);
}

static void close_inside(struct io *self)
{
    img_close(self->img);
    others_seen = batch_done(&batch);
}

static void closes_in_a_callback(int which, int err)
{
    share(true, 10);
    batch.io[AT_ONCE + which].then = close_inside;
    fake.set_mode(FAKE_THREAD, 0);
    fake.release(FAKE_ANY_ASYNC, 0, err);
    ok(wait_for(&batch.io[AT_ONCE + which].done, 1, 30), "callback %d of a shared call closes the image", which);
    is(others_seen, COUNT, "... which called all others");
    all_but(-1);
    t_poll(0);
    fake.set_trace(0);
    open_again();
    ok(batch_stored(&batch), "... and all is written");
}

int main(void)
{
    int write;

    fake_begin("cancel, drain, close and nested loops while requests wait or share a call");
    fake_open(&img, "merge-ends", COUNT * UNIT);
    batch_write(&batch, &img, 0, COUNT, 1);
    ok(batch_wait(&batch), "data");
    for (write = 0; write < 2; write++) {
        one_that_waits(write, true);
        one_that_waits(write, false);
        one_that_shares(write, AT_ONCE, FAKE_AS_IS);
        one_that_shares(write, COUNT - 2, FAKE_AS_IS);
        one_that_shares(write, COUNT - 1, FAKE_AS_IS);
        one_that_shares(write, AT_ONCE + 1, EIO);
    }
    nothing_is_sent();
    what_it_held_back();
    from_a_callback();
    all_that_wait(true);
    all_that_wait(false);
    drains(false, FAKE_HELD);
    drains(false, FAKE_DELAYED);
    drains(true, FAKE_HELD);
    drains(true, FAKE_THREAD);
    drains(true, FAKE_INLINE);
    nested();
    full_window(FAKE_THREAD);
    full_window(FAKE_DELAYED);
    full_window(FAKE_INLINE);
    closes_in_a_callback(0, FAKE_AS_IS);
    closes_in_a_callback(3, FAKE_AS_IS);
    closes_in_a_callback(COUNT - AT_ONCE - 1, FAKE_AS_IS);
    closes_in_a_callback(1, EIO);
    img_close(&img);
    return fake_end();
}
