// SPDX-License-Identifier: GPL-2.0-or-later
//! Sentences to the host's log, or to stderr when the host takes none.

use parking_lot::RwLock;
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
}

/// Where sentences go. Called from any thread, with no lock held.
pub type Sink = Arc<dyn Fn(Level, &str) + Send + Sync>;

static SINK: RwLock<Option<Sink>> = RwLock::new(None);

/// Sends all further sentences to `sink`; `None` means stderr.
pub fn set_sink(sink: Option<Sink>) {
    *SINK.write() = sink;
}

/// Hands one sentence to the host.
pub fn report(level: Level, text: &str) {
    // Cloned so that a host which registers anew from inside its report does not deadlock.
    let sink = SINK.read().clone();
    match sink {
        Some(sink) => sink(level, text),
        None => to_stderr(text),
    }
}

/// For a host that takes no sentences. Not `eprintln!`: it panics when stderr is a pipe that nobody
/// reads any more, or a file on a full disk.
pub fn to_stderr(text: &str) {
    let _ = writeln!(std::io::stderr(), "blkgluster: {text}");
}
