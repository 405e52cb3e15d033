// SPDX-License-Identifier: GPL-2.0-or-later
//! The copies into one image, made one after the other on threads of [`worker`](crate::worker).
//!
//! ```text
//!  waiting ─> current: look what the source holds ──> chunks of data:  read, write   ─┐
//!             (one thread)       ↑                └─> zeroes: made as zeroes, unless  ├─> ended
//!                                └─ not all of it          the bricks have a hole    ─┘
//! ```
//!
//! Up to [`AT_ONCE`] threads each have a chunk of [`CHUNK`] bytes, so that bricks and network are busy
//! both ways; that much memory a copy takes, for as long as it runs. Nothing of it is left to the bricks:
//! `glfs_copy_file_range` of 10.3 sends source offset 0 (see `gfapi`), and knows neither another volume
//! nor shards.
//!
//! As with a write of zeroes, the queue holds the range that is written until the copy has ended. The
//! image that is read counts the copy as one more request in flight from when it is begun, so that a
//! drain waits for it; a close has it end at the next chunk. No thread waits for the host meanwhile.

use super::status::Extent;
use super::*;
use crate::request::Copying;
use crate::worker::{Job, Lane, WORKERS};

/// Bytes that are read and written at a time: bricks are no faster with more.
const CHUNK: i64 = 1 << 20;

/// Most chunks of a copy under way.
const AT_ONCE: usize = 4;

/// The same of zeroes, ...
const ZERO_CHUNK: i64 = 1 << 30;

/// ... and how many of them are made at a time. A cancelled copy goes on to the end of it.
const ZERO_PIECE: i64 = 64 << 20;

/// The copies into one image that have not ended.
pub(super) struct Copies {
    /// The image that is written.
    id: ImageId,
    line: Mutex<Line>,
    /// Of its own: the image that is read may be on bricks that do not answer.
    lane: Arc<Lane>,
}

struct Line {
    waiting: VecDeque<Work>,
    current: Option<Current>,
    /// Tasks that the workers have.
    at_work: usize,
    /// Memory of chunks that are not under way.
    buffers: Vec<Vec<u8>>,
}

struct Work {
    request: SlotRef,
    copying: Copying,
}

struct Current {
    work: Work,
    /// The image that is read, once it counts the copy.
    source: Option<Counted>,
    /// Bytes that chunks were made of.
    done: i64,
    /// Up to here it is known what the source holds, and whether that is zero.
    known: i64,
    zero: bool,
    /// A thread looks what the source holds.
    looking: bool,
    /// Chunks under way.
    chunks: usize,
    /// The first failure, but for being cancelled.
    failed: Option<Failed>,
    /// It was cancelled.
    stop: bool,
}

impl Current {
    /// No chunk is begun any more.
    fn is_over(&self) -> bool {
        self.failed.is_some() || self.stop || self.done == self.work.copying.length
    }

    fn has_ended(&self) -> bool {
        self.is_over() && self.chunks == 0 && !self.looking
    }
}

/// What a thread does next.
enum Step {
    /// Look what the source holds from `at` bytes on.
    Look { copying: Copying, at: i64 },
    /// Copy so many bytes from `at` on.
    Chunk {
        copying: Copying,
        at: i64,
        length: i64,
        zero: bool,
    },
    /// Nothing; look again.
    Ended,
}

impl Copies {
    /// None.
    pub(super) fn new(id: ImageId) -> Arc<Copies> {
        Arc::new(Copies {
            id,
            line: Mutex::new(Line {
                waiting: VecDeque::new(),
                current: None,
                at_work: 0,
                buffers: Vec::new(),
            }),
            lane: Lane::new(),
        })
    }

    /// Submits a copy. It ends in its callback in any case.
    pub(super) fn submit(self: &Arc<Self>, request: SlotRef, copying: Copying) {
        let to_start = {
            let mut line = self.line.lock();
            line.waiting.push_back(Work { request, copying });
            let to_start = line.at_work == 0;
            line.at_work += usize::from(to_start);
            to_start
        };
        if to_start {
            self.start();
        }
    }

    fn start(self: &Arc<Self>) {
        WORKERS.start(&self.lane, Arc::new(Copier(self.clone())));
    }

