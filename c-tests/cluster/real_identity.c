/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "volumes.h"

#define ROUNDS 500
#define BUSY_ROUNDS 200
#define MOST 20000
#define BUSY 8

static int64_t length_of(struct img *img)
{
    return img->drv->getlength(&img->bs);
}

/* Asked as the first thing in the callback. */
static void ask_length(struct io *io)
{
    if (io->arg)
        *(int64_t *)io->arg = length_of(io->img);
}

/* One write at a time that ends past the end, with a hole before it now and then. */
static void grows(const char *volume, const char *mode)
{
    const char *uri = cluster_uri(volume, "identity-%s", mode);
    uint64_t random = 1;
    int64_t end = 0, in_callback = 0, places[ROUNDS], sizes[ROUNDS];
    unsigned char *data = t_alloc(MOST), *back = t_alloc(MOST);
    unsigned wrong_length = 0, wrong_data = 0, i;
    struct io io = {.then = ask_length};
    struct img img, other;

    make_and_open(&img, uri, "0", mode);
    for (i = 0; i < ROUNDS; i++) {
        places[i] = random_below(&random, 4) ? end : end + random_below(&random, MOST);
        sizes[i] = 1 + random_below(&random, MOST);
        pattern_fill(data, (size_t)sizes[i], i, places[i]);
        io.arg = i % 2 ? &in_callback : NULL;
        if (!io_pwrite(&io, &img, data, sizes[i], places[i]) || io_wait(&io) != 0) {
            fail("%s, write-cache=%s: write %u: %s", volume, mode, i, strerror(-io.ret));
            break;
        }
        end = places[i] + sizes[i];
        /* In the callback, or just after it. */
        wrong_length += (i % 2 ? in_callback : length_of(&img)) != end;
        memset(back, 0xA5, MOST);
        wrong_data += pread_sync(&img, back, sizes[i], places[i]) != 0 ||
                      !pattern_check(back, (size_t)sizes[i], i, places[i]);
    }
    is(wrong_length, 0, "%s, write-cache=%s: %u times the length is right, in the callback and after it", volume, mode, i);
    is(wrong_data, 0, "%s, write-cache=%s: %u times a read finds what was acknowledged just before", volume, mode, i);
    is(flush_sync(&img), 0, "%s, write-cache=%s: flush", volume, mode);
    if (img_open(&other, uri, 0, "write-cache", !strcmp(mode, "on") ? "off" : "on", NULL) < 0)
        t_die("cannot open %s once more: %s", uri, other.error.message);
    is(length_of(&other), end, "%s, write-cache=%s: the length through another connection", volume, mode);
    for (wrong_data = 0; i-- > 0;) {
        memset(back, 0xA5, MOST);
        wrong_data += pread_sync(&other, back, sizes[i], places[i]) != 0 ||
                      !pattern_check(back, (size_t)sizes[i], i, places[i]);
    }
    is(wrong_data, 0, "%s, write-cache=%s: and all data", volume, mode);
    img_close(&other);
    img_close(&img);
    free(data);
    free(back);
    empty_image(uri);
}

/* The length is asked for while writes that grow the image are in flight: it counts every one that was acknowledged,
 * and nothing that was never written. */
struct grower {
    struct io io;
    int64_t end;
    bool busy;
};

static int64_t acknowledged;
static unsigned failures;

static void grown(struct io *io)
{
    struct grower *g = io->arg;

    g->busy = false;
    failures += io->ret < 0;
    if (io->ret == 0 && g->end > acknowledged)
        acknowledged = g->end;
}

