/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the test programs share: a host for the driver, a poll loop with deadlines, TAP on stdout.
 *
 *   int main(void)
 *   {
 *       struct img img;
 *
 *       t_begin("a read past the end gives zeros");
 *       t_load();
 *       ok(img_open(&img, "gluster://server/volume/a", BLK_O_RDWR, NULL) == 0, "open");
 *       ...
 *       img_close(&img);
 *       return t_end();
 *   }
 *
 * Every program also proves, in t_end, that no callback broke a rule (exactly once, on the image's own thread, never
 * inside a submit), that every image was closed, and that the library printed nothing: stdout and stderr of the
 * process are captured from t_begin on, and t_say writes to the real ones.
 *
 * Each thread is a poll loop of its own: an image belongs to the thread that opened it, and only that thread's
 * t_poll (and what is built on it) calls its callbacks. Wherever a time limit is given, it is stretched under
 * valgrind and by BLKG_TIME_FACTOR.
 *
 * Environment: BLKGLUSTER_LIB (the library to load), BLKG_VERBOSE (show reports), BLKG_TIME_FACTOR,
 * BLKG_SERVER, BLKG_PORT, BLKG_SOCKET (real volumes, see scripts/cluster).
 */
#ifndef BLKGLUSTER_HARNESS_H
#define BLKGLUSTER_HARNESS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include "blkgluster.h"

#define MiB (1024 * 1024)
#define T_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define T_PRINTF(text, args) __attribute__((format(printf, text, args)))

/* ---- TAP ----------------------------------------------------------------------------------------------------- */

/* `promise`: what the program holds the library to. A program that is not done in three minutes is ended. */
void t_begin(const char *promise);
/* The exit code: 0, or 1 when a test failed. */
int t_end(void);
/* Ends the program now, as skipped (exit code 77). */
void t_skip(const char *why) __attribute__((noreturn));
/* Ends the program now, as broken (exit code 99): the test itself cannot go on. */
void t_die(const char *format, ...) T_PRINTF(1, 2) __attribute__((noreturn));
/* A comment line. */
void t_say(const char *format, ...) T_PRINTF(1, 2);
bool t_ok(bool good, const char *file, int line, const char *format, ...) T_PRINTF(4, 5);

/* One test. True when it passed. */
#define ok(condition, ...) t_ok((condition), __FILE__, __LINE__, __VA_ARGS__)
#define fail(...) t_ok(false, __FILE__, __LINE__, __VA_ARGS__)
/* Two integers are equal; both are shown when they are not. `...` is the text. */
#define is(got, wanted, ...) t_is((long long)(got), (long long)(wanted), __FILE__, __LINE__, __VA_ARGS__)
bool t_is(long long got, long long wanted, const char *file, int line, const char *format, ...) T_PRINTF(5, 6);
/* The next program output is meant to be there (a host without `report`): t_end does not look at it. */
void t_allow_output(void);
/* What was printed so far, in a static buffer; cut at 4 KiB. */
const char *t_output(void);

/* ---- the library and its host -------------------------------------------------------------------------------- */

/* dlopen, dlsym, blkgluster_init with the harness's host; ends the program when that fails. */
void t_load(void);
/* The same in pieces. t_host: a host that a test may change before it gives it to t_init_function(). */
void *t_dlopen(void);
void t_dlclose(void);
typedef int (*t_init_fn)(const struct BlkHost *);
t_init_fn t_init_function(void);
struct BlkHost t_host(void);
const char *t_library_path(void);

/* The driver for the scheme of this URI, NULL when none was registered. */
const struct BlkDriver *drv_for(const char *uri);
/* In the order of their registration; t_forget_drivers empties the list. */
const struct BlkDriver *t_driver(unsigned index);
unsigned t_driver_count(void);
void t_forget_drivers(void);

/* Set to make the host's set_fd_handler refuse with this (a negative errno). */
extern int t_watch_result;
/* How many fds are watched now, by all threads. */
unsigned t_watched(void);
/* How often set_fd_handler was called to add and to remove one. */
unsigned t_watch_calls(void), t_unwatch_calls(void);
/* The handler and arg that were registered for an image last, also after it was closed. */
BlkFdHandler t_last_handler(void **arg);

/* Reports, all levels together: how many, how many of a level, the newest ("" for none), whether one holds a text. */
unsigned t_reports(void);
unsigned t_reports_of(int level);
const char *last_report(void);
bool t_reported(const char *text);
void t_forget_reports(void);

/* ---- the poll loop ------------------------------------------------------------------------------------------- */

/* Waits at most so long for this thread's fds and calls the handlers of those that are readable; how many. */
int t_poll(int timeout_ms);
/* Polls until done(arg), or the time is up; whether it was done. */
bool run_until(bool (*done)(void *), void *arg, double seconds);
/* Polls until *counter >= wanted. */
bool wait_for(const int *counter, int wanted, double seconds);
/* Polls for so long, whatever happens. */
void run_for(double seconds);
/* Microseconds of CLOCK_MONOTONIC. */
int64_t now_us(void);
/* 1, or how much slower things are here (valgrind). */
double t_time_factor(void);

