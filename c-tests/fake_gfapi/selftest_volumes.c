/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connections: how they fail, how long they take, what outlives them. */
#include "selftest.h"

static void init_gives(const char *volume, int want, int want_err)
{
    glfs_t *fs = glfs_new(volume);
    int ret;

    glfs_set_volfile_server(fs, "tcp", "host", 0);
    errno = 77;
    ret = glfs_init(fs);
    SYNC(want, want_err, volume, ret);
    same(glfs_fini(fs), 0, "fini after it");
}

static void *init_run(void *fs)
{
    int ret = glfs_init(fs);

    return (void *)(intptr_t)(ret ? errno + 1 : 0);
}

static intptr_t init_released(const char *volume, int err)
{
    glfs_t *fs = glfs_new(volume);
    pthread_t thread;
    void *result;

    glfs_set_volfile_server(fs, "tcp", "host", 0);
    if (pthread_create(&thread, NULL, init_run, fs))
        abort();
    ok(fake_gfapi_wait_held(1, 5000), "glfs_init of %s hangs", volume);
    same(counters().held, 1, "one call is held");
    same((long long)fake_gfapi_release(FAKE_INIT, 0, err), 1, "it is released");
    pthread_join(thread, &result);
    same(glfs_fini(fs), 0, "fini after it");
    return (intptr_t)result;
}

static void connecting(void)
{
    glfs_t *fs;
    uint64_t begin;

    init_gives("good", 0, 0);
    init_gives("nosuch", -1, ENOENT);
    init_gives("refused", -1, ENOTCONN);
    init_gives("eio", -1, EIO);
    init_gives("errno0", -1, 0);
    init_gives("errno110", -1, ETIMEDOUT);
    init_gives("nosuchthing", 0, 0);
    init_gives("errnoX", 0, 0);
    begin = elapsed_ms();
    init_gives("slow:60", 0, 0);
    ok(elapsed_ms() - begin >= 60, "slow:60 takes 60 ms");
    begin = elapsed_ms();
    init_gives("slow-60", 0, 0);
    ok(elapsed_ms() - begin >= 60, "slow-60 likewise");
    same(init_released("hang", FAKE_AS_IS), 0, "it succeeds");
    same(init_released("hang-2", ETIMEDOUT), ETIMEDOUT + 1, "it fails as told");

    rule(FAKE_INIT, FAKE_FAIL, ENOMEM, 0);
    init_gives("by rule", -1, ENOMEM);
    rule(FAKE_NEW, FAKE_FAIL, ENOMEM, 0);
    ok(!glfs_new("x") && errno == ENOMEM, "glfs_new fails by rule");
    fs = glfs_new("no server");
    SYNC(-1, EINVAL, "init without a server", glfs_init(fs));
    same(glfs_fini(fs), 0, "fini after it");
}

static void lasting(void)
{
    struct image image = image_fresh("one");
    struct stat st;
    char byte = 7;
    glfs_t *other;

    same(glfs_pwrite(image.fd, &byte, 1, 12345, 0, NULL, NULL), 1, "write");
    image_close(&image);
    other = connected("two");
    same(glfs_access(other, "image", F_OK), -1, "volumes do not share files");
    same(glfs_fini(other), 0, "fini");

    image.fs = connected("one");
    image.fd = glfs_open(image.fs, "image", O_RDWR);
    ok(image.fd != NULL, "an image outlives its connection");
    byte = 0;
    glfs_pread(image.fd, &byte, 1, 12345, 0, NULL);
    same(byte, 7, "and so does its data");
    same(glfs_fstat(image.fd, &st) || st.st_size != 1 << 20, 0, "and its size");
    SYNC(-1, EBUSY, "no wipe with an open fd", fake_gfapi_wipe());
    image_close(&image);
    same(fake_gfapi_wipe(), 0, "wipe");
    image.fs = connected("one");
    same(glfs_access(image.fs, "image", F_OK), -1, "nothing is left");
    same(glfs_access(image.fs, "dir", F_OK), 0, "but dir");
    same(glfs_fini(image.fs), 0, "fini");
}

static void ending(void)
{
    glfs_t *fs;
    uint64_t begin;

    fake_gfapi_reset();
    fake_gfapi_set_fini_ms(60);
    fs = connected("one");
    same((long long)counters().live_glfs, 1, "one live object");
    begin = elapsed_ms();
    same(glfs_fini(fs), 0, "fini");
    ok(elapsed_ms() - begin >= 60, "it takes as long as told");
    same((long long)counters().live_glfs, 0, "no live object");
    same((long long)counters().finis_done, 1, "one fini");
    fake_gfapi_set_fini_ms(0);
    rule(FAKE_FINI, FAKE_FAIL, 0, 0);
    fs = connected("one");
    SYNC(-1, 0, "a failing fini", glfs_fini(fs));
    same((long long)counters().live_glfs, 0, "it has ended all the same");
}

static void locking(void)
{
    struct image image = image_fresh("one");
    struct flock flock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    glfs_t *other = connected("one");
    glfs_fd_t *fd = glfs_open(other, "image", O_RDWR);

    same(glfs_posix_lock(image.fd, F_SETLK, &flock), 0, "lock");
    SYNC(-1, EAGAIN, "another connection does not get it",
         glfs_posix_lock(fd, F_SETLK, &flock));
    image_close(&image);
    same(glfs_posix_lock(fd, F_SETLK, &flock), 0, "now it does");
    same(glfs_close(fd), 0, "close");
    same(glfs_fini(other), 0, "fini");
}

void test_volumes(void)
{
    connecting();
    lasting();
    ending();
    locking();
}
