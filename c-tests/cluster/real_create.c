/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "volumes.h"

static int64_t length_of(const char *uri)
{
    struct img img;
    int64_t length;

    if (img_open(&img, uri, 0, NULL) < 0)
        return -img.error.error;
    length = img.drv->getlength(&img.bs);
    img_close(&img);
    return length;
}

static void sizes(const char *volume)
{
    static const struct {
        const char *text;
        int64_t bytes;
    } cases[] = {{NULL, 0}, {"0", 0}, {"1", 512}, {"512", 512}, {"513", 1024}, {"3k", 3072}, {"1000003", 1000448},
                 {"5M", 5 * MiB}, {"3G", INT64_C(3) << 30}};
    const char *uri = cluster_uri(volume, "create-size");
    unsigned i;

    for (i = 0; i < T_COUNT(cases); i++) {
        is(img_create(uri, cases[i].text, NULL), 0, "%s: create of size %s", volume,
           cases[i].text ? cases[i].text : "(none)");
        is(length_of(uri), cases[i].bytes, "%s: its length", volume);
    }
    empty_image(uri);
}

static void existing(const char *volume)
{
    const char *uri = cluster_uri(volume, "create-again");
    struct img img;

    make_and_open(&img, uri, "9M", "on");
    ok(write_pattern(&img, 9 * MiB, 0, 1), "%s: fill an image", volume);
    is(flush_sync(&img), 0, "%s: flush it", volume);
    img_close(&img);
    is(img_create(uri, "6M", NULL), 0, "%s: create over it", volume);
    is(length_of(uri), 6 * MiB, "%s: it has the new length", volume);
    if (is(img_open(&img, uri, BLK_O_RDWR, NULL), 0, "%s: open it", volume)) {
        ok(reads_zero(&img, 6 * MiB, 0), "%s: and none of the old data", volume);
        ok(img.drv->get_allocated_file_size(&img.bs) < MiB, "%s: nor their space", volume);
        img_close(&img);
    }
    empty_image(uri);
}

/* Where shards of 4 MiB end, and a byte to either side. `look` reads what O_DIRECT cannot, through the same connection:
 * another client would not learn that shards have gone, and get ENOENT. */
static void truncating(const char *volume, uint32_t flags)
{
    static const int64_t lengths[] = {1,           511,           4095,        1000003,     4 * MiB - 1,
                                      4 * MiB,     4 * MiB + 1,   8 * MiB - 1, 8 * MiB,     8 * MiB + 1,
                                      8 * MiB + 2, 9 * MiB - 512, 9 * MiB - 1, 4 * MiB + 2, 4 * MiB - 512};
    const char *uri = cluster_uri(volume, "create-truncate"), *cache = flags & BLK_O_NOCACHE ? "off" : "on";
    unsigned i, step = strcmp(volume, "sharded") ? 4 : 1;
    struct img img, look;

    make_image(uri, "1M");
    if (!is(img_open(&img, uri, BLK_O_RDWR | flags, "write-cache", cache, NULL), 0, "%s: open with%s O_DIRECT", volume,
            flags ? "" : "out"))
        return;
    if (!is(img_open(&look, uri, 0, "write-cache", cache, NULL), 0, "%s: open once more", volume)) {
        img_close(&img);
        return;
    }
    is(img.drv->truncate(&img.bs, 9 * MiB, NULL), 0, "%s: grow to 9 MiB", volume);
    ok(reads_zero(&look, 9 * MiB, 0), "%s: new bytes read as zero", volume);
    for (i = 0; i < T_COUNT(lengths); i += step) {
        int64_t length = lengths[i];

        ok(write_pattern(&img, 9 * MiB, 0, 1) && flush_sync(&img) == 0, "%s: fill it", volume);
        is(img.drv->truncate(&img.bs, length, NULL), 0, "%s: cut it to %lld", volume, (long long)length);
        is(img.drv->getlength(&img.bs), length, "%s: its length is %lld", volume, (long long)length);
        ok(has_pattern(&look, length, 0, 1), "%s: what is left is unchanged", volume);
        is(img.drv->truncate(&img.bs, 9 * MiB, NULL), 0, "%s: grow it again", volume);
        ok(has_pattern(&look, length, 0, 1) && reads_zero(&look, 9 * MiB - length, length),
           "%s: what was cut does not come back", volume);
    }
    is(img.drv->truncate(&img.bs, -1, &img.error), -EINVAL, "%s: a negative length is refused", volume);
    img_close(&look);
    img_close(&img);
    empty_image(uri);
}

