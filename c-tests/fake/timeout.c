/* SPDX-License-Identifier: GPL-2.0-or-later */
/* connect-timeout: a server that never answers costs an opener so long and no longer, and what is left behind of the
 * connection is ended when libgfapi lets go of it. */
#include "on_fake.h"

static double opening(struct img *img, const char *volume, const char *seconds, int *ret)
{
    int64_t begin = now_us();

    *ret = img_open(img, fake_uri(volume, "image"), BLK_O_RDWR, "connect-timeout", seconds, NULL);
    return (double)(now_us() - begin) / 1e6;
}

static bool about(double seconds, double wanted)
{
    return seconds > wanted - 0.05 && seconds < wanted + 0.5 * t_time_factor();
}

static void no_answer(void)
{
    int fds, ret;
    double seconds;
    struct img img;

    fake_quiet(0);
    fds = fd_count();
    seconds = opening(&img, "hang", "1", &ret);
    is(ret, -ETIMEDOUT, "a server that does not answer");
    ok(about(seconds, 1), "... costs the second that was allowed (%.2f s)", seconds);
    is(img.error.stage, BLK_STAGE_CONNECT, "... with its stage");
    ok(strstr(img.error.message, "'hang'") && strstr(img.error.message, "fake:24007") &&
           strstr(img.error.message, "connect-timeout"),
       "... %s", img.error.message);
    is(fake_counted().live_glfs, 1, "the connection is still out");
    fake.release(FAKE_INIT, 0, FAKE_AS_IS);
    ok(fake_disconnected(20), "it is ended when the server answers after all");
    is(fd_count(), fds, "no fd is left");

    seconds = opening(&img, "hang", "1", &ret);
    is(ret, -ETIMEDOUT, "once more");
    fake.release(FAKE_INIT, 0, ENOTCONN);
    ok(fake_disconnected(20), "it is ended when the connection fails after all");
}

static void in_time(void)
{
    struct img img;
    struct BlkError error = {0};
    double seconds;
    int ret;

    error.struct_size = sizeof(error);
    is(img_create(fake_uri("slow-300", "image"), NULL, &error), 0, "a slow server");
    /* Else the opening could still find the connection of the create. */
    if (!fake_disconnected(20))
        t_die("the connection of the create does not end");
    seconds = opening(&img, "slow-300", "10", &ret);
    is(ret, 0, "that answers in time");
    ok(about(seconds, 0.3), "... costs what it takes (%.2f s)", seconds);
    img_close(&img);
}

/* ---- several openers ---------------------------------------------------------------------------------------------- */

struct opener {
    pthread_t thread;
    const char *volume, *timeout;
    double seconds;
    int ret;
};

static void *open_and_close(void *arg)
{
    struct opener *it = arg;
    struct img img;

    it->seconds = opening(&img, it->volume, it->timeout, &it->ret);
    if (it->ret == 0)
        img_close(&img);
    return NULL;
}

/* They wait for one connection, each as long as it said. */
static void different_patience(void)
{
    struct opener patient = {0, "hang-together", "4", 0, 0}, hasty = {0, "hang-together", "1", 0, 0};

    pthread_create(&patient.thread, NULL, open_and_close, &patient);
    ok(fake.wait_held(1, 10000), "one opener connects");
    pthread_create(&hasty.thread, NULL, open_and_close, &hasty);
    pthread_join(hasty.thread, NULL);
    is(hasty.ret, -ETIMEDOUT, "another one joins it with less patience");
    ok(about(hasty.seconds, 1), "... and waits no longer than it said (%.2f s)", hasty.seconds);
    fake.release(FAKE_INIT, 0, FAKE_AS_IS);
    pthread_join(patient.thread, NULL);
    ok(patient.ret == 0 || patient.ret == -ENOENT, "the first one gets its connection (%d)", patient.ret);
    ok(fake_disconnected(20), "no connection is left");
}

