/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file that answers EBADFD or ENOTCONN: reads are sent again, once the file answers or was opened anew, as long as it is the
 * same file and no lock was lost; nothing else is sent again.
 */
#include "on_fake.h"

#include <dlfcn.h>

enum { BYTES = 65536, BLOCK = 4096 };

static struct img img;
static unsigned char data[BYTES];

static void open_in(const char *volume, const char *name, const char *locking)
{
    struct BlkError error = {.struct_size = sizeof(error)};

    if (img_create(fake_uri(volume, name), "65536", &error))
        t_die("cannot create %s: %s", name, error.message);
    if (img_open(&img, fake_uri(volume, name), BLK_O_RDWR, "locking", locking, NULL))
        t_die("cannot open %s: %s", name, img.error.message);
    pattern_fill(data, BYTES, 1, 0);
    is(pwrite_sync(&img, data, BYTES, 0), 0, "%s: an image full of data", name);
    t_forget_reports();
}

static void open_it(const char *name, const char *locking)
{
    open_in("vol", name, locking);
}

static int read_block(int64_t offset)
{
    unsigned char block[BLOCK];
    int ret = pread_sync(&img, block, BLOCK, offset);

    return ret == 0 && memcmp(block, data + offset, BLOCK) ? -EILSEQ : ret;
}

static bool one_file(void *arg)
{
    (void)arg;
    return fake_counted().open_fds == 1;
}

/* What a driver's next read, and the look that follows, find. */
static void fd_is_bad(int err)
{
    fake_once(FAKE_PREADV_ASYNC, FAKE_FAIL, err, 0);
    fake_once(FAKE_PREAD, FAKE_FAIL, err, 0);
}

static void is_opened_anew(int err, bool wait)
{
    uint64_t opens, reads;

    open_it("anew", "off");
    opens = fake_calls(FAKE_OPEN);
    reads = fake_calls(FAKE_PREADV_ASYNC);
    fd_is_bad(err);
    is(read_block(8192), 0, "a read of a file that answers errno %d", err);
    is(fake_calls(FAKE_OPEN), opens + 1, "... which was opened anew");
    is(fake_calls(FAKE_PREADV_ASYNC), reads + 2, "... was sent twice");
    ok(t_reported("opened anew"), "... which is told: %s", last_report());
    is(t_reports_of(BLK_REPORT_ERROR), 0, "... and is no failure");
    if (wait)
        ok(run_until(one_file, NULL, 20), "the old file is closed");
    is(read_block(0) | pwrite_sync(&img, data, BLOCK, 0) | flush_sync(&img), 0, "all goes on");
    is(fake_calls(FAKE_OPEN), opens + 1, "... with that file");
    img_close(&img);
}

/* The file itself is good again: libgfapi has opened it. */
static void answers_again(void)
{
    uint64_t opens;

    open_it("again", "off");
    opens = fake_calls(FAKE_OPEN);
    fake_once(FAKE_PREADV_ASYNC, FAKE_FAIL, ENOTCONN, 0);
    is(read_block(0), 0, "a read whose brick is back by now");
    is(fake_calls(FAKE_OPEN), opens, "... of the same file");
    is(t_reports(), 0, "... and nothing to tell");
    img_close(&img);
}

static void once_only(void)
{
    uint64_t reads;
    int rule;

    open_it("once", "off");
    reads = fake_calls(FAKE_PREADV_ASYNC);
    rule = fake_always(FAKE_PREADV_ASYNC, FAKE_FAIL, ENOTCONN, 0);
    is(read_block(0), -ENOTCONN, "a read that fails twice has failed");
    is(fake_calls(FAKE_PREADV_ASYNC), reads + 2, "... and is not sent a third time");
    fake_calm(rule);
    is(read_block(0), 0, "the next one succeeds");
    img_close(&img);
}

