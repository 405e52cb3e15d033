// SPDX-License-Identifier: GPL-2.0-or-later
//! Servers of all kinds, on the loopback interface.

use super::*;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV6, TcpListener};
use std::os::unix::net::UnixListener;
use std::thread;

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(300);

fn spec(servers: &[ServerSpec]) -> ConnectSpec {
    ConnectSpec {
        volume: c"vol".to_owned(),
        servers: servers.to_vec(),
        write_cache: false,
        locks: false,
        strict_locks: false,
        log: None,
        tuning: Vec::new(),
    }
}

fn tcp(host: &str, port: u16) -> ServerSpec {
    ServerSpec {
        transport: c"tcp",
        host: CString::new(host).unwrap(),
        port,
    }
}

fn unix(path: &Path) -> ServerSpec {
    ServerSpec {
        transport: c"unix",
        host: CString::new(path.as_os_str().as_bytes()).unwrap(),
        port: 0,
    }
}

fn reached(servers: &[ServerSpec], time: Duration) -> Result<Vec<ServerSpec>, Failure> {
    reach(&spec(servers), Instant::now() + time)
}

fn found(servers: &[ServerSpec]) -> Vec<ServerSpec> {
    match reached(servers, LONG) {
        Ok(found) => found,
        Err(Failure::Final(why)) => panic!("{why}"),
        Err(Failure::OutOfTime) => panic!("out of time"),
    }
}

fn failed(servers: &[ServerSpec]) -> Error {
    match reached(servers, LONG) {
        Err(Failure::Final(why)) => why,
        Err(Failure::OutOfTime) => panic!("out of time"),
        Ok(_) => panic!("there is no such server"),
    }
}

fn is_out_of_time(servers: &[ServerSpec], time: Duration) -> bool {
    matches!(reached(servers, time), Err(Failure::OutOfTime))
}

/// Nobody listens there: it takes root, and a service of the last century.
fn dead() -> ServerSpec {
    tcp("127.0.0.1", 1)
}

/// The kernel takes connections for it; it does not.
fn mute() -> (ServerSpec, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    (
        tcp("127.0.0.1", listener.local_addr().unwrap().port()),
        listener,
    )
}

/// Serves each connection in turn.
fn server(serve: impl Fn(&mut TcpStream) + Send + 'static) -> ServerSpec {
    let (spec, listener) = mute();
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            serve(&mut stream);
        }
    });
    spec
}

fn read_question(stream: &mut impl Read) {
    let mut mark = [0; 4];
    stream.read_exact(&mut mark).unwrap();
    let length = u32::from_be_bytes(mark) & 0x7fff_ffff;
    let mut question = vec![0; length as usize];
    stream.read_exact(&mut question).unwrap();
}

fn answer(ret: i32, errno: i32) -> Vec<u8> {
    let numbers = [1, 1, 0, 0, 0, 0, ret as u32, errno as u32, 0, 0];
    let mut bytes = (1u32 << 31 | 40).to_be_bytes().to_vec();
    bytes.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
    bytes
}

fn glusterd(ret: i32, errno: i32) -> ServerSpec {
    server(move |stream| {
        read_question(stream);
        stream.write_all(&answer(ret, errno)).unwrap();
    })
}

#[test]
fn a_server_that_knows_the_volume_is_taken() {
    let server = glusterd(0, 0);
    assert_eq!(found(std::slice::from_ref(&server)), [server]);
}

#[test]
fn a_server_that_does_not_know_it_says_so() {
    let why = failed(&[glusterd(-1, libc::ENOENT)]);
    assert_eq!(why.errno.get(), libc::ENOENT);
    assert!(
        why.text.contains("'vol'") && why.text.contains("volume list"),
        "{why}"
    );
}

#[test]
fn a_server_that_is_not_clear_is_left_to_libgfapi() {
    let hangs_up = server(|_| ());
    assert_eq!(found(std::slice::from_ref(&hangs_up)), [hangs_up]);
    let chatty = server(|stream| {
        let _ = stream.write_all(b"220 mail.example.org ESMTP\r\n");
        let _ = io::copy(stream, &mut io::sink());
    });
    assert_eq!(found(std::slice::from_ref(&chatty)), [chatty]);
}

#[test]
fn a_dead_server_is_named_with_the_reason() {
    let server = dead();
    let why = failed(std::slice::from_ref(&server));
    assert_eq!(why.errno.get(), libc::ENOTCONN);
    for word in [
        "'vol'",
        "127.0.0.1",
        &server.port.to_string(),
        "Connection refused",
    ] {
        assert!(why.text.contains(word), "{why} does not say {word}");
    }
}

#[test]
fn a_name_that_nobody_has() {
    let why = failed(&[tcp("no-such-host.invalid", 24007)]);
    assert_eq!(why.errno.get(), libc::ENOTCONN);
    assert!(
        why.text
            .contains("no-such-host.invalid:24007: its name cannot be resolved"),
        "{why}"
    );
}

#[test]
fn a_server_that_says_nothing_costs_the_time_that_there_is() {
    let (mute, _listener) = mute();
    let begun = Instant::now();
    assert!(is_out_of_time(&[mute], SHORT));
    assert!(begun.elapsed() >= SHORT);
}

