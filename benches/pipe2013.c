/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The design of 2013: each request allocates a control block, whose address travels through a pipe
 * when it is done; the loop is told that the pipe is readable, reads one address, completes one
 * request, and polls again.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "volume.h"

struct control_block {
    struct slot *slot;
    ssize_t ret;
};

struct pipe_image {
    glfs_fd_t *file;
    int ends[2];
};

static struct pollfd *watched;
static struct pipe_image **watched_image;
static unsigned watching;

static void open_image(struct image *image)
{
    struct pipe_image *self = calloc(1, sizeof(*self));

    if (!self || pipe(self->ends) || fcntl(self->ends[0], F_SETFL, O_NONBLOCK))
        fail("no pipe: %s", strerror(errno));
    if (settings.threads != 1)
        fail("the design has one loop");
    self->file = open_file(image);
    image->handle = self;
    watched = realloc(watched, (watching + 1) * sizeof(*watched));
    watched_image = realloc(watched_image, (watching + 1) * sizeof(*watched_image));
    if (!watched || !watched_image)
        fail("out of memory");
    watched[watching] = (struct pollfd){.fd = self->ends[0], .events = POLLIN};
    watched_image[watching++] = self;
}

static void close_image(struct image *image)
{
    struct pipe_image *self = image->handle;

    close(self->ends[0]);
    close(self->ends[1]);
    close_file(self->file);
    watching--;
    free(self);
}

static void start_lane(struct lane *lane)
{
    (void)lane;
    fix_identity();
}

static void done(glfs_fd_t *file, ssize_t ret, struct glfs_stat *before, struct glfs_stat *after,
                 void *cookie)
{
    struct control_block *block = cookie;
    struct pipe_image *self = block->slot->image->handle;

    (void)file, (void)before, (void)after;
    block->ret = ret < 0 ? -errno : ret;
    while (write(self->ends[1], &block, sizeof(block)) < 0)
        if (errno != EINTR)
            fail("write to the pipe: %s", strerror(errno));
}

static void submit(struct slot *slot)
{
    struct pipe_image *self = slot->image->handle;
    struct control_block *block = malloc(sizeof(*block));

    if (!block)
        fail("out of memory");
    block->slot = slot;
    send_slot(self->file, slot, done, block);
}

static void read_one(struct pipe_image *self)
{
    struct control_block *block;
    struct slot *slot;
    long ret;

    if (read(self->ends[0], &block, sizeof(block)) != sizeof(block))
        return;
    slot = block->slot;
    ret = block->ret >= 0 && slot->kind != FLUSH_OP && (size_t)block->ret != slot->iov.iov_len
              ? -EIO
              : block->ret;
    free(block);
    finished(slot, ret);
}

static void wait_for_some(struct lane *lane)
{
    (void)lane;
    if (poll(watched, watching, -1) < 1)
        return;
    for (unsigned i = 0; i < watching; i++)
        if (watched[i].revents)
            read_one(watched_image[i]);
}

const struct contestant contestant = {
    .name = "pipe2013",
    .start_lane = start_lane,
    .open = open_image,
    .close = close_image,
    .submit = submit,
    .wait = wait_for_some,
};
