/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A flush is covered by an fsync that begins after it was submitted; flushes that wait meanwhile share the next one, and
 * its result. They can be cancelled, closed upon and fail like any request. */
#include "on_fake.h"

enum { WAITING = 5 };

static struct img img;
static struct io first, waiting[WAITING], late;

static uint64_t fsyncs(void)
{
    return fake_calls(FAKE_FSYNC);
}

/* Lets the one fsync that is held go. */
static void let_go(int err)
{
    if (fake.release(FAKE_FSYNC, 1, err) != 1)
        fail("an fsync is held");
}

static bool is_held(void)
{
    return fake.wait_held(1, 10000) && fake_counted().held == 1;
}

static int done_count(void)
{
    int i, n = 0;

    for (i = 0; i < WAITING; i++)
        n += waiting[i].done;
    return n;
}

/* One flush whose fsync is held, and others behind it. The rule is for fake_calm. */
static int queue_up(void)
{
    int i, rule = fake_always(FAKE_FSYNC, FAKE_HOLD, 0, 0);

    io_flush(&first, &img);
    if (!is_held())
        t_die("the first flush does not come to its fsync");
    for (i = 0; i < WAITING; i++)
        io_flush(&waiting[i], &img);
    return rule;
}

static void coverage(void)
{
    uint64_t before = fsyncs();
    int i, rule = queue_up();

    run_for(0.02);
    is(first.done + done_count(), 0, "no flush ends before its fsync has");
    is(fsyncs() - before, 1, "... which is one at a time");
    let_go(FAKE_AS_IS);
    is(io_wait(&first), 0, "the fsync that was under way ends the flush that it was made for");
    ok(is_held(), "... another one follows");
    run_for(0.02);
    is(done_count(), 0, "... which the others, submitted while the first was under way, wait for");
    io_flush(&late, &img);
    let_go(FAKE_AS_IS);
    for (i = 0; i < WAITING; i++)
        is(io_wait(&waiting[i]), 0, "it ends flush %d of those", i);
    for (i = 1; i < WAITING; i++)
        if (waiting[i].order != waiting[i - 1].order + 1)
            fail("they end in the order in which they were submitted");
    ok(is_held(), "a third fsync follows");
    is(late.done, 0, "... for the flush that came during the second");
    let_go(FAKE_AS_IS);
    is(io_wait(&late), 0, "... which it ends");
    is(fsyncs() - before, 3, "three fsyncs for %d flushes", WAITING + 2);
    fake_calm(rule);
}

static void failures(void)
{
    int i, rule = queue_up();

    t_forget_reports();
    let_go(ENOTCONN);
    is(io_wait(&first), -ENOTCONN, "an fsync that fails is its flush's result");
    ok(is_held(), "... and no other's");
    let_go(ETIMEDOUT);
    for (i = 0; i < WAITING; i++)
        is(io_wait(&waiting[i]), -ETIMEDOUT, "a shared fsync that fails fails flush %d", i);
    is(t_reports_of(BLK_REPORT_ERROR), 1, "all that is one report: %s", last_report());
    fake_calm(rule);
    is(flush_sync(&img), 0, "the next flush succeeds");
    rule = fake_always(FAKE_FSYNC, FAKE_DELAY, 0, 5000);
    is(flush_sync(&img), 0, "a slow one does, too");
    fake_calm(rule);
}

/* What the client's graph shows of the volume's only replica translator. */
static void bricks_are(const char *state)
{
    struct BlkError error = {.struct_size = sizeof(error)};
    const char *uri = fake_uri("replicated", ".meta/graphs/active/replicate-0/private");
    char text[512];
    struct img shown;

    memset(text, '\n', sizeof(text));
    memcpy(text, state, strlen(state));
    is(img_create(uri, "512", &error), 0, "bricks: %.60s", state);
    if (img_open(&shown, uri, BLK_O_RDWR, NULL) || pwrite_sync(&shown, text, sizeof(text), 0))
        t_die("cannot write the state");
    img_close(&shown);
}

