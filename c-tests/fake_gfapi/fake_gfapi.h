/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Control interface of the fault-injecting libgfapi.
 *
 * The library answers to the name libgfapi.so.0 and defines the glfs_* calls a
 * block driver needs, under the symbol versions of the real one, on top of
 * in-memory files. Put its directory in LD_LIBRARY_PATH, load the driver, then
 * bind the functions below with fake_gfapi_bind(): they are found by dlsym, so
 * a test needs no link to either library and can tell which one it got.
 *
 * What it holds on to, as the real library does: iovec arrays and write data
 * are copied at submit; read buffers are filled just before the callback;
 * errno is garbage after a success; a zero-length read, discard or zerofill
 * fails with EINVAL; completions of a closed fd are dropped without a callback;
 * async completions overwrite the fd's offset, through which lseek results
 * travel. Files belong to the volume name and outlive glfs_fini. Every volume
 * has one directory, "dir".
 *
 * Volume names that steer glfs_init:
 *   nosuch            fails, ENOENT
 *   refused           fails, ENOTCONN
 *   eio               fails, EIO (a stopped volume)
 *   errnoN            fails, errno N; errno0 is the one to remember
 *   hang, hang-ANY    blocks until released (op FAKE_INIT), then succeeds
 *   slow:MS, slow-MS  takes MS milliseconds
 * Any other name connects at once. One that begins with "sharded" has a shard
 * translator in its description, one that begins with "replicated" a replica
 * translator, one that begins with "disperse" that of an erasure code.
 *
 * Control functions may be called from any thread, also inside callbacks.
 */
#ifndef FAKE_GFAPI_H
#define FAKE_GFAPI_H

#include <signal.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(enumerator, libgfapi function without its prefix, is it asynchronous) */
#define FAKE_OPS(X)                                                            \
    X(NEW, new, 0)                                                             \
    X(SET_VOLFILE, set_volfile, 0)                                             \
    X(SET_VOLFILE_SERVER, set_volfile_server, 0)                               \
    X(SET_LOGGING, set_logging, 0)                                             \
    X(SET_XLATOR_OPTION, set_xlator_option, 0)                                 \
    X(INIT, init, 0)                                                           \
    X(FINI, fini, 0)                                                           \
    X(GET_VOLUMEID, get_volumeid, 0)                                           \
    X(GET_VOLFILE, get_volfile, 0)                                             \
    X(SETFSUID, setfsuid, 0)                                                   \
    X(SETFSGID, setfsgid, 0)                                                   \
    X(SETFSGROUPS, setfsgroups, 0)                                             \
    X(OPEN, open, 0)                                                           \
    X(CREAT, creat, 0)                                                         \
    X(CLOSE, close, 0)                                                         \
    X(DUP, dup, 0)                                                             \
    X(UNLINK, unlink, 0)                                                       \
    X(MKDIR, mkdir, 0)                                                         \
    X(ACCESS, access, 0)                                                       \
    X(READLINK, readlink, 0)                                                   \
    X(STAT, stat, 0)                                                           \
    X(FSTAT, fstat, 0)                                                         \
    X(STATVFS, statvfs, 0)                                                     \
    X(LSEEK, lseek, 0)                                                         \
    X(FTRUNCATE, ftruncate, 0)                                                 \
    X(FALLOCATE, fallocate, 0)                                                 \
    X(DISCARD, discard, 0)                                                     \
    X(ZEROFILL, zerofill, 0)                                                   \
    X(FSYNC, fsync, 0)                                                         \
    X(FDATASYNC, fdatasync, 0)                                                 \
    X(PREAD, pread, 0)                                                         \
    X(PWRITE, pwrite, 0)                                                       \
    X(PREADV, preadv, 0)                                                       \
    X(PWRITEV, pwritev, 0)                                                     \
    X(POSIX_LOCK, posix_lock, 0)                                               \
    X(FD_SET_LKOWNER, fd_set_lkowner, 0)                                       \
    X(PREAD_ASYNC, pread_async, 1)                                             \
    X(PWRITE_ASYNC, pwrite_async, 1)                                           \
    X(PREADV_ASYNC, preadv_async, 1)                                           \
    X(PWRITEV_ASYNC, pwritev_async, 1)                                         \
    X(FSYNC_ASYNC, fsync_async, 1)                                             \
    X(FDATASYNC_ASYNC, fdatasync_async, 1)                                     \
    X(DISCARD_ASYNC, discard_async, 1)                                         \
    X(ZEROFILL_ASYNC, zerofill_async, 1)                                       \
    X(FTRUNCATE_ASYNC, ftruncate_async, 1)

