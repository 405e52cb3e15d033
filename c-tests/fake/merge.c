/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sequential requests share calls to libgfapi, random ones never wait for company; each gets its own callback. */
#include "merging.h"

enum { DEPTH = 32, TOTAL = 1024 };

static struct img img;
static struct batch batch, other;

/* ---- a stream at a depth, in every way to complete --------------------------------------------------------------- */

static const struct {
    const char *name;
    int mode, order;
    uint64_t delay_us;
} ways[] = {
    {"inline", FAKE_INLINE, FAKE_IN_ORDER, 0},
    {"thread", FAKE_THREAD, FAKE_IN_ORDER, 0},
    {"before return", FAKE_BEFORE_RETURN, FAKE_IN_ORDER, 0},
    {"delayed", FAKE_DELAYED, FAKE_IN_ORDER, 300},
    {"reversed", FAKE_DELAYED, FAKE_REVERSED, 300},
    {"shuffled", FAKE_DELAYED, FAKE_SHUFFLED, 300},
    {"held", FAKE_HELD, FAKE_IN_ORDER, 0},
    {"held and reversed", FAKE_HELD, FAKE_REVERSED, 0},
    {"held and shuffled", FAKE_HELD, FAKE_SHUFFLED, 0},
};

struct stream {
    struct io io;
    int64_t offset;
};

static struct stream slots[DEPTH];
static char *memory;
static int64_t next_offset;
static int finished, failures;
static bool writes;

static void go_on(struct io *io)
{
    struct stream *slot = io->arg;

    finished += io->acb != NULL;
    failures += io->ret != 0;
    if (next_offset == (int64_t)TOTAL * UNIT)
        return;
    slot->offset = next_offset;
    next_offset += UNIT;
    if (!(writes ? io_pwrite(io, &img, memory + slot->offset, UNIT, slot->offset)
                 : io_pread(io, &img, memory + slot->offset, UNIT, slot->offset)))
        failures++;
}

static void stream(const char *name, bool is_write)
{
    unsigned char *covered = calloc(TOTAL, 1);
    uint64_t i, calls, block;
    bool once = covered != NULL, units = true;
    unsigned slot;

    writes = is_write;
    next_offset = 0;
    finished = failures = 0;
    fake.set_trace(2 * TOTAL);
    for (slot = 0; slot < DEPTH; slot++) {
        memset(&slots[slot].io, 0, sizeof(slots[slot].io));
        slots[slot].io.arg = &slots[slot];
        slots[slot].io.then = go_on;
        go_on(&slots[slot].io);
    }
    ok(release_until(&finished, TOTAL), "%s: %d %s, %d at a time", name, TOTAL, is_write ? "writes" : "reads", DEPTH);
    is(failures, 0, "... all succeed");
    calls = fake.trace_count();
    ok(calls < TOTAL / 2, "... with %llu calls", (unsigned long long)calls);
    for (i = 0; i < calls && once; i++) {
        struct fake_trace call = traced(i);

        units = units && call.offset % UNIT == 0 && call.length % UNIT == 0 && call.length <= MiB;
        for (block = call.offset / UNIT; block < (call.offset + call.length) / UNIT && once; block++)
            once = block < TOTAL && !covered[block]++;
    }
    ok(once && memchr(covered, 0, TOTAL) == NULL, "... that cover each request once, and nothing else");
    ok(units, "... in whole requests, at most 1 MiB");
    fake.set_trace(0);
    free(covered);
}

static void streams(void)
{
    unsigned way;

    memory = t_alloc((size_t)TOTAL * UNIT);
    for (way = 0; way < T_COUNT(ways); way++) {
        fake.set_mode(ways[way].mode, ways[way].delay_us);
        fake.set_order(ways[way].order, way);
        pattern_fill(memory, (size_t)TOTAL * UNIT, way, 0);
        stream(ways[way].name, true);
        memset(memory, 0xaa, (size_t)TOTAL * UNIT);
        stream(ways[way].name, false);
        ok(pattern_check(memory, (size_t)TOTAL * UNIT, way, 0), "... with the right data");
    }
    free(memory);
    fake.set_mode(FAKE_THREAD, 0);
    fake.set_order(FAKE_IN_ORDER, 0);
}

/* ---- the windows ------------------------------------------------------------------------------------------------- */

