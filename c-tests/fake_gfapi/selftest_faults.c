/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls that go wrong on demand, and what is copied when. */
#include "selftest.h"

static void outcome(struct image *image, int op, long long want, int want_err,
                    const char *what)
{
    struct call *call = start(image, op, 0, 'f');

    call_gives(call, 0, want, want_err, what);
    finish(call);
}

static void which_calls(void)
{
    struct image image = image_fresh("one"), other = { .end = NULL };
    struct fake_rule set = { .op = FAKE_FSYNC_ASYNC, .action = FAKE_FAIL,
                             .err = EIO, .nth = 3 };
    int id = fake_gfapi_add_rule(&set);

    for (int i = 1; i <= 4; i++)
        outcome(&image, FAKE_FSYNC_ASYNC, i == 3 ? -1 : 0, EIO, "only the third");
    same((long long)fake_gfapi_rule_hits(id), 1, "one hit");
    same(fake_gfapi_remove_rule(id), 0, "remove");
    same(fake_gfapi_remove_rule(id), -1, "it is gone");

    set.nth = 2;
    set.every = 2;
    set.times = 2;
    id = fake_gfapi_add_rule(&set);
    for (int i = 1; i <= 6; i++)
        outcome(&image, FAKE_FSYNC_ASYNC, i == 2 || i == 4 ? -1 : 0, EIO,
                "every other, twice");
    fake_gfapi_remove_rule(id);

    set = (struct fake_rule){ .op = FAKE_ANY_ASYNC, .action = FAKE_FAIL,
                              .err = ENOTCONN, .every = 1, .volume = "two" };
    id = fake_gfapi_add_rule(&set);
    other.fs = connected("two");
    other.fd = glfs_creat(other.fs, "image", O_RDWR, 0600);
    outcome(&image, FAKE_FSYNC_ASYNC, 0, 0, "not this volume");
    outcome(&other, FAKE_FSYNC_ASYNC, -1, ENOTCONN, "that volume");
    outcome(&other, FAKE_PREADV_ASYNC, -1, ENOTCONN, "any async call of it");
    same(glfs_fsync(other.fd, NULL, NULL), 0, "but no other");
    rule(FAKE_FSYNC_ASYNC, FAKE_PASS, 0, 0);
    outcome(&other, FAKE_FSYNC_ASYNC, 0, 0, "the newest rule decides");
    outcome(&other, FAKE_FSYNC_ASYNC, -1, ENOTCONN, "once");
    image_close(&other);
    same((long long)counters().faults, 7, "faults are counted");
    image_close(&image);
}

static void kinds(void)
{
    struct image image = image_fresh("one");
    struct iovec iov = { "????????", 8 };
    char back[8] = "";
    struct call *call;
    uint64_t begin;

    rule(FAKE_PREADV_ASYNC, FAKE_FAIL, 0, 0);
    outcome(&image, FAKE_PREADV_ASYNC, -1, 0, "failure with errno 0");
    rule(FAKE_PWRITEV_ASYNC, FAKE_REFUSE, ENOMEM, 0);
    SYNC(-1, ENOMEM, "a refused submit",
         glfs_pwritev_async(image.fd, &iov, 1, 0, 0, call_done, NULL));
    rule(FAKE_PWRITEV_ASYNC, FAKE_REFUSE, 0, 0);
    SYNC(-1, 0, "a refused submit with errno 0",
         glfs_pwritev_async(image.fd, &iov, 1, 0, 0, call_done, NULL));
    same((long long)counters().refused, 2, "refusals are counted");
    same((long long)counters().submitted, 1, "and are no submissions");

    rule(FAKE_PWRITEV_ASYNC, FAKE_SHORT, 0, 1000);
    outcome(&image, FAKE_PWRITEV_ASYNC, BLOCK - 1000, 0, "a short write");
    call = start(&image, FAKE_PREADV_ASYNC, 0, 'x');
    call_wait(call);
    ok(block_of(call)[BLOCK - 1001] == 'f' && block_of(call)[BLOCK - 1000] == 0,
       "it wrote just that");
    finish(call);
    rule(FAKE_PREADV_ASYNC, FAKE_SHORT, 0, 4000);
    call = start(&image, FAKE_PREADV_ASYNC, 0, 'x');
    call_gives(call, 0, BLOCK - 4000, 0, "a short read");
    ok(block_of(call)[95] == 'f' && block_of(call)[96] == 'x',
       "it filled just that");
    finish(call);
    rule(FAKE_PREADV_ASYNC, FAKE_SHORT, 0, 1 << 20);
    outcome(&image, FAKE_PREADV_ASYNC, 0, 0, "it never goes below 0");
    rule(FAKE_PWRITEV_ASYNC, FAKE_ZERO, 0, 0);
    outcome(&image, FAKE_PWRITEV_ASYNC, 0, 0, "a write of nothing");
    rule(FAKE_PREADV_ASYNC, FAKE_FORCE, 0, 99999);
    outcome(&image, FAKE_PREADV_ASYNC, 99999, 0, "a result that cannot be");
    rule(FAKE_PREAD, FAKE_SHORT, 0, 3);
    same(glfs_pread(image.fd, back, 8, 0, 0, NULL), 5, "a short glfs_pread");

    rule(FAKE_PREADV_ASYNC, FAKE_HOLD, 0, 0);
    call = start(&image, FAKE_PREADV_ASYNC, 0, 0);
    outcome(&image, FAKE_PREADV_ASYNC, BLOCK, 0, "the next one is not held");
    same(call->callbacks, 0, "this one is");
    fake_gfapi_release(FAKE_PREADV_ASYNC, 1, FAKE_AS_IS);
    call_gives(call, 0, BLOCK, 0, "until it is released");
    finish(call);
    rule(FAKE_PREADV_ASYNC, FAKE_DELAY, 0, 40000);
    begin = elapsed_ms();
    outcome(&image, FAKE_PREADV_ASYNC, BLOCK, 0, "a delayed read");
    ok(elapsed_ms() - begin >= 40, "it took its time");
    rule(FAKE_PREADV_ASYNC, FAKE_ON_SUBMITTER, 0, 0);
    call = start(&image, FAKE_PREADV_ASYNC, 0, 0);
    ok(call->callbacks == 1 && pthread_equal(call->thread, pthread_self()),
       "a read on the submitter");
    finish(call);
    ok(fake_gfapi_wait_idle(5000), "idle");
    image_close(&image);
}

