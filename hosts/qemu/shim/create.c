/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "compat.h"
#include "qapi/qapi-types-block-core.h"

#include "host.h"
#include "location.h"
#include "node.h"

/* Blocks the caller until connected, as QEMU's own driver does. */
static int create(const GlusterLocation *location, uint64_t size, const char *preallocation, Error **errp)
{
    BlkOption options[LOCATION_OPTIONS];
    BlkError error = { .struct_size = sizeof(error) };
    g_autofree char *bytes = g_strdup_printf("%" PRIu64, size);
    int ret;

    /* Preallocation goes here. */
    if (preallocation && strcmp(preallocation, "off")) {
        error_setg(errp, "preallocation=%s is not possible yet on Gluster; there is 'off'", preallocation);
        return -ENOTSUP;
    }
    location_options(location, options, "size", bytes);
    ret = host_driver(location->uri)->create(location->uri, options, &error);
    if (ret < 0) {
        error_setg(errp, "%s", error.message);
    }
    return ret;
}

int coroutine_fn node_co_create_opts(BlockDriver *drv, const char *filename, QemuOpts *opts, Error **errp)
{
    GlusterLocation location = { .uri = (char *)filename };
    uint64_t size = qemu_opt_get_size_del(opts, BLOCK_OPT_SIZE, 0);
    g_autofree char *preallocation = qemu_opt_get_del(opts, BLOCK_OPT_PREALLOC);

    (void)drv;
    return create(&location, size, preallocation, errp);
}

int coroutine_fn node_co_create(BlockdevCreateOptions *options, Error **errp)
{
    const BlockdevCreateOptionsGluster *gluster = &options->u.gluster;
    GlusterLocation location = { 0 };
    int ret = location_from_qapi(&location, gluster->location, errp);

    if (!ret) {
        ret = create(&location, gluster->size,
                     gluster->has_preallocation ? PreallocMode_str(gluster->preallocation) : NULL, errp);
    }
    location_clear(&location);
    return ret;
}
