/* SPDX-License-Identifier: GPL-2.0-or-later */
/* keep-connection: after its last image a connection waits for the next one, as long as that image said. */
#include "on_fake.h"

static const char *const uri = "gluster://fake/vol/warm";

/* So many times longer under valgrind, where all takes longer. */
static int stretch(void)
{
    return t_time_factor() > 1 ? 3 : 1;
}

static void stretched(double seconds)
{
    run_for(seconds * stretch());
}

/* The option's value, until the next but three. */
static const char *times(int seconds)
{
    static char texts[4][8];
    static unsigned next;
    char *text = texts[next++ % T_COUNT(texts)];

    snprintf(text, sizeof(texts[0]), "%d", seconds * stretch());
    return text;
}

static void opened(struct img *img, const char *seconds)
{
    if (img_open(img, uri, BLK_O_RDWR, "keep-connection", seconds, NULL) < 0)
        t_die("cannot open %s: %s", uri, img->error.message);
}

static void used(const char *seconds)
{
    struct img img;

    opened(&img, seconds);
    img_close(&img);
}

static uint64_t ended(void)
{
    return fake_counted().finis_started;
}

static bool no_longer_there(void *arg)
{
    return ended() > *(uint64_t *)arg;
}

/* Whether the connection that is there now ends about so many seconds from now. */
static bool ends_after(double seconds)
{
    double early = 0.15 * stretch();
    int64_t begin = now_us();
    uint64_t before = ended();
    double passed;

    seconds *= stretch();
    if (!run_until(no_longer_there, &before, seconds + 10))
        return false;
    passed = (double)(now_us() - begin) / 1e6;
    t_say("it ended after %.2f s", passed);
    return passed > seconds - early && passed < seconds + 0.5 * t_time_factor();
}

static void by_default(void)
{
    struct BlkOption only[] = {{"filename", uri}, {NULL, NULL}};
    const struct BlkDriver *drv = drv_for(uri);
    uint64_t connections, before;
    struct img img;

    is(img_open_raw(&img, drv, only, BLK_O_RDWR), 0, "an image without keep-connection");
    connections = fake_calls(FAKE_INIT);
    before = ended();
    img_close(&img);
    run_for(1);
    is(ended(), before, "its connection stays for the next one");
    is(img_open_raw(&img, drv, only, BLK_O_RDWR), 0, "the next one");
    is(fake_calls(FAKE_INIT), connections, "... does not connect");
    is(flush_sync(&img), 0, "... and works");
    img_close(&img);
    is(drv->create(uri, NULL, NULL), 0, "create");
    is(fake_calls(FAKE_INIT), connections, "... does not connect either");
    used("0");
    ok(fake_disconnected(10), "an image with keep-connection=0 ends it, whatever the ones before it wanted");
    is(fake_calls(FAKE_INIT), connections, "... after having used it");
}

static void for_a_time(void)
{
    uint64_t before;
    struct img img, other;

    used(times(1));
    ok(ends_after(1), "keep-connection=%s", times(1));
    before = ended();
    used(times(1));
    stretched(0.5);
    opened(&img, times(1));
    stretched(1);
    is(ended(), before, "it does not end while an image uses it again");
    is(flush_sync(&img), 0, "... which works");
    img_close(&img);
    ok(ends_after(1), "... but after that one");

    opened(&img, times(1));
    opened(&other, "3600");
    img_close(&img);
    before = ended();
    stretched(1.3);
    is(ended(), before, "it does not end while another image uses it");
    is(flush_sync(&other), 0, "... which works");
    img_close(&other);
    run_for(0.3);
    is(ended(), before, "... and stays as long as that one wanted");
    used("0");
    ok(fake_disconnected(10), "ended");
}

static void several(void)
{
    static const int seconds[] = {2, 1, 3, 1, 2};
    struct img img;
    uint64_t before = ended();
    char place[64];
    unsigned i;

    for (i = 0; i < T_COUNT(seconds); i++) {
        snprintf(place, sizeof(place), "gluster://fake/warm-%u/none", i);
        is(img_open(&img, place, 0, "keep-connection", times(seconds[i]), NULL), -ENOENT, "a connection for %d s",
           seconds[i] * stretch());
    }
    stretched(1.5);
    is(ended() - before, 2, "of five connections the two that were kept for the shortest time have ended");
    stretched(1);
    is(ended() - before, 4, "... then the next two");
    stretched(1);
    is(ended() - before, 5, "... then the one that was kept for the longest");
    ok(fake_disconnected(10), "all are gone");
}

