/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "workload.h"

#define MOST_SLOTS 128
#define HANG_SECONDS 60

enum kind { READ, WRITE, DISCARD, FLUSH };

static const char *const kinds[] = {"read", "write", "discard", "flush"};

struct past {
    enum kind kind;
    int64_t offset, bytes;
};

struct slot {
    struct io io;
    struct workload *w;
    struct past ask;
    unsigned number; /* from 1 on */
    unsigned waits_for;
    bool used, sent;
    unsigned char *data;
    struct iovec iov[8];
    int iovcnt;
};

struct workload {
    struct img img;
    char uri[1024];
    const char *mode, *how;
    uint64_t seed, random;
    unsigned depth, sent, used, number, waited;
    int64_t length, most;
    unsigned char *model;
    struct past *log;
    size_t log_room;
    struct slot slots[MOST_SLOTS];
    bool wrong;
};

/* ---- what is wrong ------------------------------------------------------------------------------------------- */

static bool touches(const struct past *a, int64_t offset, int64_t bytes)
{
    return a->kind != FLUSH && a->offset < offset + bytes && offset < a->offset + a->bytes;
}

/* The requests that an unexpected byte may come from. */
static void tell_history(const struct workload *w, int64_t place, unsigned before)
{
    unsigned left = 8;

    for (; before > 0 && left > 0; before--) {
        const struct past *past = &w->log[before];

        if (past->kind != READ && touches(past, place, 1)) {
            t_say("  before it, op %u: %s of %lld at %lld", before, kinds[past->kind], (long long)past->bytes,
                  (long long)past->offset);
            left--;
        }
    }
}

static void tell(struct workload *w, const struct past *ask, unsigned number, const char *what)
{
    w->wrong = true;
    fail("%s", what);
    t_say("seed %llu, op %u: %s of %lld bytes at %lld (length %lld); repeat it with: %s", (unsigned long long)w->seed,
          number, kinds[ask->kind], (long long)ask->bytes, (long long)ask->offset, (long long)w->length, w->how);
}

static bool compare(struct workload *w, const struct past *ask, unsigned number, const unsigned char *data)
{
    const unsigned char *wanted = w->model + ask->offset;
    int64_t i, first = -1, last = -1, bad = 0, zero = 0;
    char text[256];

    if (!memcmp(wanted, data, (size_t)ask->bytes))
        return true;
    for (i = 0; i < ask->bytes; i++)
        if (wanted[i] != data[i]) {
            first = first < 0 ? i : first;
            last = i;
            bad++;
            zero += !data[i];
        }
    snprintf(text, sizeof(text), "%lld bytes differ (%lld of them are zero), from %lld to %lld: first expected %#x, got %#x",
             (long long)bad, (long long)zero, (long long)(ask->offset + first), (long long)(ask->offset + last),
             wanted[first], data[first]);
    tell(w, ask, number, text);
    tell_history(w, ask->offset + first, number);
    return false;
}

/* ---- one request --------------------------------------------------------------------------------------------- */

static bool conflict(const struct past *a, const struct past *b)
{
    return (a->kind != READ || b->kind != READ) && b->kind != FLUSH && touches(a, b->offset, b->bytes);
}

static void expect(struct workload *w, const struct slot *slot)
{
    const struct past *ask = &slot->ask;
    int64_t end = ask->offset + ask->bytes;

    if (ask->kind == WRITE) {
        memcpy(w->model + ask->offset, slot->data, (size_t)ask->bytes);
        w->length = end > w->length ? end : w->length;
    } else if (ask->kind == DISCARD) {
        memset(w->model + ask->offset, 0, (size_t)ask->bytes);
    }
}

static void send(struct slot *slot)
{
    struct workload *w = slot->w;
    const struct past *ask = &slot->ask;
    bool accepted = false;

    slot->sent = true;
    w->sent++;
    expect(w, slot);
    switch (ask->kind) {
    case READ:
        memset(slot->data, 0xA5, (size_t)ask->bytes);
        accepted = io_preadv(&slot->io, &w->img, slot->iov, slot->iovcnt, ask->bytes, ask->offset);
        break;
    case WRITE:
        accepted = io_pwritev(&slot->io, &w->img, slot->iov, slot->iovcnt, ask->bytes, ask->offset);
        break;
    case DISCARD:
        accepted = io_discard(&slot->io, &w->img, ask->bytes, ask->offset);
        break;
    case FLUSH:
        accepted = io_flush(&slot->io, &w->img);
        break;
    }
    if (!accepted)
        t_die("a %s was refused: %s", kinds[ask->kind], strerror(-slot->io.ret));
}

