// SPDX-License-Identifier: GPL-2.0-or-later
//! What is read out of which URI, and what is refused for which reason, one row for each rule.

use super::*;

fn c(bytes: &[u8]) -> CString {
    CString::new(bytes).unwrap()
}

fn inet(host: &str, port: u16) -> Server {
    Server::Inet {
        host: host.to_owned(),
        port,
    }
}

fn unix(socket: &[u8]) -> Server {
    Server::Unix { socket: c(socket) }
}

#[test]
fn more_servers() {
    let (a, b, six) = (inet("a", 24007), inet("b", 7), inet("::1", 8));
    for (uri, printed, servers) in [
        (
            "gluster://a/v/i?server=b:7",
            "gluster://a/v/i?server=b:7",
            vec![&a, &b],
        ),
        (
            "gluster:///v/i?server=a&server=b:7",
            "gluster://a/v/i?server=b:7",
            vec![&a, &b],
        ),
        (
            "gluster:v/i?server=[::1]:8;server=a",
            "gluster://[::1]:8/v/i?server=a",
            vec![&six, &a],
        ),
        (
            "gluster+rdma://a/v/i?server=%5B::1%5D:8",
            "gluster+rdma://a/v/i?server=%5B::1%5D:8",
            vec![&a, &six],
        ),
        (
            "gluster://:7/v/i?server=a:0",
            "gluster://localhost:7/v/i?server=a",
            vec![&inet("localhost", 7), &a],
        ),
    ] {
        let read = ImageUri::parse(uri).unwrap();
        let got: Vec<&Server> = std::iter::once(&read.server)
            .chain(&read.more_servers)
            .collect();
        assert_eq!(got, servers, "{uri}");
        assert_eq!(read.to_string(), printed);
        assert_eq!(ImageUri::parse(printed).unwrap(), read);
    }
    let many = format!("gluster://h/v/i?{}", "server=a&".repeat(MAX_SERVERS + 1));
    for (uri, word) in [
        ("gluster://h/v/i?server=", "needs a name"),
        ("gluster://h/v/i?server", "needs a name"),
        ("gluster://h/v/i?server=:7", "server[:port]"),
        ("gluster://h/v/i?server=me:secret@b", "server[:port]"),
        ("gluster://h/v/i?server=b:x", "port"),
        ("gluster://h/v/i?server=a%2Fb", "letters, digits"),
        ("gluster://h/v/i?server=%ff", "server[:port]"),
        ("gluster+unix:///v/i?socket=s&server=b", "gluster+unix"),
        (&many, "32 servers"),
    ] {
        let why = ImageUri::parse(uri).unwrap_err();
        assert_eq!(why.part(), UriPart::Query, "{why}");
        assert!(why.to_string().contains(word), "{why} does not say {word}");
        assert!(!why.to_string().contains("secret"), "{why}");
    }
}

/// Name of the row, URI, server, volume, path.
type Accepted<'a> = (&'a str, String, Server, &'a [u8], &'a [u8]);

