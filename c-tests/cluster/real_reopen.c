/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Images that are reopened, read-only and back, with and without locks, while they are written; and that may not be
 * written in the first place.
 *   real_reopen           the test
 *   real_reopen nobody    a user who may only read
 */
#include "volumes.h"

#define BYTES 65536
#define SHARD (INT64_C(4) * MiB)
#define ROUNDS 8
#define MANY 24

static struct img img;

static int reopen_as(uint32_t flags, const char *write_cache)
{
    struct BlkOption options[] = {{"write-cache", write_cache}, {NULL, NULL}};
    int ret = img.drv->reopen_prepare(&img.bs, write_cache ? options : NULL, flags, &img.error);

    if (ret == 0)
        img.drv->reopen_commit(&img.bs);
    return ret;
}

static int reopen(uint32_t flags)
{
    return reopen_as(flags, NULL);
}

static int put(uint64_t seed, int64_t offset)
{
    unsigned char data[BYTES];

    pattern_fill(data, BYTES, seed, offset);
    return pwrite_sync(&img, data, BYTES, offset);
}

/* What another host would be told: on a connection of its own. */
static int another(const char *uri, uint32_t flags)
{
    struct img other;
    int ret = img_open(&other, uri, flags, "locking", "on", "ping-timeout", "41", NULL);

    img_close(&other);
    return ret;
}

/* ---- there and back ---------------------------------------------------------------------------------------------- */

static void there_and_back(const char *volume, const char *uri)
{
    int64_t at = SHARD - BYTES / 2, length;

    make_and_open(&img, uri, "8M", "off");
    is(put(1, at), 0, "%s: a write", volume);
    is(reopen(0), 0, "%s: read-only", volume);
    is(img.drv->is_read_only(&img.bs), 1, "%s: ... as it says", volume);
    ok(has_pattern(&img, BYTES, at, 1), "%s: ... it is read", volume);
    is(put(2, at), -EBADF, "%s: ... and not written", volume);
    is(flush_sync(&img), 0, "%s: ... a flush is allowed", volume);
    is(reopen(BLK_O_RDWR), 0, "%s: for writing again", volume);
    is(put(3, at), 0, "%s: ... it is written", volume);
    length = 2 * SHARD + BYTES;
    is(put(4, length - BYTES), 0, "%s: ... and grows", volume);
    is(img.drv->getlength(&img.bs), length, "%s: ... to its length", volume);
    is(reopen(BLK_O_RDWR | BLK_O_NOCACHE), 0, "%s: with O_DIRECT", volume);
    is(img.drv->getlength(&img.bs), length, "%s: ... as long", volume);
    ok(has_pattern(&img, BYTES, at, 3) && has_pattern(&img, BYTES, length - BYTES, 4), "%s: ... and all there", volume);
    is(put(5, 0), 0, "%s: ... it is written", volume);
    is(flush_sync(&img), 0, "%s: ... and flushed", volume);
    is(reopen_as(BLK_O_RDWR, "on"), 0, "%s: with write-cache, on another connection", volume);
    ok(has_pattern(&img, BYTES, at, 3) && has_pattern(&img, BYTES, 0, 5), "%s: ... all there", volume);
    is(put(6, length), 0, "%s: ... it grows", volume);
    is(put(7, BYTES), 0, "%s: ... is written", volume);
    is(reopen_as(0, "off"), 0, "%s: without, and read-only", volume);
    ok(has_pattern(&img, BYTES, length, 6) && has_pattern(&img, BYTES, BYTES, 7), "%s: ... all there", volume);
    is(img.drv->getlength(&img.bs), length + BYTES, "%s: ... its length, too", volume);
    img_close(&img);
}

/* The image is replaced under it. */
static void replaced(const char *volume, const char *uri, const char *path)
{
    make_and_open(&img, uri, "8M", "off");
    is(put(1, 0), 0, "%s: a write", volume);
    if (witness(volume, "create", path) != 0)
        t_die("cannot make it anew");
    is(img.drv->reopen_prepare(&img.bs, NULL, 0, &img.error), -ESTALE, "%s: another image in its place: %s", volume,
       img.error.message);
    img_close(&img);
}

/* ---- in flight --------------------------------------------------------------------------------------------------- */

static unsigned ended, good;

static void count_it(struct io *io)
{
    ended++;
    good += io->ret == 0;
}

