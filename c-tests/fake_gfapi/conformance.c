/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a driver may rely on, and must put up with, in libgfapi. Written against
 * GlusterFS 10.3 with a one-brick volume; it passes on that and on the stand-in,
 * which is what makes the stand-in worth testing against.
 *
 *   conformance [VOLUME [TRANSPORT [HOST [PORT]]]]
 *
 * In a directory of its own, which it leaves behind empty but for "dir".
 */
#define TAP_MAIN
#include "tap.h"

#define KIB 1024LL
#define MIB (1024 * KIB)

static glfs_t *fs;
static char *data; /* 1 MiB */

#define ASYNC(want, want_err, what, function, ...)                             \
    do {                                                                       \
        struct call *call_ = call_new();                                       \
        int submitted_ = function(__VA_ARGS__, call_done, call_);              \
        call_gives(call_, submitted_, want, want_err, what);                   \
        call_free(call_);                                                      \
    } while (0)

static void opens_as(const char *what, glfs_fd_t *fd, int want_err)
{
    int err = errno;

    gives(fd ? 0 : -1, err, want_err ? -1 : 0, want_err, what);
    if (fd)
        glfs_close(fd);
}

static long long size_of(glfs_fd_t *fd)
{
    struct stat st;

    return glfs_fstat(fd, &st) ? -1 : (long long)st.st_size;
}

static long long blocks_of(glfs_fd_t *fd)
{
    struct stat st;

    return glfs_fstat(fd, &st) ? -1 : (long long)st.st_blocks;
}

static bool connect_to(const char *volume, const char *transport,
                       const char *host, int port)
{
    SYNC(0, 0, "no object without a volume name", glfs_new(NULL) != NULL);
    fs = glfs_new(volume);
    if (!ok(fs != NULL, "glfs_new"))
        return false;
    ok(glfs_set_volfile_server(fs, "sctp", host, port) == -1,
       "an unknown transport is refused");
    SYNC(-1, EINVAL, "a server without a name is refused",
         glfs_set_volfile_server(fs, "tcp", NULL, port));
    SYNC(0, 0, "set_volfile_server",
         glfs_set_volfile_server(fs, transport, host, port));
    SYNC(0, 0, "set_logging", glfs_set_logging(fs, "/dev/null", 4));
    glfs_set_xlator_option(fs, "*-write-behind", "pass-through", "true");
    glfs_set_xlator_option(fs, "*-io-threads", "pass-through", "true");
    glfs_set_xlator_option(fs, "*-client-*", "event-threads", "1");
    SYNC(0, 0, "unknown options are accepted",
         glfs_set_xlator_option(fs, "*", "no-such-option", "1"));
    SYNC(0, 0, "glfs_init", glfs_init(fs));
    return tap_failures == 0;
}

