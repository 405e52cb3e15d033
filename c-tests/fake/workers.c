/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The threads that calls block on: few for many images, none held up by another volume's bricks, none left after a while,
 * none waited for. When none can be started the request fails, and the image goes on. */
#include <dlfcn.h>

#include "on_fake.h"

/* As in src/worker.rs. */
enum { OF_ONE_VOLUME = 16, OF_ALL = 64, MOST_IMAGES = 64 };

static struct img images[OF_ALL + MOST_IMAGES];
static struct io flushes[OF_ALL + MOST_IMAGES];
static int opened;

/* ---- threads that cannot be started -------------------------------------------------------------------------------- */

static int no_threads;

/* Taken over for the library, as malloc is in no_alloc.c. */
__attribute__((visibility("default"))) int pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                                                          void *(*body)(void *), void *arg)
{
    static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    void *address;

    if (__atomic_load_n(&no_threads, __ATOMIC_SEQ_CST)) {
        __atomic_add_fetch(&no_threads, 1, __ATOMIC_SEQ_CST);
        return EAGAIN;
    }
    if (!real) {
        address = dlsym(RTLD_NEXT, "pthread_create");
        memcpy(&real, &address, sizeof(real));
    }
    return real(thread, attributes, body, arg);
}

/* How often one was asked for in vain. */
static int threads_again(void)
{
    return __atomic_exchange_n(&no_threads, 0, __ATOMIC_SEQ_CST) - 1;
}

static int workers(void)
{
    return threads_named("blkg-worker");
}

static bool no_workers(void *arg)
{
    (void)arg;
    return workers() == 0;
}

static void none_can_be_started(const char *write_cache)
{
    struct io other = {0}, zeroes = {0};
    struct img img;
    char byte = 1;

    if (img_open(&img, fake_uri("vol", "few"), BLK_O_RDWR, "write-cache", write_cache, NULL) < 0)
        t_die("cannot open it: %s", img.error.message);
    if (!run_until(no_workers, NULL, 30))
        t_die("a worker does not end");
    t_forget_reports();
    no_threads = 1;
    ok(io_flush(&flushes[0], &img), "write-cache=%s: without a thread for it a flush is accepted", write_cache);
    is(flushes[0].done, 0, "... does not call back at once");
    is(io_wait(&flushes[0]), -EAGAIN, "... and fails in its callback");
    ok(t_reported("few") && t_reported("EAGAIN") && t_reported("threads"), "... and a report: %s", last_report());
    ok(io_pwrite(&other, &img, &byte, 1, 0) && io_wait(&other) == 0, "writes need none");
    ok(io_zeroes(&zeroes, &img, 4096, 0, 0), "without a thread for it a write of zeroes is accepted");
    ok(io_pwrite(&other, &img, &byte, 1, 0), "... and a write of the same place");
    is(io_wait(&zeroes), -EAGAIN, "... the first fails in its callback");
    is(io_wait(&other), 0, "... then the write goes on");
    is(threads_again(), 2, "a thread was asked for once each");
    is(zeroes_sync(&img, 4096, 0, 0), 0, "once there are threads again, so are writes of zeroes");
    is(flush_sync(&img), 0, "... and flushes");
    is(flush_sync(&img), 0, "... for good");
    img_close(&img);
}

/* ---- bricks that are silent ----------------------------------------------------------------------------------------- */

static void open_images(const char *volume, int count)
{
    int i;

    for (i = 0; i < count; i++, opened++) {
        char name[32];
        const char *uri;

        snprintf(name, sizeof(name), "image-%d", opened);
        uri = fake_uri(volume, name);
        if (img_create(uri, "4096", NULL) < 0 || img_open(&images[opened], uri, BLK_O_RDWR, NULL) < 0)
            t_die("cannot open %s: %s", uri, images[opened].error.message);
    }
}

static void flush_all(int from)
{
    int i;

    for (i = from; i < opened; i++)
        io_flush(&flushes[i], &images[i]);
}

static bool held_stays(uint64_t wanted)
{
    bool reached = fake.wait_held(wanted, 20000);

    run_for(0.05);
    return reached && fake_counted().held == wanted;
}

