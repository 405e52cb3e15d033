/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the harness's own files share. */
#ifndef BLKGLUSTER_HARNESS_INTERNAL_H
#define BLKGLUSTER_HARNESS_INTERNAL_H

#include <fcntl.h>

#include "blkgluster.h"

/* The host's set_fd_handler. */
int t_set_fd_handler(void *opaque, struct BlkState *bs, int fd, BlkFdHandler on_readable, void *arg);
void t_loop_free(void);
int t_real_output(void);

#endif
