/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "volumes.h"

#define BLOCK 4096
#define WORKERS 4

/* ---- many threads submit, one polls -------------------------------------------------------------------------- */

#define EACH 250

struct submitter {
    pthread_t thread;
    struct img *img;
    unsigned number;
    bool reads;
    struct io io[EACH];
    unsigned char memory[EACH][BLOCK];
    int submitted;
};

static void *submit_all(void *arg)
{
    struct submitter *me = arg;
    unsigned i;

    for (i = 0; i < EACH; i++) {
        /* Next to what the other threads touch at the same time. */
        int64_t offset = ((int64_t)i * WORKERS + me->number) * BLOCK;

        if (me->reads)
            memset(me->memory[i], 0xA5, BLOCK);
        else
            pattern_fill(me->memory[i], BLOCK, me->number + 1, offset);
        if (me->reads ? io_pread(&me->io[i], me->img, me->memory[i], BLOCK, offset)
                      : io_pwrite(&me->io[i], me->img, me->memory[i], BLOCK, offset))
            me->submitted++;
    }
    return NULL;
}

static void submitters(const char *volume)
{
    const char *uri = cluster_uri(volume, "threads");
    struct submitter *all = calloc(WORKERS, sizeof(*all));
    struct img img;
    unsigned i, n;
    int pass;

    make_and_open(&img, uri, "0", "on");
    for (pass = 0; pass < 2; pass++) {
        bool good = true;

        for (i = 0; i < WORKERS; i++) {
            all[i].img = &img;
            all[i].number = i;
            all[i].reads = pass == 1;
            all[i].submitted = 0;
            if (pthread_create(&all[i].thread, NULL, submit_all, &all[i]))
                t_die("no thread");
        }
        /* Callbacks come while the others still submit. */
        run_for(0.005);
        for (i = 0; i < WORKERS; i++) {
            pthread_join(all[i].thread, NULL);
            good = good && all[i].submitted == EACH;
        }
        ok(good, "%s: %d threads submit %d %s each", volume, WORKERS, EACH, pass ? "reads" : "writes");
        for (i = 0; i < WORKERS; i++)
            for (n = 0; n < EACH; n++)
                good = io_wait(&all[i].io[n]) == 0 && all[i].io[n].done == 1 && good;
        ok(good, "%s: each of them is called back once, on the polling thread", volume);
        for (i = 0; i < WORKERS && pass; i++)
            for (n = 0; n < EACH; n++)
                good = pattern_check(all[i].memory[n], BLOCK, i + 1, ((int64_t)n * WORKERS + i) * BLOCK) && good;
        ok(good, "%s: with the right data", volume);
    }
    img_close(&img);
    free(all);
    empty_image(uri);
}

/* ---- many images --------------------------------------------------------------------------------------------- */

#define IMAGES 8

/* The first thing that the program does: what an earlier connection leaves for ten seconds would be counted, too. */
static void one_connection(const char *volume)
{
    struct img img[IMAGES];
    int threads = 0, fds = 0;
    unsigned i;
    char path[32];

    for (i = 0; i < IMAGES; i++) {
        snprintf(path, sizeof(path), "threads-%u", i);
        make_elsewhere(volume, path);
    }
    for (i = 0; i < IMAGES; i++) {
        const char *uri = cluster_uri(volume, "threads-%u", i);

        if (!is(open_to_count(&img[i], uri, BLK_O_RDWR, "on"), 0, "%s: open image %u", volume, i))
            t_die("cannot go on");
        /* Threads that libgfapi starts late are there then. */
        ok(write_pattern(&img[i], MiB, 0, i) && flush_sync(&img[i]) == 0, "%s: use it", volume);
        if (i == 0) {
            threads = thread_count();
            fds = fd_count();
        }
    }
    is(thread_count(), threads, "%s: as many threads for %d images as for one", volume, IMAGES);
    is(fd_count(), fds + IMAGES - 1, "%s: one more fd for each", volume);
    for (i = 0; i < IMAGES; i++)
        ok(has_pattern(&img[i], MiB, 0, i), "%s: image %u has its own data", volume, i);
    for (i = 0; i < IMAGES; i++) {
        img_close(&img[i]);
        /* The first one that goes does not take the connection with it. */
        if (i + 1 < IMAGES && !has_pattern(&img[i + 1], 4096, 0, i + 1))
            fail("%s: image %u after image %u has closed", volume, i + 1, i);
        empty_image(cluster_uri(volume, "threads-%u", i));
    }
}

