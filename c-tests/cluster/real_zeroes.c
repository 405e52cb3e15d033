/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Zeroes are where they were asked for, and nowhere else, on every kind of volume. */
#include "volumes.h"

enum { BYTES = 24 * MiB + 777, ROUNDS = 40 };

static unsigned char *model, *got;

static void check(struct img *img, const char *what, int64_t length)
{
    is(img->drv->getlength(&img->bs), length, "%s: the length", what);
    ok(pread_sync(img, got, length, 0) == 0 && memcmp(got, model, (size_t)length) == 0, "%s: every byte", what);
}

static void at_random(const char *volume, const char *write_cache)
{
    const char *uri = cluster_uri(volume, "zeroes");
    int64_t length = BYTES, begun = now_us();
    uint64_t state = 7;
    struct img img;
    int i, failures = 0;
    char what[64];

    snprintf(what, sizeof(what), "%s, write-cache=%s", volume, write_cache);
    make_on_kept(&img, uri, "0", write_cache);
    pattern_fill(model, BYTES, 3, 0);
    is(pwrite_sync(&img, model, BYTES, 0), 0, "%s: an image", what);
    for (i = 0; i < ROUNDS; i++) {
        int64_t bytes = random_below(&state, i % 4 ? 200000 : 6 * MiB);
        int64_t offset = random_below(&state, BYTES - bytes);
        uint32_t flags = i % 2 ? BLK_ZERO_MAY_UNMAP : 0;

        /* Some between writes of the same place, in order. */
        if (i % 3 == 0) {
            pattern_fill(model + offset, (size_t)bytes, 100 + (uint64_t)i, offset);
            failures += pwrite_sync(&img, model + offset, bytes, offset) != 0;
        }
        failures += zeroes_sync(&img, bytes, offset, flags) != 0;
        memset(model + offset, 0, (size_t)bytes);
        if (bytes > 4096 && i % 2) {
            pattern_fill(model + offset + 100, 2000, 200 + (uint64_t)i, offset + 100);
            failures += pwrite_sync(&img, model + offset + 100, 2000, offset + 100) != 0;
        }
    }
    is(failures, 0, "%s: %d zeroes and writes", what, ROUNDS);
    check(&img, what, length);
    is(zeroes_sync(&img, 5000, length - 3, BLK_ZERO_MAY_UNMAP), 0, "%s: across the end", what);
    memset(model + length - 3, 0, 5000);
    length += 4997;
    is(zeroes_sync(&img, 3 * MiB + 1, length + MiB, 0), 0, "%s: behind the end", what);
    memset(model + length, 0, 4 * MiB + 1);
    length += 4 * MiB + 1;
    is(flush_sync(&img), 0, "%s: a flush", what);
    check(&img, what, length);
    img_close(&img);
    is(img_open(&img, uri, BLK_O_RDWR, NULL), 0, "%s: opened anew", what);
    check(&img, what, length);
    img_close(&img);
    empty_image(uri);
    t_say("%s: %lld ms", what, (long long)(now_us() - begun) / 1000);
}

/* Space: kept without the flag, given back with it. */
static void space(const char *volume)
{
    const char *uri = cluster_uri(volume, "zeroes-space");
    int64_t full, kept, less;
    struct img img;

    make_on_kept(&img, uri, "0", "off");
    ok(write_pattern(&img, 16 * MiB, 0, 1) && flush_sync(&img) == 0, "%s: 16 MiB", volume);
    full = img.drv->get_allocated_file_size(&img.bs);
    is(zeroes_sync(&img, 8 * MiB, 4 * MiB, 0), 0, "%s: zeroes", volume);
    ok(reads_zero(&img, 8 * MiB, 4 * MiB), "%s: are zero", volume);
    kept = img.drv->get_allocated_file_size(&img.bs);
    is(zeroes_sync(&img, 8 * MiB, 4 * MiB, BLK_ZERO_MAY_UNMAP), 0, "%s: once more, may unmap", volume);
    ok(reads_zero(&img, 8 * MiB, 4 * MiB) && has_pattern(&img, 4 * MiB, 0, 1) && has_pattern(&img, 4 * MiB, 12 * MiB, 1),
       "%s: the same bytes", volume);
    less = img.drv->get_allocated_file_size(&img.bs);
    t_say("%s: %lld bytes allocated, %lld after zeroes, %lld when they may be unmapped", volume, (long long)full,
          (long long)kept, (long long)less);
    ok(kept > full - MiB, "%s: without the flag the space stays", volume);
    ok(less < full - 7 * MiB, "%s: with it the space is given back", volume);
    img_close(&img);
    empty_image(uri);
}