    /// Takes out one that has not begun; whether it was there. One that has ends after the chunks under
    /// way. `is_current` is asked while nothing can end.
    pub(super) fn withdraw(&self, request: SlotRef, is_current: impl FnOnce() -> bool) -> bool {
        let mut line = self.line.lock();
        let at = line
            .waiting
            .iter()
            .position(|other| other.request == request);
        if let Some(at) = at {
            return is_current() && line.waiting.remove(at).is_some();
        }
        if let Some(current) = &mut line.current
            && current.work.request == request
        {
            current.stop |= is_current();
        }
        false
    }

    /// `None`: there is nothing to do that no other thread does.
    fn next(&self) -> Option<Step> {
        let mut line = self.line.lock();
        if line.current.is_none()
            && let Some(work) = line.waiting.pop_front()
        {
            line.current = Some(Current {
                work,
                source: None,
                done: 0,
                known: 0,
                zero: false,
                looking: false,
                chunks: 0,
                failed: None,
                stop: false,
            });
        }
        let step = line.current.as_mut().and_then(|current| {
            let copying = current.work.copying;
            let at = current.done;
            if current.has_ended() {
                return Some(Step::Ended);
            }
            if current.looking || current.is_over() {
                return None;
            }
            if at == current.known {
                current.looking = true;
                return Some(Step::Look { copying, at });
            }
            let most = if current.zero { ZERO_CHUNK } else { CHUNK };
            let length = most.min(current.known - at);
            current.done += length;
            current.chunks += 1;
            Some(Step::Chunk {
                copying,
                at,
                length,
                zero: current.zero,
            })
        });
        if step.is_none() {
            line.at_work -= 1;
            if line.at_work == 0 {
                line.buffers = Vec::new();
            }
        }
        step
    }

    /// Ends the current copy when nothing of it is under way, ...
    fn end(&self) {
        let ended = {
            let mut line = self.line.lock();
            line.current.take_if(|current| current.has_ended())
        };
        if let Some(current) = ended {
            current.end();
        }
    }

    /// Looks what the source holds, and calls as many threads as have something to do then.
    fn look(self: &Arc<Self>, copying: &Copying, at: i64) {
        let looked = {
            let mut under_way = UnderWay::new(self, true);
            let looked = look(copying, at);
            under_way.result = looked.as_ref().map(drop).map_err(|&errno| of_source(errno));
            looked
        };
        let Ok((counted, extent)) = looked else {
            return;
        };
        let to_start = {
            let mut line = self.line.lock();
            let at_work = line.at_work;
            let Some(current) = &mut line.current else {
                return;
            };
            if let Some(counted) = counted {
                current.source = Some(counted);
            }
            current.known = current.done + extent.length;
            current.zero = extent.content != Content::Data;
            current.looking = false;
            let most = if current.zero { ZERO_CHUNK } else { CHUNK };
            let chunks = (extent.length + most - 1) / most;
            let to_start = AT_ONCE.min(chunks as usize).saturating_sub(at_work);
            line.at_work += to_start;
            to_start
        };
        for _ in 0..to_start {
            self.start();
        }
    }

    fn chunk(
        &self,
        copying: &Copying,
        at: i64,
        length: i64,
        zero: bool,
    ) -> std::result::Result<(), Failed> {
        let (image, backing) = {
            let opened = registry::visit(self.id).ok_or_else(closed)?;
            (opened.image.clone(), opened.backing.clone())
        };
        backing.lock.look()?;
        let offset = copying.offset + at;
        if zero {
            return self.zero(copying, &image, &backing, offset, length);
        }
        let mut buffer = self.line.lock().buffers.pop().unwrap_or_default();
        buffer.resize(CHUNK as usize, 0);
        let chunk = &mut buffer[..length as usize];
        let copied = copy(copying, at, chunk, &backing.file);
        self.line.lock().buffers.push(buffer);
        copied
    }

