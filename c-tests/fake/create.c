/* SPDX-License-Identifier: GPL-2.0-or-later */
/* create makes an image of whole sectors, empties one that exists, and removes a new one whose size cannot be set. */
#include "on_fake.h"

static struct BlkError error;

static int create(const char *name, const char *size)
{
    memset(&error, 0, sizeof(error));
    error.struct_size = sizeof(error);
    return img_create(fake_uri("vol", name), size, &error);
}

static void sizes(void)
{
    static const struct {
        const char *text;
        int64_t bytes;
    } good[] = {
        {"0", 0},
        {"1", 512},
        {"511", 512},
        {"512", 512},
        {"513", 1024},
        {"00512", 512},
        {"1k", 1024},
        {"1K", 1024},
        {"3M", 3 * MiB},
        {"2G", INT64_C(2) << 30},
        {"1T", INT64_C(1) << 40},
        {"700b", 1024},
        {"700B", 1024},
        {"3m", 3 * MiB},
        {"2g", INT64_C(2) << 30},
        {"1t", INT64_C(1) << 40},
        {"4P", INT64_C(4) << 50},
        {"4p", INT64_C(4) << 50},
        {"4096T", INT64_C(4) << 50},
        {"4503599627370496", INT64_C(4) << 50},
    };
    static const struct {
        const char *text;
        int error;
    } bad[] = {
        {"", EINVAL},
        {"-1", EINVAL},
        {"+1", EINVAL},
        {" 1", EINVAL},
        {"1 ", EINVAL},
        {"1.5G", EINVAL},
        {"0x200", EINVAL},
        {"k", EINVAL},
        {"1kk", EINVAL},
        {"1KiB", EINVAL},
        {"1gb", EINVAL},
        {"1z", EINVAL},
        {"5p", EFBIG},
        {"1e", EFBIG},
        {"one", EINVAL},
        {"4503599627370497", EFBIG},
        {"4097T", EFBIG},
        {"9223372036854775807", EFBIG},
        {"8388608T", EFBIG},
    };
    uint64_t before;
    unsigned i;

    for (i = 0; i < T_COUNT(good); i++) {
        is(create("size", good[i].text), 0, "size %s", good[i].text);
        is(fake_length("size", NULL), good[i].bytes, "... is %lld bytes", (long long)good[i].bytes);
    }
    is(create("size", NULL), 0, "no size");
    is(fake_length("size", NULL), 0, "... is 0 bytes");
    before = fake_calls(FAKE_CREAT);
    for (i = 0; i < T_COUNT(bad); i++) {
        int ret = create("size", bad[i].text);

        /* Beyond 64 bits a number is no number. */
        is(ret, -bad[i].error, "size '%s' is refused", bad[i].text);
        is(error.stage, BLK_STAGE_PARSE, "... before anything happens");
        ok(strstr(error.message, "size") != NULL, "... %s", error.message);
    }
    is(fake_calls(FAKE_CREAT), before, "none of them came to libgfapi");
}

static void an_existing_one(void)
{
    struct img img;
    char data[4096];

    fake_open(&img, "existing", 8192);
    memset(data, 7, sizeof(data));
    is(pwrite_sync(&img, data, sizeof(data), 0), 0, "an image with data");
    img_close(&img);
    is(create("existing", "4096"), 0, "is created again");
    is(fake_length("existing", NULL), 4096, "has its new length");
    is(img_open(&img, fake_uri("vol", "existing"), 0, NULL), 0, "opens");
    ok(pread_sync(&img, data, sizeof(data), 0) == 0 && all_bytes(data, sizeof(data), 0), "and is empty");
    img_close(&img);
}

static int create_with(const char *name, const char *exists, const char *size)
{
    struct BlkOption options[] = {{"size", size}, {"exists", exists}, {"keep-connection", "0"}, {NULL, NULL}};

    memset(&error, 0, sizeof(error));
    error.struct_size = sizeof(error);
    return drv_for("gluster:")->create(fake_uri("vol", name), options, &error);
}

static void what_is_there(void)
{
    static const char *const bad[] = {"", "Cut", "on", "overwrite"};
    struct img img;
    char data[4096];
    uint64_t before;
    unsigned i;

    is(create_with("there", "fail", "8192"), 0, "exists=fail makes an image that is not there");
    is(create_with("there-2", "keep", "8192"), 0, "so does exists=keep");
    is(fake_length("there-2", NULL), 8192, "... of its size");
    fake_open(&img, "there", 8192);
    memset(data, 7, sizeof(data));
    is(pwrite_sync(&img, data, sizeof(data), 0), 0, "data in it");
    is(create_with("there", "fail", "4096"), -EEXIST, "exists=fail refuses one that is there");
    ok(error.stage == BLK_STAGE_OPEN && strstr(error.message, "vol/there") && strstr(error.message, "`exists`"), "... %s",
       error.message);
    is(create_with("there", "keep", "4096"), 0, "exists=keep lets it be");
    memset(data, 0, sizeof(data));
    ok(pread_sync(&img, data, sizeof(data), 0) == 0 && all_bytes(data, sizeof(data), 7) &&
           img.drv->getlength(&img.bs) == 8192,
       "... with its data and its length");
    is(create_with("there", "cut", "4096"), 0, "exists=cut makes it anew");
    ok(pread_sync(&img, data, sizeof(data), 0) == 0 && all_bytes(data, sizeof(data), 0), "... empty");
    img_close(&img);
    is(create_with("dir", "keep", "4096"), -EISDIR, "a directory is no image to keep: %s", error.message);
    is(create_with("dir", "fail", "4096"), -EEXIST, "nor one to make: %s", error.message);
    is(create_with("no-such-dir/image", "keep", "4096"), -ENOENT, "nor is what has no directory: %s", error.message);

    /* It is gone when it is looked at, and there when it is made, again and again. */
    before = fake_calls(FAKE_CREAT);
    i = (unsigned)fake_always(FAKE_OPEN, FAKE_FAIL, ENOENT, 0);
    is(create_with("there", "keep", "4096"), -EEXIST, "one that comes and goes: %s", error.message);
    fake_calm((int)i);
    ok(fake_calls(FAKE_CREAT) - before < 100, "... is not waited for");
    before = fake_calls(FAKE_CREAT);
    for (i = 0; i < T_COUNT(bad); i++) {
        is(create_with("there", bad[i], "4096"), -EINVAL, "exists='%s' is refused: %s", bad[i], error.message);
        ok(strstr(error.message, "cut, fail or keep") != NULL, "... with what there is");
    }
    is(fake_calls(FAKE_CREAT), before, "none of them came to libgfapi");
}

