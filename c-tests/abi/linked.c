/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A host that is linked with the library instead of loading it: one write and one read. For ./install. */
#include "../fake/network.h"

#include <blkgluster.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct BlkDriver *driver;
static int result = 1;

static int add(void *opaque, const struct BlkDriver *drv)
{
    (void)opaque;
    if (!strcmp(drv->protocol_name, "gluster"))
        driver = drv;
    return 0;
}

static void done(void *opaque, int ret)
{
    (void)opaque;
    result = ret;
}

static int wait_for_it(struct BlkState *bs, struct BlkAiocb *acb)
{
    struct pollfd fd;

    if (!acb)
        return -1;
    fd.fd = driver->get_completion_fd(bs);
    fd.events = POLLIN;
    while (result == 1 && poll(&fd, 1, 20000) == 1)
        driver->dispatch(bs);
    return result;
}

int main(int argc, char **argv)
{
    struct BlkHost host = {sizeof(host), BLK_ABI_VERSION, 0, NULL, add, NULL, NULL};
    struct BlkState bs = {sizeof(bs), NULL, NULL, NULL};
    struct BlkOption options[] = {{"filename", NULL}, {NULL, NULL}};
    char written[4096], read[4096];
    struct iovec iov = {written, sizeof(written)};

    network_begin();
    if (blkgluster_init(&host) < 0 || !driver || driver->struct_size < sizeof(*driver))
        return 1;
    printf("%s\n", driver->library_version);
    if (argc < 2)
        return 0;
    options[0].value = argv[1];
    bs.opaque = calloc(1, driver->instance_size);
    if (!bs.opaque || driver->create(argv[1], NULL, NULL) < 0 || driver->open(&bs, options, BLK_O_RDWR, NULL) < 0)
        return 2;
    memset(written, 42, sizeof(written));
    if (wait_for_it(&bs, driver->aio_writev(&bs, 8, &iov, 1, 8, done, NULL)) < 0)
        return 3;
    result = 1;
    iov.iov_base = read;
    if (wait_for_it(&bs, driver->aio_readv(&bs, 8, &iov, 1, 8, done, NULL)) < 0)
        return 4;
    if (memcmp(written, read, sizeof(read)))
        return 5;
    driver->close(&bs);
    free(bs.opaque);
    return driver->release() < 0;
}
