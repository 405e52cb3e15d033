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
    int ret;

    if (!same_layout(bs)) {
        error_setg(errp, "this block-gluster.so was not made for this QEMU; scripts/qemu-module makes one");
        return -EINVAL;
    }
    node->location = location_with_flushing(location_with_locking(location_from_options(options)));
    if (flags & BDRV_O_AUTO_RDONLY) {
        node->location = location_with(node->location, "auto-read-only", "on");
    }
    ret = take_sharing(node, errp);
    ret = ret < 0 ? ret : image_open(&node->image, node->location, flags, ctx, errp);
    if (ret >= 0 && node->image->blk->is_read_only(&node->image->state) > 0) {
        /* QEMU may not want it so, for copy-on-read. */
        ret = apply_auto_read_only(bs, "the image may not be written", errp);
        if (ret < 0) {
            image_close(node->image);
        }
    }
    if (ret < 0) {
        location_free(node->location);
        return ret;
    }
    bs->supported_zero_flags = BDRV_REQ_MAY_UNMAP;
    /* blkgluster's truncate: new bytes read as zero. */
    bs->supported_truncate_flags = BDRV_REQ_ZERO_WRITE;
    return 0;
}

void node_close(BlockDriverState *bs)
{
    GlusterNode *node = bs->opaque;

    image_close(node->image);
    node->image = NULL;
    location_free(node->location);
    node->location = NULL;
}

int node_reopen_prepare(BDRVReopenState *state, BlockReopenQueue *queue, Error **errp)
{
    GlusterNode *node = state->bs->opaque;
    GlusterImage *image = node->image;
    BlkError error = { .struct_size = sizeof(error) };
    int ret = image->blk->reopen_prepare(&image->state, NULL, image_flags(state->flags), &error);

    (void)queue;
    if (ret < 0) {
        error_setg(errp, "%s", error.message);
    }
    return ret;
}

/* QEMU has drained and flushed the image before it prepared. */
void node_reopen_commit(BDRVReopenState *state)
{
    GlusterNode *node = state->bs->opaque;

    node->image->blk->reopen_commit(&node->image->state);
    /* If nobody answers, requests keep to what they kept to. */
    image_refresh_limits(node->image, NULL);
}

void node_reopen_abort(BDRVReopenState *state)
{
    GlusterNode *node = state->bs->opaque;

    node->image->blk->reopen_abort(&node->image->state);
}

void node_attach_aio_context(BlockDriverState *bs, AioContext *ctx)
{
    GlusterNode *node = bs->opaque;

    image_attach(node->image, ctx);
}

void node_detach_aio_context(BlockDriverState *bs)
{
    GlusterNode *node = bs->opaque;

    image_detach(node->image);
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