static void several_volumes(void)
{
    enum { ROUNDS = 20, OPEN = 8 };
    struct io io[OPEN][ROUNDS];
    struct img img[OPEN];
    unsigned char *memory = t_alloc(OPEN * ROUNDS * BLOCK);
    bool good = true;
    unsigned i, n;

    memset(io, 0, sizeof(io));
    for (i = 0; i < OPEN; i++)
        make_and_open(&img[i], cluster_uri(volumes[i % 4], "threads-mixed-%u", i), "0", i < 4 ? "on" : "off");
    for (n = 0; n < ROUNDS; n++)
        for (i = 0; i < OPEN; i++) {
            unsigned char *block = memory + (n * OPEN + i) * BLOCK;

            pattern_fill(block, BLOCK, i, n * BLOCK);
            io_pwrite(&io[i][n], &img[i], block, BLOCK, n * BLOCK);
        }
    for (i = 0; i < OPEN; i++)
        for (n = 0; n < ROUNDS; n++)
            good = io_wait(&io[i][n]) == 0 && good;
    ok(good, "writes to %d images on four volumes, all in flight together", OPEN);
    for (i = 0; i < OPEN; i++)
        good = has_pattern(&img[i], ROUNDS * BLOCK, 0, i) && good;
    ok(good, "each has its own data");
    for (i = 0; i < OPEN; i++) {
        img_close(&img[i]);
        empty_image(cluster_uri(volumes[i % 4], "threads-mixed-%u", i));
    }
    free(memory);
}

/* ---- a poll loop per thread ---------------------------------------------------------------------------------- */

static void *own_loop(void *arg)
{
    unsigned number = (unsigned)(uintptr_t)arg, round;
    const char *uri = cluster_uri(volumes[number % 4], "threads-loop-%u", number);
    bool good = true;
    char copy[1024];

    snprintf(copy, sizeof(copy), "%s", uri);
    for (round = 0; round < 3 && good; round++) {
        struct img img;

        good = img_create(copy, "1M", NULL) == 0 && img_open(&img, copy, BLK_O_RDWR, NULL) == 0;
        if (!good)
            break;
        good = write_pattern(&img, 300000, 77, number + round) && flush_sync(&img) == 0 &&
               has_pattern(&img, 300000, 77, number + round);
        img_close(&img);
    }
    return (void *)(uintptr_t)good;
}

static void own_loops(void)
{
    enum { THREADS = 6 };
    pthread_t threads[THREADS];
    bool good = true;
    unsigned i;

    for (i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, own_loop, (void *)(uintptr_t)i))
            t_die("no thread");
    for (i = 0; i < THREADS; i++) {
        void *result;

        pthread_join(threads[i], &result);
        good = good && result;
    }
    ok(good, "%d threads create, open, write, read and close images of their own, each with its own poll loop", THREADS);
    for (i = 0; i < THREADS; i++)
        empty_image(cluster_uri(volumes[i % 4], "threads-loop-%u", i));
}

/* ---- a poll loop inside a callback --------------------------------------------------------------------------- */

struct nested {
    struct io inner, many[32];
    unsigned char block[BLOCK], blocks[32][BLOCK];
    int depth;
    bool good;
};

/* Every level waits for a read of its own in a nested loop, and other callbacks run meanwhile. */
static void nest(struct io *io)
{
    struct nested *n = io->arg;
    unsigned char block[BLOCK];
    struct io mine = {0};

    if (++n->depth < 5) {
        memset(&n->many[n->depth], 0, sizeof(n->many[0]));
        n->many[n->depth].then = nest;
        n->many[n->depth].arg = n;
        io_pread(&n->many[n->depth], io->img, n->blocks[n->depth], BLOCK, n->depth * BLOCK);
    }
    io_pread(&mine, io->img, block, BLOCK, 0);
    n->good = io_wait(&mine) == 0 && pattern_check(block, BLOCK, 1, 0) && n->good;
    if (mine.acb && !mine.done)
        t_die("a read inside a callback does not end");
}

static void nested(const char *volume)
{
    const char *uri = cluster_uri(volume, "threads-nested");
    struct nested *n = calloc(1, sizeof(*n));
    struct img img;

    make_and_open(&img, uri, "1M", "on");
    ok(write_pattern(&img, 32 * BLOCK, 0, 1), "%s: fill an image", volume);
    n->good = true;
    n->inner.then = nest;
    n->inner.arg = n;
    io_pread(&n->inner, &img, n->block, BLOCK, 0);
    is(io_wait(&n->inner), 0, "%s: a read, whose callback polls", volume);
    ok(wait_for(&n->depth, 5, 10), "%s: callbacks inside of callbacks", volume);
    ok(n->good, "%s: each could wait for a read of its own", volume);
    img_close(&img);
    free(n);
    empty_image(uri);
}

int main(void)
{
    t_begin("requests come from any thread and end on the image's own; images share what they can and mix up nothing");
    load_for_volumes();
    one_connection("rep3");
    for EACH_VOLUME (volume) {
        submitters(*volume);
        nested(*volume);
    }
    several_volumes();
    own_loops();
    return end_for_volumes();
}
