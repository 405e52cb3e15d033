// SPDX-License-Identifier: GPL-2.0-or-later
//! A time in which an image has no request in flight: what comes meanwhile is accepted and held back,
//! in its order, of whatever kind it is, and sent when that time is over.
//!
//! The queue knows nothing of it: a request that is held back comes to the queue when it is let in.

use super::*;

/// What is held back. Part of the desk.
pub(super) struct Quiet {
    /// Times that have begun and not ended.
    begun: u32,
    held_back: VecDeque<(SlotRef, Range)>,
}

impl Quiet {
    pub(super) fn new() -> Quiet {
        Quiet {
            begun: 0,
            held_back: VecDeque::new(),
        }
    }

    /// Whether a request has to wait. Also while those before it are let in.
    fn holds(&self) -> bool {
        self.begun > 0 || !self.held_back.is_empty()
    }

    /// Takes out one that is held back; whether it was there.
    pub(super) fn withdraw(&mut self, request: SlotRef) -> bool {
        let at = self
            .held_back
            .iter()
            .position(|(other, _)| *other == request);
        at.is_some_and(|at| self.held_back.remove(at).is_some())
    }

    /// Ends all such times: the image is closed.
    pub(super) fn pull(&mut self) {
        self.begun = 0;
    }
}

impl Desk {
    /// A new request: the ticket to send it with now, or `None` when it has to wait.
    pub(super) fn admit(&mut self, request: SlotRef, range: Range) -> Option<Ticket> {
        if self.quiet.holds() {
            self.quiet.held_back.push_back((request, range));
            return None;
        }
        self.queue.admit(request, range)
    }

    /// Whether something that changes the image is held back.
    pub(super) fn holds_changes_back(&self) -> bool {
        let mut held_back = self.quiet.held_back.iter();
        held_back.any(|(_, range)| range.kind.changes())
    }
}

impl Image {
    /// Nothing is in flight but what is held back.
    pub(super) fn is_idle(&self) -> bool {
        // Both are changed at the desk.
        let desk = self.desk.lock();
        self.outstanding.load(Ordering::Relaxed) == desk.quiet.held_back.len()
    }

    /// Accepted requests that no host thread has taken for delivery yet.
    pub fn in_flight(&self) -> usize {
        self.outstanding.load(Ordering::Relaxed)
    }

    /// Holds back what comes from now on, and waits for what came before, calling callbacks.
    pub fn begin_quiet(&self) -> Result<()> {
        self.with_backing(|_| {
            self.desk.lock().quiet.begun += 1;
            Ok(())
        })?;
        self.drain();
        Ok(())
    }

    /// Undoes one `begin_quiet`; the last one sends what was held back.
    pub fn end_quiet(&self) -> Result<()> {
        self.with_backing(|backing| {
            {
                let mut desk = self.desk.lock();
                desk.quiet.begun = desk.quiet.begun.checked_sub(1).ok_or_else(|| {
                    self.error(libc::EINVAL, "has no drain_begin that drain_end could end")
                })?;
            }
            self.let_in(backing);
            Ok(())
        })
    }

    /// Sends what was held back, unless it still is.
    pub(super) fn let_in(&self, backing: &Arc<Backing>) {
        loop {
            let mut desk = self.desk.lock();
            if desk.quiet.begun > 0 {
                return;
            }
            let Some((request, range)) = desk.quiet.held_back.pop_front() else {
                return;
            };
            // A reopen may have come in between. It never reaches write-behind, which would acknowledge it.
            if range.kind.changes() && !self.is_read_write() {
                request.call_off(Errno::new(libc::EBADF, libc::EIO));
                continue;
            }
            // Under the lock, as in `refill`: what comes next may overlap it.
            match desk.queue.admit(request, range) {
                Some(_) if range.kind == Kind::Flush => self.flushes.submit(request, backing),
                Some(ticket) => self.send(request, ticket, &backing.file),
                None => {}
            }
            let ripe = desk.queue.is_ripe();
            drop(desk);
            if ripe {
                self.refill(&backing.file);
            }
        }
    }
}
