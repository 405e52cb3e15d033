/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Image locking, for those that ask for it: the lock comes with the opening of an image. No request is in flight in any
 * of these.
 *
 *   open                            takes it
 *   reopen                          changes it, inside of blkgluster
 *   migration, on the source        inactivate gives it; invalidate_cache takes it back if the guest stays
 *              on the destination   open (inactive) does without; invalidate_cache takes it
 */
#include "compat.h"

#include "image.h"
#include "node.h"

bool node_locks_later(const GlusterNode *node, int flags)
{
    return flags & BDRV_O_INACTIVE && location_has_lock(node->location);
}

int node_open_image(BlockDriverState *bs, GlusterImage **image, int flags, Error **errp)
{
    GlusterNode *node = bs->opaque;
    AioContext *ctx = bdrv_get_aio_context(bs);
    GlusterLocation unlocked;
    int ret;

    if (!node_locks_later(node, flags)) {
        return image_open(image, node->location, flags, ctx, errp);
    }
    unlocked = location_without_lock(node->location);
    ret = image_open(image, unlocked, flags, ctx, errp);
    location_free(unlocked);
    return ret;
}

int node_give_lock(BlockDriverState *bs, Error **errp)
{
    GlusterNode *node = bs->opaque;
    GlusterImage *image = node->image;
    BlkError error = { .struct_size = sizeof(error) };
    int ret;

    if (node->lock_later || !location_has_lock(node->location)) {
        return 0;
    }
    ret = image->blk->lock_release(&image->state, &error);
    /* A reader that shares, or a volume without locks under locking=auto, has none to give. */
    if (ret < 0 && ret != -EOPNOTSUPP) {
        error_setg(errp, "%s", error.message);
        return ret;
    }
    return 0;
}

static int take_lock(GlusterImage *image, Error **errp)
{
    BlkError error = { .struct_size = sizeof(error) };
    int ret = image->blk->lock_acquire(&image->state, &error);

    if (ret < 0 && ret != -EOPNOTSUPP) {
        error_setg(errp, "%s", error.message);
        return ret;
    }
    return 0;
}

int node_inactivate(BlockDriverState *bs)
{
    Error *local_err = NULL;
    int ret = node_give_lock(bs, &local_err);

    if (ret < 0) {
        error_report_err(local_err);
    }
    return ret;
}

void coroutine_fn node_co_invalidate_cache(BlockDriverState *bs, Error **errp)
{
    GlusterNode *node = bs->opaque;
    GlusterImage *old = node->image;
    GlusterImage *image;

    if (!location_has_lock(node->location)) {
        return;
    }
    if (!node->lock_later) {
        take_lock(old, errp);
        return;
    }
    if (image_open(&image, node->location, bs->open_flags, bdrv_get_aio_context(bs), errp) < 0) {
        return;
    }
    node->image = image;
    node->lock_later = false;
    image_close(old);
}
