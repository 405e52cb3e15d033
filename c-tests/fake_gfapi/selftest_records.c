/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is recorded, and misuse that must be noticed. */
#define FAKE_GFAPI_BIND
#include "selftest.h"

static void configuration(void)
{
    struct fake_server server;
    struct fake_option option;
    struct fake_logging logging;
    const char *value;
    glfs_t *fs;

    fake_gfapi_reset();
    same(fake_gfapi_last_logging(&logging), -1, "no logging yet");
    fs = glfs_new("vol");
    glfs_set_volfile_server(fs, NULL, "a", 0);
    glfs_set_volfile_server(fs, "rdma", "b", 24008);
    same(glfs_set_volfile_server(fs, "sctp", "c", 1), -1, "a bad transport");
    glfs_set_logging(fs, "-", 7);
    glfs_set_xlator_option(fs, "*-client-*", "ping-timeout", "10");
    glfs_set_xlator_option(fs, "*-client-*", "ping-timeout", "20");
    glfs_init(fs);
    glfs_set_xlator_option(fs, "vol-write-behind", "pass-through", "true");
    fake_gfapi_wait_idle(1000);

    same((long long)fake_gfapi_server_count(), 3, "three servers");
    ok(fake_gfapi_server(0, &server) == 0 && server.fs == fs &&
           !server.transport && strcmp(server.host, "a") == 0 &&
           server.port == 0 && server.result == 0,
       "the first, without a transport");
    ok(fake_gfapi_server(1, &server) == 0 && server.port == 24008 &&
           strcmp(server.transport, "rdma") == 0 &&
           strcmp(server.volume, "vol") == 0,
       "the second");
    ok(fake_gfapi_server(2, &server) == 0 && server.result == -1,
       "the third was refused");
    same(fake_gfapi_server(3, &server), -1, "no fourth");
    same((long long)fake_gfapi_option_count(), 3, "three options");
    ok(fake_gfapi_option(0, &option) == 0 && option.before_init &&
           strcmp(option.pattern, "*-client-*") == 0 &&
           strcmp(option.key, "ping-timeout") == 0 &&
           strcmp(option.value, "10") == 0,
       "the first");
    ok(fake_gfapi_option(2, &option) == 0 && !option.before_init,
       "the last came after glfs_init");
    value = fake_gfapi_effective_option("vol", "vol-client-0", "ping-timeout");
    ok(value && strcmp(value, "10") == 0, "of duplicates the first wins");
    ok(!fake_gfapi_effective_option("vol", "vol-write-behind", "pass-through"),
       "after glfs_init is too late");
    ok(!fake_gfapi_effective_option("vol", "vol-io-threads", "ping-timeout"),
       "the pattern must match");
    ok(fake_gfapi_last_logging(&logging) == 0 && logging.level == 7 &&
           strcmp(logging.file, "-") == 0 && logging.before_init,
       "logging");
    glfs_fini(fs);
}

static void counting(void)
{
    struct image image = image_fresh("one");
    struct iovec iov[3];
    struct fake_trace trace;
    struct fake_counters now;
    struct call *call = call_new();
    char buffer[300];

    for (int i = 0; i < 3; i++)
        iov[i] = (struct iovec){ buffer + 100 * i, 100 };
    same(fake_gfapi_set_trace(2), 0, "trace");
    call_gives(call, glfs_preadv_async(image.fd, iov, 3, 512, 0, call_done, call),
               300, 0, "read");
    call_gives(call, glfs_preadv_async(image.fd, iov, 1, 0, 0, call_done, call),
               100, 0, "read");
    call_gives(call, glfs_discard_async(image.fd, 0, BLOCK, call_done, call), 0,
               0, "discard");
    now = counters();
    same((long long)now.calls[FAKE_PREADV_ASYNC], 2, "calls");
    same((long long)now.bytes[FAKE_PREADV_ASYNC], 400, "bytes");
    same((long long)now.max_bytes[FAKE_PREADV_ASYNC], 300, "bytes at most");
    same((long long)now.max_iovcnt[FAKE_PREADV_ASYNC], 3, "iovecs at most");
    same((long long)now.max_bytes[FAKE_DISCARD_ASYNC], BLOCK, "discarded");
    same((long long)now.open_fds, 1, "open fds");
    same((long long)now.in_flight, 0, "none in flight");
    same((long long)fake_gfapi_trace_count(), 2, "the trace is full");
    ok(fake_gfapi_trace_get(0, &trace) == 0 && trace.op == FAKE_PREADV_ASYNC &&
           trace.offset == 512 && trace.length == 300 && trace.iovcnt == 3 &&
           trace.fd == image.fd && trace.tid == gettid(),
       "its first entry");
    same(fake_gfapi_trace_get(2, &trace), -1, "no third");
    ok(strcmp(fake_gfapi_op_name(FAKE_PREADV_ASYNC), "glfs_preadv_async") == 0,
       "names");
    ok(!fake_gfapi_op_name(FAKE_ANY), "no name");
    call_free(call);
    image_close(&image);
    same(fake_gfapi_reset(), 0, "reset");
    now = counters();
    same((long long)now.calls[FAKE_PREADV_ASYNC] + (long long)now.delivered, 0,
         "reset forgets");
}

