/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Several threads submit to one image at once; one thread gets all callbacks. */
#include "on_fake.h"

enum { THREADS = 4, ROUNDS = 60, BATCH = 16, BYTES = 1024 };

struct slot {
    struct io io;
    unsigned char data[BYTES];
};

struct submitter {
    pthread_t thread;
    int number, accepted;
    struct slot slots[BATCH];
    int finished; /* callbacks of this batch, counted by the polling thread */
};

static struct img img;
static struct submitter submitters[THREADS];
static int total, wrong, stopped;

static void count_it(struct io *io)
{
    struct submitter *it = io->arg;

    __atomic_add_fetch(&wrong, io->ret != 0, __ATOMIC_RELAXED);
    __atomic_add_fetch(&total, 1, __ATOMIC_RELAXED);
    /* From here on the submitter may use the slot again. */
    __atomic_add_fetch(&it->finished, 1, __ATOMIC_RELEASE);
}

static int64_t place(const struct submitter *it, int slot)
{
    return ((int64_t)it->number * BATCH + slot) * BYTES;
}

static bool batch(struct submitter *it, bool write, uint64_t seed)
{
    int i;

    __atomic_store_n(&it->finished, 0, __ATOMIC_RELAXED);
    for (i = 0; i < BATCH; i++) {
        struct slot *slot = &it->slots[i];

        slot->io.then = count_it;
        slot->io.arg = it;
        if (write)
            pattern_fill(slot->data, BYTES, seed, place(it, i));
        else
            memset(slot->data, 0xaa, BYTES);
        it->accepted += write ? io_pwrite(&slot->io, &img, slot->data, BYTES, place(it, i))
                              : io_pread(&slot->io, &img, slot->data, BYTES, place(it, i));
    }
    while (__atomic_load_n(&it->finished, __ATOMIC_ACQUIRE) < BATCH)
        usleep(20);
    for (i = 0; i < BATCH && !write; i++)
        if (!pattern_check(it->slots[i].data, BYTES, seed, place(it, i)))
            return false;
    return true;
}

static void *submit(void *arg)
{
    struct submitter *it = arg;
    bool good = true;
    int round;

    for (round = 0; round < ROUNDS; round++)
        good &= batch(it, true, (uint64_t)round) && batch(it, false, (uint64_t)round);
    ok(good, "thread %d read what it wrote, in every round", it->number);
    is(it->accepted, ROUNDS * BATCH * 2, "all its requests were accepted");
    __atomic_add_fetch(&stopped, 1, __ATOMIC_RELEASE);
    return NULL;
}

static void run(int mode, const char *name)
{
    int i;

    fake.set_mode(mode, 200);
    memset(submitters, 0, sizeof(submitters));
    total = wrong = stopped = 0;
    for (i = 0; i < THREADS; i++) {
        submitters[i].number = i;
        pthread_create(&submitters[i].thread, NULL, submit, &submitters[i]);
    }
    ok(wait_for(&stopped, THREADS, 60), "%s: %d threads submit", name, THREADS);
    for (i = 0; i < THREADS; i++)
        pthread_join(submitters[i].thread, NULL);
    is(total, THREADS * ROUNDS * BATCH * 2, "... one callback for each request");
    is(wrong, 0, "... all succeeded");
}

int main(void)
{
    fake_begin("several threads submit, one gets the callbacks");
    fake_open(&img, "submitters", 0);
    run(FAKE_THREAD, "on another thread");
    run(FAKE_INLINE, "on the submitting thread");
    run(FAKE_BEFORE_RETURN, "before the submit returns");
    run(FAKE_DELAYED, "later");
    is(fake_counted().io_without_fs_id, 0, "each thread has told libgfapi whom it works for");
    img_close(&img);
    return fake_end();
}