/* Only so many connections may be ending at once; an opener waits for its turn as long as it said. */
static void while_many_end(void)
{
    enum { ENDING = 8 };
    struct opener hasty = {0, "turn", "1", 0, 0}, patient = {0, "turn", "20", 0, 0};
    struct BlkError error = {0};
    int i;

    error.struct_size = sizeof(error);
    is(img_create(fake_uri("turn", "image"), NULL, &error), 0, "an image");
    fake_quiet(0);
    fake.set_fini_ms(3000);
    for (i = 0; i < ENDING; i++) {
        char volume[16];
        struct img img;

        /* A connection that finds no image, and ends. */
        snprintf(volume, sizeof(volume), "ending-%d", i);
        is(img_open(&img, fake_uri(volume, "none"), 0, NULL), -ENOENT, "a connection that ends at once");
    }
    while (fake_counted().finis_started - fake_counted().finis_done < ENDING)
        usleep(1000);
    pthread_create(&hasty.thread, NULL, open_and_close, &hasty);
    usleep(100 * 1000);
    pthread_create(&patient.thread, NULL, open_and_close, &patient);
    pthread_join(hasty.thread, NULL);
    is(hasty.ret, -ETIMEDOUT, "an opener without the patience for them");
    ok(about(hasty.seconds, 1), "... waits as long as it said (%.2f s)", hasty.seconds);
    pthread_join(patient.thread, NULL);
    is(patient.ret, 0, "one with more patience connects");
    ok(patient.seconds < 3 + 0.5 * t_time_factor(), "... as soon as one of them has ended (%.2f s)", patient.seconds);
    fake.set_fini_ms(0);
    ok(fake_disconnected(20), "no connection is left");
}

/* glfs_fini frees what threads of a failed glfs_init begin with that have not run yet. */
static void a_failed_one_rests(void)
{
    uint64_t ended;
    int64_t begun;
    struct img img;
    int ret;

    fake_quiet(0);
    ended = fake_counted().finis_started;
    opening(&img, "nosuch", "1", &ret);
    begun = now_us();
    is(ret, -ENOENT, "a connection fails");
    usleep(1000 * 1000);
    if (now_us() - begun < 1700 * 1000)
        is(fake_counted().finis_started, ended, "it is not ended within a second");
    ok(fake_disconnected(20), "it is ended");
}

/* Whoever fails in a loop waits for himself alone. */
static void while_many_fail(void)
{
    enum { FAILED = 8 };
    struct BlkError error = {0};
    struct img img;
    int64_t begun;
    double seconds;
    int i, ret;

    error.struct_size = sizeof(error);
    is(img_create(fake_uri("other", "image"), NULL, &error), 0, "an image");
    fake_quiet(0);
    begun = now_us();
    for (i = 0; i < FAILED; i++) {
        seconds = opening(&img, "nosuch", "1", &ret);
        if (ret != -ENOENT || seconds > 0.5 * t_time_factor())
            fail("opening %d: %d after %.2f s", i, ret, seconds);
    }
    seconds = opening(&img, "other", "1", &ret);
    is(ret, 0, "eight that failed do not hold up another volume (%.2f s)", seconds);
    img_close(&img);
    /* They rest for 1.5 s: the first one must not end while the ninth waits. */
    if (now_us() - begun < 400 * 1000) {
        seconds = opening(&img, "nosuch", "1", &ret);
        is(ret, -ETIMEDOUT, "the ninth of them waits for the others to end");
        ok(strstr(img.error.message, "still ending") != NULL, "... and says so: %s", img.error.message);
    } else {
        t_say("too slow to see whether a ninth one waits");
    }
    ok(fake_disconnected(20), "no connection is left");
    opening(&img, "nosuch", "1", &ret);
    is(ret, -ENOENT, "then it may try again");
    ok(fake_disconnected(20), "no connection is left");
}

/* The answer comes just when the opener gives up: one of them has to end the connection. */
static void at_the_last_moment(void)
{
    enum { OPENERS = 48 };
    struct opener openers[OPENERS];
    char volumes[OPENERS][32];
    int i, in_time = 0;

    for (i = 0; i < OPENERS; i++) {
        /* All of another name, so that each makes its own connection; "slow:N" takes N ms. */
        snprintf(volumes[i], sizeof(volumes[i]), "slow-%d", 1000 - 12 + i / 2);
        openers[i].volume = volumes[i];
        openers[i].timeout = "1";
        pthread_create(&openers[i].thread, NULL, open_and_close, &openers[i]);
    }
    for (i = 0; i < OPENERS; i++) {
        pthread_join(openers[i].thread, NULL);
        in_time += openers[i].ret != -ETIMEDOUT;
        if (openers[i].ret != -ETIMEDOUT && openers[i].ret != -ENOENT)
            fail("opener %d: %d", i, openers[i].ret);
    }
    t_say("%d of %d connected in time", in_time, OPENERS);
    ok(fake_disconnected(20), "every connection was ended by somebody");
}

int main(void)
{
    int round;

    fake_begin("connect-timeout: nobody waits longer, nothing is left behind");
    no_answer();
    in_time();
    different_patience();
    while_many_end();
    a_failed_one_rests();
    while_many_fail();
    for (round = 0; round < 4; round++)
        at_the_last_moment();
    return fake_end();
}
