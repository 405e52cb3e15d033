/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fd handler is taken away and given to another loop, at any time: no callback is lost, doubled or on the wrong thread. */
#include "on_fake.h"

enum { BYTES = 512, MANY = 40, MOVES = 60 };

static struct img img;
static struct io ios[MANY];
static char data[BYTES];

static int detach(void)
{
    return img.drv->detach_fd_handler(&img.bs);
}

static int attach(void)
{
    return img.drv->attach_fd_handler(&img.bs, &img.error);
}

static int ready(void)
{
    return img.drv->is_ready(&img.bs);
}

static int ended(void)
{
    int i, n = 0;

    for (i = 0; i < MANY; i++)
        n += __atomic_load_n(&ios[i].done, __ATOMIC_ACQUIRE);
    return n;
}

static bool all_ended(void *count)
{
    return ended() >= *(int *)count;
}

static void submit(int count)
{
    int i;

    memset(ios, 0, sizeof(ios));
    for (i = 0; i < count; i++)
        io_pwrite(&ios[i], &img, data, BYTES, i * 1024);
}

static bool is_ready_now(void *arg)
{
    (void)arg;
    return ready() == 1;
}

/* ---- taken away -------------------------------------------------------------------------------------------------- */

static void taken_away(void)
{
    unsigned added, removed;
    int three = 3;

    fake_open(&img, "handler", 65536);
    added = t_watch_calls();
    removed = t_unwatch_calls();
    is(ready(), 0, "nothing is ready");
    is(img.drv->get_in_flight(&img.bs), 0, "... nor in flight");
    is(attach(), -EALREADY, "it is attached: %s", img.error.message);
    fake.set_mode(FAKE_HELD, 0);
    submit(3);
    is(img.drv->get_in_flight(&img.bs), 3, "three requests in flight");
    is(detach(), 0, "detached with them");
    is(t_unwatch_calls(), removed + 1, "... the host is told");
    is(detach(), -EALREADY, "... once");
    fake.release(FAKE_ANY, 0, FAKE_AS_IS);
    ok(run_until(is_ready_now, NULL, 10), "they are ready");
    is(fake.wait_idle(10000), 1, "... all of them");
    run_for(0.02);
    is(ended(), 0, "... but not called back");
    is(img.drv->get_in_flight(&img.bs), 3, "... and count as in flight");
    is(attach(), 0, "attached again");
    is(t_watch_calls(), added + 1, "... the host is told");
    ok(run_until(all_ended, &three, 10), "... and has its callbacks");
    is(ready(), 0, "nothing is ready any more");
    is(img.drv->get_in_flight(&img.bs), 0, "... nor in flight");
    fake.set_mode(FAKE_THREAD, 0);
    submit(MANY);
    is(detach(), 0, "detached");
    is(img.drv->drain(&img.bs), 0, "... and drained");
    is(ended(), MANY, "... which calls back");
    submit(1);
    img.drv->aio_cancel(ios[0].acb);
    is(ended(), 1, "a cancel does, too");
    submit(2);
    ok(run_until(is_ready_now, NULL, 10), "one that dispatches by itself");
    while (ended() < 2 && img.drv->dispatch(&img.bs) >= 0)
        ;
    is(ended(), 2, "... has its callbacks");
    submit(MANY);
    removed = t_unwatch_calls();
    img_close(&img);
    is(ended(), MANY, "so has one that closes");
    is(t_unwatch_calls(), removed, "... of whom the host heard before");
    is(ready(), -EINVAL, "nothing is ready of what is closed");
}

static void refused(void)
{
    unsigned removed;

    fake_open(&img, "handler", 65536);
    is(detach(), 0, "detached");
    t_watch_result = -ENOSPC;
    is(attach(), -ENOSPC, "the host refuses: %s", img.error.message);
    is(detach(), -EALREADY, "... so it is not attached");
    t_watch_result = 0;
    is(attach(), 0, "... until the host agrees");
    submit(1);
    is(io_wait(&ios[0]), 0, "... and has its callbacks");
    removed = t_unwatch_calls();
    img_close(&img);
    is(t_unwatch_calls(), removed + 1, "closed, the host is told");
}

/* Handlers that come late, of a loop that has the fd no more. */
static void late(void)
{
    BlkFdHandler handler;
    void *old, *now;

    fake_open(&img, "handler", 65536);
    handler = t_last_handler(&old);
    is(detach(), 0, "detached");
    submit(2);
    ok(run_until(is_ready_now, NULL, 10), "something is ready");
    handler(old);
    is(ended(), 0, "a late handler does nothing");
    is(attach(), 0, "attached");
    ok(t_last_handler(&now) == handler && now != old, "... as another watch");
    handler(old);
    is(ended(), 0, "the first one's handler still does nothing");
    is(img.drv->drain(&img.bs), 0, "drain");
    is(ended(), 2, "all have ended");
    img_close(&img);
    handler(now);
    handler(old);
}

static void detach_inside(struct io *io)
{
    if (io == &ios[0])
        is(detach(), 0, "detached inside a callback");
}

