/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Several threads submit streams to one image, while the one that polls it sends what waits. */
#include "merging.h"

enum { THREADS = 4, REQUESTS = 400, LENGTH = 60, LARGEST = 32 * 1024 };

static struct img img;
static int called, wrong;

static void count_it(struct io *io)
{
    wrong += io->ret != 0;
    __atomic_add_fetch(&called, 1, __ATOMIC_RELEASE);
}

/* ---- a stream each ------------------------------------------------------------------------------------------------ */

struct submitter {
    pthread_t thread;
    int64_t offset;
    bool writes;
    int refused;
    struct io io[REQUESTS];
    char data[REQUESTS][UNIT];
};

static struct submitter *submitters;
static pthread_barrier_t together;

static void *submit_stream(void *arg)
{
    struct submitter *it = arg;
    int i;

    pthread_barrier_wait(&together);
    for (i = 0; i < REQUESTS; i++) {
        int64_t offset = it->offset + (int64_t)i * UNIT;

        it->io[i].then = count_it;
        if (!(it->writes ? io_pwrite(&it->io[i], &img, it->data[i], UNIT, offset)
                         : io_pread(&it->io[i], &img, it->data[i], UNIT, offset)))
            it->refused++;
    }
    return NULL;
}

static void together_they(bool write, int mode, const char *name)
{
    uint64_t before = fake_counted().submitted, calls;
    int i, refused = 0;
    bool right = true;

    fake.set_mode(mode, 200);
    called = wrong = 0;
    pthread_barrier_init(&together, NULL, THREADS);
    for (i = 0; i < THREADS; i++) {
        struct submitter *it = &submitters[i];

        it->offset = (int64_t)i * REQUESTS * UNIT;
        it->writes = write;
        it->refused = 0;
        if (write)
            pattern_fill(it->data, sizeof(it->data), (uint64_t)mode, it->offset);
        else
            memset(it->data, 0xaa, sizeof(it->data));
        pthread_create(&it->thread, NULL, submit_stream, it);
    }
    ok(wait_for(&called, THREADS * REQUESTS, 60), "%s: %d threads %s a stream each", name, THREADS,
       write ? "write" : "read");
    for (i = 0; i < THREADS; i++) {
        pthread_join(submitters[i].thread, NULL);
        refused += submitters[i].refused;
        right = right && pattern_check(submitters[i].data, sizeof(submitters[i].data), (uint64_t)mode,
                                       submitters[i].offset);
    }
    pthread_barrier_destroy(&together);
    calls = fake_counted().submitted - before;
    ok(!refused && !wrong && right, "... all well, with the right data");
    /* Without a delay a stream may never have to wait. */
    ok(calls < THREADS * REQUESTS + (mode != FAKE_DELAYED), "... with %llu calls", (unsigned long long)calls);
}

/* ---- a thread that overwrites what it has just written, while it still waits ------------------------------------- */

struct rewriter {
    struct io io[LENGTH + 1];
    char data[LENGTH + 1][LARGEST];
    int64_t bytes; /* of a request */
    int wanted;    /* rounds */
};

static struct rewriter rewriter;
static int overtaken, rounds;

static void *rewrite(void *arg)
{
    int64_t bytes = rewriter.bytes;
    int round, i;
    volatile int spin;

    (void)arg;
    for (round = 0; round < rewriter.wanted; round++) {
        int64_t place = (LENGTH - 1 - round % 4) * bytes;

        __atomic_store_n(&called, 0, __ATOMIC_RELEASE);
        for (i = 0; i < LENGTH; i++) {
            memset(rewriter.data[i], 1, (size_t)bytes);
            io_pwrite(&rewriter.io[i], &img, rewriter.data[i], bytes, i * bytes);
        }
        memset(rewriter.data[LENGTH], 2, (size_t)bytes);
        /* So that it comes at each moment of the call that takes the stream away. */
        for (spin = round % 300 * 20; spin > 0; spin--)
            ;
        io_pwrite(&rewriter.io[LENGTH], &img, rewriter.data[LENGTH], bytes, place);
        while (__atomic_load_n(&called, __ATOMIC_ACQUIRE) < LENGTH + 1)
            usleep(10);
        io_pread(&rewriter.io[0], &img, rewriter.data[0], bytes, place);
        while (__atomic_load_n(&called, __ATOMIC_ACQUIRE) < LENGTH + 2)
            usleep(10);
        overtaken += !all_bytes(rewriter.data[0], (size_t)bytes, 2);
        __atomic_add_fetch(&rounds, 1, __ATOMIC_RELEASE);
    }
    return NULL;
}

static void order(int64_t bytes, int wanted, const char *what)
{
    pthread_t thread;
    int i;

    fake.set_mode(FAKE_THREAD, 0);
    for (i = 0; i <= LENGTH; i++)
        rewriter.io[i].then = count_it;
    wrong = overtaken = rounds = 0;
    rewriter.bytes = bytes;
    rewriter.wanted = wanted;
    pthread_create(&thread, NULL, rewrite, NULL);
    ok(wait_for(&rounds, wanted, 60), "%d times a thread writes a stream and then into it: %s", wanted, what);
    pthread_join(thread, NULL);
    is(wrong, 0, "... well");
    is(overtaken, 0, "... and its later write never comes before the earlier one");
}

int main(void)
{
    submitters = calloc(THREADS, sizeof(*submitters));
    if (!submitters)
        return 99;
    fake_begin("streams from several threads");
    fake_open(&img, "merge-threads", (int64_t)THREADS * REQUESTS * UNIT);
    together_they(true, FAKE_THREAD, "thread");
    together_they(false, FAKE_THREAD, "thread");
    together_they(true, FAKE_INLINE, "inline");
    together_they(false, FAKE_INLINE, "inline");
    together_they(true, FAKE_BEFORE_RETURN, "before return");
    together_they(false, FAKE_BEFORE_RETURN, "before return");
    together_they(true, FAKE_DELAYED, "delayed");
    together_they(false, FAKE_DELAYED, "delayed");
    order(UNIT, 3000, "all that waits fits into a call");
    order(LARGEST, 600, "the writing thread sends the calls that it fills");
    img_close(&img);
    free(submitters);
    return fake_end();
}
