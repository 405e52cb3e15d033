/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An image's place in options of their own, several servers, and libgfapi's log. */
#include "network.h"
#include "on_fake.h"

#define ODD "/run/fake gluster.socket"

/* Opens image "a" of volume "vol" with so many options, and closes it. */
static int opens(const char *what, const char *protocol, const struct BlkOption *more, struct BlkError *error)
{
    struct BlkOption options[16] = {{"volume", "vol"}, {"path", "a"}, {"keep-connection", "0"}};
    struct img img;
    unsigned count = 3;
    int ret;

    while (more->name)
        options[count++] = *more++;
    fake.reset();
    ret = img_open_raw(&img, drv_for(protocol), options, BLK_O_RDWR);
    *error = img.error;
    t_say("%s: %s", what, error->message);
    if (ret == 0)
        img_close(&img);
    ok(fake_disconnected(20), "%s: no connection is left", what);
    return ret;
}

static void told(uint64_t i, const char *transport, const char *host, int port)
{
    struct fake_server server;

    if (fake.server(i, &server) < 0) {
        fail("libgfapi was not told of server %d", (int)i);
        return;
    }
    ok(!strcmp(server.transport, transport) && !strcmp(server.host, host) && server.port == port,
       "server %d is %s %s:%d", (int)i, server.transport, server.host, server.port);
}

static void structured(void)
{
    static const struct BlkOption one[] = {{"server.0.type", "inet"}, {"server.0.host", "fake"}, {NULL, NULL}},
                                  socket[] = {{"server.0.type", "unix"}, {"server.0.path", ODD}, {NULL, NULL}},
                                  legacy[] = {{"server.0.type", "tcp"},
                                              {"server.0.host", "fake"},
                                              {"server.0.port", "77"},
                                              {NULL, NULL}},
                                  legacy_socket[] = {{"server.0.socket", ODD}, {NULL, NULL}};
    struct BlkError error;

    is(opens("a server", "gluster:", one, &error), 0, "a server on the network");
    is(fake.server_count(), 1, "... is one");
    told(0, "tcp", "fake", 24007);
    is(opens("a socket", "gluster:", socket, &error), 0, "a socket");
    told(0, "unix", ODD, 0);
    ok(!strcmp(network_socket(), ODD), "... is looked for");
    is(opens("another driver", "gluster+unix:", socket, &error), 0, "... with gluster+unix, too");
    is(opens("the older type", "gluster+tcp:", legacy, &error), 0, "type=tcp and a port");
    told(0, "tcp", "fake", 77);
    is(opens("the older name", "gluster:", legacy_socket, &error), 0, "socket instead of path");
    told(0, "unix", ODD, 0);
}

static void several(void)
{
    static const struct BlkOption dead_first[] = {
        {"server.0.host", "refused.test"}, {"server.1.host", "host.invalid"}, {"server.2.host", "fake"},
        {"server.3.host", "second"},       {"server.4.path", ODD},            {NULL, NULL}},
                                  all_dead[] = {{"server.0.host", "refused.test"},
                                                {"server.1.path", "/no/socket"},
                                                {"server.2.host", "host.invalid"},
                                                {NULL, NULL}};
    struct BlkError error;
    struct img img;
    int lookups;

    is(opens("several", "gluster:", dead_first, &error), 0, "the third of five servers answers");
    is(fake.server_count(), 4, "libgfapi is told of it, of the next, and at last of the others, but of no socket");
    told(0, "tcp", "fake", 24007);
    told(1, "tcp", "second", 24007);
    told(2, "tcp", "refused.test", 24007);
    told(3, "tcp", "host.invalid", 24007);
    lookups = network_resolved_in_vain();
    is(img_open(&img, "gluster://fake/vol/a?server=host.invalid", 0, NULL), 0, "a second server that is not needed");
    is(network_resolved_in_vain(), lookups, "... is not looked up");
    img_close(&img);
    ok(fake_disconnected(20), "no connection is left");
    is(opens("none", "gluster:", all_dead, &error), -ENOTCONN, "three that do not answer");
    ok(strstr(error.message, "refused.test:24007") && strstr(error.message, "socket /no/socket") &&
           strstr(error.message, "host.invalid:24007"),
       "... are all named");
    is(fake_calls(FAKE_NEW), 0, "... and libgfapi does not come into it");

    fake.reset();
    is(img_open(&img, "gluster://refused.test/vol/a?server=host.invalid&server=[::1]:7&server=fake", 0, NULL), 0,
       "a URI with three more");
    told(0, "tcp", "::1", 7);
    told(1, "tcp", "fake", 24007);
    img_close(&img);
    ok(fake_disconnected(20), "no connection is left");
    is(img_open(&img, "gluster:///vol/a?server=fake", 0, NULL), 0, "a URI whose server comes last");
    img_close(&img);
    ok(fake_disconnected(20), "no connection is left");
}

