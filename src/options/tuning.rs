// SPDX-License-Identifier: GPL-2.0-or-later
//! Gluster's own client options that a host may set: `ping-timeout`, `frame-timeout`, and
//! `xlator.PATTERN.KEY` for a list of keys.
//!
//! A list, and values that are checked: a bad value makes libgfapi fail without a reason or hang,
//! and some keys crash it (`event-threads`) or lose data (`resync-failed-syncs-after-fsync`).

use super::digits;
use crate::error::{Error, Result};
use crate::gfapi::XlatorOption;
use std::ffi::CString;
use std::fmt;
use std::ops::RangeInclusive;

/// What a key takes.
enum Values {
    Number(RangeInclusive<u64>),
    Switch,
    OneOf(&'static [&'static str]),
}

use Values::{Number, OneOf, Switch};

/// Keys and their values, in the order of the client's graph from the wire up.
const KEYS: [(&str, Values); 21] = [
    // 0 would turn the watch over silent bricks off: whoever waits for one then waits for ever.
    ("ping-timeout", Number(1..=1013)),
    ("frame-timeout", Number(1..=86400)),
    ("filter-O_DIRECT", Switch),
    ("transport.tcp-user-timeout", Number(0..=1013)),
    ("transport.socket.keepalive-time", Number(1..=32767)),
    ("transport.socket.keepalive-interval", Number(1..=32767)),
    ("transport.socket.keepalive-count", Number(1..=127)),
    // Replica volumes.
    ("read-hash-mode", Number(0..=5)),
    ("choose-local", Switch),
    ("background-self-heal-count", Number(0..=256)),
    ("heal-wait-queue-length", Number(0..=10000)),
    ("data-self-heal", Switch),
    ("data-self-heal-window-size", Number(1..=1024)),
    // Replica and disperse volumes.
    ("eager-lock", Switch),
    // Disperse volumes.
    ("read-policy", OneOf(&["round-robin", "gfid-hash"])),
    ("stripe-cache", Number(0..=10)),
    ("background-heals", Number(0..=256)),
    ("heal-wait-qlength", Number(0..=65536)),
    // Of all volumes.
    ("lookup-optimize", Switch),
    // Write-behind's, in bytes.
    ("cache-size", Number(512 << 10..=1 << 30)),
    ("window-size", Number(512 << 10..=1 << 30)),
];

/// Longest pattern: a translator's name is the volume's and a dozen letters.
const MAX_PATTERN: usize = 300;

/// Whether an option is one of these.
pub(super) fn is_tuning(name: &str) -> bool {
    matches!(name, "ping-timeout" | "frame-timeout") || name.starts_with("xlator.")
}

