/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Preloaded into nbdkit: writes one line for each call that opens, closes, changes or syncs a file into the file that
 * SPY_LOG names, so that a test sees what an NBD request became. What SPY_BEFORE_CREAT says is run, once, before a file is
 * made.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <glusterfs/api/glfs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void note(const char *call, long long offset, long long length)
{
    const char *path = getenv("SPY_LOG");
    int fd = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;

    if (fd >= 0) {
        dprintf(fd, "%s %lld %lld\n", call, offset, length);
        close(fd);
    }
}

#define NEXT(name) ((__typeof__(name) *)dlsym(RTLD_NEXT, #name))

glfs_fd_t *glfs_creat(glfs_t *fs, const char *path, int flags, mode_t mode)
{
    char *command = getenv("SPY_BEFORE_CREAT");

    if (command) {
        command = strdup(command);
        unsetenv("SPY_BEFORE_CREAT");
        unsetenv("LD_PRELOAD");
        if (!command || system(command) != 0)
            abort();
        free(command);
    }
    return NEXT(glfs_creat)(fs, path, flags, mode);
}

glfs_fd_t *glfs_open(glfs_t *fs, const char *path, int flags)
{
    note("open", flags & O_ACCMODE, 0);
    return NEXT(glfs_open)(fs, path, flags);
}

int glfs_close(glfs_fd_t *fd)
{
    note("close", 0, 0);
    return NEXT(glfs_close)(fd);
}

int glfs_fsync(glfs_fd_t *fd, struct glfs_stat *before, struct glfs_stat *after)
{
    note("fsync", 0, 0);
    return NEXT(glfs_fsync)(fd, before, after);
}

int glfs_pwritev_async(glfs_fd_t *fd, const struct iovec *iov, int count, off_t offset, int flags, glfs_io_cbk fn,
                       void *data)
{
    long long length = 0;
    int i;

    for (i = 0; i < count; i++)
        length += iov[i].iov_len;
    note("write", offset, length);
    return NEXT(glfs_pwritev_async)(fd, iov, count, offset, flags, fn, data);
}

int glfs_discard(glfs_fd_t *fd, off_t offset, size_t length)
{
    note("discard", offset, length);
    return NEXT(glfs_discard)(fd, offset, length);
}

int glfs_zerofill(glfs_fd_t *fd, off_t offset, off_t length)
{
    note("zerofill", offset, length);
    return NEXT(glfs_zerofill)(fd, offset, length);
}

int glfs_discard_async(glfs_fd_t *fd, off_t offset, size_t length, glfs_io_cbk fn, void *data)
{
    note("discard", offset, length);
    return NEXT(glfs_discard_async)(fd, offset, length, fn, data);
}