static void paths(void)
{
    struct stat st;
    struct statvfs vfs;

    glfs_unlink(fs, "/f");
    glfs_unlink(fs, "/dir/x");
    glfs_mkdir(fs, "/dir", 0755);
    opens_as("open missing", glfs_open(fs, "/none", O_RDWR), ENOENT);
    opens_as("open does not create", glfs_open(fs, "/none", O_RDWR | O_CREAT),
             ENOENT);
    opens_as("open ''", glfs_open(fs, "", O_RDWR), EINVAL);
    opens_as("open a directory to write", glfs_open(fs, "/dir", O_RDWR), EISDIR);
    opens_as("open a directory to read", glfs_open(fs, "dir", O_RDONLY), 0);
    opens_as("open / to write", glfs_open(fs, "/", O_WRONLY), EISDIR);
    opens_as("creat below nothing", glfs_creat(fs, "/no/x", O_RDWR, 0644),
             ENOENT);
    opens_as("creat ''", glfs_creat(fs, "", O_RDWR, 0644), EINVAL);
    opens_as("creat over a directory", glfs_creat(fs, "/dir", O_RDWR, 0644),
             EISDIR);
    opens_as("creat", glfs_creat(fs, "/f", O_RDWR | O_EXCL, 0600), 0);
    opens_as("creat again, exclusively",
             glfs_creat(fs, "f", O_RDWR | O_EXCL, 0600), EEXIST);
    opens_as("creat again", glfs_creat(fs, "//f", O_RDWR, 0644), 0);
    opens_as("creat in a directory", glfs_creat(fs, "dir/./x", O_RDONLY, 0644),
             0);
    opens_as("creat below a file", glfs_creat(fs, "f/x", O_RDWR, 0644), ENOTDIR);
    opens_as("open below a file", glfs_open(fs, "f/x", O_RDWR), ENOTDIR);
    opens_as("open with a slash at the end", glfs_open(fs, "f/", O_RDWR), 0);
    opens_as("open dir/../f", glfs_open(fs, "dir/../f", O_RDWR), 0);
    opens_as("open ../f", glfs_open(fs, "../f", O_RDWR), 0);
    opens_as("open no/../f", glfs_open(fs, "no/../f", O_RDWR), ENOENT);

    SYNC(0, 0, "stat", glfs_stat(fs, "f", &st));
    same(st.st_mode, S_IFREG | 0600, "mode of a file");
    SYNC(0, 0, "stat a directory", glfs_stat(fs, "/dir", &st));
    same(st.st_mode, S_IFDIR | 0755, "mode of a directory");
    SYNC(-1, ENOENT, "stat missing", glfs_stat(fs, "/none", &st));
    SYNC(-1, EINVAL, "stat ''", glfs_stat(fs, "", &st));
    SYNC(0, 0, "access", glfs_access(fs, "f", R_OK | W_OK));
    SYNC(-1, ENOENT, "access missing", glfs_access(fs, "none", F_OK));
    SYNC(0, 0, "statvfs", glfs_statvfs(fs, "/", &vfs));
    ok(vfs.f_bsize > 0 && vfs.f_blocks >= vfs.f_bfree, "statvfs makes sense");
    SYNC(-1, ENOENT, "statvfs missing", glfs_statvfs(fs, "/none", &vfs));
    SYNC(-1, ENOENT, "unlink missing", glfs_unlink(fs, "none"));
    SYNC(-1, EISDIR, "unlink a directory", glfs_unlink(fs, "dir"));
    SYNC(0, 0, "unlink", glfs_unlink(fs, "dir/x"));
}

static void reads_and_writes(glfs_fd_t *fd)
{
    struct iovec two[2] = { { data, 64 * KIB }, { data + 64 * KIB, 64 * KIB } };
    struct iovec none = { data, 0 };
    struct call *call = call_new();
    char *back = calloc(1, 128 * KIB);
    struct iovec many[2000];

    for (int i = 0; i < 128 * KIB; i++)
        data[i] = (char)(i * 7 + i / 256);
    call_gives(call, glfs_pwritev_async(fd, two, 2, 0, 0, call_done, call),
               128 * KIB, 0, "pwritev_async");
    ok(call->has_pre && call->has_post, "a write has prestat and poststat");
    ok(!(call->post.glfs_st_mask & GLFS_STAT_SIZE) ||
           call->post.glfs_st_size == 128 * KIB,
       "poststat is zeroed or right");
    call_gives(call, glfs_preadv_async(fd, two, 2, 64 * KIB, 0, call_done, call),
               64 * KIB, 0, "a read over the end is short");
    same(call->err, ENOENT, "errno says ENOENT although it succeeded");
    ok(!call->has_pre && call->has_post, "a read has a poststat only");
    call_free(call);

    ASYNC(0, 0, "read at the end", glfs_preadv_async, fd, two, 2, 128 * KIB, 0);
    ASYNC(0, 0, "read beyond the end", glfs_preadv_async, fd, two, 2, MIB, 0);
    ASYNC(-1, EINVAL, "read of nothing", glfs_preadv_async, fd, &none, 1, 0, 0);
    ASYNC(-1, EINVAL, "read without iovecs", glfs_preadv_async, fd, two, 0, 0, 0);
    ASYNC(-1, EINVAL, "read before 0", glfs_preadv_async, fd, two, 1, -5, 0);
    ASYNC(0, 0, "write of nothing", glfs_pwritev_async, fd, &none, 1, 0, 0);
    ASYNC(0, 0, "write without iovecs", glfs_pwritev_async, fd, two, 0, 0, 0);
    ASYNC(-1, EINVAL, "write before 0", glfs_pwritev_async, fd, two, 1, -5, 0);
    ASYNC(0, 0, "fsync_async", glfs_fsync_async, fd);
    ASYNC(0, 0, "fdatasync_async", glfs_fdatasync_async, fd);

    for (int i = 0; i < 2000; i++)
        many[i] = (struct iovec){ back + 32 * i, 32 };
    ASYNC(64000, 0, "read into 2000 iovecs", glfs_preadv_async, fd, many, 2000,
          100, 0);
    ok(back[0] == (char)(100 * 7) && back[63999] == (char)(64099 * 7 + 250),
       "the data is what was written");
    SYNC(4, 0, "pread over the end", glfs_pread(fd, back, 10, 128 * KIB - 4, 0,
                                                NULL));
    SYNC(-1, EINVAL, "pread of nothing", glfs_pread(fd, back, 0, 0, 0, NULL));
    SYNC(0, 0, "pwrite of nothing", glfs_pwrite(fd, back, 0, 0, 0, NULL, NULL));
    SYNC(-1, EINVAL, "pread before 0", glfs_pread(fd, back, 1, -1, 0, NULL));
    free(back);

    SYNC(-1, EBADF, "an async call without an fd",
         glfs_preadv_async(NULL, two, 1, 0, 0, call_done, NULL));
    SYNC(-1, EBADF, "fstat without an fd", glfs_fstat(NULL, NULL));
    SYNC(-1, EBADF, "close without an fd", glfs_close(NULL));
    SYNC(-1, EINVAL, "fini without an object", glfs_fini(NULL));
    opens_as("open without an object", glfs_open(NULL, "f", O_RDWR), EINVAL);
}