/// Reads one of them.
pub(super) fn read(name: &str, value: &str) -> Result<XlatorOption> {
    let (pattern, key) = match name.strip_prefix("xlator.") {
        None => ("*-client-*", name),
        Some(rest) => split(rest).ok_or_else(|| {
            let keys: Vec<&str> = KEYS.iter().map(|(key, _)| *key).collect();
            Error::invalid(format!(
                "option '{name}' is not xlator.PATTERN.KEY with one of the keys {}",
                keys.join(", ")
            ))
        })?,
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.*?".contains(&byte);
    if pattern.is_empty() || pattern.len() > MAX_PATTERN || !pattern.bytes().all(plain) {
        return Err(Error::invalid(format!(
            "option '{name}': a translator's name has letters, digits and -_. only, and * and ? stand \
             for any of them, as in xlator.*-client-*.{key}"
        )));
    }
    let takes = KEYS.iter().find(|(known, _)| *known == key);
    if !takes.is_some_and(|(_, values)| values.hold(value)) {
        let takes = takes.map_or(String::new(), |(_, values)| values.to_string());
        return Err(Error::invalid(format!(
            "{name} takes {takes}, not '{value}'"
        )));
    }
    let c_string = |text: &str| {
        CString::new(text).map_err(|_| Error::invalid(format!("option '{name}' holds a NUL byte")))
    };
    Ok(XlatorOption {
        pattern: c_string(pattern)?,
        key: c_string(key)?,
        value: c_string(value)?,
    })
}

/// Pattern and key; both may have dots.
fn split(rest: &str) -> Option<(&str, &str)> {
    KEYS.iter().find_map(|(key, _)| {
        let pattern = rest.strip_suffix(key)?.strip_suffix('.')?;
        Some((pattern, *key))
    })
}

impl Values {
    fn hold(&self, value: &str) -> bool {
        match self {
            Number(range) => digits(value).is_some_and(|number| range.contains(&number)),
            Switch => matches!(value, "on" | "off"),
            OneOf(words) => words.contains(&value),
        }
    }
}

impl fmt::Display for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number(range) => write!(f, "a number from {} to {}", range.start(), range.end()),
            Switch => f.write_str("on or off"),
            OneOf(words) => f.write_str(&words.join(" or ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(option: &XlatorOption) -> [&str; 3] {
        [&option.pattern, &option.key, &option.value].map(|text| text.to_str().unwrap())
    }

    #[test]
    fn patterns_and_keys_are_told_apart() {
        for (name, value, wanted) in [
            ("ping-timeout", "5", ["*-client-*", "ping-timeout", "5"]),
            (
                "frame-timeout",
                "600",
                ["*-client-*", "frame-timeout", "600"],
            ),
            (
                "xlator.vol.1-client-?.ping-timeout",
                "9",
                ["vol.1-client-?", "ping-timeout", "9"],
            ),
            (
                "xlator.*.transport.tcp-user-timeout",
                "0",
                ["*", "transport.tcp-user-timeout", "0"],
            ),
            (
                "xlator.*-replicate-*.choose-local",
                "off",
                ["*-replicate-*", "choose-local", "off"],
            ),
            (
                "xlator.*-disperse-0.read-policy",
                "gfid-hash",
                ["*-disperse-0", "read-policy", "gfid-hash"],
            ),
        ] {
            assert!(is_tuning(name));
            assert_eq!(text(&read(name, value).unwrap()), wanted);
        }
        for name in ["filename", "xlator", "ping-timeouts", ""] {
            assert!(!is_tuning(name), "{name}");
        }
    }

    #[test]
    fn what_could_harm_is_refused() {
        for (name, value, word) in [
            ("ping-timeout", "0", "from 1 to 1013"),
            ("ping-timeout", "1014", "from 1 to 1013"),
            ("ping-timeout", "5s", "'5s'"),
            ("frame-timeout", "", "from 1"),
            (
                "xlator.*-client-*.tcp-window-size",
                "1MB",
                "one of the keys",
            ),
            ("xlator.*-client-*.event-threads", "4", "one of the keys"),
            (
                "xlator.*-write-behind.resync-failed-syncs-after-fsync",
                "on",
                "one of the keys",
            ),
            ("xlator.*-write-behind.cache-size", "1MB", "'1MB'"),
            ("xlator.*-client-*.filter-O_DIRECT", "yes", "on or off"),
            (
                "xlator.*-disperse-*.read-policy",
                "first",
                "round-robin or gfid-hash",
            ),
            ("xlator.ping-timeout", "5", "xlator.PATTERN.KEY"),
            ("xlator..ping-timeout", "5", "letters, digits"),
            ("xlator.a/b.ping-timeout", "5", "letters, digits"),
            ("xlator.[a-z].ping-timeout", "5", "letters, digits"),
        ] {
            let why = read(name, value).unwrap_err();
            assert_eq!(why.errno.get(), libc::EINVAL);
            assert!(why.text.contains(word), "{why} does not say {word}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(rest in "\\PC*", value in "\\PC*") {
            let _ = read(&format!("xlator.{rest}"), &value);
            let _ = read(&format!("xlator.{rest}.choose-local"), &value);
        }
    }
}
