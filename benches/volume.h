/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A volume by libgfapi itself, for the contestants that do without the driver. */
#ifndef BENCH_VOLUME_H
#define BENCH_VOLUME_H

#include <glusterfs/api/glfs.h>

#include "engine.h"

/* Connects when it is the first image; `close_file` of the last disconnects. */
glfs_fd_t *open_file(const struct image *image);
void close_file(glfs_fd_t *file);

/* With our options: spares libgfapi four system calls per request on this thread. */
void fix_identity(void);

/* libgfapi's asynchronous call for slot->kind; the callback gets `cookie`. */
void send_slot(glfs_fd_t *file, struct slot *slot, glfs_io_cbk callback, void *cookie);

#endif