#[test]
fn reads_what_was_meant() {
    let localhost = || inet("localhost", 24007);
    let long_host = format!("{}.", "a".repeat(253));
    let long_volume = "v".repeat(254);
    let long_path = "p".repeat(4095);
    let long_socket = "s".repeat(107);
    #[rustfmt::skip]
    let rows: Vec<Accepted> = vec![
        ("plain scheme", "gluster://host/vol/img".into(), inet("host", 24007), b"vol", b"img"),
        ("tcp", "gluster+tcp://host/vol/img".into(), inet("host", 24007), b"vol", b"img"),
        ("rdma", "gluster+rdma://host/vol/img".into(), inet("host", 24007), b"vol", b"img"),
        ("unix", "gluster+unix:///vol/img?socket=/run/g".into(), unix(b"/run/g"), b"vol", b"img"),

        ("missing server, ///", "gluster:///vol/img".into(), localhost(), b"vol", b"img"),
        ("missing server, /", "gluster:/vol/img".into(), localhost(), b"vol", b"img"),
        ("missing server, no slash", "gluster:vol/img".into(), localhost(), b"vol", b"img"),
        ("missing server before a port", "gluster://:1/vol/img".into(), inet("localhost", 1), b"vol", b"img"),
        ("missing server behind a user", "gluster://me@/vol/img".into(), localhost(), b"vol", b"img"),
        ("unix without slashes", "gluster+unix:vol/img?socket=s".into(), unix(b"s"), b"vol", b"img"),
        ("unix behind a user", "gluster+unix://me@/vol/img?socket=s".into(), unix(b"s"), b"vol", b"img"),

        ("port", "gluster://host:65535/vol/img".into(), inet("host", 65535), b"vol", b"img"),
        ("port 0", "gluster://host:0/vol/img".into(), inet("host", 24007), b"vol", b"img"),
        ("port with zeroes in front", "gluster://host:0000024008/vol/img".into(), inet("host", 24008), b"vol", b"img"),
        ("port 0 for unix", "gluster+unix://:0/vol/img?socket=s".into(), unix(b"s"), b"vol", b"img"),

        ("case of a name", "gluster://Host.Example/vol/img".into(), inet("Host.Example", 24007), b"vol", b"img"),
        ("odd name", "gluster://-._~!$&'()*+,;=/vol/img".into(), inet("-._~!$&'()*+,;=", 24007), b"vol", b"img"),
        ("name that looks like punycode", "gluster://xn--a/vol/img".into(), inet("xn--a", 24007), b"vol", b"img"),
        ("longest name", format!("gluster://{long_host}/vol/img"), inet(&long_host, 24007), b"vol", b"img"),
        ("IPv4", "gluster://192.0.2.1:1/vol/img".into(), inet("192.0.2.1", 1), b"vol", b"img"),
        ("IPv4 in short and hexadecimal", "gluster://0x7f.1/vol/img".into(), inet("0x7f.1", 24007), b"vol", b"img"),
        ("IPv4 and more", "gluster://192.0.2.1.nip.io/vol/img".into(), inet("192.0.2.1.nip.io", 24007), b"vol", b"img"),
        ("IPv6", "gluster://[2001:db8::1]/vol/img".into(), inet("2001:db8::1", 24007), b"vol", b"img"),
        ("IPv6 and port", "gluster://[::1]:24008/vol/img".into(), inet("::1", 24008), b"vol", b"img"),
        ("IPv6 not in its shortest form", "gluster://[0:0::0AB]/vol/img".into(), inet("0:0::0AB", 24007), b"vol", b"img"),
        ("IPv4 in IPv6", "gluster://[::ffff:192.0.2.1]/vol/img".into(), inet("::ffff:192.0.2.1", 24007), b"vol", b"img"),

        ("user", "gluster://me@host/vol/img".into(), inet("host", 24007), b"vol", b"img"),
        ("empty user", "gluster://@host/vol/img".into(), inet("host", 24007), b"vol", b"img"),
        ("user, password, port", "gluster://me:pw%40%00@host:1/vol/img".into(), inet("host", 1), b"vol", b"img"),
        ("user before IPv6", "gluster://me:1@[::1]/vol/img".into(), inet("::1", 24007), b"vol", b"img"),
        ("fragment", "gluster://host/vol/img#a/b?c[d]%00".into(), inet("host", 24007), b"vol", b"img"),
        ("empty fragment", "gluster://host/vol/img#".into(), inet("host", 24007), b"vol", b"img"),
        ("fragment behind a query", "gluster+unix:/vol/img?socket=s#f?x=y".into(), unix(b"s"), b"vol", b"img"),
        ("empty query", "gluster://host/vol/img?".into(), inet("host", 24007), b"vol", b"img"),
        ("query of separators", "gluster://host/vol/img?&&;;".into(), inet("host", 24007), b"vol", b"img"),
        ("value without a name", "gluster://host/vol/img?=x".into(), inet("host", 24007), b"vol", b"img"),

        ("slashes around the volume", "gluster://host///vol///img".into(), inet("host", 24007), b"vol", b"img"),
        ("slashes inside the path", "gluster://host/vol/a//b/".into(), inet("host", 24007), b"vol", b"a//b/"),
        ("directories", "gluster://host/vol/a/b.img".into(), inet("host", 24007), b"vol", b"a/b.img"),
        ("dots in the path", "gluster://host/vol/./a/../b".into(), inet("host", 24007), b"vol", b"./a/../b"),
        ("encoded dots", "gluster://host/vol/%2e%2E/b".into(), inet("host", 24007), b"vol", b"../b"),
        ("dots first", "gluster://host/vol/..".into(), inet("host", 24007), b"vol", b".."),
        ("hidden volume", "gluster://host/.vol/img".into(), inet("host", 24007), b".vol", b"img"),
        ("volume of three dots", "gluster://host/.../img".into(), inet("host", 24007), b"...", b"img"),
        ("encoded slash parts volume and image", "gluster://host/vol%2fimg".into(), inet("host", 24007), b"vol", b"img"),
        ("encoded slash in front", "gluster:%2Fvol/%2Fa%2F/b".into(), localhost(), b"vol", b"a//b"),
        ("encoded volume", "gluster://host/v%6Fl%20/img".into(), inet("host", 24007), b"vol ", b"img"),
        ("encoded delimiters", "gluster://host/vol/%3F%23%25%5b%40".into(), inet("host", 24007), b"vol", b"?#%[@"),
        ("encoded once only", "gluster://host/vol/%2541".into(), inet("host", 24007), b"vol", b"%41"),
        ("encoded blank ends", "gluster://host/vol/%20a%0a".into(), inet("host", 24007), b"vol", b" a\n"),
        ("bytes that are no UTF-8", "gluster://host/%ff/%c3%28".into(), inet("host", 24007), b"\xff", b"\xc3("),
        ("plain delimiters", "gluster://host/vol/:@!$&'()*+,;=".into(), inet("host", 24007), b"vol", b":@!$&'()*+,;="),
        ("@ in the path is no user", "gluster:/vol/me@host".into(), localhost(), b"vol", b"me@host"),
        ("colon in the path is no port", "gluster:vol:1/img".into(), localhost(), b"vol:1", b"img"),
        ("longest volume", format!("gluster:{long_volume}/img"), localhost(), long_volume.as_bytes(), b"img"),
        ("longest path", format!("gluster:vol/{long_path}"), localhost(), b"vol", long_path.as_bytes()),

        ("encoded socket", "gluster+unix:/v/i?socket=/a%20b%26c".into(), unix(b"/a b&c"), b"v", b"i"),
        ("socket that is no UTF-8", "gluster+unix:/v/i?socket=%fe".into(), unix(b"\xfe"), b"v", b"i"),
        ("plus stays plus", "gluster+unix:/v/i?socket=/a+b%2B".into(), unix(b"/a+b+"), b"v", b"i"),
        ("= and ? in the socket", "gluster+unix:/v/i?socket=/a=b?c".into(), unix(b"/a=b?c"), b"v", b"i"),
        ("encoded key", "gluster+unix:/v/i?%73ocket=/a".into(), unix(b"/a"), b"v", b"i"),
        ("empty sections around the key", "gluster+unix:/v/i?&&socket=/a;".into(), unix(b"/a"), b"v", b"i"),
        ("; before an & is no separator", "gluster+unix:/v/i?socket=/a;b&".into(), unix(b"/a;b"), b"v", b"i"),
        ("longest socket", format!("gluster+unix:/v/i?socket={long_socket}"), unix(long_socket.as_bytes()), b"v", b"i"),
    ];
    for (name, uri, server, volume, path) in rows {
        let transport = match &uri {
            uri if uri.starts_with("gluster+unix:") => Transport::Unix,
            uri if uri.starts_with("gluster+rdma:") => Transport::Rdma,
            _ => Transport::Tcp,
        };
        let plain_scheme = uri.starts_with("gluster:");
        let expected = ImageUri {
            more_servers: Vec::new(),
            transport,
            plain_scheme,
            server,
            volume: c(volume),
            path: c(path),
        };
        assert_eq!(ImageUri::parse(&uri), Ok(expected.clone()), "{name}: {uri}");
        assert_eq!(
            expected.to_string().parse(),
            Ok(expected),
            "{name}, printed and read again"
        );
    }
}

