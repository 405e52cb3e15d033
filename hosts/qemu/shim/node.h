/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The slots of QEMU's BlockDriver, each over the slot of blkgluster's BlkDriver that does it. */
#ifndef HOSTS_QEMU_NODE_H
#define HOSTS_QEMU_NODE_H

#include "compat.h"

#include "image.h"

/* node.c: what is done to a whole image */
int node_open(BlockDriverState *bs, QDict *options, int flags, Error **errp);
void node_close(BlockDriverState *bs);
int node_reopen_prepare(BDRVReopenState *state, BlockReopenQueue *queue, Error **errp);
void node_reopen_commit(BDRVReopenState *state);
void node_reopen_abort(BDRVReopenState *state);
void node_attach_aio_context(BlockDriverState *bs, AioContext *ctx);
void node_detach_aio_context(BlockDriverState *bs);
void node_refresh_limits(BlockDriverState *bs, Error **errp);
int node_has_zero_init(BlockDriverState *bs);
int64_t LENGTH_FN node_getlength(BlockDriverState *bs);
int64_t LENGTH_FN node_allocated(BlockDriverState *bs);
int coroutine_fn node_co_truncate(BlockDriverState *bs, int64_t offset, bool exact, PreallocMode prealloc,
                                  BdrvRequestFlags flags, Error **errp);

/* lock.c: who has the image, among all that ask */
int node_check_perm(BlockDriverState *bs, uint64_t perm, uint64_t shared, Error **errp);
void node_set_perm(BlockDriverState *bs, uint64_t perm, uint64_t shared);
void node_abort_perm_update(BlockDriverState *bs);
int node_inactivate(BlockDriverState *bs);

/* io.c: requests */
int coroutine_fn node_co_preadv(BlockDriverState *bs, int64_t offset, int64_t bytes, QEMUIOVector *qiov,
                                BdrvRequestFlags flags);
int coroutine_fn node_co_pwritev(BlockDriverState *bs, int64_t offset, int64_t bytes, QEMUIOVector *qiov,
                                 BdrvRequestFlags flags);
int coroutine_fn node_co_pdiscard(BlockDriverState *bs, int64_t offset, int64_t bytes);
int coroutine_fn node_co_block_status(BlockDriverState *bs, bool want_zero, int64_t offset, int64_t bytes,
                                      int64_t *pnum, int64_t *map, BlockDriverState **file);
int coroutine_fn node_co_pwrite_zeroes(BlockDriverState *bs, int64_t offset, int64_t bytes, BdrvRequestFlags flags);
int coroutine_fn node_co_flush(BlockDriverState *bs);
void node_io_plug(BlockDriverState *bs);
void node_io_unplug(BlockDriverState *bs);

/* create.c */
int coroutine_fn node_co_create(BlockdevCreateOptions *options, Error **errp);
int coroutine_fn node_co_create_opts(BlockDriver *drv, const char *filename, QemuOpts *opts, Error **errp);

#endif