    fn zero(
        &self,
        copying: &Copying,
        image: &Image,
        backing: &Backing,
        offset: i64,
        length: i64,
    ) -> std::result::Result<(), Failed> {
        let zeroes = &image.zeroes;
        let (mut at, end) = (offset, offset + length);
        while at < end {
            // Only of what the bricks say themselves it is sure that nobody has written it. No answer: the
            // image is being closed, which waits for this.
            let (hole, piece) = match image.status(at, end - at) {
                Ok(extent) if extent.content == Content::Hole => (extent.length, 0),
                Ok(extent) => (0, extent.length.min(ZERO_PIECE)),
                Err(_) => (0, ZERO_PIECE.min(end - at)),
            };
            if piece > 0 {
                self.go_on(copying)?;
                backing.lock.look()?;
                let known = image.length.known();
                zeroes.make(&backing.file, at, piece, known, copying.through)?;
                at += piece;
                continue;
            }
            at += hole;
            if at == copying.offset + copying.length && at > image.length.known() {
                // The image ends where the copy does.
                let filler = zeroes.filler();
                filler.fill(&backing.file, at - 1, 1, copying.through)?;
            }
        }
        Ok(())
    }

    /// Whether a long chunk is still wanted.
    fn go_on(&self, copying: &Copying) -> std::result::Result<(), Failed> {
        reading(copying.source).map_err(of_source)?;
        let line = self.line.lock();
        match line.current.as_ref().is_some_and(|current| current.stop) {
            true => Err(Errno::new(libc::ECANCELED, libc::EIO).into()),
            false => Ok(()),
        }
    }
}

impl Current {
    /// ... which is the one place that all copies pass that were begun.
    fn end(self) {
        let request = self.work.request;
        let is_whole = self.done == self.work.copying.length;
        // Before the callback, in which the host may wait for it to be idle.
        drop(self.source);
        // The last of them may let the image close, with its slab.
        match self.failed {
            // No word of what was written here, nor of where.
            Some(Failed {
                errno,
                of_source: true,
            }) => {
                request.stand();
                request.call_off(errno);
                if survive::is_loss(errno)
                    && let Some(source) = registry::get(ImageId::from_raw(self.work.copying.source))
                {
                    source.survive.lost(&source, errno, None);
                }
            }
            Some(Failed { errno, .. }) if errno.get() != libc::ECANCELED => {
                request.ended(Err(errno))
            }
            None if is_whole => request.ended(Ok(())),
            // The host's wish, which is no failure.
            _ => request.call_off(Errno::new(libc::ECANCELED, libc::EIO)),
        }
    }
}

/// A chunk, or a look, under way; also when it panics.
struct UnderWay<'a> {
    copies: &'a Copies,
    looks: bool,
    result: std::result::Result<(), Failed>,
}

/// Why a copy failed.
#[derive(Clone, Copy)]
struct Failed {
    errno: Errno,
    /// It was the image that is read.
    of_source: bool,
}

impl From<Errno> for Failed {
    fn from(errno: Errno) -> Failed {
        Failed {
            errno,
            of_source: false,
        }
    }
}

fn of_source(errno: Errno) -> Failed {
    Failed {
        errno,
        of_source: true,
    }
}

impl UnderWay<'_> {
    fn new(copies: &Copies, looks: bool) -> UnderWay<'_> {
        UnderWay {
            copies,
            looks,
            result: Err(Errno::new(libc::EIO, libc::EIO).into()),
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut line = self.copies.line.lock();
        let Some(current) = &mut line.current else {
            return;
        };
        if !self.looks {
            current.chunks -= 1;
        }
        if let Err(failed) = self.result {
            // Write-behind tells a failure once: being cancelled must not hide it, nor what the source did.
            let known = current
                .failed
                .is_some_and(|known| !known.of_source && known.errno.get() != libc::ECANCELED);
            if !known && (current.failed.is_none() || failed.errno.get() != libc::ECANCELED) {
                current.failed = Some(failed);
            }
            // What was seen is noted with it else.
            current.looking &= !self.looks;
        }
    }
}

/// One of the tasks that copy.
struct Copier(Arc<Copies>);

impl Job for Copier {
    fn run(&self) -> bool {
        let copies = &self.0;
        match copies.next() {
            None => return false,
            Some(Step::Ended) => copies.end(),
            Some(Step::Look { copying, at }) => copies.look(&copying, at),
            Some(Step::Chunk {
                copying,
                at,
                length,
                zero,
            }) => {
                let mut under_way = UnderWay::new(copies, false);
                under_way.result = copies.chunk(&copying, at, length, zero);
            }
        }
        true
    }

