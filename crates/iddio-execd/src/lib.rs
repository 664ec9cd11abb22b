//! The exec broker: a command runs where its caller cannot see, under a user of its own.
//!
//! `iddio exec` becomes a [`client`] where a broker is: it hands over words, streams and a copy of its
//! working tree, and waits. The [`server`] takes every command through the whole pipeline of
//! [`iddio_exec`] and runs it confined. The same server is the host's service, `iddio-execd`, and the
//! part of `iddio run` that stays outside the sandbox.
//!
//! INVARIANT: what a caller sends is data. The broker opens no path of a caller's: the caller's own
//! process reads its files and writes what comes back, with its own rights.

pub mod carry;
pub mod client;
pub mod config;
mod confine;
pub mod credentials;
mod leavings;
mod line;
mod net;
mod run;
pub mod scrub;
pub mod server;
mod session;
pub mod stream;
pub mod tree;
pub mod wire;
