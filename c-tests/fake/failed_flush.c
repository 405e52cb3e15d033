/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A brick that could not bring to stable storage what it had acknowledged drops it, says so once, and lets the next fsync succeed.
 * No flush of that opening does; nor, with write-behind, when another descriptor of the file was told.
 */
#include "on_fake.h"

enum { BYTES = 65536, BLOCK = 4096 };

static struct img img;
static unsigned char data[BLOCK];

static void open_with(struct img *it, const char *name, uint32_t flags, const char *option, const char *value)
{
    if (img_open(it, fake_uri("vol", name), flags, option, value, NULL))
        t_die("cannot open %s: %s", name, it->error.message);
}

static void open_it(void)
{
    open_with(&img, "failed", BLK_O_RDWR, NULL, NULL);
    t_forget_reports();
}

static int write_block(struct img *it)
{
    return pwrite_sync(it, data, BLOCK, 0);
}

static int failed_flush(int err)
{
    fake_once(FAKE_FSYNC, FAKE_FAIL, err, 0);
    return flush_sync(&img);
}

static void for_good(void)
{
    static const int verdicts[] = {EIO, ENOSPC, EDQUOT, EROFS, ENOMEM, 0};
    unsigned i;

    for (i = 0; i < T_COUNT(verdicts); i++) {
        open_it();
        is(write_block(&img) | flush_sync(&img) | write_block(&img), 0, "a write, a flush, a write");
        is(failed_flush(verdicts[i]), verdicts[i] ? -verdicts[i] : -EIO, "a flush that fails with errno %d", verdicts[i]);
        ok(t_reported("may have dropped it") && t_reported("no flush succeeds until it is closed and opened again"),
           "... which is told: %s", last_report());
        is(flush_sync(&img), -EIO, "the next one fails");
        is(write_block(&img), 0, "writes go on");
        is(flush_sync(&img), -EIO, "... and flushes fail");
        img_close(&img);
        open_it();
        is(write_block(&img) | flush_sync(&img), 0, "a new opening is a new beginning");
        img_close(&img);
    }
}

/* Nobody has dropped anything: nobody was asked. */
static void for_a_time(void)
{
    static const int errors[] = {ENOTCONN, EBADFD, EBADF, ESTALE, ETIMEDOUT, EAGAIN};
    unsigned i;

    open_it();
    for (i = 0; i < T_COUNT(errors); i++) {
        is(write_block(&img), 0, "a write");
        is(failed_flush(errors[i]), -errors[i], "a flush that fails with errno %d", errors[i]);
        is(flush_sync(&img), 0, "... the next one succeeds");
    }
    img_close(&img);
}

static void brick_is(const char *state)
{
    struct BlkError error = {.struct_size = sizeof(error)};
    const char *uri = fake_uri("vol", ".meta/graphs/active/client-0/private");
    char text[512];
    struct img shown;

    memset(text, '\n', sizeof(text));
    memcpy(text, state, strlen(state));
    if (img_create(uri, "512", &error) || img_open(&shown, uri, BLK_O_RDWR, NULL) || pwrite_sync(&shown, text, sizeof(text), 0))
        t_die("cannot write the state");
    img_close(&shown);
}

/* A disperse volume says EIO for too few bricks. */
static void of_too_few_bricks(void)
{
    brick_is("connected = 0\n");
    open_it();
    is(failed_flush(EIO), -EIO, "a flush that fails with EIO while the brick is away");
    brick_is("connected = 1\nmsgs_sent = 10\n");
    is(flush_sync(&img), 0, "... the next one succeeds");
    is(failed_flush(EIO), -EIO, "one that fails while it is there");
    is(flush_sync(&img), -EIO, "... is for good");
    img_close(&img);
}

/* Those that wait meanwhile are no better. */
static void behind_another(void)
{
    struct io first = {0}, second = {0};
    int rule = fake_always(FAKE_FSYNC, FAKE_HOLD, 0, 0);

    open_it();
    io_flush(&first, &img);
    ok(fake.wait_held(1, 10000), "a flush is under way");
    io_flush(&second, &img);
    fake_calm(rule);
    fake.release(FAKE_FSYNC, 1, EIO);
    is(io_wait(&first), -EIO, "... and fails");
    is(io_wait(&second), -EIO, "... and so does the one behind it");
    img_close(&img);
}

