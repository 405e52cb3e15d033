/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "compat.h"

#include "host.h"
#include "image.h"

/*
 * The completion fd in one AioContext. A value of its own, since an iothread may still be polling it when the main
 * thread has taken the handler away: it is freed by that AioContext, after its present round, and keeps the image's
 * memory until then. blkgluster's handler may come late, too, and may be asked whether the image is ready when that is
 * closed; it then does nothing, or says no.
 */
struct Watch {
    GlusterImage *image;
    int fd;
    BlkFdHandler on_readable;
    void *arg;
};

static void image_unref(GlusterImage *image)
{
    if (qatomic_fetch_dec(&image->refs) == 1) {
        g_free(image->state.opaque);
        g_free(image);
    }
}

/* A callback may close the image: nothing of `watch` is touched after the call. */
static void watch_readable(void *opaque)
{
    Watch *watch = opaque;

    watch->on_readable(watch->arg);
}

static bool watch_poll(void *opaque)
{
    Watch *watch = opaque;

    return watch->image->blk->is_ready(&watch->image->state) > 0;
}

static void watch_free(void *opaque)
{
    Watch *watch = opaque;

    image_unref(watch->image);
    g_free(watch);
}

static void unwatch(GlusterImage *image)
{
    if (!image->watch) {
        return;
    }
    set_fd_handler(image->ctx, image->watch->fd, NULL, NULL, NULL);
    aio_bh_schedule_oneshot(image->ctx, watch_free, image->watch);
    image->watch = NULL;
}

int image_set_fd_handler(void *opaque, BlkState *state, int fd, BlkFdHandler on_readable, void *arg)
{
    GlusterImage *image = state->host_data;

    (void)opaque;
    unwatch(image);
    if (on_readable) {
        image->watch = g_new(Watch, 1);
        *image->watch = (Watch){ image, fd, on_readable, arg };
        qatomic_inc(&image->refs);
        set_fd_handler(image->ctx, fd, watch_readable, watch_poll, image->watch);
    }
    return 0;
}

void image_attach(GlusterImage *image, AioContext *ctx)
{
    image->ctx = ctx;
    image->blk->attach_fd_handler(&image->state, NULL);
}

void image_detach(GlusterImage *image)
{
    image->blk->detach_fd_handler(&image->state);
}

uint32_t image_flags(int flags)
{
    return (flags & BDRV_O_RDWR ? BLK_O_RDWR : 0) | (flags & BDRV_O_NOCACHE ? BLK_O_NOCACHE : 0);
}

int image_refresh_limits(GlusterImage *image, Error **errp)
{
    BlkLimits limits = { .struct_size = sizeof(limits) };
    BlkError error = { .struct_size = sizeof(error) };
    int ret = image->blk->get_limits(&image->state, &limits, &error);

    if (ret < 0) {
        error_setg(errp, "%s", error.message);
        return ret;
    }
    image->limits = limits;
    return 0;
}

int image_open(GlusterImage **out, const BlkOption *location, int flags, AioContext *ctx, Error **errp)
{
    BlkError error = { .struct_size = sizeof(error) };
    GlusterImage *image = g_new0(GlusterImage, 1);
    uint32_t later = location_has_lock(location) ? BLK_O_LOCK_LATER : 0;
    int ret;

    image->blk = host_driver(location_uri(location));
    image->ctx = ctx;
    image->state.struct_size = sizeof(image->state);
    image->state.drv = image->blk;
    image->state.opaque = g_malloc0(image->blk->instance_size);
    image->state.host_data = image;
    image->refs = 1;

    ret = image->blk->open(&image->state, location, image_flags(flags) | later, &error);
    if (ret < 0) {
        error_setg(errp, "%s", error.message);
        image_unref(image);
        return ret;
    }
    ret = image_refresh_limits(image, errp);
    if (ret < 0) {
        image_close(image);
        return ret;
    }
    *out = image;
    return 0;
}

void image_close(GlusterImage *image)
{
    if (image) {
        image->blk->close(&image->state);
        image_unref(image);
    }
}
