/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "volumes.h"

#define BLOCK 16384
#define MANY 64

struct requests {
    struct io io[MANY];
    unsigned char memory[MANY][BLOCK];
};

/* The lower half writes over zeros, the upper half reads what was written before. */
static void submit(struct requests *r, struct img *img)
{
    unsigned i;

    for (i = 0; i < MANY; i++) {
        int64_t offset = (int64_t)i * BLOCK;

        if (i < MANY / 2) {
            pattern_fill(r->memory[i], BLOCK, 2, offset);
            io_pwrite(&r->io[i], img, r->memory[i], BLOCK, offset);
        } else {
            memset(r->memory[i], 0xA5, BLOCK);
            io_pread(&r->io[i], img, r->memory[i], BLOCK, offset);
        }
    }
}

static int called_back(const struct requests *r)
{
    int n = 0;
    unsigned i;

    for (i = 0; i < MANY; i++)
        n += r->io[i].done;
    return n;
}

/* Every one ended once: well, with the right data, or not at all, if `cancelled` allows that. */
static bool all_right(const struct requests *r, bool cancelled)
{
    bool good = true;
    unsigned i;

    for (i = 0; i < MANY; i++) {
        good = r->io[i].acb && r->io[i].done == 1 && good;
        if (cancelled && r->io[i].ret == -ECANCELED)
            continue;
        good = r->io[i].ret == 0 &&
               pattern_check(r->memory[i], BLOCK, i < MANY / 2 ? 2 : 1, (int64_t)i * BLOCK) && good;
    }
    return good;
}

static bool prepare(struct img *img, const char *volume, const char *path, const char *write_cache)
{
    make_elsewhere(volume, path);
    if (!is(open_to_count(img, cluster_uri(volume, "%s", path), BLK_O_RDWR, write_cache), 0, "%s: open an image",
            volume))
        t_die("cannot go on");
    return write_pattern(img, MANY * BLOCK, 0, 1) && flush_sync(img) == 0;
}

/* ---- cancel -------------------------------------------------------------------------------------------------- */

static void cancelling(const char *volume)
{
    struct requests *r = calloc(1, sizeof(*r));
    int before, i, never_sent = 0;
    bool good = true;
    struct img img;

    ok(prepare(&img, volume, "cancel", "off"), "%s: fill it", volume);
    submit(r, &img);
    before = called_back(r);
    for (i = 50; i >= 0; i -= 10) {
        img.drv->aio_cancel(r->io[i].acb);
        ok(r->io[i].done == 1 && called_back(r) == ++before, "%s: cancelling request %d calls its callback, no other's",
           volume, i);
    }
    for (i = 1; i < MANY; i += 2)
        img.drv->aio_cancel_async(r->io[i].acb);
    is(called_back(r), before, "%s: asking others to end early calls none", volume);
    for (i = 0; i < MANY; i++)
        io_wait(&r->io[i]);
    ok(all_right(r, true), "%s: all of them end once, as they should or as never sent", volume);
    for (i = 0; i < MANY; i++) {
        bool asked = i % 2 || (i <= 50 && i % 10 == 0), written = i < MANY / 2 && r->io[i].ret == 0;

        never_sent += r->io[i].ret == -ECANCELED;
        good = (asked || r->io[i].ret == 0) && has_pattern(&img, BLOCK, (int64_t)i * BLOCK, written ? 2 : 1) && good;
    }
    t_say("%s: %d of %d requests were never sent", volume, never_sent, MANY);
    ok(good, "%s: only what was cancelled did not happen, and every write happened whole or not at all", volume);
    for (i = 0; i < MANY; i++)
        img.drv->aio_cancel(r->io[i].acb);
    is(called_back(r), MANY, "%s: cancelling what is over does nothing", volume);
    img_close(&img);
    free(r);
}

/* ---- close --------------------------------------------------------------------------------------------------- */

