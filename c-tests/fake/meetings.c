/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What happens to one image at the same time: its file is opened anew while it grows, while its lock changes, or while a reopen
 * is prepared; its lock changes between the preparation of a reopen and its end; a copy loses its source; requests of no bytes.
 */
#include "witness.h"

enum { BYTES = 65536, BLOCK = 4096 };
enum { NONE = 0, WRITES = BLK_LOCK_WRITE, FORBIDS = BLK_LOCK_FORBID_WRITE, ALONE = WRITES | FORBIDS };

static const char *const modes[] = {"none", "writes", "forbids writes", "writes alone"};
static struct img img, src, grower;
static unsigned char data[BYTES], block[BLOCK];

/* Full of data, and nothing is reported yet. */
static void open_with(struct img *it, const char *volume, const char *name, uint32_t flags, const char *option,
                      const char *value)
{
    const char *uri = fake_uri(volume, name);
    struct BlkError error = {.struct_size = sizeof(error)};

    if (img_create(uri, "65536", &error))
        t_die("cannot create %s: %s", name, error.message);
    if (img_open(it, uri, flags, option, value, NULL))
        t_die("cannot open %s: %s", name, it->error.message);
    if (pwrite_sync(it, data, BYTES, 0))
        t_die("cannot fill %s", name);
    t_forget_reports();
}

static void open_it(const char *name, uint32_t flags, const char *locking)
{
    open_with(&img, "vol", name, BLK_O_RDWR | flags, "locking", locking);
}

static int prepare(const char *write_cache)
{
    struct BlkOption options[] = {{"write-cache", write_cache}, {NULL, NULL}};

    return img.drv->reopen_prepare(&img.bs, options, BLK_O_RDWR, &img.error);
}

/* Of an image of each round: a lock that one leaves behind is not in the others' way. */
static const char *name_it(const char *kind)
{
    static char name[64];
    static unsigned round;

    snprintf(name, sizeof(name), "%s-%u", kind, round++);
    return name;
}

static void end_reopen(bool commits)
{
    commits ? img.drv->reopen_commit(&img.bs) : img.drv->reopen_abort(&img.bs);
}

static int change(unsigned mode)
{
    return img.drv->lock_change(&img.bs, mode, &img.error);
}

static bool files_are(void *count)
{
    return fake_counted().open_fds == (uint64_t)(intptr_t)count;
}

static bool comes_to(int files)
{
    return run_until(files_are, (void *)(intptr_t)files, 20);
}

/* Whether it was told that this image's file was opened anew. */
static bool was_opened_anew(const char *volume, const char *name)
{
    char text[600];

    snprintf(text, sizeof(text), "image %s: its file was opened anew", fake_uri(volume, name));
    return t_reported(text);
}

/* A second opener for writing. One that is refused has tried for a second. */
static int second_opener(const char *name)
{
    struct img other;
    int ret = img_open(&other, fake_uri("vol", name), BLK_O_RDWR, "locking", "on", NULL);

    img_close(&other);
    return ret;
}

/* ---- a growth, and the file opened anew -------------------------------------------------------------------------- */

static struct io old_read, new_write;
static pthread_t grows_on;
static int grown;

static void *grows(void *arg)
{
    struct BlkError error = {.struct_size = sizeof(error)};

    (void)arg;
    grown = grower.drv->truncate_with_preallocation(&grower.bs, MiB, BLK_PREALLOC_FALLOC, NULL, NULL, &error);
    return NULL;
}

static bool has_ended(void *io)
{
    return ((struct io *)io)->done;
}

static bool ended_or_anew(void *read)
{
    return was_opened_anew("vol", "growth") || has_ended(read);
}

/*
 * Promise: a file that another one took the place of is closed only when nothing is in flight on it, also what waited behind a
 * growth with preallocation that began on it: a close before that drops its callback, and the host waits for it for ever.
 */
