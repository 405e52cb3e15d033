/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reopening: read-only and back, with requests in flight, with each step failing, with locks, with write-behind. */
#include <dlfcn.h>
#include <fcntl.h>

#include "on_fake.h"

enum { BYTES = 4096, MANY = 32 };

static struct img img;
static char data[BYTES], back[BYTES];

static int prepare(uint32_t flags)
{
    return img.drv->reopen_prepare(&img.bs, NULL, flags, &img.error);
}

static int prepare_cached(uint32_t flags, const char *write_cache)
{
    struct BlkOption options[] = {{"write-cache", write_cache}, {NULL, NULL}};

    return img.drv->reopen_prepare(&img.bs, options, flags, &img.error);
}

static void commit(void)
{
    img.drv->reopen_commit(&img.bs);
}

static void give_up_reopen(void)
{
    img.drv->reopen_abort(&img.bs);
}

static int reopen(uint32_t flags)
{
    int ret = prepare(flags);

    if (ret == 0)
        commit();
    return ret;
}

static int read_only(void)
{
    return img.drv->is_read_only(&img.bs);
}

static int put(char value)
{
    memset(data, value, BYTES);
    return pwrite_sync(&img, data, BYTES, 0);
}

static bool holds(char value)
{
    return pread_sync(&img, back, BYTES, 0) == 0 && all_bytes(back, BYTES, (unsigned char)value);
}

/* The files of the image that are open. */
static int files(void)
{
    return (int)fake_counted().open_fds - 1; /* another host's */
}

/* ---- another host ------------------------------------------------------------------------------------------------ */

/* It uses libgfapi itself, and is asked whether it may have the lock: the driver would try for up to a second. */
static struct {
    void *library, *fs, *fd;
    int (*unlink)(void *, const char *);
    int (*lock)(void *, int, struct flock *);
} host;

static void *function(const char *name)
{
    void *address = dlsym(host.library, name);

    if (!address)
        t_die("no %s", name);
    return address;
}

static void other_host(void)
{
    void *(*make)(const char *), *(*open_it)(void *, const char *, int);
    int (*server)(void *, const char *, const char *, int), (*init)(void *), (*owner)(void *, void *, int);

    host.library = dlopen("libgfapi.so.0", RTLD_NOW | RTLD_NOLOAD);
    make = (void *(*)(const char *))function("glfs_new");
    server = (int (*)(void *, const char *, const char *, int))function("glfs_set_volfile_server");
    init = (int (*)(void *))function("glfs_init");
    open_it = (void *(*)(void *, const char *, int))function("glfs_open");
    owner = (int (*)(void *, void *, int))function("glfs_fd_set_lkowner");
    host.unlink = (int (*)(void *, const char *))function("glfs_unlink");
    host.lock = (int (*)(void *, int, struct flock *))function("glfs_posix_lock");
    host.fs = make("vol");
    server(host.fs, "tcp", "fake", 24007);
    if (init(host.fs) < 0)
        t_die("another host cannot connect");
    host.fd = open_it(host.fs, "locked", O_RDWR);
    owner(host.fd, (char[]){"other"}, 5);
}

static void other_host_goes(void)
{
    ((int (*)(void *))function("glfs_close"))(host.fd);
    ((int (*)(void *))function("glfs_fini"))(host.fs);
    dlclose(host.library);
}

static bool gets_lock(short type, off_t start)
{
    struct flock range = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = 1};

    return host.lock(host.fd, F_SETLK, &range) == 0;
}

/* Whether it may open the image so: 0 or -EBUSY. */
static int another(uint32_t flags)
{
    bool may = gets_lock(flags ? F_WRLCK : F_RDLCK, 201) && gets_lock(F_WRLCK, 101);
    struct flock all = {.l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = 101, .l_len = 101};

    host.lock(host.fd, F_SETLK, &all);
    return may ? 0 : -EBUSY;
}

/* ---- without locks ----------------------------------------------------------------------------------------------- */