#[test]
fn refuses_what_is_wrong() {
    use UriPart::*;
    #[rustfmt::skip]
    let rows: Vec<(&str, String, UriPart, usize)> = vec![
        ("empty", "".into(), Scheme, 0),
        ("no scheme", "/vol/img".into(), Scheme, 0),
        ("other scheme", "http://host/vol/img".into(), Scheme, 0),
        ("upper-case scheme", "GLUSTER://host/vol/img".into(), Scheme, 0),
        ("upper-case transport", "gluster+TCP://host/vol/img".into(), Scheme, 0),
        ("unknown transport", "gluster+udp://host/vol/img".into(), Scheme, 0),
        ("transport missing after +", "gluster+://host/vol/img".into(), Scheme, 0),
        ("blank in front", " gluster://host/vol/img".into(), Scheme, 0),
        ("newline in the scheme", "glu\nster://host/vol/img".into(), Scheme, 0),

        ("nothing after the scheme", "gluster:".into(), Volume, 8),
        ("empty path", "gluster://host".into(), Volume, 14),
        ("slashes for a path", "gluster://host///".into(), Volume, 14),
        ("query for a path", "gluster://host?x".into(), Volume, 14),
        ("volume only", "gluster://host/vol".into(), Path, 14),
        ("volume and slashes", "gluster://host/vol//".into(), Path, 14),
        ("server taken for the volume", "gluster:/vol".into(), Path, 8),
        ("volume .", "gluster://host/./img".into(), Volume, 14),
        ("volume ..", "gluster://host/../img".into(), Volume, 14),
        ("encoded volume ..", "gluster://host/%2e%2E/img".into(), Volume, 14),
        ("NUL in the volume", "gluster://host/v%00/img".into(), Volume, 14),
        ("NUL in the path", "gluster://host/vol/i%00mg".into(), Path, 14),
        ("volume too long", format!("gluster:{}/img", "v".repeat(256)), Volume, 8),
        ("path too long", format!("gluster:vol/{}", "p".repeat(4096)), Path, 8),

        ("blank", "gluster://host/vol/my img".into(), Path, 21),
        ("blank at the end", "gluster://host/vol/img ".into(), Path, 22),
        ("tab", "gluster://host/vol/\timg".into(), Path, 19),
        ("newline at the end", "gluster://host/vol/img\n".into(), Path, 22),
        ("raw NUL", "gluster://host/vol/img\0".into(), Path, 22),
        ("raw non-ASCII", "gluster://host/vol/ímg".into(), Path, 19),
        ("bracket", "gluster://host/vol/[img]".into(), Path, 19),
        ("backslashes for slashes", "gluster://host\\vol\\img".into(), Host, 14),
        ("backslash in the path", "gluster://host/vol/a\\b".into(), Path, 20),
        ("% with no digits", "gluster://host/vol/%".into(), Path, 19),
        ("% with one digit", "gluster://host/vol/a%2".into(), Path, 20),
        ("% with wrong digits", "gluster://host/vol/%2g".into(), Path, 19),
        ("% with a sign", "gluster://host/vol/%+1".into(), Path, 19),
        ("% with half a character", "gluster://host/vol/%2é".into(), Path, 19),

        ("empty port", "gluster://host:/vol/img".into(), Port, 15),
        ("empty port, no server", "gluster://:/vol/img".into(), Port, 11),
        ("empty port after IPv6", "gluster://[::1]:/vol/img".into(), Port, 16),
        ("port of letters", "gluster://host:ssh/vol/img".into(), Port, 15),
        ("port with a tail", "gluster://host:1x/vol/img".into(), Port, 15),
        ("negative port", "gluster://host:-1/vol/img".into(), Port, 15),
        ("port with a sign", "gluster://host:+1/vol/img".into(), Port, 15),
        ("port 65536", "gluster://host:65536/vol/img".into(), Port, 15),
        ("port beyond 64 bits", "gluster://host:18446744073709551617/vol/img".into(), Port, 15),
        ("port with a tab", "gluster://host:1\t2/vol/img".into(), Port, 15),

        ("IPv6 without brackets", "gluster://::1/vol/img".into(), Host, 10),
        ("IPv6 without brackets, longer", "gluster://fe80::1:24007/vol/img".into(), Host, 10),
        ("IPv6 not closed", "gluster://[::1/vol/img".into(), Host, 10),
        ("IPv6 not opened", "gluster://::1]/vol/img".into(), Host, 10),
        ("IPv6 with a tail", "gluster://[::1]x/vol/img".into(), Host, 15),
        ("IPv6 with a tail and a port", "gluster://[::1]x:1/vol/img".into(), Host, 15),
        ("IPv6 with a zone", "gluster://[fe80::1%25eth0]/vol/img".into(), Host, 10),
        ("IPv6 with a raw zone", "gluster://[fe80::1%eth0]/vol/img".into(), Host, 10),
        ("IPv6 with a tab", "gluster://[:\t:1]/vol/img".into(), Host, 10),
        ("name in brackets", "gluster://[host]/vol/img".into(), Host, 10),
        ("IPv4 in brackets", "gluster://[192.0.2.1]/vol/img".into(), Host, 10),
        ("nothing in brackets", "gluster://[]/vol/img".into(), Host, 10),
        ("later kind of address", "gluster://[v1.a]/vol/img".into(), Host, 10),
        ("IPv6 of nine groups", "gluster://[1:2:3:4:5:6:7:8:9]/vol/img".into(), Host, 10),

        ("blank in the server", "gluster://my host/vol/img".into(), Host, 12),
        ("tab in the server", "gluster://ho\tst/vol/img".into(), Host, 12),
        ("newline in the server", "gluster://host\n/vol/img".into(), Host, 14),
        ("raw non-ASCII in the server", "gluster://höst/vol/img".into(), Host, 11),
        ("fullwidth digits in the server", "gluster://１.2.3.4/vol/img".into(), Host, 10),
        ("encoded server", "gluster://h%6fst/vol/img".into(), Host, 11),
        ("encoded slash in the server", "gluster://a%2fb/vol/img".into(), Host, 11),
        ("two @", "gluster://me@host@host/vol/img".into(), Host, 17),
        ("server too long", format!("gluster://{}/vol/img", "a".repeat(255)), Host, 10),
        ("blank in the user", "gluster://m e@host/vol/img".into(), User, 11),
        ("bad escape in the user", "gluster://m%e@host/vol/img".into(), User, 11),
        ("raw non-ASCII in the user", "gluster://mé@host/vol/img".into(), User, 11),
        ("bracket in the user", "gluster://[::1]@host/vol/img".into(), User, 10),

        ("unknown key", "gluster://host/vol/img?foo=1".into(), Query, 23),
        ("key of a later version", "gluster://host/vol/img?servers=b".into(), Query, 23),
        ("key without a value", "gluster://host/vol/img?foo".into(), Query, 23),
        ("lone =", "gluster://host/vol/img?=".into(), Query, 23),
        ("key behind a nameless value", "gluster://host/vol/img?=x&foo=1".into(), Query, 26),
        ("socket on tcp", "gluster://host/vol/img?socket=/s".into(), Query, 23),
        ("socket on rdma", "gluster+rdma:/v/i?socket=/s".into(), Query, 18),
        ("no socket on unix", "gluster+unix:///vol/img".into(), Query, 23),
        ("empty query on unix", "gluster+unix:///vol/img?".into(), Query, 24),
        ("nameless value on unix", "gluster+unix:///vol/img?=/s".into(), Query, 24),
        ("other key on unix", "gluster+unix:///vol/img?path=/s".into(), Query, 24),
        ("upper-case key", "gluster+unix:///vol/img?SOCKET=/s".into(), Query, 24),
        ("two keys", "gluster+unix:///vol/img?socket=/s&a=b".into(), Query, 34),
        ("two keys, unknown first", "gluster+unix:///vol/img?a=b&socket=/s".into(), Query, 24),
        ("two keys by ;", "gluster+unix:///vol/img?socket=/s;b".into(), Query, 34),
        ("two keys by ; behind &", "gluster+unix:///vol/img?&socket=/s;b".into(), Query, 35),
        ("; alone before an &", "gluster+unix:///vol/img?;&socket=/s".into(), Query, 24),
        ("two sockets", "gluster+unix:///vol/img?socket=/s&socket=/s".into(), Query, 34),
        ("empty socket", "gluster+unix:///vol/img?socket=".into(), Query, 24),
        ("socket without =", "gluster+unix:///vol/img?socket".into(), Query, 24),
        ("NUL in the socket", "gluster+unix:///vol/img?socket=/s%00".into(), Query, 31),
        ("NUL in the key", "gluster+unix:///vol/img?socket%00=/s".into(), Query, 24),
        ("blank in the socket", "gluster+unix:///vol/img?socket=/ s".into(), Query, 32),
        ("raw non-ASCII in the socket", "gluster+unix:///vol/img?socket=/é".into(), Query, 32),
        ("bad escape in the socket", "gluster+unix:///vol/img?socket=/%s".into(), Query, 32),
        ("bracket in the query", "gluster+unix:///vol/img?socket=[".into(), Query, 31),
        ("socket too long", format!("gluster+unix:/v/i?socket={}", "s".repeat(108)), Query, 25),
        ("server on unix", "gluster+unix://host/vol/img?socket=/s".into(), Host, 15),
        ("port on unix", "gluster+unix://:24007/vol/img?socket=/s".into(), Host, 15),
        ("IPv6 on unix", "gluster+unix://[::1]/vol/img?socket=/s".into(), Host, 15),

        ("blank in the fragment", "gluster://host/vol/img#a b".into(), Fragment, 24),
        ("two fragments", "gluster://host/vol/img#a#b".into(), Fragment, 24),
        ("bad escape in the fragment", "gluster://host/vol/img#%".into(), Fragment, 23),
        ("raw non-ASCII in the fragment", "gluster://host/vol/img#é".into(), Fragment, 23),
    ];
    for (name, uri, part, offset) in rows {
        let error = ImageUri::parse(&uri).expect_err(name);
        assert_eq!(
            (error.part(), error.offset()),
            (part, offset),
            "{name}: {uri}: {error}"
        );
    }
}

