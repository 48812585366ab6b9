//! What callers see of streams that fail, in every dialect, through the whole gateway. Real sockets on loopback.
//!
//! Each scene has a first target, which is broken, and a second one, which is well. What should arrive is asked of a twin: a
//! simulator of the same name and seed, which gives the same bytes.

#![allow(unreachable_pub, reason = "what the modules share is public to each other")]

#[path = "../support/mod.rs"]
mod support;

mod after_content;
mod before_content;
mod dialect;
mod exhausted;
mod readers;
mod stage;
mod travel;
