/* SPDX-License-Identifier: GPL-2.0-or-later */
#define FAKE_GFAPI_BIND
#include "on_fake.h"

#include "network.h"

struct fake_gfapi fake;
static bool outside_gfapi(void)
{
    return !fake.in_callback();
}

void fake_begin_bare(const char *promise)
{
    t_begin(promise);
    network_begin();
    t_dlopen();
    if (fake_gfapi_bind(&fake) < 0)
        t_die("the driver runs on another libgfapi than the fake one; set LD_LIBRARY_PATH");
    t_callback_may_run = outside_gfapi;
}

void fake_begin_with(const char *promise, const struct BlkHost *host)
{
    int ret;

    fake_begin_bare(promise);
    ret = t_init_function()(host);
    if (ret < 0)
        t_die("blkgluster_init: %d", ret);
}

void fake_begin(const char *promise)
{
    struct BlkHost host = t_host();

    fake_begin_with(promise, &host);
}

static bool disconnected(void *arg)
{
    (void)arg;
    return fake_counted().live_glfs == 0;
}

bool fake_disconnected(double seconds)
{
    return run_until(disconnected, NULL, seconds);
}

static bool quiet(void *arg)
{
    const uint64_t *connections = arg;

    /* The watch over open images is not of their number. */
    return fake_counted().live_glfs == *connections &&
           (uint64_t)(thread_count() - threads_named("blkg-watch")) == 1 + *connections;
}

void fake_quiet(uint64_t connections)
{
    if (!run_until(quiet, &connections, 20))
        t_die("a thread of the driver's does not end");
}

int fake_end(void)
{
    struct fake_counters counted;

    ok(fake_disconnected(20), "every connection is ended");
    counted = fake_counted();
    is(counted.open_fds, 0, "every file is closed");
    is(counted.in_flight, 0, "nothing is in flight");
    is(counted.dropped, 0, "no completion came too late");
    if (!is(fake.violations(), 0, "none of libgfapi's rules was broken"))
        t_say("first of them: %s", fake.first_violation());
    return t_end();
}

const char *fake_uri(const char *volume, const char *name)
{
    /* Of each thread: dozens of openers run at once in some programs. */
    static __thread char uris[8][512];
    static __thread unsigned next;
    char *uri = uris[next++ % T_COUNT(uris)];

    snprintf(uri, sizeof(uris[0]), "gluster://fake/%s/%s", volume, name);
    return uri;
}

void fake_open(struct img *img, const char *name, int64_t bytes)
{
    const char *uri = fake_uri("vol", name);
    struct BlkError error = {0};
    char size[32];

    error.struct_size = sizeof(error);
    snprintf(size, sizeof(size), "%lld", (long long)bytes);
    if (img_create(uri, size, &error) < 0)
        t_die("cannot create %s: %s", uri, error.message);
    if (img_open(img, uri, BLK_O_RDWR, NULL) < 0)
        t_die("cannot open %s: %s", uri, img->error.message);
}

void fake_first_connection(const char *name, int64_t bytes)
{
    struct img img;

    fake_open(&img, name, bytes);
    img_close(&img);
    if (!fake_disconnected(10))
        t_die("the first connection does not end");
    fake_quiet(0);
}

int64_t fake_length(const char *name, int64_t *allocated)
{
    struct img img;
    int64_t length;
    int ret = img_open(&img, fake_uri("vol", name), 0, NULL);

    if (ret < 0)
        return ret;
    length = img.drv->getlength(&img.bs);
    if (allocated)
        *allocated = img.drv->get_allocated_file_size(&img.bs);
    img_close(&img);
    return length;
}

static int rule(int op, int action, int err, int64_t arg, uint64_t times)
{
    struct fake_rule new_rule;
    int id;

    memset(&new_rule, 0, sizeof(new_rule));
    new_rule.op = op;
    new_rule.action = action;
    new_rule.err = err;
    new_rule.arg = arg;
    new_rule.nth = 1;
    new_rule.every = 1;
    new_rule.times = times;
    id = fake.add_rule(&new_rule);
    if (id <= 0)
        t_die("no room for another rule");
    return id;
}

int fake_always(int op, int action, int err, int64_t arg)
{
    return rule(op, action, err, arg, 0);
}

int fake_once(int op, int action, int err, int64_t arg)
{
    return rule(op, action, err, arg, 1);
}

void fake_calm(int id)
{
    fake.remove_rule(id);
}

struct fake_counters fake_counted(void)
{
    struct fake_counters counted;

    fake.counters(&counted);
    return counted;
}

uint64_t fake_calls(int op)
{
    return fake_counted().calls[op];
}
