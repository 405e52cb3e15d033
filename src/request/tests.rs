// SPDX-License-Identifier: GPL-2.0-or-later
//! How requests are cut, that the pieces are the whole, and that handles go stale.

use super::part::*;
use super::*;
use proptest::prelude::*;

/// Elements of the given lengths, one after the other in memory that nobody touches.
fn elements(lengths: &[usize]) -> Vec<iovec> {
    let mut at = 0x10_0000;
    lengths
        .iter()
        .map(|&length| {
            let element = iovec {
                iov_base: std::ptr::without_provenance_mut(at),
                iov_len: length,
            };
            at += length;
            element
        })
        .collect()
}

fn body(kind: Kind, offset: i64, length: i64, iov: Vec<iovec>) -> Body {
    Body {
        kind,
        offset,
        length,
        iov,
        ..Body::new(std::ptr::null())
    }
}

fn parts(mut body: Body) -> Vec<(i64, i64)> {
    cut(&mut body, |offset, length| {
        Part::new(std::ptr::null(), offset, length)
    });
    body.parts
        .iter()
        .map(|part| (part.offset, part.length))
        .collect()
}

#[test]
fn a_large_transfer_is_cut_at_16_mib() {
    let length = 2 * MAX_TRANSFER + 5;
    let body = body(Kind::Write, 512, length, elements(&[length as usize]));
    assert_eq!(
        parts(body),
        [
            (512, MAX_TRANSFER),
            (512 + MAX_TRANSFER, MAX_TRANSFER),
            (512 + 2 * MAX_TRANSFER, 5)
        ]
    );
}

#[test]
fn too_many_elements_are_cut_at_a_block_boundary() {
    let body = body(Kind::Read, 0, 100_000 * 3, elements(&[3; 100_000]));
    for (offset, length) in parts(body) {
        assert!(length > 0 && offset % CUT == 0);
        let count = narrow(&elements(&[3; 100_000]), offset, length).count();
        assert!(count <= MAX_IOV, "{count}");
    }
}

#[test]
fn a_flush_is_one_part_and_nothing_is_none() {
    assert_eq!(parts(body(Kind::Flush, 0, 0, vec![])), [(0, 0)]);
    assert_eq!(parts(body(Kind::Read, 7, 0, vec![])), []);
    assert_eq!(parts(body(Kind::Discard, 7, 0, vec![])), []);
}

#[test]
fn a_huge_discard_is_few_parts() {
    let length = crate::options::MAX_END;
    let parts = parts(body(Kind::Discard, 0, length, vec![]));
    assert!(parts.len() <= 64, "{}", parts.len());
    assert_eq!(parts.iter().map(|(_, length)| length).sum::<i64>(), length);
}

#[test]
fn zero_fill_stays_within_its_range() {
    let mut first = [1u8; 8];
    let mut second = [1u8; 8];
    let iov = [&mut first, &mut second].map(|buffer| iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: 8,
    });
    zero_fill(&iov, 5, 6);
    assert_eq!(first, [1, 1, 1, 1, 1, 0, 0, 0]);
    assert_eq!(second, [0, 0, 0, 1, 1, 1, 1, 1]);
}

unsafe extern "C" fn count(opaque: *mut c_void, ret: c_int) {
    // SAFETY: the tests below pass an AtomicU32.
    unsafe { &*opaque.cast::<AtomicU32>() }.fetch_add(1 + ret as u32, Ordering::Relaxed);
}

