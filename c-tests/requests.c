/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Images, requests and data of the tests. */
#include "harness.h"

#include <stdarg.h>

/* ---- images -------------------------------------------------------------------------------------------------- */

#define MOST_OPTIONS 15

static void prepare(struct img *img, const struct BlkDriver *drv)
{
    memset(img, 0, sizeof(*img));
    img->drv = drv;
    img->owner = pthread_self();
    img->bs.struct_size = sizeof(img->bs);
    img->bs.drv = drv;
    img->bs.host_data = img;
    img->bs.opaque = calloc(1, drv->instance_size);
    if (!img->bs.opaque)
        abort();
    img->error.struct_size = sizeof(img->error);
}

int img_open_raw(struct img *img, const struct BlkDriver *drv, const struct BlkOption *options, uint32_t flags)
{
    int ret;

    prepare(img, drv);
    ret = drv->open(&img->bs, options, flags, &img->error);
    img->is_open = ret == 0;
    if (ret < 0) {
        ok(all_bytes(img->bs.opaque, drv->instance_size, 0), "a failed open leaves opaque zeroed");
        free(img->bs.opaque);
        img->bs.opaque = NULL;
    }
    return ret;
}

const char *t_keep_connection = "0";

static bool has_option(const struct BlkOption *options, unsigned n, const char *name)
{
    while (n--)
        if (strcmp(options[n].name, name) == 0)
            return true;
    return false;
}

int img_open(struct img *img, const char *uri, uint32_t flags, ...)
{
    struct BlkOption options[MOST_OPTIONS + 1];
    const struct BlkDriver *drv = drv_for(uri);
    unsigned n = 0;
    const char *name;
    va_list args;

    if (!drv)
        t_die("no driver for %s", uri);
    memset(options, 0, sizeof(options));
    options[n].name = "filename";
    options[n++].value = uri;
    va_start(args, flags);
    while ((name = va_arg(args, const char *)) && n < MOST_OPTIONS) {
        options[n].name = name;
        options[n++].value = va_arg(args, const char *);
    }
    va_end(args);
    /* Otherwise each program would wait for its connections to cool before it counts what is left. */
    if (n < MOST_OPTIONS && !has_option(options, n, "keep-connection")) {
        options[n].name = "keep-connection";
        options[n++].value = t_keep_connection;
    }
    return img_open_raw(img, drv, options, flags);
}

void img_close(struct img *img)
{
    if (img->is_open) {
        img->drv->close(&img->bs);
        img->is_open = false;
        if (!all_bytes(img->bs.opaque, img->drv->instance_size, 0))
            fail("close leaves opaque zeroed");
    }
    free(img->bs.opaque);
    img->bs.opaque = NULL;
}

int img_create(const char *uri, const char *size, struct BlkError *error)
{
    struct BlkOption options[3] = {{"keep-connection", t_keep_connection}, {"size", size}, {NULL, NULL}};
    const struct BlkDriver *drv = drv_for(uri);

    if (!drv)
        t_die("no driver for %s", uri);
    if (!size)
        options[1].name = NULL;
    return drv->create(uri, options, error);
}

/* ---- requests ------------------------------------------------------------------------------------------------ */

bool (*t_callback_may_run)(void);

static __thread int submitting;
static unsigned broken_rules, callbacks;

static void broken(const char *rule)
{
    __atomic_add_fetch(&broken_rules, 1, __ATOMIC_RELAXED);
    t_say("broken rule: %s", rule);
}

unsigned t_broken_rules(void)
{
    return __atomic_load_n(&broken_rules, __ATOMIC_RELAXED);
}

void io_done(void *opaque, int ret)
{
    struct io *io = opaque;

    if (submitting)
        broken("a callback inside a submit");
    if (io->done)
        broken("a second callback for one request");
    if (!pthread_equal(io->img->owner, pthread_self()))
        broken("a callback on a thread that does not poll the image");
    if (t_callback_may_run && !t_callback_may_run())
        broken("a callback on a thread of libgfapi's");
    if (ret > 0)
        broken("a callback with a positive result");
    io->ret = ret;
    io->order = __atomic_add_fetch(&callbacks, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&io->done, 1, __ATOMIC_RELEASE);
    /* Last: it may free the request. */
    if (io->then)
        io->then(io);
}

void io_begin(struct io *io, struct img *img)
{
    io->acb = NULL;
    io->done = 0;
    io->ret = 0;
    io->order = 0;
    io->img = img;
    submitting++;
    errno = 0;
}

bool io_end(struct io *io, struct BlkAiocb *acb)
{
    int error = errno;

    submitting--;
    /* An accepted request may be over on another thread already: only what the callback does not write is written. */
    io->acb = acb;
    if (!acb) {
        io->ret = -error;
        if (error <= 0)
            broken("a refusal without errno");
    }
    return acb != NULL;
}

bool io_preadv(struct io *io, struct img *img, const struct iovec *iov, int count, int64_t bytes, int64_t offset)
{
    io_begin(io, img);
    return io_end(io, img->drv->aio_preadv(&img->bs, offset, bytes, iov, count, 0, io_done, io));
}

