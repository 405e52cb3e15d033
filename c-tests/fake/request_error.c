/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside its callback a request that failed has a sentence, and nobody else has one. */
#include "on_fake.h"

static struct img img, other;
static char buffer[4096];
static struct BlkError error;
static int answer;

static int ask(struct img *of)
{
    memset(&error, 0, sizeof(error));
    error.struct_size = sizeof(error);
    return of->drv->request_error(&of->bs, &error);
}

static void ask_inside(struct io *io)
{
    answer = ask(io->arg);
}

static void of_each_kind(void)
{
    static const struct {
        const char *what;
        int op, error;
    } kinds[] = {
        {"a read of 4096 bytes at offset 8192", FAKE_PREADV_ASYNC, EIO},
        {"a write of 4096 bytes at offset 8192", FAKE_PWRITEV_ASYNC, ENOSPC},
        {"a flush", FAKE_FSYNC, ENOTCONN},
        {"a discard of 4096 bytes at offset 8192", FAKE_DISCARD_ASYNC, EROFS},
        {"a write of zeroes of 4096 bytes at offset 8192", FAKE_ZEROFILL, EDQUOT},
    };
    unsigned i, round;

    for (i = 0; i < T_COUNT(kinds); i++) {
        int rule = fake_always(kinds[i].op, FAKE_FAIL, kinds[i].error, 0);

        /* Not only of the first failure, as `report`. */
        for (round = 0; round < 2; round++) {
            struct io io = {.then = ask_inside, .arg = &img};

            answer = 1;
            switch (i) {
            case 0: io_pread(&io, &img, buffer, sizeof(buffer), 8192); break;
            case 1: io_pwrite(&io, &img, buffer, sizeof(buffer), 8192); break;
            case 2: io_flush(&io, &img); break;
            case 3: io_discard(&io, &img, sizeof(buffer), 8192); break;
            default: io_zeroes(&io, &img, sizeof(buffer), 8192, 0); break;
            }
            is(io_wait(&io), -kinds[i].error, "%s fails", kinds[i].what);
            is(answer, 0, "... and has a sentence");
            ok(error.error == kinds[i].error && error.stage == BLK_STAGE_IO && strstr(error.message, kinds[i].what) &&
                   strstr(error.message, "gluster://fake/vol/failing"),
               "... %s", error.message);
        }
        fake_calm(rule);
    }
}

static void of_nobody_else(void)
{
    struct io io = {.then = ask_inside, .arg = &img};
    struct BlkError small = {.struct_size = 8};

    io_pwrite(&io, &img, buffer, sizeof(buffer), 0);
    is(io_wait(&io), 0, "a write that succeeds");
    is(answer, -ENOENT, "... has none");
    is(ask(&img), -ENOENT, "outside of a callback there is none");
    fake_once(FAKE_PWRITEV_ASYNC, FAKE_FAIL, EIO, 0);
    io.arg = &other;
    io_pwrite(&io, &img, buffer, sizeof(buffer), 0);
    is(io_wait(&io), -EIO, "a write that fails");
    is(answer, -ENOENT, "... has none of another image's");
    is(img.drv->request_error(&img.bs, NULL), -EINVAL, "a NULL BlkError");
    is(img.drv->request_error(&img.bs, &small), -EINVAL, "a short one");
    is(img.drv->request_error(NULL, &error), -EINVAL, "a NULL BlkState");
}

/* The outer one fails, the one that is waited for inside its callback succeeds. */
static void nest(struct io *io)
{
    struct io inner = {.then = ask_inside, .arg = &img};

    (void)io;
    io_pread(&inner, &img, buffer, sizeof(buffer), 0);
    is(io_wait(&inner), 0, "a read inside the callback of a write that failed");
    is(answer, -ENOENT, "... has no sentence");
    is(ask(&img), 0, "... and the write has its own again");
    ok(strstr(error.message, "a write of 4096 bytes at offset 0") != NULL, "... %s", error.message);
}

static void close_it(struct io *io)
{
    (void)io;
    img.drv->close(&img.bs);
    answer = ask(&img);
}

static void nested_and_closed(void)
{
    struct io io = {.then = nest};

    fake_once(FAKE_PWRITEV_ASYNC, FAKE_FAIL, EIO, 0);
    io_pwrite(&io, &img, buffer, sizeof(buffer), 0);
    is(io_wait(&io), -EIO, "a write that fails");
    fake_once(FAKE_PWRITEV_ASYNC, FAKE_FAIL, EIO, 0);
    io.then = close_it;
    io_pwrite(&io, &img, buffer, sizeof(buffer), 0);
    is(io_wait(&io), -EIO, "one whose callback closes the image");
    is(answer, -EBADF, "... has none after that");
    img.is_open = false;
}

int main(void)
{
    fake_begin("a request that failed says why inside its callback");
    fake_open(&img, "failing", 65536);
    fake_open(&other, "other", 65536);
    of_each_kind();
    of_nobody_else();
    nested_and_closed();
    t_forget_reports();
    img_close(&img);
    img_close(&other);
    return fake_end();
}
