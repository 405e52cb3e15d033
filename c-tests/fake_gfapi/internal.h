/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the fault-injecting libgfapi share. */
#ifndef FAKE_GFAPI_INTERNAL_H
#define FAKE_GFAPI_INTERNAL_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include <glusterfs/api/glfs.h>

#include "fake_gfapi.h"

#define EXPORT __attribute__((visibility("default")))
#define CACHE_LINE 64
#define MAX_LANES 16

typedef _Atomic uint64_t counter;

static inline void count(counter *c, uint64_t n)
{
    atomic_fetch_add_explicit(c, n, memory_order_relaxed);
}

static inline uint64_t counted(counter *c)
{
    return atomic_load_explicit(c, memory_order_relaxed);
}

static inline void count_max(counter *c, uint64_t n)
{
    uint64_t seen = counted(c);

    while (n > seen && !atomic_compare_exchange_weak_explicit(
                           c, &seen, n, memory_order_relaxed,
                           memory_order_relaxed))
        ;
}

/* ---- control.c: settings ------------------------------------------------ */

struct settings {
    _Atomic int mode, order, stat_mode, storage;
    _Atomic unsigned threads, spin, fini_ms, graph;
    counter delay_us, seed, capacity, alignment;
};
extern struct settings settings;

#define SETTING(name)                                                          \
    atomic_load_explicit(&settings.name, memory_order_relaxed)

/* ---- record.c: what was seen --------------------------------------------- */

struct op_record {
    _Alignas(CACHE_LINE) counter calls;
    counter bytes, max_bytes, max_iovcnt;
};

/* Submitters and network threads write to lines of their own. */
struct record {
    struct op_record op[FAKE_OP_COUNT];
    _Alignas(CACHE_LINE) counter submitted;
    counter max_in_flight;
    counter ended; /* delivered and dropped, as last looked up by a submitter */
    _Alignas(CACHE_LINE) counter delivered;
    counter returned, on_submitter, dropped;
    _Alignas(CACHE_LINE) counter refused;
    counter faults, open_fds, live_glfs, finis_started, finis_done;
    counter fs_id_threads, io_without_fs_id;
    counter violations[FAKE_V_COUNT];
};
extern struct record record;

void violation(enum fake_violation kind, enum fake_op op, const char *detail);
void record_transfer(enum fake_op op, const void *fd, uint64_t offset,
                     uint64_t length, int iovcnt);
void record_server(const glfs_t *fs, const char *transport, const char *host,
                   int port, int result);
void record_option(const glfs_t *fs, const char *pattern, const char *key,
                   const char *value);
void record_logging(const glfs_t *fs, const char *file, int level);
void record_mask(enum fake_mask which, const sigset_t *mask);
void record_reset(void);

/* ---- per-thread state ---------------------------------------------------- */

/* Kept small: the library may be loaded late, when little static TLS is left. */
struct thread_state {
    struct request *free; /* requests this thread may submit without locking */
    uint32_t lock_owner;  /* sticky, as in the real one: see locks.c */
    uint16_t callback_depth;
    uint8_t network, garbage, fs_id_set, registered;
};
extern __thread struct thread_state thread_state
    __attribute__((tls_model("initial-exec")));

#define FS_ID_ALL 7

int garbage_errno(void);

static inline int64_t success(int64_t value)
{
    errno = garbage_errno();
    return value;
}

/* ---- objects ------------------------------------------------------------- */

enum fs_state { FS_NEW, FS_READY, FS_FAILED, FS_ENDING, FS_DEAD };

struct lane {
    _Alignas(CACHE_LINE) _Atomic(struct request *) incoming;
    _Alignas(CACHE_LINE) _Atomic uint32_t sleeping;
    atomic_bool stop;
    _Alignas(CACHE_LINE) struct request *waiting; /* its thread's, by due time */
    pthread_t thread;
};

/* Neither glfs objects nor fds are freed, so that use after the end is noted
 * instead of being undefined. */
struct glfs {
    char *volume_name;
    struct volume *volume;
    _Atomic int state;
    bool has_tcp;
    bool has_local; /* a unix socket or a volfile */
    bool started; /* the lanes run */
    uint64_t failed_ns; /* when glfs_init did */
    unsigned lane_count;
    atomic_uint next_lane;
    struct lane *lanes;
    pthread_mutex_t lock; /* fds, state changes */
    struct glfs_fd *fds;
    struct glfs *next_known;
};

