/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Locks that fail at each step, are shared, given up and taken again, under requests of several threads. */
#include "on_fake.h"

enum { BYTES = 4096, MANY = 32 };

static struct img img;
static char data[BYTES];

static int open_as(struct img *it, const char *volume, uint32_t flags, const char *locking, const char *share_rw)
{
    return img_open(it, fake_uri(volume, "locking"), flags, "locking", locking, "share-rw", share_rw, NULL);
}

/* Whether another one may write, which it must not while `img` has its lock. */
static int second_writer(const char *volume)
{
    struct img other;
    int ret = open_as(&other, volume, BLK_O_RDWR, "on", "off");

    img_close(&other);
    return ret;
}

static void take(const char *volume)
{
    if (!is(open_as(&img, volume, BLK_O_RDWR, "on", "off"), 0, "%s: a writer", volume))
        t_die("%s", img.error.message);
}

static int give_up(void)
{
    return img.drv->lock_release(&img.bs, &img.error);
}

static int take_again(void)
{
    return img.drv->lock_acquire(&img.bs, &img.error);
}

/* ---- open -------------------------------------------------------------------------------------------------------- */

static void options(void)
{
    static const struct {
        const char *locking, *share_rw, *text;
    } bad[] = {
        {"maybe", "off", "locking takes"}, {"", "off", "locking takes"},     {"On", "off", "locking takes"},
        {"on", "yes", "share-rw takes"},   {"off", "on", "needs locking=on"},
    };
    struct img other;
    const char *seen;
    unsigned i;

    for (i = 0; i < T_COUNT(bad); i++) {
        is(open_as(&img, "vol", BLK_O_RDWR, bad[i].locking, bad[i].share_rw), -EINVAL, "locking=%s, share-rw=%s",
           bad[i].locking, bad[i].share_rw);
        ok(strstr(img.error.message, bad[i].text) != NULL, "... %s", img.error.message);
        img_close(&img);
    }
    is(img_open(&img, fake_uri("vol", "locking"), BLK_O_RDWR, NULL), 0, "by default");
    is(img_open(&other, fake_uri("vol", "locking"), BLK_O_RDWR, NULL), 0, "... there may be two");
    is(fake_calls(FAKE_POSIX_LOCK) + fake_calls(FAKE_FD_SET_LKOWNER), 0, "... and no lock");
    ok(!fake.effective_option("vol", "vol-client-0", "strict-locks"), "... which a brick could forget");
    is(give_up(), -EOPNOTSUPP, "... or that could be given up: %s", img.error.message);
    is(take_again(), -EOPNOTSUPP, "... or taken");
    img_close(&img);
    img_close(&other);
    ok(fake_disconnected(20), "another connection");
    take("vol");
    seen = fake.effective_option("vol", "vol-client-0", "strict-locks");
    ok(seen && !strcmp(seen, "on"), "a brick that forgets the lock does not serve the file");
    img_close(&img);
}

static void fits(void)
{
    static const struct as {
        const char *name, *share_rw;
        uint32_t flags;
    } as[] = {
        {"writer", "off", BLK_O_RDWR}, {"writer, share-rw", "on", BLK_O_RDWR}, {"reader", "off", 0},
        {"reader, share-rw", "on", 0},
    };
    static const bool fit[4][4] = {{0, 0, 0, 1}, {0, 1, 0, 1}, {0, 0, 1, 1}, {1, 1, 1, 1}};
    struct img other;
    unsigned i, k;

    for (i = 0; i < 4; i++)
        for (k = 0; k < 4; k++) {
            is(open_as(&img, "vol", as[i].flags, "on", as[i].share_rw), 0, "a %s", as[i].name);
            is(open_as(&other, "vol", as[k].flags, "auto", as[k].share_rw), fit[i][k] ? 0 : -EBUSY,
               "... and a %s on its connection", as[k].name);
            img_close(&other);
            img_close(&img);
        }
}