/* Step by step, never growing in between: each cut meets what the one before it left. */
static void shrinking(const char *volume)
{
    const char *uri = cluster_uri(volume, "create-shrink");
    int64_t length;
    struct img img;

    make_and_open(&img, uri, "0", "on");
    ok(write_pattern(&img, 13 * MiB, 0, 1), "%s: an image of 13 MiB", volume);
    for (length = 12 * MiB + 1; length > 3 * MiB; length -= length % (4 * MiB) == 4 * MiB - 1 ? 4 * MiB - 2 : 1) {
        is(img.drv->truncate(&img.bs, length, NULL), 0, "%s: cut to %lld", volume, (long long)length);
        ok(has_pattern(&img, length, 0, 1) && reads_zero(&img, 4096, length), "%s: the rest is unchanged", volume);
    }
    img_close(&img);
    empty_image(uri);
}

static void allocated(const char *volume)
{
    const char *uri = cluster_uri(volume, "create-allocated");
    struct img img;
    int64_t empty, full;

    make_and_open(&img, uri, "1G", "off");
    empty = img.drv->get_allocated_file_size(&img.bs);
    ok(empty >= 0 && empty <= 64 * 1024, "%s: a sparse image of 1 GiB occupies next to nothing", volume);
    ok(write_pattern(&img, 8 * MiB, 10 * MiB + 512, 1), "%s: write 8 MiB into it", volume);
    is(flush_sync(&img), 0, "%s: flush it", volume);
    full = img.drv->get_allocated_file_size(&img.bs);
    t_say("%s: allocated %lld, then %lld", volume, (long long)empty, (long long)full);
    ok(full >= 8 * MiB && full <= 9 * MiB, "%s: it occupies what was written, on one replica", volume);
    is(img.drv->has_zero_init(&img.bs), 0, "%s: no promise of zeros", volume);
    img_close(&img);
    empty_image(uri);
}

static void failing(const char *volume)
{
    struct BlkError error = {.struct_size = sizeof(error)};
    const char *uri;
    int ret;

    uri = cluster_uri(volume, "no-such-directory/image");
    is(img_create(uri, "1M", &error), -ENOENT, "%s: create in a missing directory", volume);
    is(error.stage, BLK_STAGE_OPEN, "%s: the stage says that it connected", volume);
    ok(strstr(error.message, "no-such-directory/image") && strstr(error.message, volume),
       "%s: the message names the image: %s", volume, error.message);
    is(witness(volume, "exists", "/no-such-directory"), 2, "%s: nothing was made", volume);

    uri = cluster_uri(volume, "create-huge");
    witness(volume, "unlink", "/create-huge");
    ret = img_create(uri, "8388607T", &error);
    is(ret, -EFBIG, "%s: a size beyond any file system", volume);
    is(witness(volume, "exists", "/create-huge"), 2, "%s: the image that could not be sized is gone", volume);
    make_image(uri, "1M");
    ret = img_create(uri, "8388607T", &error);
    is(ret, -EFBIG, "%s: the same with an image that is there", volume);
    is(witness(volume, "exists", "/create-huge"), 0, "%s: that one stays", volume);
    empty_image(uri);
}

