// SPDX-License-Identifier: GPL-2.0-or-later
//! What the bricks have acknowledged and no flush has covered, with `strict-flush=on`.
//!
//! Bricks keep it in their machines' memory. One that loses power loses it, and GlusterFS does not tell:
//! when the brick is back, the next fsync succeeds. (NFS has a write verifier for that.) But it cannot
//! be back without a new connection. So an image that has something unflushed while all bricks that hold
//! some piece of it go away, one after another or at once, may have lost it, and no flush of this
//! opening says otherwise any more. That a brick was only restarted, or the network cut, looks the same.
//!
//! The connections are looked at once a second, and by every flush when its fsync is done: a client
//! takes three seconds to connect to a brick again, so that none goes and comes between two looks. Should
//! looks come late, a connection that has sent less than at the look before is a new one.

use super::watch::Errand;
use super::*;
use crate::gfapi::{BrickSet, Link};
use crate::worker::{Job, Lane};
use std::time::Duration;

/// So long a flush waits for the client to say how its connections are; it does not while its graph
/// changes.
const TRIES: usize = 40;
const PAUSE: Duration = Duration::from_millis(50);

/// Of one image.
pub(super) struct Unflushed {
    loss: Arc<Loss>,
    lane: Arc<Lane>,
    /// Accepted changes of the image that have not ended.
    changing: Arc<AtomicUsize>,
    /// Something was sent since the last flush began, ...
    written: AtomicBool,
    /// ... or before, and its fsync is under way.
    covered: AtomicBool,
    /// Somebody is to look.
    looking: AtomicBool,
    flushing: Mutex<()>,
    seen: Mutex<Seen>,
}

/// What the last look has found.
#[derive(Default)]
struct Seen {
    /// The connections are those of this graph.
    graph: Vec<u8>,
    sets: Vec<Kept>,
}

/// A set of bricks, and what was seen of them.
struct Kept {
    set: BrickSet,
    links: Vec<Link>,
    /// Which of them went away since there is something unflushed.
    gone: Vec<bool>,
}

/// A brick that cannot be reached has no connection that could be told from another one.
const AWAY: Link = Link {
    connected: false,
    sent: 0,
};

impl Unflushed {
    /// Of an image that is being opened: nothing is. `changing` counts what is accepted and not ended.
    pub(super) fn new(
        loss: &Arc<Loss>,
        changing: Arc<AtomicUsize>,
        volume: &Connected,
    ) -> Arc<Unflushed> {
        let unflushed = Arc::new(Unflushed {
            loss: loss.clone(),
            lane: volume.check_lane().clone(),
            changing,
            written: AtomicBool::new(false),
            covered: AtomicBool::new(false),
            looking: AtomicBool::new(false),
            flushing: Mutex::new(()),
            seen: Mutex::new(Seen::default()),
        });
        unflushed.look(volume.connection());
        unflushed
    }

    /// Something is about to be sent that changes the image.
    pub(super) fn note(&self) {
        if !self.written.load(Ordering::Relaxed) {
            self.written.store(true, Ordering::SeqCst);
        }
    }

    /// Makes an fsync, and fails when something may have been lost that it, or one before, has not
    /// covered.
    pub(super) fn flush(
        &self,
        connection: &Connection,
        fsync: impl FnOnce() -> gfapi::Result<()>,
    ) -> gfapi::Result<()> {
        let _one = self.flushing.lock();
        if self.written.swap(false, Ordering::SeqCst) {
            self.covered.store(true, Ordering::SeqCst);
        }
        // An fsync covers what has ended by now only. What ends in between is noted by who sends it.
        if self.changing.load(Ordering::SeqCst) > 0 {
            self.written.store(true, Ordering::SeqCst);
        }
        let synced = fsync();
        let told = (0..TRIES).any(|again| {
            if again > 0 {
                std::thread::sleep(PAUSE);
            }
            self.look(connection)
        });
        if !told && self.is_any() {
            self.lose("its client does not tell how its bricks are");
        }
        if self.loss.is_noted() {
            return synced.and(Err(Errno::new(libc::EIO, libc::EIO)));
        }
        if synced.is_err() {
            self.written.store(true, Ordering::SeqCst);
        }
        self.covered.store(false, Ordering::SeqCst);
        synced
    }

    fn is_any(&self) -> bool {
        self.written.load(Ordering::SeqCst) || self.covered.load(Ordering::SeqCst)
    }

    /// Looks at the connections; whether the client tells how they are. Asks no brick.
    pub(super) fn look(&self, connection: &Connection) -> bool {
        let mut seen = self.seen.lock();
        let Some(graph) = connection.graph() else {
            return false;
        };
        if graph != seen.graph && !seen.is_of(graph, connection) {
            return false;
        }
        let Some(links) = seen.ask(connection) else {
            return false;
        };
        // Looked at after the connections: what is sent later is sent through these.
        let gone = seen.compare(links, self.is_any());
        drop(seen);
        if let Some(bricks) = gone {
            self.lose(&format!("{bricks} went away"));
        }
        true
    }

    fn lose(&self, why: &str) {
        self.loss.note(&format!(
            "{why} while it had writes that were not flushed, and may have lost them with its machine's memory \
             (strict-flush=on)"
        ));
    }

