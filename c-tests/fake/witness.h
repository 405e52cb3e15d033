/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Another client of the volume "vol", which sees the locks that images have there. */
#ifndef WITNESS_H
#define WITNESS_H

#include "on_fake.h"

void witness_begin(void);
void witness_end(void);

/* Checks that the image has this lock (BLK_LOCK_* together, by the bytes of QEMU's own locks), neither more nor less. Whoever
 * writes alone, as an opener with BLK_O_RDWR, gets in beside none of them but none. */
void witness_sees(const char *name, unsigned mode, const char *when);

#endif
