/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A request: the coroutine submits it and yields; the AioContext that polls the completion fd runs its callback, which
 * wakes the coroutine.
 */
#include "compat.h"

#include "image.h"
#include "node.h"

typedef struct Request {
    Coroutine *co;
    int ret;
    bool done;
} Request;

static void request_done(void *opaque, int ret)
{
    Request *request = opaque;

    request->ret = ret;
    request->done = true;
    aio_co_wake(request->co);
}

/*
 * `request` is on the stack of the coroutine. It yields at least once, even if the callback came on another thread
 * meanwhile: that thread's wake-up is on its way and must find the coroutine alive.
 */
static int coroutine_fn request_wait(Request *request, const BlkAiocb *acb)
{
    if (!acb) {
        /* Refused; blkgluster has reported why. */
        return errno ? -errno : -EIO;
    }
    do {
        qemu_coroutine_yield();
    } while (!request->done);
    return request->ret;
}

int coroutine_fn node_co_preadv(BlockDriverState *bs, int64_t offset, int64_t bytes, QEMUIOVector *qiov,
                                BdrvRequestFlags flags)
{
    GlusterNode *node = bs->opaque;
    GlusterImage *image = node->image;
    Request request = { .co = qemu_coroutine_self() };

    (void)flags;
    return request_wait(&request, image->blk->aio_preadv(&image->state, offset, bytes, qiov->iov, qiov->niov, 0,
                                                         request_done, &request));
}

int coroutine_fn node_co_pwritev(BlockDriverState *bs, int64_t offset, int64_t bytes, QEMUIOVector *qiov,
                                 BdrvRequestFlags flags)
{
    GlusterNode *node = bs->opaque;
    GlusterImage *image = node->image;
    Request request = { .co = qemu_coroutine_self() };

    (void)flags;
    return request_wait(&request, image->blk->aio_pwritev(&image->state, offset, bytes, qiov->iov, qiov->niov, 0,
                                                          request_done, &request));
}

int coroutine_fn node_co_pdiscard(BlockDriverState *bs, int64_t offset, int64_t bytes)
{
    GlusterNode *node = bs->opaque;
    GlusterImage *image = node->image;
    Request request = { .co = qemu_coroutine_self() };

    return request_wait(&request, image->blk->aio_pdiscard(&image->state, offset, bytes, request_done, &request));
}

/*
 * Blocks the thread for a network round trip or two, as QEMU's own driver does. All of it is data where the bricks do
 * not tell, or fail. Tells more than it is asked: QEMU remembers how far data goes, and asks less often. No image is so
 * long that this overflows.
 */
int coroutine_fn node_co_block_status(BlockDriverState *bs, bool want_zero, int64_t offset, int64_t bytes,
                                      int64_t *pnum, int64_t *map, BlockDriverState **file)
{
    GlusterNode *node = bs->opaque;
    GlusterImage *image = node->image;
    BlkBlockStatus status = { .struct_size = sizeof(status) };
    BlkError error = { .struct_size = sizeof(error) };
    int64_t align = bs->bl.request_alignment;

    *pnum = bytes;
    *map = offset;
    *file = bs;
    if (!want_zero ||
        image->blk->block_status(&image->state, offset, MAX(bytes, 1 * GiB), &status, &error) < 0) {
        return BDRV_BLOCK_DATA | BDRV_BLOCK_OFFSET_VALID;
    }
    /* QEMU takes no parts of blocks. One that holds some data is data. */
    if (status.flags & BLK_STATUS_ZERO && status.length >= align) {
        *pnum = QEMU_ALIGN_DOWN(status.length, align);
        return BDRV_BLOCK_ZERO | BDRV_BLOCK_OFFSET_VALID;
    }
    *pnum = QEMU_ALIGN_UP(status.length, align);
    return BDRV_BLOCK_DATA | BDRV_BLOCK_OFFSET_VALID;
}

/*
 * BDRV_REQ_NO_FALLBACK never comes here: it is not in supported_zero_flags, so that QEMU answers -ENOTSUP itself. No
 * volume is sure to be faster than writing: the bricks, too, write zeroes where none may be punched.
 */
int coroutine_fn node_co_pwrite_zeroes(BlockDriverState *bs, int64_t offset, int64_t bytes, BdrvRequestFlags flags)
{
    GlusterNode *node = bs->opaque;
    GlusterImage *image = node->image;
    Request request = { .co = qemu_coroutine_self() };
    uint32_t blk_flags = flags & BDRV_REQ_MAY_UNMAP ? BLK_ZERO_MAY_UNMAP : 0;

    return request_wait(&request, image->blk->aio_write_zeroes(&image->state, offset, bytes, blk_flags, request_done,
                                                               &request));
}

int coroutine_fn node_co_flush(BlockDriverState *bs)
{
    GlusterNode *node = bs->opaque;
    GlusterImage *image = node->image;
    Request request = { .co = qemu_coroutine_self() };

    return request_wait(&request, image->blk->aio_flush(&image->state, request_done, &request));
}

#if HAVE_PLUG
void node_io_plug(BlockDriverState *bs)
{
    GlusterNode *node = bs->opaque;

    node->image->blk->io_plug(&node->image->state);
}

void node_io_unplug(BlockDriverState *bs)
{
    GlusterNode *node = bs->opaque;

    node->image->blk->io_unplug(&node->image->state);
}
#endif
