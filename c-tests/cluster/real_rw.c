/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "volumes.h"

/* ---- one image against a copy of it in memory ---------------------------------------------------------------- */

#define MODEL (9 * MiB)

static bool same(struct img *img, const unsigned char *model, int64_t bytes, int64_t offset)
{
    unsigned char *buffer = t_alloc((size_t)bytes);
    bool good;

    memset(buffer, 0xA5, (size_t)bytes);
    good = pread_sync(img, buffer, bytes, offset) == 0 && !memcmp(buffer, model + offset, (size_t)bytes);
    free(buffer);
    return good;
}

static bool put(struct img *img, unsigned char *model, int64_t bytes, int64_t offset)
{
    static uint64_t seed = 100;

    pattern_fill(model + offset, (size_t)bytes, ++seed, offset);
    return pwrite_sync(img, model + offset, bytes, offset) == 0;
}

/* The edges of sectors, blocks, pages, stripes (disp: 1 KiB) and shards (4 MiB), and what lies across them. */
static void edges(const char *volume)
{
    static const struct {
        int64_t bytes, offset;
    } cases[] = {{512, 0},          {512, 512},         {4096, 4096},          {65536, 131072},       {MiB, MiB},
                 {1, 0},            {1, 4097},          {2, 511},              {4098, 4095},          {1023, 1},
                 {1025, 1023},      {3 * 512, 512 * 7}, {131071, 3},           {2, 4 * MiB - 1},      {1, 4 * MiB},
                 {1, 8 * MiB - 1},  {513, 8 * MiB - 1}, {5 * MiB, 3 * MiB + 7}, {4 * MiB, 4 * MiB},   {4 * MiB + 2, 4 * MiB - 1},
                 {1, MODEL - 1},    {777, MODEL - 777}, {MODEL - 2, 1}};
    const char *uri = cluster_uri(volume, "rw-edges");
    unsigned char *model = calloc(1, MODEL);
    uint64_t random = 5;
    struct img img;
    bool good = true;
    unsigned i;

    make_and_open(&img, uri, "9M", "on");
    ok(same(&img, model, MODEL, 0), "%s: a new image reads as zero", volume);
    for (i = 0; i < T_COUNT(cases); i++) {
        int64_t before = cases[i].offset < 512 ? cases[i].offset : 512;
        int64_t after = MODEL - cases[i].offset - cases[i].bytes;

        after = after < 512 ? after : 512;
        ok(put(&img, model, cases[i].bytes, cases[i].offset) &&
               same(&img, model, before + cases[i].bytes + after, cases[i].offset - before),
           "%s: %lld bytes at %lld, and their neighbours", volume, (long long)cases[i].bytes,
           (long long)cases[i].offset);
    }
    for (i = 0; i < 200 && good; i++) {
        int64_t bytes = 1 + random_below(&random, i % 10 ? 20000 : 300000);
        int64_t offset = random_below(&random, MODEL - bytes);

        good = put(&img, model, bytes, offset);
        bytes = 1 + random_below(&random, 100000);
        offset = random_below(&random, MODEL - bytes);
        good = good && same(&img, model, bytes, offset);
    }
    ok(good, "%s: 200 random writes and reads", volume);
    ok(same(&img, model, MODEL, 0), "%s: the whole image", volume);
    is(img.drv->getlength(&img.bs), MODEL, "%s: nothing of that has changed its length", volume);
    img_close(&img);
    if (is(img_open(&img, uri, 0, NULL), 0, "%s: open it read-only", volume)) {
        ok(same(&img, model, MODEL, 0), "%s: the same after closing and opening", volume);
        img_close(&img);
    }
    free(model);
    empty_image(uri);
}

/* ---- vectors ------------------------------------------------------------------------------------------------- */

/* Cuts memory into `count` elements: of `length(i)` bytes; the sum. */
static int64_t cut(struct iovec *iov, int count, unsigned char *memory, size_t (*length)(int))
{
    int64_t sum = 0;
    int i;

    for (i = 0; i < count; i++) {
        iov[i].iov_len = length(i);
        iov[i].iov_base = iov[i].iov_len ? memory + sum : NULL;
        sum += (int64_t)iov[i].iov_len;
    }
    return sum;
}

static size_t odd(int i)
{
    return (size_t)(i * 37 % 129);
}

static size_t zeros(int i)
{
    return i % 3 ? 0 : 4099;
}

static size_t bytes(int i)
{
    (void)i;
    return 1;
}

static size_t eleven(int i)
{
    (void)i;
    return 11;
}

static size_t growing(int i)
{
    return (size_t)i * 1000;
}

static size_t sectors(int i)
{
    (void)i;
    return 512;
}

