// SPDX-License-Identifier: GPL-2.0-or-later
//! The slots about statistics.

use super::*;
use crate::image::{Event, Format, Operations, Snapshot};

/// The image behind `bs`, also while another thread waits to close it.
///
/// # Safety
/// The host's promises of the header.
unsafe fn seen(bs: *mut BlkState) -> Result<Arc<Image>> {
    // SAFETY: the caller's.
    unsafe { input::cell(bs)?.look() }
}

pub unsafe extern "C" fn get_statistics(
    bs: *mut BlkState,
    statistics: *mut BlkStatistics,
    error: *mut BlkError,
) -> c_int {
    let body = || {
        // SAFETY: the host's promises of the header.
        let (image, room) = unsafe { (seen(bs)?, input::room(statistics, "BlkStatistics")?) };
        *room = told(&image.statistics()?, room.struct_size);
        Ok(0)
    };
    // SAFETY: the host's promise.
    unsafe { guard::status(error, body) }
}

fn told(statistics: &Snapshot, struct_size: usize) -> BlkStatistics {
    let [read, write, flush, discard, write_zeroes, copy] = statistics.operations.map(operations);
    BlkStatistics {
        struct_size,
        open_ns: statistics.open_ns,
        read,
        write,
        flush,
        discard,
        write_zeroes,
        copy,
        in_flight: statistics.in_flight(),
        most_in_flight: statistics.most_in_flight,
        refused: statistics.count(Event::Refused),
        merged_calls: statistics.count(Event::MergedCall),
        merged_requests: statistics.count(Event::MergedRequest),
        unmerged_requests: statistics.count(Event::Unmerged),
        split_requests: statistics.count(Event::Split),
        split_calls: statistics.count(Event::SplitCall),
        short_reads: statistics.count(Event::ShortRead),
        fsyncs: statistics.count(Event::Fsync),
        bounced: statistics.count(Event::Bounced),
        read_retries: statistics.count(Event::ReadRetry),
        reconnects: statistics.count(Event::Reconnect),
        slow_requests: statistics.count(Event::Slow),
    }
}

fn operations(counted: Operations) -> BlkOperations {
    let mut failed = [0; BLK_FAILED_CLASSES];
    for (told, counted) in failed.iter_mut().zip(counted.failed) {
        *told = counted;
    }
    BlkOperations {
        submitted: counted.submitted,
        succeeded: counted.succeeded(),
        bytes: counted.bytes,
        failed,
        latency: BlkLatency {
            total_ns: counted.total_ns,
            longest_ns: counted.longest_ns,
            buckets: counted.buckets,
        },
    }
}

pub unsafe extern "C" fn format_statistics(
    bs: *mut BlkState,
    format: c_int,
    buffer: *mut c_char,
    size: usize,
    error: *mut BlkError,
) -> c_int {
    let body = || {
        let format = match format {
            BLK_STATISTICS_TEXT => Format::Text,
            BLK_STATISTICS_JSON => Format::Json,
            BLK_STATISTICS_PROMETHEUS => Format::Prometheus,
            other => {
                return Err(Error::invalid(format!(
                    "statistics format {other} is unknown; there are BLK_STATISTICS_TEXT, _JSON and \
                     _PROMETHEUS"
                )));
            }
        };
        // SAFETY: the host's promises of the header.
        let (image, room) = unsafe { (seen(bs)?, input::buffer(buffer, size)?) };
        let text = image.statistics()?.format(format, &image.name());
        if let Some(last) = room.len().checked_sub(1) {
            let fits = text.len().min(last);
            room[..fits].copy_from_slice(&text.as_bytes()[..fits]);
            room[fits] = 0;
        }
        Ok(c_int::try_from(text.len()).unwrap_or(c_int::MAX))
    };
    // SAFETY: the host's promise.
    unsafe { guard::status(error, body) }
}
