/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The lock of an open image becomes another one: every change beside every other holder, and each step that fails. */
#include "witness.h"

#include <errno.h>

enum { BYTES = 4096, NONE = 0, WRITES = BLK_LOCK_WRITE, FORBIDS = BLK_LOCK_FORBID_WRITE, ALONE = WRITES | FORBIDS };

static const char *const names[] = {"none", "writes", "forbids writes", "writes alone"};
static struct img img, other;
static char data[BYTES];

static void open_later(struct img *it, const char *locking)
{
    int ret = img_open(it, fake_uri("vol", "change"), BLK_O_RDWR | BLK_O_LOCK_LATER, "locking", locking, NULL);

    if (!is(ret, 0, "opened without a lock, locking=%s", locking))
        t_die("%s", it->error.message);
}

static int change(struct img *it, unsigned mode)
{
    return it->drv->lock_change(&it->bs, mode, &it->error);
}

/* Two holders fit when neither forbids what the other does. */
static bool fit(unsigned a, unsigned b)
{
    return !(a & FORBIDS && b & WRITES) && !(b & FORBIDS && a & WRITES);
}

/* What it has, as another client of the volume sees it. `other` has none meanwhile. */
static void has(unsigned mode, const char *when)
{
    witness_sees("change", mode, when);
}

/* ---- which changes --------------------------------------------------------------------------------------------- */

static void every_change(void)
{
    unsigned from, to, beside;

    for (from = NONE; from <= ALONE; from++)
        for (to = NONE; to <= ALONE; to++) {
            is(change(&img, from), 0, "from %s", names[from]);
            is(change(&img, to), 0, "to %s", names[to]);
            has(to, "alone");
            for (beside = WRITES; beside < ALONE; beside++) {
                /* A refusal of who fits with others takes a second. */
                if (!fit(from, beside) || (from == NONE && to != ALONE && !fit(to, beside)))
                    continue;
                is(change(&img, from), 0, "back, to %s", names[from]);
                is(change(&other, beside), 0, "... another one has %s", names[beside]);
                is(change(&img, to), fit(to, beside) ? 0 : -EBUSY, "... to %s beside it", names[to]);
                if (!fit(to, beside))
                    ok(strstr(img.error.message, "is locked (EBUSY)") != NULL, "... %s", img.error.message);
                is(change(&other, NONE), 0, "... the other one goes");
                has(fit(to, beside) ? to : from, "after it");
            }
        }
    is(change(&img, NONE), 0, "to none");
}

static void beside_other_openings(void)
{
    struct img usual;

    is(change(&img, ALONE), 0, "alone");
    is(img_open(&usual, fake_uri("vol", "change"), BLK_O_RDWR, "locking", "on", NULL), -EBUSY, "... a usual writer");
    img_close(&usual);
    is(change(&img, NONE), 0, "none");
    is(img_open(&usual, fake_uri("vol", "change"), BLK_O_RDWR, "locking", "on", NULL), 0, "... a usual writer");
    is(change(&img, ALONE), -EBUSY, "... is alone");
    is(change(&usual, WRITES), 0, "... until it is told to let others write");
    is(change(&img, WRITES), 0, "... who then do");
    img_close(&usual);
    is(change(&img, NONE), 0, "none");
    is(img_open(&usual, fake_uri("vol", "change"), 0, "locking", "on", NULL), 0, "a usual reader");
    is(change(&usual, ALONE), 0, "... can have any lock");
    has(ALONE, "it has");
    img_close(&usual);
    has(NONE, "it is closed");
}

/* ---- when ---------------------------------------------------------------------------------------------------------- */