struct creator {
    pthread_t thread;
    const char *name, *exists;
    int ret;
};

static void *create_one(void *arg)
{
    struct creator *it = arg;
    struct BlkOption options[] = {{"size", "4096"}, {"exists", it->exists}, {"keep-connection", "0"}, {NULL, NULL}};

    it->ret = drv_for("gluster:")->create(fake_uri("vol", it->name), options, NULL);
    return NULL;
}

static void one_of_many(void)
{
    struct creator many[8];
    unsigned i, round, made;
    char name[32];

    t_forget_reports();
    for (round = 0; round < 20; round++) {
        snprintf(name, sizeof(name), "race-%u", round);
        for (i = 0; i < T_COUNT(many); i++) {
            many[i] = (struct creator){0, name, round % 2 ? "keep" : "fail", 1};
            pthread_create(&many[i].thread, NULL, create_one, &many[i]);
        }
        for (i = 0, made = 0; i < T_COUNT(many); i++) {
            pthread_join(many[i].thread, NULL);
            made += many[i].ret == 0;
            if (many[i].ret != 0 && many[i].ret != -EEXIST)
                fail("a creator gets %d", many[i].ret);
        }
        if (made != (round % 2 ? T_COUNT(many) : 1) || fake_length(name, NULL) != 4096)
            fail("round %u: %u made it, of %d bytes", round, made, (int)fake_length(name, NULL));
    }
    ok(t_reports_of(BLK_REPORT_ERROR) > 0, "of eight creators at once one makes it, and the others are told");
    t_forget_reports();
}

static void failing_steps(void)
{
    is(create("new", NULL), 0, "a connection, and an image");
    fake_once(FAKE_CREAT, FAKE_FAIL, EACCES, 0);
    is(create("new-1", "1M"), -EACCES, "glfs_creat fails");
    is(error.stage, BLK_STAGE_OPEN, "... with its stage");
    ok(strstr(error.message, "gluster://fake/vol/new-1") != NULL, "... %s", error.message);
    fake_once(FAKE_CREAT, FAKE_FAIL, 0, 0);
    is(create("new-1", "1M"), -EIO, "glfs_creat fails with errno 0");

    fake_once(FAKE_FTRUNCATE, FAKE_FAIL, ENOSPC, 0);
    is(create("new-1", "1M"), -ENOSPC, "the size of a new image cannot be set");
    is(fake_length("new-1", NULL), -ENOENT, "... it is removed again");
    fake_once(FAKE_FTRUNCATE, FAKE_FAIL, 0, 0);
    is(create("new-1", "1M"), -EIO, "... with errno 0, too");
    is(fake_length("new-1", NULL), -ENOENT, "... it is removed again");
    fake_once(FAKE_CLOSE, FAKE_FAIL, EDQUOT, 0);
    is(create("new-1", "1M"), -EDQUOT, "the new image cannot be closed");
    is(fake_length("new-1", NULL), -ENOENT, "... it is removed again");

    fake_once(FAKE_FTRUNCATE, FAKE_FAIL, ENOSPC, 0);
    fake_once(FAKE_CLOSE, FAKE_FAIL, EBADF, 0);
    fake_once(FAKE_UNLINK, FAKE_FAIL, EROFS, 0);
    is(create("new-2", "1M"), -ENOSPC, "of several failures the first is told");

    fake_once(FAKE_FTRUNCATE, FAKE_FAIL, ENOSPC, 0);
    is(create("new", "1M"), -ENOSPC, "the size of an image that existed cannot be set");
    is(fake_length("new", NULL), 0, "... it is still there");
}

static void bad_places(void)
{
    int ret = create("no-such-dir/image", "1M");

    is(ret, -ENOENT, "a directory that does not exist: %s", error.message);
    ret = create("dir", "1M");
    ok(ret == -EISDIR || ret == -EEXIST, "a directory's name: %d, %s", ret, error.message);
    is(create("dir/image", "1M"), 0, "an image in a directory");
}

int main(void)
{
    struct img keeper;
    uint64_t connections;

    fake_begin("create: whole sectors, or nothing");
    /* Keeps the connection, so that not every create makes one. */
    fake_open(&keeper, "keeper", 0);
    connections = fake_calls(FAKE_NEW);
    sizes();
    an_existing_one();
    what_is_there();
    one_of_many();
    failing_steps();
    bad_places();
    is(fake_counted().open_fds, 1, "no file stays open");
    is(fake_calls(FAKE_NEW), connections, "all of it went over that connection");
    img_close(&keeper);
    return fake_end();
}
