/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A small but whole host of libblkgluster: loads it, registers with it, and leads images through their
 * lives, checking every byte. main() at the end says how to run it; scripts/demo runs it on a cluster. */
#define _GNU_SOURCE
#include "blkgluster.h"

#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DEPTH 32 /* requests in flight */
#define MIB (INT64_C(1) << 20)
#define SMALLEST 4096
#define LARGEST MIB
#define MOST_PIECES 8
#define PATIENCE_MS 120000 /* a silent brick holds requests for up to two ping-timeouts of 42 s */
#define MIN(a, b) ((a) < (b) ? (a) : (b))

#define FAIL(...) (printf("  FAILED: " __VA_ARGS__), putchar('\n'), false)

/* ---- what the library gets from us: a registry, a log, a poll loop ------- */

static const BlkDriver *drivers[8];
static int driver_count;

static struct watched {
    int fd;
    BlkFdHandler on_readable;
    void *arg;
} watched = { .fd = -1 }; /* one image is open at a time; other hosts keep a table */

static int register_driver(void *opaque, const BlkDriver *drv)
{
    (void)opaque;
    if (drv->abi_version != BLK_ABI_VERSION || drv->struct_size < sizeof(*drv) || driver_count == 8)
        return -EINVAL;
    drivers[driver_count++] = drv;
    return 0;
}

static void report(void *opaque, int level, const char *message)
{
    static const char *const levels[] = { "error", "warning", "note", "trace" };

    (void)opaque;
    printf("  %s: %s\n", levels[MIN(level, BLK_REPORT_DEBUG)], message);
}

static int set_fd_handler(void *opaque, BlkState *bs, int fd, BlkFdHandler on_readable, void *arg)
{
    (void)opaque, (void)bs;
    watched = (struct watched){ on_readable ? fd : -1, on_readable, arg };
    return 0;
}

static void poll_once(void)
{
    struct pollfd p = { .fd = watched.fd, .events = POLLIN };
    int ready = poll(&p, 1, PATIENCE_MS);

    if (ready == 0) {
        printf("  FAILED: no answer for %d s\n", PATIENCE_MS / 1000);
        exit(1); /* close would wait for the answers */
    }
    if (ready > 0)
        watched.on_readable(watched.arg); /* calls finished() */
}

/* ---- what an image has to contain ---------------------------------------- */

struct image {
    BlkState bs;
    uint64_t key;           /* of its pattern: from URI and seed */
    int64_t hole, hole_end; /* was discarded: zeros */
    int64_t pattern_end;    /* zeros from here on; all three are multiples of 8 */
};

static uint64_t mix(uint64_t x) /* splitmix64 */
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* Every 8 bytes depend on image, seed and offset: data of another place, image or run is wrong data. */
static void expect(const struct image *image, char *buffer, int64_t offset, int64_t length)
{
    int64_t end = offset + length;

    while (offset < end) {
        int64_t skip = offset % 8, n = MIN(8 - skip, end - offset);
        bool zeros = offset >= image->pattern_end || (offset >= image->hole && offset < image->hole_end);
        uint64_t word = zeros ? 0 : mix(image->key ^ mix((uint64_t)offset / 8));

        memcpy(buffer, (char *)&word + skip, (size_t)n);
        buffer += n;
        offset += n;
    }
}

static bool check(const struct image *image, const char *got, int64_t offset, int64_t length)
{
    static char want[LARGEST];
    int64_t i = 0;

    expect(image, want, offset, length);
    if (memcmp(got, want, (size_t)length) == 0)
        return true;
    while (got[i] == want[i])
        i++;
    return FAIL("WRONG DATA at offset %lld: 0x%02x instead of 0x%02x", (long long)(offset + i),
                (unsigned char)got[i], (unsigned char)want[i]);
}

/* ---- requests: a batch covers a range, DEPTH of them in flight ----------- */

enum kind { WRITE, READ, DISCARD, FLUSH };

struct batch {
    enum kind kind;
    struct image *image;
    int64_t at, end; /* what is still to be submitted */
    uint64_t random;
    int64_t requests, in_flight;
    bool failed;
};

struct request {
    struct batch *batch;
    int64_t offset, length;
    struct iovec pieces[MOST_PIECES];
    int piece_count;
    char buffer[LARGEST];
};

/* Half of them are powers of two. Writes, in sectors, and reads, in bytes, are cut differently. */
static int64_t choose_length(struct batch *batch)
{
    uint64_t dice = batch->random = mix(batch->random);
    int64_t unit = batch->kind == WRITE ? BLK_SECTOR_SIZE : 1;
    int64_t length = SMALLEST << dice % 9;

    if (dice & 1 << 10 && length < LARGEST)
        length += (int64_t)(dice >> 11) % length / unit * unit;
    return MIN(length, batch->end - batch->at);
}

