//! The one spawner: an opened program, an exact environment, no shell.
//!
//! A [`Program`] is resolved once and held open; the descriptor is what runs, so a file swapped in at its
//! path afterwards does not. A [`Spawn`] says everything the child gets: arguments, environment, working
//! directory, inputs, limits. Its parts are readable, so what a caller hashes is what runs. A
//! [`Supervisor`] starts it and stays with it until no descendant is left.
//!
//! # What a child always gets
//! - No core dumps (`RLIMIT_CORE` 0) and no new privileges. Both are set on the calling side before the
//!   spawn and inherited; neither can be taken back by the child. The umask is left alone.
//! - No descriptor beyond 0, 1, 2 and the inputs given to it.
//! - The signal dispositions this process was started with: what was ignored stays ignored (`nohup`).
//!
//! # The terminal
//! The child stays in the process group of this process and inherits the terminal itself: nothing is
//! copied, and the kernel delivers Ctrl-C, Ctrl-\, Ctrl-Z and window changes to the whole foreground group,
//! child included. See [`Supervisor`] for what is forwarded and why a group of its own is the worse choice.
//!
//! # What it does not do
//! It decides nothing, digests nothing and knows no tool. A supervised child is not confined: one of the same Unix
//! user can end or stop this process. A supervisor runs one child at a time; the [`sandbox`] confines any number.

mod clock;
mod directory;
mod ended;
mod input;
mod program;
mod request;
mod running;
pub mod sandbox;
mod signals;
mod supervisor;
mod tool_path;
mod tree;

pub use directory::WorkingDirectory;
pub use ended::{Ended, Status, Stragglers};
pub use input::{SPOOL_BYTES_MAX, SealedInput, SpoolError};
pub use program::{Exposure, HashError, Identity, Interpreter, OpenError, Program, Unfit, Writer};
pub use request::{
    Arguments, Environment, Limits, Output, RequestError, RunTime, STRAGGLER_GRACE, Spawn, Stdin,
    TERM_GRACE,
};
pub use running::{Canceller, Running, WaitError};
pub use signals::{Arrived, Sender};
pub use supervisor::{SpawnError, SuperviseError, Supervisor};
pub use tool_path::{ToolPath, ToolPathError};
