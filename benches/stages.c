/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Preloaded into a client that has one read in flight at a time, whatever driver it uses: where the
 * time of a read goes. What is between two lines happens on one thread.
 *
 *   glfs_preadv_async is entered   submit    translators, RPC, perhaps another thread
 *   writev to the brick            send      the kernel, up to the brick's socket
 *   writev returns                 brick     network, brick, and waking this process
 *   epoll_wait returns             receive   the kernel and RPC: the answer is read
 *   libgfapi calls the driver      callback  what the driver does on Gluster's thread: a wake-up
 *   the driver returns             host      the host's thread wakes, the driver calls the host back,
 *                                            the host sends the next read through the driver
 *   glfs_preadv_async is entered
 *
 * Medians in nanoseconds, and calls to the kernel per read as far as they go through libc's
 * functions below (those on futexes do not), go to the file $STAGES after FIRST + COUNT reads.
 */
#include <dlfcn.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

typedef void (*callback)(void *fd, ssize_t ret, void *before, void *after, void *cookie);

enum stage { SUBMIT, SEND, BRICK, RECEIVE, CALLBACK, HOST, STAGES };

#define FIRST 500
#define COUNT 4000

static const char *const names[STAGES] = {"submit", "send", "brick", "receive", "callback", "host"};
static uint32_t samples[STAGES][COUNT];
static uint64_t entered, sent, returned, left;
static unsigned reads;
static atomic_bool under_way, counting;
static atomic_ulong calls;
static _Thread_local uint64_t readable;
static callback real_callback;
static void *real_cookie;

static uint64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static void add(enum stage stage, uint64_t from, uint64_t to)
{
    if (reads >= FIRST && reads < FIRST + COUNT)
        samples[stage][reads - FIRST] = to > from ? (uint32_t)(to - from) : 0;
}

static void write_down(void)
{
    const char *path = getenv("STAGES");
    FILE *file = path ? fopen(path, "w") : NULL;

    if (!file)
        return;
    fprintf(file, "{\"calls\": %.2f", (double)atomic_load(&calls) / COUNT);
    for (int stage = 0; stage < STAGES; stage++) {
        qsort(samples[stage], COUNT, sizeof(samples[stage][0]), by_size);
        fprintf(file, ", \"%s_ns\": %u", names[stage], samples[stage][COUNT / 2]);
    }
    fputs("}\n", file);
    fclose(file);
}

static void finished(void *fd, ssize_t ret, void *before, void *after, void *cookie)
{
    uint64_t begun = now();

    (void)cookie;
    add(BRICK, returned, readable);
    add(RECEIVE, readable, begun);
    /* During the call the host's thread may enter glfs_preadv_async already, which then sees 0. */
    atomic_store(&under_way, false);
    left = 0;
    real_callback(fd, ret, before, after, real_cookie);
    left = now();
    add(CALLBACK, begun, left);
}

int glfs_preadv_async(void *fd, const struct iovec *iov, int count, off_t offset, int flags,
                      callback done, void *cookie)
{
    static int (*real)(void *, const struct iovec *, int, off_t, int, callback, void *);

    if (!real)
        real = (int (*)(void *, const struct iovec *, int, off_t, int, callback, void *))dlvsym(
            /* Not RTLD_NEXT: whoever dlopens its driver has libgfapi in a scope of its own. */
            dlopen("libgfapi.so.0", RTLD_LAZY | RTLD_NOLOAD), "glfs_preadv_async", "GFAPI_6.0");
    entered = now();
    add(HOST, left ? left : entered, entered);
    reads++;
    if (reads == FIRST)
        atomic_store(&counting, true);
    if (reads == FIRST + COUNT) {
        atomic_store(&counting, false);
        write_down();
    }
    real_callback = done;
    real_cookie = cookie;
    atomic_store(&under_way, true);
    return real(fd, iov, count, offset, flags, finished, cookie);
}

/* ---- the kernel -------------------------------------------------------------------------------- */

static void *next(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

static void count_one(void)
{
    if (atomic_load_explicit(&counting, memory_order_relaxed))
        atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed);
}

/* A wrapper that only counts. */
#define COUNTED(type, name, parameters, arguments)        \
    type name parameters                                  \
    {                                                     \
        static type(*real) parameters;                    \
        if (!real)                                        \
            real = (type(*) parameters)next(#name);       \
        count_one();                                      \
        return real arguments;                            \
    }

COUNTED(ssize_t, readv, (int fd, const struct iovec *iov, int count), (fd, iov, count))
COUNTED(ssize_t, read, (int fd, void *data, size_t length), (fd, data, length))
COUNTED(ssize_t, write, (int fd, const void *data, size_t length), (fd, data, length))
COUNTED(int, epoll_ctl, (int fd, int op, int target, struct epoll_event *event),
        (fd, op, target, event))
COUNTED(int, poll, (struct pollfd *fds, nfds_t count, int timeout), (fds, count, timeout))
COUNTED(int, ppoll,
        (struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask),
        (fds, count, timeout, mask))
COUNTED(pid_t, getpid, (void), ())
COUNTED(uid_t, geteuid, (void), ())
COUNTED(gid_t, getegid, (void), ())
COUNTED(int, getgroups, (int count, gid_t *groups), (count, groups))

ssize_t writev(int fd, const struct iovec *iov, int count)
{
    static ssize_t (*real)(int, const struct iovec *, int);
    uint64_t begun = now();
    ssize_t ret;

    if (!real)
        real = (ssize_t(*)(int, const struct iovec *, int))next("writev");
    count_one();
    if (!atomic_exchange(&under_way, false))
        return real(fd, iov, count);
    add(SUBMIT, entered, begun);
    sent = begun;
    returned = begun; /* should the answer be faster than our own return */
    ret = real(fd, iov, count);
    returned = now();
    add(SEND, sent, returned);
    return ret;
}

int epoll_wait(int fd, struct epoll_event *events, int most, int timeout)
{
    static int (*real)(int, struct epoll_event *, int, int);
    int ret;

    if (!real)
        real = (int (*)(int, struct epoll_event *, int, int))next("epoll_wait");
    count_one();
    ret = real(fd, events, most, timeout);
    readable = now();
    return ret;
}
