// SPDX-License-Identifier: GPL-2.0-or-later
//! When requests came and ended, for less than it costs to ask each time: that costs more than all else
//! that is counted of a request.
//!
//! While callbacks are quick, the time is asked once for [`AT_A_TIME`] of them that follow one another,
//! and for the first request that each of them submits. So what is told of a request is wrong by
//! [`QUICK_NS`] for each of these callbacks at most, while as many requests are in flight. When some
//! callback takes longer after all, what was given the time before it is told as if it had come after
//! it, see [`Delays`].

use super::statistics::Clock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Callbacks for which the time is asked once, when the last ...
const AT_A_TIME: u32 = 16;

/// ... took no more than so long each, with all that goes with it.
const QUICK_NS: u64 = 2_000;

/// What an image knows of the time. On a cache line of its own, since it changes with each callback.
#[repr(align(64))]
pub struct Handy {
    /// For the next request that is submitted, 0: ask.
    now: AtomicU64,
    /// The last callbacks were quick.
    quick: AtomicBool,
}

impl Handy {
    /// None.
    pub fn new() -> Handy {
        Handy {
            now: AtomicU64::new(0),
            quick: AtomicBool::new(false),
        }
    }

    /// The time for a request that is submitted now.
    pub fn take(&self, clock: Clock) -> u64 {
        let now = self.now.load(Ordering::Relaxed);
        if now == 0 {
            return clock.now();
        }
        // Only one, since a callback may go on for long after it. Two threads may take the same: it is
        // as true for both.
        self.now.store(0, Ordering::Relaxed);
        now
    }
}

/// The time, as a thread that calls callbacks knows it.
pub struct Time {
    now: u64,
    /// So many requests may go by without asking ...
    left: u32,
    /// ... of so many.
    whole: u32,
    /// So many requests were given this time.
    given: u32,
    /// `now` was asked in a row of quick callbacks.
    quick: bool,
}

impl Time {
    /// Not known, at the beginning of a row of callbacks.
    pub fn new(handy: &Handy) -> Time {
        Time {
            now: 0,
            left: 0,
            whole: 0,
            given: 0,
            quick: handy.quick.load(Ordering::Relaxed),
        }
    }

    /// The time for a request that came at `began` and has ended, and what to add to the delays.
    pub fn at_end(&mut self, clock: Clock, began: u64) -> (u64, Option<Delay>) {
        let mut delay = None;
        // One that came later than that has ended later, too.
        if self.left == 0 || began >= self.now {
            delay = self.ask(clock.now());
        }
        self.left = self.left.saturating_sub(1);
        (self.now, delay)
    }

    /// Before a callback.
    pub fn offer(&self, handy: &Handy) {
        if self.quick {
            handy.now.store(self.now, Ordering::Relaxed);
        }
    }

    /// After it.
    pub fn withdraw(&mut self, handy: &Handy) {
        if self.quick {
            self.given += u32::from(handy.now.load(Ordering::Relaxed) != self.now);
            handy.now.store(0, Ordering::Relaxed);
        }
    }

    /// No callback follows for now.
    pub fn at_rest(&mut self, clock: Clock, handy: &Handy) -> Option<Delay> {
        if self.now == 0 {
            return None;
        }
        let delay = self.ask(clock.now());
        if handy.quick.load(Ordering::Relaxed) != self.quick {
            handy.quick.store(self.quick, Ordering::Relaxed);
        }
        delay
    }

    fn ask(&mut self, now: u64) -> Option<Delay> {
        let mut delay = None;
        if self.now > 0 {
            let took = now - self.now;
            self.quick = took <= QUICK_NS * u64::from(self.whole - self.left);
            delay = (!self.quick && self.given > 0).then_some(Delay {
                from: self.now,
                to: now,
                given: self.given,
            });
        }
        self.whole = if self.quick { AT_A_TIME } else { 1 };
        self.left = self.whole;
        self.given = 0;
        self.now = now;
        delay
    }
}

/// So many requests are said to have come at `from`, but may have come as late as `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delay {
    from: u64,
    to: u64,
    given: u32,
}

/// Those of an image. As a rule there is none: they follow quick callbacks only.
pub struct Delays(Vec<Delay>);