static void in_flight(const char *volume, const char *uri, const char *write_cache)
{
    static struct io ios[MANY];
    static unsigned char data[MANY][BYTES];
    unsigned round, i, wrong = 0;
    struct img witness_img;

    make_and_open(&img, uri, "8M", write_cache);
    ended = good = 0;
    for (round = 0; round < ROUNDS; round++) {
        if (img.drv->reopen_prepare(&img.bs, NULL, 0, &img.error))
            t_die("%s: %s", volume, img.error.message);
        for (i = 0; i < MANY; i++) {
            int64_t offset = SHARD - BYTES * MANY / 2 + (int64_t)i * BYTES;

            ios[i].then = count_it;
            pattern_fill(data[i], BYTES, round + 1, offset);
            io_pwrite(&ios[i], &img, data[i], BYTES, offset);
        }
        img.drv->reopen_commit(&img.bs);
        wrong += !has_pattern(&img, (int64_t)BYTES * MANY, SHARD - BYTES * MANY / 2, round + 1);
        wrong += flush_sync(&img) != 0;
        wrong += reopen(BLK_O_RDWR) != 0;
    }
    ok(ended == ROUNDS * MANY && good == ended, "%s, write-cache=%s: %u writes in flight at %d commits: %u ended, %u well",
       volume, write_cache, ROUNDS * MANY, ROUNDS, ended, good);
    is(wrong, 0, "%s, write-cache=%s: ... all are there after each of them", volume, write_cache);
    if (img_open(&witness_img, uri, 0, "ping-timeout", "41", NULL) < 0)
        t_die("%s", witness_img.error.message);
    ok(has_pattern(&witness_img, (int64_t)BYTES * MANY, SHARD - BYTES * MANY / 2, ROUNDS),
       "%s, write-cache=%s: ... and through another connection", volume, write_cache);
    img_close(&witness_img);
    img_close(&img);
}

/* ---- locks ------------------------------------------------------------------------------------------------------- */

static void locks(const char *volume, const char *uri)
{
    struct img reader;

    make_image(uri, "8M");
    is(img_open(&img, uri, BLK_O_RDWR, "locking", "on", NULL), 0, "%s: a writer", volume);
    is(put(1, 0), 0, "%s: ... writes", volume);
    is(img.drv->reopen_prepare(&img.bs, NULL, 0, &img.error), 0, "%s: ... is to read", volume);
    is(another(uri, 0), -EBUSY, "%s: ... but does not only read yet", volume);
    img.drv->reopen_abort(&img.bs);
    is(another(uri, BLK_O_RDWR), -EBUSY, "%s: ... aborted, it has its lock", volume);
    is(put(2, 0), 0, "%s: ... and writes", volume);
    is(flush_sync(&img), 0, "%s: ... and flushes", volume);
    is(reopen(0), 0, "%s: a reader", volume);
    is(another(uri, 0), 0, "%s: ... beside whom others read", volume);
    is(another(uri, BLK_O_RDWR), -EBUSY, "%s: ... and nobody writes", volume);
    is(img_open(&reader, uri, 0, "locking", "on", "ping-timeout", "41", NULL), 0, "%s: another reader", volume);
    is(reopen(BLK_O_RDWR), -EBUSY, "%s: ... is in the way of a writer", volume);
    is(another(uri, BLK_O_RDWR), -EBUSY, "%s: ... both are readers", volume);
    img_close(&reader);
    is(another(uri, BLK_O_RDWR), -EBUSY, "%s: ... and one still is", volume);
    is(reopen(BLK_O_RDWR), 0, "%s: a writer", volume);
    is(another(uri, BLK_O_RDWR), -EBUSY, "%s: ... who is alone", volume);
    is(put(3, 0), 0, "%s: ... and writes", volume);
    is(reopen(BLK_O_RDWR | BLK_O_NOCACHE), 0, "%s: with O_DIRECT", volume);
    /* The bricks hear of the old file's end some time later, and drop what it had locked. */
    run_for(0.5);
    is(another(uri, BLK_O_RDWR), -EBUSY, "%s: ... alone still", volume);
    is(put(4, 0), 0, "%s: ... and writes", volume);
    is(flush_sync(&img), 0, "%s: ... which a flush makes sure of", volume);
    is(reopen_as(BLK_O_RDWR, "on"), 0, "%s: with write-cache, on another connection", volume);
    is(another(uri, BLK_O_RDWR), -EBUSY, "%s: ... which has the lock", volume);
    is(put(5, 0), 0, "%s: ... and writes", volume);
    is(flush_sync(&img), 0, "%s: ... and flushes", volume);
    img_close(&img);
    is(another(uri, BLK_O_RDWR), 0, "%s: closed, it has no lock", volume);
}