static void space(glfs_fd_t *fd)
{
    struct glfs_stat pre, post;
    long long before = blocks_of(fd);
    char byte = 1;

    ASYNC(0, 0, "discard_async", glfs_discard_async, fd, 0, 64 * KIB);
    /* Nearly: the brick's file system may spend a block on the new extent. */
    ok(blocks_of(fd) <= before - 64, "a discard gives space back");
    SYNC(1, 0, "pread", glfs_pread(fd, &byte, 1, 999, 0, NULL));
    same(byte, 0, "discarded bytes read as 0");
    ASYNC(0, 0, "discard beyond the end", glfs_discard_async, fd, MIB, 64 * KIB);
    same(size_of(fd), 128 * KIB, "a discard never grows the file");
    ASYNC(-1, EINVAL, "discard of nothing", glfs_discard_async, fd, 0, 0);
    ASYNC(-1, EINVAL, "discard before 0", glfs_discard_async, fd, -1, 4096);
    SYNC(-1, EINVAL, "glfs_discard of nothing", glfs_discard(fd, 0, 0));
    SYNC(0, 0, "glfs_discard", glfs_discard(fd, 64 * KIB, 4096));

    ASYNC(0, 0, "zerofill_async", glfs_zerofill_async, fd, 120 * KIB, 72 * KIB);
    same(size_of(fd), 192 * KIB, "a zerofill grows the file");
    SYNC(1, 0, "pread", glfs_pread(fd, &byte, 1, 120 * KIB, 0, NULL));
    same(byte, 0, "zeroed bytes read as 0");
    SYNC(1, 0, "pread", glfs_pread(fd, &byte, 1, 120 * KIB - 1, 0, NULL));
    same(byte, data[120 * KIB - 1], "their neighbour is as before");
    ASYNC(-1, EINVAL, "zerofill of nothing", glfs_zerofill_async, fd, 0, 0);
    ASYNC(-1, EINVAL, "zerofill before 0", glfs_zerofill_async, fd, -1, 4096);
    ASYNC(-1, EINVAL, "zerofill of less than nothing", glfs_zerofill_async, fd,
          0, -4096);
    SYNC(-1, EINVAL, "glfs_zerofill of nothing", glfs_zerofill(fd, 0, 0));
    SYNC(0, 0, "glfs_zerofill", glfs_zerofill(fd, 0, 4096));

    SYNC(-1, EINVAL, "fallocate of nothing", glfs_fallocate(fd, 0, 0, 0));
    SYNC(-1, EINVAL, "fallocate before 0", glfs_fallocate(fd, 0, -1, 4096));
    SYNC(0, 0, "fallocate, size kept", glfs_fallocate(fd, 1, 0, 192 * KIB));
    same(size_of(fd), 192 * KIB, "the size is kept");
    ok(blocks_of(fd) >= 384, "space is allocated");
    SYNC(0, 0, "fallocate", glfs_fallocate(fd, 0, 0, MIB));
    same(size_of(fd), MIB, "the size grows");

    SYNC(-1, EINVAL, "ftruncate to less than nothing",
         glfs_ftruncate(fd, -1, NULL, NULL));
    SYNC(0, 0, "ftruncate", glfs_ftruncate(fd, 1000, NULL, NULL));
    SYNC(0, 0, "ftruncate with stats", glfs_ftruncate(fd, 3 * MIB, &pre, &post));
    same(pre.glfs_st_size, 1000, "prestat");
    same(post.glfs_st_size, 3 * MIB, "poststat");
    ASYNC(0, 0, "ftruncate_async", glfs_ftruncate_async, fd, 0);
    same(size_of(fd), 0, "the size falls");
}

