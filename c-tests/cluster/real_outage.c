/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * real_outage [ROUNDS [quorum]]: three images, in plain with write-cache=off and in rep3 with either mode, that stay open while one brick
 * of each volume is killed and started again.
 *
 * quorum: two images, with write-cache=off, and two of rep3's three bricks are killed, so that neither volume can be written to. (With
 * write-cache=on such an outage takes acknowledged writes, and the image is to be opened anew: see real_write_cache.)
 *
 * A block is written by one request at a time, with data that no other write has. A block whose last write failed may
 * hold anything until it is written again; every other one has to hold what was acknowledged last.
 */
#include "volumes.h"

#include <signal.h>

#define BLOCK 4096
#define BLOCKS 512
#define DEPTH 16
#define HANG_SECONDS 40
#define RECOVERY_SECONDS 60

struct disk;

struct lane {
    struct io io;
    struct disk *disk;
    enum { WRITE, READ, FLUSH } kind;
    unsigned block;
    uint64_t serial;
    uint64_t flushed; /* when it was sent; of a flush: what it will be */
    bool busy;
    unsigned char data[BLOCK];
};

/* One write, for the story of a block that is wrong. */
struct event {
    unsigned block;
    int64_t sent, ended;
    int ret;
};

struct disk {
    struct img img;
    char uri[1024];
    const char *volume, *mode;
    uint64_t random, serial, first;
    struct event *log; /* by serial - first */
    uint64_t acked[BLOCKS]; /* serial of the last acknowledged write, 0: none */
    /* Acknowledged writes are numbered; those up to `flushed` were flushed. */
    uint64_t ack[BLOCKS], acks, flushed;
    bool busy[BLOCKS];
    bool failed[BLOCKS]; /* the last write */
    unsigned inflight, writes, errors, late; /* late: acknowledged while the brick was away */
    unsigned old; /* reads of a brick that came back, before the next flush */
    bool away, wrong;
    struct lane lanes[DEPTH];
};

static struct disk disks[3];
static bool quorum;   /* is lost in each round */
static int64_t begun; /* of this round */
#define EACH_DISK(d) (struct disk *d = disks; d < disks + (quorum ? 2 : 3); d++)

static bool has_redundancy(const struct disk *d)
{
    return !quorum && !strcmp(d->volume, "rep3");
}

static const char *const kinds[] = {"write", "read", "flush"};

static void wrong(struct disk *d, const struct lane *lane, const char *what)
{
    if (!d->wrong)
        fail("%s, write-cache=%s: a %s of block %u: %s", d->volume, d->mode, kinds[lane->kind], lane->block, what);
    d->wrong = true;
}

/* ---- one request --------------------------------------------------------------------------------------------- */

static void finished(struct io *io)
{
    struct lane *lane = io->arg;
    struct disk *d = lane->disk;

    lane->busy = false;
    d->inflight--;
    if (io->ret < 0) {
        d->errors++;
        if (has_redundancy(d))
            wrong(d, lane, strerror(-io->ret));
    }
    if (lane->kind == FLUSH) {
        if (io->ret == 0 && lane->flushed > d->flushed)
            d->flushed = lane->flushed;
        return;
    }
    d->busy[lane->block] = false;
    if (lane->kind == READ) {
        if (io->ret == 0 && !pattern_check(lane->data, BLOCK, lane->serial, (int64_t)lane->block * BLOCK)) {
            /* Of a brick that has just come back, and no flush since: README, Limits. */
            if (d->away && !strcmp(d->volume, "rep3") && d->ack[lane->block] > lane->flushed)
                d->old++;
            else
                wrong(d, lane, "not what was acknowledged last");
        }
        return;
    }
    d->failed[lane->block] = io->ret < 0;
    d->log[lane->serial - d->first].ended = now_us();
    d->log[lane->serial - d->first].ret = io->ret;
    if (io->ret == 0) {
        d->acked[lane->block] = lane->serial;
        d->ack[lane->block] = ++d->acks;
        d->late += d->away;
    }
}

static struct lane *free_lane(struct disk *d)
{
    unsigned i;

    for (i = 0; i < DEPTH; i++)
        if (!d->lanes[i].busy)
            return &d->lanes[i];
    return NULL;
}