static void inside(void)
{
    int i, count = MANY;

    fake_open(&img, "handler", 65536);
    fake.set_mode(FAKE_HELD, 0);
    for (i = 0; i < MANY; i++) {
        memset(&ios[i], 0, sizeof(ios[i]));
        ios[i].then = detach_inside;
        io_pwrite(&ios[i], &img, data, BYTES, i * 1024);
    }
    fake.set_order(FAKE_IN_ORDER, 0);
    fake.release(FAKE_ANY, 0, FAKE_AS_IS);
    is(fake.wait_idle(10000), 1, "all are done");
    fake.set_mode(FAKE_THREAD, 0);
    ok(run_until(is_ready_now, NULL, 10), "they are ready");
    t_poll(1000);
    is(ended(), 1, "... the callback that detaches is the last");
    run_for(0.02);
    is(ended(), 1, "... none comes by itself");
    is(attach(), 0, "attached");
    ok(run_until(all_ended, &count, 10), "... the others come");
    for (i = 0; i < MANY; i++)
        ios[i].then = NULL;
    img_close(&img);
}

/* ---- another loop ------------------------------------------------------------------------------------------------ */

static int moved, stop;
static pthread_barrier_t barrier;

/* Has the fd every other time. */
static void *other_loop(void *arg)
{
    int i;

    (void)arg;
    for (i = 0; i < MOVES; i++) {
        pthread_barrier_wait(&barrier);
        img.owner = pthread_self();
        if (attach() == 0)
            moved++;
        submit(MANY);
        if (i % 3) {
            int some = i % MANY;

            run_until(all_ended, &some, 10);
        }
        if (detach() != 0)
            fail("detach");
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

static void from_loop_to_loop(void)
{
    pthread_t thread;
    int i, count = MANY, lost = 0;

    fake_open(&img, "handler", 65536);
    is(detach(), 0, "detached");
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_create(&thread, NULL, other_loop, NULL);
    fake.set_mode(FAKE_DELAYED, 200);
    for (i = 0; i < MOVES; i++) {
        pthread_barrier_wait(&barrier);
        /* The other one has it. */
        pthread_barrier_wait(&barrier);
        img.owner = pthread_self();
        if (attach() == 0)
            moved++;
        lost += !run_until(all_ended, &count, 20);
        if (detach() != 0)
            fail("detach");
    }
    pthread_join(thread, NULL);
    pthread_barrier_destroy(&barrier);
    fake.set_mode(FAKE_THREAD, 0);
    is(moved, 2 * MOVES, "the fd goes from loop to loop");
    is(lost, 0, "... with %d requests in flight, whose callbacks all come", MANY);
    img_close(&img);
}

static void *is_it_ready(void *arg)
{
    int calls = 0;

    (void)arg;
    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
        ready();
        calls++;
    }
    return (void *)(intptr_t)calls;
}

/* ---- while others wait ------------------------------------------------------------------------------------------- */

static int answer, told;

static void *asks_for_length(void *arg)
{
    (void)arg;
    return (void *)(intptr_t)img.drv->getlength(&img.bs);
}

static void *asks_once(void *arg)
{
    (void)arg;
    usleep(200 * 1000); /* so that the close waits by now; when it does not, there is nothing to wait for */
    answer = ready();
    __atomic_store_n(&told, 1, __ATOMIC_RELEASE);
    return NULL;
}

/* Lets the brick answer when it was told, or after ten seconds. Whether it was. */
static void *release_then(void *arg)
{
    int i, was_told = 0;

    (void)arg;
    for (i = 0; i < 1000 && !was_told; i++) {
        usleep(10 * 1000);
        was_told = __atomic_load_n(&told, __ATOMIC_ACQUIRE);
    }
    fake.release(FAKE_FSTAT, 0, FAKE_AS_IS);
    return (void *)(intptr_t)was_told;
}

/* A loop that asks goes on while a close waits for a call that a silent brick does not answer. */
static void asked_while_it_closes(void)
{
    pthread_t asker, loop, releaser;
    void *length, *was_told;
    int rule;

    fake_open(&img, "handler", 65536);
    rule = fake_once(FAKE_FSTAT, FAKE_HOLD, 0, 0);
    pthread_create(&asker, NULL, asks_for_length, NULL);
    is(fake.wait_held(1, 10000), 1, "a silent brick is asked for the length");
    pthread_create(&loop, NULL, asks_once, NULL);
    pthread_create(&releaser, NULL, release_then, NULL);
    img_close(&img);
    pthread_join(releaser, &was_told);
    pthread_join(loop, NULL);
    pthread_join(asker, &length);
    fake_calm(rule);
    ok(was_told != NULL, "is_ready does not wait behind a close that waits for it");
    is(answer, 0, "... and says so");
    is((int)(intptr_t)length, 65536, "... the length comes in the end");
}

static void asked_by_another(void)
{
    pthread_t thread;
    void *calls;
    int i;

    fake_open(&img, "handler", 65536);
    pthread_create(&thread, NULL, is_it_ready, NULL);
    for (i = 0; i < 200; i++)
        if (pwrite_sync(&img, data, BYTES, 0) != 0)
            fail("a write");
    img.drv->close(&img.bs);
    img.is_open = false;
    is(ready(), -EBADF, "it is closed while another thread asks whether something is ready");
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    pthread_join(thread, &calls);
    ok((intptr_t)calls > 0, "... which it did");
    img_close(&img);
}

int main(void)
{
    fake_begin("callbacks go to the loop that has the fd, and wait while none has it");
    t_keep_connection = "1";
    taken_away();
    refused();
    late();
    inside();
    from_loop_to_loop();
    asked_by_another();
    asked_while_it_closes();
    return fake_end();
}
