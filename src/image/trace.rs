// SPDX-License-Identifier: GPL-2.0-or-later
//! What is going on, for who asked for it with option `trace`.
//!
//! Much of it is known under a lock only, where nothing may be reported: so lines are noted wherever
//! it happens, and told by the next thread of the host, or worker, that comes by without a lock.
//! Gluster's threads do neither. Without `trace` all of this is one look at a field of the image.

use super::statistics::Clock;
use crate::options::Verbosity;
use crate::report::{self, Level};
use parking_lot::Mutex;
use std::fmt::{Display, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// The numbers of several requests.
pub fn numbers(mut all: impl Iterator<Item = u32>) -> String {
    let mut text = all
        .next()
        .map_or_else(String::new, |first| first.to_string());
    for number in all {
        let _ = write!(text, ", {number}");
    }
    text
}

/// The lines about one image.
pub struct Trace {
    verbosity: Verbosity,
    image: String,
    clock: Clock,
    waits: AtomicBool,
    waiting: Mutex<Vec<String>>,
}

impl Trace {
    /// About `image`, at times of that clock.
    pub fn new(verbosity: Verbosity, image: &impl Display, clock: Clock) -> Trace {
        Trace {
            verbosity,
            image: match verbosity {
                Verbosity::Off => String::new(),
                _ => image.to_string(),
            },
            clock,
            waits: AtomicBool::new(false),
            waiting: Mutex::new(Vec::new()),
        }
    }

    /// Whether lines of that kind are wanted.
    pub fn wants(&self, what: Verbosity) -> bool {
        self.verbosity >= what
    }

    /// Notes a line, if it is wanted. Any thread but Gluster's, under any lock.
    pub fn note(&self, what: Verbosity, line: impl FnOnce() -> String) {
        if self.wants(what) {
            self.keep(line());
        }
    }

    #[cold]
    fn keep(&self, line: String) {
        let now = self.clock.now() / 1000;
        let line = format!(
            "image {} +{}.{:06} s: {line}",
            self.image,
            now / 1_000_000,
            now % 1_000_000
        );
        let mut waiting = self.waiting.lock();
        waiting.push(line);
        self.waits.store(true, Ordering::Release);
    }

    /// Reports what was noted. Under no lock.
    pub fn tell(&self) {
        if self.verbosity != Verbosity::Off && self.waits.load(Ordering::Acquire) {
            self.report();
        }
    }

    #[cold]
    fn report(&self) {
        let lines = {
            let mut waiting = self.waiting.lock();
            self.waits.store(false, Ordering::Relaxed);
            std::mem::take(&mut *waiting)
        };
        for line in lines {
            report::report(Level::Debug, &line);
        }
    }

    /// Both.
    pub fn say(&self, what: Verbosity, line: impl FnOnce() -> String) {
        self.note(what, line);
        self.tell();
    }
}
