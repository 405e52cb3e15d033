/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the library has seen: counters, misuse, calls worth remembering. */
#include "internal.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct record record;

/* Guards everything below; the counters need no lock. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static char first_violation[256];
static sigset_t masks[3];
static bool mask_known[3];

static struct fake_server *servers;
static struct fake_option *options;
static uint64_t server_total, option_total;
static struct fake_logging logging;
static bool logging_known;

static atomic_bool tracing;
static struct fake_trace *trace;
static uint64_t trace_capacity, trace_total;

static const char *const op_names[] = {
#define X(upper, lower, async) "glfs_" #lower,
    FAKE_OPS(X)
#undef X
};

EXPORT const char *fake_gfapi_op_name(int op)
{
    return op >= 0 && op < FAKE_OP_COUNT ? op_names[op] : NULL;
}

void violation(enum fake_violation kind, enum fake_op op, const char *detail)
{
    pthread_mutex_lock(&lock);
    if (!first_violation[0])
        snprintf(first_violation, sizeof(first_violation), "%s: %s",
                 op_names[op], detail);
    pthread_mutex_unlock(&lock);
    count(&record.violations[kind], 1);
}

EXPORT uint64_t fake_gfapi_violations(void)
{
    uint64_t sum = 0;

    for (int i = 0; i < FAKE_V_COUNT; i++)
        sum += counted(&record.violations[i]);
    return sum;
}

EXPORT const char *fake_gfapi_first_violation(void)
{
    const char *text;

    pthread_mutex_lock(&lock);
    text = first_violation[0] ? first_violation : NULL;
    pthread_mutex_unlock(&lock);
    return text;
}

EXPORT void fake_gfapi_counters(struct fake_counters *out)
{
    memset(out, 0, sizeof(*out));
    for (int i = 0; i < FAKE_OP_COUNT; i++) {
        out->calls[i] = counted(&record.op[i].calls);
        out->bytes[i] = counted(&record.op[i].bytes);
        out->max_bytes[i] = counted(&record.op[i].max_bytes);
        out->max_iovcnt[i] = counted(&record.op[i].max_iovcnt);
    }
    for (int i = 0; i < FAKE_V_COUNT; i++)
        out->violations[i] = counted(&record.violations[i]);
    /* What ends is read before what begins, or in_flight could go below 0. */
    out->delivered = atomic_load(&record.delivered);
    out->dropped = atomic_load(&record.dropped);
    out->submitted = atomic_load(&record.submitted);
    out->in_flight = out->submitted - out->delivered - out->dropped;
    out->on_submitter = counted(&record.on_submitter);
    out->refused = counted(&record.refused);
    out->max_in_flight = counted(&record.max_in_flight);
    out->held = held_count();
    out->faults = counted(&record.faults);
    out->open_fds = counted(&record.open_fds);
    out->live_glfs = counted(&record.live_glfs);
    out->finis_started = counted(&record.finis_started);
    out->finis_done = atomic_load(&record.finis_done);
    out->fs_id_threads = counted(&record.fs_id_threads);
    out->io_without_fs_id = counted(&record.io_without_fs_id);
}

void record_mask(enum fake_mask which, const sigset_t *mask)
{
    pthread_mutex_lock(&lock);
    masks[which] = *mask;
    mask_known[which] = true;
    pthread_mutex_unlock(&lock);
}

EXPORT int fake_gfapi_sigmask(int which, sigset_t *out)
{
    int ret = -1;

    if (which < FAKE_MASK_NEW || which > FAKE_MASK_NETWORK)
        return -1;
    pthread_mutex_lock(&lock);
    if (mask_known[which]) {
        *out = masks[which];
        ret = 0;
    }
    pthread_mutex_unlock(&lock);
    return ret;
}

static const char *copy(const char *text)
{
    return text ? strdup(text) : NULL;
}

/* Room for one more at the end; a power of two is when the array is full. */
static void *grown(void *array, uint64_t total, size_t size)
{
    if (total & (total - 1))
        return array;
    array = realloc(array, (total ? 2 * total : 1) * size);
    if (!array)
        abort();
    return array;
}

void record_server(const glfs_t *fs, const char *transport, const char *host,
                   int port, int result)
{
    pthread_mutex_lock(&lock);
    servers = grown(servers, server_total, sizeof(*servers));
    servers[server_total++] = (struct fake_server){
        fs, copy(fs->volume_name), copy(transport), copy(host), port, result
    };
    pthread_mutex_unlock(&lock);
}

EXPORT uint64_t fake_gfapi_server_count(void)
{
    uint64_t total;

    pthread_mutex_lock(&lock);
    total = server_total;
    pthread_mutex_unlock(&lock);
    return total;
}

EXPORT int fake_gfapi_server(uint64_t i, struct fake_server *out)
{
    int ret = -1;

    pthread_mutex_lock(&lock);
    if (i < server_total) {
        *out = servers[i];
        ret = 0;
    }
    pthread_mutex_unlock(&lock);
    return ret;
}

void record_option(const glfs_t *fs, const char *pattern, const char *key,
                   const char *value)
{
    pthread_mutex_lock(&lock);
    options = grown(options, option_total, sizeof(*options));
    options[option_total++] = (struct fake_option){
        fs,        copy(fs->volume_name), copy(pattern),
        copy(key), copy(value),           atomic_load(&fs->state) == FS_NEW
    };
    pthread_mutex_unlock(&lock);
}

