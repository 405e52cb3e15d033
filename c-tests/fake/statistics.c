/* SPDX-License-Identifier: GPL-2.0-or-later */
/* get_statistics and format_statistics tell what the image has done, each request once, while it goes on doing it. */
#include "merging.h"

#include <stddef.h>

static struct img img;
static struct BlkError error;

static struct BlkStatistics statistics_of(struct img *of)
{
    struct BlkStatistics statistics = {.struct_size = sizeof(statistics)};

    error.struct_size = sizeof(error);
    if (of->drv->get_statistics(&of->bs, &statistics, &error) != 0)
        fail("get_statistics: %s", error.message);
    return statistics;
}

static uint64_t sum(const uint64_t *numbers, unsigned count)
{
    uint64_t total = 0;

    while (count > 0)
        total += numbers[--count];
    return total;
}

static uint64_t ended(const struct BlkOperations *of)
{
    return of->succeeded + sum(of->failed, BLK_FAILED_CLASSES);
}

static void start(void)
{
    if (img_open(&img, fake_uri("vol", "statistics"), BLK_O_RDWR, NULL) < 0)
        t_die("cannot open it again: %s", img.error.message);
}

static void again(void)
{
    img_close(&img);
    start();
}

/* ---- what is counted ---------------------------------------------------------------------------------------------- */

static void nothing_yet(void)
{
    struct BlkStatistics now = statistics_of(&img);
    static const char zero[sizeof(now)];

    is(now.struct_size, sizeof(now), "struct_size is left alone");
    ok(now.open_ns > 0 && now.open_ns < 100 * UINT64_C(1000000000), "it is open for %llu ns", (unsigned long long)now.open_ns);
    ok(!memcmp(&now.read, zero, sizeof(now) - offsetof(struct BlkStatistics, read)), "nothing else has happened yet");
}

static void each_kind(void)
{
    struct BlkStatistics now;
    char data[3 * UNIT] = {0};
    unsigned i;

    is(pwrite_sync(&img, data, UNIT, 0) | pwrite_sync(&img, data, 100, 3 * UNIT), 0, "two writes");
    is(pread_sync(&img, data, 3 * UNIT, 0), 0, "a read");
    is(flush_sync(&img) | flush_sync(&img) | flush_sync(&img), 0, "three flushes");
    is(discard_sync(&img, UNIT, 0), 0, "a discard");
    is(zeroes_sync(&img, 2 * UNIT, 0, 0), 0, "a write of zeroes");
    now = statistics_of(&img);
    {
        const struct {
            const char *name;
            const struct BlkOperations *got;
            uint64_t requests, bytes;
        } kinds[] = {{"write", &now.write, 2, UNIT + 100}, {"read", &now.read, 1, 3 * UNIT}, {"flush", &now.flush, 3, 0},
                     {"discard", &now.discard, 1, UNIT},   {"zeroes", &now.write_zeroes, 1, 2 * UNIT},
                     {"copy", &now.copy, 0, 0}};

        for (i = 0; i < T_COUNT(kinds); i++) {
            const struct BlkOperations *got = kinds[i].got;

            is(got->submitted, kinds[i].requests, "%s: requests", kinds[i].name);
            is(got->succeeded, kinds[i].requests, "... that succeeded");
            is(got->bytes, kinds[i].bytes, "... bytes");
            is(sum(got->failed, BLK_FAILED_CLASSES), 0, "... that failed");
            is(sum(got->latency.buckets, BLK_LATENCY_BUCKETS), kinds[i].requests, "... in the histogram");
            ok((got->latency.longest_ns > 0) == (kinds[i].requests > 0) && got->latency.total_ns >= got->latency.longest_ns,
               "... took their time");
        }
    }
    is(now.fsyncs, 3, "fsyncs");
    is(now.most_in_flight, 1, "one at a time");
    is(now.in_flight, 0, "none now");
}

