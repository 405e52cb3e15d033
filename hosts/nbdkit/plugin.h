/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nbdkit-gluster-plugin: images on GlusterFS volumes for any NBD client, over blkgluster.
 *
 * The path of one NBD request:
 *
 *   a thread of nbdkit's                           the image's poller
 *   --------------------                           ------------------
 *   .pread ... (plugin.c)
 *     drv->aio_preadv ------> blkgluster ... ----> fd readable
 *     sleeps on its own semaphore                  drv->dispatch
 *     <------------------------------------------- callback: result, wake up
 *   0, or nbdkit_error and an errno that NBD has
 *
 *   params.c   what the user said on the command line, as options for blkgluster
 *   check.c    before nbdkit goes into the background: is the image there, and shall it be made?
 *   image.c    the open image that all connections share, and its poller
 *   plugin.c   nbdkit's callbacks
 */
#ifndef NBDKIT_GLUSTER_PLUGIN_H
#define NBDKIT_GLUSTER_PLUGIN_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include <blkgluster.h>

/* ---- params.c ------------------------------------------------------------------------------------------------ */

struct params {
    const char *uri;  /* NULL when the image is given in parts */
    const char *name; /* of the image, for people */
    int64_t create;   /* bytes, -1: not asked for */
    bool readonly;
    bool write_cache; /* writes are acknowledged from memory */
    const BlkDriver *drv;
};

extern struct params params;

int params_set(const char *key, const char *value);
/* To be called when all are there; finds the driver. */
int params_complete(void);
void params_free(void);
/* The options of open, or with a size those of create, which takes the URI apart from them and knows neither share-rw nor statistics. To be
 * freed; the strings live as long as the parameters. NULL with an error. */
BlkOption *params_options(const char *size);

/* ---- slots --------------------------------------------------------------------------------------------------- */

/* Some came to the library after the plugin, which may find an older one installed. */
#define HAS_SLOT(drv, slot) \
    ((drv)->struct_size >= offsetof(BlkDriver, slot) + sizeof((drv)->slot) && (drv)->slot != NULL)

/* ---- drivers: plugin.c --------------------------------------------------------------------------------------- */

/* The driver with this protocol_name, NULL if there is none; `length` bytes of `protocol` count. */
const BlkDriver *driver_for(const char *protocol, size_t length);

/* ---- check.c ------------------------------------------------------------------------------------------------- */

/* Whether the image is there; makes it if it shall. 0, or -1 with an error. */
int check_image(void);

/* ---- image.c ------------------------------------------------------------------------------------------------- */

struct image {
    pthread_mutex_t lock; /* of `users`, and held while it is opened or closed */
    unsigned users;       /* connections */
    bool readonly;
    BlkState bs;
    const BlkDriver *drv;
    bool lost; /* acknowledged writes, when it was closed; for good */
    int stop; /* an eventfd: tells the poller to close the image and end */
    pthread_t poller;
};

/* The shared image, opened for the first connection. NULL with an error. */
struct image *image_get(bool readonly);
/* The last connection closes it. */
void image_put(struct image *image);
/* Closes what is open; there will be no connection any more, and no request is in flight. */
void images_end(void);
/* Zeroed memory for the library behind bs->opaque. -1 with an error. */
int state_init(BlkState *bs, const BlkDriver *drv);
void state_free(BlkState *bs);

#endif
