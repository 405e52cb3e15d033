/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "compat.h"

#include "host.h"
#include "image.h"

#include <poll.h>

/*
 * The completion fd in one AioContext. A value of its own, since an iothread may still be polling it when the main
 * thread has taken the handler away: it is freed by that AioContext, after its present round. blkgluster's handler may
 * come late, too; it then does nothing.
 */
struct Watch {
    int fd;
    BlkFdHandler on_readable;
    void *arg;
};

/* A callback may close the image: nothing of `watch` is touched after the call. */
static void watch_readable(void *opaque)
{
    Watch *watch = opaque;

    watch->on_readable(watch->arg);
}

static bool watch_poll(void *opaque)
{
    Watch *watch = opaque;
    struct pollfd fd = { .fd = watch->fd, .events = POLLIN };

    return poll(&fd, 1, 0) > 0;
}

static void watch_free(void *opaque)
{
    g_free(opaque);
}

void image_watch(GlusterImage *image, AioContext *ctx)
{
    image->ctx = ctx;
    if (!image->on_readable || image->watch) {
        return;
    }
    image->watch = g_new(Watch, 1);
    *image->watch = (Watch){ image->fd, image->on_readable, image->arg };
    set_fd_handler(ctx, image->fd, watch_readable, watch_poll, image->watch);
}

void image_unwatch(GlusterImage *image)
{
    if (!image->watch) {
        return;
    }
    set_fd_handler(image->ctx, image->fd, NULL, NULL, NULL);
    aio_bh_schedule_oneshot(image->ctx, watch_free, image->watch);
    image->watch = NULL;
}

int image_set_fd_handler(void *opaque, BlkState *state, int fd, BlkFdHandler on_readable, void *arg)
{
    GlusterImage *image = state->host_data;

    (void)opaque;
    if (!on_readable) {
        image_unwatch(image);
    }
    image->fd = fd;
    image->on_readable = on_readable;
    image->arg = arg;
    image_watch(image, image->ctx);
    return 0;
}

int image_open(GlusterImage **out, const BlkOption *location, int flags, AioContext *ctx, Error **errp)
{
    BlkError error = { .struct_size = sizeof(error) };
    GlusterImage *image = g_new0(GlusterImage, 1);
    uint32_t blk_flags = 0;
    int ret;

    image->blk = host_driver(location_uri(location));
    image->ctx = ctx;
    image->state.struct_size = sizeof(image->state);
    image->state.drv = image->blk;
    image->state.opaque = g_malloc0(image->blk->instance_size);
    image->state.host_data = image;
    blk_flags |= flags & BDRV_O_RDWR ? BLK_O_RDWR : 0;
    blk_flags |= flags & BDRV_O_NOCACHE ? BLK_O_NOCACHE : 0;
    blk_flags |= location_has_lock(location) ? BLK_O_LOCK_LATER : 0;

    image->limits.struct_size = sizeof(image->limits);

    ret = image->blk->open(&image->state, location, blk_flags, &error);
    if (ret < 0) {
        error_setg(errp, "%s", error.message);
        goto fail;
    }
    ret = image->blk->get_limits(&image->state, &image->limits, &error);
    if (ret < 0) {
        error_setg(errp, "%s", error.message);
        image->blk->close(&image->state);
        goto fail;
    }
    *out = image;
    return 0;

fail:
    g_free(image->state.opaque);
    g_free(image);
    return ret;
}

void image_close(GlusterImage *image)
{
    if (image) {
        image->blk->close(&image->state);
        g_free(image->state.opaque);
        g_free(image);
    }
}
