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
    BlkLimits limits; /* the same until it is closed or reopened */
    AioContext *ctx;
    Watch *watch; /* NULL while no AioContext polls the completion fd */
    int refs;     /* the node's, and that of each Watch: any thread */
} GlusterImage;

/* What QEMU allocates behind BlockDriverState.opaque. */
typedef struct GlusterNode {
    GlusterImage *image;
    GlusterLocation location;
    uint32_t lock; /* BLK_LOCK_*, what the users of the node need */
    uint32_t lock_held; /* what it has: more, while they change */
    Sharing sharing;
} GlusterNode;

/* Blocks until connected. `flags` are BDRV_O_*. 0 and *image, or -errno. */
int image_open(GlusterImage **image, const BlkOption *location, int flags, AioContext *ctx, Error **errp);

/* Does not flush. `image` may be NULL. */
void image_close(GlusterImage *image);

/* BLK_O_* for BDRV_O_*. */
uint32_t image_flags(int flags);

/* Asks what requests should keep to. 0 or -errno. */
int image_refresh_limits(GlusterImage *image, Error **errp);

/* Moves the completions to another AioContext. */
void image_attach(GlusterImage *image, AioContext *ctx);
void image_detach(GlusterImage *image);

/* BlkHost.set_fd_handler. */
int image_set_fd_handler(void *opaque, BlkState *state, int fd, BlkFdHandler on_readable, void *arg);

#endif
