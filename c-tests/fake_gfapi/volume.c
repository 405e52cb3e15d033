/* SPDX-License-Identifier: GPL-2.0-or-later */
/* glfs objects: made, configured, connected, ended. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Atomic(struct glfs *) known; /* keeps them reachable for valgrind */

EXPORT glfs_t *glfs_new(const char *volume_name)
{
    struct verdict verdict;
    struct glfs *fs, *top;
    sigset_t mask;

    if (!enter_sync(FAKE_NEW, volume_name, &verdict))
        return NULL;
    if (!volume_name) {
        errno = EINVAL;
        return NULL;
    }
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    record_mask(FAKE_MASK_NEW, &mask);
    fs = calloc(1, sizeof(*fs));
    if (!fs || !(fs->volume_name = strdup(volume_name)) ||
        !(fs->volume = volume_get(volume_name))) {
        free(fs);
        errno = ENOMEM;
        return NULL;
    }
    pthread_mutex_init(&fs->lock, NULL);
    top = atomic_load(&known);
    do
        fs->next_known = top;
    while (!atomic_compare_exchange_weak(&known, &top, fs));
    count(&record.live_glfs, 1);
    success(0);
    return fs;
}

/* Configuring is allowed in any state, as in the real one; what comes after
 * glfs_init has no effect, and the records tell. */
static bool configures(enum fake_op op, glfs_t *fs)
{
    struct verdict verdict;

    if (!enter_sync(op, fs ? fs->volume_name : NULL, &verdict))
        return false;
    if (!fs || atomic_load(&fs->state) >= FS_ENDING) {
        if (fs)
            violation(FAKE_V_USE_AFTER_FINI, op, "called after glfs_fini");
        errno = EINVAL;
        return false;
    }
    return true;
}

EXPORT int glfs_set_volfile_server(glfs_t *fs, const char *transport,
                                   const char *host, int port)
{
    bool is_unix = transport && strcmp(transport, "unix") == 0;
    int result = 0;

    if (!configures(FAKE_SET_VOLFILE_SERVER, fs))
        return -1;
    if (!host) {
        errno = EINVAL;
        result = -1;
    } else if (transport && !is_unix && strcmp(transport, "tcp") != 0 &&
               strcmp(transport, "rdma") != 0) {
        errno = garbage_errno(); /* the real one does not set it */
        result = -1;
    }
    record_server(fs, transport, host, port, result);
    if (result)
        return -1;
    if (is_unix ? fs->has_tcp : fs->has_local)
        violation(FAKE_V_SERVER_MIX, FAKE_SET_VOLFILE_SERVER,
                  "tcp and unix servers on one object");
    if (is_unix)
        fs->has_local = true;
    else
        fs->has_tcp = true;
    return (int)success(0);
}

EXPORT int glfs_set_volfile(glfs_t *fs, const char *volfile)
{
    if (!configures(FAKE_SET_VOLFILE, fs))
        return -1;
    record_server(fs, "volfile", volfile, 0, 0);
    fs->has_local = true;
    return (int)success(0);
}

EXPORT int glfs_set_logging(glfs_t *fs, const char *logfile, int loglevel)
{
    if (!configures(FAKE_SET_LOGGING, fs))
        return -1;
    record_logging(fs, logfile, loglevel);
    return (int)success(0);
}

EXPORT int glfs_set_xlator_option(glfs_t *fs, const char *xlator,
                                  const char *key, const char *value)
{
    if (!configures(FAKE_SET_XLATOR_OPTION, fs))
        return -1;
    if (!xlator || !key || !value) {
        errno = ENOMEM;
        return -1;
    }
    record_option(fs, xlator, key, value);
    return (int)success(0);
}

static struct verdict fail(int err)
{
    return (struct verdict){ FAKE_FAIL, err, 0 };
}

static const char *after(const char *name, const char *prefix)
{
    size_t length = strlen(prefix);

    return strncmp(name, prefix, length) == 0 ? name + length : NULL;
}

static struct verdict steered_by(const char *name)
{
    const char *rest;

    if (strcmp(name, "nosuch") == 0)
        return fail(ENOENT);
    if (strcmp(name, "refused") == 0)
        return fail(ENOTCONN);
    if (strcmp(name, "eio") == 0)
        return fail(EIO);
    if ((rest = after(name, "errno")) && *rest >= '0' && *rest <= '9')
        return fail(atoi(rest));
    if ((rest = after(name, "hang")) && (!*rest || *rest == '-'))
        return (struct verdict){ FAKE_HOLD, 0, 0 };
    if ((rest = after(name, "slow")) && (*rest == ':' || *rest == '-'))
        return (struct verdict){ FAKE_DELAY, 0, INT64_C(1000) * atoi(rest + 1) };
    return (struct verdict){ FAKE_PASS, 0, 0 };
}

EXPORT int glfs_init(glfs_t *fs)
{
    struct verdict verdict = enter(FAKE_INIT, fs ? fs->volume_name : NULL);
    sigset_t mask;
    int err;

    if (!fs || fs->started || atomic_load(&fs->state) != FS_NEW) {
        errno = EINVAL;
        return -1;
    }
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    record_mask(FAKE_MASK_INIT, &mask);
    /* A failing connection has its threads, too, until glfs_fini. */
    if (!lanes_start(fs))
        return -1;
    if (verdict.action == FAKE_PASS)
        verdict = steered_by(fs->volume_name);
    if (!fs->has_tcp && !fs->has_local)
        verdict = fail(EINVAL);
    if (!suffer(FAKE_INIT, &verdict)) {
        err = errno;
        fs->failed_ns = now_ns();
        atomic_store(&fs->state, FS_FAILED);
        errno = err;
        return -1;
    }
    atomic_store(&fs->state, FS_READY);
    return (int)success(0);
}

