/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "volumes.h"

#include <ftw.h>
#include <sys/stat.h>

static int64_t brick_bytes;

static int add_up(const char *path, const struct stat *st, int kind, struct FTW *place)
{
    (void)path;
    (void)place;
    /* Each file has a second link below .glusterfs. */
    if (kind == FTW_F && st->st_nlink)
        brick_bytes += st->st_blocks * INT64_C(512) / (int64_t)st->st_nlink;
    return 0;
}

/* What the volume's files occupy on the first brick, by the word of its file system. */
static int64_t on_brick(const char *volume)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/n1/bricks/%s", getenv("BLKG_CLUSTER_DIR"), volume);
    brick_bytes = 0;
    if (nftw(path, add_up, 16, FTW_PHYS) < 0)
        t_die("cannot read %s", path);
    return brick_bytes;
}

static int64_t allocated(struct img *img)
{
    return img->drv->get_allocated_file_size(&img->bs);
}

static void flushing(const char *volume, const char *write_cache)
{
    const char *uri = cluster_uri(volume, "flush");
    struct io write[16], flush[4];
    unsigned char *memory = t_alloc(16 * 8192);
    struct img img;
    unsigned i;

    memset(write, 0, sizeof(write));
    memset(flush, 0, sizeof(flush));
    make_and_open(&img, uri, "1M", write_cache);
    is(flush_sync(&img), 0, "%s, write-cache=%s: a flush with nothing to do", volume, write_cache);
    pattern_fill(memory, 16 * 8192, 1, 0);
    for (i = 0; i < 16; i++)
        io_pwrite(&write[i], &img, memory + i * 8192, 8192, i * 8192);
    for (i = 0; i < 4; i++)
        io_flush(&flush[i], &img);
    for (i = 0; i < 16; i++)
        if (io_wait(&write[i]) != 0)
            fail("%s: write %u", volume, i);
    for (i = 0; i < 4; i++)
        is(io_wait(&flush[i]), 0, "%s: a flush between and after writes", volume);
    is(flush_sync(&img), 0, "%s: a flush of them", volume);
    img_close(&img);
    is(img_open(&img, uri, 0, "write-cache", write_cache, NULL), 0, "%s: open it again", volume);
    ok(has_pattern(&img, 16 * 8192, 0, 1), "%s: they are there", volume);
    is(flush_sync(&img), 0, "%s: a read-only image can be flushed", volume);
    img_close(&img);
    free(memory);
    empty_image(uri);
}