/* exists=: what becomes of an image that is there. */
static void kept(const char *volume)
{
    const char *uri = cluster_uri(volume, "create-kept");
    struct BlkError error = {.struct_size = sizeof(error)};
    const struct BlkDriver *drv = drv_for(uri);
    struct BlkOption options[] = {{"size", "3M"}, {"exists", "fail"}, {NULL, NULL}};
    struct img img;

    witness(volume, "unlink", "/create-kept");
    is(drv->create(uri, options, &error), 0, "%s: exists=fail makes an image", volume);
    make_and_open(&img, uri, "9M", "off");
    ok(write_pattern(&img, 9 * MiB, 0, 1) && flush_sync(&img) == 0, "%s: fill it", volume);
    is(drv->create(uri, options, &error), -EEXIST, "%s: exists=fail refuses it then", volume);
    ok(strstr(error.message, "create-kept") && strstr(error.message, "EEXIST"), "%s: ... %s", volume, error.message);
    options[1].value = "keep";
    is(drv->create(uri, options, &error), 0, "%s: exists=keep lets it be", volume);
    ok(img.drv->getlength(&img.bs) == 9 * MiB && has_pattern(&img, 9 * MiB, 0, 1), "%s: with all that it holds", volume);
    img_close(&img);
    witness(volume, "unlink", "/create-kept");
    is(drv->create(uri, options, &error), 0, "%s: and makes one that is missing", volume);
    is(length_of(uri), 3 * MiB, "%s: of its size", volume);
    witness(volume, "mkdir", "/create-kept-dir");
    is(drv->create(cluster_uri(volume, "create-kept-dir"), options, &error), -EISDIR, "%s: a directory is no image: %s",
       volume, error.message);
    witness(volume, "rmdir", "/create-kept-dir");
    witness(volume, "unlink", "/create-kept");
}

static void nested(const char *volume)
{
    const char *uri = cluster_uri(volume, "create-dir/sub%%20dir/image");
    struct img img;

    if (witness(volume, "mkdir", "/create-dir") || witness(volume, "mkdir", "/create-dir/sub dir"))
        t_die("cannot make directories in %s", volume);
    is(img_create(uri, "1M", NULL), 0, "%s: create in a directory with a space in its name", volume);
    is(witness(volume, "exists", "/create-dir/sub dir/image"), 0, "%s: it is there", volume);
    if (is(img_open(&img, uri, BLK_O_RDWR, NULL), 0, "%s: and can be opened", volume)) {
        ok(write_pattern(&img, MiB, 0, 1) && has_pattern(&img, MiB, 0, 1), "%s: and used", volume);
        img_close(&img);
    }
    is(witness(volume, "unlink", "/create-dir/sub dir/image"), 0, "%s: remove it", volume);
    witness(volume, "rmdir", "/create-dir/sub dir");
    witness(volume, "rmdir", "/create-dir");
}

static void protocol(const char *scheme, const char *volume)
{
    const char *tcp = cluster_uri(volume, "create-%s", scheme);
    char uri[1024];
    bool rdma = !strcmp(scheme, "gluster+rdma");
    struct img img;

    if (!strcmp(scheme, "gluster+unix"))
        snprintf(uri, sizeof(uri), "%s", cluster_unix_uri(volume, "create-%s", scheme));
    else
        snprintf(uri, sizeof(uri), "%s%s", scheme, strchr(tcp, ':'));
    t_forget_reports();
    is(img_create(uri, "2M", NULL), 0, "%s: create %s", volume, uri);
    if (is(img_open(&img, uri, BLK_O_RDWR, NULL), 0, "%s: open it", volume)) {
        ok(write_pattern(&img, 2 * MiB, 0, 1) && has_pattern(&img, 2 * MiB, 0, 1), "%s: write and read it", volume);
        img_close(&img);
    }
    is(length_of(tcp), 2 * MiB, "%s: it is the same image as through gluster://", volume);
    ok((t_reports_of(BLK_REPORT_WARNING) > 0) == rdma, "%s: %s about the transport", scheme,
       rdma ? "a warning" : "no warning");
    ok(!rdma || t_reported("RDMA"), "%s: the warning says why", scheme);
    is(t_reports_of(BLK_REPORT_ERROR), 0, "%s: no error is reported", scheme);
    empty_image(tcp);
}

int main(void)
{
    static const char *const schemes[] = {"gluster", "gluster+tcp", "gluster+unix", "gluster+rdma"};
    unsigned i;

    t_begin("images get the size that create and truncate say, on every volume and through every protocol");
    load_for_volumes();
    for EACH_VOLUME (volume) {
        sizes(*volume);
        existing(*volume);
        truncating(*volume, 0);
        truncating(*volume, BLK_O_NOCACHE);
        allocated(*volume);
        failing(*volume);
        nested(*volume);
        kept(*volume);
    }
    shrinking("plain");
    shrinking("sharded");
    for (i = 0; i < T_COUNT(schemes); i++) {
        for EACH_VOLUME (volume)
            protocol(schemes[i], *volume);
    }
    return end_for_volumes();
}
