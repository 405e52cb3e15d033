/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The *_async calls: a request is made, accepted and sent on its way. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define COPIES_UP_TO (INT64_C(1) << 30) /* more is refused at execution */

static int64_t iov_bytes(const struct iovec *iov, int iovcnt)
{
    int64_t sum = 0;

    for (int i = 0; i < iovcnt; i++)
        sum += (int64_t)iov[i].iov_len;
    return sum;
}

/* The caller may reuse both the array and the data as soon as submit returns. */
static bool copy_iov(struct request *request, const struct iovec *iov, int iovcnt)
{
    char *to;

    if (request->kind == IO_WRITE) {
        to = request->copy = malloc((size_t)request->length + 1);
        if (!to)
            return false;
        request->few[0] = (struct iovec){ to, (size_t)request->length };
        for (int i = 0; i < iovcnt; i++) {
            if (iov[i].iov_len)
                memcpy(to, iov[i].iov_base, iov[i].iov_len);
            to += iov[i].iov_len;
        }
        request->iovcnt = 1;
        return true;
    }
    if (iovcnt > (int)(sizeof(request->few) / sizeof(request->few[0]))) {
        request->iov = malloc((size_t)iovcnt * sizeof(*iov));
        if (!request->iov)
            return false;
    }
    if (iovcnt > 0)
        memcpy(request->iov, iov, (size_t)iovcnt * sizeof(*iov));
    request->iovcnt = iovcnt;
    return true;
}

static int how(struct request *request)
{
    enum fake_action action = request->verdict.action;
    int mode = SETTING(mode);

    request->due_ns = 0;
    if (action == FAKE_HOLD)
        mode = FAKE_HELD;
    else if (action == FAKE_ON_SUBMITTER)
        mode = FAKE_INLINE;
    else if (action == FAKE_DELAY)
        mode = FAKE_DELAYED;
    if (mode == FAKE_DELAYED)
        request->due_ns =
            now_ns() + 1000 * (action == FAKE_DELAY
                                   ? (uint64_t)request->verdict.arg
                                   : counted(&settings.delay_us));
    if (action == FAKE_HOLD || action == FAKE_ON_SUBMITTER ||
        action == FAKE_DELAY)
        request->verdict.action = FAKE_PASS;
    return mode;
}

/* What has ended is only looked up when the last value known would make a new
 * maximum: its line belongs to the network thread. */
static void account(glfs_fd_t *fd)
{
    uint64_t ended, begun;

    if (thread_state.fs_id_set != FS_ID_ALL)
        count(&record.io_without_fs_id, 1);
    atomic_fetch_add(&fd->submitted, 1);
    begun = atomic_fetch_add(&record.submitted, 1) + 1;
    if (begun - counted(&record.ended) <= counted(&record.max_in_flight))
        return;
    ended = atomic_load(&record.delivered) + atomic_load(&record.dropped);
    atomic_store_explicit(&record.ended, ended, memory_order_relaxed);
    if (begun > ended)
        count_max(&record.max_in_flight, begun - ended);
}

static int refuse(int err)
{
    count(&record.refused, 1);
    errno = err;
    return -1;
}

