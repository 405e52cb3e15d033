// SPDX-License-Identifier: GPL-2.0-or-later
//! The writes of zeroes of one image, made one after the other on a thread of
//! [`worker`](crate::worker), piece by piece, each in the first of these ways that the volume
//! knows:
//!
//! 1. a discard, if the host allows it, within the image, and once a discard was seen to leave
//!    zeroes;
//! 2. a zerofill, which keeps the space allocated; disperse volumes have none;
//! 3. writing zeroes.
//!
//! One at a time, since a brick whose file system knows no zerofill writes from the position that
//! its file has, which is one for all calls: two of them would write over the wrong place.
//!
//! The queue holds the range from when a write of zeroes is submitted here until it has ended, so
//! that what overlaps it waits, as long as it may take.

use super::*;
use crate::request::Zeroing;
use crate::worker::{Job, WORKERS};
use std::sync::atomic::AtomicU8;

/// Most bytes of a discard or zerofill: half a second on a sharded volume are for a GiB, and a
/// brick that has to write them takes as long as for a write of this size.
const PIECE: i64 = 64 << 20;

/// The same where zeroes have to be written. A cancelled one goes on to the end of its piece.
const WRITTEN_PIECE: i64 = 16 << 20;

/// After the first discard, which is read back as a whole, so much of both ends is.
const READ_BACK: i64 = 64 << 10;

/// Memory for reading back.
const READ_AT_ONCE: usize = 256 << 10;

/// What is read back is rounded to it, so that with O_DIRECT it goes the direct way on most bricks.
const BLOCK: i64 = 4096;

/// The writes of zeroes of one image that have not ended.
pub(super) struct Zeroes {
    line: Mutex<Line>,
    /// A discard left zeroes behind, or not: a [`Trust`].
    discards: AtomicU8,
    filler: Filler,
}

struct Line {
    /// The image's, until it lets go.
    backing: Option<Arc<Backing>>,
    waiting: VecDeque<Work>,
    current: Option<Work>,
    /// The current one was cancelled.
    stop: bool,
    /// The workers have the job.
    at_work: bool,
    /// None begins: the bricks are out of reach.
    stalled: bool,
}

struct Work {
    request: SlotRef,
    left: Zeroing,
    /// The image is at least this long.
    known: i64,
}

/// Of the discards of an opening.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Trust {
    Untried,
    Good,
    Bad,
}

/// What one call is for.
struct Piece {
    offset: i64,
    length: i64,
    discard: bool,
    through: bool,
}

impl Piece {
    fn end(&self) -> i64 {
        self.offset + self.length
    }
}

impl Zeroes {
    /// None.
    pub(super) fn new(backing: &Arc<Backing>) -> Arc<Zeroes> {
        Arc::new(Zeroes {
            line: Mutex::new(Line {
                backing: Some(backing.clone()),
                waiting: VecDeque::new(),
                current: None,
                stop: false,
                at_work: false,
                stalled: false,
            }),
            discards: AtomicU8::new(Trust::Untried as u8),
            filler: Filler::new(),
        })
    }

    /// Submits a write of zeroes. It ends in its callback in any case. `known`: the image is at
    /// least this long.
    pub(super) fn submit(self: &Arc<Self>, request: SlotRef, known: i64) {
        let left = request.hand_over_zeroes();
        let to_start = {
            let mut line = self.line.lock();
            line.waiting.push_back(Work {
                request,
                left,
                known,
            });
            match &line.backing {
                Some(backing) if !line.at_work && !line.stalled => {
                    Some(backing.volume.zero_lane().clone())
                }
                _ => None,
            }
            .inspect(|_| line.at_work = true)
        };
        if let Some(lane) = to_start {
            WORKERS.start(&lane, self.clone());
        }
    }

    /// Takes out one that has not begun; whether it was there. One that has ends after its piece.
    /// `is_current` is asked while nothing can end.
    pub(super) fn withdraw(&self, request: SlotRef, is_current: impl FnOnce() -> bool) -> bool {
        let mut line = self.line.lock();
        let at = line
            .waiting
            .iter()
            .position(|other| other.request == request);
        if let Some(at) = at {
            return is_current() && line.waiting.remove(at).is_some();
        }
        let runs = line
            .current
            .as_ref()
            .is_some_and(|work| work.request == request);
        line.stop |= runs && is_current();
        false
    }

