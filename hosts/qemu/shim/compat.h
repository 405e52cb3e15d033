/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU's headers, and all that differs between QEMU 7.2 and 10.0: the other files read the same for both. QEMU_MAJOR
 * comes from scripts/qemu-module.
 */
#ifndef HOSTS_QEMU_COMPAT_H
#define HOSTS_QEMU_COMPAT_H

#include "qemu/osdep.h"

/* block_int.h before block-io.h: on 7.2 the latter does not compile alone. */
#include "block/block_int.h"
#include "block/block-io.h"
#include "block/qdict.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/module.h"
#include "qemu/option.h"
#include "qemu/units.h"

/* QObject's headers have moved. */
#if QEMU_MAJOR >= 10
#include "qobject/qbool.h"
#include "qobject/qdict.h"
#include "qobject/qnum.h"
#include "qobject/qstring.h"
#else
#include "qapi/qmp/qbool.h"
#include "qapi/qmp/qdict.h"
#include "qapi/qmp/qnum.h"
#include "qapi/qmp/qstring.h"
#endif

/* One slot opens formats and protocols. */
#if QEMU_MAJOR >= 10
#define SLOT_OPEN bdrv_open
#else
#define SLOT_OPEN bdrv_file_open
#endif

/* The two that ask for a length run in a coroutine. Ours block there for a round trip, as QEMU's own do. */
#if QEMU_MAJOR >= 10
#define SLOT_GETLENGTH bdrv_co_getlength
#define SLOT_ALLOCATED bdrv_co_get_allocated_file_size
#define LENGTH_FN coroutine_fn
#else
#define SLOT_GETLENGTH bdrv_getlength
#define SLOT_ALLOCATED bdrv_get_allocated_file_size
#define LENGTH_FN
#endif

/* It looks at the graph, which has a lock by now. */
static inline int apply_auto_read_only(BlockDriverState *bs, const char *why, Error **errp)
{
    int ret;

#if QEMU_MAJOR >= 10
    bdrv_graph_rdlock_main_loop();
#endif
    ret = bdrv_apply_auto_read_only(bs, why, errp);
#if QEMU_MAJOR >= 10
    bdrv_graph_rdunlock_main_loop();
#endif
    return ret;
}

/* Drivers are no longer told of plugging; blkgluster gathers requests without it, too. */
#define HAVE_PLUG (QEMU_MAJOR < 10)

/* The handlers of block drivers need not be told from those of clients any more. */
static inline void set_fd_handler(AioContext *ctx, int fd, IOHandler *readable, AioPollFn *poll, void *opaque)
{
#if QEMU_MAJOR >= 10
    aio_set_fd_handler(ctx, fd, readable, NULL, poll, readable, opaque);
#else
    aio_set_fd_handler(ctx, fd, false, readable, NULL, poll, readable, opaque);
#endif
}

#endif