enum fake_op {
#define X(upper, lower, async) FAKE_##upper,
    FAKE_OPS(X)
#undef X
    FAKE_OP_COUNT,
    FAKE_ANY_ASYNC = 1000, /* only in rules and releases */
    FAKE_ANY
};

/* ---- how async requests complete ---------------------------------------- */

enum fake_mode {
    FAKE_THREAD,        /* at once, on the network thread (the default) */
    FAKE_INLINE,        /* on the submitting thread, before submit returns */
    FAKE_BEFORE_RETURN, /* on the network thread, before submit returns: a lock
                           held across submit and taken in the callback hangs */
    FAKE_DELAYED,       /* on the network thread, the set delay later */
    FAKE_HELD           /* not before they are released */
};

/* The order of a delayed mode's batch (all that waits when the oldest request
 * comes due) and of a release. */
enum fake_order { FAKE_IN_ORDER, FAKE_REVERSED, FAKE_SHUFFLED };

/* What prestat and poststat say. REAL: as a brick fills them, zeroed on
 * failure, no prestat for reads. */
enum fake_stat_mode {
    FAKE_STAT_REAL,
    FAKE_STAT_ZEROED,
    FAKE_STAT_NULL,
    FAKE_STAT_GARBAGE
};

/* ---- faults -------------------------------------------------------------- */

enum fake_action {
    FAKE_PASS,   /* no fault; shields the call from the rules added before */
    FAKE_FAIL,   /* -1 (or NULL) and err; an async call: in its callback */
    FAKE_REFUSE, /* async: submit returns -1 and err, no callback */
    FAKE_SHORT,  /* reads and writes move arg bytes less */
    FAKE_ZERO,   /* returns 0, nothing is moved */
    FAKE_FORCE,  /* done as usual, but arg is returned */
    FAKE_HOLD,   /* held until released; a synchronous call blocks */
    FAKE_DELAY,  /* arg microseconds later; a synchronous call sleeps */
    FAKE_ON_SUBMITTER /* async: completes on the submitting thread */
};

/* A failing close or fini does its work all the same, as in the real one. */
struct fake_rule {
    int op;             /* enum fake_op */
    int action;         /* enum fake_action */
    int err;            /* errno, 0 is possible */
    int64_t arg;
    uint64_t nth;       /* first call hit, counted from now; 0 and 1: the next */
    uint64_t every;     /* then every so many calls; 0: never again */
    uint64_t times;     /* hits at most; 0: no limit */
    const char *volume; /* NULL: any; copied */
};

/* Use of the library that hangs, crashes or loses data in the real one. */
enum fake_violation {
    FAKE_V_CALL_IN_CALLBACK, /* a glfs_* call inside a completion callback */
    FAKE_V_CLOSE_IN_FLIGHT,  /* glfs_close before the last callback, or before a
                                synchronous transfer (fsync is one) returned */
    FAKE_V_FINI_IN_FLIGHT,
    FAKE_V_FINI_OPEN_FDS,
    FAKE_V_FINI_TOO_SOON,    /* within 1.4 s of a glfs_init that failed:
                                its threads may not have begun */
    FAKE_V_USE_AFTER_CLOSE,
    FAKE_V_USE_AFTER_FINI,
    FAKE_V_USE_BEFORE_INIT,  /* the real one waits for ever */
    FAKE_V_SEEK_IN_FLIGHT,   /* lseek DATA/HOLE on an fd with async requests */
    FAKE_V_SEEK_DISPERSE,    /* lseek DATA/HOLE at the end of a file or behind it, on
                                a disperse volume: its length becomes 0 */
    FAKE_V_ZEROFILL_TOGETHER, /* two zerofills on one fd: a brick may write from
                                a position that they share */
    FAKE_V_SERVER_MIX,       /* tcp and unix volfile servers on one object */
    FAKE_V_BAD_BUFFER,       /* longer than what glfs_get_volfile has: it reads on */
    FAKE_V_TOO_LARGE,        /* a transfer of 1 GiB or more: ENOTCONN */
    FAKE_V_COUNT
};

