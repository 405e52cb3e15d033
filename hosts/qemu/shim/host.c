/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "compat.h"

#include "host.h"
#include "image.h"

static const BlkDriver *drivers[8];
static int driver_count;

static int register_driver(void *opaque, const BlkDriver *drv)
{
    (void)opaque;
    if (driver_count == ARRAY_SIZE(drivers)) {
        return -ENOSPC;
    }
    drivers[driver_count++] = drv;
    return 0;
}

const BlkDriver *host_driver(const char *uri)
{
    const BlkDriver *plain = NULL;
    size_t scheme = uri ? strcspn(uri, ":") : 0;

    for (int i = 0; i < driver_count; i++) {
        const char *name = drivers[i]->protocol_name;

        if (strlen(name) == scheme && !strncmp(name, uri, scheme)) {
            return drivers[i];
        }
        if (!strcmp(name, "gluster")) {
            plain = drivers[i];
        }
    }
    return plain;
}

/* Any thread. QEMU's three print to the monitor whose command is running, if there is one. */
static void report(void *opaque, int level, const char *message)
{
    (void)opaque;
    switch (level) {
    case BLK_REPORT_ERROR:
        error_report("%s", message);
        break;
    case BLK_REPORT_WARNING:
        warn_report("%s", message);
        break;
    default:
        info_report("%s", message);
    }
}

int host_init(void)
{
    static const BlkHost host = {
        .struct_size = sizeof(host),
        .abi_version = BLK_ABI_VERSION,
        .register_driver = register_driver,
        .set_fd_handler = image_set_fd_handler,
        .report = report,
    };
    int ret = blkgluster_init(&host);

    if (ret < 0) {
        error_report("blkgluster cannot be set up: %s", strerror(-ret));
    }
    return ret;
}
