/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Locked images on all four volumes, in this process and in another one that does what it is told to.
 *   real_locking         the test
 *   real_locking other   the other process: a line in, a number out
 */
#include "volumes.h"

#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <sys/wait.h>

#include "../harness_internal.h"

extern char **environ;

#define BYTES 65536
#define SHARD (INT64_C(4) * MiB)

/* ---- images ------------------------------------------------------------------------------------------------------ */

/* As one word: "rw" or "ro", then what else is said, divided by commas. */
static int open_how(struct img *img, const char *uri, const char *how, const char *locking)
{
    const char *share = strstr(how, "share") ? "on" : "off";
    uint32_t flags = strncmp(how, "rw", 2) ? 0 : BLK_O_RDWR;

    if (!strcmp(locking, "off"))
        return img_open(img, uri, flags, "locking", "off", NULL);
    /* A connection of its own. */
    if (strstr(how, "apart"))
        return img_open(img, uri, flags, "locking", locking, "share-rw", share, "write-cache", "on", NULL);
    return img_open(img, uri, flags, "locking", locking, "share-rw", share, NULL);
}

/* Opens and, when that works, closes it again. */
static int try_open(const char *uri, const char *how, const char *locking)
{
    struct img img;
    int ret = open_how(&img, uri, how, locking);

    if (ret == -EBUSY && !strstr(img.error.message, "is locked (EBUSY)"))
        fail("it does not say why: %s", img.error.message);
    img_close(&img);
    return ret;
}

static int put(struct img *img, uint64_t seed, int64_t offset)
{
    unsigned char data[BYTES];

    pattern_fill(data, BYTES, seed, offset);
    return pwrite_sync(img, data, BYTES, offset);
}

/* ---- the other process ------------------------------------------------------------------------------------------- */

static int obey(struct img *img, char *words)
{
    const char *verb = strtok(words, " \n"), *a = strtok(NULL, " \n");
    const char *b = strtok(NULL, " \n"), *c = strtok(NULL, " \n");
    struct BlkError error = {.struct_size = sizeof(error)};

    if (!strcmp(verb, "open"))
        return open_how(img, a, b, c);
    if (!strcmp(verb, "close")) {
        img_close(img);
        return 0;
    }
    if (!strcmp(verb, "put"))
        return put(img, (uint64_t)atoi(a), atoll(b));
    if (!strcmp(verb, "has"))
        return has_pattern(img, c ? atoll(c) : BYTES, atoll(b), (uint64_t)atoll(a));
    if (!strcmp(verb, "length"))
        return (int)img->drv->getlength(&img->bs);
    if (!strcmp(verb, "release"))
        return img->drv->lock_release(&img->bs, &error);
    if (!strcmp(verb, "acquire"))
        return img->drv->lock_acquire(&img->bs, &error);
    return -ENOSYS;
}

static int other_process(void)
{
    char line[1024];
    struct img img = {0};

    load_for_volumes();
    while (fgets(line, sizeof(line), stdin)) {
        printf("%d\n", obey(&img, line));
        fflush(stdout);
    }
    return 0;
}

static pid_t other;
static int to_other;
static FILE *from_other;

static void start_other(void)
{
    char program[4096], *argv[] = {program, (char[]){"other"}, NULL};
    ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
    posix_spawn_file_actions_t actions;
    int in[2], out[2];

    if (length < 0 || pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
        t_die("no pipes");
    program[length] = '\0';
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, t_real_output(), STDERR_FILENO);
    if (posix_spawn(&other, program, &actions, NULL, argv, environ))
        t_die("cannot run %s", program);
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    to_other = in[1];
    from_other = fdopen(out[0], "r");
}

static void end_other(int signal)
{
    int status;

    if (signal)
        kill(other, signal);
    close(to_other);
    fclose(from_other);
    waitpid(other, &status, 0);
    if (!signal)
        is(status, 0, "the other process ends well");
}