static void grows_meanwhile(const char *volume, const char *mode)
{
    const char *uri = cluster_uri(volume, "identity-busy-%s", mode);
    struct grower growers[BUSY];
    unsigned char *data = t_alloc(BUSY_ROUNDS * MOST);
    uint64_t random = 2;
    int64_t end = 0, got;
    unsigned too_short = 0, too_long = 0, i, k;
    struct img img, other;

    make_and_open(&img, uri, "0", mode);
    memset(growers, 0, sizeof(growers));
    acknowledged = 0;
    failures = 0;
    pattern_fill(data, BUSY_ROUNDS * MOST, 7, 0);
    for (i = 0; i < BUSY_ROUNDS; i++) {
        struct grower *g = NULL;
        int64_t bytes = 1 + random_below(&random, MOST), begun = now_us();

        while (!g) {
            for (k = 0; k < BUSY && !g; k++)
                g = growers[k].busy ? NULL : &growers[k];
            if (!g)
                t_poll(5);
            if (now_us() - begun > 30 * INT64_C(1000000))
                t_die("%s: writes hang", volume);
        }
        g->io.then = grown;
        g->io.arg = g;
        g->end = end + bytes;
        g->busy = true;
        if (!io_pwrite(&g->io, &img, data + end, bytes, end))
            t_die("a write was refused");
        end += bytes;
        got = length_of(&img);
        too_short += got < acknowledged;
        too_long += got > end;
    }
    for (k = 0; k < BUSY; k++)
        if (growers[k].busy)
            io_wait(&growers[k].io);
    ok(too_short == 0 && too_long == 0 && failures == 0,
       "%s, write-cache=%s: asked %u times while it grew: %u times too short, %u too long; %u writes failed", volume, mode,
       i, too_short, too_long, failures);
    is(length_of(&img), end, "%s, write-cache=%s: the length in the end", volume, mode);
    ok(has_pattern(&img, end, 0, 7), "%s, write-cache=%s: all data, unflushed", volume, mode);
    is(flush_sync(&img), 0, "%s, write-cache=%s: flush", volume, mode);
    if (img_open(&other, uri, 0, "write-cache", !strcmp(mode, "on") ? "off" : "on", NULL) < 0)
        t_die("cannot open %s once more: %s", uri, other.error.message);
    is(length_of(&other), end, "%s, write-cache=%s: the same through another connection", volume, mode);
    ok(has_pattern(&other, end, 0, 7), "%s, write-cache=%s: all data there", volume, mode);
    img_close(&other);
    img_close(&img);
    free(data);
    empty_image(uri);
}

/* An image is made anew through one connection, and used through another one that knows it from before. */
static void made_anew(const char *volume, const char *mode)
{
    const char *uri = cluster_uri(volume, "identity-anew-%s", mode);
    struct img img;

    make_and_open(&img, uri, "0", mode);
    ok(write_pattern(&img, 9 * MiB, 0, 1) && flush_sync(&img) == 0, "%s, write-cache=%s: an image of 9 MiB", volume, mode);
    img_close(&img);
    make_and_open(&img, uri, "9M", mode);
    ok(reads_zero(&img, 9 * MiB, 0), "%s, write-cache=%s: made anew it is empty", volume, mode);
    ok(write_pattern(&img, 9 * MiB, 0, 2), "%s, write-cache=%s: write it", volume, mode);
    ok(has_pattern(&img, 9 * MiB, 0, 2), "%s, write-cache=%s: read it", volume, mode);
    is(flush_sync(&img), 0, "%s, write-cache=%s: flush", volume, mode);
    img_close(&img);
    empty_image(uri);
}

int main(void)
{
    t_begin("an acknowledged write counts at once: for the length, for reads, and once flushed for everyone");
    t_load();
    for EACH_VOLUME (volume) {
        int64_t begun = now_us();
        struct img anchors[2];

        /* They keep the connections, of which each image would make its own. */
        make_and_open(&anchors[0], cluster_uri(*volume, "identity-anchor"), "0", "on");
        make_and_open(&anchors[1], cluster_uri(*volume, "identity-anchor"), "0", "off");
        made_anew(*volume, "on");
        made_anew(*volume, "off");
        grows(*volume, "on");
        grows(*volume, "off");
        grows_meanwhile(*volume, "on");
        grows_meanwhile(*volume, "off");
        img_close(&anchors[0]);
        img_close(&anchors[1]);
        t_say("%s took %.1f s", *volume, (double)(now_us() - begun) / 1e6);
    }
    return t_end();
}
