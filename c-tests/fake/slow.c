/* SPDX-License-Identifier: GPL-2.0-or-later */
/* slow-request: what takes longer is reported, each request once, with what is known of the bricks. */
#include "on_fake.h"

enum { BYTES = 65536, BLOCK = 4096 };

static struct img img;
static unsigned char data[BYTES];

static void open_it(const char *seconds)
{
    if (img_open(&img, fake_uri("vol", "slow"), BLK_O_RDWR, "slow-request", seconds, NULL))
        t_die("cannot open: %s", img.error.message);
    t_forget_reports();
}

/* What the client shows of its only brick. */
static void brick_is(const char *state)
{
    struct BlkError error = {.struct_size = sizeof(error)};
    const char *uri = fake_uri("vol", ".meta/graphs/active/client-0/private");
    char text[512];
    struct img shown;

    memset(text, '\n', sizeof(text));
    memcpy(text, state, strlen(state));
    if (img_create(uri, "512", &error) || img_open(&shown, uri, BLK_O_RDWR, NULL) || pwrite_sync(&shown, text, sizeof(text), 0))
        t_die("cannot write the state");
    img_close(&shown);
}

static bool reported(void *text)
{
    return t_reported(text);
}

static void is_reported(const char *state, const char *brick)
{
    struct io io[3] = {{0}};
    char text[64] = "a write of 4096 bytes at offset 8192 takes";
    int i;

    brick_is(state);
    open_it("1");
    fake.set_mode(FAKE_HELD, 0);
    ok(io_pwrite(&io[0], &img, data, BLOCK, 8192), "a write that takes its time");
    run_for(0.3);
    ok(io_pwrite(&io[1], &img, data, BLOCK, 32768) && io_pread(&io[2], &img, data, BLOCK, 49152), "... and two requests more");
    ok(run_until(reported, text, 20), "it is reported: %s", last_report());
    ok(t_reported(brick), "... with what is known of the brick");
    ok(t_reported("gluster://fake/vol/slow") && t_reported("volume 'vol'"), "... for image and volume");
    snprintf(text, sizeof(text), "slow requests of this opening: 3");
    ok(run_until(reported, text, 20), "... and so are the others, and counted: %s", last_report());
    ok(t_reports_of(BLK_REPORT_WARNING) <= 2, "in a sentence or two: %u", t_reports_of(BLK_REPORT_WARNING));
    t_forget_reports();
    run_for(1.2);
    is(t_reports(), 0, "once");
    fake.release(FAKE_ANY_ASYNC, 0, FAKE_AS_IS);
    fake.set_mode(FAKE_THREAD, 0);
    for (i = 0; i < 3; i++)
        is(io_wait(&io[i]), 0, "they end as always");
    is(t_reports(), 0, "... which is not told");
    img_close(&img);
}

/* Done, but not taken by the host yet: no fault of the bricks'. */
static void not_the_hosts_time(void)
{
    struct io io = {0};

    open_it("1");
    ok(io_pwrite(&io, &img, data, BLOCK, 0), "a write that is done");
    usleep(2100 * 1000);
    is(t_reports(), 0, "... and that the host does not ask for is not slow");
    is(io_wait(&io), 0, "... and succeeds");
    img_close(&img);
}

/* The look at the bricks hangs. */
static void without_bricks(void)
{
    struct io io = {0};
    char text[] = "nothing is known of the bricks";

    open_it("1");
    fake.set_mode(FAKE_HELD, 0);
    fake_once(FAKE_PREAD, FAKE_HOLD, 0, 0);
    ok(io_pwrite(&io, &img, data, BLOCK, 0), "a write that takes its time, on a volume whose state cannot be read");
    ok(run_until(reported, text, 20), "... is reported all the same: %s", last_report());
    fake.release(FAKE_PREAD, 0, FAKE_AS_IS);
    fake.release(FAKE_ANY_ASYNC, 0, FAKE_AS_IS);
    fake.set_mode(FAKE_THREAD, 0);
    is(io_wait(&io), 0, "... and ends");
    img_close(&img);
}

static void options(void)
{
    static const char *const good[] = {"0", "1", "30", "86400"};
    static const char *const bad[] = {"", "-1", "86401", "1s", "off"};
    unsigned i;

    for (i = 0; i < T_COUNT(good); i++) {
        is(img_open(&img, fake_uri("vol", "slow"), 0, "slow-request", good[i], NULL), 0, "slow-request=%s", good[i]);
        img_close(&img);
    }
    for (i = 0; i < T_COUNT(bad); i++) {
        is(img_open(&img, fake_uri("vol", "slow"), 0, "slow-request", bad[i], NULL), -EINVAL, "slow-request='%s'", bad[i]);
        ok(strstr(img.error.message, "from 0 to 86400"), "... %s", img.error.message);
    }
}

static void one_thread(void)
{
    struct img more[4];
    int i;

    for (i = 0; i < (int)T_COUNT(more); i++)
        if (img_open(&more[i], fake_uri("vol", "slow"), 0, NULL))
            t_die("cannot open: %s", more[i].error.message);
    /* It has its name when it runs. */
    for (i = 0; i < 1000 && threads_named("blkg-watch") == 0; i++)
        t_poll(10);
    is(threads_named("blkg-watch"), 1, "one thread looks after all images");
    for (i = 0; i < (int)T_COUNT(more); i++)
        img_close(&more[i]);
    for (i = 0; i < 1000 && threads_named("blkg-watch"); i++)
        t_poll(10);
    is(threads_named("blkg-watch"), 0, "... and ends after the last of them");
}

int main(void)
{
    fake_begin("slow: a request that takes too long is reported once, with what is known");
    fake_open(&img, "slow", BYTES);
    img_close(&img);
    options();
    one_thread();
    is_reported("[xlator.protocol.client.client-0.priv]\nconnected = 1\n", "all bricks of volume 'vol' are connected");
    is_reported("fd.0.remote_fd = 3\nconnected = 0\n", "not connected: node:/brick");
    not_the_hosts_time();
    without_bricks();
    return fake_end();
}