/* What it answers. */
static int tell(const char *format, ...) T_PRINTF(1, 2);
static int tell(const char *format, ...)
{
    struct pollfd answer = {.fd = fileno(from_other), .events = POLLIN};
    char line[1024];
    va_list args;
    int length;

    va_start(args, format);
    length = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    line[length++] = '\n';
    if (write(to_other, line, (size_t)length) != length || poll(&answer, 1, 60000) != 1 ||
        !fgets(line, sizeof(line), from_other))
        t_die("the other process does not answer");
    return atoi(line);
}

static int told_to_try(const char *uri, const char *how, const char *locking)
{
    int ret = tell("open %s %s %s", uri, how, locking);

    tell("close");
    return ret;
}

/* A brick that has just been started may not be known everywhere yet. */
static int told_to_open_at_last(const char *uri)
{
    int64_t end = now_us() + 20 * INT64_C(1000000);
    int ret;

    while ((ret = tell("open %s rw on", uri)) != 0 && ret != -EBUSY && now_us() < end) {
        tell("close");
        run_for(0.2);
    }
    return ret;
}

/* ---- who fits with whom ------------------------------------------------------------------------------------------ */

static void one_writer(const char *volume, const char *uri)
{
    struct BlkOption locked[] = {{"size", "0"}, {"locking", "on"}, {"keep-connection", "2"}, {NULL, NULL}};
    struct BlkError error = {.struct_size = sizeof(error)};
    struct img img, seen;

    if (!is(open_how(&img, uri, "rw", "on"), 0, "%s: a writer", volume))
        t_die("%s", img.error.message);
    is(put(&img, 1, 0), 0, "%s: ... writes", volume);
    is(try_open(uri, "rw", "on"), -EBUSY, "%s: a second one on the same connection", volume);
    is(try_open(uri, "rw,apart", "auto"), -EBUSY, "%s: ... on another connection of this process", volume);
    is(try_open(uri, "rw,share", "on"), -EBUSY, "%s: ... that would share it", volume);
    is(told_to_try(uri, "rw", "on"), -EBUSY, "%s: ... in another process", volume);
    is(try_open(uri, "ro", "on"), -EBUSY, "%s: a reader", volume);
    is(told_to_try(uri, "ro", "on"), -EBUSY, "%s: ... in another process", volume);
    is(open_how(&seen, uri, "ro,share", "on"), 0, "%s: a reader who does not mind", volume);
    ok(has_pattern(&seen, BYTES, 0, 1), "%s: ... reads what the writer wrote", volume);
    img_close(&seen);
    is(told_to_try(uri, "ro", "off"), 0, "%s: who does not ask is not refused", volume);
    is(drv_for(uri)->create(uri, locked, &error), -EBUSY, "%s: it is not created anew", volume);
    ok(has_pattern(&img, BYTES, 0, 1), "%s: ... and keeps its data", volume);
    /* Their files were closed by the same thread, on the same connection. */
    is(told_to_try(uri, "rw", "on"), -EBUSY, "%s: all of them have left the lock alone", volume);
    is(put(&img, 2, 0), 0, "%s: ... and the writer", volume);
    img_close(&img);
    is(told_to_try(uri, "rw", "on"), 0, "%s: close lets go of it", volume);
}

static void sharing(const char *volume, const char *uri)
{
    struct img img;

    is(open_how(&img, uri, "ro", "on"), 0, "%s: a reader", volume);
    is(told_to_try(uri, "ro", "on"), 0, "%s: ... fits with another", volume);
    is(told_to_try(uri, "rw", "on"), -EBUSY, "%s: ... with no writer", volume);
    is(told_to_try(uri, "rw,share", "on"), -EBUSY, "%s: ... also with one that shares", volume);
    img_close(&img);
    is(open_how(&img, uri, "rw,share", "on"), 0, "%s: a writer that shares", volume);
    is(tell("open %s rw,share on", uri), 0, "%s: ... fits with another", volume);
    is(try_open(uri, "rw", "on"), -EBUSY, "%s: ... with none that does not", volume);
    is(try_open(uri, "ro", "on"), -EBUSY, "%s: ... nor with a reader that minds", volume);
    is(put(&img, 3, 0), 0, "%s: ... and both write", volume);
    is(tell("put 4 0"), 0, "%s: ... and both write", volume);
    tell("close");
    img_close(&img);
}

