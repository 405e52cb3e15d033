/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Images of one volume share a connection; images that need another one get another one; a failure is not kept. */
#include "on_fake.h"

enum { OPENERS = 8 };

static void make(const char *uri)
{
    struct BlkError error = {0};

    error.struct_size = sizeof(error);
    if (img_create(uri, "1M", &error) < 0)
        t_die("cannot create %s: %s", uri, error.message);
}

static void prepare(void)
{
    make("gluster://fake/vol/a");
    make("gluster://fake/vol/b");
    make("gluster://fake/other/a");
    if (!fake_disconnected(20))
        t_die("a connection does not end");
    fake.reset();
}

static void opened(struct img *img, const char *uri, uint32_t flags, const char *option, const char *value)
{
    int ret = img_open(img, uri, flags, option, value, NULL);

    if (ret < 0)
        t_die("cannot open %s: %s", uri, img->error.message);
}

static void shared(void)
{
    struct img a, b, again, reader;
    char data[512];

    prepare();
    opened(&a, "gluster://fake/vol/a", BLK_O_RDWR, NULL, NULL);
    opened(&b, "gluster://fake/vol/b", BLK_O_RDWR, NULL, NULL);
    opened(&again, "gluster://fake/vol/a", BLK_O_RDWR, NULL, NULL);
    opened(&reader, "gluster://fake:24007/vol/a", 0, "connect-timeout", "3600");
    make("gluster://fake/vol/c");
    is(fake_calls(FAKE_INIT), 1, "four images of one volume, and a create: one connection");
    is(fake_counted().live_glfs, 1, "... is there");
    img_close(&a);
    img_close(&reader);
    is(fake_counted().finis_started, 0, "two of them close: the connection stays");
    memset(data, 1, sizeof(data));
    is(pwrite_sync(&b, data, sizeof(data), 0), 0, "... and works");
    img_close(&b);
    is(pwrite_sync(&again, data, sizeof(data), 0), 0, "... for the last one, too");
    img_close(&again);
    ok(fake_disconnected(20), "the last one closes: the connection ends");
    is(fake_counted().finis_done, 1, "... once");
}

static void apart(void)
{
    static const struct {
        const char *uri, *option, *value;
        uint32_t flags;
        const char *why;
    } others[] = {
        {"gluster://fake/other/a", NULL, NULL, 0, "another volume"},
        {"gluster://fake2/vol/a", NULL, NULL, 0, "another server, where a volume of that name may be another one"},
        {"gluster://fake:24008/vol/a", NULL, NULL, 0, "another port"},
        {"gluster+unix:///vol/a?socket=/run/fake", NULL, NULL, 0, "a socket"},
        {"gluster+unix:///vol/a?socket=/run/fake2", NULL, NULL, 0, "another socket"},
        {"gluster://fake/vol/a", "write-cache", "on", 0, "write-cache=on"},
    };
    struct img first, img[T_COUNT(others)];
    unsigned i;

    prepare();
    opened(&first, "gluster://fake/vol/a", BLK_O_RDWR, NULL, NULL);
    for (i = 0; i < T_COUNT(others); i++) {
        opened(&img[i], others[i].uri, others[i].flags, others[i].option, others[i].value);
        is(fake_calls(FAKE_INIT), i + 2, "%s: a connection of its own", others[i].why);
    }
    for (i = 0; i < T_COUNT(others); i++)
        img_close(&img[i]);
    img_close(&first);

    prepare();
    opened(&first, "gluster://fake/vol/a", 0, "write-cache", "off");
    opened(&img[0], "gluster://fake/vol/a", BLK_O_NOCACHE, NULL, NULL);
    opened(&img[1], "gluster+tcp://fake/vol/a", 0, "write-cache", "off");
    opened(&img[2], "gluster+rdma://fake/vol/a", 0, "write-cache", "off");
    is(fake_calls(FAKE_INIT), 1, "write-cache=off and BLK_O_NOCACHE share one, as do the schemes that mean TCP");
    for (i = 0; i < 3; i++)
        img_close(&img[i]);
    img_close(&first);
    ok(fake_disconnected(20), "all are ended");
}

