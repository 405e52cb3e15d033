// SPDX-License-Identifier: GPL-2.0-or-later
//! Another file, opened in another way, in the place of the one that an open image has.
//!
//! ```text
//!  none ─> preparing ─────────────> ready ──> commits: nothing in flight, ──> none
//!    ↑     a second file, the same   │         new requests held back,
//!    │     on the bricks, with its   │         the files change places
//!    │     lock beside the old one's │
//!    ├─ fails                        │
//!    └───────────────────────────────┴ aborts, or is closed
//! ```
//!
//! On one connection both files have their locks in one owner's name, so that they do not stand in
//! each other's way, and nobody else gets in. A reopen that needs another connection, for another
//! write-cache mode, hands the lock over instead.

use super::lock::{Held, Mode, failed, refused};
use super::open::on_volume;
use super::*;
use crate::options::{Locking, Pair};
use std::ffi::c_int;

/// What a reopen begins with, and what it has come to.
pub(super) struct Reopening {
    /// As the last reopen left it.
    location: Mutex<ImageLocation>,
    share_rw: bool,
    stage: Mutex<Stages>,
}

enum Stages {
    None,
    /// A thread prepares, commits or aborts.
    Busy,
    Ready(Box<Prepared>),
}

/// The file that takes the old one's place with the commit.
struct Prepared {
    backing: Backing,
    location: ImageLocation,
    read_write: bool,
    flags: c_int,
    write_behind: bool,
    mode: Option<Mode>,
    hold: HoldOn,
    same_connection: bool,
}

/// How the new file came to its lock.
#[derive(Clone, Copy, PartialEq, Eq)]
enum HoldOn {
    /// It has none, or needs none before the commit.
    Nothing,
    /// In the old one's name.
    Shared,
    /// By itself.
    Own,
    /// The old one gave it up for it.
    HandedOver,
}

impl Reopening {
    pub(super) fn new(location: &ImageLocation, share_rw: bool) -> Reopening {
        Reopening {
            location: Mutex::new(location.clone()),
            share_rw,
            stage: Mutex::new(Stages::None),
        }
    }
}

impl Image {
    pub(super) fn not_while_reopened(&self) -> Result<()> {
        match *self.reopening.stage.lock() {
            Stages::None => Ok(()),
            _ => Err(self.being_reopened()),
        }
    }

    fn being_reopened(&self) -> Error {
        self.error(libc::EBUSY, "is being reopened; commit or abort that first")
    }

    /// Whether the lock may change: not while a thread hands it from one file to the other, nor when it
    /// was handed over to a connection that this image does not use yet. Asked with the lock's state
    /// locked, before which every such thread says what it does.
    pub(super) fn may_change_lock(&self) -> Result<()> {
        match &*self.reopening.stage.lock() {
            Stages::None => Ok(()),
            Stages::Ready(prepared) if prepared.same_connection => Ok(()),
            _ => Err(self.being_reopened()),
        }
    }