static void without(const char *volume, const char *uri)
{
    struct img img;

    is(open_how(&img, uri, "rw", "off"), 0, "%s: locking=off", volume);
    is(told_to_try(uri, "rw", "off"), 0, "%s: ... lets a second writer in", volume);
    is(img.drv->lock_release(&img.bs, &img.error), -EOPNOTSUPP, "%s: ... and has no lock to give up", volume);
    img_close(&img);
}

/* ---- the holder is killed ---------------------------------------------------------------------------------------- */

static int64_t quickest = INT64_MAX;

static void killed(const char *volume, const char *uri)
{
    struct img img;
    int64_t begun, took;
    int ret;

    is(tell("open %s rw on", uri), 0, "%s: another process has it", volume);
    is(try_open(uri, "rw", "on"), -EBUSY, "%s: ... and not this one", volume);
    begun = now_us();
    end_other(SIGKILL);
    do {
        ret = open_how(&img, uri, "rw", "on");
        if (ret)
            img_close(&img);
    } while (ret == -EBUSY && now_us() < begun + 20 * INT64_C(1000000));
    took = now_us() - begun;
    quickest = took < quickest ? took : quickest;
    is(ret, 0, "%s: it was killed, and this one has it", volume);
    t_say("%s: %lld us after the kill", volume, (long long)took);
    img_close(&img);
    start_other();
}

/* ---- handed over and back, while it is written ------------------------------------------------------------------- */

#define LANES 8

static struct lane {
    struct io io;
    uint64_t serial, acked;
    int64_t offset;
    unsigned char data[4096];
} lanes[LANES];
static unsigned refused, failed;

static void write_on(struct lane *lane)
{
    lane->serial++;
    pattern_fill(lane->data, sizeof(lane->data), lane->serial, lane->offset);
    if (!io_pwrite(&lane->io, lane->io.img, lane->data, sizeof(lane->data), lane->offset))
        refused += lane->io.ret == -EPERM;
}

static void written(struct io *io)
{
    struct lane *lane = io->arg;

    failed += io->ret != 0;
    lane->acked = lane->serial;
    write_on(lane);
}

static void start_lanes(struct img *img)
{
    unsigned i;

    refused = failed = 0;
    for (i = 0; i < LANES; i++) {
        lanes[i].offset = 2 * SHARD - (LANES / 2 - (int64_t)i) * (int64_t)sizeof(lanes[i].data);
        lanes[i].io.img = img;
        lanes[i].io.then = written;
        lanes[i].io.arg = &lanes[i];
        write_on(&lanes[i]);
    }
}

static bool lanes_hold(struct img *img)
{
    bool good = true;
    unsigned i;

    for (i = 0; i < LANES; i++)
        good = has_pattern(img, sizeof(lanes[i].data), lanes[i].offset, lanes[i].acked) && good;
    return good;
}