    fn fail(&self, why: Errno) {
        let (current, waiting) = {
            let mut line = self.0.line.lock();
            line.at_work -= 1;
            if line.at_work > 0 {
                // Another one ends it.
                return;
            }
            (line.current.take(), std::mem::take(&mut line.waiting))
        };
        if let Some(mut current) = current {
            current.failed.get_or_insert(why.into());
            current.end();
        }
        for work in waiting {
            work.request.call_off(why);
        }
    }
}

/// An image that is read counts the copy as one more request in flight until this is dropped.
struct Counted(Arc<Image>);

impl Counted {
    /// During a visit, so that a close finds it outstanding.
    fn new(image: &Arc<Image>) -> gfapi::Result<Counted> {
        let counted = image.with_backing(|_| {
            let _desk = image.desk.lock();
            image.outstanding.store(
                image.outstanding.load(Ordering::Relaxed) + 1,
                Ordering::Relaxed,
            );
            Ok(Counted(image.clone()))
        });
        counted.map_err(|why| why.errno)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let image = &self.0;
        {
            let _desk = image.desk.lock();
            image.outstanding.store(
                image.outstanding.load(Ordering::Relaxed) - 1,
                Ordering::Relaxed,
            );
        }
        image.completions.changed();
    }
}

fn closed() -> Errno {
    Errno::new(libc::EBADF, libc::EIO)
}

/// The image that is read, unless it is being closed.
fn reading(source: u64) -> gfapi::Result<(Arc<Image>, Arc<Backing>)> {
    match registry::visit(ImageId::from_raw(source)) {
        Some(opened) if !opened.draining => Ok((opened.image.clone(), opened.backing.clone())),
        _ => Err(closed()),
    }
}

/// What the source holds from `at` bytes on; the first time it comes to count the copy.
fn look(copying: &Copying, at: i64) -> gfapi::Result<(Option<Counted>, Extent)> {
    let length = copying.length - at;
    let image = reading(copying.source)?.0;
    let counted = match at {
        0 => Some(Counted::new(&image)?),
        _ => None,
    };
    // Where it cannot be told, what is read will tell.
    let extent = image.status(copying.from + at, length).unwrap_or(Extent {
        length,
        content: Content::Data,
    });
    Ok((counted, extent))
}

/// Through memory. What lies past the end of the source is zero.
fn copy(
    copying: &Copying,
    at: i64,
    chunk: &mut [u8],
    to: &File,
) -> std::result::Result<(), Failed> {
    let from = copying.from + at;
    let mut got = 0;
    {
        let (_, source) = reading(copying.source).map_err(of_source)?;
        while got < chunk.len() {
            let read = source.file.read(&mut chunk[got..], from + got as i64);
            match read.map_err(of_source)? {
                0 => break,
                more => got += more,
            }
        }
    }
    chunk[got..].fill(0);
    Ok(to.write(chunk, copying.offset + at, copying.through)?)
}

impl Image {
    /// Whether a copy from `source` can be: not of bytes onto themselves, nor from where none are.
    pub(super) fn check_copy(&self, source: u64, from: i64, ask: &Ask<'_>) -> Result<()> {
        let end = from.checked_add(ask.length);
        if from < 0 || ask.length < 0 {
            return Err(self.error(
                libc::EINVAL,
                &format!(
                    "was asked for a copy of {} bytes from offset {from}",
                    ask.length
                ),
            ));
        }
        if end.is_none_or(|end| end > MAX_END) {
            return Err(self.error(
                libc::EFBIG,
                &format!("was asked for a copy from offset {from} that ends past 4 PiB"),
            ));
        }
        let apart = from - ask.offset;
        if source == self.id.raw() && apart.abs() < ask.length {
            return Err(self.error(
                libc::EINVAL,
                &format!(
                    "was asked for a copy of {} bytes from offset {from} to offset {} of itself, which \
                     overlap",
                    ask.length, ask.offset
                ),
            ));
        }
        Ok(())
    }
}