/* ---- images -------------------------------------------------------------------------------------------------- */

struct img {
    struct BlkState bs;
    const struct BlkDriver *drv;
    struct BlkError error; /* of the last call that failed */
    pthread_t owner;       /* the thread that polls it */
    bool is_open;
};

/* The keep-connection, in seconds, of every img_open and img_create that names none; "0" unless a program sets it. */
extern const char *t_keep_connection;
/* Options are (name, value) pairs that end with NULL; `filename` comes by itself. 0 or -errno, with img->error. */
int img_open(struct img *img, const char *uri, uint32_t flags, ...) __attribute__((sentinel));
/* Without any pair added; NULL options are passed as they are. Memory and BlkState are made here, too. */
int img_open_raw(struct img *img, const struct BlkDriver *drv, const struct BlkOption *options, uint32_t flags);
/* Closes it if it is open, proves that its memory was left zeroed, and frees that. */
void img_close(struct img *img);
/* drv->create; `size` as text, NULL for none. */
int img_create(const char *uri, const char *size, struct BlkError *error);

/* ---- requests ------------------------------------------------------------------------------------------------ */

struct io {
    struct BlkAiocb *acb; /* NULL: refused */
    int done;             /* callbacks so far */
    int ret;              /* of the callback; -errno of the refusal before that */
    unsigned order;       /* of its callback among all, from 1 on */
    struct img *img;
    void (*then)(struct io *io); /* called inside the callback, may be NULL */
    void *arg;                   /* the test's own */
};

/* They clear all of *io but then and arg. True: accepted. */
bool io_pread(struct io *io, struct img *img, void *buffer, int64_t bytes, int64_t offset);
bool io_pwrite(struct io *io, struct img *img, const void *buffer, int64_t bytes, int64_t offset);
bool io_preadv(struct io *io, struct img *img, const struct iovec *iov, int count, int64_t bytes, int64_t offset);
bool io_pwritev(struct io *io, struct img *img, const struct iovec *iov, int count, int64_t bytes, int64_t offset);
bool io_flush(struct io *io, struct img *img);
bool io_discard(struct io *io, struct img *img, int64_t bytes, int64_t offset);
bool io_zeroes(struct io *io, struct img *img, int64_t bytes, int64_t offset, uint32_t flags);
/* Polls until its callback has run (30 s) and gives its result; a hang fails a test and gives -ETIME. */
int io_wait(struct io *io);
/* For tests that submit by themselves: the callback (opaque is a struct io), and the marks around the submit. */
void io_done(void *opaque, int ret);
void io_begin(struct io *io, struct img *img);
bool io_end(struct io *io, struct BlkAiocb *acb);

/* When set, every callback asks it whether it may run here. */
extern bool (*t_callback_may_run)(void);

/* The callbacks' own rules that were broken so far, by any thread. */
unsigned t_broken_rules(void);

int pread_sync(struct img *img, void *buffer, int64_t bytes, int64_t offset);
int pwrite_sync(struct img *img, const void *buffer, int64_t bytes, int64_t offset);
int flush_sync(struct img *img);
int discard_sync(struct img *img, int64_t bytes, int64_t offset);
int zeroes_sync(struct img *img, int64_t bytes, int64_t offset, uint32_t flags);

/* ---- data ---------------------------------------------------------------------------------------------------- */

/* Bytes that depend on seed and place in the image, so that a mix-up of either shows. */
void pattern_fill(void *buffer, size_t bytes, uint64_t seed, int64_t offset);
/* True when they are all right; else says where not. */
bool pattern_check(const void *buffer, size_t bytes, uint64_t seed, int64_t offset);
bool all_bytes(const void *buffer, size_t bytes, unsigned char value);
/* Never NULL. */
void *t_alloc(size_t bytes);

/* ---- the process --------------------------------------------------------------------------------------------- */

int fd_count(void);
int thread_count(void);
/* Threads whose name begins so. */
int threads_named(const char *prefix);
/* Polls until both are as they were; false after the time. */
bool t_settles(int fds, int threads, double seconds);

/* Runs this program again with one argument. The exit code, or -signal, or -1000 when it took longer (it is killed then). */
int t_run_self(const char *argument, double seconds);

/* ---- real volumes -------------------------------------------------------------------------------------------- */

/* The URI of a path in a volume of the cluster, in static memory (of 8 calls). Skips the program when there is no
 * cluster. The path is formatted. */
const char *cluster_uri(const char *volume, const char *path_format, ...) T_PRINTF(2, 3);
/* The same through the Unix socket of the first glusterd. */
const char *cluster_unix_uri(const char *volume, const char *path_format, ...) T_PRINTF(2, 3);

#endif
