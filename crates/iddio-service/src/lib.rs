//! What every service of ours does as it starts: reads its command line and configuration, takes its
//! socket, learns who is at the other end, and gives up what it does not need.
//!
//! This crate keeps no record and no key, and judges nothing.

pub mod confine;
pub mod listen;
pub mod owned;
pub mod peer;
pub mod words;