static void vectors(const char *volume)
{
    static const struct {
        const char *name;
        int count;
        size_t (*length)(int);
    } cases[] = {{"odd elements", 77, odd},          {"elements of no bytes", 31, zeros},
                 {"single bytes", 1023, bytes},      {"1024 elements", 1024, sectors},
                 {"1025 elements", 1025, odd},       {"growing elements, 4.9 MB", 100, growing},
                 {"32769 elements", 32769, bytes},   {"40000 elements", 40000, eleven}};
    const char *uri = cluster_uri(volume, "rw-vectors");
    unsigned char *from = t_alloc(6 * MiB), *to = t_alloc(6 * MiB);
    struct iovec *iov = t_alloc(40000 * sizeof(*iov));
    struct io io = {0};
    struct img img;
    unsigned i;

    make_and_open(&img, uri, "9M", "on");
    for (i = 0; i < T_COUNT(cases); i++) {
        int64_t sum, offset = 4 * MiB - 777 * (int64_t)(i + 1);

        sum = cut(iov, cases[i].count, from, cases[i].length);
        pattern_fill(from, (size_t)sum, i, offset);
        io_pwritev(&io, &img, iov, cases[i].count, sum, offset);
        /* The array is the caller's again at once. */
        memset(iov, 0xFF, (size_t)cases[i].count * sizeof(*iov));
        is(io_wait(&io), 0, "%s: write of %s, %lld bytes", volume, cases[i].name, (long long)sum);
        ok(has_pattern(&img, sum, offset, i), "%s: is what a plain read gives", volume);
        memset(to, 0xA5, (size_t)sum + 1);
        cut(iov, cases[i].count, to, cases[i].length);
        io_preadv(&io, &img, iov, cases[i].count, sum, offset);
        memset(iov, 0xFF, (size_t)cases[i].count * sizeof(*iov));
        is(io_wait(&io), 0, "%s: read of %s", volume, cases[i].name);
        ok(pattern_check(to, (size_t)sum, i, offset) && to[sum] == 0xA5, "%s: is what was written", volume);
    }
    img_close(&img);
    free(iov);
    free(from);
    free(to);
    empty_image(uri);
}

/* ---- the sector calls ---------------------------------------------------------------------------------------- */

static void by_sectors(const char *volume)
{
    const char *uri = cluster_uri(volume, "rw-sectors");
    unsigned char *memory = t_alloc(64 * 512);
    struct iovec iov[3] = {{memory, 100}, {memory + 100, 512 * 3}, {memory + 100 + 512 * 3, 512 * 6 - 100}};
    struct io io = {0};
    struct img img;

    make_and_open(&img, uri, "5M", "on");
    pattern_fill(memory, 9 * 512, 1, 4 * MiB - 3 * 512);
    io_begin(&io, &img);
    io_end(&io, img.drv->aio_writev(&img.bs, 8192 - 3, iov, 3, 9, io_done, &io));
    is(io_wait(&io), 0, "%s: write 9 sectors from sector 8189 on", volume);
    ok(has_pattern(&img, 9 * 512, 4 * MiB - 3 * 512, 1), "%s: the byte calls find them", volume);
    ok(reads_zero(&img, 512, 4 * MiB - 4 * 512) && reads_zero(&img, 512, 4 * MiB + 6 * 512), "%s: and only them",
       volume);
    memset(memory, 0xA5, 64 * 512);
    io_begin(&io, &img);
    io_end(&io, img.drv->aio_readv(&img.bs, 8192 - 3, iov, 3, 9, io_done, &io));
    is(io_wait(&io), 0, "%s: read them", volume);
    ok(pattern_check(memory, 9 * 512, 1, 4 * MiB - 3 * 512) && memory[9 * 512] == 0xA5, "%s: they are right", volume);
    iov[2].iov_len -= 1;
    io_begin(&io, &img);
    ok(!io_end(&io, img.drv->aio_writev(&img.bs, 0, iov, 3, 9, io_done, &io)), "%s: a sum that is a byte short", volume);
    is(io.ret, -EINVAL, "%s: is refused", volume);
    img_close(&img);
    free(memory);
    empty_image(uri);
}

/* ---- the end of the image ------------------------------------------------------------------------------------ */

