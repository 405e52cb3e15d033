// SPDX-License-Identifier: GPL-2.0-or-later
//! Properties of the URI reader that no table of examples can show.

use std::ffi::CString;
use std::net::{Ipv4Addr, Ipv6Addr};

use blkgluster::uri::{ImageUri, Server, Transport};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

#[path = "uri_props/reference.rs"]
mod reference;

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 1024,
        // The shrunk input in the failure is enough; the source tree stays as it is.
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Any byte that a C string can hold, with those that mean something in a URI more often than
/// chance has them.
fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![
        1u8..,
        select(b"%:/?#[]@&;=+ .~\\\"<>^`{|}\t\n\x7f\x80\xff".to_vec())
    ]
}

fn c_string(bytes: Vec<u8>) -> CString {
    CString::new(bytes).expect("the strategies make no NUL")
}

/// Short names, and names that are as long as they may be.
fn name(byte: impl Strategy<Value = u8>, longest: usize) -> impl Strategy<Value = Vec<u8>> {
    (vec(byte, 1..24), any::<bool>()).prop_map(move |(name, long)| match long {
        true => name.into_iter().cycle().take(longest).collect(),
        false => name,
    })
}

fn volume() -> impl Strategy<Value = CString> {
    name(byte().prop_filter("slash", |&byte| byte != b'/'), 254)
        .prop_filter("dots", |name| name != b"." && name != b"..")
        .prop_map(c_string)
}

fn path() -> impl Strategy<Value = CString> {
    name(byte(), 4095)
        .prop_filter("slash in front", |path| path[0] != b'/')
        .prop_map(c_string)
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        "[-A-Za-z0-9._~!$&'()*+,;=]{1,254}",
        any::<Ipv4Addr>().prop_map(|address| address.to_string()),
        any::<Ipv6Addr>().prop_map(|address| address.to_string()),
        any::<Ipv6Addr>().prop_map(long_form),
    ]
}

/// All eight groups with all their zeroes, in capitals: what a reader that rewrites addresses would
/// shorten.
fn long_form(address: Ipv6Addr) -> String {
    address
        .segments()
        .map(|group| format!("{group:04X}"))
        .join(":")
}

fn image_uri() -> impl Strategy<Value = ImageUri> {
    let inet = (host(), prop_oneof![Just(24007), 1u16..])
        .prop_map(|(host, port)| Server::Inet { host, port })
        .boxed();
    let unix = name(byte(), 107)
        .prop_map(|socket| Server::Unix {
            socket: c_string(socket),
        })
        .boxed();
    let more = vec(inet.clone(), 0..4).boxed();
    let place = prop_oneof![
        (Just((Transport::Tcp, true)), inet.clone(), more.clone()),
        (Just((Transport::Tcp, false)), inet.clone(), more.clone()),
        (Just((Transport::Rdma, false)), inet, more),
        (Just((Transport::Unix, false)), unix, Just(Vec::new())),
    ];
    (place, volume(), path()).prop_map(|((scheme, server, more_servers), volume, path)| {
        let (transport, plain_scheme) = scheme;
        ImageUri {
            transport,
            plain_scheme,
            server,
            more_servers,
            volume,
            path,
        }
    })
}

/// One of the usual words, now and then one of the odd ones.
fn word(
    usual: &'static [&'static str],
    odd: &'static [&'static str],
) -> BoxedStrategy<&'static str> {
    prop_oneof![15 => select(usual), 1 => select(odd)].boxed()
}

/// Texts from the words of URIs, of which a good part can be read.
#[rustfmt::skip]
fn soup() -> impl Strategy<Value = String> {
    let inet = word(&["gluster:", "gluster+tcp:", "gluster+rdma:"], &["Gluster:", "gluster+:", "gluster", "http:", ""]);
    let unix = Just("gluster+unix:");
    let user = word(&["", "", "", "@", "u@", "u:p%00@"], &["u@v@", "[@", "%4@", "\t@", "u/@"]);
    let server = word(
        &["h", "H-1.x", "1.2.3.4", "1.2.3.4x", "[::1]", "[::ffff:1.2.3.4]", "[1:2:3:4:5:6:7::]", "a!$&'()*+,;=~", "h_"],
        &["[::]x", "[1::2::3]", "[::1", "::1", "[:\t:1]", "[fe80::1%25e]", "[h]", "[]", "[a/b]", "h%41", "h h", "é", "h\\"],
    );
    let port = word(&["", "", "", ":0", ":1", ":65535", ":00001"], &[":", ":65536", ":+1", ":1x", ":99999999999999999999"]);
    let server = (user.clone(), server, port).prop_map(|(user, server, port)| format!("//{user}{server}{port}"));
    let no_server = prop_oneof![Just(String::new()), user.prop_map(|user| format!("//{user}"))];
    let path = vec(
        word(
            &["/", "/", "/", "/", "v", "vol", "i", "img", ".", "..", "%2e", "%2F", "%20", "%ff", ":", "@", "+", "!$&'()*,;=", "~"],
            &["%00", "%", "%4", "%g0", " ", "\n", "\\", "[", "é", "\0", "\u{7f}", "\""],
        ),
        0..9,
    )
    .prop_map(|words| words.concat());
    let path = prop_oneof![path, word(&["/v/i", "///v//i/", "/v%2fi"], &["/./i", "/%2e%2e/i", "/v"]).prop_map(String::from)];
    let odd = &["socket=", "socket", "=", "a", "a=b", "socket=/s", "/", "?", "%00", "%", "é", " ", "["];
    let no_key = vec(word(&["=x", "&", "&", "&", ";", ";"], odd), 0..4).prop_map(|words| words.concat());
    let key = select(&["socket=/s", "sock%65t=%2f+"][..]);
    let no_query = prop_oneof![Just(String::new()), no_key.clone().prop_map(|words| format!("?{words}"))];
    let query = (no_key.clone(), key, no_key).prop_map(|(before, key, behind)| format!("?{before}&{key}{behind}"));
    let fragment = word(&["", "", "", "#", "#f/?[]", "#%00"], &["#a b", "##", "#%"]);
    prop_oneof![
        3 => (inet.clone(), server.clone(), path.clone(), no_query.clone(), fragment.clone()),
        2 => (inet, no_server.clone(), path.clone(), no_query.clone(), fragment.clone()),
        4 => (unix, no_server.clone(), path.clone(), query.clone(), fragment.clone()),
        1 => (unix, prop_oneof![no_server, server], path, prop_oneof![no_query, query], fragment),
    ]
    .prop_map(|(scheme, authority, path, query, fragment)| format!("{scheme}{authority}{path}{query}{fragment}"))
}

