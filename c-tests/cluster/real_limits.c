/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Not on sharded: GlusterFS 10.3's sharding works through every shard in between, and crashes the client far out.
 */
#include "volumes.h"

#include <sys/vfs.h>

#define EXT4 0xEF53
#define BLOCK 4096
#define GiB (INT64_C(1) << 30)
#define TiB (INT64_C(1) << 40)
#define MAX_END (INT64_C(1) << 52)
#define WRITES 64

static const char *const places[] = {"plain", "rep3", "disp"};

/* Where a file of this volume ends at the latest: 2^32 - 1 blocks on ext4; a brick of disp holds half of the data. */
static int64_t limit_of(const char *volume)
{
    return ((INT64_C(1) << 44) - BLOCK) * (strcmp(volume, "disp") ? 1 : 2);
}

static bool bricks_on_ext4(void)
{
    struct statfs fs;

    return statfs(getenv("BLKG_CLUSTER_DIR"), &fs) == 0 && fs.f_type == EXT4 && fs.f_bsize == BLOCK;
}

/* Disperse counts a write whole of which the bricks took a part. */
static bool length_is_right(struct img *img, const char *volume)
{
    int64_t length = img->drv->getlength(&img->bs), limit = limit_of(volume);

    return length == limit || (!strcmp(volume, "disp") && length > limit && length <= limit + MiB);
}

static void close_and_empty(struct img *img, const char *uri)
{
    img_close(img);
    empty_image(uri);
}

static void second_look(const char *uri, const char *mode, int64_t bytes, int64_t offset, uint64_t seed, int64_t length,
                        const char *what)
{
    struct img other;

    if (img_open(&other, uri, 0, "write-cache", !strcmp(mode, "on") ? "off" : "on", NULL) < 0)
        t_die("cannot open %s once more: %s", uri, other.error.message);
    ok(has_pattern(&other, bytes, offset, seed), "%s: through another connection, too", what);
    is(other.drv->getlength(&other.bs), length, "%s: the same length there", what);
    img_close(&other);
}

/* ---- what the bricks' file system cannot hold ------------------------------------------------------------------ */

/* Adjacent writes that straddle the limit, with others elsewhere between them, all in flight at once; in the second turn
 * they are held back until all are there. */
static void straddle(const char *volume, const char *mode, bool plugged)
{
    const char *uri = cluster_uri(volume, "limits");
    int64_t limit = limit_of(volume), first = limit - WRITES / 2 * BLOCK;
    struct io far[WRITES], near[WRITES];
    unsigned char *far_data = t_alloc(WRITES * BLOCK), *near_data = t_alloc(WRITES * BLOCK);
    unsigned wrong_far = 0, wrong_near = 0, i;
    char what[128];
    struct img img;

    snprintf(what, sizeof(what), "%s, write-cache=%s%s", volume, mode, plugged ? ", plugged" : "");
    memset(far, 0, sizeof(far));
    memset(near, 0, sizeof(near));
    pattern_fill(far_data, WRITES * BLOCK, 1, first);
    pattern_fill(near_data, WRITES * BLOCK, 2, 0);
    make_and_open(&img, uri, "1M", mode);
    if (plugged)
        is(img.drv->io_plug(&img.bs), 0, "%s: plug", what);
    for (i = 0; i < WRITES; i++) {
        io_pwrite(&far[i], &img, far_data + i * BLOCK, BLOCK, first + (int64_t)i * BLOCK);
        io_pwrite(&near[i], &img, near_data + i * BLOCK, BLOCK, (int64_t)i * BLOCK);
    }
    if (plugged)
        is(img.drv->io_unplug(&img.bs), 0, "%s: unplug", what);
    for (i = 0; i < WRITES; i++) {
        int ret = io_wait(&far[i]), wanted = i < WRITES / 2 ? 0 : -EFBIG;

        if (ret != wanted && wrong_far++ < 4)
            t_say("%s: the write at the limit %+d blocks ends with %d", what, (int)i - WRITES / 2, ret);
        wrong_near += io_wait(&near[i]) != 0;
    }
    is(wrong_far, 0, "%s: of adjacent writes those up to the limit succeed, those beyond it get -EFBIG", what);
    is(wrong_near, 0, "%s: writes elsewhere in between are not affected", what);
    is(flush_sync(&img), 0, "%s: flush", what);
    ok(length_is_right(&img, volume), "%s: it ends at the limit", what);
    ok(has_pattern(&img, WRITES / 2 * BLOCK, first, 1) && has_pattern(&img, WRITES * BLOCK, 0, 2), "%s: all data", what);
    ok(reads_zero(&img, WRITES / 2 * BLOCK, limit), "%s: zeros beyond", what);
    second_look(uri, mode, WRITES / 2 * BLOCK, first, 1, img.drv->getlength(&img.bs), what);
    close_and_empty(&img, uri);
    free(far_data);
    free(near_data);
}

