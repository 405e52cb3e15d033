// SPDX-License-Identifier: GPL-2.0-or-later
//! Who runs when, how many at once, and that threads go. Each test has workers of its own.

use super::*;
use std::sync::mpsc::{Receiver, Sender, channel};

const LONG: Duration = Duration::from_secs(60);

fn workers(lane: usize, all: usize, idle: Duration) -> &'static Workers {
    Box::leak(Box::new(Workers::new(Limits { lane, all, idle })))
}

/// Says that it runs, waits until it may go on, and says that there is more as often as asked.
struct Step {
    name: usize,
    begun: Sender<usize>,
    go_on: Mutex<Receiver<bool>>,
    failed: Sender<usize>,
}

impl Job for Step {
    fn run(&self) -> bool {
        self.begun.send(self.name).unwrap();
        self.go_on.lock().recv_timeout(LONG).unwrap()
    }

    fn fail(&self, why: Errno) {
        assert_eq!(why.get(), libc::EIO);
        self.failed.send(self.name).unwrap();
    }
}

struct Steps {
    workers: &'static Workers,
    begun: (Sender<usize>, Receiver<usize>),
    failed: (Sender<usize>, Receiver<usize>),
    go_on: Vec<Sender<bool>>,
}

impl Steps {
    fn of(workers: &'static Workers) -> Steps {
        Steps {
            workers,
            begun: channel(),
            failed: channel(),
            go_on: Vec::new(),
        }
    }

    fn start(&mut self, lane: &Arc<Lane>) -> usize {
        let (sender, go_on) = channel();
        self.go_on.push(sender);
        let name = self.go_on.len() - 1;
        self.workers.start(
            lane,
            Arc::new(Step {
                name,
                begun: self.begun.0.clone(),
                go_on: Mutex::new(go_on),
                failed: self.failed.0.clone(),
            }),
        );
        name
    }

    fn has_begun(&self) -> usize {
        self.begun.1.recv_timeout(LONG).unwrap()
    }

    fn none_begins(&self) {
        let begun = self.begun.1.recv_timeout(Duration::from_millis(50));
        assert!(begun.is_err(), "job {begun:?} runs beyond the bounds");
    }

