/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whatever a host gives open and create wrongly: the error code, a sentence that names it, nothing contacted. */
#include "on_fake.h"

static const struct BlkDriver *drv;
static struct BlkState bs;
static struct BlkError error;
static _Alignas(16) char memory[64];
static struct BlkOption good[] = {{"filename", NULL}, {"keep-connection", "0"}, {NULL, NULL}};

static void fresh(void)
{
    memset(memory, 0, sizeof(memory));
    memset(&bs, 0, sizeof(bs));
    bs.struct_size = sizeof(bs);
    bs.opaque = memory;
    memset(&error, 0x55, sizeof(error));
    error.struct_size = sizeof(error);
}

static void judge(const char *what, int ret, int wanted, const char *word)
{
    is(ret, -wanted, "%s", what);
    is(error.error, wanted, "... in BlkError, too");
    is(error.stage, BLK_STAGE_PARSE, "... before anything was contacted");
    ok(memchr(error.message, '\0', sizeof(error.message)) && strlen(error.message) > 15 && strstr(error.message, word),
       "... with '%s' in the sentence: %.300s", word, error.message);
}

static void opens(const char *what, const struct BlkOption *options, uint32_t flags, int wanted, const char *word)
{
    judge(what, drv->open(&bs, options, flags, &error), wanted, word);
    fresh();
}

static void bad_states(void)
{
    char *odd = t_alloc(sizeof(bs) + 1);
    size_t sizes[] = {0, 1, 8, sizeof(bs) - 1};
    unsigned i;

    judge("a NULL BlkState", drv->open(NULL, good, 0, &error), EINVAL, "BlkState");
    fresh();
    memcpy(odd + 1, &bs, sizeof(bs));
    judge("a BlkState that is not aligned", drv->open((struct BlkState *)(void *)(odd + 1), good, 0, &error), EINVAL,
          "BlkState");
    free(odd);
    fresh();
    for (i = 0; i < T_COUNT(sizes); i++) {
        bs.struct_size = sizes[i];
        opens("a BlkState that is too short", good, 0, EINVAL, "struct_size");
    }
    bs.opaque = NULL;
    opens("a BlkState without opaque", good, 0, EINVAL, "opaque");
    bs.opaque = memory + 4;
    opens("an opaque that is not aligned", good, 0, EINVAL, "opaque");
    memory[0] = 1;
    opens("an opaque that is not zeroed", good, 0, EBUSY, "zeroed");
    memset(memory, 0xff, sizeof(memory));
    opens("an opaque full of ones", good, 0, EBUSY, "zeroed");
}

static void bad_options(void)
{
    static const struct {
        const char *what, *name, *value;
        uint32_t flags;
        const char *word;
    } cases[] = {
        {"an option without a value", "write-cache", NULL, 0, "write-cache"},
        {"an unknown option", "colour", "blue", 0, "'colour'"},
        {"an option of create", "size", "1M", 0, "'size'"},
        {"an option in other letters", "Write-Cache", "on", 0, "'Write-Cache'"},
        {"an option without a name", "", "x", 0, "option"},
        {"a name that is not UTF-8", "caf\xe9", "x", 0, "UTF-8"},
        {"a value that is not UTF-8", "write-cache", "o\xffn", 0, "write-cache"},
        {"filename twice", "filename", "gluster://fake/vol/bad", 0, "filename"},
        {"write-cache=yes", "write-cache", "yes", 0, "'yes'"},
        {"write-cache=ON", "write-cache", "ON", 0, "'ON'"},
        {"write-cache of nothing", "write-cache", "", 0, "write-cache"},
        {"write-cache=on with BLK_O_NOCACHE", "write-cache", "on", BLK_O_NOCACHE, "BLK_O_NOCACHE"},
        {"connect-timeout=0", "connect-timeout", "0", 0, "connect-timeout"},
        {"connect-timeout=3601", "connect-timeout", "3601", 0, "3600"},
        {"connect-timeout=-1", "connect-timeout", "-1", 0, "'-1'"},
        {"connect-timeout=+1", "connect-timeout", "+1", 0, "'+1'"},
        {"connect-timeout=1.5", "connect-timeout", "1.5", 0, "'1.5'"},
        {"connect-timeout with a space", "connect-timeout", " 1", 0, "connect-timeout"},
        {"connect-timeout=1s", "connect-timeout", "1s", 0, "'1s'"},
        {"connect-timeout of nothing", "connect-timeout", "", 0, "connect-timeout"},
        {"connect-timeout beyond all numbers", "connect-timeout", "99999999999999999999", 0, "connect-timeout"},
        {"an unknown flag", "write-cache", "off", 1, "0x1"},
        {"several unknown flags", "write-cache", "off", 0xffffffff & ~(uint32_t)BLK_O_RDWR, "0xfffffedd"},
    };
    static const struct BlkOption none[] = {{NULL, NULL}};
    struct BlkOption options[3] = {{"filename", "gluster://fake/vol/bad"}, {NULL, NULL}, {NULL, NULL}};
    char *odd = t_alloc(sizeof(good) + 1);
    unsigned i;

    opens("options that are NULL", NULL, 0, EINVAL, "filename");
    opens("no options", none, 0, EINVAL, "filename");
    memcpy(odd + 1, good, sizeof(good));
    opens("options that are not aligned", (struct BlkOption *)(void *)(odd + 1), 0, EINVAL, "align");
    free(odd);
    for (i = 0; i < T_COUNT(cases); i++) {
        options[1].name = cases[i].name;
        options[1].value = cases[i].value;
        opens(cases[i].what, options, cases[i].flags, EINVAL, cases[i].word);
    }
}