    /// For whoever else fills a part of the image.
    pub(super) fn filler(&self) -> &Filler {
        &self.filler
    }

    /// From now on those that have not begun wait.
    pub(super) fn stall(&self) {
        self.line.lock().stalled = true;
    }

    /// They do not any more, and are made to this file.
    pub(super) fn go_on(self: &Arc<Self>, backing: &Arc<Backing>) {
        let to_start = {
            let mut line = self.line.lock();
            line.stalled = false;
            // Not any more, when the image has let go.
            if line.backing.is_some() {
                line.backing = Some(backing.clone());
            }
            let to_start = !line.at_work && !line.waiting.is_empty();
            line.at_work |= to_start;
            to_start
        };
        if to_start {
            WORKERS.start(backing.volume.zero_lane(), self.clone());
        }
    }

    /// The same, and gives those that wait back.
    pub(super) fn give_up(&self) -> VecDeque<SlotRef> {
        let mut line = self.line.lock();
        line.stalled = false;
        let waiting = std::mem::take(&mut line.waiting);
        waiting.into_iter().map(|work| work.request).collect()
    }

    /// Gives the image's file back. Nothing is in flight.
    pub(super) fn let_go(&self) {
        self.line.lock().backing = None;
    }

    /// The image has another file. Nothing is in flight.
    pub(super) fn replace(&self, backing: &Arc<Backing>) {
        self.line.lock().backing = Some(backing.clone());
    }

    fn next_piece(&self) -> Option<(Arc<Backing>, Piece)> {
        let mut line = self.line.lock();
        if line.current.is_none() && !line.stalled {
            line.current = line.waiting.pop_front();
            line.stop = false;
        }
        line.at_work = line.current.is_some();
        let backing = line.backing.clone()?;
        let work = line.current.as_ref()?;
        Some((backing, self.piece(&work.left, work.known)))
    }

    /// Makes a range zero on the caller's thread, and gives its space back if that can be. `known`: as
    /// for `submit`.
    pub(super) fn make(
        &self,
        file: &File,
        offset: i64,
        length: i64,
        known: i64,
        through: bool,
    ) -> gfapi::Result<()> {
        let mut left = Zeroing {
            offset,
            length,
            may_unmap: true,
            through,
        };
        while left.length > 0 {
            let piece = self.piece(&left, known);
            self.zero(file, &piece)?;
            left.offset += piece.length;
            left.length -= piece.length;
        }
        Ok(())
    }

    fn piece(&self, left: &Zeroing, known: i64) -> Piece {
        let Zeroing {
            offset,
            length,
            may_unmap,
            through,
        } = *left;
        let discard = may_unmap && offset < known && self.trust() != Trust::Bad;
        let written = !discard && self.filler.only_writes();
        let mut length = length.min(if written { WRITTEN_PIECE } else { PIECE });
        if discard {
            // It does not grow the image.
            length = length.min(known - offset);
        }
        Piece {
            offset,
            length,
            discard,
            through,
        }
    }

    fn trust(&self) -> Trust {
        match self.discards.load(Ordering::Relaxed) {
            at if at == Trust::Good as u8 => Trust::Good,
            at if at == Trust::Bad as u8 => Trust::Bad,
            _ => Trust::Untried,
        }
    }

    fn zero(&self, file: &File, piece: &Piece) -> gfapi::Result<()> {
        if piece.length == 0 {
            return Ok(());
        }
        if piece.discard && self.discard(file, piece)? {
            return Ok(());
        }
        self.filler
            .fill(file, piece.offset, piece.length, piece.through)
    }

