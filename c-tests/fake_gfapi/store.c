/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The files of a volume: a memfd each, so that holes, allocation, SEEK_DATA
 * and access modes are the kernel's and not a model of them. They belong to the
 * volume's name and outlive every connection. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define MAX_PATH 1024

struct node {
    char *path; /* normalised, no leading slash; NULL once unlinked */
    bool is_dir;
    int memfd;
    mode_t mode;
    unsigned opens;
    struct node *next;
};

struct volume {
    char *name;
    struct node *nodes;
    struct volume *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct volume *volumes;

static struct node *find(struct volume *volume, const char *path)
{
    for (struct node *node = volume->nodes; node; node = node->next)
        if (node->path && strcmp(node->path, path) == 0)
            return node;
    return NULL;
}

static struct node *add(struct volume *volume, const char *path, bool is_dir,
                        mode_t mode)
{
    struct node *node = calloc(1, sizeof(*node));

    if (!node || !(node->path = strdup(path))) {
        free(node);
        errno = ENOMEM;
        return NULL;
    }
    node->memfd = memfd_create("fake_gfapi", MFD_CLOEXEC);
    if (node->memfd < 0) {
        free(node->path);
        free(node);
        return NULL;
    }
    node->is_dir = is_dir;
    node->mode = mode;
    node->next = volume->nodes;
    volume->nodes = node;
    return node;
}

static bool furnish(struct volume *volume)
{
    /* The state of the replica translator and of the client's, which a test writes. */
    static const char *const dirs[] = {"", "dir", ".meta", ".meta/graphs", ".meta/graphs/active",
                                       ".meta/graphs/active/replicate-0", ".meta/graphs/active/client-0"};

    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
        if (!add(volume, dirs[i], true, 0755))
            return false;
    return true;
}

struct volume *volume_get(const char *name)
{
    struct volume *volume;

    pthread_mutex_lock(&lock);
    for (volume = volumes; volume; volume = volume->next)
        if (strcmp(volume->name, name) == 0)
            goto out;
    volume = calloc(1, sizeof(*volume));
    if (!volume || !(volume->name = strdup(name)) || !furnish(volume)) {
        free(volume);
        volume = NULL;
        goto out;
    }
    volume->next = volumes;
    volumes = volume;
out:
    pthread_mutex_unlock(&lock);
    return volume;
}

static void drop_node(struct volume *volume, struct node *node)
{
    for (struct node **link = &volume->nodes; *link; link = &(*link)->next)
        if (*link == node) {
            *link = node->next;
            break;
        }
    close(node->memfd);
    free(node->path);
    free(node);
}

/* Walks the path. 0: *node is it, or NULL when only the last part is missing;
 * the normalised path is in `at`. */
static int resolve(struct volume *volume, const char *path, char *at,
                   struct node **node)
{
    size_t used = 0;