/* Whether the flushes of all images but those on "vol" have ended so. */
static int ended_with(int wanted)
{
    int i, n = 0;

    for (i = 0; i < opened; i++)
        n += io_wait(&flushes[i]) == wanted;
    return n;
}

static void close_all(void)
{
    while (opened > 0)
        img_close(&images[--opened]);
}

static int hold(void)
{
    struct fake_rule rule = {0};

    rule.op = FAKE_FSYNC;
    rule.action = FAKE_HOLD;
    rule.every = 1;
    return fake.add_rule(&rule);
}

/* So that `vol` answers while all others are silent. */
static int pass(const char *volume)
{
    struct fake_rule rule = {0};

    rule.op = FAKE_FSYNC;
    rule.action = FAKE_PASS;
    rule.every = 1;
    rule.volume = volume;
    return fake.add_rule(&rule);
}

static void one_volume(struct img *elsewhere)
{
    int silent = hold(), answers = pass("vol");

    open_images("silent-a", MOST_IMAGES);
    flush_all(0);
    ok(held_stays(OF_ONE_VOLUME), "of %d images of one volume that flush, %d wait for its bricks at once", MOST_IMAGES,
       OF_ONE_VOLUME);
    ok(workers() <= OF_ONE_VOLUME + 1, "... on as many threads: %d", workers());
    is(flush_sync(elsewhere), 0, "an image on another volume flushes meanwhile");
    is(fake.release(FAKE_FSYNC, 1, FAKE_AS_IS), 1, "one ends");
    ok(held_stays(OF_ONE_VOLUME), "... another one begins");
    fake_calm(silent);
    fake_calm(answers);
    fake.release(FAKE_FSYNC, 0, FAKE_AS_IS);
    is(ended_with(0), MOST_IMAGES, "all end once the bricks answer");
    close_all();
}

static void many_volumes(struct img *elsewhere)
{
    static const char *const volumes[] = {"silent-a", "silent-b", "silent-c", "silent-d"};
    int silent = hold(), answers = pass("vol"), rule;
    unsigned i;

    for (i = 0; i < T_COUNT(volumes); i++)
        open_images(volumes[i], OF_ALL / (int)T_COUNT(volumes));
    flush_all(0);
    ok(held_stays(OF_ALL), "with %d silent volumes %d threads wait", (int)T_COUNT(volumes), OF_ALL);
    open_images("silent-e", 2);
    flush_all(OF_ALL);
    ok(held_stays(OF_ALL + 1), "a further volume has one of its own");
    is(flush_sync(elsewhere), 0, "... and so has one whose bricks answer");
    rule = fake_always(FAKE_FSYNC, FAKE_FAIL, ENOTCONN, 0);
    fake.release(FAKE_FSYNC, 0, ENOTCONN);
    is(ended_with(-ENOTCONN), opened, "all end when the bricks are given up");
    fake_calm(rule);
    fake_calm(silent);
    fake_calm(answers);
    close_all();
}

/* ---- the end of the process ---------------------------------------------------------------------------------------- */

static void exit_while_flushing(void)
{
    struct img img;

    fake_begin("exit");
    fake_open(&img, "exit", 4096);
    fake_always(FAKE_FSYNC, FAKE_HOLD, 0, 0);
    io_flush(&flushes[0], &img);
    exit(fake.wait_held(1, 10000) ? 42 : 1);
}

int main(int argc, char **argv)
{
    struct img elsewhere;

    (void)argv;
    if (argc > 1)
        exit_while_flushing();
    fake_begin("calls that block have threads of their own: few, apart for each volume, and none for ever");
    is(t_run_self("exit", 20), 42, "a process may end while a flush hangs");
    fake_open(&elsewhere, "few", 4096);
    none_can_be_started("off");
    none_can_be_started("on");
    one_volume(&elsewhere);
    many_volumes(&elsewhere);
    ok(workers() > 0, "threads are kept for a while: %d", workers());
    img_close(&elsewhere);
    ok(run_until(no_workers, NULL, 30), "... and are gone after it");
    return fake_end();
}