EXPORT uint64_t fake_gfapi_option_count(void)
{
    uint64_t total;

    pthread_mutex_lock(&lock);
    total = option_total;
    pthread_mutex_unlock(&lock);
    return total;
}

EXPORT int fake_gfapi_option(uint64_t i, struct fake_option *out)
{
    int ret = -1;

    pthread_mutex_lock(&lock);
    if (i < option_total) {
        *out = options[i];
        ret = 0;
    }
    pthread_mutex_unlock(&lock);
    return ret;
}

EXPORT const char *fake_gfapi_effective_option(const char *volume,
                                               const char *xlator,
                                               const char *key)
{
    const void *newest = NULL;
    const char *value = NULL;

    pthread_mutex_lock(&lock);
    for (uint64_t i = option_total; i-- > 0 && !newest;)
        if (strcmp(options[i].volume, volume) == 0)
            newest = options[i].fs;
    for (uint64_t i = 0; i < option_total && !value; i++)
        if (options[i].fs == newest && options[i].before_init &&
            strcmp(options[i].key, key) == 0 &&
            fnmatch(options[i].pattern, xlator, FNM_NOESCAPE) == 0)
            value = options[i].value;
    pthread_mutex_unlock(&lock);
    return value;
}

void record_logging(const glfs_t *fs, const char *file, int level)
{
    pthread_mutex_lock(&lock);
    free((void *)logging.file);
    logging = (struct fake_logging){ copy(file), level,
                                     atomic_load(&fs->state) == FS_NEW };
    logging_known = true;
    pthread_mutex_unlock(&lock);
}

EXPORT int fake_gfapi_last_logging(struct fake_logging *out)
{
    int ret = -1;

    pthread_mutex_lock(&lock);
    if (logging_known) {
        *out = logging;
        ret = 0;
    }
    pthread_mutex_unlock(&lock);
    return ret;
}

void record_transfer(enum fake_op op, const void *fd, uint64_t offset,
                     uint64_t length, int iovcnt)
{
    struct op_record *r = &record.op[op];

    count(&r->bytes, length);
    count_max(&r->max_bytes, length);
    count_max(&r->max_iovcnt, (uint64_t)(iovcnt < 0 ? 0 : iovcnt));
    if (!atomic_load_explicit(&tracing, memory_order_relaxed))
        return;
    pthread_mutex_lock(&lock);
    if (trace_total < trace_capacity)
        trace[trace_total++] = (struct fake_trace){ fd,     offset, length,
                                                    op,     iovcnt, gettid() };
    pthread_mutex_unlock(&lock);
}

EXPORT int fake_gfapi_set_trace(uint64_t capacity)
{
    struct fake_trace *fresh = NULL;

    if (capacity && !(fresh = calloc(capacity, sizeof(*fresh))))
        return -1;
    pthread_mutex_lock(&lock);
    free(trace);
    trace = fresh;
    trace_capacity = capacity;
    trace_total = 0;
    atomic_store(&tracing, capacity > 0);
    pthread_mutex_unlock(&lock);
    return 0;
}

EXPORT uint64_t fake_gfapi_trace_count(void)
{
    uint64_t total;

    pthread_mutex_lock(&lock);
    total = trace_total;
    pthread_mutex_unlock(&lock);
    return total;
}

EXPORT int fake_gfapi_trace_get(uint64_t i, struct fake_trace *out)
{
    int ret = -1;

    pthread_mutex_lock(&lock);
    if (i < trace_total) {
        *out = trace[i];
        ret = 0;
    }
    pthread_mutex_unlock(&lock);
    return ret;
}

static void zero(counter *c)
{
    atomic_store_explicit(c, 0, memory_order_relaxed);
}

void record_reset(void)
{
    /* The gauges (open fds, live objects, threads with an fs id) stay. */
    for (int i = 0; i < FAKE_OP_COUNT; i++) {
        zero(&record.op[i].calls);
        zero(&record.op[i].bytes);
        zero(&record.op[i].max_bytes);
        zero(&record.op[i].max_iovcnt);
    }
    for (int i = 0; i < FAKE_V_COUNT; i++)
        zero(&record.violations[i]);
    zero(&record.submitted);
    zero(&record.max_in_flight);
    zero(&record.ended);
    zero(&record.delivered);
    zero(&record.returned);
    zero(&record.on_submitter);
    zero(&record.dropped);
    zero(&record.refused);
    zero(&record.faults);
    zero(&record.finis_started);
    zero(&record.finis_done);
    zero(&record.io_without_fs_id);

    pthread_mutex_lock(&lock);
    first_violation[0] = '\0';
    memset(mask_known, 0, sizeof(mask_known));
    for (uint64_t i = 0; i < server_total; i++) {
        free((void *)servers[i].volume);
        free((void *)servers[i].transport);
        free((void *)servers[i].host);
    }
    for (uint64_t i = 0; i < option_total; i++) {
        free((void *)options[i].volume);
        free((void *)options[i].pattern);
        free((void *)options[i].key);
        free((void *)options[i].value);
    }
    free(servers);
    free(options);
    servers = NULL;
    options = NULL;
    server_total = option_total = 0;
    free((void *)logging.file);
    memset(&logging, 0, sizeof(logging));
    logging_known = false;
    pthread_mutex_unlock(&lock);
    fake_gfapi_set_trace(0);
}
