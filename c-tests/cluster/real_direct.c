/* SPDX-License-Identifier: GPL-2.0-or-later */
/* BLK_O_NOCACHE takes requests of any range on every kind of volume, and loses nothing of the blocks that they share with
 * others: this image's own requests, in flight at the same time, and another client's. By hand also on bricks with blocks
 * of 4096 bytes (a file system on `losetup -b 4096`, named by BLKGLUSTER_BUILD).
 *   real_direct [ROUNDS] */
#include "volumes.h"

enum { BYTES = 4 * MiB + 777, REGION = 5 * 4096, AT_ONCE = 24, GROWTHS = 16 };

static unsigned char *model, *got;
static int asked_rounds;

/* Opened by another client than the first: a connection of its own, through the bricks' page cache. */
static int open_elsewhere(struct img *img, const char *uri)
{
    return img_open(img, uri, BLK_O_RDWR, "ping-timeout", "41", NULL);
}

static void check(struct img *img, int64_t length, const char *what)
{
    is(img->drv->getlength(&img->bs), length, "%s: the length", what);
    memset(got, 0xee, (size_t)length);
    ok(pread_sync(img, got, length, 0) == 0 && memcmp(got, model, (size_t)length) == 0, "%s: every byte", what);
}

/* Ranges that share blocks and no byte, most at the border of two shards, all at once, from both. */
static void neighbours(struct img *direct, struct img *other, const char *volume, uint64_t *state)
{
    const int64_t base = 4 * MiB - REGION / 2;
    /* Replicas hand a lock from client to client and back for nearly each write. */
    const int few = strcmp(volume, "rep3") && strcmp(volume, "sharded") ? 30 : 3;
    const int rounds = asked_rounds ? asked_rounds : few;
    struct io ios[AT_ONCE];
    int round, i, failures = 0, wrong = 0;

    memset(ios, 0, sizeof(ios));
    for (round = 0; round < rounds; round++) {
        int64_t at = base + random_below(state, 500);
        int used = 0;

        for (i = 0; i < AT_ONCE && at < BYTES; i++) {
            int64_t bytes = 1 + random_below(state, i % 5 ? 1500 : 4096);
            struct img *img = random_below(state, 3) ? direct : other;

            if (i % 6 == 5) { /* whole blocks: the direct way, between two others */
                at = (at + 511) / 512 * 512;
                bytes = 512 + 512 * random_below(state, 8);
            }
            if (at + bytes > BYTES)
                break;
            pattern_fill(model + at, (size_t)bytes, 100 + (uint64_t)(round * AT_ONCE + i), at);
            failures += !io_pwrite(&ios[used++], img, model + at, bytes, at);
            at += bytes + random_below(state, 3) * random_below(state, 300);
        }
        for (i = 0; i < used; i++)
            failures += io_wait(&ios[i]) != 0;
        /* Each sees what the other wrote. */
        for (i = 0; i < 2; i++) {
            int64_t bytes = 1 + random_below(state, REGION / 2), offset = base + random_below(state, BYTES - base - bytes);

            memset(got, 0xee, (size_t)bytes);
            failures += pread_sync(i ? direct : other, got, bytes, offset) != 0;
            wrong += memcmp(got, model + offset, (size_t)bytes) != 0;
        }
    }
    is(failures, 0, "%s: %d rounds of writes from two clients to the same blocks", volume, rounds);
    is(wrong, 0, "%s: ... each reads what both wrote", volume);
}

static void zeroes(struct img *img, const char *volume, uint64_t *state)
{
    int i, failures = 0;

    for (i = 0; i < 12; i++) {
        int64_t bytes = 1 + random_below(state, 20000), offset = random_below(state, BYTES - bytes);

        failures += (i % 3 == 2 ? discard_sync(img, bytes, offset)
                                : zeroes_sync(img, bytes, offset, i % 3 ? BLK_ZERO_MAY_UNMAP : 0)) != 0;
        memset(model + offset, 0, (size_t)bytes);
    }
    is(failures, 0, "%s: zeroes and discards of any range", volume);
}

/* Writes that end within a block make the image so long and no longer. */
static int64_t growth(struct img *img, const char *volume, uint64_t *state)
{
    int64_t length = BYTES;
    int i, failures = 0, wrong = 0;

    for (i = 0; i < GROWTHS; i++) {
        int64_t bytes = 1 + random_below(state, 9000), offset = length - random_below(state, 5000);

        if (i % 4 == 0)
            offset = length + random_below(state, 9000);
        if (offset > length)
            memset(model + length, 0, (size_t)(offset - length));
        pattern_fill(model + offset, (size_t)bytes, 9 + (uint64_t)i, offset);
        failures += pwrite_sync(img, model + offset, bytes, offset) != 0;
        length = offset + bytes > length ? offset + bytes : length;
        wrong += img->drv->getlength(&img->bs) != length;
    }
    is(failures, 0, "%s: writes across the end", volume);
    is(wrong, 0, "%s: ... each makes the image as long as it has to be", volume);
    return length;
}

