/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Preallocation allocates the new range and nothing else, in chunks, with progress; when it fails or is cancelled there is
 * no half-made image, and one that should have grown is as it was. */
#include "on_fake.h"

enum { CHUNK = 64 * MiB, OLD = 3 * MiB + 1000, NEW = OLD + CHUNK + 5000 };

static struct BlkError error;
static struct img img;

/* ---- progress -------------------------------------------------------------------------------------------------- */

static struct {
    int64_t done[16], total;
    unsigned calls, stop_at; /* 0: never */
} told;

static int progress(void *opaque, int64_t done, int64_t total)
{
    if (opaque != &told || told.calls >= T_COUNT(told.done))
        fail("a call too many");
    else
        told.done[told.calls++] = done;
    told.total = total;
    return told.calls == told.stop_at;
}

static void expect(unsigned stop_at)
{
    memset(&told, 0, sizeof(told));
    told.stop_at = stop_at;
    memset(&error, 0, sizeof(error));
    error.struct_size = sizeof(error);
}

static void was_told(int64_t total)
{
    unsigned i;

    ok(told.calls > 1 && told.total == total, "%u calls of progress", told.calls);
    is(told.done[0], 0, "... from 0");
    is(told.done[told.calls - 1], total, "... to the end");
    for (i = 1; i < told.calls; i++)
        if (told.done[i] <= told.done[i - 1] || told.done[i] - told.done[i - 1] > CHUNK)
            fail("in steps of 64 MiB at most");
}

/* ---- create ---------------------------------------------------------------------------------------------------- */

static int create(const char *name, const char *size, const char *how)
{
    const char *uri = fake_uri("vol", name);
    const struct BlkOption options[] = {{"size", size}, {"preallocation", how}, {"keep-connection", "30"}, {NULL, NULL}};

    return drv_for(uri)->create_with_progress(uri, options, progress, &told, &error);
}

static void creating(void)
{
    static const char *const bad[] = {"", "on", "Full", "metadata", "falloc ", "1"};
    uint64_t before;
    int64_t space;
    unsigned i;
    int rule;

    for (i = 0; i < T_COUNT(bad); i++) {
        expect(0);
        is(create("bad", "4096", bad[i]), -EINVAL, "preallocation '%s': %s", bad[i], error.message);
    }
    is(fake_length("bad", NULL), -ENOENT, "... makes nothing");
    expect(0);
    is(create("off", "1M", "off"), 0, "off");
    is(fake_length("off", &space), MiB, "... its length");
    is(space, 0, "... without space");
    is(told.calls, 0, "... and without progress");
    is(fake_calls(FAKE_FALLOCATE) + fake_calls(FAKE_ZEROFILL), 0, "... or a call for space");
    expect(0);
    is(create("falloc", "130M", "falloc"), 0, "falloc");
    was_told(130 * MiB);
    is(fake_length("falloc", &space), 130 * MiB, "... its length");
    is(space, 130 * MiB, "... and space");
    is(fake_calls(FAKE_FALLOCATE), 3, "... in chunks");
    is(fake_counted().max_bytes[FAKE_FALLOCATE], CHUNK, "... of 64 MiB");
    expect(0);
    is(create("falloc", "65M", "full"), 0, "full, in its place");
    was_told(65 * MiB);
    is(fake_length("falloc", &space), 65 * MiB, "... its length");
    is(space, 65 * MiB, "... and space");
    is(fake_calls(FAKE_ZEROFILL), 2, "... by zerofill");
    rule = fake_always(FAKE_ZEROFILL, FAKE_FAIL, EOPNOTSUPP, 0);
    before = fake_calls(FAKE_PWRITEV);
    expect(0);
    is(create("falloc", "65M", "full"), 0, "full, where there is no zerofill");
    was_told(65 * MiB);
    is(fake_calls(FAKE_PWRITEV) - before, 65, "... by writing MiBs");
    is(fake_length("falloc", &space), 65 * MiB, "... its length");
    is(space, 65 * MiB, "... and space");
    fake_calm(rule);
    expect(0);
    is(create("empty", "0", "full"), 0, "an empty image");
    is(fake_length("empty", NULL), 0, "... is empty");
    {
        const char *uri = fake_uri("vol", "plain-create");
        const struct BlkOption options[] = {
            {"size", "1M"}, {"preallocation", "falloc"}, {"keep-connection", "30"}, {NULL, NULL}};

        is(drv_for(uri)->create(uri, options, &error), 0, "create knows the option, too");
        is(fake_length("plain-create", &space), MiB, "... its length");
        is(space, MiB, "... and space");
        is(drv_for(uri)->create_with_progress(uri, options, NULL, NULL, NULL), 0, "no progress function");
    }
}

