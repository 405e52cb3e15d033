/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fd that close closes is polled by nobody, whoever is about to have it polled on another thread. */
#include <semaphore.h>

#include "on_fake.h"

static struct img img;
static sem_t inside, go_on;
static bool slow, closes;
static int watched = -1;

static int set_fd_handler(void *opaque, struct BlkState *bs, int fd, BlkFdHandler handler, void *arg)
{
    (void)opaque;
    (void)bs;
    (void)arg;
    watched = handler ? fd : -1;
    if (!handler || !slow)
        return 0;
    if (closes) {
        img_close(&img);
        return 0;
    }
    sem_post(&inside);
    sem_wait(&go_on);
    return 0;
}

static void open_it(void)
{
    slow = closes = false;
    if (img_open(&img, fake_uri("vol", "attached"), BLK_O_RDWR, NULL))
        t_die("cannot open: %s", img.error.message);
}

static void *attach(void *arg)
{
    img.drv->attach_fd_handler(&img.bs, NULL);
    return arg;
}

static void *go_on_later(void *arg)
{
    usleep(300 * 1000);
    sem_post(&go_on);
    return arg;
}

static void close_beside_attach(void)
{
    pthread_t attaching, later;
    struct BlkError error = {.struct_size = sizeof(error)};

    open_it();
    is(img.drv->detach_fd_handler(&img.bs), 0, "an image that is not polled");
    slow = true;
    pthread_create(&attaching, NULL, attach, NULL);
    sem_wait(&inside);
    pthread_create(&later, NULL, go_on_later, NULL);
    img_close(&img);
    is(watched, -1, "is closed while another thread has it polled: it is not, when close returns");
    pthread_join(attaching, NULL);
    pthread_join(later, NULL);
    is(watched, -1, "... nor later");
    is(img.drv->attach_fd_handler(&img.bs, &error), -EINVAL, "... nor can it be: %s", error.message);
}

/* Nobody should, but then it must not wait for itself. */
static void close_inside_attach(void)
{
    open_it();
    is(img.drv->detach_fd_handler(&img.bs), 0, "an image that is not polled");
    slow = closes = true;
    attach(NULL);
    ok(true, "a close inside of set_fd_handler returns");
}

int main(void)
{
    struct BlkHost host;
    struct BlkError error = {.struct_size = sizeof(error)};

    sem_init(&inside, 0, 0);
    sem_init(&go_on, 0, 0);
    fake_begin_bare("after close the host polls no fd of the image");
    host = t_host();
    host.set_fd_handler = set_fd_handler;
    if (t_init_function()(&host) < 0 || img_create(fake_uri("vol", "attached"), "4096", &error) < 0)
        t_die("cannot begin: %s", error.message);
    close_beside_attach();
    close_inside_attach();
    return fake_end();
}