static void seeks(glfs_fd_t *fd)
{
    SYNC(0, 0, "ftruncate", glfs_ftruncate(fd, MIB, NULL, NULL));
    SYNC(4096, 0, "pwrite",
         glfs_pwrite(fd, data, 4096, 512 * KIB, 0, NULL, NULL));
    SYNC(0, 0, "fsync", glfs_fsync(fd, NULL, NULL));
    SYNC(512 * KIB, 0, "data after 0", glfs_lseek(fd, 0, SEEK_DATA));
    SYNC(0, 0, "hole after 0", glfs_lseek(fd, 0, SEEK_HOLE));
    SYNC(516 * KIB, 0, "hole after the data",
         glfs_lseek(fd, 512 * KIB, SEEK_HOLE));
    SYNC(-1, ENXIO, "no data after it", glfs_lseek(fd, 600 * KIB, SEEK_DATA));
    SYNC(-1, ENXIO, "no data at the end", glfs_lseek(fd, MIB, SEEK_DATA));
    SYNC(-1, ENXIO, "no hole at the end", glfs_lseek(fd, MIB, SEEK_HOLE));
    SYNC(-1, ENXIO, "no data before 0", glfs_lseek(fd, -1, SEEK_DATA));
    SYNC(MIB, 0, "the end", glfs_lseek(fd, 0, SEEK_END));
    SYNC(5, 0, "an offset", glfs_lseek(fd, 5, SEEK_SET));
    SYNC(10, 0, "a relative one", glfs_lseek(fd, 5, SEEK_CUR));
    SYNC(-1, EINVAL, "an unknown whence", glfs_lseek(fd, 0, 99));
}

static void access_modes(void)
{
    struct iovec one = { data, 4096 };
    glfs_fd_t *fd = glfs_open(fs, "f", O_RDONLY);

    if (!ok(fd != NULL, "open to read"))
        return;
    ASYNC(-1, EBADF, "write", glfs_pwritev_async, fd, &one, 1, 0, 0);
    ASYNC(-1, EBADF, "discard", glfs_discard_async, fd, 0, 4096);
    ASYNC(-1, EBADF, "zerofill", glfs_zerofill_async, fd, 0, 4096);
    ASYNC(0, 0, "fsync", glfs_fsync_async, fd);
    SYNC(-1, EINVAL, "ftruncate", glfs_ftruncate(fd, 0, NULL, NULL));
    SYNC(-1, EBADF, "fallocate", glfs_fallocate(fd, 0, 0, 4096));
    SYNC(-1, EBADF, "pwrite", glfs_pwrite(fd, data, 10, 0, 0, NULL, NULL));
    SYNC(0, 0, "close", glfs_close(fd));
    fd = glfs_open(fs, "f", O_WRONLY);
    if (!ok(fd != NULL, "open to write"))
        return;
    ASYNC(-1, EBADF, "read", glfs_preadv_async, fd, &one, 1, 0, 0);
    SYNC(512 * KIB, 0, "seek data", glfs_lseek(fd, 0, SEEK_DATA));
    SYNC(0, 0, "close", glfs_close(fd));
}

struct lock_try {
    glfs_fd_t *fd;
    int type, ret, err;
};

static void *lock_try_run(void *arg)
{
    struct lock_try *try = arg;
    struct flock flock = { .l_type = (short)try->type, .l_whence = SEEK_SET };

    try->ret = glfs_posix_lock(try->fd, F_SETLK, &flock);
    try->err = errno;
    return NULL;
}

/* On a thread of its own: a lock owner stays with the thread that used it. */
static void locks_as(const char *what, glfs_fd_t *fd, int type, int want_err)
{
    struct lock_try try = { fd, type, 0, 0 };
    pthread_t thread;

    if (pthread_create(&thread, NULL, lock_try_run, &try))
        abort();
    pthread_join(thread, NULL);
    gives(try.ret, try.err, want_err ? -1 : 0, want_err, what);
}