/* A full socket holds up the next server for some seconds, and not for ever. */
static void full_socket(void)
{
    static const struct BlkOption more[] = {
        {"server.0.path", "/full/socket"}, {"server.1.path", ODD}, {"connect-timeout", "60"}, {NULL, NULL}};
    struct BlkError error;

    is(opens("a full socket first", "gluster:", more, &error), 0, "the socket after a full one");
    told(0, "unix", ODD, 0);
}

/* BlkError has room for a list of servers, or for a path, and for the reason: the reason comes first. */
static void reasons_are_not_cut_off(void)
{
    enum { SERVERS = 32 };
    static char names[SERVERS][24], hosts[SERVERS][256], path[4001];
    const char *name[] = {"refused.test", "host.invalid"}, *why[] = {"ECONNREFUSED", "resolved"};
    struct BlkOption options[SERVERS + 4] = {{"volume", "vol"}, {"path", "a"}};
    struct img img;
    unsigned i, kind;

    for (i = 0; i < SERVERS; i++) {
        snprintf(names[i], sizeof(names[i]), "server.%u.host", i);
        options[2 + i] = (struct BlkOption){names[i], hosts[i]};
    }
    options[2 + SERVERS] = (struct BlkOption){"keep-connection", "0"};
    for (kind = 0; kind < T_COUNT(name); kind++) {
        for (i = 0; i < SERVERS; i++)
            snprintf(hosts[i], sizeof(hosts[i]), "%s", name[kind]);
        ok(img_open_raw(&img, drv_for("gluster:"), options, 0) < 0, "%d servers like %s", SERVERS, name[kind]);
        ok(strstr(img.error.message, why[kind]) && strstr(img.error.message, "and 29 more"), "... and why: %s",
           img.error.message);
    }
    for (i = 0; i < SERVERS; i++)
        snprintf(hosts[i], sizeof(hosts[i]), "fake");
    is(img_open_raw(&img, drv_for("gluster:"), options, 0), 0, "%d servers that answer", SERVERS);
    img_close(&img);
    options[1].value = "nothing";
    is(img_open_raw(&img, drv_for("gluster:"), options, 0), -ENOENT, "... without the image");
    ok(strstr(img.error.message, "no such image") && strstr(img.error.message, "and 29 more servers"), "... and why: %s",
       img.error.message);
    memset(path, 'p', sizeof(path) - 1);
    for (i = 200; i < sizeof(path) - 1; i += 200)
        path[i] = '/';
    options[1].value = path;
    is(img_open_raw(&img, drv_for("gluster:"), options, 0), -ENOENT, "a path of 4000 bytes");
    ok(strstr(img.error.message, "cannot open image gluster://fake/vol/ppp") && strstr(img.error.message, "no such image"),
       "... and why: %s", img.error.message);
    ok(fake_disconnected(20), "no connection is left");
}