    if (!path || !*path)
        return EINVAL;
    at[0] = '\0';
    *node = find(volume, at);
    while (*path) {
        size_t length = strcspn(path, "/");
        const char *part = path;

        path += length + (path[length] == '/');
        if (length == 0 || (length == 1 && part[0] == '.'))
            continue;
        if (!*node)
            return ENOENT;
        if (!(*node)->is_dir)
            return ENOTDIR;
        if (length == 2 && strncmp(part, "..", 2) == 0) {
            char *slash = strrchr(at, '/');

            used = slash ? (size_t)(slash - at) : 0;
            at[used] = '\0';
        } else {
            if (used + length + 2 > MAX_PATH)
                return ENAMETOOLONG;
            if (used)
                at[used++] = '/';
            memcpy(at + used, part, length);
            used += length;
            at[used] = '\0';
        }
        *node = find(volume, at);
    }
    return 0;
}

int store_reopen(struct node *node)
{
    char link[64];

    snprintf(link, sizeof(link), "/proc/self/fd/%d", node->memfd);
    return open(link, O_RDWR | O_CLOEXEC);
}

int store_dup(struct node *node)
{
    int fd = store_reopen(node);

    if (fd >= 0) {
        pthread_mutex_lock(&lock);
        node->opens++;
        pthread_mutex_unlock(&lock);
    }
    return fd;
}

/* A description of its own, so that the kernel checks its access mode. */
static int open_node(struct node *node, int flags, int *kernel_fd)
{
    char link[64];

    snprintf(link, sizeof(link), "/proc/self/fd/%d", node->memfd);
    *kernel_fd = open(link, (flags & (O_ACCMODE | O_TRUNC)) | O_CLOEXEC);
    if (*kernel_fd < 0)
        return errno;
    node->opens++;
    return 0;
}

int store_open(struct volume *volume, const char *path, int flags, bool create,
               mode_t mode, struct node **node, int *kernel_fd)
{
    char at[MAX_PATH];
    int err;

    pthread_mutex_lock(&lock);
    err = resolve(volume, path, at, node);
    if (err)
        goto out;
    if (*node && create && (flags & O_EXCL))
        err = EEXIST;
    else if (*node && (*node)->is_dir &&
             (create || (flags & O_ACCMODE) != O_RDONLY))
        err = EISDIR;
    else if (!*node && !create)
        err = ENOENT;
    else if (!*node && !(*node = add(volume, at, false, mode & 07777)))
        err = errno;
    if (!err)
        err = open_node(*node, flags, kernel_fd);
out:
    pthread_mutex_unlock(&lock);
    return err;
}

void store_close(struct node *node)
{
    pthread_mutex_lock(&lock);
    if (--node->opens == 0 && !node->path)
        for (struct volume *volume = volumes; volume; volume = volume->next)
            for (struct node *n = volume->nodes; n; n = n->next)
                if (n == node) {
                    drop_node(volume, node);
                    goto out;
                }
out:
    pthread_mutex_unlock(&lock);
}

int store_unlink(struct volume *volume, const char *path)
{
    char at[MAX_PATH];
    struct node *node;
    int err;

    pthread_mutex_lock(&lock);
    err = resolve(volume, path, at, &node);
    if (!err && !node)
        err = ENOENT;
    else if (!err && node->is_dir)
        err = EISDIR;
    if (!err) {
        free(node->path);
        node->path = NULL;
        if (node->opens == 0)
            drop_node(volume, node);
    }
    pthread_mutex_unlock(&lock);
    return err;
}

int store_mkdir(struct volume *volume, const char *path)
{
    char at[MAX_PATH];
    struct node *node;
    int err;

    pthread_mutex_lock(&lock);
    err = resolve(volume, path, at, &node);
    if (!err && node)
        err = EEXIST;
    else if (!err && !add(volume, at, true, 0755))
        err = errno;
    pthread_mutex_unlock(&lock);
    return err;
}

static int stat_node(struct node *node, struct stat *st)
{
    if (fstat(node->memfd, st) < 0)
        return errno;
    st->st_mode = (node->is_dir ? S_IFDIR : S_IFREG) | node->mode;
    st->st_nlink = node->is_dir ? 2 : node->path != NULL;
    if (node->is_dir)
        st->st_size = 4096;
    st->st_blksize = 0; /* as in the real one: of no use to a caller */
    return 0;
}

int store_fstat(struct node *node, struct stat *st)
{
    int err;

    pthread_mutex_lock(&lock);
    err = stat_node(node, st);
    pthread_mutex_unlock(&lock);
    return err;
}

int store_stat(struct volume *volume, const char *path, struct stat *st)
{
    char at[MAX_PATH];
    struct node *node;
    int err;

    pthread_mutex_lock(&lock);
    err = resolve(volume, path, at, &node);
    if (!err)
        err = node ? stat_node(node, st) : ENOENT;
    pthread_mutex_unlock(&lock);
    return err;
}

uint64_t store_used(struct volume *volume)
{
    uint64_t blocks = 0;
    struct stat st;

    pthread_mutex_lock(&lock);
    for (struct node *node = volume->nodes; node; node = node->next)
        if (fstat(node->memfd, &st) == 0)
            blocks += (uint64_t)st.st_blocks;
    pthread_mutex_unlock(&lock);
    return 512 * blocks;
}

int store_room(struct volume *volume, uint64_t length)
{
    uint64_t used = store_used(volume);
    uint64_t capacity = counted(&settings.capacity);

    return used <= capacity && length <= capacity - used ? 0 : ENOSPC;
}

int store_wipe(void)
{
    int err = 0;

    pthread_mutex_lock(&lock);
    for (struct volume *volume = volumes; volume; volume = volume->next)
        for (struct node *node = volume->nodes; node; node = node->next)
            if (node->opens)
                err = EBUSY;
    for (struct volume *volume = volumes; volume && !err;
         volume = volume->next) {
        while (volume->nodes)
            drop_node(volume, volume->nodes);
        if (!furnish(volume))
            err = ENOMEM;
    }
    pthread_mutex_unlock(&lock);
    return err;
}
