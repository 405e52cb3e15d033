/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What libgfapi is told before glfs_init: the servers, no log, and exactly the translator options that are promised. */
#include "on_fake.h"

struct wanted {
    const char *pattern, *key, *value;
};

static const struct wanted always[] = {
    {"*-io-threads", "pass-through", "true"},
    {"*-md-cache", "pass-through", "true"},
    {"*-read-ahead", "pass-through", "true"},
    {"*-io-cache", "pass-through", "true"},
    {"*-open-behind", "pass-through", "true"},
    {"*-quick-read", "max-file-size", "0"},
    {"*-client-*", "event-threads", "1"},
    {"*-disperse-*", "parallel-writes", "off"},
    {"vol", "log-level", "ERROR"},
};
static const struct wanted uncached = {"*-write-behind", "pass-through", "true"};

static unsigned times_set(const struct wanted *wanted)
{
    struct fake_option option;
    unsigned n = 0;
    uint64_t i;

    for (i = 0; fake.option(i, &option) == 0; i++)
        n += !strcmp(option.pattern, wanted->pattern) && !strcmp(option.key, wanted->key) &&
             !strcmp(option.value, wanted->value);
    return n;
}

/* The name that a translator of volume "vol" has, as libgfapi's fnmatch sees it. */
static void seen_by(const char *xlator, const char *key, const char *value)
{
    const char *got = fake.effective_option("vol", xlator, key);

    if (value)
        ok(got && !strcmp(got, value), "%s sees %s=%s", xlator, key, value);
    else
        ok(!got, "%s sees no %s", xlator, key);
}

static void exactly(const char *what, bool write_cache)
{
    struct fake_logging logging;
    struct fake_option option;
    uint64_t i, late = 0;

    is(fake.option_count(), T_COUNT(always) + !write_cache, "%s: as many options as promised", what);
    for (i = 0; i < T_COUNT(always); i++)
        is(times_set(&always[i]), 1, "%s %s=%s", always[i].pattern, always[i].key, always[i].value);
    is(times_set(&uncached), !write_cache, "write-behind as asked for");
    for (i = 0; fake.option(i, &option) == 0; i++)
        late += !option.before_init;
    is(late, 0, "all of them before glfs_init, since they have no effect after it");

    seen_by("vol-write-behind", "resync-failed-syncs-after-fsync", NULL);
    seen_by("vol-write-behind", "pass-through", write_cache ? NULL : "true");
    seen_by("vol-client-0", "event-threads", "1");
    seen_by("vol-client-11", "event-threads", "1");
    seen_by("vol", "log-level", "ERROR");

    ok(fake.last_logging(&logging) == 0 && logging.before_init && !strcmp(logging.file, "/dev/null") &&
           logging.level <= 4,
       "no log file, and no level below error");
}

static void modes(void)
{
    static const struct {
        const char *what, *value;
        uint32_t flags;
        bool write_cache;
    } ways[] = {
        {"by default", NULL, BLK_O_RDWR, false},
        {"read-only", NULL, 0, false},
        {"write-cache=on", "on", BLK_O_RDWR, true},
        {"write-cache=off", "off", BLK_O_RDWR, false},
        {"BLK_O_NOCACHE", NULL, BLK_O_RDWR | BLK_O_NOCACHE, false},
        {"BLK_O_NOCACHE and write-cache=off", "off", BLK_O_NOCACHE, false},
    };
    struct img img;
    unsigned i;

    for (i = 0; i < T_COUNT(ways); i++) {
        fake.reset();
        is(img_open(&img, fake_uri("vol", "options"), ways[i].flags, ways[i].value ? "write-cache" : NULL,
                    ways[i].value, NULL),
           0, "%s", ways[i].what);
        exactly(ways[i].what, ways[i].write_cache);
        img_close(&img);
        ok(fake_disconnected(20), "the connection ends");
    }
}

