//! The child-process gateway behind `iddio exec`.
//!
//! [`request`] finds and opens the program, [`prepare`] judges and binds the command, [`operation`]
//! is the action, [`serve`] admits it and [`forward`]s it, [`refuse`] words a refusal. There is no
//! async runtime on this path, and nothing of the caller's runs before the decision is durable.

pub mod bind;
pub mod catalogs;
pub mod drive;
pub mod environment;
pub mod facts;
pub mod forward;
pub mod hand;
pub mod installed;
mod manifests;
pub mod neutral;
pub mod operation;
pub mod outputs;
pub mod prepare;
pub mod reach;
pub mod refuse;
pub mod request;
pub mod run_dir;
pub mod serve;
pub mod snapshot;
pub mod staged;
pub mod tree;
pub mod watch;
