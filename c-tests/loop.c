/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The poll loop. Each thread polls what it opened itself; a nested t_poll inside a callback is allowed. */
#include "harness.h"

#include <poll.h>
#include <time.h>

#include "harness_internal.h"

struct watch {
    int fd;
    unsigned id; /* tells an fd from a later one of the same number */
    BlkFdHandler on_readable;
    void *arg;
    pthread_t owner;
};

int t_watch_result;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct watch *watches;
static unsigned count, room, next_id, added, removed;
static BlkFdHandler last_handler;
static void *last_arg;

static void forget(int fd)
{
    unsigned i;

    for (i = 0; i < count; i++)
        if (watches[i].fd == fd) {
            watches[i] = watches[--count];
            return;
        }
}

static void keep(int fd, BlkFdHandler on_readable, void *arg)
{
    if (count == room) {
        room = room ? room * 2 : 16;
        watches = realloc(watches, room * sizeof(*watches));
        if (!watches)
            abort();
    }
    watches[count].fd = fd;
    watches[count].id = ++next_id;
    watches[count].on_readable = on_readable;
    watches[count].arg = arg;
    watches[count].owner = pthread_self();
    count++;
    last_handler = on_readable;
    last_arg = arg;
}

int t_set_fd_handler(void *opaque, struct BlkState *bs, int fd, BlkFdHandler on_readable, void *arg)
{
    (void)opaque;
    (void)bs;
    if (on_readable && t_watch_result < 0)
        return t_watch_result;
    pthread_mutex_lock(&lock);
    forget(fd);
    if (on_readable) {
        keep(fd, on_readable, arg);
        added++;
    } else {
        removed++;
    }
    pthread_mutex_unlock(&lock);
    return 0;
}

void t_loop_free(void)
{
    free(watches);
    watches = NULL;
    count = room = 0;
}

unsigned t_watched(void)
{
    return count;
}

unsigned t_watch_calls(void)
{
    return added;
}

unsigned t_unwatch_calls(void)
{
    return removed;
}

BlkFdHandler t_last_handler(void **arg)
{
    *arg = last_arg;
    return last_handler;
}

/* A handler that ran before it may have closed this image, or opened another one with this fd. */
static bool still_watched(const struct watch *watch)
{
    unsigned i;
    bool found = false;

    pthread_mutex_lock(&lock);
    for (i = 0; i < count && !found; i++)
        found = watches[i].id == watch->id;
    pthread_mutex_unlock(&lock);
    return found;
}

int t_poll(int timeout_ms)
{
    enum { MOST = 256 };
    struct watch mine[MOST];
    struct pollfd fds[MOST];
    unsigned i, n = 0;
    int called = 0;

    pthread_mutex_lock(&lock);
    for (i = 0; i < count && n < MOST; i++)
        if (pthread_equal(watches[i].owner, pthread_self())) {
            mine[n] = watches[i];
            fds[n].fd = watches[i].fd;
            fds[n].events = POLLIN;
            fds[n].revents = 0;
            n++;
        }
    pthread_mutex_unlock(&lock);
    if (poll(fds, n, timeout_ms) <= 0)
        return 0;
    for (i = 0; i < n; i++)
        if (fds[i].revents && still_watched(&mine[i])) {
            mine[i].on_readable(mine[i].arg);
            called++;
        }
    return called;
}

int64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

bool run_until(bool (*done)(void *), void *arg, double seconds)
{
    int64_t end = now_us() + (int64_t)(seconds * t_time_factor() * 1e6);

    while (!done(arg)) {
        if (now_us() > end)
            return false;
        /* Short, since `done` may look at what another thread does. */
        t_poll(5);
    }
    return true;
}

struct goal {
    const int *counter;
    int wanted;
};

static bool goal_reached(void *arg)
{
    const struct goal *goal = arg;

    return __atomic_load_n(goal->counter, __ATOMIC_ACQUIRE) >= goal->wanted;
}

bool wait_for(const int *counter, int wanted, double seconds)
{
    struct goal goal;

    goal.counter = counter;
    goal.wanted = wanted;
    return run_until(goal_reached, &goal, seconds);
}

void run_for(double seconds)
{
    int64_t end = now_us() + (int64_t)(seconds * 1e6), left;

    while ((left = end - now_us()) > 0)
        t_poll((int)(left / 1000) + 1);
}
