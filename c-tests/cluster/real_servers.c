/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any of several servers will do, in a URI and in options of their own; libgfapi's log goes where it is told to, and its
 * patience is what it is told to be. */
#include "volumes.h"

#include <sys/stat.h>

enum { BYTES = 1 << 20 };

static char server[64], socket_path[128], log_path[] = "/tmp/blkgluster-log-XXXXXX";

/* Reads what the first one wrote. */
static void opens(const char *what, const struct BlkOption *options)
{
    struct img img;

    is(img_open_raw(&img, drv_for("gluster:"), options, BLK_O_RDWR), 0, "%s: %s", what, img.error.message);
    if (!img.is_open)
        return;
    ok(has_pattern(&img, BYTES, 0, 7), "... and it is the image");
    img_close(&img);
}

static void structured(void)
{
    const struct BlkOption inet[] = {{"volume", "rep3"},
                                     {"path", "/servers"},
                                     {"server.0.type", "inet"},
                                     {"server.0.host", server},
                                     {"server.0.port", "24999"},
                                     {"server.1.type", "inet"},
                                     {"server.1.host", server},
                                     {"server.1.port", "24007"},
                                     {"server.2.host", "no-such-host.invalid"},
                                     {NULL, NULL}},
                           local[] = {{"volume", "rep3"},
                                      {"path", "servers"},
                                      {"server.0.type", "unix"},
                                      {"server.0.path", socket_path},
                                      {NULL, NULL}},
                           logged[] = {{"volume", "rep3"},    {"path", "servers"},    {"server.0.host", server},
                                       {"logfile", log_path}, {"debug", "7"},         {NULL, NULL}};
    struct stat stat;
    int fd = mkstemp(log_path);

    opens("the second of three servers", inet);
    opens("a socket", local);
    opens("with a log", logged);
    ok(fd >= 0 && fstat(fd, &stat) == 0 && stat.st_size > 0, "... to which libgfapi wrote");
    close(fd);
    unlink(log_path);
}

static void in_a_uri(void)
{
    struct img img;
    char uri[256];

    snprintf(uri, sizeof(uri), "gluster://%s:24999/rep3/servers?server=no-such-host.invalid&server=%s", server, server);
    is(img_open(&img, uri, 0, NULL), 0, "the third server of a URI: %s", img.error.message);
    ok(img.is_open && has_pattern(&img, BYTES, 0, 7), "... leads to the image");
    if (img.is_open)
        img_close(&img);
    snprintf(uri, sizeof(uri), "gluster://%s:24999/rep3/servers?server=%s:24998", server, server);
    is(img_open(&img, uri, 0, NULL), -ENOTCONN, "two dead ones");
    ok(strstr(img.error.message, "24999: Connection refused") && strstr(img.error.message, "24998: Connection refused"),
       "... are both named: %s", img.error.message);
}

/* A brick that is silent, not dead: GlusterFS gives it up after 42 s, unless it is told. */
static void impatient(void)
{
    struct img img;
    int64_t begin;

    make_image(cluster_uri("plain", "servers"), "1M");
    is(img_open(&img, cluster_uri("plain", "servers"), BLK_O_RDWR, "ping-timeout", "3", NULL), 0, "ping-timeout=3");
    if (cluster("pause-brick plain 1"))
        t_die("cannot pause the brick");
    begin = now_us();
    ok(!write_pattern(&img, 4096, 0, 1), "a write to a silent brick fails");
    ok(now_us() - begin < 30000000, "... long before 42 s are over (%.1f s)", (double)(now_us() - begin) / 1e6);
    if (cluster("resume-brick plain 1"))
        t_die("cannot resume the brick");
    img_close(&img);
    empty_image(cluster_uri("plain", "servers"));
}

int main(void)
{
    struct img img;

    t_begin("several servers");
    load_for_volumes();
    snprintf(server, sizeof(server), "%s", getenv("BLKG_SERVER"));
    snprintf(socket_path, sizeof(socket_path), "%s", getenv("BLKG_SOCKET"));
    make_elsewhere("rep3", "servers");
    is(img_open(&img, cluster_uri("rep3", "servers"), BLK_O_RDWR, NULL), 0, "an image");
    ok(write_pattern(&img, BYTES, 0, 7), "... with a pattern");
    img_close(&img);
    structured();
    in_a_uri();
    impatient();
    witness("rep3", "unlink", "/servers");
    return end_for_volumes();
}
