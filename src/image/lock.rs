// SPDX-License-Identifier: GPL-2.0-or-later
//! The lock on an image: who may write it, among all that ask.
//!
//! Two bytes of the file are locked, those that QEMU's driver of local files uses for the same: so an
//! image is also safe from a QEMU that has it through a mount of the volume. Their place in the data
//! does not matter, since the locks are advisory.
//!
//! ```text
//!               byte "writes"   byte "forbids others to write"
//!  writer       alone           alone
//!  with others  shared          free: tried, and let go of
//!  reader       free: tried     shared
//!  reader who does not mind:    no lock at all
//! ```
//!
//! An open image goes from one row to another byte by byte, without letting go of what both have.

use super::*;
use crate::gfapi::Hold;
use crate::options::Locking;
use parking_lot::MutexGuard;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::{Duration, Instant};

/// QEMU locks 100 and up for what it does, 200 and up for what it does not let others do; 1 is to
/// write.
const WRITES: i64 = 101;
const FORBIDS_WRITES: i64 = 201;

/// So long a lock is tried for that fits with nobody's. A holder that was killed is gone in
/// milliseconds, and others that only try a byte have it no longer.
const PATIENCE_ALONE: Duration = Duration::from_millis(200);

/// The same for one that fits with others: many may try the same byte at once.
const PATIENCE: Duration = Duration::from_secs(1);

/// Longest pause between two tries. Random ones: openers who fit one another, and come together, would
/// else find each other in the way again and again.
const LONGEST_PAUSE_MS: u64 = 160;

/// So long a lock is believed to be there.
const CONFIRMED: Duration = Duration::from_millis(500);

/// So long it is when the bricks do not answer when they are asked for it.
const UNANSWERED: Duration = Duration::from_secs(10);

/// What an opener asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// To write, and nobody else does, nor reads unless he does not mind.
    Writer,
    /// To write, as others may that ask for this too.
    AmongWriters,
    /// To read, and nobody writes.
    Reader,
}

impl Mode {
    /// `None`: a reader who does not mind.
    pub(super) fn of(read_write: bool, share_rw: bool) -> Option<Mode> {
        match (read_write, share_rw) {
            (true, false) => Some(Mode::Writer),
            (true, true) => Some(Mode::AmongWriters),
            (false, false) => Some(Mode::Reader),
            (false, true) => None,
        }
    }

    /// The host's way to say it. `None`: it neither writes nor minds.
    pub(super) fn asked(writes: bool, forbids_writes: bool) -> Option<Mode> {
        match (writes, forbids_writes) {
            (true, true) => Some(Mode::Writer),
            (true, false) => Some(Mode::AmongWriters),
            (false, true) => Some(Mode::Reader),
            (false, false) => None,
        }
    }

    fn writes(self) -> bool {
        self != Mode::Reader
    }

    /// Takes it at once, over what `from` has; false when somebody else's forbids it, and then that is
    /// what it has.
    fn take(self, file: &File, from: Option<Mode>) -> gfapi::Result<bool> {
        // The byte that stays locked, and the other.
        let (own, hold, other) = match self {
            Mode::Writer => (WRITES, Hold::Alone, FORBIDS_WRITES),
            Mode::AmongWriters => (WRITES, Hold::Shared, FORBIDS_WRITES),
            Mode::Reader => (FORBIDS_WRITES, Hold::Shared, WRITES),
        };
        let mut free = file.try_lock(own, hold);
        if from.is_none() && matches!(free, Ok(false)) {
            let _ = file.unfence();
            return free;
        }
        if matches!(free, Ok(true)) {
            free = file.try_lock(other, Hold::Alone);
        }
        if matches!(free, Ok(true)) && self != Mode::Writer {
            free = file.unlock(other, 1).map(|()| true);
        }
        if !matches!(free, Ok(true)) {
            // Some of a volume's bricks may have said yes.
            let _ = match from {
                Some(from) => from.restore(file),
                None => Mode::give(file),
            };
        }
        free
    }

