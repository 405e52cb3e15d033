// SPDX-License-Identifier: GPL-2.0-or-later
//! What becomes of an open image whose bricks go out of reach, and come back.
//!
//! ```text
//!              a request fails: ENOTCONN, EBADFD            a look: the file answers, or was opened anew
//!        up ──────────────────────────────────> lost ─────────────────────────────────────────────────> up
//!                                                 │ on-disconnect=stall: what was not sent waits,        what waits
//!                                                 │ and reads that failed                                is sent
//!                                                 └ its time is over: they fail, and so does what comes
//!                                                   until the file answers again
//! ```
//!
//! A read that failed is sent again once the file answers. Nothing else is: whether a write that failed
//! has reached a brick is not known, and what another one wrote there since would be lost. The host,
//! which knows who else writes, is told and may send it again.
//!
//! Gluster's client opens files again by itself when a brick comes back. Where it did not, and the file
//! answers EBADFD for good, the image is opened anew on the same connection, but only if its name still
//! leads to the same file, and never when it is locked: the lock was lost with the brick's memory, and
//! another one may have written since.
//!
//! Looking blocks, so it is done on a thread of [`worker`](crate::worker), once a second at most.

use super::watch::Errand;
use super::*;
use crate::gfapi::Replicas;
use crate::options::OnDisconnect;
use crate::request::now_ns;
use crate::worker::{Job, Lane, WORKERS};
use std::ffi::{CString, c_int};
use std::sync::atomic::{AtomicI32, AtomicU64};
use std::time::Duration;

/// So long a read waits for a look at the file when nothing is to wait for the bricks.
const RETRY: Duration = Duration::from_secs(5);

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);

/// Of one image.
pub(super) struct Survive {
    id: ImageId,
    /// For messages.
    name: String,
    path: CString,
    /// How the image is open; a reopen changes it.
    flags: AtomicI32,
    /// Which file it is: half of its GFID.
    inode: libc::ino_t,
    policy: OnDisconnect,
    /// A locked file that answers EBADFD is fenced off: its lock is lost.
    strict: bool,
    /// To open it anew while it grows would have GlusterFS take a length for its own that lacks the
    /// growth, see [`Length`].
    is_sharded: bool,
    replicas: Arc<Replicas>,
    lane: Arc<Lane>,
    /// Another file has its name, and it is gone itself.
    replaced: AtomicBool,
    /// How often its file was opened anew.
    reopened: AtomicU64,
    /// Reads that were sent again.
    retried: AtomicU64,
    /// Locked before the desk and the lines of flushes and zeroes.
    state: Mutex<State>,
}

struct State {
    /// The errno that said so, while the bricks are out of reach.
    lost: Option<Errno>,
    /// Until when what was not sent waits; it does.
    stalled_until: Option<u64>,
    /// Reads that are to be sent again.
    parked: Vec<Parked>,
    /// The file itself may be what is wrong.
    suspect: bool,
    /// A look is under way.
    looking: bool,
    /// No look before.
    again: u64,
    /// Files that others took the place of, and since when. Calls may be in flight on them.
    retired: Vec<(u64, Arc<Backing>)>,
    /// The image is being closed: nothing waits any more.
    ended: bool,
}

struct Parked {
    request: SlotRef,
    until: u64,
    errno: Errno,
}

/// What a look at the file found.
enum Found<New> {
    /// It answers.
    Answers,
    /// It does not, or may not, and another opening of it does.
    Anew(New),
    /// Nothing does.
    Nothing,
    /// Another file has its name.
    Another,
    /// It is locked, and the lock is lost.
    Fenced(Errno),
    /// Another opening does, but could not take its place just now.
    Later,
}

/// Says that the bricks are out of reach.
fn is_out(errno: Errno) -> bool {
    matches!(errno.get(), libc::ENOTCONN | libc::EBADFD)
}

/// Says that, or that the bricks do not know the file. A disperse volume whose bricks are back after too few
/// were left answers EBADF to a flush, and goes on to do so.
pub(super) fn is_loss(errno: Errno) -> bool {
    let unknown = [libc::ESTALE, libc::ENOENT, libc::EBADF];
    is_out(errno) || unknown.contains(&errno.get())
}

fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Whether it answers to a read, be it with an error of its own.
fn answers(file: &File) -> gfapi::Result<()> {
    match file.read_byte(0) {
        Err(errno) if is_loss(errno) => Err(errno),
        _ => Ok(()),
    }
}

impl Survive {
    pub(super) fn new(
        id: ImageId,
        location: &ImageLocation,
        flags: c_int,
        inode: libc::ino_t,
        policy: OnDisconnect,
        backing: &Backing,
    ) -> Arc<Survive> {
        Arc::new(Survive {
            id,
            name: location.to_string(),
            path: location.path().to_owned(),
            flags: AtomicI32::new(flags),
            inode,
            policy,
            strict: location.has_strict_locks(),
            is_sharded: backing.volume.connection().is_sharded(),
            replicas: backing.replicas.clone(),
            lane: backing.volume.check_lane().clone(),
            replaced: AtomicBool::new(false),
            reopened: AtomicU64::new(0),
            retried: AtomicU64::new(0),
            state: Mutex::new(State {
                lost: None,
                stalled_until: None,
                parked: Vec::new(),
                suspect: false,
                looking: false,
                again: 0,
                retired: Vec::new(),
                ended: false,
            }),
        })
    }

    /// Whether another file has its name.
    pub(super) fn is_replaced(&self) -> bool {
        self.replaced.load(Ordering::Relaxed)
    }

    /// The image is open in another way now.
    pub(super) fn reopened(&self, flags: c_int) {
        self.flags.store(flags, Ordering::Relaxed);
    }

    /// Whether requests may have to wait for the bricks.
    pub(super) fn may_stall(&self) -> bool {
        matches!(self.policy, OnDisconnect::Stall(_))
    }

    /// Whether requests wait for the bricks.
    pub(super) fn is_stalled(&self) -> bool {
        self.state.lock().stalled_until.is_some()
    }

    /// Takes out a read that is to be sent again; whether it was there. `is_current` is asked while it
    /// cannot be.
    pub(super) fn withdraw(&self, request: SlotRef, is_current: impl FnOnce() -> bool) -> bool {
        let parked = &mut self.state.lock().parked;
        let at = parked.iter().position(|other| other.request == request);
        let Some(at) = at.filter(|_| is_current()) else {
            return false;
        };
        parked.remove(at);
        true
    }

    /// A request has failed so. A `read`, made one that was not sent, may have to wait until it is sent
    /// again: whether it does.
    pub(super) fn lost(
        self: &Arc<Self>,
        image: &Image,
        errno: Errno,
        read: Option<SlotRef>,
    ) -> bool {
        // What was written since is not to be read from a brick that lacks it.
        self.replicas.doubt();
        if image.lock.is_used() && errno.get() == libc::EBADFD && self.strict {
            return false;
        }
        let now = now_ns();
        let mut begins = None;
        let (parked, to_look) = {
            let mut state = self.state.lock();
            if state.ended {
                return false;
            }
            state.suspect |= errno.get() != libc::ENOTCONN;
            if is_out(errno) && state.lost.is_none() {
                state.lost = Some(errno);
                if let OnDisconnect::Stall(time) = self.policy {
                    state.stalled_until = Some(now.saturating_add(ns(time)));
                    begins = Some(time);
                    image.desk.lock().queue.stall(true);
                    image.flushes.stall();
                    image.zeroes.stall();
                }
            }
            let due = !state.looking && now >= state.again;
            let waits = state.looking || due || (is_out(errno) && state.stalled_until.is_some());
            let parked =
                waits && read.is_some_and(|request| self.park(&mut state, request, now, errno));
            state.looking |= due;
            (parked, due)
        };
        if to_look {
            WORKERS.start(&self.lane, self.clone());
        }
        if let Some(time) = begins {
            report::report(
                Level::Warning,
                &format!(
                    "image {}: its bricks are out of reach ({errno}); requests wait for them, {} s at \
                     most",
                    self.name,
                    time.as_secs()
                ),
            );
        }
        parked
    }

