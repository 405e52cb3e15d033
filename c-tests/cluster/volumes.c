/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "volumes.h"

#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <sys/wait.h>

#include "../harness_internal.h"

extern char **environ;

const char *const volumes[] = {"plain", "rep3", "sharded", "disp", NULL};

void load_for_volumes(void)
{
    cluster_uri("any", "skipped here without a cluster");
    t_keep_connection = "2";
    t_load();
}

static bool no_threads_of_ours(void *arg)
{
    (void)arg;
    return threads_named("blkg-") == 0;
}

int end_for_volumes(void)
{
    const char *preload = getenv("LD_PRELOAD");

    if (preload && strstr(preload, "vgpreload"))
        ok(run_until(no_threads_of_ours, NULL, 20), "the connections end");
    return t_end();
}

void allow_seconds(unsigned seconds)
{
    alarm((unsigned)(seconds * t_time_factor()));
}

/* ---- images -------------------------------------------------------------------------------------------------- */

void make_image(const char *uri, const char *size)
{
    struct BlkError error;

    error.struct_size = sizeof(error);
    if (img_create(uri, size, &error) < 0)
        t_die("cannot create %s: %s", uri, error.message);
}

void make_and_open(struct img *img, const char *uri, const char *size, const char *write_cache)
{
    /* Through the connection that it is used on: a sharded volume shows another one the shards that were there before. */
    struct BlkOption options[] = {
        {"size", size}, {"write-cache", write_cache}, {"keep-connection", "0"}, {NULL, NULL}};
    struct BlkError error = {.struct_size = sizeof(error)};

    if (drv_for(uri)->create(uri, options, &error) < 0)
        t_die("cannot create %s: %s", uri, error.message);
    if (img_open(img, uri, BLK_O_RDWR, "write-cache", write_cache, NULL) < 0)
        t_die("cannot open %s: %s", uri, img->error.message);
}

void keep_connected(struct img *keeper, const char *volume)
{
    make_on_kept(keeper, cluster_uri(volume, "keeper"), "0", "off");
}

void make_on_kept(struct img *img, const char *uri, const char *size, const char *write_cache)
{
    make_image(uri, size);
    if (img_open(img, uri, BLK_O_RDWR, "write-cache", write_cache, NULL) < 0)
        t_die("cannot open %s: %s", uri, img->error.message);
}

void empty_image(const char *uri)
{
    make_image(uri, "0");
}

void make_elsewhere(const char *volume, const char *path)
{
    char slashed[256];

    snprintf(slashed, sizeof(slashed), "/%s", path);
    if (witness(volume, "create", slashed) != 0)
        t_die("the witness cannot create %s in %s", path, volume);
}

int open_to_count(struct img *img, const char *uri, uint32_t flags, const char *write_cache)
{
    return img_open(img, uri, flags, "write-cache", write_cache, NULL);
}

bool connections_gone(int fds, int threads)
{
    /* glfs_fini leaves two threads (glfs_sproc0 and 1) and an epoll fd of the first connection, and of no later one. */
    return t_settles(fds + 1, threads + 2, 20);
}

/* ---- data ---------------------------------------------------------------------------------------------------- */

/* Reads into memory that is neither zero nor the pattern. */
static unsigned char *read_all(struct img *img, int64_t bytes, int64_t offset)
{
    unsigned char *buffer = t_alloc((size_t)bytes);

    memset(buffer, 0xA5, (size_t)bytes);
    if (pread_sync(img, buffer, bytes, offset) == 0)
        return buffer;
    free(buffer);
    return NULL;
}

bool reads_zero(struct img *img, int64_t bytes, int64_t offset)
{
    unsigned char *buffer = read_all(img, bytes, offset);
    bool good = buffer && all_bytes(buffer, (size_t)bytes, 0);

    free(buffer);
    return good;
}

bool has_pattern(struct img *img, int64_t bytes, int64_t offset, uint64_t seed)
{
    unsigned char *buffer = read_all(img, bytes, offset);
    bool good = buffer && pattern_check(buffer, (size_t)bytes, seed, offset);

    free(buffer);
    return good;
}

