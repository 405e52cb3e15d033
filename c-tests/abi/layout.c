/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The library lays every struct out as the header does, and says so in drv->layout. */
#include <stddef.h>

#include "harness.h"

#define WHOLE(type) {#type, 0, sizeof(struct type), sizeof(struct type), _Alignof(struct type)}
#define MEMBER(type, member)                                                                                          \
    {#type "." #member, offsetof(struct type, member), sizeof(((struct type *)0)->member), 0,                         \
     _Alignof(__typeof__(((struct type *)0)->member))}

static const struct {
    const char *name;
    size_t offset, size, whole, alignment;
} header[] = {
    WHOLE(BlkOption), MEMBER(BlkOption, name), MEMBER(BlkOption, value),

    WHOLE(BlkCreateOption), MEMBER(BlkCreateOption, name), MEMBER(BlkCreateOption, kind),
    MEMBER(BlkCreateOption, help),

    WHOLE(BlkOpenOption), MEMBER(BlkOpenOption, name), MEMBER(BlkOpenOption, kind),
    MEMBER(BlkOpenOption, default_value), MEMBER(BlkOpenOption, help), MEMBER(BlkOpenOption, for_create),
    MEMBER(BlkOpenOption, reserved),

    WHOLE(BlkLayout), MEMBER(BlkLayout, name), MEMBER(BlkLayout, offset), MEMBER(BlkLayout, size),

    WHOLE(BlkError), MEMBER(BlkError, struct_size), MEMBER(BlkError, error), MEMBER(BlkError, stage),
    MEMBER(BlkError, message),

    WHOLE(BlkBlockStatus), MEMBER(BlkBlockStatus, struct_size), MEMBER(BlkBlockStatus, length),
    MEMBER(BlkBlockStatus, flags), MEMBER(BlkBlockStatus, reserved),

    WHOLE(BlkLimits), MEMBER(BlkLimits, struct_size), MEMBER(BlkLimits, max_transfer),
    MEMBER(BlkLimits, opt_transfer), MEMBER(BlkLimits, max_discard), MEMBER(BlkLimits, max_write_zeroes),
    MEMBER(BlkLimits, max_length), MEMBER(BlkLimits, request_alignment), MEMBER(BlkLimits, max_iov),

    WHOLE(BlkLatency), MEMBER(BlkLatency, total_ns), MEMBER(BlkLatency, longest_ns), MEMBER(BlkLatency, buckets),

    WHOLE(BlkOperations), MEMBER(BlkOperations, submitted), MEMBER(BlkOperations, succeeded),
    MEMBER(BlkOperations, bytes), MEMBER(BlkOperations, failed), MEMBER(BlkOperations, latency),

    WHOLE(BlkStatistics), MEMBER(BlkStatistics, struct_size), MEMBER(BlkStatistics, open_ns),
    MEMBER(BlkStatistics, read), MEMBER(BlkStatistics, write), MEMBER(BlkStatistics, flush),
    MEMBER(BlkStatistics, discard), MEMBER(BlkStatistics, write_zeroes), MEMBER(BlkStatistics, copy),
    MEMBER(BlkStatistics, in_flight), MEMBER(BlkStatistics, most_in_flight), MEMBER(BlkStatistics, refused),
    MEMBER(BlkStatistics, merged_calls), MEMBER(BlkStatistics, merged_requests),
    MEMBER(BlkStatistics, unmerged_requests), MEMBER(BlkStatistics, split_requests),
    MEMBER(BlkStatistics, split_calls), MEMBER(BlkStatistics, short_reads), MEMBER(BlkStatistics, fsyncs),
    MEMBER(BlkStatistics, bounced), MEMBER(BlkStatistics, read_retries), MEMBER(BlkStatistics, reconnects),
    MEMBER(BlkStatistics, slow_requests),

    WHOLE(BlkState), MEMBER(BlkState, struct_size), MEMBER(BlkState, drv), MEMBER(BlkState, opaque),
    MEMBER(BlkState, host_data),

    WHOLE(BlkHost), MEMBER(BlkHost, struct_size), MEMBER(BlkHost, abi_version), MEMBER(BlkHost, reserved),
    MEMBER(BlkHost, opaque), MEMBER(BlkHost, register_driver), MEMBER(BlkHost, set_fd_handler),
    MEMBER(BlkHost, report),

    WHOLE(BlkDriver), MEMBER(BlkDriver, struct_size), MEMBER(BlkDriver, abi_version),
    MEMBER(BlkDriver, needs_filename), MEMBER(BlkDriver, format_name), MEMBER(BlkDriver, protocol_name),
    MEMBER(BlkDriver, library_version), MEMBER(BlkDriver, instance_size), MEMBER(BlkDriver, create_options),
    MEMBER(BlkDriver, layout), MEMBER(BlkDriver, open), MEMBER(BlkDriver, close), MEMBER(BlkDriver, create),
    MEMBER(BlkDriver, getlength), MEMBER(BlkDriver, get_allocated_file_size), MEMBER(BlkDriver, truncate),
    MEMBER(BlkDriver, aio_readv), MEMBER(BlkDriver, aio_writev), MEMBER(BlkDriver, aio_flush),
    MEMBER(BlkDriver, aio_discard), MEMBER(BlkDriver, aio_cancel), MEMBER(BlkDriver, has_zero_init),
    MEMBER(BlkDriver, aio_preadv), MEMBER(BlkDriver, aio_pwritev), MEMBER(BlkDriver, aio_pdiscard),
    MEMBER(BlkDriver, aio_cancel_async), MEMBER(BlkDriver, drain), MEMBER(BlkDriver, get_completion_fd),
    MEMBER(BlkDriver, dispatch), MEMBER(BlkDriver, release), MEMBER(BlkDriver, io_plug), MEMBER(BlkDriver, io_unplug),
    MEMBER(BlkDriver, lock_release), MEMBER(BlkDriver, lock_acquire),
    MEMBER(BlkDriver, aio_write_zeroes), MEMBER(BlkDriver, block_status),
    MEMBER(BlkDriver, get_limits), MEMBER(BlkDriver, create_with_progress),
    MEMBER(BlkDriver, truncate_with_preallocation), MEMBER(BlkDriver, open_options),
    MEMBER(BlkDriver, request_error),
    MEMBER(BlkDriver, get_statistics),
    MEMBER(BlkDriver, format_statistics),
    MEMBER(BlkDriver, aio_copy_range),
    MEMBER(BlkDriver, lock_change),
    MEMBER(BlkDriver, reopen_prepare),
    MEMBER(BlkDriver, reopen_commit),
    MEMBER(BlkDriver, reopen_abort),
    MEMBER(BlkDriver, is_read_only),
    MEMBER(BlkDriver, detach_fd_handler),
    MEMBER(BlkDriver, attach_fd_handler),
    MEMBER(BlkDriver, is_ready),
    MEMBER(BlkDriver, get_in_flight),
    MEMBER(BlkDriver, drain_begin),
    MEMBER(BlkDriver, drain_end),
};

