/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The synchronous calls on paths and fds. */
#include "internal.h"

#include <stdlib.h>
#include <stdio.h>
#include <string.h>

static const char *volume_of(const glfs_t *fs)
{
    return fs ? fs->volume_name : NULL;
}

static const char *volume_of_fd(const glfs_fd_t *fd)
{
    return fd ? fd->fs->volume_name : NULL;
}

static bool begin(enum fake_op op, glfs_t *fs)
{
    struct verdict verdict;

    return enter_sync(op, volume_of(fs), &verdict) && check_fs(op, fs);
}

static bool begin_fd(enum fake_op op, glfs_fd_t *fd, struct verdict *verdict)
{
    return enter_sync(op, volume_of_fd(fd), verdict) && check_fd(op, fd);
}

static int64_t outcome(int err)
{
    if (!err)
        return success(0);
    errno = err;
    return -1;
}

/* ---- paths --------------------------------------------------------------- */

static glfs_fd_t *open_fd(enum fake_op op, glfs_t *fs, const char *path,
                          int flags, mode_t mode)
{
    glfs_fd_t *fd;
    int err;

    if (!begin(op, fs))
        return NULL;
    fd = aligned_alloc(CACHE_LINE, sizeof(*fd));
    if (!fd)
        return NULL;
    memset(fd, 0, sizeof(*fd));
    fd->fs = fs;
    fd->flags = flags;
    pthread_mutex_init(&fd->lock, NULL);
    err = store_open(fs->volume, path, flags, op == FAKE_CREAT, mode, &fd->node,
                     &fd->kernel_fd);
    if (err) {
        free(fd);
        errno = err;
        return NULL;
    }
    pthread_mutex_lock(&fs->lock);
    fd->next_of_fs = fs->fds;
    fs->fds = fd;
    pthread_mutex_unlock(&fs->lock);
    count(&record.open_fds, 1);
    success(0);
    return fd;
}

EXPORT glfs_fd_t *glfs_open(glfs_t *fs, const char *path, int flags)
{
    return open_fd(FAKE_OPEN, fs, path, flags, 0);
}

EXPORT glfs_fd_t *glfs_creat(glfs_t *fs, const char *path, int flags, mode_t mode)
{
    return open_fd(FAKE_CREAT, fs, path, flags, mode);
}

EXPORT int glfs_unlink(glfs_t *fs, const char *path)
{
    if (!begin(FAKE_UNLINK, fs))
        return -1;
    return (int)outcome(store_unlink(fs->volume, path));
}

EXPORT int glfs_mkdir(glfs_t *fs, const char *path, mode_t mode)
{
    (void)mode;
    if (!begin(FAKE_MKDIR, fs))
        return -1;
    return (int)outcome(store_mkdir(fs->volume, path));
}

/* Tests run as root, to whom a brick grants everything. */
EXPORT int glfs_access(glfs_t *fs, const char *path, int mode)
{
    struct stat st;

    (void)mode;
    if (!begin(FAKE_ACCESS, fs))
        return -1;
    return (int)outcome(store_stat(fs->volume, path, &st));
}

/* The only link there is leads to the active graph. */
EXPORT int glfs_readlink(glfs_t *fs, const char *path, char *buf, size_t size)
{
    struct stat st;
    char name[32];
    size_t length = (size_t)snprintf(name, sizeof(name), "graph-%u", SETTING(graph));
    int err;

    if (!begin(FAKE_READLINK, fs))
        return -1;
    err = store_stat(fs->volume, path, &st);
    if (!err && strcmp(path, "/.meta/graphs/active"))
        err = EINVAL;
    if (err)
        return (int)outcome(err);
    if (length > size)
        length = size;
    memcpy(buf, name, length);
    return (int)success((int64_t)length);
}

EXPORT int glfs_stat(glfs_t *fs, const char *path, struct stat *st)
{
    struct stat own;

    if (!begin(FAKE_STAT, fs))
        return -1;
    return (int)outcome(store_stat(fs->volume, path, st ? st : &own));
}

EXPORT int glfs_statvfs(glfs_t *fs, const char *path, struct statvfs *out)
{
    uint64_t capacity = counted(&settings.capacity), used;
    struct stat st;
    int err;

    if (!begin(FAKE_STATVFS, fs))
        return -1;
    err = store_stat(fs->volume, path, &st);
    if (err)
        return (int)outcome(err);
    used = store_used(fs->volume);
    memset(out, 0, sizeof(*out));
    out->f_bsize = out->f_frsize = 4096;
    out->f_namemax = 255;
    out->f_blocks = capacity / 4096;
    out->f_bfree = out->f_bavail = used < capacity ? (capacity - used) / 4096 : 0;
    return (int)success(0);
}