    /// Has again what it had, and no more. Nobody else can have got it: only bytes that are more than
    /// that were tried, but for a writer's, which are not contested when he asks for less.
    fn restore(self, file: &File) -> gfapi::Result<()> {
        let holds = match self {
            Mode::Writer => [
                (WRITES, Some(Hold::Alone)),
                (FORBIDS_WRITES, Some(Hold::Alone)),
            ],
            Mode::AmongWriters => [(WRITES, Some(Hold::Shared)), (FORBIDS_WRITES, None)],
            Mode::Reader => [(FORBIDS_WRITES, Some(Hold::Shared)), (WRITES, None)],
        };
        for (byte, hold) in holds {
            match hold {
                Some(hold) => drop(file.try_lock(byte, hold)?),
                None => file.unlock(byte, 1)?,
            }
        }
        Ok(())
    }

    /// Lets go of all, in one call, or the client would believe in a lock and have the file fenced by
    /// it.
    pub(super) fn give(file: &File) -> gfapi::Result<()> {
        file.unlock(WRITES, FORBIDS_WRITES - WRITES + 1)?;
        file.unfence()
    }

    fn take_patiently(self, file: &File) -> gfapi::Result<bool> {
        self.change_patiently(file, None)
    }

    fn change_patiently(self, file: &File, from: Option<Mode>) -> gfapi::Result<bool> {
        self.patiently(|| self.take(file, from))
    }

    /// Takes what belongs to it, whatever the file's owner has, and lets go of what does not: false when
    /// somebody else's forbids it. Nobody is kept from writing who was not before; what fails leaves
    /// the rest as it is.
    pub(super) fn hold(self, file: &File) -> gfapi::Result<bool> {
        self.patiently(|| match self {
            Mode::Writer => Ok(file.try_lock(WRITES, Hold::Alone)?
                && file.try_lock(FORBIDS_WRITES, Hold::Alone)?),
            Mode::AmongWriters => {
                let held = file.try_lock(WRITES, Hold::Shared)?;
                file.unlock(FORBIDS_WRITES, 1)?;
                Ok(held)
            }
            Mode::Reader => {
                let held = file.try_lock(FORBIDS_WRITES, Hold::Shared)?;
                file.unlock(WRITES, 1)?;
                Ok(held)
            }
        })
    }

    /// What a writer takes before it becomes a reader, in addition: others see no difference.
    pub(super) fn hold_to_read(file: &File) -> gfapi::Result<bool> {
        file.try_lock(FORBIDS_WRITES, Hold::Shared)
    }

    fn patiently(self, take: impl Fn() -> gfapi::Result<bool>) -> gfapi::Result<bool> {
        let patience = match self {
            Mode::Writer => PATIENCE_ALONE,
            Mode::AmongWriters | Mode::Reader => PATIENCE,
        };
        let until = Instant::now() + patience;
        let mut longest = 10;
        loop {
            if take()? {
                return Ok(true);
            }
            if Instant::now() >= until {
                return Ok(false);
            }
            // The standard library's source of random numbers.
            let random = RandomState::new().build_hasher().finish();
            std::thread::sleep(Duration::from_millis(1 + random % longest));
            longest = (longest * 2).min(LONGEST_PAUSE_MS);
        }
    }

    /// Takes what it has already once more, as far as it keeps others from writing.
    fn confirm(self, file: &File) -> gfapi::Result<bool> {
        match self {
            Mode::Writer => file.try_lock(WRITES, Hold::Alone),
            Mode::AmongWriters => file.try_lock(WRITES, Hold::Shared),
            Mode::Reader => file.try_lock(FORBIDS_WRITES, Hold::Shared),
        }
    }

    fn refusal(self) -> &'static str {
        match self {
            Mode::Writer => {
                "another one has it open, here or elsewhere; close it there first, or open it with \
                 share-rw=on, on both sides to write and here to read what the other writes"
            }
            Mode::AmongWriters => {
                "another one has it open, here or elsewhere, and does not share it; close it there \
                 first, or open it with share-rw=on there as well"
            }
            Mode::Reader => {
                "another one has it open for writing, here or elsewhere; close it there first, or open \
                 it with share-rw=on here to read what the other one writes"
            }
        }
    }
}

/// Whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    Ours,
    GivenUp,
    /// Found to be another's.
    Lost,
}

/// The lock of one image.
pub(super) struct ImageLock {
    /// `None`: it needs none, or gets none. Changed with `held` locked.
    mode: Mutex<Option<Mode>>,
    /// Its volume has no locks, which was found out and reported.
    unknown: AtomicBool,
    /// The host says what it is to be: no reopen changes that.
    by_host: AtomicBool,
    /// Whether it has it. Kept locked while it is taken or given up, and while what needs it runs.
    pub(super) held: Mutex<Held>,
    /// When it was last known to be there.
    confirmed: Mutex<Instant>,
    /// It has to be asked for, however lately it was.
    doubted: AtomicBool,
    /// It was given up or lost, or is about to be given up: no write may begin.
    given_up: AtomicBool,
}

impl ImageLock {
    /// Takes the lock that an opener needs. `None`: none yet.
    pub(super) fn take(
        file: &File,
        location: &ImageLocation,
        mode: Option<Mode>,
    ) -> Result<ImageLock> {
        let mut unknown = false;
        let mode = match (location.locking(), mode) {
            (Locking::Off, _) | (_, None) => None,
            (locking, Some(mode)) => match mode.take_patiently(file) {
                Ok(true) => Some(mode),
                Ok(false) => return Err(refused(location, mode, Stage::Open)),
                Err(errno) if locking == Locking::Auto && is_unknown_to_volume(errno) => {
                    report_unknown(location, errno);
                    unknown = true;
                    None
                }
                Err(errno) => return Err(failed(location, errno, Stage::Open)),
            },
        };
        Ok(ImageLock {
            mode: Mutex::new(mode),
            unknown: AtomicBool::new(unknown),
            by_host: AtomicBool::new(false),
            held: Mutex::new(if mode.is_some() {
                Held::Ours
            } else {
                Held::GivenUp
            }),
            confirmed: Mutex::new(Instant::now()),
            doubted: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
        })
    }

    /// Whether there is one that a brick can forget.
    pub(super) fn is_used(&self) -> bool {
        self.mode().is_some()
    }

    pub(super) fn mode(&self) -> Option<Mode> {
        *self.mode.lock()
    }