static void failing_create(void)
{
    static const struct {
        const char *how;
        int op, err, ret;
    } cases[] = {{"falloc", FAKE_FALLOCATE, ENOSPC, ENOSPC},
                 {"falloc", FAKE_FALLOCATE, EOPNOTSUPP, EOPNOTSUPP},
                 {"falloc", FAKE_FALLOCATE, 0, EIO},
                 {"full", FAKE_ZEROFILL, EDQUOT, EDQUOT}};
    unsigned i;

    for (i = 0; i < T_COUNT(cases); i++) {
        struct fake_rule rule = {.op = cases[i].op, .action = FAKE_FAIL, .err = cases[i].err, .nth = 2, .times = 1};
        int id = fake.add_rule(&rule);

        expect(0);
        is(create("failing", "65M", cases[i].how), -cases[i].ret, "%s fails midway: %s", cases[i].how, error.message);
        is(error.stage, BLK_STAGE_OPEN, "... its stage");
        is(fake_length("failing", NULL), -ENOENT, "... and leaves nothing");
        fake_calm(id);
    }
    expect(2);
    is(create("cancelled", "130M", "falloc"), -ECANCELED, "cancelled after a chunk: %s", error.message);
    is(told.calls, 2, "... is over then");
    is(fake_length("cancelled", NULL), -ENOENT, "... and leaves nothing");
    expect(1);
    is(create("cancelled", "130M", "full"), -ECANCELED, "cancelled at once");
    is(fake_length("cancelled", NULL), -ENOENT, "... leaves nothing");
    expect(2);
    is(create("falloc", "130M", "full"), -ECANCELED, "cancelled in the place of an old image");
    is(fake_length("falloc", NULL), 0, "... which is empty");
}

/* ---- grow ------------------------------------------------------------------------------------------------------ */

static int grow(int64_t length, int how)
{
    return img.drv->truncate_with_preallocation(&img.bs, length, how, progress, &told, &error);
}

static bool as_it_was(void)
{
    unsigned char *data = t_alloc(OLD);
    bool good = pread_sync(&img, data, OLD, 0) == 0 && pattern_check(data, OLD, 9, 0);

    free(data);
    return good;
}

static void fresh(const char *volume)
{
    const char *uri = fake_uri(volume, "grow");
    unsigned char *data = t_alloc(OLD);

    img_close(&img);
    if (img_create(uri, "0", NULL) < 0 || img_open(&img, uri, BLK_O_RDWR, NULL) < 0)
        t_die("cannot open %s", uri);
    pattern_fill(data, OLD, 9, 0);
    if (pwrite_sync(&img, data, OLD, 0) != 0)
        t_die("cannot fill it");
    free(data);
}

static void growing(const char *volume)
{
    static const int hows[] = {BLK_PREALLOC_FALLOC, BLK_PREALLOC_FULL};
    static const int ops[] = {FAKE_FALLOCATE, FAKE_ZEROFILL};
    struct fake_trace trace;
    uint64_t at;
    unsigned i;

    for (i = 0; i < 2; i++) {
        fresh(volume);
        fake.set_trace(64);
        expect(0);
        is(grow(NEW, hows[i]), 0, "%s: grow", volume);
        was_told(NEW - OLD);
        is(img.drv->getlength(&img.bs), NEW, "... its length");
        for (at = 0; at < fake.trace_count(); at++)
            if (fake.trace_get(at, &trace) == 0 && trace.op == ops[i])
                if (trace.offset < OLD || trace.offset + trace.length > NEW)
                    fail("only the new range");
        fake.set_trace(0);
        ok(img.drv->get_allocated_file_size(&img.bs) >= NEW - 4096, "... its space");
        ok(as_it_was(), "... what was there");
        expect(0);
        is(grow(NEW, hows[i]), 0, "to the length that it has");
        expect(0);
        is(grow(OLD, hows[i]), -EINVAL, "shorter: %s", error.message);
        is(img.drv->getlength(&img.bs), NEW, "... changes nothing");
        is(grow(OLD, BLK_PREALLOC_OFF), 0, "shorter, without preallocation");
        is(img.drv->getlength(&img.bs), OLD, "... is truncate");

        expect(2);
        is(grow(NEW, hows[i]), -ECANCELED, "%s: cancelled: %s", volume, error.message);
        is(img.drv->getlength(&img.bs), OLD, "... its old length");
        ok(as_it_was(), "... and data");
        fake_once(ops[i], FAKE_FAIL, ENOSPC, 0);
        expect(0);
        is(grow(NEW, hows[i]), -ENOSPC, "no room: %s", error.message);
        is(img.drv->getlength(&img.bs), OLD, "... its old length");
        fake_once(FAKE_FTRUNCATE, FAKE_FAIL, EFBIG, 0);
        expect(0);
        is(grow(NEW, hows[i]), -EFBIG, "too long: %s", error.message);
        is(img.drv->getlength(&img.bs), OLD, "... its old length");
        ok(as_it_was(), "... and data");
        is(pwrite_sync(&img, "x", 1, OLD + 10), 0, "it can be written past its end");
        is(img.drv->getlength(&img.bs), OLD + 11, "... and grows");
        is(flush_sync(&img), 0, "... and flushes");
    }
}