static void writes_in_flight(void)
{
    struct io io = {0};

    is(change(&img, ALONE), 0, "a writer");
    fake.set_mode(FAKE_HELD, 0);
    ok(io_pwrite(&io, &img, data, BYTES, 0), "a write is in flight");
    ok(fake.wait_held(1, 10000), "... at the brick");
    is(change(&img, FORBIDS), -EBUSY, "it cannot stop to be a writer: %s", img.error.message);
    has(ALONE, "meanwhile");
    is(change(&img, WRITES), 0, "it can let others write");
    is(change(&img, ALONE), 0, "... and stop that");
    fake.set_mode(FAKE_THREAD, 0);
    fake.release(FAKE_ANY_ASYNC, 0, FAKE_AS_IS);
    is(io_wait(&io), 0, "the write ends");
    fake_once(FAKE_FSYNC, FAKE_FAIL, ENOTCONN, 0);
    is(change(&img, NONE), -ENOTCONN, "what it wrote is not on the bricks: %s", img.error.message);
    has(ALONE, "it keeps its lock");
    is(pwrite_sync(&img, data, BYTES, 0), 0, "... and writes on");
    is(change(&img, NONE), 0, "it is on the bricks");
    has(NONE, "it gives its lock away");
    is(pwrite_sync(&img, data, BYTES, 0), 0, "the host is believed: it writes nothing new");
}

static void with_the_other_slots(void)
{
    is(change(&img, NONE), 0, "none");
    is(img.drv->lock_release(&img.bs, &img.error), -EOPNOTSUPP, "... is nothing to give up: %s", img.error.message);
    is(img.drv->lock_acquire(&img.bs, &img.error), -EOPNOTSUPP, "... or to take");
    is(change(&img, ALONE), 0, "alone");
    is(img.drv->lock_release(&img.bs, &img.error), 0, "... is given up");
    is(pwrite_sync(&img, data, BYTES, 0), -EPERM, "... and writes nothing");
    is(img.drv->lock_acquire(&img.bs, &img.error), 0, "... and taken");
    has(ALONE, "as it was");
    is(img.drv->lock_release(&img.bs, &img.error), 0, "given up");
    is(pwrite_sync(&other, data, BYTES, 65536), 0, "... another one makes the image longer");
    is(change(&img, WRITES), 0, "... and changed");
    has(WRITES, "it has");
    is(img.drv->getlength(&img.bs), 65536 + BYTES, "... and knows the new length");
    is(pwrite_sync(&img, data, BYTES, 0), 0, "... and writes");
    is(change(&img, NONE), 0, "none");
}

/* ---- what is wrong ------------------------------------------------------------------------------------------------ */

static void refused(void)
{
    static const struct {
        const char *locking, *strict, *share_rw, *text;
        uint32_t flags;
    } bad[] = {
        {"off", NULL, NULL, "BLK_O_LOCK_LATER contradicts", BLK_O_LOCK_LATER},
        {"on", NULL, "on", "BLK_O_LOCK_LATER contradicts", BLK_O_LOCK_LATER},
        {"off", "on", NULL, "strict-locks says", 0},
        {"off", "off", NULL, "strict-locks says", 0},
        {"on", "maybe", NULL, "strict-locks takes", 0},
        {"on", "", NULL, "strict-locks takes", 0},
    };
    struct img it;
    unsigned i;

    for (i = 0; i < T_COUNT(bad); i++) {
        const char *last = bad[i].strict ? bad[i].strict : bad[i].share_rw;

        is(img_open(&it, fake_uri("vol", "change"), bad[i].flags, "locking", bad[i].locking,
                    last ? (bad[i].strict ? "strict-locks" : "share-rw") : NULL, last, NULL),
           -EINVAL, "locking=%s, %s", bad[i].locking, last ? last : "later");
        ok(strstr(it.error.message, bad[i].text) != NULL, "... %s", it.error.message);
        img_close(&it);
    }
    is(change(&img, 4), -EINVAL, "a mode that is none: %s", img.error.message);
    is(img_open(&it, fake_uri("vol", "change"), 0, NULL), 0, "an image without locking");
    is(change(&it, WRITES), -EOPNOTSUPP, "... %s", it.error.message);
    img_close(&it);
    is(img.drv->lock_change(NULL, NONE, NULL), -EINVAL, "no image");
}

