/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Preallocation gives each kind of volume's images the space that was asked for, and takes it back when it fails. */
#include "volumes.h"

static const char *const words[] = {"off", "falloc", "full"};

static struct {
    unsigned calls, stop_at; /* 0: never */
    int64_t done, total;
} told;

static int progress(void *opaque, int64_t done, int64_t total)
{
    (void)opaque;
    if (done < told.done || done > total)
        fail("progress goes on");
    told.calls++;
    told.done = done;
    told.total = total;
    return told.calls == told.stop_at;
}

static int create(const char *uri, const char *size, const char *how, unsigned stop_at)
{
    const struct BlkOption options[] = {{"size", size}, {"preallocation", how}, {"keep-connection", "2"}, {NULL, NULL}};

    memset(&told, 0, sizeof(told));
    told.stop_at = stop_at;
    return drv_for(uri)->create_with_progress(uri, options, progress, NULL, NULL);
}

static void has_space(const char *what, struct img *img, int64_t length, int64_t space)
{
    int64_t allocated = img->drv->get_allocated_file_size(&img->bs);

    is(img->drv->getlength(&img->bs), length, "%s: the length", what);
    ok(allocated >= space && allocated <= space + MiB, "%s: %lld bytes allocated for %lld", what, (long long)allocated,
       (long long)space);
}

static void creating(const char *volume)
{
    const char *uri = cluster_uri(volume, "preallocate");
    struct img img;
    char what[64];
    unsigned i;

    for (i = 0; i < T_COUNT(words); i++) {
        snprintf(what, sizeof(what), "%s, %s", volume, words[i]);
        is(create(uri, "72M", words[i], 0), 0, "%s: create", what);
        is(told.done, i ? 72 * MiB : 0, "%s: progress", what);
        is(img_open(&img, uri, BLK_O_RDWR, NULL), 0, "%s: open", what);
        has_space(what, &img, 72 * MiB, i ? 72 * MiB : 0);
        ok(reads_zero(&img, 16 * MiB, 0) && reads_zero(&img, 16 * MiB, 56 * MiB), "%s: reads as zero", what);
        img_close(&img);
    }
    is(create(uri, "4M", "full", 0), 0, "%s: a small one in its place", volume);
    is(img_open(&img, uri, BLK_O_RDWR, NULL), 0, "%s: open", volume);
    has_space(volume, &img, 4 * MiB, 4 * MiB);
    img_close(&img);
    empty_image(uri);
    uri = cluster_uri(volume, "preallocate-cancelled");
    is(create(uri, "200M", "full", 2), -ECANCELED, "%s: cancelled", volume);
    is(img_open(&img, uri, 0, NULL), -ENOENT, "%s: leaves nothing", volume);
}

/* `old`: on sharded 8 MiB end with a shard, and 8 MiB + 4 KiB leave one block in another. */
static void growing(const char *volume, int64_t old, int how)
{
    const char *uri = cluster_uri(volume, "preallocate-grow");
    int64_t longer = 40 * MiB + 777;
    struct img img;
    char what[64];

    snprintf(what, sizeof(what), "%s, %s from %lld", volume, words[how], (long long)old);
    make_on_kept(&img, uri, "0", "off");
    ok(write_pattern(&img, old, 0, 1), "%s: data", what);
    memset(&told, 0, sizeof(told));
    told.stop_at = 2;
    is(img.drv->truncate_with_preallocation(&img.bs, 150 * MiB, how, progress, NULL, &img.error), -ECANCELED,
       "%s: cancelled midway", what);
    is(img.drv->getlength(&img.bs), old, "%s: its old length", what);
    ok(has_pattern(&img, old, 0, 1), "%s: its data", what);
    memset(&told, 0, sizeof(told));
    is(img.drv->truncate_with_preallocation(&img.bs, longer, how, progress, NULL, &img.error), 0, "%s: grows", what);
    is(told.total, longer - old, "%s: by the new range", what);
    has_space(what, &img, longer, longer);
    ok(has_pattern(&img, old, 0, 1) && reads_zero(&img, longer - old, old), "%s: its data, and zeroes", what);
    ok(write_pattern(&img, MiB, longer - 1000, 1) && has_pattern(&img, MiB, longer - 1000, 1), "%s: grows on", what);
    is(img.drv->getlength(&img.bs), longer - 1000 + MiB, "%s: its length", what);
    is(img.drv->truncate_with_preallocation(&img.bs, old, how, NULL, NULL, &img.error), -EINVAL, "%s: never shorter",
       what);
    is(img.drv->getlength(&img.bs), longer - 1000 + MiB, "%s: its length", what);
    img_close(&img);
    is(img_open(&img, uri, 0, NULL), 0, "%s: opened anew", what);
    is(img.drv->getlength(&img.bs), longer - 1000 + MiB, "%s: its length", what);
    ok(has_pattern(&img, old, 0, 1), "%s: its data", what);
    img_close(&img);
    empty_image(uri);
}

/* What times out in one call. */
static void large(const char *volume)
{
    const char *uri = cluster_uri(volume, "preallocate-large");
    int64_t begun = now_us();
    struct img img;

    is(create(uri, "4G", "full", 0), 0, "%s: 4 GiB, full", volume);
    t_say("%s: 4 GiB in %lld ms, %u calls of progress", volume, (long long)(now_us() - begun) / 1000, told.calls);
    ok(told.calls >= 64 && told.done == INT64_C(4) << 30, "%s: with progress", volume);
    is(img_open(&img, uri, BLK_O_RDWR, NULL), 0, "%s: open", volume);
    has_space(volume, &img, INT64_C(4) << 30, INT64_C(4) << 30);
    img_close(&img);
    empty_image(uri);
}

int main(void)
{
    struct img keeper;

    t_begin("preallocation: the space that was asked for, on every kind of volume");
    load_for_volumes();
    for EACH_VOLUME (volume) {
        keep_connected(&keeper, *volume);
        creating(*volume);
        growing(*volume, 8 * MiB, BLK_PREALLOC_FALLOC);
        growing(*volume, 8 * MiB + 4096, BLK_PREALLOC_FULL);
        if (!strcmp(*volume, "sharded")) {
            growing(*volume, 0, BLK_PREALLOC_FULL);
            growing(*volume, 8 * MiB + 1, BLK_PREALLOC_FALLOC);
            large(*volume);
        }
        img_close(&keeper);
    }
    return end_for_volumes();
}
