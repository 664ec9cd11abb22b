//! What an action is, and how dangerous.

pub mod terraform;
