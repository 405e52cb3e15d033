/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connections that fail leave something behind, which ends slowly and not at once. There is never much of it, and only
 * those wait for that who would leave more. The fake libgfapi tells when one is ended too soon. */
#include "on_fake.h"

enum { MOST_FAILED = 8, MOST_FAILED_AGAIN = 4, OPENERS = 8, WELL = 3, FINI_MS = 4000 };

static bool stop;

struct opener {
    pthread_t thread;
    const char *volume;
    unsigned failures, timeouts, others;
};

static bool stopped(void)
{
    return __atomic_load_n(&stop, __ATOMIC_RELAXED);
}

static void *fail_again_and_again(void *arg)
{
    struct opener *it = arg;
    struct img img;

    while (!stopped()) {
        int ret = img_open(&img, fake_uri(it->volume, "image"), 0, "connect-timeout", "2", NULL);

        it->failures += ret == -EIO;
        it->timeouts += ret == -ETIMEDOUT && strstr(img.error.message, "still ending");
        it->others += ret != -EIO && ret != -ETIMEDOUT;
    }
    return NULL;
}

static void begin(struct opener *openers, const char *const *volumes, unsigned count)
{
    unsigned i;

    __atomic_store_n(&stop, false, __ATOMIC_RELAXED);
    memset(openers, 0, OPENERS * sizeof(*openers));
    for (i = 0; i < OPENERS; i++) {
        openers[i].volume = volumes[i % count];
        pthread_create(&openers[i].thread, NULL, fail_again_and_again, &openers[i]);
    }
}

static void end(struct opener *openers)
{
    unsigned i, failures = 0, timeouts = 0, others = 0;

    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (i = 0; i < OPENERS; i++) {
        pthread_join(openers[i].thread, NULL);
        failures += openers[i].failures;
        timeouts += openers[i].timeouts;
        others += openers[i].others;
    }
    ok(failures > 0 && timeouts > 0, "... %u of their opens failed, %u waited in vain for room", failures, timeouts);
    is(others, 0, "... and nothing else came of any");
}

static bool left(void *arg)
{
    const uint64_t *wanted = arg;

    return fake_counted().live_glfs >= *wanted;
}

/* Threads that open what fails, as fast as they can. */
static void storm(const char *what, const char *const *volumes, unsigned count)
{
    /* The first failure of each volume is not yet one of those that have to wait. */
    uint64_t least = MOST_FAILED_AGAIN, most = least + count - 1 + WELL, seen = 0;
    struct opener openers[OPENERS];
    struct img img;
    int i, connected = 0;

    fake.reset();
    fake.set_fini_ms(FINI_MS);
    begin(openers, volumes, count);
    ok(run_until(left, &least, 20), "%s: %d leftovers", what, (int)least);
    /* Sooner than one of these ends. */
    for (i = 0; i < WELL; i++) {
        char volume[16];

        snprintf(volume, sizeof(volume), "well%d", i);
        connected += img_open(&img, fake_uri(volume, "none"), 0, "connect-timeout", "4", NULL) == -ENOENT &&
                     img.error.stage == BLK_STAGE_OPEN;
    }
    is(connected, WELL, "... meanwhile, other volumes are connected to");
    is(fake_counted().finis_done, 0, "... while all of that is still there");
    for (i = 0; i < 500; i++) {
        if (fake_counted().live_glfs > seen)
            seen = fake_counted().live_glfs;
        usleep(5000);
    }
    ok(seen <= most, "... and there is no more of it: %d connections", (int)seen);
    fake.set_fini_ms(0);
    end(openers);
    ok(fake_disconnected(30), "... all end");
    is(fake.violations(), 0, "... none too soon");
}

static void many_volumes_that_fail(void)
{
    uint64_t all = MOST_FAILED;
    char names[MOST_FAILED][16];
    struct img img;
    unsigned i;

    fake.reset();
    fake.set_fini_ms(FINI_MS);
    for (i = 0; i < MOST_FAILED; i++) {
        snprintf(names[i], sizeof(names[i]), "errno%d", EPROTO + (int)i);
        ok(img_open(&img, fake_uri(names[i], "image"), 0, NULL) < 0, "%s fails", names[i]);
    }
    ok(left(&all), "%d volumes that failed", MOST_FAILED);
    is(img_open(&img, fake_uri("vol", "none"), 0, "connect-timeout", "1", NULL), -ETIMEDOUT, "then others wait, too");
    ok(strstr(img.error.message, "still ending") != NULL, "... %s", img.error.message);
    is(fake_counted().live_glfs, all, "... without a connection");
    is(img_open(&img, fake_uri("vol", "none"), 0, "connect-timeout", "60", NULL), -ENOENT, "... until there is room");
    fake.set_fini_ms(0);
    ok(fake_disconnected(30), "... all end");
}

int main(void)
{
    static const char *const one[] = {"eio"}, *const two[] = {"eio", "errno5"};

    fake_begin("what failed connections leave behind is little, ends in time, and holds up nobody else");
    storm("one volume that fails", one, 1);
    storm("two volumes that fail", two, 2);
    many_volumes_that_fail();
    return fake_end();
}
