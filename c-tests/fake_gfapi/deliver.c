/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lanes: a network thread each, with a list that submitters push to without a
 * lock. The thread takes the whole list at once, so that under load one wake-up
 * serves many completions. */
#include "internal.h"

#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>

static void futex_wait(_Atomic uint32_t *word, uint32_t value, uint64_t ns)
{
    struct timespec timeout = { (time_t)(ns / 1000000000),
                                (long)(ns % 1000000000) };

    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, ns ? &timeout : NULL,
            NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

/* ---- one completion ------------------------------------------------------ */

/* The callback's view of a request is the last: it may be gone after it, and
 * whoever drains an fd by counting callbacks may close it from another thread
 * while the callback still runs. So the request counts as finished before. */
static void call_back(struct request *request, int64_t ret, int err,
                      struct glfs_stat *pre, struct glfs_stat *post,
                      bool on_submitter)
{
    glfs_fd_t *fd = request->fd;
    _Atomic uint32_t *delivered = request->delivered;

    if (atomic_load_explicit(&fd->closed, memory_order_acquire)) {
        pthread_mutex_lock(&fd->lock);
        atomic_fetch_add(&fd->finished, 1);
        if (atomic_load(&fd->finished) == atomic_load(&fd->submitted) &&
            fd->kernel_fd >= 0) {
            close(fd->kernel_fd);
            fd->kernel_fd = -1;
            store_close(fd->node);
        }
        pthread_mutex_unlock(&fd->lock);
        atomic_fetch_add(&record.dropped, 1);
    } else {
        atomic_fetch_add(&fd->finished, 1);
        atomic_fetch_add(&record.delivered, 1);
        if (on_submitter)
            count(&record.on_submitter, 1);
        thread_state.callback_depth++;
        errno = err;
        request->callback(fd, ret, pre, post, request->data);
        thread_state.callback_depth--;
        atomic_fetch_add(&record.returned, 1);
    }
    if (delivered) {
        atomic_store(delivered, 1);
        futex_wake(delivered);
    }
}

static bool plain(const struct request *request)
{
    return !request->storage && request->verdict.action == FAKE_PASS &&
           !request->orphaned && request->length > 0 &&
           request->length < (1 << 30) && SETTING(stat_mode) == FAKE_STAT_REAL;
}

void complete(struct request *request, bool on_submitter)
{
    static struct glfs_stat blank;
    struct io io;

    if (plain(request)) {
        bool moves = request->kind == IO_READ || request->kind == IO_WRITE;

        call_back(request, moves ? request->length : 0, garbage_errno(),
                  request->kind == IO_READ ? NULL : &blank, &blank,
                  on_submitter);
        return;
    }
    io.fd = request->fd;
    io.kind = (enum io_kind)request->kind;
    io.op = (enum fake_op)request->op;
    io.iov = request->iov;
    io.iovcnt = request->iovcnt;
    io.storage = request->storage;
    io.offset = request->offset;
    io.length = request->length;
    io.verdict = request->verdict;
    if (request->orphaned)
        io.verdict = (struct verdict){ FAKE_FAIL, ENOTCONN, 0 };
    /* As in the real one, a read for a closed fd leaves the buffer alone. */
    if (io.kind == IO_READ && atomic_load(&request->fd->closed))
        io.verdict = (struct verdict){ FAKE_FAIL, EBADF, 0 };
    execute(&io);
    if (request->iov != request->few)
        free(request->iov);
    free(request->copy);
    call_back(request, io.ret, io.err, io.has_pre ? &io.pre : NULL,
              io.has_post ? &io.post : NULL, on_submitter);
}

void wait_delivered(_Atomic uint32_t *delivered)
{
    while (!atomic_load(delivered))
        futex_wait(delivered, 0, 0);
}

/* ---- a lane -------------------------------------------------------------- */

static void push(struct lane *lane, struct request *request)
{
    struct request *top =
        atomic_load_explicit(&lane->incoming, memory_order_relaxed);

    do
        request->next = top;
    while (!atomic_compare_exchange_weak(&lane->incoming, &top, request));
    if (atomic_load(&lane->sleeping) && atomic_exchange(&lane->sleeping, 0))
        futex_wake(&lane->sleeping);
}

void lane_push(glfs_t *fs, struct request *request)
{
    unsigned lane = 0;

    if (fs->lane_count > 1)
        lane = atomic_fetch_add(&fs->next_lane, 1) % fs->lane_count;
    push(&fs->lanes[lane], request);
}

static struct request *reversed(struct request *list)
{
    struct request *result = NULL;

    while (list) {
        struct request *next = list->next;

        list->next = result;
        result = list;
        list = next;
    }
    return result;
}

static void wait_in_line(struct lane *lane, struct request *request)
{
    struct request **link = &lane->waiting;

    while (*link && (*link)->due_ns <= request->due_ns)
        link = &(*link)->next;
    request->next = *link;
    *link = request;
}

/* Requests are given back in batches: one contended exchange for many. */
struct returns {
    struct request *first, *last;
};

static void finish(struct returns *returns, struct request *request)
{
    complete(request, false);
    request->next = returns->first;
    returns->first = request;
    if (!returns->last)
        returns->last = request;
}

static void finish_batch(struct lane *lane, struct returns *returns, int order)
{
    struct request *all[512];
    size_t n = 0;

    for (struct request **link = &lane->waiting; *link && n < 512;)
        if ((*link)->order == order) {
            all[n++] = *link;
            *link = (*link)->next;
        } else {
            link = &(*link)->next;
        }
    shuffle(all, n, order, counted(&settings.seed));
    for (size_t i = 0; i < n; i++)
        finish(returns, all[i]);
}

static void finish_due(struct lane *lane, struct returns *returns, bool stop)
{
    while (lane->waiting && (stop || lane->waiting->due_ns <= now_ns())) {
        struct request *request = lane->waiting;

        if (request->order != FAKE_IN_ORDER) {
            finish_batch(lane, returns, request->order);
        } else {
            lane->waiting = request->next;
            finish(returns, request);
        }
    }
}

static void sleep_until_pushed(struct lane *lane)
{
    uint64_t now, ns = 0;

    if (lane->waiting) {
        now = now_ns();
        if (lane->waiting->due_ns <= now)
            return;
        ns = lane->waiting->due_ns - now;
    }
    for (unsigned i = SETTING(spin); i > 0; i--) {
        if (atomic_load_explicit(&lane->incoming, memory_order_relaxed))
            return;
        relax();
    }
    atomic_store(&lane->sleeping, 1);
    if (!atomic_load(&lane->incoming) && !atomic_load(&lane->stop))
        futex_wait(&lane->sleeping, 1, ns);
    atomic_store(&lane->sleeping, 0);
}

static void *lane_run(void *arg)
{
    struct lane *lane = arg;
    sigset_t mask;

    thread_state.network = 1;
    prctl(PR_SET_NAME, "fake-gfapi-net");
    prctl(PR_SET_TIMERSLACK, 1); /* for delays of a few microseconds */
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    record_mask(FAKE_MASK_NETWORK, &mask);

    for (;;) {
        /* Read before the list: what was pushed before the stop is served. */
        bool stop = atomic_load(&lane->stop);
        struct request *list = reversed(atomic_exchange(&lane->incoming, NULL));
        struct returns returns = { NULL, NULL };
        bool idle = !list;

        while (list) {
            struct request *request = list;

            list = request->next;
            if (stop)
                request->orphaned = true;
            if (request->due_ns)
                wait_in_line(lane, request);
            else
                finish(&returns, request);
        }
        if (stop)
            for (struct request *r = lane->waiting; r; r = r->next)
                r->orphaned = true;
        finish_due(lane, &returns, stop);
        if (returns.first)
            requests_put(returns.first, returns.last);
        if (idle && stop)
            return NULL;
        if (idle)
            sleep_until_pushed(lane);
    }
}

bool lanes_start(glfs_t *fs)
{
    unsigned wanted = SETTING(threads);

    fs->lanes = aligned_alloc(CACHE_LINE, wanted * sizeof(*fs->lanes));
    if (!fs->lanes)
        return false;
    memset(fs->lanes, 0, wanted * sizeof(*fs->lanes));
    for (fs->lane_count = 0; fs->lane_count < wanted; fs->lane_count++) {
        struct lane *lane = &fs->lanes[fs->lane_count];

        if (pthread_create(&lane->thread, NULL, lane_run, lane)) {
            lanes_stop(fs);
            return false;
        }
    }
    fs->started = true;
    return true;
}

void lanes_stop(glfs_t *fs)
{
    for (unsigned i = 0; i < fs->lane_count; i++) {
        struct lane *lane = &fs->lanes[i];

        atomic_store(&lane->stop, true);
        if (atomic_exchange(&lane->sleeping, 0))
            futex_wake(&lane->sleeping);
    }
    for (unsigned i = 0; i < fs->lane_count; i++) {
        /* From inside a callback, which is noted as misuse, it cannot be
         * joined; it still ends. */
        if (pthread_equal(fs->lanes[i].thread, pthread_self()))
            pthread_detach(fs->lanes[i].thread);
        else
            pthread_join(fs->lanes[i].thread, NULL);
    }
    fs->started = false;
}
