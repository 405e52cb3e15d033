// SPDX-License-Identifier: GPL-2.0-or-later
//! What a volume's description, its volfile, says of it; and how its replicas are.

use super::{Connection, File, sys};
use parking_lot::Mutex;
use std::ffi::CString;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// As often a volume's description is asked for.
const TRIES: u32 = 100;

/// What the translators at the top of the client's graph show of the others, without a brick.
pub(super) const META: &str = "/.meta/graphs/active";

impl Connection {
    /// Whether the volume keeps files in pieces, or does not say.
    pub fn is_sharded(&self) -> bool {
        self.has_translator(b"type features/shard")
    }

    /// Whether the volume spreads a file over several bricks by an erasure code, or does not say.
    pub fn is_disperse(&self) -> bool {
        self.has_translator(b"type cluster/disperse")
    }

    fn has_translator(&self, wanted: &[u8]) -> bool {
        let Some(text) = self.volfile() else {
            return true;
        };
        lines(&text).any(|line| line == wanted)
    }

    /// Bytes of the volume's description, negated. It is not touched.
    fn volfile_length(&self) -> isize {
        // SAFETY: the instance is live; of no room nothing is used.
        unsafe { sys::glfs_get_volfile(self.raw.as_ptr(), std::ptr::null_mut(), 0) }
    }

    pub(super) fn volfile(&self) -> Option<Vec<u8>> {
        let mut text: Vec<u8> = Vec::new();
        // Asked for its length first, by a buffer that is too small: libgfapi fills all of a larger
        // one, from beyond the end of the description. It can change in between.
        for _ in 0..TRIES {
            // SAFETY: the instance is live and `text` has so much room.
            let ret = unsafe {
                sys::glfs_get_volfile(self.raw.as_ptr(), text.as_mut_ptr().cast(), text.len())
            };
            match usize::try_from(ret) {
                // libgfapi keeps it only some time after glfs_init has been told of it.
                Ok(0) => std::thread::sleep(Duration::from_millis(5)),
                Ok(_) => return Some(text),
                Err(_) => text.resize(text.len() + ret.unsigned_abs(), 0),
            }
        }
        None
    }

    /// Whether a replica translator, of which `path` shows the state, has all its bricks.
    fn is_whole(&self, path: &CString) -> bool {
        self.private(path).is_some_and(|state| all_up(&state))
    }

    /// What a translator shows of its state.
    pub(super) fn private(&self, path: &CString) -> Option<Vec<u8>> {
        let file = File::open(self, path, libc::O_RDONLY).ok()?;
        let mut text = vec![0u8; 16384];
        // SAFETY: the file is live; the buffer has so much room; the stat may be null.
        let ret = unsafe {
            sys::glfs_pread(
                file.0.as_ptr(),
                text.as_mut_ptr().cast(),
                text.len(),
                0,
                0,
                std::ptr::null_mut(),
            )
        };
        let _ = file.close();
        match usize::try_from(ret) {
            // All of the buffer: there may be more.
            Ok(length) if length < text.len() => {
                text.truncate(length);
                Some(text)
            }
            _ => None,
        }
    }
}

pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii)
}

