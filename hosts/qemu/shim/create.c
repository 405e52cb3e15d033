/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "compat.h"
#include "qapi/qapi-types-block-core.h"

#include "host.h"
#include "location.h"
#include "node.h"

/* Takes `location`. Blocks the caller until connected, and while space is allocated, as QEMU's own driver does. */
static int create(GlusterLocation location, const char *filename, uint64_t size, const char *preallocation,
                  Error **errp)
{
    BlkError error = { .struct_size = sizeof(error) };
    g_autofree char *bytes = g_strdup_printf("%" PRIu64, size);
    int ret;

    location = location_with_locking(location);
    location = location_with(location, "size", bytes);
    location = location_with(location, "preallocation", preallocation);
    ret = host_driver(filename)->create(filename, location, &error);
    if (ret < 0) {
        error_setg(errp, "%s", error.message);
    }
    location_free(location);
    return ret;
}

int coroutine_fn node_co_create_opts(BlockDriver *drv, const char *filename, QemuOpts *opts, Error **errp)
{
    uint64_t size = qemu_opt_get_size_del(opts, BLOCK_OPT_SIZE, 0);
    g_autofree char *preallocation = qemu_opt_get_del(opts, BLOCK_OPT_PREALLOC);
    g_autofree char *debug = qemu_opt_get_del(opts, "debug");
    g_autofree char *logfile = qemu_opt_get_del(opts, "logfile");
    GlusterLocation location = location_with(NULL, "debug", debug);

    (void)drv;
    return create(location_with(location, "logfile", logfile), filename, size, preallocation, errp);
}

int coroutine_fn node_co_create(BlockdevCreateOptions *options, Error **errp)
{
    const BlockdevCreateOptionsGluster *gluster = &options->u.gluster;
    const char *mode = gluster->has_preallocation ? PreallocMode_str(gluster->preallocation) : NULL;

    return create(location_from_qapi(gluster->location), NULL, gluster->size, mode, errp);
}