static bool one_more_close(void *before)
{
    return fake_calls(FAKE_CLOSE) > *(uint64_t *)before;
}

/* On replica volumes, a descriptor that is made and closed again lets the bricks note what one of them lacks. */
static void settles(void)
{
    struct BlkError error = {.struct_size = sizeof(error)};
    struct img replicated;
    uint64_t dups = fake_calls(FAKE_DUP), closes;

    is(flush_sync(&img), 0, "a flush of a volume without replicas");
    is(fake_calls(FAKE_DUP), dups, "... has nothing to settle");
    is(img_create(fake_uri("replicated", "flush"), "4096", &error), 0, "an image on a replica volume");
    is(img_open(&replicated, fake_uri("replicated", "flush"), BLK_O_RDWR, NULL), 0, "... opens");
    bricks_are("child_count = 3\nchild_up[0] = 1\nchild_up[1] = 1\nchild_up[2] = 1\n");
    dups = fake_calls(FAKE_DUP);
    is(flush_sync(&replicated), 0, "with all bricks up, a flush");
    is(fake_calls(FAKE_DUP), dups, "... has nothing to settle");
    bricks_are("child_count = 3\nchild_up[0] = 1\nchild_up[1] = 0\nchild_up[2] = 1\n");
    dups = fake_calls(FAKE_DUP);
    closes = fake_calls(FAKE_CLOSE);
    is(flush_sync(&replicated), 0, "with one down, a flush");
    is(fake_calls(FAKE_DUP) - dups, 1, "... makes a second descriptor");
    is(fake_calls(FAKE_CLOSE) - closes, 2, "... and closes it, as the one that it looked through");
    bricks_are("child_count = 3\n");
    dups = fake_calls(FAKE_DUP) - 1;
    /* The first look finds nothing to be open, and is not made again; so the close is the second descriptor's. */
    fake_once(FAKE_OPEN, FAKE_FAIL, ENOENT, 0);
    fake_once(FAKE_CLOSE, FAKE_FAIL, ENOTCONN, 0);
    is(flush_sync(&replicated), -ENOTCONN, "when that fails, the flush does");
    fake_once(FAKE_DUP, FAKE_FAIL, ENOMEM, 0);
    is(flush_sync(&replicated), -ENOMEM, "so it does when there is none");
    fake_once(FAKE_FSYNC, FAKE_FAIL, ENOTCONN, 0);
    is(flush_sync(&replicated), -ENOTCONN, "nothing is settled when the fsync fails");
    is(fake_calls(FAKE_DUP) - dups, 3, "... at all");
    is(flush_sync(&replicated), 0, "the next flush succeeds");
    bricks_are("child_count = 3\nchild_up[0] = 1\nchild_up[1] = 1\nchild_up[2] = 1\n");
    dups = fake_calls(FAKE_DUP);
    is(flush_sync(&replicated), 0, "with all of them back, a flush");
    is(fake_calls(FAKE_DUP) - dups, 1, "... settles what was written after the last one, when one was away");
    is(flush_sync(&replicated), 0, "the one after it");
    is(fake_calls(FAKE_DUP) - dups, 1, "... does not");
    fake_once(FAKE_PWRITEV_ASYNC, FAKE_FAIL, ENOTCONN, 0);
    is(pwrite_sync(&replicated, "x", 1, 0), -ENOTCONN, "a write that finds too few of them");
    is(flush_sync(&replicated), 0, "... and a flush that finds them all back");
    is(fake_calls(FAKE_DUP) - dups, 2, "... settles, too");
    is(flush_sync(&replicated) | pwrite_sync(&replicated, "x", 1, 0), 0, "a write");
    bricks_are("child_count = 3\nchild_up[0] = 1\nchild_up[1] = 0\nchild_up[2] = 1\n");
    closes = fake_calls(FAKE_CLOSE);
    ok(run_until(one_more_close, &closes, 20), "... without a flush, while one is down: somebody looks");
    run_for(0.1);
    bricks_are("child_count = 3\nchild_up[0] = 1\nchild_up[1] = 1\nchild_up[2] = 1\n");
    is(flush_sync(&replicated), 0, "... so that a flush when it is back");
    is(fake_calls(FAKE_DUP) - dups, 3, "... settles, too");
    img_close(&replicated);
}