/// What a state says behind this, if it is a number.
pub(super) fn number_of(state: &[u8], what: &[u8]) -> Option<u64> {
    let value = lines(state).find_map(|line| line.strip_prefix(what))?;
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// Whether it tells of bricks, and none is down.
fn all_up(state: &[u8]) -> bool {
    let mut bricks = lines(state)
        .filter(|line| line.starts_with(b"child_up["))
        .peekable();
    bricks.peek().is_some() && bricks.all(|line| line.ends_with(b"] = 1"))
}

/// The replica translators of a volume's description.
fn replicate_names(volfile: &[u8]) -> Vec<CString> {
    let mut name: &[u8] = b"";
    let mut found = Vec::new();
    for line in lines(volfile) {
        if let Some(rest) = line.strip_prefix(b"volume ") {
            name = rest.trim_ascii();
        } else if line == b"type cluster/replicate" {
            let path = [META.as_bytes(), b"/", name, b"/private"].concat();
            found.extend(CString::new(path));
        }
    }
    found
}

/// The replicas that a file may lie on.
///
/// GlusterFS 10.3 notes which brick lacks what was written a second after the last write only, while
/// it goes on, and an fsync does not hurry it. A brick that comes back before is taken for a good
/// one, and answers reads with what it held when it went. It is hurried when a descriptor of the
/// same open file is closed, which costs the bricks three rounds: so only when one is down.
pub struct Replicas {
    sets: Mutex<Sets>,
    /// One may have lacked a brick since what was written was noted last.
    doubted: AtomicBool,
    /// The file was written, and not flushed since.
    written: AtomicBool,
    /// Somebody is looking.
    looked_at: AtomicBool,
}

struct Sets {
    /// Of the description that the paths are from.
    length: isize,
    paths: Vec<CString>,
}

impl Replicas {
    /// Those of the volume. None of a sharded one: its pieces are other files, which cannot be
    /// reached.
    pub fn of(connection: &Connection, is_sharded: bool) -> Replicas {
        let mut sets = Sets {
            length: 0,
            paths: Vec::new(),
        };
        if !is_sharded {
            sets.look_up(connection);
        }
        Replicas {
            sets: Mutex::new(sets),
            doubted: AtomicBool::new(false),
            written: AtomicBool::new(false),
            looked_at: AtomicBool::new(false),
        }
    }

    /// The file was written.
    pub fn note_write(&self) {
        if !self.written.load(Ordering::Relaxed) {
            self.written.store(true, Ordering::SeqCst);
        }
    }

    /// A flush begins.
    pub fn note_flush(&self) {
        self.written.store(false, Ordering::SeqCst);
    }

    /// Whether somebody should look, now and then, if a brick is away that may be back by the next
    /// flush. Then it has to be followed by [`Replicas::looked`].
    pub fn want_look(&self) -> bool {
        let want = self.written.load(Ordering::SeqCst) && !self.doubted.load(Ordering::SeqCst);
        want && self
            .sets
            .try_lock()
            .is_some_and(|sets| !sets.paths.is_empty())
            && !self.looked_at.swap(true, Ordering::SeqCst)
    }

    /// Somebody has looked.
    pub fn looked(&self, are_whole: bool) {
        if !are_whole {
            self.doubt();
        }
        self.looked_at.store(false, Ordering::SeqCst);
    }

    /// One may have lacked a brick by now, and it may be back when the next flush looks.
    pub fn doubt(&self) {
        self.doubted.store(true, Ordering::SeqCst);
    }

    /// Whether that was said since the last call.
    pub fn were_doubted(&self) -> bool {
        self.doubted.swap(false, Ordering::SeqCst)
    }

    /// Whether there are any.
    pub fn are_there(&self) -> bool {
        !self.sets.lock().paths.is_empty()
    }

    /// Whether none lacks a brick. Asks no brick.
    pub fn are_whole(&self, connection: &Connection) -> bool {
        let mut sets = self.sets.lock();
        if sets.paths.is_empty() {
            return true;
        }
        // The volume may have grown. Its options change the description as well, which does no harm.
        if sets.length != connection.volfile_length() {
            sets.look_up(connection);
        }
        sets.paths.iter().all(|path| connection.is_whole(path))
    }
}

impl Sets {
    fn look_up(&mut self, connection: &Connection) {
        let length = connection.volfile_length();
        if let Some(text) = connection.volfile() {
            self.paths = replicate_names(&text);
            self.length = length;
        }
    }
}

impl File {
    /// Lets replicas note which bricks lack what was written, see [`Replicas`]. Blocks.
    pub fn settle(&self) -> super::Result<()> {
        let aside = self.written_aside().map_or(Ok(()), File::settle_here);
        self.settle_here().and(aside)
    }

    /// What was written through this descriptor, whose open file is not that of the one aside.
    fn settle_here(&self) -> super::Result<()> {
        super::use_process_identity();
        super::clear_errno();
        // SAFETY: the file is live.
        let twin = unsafe { sys::glfs_dup(self.0.as_ptr()) };
        let twin = NonNull::new(twin)
            .map(|raw| File(raw, None, super::LockOwner::none(), self.3.clone()))
            .ok_or_else(|| super::last_errno(libc::EIO))?;
        // A close drops the locks of its owner, which would be who last used this thread.
        twin.own_locks()?;
        twin.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replica_translators_are_found_by_their_type() {
        let volfile = b"volume v-client-0\n    type protocol/client\nend-volume\n\n\
            volume v-replicate-0\n    type cluster/replicate\n    subvolumes v-client-0\nend-volume\n\
            volume v-replicate-1\n    type cluster/replicate\nend-volume\n\
            volume v-dht\n    type cluster/distribute\nend-volume\n";
        assert_eq!(
            replicate_names(volfile),
            [
                c"/.meta/graphs/active/v-replicate-0/private",
                c"/.meta/graphs/active/v-replicate-1/private"
            ]
            .map(std::ffi::CStr::to_owned)
        );
        assert!(replicate_names(b"").is_empty());
    }

    #[test]
    fn a_replica_is_whole_when_it_says_so_of_each_brick() {
        let state = |second: &str| {
            format!(
                "[cluster/replicate.v-replicate-0]\nchild_count = 2\nchild_up[0] = 1\n\
                 pending_key[0] = trusted.afr.v-client-0\nchild_up[1] = {second}\nup = 1\n"
            )
        };
        assert!(all_up(state("1").as_bytes()));
        for second in ["0", "-1", "", "10", "11"] {
            assert!(!all_up(state(second).as_bytes()), "{second}");
        }
        for strange in [&b""[..], b"child_count = 2\nup = 1\n"] {
            assert!(!all_up(strange));
        }
    }
}
