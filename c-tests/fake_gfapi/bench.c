/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How fast completions come at best: nothing is stored, the callback counts.
 * What a driver adds to these figures is the driver's. */
#include "fake_gfapi.h"

#include <glusterfs/api/glfs.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BLOCK 4096

static _Alignas(64) atomic_long completions;

static void done(glfs_fd_t *fd, ssize_t ret, struct glfs_stat *pre,
                 struct glfs_stat *post, void *data)
{
    (void)fd;
    (void)ret;
    (void)pre;
    (void)post;
    (void)data;
    atomic_fetch_add(&completions, 1);
}

static double seconds(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void run(const char *name, glfs_fd_t *fd, long total, long depth)
{
    static char block[BLOCK];
    struct iovec iov = { block, BLOCK };
    double wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);

    atomic_store(&completions, 0);
    for (long i = 0; i < total; i++) {
        while (i - atomic_load(&completions) >= depth)
            sched_yield();
        if (glfs_preadv_async(fd, &iov, 1, i * BLOCK, 0, done, NULL))
            abort();
    }
    while (atomic_load(&completions) < total)
        sched_yield();
    wall = seconds(CLOCK_MONOTONIC) - wall;
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    printf("%-10s %6ld %10.2f %10.0f %10.0f\n", name, depth,
           1e-6 * (double)total / wall, 1e9 * wall / (double)total,
           1e9 * cpu / (double)total);
}

int main(int argc, char **argv)
{
    static const long depths[] = { 1, 16, 64, 256, 1024 };
    long total = argc > 1 ? atol(argv[1]) : 1000000;
    glfs_t *fs = glfs_new("bench");
    glfs_fd_t *fd;

    if (total < 1 || !fs || glfs_set_volfile_server(fs, "tcp", "host", 0) ||
        glfs_init(fs) || !(fd = glfs_creat(fs, "image", O_RDWR, 0600)))
        return 1;
    fake_gfapi_set_storage(0);
    printf("%-10s %6s %10s %10s %10s\n", "completes", "depth", "M/s", "ns wall",
           "ns cpu");
    for (size_t i = 0; i < sizeof(depths) / sizeof(depths[0]); i++)
        run("thread", fd, total, depths[i]);
    fake_gfapi_set_spin(0);
    for (size_t i = 0; i < sizeof(depths) / sizeof(depths[0]); i++)
        run("no spin", fd, total, depths[i]);
    fake_gfapi_set_mode(FAKE_INLINE, 0);
    run("inline", fd, total, 1);
    glfs_close(fd);
    glfs_fini(fs);
    return fake_gfapi_violations() != 0;
}