static void random_ones_never_wait(void)
{
    static struct io io[WINDOW + 1];
    static char data[WINDOW + 1][UNIT];
    int i;

    fake.set_mode(FAKE_HELD, 0);
    for (i = 0; i <= WINDOW; i++) {
        /* 37 and 101 share no factor: all different, none adjacent to the one before. */
        int64_t offset = (int64_t)(i * 37 % 101) * 2 * UNIT;

        if (i % 2)
            io_pwrite(&io[i], &img, data[i], UNIT, offset);
        else
            io_pread(&io[i], &img, data[i], UNIT, offset);
        if (i < WINDOW && fake_counted().held != (uint64_t)i + 1)
            fail("random request %d is sent at once", i);
    }
    is(fake_counted().held, WINDOW, "%d random requests are sent at once; one more waits", WINDOW);
    fake.release(FAKE_ANY_ASYNC, 1, FAKE_AS_IS);
    ok(wait_for(&io[0].done, 1, 10), "one is over");
    ok(fake.wait_held(WINDOW, 10000), "... and the one that waited is sent");
    for (i = 0; i <= WINDOW; i++)
        if (!release_until(&io[i].done, 1) || io[i].ret != 0)
            fail("random request %d ends", i);
    fake.set_mode(FAKE_THREAD, 0);
}

static void one_call_for_all_that_wait(void)
{
    fake.set_mode(FAKE_HELD, 0);
    fake.set_trace(100);
    batch_write(&batch, &img, 0, DEPTH, 7);
    is(fake.trace_count(), AT_ONCE, "the first requests of a stream are sent at once, the others wait");
    ok(batch_wait(&batch) && batch_all_right(&batch), "all end");
    is(fake.trace_count(), AT_ONCE + 1, "those that waited went as one call");
    is(traced(AT_ONCE).offset, AT_ONCE * UNIT, "... from the first of them on");
    is(traced(AT_ONCE).length, (DEPTH - AT_ONCE) * UNIT, "... to the last");
    is(traced(AT_ONCE).iovcnt, DEPTH - AT_ONCE, "... from each one's buffer");
    fake.set_trace(0);
    fake.set_mode(FAKE_THREAD, 0);
    ok(batch_stored(&batch), "... with the right data");
}

/* ---- order ------------------------------------------------------------------------------------------------------- */

static uint64_t held_at_first;

static void begin_to_wait(uint64_t seed)
{
    fake.set_mode(FAKE_HELD, 0);
    fake.set_trace(200);
    batch_write(&batch, &img, 0, AT_ONCE + 8, seed);
    held_at_first = fake.trace_count();
    is(held_at_first, AT_ONCE, "writes wait");
}

static void end_waiting(void)
{
    ok(batch_wait(&batch), "the writes end");
    fake.set_trace(0);
    fake.set_mode(FAKE_THREAD, 0);
}

/* The place in the trace of the last call that covers a byte; -1: none. */
static int last_call(int op, int64_t offset)
{
    int i, found = -1;

    for (i = 0; i < (int)fake.trace_count(); i++) {
        struct fake_trace call = traced((uint64_t)i);

        if (call.op == op && (int64_t)call.offset <= offset && offset < (int64_t)(call.offset + call.length))
            found = i;
    }
    return found;
}

static void overlapping(void)
{
    enum { PLACE = (AT_ONCE + 3) * UNIT };
    static char two[2 * UNIT], got[2 * UNIT];
    struct io write = {0}, read = {0}, discard = {0}, flush = {0}, apart = {0};
    char data[UNIT];

    begin_to_wait(11);
    pattern_fill(two, sizeof(two), 12, PLACE);
    io_pwrite(&write, &img, two, sizeof(two), PLACE);
    io_pread(&read, &img, got, sizeof(got), PLACE);
    io_discard(&discard, &img, UNIT, PLACE);
    is(fake.trace_count(), held_at_first, "what overlaps a write that waits, waits, too");
    io_flush(&flush, &img);
    is(io_wait(&flush), 0, "a flush does not");
    is(fake.trace_count(), held_at_first + 1, "... which is one call");
    io_pread(&apart, &img, data, sizeof(data), 200 * UNIT);
    is(fake.trace_count(), held_at_first + 2, "... nor does a read elsewhere");
    end_waiting();
    ok(release_until(&discard.done, 1) && write.done && read.done && flush.done && apart.done, "all end");
    is(write.ret | read.ret | discard.ret | flush.ret | apart.ret, 0, "... well");
    ok(pattern_check(got, sizeof(got), 12, PLACE), "a read has what the write before it wrote, not the write before that");
    ok(pread_sync(&img, got, sizeof(got), PLACE) == 0 && all_bytes(got, UNIT, 0) &&
           pattern_check(got + UNIT, UNIT, 12, PLACE + UNIT),
       "the discard came last");
}