    fn park(&self, state: &mut State, request: SlotRef, now: u64, errno: Errno) -> bool {
        let time = match self.policy {
            OnDisconnect::Report => RETRY,
            OnDisconnect::Stall(time) => time,
        };
        let first = now.saturating_add(ns(time));
        let until = request.waits_until(first);
        if self.policy == OnDisconnect::Report && until != first {
            return false;
        }
        // Looked at under the lock: whoever cancels it does so before it looks for it here.
        if now >= until || request.stands() {
            return false;
        }
        state.parked.push(Parked {
            request,
            until,
            errno,
        });
        true
    }

    /// Once a second. Waits for nobody. Called during a visit; what there is to do then may fail only
    /// after it.
    pub(super) fn tick(self: &Arc<Self>, image: &Image) -> Option<Errand> {
        let now = now_ns();
        let to_look = {
            // Who has either may be waiting inside libgfapi, while the volume's graph changes.
            let mut state = self.state.try_lock()?;
            drop(image.desk.try_lock()?);
            if state.stalled_until.is_some_and(|until| now >= until) {
                let errno = state.lost.unwrap_or(Errno::new(libc::ENOTCONN, libc::EIO));
                self.give_up(&mut state, image, errno);
            }
            end_all(state.parked.extract_if(.., |parked| now >= parked.until));
            let work =
                state.lost.is_some() || !state.parked.is_empty() || !state.retired.is_empty();
            let due = work && !state.looking && !state.ended && now >= state.again;
            state.looking |= due;
            due
        };
        to_look.then(|| Errand {
            lane: self.lane.clone(),
            job: self.clone(),
        })
    }

    /// A request has changed what the image holds.
    pub(super) fn note_write(&self) {
        self.replicas.note_write();
    }

    /// Whether a replica's bricks should be looked at, as many do for one connection: see [`Absent`].
    pub(super) fn wants_look(&self, looks: &mut Vec<Absent>) {
        if !self.replicas.want_look() {
            return;
        }
        let seen = (self.id, self.replicas.clone());
        let same = looks
            .iter_mut()
            .find(|look| Arc::ptr_eq(&look.lane, &self.lane));
        match same {
            Some(look) => look.images.push(seen),
            None => looks.push(Absent {
                lane: self.lane.clone(),
                images: vec![seen],
            }),
        }
    }

    /// Nothing waits any more: what does has failed.
    fn give_up(&self, state: &mut State, image: &Image, errno: Errno) {
        end_all(state.parked.drain(..));
        if state.stalled_until.take().is_none() {
            return;
        }
        let queued = {
            let queue = &mut image.desk.lock().queue;
            queue.stall(false);
            queue.take_all()
        };
        let flushes = image.flushes.give_up();
        let zeroes = image.zeroes.give_up();
        for request in queued.into_iter().chain(flushes).chain(zeroes) {
            request.stand();
            request.call_off(errno);
        }
    }

    /// The image is about to be closed.
    pub(super) fn end(&self, image: &Image) {
        let mut state = self.state.lock();
        state.ended = true;
        let errno = state.lost.unwrap_or(Errno::new(libc::ENOTCONN, libc::EIO));
        self.give_up(&mut state, image, errno);
    }

    /// Nothing is in flight any more.
    pub(super) fn let_go(&self) {
        let retired = std::mem::take(&mut self.state.lock().retired);
        drop(retired);
    }

    /// Those of the retired files that nothing can be in flight on.
    fn idle(&self, image: &Image) -> Vec<(u64, Arc<Backing>)> {
        let mut state = self.state.lock();
        if state.retired.is_empty() {
            return Vec::new();
        }
        let desk = image.desk.lock();
        let oldest = desk.slab.in_use().map(|(_, seen)| seen.begun_ns).min();
        let is_idle = |since: u64| oldest.is_none_or(|begun| begun > since);
        state
            .retired
            .extract_if(.., |(since, _)| is_idle(*since))
            .collect()
    }

