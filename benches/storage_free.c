/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --storage-free: on the stand-in for libgfapi, which completes requests at once from a thread of
 * its own without moving data, all that is left to measure is the way to libgfapi and back. */
#include "engine.h"

#define FAKE_GFAPI_BIND
#include "fake_gfapi.h"

void go_without_storage(void)
{
    struct fake_gfapi fake;

    if (fake_gfapi_bind(&fake))
        fail("the libgfapi in use is the real one; point LD_LIBRARY_PATH to the stand-in");
    fake.set_storage(0);
    fake.set_mode(FAKE_THREAD, 0);
}
