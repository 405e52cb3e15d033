/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A child that is forked after the first open gets errors from every call, and does not hang; the parent goes on. */
#include <sys/wait.h>

#include "on_fake.h"

static struct img img;

/* In the child. The number of the first expectation that fails, 0 for none. */
static int tries_everything(void)
{
    struct BlkError error = {.struct_size = sizeof(error)};
    struct io io = {0};
    struct img other;
    char data[512];

    if (img.drv->getlength(&img.bs) != -EBADF)
        return 1;
    if (img.drv->truncate(&img.bs, 0, &error) != -EBADF)
        return 2;
    errno = 0;
    if (io_pread(&io, &img, data, sizeof(data), 0) || errno != EBADF)
        return 3;
    if (img.drv->drain(&img.bs) != -EBADF)
        return 4;
    if (img_open(&other, fake_uri("vol", "fork"), 0, NULL) != -EINVAL || !strstr(other.error.message, "fork"))
        return 5;
    if (img_create(fake_uri("elsewhere", "fork"), "512", &error) != -EINVAL)
        return 6;
    img.drv->close(&img.bs);
    return 0;
}

int main(void)
{
    int status = -1;
    pid_t child;

    fake_begin("a child that is forked too late gets errors, and does not hang");
    fake_open(&img, "fork", 4096);
    /* In the child, what a thread that is not there had allocated would be lost. */
    fake_quiet(1);
    child = fork();
    if (child == 0) {
        alarm(20);
        _exit(tries_everything());
    }
    ok(child > 0 && waitpid(child, &status, 0) == child, "a child is forked and ends");
    ok(WIFEXITED(status), "... by itself");
    is(WEXITSTATUS(status), 0, "... and every call has failed as it should");
    is(img.drv->getlength(&img.bs), 4096, "the parent's image goes on");
    img_close(&img);
    return fake_end();
}