    fn look(&self, backing: &Backing, suspect: bool) -> Found<File> {
        let old = answers(&backing.file);
        if backing.lock.is_used() {
            return match old {
                // A brick that was restarted has forgotten it, and may have given it to another one.
                Ok(()) => match backing.lock.confirm_anew(&backing.file) {
                    Ok(()) => Found::Answers,
                    Err(errno) if is_out(errno) => Found::Nothing,
                    Err(errno) => Found::Fenced(errno),
                },
                Err(errno) if errno.get() == libc::EBADFD && self.strict => Found::Fenced(errno),
                Err(_) => Found::Nothing,
            };
        }
        // What write-behind could not write it tells the old file, once: never to lose that.
        if self.is_sharded || backing.volume.connection().has_write_behind() {
            return match old {
                Ok(()) => Found::Answers,
                Err(_) => Found::Nothing,
            };
        }
        let works = old.is_ok();
        if works && !suspect {
            return Found::Answers;
        }
        let connection = backing.volume.connection();
        let opened = File::open(connection, &self.path, self.flags.load(Ordering::Relaxed));
        let looked_at = opened.and_then(|file| {
            let is_same = file.stat()?.inode == self.inode;
            answers(&file)?;
            Ok((file, is_same))
        });
        match looked_at {
            Ok((file, true)) => Found::Anew(file),
            // As long as it answers it is what the host opened, whatever has its name.
            _ if works => Found::Answers,
            Ok((_, false)) => Found::Another,
            Err(errno) if errno.get() == libc::ENOENT => Found::Another,
            Err(_) => Found::Nothing,
        }
    }

    /// Puts a file in the place of another, which is kept until nothing is in flight on it.
    fn swap(&self, old: &Arc<Backing>, file: File) -> bool {
        let mut new = Some(Arc::new(Backing {
            file,
            flushing: Mutex::new(()),
            lock: old.lock.clone(),
            status: Status::new(),
            volume: old.volume.clone(),
            replicas: old.replicas.clone(),
            loss: old.loss.clone(),
            unflushed: old.unflushed.clone(),
        }));
        let swapped = registry::change_soon(self.id, |opened| {
            // A lock may have been taken since the look, on the old file; that is done during a visit.
            let may = !opened.draining && Arc::ptr_eq(&opened.backing, old) && !old.lock.is_used();
            if may && let Some(new) = new.take() {
                opened.backing = new;
            }
            may
        });
        // If it is still there: to close it may wait for a brick, so not inside.
        drop(new);
        if swapped == Some(true) {
            // After it: what was begun by now may be in flight on the old one.
            self.state.lock().retired.push((now_ns(), old.clone()));
            self.reopened.fetch_add(1, Ordering::Relaxed);
        }
        swapped == Some(true)
    }

    fn conclude(&self, found: Found<()>) {
        let Some(opened) = registry::visit(self.id) else {
            return;
        };
        let image = &opened.image;
        {
            let mut state = self.state.lock();
            state.looking = false;
            // Those that fail while others are sent again have their own look; each only one.
            state.again = match found {
                Found::Answers if !self.may_stall() => 0,
                // Not in a circle, when it answers and does not in turn.
                Found::Answers => now_ns().saturating_add(ns(PAUSE / 10)),
                _ => now_ns().saturating_add(ns(PAUSE)),
            };
            match found {
                Found::Answers => self.go_on(&mut state, &opened),
                Found::Anew(_) => {
                    image.count(Event::Reconnect, 1);
                    self.go_on(&mut state, &opened);
                }
                Found::Nothing if state.stalled_until.is_some() => {}
                // What waits goes on waiting, for another look.
                Found::Later => state.suspect = true,
                Found::Nothing => end_all(state.parked.drain(..)),
                Found::Another => {
                    self.give_up(&mut state, image, Errno::new(libc::ESTALE, libc::EIO));
                }
                Found::Fenced(errno) => self.give_up(&mut state, image, errno),
            }
        }
        image.refill(&opened.backing.file);
    }