    /// From now on the host says what it is to be.
    pub(super) fn leave_to_host(&self) {
        self.by_host.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_by_host(&self) -> bool {
        self.by_host.load(Ordering::SeqCst)
    }

    /// Whether it is there, was given up or lost; `None` while it is about to be given up.
    pub(super) fn state(&self) -> Option<Held> {
        let held = *self.held.lock();
        (held != Held::Ours || !self.is_given_up()).then_some(held)
    }

    /// The image has another file now, whose lock is this: `Ours`, when there is one and it was taken
    /// for that file; else it is as it was.
    pub(super) fn replace(&self, held: &mut MutexGuard<'_, Held>, mode: Option<Mode>, taken: bool) {
        *self.mode.lock() = mode;
        if mode.is_none() || taken {
            **held = match mode {
                Some(_) => Held::Ours,
                None => Held::GivenUp,
            };
            self.given_up.store(false, Ordering::SeqCst);
        }
        self.doubt();
    }

    /// Whether no write may begin. Asked by a write that has begun, see [`Length::change`].
    pub(super) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::SeqCst)
    }

    /// Keeps it from being given up; `None` when it was, or is about to be.
    pub(super) fn keep(&self) -> Option<MutexGuard<'_, Held>> {
        let held = self.held.lock();
        (!self.is_given_up()).then_some(held)
    }

    /// EBUSY once `confirm` has found it to be another's: for what takes so long that it must not go on
    /// then. Asks no brick.
    pub(super) fn look(&self) -> gfapi::Result<()> {
        if self.is_given_up() && *self.held.lock() == Held::Lost {
            return Err(Errno::new(libc::EBUSY, libc::EIO));
        }
        Ok(())
    }

    /// The next `confirm` asks.
    pub(super) fn doubt(&self) {
        self.doubted.store(true, Ordering::SeqCst);
    }

    /// Makes sure of it, now and then; EBUSY when it is another's. Blocks.
    ///
    /// When a volume's options change, GlusterFS 10.3 moves files and their locks to other connections,
    /// which do not know of the locks: a brick that is restarted after that would serve the file on. To
    /// take the lock once more tells them, and finds out what happened in between.
    pub(super) fn confirm_anew(&self, file: &File) -> gfapi::Result<()> {
        let mut held = self.held.lock();
        let Some(mode) = self.mode().filter(|_| *held != Held::GivenUp) else {
            return Ok(());
        };
        if *held == Held::Lost {
            return Err(Errno::new(libc::EBUSY, libc::EIO));
        }
        self.doubt();
        if mode.patiently(|| mode.confirm(file))? {
            *self.confirmed.lock() = Instant::now();
            self.doubted.store(false, Ordering::SeqCst);
            return Ok(());
        }
        *held = Held::Lost;
        self.given_up.store(true, Ordering::SeqCst);
        Err(Errno::new(libc::EBUSY, libc::EIO))
    }

    /// The same, unless that was asked lately, or cannot be for a while.
    pub(super) fn confirm(&self, file: &File) -> gfapi::Result<()> {
        let mut held = self.held.lock();
        let Some(mode) = self.mode() else {
            return Ok(());
        };
        match *held {
            Held::Ours => {}
            Held::GivenUp => return Ok(()),
            Held::Lost => return Err(Errno::new(libc::EBUSY, libc::EIO)),
        }
        let mut confirmed = self.confirmed.lock();
        if !self.doubted.load(Ordering::SeqCst) && confirmed.elapsed() < CONFIRMED {
            return Ok(());
        }
        match mode.patiently(|| mode.confirm(file)) {
            Ok(true) => {
                *confirmed = Instant::now();
                self.doubted.store(false, Ordering::SeqCst);
                Ok(())
            }
            Ok(false) => {
                *held = Held::Lost;
                self.given_up.store(true, Ordering::SeqCst);
                Err(Errno::new(libc::EBUSY, libc::EIO))
            }
            Err(errno) if errno.get() == libc::EBADFD || confirmed.elapsed() > UNANSWERED => {
                Err(errno)
            }
            // The next flush asks again.
            Err(_) => Ok(()),
        }
    }

    /// Before its file is closed. A brick that cannot be told drops the lock with the file or the
    /// connection.
    pub(super) fn end(&self, file: &File) {
        let held = std::mem::replace(&mut *self.held.lock(), Held::GivenUp);
        if held == Held::Ours {
            let _ = Mode::give(file);
        }
    }
}

fn is_unknown_to_volume(errno: Errno) -> bool {
    matches!(errno.get(), libc::ENOSYS | libc::EOPNOTSUPP)
}

fn report_unknown(location: &ImageLocation, errno: Errno) {
    report::report(
        Level::Info,
        &format!(
            "image {location}: its volume has no locks ({errno}); with locking=auto it is used \
             without one"
        ),
    );
}

pub(super) fn refused(location: &ImageLocation, mode: Mode, stage: Stage) -> Error {
    Error::new(
        stage,
        libc::EBUSY,
        format!("image {location} is locked (EBUSY): {}", mode.refusal()),
    )
}

pub(super) fn failed(location: &ImageLocation, errno: Errno, stage: Stage) -> Error {
    let advice = match errno.get() {
        libc::ENOSYS | libc::EOPNOTSUPP => {
            "; its volume has no locks, use locking=off and see to it that nobody else writes it"
        }
        libc::EBADFD => {
            "; a brick that was restarted has forgotten its lock, so close the image and open it again"
        }
        libc::ENOTCONN => "; the volume's bricks are out of reach, see `gluster volume status`",
        _ => "",
    };
    Error::new(
        stage,
        errno.get(),
        format!("cannot lock image {location}: {errno}{advice}"),
    )
}

