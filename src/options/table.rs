// SPDX-License-Identifier: GPL-2.0-or-later
//! Every option, in one list: what hosts are told, and what is accepted. A new option is one row here,
//! and its place in [`super::Raw`], which refuses what has no row.

use std::ffi::CStr;

/// Which call takes an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// `open` only.
    Open,
    /// `create` only.
    Create,
    /// Each of them.
    Both,
}

/// One of them.
pub struct Row {
    /// Its name. `N` in it is a number, `PATTERN` and `KEY` are what the text says.
    pub name: &'static CStr,
    pub call: For,
    /// The form of its value, as the header says.
    pub kind: &'static CStr,
    /// The value that stands for none; empty when there is no such value.
    pub default: &'static CStr,
    /// One line for a person.
    pub help: &'static CStr,
}

const fn row(
    name: &'static CStr,
    call: For,
    kind: &'static CStr,
    default: &'static CStr,
    help: &'static CStr,
) -> Row {
    Row {
        name,
        call,
        kind,
        default,
        help,
    }
}

use For::{Both, Create, Open};

/// In the order in which hosts list them.
#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    row(c"filename", Open, c"string", c"", c"URI of the image, or volume, path and server.N.* in its place"),
    row(c"size", Create, c"size", c"0", c"Virtual disk size"),
    row(c"preallocation", Create, c"off|falloc|full", c"off", c"Whether its space is allocated at once"),
    row(c"exists", Create, c"cut|fail|keep", c"cut", c"What becomes of an image that is there: emptied, an error, or left as it is"),
    row(c"volume", Both, c"string", c"", c"Name of the volume"),
    row(c"path", Both, c"string", c"", c"Path of the image in the volume"),
    row(c"server.N.host", Both, c"string", c"", c"Name or address of a management server; N counts from 0 to 31"),
    row(c"server.N.port", Both, c"1-65535", c"24007", c"Its port"),
    row(c"server.N.path", Both, c"string", c"", c"Unix socket of a management server, in place of host and port"),
    row(c"server.N.socket", Both, c"string", c"", c"The older name of server.N.path"),
    row(c"server.N.type", Both, c"inet|tcp|unix", c"", c"Which of both it is, where the others do not tell"),
    row(c"write-cache", Both, c"on|off", c"off", c"Whether Gluster's write-behind may acknowledge writes from memory"),
    row(c"connect-timeout", Both, c"1-3600", c"30", c"Seconds that a new connection may take"),
    row(c"keep-connection", Both, c"0-3600", c"30", c"Seconds that the connection is kept after its last image"),
    row(c"locking", Both, c"off|auto|on", c"off", c"Whether the image is locked against others who lock"),
    row(c"share-rw", Open, c"on|off", c"off", c"With locking: others who say so, too, may write it meanwhile"),
    row(c"strict-locks", Both, c"on|off", c"on", c"With locking: a brick that has forgotten the lock serves the image no more"),
    row(c"auto-read-only", Open, c"on|off", c"off", c"Whether an image that may not be written is opened for reading"),
    row(c"on-disconnect", Open, c"string", c"report", c"What becomes of requests while the bricks are out of reach: report, or stall:SECONDS"),
    row(c"strict-flush", Open, c"on|off", c"off", c"Whether flushes fail once a brick was away that held unflushed writes, which it may have lost"),
    row(c"slow-request", Open, c"0-86400", c"30", c"Seconds after which a request is reported as slow; 0: never"),
    row(c"statistics", Open, c"on|off", c"on", c"Whether what the image does is counted"),
    row(c"trace", Both, c"off|errors|steps|requests|all", c"off", c"What of the image is reported, as BLK_REPORT_DEBUG"),
    row(c"debug", Both, c"0-9", c"4", c"Level of libgfapi's messages: 0 none, 4 errors, 9 all"),
    row(c"logfile", Both, c"string", c"", c"File that libgfapi's messages go to, - for stderr"),
    row(c"ping-timeout", Both, c"1-1013", c"", c"Seconds after which a silent brick is given up; default: the volume's"),
    row(c"frame-timeout", Both, c"1-86400", c"", c"Seconds after which a single request is given up; default: the volume's"),
    row(c"xlator.PATTERN.KEY", Both, c"string", c"", c"Option of Gluster's translators whose names match PATTERN"),
];

/// Whether that call takes the option of this row.
const fn is_for(row: &Row, call: For) -> bool {
    matches!(
        (row.call, call),
        (Both, _) | (Open, Open) | (Create, Create)
    )
}

/// Whether that call takes an option of this name; of `server.N.*` and tuning others know.
pub(super) fn takes(call: For, name: &str) -> bool {
    ROWS.iter()
        .any(|row| is_for(row, call) && row.name.to_bytes() == name.as_bytes())
}

/// The names that this call takes.
pub(super) fn names(call: For) -> Vec<&'static str> {
    ROWS.iter()
        .filter(|row| is_for(row, call))
        .filter_map(|row| row.name.to_str().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{Raw, tuning};

    /// A name that the row stands for.
    fn example(row: &Row) -> String {
        let name = row.name.to_str().unwrap();
        name.replace(".N.", ".0.")
            .replace("PATTERN.KEY", "*-client-*.ping-timeout")
    }

    #[test]
    fn each_is_taken_by_its_calls_and_by_no_other() {
        for row in ROWS {
            let name = example(row);
            for call in [Open, Create] {
                let taken = Raw::default().set(&name, "1", call);
                assert_eq!(taken.is_ok(), is_for(row, call), "{name}: {taken:?}");
            }
        }
    }

    #[test]
    fn the_list_is_fit_to_be_shown() {
        for (rank, row) in ROWS.iter().enumerate() {
            let name = row.name.to_str().unwrap();
            assert!(
                ROWS[..rank].iter().all(|other| other.name != row.name),
                "{name} comes twice"
            );
            assert!(row.help.to_bytes().len() >= 8 && !row.help.to_str().unwrap().contains('\n'));
            let (kind, default) = (row.kind.to_str().unwrap(), row.default.to_str().unwrap());
            let fits = match kind.split_once('-') {
                _ if default.is_empty() || kind == "string" || kind == "size" => true,
                Some((least, most)) => {
                    let number = |text: &str| text.parse::<u64>().unwrap();
                    (number(least)..=number(most)).contains(&number(default))
                }
                None => kind.split('|').any(|word| word == default),
            };
            assert!(fits, "{name}: {default} is none of {kind}");
        }
    }

    #[test]
    fn what_tuning_takes_is_listed() {
        for name in ["ping-timeout", "frame-timeout", "xlator.PATTERN.KEY"] {
            assert!(
                tuning::is_tuning(name) && names(Both).contains(&name),
                "{name}"
            );
        }
    }
}
