/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Streams: what fills a call goes at once, two requests in flight do not take turns, several streams do not wait for each
 * other, and at no depth does a host wait for ever, in whichever way it waits. */
#include "merging.h"

enum { DEEPEST = 200, LENGTH = 32 * MiB };

static struct img img;
static char *memory, *back;

static bool go(struct io *io, bool write, int64_t bytes, int64_t offset)
{
    return write ? io_pwrite(io, &img, memory + offset, bytes, offset) : io_pread(io, &img, back + offset, bytes, offset);
}

static const char *verb(bool write)
{
    return write ? "write" : "read";
}

/* ---- full calls --------------------------------------------------------------------------------------------------- */

static void full_calls(bool write, int64_t bytes, int64_t full, const char *what)
{
    static struct io io[AT_ONCE + 5 * FULL_MEMBERS];
    int64_t share = full / bytes < FULL_MEMBERS ? full / bytes : FULL_MEMBERS;
    int i, count = AT_ONCE + 5 * (int)share - 1, wrong = 0;

    fake.set_mode(FAKE_HELD, 0);
    fake.set_trace(WINDOW);
    for (i = 0; i < count; i++) {
        io[i].then = NULL;
        go(&io[i], write, bytes, i * bytes);
        wrong += fake.trace_count() != (uint64_t)(i < AT_ONCE ? i + 1 : AT_ONCE + (i + 1 - AT_ONCE) / share);
    }
    is(wrong, 0, "%s: each call goes as soon as it is full", what);
    for (i = 0; i < 4; i++)
        if (traced((uint64_t)(AT_ONCE + i)).length != (uint64_t)(share * bytes))
            fail("call %d is full: %llu bytes", i, (unsigned long long)traced((uint64_t)(AT_ONCE + i)).length);
    for (i = 0, wrong = 0; i < count; i++)
        wrong += !release_until(&io[i].done, 1) || io[i].ret != 0;
    is(wrong, 0, "... all end well");
    is(fake.trace_count(), AT_ONCE + (count - AT_ONCE + share - 1) / share, "... what did not fill one went at last");
    ok(write || !memcmp(memory, back, (size_t)(count * bytes)), "... with the right data");
    fake.set_trace(0);
    fake.set_mode(FAKE_THREAD, 0);
}

/* ---- pairs -------------------------------------------------------------------------------------------------------- */

static struct io pair[2];
static int64_t next_place;
static bool pair_writes;

static void next_of_pair(struct io *io)
{
    go(io, pair_writes, UNIT, next_place);
    next_place += UNIT;
}

static bool two_held(void *arg)
{
    (void)arg;
    return fake_counted().held == 2;
}

static void pairs(bool write)
{
    int i, together = 0;

    fake.set_mode(FAKE_HELD, 0);
    pair_writes = write;
    next_place = 0;
    for (i = 0; i < 2; i++) {
        pair[i].then = next_of_pair;
        next_of_pair(&pair[i]);
    }
    for (i = 0; i < 100; i++) {
        fake.release(FAKE_ANY_ASYNC, 1, FAKE_AS_IS);
        together += run_until(two_held, NULL, 5);
        if (together <= i)
            break;
    }
    is(together, 100, "a host that %ss two at a time: both are always under way", verb(write));
    pair[0].then = pair[1].then = NULL;
    ok(release_until(&pair[0].done, 1) && release_until(&pair[1].done, 1), "... the last ones end");
    fake.set_mode(FAKE_THREAD, 0);
}

/* ---- several streams ---------------------------------------------------------------------------------------------- */

static void several(bool write)
{
    enum { COUNT = 40, APART = LENGTH / STREAMS };
    static struct io io[STREAMS][COUNT];
    struct fake_rule hold = {FAKE_ANY_ASYNC, FAKE_HOLD, 0, 0, 1, 1, AT_ONCE, NULL};
    int stream, i, rule, ended = 0;

    memset(back, 0xaa, LENGTH);
    rule = fake.add_rule(&hold);
    for (stream = 0; stream < STREAMS; stream++)
        for (i = 0; i < COUNT; i++) {
            io[stream][i].then = NULL;
            go(&io[stream][i], write, UNIT, (int64_t)stream * APART + i * UNIT);
        }
    for (stream = STREAMS - 1; stream > 0; stream--)
        for (i = 0; i < COUNT; i++)
            ended += io_wait(&io[stream][i]) == 0;
    is(ended, (STREAMS - 1) * COUNT, "%s streams end while the bricks do not answer to the first of %d", verb(write), STREAMS);
    is(fake.rule_hits(rule), AT_ONCE, "... of which some calls are under way");
    for (i = 0; i < COUNT; i++)
        ended -= io[0][i].done;
    is(ended, (STREAMS - 1) * COUNT, "... and none is over");
    fake.release(FAKE_ANY_ASYNC, 0, FAKE_AS_IS);
    for (i = 0; i < COUNT; i++)
        ended += io_wait(&io[0][i]) == 0;
    is(ended, STREAMS * COUNT, "... until they do");
    fake_calm(rule);
    for (stream = 0, ended = 0; stream < STREAMS && !write; stream++)
        ended += memcmp(back + stream * APART, memory + stream * APART, COUNT * UNIT) != 0;
    is(ended, 0, "... with the right data");
}

