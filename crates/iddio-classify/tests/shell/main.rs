//! The reader of shell programs, from outside: tables, random programs, other readers, real shells.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]

mod corpus;
mod families;
mod kit;
mod linear;
#[expect(dead_code, reason = "mutation is for other readers")]
mod programs;
mod rows;
mod show;
mod soup;
mod table;
#[expect(dead_code, reason = "commands are for other readers")]
mod visit;
mod written;
