// SPDX-License-Identifier: GPL-2.0-or-later
//! The host's options and URI, as plain checked values. Pure: nothing is contacted here.

mod place;
pub(crate) mod table;
mod tuning;

use crate::error::{Error, Result};
use crate::gfapi::{ConnectSpec, LogSpec, ServerSpec, XlatorOption};
use crate::uri::{ImageUri, Server, Transport};
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;
pub(crate) use table::For;

/// Where an image lives and how to get there.
#[derive(Clone, Debug)]
pub struct ImageLocation {
    uri: ImageUri,
    /// Whether write-behind may acknowledge writes from memory.
    write_cache: bool,
    locking: Locking,
    strict_locks: bool,
    /// Where libgfapi's messages go, if anywhere.
    log: Option<LogSpec>,
    /// Options of Gluster's translators.
    tuning: Vec<XlatorOption>,
    /// How long an opener waits for a new connection.
    pub connect_timeout: Duration,
    /// How long the connection is kept after the last image on it.
    pub keep_connection: Duration,
    /// What is reported of it.
    pub trace: Verbosity,
}

impl ImageLocation {
    /// Path of the image in its volume.
    pub fn path(&self) -> &CStr {
        &self.uri.path
    }

    /// Its volume, for messages.
    pub fn volume(&self) -> String {
        self.uri.volume.to_string_lossy().into_owned()
    }

    /// Whether both are one image, as far as their names tell.
    pub fn is_at(&self, other: &ImageLocation) -> bool {
        self.uri.volume == other.uri.volume && self.uri.path == other.uri.path
    }

    /// Whether a brick that has forgotten a lock is to serve the image no more.
    pub fn has_strict_locks(&self) -> bool {
        self.locking != Locking::Off && self.strict_locks
    }

    /// Whether the host asked for RDMA, which no longer exists.
    pub fn wants_rdma(&self) -> bool {
        self.uri.transport == Transport::Rdma
    }

    /// Whether write-behind may acknowledge writes from memory.
    pub fn write_cache(&self) -> bool {
        self.write_cache
    }

    /// Whether it is locked.
    pub fn locking(&self) -> Locking {
        self.locking
    }

    /// All that shapes the connection.
    pub(crate) fn connect_spec(&self) -> ConnectSpec {
        let servers = std::iter::once(&self.uri.server).chain(&self.uri.more_servers);
        ConnectSpec {
            volume: self.uri.volume.clone(),
            servers: servers.map(server_spec).collect(),
            write_cache: self.write_cache,
            locks: self.locking != Locking::Off,
            strict_locks: self.locking != Locking::Off && self.strict_locks,
            log: self.log.clone(),
            tuning: self.tuning.clone(),
        }
    }
}

fn server_spec(server: &Server) -> ServerSpec {
    match server {
        Server::Inet { host, port } => ServerSpec {
            transport: c"tcp",
            // The parser refuses NUL; an empty host would be refused by libgfapi.
            host: CString::new(host.as_str()).unwrap_or_default(),
            port: *port,
        },
        Server::Unix { socket } => ServerSpec {
            transport: c"unix",
            host: socket.clone(),
            port: 0,
        },
    }
}

/// Most servers that a message names: the reason has to fit behind them.
pub(crate) const NAMED_SERVERS: usize = 3;

/// For messages.
impl fmt::Display for ImageLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers = 1 + self.uri.more_servers.len();
        if servers <= NAMED_SERVERS {
            return self.uri.fmt(f);
        }
        let mut short = self.uri.clone();
        short.more_servers.truncate(NAMED_SERVERS - 1);
        write!(
            f,
            "{short} (… and {} more servers)",
            servers - NAMED_SERVERS
        )
    }
}

/// Whether an image is locked against other users of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locking {
    /// No.
    Off,
    /// If its volume has locks.
    Auto,
    /// Yes, or it is not opened.
    On,
}