    /// Somebody should look, if nobody is about to.
    pub(super) fn tick(self: &Arc<Self>, id: ImageId) -> Option<Errand> {
        let idle = !self.loss.is_noted() && !self.looking.swap(true, Ordering::SeqCst);
        idle.then(|| Errand {
            lane: self.lane.clone(),
            job: Arc::new(Look {
                id,
                unflushed: self.clone(),
            }),
        })
    }
}

impl Seen {
    /// Begins anew with the connections of this graph. What was away stays so until it is seen.
    fn is_of(&mut self, graph: Vec<u8>, connection: &Connection) -> bool {
        let Some(sets) = connection.brick_sets() else {
            return false;
        };
        let was_gone: Vec<String> = self.sets.iter().flat_map(Kept::gone_names).collect();
        self.sets = sets
            .into_iter()
            .map(|set| Kept {
                links: vec![
                    Link {
                        connected: true,
                        sent: 0
                    };
                    set.members.len()
                ],
                gone: set
                    .members
                    .iter()
                    .map(|member| was_gone.contains(&member.name))
                    .collect(),
                set,
            })
            .collect();
        self.graph = graph;
        true
    }

    fn ask(&self, connection: &Connection) -> Option<Vec<Vec<Link>>> {
        let links = |watched: &Kept| {
            let members = watched.set.members.iter();
            members.map(|member| connection.link(member)).collect()
        };
        self.sets.iter().map(links).collect()
    }

    /// Takes note of how the connections are now. The bricks that took along what is unflushed, if they
    /// may have.
    fn compare(&mut self, links: Vec<Vec<Link>>, is_any: bool) -> Option<String> {
        let mut lost = None;
        for (watched, links) in self.sets.iter_mut().zip(links) {
            for ((before, now), gone) in watched.links.iter().zip(&links).zip(&mut watched.gone) {
                let stayed = before.connected && now.connected && now.sent >= before.sent;
                *gone = is_any && (*gone || !stayed);
            }
            watched.links = links;
            for link in watched.links.iter_mut().filter(|link| !link.connected) {
                *link = AWAY;
            }
            if watched.gone.iter().filter(|&&gone| gone).count() > watched.set.spare {
                lost = Some(watched.gone_names().collect::<Vec<_>>().join(" and "));
            }
        }
        lost
    }
}

impl Kept {
    fn gone_names(&self) -> impl Iterator<Item = String> {
        let members = self.set.members.iter().zip(&self.gone);
        members
            .filter(|(_, gone)| **gone)
            .map(|(member, _)| member.name.clone())
    }
}

/// Between two flushes.
struct Look {
    id: ImageId,
    unflushed: Arc<Unflushed>,
}

impl Job for Look {
    fn run(&self) -> bool {
        // Not the file, which is its image's to close.
        let volume = registry::visit(self.id).map(|opened| opened.backing.volume.clone());
        if let Some(volume) = volume {
            self.unflushed.look(volume.connection());
        }
        self.unflushed.looking.store(false, Ordering::SeqCst);
        false
    }

    fn fail(&self, _why: Errno) {
        self.unflushed.looking.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gfapi::Member;

    fn seen(members: usize, spare: usize) -> Seen {
        let member = |number| Member::named(&format!("node{number}:/b"));
        Seen {
            graph: Vec::new(),
            sets: vec![Kept {
                set: BrickSet {
                    members: (0..members).map(member).collect(),
                    spare,
                },
                links: vec![
                    Link {
                        connected: true,
                        sent: 100
                    };
                    members
                ],
                gone: vec![false; members],
            }],
        }
    }

    fn up(sent: u64) -> Link {
        Link {
            connected: true,
            sent,
        }
    }

    fn look(seen: &mut Seen, links: &[Link], is_any: bool) -> bool {
        seen.compare(vec![links.to_vec()], is_any).is_some()
    }

    #[test]
    fn one_brick_that_goes_takes_what_is_unflushed_along() {
        let mut one = seen(1, 0);
        assert!(!look(&mut one, &[up(100)], true));
        assert!(!look(&mut one, &[up(2000)], true));
        assert!(look(&mut one, &[AWAY], true));
    }

    #[test]
    fn nothing_is_lost_when_nothing_is_unflushed() {
        let mut one = seen(1, 0);
        assert!(!look(&mut one, &[AWAY], false));
        assert!(!look(&mut one, &[up(7)], false));
        assert!(!look(&mut one, &[up(8)], true));
    }

    #[test]
    fn what_is_written_to_a_brick_that_has_not_been_seen_back_may_be_lost() {
        let mut one = seen(1, 0);
        assert!(!look(&mut one, &[AWAY], false));
        assert!(look(&mut one, &[up(7)], true));
    }

    #[test]
    fn a_connection_that_has_sent_less_is_a_new_one() {
        let mut one = seen(1, 0);
        assert!(look(&mut one, &[up(99)], true));
    }

    #[test]
    fn the_last_replica_to_go_takes_it_along() {
        let mut three = seen(3, 2);
        assert!(!look(&mut three, &[AWAY, up(101), AWAY], true));
        assert!(!look(&mut three, &[up(7), up(102), up(7)], true));
        assert!(look(&mut three, &[up(8), AWAY, up(8)], true));
        let mut three = seen(3, 2);
        assert!(!look(&mut three, &[AWAY, up(101), AWAY], true));
        assert!(!look(&mut three, &[up(7), up(102), up(7)], false));
        assert!(!look(&mut three, &[up(8), AWAY, up(8)], true));
    }
}
