/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * real_integrity VOLUME WRITE-CACHE SEED OPERATIONS: see workload.h for what one operation is. Every 1000 the image is at
 * rest, and is truncated, closed and opened again, or left alone; every 12500, and at the end, all of it is compared.
 */
#include "workload.h"

#define DEPTH 32
#define SIZE (INT64_C(64) * MiB)
#define MOST (INT64_C(80) * MiB)
#define PHASE 1000
#define COMPARE 12500

static int64_t some_length(uint64_t *random, int64_t length)
{
    switch (random_below(random, 6)) {
    case 0: /* where a shard ends */
        return (length - 1) / SHARD * SHARD;
    case 1:
        return (length - 1) / SHARD * SHARD + random_below(random, 3) - 1;
    case 2:
        return (random_below(random, 5) + 10) * SHARD;
    case 3: /* growth */
        return length + random_below(random, MOST - length + 1);
    case 4:
        return (length + SHARD) / SHARD * SHARD;
    default:
        return SIZE / 2 + random_below(random, MOST - SIZE / 2);
    }
}

static bool between_phases(struct workload *w, uint64_t *random)
{
    int64_t length;

    if (!workload_rest(w))
        return false;
    switch (random_below(random, 4)) {
    case 0:
        return workload_reopen(w);
    case 1:
        return true;
    default:
        length = some_length(random, workload_length(w));
        length = length < SIZE / 2 ? SIZE / 2 : length > MOST ? MOST : length;
        return workload_truncate(w, length);
    }
}

static bool all_phases(struct workload *w, uint64_t seed, unsigned operations)
{
    uint64_t random = ~seed;
    int64_t begun = now_us();

    while (workload_done(w) < operations) {
        unsigned left = operations - workload_done(w);

        if (!workload_run(w, left < PHASE ? left : PHASE) || !between_phases(w, &random))
            break;
        if (workload_done(w) % COMPARE == 0 || workload_done(w) == operations) {
            if (!workload_compare(w))
                break;
            t_say("%u operations in %.1f s, %u of them waited for another; length %lld; all is as it should be",
                  workload_done(w), (double)(now_us() - begun) / 1e6, workload_waited(w), (long long)workload_length(w));
        }
    }
    return workload_rest(w) && workload_done(w) == operations;
}

int main(int argc, char **argv)
{
    const char *uri;
    char how[4600];
    struct workload *w;
    uint64_t seed;
    unsigned operations;

    if (argc != 5) {
        fputs("usage: real_integrity plain|rep3|sharded|disp on|off SEED OPERATIONS\n", stderr);
        return 64;
    }
    seed = strtoull(argv[3], NULL, 0);
    operations = (unsigned)strtoul(argv[4], NULL, 0);
    snprintf(how, sizeof(how), "scripts/cluster exec env BLKGLUSTER_LIB=%s %s %s %s %s %s",
             getenv("BLKGLUSTER_LIB") ? getenv("BLKGLUSTER_LIB") : "LIBRARY", argv[0], argv[1], argv[2], argv[3], argv[4]);
    t_begin("whatever is written, discarded, truncated and read in whatever order, every byte is the right one");
    allow_seconds(900);
    t_load();
    uri = cluster_uri(argv[1], "integrity-%s", argv[2]);
    make_image(uri, "0");
    make_image(uri, "64M");
    w = workload_open(uri, argv[2], seed, DEPTH, MOST, how);
    ok(all_phases(w, seed, operations), "%s, write-cache=%s, seed %s: %u operations, each read as the model says", argv[1],
       argv[2], argv[3], operations);
    ok(workload_waited(w) > operations / 200, "requests that overlap were among them: %u", workload_waited(w));
    is(t_reports_of(BLK_REPORT_ERROR), 0, "nothing was reported");
    workload_close(w);
    empty_image(uri);
    return t_end();
}
