/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The four BlockDrivers, and what QEMU runs when it loads the module. */
#include "compat.h"

#include "host.h"
#include "image.h"
#include "node.h"

static QemuOptsList create_opts = {
    .name = "gluster-create-opts",
    .head = QTAILQ_HEAD_INITIALIZER(create_opts.head),
    .desc = {
        { .name = BLOCK_OPT_SIZE, .type = QEMU_OPT_SIZE, .help = "Virtual disk size" },
        { .name = BLOCK_OPT_PREALLOC,
          .type = QEMU_OPT_STRING,
          .help = "Preallocation mode (allowed values: off, falloc, full)" },
        { .name = "debug", .type = QEMU_OPT_NUMBER, .help = "Level of Gluster's messages, 0 (none) to 9 (all)" },
        { .name = "logfile", .type = QEMU_OPT_STRING, .help = "File for Gluster's messages" },
        { /* end of list */ }
    }
};

/* Options that make it another image: QEMU keeps them in the file names that it makes. */
static const char *const strong_opts[] = { "volume", "path", "server.", NULL };

/* format_name is the same for all: -blockdev driver=gluster takes the one that was registered last. */
#define DRIVER(name, protocol)                                                                                         \
    static BlockDriver name = {                                                                                        \
        .format_name = "gluster",                                                                                      \
        .protocol_name = protocol,                                                                                     \
        .instance_size = sizeof(GlusterNode),                                                                          \
        .create_opts = &create_opts,                                                                                   \
        .strong_runtime_opts = strong_opts,                                                                            \
        .SLOT_OPEN = node_open,                                                                                        \
        .bdrv_close = node_close,                                                                                      \
        .bdrv_reopen_prepare = node_reopen_prepare,                                                                    \
        .bdrv_reopen_commit = node_reopen_commit,                                                                      \
        .bdrv_reopen_abort = node_reopen_abort,                                                                        \
        .bdrv_inactivate = node_inactivate,                                                                            \
        .bdrv_check_perm = node_check_perm,                                                                            \
        .bdrv_set_perm = node_set_perm,                                                                                \
        .bdrv_abort_perm_update = node_abort_perm_update,                                                              \
        .bdrv_co_create = node_co_create,                                                                              \
        .bdrv_co_create_opts = node_co_create_opts,                                                                    \
        .SLOT_GETLENGTH = node_getlength,                                                                              \
        .SLOT_ALLOCATED = node_allocated,                                                                              \
        .bdrv_co_truncate = node_co_truncate,                                                                          \
        .bdrv_has_zero_init = node_has_zero_init,                                                                      \
        .bdrv_refresh_limits = node_refresh_limits,                                                                    \
        .bdrv_attach_aio_context = node_attach_aio_context,                                                            \
        .bdrv_detach_aio_context = node_detach_aio_context,                                                            \
        .bdrv_co_preadv = node_co_preadv,                                                                              \
        .bdrv_co_pwritev = node_co_pwritev,                                                                            \
        .bdrv_co_pdiscard = node_co_pdiscard,                                                                          \
        .bdrv_co_block_status = node_co_block_status,                                                                  \
        .bdrv_co_pwrite_zeroes = node_co_pwrite_zeroes,                                                                \
        .bdrv_co_flush_to_disk = node_co_flush,                                                                        \
        PLUG_SLOTS                                                                                                     \
    }

#if HAVE_PLUG
#define PLUG_SLOTS .bdrv_io_plug = node_io_plug, .bdrv_io_unplug = node_io_unplug,
#else
#define PLUG_SLOTS
#endif

DRIVER(gluster_rdma, "gluster+rdma");
DRIVER(gluster_unix, "gluster+unix");
DRIVER(gluster_tcp, "gluster+tcp");
DRIVER(gluster, "gluster");

static void gluster_init(void)
{
    if (host_init() < 0) {
        return;
    }
    bdrv_register(&gluster_rdma);
    bdrv_register(&gluster_unix);
    bdrv_register(&gluster_tcp);
    bdrv_register(&gluster);
}

block_init(gluster_init);

/* QEMU looks for these two before it lets a module in. The first one's name holds the stamp of the one QEMU that it is
 * for. */
void DSO_STAMP_FUN(void)
{
}

void qemu_module_dummy(void)
{
}