/* The way back fails, too: both are told, and the length is what it is. */
static void no_way_back(void)
{
    struct fake_rule rule = {.op = FAKE_FTRUNCATE, .action = FAKE_FAIL, .err = EROFS, .nth = 2, .times = 1};
    int id;

    fresh("vol");
    id = fake.add_rule(&rule);
    fake_once(FAKE_FALLOCATE, FAKE_FAIL, ENOSPC, 0);
    expect(0);
    is(grow(NEW, BLK_PREALLOC_FALLOC), -ENOSPC, "neither forth nor back: %s", error.message);
    ok(strstr(error.message, "EROFS") != NULL, "... which is told");
    is(img.drv->getlength(&img.bs), NEW, "... getlength knows");
    fake_calm(id);
}

/* ---- others meanwhile ------------------------------------------------------------------------------------------- */

static void *grow_there(void *arg)
{
    return (void *)(intptr_t)grow(NEW, *(int *)arg);
}

static int joined(pthread_t thread)
{
    void *ret;

    pthread_join(thread, &ret);
    return (int)(intptr_t)ret;
}

static void meanwhile(int how, int op, int err)
{
    struct io past = {0}, across = {0}, below = {0}, read = {0}, zero = {0}, low = {0};
    unsigned char ones[8192], there[8192];
    pthread_t thread;
    int rule;

    fresh("vol");
    memset(ones, 1, sizeof(ones));
    rule = fake_once(op, FAKE_HOLD, 0, 0);
    expect(0);
    pthread_create(&thread, NULL, grow_there, &how);
    ok(fake.wait_held(1, 10000), "an image grows");
    io_pwrite(&past, &img, ones, sizeof(ones), OLD + MiB);
    io_pwrite(&across, &img, ones, sizeof(ones), OLD - 4096);
    io_zeroes(&zero, &img, 100, OLD + 2 * MiB, 0);
    io_pread(&read, &img, there, sizeof(there), OLD + MiB);
    io_pwrite(&below, &img, ones, 4096, 0);
    is(io_wait(&below), 0, "a write below the end ends");
    /* Two zerofills at once would be noticed. */
    io_zeroes(&low, &img, 4096, 0, 0);
    run_for(0.02);
    is(past.done + across.done + zero.done + read.done, 0, "what reaches past it waits");
    is(img.drv->truncate(&img.bs, 0, &error), -EBUSY, "no other change of length: %s", error.message);
    is(img.drv->truncate_with_preallocation(&img.bs, NEW, how, NULL, NULL, &error), -EBUSY, "... nor growth: %s",
       error.message);
    is(img.drv->getlength(&img.bs), OLD, "it has its old length");
    if (fake.release(op, 0, err) != 1)
        fail("it was held");
    is(joined(thread), err == FAKE_AS_IS ? 0 : -err, "the growth ends");
    fake_calm(rule);
    is(io_wait(&past), 0, "then the write");
    is(io_wait(&across), 0, "... and the one across");
    is(io_wait(&zero), 0, "... the zeroes");
    is(io_wait(&read), 0, "... and the read");
    is(io_wait(&low), 0, "zeroes below the end");
    ok(pread_sync(&img, there, sizeof(there), OLD + MiB) == 0 && all_bytes(there, sizeof(there), 1), "which is there");
    ok(pread_sync(&img, there, sizeof(there), OLD - 4096) == 0 && all_bytes(there, sizeof(there), 1), "as is the other");
    is(img.drv->getlength(&img.bs), err == FAKE_AS_IS ? NEW : OLD + 2 * MiB + 100, "the length");
}

static void busy(const char *volume, int64_t offset, int wanted)
{
    struct io io = {0};
    int rule;

    fresh(volume);
    rule = fake_once(FAKE_PWRITEV_ASYNC, FAKE_HOLD, 0, 0);
    io_pwrite(&io, &img, "x", 1, offset);
    fake_calm(rule);
    expect(0);
    is(grow(NEW, BLK_PREALLOC_FALLOC), wanted, "%s: a write at %lld in flight: %s", volume, (long long)offset,
       error.message);
    fake.release(FAKE_PWRITEV_ASYNC, 0, FAKE_AS_IS);
    is(io_wait(&io), 0, "that write");
    expect(0);
    is(grow(NEW, BLK_PREALLOC_FALLOC), 0, "after it");
}