static void *identified(void *arg)
{
    struct image *image = arg;
    struct call *call = start(image, FAKE_FSYNC_ASYNC, 0, 0);

    call_wait(call);
    finish(call);
    glfs_setfsuid(0);
    glfs_setfsgid(0);
    glfs_setfsgroups(0, NULL);
    call = start(image, FAKE_FSYNC_ASYNC, 0, 0);
    call_wait(call);
    finish(call);
    return NULL;
}

static void identity(void)
{
    struct image image = image_fresh("one");
    uint64_t before = counters().fs_id_threads;
    pthread_t threads[2];

    for (int i = 0; i < 2; i++)
        if (pthread_create(&threads[i], NULL, identified, &image))
            abort();
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    same((long long)(counters().fs_id_threads - before), 2,
         "two threads have set an fs id");
    same((long long)counters().io_without_fs_id, 2,
         "two requests came before it");
    same((long long)counters().calls[FAKE_SETFSGROUPS], 2, "setfsgroups");
    image_close(&image);
}

static void masks(void)
{
    sigset_t all, old, seen;
    glfs_t *fs;

    fake_gfapi_reset();
    same(fake_gfapi_sigmask(FAKE_MASK_INIT, &seen), -1, "no mask yet");
    sigfillset(&all);
    fs = glfs_new("vol");
    glfs_set_volfile_server(fs, "tcp", "h", 0);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    glfs_init(fs);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    glfs_fini(fs);
    ok(fake_gfapi_sigmask(FAKE_MASK_NEW, &seen) == 0 &&
           !sigismember(&seen, SIGUSR1),
       "glfs_new was called with signals on");
    ok(fake_gfapi_sigmask(FAKE_MASK_INIT, &seen) == 0 &&
           sigismember(&seen, SIGUSR1),
       "glfs_init with signals off");
    ok(fake_gfapi_sigmask(FAKE_MASK_NETWORK, &seen) == 0 &&
           sigismember(&seen, SIGUSR1),
       "its thread has inherited that");
}

static void binding(void)
{
    struct fake_gfapi fake;

    fake_gfapi_reset();
    if (!ok(fake_gfapi_bind(&fake) == 0, "the functions are found by name"))
        return;
    glfs_fini(connected("vol"));
    same((long long)fake.server_count(), 1, "and do what they say");
}

void test_records(void)
{
    binding();
    configuration();
    counting();
    identity();
    masks();
}

/* ---- misuse -------------------------------------------------------------- */

static void noticed(int kind, long long times, const char *what)
{
    same((long long)counters().violations[kind], times, what);
}

struct submit_again {
    struct call second;
    int in_callback;
};

static void submits_again(glfs_fd_t *fd, ssize_t ret, struct glfs_stat *pre,
                          struct glfs_stat *post, void *data)
{
    struct submit_again *again = data;

    (void)ret;
    (void)pre;
    (void)post;
    again->in_callback = fake_gfapi_in_callback();
    glfs_fsync_async(fd, call_done, &again->second);
}