impl Image {
    /// For a write that comes when the lock is gone.
    pub(super) fn without_lock(&self) -> Error {
        self.error(
            libc::EPERM,
            "has given its lock up, or lost it; take it with lock_acquire before writing",
        )
    }

    /// Gives the lock up for another one to take: no write begins any more, those in flight end and
    /// call back, and what they wrote is put on stable storage. When that fails it keeps the lock, and
    /// writes go on. Reads may go on in any case.
    pub fn release_lock(&self) -> Result<()> {
        self.not_while_reopened()?;
        self.give_lock_up()
    }

    /// The same, also for a reopen.
    pub(super) fn give_lock_up(&self) -> Result<()> {
        let mode = self.need_lock()?;
        {
            let held = self.lock.held.lock();
            let mut is_held_back = false;
            self.length.while_none_changes(|| {
                is_held_back = self.desk.lock().holds_changes_back();
                if !is_held_back {
                    self.lock.given_up.store(true, Ordering::SeqCst);
                }
            });
            drop(held);
            if is_held_back {
                return Err(self.error(
                    libc::EBUSY,
                    "cannot give its lock up while writes wait for drain_end; call that first",
                ));
            }
        }
        // No lock is held here: it calls callbacks.
        self.drain_until(|| !self.length.is_changing());
        self.with_backing(|backing| {
            let mut held = self.lock.held.lock();
            match *held {
                Held::Ours => {}
                Held::GivenUp => return Ok(()),
                Held::Lost => {
                    return Err(self.error(
                        libc::EBUSY,
                        "has lost its lock to another one; take it with lock_acquire, or close the image",
                    ));
                }
            }
            let given = self.settle(backing).and_then(|()| {
                *held = Held::GivenUp;
                // What may have been given up in part has to be taken anew.
                Mode::give(&backing.file).inspect_err(|_| {
                    if matches!(mode.take_patiently(&backing.file), Ok(true)) {
                        *held = Held::Ours;
                    }
                })
            });
            if *held == Held::Ours {
                self.lock.given_up.store(false, Ordering::SeqCst);
            }
            given.map_err(|errno| self.failed("giving its lock up", errno))
        })
        .inspect(|()| {
            let line = || "its lock is given up".to_owned();
            self.trace.say(Verbosity::Steps, line);
        })
    }

    pub(super) fn settle(&self, backing: &Backing) -> gfapi::Result<()> {
        if !self.is_read_write() {
            // What failed before it was reopened for reading is no better since.
            return self.is_honest();
        }
        let flushed = backing.flush();
        let completions = &self.completions;
        if flushed.is_err() {
            completions.note_failure();
        }
        // As `honest` says of any flush.
        flushed?;
        self.is_honest()
    }

    /// Takes the lock that was given up.
    pub fn acquire_lock(&self) -> Result<()> {
        self.not_while_reopened()?;
        self.take_lock_again()
    }

    /// The same, also for a reopen.
    pub(super) fn take_lock_again(&self) -> Result<()> {
        let mode = self.need_lock()?;
        self.with_backing(|backing| {
            let mut held = self.lock.held.lock();
            if *held == Held::Ours {
                if self.lock.is_given_up() {
                    return Err(self.error(libc::EBUSY, "is about to give its lock up"));
                }
                drop(held);
                return self.is_still_locked(backing);
            }
            match mode.take_patiently(&backing.file) {
                Ok(true) => {}
                Ok(false) => return Err(refused(&self.location, mode, Stage::Io)),
                Err(errno) => return Err(failed(&self.location, errno, Stage::Io)),
            }
            // The other one may have changed its length.
            if let Err(errno) = self.length.ask(&backing.file) {
                let _ = Mode::give(&backing.file);
                return Err(self.failed("asking for the size", errno));
            }
            *held = Held::Ours;
            self.lock.given_up.store(false, Ordering::SeqCst);
            Ok(())
        })
        .inspect(|()| {
            let line = || "its lock is taken".to_owned();
            self.trace.say(Verbosity::Steps, line);
        })
    }