static void failures(void)
{
    static const struct {
        int err;
        unsigned class;
    } errors[] = {{ENOTCONN, BLK_FAILED_ENOTCONN}, {EBADFD, BLK_FAILED_EBADFD}, {EIO, BLK_FAILED_EIO},
                  {ENOSPC, BLK_FAILED_ENOSPC},     {EDQUOT, BLK_FAILED_ENOSPC}, {EPERM, BLK_FAILED_OTHER},
                  {0, BLK_FAILED_EIO}};
    struct BlkStatistics before, now;
    char data[UNIT] = {0};
    unsigned i, lost = 0;

    for (i = 0; i < T_COUNT(errors); i++) {
        /* A read that lost its brick is sent again, once. */
        struct fake_rule reads = {FAKE_PREADV_ASYNC, FAKE_FAIL, errors[i].err, 0, 0, 1, 1, NULL};

        if (errors[i].err == ENOTCONN || errors[i].err == EBADFD) {
            reads.times = 2;
            lost++;
        }
        before = statistics_of(&img);
        fake.add_rule(&reads);
        pread_sync(&img, data, UNIT, 0);
        fake_once(FAKE_PWRITEV_ASYNC, FAKE_REFUSE, errors[i].err, 0);
        pwrite_sync(&img, data, UNIT, 0);
        fake_once(FAKE_FSYNC, FAKE_FAIL, errors[i].err, 0);
        flush_sync(&img);
        now = statistics_of(&img);
        is(now.read.failed[errors[i].class] - before.read.failed[errors[i].class], 1, "a read that fails with %d",
           errors[i].err);
        is(now.write.failed[errors[i].class] - before.write.failed[errors[i].class], 1, "... a write");
        is(now.flush.failed[errors[i].class] - before.flush.failed[errors[i].class], 1, "... a flush");
        is(ended(&now.read), ended(&before.read) + 1, "... and no other class");
    }
    is(now.read_retries, lost, "reads that were sent again");
    is(now.read.bytes, before.read.bytes, "what fails adds no bytes");
    is(now.read.succeeded, before.read.succeeded, "... and no success");
    is(now.read.latency.total_ns, before.read.latency.total_ns, "... and is not in the histogram");
    ok(!io_pread(&(struct io){0}, &img, data, UNIT, -1) && !io_pread(&(struct io){0}, &img, data, UNIT, INT64_MAX),
       "two reads are refused");
    now = statistics_of(&img);
    is(now.refused, 2, "... which is counted");
    is(now.read.submitted, ended(&now.read), "... apart from those that were accepted");
}

static uint64_t in_callback;

static void ask(struct io *io)
{
    in_callback = statistics_of(io->img).in_flight;
}

static void in_flight(void)
{
    static struct io io[5];
    static char data[5][UNIT];
    struct BlkStatistics now;
    int i;

    fake.set_mode(FAKE_HELD, 0);
    for (i = 0; i < 5; i++) {
        io[i].then = ask;
        io_pread(&io[i], &img, data[i], UNIT, 2 * i * UNIT);
    }
    now = statistics_of(&img);
    is(now.in_flight, 5, "five reads in flight");
    is(now.most_in_flight, 5, "... are the most");
    fake.release(FAKE_ANY_ASYNC, 1, FAKE_AS_IS);
    wait_for(&io[0].done, 1, 30);
    is(in_callback, 4, "inside the callback of one, the others are");
    fake.release(FAKE_ANY_ASYNC, 0, FAKE_AS_IS);
    for (i = 0; i < 5; i++)
        io_wait(&io[i]);
    now = statistics_of(&img);
    is(now.in_flight, 0, "none in the end");
    is(now.most_in_flight, 5, "... the most stays");
    fake.set_mode(FAKE_THREAD, 0);
}

/* Eight writes in one call, which fails when it shall. */
static void merged(bool fails)
{
    static struct batch batch;
    struct BlkStatistics before = statistics_of(&img), now;

    if (fails)
        fake_once(FAKE_PWRITEV_ASYNC, FAKE_FAIL, EIO, 0);
    img.drv->io_plug(&img.bs);
    batch_write(&batch, &img, 0, 8, 1);
    img.drv->io_unplug(&img.bs);
    ok(batch_wait(&batch) && batch_all_right(&batch), "eight writes that lie side by side");
    now = statistics_of(&img);
    is(now.merged_calls - before.merged_calls, 1, "... share a call");
    is(now.merged_requests - before.merged_requests, 8, "... all of them");
    is(now.unmerged_requests - before.unmerged_requests, fails ? 8 : 0, "... and are sent alone when it fails");
    is(now.write.succeeded - before.write.succeeded, 8, "... and count once each");
    is(now.write.bytes - before.write.bytes, 8 * UNIT, "... with their bytes");
}