    /// Sends what waits.
    fn go_on(&self, state: &mut State, opened: &Opened) {
        let image = &opened.image;
        state.lost = None;
        state.stalled_until = None;
        self.retried
            .fetch_add(state.parked.len() as u64, Ordering::Relaxed);
        image.count(Event::ReadRetry, state.parked.len());
        {
            let mut desk = image.desk.lock();
            desk.queue.stall(false);
            for parked in state.parked.drain(..).rev() {
                if let Some(seen) = parked.request.seen() {
                    let range = Range::alone(seen.kind, seen.offset, seen.length);
                    desk.queue.put_back(parked.request, range);
                }
            }
        }
        image.flushes.go_on(&opened.backing);
        image.zeroes.go_on(&opened.backing);
    }

    /// Tells what a look found, where the host has to know.
    fn tell(&self, found: &Found<()>) {
        let was_another = match found {
            Found::Nothing => self.is_replaced(),
            found => {
                let is_another = matches!(found, Found::Another);
                self.replaced.swap(is_another, Ordering::Relaxed)
            }
        };
        match found {
            Found::Another if !was_another => report::report(
                Level::Error,
                &format!(
                    "image {}: it was removed, or another file was put in its place, while its bricks \
                     were out of reach; requests fail until it is closed and opened again",
                    self.name
                ),
            ),
            Found::Anew(_) => report::report(
                Level::Info,
                &format!(
                    "image {}: its file was opened anew on the bricks (time {} of this opening, reads \
                     sent again so far: {})",
                    self.name,
                    self.reopened.load(Ordering::Relaxed),
                    self.retried.load(Ordering::Relaxed)
                ),
            ),
            _ => {}
        }
    }
}

/// A look at the bricks of replicas, for all images of a connection that were written and not flushed
/// since: of what is written while a brick is away the others have to take note when the next flush ends,
/// though it may be back by then, see [`Replicas`].
pub(super) struct Absent {
    lane: Arc<Lane>,
    images: Vec<(ImageId, Arc<Replicas>)>,
}

impl Absent {
    pub(super) fn errand(self) -> Errand {
        Errand {
            lane: self.lane.clone(),
            job: Arc::new(self),
        }
    }
}

impl Job for Absent {
    fn run(&self) -> bool {
        for (id, replicas) in &self.images {
            // Not the file, which is its image's to close.
            let volume = registry::visit(*id).map(|opened| opened.backing.volume.clone());
            let whole = volume.map(|volume| replicas.are_whole(volume.connection()));
            replicas.looked(whole.unwrap_or(true));
        }
        false
    }

    fn fail(&self, _why: Errno) {
        for (_, replicas) in &self.images {
            replicas.looked(true);
        }
    }
}

/// They end with the errno that they have failed with.
fn end_all(parked: impl Iterator<Item = Parked>) {
    for Parked { request, errno, .. } in parked {
        request.stand();
        request.call_off(errno);
    }
}

impl Job for Survive {
    fn run(&self) -> bool {
        let Some((backing, idle)) = registry::visit(self.id)
            .map(|opened| (opened.backing.clone(), self.idle(&opened.image)))
        else {
            return false;
        };
        // Closes them.
        drop(idle);
        let suspect = std::mem::take(&mut self.state.lock().suspect);
        let found = match self.look(&backing, suspect) {
            Found::Anew(file) => match self.swap(&backing, file) {
                true => Found::Anew(()),
                false => Found::Later,
            },
            Found::Later => Found::Later,
            Found::Nothing => Found::Nothing,
            Found::Answers => Found::Answers,
            Found::Another => Found::Another,
            Found::Fenced(errno) => Found::Fenced(errno),
        };
        if let Some(unflushed) = &backing.unflushed {
            // What is sent from now on is sent to bricks that are back.
            unflushed.look(backing.volume.connection());
        }
        // The image closes the file when the last request has ended: let go of it before.
        drop(backing);
        self.tell(&found);
        self.conclude(found);
        false
    }

    fn fail(&self, _why: Errno) {
        self.conclude(Found::Nothing);
    }
}
