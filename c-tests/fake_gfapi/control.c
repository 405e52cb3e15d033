/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Settings a test makes at run time, and the waits it needs. */
#include "internal.h"

#include <string.h>

#define DEFAULT_SPIN 200
#define DEFAULT_CAPACITY (UINT64_C(4) << 30)

struct settings settings = {
    .mode = FAKE_THREAD,
    .storage = 1,
    .threads = 1,
    .spin = DEFAULT_SPIN,
    .capacity = DEFAULT_CAPACITY,
};

EXPORT void fake_gfapi_set_mode(int mode, uint64_t delay_us)
{
    atomic_store(&settings.delay_us, delay_us);
    atomic_store(&settings.mode, mode);
}

EXPORT void fake_gfapi_set_order(int order, uint64_t seed)
{
    atomic_store(&settings.seed, seed);
    atomic_store(&settings.order, order);
}

EXPORT void fake_gfapi_set_threads(unsigned threads)
{
    atomic_store(&settings.threads, threads < 1           ? 1
                                    : threads > MAX_LANES ? MAX_LANES
                                                          : threads);
}

EXPORT void fake_gfapi_set_storage(int on)
{
    atomic_store(&settings.storage, on);
}

EXPORT void fake_gfapi_set_stat_mode(int stat_mode)
{
    atomic_store(&settings.stat_mode, stat_mode);
}

EXPORT void fake_gfapi_set_spin(unsigned rounds)
{
    atomic_store(&settings.spin, rounds);
}

EXPORT void fake_gfapi_set_fini_ms(unsigned ms)
{
    atomic_store(&settings.fini_ms, ms);
}

EXPORT void fake_gfapi_set_graph(unsigned number)
{
    atomic_store(&settings.graph, number);
}

EXPORT void fake_gfapi_set_capacity(uint64_t bytes)
{
    atomic_store(&settings.capacity, bytes);
}

EXPORT void fake_gfapi_set_alignment(uint64_t bytes)
{
    atomic_store(&settings.alignment, bytes);
}

static bool idle(void)
{
    uint64_t returned = atomic_load(&record.returned);
    uint64_t dropped = atomic_load(&record.dropped);

    return atomic_load(&record.submitted) == returned + dropped;
}

EXPORT int fake_gfapi_reset(void)
{
    if (!idle()) {
        errno = EBUSY;
        return -1;
    }
    faults_reset();
    record_reset();
    fake_gfapi_set_mode(FAKE_THREAD, 0);
    fake_gfapi_set_order(FAKE_IN_ORDER, 0);
    fake_gfapi_set_threads(1);
    fake_gfapi_set_storage(1);
    fake_gfapi_set_stat_mode(FAKE_STAT_REAL);
    fake_gfapi_set_spin(DEFAULT_SPIN);
    fake_gfapi_set_fini_ms(0);
    fake_gfapi_set_graph(0);
    fake_gfapi_set_capacity(DEFAULT_CAPACITY);
    fake_gfapi_set_alignment(0);
    return 0;
}

EXPORT int fake_gfapi_wipe(void)
{
    errno = store_wipe();
    return errno ? -1 : 0;
}

EXPORT int fake_gfapi_in_callback(void)
{
    return thread_state.network || thread_state.callback_depth > 0;
}

static bool poll_until(bool (*reached)(uint64_t), uint64_t arg, unsigned ms)
{
    uint64_t end = now_ns() + UINT64_C(1000000) * ms;

    while (!reached(arg)) {
        if (now_ns() >= end)
            return false;
        sleep_us(100);
    }
    return true;
}

static bool enough_held(uint64_t wanted)
{
    return held_count() >= wanted;
}

static bool nothing_left(uint64_t unused)
{
    (void)unused;
    return idle();
}

EXPORT int fake_gfapi_wait_held(uint64_t wanted, unsigned timeout_ms)
{
    return poll_until(enough_held, wanted, timeout_ms);
}

EXPORT int fake_gfapi_wait_idle(unsigned timeout_ms)
{
    return poll_until(nothing_left, 0, timeout_ms);
}
