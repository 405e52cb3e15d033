/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "compat.h"
#include "block/block-global-state.h"

#include "image.h"
#include "node.h"

/*
 * Whether the members of BlockDriverState lie where this QEMU has them, up to the last one that is used here. They
 * would not if the module was made with headers, or a configuration, that are not this QEMU's.
 */
static bool same_layout(BlockDriverState *bs)
{
    return bdrv_get_aio_context(bs) == bs->aio_context && bdrv_get_node_name(bs) == bs->node_name;
}

/* It says how the image is locked, which is ours to do. */
static int take_sharing(GlusterNode *node, Error **errp)
{
    g_autofree char *share_rw = location_take(node->location, "share-rw");

    if (!share_rw) {
        return 0;
    }
    if (strcmp(share_rw, "on") && strcmp(share_rw, "off")) {
        error_setg(errp, "share-rw takes on or off, not '%s'", share_rw);
        return -EINVAL;
    }
    if (!location_has_lock(node->location)) {
        error_setg(errp, "share-rw says how an image is locked; it contradicts locking=off");
        return -EINVAL;
    }
    node->sharing = strcmp(share_rw, "on") ? SHARING_OFF : SHARING_ON;
    return 0;
}

int node_open(BlockDriverState *bs, QDict *options, int flags, Error **errp)
{
    GlusterNode *node = bs->opaque;
    AioContext *ctx = bdrv_get_aio_context(bs);
    Error *local_err = NULL;
    int ret;

    if (!same_layout(bs)) {
        error_setg(errp, "this block-gluster.so was not made for this QEMU; scripts/qemu-module makes one");
        return -EINVAL;
    }
    node->location = location_with_locking(location_from_options(options));
    ret = take_sharing(node, &local_err);
    ret = ret < 0 ? ret : image_open(&node->image, node->location, flags, ctx, &local_err);
    if ((ret == -EACCES || ret == -EROFS) && !bdrv_apply_auto_read_only(bs, NULL, NULL)) {
        error_free(local_err);
        local_err = NULL;
        ret = image_open(&node->image, node->location, flags & ~BDRV_O_RDWR, ctx, &local_err);
    }
    if (ret < 0) {
        error_propagate(errp, local_err);
        location_free(node->location);
        return ret;
    }
    node->lock_on = node->image;
    bs->supported_zero_flags = BDRV_REQ_MAY_UNMAP;
    /* blkgluster's truncate: new bytes read as zero. */
    bs->supported_truncate_flags = BDRV_REQ_ZERO_WRITE;
    return 0;
}

void node_close(BlockDriverState *bs)
{
    GlusterNode *node = bs->opaque;

    image_close(node->image);
    node->image = node->lock_on = NULL;
    location_free(node->location);
    node->location = NULL;
}

int node_reopen_prepare(BDRVReopenState *state, BlockReopenQueue *queue, Error **errp)
{
    GlusterNode *node = state->bs->opaque;
    GlusterImage *image = NULL;
    int ret;

    (void)queue;
    ret = image_open(&image, node->location, state->flags, bdrv_get_aio_context(state->bs), errp);
    if (ret == 0) {
        ret = node_move_lock(node, image, errp);
        if (ret < 0) {
            image_close(image);
            image = NULL;
        }
    }
    state->opaque = image;
    return ret;
}

/* QEMU has drained and flushed the image before it prepared. */
void node_reopen_commit(BDRVReopenState *state)
{
    GlusterNode *node = state->bs->opaque;
    GlusterImage *old = node->image;

    node->image = state->opaque;
    state->opaque = NULL;
    image_close(old);
}

void node_reopen_abort(BDRVReopenState *state)
{
    GlusterNode *node = state->bs->opaque;
    Error *local_err = NULL;

    if (node_move_lock(node, node->image, &local_err) < 0) {
        error_report_err(local_err);
        node->lock_on = node->image;
    }
    image_close(state->opaque);
    state->opaque = NULL;
}

void node_attach_aio_context(BlockDriverState *bs, AioContext *ctx)
{
    GlusterNode *node = bs->opaque;

    image_watch(node->image, ctx);
}

void node_detach_aio_context(BlockDriverState *bs)
{
    GlusterNode *node = bs->opaque;

    image_unwatch(node->image);
}

void node_refresh_limits(BlockDriverState *bs, Error **errp)
{
    GlusterNode *node = bs->opaque;
    const BlkLimits *limits = &node->image->limits;
    int64_t align = limits->request_alignment;

    (void)errp;
    bs->bl.request_alignment = align;
    bs->bl.opt_transfer = limits->opt_transfer;
    bs->bl.max_transfer = MIN(limits->max_transfer, QEMU_ALIGN_DOWN(INT_MAX, limits->opt_transfer));
    bs->bl.max_iov = MIN(limits->max_iov, IOV_MAX);
    bs->bl.max_pdiscard = QEMU_ALIGN_DOWN(limits->max_discard, align);
    bs->bl.max_pwrite_zeroes = QEMU_ALIGN_DOWN(limits->max_write_zeroes, align);
}

int node_has_zero_init(BlockDriverState *bs)
{
    GlusterNode *node = bs->opaque;

    return node->image->blk->has_zero_init(&node->image->state);
}

int64_t LENGTH_FN node_getlength(BlockDriverState *bs)
{
    GlusterNode *node = bs->opaque;

    return node->image->blk->getlength(&node->image->state);
}

int64_t LENGTH_FN node_allocated(BlockDriverState *bs)
{
    GlusterNode *node = bs->opaque;

    return node->image->blk->get_allocated_file_size(&node->image->state);
}

/* One of BLK_PREALLOC_*, or -1: Gluster knows nothing of the metadata of an image format. */
static int preallocation(PreallocMode mode)
{
    switch (mode) {
    case PREALLOC_MODE_OFF:
        return BLK_PREALLOC_OFF;
    case PREALLOC_MODE_FALLOC:
        return BLK_PREALLOC_FALLOC;
    case PREALLOC_MODE_FULL:
        return BLK_PREALLOC_FULL;
    default:
        return -1;
    }
}

/* Blocks the thread while space is allocated, as QEMU's own driver does. */
int coroutine_fn node_co_truncate(BlockDriverState *bs, int64_t offset, bool exact, PreallocMode prealloc,
                                  BdrvRequestFlags flags, Error **errp)
{
    GlusterNode *node = bs->opaque;
    BlkError error = { .struct_size = sizeof(error) };
    int how = preallocation(prealloc);
    int ret;

    (void)exact;
    (void)flags;
    if (how < 0) {
        error_setg(errp, "preallocation takes off, falloc or full, not '%s'", PreallocMode_str(prealloc));
        return -ENOTSUP;
    }
    ret = node->image->blk->truncate_with_preallocation(&node->image->state, offset, how, NULL, NULL, &error);
    if (ret < 0) {
        error_setg(errp, "%s", error.message);
    }
    return ret;
}
