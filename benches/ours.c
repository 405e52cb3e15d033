/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The driver as a host uses it: dlopen, an epoll loop per thread, callbacks that submit again. */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "blkgluster.h"
#include "engine.h"

struct our_image {
    BlkState state;
    struct lane *lane;
    BlkFdHandler handler;
    void *argument;
};

struct loop {
    int epoll;
};

static const BlkDriver *driver;
static int (*init)(const BlkHost *host);

static int register_driver(void *opaque, const BlkDriver *candidate)
{
    (void)opaque;
    if (!strcmp(candidate->protocol_name, "gluster+tcp"))
        driver = candidate;
    return 0;
}

static int set_fd_handler(void *opaque, BlkState *state, int fd, BlkFdHandler handler,
                          void *argument)
{
    struct our_image *image = state->host_data;
    struct loop *loop = image->lane->handle;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = image};

    (void)opaque;
    image->handler = handler;
    image->argument = argument;
    return epoll_ctl(loop->epoll, handler ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, fd, &event) ? -errno : 0;
}

static void report(void *opaque, int level, const char *message)
{
    (void)opaque;
    if (level != BLK_REPORT_INFO)
        fprintf(stderr, "ours: %s\n", message);
}

static const BlkHost host = {
    .struct_size = sizeof(host),
    .abi_version = BLK_ABI_VERSION,
    .register_driver = register_driver,
    .set_fd_handler = set_fd_handler,
    .report = report,
};

static void load(void)
{
    void *library = dlopen(settings.library, RTLD_NOW | RTLD_LOCAL);
    void *symbol = library ? dlsym(library, "blkgluster_init") : NULL;

    if (!symbol)
        fail("%s", dlerror());
    memcpy(&init, &symbol, sizeof(init));
    if (init(&host) || !driver)
        fail("blkgluster_init failed");
}

static void make_lane(struct lane *lane)
{
    struct loop *loop = calloc(1, sizeof(*loop));

    if (!driver)
        load();
    if (!loop || (loop->epoll = epoll_create1(EPOLL_CLOEXEC)) < 0)
        fail("no epoll: %s", strerror(errno));
    lane->handle = loop;
}

static void create_image(const char *uri)
{
    char size[32];
    BlkOption options[] = {
        {"size",        size                               },
        {"write-cache", settings.write_cache ? "on" : "off"},
        {NULL,          NULL                               }
    };
    BlkError error = {.struct_size = sizeof(error)};

    snprintf(size, sizeof(size), "%llu", (unsigned long long)settings.size);
    if (driver->create(uri, options, &error))
        fail("%s", error.message);
}

static void open_image(struct image *image)
{
    struct our_image *self = calloc(1, sizeof(*self));
    char uri[512];
    BlkOption options[] = {
        {"filename",    uri                                },
        {"write-cache", settings.write_cache ? "on" : "off"},
        {"statistics",  settings.statistics ? "on" : "off" },
        {NULL,          NULL                               }
    };
    BlkError error = {.struct_size = sizeof(error)};

    snprintf(uri, sizeof(uri), "gluster+tcp://%s:%u/%s/%s", settings.server, settings.port,
             settings.volume, image->path);
    if (settings.create)
        create_image(uri);
    if (!self)
        fail("out of memory");
    self->lane = image->lane;
    self->state = (BlkState){.struct_size = sizeof(self->state), .drv = driver, .host_data = self};
    self->state.opaque = calloc(1, driver->instance_size);
    if (driver->open(&self->state, options, BLK_O_RDWR, &error))
        fail("%s", error.message);
    image->handle = self;
}

static void close_image(struct image *image)
{
    struct our_image *self = image->handle;

    driver->close(&self->state);
    free(self->state.opaque);
    free(self);
}

static void done(void *opaque, int ret)
{
    finished(opaque, ret);
}

static void submit(struct slot *slot)
{
    BlkState *state = &((struct our_image *)slot->image->handle)->state;
    BlkAiocb *request = NULL;
    int64_t length = (int64_t)slot->iov.iov_len;

    switch (slot->kind) {
    case READ_OP:
        request = driver->aio_preadv(state, slot->offset, length, &slot->iov, 1, 0, done, slot);
        break;
    case WRITE_OP:
        request = driver->aio_pwritev(state, slot->offset, length, &slot->iov, 1, 0, done, slot);
        break;
    case FLUSH_OP: request = driver->aio_flush(state, done, slot); break;
    }
    if (!request)
        fail("the driver refuses a request: %s", strerror(errno));
}

static void wait_for_some(struct lane *lane)
{
    struct loop *loop = lane->handle;
    struct epoll_event events[64];
    int count = epoll_wait(loop->epoll, events, 64, -1);

    for (int i = 0; i < count; i++) {
        struct our_image *image = events[i].data.ptr;

        image->handler(image->argument);
    }
}

const struct contestant contestant = {
    .name = "ours",
    .make_lane = make_lane,
    .open = open_image,
    .close = close_image,
    .submit = submit,
    .wait = wait_for_some,
};
