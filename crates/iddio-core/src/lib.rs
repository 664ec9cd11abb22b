//! The vocabulary, the policy engine, the audit chain, and the one pipeline.
//!
//! This crate does no IO: it opens no file or socket, reads no clock, and draws no random number.
//! Everything it needs is passed in, so everything it does can be replayed from a seed.
//!
//! Start reading at [`pipeline`]; every other module holds the words it speaks.

pub mod approval;
pub mod audit;
pub mod credential;
pub mod digest;
pub mod freeze;
pub mod json;
pub mod operation;
pub mod pipeline;
pub mod policy;
pub mod principal;
pub mod recording;
pub mod redact;
pub mod sanitise;
pub mod text;
pub mod tier;
pub mod time;

use std::{future::Future, pin::Pin};

/// The future returned by the object-safe async traits of this crate.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
