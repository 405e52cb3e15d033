/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When, where and in which order completions come. */
#include "selftest.h"

#include <stdatomic.h>

#define MANY 40

static void one_thread(void)
{
    struct image image = image_fresh("one");
    struct call *call = start(&image, FAKE_PWRITEV_ASYNC, 3, 'w');

    call_gives(call, 0, BLOCK, 0, "write on the network thread");
    ok(!pthread_equal(call->thread, pthread_self()), "on another thread");
    finish(call);
    call = start(&image, FAKE_PREADV_ASYNC, 3, 0);
    call_gives(call, 0, BLOCK, 0, "read");
    ok(block_of(call)[0] == 'w' && block_of(call)[BLOCK - 1] == 'w',
       "it reads what was written");
    finish(call);
    call = start(&image, FAKE_FSYNC_ASYNC, 0, 0);
    call_gives(call, 0, 0, 0, "fsync");
    finish(call);
    ok(fake_gfapi_wait_idle(5000), "idle");
    same((long long)counters().on_submitter, 0, "none on the submitter");
    same((long long)counters().delivered, 3, "three callbacks");
    image_close(&image);
}

static void on_the_submitter(void)
{
    struct image image = image_fresh("one");
    struct call *call;

    fake_gfapi_set_mode(FAKE_INLINE, 0);
    call = start(&image, FAKE_PWRITEV_ASYNC, 0, 'i');
    same(call->callbacks, 1, "the callback came before submit returned");
    ok(pthread_equal(call->thread, pthread_self()), "on this thread");
    same(call->ret, BLOCK, "its result");
    finish(call);
    same((long long)counters().on_submitter, 1, "it is counted as such");
    fake_gfapi_set_mode(FAKE_BEFORE_RETURN, 0);
    for (int i = 0; i < MANY; i++) {
        call = start(&image, FAKE_PREADV_ASYNC, 0, 0);
        if (call->callbacks != 1 || block_of(call)[9] != 'i' ||
            pthread_equal(call->thread, pthread_self()))
            ok(false, "on another thread, before submit returned");
        finish(call);
    }
    ok(true, "on another thread, before submit returned");
    same((long long)counters().max_in_flight, 1, "never more than one");
    image_close(&image);
}

static int place_of(struct call *list, struct call *wanted)
{
    int place = 0;

    for (; list && list != wanted; list = list->next)
        place++;
    return list ? place : -1;
}

static void free_many(struct call **calls, int n)
{
    for (int i = 0; i < n; i++)
        finish(calls[i]);
}

static void orders(const char *name, int mode, int order)
{
    struct image image = image_fresh("one");
    struct call *calls[MANY], *list = NULL, **end = &list;
    int in_order = 0, reversed = 0, lost = 0;
    uint64_t begin = elapsed_ms();

    fake_gfapi_set_mode(mode, 150000);
    fake_gfapi_set_order(order, 42);
    image.end = &end;
    for (int i = 0; i < MANY; i++)
        calls[i] = start(&image, FAKE_PREADV_ASYNC, i, 0);
    if (mode == FAKE_HELD) {
        same((long long)counters().held, MANY, "all are held");
        same((long long)fake_gfapi_release(FAKE_ANY, 0, FAKE_AS_IS), MANY,
             "all are released");
    }
    ok(fake_gfapi_wait_idle(5000), "%s: all came back", name);
    if (mode == FAKE_DELAYED)
        ok(elapsed_ms() - begin >= 150, "%s: they took as long as told", name);
    for (int i = 0; i < MANY; i++) {
        int place = place_of(list, calls[i]);

        in_order += place == i;
        reversed += place == MANY - 1 - i;
        lost += place < 0;
    }
    same(lost, 0, "none is lost");
    if (order == FAKE_IN_ORDER)
        same(in_order, MANY, "in order");
    else if (order == FAKE_REVERSED)
        same(reversed, MANY, "reversed");
    else
        ok(in_order < MANY / 2 && reversed < MANY / 2, "%s: shuffled", name);
    same((long long)counters().max_in_flight, MANY, "all at a time");
    free_many(calls, MANY);
    image_close(&image);
}