static int submit(enum fake_op op, enum io_kind kind, glfs_fd_t *fd,
                  const struct iovec *iov, int iovcnt, int64_t offset,
                  int64_t length, glfs_io_cbk callback, void *data)
{
    struct verdict verdict = enter(op, fd ? fd->fs->volume_name : NULL);
    _Atomic uint32_t delivered = 0;
    struct request own, *request;
    int mode;

    if (!check_fd(op, fd))
        return refuse(errno);
    if (iov)
        length = iov_bytes(iov, iovcnt);
    record_transfer(op, fd, (uint64_t)offset, (uint64_t)length, iovcnt);
    if (verdict.action == FAKE_REFUSE)
        return refuse(verdict.err);

    own.verdict = verdict;
    mode = how(&own);
    request = mode == FAKE_INLINE ? &own : request_get();
    if (!request)
        return refuse(ENOMEM);
    request->verdict = own.verdict;
    request->due_ns = own.due_ns;
    request->fd = fd;
    request->callback = callback;
    request->data = data;
    request->offset = offset;
    request->length = length;
    request->delivered = NULL;
    request->op = (uint8_t)op;
    request->kind = (uint8_t)kind;
    request->order = (uint8_t)SETTING(order);
    request->storage = SETTING(storage) || kind == IO_TRUNCATE;
    request->orphaned = false;
    request->blocked = false;
    request->iov = request->few;
    request->iovcnt = 0;
    request->copy = NULL;
    if (request->storage && iov && length < COPIES_UP_TO &&
        !copy_iov(request, iov, iovcnt)) {
        if (request != &own)
            requests_put(request, request);
        return refuse(ENOMEM);
    }

    account(fd);
    switch (mode) {
    case FAKE_INLINE:
        complete(request, true);
        break;
    case FAKE_HELD:
        hold_request(request);
        break;
    case FAKE_BEFORE_RETURN:
        /* In a callback, which is noted as misuse, it would wait for itself. */
        if (!thread_state.callback_depth)
            request->delivered = &delivered;
        lane_push(fd->fs, request);
        if (!thread_state.callback_depth)
            wait_delivered(&delivered);
        break;
    default:
        lane_push(fd->fs, request);
        break;
    }
    return (int)success(0);
}

EXPORT int glfs_preadv_async(glfs_fd_t *fd, const struct iovec *iov, int iovcnt,
                             off_t offset, int flags, glfs_io_cbk fn, void *data)
{
    (void)flags;
    return submit(FAKE_PREADV_ASYNC, IO_READ, fd, iov, iovcnt, offset, 0, fn,
                  data);
}

EXPORT int glfs_pwritev_async(glfs_fd_t *fd, const struct iovec *iov, int iovcnt,
                              off_t offset, int flags, glfs_io_cbk fn,
                              void *data)
{
    (void)flags;
    return submit(FAKE_PWRITEV_ASYNC, IO_WRITE, fd, iov, iovcnt, offset, 0, fn,
                  data);
}

EXPORT int glfs_pread_async(glfs_fd_t *fd, void *buf, size_t count, off_t offset,
                            int flags, glfs_io_cbk fn, void *data)
{
    struct iovec iov = { buf, count };

    (void)flags;
    return submit(FAKE_PREAD_ASYNC, IO_READ, fd, &iov, 1, offset, 0, fn, data);
}

EXPORT int glfs_pwrite_async(glfs_fd_t *fd, const void *buf, int count,
                             off_t offset, int flags, glfs_io_cbk fn, void *data)
{
    struct iovec iov = { (void *)buf, (size_t)count };

    (void)flags;
    return submit(FAKE_PWRITE_ASYNC, IO_WRITE, fd, &iov, 1, offset, 0, fn, data);
}

EXPORT int glfs_fsync_async(glfs_fd_t *fd, glfs_io_cbk fn, void *data)
{
    return submit(FAKE_FSYNC_ASYNC, IO_SYNC, fd, NULL, 0, 0, 0, fn, data);
}

EXPORT int glfs_fdatasync_async(glfs_fd_t *fd, glfs_io_cbk fn, void *data)
{
    return submit(FAKE_FDATASYNC_ASYNC, IO_SYNC, fd, NULL, 0, 0, 0, fn, data);
}

EXPORT int glfs_discard_async(glfs_fd_t *fd, off_t offset, size_t length,
                              glfs_io_cbk fn, void *data)
{
    return submit(FAKE_DISCARD_ASYNC, IO_DISCARD, fd, NULL, 0, offset,
                  (int64_t)length, fn, data);
}

EXPORT int glfs_zerofill_async(glfs_fd_t *fd, off_t offset, off_t length,
                               glfs_io_cbk fn, void *data)
{
    return submit(FAKE_ZEROFILL_ASYNC, IO_ZEROFILL, fd, NULL, 0, offset, length,
                  fn, data);
}

EXPORT int glfs_ftruncate_async(glfs_fd_t *fd, off_t length, glfs_io_cbk fn,
                                void *data)
{
    return submit(FAKE_FTRUNCATE_ASYNC, IO_TRUNCATE, fd, NULL, 0, 0, length, fn,
                  data);
}