static void others_who_flush(void)
{
    open_with(&img, "failed", BLK_O_RDWR, "locking", "on");
    is(write_block(&img), 0, "a write");
    is(failed_flush(ENOSPC), -ENOSPC, "a flush that fails");
    is(img.drv->lock_release(&img.bs, &img.error), -EIO, "the lock is not handed on: %s", img.error.message);
    ok(strstr(img.error.message, "may be lost") != NULL, "... since writes may be lost");
    is(img.drv->reopen_prepare(&img.bs, NULL, 0, &img.error), -EIO, "it is not reopened: %s", img.error.message);
    img_close(&img);

    open_it();
    is(img.drv->reopen_prepare(&img.bs, NULL, BLK_O_RDWR | BLK_O_NOCACHE, &img.error), 0, "a reopen");
    is(write_block(&img), 0, "... and a write before its commit");
    fake_once(FAKE_FSYNC, FAKE_FAIL, ENOSPC, 0);
    img.drv->reopen_commit(&img.bs);
    is(flush_sync(&img), -EIO, "what the old file could not flush");
    is(flush_sync(&img), -EIO, "... the new one cannot either");
    img_close(&img);
}

/* A flush of the host's tells what the commit's could not do, whoever flushes before. */
static void owed(void)
{
    open_with(&img, "failed", BLK_O_RDWR | BLK_O_LOCK_LATER, "locking", "on");
    is(img.drv->lock_change(&img.bs, BLK_LOCK_WRITE | BLK_LOCK_FORBID_WRITE, &img.error), 0, "a writer");
    is(img.drv->reopen_prepare(&img.bs, NULL, BLK_O_RDWR | BLK_O_NOCACHE, &img.error), 0, "a reopen");
    is(write_block(&img), 0, "a write before its commit");
    fake_once(FAKE_FSYNC, FAKE_FAIL, ETIMEDOUT, 0);
    img.drv->reopen_commit(&img.bs);
    is(img.drv->lock_change(&img.bs, BLK_LOCK_FORBID_WRITE, &img.error), -ETIMEDOUT, "it cannot stop to be a writer: %s",
       img.error.message);
    is(flush_sync(&img), -ETIMEDOUT, "the next flush fails");
    is(flush_sync(&img), 0, "... not the one after it");
    is(img.drv->lock_change(&img.bs, BLK_LOCK_FORBID_WRITE, &img.error), 0, "it stops to be a writer");
    img_close(&img);
}

/* ---- write-behind: one descriptor of the file is told for all ------------------------------------------------------- */

static struct img other;

static void open_cached(struct img *it, const char *name)
{
    open_with(it, name, BLK_O_RDWR, "write-cache", "on");
}

static void is_told_of(const char *how)
{
    is(flush_sync(&img), -EIO, "%s: a flush of this opening fails", how);
    is(flush_sync(&img), -EIO, "... and the next one");
    img_close(&img);
    open_cached(&img, "failed");
    is(write_block(&img) | flush_sync(&img), 0, "a new opening is a new beginning");
    img_close(&img);
}

static void told_to_another(void)
{
    struct img unconcerned;

    fake_open(&unconcerned, "unconcerned", BYTES);
    img_close(&unconcerned);
    open_cached(&unconcerned, "unconcerned");

    open_cached(&img, "failed");
    open_cached(&other, "failed");
    is(write_block(&img), 0, "write-cache=on: a write");
    fake_once(FAKE_CLOSE, FAKE_FAIL, ENOTCONN, 0);
    img_close(&other);
    is_told_of("another opening was told when it was closed");

    open_cached(&img, "failed");
    open_cached(&other, "failed");
    is(write_block(&img), 0, "write-cache=on: a write");
    fake_once(FAKE_FSYNC, FAKE_FAIL, ENOTCONN, 0);
    is(flush_sync(&other), -ENOTCONN, "another opening is told by a flush");
    is_told_of("then");
    img_close(&other);

    open_cached(&img, "failed");
    is(write_block(&img), 0, "write-cache=on: a write");
    is(img.drv->reopen_prepare(&img.bs, NULL, BLK_O_RDWR, &img.error), 0, "a reopen");
    fake_once(FAKE_CLOSE, FAKE_FAIL, ENOTCONN, 0);
    img.drv->reopen_abort(&img.bs);
    is_told_of("its abort was told");

    open_cached(&img, "failed");
    is(write_block(&img), 0, "write-cache=on: a write");
    fake_once(FAKE_FSYNC, FAKE_FAIL, ENOTCONN, 0);
    is(flush_sync(&img), -ENOTCONN, "a flush is told");
    is_told_of("then");

    is(write_block(&unconcerned) | flush_sync(&unconcerned), 0, "another image goes on");
    img_close(&unconcerned);
}

int main(void)
{
    fake_begin("what bricks may have dropped no flush of that opening calls safe");
    fake_open(&img, "failed", BYTES);
    img_close(&img);
    for_good();
    for_a_time();
    of_too_few_bricks();
    behind_another();
    others_who_flush();
    owed();
    told_to_another();
    return fake_end();
}
