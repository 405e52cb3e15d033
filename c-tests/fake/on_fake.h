/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For the tests that run the driver on the fault-injecting libgfapi (../fake_gfapi). Every program also proves, in
 * fake_end, that the driver broke none of libgfapi's rules, and that all files and connections are gone.
 */
#ifndef BLKGLUSTER_ON_FAKE_H
#define BLKGLUSTER_ON_FAKE_H

#include "fake_gfapi.h"
#include "harness.h"

extern struct fake_gfapi fake;

/* t_begin, t_load, and the fake's control functions. */
void fake_begin(const char *promise);
/* The same with a host that the test has changed. */
void fake_begin_with(const char *promise, const struct BlkHost *host);
/* The library is loaded, but not initialised. */
void fake_begin_bare(const char *promise);
int fake_end(void);

/* Image `name` in volume "vol", made with so many bytes when it is not there; opened read-write. Ends the program
 * when that fails. */
void fake_open(struct img *img, const char *name, int64_t bytes);
/* Makes it, and opens and closes it once: what the first connection leaves behind is there then, and nothing is under way. */
void fake_first_connection(const char *name, int64_t bytes);
/* The length of image `name` as an opening of its own sees it, and unless NULL its space; -errno. */
int64_t fake_length(const char *name, int64_t *allocated);
/* The URI of it. */
const char *fake_uri(const char *volume, const char *name);

/* A rule for every call from now on; a rule for the next call only. */
int fake_always(int op, int action, int err, int64_t arg);
int fake_once(int op, int action, int err, int64_t arg);
void fake_calm(int rule); /* removes it */

uint64_t fake_calls(int op);
struct fake_counters fake_counted(void);
/* Waits until no connection is left: they end on threads of their own. */
bool fake_disconnected(double seconds);
/* Waits until so many connections are left and none begins or ends, so that threads and fds can be counted. */
void fake_quiet(uint64_t connections);

#endif