#[test]
fn says_what_is_wrong_and_how_to_write_it() {
    for (uri, sentence) in [
        (
            "gluster+udp:/v/i",
            "no such protocol \"gluster+udp\"; there are gluster, gluster+tcp,",
        ),
        (
            "gluster://h:/v/i",
            "a port is a decimal number from 0 to 65535 (port, at byte 12)",
        ),
        (
            "gluster://[::g]/v/i",
            "hexadecimal digits, colons and dots only",
        ),
        (
            "gluster://[1::2::3]/v/i",
            "invalid IPv6 address (server, at byte 10)",
        ),
        (
            "gluster://h/v",
            "the image is missing after the volume (path, at byte 11)",
        ),
        (
            "gluster://h/v/a b",
            "a blank must be written %20 (path, at byte 15)",
        ),
        (
            "gluster://h/v/i?sock=x",
            "unknown query key \"sock\"; only socket= and server= are known (query, at byte 16)",
        ),
        ("gluster+unix:/v/i", "needs ?socket="),
    ] {
        let message = ImageUri::parse(uri).expect_err(uri).to_string();
        assert!(message.contains(sentence), "{uri}: {message}");
        assert!(
            message.ends_with(&format!("Usage: {USAGE}")),
            "{uri}: {message}"
        );
    }
}

