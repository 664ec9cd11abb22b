//! Tests of policy files: what loads, what is refused and where, and what is decided.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::type_complexity,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and its tables are spelled out"
)]

mod decisions;
mod examples;
mod files;
mod hostile;
mod properties;
mod support;
mod tools;