static void *fstat_run(void *fd)
{
    struct stat st;

    return (void *)(intptr_t)(glfs_fstat(fd, &st) ? errno : 0);
}

static void synchronous(void)
{
    struct image image = image_fresh("one");
    struct stat st;
    pthread_t thread;
    void *result;
    char byte;

    rule(FAKE_OPEN, FAKE_FAIL, EACCES, 0);
    ok(!glfs_open(image.fs, "image", O_RDWR) && errno == EACCES, "open");
    rule(FAKE_CREAT, FAKE_FAIL, EDQUOT, 0);
    ok(!glfs_creat(image.fs, "new", O_RDWR, 0600) && errno == EDQUOT, "creat");
    same(glfs_access(image.fs, "new", F_OK), -1, "nothing was created");
    rule(FAKE_FTRUNCATE, FAKE_FAIL, ENOSPC, 0);
    SYNC(-1, ENOSPC, "ftruncate", glfs_ftruncate(image.fd, 0, NULL, NULL));
    rule(FAKE_FSTAT, FAKE_FAIL, EBADFD, 0);
    SYNC(-1, EBADFD, "fstat", glfs_fstat(image.fd, &st));
    same(glfs_fstat(image.fd, &st) || st.st_size != 1 << 20, 0,
         "nothing was truncated");
    rule(FAKE_LSEEK, FAKE_FAIL, ENOTSUP, 0);
    SYNC(-1, ENOTSUP, "lseek", glfs_lseek(image.fd, 0, SEEK_DATA));
    rule(FAKE_LSEEK, FAKE_FORCE, 0, 5);
    same(glfs_lseek(image.fd, 4096, SEEK_HOLE), 5, "lseek before its offset");
    rule(FAKE_PREAD, FAKE_FAIL, EIO, 0);
    SYNC(-1, EIO, "pread", glfs_pread(image.fd, &byte, 1, 0, 0, NULL));
    rule(FAKE_ANY, FAKE_FAIL, ENOTCONN, 0);
    SYNC(-1, ENOTCONN, "any call", glfs_statvfs(image.fs, "/", NULL));
    rule(FAKE_SETFSUID, FAKE_FAIL, ENOMEM, 0);
    SYNC(-1, ENOMEM, "setfsuid", glfs_setfsuid(0));

    rule(FAKE_FSTAT, FAKE_HOLD, 0, 0);
    if (pthread_create(&thread, NULL, fstat_run, image.fd))
        abort();
    ok(fake_gfapi_wait_held(1, 5000), "fstat hangs");
    fake_gfapi_release(FAKE_ANY, 0, ENOTCONN);
    pthread_join(thread, &result);
    same((intptr_t)result, ENOTCONN, "until its connection breaks");

    rule(FAKE_CLOSE, FAKE_FAIL, EDQUOT, 0);
    SYNC(-1, EDQUOT, "close", glfs_close(image.fd));
    same((long long)counters().open_fds, 0, "it has closed all the same");
    same(glfs_fini(image.fs), 0, "fini");
}

