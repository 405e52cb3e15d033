/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A translator is taken out of the client graph of a volume, and put back in, again and again; see workload.h for the
 * requests. Beside them each image has flushes in flight all the time. What is in flight when the graph changes is what
 * libgfapi 10.3 can crash on; the script slow-fsync makes sure that there is some.
 *   real_graph [VOLUME [CHANGES]]
 */
#include "workload.h"

#define DEPTH 64
#define CHUNK 100
#define MOST (INT64_C(16) * MiB)
#define FLUSHES 32

/* Each mode has a connection of its own. */
static const char *const modes[] = {"off", "on"};

static const char *volume;
static unsigned used;
static struct workload *works[T_COUNT(modes)];

/* ---- flushes all the time ------------------------------------------------------------------------------------- */

static struct io flushes[T_COUNT(modes)][FLUSHES];
static int flushes_out;
static unsigned flushes_ended, flushes_failed;
static bool enough;

static void flush(struct io *io, struct img *img)
{
    if (!io_flush(io, img))
        t_die("a flush was refused: %s", strerror(-io->ret));
    flushes_out++;
}

static void flush_again(struct io *io)
{
    flushes_out--;
    flushes_ended++;
    flushes_failed += io->ret != 0;
    if (!enough)
        flush(io, io->img);
}

static void start_flushes(unsigned k)
{
    unsigned i;

    for (i = 0; i < FLUSHES; i++) {
        flushes[k][i].then = flush_again;
        flush(&flushes[k][i], workload_image(works[k]));
    }
}

static bool none_is_out(void *arg)
{
    (void)arg;
    return flushes_out == 0;
}

static void end_flushes(void)
{
    enough = true;
    if (!run_until(none_is_out, NULL, 60))
        t_die("%d flushes hang", flushes_out);
    is(flushes_failed, 0, "none of %u flushes has failed", flushes_ended);
}

/* ---- the rest of the load --------------------------------------------------------------------------------------- */

static bool run_all(void)
{
    bool good = true;
    unsigned k;

    for (k = 0; k < used; k++)
        good = workload_run(works[k], CHUNK) && good;
    return good;
}

static bool run_until_ended(pid_t pid, int *code)
{
    int64_t end = now_us() + 60 * INT64_C(1000000);

    while (!cluster_ended(pid, code)) {
        if (now_us() > end)
            t_die("gluster volume set takes too long");
        if (!run_all())
            return false;
    }
    return true;
}

/* The clients learn of it a moment after the command has ended. */
static bool run_for_a_second(void)
{
    int64_t end = now_us() + INT64_C(1000000);

    while (now_us() < end)
        if (!run_all())
            return false;
    return true;
}

/* ---- the graph -------------------------------------------------------------------------------------------------- */

/* Asks the connection that the images have, through GlusterFS's own directory of its graph. */
static bool has_quick_read(const char *mode)
{
    const char *uri = cluster_uri(volume, ".meta/graphs/active/%s-quick-read/type", volume);
    struct img img;

    if (img_open(&img, uri, 0, "write-cache", mode, NULL) < 0)
        return false;
    img_close(&img);
    return true;
}

static pid_t change_quick_read(bool on)
{
    return cluster_start("gluster volume set %s performance.quick-read %s", volume, on ? "on" : "off");
}

static bool change_under_load(unsigned change)
{
    bool on = change % 2, good;
    pid_t pid = change_quick_read(on);
    unsigned k;
    int code = -1;

    good = run_until_ended(pid, &code) && run_for_a_second();
    is(code, 0, "change %u", change);
    for (k = 0; k < used; k++)
        is(has_quick_read(modes[k]), on, "write-cache=%s: the graph in use is the new one", modes[k]);
    return good;
}

int main(int argc, char **argv)
{
    unsigned changes = argc > 2 ? (unsigned)atoi(argv[2]) : 6, change, done, k;
    bool good = true;

    volume = argc > 1 ? argv[1] : "plain";
    used = strcmp(volume, "sharded") ? T_COUNT(modes) : 1;
    t_begin("a volume's options may change under load: no request fails, none hangs, no byte is wrong");
    allow_seconds(120 + 20 * changes);
    t_load();
    cluster_uri(volume, "skipped without a cluster");
    /* Also when a run before this one was cut short. */
    if (cluster_finish(change_quick_read(true), 60))
        t_die("cannot set the option");
    for (k = 0; k < used; k++) {
        const char *uri = cluster_uri(volume, "graph-%s", modes[k]);

        make_image(uri, "0");
        make_image(uri, "16M");
        works[k] = workload_open(uri, modes[k], k + 1, DEPTH, MOST, "real_graph");
        start_flushes(k);
    }
    for (change = 0; change < changes && good; change++) {
        done = workload_done(works[0]);
        good = change_under_load(change);
        ok(good, "all right over %u requests on each image", workload_done(works[0]) - done);
    }
    end_flushes();
    for (k = 0; k < used; k++) {
        ok(good && workload_rest(works[k]) && workload_compare(works[k]), "write-cache=%s: every byte is right", modes[k]);
        workload_close(works[k]);
        empty_image(cluster_uri(volume, "graph-%s", modes[k]));
    }
    is(t_reports_of(BLK_REPORT_ERROR), 0, "nothing was reported");
    if (cluster_finish(change_quick_read(true), 60))
        t_die("cannot set the option");
    return t_end();
}
