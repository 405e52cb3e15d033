/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls kept back until the test releases them. */
#include "internal.h"

#include <stdlib.h>

/* Async requests are chained as they are; a blocked synchronous call has
 * neither fd nor callback. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t released = PTHREAD_COND_INITIALIZER;
static struct request *oldest, **end = &oldest;
static uint64_t total;

static bool is_async(const struct request *request)
{
    return request->fd != NULL;
}

static void append(struct request *request)
{
    request->next = NULL;
    *end = request;
    end = &request->next;
    total++;
}

void hold_request(struct request *request)
{
    pthread_mutex_lock(&lock);
    append(request);
    pthread_mutex_unlock(&lock);
}

bool hold_caller(enum fake_op op, int *err)
{
    struct request caller = { .op = (uint8_t)op, .blocked = true };
    bool as_is;

    pthread_mutex_lock(&lock);
    append(&caller);
    while (caller.blocked)
        pthread_cond_wait(&released, &lock);
    as_is = caller.verdict.action != FAKE_FAIL;
    *err = caller.verdict.err;
    pthread_mutex_unlock(&lock);
    return as_is;
}

uint64_t held_count(void)
{
    uint64_t n;

    pthread_mutex_lock(&lock);
    n = total;
    pthread_mutex_unlock(&lock);
    return n;
}

static bool covers(int op, const struct request *request)
{
    return op == (int)request->op || op == FAKE_ANY ||
           (op == FAKE_ANY_ASYNC && is_async(request));
}

/* xorshift64*: the same seed gives the same order on every machine */
static uint64_t draw(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

static void swap(struct request **requests, size_t i, size_t j)
{
    struct request *other = requests[i];

    requests[i] = requests[j];
    requests[j] = other;
}

void shuffle(struct request **requests, size_t n, int order, uint64_t seed)
{
    uint64_t state = 2 * seed + 1; /* must not be 0 */

    if (order == FAKE_REVERSED)
        for (size_t i = 0; i < n / 2; i++)
            swap(requests, i, n - 1 - i);
    else if (order == FAKE_SHUFFLED)
        for (size_t i = n; i > 1; i--)
            swap(requests, i - 1, (size_t)(draw(&state) % i));
}

static void let_go(struct request *request, int err)
{
    if (err != FAKE_AS_IS)
        request->verdict = (struct verdict){ FAKE_FAIL, err, 0 };
    if (is_async(request))
        lane_push(request->fd->fs, request);
    else
        request->blocked = false;
}

static void unlink_one(struct request *request)
{
    struct request **link = &oldest;

    while (*link != request)
        link = &(*link)->next;
    *link = request->next;
    if (!*link)
        end = link;
    total--;
}

/* Pushes to the lanes with the lock held, so that glfs_fini, which takes the
 * same lock, never stops a lane that is about to be pushed to. */
EXPORT uint64_t fake_gfapi_release(int op, uint64_t n, int err)
{
    struct request **all;
    uint64_t found = 0;

    pthread_mutex_lock(&lock);
    all = malloc((total + 1) * sizeof(struct request *));
    if (!all)
        abort();
    for (struct request *r = oldest; r; r = r->next)
        if (covers(op, r))
            all[found++] = r;
    shuffle(all, found, SETTING(order), counted(&settings.seed));
    if (n && n < found)
        found = n;
    for (uint64_t i = 0; i < found; i++) {
        unlink_one(all[i]);
        let_go(all[i], err);
    }
    pthread_cond_broadcast(&released);
    pthread_mutex_unlock(&lock);
    free(all);
    return found;
}

void held_orphan(glfs_t *fs)
{
    struct request *next;

    pthread_mutex_lock(&lock);
    for (struct request *r = oldest; r; r = next) {
        next = r->next;
        if (!is_async(r) || r->fd->fs != fs)
            continue;
        unlink_one(r);
        r->orphaned = true;
        lane_push(fs, r);
    }
    pthread_mutex_unlock(&lock);
}