static void hand_over(const char *volume, const char *uri)
{
    struct img img;
    char data[512] = "";
    struct io io = {0};
    unsigned i, good = 0;

    is(open_how(&img, uri, "rw", "on"), 0, "%s: a writer", volume);
    is(tell("open %s rw on", uri), -EBUSY, "%s: the next one has to wait", volume);
    tell("close");
    start_lanes(&img);
    run_for(0.1);
    is(img.drv->lock_release(&img.bs, &img.error), 0, "%s: the lock is given up while writes are in flight", volume);
    is(refused, LANES, "%s: ... writes are refused from then on", volume);
    is(failed, 0, "%s: ... and those before have succeeded", volume);
    ok(!io_discard(&io, &img, 4096, 0) && io.ret == -EPERM, "%s: ... so are discards", volume);
    is(img.drv->truncate(&img.bs, 512, &img.error), -EPERM, "%s: ... and changes of the length", volume);
    is(pread_sync(&img, data, sizeof(data), 0), 0, "%s: ... reads are not", volume);
    is(img.drv->lock_release(&img.bs, &img.error), 0, "%s: giving up twice", volume);
    is(tell("open %s rw on", uri), 0, "%s: the next one takes it", volume);
    for (i = 0; i < LANES; i++)
        good += tell("has %llu %lld %zu", (unsigned long long)lanes[i].acked, (long long)lanes[i].offset,
                     sizeof(lanes[i].data)) == 1;
    is(good, LANES, "%s: ... and sees what was acknowledged last", volume);
    is(img.drv->lock_acquire(&img.bs, &img.error), -EBUSY, "%s: ... and the first does not get it back", volume);
    ok(strstr(img.error.message, "is locked") != NULL, "%s: ... %s", volume, img.error.message);
    is(tell("put 5 0"), 0, "%s: the next one writes", volume);
    is(tell("put 6 %lld", 5 * (long long)SHARD), 0, "%s: ... and makes it longer", volume);
    is(tell("release"), 0, "%s: ... and gives it up", volume);
    is(tell("put 7 0"), -EPERM, "%s: ... and writes no more", volume);
    is(img.drv->lock_acquire(&img.bs, &img.error), 0, "%s: the first has it again", volume);
    is(img.drv->lock_acquire(&img.bs, &img.error), 0, "%s: ... which is no error", volume);
    is(tell("acquire"), -EBUSY, "%s: ... and the other one not", volume);
    is(img.drv->getlength(&img.bs), 5 * SHARD + BYTES, "%s: it sees the new length", volume);
    ok(has_pattern(&img, BYTES, 0, 5) && has_pattern(&img, BYTES, 5 * SHARD, 6), "%s: ... and the data", volume);
    ok(lanes_hold(&img), "%s: ... and all that it wrote before", volume);
    start_lanes(&img);
    run_for(0.05);
    is(img.drv->lock_release(&img.bs, &img.error), 0, "%s: it writes and gives up anew", volume);
    is(failed, 0, "%s: ... and all writes have succeeded", volume);
    is(tell("acquire"), 0, "%s: the other one takes it", volume);
    img_close(&img);
    is(tell("put 8 0"), 0, "%s: ... keeps it when this one closes", volume);
    is(try_open(uri, "rw", "on"), -EBUSY, "%s: ... to itself", volume);
    tell("close");
}

/* ---- bricks and graphs ------------------------------------------------------------------------------------------- */

/* Whether the connection of locked images uses this translator, as GlusterFS's own directory of its graph tells. */
static bool has_quick_read(const char *volume)
{
    struct img img;
    const char *uri = cluster_uri(volume, ".meta/graphs/active/%s-quick-read/type", volume);
    bool has = open_how(&img, uri, "ro,share", "on") == 0;

    img_close(&img);
    return has;
}

static bool has_none(void *arg)
{
    return !has_quick_read(arg);
}

static bool has_one(void *arg)
{
    return has_quick_read(arg);
}

static void set_quick_read(const char *volume, bool on)
{
    if (cluster("gluster volume set %s performance.quick-read %s", volume, on ? "on" : "off") ||
        !run_until(on ? has_one : has_none, (void *)volume, 20))
        t_die("%s: its options do not change", volume);
}

static void restart(const char *volume)
{
    if (cluster("kill-brick %s 1", volume) || cluster("restart-brick %s 1", volume))
        t_die("cannot restart a brick of %s", volume);
}

static bool reads(void *arg)
{
    char data[512];

    return pread_sync(arg, data, sizeof(data), 0) == 0;
}

/* Its only brick forgets the lock: who had it must not write on. Two images were there before the options changed:
 * GlusterFS knows of the lock of the one that was flushed since, and nobody of the other one's before it is flushed. */