static void bad_uris(void)
{
    static const struct {
        const char *uri, *word;
    } cases[] = {
        {"", "gluster"},
        {"gluster", "Usage"},
        {"/vol/image", "Usage"},
        {"file:///vol/image", "Usage"},
        {"GLUSTER://fake/vol/image", "lower case"},
        {"gluster+sctp://fake/vol/image", "no such protocol"},
        {"gluster+tcp://fake/vol/image", "gluster+tcp"},
        {"gluster+rdma://fake/vol/image", "gluster+rdma"},
        {"gluster+unix:///vol/image?socket=/s", "gluster+unix"},
        {"gluster://", "volume"},
        {"gluster://fake", "volume"},
        {"gluster://fake/", "volume"},
        {"gluster://fake/vol", "image"},
        {"gluster://fake/vol/", "image"},
        {"gluster://fake:port/vol/image", "port"},
        {"gluster://fake:65536/vol/image", "port"},
        {"gluster://fake:-1/vol/image", "port"},
        {"gluster://[::1/vol/image", "Usage"},
        {"gluster://fake/vol/image?socket=/s", "socket"},
        {"gluster://fake/vol/image?debug=9", "debug"},
        {"gluster://fake/vol/ima ge", "Usage"},
        {"gluster://fake/vol/ima%ge", "Usage"},
        {"gluster://fake/vol/ima%00ge", "Usage"},
        {"gluster://fake/../image", "volume"},
        {"gluster://fake/vol/image/", "ends with a slash"},
        {"gluster://fake/vol/dir/image%2F/", "ends with a slash"},
    };
    struct BlkOption options[2] = {{"filename", NULL}, {NULL, NULL}};
    unsigned i;
    char *endless;

    for (i = 0; i < T_COUNT(cases); i++) {
        options[0].value = cases[i].uri;
        opens(cases[i].uri, options, 0, EINVAL, cases[i].word);
        judge("... in create", drv->create(cases[i].uri, NULL, &error), EINVAL, cases[i].word);
        fresh();
    }
    options[0].value = "gluster://fake/vol/caf\xe9";
    opens("a URI that is not UTF-8", options, 0, EINVAL, "UTF-8");
    options[0].value = "gluster://user:secret@fake/vol";
    is(drv->open(&bs, options, 0, &error), -EINVAL, "a URI with a password, and without an image");
    ok(!strstr(error.message, "secret"), "... whose password is not told: %s", error.message);
    fresh();

    endless = t_alloc(100001);
    memset(endless, 'x', 100000);
    endless[100000] = '\0';
    memcpy(endless, "gluster://fake/", 15);
    options[0].value = endless;
    opens("a volume's name of 100000 bytes", options, 0, EINVAL, "volume");
    memcpy(endless, "gluster://fake/vol/", 19);
    opens("a path of 100000 bytes", options, 0, EINVAL, "path");
    options[0].value = "gluster://fake/vol/bad";
    options[0].name = endless;
    judge("an option's name of 100000 bytes", drv->open(&bs, options, 0, &error), EINVAL, "unknown option");
    is(strlen(error.message), sizeof(error.message) - 1, "... whose sentence is cut to fit");
    fresh();
    free(endless);
}

