// SPDX-License-Identifier: GPL-2.0-or-later
//! The one question that a management server is asked before libgfapi turns to it: does it know the
//! volume? It is libgfapi's own request for a volume's description (GETSPEC of the handshake program,
//! as ONC RPC, RFC 5531, and XDR, RFC 4506), of whose answer only the verdict is looked at.

use crate::error::Errno;
use std::io::{self, Read, Write};

/// The handshake program, its version and its procedure GETSPEC.
const GETSPEC: [u32; 3] = [14_398_633, 2, 2];

/// Names the question in its answer.
const XID: u32 = 1;

/// Marks the last, here the only, part of a message; the other bits are its length.
const LAST_PART: u32 = 1 << 31;

/// No description of a volume is longer.
const LONGEST_ANSWER: u32 = 16 << 20;

/// What a management server said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It described the volume.
    Known,
    /// It has no description of it: nor will it have one for libgfapi.
    Refused(Errno),
    /// Nothing that this understands: libgfapi may, on a port below 1024 for example.
    Unclear,
}

/// Asks. An error is one of the stream's; a server that hangs up has not been clear.
pub fn ask(stream: &mut (impl Read + Write), volume: &[u8]) -> io::Result<Answer> {
    stream.write_all(&question(volume))?;
    match verdict(stream) {
        Err(why) if why.kind() == io::ErrorKind::UnexpectedEof => Ok(Answer::Unclear),
        answer => answer,
    }
}

fn question(volume: &[u8]) -> Vec<u8> {
    let mut call = Vec::new();
    let [program, version, procedure] = GETSPEC;
    // A call of RPC version 2, without credentials.
    for number in [XID, 0, 2, program, version, procedure, 0, 0, 0, 0] {
        put(&mut call, number);
    }
    put(&mut call, 0); // no flags
    put_opaque(&mut call, volume);
    put_opaque(&mut call, &versions());
    let mut message = Vec::new();
    put(&mut message, LAST_PART | call.len() as u32);
    message.extend_from_slice(&call);
    message
}

/// A dictionary, as libglusterfs puts it together. Every version is fine here: whether libgfapi's is,
/// it finds out itself. Without these a server takes the asker for GlusterFS 3.2.
fn versions() -> Vec<u8> {
    let pairs: [(&[u8], &[u8]); 2] = [
        (b"min-op-version\0", b"1\0"),
        (b"max-op-version\0", b"2147483647\0"),
    ];
    let mut dictionary = Vec::new();
    put(&mut dictionary, pairs.len() as u32);
    for (key, value) in pairs {
        put(&mut dictionary, key.len() as u32 - 1);
        put(&mut dictionary, value.len() as u32);
        dictionary.extend_from_slice(key);
        dictionary.extend_from_slice(value);
    }
    dictionary
}

fn put(message: &mut Vec<u8>, number: u32) {
    message.extend_from_slice(&number.to_be_bytes());
}

fn put_opaque(message: &mut Vec<u8>, bytes: &[u8]) {
    put(message, bytes.len() as u32);
    message.extend_from_slice(bytes);
    message.resize(message.len().next_multiple_of(4), 0);
}

fn verdict(stream: &mut impl Read) -> io::Result<Answer> {
    let mark = number(stream)?;
    let length = mark & !LAST_PART;
    if mark & LAST_PART == 0 || length > LONGEST_ANSWER {
        return Ok(Answer::Unclear);
    }
    let mut answer = stream.take(length.into());
    // A reply to the question, accepted, with an empty verifier, executed.
    for expected in [XID, 1, 0, 0, 0, 0] {
        if number(&mut answer)? != expected {
            return Ok(Answer::Unclear);
        }
    }
    let ret = number(&mut answer)? as i32;
    let errno = number(&mut answer)? as i32;
    if ret < 0 {
        return Ok(Answer::Refused(Errno::new(errno, libc::EINVAL)));
    }
    // To the end: a server that is hung up on in mid-sentence logs it.
    io::copy(&mut answer, &mut io::sink())?;
    Ok(Answer::Known)
}

