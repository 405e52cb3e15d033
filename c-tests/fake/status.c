/* SPDX-License-Identifier: GPL-2.0-or-later */
/* block_status never says zero where data is; where the volume cannot tell, it says data; and it never asks a volume that
 * the question would hurt. */
#include "on_fake.h"

enum { PAGE = 4096, BYTES = 64 * PAGE };

static struct img img;
static struct BlkBlockStatus status;
static struct BlkError error;

static int ask(struct img *of, int64_t bytes, int64_t offset)
{
    memset(&status, 0xff, sizeof(status));
    status.struct_size = sizeof(status);
    memset(&error, 0, sizeof(error));
    error.struct_size = sizeof(error);
    return of->drv->block_status(&of->bs, offset, bytes, &status, &error);
}

static void says(struct img *of, int64_t bytes, int64_t offset, int64_t length, uint32_t flags, const char *what)
{
    int ret = ask(of, bytes, offset);

    ok(ret == 0 && status.length == length && status.flags == flags && status.reserved == 0,
       "%s: %lld bytes at %lld are %lld of %u; got %d, %lld of %u", what, (long long)bytes, (long long)offset,
       (long long)length, flags, ret, (long long)status.length, status.flags);
}

enum { DATA = BLK_STATUS_DATA, ZERO = BLK_STATUS_ZERO, HOLE = BLK_STATUS_ZERO | BLK_STATUS_HOLE };

static void extents(void)
{
    char page[PAGE];
    struct io held = {0};
    uint64_t opens = fake_calls(FAKE_OPEN);
    int rule;

    says(&img, BYTES, 0, BYTES, HOLE, "an empty image");
    is(fake_calls(FAKE_OPEN), opens + 1, "it is asked on a file of its own");
    memset(page, 1, PAGE);
    is(pwrite_sync(&img, page, PAGE, 8 * PAGE), 0, "a page of data");
    is(pwrite_sync(&img, page, PAGE, 9 * PAGE), 0, "... and another");
    says(&img, BYTES, 0, 8 * PAGE, HOLE, "before it");
    says(&img, 100, 7, 100, HOLE, "a part of that");
    says(&img, BYTES, 8 * PAGE, 2 * PAGE, DATA, "both");
    says(&img, 1, 8 * PAGE + 7, 1, DATA, "one byte");
    says(&img, BYTES, 9 * PAGE + 10, PAGE - 10, DATA, "a part of the second");
    says(&img, BYTES, 10 * PAGE, BYTES, HOLE, "from there across the end");
    says(&img, INT64_MAX - 3, 3, 8 * PAGE - 3, HOLE, "as much as there is");
    says(&img, BYTES, 5 * (int64_t)BYTES, BYTES, HOLE, "behind the end");
    says(&img, 0, 5, 0, DATA, "no bytes");
    is(discard_sync(&img, PAGE, 8 * PAGE), 0, "a discard");
    says(&img, BYTES, 0, 9 * PAGE, HOLE, "what was discarded");
    is(fake_calls(FAKE_OPEN), opens + 1, "all that on one file");

    /* Requests in flight on the image's own file would overwrite the answer. */
    rule = fake_always(FAKE_PWRITEV_ASYNC, FAKE_HOLD, 0, 0);
    io_pwrite(&held, &img, page, PAGE, 0);
    says(&img, BYTES, 9 * PAGE, PAGE, DATA, "while a write is in flight");
    fake_calm(rule);
    fake.release(FAKE_PWRITEV_ASYNC, 0, FAKE_AS_IS);
    is(io_wait(&held), 0, "that write");
}

static void odd_answers(void)
{
    static const struct {
        int action, err;
        int64_t arg;
        const char *what;
    } odd[] = {{FAKE_FORCE, 0, 0, "an answer before the offset"},
               {FAKE_FORCE, 0, -1, "a failure without errno"},
               {FAKE_FAIL, EIO, 0, "EIO"},
               {FAKE_FAIL, ENOTCONN, 0, "no connection"},
               {FAKE_FAIL, EBADFD, 0, "a descriptor that went bad"},
               {FAKE_FAIL, EOPNOTSUPP, 0, "a volume that has forgotten how"}};
    char page[PAGE];
    unsigned i;

    memset(page, 1, PAGE);
    is(pwrite_sync(&img, page, PAGE, 8 * PAGE), 0, "data");
    for (i = 0; i < T_COUNT(odd); i++) {
        fake_once(FAKE_LSEEK, odd[i].action, odd[i].err, odd[i].arg);
        says(&img, 9 * PAGE, 8 * PAGE, 9 * PAGE, DATA, odd[i].what);
        says(&img, BYTES, 8 * PAGE, 2 * PAGE, DATA, "... the next time");
    }
    /* Where the data begins, the hole does not end; where it ended is not where it was. */
    fake_once(FAKE_LSEEK, FAKE_FORCE, 0, 8 * PAGE);
    fake_once(FAKE_LSEEK, FAKE_PASS, 0, 0);
    says(&img, 9 * PAGE, 8 * PAGE, 9 * PAGE, DATA, "a hole at once");
    fake_once(FAKE_LSEEK, FAKE_FAIL, ENXIO, 0);
    says(&img, 3 * PAGE, 0, 3 * PAGE, HOLE, "nothing up to the end");
}

