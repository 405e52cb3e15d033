/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From QEMU's options to the ones that blkgluster takes. */
#ifndef HOSTS_QEMU_LOCATION_H
#define HOSTS_QEMU_LOCATION_H

#include "compat.h"

#include "blkgluster.h"

/* Where an image is and how to get there. Zeroed it is empty. */
typedef struct GlusterLocation {
    char *uri;
    char *write_cache, *connect_timeout, *keep_connection; /* NULL: the library's default */
} GlusterLocation;

/* The options of an open; takes out of `options` those that it has understood. 0 or -errno. */
int location_from_options(GlusterLocation *location, QDict *options, Error **errp);

/* The `location` of QMP's blockdev-create. 0 or -errno. */
int location_from_qapi(GlusterLocation *location, const BlockdevOptionsGluster *options, Error **errp);

void location_clear(GlusterLocation *location);

/* As blkgluster's open and create take it; points into `location`. The extra place is for create's own option. */
enum { LOCATION_OPTIONS = 6 };
void location_options(const GlusterLocation *location, BlkOption list[LOCATION_OPTIONS], const char *name,
                      const char *value);

#endif