static void each_step_fails(void)
{
    static const int errors[] = {ENOTCONN, EIO, EBADFD, ENOSYS, EOPNOTSUPP, 0};
    struct fake_rule rule = {.op = FAKE_POSIX_LOCK, .action = FAKE_FAIL, .times = 1};
    unsigned i, step;

    fake_once(FAKE_FD_SET_LKOWNER, FAKE_FAIL, ENOMEM, 0);
    is(second_writer("vol"), -ENOMEM, "no lock owner");
    for (i = 0; i < T_COUNT(errors); i++)
        for (step = 1; step <= 2; step++) {
            int id;

            rule.err = errors[i];
            rule.nth = step;
            id = fake.add_rule(&rule);
            is(open_as(&img, "vol", BLK_O_RDWR, "on", "off"), -(errors[i] ? errors[i] : EIO),
               "lock %u fails with errno %d", step, errors[i]);
            is(img.error.stage, BLK_STAGE_OPEN, "... %s", img.error.message);
            img_close(&img);
            is(second_writer("vol"), 0, "... and leaves none behind");
            fake_calm(id);
        }
    is(fake_counted().open_fds, 0, "no file is left open");
}

static void volumes_without_locks(void)
{
    int rule = fake_always(FAKE_POSIX_LOCK, FAKE_FAIL, ENOSYS, 0);

    t_forget_reports();
    is(open_as(&img, "vol", BLK_O_RDWR, "auto", "off"), 0, "locking=auto on a volume without locks");
    ok(t_reports() == 1 && t_reports_of(BLK_REPORT_INFO) == 1, "... says so once, without alarm: %s", last_report());
    is(pwrite_sync(&img, data, BYTES, 0), 0, "... works");
    is(give_up(), -EOPNOTSUPP, "... and has none to give up");
    img_close(&img);
    fake_calm(rule);
    rule = fake_always(FAKE_POSIX_LOCK, FAKE_FAIL, ENOTCONN, 0);
    is(open_as(&img, "vol", BLK_O_RDWR, "auto", "off"), -ENOTCONN, "locking=auto where the volume cannot answer");
    img_close(&img);
    fake_calm(rule);
}

static void others_that_try(void)
{
    struct fake_rule later = {.op = FAKE_POSIX_LOCK, .action = FAKE_FAIL, .err = EAGAIN, .nth = 2, .every = 2};
    uint64_t before = fake_calls(FAKE_POSIX_LOCK), calls;
    int rule;

    fake_once(FAKE_POSIX_LOCK, FAKE_FAIL, EAGAIN, 0);
    take("vol");
    img_close(&img);
    before = fake_calls(FAKE_POSIX_LOCK);
    rule = fake_always(FAKE_POSIX_LOCK, FAKE_FAIL, EAGAIN, 0);
    is(second_writer("vol"), -EBUSY, "a lock that stays another's");
    calls = fake_calls(FAKE_POSIX_LOCK) - before;
    ok(calls >= 2 && calls <= 200, "... is tried some times: %llu calls", (unsigned long long)calls);
    fake_calm(rule);
    /* The second of the two bytes. */
    rule = fake.add_rule(&later);
    before = fake.rule_hits(rule);
    second_writer("vol");
    fake_calm(rule);
    is(second_writer("vol"), 0, "half a lock is given back");
}

/* ---- the lock stays ---------------------------------------------------------------------------------------------- */

/* A shrink on a sharded volume opens and closes a file of its own, on this thread. */
static void other_files(void)
{
    struct BlkOption locked[] = {{"size", "0"}, {"locking", "on"}, {"keep-connection", "0"}, {NULL, NULL}};
    struct BlkError error = {.struct_size = sizeof(error)};
    const char *uri = fake_uri("sharded", "locking");
    struct io io = {0};

    img_create(uri, "65536", &error);
    take("sharded");
    fake.set_mode(FAKE_DELAYED, 50000);
    io_pwrite(&io, &img, data, BYTES, 0);
    fake_once(FAKE_LSEEK, FAKE_FAIL, EOPNOTSUPP, 0);
    is(img.drv->truncate(&img.bs, 8192, &img.error), -EBUSY, "it is not cut while it is written");
    ok(!strstr(img.error.message, "forgotten"), "... for which nobody's lock is blamed: %s", img.error.message);
    is(io_wait(&io), 0, "it was written");
    fake.set_mode(FAKE_THREAD, 0);
    is(img.drv->truncate(&img.bs, 8192, &img.error), 0, "it is cut");
    is(second_writer("sharded"), -EBUSY, "... and has its lock");
    is(drv_for(uri)->create(uri, locked, &error), -EBUSY, "it is not created anew: %s", error.message);
    is(img.drv->getlength(&img.bs), 8192, "... nor cut");
    is(second_writer("sharded"), -EBUSY, "... and has its lock");
    img_close(&img);
    is(drv_for(uri)->create(uri, locked, &error), 0, "nobody has it: it is created anew");
    is(drv_for(uri)->create(fake_uri("sharded", "new"), locked, &error), 0, "a new one is created");
}

