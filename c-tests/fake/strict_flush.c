/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * strict-flush=on: once a brick went away that held what was not flushed, no flush of that opening succeeds any more; whatever
 * else comes and goes fails nothing.
 */
#include "on_fake.h"

enum { BYTES = 65536, BLOCK = 4096 };

static struct img img;
static unsigned char data[BYTES];

/* What the client shows of its only brick. */
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

static void brick_is_up(unsigned sent)
{
    char state[64];

    snprintf(state, sizeof(state), "connected = 1\nmsgs_sent = %u\n", sent);
    brick_is(state);
}

static void open_with(const char *strict)
{
    if (img_open(&img, fake_uri("vol", "strict"), BLK_O_RDWR, "strict-flush", strict, NULL))
        t_die("cannot open: %s", img.error.message);
    t_forget_reports();
}

static int write_block(void)
{
    return pwrite_sync(&img, data, BLOCK, 0);
}

/* Two looks, at least, whoever makes them. */
static void be_looked_at(void)
{
    run_for(2.2);
}

static bool is_told(void *text)
{
    return t_reported(text);
}

static void off_by_default(void)
{
    brick_is_up(100);
    if (img_open(&img, fake_uri("vol", "strict"), BLK_O_RDWR, NULL))
        t_die("cannot open: %s", img.error.message);
    is(write_block(), 0, "without the option: a write");
    brick_is_up(7);
    is(flush_sync(&img), 0, "... and a flush after its brick went and came");
    img_close(&img);
    open_with("off");
    is(write_block(), 0, "strict-flush=off: a write");
    brick_is_up(3);
    is(flush_sync(&img), 0, "... and a flush after its brick went and came");
    img_close(&img);
}

static void is_lost(const char *how)
{
    is(flush_sync(&img), -EIO, "%s: a flush", how);
    ok(run_until(is_told, (void *)(uintptr_t)"strict-flush=on", 5), "... which is told: %s", last_report());
    ok(t_reported("node:/brick"), "... with the brick");
    is(t_reports_of(BLK_REPORT_ERROR), 2, "... as the flush that failed is");
    ok(t_reported("look at what it holds"), "... with what to do: %s", last_report());
    is(write_block(), 0, "writes go on");
    is(flush_sync(&img), -EIO, "no later flush succeeds");
    brick_is_up(5000);
    is(flush_sync(&img), -EIO, "... with the brick up again either");
    img_close(&img);
    open_with("on");
    is(write_block() | flush_sync(&img), 0, "a new opening is a new beginning");
    img_close(&img);
}

static void lost(void)
{
    brick_is_up(100);
    open_with("on");
    is(write_block() | flush_sync(&img) | write_block(), 0, "a write, a flush, a write");
    brick_is_up(90);
    is_lost("its brick was connected to anew");

    brick_is_up(100);
    open_with("on");
    is(write_block(), 0, "a write");
    brick_is("connected = 0\n");
    is_lost("its brick is away");

    brick_is_up(100);
    open_with("on");
    is(write_block(), 0, "a write");
    brick_is("connected = 0\n");
    be_looked_at();
    brick_is_up(1000);
    is_lost("its brick was away for a while");

    brick_is_up(100);
    open_with("on");
    is(img.drv->truncate(&img.bs, BYTES + BLOCK, NULL), 0, "a new length");
    brick_is_up(7);
    is_lost("its brick has forgotten it");
}

/* A flush does not cover what it finds in flight, of which the brick may have a part. */
static void in_flight(void)
{
    struct io write = {0};

    brick_is_up(100);
    open_with("on");
    fake.set_mode(FAKE_HELD, 0);
    ok(io_pwrite(&write, &img, data, BLOCK, 0), "a write that takes its time");
    is(flush_sync(&img), 0, "a flush that it outlasts");
    fake.set_mode(FAKE_THREAD, 0);
    brick_is("connected = 0\n");
    be_looked_at();
    brick_is_up(2000);
    be_looked_at();
    fake.release(FAKE_ANY_ASYNC, 0, FAKE_AS_IS);
    is(io_wait(&write), 0, "the write has succeeded");
    is_lost("its brick took a part of it along");
}

