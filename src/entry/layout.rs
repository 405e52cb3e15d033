// SPDX-License-Identifier: GPL-2.0-or-later
//! Where each member of each struct lies, for hosts that compare it with their own header.

use super::Static;
use crate::abi::*;
use std::mem::offset_of;

/// The size of a member, from a function that is never called.
const fn size_of_member<S, M>(_: fn(&S) -> &M) -> usize {
    size_of::<M>()
}

macro_rules! layout {
    ($($type:ident { $($member:ident),* $(,)? })*) => {
        &[
            $(
                BlkLayout {
                    name: concat!(stringify!($type), "\0").as_ptr().cast(),
                    offset: 0,
                    size: size_of::<$type>(),
                },
                $(
                    BlkLayout {
                        name: concat!(stringify!($type), ".", stringify!($member), "\0").as_ptr().cast(),
                        offset: offset_of!($type, $member),
                        size: size_of_member(|whole: &$type| &whole.$member),
                    },
                )*
            )*
            BlkLayout { name: std::ptr::null(), offset: 0, size: 0 },
        ]
    };
}

/// Every struct of the header.
pub static TABLE: Static<&[BlkLayout]> = Static(layout! {
    BlkOption { name, value }
    BlkCreateOption { name, kind, help }
    BlkOpenOption { name, kind, default_value, help, for_create, reserved }
    BlkLayout { name, offset, size }
    BlkError { struct_size, error, stage, message }
    BlkBlockStatus { struct_size, length, flags, reserved }
    BlkLimits {
        struct_size, max_transfer, opt_transfer, max_discard, max_write_zeroes, max_length, request_alignment, max_iov,
    }
    BlkLatency { total_ns, longest_ns, buckets }
    BlkOperations { submitted, succeeded, bytes, failed, latency }
    BlkStatistics {
        struct_size, open_ns, read, write, flush, discard, write_zeroes, copy, in_flight, most_in_flight, refused,
        merged_calls, merged_requests, unmerged_requests, split_requests, split_calls, short_reads, fsyncs, bounced,
        read_retries, reconnects, slow_requests,
    }
    BlkState { struct_size, drv, opaque, host_data }
    BlkHost { struct_size, abi_version, reserved, opaque, register_driver, set_fd_handler, report }
    BlkDriver {
        struct_size, abi_version, needs_filename, format_name, protocol_name, library_version, instance_size,
        create_options, layout, open, close, create, getlength, get_allocated_file_size, truncate, aio_readv,
        aio_writev, aio_flush, aio_discard, aio_cancel, has_zero_init, aio_preadv, aio_pwritev, aio_pdiscard,
        aio_cancel_async, drain, get_completion_fd, dispatch, release, io_plug, io_unplug, lock_release,
        lock_acquire, aio_write_zeroes, block_status, get_limits, create_with_progress,
        truncate_with_preallocation, open_options, request_error,
        get_statistics, format_statistics,
        aio_copy_range, lock_change,
        reopen_prepare, reopen_commit, reopen_abort, is_read_only, detach_fd_handler,
        attach_fd_handler, is_ready, get_in_flight, drain_begin, drain_end,
    }
});