#[test]
fn nor_does_one_get_more_that_says_it_byte_by_byte() {
    let drips = server(|stream| {
        // Of an answer that never ends.
        let mut bytes = vec![0x80, 0xff, 0xff, 0xff];
        bytes.extend_from_slice(&answer(0, 0)[4..]);
        bytes.resize(10_000, 0);
        for byte in bytes {
            if stream.write_all(&[byte]).is_err() {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
    });
    assert!(is_out_of_time(&[drips], SHORT));
}

#[test]
fn sockets() {
    let directory = std::env::temp_dir().join(format!("blkg-reach-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("glusterd.socket");
    let why = failed(&[unix(&path)]);
    assert_eq!(why.errno.get(), libc::ENOTCONN);
    let wanted = format!("socket {}: No such file or directory", path.display());
    assert!(why.text.contains(&wanted), "{why}");

    let listener = UnixListener::bind(&path).unwrap();
    assert!(is_out_of_time(&[unix(&path)], SHORT));
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            // The one that gave up is among them.
            let _ = stream.write_all(&answer(0, 0));
            let _ = io::copy(&mut stream, &mut io::sink());
        }
    });
    assert_eq!(found(&[unix(&path)]), [unix(&path)]);
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn the_servers_that_answer_are_kept() {
    let (knows, late) = (glusterd(0, 0), glusterd(0, 0));
    let kept = found(&[dead(), knows.clone(), late.clone()]);
    assert_eq!(
        kept,
        [knows.clone(), late, dead()],
        "the one that answered comes first, those before it last"
    );

    // Neither does one that knows nothing speak for the others, nor one that says nothing.
    let (mute, _listener) = mute();
    let strangers = [glusterd(-1, libc::ENOENT), mute.clone(), knows.clone()];
    assert_eq!(found(&strangers), [knows, mute.clone()]);

    assert!(is_out_of_time(&[mute.clone(), mute.clone()], SHORT));
    let why = failed(&[dead(), tcp("no-such-host.invalid", 1), dead()]);
    assert_eq!(why.errno.get(), libc::ENOTCONN);
    assert_eq!(why.text.matches("refused").count(), 2, "{why}");

    let servers = spec(&[glusterd(-1, libc::ENOENT), dead(), mute]);
    match reach(&servers, Instant::now() + Duration::from_secs(3)) {
        Err(Failure::Final(why)) => assert_eq!(why.errno.get(), libc::ENOENT, "the only answer"),
        _ => panic!("no server knows it"),
    }
}

#[test]
fn libgfapi_is_given_the_address_that_it_would_not_come_to() {
    let (four, other) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2));
    let six = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    let link = SocketAddrV6::new(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1), 1, 0, 2);
    let addresses = [
        SocketAddr::from((six, 1)),
        SocketAddr::V6(link),
        SocketAddr::from((four, 1)),
        SocketAddr::from((other, 1)),
    ];
    let given = |addresses: &[SocketAddr]| -> Vec<(SocketAddr, String)> {
        let places = in_order(&tcp("name", 1), addresses.to_vec()).into_iter();
        let given = places.map(|place| match place.at {
            At::Inet(address) => (address, place.server.host.into_string().unwrap()),
            At::Socket(_) => panic!("a name leads to no socket"),
        });
        given.collect()
    };
    let names = ["name", "2001:db8::1", "name", "192.0.2.2"].map(str::to_owned);
    let order = [2, 0, 1, 3].map(|at| addresses[at]);
    assert_eq!(
        given(&addresses),
        order.into_iter().zip(names).collect::<Vec<_>>()
    );
    assert_eq!(
        given(&addresses[..1]),
        [(addresses[0], "2001:db8::1".to_owned())]
    );
    assert_eq!(given(&addresses[3..]), [(addresses[3], "name".to_owned())]);
    assert_eq!(given(&[]), []);
}

/// A socket whose owner accepts nobody, with its queue full.
fn full(path: &Path) -> (ServerSpec, UnixListener, Vec<UnixStream>) {
    let listener = UnixListener::bind(path).unwrap();
    let mut queue = Vec::new();
    while let Ok(stream) = connect_socket(path, Duration::from_millis(50)) {
        queue.push(stream);
    }
    (unix(path), listener, queue)
}

#[test]
fn a_socket_with_a_full_queue_takes_no_more_than_the_time() {
    let path = std::env::temp_dir().join(format!("blkg-full-{}", std::process::id()));
    let (socket, listener, queue) = full(&path);
    let begin = Instant::now();
    assert!(is_out_of_time(std::slice::from_ref(&socket), SHORT));
    assert!(begin.elapsed() >= SHORT && begin.elapsed() < LONG);
    let server = glusterd(0, 0);
    assert_eq!(
        found(&[socket, server.clone()]),
        [server],
        "the next one is asked"
    );
    drop((listener, queue));
    let _ = std::fs::remove_file(path);
}

#[test]
fn many_servers_leave_room_for_the_reason() {
    let why = failed(&(0..32).map(|_| dead()).collect::<Vec<_>>());
    assert!(why.text.contains("… and 29 more"), "{why}");
    assert!(
        why.text.ends_with("and that glusterd runs") && why.text.len() < 600,
        "{why}"
    );
}