/* ---- fds ----------------------------------------------------------------- */

EXPORT int glfs_close(glfs_fd_t *fd)
{
    struct verdict verdict;
    bool fails = !enter_sync(FAKE_CLOSE, volume_of_fd(fd), &verdict);
    int err = errno;

    if (!check_fd(FAKE_CLOSE, fd))
        return -1;
    if (fd->lock_owner)
        thread_state.lock_owner = fd->lock_owner;
    locks_drop(fd->fs, fd->node, thread_state.lock_owner);

    pthread_mutex_lock(&fd->lock);
    atomic_store(&fd->closed, true);
    if (atomic_load(&fd->finished) != atomic_load(&fd->submitted)) {
        violation(FAKE_V_CLOSE_IN_FLIGHT, FAKE_CLOSE,
                  "requests are in flight, their callbacks are lost");
    } else if (atomic_load(&fd->inside)) {
        violation(FAKE_V_CLOSE_IN_FLIGHT, FAKE_CLOSE,
                  "a synchronous call has not returned");
    } else {
        close(fd->kernel_fd);
        fd->kernel_fd = -1;
        store_close(fd->node);
    }
    pthread_mutex_unlock(&fd->lock);
    atomic_fetch_sub(&record.open_fds, 1);
    if (fails) {
        errno = err;
        return -1;
    }
    return (int)success(0);
}

EXPORT glfs_fd_t *glfs_dup(glfs_fd_t *fd)
{
    struct verdict verdict;
    glfs_fd_t *twin;

    if (!begin_fd(FAKE_DUP, fd, &verdict))
        return NULL;
    twin = aligned_alloc(CACHE_LINE, sizeof(*twin));
    if (!twin)
        return NULL;
    memset(twin, 0, sizeof(*twin));
    twin->fs = fd->fs;
    twin->node = fd->node;
    twin->flags = fd->flags;
    pthread_mutex_init(&twin->lock, NULL);
    twin->kernel_fd = store_dup(fd->node);
    pthread_mutex_lock(&fd->fs->lock);
    twin->next_of_fs = fd->fs->fds;
    fd->fs->fds = twin;
    pthread_mutex_unlock(&fd->fs->lock);
    count(&record.open_fds, 1);
    success(0);
    return twin;
}

EXPORT int glfs_fstat(glfs_fd_t *fd, struct stat *st)
{
    struct verdict verdict;
    struct stat own;

    if (!begin_fd(FAKE_FSTAT, fd, &verdict))
        return -1;
    return (int)outcome(store_fstat(fd->node, st ? st : &own));
}

/* Like the real one it leaves the result in the fd and reads it back from
 * there, where async completions put their offsets, too. */
EXPORT off_t glfs_lseek(glfs_fd_t *fd, off_t offset, int whence)
{
    struct verdict verdict;
    struct stat st;
    off_t at;

    if (!begin_fd(FAKE_LSEEK, fd, &verdict))
        return -1;
    switch (whence) {
    case SEEK_SET:
        at = offset;
        break;
    case SEEK_CUR:
        at = atomic_load(&fd->offset) + offset;
        break;
    case SEEK_END:
        if (fstat(fd->kernel_fd, &st) < 0)
            return -1;
        at = st.st_size + offset;
        break;
    case SEEK_DATA:
    case SEEK_HOLE:
        if (atomic_load(&fd->submitted) != atomic_load(&fd->finished))
            violation(FAKE_V_SEEK_IN_FLIGHT, FAKE_LSEEK,
                      "async requests of this fd overwrite the result");
        if (strncmp(volume_of_fd(fd), "disperse", 8) == 0 &&
            fstat(fd->kernel_fd, &st) == 0 && offset >= st.st_size)
            violation(FAKE_V_SEEK_DISPERSE, FAKE_LSEEK,
                      "the length of the file becomes 0");
        at = lseek(fd->kernel_fd, offset, whence);
        if (at < 0 && verdict.action != FAKE_FORCE)
            return -1;
        break;
    default:
        errno = EINVAL;
        return -1;
    }
    atomic_store(&fd->offset, at);
    if (verdict.action == FAKE_FORCE)
        return success(verdict.arg);
    return success(atomic_load(&fd->offset));
}

