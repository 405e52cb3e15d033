/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the programs against real volumes share: the four volumes, faults, and a witness that is not the driver. */
#ifndef BLKGLUSTER_VOLUMES_H
#define BLKGLUSTER_VOLUMES_H

#include "harness.h"

/* plain, rep3, sharded (shards of 4 MiB) and disp; ends with NULL. */
extern const char *const volumes[];
#define EACH_VOLUME(volume) (const char *const *volume = volumes; *volume; volume++)

/* t_load, for a program that opens images again and again; skips it without a cluster. Connections stay for two seconds:
 * only eight can be on their way out at once, for ten seconds each, and the ninth would have to wait. */
void load_for_volumes(void);
/* t_end for those programs. Under valgrind it waits for the connections, which would look lost on their way out. */
int end_for_volumes(void);
/* For a program that needs longer than the harness allows. Call it after t_begin. */
void allow_seconds(unsigned seconds);

/* An image that exists, `size` bytes long and empty; ends the program when it cannot be made. */
void make_image(const char *uri, const char *size);
/* make_image, and open for reading and writing. */
void make_and_open(struct img *img, const char *uri, const char *size, const char *write_cache);
/* An image that keeps the volume connected while others come and go: the ninth connection that ends within ten seconds
 * would make the next one wait. Close it after them. */
void keep_connected(struct img *keeper, const char *volume);
/* make_and_open for such a volume; not for write_cache "on" on sharded volumes. */
void make_on_kept(struct img *img, const char *uri, const char *size, const char *write_cache);
/* Cuts it to nothing: a test leaves no data behind. */
void empty_image(const char *uri);
/* For tests that count threads or fds: an empty image that this process did not connect for, and img_open. */
void make_elsewhere(const char *volume, const char *path);
int open_to_count(struct img *img, const char *uri, uint32_t flags, const char *write_cache);
/* Waits at most 20 s (a connection stays for two, and is on its way out for up to ten) until fds and threads are as before the process's
 * first connection, but for what libgfapi keeps. */
bool connections_gone(int fds, int threads);

/* One request that writes, or reads and compares, the pattern of this seed; or compares with zeros. */
bool write_pattern(struct img *img, int64_t bytes, int64_t offset, uint64_t seed);
bool has_pattern(struct img *img, int64_t bytes, int64_t offset, uint64_t seed);
bool reads_zero(struct img *img, int64_t bytes, int64_t offset);

/* Runs scripts/cluster with these words; its exit code. It works from inside of `exec`, too. */
int cluster(const char *format, ...) T_PRINTF(1, 2);
/* The same without waiting for it. */
pid_t cluster_start(const char *format, ...) T_PRINTF(1, 2);
/* Polls this thread's images until that process has ended; its exit code, -1 when it took too long. */
int cluster_finish(pid_t pid, double seconds);
/* Looks without waiting: whether it has ended; then its exit code, or -signal, is in *code. Ask no more after that. */
bool cluster_ended(pid_t pid, int *code);
/* Before faults: ends the program when the cluster is not whole. */
void need_healthy(void);

/* What plain libgfapi says, in a process of its own: mkdir, rmdir, unlink, exists (0 or not), create, let-read. The exit code. */
int witness(const char *volume, const char *verb, const char *path);

/* Random numbers that depend on the seed only. */
uint64_t next_random(uint64_t *state);
int64_t random_below(uint64_t *state, int64_t limit);

#endif
