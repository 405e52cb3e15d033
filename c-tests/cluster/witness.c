/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A look into a volume through plain libgfapi, without the driver: witness VOLUME VERB PATH.
 *   mkdir, rmdir, unlink   what they say; being there (or gone) already is no failure
 *   exists                 exit code 0 when it does, 2 when it does not
 *   create                 an empty file, also where there is one
 *   let-read               everybody may read it, its owner write it
 */
#include <errno.h>
#include <fcntl.h>
#include <glusterfs/api/glfs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int run(glfs_t *fs, const char *verb, const char *path)
{
    struct stat st;
    glfs_fd_t *fd;

    if (!strcmp(verb, "mkdir"))
        return glfs_mkdir(fs, path, 0755) && errno != EEXIST;
    if (!strcmp(verb, "rmdir"))
        return glfs_rmdir(fs, path) && errno != ENOENT;
    if (!strcmp(verb, "unlink"))
        return glfs_unlink(fs, path) && errno != ENOENT;
    if (!strcmp(verb, "exists"))
        return !glfs_stat(fs, path, &st) ? 0 : errno == ENOENT || errno == ENOTDIR ? 2 : 1;
    if (!strcmp(verb, "create")) {
        /* Not O_TRUNC: on a sharded volume that empties the first shard only. */
        if (glfs_unlink(fs, path) && errno != ENOENT)
            return 1;
        fd = glfs_creat(fs, path, O_WRONLY | O_EXCL, 0600);
        return !fd || glfs_close(fd);
    }
    if (!strcmp(verb, "let-read"))
        return glfs_chmod(fs, path, 0644);
    errno = EINVAL;
    return 1;
}

int main(int argc, char **argv)
{
    const char *server = getenv("BLKG_SERVER");
    glfs_t *fs;
    int code;

    if (argc != 4 || !server) {
        fputs("usage: witness VOLUME mkdir|rmdir|unlink|exists|create|let-read PATH, inside of scripts/cluster exec\n", stderr);
        return 64;
    }
    fs = glfs_new(argv[1]);
    if (!fs || glfs_set_volfile_server(fs, "tcp", server, 24007) || glfs_set_logging(fs, "/dev/null", 0) ||
        glfs_init(fs)) {
        fprintf(stderr, "witness: cannot connect to %s: %s\n", argv[1], strerror(errno));
        return 65;
    }
    code = run(fs, argv[2], argv[3]);
    if (code == 1)
        fprintf(stderr, "witness: %s %s %s: %s\n", argv[1], argv[2], argv[3], strerror(errno));
    fflush(NULL);
    /* glfs_fini would take ten seconds. */
    _exit(code);
}