/* ---- given up ---------------------------------------------------------------------------------------------------- */

static unsigned ended, good;

static void count_it(struct io *io)
{
    ended++;
    good += io->ret == 0;
}

static void in_flight(void)
{
    static struct io ios[MANY];
    struct io late = {0};
    uint64_t flushes;
    unsigned i;

    take("vol");
    fake.set_mode(FAKE_DELAYED, 20000);
    for (i = 0; i < MANY; i++) {
        ios[i].then = count_it;
        io_pwrite(&ios[i], &img, data, BYTES, (int64_t)i * 2 * BYTES);
    }
    ended = good = 0;
    flushes = fake_calls(FAKE_FSYNC);
    is(give_up(), 0, "a lock is given up with %d writes in flight", MANY);
    ok(ended == MANY && good == MANY, "... which have ended well by then");
    is(fake_calls(FAKE_FSYNC), flushes + 1, "... and are on stable storage");
    fake.set_mode(FAKE_THREAD, 0);
    ok(!io_pwrite(&late, &img, data, BYTES, 0) && late.ret == -EPERM, "a write is refused");
    ok(t_reported("lock_acquire"), "... %s", last_report());
    ok(!io_discard(&late, &img, BYTES, 0) && late.ret == -EPERM, "a discard is refused");
    is(img.drv->truncate(&img.bs, 0, &img.error), -EPERM, "truncate is refused");
    is(img.drv->truncate_with_preallocation(&img.bs, 1 << 24, BLK_PREALLOC_FULL, NULL, NULL, &img.error), -EPERM,
       "so is growth with preallocation");
    ok(!io_zeroes(&late, &img, BYTES, 0, 0) && late.ret == -EPERM, "a write of zeroes is refused");
    is(pread_sync(&img, data, BYTES, 0), 0, "a read is not");
    is(flush_sync(&img), 0, "a flush is not");
    is(second_writer("vol"), 0, "another one may write");
    is(give_up(), 0, "given up again");
    is(take_again(), 0, "taken again");
    is(second_writer("vol"), -EBUSY, "another one may not write");
    is(pwrite_sync(&img, data, BYTES, 0), 0, "a write is accepted");
    is(discard_sync(&img, BYTES, 0), 0, "... and a discard");
    is(give_up(), 0, "given up, and closed so");
    img_close(&img);
}

static void fails_to_give_up(void)
{
    int rule;

    take("vol");
    fake_once(FAKE_FSYNC, FAKE_FAIL, ENOTCONN, 0);
    is(give_up(), -ENOTCONN, "what was written is not safe: %s", img.error.message);
    is(pwrite_sync(&img, data, BYTES, 0), 0, "... it is written on");
    is(second_writer("vol"), -EBUSY, "... by nobody else");
    fake_once(FAKE_POSIX_LOCK, FAKE_FAIL, ENOTCONN, 0);
    is(give_up(), -ENOTCONN, "the brick does not answer: %s", img.error.message);
    is(pwrite_sync(&img, data, BYTES, 0), 0, "... it is written on");
    is(second_writer("vol"), -EBUSY, "... by nobody else");
    rule = fake_always(FAKE_POSIX_LOCK, FAKE_FAIL, EBADFD, 0);
    is(give_up(), -EBADFD, "the brick has forgotten the lock");
    is(pwrite_sync(&img, data, BYTES, 0), -EPERM, "... nobody writes in its name");
    is(take_again(), -EBADFD, "... it cannot be taken: %s", img.error.message);
    fake_calm(rule);
    is(take_again(), 0, "... until it can");
    is(pwrite_sync(&img, data, BYTES, 0), 0, "... and is written on");
    is(give_up(), 0, "given up");
    rule = fake_always(FAKE_FSTAT, FAKE_FAIL, EIO, 0);
    is(take_again(), -EIO, "its length is not known");
    fake_calm(rule);
    is(second_writer("vol"), 0, "... which leaves no lock behind");
    is(take_again(), 0, "it is");
    img_close(&img);
}