static uint64_t note(struct disk *d, unsigned block)
{
    uint64_t at = ++d->serial - d->first;

    if (at % 4096 == 1) {
        d->log = realloc(d->log, (at + 4096) * sizeof(*d->log));
        if (!d->log)
            t_die("no memory");
    }
    d->log[at].block = block;
    d->log[at].sent = now_us();
    d->log[at].ended = 0;
    return d->serial;
}

static void start_block(struct disk *d, struct lane *lane, unsigned block, bool write)
{
    int64_t offset = (int64_t)block * BLOCK;
    bool accepted;

    lane->kind = write ? WRITE : READ;
    lane->block = block;
    lane->busy = d->busy[block] = true;
    d->inflight++;
    if (write) {
        d->writes++;
        lane->serial = note(d, block);
        pattern_fill(lane->data, BLOCK, lane->serial, offset);
        accepted = io_pwrite(&lane->io, &d->img, lane->data, BLOCK, offset);
    } else {
        lane->serial = d->acked[block];
        lane->flushed = d->flushed;
        memset(lane->data, 0xA5, BLOCK);
        accepted = io_pread(&lane->io, &d->img, lane->data, BLOCK, offset);
    }
    if (!accepted)
        t_die("%s, write-cache=%s: a request was refused: %s", d->volume, d->mode, strerror(-lane->io.ret));
}

/* One random request, if there is room for it; now and then a flush. */
static void start_some(struct disk *d)
{
    struct lane *lane = free_lane(d);
    unsigned block = (unsigned)random_below(&d->random, BLOCKS);
    int64_t lot = random_below(&d->random, 40);

    if (!lane)
        return;
    if (lot == 0) {
        lane->kind = FLUSH;
        lane->flushed = d->acks;
        lane->busy = true;
        d->inflight++;
        if (!io_flush(&lane->io, &d->img))
            t_die("a flush was refused");
        return;
    }
    while (d->busy[block])
        block = (block + 1) % BLOCKS;
    start_block(d, lane, block, lot < 28 || !d->acked[block] || d->failed[block]);
}

/* ---- all images ---------------------------------------------------------------------------------------------- */

static bool at_rest(void *arg)
{
    (void)arg;
    for EACH_DISK (d)
        if (d->inflight)
            return false;
    return true;
}

static void tell_what_hangs(const struct disk *d)
{
    unsigned i;

    for (i = 0; i < DEPTH; i++)
        if (d->lanes[i].busy)
            t_say("%s, write-cache=%s: a %s of block %u does not end; the last write before it was %sacknowledged", d->volume,
                  d->mode, kinds[d->lanes[i].kind], d->lanes[i].block, d->failed[d->lanes[i].block] ? "not " : "");
}

static void rest(const char *when)
{
    if (run_until(at_rest, NULL, HANG_SECONDS))
        return;
    t_say("%.1f ms after the round began:", (double)(now_us() - begun) / 1e3);
    for EACH_DISK (d)
        tell_what_hangs(d);
    t_die("requests hang %s", when);
}

/* Paced, since requests that fail do so at once. */
static void work_a_little(void)
{
    for EACH_DISK (d)
        start_some(d);
    t_poll(1);
}

static void work(double seconds)
{
    int64_t end = now_us() + (int64_t)(seconds * 1e6);

    while (now_us() < end)
        work_a_little();
}

/* Runs scripts/cluster for the bricks that go, with or without requests meanwhile. */
static void bricks(const char *verb, unsigned rep3_brick, bool busy)
{
    pid_t pids[3];
    int64_t end = now_us() + 150 * INT64_C(1000000);
    unsigned i, count = 0;
    int code;

    pids[count++] = cluster_start("%s plain 1", verb);
    pids[count++] = cluster_start("%s rep3 %u", verb, rep3_brick);
    if (quorum)
        pids[count++] = cluster_start("%s rep3 %u", verb, 1 + rep3_brick % 3);
    for (i = 0; i < count; i++) {
        while (!cluster_ended(pids[i], &code)) {
            if (now_us() > end)
                t_die("%s takes too long", verb);
            if (busy)
                work_a_little();
            else
                t_poll(5);
        }
        if (code)
            t_die("%s: exit code %d", verb, code);
    }
}