static void finished(struct io *io)
{
    struct slot *slot = io->arg;
    struct workload *w = slot->w;
    unsigned i;

    w->sent--;
    if (io->ret < 0)
        tell(w, &slot->ask, slot->number, strerror(-io->ret));
    else if (slot->ask.kind == READ)
        compare(w, &slot->ask, slot->number, slot->data);
    free(slot->data);
    slot->data = NULL;
    slot->used = false;
    w->used--;
    for (i = 0; i < MOST_SLOTS; i++) {
        struct slot *other = &w->slots[i];

        if (other->used && !other->sent && other->number > slot->number && conflict(&slot->ask, &other->ask) &&
            --other->waits_for == 0)
            send(other);
    }
}

/* ---- random requests ----------------------------------------------------------------------------------------- */

static int64_t pick(struct workload *w, int64_t limit)
{
    return random_below(&w->random, limit);
}

static int64_t pick_size(struct workload *w)
{
    int64_t lot = pick(w, 10000);

    return 1 + pick(w, lot < 7000   ? 4096
                       : lot < 9000 ? 16384
                       : lot < 9800 ? 65536
                       : lot < 9970 ? 262144
                       : lot < 9998 ? MiB
                                    : 9 * MiB);
}

static int64_t pick_place(struct workload *w, int64_t bytes)
{
    static const int64_t steps[] = {4096, 512, 1};
    int64_t lot = pick(w, 100), place;

    if (lot < 40)
        place = pick(w, w->most / SHARD) * SHARD + pick(w, 16384) - 8192 - bytes / 2;
    else if (lot < 60)
        place = pick(w, 3) * (w->most / 3) + SHARD - 16384 + pick(w, 32768);
    else if (lot < 65)
        place = w->length + pick(w, 65536) - 49152;
    else
        place = pick(w, w->most);
    place = place / steps[lot % 3] * steps[lot % 3];
    place = place < 0 ? 0 : place;
    return place + bytes > w->most ? w->most - bytes : place;
}

static void cut(struct slot *slot)
{
    struct workload *w = slot->w;
    int64_t done = 0, bytes = slot->ask.bytes;
    int elements = pick(w, 4) ? 1 : 1 + (int)pick(w, T_COUNT(slot->iov));

    slot->iovcnt = 0;
    while (slot->iovcnt < elements) {
        int64_t piece = slot->iovcnt == elements - 1 ? bytes - done : pick(w, bytes - done + 1);

        slot->iov[slot->iovcnt].iov_base = slot->data + done;
        slot->iov[slot->iovcnt++].iov_len = (size_t)piece;
        done += piece;
    }
}

static void invent(struct slot *slot)
{
    struct workload *w = slot->w;
    struct past *ask = &slot->ask;
    int64_t lot = pick(w, 100);

    slot->number = ++w->number;
    memset(ask, 0, sizeof(*ask));
    ask->kind = lot < 40 ? READ : lot < 84 ? WRITE : lot < 97 ? DISCARD : FLUSH;
    if (ask->kind != FLUSH) {
        ask->bytes = pick_size(w);
        ask->offset = pick_place(w, ask->bytes);
    }
    if (ask->kind == READ || ask->kind == WRITE) {
        slot->data = t_alloc((size_t)ask->bytes);
        cut(slot);
    }
    if (ask->kind == WRITE)
        pattern_fill(slot->data, (size_t)ask->bytes, w->seed + slot->number, ask->offset);
    if (w->log_room <= w->number) {
        w->log_room = w->log_room * 2 + 1024;
        w->log = realloc(w->log, w->log_room * sizeof(*w->log));
        if (!w->log)
            t_die("no memory");
    }
    w->log[w->number] = *ask;
}

static void start(struct workload *w)
{
    struct slot *slot = w->slots;
    unsigned i;

    while (slot->used)
        slot++;
    slot->w = w;
    slot->io.then = finished;
    slot->io.arg = slot;
    slot->sent = false;
    slot->waits_for = 0;
    invent(slot);
    for (i = 0; i < MOST_SLOTS; i++)
        slot->waits_for += w->slots[i].used && conflict(&w->slots[i].ask, &slot->ask);
    slot->used = true;
    w->used++;
    w->waited += slot->waits_for > 0;
    if (!slot->waits_for)
        send(slot);
}

/* ---- many ---------------------------------------------------------------------------------------------------- */

struct room {
    const struct workload *w;
    unsigned sent, used;
};