/* A member that was added to the header but not to the list above leaves a hole or a rest. */
static void the_list_is_whole(void)
{
    size_t end = 0, size = 0;
    unsigned i;

    for (i = 0; i < T_COUNT(header); i++) {
        if (header[i].whole) {
            ok(size - end < sizeof(void *), "nothing is missing before %s", header[i].name);
            end = 0;
            size = header[i].size;
            continue;
        }
        if (header[i].offset != (end + header[i].alignment - 1) / header[i].alignment * header[i].alignment)
            fail("nothing is missing before %s", header[i].name);
        end = header[i].offset + header[i].size;
    }
    ok(size - end < sizeof(void *), "nothing is missing at the end");
}

static void compare(const struct BlkLayout *layout)
{
    unsigned i, n = 0;

    while (layout[n].name)
        n++;
    is(n, T_COUNT(header), "the library names as many members");
    for (i = 0; i < T_COUNT(header) && i < n; i++)
        ok(!strcmp(layout[i].name, header[i].name) && layout[i].offset == header[i].offset &&
               layout[i].size == header[i].size,
           "%s: offset %zu size %zu; the library says %s: %zu %zu", header[i].name, header[i].offset, header[i].size,
           layout[i].name, layout[i].offset, layout[i].size);
}

int main(void)
{
    t_begin("the library's structs lie as the header says");
    t_load();
    the_list_is_whole();
    if (t_driver(0))
        compare(t_driver(0)->layout);
    is(sizeof(struct BlkOption), 2 * sizeof(char *), "BlkOption is frozen");
    return t_end();
}
