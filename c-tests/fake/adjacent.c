/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests that share a call keep their own data, their own result and their own callback: with a fault in each of the
 * calls, cancelled one by one, closed among them, waited for inside a callback. */
#include "merging.h"

/* Of 200 adjacent requests three go alone; the others as they fill a call, and what is left over at the end. */
enum { REQUESTS = 200, BYTES = 8192, LENGTH = REQUESTS * BYTES, ALONE = AT_ONCE };
enum { READS_SHARE = FULL_READ / BYTES, WRITES_SHARE = FULL_WRITE / BYTES };
enum {
    READ_CALLS = ALONE + (REQUESTS - ALONE + READS_SHARE - 1) / READS_SHARE,
    WRITE_CALLS = ALONE + (REQUESTS - ALONE + WRITES_SHARE - 1) / WRITES_SHARE
};

static struct img img;
static struct io io[REQUESTS];
static unsigned char *data;

static unsigned char *place(int i)
{
    return data + (size_t)i * BYTES;
}

static void submit(bool write)
{
    int i, accepted = 0;

    for (i = 0; i < REQUESTS; i++)
        accepted += write ? io_pwrite(&io[i], &img, place(i), BYTES, (int64_t)i * BYTES)
                          : io_pread(&io[i], &img, place(i), BYTES, (int64_t)i * BYTES);
    if (accepted != REQUESTS)
        fail("all requests are accepted");
}

/* How many ended with this result. */
static int finish(int wanted)
{
    int i, n = 0;

    for (i = 0; i < REQUESTS; i++)
        n += io_wait(&io[i]) == wanted;
    return n;
}

static bool read_back(uint64_t seed)
{
    memset(data, 0xaa, LENGTH);
    submit(false);
    return finish(0) == REQUESTS && pattern_check(data, LENGTH, seed, 0);
}

static bool write_all(uint64_t seed)
{
    pattern_fill(data, LENGTH, seed, 0);
    submit(true);
    return finish(0) == REQUESTS;
}

/* What the faults below count on. */
static void calls(void)
{
    uint64_t writes = fake_calls(FAKE_PWRITEV_ASYNC), reads = fake_calls(FAKE_PREADV_ASYNC);

    fake.set_mode(FAKE_DELAYED, 300);
    ok(write_all(1) && read_back(1), "adjacent requests");
    is(fake_calls(FAKE_PWRITEV_ASYNC) - writes, WRITE_CALLS, "the writes share calls");
    is(fake_calls(FAKE_PREADV_ASYNC) - reads, READ_CALLS, "the reads share calls");
}

static int nth(int op, int action, int err, int64_t arg, int number)
{
    struct fake_rule rule = {0};

    rule.op = op;
    rule.action = action;
    rule.err = err;
    rule.arg = arg;
    rule.nth = (uint64_t)number;
    rule.times = 1;
    return fake.add_rule(&rule);
}

static void failing_call(bool write, int action, int err, int call)
{
    int rule = nth(write ? FAKE_PWRITEV_ASYNC : FAKE_PREADV_ASYNC, action, err, 0, call), alone = call <= ALONE;

    if (write)
        pattern_fill(data, LENGTH, 7, 0);
    else
        memset(data, 0xaa, LENGTH);
    submit(write);
    ok(finish(-err) == alone && finish(0) == REQUESTS - alone, "call %d to %s fails: none that succeeds alone does", call,
       write ? "write" : "read");
    is(fake.rule_hits(rule), 1, "... it was hit");
    ok(write_all(8) && read_back(8), "... the next ones succeed");
}

static void failing_calls(void)
{
    static const int actions[] = {FAKE_FAIL, FAKE_REFUSE};
    int rule, call;
    unsigned i;

    for (i = 0; i < T_COUNT(actions); i++) {
        for (call = 1; call <= WRITE_CALLS; call++)
            failing_call(true, actions[i], ENOSPC, call);
        for (call = 1; call <= READ_CALLS; call++)
            failing_call(false, actions[i], EIO, call);
    }
    rule = fake_always(FAKE_PWRITEV_ASYNC, FAKE_FAIL, EDQUOT, 0);
    submit(true);
    is(finish(-EDQUOT), REQUESTS, "when every call fails, each request has the reason");
    fake_calm(rule);
    rule = fake_always(FAKE_PREADV_ASYNC, FAKE_FAIL, 0, 0);
    submit(false);
    is(finish(-EIO), REQUESTS, "... with errno 0, too");
    fake_calm(rule);
}

