/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whatever a host asks wrongly of an open image: refused with an errno and a sentence, no callback, no I/O. */
#include "on_fake.h"

#define PIB (INT64_C(1) << 50)

static struct img img, reader;
static struct io io;
static char data[4096];
static uint64_t submitted;

static void never(void *opaque, int ret)
{
    (void)opaque;
    fail("the callback of a refused request came, with %d", ret);
}

/* `call` has run just now. */
static void refused(const char *what, struct BlkAiocb *acb, int error, const char *word)
{
    int got = errno;

    ok(!acb, "%s is refused", what);
    is(got, error, "... errno");
    ok(t_reports() == 1 && t_reports_of(BLK_REPORT_ERROR) == 1 && strlen(last_report()) > 15 && t_reported(word),
       "... with '%s' in the report: %s", word, last_report());
    t_forget_reports();
    errno = 0;
}

static struct iovec piece(void *base, size_t length)
{
    struct iovec iov;

    iov.iov_base = base;
    iov.iov_len = length;
    return iov;
}

static void ranges(void)
{
    const struct BlkDriver *drv = img.drv;
    struct BlkState *bs = &img.bs;
    struct iovec iov = piece(data, 512), none = piece(NULL, 0);
    static const struct {
        const char *what;
        int64_t offset, bytes;
        int error;
    } cases[] = {
        {"a negative offset", -1, 512, EINVAL},
        {"the most negative offset", INT64_MIN, 512, EINVAL},
        {"a negative length", 0, -512, EINVAL},
        {"an end past 2^63", INT64_MAX, 512, EFBIG},
        {"an end just past 2^63", INT64_MAX - 511, 512, EFBIG},
        {"an end past 4 PiB", 4 * PIB - 511, 512, EFBIG},
    };
    unsigned i;

    for (i = 0; i < T_COUNT(cases); i++) {
        int64_t offset = cases[i].offset, bytes = cases[i].bytes;

        refused(cases[i].what, drv->aio_preadv(bs, offset, bytes, &iov, 1, 0, never, &io), cases[i].error, "read");
        refused("... a write", drv->aio_pwritev(bs, offset, bytes, &iov, 1, 0, never, &io), cases[i].error, "write");
        if (offset < 4 * PIB - 512 || offset > 5 * PIB)
            refused("... a discard", drv->aio_pdiscard(bs, offset, bytes, never, &io), cases[i].error, "discard");
    }
    refused("a negative sector", drv->aio_readv(bs, -1, &iov, 1, 1, never, &io), EINVAL, "sector -1");
    refused("... to write", drv->aio_writev(bs, -1, &iov, 1, 1, never, &io), EINVAL, "sector -1");
    refused("... to discard", drv->aio_discard(bs, -1, 1, never, &io), EINVAL, "sector -1");
    refused("a negative number of sectors", drv->aio_readv(bs, 0, &iov, 1, -1, never, &io), EINVAL, "-1 sectors");
    refused("... to write", drv->aio_writev(bs, 0, &none, 1, INT32_MIN, never, &io), EINVAL, "sectors");
    refused("... to discard", drv->aio_discard(bs, 0, -1, never, &io), EINVAL, "-1 sectors");
    refused("a sector past 2^63 bytes", drv->aio_readv(bs, INT64_MAX, &iov, 1, 1, never, &io), EFBIG, "sector");
    refused("... to write", drv->aio_writev(bs, INT64_MAX / 512 + 1, &iov, 1, 1, never, &io), EFBIG, "sector");
    refused("... to discard", drv->aio_discard(bs, INT64_MAX / 512 + 1, 1, never, &io), EFBIG, "sector");
    refused("the last sector of 2^63 bytes", drv->aio_readv(bs, INT64_MAX / 512, &iov, 1, 1, never, &io), EFBIG,
            "ends past");
}

