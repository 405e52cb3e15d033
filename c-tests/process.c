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

static int entries(const char *directory)
{
    DIR *dir = opendir(directory);
    int n = 0;

    if (!dir)
        t_die("cannot read %s", directory);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n - 2;
}

int fd_count(void)
{
    return entries("/proc/self/fd") - 1; /* less the directory's own */
}

int thread_count(void)
{
    return entries("/proc/self/task");
}

int threads_named(const char *prefix)
{
    DIR *dir = opendir("/proc/self/task");
    struct dirent *entry;
    int n = 0;

    if (!dir)
        t_die("cannot read /proc/self/task");
    while ((entry = readdir(dir))) {
        char path[300], name[32] = "";
        int fd;

        snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        if (read(fd, name, sizeof(name) - 1) > 0)
            n += !strncmp(name, prefix, strlen(prefix));
        close(fd);
    }
    closedir(dir);
    return n;
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