EXPORT int glfs_fallocate(glfs_fd_t *fd, int keep_size, off_t offset, size_t len)
{
    struct verdict verdict;
    int err;

    if (!begin_fd(FAKE_FALLOCATE, fd, &verdict))
        return -1;
    record_transfer(FAKE_FALLOCATE, fd, (uint64_t)offset, len, 0);
    err = store_room(fd->fs->volume, len);
    if (!err && fallocate(fd->kernel_fd, keep_size ? FALLOC_FL_KEEP_SIZE : 0,
                          offset, (off_t)len) < 0)
        err = errno;
    return (int)outcome(err);
}

static int64_t transfer(enum fake_op op, enum io_kind kind, glfs_fd_t *fd,
                        const struct iovec *iov, int iovcnt, int64_t offset,
                        int64_t length, struct glfs_stat *pre,
                        struct glfs_stat *post)
{
    struct io io = { .fd = fd,
                     .kind = kind,
                     .op = op,
                     .iov = iov,
                     .iovcnt = iovcnt,
                     .storage = SETTING(storage) || kind == IO_TRUNCATE,
                     .offset = offset,
                     .length = length };

    if (fd)
        atomic_fetch_add(&fd->inside, 1);
    if (begin_fd(op, fd, &io.verdict)) {
        for (int i = 0; i < iovcnt; i++)
            io.length += (int64_t)iov[i].iov_len;
        record_transfer(op, fd, (uint64_t)offset, (uint64_t)io.length, iovcnt);
        execute(&io);
    } else {
        io.ret = -1;
        io.err = errno;
    }
    if (fd)
        atomic_fetch_sub(&fd->inside, 1);
    if (io.ret >= 0 && pre)
        *pre = io.pre;
    if (io.ret >= 0 && post)
        *post = io.post;
    errno = io.err;
    return io.ret;
}

EXPORT ssize_t glfs_preadv(glfs_fd_t *fd, const struct iovec *iov, int iovcnt,
                           off_t offset, int flags)
{
    (void)flags;
    return transfer(FAKE_PREADV, IO_READ, fd, iov, iovcnt, offset, 0, NULL, NULL);
}

EXPORT ssize_t glfs_pwritev(glfs_fd_t *fd, const struct iovec *iov, int iovcnt,
                            off_t offset, int flags)
{
    (void)flags;
    return transfer(FAKE_PWRITEV, IO_WRITE, fd, iov, iovcnt, offset, 0, NULL,
                    NULL);
}

EXPORT ssize_t glfs_pread(glfs_fd_t *fd, void *buf, size_t count, off_t offset,
                          int flags, struct glfs_stat *post)
{
    struct iovec iov = { buf, count };

    (void)flags;
    return transfer(FAKE_PREAD, IO_READ, fd, &iov, 1, offset, 0, NULL, post);
}

EXPORT ssize_t glfs_pwrite(glfs_fd_t *fd, const void *buf, size_t count,
                           off_t offset, int flags, struct glfs_stat *pre,
                           struct glfs_stat *post)
{
    struct iovec iov = { (void *)buf, count };

    (void)flags;
    return transfer(FAKE_PWRITE, IO_WRITE, fd, &iov, 1, offset, 0, pre, post);
}

EXPORT int glfs_fsync(glfs_fd_t *fd, struct glfs_stat *pre,
                      struct glfs_stat *post)
{
    return (int)transfer(FAKE_FSYNC, IO_SYNC, fd, NULL, 0, 0, 0, pre, post);
}

EXPORT int glfs_fdatasync(glfs_fd_t *fd, struct glfs_stat *pre,
                          struct glfs_stat *post)
{
    return (int)transfer(FAKE_FDATASYNC, IO_SYNC, fd, NULL, 0, 0, 0, pre, post);
}

EXPORT int glfs_ftruncate(glfs_fd_t *fd, off_t length, struct glfs_stat *pre,
                          struct glfs_stat *post)
{
    return (int)transfer(FAKE_FTRUNCATE, IO_TRUNCATE, fd, NULL, 0, 0, length,
                         pre, post);
}

EXPORT int glfs_discard(glfs_fd_t *fd, off_t offset, size_t length)
{
    return (int)transfer(FAKE_DISCARD, IO_DISCARD, fd, NULL, 0, offset,
                         (int64_t)length, NULL, NULL);
}

EXPORT int glfs_zerofill(glfs_fd_t *fd, off_t offset, off_t length)
{
    int ret;

    if (fd && atomic_fetch_add(&fd->zerofills, 1))
        violation(FAKE_V_ZEROFILL_TOGETHER, FAKE_ZEROFILL, "another one is under way on this fd");
    ret = (int)transfer(FAKE_ZEROFILL, IO_ZEROFILL, fd, NULL, 0, offset, length, NULL, NULL);
    if (fd)
        atomic_fetch_sub(&fd->zerofills, 1);
    return ret;
}