static void *let_go_later(void *arg)
{
    (void)arg;
    usleep(100 * 1000);
    fake.release(FAKE_FALLOCATE, 0, FAKE_AS_IS);
    return NULL;
}

static void closed(void)
{
    int how = BLK_PREALLOC_FALLOC, rule;
    struct io past = {0};
    pthread_t thread, other;

    fresh("vol");
    rule = fake_once(FAKE_FALLOCATE, FAKE_HOLD, 0, 0);
    expect(0);
    pthread_create(&thread, NULL, grow_there, &how);
    ok(fake.wait_held(1, 10000), "an image grows");
    io_pwrite(&past, &img, "x", 1, OLD + 5);
    pthread_create(&other, NULL, let_go_later, NULL);
    img_close(&img);
    is(joined(thread), -EBADF, "close ends it: %s", error.message);
    pthread_join(other, NULL);
    fake_calm(rule);
    ok(past.done == 1 && past.ret == 0, "... and waits for what waited for it");
    is(fake_length("grow", NULL), OLD + 6, "its length is the old one, and that write's");
    fake_open(&img, "grow", 0);
}

static void *let_go_of_its_size(void *arg)
{
    (void)arg;
    usleep(100 * 1000);
    fake.release(FAKE_FSTAT, 0, FAKE_AS_IS);
    return NULL;
}

/* A growth that still asks for the size is under way, too: close must not let go of the file behind its back. */
static void closed_early(void)
{
    int how = BLK_PREALLOC_FALLOC, rule;
    pthread_t thread, other;
    uint64_t cuts;

    fresh("vol");
    rule = fake_once(FAKE_FSTAT, FAKE_HOLD, 0, 0);
    expect(0);
    pthread_create(&thread, NULL, grow_there, &how);
    ok(fake.wait_held(1, 10000), "a growth asks for the size");
    pthread_create(&other, NULL, let_go_of_its_size, NULL);
    img_close(&img);
    cuts = fake_calls(FAKE_FTRUNCATE);
    is(joined(thread), -EBADF, "close ends it: %s", error.message);
    pthread_join(other, NULL);
    fake_calm(rule);
    is(fake_calls(FAKE_FTRUNCATE), cuts, "... and nothing changes the length after close");
    is(fake_length("grow", NULL), OLD, "its length is the old one");
    fake_open(&img, "grow", 0);
}

static void refused(void)
{
    struct img reader;

    is(grow(-1, BLK_PREALLOC_FULL), -EINVAL, "negative: %s", error.message);
    is(grow((INT64_C(1) << 52) + 1, BLK_PREALLOC_FULL), -EFBIG, "too long: %s", error.message);
    is(grow(NEW, 3), -EINVAL, "unknown: %s", error.message);
    is(grow(NEW, -1), -EINVAL, "unknown: %s", error.message);
    if (img_open(&reader, fake_uri("vol", "grow"), 0, NULL) < 0)
        t_die("cannot open it");
    is(reader.drv->truncate_with_preallocation(&reader.bs, NEW, BLK_PREALLOC_FULL, NULL, NULL, &error), -EBADF,
       "read-only: %s", error.message);
    img_close(&reader);
    is(reader.drv->truncate_with_preallocation(&reader.bs, NEW, BLK_PREALLOC_FULL, NULL, NULL, &error), -EINVAL,
       "no memory behind it: %s", error.message);
}

int main(void)
{
    t_keep_connection = "30";
    fake_begin("preallocation: the new range, or as it was");
    fake_open(&img, "keeper", 0);
    creating();
    failing_create();
    growing("vol");
    growing("sharded-vol");
    no_way_back();
    meanwhile(BLK_PREALLOC_FALLOC, FAKE_FALLOCATE, FAKE_AS_IS);
    meanwhile(BLK_PREALLOC_FULL, FAKE_ZEROFILL, FAKE_AS_IS);
    meanwhile(BLK_PREALLOC_FULL, FAKE_ZEROFILL, ENOSPC);
    busy("vol", OLD + 7, -EBUSY);
    busy("vol", 7, 0);
    busy("sharded-vol", 7, -EBUSY);
    closed();
    closed_early();
    refused();
    img_close(&img);
    /* The last image to go decides how long the connection is kept. */
    t_keep_connection = "0";
    fresh("vol");
    fresh("sharded-vol");
    img_close(&img);
    return fake_end();
}
