/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connections that begin and end slowly: how many at once, and who waits for whom. */
#include "on_fake.h"

enum { MOST_RETIRING = 8, VOLUMES = 20, FINI_MS = 1000 };

struct opener {
    pthread_t thread;
    const char *volume, *timeout;
    double seconds;
    int ret;
    struct BlkError error;
};

static double since(int64_t begin)
{
    return (double)(now_us() - begin) / 1e6;
}

static int open_and_close(struct opener *it)
{
    int64_t begin = now_us();
    struct img img;

    it->ret = img_open(&img, fake_uri(it->volume, "image"), BLK_O_RDWR, "connect-timeout", it->timeout, NULL);
    it->seconds = since(begin);
    it->error = img.error;
    if (it->ret == 0)
        img_close(&img);
    return it->ret;
}

static void *open_on_thread(void *arg)
{
    open_and_close(arg);
    return NULL;
}

static void start(struct opener *it, const char *volume, const char *timeout)
{
    memset(it, 0, sizeof(*it));
    it->volume = volume;
    it->timeout = timeout;
    pthread_create(&it->thread, NULL, open_on_thread, it);
}

static int now_retiring(void)
{
    struct fake_counters counted = fake_counted();

    return (int)(counted.finis_started - counted.finis_done);
}

/* ---- connections on their way out --------------------------------------------------------------------------------- */

static void one_after_the_other(void)
{
    int i, most = 0, most_live = 0;
    int64_t begin = now_us();

    fake.set_fini_ms(FINI_MS);
    for (i = 0; i < VOLUMES; i++) {
        char volume[32];
        struct opener it = {0, volume, "30", 0, 0, {0}};

        snprintf(volume, sizeof(volume), "v%d", i);
        /* There is no such image: to connect is enough. */
        if (open_and_close(&it) != -ENOENT)
            fail("volume %d is connected to (%d)", i, it.ret);
        if (now_retiring() > most)
            most = now_retiring();
        if ((int)fake_counted().live_glfs > most_live)
            most_live = (int)fake_counted().live_glfs;
    }
    /* How many depends on how fast they come. */
    ok(most > 1 && most <= MOST_RETIRING + 1, "%d volumes, one after the other: %d retire at once",
       VOLUMES, most);
    ok(most_live <= MOST_RETIRING + 2, "... %d connections are there at once", most_live);
    ok(since(begin) > 0.9 * FINI_MS / 1000, "... openers wait for that (%.2f s)", since(begin));
    ok(fake_disconnected(20), "all end");
}

static void fill_up(int fini_ms)
{
    int i;

    fake.set_fini_ms((unsigned)fini_ms);
    for (i = 0; i < MOST_RETIRING; i++) {
        char volume[32];
        struct opener it = {0, volume, "30", 0, 0, {0}};

        snprintf(volume, sizeof(volume), "f%d", i);
        open_and_close(&it);
    }
    for (i = 0; i < 500 && now_retiring() < MOST_RETIRING; i++)
        usleep(2000);
    is(now_retiring(), MOST_RETIRING, "as many connections end as may");
}

static void no_room(void)
{
    struct opener hasty, patient, late = {0, "room", "20", 0, 0, {0}};

    fill_up(3000);
    start(&hasty, "room", "1");
    usleep(200 * 1000);
    start(&patient, "room", "20");
    pthread_join(hasty.thread, NULL);
    is(hasty.ret, -ETIMEDOUT, "an opener that waits a second for room");
    ok(hasty.seconds > 0.95 && hasty.seconds < 1.5 * t_time_factor(), "... costs that second (%.2f s)", hasty.seconds);
    ok(strstr(hasty.error.message, "still ending") != NULL, "... %s", hasty.error.message);
    pthread_join(patient.thread, NULL);
    is(patient.ret, -ENOENT, "one that waits with it, but longer, is connected (%s)", patient.error.message);
    is(open_and_close(&late), -ENOENT, "... as is a later one");
    fake.set_fini_ms(0);
    ok(fake_disconnected(20), "all end");
}

/* ---- a server that does not answer -------------------------------------------------------------------------------- */

static void joined(void)
{
    struct opener first = {0, "hang", "1", 0, 0, {0}}, second = {0, "hang", "1", 0, 0, {0}}, two[2], third;
    int i;

    fake.reset();
    is(open_and_close(&first), -ETIMEDOUT, "a server that does not answer");
    is(open_and_close(&second), -ETIMEDOUT, "... nor to the next opener");
    ok(second.seconds > 0.95, "... who waits as long (%.2f s)", second.seconds);
    for (i = 0; i < 2; i++)
        start(&two[i], "hang", "1");
    for (i = 0; i < 2; i++) {
        pthread_join(two[i].thread, NULL);
        is(two[i].ret, -ETIMEDOUT, "... nor to two at once");
    }
    is(fake_counted().live_glfs, 1, "one connection is out all the time");
    is(fake_calls(FAKE_NEW), 1, "... made once");
    start(&third, "hang", "20");
    usleep(200 * 1000);
    fake.release(FAKE_INIT, 0, FAKE_AS_IS);
    pthread_join(third.thread, NULL);
    is(third.ret, -ENOENT, "it answers: who waits is connected");
    is(fake_calls(FAKE_NEW), 1, "... by that one");
    ok(fake_disconnected(20), "it ends");

    is(open_and_close(&first), -ETIMEDOUT, "once more without an answer");
    fake.release(FAKE_INIT, 0, FAKE_AS_IS);
    ok(fake_disconnected(20), "an answer that nobody waits for: it ends");
    is(open_and_close(&first), -ETIMEDOUT, "then another attempt begins");
    is(fake_calls(FAKE_NEW), 3, "... a third one");
    fake.release(FAKE_INIT, 0, ENOTCONN);
    ok(fake_disconnected(20), "a refusal that nobody waits for: it ends");
}

/* Their answers come when nobody waits any more; all go out together. */
static void many_answers_too_late(void)
{
    enum { HANGING = 12 };
    /* Under valgrind one thread runs at a time: all must have come as far as libgfapi. */
    const char *timeout = t_time_factor() > 1 ? "10" : "2";
    struct opener openers[HANGING];
    char volumes[HANGING][32];
    int i;

    fake.reset();
    for (i = 0; i < HANGING; i++) {
        snprintf(volumes[i], sizeof(volumes[i]), "hang-%d", i);
        start(&openers[i], volumes[i], timeout);
    }
    for (i = 0; i < HANGING; i++) {
        pthread_join(openers[i].thread, NULL);
        if (openers[i].ret != -ETIMEDOUT)
            fail("opener %d: %d", i, openers[i].ret);
    }
    is(fake_counted().live_glfs, HANGING, "%d volumes do not answer", HANGING);
    fake.release(FAKE_INIT, 0, FAKE_AS_IS);
    ok(fake_disconnected(20), "they do when nobody waits: all end");
    is(fake_counted().finis_done, HANGING, "... once each");
}

int main(void)
{
    fake_begin("connections that begin and end slowly");
    one_after_the_other();
    no_room();
    joined();
    many_answers_too_late();
    return fake_end();
}
