//! What every network gateway needs and none writes twice.
//!
//! A gateway asks [`listen`] for its socket, [`penalties`] whether a source may come in at all,
//! [`certificate`] what to show it, [`changes`] when to look whether somebody still may, and [`drain`]
//! when to come to an end. What operators see of it is in [`metrics`], [`health`], [`report`],
//! [`logs`] and [`trace`], served by [`endpoint`]; what systemd hears is in [`notify`].
//!
//! It is apart from `iddio-runtime` because it has an asynchronous runtime, which the command line must
//! not link. What this crate does not do: read, judge or forward what passes. Nothing of it is in any
//! metric, trace or line that this crate writes.

pub mod certificate;
pub mod changes;
pub mod config;
pub mod drain;
pub mod endpoint;
pub mod health;
pub mod listen;
pub mod logs;
pub mod metrics;
pub mod notify;
pub mod penalties;
pub mod report;
pub mod shared;
pub mod trace;