#define SOON_NS UINT64_C(1400000000)

static void close_all(glfs_t *fs)
{
    for (glfs_fd_t *fd = fs->fds; fd; fd = fd->next_of_fs) {
        pthread_mutex_lock(&fd->lock);
        if (!atomic_exchange(&fd->closed, true)) {
            violation(FAKE_V_FINI_OPEN_FDS, FAKE_FINI, "an fd is open");
            atomic_fetch_sub(&record.open_fds, 1);
        }
        if (fd->kernel_fd >= 0) {
            close(fd->kernel_fd);
            fd->kernel_fd = -1;
            store_close(fd->node);
        }
        pthread_mutex_unlock(&fd->lock);
    }
}

EXPORT int glfs_fini(glfs_t *fs)
{
    struct verdict verdict;
    uint64_t in_flight = 0;
    bool fails;
    int err, state = FS_DEAD;

    atomic_fetch_add(&record.finis_started, 1);
    fails = !enter_sync(FAKE_FINI, fs ? fs->volume_name : NULL, &verdict);
    err = errno;
    if (!fs || (state = atomic_exchange(&fs->state, FS_ENDING)) >= FS_ENDING) {
        if (fs)
            violation(FAKE_V_USE_AFTER_FINI, FAKE_FINI, "called twice");
        errno = EINVAL;
        return -1;
    }
    if (state == FS_FAILED && now_ns() - fs->failed_ns < SOON_NS)
        violation(FAKE_V_FINI_TOO_SOON, FAKE_FINI, "glfs_init has just failed");
    pthread_mutex_lock(&fs->lock);
    for (glfs_fd_t *fd = fs->fds; fd; fd = fd->next_of_fs)
        in_flight += atomic_load(&fd->submitted) - atomic_load(&fd->finished);
    if (in_flight)
        violation(FAKE_V_FINI_IN_FLIGHT, FAKE_FINI, "requests are in flight");
    pthread_mutex_unlock(&fs->lock);

    sleep_us(1000 * (uint64_t)SETTING(fini_ms));
    held_orphan(fs);
    lanes_stop(fs);
    pthread_mutex_lock(&fs->lock);
    close_all(fs);
    pthread_mutex_unlock(&fs->lock);
    locks_drop_all(fs);
    atomic_store(&fs->state, FS_DEAD);
    atomic_fetch_sub(&record.live_glfs, 1);
    atomic_fetch_add(&record.finis_done, 1);
    if (fails) {
        errno = err;
        return -1;
    }
    return (int)success(0);
}

EXPORT int glfs_get_volumeid(glfs_t *fs, char *volid, size_t size)
{
    struct verdict verdict;
    uint64_t hash = UINT64_C(14695981039346656037);

    if (!enter_sync(FAKE_GET_VOLUMEID, fs ? fs->volume_name : NULL, &verdict) ||
        !check_fs(FAKE_GET_VOLUMEID, fs))
        return -1;
    if (!volid || !size)
        return (int)success(16);
    if (size < 16) {
        errno = ERANGE;
        return -1;
    }
    for (const char *c = fs->volume_name; *c; c++)
        hash = (hash ^ (unsigned char)*c) * UINT64_C(1099511628211);
    memcpy(volid, &hash, 8);
    hash = ~hash;
    memcpy(volid + 8, &hash, 8);
    return (int)success(16);
}

EXPORT ssize_t glfs_get_volfile(glfs_t *fs, void *buf, size_t len)
{
    struct verdict verdict;
    char text[512];
    int size;

    if (!enter_sync(FAKE_GET_VOLFILE, fs ? fs->volume_name : NULL, &verdict) ||
        !check_fs(FAKE_GET_VOLFILE, fs))
        return -1;
    size = snprintf(text, sizeof(text),
                    "volume client-0\n    type protocol/client\n    option remote-host node\n"
                    "    option remote-subvolume /brick\nend-volume\n%s%s"
                    "volume write-behind\n    type performance/write-behind\nend-volume\n",
                    after(fs->volume_name, "replicated")
                        ? "volume replicate-0\n    type cluster/replicate\nend-volume\n"
                        : "",
                    after(fs->volume_name, "sharded")
                        ? "volume shard\n    type features/shard\nend-volume\n"
                    : after(fs->volume_name, "disperse")
                        ? "volume disperse-0\n    type cluster/disperse\nend-volume\n"
                        : "");
    if (len < (size_t)size)
        return (ssize_t)len - size;
    if (len > (size_t)size) /* the real one fills the buffer from beyond its own */
        violation(FAKE_V_BAD_BUFFER, FAKE_GET_VOLFILE, "the buffer is longer than the description");
    memcpy(buf, text, (size_t)size);
    return (ssize_t)len;
}

/* ---- per-thread identity -------------------------------------------------- */

static int set_fs_id(enum fake_op op, uint8_t bit)
{
    struct verdict verdict;

    if (!enter_sync(op, NULL, &verdict))
        return -1;
    if (op == FAKE_SETFSUID && !(thread_state.fs_id_set & bit))
        count(&record.fs_id_threads, 1);
    thread_state.fs_id_set |= bit;
    return (int)success(0);
}

EXPORT int glfs_setfsuid(uid_t fsuid)
{
    (void)fsuid;
    return set_fs_id(FAKE_SETFSUID, 1);
}

EXPORT int glfs_setfsgid(gid_t fsgid)
{
    (void)fsgid;
    return set_fs_id(FAKE_SETFSGID, 2);
}

EXPORT int glfs_setfsgroups(size_t size, const gid_t *list)
{
    (void)size;
    (void)list;
    return set_fs_id(FAKE_SETFSGROUPS, 4);
}