#define FAKE_AS_IS (-1) /* fake_gfapi_release: complete as it would have */

/* ---- what is recorded ----------------------------------------------------- */

struct fake_counters {
    uint64_t calls[FAKE_OP_COUNT];
    uint64_t bytes[FAKE_OP_COUNT];
    uint64_t max_bytes[FAKE_OP_COUNT];
    uint64_t max_iovcnt[FAKE_OP_COUNT];
    uint64_t violations[FAKE_V_COUNT];
    uint64_t submitted;     /* async requests accepted */
    uint64_t refused;       /* async submits that returned -1 */
    uint64_t delivered;     /* callbacks made (counted just before) */
    uint64_t on_submitter;  /* of those, on the thread that submitted */
    uint64_t dropped;       /* completions of closed fds */
    uint64_t in_flight;     /* now: submitted - delivered - dropped */
    uint64_t max_in_flight;
    uint64_t held;          /* now, blocked synchronous calls included */
    uint64_t faults;        /* rule hits */
    uint64_t open_fds;      /* now */
    uint64_t live_glfs;     /* now: glfs_new without a finished glfs_fini */
    uint64_t finis_started;
    uint64_t finis_done;
    uint64_t fs_id_threads; /* threads that have called glfs_setfsuid */
    uint64_t io_without_fs_id; /* async requests from threads that have not set
                                  fsuid, fsgid and fsgroups */
};

struct fake_server { /* one glfs_set_volfile_server call, as it was made */
    const void *fs;
    const char *volume, *transport, *host; /* transport may be NULL */
    int port, result;
};

struct fake_option { /* one glfs_set_xlator_option call */
    const void *fs;
    const char *volume, *pattern, *key, *value;
    int before_init;
};

struct fake_logging { /* the last glfs_set_logging call */
    const char *file; /* may be NULL */
    int level, before_init;
};

struct fake_trace { /* one call that moves, allocates, frees or syncs data */
    const void *fd;
    uint64_t offset, length;
    int op, iovcnt;
    pid_t tid;
};

enum fake_mask { /* signal masks of the newest glfs object */
    FAKE_MASK_NEW,    /* of the thread in glfs_new: it starts threads, too */
    FAKE_MASK_INIT,   /* of the thread in glfs_init */
    FAKE_MASK_NETWORK /* of the network thread, inherited */
};

/* ---- the functions --------------------------------------------------------
 * X(result, name, parameters). Meaning, in that order:
 *
 * reset          back to defaults: rules, modes, counters, records, trace.
 *                Files stay. -1 with EBUSY while requests are in flight.
 * wipe           forgets all files. -1 with EBUSY while an fd is open.
 * set_mode       applies to later submits; delay_us is for FAKE_DELAYED.
 * set_order      for delayed batches and releases.
 * set_threads    network threads of later glfs_init calls, 1 to 16.
 * set_storage    0: no data is moved and no buffer touched.
 * set_stat_mode  enum fake_stat_mode.
 * set_spin       rounds a network thread spins before it sleeps.
 * set_fini_ms    how long glfs_fini takes (the real one: up to 10 s).
 * set_graph      the number of the clients' active graph of translators.
 * set_capacity   bytes a volume can allocate through fallocate.
 * set_alignment  O_DIRECT I/O must be a multiple of it, 0: any.
 * add_rule       returns an id > 0. The newest rule that hits decides.
 * remove_rule    0, or -1 when there is no such rule.
 * rule_hits      how often it has hit.
 * release        lets n held calls of op go, 0: all; err: FAKE_AS_IS, or the
 *                errno they fail with, for a brick killed with I/O in flight.
 *                Returns how many; their callbacks may still be on their way.
 * wait_held      1 once so many calls are held, 0 after the timeout.
 * wait_idle      1 once nothing is in flight and every callback has returned,
 *                0 after the timeout.
 * counters       a snapshot.
 * violations     the sum over all kinds; first_violation: the oldest as text,
 *                or NULL.
 * in_callback    1 on a network thread or inside a callback: a host's
 *                own callbacks must never see it.
 * sigmask        0, or -1 when there is no such mask yet.
 * server_count ... last_logging   records in call order; 0, or -1 past the end.
 *                The strings live until reset.
 * effective_option  the value an xlator of this name would see on the newest
 *                glfs object of the volume: patterns match with fnmatch, calls
 *                after glfs_init do not count, of duplicates the first wins.
 * set_trace      starts recording into a fresh log of that many entries, 0
 *                stops. trace_count, trace_get: its contents.
 */