struct glfs_fd {
    struct glfs *fs;
    struct node *node;
    int kernel_fd; /* -1 once closed and idle */
    int flags;
    atomic_bool closed;
    uint32_t lock_owner;
    pthread_mutex_t lock; /* the end of kernel_fd */
    struct glfs_fd *next_of_fs;
    _Alignas(CACHE_LINE) counter submitted;
    _Alignas(CACHE_LINE) counter finished;
    counter inside; /* synchronous transfers that have not returned */
    counter zerofills; /* of them */
    _Atomic int64_t offset;
};

/* ---- faults.c ------------------------------------------------------------ */

struct verdict {
    enum fake_action action;
    int err;
    int64_t arg;
};

extern atomic_uint active_rules;
struct verdict verdict_lookup(enum fake_op op, const char *volume);
void faults_reset(void);

/* ---- enter.c: what every glfs_* call begins with ------------------------- */

/* Counts the call, notes misuse, finds the fault for it. */
struct verdict enter(enum fake_op op, const char *volume);
/* The same for a synchronous call; sleeps, blocks or sets errno as the fault
 * demands. False: return -1 (or NULL). */
bool enter_sync(enum fake_op op, const char *volume, struct verdict *verdict);
/* The second half of it. */
bool suffer(enum fake_op op, struct verdict *verdict);
/* Does the object exist and work? False: errno set. */
bool check_fs(enum fake_op op, const glfs_t *fs);
bool check_fd(enum fake_op op, const glfs_fd_t *fd);
void sleep_us(uint64_t us);
uint64_t now_ns(void);

/* ---- store.c: files ------------------------------------------------------ */

struct volume *volume_get(const char *name);
/* All return an errno. */
int store_open(struct volume *volume, const char *path, int flags,
               bool create, mode_t mode, struct node **node, int *kernel_fd);
int store_reopen(struct node *node);
/* The same for an fd that store_close ends. */
int store_dup(struct node *node);
void store_close(struct node *node);
int store_unlink(struct volume *volume, const char *path);
int store_mkdir(struct volume *volume, const char *path);
int store_stat(struct volume *volume, const char *path, struct stat *st);
int store_fstat(struct node *node, struct stat *st);
int store_room(struct volume *volume, uint64_t length);
uint64_t store_used(struct volume *volume);
int store_wipe(void);

/* ---- execute.c: one transfer --------------------------------------------- */

enum io_kind { IO_READ, IO_WRITE, IO_SYNC, IO_DISCARD, IO_ZEROFILL, IO_TRUNCATE };

struct io {
    glfs_fd_t *fd;
    enum io_kind kind;
    enum fake_op op;
    const struct iovec *iov;
    int iovcnt;
    bool storage;
    int64_t offset, length;
    struct verdict verdict;
    /* results */
    int64_t ret;
    int err;
    bool has_pre, has_post;
    struct glfs_stat pre, post;
};

void execute(struct io *io);
int zerofill(glfs_fd_t *fd, int64_t offset, int64_t length);
int discard(glfs_fd_t *fd, int64_t offset, int64_t length);

/* ---- deliver.c: lanes and callbacks -------------------------------------- */

struct request {
    _Alignas(CACHE_LINE) struct request *next;
    glfs_fd_t *fd;
    glfs_io_cbk callback;
    void *data;
    int64_t offset, length;
    uint64_t due_ns;
    _Atomic uint32_t *delivered; /* the submitter waits for it */
    struct verdict verdict;
    uint8_t op, kind, order, storage;
    bool orphaned; /* glfs_fini took it: ENOTCONN */
    bool blocked;  /* a synchronous call that waits to be released */
    int iovcnt;
    struct iovec *iov;
    void *copy; /* of the data to write */
    struct iovec few[8];
};

bool lanes_start(glfs_t *fs);
void lanes_stop(glfs_t *fs);
void lane_push(glfs_t *fs, struct request *request);
void complete(struct request *request, bool on_submitter);
void wait_delivered(_Atomic uint32_t *delivered);

/* ---- pool.c -------------------------------------------------------------- */

struct request *request_get(void);
void requests_put(struct request *first, struct request *last);

/* ---- held.c -------------------------------------------------------------- */

void hold_request(struct request *request);
/* Blocks until released; true: as it would have, false: fail with *err. */
bool hold_caller(enum fake_op op, int *err);
void held_orphan(glfs_t *fs);
uint64_t held_count(void);
void shuffle(struct request **requests, size_t n, int order, uint64_t seed);

/* ---- locks.c ------------------------------------------------------------- */

uint32_t lock_owner_id(const void *bytes, int length);
void locks_drop(glfs_t *fs, struct node *node, uint32_t owner);
void locks_drop_all(glfs_t *fs);

#endif