static void busy(const char *volume, const char *write_cache)
{
    struct requests *r = calloc(1, sizeof(*r));
    int64_t begun;
    struct img img;

    ok(prepare(&img, volume, "close-busy", write_cache), "%s, write-cache=%s: fill it", volume, write_cache);
    submit(r, &img);
    t_say("%s: close with %d of %d requests in flight", volume, MANY - called_back(r), MANY);
    begun = now_us();
    img_close(&img);
    t_say("%s: close took %lld us", volume, (long long)(now_us() - begun));
    is(called_back(r), MANY, "%s: their callbacks have come when it returns", volume);
    ok(all_right(r, false), "%s: once each, with the right data", volume);
    if (is(open_to_count(&img, cluster_uri(volume, "close-busy"), 0, "off"), 0, "%s: open it again", volume)) {
        ok(has_pattern(&img, MANY / 2 * BLOCK, 0, 2), "%s: the writes are there", volume);
        img_close(&img);
    }
    free(r);
}

static void close_here(struct io *io)
{
    img_close(io->img);
}

static void from_callback(const char *volume)
{
    struct requests *r = calloc(1, sizeof(*r));
    struct img img;

    ok(prepare(&img, volume, "close-inside", "off"), "%s: fill it", volume);
    r->io[MANY / 2].then = close_here;
    submit(r, &img);
    ok(wait_for(&r->io[MANY / 2].done, 1, 10), "%s: close inside a callback", volume);
    ok(!img.is_open && called_back(r) == MANY, "%s: all callbacks have come", volume);
    ok(all_right(r, false), "%s: once each, with the right data", volume);
    free(r);
}

static void idle(const char *volume)
{
    int64_t took;
    struct img img;

    ok(prepare(&img, volume, "close-idle", "on"), "%s: fill it", volume);
    took = now_us();
    img_close(&img);
    took = now_us() - took;
    t_say("%s: close of an idle image took %lld us", volume, (long long)took);
    ok((double)took < 1e6 * t_time_factor(), "%s: less than a second", volume);
}

/* ---- exit ---------------------------------------------------------------------------------------------------- */

/* Where the process ends: with a connection that is warm or on its way out, with open images, by exit() or after dlclose. */
static int child(const char *how)
{
    struct requests *r = calloc(1, sizeof(*r));
    struct img img;

    load_for_volumes();
    if (strcmp(how, "warm"))
        t_keep_connection = "0";
    if (open_to_count(&img, cluster_uri("rep3", "exit"), BLK_O_RDWR, "on") < 0 || !write_pattern(&img, BLOCK, 0, 1))
        return 2;
    if (!strcmp(how, "open"))
        exit(0);
    if (!strcmp(how, "busy")) {
        submit(r, &img);
        exit(0);
    }
    img_close(&img);
    if (!strcmp(how, "unloaded"))
        t_dlclose();
    if (!strcmp(how, "later"))
        run_for(0.3);
    free(r);
    return 0;
}

static void exiting(const char *how, unsigned times)
{
    int64_t longest = 0;
    unsigned i, good = 0;

    for (i = 0; i < times; i++) {
        int64_t begun = now_us(), took;
        int code = t_run_self(how, 2);

        took = now_us() - begun;
        longest = took > longest ? took : longest;
        good += code == 0;
        if (code)
            t_say("exit code %d after %lld ms", code, (long long)took / 1000);
    }
    is(good, times, "a process that exits (%s) ends with code 0 within two seconds", how);
    t_say("%s: from start to end %lld ms at most", how, (long long)longest / 1000);
}

int main(int argc, char **argv)
{
    int fds, threads;

    if (argc > 1)
        return child(argv[1]);
    t_begin("cancel and close call back exactly once, lose nothing and wait for nobody");
    load_for_volumes();
    fds = fd_count();
    threads = thread_count();
    for EACH_VOLUME (volume) {
        cancelling(*volume);
        busy(*volume, "on");
        busy(*volume, "off");
        idle(*volume);
    }
    from_callback("plain");
    from_callback("sharded");
    make_elsewhere("rep3", "exit");
    exiting("closed", 10);
    exiting("later", 2);
    exiting("warm", 3);
    exiting("unloaded", 3);
    exiting("open", 3);
    exiting("busy", 3);
    ok(connections_gone(fds, threads), "no thread and no fd is left of all that, as soon as the connections have gone");
    return end_for_volumes();
}
