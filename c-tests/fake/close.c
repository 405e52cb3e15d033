/* SPDX-License-Identifier: GPL-2.0-or-later */
/* close: every outstanding callback first, then the fd handler, then the file; also from inside callbacks. */
#include "on_fake.h"

enum { REQUESTS = 20 };

static const struct {
    int mode;
    const char *name;
} ways[] = {
    {FAKE_THREAD, "on another thread"},
    {FAKE_INLINE, "on the submitting thread"},
    {FAKE_BEFORE_RETURN, "before the submit returns"},
    {FAKE_DELAYED, "later"},
};

static struct img img, second;
static struct io io[REQUESTS], more[REQUESTS];
static char data[4096];

static int done_count(const struct io *some)
{
    int i, n = 0;

    for (i = 0; i < REQUESTS; i++)
        n += some[i].done;
    return n;
}

static void submit(struct io *some, struct img *image)
{
    int i;

    for (i = 0; i < REQUESTS; i++) {
        some[i].then = NULL;
        io_pwrite(&some[i], image, data, sizeof(data), (int64_t)i * 8192);
    }
}

static void with_requests_in_flight(int mode, const char *name)
{
    unsigned unwatched = t_unwatch_calls();

    fake_open(&img, "close", 0);
    fake.set_mode(mode, 3000);
    submit(io, &img);
    img_close(&img);
    is(done_count(io), REQUESTS, "%s: close has called every callback", name);
    is(t_unwatch_calls(), unwatched + 1, "... and removed the fd handler");
    fake.set_mode(FAKE_THREAD, 0);
}

static void *release_later(void *arg)
{
    (void)arg;
    usleep(100 * 1000);
    fake.release(FAKE_ANY_ASYNC, REQUESTS / 2, FAKE_AS_IS);
    usleep(100 * 1000);
    fake.release(FAKE_ANY_ASYNC, 0, ENOTCONN);
    return NULL;
}

static void waits(void)
{
    pthread_t thread;

    fake_open(&img, "close", 0);
    fake.set_mode(FAKE_HELD, 0);
    submit(io, &img);
    pthread_create(&thread, NULL, release_later, NULL);
    img_close(&img);
    is(done_count(io), REQUESTS, "close waits for requests that take their time");
    is(io[0].ret, 0, "those that succeeded");
    is(io[REQUESTS - 1].ret, -ENOTCONN, "and those that a dying brick failed");
    pthread_join(thread, NULL);
    fake.set_mode(FAKE_THREAD, 0);
}

/* ---- from inside callbacks ------------------------------------------------------------------------------------ */

static struct img *to_close;
static int closed_at;

static void close_it(struct io *self)
{
    (void)self;
    img_close(to_close);
    closed_at = done_count(io);
}

static void its_own_image(int mode, const char *name)
{
    int i;

    fake_open(&img, "close", 0);
    fake.set_mode(mode, 2000);
    for (i = 0; i < REQUESTS; i++) {
        io[i].then = i == 3 ? close_it : NULL;
        io_pwrite(&io[i], &img, data, sizeof(data), (int64_t)i * 8192);
    }
    to_close = &img;
    is(io_wait(&io[3]), 0, "%s: a callback closes its own image", name);
    is(closed_at, REQUESTS, "... which called all other callbacks inside");
    t_poll(0);
    fake.set_mode(FAKE_THREAD, 0);
}

static void another_image(int mode, const char *name)
{
    fake_open(&img, "close", 0);
    fake_open(&second, "close-2", 0);
    fake.set_mode(mode, 2000);
    submit(io, &img);
    submit(more, &second);
    io[3].then = close_it;
    to_close = &second;
    is(io_wait(&io[3]), 0, "%s: a callback closes another image", name);
    is(done_count(more), REQUESTS, "... with all its callbacks");
    img_close(&img);
    is(done_count(io), REQUESTS, "... its own image goes on");
    fake.set_mode(FAKE_THREAD, 0);
}

static void close_second(struct io *self)
{
    (void)self;
    img_close(&second);
}

static void close_first(struct io *self)
{
    (void)self;
    /* The other image's close, further up the stack, waits in its drain meanwhile. */
    img_close(&img);
}