/// More are not worth a look at the end of each request.
const MOST_DELAYS: usize = 8;

impl Delays {
    /// None.
    pub fn new() -> Delays {
        Delays(Vec::with_capacity(MOST_DELAYS))
    }

    /// One more.
    pub fn add(&mut self, delay: Delay) {
        if self.0.len() == MOST_DELAYS {
            self.0.remove(0);
        }
        self.0.push(delay);
    }

    /// When a request came that is said to have come at `began`, and has ended.
    pub fn came(&mut self, began: u64) -> u64 {
        let Some(at) = self.0.iter().position(|delay| delay.from == began) else {
            return began;
        };
        let delay = &mut self.0[at];
        let came = delay.to;
        delay.given -= 1;
        if delay.given == 0 {
            self.0.swap_remove(at);
        }
        came
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row in which the time is asked then, and each callback submits a request: their times.
    fn row(time: &mut Time, handy: &Handy, delays: &mut Delays, asked: &[u64]) -> Vec<u64> {
        let mut given = Vec::new();
        for &now in asked {
            delays.0.extend(time.ask(now));
            while time.left > 0 {
                time.left -= 1;
                time.offer(handy);
                given.push(handy.now.swap(0, Ordering::Relaxed));
                time.withdraw(handy);
            }
        }
        given
    }

    #[test]
    fn the_time_is_given_in_a_row_of_quick_callbacks_only() {
        let (handy, mut delays) = (Handy::new(), Delays::new());
        let mut time = Time::new(&handy);
        // One callback of 1 us, 16 within 32 us, 16 that take longer, one that is slow, one of 2 us.
        let asked = [
            1_000_000, 1_001_000, 1_033_000, 1_065_001, 1_090_000, 1_092_000,
        ];
        let given = row(&mut time, &handy, &mut delays, &asked);
        let many = AT_A_TIME as usize;
        let wanted = [
            vec![0],
            vec![1_001_000; many],
            vec![1_033_000; many],
            vec![0, 0],
            vec![1_092_000; many],
        ];
        assert_eq!(given, wanted.concat());
        for _ in 0..many {
            assert_eq!(delays.came(1_033_000), 1_065_001);
        }
        assert_eq!(delays.came(1_033_000), 1_033_000);
        assert_eq!(delays.came(1_001_000), 1_001_000);
        assert!(delays.0.is_empty());
    }

    #[test]
    fn a_row_that_rests_late_says_so() {
        let (clock, handy) = (Clock::start(), Handy::new());
        let mut time = Time::new(&handy);
        assert_eq!(time.at_rest(clock, &handy), None);
        assert!(!handy.quick.load(Ordering::Relaxed));
        // What an earlier row was like counts.
        handy.quick.store(true, Ordering::Relaxed);
        let mut time = Time::new(&handy);
        let now = clock.now().max(1);
        assert_eq!(time.ask(now), None);
        time.left -= 1;
        time.offer(&handy);
        assert_eq!(handy.take(clock), now);
        time.withdraw(&handy);
        std::thread::sleep(std::time::Duration::from_millis(1));
        let delay = time.at_rest(clock, &handy).expect("it took a millisecond");
        assert_eq!((delay.from, delay.given), (now, 1));
        assert!(delay.to >= now + 1_000_000);
        assert!(!handy.quick.load(Ordering::Relaxed));
        // What none was offered is asked.
        assert!(handy.take(clock) >= delay.to);
    }

    #[test]
    fn a_request_never_ends_before_it_came() {
        let clock = Clock::start();
        let mut time = Time::new(&Handy::new());
        for _ in 0..100 {
            let began = clock.now();
            assert!(time.at_end(clock, began).0 >= began);
        }
    }

    #[test]
    fn old_delays_make_room() {
        let mut delays = Delays::new();
        for at in 1..=MOST_DELAYS as u64 + 1 {
            delays.add(Delay {
                from: at,
                to: at + 100,
                given: 1,
            });
        }
        assert_eq!(delays.0.len(), MOST_DELAYS);
        assert_eq!(delays.came(1), 1);
        assert_eq!(delays.came(9), 109);
    }
}