/* The first piece lies last in memory: a driver that took the pieces for one buffer would be found out. */
static void cut_to_pieces(struct request *r)
{
    int64_t left = r->length;

    r->piece_count = 1 + (int)((r->batch->random >> 32) % MOST_PIECES);
    for (int i = 0; i < r->piece_count; i++) {
        int64_t size = i < r->piece_count - 1 ? r->length / r->piece_count - i : left;

        left -= size;
        r->pieces[i] = (struct iovec){ r->buffer + left, (size_t)size };
    }
}

static bool fill_or_check(struct request *r)
{
    int64_t offset = r->offset;
    bool ok = true;

    for (int i = 0; i < r->piece_count && ok; i++) {
        char *base = r->pieces[i].iov_base;
        int64_t length = (int64_t)r->pieces[i].iov_len;

        if (r->batch->kind == WRITE)
            expect(r->batch->image, base, offset, length);
        else
            ok = check(r->batch->image, base, offset, length);
        offset += length;
    }
    return ok;
}

static void finished(void *opaque, int ret);

static void submit(struct request *r)
{
    struct batch *batch = r->batch;
    BlkState *bs = &batch->image->bs;
    const BlkDriver *drv = bs->drv;
    BlkAiocb *handle = NULL;

    r->offset = batch->at;
    r->length = batch->kind <= READ ? choose_length(batch) : batch->end - batch->at;
    batch->at += r->length;
    switch (batch->kind) {
    case WRITE:
        cut_to_pieces(r);
        fill_or_check(r);
        handle = drv->aio_writev(bs, r->offset / BLK_SECTOR_SIZE, r->pieces, r->piece_count,
                                 (int)(r->length / BLK_SECTOR_SIZE), finished, r);
        break;
    case READ:
        cut_to_pieces(r);
        memset(r->buffer, 0xee, (size_t)r->length); /* the right bytes may be there from before */
        handle = drv->aio_preadv(bs, r->offset, r->length, r->pieces, r->piece_count, 0, finished, r);
        break;
    case DISCARD:
        handle = drv->aio_pdiscard(bs, r->offset, r->length, finished, r);
        break;
    case FLUSH:
        handle = drv->aio_flush(bs, finished, r);
        break;
    }
    batch->failed |= !handle; /* report() had the reason */
    batch->in_flight += handle != NULL;
    batch->requests++;
}

static void finished(void *opaque, int ret)
{
    struct request *r = opaque;
    struct batch *batch = r->batch;

    batch->in_flight--;
    if (batch->failed)
        return; /* the first failure says it all */
    if (ret < 0)
        batch->failed = !FAIL("request at offset %lld: %s", (long long)r->offset, strerror(-ret));
    else if (batch->kind == READ)
        batch->failed = !fill_or_check(r);
    if (batch->at < batch->end && !batch->failed)
        submit(r);
}

/* ---- the life of an image ------------------------------------------------ */

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void show(const char *step, double start, int64_t bytes, int64_t requests, const char *note)
{
    double seconds = now() - start;

    printf("  %-8s %10.1f ms", step, seconds * 1e3);
    if (bytes > 0)
        printf("  %5lld MiB", (long long)(bytes / MIB));
    if (requests > 1)
        printf("  %5lld requests %6.0f MB/s %6.0f IOPS", (long long)requests, (double)bytes / seconds / 1e6,
               (double)requests / seconds);
    printf("  %s\n", note);
}

static bool run(struct image *image, enum kind kind, const char *step, int64_t from, int64_t to,
                const char *note)
{
    static struct request requests[DEPTH];
    struct batch batch = { .kind = kind, .image = image, .at = from, .end = to, .random = image->key + kind };
    double start = now(), shown = start;

    for (int i = 0; i < DEPTH && batch.at < batch.end && !batch.failed; i++) {
        requests[i].batch = &batch;
        submit(&requests[i]);
    }
    while (batch.in_flight > 0) {
        poll_once();
        if (kind <= READ && isatty(STDERR_FILENO) && now() > shown + 0.1) {
            shown = now();
            fprintf(stderr, "  %-8s %10d %%\r", step, (int)((batch.at - from) * 100 / (to - from)));
        }
    }
    if (!batch.failed)
        show(step, start, kind == FLUSH ? 0 : to - from, batch.requests, note);
    return !batch.failed;
}