static void locks(void)
{
    struct flock query = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    glfs_fd_t *a = glfs_open(fs, "f", O_RDWR), *b = glfs_open(fs, "f", O_RDWR);
    glfs_fd_t *c;

    SYNC(0, 0, "lock owner a", glfs_fd_set_lkowner(a, "aaaa", 4));
    SYNC(0, 0, "lock owner b", glfs_fd_set_lkowner(b, "bbbb", 4));
    SYNC(-1, EINVAL, "an empty lock owner", glfs_fd_set_lkowner(b, "b", 0));
    SYNC(-1, EINVAL, "a long lock owner", glfs_fd_set_lkowner(b, data, 256));
    SYNC(-1, EINVAL, "no lock owner", glfs_fd_set_lkowner(b, NULL, 4));
    locks_as("a locks", a, F_WRLCK, 0);
    locks_as("a locks again", a, F_WRLCK, 0);
    locks_as("b does not get it", b, F_WRLCK, EAGAIN);
    locks_as("b does not get it to read", b, F_RDLCK, EAGAIN);
    SYNC(0, 0, "b asks", glfs_posix_lock(b, F_GETLK, &query));
    same(query.l_type, F_WRLCK, "it is told of a's lock");
    same(query.l_pid, 0, "but not whose it is");
    locks_as("a unlocks", a, F_UNLCK, 0);
    locks_as("b locks", b, F_WRLCK, 0);
    SYNC(0, 0, "b is closed", glfs_close(b));
    locks_as("that released its lock", a, F_WRLCK, 0);
    query.l_type = F_WRLCK;
    c = glfs_open(fs, "f", O_RDWR);
    SYNC(0, 0, "this thread speaks for a",
         glfs_posix_lock(a, F_SETLK, &query));
    SYNC(0, 0, "and now even for an fd without a lock owner",
         glfs_posix_lock(c, F_SETLK, &query));
    SYNC(-1, EINVAL, "an unknown command", glfs_posix_lock(a, 999, &query));
    SYNC(0, 0, "close", glfs_close(c));
    SYNC(0, 0, "close", glfs_close(a));
}

static void the_rest(void)
{
    char id[64];
    gid_t group = 0;
    struct stat st;
    glfs_fd_t *fd;

    SYNC(16, 0, "volumeid", glfs_get_volumeid(fs, id, sizeof(id)));
    SYNC(16, 0, "volumeid, its length", glfs_get_volumeid(fs, NULL, 0));
    SYNC(-1, ERANGE, "volumeid, no room", glfs_get_volumeid(fs, id, 8));
    SYNC(0, 0, "setfsuid", glfs_setfsuid(0));
    SYNC(0, 0, "setfsgid", glfs_setfsgid(0));
    SYNC(0, 0, "setfsgroups", glfs_setfsgroups(1, &group));
    SYNC(0, 0, "setfsgroups, none", glfs_setfsgroups(0, NULL));

    fd = glfs_open(fs, "f", O_RDWR | O_TRUNC);
    if (!ok(fd != NULL, "open to truncate"))
        return;
    same(size_of(fd), 0, "it is empty");
    SYNC(0, 0, "unlink while open", glfs_unlink(fs, "f"));
    SYNC(10, 0, "write after unlink",
         glfs_pwrite(fd, data, 10, 0, 0, NULL, NULL));
    SYNC(10, 0, "read after unlink", glfs_pread(fd, data, 99, 0, 0, NULL));
    SYNC(0, 0, "fstat after unlink", glfs_fstat(fd, &st));
    same(st.st_nlink, 0, "no link is left");
    SYNC(0, 0, "close", glfs_close(fd));
    SYNC(-1, ENOENT, "it is gone", glfs_access(fs, "f", F_OK));
}

int main(int argc, char **argv)
{
    glfs_fd_t *fd;

    data = calloc(1, MIB);
    if (!data)
        return 1;
    if (connect_to(argc > 1 ? argv[1] : "conformance",
                   argc > 2 ? argv[2] : "tcp", argc > 3 ? argv[3] : "localhost",
                   argc > 4 ? atoi(argv[4]) : 0)) {
        paths();
        fd = glfs_open(fs, "f", O_RDWR);
        if (ok(fd != NULL, "open")) {
            reads_and_writes(fd);
            space(fd);
            seeks(fd);
            SYNC(0, 0, "close", glfs_close(fd));
            access_modes();
            locks();
            the_rest();
        }
    }
    /* Its result is of no use: it has been -1 with errno 0 after all went well. */
    glfs_fini(fs);
    free(data);
    return tap_done();
}
