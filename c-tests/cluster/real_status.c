/* SPDX-License-Identifier: GPL-2.0-or-later */
/* block_status after random writes, discards and zeroes: equal to a model where volumes can tell, and on none of them zero
 * where data is. */
#include "volumes.h"

enum { BLOCK = 4096, BLOCKS = 2048, BYTES = BLOCKS * BLOCK, ROUNDS = 120 };

/* What a block is for the bricks' file system; OPEN: both are right, as for one that was zeroed in part, or that stays
 * allocated: ext4 makes written zeroes of a few such blocks when their neighbour is written. */
enum { HOLE, DATA, OPEN };

static unsigned char *bytes_now, state_of[BLOCKS];

static void change(struct img *img, uint64_t *state, int *failures)
{
    int64_t bytes = 1 + random_below(state, random_below(state, 4) ? 10000 : 300000);
    int64_t offset = random_below(state, BYTES - bytes), at;
    uint64_t what = next_random(state) % 5;
    bool unmap = what < 4;

    if (what < 2) {
        pattern_fill(bytes_now + offset, (size_t)bytes, next_random(state), offset);
        *failures += pwrite_sync(img, bytes_now + offset, bytes, offset) != 0;
    } else {
        memset(bytes_now + offset, 0, (size_t)bytes);
        *failures += (what == 2 ? discard_sync(img, bytes, offset)
                                : zeroes_sync(img, bytes, offset, unmap ? BLK_ZERO_MAY_UNMAP : 0)) != 0;
    }
    for (at = offset / BLOCK; at * BLOCK < offset + bytes; at++) {
        bool whole = at * BLOCK >= offset && (at + 1) * BLOCK <= offset + bytes;

        if (what < 2)
            state_of[at] = DATA;
        else if (whole)
            state_of[at] = unmap ? HOLE : OPEN;
        else if (state_of[at] == HOLE)
            state_of[at] = OPEN;
    }
}

/* Walks over the image; `exact`: the volume can tell. */
static void compare(struct img *img, const char *what, bool exact)
{
    int64_t at = 0, wrong_zero = 0, wrong = 0, zero = 0;
    unsigned steps = 0;

    while (at < BYTES) {
        struct BlkBlockStatus status = {.struct_size = sizeof(status)};
        bool is_zero;
        int64_t i;

        if (img->drv->block_status(&img->bs, at, BYTES - at, &status, NULL) != 0 || status.length <= 0 ||
            status.length > BYTES - at) {
            fail("%s: an answer at %lld", what, (long long)at);
            return;
        }
        is_zero = status.flags & BLK_STATUS_ZERO;
        if (is_zero && !all_bytes(bytes_now + at, (size_t)status.length, 0))
            wrong_zero++;
        for (i = at / BLOCK; exact && i * BLOCK < at + status.length; i++)
            wrong += state_of[i] == (is_zero ? DATA : HOLE);
        if (is_zero)
            zero += status.length;
        at += status.length;
        steps++;
    }
    is(wrong_zero, 0, "%s: never zero where data is", what);
    if (exact) {
        is(wrong, 0, "%s: every block as in the model", what);
        ok(zero > 0, "%s: %lld bytes of zeroes in %u answers", what, (long long)zero, steps);
    }
}

static void at_random(const char *volume, const char *write_cache, bool exact)
{
    const char *uri = cluster_uri(volume, "status");
    struct BlkBlockStatus status = {.struct_size = sizeof(status)};
    uint64_t state = 11;
    struct img img;
    int64_t begun = now_us();
    int i, failures = 0;
    char what[64];

    snprintf(what, sizeof(what), "%s, write-cache=%s", volume, write_cache);
    memset(bytes_now, 0, BYTES);
    memset(state_of, HOLE, sizeof(state_of));
    make_on_kept(&img, uri, "8M", write_cache);
    for (i = 1; i <= ROUNDS; i++) {
        change(&img, &state, &failures);
        /* Not after each: it must not settle what the next answer depends on. */
        if (i % 30 == 0)
            compare(&img, what, exact);
    }
    is(failures, 0, "%s: %d writes, discards and zeroes", what, ROUNDS);
    ok(pread_sync(&img, bytes_now, BYTES, 0) == 0, "%s: reads", what);
    is(img.drv->block_status(&img.bs, BYTES + 5, 7, &status, NULL), 0, "%s: behind the end", what);
    ok(status.length == 7 && status.flags & BLK_STATUS_ZERO, "%s: reads as zero", what);
    is(img.drv->getlength(&img.bs), BYTES, "%s: asking leaves its length alone", what);
    is(pwrite_sync(&img, "x", 1, 1), 0, "%s: a write then", what);
    is(img.drv->getlength(&img.bs), BYTES, "%s: does, too", what);
    img_close(&img);
    is(img_open(&img, uri, 0, NULL), 0, "%s: opened anew", what);
    is(img.drv->getlength(&img.bs), BYTES, "%s: the length on the bricks", what);
    bytes_now[1] = 'x';
    state_of[0] = DATA;
    compare(&img, what, exact);
    img_close(&img);
    empty_image(uri);
    t_say("%s: %lld ms", what, (long long)(now_us() - begun) / 1000);
}

/* The acknowledged write that write-behind still holds is data, 200 times. */
static void cached(const char *volume)
{
    const char *uri = cluster_uri(volume, "status-cached");
    char block[BLOCK];
    struct img img;
    int i, missed = 0;

    memset(block, 1, sizeof(block));
    make_on_kept(&img, uri, "8M", "on");
    for (i = 0; i < 200; i++) {
        struct BlkBlockStatus status = {.struct_size = sizeof(status)};
        int64_t at = 4 * (int64_t)BLOCK * i;

        if (pwrite_sync(&img, block, BLOCK, at) != 0 ||
            img.drv->block_status(&img.bs, at, BLOCK, &status, NULL) != 0)
            fail("%s: write and ask", volume);
        missed += status.flags != BLK_STATUS_DATA;
    }
    is(missed, 0, "%s, write-cache=on: what was just acknowledged is data", volume);
    img_close(&img);
    empty_image(uri);
}

/* The path leads to another file: that one is not asked. */
static void replaced(const char *volume)
{
    const char *uri = cluster_uri(volume, "status-replaced");
    struct BlkBlockStatus status = {.struct_size = sizeof(status)};
    struct img img;

    make_on_kept(&img, uri, "1M", "off");
    ok(write_pattern(&img, 65536, 0, 1), "%s: data", volume);
    is(witness(volume, "create", "/status-replaced"), 0, "%s: another, empty file takes its place", volume);
    is(img.drv->block_status(&img.bs, 0, 65536, &status, NULL), 0, "%s: asked then", volume);
    is(status.flags, BLK_STATUS_DATA, "%s: data", volume);
    img_close(&img);
}

int main(void)
{
    struct img keeper;

    t_begin("block_status: as the bricks have it, and never zero where data is");
    load_for_volumes();
    bytes_now = t_alloc(BYTES);
    for EACH_VOLUME (volume) {
        bool exact = !strcmp(*volume, "plain") || !strcmp(*volume, "rep3");

        keep_connected(&keeper, *volume);
        at_random(*volume, "off", exact);
        if (exact) {
            at_random(*volume, "on", exact);
            cached(*volume);
        }
        if (!strcmp(*volume, "plain"))
            replaced(*volume);
        img_close(&keeper);
    }
    free(bytes_now);
    return end_for_volumes();
}
