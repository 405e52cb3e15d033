/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Option `trace`: as much as was asked for, as BLK_REPORT_DEBUG, never under a lock or on a thread of Gluster's. */
#define _GNU_SOURCE /* pthread_setname_np */
#include "merging.h"

static struct BlkHost before; /* the harness's */
static pthread_t main_thread;
static unsigned strangers;
static const char *stop_at; /* the report that holds it waits until main says */
static bool stopped, go_on;

/* Threads that may report are main, those that the test starts, and the library's own. */
static bool may_report(void)
{
    char name[32] = "";

    pthread_getname_np(pthread_self(), name, sizeof(name));
    return pthread_equal(pthread_self(), main_thread) || !strncmp(name, "blkg-", 5) || !strcmp(name, "helper");
}

static void on_report(void *opaque, int level, const char *message)
{
    int i;

    if (!may_report())
        __atomic_add_fetch(&strangers, 1, __ATOMIC_RELAXED);
    before.report(opaque, level, message);
    if (stop_at && level == BLK_REPORT_DEBUG && strstr(message, stop_at)) {
        __atomic_store_n(&stopped, true, __ATOMIC_RELEASE);
        for (i = 0; i < 30000 && !__atomic_load_n(&go_on, __ATOMIC_ACQUIRE); i++)
            usleep(1000);
    }
}

static bool told(const char *text)
{
    return ok(t_reported(text), "told: %s", text);
}

static bool not_told(const char *text)
{
    return ok(!t_reported(text), "not told: %s", text);
}

/* All that there is to tell, at that level. */
static void at(const char *level, int errors, int steps, int requests, int all)
{
    static struct batch batch;
    char data[UNIT] = {0};
    struct img img;

    t_forget_reports();
    is(img_open(&img, fake_uri("vol", "trace"), BLK_O_RDWR, level ? "trace" : NULL, level, NULL), 0, "trace=%s", level);
    is(pwrite_sync(&img, data, UNIT, 2 * UNIT), 0, "a write");
    is(flush_sync(&img), 0, "a flush");
    fake_once(FAKE_PREADV_ASYNC, FAKE_FAIL, ENOSPC, 0);
    is(pread_sync(&img, data, UNIT, 4 * UNIT), -ENOSPC, "a read that fails");
    fake_once(FAKE_PREADV_ASYNC, FAKE_SHORT, 0, 100);
    is(pread_sync(&img, data, UNIT, 2 * UNIT), 0, "a short read");
    img.drv->io_plug(&img.bs);
    batch_write(&batch, &img, 0, 3, 1);
    img.drv->io_unplug(&img.bs);
    ok(batch_wait(&batch), "three in one call");
    img_close(&img);

    (errors ? told : not_told)("read of 4096 bytes at offset 16384: No space left on device (ENOSPC) in ");
    (errors ? told : not_told)("a short read is sent on");
    (steps ? told : not_told)("its file is open");
    (steps ? told : not_told)("fsync for flushes: 1 share it: done in ");
    (steps ? told : not_told)("closed: drained in ");
    (requests ? told : not_told)(": write of 4096 bytes at offset 8192: done in ");
    (requests ? told : not_told)(": flush: done in ");
    (all ? told : not_told)(": write of 4096 bytes at offset 8192: sent");
    (all ? told : not_told)(": write of 4096 bytes at offset 4096: waits");
    (all ? told : not_told)(": one call for them");
    ok((t_reports_of(BLK_REPORT_DEBUG) > 0) == errors, "%u lines", t_reports_of(BLK_REPORT_DEBUG));
    if (errors)
        ok(t_reported("image gluster://fake/vol/trace +"), "they name the image");
    is(t_reports_of(BLK_REPORT_ERROR), 1, "the failure is reported as always");
}

