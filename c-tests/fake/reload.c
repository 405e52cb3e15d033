/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dlclose never unmaps the library: its threads and tables live on, and it can be loaded again. */
#include <dlfcn.h>

#include "on_fake.h"

static const struct BlkDriver *before[4];

static bool mapped(void)
{
    void *library = dlopen(t_library_path(), RTLD_NOW | RTLD_NOLOAD);

    if (library)
        dlclose(library);
    return library != NULL;
}

/* Often, since an image that is closed right behind its last callback is what a thread too many would crash. */
static void use(const char *when)
{
    struct img img;
    char data[4096];
    int i, good = 0;

    memset(data, 3, sizeof(data));
    for (i = 0; i < 25; i++) {
        fake_open(&img, "reload", 4096);
        good += pwrite_sync(&img, data, sizeof(data), 0) == 0;
        img_close(&img);
    }
    is(good, 25, "%s: images work", when);
}

static void tables_live_on(void)
{
    unsigned i;

    for (i = 0; i < 4; i++)
        ok(before[i]->struct_size == sizeof(struct BlkDriver) && !strncmp(before[i]->protocol_name, "gluster", 7),
           "table %u is readable after dlclose", i);
}

static void with_release(void)
{
    int round;

    for (round = 0; round < 20; round++) {
        if (t_driver(0)->release() < 0)
            fail("release in round %d", round);
        t_forget_drivers();
        t_dlclose();
        t_load();
        if (t_driver_count() != 4 || t_driver(3) != before[3])
            fail("the same four drivers in round %d", round);
    }
    use("20 times released, closed, loaded");
}

static void without_release(void)
{
    struct BlkHost host = t_host();

    t_dlclose();
    ok(mapped(), "after dlclose the library is still there");
    tables_live_on();
    use("after dlclose, through the old tables");
    t_dlopen();
    is(t_init_function()(&host), -EALREADY, "loaded again without release, it still has its host");
    use("loaded again without release");
}

/* The image's network thread, and callbacks to come, outlive the handle. */
static void with_an_image_open(void)
{
    struct img img;
    struct io io = {0};
    char data[4096] = {0};

    fake_open(&img, "reload", 4096);
    fake.set_mode(FAKE_DELAYED, 50000);
    ok(io_pwrite(&io, &img, data, sizeof(data), 0), "a request is in flight");
    is(t_driver(0)->release(), -EBUSY, "release is refused while an image is open");
    ok(t_reported("1 image"), "... %s", last_report());
    t_dlclose();
    is(io_wait(&io), 0, "after dlclose the request ends as always");
    fake.set_mode(FAKE_THREAD, 0);
    is(flush_sync(&img), 0, "and another one");
    img_close(&img);
    t_dlopen();
}

static void between_release_and_init(void)
{
    struct BlkOption options[] = {{"filename", "gluster://fake/vol/reload"}, {"keep-connection", "0"}, {NULL, NULL}};
    struct BlkError error = {0};
    struct BlkState bs = {0};
    char memory[64] = {0};
    const struct BlkDriver *drv = t_driver(3);

    error.struct_size = sizeof(error);
    bs.struct_size = sizeof(bs);
    bs.opaque = memory;
    is(drv->release(), 0, "released");
    is(drv->open(&bs, options, 0, &error), -EINVAL, "open without a host");
    ok(strstr(error.message, "blkgluster_init") != NULL, "... %s", error.message);
    is(drv->create("gluster://fake/vol/reload", NULL, &error), -EINVAL, "create without a host");
    t_forget_drivers();
    t_load();
}

int main(void)
{
    unsigned i;

    fake_begin("dlclose and dlopen: nothing is unmapped, release makes room for a host");
    for (i = 0; i < 4; i++)
        before[i] = t_driver(i);
    use("at first");
    with_an_image_open();
    without_release();
    with_release();
    between_release_and_init();
    use("at last");
    return fake_end();
}