static void file_is_opened_anew_while_it_grows(void)
{
    open_with(&grower, "vol", "growth", BLK_O_RDWR, "write-cache", "off");
    fake_once(FAKE_FALLOCATE, FAKE_HOLD, 0, 0);
    pthread_create(&grows_on, NULL, grows, NULL);
    ok(fake.wait_held(1, 20000), "a growth takes its time");
    fake_once(FAKE_PREADV_ASYNC, FAKE_FAIL, EBADFD, 0);
    ok(io_pread(&old_read, &grower, block, BLOCK, 0) && run_until(ended_or_anew, &old_read, 20),
       "... a read finds the file bad");
    ok(io_pwrite(&new_write, &grower, data, BLOCK, BYTES), "... a write past the old end waits for the growth");
    fake_once(FAKE_PWRITEV_ASYNC, FAKE_HOLD, 0, 0);
    fake.release(FAKE_FALLOCATE, 0, FAKE_AS_IS);
    pthread_join(grows_on, NULL);
    is(grown, 0, "... which ends well");
    is(io_wait(&old_read), 0, "... and so does the read");
    ok(fake.wait_held(1, 20000), "... and the write is sent");
}

/* Some seconds later: the old file goes by then, unless the write is in flight on it. */
static void and_nothing_in_flight_is_lost(void)
{
    run_until(files_are, (void *)1, 5);
    is(fake_counted().violations[FAKE_V_CLOSE_IN_FLIGHT], 0, "the growth: no file is closed with the write in flight on it");
    fake.release(FAKE_PWRITEV_ASYNC, 0, FAKE_AS_IS);
    if (!ok(run_until(has_ended, &new_write, 20), "... it calls back"))
        t_die("it never does, and a close would wait for it");
    is(new_write.ret, 0, "... and was good");
    ok(comes_to(1), "... one file is left");
    is(pread_sync(&grower, block, BLOCK, BYTES), 0, "... it is read");
    ok(memcmp(block, data, BLOCK) == 0, "... as it was written");
    is(grower.drv->getlength(&grower.bs), MiB, "... the image has grown");
    img_close(&grower);
}

/* ---- the lock, and the file opened anew -------------------------------------------------------------------------- */

/*
 * Promise: as long as lock_change has given the image a lock, nobody else gets in. A lock goes with the file that has it: a
 * file that was being opened anew meanwhile does not take that one's place. (The write behind the growth is held, too.)
 */
static void lock_is_taken_while_file_is_opened_anew(void)
{
    static const char name[] = "lock-anew";
    struct io read = {0};
    int ret;

    open_it(name, BLK_O_LOCK_LATER, "on");
    fake_once(FAKE_OPEN, FAKE_HOLD, 0, 0);
    fake_once(FAKE_PREADV_ASYNC, FAKE_FAIL, EBADFD, 0);
    ok(io_pread(&read, &img, block, BLOCK, 0), "a read finds the file bad");
    while (!fake.wait_held(2, 0))
        t_poll(5);
    is(change(ALONE), 0, "... the lock is taken while it is opened anew");
    fake.release(FAKE_OPEN, 0, FAKE_AS_IS);
    is(second_opener(name), -EBUSY, "... nobody else gets in then");
    ret = io_wait(&read);
    ok(ret == 0 || ret == -EBADFD, "... the read goes on, or fails when that takes too long (%d)", ret);
    ok(comes_to(2), "... one file is left, beside that of the growth");
    witness_sees(name, ALONE, "which has the lock");
    ok(!was_opened_anew("vol", name), "... and is the one that had it");
    is(flush_sync(&img), 0, "... a flush finds it");
    img_close(&img);
    is(second_opener(name), 0, "... closed, others get in");
}

/* ---- the lock, and a reopen that is prepared --------------------------------------------------------------------- */

enum before { GIVEN_UP, LATER, LATER_ANEW, LOCKED, PREPARATIONS };

static void prepare_as(enum before before, const char *name)
{
    switch (before) {
    case GIVEN_UP:
        open_it(name, 0, "on");
        is(img.drv->lock_release(&img.bs, &img.error), 0, "a lock that was given up: prepared");
        is(prepare("off"), 0, "... %s", img.error.message);
        break;
    case LATER:
        open_it(name, BLK_O_LOCK_LATER, "on");
        is(prepare("off"), 0, "no lock yet: prepared %s", img.error.message);
        break;
    case LATER_ANEW:
        open_it(name, BLK_O_LOCK_LATER, "on");
        is(prepare("off"), 0, "no lock yet: prepared %s", img.error.message);
        fake_once(FAKE_PREADV_ASYNC, FAKE_FAIL, EBADFD, 0);
        is(pread_sync(&img, block, BLOCK, 0), 0, "... then the file is opened anew");
        break;
    default:
        open_it(name, BLK_O_LOCK_LATER, "on");
        is(change(ALONE), 0, "locked: prepared");
        is(prepare("off"), 0, "... %s", img.error.message);
    }
}