static void cut_and_short(void)
{
    int64_t bytes = 33 * MiB;
    char *data = t_alloc((size_t)bytes);
    struct BlkStatistics before = statistics_of(&img), now;

    is(pread_sync(&img, data, bytes, 0), 0, "a read of 33 MiB");
    now = statistics_of(&img);
    is(now.split_requests - before.split_requests, 1, "... is cut");
    is(now.split_calls - before.split_calls, 3, "... into three calls");
    is(now.short_reads, before.short_reads, "... none of which is short");
    fake_once(FAKE_PREADV_ASYNC, FAKE_SHORT, 0, 100);
    is(pread_sync(&img, data, UNIT, 0), 0, "a short read");
    before = now;
    now = statistics_of(&img);
    is(now.short_reads - before.short_reads, 1, "... is sent on");
    is(now.split_requests, before.split_requests, "... and not cut");
    free(data);
}

static void cancelled(void)
{
    static struct io held, waits;
    char data[UNIT] = {0}, more[UNIT] = {0};

    img.drv->io_plug(&img.bs);
    io_pwrite(&held, &img, data, UNIT, 0);
    io_pwrite(&waits, &img, more, UNIT, 5 * UNIT);
    img.drv->aio_cancel(waits.acb);
    is(waits.ret, -ECANCELED, "a write that waits is cancelled");
    img.drv->io_unplug(&img.bs);
    is(io_wait(&held), 0, "... the other is not");
    is(statistics_of(&img).write.failed[BLK_FAILED_ECANCELED], 1, "... which is counted");
}

/* Flushes that share an fsync. */
static void shared_fsyncs(void)
{
    static struct io io[4];
    struct BlkStatistics before = statistics_of(&img), now;
    int i, rule = fake_always(FAKE_FSYNC, FAKE_HOLD, 0, 0);

    io_flush(&io[0], &img);
    ok(fake.wait_held(1, 30000), "an fsync is under way");
    for (i = 1; i < 4; i++)
        io_flush(&io[i], &img);
    fake_calm(rule);
    fake.release(FAKE_FSYNC, 0, FAKE_AS_IS);
    for (i = 0; i < 4; i++)
        is(io_wait(&io[i]), 0, "flush %d", i);
    now = statistics_of(&img);
    is(now.flush.succeeded - before.flush.succeeded, 4, "four flushes");
    is(now.fsyncs - before.fsyncs, 2, "... are two fsyncs");
}

static void latency(void)
{
    enum { DELAY_US = 40000 };
    const struct BlkLatency *latency;
    struct BlkStatistics now;
    char data[UNIT];
    unsigned i;

    fake.set_mode(FAKE_DELAYED, DELAY_US);
    is(pread_sync(&img, data, UNIT, 0), 0, "a read that takes 40 ms");
    fake.set_mode(FAKE_THREAD, 0);
    now = statistics_of(&img);
    latency = &now.read.latency;
    ok(latency->longest_ns >= DELAY_US * 1000 && latency->longest_ns < now.open_ns, "... took %llu ns",
       (unsigned long long)latency->longest_ns);
    is(latency->total_ns, latency->longest_ns, "... which is all");
    for (i = 0; i < BLK_LATENCY_BUCKETS - 1 && !latency->buckets[i]; i++)
        ;
    ok(i >= 16, "... at least 2^15 us: bucket %u", i);
    ok(latency->longest_ns <= UINT64_C(1000) << i && latency->longest_ns > UINT64_C(1000) << (i - 1),
       "... which is the one with its bounds");
}

enum { QUICK = 40, SLOW = 30 };

static struct io quick[QUICK], late;

static void quick_but_one(struct io *io)
{
    static char data[UNIT];

    if (io != &quick[SLOW])
        return;
    usleep(1200 * 1000);
    io_pwrite(&late, io->img, data, UNIT, 0);
}

/* What a callback submits when it has slept has not waited for as long as it slept: the clock is not read for each of
 * many quick callbacks. */
