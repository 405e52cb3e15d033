/* SPDX-License-Identifier: GPL-2.0-or-later */
/* aio_cancel waits for one request and calls its callback, and no other's; a handle that is not valid does nothing. */
#include "on_fake.h"

enum { REQUESTS = 8 };

/* Not adjacent: such requests are sent one by one, and all at once. */
#define OFFSET(i) ((int64_t)(i) * 8192)

static struct img img;
static struct io io[REQUESTS], other;
static char data[REQUESTS][4096];

static int done_count(void)
{
    int i, n = 0;

    for (i = 0; i < REQUESTS; i++)
        n += io[i].done;
    return n;
}

static void submit_all(void)
{
    int i;

    for (i = 0; i < REQUESTS; i++)
        if (!io_pwrite(&io[i], &img, data[i], sizeof(data[i]), OFFSET(i)))
            fail("request %d is accepted", i);
}

static void finish_all(void)
{
    int i;

    for (i = 0; i < REQUESTS; i++)
        io_wait(&io[i]);
    t_poll(0);
}

static void *release_one_later(void *arg)
{
    usleep(100 * 1000);
    fake.release(FAKE_ANY_ASYNC, (uint64_t)(uintptr_t)arg, FAKE_AS_IS);
    return NULL;
}

/* The others are still out, so that waiting for all of them would hang. */
static void waits_for_that_one(void)
{
    pthread_t thread;

    fake.set_mode(FAKE_HELD, 0);
    submit_all();
    pthread_create(&thread, NULL, release_one_later, (void *)(uintptr_t)1);
    img.drv->aio_cancel(io[0].acb);
    is(io[0].done, 1, "aio_cancel has waited for its request and called the callback");
    is(io[0].ret, 0, "... with the request's own result");
    is(done_count(), 1, "... and no other");
    pthread_join(thread, NULL);
    fake.release(FAKE_ANY_ASYNC, 0, FAKE_AS_IS);
    finish_all();
    is(done_count(), REQUESTS, "the others end as always");
}

/* All are ready; one is taken out of the middle. */
static void takes_out_of_turn(void)
{
    int i;

    fake.set_mode(FAKE_INLINE, 0);
    submit_all();
    is(done_count(), 0, "all are ready, none is delivered");
    img.drv->aio_cancel(io[5].acb);
    img.drv->aio_cancel(io[2].acb);
    img.drv->aio_cancel(io[7].acb);
    ok(io[5].done == 1 && io[2].done == 1 && io[7].done == 1, "three are cancelled");
    is(done_count(), 3, "no other callback ran");
    ok(io[5].order < io[2].order && io[2].order < io[7].order, "in the order of the cancels");
    finish_all();
    is(done_count(), REQUESTS, "the others come when polled");
    for (i = 0; i < REQUESTS; i++)
        if (i != 5 && i != 2 && i != 7 && io[i].order < io[7].order)
            fail("request %d came before it was polled for", i);
}

static void result_is_the_requests_own(void)
{
    fake.set_mode(FAKE_DELAYED, 20000);
    fake_once(FAKE_PWRITEV_ASYNC, FAKE_FAIL, ENOSPC, 0);
    submit_all();
    img.drv->aio_cancel(io[0].acb);
    is(io[0].ret, -ENOSPC, "a request that failed meanwhile says so");
    img.drv->aio_cancel(io[1].acb);
    is(io[1].ret, 0, "one that succeeded is no ECANCELED: its data is written");
    finish_all();
    fake_once(FAKE_PREADV_ASYNC, FAKE_SHORT, 0, 1000);
    memset(data[0], 0xaa, sizeof(data[0]));
    io_pread(&io[0], &img, data[0], sizeof(data[0]), OFFSET(1));
    img.drv->aio_cancel(io[0].acb);
    ok(io[0].done == 1 && io[0].ret == 0 && pattern_check(data[0], 4096, 1, OFFSET(1)),
       "a short read that is cancelled is read on");
}