/* One that ends beyond the limit and begins before it, and ones far out; each time everything goes on. */
static void beyond(const char *volume, const char *mode)
{
    const char *uri = cluster_uri(volume, "limits");
    const int64_t limit = limit_of(volume);
    const int64_t ends[] = {limit + 1, limit + BLOCK, limit + MiB, 3 * (MAX_END / 4), MAX_END};
    unsigned i;
    struct img img;

    make_and_open(&img, uri, "1M", mode);
    for (i = 0; i < T_COUNT(ends); i++) {
        struct io before = {0}, io = {0}, flush = {0};
        unsigned char data[2 * BLOCK];
        int64_t place = (int64_t)i * 2 * BLOCK;

        pattern_fill(data, BLOCK, 10 + i, place);
        io_pwrite(&before, &img, data, BLOCK, place);
        ok(io_pwrite(&io, &img, data, 2 * BLOCK, ends[i] - 2 * BLOCK), "%s, write-cache=%s: a write that ends at %#llx is accepted",
           volume, mode, (unsigned long long)ends[i]);
        io_flush(&flush, &img);
        /* The bricks take the part that they can hold: a write that transfers less than asked. */
        is(io_wait(&io), ends[i] - 2 * BLOCK < limit ? -EIO : -EFBIG, "%s, write-cache=%s: it fails", volume, mode);
        is(io_wait(&before), 0, "%s, write-cache=%s: the one before it is fine", volume, mode);
        is(io_wait(&flush), 0, "%s, write-cache=%s: so is the flush behind it", volume, mode);
        is(flush_sync(&img), 0, "%s, write-cache=%s: and the next flush", volume, mode);
        ok(write_pattern(&img, BLOCK, place + BLOCK, 10 + i) && flush_sync(&img) == 0, "%s, write-cache=%s: write on, flush",
           volume, mode);
        ok(has_pattern(&img, 2 * BLOCK, place, 10 + i), "%s, write-cache=%s: read it", volume, mode);
    }
    ok(length_is_right(&img, volume), "%s, write-cache=%s: its length", volume, mode);
    ok(reads_zero(&img, BLOCK, MAX_END - BLOCK), "%s, write-cache=%s: a read far out gives zeros", volume, mode);
    is(discard_sync(&img, BLOCK, MAX_END - BLOCK), 0, "%s, write-cache=%s: a discard there has nothing to do", volume, mode);
    ok(img.drv->truncate(&img.bs, MAX_END / 2, &img.error) < 0, "%s, write-cache=%s: it cannot become so long: %s", volume,
       mode, img.error.message);
    ok(write_pattern(&img, BLOCK, 0, 3) && flush_sync(&img) == 0 && has_pattern(&img, BLOCK, 0, 3),
       "%s, write-cache=%s: it still works", volume, mode);
    close_and_empty(&img, uri);
}

/* ---- what no image can hold ------------------------------------------------------------------------------------ */