static void contradictions(void)
{
    static const struct {
        const char *protocol;
        struct BlkOption more[4];
        const char *word;
    } rows[] = {
        {"gluster:", {{"filename", "gluster://fake/vol/a"}}, "contradicts"},
        {"gluster:", {{"server.0.host", "fake"}, {"server.2.host", "fake"}}, "no server.1"},
        {"gluster:", {{"server.0.host", "fake"}, {"server.0.path", "/s"}}, "no path"},
        {"gluster:", {{"server.0.type", "rdma"}, {"server.0.host", "fake"}}, "'rdma'"},
        {"gluster:", {{"server.0.host", "fake"}, {"server.0.colour", "red"}}, "server.0.colour"},
        {"gluster:", {{NULL, NULL}}, "server.0.host"},
        {"gluster+tcp:", {{"server.0.path", "/s"}}, "network only"},
        {"gluster+unix:", {{"server.0.host", "fake"}}, "sockets only"},
        {"gluster:", {{"server.0.host", "fake"}, {"debug", "10"}}, "'10'"},
        {"gluster:", {{"server.0.host", "fake"}, {"debug", "-1"}}, "'-1'"},
        {"gluster:", {{"server.0.host", "fake"}, {"logfile", ""}}, "logfile"},
    };
    struct BlkError error;
    unsigned i;

    for (i = 0; i < T_COUNT(rows); i++) {
        is(opens(rows[i].word, rows[i].protocol, rows[i].more, &error), -EINVAL, "EINVAL");
        ok(strstr(error.message, rows[i].word) != NULL, "... with a sentence that says %s", rows[i].word);
    }
}

static void logs(void)
{
    char path[] = "/tmp/blkgluster-log-XXXXXX";
    struct BlkOption both[] = {{"server.0.host", "fake"}, {"debug", "8"}, {"logfile", path}, {NULL, NULL}};
    static const struct BlkOption level[] = {{"server.0.host", "fake"}, {"debug", "0"}, {NULL, NULL}},
                                  nowhere[] = {{"server.0.host", "fake"}, {"logfile", "/no/such/log"}, {NULL, NULL}};
    struct fake_logging logging;
    struct BlkError error;
    int fd = mkstemp(path);

    is(opens("a log", "gluster:", both, &error), 0, "logfile and debug");
    ok(fake.last_logging(&logging) == 0 && !strcmp(logging.file, path) && logging.level == 8, "libgfapi is told of both");
    ok(!strcmp(fake.effective_option("vol", "vol", "log-level"), "DEBUG"), "so is the volume's top translator");
    is(opens("a level", "gluster:", level, &error), 0, "debug alone");
    ok(fake.last_logging(&logging) == 0 && !strcmp(logging.file, "-") && logging.level == 0, "goes to stderr");
    is(opens("a log that cannot be", "gluster:", nowhere, &error), -ENOENT, "a log that cannot be written");
    ok(strstr(error.message, "/no/such/log") != NULL, "... is named");
    is(fake_calls(FAKE_NEW), 0, "... and libgfapi does not come into it");
    close(fd);
    unlink(path);
}

static void creates(void)
{
    static const struct BlkOption options[] = {{"size", "1M"},           {"volume", "vol"},        {"path", "made"},
                                               {"server.0.host", "fake"}, {"keep-connection", "0"}, {NULL, NULL}};
    const struct BlkDriver *drv = drv_for("gluster:");
    struct BlkError error = {.struct_size = sizeof(error)};
    struct img img;

    is(drv->create(NULL, options, &error), 0, "create without a filename: %s", error.message);
    is(img_open(&img, fake_uri("vol", "made"), 0, NULL), 0, "the image is there");
    is(drv->getlength(&img.bs), 1 << 20, "... as long as asked for");
    img_close(&img);
    is(drv->create("gluster://fake/vol/made", options, &error), -EINVAL, "with both");
    ok(strstr(error.message, "contradicts") != NULL, "... %s", error.message);
    is(drv->create(NULL, NULL, &error), -EINVAL, "with neither");
    ok(fake_disconnected(20), "no connection is left");
}

int main(void)
{
    struct img img;

    fake_begin("options say where an image is as well as a URI does, and any of its servers will do");
    fake_open(&img, "a", 4096);
    img_close(&img);
    ok(fake_disconnected(20), "an image");
    structured();
    several();
    full_socket();
    reasons_are_not_cut_off();
    contradictions();
    logs();
    creates();
    return fake_end();
}