static void short_read(int64_t missing, int call)
{
    int rule = nth(FAKE_PREADV_ASYNC, FAKE_SHORT, 0, missing, call);

    if (!read_back(9) || fake.rule_hits(rule) != 1)
        fail("read call %d is %d bytes short", call, (int)missing);
}

static void short_write(int64_t missing, int call)
{
    int rule = nth(FAKE_PWRITEV_ASYNC, FAKE_SHORT, 0, missing, call), alone = call <= ALONE;

    pattern_fill(data, LENGTH, 9, 0);
    submit(true);
    if (finish(-EIO) != alone || finish(0) != REQUESTS - alone || fake.rule_hits(rule) != 1)
        fail("write call %d is %d bytes short: %d succeed", call, (int)missing, finish(0));
    if (!write_all(9))
        fail("a write succeeds again");
}

/* Short at every kind of place: within the first, between two, within the last. */
static void short_calls(void)
{
    static const int64_t missing[] = {1, 100, BYTES - 1, BYTES, BYTES + 1, 3 * BYTES, 40 * BYTES + 17, 1000 * BYTES};
    int call, rule;
    unsigned i;

    ok(write_all(9), "written");
    for (i = 0; i < T_COUNT(missing); i++) {
        for (call = 1; call <= READ_CALLS; call++)
            /* A read of one request that gives nothing says that this is the end. */
            if (call > ALONE || missing[i] < BYTES)
                short_read(missing[i], call);
        for (call = 1; call <= WRITE_CALLS; call++)
            short_write(missing[i], call);
    }
    ok(read_back(9), "short calls do no harm");
    rule = nth(FAKE_PREADV_ASYNC, FAKE_FORCE, 0, 2 * MiB, ALONE + 1);
    memset(data, 0xaa, LENGTH);
    submit(false);
    ok(finish(0) + finish(-EIO) == REQUESTS && (finish(0) < REQUESTS || pattern_check(data, LENGTH, 9, 0)),
       "a call that claims to have read more than it was asked for does no harm");
    is(fake.rule_hits(rule), 1, "... it was hit");
}

static void the_end_within(void)
{
    int64_t end = 77 * BYTES + 1234;

    is(img.drv->truncate(&img.bs, end, NULL), 0, "an image that ends within one of the requests");
    memset(data, 0xaa, LENGTH);
    submit(false);
    is(finish(0), REQUESTS, "adjacent reads across the end");
    ok(pattern_check(data, (size_t)end, 9, 0) && all_bytes(data + end, (size_t)(LENGTH - end), 0),
       "... data, then zeros");
    is(img.drv->truncate(&img.bs, LENGTH, NULL), 0, "the length from before");
}

/* ---- cancel --------------------------------------------------------------------------------------------------- */

static void cancelled(void)
{
    int i, early = 0, sent = 0;

    ok(write_all(30), "written");
    fake.set_mode(FAKE_DELAYED, 20000);
    pattern_fill(data, LENGTH, 31, 0);
    submit(true);
    for (i = REQUESTS - 1; i >= 0; i -= 2) {
        img.drv->aio_cancel(io[i].acb);
        if (io[i].done != 1)
            fail("request %d is over when aio_cancel returns", i);
        early += io[i].ret == -ECANCELED;
        sent += io[i].ret == 0;
    }
    is(early + sent, REQUESTS / 2, "every other request is cancelled: ECANCELED, or sent and done");
    ok(early > 0, "... %d were not sent yet", early);
    finish(0);
    fake.set_mode(FAKE_DELAYED, 300);
    memset(data, 0xaa, LENGTH);
    is(pread_sync(&img, data, LENGTH, 0), 0, "read");
    for (i = 0; i < REQUESTS; i++)
        if (!pattern_check(place(i), BYTES, io[i].ret == -ECANCELED ? 30 : 31, (int64_t)i * BYTES))
            fail("request %d, which ended with %d, is %s", i, io[i].ret, io[i].ret ? "not written" : "written");
    ok(true, "those with ECANCELED are not written, the others are");
}

