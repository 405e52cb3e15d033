/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QEMU as blkgluster's host: what it registers with us, and where its warnings go. */
#ifndef HOSTS_QEMU_HOST_H
#define HOSTS_QEMU_HOST_H

#include "blkgluster.h"

/* Once, when the module is loaded. 0 or -errno, which was reported. */
int host_init(void);

/*
 * The library's table for the scheme of `uri`. That of "gluster" when `uri` is NULL and other options say where the
 * image is, or when it has no such scheme: that one knows what to say.
 */
const BlkDriver *host_driver(const char *uri);

#endif