static bool discard(struct image *image, int64_t from, int64_t to)
{
    int64_t before = image->bs.drv->get_allocated_file_size(&image->bs), after;

    if (!run(image, DISCARD, "discard", from, to, "in the middle"))
        return false;
    image->hole = from;
    image->hole_end = to;
    after = image->bs.drv->get_allocated_file_size(&image->bs);
    printf("           allocated: %lld MiB before, %lld MiB after\n", (long long)(before / MIB),
           (long long)(after / MIB));
    return (after >= 0 && before - after > (to - from) / 2) || FAIL("the space was not given back");
}

static bool set_length(struct image *image, const char *step, int64_t length)
{
    BlkError error = { .struct_size = sizeof(error) };
    double start = now();
    int64_t found;

    if (image->bs.drv->truncate(&image->bs, length, &error) < 0)
        return FAIL("%s", error.message);
    image->pattern_end = MIN(image->pattern_end, length);
    show(step, start, length, 1, "is the new length");
    found = image->bs.drv->getlength(&image->bs);
    return found == length || FAIL("the length is %lld, not %lld", (long long)found, (long long)length);
}

static bool live(struct image *image, int64_t size)
{
    return run(image, WRITE, "write", 0, size, "a pattern") &&
           run(image, FLUSH, "flush", 0, 1, "now it is on stable storage") &&
           run(image, READ, "verify", 0, size, "every byte as written") &&
           discard(image, size / 4, size / 4 * 3) &&
           set_length(image, "grow", size + size / 4) &&
           run(image, READ, "verify", 0, size + size / 4, "zeros in the hole and at the end") &&
           set_length(image, "shrink", size / 8 + BLK_SECTOR_SIZE) &&
           run(image, READ, "verify", 0, size / 8 + MIB, "zeros beyond the end");
}

static bool demonstrate(const char *uri, int64_t size, uint64_t seed)
{
    char digits[24];
    const BlkOption create_options[] = { { "size", digits }, { NULL, NULL } };
    const BlkOption open_options[] = { { "filename", uri }, { NULL, NULL } };
    struct image image = { .bs.struct_size = sizeof(image.bs), .key = seed, .pattern_end = size };
    BlkError error = { .struct_size = sizeof(error) };
    size_t scheme = strcspn(uri, ":");
    double start = now();
    bool ok;

    printf("%s\n", uri);
    for (int i = 0; i < driver_count; i++) {
        if (strlen(drivers[i]->protocol_name) == scheme && !strncmp(drivers[i]->protocol_name, uri, scheme))
            image.bs.drv = drivers[i];
    }
    if (!image.bs.drv)
        return FAIL("no driver for this protocol");
    for (const char *c = uri; *c; c++)
        image.key = mix(image.key ^ (unsigned char)*c);
    snprintf(digits, sizeof(digits), "%lld", (long long)size);
    if (image.bs.drv->create(uri, create_options, &error) < 0)
        return FAIL("%s", error.message);
    show("create", start, size, 1, "of zeros");

    image.bs.opaque = calloc(1, image.bs.drv->instance_size);
    start = now();
    if (image.bs.drv->open(&image.bs, open_options, BLK_O_RDWR, &error) < 0) {
        free(image.bs.opaque);
        return FAIL("%s", error.message);
    }
    show("open", start, 0, 1, "connected");
    ok = live(&image, size);
    start = now();
    image.bs.drv->close(&image.bs);
    show("close", start, 0, 1, "the connection ends in the background");
    free(image.bs.opaque);
    return ok;
}

int main(int argc, char **argv)
{
    static const BlkHost host = {
        .struct_size = sizeof(host),
        .abi_version = BLK_ABI_VERSION,
        .register_driver = register_driver,
        .set_fd_handler = set_fd_handler,
        .report = report,
    };
    int64_t size = argc > 2 ? strtoll(argv[2], NULL, 10) * MIB : 0;
    int (*init)(const BlkHost *);
    void *library;
    bool ok = true;
    int ret;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc < 5 || size < 16 * MIB) {
        printf("usage: %s LIBRARY MIB SEED URI...\n"
               "Makes an image of MIB (16 or more) MiB at each URI with LIBRARY (libblkgluster.so).\n"
               "SEED is a number that shapes the pattern and the requests. Exit code 0: every byte was right.\n",
               argv[0]);
        return 2;
    }
    library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    init = library ? (int (*)(const BlkHost *))dlsym(library, "blkgluster_init") : NULL;
    if (!init)
        return !FAIL("%s", dlerror());
    ret = init(&host);
    if (ret < 0)
        return !FAIL("blkgluster_init: %s", strerror(-ret));
    for (int i = 4; i < argc; i++)
        ok = demonstrate(argv[i], size, strtoull(argv[3], NULL, 10)) && ok;
    return !ok;
}
