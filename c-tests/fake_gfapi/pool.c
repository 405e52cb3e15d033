/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Request memory. Network threads give requests back to one shared stack;
 * a submitter that has none left takes the whole stack for itself. Taking all
 * instead of one leaves no room for the ABA problem and keeps malloc, and any
 * lock, out of the path of an I/O. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define SLAB 64

struct slab {
    struct slab *next;
    struct request requests[SLAB];
};

static _Atomic(struct request *) shared;
static _Atomic(struct slab *) slabs; /* keeps them reachable for valgrind */
static pthread_key_t thread_exit;
static pthread_once_t once = PTHREAD_ONCE_INIT;

void requests_put(struct request *first, struct request *last)
{
    struct request *top = atomic_load_explicit(&shared, memory_order_relaxed);

    do
        last->next = top;
    while (!atomic_compare_exchange_weak_explicit(
        &shared, &top, first, memory_order_release, memory_order_relaxed));
}

static void give_back(void *unused)
{
    struct request *first = thread_state.free;
    struct request *last = first;

    (void)unused;
    thread_state.free = NULL;
    thread_state.registered = 0;
    if (!first)
        return;
    while (last->next)
        last = last->next;
    requests_put(first, last);
}

static void make_key(void)
{
    if (pthread_key_create(&thread_exit, give_back))
        abort();
}

static struct request *more(void)
{
    struct slab *slab = aligned_alloc(CACHE_LINE, sizeof(*slab));
    struct slab *top = atomic_load(&slabs);

    if (!slab)
        return NULL;
    memset(slab, 0, sizeof(*slab));
    for (int i = 0; i + 1 < SLAB; i++)
        slab->requests[i].next = &slab->requests[i + 1];
    do
        slab->next = top;
    while (!atomic_compare_exchange_weak(&slabs, &top, slab));
    return slab->requests;
}

struct request *request_get(void)
{
    struct thread_state *state = &thread_state;
    struct request *request;

    if (!state->registered) {
        pthread_once(&once, make_key);
        pthread_setspecific(thread_exit, state);
        state->registered = 1;
    }
    if (!state->free)
        state->free = atomic_exchange_explicit(&shared, NULL,
                                               memory_order_acquire);
    if (!state->free)
        state->free = more();
    request = state->free;
    if (request)
        state->free = request->next;
    return request;
}