static void fenced(const char *uri)
{
    char beside[1024], before[2][1024];
    struct img img, unlocked, early[2];
    char data[512] = "";
    unsigned i;

    for (i = 0; i < 2; i++) {
        snprintf(before[i], sizeof(before[i]), "%s", cluster_uri("plain", "locking-%u", i));
        make_image(before[i], "1M");
        is(open_how(&early[i], before[i], "rw", "on"), 0, "plain: an early writer");
    }
    run_for(0.6);
    set_quick_read("plain", false);
    for (i = 0; i < 2; i++)
        is(put(&early[i], 20, 0), 0, "plain: it writes when the volume's options have changed");
    is(flush_sync(&early[0]), 0, "plain: ... and flushes");
    snprintf(beside, sizeof(beside), "%s", cluster_uri("plain", "locking-beside"));
    make_image(beside, "16M");
    is(open_how(&img, uri, "rw", "on"), 0, "plain: a writer");
    /* On the same connection, without a lock. */
    is(open_how(&unlocked, beside, "rw", "auto"), 0, "plain: another image");
    is(put(&img, 9, 0), 0, "plain: it writes");
    is(flush_sync(&img), 0, "plain: ... and flushes");
    is(unlocked.drv->lock_release(&unlocked.bs, &unlocked.error), 0, "plain: the other one has given its lock up");
    restart("plain");
    is(told_to_open_at_last(uri), 0, "plain: the brick was restarted and gives the lock to the next");
    is(tell("put 10 0"), 0, "plain: ... who writes");
    ok(run_until(reads, &unlocked, 20), "plain: this process's connection is back: an image without a lock works");
    t_forget_reports();
    is(put(&img, 11, 0), -EBADFD, "plain: the first writes no more");
    ok(t_reported("close the image and open it again"), "plain: ... %s", last_report());
    is(pread_sync(&img, data, sizeof(data), 0), -EBADFD, "plain: ... nor reads");
    is(flush_sync(&img), -EBADFD, "plain: ... nor flushes");
    is(img.drv->lock_release(&img.bs, &img.error), -EBADFD, "plain: ... nor hands over: %s", img.error.message);
    is(tell("has 10 0"), 1, "plain: ... and has changed nothing");
    img_close(&img);
    is(try_open(uri, "rw", "on"), -EBUSY, "plain: opened again, it is the second");
    tell("close");
    is(open_how(&img, uri, "rw", "on"), 0, "plain: ... and the only one, later");
    ok(has_pattern(&img, BYTES, 0, 10), "plain: ... that sees what the other wrote");
    is(put(&img, 12, 0), 0, "plain: ... and writes");
    img_close(&img);
    img_close(&unlocked);
    empty_image(beside);
    is(put(&early[0], 21, 0), -EBADFD, "plain: the early writer that has flushed writes no more");
    is(tell("open %s rw on", before[1]), 0, "plain: the next takes the image of the other one");
    is(flush_sync(&early[1]), -EBUSY, "plain: ... which then does not flush as if all were well");
    ok(t_reported("has forgotten its lock"), "plain: ... %s", last_report());
    is(put(&early[1], 21, 0), -EPERM, "plain: ... and writes no more");
    is(early[1].drv->lock_acquire(&early[1].bs, &early[1].error), -EBUSY, "plain: ... as long as the next one has it");
    tell("close");
    is(early[1].drv->lock_acquire(&early[1].bs, &early[1].error), 0, "plain: ... and not longer");
    for (i = 0; i < 2; i++) {
        img_close(&early[i]);
        empty_image(before[i]);
    }
    set_quick_read("plain", true);
}

/* The other bricks still know of the lock, and the image goes on with them. */
static void one_of_three(const char *volume, const char *uri)
{
    struct img img;

    is(open_how(&img, uri, "rw", "on"), 0, "%s: a writer", volume);
    is(put(&img, 13, 0), 0, "%s: it writes", volume);
    restart(volume);
    is(told_to_try(uri, "rw", "on"), -EBUSY, "%s: when one brick was restarted, the next is refused", volume);
    is(put(&img, 14, 0), 0, "%s: ... and the first writes on", volume);
    is(flush_sync(&img), 0, "%s: ... and flushes", volume);
    img_close(&img);
    is(tell("open %s rw on", uri), 0, "%s: the next one has it when it is closed", volume);
    is(tell("has 14 0"), 1, "%s: ... and all that was written", volume);
    is(tell("put 15 0"), 0, "%s: ... and writes", volume);
    tell("close");
    if (cluster("wait-healed %s", volume))
        t_die("%s does not heal", volume);
}

