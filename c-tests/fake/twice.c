/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls at the wrong time: open twice, close twice, everything after close, a handler that is called once too often. */
#include "on_fake.h"

static struct img img;
static char data[512];

static void open_twice(void)
{
    struct BlkOption options[] = {{"filename", "gluster://fake/vol/twice"}, {"keep-connection", "0"}, {NULL, NULL}};
    unsigned watched = t_watched();
    uint64_t opens = fake_calls(FAKE_OPEN);
    char before[64];

    memcpy(before, img.bs.opaque, img.drv->instance_size);
    is(img.drv->open(&img.bs, options, BLK_O_RDWR, &img.error), -EBUSY, "a second open of one BlkState");
    ok(strstr(img.error.message, "open already") != NULL, "... %s", img.error.message);
    is(memcmp(before, img.bs.opaque, img.drv->instance_size), 0, "... leaves it alone");
    is(t_watched(), watched, "... and the fd handlers");
    is(fake_calls(FAKE_OPEN), opens, "... and does not come to libgfapi");
    is(pwrite_sync(&img, data, sizeof(data), 0), 0, "... which works as before");
}

static void close_twice(void)
{
    struct img other;

    fake_open(&other, "twice", 4096);
    img.drv->close(&img.bs);
    is(all_bytes(img.bs.opaque, img.drv->instance_size, 0), 1, "close leaves opaque zeroed");
    is(t_watched(), 1, "only the other image's fd is watched");
    t_forget_reports();
    img.drv->close(&img.bs);
    is(t_reports_of(BLK_REPORT_ERROR), 1, "a second close is reported: %s", last_report());
    is(pwrite_sync(&other, data, sizeof(data), 0), 0, "... and does nothing to another image");
    is(t_watched(), 1, "... nor to its handler");
    img_close(&other);
    img.is_open = false;
}

static void after_close(BlkFdHandler on_readable, void *arg)
{
    struct io io = {0};
    struct img other;

    ok(!io_pread(&io, &img, data, sizeof(data), 0) && io.ret == -EBADF, "a read after close");
    ok(!io_flush(&io, &img) && io.ret == -EBADF, "a flush after close");
    is(img.drv->getlength(&img.bs), -EBADF, "getlength after close");
    is(img.drv->truncate(&img.bs, 0, NULL), -EBADF, "truncate after close");
    is(img.drv->drain(&img.bs), -EBADF, "drain after close");
    on_readable(arg);
    on_readable(NULL);
    on_readable((void *)(intptr_t)-1);
    on_readable((void *)(intptr_t)0x12345678);
    ok(true, "a handler that is called after close does nothing");

    /* Most likely in the same place as the one before. */
    fake_open(&other, "twice", 4096);
    fake.set_mode(FAKE_INLINE, 0);
    io_pwrite(&io, &other, data, sizeof(data), 0);
    on_readable(arg);
    is(io.done, 0, "... nor to an image that was opened since");
    is(io_wait(&io), 0, "... whose own handler works");
    fake.set_mode(FAKE_THREAD, 0);
    img_close(&other);
}

static void too_often(BlkFdHandler on_readable, void *arg)
{
    struct io io = {0};
    int i;

    for (i = 0; i < 10; i++)
        on_readable(arg);
    ok(true, "a handler that is called without need does nothing");
    fake.set_mode(FAKE_INLINE, 0);
    io_pwrite(&io, &img, data, sizeof(data), 0);
    for (i = 0; i < 10; i++)
        on_readable(arg);
    is(io.done, 1, "... and calls a callback once");
    fake.set_mode(FAKE_THREAD, 0);
}

static void open_after_close(void)
{
    struct BlkOption options[] = {{"filename", "gluster://fake/vol/twice"}, {"keep-connection", "0"}, {NULL, NULL}};

    is(img.drv->open(&img.bs, options, BLK_O_RDWR, &img.error), 0, "the same BlkState is opened again");
    img.is_open = true;
    is(pwrite_sync(&img, data, sizeof(data), 0), 0, "... and works");
}

/* ---- calls from inside set_fd_handler and register_driver ------------------------------------------------------ */

static int from_inside;

static int uses_it_at_once(void *opaque, struct BlkState *bs, int fd, BlkFdHandler on_readable, void *arg)
{
    struct io io = {0};

    (void)opaque;
    (void)fd;
    if (on_readable) {
        on_readable(arg);
        io_begin(&io, &img);
        if (!io_end(&io, drv_for("gluster:")->aio_flush(bs, io_done, &io)))
            from_inside = io.ret;
    }
    return 0;
}

static void a_hasty_host(void)
{
    struct BlkHost host = t_host();
    struct img hasty;

    host.set_fd_handler = uses_it_at_once;
    is(t_driver(0)->release(), 0, "another host");
    t_forget_drivers();
    is(t_init_function()(&host), 0, "which uses the image while it is being opened");
    is(img_open(&hasty, fake_uri("vol", "twice"), 0, NULL), 0, "... the open succeeds");
    is(from_inside, -EBADF, "... the use is refused");
    img_close(&hasty);
}

int main(void)
{
    BlkFdHandler on_readable;
    void *arg;

    fake_begin("calls at the wrong time");
    fake_open(&img, "twice", 4096);
    on_readable = t_last_handler(&arg);
    open_twice();
    too_often(on_readable, arg);
    close_twice();
    after_close(on_readable, arg);
    open_after_close();
    img_close(&img);
    a_hasty_host();
    return fake_end();
}
