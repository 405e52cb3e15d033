/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "volume.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static glfs_t *volume;
static unsigned users;

static void set(const char *translator, const char *key, const char *value)
{
    if (glfs_set_xlator_option(volume, translator, key, value))
        fail("option %s of %s: %s", key, translator, strerror(errno));
}

/* The same as ConnectSpec::xlator_options in src/gfapi.rs; scripts/bench compares the two. */
static void set_our_options(void)
{
    set("*-io-threads", "pass-through", "true");
    set("*-md-cache", "pass-through", "true");
    set("*-read-ahead", "pass-through", "true");
    set("*-io-cache", "pass-through", "true");
    set("*-open-behind", "pass-through", "true");
    set("*-quick-read", "max-file-size", "0");
    set("*-client-*", "event-threads", "1");
    set("*-disperse-*", "parallel-writes", "off");
    if (!settings.write_cache)
        set("*-write-behind", "pass-through", "true");
}

static void join(void)
{
    volume = glfs_new(settings.volume);
    if (!volume)
        fail("glfs_new: %s", strerror(errno));
    if (glfs_set_volfile_server(volume, "tcp", settings.server, (int)settings.port) ||
        glfs_set_logging(volume, "/dev/null", 4))
        fail("volume %s: %s", settings.volume, strerror(errno));
    set(settings.volume, "log-level", "ERROR");
    if (settings.our_options)
        set_our_options();
    if (glfs_init(volume))
        fail("cannot connect to volume %s: %s", settings.volume, strerror(errno));
}

glfs_fd_t *open_file(const struct image *image)
{
    glfs_fd_t *file;

    if (users++ == 0)
        join();
    fix_identity();
    if (settings.create)
        file = glfs_creat(volume, image->path, O_RDWR, 0600);
    else
        file = glfs_open(volume, image->path, O_RDWR);
    if (!file || (settings.create && glfs_ftruncate(file, (off_t)settings.size, NULL, NULL)))
        fail("image %s: %s", image->path, strerror(errno));
    return file;
}

void close_file(glfs_fd_t *file)
{
    glfs_close(file);
    if (--users == 0) {
        glfs_fini(volume);
        volume = NULL;
    }
}

void fix_identity(void)
{
    gid_t groups[64];
    int count;

    if (!settings.our_options)
        return;
    count = getgroups(64, groups);
    glfs_setfsuid(geteuid());
    glfs_setfsgid(getegid());
    glfs_setfsgroups(count > 0 ? (size_t)count : 0, groups);
}

void send_slot(glfs_fd_t *file, struct slot *slot, glfs_io_cbk callback, void *cookie)
{
    int ret = -1;

    switch (slot->kind) {
    case READ_OP:
        ret = glfs_preadv_async(file, &slot->iov, 1, slot->offset, 0, callback, cookie);
        break;
    case WRITE_OP:
        ret = glfs_pwritev_async(file, &slot->iov, 1, slot->offset, 0, callback, cookie);
        break;
    case FLUSH_OP: ret = glfs_fsync_async(file, callback, cookie); break;
    }
    if (ret < 0)
        fail("libgfapi refuses a request: %s", strerror(errno));
}