static void write_behind_read(void)
{
    enum { PLACE = (AT_ONCE + 2) * UNIT };
    struct io write = {0};
    char data[UNIT];

    batch_write(&batch, &img, 0, AT_ONCE + 8, 21);
    ok(batch_wait(&batch), "data");
    fake.set_mode(FAKE_HELD, 0);
    fake.set_trace(200);
    batch_read(&batch, &img, 0, AT_ONCE + 8, 21);
    pattern_fill(data, sizeof(data), 22, PLACE);
    io_pwrite(&write, &img, data, sizeof(data), PLACE);
    is(last_call(FAKE_PWRITEV_ASYNC, PLACE), -1, "a write into what a waiting read reads, waits");
    ok(batch_wait(&batch) && batch_all_right(&batch), "the read has what was there before");
    ok(release_until(&write.done, 1) && write.ret == 0, "the write ends");
    ok(last_call(FAKE_PWRITEV_ASYNC, PLACE) > last_call(FAKE_PREADV_ASYNC, PLACE), "... and was sent after it");
    fake.set_trace(0);
    fake.set_mode(FAKE_THREAD, 0);
}

/* Two streams of different seeds over the same place, the second before anything of the first has ended. */
static void rewriting(void)
{
    fake.set_mode(FAKE_HELD, 0);
    batch_write(&batch, &img, 0, DEPTH, 31);
    batch_write(&other, &img, 0, DEPTH, 32);
    ok(batch_wait(&batch) && batch_wait(&other) && batch_all_right(&batch) && batch_all_right(&other),
       "two streams over the same place end");
    fake.set_mode(FAKE_THREAD, 0);
    ok(batch_stored(&other), "the later one has won everywhere");
}

/* ---- bounds of a call -------------------------------------------------------------------------------------------- */

static void large(int64_t bytes, int count, uint64_t calls, const char *what)
{
    static struct io io[300];
    char *data = t_alloc((size_t)(bytes * count)), *copy = t_alloc((size_t)(bytes * count));
    uint64_t before;
    int i;

    pattern_fill(data, (size_t)(bytes * count), (uint64_t)bytes, 0);
    /* All but the first few wait for one another. */
    fake.set_mode(FAKE_HELD, 0);
    before = fake_calls(FAKE_PWRITEV_ASYNC);
    for (i = 0; i < count; i++)
        io_pwrite(&io[i], &img, data + bytes * i, bytes, bytes * i);
    for (i = 0; i < count; i++)
        if (!release_until(&io[i].done, 1) || io[i].ret != 0)
            fail("write %d of %s ends well", i, what);
    is(fake_calls(FAKE_PWRITEV_ASYNC) - before, calls, "%s", what);
    fake.set_mode(FAKE_THREAD, 0);
    ok(pread_sync(&img, copy, bytes * count, 0) == 0 && !memcmp(data, copy, (size_t)(bytes * count)), "... right data");
    free(data);
    free(copy);
}

int main(void)
{
    fake_begin("requests that are adjacent share calls, others do not wait");
    fake_open(&img, "merge", (int64_t)TOTAL * UNIT);
    streams();
    random_ones_never_wait();
    one_call_for_all_that_wait();
    overlapping();
    write_behind_read();
    rewriting();
    large(256 * 1024, AT_ONCE + 16, AT_ONCE + 4, "requests of 256 KiB: calls of 1 MiB");
    large(192 * 1024, AT_ONCE + 10, AT_ONCE + 2, "requests of 192 KiB: five in a call");
    large(260 * 1024, 20, 20, "requests above 256 KiB: none shares a call");
    large(512, AT_ONCE + 290, AT_ONCE + 2, "requests of 512 bytes: 256 in a call, and the others in another");
    img_close(&img);
    return fake_end();
}
