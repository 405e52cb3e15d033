/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The open image that all connections share, and its poller.
 *
 * One image for all connections, not one for each, for three reasons:
 *   Flush      blkgluster promises that a flush covers every write of the same image whose callback came before it.
 *              NBD's multi-conn (NBD_FLAG_CAN_MULTI_CONN) promises that a flush on one connection covers what was
 *              acknowledged on all, which with one image is the same promise, and with several would be none.
 *   Order      Requests that overlap are sent in the order in which they were submitted to one image; and a read that
 *              follows a write's reply on another connection finds it, as all go through the same open file.
 *   Ownership  To blkgluster a second opening is a second user of the image: one more file on the bricks, an idea of
 *              its own of the image's length, and a stranger to the first one's locks.
 * What it costs is small: the one poller can hand out far more completions than the bricks send.
 *
 * It is open while there are connections. So a server that nobody uses holds nothing on the bricks. In between
 * blkgluster keeps the connection to the volume warm (keep-connection). With write-cache=on it is flushed before it is
 * closed, and when that fails no flush succeeds any more, of whatever opening: to a client that comes again a flush has
 * to cover what the server acknowledged before.
 *
 * `nbdkit -r` and filters ask for a read-only opening: that is an image of its own, since one that was opened for
 * reading could not be written. All connections of one server ask for the same, so that all share one still.
 */
#include "plugin.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static bool ended;
static struct image images[2] = {
    {.lock = PTHREAD_MUTEX_INITIALIZER, .readonly = false},
    {.lock = PTHREAD_MUTEX_INITIALIZER, .readonly = true},
};

int state_init(BlkState *bs, const BlkDriver *drv)
{
    memset(bs, 0, sizeof(*bs));
    bs->struct_size = sizeof(*bs);
    bs->drv = drv;
    bs->opaque = calloc(1, drv->instance_size);
    if (!bs->opaque) {
        nbdkit_error("calloc: %m");
        return -1;
    }
    return 0;
}

void state_free(BlkState *bs)
{
    free(bs->opaque);
    bs->opaque = NULL;
}

struct last_flush {
    bool done;
    int result;
};

static void on_flushed(void *opaque, int result)
{
    struct last_flush *flush = opaque;

    flush->done = true;
    flush->result = result;
}

/* By the poller. */
static void flush_last(struct image *image, struct pollfd *completions)
{
    struct last_flush flush = {.done = false};

    if (!image->drv->aio_flush(&image->bs, on_flushed, &flush))
        image->lost = true;
    while (!image->lost && !flush.done)
        if (poll(completions, 1, -1) > 0)
            image->drv->dispatch(&image->bs);
    image->lost |= flush.result < 0;
}

/* For nbdkit -v. The text tells only what has happened, so that it fits. */
static void tell_statistics(struct image *image)
{
    char text[4096], *line, *rest = NULL;
    BlkError error = {.struct_size = sizeof(error)};

    if (!HAS_SLOT(image->drv, format_statistics) ||
        image->drv->format_statistics(&image->bs, BLK_STATISTICS_TEXT, text, sizeof(text), &error) < 0)
        return;
    for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        nbdkit_debug("%s", line);
}

/* Calls the callbacks of all requests. Also closes the image, which blkgluster wants from the thread that polls it. */
static void *poller(void *arg)
{
    struct image *image = arg;
    struct pollfd fds[2] = {
        {.fd = image->drv->get_completion_fd(&image->bs), .events = POLLIN},
        {.fd = image->stop, .events = POLLIN},
    };

    /* Nothing is in flight when `stop` comes, for each connection waits for its requests; close drains all the same. */
    while (!fds[1].revents)
        if (poll(fds, 2, -1) > 0 && fds[0].revents)
            image->drv->dispatch(&image->bs);
    if (!image->readonly && !params.readonly && params.write_cache)
        flush_last(image, &fds[0]);
    tell_statistics(image);
    image->drv->close(&image->bs);
    return NULL;
}

/* Signals are for nbdkit's own threads. */
static int start_poller(struct image *image)
{
    sigset_t all, before;
    int error;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&image->poller, NULL, poller, image);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

static int image_open(struct image *image)
{
    BlkOption *options = params_options(NULL);
    BlkError error = {.struct_size = sizeof(error)};
    int result;

    image->drv = params.drv;
    if (!options || state_init(&image->bs, image->drv) < 0) {
        free(options);
        return -1;
    }
    result = image->drv->open(&image->bs, options, image->readonly ? 0 : BLK_O_RDWR, &error);
    free(options);
    if (result < 0) {
        nbdkit_error("%s", error.message);
        goto no_image;
    }
    image->stop = eventfd(0, EFD_CLOEXEC);
    if (image->stop < 0) {
        nbdkit_error("eventfd: %m");
        goto no_stop;
    }
    result = start_poller(image);
    if (result != 0) {
        errno = result;
        nbdkit_error("pthread_create: %m");
        goto no_poller;
    }
    return 0;

no_poller:
    close(image->stop);
no_stop:
    image->drv->close(&image->bs);
no_image:
    state_free(&image->bs);
    return -1;
}

static void image_close(struct image *image)
{
    eventfd_write(image->stop, 1); /* cannot fail, as it is written once only */
    pthread_join(image->poller, NULL);
    close(image->stop);
    state_free(&image->bs);
}

struct image *image_get(bool readonly)
{
    struct image *image = &images[readonly || params.readonly], *result = NULL;

    /* Held while it is opened: who comes meanwhile waits for the same. */
    pthread_mutex_lock(&image->lock);
    if (ended)
        nbdkit_error("the server is about to end");
    else if (image->users > 0 || image_open(image) == 0)
        result = image;
    if (result)
        image->users++;
    pthread_mutex_unlock(&image->lock);
    return result;
}

void image_put(struct image *image)
{
    pthread_mutex_lock(&image->lock);
    if (--image->users == 0)
        image_close(image);
    pthread_mutex_unlock(&image->lock);
}

void images_end(void)
{
    unsigned i;

    for (i = 0; i < sizeof(images) / sizeof(images[0]); i++) {
        struct image *image = &images[i];

        pthread_mutex_lock(&image->lock);
        ended = true;
        if (image->users > 0)
            image_close(image);
        image->users = 0;
        pthread_mutex_unlock(&image->lock);
    }
}
