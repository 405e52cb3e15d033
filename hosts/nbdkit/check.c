/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is done once, when nbdkit starts: the image is looked at, and made if create= asks for it.
 *
 * nbdkit forks into the background (and for --run) after .get_ready, and Gluster's connections do not survive a fork.
 * But what goes wrong after the fork is written to syslog only, and the user sees a server that "just died". So a
 * child of our own does it before that, and its error is reported where the user sees it. It opens for reading only:
 * that is enough for `nbdkit -r`, of which a plugin is not told before a client connects.
 *
 * The child makes the image as the user who started nbdkit, not yet as that of `nbdkit -u`.
 */
#include "plugin.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Whether this failure says that the image is not there, though its volume is. */
static bool is_missing(const BlkError *error)
{
    return error->error == ENOENT && error->stage == BLK_STAGE_OPEN;
}

static int make(BlkError *error)
{
    BlkOption *options;
    char size[32];

    snprintf(size, sizeof(size), "%" PRId64, params.create);
    options = params_options(size);
    return options ? params.drv->create(params.uri, options, error) : -1;
}

/* An image that is there is never made anew: whoever starts a server again with the same words wants its data back. One
 * that is empty may be another server's, which is about to give it its size. */
static int has_length(BlkState *bs, BlkError *error)
{
    int64_t wanted = (params.create + BLK_SECTOR_SIZE - 1) / BLK_SECTOR_SIZE * BLK_SECTOR_SIZE, length;
    unsigned patience;

    for (patience = 5 * 20; (length = params.drv->getlength(bs)) == 0 && wanted > 0 && patience > 0; patience--)
        usleep(1000000 / 20);
    /* What getlength failed with, it has reported. */
    if (length == wanted || length < 0)
        return 0;
    snprintf(error->message, sizeof(error->message),
             "image %.800s exists and has %" PRId64 " bytes, not the %" PRId64 " of create=; leave create out to serve "
             "it as it is", params.name, length, wanted);
    return -1;
}

static int look(BlkError *error)
{
    BlkOption *options = params_options(NULL);
    BlkState bs;
    int opened;

    if (!options || state_init(&bs, params.drv) < 0)
        return -1;
    opened = params.drv->open(&bs, options, 0, error);
    if (opened < 0 && params.create >= 0 && is_missing(error) && make(error) == 0)
        /* Another one may have made it. */
        opened = params.drv->open(&bs, options, 0, error);
    if (opened < 0)
        return -1;
    return params.create >= 0 ? has_length(&bs, error) : 0;
}

static void run_child(int out)
{
    BlkError error = {.struct_size = sizeof(error)};

    if (look(&error) < 0) {
        size_t length = strlen(error.message);

        _exit(write(out, error.message, length) == (ssize_t)length ? 1 : 2);
    }
    /* Without closing and freeing anything: the end of the process does that, and faster. */
    _exit(0);
}

/* What the child says until its end, NUL-terminated. */
static void hear(int from, char *text, size_t room)
{
    size_t length = 0;
    ssize_t n;

    while ((n = read(from, text + length, room - 1 - length)) > 0 || (n < 0 && errno == EINTR))
        if (n > 0)
            length += n;
    text[length] = '\0';
}

int check_image(void)
{
    char text[sizeof(((BlkError *)NULL)->message)];
    int ends[2], status;
    pid_t child;

    if (pipe(ends) < 0) {
        nbdkit_error("pipe: %m");
        return -1;
    }
    fflush(NULL);
    child = fork();
    if (child == 0) {
        close(ends[0]);
        run_child(ends[1]);
    }
    close(ends[1]);
    if (child < 0) {
        nbdkit_error("fork: %m");
        close(ends[0]);
        return -1;
    }
    hear(ends[0], text, sizeof(text));
    close(ends[0]);
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) {
            nbdkit_error("waitpid: %m");
            return -1;
        }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    if (text[0])
        nbdkit_error("%s", text);
    else
        nbdkit_error("looking at image %s ended with wait status %#x", params.name, status);
    return -1;
}