static void levels(void)
{
    struct img img;

    at(NULL, 0, 0, 0, 0);
    at("off", 0, 0, 0, 0);
    at("errors", 1, 0, 0, 0);
    at("steps", 1, 1, 0, 0);
    at("requests", 1, 1, 1, 0);
    at("all", 1, 1, 1, 1);
    is(img_open(&img, fake_uri("vol", "trace"), 0, "trace", "2", NULL), -EINVAL, "trace=2: %s", img.error.message);
    is(img_open(&img, fake_uri("vol", "trace"), 0, "trace", "all", "statistics", "off", NULL), 0, "without statistics");
    t_forget_reports();
    is(flush_sync(&img), 0, "... a flush");
    told(": flush: done in ");
    img_close(&img);
}

/* Two images, of which one is traced. */
static void one_of_two(void)
{
    char data[UNIT];
    struct img quiet, loud;

    fake_open(&quiet, "quiet", UNIT);
    is(img_open(&loud, fake_uri("vol", "trace"), 0, "trace", "all", NULL), 0, "trace=all");
    told("an earlier image's connection is used");
    t_forget_reports();
    is(pread_sync(&quiet, data, UNIT, 0), 0, "a read of the other image");
    is(t_reports(), 0, "... is not traced");
    is(pread_sync(&loud, data, UNIT, 0), 0, "... of this one");
    is(t_reports(), 2, "... is, as it comes and as it ends");
    img_close(&loud);
    is(img_create(fake_uri("vol", "created"), "1M", NULL), 0, "create");
    t_forget_reports();
    {
        struct BlkOption options[] = {{"size", "1M"}, {"trace", "steps"}, {NULL, NULL}};

        is(quiet.drv->create(fake_uri("vol", "created"), options, NULL), 0, "create with trace=steps");
    }
    told("created, 1048576 bytes long");
    img_close(&quiet);
}

static struct img img;
static struct io io;

static void *submit(void *arg)
{
    static char data[UNIT];

    (void)arg;
    pthread_setname_np(pthread_self(), "helper");
    if (!io_pread(&io, &img, data, UNIT, 0))
        fail("a read of a helper thread is accepted");
    return NULL;
}

/* While one thread is inside a report, others go on: even closing the image. */
static void under_no_lock(void)
{
    struct BlkStatistics statistics = {.struct_size = sizeof(statistics)};
    pthread_t thread;
    char data[UNIT];
    int i;

    is(img_open(&img, fake_uri("vol", "trace"), 0, "trace", "all", NULL), 0, "trace=all");
    stop_at = "read of 4096 bytes at offset 0: sent";
    if (pthread_create(&thread, NULL, submit, NULL))
        t_die("no thread");
    for (i = 0; i < 30000 && !__atomic_load_n(&stopped, __ATOMIC_ACQUIRE); i++)
        usleep(1000);
    stop_at = NULL;
    ok(stopped, "a thread is inside of the report of its request");
    ok(wait_for(&io.done, 1, 30), "the request ends meanwhile");
    is(pread_sync(&img, data, UNIT, 2 * UNIT), 0, "... so does another");
    is(img.drv->get_statistics(&img.bs, &statistics, NULL), 0, "... statistics are to be had");
    img_close(&img);
    ok(!go_on, "... and the image is closed");
    __atomic_store_n(&go_on, true, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
}

int main(void)
{
    static const int modes[] = {FAKE_THREAD, FAKE_INLINE, FAKE_BEFORE_RETURN};
    struct BlkHost host = before = t_host();
    unsigned i;

    main_thread = pthread_self();
    host.report = on_report;
    fake_begin_with("trace: as much as was asked for", &host);
    fake_open(&img, "trace", 64 * UNIT);
    img_close(&img);
    for (i = 0; i < T_COUNT(modes); i++) {
        fake.set_mode(modes[i], 0);
        levels();
    }
    one_of_two();
    under_no_lock();
    is(strangers, 0, "only threads of the host and the library report");
    return fake_end();
}