    /// Whether the piece reads as zero after it.
    fn discard(&self, file: &File, piece: &Piece) -> gfapi::Result<bool> {
        match file.discard(piece.offset, piece.length) {
            Ok(()) => {}
            Err(errno) if is_unknown(errno) => {
                self.discards.store(Trust::Bad as u8, Ordering::Relaxed);
                return Ok(false);
            }
            Err(errno) => return Err(errno),
        }
        let is_zero = if self.trust() == Trust::Good {
            let end = piece.end();
            reads_zero(file, piece.offset, end.min(piece.offset + READ_BACK))?
                && reads_zero(file, piece.offset.max(end - READ_BACK), end)?
        } else {
            reads_zero(file, piece.offset, piece.end())?
        };
        if is_zero {
            // What another thread (those of copies come here, too) saw to be bad stays so.
            let _ = self.discards.compare_exchange(
                Trust::Untried as u8,
                Trust::Good as u8,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
        } else {
            self.discards.store(Trust::Bad as u8, Ordering::Relaxed);
        }
        Ok(is_zero)
    }

    /// Takes note of how the piece went. Whether there is more to do.
    fn piece_ended(&self, length: i64, result: gfapi::Result<()>) -> bool {
        let (ended, stopped, more) = {
            let mut line = self.line.lock();
            let stop = line.stop;
            let mut ended = None;
            if let Some(work) = &mut line.current {
                work.left.offset += length;
                work.left.length -= length;
                if result.is_err() || work.left.length == 0 || stop {
                    let stopped = result.is_ok() && work.left.length > 0;
                    ended = Some((work.request, stopped));
                    line.current = None;
                }
            }
            line.at_work = line.current.is_some() || !(line.waiting.is_empty() || line.stalled);
            let (request, stopped) = ended.unzip();
            (request, stopped.unwrap_or(false), line.at_work)
        };
        // The last of them may let the image close, with its slab.
        match ended {
            Some(request) if stopped => request.call_off(Errno::new(libc::ECANCELED, libc::EIO)),
            Some(request) => request.ended(result),
            None => {}
        }
        more
    }
}

impl Job for Zeroes {
    fn run(&self) -> bool {
        // All that waited may have been cancelled.
        let Some((backing, piece)) = self.next_piece() else {
            return false;
        };
        let kept = backing.lock.look();
        let result = kept.and_then(|()| self.zero(&backing.file, &piece));
        // The image closes the file when the last request has ended: let go of it before.
        drop(backing);
        self.piece_ended(piece.length, result)
    }

    fn fail(&self, why: Errno) {
        let (current, waiting) = {
            let mut line = self.line.lock();
            line.at_work = false;
            (line.current.take(), std::mem::take(&mut line.waiting))
        };
        if let Some(work) = current {
            work.request.ended(Err(why));
        }
        for work in waiting {
            work.request.call_off(why);
        }
    }
}

/// Fills ranges of one file with zeroes that stay allocated.
pub(super) struct Filler {
    /// The volume has no zerofill.
    no_zerofill: AtomicBool,
    one_at_a_time: Mutex<()>,
}

impl Filler {
    pub(super) fn new() -> Filler {
        Filler {
            no_zerofill: AtomicBool::new(false),
            one_at_a_time: Mutex::new(()),
        }
    }

    /// The volume is known to have no zerofill.
    pub(super) fn only_writes(&self) -> bool {
        self.no_zerofill.load(Ordering::Relaxed)
    }

    pub(super) fn fill(
        &self,
        file: &File,
        offset: i64,
        length: i64,
        through: bool,
    ) -> gfapi::Result<()> {
        if !self.only_writes() {
            let done = {
                let _alone = self.one_at_a_time.lock();
                file.zerofill(offset, length)
            };
            match done {
                Err(errno) if is_unknown(errno) => self.no_zerofill.store(true, Ordering::Relaxed),
                done => return done,
            }
        }
        let mut done = 0;
        while done < length {
            match file.write_zeroes(offset + done, length - done, through)? {
                written if written > 0 => done += written,
                _ => return Err(Errno::new(libc::EIO, libc::EIO)),
            }
        }
        Ok(())
    }
}

/// The volume has no such call.
fn is_unknown(errno: Errno) -> bool {
    matches!(errno.get(), libc::EOPNOTSUPP | libc::ENOSYS)
}

/// Whether the bytes from `offset` to `end` are zero; what lies past the end of the file is.
fn reads_zero(file: &File, offset: i64, end: i64) -> gfapi::Result<bool> {
    let mut buffer = vec![0u8; READ_AT_ONCE];
    let mut at = offset / BLOCK * BLOCK;
    while at < end {
        let whole = (end - at + BLOCK - 1) / BLOCK * BLOCK;
        let room = (whole as usize).min(READ_AT_ONCE);
        let got = file.read(&mut buffer[..room], at)?;
        let from = (offset - at).clamp(0, got as i64) as usize;
        let to = (end - at).clamp(0, got as i64) as usize;
        if buffer[from..to].iter().any(|&byte| byte != 0) {
            return Ok(false);
        }
        if got == 0 {
            break;
        }
        at += room as i64;
    }
    Ok(true)
}