static void a_slow_callback(void)
{
    static char data[QUICK][UNIT];
    struct BlkStatistics now;
    int i;

    fake.set_mode(FAKE_INLINE, 0);
    for (i = 0; i < QUICK; i++) {
        quick[i].then = quick_but_one;
        io_pread(&quick[i], &img, data[i], UNIT, (int64_t)(i * 37 % 101) * 2 * UNIT);
    }
    ok(wait_for(&quick[SLOW].done, 1, 30), "many reads are done, with a slow callback among them");
    is(io_wait(&late), 0, "... that has written at its end");
    for (i = 0; i < QUICK; i++)
        is(io_wait(&quick[i]), 0, "read %d", i);
    now = statistics_of(&img);
    is(now.write.succeeded, 1, "the write");
    ok(now.write.latency.longest_ns < 1000 * 1000000, "... took %llu ns, which is less than the callback",
       (unsigned long long)now.write.latency.longest_ns);
    fake.set_mode(FAKE_THREAD, 0);
}

/* ---- as text -------------------------------------------------------------------------------------------------------- */

static int format(struct img *of, int how, char *buffer, size_t size)
{
    memset(&error, 0, sizeof(error));
    error.struct_size = sizeof(error);
    return of->drv->format_statistics(&of->bs, how, buffer, size, &error);
}

static void save(struct img *of, int how, const char *path)
{
    int length = format(of, how, NULL, 0);
    char *text = t_alloc((size_t)length + 1000);
    FILE *file = fopen(path, "w");

    length = format(of, how, text, (size_t)length + 1000);
    is(length, strlen(text), "the whole of it");
    if (!file || fwrite(text, 1, (size_t)length, file) != (size_t)length || fclose(file))
        t_die("cannot write %s", path);
    free(text);
}

static void formats(void)
{
    char directory[] = "/tmp/blkg-statistics-XXXXXX", json[64], page[64], command[512], part[10];
    char *text = t_alloc(65536);
    int length;

    if (!mkdtemp(directory))
        t_die("no directory in /tmp");
    snprintf(json, sizeof(json), "%s/json", directory);
    snprintf(page, sizeof(page), "%s/page", directory);
    save(&img, BLK_STATISTICS_JSON, json);
    save(&img, BLK_STATISTICS_PROMETHEUS, page);
    snprintf(command, sizeof(command), "env -u LD_LIBRARY_PATH %s %s %s '%s' >&2", CHECK_FORMATS, json, page,
             fake_uri("vol", "statistics"));
    is(system(command), 0, "JSON and Prometheus' text are valid and agree");
    unlink(json);
    unlink(page);
    rmdir(directory);

    length = format(&img, BLK_STATISTICS_TEXT, text, 65536);
    is(length, strlen(text), "text for a person");
    ok(strstr(text, fake_uri("vol", "statistics")) && strstr(text, "read: ") && strstr(text, "in flight: 0"), "... is it: %s",
       text);
    memset(part, 'x', sizeof(part));
    ok(format(&img, BLK_STATISTICS_TEXT, part, 6) >= length - 9 && !strcmp(part, "image") && part[6] == 'x',
       "cut to fit, with a NUL, and not a byte more");
    ok(format(&img, BLK_STATISTICS_TEXT, part, 1) > 0 && part[0] == '\0' && part[1] == 'm', "room for the NUL only");
    is(format(&img, 3, text, 65536), -EINVAL, "an unknown format: %s", error.message);
    is(format(&img, -1, text, 65536), -EINVAL, "another: %s", error.message);
    is(format(&img, BLK_STATISTICS_TEXT, NULL, 1), -EINVAL, "no buffer: %s", error.message);
    free(text);
}

/* ---- from other threads ------------------------------------------------------------------------------------------- */

enum { DEPTH = 16 };

static int many_reads, left, over;
static bool reading;
static unsigned looks, wrong;

static void *look(void *arg)
{
    struct BlkStatistics before = {0}, now;

    (void)arg;
    while (__atomic_load_n(&reading, __ATOMIC_ACQUIRE)) {
        memset(&now, 0, sizeof(now));
        now.struct_size = sizeof(now);
        wrong += img.drv->get_statistics(&img.bs, &now, NULL) != 0;
        wrong += now.read.submitted < ended(&now.read) || now.in_flight > (uint64_t)many_reads;
        wrong += now.read.submitted < before.read.submitted || now.read.bytes < before.read.bytes ||
                 now.read.succeeded < before.read.succeeded || now.most_in_flight > DEPTH;
        wrong += img.drv->format_statistics(&img.bs, BLK_STATISTICS_PROMETHEUS, NULL, 0, NULL) <= 0;
        before = now;
        looks++;
    }
    return NULL;
}

