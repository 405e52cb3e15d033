/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 *   real_storm SECONDS
 *
 * Two processes whose threads open what cannot be opened, as fast as they can. In libgfapi 10.3 each end of a connection
 * that failed early is a race of glfs_fini with the event threads. So that it shows, these start late here, as they do
 * on a busy machine: to end such a connection at once is then a sure crash.
 */
#include "volumes.h"

#include <dlfcn.h>

enum { PROCESSES = 2, THREADS = 10, LATE_MS = 100 };

struct event_pool;

/* Before libglusterfs's own, which libgfapi's thread glfspoll runs. */
int gf_event_dispatch(struct event_pool *pool);
int gf_event_dispatch(struct event_pool *pool)
{
    void *library = dlopen("libglusterfs.so.0", RTLD_NOW | RTLD_NOLOAD);
    void *address = library ? dlsym(library, "gf_event_dispatch") : NULL;
    int (*dispatch)(struct event_pool *);

    if (!address)
        abort();
    usleep(LATE_MS * 1000);
    memcpy(&dispatch, &address, sizeof(dispatch));
    return dispatch(pool);
}

/* ---- one process ------------------------------------------------------------------------------------------------- */

static const struct {
    const char *what;
    int error;
} vain[] = {
    {"a dead server", ENOTCONN}, {"no such socket", ENOTCONN}, {"no such volume", ENOENT},
    {"no such name", ENOTCONN},  {"a stopped volume", EIO},
};

static int64_t end;
static unsigned opens[T_COUNT(vain)], waited, wrong;

static const char *vain_uri(unsigned i)
{
    static __thread char uri[256];

    switch (i) {
    case 0:
        snprintf(uri, sizeof(uri), "gluster://%s:24999/rep3/image", getenv("BLKG_SERVER"));
        return uri;
    case 1:
        return "gluster+unix:///rep3/image?socket=/no/such/socket";
    case 2:
        return cluster_uri("no-such-volume", "image");
    case 3:
        return "gluster://no-such-host.invalid/rep3/image";
    default:
        return cluster_uri("plain", "image");
    }
}

/* Without the harness, which says something of each. */
static void *open_in_vain(void *arg)
{
    unsigned which = (unsigned)(uintptr_t)arg % T_COUNT(vain);
    const char *uri = vain_uri(which);
    const struct BlkDriver *drv = drv_for(uri);
    struct BlkOption options[] = {{"filename", uri}, {"connect-timeout", "2"}, {NULL, NULL}};
    struct BlkError error = {.struct_size = sizeof(error)};
    struct BlkState bs = {.struct_size = sizeof(bs), .opaque = calloc(1, drv->instance_size)};

    while (now_us() < end) {
        int ret = drv->open(&bs, options, 0, &error);

        if (ret == -vain[which].error) {
            __atomic_fetch_add(&opens[which], 1, __ATOMIC_RELAXED);
        } else if (vain[which].error == EIO && ret == -ETIMEDOUT) {
            /* What earlier ones have left is still there. */
            __atomic_fetch_add(&waited, 1, __ATOMIC_RELAXED);
        } else {
            t_say("%s: %d, %s", vain[which].what, ret, error.message);
            __atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
            if (ret == 0)
                drv->close(&bs);
            break;
        }
    }
    free(bs.opaque);
    return NULL;
}

static int one_process(double seconds)
{
    pthread_t threads[THREADS];
    uintptr_t i;
    struct img img;

    t_begin("a process that opens in vain");
    load_for_volumes();
    allow_seconds((unsigned)seconds + 120);
    end = now_us() + (int64_t)(seconds * 1e6);
    for (i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, open_in_vain, (void *)i);
    run_for(seconds / 2);
    /* Had it to wait for those that fail, it would have to for longer than this, again and again. */
    is(img_open(&img, cluster_uri("rep3", "storm"), BLK_O_RDWR, "connect-timeout", "10", NULL), 0,
       "meanwhile, what is well opens: %s", img.error.message);
    if (img.is_open) {
        ok(write_pattern(&img, 65536, 0, 7) && has_pattern(&img, 65536, 0, 7), "and works");
        img_close(&img);
    }
    for (i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (i = 0; i < T_COUNT(vain); i++)
        ok(opens[i] > 0, "%s: %u opens", vain[i].what, opens[i]);
    t_say("%u opens waited in vain", waited);
    is(wrong, 0, "each failed as it should");
    return t_end();
}

/* ---- all of them --------------------------------------------------------------------------------------------------- */

struct process {
    pthread_t thread;
    char seconds[32];
    int code;
};

static void *run_process(void *arg)
{
    struct process *process = arg;

    process->code = t_run_self(process->seconds, atof(process->seconds + 1) + 100);
    return NULL;
}

int main(int argc, char **argv)
{
    struct process processes[PROCESSES];
    int i;

    if (argc > 1 && argv[1][0] == 'x')
        return one_process(atof(argv[1] + 1));
    t_begin("no number of failing opens harms the process, or keeps it from those that succeed");
    load_for_volumes();
    allow_seconds((argc > 1 ? (unsigned)atoi(argv[1]) : 20) + 120);
    make_elsewhere("rep3", "storm");
    if (cluster("gluster volume stop plain"))
        t_die("cannot stop the volume");
    for (i = 0; i < PROCESSES; i++) {
        snprintf(processes[i].seconds, sizeof(processes[i].seconds), "x%s", argc > 1 ? argv[1] : "20");
        pthread_create(&processes[i].thread, NULL, run_process, &processes[i]);
    }
    for (i = 0; i < PROCESSES; i++) {
        pthread_join(processes[i].thread, NULL);
        is(processes[i].code, 0, "a process that opens in vain ends well");
    }
    if (cluster("gluster volume start plain") || cluster("restart-brick plain 1"))
        t_die("cannot start the volume");
    witness("rep3", "unlink", "/storm");
    return end_for_volumes();
}
