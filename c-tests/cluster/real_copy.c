/* SPDX-License-Identifier: GPL-2.0-or-later */
/* aio_copy_range: random ranges, from and to every kind of volume, against a model. Each pair of volumes copies a source
 * that changes and has holes, several copies and writes in flight, which may overlap where they are written to: they are
 * in the order in which they were submitted.
 *   real_copy [RANGES]   so many in all; 10,000 by hand, it shows how long they take */
#include "volumes.h"

enum { LENGTH = 9 * MiB + 555, AT_ONCE = 6, LARGEST = 3 * MiB };

static const struct {
    const char *from, *to;
    bool one_image, direct;
    const char *write_cache;
} pairs[] = {{"plain", "plain", false, false, "on"},  {"plain", "rep3", false, false, NULL},   {"rep3", "sharded", false, false, NULL},
             {"sharded", "disp", false, false, NULL}, {"disp", "plain", false, false, NULL},   {"sharded", "sharded", true, false, NULL},
             {"disp", "disp", true, false, NULL},     {"plain", "sharded", false, true, NULL}, {"rep3", "rep3", true, true, NULL}};

static unsigned char *src_model, *dst_model, *got;
static int64_t dst_length, copied;
static uint64_t state = 17;

static bool io_copy(struct io *io, struct img *from, int64_t from_offset, struct img *to, int64_t to_offset, int64_t bytes)
{
    io_begin(io, to);
    return io_end(io, to->drv->aio_copy_range(&from->bs, from_offset, &to->bs, to_offset, bytes, 0, io_done, io));
}

static int64_t some_bytes(void)
{
    switch (random_below(&state, 12)) {
    case 0:
        return 1 + random_below(&state, LARGEST);
    case 1:
        return 4096 * (1 + random_below(&state, 64));
    case 2:
        return 1 + random_below(&state, 600);
    default:
        return 1 + random_below(&state, 80000);
    }
}

static bool same(struct img *img, const unsigned char *model, int64_t length)
{
    memset(got, 0xee, (size_t)length);
    return img->drv->getlength(&img->bs) == length && pread_sync(img, got, length, 0) == 0 &&
           memcmp(got, model, (size_t)length) == 0;
}

/* Data becomes holes, zeroes and other data. */
static int change_source(struct img *src, int64_t base)
{
    int64_t bytes = some_bytes(), offset = random_below(&state, LENGTH - bytes);
    unsigned char *model = src_model + base + offset;

    if (random_below(&state, 2)) {
        memset(model, 0, (size_t)bytes);
        return zeroes_sync(src, bytes, base + offset, random_below(&state, 2) ? BLK_ZERO_MAY_UNMAP : 0) != 0;
    }
    pattern_fill(model, (size_t)bytes, next_random(&state), offset);
    return pwrite_sync(src, model, bytes, base + offset) != 0;
}

