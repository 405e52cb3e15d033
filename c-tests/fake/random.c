/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Random requests against a model in memory, under random faults, cancels, plugs, drains and reopens.
 *   random [SEED [OPERATIONS]] */
#include "on_fake.h"

enum { LENGTH = 2 * MiB, DEPTH = 48, LARGEST = 64 * 1024 };
enum kind { READ, WRITE, DISCARD, FLUSH };
enum { BUSY_READ = 1, BUSY_WRITE = 128 }; /* per byte: readers are counted, writers are alone */

struct op {
    struct io io;
    enum kind kind;
    int64_t offset, length;
    uint64_t seed;
    unsigned char *buffer;
    bool used;
};

static struct img img;
static struct op ops[DEPTH];
static unsigned char model[LENGTH], known[LENGTH], busy[LENGTH];
static uint64_t state, faults;
static int in_flight, wrong, failed, called_off;
static int64_t next_place;
static bool may_be_short = true;

static uint64_t random_below(uint64_t n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % n;
}

static bool one_in(uint64_t n)
{
    return random_below(n) == 0;
}

static void compare(const struct op *op)
{
    int64_t i;

    for (i = 0; i < op->length; i++)
        if (known[op->offset + i] && op->buffer[i] != model[op->offset + i]) {
            if (wrong++ < 5)
                t_say("byte %lld of a read at %lld of %lld bytes is %#x instead of %#x", (long long)i,
                      (long long)op->offset, (long long)op->length, op->buffer[i], model[op->offset + i]);
            return;
        }
}

static void over(struct io *io)
{
    struct op *op = io->arg;
    int64_t i;

    for (i = 0; i < op->length; i++)
        busy[op->offset + i] -= op->kind == READ ? BUSY_READ : BUSY_WRITE;
    if (io->ret == -ECANCELED) {
        called_off++; /* it never happened */
    } else if (io->ret < 0) {
        failed++;
        if (op->kind != READ)
            memset(known + op->offset, 0, (size_t)op->length);
    } else if (op->kind == READ) {
        compare(op);
    } else if (op->kind == WRITE) {
        memcpy(model + op->offset, op->buffer, (size_t)op->length);
        memset(known + op->offset, 1, (size_t)op->length);
    } else if (op->kind == DISCARD) {
        memset(model + op->offset, 0, (size_t)op->length);
        memset(known + op->offset, 1, (size_t)op->length);
    }
    op->used = false;
    in_flight--;
}

static bool may(enum kind kind, int64_t offset, int64_t length)
{
    int64_t i;

    for (i = 0; i < length; i++)
        if (busy[offset + i] >= (kind == READ ? BUSY_WRITE : BUSY_READ))
            return false;
    return true;
}

/* In up to three elements. */
static bool send(struct op *op)
{
    struct iovec iov[3];
    int64_t cut[4] = {0, 0, 0, op->length};
    int i;

    if (op->kind == FLUSH)
        return io_flush(&op->io, &img);
    if (op->kind == DISCARD)
        return io_discard(&op->io, &img, op->length, op->offset);
    if (one_in(4)) {
        cut[1] = (int64_t)random_below((uint64_t)op->length);
        cut[2] = cut[1] + (int64_t)random_below((uint64_t)(op->length - cut[1]));
    }
    for (i = 0; i < 3; i++) {
        iov[i].iov_base = op->buffer + cut[i];
        iov[i].iov_len = (size_t)(cut[i + 1] - cut[i]);
    }
    return op->kind == READ ? io_preadv(&op->io, &img, iov, 3, op->length, op->offset)
                            : io_pwritev(&op->io, &img, iov, 3, op->length, op->offset);
}

static void start(struct op *op)
{
    static const enum kind kinds[] = {READ, READ, READ, READ, WRITE, WRITE, WRITE, WRITE, WRITE, DISCARD, FLUSH};
    int64_t i;

    op->kind = kinds[random_below(T_COUNT(kinds))];
    op->length = one_in(3) ? 512 + (int64_t)random_below(LARGEST - 512) : 512 * (1 + (int64_t)random_below(16));
    op->offset = one_in(3) ? (int64_t)random_below(LENGTH) : next_place;
    if (op->offset + op->length > LENGTH)
        op->offset = (int64_t)random_below((uint64_t)(LENGTH - op->length));
    if (op->kind == FLUSH)
        op->length = 0;
    if (!may(op->kind, op->offset, op->length)) {
        t_poll(0);
        return;
    }
    next_place = op->offset + op->length;
    for (i = 0; i < op->length; i++)
        busy[op->offset + i] += op->kind == READ ? BUSY_READ : BUSY_WRITE;
    if (op->kind == WRITE)
        pattern_fill(op->buffer, (size_t)op->length, ++op->seed, op->offset);
    else
        memset(op->buffer, 0xaa, (size_t)op->length);
    op->used = true;
    op->io.then = over;
    op->io.arg = op;
    in_flight++;
    if (!send(op))
        fail("a request is accepted (%d)", op->io.ret);
}