/* ---- every depth, every way to wait -------------------------------------------------------------------------------- */

enum waiter { POLLS, LOOPS_INSIDE, DRAINS, DRAINS_INSIDE, CANCELS, CANCELS_BACKWARDS, WAITERS };

static const char *const waiters[] = {"polls",   "polls in callbacks",      "drains", "drains in a callback",
                                      "cancels", "cancels from the last on"};

static const struct {
    int mode, order;
    uint64_t delay_us;
} ways[] = {
    {FAKE_THREAD, FAKE_IN_ORDER, 0},
    {FAKE_INLINE, FAKE_IN_ORDER, 0},
    {FAKE_DELAYED, FAKE_SHUFFLED, 30},
};

static struct io many[DEEPEST], inner[DEEPEST];
static int total, failures, called, level;
static bool writes;
static enum waiter waiter;

static void submit_next(struct io *io)
{
    int64_t place = next_place;

    next_place += UNIT;
    total++;
    failures += !go(io, writes, UNIT, place);
}

static void called_back(struct io *io)
{
    struct io *own = &inner[io - many];

    called++;
    failures += io->ret != 0 && io->ret != -ECANCELED;
    if (io->done > 1 || called > total || next_place + 2 * UNIT > LENGTH)
        failures++;
    if (waiter == LOOPS_INSIDE && level < 3) {
        level++;
        own->then = NULL;
        submit_next(own);
        failures += io_wait(own) != 0;
        called++;
        level--;
    } else if (waiter == DRAINS_INSIDE && level == 0) {
        level++;
        own->then = NULL;
        submit_next(own);
        failures += img.drv->drain(&img.bs) != 0 || !own->done || own->ret != 0;
        called++;
        level--;
    } else if (waiter == POLLS || waiter == DRAINS) {
        /* Twice as many as the host has at once. */
        if (own->done == 0) {
            own->done = 1;
            submit_next(io);
        }
    }
}

static void at_depth(int depth)
{
    int i;

    next_place = 0;
    total = called = level = 0;
    memset(inner, 0, sizeof(inner));
    for (i = 0; i < depth; i++) {
        many[i].then = called_back;
        submit_next(&many[i]);
    }
    switch (waiter) {
    case DRAINS:
        failures += img.drv->drain(&img.bs) != 0;
        break;
    case CANCELS:
    case CANCELS_BACKWARDS:
        for (i = 0; i < depth; i++) {
            struct io *io = &many[waiter == CANCELS ? i : depth - 1 - i];

            img.drv->aio_cancel(io->acb);
            failures += io->done != 1;
        }
        break;
    default:
        while (called < total)
            if (!wait_for(&called, called + 1, 30)) {
                fail("depth %d: %d of %d requests wait for ever", depth, total - called, total);
                t_die("their buffers are in use");
            }
    }
    failures += called != total;
    if (!writes && waiter < CANCELS && memcmp(memory, back, (size_t)next_place) != 0)
        failures++;
}

static void every_depth(void)
{
    /* Valgrind need not see each of them. */
    int step = t_time_factor() > 1 ? 23 : 1, depth, way, kind;

    for (kind = 0; kind < WAITERS; kind++) {
        waiter = (enum waiter)kind;
        failures = 0;
        for (way = 0; way < (int)T_COUNT(ways); way++) {
            fake.set_mode(ways[way].mode, ways[way].delay_us);
            fake.set_order(ways[way].order, (uint64_t)way);
            for (writes = false;; writes = true) {
                for (depth = 1; depth <= DEEPEST; depth += step)
                    at_depth(depth);
                if (writes)
                    break;
            }
        }
        is(failures, 0, "a host that %s: every request ends at every depth up to %d", waiters[kind], DEEPEST);
    }
    fake.set_mode(FAKE_THREAD, 0);
    fake.set_order(FAKE_IN_ORDER, 0);
}

int main(void)
{
    fake_begin("streams wait for what is worth it, and for nothing else");
    memory = t_alloc(LENGTH);
    back = t_alloc(LENGTH);
    pattern_fill(memory, LENGTH, 1, 0);
    fake_open(&img, "streams", LENGTH);
    is(pwrite_sync(&img, memory, LENGTH, 0), 0, "data");
    full_calls(false, 4096, FULL_READ, "reads of 4 KiB");
    full_calls(false, 64 * 1024, FULL_READ, "reads of 64 KiB");
    full_calls(false, 256 * 1024, FULL_READ, "reads of 256 KiB");
    full_calls(false, 512, FULL_READ, "reads of 512 bytes, 256 of them in a call");
    full_calls(true, 4096, FULL_WRITE, "writes of 4 KiB");
    full_calls(true, 128 * 1024, FULL_WRITE, "writes of 128 KiB");
    full_calls(true, 512, FULL_WRITE, "writes of 512 bytes, 256 of them in a call");
    pairs(false);
    pairs(true);
    several(false);
    several(true);
    every_depth();
    img_close(&img);
    free(memory);
    free(back);
    return fake_end();
}