/* ---- what may have become of it meanwhile ------------------------------------------------------------------------- */

static void leads_nowhere(int error)
{
    uint64_t connections, opens;
    struct img user, img;

    opened(&user, "0");
    connections = fake_calls(FAKE_INIT);
    fake_once(FAKE_OPEN, FAKE_FAIL, error, 0);
    opened(&img, "0");
    is(fake_calls(FAKE_INIT), connections + 1, "errno %d on a connection that was there: a new one is made", error);
    is(flush_sync(&img), 0, "... which works");
    is(flush_sync(&user), 0, "... the image on the old one goes on with it");
    img_close(&img);
    img_close(&user);
    ok(fake_disconnected(10), "... both end");

    used("30");
    connections = fake_calls(FAKE_INIT);
    fake_once(FAKE_CREAT, FAKE_FAIL, error, 0);
    is(img_create(uri, NULL, NULL), 0, "create on a warm connection that leads nowhere");
    is(fake_calls(FAKE_INIT), connections + 1, "... makes a new one");
    ok(fake_disconnected(10), "... the old one is not kept");

    used("30");
    opens = fake_calls(FAKE_OPEN);
    connections = fake_calls(FAKE_INIT);
    {
        int rule = fake_always(FAKE_OPEN, FAKE_FAIL, error, 0);

        is(img_open(&img, uri, 0, NULL), -error, "when the new one leads nowhere either, that is told");
        fake_calm(rule);
    }
    is(fake_calls(FAKE_OPEN), opens + 2, "... after one try on each");
    is(fake_calls(FAKE_INIT), connections + 1, "... and no third connection");
    ok(fake_disconnected(10), "... none is kept");
}

static void other_errors(void)
{
    static const int errors[] = {ENOENT, EACCES, EIO, EISDIR};
    uint64_t connections;
    struct img img;
    unsigned i;

    used("30");
    connections = fake_calls(FAKE_INIT);
    for (i = 0; i < T_COUNT(errors); i++) {
        fake_once(FAKE_OPEN, FAKE_FAIL, errors[i], 0);
        is(img_open(&img, uri, 0, "keep-connection", "30", NULL), -errors[i], "errno %d is the image's own", errors[i]);
    }
    is(fake_calls(FAKE_INIT), connections, "... and no reason to connect anew");
    used("0");
    ok(fake_disconnected(10), "ended");
}

static void across_release(void)
{
    uint64_t connections;
    struct img img;

    used("30");
    connections = fake_calls(FAKE_INIT);
    is(t_driver(0)->release(), 0, "release while a connection is warm");
    t_forget_drivers();
    t_dlclose();
    t_load();
    opened(&img, "0");
    is(fake_calls(FAKE_INIT), connections, "the next host's image takes it");
    img_close(&img);
    ok(fake_disconnected(10), "ended");
}

static void bad_values(void)
{
    static const char *const values[] = {"-1", "3601", "", "1.5", "1s", " 1", "forever", "99999999999999999999"};
    struct img img;
    unsigned i;

    for (i = 0; i < T_COUNT(values); i++) {
        is(img_open(&img, uri, 0, "keep-connection", values[i], NULL), -EINVAL, "keep-connection='%s'", values[i]);
        ok(strstr(img.error.message, "keep-connection") != NULL, "... %s", img.error.message);
    }
}

int main(int argc, char **argv)
{
    struct img img;
    int fds, threads;

    if (argc > 1) {
        fake_begin("a process that ends while a connection is warm");
        fake_open(&img, "warm", 4096);
        img_close(&img);
        used(argv[1]);
        return 0;
    }
    fake_begin("a connection waits for the next image, as long as the last one said");
    fake_open(&img, "warm", 4096);
    img_close(&img);
    fake_quiet(0);
    fds = fd_count();
    threads = thread_count();
    by_default();
    for_a_time();
    several();
    leads_nowhere(ENOTCONN);
    leads_nowhere(ESTALE);
    other_errors();
    across_release();
    bad_values();
    is(t_run_self("30", 5), 0, "a process that ends while a connection is warm ends well");
    ok(t_settles(fds, threads, 20), "no fd and no thread is left");
    return fake_end();
}