static bool has_room(void *arg)
{
    const struct room *room = arg;

    return room->w->sent < room->sent && room->w->used < room->used;
}

static void wait_for_room(struct workload *w, unsigned sent, unsigned used)
{
    struct room room;

    room.w = w;
    room.sent = sent;
    room.used = used;
    /* Requests that do not end would write to memory that is gone. */
    if (!run_until(has_room, &room, HANG_SECONDS))
        t_die("%u requests (%u of them waiting) hang after op %u; %s", w->used, w->used - w->sent, w->number, w->how);
}

bool workload_run(struct workload *w, unsigned requests)
{
    while (requests-- > 0 && !w->wrong) {
        wait_for_room(w, w->depth, MOST_SLOTS);
        start(w);
    }
    return !w->wrong;
}

bool workload_rest(struct workload *w)
{
    wait_for_room(w, 1, 1);
    return !w->wrong;
}

bool workload_truncate(struct workload *w, int64_t length)
{
    int ret = w->img.drv->truncate(&w->img.bs, length, &w->img.error);
    int64_t got;

    if (ret < 0) {
        w->wrong = true;
        return fail("truncate to %lld after op %u: %s; %s", (long long)length, w->number, w->img.error.message, w->how);
    }
    if (length < w->length)
        memset(w->model + length, 0, (size_t)(w->length - length));
    w->length = length;
    got = w->img.drv->getlength(&w->img.bs);
    if (got != length) {
        w->wrong = true;
        is(got, length, "the length after truncate, op %u; %s", w->number, w->how);
    }
    return !w->wrong;
}

static void open_image(struct workload *w)
{
    if (img_open(&w->img, w->uri, BLK_O_RDWR, "write-cache", w->mode, NULL) < 0)
        t_die("cannot open %s: %s", w->uri, w->img.error.message);
}

bool workload_reopen(struct workload *w)
{
    if (flush_sync(&w->img) < 0) {
        w->wrong = true;
        fail("flush before a close after op %u; %s", w->number, w->how);
    }
    img_close(&w->img);
    open_image(w);
    return !w->wrong;
}

bool workload_compare(struct workload *w)
{
    const char *other = !strcmp(w->mode, "on") ? "off" : "on";
    unsigned char *data = t_alloc(MiB);
    struct past ask = {READ, 0, 0};
    struct img img;
    int ret;

    ret = flush_sync(&w->img);
    if (ret < 0) {
        w->wrong = true;
        is(ret, 0, "flush after op %u; %s", w->number, w->how);
    }
    if (img_open(&img, w->uri, 0, "write-cache", other, NULL) < 0)
        t_die("cannot open %s once more: %s", w->uri, img.error.message);
    if (img.drv->getlength(&img.bs) != w->length) {
        w->wrong = true;
        is(img.drv->getlength(&img.bs), w->length, "the length after op %u through another connection; %s", w->number,
           w->how);
    }
    for (; ask.offset < w->most && !w->wrong; ask.offset += ask.bytes) {
        ask.bytes = w->most - ask.offset < MiB ? w->most - ask.offset : MiB;
        memset(data, 0xA5, (size_t)ask.bytes);
        ret = pread_sync(&img, data, ask.bytes, ask.offset);
        if (ret < 0)
            tell(w, &ask, w->number, strerror(-ret));
        else
            compare(w, &ask, w->number, data);
    }
    img_close(&img);
    free(data);
    return !w->wrong;
}

struct workload *workload_open(const char *uri, const char *mode, uint64_t seed, unsigned depth, int64_t most,
                               const char *how)
{
    struct workload *w = calloc(1, sizeof(*w));

    if (!w || depth * 2 > MOST_SLOTS)
        t_die("no memory, or depth %u", depth);
    snprintf(w->uri, sizeof(w->uri), "%s", uri);
    w->mode = mode;
    w->how = how;
    w->seed = w->random = seed;
    w->depth = depth;
    w->most = most;
    w->model = calloc(1, (size_t)most);
    if (!w->model)
        t_die("no memory");
    open_image(w);
    w->length = w->img.drv->getlength(&w->img.bs);
    return w;
}

struct img *workload_image(struct workload *w)
{
    return &w->img;
}

int64_t workload_length(const struct workload *w)
{
    return w->length;
}

unsigned workload_done(const struct workload *w)
{
    return w->number;
}

unsigned workload_waited(const struct workload *w)
{
    return w->waited;
}

void workload_close(struct workload *w)
{
    img_close(&w->img);
    free(w->model);
    free(w->log);
    free(w);
}
