//! What an action is, and how dangerous.
//!
//! Bytes and values come in, facts go out: no file, socket, clock or process. What is not
//! understood is break-glass. [`command`] judges argument vectors by the catalogs
//! ([`catalog`]), [`kube`] requests of the Kubernetes API, [`terraform`] saved plans, and
//! [`explain`] puts a judgement into words.

pub mod catalog;
pub mod command;
pub mod coverage;
pub mod explain;
pub mod kube;
mod languages;
mod paths;
pub mod shell;
pub mod terraform;