#[test]
fn keeps_passwords_to_itself() {
    // With / ? or # in it, a password is no user part by the grammar, but still a password.
    for uri in [
        "gluster://me:secret@host:x/vol/img",
        "gluster://me:secret@[::1/vol/img",
        "gluster://me:secret@h%st/vol/img",
        "gluster://me:sec ret@host/vol/img",
        "gluster://me:secret@host/vol",
        "gluster://me:secret@host/vol/img?secret",
        "gluster://me:1/secret@host/vol/img?a=b",
        "gluster://me:1/a/b?secret=@host/vol/img",
        "gluster://me:secret/x@host/vol/img",
        "gluster+unix://me:secret@host/vol/img?socket=s",
        "Gluster://me:secret@host/vol/img",
        "secret@host:/vol/img",
    ] {
        let error = ImageUri::parse(uri).expect_err(uri);
        assert!(
            !format!("{error} {error:?}").contains("sec"),
            "{uri}: {error}"
        );
    }
    let image = ImageUri::parse("gluster://me:secret@host/vol/img#secret").unwrap();
    assert!(!format!("{image} {image:?}").contains("secret"));
}

#[test]
fn messages_stay_on_one_short_line() {
    for uri in [
        "glu\u{1b}[31mster:/v/i",
        "gluster:/v/i?a%0ab",
        "gluster\u{202e}:/v/i",
    ] {
        let message = ImageUri::parse(uri).expect_err(uri).to_string();
        assert!(
            message.chars().all(|c| c.is_ascii() && !c.is_control()),
            "{message:?}"
        );
    }
    let long = "x".repeat(1 << 20);
    for uri in [
        format!("{long}:/v/i"),
        format!("{}:/v/i", "\u{13}".repeat(32)),
        format!("gluster:/v/i?{long}"),
        format!("gluster://[{long}]/v/i"),
    ] {
        let message = ImageUri::parse(&uri).expect_err("too long").to_string();
        assert!(message.len() < 300, "{} characters", message.len());
    }
}