/* ---- what has to be there ------------------------------------------------------------------------------------ */

/* Which writes this block has seen lately, and which of them it holds. */
static void tell_story(const struct disk *d, unsigned block, const unsigned char *got)
{
    unsigned char data[BLOCK];
    unsigned left = 8;
    uint64_t at;

    for (at = d->serial - d->first; at > 0 && left > 0; at--) {
        const struct event *event = &d->log[at];

        if (event->block != block)
            continue;
        left--;
        pattern_fill(data, BLOCK, d->first + at, (int64_t)block * BLOCK);
        t_say("  %swrite %llu: sent at %.1f ms, ended after %.1f ms with %d", memcmp(data, got, BLOCK) ? "" : "it holds ",
              (unsigned long long)at, (double)(event->sent - begun) / 1e3, (double)(event->ended - event->sent) / 1e3,
              event->ret);
    }
}

/* Every block but those whose last write failed; how many differ. */
static unsigned compare(struct disk *d, struct img *img, const char *through)
{
    unsigned char *data = t_alloc(BLOCKS * BLOCK);
    unsigned block, bad = 0;
    int ret;

    memset(data, 0xA5, BLOCKS * BLOCK);
    ret = pread_sync(img, data, BLOCKS * BLOCK, 0);
    if (ret < 0) {
        fail("%s, write-cache=%s: cannot read it %s: %s", d->volume, d->mode, through, strerror(-ret));
        bad = BLOCKS;
    }
    for (block = 0; block < BLOCKS && ret == 0; block++) {
        const unsigned char *got = data + block * BLOCK;

        if (d->failed[block])
            continue;
        if (d->acked[block] ? !pattern_check(got, BLOCK, d->acked[block], (int64_t)block * BLOCK)
                            : !all_bytes(got, BLOCK, 0)) {
            bad++;
            t_say("%s, write-cache=%s: block %u %s is not what was acknowledged last", d->volume, d->mode, block, through);
            tell_story(d, block, got);
        }
    }
    free(data);
    return bad;
}

static unsigned compare_twice(struct disk *d)
{
    struct img other;
    unsigned bad = compare(d, &d->img, "through its own image");

    if (img_open(&other, d->uri, 0, "write-cache", !strcmp(d->mode, "on") ? "off" : "on", NULL) < 0)
        t_die("cannot open %s once more: %s", d->uri, other.error.message);
    bad += compare(d, &other, "through another connection");
    img_close(&other);
    return bad;
}

static int flush_at_rest(struct disk *d)
{
    int ret = flush_sync(&d->img);

    if (ret == 0)
        d->flushed = d->acks;
    return ret;
}

static bool flush_at_last(struct disk *d)
{
    int64_t end = now_us() + RECOVERY_SECONDS * INT64_C(1000000);

    while (flush_at_rest(d) != 0) {
        if (now_us() > end)
            return fail("%s, write-cache=%s: no flush succeeds within %d s", d->volume, d->mode, RECOVERY_SECONDS);
        run_for(0.05);
    }
    return true;
}

/* What a host does with writes that failed. */
static unsigned write_again(struct disk *d)
{
    int64_t end = now_us() + RECOVERY_SECONDS * INT64_C(1000000);
    unsigned block, again = 0;

    for (block = 0; block < BLOCKS; block++) {
        again += d->failed[block];
        while (d->failed[block] && now_us() < end) {
            start_block(d, &d->lanes[0], block, true);
            rest("while failed writes are written again");
        }
        if (d->failed[block])
            fail("%s, write-cache=%s: no write succeeds within %d s", d->volume, d->mode, RECOVERY_SECONDS);
    }
    return again;
}

/* ---- one outage ---------------------------------------------------------------------------------------------- */

static void during(struct disk *d)
{
    int ret = flush_at_rest(d);

    if (has_redundancy(d)) {
        is(ret, 0, "%s, write-cache=%s: flush without one brick", d->volume, d->mode);
        is(compare_twice(d), 0, "%s, write-cache=%s: all is there", d->volume, d->mode);
    } else {
        ok(ret < 0, "%s, write-cache=%s: a flush says that it cannot: %s", d->volume, d->mode, strerror(-ret));
    }
}

