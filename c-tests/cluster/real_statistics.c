/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Statistics on real volumes: what they say is what was done, in all formats, and `trace` tells the way of an image. */
#include "volumes.h"

enum { BLOCK = 4096, BLOCKS = 256 };

static int format(struct img *img, int how, char *buffer, size_t size)
{
    struct BlkError error = {.struct_size = sizeof(error)};
    int length = img->drv->format_statistics(&img->bs, how, buffer, size, &error);

    if (length <= 0 || (size_t)length >= size)
        fail("format %d: %d, %s", how, length, error.message);
    return length;
}

static void save(struct img *img, int how, const char *path)
{
    static char text[65536];
    int length = format(img, how, text, sizeof(text));
    FILE *file = fopen(path, "w");

    if (!file || fwrite(text, 1, (size_t)length, file) != (size_t)length || fclose(file))
        t_die("cannot write %s", path);
}

/* As it calls itself; not the URI that it was opened with, which names the usual port. */
static void formats(struct img *img, const char *volume)
{
    char directory[] = "/tmp/blkg-statistics-XXXXXX", json[64], page[64], command[512], end[128], name[256] = "", text[8192];

    format(img, BLK_STATISTICS_TEXT, text, sizeof(text));
    snprintf(end, sizeof(end), "/%s/statistics-%%22odd%%22-%%5Cname", volume);
    ok(sscanf(text, "image %255[^,], open for ", name) == 1 && strstr(name, end), "%s: text for a person is about %s", volume,
       name);

    if (!mkdtemp(directory))
        t_die("no directory in /tmp");
    snprintf(json, sizeof(json), "%s/json", directory);
    snprintf(page, sizeof(page), "%s/page", directory);
    save(img, BLK_STATISTICS_JSON, json);
    save(img, BLK_STATISTICS_PROMETHEUS, page);
    snprintf(command, sizeof(command), "%s %s %s '%s' >&2", CHECK_FORMATS, json, page, name);
    is(system(command), 0, "%s: JSON and Prometheus' text are valid and agree", volume);
    unlink(json);
    unlink(page);
    rmdir(directory);
}

static uint64_t in_histogram(const struct BlkOperations *of)
{
    uint64_t sum = 0;
    unsigned i;

    for (i = 0; i < BLK_LATENCY_BUCKETS; i++)
        sum += of->latency.buckets[i];
    return sum;
}

static void volume(const char *name)
{
    static char data[BLOCKS][BLOCK];
    static struct io io[BLOCKS];
    struct BlkStatistics now = {.struct_size = sizeof(now)};
    const char *uri = cluster_uri(name, "statistics-%%22odd%%22-%%5Cname");
    int64_t begun, took_ns;
    struct img img;
    unsigned i;

    make_image(uri, "4M");
    t_forget_reports();
    if (img_open(&img, uri, BLK_O_RDWR, "trace", "steps", NULL) < 0)
        t_die("cannot open %s: %s", uri, img.error.message);
    ok(t_reported("its file is open") && t_reported("4194304 bytes long"), "%s: the steps of opening are told: %s", name,
       last_report());
    begun = now_us();
    for (i = 0; i < BLOCKS; i++)
        if (!io_pwrite(&io[i], &img, data[i], BLOCK, (int64_t)i * BLOCK))
            fail("write %u", i);
    for (i = 0; i < BLOCKS; i++)
        if (io_wait(&io[i]) != 0)
            fail("write %u: %d", i, io[i].ret);
    is(flush_sync(&img), 0, "%s: a flush", name);
    for (i = 0; i < 50; i++)
        if (pread_sync(&img, data[0], BLOCK, (int64_t)(i * 37 % BLOCKS) * BLOCK) != 0)
            fail("read %u", i);
    is(discard_sync(&img, BLOCK, 0), 0, "%s: a discard", name);
    is(zeroes_sync(&img, BLOCK, BLOCK, 0), 0, "%s: zeroes", name);
    took_ns = (now_us() - begun + 1) * 1000;

    is(img.drv->get_statistics(&img.bs, &now, NULL), 0, "%s: get_statistics", name);
    is(now.write.succeeded, BLOCKS, "%s: writes", name);
    is(now.write.bytes, (int64_t)BLOCKS * BLOCK, "%s: bytes of them", name);
    is(now.read.succeeded, 50, "%s: reads", name);
    is(now.flush.succeeded, 1, "%s: flushes", name);
    is(now.fsyncs, 1, "%s: fsyncs", name);
    is(now.discard.succeeded, 1, "%s: discards", name);
    is(now.write_zeroes.succeeded, 1, "%s: writes of zeroes", name);
    is(now.in_flight, 0, "%s: in flight", name);
    ok(now.merged_calls > 0 && now.merged_requests > now.merged_calls && now.most_in_flight > 1,
       "%s: %d writes side by side: %d of them went in %d calls, at most %d in flight", name, BLOCKS,
       (int)now.merged_requests, (int)now.merged_calls, (int)now.most_in_flight);
    is(in_histogram(&now.read), 50, "%s: the histogram of reads", name);
    is(now.read.latency.buckets[0] + now.read.latency.buckets[1] + now.read.latency.buckets[2], 0,
       "%s: no brick answers within 4 us", name);
    ok((int64_t)now.read.latency.total_ns < took_ns && (int64_t)now.write.latency.longest_ns < took_ns,
       "%s: 50 reads, one after the other, took %d us, no longer than all", name, (int)(now.read.latency.total_ns / 1000));
    formats(&img, name);
    ok(t_reported("fsync for flushes: 1 share it: done"), "%s: the fsync was told", name);
    img_close(&img);
    ok(t_reported("closed: drained in"), "%s: ... and the close", name);
    empty_image(uri);
}

int main(void)
{
    struct img keeper;

    t_begin("statistics: what was done on real volumes, and how long it took");
    load_for_volumes();
    for EACH_VOLUME (name) {
        keep_connected(&keeper, *name);
        volume(*name);
        img_close(&keeper);
    }
    return end_for_volumes();
}