/*
 * Promise: what lock_change says between a preparation and its end is what the image has from then on, also after commit or
 * abort: others get in where that lets them, and only there, its own flushes find the lock theirs, and close leaves none.
 */
static void lock_changes_while_reopen_is_prepared(enum before before, bool commits)
{
    const char *name;
    unsigned mode;

    for (mode = NONE; mode <= ALONE; mode++) {
        name = name_it("reopen");
        prepare_as(before, name);
        is(change(mode), 0, "... lock_change to \"%s\": %s", modes[mode], img.error.message);
        witness_sees(name, mode, "before");
        end_reopen(commits);
        /* One that another took the place of stays for a second. */
        if (before != LATER_ANEW)
            ok(comes_to(1), "... one file is left");
        witness_sees(name, mode, commits ? "after the commit" : "after the abort");
        is(flush_sync(&img), 0, "... a flush (%s)", last_report());
        witness_sees(name, mode, "after it");
        if (mode == NONE)
            is(second_opener(name), 0, "... others get in");
        img_close(&img);
        is(second_opener(name), 0, "... closed, others get in");
    }
}

/*
 * Promise: when another connection's file is prepared, to which the lock was handed over if there is one, lock_change says that
 * it cannot be before commit or abort, and changes nothing; then it can, and others get in or do not, as it says.
 */
static void lock_is_handed_over(uint32_t flags, unsigned mode, bool commits)
{
    const char *name = name_it("handed");
    unsigned to;

    open_it(name, flags, "on");
    if (flags)
        is(change(mode), 0, "lock_change to \"%s\"", modes[mode]);
    is(prepare("on"), 0, "\"%s\": prepared on another connection %s", modes[mode], img.error.message);
    for (to = NONE; to <= ALONE; to++) {
        is(change(to), -EBUSY, "... lock_change to \"%s\" is refused", modes[to]);
        ok(strstr(img.error.message, "commit or abort") != NULL, "... %s", img.error.message);
    }
    witness_sees(name, mode, "meanwhile");
    end_reopen(commits);
    ok(comes_to(1), "... one file is left");
    witness_sees(name, mode, commits ? "after the commit" : "after the abort");
    is(pwrite_sync(&img, data, BLOCK, 0) | flush_sync(&img), 0, "... it is written (%s)", last_report());
    for (to = ALONE; to <= ALONE; to--) {
        is(change(to), 0, "... lock_change to \"%s\" %s", modes[to], img.error.message);
        witness_sees(name, to, "then");
        is(flush_sync(&img), 0, "... a flush (%s)", last_report());
    }
    is(second_opener(name), 0, "... and others get in");
    img_close(&img);
}

/* ---- write-behind, and the file opened anew ---------------------------------------------------------------------- */

/*
 * Promise: with write-cache=on, acknowledged writes may be in libgfapi's memory, and what became of them only this file tells, by
 * its flush or close. So it is never given away for another one, not even when it answers again.
 */
static void written_behind_file_stays(void)
{
    uint64_t opens, closes;
    int ret;

    open_with(&img, "vol", "behind", BLK_O_RDWR, "write-cache", "on");
    opens = fake_calls(FAKE_OPEN);
    closes = fake_calls(FAKE_CLOSE);
    fake_once(FAKE_PREADV_ASYNC, FAKE_FAIL, EBADFD, 0);
    ret = pread_sync(&img, block, BLOCK, 0);
    ok(ret == 0 || ret == -EBADFD, "write-behind: a read of a file that is bad for a moment (%d)", ret);
    is(flush_sync(&img), 0, "... a flush asks the file that was written");
    is(fake_calls(FAKE_OPEN), opens, "... which is still that of the image");
    is(fake_calls(FAKE_CLOSE), closes, "... and not closed");
    img_close(&img);
}