    fn end(&self, name: usize) {
        self.go_on[name].send(false).unwrap();
    }
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_lane_has_so_many_threads_and_its_jobs_keep_their_order() {
    let mut steps = Steps::of(workers(2, 64, LONG));
    let lane = Lane::new();
    for _ in 0..5 {
        steps.start(&lane);
    }
    let mut first = [steps.has_begun(), steps.has_begun()];
    first.sort_unstable();
    assert_eq!(first, [0, 1]);
    steps.none_begins();
    for name in 0..5 {
        steps.end(name);
        if name + 2 < 5 {
            assert_eq!(steps.has_begun(), name + 2);
        }
    }
    wait_until("all end", || steps.workers.room.lock().busy == 0);
    assert_eq!(lane.running(), 0);
    assert_eq!(steps.workers.room.lock().idle, 2, "both threads are kept");
}

#[test]
fn a_lane_that_hangs_keeps_no_other_from_running() {
    let mut steps = Steps::of(workers(4, 4, LONG));
    let hanging = Lane::new();
    for _ in 0..10 {
        steps.start(&hanging);
    }
    for _ in 0..4 {
        steps.has_begun();
    }
    let others: Vec<_> = (0..3).map(|_| Lane::new()).collect();
    for lane in &others {
        let one = steps.start(lane);
        assert_eq!(steps.has_begun(), one, "the first of a lane runs at once");
        steps.start(lane);
    }
    steps.none_begins();
    for (at, lane) in others.iter().enumerate() {
        steps.end(10 + 2 * at);
        assert_eq!(steps.has_begun(), 11 + 2 * at, "then the next of that lane");
        steps.end(11 + 2 * at);
        wait_until("it ends", || lane.running() == 0);
    }
    for name in 0..10 {
        steps.end(name);
    }
    wait_until("all end", || steps.workers.room.lock().busy == 0);
    assert!(steps.workers.room.lock().waiting.is_empty());
}

#[test]
fn a_lane_that_goes_on_is_not_robbed_of_its_only_thread() {
    let mut steps = Steps::of(workers(4, 4, LONG));
    let (healthy, hanging) = (Lane::new(), Lane::new());
    let own = steps.start(&healthy);
    assert_eq!(steps.has_begun(), own);
    for _ in 0..4 {
        steps.start(&hanging);
    }
    for _ in 0..3 {
        steps.has_begun();
    }
    steps.none_begins();
    for _ in 0..3 {
        steps.go_on[own].send(true).unwrap();
        assert_eq!(
            steps.has_begun(),
            own,
            "not the hanging one that waits longer"
        );
    }
    for name in 0..5 {
        steps.end(name);
    }
    wait_until("all end", || steps.workers.room.lock().busy == 0);
}

#[test]
fn a_job_with_more_to_do_lets_the_others_go_first() {
    let mut steps = Steps::of(workers(1, 64, LONG));
    let lane = Lane::new();
    for _ in 0..3 {
        steps.start(&lane);
    }
    assert_eq!(steps.has_begun(), 0);
    steps.go_on[0].send(true).unwrap();
    assert_eq!(steps.has_begun(), 1);
    steps.end(1);
    assert_eq!(steps.has_begun(), 2);
    steps.end(2);
    assert_eq!(steps.has_begun(), 0, "again, at last");
    steps.end(0);
    wait_until("all end", || steps.workers.room.lock().busy == 0);
}

#[test]
fn a_panic_fails_the_job_and_takes_nothing_from_the_others() {
    let mut steps = Steps::of(workers(1, 64, LONG));
    let lane = Lane::new();
    let fated = steps.start(&lane);
    let next = steps.start(&lane);
    assert_eq!(steps.has_begun(), fated);
    // Without its sender the job's wait is an error, which it unwraps.
    steps.go_on[fated] = channel().0;
    assert_eq!(steps.failed.1.recv_timeout(LONG), Ok(fated));
    assert_eq!(steps.has_begun(), next);
    steps.end(next);
    wait_until("all end", || steps.workers.room.lock().busy == 0);
    assert_eq!(lane.running(), 0);
}

#[test]
fn a_thread_without_work_ends() {
    let mut steps = Steps::of(workers(4, 64, Duration::from_millis(20)));
    let lane = Lane::new();
    for round in 0..3 {
        let name = steps.start(&lane);
        assert_eq!(steps.has_begun(), name);
        steps.end(name);
        wait_until("it sleeps", || steps.workers.room.lock().busy == 0);
        wait_until("it ends", || steps.workers.room.lock().idle == 0);
        assert_eq!(steps.workers.room.lock().calls, 0, "round {round}");
    }
}

#[test]
fn every_job_of_many_threads_runs_once() {
    struct Count {
        runs: AtomicUsize,
        left: Arc<AtomicUsize>,
    }
    impl Job for Count {
        fn run(&self) -> bool {
            let more = self.runs.fetch_add(1, Ordering::Relaxed) == 0;
            if !more {
                self.left.fetch_sub(1, Ordering::Relaxed);
            }
            more
        }
        fn fail(&self, why: Errno) {
            panic!("{why}");
        }
    }
    const JOBS: usize = 2000;
    // So short an idle time that threads end while they are called.
    let workers = workers(3, 5, Duration::from_micros(50));
    let left = Arc::new(AtomicUsize::new(4 * JOBS));
    let lanes: Vec<_> = (0..4).map(|_| Lane::new()).collect();
    std::thread::scope(|scope| {
        for lane in &lanes {
            scope.spawn(|| {
                for _ in 0..JOBS {
                    let job = Count {
                        runs: AtomicUsize::new(0),
                        left: left.clone(),
                    };
                    workers.start(lane, Arc::new(job));
                }
            });
        }
    });
    wait_until("all end", || left.load(Ordering::Relaxed) == 0);
    wait_until("nobody works", || workers.room.lock().busy == 0);
    wait_until("nobody sleeps", || workers.room.lock().idle == 0);
    let room = workers.room.lock();
    assert!(room.ready.is_empty() && room.waiting.is_empty() && room.calls == 0);
}
