/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Scattered buffers: any number of elements, empty ones, requests of no bytes at all. */
#include "on_fake.h"

enum { ELEMENTS = 40000, MOST = 32768 };

static struct img img;

/* Elements of `size` bytes each, or of 1 to `size` bytes when `uneven`, with a gap after each. */
struct scattered {
    unsigned char *memory;
    struct iovec *iov;
    int count;
    int64_t bytes;
};

static struct scattered scatter(int count, size_t size, bool uneven)
{
    struct scattered it;
    unsigned char *at;
    int i;

    it.memory = at = t_alloc((size_t)count * (size + 1));
    it.iov = t_alloc((size_t)count * sizeof(*it.iov));
    it.count = count;
    it.bytes = 0;
    for (i = 0; i < count; i++) {
        it.iov[i].iov_base = at;
        it.iov[i].iov_len = uneven ? 1 + (size_t)i * 7919 % size : size;
        it.bytes += (int64_t)it.iov[i].iov_len;
        at += it.iov[i].iov_len;
        *at++ = 0x5a;
    }
    return it;
}

static void drop(struct scattered *it)
{
    free(it->memory);
    free(it->iov);
}

static void put(struct scattered *it, uint64_t seed, int64_t offset)
{
    int i;

    for (i = 0; i < it->count; i++) {
        if (seed)
            pattern_fill(it->iov[i].iov_base, it->iov[i].iov_len, seed, offset);
        else
            memset(it->iov[i].iov_base, 0xaa, it->iov[i].iov_len);
        offset += (int64_t)it->iov[i].iov_len;
    }
}

/* Every element holds its part of the image, and nothing between them was touched. */
static bool check(struct scattered *it, uint64_t seed, int64_t offset)
{
    int i;

    for (i = 0; i < it->count; i++) {
        if (!pattern_check(it->iov[i].iov_base, it->iov[i].iov_len, seed, offset))
            return false;
        if (((unsigned char *)it->iov[i].iov_base)[it->iov[i].iov_len] != 0x5a)
            return fail("the byte behind element %d was touched", i);
        offset += (int64_t)it->iov[i].iov_len;
    }
    return true;
}

static void round_trip(const char *what, int count, size_t size, bool uneven, uint64_t seed)
{
    struct scattered it = scatter(count, size, uneven);
    struct iovec *array = t_alloc((size_t)it.count * sizeof(*array));
    struct io io = {0};

    put(&it, seed, 4096);
    memcpy(array, it.iov, (size_t)it.count * sizeof(*array));
    ok(io_pwritev(&io, &img, array, it.count, it.bytes, 4096), "%s: a write is accepted", what);
    /* The array is the host's again. */
    memset(array, 0xff, (size_t)it.count * sizeof(*array));
    is(io_wait(&io), 0, "%s: written", what);
    put(&it, 0, 0);
    memcpy(array, it.iov, (size_t)it.count * sizeof(*array));
    ok(io_preadv(&io, &img, array, it.count, it.bytes, 4096), "%s: a read is accepted", what);
    memset(array, 0xff, (size_t)it.count * sizeof(*array));
    ok(io_wait(&io) == 0 && check(&it, seed, 4096), "%s: read", what);
    free(array);
    drop(&it);
}

static void empty_elements(void)
{
    char data[4096], copy[4096];
    struct iovec iov[7];
    struct io io = {0};

    memset(iov, 0, sizeof(iov)); /* an empty element may be anywhere, NULL included */
    iov[1].iov_base = data;
    iov[1].iov_len = 1000;
    iov[2].iov_base = data;
    iov[4].iov_base = data + 1000;
    iov[4].iov_len = 3096;
    iov[5].iov_base = (void *)(intptr_t)1;
    pattern_fill(data, sizeof(data), 9, 0);
    io_pwritev(&io, &img, iov, 7, 4096, 0);
    is(io_wait(&io), 0, "a write with empty elements");
    memcpy(copy, data, sizeof(data));
    memset(data, 0, sizeof(data));
    io_preadv(&io, &img, iov, 7, 4096, 0);
    ok(io_wait(&io) == 0 && !memcmp(copy, data, sizeof(data)), "a read with empty elements");
    fake_once(FAKE_PREADV_ASYNC, FAKE_SHORT, 0, 3500);
    memset(data, 0, sizeof(data));
    io_preadv(&io, &img, iov, 7, 4096, 0);
    ok(io_wait(&io) == 0 && !memcmp(copy, data, sizeof(data)), "a short read with empty elements");
}

