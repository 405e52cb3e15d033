/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One opening of an image: blkgluster's BlkState, and where its completions are delivered. */
#ifndef HOSTS_QEMU_IMAGE_H
#define HOSTS_QEMU_IMAGE_H

#include "compat.h"

#include "blkgluster.h"
#include "location.h"

typedef struct Watch Watch;

/* The option share-rw: whether others may write it. Unsaid, the users of the node decide. */
typedef enum Sharing { SHARING_UNSAID, SHARING_OFF, SHARING_ON } Sharing;

typedef struct GlusterImage {
    BlkState state; /* stays in place from open to close */
    const BlkDriver *blk;
    BlkLimits limits; /* the same until it is closed */
    AioContext *ctx;
    Watch *watch; /* NULL while no AioContext polls the completion fd */
    int fd;
    BlkFdHandler on_readable;
    void *arg;
} GlusterImage;

/* What QEMU allocates behind BlockDriverState.opaque. A reopen puts another image in. */
typedef struct GlusterNode {
    GlusterImage *image;
    GlusterLocation location;
    GlusterImage *lock_on; /* the opening that has the lock: `image`, or the one that a reopen prepares */
    uint32_t lock; /* BLK_LOCK_*, what the users of the node need */
    uint32_t lock_held; /* what it has: more, while they change */
    Sharing sharing;
} GlusterNode;

/* Blocks until connected. `flags` are BDRV_O_*. 0 and *image, or -errno. */
int image_open(GlusterImage **image, const BlkOption *location, int flags, AioContext *ctx, Error **errp);

/* Does not flush. `image` may be NULL. */
void image_close(GlusterImage *image);

/* Moves the completions to another AioContext; no request is in flight meanwhile. */
void image_watch(GlusterImage *image, AioContext *ctx);
void image_unwatch(GlusterImage *image);

/* BlkHost.set_fd_handler. */
int image_set_fd_handler(void *opaque, BlkState *state, int fd, BlkFdHandler on_readable, void *arg);

#endif
