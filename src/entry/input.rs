// SPDX-License-Identifier: GPL-2.0-or-later
//! C arguments, checked and turned into Rust's.

use super::*;
use crate::error::Stage;
use crate::options::Pair;
use std::ffi::CStr;
use std::sync::atomic::{AtomicU64, Ordering};

/// What lies behind BlkState.opaque: the number of the open image, 0 for none. Host memory, zeroed
/// by the host.
#[repr(C)]
pub struct Cell {
    id: AtomicU64,
    reserved: u64,
}

/// An open is under way. No image has this number.
const OPENING: u64 = u64::MAX;

impl Cell {
    /// Puts the image in that `open` makes.
    pub fn occupy(&self, open: impl FnOnce() -> Result<ImageId>) -> Result<()> {
        let free = self
            .id
            .compare_exchange(0, OPENING, Ordering::AcqRel, Ordering::Acquire);
        if free.is_err() {
            return Err(Error::new(
                Stage::Parse,
                libc::EBUSY,
                "this BlkState is open already, or the memory behind its opaque was not zeroed",
            ));
        }
        // A panic on the way must not leave it occupied.
        let vacate = Vacate(self);
        let id = open()?;
        std::mem::forget(vacate);
        self.id.store(id.raw(), Ordering::Release);
        Ok(())
    }

    /// The image in it.
    pub fn image(&self) -> Result<Arc<Image>> {
        image::get(self.id()).ok_or_else(not_open)
    }

    /// The image in it, for a call that no callback runs in.
    pub fn visit(&self) -> Result<Visit> {
        image::visit(self.id()).ok_or_else(not_open)
    }

    /// The same as `image`, which never waits behind a thread that waits.
    pub fn look(&self) -> Result<Arc<Image>> {
        image::look(self.id()).ok_or_else(not_open)
    }

    fn id(&self) -> ImageId {
        ImageId::from_raw(self.id.load(Ordering::Acquire))
    }

    /// Empties it, unless it holds another image by now: a callback of the closing one may have
    /// opened it anew.
    pub fn vacate(&self, image: &Image) {
        let _another_image =
            self.id
                .compare_exchange(image.id().raw(), 0, Ordering::AcqRel, Ordering::Relaxed);
    }
}

struct Vacate<'a>(&'a Cell);

impl Drop for Vacate<'_> {
    fn drop(&mut self) {
        self.0.id.store(0, Ordering::Release);
    }
}

/// For calls before open and after close.
pub fn not_open() -> Error {
    Error::new(
        Stage::Io,
        libc::EBADF,
        "this BlkState holds no open image; it was never opened, or is closed",
    )
}

/// The library's state of `bs`.
///
/// # Safety `bs` is NULL or points to a BlkState whose struct_size is true; its opaque is NULL or
/// points to instance_size bytes that live as long as `bs`.
pub unsafe fn cell<'a>(bs: *mut BlkState) -> Result<&'a Cell> {
    if bs.is_null() || !bs.is_aligned() {
        return Err(Error::invalid("the BlkState is NULL or not aligned"));
    }
    // SAFETY: struct_size comes first in every version.
    let size = unsafe { (*bs).struct_size };
    if size < size_of::<BlkState>() {
        return Err(Error::invalid(format!(
            "BlkState.struct_size is {size}, less than {}; set it to sizeof(BlkState)",
            size_of::<BlkState>()
        )));
    }
    // SAFETY: as large as it says.
    let cell: *const Cell = unsafe { (*bs).opaque }.cast();
    if cell.is_null() || !cell.is_aligned() {
        return Err(Error::invalid(
            "BlkState.opaque is NULL or not aligned to 8; it takes instance_size zeroed bytes",
        ));
    }
    // SAFETY: instance_size is the size of a Cell, and any bytes are one.
    Ok(unsafe { &*cell })
}

/// A string argument.
///
/// # Safety
/// `text` is NULL or NUL-terminated, and stays for the call.
pub unsafe fn text<'a>(text: *const c_char, what: &str) -> Result<&'a str> {
    if text.is_null() {
        return Err(Error::invalid(format!("{what} is NULL")));
    }
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str()
        .map_err(|_| Error::invalid(format!("{what} is not UTF-8: {}", text.to_string_lossy())))
}

/// A list of options; NULL is an empty one.
///
/// # Safety
/// `options` is NULL or ends with a NULL name, and stays for the call, as do its strings.
pub unsafe fn options<'a>(options: *const BlkOption) -> Result<Vec<Pair<'a>>> {
    let mut pairs = Vec::new();
    if options.is_null() {
        return Ok(pairs);
    }
    if !options.is_aligned() {
        return Err(Error::invalid("the option list is not aligned"));
    }
    let mut option = options;
    // SAFETY: the caller's promise, for each element up to the NULL name.
    unsafe {
        while !(*option).name.is_null() {
            let name = text((*option).name, "the name of an option")?;
            let value = text((*option).value, &format!("the value of option '{name}'"))?;
            pairs.push((name, value));
            option = option.add(1);
        }
    }
    Ok(pairs)
}

/// The elements of a request's buffers.
///
/// # Safety
/// `iov` is NULL or points to `iovcnt` elements that stay for the call.
pub unsafe fn elements<'a>(iov: *const iovec, iovcnt: c_int) -> Result<&'a [iovec]> {
    match usize::try_from(iovcnt) {
        Ok(0) => Ok(&[]),
        Ok(count) if !iov.is_null() && iov.is_aligned() => {
            // SAFETY: the caller's promise.
            Ok(unsafe { std::slice::from_raw_parts(iov, count) })
        }
        _ => Err(Error::invalid(format!(
            "{iovcnt} buffer elements at {iov:p}: NULL, not aligned or negative"
        ))),
    }
}

/// A struct that the library writes to.
///
/// # Safety
/// `room` is NULL or points to a `T` whose struct_size, its first member, is true, and which is the
/// library's for the call.
pub unsafe fn room<'a, T>(room: *mut T, name: &str) -> Result<&'a mut T> {
    if room.is_null() || !room.is_aligned() {
        return Err(Error::invalid(format!("the {name} is NULL or not aligned")));
    }
    // SAFETY: struct_size comes first in every version.
    let size = unsafe { *room.cast::<usize>() };
    if size < size_of::<T>() {
        return Err(Error::invalid(format!(
            "{name}.struct_size is {size}, less than {}; set it to sizeof({name}) before the call",
            size_of::<T>()
        )));
    }
    // SAFETY: as large as it says.
    Ok(unsafe { &mut *room })
}

/// Room for text.
///
/// # Safety
/// `buffer` is NULL or points to `size` bytes that are the library's for the call.
pub unsafe fn buffer<'a>(buffer: *mut c_char, size: usize) -> Result<&'a mut [u8]> {
    if size == 0 {
        return Ok(&mut []);
    }
    if buffer.is_null() || size > isize::MAX as usize {
        return Err(Error::invalid(format!(
            "a buffer of {size} bytes at {buffer:p}: NULL, or larger than memory"
        )));
    }
    // SAFETY: the caller's promise; any bytes are text.
    Ok(unsafe { std::slice::from_raw_parts_mut(buffer.cast(), size) })
}
