/* SPDX-License-Identifier: GPL-2.0-or-later */
/* keep-connection, beyond what warm.c has: failed opens, create, the end of the process, several threads. */
#include "on_fake.h"

static double since(int64_t begin)
{
    return (double)(now_us() - begin) / 1e6;
}

static int create(const char *uri, const char *keep)
{
    struct BlkOption options[] = {{"keep-connection", keep}, {"size", "64k"}, {NULL, NULL}};
    struct BlkError error = {0};

    error.struct_size = sizeof(error);
    return drv_for(uri)->create(uri, options, &error);
}

static int open_it(struct img *img, const char *uri, const char *keep)
{
    return img_open(img, uri, BLK_O_RDWR, "keep-connection", keep, NULL);
}

static int open_and_close(const char *uri, const char *keep)
{
    struct img img;
    int ret = open_it(&img, uri, keep);

    if (ret == 0)
        img_close(&img);
    return ret;
}

/* The last image decides. */
static void cool(const char *uri)
{
    if (open_and_close(uri, "0") < 0 || !fake_disconnected(20))
        t_die("the connection of %s does not end", uri);
    fake.reset();
}

static void is_kept(void)
{
    const char *uri = fake_uri("vol", "warm");
    int64_t begin;
    int i;

    is(create(uri, "60"), 0, "create");
    for (i = 0; i < 5; i++)
        is(open_and_close(uri, "60"), 0, "open, close");
    is(open_and_close(fake_uri("vol", "missing"), "60"), -ENOENT, "an open of what is not there");
    is(create(fake_uri("vol", "no-dir/warm"), "60"), -ENOENT, "a create where no directory is");
    is(open_and_close(uri, "60"), 0, "open, close");
    is(fake_calls(FAKE_NEW), 1, "one connection for all of them");
    is(fake_calls(FAKE_INIT), 1, "... made once");
    is(fake_counted().finis_started, 0, "... that is there");
    begin = now_us();
    is(open_and_close(uri, "0"), 0, "open, close with keep-connection=0");
    ok(fake_disconnected(0.8), "... ends it at once (%.2f s)", since(begin));
    is(open_and_close(fake_uri("vol", "missing"), "0"), -ENOENT, "keep-connection=0 and nothing there");
    ok(fake_disconnected(0.8), "... ends it at once, too");
    fake.reset();
}

static bool has_keeper(void *arg)
{
    (void)arg;
    return threads_named("blkg-warm") == 1;
}

/* The thread that would have ended it in an hour has nothing to do any more. */
static void nobody_stays(void)
{
    is(create(fake_uri("vol", "warm"), "3600"), 0, "a connection that is kept for an hour");
    ok(run_until(has_keeper, NULL, 10), "... by a thread");
    cool(fake_uri("vol", "warm"));
    fake_quiet(0);
    is(threads_named("blkg-warm"), 0, "it is not kept after all: the thread ends, too");
}

/* ---- a warm connection that leads nowhere ------------------------------------------------------------------------- */

static bool one_is_left(void *arg)
{
    (void)arg;
    return fake_counted().live_glfs == 1;
}

static void forgotten(int err)
{
    const char *uri = fake_uri("vol", "warm");

    is(create(uri, "60"), 0, "a warm connection");
    fake_once(FAKE_OPEN, FAKE_FAIL, err, 0);
    is(open_and_close(uri, "60"), 0, "that answers %s: an open succeeds", strerror(err));
    is(fake_calls(FAKE_INIT), 2, "... with a new one");
    is(open_and_close(uri, "60"), 0, "the next open");
    is(fake_calls(FAKE_INIT), 2, "... uses that");
    fake_once(FAKE_CREAT, FAKE_FAIL, err, 0);
    is(create(uri, "60"), 0, "a create");
    is(fake_calls(FAKE_INIT), 3, "... makes a new one, too");
    ok(run_until(one_is_left, NULL, 10), "... the old ones are not kept");
    cool(uri);
}

/* ---- options ------------------------------------------------------------------------------------------------------ */

static void values(void)
{
    static const char *const bad[] = {"-1", "3601", "x", "", "1.5", "1s", "18446744073709551616"};
    const char *uri = fake_uri("vol", "warm");
    struct img img;
    unsigned i;

    for (i = 0; i < T_COUNT(bad); i++) {
        is(open_it(&img, uri, bad[i]), -EINVAL, "keep-connection=%s", bad[i]);
        ok(img.error.stage == BLK_STAGE_PARSE && strstr(img.error.message, "keep-connection"), "... %s",
           img.error.message);
        is(create(uri, bad[i]), -EINVAL, "... the same in create");
    }
    is(fake_calls(FAKE_NEW), 0, "nothing was contacted");
    is(open_and_close(uri, "3600"), 0, "keep-connection=3600");
    is(create(uri, "3600"), 0, "... the same in create");
    cool(uri);
}

/* ---- the end of the process --------------------------------------------------------------------------------------- */

static void child(const char *how)
{
    fake_begin("a process that ends with warm connections");
    fake.set_fini_ms(5000);
    create(fake_uri("vol", "warm"), "3600");
    create(fake_uri("other", "warm"), "1");
    if (strcmp(how, "leave") == 0)
        return;
    t_driver(0)->release();
    t_dlclose();
    if (strcmp(how, "later") == 0)
        usleep(1200 * 1000); /* the second one ends just now */
}

static void children(void)
{
    static const char *const ways[] = {"leave", "release", "later"};
    unsigned i;

    for (i = 0; i < T_COUNT(ways); i++) {
        int64_t begin = now_us();

        is(t_run_self(ways[i], 4), 0, "a process ends well with warm connections: %s", ways[i]);
        ok(since(begin) < 3 * t_time_factor(), "... without waiting (%.2f s)", since(begin));
    }
}

/* ---- two threads -------------------------------------------------------------------------------------------------- */

static void *open_often(void *arg)
{
    int *failures = arg, i;

    for (i = 0; i < 200; i++)
        *failures += open_and_close(fake_uri("vol", "warm"), i % 3 ? "1" : "0") != 0;
    return NULL;
}

static void two_threads(void)
{
    static int failures[2];
    pthread_t threads[2];
    int i;

    is(create(fake_uri("vol", "warm"), "0"), 0, "an image");
    for (i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, open_often, &failures[i]);
    for (i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    is(failures[0] + failures[1], 0, "two threads open and close, warm and cold");
    t_say("%llu connections", (unsigned long long)fake_calls(FAKE_INIT));
    cool(fake_uri("vol", "warm"));
}

int main(int argc, char **argv)
{
    static const int nowhere[] = {EBADFD, ENODEV};
    unsigned i;

    if (argc > 1) {
        child(argv[1]);
        return 0;
    }
    fake_begin("a connection stays for the next image");
    is_kept();
    nobody_stays();
    for (i = 0; i < T_COUNT(nowhere); i++)
        forgotten(nowhere[i]);
    values();
    children();
    two_threads();
    return fake_end();
}