#[test]
fn prints_the_shortest_equal_form() {
    for (uri, printed) in [
        ("gluster:vol/img", "gluster://localhost/vol/img"),
        (
            "gluster+tcp://host:24007//vol//a//b",
            "gluster+tcp://host/vol/a//b",
        ),
        (
            "gluster+rdma://u:p@[::1]:0024008/v%2fa%20b%25?#f",
            "gluster+rdma://[::1]:24008/v/a%20b%25",
        ),
        (
            "gluster:v/%41%ff%3b%26%2B%40:",
            "gluster://localhost/v/A%FF%3B%26+@:",
        ),
        (
            "gluster+unix:v/i?socket=/a%26b;&",
            "gluster+unix:///v/i?socket=/a%26b%3B",
        ),
    ] {
        assert_eq!(ImageUri::parse(uri).unwrap().to_string(), printed, "{uri}");
    }
}

#[test]
fn reading_takes_linear_time() {
    // Seconds, were it quadratic.
    let separators = ";".repeat(4 << 20);
    assert!(ImageUri::parse(&format!("gluster:v/i?{separators}")).is_ok());
    assert!(ImageUri::parse(&format!("gluster:v/i?{separators}&{separators}")).is_err());
    assert!(ImageUri::parse(&format!("gluster:{}v/i", "%2f".repeat(4 << 20))).is_ok());
}
