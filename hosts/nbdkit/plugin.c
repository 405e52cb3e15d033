/* SPDX-License-Identifier: GPL-2.0-or-later */
/* nbdkit's callbacks: each request is one call of blkgluster and the wait for its end. */
#include "plugin.h"

#include <errno.h>
#include <inttypes.h>
#include <semaphore.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL
#define MOST_AT_ONCE (64 << 20)

/* ---- the library ----------------------------------------------------------------------------------------------- */

static const BlkDriver *drivers[8];
static unsigned driver_count;
static int init_result;

static int on_driver(void *opaque, const BlkDriver *drv)
{
    (void)opaque;
    if (driver_count < sizeof(drivers) / sizeof(drivers[0]))
        drivers[driver_count++] = drv;
    return 0;
}

/* Any thread. */
static void on_report(void *opaque, int level, const char *message)
{
    (void)opaque;
    if (level == BLK_REPORT_ERROR)
        nbdkit_error("%s", message);
    else if (level == BLK_REPORT_WARNING)
        nbdkit_error("warning: %s", message);
    else
        nbdkit_debug("%s", message);
}

const BlkDriver *driver_for(const char *protocol, size_t length)
{
    unsigned i;

    for (i = 0; i < driver_count; i++)
        if (strlen(drivers[i]->protocol_name) == length && !memcmp(drivers[i]->protocol_name, protocol, length))
            return drivers[i];
    return NULL;
}

static void plugin_load(void)
{
    static const BlkHost host = {
        .struct_size = sizeof(host),
        .abi_version = BLK_ABI_VERSION,
        .register_driver = on_driver,
        .report = on_report,
    };

    init_result = blkgluster_init(&host);
}

/* The plugin is linked with -z nodelete: a thread of the library's may be inside on_report while nbdkit unloads it. */
static void plugin_unload(void)
{
    if (init_result == 0 && driver_count > 0)
        drivers[0]->release();
    params_free();
}

static void plugin_dump(void)
{
    const BlkOpenOption *option;
    unsigned i;

    if (driver_count > 0)
        printf("blkgluster_version=%s\nblkgluster_abi_version=%" PRIu32 "\n", drivers[0]->library_version,
               drivers[0]->abi_version);
    for (i = 0; i < driver_count; i++)
        printf("gluster_scheme_%u=%s\n", i, drivers[i]->protocol_name);
    if (driver_count > 0 && HAS_SLOT(drivers[0], open_options))
        for (option = drivers[0]->open_options; option->name; option++)
            printf("gluster_option_%s=%s\n", option->name, option->kind);
}

/* ---- start ----------------------------------------------------------------------------------------------------- */

#define PLUGIN_CONFIG_HELP                                                                                           \
    "[uri=]<URI>             The image: gluster[+tcp|+unix]://[SERVER[:PORT]]/VOLUME/PATH[?socket=SOCKET].\n"        \
    "volume=<NAME>           Or in parts, without percent-encoding: its volume,\n"                                   \
    "path=<PATH>             its path in the volume,\n"                                                              \
    "server=<SERVER>         HOST[:PORT], or the path of glusterd's Unix socket (default localhost). Given\n"        \
    "                        several times, they are tried in that order.\n"                                         \
    "create=<SIZE>           Make the image if it is not there. One that is there keeps its data.\n"                 \
    "readonly=<BOOL>         Open it for reading only (default false; `nbdkit -r` does it, too).\n"                  \
    "locking=<off|auto|on>   Lock the image against others while clients are connected (default off;\n"              \
    "                        auto: if the volume has locks).\n"                                                     \
    "share-rw=<on|off>       With locking: others who say so, too, may write it meanwhile (default off).\n"          \
    "write-cache=<on|off>    Whether Gluster may acknowledge writes from memory (default off).\n"                    \
    "connect-timeout=<SECONDS>  For a new connection, 1 to 3600 (default 30).\n"                                     \
    "keep-connection=<SECONDS>  That it is kept after the last client, 0 to 3600 (default 30).\n"                    \
    "...                     And every other option that blkgluster's open takes; --dump-plugin lists them."

static int plugin_config_complete(void)
{
    if (init_result < 0 || driver_count == 0) {
        nbdkit_error("blkgluster_init failed: %s", strerror(-init_result));
        return -1;
    }
    return params_complete();
}

/* ---- a connection ---------------------------------------------------------------------------------------------- */

static void *plugin_open(int readonly)
{
    return image_get(readonly);
}

static void plugin_close(void *handle)
{
    image_put(handle);
}

static int64_t plugin_get_size(void *handle)
{
    struct image *image = handle;
    int64_t length = image->drv->getlength(&image->bs);

    if (length < 0) {
        nbdkit_error("the length of %s: %s", params.name, strerror(-length));
        return -1;
    }
    return length;
}