/* A flush after a failed one reports success only where write-behind has nothing to hide. */
static void fails_honestly(struct img *img, bool write_behind)
{
    fake_once(FAKE_FSYNC, FAKE_FAIL, ENOTCONN, 0);
    is(flush_sync(img), -ENOTCONN, "... a flush fails");
    is(flush_sync(img), write_behind ? -EIO : 0, "... the next one");
}

/* Only a connection tells whether the volume is sharded, and then it is too late for its options. */
static void sharded(void)
{
    static const struct {
        const char *volume, *value;
        unsigned connections, through;
        int fault;
    } ways[] = {
        {"vol", "on", 1, 0, 0},      {"sharded", "off", 1, 1, 0}, {"sharded", "on", 2, 1, 0},
        {"vol", "on", 2, 1, EINVAL}, /* a volume that does not say what it is */
    };
    struct BlkError error = {0};
    struct img img;
    unsigned i;

    error.struct_size = sizeof(error);
    is(img_create(fake_uri("sharded", "options"), "4096", &error), 0, "an image on a sharded volume");
    fake_disconnected(20);
    for (i = 0; i < T_COUNT(ways); i++) {
        uint64_t before;
        int rule = 0;

        fake.reset();
        before = fake_calls(FAKE_INIT);
        if (ways[i].fault)
            rule = fake_always(FAKE_GET_VOLFILE, FAKE_FAIL, ways[i].fault, 0);
        is(img_open(&img, fake_uri(ways[i].volume, "options"), BLK_O_RDWR, "write-cache", ways[i].value, NULL), 0,
           "%s, write-cache=%s", ways[i].volume, ways[i].value);
        is(fake_calls(FAKE_INIT) - before, ways[i].connections, "... connects as often as it must");
        is(times_set(&uncached), ways[i].through, "... without write-behind on sharded volumes");
        fails_honestly(&img, ways[i].through == 0);
        if (rule)
            fake_calm(rule);
        img_close(&img);
        ok(fake_disconnected(20), "every connection ends");
    }
}

/* An image stays where it is, but none joins it there. */
static void sharded_later(void)
{
    struct img img, second;
    int rule;

    fake.reset();
    is(img_open(&img, fake_uri("vol", "options"), BLK_O_RDWR, "write-cache", "on", NULL), 0, "write-cache=on");
    is(fake_calls(FAKE_INIT), 1, "... has one connection");
    is(img_open(&second, fake_uri("vol", "options"), 0, "write-cache", "on", NULL), 0, "another opening");
    is(fake_calls(FAKE_INIT), 1, "... shares it");
    img_close(&second);
    /* The volume's description no longer says that it is not sharded. */
    rule = fake_always(FAKE_GET_VOLFILE, FAKE_FAIL, EINVAL, 0);
    is(img_open(&second, fake_uri("vol", "options"), BLK_O_RDWR, "write-cache", "on", NULL), 0, "sharded by now");
    is(fake_calls(FAKE_INIT), 3, "... connects anew, and once more without write-behind");
    fails_honestly(&second, false);
    fake_calm(rule);
    img_close(&second);
    fails_honestly(&img, true);
    img_close(&img);
    ok(fake_disconnected(20), "every connection ends");
}