static void next(struct io *io)
{
    static char data[UNIT];

    over++;
    if (left > 0) {
        left--;
        io_pread(io, &img, data, UNIT, (int64_t)(left * 37 % 1000) * 2 * UNIT);
    }
}

static void while_it_runs(void)
{
    static struct io io[DEPTH];
    struct BlkStatistics now;
    pthread_t thread;
    int i;

    fake.set_storage(0);
    many_reads = t_time_factor() > 1 ? 1000 : 10000;
    reading = true;
    left = many_reads;
    over = -DEPTH;
    if (pthread_create(&thread, NULL, look, NULL))
        t_die("no thread");
    for (i = 0; i < DEPTH; i++) {
        io[i].then = next;
        next(&io[i]);
    }
    ok(wait_for(&over, many_reads, 60), "%d reads", many_reads);
    __atomic_store_n(&reading, false, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    ok(looks > 0 && wrong == 0, "another thread has looked %u times meanwhile, %u wrong", looks, wrong);
    now = statistics_of(&img);
    is(now.read.succeeded, many_reads, "none is missing");
    is(now.read.bytes, (uint64_t)many_reads * UNIT, "... nor a byte");
    is(now.most_in_flight, DEPTH, "... and so many were in flight");
    fake.set_storage(1);
}

/* ---- refused ------------------------------------------------------------------------------------------------------ */

static void refused(void)
{
    struct {
        struct BlkStatistics statistics;
        uint64_t more;
    } larger = {{.struct_size = sizeof(larger)}, 77};
    struct BlkState closed = {.struct_size = sizeof(closed)};
    char data[UNIT], memory[64] = {0};
    struct img off;

    is(img.drv->get_statistics(&img.bs, NULL, &error), -EINVAL, "NULL: %s", error.message);
    larger.statistics.struct_size = sizeof(struct BlkStatistics) - 1;
    is(img.drv->get_statistics(&img.bs, &larger.statistics, &error), -EINVAL, "a short struct: %s", error.message);
    larger.statistics.struct_size = sizeof(larger);
    is(img.drv->get_statistics(&img.bs, &larger.statistics, &error), 0, "a larger one");
    is(larger.more, 77, "... is filled as far as the library knows it");
    closed.opaque = memory;
    is(img.drv->get_statistics(&closed, &larger.statistics, &error), -EBADF, "not open: %s", error.message);
    is(img.drv->format_statistics(&closed, BLK_STATISTICS_JSON, data, sizeof(data), &error), -EBADF, "not open: %s",
       error.message);

    is(img_open(&off, fake_uri("vol", "statistics"), 0, "statistics", "off", NULL), 0, "statistics=off");
    is(pread_sync(&off, data, UNIT, 0), 0, "... works");
    is(off.drv->get_statistics(&off.bs, &larger.statistics, &error), -EOPNOTSUPP, "... has none: %s", error.message);
    is(format(&off, BLK_STATISTICS_TEXT, data, sizeof(data)), -EOPNOTSUPP, "... in no format: %s", error.message);
    img_close(&off);
    is(img_open(&off, fake_uri("vol", "statistics"), 0, "statistics", "maybe", NULL), -EINVAL, "statistics=maybe: %s",
       off.error.message);
    is(img_open(&off, fake_uri("vol", "statistics"), 0, "statistics", "on", NULL), 0, "statistics=on");
    is(statistics_of(&off).read.submitted, 0, "... has its own");
    img_close(&off);
}

int main(void)
{
    fake_begin("statistics: every request counts once, and anybody may ask at any time");
    fake_open(&img, "statistics", 64 * MiB);
    nothing_yet();
    each_kind();
    again();
    nothing_yet();
    shared_fsyncs();
    failures();
    in_flight();
    merged(false);
    merged(true);
    cut_and_short();
    cancelled();
    formats();
    again();
    latency();
    again();
    a_slow_callback();
    again();
    while_it_runs();
    formats();
    refused();
    img_close(&img);
    return fake_end();
}