static void afterwards(struct disk *d)
{
    unsigned again;

    if (!flush_at_last(d))
        return;
    is(compare_twice(d), 0, "%s, write-cache=%s: flushed, and what was acknowledged is there", d->volume, d->mode);
    again = write_again(d);
    if (!flush_at_last(d))
        return;
    is(compare_twice(d), 0, "%s, write-cache=%s: the same after %u failed writes were written again", d->volume, d->mode,
       again);
    t_say("%s, write-cache=%s: so far %u writes, %u of them acknowledged during an outage; %u requests failed, %u reads were old",
          d->volume, d->mode, d->writes, d->late, d->errors, d->old);
}

static void outage(unsigned round)
{
    unsigned brick = 1 + round % 3;

    begun = now_us();
    work(0.2);
    rest("before the outage");
    for EACH_DISK (d)
        is(flush_at_rest(d), 0, "%s, write-cache=%s: round %u: flush before the outage", d->volume, d->mode, round);
    bricks("kill-brick", brick, true);
    t_say("round %u: bricks are gone at %.1f ms", round, (double)(now_us() - begun) / 1e3);
    for EACH_DISK (d)
        d->away = true;
    work(0.3);
    rest("without a brick");
    for EACH_DISK (d)
        during(d);
    work(0.1);
    /* In every other round nobody writes over what waits to be written. */
    if (round % 2 == 0)
        rest("before the brick comes back");
    t_say("round %u: bricks are started at %.1f ms", round, (double)(now_us() - begun) / 1e3);
    bricks("restart-brick", brick, round % 2);
    t_say("round %u: they serve at %.1f ms", round, (double)(now_us() - begun) / 1e3);
    rest("when the brick is back");
    for EACH_DISK (d)
        d->away = false;
    for EACH_DISK (d)
        afterwards(d);
    /* Else the next brick would be the only one that has everything. */
    if (cluster("wait-healed rep3"))
        t_die("rep3 does not heal");
    t_say("round %u took %.1f s", round, (double)(now_us() - begun) / 1e6);
}

static void open_disk(struct disk *d, unsigned number)
{
    unsigned i;

    /* write-cache=on without replicas is real_write_cache's. */
    d->volume = number < 1 ? "plain" : "rep3";
    d->mode = number < 2 ? "off" : "on";
    snprintf(d->uri, sizeof(d->uri), "%s", cluster_uri(d->volume, "outage-%s", d->mode));
    d->random = number + 1;
    /* No two images have a byte in common. */
    d->serial = d->first = (uint64_t)number << 32;
    for (i = 0; i < DEPTH; i++) {
        d->lanes[i].disk = d;
        d->lanes[i].io.arg = &d->lanes[i];
        d->lanes[i].io.then = finished;
    }
    make_image(d->uri, "0");
    make_image(d->uri, "2M");
    if (img_open(&d->img, d->uri, BLK_O_RDWR, "write-cache", d->mode, NULL) < 0)
        t_die("cannot open %s: %s", d->uri, d->img.error.message);
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 5, round, number = 0;
    struct sigaction action;

    quorum = argc > 2 && !strcmp(argv[2], "quorum");
    t_begin("when bricks go and come back, an image that stays open loses nothing that a flush covered, and never hangs");
    allow_seconds(60 + 30 * rounds);
    /* A shell may have had it ignored. */
    signal(SIGPIPE, SIG_DFL);
    t_load();
    cluster_uri("plain", "skipped without a cluster");
    sigaction(SIGPIPE, NULL, &action);
    ok(action.sa_handler == SIG_IGN, "a write to a brick that is gone does not end the process");
    need_healthy();
    for EACH_DISK (d)
        open_disk(d, number++);
    for (round = 0; round < rounds; round++)
        outage(round);
    for EACH_DISK (d) {
        ok(!d->wrong, "%s, write-cache=%s: each answer was right, and failures came from a missing brick only", d->volume,
           d->mode);
        if (has_redundancy(d))
            ok(d->late > 0, "%s, write-cache=%s: writes were acknowledged during outages: %u", d->volume, d->mode, d->late);
    }
    for EACH_DISK (d) {
        img_close(&d->img);
        free(d->log);
        empty_image(d->uri);
    }
    return t_end();
}