static void write_cache(void)
{
    is(img_open(&img, fake_uri("vol", "locking"), BLK_O_RDWR, "locking", "on", "write-cache", "on", NULL), 0,
       "write-cache=on");
    fake_once(FAKE_FSYNC, FAKE_FAIL, ENOTCONN, 0);
    is(give_up(), -ENOTCONN, "... a flush fails, and acknowledged writes may be gone");
    is(give_up(), -EIO, "... so it is not handed over as if all were well");
    is(second_writer("vol"), -EBUSY, "... nor written by another");
    img_close(&img);
    is(second_writer("vol"), 0, "... until it is closed");
}

/* Reads need no lock: they go on while it is given up, and do not keep it. */
static struct io chain;
static unsigned reads, reads_left;
static char scratch[512];

static void read_on(void *opaque, int ret)
{
    (void)opaque;
    reads += ret == 0;
    if (reads_left && --reads_left) {
        static struct iovec iov;

        iov.iov_base = scratch;
        iov.iov_len = 512;
        if (!img.drv->aio_preadv(&img.bs, 0, 512, &iov, 1, 0, read_on, &chain))
            fail("a read is refused");
    }
}

static void while_it_is_read(void)
{
    struct io write;

    take("vol");
    reads_left = 1000000;
    read_on(NULL, 0);
    io_pwrite(&write, &img, data, BYTES, 0);
    is(give_up(), 0, "the lock is given up while one read follows another");
    ok(write.done == 1 && write.ret == 0, "... after the write that was in flight");
    ok(reads_left > 0, "... before the last of a million reads");
    reads_left = 1;
    is(img.drv->drain(&img.bs), 0, "drain");
    img_close(&img);
}

static void a_create_without_lock(void)
{
    static const struct BlkOption options[] = {
        {"locking", "on"}, {"size", "4096"}, {"keep-connection", "0"}, {NULL, NULL}};
    struct BlkError error = {.struct_size = sizeof(error)};
    struct img made;

    fake_once(FAKE_POSIX_LOCK, FAKE_FAIL, ENOTCONN, 0);
    is(drv_for("gluster:")->create(fake_uri("vol", "unlocked"), options, &error), -ENOTCONN,
       "a create that gets no lock");
    is(img_open(&made, fake_uri("vol", "unlocked"), 0, NULL), -ENOENT, "... leaves no image");
}

/* ---- lost -------------------------------------------------------------------------------------------------------- */

static void lost(void)
{
    uint64_t before;
    int rule;

    take("vol");
    before = fake_calls(FAKE_POSIX_LOCK);
    is(flush_sync(&img), 0, "a flush");
    is(fake_calls(FAKE_POSIX_LOCK), before, "... believes in a lock that was there a moment ago");
    run_for(0.6);
    fake_once(FAKE_POSIX_LOCK, FAKE_FAIL, ENOTCONN, 0);
    is(flush_sync(&img), 0, "a flush that has succeeded, and no answer about the lock");
    is(fake_calls(FAKE_POSIX_LOCK), before + 1, "... which was asked for, later on");
    fake_once(FAKE_POSIX_LOCK, FAKE_FAIL, EAGAIN, 0);
    is(flush_sync(&img), 0, "another one that only tries the lock");
    is(fake_calls(FAKE_POSIX_LOCK), before + 3, "... is given time to let go of it");
    is(flush_sync(&img), 0, "a flush");
    is(fake_calls(FAKE_POSIX_LOCK), before + 3, "... believes again");
    is(pwrite_sync(&img, data, BYTES, 0), 0, "... it is written on");
    run_for(0.6);
    rule = fake_always(FAKE_POSIX_LOCK, FAKE_FAIL, EAGAIN, 0);
    t_forget_reports();
    is(flush_sync(&img), -EBUSY, "another one that has it");
    ok(t_reported("has forgotten its lock"), "... %s", last_report());
    is(pwrite_sync(&img, data, BYTES, 0), -EPERM, "... it is not written on");
    before = fake_calls(FAKE_POSIX_LOCK);
    is(flush_sync(&img), -EBUSY, "... no later flush says that all is well");
    is(give_up(), -EBUSY, "... nor can it be handed over: %s", img.error.message);
    is(fake_calls(FAKE_POSIX_LOCK), before, "... and it is not asked for any more");
    is(take_again(), -EBUSY, "... nor to be had");
    fake_calm(rule);
    is(take_again(), 0, "... until it is");
    is(pwrite_sync(&img, data, BYTES, 0), 0, "... and it is written on");
    img_close(&img);
}