static void some_at_a_time(void)
{
    struct image image = image_fresh("one");
    struct call *a, *b, *c;

    fake_gfapi_set_mode(FAKE_HELD, 0);
    a = start(&image, FAKE_PWRITEV_ASYNC, 0, 'a');
    b = start(&image, FAKE_FSYNC_ASYNC, 0, 0);
    c = start(&image, FAKE_PREADV_ASYNC, 0, 0);
    same(call_wait_ms(a, 20), false, "a held call waits");
    same((long long)fake_gfapi_release(FAKE_FSYNC_ASYNC, 0, FAKE_AS_IS), 1,
         "the fsync is released");
    call_gives(b, 0, 0, 0, "it completes");
    same((long long)fake_gfapi_release(FAKE_ANY_ASYNC, 1, FAKE_AS_IS), 1,
         "one is released");
    call_gives(a, 0, BLOCK, 0, "it is the oldest");
    same((long long)counters().in_flight, 1, "one is in flight");
    SYNC(-1, EBUSY, "no reset with it", fake_gfapi_reset());
    same((long long)fake_gfapi_release(FAKE_ANY, 0, ENOTCONN), 1,
         "the connection breaks");
    call_gives(c, 0, -1, ENOTCONN, "the last one fails");
    same((long long)counters().held, 0, "none is held");
    finish(a);
    finish(b);
    finish(c);
    image_close(&image);
}

static void many_threads(void)
{
    struct image image = { .end = NULL };
    struct call *calls[MANY];
    int threads = 1;

    fake_gfapi_reset();
    fake_gfapi_set_threads(4);
    image.fs = connected("many");
    image.fd = glfs_creat(image.fs, "image", O_RDWR, 0600);
    for (int i = 0; i < MANY; i++)
        calls[i] = start(&image, FAKE_PWRITEV_ASYNC, i, (char)i);
    for (int i = 0; i < MANY; i++)
        call_wait(calls[i]);
    for (int i = 1; i < MANY; i++) {
        int seen = 0;

        for (int j = 0; j < i; j++)
            seen |= pthread_equal(calls[i]->thread, calls[j]->thread);
        threads += !seen;
    }
    same(threads, 4, "four network threads");
    free_many(calls, MANY);
    image_close(&image);
}

static _Atomic long completions;

static void count_completion(glfs_fd_t *fd, ssize_t ret, struct glfs_stat *pre,
                             struct glfs_stat *post, void *data)
{
    (void)fd;
    (void)pre;
    (void)post;
    if (ret == *(ssize_t *)data)
        atomic_fetch_add(&completions, 1);
}

static void *storm(void *arg)
{
    struct image *image = arg;
    static ssize_t expected = BLOCK;
    char block[BLOCK];
    struct iovec iov = { block, BLOCK };

    for (int i = 0; i < 20000; i++)
        if (glfs_preadv_async(image->fd, &iov, 1, 0, 0, count_completion,
                              &expected))
            abort();
    return NULL;
}

static void without_storage(void)
{
    struct image image = image_fresh("one");
    pthread_t threads[3];
    struct call *call;

    fake_gfapi_set_storage(0);
    call = start(&image, FAKE_PWRITEV_ASYNC, 0, 'x');
    call_gives(call, 0, BLOCK, 0, "write without storage");
    finish(call);
    call = start(&image, FAKE_PREADV_ASYNC, 0, 'y');
    call_gives(call, 0, BLOCK, 0, "read without storage");
    same(block_of(call)[5], 'y', "the buffer is not touched");
    finish(call);
    rule(FAKE_PREADV_ASYNC, FAKE_SHORT, 0, 96);
    call = start(&image, FAKE_PREADV_ASYNC, 0, 'y');
    call_gives(call, 0, 4000, 0, "a short read without storage");
    same(block_of(call)[5], 'y', "the buffer is not touched");
    finish(call);
    for (int i = 0; i < 3; i++)
        if (pthread_create(&threads[i], NULL, storm, &image))
            abort();
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    ok(fake_gfapi_wait_idle(60000), "three submitters at full speed");
    same(atomic_load(&completions), 60000, "none is lost");
    fake_gfapi_set_storage(1);
    call = start(&image, FAKE_PREADV_ASYNC, 0, 'y');
    call_wait(call);
    same(block_of(call)[5], 0, "nothing was written");
    finish(call);
    image_close(&image);
}

void test_modes(void)
{
    one_thread();
    on_the_submitter();
    orders("delayed", FAKE_DELAYED, FAKE_IN_ORDER);
    orders("delayed, reversed", FAKE_DELAYED, FAKE_REVERSED);
    orders("delayed, shuffled", FAKE_DELAYED, FAKE_SHUFFLED);
    orders("held", FAKE_HELD, FAKE_IN_ORDER);
    orders("held, reversed", FAKE_HELD, FAKE_REVERSED);
    orders("held, shuffled", FAKE_HELD, FAKE_SHUFFLED);
    some_at_a_time();
    many_threads();
    without_storage();
}