    /// Opens it once more, as it is to be from the commit on.
    pub fn prepare_reopen(&self, pairs: &[Pair<'_>], read_write: bool, direct: bool) -> Result<()> {
        let location = self.reopening.location.lock().reopened(pairs, direct)?;
        if location.write_cache() && self.survive.may_stall() {
            return Err(self.error(
                libc::EINVAL,
                "is open with on-disconnect=stall, which write-cache=on contradicts",
            ));
        }
        self.with_backing(|_| {
            let mut stage = self.reopening.stage.lock();
            if !matches!(*stage, Stages::None) {
                return Err(self.being_reopened());
            }
            *stage = Stages::Busy;
            Ok(())
        })?;
        let prepared = self.prepare(location, read_write, direct);
        let (stage, done) = match prepared {
            Ok(prepared) => (Stages::Ready(prepared), Ok(())),
            Err(why) => (Stages::None, Err(why)),
        };
        // During a visit: a close comes before it, and is seen, or after it, and sees it.
        let mut stage = Some(stage);
        let kept = self.with_backing(|_| {
            if let Some(stage) = stage.take() {
                *self.reopening.stage.lock() = stage;
            }
            Ok(())
        });
        if let Some(Stages::Ready(prepared)) = stage {
            prepared.discard();
        }
        done.and(kept)
    }

    fn prepare(
        &self,
        location: ImageLocation,
        read_write: bool,
        direct: bool,
    ) -> Result<Box<Prepared>> {
        let mut flags = if read_write {
            libc::O_RDWR
        } else {
            libc::O_RDONLY
        };
        if direct {
            flags |= libc::O_DIRECT;
        }
        let (volume, file) = self.open_again(&location, flags)?;
        let same_connection = self.with_backing(|old| {
            // Nothing that was acknowledged is left behind with the old file.
            self.settle(old)
                .map_err(|errno| self.failed("flushing it before its reopening", errno))?;
            self.is_same(old, &file)?;
            Ok(std::ptr::eq(volume.connection(), old.volume.connection()))
        })?;
        let mode = self.next_mode(&location, read_write);
        let hold = self.take_over(&file, &location, mode, same_connection)?;
        let connection = volume.connection();
        let write_behind = connection.has_write_behind();
        // The same sets of bricks, with what is known of them.
        let replicas = self.with_backing(|old| Ok(old.replicas.clone()))?;
        let prepared = Box::new(Prepared {
            backing: Backing {
                file,
                lock: self.lock.clone(),
                status: Status::new(),
                volume,
                flushing: Mutex::new(()),
                replicas,
                loss: self.loss.clone(),
                unflushed: self.unflushed.clone(),
            },
            location,
            read_write,
            flags,
            write_behind,
            mode,
            hold,
            same_connection,
        });
        // Another host may have written it when this one had no lock.
        match self.length.ask(&prepared.backing.file) {
            Ok(_) => Ok(prepared),
            Err(errno) => {
                self.undo(prepared);
                Err(self.failed("asking for the size", errno))
            }
        }
    }

    /// On the connection that it has, unless it needs another one.
    fn open_again(&self, location: &ImageLocation, flags: c_int) -> Result<(Arc<Connected>, File)> {
        let (path, spec) = (location.path(), location.connect_spec());
        if self.reopening.location.lock().connect_spec() == spec {
            return self.with_backing(|old| {
                let file = File::open(old.volume.connection(), path, flags).map_err(|errno| {
                    self.may_have_lost();
                    self.failed("opening it once more", errno)
                })?;
                Ok((old.volume.clone(), file))
            });
        }
        let (volume, file) = on_volume("reopen", location, &self.trace, |connection| {
            File::open(connection, path, flags)
        })?;
        Ok((Arc::new(volume), file))
    }

    /// Whether both are one file on the bricks.
    fn is_same(&self, old: &Backing, new: &File) -> Result<()> {
        let inode = |file: &File| {
            file.stat().map(|stat| stat.inode).map_err(|errno| {
                self.may_have_lost();
                self.failed("looking at it for its reopening", errno)
            })
        };
        if inode(&old.file)? == inode(new)? {
            return Ok(());
        }
        Err(self.error(
            libc::ESTALE,
            "was replaced (ESTALE): its path leads to another file by now, so that it cannot be \
             reopened; close it and open that one",
        ))
    }

    fn next_mode(&self, location: &ImageLocation, read_write: bool) -> Option<Mode> {
        if self.lock.is_by_host() {
            return self.lock.mode();
        }
        let share_rw = self.reopening.share_rw;
        let now = Mode::of(self.is_read_write(), share_rw);
        if location.locking() == Locking::Off || now.is_some() && self.lock.mode().is_none() {
            // Its volume has no locks.
            return None;
        }
        Mode::of(read_write, share_rw)
    }

    /// Gets the new file the lock that it needs.
    fn take_over(
        &self,
        file: &File,
        location: &ImageLocation,
        mode: Option<Mode>,
        same_connection: bool,
    ) -> Result<HoldOn> {
        let now = self.lock.mode();
        match (now, self.lock.state()) {
            // The host may have the old file locked before the commit.
            (None, _) if self.lock.is_by_host() && same_connection => {
                return file.share_locks_with(self).map(|()| HoldOn::Shared);
            }
            (None, _) => {
                let taken = ImageLock::take(file, location, mode)?;
                return Ok(match taken.is_used() {
                    true => HoldOn::Own,
                    false => HoldOn::Nothing,
                });
            }
            (Some(_), Some(Held::Ours)) => {}
            // It stays so.
            (Some(_), Some(Held::GivenUp)) => return Ok(HoldOn::Nothing),
            (Some(_), Some(Held::Lost)) => {
                return Err(self.error(
                    libc::EBUSY,
                    "has lost its lock to another one; take it with lock_acquire, or close the image",
                ));
            }
            (Some(_), None) => {
                return Err(self.error(libc::EBUSY, "is about to give its lock up"));
            }
        }
        if !same_connection {
            self.give_lock_up()?;
            return ImageLock::take(file, location, mode)
                .map(|_| HoldOn::HandedOver)
                .inspect_err(|_| self.take_back());
        }
        file.share_locks_with(self)?;
        let taken = self.with_backing(|old| {
            let taken = match (now, mode) {
                (_, None) => Ok(true),
                (Some(Mode::Writer), Some(Mode::Reader)) => Mode::hold_to_read(file),
                (_, Some(mode)) => mode.hold(file),
            };
            if !matches!(taken, Ok(true)) {
                self.hold_again(old);
            }
            match (taken, mode) {
                (Ok(true), _) | (Ok(false), None) => Ok(()),
                (Ok(false), Some(mode)) => Err(refused(location, mode, Stage::Io)),
                (Err(errno), _) => Err(failed(location, errno, Stage::Io)),
            }
        });
        if taken.is_err() {
            part(file, &self.lock);
        }
        taken.map(|()| HoldOn::Shared)
    }

    /// The old file keeps its lock.
    fn hold_again(&self, old: &Backing) {
        if self.lock.state() != Some(Held::Ours) {
            return;
        }
        let held = self.lock.mode().map(|mode| mode.hold(&old.file));
        if !matches!(held, None | Some(Ok(true))) {
            // The next flush asks for it.
            self.lock.doubt();
        }
    }

    /// The old file gets the lock back that it handed over.
    fn take_back(&self) {
        if let Err(why) = self.take_lock_again() {
            report::report(
                Level::Error,
                &format!(
                    "{}; after a reopen that came to nothing it has its lock no more, and is not \
                     written until lock_acquire",
                    why.text
                ),
            );
        }
    }

    /// Undoes a preparation.
    fn undo(&self, prepared: Box<Prepared>) {
        let hold = prepared.hold;
        if hold == HoldOn::Shared {
            // Before the new one is closed, with which its locks go.
            let _closed = self.with_backing(|old| {
                self.hold_again(old);
                Ok(())
            });
        }
        prepared.discard();
        if hold == HoldOn::HandedOver {
            self.take_back();
        }
    }

    fn take_prepared(&self) -> Result<Box<Prepared>> {
        let mut stage = self.reopening.stage.lock();
        match std::mem::replace(&mut *stage, Stages::Busy) {
            Stages::Ready(prepared) => Ok(prepared),
            other => {
                *stage = other;
                Err(self.error(libc::EINVAL, "has no reopen that was prepared"))
            }
        }
    }

    fn reopened(&self) {
        *self.reopening.stage.lock() = Stages::None;
    }

    /// Leaves the image as it was before `prepare_reopen`.
    pub fn abort_reopen(&self) -> Result<()> {
        self.undo(self.take_prepared()?);
        self.reopened();
        Ok(())
    }

    /// Before the image is closed.
    pub(super) fn abandon_reopen(&self) {
        if let Ok(prepared) = self.take_prepared() {
            prepared.discard();
            self.reopened();
        }
    }

    /// Puts the new file in the old one's place, when nothing is in flight: waits for it, calling
    /// callbacks, and holds back what comes meanwhile.
    pub fn commit_reopen(&self) -> Result<()> {
        let mut prepared = self.take_prepared()?;
        if let Err(closed) = self.begin_quiet() {
            prepared.discard();
            self.reopened();
            return Err(closed);
        }
        loop {
            // What was written since it was prepared: the old file's last word.
            match self.with_backing(|old| Ok(self.last_flush(old))) {
                Ok(Ok(())) => {}
                Ok(Err(why)) => {
                    report::report(Level::Error, &format!("{}; the next flush fails", why.text));
                }
                Err(closed) => {
                    prepared.discard();
                    self.reopened();
                    return Err(closed);
                }
            }
            let hold = (prepared.hold, prepared.same_connection);
            match self.swap(prepared) {
                Ok(old) => {
                    self.hold_on(&old, hold);
                    self.let_go(old);
                    break;
                }
                Err(back) => prepared = back,
            }
            self.drain();
        }
        let _closed = self.with_backing(|backing| {
            // The translators' idea of the size, which may be another connection's by now, must be
            // right before the next growth.
            if self.is_idle() {
                let _ = self.length.ask_at_rest(&backing.file);
            }
            Ok(())
        });
        self.reopened();
        // Of an image that was closed meanwhile nothing is held back.
        let _closed = self.end_quiet();
        Ok(())
    }

    fn last_flush(&self, old: &Backing) -> Result<()> {
        if !self.is_read_write() {
            return Ok(());
        }
        old.flush().map_err(|errno| {
            self.completions.note_failure();
            self.owed.store(errno.get(), Ordering::Relaxed);
            self.failed("flushing it for its reopening", errno)
        })
    }

    /// The image has the new file. Before the old one is closed, the lock becomes the new one's alone: a
    /// brick keeps it with the file that asked for it last. It is the lock that the image has by now,
    /// which may be another one than when this was prepared.
    fn hold_on(&self, old: &Backing, (hold, same_connection): (HoldOn, bool)) {
        // What was taken on another connection is the new file's from the first.
        if !same_connection || hold == HoldOn::Own {
            return;
        }
        let held = self.with_backing(|new| {
            let held = self.lock.held.lock();
            let mode = self.lock.mode().filter(|_| *held == Held::Ours);
            let file = &new.file;
            Ok(match mode {
                Some(mode) => file.share_locks(&old.file).and_then(|()| mode.hold(file)),
                None if hold == HoldOn::Shared => Mode::give(file).map(|()| true),
                None => Ok(true),
            })
        });
        let why = match held {
            Err(_) | Ok(Ok(true)) => return,
            Ok(Ok(false)) => Errno::new(libc::EBUSY, libc::EIO),
            Ok(Err(errno)) => errno,
        };
        report::report(
            Level::Warning,
            &format!(
                "image {}: it is not sure that its lock has outlasted its reopening: {why}; the next \
                 flush finds out",
                self.location
            ),
        );
    }

    /// What it is to be locked as; the host may have said something else since it was prepared.
    fn mode_of(&self, prepared: &Prepared) -> Option<Mode> {
        match self.lock.is_by_host() {
            true => self.lock.mode(),
            false => prepared.mode,
        }
    }

    /// The old file, or what was prepared when something is in flight again, or the image is closed.
    fn swap(&self, prepared: Box<Prepared>) -> std::result::Result<Arc<Backing>, Box<Prepared>> {
        let mut prepared = Some(prepared);
        // Who asks the bricks for the lock has it for as long as they are silent: waited for here, where
        // nobody has to wait for this thread in turn.
        drop(self.lock.held.lock());
        let old = registry::change(self.id, |opened| {
            if opened.draining || !self.is_idle() {
                return None;
            }
            let mut held = self.lock.held.try_lock()?;
            let new = prepared.take()?;
            self.settle_failures(new.write_behind);
            self.read_write.store(new.read_write, Ordering::Relaxed);
            let taken = matches!(new.hold, HoldOn::Own | HoldOn::HandedOver);
            self.lock.replace(&mut held, self.mode_of(&new), taken);
            self.survive.reopened(new.flags);
            *self.reopening.location.lock() = new.location;
            let backing = Arc::new(new.backing);
            self.zeroes.replace(&backing);
            Some(std::mem::replace(&mut opened.backing, backing))
        });
        match (old.flatten(), prepared) {
            (Some(old), _) => Ok(old),
            (None, Some(prepared)) => Err(prepared),
            (None, None) => unreachable!("what was prepared is taken for the swap only"),
        }
    }

    /// What has failed concerns write-behind only: with it, or after it, no flush may say that all is
    /// well.
    fn settle_failures(&self, write_behind: bool) {
        let lost = self.fears_loss.load(Ordering::Relaxed) && self.completions.has_failed();
        if !lost {
            self.completions.forget_failures();
        }
        self.fears_loss
            .store(write_behind || lost, Ordering::Relaxed);
        self.write_behind.store(write_behind, Ordering::Relaxed);
    }

    /// Closes the old file.
    fn let_go(&self, old: Arc<Backing>) {
        part(&old.file, &self.lock);
        // A thread of ours may still be on its way out of it, which then closes it.
        if let Some(old) = Arc::into_inner(old)
            && let Err(errno) = old.file.close()
        {
            report::report(
                Level::Error,
                &self.failed("closing it for its reopening", errno).text,
            );
        }
    }
}

impl Prepared {
    /// Closes the new file. The image has the old one's lock, if it has one.
    fn discard(self) {
        let Backing { file, lock, .. } = &self.backing;
        match self.hold {
            HoldOn::Shared => part(file, lock),
            HoldOn::Own | HoldOn::HandedOver => {
                let _ = Mode::give(file);
            }
            HoldOn::Nothing => {}
        }
    }
}

/// What the other file has locked in the same name does not go when this one is closed.
fn part(file: &File, lock: &ImageLock) {
    if file.own_locks().is_err() {
        lock.doubt();
    }
}

impl File {
    fn share_locks_with(&self, image: &Image) -> Result<()> {
        image.with_backing(|old| {
            self.share_locks(&old.file)
                .map_err(|errno| image.failed("sharing its lock", errno))
        })
    }
}