static void on_volume(const char *volume)
{
    const char *uri = cluster_uri(volume, "direct");
    int64_t begun = now_us(), length;
    uint64_t state = 5;
    struct img direct, other;

    make_on_kept(&other, uri, "0", "off");
    pattern_fill(model, BYTES, 1, 0);
    is(pwrite_sync(&other, model, BYTES, 0), 0, "%s: an image", volume);
    img_close(&other);
    is(img_open(&direct, uri, BLK_O_RDWR | BLK_O_NOCACHE, NULL), 0, "%s: BLK_O_NOCACHE", volume);
    is(open_elsewhere(&other, uri), 0, "%s: another client", volume);
    neighbours(&direct, &other, volume, &state);
    zeroes(&direct, volume, &state);
    check(&other, BYTES, "the other client");
    img_close(&other);
    length = growth(&direct, volume, &state);
    is(flush_sync(&direct), 0, "%s: a flush", volume);
    check(&direct, length, volume);
    img_close(&direct);
    is(img_open(&direct, uri, BLK_O_NOCACHE, NULL), 0, "%s: opened anew, to read", volume);
    check(&direct, length, volume);
    img_close(&direct);

    /* A read of a hole tells nothing of the blocks. */
    make_image(uri, "1M");
    is(img_open(&direct, uri, BLK_O_RDWR | BLK_O_NOCACHE, NULL), 0, "%s: an image of holes", volume);
    memset(model, 0, MiB);
    pattern_fill(model + 512, 512, 2, 512);
    pattern_fill(model + 8192, 4096, 2, 8192);
    pattern_fill(model + 20001, 99, 2, 20001);
    ok(pwrite_sync(&direct, model + 512, 512, 512) == 0 && pwrite_sync(&direct, model + 8192, 4096, 8192) == 0 &&
           pwrite_sync(&direct, model + 20001, 99, 20001) == 0 && flush_sync(&direct) == 0,
       "%s: ... takes any write", volume);
    check(&direct, MiB, volume);
    img_close(&direct);
    empty_image(uri);
    t_say("%s: %lld ms", volume, (long long)(now_us() - begun) / 1000);
}

static bool reads(void *arg)
{
    char byte;

    return pread_sync(arg, &byte, 1, 0) == 0;
}

/* Its only brick forgets the lock: the second descriptor serves it no more than the first. */
static void fenced(void)
{
    const char *uri = cluster_uri("plain", "direct-locked");
    struct img img, beside;
    char data[4096] = "";

    make_image(uri, "1M");
    is(img_open(&img, uri, BLK_O_RDWR | BLK_O_NOCACHE, "locking", "on", NULL), 0, "plain: a writer with a lock");
    make_image(cluster_uri("plain", "direct-beside"), "1M");
    is(img_open(&beside, cluster_uri("plain", "direct-beside"), BLK_O_RDWR | BLK_O_NOCACHE, "locking", "on", NULL), 0,
       "plain: another image");
    ok(pwrite_sync(&img, data, 100, 100) == 0 && pwrite_sync(&img, data, 4096, 0) == 0 && flush_sync(&img) == 0,
       "plain: ... writes both ways");
    is(beside.drv->lock_release(&beside.bs, &beside.error), 0, "plain: the other one has given its lock up");
    if (cluster("kill-brick plain 1") || cluster("restart-brick plain 1"))
        t_die("cannot restart a brick of plain");
    ok(run_until(reads, &beside, 30), "plain: the brick was restarted: an image without a lock works, also aside");
    is(pwrite_sync(&img, data, 4096, 0), -EBADFD, "plain: the one with a lock is fenced off");
    is(pwrite_sync(&img, data, 100, 100), -EBADFD, "plain: ... aside, too");
    is(pread_sync(&img, data, 100, 100), -EBADFD, "plain: ... for reads as well");
    img_close(&img);
    is(img_open(&img, uri, BLK_O_RDWR | BLK_O_NOCACHE, "locking", "on", NULL), 0, "plain: opened anew");
    ok(pwrite_sync(&img, data, 100, 100) == 0 && flush_sync(&img) == 0, "plain: ... it is written");
    img_close(&img);
    img_close(&beside);
    empty_image(uri);
}

int main(int argc, char **argv)
{
    struct img keeper;

    if (argc > 1)
        asked_rounds = atoi(argv[1]);
    t_begin("BLK_O_NOCACHE: any range, on every kind of volume");
    load_for_volumes();
    model = t_alloc(BYTES + 2 * MiB);
    got = t_alloc(BYTES + 2 * MiB);
    for EACH_VOLUME (volume) {
        keep_connected(&keeper, *volume);
        on_volume(*volume);
        img_close(&keeper);
    }
    fenced();
    free(model);
    free(got);
    return end_for_volumes();
}
