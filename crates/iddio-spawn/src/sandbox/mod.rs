//! A child that sees and reaches only what it was given.
//!
//! A [`Sandbox`] is the whole of what a confined child may see, reach and use; a [`Job`] is what it runs. Nothing is
//! inherited: not a file, not a descriptor, not a variable, not a network. [`Sandbox::start`] hands back a
//! [`Confined`] that owns every process of the run.
//!
//! # How it comes about
//! No code of ours runs between `fork` and `exec`, since that takes `unsafe`. The calling program executes itself
//! again, by descriptor, as a [`Stage`]: `main` calls [`stage()`] first of all. The stage leaves the host's namespaces
//! and starts a second stage, the first process of the new ones. That one builds the tree of files, gives up ids,
//! capabilities and privileges, fences itself with Landlock and seccomp, and only then starts the program; it stays
//! to reap. What it gave up, the program never had.
//!
//! # What holds
//! - INVARIANT: every step is demanded. One that fails ends the stage with what failed; the program never starts.
//! - The run is over when its first process is: the kernel then kills everything in its process namespace, however
//!   often it forked. A [`Confined`] that is dropped, and a caller that dies, take the run with them.
//! - Many may run at once, from any thread. Descriptors travel by message, so that none leaks into a child that
//!   another thread starts at the same time.
//!
//! # What it does not do
//! It decides nothing. It does not limit what the kernel itself gets wrong: a hole in the kernel is a hole in it.

mod description;
mod failed;
mod fence;
mod filter;
mod group;
mod loopback;
mod privileges;
mod probe;
mod stage;
mod start;
mod tree;
mod wire;

pub use description::{
    Content, Ids, Network, Place, Presence, Resources, SYSTEM_DIRECTORIES, Sandbox, Source,
    system_places,
};
pub use group::{Room, make_room};
pub use probe::probe;
pub use stage::stage;
pub use start::{
    Applied, Confined, Job, Killer, Launch, Limit, Stage, StartError, Streams, WaitError,
};