static void buffers(void)
{
    const struct BlkDriver *drv = img.drv;
    struct BlkState *bs = &img.bs;
    struct iovec iov[3], *odd;
    char *memory = t_alloc(sizeof(iov[0]) + 1);

    iov[0] = piece(data, 512);
    refused("iov NULL", drv->aio_preadv(bs, 0, 512, NULL, 1, 0, never, &io), EINVAL, "NULL");
    refused("a negative iovcnt", drv->aio_pwritev(bs, 0, 512, iov, -1, 0, never, &io), EINVAL, "-1");
    refused("the most negative iovcnt", drv->aio_readv(bs, 0, iov, INT32_MIN, 1, never, &io), EINVAL, "negative");
    memcpy(memory + 1, iov, sizeof(iov[0]));
    odd = (struct iovec *)(void *)(memory + 1);
    refused("an iov that is not aligned", drv->aio_preadv(bs, 0, 512, odd, 1, 0, never, &io), EINVAL, "align");
    free(memory);
    refused("no elements for 512 bytes", drv->aio_preadv(bs, 0, 512, iov, 0, 0, never, &io), EINVAL, "0 bytes");
    refused("too few bytes", drv->aio_preadv(bs, 0, 513, iov, 1, 0, never, &io), EINVAL, "512 bytes");
    refused("too many bytes", drv->aio_pwritev(bs, 0, 511, iov, 1, 0, never, &io), EINVAL, "512 bytes");
    refused("too many sectors", drv->aio_readv(bs, 0, iov, 1, 2, never, &io), EINVAL, "1024 bytes");
    refused("too few sectors", drv->aio_writev(bs, 0, iov, 1, 0, never, &io), EINVAL, "0 bytes");
    iov[1] = piece(NULL, 512);
    refused("a NULL element", drv->aio_preadv(bs, 0, 1024, iov, 2, 0, never, &io), EINVAL, "NULL");
    iov[1] = piece(data, SIZE_MAX);
    refused("an element of 2^64 bytes", drv->aio_preadv(bs, 0, 511, iov, 2, 0, never, &io), EINVAL, "2^63");
    iov[1] = piece(data, (size_t)1 << 63);
    refused("an element of 2^63 bytes", drv->aio_preadv(bs, 0, 512, iov, 2, 0, never, &io), EINVAL, "2^63");
    iov[1] = iov[2] = piece(data, SIZE_MAX / 2);
    refused("elements of 2^64 bytes together", drv->aio_pwritev(bs, 0, 510, iov, 3, 0, never, &io), EINVAL, "2^63");
    refused("an unknown flag", drv->aio_preadv(bs, 0, 512, iov, 1, 1, never, &io), EINVAL, "0x1");
    refused("all flags", drv->aio_pwritev(bs, 0, 512, iov, 1, UINT32_MAX, never, &io), EINVAL, "0xffffffff");
}

static void no_callback(void)
{
    const struct BlkDriver *drv = img.drv;
    struct BlkState *bs = &img.bs;
    struct iovec iov = piece(data, 512);

    refused("a read without a callback", drv->aio_readv(bs, 0, &iov, 1, 1, NULL, &io), EINVAL, "callback");
    refused("a write without a callback", drv->aio_writev(bs, 0, &iov, 1, 1, NULL, &io), EINVAL, "callback");
    refused("a pread without a callback", drv->aio_preadv(bs, 0, 512, &iov, 1, 0, NULL, &io), EINVAL, "callback");
    refused("a pwrite without a callback", drv->aio_pwritev(bs, 0, 512, &iov, 1, 0, NULL, &io), EINVAL, "callback");
    refused("a flush without a callback", drv->aio_flush(bs, NULL, &io), EINVAL, "callback");
    refused("a discard without a callback", drv->aio_discard(bs, 0, 1, NULL, &io), EINVAL, "callback");
    refused("a pdiscard without a callback", drv->aio_pdiscard(bs, 0, 512, NULL, &io), EINVAL, "callback");
}

static void every_slot_with(const char *what, struct BlkState *bs, int error, const char *word)
{
    const struct BlkDriver *drv = img.drv;
    struct iovec iov = piece(data, 512);
    struct BlkError details = {0};

    t_say("%s", what);
    errno = 0;
    refused("aio_readv", drv->aio_readv(bs, 0, &iov, 1, 1, never, &io), error, word);
    refused("aio_writev", drv->aio_writev(bs, 0, &iov, 1, 1, never, &io), error, word);
    refused("aio_preadv", drv->aio_preadv(bs, 0, 512, &iov, 1, 0, never, &io), error, word);
    refused("aio_pwritev", drv->aio_pwritev(bs, 0, 512, &iov, 1, 0, never, &io), error, word);
    refused("aio_flush", drv->aio_flush(bs, never, &io), error, word);
    refused("aio_discard", drv->aio_discard(bs, 0, 1, never, &io), error, word);
    refused("aio_pdiscard", drv->aio_pdiscard(bs, 0, 512, never, &io), error, word);
    is(drv->getlength(bs), -error, "getlength");
    is(drv->get_allocated_file_size(bs), -error, "get_allocated_file_size");
    is(drv->drain(bs), -error, "drain");
    is(drv->get_completion_fd(bs), -error, "get_completion_fd");
    is(drv->dispatch(bs), -error, "dispatch");
    is(drv->truncate(bs, 512, NULL), -error, "truncate");
    is(t_reports_of(BLK_REPORT_ERROR), 6, "each of them is reported");
    details.struct_size = sizeof(details);
    is(drv->truncate(bs, 512, &details), -error, "truncate with a BlkError");
    ok(details.error == error && strstr(details.message, word), "... which says: %s", details.message);
    is(drv->has_zero_init(bs), 0, "has_zero_init");
    t_forget_reports();
    drv->close(bs);
    ok(t_reports_of(BLK_REPORT_ERROR) == 1 && t_reported(word), "close: %s", last_report());
    t_forget_reports();
}