static void there_and_back(void)
{
    uint64_t syncs;

    fake_open(&img, "there", 65536);
    is(read_only(), 0, "it may be written");
    is(put(1), 0, "a write");
    syncs = fake_calls(FAKE_FSYNC);
    is(prepare(0), 0, "it is prepared to be read-only");
    is(fake_calls(FAKE_FSYNC), syncs + 1, "... what was written is on stable storage");
    is(files(), 2, "... a second file");
    is(read_only(), 0, "... but not read-only yet");
    is(put(2), 0, "... it is written on");
    commit();
    is(read_only(), 1, "it is read-only");
    is(fake_calls(FAKE_FSYNC), syncs + 2, "... and so is what was written last");
    is(files(), 1, "... the old file is closed");
    ok(holds(2), "... it is read");
    is(put(3), -EBADF, "... and not written: %s", last_report());
    is(img.drv->truncate(&img.bs, 0, &img.error), -EBADF, "... nor cut");
    is(flush_sync(&img), 0, "... a flush is allowed");
    is(reopen(BLK_O_RDWR), 0, "it may be written again");
    is(read_only(), 0, "... it says so");
    is(put(4), 0, "... it is");
    is(img.drv->truncate(&img.bs, 131072, &img.error), 0, "... and grows");
    is(zeroes_sync(&img, BYTES, 8192, 0), 0, "... and is filled with zeroes");
    is(reopen(BLK_O_RDWR | BLK_O_NOCACHE), 0, "O_DIRECT");
    is(img.drv->getlength(&img.bs), 131072, "... its length is the same");
    ok(holds(4), "... and what it holds");
    img_close(&img);
}

/* With O_DIRECT parts of blocks take another way. */
static void direct_follows(void)
{
    struct BlkLimits limits = {.struct_size = sizeof(limits)};
    struct BlkStatistics statistics = {.struct_size = sizeof(statistics)};
    char part[100], back[sizeof(part)];

    fake_open(&img, "direct", 65536);
    fake.set_alignment(4096);
    memset(part, 'p', sizeof(part));
    is(reopen(BLK_O_RDWR | BLK_O_NOCACHE), 0, "O_DIRECT");
    is(pwrite_sync(&img, part, sizeof(part), 1000), 0, "a part of a block is written");
    is(pread_sync(&img, back, sizeof(back), 1000), 0, "... and read");
    ok(memcmp(part, back, sizeof(part)) == 0, "... as it was written");
    is(flush_sync(&img), 0, "... and flushed");
    img.drv->get_statistics(&img.bs, &statistics, &img.error);
    is(statistics.bounced, 2, "... beside O_DIRECT");
    img.drv->get_limits(&img.bs, &limits, &img.error);
    is(limits.request_alignment, 1, "any offset");
    is(reopen(BLK_O_RDWR), 0, "without O_DIRECT");
    is(pread_sync(&img, back, sizeof(back), 1000), 0, "it is read");
    ok(memcmp(part, back, sizeof(part)) == 0, "... as it was written");
    img.drv->get_statistics(&img.bs, &statistics, &img.error);
    is(statistics.bounced, 2, "... the usual way");
    fake.set_alignment(0);
    img_close(&img);
}

static void misuse(void)
{
    static const struct BlkOption path[] = {{"path", "other"}, {NULL, NULL}};
    static const struct BlkOption twice[] = {{"write-cache", "on"}, {"write-cache", "on"}, {NULL, NULL}};

    fake_open(&img, "misuse", 65536);
    t_forget_reports();
    commit();
    give_up_reopen();
    ok(t_reports() == 2 && t_reported("no reopen that was prepared"), "commit and abort of nothing: %s", last_report());
    is(prepare(0x40000000), -EINVAL, "an unknown flag");
    is(img.drv->reopen_prepare(&img.bs, path, 0, &img.error), -EINVAL, "another path: %s", img.error.message);
    is(img.drv->reopen_prepare(&img.bs, twice, 0, &img.error), -EINVAL, "an option twice: %s", img.error.message);
    is(prepare_cached(0, "maybe"), -EINVAL, "write-cache=maybe: %s", img.error.message);
    is(prepare_cached(BLK_O_NOCACHE, "on"), -EINVAL, "write-cache=on and O_DIRECT: %s", img.error.message);
    is(files(), 1, "... no file is left open");
    is(prepare(0), 0, "prepared");
    is(prepare(0), -EBUSY, "... once: %s", img.error.message);
    is(files(), 2, "... with one more file");
    give_up_reopen();
    is(files(), 1, "aborted");
    is(read_only(), 0, "... as it was");
    is(put(1), 0, "... it is written on");
    is(prepare(0), 0, "prepared again");
    img_close(&img);
    is(files(), 0, "closed so, no file is left open");
    is(img.drv->reopen_prepare(&img.bs, NULL, 0, &img.error), -EINVAL, "a reopen of what is gone");
}