static void limits(void)
{
    struct image image = image_fresh("one");
    glfs_fd_t *direct = glfs_open(image.fs, "image", O_RDWR | O_DIRECT);
    struct statvfs vfs;
    struct stat st;
    char byte;

    fake_gfapi_set_alignment(BLOCK);
    SYNC(-1, EINVAL, "unaligned O_DIRECT",
         glfs_pread(direct, &byte, 1, 0, 0, NULL));
    same(glfs_pread(image.fd, &byte, 1, 0, 0, NULL), 1, "without O_DIRECT");
    fake_gfapi_set_alignment(0);
    same(glfs_pread(direct, &byte, 1, 0, 0, NULL), 1, "without alignment");
    glfs_close(direct);

    fake_gfapi_set_capacity(1 << 20);
    SYNC(-1, ENOSPC, "fallocate beyond the capacity",
         glfs_fallocate(image.fd, 0, 0, 2 << 20));
    same(glfs_fallocate(image.fd, 0, 0, 1 << 20), 0, "within it");
    same(glfs_statvfs(image.fs, "/", &vfs), 0, "statvfs");
    same((long long)vfs.f_bfree, 0, "it is full");
    same(glfs_zerofill(image.fd, 0, INT64_C(1) << 40), 0, "zerofill of 1 TiB");
    same(glfs_fstat(image.fd, &st) || st.st_size != INT64_C(1) << 40, 0,
         "it grew");
    image_close(&image);
}

void test_faults(void)
{
    which_calls();
    kinds();
    synchronous();
    limits();
}

static void stats(void)
{
    struct image image = image_fresh("one");
    struct call *call = start(&image, FAKE_PWRITEV_ASYNC, 256, 's');

    call_wait(call);
    ok(call->has_pre && call->pre.glfs_st_size == 1 << 20 &&
           call->post.glfs_st_size == (1 << 20) + BLOCK,
       "real stats");
    finish(call);
    rule(FAKE_PWRITEV_ASYNC, FAKE_FAIL, EIO, 0);
    call = start(&image, FAKE_PWRITEV_ASYNC, 0, 's');
    call_wait(call);
    ok(call->has_pre && call->post.glfs_st_mask == 0, "zeroed on failure");
    finish(call);
    fake_gfapi_set_stat_mode(FAKE_STAT_ZEROED);
    call = start(&image, FAKE_PWRITEV_ASYNC, 0, 's');
    call_wait(call);
    ok(call->has_pre && call->has_post && call->post.glfs_st_size == 0,
       "zeroed on success");
    finish(call);
    fake_gfapi_set_stat_mode(FAKE_STAT_NULL);
    call = start(&image, FAKE_PWRITEV_ASYNC, 0, 's');
    call_wait(call);
    ok(!call->has_pre && !call->has_post, "no stats");
    finish(call);
    fake_gfapi_set_stat_mode(FAKE_STAT_GARBAGE);
    call = start(&image, FAKE_PWRITEV_ASYNC, 0, 's');
    call_wait(call);
    ok(call->post.glfs_st_size != (1 << 20) + BLOCK, "garbage");
    finish(call);
    image_close(&image);
}

static void copies(void)
{
    struct image image = image_fresh("one");
    struct call *call = call_new();
    char from[16] = "0123456789abcdef", to[16] = "";
    struct iovec iov[2] = { { from, 10 }, { from + 10, 6 } };

    fake_gfapi_set_mode(FAKE_HELD, 0);
    same(glfs_pwritev_async(image.fd, iov, 2, 0, 0, call_done, call), 0,
         "a held write");
    memset(from, 'X', sizeof(from));
    memset(iov, 0, sizeof(iov));
    same(glfs_pread(image.fd, to, 16, 0, 0, NULL), 16, "nothing");
    same(to[0], 0, "is written yet");
    fake_gfapi_release(FAKE_ANY, 0, FAKE_AS_IS);
    call_gives(call, 0, 16, 0, "iovecs and data were copied");
    same(glfs_pread(image.fd, to, 16, 0, 0, NULL), 16, "and now");
    ok(memcmp(to, "0123456789abcdef", 16) == 0, "the data is there");

    memset(to, 'Y', sizeof(to));
    iov[0] = (struct iovec){ to, 10 };
    iov[1] = (struct iovec){ to + 10, 6 };
    same(glfs_preadv_async(image.fd, iov, 2, 0, 0, call_done, call), 0,
         "a held read");
    memset(iov, 0, sizeof(iov));
    same(to[0], 'Y', "the buffer is filled late");
    fake_gfapi_release(FAKE_ANY, 0, FAKE_AS_IS);
    call_gives(call, 0, 16, 0, "the iovecs were copied");
    ok(memcmp(to, "0123456789abcdef", 16) == 0, "the data has come");
    call_free(call);
    image_close(&image);
}

static void garbage(void)
{
    struct image image = image_fresh("one");
    bool seen[256] = { false };
    int kinds = 0, zero = 0;

    for (int i = 0; i < 30; i++) {
        struct call *call = start(&image, FAKE_PREADV_ASYNC, 0, 0);

        call_wait(call);
        seen[call->err & 255] = true;
        finish(call);
        errno = 0;
        glfs_fsync(image.fd, NULL, NULL);
        zero += errno == 0;
    }
    for (int i = 0; i < 256; i++)
        kinds += seen[i];
    ok(kinds > 3, "errno is garbage in callbacks that report success");
    ok(zero < 15, "and after calls that succeed");
    image_close(&image);
}

void test_stats_and_copies(void)
{
    stats();
    copies();
    garbage();
}