/* With auto-read-only=on it may have become a reader. */
static int plugin_can_write(void *handle)
{
    struct image *image = handle;
    int is_read_only;

    if (image->readonly || !HAS_SLOT(image->drv, is_read_only))
        return !image->readonly;
    is_read_only = image->drv->is_read_only(&image->bs);
    if (is_read_only < 0) {
        nbdkit_error("whether %s may be written: %s", params.name, strerror(-is_read_only));
        return -1;
    }
    return !is_read_only;
}

/* All connections share one image, see image.c: a flush on one covers what was acknowledged on any. */
static int plugin_can_multi_conn(void *handle)
{
    (void)handle;
    return 1;
}

/* blkgluster has no request with FUA: nbdkit calls .flush after the write, which is all that it could do itself. */
static int plugin_can_fua(void *handle)
{
    (void)handle;
    return NBDKIT_FUA_EMULATE;
}

/* 64 MiB is what nbdkit itself takes at most. Preferred is, to NBD, the least that costs nobody reading and changing a
 * block, which for bricks is 4096 bytes (disperse volumes smaller ones), and no more: clients round what they trim and
 * zero to it. So opt_transfer would be the wrong one here. */
static int plugin_block_size(void *handle, uint32_t *minimum, uint32_t *preferred, uint32_t *maximum)
{
    struct image *image = handle;
    BlkLimits limits = {.struct_size = sizeof(limits), .request_alignment = 1, .max_transfer = MOST_AT_ONCE};
    BlkError error = {.struct_size = sizeof(error)};

    if (HAS_SLOT(image->drv, get_limits) && image->drv->get_limits(&image->bs, &limits, &error) < 0) {
        nbdkit_error("%s", error.message);
        return -1;
    }
    *minimum = limits.request_alignment;
    *preferred = limits.request_alignment > 4096 ? limits.request_alignment : 4096;
    *maximum = limits.max_transfer < MOST_AT_ONCE ? limits.max_transfer : MOST_AT_ONCE;
    return 0;
}

static const char *plugin_export_description(void *handle)
{
    (void)handle;
    return params.name;
}

/* ---- requests -------------------------------------------------------------------------------------------------- */

struct request {
    struct image *image;
    sem_t done;
    int ret; /* 0, or -errno */
    BlkError why; /* when it failed in its callback, else without a message */
};

/* On the poller. */
static void on_done(void *opaque, int ret)
{
    struct request *request = opaque;
    const BlkDriver *drv = request->image->drv;

    request->ret = ret;
    if (ret < 0 && HAS_SLOT(drv, request_error))
        drv->request_error(&request->image->bs, &request->why);
    sem_post(&request->done);
}

static void begin(struct request *request, struct image *image)
{
    sem_init(&request->done, 0, 0);
    request->image = image;
    request->ret = 0;
    request->why.struct_size = sizeof(request->why);
    request->why.message[0] = '\0';
}

/* `acb` is what the submit gave. The request's result. */
static int finish(struct request *request, BlkAiocb *acb)
{
    if (!acb)
        request->ret = errno ? -errno : -EIO;
    else
        while (sem_wait(&request->done) < 0)
            ; /* EINTR */
    sem_destroy(&request->done);
    return request->ret;
}

/* The errno that NBD has for it. nbdkit would make EINVAL of all that it does not know, as if the client were to blame
 * for a brick that is down. */
static int nbd_errno(int error)
{
    switch (error) {
    case EPERM:
    case EROFS:
    case EIO:
    case ENOMEM:
    case EINVAL:
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return error;
    case EACCES:
        return EPERM;
    default:
        return EIO;
    }
}

/* The library has given its own sentence to on_report before, if this is the first failure of a series; here each has
 * one, with the client's number that nbdkit puts before it. */
static int conclude(const struct request *request, const char *what, uint32_t count, uint64_t offset)
{
    int ret = request->ret;

    if (ret == 0)
        return 0;
    if (request->why.message[0])
        nbdkit_error("%s", request->why.message);
    else
        nbdkit_error("%s of %" PRIu32 " bytes at offset %" PRIu64 " of %s: %s", what, count, offset, params.name,
                     strerror(-ret));
    nbdkit_set_error(nbd_errno(-ret));
    return -1;
}

static int plugin_pread(void *handle, void *buffer, uint32_t count, uint64_t offset, uint32_t flags)
{
    struct image *image = handle;
    struct iovec iov = {buffer, count};
    struct request request;
    BlkAiocb *acb;

    (void)flags;
    begin(&request, image);
    acb = image->drv->aio_preadv(&image->bs, offset, count, &iov, 1, 0, on_done, &request);
    finish(&request, acb);
    return conclude(&request, "read", count, offset);
}

static int plugin_pwrite(void *handle, const void *buffer, uint32_t count, uint64_t offset, uint32_t flags)
{
    struct image *image = handle;
    struct iovec iov = {(void *)buffer, count};
    struct request request;
    BlkAiocb *acb;

    (void)flags;
    begin(&request, image);
    acb = image->drv->aio_pwritev(&image->bs, offset, count, &iov, 1, 0, on_done, &request);
    finish(&request, acb);
    return conclude(&request, "write", count, offset);
}

