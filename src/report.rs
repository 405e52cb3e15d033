// SPDX-License-Identifier: GPL-2.0-or-later
//! Sentences to the host's log, or to stderr when the host takes none.

use parking_lot::{Condvar, Mutex};
use std::cell::Cell;
use std::io::Write;
use std::sync::Arc;

/// How grave a sentence is; the numbers are the header's `BLK_REPORT_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// An operation failed.
    Error = 0,
    /// It works, but not as asked.
    Warning = 1,
    /// Worth knowing.
    Info = 2,
    /// Asked for with option `trace`.
    Debug = 3,
}

/// Where sentences go. Called from any thread, with no lock held.
pub type Sink = Arc<dyn Fn(Level, &str) + Send + Sync>;

struct Reports {
    sink: Option<Sink>,
    /// Calls of a sink that have not returned.
    running: usize,
}

static REPORTS: Mutex<Reports> = Mutex::new(Reports {
    sink: None,
    running: 0,
});
static ONE_LESS: Condvar = Condvar::new();

thread_local! {
    /// Those of this thread.
    static RUNNING_HERE: Cell<usize> = const { Cell::new(0) };
}

/// Sends all further sentences to `sink`; `None` means stderr. Waits for sentences that other threads
/// hand to the one before: its host may be gone next.
pub fn set_sink(sink: Option<Sink>) {
    let mut reports = REPORTS.lock();
    let before = std::mem::replace(&mut reports.sink, sink);
    while reports.running > RUNNING_HERE.get() {
        ONE_LESS.wait(&mut reports);
    }
    drop(reports);
    drop(before);
}

/// Hands one sentence to the host.
pub fn report(level: Level, text: &str) {
    match Running::begin() {
        // Without the lock, so that a host which registers anew from inside its report does not
        // deadlock.
        Some(running) => (running.0)(level, text),
        None => to_stderr(text),
    }
}

/// A call of the sink, also when it panics.
struct Running(Sink);

impl Running {
    fn begin() -> Option<Running> {
        let mut reports = REPORTS.lock();
        let sink = reports.sink.clone()?;
        reports.running += 1;
        RUNNING_HERE.set(RUNNING_HERE.get() + 1);
        Some(Running(sink))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING_HERE.set(RUNNING_HERE.get() - 1);
        REPORTS.lock().running -= 1;
        ONE_LESS.notify_all();
    }
}

/// For a host that takes no sentences. Not `eprintln!`: it panics when stderr is a pipe that nobody
/// reads any more, or a file on a full disk.
pub fn to_stderr(text: &str) {
    let _ = writeln!(std::io::stderr(), "blkgluster: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    #[test]
    fn a_sink_is_not_used_any_more_when_another_has_taken_its_place() {
        static ENTERED: AtomicBool = AtomicBool::new(false);
        static LEFT: AtomicBool = AtomicBool::new(false);
        set_sink(Some(Arc::new(|_, text| {
            if text == "slow" {
                ENTERED.store(true, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(100));
                LEFT.store(true, Ordering::SeqCst);
            } else if text == "anew" {
                // From inside, it does not wait for itself.
                set_sink(None);
            }
        })));
        let reporter = std::thread::spawn(|| report(Level::Info, "slow"));
        while !ENTERED.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        report(Level::Info, "anew");
        assert!(LEFT.load(Ordering::SeqCst));
        reporter.join().unwrap();
    }
}
