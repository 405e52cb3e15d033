// SPDX-License-Identifier: GPL-2.0-or-later
//! What is counted where, and that each format holds it.

use super::*;
use crate::error::Errno;
use crate::queue::Ticket;

fn ended(kind: Kind, result: std::result::Result<(), i32>) -> Outcome {
    Outcome {
        kind,
        offset: 0,
        length: 4096,
        through: false,
        grows: false,
        began: 0,
        ticket: Ticket::Free,
        result: result.map_err(|errno| Errno::new(errno, libc::EIO)),
    }
}

#[test]
fn bounds_belong_to_what_is_below_them() {
    for (ns, at) in [
        (0, 0),
        (1000, 0),
        (1001, 1),
        (2000, 1),
        (2001, 2),
        (1 << 20, 11),
        (1000 << 30, 30),
        ((1000 << 30) + 1, 31),
        (u64::MAX, 31),
    ] {
        assert_eq!(bucket(ns), at, "{ns} ns");
    }
    for at in 0..BUCKETS - 1 {
        assert_eq!(bucket(1000 << at), at);
        assert_eq!(bucket((1000 << at) + 1), at + 1);
    }
}

#[test]
fn events_are_where_their_names_are() {
    for (at, (event, _, _)) in EVENTS.iter().enumerate() {
        assert_eq!(*event as usize, at, "{event:?}");
    }
}

fn busy() -> Snapshot {
    let statistics = Statistics::new(Clock::start());
    for in_flight in 1..=4 {
        statistics.accepted(Kind::Read, in_flight);
    }
    statistics.accepted(Kind::Write, 5);
    statistics.ended(&ended(Kind::Read, Ok(())), 3_000_000);
    statistics.ended(&ended(Kind::Read, Ok(())), 5_000);
    statistics.ended(&ended(Kind::Read, Err(libc::ENOTCONN)), 7);
    statistics.ended(&ended(Kind::Write, Err(libc::EDQUOT)), 7);
    statistics.count(Event::MergedCall, 1);
    statistics.count(Event::MergedRequest, 3);
    statistics.snapshot()
}

#[test]
fn each_request_counts_once() {
    let told = busy();
    let [read, write, ..] = &told.operations;
    assert_eq!((read.submitted, read.succeeded(), read.bytes), (4, 2, 8192));
    assert_eq!(read.failed, [1, 0, 0, 0, 0, 0]);
    assert_eq!(write.failed, [0, 0, 0, 1, 0, 0]);
    assert_eq!((read.total_ns, read.longest_ns), (3_005_000, 3_000_000));
    assert_eq!((read.buckets[3], read.buckets[12]), (1, 1));
    assert_eq!((told.in_flight(), told.most_in_flight), (1, 5));
    assert_eq!(told.count(Event::MergedRequest), 3);
}

#[test]
fn names_are_escaped() {
    let odd = "gluster://h/v/a\"b\\c\nd\u{1}é";
    let told = busy();
    let json = told.format(Format::Json, odd);
    assert!(json.starts_with(r#"{"image":"gluster://h/v/a\"b\\c\nd\u0001é","#));
    let page = told.format(Format::Prometheus, odd);
    assert!(page.contains("{image=\"gluster://h/v/a\\\"b\\\\c\\nd\u{1}é\"}"));
    assert!(
        told.format(Format::Text, "gluster://h/v/a")
            .starts_with("image gluster://h/v/a, ")
    );
}

#[test]
fn prometheus_histograms_are_cumulated_in_seconds() {
    let page = busy().format(Format::Prometheus, "i");
    let series = "blkgluster_latency_seconds";
    for (what, value) in [
        (
            "_bucket{image=\"i\",operation=\"read\",le=\"0.000004\"}",
            "0",
        ),
        (
            "_bucket{image=\"i\",operation=\"read\",le=\"0.000008\"}",
            "1",
        ),
        (
            "_bucket{image=\"i\",operation=\"read\",le=\"0.002048\"}",
            "1",
        ),
        (
            "_bucket{image=\"i\",operation=\"read\",le=\"0.004096\"}",
            "2",
        ),
        (
            "_bucket{image=\"i\",operation=\"read\",le=\"1073.741824\"}",
            "2",
        ),
        ("_bucket{image=\"i\",operation=\"read\",le=\"+Inf\"}", "2"),
        ("_sum{image=\"i\",operation=\"read\"}", "0.003005"),
        ("_count{image=\"i\",operation=\"read\"}", "2"),
        ("_count{image=\"i\",operation=\"copy\"}", "0"),
    ] {
        let line = format!("\n{series}{what} {value}\n");
        assert!(page.contains(&line), "no {line} in {page}");
    }
    assert!(page.ends_with('\n'));
}

#[test]
fn people_are_told_what_happened() {
    let text = busy().format(Format::Text, "i");
    for line in [
        "read: 2 succeeded, 8192 bytes, 1 failed (ENOTCONN), 1 in flight; mean 1502 us, half within 8 us, \
         99 % within 4096 us, longest 3000 us\n",
        "write: 0 succeeded, 1 failed (ENOSPC)\n",
        "in flight: 1, at most 5\n",
        "merged requests: 3\n",
    ] {
        assert!(text.contains(line), "no {line} in {text}");
    }
    assert!(!text.contains("flush"), "{text}");
}
