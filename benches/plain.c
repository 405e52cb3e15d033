/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The least that a C program can do around libgfapi: finished requests go on a lock-free list, and
 * a thread that sleeps is woken by a futex. That is cheaper than what a host with a poll loop can
 * use, so it is the bound for what the driver may add.
 * --wake eventfd waits in a way that a poll loop can; --wake condvar is the textbook's; --wake spin
 * never sleeps, which shows what all the others share.
 */
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "volume.h"

struct queue {
    _Alignas(64) _Atomic(struct slot *) newest;
    _Atomic uint32_t asleep;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int event;
};

static const char *const names[] = {"futex", "eventfd", "condvar", "spin"};
static enum { FUTEX, EVENTFD, CONDVAR, SPIN, WAKES } wake;

static void make_lane(struct lane *lane)
{
    struct queue *queue = aligned_alloc(64, (sizeof(*queue) + 63) & ~(size_t)63);

    if (!queue)
        fail("out of memory");
    memset(queue, 0, sizeof(*queue));
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->changed, NULL);
    queue->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    for (wake = FUTEX; wake < WAKES && strcmp(settings.wake, names[wake]); wake++)
        ;
    if (wake == WAKES)
        fail("no such way to wait: %s", settings.wake);
    lane->handle = queue;
}

static void start_lane(struct lane *lane)
{
    (void)lane;
    fix_identity();
}

static void wake_up(struct queue *queue)
{
    switch (wake) {
    case FUTEX: syscall(SYS_futex, &queue->asleep, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0); break;
    case EVENTFD: eventfd_write(queue->event, 1); break;
    case CONDVAR:
        pthread_mutex_lock(&queue->lock);
        pthread_cond_signal(&queue->changed);
        pthread_mutex_unlock(&queue->lock);
        break;
    default: break;
    }
}

static void done(glfs_fd_t *file, ssize_t ret, struct glfs_stat *before, struct glfs_stat *after,
                 void *cookie)
{
    struct slot *slot = cookie;
    struct queue *queue = slot->image->lane->handle;

    (void)file, (void)before, (void)after;
    slot->result = ret < 0                                                      ? -errno
                   : slot->kind != FLUSH_OP && (size_t)ret != slot->iov.iov_len ? -EIO
                                                                                : 0;
    slot->next = atomic_load_explicit(&queue->newest, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&queue->newest, &slot->next, slot,
                                                  memory_order_seq_cst, memory_order_relaxed))
        ;
    /* The slot may be on its next journey already. Sequentially consistent, as are the two accesses
     * in `sleep_until`: either this sees `asleep`, or the lane sees the slot. */
    if (atomic_load(&queue->asleep) && atomic_exchange(&queue->asleep, 0))
        wake_up(queue);
}

static void sleep_until_woken(struct queue *queue)
{
    struct pollfd event = {.fd = queue->event, .events = POLLIN};
    eventfd_t count;

    atomic_store(&queue->asleep, 1);
    if (atomic_load(&queue->newest) && atomic_exchange(&queue->asleep, 0))
        return;
    switch (wake) {
    case FUTEX:
        while (atomic_load(&queue->asleep))
            syscall(SYS_futex, &queue->asleep, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
        break;
    case EVENTFD:
        while (poll(&event, 1, -1) < 1 || eventfd_read(queue->event, &count))
            ;
        break;
    case CONDVAR:
        pthread_mutex_lock(&queue->lock);
        while (atomic_load(&queue->asleep))
            pthread_cond_wait(&queue->changed, &queue->lock);
        pthread_mutex_unlock(&queue->lock);
        break;
    default: break;
    }
}

static void wait_for_some(struct lane *lane)
{
    struct queue *queue = lane->handle;
    struct slot *newest, *oldest = NULL;

    while (!atomic_load_explicit(&queue->newest, memory_order_relaxed))
        if (wake != SPIN)
            sleep_until_woken(queue);
    newest = atomic_exchange(&queue->newest, NULL);
    while (newest) {
        struct slot *next = newest->next;

        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        struct slot *slot = oldest;

        oldest = slot->next;
        finished(slot, slot->result);
    }
}

static void open_image(struct image *image)
{
    image->handle = open_file(image);
}

static void close_image(struct image *image)
{
    close_file(image->handle);
}

static void submit(struct slot *slot)
{
    send_slot(slot->image->handle, slot, done, slot);
}

const struct contestant contestant = {
    .name = "plain",
    .make_lane = make_lane,
    .start_lane = start_lane,
    .open = open_image,
    .close = close_image,
    .submit = submit,
    .wait = wait_for_some,
};
