/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An open that fails at any step fails with that step's errno and a sentence, and leaves nothing behind. */
#include <sys/resource.h>

#include "network.h"
#include "on_fake.h"

static int fds, threads;

static void left_nothing(const char *what)
{
    ok(fake_disconnected(20), "%s: the connection is gone", what);
    is(fake_counted().open_fds, 0, "%s: no file is open", what);
    ok(t_settles(fds, threads, 20), "%s: no fd and no thread is left", what);
    is(t_watched(), 0, "%s: no fd is watched", what);
}

/* What is left of a failed connection is not ended for some seconds: looked for once for several. */
static void fails(const char *what, const char *uri, int error, int stage, const char *wanted)
{
    struct img img;

    t_forget_reports();
    is(img_open(&img, uri, BLK_O_RDWR, NULL), -error, "%s", what);
    is(img.error.error, error, "... in BlkError, too");
    is(img.error.stage, stage, "... with its stage");
    ok(strstr(img.error.message, wanted) != NULL, "... and a sentence with %s: %s", wanted, img.error.message);
    is(t_reports(), 0, "... which is not reported as well");
}

static void at_each_step(void)
{
    static const struct {
        int op, error, stage;
        int zero; /* what errno 0 becomes */
    } steps[] = {
        {FAKE_NEW, ENOMEM, BLK_STAGE_CONNECT, ENOMEM},
        {FAKE_SET_VOLFILE_SERVER, EINVAL, BLK_STAGE_CONNECT, EINVAL},
        {FAKE_SET_LOGGING, EINVAL, BLK_STAGE_CONNECT, EINVAL},
        {FAKE_SET_XLATOR_OPTION, ENOMEM, BLK_STAGE_CONNECT, EINVAL},
        {FAKE_INIT, ENOTCONN, BLK_STAGE_CONNECT, EINVAL},
        {FAKE_INIT, ENOENT, BLK_STAGE_CONNECT, EINVAL},
        {FAKE_INIT, EIO, BLK_STAGE_CONNECT, EINVAL},
        {FAKE_INIT, EACCES, BLK_STAGE_CONNECT, EINVAL},
        {FAKE_OPEN, ENOENT, BLK_STAGE_OPEN, EIO},
        {FAKE_OPEN, EACCES, BLK_STAGE_OPEN, EIO},
        {FAKE_OPEN, EROFS, BLK_STAGE_OPEN, EIO},
        {FAKE_OPEN, EINVAL, BLK_STAGE_OPEN, EIO},
        {FAKE_FSTAT, ENOTCONN, BLK_STAGE_OPEN, EIO},
    };
    unsigned i, zero;
    char what[64], volume[16], wanted[32];

    for (i = 0; i < T_COUNT(steps); i++)
        for (zero = 0; zero < 2; zero++) {
            int error = zero ? steps[i].zero : steps[i].error;

            /* Of another volume each, or they would wait for what the one before has left. */
            if (steps[i].stage == BLK_STAGE_CONNECT) {
                snprintf(volume, sizeof(volume), "vol%u", 2 * i + zero);
                snprintf(wanted, sizeof(wanted), "'%s'", volume);
            } else {
                snprintf(volume, sizeof(volume), "vol");
                snprintf(wanted, sizeof(wanted), "gluster://fake/vol/open");
            }
            snprintf(what, sizeof(what), "glfs_%s fails with errno %d", fake.op_name(steps[i].op),
                     zero ? 0 : error);
            fake_once(steps[i].op, FAKE_FAIL, zero ? 0 : error, 0);
            fails(what, fake_uri(volume, "open"), error, steps[i].stage, wanted);
        }
    left_nothing("after each of these");
}

static void servers_that_answer_no(void)
{
    fails("a volume that does not exist", fake_uri("nosuch", "open"), ENOENT, BLK_STAGE_CONNECT, "gluster volume list");
    fails("a server that refuses", fake_uri("refused", "open"), ENOTCONN, BLK_STAGE_CONNECT, "fake:24007");
    fails("a volume that is stopped", fake_uri("eio", "open"), EIO, BLK_STAGE_CONNECT, "gluster volume status");
    /* The 2013 driver took this one for a success, and crashed at the first use. */
    fails("a failure with errno 0", fake_uri("errno0", "open"), EINVAL, BLK_STAGE_CONNECT, "'errno0'");
    fails("an image that does not exist", fake_uri("vol", "none"), ENOENT, BLK_STAGE_OPEN, "gluster://fake/vol/none");
    fails("an image that is a directory", fake_uri("vol", "dir"), EISDIR, BLK_STAGE_OPEN, "directory");
    left_nothing("after these answers");
}

