/* SPDX-License-Identifier: GPL-2.0-or-later */
/* getlength counts every acknowledged write, and asks the bricks only while no write grows the image: GlusterFS 10.3's
 * sharding would remember an answer that lacks that write. */
#include "on_fake.h"

static struct img img;
static char data[4096];

static bool asks(int64_t wanted, const char *when)
{
    uint64_t before = fake_calls(FAKE_FSTAT);

    is(img.drv->getlength(&img.bs), wanted, "%s: the length", when);
    return fake_calls(FAKE_FSTAT) > before;
}

static void after(int64_t wanted, const char *when)
{
    ok(asks(wanted, when), "%s: the bricks are asked", when);
}

static void during(int64_t wanted, const char *when)
{
    ok(!asks(wanted, when), "%s: they are not asked", when);
}

static void growing(void)
{
    struct io first = {0}, second = {0}, within = {0};
    uint64_t before;

    fake.set_mode(FAKE_HELD, 0);
    io_pwrite(&within, &img, data, 4096, 0);
    after(4096, "a write within the image is in flight");
    io_pwrite(&first, &img, data, 4096, 8192);
    during(4096, "a write past the end is in flight");
    io_pwrite(&second, &img, data, 4096, 65536);
    fake.release(FAKE_ANY_ASYNC, 2, FAKE_AS_IS);
    is(io_wait(&within) | io_wait(&first), 0, "the first two are done");
    during(12288, "another one is still in flight");
    before = fake_calls(FAKE_FSTAT);
    ok(img.drv->get_allocated_file_size(&img.bs) >= 0, "the space is known");
    ok(io_discard(&within, &img, 4096, 20480), "a discard past what is known of the image");
    is(fake_calls(FAKE_FSTAT), before, "... neither asks the bricks");
    fake.release(FAKE_ANY_ASYNC, 0, FAKE_AS_IS);
    is(io_wait(&second), 0, "it is done");
    after(69632, "no write is in flight");
    fake.set_mode(FAKE_THREAD, 0);
}

/* Each way for such a write to end has to end the growth, too. */
static void that_fails(int action, const char *how)
{
    struct io io = {0};

    fake_once(FAKE_PWRITEV_ASYNC, action, ENOSPC, 0);
    io_pwrite(&io, &img, data, 4096, 1 * MiB);
    ok(io_wait(&io) < 0, "a write past the end %s", how);
    after(69632, how);
}

static void that_is_called_off(void)
{
    struct io io = {0};

    img.drv->io_plug(&img.bs);
    io_pwrite(&io, &img, data, 4096, 1 * MiB);
    during(69632, "a write past the end waits behind a plug");
    img.drv->aio_cancel(io.acb);
    is(io.ret, -ECANCELED, "it is called off");
    after(69632, "called off");
    img.drv->io_unplug(&img.bs);
}

static void that_is_refused(void)
{
    struct io io = {0};

    ok(!io_pwrite(&io, &img, data, 4096, INT64_C(4) << 50), "a write past 4 PiB is refused");
    after(69632, "refused");
}

static void changed_by_truncate(void)
{
    is(img.drv->truncate(&img.bs, 8192, NULL), 0, "a shrink");
    after(8192, "shrunk");
    is(pwrite_sync(&img, data, 4096, 8192), 0, "a write at the new end");
    after(12288, "grown again");
    is(img.drv->truncate(&img.bs, 1 * MiB, NULL), 0, "a growth");
    after(1 * MiB, "grown");
    is(img.drv->truncate(&img.bs, 0, NULL), 0, "an end at 0");
    after(0, "emptied");
}

int main(void)
{
    fake_begin("the length: every acknowledged write, and no question at the wrong time");
    fake_open(&img, "length", 4096);
    growing();
    that_fails(FAKE_FAIL, "that fails");
    that_fails(FAKE_REFUSE, "that libgfapi refuses");
    that_fails(FAKE_ZERO, "that writes nothing");
    that_is_called_off();
    that_is_refused();
    changed_by_truncate();
    img_close(&img);
    return fake_end();
}
