//! What Terraform and OpenTofu would do: saved plans and configuration read in-process, then judged.
//!
//! Bytes come in, facts go out. [`plan::read`] reads a saved plan, [`config::scan`] a set of
//! configuration files, and [`judge`] turns either into effects with a tier. Reading is strict: an
//! archive, a message or a text that two readers could take differently is refused, and the caller
//! treats what cannot be read as unknown. Every limit is a named constant.
//!
//! It starts no program, opens no file and reads no clock. It does not judge shell text: the
//! commands of provisioners are handed on. What it returns is raw text of whoever wrote the plan,
//! to be made harmless where it is shown.

mod address;
mod archive;
pub mod config;
mod hcl;
mod json;
pub mod judge;
mod msgpack;
pub mod plan;
mod types;
mod wire;

pub use self::{
    address::{Address, Key, Mode, Origin as ProviderOrigin, ProviderAddress},
    archive::ArchiveError,
    msgpack::Planned,
    wire::WireError,
};