/* What a volume cannot do is found out by the first question. */
static void mute(const char *what, int action, int err, int64_t arg)
{
    struct img other;
    uint64_t seeks;
    int rule;

    fake_open(&other, "mute", BYTES);
    rule = fake_once(FAKE_LSEEK, action, err, arg);
    says(&other, BYTES, 0, BYTES, DATA, what);
    fake_calm(rule);
    seeks = fake_calls(FAKE_LSEEK);
    says(&other, BYTES, 0, BYTES, DATA, "... for good");
    says(&other, BYTES, BYTES / 2, BYTES / 2, DATA, "... up to the end");
    says(&other, BYTES, BYTES, BYTES, ZERO, "... and zero behind it");
    is(fake_calls(FAKE_LSEEK), seeks, "... without asking");
    img_close(&other);
}

static void never_asked(const char *volume)
{
    const char *uri = fake_uri(volume, "image");
    uint64_t seeks = fake_calls(FAKE_LSEEK);
    struct img other;

    if (img_create(uri, "256k", NULL) < 0 || img_open(&other, uri, BLK_O_RDWR, NULL) < 0)
        t_die("cannot open %s: %s", uri, other.error.message);
    says(&other, 8192, 0, 8192, DATA, volume);
    says(&other, BYTES * 2, 4096, BYTES - 4096, DATA, "... up to the end");
    says(&other, 8192, BYTES, 8192, ZERO, "... behind it");
    is(zeroes_sync(&other, 4096, BYTES + 4096, 0), 0, "it grows");
    says(&other, 8192, BYTES, 8192, DATA, "... what was behind the end");
    is(fake_calls(FAKE_LSEEK), seeks, "%s: no lseek", volume);
    img_close(&other);
}

static void transient(void)
{
    struct img other;

    fake_open(&other, "transient", BYTES);
    fake_once(FAKE_OPEN, FAKE_FAIL, EMFILE, 0);
    says(&other, BYTES, 0, BYTES, DATA, "its file cannot be opened");
    fake_once(FAKE_LSEEK, FAKE_FAIL, ENOTCONN, 0);
    says(&other, BYTES, 0, BYTES, DATA, "the first look fails");
    says(&other, BYTES, 0, BYTES, HOLE, "the next one does not");
    img_close(&other);
}

static void refused(void)
{
    struct BlkState closed = img.bs;

    is(ask(&img, -1, 0), -EINVAL, "negative bytes: %s", error.message);
    is(ask(&img, 1, -1), -EINVAL, "a negative offset: %s", error.message);
    is(ask(&img, INT64_MAX, 1), -EFBIG, "past 2^63: %s", error.message);
    is(status.flags, UINT32_MAX, "nothing is written on failure");
    is(img.drv->block_status(&img.bs, 0, 1, NULL, &error), -EINVAL, "NULL: %s", error.message);
    status.struct_size = sizeof(status) - 1;
    is(img.drv->block_status(&img.bs, 0, 1, &status, &error), -EINVAL, "a short struct: %s", error.message);
    closed.opaque = t_alloc(img.drv->instance_size);
    memset(closed.opaque, 0, img.drv->instance_size);
    status.struct_size = sizeof(status);
    is(img.drv->block_status(&closed, 0, 1, &status, &error), -EBADF, "a closed image: %s", error.message);
    free(closed.opaque);
}

int main(void)
{
    fake_begin("block_status: zero only where zeroes are, data where nobody can tell");
    fake_open(&img, "status", BYTES);
    extents();
    odd_answers();
    mute("data at the end", FAKE_FORCE, 0, BYTES);
    mute("no lseek", FAKE_FAIL, EOPNOTSUPP, 0);
    never_asked("sharded-vol");
    never_asked("disperse-vol");
    transient();
    refused();
    img_close(&img);
    return fake_end();
}
