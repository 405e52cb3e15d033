/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 *   real_returns [ROUNDS]
 *
 * A brick of a replica volume that comes back holds what it held when it went. What was flushed meanwhile is never read from
 * it: the others know what it lacks when the flush ends, not a second later.
 */
#include "volumes.h"

#include <arpa/inet.h>
#include <sys/xattr.h>

enum { BLOCKS = 256, BLOCK = 4096 };

static struct img img;
static unsigned char now[BLOCKS], block[BLOCK];
static uint64_t seed = 7;

static int write_block(int64_t at, unsigned char value)
{
    int ret;

    memset(block, value, sizeof(block));
    ret = pwrite_sync(&img, block, sizeof(block), at * BLOCK);
    if (ret == 0)
        now[at] = value;
    return ret;
}

/* What node 1's brick holds against node 3's: how many writes of data the latter lacks. */
static int64_t noted(void)
{
    uint32_t counts[3];
    char path[512];

    snprintf(path, sizeof(path), "%s/n1/bricks/rep3/returns", getenv("BLKG_CLUSTER_DIR"));
    if (getxattr(path, "trusted.afr.rep3-client-2", counts, sizeof(counts)) != sizeof(counts))
        return 0;
    return ntohl(counts[0]);
}

static void is_noted(void)
{
    int i, failed = 0, unnoted = 0;

    if (cluster("kill-brick rep3 3"))
        t_die("cannot kill the brick");
    for (i = 0; i < 50; i++) {
        failed += write_block(i, 1) || flush_sync(&img);
        unnoted += noted() == 0;
    }
    is(failed, 0, "50 writes and flushes with one brick of three down");
    is(unnoted, 0, "what the brick lacks is noted when a flush ends");
    if (cluster("restart-brick rep3 3"))
        t_die("cannot restart the brick");
}

/* Writes, flushes and reads at random while a brick comes back, and some seconds longer. */
static void is_not_read(int brick)
{
    int64_t back = 0;
    int reads = 0, old = 0, failed = 0, code = 0;
    pid_t pid;

    if (cluster("kill-brick rep3 %d", brick))
        t_die("cannot kill the brick");
    for (int64_t at = 0; at < BLOCKS; at++)
        failed += write_block(at, (unsigned char)(2 + brick)) != 0;
    pid = cluster_start("restart-brick rep3 %d", brick);
    while (!back || now_us() - back < 4000000) {
        int64_t at = random_below(&seed, BLOCKS);

        failed += write_block(at, (unsigned char)random_below(&seed, 256)) || flush_sync(&img);
        at = random_below(&seed, BLOCKS);
        failed += pread_sync(&img, block, sizeof(block), at * BLOCK) != 0;
        reads++;
        old += block[0] != now[at] || block[BLOCK - 1] != now[at];
        if (!back && cluster_ended(pid, &code))
            back = now_us();
    }
    is(failed, 0, "every request succeeds while brick %d comes back", brick);
    is(code, 0, "it has come back");
    is(old, 0, "%d reads see what was flushed last", reads);
}

int main(int argc, char **argv)
{
    int round, rounds = argc > 1 ? atoi(argv[1]) : 2;

    t_begin("what was flushed while a brick was away is what is read when it is back");
    load_for_volumes();
    allow_seconds(120 + 20 * (unsigned)rounds);
    need_healthy();
    make_and_open(&img, cluster_uri("rep3", "returns"), "1M", "off");
    for (int64_t at = 0; at < BLOCKS; at++)
        write_block(at, 0);
    is(flush_sync(&img), 0, "an image");
    is_noted();
    for (round = 0; round < rounds; round++)
        is_not_read(3 - round % 3);
    img_close(&img);
    empty_image(cluster_uri("rep3", "returns"));
    return end_for_volumes();
}
