/* SPDX-License-Identifier: GPL-2.0-or-later */
/* io_plug holds requests back, up to a bound and not against drain, cancel or close; io_unplug sends them together. */
#include "merging.h"

enum { COUNT = 20, MOST_PLUGGED = 64 };

static struct img img, second;
static struct batch batch, other;

static void plug(void)
{
    if (img.drv->io_plug(&img.bs) != 0)
        fail("plug");
    fake.set_trace(300);
}

static void unplug(void)
{
    if (img.drv->io_unplug(&img.bs) != 0)
        fail("unplug");
}

static uint64_t calls(void)
{
    return fake.trace_count();
}

static void reopen(void)
{
    if (img_open(&img, fake_uri("vol", "plug"), BLK_O_RDWR, NULL) < 0)
        t_die("cannot open it again: %s", img.error.message);
}

/* ---- what it is for ----------------------------------------------------------------------------------------------- */

static void together(void)
{
    struct io flush = {0}, elsewhere = {0};
    char data[UNIT];

    plug();
    batch_write(&batch, &img, 0, COUNT, 1);
    is(calls(), 0, "a plug holds %d writes back", COUNT);
    io_flush(&flush, &img);
    is(io_wait(&flush), 0, "... a flush not");
    is(calls(), 1, "... which is the only call");
    io_pread(&elsewhere, &second, data, sizeof(data), 0);
    is(io_wait(&elsewhere), 0, "... nor another image");
    is(batch_done(&batch), 0, "... while they wait");
    fake.set_trace(300);
    unplug();
    is(calls(), 1, "unplug sends them as one call");
    is(traced(0).length, COUNT * UNIT, "... of all bytes");
    ok(batch_wait(&batch) && batch_all_right(&batch), "... all end");
    ok(batch_stored(&batch), "... with the right data");
    plug();
    batch_read(&batch, &img, 0, COUNT, 1);
    unplug();
    ok(batch_wait(&batch) && batch_all_right(&batch), "the same with reads");
    is(calls(), 1, "... in one call");
}

static void backwards(void)
{
    static struct io io[COUNT];
    static char data[COUNT][UNIT];
    int i;

    plug();
    for (i = COUNT - 1; i >= 0; i--)
        io_pread(&io[i], &img, data[i], UNIT, (int64_t)i * UNIT);
    unplug();
    for (i = 0; i < COUNT; i++)
        if (io_wait(&io[i]) != 0 || !pattern_check(data[i], UNIT, 1, (int64_t)i * UNIT))
            fail("read %d of those that come backwards has its data", i);
}

static void nests(void)
{
    plug();
    plug();
    batch_write(&batch, &img, 0, COUNT, 2);
    unplug();
    is(calls(), 0, "two plugs, one unplug: nothing is sent");
    run_for(0.02);
    is(batch_done(&batch), 0, "... or called");
    unplug();
    is(calls(), 1, "the second unplug sends");
    ok(batch_wait(&batch) && batch_all_right(&batch), "... and all end");
}

static void in_order(void)
{
    struct io read = {0};
    static char got[COUNT * UNIT];

    plug();
    batch_write(&batch, &img, 0, COUNT, 3);
    batch_write(&other, &img, 0, COUNT, 4);
    io_pread(&read, &img, got, sizeof(got), 0);
    is(calls(), 0, "two writes over each other and a read wait");
    unplug();
    ok(batch_wait(&batch) && batch_wait(&other) && io_wait(&read) == 0, "all end");
    ok(pattern_check(got, sizeof(got), 4, 0), "the read has what the second wrote");
}

/* ---- the bound ---------------------------------------------------------------------------------------------------- */

static void bound_at_random(void)
{
    static struct io io[MOST_PLUGGED + 6];
    static char data[UNIT];
    int i;

    plug();
    for (i = 0; i < MOST_PLUGGED - 1; i++)
        io_pread(&io[i], &img, data, UNIT, (int64_t)i * 2 * UNIT);
    is(calls(), 0, "%d requests at random are held back", MOST_PLUGGED - 1);
    for (; i < (int)T_COUNT(io); i++) {
        io_pread(&io[i], &img, data, UNIT, (int64_t)i * 2 * UNIT);
        is(calls(), i - (MOST_PLUGGED - 2), "... of more, one is sent for each");
    }
    unplug();
    is(calls(), WINDOW, "unplug sends as many as the window holds");
    for (i = 0; i < (int)T_COUNT(io); i++)
        if (io_wait(&io[i]) != 0)
            fail("request %d ends well", i);
    is(calls(), T_COUNT(io), "... and then the others");
}

static void bound_in_order(void)
{
    plug();
    batch_write(&batch, &img, 0, MOST_PLUGGED - 1, 5);
    is(calls(), 0, "%d requests in order are held back", MOST_PLUGGED - 1);
    batch_write(&other, &img, (MOST_PLUGGED - 1) * UNIT, 10, 5);
    is(calls(), 1, "one more: they are sent");
    is(traced(0).length, MOST_PLUGGED * UNIT, "... together");
    unplug();
    ok(batch_wait(&batch) && batch_wait(&other) && batch_all_right(&batch) && batch_all_right(&other), "all end");
    is(calls(), 2, "... with the rest in a second call");
}

/* ---- a host that waits while it is plugged ------------------------------------------------------------------------ */

static void drains(void)
{
    struct io io = {0};
    char data[UNIT];

    plug();
    plug();
    batch_write(&batch, &img, 0, COUNT, 6);
    is(img.drv->drain(&img.bs), 0, "drain while plugged");
    ok(batch_done(&batch) == COUNT && batch_all_right(&batch), "... has called all callbacks");
    is(calls(), 1, "... after one call");
    io_pread(&io, &img, data, sizeof(data), 0);
    is(calls(), 2, "... and has pulled the plug");
    is(io_wait(&io), 0, "... so that a request ends");
    unplug();
    unplug();
    plug();
    io_pread(&io, &img, data, sizeof(data), 0);
    is(calls(), 0, "the unplugs that were left over do not count against the next plug");
    unplug();
    is(io_wait(&io), 0, "... whose own does");
}

