/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From QEMU's options to blkgluster's, which have the same names: only their form differs. */
#ifndef HOSTS_QEMU_LOCATION_H
#define HOSTS_QEMU_LOCATION_H

#include "compat.h"

#include "blkgluster.h"

/* Options that say where an image is and how to get there; ends with a NULL name. Owned, names and values too. */
typedef BlkOption *GlusterLocation;

/* Takes out of `options` those that are the library's; what is left is for QEMU to refuse. */
GlusterLocation location_from_options(QDict *options);

/* The `location` of QMP's blockdev-create. */
GlusterLocation location_from_qapi(BlockdevOptionsGluster *options);

/* Adds one more; NULL is no value and adds nothing. `location` may be NULL. */
GlusterLocation location_with(GlusterLocation location, const char *name, const char *value);

/* The URI, or NULL when other options say where the image is. */
const char *location_uri(const BlkOption *location);

/*
 * Takes `location`. Says how the image is locked where nobody did: as the environment's BLKGLUSTER_LOCKING says, else with
 * locking=auto. What is not locking=on must not cost the image when a brick is restarted: strict-locks=off.
 */
GlusterLocation location_with_locking(GlusterLocation location);

/* Takes `location`. strict-flush is what the environment's BLKGLUSTER_STRICT_FLUSH says, where nobody says anything. */
GlusterLocation location_with_flushing(GlusterLocation location);

/* Whether the image is to be locked: locking=on or auto. */
bool location_has_lock(const BlkOption *location);

/* Takes an option out of it: its value, owned by the caller, or NULL. */
char *location_take(GlusterLocation location, const char *name);

void location_free(GlusterLocation location);

#endif