/* Promise: and when it stays bad, no flush says that all is well until the host has closed the image. */
static void written_behind_file_stays_bad(void)
{
    static const int ops[] = {FAKE_PREADV_ASYNC, FAKE_PREAD, FAKE_FSYNC};
    int rules[T_COUNT(ops)];
    unsigned i;

    open_with(&img, "vol", "bad", BLK_O_RDWR, "write-cache", "on");
    t_forget_reports();
    for (i = 0; i < T_COUNT(ops); i++)
        rules[i] = fake_always(ops[i], FAKE_FAIL, EBADFD, 0);
    is(pread_sync(&img, block, BLOCK, 0), -EBADFD, "write-behind: a read of a file that is bad");
    ok(flush_sync(&img) < 0, "... a flush fails: %s", last_report());
    for (i = 0; i < T_COUNT(ops); i++)
        fake_calm(rules[i]);
    ok(flush_sync(&img) < 0, "... and another one, whatever the file answers by now");
    ok(!t_reported("opened anew"), "... nothing was opened anew");
    img_close(&img);
}

/*
 * Promise: what write-behind could not write it tells once, to whatever asks about the file next. A call by the image's name
 * that gets an error may have got that one: no flush says that all is well from then on.
 */
static void others_are_told_what_a_flush_should_be(void)
{
    struct BlkBlockStatus status = {.struct_size = sizeof(status)};
    struct BlkOption keep[] = {{"exists", "keep"}, {"write-cache", "on"}, {NULL, NULL}};
    struct BlkError error = {.struct_size = sizeof(error)};
    struct img other;
    unsigned how;

    for (how = 0; how < 4; how++) {
        open_with(&img, "vol", "told", BLK_O_RDWR, "write-cache", "on");
        is(flush_sync(&img), 0, "write-behind: a flush");
        fake_once(how == 3 ? FAKE_CREAT : FAKE_OPEN, FAKE_FAIL, EPERM, 0);
        if (how == 0)
            is(img.drv->block_status(&img.bs, 0, BLOCK, &status, &img.error), 0, "... block_status gets an error");
        else if (how == 1)
            is(img_open(&other, fake_uri("vol", "told"), 0, "write-cache", "on", NULL), -EPERM, "... an opener does");
        else if (how == 2)
            is(img.drv->reopen_prepare(&img.bs, NULL, BLK_O_RDWR, &img.error), -EPERM, "... a reopen does");
        else
            is(img.drv->create(fake_uri("vol", "told"), keep, &error), -EPERM, "... a create does");
        is(flush_sync(&img), -EIO, "... and the next flush is no success");
        is(flush_sync(&img), -EIO, "... nor any other");
        img_close(&img);
    }
    /* One that cannot have been told: its connection has no write-behind. */
    open_with(&img, "vol", "told", BLK_O_RDWR, "write-cache", "on");
    fake_once(FAKE_OPEN, FAKE_FAIL, EPERM, 0);
    is(img_open(&other, fake_uri("vol", "told"), 0, "write-cache", "off", NULL), -EPERM, "an error on another connection");
    is(flush_sync(&img), 0, "... is no word of this one's writes");
    img_close(&img);
}

/* Promise: a write that drain_end sends to an image that is for reading only by then fails, whatever its write-cache. */
static void held_back_write_finds_a_reader(void)
{
    static const char *const caches[] = {"on", "off"};
    struct io write = {0};
    uint64_t calls;
    unsigned i;

    for (i = 0; i < T_COUNT(caches); i++) {
        open_with(&img, "vol", "reader", BLK_O_RDWR, "write-cache", caches[i]);
        is(img.drv->drain_begin(&img.bs), 0, "write-cache=%s: drain_begin", caches[i]);
        memset(&write, 0, sizeof(write));
        ok(io_pwrite(&write, &img, block, BLOCK, 0), "... a write is accepted");
        is(img.drv->reopen_prepare(&img.bs, NULL, 0, &img.error), 0, "... a reopen for reading");
        end_reopen(true);
        calls = fake_calls(FAKE_PWRITEV_ASYNC);
        is(img.drv->drain_end(&img.bs), 0, "... drain_end");
        is(io_wait(&write), -EBADF, "... and the write fails");
        is(fake_calls(FAKE_PWRITEV_ASYNC), calls, "... libgfapi never saw it");
        is(flush_sync(&img), 0, "... nothing is lost");
        img_close(&img);
    }
}