static void each_step_fails(void)
{
    static const struct {
        int op, err;
        const char *what;
    } steps[] = {{FAKE_OPEN, EROFS, "the open"}, {FAKE_FSYNC, ENOTCONN, "the flush"}, {FAKE_FSTAT, ENOTCONN, "a look at it"}};
    unsigned i;

    fake_open(&img, "steps", 65536);
    is(put(7), 0, "a write");
    for (i = 0; i < T_COUNT(steps); i++) {
        fake_once(steps[i].op, FAKE_FAIL, steps[i].err, 0);
        is(prepare(0), -steps[i].err, "%s fails: %s", steps[i].what, img.error.message);
        is(files(), 1, "... no file is left open");
        is(read_only(), 0, "... it is as it was");
        ok(holds(7), "... in what it holds, too");
    }
    t_forget_reports();
    is(prepare(0), 0, "prepared");
    fake_once(FAKE_FSYNC, FAKE_FAIL, ETIMEDOUT, 0);
    fake_once(FAKE_CLOSE, FAKE_FAIL, EIO, 0);
    commit();
    is(read_only(), 1, "a commit does not fail");
    ok(t_reported("flushing it for its reopening") && t_reported("closing it for its reopening"), "... but says: %s",
       last_report());
    is(flush_sync(&img), -ETIMEDOUT, "... and so does the next flush");
    is(flush_sync(&img), 0, "... not the one after it");
    img_close(&img);
}

/* What the path leads to is made anew, as by another host. */
static void replaced(void)
{
    struct BlkError error = {.struct_size = sizeof(error)};

    fake_open(&img, "replaced", 65536);
    is(put(5), 0, "a write");
    is(host.unlink(host.fs, "replaced"), 0, "another host removes it");
    is(prepare(0), -ENOENT, "an image that was removed: %s", img.error.message);
    is(img_create(fake_uri("vol", "replaced"), "65536", &error), 0, "made anew");
    is(prepare(0), -ESTALE, "... it is another one: %s", img.error.message);
    is(files(), 1, "... which is not kept open");
    ok(holds(5), "the old one is still there");
    img_close(&img);
}

static unsigned ended, good;

static void count_it(struct io *io)
{
    ended++;
    good += io->ret == 0;
}

static void in_flight(void)
{
    static struct io ios[MANY];
    unsigned i;

    fake_open(&img, "flight", 1 << 20);
    is(prepare(0), 0, "prepared");
    fake.set_mode(FAKE_DELAYED, 20000);
    ended = good = 0;
    for (i = 0; i < MANY; i++) {
        ios[i].then = count_it;
        if (i % 8 == 7)
            io_flush(&ios[i], &img);
        else
            io_pwrite(&ios[i], &img, data, BYTES, (int64_t)i * 2 * BYTES);
    }
    commit();
    ok(ended == MANY && good == MANY, "a commit waits for %d requests in flight: %u ended, %u well", MANY, ended, good);
    fake.set_mode(FAKE_THREAD, 0);
    is(read_only(), 1, "... and has it read-only then");
    img_close(&img);
}

/* Threads that go on submitting keep no commit waiting, and none of their requests is lost. */
static int alive, stop_them, their_refused, their_failed, their_good;

static void *reads_on(void *arg)
{
    struct io io = {0};
    char *buffer = t_alloc(BYTES);

    (void)arg;
    while (!__atomic_load_n(&stop_them, __ATOMIC_ACQUIRE)) {
        struct iovec iov = {buffer, BYTES};

        memset(&io, 0, sizeof(io));
        io_begin(&io, &img);
        if (!io_end(&io, img.drv->aio_preadv(&img.bs, 0, BYTES, &iov, 1, 0, io_done, &io))) {
            __atomic_add_fetch(&their_refused, 1, __ATOMIC_RELAXED);
            continue;
        }
        while (!__atomic_load_n(&io.done, __ATOMIC_ACQUIRE))
            usleep(50);
        __atomic_add_fetch(io.ret ? &their_failed : &their_good, 1, __ATOMIC_RELAXED);
    }
    free(buffer);
    __atomic_sub_fetch(&alive, 1, __ATOMIC_RELEASE);
    return NULL;
}