/// ASCII behind a prefix that gets it past the scheme.
fn ascii_behind_a_scheme() -> impl Strategy<Value = String> {
    let prefix = select(vec![
        "",
        "gluster:",
        "gluster://",
        "gluster://h/v/",
        "gluster://[",
        "gluster://h:",
        "gluster+unix:///v/i?",
        "gluster+unix:///v/i?socket=",
    ]);
    (prefix, "[\\x00-\\x7f]{0,24}").prop_map(|(prefix, rest)| format!("{prefix}{rest}"))
}

/// Percent-decoding as plain as it can be written.
fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let mut digit = || {
                    (bytes.next().expect("two digits") as char)
                        .to_digit(16)
                        .expect("hexadecimal")
                };
                (digit() * 16 + digit()) as u8
            }
            _ => byte,
        });
    }
    out
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_is_printed_reads_as_the_same_value(uri in image_uri()) {
        let printed = uri.to_string();
        prop_assert!(printed.bytes().all(|byte| byte.is_ascii_graphic()), "{}", printed);
        prop_assert_eq!(printed.parse(), Ok(uri), "{}", printed);
    }

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        prop_assert_eq!(ImageUri::parse(&text).ok(), reference::read(&text));
    }

    #[test]
    fn any_ascii_is_read_as_the_reference_reads_it(text in ascii_behind_a_scheme()) {
        prop_assert_eq!(ImageUri::parse(&text).ok(), reference::read(&text));
    }

    #[test]
    fn uris_are_read_as_the_reference_reads_them(text in soup()) {
        let read = ImageUri::parse(&text);
        prop_assert_eq!(read.clone().ok(), reference::read(&text));
        match read {
            Ok(uri) => prop_assert_eq!(uri.to_string().parse(), Ok(uri)),
            Err(error) => prop_assert!(text.is_char_boundary(error.offset()), "{}", error),
        }
    }

    #[test]
    fn paths_are_decoded_and_otherwise_untouched(
        first in "[A-Za-z0-9._~-]|%([1-9A-Fa-f][0-9A-Fa-f]|0[1-9A-Fa-f])",
        rest in "([A-Za-z0-9._~/-]|\\.\\.?/|%([1-9A-Fa-f][0-9A-Fa-f]|0[1-9A-Fa-f])){0,40}",
    ) {
        let written = first + &rest;
        let expected = decoded(&written);
        prop_assume!(expected[0] != b'/');
        for prefix in ["gluster://host/vol/", "gluster:vol//", "gluster:/%2Fvol%2f/"] {
            let uri = ImageUri::parse(&format!("{prefix}{written}"));
            prop_assert_eq!(uri.as_ref().map(|uri| uri.path.as_bytes()), Ok(expected.as_slice()));
            prop_assert_eq!(uri.as_ref().map(|uri| uri.volume.as_bytes()), Ok(b"vol".as_slice()));
        }
    }

    #[test]
    fn servers_are_kept_as_they_are_written(host in host(), port in 1u16..) {
        let written = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let uri = ImageUri::parse(&format!("gluster://user:password@{written}:{port}/vol/img"));
        prop_assert_eq!(uri.map(|uri| uri.server), Ok(Server::Inet { host, port }));
    }
}

/// A comparison of two readers that refuse everything would show nothing.
#[test]
fn the_words_make_uris_of_both_kinds() {
    let mut runner = TestRunner::deterministic();
    let soup = soup();
    let readable = (0..1000)
        .filter(|_| {
            let text = soup.new_tree(&mut runner).expect("a text").current();
            ImageUri::parse(&text).is_ok()
        })
        .count();
    assert!(
        (250..750).contains(&readable),
        "{readable} of 1000 can be read"
    );
}