/* What goes aside of O_DIRECT has an open file of its own, which is settled as well. */
static void settles_aside(void)
{
    struct img direct;
    uint64_t dups;

    is(img_open(&direct, fake_uri("replicated", "flush"), BLK_O_RDWR | BLK_O_NOCACHE, NULL), 0, "with BLK_O_NOCACHE");
    bricks_are("child_count = 3\nchild_up[0] = 1\nchild_up[1] = 0\nchild_up[2] = 1\n");
    dups = fake_calls(FAKE_DUP);
    is(flush_sync(&direct), 0, "... and a brick down, a flush");
    is(fake_calls(FAKE_DUP) - dups, 1, "... settles the one that nothing went aside of");
    is(pwrite_sync(&direct, "x", 1, 1), 0, "a write of a part of a block");
    is(flush_sync(&direct), 0, "... and a flush");
    is(fake_calls(FAKE_DUP) - dups, 3, "... settles both");
    fake_once(FAKE_DUP, FAKE_FAIL, ENOMEM, 0);
    is(flush_sync(&direct), -ENOMEM, "when one cannot be, the flush fails");
    is(flush_sync(&direct), 0, "the next one succeeds");
    is(fake_calls(FAKE_DUP) - dups, 7, "... and settles both");
    bricks_are("child_count = 3\nchild_up[0] = 1\nchild_up[1] = 1\nchild_up[2] = 1\n");
    img_close(&direct);
}

/* ---- cancel --------------------------------------------------------------------------------------------------- */

static void *let_go_later(void *arg)
{
    (void)arg;
    usleep(100 * 1000);
    let_go(FAKE_AS_IS);
    return NULL;
}

static void cancelled(void)
{
    pthread_t thread;
    uint64_t before = fsyncs();
    int i, rule = queue_up();

    img.drv->aio_cancel(waiting[1].acb);
    ok(waiting[1].done == 1 && waiting[1].ret == -ECANCELED, "aio_cancel ends a flush that no fsync is made for yet");
    is(first.done + done_count(), 1, "... and no other");
    img.drv->aio_cancel_async(waiting[3].acb);
    is(waiting[3].done, 0, "aio_cancel_async calls nothing");
    is(io_wait(&waiting[3]), -ECANCELED, "... the callback comes as always");
    img.drv->aio_cancel_async(first.acb);
    run_for(0.02);
    is(first.done, 0, "a flush whose fsync is under way cannot be taken back");
    pthread_create(&thread, NULL, let_go_later, NULL);
    img.drv->aio_cancel(first.acb);
    ok(first.done == 1 && first.ret == 0, "aio_cancel waits for it, and its result is its own");
    pthread_join(thread, NULL);
    ok(is_held(), "the others go on");
    let_go(FAKE_AS_IS);
    for (i = 0; i < WAITING; i += 2)
        is(io_wait(&waiting[i]), 0, "flush %d", i);
    is(fsyncs() - before, 2, "... with one fsync");

    before = fsyncs();
    fake_calm(rule);
    rule = queue_up();
    for (i = 0; i < WAITING; i++)
        img.drv->aio_cancel(waiting[i].acb);
    is(done_count(), WAITING, "all that wait are cancelled");
    let_go(FAKE_AS_IS);
    is(io_wait(&first), 0, "the one under way ends");
    is(fsyncs() - before, 1, "... and nothing follows it");
    fake_calm(rule);
    is(flush_sync(&img), 0, "the next flush finds its way");
}

