/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A translator is taken out of the client graph of plain, and put back in, three times; see workload.h for the requests. */
#include "workload.h"

#define DEPTH 64
#define CHUNK 100
#define SWITCHES 6
#define MOST (INT64_C(16) * MiB)

static struct workload *works[2];

static bool run_both(void)
{
    return workload_run(works[0], CHUNK) && workload_run(works[1], CHUNK);
}

static bool run_until_ended(pid_t pid, int *code)
{
    int64_t end = now_us() + 60 * INT64_C(1000000);

    while (!cluster_ended(pid, code)) {
        if (now_us() > end)
            t_die("gluster volume set takes too long");
        if (!run_both())
            return false;
    }
    return true;
}

/* The clients learn of it a moment after the command has ended. */
static bool run_for_a_second(void)
{
    int64_t end = now_us() + INT64_C(1000000);

    while (now_us() < end)
        if (!run_both())
            return false;
    return true;
}

/* Asks the connection that the images have, through GlusterFS's own directory of its graph. */
static bool has_quick_read(const char *mode)
{
    struct img img;

    if (img_open(&img, cluster_uri("plain", ".meta/graphs/active/plain-quick-read/type"), 0, "write-cache", mode, NULL) < 0)
        return false;
    img_close(&img);
    return true;
}

static void set_quick_read(bool on)
{
    if (cluster("gluster volume set plain performance.quick-read %s", on ? "on" : "off"))
        t_die("cannot set the option");
}

int main(void)
{
    static const char *const modes[] = {"on", "off"};
    unsigned i, k;
    bool good = true;

    t_begin("a volume's options may change under load: no request fails, none hangs, no byte is wrong");
    t_load();
    cluster_uri("plain", "skipped without a cluster");
    /* Also when a run before this one was cut short. */
    set_quick_read(true);
    for (k = 0; k < 2; k++) {
        const char *uri = cluster_uri("plain", "graph-%s", modes[k]);

        make_image(uri, "0");
        make_image(uri, "16M");
        works[k] = workload_open(uri, modes[k], k + 1, DEPTH, MOST, "real_graph");
        /* libgfapi 10.3 can crash when a flush is in flight while the graph changes: README, Limits. */
        workload_without_flushes(works[k]);
    }
    for (i = 0; i < SWITCHES && good; i++) {
        pid_t pid = cluster_start("gluster volume set plain performance.quick-read %s", i % 2 ? "on" : "off");
        unsigned before = workload_done(works[0]);
        int code = -1;

        good = run_until_ended(pid, &code) && run_for_a_second();
        is(code, 0, "switch %u", i);
        for (k = 0; k < 2; k++)
            is(has_quick_read(modes[k]), i % 2, "write-cache=%s: the graph in use is the new one", modes[k]);
        ok(good, "all right over %u requests, with write-cache=on and off", 2 * (workload_done(works[0]) - before));
    }
    for (k = 0; k < 2; k++) {
        ok(good && workload_rest(works[k]) && workload_compare(works[k]), "write-cache=%s: every byte is right", modes[k]);
        workload_close(works[k]);
        empty_image(cluster_uri("plain", "graph-%s", modes[k]));
    }
    is(t_reports_of(BLK_REPORT_ERROR), 0, "nothing was reported");
    set_quick_read(true);
    return t_end();
}