    /// Makes it a lock of another kind, or none. When that fails it is what it was.
    pub fn change_lock(&self, writes: bool, forbids_writes: bool) -> Result<()> {
        if self.location.locking() == Locking::Off {
            return Err(self.error(
                libc::EOPNOTSUPP,
                "was opened with locking=off; it has no lock to change",
            ));
        }
        let mut unknown = None;
        let changed = self.with_backing(|backing| {
            let file = &backing.file;
            let mut held = self.lock.held.lock();
            self.may_change_lock()?;
            let from = match *held {
                Held::Ours if self.lock.is_given_up() => {
                    return Err(self.error(libc::EBUSY, "is about to give its lock up"));
                }
                Held::Ours => self.lock.mode(),
                Held::GivenUp | Held::Lost => None,
            };
            let to = Mode::asked(writes, forbids_writes);
            self.lock.leave_to_host();
            if self.lock.unknown.load(Ordering::SeqCst) {
                return Ok(());
            }
            if from == to && *held == Held::Ours {
                drop(held);
                return self.is_still_locked(backing);
            }
            if from.is_some_and(Mode::writes) && !to.is_some_and(Mode::writes) {
                self.end_writing(backing)?;
            }
            let changed = match (to, from) {
                (Some(to), _) => to.change_patiently(file, from),
                (None, from) => Mode::give(file).map(|()| true).inspect_err(|_| {
                    // Half of it may be gone.
                    let _ = from.map(|from| from.restore(file));
                }),
            };
            if !matches!(changed, Ok(true)) && from.is_some() {
                // What it had may not have come back whole.
                self.lock.doubt();
            }
            match changed {
                Ok(true) => {}
                Ok(false) => {
                    return Err(refused(
                        &self.location,
                        to.unwrap_or(Mode::Reader),
                        Stage::Io,
                    ));
                }
                Err(errno)
                    if self.location.locking() == Locking::Auto && is_unknown_to_volume(errno) =>
                {
                    unknown = Some(errno);
                    self.lock.unknown.store(true, Ordering::SeqCst);
                    return Ok(());
                }
                Err(errno) => return Err(failed(&self.location, errno, Stage::Io)),
            }
            // The other one may have changed its length.
            if from.is_none()
                && to.is_some()
                && let Err(errno) = self.length.ask(file)
            {
                let _ = Mode::give(file);
                return Err(self.failed("asking for the size", errno));
            }
            *self.lock.mode.lock() = to;
            *self.lock.confirmed.lock() = Instant::now();
            *held = match to {
                Some(_) => Held::Ours,
                None => Held::GivenUp,
            };
            self.lock.given_up.store(false, Ordering::SeqCst);
            Ok(())
        });
        if let Some(errno) = unknown {
            report_unknown(&self.location, errno);
        }
        changed
    }

    /// Before somebody else may write: nothing of this one's arrives later.
    fn end_writing(&self, backing: &Backing) -> Result<()> {
        if self.length.is_changing() {
            return Err(self.error(
                libc::EBUSY,
                "has writes in flight and keeps its lock; drain it first",
            ));
        }
        self.settle(backing)
            .map_err(|errno| self.failed("giving its lock up", errno))
    }

    /// For a host that asks for what it has: the bricks may have forgotten it, and given it to another.
    fn is_still_locked(&self, backing: &Backing) -> Result<()> {
        let confirmed = self.lock.confirm_anew(&backing.file);
        confirmed.map_err(|errno| self.failed("asking for its lock", errno))
    }

    fn need_lock(&self) -> Result<Mode> {
        self.lock.mode().ok_or_else(|| {
            self.error(
                libc::EOPNOTSUPP,
                "has no lock to give up or take: it was opened with locking=off, on a volume without \
                 locks, or to read with share-rw=on, or lock_change took it away",
            )
        })
    }
}
