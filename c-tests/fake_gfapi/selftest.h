/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the self-test share. */
#ifndef FAKE_GFAPI_SELFTEST_H
#define FAKE_GFAPI_SELFTEST_H

#include "fake_gfapi.h"
#include "tap.h"

#define BLOCK 4096

struct image {
    glfs_t *fs;
    glfs_fd_t *fd;
    struct call ***end; /* of the list completed calls join, or NULL */
};

/* Defaults, no files, a connected volume with an open image of 1 MiB. */
struct image image_fresh(const char *volume);
void image_close(struct image *image);
glfs_t *connected(const char *volume);
struct fake_counters counters(void);
int rule(int op, int action, int err, int64_t arg);
uint64_t elapsed_ms(void);
/* Reads or writes one block, filled with `byte`, without waiting. */
struct call *start(struct image *image, int op, int block, char byte);
/* The block a call has read. */
char *block_of(const struct call *call);
void finish(struct call *call);

void test_volumes(void);
void test_modes(void);
void test_faults(void);
void test_stats_and_copies(void);
void test_records(void);
void test_violations(void);

#endif