static void each_step_fails(void)
{
    static const int errors[] = {ENOTCONN, EIO, ENOSYS};
    struct fake_rule rule = {.op = FAKE_POSIX_LOCK, .action = FAKE_FAIL, .times = 1};
    unsigned i, from, to;

    for (i = 0; i < T_COUNT(errors); i++)
        for (from = NONE; from <= ALONE; from++)
            for (to = NONE; to <= ALONE; to++)
                for (rule.nth = 1; rule.nth < 4; rule.nth++) {
                    uint64_t calls;
                    int id, ret;

                    is(change(&img, from), 0, "from %s", names[from]);
                    rule.err = errors[i];
                    id = fake.add_rule(&rule);
                    calls = fake_calls(FAKE_POSIX_LOCK);
                    ret = change(&img, to);
                    calls = fake_calls(FAKE_POSIX_LOCK) - calls;
                    is(ret, calls >= rule.nth ? -errors[i] : 0, "to %s, step %d fails with errno %d", names[to], (int)rule.nth,
                       errors[i]);
                    fake_calm(id);
                    has(ret ? from : to, "then");
                }
    is(change(&img, NONE), 0, "none");
}

static void volumes_without_locks(void)
{
    struct img it;
    int rule = fake_always(FAKE_POSIX_LOCK, FAKE_FAIL, ENOSYS, 0);

    open_later(&it, "auto");
    t_forget_reports();
    is(change(&it, ALONE), 0, "a volume without locks");
    ok(t_reports() == 1 && t_reports_of(BLK_REPORT_INFO) == 1, "... is told of once: %s", last_report());
    is(change(&it, FORBIDS), 0, "... and then");
    is(t_reports(), 1, "... not again");
    is(pwrite_sync(&it, data, BYTES, 0), 0, "... and written");
    img_close(&it);
    open_later(&it, "on");
    is(change(&it, ALONE), -ENOSYS, "with locking=on: %s", it.error.message);
    img_close(&it);
    fake_calm(rule);
}

/* ---- a brick that has forgotten ------------------------------------------------------------------------------------ */

static void not_strict(void)
{
    struct img it, strict;
    int rule;

    is(img_open(&it, fake_uri("relaxed", "change"), BLK_O_RDWR, "locking", "auto", "strict-locks", "off", NULL), 0,
       "strict-locks=off");
    ok(!fake.effective_option("relaxed", "relaxed-client-0", "strict-locks"), "... a brick serves it on");
    is(img_open(&strict, fake_uri("relaxed", "change"), BLK_O_RDWR, "locking", "auto", NULL), -EBUSY,
       "... and keeps the next away, on another connection");
    img_close(&strict);
    ok(fake.effective_option("relaxed", "relaxed-client-0", "strict-locks") != NULL, "... which is strict");
    run_for(0.6);
    rule = fake_always(FAKE_POSIX_LOCK, FAKE_FAIL, EAGAIN, 0);
    is(flush_sync(&it), -EBUSY, "a flush finds that the lock is another's");
    is(pwrite_sync(&it, data, BYTES, 0), -EPERM, "... and it is not written on");
    is(change(&it, ALONE), -EBUSY, "... nor can it have it");
    fake_calm(rule);
    is(change(&it, ALONE), 0, "... until it can");
    is(pwrite_sync(&it, data, BYTES, 0), 0, "... and writes on");
    img_close(&it);
}

int main(void)
{
    struct BlkError error = {.struct_size = sizeof(error)};

    fake_begin("the lock of an open image changes without a moment in which it is free, or stays what it was");
    fake_open(&img, "change", 65536);
    img_close(&img);
    img_create(fake_uri("relaxed", "change"), "65536", &error);
    open_later(&img, "on");
    open_later(&other, "auto");
    witness_begin();
    has(NONE, "opened");
    every_change();
    beside_other_openings();
    writes_in_flight();
    with_the_other_slots();
    refused();
    each_step_fails();
    witness_end();
    img_close(&img);
    img_close(&other);
    volumes_without_locks();
    not_strict();
    return fake_end();
}
