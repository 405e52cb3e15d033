/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A brick on a disk that is full before it says so: writes are acknowledged, the fsync fails, the brick's kernel drops what it could
 * not write and lets the next fsync succeed. Run by thin-disk.
 */
#include "volumes.h"

enum { WRITTEN = 48 };

static struct img img;
static unsigned char data[MiB];

int main(void)
{
    const char *uri, *forget = getenv("BLKG_FORGET");
    int i, accepted = 0, wrong = 0, ret;

    t_begin("after a flush that a brick has failed, none says that all is well");
    load_for_volumes();
    if (!forget)
        t_die("thin-disk runs this");
    uri = cluster_uri("thin", "image");
    make_image(uri, "0");
    if (img_open(&img, uri, BLK_O_RDWR, NULL))
        t_die("cannot open it: %s", img.error.message);
    is(img.drv->truncate_with_preallocation(&img.bs, 64 * MiB, BLK_PREALLOC_FALLOC, NULL, NULL, &img.error), 0,
       "an image that has its space, as far as the brick knows");
    is(flush_sync(&img), 0, "... flushed");
    for (i = 0; i < WRITTEN; i++)
        accepted += write_pattern(&img, MiB, (int64_t)i * MiB, 1);
    is(accepted, WRITTEN, "%d MiB are acknowledged", WRITTEN);
    ret = flush_sync(&img);
    ok(ret == -ENOSPC || ret == -EIO, "the flush fails: %d", ret);
    ok(t_reported("may have dropped it"), "... for good: %s", last_report());
    for (i = 0; i < 3; i++)
        is(flush_sync(&img), -EIO, "... and so does the next one");
    if (system(forget))
        t_die("cannot make the brick forget");
    for (i = 0; i < WRITTEN; i++) {
        pattern_fill(data, MiB, 2, 0);
        wrong += pread_sync(&img, data, MiB, (int64_t)i * MiB) || !pattern_check(data, MiB, 1, (int64_t)i * MiB);
    }
    ok(wrong > 0, "for %d MiB of it are gone", wrong);
    img_close(&img);
    return end_for_volumes();
}