/* Direct I/O reaches the bricks' block size only where they know no zerofill. */
static void direct(const char *volume)
{
    const char *uri = cluster_uri(volume, "zeroes-direct");
    struct img img;

    make_image(uri, "8M");
    is(img_open(&img, uri, BLK_O_RDWR | BLK_O_NOCACHE, NULL), 0, "%s: BLK_O_NOCACHE", volume);
    ok(write_pattern(&img, 4 * MiB, 0, 1), "%s: 4 MiB", volume);
    is(zeroes_sync(&img, MiB, MiB, 0), 0, "%s: whole blocks of zeroes", volume);
    is(zeroes_sync(&img, MiB, 3 * MiB, BLK_ZERO_MAY_UNMAP), 0, "%s: may unmap", volume);
    ok(has_pattern(&img, MiB, 0, 1) && reads_zero(&img, MiB, MiB) && has_pattern(&img, MiB, 2 * MiB, 1) &&
           reads_zero(&img, MiB, 3 * MiB),
       "%s: are where they should be", volume);
    img_close(&img);
    empty_image(uri);
}

/* 10 GiB in a sparse image, in bounded memory and time, and taken back. */
static void large(const char *volume, int64_t bytes)
{
    const char *uri = cluster_uri(volume, "zeroes-large");
    int64_t begun;
    struct io io = {0};
    struct img img;
    int ret;

    make_on_kept(&img, uri, "0", "off");
    ok(write_pattern(&img, MiB, 0, 1) && zeroes_sync(&img, 1, bytes - 1, 0) == 0, "%s: a large image", volume);
    begun = now_us();
    is(zeroes_sync(&img, bytes - MiB, MiB / 2, BLK_ZERO_MAY_UNMAP), 0, "%s: zero nearly all of it", volume);
    t_say("%s: %lld MiB in %lld ms", volume, (long long)(bytes / MiB), (long long)(now_us() - begun) / 1000);
    ok(has_pattern(&img, MiB / 2, 0, 1) && reads_zero(&img, MiB, MiB / 2), "%s: the right part", volume);
    io_zeroes(&io, &img, bytes, 0, BLK_ZERO_MAY_UNMAP);
    img.drv->aio_cancel_async(io.acb);
    ret = io_wait(&io);
    ok(ret == -ECANCELED || ret == 0, "%s: cancelled: %d", volume, ret);
    is(flush_sync(&img), 0, "%s: a flush", volume);
    img_close(&img);
    empty_image(uri);
}

int main(void)
{
    struct img keeper;

    t_begin("aio_write_zeroes: exactly its range reads as zero, on every kind of volume");
    load_for_volumes();
    model = t_alloc(BYTES + 8 * MiB);
    got = t_alloc(BYTES + 8 * MiB);
    for EACH_VOLUME (volume) {
        keep_connected(&keeper, *volume);
        at_random(*volume, "off");
        if (strcmp(*volume, "sharded"))
            at_random(*volume, "on");
        space(*volume);
        direct(*volume);
        if (!strcmp(*volume, "plain"))
            large(*volume, INT64_C(10) << 30);
        if (!strcmp(*volume, "sharded"))
            large(*volume, INT64_C(1) << 30);
        img_close(&keeper);
    }
    free(model);
    free(got);
    return end_for_volumes();
}