/* libgfapi answers zero bytes with EINVAL, so they must not get there; the callback is as late as any. */
static void no_bytes(void)
{
    static const int64_t offsets[] = {0, 1, 4096, INT64_C(1) << 40, INT64_C(1) << 52};
    struct iovec empty[3];
    uint64_t before = fake_counted().submitted;
    int64_t length = img.drv->getlength(&img.bs);
    struct io io = {0};
    char byte;
    unsigned i;

    memset(empty, 0, sizeof(empty));
    empty[1].iov_base = &byte;
    for (i = 0; i < T_COUNT(offsets); i++) {
        ok(io_preadv(&io, &img, NULL, 0, 0, offsets[i]) && io.done == 0, "a read of no bytes at %lld is accepted",
           (long long)offsets[i]);
        is(io_wait(&io), 0, "... and succeeds");
        ok(io_pwritev(&io, &img, NULL, 0, 0, offsets[i]) && io.done == 0, "a write of no bytes is accepted");
        is(io_wait(&io), 0, "... and succeeds");
        ok(io_discard(&io, &img, 0, offsets[i]) && io.done == 0, "a discard of no bytes is accepted");
        is(io_wait(&io), 0, "... and succeeds");
    }
    ok(io_pwritev(&io, &img, empty, 3, 0, 100), "a write of three empty elements is accepted");
    is(io_wait(&io), 0, "... and succeeds");
    io_begin(&io, &img);
    ok(io_end(&io, img.drv->aio_readv(&img.bs, 3, NULL, 0, 0, io_done, &io)), "a read of no sectors is accepted");
    is(io_wait(&io), 0, "... and succeeds");
    is(fake_counted().submitted, before, "none of them went to libgfapi");
    is(img.drv->getlength(&img.bs), length, "none of them changed the length");
}

/* Parts of an O_DIRECT request begin and end at block boundaries, however the elements lie. */
static void aligned_cuts(void)
{
    struct scattered it = scatter(ELEMENTS, 61, true);
    int64_t rest = 4096 - it.bytes % 4096;
    struct img direct;
    struct io io = {0};

    it.iov[it.count - 1].iov_base = t_alloc((size_t)rest + it.iov[it.count - 1].iov_len);
    it.iov[it.count - 1].iov_len += (size_t)rest;
    it.bytes += rest;
    memset(it.iov[it.count - 1].iov_base, 0, it.iov[it.count - 1].iov_len);
    is(img_open(&direct, fake_uri("vol", "iovec"), BLK_O_RDWR | BLK_O_NOCACHE, NULL), 0, "opened with O_DIRECT");
    fake.set_alignment(4096);
    put(&it, 3, 8192);
    io_pwritev(&io, &direct, it.iov, it.count, it.bytes, 8192);
    is(io_wait(&io), 0, "40000 uneven elements are written in aligned parts");
    fake.set_alignment(0);
    img_close(&direct);
    free(it.iov[it.count - 1].iov_base);
    drop(&it);
}

int main(void)
{
    fake_begin("scattered buffers of any shape");
    fake_open(&img, "iovec", 0);
    round_trip("one element", 1, 10000, false, 1);
    round_trip("1024 elements", 1024, 512, true, 2);
    round_trip("32768 elements", MOST, 8, false, 3);
    round_trip("32769 elements", MOST + 1, 8, false, 4);
    round_trip("40000 elements of 1 to 64 bytes", ELEMENTS, 64, true, 5);
    round_trip("40000 elements, 20 MB together", ELEMENTS, 500, false, 6);
    round_trip("100000 elements of 1 byte", 100000, 1, false, 7);
    ok(fake_counted().max_iovcnt[FAKE_PWRITEV_ASYNC] <= MOST, "no write had more than 32768 elements");
    ok(fake_counted().max_iovcnt[FAKE_PREADV_ASYNC] <= MOST, "no read had more than 32768 elements");
    empty_elements();
    no_bytes();
    aligned_cuts();
    img_close(&img);
    return fake_end();
}