static void run(unsigned pair, int ranges)
{
    const char *from = pairs[pair].from, *to = pairs[pair].to;
    uint32_t flags = BLK_O_RDWR | (pairs[pair].direct ? BLK_O_NOCACHE : 0);
    /* The source of a copy within one image is its second half. */
    const int64_t base = pairs[pair].one_image ? 2 * (int64_t)LENGTH : 0;
    int64_t begun = now_us(), bytes_before = copied;
    struct img images[2], *src = &images[0], *dst = &images[1];
    struct io ios[AT_ONCE];
    const char *write_cache = pairs[pair].write_cache ? pairs[pair].write_cache : "off";
    char uris[2][1024], what[128];
    int done = 0, failures = 0, wrong = 0, batch = 0, i;

    snprintf(what, sizeof(what), "%s to %s%s%s%s", from, to, pairs[pair].one_image ? ", within one image" : "",
             pairs[pair].direct ? ", BLK_O_NOCACHE" : "", pairs[pair].write_cache ? ", write-cache=on" : "");
    snprintf(uris[0], sizeof(uris[0]), "%s", cluster_uri(from, "copy-from"));
    snprintf(uris[1], sizeof(uris[1]), "%s", cluster_uri(to, "copy-to"));
    memset(ios, 0, sizeof(ios));
    memset(dst_model, 0, 4 * LENGTH);
    dst_length = 0;
    make_image(uris[1], "0");
    if (img_open(dst, uris[1], flags, "write-cache", write_cache, NULL) < 0)
        t_die("cannot open %s: %s", uris[1], dst->error.message);
    if (pairs[pair].one_image) {
        src = dst;
        src_model = dst_model;
        dst_length = base + LENGTH;
    } else {
        make_image(uris[0], "0");
        if (img_open(src, uris[0], flags, "write-cache", write_cache, NULL) < 0)
            t_die("cannot open %s: %s", uris[0], src->error.message);
        memset(src_model, 0, 4 * LENGTH);
    }
    /* With a hole in it, and at its end. */
    pattern_fill(src_model + base, 3 * MiB, 1, 0);
    pattern_fill(src_model + base + 6 * MiB, MiB, 1, 6 * MiB);
    failures += pwrite_sync(src, src_model + base, 3 * MiB, base) != 0;
    failures += pwrite_sync(src, src_model + base + 6 * MiB, MiB, base + 6 * MiB) != 0;
    failures += src->drv->truncate(&src->bs, base + LENGTH, &src->error) != 0;
    while (done < ranges) {
        int used = 0;

        if (random_below(&state, 3) == 0)
            failures += change_source(src, base);
        for (i = 0; i < AT_ONCE; i++) {
            int64_t bytes = some_bytes(), at = random_below(&state, LENGTH - bytes / 2), to_at = random_below(&state, LENGTH);

            if (i == 4) { /* over some of them, submitted later */
                bytes = bytes < 100000 ? bytes : 100000;
                pattern_fill(dst_model + to_at, (size_t)bytes, next_random(&state), to_at);
                failures += !io_pwrite(&ios[used++], dst, dst_model + to_at, bytes, to_at);
                /* What an earlier one of these wrote is there when it is sent; what a later copy does is not. */
            } else {
                failures += !io_copy(&ios[used++], src, base + at, dst, to_at, bytes);
                memmove(dst_model + to_at, src_model + base + at, (size_t)bytes);
                copied += bytes;
                done++;
            }
            dst_length = to_at + bytes > dst_length ? to_at + bytes : dst_length;
            /* The buffer of a write is the model: nobody may change it before its end. */
            if (i == 4)
                break;
        }
        for (i = 0; i < used; i++)
            failures += io_wait(&ios[i]) != 0;
        if (++batch % 25 == 0)
            wrong += !same(dst, dst_model, dst_length);
    }
    is(failures, 0, "%s: %d random ranges", what, done);
    is(wrong, 0, "%s: right in between", what);
    ok(same(dst, dst_model, dst_length), "%s: every byte at the end", what);
    is(flush_sync(dst), 0, "%s: a flush", what);
    if (src != dst) {
        ok(same(src, src_model, LENGTH), "%s: the source is as it was", what);
        img_close(src);
        empty_image(uris[0]);
    }
    img_close(dst);
    is(img_open(dst, uris[1], 0, NULL), 0, "%s: opened anew", what);
    ok(same(dst, dst_model, dst_length), "%s: every byte", what);
    img_close(dst);
    empty_image(uris[1]);
    t_say("%s: %d ranges, %lld MiB in %.1f s", what, done, (long long)((copied - bytes_before) / MiB),
          (double)(now_us() - begun) / 1e6);
}

/* A sparse image stays sparse, and its holes cost nothing. */
static void sparse(const char *volume)
{
    const int64_t length = INT64_C(20) << 30;
    struct img src, dst;
    struct io io = {0};
    char from[1024], to[1024];
    int64_t begun;

    snprintf(from, sizeof(from), "%s", cluster_uri(volume, "copy-sparse"));
    snprintf(to, sizeof(to), "%s", cluster_uri(volume, "copy-sparse-to"));
    make_on_kept(&src, from, "0", "off");
    make_on_kept(&dst, to, "0", "off");
    is(src.drv->truncate(&src.bs, length, &src.error), 0, "%s: 20 GiB", volume);
    ok(write_pattern(&src, MiB, 5 * (length / 8), 1) && flush_sync(&src) == 0, "%s: ... with a MiB of data", volume);
    begun = now_us();
    io_copy(&io, &src, 0, &dst, 0, length);
    is(io_wait(&io), 0, "%s: copied", volume);
    t_say("%s: 20 GiB of holes in %.2f s", volume, (double)(now_us() - begun) / 1e6);
    is(dst.drv->getlength(&dst.bs), length, "%s: the length", volume);
    ok(has_pattern(&dst, MiB, 5 * (length / 8), 1) && reads_zero(&dst, MiB, 0) && reads_zero(&dst, MiB, length - MiB),
       "%s: the data is where it was", volume);
    ok(dst.drv->get_allocated_file_size(&dst.bs) < 8 * MiB, "%s: and the rest has no space", volume);
    img_close(&src);
    img_close(&dst);
    empty_image(from);
    empty_image(to);
}

int main(int argc, char **argv)
{
    int ranges = argc > 1 ? atoi(argv[1]) : 450;
    struct img keepers[4];
    unsigned i, n = 0;
    unsigned char *own;

    t_begin("aio_copy_range: random ranges, from and to every kind of volume");
    load_for_volumes();
    if (argc > 1)
        allow_seconds(3600);
    own = src_model = t_alloc(4 * LENGTH);
    dst_model = t_alloc(4 * LENGTH);
    got = t_alloc(4 * LENGTH);
    for EACH_VOLUME (volume)
        keep_connected(&keepers[n++], *volume);
    for (i = 0; i < T_COUNT(pairs); i++) {
        src_model = own;
        run(i, (ranges + (int)T_COUNT(pairs) - 1) / (int)T_COUNT(pairs));
    }
    sparse("plain");
    while (n)
        img_close(&keepers[--n]);
    free(own);
    free(dst_model);
    free(got);
    return end_for_volumes();
}
