//! What every gateway needs and none writes twice: the home, identity, the clock, the assembled
//! pipeline.
//!
//! A gateway asks [`home`] where things live, [`identity`] who calls, and [`assemble`] for a
//! `Pipeline`; it never opens the log, the queue or the policy by itself.

pub mod agents;
pub mod assemble;
pub mod authority;
pub mod block_on;
pub mod clock;
pub mod freezes;
pub mod home;
pub mod identity;
pub mod kubeconfig;
pub mod mode;
pub mod policy;
pub mod recorder;
pub mod reload;
mod stamped;
pub mod status;
pub mod store;
mod tally;
pub mod tools;