static void refused(const char *volume, const char *mode)
{
    const char *uri = cluster_uri(volume, "limits");
    const struct {
        int64_t offset, bytes;
    } asks[] = {{MAX_END, 1}, {MAX_END - 1, 2}, {MAX_END - BLOCK, BLOCK + 1}, {INT64_C(1) << 53, BLOCK},
                {INT64_C(1) << 54, BLOCK}, {INT64_MAX - 1, 1}};
    unsigned char data[2 * BLOCK];
    unsigned i;
    struct img img;

    memset(data, 1, sizeof(data));
    make_and_open(&img, uri, "1M", mode);
    for (i = 0; i < T_COUNT(asks); i++) {
        struct io io = {0};

        ok(!io_pwrite(&io, &img, data, asks[i].bytes, asks[i].offset) && io.ret == -EFBIG && !io.done,
           "%s: a write of %lld at %#llx is refused with EFBIG", volume, (long long)asks[i].bytes,
           (unsigned long long)asks[i].offset);
        ok(!io_pread(&io, &img, data, asks[i].bytes, asks[i].offset) && io.ret == -EFBIG && !io.done, "%s: a read, too",
           volume);
    }
    is(img.drv->truncate(&img.bs, MAX_END + 1, &img.error), -EFBIG, "%s: a length beyond 4 PiB is refused", volume);
    is(img.drv->getlength(&img.bs), MiB, "%s: its length is unchanged", volume);
    ok(write_pattern(&img, BLOCK, 0, 3) && flush_sync(&img) == 0, "%s: it still works", volume);
    close_and_empty(&img, uri);
}

/* ---- growth ---------------------------------------------------------------------------------------------------- */

static void growth(const char *volume, const char *mode)
{
    const char *uri = cluster_uri(volume, "limits");
    const int64_t borders[] = {GiB, 4 * GiB, TiB, TiB + GiB, TiB + 2 * GiB, TiB + 3 * GiB, 2 * TiB, 8 * TiB};
    unsigned wrong_length = 0, wrong_data = 0, i, k;
    char what[64];
    struct img img;

    snprintf(what, sizeof(what), "%s, write-cache=%s", volume, mode);
    make_and_open(&img, uri, "0", mode);
    for (i = 0; i < T_COUNT(borders); i++) {
        /* Up to where the last write of a GiB still needs proof, across the border, and beyond it. */
        const int64_t starts[] = {borders[i] - (1 << 17), borders[i] - (1 << 16) - 100, borders[i] - 1, borders[i] + BLOCK};

        for (k = 0; k < T_COUNT(starts); k++) {
            wrong_data += !write_pattern(&img, BLOCK, starts[k], 50 + k);
            wrong_length += img.drv->getlength(&img.bs) != starts[k] + BLOCK;
            wrong_data += !has_pattern(&img, BLOCK, starts[k], 50 + k);
        }
    }
    is(wrong_length, 0, "%s: the length follows each write across GiB and TiB borders", what);
    is(wrong_data, 0, "%s: each is read back", what);
    is(flush_sync(&img), 0, "%s: flush", what);
    for (i = 0; i < T_COUNT(borders); i++)
        if (!has_pattern(&img, BLOCK, borders[i] + BLOCK, 53))
            fail("%s: the data at %#llx", what, (unsigned long long)borders[i]);
    second_look(uri, mode, BLOCK, TiB + BLOCK, 53, 8 * TiB + 2 * BLOCK, what);
    close_and_empty(&img, uri);
}

int main(void)
{
    static const char *const modes[] = {"on", "off"};
    struct img anchors[2];
    unsigned i, k;

    t_begin("a write that the bricks cannot hold fails alone, and no size in reach is special");
    t_load();
    cluster_uri("plain", "skipped without a cluster");
    for (i = 0; i < T_COUNT(places); i++) {
        /* They keep the connections, of which each image would make its own. */
        for (k = 0; k < T_COUNT(modes); k++)
            make_and_open(&anchors[k], cluster_uri(places[i], "limits-anchor"), "0", modes[k]);
        for (k = 0; k < T_COUNT(modes); k++) {
            int64_t begun = now_us();

            if (bricks_on_ext4()) {
                beyond(places[i], modes[k]);
                straddle(places[i], modes[k], false);
                straddle(places[i], modes[k], true);
            } else {
                t_say("the bricks are not on ext4: their limit is not known here");
            }
            growth(places[i], modes[k]);
            refused(places[i], modes[k]);
            t_say("%s, write-cache=%s took %.1f s", places[i], modes[k], (double)(now_us() - begun) / 1e6);
        }
        for (k = 0; k < T_COUNT(modes); k++)
            img_close(&anchors[k]);
    }
    refused("sharded", "on");
    return t_end();
}