/* What the host asked for reaches the translators, and parts connections. */
static void tuned(void)
{
    static const struct {
        const char *name, *value, *word;
    } wrong[] = {
        {"ping-timeout", "0", "from 1 to 1013"},
        {"frame-timeout", "x", "'x'"},
        {"xlator.*-client-*.event-threads", "4", "one of the keys"},
        {"xlator.*-client-*.tcp-window-size", "1MB", "ping-timeout"},
        {"xlator.*.cache-size", "1", "from 524288"},
    };
    struct img img, other;
    unsigned i;

    fake.reset();
    is(img_open(&img, fake_uri("vol", "options"), BLK_O_RDWR, "ping-timeout", "5", "xlator.vol-client-1.frame-timeout",
                "60", "xlator.*-replicate-?.choose-local", "off", NULL),
       0, "tuned");
    seen_by("vol-client-0", "ping-timeout", "5");
    seen_by("vol-client-1", "ping-timeout", "5");
    seen_by("vol-client-0", "frame-timeout", NULL);
    seen_by("vol-client-1", "frame-timeout", "60");
    seen_by("vol-replicate-0", "choose-local", "off");
    seen_by("vol-client-0", "event-threads", "1");
    is(img_open(&other, fake_uri("vol", "options"), 0, "xlator.*-replicate-?.choose-local", "off",
                "xlator.vol-client-1.frame-timeout", "60", "ping-timeout", "5", NULL),
       0, "the same in another order");
    is(fake_calls(FAKE_INIT), 1, "... shares the connection");
    img_close(&other);
    is(img_open(&other, fake_uri("vol", "options"), 0, "ping-timeout", "6", NULL), 0, "tuned in another way");
    is(fake_calls(FAKE_INIT), 2, "... does not");
    img_close(&other);
    img_close(&img);
    for (i = 0; i < T_COUNT(wrong); i++) {
        is(img_open(&img, fake_uri("vol", "options"), 0, wrong[i].name, wrong[i].value, NULL), -EINVAL, "%s=%s",
           wrong[i].name, wrong[i].value);
        ok(strstr(img.error.message, wrong[i].word) != NULL, "... %s", img.error.message);
    }
    is(img_open(&img, fake_uri("vol", "options"), 0, "ping-timeout", "5", "ping-timeout", "5", NULL), -EINVAL, "twice");
    ok(fake_disconnected(20), "every connection ends");
}

static void servers(void)
{
    static const struct {
        const char *uri, *transport, *host;
        int port, warnings;
    } uris[] = {
        {"gluster://some.server/vol/options", "tcp", "some.server", 24007, 0},
        {"gluster+tcp://some.server:1234/vol/options", "tcp", "some.server", 1234, 0},
        {"gluster://some.server:0/vol/options", "tcp", "some.server", 24007, 0},
        {"gluster://10.1.2.3:65535/vol/options", "tcp", "10.1.2.3", 65535, 0},
        {"gluster://[2001:db8::1]:24007/vol/options", "tcp", "2001:db8::1", 24007, 0},
        {"gluster://[2001:db8::1]/vol/options", "tcp", "2001:db8::1", 24007, 0},
        {"gluster:///vol/options", "tcp", "localhost", 24007, 0},
        {"gluster:vol/options", "tcp", "localhost", 24007, 0},
        {"gluster+unix:///vol/options?socket=/run/glusterd.socket", "unix", "/run/glusterd.socket", 0, 0},
        {"gluster+unix:///vol/options?socket=/a%20b%25", "unix", "/a b%", 0, 0},
        {"gluster+rdma://some.server/vol/options", "tcp", "some.server", 24007, 1},
        {"gluster+rdma://some.server:49152/vol/options", "tcp", "some.server", 49152, 1},
    };
    struct fake_server server;
    struct img img;
    unsigned i;

    for (i = 0; i < T_COUNT(uris); i++) {
        fake.reset();
        t_forget_reports();
        is(img_open(&img, uris[i].uri, BLK_O_RDWR, NULL), 0, "%s", uris[i].uri);
        is(fake.server_count(), 1, "one server");
        ok(fake.server(0, &server) == 0 && !strcmp(server.volume, "vol") && server.transport &&
               !strcmp(server.transport, uris[i].transport) && !strcmp(server.host, uris[i].host) &&
               server.port == uris[i].port,
           "it is %s %s:%d", uris[i].transport, uris[i].host, uris[i].port);
        is(t_reports_of(BLK_REPORT_WARNING), uris[i].warnings, "warnings: %s", last_report());
        is(t_reports(), uris[i].warnings, "nothing else is reported");
        img_close(&img);
        fake_disconnected(20);
    }
}

int main(void)
{
    struct img img;

    fake_begin("libgfapi is told the promised options, before glfs_init, and nothing else");
    fake_open(&img, "options", 4096);
    img_close(&img);
    fake_disconnected(20);
    modes();
    sharded();
    sharded_later();
    tuned();
    servers();
    return fake_end();
}
