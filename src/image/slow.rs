// SPDX-License-Identifier: GPL-2.0-or-later
//! Requests that take too long are reported: each once, those that are found together in one sentence,
//! with what is known of the bricks.
//!
//! What the client knows of its bricks is read on a thread of [`worker`](crate::worker), since a volume
//! whose graph changes can make even that wait. When it does, the sentence comes without.

use super::watch::Errand;
use super::*;
use crate::request::now_ns;
use crate::worker::{Job, Lane};
use std::cell::RefCell;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// So long a sentence waits for what is known of the bricks.
const PATIENCE_NS: u64 = 1_500_000_000;

/// Of one image.
pub(super) struct Slow {
    id: ImageId,
    /// For messages.
    name: String,
    volume: String,
    /// 0: nothing is too long.
    limit_ns: u64,
    lane: Arc<Lane>,
    /// Requests that took too long, of this opening.
    count: AtomicU64,
    untold: Mutex<Option<Burst>>,
}

/// Requests that were found together.
#[derive(Clone, Copy)]
struct Burst {
    requests: u64,
    oldest: Seen,
    found_ns: u64,
    /// They wait on purpose.
    stalled: bool,
}

/// A sentence, for a thread that may block in the host's report.
struct Sentence(String);

impl Slow {
    pub(super) fn new(
        id: ImageId,
        location: &ImageLocation,
        limit: Duration,
        backing: &Backing,
    ) -> Arc<Slow> {
        Arc::new(Slow {
            id,
            name: location.to_string(),
            volume: location.volume(),
            limit_ns: u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX),
            lane: backing.volume.check_lane().clone(),
            count: AtomicU64::new(0),
            untold: Mutex::new(None),
        })
    }

    /// Once a second. Waits for nobody. Called during a visit.
    pub(super) fn tick(self: &Arc<Self>, image: &Image) -> Option<Errand> {
        if self.limit_ns == 0 {
            return None;
        }
        let now = now_ns();
        let late = {
            let mut untold = self.untold.lock();
            match *untold {
                None => None,
                Some(burst) if now > burst.found_ns + PATIENCE_NS => untold.take(),
                // One sentence at a time.
                Some(_) => return None,
            }
        };
        if let Some(burst) = late {
            let sentence = Arc::new(Sentence(self.sentence(&burst, None)));
            // A lane of its own: the other one's threads hang.
            return Some(Errand {
                lane: Lane::new(),
                job: sentence,
            });
        }
        *self.untold.lock() = Some(self.find(image, now)?);
        Some(Errand {
            lane: self.lane.clone(),
            job: self.clone(),
        })
    }

    /// Requests that are too old by now and were not before.
    fn find(&self, image: &Image, now: u64) -> Option<Burst> {
        if image.outstanding.load(Ordering::Relaxed) == 0 {
            return None;
        }
        // Who has it may be waiting inside libgfapi, while the volume's graph changes: next time.
        let desk = image.desk.try_lock()?;
        let late: Vec<(SlotRef, Seen)> = desk
            .slab
            .in_use()
            .filter(|(request, seen)| {
                now > seen.begun_ns + self.limit_ns && !request.is_told() && !request.is_delivered()
            })
            .collect();
        if late.is_empty() {
            return None;
        }
        // Those that are done wait for the host. A leader is so for all of its requests.
        let ready = RefCell::new(Vec::new());
        image.completions.take(|request| {
            ready.borrow_mut().push(request);
            false
        });
        let ready = ready.into_inner();
        if ready.iter().any(|request| request.leads()) {
            return None;
        }
        let late = late
            .into_iter()
            .filter(|(request, _)| !ready.contains(request));
        let mut burst = None;
        for (request, seen) in late {
            request.tell();
            let so_far = burst.get_or_insert(Burst {
                requests: 0,
                oldest: seen,
                found_ns: now,
                stalled: false,
            });
            so_far.requests += 1;
            if seen.begun_ns < so_far.oldest.begun_ns {
                so_far.oldest = seen;
            }
        }
        drop(desk);
        let mut burst = burst?;
        burst.stalled = image.survive.is_stalled();
        self.count.fetch_add(burst.requests, Ordering::Relaxed);
        image.count(Event::Slow, burst.requests as usize);
        Some(burst)
    }

    fn sentence(&self, burst: &Burst, bricks: Option<Vec<Brick>>) -> String {
        let Burst {
            requests, oldest, ..
        } = burst;
        let range = match oldest.kind {
            Kind::Flush => String::new(),
            _ => format!(" of {} bytes at offset {}", oldest.length, oldest.offset),
        };
        let age = burst.found_ns.saturating_sub(oldest.begun_ns) as f64 / 1e9;
        let count = match requests {
            1 => String::new(),
            more => format!(", with {} younger ones", more - 1),
        };
        let stalled = match burst.stalled {
            true => "; requests wait for the bricks (on-disconnect=stall)",
            false => "",
        };
        format!(
            "image {}: a {}{range} takes {age:.1} s so far{count}{stalled}; {} (slow requests of this \
             opening: {})",
            self.name,
            oldest.kind.name(),
            told(&self.volume, bricks),
            self.count.load(Ordering::Relaxed)
        )
    }
}

fn told(volume: &str, bricks: Option<Vec<Brick>>) -> String {
    let Some(bricks) = bricks else {
        return format!("nothing is known of the bricks of volume '{volume}'");
    };
    let away: Vec<&str> = bricks
        .iter()
        .filter(|brick| !brick.connected)
        .map(|brick| &*brick.name)
        .collect();
    if away.is_empty() {
        return format!(
            "all bricks of volume '{volume}' are connected: one may be silent, or slow"
        );
    }
    format!(
        "of volume '{volume}' not connected: {}; see `gluster volume status`",
        away.join(", ")
    )
}

impl Job for Slow {
    fn run(&self) -> bool {
        // Not the file, which is its image's to close.
        let visit = registry::visit(self.id);
        let Some(volume) = visit.map(|opened| opened.backing.volume.clone()) else {
            return false;
        };
        let bricks = volume.connection().bricks();
        drop(volume);
        let burst = self.untold.lock().take();
        if let Some(burst) = burst {
            report::report(Level::Warning, &self.sentence(&burst, bricks));
        }
        false
    }

    fn fail(&self, _why: Errno) {
        // Told without the bricks, when it has waited for long enough.
    }
}

impl Job for Sentence {
    fn run(&self) -> bool {
        report::report(Level::Warning, &self.0);
        false
    }

    fn fail(&self, _why: Errno) {}
}
