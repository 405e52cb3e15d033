/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests need to know about their own process, and the cluster's addresses. */
#include "harness.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <sys/wait.h>

#include "harness_internal.h"

extern char **environ;

/* Calls `counts` for each entry of a directory of /proc/self; how often it said yes. */
static int entries(const char *directory, bool (*counts)(int dir, const char *name, const void *arg), const void *arg)
{
    DIR *dir = opendir(directory);
    struct dirent *entry;
    int n = 0;

    if (!dir)
        t_die("cannot read %s", directory);
    while ((entry = readdir(dir)))
        if (entry->d_name[0] != '.')
            n += counts(dirfd(dir), entry->d_name, arg);
    closedir(dir);
    return n;
}

/* The directory that is being read does not count, nor do the files that the fake libgfapi keeps in memory. */
static bool is_ours(int dir, const char *name, const void *arg)
{
    char target[256];
    ssize_t length = readlinkat(dir, name, target, sizeof(target) - 1);

    (void)arg;
    target[length < 0 ? 0 : length] = '\0';
    return atoi(name) != dir && strncmp(target, "/memfd:fake_gfapi", 17) != 0;
}

int fd_count(void)
{
    return entries("/proc/self/fd", is_ours, NULL);
}

static bool is_named(int dir, const char *name, const void *prefix)
{
    char path[300], found[32] = "";
    bool same;
    int fd;

    snprintf(path, sizeof(path), "%s/comm", name);
    fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) /* it has ended meanwhile */
        return false;
    same = read(fd, found, sizeof(found) - 1) >= 0 && !strncmp(found, prefix, strlen(prefix));
    close(fd);
    return same;
}

int threads_named(const char *prefix)
{
    return entries("/proc/self/task", is_named, prefix);
}

int thread_count(void)
{
    return threads_named("");
}

struct level {
    int fds, threads;
};

static bool settled(void *arg)
{
    const struct level *level = arg;

    return fd_count() == level->fds && thread_count() == level->threads;
}

bool t_settles(int fds, int threads, double seconds)
{
    struct level level;

    level.fds = fds;
    level.threads = threads;
    if (run_until(settled, &level, seconds))
        return true;
    t_say("%d fds instead of %d, %d threads instead of %d", fd_count(), fds, thread_count(), threads);
    return false;
}

static bool ended(pid_t pid, double seconds, int *status)
{
    int64_t end = now_us() + (int64_t)(seconds * t_time_factor() * 1e6);

    while (now_us() < end) {
        if (waitpid(pid, status, WNOHANG) == pid)
            return true;
        usleep(2000);
    }
    return false;
}

int t_run_self(const char *argument, double seconds)
{
    char program[4096], copy[256];
    char *argv[3];
    posix_spawn_file_actions_t actions;
    ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
    int status, error;
    pid_t pid;

    if (length < 0)
        t_die("cannot read /proc/self/exe");
    program[length] = '\0';
    snprintf(copy, sizeof(copy), "%s", argument);
    argv[0] = program;
    argv[1] = copy;
    argv[2] = NULL;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, t_real_output(), STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, t_real_output(), STDERR_FILENO);
    error = posix_spawn(&pid, program, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error)
        t_die("cannot run %s: %s", program, strerror(error));
    if (!ended(pid, seconds, &status)) {
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        return -1000;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* ---- the cluster --------------------------------------------------------------------------------------------- */

#define URIS 8

static const char *need(const char *name)
{
    const char *value = getenv(name);

    if (!value || !*value)
        t_skip("no cluster: run this through c-tests/on-cluster");
    return value;
}

static char *next_uri(size_t *room)
{
    static char uris[URIS][1024];
    static unsigned next;

    *room = sizeof(uris[0]);
    return uris[__atomic_fetch_add(&next, 1, __ATOMIC_RELAXED) % URIS];
}

const char *cluster_uri(const char *volume, const char *path_format, ...)
{
    const char *server = need("BLKG_SERVER"), *port = getenv("BLKG_PORT");
    char path[512];
    size_t room;
    char *uri = next_uri(&room);
    va_list args;

    va_start(args, path_format);
    vsnprintf(path, sizeof(path), path_format, args);
    va_end(args);
    snprintf(uri, room, "gluster://%s:%s/%s/%s", server, port ? port : "24007", volume, path);
    return uri;
}

const char *cluster_unix_uri(const char *volume, const char *path_format, ...)
{
    const char *socket = need("BLKG_SOCKET");
    char path[512];
    size_t room;
    char *uri = next_uri(&room);
    va_list args;

    va_start(args, path_format);
    vsnprintf(path, sizeof(path), path_format, args);
    va_end(args);
    snprintf(uri, room, "gluster+unix:///%s/%s?socket=%s", volume, path, socket);
    return uri;
}
