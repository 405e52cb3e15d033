/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A request that fails in libgfapi fails with libgfapi's errno, in its callback, and the image goes on. */
#include "on_fake.h"

static struct img img;
static char buffer[4096];

enum kind { READ, WRITE, FLUSH, DISCARD, KINDS };

static const struct {
    const char *name;
    int op;
} kinds[KINDS] = {
    {"read", FAKE_PREADV_ASYNC},
    {"write", FAKE_PWRITEV_ASYNC},
    {"flush", FAKE_FSYNC},
    {"discard", FAKE_DISCARD_ASYNC},
};

static bool submit(enum kind kind, struct io *io)
{
    switch (kind) {
    case READ:
        return io_pread(io, &img, buffer, sizeof(buffer), 8192);
    case WRITE:
        return io_pwrite(io, &img, buffer, sizeof(buffer), 8192);
    case FLUSH:
        return io_flush(io, &img);
    default:
        return io_discard(io, &img, sizeof(buffer), 8192);
    }
}

static int run(enum kind kind)
{
    struct io io = {0};

    if (!ok(submit(kind, &io), "a %s is accepted", kinds[kind].name))
        return io.ret;
    return io_wait(&io);
}

/* A flush that bricks have failed is for good, see failed_flush.c. */
static void go_on(enum kind kind)
{
    if (kind != FLUSH)
        return;
    img_close(&img);
    fake_open(&img, "errors", 65536);
}

static void every_errno(enum kind kind, int action, const char *how)
{
    static const int errors[] = {EPERM, ENOENT, EIO, EBADF, ENOSPC, EROFS, EDQUOT, ENOTCONN, ESTALE, EAGAIN, 4095};
    unsigned i;

    for (i = 0; i < T_COUNT(errors); i++) {
        /* Such a read may be sent again: see survive.c. */
        if (kind == READ && (errors[i] == ENOENT || errors[i] == ENOTCONN || errors[i] == ESTALE || errors[i] == EBADF))
            continue;
        fake_once(kinds[kind].op, action, errors[i], 0);
        is(run(kind), -errors[i], "a %s %s with errno %d", kinds[kind].name, how, errors[i]);
        go_on(kind);
    }
    fake_once(kinds[kind].op, action, 0, 0);
    is(run(kind), -EIO, "a %s %s with errno 0 is no success", kinds[kind].name, how);
    go_on(kind);
    fake_once(kinds[kind].op, action, -5, 0);
    is(run(kind), -EIO, "a %s %s with errno -5 is no success", kinds[kind].name, how);
    go_on(kind);
    is(run(kind), 0, "the next %s succeeds", kinds[kind].name);
}

/* A brick that is down fails thousands of requests; the log shall hold the first. */
static void storm(enum kind kind)
{
    char wanted[128];
    int i, rule;

    is(run(kind), 0, "a %s succeeds", kinds[kind].name);
    t_forget_reports();
    rule = fake_always(kinds[kind].op, FAKE_FAIL, ENOTCONN, 0);
    for (i = 0; i < 50; i++)
        if (run(kind) != -ENOTCONN)
            fail("each of them fails");
    is(t_reports(), 1, "fifty failures in a row are one report");
    is(t_reports_of(BLK_REPORT_ERROR), 1, "... of level error");
    ok(t_reported("gluster://fake/vol/errors"), "... that names the image: %s", last_report());
    snprintf(wanted, sizeof(wanted), "a %s", kinds[kind].name);
    ok(t_reported(wanted), "... and what failed");
    ok(t_reported("ENOTCONN"), "... and why");
    fake_calm(rule);
    is(run(kind), 0, "a %s succeeds again", kinds[kind].name);
    is(t_reports_of(BLK_REPORT_INFO), 1, "... which is told: %s", last_report());
    is(run(kind), 0, "and once more");
    is(t_reports(), 2, "... which is not told");
}

/* The 2013 driver took the return value -1 for -EPERM, and errno of a success for an error. */
static void garbage_is_ignored(void)
{
    fake.set_stat_mode(FAKE_STAT_GARBAGE);
    is(run(READ) | run(WRITE) | run(FLUSH) | run(DISCARD), 0, "stats full of garbage");
    fake.set_stat_mode(FAKE_STAT_NULL);
    is(run(READ) | run(WRITE) | run(FLUSH) | run(DISCARD), 0, "stats that are NULL");
    fake.set_stat_mode(FAKE_STAT_ZEROED);
    is(run(READ) | run(WRITE) | run(FLUSH) | run(DISCARD), 0, "stats that are zeroed");
    fake.set_stat_mode(FAKE_STAT_REAL);
    fake_once(FAKE_FSYNC, FAKE_FORCE, 0, 77);
    is(run(FLUSH), 0, "a flush that returns a positive number");
    fake_once(FAKE_DISCARD_ASYNC, FAKE_FORCE, 0, 77);
    is(run(DISCARD), 0, "a discard that returns a positive number");
}

static void synchronous_calls(void)
{
    struct BlkError error = {0};

    error.struct_size = sizeof(error);
    fake_once(FAKE_FSTAT, FAKE_FAIL, ENOTCONN, 0);
    t_forget_reports();
    is(img.drv->getlength(&img.bs), -ENOTCONN, "getlength fails with libgfapi's errno");
    ok(t_reported("gluster://fake/vol/errors") && t_reported("ENOTCONN"), "... and a report: %s", last_report());
    fake_once(FAKE_FSTAT, FAKE_FAIL, 0, 0);
    is(img.drv->get_allocated_file_size(&img.bs), -EIO, "get_allocated_file_size with errno 0 is no success");
    fake_once(FAKE_FTRUNCATE, FAKE_FAIL, EFBIG, 0);
    is(img.drv->truncate(&img.bs, 1 << 20, &error), -EFBIG, "truncate fails with libgfapi's errno");
    is(error.error, EFBIG, "... in BlkError, too");
    is(error.stage, BLK_STAGE_IO, "... with its stage");
    ok(strstr(error.message, "gluster://fake/vol/errors") && strstr(error.message, "1048576"),
       "... and its sentence: %s", error.message);
    t_forget_reports();
    fake_once(FAKE_FTRUNCATE, FAKE_FAIL, 0, 0);
    is(img.drv->truncate(&img.bs, 1 << 20, NULL), -EIO, "truncate with errno 0 is no success");
    is(t_reports(), 1, "without a BlkError the sentence is reported");
    is(img.drv->getlength(&img.bs), 65536, "the image goes on");
}

int main(void)
{
    static const int modes[] = {FAKE_THREAD, FAKE_INLINE};
    unsigned mode;
    int kind;

    fake_begin("failures keep their errno, reach the callback, and leave the image usable");
    /* Without write-behind, whose acknowledgements would say nothing about the bricks. */
    if (img_create(fake_uri("vol", "errors"), "65536", NULL) < 0 ||
        img_open(&img, fake_uri("vol", "errors"), BLK_O_RDWR, "write-cache", "off", NULL) < 0)
        t_die("cannot open the image: %s", img.error.message);
    for (mode = 0; mode < T_COUNT(modes); mode++) {
        fake.set_mode(modes[mode], 0);
        for (kind = 0; kind < KINDS; kind++) {
            every_errno((enum kind)kind, FAKE_FAIL, "that fails");
            every_errno((enum kind)kind, FAKE_REFUSE, "that libgfapi refuses");
            storm((enum kind)kind);
        }
    }
    garbage_is_ignored();
    synchronous_calls();
    img_close(&img);
    return fake_end();
}