static void disturb(void)
{
    static const int calls[] = {FAKE_PREADV_ASYNC, FAKE_PWRITEV_ASYNC, FAKE_DISCARD_ASYNC, FAKE_FSYNC};
    static const int actions[] = {FAKE_FAIL, FAKE_REFUSE, FAKE_SHORT, FAKE_DELAY, FAKE_ON_SUBMITTER};
    static const int modes[] = {FAKE_THREAD, FAKE_INLINE, FAKE_DELAYED, FAKE_DELAYED};
    int action = actions[random_below(T_COUNT(actions))];
    struct op *op = &ops[random_below(DEPTH)];

    switch (random_below(8)) {
    case 0:
        fake.set_mode(modes[random_below(T_COUNT(modes))], random_below(500));
        break;
    case 1:
        fake.set_order((int)random_below(3), state);
        break;
    case 2:
        img.drv->drain(&img.bs);
        is(in_flight, 0, "nothing is in flight after drain");
        may_be_short = true;
        break;
    case 3:
        img.drv->io_plug(&img.bs);
        break;
    case 4:
        img.drv->io_unplug(&img.bs);
        break;
    case 5:
        if (op->used)
            (one_in(2) ? img.drv->aio_cancel : img.drv->aio_cancel_async)(op->io.acb);
        break;
    default:
        /* The rest of a short read must not be short, too: a read that gives nothing says that the image ends there. */
        if (action == FAKE_SHORT && !may_be_short)
            break;
        may_be_short &= action != FAKE_SHORT;
        fake_once(calls[random_below(T_COUNT(calls))], action, action == FAKE_FAIL || action == FAKE_REFUSE ? ENOTCONN : 0,
                  action == FAKE_SHORT ? 1 + (int64_t)random_below(100) : (int64_t)random_below(2000));
        faults++;
    }
}

static void reopen(void)
{
    img_close(&img);
    is(in_flight, 0, "close has called every callback");
    if (img_open(&img, fake_uri("vol", "random"), BLK_O_RDWR, one_in(2) ? "write-cache" : NULL, "on", NULL) < 0)
        t_die("cannot open it again: %s", img.error.message);
}

static void whole(void)
{
    unsigned char *buffer = t_alloc(LENGTH);
    int64_t i;
    int differing = 0;

    is(pread_sync(&img, buffer, LENGTH, 0), 0, "the whole image is read");
    for (i = 0; i < LENGTH; i++)
        differing += known[i] && buffer[i] != model[i];
    is(differing, 0, "it is what the model says");
    free(buffer);
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1, operations = argc > 2 ? strtoull(argv[2], NULL, 0) : 20000;
    uint64_t done;
    int i;

    fake_begin("random requests under random faults, against a model");
    state = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    for (i = 0; i < DEPTH; i++) {
        ops[i].buffer = t_alloc(LARGEST);
        ops[i].seed = (uint64_t)i << 32;
    }
    memset(known, 1, sizeof(known));
    fake_open(&img, "random", LENGTH);
    for (done = 0; done < operations; done++) {
        struct op *op = &ops[random_below(DEPTH)];

        if (!op->used)
            start(op);
        if (one_in(3))
            t_poll(0);
        if (one_in(20))
            disturb();
        if (one_in(operations / 20 + 1))
            reopen();
    }
    img.drv->drain(&img.bs);
    is(in_flight, 0, "every request has ended");
    is(wrong, 0, "every read gave what was written");
    ok(failed > 0 && called_off > 0, "%d requests failed, %d were called off, for %d faults", failed, called_off,
       (int)faults);
    /* Every callback is made, but the last one's thread may still be in libgfapi: then there is no reset. */
    if (!fake.wait_idle(10000) || fake.reset() < 0)
        t_die("the fake is not idle");
    whole();
    img_close(&img);
    for (i = 0; i < DEPTH; i++)
        free(ops[i].buffer);
    return fake_end();
}