static void brick_is_away(void)
{
    uint64_t reads;
    int rules[2], rule;

    open_it("away", "off");
    rules[0] = fake_always(FAKE_PREAD, FAKE_FAIL, ENOTCONN, 0);
    rules[1] = fake_always(FAKE_OPEN, FAKE_FAIL, ENOTCONN, 0);
    rule = fake_always(FAKE_PREADV_ASYNC, FAKE_FAIL, ENOTCONN, 0);
    reads = fake_calls(FAKE_PREADV_ASYNC);
    is(read_block(0), -ENOTCONN, "a read while the bricks are away");
    is(fake_calls(FAKE_PREADV_ASYNC), reads + 1, "... was sent once");
    is(t_reports_of(BLK_REPORT_ERROR), 1, "... and reported: %s", last_report());
    fake_calm(rules[0]);
    fake_calm(rules[1]);
    fake_calm(rule);
    is(read_block(0), 0, "... and one when they are back");
    img_close(&img);
}

static bool was_opened(void *opens)
{
    return fake_calls(FAKE_OPEN) > *(uint64_t *)opens;
}

static void never_a_write(void)
{
    struct {
        const char *name;
        int op;
    } kinds[] = {{"write", FAKE_PWRITEV_ASYNC}, {"discard", FAKE_DISCARD_ASYNC}, {"write of zeroes", FAKE_ZEROFILL}, {"flush", FAKE_FSYNC}};
    uint64_t before, opens;
    unsigned i;
    int ret;

    open_it("write", "off");
    for (i = 0; i < T_COUNT(kinds); i++) {
        before = fake_calls(kinds[i].op);
        opens = fake_calls(FAKE_OPEN);
        fake_once(kinds[i].op, FAKE_FAIL, EBADFD, 0);
        switch (i) {
        case 0:
            ret = pwrite_sync(&img, data, BLOCK, 0);
            break;
        case 1:
            ret = discard_sync(&img, BLOCK, BLOCK);
            break;
        case 2:
            ret = zeroes_sync(&img, BLOCK, BLOCK, 0);
            break;
        default:
            ret = flush_sync(&img);
        }
        is(ret, -EBADFD, "a %s that failed has failed", kinds[i].name);
        if (i == 0)
            ok(run_until(was_opened, &opens, 20), "... but the file is opened anew");
        is(fake_calls(kinds[i].op), before + 1, "... and it is not sent again");
    }
    img_close(&img);
}

/* With the locks of the old one the data may have become another's. */
static void not_when_locked(void)
{
    uint64_t opens, reads;

    open_it("locked", "on");
    opens = fake_calls(FAKE_OPEN);
    reads = fake_calls(FAKE_PREADV_ASYNC);
    fd_is_bad(EBADFD);
    is(read_block(0), -EBADFD, "a read of a locked file that answers EBADFD");
    is(fake_calls(FAKE_PREADV_ASYNC), reads + 1, "... was sent once");
    ok(t_reported("has forgotten its lock"), "... and says why: %s", last_report());
    run_for(0.5);
    is(fake_calls(FAKE_OPEN), opens, "... and nothing was opened");
    /* The rule for the look. */
    fake.reset();
    img_close(&img);
}

/* Another opening of a file that grows can have it lose its length there. */
static void not_when_sharded(void)
{
    uint64_t opens;

    open_in("sharded", "sharded", "off");
    opens = fake_calls(FAKE_OPEN);
    fd_is_bad(EBADFD);
    is(read_block(0), -EBADFD, "a read on a sharded volume that answers EBADFD");
    is(fake_calls(FAKE_OPEN), opens, "... opens nothing");
    is(read_block(0), 0, "the next one succeeds");
    fake_once(FAKE_PREADV_ASYNC, FAKE_FAIL, ENOTCONN, 0);
    run_for(1.1);
    is(read_block(0), 0, "and one whose brick is back by now is sent again");
    img_close(&img);
}

/* ---- another file has its name ---------------------------------------------------------------------------------------------- */

static void *call(const char *name)
{
    void *address = dlsym(dlopen("libgfapi.so.0", RTLD_NOW | RTLD_NOLOAD), name);

    if (!address)
        t_die("no %s", name);
    return address;
}

