/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What can be known to fail fails before there is a connection of libgfapi's, whose end would take seconds: a server
 * out of reach, or one that does not know the volume. */
#include "network.h"
#include "on_fake.h"

static int fds, threads;

static void fails(const char *what, const char *uri, int error, const char *wanted, const char *also)
{
    struct img img;

    is(img_open(&img, uri, BLK_O_RDWR, "connect-timeout", "1", NULL), -error, "%s", what);
    ok(img.error.error == error && img.error.stage == BLK_STAGE_CONNECT, "... with its stage");
    ok(strstr(img.error.message, wanted) && strstr(img.error.message, also), "... and a sentence with %s and %s: %s",
       wanted, also, img.error.message);
    is(fake_calls(FAKE_NEW), 0, "... without libgfapi");
}

static void without_libgfapi(void)
{
    struct BlkError error = {0};

    fake.reset();
    fails("a server that refuses", "gluster://refused.test/vol/a", ENOTCONN, "refused.test:24007", "ECONNREFUSED");
    fails("another port of it", "gluster+tcp://refused.test:1234/vol/a", ENOTCONN, "refused.test:1234", "'vol'");
    fails("a name that nobody has", "gluster://host.invalid/vol/a", ENOTCONN, "host.invalid:24007", "resolved");
    fails("a socket that is not there", "gluster+unix:///vol/a?socket=/no/socket", ENOTCONN, "/no/socket", "ENOENT");
    fails("a volume that no server knows", "gluster://fake/unknown/a", ENOENT, "'unknown'", "gluster volume list");
    fails("... nor a socket", "gluster+unix:///unknown/a?socket=/run/fake", ENOENT, "'unknown'", "/run/fake");
    fails("a server that drops packets", "gluster://deaf.test/vol/a", ETIMEDOUT, "deaf.test", "connect-timeout");
    fails("a socket that lets nobody in", "gluster+unix:///vol/a?socket=/full/socket", ETIMEDOUT, "/full/socket",
          "connect-timeout");
    fails("a server that never answers", "gluster://mute.test/vol/a", ETIMEDOUT, "mute.test", "connect-timeout");

    error.struct_size = sizeof(error);
    is(img_create("gluster://refused.test/vol/a", NULL, &error), -ENOTCONN, "create, likewise");
    ok(strstr(error.message, "refused.test:24007") != NULL, "... %s", error.message);
    ok(t_settles(fds, threads, 20), "no fd and no thread is left");
}

/* Far more of them than connections may end at once. */
static void failures_hold_up_nobody(void)
{
    struct img img;
    int i, failed = 0;

    fake.set_fini_ms(60000);
    for (i = 0; i < 200; i++)
        failed += img_open(&img, i % 2 ? "gluster://refused.test/vol/a" : "gluster://fake/unknown/a", 0, NULL) < 0;
    is(failed, 200, "200 opens fail");
    is(fake_calls(FAKE_NEW), 0, "... without libgfapi");
    fake.reset();
    is(img_open(&img, fake_uri("vol", "none"), 0, "connect-timeout", "10", NULL), -ENOENT, "the next one connects");
    is(fake_calls(FAKE_INIT), 1, "... and finds no image");
    ok(fake_disconnected(20), "its connection ends");
}

/* What is neither a yes nor a no is for libgfapi to find out. */
static void unclear_answers(void)
{
    static const char *const uris[] = {"gluster://chatty.test/vol/none", "gluster://leaves.test/vol/none"};
    struct img img;
    unsigned i;

    for (i = 0; i < T_COUNT(uris); i++) {
        fake.reset();
        is(img_open(&img, uris[i], 0, NULL), -ENOENT, "%s", uris[i]);
        is(img.error.stage, BLK_STAGE_OPEN, "... is connected to all the same");
        is(fake_calls(FAKE_INIT), 1, "... by libgfapi");
        ok(fake_disconnected(20), "... and that ends");
    }
}

/* libgfapi would wait three seconds before it tried it. */
static void another_address(void)
{
    struct fake_server server;
    struct img img;

    fake.reset();
    is(img_open(&img, "gluster://second.test:77/vol/none", 0, NULL), -ENOENT, "a server with a dead and a live address");
    is(fake.server_count(), 1, "libgfapi is told of one");
    if (fake.server(0, &server))
        t_die("no server was recorded");
    ok(!strcmp(server.host, "192.0.2.1") && server.port == 77, "... the live one: %s", server.host);
    ok(fake_disconnected(20), "its connection ends");
}

/* A connection that is there needs no server to answer. */
static void once_connected(void)
{
    uint64_t connects;
    struct img img, another;

    fake_open(&img, "unreachable", 4096);
    connects = network_connects();
    is(img_open(&another, fake_uri("vol", "unreachable"), 0, NULL), 0, "a second image of a volume");
    is(network_connects(), connects, "... without asking anybody");
    img_close(&another);
    img_close(&img);
    ok(fake_disconnected(20), "their connection ends");
}

struct opener {
    pthread_t thread;
    const char *timeout;
    int ret;
    double seconds;
};

static void *open_mute(void *arg)
{
    struct opener *it = arg;
    int64_t begin = now_us();
    struct img img;

    it->ret = img_open(&img, "gluster://mute.test/vol/a", 0, "connect-timeout", it->timeout, NULL);
    it->seconds = (double)(now_us() - begin) / 1e6;
    return NULL;
}

static void each_until_its_own_deadline(void)
{
    struct opener hasty = {0, "1", 0, 0}, patient = {0, "3", 0, 0};

    pthread_create(&hasty.thread, NULL, open_mute, &hasty);
    usleep(200 * 1000);
    pthread_create(&patient.thread, NULL, open_mute, &patient);
    pthread_join(hasty.thread, NULL);
    pthread_join(patient.thread, NULL);
    ok(hasty.ret == -ETIMEDOUT && hasty.seconds > 0.95, "an opener waits a second for a mute server (%.2f s)",
       hasty.seconds);
    ok(patient.ret == -ETIMEDOUT && patient.seconds > 2.95, "one that joined it waits its own three (%.2f s)",
       patient.seconds);
    ok(patient.seconds < 3 + 2 * t_time_factor(), "... and no longer");
    ok(t_settles(fds, threads, 20), "no fd and no thread is left");
}

int main(void)
{
    fake_begin("what cannot be connected to fails without a trace");
    fds = fd_count();
    threads = thread_count();
    without_libgfapi();
    failures_hold_up_nobody();
    unclear_answers();
    another_address();
    once_connected();
    each_until_its_own_deadline();
    return fake_end();
}
