/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "volumes.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <sys/socket.h>

static const char *server;

/* An open that fails: with this errno, at this stage, in less than so many seconds, and with words that help. */
static void refused(const char *uri, uint32_t flags, int error, int stage, double seconds, const char *word,
                    const char *other_word)
{
    unsigned reports = t_reports();
    int64_t begun = now_us();
    struct img img;
    int ret = img_open(&img, uri, flags, "connect-timeout", "10", NULL);
    double took = (double)(now_us() - begun) / 1e6;

    if (!is(ret, -error, "%s: %s", uri, strerror(error))) {
        if (ret == 0)
            img_close(&img);
        return;
    }
    ok(img.error.error == error && img.error.stage == stage, "the same in the BlkError, with stage %d", stage);
    ok(strstr(img.error.message, word) && strstr(img.error.message, other_word), "which says: %s", img.error.message);
    ok(took < seconds * t_time_factor(), "after %.3f s, not %.0f", took, seconds);
    is(t_reports(), reports, "and nothing more to the log");
}

/* ---- servers that do not answer ------------------------------------------------------------------------------ */

static int listener(unsigned *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = inet_addr("127.77.0.7");
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) || listen(fd, 0) ||
        getsockname(fd, (struct sockaddr *)&address, &length))
        t_die("cannot listen: %s", strerror(errno));
    *port = ntohs(address.sin_port);
    return fd;
}

/* Fills the queue of connections that nobody accepts, so that the kernel drops every further SYN: what is seen from
 * the outside is an address behind a firewall. */
static void make_deaf(int fd, int fillers[4])
{
    struct sockaddr_in address;
    socklen_t length = sizeof(address);
    unsigned i;

    getsockname(fd, (struct sockaddr *)&address, &length);
    for (i = 0; i < 4; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (connect(fillers[i], (struct sockaddr *)&address, length) && errno != EINPROGRESS)
            t_die("cannot connect: %s", strerror(errno));
    }
}

struct patience {
    pthread_t thread;
    char uri[128];
    bool creates;
    int ret;
    double took;
    struct BlkError error;
};

static void *wait_in_vain(void *arg)
{
    struct patience *p = arg;
    int64_t begun = now_us();

    p->error.struct_size = sizeof(p->error);
    if (p->creates) {
        static const struct BlkOption options[] = {{"size", "1M"}, {"connect-timeout", "2"}, {NULL, NULL}};

        p->ret = drv_for(p->uri)->create(p->uri, options, &p->error);
    } else {
        struct img img;

        p->ret = img_open(&img, p->uri, 0, "connect-timeout", "2", NULL);
        p->error = img.error;
        if (p->ret == 0)
            img_close(&img);
    }
    p->took = (double)(now_us() - begun) / 1e6;
    return NULL;
}

static void silent_servers(void)
{
    unsigned silent_port, deaf_port, i;
    int silent = listener(&silent_port), deaf = listener(&deaf_port), fillers[4];
    struct patience all[3];

    make_deaf(deaf, fillers);
    memset(all, 0, sizeof(all));
    for (i = 0; i < T_COUNT(all); i++) {
        snprintf(all[i].uri, sizeof(all[i].uri), "gluster://127.77.0.7:%u/%s/image", i == 1 ? deaf_port : silent_port,
                 i == 2 ? "other" : "plain");
        all[i].creates = i == 2;
        if (pthread_create(&all[i].thread, NULL, wait_in_vain, &all[i]))
            t_die("no thread");
    }
    for (i = 0; i < T_COUNT(all); i++) {
        char port[16];

        pthread_join(all[i].thread, NULL);
        snprintf(port, sizeof(port), "%s", strchr(all[i].uri + 10, ':'));
        *strchr(port, '/') = '\0';
        is(all[i].ret, -ETIMEDOUT, "%s of an image on a server that %s", all[i].creates ? "create" : "open",
           i == 1 ? "gives no sign of life" : "accepts and never answers");
        ok(all[i].took >= 1.9 && all[i].took < 3 * t_time_factor(), "after %.3f s, as connect-timeout=2 says",
           all[i].took);
        ok(all[i].error.error == ETIMEDOUT && all[i].error.stage == BLK_STAGE_CONNECT &&
               strstr(all[i].error.message, "127.77.0.7") && strstr(all[i].error.message, port) &&
               strstr(all[i].error.message, "connect-timeout"),
           "and says: %s", all[i].error.message);
    }
    close(silent);
    close(deaf);
    for (i = 0; i < T_COUNT(fillers); i++)
        close(fillers[i]);
}

/* ---- what is wrong with an image ----------------------------------------------------------------------------- */

static void images(const char *volume)
{
    char name[300];

    make_elsewhere(volume, "errors-file");
    if (witness(volume, "mkdir", "/errors-dir"))
        t_die("cannot make a directory");
    refused(cluster_uri(volume, "no-such-image"), 0, ENOENT, BLK_STAGE_OPEN, 2, "no-such-image", volume);
    refused(cluster_uri(volume, "no-such-dir/a"), BLK_O_RDWR, ENOENT, BLK_STAGE_OPEN, 2, "no-such-dir/a", volume);
    refused(cluster_uri(volume, "errors-dir"), 0, EISDIR, BLK_STAGE_OPEN, 2, "errors-dir", "directory");
    refused(cluster_uri(volume, "errors-dir"), BLK_O_RDWR, EISDIR, BLK_STAGE_OPEN, 2, "errors-dir", "directory");
    refused(cluster_uri(volume, "errors-file/a"), 0, ENOTDIR, BLK_STAGE_OPEN, 2, "errors-file/a", volume);
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    refused(cluster_uri(volume, "%s", name), 0, ENAMETOOLONG, BLK_STAGE_OPEN, 2, "nnn", volume);
    is(img_create(cluster_uri(volume, "errors-dir"), "1M", NULL), -EISDIR, "%s: a directory cannot become an image",
       volume);
    is(witness(volume, "exists", "/errors-dir"), 0, "%s: it stays what it is", volume);
    witness(volume, "rmdir", "/errors-dir");
    witness(volume, "unlink", "/errors-file");
}