#define FAKE_FUNCTIONS(X)                                                      \
    X(int, reset, (void))                                                      \
    X(int, wipe, (void))                                                       \
    X(void, set_mode, (int mode, uint64_t delay_us))                           \
    X(void, set_order, (int order, uint64_t seed))                             \
    X(void, set_threads, (unsigned count))                                     \
    X(void, set_storage, (int on))                                             \
    X(void, set_stat_mode, (int stat_mode))                                    \
    X(void, set_spin, (unsigned rounds))                                       \
    X(void, set_fini_ms, (unsigned ms))                                        \
    X(void, set_graph, (unsigned number))                                      \
    X(void, set_capacity, (uint64_t bytes))                                    \
    X(void, set_alignment, (uint64_t bytes))                                   \
    X(int, add_rule, (const struct fake_rule *rule))                           \
    X(int, remove_rule, (int id))                                              \
    X(uint64_t, rule_hits, (int id))                                           \
    X(uint64_t, release, (int op, uint64_t n, int err))                        \
    X(int, wait_held, (uint64_t count, unsigned timeout_ms))                   \
    X(int, wait_idle, (unsigned timeout_ms))                                   \
    X(void, counters, (struct fake_counters *out))                             \
    X(uint64_t, violations, (void))                                            \
    X(const char *, first_violation, (void))                                   \
    X(const char *, op_name, (int op))                                         \
    X(int, in_callback, (void))                                                \
    X(int, sigmask, (int which, sigset_t *out))                                \
    X(uint64_t, server_count, (void))                                          \
    X(int, server, (uint64_t i, struct fake_server *out))                      \
    X(uint64_t, option_count, (void))                                          \
    X(int, option, (uint64_t i, struct fake_option *out))                      \
    X(int, last_logging, (struct fake_logging *out))                           \
    X(const char *, effective_option,                                          \
      (const char *volume, const char *xlator, const char *key))               \
    X(int, set_trace, (uint64_t capacity))                                     \
    X(uint64_t, trace_count, (void))                                           \
    X(int, trace_get, (uint64_t i, struct fake_trace *out))

#define X(result, name, parameters) result fake_gfapi_##name parameters;
FAKE_FUNCTIONS(X)
#undef X

struct fake_gfapi {
#define X(result, name, parameters) result(*name) parameters;
    FAKE_FUNCTIONS(X)
#undef X
};

#ifdef __cplusplus
}
#endif

#ifdef FAKE_GFAPI_BIND
#include <dlfcn.h>
#include <string.h>

/* Fills the table from the libgfapi.so.0 in use. The driver has to be loaded
 * already. Returns -1 when there is none or it is the real one. */
static inline int fake_gfapi_bind(struct fake_gfapi *table)
{
    void *library = dlopen("libgfapi.so.0", RTLD_NOW | RTLD_NOLOAD);
    void *address;

    memset(table, 0, sizeof(*table));
    if (!library)
        return -1;
#define X(result, name, parameters)                                            \
    address = dlsym(library, "fake_gfapi_" #name);                             \
    if (!address)                                                              \
        return -1;                                                             \
    memcpy(&table->name, &address, sizeof(address));
    FAKE_FUNCTIONS(X)
#undef X
    return 0;
}
#endif

#endif