fn number(stream: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What was written, and what will be read.
    struct Script {
        said: Vec<u8>,
        answer: io::Cursor<Vec<u8>>,
    }

    impl Read for Script {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.answer.read(buffer)
        }
    }

    impl Write for Script {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.said.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn script(answer: &[u8]) -> Script {
        Script {
            said: Vec::new(),
            answer: io::Cursor::new(answer.to_vec()),
        }
    }

    fn asked(answer: &[u8]) -> Answer {
        ask(&mut script(answer), b"vol").unwrap()
    }

    fn message(numbers: &[u32], rest: &[u8]) -> Vec<u8> {
        let mut message = Vec::new();
        put(
            &mut message,
            LAST_PART | (numbers.len() * 4 + rest.len()) as u32,
        );
        for &number in numbers {
            put(&mut message, number);
        }
        message.extend_from_slice(rest);
        message
    }

    /// As glusterd 10.3 took and gave them.
    #[test]
    fn the_question_and_its_answers() {
        let mut stream = script(&message(
            &[1, 1, 0, 0, 0, 0, 5, 0, 5],
            b"volum\0\0\0\0\0\0\0",
        ));
        assert_eq!(ask(&mut stream, b"plain").unwrap(), Answer::Known);
        assert_eq!(
            stream.answer.position(),
            stream.answer.get_ref().len() as u64
        );
        let mut wanted = vec![0x80, 0, 0, 0x7c];
        for number in [1u32, 0, 2, 14_398_633, 2, 2, 0, 0, 0, 0, 0, 5] {
            put(&mut wanted, number);
        }
        wanted.extend_from_slice(b"plain\0\0\0\0\0\0\x3f\0\0\0\x02");
        wanted.extend_from_slice(b"\0\0\0\x0e\0\0\0\x02min-op-version\x001\0");
        wanted.extend_from_slice(b"\0\0\0\x0e\0\0\0\x0bmax-op-version\x002147483647\0\0");
        assert_eq!(stream.said, wanted);

        let refused = |errno| asked(&message(&[1, 1, 0, 0, 0, 0, u32::MAX, errno, 0, 0], b""));
        for (errno, told) in [
            (2, libc::ENOENT),
            (0, libc::EINVAL),
            (u32::MAX, libc::EINVAL),
        ] {
            let told = Answer::Refused(Errno::new(told, libc::EIO));
            assert_eq!(refused(errno), told);
        }
    }

    #[test]
    fn what_is_no_answer_is_left_to_libgfapi() {
        for unclear in [
            // It hangs up, at once or in mid-sentence.
            vec![],
            vec![0x80],
            message(&[1, 1, 0], b""),
            message(&[1, 1, 0, 0, 0, 0, 0], b""),
            // No reply, another's reply, a denial (a port of 1024 or more), not executed.
            message(&[1, 0, 2, 52_743_234, 1, 1, 0, 0, 0, 0], b""),
            message(&[7, 1, 0, 0, 0, 0, 0, 0, 0, 0], b""),
            message(&[1, 1, 1, 1, 2], b""),
            message(&[1, 1, 0, 0, 0, 1], b""),
            // Another protocol.
            b"SSH-2.0-OpenSSH_9.2p1\r\n".to_vec(),
            b"\xff\xff\xff\xffand what follows".to_vec(),
        ] {
            assert_eq!(asked(&unclear), Answer::Unclear, "{unclear:x?}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_panics(answer in prop::collection::vec(any::<u8>(), 0..80), volume in "\\PC*") {
            let _ = ask(&mut script(&answer), volume.as_bytes());
        }

        /// The beginning is what a random one hardly ever gets right.
        #[test]
        fn no_verdict_panics(rest in prop::collection::vec(any::<u8>(), 0..40), length in 0..100u32) {
            let mut answer = (LAST_PART | length).to_be_bytes().to_vec();
            for number in [1u32, 1, 0, 0, 0, 0] {
                put(&mut answer, number);
            }
            answer.extend_from_slice(&rest);
            let _ = ask(&mut script(&answer), b"vol");
        }
    }
}
