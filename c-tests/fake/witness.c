/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "witness.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>

static struct {
    void *fs;
    void *(*new)(const char *volume);
    int (*set_server)(void *fs, const char *transport, const char *host, int port);
    int (*init)(void *fs);
    void *(*open)(void *fs, const char *path, int flags);
    int (*set_owner)(void *fd, void *owner, int length);
    int (*lock)(void *fd, int command, struct flock *range);
    int (*close)(void *fd);
    int (*fini)(void *fs);
} witness;

static void find(void *member, const char *name)
{
    void *library = dlopen("libgfapi.so.0", RTLD_NOW | RTLD_NOLOAD);
    void *address = library ? dlsym(library, name) : NULL;

    if (!address)
        t_die("libgfapi has no %s", name);
    memcpy(member, &address, sizeof(address));
    dlclose(library);
}

void witness_begin(void)
{
    find(&witness.new, "glfs_new");
    find(&witness.set_server, "glfs_set_volfile_server");
    find(&witness.init, "glfs_init");
    find(&witness.open, "glfs_open");
    find(&witness.set_owner, "glfs_fd_set_lkowner");
    find(&witness.lock, "glfs_posix_lock");
    find(&witness.close, "glfs_close");
    find(&witness.fini, "glfs_fini");
    witness.fs = witness.new("vol");
    if (!witness.fs || witness.set_server(witness.fs, "tcp", "fake", 24007) || witness.init(witness.fs))
        t_die("no witness: errno %d", errno);
}

static bool can_lock(void *fd, int64_t byte, short kind)
{
    struct flock range = {.l_type = kind, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    bool can = witness.lock(fd, F_SETLK, &range) == 0;

    range.l_type = F_UNLCK;
    witness.lock(fd, F_SETLK, &range);
    return can;
}

/* "free", "shared" or "alone": how others hold a byte. */
static const char *held(void *fd, int64_t byte)
{
    return can_lock(fd, byte, F_WRLCK) ? "free" : can_lock(fd, byte, F_RDLCK) ? "shared" : "alone";
}

void witness_end(void)
{
    witness.fini(witness.fs);
}

void witness_sees(const char *name, unsigned mode, const char *when)
{
    static const char *const modes[] = {"none", "writes", "forbids writes", "writes alone"};
    static const char *const bytes[][2] = {{"free", "free"}, {"shared", "free"}, {"free", "shared"}, {"alone", "alone"}};
    void *fd = witness.open(witness.fs, name, O_RDWR);
    const char *writes, *forbids;

    if (!fd || witness.set_owner(fd, (char[]){"witness"}, 7))
        t_die("the witness has no file: errno %d", errno);
    writes = held(fd, 101);
    forbids = held(fd, 201);
    ok(!strcmp(writes, bytes[mode][0]) && !strcmp(forbids, bytes[mode][1]), "... %s: its lock is \"%s\" (%s, %s)", when,
       modes[mode], writes, forbids);
    witness.close(fd);
}