/* Once a shared call is under way nothing of it can be called off, but each can still be waited for alone. */
static void cancelled_in_a_shared_call(void)
{
    int i, at = ALONE + WRITES_SHARE / 2, done = 0;

    ok(write_all(32), "written");
    fake.set_mode(FAKE_HELD, 0);
    submit(true);
    ok(fake.wait_held(ALONE + 1, 10000), "a shared call is out besides the first ones");
    fake.set_mode(FAKE_DELAYED, 300);
    fake.set_order(FAKE_REVERSED, 0);
    fake.release(FAKE_ANY_ASYNC, 0, FAKE_AS_IS);
    img.drv->aio_cancel(io[at].acb);
    ok(io[at].done == 1 && io[at].ret == 0, "one of many in a shared call is waited for");
    for (i = 0; i < REQUESTS; i++)
        done += io[i].done;
    is(done, 1, "... no other's callback ran");
    is(finish(0), REQUESTS, "the others end as always");
    fake.set_order(FAKE_IN_ORDER, 0);
}

/* Not one dispatch each: a host's loop may have much to do in between. */
static void dispatched(void)
{
    fake.set_mode(FAKE_HELD, 0);
    submit(true);
    ok(fake.wait_held(ALONE + 1, 10000), "a shared call is out besides the first ones");
    fake.release(FAKE_ANY_ASYNC, 0, FAKE_AS_IS);
    ok(fake.wait_idle(10000), "they are done");
    is(img.drv->dispatch(&img.bs), ALONE + WRITES_SHARE, "one dispatch calls them and all that shared the call");
    is(img.drv->dispatch(&img.bs), 0, "... nothing is left for the next one");
    fake.set_mode(FAKE_DELAYED, 300);
    fake.release(FAKE_ANY_ASYNC, 0, FAKE_AS_IS);
    is(finish(0), REQUESTS, "the others end as always");
}

static void cancelled_asynchronously(void)
{
    int i, early = 0;

    fake.set_mode(FAKE_DELAYED, 5000);
    submit(true);
    for (i = 0; i < REQUESTS; i += 3)
        img.drv->aio_cancel_async(io[i].acb);
    for (i = 0; i < REQUESTS; i++)
        if (io[i].done)
            fail("aio_cancel_async calls nothing");
    for (i = 0; i < REQUESTS; i++) {
        early += io_wait(&io[i]) == -ECANCELED;
        if (io[i].ret != 0 && (io[i].ret != -ECANCELED || i % 3))
            fail("request %d: %d", i, io[i].ret);
    }
    ok(early > 0, "aio_cancel_async: %d end with ECANCELED, in their callbacks", early);
    fake.set_mode(FAKE_DELAYED, 300);
}

/* ---- inside callbacks ------------------------------------------------------------------------------------------- */

static int inside;

static void see_all(struct io *self)
{
    int i;

    self->then = NULL;
    for (i = 0; i < REQUESTS; i++)
        inside += &io[i] == self || io_wait(&io[i]) == 0;
}

static void cancel_the_rest(struct io *self)
{
    int i;

    self->then = NULL;
    for (i = REQUESTS - 1; i >= 0; i--) {
        img.drv->aio_cancel(io[i].acb);
        inside += io[i].done;
    }
}

static void nested(void)
{
    inside = 0;
    io[REQUESTS / 2].then = see_all;
    submit(true);
    is(io_wait(&io[REQUESTS / 2]), 0, "a callback in the midst of a shared call");
    is(inside, REQUESTS, "... sees all others in a loop of its own");
    inside = 0;
    io[REQUESTS / 2].then = cancel_the_rest;
    submit(true);
    is(io_wait(&io[REQUESTS / 2]), 0, "another one");
    is(inside, REQUESTS, "... cancels all others");
}

static void close_it(struct io *self)
{
    self->then = NULL;
    img_close(self->img);
}

static void closed(int mode, const char *name)
{
    int at;

    for (at = -1; at < REQUESTS; at += 67) {
        fake_open(&img, "adjacent-close", 0);
        fake.set_mode(mode, 1000);
        if (at >= 0)
            io[at].then = close_it;
        submit(true);
        if (at < 0)
            img_close(&img);
        is(finish(0), REQUESTS, "%s: close %s", name, at < 0 ? "with many waiting" : "in a callback among many");
        fake.set_mode(FAKE_THREAD, 0);
    }
}

int main(void)
{
    fake_begin("requests that share a call keep data, result and callback apart");
    data = t_alloc(LENGTH);
    fake_open(&img, "adjacent", LENGTH);
    calls();
    failing_calls();
    short_calls();
    the_end_within();
    cancelled();
    cancelled_in_a_shared_call();
    dispatched();
    cancelled_asynchronously();
    nested();
    fake.set_mode(FAKE_THREAD, 0);
    img_close(&img);
    closed(FAKE_THREAD, "on another thread");
    closed(FAKE_INLINE, "on the submitting thread");
    closed(FAKE_DELAYED, "later");
    free(data);
    return fake_end();
}