/* ---- several openers at once ------------------------------------------------------------------------------------- */

static pthread_barrier_t together;
static const char *uri;
static int results[OPENERS];

static void *open_one(void *arg)
{
    int *ret = arg;
    struct img img;

    pthread_barrier_wait(&together);
    *ret = img_open(&img, uri, BLK_O_RDWR, NULL);
    /* All are open before the first one closes. */
    pthread_barrier_wait(&together);
    if (*ret == 0)
        img_close(&img);
    return NULL;
}

static int openers(const char *image)
{
    pthread_t threads[OPENERS];
    int i, failures = 0;

    uri = image;
    pthread_barrier_init(&together, NULL, OPENERS);
    for (i = 0; i < OPENERS; i++)
        pthread_create(&threads[i], NULL, open_one, &results[i]);
    for (i = 0; i < OPENERS; i++) {
        pthread_join(threads[i], NULL);
        failures += results[i] < 0;
    }
    pthread_barrier_destroy(&together);
    return failures;
}

static void *refuse_later(void *arg)
{
    (void)arg;
    if (!fake.wait_held(1, 10000))
        fail("an opener connects");
    usleep(200 * 1000); /* for the others to join it */
    fake.release(FAKE_INIT, 0, ENOTCONN);
    return NULL;
}

static void concurrently(void)
{
    pthread_t server;
    int i;

    make("gluster://fake/slow-200/a");
    prepare();
    is(openers("gluster://fake/slow-200/a"), 0, "%d openers at once", OPENERS);
    is(fake_calls(FAKE_INIT), 1, "... connect once");
    ok(fake_disconnected(20), "... and that ends");

    fake.reset();
    fake_once(FAKE_INIT, FAKE_HOLD, 0, 0);
    pthread_create(&server, NULL, refuse_later, NULL);
    is(openers("gluster://fake/vol/a"), OPENERS, "the connection that they all wait for fails: all are told");
    pthread_join(server, NULL);
    for (i = 0; i < OPENERS; i++)
        is(results[i], -ENOTCONN, "... opener %d why", i);
    is(fake_calls(FAKE_INIT), 1, "... after one attempt, not one each");
    ok(fake_disconnected(20), "... which is ended");

    fake.reset();
    fake_always(FAKE_INIT, FAKE_FAIL, ENOENT, 0);
    is(openers("gluster://fake/vol/a"), OPENERS, "every connection fails: everybody is told");
    is(results[0], -ENOENT, "... why");
    fake.reset();
    is(openers("gluster://fake/vol/a"), 0, "then they succeed: no failure was kept");
}

static bool ending(void *arg)
{
    (void)arg;
    return fake_counted().finis_started > 0;
}

/* The connection of the last image is on its way out, which takes seconds: nobody waits for it. */
static void while_one_ends(void)
{
    struct img img;
    int64_t begin;

    prepare();
    fake.set_fini_ms(2000);
    opened(&img, "gluster://fake/vol/a", BLK_O_RDWR, NULL, NULL);
    img_close(&img);
    ok(run_until(ending, NULL, 10), "a connection ends");
    begin = now_us();
    opened(&img, "gluster://fake/vol/a", BLK_O_RDWR, NULL, NULL);
    ok(now_us() - begin < 1000000 * t_time_factor(), "an open while the connection before ends does not wait");
    is(fake_calls(FAKE_INIT), 2, "... but makes its own");
    img_close(&img);
    ok(fake_disconnected(20), "both end");
    fake.set_fini_ms(0);
}

static void open_and_close_often(void)
{
    struct img img;
    int i, fds, threads;

    prepare();
    fake_quiet(0);
    fds = fd_count();
    threads = thread_count();
    for (i = 0; i < 200; i++) {
        opened(&img, "gluster://fake/vol/a", BLK_O_RDWR, NULL, NULL);
        img_close(&img);
    }
    ok(t_settles(fds, threads, 20), "200 connections leave no fd and no thread");
}

int main(void)
{
    fake_begin("one connection per volume, servers and cache mode; no failure is kept");
    shared();
    apart();
    concurrently();
    while_one_ends();
    open_and_close_often();
    return fake_end();
}
