/* SPDX-License-Identifier: GPL-2.0-or-later */
/* glfs_posix_lock on the kernel's open-file-description locks: one description
 * per connection, file and lock owner, since that is what a brick tells
 * holders apart by. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

struct holder {
    glfs_t *fs;
    struct node *node;
    uint32_t owner;
    int kernel_fd;
    struct holder *next;
};

struct owner {
    unsigned char bytes[255];
    int length;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct holder *holders;
static struct owner *owners;
static uint32_t owner_total;

/* Ids count from 1; 0 is the owner of fds without one. */
uint32_t lock_owner_id(const void *bytes, int length)
{
    uint32_t id = 0;

    pthread_mutex_lock(&lock);
    for (uint32_t i = 0; i < owner_total && !id; i++)
        if (owners[i].length == length &&
            memcmp(owners[i].bytes, bytes, (size_t)length) == 0)
            id = i + 1;
    if (!id) {
        owners = realloc(owners, (owner_total + 1) * sizeof(*owners));
        if (!owners)
            abort();
        memcpy(owners[owner_total].bytes, bytes, (size_t)length);
        owners[owner_total].length = length;
        id = ++owner_total;
    }
    pthread_mutex_unlock(&lock);
    return id;
}

EXPORT int glfs_fd_set_lkowner(glfs_fd_t *fd, void *data, int len)
{
    struct verdict verdict;

    if (!enter_sync(FAKE_FD_SET_LKOWNER, fd ? fd->fs->volume_name : NULL,
                    &verdict) ||
        !check_fd(FAKE_FD_SET_LKOWNER, fd))
        return -1;
    if (!data || len <= 0 || len > GFAPI_MAX_LOCK_OWNER_LEN) {
        errno = EINVAL;
        return -1;
    }
    fd->lock_owner = lock_owner_id(data, len);
    return (int)success(0);
}

static int holder_fd(glfs_fd_t *fd, uint32_t owner)
{
    struct holder *holder;
    int kernel_fd = -1;

    pthread_mutex_lock(&lock);
    for (holder = holders; holder; holder = holder->next)
        if (holder->fs == fd->fs && holder->node == fd->node &&
            holder->owner == owner) {
            kernel_fd = holder->kernel_fd;
            goto out;
        }
    holder = malloc(sizeof(*holder));
    kernel_fd = holder ? store_reopen(fd->node) : -1;
    if (kernel_fd < 0) {
        free(holder);
        goto out;
    }
    *holder = (struct holder){ fd->fs, fd->node, owner, kernel_fd, holders };
    holders = holder;
out:
    pthread_mutex_unlock(&lock);
    return kernel_fd;
}

/* An owner that was set on any fd stays with the thread that used it, and
 * speaks for fds without one. The real library has this trap. */
EXPORT int glfs_posix_lock(glfs_fd_t *fd, int cmd, struct flock *flock)
{
    struct verdict verdict;
    struct flock own;
    int kernel_fd;

    if (!enter_sync(FAKE_POSIX_LOCK, fd ? fd->fs->volume_name : NULL,
                    &verdict) ||
        !check_fd(FAKE_POSIX_LOCK, fd))
        return -1;
    if (!flock || (cmd != F_SETLK && cmd != F_SETLKW && cmd != F_GETLK)) {
        errno = EINVAL;
        return -1;
    }
    if (fd->lock_owner)
        thread_state.lock_owner = fd->lock_owner;
    kernel_fd = holder_fd(fd, thread_state.lock_owner);
    if (kernel_fd < 0)
        return -1;
    own = *flock;
    own.l_pid = 0; /* the kernel demands it */
    if (fcntl(kernel_fd,
              cmd == F_SETLK    ? F_OFD_SETLK
              : cmd == F_SETLKW ? F_OFD_SETLKW
                                : F_OFD_GETLK,
              &own) < 0)
        return -1;
    if (cmd == F_GETLK) {
        *flock = own;
        flock->l_pid = 0;
    }
    return (int)success(0);
}

static void drop(const glfs_t *fs, const struct node *node, uint32_t owner,
                 bool all)
{
    pthread_mutex_lock(&lock);
    for (struct holder **link = &holders; *link;) {
        struct holder *holder = *link;

        if (holder->fs != fs ||
            (!all && (holder->node != node || holder->owner != owner))) {
            link = &holder->next;
            continue;
        }
        *link = holder->next;
        close(holder->kernel_fd);
        free(holder);
    }
    pthread_mutex_unlock(&lock);
}

void locks_drop(glfs_t *fs, struct node *node, uint32_t owner)
{
    drop(fs, node, owner, false);
}

void locks_drop_all(glfs_t *fs)
{
    drop(fs, NULL, 0, true);
}
