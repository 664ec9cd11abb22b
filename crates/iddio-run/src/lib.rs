//! Runs an agent in a box: a terminal, files, a network and tools of its own, and nothing else.
//!
//! [`profile`] reads what an agent of some kind needs, [`grant`] works out what this one gets, [`operation`] is that
//! as an action of the pipeline, [`serve`] takes it through, starts it and stays with it; [`terminal`] is what lies
//! between the agent's terminal and the caller's.
//!
//! What the agent does with tools goes through a pipeline of its own, command by command: the box only sees to it
//! that there is no other way. The gateway behind the tools is behind the trait [`serve::Tools`].

pub mod grant;
pub mod operation;
pub mod profile;
pub mod serve;
pub mod terminal;