bool io_pwritev(struct io *io, struct img *img, const struct iovec *iov, int count, int64_t bytes, int64_t offset)
{
    io_begin(io, img);
    return io_end(io, img->drv->aio_pwritev(&img->bs, offset, bytes, iov, count, 0, io_done, io));
}

bool io_pread(struct io *io, struct img *img, void *buffer, int64_t bytes, int64_t offset)
{
    struct iovec iov;

    iov.iov_base = buffer;
    iov.iov_len = (size_t)bytes;
    return io_preadv(io, img, &iov, 1, bytes, offset);
}

bool io_pwrite(struct io *io, struct img *img, const void *buffer, int64_t bytes, int64_t offset)
{
    struct iovec iov;

    memcpy(&iov.iov_base, &buffer, sizeof(buffer)); /* struct iovec knows no const */
    iov.iov_len = (size_t)bytes;
    return io_pwritev(io, img, &iov, 1, bytes, offset);
}

bool io_flush(struct io *io, struct img *img)
{
    io_begin(io, img);
    return io_end(io, img->drv->aio_flush(&img->bs, io_done, io));
}

bool io_discard(struct io *io, struct img *img, int64_t bytes, int64_t offset)
{
    io_begin(io, img);
    return io_end(io, img->drv->aio_pdiscard(&img->bs, offset, bytes, io_done, io));
}

bool io_zeroes(struct io *io, struct img *img, int64_t bytes, int64_t offset, uint32_t flags)
{
    io_begin(io, img);
    return io_end(io, img->drv->aio_write_zeroes(&img->bs, offset, bytes, flags, io_done, io));
}

int io_wait(struct io *io)
{
    if (!io->acb)
        return io->ret;
    if (!wait_for(&io->done, 1, 30)) {
        fail("a callback within 30 s");
        return -ETIME;
    }
    return io->ret;
}

/* A request on the stack that never ends would be written to later. */
static int finish(struct io *io)
{
    int ret = io_wait(io);

    if (io->acb && !io->done)
        t_die("a request does not end");
    return ret;
}

int pread_sync(struct img *img, void *buffer, int64_t bytes, int64_t offset)
{
    struct io io = {0};

    io_pread(&io, img, buffer, bytes, offset);
    return finish(&io);
}

int pwrite_sync(struct img *img, const void *buffer, int64_t bytes, int64_t offset)
{
    struct io io = {0};

    io_pwrite(&io, img, buffer, bytes, offset);
    return finish(&io);
}

int flush_sync(struct img *img)
{
    struct io io = {0};

    io_flush(&io, img);
    return finish(&io);
}

int discard_sync(struct img *img, int64_t bytes, int64_t offset)
{
    struct io io = {0};

    io_discard(&io, img, bytes, offset);
    return finish(&io);
}

int zeroes_sync(struct img *img, int64_t bytes, int64_t offset, uint32_t flags)
{
    struct io io = {0};

    io_zeroes(&io, img, bytes, offset, flags);
    return finish(&io);
}

/* ---- data ---------------------------------------------------------------------------------------------------- */

/* Eight bytes for each aligned eight bytes of the image (the finalizer of splitmix64). */
static uint64_t word_at(uint64_t seed, uint64_t index)
{
    uint64_t x = seed * UINT64_C(0x9E3779B97F4A7C15) + index + 1;

    x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
    return x ^ x >> 31;
}

static unsigned char byte_at(uint64_t seed, uint64_t place)
{
    return (unsigned char)(word_at(seed, place / 8) >> place % 8 * 8);
}

void pattern_fill(void *buffer, size_t bytes, uint64_t seed, int64_t offset)
{
    unsigned char *at = buffer;
    uint64_t place = (uint64_t)offset;
    size_t i = 0;

    while (i < bytes) {
        if ((place + i) % 8 == 0 && bytes - i >= 8) {
            uint64_t word = word_at(seed, (place + i) / 8);

            memcpy(at + i, &word, 8);
            i += 8;
        } else {
            at[i] = byte_at(seed, place + i);
            i++;
        }
    }
}

bool pattern_check(const void *buffer, size_t bytes, uint64_t seed, int64_t offset)
{
    const unsigned char *at = buffer;
    uint64_t place = (uint64_t)offset;
    size_t i = 0;

    while (i < bytes) {
        uint64_t word, found;

        if ((place + i) % 8 == 0 && bytes - i >= 8) {
            word = word_at(seed, (place + i) / 8);
            memcpy(&found, at + i, 8);
            if (found == word) {
                i += 8;
                continue;
            }
        }
        if (at[i] != byte_at(seed, place + i)) {
            t_say("byte %zu of %zu (image byte %llu) is %#x instead of %#x", i, bytes, (unsigned long long)(place + i),
                  at[i], byte_at(seed, place + i));
            return false;
        }
        i++;
    }
    return true;
}

bool all_bytes(const void *buffer, size_t bytes, unsigned char value)
{
    const unsigned char *at = buffer;

    return bytes == 0 || (at[0] == value && memcmp(at, at + 1, bytes - 1) == 0);
}

void *t_alloc(size_t bytes)
{
    void *memory = malloc(bytes ? bytes : 1);

    if (!memory)
        t_die("no memory for %zu bytes", bytes);
    return memory;
}