static void stale_handles(void)
{
    struct BlkAiocb *old[REQUESTS], *garbage[8];
    uint64_t numbers[] = {1, 0x10, 0xdeadbeef, UINT64_MAX, UINT64_MAX >> 16, (uint64_t)1 << 48, (uint64_t)1 << 63};
    unsigned i, before;

    fake.set_mode(FAKE_THREAD, 0);
    submit_all();
    finish_all();
    for (i = 0; i < REQUESTS; i++)
        old[i] = io[i].acb;
    fake.set_mode(FAKE_HELD, 0);
    submit_all();
    before = t_reports();
    img.drv->aio_cancel(NULL);
    img.drv->aio_cancel_async(NULL);
    for (i = 0; i < REQUESTS; i++) {
        img.drv->aio_cancel(old[i]);
        img.drv->aio_cancel_async(old[i]);
    }
    for (i = 0; i < T_COUNT(numbers); i++) {
        memcpy(&garbage[i], &numbers[i], sizeof(garbage[i]));
        img.drv->aio_cancel(garbage[i]);
        img.drv->aio_cancel_async(garbage[i]);
    }
    /* Neighbours of a valid handle: the next request in its slot, the next slot, another image. */
    for (i = 0; i < 64; i++) {
        uint64_t number;

        memcpy(&number, &io[0].acb, sizeof(number));
        number ^= (uint64_t)1 << i;
        memcpy(&garbage[0], &number, sizeof(number));
        if (garbage[0] != io[1].acb && garbage[0] != io[2].acb && garbage[0] != io[3].acb &&
            garbage[0] != io[4].acb && garbage[0] != io[5].acb && garbage[0] != io[6].acb && garbage[0] != io[7].acb)
            img.drv->aio_cancel(garbage[0]);
    }
    is(done_count(), 0, "cancelling NULL, stale handles and garbage returns at once and calls nothing");
    is(t_reports(), before, "... and is no error");
    for (i = 0; i < REQUESTS; i++)
        if (old[i] == io[i].acb)
            fail("handle %u is not used again", i);
    fake.release(FAKE_ANY_ASYNC, 0, FAKE_AS_IS);
    finish_all();
}

static void asynchronous(void)
{
    int i;

    fake.set_mode(FAKE_HELD, 0);
    submit_all();
    for (i = 0; i < REQUESTS; i++)
        img.drv->aio_cancel_async(io[i].acb);
    run_for(0.02);
    is(done_count(), 0, "aio_cancel_async does not wait, and calls nothing");
    fake.release(FAKE_ANY_ASYNC, 0, FAKE_AS_IS);
    finish_all();
    is(done_count(), REQUESTS, "the callbacks come as always");
}

static void cancel_other(struct io *self)
{
    is(other.done, 0, "inside a callback: the other one is not done");
    img.drv->aio_cancel(other.acb);
    is(other.done, 1, "it is after aio_cancel");
    img.drv->aio_cancel(self->acb);
    is(self->done, 1, "cancelling itself does nothing");
}

static void inside_a_callback(void)
{
    fake.set_mode(FAKE_THREAD, 0);
    io[0].then = cancel_other;
    io_pwrite(&io[0], &img, data[0], 4096, 0);
    fake.set_mode(FAKE_DELAYED, 50000);
    io_pwrite(&other, &img, data[1], 4096, 4096);
    is(io_wait(&io[0]), 0, "a callback that cancels another request");
    io[0].then = NULL;
    is(other.done, 1, "whose callback ran once");
    fake.set_mode(FAKE_THREAD, 0);
}

static struct io *last_cancelled;

static void cancel_next(struct io *self)
{
    last_cancelled = self;
    if (self < &io[REQUESTS - 1])
        img.drv->aio_cancel(self[1].acb);
}

static void down_a_chain(void)
{
    int i;

    fake.set_mode(FAKE_DELAYED, 5000);
    for (i = 0; i < REQUESTS; i++)
        io[i].then = cancel_next;
    submit_all();
    img.drv->aio_cancel(io[0].acb);
    is(done_count(), REQUESTS, "each callback cancels the next request");
    for (i = 0; i < REQUESTS; i++)
        io[i].then = NULL;
}

int main(void)
{
    int i;

    fake_begin("cancel: waits for that one, delivers no other, survives any handle");
    fake_open(&img, "cancel", 0);
    for (i = 0; i < REQUESTS; i++)
        pattern_fill(data[i], sizeof(data[i]), 1, OFFSET(i));
    waits_for_that_one();
    takes_out_of_turn();
    result_is_the_requests_own();
    stale_handles();
    asynchronous();
    inside_a_callback();
    down_a_chain();
    img_close(&img);
    img.drv->aio_cancel(io[0].acb);
    ok(true, "a handle of an image that is closed does nothing");
    return fake_end();
}