#[test]
fn a_handle_goes_stale_when_its_request_ends() {
    let calls = AtomicU32::new(0);
    let completions = COMPLETIONS.open().unwrap();
    let mut slab = Slab::new(completions.get(), 3);
    let ask = Ask {
        kind: Kind::Flush,
        offset: 0,
        length: 0,
        buffers: Buffers::NONE,
        through: false,
        grows: false,
        began: 0,
        begun_ns: 0,
        // SAFETY: called with a live AtomicU32, on this thread.
        callback: unsafe { Callback::new(count, (&raw const calls).cast_mut().cast()) },
    };
    let (request, handle) = slab.begin(&ask).unwrap();
    assert!(slab.find(handle) == Some(request) && !request.is_delivered());
    let outcome = Outcome {
        kind: Kind::Flush,
        offset: 0,
        length: 0,
        through: false,
        grows: false,
        began: 0,
        ticket: Ticket::Free,
        result: Ok(()),
    };
    request.delivered().unwrap().call(&outcome);
    assert!(request.is_delivered());
    assert!(request.delivered().is_none(), "a callback is called once");
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    slab.end(request);
    assert!(slab.find(handle).is_none());
    let (again, next) = slab.begin(&ask).unwrap();
    assert!(again == request && next != handle && slab.find(handle).is_none());
}

/// What the shared call did not read must not pass for zeroes past the image's end.
#[test]
fn what_cannot_be_tried_alone_fails() {
    unsafe extern "C" fn nothing(_: *mut c_void, _: c_int) {}
    let completions = COMPLETIONS.open().unwrap();
    let mut slab = Slab::new(completions.get(), 5);
    let mut data = [1u8; 8];
    let [first, second] = [0, 4].map(|at| {
        let element = iovec {
            iov_base: data[at..].as_mut_ptr().cast(),
            iov_len: 4,
        };
        let ask = Ask {
            kind: Kind::Read,
            offset: at as i64,
            length: 4,
            // SAFETY: valid until the end of this test.
            buffers: unsafe { Buffers::new(std::slice::from_ref(&element)) },
            through: false,
            grows: false,
            began: 0,
            begun_ns: 0,
            // SAFETY: does nothing.
            callback: unsafe { Callback::new(nothing, std::ptr::null_mut()) },
        };
        slab.begin(&ask).unwrap().0
    });
    first.lead(&[first, second]);
    // SAFETY: nobody else has the request.
    let call = unsafe { &(*first.slot().body.get()).call };
    call.result.store(4, Ordering::Relaxed);
    let settle = |request: SlotRef| request.settle(|| None::<&File>);
    assert!(matches!(settle(first), Next::Shared { length: 8, .. }));
    let results = [first, second].map(|request| {
        assert!(completions.pop() == Some(request));
        match settle(request) {
            Next::Ended(outcome) => outcome.result,
            _ => panic!("there is no file to submit it to"),
        }
    });
    let why = results[1].unwrap_err();
    assert!(results[0].is_ok() && why.get() == libc::EBADF);
    assert_eq!(data, [1; 8]);
}

proptest! {
    #[test]
    fn parts_cover_the_request_exactly(
        lengths in prop::collection::vec(prop_oneof![Just(0usize), 1..5000usize, 1_000_000..30_000_000usize], 0..20),
        offset in 0..1i64 << 40,
    ) {
        let iov: Vec<iovec> = elements(&lengths).into_iter().filter(|element| element.iov_len > 0).collect();
        let length = lengths.iter().sum::<usize>() as i64;
        let mut at = offset;
        for (start, size) in parts(body(Kind::Write, offset, length, iov)) {
            prop_assert_eq!(start, at);
            prop_assert!(size > 0 && size <= MAX_TRANSFER);
            at += size;
        }
        prop_assert_eq!(at, offset + length);
    }

    #[test]
    fn narrowed_elements_are_the_same_bytes(
        lengths in prop::collection::vec(0..50usize, 0..30),
        start in 0..600i64,
        length in 0..600i64,
    ) {
        let iov = elements(&lengths);
        let total: usize = lengths.iter().sum();
        let bytes = |iov: &[iovec]| -> Vec<usize> {
            iov.iter().flat_map(|element| element.iov_base.addr()..element.iov_base.addr() + element.iov_len).collect()
        };
        let narrowed: Vec<iovec> = narrow(&iov, start, length).collect();
        prop_assert!(narrowed.iter().all(|element| element.iov_len > 0));
        let from = (start as usize).min(total);
        let to = (from + length as usize).min(total);
        prop_assert_eq!(bytes(&narrowed), &bytes(&iov)[from..to]);
    }
}