/* Without strict-locks an image goes on when its only brick was restarted, and a flush takes the lock that it forgot. */
static void relaxed(const char *uri)
{
    struct img img;

    is(img_open(&img, uri, BLK_O_RDWR, "locking", "auto", "strict-locks", "off", NULL), 0, "plain: a writer, strict-locks=off");
    is(put(&img, 22, 0), 0, "plain: it writes");
    restart("plain");
    ok(run_until(reads, &img, 20), "plain: its brick was restarted, and serves it on");
    is(put(&img, 23, 0), 0, "plain: ... and takes its writes");
    run_for(0.6);
    is(flush_sync(&img), 0, "plain: ... and flushes");
    is(told_to_open_at_last(uri), -EBUSY, "plain: ... and the next is refused again");
    tell("close");
    is(img.drv->lock_change(&img.bs, BLK_LOCK_WRITE, &img.error), 0, "plain: it lets others write");
    is(told_to_try(uri, "rw,share", "on"), 0, "plain: ... who say the same");
    is(told_to_try(uri, "rw", "on"), -EBUSY, "plain: ... but none that does not");
    restart("plain");
    ok(run_until(reads, &img, 20), "plain: its brick was restarted once more");
    is(told_to_open_at_last(uri), 0, "plain: the next comes before a flush");
    run_for(0.6);
    is(flush_sync(&img), -EBUSY, "plain: ... which then says that the lock is another's");
    is(put(&img, 24, 0), -EPERM, "plain: ... and it writes no more");
    tell("close");
    is(img.drv->lock_change(&img.bs, BLK_LOCK_WRITE | BLK_LOCK_FORBID_WRITE, &img.error), 0, "plain: ... until it has it again");
    is(put(&img, 25, 0), 0, "plain: ... and writes");
    img_close(&img);
}

/* An opening that asks for its lock later, and changes it, beside another process. */
static void changes(const char *volume, const char *uri)
{
    struct img img;
    uint32_t later = BLK_O_RDWR | BLK_O_LOCK_LATER;

    is(img_open(&img, uri, later, "locking", "on", NULL), 0, "%s: opened without a lock", volume);
    is(told_to_try(uri, "rw", "on"), 0, "%s: ... the next is a writer", volume);
    is(img.drv->lock_change(&img.bs, BLK_LOCK_WRITE | BLK_LOCK_FORBID_WRITE, &img.error), 0, "%s: a writer", volume);
    is(told_to_try(uri, "rw", "on"), -EBUSY, "%s: ... the next is refused", volume);
    is(img.drv->lock_change(&img.bs, BLK_LOCK_WRITE, &img.error), 0, "%s: one that lets others write", volume);
    is(told_to_try(uri, "rw,share", "on"), 0, "%s: ... the next writes, too", volume);
    is(told_to_try(uri, "rw", "on"), -EBUSY, "%s: ... unless it minds that this one does", volume);
    is(img.drv->lock_change(&img.bs, BLK_LOCK_FORBID_WRITE, &img.error), 0, "%s: a reader", volume);
    is(told_to_try(uri, "ro", "on"), 0, "%s: ... beside others", volume);
    is(told_to_try(uri, "rw", "on"), -EBUSY, "%s: ... which do not write", volume);
    is(img.drv->lock_change(&img.bs, 0, &img.error), 0, "%s: without a lock again", volume);
    is(told_to_try(uri, "rw", "on"), 0, "%s: ... the next is a writer", volume);
    img_close(&img);
}