/* What unreachable.c has no server for. Nothing is asked of libgfapi, so nothing is left to end. */
static void no_way_there(void)
{
    static const struct {
        int error, wanted;
        const char *text;
    } ways[] = {
        {EHOSTUNREACH, ENOTCONN, "No route to host"}, {ENETUNREACH, ENOTCONN, "Network is unreachable"},
        {EACCES, EACCES, "Permission denied"},        {EMFILE, EMFILE, "Too many open files"},
    };
    uint64_t before = fake_calls(FAKE_NEW);
    uint64_t connects = network_connects();
    unsigned i;

    for (i = 0; i < T_COUNT(ways); i++) {
        network_refuse(ways[i].error);
        fails(ways[i].text, fake_uri("vol", "open"), ways[i].wanted, BLK_STAGE_CONNECT, ways[i].text);
        fails(ways[i].text, "gluster+unix:///vol/open?socket=/a%fe.socket", ways[i].wanted, BLK_STAGE_CONNECT, "socket");
        ok(!strcmp(network_socket(), "/a\xfe.socket"), "bytes that are no UTF-8 are looked for as they are");
    }
    network_refuse(0);
    is(network_connects() - connects, 2 * T_COUNT(ways), "each costs one socket");
    is(fake_calls(FAKE_NEW), before, "no instance was made for any of these");
}

/* A step of the host's or the kernel's. */
static void no_poll_loop(void)
{
    unsigned watched = t_watch_calls();

    t_watch_result = -ENOSPC;
    fails("the host cannot poll", fake_uri("vol", "open"), ENOSPC, BLK_STAGE_OPEN, "gluster://fake/vol/open");
    t_watch_result = -1;
    fails("the host's refusal need be no errno", fake_uri("vol", "open"), 1, BLK_STAGE_OPEN, "poll");
    t_watch_result = 0;
    left_nothing("then");
    is(t_watch_calls(), watched, "the host kept no handler");
}

static void no_fd(void)
{
    struct rlimit before, now;
    struct img img, second;
    int last;

    is(img_open(&img, fake_uri("vol", "open"), BLK_O_RDWR, NULL), 0, "an image is open");
    getrlimit(RLIMIT_NOFILE, &before);
    now = before;
    last = dup(0);
    close(last);
    now.rlim_cur = (rlim_t)last + 1; /* room for the file that the fake opens */
    setrlimit(RLIMIT_NOFILE, &now);
    is(img_open(&second, fake_uri("vol", "open"), BLK_O_RDWR, NULL), -EMFILE, "no fd is left for a second one");
    setrlimit(RLIMIT_NOFILE, &before);
    ok(strstr(second.error.message, "gluster://fake/vol/open") != NULL, "... %s", second.error.message);
    is(fake_counted().open_fds, 1, "its file is closed");
    img_close(&img);
    left_nothing("without fds");
}

static void a_failure_with_bs_null_error(void)
{
    struct BlkOption options[] = {{"filename", "gluster://fake/vol/none"}, {"keep-connection", "0"}, {NULL, NULL}};
    struct BlkState bs = {0};

    bs.struct_size = sizeof(bs);
    bs.opaque = calloc(1, drv_for("gluster:")->instance_size);
    t_forget_reports();
    is(drv_for("gluster:")->open(&bs, options, 0, NULL), -ENOENT, "a failing open without a BlkError");
    ok(t_reports_of(BLK_REPORT_ERROR) == 1 && t_reported("gluster://fake/vol/none"), "... is reported: %s",
       last_report());
    free(bs.opaque);
}

int main(void)
{
    struct img img;

    fake_begin("an open that fails says why and leaves nothing behind");
    fake_first_connection("open", 4096);
    fds = fd_count();
    threads = thread_count();

    at_each_step();
    servers_that_answer_no();
    no_way_there();
    no_poll_loop();
    no_fd();
    a_failure_with_bs_null_error();
    is(img_open(&img, fake_uri("vol", "open"), BLK_O_RDWR, NULL), 0, "after all that, an open succeeds");
    img_close(&img);
    return fake_end();
}
