/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Does the fault-injecting libgfapi keep its promises? */
#define TAP_MAIN
#include "selftest.h"

/* A call and the block it moves, in one allocation. */
struct block_call {
    struct call call;
    char block[BLOCK];
};

glfs_t *connected(const char *volume)
{
    glfs_t *fs = glfs_new(volume);

    if (!fs || glfs_set_volfile_server(fs, "tcp", "host", 24007) ||
        glfs_init(fs))
        abort();
    return fs;
}

struct image image_fresh(const char *volume)
{
    struct image image = { .end = NULL };

    if (fake_gfapi_reset() || fake_gfapi_wipe()) {
        ok(false, "the test before left something behind");
        exit(tap_done());
    }
    image.fs = connected(volume);
    image.fd = glfs_creat(image.fs, "/image", O_RDWR, 0600);
    if (!image.fd || glfs_ftruncate(image.fd, 1 << 20, NULL, NULL))
        abort();
    fake_gfapi_reset();
    return image;
}

void image_close(struct image *image)
{
    same(glfs_close(image->fd), 0, "close");
    same(glfs_fini(image->fs), 0, "fini");
}

struct fake_counters counters(void)
{
    struct fake_counters now;

    fake_gfapi_counters(&now);
    return now;
}

int rule(int op, int action, int err, int64_t arg)
{
    struct fake_rule set = { .op = op, .action = action, .err = err, .arg = arg };

    return fake_gfapi_add_rule(&set);
}

uint64_t elapsed_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

struct call *start(struct image *image, int op, int block, char byte)
{
    struct block_call *new = calloc(1, sizeof(*new));
    struct iovec iov = { new->block, BLOCK };
    off_t offset = (off_t)block * BLOCK;
    int submitted;

    if (sem_init(&new->call.done, 0, 0))
        abort();
    memset(new->block, byte, BLOCK);
    new->call.end = image->end;
    if (op == FAKE_PREADV_ASYNC)
        submitted = glfs_preadv_async(image->fd, &iov, 1, offset, 0, call_done,
                                      &new->call);
    else if (op == FAKE_PWRITEV_ASYNC)
        submitted = glfs_pwritev_async(image->fd, &iov, 1, offset, 0, call_done,
                                       &new->call);
    else
        submitted = glfs_fsync_async(image->fd, call_done, &new->call);
    if (submitted)
        abort();
    return &new->call;
}

char *block_of(const struct call *call)
{
    return ((struct block_call *)call)->block;
}

void finish(struct call *call)
{
    call_free(call);
}

int main(void)
{
    test_volumes();
    test_modes();
    test_faults();
    test_stats_and_copies();
    test_records();
    test_violations();
    return tap_done();
}
