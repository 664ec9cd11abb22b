//! The reader of shell programs, from outside: tables, random programs, other readers, real shells.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on stops where it is"
)]

mod kit;
mod show;
mod soup;
mod table;
