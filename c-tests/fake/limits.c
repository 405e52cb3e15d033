/* SPDX-License-Identifier: GPL-2.0-or-later */
/* get_limits says what goes in one piece, and what it says is true. */
#include "on_fake.h"

static struct BlkError error;

static struct BlkLimits limits_of(struct img *img)
{
    struct BlkLimits limits = {.struct_size = sizeof(limits)};

    error.struct_size = sizeof(error);
    is(img->drv->get_limits(&img->bs, &limits, &error), 0, "get_limits");
    is(limits.struct_size, sizeof(limits), "... leaves struct_size alone");
    return limits;
}

static void of(const char *volume, int64_t opt_transfer)
{
    const char *uri = fake_uri(volume, "limits");
    struct BlkLimits limits;
    struct io io = {0};
    struct img img;
    char byte = 0;

    if (img_create(uri, "1M", NULL) < 0 || img_open(&img, uri, BLK_O_RDWR, NULL) < 0)
        t_die("cannot open %s", uri);
    limits = limits_of(&img);
    is(limits.max_transfer, 512 * MiB, "%s: the largest transfer", volume);
    is(limits.opt_transfer, opt_transfer, "%s: the best", volume);
    is(limits.request_alignment, 1, "%s: any offset", volume);
    is(limits.max_iov, 32768, "%s: elements", volume);
    is(limits.max_discard, limits.max_length, "%s: a discard may be as long as an image", volume);
    is(discard_sync(&img, limits.max_discard, 0), 0, "%s: the largest discard", volume);
    fake_once(FAKE_ZEROFILL, FAKE_FAIL, ENOSPC, 0);
    is(zeroes_sync(&img, limits.max_write_zeroes, 0, 0), -ENOSPC, "%s: the largest write of zeroes is begun", volume);
    ok(!io_pwrite(&io, &img, &byte, 1, limits.max_length), "%s: no write goes past the longest image", volume);
    is(io.ret, -EFBIG, "%s: it is too long", volume);
    img_close(&img);
}

/* direct.c has the rest. */
static void direct(void)
{
    const char *uri = fake_uri("vol", "direct");
    unsigned char bytes[3] = {1, 2, 3};
    struct img img;

    fake.set_alignment(4096);
    if (img_create(uri, "1M", NULL) < 0 || img_open(&img, uri, BLK_O_RDWR | BLK_O_NOCACHE, NULL) < 0)
        t_die("cannot open %s", uri);
    is(limits_of(&img).request_alignment, 1, "BLK_O_NOCACHE: any offset");
    is(pwrite_sync(&img, bytes, 3, 5), 0, "... is right");
    img_close(&img);
    fake.set_alignment(0);
}

static void refused(void)
{
    struct {
        struct BlkLimits limits;
        uint64_t more;
    } larger = {{.struct_size = sizeof(larger)}, 77};
    struct img img;

    fake_open(&img, "refused", 4096);
    is(img.drv->get_limits(&img.bs, NULL, &error), -EINVAL, "NULL: %s", error.message);
    larger.limits.struct_size = sizeof(struct BlkLimits) - 1;
    is(img.drv->get_limits(&img.bs, &larger.limits, &error), -EINVAL, "a short struct: %s", error.message);
    larger.limits.struct_size = sizeof(larger);
    is(img.drv->get_limits(&img.bs, &larger.limits, &error), 0, "a larger one");
    ok(larger.more == 77 && larger.limits.max_iov == 32768, "... is filled as far as the library knows it");
    img_close(&img);
}

int main(void)
{
    fake_begin("get_limits: what goes in one piece");
    of("vol", 256 * 1024);
    of("sharded-vol", MiB);
    direct();
    refused();
    return fake_end();
}