static void bad_states(void)
{
    struct BlkState copy = img.bs;
    char *odd = t_alloc(sizeof(copy) + 1);
    char closed[64] = {0};

    every_slot_with("a NULL BlkState", NULL, EINVAL, "BlkState");
    memcpy(odd + 1, &copy, sizeof(copy));
    every_slot_with("a BlkState that is not aligned", (struct BlkState *)(void *)(odd + 1), EINVAL, "BlkState");
    free(odd);
    copy.struct_size = sizeof(copy) - 1;
    every_slot_with("a BlkState that is too short", &copy, EINVAL, "struct_size");
    copy = img.bs;
    copy.opaque = NULL;
    every_slot_with("a BlkState without opaque", &copy, EINVAL, "opaque");
    copy.opaque = (char *)img.bs.opaque + 1;
    every_slot_with("an opaque that is not aligned", &copy, EINVAL, "opaque");
    copy.opaque = closed;
    every_slot_with("a BlkState that was never opened", &copy, EBADF, "open");
    memset(closed, 0x5a, sizeof(closed));
    every_slot_with("an opaque full of garbage", &copy, EBADF, "open");
    memset(closed, 0xff, sizeof(closed));
    every_slot_with("an opaque full of ones", &copy, EBADF, "open");
}

static void read_only(void)
{
    const struct BlkDriver *drv = reader.drv;
    struct iovec iov = piece(data, 512);
    struct BlkError error = {0};

    refused("a write to a read-only image", drv->aio_writev(&reader.bs, 0, &iov, 1, 1, never, &io), EBADF, "BLK_O_RDWR");
    refused("a pwrite", drv->aio_pwritev(&reader.bs, 0, 512, &iov, 1, 0, never, &io), EBADF, "read-only");
    refused("a write of nothing", drv->aio_pwritev(&reader.bs, 0, 0, NULL, 0, 0, never, &io), EBADF, "read-only");
    refused("a discard", drv->aio_discard(&reader.bs, 0, 1, never, &io), EBADF, "gluster://fake/vol/bad");
    refused("a pdiscard", drv->aio_pdiscard(&reader.bs, 0, 512, never, &io), EBADF, "read-only");
    error.struct_size = sizeof(error);
    is(drv->truncate(&reader.bs, 0, &error), -EBADF, "truncate");
    ok(error.stage == BLK_STAGE_IO && strstr(error.message, "gluster://fake/vol/bad"), "... %s", error.message);
    is(pread_sync(&reader, data, 512, 0), 0, "a read works");
    is(flush_sync(&reader), 0, "a flush works");
    is(drv->getlength(&reader.bs), 65536, "nothing has changed");
}

static void lengths(void)
{
    static const int64_t negative[] = {-1, INT64_MIN}, huge[] = {4 * PIB + 1, INT64_MAX};
    struct BlkError error = {0};
    unsigned i;

    error.struct_size = sizeof(error);
    for (i = 0; i < 2; i++) {
        is(img.drv->truncate(&img.bs, negative[i], &error), -EINVAL, "a negative length");
        ok(strstr(error.message, "gluster://fake/vol/bad") != NULL, "... %s", error.message);
        is(img.drv->truncate(&img.bs, huge[i], &error), -EFBIG, "a length past 4 PiB");
        ok(strstr(error.message, "4 PiB") != NULL, "... %s", error.message);
    }
    error.struct_size = 16;
    is(img.drv->truncate(&img.bs, 0, &error), -EINVAL, "truncate with a short BlkError");
    is(img.drv->getlength(&img.bs), 65536, "nothing has changed");
    t_forget_reports();
}

int main(void)
{
    int fds, threads;

    fake_begin("requests that are wrong are refused: errno, a sentence, no callback");
    fake_open(&img, "bad", 65536);
    if (img_open(&reader, fake_uri("vol", "bad"), 0, NULL) < 0)
        t_die("cannot open it read-only");
    fake_quiet(1);
    fds = fd_count();
    threads = thread_count();
    submitted = fake_counted().submitted;
    t_forget_reports();
    errno = 0;
    ranges();
    buffers();
    no_callback();
    bad_states();
    lengths();
    is(fake_counted().submitted, submitted, "nothing was submitted to libgfapi");
    read_only();
    run_for(0.02);
    ok(t_settles(fds, threads, 5), "no fd and no thread more than before");
    is(pwrite_sync(&img, data, sizeof(data), 0), 0, "a good write succeeds");
    img_close(&reader);
    img_close(&img);
    return fake_end();
}