static void in_callbacks(void)
{
    struct image image = image_fresh("one");
    struct submit_again again = { .in_callback = 0 };

    sem_init(&again.second.done, 0, 0);
    fake_gfapi_set_mode(FAKE_BEFORE_RETURN, 0);
    glfs_fsync_async(image.fd, submits_again, &again);
    ok(call_wait(&again.second), "the second request completes");
    fake_gfapi_set_mode(FAKE_INLINE, 0);
    glfs_fsync_async(image.fd, submits_again, &again);
    ok(call_wait(&again.second), "the second request completes");
    ok(fake_gfapi_wait_idle(5000), "idle");
    noticed(FAKE_V_CALL_IN_CALLBACK, 2, "calls inside callbacks");
    ok(fake_gfapi_first_violation() &&
           strstr(fake_gfapi_first_violation(), "glfs_fsync_async"),
       "the first is told");
    same(again.in_callback, 1, "in_callback knows");
    same(fake_gfapi_in_callback(), 0, "not here");
    same((long long)fake_gfapi_violations(), 2, "two in all");
    image_close(&image);
}

static void closed_too_early(void)
{
    struct image image = image_fresh("one");
    struct call *read, *write;
    struct stat st;
    char byte = 0;

    fake_gfapi_set_mode(FAKE_HELD, 0);
    write = start(&image, FAKE_PWRITEV_ASYNC, 0, 'c');
    read = start(&image, FAKE_PREADV_ASYNC, 0, 'd');
    same(glfs_close(image.fd), 0, "close");
    noticed(FAKE_V_CLOSE_IN_FLIGHT, 1, "with requests in flight");
    same((long long)fake_gfapi_release(FAKE_ANY, 0, FAKE_AS_IS), 2, "release");
    ok(fake_gfapi_wait_idle(5000), "idle");
    same(write->callbacks + read->callbacks, 0, "no callback came");
    same((long long)counters().dropped, 2, "both were dropped");
    same(block_of(read)[0], 'd', "the buffer was not touched");
    SYNC(-1, EBADF, "use after close", glfs_fstat(image.fd, &st));
    noticed(FAKE_V_USE_AFTER_CLOSE, 1, "is noticed");
    image.fd = glfs_open(image.fs, "image", O_RDWR);
    glfs_pread(image.fd, &byte, 1, 0, 0, NULL);
    same(byte, 'c', "the write has reached the file");
    finish(write);
    finish(read);
    image_close(&image);
}

static void *sync_run(void *fd)
{
    return glfs_fsync(fd, NULL, NULL) < 0 ? (void *)(intptr_t)errno : NULL;
}

static void closed_during_fsync(void)
{
    struct image image = image_fresh("one");
    pthread_t thread;
    void *result;

    rule(FAKE_FSYNC, FAKE_HOLD, 0, 0);
    if (pthread_create(&thread, NULL, sync_run, image.fd))
        abort();
    ok(fake_gfapi_wait_held(1, 5000), "an fsync is held");
    same(fake_gfapi_release(FAKE_ANY_ASYNC, 0, FAKE_AS_IS), 0, "it is not async");
    same(fake_gfapi_release(FAKE_FSYNC, 0, ENOSPC), 1, "it is let go");
    pthread_join(thread, &result);
    same((intptr_t)result, ENOSPC, "with an error of the test's");
    rule(FAKE_FSYNC, FAKE_HOLD, 0, 0);
    if (pthread_create(&thread, NULL, sync_run, image.fd))
        abort();
    ok(fake_gfapi_wait_held(1, 5000), "another is held");
    same(glfs_close(image.fd), 0, "close");
    noticed(FAKE_V_CLOSE_IN_FLIGHT, 1, "during an fsync");
    fake_gfapi_release(FAKE_FSYNC, 0, FAKE_AS_IS);
    pthread_join(thread, &result);
    same((intptr_t)result, EBADF, "which finds the fd closed");
    image.fd = glfs_open(image.fs, "image", O_RDWR);
    image_close(&image);
}