/* ---- write-behind ----------------------------------------------------------------------------------------------- */

static int lost(const char *option)
{
    struct img cached;
    int ret;

    if (img_open(&cached, fake_uri("vol", "flush"), BLK_O_RDWR, "write-cache", option, NULL) < 0)
        t_die("cannot open it: %s", cached.error.message);
    fake_once(FAKE_FSYNC, FAKE_FAIL, ENOTCONN, 0);
    is(flush_sync(&cached), -ENOTCONN, "write-cache=%s: a flush fails", option);
    ret = flush_sync(&cached);
    img_close(&cached);
    return ret;
}

/* With write-behind, a failed flush may have lost writes; one that was cancelled before it was made has not. */
static void honest(void)
{
    struct img before = img;
    int i, rule;

    is(lost("on"), -EIO, "... and so does the next one");
    is(lost("off"), 0, "... the next one does not");
    if (img_open(&img, fake_uri("vol", "flush"), BLK_O_RDWR, "write-cache", "on", NULL) < 0)
        t_die("cannot open it: %s", img.error.message);
    rule = queue_up();
    img.drv->aio_cancel(waiting[0].acb);
    is(waiting[0].ret, -ECANCELED, "write-cache=on: a flush is cancelled");
    fake_calm(rule);
    let_go(FAKE_AS_IS);
    io_wait(&waiting[WAITING - 1]);
    is(flush_sync(&img), 0, "... after which flushes succeed");

    /* The failure waits for its callback while a later flush is taken out of turn. */
    rule = queue_up();
    let_go(ENOTCONN);
    if (!is_held())
        t_die("the second fsync does not come");
    fake_calm(rule);
    let_go(FAKE_AS_IS);
    img.drv->aio_cancel(waiting[0].acb);
    is(waiting[0].ret, -EIO, "a flush behind a failed one is no success, though it is cancelled first");
    is(io_wait(&first), -ENOTCONN, "... the failed one");
    for (i = 1; i < WAITING; i++)
        io_wait(&waiting[i]);
    img_close(&img);
    img = before;
}

/* ---- close ------------------------------------------------------------------------------------------------------ */

static void *let_all_go_later(void *arg)
{
    usleep(100 * 1000);
    fake_calm(*(int *)arg);
    fake.release(FAKE_FSYNC, 0, FAKE_AS_IS);
    return NULL;
}

static void close_it(struct io *self)
{
    self->then = NULL;
    img_close(self->img);
}

static void closed(bool inside)
{
    pthread_t thread;
    int i, rule, failed = 0;

    first.then = inside ? close_it : NULL;
    rule = queue_up();
    pthread_create(&thread, NULL, let_all_go_later, &rule);
    if (inside)
        io_wait(&first);
    else
        img_close(&img);
    pthread_join(thread, NULL);
    for (i = 0; i < WAITING; i++)
        failed += waiting[i].ret != 0;
    is(first.done + done_count(), 1 + WAITING, "close %swaits for flushes, and calls their callbacks",
       inside ? "inside a flush's callback " : "");
    is(first.ret | failed, 0, "... with their results");
    fake_open(&img, "flush", 4096);
}

static void closed_when_cancelled(void)
{
    int i, rule = queue_up();

    /* Their job is still with the workers when the image is gone. */
    for (i = 0; i < WAITING; i++)
        img.drv->aio_cancel_async(waiting[i].acb);
    fake_calm(rule);
    let_go(FAKE_AS_IS);
    img_close(&img);
    is(first.done + done_count(), 1 + WAITING, "close delivers those that were cancelled, too");
    fake_open(&img, "flush", 4096);
}

int main(void)
{
    fake_begin("a flush is covered by an fsync that began after it; those that wait share one");
    fake_open(&img, "flush", 4096);
    coverage();
    failures();
    settles();
    settles_aside();
    cancelled();
    honest();
    closed(false);
    closed(true);
    closed_when_cancelled();
    img_close(&img);
    return fake_end();
}
