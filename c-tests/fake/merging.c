/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "merging.h"

static void submit(struct batch *batch)
{
    int i;

    for (i = 0; i < batch->count; i++) {
        int64_t offset = batch->offset + (int64_t)i * UNIT;
        bool accepted;

        if (batch->is_write) {
            pattern_fill(batch->data[i], UNIT, batch->seed, offset);
            accepted = io_pwrite(&batch->io[i], batch->img, batch->data[i], UNIT, offset);
        } else {
            memset(batch->data[i], 0xaa, UNIT);
            accepted = io_pread(&batch->io[i], batch->img, batch->data[i], UNIT, offset);
        }
        if (!accepted)
            fail("request %d of %d is accepted (%d)", i, batch->count, batch->io[i].ret);
    }
}

static void start(struct batch *batch, struct img *img, bool is_write, int64_t offset, int count, uint64_t seed)
{
    if (count > MOST)
        t_die("%d requests in a batch", count);
    batch->img = img;
    batch->is_write = is_write;
    batch->offset = offset;
    batch->count = count;
    batch->seed = seed;
    submit(batch);
}

void batch_write(struct batch *batch, struct img *img, int64_t offset, int count, uint64_t seed)
{
    start(batch, img, true, offset, count, seed);
}

void batch_read(struct batch *batch, struct img *img, int64_t offset, int count, uint64_t seed)
{
    start(batch, img, false, offset, count, seed);
}

int batch_done(const struct batch *batch)
{
    int i, n = 0;

    for (i = 0; i < batch->count; i++)
        n += __atomic_load_n(&batch->io[i].done, __ATOMIC_ACQUIRE);
    return n;
}

static bool all_called(void *arg)
{
    const struct batch *batch = arg;

    fake.release(FAKE_ANY_ASYNC, 0, FAKE_AS_IS);
    return batch_done(batch) >= batch->count;
}

bool batch_wait(struct batch *batch)
{
    return run_until(all_called, batch, 30);
}

bool batch_right(const struct batch *batch, int i)
{
    const struct io *io = &batch->io[i];

    return io->done == 1 && io->ret == 0 &&
           (batch->is_write || pattern_check(batch->data[i], UNIT, batch->seed, batch->offset + (int64_t)i * UNIT));
}

bool batch_all_right(const struct batch *batch)
{
    int i;

    for (i = 0; i < batch->count; i++)
        if (!batch_right(batch, i)) {
            t_say("request %d: %d callbacks, result %d", i, batch->io[i].done, batch->io[i].ret);
            return false;
        }
    return true;
}

bool batch_stored(const struct batch *batch)
{
    size_t bytes = (size_t)batch->count * UNIT;
    char *copy = t_alloc(bytes);
    bool right = pread_sync(batch->img, copy, (int64_t)bytes, batch->offset) == 0 &&
                 pattern_check(copy, bytes, batch->seed, batch->offset);

    free(copy);
    return right;
}

struct count {
    const int *counter;
    int wanted;
};

static bool counted_and_released(void *arg)
{
    const struct count *count = arg;

    fake.release(FAKE_ANY_ASYNC, 0, FAKE_AS_IS);
    return *count->counter >= count->wanted;
}

bool release_until(const int *counter, int wanted)
{
    struct count count;

    count.counter = counter;
    count.wanted = wanted;
    return run_until(counted_and_released, &count, 30);
}

void fault_at(int op, int action, int err, int64_t arg, uint64_t nth)
{
    struct fake_rule rule;

    memset(&rule, 0, sizeof(rule));
    rule.op = op;
    rule.action = action;
    rule.err = err;
    rule.arg = arg;
    rule.nth = nth;
    rule.times = 1;
    if (fake.add_rule(&rule) <= 0)
        t_die("no room for another rule");
}

struct fake_trace traced(uint64_t i)
{
    struct fake_trace call;

    if (fake.trace_get(i, &call) < 0)
        t_die("there are %llu calls, none of number %llu", (unsigned long long)fake.trace_count(),
              (unsigned long long)i);
    return call;
}
