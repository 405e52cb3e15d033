/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A host without `report` finds the sentences on stderr, those that have no other place. */
#include "on_fake.h"

static unsigned lines(void)
{
    const char *at = t_output();
    unsigned n = 0;

    while ((at = strchr(at, '\n'))) {
        n++;
        at++;
    }
    return n;
}

int main(void)
{
    struct BlkHost host = t_host();
    struct BlkError error = {0};
    struct img img;
    char data[512] = {0};

    host.report = NULL;
    fake_begin_with("without report: one line on stderr for each sentence", &host);
    fake_open(&img, "no-report", 4096);
    is(lines(), 0, "nothing is said while all goes well");
    fake_once(FAKE_PWRITEV_ASYNC, FAKE_FAIL, ENOSPC, 0);
    is(pwrite_sync(&img, data, sizeof(data), 0), -ENOSPC, "a write fails");
    is(lines(), 1, "... one line");
    ok(strstr(t_output(), "blkgluster: ") && strstr(t_output(), "gluster://fake/vol/no-report") &&
           strstr(t_output(), "ENOSPC"),
       "... which says: %s", t_output());
    is(img.drv->truncate(&img.bs, -1, NULL), -EINVAL, "a failure without a BlkError");
    is(lines(), 2, "... another line");
    error.struct_size = sizeof(error);
    is(img.drv->truncate(&img.bs, -1, &error), -EINVAL, "a failure with a BlkError");
    is(lines(), 2, "... no line: it is in the BlkError");
    img_close(&img);
    is(lines(), 2, "close says nothing");
    t_allow_output();
    return fake_end();
}