bool write_pattern(struct img *img, int64_t bytes, int64_t offset, uint64_t seed)
{
    unsigned char *buffer = t_alloc((size_t)bytes);
    int ret;

    pattern_fill(buffer, (size_t)bytes, seed, offset);
    ret = pwrite_sync(img, buffer, bytes, offset);
    free(buffer);
    return ret == 0;
}

/* ---- other programs ------------------------------------------------------------------------------------------ */

static pid_t start(const char *program, char *const argv[])
{
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int error;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", 1, 0);
    posix_spawn_file_actions_adddup2(&actions, t_real_output(), STDERR_FILENO);
    error = posix_spawn(&pid, program, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error)
        t_die("cannot run %s: %s", program, strerror(error));
    return pid;
}

bool cluster_ended(pid_t pid, int *code)
{
    int status;
    pid_t got = waitpid(pid, &status, WNOHANG);

    if (got == 0)
        return false;
    *code = got < 0 ? -1 : WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    return true;
}

int cluster_finish(pid_t pid, double seconds)
{
    int64_t end = now_us() + (int64_t)(seconds * t_time_factor() * 1e6);
    int code;

    while (!cluster_ended(pid, &code)) {
        if (now_us() > end) {
            kill(pid, SIGTERM);
            waitpid(pid, NULL, 0);
            return -1;
        }
        t_poll(5);
    }
    return code;
}

static pid_t cluster_start_va(const char *format, va_list args)
{
    static char script[4096];
    char words[1024], *argv[16], *next, *place = NULL;
    const char *dir = getenv("BLKG_CLUSTER_DIR");
    unsigned n = 0;

    if (!dir)
        t_skip("no cluster: run this through c-tests/on-cluster");
    snprintf(script, sizeof(script), "%s", getenv("BLKG_CLUSTER_SCRIPT") ? getenv("BLKG_CLUSTER_SCRIPT") : CLUSTER);
    vsnprintf(words, sizeof(words), format, args);
    argv[n++] = script;
    for (next = strtok_r(words, " ", &place); next && n < T_COUNT(argv) - 1; next = strtok_r(NULL, " ", &place))
        argv[n++] = next;
    argv[n] = NULL;
    return start(script, argv);
}

pid_t cluster_start(const char *format, ...)
{
    va_list args;
    pid_t pid;

    va_start(args, format);
    pid = cluster_start_va(format, args);
    va_end(args);
    return pid;
}

int cluster(const char *format, ...)
{
    va_list args;
    pid_t pid;

    va_start(args, format);
    pid = cluster_start_va(format, args);
    va_end(args);
    return cluster_finish(pid, 150);
}

void need_healthy(void)
{
    if (cluster("status") != 0 && cluster("up") != 0)
        t_die("the cluster is not healthy");
}

int witness(const char *volume, const char *verb, const char *path)
{
    char program[4096], words[3][512], *argv[5];
    ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
    char *slash;
    unsigned i;

    if (length < 0)
        t_die("cannot read /proc/self/exe");
    program[length] = '\0';
    slash = strrchr(program, '/');
    snprintf(slash, sizeof(program) - (size_t)(slash - program), "/witness");
    snprintf(words[0], sizeof(words[0]), "%s", volume);
    snprintf(words[1], sizeof(words[1]), "%s", verb);
    snprintf(words[2], sizeof(words[2]), "%s", path);
    argv[0] = program;
    for (i = 0; i < 3; i++)
        argv[i + 1] = words[i];
    argv[4] = NULL;
    return cluster_finish(start(program, argv), 60);
}

/* ---- random -------------------------------------------------------------------------------------------------- */

uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state += UINT64_C(0x9E3779B97F4A7C15);

    x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
    return x ^ x >> 31;
}

int64_t random_below(uint64_t *state, int64_t limit)
{
    return (int64_t)(next_random(state) % (uint64_t)limit);
}