/// How much of what is going on is reported; each with those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Nothing but what is always.
    Off,
    /// Each request that fails, and what is tried to help it.
    Errors,
    /// Connecting, opening, locking, fsyncs, closing.
    Steps,
    /// Each request as it ends.
    Requests,
    /// Each request as it is accepted, and what calls it becomes.
    All,
}

/// What becomes of requests while the bricks are out of reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDisconnect {
    /// They fail at once.
    Report,
    /// Those that can wait do, so long at most.
    Stall(Duration),
}

impl OnDisconnect {
    fn parse(text: Option<&str>) -> Result<OnDisconnect> {
        let text = text.unwrap_or("report");
        let most = Duration::from_secs(MOST_PATIENCE);
        let time = text.strip_prefix("stall:").and_then(digits);
        match time.map(Duration::from_secs) {
            Some(time) if time.is_zero() => Ok(OnDisconnect::Report),
            Some(time) if time <= most => Ok(OnDisconnect::Stall(time)),
            _ if text == "report" => Ok(OnDisconnect::Report),
            _ => Err(Error::invalid(format!(
                "on-disconnect takes report, or stall:SECONDS with a number from 0 to \
                 {MOST_PATIENCE}, not '{text}'"
            ))),
        }
    }
}

/// What `open` was asked for.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Which image.
    pub location: ImageLocation,
    /// Writes allowed.
    pub read_write: bool,
    /// O_DIRECT on the bricks.
    pub no_cache: bool,
    /// With locking: others may write it meanwhile.
    pub share_rw: bool,
    /// What it does is counted.
    pub statistics: bool,
    /// With locking: no lock is taken yet.
    pub lock_later: bool,
    /// Where it may not be written, it is opened for reading.
    pub auto_read_only: bool,
    /// No flush succeeds when a brick may have lost what was not flushed.
    pub strict_flush: bool,
    /// While the bricks are out of reach.
    pub on_disconnect: OnDisconnect,
    /// A request that takes longer is reported; zero: none is.
    pub slow_request: Duration,
}

/// What `create` was asked for.
#[derive(Clone, Debug)]
pub struct CreateOptions {
    /// Which image.
    pub location: ImageLocation,
    /// Its length in bytes, a multiple of [`SECTOR`].
    pub size: i64,
    /// Whether it gets its space at once.
    pub preallocation: Preallocation,
    /// What becomes of one that is there.
    pub exists: Exists,
}

/// What `create` does with an image that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exists {
    /// It becomes the new one, empty.
    Cut,
    /// It is an error.
    Fail,
    /// It stays as it is.
    Keep,
}

impl Exists {
    fn parse(text: &str) -> Result<Exists> {
        match text {
            "cut" => Ok(Exists::Cut),
            "fail" => Ok(Exists::Fail),
            "keep" => Ok(Exists::Keep),
            _ => Err(Error::invalid(format!(
                "exists takes cut, fail or keep, not '{text}'"
            ))),
        }
    }
}

/// How a new range gets its space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preallocation {
    /// As it is written.
    Off,
    /// At once.
    Falloc,
    /// At once, filled with zeroes.
    Full,
}

impl Preallocation {
    fn parse(text: &str) -> Result<Preallocation> {
        match text {
            "off" => Ok(Preallocation::Off),
            "falloc" => Ok(Preallocation::Falloc),
            "full" => Ok(Preallocation::Full),
            _ => Err(Error::invalid(format!(
                "preallocation takes off, falloc or full, not '{text}'"
            ))),
        }
    }
}

/// A name and a value, as the host gave them.
pub type Pair<'a> = (&'a str, &'a str);

