/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Image locking, as QEMU's driver of local files does it: by what the users of the node do, and let others do.
 *
 *   open                             takes no lock
 *   check_perm                       takes what the new users need beside the old ones; here it is refused
 *   set_perm | abort_perm_update     lets go of what the new ones, or the old ones, do not need
 *   reopen                           keeps it, inside of blkgluster
 *
 * A migration needs nothing more: its source has no users left when it ends, and its destination none before it goes on.
 */
#include "compat.h"

#include "image.h"
#include "node.h"

static int change(GlusterImage *image, uint32_t mode, Error **errp)
{
    BlkError error = { .struct_size = sizeof(error) };
    int ret = image->blk->lock_change(&image->state, mode, &error);

    if (ret < 0) {
        error_setg(errp, "%s", error.message);
    }
    return ret;
}

/* BLK_LOCK_* for users that do and let do so much. Nobody has an inactive image: its guest runs elsewhere. */
static uint32_t wanted(BlockDriverState *bs, uint64_t perm, uint64_t shared)
{
    GlusterNode *node = bs->opaque;
    uint32_t mode = 0;

    if (!location_has_lock(node->location) || bs->open_flags & BDRV_O_INACTIVE) {
        return 0;
    }
    if (perm & (BLK_PERM_WRITE | BLK_PERM_RESIZE)) {
        mode |= BLK_LOCK_WRITE;
    }
    if (node->sharing == SHARING_UNSAID ? !(shared & BLK_PERM_WRITE) : node->sharing == SHARING_OFF && perm) {
        mode |= BLK_LOCK_FORBID_WRITE;
    }
    return bs->force_share ? mode & ~BLK_LOCK_FORBID_WRITE : mode;
}

int node_check_perm(BlockDriverState *bs, uint64_t perm, uint64_t shared, Error **errp)
{
    GlusterNode *node = bs->opaque;
    /* All that is held stays: so what is EBUSY here is another's lock, not a write in flight that forbids to let go. */
    uint32_t mode = node->lock_held | node->lock | wanted(bs, perm, shared);
    Error *local_err = NULL;
    int ret;

    if (mode == node->lock_held) {
        return 0;
    }
    ret = change(node->image, mode, &local_err);
    if (ret == -EBUSY) {
        /* The words of QEMU's other drivers, which people know. */
        error_prepend(&local_err, "Failed to get %s\"write\" lock: ", mode & ~node->lock_held & BLK_LOCK_WRITE ? "" : "shared ");
        error_append_hint(&local_err, "Is another process using the image [%s]?\n", bs->filename);
    }
    if (ret < 0) {
        error_propagate(errp, local_err);
        return ret;
    }
    node->lock_held = mode;
    return 0;
}

/* When that fails it has more than it needs: others are kept out for longer, which harms no data. */
static int relax(GlusterNode *node, Error **errp)
{
    int ret = node->lock_held == node->lock ? 0 : change(node->image, node->lock, errp);

    if (ret == 0) {
        node->lock_held = node->lock;
    }
    return ret;
}

static void relax_or_say(GlusterNode *node)
{
    Error *local_err = NULL;

    if (relax(node, &local_err) < 0) {
        warn_report_err(local_err);
    }
}

void node_set_perm(BlockDriverState *bs, uint64_t perm, uint64_t shared)
{
    GlusterNode *node = bs->opaque;

    node->lock = wanted(bs, perm, shared);
    relax_or_say(node);
}

void node_abort_perm_update(BlockDriverState *bs)
{
    relax_or_say(bs->opaque);
}

/* A migration ends only when the lock is free for the destination. */
int node_inactivate(BlockDriverState *bs)
{
    Error *local_err = NULL;
    int ret = relax(bs->opaque, &local_err);

    if (ret < 0) {
        error_report_err(local_err);
    }
    return ret;
}
