/* SPDX-License-Identifier: GPL-2.0-or-later */
/* TAP lines and one awaited async call, for the two test programs here. */
#ifndef FAKE_GFAPI_TAP_H
#define FAKE_GFAPI_TAP_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <glusterfs/api/glfs.h>

extern int tap_count, tap_failures;
#ifdef TAP_MAIN
int tap_count, tap_failures;
#endif

__attribute__((format(printf, 2, 3))) static inline bool
ok(bool good, const char *format, ...)
{
    va_list args;

    tap_failures += !good;
    printf("%sok %d - ", good ? "" : "not ", ++tap_count);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
    fflush(stdout);
    return good;
}

static inline bool same(long long got, long long want, const char *what)
{
    bool good = ok(got == want, "%s", what);

    if (!good)
        printf("# got %lld, expected %lld\n", got, want);
    return good;
}

/* A result and, if it is a failure, errno. */
static inline void gives(long long got, int err, long long want, int want_err,
                         const char *what)
{
    bool good = got == want && (want >= 0 || err == want_err);

    ok(good, "%s", what);
    if (!good)
        printf("# got %lld errno %d, expected %lld errno %d\n", got, err, want,
               want_err);
}

/* As a macro, since errno as an argument could be read before the call. */
#define SYNC(want, want_err, what, expression)                                 \
    do {                                                                       \
        long long got_ = (expression);                                         \
        int err_ = errno;                                                      \
        gives(got_, err_, want, want_err, what);                               \
    } while (0)

static inline int tap_done(void)
{
    printf("1..%d\n", tap_count);
    return tap_failures > 0;
}

/* One async call and what its callback said. glfs.h declares the submitting
 * calls "leaf": a compiler may assume that they never reach back into this file,
 * so a callback's results must travel through memory that was handed over. */
struct call {
    sem_t done;
    ssize_t ret;
    int err, callbacks;
    pthread_t thread;
    bool has_pre, has_post;
    struct glfs_stat pre, post;
    struct call *next;  /* in order of their callbacks */
    struct call ***end; /* of the list to join */
};

static inline void call_done(glfs_fd_t *fd, ssize_t ret, struct glfs_stat *pre,
                             struct glfs_stat *post, void *data)
{
    struct call *call = data;

    call->err = errno;
    (void)fd;
    call->ret = ret;
    call->callbacks++;
    call->thread = pthread_self();
    call->has_pre = pre != NULL;
    call->has_post = post != NULL;
    if (pre)
        call->pre = *pre;
    if (post)
        call->post = *post;
    if (call->end) {
        **call->end = call;
        *call->end = &call->next;
    }
    sem_post(&call->done);
}

static inline struct call *call_new(void)
{
    struct call *call = calloc(1, sizeof(*call));

    if (!call || sem_init(&call->done, 0, 0))
        abort();
    return call;
}

static inline void call_free(struct call *call)
{
    sem_destroy(&call->done);
    free(call);
}

static inline bool call_wait_ms(struct call *call, long ms)
{
    struct timespec end;

    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += (end.tv_nsec + ms % 1000 * 1000000) / 1000000000 + ms / 1000;
    end.tv_nsec = (end.tv_nsec + ms % 1000 * 1000000) % 1000000000;
    while (sem_timedwait(&call->done, &end))
        if (errno != EINTR)
            return false;
    return true;
}

static inline bool call_wait(struct call *call)
{
    return call_wait_ms(call, 10000);
}

/* Waits for one call and checks its outcome. */
static inline void call_gives(struct call *call, int submitted, long long want,
                              int want_err, const char *what)
{
    if (submitted < 0) {
        ok(false, "%s", what);
        printf("# submit refused, errno %d\n", errno);
    } else if (!call_wait(call)) {
        ok(false, "%s", what);
        printf("# no callback\n");
    } else {
        gives(call->ret, call->err, want, want_err, what);
    }
}

#endif