static void bad_create(void)
{
    static const struct BlkOption colour[] = {{"size", "1M"}, {"colour", "blue"}, {NULL, NULL}},
                                  name[] = {{"filename", "gluster://fake/vol/bad"}, {NULL, NULL}},
                                  twice[] = {{"size", "1M"}, {"size", "1M"}, {NULL, NULL}};
    const char *uri = "gluster://fake/vol/bad";

    judge("create with a NULL filename", drv->create(NULL, NULL, &error), EINVAL, "filename");
    fresh();
    judge("create with an unknown option", drv->create(uri, colour, &error), EINVAL, "'colour'");
    fresh();
    judge("create with an option of open", drv->create(uri, name, &error), EINVAL, "'filename'");
    fresh();
    judge("create with size twice", drv->create(uri, twice, &error), EINVAL, "size");
    fresh();
    judge("create with a filename that is not UTF-8", drv->create("gluster://f/v/\xff", NULL, &error), EINVAL,
          "UTF-8");
    fresh();
}

/* The one argument whose own error cannot be told in it. */
static void bad_errors(void)
{
    size_t sizes[] = {0, 8, sizeof(error) - 1};
    struct BlkError copy;
    unsigned i;
    char *odd;

    for (i = 0; i < T_COUNT(sizes); i++) {
        error.struct_size = sizes[i];
        copy = error;
        t_forget_reports();
        is(drv->open(&bs, good, 0, &error), -EINVAL, "open with a BlkError of %zu bytes", sizes[i]);
        is(memcmp(&copy, &error, sizeof(error)), 0, "... which is not written to");
        ok(t_reports_of(BLK_REPORT_ERROR) == 1 && t_reported("BlkError"), "... but reported: %s", last_report());
        is(drv->create("gluster://fake/vol/bad", NULL, &error), -EINVAL, "... create, too");
        fresh();
    }
    odd = t_alloc(sizeof(error) + 1);
    memcpy(odd + 1, &error, sizeof(error));
    is(drv->open(&bs, good, 0, (struct BlkError *)(void *)(odd + 1)), -EINVAL, "a BlkError that is not aligned");
    free(odd);
    fresh();
    t_forget_reports();
    is(drv->open(NULL, NULL, 0, NULL), -EINVAL, "everything NULL");
    is(t_reports_of(BLK_REPORT_ERROR), 1, "... is reported: %s", last_report());
}

int main(void)
{
    struct img img;
    int fds, threads;
    unsigned i;

    fake_begin("open and create: a sentence for everything that a host can get wrong");
    fake_open(&img, "bad", 4096);
    img_close(&img);
    fake_disconnected(20);
    fake_quiet(0);
    fds = fd_count();
    threads = thread_count();
    fake.reset();

    for (i = 0; i < 4; i++) {
        char uri[64];

        drv = t_driver(i);
        snprintf(uri, sizeof(uri), "%s://%s", drv->protocol_name,
                 strstr(drv->protocol_name, "unix") ? "/vol/bad?socket=/s" : "fake/vol/bad");
        good[0].value = uri;
        fresh();
        bad_states();
        bad_errors();
    }
    good[0].value = "gluster://fake/vol/bad";
    drv = drv_for("gluster:");
    bad_options();
    bad_uris();
    bad_create();
    is(fake_calls(FAKE_NEW), 0, "no server was contacted");
    ok(t_settles(fds, threads, 5), "no fd and no thread is left");
    is(drv->open(&bs, good, BLK_O_RDWR, &error), 0, "then a good open succeeds");
    drv->close(&bs);
    return fake_end();
}