static bool none_alive(void *arg)
{
    (void)arg;
    return __atomic_load_n(&alive, __ATOMIC_ACQUIRE) == 0;
}

static bool a_hundred_reads(void *arg)
{
    (void)arg;
    return __atomic_load_n(&their_good, __ATOMIC_RELAXED) >= 100;
}

static void among_threads(void)
{
    pthread_t threads[4];
    unsigned i;
    int bad = 0;

    fake_open(&img, "threads", 65536);
    is(put(9), 0, "a write");
    alive = T_COUNT(threads);
    stop_them = their_refused = their_failed = their_good = 0;
    for (i = 0; i < T_COUNT(threads); i++)
        pthread_create(&threads[i], NULL, reads_on, NULL);
    for (i = 0; i < 40; i++) {
        bad += reopen(i % 2 ? BLK_O_RDWR : 0) != 0;
        bad += read_only() != !(i % 2);
        if (i % 10 == 0)
            run_for(0.01);
    }
    is(bad, 0, "40 reopens while four threads read");
    ok(run_until(a_hundred_reads, NULL, 20), "... who do read");
    __atomic_store_n(&stop_them, 1, __ATOMIC_RELEASE);
    ok(run_until(none_alive, NULL, 20), "... and end");
    for (i = 0; i < T_COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    ok(!their_refused && !their_failed, "... and have all their answers: %d refused, %d failed", their_refused,
       their_failed);
    img_close(&img);
}

/* ---- locks ------------------------------------------------------------------------------------------------------- */

static int open_as(struct img *it, uint32_t flags, const char *share_rw)
{
    return img_open(it, fake_uri("vol", "locked"), flags, "locking", "on", "share-rw", share_rw, NULL);
}

static void locks(void)
{
    struct img reader;

    is(open_as(&img, BLK_O_RDWR, "off"), 0, "a writer");
    is(prepare(0), 0, "... is to read");
    is(another(0), -EBUSY, "... but writes still");
    is(flush_sync(&img), 0, "... and flushes");
    give_up_reopen();
    is(another(0), -EBUSY, "... and again");
    is(prepare(0), 0, "... is to read");
    commit();
    is(another(0), 0, "a reader, beside which others read");
    is(another(BLK_O_RDWR), -EBUSY, "... and nobody writes");
    is(open_as(&reader, 0, "off"), 0, "another reader");
    is(prepare(BLK_O_RDWR), -EBUSY, "... is in the way of a writer: %s", img.error.message);
    is(files(), 2, "... of whom nothing is left");
    is(another(BLK_O_RDWR), -EBUSY, "... both are readers");
    img_close(&reader);
    is(another(BLK_O_RDWR), -EBUSY, "... one still is");
    is(prepare(BLK_O_RDWR), 0, "it is to write");
    is(another(0), -EBUSY, "... nobody else gets in before it does");
    give_up_reopen();
    is(another(0), 0, "... it does not");
    is(another(BLK_O_RDWR), -EBUSY, "... but reads");
    is(reopen(BLK_O_RDWR), 0, "it is a writer");
    is(another(0), -EBUSY, "... and nobody else");
    is(put(1), 0, "... and writes");
    is(reopen(BLK_O_RDWR | BLK_O_NOCACHE), 0, "a writer with O_DIRECT");
    is(another(0), -EBUSY, "... has its lock");
    run_for(0.6);
    is(flush_sync(&img), 0, "... of which a flush makes sure");
    is(prepare(0), 0, "prepared");
    is(img.drv->lock_release(&img.bs, &img.error), -EBUSY, "... which is no time to give the lock up: %s",
       img.error.message);
    is(img.drv->lock_acquire(&img.bs, &img.error), -EBUSY, "... or to take it");
    give_up_reopen();
    is(img.drv->lock_release(&img.bs, &img.error), 0, "given up");
    is(reopen(BLK_O_RDWR), 0, "... and reopened");
    is(put(2), -EPERM, "... it stays so");
    is(another(BLK_O_RDWR), 0, "... for others");
    is(img.drv->lock_acquire(&img.bs, &img.error), 0, "taken again");
    is(another(0), -EBUSY, "... it is");
    img_close(&img);
    is(another(BLK_O_RDWR), 0, "closed, it has no lock");
}

/* The host says what is locked; a reopen changes the file only. */
static void locks_of_the_host(void)
{
    is(img_open(&img, fake_uri("vol", "locked"), BLK_O_RDWR | BLK_O_LOCK_LATER, "locking", "on", NULL), 0, "no lock yet");
    is(prepare(0), 0, "... prepared to read");
    is(img.drv->lock_change(&img.bs, BLK_LOCK_WRITE | BLK_LOCK_FORBID_WRITE, &img.error), 0, "... and locked to write");
    is(another(0), -EBUSY, "... against readers");
    commit();
    is(another(0), -EBUSY, "... still, as the host has said");
    is(flush_sync(&img), 0, "... as a flush finds");
    is(prepare(BLK_O_RDWR), 0, "prepared to write");
    is(img.drv->lock_change(&img.bs, BLK_LOCK_FORBID_WRITE, &img.error), 0, "... and locked to read");
    give_up_reopen();
    is(another(0), 0, "... aborted, it is locked so");
    is(another(BLK_O_RDWR), -EBUSY, "... and no other way");
    is(reopen(BLK_O_RDWR), 0, "reopened");
    is(another(BLK_O_RDWR), -EBUSY, "... too");
    is(img.drv->lock_change(&img.bs, 0, &img.error), 0, "unlocked");
    is(reopen(0), 0, "... and reopened");
    is(another(BLK_O_RDWR), 0, "... it is free");
    img_close(&img);
}

static void shared_locks(void)
{
    struct img other;

    is(open_as(&img, BLK_O_RDWR, "on"), 0, "a writer among writers");
    is(open_as(&other, BLK_O_RDWR, "on"), 0, "... and another");
    is(reopen(0), 0, "... is to read what the other one writes");
    is(reopen(BLK_O_RDWR), 0, "... and to write again");
    img_close(&other);
    is(another(0), -EBUSY, "... and has its lock");
    is(reopen(BLK_O_RDWR | BLK_O_NOCACHE), 0, "... also with O_DIRECT");
    is(another(0), -EBUSY, "... and has it still");
    is(reopen(0), 0, "... and without");
    is(another(BLK_O_RDWR), 0, "... which is in nobody's way");
    is(open_as(&other, BLK_O_RDWR, "off"), 0, "a writer alone");
    is(prepare(BLK_O_RDWR), -EBUSY, "... is in the way of others: %s", img.error.message);
    img_close(&other);
    img_close(&img);
}

static void locks_that_fail(void)
{
    struct fake_rule owner = {.op = FAKE_FD_SET_LKOWNER, .action = FAKE_FAIL, .err = ENOMEM, .times = 1};
    uint64_t step;
    int rule;

    /* Each of the calls that a reader who becomes a writer makes, and the other way round. */
    for (step = 1; step <= 4; step++) {
        struct fake_rule fails = {.op = FAKE_POSIX_LOCK, .action = FAKE_FAIL, .err = ENOTCONN, .nth = step, .times = 1};
        int ret;

        is(open_as(&img, 0, "off"), 0, "a reader");
        rule = fake.add_rule(&fails);
        ret = prepare(BLK_O_RDWR);
        if (step <= 2)
            is(ret, -ENOTCONN, "... has no answer to lock %d: %s", (int)step, img.error.message);
        else
            is(ret, 0, "... has its answers");
        if (ret == 0)
            commit();
        fake_calm(rule);
        is(another(BLK_O_RDWR), -EBUSY, "... and has a lock");
        is(flush_sync(&img), 0, "... as a flush finds");
        is(another(BLK_O_RDWR), -EBUSY, "... and has it then");
        img_close(&img);
        is(another(BLK_O_RDWR), 0, "... until it is closed");
        is(open_as(&img, BLK_O_RDWR, "off"), 0, "a writer");
        rule = fake.add_rule(&fails);
        ret = prepare(0);
        if (ret == 0)
            commit();
        fake_calm(rule);
        is(ret, step == 1 ? -ENOTCONN : 0, "... that is to read, and has no answer to lock %d", (int)step);
        is(another(BLK_O_RDWR), -EBUSY, "... and has a lock");
        is(flush_sync(&img), 0, "... as a flush finds");
        img_close(&img);
        is(another(BLK_O_RDWR), 0, "... until it is closed");
    }
    is(open_as(&img, BLK_O_RDWR, "off"), 0, "a writer");
    owner.nth = 2; /* the first is the new file's own */
    rule = fake.add_rule(&owner);
    is(prepare(0), -ENOMEM, "no owner: %s", img.error.message);
    fake_calm(rule);
    is(another(0), -EBUSY, "... it has its lock");
    img_close(&img);
    /* A lock that was lost stays lost. */
    is(open_as(&img, BLK_O_RDWR, "off"), 0, "a writer");
    run_for(0.6);
    rule = fake_always(FAKE_POSIX_LOCK, FAKE_FAIL, EAGAIN, 0);
    is(flush_sync(&img), -EBUSY, "... has lost its lock");
    fake_calm(rule);
    is(prepare(0), -EBUSY, "... and is not reopened: %s", img.error.message);
    img_close(&img);
}

/* ---- write-behind ------------------------------------------------------------------------------------------------ */

static void write_cache(void)
{
    is(img_open(&img, fake_uri("vol", "locked"), BLK_O_RDWR, "write-cache", "on", NULL), 0, "write-cache=on");
    is(put(1), 0, "a write");
    is(prepare(BLK_O_NOCACHE), -EINVAL, "O_DIRECT contradicts it: %s", img.error.message);
    is(prepare_cached(BLK_O_RDWR | BLK_O_NOCACHE, "off"), 0, "... so write-cache=off");
    commit();
    is(put(2), 0, "... it is written on");
    fake_once(FAKE_PWRITEV_ASYNC, FAKE_FAIL, ENOSPC, 0);
    is(put(3), -ENOSPC, "a write that fails");
    is(flush_sync(&img), 0, "... says so itself: a flush may be good");
    is(prepare_cached(BLK_O_RDWR, "on"), 0, "write-cache=on again");
    commit();
    is(flush_sync(&img), 0, "... what failed before does not matter");
    fake_once(FAKE_PWRITEV_ASYNC, FAKE_FAIL, ENOSPC, 0);
    is(put(3), -ENOSPC, "a write that fails");
    is(flush_sync(&img), -EIO, "... no flush is good after it");
    is(prepare_cached(BLK_O_RDWR, "off"), -EIO, "... and it is not reopened as if all were well: %s", img.error.message);
    img_close(&img);
    is(img_open(&img, fake_uri("vol", "locked"), BLK_O_RDWR, "write-cache", "on", NULL), 0, "opened anew");
    is(prepare_cached(BLK_O_RDWR, "off"), 0, "... and prepared for write-cache=off");
    is(put(4), 0, "... it is written on");
    fake_once(FAKE_FSYNC, FAKE_FAIL, EIO, 0);
    commit();
    is(flush_sync(&img), -EIO, "the old file's last flush has failed: no flush is good after it");
    is(flush_sync(&img), -EIO, "... nor a later one");
    img_close(&img);
}

/* For another connection the lock is handed over. */
static void hand_over(void)
{
    struct img other;

    is(open_as(&img, BLK_O_RDWR, "off"), 0, "a writer");
    is(prepare_cached(BLK_O_RDWR, "on"), 0, "is to have a write-cache");
    is(another(0), -EBUSY, "... and its lock");
    is(put(1), -EPERM, "... it does not write meanwhile");
    give_up_reopen();
    is(another(0), -EBUSY, "... it goes on as it was");
    is(put(1), 0, "... and writes");
    is(prepare_cached(BLK_O_RDWR, "on"), 0, "prepared");
    commit();
    is(another(0), -EBUSY, "it has its lock");
    is(put(2), 0, "... and writes");
    fake_once(FAKE_OPEN, FAKE_FAIL, EACCES, 0);
    is(prepare_cached(BLK_O_RDWR, "off"), -EACCES, "an open that fails: %s", img.error.message);
    is(put(3), 0, "... it writes on");
    fake_once(FAKE_POSIX_LOCK, FAKE_PASS, 0, 0);
    fake_once(FAKE_POSIX_LOCK, FAKE_FAIL, ENOTCONN, 0);
    is(prepare_cached(BLK_O_RDWR, "off"), -ENOTCONN, "a lock that fails: %s", img.error.message);
    is(put(4), 0, "... it writes on");
    is(another(0), -EBUSY, "... nobody else does");
    is(prepare_cached(0, "off"), 0, "prepared to read");
    is(open_as(&other, 0, "off"), 0, "... and another one reads");
    t_forget_reports();
    give_up_reopen();
    ok(t_reported("until lock_acquire"), "... so that it has lost its lock: %s", last_report());
    is(put(5), -EPERM, "... and does not write");
    img_close(&other);
    is(img.drv->lock_acquire(&img.bs, &img.error), 0, "... until it takes it again");
    is(put(5), 0, "... and does");
    img_close(&img);
}

/* ---- auto-read-only ---------------------------------------------------------------------------------------------- */

static int open_auto(const char *value, uint32_t flags)
{
    return img_open(&img, fake_uri("vol", "locked"), flags, "auto-read-only", value, NULL);
}

static void auto_read_only(void)
{
    static const int errors[] = {EROFS, EACCES, EPERM};
    struct BlkOption options[] = {{"auto-read-only", "on"}, {NULL, NULL}};
    struct BlkError error = {.struct_size = sizeof(error)};
    unsigned i;
    int rule;

    for (i = 0; i < T_COUNT(errors); i++) {
        fake_once(FAKE_OPEN, FAKE_FAIL, errors[i], 0);
        t_forget_reports();
        is(open_auto("on", BLK_O_RDWR), 0, "errno %d", errors[i]);
        is(read_only(), 1, "... it is read-only");
        ok(t_reports() == 1 && t_reports_of(BLK_REPORT_WARNING) == 1, "... and says so once: %s", last_report());
        is(put(1), -EBADF, "... a write is refused");
        is(pread_sync(&img, data, BYTES, 0), 0, "... a read is not");
        is(reopen(BLK_O_RDWR), 0, "... it may be written later");
        is(put(1), 0, "... and is");
        fake_once(FAKE_OPEN, FAKE_FAIL, errors[i], 0);
        is(prepare(BLK_O_RDWR), -errors[i], "... a reopen does not fall back");
        img_close(&img);
        fake_once(FAKE_OPEN, FAKE_FAIL, errors[i], 0);
        is(open_auto("off", BLK_O_RDWR), -errors[i], "... off: %s", img.error.message);
        img_close(&img);
    }
    rule = fake_always(FAKE_OPEN, FAKE_FAIL, EACCES, 0);
    is(open_auto("on", BLK_O_RDWR), -EACCES, "not to be read either");
    img_close(&img);
    fake_calm(rule);
    fake_once(FAKE_OPEN, FAKE_FAIL, EIO, 0);
    is(open_auto("on", BLK_O_RDWR), -EIO, "another failure");
    img_close(&img);
    is(open_auto("on", BLK_O_RDWR), 0, "one that may be written");
    is(read_only(), 0, "... is");
    img_close(&img);
    fake_once(FAKE_OPEN, FAKE_FAIL, EROFS, 0);
    is(open_auto("on", 0), -EROFS, "an open for reading has nothing to fall back to");
    img_close(&img);
    is(open_auto("yes", BLK_O_RDWR), -EINVAL, "auto-read-only=yes: %s", img.error.message);
    img_close(&img);
    is(drv_for("gluster:")->create(fake_uri("vol", "locked"), options, &error), -EINVAL, "create: %s", error.message);
    /* The lock is a reader's then. */
    is(img_open(&img, fake_uri("vol", "locked"), 0, "locking", "on", NULL), 0, "a reader with a lock");
    fake_once(FAKE_OPEN, FAKE_FAIL, EROFS, 0);
    {
        struct img second;

        is(img_open(&second, fake_uri("vol", "locked"), BLK_O_RDWR, "locking", "on", "auto-read-only", "on", NULL), 0,
           "... and one that would write");
        is(second.drv->is_read_only(&second.bs), 1, "... reads beside it");
        img_close(&second);
    }
    img_close(&img);
}

int main(void)
{
    struct BlkError error = {.struct_size = sizeof(error)};

    fake_begin("a reopen changes nothing, or all of it, and loses no write, no lock and no callback");
    t_keep_connection = "1";
    img_create(fake_uri("vol", "locked"), "65536", &error);
    other_host();
    there_and_back();
    direct_follows();
    misuse();
    each_step_fails();
    replaced();
    in_flight();
    among_threads();
    locks();
    locks_of_the_host();
    shared_locks();
    locks_that_fail();
    write_cache();
    hand_over();
    auto_read_only();
    other_host_goes();
    return fake_end();
}
