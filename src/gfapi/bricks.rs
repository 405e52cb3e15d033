// SPDX-License-Identifier: GPL-2.0-or-later
//! The bricks of a volume, and the client's connection to each of them.

use super::volfile::{META, lines, number_of};
use super::{Connection, sys};
use std::ffi::CString;

/// Longest name of a graph: GlusterFS makes it of host name, process and time.
const GRAPH_NAME: usize = 512;

/// A brick of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brick {
    /// host:/path
    pub name: String,
    /// The client has a connection to it.
    pub connected: bool,
}

/// Bricks that hold the same, or each a part of it with some to spare: a replica, a set of an erasure
/// code, or one brick by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrickSet {
    /// Those that hold data.
    pub members: Vec<Member>,
    /// So many of them can lose what they hold.
    pub spare: usize,
}

/// A brick in a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// host:/path
    pub name: String,
    /// Where its translator shows its state.
    state: CString,
}

#[cfg(test)]
impl Member {
    /// One that shows nothing.
    pub fn named(name: &str) -> Member {
        Member {
            name: name.to_owned(),
            state: CString::default(),
        }
    }
}

/// The client's connection to a brick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// There is one. A brick that is silent counts as connected until it is given up.
    pub connected: bool,
    /// Messages that were sent through it: fewer than before are another connection's.
    pub sent: u64,
}

impl Connection {
    /// The volume's bricks as the client sees them. `None` when it does not say. Asks no brick.
    pub fn bricks(&self) -> Option<Vec<Brick>> {
        members(&self.volfile()?)
            .into_iter()
            .map(|member| {
                let connected = self.link(&member)?.connected;
                Some(Brick {
                    name: member.name,
                    connected,
                })
            })
            .collect()
    }

    /// Which of its bricks the volume can lose. `None` when it does not say.
    pub fn brick_sets(&self) -> Option<Vec<BrickSet>> {
        Some(sets(&self.volfile()?))
    }

    /// Whether of some set so many bricks are away that it cannot answer. Asks no brick.
    pub fn lacks_bricks(&self) -> bool {
        let lacks = |set: &BrickSet| {
            let is_away = |member: &&Member| self.link(member).is_some_and(|link| !link.connected);
            set.members.iter().filter(is_away).count() > set.spare
        };
        self.brick_sets().is_some_and(|sets| sets.iter().any(lacks))
    }

    /// How the connection to a brick is. `None` when the client does not say. Asks no brick.
    pub fn link(&self, member: &Member) -> Option<Link> {
        read_link(&self.private(&member.state)?)
    }

    /// The name of the client's graph of translators, each of which has connections of its own.
    pub fn graph(&self) -> Option<Vec<u8>> {
        let mut name = vec![0u8; GRAPH_NAME];
        let path = CString::new(META).ok()?;
        // SAFETY: the instance is live; the path ends with a NUL, and the buffer has so much room.
        let ret = unsafe {
            sys::glfs_readlink(
                self.raw.as_ptr(),
                path.as_ptr(),
                name.as_mut_ptr().cast(),
                name.len(),
            )
        };
        let length = usize::try_from(ret).ok().filter(|&length| length > 0)?;
        name.truncate(length);
        Some(name)
    }
}

fn read_link(state: &[u8]) -> Option<Link> {
    Some(Link {
        connected: number_of(state, b"connected = ")? != 0,
        // It is there once something was sent.
        sent: number_of(state, b"msgs_sent = ").unwrap_or(0),
    })
}

/// A translator of a volume's description.
#[derive(Default)]
struct Translator<'a> {
    name: &'a [u8],
    kind: &'a [u8],
    options: Vec<(&'a [u8], &'a [u8])>,
    subvolumes: Vec<&'a [u8]>,
}

impl Translator<'_> {
    fn option(&self, key: &[u8]) -> Option<&[u8]> {
        let (_, value) = self.options.iter().find(|(name, _)| *name == key)?;
        Some(value)
    }

    fn number(&self, key: &[u8]) -> usize {
        self.option(key)
            .and_then(|value| std::str::from_utf8(value).ok()?.parse().ok())
            .unwrap_or(0)
    }

    fn as_member(&self) -> Option<Member> {
        let path = [META.as_bytes(), b"/", self.name, b"/private"].concat();
        let part = |key: &[u8]| self.option(key).unwrap_or_default();
        let name = [part(b"remote-host"), b":", part(b"remote-subvolume")].concat();
        Some(Member {
            name: String::from_utf8_lossy(&name).into_owned(),
            state: CString::new(path).ok()?,
        })
    }

    /// Those below it that hold data. The last one of a replica may be there to break ties only.
    fn holders(&self) -> &[&[u8]] {
        let breaks_ties =
            self.number(b"arbiter-count") > 0 || self.option(b"thin-arbiter").is_some();
        match self.subvolumes.split_last() {
            Some((_, others)) if breaks_ties => others,
            _ => &self.subvolumes,
        }
    }

    /// How many of `holders` it can do without.
    fn spare(&self, holders: usize) -> Option<usize> {
        match self.kind {
            b"cluster/replicate" => Some(holders.saturating_sub(1)),
            b"cluster/disperse" => Some(self.number(b"redundancy")),
            _ => None,
        }
    }
}

fn translators(volfile: &[u8]) -> Vec<Translator<'_>> {
    let mut found = Vec::new();
    let mut one = Translator::default();
    for line in lines(volfile) {
        let (word, rest) = split(line);
        match word {
            b"volume" => {
                one = Translator {
                    name: rest,
                    ..Translator::default()
                }
            }
            b"type" => one.kind = rest,
            b"option" => one.options.push(split(rest)),
            b"subvolumes" => {
                one.subvolumes = rest
                    .split(u8::is_ascii_whitespace)
                    .filter(|name| !name.is_empty())
                    .collect();
            }
            b"end-volume" => found.push(std::mem::take(&mut one)),
            _ => {}
        }
    }
    found
}