static void each_other(int mode, const char *name)
{
    fake_open(&img, "close", 0);
    fake_open(&second, "close-2", 0);
    fake.set_mode(mode, 2000);
    submit(io, &img);
    submit(more, &second);
    io[0].then = close_second;
    more[REQUESTS - 1].then = close_first;
    is(io_wait(&io[0]), 0, "%s: two images are closed from each other's callbacks", name);
    is(done_count(io) + done_count(more), 2 * REQUESTS, "... every callback has run");
    ok(!img.is_open && !second.is_open, "... both are closed");
    t_poll(0);
    fake.set_mode(FAKE_THREAD, 0);
}

/* ---- the same BlkState anew ------------------------------------------------------------------------------------ */

static int reopened, written_anew;

static void reopen(struct io *self)
{
    struct BlkOption options[] = {{"filename", "gluster://fake/vol/close-2"}, {"keep-connection", "0"}, {NULL, NULL}};
    struct img *image = self->img;

    self->then = NULL;
    image->drv->close(&image->bs);
    reopened = image->drv->open(&image->bs, options, BLK_O_RDWR, &image->error);
    if (reopened == 0)
        written_anew = pwrite_sync(image, data, sizeof(data), 0);
}

static void the_same_state(int mode, const char *name)
{
    char copy[4096];

    fake_open(&second, "close-2", 0);
    img_close(&second);
    fake_open(&img, "close", 0);
    fake.set_mode(mode, 2000);
    submit(io, &img);
    io[5].then = reopen;
    reopened = written_anew = -1;
    is(io_wait(&io[5]), 0, "%s: a callback closes its image and opens another in the same BlkState", name);
    is(done_count(io), REQUESTS, "... all old callbacks have run");
    is(reopened, 0, "... it is open");
    is(written_anew, 0, "... and was written to inside the callback");
    ok(pread_sync(&img, copy, sizeof(copy), 0) == 0 && !memcmp(copy, data, sizeof(copy)), "... and is read from after it");
    img_close(&img);
    fake.set_mode(FAKE_THREAD, 0);
}

/* ---- what close may meet ---------------------------------------------------------------------------------------- */

static int refused, again;

static void use_while_closing(struct io *self)
{
    struct io late = {0};

    refused = io_pwrite(&late, self->img, data, sizeof(data), 0) ? 0 : late.ret;
    again = self->img->drv->drain(&self->img->bs);
}

static void requests_while_closing(void)
{
    fake_open(&img, "close", 0);
    fake.set_mode(FAKE_DELAYED, 20000);
    submit(io, &img);
    io[2].then = use_while_closing;
    img_close(&img);
    is(refused, -EBADF, "a request inside a callback that close calls is refused");
    is(again, 0, "... while drain works");
    is(done_count(io), REQUESTS, "... and the others end as always");
    fake.set_mode(FAKE_THREAD, 0);
}

static void failing(void)
{
    fake_open(&img, "close", 0);
    t_forget_reports();
    fake_once(FAKE_CLOSE, FAKE_FAIL, ENOSPC, 0);
    img_close(&img);
    is(t_reports_of(BLK_REPORT_ERROR), 1, "a glfs_close that fails is reported");
    ok(t_reported("ENOSPC") && t_reported("gluster://fake/vol/close"), "... with the image and the reason: %s",
       last_report());
    fake_open(&img, "close", 0);
    fake_once(FAKE_CLOSE, FAKE_FAIL, 0, 0);
    img_close(&img);
    ok(t_reported("EIO"), "... and with errno 0, too: %s", last_report());
}

int main(void)
{
    unsigned way;
    int fds, threads;

    fake_begin("close: all callbacks first, from anywhere, and nothing is left behind");
    fake_first_connection("close", 0);
    fds = fd_count();
    threads = thread_count();
    for (way = 0; way < T_COUNT(ways); way++) {
        with_requests_in_flight(ways[way].mode, ways[way].name);
        its_own_image(ways[way].mode, ways[way].name);
        another_image(ways[way].mode, ways[way].name);
        each_other(ways[way].mode, ways[way].name);
        the_same_state(ways[way].mode, ways[way].name);
    }
    waits();
    requests_while_closing();
    failing();
       ok(t_settles(fds, threads, 20), "no fd and no thread is left");
    return fake_end();
}