static void not_lost(void)
{
    struct img reader;

    brick_is_up(100);
    open_with("on");
    is(write_block() | flush_sync(&img), 0, "all is flushed");
    brick_is("connected = 0\n");
    be_looked_at();
    brick_is_up(7);
    be_looked_at();
    is(write_block() | flush_sync(&img), 0, "... when its brick goes and comes: flushes go on");

    is(write_block(), 0, "a write");
    fake.set_graph(1);
    brick_is_up(3);
    is(flush_sync(&img), 0, "a new graph has new connections");
    is(write_block(), 0, "a write");
    fake.set_graph(2);
    brick_is("connected = 0\n");
    is(flush_sync(&img), -EIO, "... unless a brick is away there");
    img_close(&img);

    brick_is_up(100);
    is(img_open(&reader, fake_uri("vol", "strict"), 0, "strict-flush", "on", NULL), 0, "a reader");
    is(pread_sync(&reader, data, BLOCK, 0), 0, "... that reads");
    brick_is_up(7);
    is(flush_sync(&reader), 0, "... has nothing to lose");
    img_close(&reader);
}

static void not_told(void)
{
    int rule;

    brick_is_up(100);
    open_with("on");
    is(write_block(), 0, "a write");
    fake_once(FAKE_READLINK, FAKE_FAIL, EIO, 0);
    is(flush_sync(&img), 0, "a client that does not tell is asked again");
    is(write_block(), 0, "a write");
    fake_once(FAKE_FSYNC, FAKE_FAIL, ENOTCONN, 0);
    is(flush_sync(&img), -ENOTCONN, "a flush that fails by itself");
    is(flush_sync(&img), 0, "... and one that does not");
    fake_once(FAKE_FSYNC, FAKE_FAIL, ENOTCONN, 0);
    is(write_block(), 0, "a write");
    is(flush_sync(&img), -ENOTCONN, "a flush that fails");
    brick_is_up(5);
    is(flush_sync(&img), -EIO, "... leaves unflushed what its brick takes along");
    img_close(&img);

    brick_is_up(100);
    open_with("on");
    is(write_block(), 0, "a write");
    rule = fake_always(FAKE_READLINK, FAKE_FAIL, EIO, 0);
    is(flush_sync(&img), -EIO, "a client that never tells is not believed");
    ok(t_reported("does not tell how its bricks are"), "... which is told");
    fake_calm(rule);
    img_close(&img);
}

/* A reopen and a lock that is given up flush, too. */
static void other_flushes(void)
{
    struct BlkError error = {.struct_size = sizeof(error)};

    brick_is_up(100);
    open_with("on");
    is(write_block(), 0, "a write");
    brick_is_up(7);
    is(img.drv->reopen_prepare(&img.bs, NULL, 0, &error), -EIO, "a reopen that flushes: %s", error.message);
    ok(strstr(error.message, "what was written since the last flush that succeeded may be lost") != NULL, "... says why");
    img_close(&img);

    brick_is_up(100);
    open_with("on");
    is(img.drv->reopen_prepare(&img.bs, NULL, BLK_O_RDWR | BLK_O_NOCACHE, &error), 0, "a reopen");
    img.drv->reopen_commit(&img.bs);
    is(write_block(), 0, "a write");
    brick_is_up(7);
    is(flush_sync(&img), -EIO, "... is watched as before");
    img_close(&img);
}

static void bad_values(void)
{
    const char *bad[] = {"", "yes", "1", "ON"};
    unsigned i;

    for (i = 0; i < T_COUNT(bad); i++)
        is(img_open(&img, fake_uri("vol", "strict"), BLK_O_RDWR, "strict-flush", bad[i], NULL), -EINVAL, "strict-flush='%s': %s",
           bad[i], img.error.message);
}

int main(void)
{
    fake_begin("with strict-flush=on no flush succeeds once a brick may have lost what was not flushed");
    fake_open(&img, "strict", BYTES);
    img_close(&img);
    off_by_default();
    lost();
    in_flight();
    not_lost();
    not_told();
    other_flushes();
    bad_values();
    return fake_end();
}