/* As another client does: removes a file, and puts an empty one in its place. */
static void replace(const char *path, bool again)
{
    void *(*fs_new)(const char *) = (void *(*)(const char *))call("glfs_new");
    int (*server)(void *, const char *, const char *, int) = (int (*)(void *, const char *, const char *, int))call("glfs_set_volfile_server");
    int (*init)(void *) = (int (*)(void *))call("glfs_init");
    int (*unlink_it)(void *, const char *) = (int (*)(void *, const char *))call("glfs_unlink");
    void *(*create)(void *, const char *, int, mode_t) = (void *(*)(void *, const char *, int, mode_t))call("glfs_creat");
    int (*close_it)(void *) = (int (*)(void *))call("glfs_close");
    int (*fini)(void *) = (int (*)(void *))call("glfs_fini");
    void *fs = fs_new("vol"), *file;

    if (server(fs, "tcp", "fake", 24007) || init(fs) || unlink_it(fs, path))
        t_die("cannot remove %s", path);
    if (again) {
        file = create(fs, path, 02 | 0100, 0600);
        if (!file || close_it(file))
            t_die("cannot create %s", path);
    }
    fini(fs);
}

static void is_another(bool again)
{
    int rules[2];

    open_it("another", "off");
    replace("/another", again);
    is(read_block(0), 0, "%s: what was opened is still read", again ? "replaced" : "removed");
    rules[0] = fake_always(FAKE_PREADV_ASYNC, FAKE_FAIL, EBADFD, 0);
    /* The look at the old one; the new one would answer. */
    rules[1] = fake_once(FAKE_PREAD, FAKE_FAIL, EBADFD, 0);
    is(read_block(0), -EBADFD, "... and after the bricks have let go of it not any more");
    ok(t_reported("another file was put in its place"), "... which is told: %s", last_report());
    t_forget_reports();
    is(flush_sync(&img), 0, "(a request that succeeds, so that the next failure is reported)");
    is(read_block(0), -EBADFD, "... and the next one");
    ok(t_reported("close it and open it again"), "... says so as well: %s", last_report());
    fake_calm(rules[0]);
    fake_calm(rules[1]);
    img_close(&img);
}

/* ---- what is in flight, and the end ---------------------------------------------------------------------------------------------- */

static void old_calls_end(void)
{
    struct io write = {0};

    open_it("flight", "off");
    fake_once(FAKE_PWRITEV_ASYNC, FAKE_HOLD, 0, 0);
    ok(io_pwrite(&write, &img, data, BLOCK, 0) && fake.wait_held(1, 10000), "a write that takes its time");
    fd_is_bad(EBADFD);
    is(read_block(16384), 0, "... while the file is opened anew");
    run_for(1.2);
    is(fake_counted().open_fds, 2, "the old file is not closed before it has ended");
    fake.release(FAKE_PWRITEV_ASYNC, 0, FAKE_AS_IS);
    is(io_wait(&write), 0, "... and ends well");
    ok(run_until(one_file, NULL, 20), "... then the file is closed");
    img_close(&img);
}

static void look_hangs(void)
{
    unsigned char block[BLOCK];
    struct io read = {0};

    open_it("hangs", "off");
    fake_once(FAKE_PREAD, FAKE_HOLD, 0, 0);
    fake_once(FAKE_PREADV_ASYNC, FAKE_FAIL, ENOTCONN, 0);
    ok(io_pread(&read, &img, block, BLOCK, 0) && fake.wait_held(1, 0) == 0, "a read");
    while (!fake.wait_held(1, 0))
        t_poll(5);
    is(read.done, 0, "... waits for a look at the file, and the bricks are silent");
    img.drv->aio_cancel(read.acb);
    ok(read.done == 1 && read.ret == -ECANCELED, "... it can be cancelled");
    img_close(&img);
    ok(true, "... and the image be closed");
    fake.release(FAKE_PREAD, 0, FAKE_AS_IS);
}

int main(void)
{
    fake_begin("survive: reads are sent again when the file answers or was opened anew, and nothing else is");
    is_opened_anew(EBADFD, true);
    is_opened_anew(ENOTCONN, false);
    is_opened_anew(ESTALE, false);
    answers_again();
    once_only();
    brick_is_away();
    never_a_write();
    not_when_locked();
    not_when_sharded();
    is_another(true);
    is_another(false);
    old_calls_end();
    look_hangs();
    return fake_end();
}