static void read_only(const char *volume)
{
    const char *uri = cluster_uri(volume, "errors-ro");
    struct io io = {0};
    struct img img;

    make_and_open(&img, uri, "64k", "on");
    ok(write_pattern(&img, 65536, 0, 1), "%s: fill an image", volume);
    img_close(&img);
    if (!is(img_open(&img, uri, 0, NULL), 0, "%s: open it without BLK_O_RDWR", volume))
        return;
    t_forget_reports();
    is(pwrite_sync(&img, "x", 1, 0), -EBADF, "%s: a write is refused", volume);
    ok(t_reported("BLK_O_RDWR"), "%s: with the reason: %s", volume, last_report());
    is(discard_sync(&img, 4096, 0), -EBADF, "%s: a discard, too", volume);
    is(img.drv->truncate(&img.bs, 1, &img.error), -EBADF, "%s: and a truncate", volume);
    ok(!io_discard(&io, &img, 4096, 0), "%s: refused: no request, no callback", volume);
    run_for(0.1);
    is(io.done, 0, "%s: none came", volume);
    ok(has_pattern(&img, 65536, 0, 1), "%s: the image is as it was", volume);
    img_close(&img);
    empty_image(uri);
}

/* ---- what is wrong with a volume ----------------------------------------------------------------------------- */

static void stopped(void)
{
    const char *uri = cluster_uri("plain", "errors-stopped");
    struct img img;

    make_image(uri, "64k");
    if (cluster("gluster volume stop plain"))
        t_die("cannot stop the volume");
    refused(uri, BLK_O_RDWR, EIO, BLK_STAGE_CONNECT, 2, "'plain'", "stopped");
    if (cluster("gluster volume start plain") || cluster("restart-brick plain 1"))
        t_die("cannot start the volume");
    if (is(img_open(&img, uri, BLK_O_RDWR, NULL), 0, "it opens when the volume runs again")) {
        ok(write_pattern(&img, 65536, 0, 1) && has_pattern(&img, 65536, 0, 1), "and works");
        img_close(&img);
    }
    empty_image(uri);
}

static const char *elsewhere(const char *format, ...) T_PRINTF(1, 2);
static const char *elsewhere(const char *format, ...)
{
    static char uri[256];
    va_list args;

    va_start(args, format);
    vsnprintf(uri, sizeof(uri), format, args);
    va_end(args);
    return uri;
}

int main(void)
{
    struct BlkError error = {.struct_size = sizeof(error)};
    int fds, threads;

    t_begin("what cannot be opened is refused soon, with the right errno and a sentence, and leaves nothing behind");
    load_for_volumes();
    server = getenv("BLKG_SERVER");
    fds = fd_count();
    threads = thread_count();
    silent_servers();
    refused(cluster_uri("no-such-volume", "image"), 0, ENOENT, BLK_STAGE_CONNECT, 1, "'no-such-volume'", server);
    refused(cluster_unix_uri("no-such-volume", "image"), 0, ENOENT, BLK_STAGE_CONNECT, 1, "'no-such-volume'",
            getenv("BLKG_SOCKET"));
    refused(elsewhere("gluster://%s:24999/plain/image", server), 0, ENOTCONN, BLK_STAGE_CONNECT, 1, server,
            "24999: Connection refused");
    refused("gluster://127.77.0.99/plain/image", 0, ENOTCONN, BLK_STAGE_CONNECT, 1, "127.77.0.99",
            "24007: Connection refused");
    refused("gluster://[::1]/plain/image", 0, ENOTCONN, BLK_STAGE_CONNECT, 1, "[::1]:24007", "check the address");
    refused("gluster+tcp://no-such-host.invalid/plain/image", 0, ENOTCONN, BLK_STAGE_CONNECT, 9,
            "no-such-host.invalid:24007", "cannot be resolved");
    refused("gluster+unix:///plain/image?socket=/no/such/socket", 0, ENOTCONN, BLK_STAGE_CONNECT, 1, "'plain'",
            "/no/such/socket: No such file or directory");
    is(img_create(elsewhere("gluster://%s:24999/plain/image", server), "1M", &error), -ENOTCONN, "create, likewise");
    ok(strstr(error.message, "24999"), "which says: %s", error.message);
    is(threads_named("glfs_"), 0, "libgfapi did not come into any of that");
    ok(t_settles(fds, threads, 20), "no thread and no fd is left of it");
    images("plain");
    images("disp");
    images("sharded");
    read_only("rep3");
    stopped();
    is(t_watched(), 0, "no fd is watched");
    ok(connections_gone(fds, threads), "no thread and no fd is left of all that");
    return end_for_volumes();
}
