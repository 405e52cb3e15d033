/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who waits for whom: calls that wait for nobody return while a brick is silent; those that wait end when what they wait for has,
 * on whatever threads that is.
 */
#include "on_fake.h"

enum { BLOCK = 4096, SUBMITTERS = 3 };

static struct img img;
static char data[BLOCK];

/* ---- a silent brick --------------------------------------------------------------------------------------------- */

static double seconds_since(int64_t begun)
{
    return (double)(now_us() - begun) / 1e6;
}

static void *let_go_later(void *op)
{
    sleep(3);
    fake.release(*(int *)op, 0, FAKE_AS_IS);
    return NULL;
}

static double is_ready_took;

static void *ask_whether_ready(void *arg)
{
    int64_t begun;

    usleep(500 * 1000);
    begun = now_us();
    img.drv->is_ready(&img.bs);
    is_ready_took = seconds_since(begun);
    return arg;
}

/* A commit waits for who asks the brick for the lock, and must not have the image meanwhile. */
static void is_ready(void)
{
    struct BlkError error = {.struct_size = sizeof(error)};
    pthread_t threads[2];
    int op = FAKE_POSIX_LOCK, hold;

    if (img_open(&img, fake_uri("vol", "waits"), 0, "locking", "on", "strict-locks", "off", NULL))
        t_die("cannot open: %s", img.error.message);
    is(img.drv->reopen_prepare(&img.bs, NULL, BLK_O_NOCACHE, &error), 0, "a reopen");
    fake_once(FAKE_FSYNC, FAKE_FAIL, ENOTCONN, 0);
    hold = fake_once(FAKE_POSIX_LOCK, FAKE_HOLD, 0, 0);
    is(flush_sync(&img), -ENOTCONN, "a flush that fails, so that somebody looks at the file");
    ok(fake.wait_held(1, 5000), "... and asks a silent brick for the lock");
    pthread_create(&threads[0], NULL, let_go_later, &op);
    pthread_create(&threads[1], NULL, ask_whether_ready, NULL);
    img.drv->reopen_commit(&img.bs);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    ok(is_ready_took < 1, "is_ready took %.3f s while the commit waited for the brick", is_ready_took);
    fake_calm(hold);
    is(img.drv->is_read_only(&img.bs), 1, "the commit has come to its end");
    img_close(&img);
}

static void discard(void)
{
    struct io io = {0};
    int op = FAKE_FSTAT, hold;
    int64_t begun;
    pthread_t thread;

    fake_open(&img, "odd", BLOCK + 512);
    hold = fake_once(FAKE_FSTAT, FAKE_HOLD, 0, 0);
    pthread_create(&thread, NULL, let_go_later, &op);
    begun = now_us();
    ok(io_discard(&io, &img, BLOCK, BLOCK), "a discard that ends behind the image");
    ok(seconds_since(begun) < 1, "... returns at once: %.3f s", seconds_since(begun));
    is(io_wait(&io), 0, "... and succeeds");
    fake_calm(hold);
    pthread_join(thread, NULL);
    is(fake_length("odd", NULL), BLOCK + 512, "... and has not grown the image");
    img_close(&img);
}

/* ---- submitters ----------------------------------------------------------------------------------------------------- */

static bool enough;
static int callbacks, accepted;

static void count(void *opaque, int ret)
{
    (void)opaque;
    (void)ret;
    __atomic_add_fetch(&callbacks, 1, __ATOMIC_SEQ_CST);
}

static void *submit(void *arg)
{
    struct iovec iov = {data, sizeof(data)};
    int n = 0;

    while (!__atomic_load_n(&enough, __ATOMIC_SEQ_CST)) {
        if (!img.drv->aio_pwritev(&img.bs, 0, sizeof(data), &iov, 1, 0, count, NULL)) {
            sched_yield();
            continue;
        }
        __atomic_add_fetch(&accepted, 1, __ATOMIC_SEQ_CST);
        if (++n % 64 == 0)
            usleep(50);
    }
    return arg;
}

/* A write that is refused since the lock is being given up is none that its giver waits for. It takes luck to be seen: a round in
 * several thousand hung. */
static void release_beside_submitters(void)
{
    pthread_t threads[SUBMITTERS];
    int i, rounds = 0, released = 0;
    int64_t begun;

    if (img_open(&img, fake_uri("vol", "waits"), BLK_O_RDWR, "locking", "on", NULL))
        t_die("cannot open: %s", img.error.message);
    for (i = 0; i < SUBMITTERS; i++)
        pthread_create(&threads[i], NULL, submit, NULL);
    begun = now_us();
    for (; seconds_since(begun) < 1; rounds++) {
        released += img.drv->lock_release(&img.bs, NULL) == 0;
        img.drv->lock_acquire(&img.bs, NULL);
        t_poll(0);
    }
    __atomic_store_n(&enough, true, __ATOMIC_SEQ_CST);
    for (i = 0; i < SUBMITTERS; i++)
        pthread_join(threads[i], NULL);
    img.drv->drain(&img.bs);
    is(released, rounds, "the lock is given up %d times while others write", rounds);
    is(callbacks, accepted, "each of the %d writes that were accepted has had its callback", accepted);
    img_close(&img);
}

static void quiet_report(void *opaque, int level, const char *message)
{
    (void)opaque;
    (void)level;
    (void)message;
}

int main(void)
{
    struct BlkHost host = t_host();

    host.report = quiet_report;
    fake_begin_with("calls that wait for nobody return at once, and those that wait end", &host);
    fake_open(&img, "waits", 16 * BLOCK);
    img_close(&img);
    is_ready();
    discard();
    release_beside_submitters();
    return fake_end();
}