static int plugged_inside;

static void plug_inside(struct io *self)
{
    int number = ++plugged_inside;

    img.drv->io_plug(&img.bs);
    if (number < 10)
        io_pwrite(self, &img, batch.data[0], UNIT, 0);
}

static void drain_against_a_plug(void)
{
    plugged_inside = 0;
    batch.io[0].then = plug_inside;
    batch.count = 1;
    io_pwrite(&batch.io[0], &img, batch.data[0], UNIT, 0);
    is(img.drv->drain(&img.bs), 0, "drain, while each callback plugs and submits");
    is(plugged_inside, 10, "... ends with the last of them");
    batch.io[0].then = NULL;
    is(img.drv->drain(&img.bs), 0, "drain again");
}

static void cancels(void)
{
    int i;

    plug();
    batch_write(&batch, &img, 0, COUNT, 7);
    img.drv->aio_cancel(batch.io[4].acb);
    ok(batch.io[4].done == 1 && batch.io[4].ret == -ECANCELED, "cancel while plugged");
    is(batch_done(&batch), 1, "... calls no other");
    img.drv->aio_cancel_async(batch.io[9].acb);
    ok(wait_for(&batch.io[9].done, 1, 10) && batch.io[9].ret == -ECANCELED, "cancel_async while plugged");
    is(calls(), 0, "... and sends nothing");
    unplug();
    /* The second is a call of many in a stream: the third waits for it. */
    is(calls(), 2, "unplug sends two of the three pieces that are left");
    ok(batch_wait(&batch), "all end");
    is(calls(), 3, "... the third has gone as one, too");
    for (i = 0; i < COUNT; i++)
        if (i != 4 && i != 9 && !batch_right(&batch, i))
            fail("request %d ends well", i);
}

static void closes(void)
{
    plug();
    plug();
    batch_write(&batch, &img, 0, COUNT, 8);
    img_close(&img);
    ok(batch_done(&batch) == COUNT && batch_all_right(&batch), "close while plugged has called all callbacks");
    reopen();
    ok(batch_stored(&batch), "... and written all: an image that is opened anew is not plugged");
}

static void unplug_inside(struct io *self)
{
    (void)self;
    unplug();
}

static void from_a_callback(void)
{
    struct io flush = {0};

    plug();
    batch_write(&batch, &img, 0, COUNT, 9);
    flush.then = unplug_inside;
    io_flush(&flush, &img);
    ok(batch_wait(&batch) && batch_all_right(&batch) && flush.done, "a callback that unplugs");
}

/* ---- misuse ------------------------------------------------------------------------------------------------------- */

static void misuse(void)
{
    struct io io = {0};
    char data[UNIT];

    is(img.drv->io_unplug(&img.bs), 0, "unplug without plug");
    is(img.drv->io_unplug(&img.bs), 0, "... again");
    plug();
    io_pread(&io, &img, data, sizeof(data), 0);
    is(calls(), 0, "... does not count against the next plug");
    unplug();
    is(io_wait(&io), 0, "... which is undone by its own");
    is(img.drv->io_plug(NULL), -EINVAL, "plug of no image");
    is(img.drv->io_unplug(NULL), -EINVAL, "unplug of no image");
    img.drv->close(&img.bs);
    is(img.drv->io_plug(&img.bs), -EBADF, "plug of a closed image");
    is(img.drv->io_unplug(&img.bs), -EBADF, "unplug of a closed image");
    img.is_open = false;
    img_close(&img);
    reopen();
}

/* ---- two threads -------------------------------------------------------------------------------------------------- */

static void *plug_and_submit(void *arg)
{
    int i;

    (void)arg;
    for (i = 0; i < 300; i++) {
        plug();
        batch_write(&batch, &img, 0, COUNT, 10);
        unplug();
        while (batch_done(&batch) < COUNT)
            usleep(10);
    }
    return NULL;
}

static void *plug_often(void *arg)
{
    const int *stop = arg;

    while (!__atomic_load_n(stop, __ATOMIC_ACQUIRE)) {
        img.drv->io_plug(&img.bs);
        img.drv->io_unplug(&img.bs);
        /* Lets the others run where threads take turns, as under valgrind. */
        usleep(20);
    }
    return NULL;
}

static int submitted_all;

static void *submitter(void *arg)
{
    plug_and_submit(arg);
    __atomic_store_n(&submitted_all, 1, __ATOMIC_RELEASE);
    return NULL;
}

static void from_other_threads(void)
{
    static int stop;
    pthread_t threads[2];

    pthread_create(&threads[0], NULL, submitter, NULL);
    pthread_create(&threads[1], NULL, plug_often, &stop);
    if (!wait_for(&submitted_all, 1, 60))
        t_die("nobody polls any more, and the submitter waits");
    ok(true, "two threads plug and unplug while a third one polls");
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    ok(batch_all_right(&batch), "... all end well");
}

int main(void)
{
    fake_begin("io_plug holds back, io_unplug sends together, nothing hangs on it");
    fake_open(&img, "plug", 300 * UNIT);
    fake_open(&second, "plug-2", UNIT);
    together();
    backwards();
    nests();
    in_order();
    bound_at_random();
    bound_in_order();
    drains();
    drain_against_a_plug();
    cancels();
    closes();
    from_a_callback();
    misuse();
    from_other_threads();
    img_close(&img);
    img_close(&second);
    return fake_end();
}