static void ended_too_early(void)
{
    struct image image = image_fresh("one");
    struct flock flock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    struct call *held, *delayed;
    struct stat st;
    uint64_t begin = elapsed_ms();

    same(glfs_posix_lock(image.fd, F_SETLK, &flock), 0, "lock");
    fake_gfapi_set_mode(FAKE_HELD, 0);
    held = start(&image, FAKE_PREADV_ASYNC, 0, 0);
    fake_gfapi_set_mode(FAKE_DELAYED, 60000000);
    delayed = start(&image, FAKE_PREADV_ASYNC, 0, 0);
    same(glfs_fini(image.fs), 0, "fini");
    call_gives(held, 0, -1, ENOTCONN, "what was held fails");
    call_gives(delayed, 0, -1, ENOTCONN, "what was delayed fails");
    ok(elapsed_ms() - begin < 30000, "at once");
    noticed(FAKE_V_FINI_IN_FLIGHT, 1, "that is noticed");
    noticed(FAKE_V_FINI_OPEN_FDS, 1, "and the open fd");
    same((long long)counters().open_fds, 0, "it is closed");
    SYNC(-1, EINVAL, "use after fini", glfs_stat(image.fs, "image", &st));
    SYNC(-1, EINVAL, "a second fini", glfs_fini(image.fs));
    noticed(FAKE_V_USE_AFTER_FINI, 2, "are noticed");
    finish(held);
    finish(delayed);
    image.fs = connected("one");
    image.fd = glfs_open(image.fs, "image", O_RDWR);
    same(glfs_posix_lock(image.fd, F_SETLK, &flock), 0, "the lock is free");
    image_close(&image);
}

static void the_rest(void)
{
    struct image image = image_fresh("one");
    struct iovec huge = { &image, (size_t)1 << 30 };
    struct call *call;
    glfs_t *fs = glfs_new("two");

    ok(!glfs_open(fs, "image", O_RDWR), "open before init");
    noticed(FAKE_V_USE_BEFORE_INIT, 1, "is noticed");
    glfs_set_volfile_server(fs, "tcp", "h", 0);
    glfs_set_volfile_server(fs, "unix", "/sock", 0);
    noticed(FAKE_V_SERVER_MIX, 1, "tcp and unix");
    glfs_fini(fs);
    fs = glfs_new("refused");
    glfs_set_volfile_server(fs, "tcp", "h", 0);
    glfs_init(fs);
    glfs_fini(fs);
    noticed(FAKE_V_FINI_TOO_SOON, 1, "fini right behind a failed init");
    fs = glfs_new("refused");
    glfs_set_volfile_server(fs, "tcp", "h", 0);
    glfs_init(fs);
    usleep(1410000);
    glfs_fini(fs);
    noticed(FAKE_V_FINI_TOO_SOON, 1, "1.4 s later it is fine");

    fake_gfapi_set_mode(FAKE_HELD, 0);
    call = start(&image, FAKE_PREADV_ASYNC, 9, 0);
    same(glfs_lseek(image.fd, 0, SEEK_SET), 0, "lseek");
    noticed(FAKE_V_SEEK_IN_FLIGHT, 0, "an offset may be set");
    glfs_lseek(image.fd, 0, SEEK_HOLE);
    noticed(FAKE_V_SEEK_IN_FLIGHT, 1, "but not looked for");
    fake_gfapi_release(FAKE_ANY, 0, FAKE_AS_IS);
    call_wait(call);
    same(glfs_lseek(image.fd, 0, SEEK_CUR), 10 * BLOCK,
         "completions move the offset");
    fake_gfapi_set_mode(FAKE_THREAD, 0);
    call_gives(call,
               glfs_pwritev_async(image.fd, &huge, 1, 0, 0, call_done, call), -1,
               ENOTCONN, "a transfer of 1 GiB");
    noticed(FAKE_V_TOO_LARGE, 1, "is noticed");
    finish(call);
    image_close(&image);
}

void test_violations(void)
{
    in_callbacks();
    closed_too_early();
    closed_during_fsync();
    ended_too_early();
    the_rest();
}
