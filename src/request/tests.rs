// SPDX-License-Identifier: GPL-2.0-or-later
//! How requests are cut, and that the pieces are the whole.

use super::*;

#[test]
fn placeholder_is_replaced_below() {}