static int plugin_flush(void *handle, uint32_t flags)
{
    struct image *image = handle;
    struct request request;

    (void)flags;
    if (image->lost) {
        nbdkit_error("flush of %s: acknowledged writes were lost when all clients had left (write-cache=on); restart the "
                     "server to go on without them",
                     params.name);
        nbdkit_set_error(EIO);
        return -1;
    }
    begin(&request, image);
    finish(&request, image->drv->aio_flush(&image->bs, on_done, &request));
    return conclude(&request, "flush", 0, 0);
}

/* Advice: bricks that cannot punch holes have done all that was asked of them. */
static int plugin_trim(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
    struct image *image = handle;
    struct request request;
    BlkAiocb *acb;
    int ret;

    (void)flags;
    begin(&request, image);
    acb = image->drv->aio_pdiscard(&image->bs, offset, count, on_done, &request);
    ret = finish(&request, acb);
    if (ret == -EOPNOTSUPP) {
        nbdkit_debug("gluster: the bricks cannot give space back");
        return 0;
    }
    return conclude(&request, "trim", count, offset);
}

/* ENOTSUP makes nbdkit write zeroes, or tells a client that wants it fast only that it cannot be had. */
static int no_zero(void)
{
    nbdkit_set_error(EOPNOTSUPP);
    return -1;
}

/* Fast is only what may leave a hole: without one, some volumes have zeroes written, and which is not known before. */
static int plugin_zero(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
    struct image *image = handle;
    bool may_trim = flags & NBDKIT_FLAG_MAY_TRIM;
    struct request request;
    BlkAiocb *acb;
    int ret;

    if (!HAS_SLOT(image->drv, aio_write_zeroes) || ((flags & NBDKIT_FLAG_FAST_ZERO) && !may_trim))
        return no_zero();
    begin(&request, image);
    acb = image->drv->aio_write_zeroes(&image->bs, offset, count, may_trim ? BLK_ZERO_MAY_UNMAP : 0, on_done, &request);
    ret = finish(&request, acb);
    return ret == -EOPNOTSUPP ? no_zero() : conclude(&request, "zero", count, offset);
}

/* The client hears which zeroes are fast from what becomes of each. */
static int plugin_can_fast_zero(void *handle)
{
    return HAS_SLOT(((struct image *)handle)->drv, aio_write_zeroes);
}

static int plugin_can_extents(void *handle)
{
    return HAS_SLOT(((struct image *)handle)->drv, block_status);
}

/* Each costs a network round trip or two. A client asks again for what the answer leaves out. */
#define MOST_EXTENTS 64

static int plugin_extents(void *handle, uint32_t count, uint64_t offset, uint32_t flags, struct nbdkit_extents *extents)
{
    struct image *image = handle;
    uint64_t end = offset + count;
    int n;

    for (n = 0; offset < end && n < MOST_EXTENTS; n++) {
        BlkError error = {.struct_size = sizeof(error)};
        BlkBlockStatus status = {.struct_size = sizeof(status)};
        uint32_t type = 0;
        int ret = image->drv->block_status(&image->bs, offset, end - offset, &status, &error);

        if (ret < 0) {
            nbdkit_error("%s", error.message);
            nbdkit_set_error(nbd_errno(-ret));
            return -1;
        }
        if (status.flags & BLK_STATUS_ZERO)
            type |= NBDKIT_EXTENT_ZERO;
        if (status.flags & BLK_STATUS_HOLE)
            type |= NBDKIT_EXTENT_HOLE;
        if (nbdkit_add_extent(extents, offset, status.length, type) < 0)
            return -1;
        if (flags & NBDKIT_FLAG_REQ_ONE)
            break;
        offset += status.length;
    }
    return 0;
}

static struct nbdkit_plugin plugin = {
    .name = "gluster",
    .longname = "GlusterFS images, by blkgluster",
    .version = PLUGIN_VERSION,
    .description = "Serves an image that lies on a GlusterFS volume.",
    .load = plugin_load,
    .unload = plugin_unload,
    .dump_plugin = plugin_dump,
    .config = params_set,
    .config_complete = plugin_config_complete,
    .config_help = PLUGIN_CONFIG_HELP,
    .magic_config_key = "uri",
    .get_ready = check_image,
    .cleanup = images_end, /* nbdkit does not call .close for connections that it ends when it is told to end */
    .open = plugin_open,
    .close = plugin_close,
    .get_size = plugin_get_size,
    .can_write = plugin_can_write,
    .can_multi_conn = plugin_can_multi_conn,
    .can_fua = plugin_can_fua,
    .can_fast_zero = plugin_can_fast_zero,
    .can_extents = plugin_can_extents,
    .block_size = plugin_block_size,
    .export_description = plugin_export_description,
    .pread = plugin_pread,
    .pwrite = plugin_pwrite,
    .flush = plugin_flush,
    .trim = plugin_trim,
    .zero = plugin_zero,
    .extents = plugin_extents,
};

NBDKIT_REGISTER_PLUGIN(plugin)
