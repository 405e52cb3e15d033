/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A host without set_fd_handler: get_completion_fd is readable while a callback waits, dispatch calls them. */
#include <fcntl.h>
#include <poll.h>

#include "on_fake.h"

/* As many as are sent at once. */
enum { REQUESTS = 60 };

static struct img img;
static struct io io[REQUESTS];
static char data[512];
static int fd;

static bool readable(int timeout_ms)
{
    struct pollfd it;

    it.fd = fd;
    it.events = POLLIN;
    return poll(&it, 1, timeout_ms) == 1;
}

static int done_count(void)
{
    int i, n = 0;

    for (i = 0; i < REQUESTS; i++)
        n += io[i].done;
    return n;
}

static void submit(int count)
{
    int i;

    memset(io, 0, sizeof(io));
    for (i = 0; i < count; i++)
        io_pwrite(&io[i], &img, data, sizeof(data), i * 1024);
}

static void dispatch_until(int count)
{
    while (done_count() < count && readable(10000))
        if (img.drv->dispatch(&img.bs) < 0)
            fail("dispatch works");
    is(done_count(), count, "poll and dispatch deliver all of %d requests", count);
}

static void one_by_one(void)
{
    int i;

    fake.set_mode(FAKE_HELD, 0);
    ok(!readable(0), "the fd is not readable when nothing is in flight");
    is(img.drv->dispatch(&img.bs), 0, "dispatch has nothing to do");
    submit(3);
    ok(!readable(20), "... nor while requests are");
    is(img.drv->dispatch(&img.bs), 0, "dispatch does not wait");
    for (i = 1; i <= 3; i++) {
        fake.release(FAKE_ANY_ASYNC, 1, FAKE_AS_IS);
        ok(readable(10000), "it is when one of them is done");
        ok(readable(0), "it stays so until dispatch");
        is(img.drv->dispatch(&img.bs), 1, "dispatch calls its callback");
        is(done_count(), i, "... and no other's");
        ok(!readable(20), "then it is not readable again");
    }
}

static void all_at_once(void)
{
    fake.set_mode(FAKE_INLINE, 0);
    submit(REQUESTS);
    is(done_count(), 0, "no callback without dispatch");
    ok(readable(0), "the fd is readable");
    is(img.drv->dispatch(&img.bs), REQUESTS, "one dispatch calls all that are ready");
    ok(!readable(0), "the fd is not readable any more");
}

/* Leaving the loop in a callback (a longjmp is not needed, an event loop with priorities is enough) loses nothing. */
static int nested_dispatches;

static void dispatch_inside(struct io *self)
{
    (void)self;
    ok(readable(0), "inside the first callback the fd is readable for the others");
    nested_dispatches = img.drv->dispatch(&img.bs);
}

static void nested(void)
{
    fake.set_mode(FAKE_INLINE, 0);
    memset(io, 0, sizeof(io));
    io[0].then = dispatch_inside;
    io_pwrite(&io[0], &img, data, sizeof(data), 0);
    io_pwrite(&io[1], &img, data, sizeof(data), 0);
    io_pwrite(&io[2], &img, data, sizeof(data), 0);
    is(img.drv->dispatch(&img.bs), 1, "the outer dispatch calls one");
    is(nested_dispatches, 2, "a dispatch inside its callback the other two");
}

static void wake_up_after_close(void)
{
    char byte;

    fake.set_mode(FAKE_INLINE, 0);
    submit(1);
    img.drv->close(&img.bs);
    is(done_count(), 1, "close calls what dispatch would have");
    is(read(fd, &byte, 1), -1, "the fd is closed after close");
    is(img.drv->get_completion_fd(&img.bs), -EBADF, "there is no fd after close");
    is(img.drv->dispatch(&img.bs), -EBADF, "there is nothing to dispatch after close");
    img.is_open = false;
    free(img.bs.opaque);
}

int main(void)
{
    struct BlkHost host = t_host();

    host.set_fd_handler = NULL;
    fake_begin_with("a host may poll the completion fd itself", &host);
    fake_open(&img, "own-poll", 0);
    is(t_watch_calls(), 0, "set_fd_handler was not called");
    fd = img.drv->get_completion_fd(&img.bs);
    ok(fd >= 0, "the completion fd");
    ok(fcntl(fd, F_GETFD) & FD_CLOEXEC, "... is not inherited by other programs");
    one_by_one();
    all_at_once();
    nested();
    fake.set_mode(FAKE_THREAD, 0);
    submit(REQUESTS);
    dispatch_until(REQUESTS);
    fake.set_mode(FAKE_DELAYED, 1000);
    submit(REQUESTS);
    dispatch_until(REQUESTS);
    wake_up_after_close();
    return fake_end();
}
