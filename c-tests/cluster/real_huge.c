/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "volumes.h"

/* Larger than what one call of libgfapi's gets by far, and no multiple of anything. */
static void huge(const char *volume, int64_t bytes)
{
    const char *uri = cluster_uri(volume, "huge");
    const int64_t offset = 3 * MiB + 1, whole = bytes + 5001;
    unsigned char *memory = t_alloc((size_t)whole);
    int64_t begun = now_us(), written, read;
    struct iovec iov[3];
    struct io io = {0};
    struct img img;

    make_and_open(&img, uri, "0", "on");
    iov[0].iov_base = memory;
    iov[0].iov_len = 5001;
    iov[1].iov_base = memory + 5001;
    iov[1].iov_len = (size_t)bytes / 2 + 1;
    iov[2].iov_base = memory + 5001 + bytes / 2 + 1;
    iov[2].iov_len = (size_t)whole - 5001 - (size_t)bytes / 2 - 1;
    pattern_fill(memory, (size_t)whole, 1, offset);
    begun = now_us();
    io_pwritev(&io, &img, iov, 3, whole, offset);
    is(io_wait(&io), 0, "%s: write %lld MiB and a bit in one request", volume, (long long)(bytes / MiB));
    is(flush_sync(&img), 0, "%s: flush", volume);
    written = now_us() - begun;
    is(img.drv->getlength(&img.bs), offset + whole, "%s: it is as long as that", volume);
    memset(memory, 0xA5, (size_t)whole);
    begun = now_us();
    io_preadv(&io, &img, iov, 3, whole, offset);
    is(io_wait(&io), 0, "%s: read it in one request", volume);
    read = now_us() - begun;
    ok(pattern_check(memory, (size_t)whole, 1, offset), "%s: every byte is right", volume);
    t_say("%s: written and flushed with %lld MB/s, read with %lld MB/s", volume, (long long)(whole / (written + 1)),
          (long long)(whole / (read + 1)));
    /* Half of it lies past the end: parts that are short, and parts that are empty. */
    iov[0].iov_base = memory;
    iov[0].iov_len = 64 * MiB;
    memset(memory, 0xA5, 64 * MiB);
    io_preadv(&io, &img, iov, 1, 64 * MiB, offset + whole - 24 * MiB - 5);
    is(io_wait(&io), 0, "%s: a read of 64 MiB that begins 24 MiB before the end", volume);
    ok(pattern_check(memory, 24 * MiB + 5, 1, offset + whole - 24 * MiB - 5) &&
           all_bytes(memory + 24 * MiB + 5, 40 * MiB - 5, 0),
       "%s: data, then zeros", volume);
    img_close(&img);
    free(memory);
    empty_image(uri);
}

int main(void)
{
    t_begin("a request may be of any size: 64 MiB and 200 MiB at once");
    load_for_volumes();
    huge("plain", 200 * MiB);
    huge("rep3", 200 * MiB);
    for EACH_VOLUME (volume)
        huge(*volume, 64 * MiB);
    return end_for_volumes();
}
