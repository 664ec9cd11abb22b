//! Recordings, from the outside.

mod casts;
mod kit;
mod sealed;
mod stores;
