// SPDX-License-Identifier: GPL-2.0-or-later
//! GlusterFS block driver as a C-ABI plugin.
//!
//! The path of one request, and the module in which each step happens:
//!
//! ```text
//!  host thread                                                    any Gluster thread
//!  -----------                                                    ------------------
//!  drv->aio_pwritev(bs, ...)      entry    C arguments checked
//!    panic boundary               guard
//!    which image is bs?           image    range, flags, state
//!    a request is made            request  split into parts of at most 16 MiB
//!    now, or wait for neighbours? queue    (when it waited: submitted when another is reaped)
//!    each part is submitted       gfapi ------> libgfapi -------> bricks
//!  <- BlkAiocb * (a handle)                                          |
//!                                          gfapi    errno captured <-'
//!                                          request  last part done?
//!                                          completion  ready list, wake the host
//!  poll: fd readable                                                 |
//!    on_readable(arg)             entry                              |
//!    one request is reaped        completion <-----------------------'
//!    short read? read on          request
//!    bricks gone? wait, again     image::survive
//!    cb(opaque, ret)              request  exactly once
//! ```
//!
//! A flush is one call that blocks, a write of zeroes is several, a copy many: `image` gives them to threads of
//! ours ([`worker`]), which comes to the completion list as Gluster's threads do.
//!
//! Before the first request, [`options`] and [`uri`] turn the host's words into a
//! [`options::ImageLocation`], and [`volume`] connects, or finds the connection that another image
//! of that volume made. [`error`] and [`report`] carry what went wrong to the host.

// Handles and handler arguments are 64-bit numbers in the place of pointers.
const _: () = assert!(size_of::<usize>() == 8);

pub mod abi;
pub mod entry;
mod guard;

pub mod options;
pub mod uri;

mod image;
mod volume;

mod completion;
mod queue;
mod request;

mod worker;

mod gfapi;

pub mod error;
mod report;
