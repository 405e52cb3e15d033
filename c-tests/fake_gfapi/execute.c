/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One transfer against the store, synchronous or not. */
#include "internal.h"

#include <limits.h>
#include <string.h>

#define LARGEST (INT64_C(1) << 30)
/* A larger zerofill leaves holes: a test zeroes terabytes. */
#define ZEROFILL_ALLOCATES (INT64_C(64) << 20)

/* Moves up to `length` bytes, also over more than IOV_MAX vectors. */
static int64_t transfer(struct io *io, int64_t length)
{
    const struct iovec *iov = io->iov;
    int left = io->iovcnt;
    int64_t done = 0;

    while (left > 0 && done < length) {
        struct iovec batch[64];
        int n = 0;
        int64_t want = 0;
        ssize_t ret;

        for (; n < 64 && n < left && done + want < length; n++) {
            batch[n] = iov[n];
            if ((int64_t)batch[n].iov_len > length - done - want)
                batch[n].iov_len = (size_t)(length - done - want);
            want += (int64_t)batch[n].iov_len;
        }
        ret = io->kind == IO_READ
                  ? preadv(io->fd->kernel_fd, batch, n, io->offset + done)
                  : pwritev(io->fd->kernel_fd, batch, n, io->offset + done);
        if (ret < 0)
            return done ? done : -1;
        done += ret;
        if (ret < want)
            break;
        iov += n;
        left -= n;
    }
    return done;
}

int discard(glfs_fd_t *fd, int64_t offset, int64_t length)
{
    if (fallocate(fd->kernel_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                  offset, length) < 0)
        return errno;
    return 0;
}

int zerofill(glfs_fd_t *fd, int64_t offset, int64_t length)
{
    struct stat st;
    int err = discard(fd, offset, length);

    if (err || fstat(fd->kernel_fd, &st) < 0)
        return err ? err : errno;
    if (length <= ZEROFILL_ALLOCATES) {
        err = store_room(fd->fs->volume, (uint64_t)length);
        if (!err && fallocate(fd->kernel_fd, 0, offset, length) < 0)
            err = errno;
        return err;
    }
    if (offset > INT64_MAX - length)
        return EFBIG;
    if (offset + length > st.st_size &&
        ftruncate(fd->kernel_fd, offset + length) < 0)
        return errno;
    return 0;
}

static void note(struct io *io, struct glfs_stat *out)
{
    struct stat st;

    memset(out, 0, sizeof(*out));
    if (!io->storage || store_fstat(io->fd->node, &st))
        return;
    out->glfs_st_mask = GLFS_STAT_BASIC_STATS;
    out->glfs_st_mode = st.st_mode;
    out->glfs_st_ino = st.st_ino;
    out->glfs_st_size = st.st_size;
    out->glfs_st_blocks = st.st_blocks;
    out->glfs_st_nlink = st.st_nlink;
    out->glfs_st_atime = st.st_atim;
    out->glfs_st_mtime = st.st_mtim;
    out->glfs_st_ctime = st.st_ctim;
}

static bool misaligned(const struct io *io)
{
    int64_t unit = (int64_t)counted(&settings.alignment);

    return unit > 0 && (io->fd->flags & O_DIRECT) &&
           (io->offset % unit || io->length % unit);
}

/* The checks a brick makes, and the connection's limit. Returns an errno. */
static int refusal(const struct io *io)
{
    bool moves = io->kind == IO_READ || io->kind == IO_WRITE;

    if (io->kind == IO_SYNC)
        return 0;
    if (io->kind == IO_TRUNCATE)
        return io->length < 0 ? EINVAL : 0;
    if (io->offset < 0 || io->length < 0 ||
        (io->length == 0 && io->kind != IO_WRITE))
        return EINVAL;
    if (moves && io->length >= LARGEST) {
        violation(FAKE_V_TOO_LARGE, io->op, "1 GiB or more in one transfer");
        return ENOTCONN;
    }
    return moves && misaligned(io) ? EINVAL : 0;
}

static int64_t perform(struct io *io)
{
    int64_t length = io->length;
    int err = 0;

    if (io->verdict.action == FAKE_SHORT &&
        (io->kind == IO_READ || io->kind == IO_WRITE))
        length = io->verdict.arg < length ? length - io->verdict.arg : 0;
    if (!io->storage)
        return io->kind == IO_READ || io->kind == IO_WRITE ? length : 0;
    switch (io->kind) {
    case IO_READ:
    case IO_WRITE:
        return transfer(io, length);
    case IO_DISCARD:
        err = discard(io->fd, io->offset, length);
        break;
    case IO_ZEROFILL:
        err = zerofill(io->fd, io->offset, length);
        break;
    case IO_TRUNCATE:
        if (ftruncate(io->fd->kernel_fd, length) < 0)
            err = errno;
        break;
    case IO_SYNC:
        break;
    }
    errno = err;
    return err ? -1 : 0;
}

static void fail(struct io *io, int err)
{
    io->ret = -1;
    io->err = err;
}

static void attempt(struct io *io)
{
    int err = refusal(io);

    if (io->verdict.action == FAKE_FAIL || io->verdict.action == FAKE_REFUSE)
        err = io->verdict.err;
    else if (io->verdict.action == FAKE_ZERO) {
        io->ret = 0;
        return;
    } else if (!err) {
        io->ret = perform(io);
        if (io->ret < 0)
            fail(io, errno);
        else if (io->verdict.action == FAKE_FORCE)
            io->ret = io->verdict.arg;
        return;
    }
    fail(io, err);
}

void execute(struct io *io)
{
    int stat_mode = SETTING(stat_mode);

    io->has_pre = io->kind != IO_READ && stat_mode != FAKE_STAT_NULL;
    io->has_post = stat_mode != FAKE_STAT_NULL;
    io->err = garbage_errno();
    if (io->has_pre)
        note(io, &io->pre);
    attempt(io);
    if (io->has_post)
        note(io, &io->post);
    if (io->ret >= 0 && io->kind == IO_READ && io->ret < io->length)
        io->err = ENOENT;
    if (io->ret > 0 && (io->kind == IO_READ || io->kind == IO_WRITE))
        atomic_store_explicit(&io->fd->offset, io->offset + io->ret,
                              memory_order_relaxed);
    if (stat_mode == FAKE_STAT_GARBAGE) {
        memset(&io->pre, 0xa5, sizeof(io->pre));
        memset(&io->post, 0xa5, sizeof(io->post));
    } else if (stat_mode == FAKE_STAT_ZEROED || io->ret < 0) {
        memset(&io->pre, 0, sizeof(io->pre));
        memset(&io->post, 0, sizeof(io->post));
    }
}
