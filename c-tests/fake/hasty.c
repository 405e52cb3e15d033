/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An image is closed the moment its last callback has run, while the thread that completed the request, libgfapi's or for
 * a flush the library's own, may not have left the library yet: what that thread still touches must stay. */
#include "on_fake.h"

static int rounds;

/* Without a poll: that would give the other thread the time it needs. */
static void close_at_once(struct img *img, int way, bool flush)
{
    struct io io = {0};
    char byte;

    if (img_open(img, fake_uri("vol", "hasty"), BLK_O_RDWR, NULL) < 0)
        t_die("cannot open it: %s", img->error.message);
    if (flush)
        io_flush(&io, img);
    else
        io_pread(&io, img, &byte, 1, 0);
    if (way == 0)
        while (!io.done)
            img->drv->dispatch(&img->bs);
    else if (way == 1)
        img->drv->aio_cancel(io.acb);
    else if (way == 2)
        img->drv->drain(&img->bs);
    img_close(img);
    /* A flush may not have got a thread yet when it is cancelled. */
    rounds += io.done == 1 && (io.ret == 0 || (io.ret == -ECANCELED && flush && way == 1));
}

static void *all_day(void *arg)
{
    volatile uint64_t spins = 0;

    while (!__atomic_load_n((int *)arg, __ATOMIC_RELAXED))
        spins++;
    return NULL;
}

int main(void)
{
    static const int modes[] = {FAKE_THREAD, FAKE_BEFORE_RETURN, FAKE_DELAYED};
    enum { ROUNDS = 20000, SPINNERS = 3 };
    int64_t end;
    struct img keeper, img;
    pthread_t spinners[SPINNERS];
    int i, stop = 0, wanted = 0;

    fake_begin("a close right behind the last callback");
    fake_open(&keeper, "hasty", 4096);
    /* So that threads are interrupted anywhere. */
    for (i = 0; i < SPINNERS; i++)
        pthread_create(&spinners[i], NULL, all_day, &stop);
    end = now_us() + 5000000;
    for (; wanted < ROUNDS && now_us() < end; wanted++) {
        fake.set_mode(modes[wanted % T_COUNT(modes)], (uint64_t)wanted % 100);
        close_at_once(&img, wanted / (int)T_COUNT(modes) % 4, wanted % 2);
    }
    is(rounds, wanted, "%d images were opened, used and closed", wanted);
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (i = 0; i < SPINNERS; i++)
        pthread_join(spinners[i], NULL);
    fake.set_mode(FAKE_THREAD, 0);
    img_close(&keeper);
    return fake_end();
}