/* ---- lengths ----------------------------------------------------------------------------------------------------- */

/*
 * Promise: a commit has the new file's connection look at the size before anything grows there: what the old one's translators
 * know of it (on a sharded volume: all of it) the new one's do not. Also when a growth is what waits for drain_end.
 */
static void growth_waits_for_commit(void)
{
    struct io write = {0};
    uint64_t looks;

    open_with(&img, "sharded", "held", BLK_O_RDWR, "write-cache", "off");
    is(prepare("on"), 0, "prepared on another connection");
    is(pwrite_sync(&img, data, BYTES, BYTES), 0, "... it grows by the old one");
    is(img.drv->drain_begin(&img.bs), 0, "... drain_begin");
    ok(io_pwrite(&write, &img, data, BLOCK, 3 * BYTES), "... another growth is held back");
    fake_once(FAKE_PWRITEV_ASYNC, FAKE_HOLD, 0, 0);
    looks = fake_calls(FAKE_FSTAT);
    end_reopen(true);
    is(img.drv->drain_end(&img.bs), 0, "... after the commit it is sent");
    ok(fake.wait_held(1, 20000), "... it is");
    ok(fake_calls(FAKE_FSTAT) > looks, "... after a look at the size");
    fake.release(FAKE_PWRITEV_ASYNC, 0, FAKE_AS_IS);
    is(io_wait(&write), 0, "... and ends well");
    is(img.drv->getlength(&img.bs), 3 * BYTES + BLOCK, "... with the length that it gave");
    img_close(&img);
}

static bool begin_copy(struct io *io, struct img *from, int64_t offset, int64_t to, int64_t bytes)
{
    io_begin(io, &img);
    return io_end(io, img.drv->aio_copy_range(&from->bs, offset, &img.bs, to, bytes, 0, io_done, io));
}

static int copy_sync(int64_t from, int64_t to, int64_t bytes)
{
    struct io io = {0};

    return begin_copy(&io, &src, from, to, bytes) ? io_wait(&io) : io.ret;
}

/* Promise: a request of no bytes changes nothing, wherever it is: no length, neither the one that is told nor the one that
 * later requests go by. */
static void no_bytes_past_the_end(void)
{
    static const char *const kinds[] = {"write", "write of zeroes", "copy"};
    unsigned kind;
    int ret;

    for (kind = 0; kind < T_COUNT(kinds); kind++) {
        open_it("empty", 0, "off");
        open_with(&src, "vol", "full", BLK_O_RDWR, "write-cache", "off");
        is(discard_sync(&img, BLOCK, 0), 0, "a discard");
        is(zeroes_sync(&img, BLOCK, 0, BLK_ZERO_MAY_UNMAP), 0, "... after which zeroes are made by discards");
        ret = kind == 0 ? pwrite_sync(&img, data, 0, MiB)
              : kind == 1 ? zeroes_sync(&img, 0, MiB, BLK_ZERO_MAY_UNMAP)
                          : copy_sync(0, MiB, 0);
        is(ret, 0, "a %s of no bytes past the end", kinds[kind]);
        /* It is not asked for here: getlength would look at the bricks, and have it right again. */
        is(zeroes_sync(&img, BLOCK, MiB / 2, BLK_ZERO_MAY_UNMAP), 0, "... zeroes before that");
        is(img.drv->getlength(&img.bs), MiB / 2 + BLOCK, "... have the image grow to their end");
        is(pread_sync(&img, block, BLOCK, MiB / 2), 0, "... where it is read");
        ok(all_bytes(block, BLOCK, 0), "... as zeroes");
        ret = kind == 0 ? pwrite_sync(&img, data, 0, MiB) : kind == 1 ? zeroes_sync(&img, 0, MiB, 0) : copy_sync(0, MiB, 0);
        is(ret, 0, "... and one more %s of no bytes", kinds[kind]);
        is(img.drv->getlength(&img.bs), MiB / 2 + BLOCK, "... has changed nothing");
        img_close(&src);
        img_close(&img);
        is(fake_length("empty", NULL), MiB / 2 + BLOCK, "... as the bricks say");
    }
}