/* ---- read-only --------------------------------------------------------------------------------------------------- */

static void read_only_volume(void)
{
    const char *uri = cluster_uri("plain", "reopen-volume");
    int64_t end;

    make_and_open(&img, uri, "1M", "off");
    is(put(1, 0), 0, "a write");
    img_close(&img);
    if (cluster("gluster volume set plain features.read-only on"))
        t_die("the volume cannot be made read-only");
    /* Its bricks hear of it some time later. */
    end = now_us() + 20 * INT64_C(1000000);
    while (img_open(&img, uri, BLK_O_RDWR, "auto-read-only", "off", NULL) == 0 && now_us() < end) {
        img_close(&img);
        run_for(0.2);
    }
    is(img.error.error, EROFS, "a volume that is read-only: %s", img.error.message);
    img_close(&img);
    t_forget_reports();
    is(img_open(&img, uri, BLK_O_RDWR, "auto-read-only", "on", NULL), 0, "with auto-read-only=on");
    ok(t_reports_of(BLK_REPORT_WARNING) == 1, "... says so: %s", last_report());
    is(img.drv->is_read_only(&img.bs), 1, "... it is open for reading");
    ok(has_pattern(&img, BYTES, 0, 1), "... and read");
    is(reopen(BLK_O_RDWR), -EROFS, "... not to be written: %s", img.error.message);
    img_close(&img);
    is(img_open(&img, uri, BLK_O_RDWR, "auto-read-only", "on", "locking", "on", NULL), 0, "... with locking, too");
    is(img.drv->is_read_only(&img.bs), 1, "... for reading");
    img_close(&img);
    if (cluster("gluster volume reset plain features.read-only"))
        t_die("the volume cannot be made writable again");
    end = now_us() + 20 * INT64_C(1000000);
    while (img_open(&img, uri, BLK_O_RDWR, NULL) < 0 && now_us() < end) {
        img_close(&img);
        run_for(0.2);
    }
    is(put(2, 0), 0, "it may be written again");
    img_close(&img);
}

/* A process of a user who may only read. */
static int nobody(void)
{
    const char *uri = cluster_uri("rep3", "reopen-nobody");
    int code = 0;

    if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534))
        return 10;
    load_for_volumes();
    code += img_open(&img, uri, BLK_O_RDWR, NULL) != -EACCES;
    img_close(&img);
    code += 2 * (img_open(&img, uri, BLK_O_RDWR, "auto-read-only", "on", NULL) != 0);
    if (!code) {
        code += 4 * (img.drv->is_read_only(&img.bs) != 1);
        code += 8 * !has_pattern(&img, BYTES, 0, 1);
    }
    img_close(&img);
    return code;
}

static void a_reading_user(void)
{
    const char *uri = cluster_uri("rep3", "reopen-nobody");

    make_and_open(&img, uri, "1M", "off");
    is(put(1, 0), 0, "a write");
    is(witness("rep3", "let-read", "reopen-nobody"), 0, "all may read it");
    is(t_run_self("nobody", 60), 0, "a user who may not write it has it for reading with auto-read-only=on");
    img_close(&img);
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "nobody"))
        return nobody();
    t_begin("a reopen loses no write and no lock, and what may not be written can be read");
    load_for_volumes();
    /* It makes many, of which only eight may end at a time. */
    t_keep_connection = "60";
    need_healthy();
    for EACH_VOLUME (volume) {
        const char *uri = cluster_uri(*volume, "reopen");
        int64_t begun = now_us();

        there_and_back(*volume, uri);
        if (!strcmp(*volume, "rep3"))
            replaced(*volume, uri, "reopen");
        in_flight(*volume, uri, "off");
        if (!strcmp(*volume, "plain") || !strcmp(*volume, "rep3")) {
            in_flight(*volume, uri, "on");
            locks(*volume, uri);
        }
        empty_image(uri);
        t_say("%s took %.1f s", *volume, (double)(now_us() - begun) / 1e6);
    }
    a_reading_user();
    read_only_volume();
    return end_for_volumes();
}