static void discarding(const char *volume)
{
    const char *uri = cluster_uri(volume, "discard");
    struct io io = {0};
    struct img img;
    int64_t full, less, brick_full, freed;

    make_and_open(&img, uri, "0", "on");
    ok(write_pattern(&img, 20 * MiB + 777, 0, 1) && flush_sync(&img) == 0, "%s: an image of 20 MiB", volume);
    full = allocated(&img);
    brick_full = on_brick(volume);
    /* Across shards, and no multiple of anything. */
    is(discard_sync(&img, 9 * MiB + 5, 3 * MiB - 3), 0, "%s: discard 9 MiB of it", volume);
    is(img.drv->getlength(&img.bs), 20 * MiB + 777, "%s: its length is the same", volume);
    ok(reads_zero(&img, 9 * MiB + 5, 3 * MiB - 3), "%s: what was discarded reads as zero", volume);
    ok(has_pattern(&img, 3 * MiB - 3, 0, 1) && has_pattern(&img, 8 * MiB + 775, 12 * MiB + 2, 1),
       "%s: the rest is unchanged", volume);
    less = allocated(&img);
    freed = brick_full - on_brick(volume);
    t_say("%s: %lld bytes allocated, %lld after the discard; one brick gave back %lld", volume, (long long)full,
          (long long)less, (long long)freed);
    ok(full - less > 8 * MiB && full - less < 10 * MiB, "%s: the space was given back", volume);
    /* A brick of disp holds half of the data. */
    ok(freed > (strcmp(volume, "disp") ? 8 : 4) * MiB, "%s: the brick's file system says so, too", volume);

    io_begin(&io, &img);
    io_end(&io, img.drv->aio_discard(&img.bs, 30000, 1000, io_done, &io));
    is(io_wait(&io), 0, "%s: discard sectors", volume);
    ok(reads_zero(&img, 512000, 30000 * 512) && has_pattern(&img, 512, 29999 * 512, 1) &&
           has_pattern(&img, 512, 31000 * 512, 1),
       "%s: those, and no others, read as zero", volume);
    is(discard_sync(&img, 1, 100), 0, "%s: discard one byte", volume);
    ok(has_pattern(&img, 100, 0, 1) && reads_zero(&img, 1, 100) && has_pattern(&img, 4096, 101, 1),
       "%s: that byte reads as zero", volume);
    is(discard_sync(&img, 0, 4096), 0, "%s: discard nothing", volume);
    ok(has_pattern(&img, 512, 4096, 1), "%s: nothing is what went", volume);

    is(discard_sync(&img, 5 * MiB, 18 * MiB), 0, "%s: discard across the end", volume);
    is(img.drv->getlength(&img.bs), 20 * MiB + 777, "%s: does not grow the image", volume);
    ok(reads_zero(&img, 3 * MiB, 18 * MiB) && has_pattern(&img, MiB, 17 * MiB, 1), "%s: ends with the image", volume);
    is(discard_sync(&img, MiB, 25 * MiB), 0, "%s: discard behind the end", volume);
    is(discard_sync(&img, INT64_C(1) << 50, INT64_C(1) << 51), 0, "%s: discard far behind the end", volume);
    is(img.drv->getlength(&img.bs), 20 * MiB + 777, "%s: does not grow it either", volume);
    ok(write_pattern(&img, 12 * MiB, 2 * MiB, 2) && has_pattern(&img, 12 * MiB, 2 * MiB, 2),
       "%s: what was discarded can be written again", volume);
    is(discard_sync(&img, INT64_MAX, 0), 0, "%s: discard all there is, by the largest number", volume);
    ok(reads_zero(&img, 20 * MiB + 777, 0), "%s: all of it reads as zero", volume);
    img_close(&img);
    empty_image(uri);
}

/* What lies between is a hole: nothing to give back, and it may not take long to find that out. */
static void sparse(const char *volume, const char *size, int64_t bytes)
{
    const char *uri = cluster_uri(volume, "discard-sparse");
    int64_t begun;
    struct img img;

    make_and_open(&img, uri, size, "on");
    ok(write_pattern(&img, MiB, 0, 1) && write_pattern(&img, MiB, bytes - MiB, 1) && flush_sync(&img) == 0,
       "%s: an image of %s, with data at both ends", volume, size);
    begun = now_us();
    is(discard_sync(&img, bytes - MiB, 512 * 1024), 0, "%s: discard all but half a MiB at each end", volume);
    t_say("%s: discard of %s in %lld ms", volume, size, (long long)(now_us() - begun) / 1000);
    ok(has_pattern(&img, 512 * 1024, 0, 1) && reads_zero(&img, 512 * 1024, 512 * 1024) &&
           reads_zero(&img, 512 * 1024, bytes - MiB) && has_pattern(&img, 512 * 1024, bytes - 512 * 1024, 1),
       "%s: the ends are right", volume);
    is(img.drv->getlength(&img.bs), bytes, "%s: its length is the same", volume);
    img_close(&img);
    empty_image(uri);
}

int main(void)
{
    t_begin("a flush keeps, a discard gives back: exactly the bytes that it names, and never a byte more");
    load_for_volumes();
    for EACH_VOLUME (volume) {
        flushing(*volume, "on");
        flushing(*volume, "off");
        discarding(*volume);
    }
    sparse("plain", "8G", INT64_C(8) << 30);
    sparse("rep3", "8G", INT64_C(8) << 30);
    sparse("sharded", "2G", INT64_C(2) << 30);
    sparse("disp", "2G", INT64_C(2) << 30);
    return end_for_volumes();
}