/* libgfapi moves an open file, and its locks, to a new connection. */
static void other_options(const char *volume, const char *uri)
{
    struct img img;

    is(open_how(&img, uri, "rw", "on"), 0, "%s: a writer", volume);
    is(put(&img, 16, 0), 0, "%s: it writes", volume);
    set_quick_read(volume, false);
    is(put(&img, 17, 0), 0, "%s: ... and writes on when the volume's options have changed", volume);
    is(told_to_try(uri, "rw", "on"), -EBUSY, "%s: ... and the next is refused", volume);
    is(img.drv->lock_release(&img.bs, &img.error), 0, "%s: ... until the lock is given up", volume);
    is(tell("open %s rw on", uri), 0, "%s: ... which works", volume);
    is(tell("has 17 0"), 1, "%s: ... and all is there", volume);
    set_quick_read(volume, true);
    is(tell("put 18 0"), 0, "%s: ... and writes on when the options have changed back", volume);
    is(img.drv->lock_acquire(&img.bs, &img.error), -EBUSY, "%s: ... as the only one", volume);
    tell("close");
    is(img.drv->lock_acquire(&img.bs, &img.error), 0, "%s: ... until it closes the image", volume);
    ok(has_pattern(&img, BYTES, 0, 18), "%s: ... and all is there", volume);
    img_close(&img);
}

/* Those that fit one another do, however close together they come. */
struct opener {
    pthread_t thread;
    pthread_barrier_t *gate;
    const char *uri;
    uint32_t flags;
    int ret;
};

static void *open_at_once(void *arg)
{
    struct opener *it = arg;
    const struct BlkDriver *drv = drv_for(it->uri);
    const char *share = it->flags ? "on" : "off";
    struct BlkOption options[] = {
        {"filename", it->uri}, {"locking", "on"}, {"share-rw", share}, {"keep-connection", "2"}, {NULL, NULL}};
    struct BlkError error = {.struct_size = sizeof(error)};
    struct BlkState bs = {.struct_size = sizeof(bs), .opaque = calloc(1, drv->instance_size)};

    pthread_barrier_wait(it->gate);
    it->ret = drv->open(&bs, options, it->flags, &error);
    pthread_barrier_wait(it->gate);
    if (it->ret == 0)
        drv->close(&bs);
    free(bs.opaque);
    return NULL;
}

static void together(const char *volume, const char *uri)
{
    enum { OPENERS = 6, ROUNDS = 6 };
    struct opener openers[OPENERS];
    pthread_barrier_t gate;
    int i, round, refused = 0;

    pthread_barrier_init(&gate, NULL, OPENERS);
    for (round = 0; round < ROUNDS; round++) {
        for (i = 0; i < OPENERS; i++) {
            openers[i] = (struct opener){.gate = &gate, .uri = uri, .flags = round % 2 ? BLK_O_RDWR : 0};
            pthread_create(&openers[i].thread, NULL, open_at_once, &openers[i]);
        }
        for (i = 0; i < OPENERS; i++) {
            pthread_join(openers[i].thread, NULL);
            refused += openers[i].ret != 0;
        }
    }
    pthread_barrier_destroy(&gate);
    is(refused, 0, "%s: readers, and writers that share, all get in when they come at the same moment", volume);
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "other"))
        return other_process();
    t_begin("an image that is locked has one writer, wherever the others are");
    load_for_volumes();
    need_healthy();
    start_other();
    for EACH_VOLUME (volume) {
        char uri[1024];

        snprintf(uri, sizeof(uri), "%s", cluster_uri(*volume, "locking"));
        make_image(uri, "0");
        make_image(uri, "16M");
        one_writer(*volume, uri);
        sharing(*volume, uri);
        together(*volume, uri);
        without(*volume, uri);
        killed(*volume, uri);
        hand_over(*volume, uri);
        if (!strcmp(*volume, "plain")) {
            other_options(*volume, uri);
            fenced(uri);
            relaxed(uri);
            changes(*volume, uri);
        } else if (!strcmp(*volume, "rep3")) {
            one_of_three(*volume, uri);
            changes(*volume, uri);
        }
        empty_image(uri);
    }
    ok((double)quickest < 1e6 * t_time_factor(), "a lock whose holder was killed is free within a second");
    end_other(0);
    return end_for_volumes();
}