/// The first word, and what follows it.
fn split(line: &[u8]) -> (&[u8], &[u8]) {
    let end = line
        .iter()
        .position(u8::is_ascii_whitespace)
        .unwrap_or(line.len());
    (&line[..end], line[end..].trim_ascii())
}

fn is_client(translator: &Translator<'_>) -> bool {
    translator.kind == b"protocol/client"
}

/// All bricks of a volume's description.
fn members(volfile: &[u8]) -> Vec<Member> {
    translators(volfile)
        .iter()
        .filter(|translator| is_client(translator))
        .filter_map(Translator::as_member)
        .collect()
}

/// Its bricks by what they hold.
fn sets(volfile: &[u8]) -> Vec<BrickSet> {
    let all = translators(volfile);
    let member = |name: &&[u8]| {
        let client = all.iter().find(|one| is_client(one) && one.name == *name);
        client.and_then(Translator::as_member)
    };
    let mut found = Vec::new();
    for one in &all {
        let holders = one.holders();
        if let Some(spare) = one.spare(holders.len()) {
            found.push(BrickSet {
                members: holders.iter().filter_map(member).collect(),
                spare,
            });
        }
    }
    let is_below = |client: &Translator<'_>| {
        let has =
            |one: &Translator<'_>| one.spare(0).is_some() && one.subvolumes.contains(&client.name);
        all.iter().any(has)
    };
    let alone = all.iter().filter(|one| is_client(one) && !is_below(one));
    found.extend(
        alone
            .filter_map(Translator::as_member)
            .map(|member| BrickSet {
                members: vec![member],
                spare: 0,
            }),
    );
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u32) -> String {
        format!(
            "volume v-client-{number}\n    type protocol/client\n    option remote-subvolume /b/{number}\n    \
             option remote-host node{number}\nend-volume\n\n"
        )
    }

    fn above(kind: &str, more: &str, clients: &[u32]) -> String {
        let below: Vec<String> = clients.iter().map(|n| format!("v-client-{n}")).collect();
        format!(
            "volume v-set\n    type cluster/{kind}\n{more}    subvolumes {}\nend-volume\n\n",
            below.join(" ")
        )
    }

    fn is_set(set: &BrickSet, bricks: &[&str], spare: usize) -> bool {
        set.spare == spare
            && set
                .members
                .iter()
                .map(|one| one.name.as_str())
                .eq(bricks.iter().copied())
    }

    #[test]
    fn bricks_are_named_as_an_administrator_knows_them() {
        let volfile = client(0) + &client(1) + &above("distribute", "", &[0, 1]);
        let found: Vec<_> = members(volfile.as_bytes())
            .into_iter()
            .map(|one| (one.name, one.state))
            .collect();
        assert_eq!(
            found,
            [
                ("node0:/b/0", c"/.meta/graphs/active/v-client-0/private"),
                ("node1:/b/1", c"/.meta/graphs/active/v-client-1/private")
            ]
            .map(|(name, path)| (name.to_owned(), path.to_owned()))
        );
        assert!(members(b"").is_empty());
    }

    #[test]
    fn a_brick_that_nothing_replicates_can_lose_nothing() {
        let volfile = client(0) + &client(1) + &above("distribute", "", &[0, 1]);
        let sets = sets(volfile.as_bytes());
        assert_eq!(sets.len(), 2);
        assert!(is_set(&sets[0], &["node0:/b/0"], 0) && is_set(&sets[1], &["node1:/b/1"], 0));
    }

    #[test]
    fn replicas_can_lose_all_but_one_that_holds_data() {
        let clients = client(0) + &client(1) + &client(2);
        let replica = clients.clone() + &above("replicate", "", &[0, 1, 2]);
        let found = sets(replica.as_bytes());
        assert!(
            found.len() == 1 && is_set(&found[0], &["node0:/b/0", "node1:/b/1", "node2:/b/2"], 2)
        );
        for arbiter in [
            "    option arbiter-count 1\n",
            "    option thin-arbiter node2:/b/2\n",
        ] {
            let volfile = clients.clone() + &above("replicate", arbiter, &[0, 1, 2]);
            let found = sets(volfile.as_bytes());
            assert!(
                found.len() == 1 && is_set(&found[0], &["node0:/b/0", "node1:/b/1"], 1),
                "{arbiter}"
            );
        }
    }

    #[test]
    fn an_erasure_code_can_lose_its_redundancy() {
        let clients = client(0) + &client(1) + &client(2);
        let volfile = clients + &above("disperse", "    option redundancy 1\n", &[0, 1, 2]);
        let found = sets(volfile.as_bytes());
        assert!(
            found.len() == 1 && is_set(&found[0], &["node0:/b/0", "node1:/b/1", "node2:/b/2"], 1)
        );
    }

    #[test]
    fn a_link_is_read_from_what_its_translator_shows() {
        let state =
            b"[xlator.protocol.client.v-client-0.priv]\nfd.0.remote_fd = 0\nconnected = 1\n\
            total_bytes_read = 2740\nping_timeout = 42\nmsgs_sent = 9\n";
        let link = |connected, sent| Some(Link { connected, sent });
        assert_eq!(read_link(state), link(true, 9));
        assert_eq!(read_link(b"connected = 0\n"), link(false, 0));
        assert_eq!(read_link(b"ping_timeout = 42\n"), None);
    }
}
