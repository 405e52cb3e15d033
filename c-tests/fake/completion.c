/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whatever thread libgfapi completes a request on, when, and in what order: its callback runs once, on the thread
 * that polls, with the result and the data of that very request. */
#include "on_fake.h"

enum { REQUESTS = 64, BYTES = 8192 };

/* Not adjacent: such requests are sent one by one, and all at once. */
#define OFFSET(i) ((int64_t)(i) * 2 * BYTES)

static struct img img;
static unsigned char *data[REQUESTS];
static struct io io[REQUESTS];

static const struct {
    const char *name;
    int mode, order;
    uint64_t delay_us;
} ways[] = {
    {"at once, on another thread", FAKE_THREAD, FAKE_IN_ORDER, 0},
    {"on the submitting thread", FAKE_INLINE, FAKE_IN_ORDER, 0},
    {"on another thread, before the submit returns", FAKE_BEFORE_RETURN, FAKE_IN_ORDER, 0},
    {"later", FAKE_DELAYED, FAKE_IN_ORDER, 3000},
    {"later, in reverse", FAKE_DELAYED, FAKE_REVERSED, 3000},
    {"later, shuffled", FAKE_DELAYED, FAKE_SHUFFLED, 3000},
    {"when released", FAKE_HELD, FAKE_IN_ORDER, 0},
    {"when released, in reverse", FAKE_HELD, FAKE_REVERSED, 0},
    {"when released, shuffled", FAKE_HELD, FAKE_SHUFFLED, 0},
};

static void none_is_done(void)
{
    int i, finished = 0;

    run_for(0.01);
    for (i = 0; i < REQUESTS; i++)
        finished += io[i].done;
    is(finished, 0, "no callback before its request is done");
}

static bool all_done(bool held)
{
    int i;

    if (held) {
        ok(fake.wait_held(REQUESTS, 10000), "all are held");
        none_is_done();
        fake.release(FAKE_ANY_ASYNC, 0, FAKE_AS_IS);
    }
    for (i = 0; i < REQUESTS; i++)
        if (io_wait(&io[i]) != 0)
            return fail("request %d gave %d", i, io[i].ret);
    /* A second callback would come now. */
    t_poll(0);
    return true;
}

static void fill(unsigned seed)
{
    int i;

    for (i = 0; i < REQUESTS; i++)
        pattern_fill(data[i], BYTES, seed, OFFSET(i));
}

static bool filled(unsigned seed)
{
    int i;

    for (i = 0; i < REQUESTS; i++)
        if (!pattern_check(data[i], BYTES, seed, OFFSET(i)))
            return false;
    return true;
}

static void forget(void)
{
    int i;

    for (i = 0; i < REQUESTS; i++)
        memset(data[i], 0xaa, BYTES);
}

static bool in_order(bool reversed)
{
    int i;

    for (i = 1; i < REQUESTS; i++)
        if ((io[i].order > io[i - 1].order) == reversed)
            return false;
    return true;
}

static void go(const char *name, bool held, unsigned seed)
{
    int i, rule = 0, accepted = 0;

    fill(seed);
    for (i = 0; i < REQUESTS; i++)
        accepted += io_pwrite(&io[i], &img, data[i], BYTES, OFFSET(i));
    is(accepted, REQUESTS, "%s: writes are accepted", name);
    ok(all_done(held), "%s: writes", name);
    forget();
    for (i = 0; i < REQUESTS; i++)
        io_pread(&io[i], &img, data[i], BYTES, OFFSET(i));
    ok(all_done(held) && filled(seed), "%s: reads give what was written", name);
    /* A synchronous call to libgfapi, which has these ways only. */
    if (held)
        rule = fake_always(FAKE_FSYNC, FAKE_HOLD, 0, 0);
    for (i = 0; i < REQUESTS; i++)
        io_flush(&io[i], &img);
    if (held) {
        ok(fake.wait_held(1, 10000), "the first flush is held");
        none_is_done();
        fake_calm(rule);
        fake.release(FAKE_FSYNC, 0, FAKE_AS_IS);
    }
    ok(all_done(false), "%s: flushes", name);
    for (i = 0; i < REQUESTS; i++)
        io_discard(&io[i], &img, BYTES, OFFSET(i));
    ok(all_done(held), "%s: discards", name);
    fake.set_mode(FAKE_THREAD, 0);
    forget();
    ok(pread_sync(&img, data[0], BYTES, OFFSET(5)) == 0 && all_bytes(data[0], BYTES, 0),
       "%s: what was discarded reads as zero", name);
}

int main(void)
{
    unsigned way;
    int i;

    fake_begin("callbacks run once, on the polling thread, however libgfapi completes");
    for (i = 0; i < REQUESTS; i++)
        data[i] = t_alloc(BYTES);
    fake_open(&img, "completion", OFFSET(REQUESTS));
    for (way = 0; way < T_COUNT(ways); way++) {
        fake.set_mode(ways[way].mode, ways[way].delay_us);
        fake.set_order(ways[way].order, way);
        go(ways[way].name, ways[way].mode == FAKE_HELD, way);
        /* Several callbacks per poll, one after the other, in the order in which libgfapi made them. */
        if (ways[way].mode == FAKE_INLINE)
            ok(in_order(false), "%s: in that order", ways[way].name);
        if (ways[way].mode == FAKE_HELD && ways[way].order != FAKE_SHUFFLED)
            ok(in_order(ways[way].order == FAKE_REVERSED), "%s: in that order", ways[way].name);
    }
    img_close(&img);
    for (i = 0; i < REQUESTS; i++)
        free(data[i]);
    return fake_end();
}