/// Whether these options say where an image is.
pub fn name_a_place(pairs: &[Pair<'_>]) -> bool {
    let is_part = |name: &str| matches!(name, "volume" | "path") || name.starts_with("server.");
    pairs.iter().any(|(name, _)| is_part(name))
}

/// Bytes in a sector.
pub const SECTOR: i64 = 512;

/// No image may end beyond this. Far beyond, GlusterFS's sharding overflows: at 2^53 the client
/// crashes, at 2^54 it hangs.
pub const MAX_END: i64 = 1 << 52;

/// Most seconds that an option takes, ...
const MAX_SECONDS: u64 = 3600;

/// ... and those of them that are about requests: a day.
const MOST_PATIENCE: u64 = 86400;

impl OpenOptions {
    /// Reads the options of `open`. `protocol` is the driver's: it opens its own scheme only.
    pub fn parse(
        protocol: &str,
        pairs: &[Pair<'_>],
        read_write: bool,
        no_cache: bool,
    ) -> Result<OpenOptions> {
        let raw = Raw::read(pairs, For::Open)?;
        let location = raw.locate(protocol, raw.filename, no_cache)?;
        Ok(OpenOptions {
            share_rw: raw.share_rw(location.locking)?,
            statistics: raw.statistics()?,
            auto_read_only: raw.auto_read_only()?,
            strict_flush: raw.strict_flush()?,
            on_disconnect: raw.on_disconnect(location.write_cache)?,
            slow_request: patience("slow-request", raw.slow_request, 30)?,
            location,
            read_write,
            no_cache,
            lock_later: false,
        })
    }

    /// The lock is taken when the host says what it is to be.
    pub fn lock_later(&mut self) -> Result<()> {
        if self.location.locking == Locking::Off || self.share_rw {
            return Err(Error::invalid(
                "BLK_O_LOCK_LATER contradicts locking=off and share-rw=on; lock_change says how it is locked",
            ));
        }
        self.lock_later = true;
        Ok(())
    }
}

impl OpenOptions {
    /// Whether it is opened for reading where it may not be written.
    pub fn falls_back(&self) -> bool {
        self.read_write && self.auto_read_only
    }
}

impl ImageLocation {
    /// The same image, as a reopen with these options has it.
    pub fn reopened(&self, pairs: &[Pair<'_>], no_cache: bool) -> Result<ImageLocation> {
        let mut location = self.clone();
        let mut is_given = false;
        for &(name, value) in pairs {
            if name != "write-cache" {
                return Err(Error::invalid(format!(
                    "a reopen takes the option write-cache, not '{name}'; what else is to change \
                     needs a close and an open"
                )));
            }
            if std::mem::replace(&mut is_given, true) {
                return Err(Error::invalid("option 'write-cache' is given twice"));
            }
            location.write_cache = on_or_off(name, value)?;
        }
        if location.write_cache && no_cache {
            return Err(Error::invalid(
                "write-cache=on contradicts BLK_O_NOCACHE; reopen it with write-cache=off",
            ));
        }
        Ok(location)
    }
}

fn on_or_off(name: &str, value: &str) -> Result<bool> {
    match value {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(Error::invalid(format!(
            "{name} takes on or off, not '{value}'"
        ))),
    }
}

impl CreateOptions {
    /// Reads the options of `create`. Without `filename` they say where the image is to be.
    pub fn parse(
        protocol: &str,
        filename: Option<&str>,
        pairs: &[Pair<'_>],
    ) -> Result<CreateOptions> {
        let raw = Raw::read(pairs, For::Create)?;
        let size = match raw.size {
            Some(text) => parse_size(text)?,
            None => 0,
        };
        Ok(CreateOptions {
            location: raw.locate(protocol, filename, false)?,
            size,
            preallocation: raw
                .preallocation
                .map_or(Ok(Preallocation::Off), Preallocation::parse)?,
            exists: raw.exists.map_or(Ok(Exists::Cut), Exists::parse)?,
        })
    }
}

/// Options as they came.
#[derive(Default)]
struct Raw<'a> {
    filename: Option<&'a str>,
    place: place::Place<'a>,
    debug: Option<&'a str>,
    logfile: Option<&'a str>,
    tuning: BTreeMap<&'a str, &'a str>,
    size: Option<&'a str>,
    preallocation: Option<&'a str>,
    exists: Option<&'a str>,
    write_cache: Option<&'a str>,
    connect_timeout: Option<&'a str>,
    keep_connection: Option<&'a str>,
    locking: Option<&'a str>,
    share_rw: Option<&'a str>,
    statistics: Option<&'a str>,
    trace: Option<&'a str>,
    strict_locks: Option<&'a str>,
    auto_read_only: Option<&'a str>,
    strict_flush: Option<&'a str>,
    on_disconnect: Option<&'a str>,
    slow_request: Option<&'a str>,
}

impl<'a> Raw<'a> {
    fn read(pairs: &[Pair<'a>], call: For) -> Result<Raw<'a>> {
        let mut raw = Raw::default();
        for &(name, value) in pairs {
            raw.set(name, value, call)?;
        }
        Ok(raw)
    }

    fn set(&mut self, name: &'a str, value: &'a str, call: For) -> Result<()> {
        let twice = || Error::invalid(format!("option '{name}' is given twice"));
        if tuning::is_tuning(name) {
            let before = self.tuning.insert(name, value);
            return before.map_or(Ok(()), |_| Err(twice()));
        }
        let place = match name {
            "volume" => &mut self.place.volume,
            "path" => &mut self.place.path,
            "debug" => &mut self.debug,
            "logfile" => &mut self.logfile,
            "filename" => &mut self.filename,
            "size" => &mut self.size,
            "preallocation" => &mut self.preallocation,
            "exists" => &mut self.exists,
            "write-cache" => &mut self.write_cache,
            "connect-timeout" => &mut self.connect_timeout,
            "keep-connection" => &mut self.keep_connection,
            "locking" => &mut self.locking,
            "share-rw" => &mut self.share_rw,
            "statistics" => &mut self.statistics,
            "trace" => &mut self.trace,
            "strict-locks" => &mut self.strict_locks,
            "auto-read-only" => &mut self.auto_read_only,
            "strict-flush" => &mut self.strict_flush,
            "on-disconnect" => &mut self.on_disconnect,
            "slow-request" => &mut self.slow_request,
            _ => match self.place.server(name)? {
                Some(place) => place,
                None => return Err(unknown(name, call)),
            },
        };
        // So that none works that is not listed.
        if !name.starts_with("server.") && !table::takes(call, name) {
            return Err(unknown(name, call));
        }
        if place.replace(value).is_some() {
            return Err(twice());
        }
        Ok(())
    }

    fn locate(
        &self,
        protocol: &str,
        filename: Option<&str>,
        no_cache: bool,
    ) -> Result<ImageLocation> {
        let uri = place::locate(self, protocol, filename)?;
        let write_cache = match self.write_cache {
            // Write-behind loses order in an outage, see README: only who asks for it gets it.
            None => false,
            Some("off") => false,
            Some("on") if no_cache => {
                return Err(Error::invalid(
                    "write-cache=on contradicts BLK_O_NOCACHE; leave one of them out",
                ));
            }
            Some("on") => true,
            Some(other) => {
                return Err(Error::invalid(format!(
                    "write-cache takes on or off, not '{other}'"
                )));
            }
        };
        let connect_timeout = seconds("connect-timeout", self.connect_timeout, 1, 30)?;
        let keep_connection = seconds("keep-connection", self.keep_connection, 0, 30)?;
        let locking = self.locking()?;
        Ok(ImageLocation {
            uri,
            write_cache,
            locking,
            strict_locks: self.strict_locks(locking)?,
            log: self.log()?,
            tuning: self.tuning()?,
            connect_timeout,
            keep_connection,
            trace: self.trace()?,
        })
    }

    fn statistics(&self) -> Result<bool> {
        match self.statistics {
            None | Some("on") => Ok(true),
            Some("off") => Ok(false),
            Some(other) => Err(Error::invalid(format!(
                "statistics takes on or off, not '{other}'"
            ))),
        }
    }

    fn trace(&self) -> Result<Verbosity> {
        match self.trace {
            None | Some("off") => Ok(Verbosity::Off),
            Some("errors") => Ok(Verbosity::Errors),
            Some("steps") => Ok(Verbosity::Steps),
            Some("requests") => Ok(Verbosity::Requests),
            Some("all") => Ok(Verbosity::All),
            Some(other) => Err(Error::invalid(format!(
                "trace takes off, errors, steps, requests or all, not '{other}'"
            ))),
        }
    }

    /// In the order of their names, so that hosts that give them in another share a connection.
    fn tuning(&self) -> Result<Vec<XlatorOption>> {
        let mut read: Vec<XlatorOption> = Vec::new();
        for (name, value) in &self.tuning {
            let option = tuning::read(name, value)?;
            let same = |other: &XlatorOption| {
                (&other.pattern, &other.key) == (&option.pattern, &option.key)
            };
            if read.iter().any(same) {
                return Err(Error::invalid(format!(
                    "option '{name}' is given twice, under two names"
                )));
            }
            read.push(option);
        }
        Ok(read)
    }

    fn locking(&self) -> Result<Locking> {
        match self.locking {
            // Who opens an image twice has to know of it, and of what a brick's restart does.
            None | Some("off") => Ok(Locking::Off),
            Some("auto") => Ok(Locking::Auto),
            Some("on") => Ok(Locking::On),
            Some(other) => Err(Error::invalid(format!(
                "locking takes on, auto or off, not '{other}'"
            ))),
        }
    }

    fn strict_locks(&self, locking: Locking) -> Result<bool> {
        match self.strict_locks {
            None => Ok(true),
            Some("on" | "off") if locking == Locking::Off => Err(Error::invalid(
                "strict-locks says what a lost lock does; it needs locking=on or locking=auto",
            )),
            Some("on") => Ok(true),
            Some("off") => Ok(false),
            Some(other) => Err(Error::invalid(format!(
                "strict-locks takes on or off, not '{other}'"
            ))),
        }
    }

    fn share_rw(&self, locking: Locking) -> Result<bool> {
        match self.share_rw {
            None | Some("off") => Ok(false),
            Some("on") if locking == Locking::Off => Err(Error::invalid(
                "share-rw=on says how an image is locked; it needs locking=on or locking=auto",
            )),
            Some("on") => Ok(true),
            Some(other) => Err(Error::invalid(format!(
                "share-rw takes on or off, not '{other}'"
            ))),
        }
    }

    fn auto_read_only(&self) -> Result<bool> {
        match self.auto_read_only {
            None => Ok(false),
            Some(value) => on_or_off("auto-read-only", value),
        }
    }

    fn strict_flush(&self) -> Result<bool> {
        match self.strict_flush {
            None => Ok(false),
            Some(value) => on_or_off("strict-flush", value),
        }
    }

    fn on_disconnect(&self, write_cache: bool) -> Result<OnDisconnect> {
        match OnDisconnect::parse(self.on_disconnect)? {
            OnDisconnect::Stall(_) if write_cache => Err(Error::invalid(
                "on-disconnect=stall contradicts write-cache=on, which loses acknowledged writes in an \
                 outage however long anybody waits; leave one of them out",
            )),
            policy => Ok(policy),
        }
    }

    /// As QEMU's driver takes them: one alone has the other's usual value beside it.
    fn log(&self) -> Result<Option<LogSpec>> {
        let level = match self.debug {
            None => 4,
            Some(text) => digits(text)
                .and_then(|level| i32::try_from(level).ok())
                .filter(|level| (0..=9).contains(level))
                .ok_or_else(|| {
                    Error::invalid(format!(
                        "debug takes a level from 0 (nothing) over 4 (errors) to 9 (everything), not \
                         '{text}'"
                    ))
                })?,
        };
        if self.debug.is_none() && self.logfile.is_none() {
            return Ok(None);
        }
        let file = self.logfile.unwrap_or("-");
        if file.is_empty() {
            return Err(Error::invalid("logfile takes a path, or - for stderr"));
        }
        // libgfapi does not know a path without a slash for one.
        let here = match file.contains('/') || file == "-" {
            true => "",
            false => "./",
        };
        let file = CString::new(format!("{here}{file}"))
            .map_err(|_| Error::invalid("logfile holds a NUL byte"))?;
        Ok(Some(LogSpec { file, level }))
    }
}

fn unknown(name: &str, call: For) -> Error {
    Error::invalid(format!(
        "unknown option '{name}'; known are {}",
        table::names(call).join(", ")
    ))
}

/// An option in whole seconds.
fn seconds(name: &str, text: Option<&str>, least: u64, default: u64) -> Result<Duration> {
    seconds_in(name, text, least..=MAX_SECONDS, default)
}

/// The same for the time of a request, where 0 means none.
fn patience(name: &str, text: Option<&str>, default: u64) -> Result<Duration> {
    seconds_in(name, text, 0..=MOST_PATIENCE, default)
}

fn seconds_in(
    name: &str,
    text: Option<&str>,
    range: RangeInclusive<u64>,
    default: u64,
) -> Result<Duration> {
    let number = match text {
        None => Some(default),
        Some(text) => digits(text).filter(|number| range.contains(number)),
    };
    number.map(Duration::from_secs).ok_or_else(|| {
        Error::invalid(format!(
            "{name} takes a number of seconds from {} to {}, not '{}'",
            range.start(),
            range.end(),
            text.unwrap_or_default()
        ))
    })
}

/// Decimal digits only: no sign, no space.
fn digits(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// A size in bytes with an optional suffix, rounded up to whole sectors.
fn parse_size(text: &str) -> Result<i64> {
    let wrong = || {
        Error::invalid(format!(
            "size takes a whole number of bytes, with an optional suffix b, k, M, G, T, P or E of \
             either case, not '{text}'"
        ))
    };
    let suffix = text.as_bytes().last().map(u8::to_ascii_lowercase);
    let shift = match suffix {
        Some(b'b') => Some(0),
        Some(b'k') => Some(10),
        Some(b'm') => Some(20),
        Some(b'g') => Some(30),
        Some(b't') => Some(40),
        Some(b'p') => Some(50),
        Some(b'e') => Some(60),
        _ => None,
    };
    let (number, shift) = match shift {
        Some(shift) => (&text[..text.len() - 1], shift),
        None => (text, 0),
    };
    let number = digits(number).ok_or_else(wrong)?;
    let rounded = i64::try_from(number)
        .ok()
        .and_then(|number| number.checked_mul(1i64 << shift))
        .and_then(|size| size.checked_add(SECTOR - 1))
        .map(|size| size / SECTOR * SECTOR)
        .filter(|&size| size <= MAX_END);
    rounded.ok_or_else(|| {
        Error::new(
            crate::error::Stage::Parse,
            libc::EFBIG,
            format!("size {text} is more than an image can have (4 PiB)"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn open(pairs: &[Pair<'_>]) -> Result<OpenOptions> {
        OpenOptions::parse("gluster", pairs, true, false)
    }

    #[test]
    fn size_is_rounded_up_to_sectors() {
        for (text, bytes) in [
            ("0", 0),
            ("1", 512),
            ("512", 512),
            ("513", 1024),
            ("1k", 1024),
            ("3M", 3 << 20),
            ("1T", 1 << 40),
            ("513b", 1024),
            ("1K", 1024),
            ("3m", 3 << 20),
            ("2g", 2 << 30),
            ("2G", 2 << 30),
            ("1t", 1 << 40),
            ("4P", 4 << 50),
            ("4p", 4 << 50),
        ] {
            assert_eq!(parse_size(text).unwrap(), bytes, "{text}");
        }
    }

    #[test]
    fn bad_sizes_are_refused() {
        for text in [
            "", "-1", "+1", " 1", "1 ", "k", "1kk", "1.5G", "0x10", "1e9", "1Gé", "é",
        ] {
            assert_eq!(
                parse_size(text).unwrap_err().errno.get(),
                libc::EINVAL,
                "{text}"
            );
        }
        for text in [
            "9223372036854775807",
            "4503599627370497",
            "18446744073709551615",
            "9007199254740992T",
            "8388608T",
            "5P",
            "1E",
            "8e",
            "99999E",
        ] {
            assert_eq!(
                parse_size(text).unwrap_err().errno.get(),
                libc::EFBIG,
                "{text}"
            );
        }
    }

    #[test]
    fn write_cache_follows_the_cache_mode() {
        let filename = ("filename", "gluster://h/v/i");
        let cached = |no_cache, pairs: &[Pair<'_>]| {
            OpenOptions::parse("gluster", pairs, true, no_cache)
                .map(|open| open.location.write_cache())
        };
        assert!(!cached(false, &[filename]).unwrap());
        assert!(!cached(true, &[filename]).unwrap());
        assert!(!cached(false, &[filename, ("write-cache", "off")]).unwrap());
        assert!(cached(false, &[filename, ("write-cache", "on")]).unwrap());
        assert!(cached(true, &[filename, ("write-cache", "on")]).is_err());
    }

    #[test]
    fn locking_is_off_unless_asked_for() {
        let filename = ("filename", "gluster://h/v/i");
        let asked = |pairs: &[Pair<'_>]| {
            let open = open(&[&[filename], pairs].concat())?;
            Ok::<_, Error>((open.location.locking(), open.share_rw))
        };
        assert_eq!(asked(&[]).unwrap(), (Locking::Off, false));
        assert_eq!(asked(&[("locking", "on")]).unwrap(), (Locking::On, false));
        assert_eq!(
            asked(&[("share-rw", "on"), ("locking", "auto")]).unwrap(),
            (Locking::Auto, true)
        );
        assert!(asked(&[("share-rw", "on")]).is_err());
        assert!(asked(&[("share-rw", "on"), ("locking", "off")]).is_err());
        let create = |pairs: &[Pair<'_>]| CreateOptions::parse("gluster", Some(filename.1), pairs);
        assert_eq!(
            create(&[("locking", "on")]).unwrap().location.locking(),
            Locking::On
        );
        assert!(create(&[("locking", "on"), ("share-rw", "on")]).is_err());
    }

    #[test]
    fn what_becomes_of_an_image_that_is_there() {
        let exists = |pairs: &[Pair<'_>]| {
            CreateOptions::parse("gluster", Some("gluster://h/v/i"), pairs).map(|made| made.exists)
        };
        assert_eq!(exists(&[]).unwrap(), Exists::Cut);
        for (text, wanted) in [
            ("cut", Exists::Cut),
            ("fail", Exists::Fail),
            ("keep", Exists::Keep),
        ] {
            assert_eq!(exists(&[("exists", text)]).unwrap(), wanted);
        }
        for text in ["", "Cut", "on", "keep "] {
            assert!(exists(&[("exists", text)]).is_err(), "{text}");
        }
        assert!(open(&[("filename", "gluster://h/v/i"), ("exists", "cut")]).is_err());
    }

    #[test]
    fn a_long_list_of_servers_is_shortened_for_messages() {
        let told = |servers: usize| {
            let names: Vec<_> = (0..servers).map(|n| format!("server.{n}.host")).collect();
            let mut pairs = vec![("volume", "v"), ("path", "i")];
            pairs.extend(names.iter().map(|name| (name.as_str(), "h")));
            open(&pairs).unwrap().location.to_string()
        };
        assert_eq!(told(3), "gluster://h/v/i?server=h&server=h");
        assert_eq!(
            told(32),
            "gluster://h/v/i?server=h&server=h (… and 29 more servers)"
        );
    }

    #[test]
    fn nothing_is_traced_and_all_is_counted_unless_asked_for() {
        let asked = |pairs: &[Pair<'_>]| {
            let open = open(&[&[("filename", "gluster://h/v/i")], pairs].concat())?;
            Ok::<_, Error>((open.location.trace, open.statistics))
        };
        assert_eq!(asked(&[]).unwrap(), (Verbosity::Off, true));
        for (name, verbosity) in [
            ("off", Verbosity::Off),
            ("errors", Verbosity::Errors),
            ("steps", Verbosity::Steps),
            ("requests", Verbosity::Requests),
            ("all", Verbosity::All),
        ] {
            let pairs = [("trace", name), ("statistics", "off")];
            assert_eq!(asked(&pairs).unwrap(), (verbosity, false));
        }
        assert!(asked(&[("statistics", "on")]).unwrap().1);
        let uri = Some("gluster://h/v/i");
        let created = CreateOptions::parse("gluster", uri, &[("trace", "all")]);
        assert_eq!(created.unwrap().location.trace, Verbosity::All);
        assert!(CreateOptions::parse("gluster", uri, &[("statistics", "on")]).is_err());
    }

    #[test]
    fn wrong_options_are_named() {
        let filename = ("filename", "gluster://h/v/i");
        for (pairs, word) in [
            (vec![], "filename"),
            (vec![filename, ("size", "1")], "size"),
            (vec![filename, ("colour", "red")], "colour"),
            (vec![filename, filename], "twice"),
            (vec![filename, ("write-cache", "maybe")], "maybe"),
            (vec![filename, ("locking", "maybe")], "maybe"),
            (vec![filename, ("statistics", "yes")], "on or off"),
            (vec![filename, ("trace", "on")], "requests or all"),
            (vec![filename, ("trace", "all"), ("trace", "off")], "twice"),
            (vec![filename, ("connect-timeout", "0")], "connect-timeout"),
            (vec![filename, ("connect-timeout", "3601")], "3600"),
            (vec![filename, ("connect-timeout", "-5")], "-5"),
            (vec![("filename", "gluster+tcp://h/v/i")], "gluster+tcp"),
            (vec![("filename", "gluster://h/v")], "gluster[+transport]"),
        ] {
            let why = open(&pairs).unwrap_err();
            assert_eq!(why.errno.get(), libc::EINVAL, "{why}");
            assert!(why.text.contains(word), "{why} does not say {word}");
        }
    }

    #[test]
    fn images_share_a_connection_only_when_everything_is_the_same() {
        let spec = |uri: &str, cache| {
            let pairs = [("filename", uri), ("write-cache", cache)];
            open(&pairs).unwrap().location.connect_spec()
        };
        assert_eq!(
            spec("gluster://h/v/a", "on"),
            spec("gluster://h:24007/v/b", "on")
        );
        for other in [
            "gluster://h2/v/a",
            "gluster://h:24008/v/a",
            "gluster://h/v2/a",
            "gluster://h/v/a?server=h2",
        ] {
            assert_ne!(spec("gluster://h/v/a", "on"), spec(other, "on"), "{other}");
        }
        assert_ne!(
            spec("gluster://h/v/a", "on"),
            spec("gluster://h/v/a", "off")
        );
        // strict-locks is the connection's.
        let locked = [("filename", "gluster://h/v/a"), ("locking", "auto")];
        assert_ne!(
            spec("gluster://h/v/a", "off"),
            open(&locked).unwrap().location.connect_spec()
        );
    }

    proptest! {
        #[test]
        fn options_never_panic(name in "\\PC*", value in "\\PC*") {
            let _ = open(&[("filename", "gluster://h/v/i"), (&name, &value)]);
            let _ = CreateOptions::parse("gluster", Some("gluster://h/v/i"), &[("size", &value)]);
        }

        #[test]
        fn sizes_are_the_next_sector(bytes in 0..=MAX_END) {
            let size = parse_size(&bytes.to_string()).unwrap();
            prop_assert!(size >= bytes && size - bytes < SECTOR && size % SECTOR == 0);
        }
    }
}