/* ---- what takes long ------------------------------------------------------------------------------------------------ */

enum { PIECE = 64 * MiB };

static int returned, returned_early;

static void *let_go_later(void *op)
{
    usleep(50 * 1000);
    returned_early = __atomic_load_n(&returned, __ATOMIC_ACQUIRE);
    fake.release(*(int *)op, 0, FAKE_AS_IS);
    return NULL;
}

/* Gives the lock up while a call is held, which ends later. */
static void give_up_during(int op)
{
    pthread_t thread;

    __atomic_store_n(&returned, 0, __ATOMIC_RELEASE);
    pthread_create(&thread, NULL, let_go_later, &op);
    is(give_up(), 0, "the lock is given up");
    __atomic_store_n(&returned, 1, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    is(returned_early, 0, "... not before that has ended");
}

static int64_t grown_to;

static void *grow_there(void *arg)
{
    struct BlkError error = {.struct_size = sizeof(error)};

    (void)arg;
    return (void *)(intptr_t)img.drv->truncate_with_preallocation(&img.bs, grown_to, BLK_PREALLOC_FALLOC, NULL, NULL,
                                                                  &error);
}

static void lose(void)
{
    int rule;

    run_for(0.6);
    rule = fake_always(FAKE_POSIX_LOCK, FAKE_FAIL, EAGAIN, 0);
    is(flush_sync(&img), -EBUSY, "... and its lock is lost");
    fake_calm(rule);
}

static void long_ones(void)
{
    struct io zero = {0};
    pthread_t grower;
    uint64_t before;
    void *ret;
    int rule;

    take("vol");
    rule = fake_once(FAKE_ZEROFILL, FAKE_HOLD, 0, 0);
    io_zeroes(&zero, &img, 2 * (int64_t)PIECE, 0, 0);
    ok(fake.wait_held(1, 10000), "the first of two pieces of zeroes");
    give_up_during(FAKE_ZEROFILL);
    ok(zero.done == 1 && zero.ret == 0, "... which are whole");
    fake_calm(rule);

    is(take_again(), 0, "taken again");
    rule = fake_once(FAKE_FALLOCATE, FAKE_HOLD, 0, 0);
    grown_to = 5 * (int64_t)PIECE;
    pthread_create(&grower, NULL, grow_there, NULL);
    ok(fake.wait_held(1, 10000), "an image grows");
    give_up_during(FAKE_FALLOCATE);
    pthread_join(grower, &ret);
    is((int)(intptr_t)ret, 0, "it grows");
    is(img.drv->getlength(&img.bs), grown_to, "... to its length");
    fake_calm(rule);

    is(take_again(), 0, "taken again");
    rule = fake_once(FAKE_ZEROFILL, FAKE_HOLD, 0, 0);
    io_zeroes(&zero, &img, 3 * (int64_t)PIECE, 0, 0);
    ok(fake.wait_held(1, 10000), "the first of three pieces of zeroes");
    lose();
    before = fake_calls(FAKE_ZEROFILL);
    fake.release(FAKE_ZEROFILL, 0, FAKE_AS_IS);
    is(io_wait(&zero), -EBUSY, "the zeroes end with their piece");
    is(fake_calls(FAKE_ZEROFILL), before, "... and write nothing more over another one's data");
    fake_calm(rule);

    is(take_again(), 0, "taken again");
    rule = fake_once(FAKE_FALLOCATE, FAKE_HOLD, 0, 0);
    grown_to = 8 * (int64_t)PIECE;
    pthread_create(&grower, NULL, grow_there, NULL);
    ok(fake.wait_held(1, 10000), "an image grows");
    lose();
    before = fake_calls(FAKE_FALLOCATE) + fake_calls(FAKE_FTRUNCATE);
    fake.release(FAKE_FALLOCATE, 0, FAKE_AS_IS);
    pthread_join(grower, &ret);
    is((int)(intptr_t)ret, -EBUSY, "it ends with its chunk");
    is(fake_calls(FAKE_FALLOCATE) + fake_calls(FAKE_FTRUNCATE), before, "... and does not cut what may be another one's");
    fake_calm(rule);
    img_close(&img);
}

/* ---- at the wrong time ---------------------------------------------------------------------------------------------- */

static int from_inside[2];

static void call_inside(struct io *io)
{
    (void)io;
    from_inside[0] = take_again();
    from_inside[1] = give_up();
}

static void wrong_time(void)
{
    struct io io = {0};

    take("vol");
    io.then = call_inside;
    fake.set_mode(FAKE_DELAYED, 10000);
    io_pwrite(&io, &img, data, BYTES, 0);
    is(give_up(), 0, "given up");
    is(from_inside[0], -EBUSY, "a callback on the way cannot take it");
    is(from_inside[1], 0, "... and may give it up itself");
    fake.set_mode(FAKE_THREAD, 0);
    is(take_again(), 0, "taken again");
    io.then = call_inside;
    io_pwrite(&io, &img, data, BYTES, 0);
    is(io_wait(&io), 0, "a callback gives it up");
    ok(from_inside[0] == 0 && from_inside[1] == 0, "... which works");
    is(pwrite_sync(&img, data, BYTES, 0), -EPERM, "... at once");
    is(img.drv->lock_release(NULL, &img.error), -EINVAL, "of no image");
    is(img.drv->lock_acquire(NULL, &img.error), -EINVAL, "of no image");
    img.drv->close(&img.bs);
    is(give_up(), -EBADF, "after close");
    is(take_again(), -EBADF, "after close");
    img.is_open = false;
    img_close(&img);
}

/* ---- threads ----------------------------------------------------------------------------------------------------- */

enum { THREADS = 3, ROUNDS = 40 };

static bool enough;
static unsigned written;

static void written_one(struct io *io)
{
    __atomic_add_fetch(&written, io->ret == 0, __ATOMIC_RELAXED);
    __atomic_store_n((bool *)io->arg, false, __ATOMIC_RELEASE);
}

static void *write_always(void *arg)
{
    struct io io = {0};
    bool busy = false;
    int64_t offset = (intptr_t)arg * 2 * BYTES;

    io.then = written_one;
    io.arg = &busy;
    while (!__atomic_load_n(&enough, __ATOMIC_ACQUIRE)) {
        __atomic_store_n(&busy, true, __ATOMIC_RELEASE);
        if (!io_pwrite(&io, &img, data, BYTES, offset)) {
            usleep(200);
            continue;
        }
        while (__atomic_load_n(&busy, __ATOMIC_ACQUIRE))
            usleep(20);
    }
    return NULL;
}

static int all_ended;

static void *end_threads(void *arg)
{
    pthread_t *threads = arg;
    unsigned i;

    for (i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    __atomic_store_n(&all_ended, 1, __ATOMIC_RELEASE);
    return NULL;
}

static void under_load(void)
{
    pthread_t threads[THREADS], joiner;
    unsigned round, failed = 0, slipped = 0;
    intptr_t i;

    take("vol");
    fake.set_mode(FAKE_DELAYED, 200);
    for (i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, write_always, (void *)i);
    for (round = 0; round < ROUNDS; round++) {
        uint64_t writes;

        run_for(0.002);
        failed += give_up() != 0;
        writes = fake_calls(FAKE_PWRITEV_ASYNC);
        run_for(0.002);
        slipped += fake_calls(FAKE_PWRITEV_ASYNC) != writes || fake_counted().in_flight != 0;
        failed += take_again() != 0;
    }
    enough = true;
    pthread_create(&joiner, NULL, end_threads, threads);
    ok(wait_for(&all_ended, 1, 20), "%d threads write", THREADS);
    pthread_join(joiner, NULL);
    is(failed, 0, "... while the lock is given up and taken again %d times", ROUNDS);
    is(slipped, 0, "... and write nothing without it");
    ok(written > 0, "... but %u times with it", written);
    fake.set_mode(FAKE_THREAD, 0);
    img_close(&img);
}

int main(void)
{
    fake_begin("who has no lock does not write; a lock that cannot be had, kept or given up is an error that says so");
    fake_open(&img, "locking", 65536);
    img_close(&img);
    options();
    fits();
    each_step_fails();
    volumes_without_locks();
    others_that_try();
    other_files();
    in_flight();
    fails_to_give_up();
    write_cache();
    while_it_is_read();
    a_create_without_lock();
    lost();
    long_ones();
    wrong_time();
    under_load();
    return fake_end();
}