/* ---- a copy, and its source -------------------------------------------------------------------------------------- */

static int source_fails(int err)
{
    struct fake_rule rule = {.op = FAKE_PREAD, .action = FAKE_FAIL, .err = err, .volume = "away"};

    return fake.add_rule(&rule);
}

/*
 * Promise: what fails at the source of a copy is the copy's failure, and none of the destination: its written-behind writes are
 * safe, so that its flushes succeed, nothing of it waits for its bricks, and its file is not opened anew. What is told of the
 * copy does not say that it was the destination.
 */
static void source_of_copy_fails(int err, const char *option, const char *value)
{
    int rule;

    open_with(&img, "vol", "dst", BLK_O_RDWR, option, value);
    open_with(&src, "away", "src", BLK_O_RDWR, "write-cache", "off");
    rule = source_fails(err);
    is(copy_sync(0, 0, BYTES), -err, "%s=%s: a copy whose source answers errno %d", option, value, err);
    ok(t_reported("here or where it reads them, failed"), "... is told as such: %s", last_report());
    is(flush_sync(&img), 0, "... it is no failure of the destination's flush");
    is(pwrite_sync(&img, data, BLOCK, 0) | pread_sync(&img, block, BLOCK, 0) | flush_sync(&img), 0, "... nor of what follows");
    ok(!t_reported("requests wait for them"), "... nor does anything wait for its bricks");
    ok(!was_opened_anew("vol", "dst"), "... nor has it another file");
    fake.remove_rule(rule);
    is(copy_sync(0, 0, BYTES), 0, "... and once the source answers it is copied");
    img_close(&src);
    img_close(&img);
}

/* Promise: nor is it one of the destination when the source was closed before its turn came. */
static void source_of_copy_is_closed(void)
{
    struct io first = {0}, copy = {0};

    open_with(&img, "vol", "dst", BLK_O_RDWR, "write-cache", "on");
    open_with(&src, "away", "src", BLK_O_RDWR, "write-cache", "off");
    fake_once(FAKE_PREAD, FAKE_HOLD, 0, 0);
    ok(begin_copy(&first, &img, 0, BYTES, BYTES) && fake.wait_held(1, 20000), "a copy within the destination takes its time");
    ok(begin_copy(&copy, &src, 0, 4 * BYTES, BYTES), "... one from elsewhere waits for it");
    img_close(&src);
    fake.release(FAKE_PREAD, 0, FAKE_AS_IS);
    is(io_wait(&first), 0, "... the first one ends well");
    is(io_wait(&copy), -EBADF, "... the other one finds its source closed");
    is(flush_sync(&img), 0, "... which is no failure of the destination");
    img_close(&img);
}

int main(void)
{
    unsigned before, mode;
    int commits;

    fake_begin("meetings: what happens to one image at the same time leaves its lock, its data and its length right");
    /* Dozens of openings, one after the other, on few connections. */
    t_keep_connection = "1";
    pattern_fill(data, BYTES, 1, 0);
    witness_begin();
    file_is_opened_anew_while_it_grows();
    lock_is_taken_while_file_is_opened_anew();
    and_nothing_in_flight_is_lost();
    for (before = 0; before < PREPARATIONS; before++)
        for (commits = 0; commits < 2; commits++)
            lock_changes_while_reopen_is_prepared(before, commits);
    for (commits = 0; commits < 2; commits++) {
        lock_is_handed_over(0, ALONE, commits);
        for (mode = NONE; mode <= ALONE; mode++)
            lock_is_handed_over(BLK_O_LOCK_LATER, mode, commits);
    }
    witness_end();
    written_behind_file_stays();
    written_behind_file_stays_bad();
    others_are_told_what_a_flush_should_be();
    held_back_write_finds_a_reader();
    source_of_copy_fails(EIO, "write-cache", "on");
    source_of_copy_fails(ENOTCONN, "write-cache", "on");
    source_of_copy_fails(EBADFD, "write-cache", "on");
    source_of_copy_fails(EBADFD, "write-cache", "off");
    source_of_copy_fails(ENOTCONN, "on-disconnect", "stall:60");
    source_of_copy_is_closed();
    growth_waits_for_commit();
    no_bytes_past_the_end();
    return fake_end();
}