static void the_end(const char *volume)
{
    const char *uri = cluster_uri(volume, "rw-end");
    const int64_t length = 1000003;
    unsigned char *memory = t_alloc(MiB);
    struct iovec iov = {memory, 512};
    struct io io = {0};
    struct img img;

    make_and_open(&img, uri, "0", "on");
    is(pread_sync(&img, memory, 0, 0), 0, "%s: a read of no bytes", volume);
    is(pwrite_sync(&img, memory, 0, 4096), 0, "%s: a write of no bytes", volume);
    is(img.drv->getlength(&img.bs), 0, "%s: leaves an empty image empty", volume);
    ok(reads_zero(&img, 512, 0) && reads_zero(&img, MiB, 5 * MiB), "%s: an empty image reads as zero", volume);
    ok(write_pattern(&img, length, 0, 1), "%s: a write makes it %lld bytes long", volume, (long long)length);
    is(img.drv->getlength(&img.bs), length, "%s: getlength knows", volume);
    memset(memory, 0xA5, MiB);
    is(pread_sync(&img, memory, 8192, length - 3), 0, "%s: a read across the end", volume);
    ok(pattern_check(memory, 3, 1, length - 3) && all_bytes(memory + 3, 8189, 0) && memory[8192] == 0xA5,
       "%s: gives the last bytes, and zeros", volume);
    memset(memory, 0xA5, 512);
    io_begin(&io, &img);
    io_end(&io, img.drv->aio_readv(&img.bs, length / 512, &iov, 1, 1, io_done, &io));
    is(io_wait(&io), 0, "%s: a read of the last sector, which is not whole", volume);
    ok(pattern_check(memory, length % 512, 1, length / 512 * 512) &&
           all_bytes(memory + length % 512, 512 - length % 512, 0),
       "%s: is filled up with zeros", volume);
    ok(reads_zero(&img, 70000, length) && reads_zero(&img, MiB, INT64_C(1) << 40),
       "%s: zeros only, right at the end and far behind it", volume);
    is(img.drv->getlength(&img.bs), length, "%s: reads do not grow it", volume);

    ok(write_pattern(&img, 5000, length - 100, 2), "%s: a write across the end", volume);
    is(img.drv->getlength(&img.bs), length + 4900, "%s: grows it", volume);
    ok(write_pattern(&img, 700, 9 * MiB + 1, 3), "%s: a write far behind the end", volume);
    is(img.drv->getlength(&img.bs), 9 * MiB + 701, "%s: grows it", volume);
    ok(has_pattern(&img, length - 100, 0, 1) && has_pattern(&img, 5000, length - 100, 2) &&
           reads_zero(&img, 9 * MiB + 1 - length - 4900, length + 4900) && has_pattern(&img, 700, 9 * MiB + 1, 3),
       "%s: all of it is right, and the gap reads as zero", volume);
    img_close(&img);
    free(memory);
    empty_image(uri);
}

/* ---- O_DIRECT ------------------------------------------------------------------------------------------------ */

static void uncached(const char *volume)
{
    const char *uri = cluster_uri(volume, "rw-direct");
    static const struct {
        int64_t bytes, offset;
    } cases[] = {{4096, 1}, {100, 4 * MiB - 50}};
    unsigned char *memory = t_alloc(MiB + 1);
    struct img img;
    unsigned i;

    make_image(uri, "9M");
    if (!is(img_open(&img, uri, BLK_O_RDWR | BLK_O_NOCACHE, NULL), 0, "%s: open with O_DIRECT", volume))
        return;
    /* One byte into the memory: only the place in the image has to be aligned. */
    pattern_fill(memory + 1, MiB, 1, 4 * MiB - 8192);
    is(pwrite_sync(&img, memory + 1, MiB, 4 * MiB - 8192), 0, "%s: an aligned write", volume);
    memset(memory, 0xA5, MiB + 1);
    is(pread_sync(&img, memory + 1, MiB, 4 * MiB - 8192), 0, "%s: an aligned read", volume);
    ok(pattern_check(memory + 1, MiB, 1, 4 * MiB - 8192), "%s: gives it back", volume);
    ok(write_pattern(&img, 20 * MiB, 0, 2) && has_pattern(&img, 20 * MiB, 0, 2),
       "%s: 20 MiB, in more than one part", volume);
    is(img.drv->getlength(&img.bs), 20 * MiB, "%s: which grew it", volume);
    is(flush_sync(&img), 0, "%s: a flush", volume);
    /* Parts of blocks, which O_DIRECT does not take. */
    for (i = 0; i < T_COUNT(cases); i++) {
        int64_t bytes = cases[i].bytes, offset = cases[i].offset;

        pattern_fill(memory, (size_t)bytes, 3, offset);
        is(pwrite_sync(&img, memory, bytes, offset), 0, "%s: a write of %lld bytes at %lld", volume, (long long)bytes,
           (long long)offset);
        memset(memory, 0xA5, (size_t)bytes);
        is(pread_sync(&img, memory, bytes, offset), 0, "%s: ... is read", volume);
        ok(pattern_check(memory, (size_t)bytes, 3, offset), "%s: ... as it was written", volume);
    }
    ok(has_pattern(&img, 8 * MiB, 8 * MiB, 2), "%s: the image goes on working", volume);
    img_close(&img);
    free(memory);
    empty_image(uri);
}

int main(void)
{
    t_begin("a read gives what was written, at every offset, of every length, from any buffers, and zeros past the end");
    load_for_volumes();
    for EACH_VOLUME (volume) {
        edges(*volume);
        vectors(*volume);
        by_sectors(*volume);
        the_end(*volume);
        uncached(*volume);
    }
    return end_for_volumes();
}
