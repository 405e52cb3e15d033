/* SPDX-License-Identifier: GPL-2.0-or-later */
/* glfs_fini takes up to ten seconds: neither close nor the end of the process waits for it, and release need not. */
#include "on_fake.h"

enum { FINI_MS = 5000 };

static double since(int64_t begin)
{
    return (double)(now_us() - begin) / 1e6;
}

static void child(bool after_release)
{
    struct img img;

    fake_begin("a process that ends while its connection does");
    fake.set_fini_ms(FINI_MS);
    fake_open(&img, "retire", 4096);
    img_close(&img);
    if (after_release) {
        t_driver(0)->release();
        t_dlclose();
    }
    /* No fake_end: main's return runs the exit handlers of every library under the feet of that thread. */
}

static void children(void)
{
    static const char *const ways[] = {"leave", "release", "exit-with-open-image"};
    unsigned i;
    int round;

    for (i = 0; i < T_COUNT(ways); i++)
        for (round = 0; round < 5; round++) {
            int64_t begin = now_us();
            int code = t_run_self(ways[i], 4);

            is(code, 0, "%s: the process ends well", ways[i]);
            ok(since(begin) < 2 * t_time_factor(), "... without waiting (%.2f s)", since(begin));
        }
}

static bool retiring(void *arg)
{
    (void)arg;
    return threads_named("blkg-retire") > 0;
}

static void close_returns_at_once(void)
{
    struct img img[3];
    int64_t begin;
    int i;

    fake.set_fini_ms(FINI_MS);
    for (i = 0; i < 3; i++)
        fake_open(&img[i], "retire", 4096);
    begin = now_us();
    for (i = 0; i < 3; i++)
        img_close(&img[i]);
    ok(since(begin) < 0.5 * t_time_factor(), "three closes take %.3f s while glfs_fini takes 5 s", since(begin));
    is(fake_counted().finis_done, 0, "... which has not ended");
    ok(run_until(retiring, NULL, 10), "... on a thread of its own");
    begin = now_us();
    is(t_driver(0)->release(), 0, "release does not wait for it");
    ok(since(begin) < 0.5 * t_time_factor(), "... (%.3f s)", since(begin));
    t_forget_drivers();
    t_dlclose();
    t_load();
    fake_open(&img[0], "retire", 4096);
    img_close(&img[0]);
    ok(true, "after dlclose, dlopen and init an image opens while the old connection still ends");
}

/* Threads of libgfapi's that have not run yet begin with what glfs_fini frees. */
static void a_young_one_rests(void)
{
    struct img img;
    int64_t begin;
    uint64_t ended;

    fake.set_fini_ms(0);
    if (!fake_disconnected(30))
        t_die("the connections do not end");
    ended = fake_counted().finis_started;
    fake_open(&img, "retire", 4096);
    begin = now_us();
    img_close(&img);
    usleep(100 * 1000);
    if (since(begin) < 0.15)
        is(fake_counted().finis_started, ended, "a connection that was just made is not ended at once");
    ok(fake_disconnected(20), "it is ended");
}

int main(int argc, char **argv)
{
    struct img img;

    if (argc > 1) {
        if (!strcmp(argv[1], "exit-with-open-image")) {
            fake_begin("a process that ends with an image open");
            fake_open(&img, "retire", 4096);
            exit(0);
        }
        child(!strcmp(argv[1], "release"));
        return 0;
    }
    fake_begin("nobody waits for glfs_fini");
    close_returns_at_once();
    a_young_one_rests();
    children();
    return fake_end();
}
